"""Tables of one's own: a CSV of ids and captions beside a folder of pictures."""

from mmfeat.datasets._group import group_captions
from mmfeat.datasets._resolve import resolve_images
from mmfeat.datasets._tables import first_few, read_table, require_columns

_MISSING_WORDS = {"", "nan", "<na>"}


def load_pairs(csv, image_root, *, image="image_id", text="caption", group=False, encoding=None):
    """Load pictures and their captions from a CSV table and a folder.

    Parameters
    ----------
    csv : str or os.PathLike
        Table with a column of image ids and one of captions; see :func:`read_table`.
    image_root : str or os.PathLike
        Folder of the pictures; see :func:`resolve_images` for how ids and files meet.
    image : str, default="image_id"
        Column of ids.
    text : str, default="caption"
        Column of captions.
    group : bool, default=False
        Whether several rows may name the same picture; its captions are then gathered into a list, as by
        :func:`group_captions`.
    encoding : str or None, default=None
        Encoding of the table; None tells UTF-8 and GB18030 apart.

    Returns
    -------
    pairs : pandas.DataFrame
        Columns ``image`` (absolute path, str) and ``text`` (str, or list of str with ``group=True``); index
        ``image_id`` as written.

    Raises
    ------
    FileNotFoundError, NotADirectoryError
        If the table or the folder does not exist.
    ValueError
        If the table is malformed, empty or lacks a column, a caption is blank or "NaN", an id has no file or leads out
        of the folder, or a picture occurs twice without ``group=True``; rows are counted from 0 below the names of the
        columns.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from mmfeat.datasets import load_pairs
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     Path(folder, "007.jpg").touch()
    ...     _ = Path(folder, "pairs.csv").write_text("image_id,caption\\n007,a cat\\n", encoding="utf-8")
    ...     load_pairs(Path(folder, "pairs.csv"), folder)["text"].to_dict()
    {'007': 'a cat'}
    """
    table = read_table(csv, encoding=encoding)
    require_columns(table, (image, text), csv)
    _refuse_blank(table, text, csv)
    pairs = _indexed(
        {"image": resolve_images(table[image], image_root), "text": table[text].to_numpy()}, table[image], "image_id"
    )
    if group:
        return group_captions(pairs)
    _refuse_repeated(pairs["image"], csv, "image", "Pass group=True to gather its captions, or use group_captions.")
    return pairs


def load_images(csv, image_root, *, image="image_id", encoding=None):
    """Load the pictures a CSV table names: a gallery, or queries.

    Parameters
    ----------
    csv : str or os.PathLike
        Table with a column of image ids; see :func:`read_table`.
    image_root : str or os.PathLike
        Folder of the pictures; see :func:`resolve_images`.
    image : str, default="image_id"
        Column of ids.
    encoding : str or None, default=None
        Encoding of the table; None tells UTF-8 and GB18030 apart.

    Returns
    -------
    images : pandas.DataFrame
        Column ``image`` (absolute path, str); index ``image_id`` as written.

    Raises
    ------
    FileNotFoundError, NotADirectoryError
        If the table or the folder does not exist.
    ValueError
        As for :func:`load_pairs`.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from mmfeat.datasets import load_images
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     Path(folder, "007.jpg").touch()
    ...     _ = Path(folder, "gallery.csv").write_text("image_id\\n007\\n", encoding="utf-8")
    ...     load_images(Path(folder, "gallery.csv"), folder).index.tolist()
    ['007']
    """
    table = read_table(csv, encoding=encoding)
    require_columns(table, (image,), csv)
    images = _indexed({"image": resolve_images(table[image], image_root)}, table[image], "image_id")
    _refuse_repeated(images["image"], csv, "image", "Drop the repeated rows.")
    return images


def load_texts(csv, *, id="text_id", text="caption", encoding=None):
    """Load the sentences of a CSV table: a gallery, or queries.

    Parameters
    ----------
    csv : str or os.PathLike
        Table with a column of text ids and one of sentences; see :func:`read_table`.
    id : str, default="text_id"
        Column of ids.
    text : str, default="caption"
        Column of sentences.
    encoding : str or None, default=None
        Encoding of the table; None tells UTF-8 and GB18030 apart.

    Returns
    -------
    texts : pandas.DataFrame
        Column ``text`` (str); index ``text_id`` as written.

    Raises
    ------
    FileNotFoundError
        If the table does not exist.
    ValueError
        If the table is malformed, empty or lacks a column, or an id or sentence is blank, "NaN" or, for ids, repeated.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from mmfeat.datasets import load_texts
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = Path(folder, "words.csv").write_text("text_id,caption\\nWord-01,a cat\\n", encoding="utf-8")
    ...     load_texts(Path(folder, "words.csv"))["text"].to_dict()
    {'Word-01': 'a cat'}
    """
    table = read_table(csv, encoding=encoding)
    require_columns(table, (id, text), csv)
    for column in (id, text):
        _refuse_blank(table, column, csv)
    texts = _indexed({"text": table[text].to_numpy()}, table[id], "text_id")
    _refuse_repeated(texts.index.to_series(), csv, "text id", "Give every row an id of its own.")
    return texts


def _indexed(columns, ids, name):
    import pandas as pd

    return pd.DataFrame(columns, index=pd.Index([cell.strip() for cell in ids], name=name))


def _refuse_blank(table, column, path):
    rows = [f"row {row}" for row, cell in enumerate(table[column]) if cell.strip().lower() in _MISSING_WORDS]
    if rows:
        raise ValueError(
            f"'{path}' has blank or NaN cells in column '{column}': {first_few(rows)}. Fill them in or drop the rows."
        )


def _refuse_repeated(values, path, what, cure):
    values = values.to_numpy()
    seen: dict[str, int] = {}
    repeated = []
    for row, value in enumerate(values):
        if seen.setdefault(value, row) != row:
            repeated.append(f"{value!r} in rows {seen[value]} and {row}")
    if repeated:
        raise ValueError(f"'{path}' has the same {what} more than once: {first_few(repeated, limit=3)}. {cure}")
