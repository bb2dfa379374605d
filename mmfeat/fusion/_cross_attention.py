"""Scores of pictures and sentences by attention between regions and words."""

from numbers import Integral, Real
from os import PathLike

import numpy as np
from sklearn.utils import check_random_state

from mmfeat.fusion._base import check_groups
from mmfeat.fusion._learning._attention_fit import LOSSES, train_attention
from mmfeat.fusion._learning._attention_scores import AttentionScores, numbers_of
from mmfeat.fusion._learning._batches import all_equal, hold_out
from mmfeat.fusion._learning._names import check_name
from mmfeat.fusion._learning._vector_heads import VECTOR_TOWERS
from mmfeat.utils._compat import Interval, StrOptions, _fit_context

_POSITIVE = Interval(Real, 0, None, closed="neither")
_COUNT = Interval(Integral, 1, None, closed="left")


class CrossAttentionScorer(AttentionScores):
    """Stacked cross attention: each word looks for its regions in the picture, and a pair scores by what its words find.

    A sentence has no vector of its own here, so that there is nothing to index: each pair is scored alone. Use it as the
    second stage of a search, on the best that an index finds (:meth:`rerank`). Training needs torch, scoring does not.

    Parameters
    ----------
    n_components : int, default=256
        Width of the space in which regions and words meet.
    tower : {"linear", "gru"}, default="linear"
        What makes words of word vectors: a linear layer on each, or a recurrent network that reads the sentence in both
        directions. Regions have a linear layer.
    direction : {"text", "image", "both"}, default="text"
        Who looks. "text": each word attends to regions. "image": each region attends to words. "both": the mean of both.
    pooling : {"avg", "lse"}, default="avg"
        Over the words, or regions, that look: mean of the cosines of each with what it attends to, or the logarithm of the
        sum of their exponentials, over `pooling_sharpness`.
    sharpness : float, default=9.0
        Inverse temperature of the attention.
    pooling_sharpness : float, default=6.0
        Of "lse": the higher, the more the best word decides.
    loss : {"triplet", "infonce", "ranking", "siglip", "triplet_sum"}, default="triplet"
        As for :class:`LearnedProjection`. "triplet" takes the hardest negatives of the batch, and trains fastest: only few
        scores have a gradient.
    margin : float, default=0.2
        Of "triplet", "triplet_sum" and "ranking".
    temperature : float, default=0.05
        Where the learned temperature of "infonce" and "siglip" starts.
    dropout : float, default=0.1
        Share of the inputs that each training step leaves out, in [0, 1); in steps of 1/256.
    batch_size : int, default=64
        Pairs a step; each is a negative for all others but those of the same image.
    learning_rate : float, default=5e-4
        Of AdamW: reached after a tenth of the steps, then lowered to zero along a cosine.
    weight_decay : float, default=1e-2
        Of AdamW.
    max_epochs : int, default=8
        Passes over the pairs.
    early_stopping : bool, default=True
        Hold out a share of the images and keep the epoch that ranks them, or 500 of them, best. Where that share is fewer
        than two images, the last epoch is kept.
    validation_fraction : float, default=0.05
        Share of the images held out, in (0, 1).
    patience : int, default=3
        Epochs without a better ranking before training stops.
    max_regions : int or None, default=None
        Regions of a picture that are used, from the first; None: all.
    max_length : int or None, default=64
        Words of a sentence that are used, from its beginning.
    device : {"auto", "cpu", "cuda", "cuda:N"}, default="auto"
        Where to train; "auto" takes CUDA if it is there.
    precision : {"auto", "float32", "bfloat16"}, default="auto"
        Of the products that make vectors of regions and words in training; "auto": bfloat16 where the device has it in
        hardware. Scores and weights stay float32.
    random_state : int, RandomState instance or None, default=None
        Seed of the held-out images, the weights, the order of the pairs and the dropout. The same seed gives the same
        weights on the same device with the same number of threads.
    checkpoint : str, os.PathLike or None, default=None
        File that holds the training after each epoch, as for :class:`LearnedProjection`.
    verbose : bool, default=False
        Show a progress bar.

    Attributes
    ----------
    regions_, words_ : dict
        The heads as numpy arrays, with the means and scales of the vectors trained on.
    loss_curve_ : list of float
        Mean training loss of each epoch.
    validation_curve_ : list of float
        Mean reciprocal rank of the held-out pairs after each epoch.
    best_epoch_ : int
        Epoch whose weights are kept, from 0.
    n_features_in_, n_targets_in_ : int
        Width of the vectors of regions and of words.

    See Also
    --------
    mmfeat.retrieval.rerank : Puts what a search found in the order of such scores.
    mmfeat.fusion.draw_attention : Draws where a word looks.

    Notes
    -----
    Regions and words have unit length. The cosines of a sentence's words with one region are cut at zero and divided by
    their length; times `sharpness`, their softmax over the regions are the weights of the attention (equations 1, 6 and 7 of
    the paper). A picture without regions or a sentence without words has a score of -1, which is the lowest.

    References
    ----------
    Lee, K.-H., Chen, X., Hua, G., Hu, H. and He, X. (2018). Stacked cross attention for image-text matching. ECCV,
    section 3.1.

    Examples
    --------
    >>> import numpy as np
    >>> from mmfeat.fusion import CrossAttentionScorer
    >>> rng = np.random.default_rng(0)
    >>> pictures = [rng.normal(size=(4, 6)) for _ in range(40)]
    >>> sentences = [picture[:2] @ np.eye(6, 5) for picture in pictures]
    >>> scorer = CrossAttentionScorer(8, batch_size=20, max_epochs=2, random_state=0).fit(pictures, sentences)
    >>> scorer.score_matrix(pictures[:3], sentences[:5]).shape
    (3, 5)
    >>> scorer.attention(pictures[0], sentences[0]).shape
    (2, 4)
    """

    _parameter_constraints = {
        "n_components": [_COUNT],
        "tower": [StrOptions(set(VECTOR_TOWERS))],
        "direction": [StrOptions({"text", "image", "both"})],
        "pooling": [StrOptions({"avg", "lse"})],
        "sharpness": [_POSITIVE],
        "pooling_sharpness": [_POSITIVE],
        "loss": [str],
        "margin": [Interval(Real, 0, None, closed="left")],
        "temperature": [_POSITIVE],
        "dropout": [Interval(Real, 0, 1, closed="left")],
        "batch_size": [Interval(Integral, 2, None, closed="left")],
        "learning_rate": [_POSITIVE],
        "weight_decay": [Interval(Real, 0, None, closed="left")],
        "max_epochs": [_COUNT],
        "early_stopping": ["boolean"],
        "validation_fraction": [Interval(Real, 0, 1, closed="neither")],
        "patience": [_COUNT],
        "max_regions": [_COUNT, None],
        "max_length": [_COUNT, None],
        "device": [str],
        "precision": [StrOptions({"auto", "float32", "bfloat16"})],
        "random_state": ["random_state"],
        "checkpoint": [str, PathLike, None],
        "verbose": ["boolean"],
    }

    def __init__(
        self,
        n_components=256,
        *,
        tower="linear",
        direction="text",
        pooling="avg",
        sharpness=9.0,
        pooling_sharpness=6.0,
        loss="triplet",
        margin=0.2,
        temperature=0.05,
        dropout=0.1,
        batch_size=64,
        learning_rate=5e-4,
        weight_decay=1e-2,
        max_epochs=8,
        early_stopping=True,
        validation_fraction=0.05,
        patience=3,
        max_regions=None,
        max_length=64,
        device="auto",
        precision="auto",
        random_state=None,
        checkpoint=None,
        verbose=False,
    ):
        self.n_components = n_components
        self.tower = tower
        self.direction = direction
        self.pooling = pooling
        self.sharpness = sharpness
        self.pooling_sharpness = pooling_sharpness
        self.loss = loss
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
        self.max_regions = max_regions
        self.max_length = max_length
        self.device = device
        self.precision = precision
        self.random_state = random_state
        self.checkpoint = checkpoint
        self.verbose = verbose

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y=None, groups=None):
        """Train the heads.

        Parameters
        ----------
        X : sequence of ndarray of shape (n_i, n_features)
            Regions of the picture of each pair. A picture of several sentences may be the same array in several rows: it is
            then used where it is, and embedded once a batch.
        y : sequence of ndarray of shape (m_i, n_targets)
            Word vectors of the sentence of each pair.
        groups : array-like of shape (n_pairs,), default=None
            Image of each row: rows of one image are never each other's negatives, and are held out together. None: rows
            whose regions are the same array are one image.

        Returns
        -------
        self : CrossAttentionScorer

        Raises
        ------
        ValueError
            If there are other numbers of pictures and sentences, vectors of several widths or NaN among them, fewer than two
            images, more pairs in a batch than there are, sentences all the same, an unknown loss, no such device, or a
            checkpoint of another training.
        FloatingPointError
            If the loss is no longer a number.
        """
        check_name("loss", self.loss, LOSSES)
        X, y = self._check_pairs(X, y)
        pictures = numbers_of(X)
        groups = pictures if groups is None else check_groups(groups, len(y))
        if groups.max() == 0:
            raise ValueError(
                "All rows belong to one image, so there are no wrong pairs to learn from. Pass two images or more."
            )
        if all_equal(y):
            raise ValueError("All sentences are the same, so none can be told from another. Pass such as differ.")
        rng = check_random_state(self.random_state)
        held_out = hold_out(groups, rng, self.validation_fraction if self.early_stopping else 0)
        n_pairs = int((~held_out).sum())
        if self.batch_size > n_pairs:
            raise ValueError(
                f"`batch_size` is {self.batch_size}, but there are {n_pairs} pairs to train on. Reduce it."
            )
        self.n_features_in_, self.n_targets_in_ = X[0].shape[1], y[0].shape[1]
        seed = rng.randint(np.iinfo(np.int32).max)
        (self.regions_, self.words_), state = train_attention(self, X, y, pictures, groups, held_out, seed)
        self.loss_curve_, self.validation_curve_ = state.loss_curve, state.validation_curve
        self.best_epoch_ = state.best_epoch
        return self
