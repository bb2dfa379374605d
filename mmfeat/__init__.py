"""Image and text features, a common space, and retrieval both ways, as scikit-learn estimators.

The packages are ``mmfeat.image``, ``mmfeat.text``, ``mmfeat.encoding``, ``mmfeat.fusion``, ``mmfeat.retrieval``,
``mmfeat.multimodal``, ``mmfeat.metrics`` and ``mmfeat.datasets``. Importing them loads none of the heavy libraries (torch,
opencv, gensim, pandas, matplotlib): those are imported at the point of use.
"""

__version__ = "0.1.0"
