"""Import of packages that are optional, with the cure in the error."""

import importlib


def import_optional(name, *, extra, purpose):
    """Import the module `name`, or say which extra of mmfeat brings it.

    Parameters
    ----------
    name : str
        Dotted module name.
    extra : str
        Extra of mmfeat that installs it.
    purpose : str
        What needs it, as the subject of the error's sentence.

    Returns
    -------
    module : types.ModuleType

    Raises
    ------
    ImportError
        If the module is not installed.
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise ImportError(
            f"{purpose} needs the package '{name.partition('.')[0]}', which could not be imported ({error}). "
            f"Install it with: pip install 'mmfeat[{extra}]'"
        ) from error
