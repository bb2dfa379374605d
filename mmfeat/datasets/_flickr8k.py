"""Flickr8k: photographs with five captions each, in English and Chinese."""

import re
from pathlib import Path

import numpy as np

from mmfeat.datasets._tables import first_few
from mmfeat.utils._compat import StrOptions, validate_params

_SPLITS = ("train", "val", "test")
_SPLIT_FILES = {
    "train": ("train.txt", "Flickr_8k.trainImages.txt"),
    "val": ("val.txt", "Flickr_8k.devImages.txt"),
    "test": ("test.txt", "Flickr_8k.testImages.txt"),
}
_CAPTION_FILES = {
    "en": ("captions.en.txt", "Flickr8k.token.txt"),
    "zh": ("captions.zh.txt", "flickr8kzhc.caption.txt"),
    "zh_machine": ("captions.zh_machine.txt", "flickr8kzhb.caption.txt"),
    "zh_human": ("captions.zh_human_test.txt", "flickr8kzhmtest.captions.txt"),
}
_FOLDERS = ("images", "Images", "Flicker8k_Dataset", "Flickr8k_Dataset")
_SUBFOLDERS = ("", "Flickr8k_text", "data")
# 'NAME.jpg#N<TAB>caption' as first published, 'NAME.jpg#TAG#N caption' since the Chinese captions.
_LINE = re.compile(r"(?P<name>[^#\s]+)#(?:[A-Za-z]\w*#)?(?P<number>[0-9]+)[\t ]+(?P<caption>\S.*)")
# The published token file captions one photograph that was never part of the archive under the name 'NAME.jpg.1'.
_NEVER_PUBLISHED = re.compile(r"\.jpg\.[0-9]+$")


@validate_params(
    {
        "root": "no_validation",
        "split": [StrOptions({*_SPLITS, "all"})],
        "language": [StrOptions(set(_CAPTION_FILES))],
    },
    prefer_skip_nested_validation=True,
)
def load_flickr8k(root, split="train", language="en"):
    """Load Flickr8k: 8,091 photographs and their captions.

    Parameters
    ----------
    root : str or os.PathLike
        Folder that holds the photographs in ``images``, ``Images``, ``Flicker8k_Dataset`` or ``Flickr8k_Dataset``, the
        captions (``captions.en.txt``, ... or as published: ``Flickr8k.token.txt``, ``flickr8kzhc.caption.txt``, ...)
        and the splits (``train.txt``, ... or ``Flickr_8k.trainImages.txt``, ...); text files may also lie in
        ``Flickr8k_text`` or ``data`` below it.
    split : {"train", "val", "test", "all"}, default="train"
        Which photographs: 6,000, 1,000, 1,000, or all that have captions (91 of them are in no split).
    language : {"en", "zh", "zh_machine", "zh_human"}, default="en"
        Captions: English, written in Chinese, machine-translated, or translated by people (these for the test split
        only).

    Returns
    -------
    pairs : pandas.DataFrame
        Columns ``image`` (path, str) and ``text`` (list of str, in the order of their numbers); index ``image_id``
        (name of the file without ``.jpg``). The order is that of the split file; for "all", train, val, test, then the
        rest as captioned.

    Raises
    ------
    FileNotFoundError
        If the folder, a text file or a photograph is missing.
    ValueError
        If a line is malformed or repeated (with its number), an id has no captions, or human translations are asked for
        outside the test split.

    References
    ----------
    Hodosh, M., Young, P. and Hockenmaier, J. (2013). Framing image description as a ranking task. JAIR 47, 853-899.

    Li, X., Lan, W., Dong, J. and Liu, H. (2016). Adding Chinese captions to images. ICMR, 271-275.

    Examples
    --------
    >>> from mmfeat.datasets import load_flickr8k
    >>> pairs = load_flickr8k("flickr8k", split="test", language="zh")  # doctest: +SKIP
    >>> pairs.shape  # doctest: +SKIP
    (1000, 2)
    """
    import pandas as pd

    if language == "zh_human" and split != "test":
        raise ValueError(
            f"Human translations exist for split='test' only. Got split={split!r}. Use language='zh' or 'zh_machine'."
        )
    root = Path(root)
    folder = _find_folder(root)
    caption_file = _find_file(root, _CAPTION_FILES[language])
    captions = _read_captions(caption_file)
    ids = _ids_of(root, split, captions)
    _refuse(ids, captions, f"have no captions in '{caption_file}'", ValueError)
    files = {path.stem for path in folder.iterdir() if path.suffix == ".jpg"}
    _refuse(ids, files, f"have no .jpg file in '{folder}'", FileNotFoundError)
    texts = np.empty(len(ids), dtype=object)
    texts[:] = [[caption for _, caption in sorted(captions[name].items())] for name in ids]
    paths = [str(folder / f"{name}.jpg") for name in ids]
    return pd.DataFrame({"image": paths, "text": texts}, index=pd.Index(ids, name="image_id"))


def _ids_of(root, split, captions):
    if split != "all":
        return _read_split(_find_file(root, _SPLIT_FILES[split]))
    listed = [name for part in _SPLITS for name in _read_split(_find_file(root, _SPLIT_FILES[part]))]
    return list(dict.fromkeys([*listed, *captions]))


def _refuse(ids, known, problem, error):
    missing = [repr(name) for name in ids if name not in known]
    if missing:
        raise error(f"Images of Flickr8k {problem}: {first_few(missing)}. Fetch the missing part again.")


def _find_folder(root):
    for name in _FOLDERS:
        if (root / name).is_dir():
            return root / name
    raise FileNotFoundError(
        f"None of the folders {', '.join(_FOLDERS)} is in '{root}'. Pass the folder of Flickr8k as `root`."
    )


def _find_file(root, names):
    for folder in _SUBFOLDERS:
        for name in names:
            if (root / folder / name).is_file():
                return root / folder / name
    raise FileNotFoundError(
        f"None of the files {', '.join(names)} is in '{root}'. Pass the folder of Flickr8k as `root`."
    )


def _lines(path):
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"Could not decode '{path}' as UTF-8: byte {error.start}. Fetch it again.") from error
    # Not splitlines: a caption may hold a character such as U+2028 that it would split at.
    return [(number, line.rstrip()) for number, line in enumerate(text.split("\n"), start=1) if line.strip()]


def _read_split(path):
    ids = [line.strip().removesuffix(".jpg") for _, line in _lines(path)]
    if not ids:
        raise ValueError(f"'{path}' is empty. Expected one image id a line.")
    return ids


def _read_captions(path):
    captions: dict[str, dict[int, str]] = {}
    for number, line in _lines(path):
        match = _LINE.fullmatch(line)
        if match is None:
            raise ValueError(
                f"Line {number} of '{path}' is {line[:60]!r}. "
                "Expected 'NAME.jpg#TAG#N caption' or 'NAME.jpg#N<TAB>caption'."
            )
        if _NEVER_PUBLISHED.search(match["name"]):
            continue
        of_image = captions.setdefault(match["name"].removesuffix(".jpg"), {})
        if int(match["number"]) in of_image:
            raise ValueError(
                f"Line {number} of '{path}' repeats caption {match['number']} of '{match['name']}'. "
                "Drop one of the two."
            )
        of_image[int(match["number"])] = match["caption"]
    return captions
