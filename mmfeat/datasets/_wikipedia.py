"""The Wikipedia collection of featured articles: published features of pictures and texts, with classes."""

from pathlib import Path

import numpy as np
from sklearn.utils import Bunch

from mmfeat.utils._compat import StrOptions, validate_params

_KEYS = {"train": ("I_tr", "T_tr"), "test": ("I_te", "T_te")}


@validate_params(
    {"root": "no_validation", "split": [StrOptions({"train", "test"})]}, prefer_skip_nested_validation=True
)
def load_wikipedia(root, split="train"):
    """Load the features of the Wikipedia collection.

    2,866 sections of featured articles with a picture and one of ten classes: 2,173 for training, 693 for testing.

    Parameters
    ----------
    root : str or os.PathLike
        Folder with ``raw_features.mat`` (I_tr, T_tr, I_te, T_te), ``trainset_txt_img_cat.list`` and
        ``testset_txt_img_cat.list`` (or ``train.list`` and ``test.list``), and ``categories.list`` (or
        ``categories.txt``).
    split : {"train", "test"}, default="train"
        Which part.

    Returns
    -------
    data : sklearn.utils.Bunch
        ``images`` : ndarray of shape (n, 128), dtype float32, histograms of SIFT words.
        ``texts`` : ndarray of shape (n, 10), dtype float32, shares of topics.
        ``labels`` : ndarray of shape (n,), dtype int64, classes 1 to 10.
        ``target_names`` : list of str, name of class c at place c - 1.
        ``image_ids``, ``text_ids`` : lists of str.

    Raises
    ------
    FileNotFoundError
        If a file is missing.
    ValueError
        If a file is malformed (with the number of the line) or the numbers of rows differ.

    References
    ----------
    Rasiwasia, N. et al. (2010). A new approach to cross-modal multimedia retrieval. ACM Multimedia, section 4.

    Examples
    --------
    >>> from mmfeat.datasets import load_wikipedia
    >>> data = load_wikipedia("wikipedia", split="test")  # doctest: +SKIP
    >>> data.images.shape, data.texts.shape  # doctest: +SKIP
    ((693, 128), (693, 10))
    """
    root = Path(root)
    names = _find(root, "categories.txt", "categories.list").read_text(encoding="utf-8").split()
    listing = _find(root, f"{split}.list", f"{split}set_txt_img_cat.list")
    text_ids, image_ids, labels = _read_list(listing, len(names))
    images, texts = _read_features(_find(root, "raw_features.mat"), _KEYS[split], len(labels), listing)
    return Bunch(
        images=images,
        texts=texts,
        labels=np.array(labels, dtype=np.int64),
        target_names=names,
        image_ids=image_ids,
        text_ids=text_ids,
    )


def _find(root, *names):
    for name in names:
        if (root / name).is_file():
            return root / name
    raise FileNotFoundError(
        f"Neither of {', '.join(names)} is in '{root}'. Pass the folder of the Wikipedia collection as `root`."
    )


def _read_list(path, n_classes):
    rows = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        cells = line.split("\t")
        if len(cells) != 3 or not cells[2].isdecimal() or not 1 <= int(cells[2]) <= n_classes:
            raise ValueError(
                f"Line {number} of '{path}' is {line!r}. "
                f"Expected a text id, an image id and a class from 1 to {n_classes}, tab-separated."
            )
        rows.append((cells[0], cells[1], int(cells[2])))
    if not rows:
        raise ValueError(f"'{path}' is empty. Expected one line per pair.")
    return tuple(map(list, zip(*rows, strict=True)))


def _read_features(path, keys, n_rows, listing):
    from scipy.io import loadmat

    try:
        data = loadmat(path)
    except (ValueError, TypeError, OSError, EOFError) as error:
        raise ValueError(f"'{path}' is no readable MATLAB file ({error}). Fetch it again.") from error
    matrices = []
    for key in keys:
        if key not in data:
            found = ", ".join(name for name in data if not name.startswith("__"))
            raise ValueError(f"'{path}' has no matrix {key}. Found: {found}.")
        matrix = np.asarray(data[key], dtype=np.float32)
        if matrix.ndim != 2 or len(matrix) != n_rows or not np.isfinite(matrix).all():
            raise ValueError(
                f"{key} in '{path}' has shape {matrix.shape}. "
                f"Expected {n_rows} finite rows, one per line of '{listing}'."
            )
        matrices.append(matrix)
    return matrices
