"""Texts into vectors: words of Chinese sentences, TF-IDF with latent semantic analysis."""

from mmfeat.text._jieba import JiebaTokenizer
from mmfeat.text._tfidf_lsa import tfidf_lsa

__all__ = ["JiebaTokenizer", "tfidf_lsa"]
