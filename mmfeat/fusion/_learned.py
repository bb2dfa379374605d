"""Two heads trained by gradient descent so that right pairs score above wrong ones."""

from numbers import Integral, Real

import numpy as np
from scipy import sparse
from sklearn.base import clone
from sklearn.utils import check_random_state

from mmfeat.fusion._base import TwoViewTransformer, check_groups
from mmfeat.fusion._cca import CCA
from mmfeat.fusion._moments import column_means
from mmfeat.fusion._training import Settings, train_heads
from mmfeat.utils._compat import Interval, StrOptions, _fit_context
from mmfeat.utils._device import resolve_device
from mmfeat.utils._rows import unit_rows

_POSITIVE = Interval(Real, 0, None, closed="neither")
_SHARE = Interval(Real, 0, 1, closed="left")
_COUNT = Interval(Integral, 1, None, closed="left")


class LearnedProjection(TwoViewTransformer):
    """A head per view, trained so that right pairs are more similar than wrong ones.

    Each head is a linear map, or a few of them with rectifiers between; training needs torch, transforming does not.

    Parameters
    ----------
    n_components : int, default=512
        Width of the common space.
    hidden : tuple of int, default=()
        Widths of the hidden layers of each head; none: a linear map.
    loss : {"infonce", "triplet"}, default="infonce"
        "infonce": cross-entropy among the batch, in both directions, with learned temperature. "triplet": hinge on the
        hardest negative of the batch (VSE++).
    init : {"cca", "random"} or CCA, default="cca"
        What the heads start from. "cca": the rotations of a :class:`CCA` with its default ridge, or of the one given, fitted on
        the rows that are trained on; training then mends what that leaves, in few epochs. Linear heads only. "random":
        random weights, which want a ten times higher learning rate.
    margin : float, default=0.2
        Of the triplet loss, in units of cosine.
    temperature : float, default=0.05
        Where the learned temperature of the InfoNCE loss starts.
    dropout : float, default=0.5
        Share of the inputs, and of the hidden units, that each training step leaves out, in [0, 1).
    batch_size : int, default=512
        Pairs a step; each is a negative for all others but those of the same image.
    learning_rate : float, default=1e-4
        Of AdamW: reached after a tenth of the steps, then lowered to zero along a cosine.
    weight_decay : float, default=1e-2
        Of AdamW.
    max_epochs : int, default=15
        Passes over the pairs.
    early_stopping : bool, default=True
        Hold out a share of the images and keep the epoch that ranks them best. Where that share is fewer than two
        images, the last epoch is kept.
    validation_fraction : float, default=0.1
        Share of the images held out, in (0, 1).
    patience : int, default=3
        Epochs without a better ranking before training stops.
    device : {"auto", "cpu", "cuda", "cuda:N"}, default="auto"
        Where to train; "auto" takes CUDA if it is there.
    random_state : int, RandomState instance or None, default=None
        Seed of the held-out images, the weights, the order of the pairs and the dropout. The same seed gives the same
        weights on the same device.
    verbose : bool, default=False
        Show a progress bar.

    Attributes
    ----------
    x_layers_, y_layers_ : list of (ndarray of shape (n_in, n_out), ndarray of shape (n_out,))
        Weights and bias of each layer of the two heads.
    x_mean_, y_mean_ : ndarray
        Means of the columns of the rows trained on, zero for a sparse view, which is not centred.
    x_scale_, y_scale_ : float
        Root mean square of the centred entries; the views are divided by it.
    loss_curve_ : list of float
        Mean training loss of each epoch.
    validation_curve_ : list of float
        Mean reciprocal rank of the held-out pairs after each epoch.
    best_epoch_ : int
        Epoch whose weights are kept, from 0.
    n_components_ : int
        Width of the common space.
    n_features_in_, n_targets_in_ : int
        Number of columns of each view.

    See Also
    --------
    mmfeat.fusion.CCA : In closed form, without a seed, in a fraction of the time.

    References
    ----------
    Radford, A. et al. (2021). Learning transferable visual models from natural language supervision. ICML.

    Faghri, F., Fleet, D., Kiros, J. and Fidler, S. (2018). VSE++: improving visual-semantic embeddings with hard
    negatives. BMVC.

    Examples
    --------
    >>> import numpy as np
    >>> from mmfeat.fusion import LearnedProjection
    >>> rng = np.random.default_rng(0)
    >>> shared = rng.normal(size=(100, 4))
    >>> X, Y = shared @ rng.normal(size=(4, 10)), shared @ rng.normal(size=(4, 8))
    >>> projection = LearnedProjection(8, max_epochs=3, random_state=0).fit(X, Y)
    >>> projection.transform(X).shape, projection.transform_y(Y[:3]).shape
    ((100, 8), (3, 8))
    """

    _parameter_constraints = {
        "n_components": [_COUNT],
        "hidden": [tuple, list],
        "loss": [StrOptions({"infonce", "triplet"})],
        "init": [StrOptions({"cca", "random"}), CCA],
        "margin": [_POSITIVE],
        "temperature": [_POSITIVE],
        "dropout": [_SHARE],
        "batch_size": [Interval(Integral, 2, None, closed="left")],
        "learning_rate": [_POSITIVE],
        "weight_decay": [Interval(Real, 0, None, closed="left")],
        "max_epochs": [_COUNT],
        "early_stopping": ["boolean"],
        "validation_fraction": [Interval(Real, 0, 1, closed="neither")],
        "patience": [_COUNT],
        "device": [str],
        "random_state": ["random_state"],
        "verbose": ["boolean"],
    }

    def __init__(
        self,
        n_components=512,
        *,
        hidden=(),
        loss="infonce",
        init="cca",
        margin=0.2,
        temperature=0.05,
        dropout=0.5,
        batch_size=512,
        learning_rate=1e-4,
        weight_decay=1e-2,
        max_epochs=15,
        early_stopping=True,
        validation_fraction=0.1,
        patience=3,
        device="auto",
        random_state=None,
        verbose=False,
    ):
        self.n_components = n_components
        self.hidden = hidden
        self.loss = loss
        self.init = init
        self.margin = margin
        self.temperature = temperature
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
        self.verbose = verbose

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y=None, groups=None):
        """Train the heads.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_samples, n_features)
            First view (images).
        y : array-like or sparse matrix of shape (n_samples, n_targets)
            Second view (texts), row by row beside the first; 1-D is one column.
        groups : array-like of shape (n_samples,), default=None
            Image of each row: rows of one image are never each other's negatives, and are held out together. None: each
            row is an image of its own.

        Returns
        -------
        self : LearnedProjection

        Raises
        ------
        ValueError
            If the views differ in length, hold NaN, all rows belong to one image, or the device is not there.
        FloatingPointError
            If the loss is no longer a number.
        """
        X, y = self._check_views(X, y)
        groups = check_groups(groups, X.shape[0])
        if groups.max() == 0:
            raise ValueError(
                "All rows belong to one image, so there are no wrong pairs to learn from. Pass two images or more."
            )
        rng = check_random_state(self.random_state)
        held_out = self._hold_out(groups, rng)
        # The held-out images shape nothing that they are judged by: neither the means nor the start.
        self.x_mean_, self.x_scale_ = _mean_and_scale(X[~held_out])
        self.y_mean_, self.y_scale_ = _mean_and_scale(y[~held_out])
        X, y = _standardise(X, self.x_mean_, self.x_scale_), _standardise(y, self.y_mean_, self.y_scale_)
        settings = self._settings(rng.randint(np.iinfo(np.int32).max))
        outcome = train_heads(X, y, groups, held_out, self._start(X[~held_out], y[~held_out]), settings)
        self.x_layers_, self.y_layers_ = outcome.x_layers, outcome.y_layers
        self.loss_curve_, self.validation_curve_ = outcome.loss_curve, outcome.validation_curve
        self.best_epoch_ = outcome.best_epoch
        self.n_components_ = self.n_components
        return self

    def _settings(self, seed):
        return Settings(
            n_components=self.n_components,
            hidden=_check_hidden(self.hidden),
            dropout=self.dropout,
            loss=self.loss,
            margin=self.margin,
            temperature=self.temperature,
            batch_size=self.batch_size,
            learning_rate=self.learning_rate,
            weight_decay=self.weight_decay,
            max_epochs=self.max_epochs,
            patience=self.patience,
            device=resolve_device(self.device),
            seed=seed,
            verbose=self.verbose,
        )

    def _start(self, X, y):
        """Weights and biases of linear heads that do what a CCA does, or None for random ones."""
        if isinstance(self.init, str) and self.init == "random":
            return None
        if len(self.hidden):
            raise ValueError(
                f"A start from CCA needs linear heads, but `hidden` is {self.hidden!r}. Pass init='random', or hidden=()."
            )
        cca = CCA() if isinstance(self.init, str) else clone(self.init)
        cca.set_params(n_components=min(self.n_components, *X.shape, *y.shape)).fit(X, y)
        weights = cca.canonical_correlations_**cca.power
        x_weight, y_weight = cca.x_rotations_ * weights, cca.y_rotations_ * weights
        return (x_weight, -cca.x_mean_ @ x_weight), (y_weight, -cca.y_mean_ @ y_weight)

    def _hold_out(self, groups, rng):
        n_groups = groups.max() + 1
        n_held_out = round(n_groups * self.validation_fraction) if self.early_stopping else 0
        if n_held_out < 2 or n_groups - n_held_out < 2:
            return np.zeros(len(groups), dtype=bool)
        return np.isin(groups, rng.choice(n_groups, n_held_out, replace=False))

    def _embed_x(self, X):
        return _forward(_standardise(X, self.x_mean_, self.x_scale_), self.x_layers_)

    def _embed_y(self, y):
        return _forward(_standardise(y, self.y_mean_, self.y_scale_), self.y_layers_)


def _mean_and_scale(view):
    """Means of the columns (zero for a sparse view) and root mean square of what is left of all entries."""
    if sparse.issparse(view):
        mean, squares = np.zeros(view.shape[1]), float((view.data.astype(np.float64) ** 2).sum())
    else:
        mean = column_means(view)
        squares = float(np.einsum("ij,ij->", view, view, dtype=np.float64)) - len(view) * float(mean @ mean)
    scale = np.sqrt(max(squares, 0) / (view.shape[0] * view.shape[1]))
    # Rounding leaves a speck of a constant view; dividing by it would blow up noise.
    return mean, scale if scale > 1e-9 * max(1.0, float(np.abs(mean).max())) else 1.0


def _standardise(view, mean, scale):
    if sparse.issparse(view):
        return view * np.asarray(1 / scale, dtype=view.dtype)
    return (view - mean.astype(view.dtype)) / np.asarray(scale, dtype=view.dtype)


def _forward(view, layers):
    """The head in numpy: linear layers with rectifiers between, then rows of unit length."""
    for depth, (weight, bias) in enumerate(layers):
        view = view if depth == 0 else np.maximum(view, 0)
        view = np.asarray(view @ weight.astype(view.dtype)) + bias.astype(view.dtype)
    return unit_rows(view)


def _check_hidden(hidden):
    if not all(isinstance(width, (int, np.integer)) and width >= 1 for width in hidden):
        raise ValueError(f"`hidden` must hold integers of at least 1. Got {hidden!r} instead.")
    return tuple(hidden)
