"""Deep canonical correlation analysis: heads trained for the correlations of what they give."""

from numbers import Integral, Real
from os import PathLike

from mmfeat.fusion._learning._base import LearnedFusion
from mmfeat.fusion._learning._heads import ACTIVATIONS
from mmfeat.fusion._learning._names import check_hidden
from mmfeat.fusion._learning._towers import TOWERS
from mmfeat.utils._compat import Interval, StrOptions, _fit_context

_POSITIVE = Interval(Real, 0, None, closed="neither")
_COUNT = Interval(Integral, 1, None, closed="left")


class DeepCCA(LearnedFusion):
    """Two deep heads whose columns are as correlated as they can be, then a linear :class:`CCA` of what they give.

    Unlike the losses that rank, it has no negatives. A batch must be several times as large as `n_components`, or its
    correlations say nothing of those of the data.

    Parameters
    ----------
    n_components : int, default=64
        Width of the common space.
    hidden : tuple of int, default=(1024,)
        Widths of the hidden layers of each head; none: linear heads, which find what :class:`CCA` finds.
    activation : {"relu", "gelu", "tanh"}, default="tanh"
        Between the layers.
    reconstruction : float, default=0.0
        Weight of the mean squared error of decoders that restore each view from its row of the common space; above 0 this is
        the deep canonically correlated autoencoder. Matrices only.
    tower : {"mean", "attention", "gru", "lstm", "transformer"}, default="gru"
        What makes one vector of a bag, where a view holds bags.
    tower_width : int, default=512
        Width of that vector.
    max_length : int or None, default=64
        Vectors of a bag that are used.
    dropout : float, default=0.1
        Share of the inputs, and of the hidden units, that each training step leaves out, in [0, 1).
    batch_size : int or "auto", default="auto"
        Pairs a step; "auto": 2,048, or all where there are fewer.
    learning_rate : float, default=1e-3
        Of AdamW: reached after a tenth of the steps, then lowered to zero along a cosine.
    weight_decay : float, default=1e-4
        Of AdamW.
    max_epochs : int, default=30
        Passes over the pairs.
    early_stopping : bool, default=True
        Hold out a share of the images and keep the epoch that ranks them best.
    validation_fraction : float, default=0.1
        Share of the images held out, in (0, 1).
    patience : int, default=5
        Epochs without a better ranking before training stops.
    device : {"auto", "cpu", "cuda", "cuda:N"}, default="auto"
        Where to train; "auto" takes CUDA if it is there.
    random_state : int, RandomState instance or None, default=None
        Seed of all that is random.
    checkpoint : str, os.PathLike or None, default=None
        File that holds the training after each epoch, as for :class:`LearnedProjection`.
    verbose : bool, default=False
        Show a progress bar.

    Attributes
    ----------
    canonical_correlations_ : ndarray of shape (n_components_,)
        Of the rows trained on, through both heads, in descending order.
    members_ : list of dict
        The heads under "x" and "y", the final CCA being part of their last layers.
    x_mean_, y_mean_ : ndarray
        Means of the columns of the rows trained on, zero for a sparse view.
    x_scale_, y_scale_ : float
        Root mean square of the centred entries; the views are divided by it.
    loss_curve_, validation_curve_ : list of float
        Mean training loss, and mean reciprocal rank of the held-out pairs, after each epoch.
    best_epoch_ : int
        Epoch whose weights are kept, from 0.
    n_components_ : int
        Width of the common space.
    n_features_in_, n_targets_in_ : int
        Number of columns of each view.

    See Also
    --------
    mmfeat.fusion.CCA : The linear form, in closed form.
    mmfeat.fusion.LearnedProjection : Heads trained to rank.

    References
    ----------
    Andrew, G., Arora, R., Bilmes, J. and Livescu, K. (2013). Deep canonical correlation analysis. ICML.

    Wang, W., Arora, R., Livescu, K. and Bilmes, J. (2015). On deep multi-view representation learning. ICML, section 3.1:
    mini-batches, and the autoencoder form.

    Examples
    --------
    >>> import numpy as np
    >>> from mmfeat.fusion import DeepCCA
    >>> rng = np.random.default_rng(0)
    >>> shared = rng.normal(size=(200, 2))
    >>> X, Y = shared @ rng.normal(size=(2, 6)), np.tanh(shared @ rng.normal(size=(2, 5)))
    >>> projection = DeepCCA(2, hidden=(32,), max_epochs=10, random_state=0).fit(X, Y)
    >>> projection.transform(X).shape
    (200, 2)
    """

    _parameter_constraints = {
        "n_components": [_COUNT],
        "hidden": [tuple, list],
        "activation": [StrOptions(set(ACTIVATIONS))],
        "reconstruction": [Interval(Real, 0, None, closed="left")],
        "tower": [StrOptions(set(TOWERS))],
        "tower_width": [_COUNT],
        "max_length": [_COUNT, None],
        "dropout": [Interval(Real, 0, 1, closed="left")],
        "batch_size": [Interval(Integral, 2, None, closed="left"), StrOptions({"auto"})],
        "learning_rate": [_POSITIVE],
        "weight_decay": [Interval(Real, 0, None, closed="left")],
        "max_epochs": [_COUNT],
        "early_stopping": ["boolean"],
        "validation_fraction": [Interval(Real, 0, 1, closed="neither")],
        "patience": [_COUNT],
        "device": [str],
        "random_state": ["random_state"],
        "checkpoint": [str, PathLike, None],
        "verbose": ["boolean"],
    }
    # What the loop of LearnedProjection asks and this one leaves fixed.
    loss, similarity, precision = "cca", "cosine", "float32"
    margin, texts_per_epoch, ensemble = None, None, 1
    temperature, label_weight = 1.0, 0.0
    _auto_batch = 2048

    def __init__(
        self,
        n_components=64,
        *,
        hidden=(1024,),
        activation="tanh",
        reconstruction=0.0,
        tower="gru",
        tower_width=512,
        max_length=64,
        dropout=0.1,
        batch_size="auto",
        learning_rate=1e-3,
        weight_decay=1e-4,
        max_epochs=30,
        early_stopping=True,
        validation_fraction=0.1,
        patience=5,
        device="auto",
        random_state=None,
        checkpoint=None,
        verbose=False,
    ):
        self.n_components = n_components
        self.hidden = hidden
        self.activation = activation
        self.reconstruction = reconstruction
        self.tower = tower
        self.tower_width = tower_width
        self.max_length = max_length
        self.dropout = dropout
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.max_epochs = max_epochs
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.patience = patience
        self.device = device
        self.random_state = random_state
        self.checkpoint = checkpoint
        self.verbose = verbose

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y=None, groups=None):
        """Train the heads, then find the canonical directions of what they give.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_samples, n_features), or sequence of ndarray (n_i, n_features)
            First view (images), a matrix or bags.
        y : array-like or sparse matrix of shape (n_samples, n_targets), or sequence of ndarray of shape (n_i, n_targets)
            Second view (texts), row by row beside the first; 1-D is one column.
        groups : array-like of shape (n_samples,), default=None
            Image of each row: rows of one image are held out together. None: each row is an image of its own.

        Returns
        -------
        self : DeepCCA

        Raises
        ------
        ValueError
            If the views differ in length, hold NaN, all rows belong to one image, a batch has no more pairs than there are
            components, or the device is not there.
        FloatingPointError
            If the loss is no longer a number.
        """
        check_hidden(self.hidden)
        return self._fit(X, y, groups, None)

    def _check_batch(self, held_out):
        super()._check_batch(held_out)
        n_pairs = int((~held_out).sum())
        size = self._auto_batch if self.batch_size == "auto" else self.batch_size
        smallest = n_pairs // -(-n_pairs // size)
        if smallest <= self.n_components:
            raise ValueError(
                f"Batches of {smallest} pairs say nothing of {self.n_components} correlations. Reduce `n_components` to a "
                "fraction of that, or raise `batch_size`."
            )
        if self.reconstruction and (self._x_is_bags or self._y_is_bags):
            raise ValueError(
                f"`reconstruction` is {self.reconstruction}, but bags cannot be restored. Pass 0, or matrices."
            )
