"""Features kept on disk: computed once for each picture or sentence, however many fits ask."""

from mmfeat.caching._transformer import CachedTransformer

__all__ = ["CachedTransformer"]
