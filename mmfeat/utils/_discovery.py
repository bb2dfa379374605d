"""Find what the package offers, for the tests that hold it all to one contract and for the documentation."""

import importlib
import inspect
import pkgutil

from sklearn.base import BaseEstimator


def public_packages():
    """Import the subpackages of mmfeat that users import from.

    Returns
    -------
    packages : dict of str to types.ModuleType
        Keyed by dotted name, sorted; ``mmfeat.utils`` and packages with a leading underscore are not among them.
    """
    root = importlib.import_module("mmfeat")
    found = pkgutil.walk_packages(root.__path__, "mmfeat.")
    names = sorted(module.name for module in found if module.ispkg)
    hidden = [name for name in names if name.split(".")[1] == "utils" or "._" in name]
    return {name: importlib.import_module(name) for name in names if name not in hidden}


def public_objects():
    """Look up every name in an ``__all__``.

    Returns
    -------
    objects : dict of str to object
        Classes and functions, keyed by dotted name such as ``"mmfeat.image.HOGFeatures"``.
    """
    packages = public_packages()
    return {f"{path}.{name}": getattr(package, name) for path, package in packages.items() for name in package.__all__}


def all_estimators():
    """Look up every public class that is a scikit-learn estimator.

    Returns
    -------
    estimators : dict of str to type
        Keyed by class name.
    """
    objects = public_objects().values()
    return {item.__name__: item for item in objects if inspect.isclass(item) and issubclass(item, BaseEstimator)}
