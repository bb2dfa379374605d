"""Texts into vectors: words of Chinese sentences, TF-IDF with latent semantic analysis."""

from mmfeat.text._jieba import JiebaTokenizer
from mmfeat.text._normalizer import TextNormalizer
from mmfeat.text._pretrained import PretrainedTextFeatures
from mmfeat.text._tfidf_lsa import tfidf_lsa
from mmfeat.text._word_vectors import WordVectors
from mmfeat.utils._unknown import UnknownTextWarning

__all__ = [
    "JiebaTokenizer",
    "PretrainedTextFeatures",
    "TextNormalizer",
    "UnknownTextWarning",
    "WordVectors",
    "tfidf_lsa",
]
