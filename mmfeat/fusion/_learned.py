"""Two heads trained by gradient descent so that right pairs score above wrong ones."""

from numbers import Integral, Real
from os import PathLike

from sklearn.base import clone

from mmfeat.fusion._cca import CCA
from mmfeat.fusion._learning._base import LearnedFusion
from mmfeat.fusion._learning._batches import BagView
from mmfeat.fusion._learning._heads import ACTIVATIONS
from mmfeat.fusion._learning._losses import ROW_LOSSES, SCORE_LOSSES
from mmfeat.fusion._learning._members import standardised
from mmfeat.fusion._learning._names import check_hidden, check_name
from mmfeat.fusion._learning._towers import TOWERS
from mmfeat.utils._compat import Interval, StrOptions, _fit_context

_POSITIVE = Interval(Real, 0, None, closed="neither")
_SHARE = Interval(Real, 0, 1, closed="left")
_COUNT = Interval(Integral, 1, None, closed="left")


class LearnedProjection(LearnedFusion):
    """A head per view, trained so that right pairs are more similar than wrong ones.

    A view is a matrix, whose head is a linear map or a few of them with a bend between, or a column of bags (word vectors
    of a text, regions of a picture), whose tower reads them in order or weighs them. Training needs torch, transforming
    does not.

    Parameters
    ----------
    n_components : int, default=512
        Width of the common space.
    hidden : tuple of int, default=()
        Widths of the hidden layers of each head; none: a linear map.
    activation : {"relu", "gelu", "tanh"}, default="relu"
        Between the layers.
    tower : {"mean", "attention", "gru", "lstm", "transformer"}, default="gru"
        What makes one vector of a bag: its mean, an attention-weighted mean, the mean of the states of a recurrent
        network that reads in both directions, or of two layers of self-attention with positions.
    tower_width : int, default=512
        Width of that vector.
    max_length : int or None, default=64
        Vectors of a bag that are used, from its beginning.
    loss : str or callable, default="infonce"
        With scores of the batch: "infonce" (cross-entropy among the batch, learned temperature), "siglip" (each pair on
        its own, learned temperature and bias), "triplet" (hinge on the hardest negative, VSE++), "triplet_sum" (on all),
        "ranking" (on the semi-hard one, FaceNet), "cosine" (cosine distance, wrong pairs above a margin). With distances:
        "contrastive" (Hadsell), "euclidean" (regression of the distances). Without negatives: "cca" (canonical
        correlations of the batch, see also :class:`DeepCCA`), "vicreg", "barlow"; they work on rows as the heads give them.
        A callable is called as ``loss(x, y, same)`` with two tensors of shape (n, n_components), row by row a pair, and a
        boolean one of shape (n, n) that is True for pairs of one image; it returns a tensor of shape ().
    similarity : {"cosine", "dot"}, default="cosine"
        What training compares by. "cosine": rows have unit length, in training and as results; "dot": neither.
    init : {"cca", "random"} or CCA, default="cca"
        What the heads start from. "cca": the rotations of a :class:`CCA` with its default ridge, or of the one given, fitted on
        the rows that are trained on; training then mends what that leaves, in few epochs. Two matrices and linear heads
        only. "random": random weights, which want a ten times higher learning rate.
    margin : float or None, default=None
        Of the losses that have one, in units of cosine or distance. None: 0.2 for "triplet", "triplet_sum" and "ranking", 0
        for "cosine", 1 for "contrastive", the root of 2 for "euclidean".
    temperature : float, default=0.05
        Where the learned temperature of "infonce" and "siglip" starts.
    label_weight : float, default=0.5
        Of the error of a classifier on the common space beside the loss, where ``fit`` is given labels.
    dropout : float, default=0.5
        Share of the inputs, and of the hidden units, that each training step leaves out, in [0, 1); in steps of 1/256.
    batch_size : int or "auto", default="auto"
        Pairs a step, no more than there are; "auto": 512, or all where there are fewer. Each is a negative for all others
        but those of the same image.
    texts_per_epoch : int or None, default=None
        Captions of an image that an epoch draws; None: all.
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
    ensemble : int, default=1
        Pairs of heads, trained from seeds of their own and each with images of its own held out. Their rows are put side
        by side, so that the cosine of two rows is the mean of the members' cosines.
    device : {"auto", "cpu", "cuda", "cuda:N"}, default="auto"
        Where to train; "auto" takes CUDA if it is there.
    precision : {"auto", "float32", "bfloat16"}, default="auto"
        Of the products in training; weights stay float32. "auto": bfloat16 where the device has it in hardware, several
        times as fast on such CPUs and without loss as far as was measured.
    random_state : int, RandomState instance or None, default=None
        Seed of the held-out images, the weights, the order of the pairs and the dropout. The same seed gives the same
        weights on the same device with the same number of threads.
    warm_start : bool, default=False
        Let a further ``fit`` begin with the weights found before, and with the means and scales of then.
    checkpoint : str, os.PathLike or None, default=None
        File that holds the training after each epoch. A ``fit`` that was interrupted goes on from it, to the weights that it
        would have reached undisturbed; the file is removed when the training is done.
    callback : callable or None, default=None
        Called as ``callback(record)`` after each epoch, `record` a dict of "epoch" (from 0), "loss" and "validation" (None if
        nothing is held out); a true result stops the training.
    verbose : bool, default=False
        Show a progress bar.

    Attributes
    ----------
    members_ : list of dict
        The heads of each member under "x" and "y", as numpy arrays.
    x_mean_, y_mean_ : ndarray
        Means of the columns of the rows trained on, zero for a sparse view, which is not centred.
    x_scale_, y_scale_ : float
        Root mean square of the centred entries; the views are divided by it.
    loss_curve_ : list of float
        Mean training loss of each epoch; of the first member.
    validation_curve_ : list of float
        Mean reciprocal rank of the held-out pairs after each epoch; of the first member.
    best_epoch_ : int
        Epoch whose weights are kept, from 0; of the first member.
    n_components_ : int
        Columns of the result: `n_components` of each member.
    n_features_in_, n_targets_in_ : int
        Number of columns of each view, or of the vectors in its bags.

    See Also
    --------
    mmfeat.fusion.CCA : In closed form, without a seed, in a fraction of the time.
    mmfeat.fusion.DeepCCA : Canonical correlations of deep heads.
    mmfeat.fusion.plot_learning_curve : Draw the curves.

    Notes
    -----
    Views are used where they are: centred, scaled and made dense batch by batch. Beyond them, training needs the weights
    three times over and one batch, however many captions an image has.

    References
    ----------
    Radford, A. et al. (2021). Learning transferable visual models from natural language supervision. ICML.

    Faghri, F., Fleet, D., Kiros, J. and Fidler, S. (2018). VSE++: improving visual-semantic embeddings with hard
    negatives. BMVC.

    The docstring of each loss names its paper.

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
        "activation": [StrOptions(set(ACTIVATIONS))],
        "tower": [StrOptions(set(TOWERS))],
        "tower_width": [_COUNT],
        "max_length": [_COUNT, None],
        "loss": [str, callable],
        "similarity": [StrOptions({"cosine", "dot"})],
        "init": [StrOptions({"cca", "random"}), CCA],
        "margin": [Interval(Real, 0, None, closed="left"), None],
        "temperature": [_POSITIVE],
        "label_weight": [Interval(Real, 0, None, closed="left")],
        "dropout": [_SHARE],
        "batch_size": [Interval(Integral, 2, None, closed="left"), StrOptions({"auto"})],
        "texts_per_epoch": [_COUNT, None],
        "learning_rate": [_POSITIVE],
        "weight_decay": [Interval(Real, 0, None, closed="left")],
        "max_epochs": [_COUNT],
        "early_stopping": ["boolean"],
        "validation_fraction": [Interval(Real, 0, 1, closed="neither")],
        "patience": [_COUNT],
        "ensemble": [_COUNT],
        "device": [str],
        "precision": [StrOptions({"auto", "float32", "bfloat16"})],
        "random_state": ["random_state"],
        "warm_start": ["boolean"],
        "checkpoint": [str, PathLike, None],
        "callback": [callable, None],
        "verbose": ["boolean"],
    }

    def __init__(
        self,
        n_components=512,
        *,
        hidden=(),
        activation="relu",
        tower="gru",
        tower_width=512,
        max_length=64,
        loss="infonce",
        similarity="cosine",
        init="cca",
        margin=None,
        temperature=0.05,
        label_weight=0.5,
        dropout=0.5,
        batch_size="auto",
        texts_per_epoch=None,
        learning_rate=1e-4,
        weight_decay=1e-2,
        max_epochs=15,
        early_stopping=True,
        validation_fraction=0.1,
        patience=3,
        ensemble=1,
        device="auto",
        precision="auto",
        random_state=None,
        warm_start=False,
        checkpoint=None,
        callback=None,
        verbose=False,
    ):
        self.n_components = n_components
        self.hidden = hidden
        self.activation = activation
        self.tower = tower
        self.tower_width = tower_width
        self.max_length = max_length
        self.loss = loss
        self.similarity = similarity
        self.init = init
        self.margin = margin
        self.temperature = temperature
        self.label_weight = label_weight
        self.dropout = dropout
        self.batch_size = batch_size
        self.texts_per_epoch = texts_per_epoch
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.max_epochs = max_epochs
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.patience = patience
        self.ensemble = ensemble
        self.device = device
        self.precision = precision
        self.random_state = random_state
        self.warm_start = warm_start
        self.checkpoint = checkpoint
        self.callback = callback
        self.verbose = verbose

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y=None, groups=None, labels=None):
        """Train the heads.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_samples, n_features), or sequence of ndarray (n_i, n_features)
            First view (images), a matrix or bags.
        y : array-like or sparse matrix of shape (n_samples, n_targets), or sequence of ndarray of shape (n_i, n_targets)
            Second view (texts), row by row beside the first; 1-D is one column.
        groups : array-like of shape (n_samples,), default=None
            Image of each row: rows of one image are never each other's negatives, and are held out together. None: each
            row is an image of its own.
        labels : array-like of shape (n_samples,), or array-like or sparse matrix of shape (n_samples, n_labels), default=None
            Classes, or an indicator of each label: the common space then also learns to tell them apart.

        Returns
        -------
        self : LearnedProjection

        Raises
        ------
        ValueError
            If the views differ in length, hold NaN, all rows belong to one image, a batch is smaller than two pairs, all
            texts are the same, there is one class only, the loss is unknown, the device is not there, or the checkpoint
            is that of another training.
        FloatingPointError
            If the loss is no longer a number.
        """
        self._check_loss()
        return self._fit(X, y, groups, labels)

    def partial_fit(self, X, y=None, groups=None, labels=None):
        """Train for one more pass over a batch of pairs, which may be new ones, at the full learning rate.

        Parameters
        ----------
        X, y, groups, labels : see :meth:`fit`
            The means, the scales and the start from CCA are those of the first call; `labels` must have the classes of that
            call. Nothing is held out.

        Returns
        -------
        self : LearnedProjection
        """
        self._validate_params()
        self._check_loss()
        return self._partial_fit(X, y, groups, labels)

    def _check_loss(self):
        if not callable(self.loss):
            check_name("loss", self.loss, {**SCORE_LOSSES, **ROW_LOSSES})
        check_hidden(self.hidden)

    def _start(self, heads, views, rows):
        """Let linear heads begin with what a CCA does."""
        if isinstance(self.init, str) and self.init == "random":
            return
        if len(self.hidden) or any(isinstance(view, BagView) for view in views):
            what = f"`hidden` is {self.hidden!r}" if len(self.hidden) else "a view holds bags"
            raise ValueError(
                f"A start from CCA needs two matrices and linear heads, but {what}. Pass init='random', and a ten times "
                "higher `learning_rate`."
            )
        X, y = (standardised(_rows_of(view.matrix, rows), view.mean, view.scale) for view in views)
        cca = CCA() if isinstance(self.init, str) else clone(self.init)
        cca.set_params(n_components=min(self.n_components, *X.shape, *y.shape)).fit(X, y)
        weights = cca.canonical_correlations_**cca.power
        for head, rotations, mean in zip(
            heads, (cca.x_rotations_, cca.y_rotations_), (cca.x_mean_, cca.y_mean_), strict=True
        ):
            head.start_from(rotations * weights, -mean @ (rotations * weights))


def _rows_of(matrix, rows):
    return matrix if len(rows) == matrix.shape[0] else matrix[rows]
