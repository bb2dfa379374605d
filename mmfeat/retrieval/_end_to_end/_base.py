"""What a trained encoder of both sides does: fit by a training, embed, score, and travel without torch."""

import functools
import warnings

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from mmfeat.fusion._learning._checkpoints import load_parameters, restore
from mmfeat.fusion._learning._losses import ROW_LOSSES, SCORE_LOSSES
from mmfeat.fusion._learning._names import check_name
from mmfeat.fusion._learning._training import train
from mmfeat.metrics import retrieval_scorer
from mmfeat.retrieval._end_to_end._fitting import new_training
from mmfeat.retrieval._end_to_end._network import rebuild
from mmfeat.retrieval._end_to_end._sentences import embed_sentences, number_words
from mmfeat.retrieval._end_to_end._training import embed_pictures
from mmfeat.utils._device import resolve_device
from mmfeat.utils._pairs import split_pairs
from mmfeat.utils._rows import unit_rows
from mmfeat.utils._validation import check_images, check_texts

# Pictures at a time in use.
_IN_USE = 32
# Rows trained for correlations mean something only after what ``DeepCCA`` does behind them.
_LOSSES = {**SCORE_LOSSES, **ROW_LOSSES}
_LOSSES.pop("cca")


class TrainedEncoder(BaseEstimator):
    """Base of :class:`BiEncoder`, which has the parameters."""

    def encode_image(self, images):
        """Embed pictures in the common space; needs torch.

        Parameters
        ----------
        images : sequence of str, os.PathLike, PIL.Image.Image, ndarray or bytes

        Returns
        -------
        embeddings : ndarray of shape (n_images, n_components), dtype float32
            Rows of unit length.

        Raises
        ------
        ImageDecodeError
            If a picture cannot be read; it names its position and path.
        """
        check_is_fitted(self)
        images = check_images(images)
        embedded = embed_pictures(self._built_tower(), images, range(len(images)), _IN_USE)
        return unit_rows(embedded.cpu().numpy())

    def encode_text(self, texts):
        """Embed sentences in the common space; torch is not needed.

        Parameters
        ----------
        texts : sequence of str
            A sentence may be empty; those without a known word all have rows of some kind, of no meaning.

        Returns
        -------
        embeddings : ndarray of shape (n_texts, n_components), dtype float32
            Rows of unit length.
        """
        check_is_fitted(self)
        sentences = number_words(check_texts(texts), self.text_tower_["tokenizer"], self.words_)
        return embed_sentences(self.text_tower_, sentences)

    def score(self, pairs, y=None):
        """Mean of recall@1, @5 and @10 over both directions, in [0, 1].

        Parameters
        ----------
        pairs : DataFrame or object ndarray of shape (n_images, 2)
            At least 10 images; all of them, or all their captions, are the gallery.
        y : object
            Ignored.

        Returns
        -------
        score : float
        """
        return retrieval_scorer(self, pairs)["mean_recall"]

    def _fit(self, pairs):
        self._check_parameters()
        parts = split_pairs(pairs, self.image, self.text)
        training, words, checkpoint = new_training(self, parts, check_random_state(self.random_state))
        after = None
        if checkpoint is not None:
            resumed = checkpoint.load()
            if resumed is not None:
                restore(training, *resumed)
            after = functools.partial(checkpoint.save, number=0, finished=[], outcomes=[])
        train(training, callback=self.callback, after_epoch=after)
        load_parameters(training.heads, training.state.best)
        image_tower, text_tower = training.heads
        self.words_, self.trained_layers_ = words, list(image_tower.layers)
        self.image_tower_ = image_tower.export(self.model)
        self.text_tower_ = text_tower.export(self.tokenizer, self.max_length)
        state = training.state
        self.loss_curve_, self.validation_curve_ = state.loss_curve, state.validation_curve
        self.best_epoch_ = state.best_epoch
        if checkpoint is not None:
            checkpoint.remove()
        return self

    def _check_parameters(self):
        if self.loss == "cca":
            raise ValueError(
                "`loss` is 'cca', which wants all rows at once. Take another loss, or the features of CNNFeatures and a DeepCCA."
            )
        if not callable(self.loss):
            check_name("loss", self.loss, _LOSSES)
        if self.checkpoint is not None and not isinstance(self.random_state, (int, np.integer)):
            raise ValueError(f"A checkpoint needs an int as `random_state`. Got {self.random_state!r} instead.")
        if self.weights is None and self.trainable != "all" and isinstance(self.model, str):
            warnings.warn(
                f"weights=None: the {self.model} is random, and `trainable`={self.trainable!r} leaves most of it so. Pass "
                "trainable='all', or weights.",
                UserWarning,
                stacklevel=5,
            )

    def _built_tower(self):
        """The network as torch has it; built when it is first needed, and again after a fit or for another device."""
        device = resolve_device(self.device)
        built = getattr(self, "_built", None)
        if built is None or built[0] is not self.image_tower_ or built[1] != device:
            built = self._built = (self.image_tower_, device, rebuild(self.image_tower_, device))
        return built[2]

    def __getstate__(self):
        return {name: value for name, value in super().__getstate__().items() if name != "_built"}

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.string = True
        tags.no_validation = True
        return tags
