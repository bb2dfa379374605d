"""Fusion in the middle: the features of both sides meet inside a network that classifies."""

from numbers import Integral, Real

from mmfeat.fusion._learning._names import check_hidden
from mmfeat.fusion._learning._towers import TOWERS
from mmfeat.multimodal._middle_base import MiddleClassifier
from mmfeat.utils._compat import HasMethods, Interval, StrOptions, _fit_context

_POSITIVE = Interval(Real, 0, None, closed="neither")
_AT_LEAST_ZERO = Interval(Real, 0, None, closed="left")
_SHARE = Interval(Real, 0, 1, closed="left")
_COUNT = Interval(Integral, 1, None, closed="left")


class AttentionFusionClassifier(MiddleClassifier):
    """A network in which the features of the picture and those of the words meet before it classifies: fusion in the middle.

    What one side says can then change what is made of the other, which neither a sum of decisions nor a linear classifier
    of features side by side can do. The encoders are fitted first and stay as they are; the network is trained on their
    features. Training needs torch, prediction does not.

    Parameters
    ----------
    image_encoder : transformer
        From a sequence of images to a matrix, or to bags of vectors (``CNNFeatures(pooling=None)``).
    text_encoder : transformer
        From a sequence of str to a matrix, dense or sparse, or to bags (``WordVectors(pooling=None)``). Several captions
        in one row are one text, a caption a line.
    fusion : {"gated", "bilinear", "cross_attention"}, default="gated"
        "gated": a gated multimodal unit, which says for each component how much the picture counts and how much the
        words. "bilinear": products of a component of either side, a bilinear form of low rank. "cross_attention": each
        word looks at the regions and each region at the words, where either may be a vector alone; wants bags.
    n_components : int, default=128
        Width of the space in which the sides meet; the rank of "bilinear".
    hidden : tuple of int, default=()
        Widths of layers between what was fused and the classes.
    tower : {"mean", "attention", "gru", "lstm", "transformer"}, default="gru"
        What makes one vector of a bag, for "gated" and "bilinear"; as for :class:`~mmfeat.fusion.LearnedProjection`.
    tower_width : int, default=128
        Width of that vector.
    max_length : int or None, default=64
        Vectors of a bag that are used, from its beginning.
    auxiliary_weight : float or (float, float), default=0.0
        Of the losses of two more heads, one that classifies by the picture alone and one by the words alone, beside that of
        both; they are thrown away after the training. Keeps a side from being neglected where the other is learned faster.
    missing : {"error", "impute", "other"}, default="error"
        What becomes of a row whose picture or words are missing: None, NaN, or a picture that the encoder gives a row of
        NaN for (``CNNFeatures(on_error="warn")``). "error" refuses it by name. "impute" puts in the mean of the training
        rows. "other" leaves it to the other side: the gate is open for that one alone, the factor is a learned constant,
        or nothing is attended to. With the last two an empty path, a blank text and an empty bag are missing too, and
        encoders learn from what is there. Without either side the probabilities are the shares of the classes, under
        "other".
    side_dropout : float, default=0.1
        Share of the training rows of which each step leaves out one side, in [0, 1), so that the network learns to do with
        the other; for ``missing="other"`` only.
    class_weight : dict, list of dict, "balanced" or None, default=None
        Weights of the classes as in scikit-learn.
    image : str, default="image"
        Name of the column of images when the pairs are a DataFrame.
    text : str, default="text"
        Name of the column of texts when the pairs are a DataFrame.
    dropout : float, default=0.3
        Share of the inputs, and of what was fused, that each step leaves out, in [0, 1); in steps of 1/256.
    batch_size : int, default=32
        Pairs a step.
    learning_rate : float, default=1e-3
        Of AdamW: reached after a tenth of the steps, then lowered to zero along a cosine.
    weight_decay : float, default=1e-2
        Of AdamW.
    max_epochs : int, default=100
        Passes over the pairs.
    early_stopping : bool, default=True
        Hold out a share of the pictures, about the same of each class, and keep the epoch of the least log loss on them.
        Where that share is fewer than two pictures, the last epoch is kept.
    validation_fraction : float, default=0.1
        Share held out, in (0, 1).
    patience : int, default=20
        Epochs without a lower log loss before training stops.
    device : {"auto", "cpu", "cuda", "cuda:N"}, default="auto"
        Where to train; "auto" takes CUDA if it is there.
    random_state : int, RandomState instance or None, default=None
        Seed of the held-out pictures, the weights, the order of the pairs and the dropout. The same seed gives the same
        weights on the same device with the same number of threads.
    verbose : bool, default=False
        Show a progress bar.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,) or list of ndarray
        The classes; for several labels, ``[0, 1]`` for each.
    class_prior_ : ndarray of shape (n_classes,) or (n_labels, 2)
        Shares of the classes in training.
    image_encoder_, text_encoder_ : transformer
        The fitted encoders.
    network_ : dict
        The network as numpy arrays.
    loss_curve_ : list of float
        Mean training loss of each epoch.
    validation_curve_ : list of float
        Minus the mean log loss of the held-out pairs after each epoch.
    best_epoch_ : int
        Epoch whose weights are kept, from 0.

    See Also
    --------
    PairFeatures : Fuses features before any classifier.
    LateFusionClassifier : Fuses decisions.

    Notes
    -----
    Columns of dense features are brought to mean 0 and deviation 1 first; those of sparse ones, and the vectors of bags, are
    divided by one number.

    "gated" is :math:`z \\odot \\tanh(W_v v) + (1 - z) \\odot \\tanh(W_t t)` with :math:`z = \\sigma(W_z [v, t])`, the
    bimodal unit of Arevalo et al.; "bilinear" is :math:`\\tanh(U v) \\odot \\tanh(V t)`, equation 6 of Kim et al.;
    "cross_attention" is one layer of the crossmodal transformer of Tsai et al. in either direction, four heads, with
    positions for bags, and the means of both outputs side by side. All layers have biases; those of the two factors of
    "bilinear" start from 1, so that each side first counts by itself as well.

    References
    ----------
    Arevalo, J., Solorio, T., Montes-y-Gómez, M. and González, F. A. (2017). Gated multimodal units for information
    fusion. ICLR workshop, section 3.1.

    Kim, J.-H., On, K.-W., Lim, W., Kim, J., Ha, J.-W. and Zhang, B.-T. (2017). Hadamard product for low-rank bilinear
    pooling. ICLR, section 3.

    Tsai, Y.-H. H., Bai, S., Liang, P. P., Kolter, J. Z., Morency, L.-P. and Salakhutdinov, R. (2019). Multimodal
    transformer for unaligned multimodal language sequences. ACL, section 3.

    Neverova, N., Wolf, C., Taylor, G. and Nebout, F. (2016). ModDrop: adaptive multi-modal gesture recognition. IEEE
    Transactions on Pattern Analysis and Machine Intelligence 38(8), for `side_dropout`.

    Examples
    --------
    >>> from mmfeat.datasets import make_scenes
    >>> from mmfeat.image import ColorMoments
    >>> from mmfeat.multimodal import AttentionFusionClassifier
    >>> from mmfeat.text import tfidf_lsa
    >>> posts = make_scenes(80, image_size=32, captions_per_image=1, task="sentiment", random_state=0)
    >>> model = AttentionFusionClassifier(ColorMoments(), tfidf_lsa(None), max_epochs=5, random_state=0)
    >>> model.fit(posts[:60], posts["label"][:60]).predict_proba(posts[60:]).shape
    (20, 2)
    """

    _parameter_constraints = {
        "image_encoder": [HasMethods(["fit", "transform"])],
        "text_encoder": [HasMethods(["fit", "transform"])],
        "fusion": [StrOptions({"gated", "bilinear", "cross_attention"})],
        "n_components": [_COUNT],
        "hidden": [tuple, list],
        "tower": [StrOptions(set(TOWERS))],
        "tower_width": [_COUNT],
        "max_length": [_COUNT, None],
        "auxiliary_weight": [_AT_LEAST_ZERO, tuple, list],
        "missing": [StrOptions({"error", "impute", "other"})],
        "side_dropout": [_SHARE],
        "class_weight": [dict, list, StrOptions({"balanced"}), None],
        "image": [str],
        "text": [str],
        "dropout": [_SHARE],
        "batch_size": [_COUNT],
        "learning_rate": [_POSITIVE],
        "weight_decay": [_AT_LEAST_ZERO],
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
        image_encoder,
        text_encoder,
        *,
        fusion="gated",
        n_components=128,
        hidden=(),
        tower="gru",
        tower_width=128,
        max_length=64,
        auxiliary_weight=0.0,
        missing="error",
        side_dropout=0.1,
        class_weight=None,
        image="image",
        text="text",
        dropout=0.3,
        batch_size=32,
        learning_rate=1e-3,
        weight_decay=1e-2,
        max_epochs=100,
        early_stopping=True,
        validation_fraction=0.1,
        patience=20,
        device="auto",
        random_state=None,
        verbose=False,
    ):
        self.image_encoder = image_encoder
        self.text_encoder = text_encoder
        self.fusion = fusion
        self.n_components = n_components
        self.hidden = hidden
        self.tower = tower
        self.tower_width = tower_width
        self.max_length = max_length
        self.auxiliary_weight = auxiliary_weight
        self.missing = missing
        self.side_dropout = side_dropout
        self.class_weight = class_weight
        self.image = image
        self.text = text
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

    @_fit_context(prefer_skip_nested_validation=False)
    def fit(self, X, y, sample_weight=None):
        """Fit both encoders and train the network on their features.

        Parameters
        ----------
        X : DataFrame of pandas or polars, or object ndarray of shape (n_samples, 2)
            The pairs; a text is a str or a list of str. A picture may stand in several rows.
        y : array-like of shape (n_samples,) or (n_samples, n_labels)
            Classes, or an indicator matrix of 0 and 1. Handed to the encoders too.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows in the loss, and among those held out.

        Returns
        -------
        self : AttentionFusionClassifier

        Raises
        ------
        ValueError
            If `X` is no pairs table, something is missing that may not be, a side is missing in all rows, there are
            fewer than two classes, all weights are zero, or the device is not there.
        FloatingPointError
            If the loss is no longer a number.
        """
        check_hidden(self.hidden)
        return self._fit(X, y, sample_weight)
