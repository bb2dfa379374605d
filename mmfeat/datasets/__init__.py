"""Pairs of pictures and sentences: rendered ones, published collections, and tables of one's own."""

from mmfeat.datasets._flickr8k import load_flickr8k
from mmfeat.datasets._group import group_captions
from mmfeat.datasets._pairs import load_images, load_pairs, load_texts
from mmfeat.datasets._resolve import resolve_images
from mmfeat.datasets._scene_matches import scene_matches
from mmfeat.datasets._scenes import make_scenes
from mmfeat.datasets._tables import read_table
from mmfeat.datasets._wikipedia import load_wikipedia

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
