"""From the ids of a table to the files of a folder, and never out of it."""

import os
from collections import defaultdict
from pathlib import Path, PureWindowsPath

from mmfeat.datasets._tables import first_few
from mmfeat.utils._validation import check_texts

SUFFIXES = (".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")


def resolve_images(ids, image_root):
    """Find the picture of each id.

    Parameters
    ----------
    ids : sequence of str
        Names of files relative to the folder, with or without ``.jpg``, ``.jpeg``, ``.png``, ``.webp``, ``.bmp``,
        ``.gif``, ``.tif`` or ``.tiff`` (in either case). Surrounding blanks are ignored.
    image_root : str or os.PathLike
        The folder, absolute or relative to the working directory.

    Returns
    -------
    paths : list of str
        Absolute paths, symbolic links resolved, in the order of the ids.

    Raises
    ------
    NotADirectoryError
        If the folder does not exist.
    ValueError
        If `ids` is empty or holds anything but str, or an id is blank, absolute, leads out of the folder, has no file
        or fits several; the message names the first rows, counted from 0, and how many there are.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from mmfeat.datasets import resolve_images
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     Path(folder, "007.png").touch()
    ...     [Path(path).name for path in resolve_images(["007", "007.png"], folder)]
    ['007.png', '007.png']
    """
    ids = check_texts(ids)
    root = Path(image_root).resolve()
    if not root.is_dir():
        raise NotADirectoryError(
            f"There is no image folder '{root}' (`image_root`={os.fspath(image_root)!r}). Correct the path."
        )
    folder = _Folder(root)
    found = [folder.find(name.strip()) for name in ids]
    for problem, cure in _CURES.items():
        rows = [
            f"row {row}: {name!r}"
            for row, (name, answer) in enumerate(zip(ids, found, strict=True))
            if answer == problem
        ]
        if rows:
            raise ValueError(f"Ids that {problem} '{root}': {first_few(rows)}. {cure}")
    return [str(path) for path in found]


_ESCAPES, _MISSING, _SEVERAL = "lead out of the image folder", "have no file in", "fit several files in"
_CURES = {
    _ESCAPES: "Use names relative to the folder, without '..' or links that leave it.",
    _MISSING: f"Add the files or drop the rows; an id may leave out one of {', '.join(SUFFIXES)}.",
    _SEVERAL: "Write the id with its extension.",
}


class _Folder:
    """The files under a root, each folder listed once."""

    def __init__(self, root):
        self.root = root
        self._listings = {}

    def find(self, name):
        """Path of the file of an id, or what is wrong with the id."""
        if not name or "\0" in name:
            return _MISSING
        windows = PureWindowsPath(name)
        if Path(name).is_absolute() or windows.drive or windows.root:
            return _ESCAPES
        parent = (self.root / name).parent.resolve()
        last = Path(name).name
        if last == ".." or not parent.is_relative_to(self.root):
            return _ESCAPES
        files, stems = self._list(parent)
        fitting = [last] if last in files else stems.get(last, [])
        if len(fitting) != 1:
            return _SEVERAL if fitting else _MISSING
        path = (parent / fitting[0]).resolve()
        return path if path.is_relative_to(self.root) else _ESCAPES

    def _list(self, parent):
        if parent not in self._listings:
            files = {entry.name for entry in os.scandir(parent) if entry.is_file()} if parent.is_dir() else set()
            stems = defaultdict(list)
            for file in sorted(files):
                if Path(file).suffix.lower() in SUFFIXES:
                    stems[Path(file).stem].append(file)
            self._listings[parent] = files, stems
        return self._listings[parent]
