"""Lists of words to drop: those that travel with the package, files, and collections."""

import functools
import os
from collections.abc import Collection, Mapping
from importlib import resources
from pathlib import Path

SHIPPED = ("zh", "en", "zh+en")


def resolve_stop_words(stop_words):
    """Return the set of words that a parameter `stop_words` stands for.

    Parameters
    ----------
    stop_words : None, {"zh", "en", "zh+en"}, path-like or collection of str
        The name of a list of the package (or both), a UTF-8 file with one word a line, or the words.

    Returns
    -------
    words : frozenset of str

    Raises
    ------
    ValueError
        If the collection holds something else than str, or the file is not UTF-8 (the message names the line).
    FileNotFoundError
        If there is no such file.
    """
    if stop_words is None:
        return frozenset()
    if isinstance(stop_words, str) and stop_words in SHIPPED:
        return frozenset().union(*(_shipped(name) for name in stop_words.split("+")))
    if isinstance(stop_words, (str, os.PathLike)):
        return frozenset(line for _, line in numbered_lines(stop_words, "stop_words", _hint()))
    if isinstance(stop_words, Mapping) or not isinstance(stop_words, Collection):
        # Arrays and columns are collections as well; they are hashed by their values.
        stop_words = list(stop_words)
    strangers = [word for word in stop_words if not isinstance(word, str)]
    if strangers:
        raise ValueError(f"`stop_words` must hold str only. Got {strangers[0]!r} instead. Drop or convert it.")
    return frozenset(stop_words)


def numbered_lines(path, parameter, hint):
    """Read the lines of a UTF-8 file that are not blank.

    Parameters
    ----------
    path : path-like
    parameter : str
        Name of the parameter that holds the path, for the messages.
    hint : str
        What else the parameter takes.

    Yields
    ------
    number : int
        From 1.
    line : str
        Without white space around it.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If a line is not UTF-8.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"`{parameter}` names the file {str(path)!r}, which is not there. {hint}")
    for number, raw in enumerate(path.read_bytes().removeprefix(b"\xef\xbb\xbf").splitlines(), 1):
        try:
            line = raw.decode("utf-8").strip()
        except UnicodeDecodeError as error:
            raise ValueError(
                f"Line {number} of {path} is not UTF-8 ({error.reason}). Save the file as UTF-8."
            ) from error
        if line:
            yield number, line


@functools.lru_cache
def _shipped(name):
    text = resources.files("mmfeat.text").joinpath("stop_words", f"{name}.txt").read_text("utf-8")
    return frozenset(text.split())


def _hint():
    return f"Pass {', '.join(map(repr, SHIPPED))}, the path of a file with one word a line, or a collection of words."
