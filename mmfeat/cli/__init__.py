"""The ``mmfeat`` command."""

__all__ = ["main"]


def main(arguments=None):
    """Run the command.

    Parameters
    ----------
    arguments : list of str or None, default=None
        The words after ``mmfeat``; None takes those the process was started with.

    Raises
    ------
    SystemExit
        Always: with code 0 after success, 1 after bad input, 2 after a wrong option.

    Examples
    --------
    >>> from mmfeat.cli import main
    >>> try:
    ...     main(["--version"])
    ... except SystemExit as end:
    ...     end.code
    mmfeat ...
    0
    """
    from mmfeat.cli._app import run

    raise SystemExit(run(arguments))
