"""Images and texts that stand twice in a table, or in two splits."""

from numbers import Integral, Real

import numpy as np

from mmfeat.retrieval._duplicate_images import N_BITS, near_hashes, signatures
from mmfeat.retrieval._duplicate_links import Links
from mmfeat.retrieval._duplicate_texts import near_texts, plain
from mmfeat.utils._compat import Interval, validate_params
from mmfeat.utils._pairs import split_pairs

_VIEWS = ("image", "text")


@validate_params(
    {
        "views": ["array-like"],
        "max_bits": [Interval(Integral, 0, N_BITS // 2, closed="both"), None],
        "min_jaccard": [Interval(Real, 0, 1, closed="right"), None],
        "image": [str],
        "text": [str],
        "n_jobs": [Integral, None],
    },
    prefer_skip_nested_validation=True,
)
def find_duplicates(
    pairs, other=None, *, views=_VIEWS, max_bits=10, min_jaccard=0.8, image="image", text="text", n_jobs=None
):
    """Find images and texts that stand twice, exactly or nearly, in one table or in two splits.

    An image in training and in test makes every figure too good, and a sentence that is there for two images cannot be told
    apart by any system.

    Parameters
    ----------
    pairs : DataFrame of pandas or polars, or object ndarray of shape (n_images, 2)
        One row per image; its text is a str or a list of str.
    other : DataFrame of pandas or polars, object ndarray of shape (n_images, 2) or None, default=None
        Another split, to be compared with `pairs`; None compares the rows of `pairs` with each other.
    views : sequence of {"image", "text"}, default=("image", "text")
        What to look at; images take the time it takes to decode them.
    max_bits : int or None, default=10
        Two images are near if their difference hashes differ in at most so many of 128 bits, up to 64; None looks for
        equal pixels only.
    min_jaccard : float or None, default=0.8
        Two texts are near if so large a part of their runs of four characters is common to both; None looks for equal
        texts only. For texts of a few characters, as in Chinese, it has to be lower.
    image : str, default="image"
        Name of the column of images when the pairs are a DataFrame.
    text : str, default="text"
        Name of the column of texts when the pairs are a DataFrame.
    n_jobs : int or None, default=None
        Threads that decode images.

    Returns
    -------
    found : pandas.DataFrame
        A row a duplicate: ``view`` ("image" or "text"), ``kind`` ("exact" or "near"), positions ``row`` in `pairs` and
        ``other_row`` in `other`, or in `pairs`; ``caption`` and ``other_caption``, numbers in these rows, -1 for images; and
        ``similarity``, the share of equal bits or the Jaccard index.

    Raises
    ------
    ImageDecodeError
        If an image cannot be read; the message names its row, and of two tables which.
    ValueError
        If a table is no pairs table, or a view is neither.

    See Also
    --------
    mmfeat.retrieval.find_mismatched_pairs : Pairs that do not belong together.

    Notes
    -----
    Equal are images of the same pixels, whatever file they stand in, and texts that are the same but for case, punctuation,
    spaces and the width of characters. Vowel signs and emoji count as letters do. Captions of one row are not compared with
    each other, nor empty ones with anything.

    In one table, of items that are equal each is listed beside the first, and only first ones are compared further; in two
    tables every row that has a duplicate in the other table is listed. For equal items the list therefore grows with
    their number and not with its square. Items that are near but not equal are listed pair by pair: 300 different captions
    of one template are 44,850 pairs. The hash has a bit for each of 64 cells of the grey picture that is darker than the next
    to the right, and for each that is darker than the next below. It stands up to another size or compression, and nearly
    always to another brightness; where a few per cent of the border are cut off it takes `max_bits` of 20, and different
    photographs are seldom nearer than 30. Mirror images are not found. Pictures of one tone have only exact duplicates.

    Nothing is compared with everything: images by bands of bits that must agree, texts by rare runs that must be shared
    (both are exact), in blocks.

    References
    ----------
    Chaudhuri, S., Ganti, V. and Kaushik, R. (2006). A primitive operator for similarity joins in data cleaning. ICDE.

    Xiao, C., Wang, W., Lin, X. and Yu, J. X. (2008). Efficient similarity joins for near duplicate detection. WWW.

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> from mmfeat.retrieval import find_duplicates
    >>> ramp = np.arange(0, 250, 2, dtype=np.uint8) * np.ones((60, 1), dtype=np.uint8)
    >>> pairs = pd.DataFrame({"image": [ramp, ramp[::-1].T, ramp + 5], "text": ["A dog runs.", "a cat", "a dog runs"]})
    >>> found = find_duplicates(pairs)
    >>> found[["view", "kind", "row", "other_row", "similarity"]].values.tolist()
    [['image', 'near', 0, 2, 1.0], ['text', 'exact', 0, 2, 1.0]]
    """
    import pandas as pd

    wrong = [view for view in views if view not in _VIEWS]
    if wrong:
        raise ValueError(f"`views` must hold 'image' and 'text' or one of them. Got {views!r} instead.")
    tables = [split_pairs(table, image, text) for table in (pairs, other) if table is not None]
    found = []
    if "image" in views:
        found.append(_image_links(tables, max_bits, n_jobs))
    if "text" in views:
        found.append(_text_links(tables, min_jaccard))
    columns = ["view", "kind", "row", "caption", "other_row", "other_caption", "similarity"]
    return pd.DataFrame([row for part in found for row in part], columns=columns)


def _image_links(tables, max_bits, n_jobs):
    places = [(side, row, -1) for side, table in enumerate(tables) for row in range(len(table.images))]
    digests, hashes, textured = signatures([table.images for table in tables], n_jobs)
    links = Links("image", places, digests, len(tables))
    links.equal()
    if max_bits is not None:
        unique, shared = np.unique(hashes, axis=0, return_inverse=True)
        # A hash of a flat picture says nothing: such pictures belong to no group.
        links.near(np.where(textured, shared.ravel(), -1), lambda wanted: near_hashes(unique, max_bits, wanted))
    return links.rows()


def _text_links(tables, min_jaccard):
    places, texts = [], []
    for side, table in enumerate(tables):
        captions = np.arange(len(table.groups)) - np.searchsorted(table.groups, table.groups)
        for row, caption, words in zip(table.groups.tolist(), captions.tolist(), map(plain, table.texts), strict=True):
            if words:
                places.append((side, row, caption))
                texts.append(words)
    links = Links("text", places, texts, len(tables))
    links.equal()
    if min_jaccard is not None and texts:
        unique, codes = np.unique(np.array(texts, dtype=object), return_inverse=True)
        links.near(codes, lambda wanted: near_texts(unique.tolist(), min_jaccard, wanted))
    return links.rows()
