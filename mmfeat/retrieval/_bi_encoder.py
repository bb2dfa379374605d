"""A network for pictures and a reader of sentences, trained together from the pictures and sentences themselves."""

import os
from numbers import Integral, Real

from mmfeat.fusion._learning._towers import TOWERS
from mmfeat.retrieval._end_to_end._base import TrainedEncoder
from mmfeat.utils._compat import HasMethods, Interval, StrOptions, _fit_context

_POSITIVE = Interval(Real, 0, None, closed="neither")
_COUNT = Interval(Integral, 1, None, closed="left")


class BiEncoder(TrainedEncoder):
    """Pictures and sentences in one space, trained end to end: a network, word vectors and a reader of sentences at once.

    Used as a :class:`Retriever` is. It can learn what fixed features leave out, and wants many pairs, or weights to start
    from, and time: a GPU beyond some thousand pictures.

    Parameters
    ----------
    n_components : int, default=256
        Width of the common space.
    model : str or callable, default="mobilenet_v2"
        Network of torchvision, or ``"timm/NAME"``, whose classifier is left out; or a function without arguments that
        returns a ``torch.nn.Module``, whose output is used as it is: a vector a picture, or maps or tokens, which are averaged.
    weights : str, os.PathLike or None, default="DEFAULT"
        Start of the network, as for :class:`~mmfeat.image.CNNFeatures`; None: random weights.
    trainable : {"none", "last", "all"}, default="last"
        Layers of the network that are trained. "last": the last quarter of those with weights, in a ResNet about its last
        stage. All others stay as they are, the statistics of their batch norms included.
    batch_norm : {"auto", "batch", "fixed"}, default="auto"
        Statistics that trained batch norms go by in training: those of the batch, which move the ones kept, or the kept ones,
        unchanged. "auto": "fixed" where `weights` are given, as small batches tell less than what is kept, and some files
        hold none that a batch would have; "batch" for a random network or one of your own.
    image_size : int or None, default=None
        Side of the pictures in pixels; None: what the weights were trained with.
    crop : float, default=0.5
        Share of the area, at least, of the random part of a picture that training sees; 1: its middle, as in use.
    flip : float, default=0.5
        Share of the pictures that training mirrors. 0 where captions tell left from right.
    color : float, default=0.2
        By how much, at most, training changes brightness, contrast and saturation; 0: not.
    tokenizer : {"en", "zh"} or callable, default="en"
        How sentences are cut into words, as for :class:`~mmfeat.text.WordVectors`.
    min_count : int, default=2
        Occurrences in the captions trained on that a word needs for a vector of its own; all rarer ones share one.
    vectors : None, path-like, gensim KeyedVectors or WordVectors, default=None
        What the words start from, and are trained on from there; None, or a word that is not in it: random numbers.
    word_width : int, default=300
        Width of word vectors that are not given.
    tower : {"mean", "attention", "gru", "lstm", "transformer"}, default="gru"
        What makes one vector of those of a sentence, as for :class:`~mmfeat.fusion.LearnedProjection`.
    tower_width : int, default=512
        Width of that vector.
    max_length : int or None, default=64
        Words of a sentence that are used, from its beginning.
    loss : str or callable, default="infonce"
        One of :class:`~mmfeat.fusion.LearnedProjection`, without "cca".
    margin : float or None, default=None
        Of the losses that have one; None: as there.
    temperature : float, default=0.07
        Where the learned temperature of "infonce" and "siglip" starts.
    dropout : float, default=0.2
        Share of the network's features and of the entries of word vectors that each step leaves out, in [0, 1).
    batch_size : int or "auto", default="auto"
        Pairs a step; "auto": 64, or all where there are fewer. All are negatives of each other.
    accumulate : int, default=1
        Parts in which a batch passes the towers where memory is short. The loss is still that of the whole batch, with
        all its negatives: sums of the gradients of each part's own loss would be another thing. It costs one more pass
        forward [2]_. The gradient is the same but for dropout, whose numbers fall otherwise, and for batch norms that go
        by the batch, which see a part of it at a time.
    texts_per_epoch : int or None, default=1
        Captions of a picture that an epoch draws, each with a reading of the picture; None: all.
    learning_rate : float, default=1e-3
        Of AdamW, for all but the network: reached after a tenth of the steps, then lowered to zero along a cosine.
    network_learning_rate : float, default=1e-4
        The same of the network. From random weights rather as large as the other.
    weight_decay : float, default=1e-2
        Of AdamW, for matrices.
    max_epochs : int, default=20
        Passes over the pictures.
    early_stopping : bool, default=True
        Hold out a share of the pictures and keep the epoch that ranks them best.
    validation_fraction : float, default=0.1
        That share, in (0, 1). Where it is fewer than two pictures, the last epoch is kept.
    patience : int, default=5
        Epochs without a better ranking before training stops.
    device : {"auto", "cpu", "cuda", "cuda:N"}, default="auto"
        Where to compute; "auto" takes CUDA if it is there.
    precision : {"auto", "float32", "bfloat16"}, default="auto"
        Of the products in training; weights, and use, are float32. "auto": bfloat16 on CUDA devices that have it.
    random_state : int, RandomState instance or None, default=None
        Seed of everything random; the generators of the caller stay as they are. The same seed gives the same weights on
        the same processor with the same number of threads; CUDA's recurrent networks are not all exact.
    checkpoint : str, os.PathLike or None, default=None
        File that holds the training after each epoch. A ``fit`` that was interrupted goes on from it, to the weights that it
        would have reached undisturbed; the file is removed when the training is done.
    callback : callable or None, default=None
        Called as ``callback(record)`` after each epoch, `record` a dict of "epoch" (from 0), "loss" and "validation" (None if
        nothing is held out); a true result stops the training.
    image, text : str, default="image" and "text"
        Names of the columns when the pairs are a DataFrame.
    verbose : bool, default=False
        Show a progress bar.

    Attributes
    ----------
    words_ : list of str
        Those with a vector of their own, the most frequent first.
    trained_layers_ : list of str
        Layers of the network that were trained.
    image_tower_, text_tower_ : dict
        What was learned, as numpy arrays: all weights of the network, the table of word vectors, the heads.
    loss_curve_, validation_curve_ : list of float
        Mean training loss, and mean reciprocal rank of the held-out pairs, of each epoch.
    best_epoch_ : int
        Epoch whose weights are kept, from 0.

    See Also
    --------
    mmfeat.retrieval.Retriever : Fixed features and a fusion: minutes instead of hours.
    mmfeat.fusion.plot_learning_curve : Draw the curves.

    Notes
    -----
    Pictures are read by threads, batch by batch, in every epoch, and never held. The pickle of a fitted BiEncoder holds all
    weights and needs no file of weights; pictures are embedded by torch, sentences by numpy.

    References
    ----------
    .. [1] Faghri, F., Fleet, D., Kiros, J. and Fidler, S. (2018). VSE++: improving visual-semantic embeddings with hard
       negatives. BMVC.
    .. [2] Gao, L., Zhang, Y., Han, J. and Callan, J. (2021). Scaling deep contrastive learning batch size under memory
       limited setup. RepL4NLP, section 3.

    Examples
    --------
    >>> from mmfeat.datasets import make_scenes
    >>> from mmfeat.retrieval import BiEncoder
    >>> def network():
    ...     from torch import nn
    ...
    ...     return nn.Sequential(nn.Conv2d(3, 16, 4, stride=4), nn.ReLU(), nn.Conv2d(16, 32, 4, stride=4), nn.ReLU())
    >>> pairs = make_scenes(40, image_size=32, random_state=0)
    >>> encoder = BiEncoder(
    ...     16, model=network, trainable="all", image_size=32, tower_width=32, max_epochs=1, device="cpu", random_state=0
    ... ).fit(pairs)
    >>> encoder.encode_image(pairs["image"][:3]).shape, encoder.encode_text(["a red car"]).shape
    ((3, 16), (1, 16))
    """

    _parameter_constraints = {
        "n_components": [_COUNT],
        "model": [str, callable],
        "weights": [str, os.PathLike, None],
        "trainable": [StrOptions({"none", "last", "all"})],
        "batch_norm": [StrOptions({"auto", "batch", "fixed"})],
        "image_size": [_COUNT, None],
        "crop": [Interval(Real, 0, 1, closed="right")],
        "flip": [Interval(Real, 0, 1, closed="both")],
        "color": [Interval(Real, 0, 1, closed="both")],
        "tokenizer": [StrOptions({"en", "zh"}), callable],
        "min_count": [_COUNT],
        "vectors": [None, str, os.PathLike, HasMethods("get_vector"), HasMethods(["fit", "transform"])],
        "word_width": [_COUNT],
        "tower": [StrOptions(set(TOWERS))],
        "tower_width": [_COUNT],
        "max_length": [_COUNT, None],
        "loss": [str, callable],
        "margin": [Interval(Real, 0, None, closed="left"), None],
        "temperature": [_POSITIVE],
        "dropout": [Interval(Real, 0, 1, closed="left")],
        "batch_size": [Interval(Integral, 2, None, closed="left"), StrOptions({"auto"})],
        "accumulate": [_COUNT],
        "texts_per_epoch": [_COUNT, None],
        "learning_rate": [_POSITIVE],
        "network_learning_rate": [_POSITIVE],
        "weight_decay": [Interval(Real, 0, None, closed="left")],
        "max_epochs": [_COUNT],
        "early_stopping": ["boolean"],
        "validation_fraction": [Interval(Real, 0, 1, closed="neither")],
        "patience": [_COUNT],
        "device": [str],
        "precision": [StrOptions({"auto", "float32", "bfloat16"})],
        "random_state": ["random_state"],
        "checkpoint": [str, os.PathLike, None],
        "callback": [callable, None],
        "image": [str],
        "text": [str],
        "verbose": ["boolean"],
    }

    def __init__(
        self,
        n_components=256,
        *,
        model="mobilenet_v2",
        weights="DEFAULT",
        trainable="last",
        batch_norm="auto",
        image_size=None,
        crop=0.5,
        flip=0.5,
        color=0.2,
        tokenizer="en",
        min_count=2,
        vectors=None,
        word_width=300,
        tower="gru",
        tower_width=512,
        max_length=64,
        loss="infonce",
        margin=None,
        temperature=0.07,
        dropout=0.2,
        batch_size="auto",
        accumulate=1,
        texts_per_epoch=1,
        learning_rate=1e-3,
        network_learning_rate=1e-4,
        weight_decay=1e-2,
        max_epochs=20,
        early_stopping=True,
        validation_fraction=0.1,
        patience=5,
        device="auto",
        precision="auto",
        random_state=None,
        checkpoint=None,
        callback=None,
        image="image",
        text="text",
        verbose=False,
    ):
        self.n_components = n_components
        self.model = model
        self.weights = weights
        self.trainable = trainable
        self.batch_norm = batch_norm
        self.image_size = image_size
        self.crop = crop
        self.flip = flip
        self.color = color
        self.tokenizer = tokenizer
        self.min_count = min_count
        self.vectors = vectors
        self.word_width = word_width
        self.tower = tower
        self.tower_width = tower_width
        self.max_length = max_length
        self.loss = loss
        self.margin = margin
        self.temperature = temperature
        self.dropout = dropout
        self.batch_size = batch_size
        self.accumulate = accumulate
        self.texts_per_epoch = texts_per_epoch
        self.learning_rate = learning_rate
        self.network_learning_rate = network_learning_rate
        self.weight_decay = weight_decay
        self.max_epochs = max_epochs
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.patience = patience
        self.device = device
        self.precision = precision
        self.random_state = random_state
        self.checkpoint = checkpoint
        self.callback = callback
        self.image = image
        self.text = text
        self.verbose = verbose

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, pairs, y=None):
        """Train both sides.

        Parameters
        ----------
        pairs : DataFrame of pandas or polars, or object ndarray of shape (n_images, 2)
            One row per image; its text is a str or a list of str.
        y : object
            Ignored.

        Returns
        -------
        self : BiEncoder

        Raises
        ------
        ValueError
            If `pairs` is no pairs table or has one pair only, all captions are the same or hold no word that is frequent
            enough, a batch is larger than the data, a name is unknown, weights do not fit, the device is not there, or
            the checkpoint is that of another training.
        ImageDecodeError
            If a picture cannot be read; it names its row and path.
        FloatingPointError
            If the loss is no longer a number.
        """
        return self._fit(pairs)
