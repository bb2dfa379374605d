"""Pairs of pictures and sentences: rendered ones, published collections, and tables of one's own."""

from ._flickr8k import load_flickr8k
from ._group import group_captions
from ._pairs import load_images, load_pairs, load_texts
from ._resolve import resolve_images
from ._scene_matches import scene_matches
from ._scenes import make_scenes
from ._tables import read_table
from ._wikipedia import load_wikipedia

__all__ = [
    "group_captions",
    "load_flickr8k",
    "load_images",
    "load_pairs",
    "load_texts",
    "load_wikipedia",
    "make_scenes",
    "read_table",
    "resolve_images",
    "scene_matches",
]
