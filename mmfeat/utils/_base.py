"""The base of transformers that take a column of pictures or sentences instead of a matrix."""

from sklearn.base import BaseEstimator, TransformerMixin


class SequenceTransformer(TransformerMixin, BaseEstimator):
    """Transformer whose input is a 1-D sequence; tells scikit-learn so through its tags."""

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        tags.input_tags.one_d_array = True
        tags.no_validation = True
        return tags
