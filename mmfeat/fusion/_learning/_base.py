"""What the estimators that are trained share: checked views, members, checkpoints, and the heads in numpy."""

import functools
from typing import Any

import numpy as np
from sklearn.utils import check_consistent_length, check_random_state
from sklearn.utils.validation import check_is_fitted

from mmfeat.fusion._base import TwoViewTransformer, check_groups
from mmfeat.fusion._learning._batches import BagView, all_equal, hold_out, is_bags, new_view
from mmfeat.fusion._learning._canonical import fold
from mmfeat.fusion._learning._checkpoints import Checkpoint, identity_of, load_parameters, restore, snapshot
from mmfeat.fusion._learning._heads import LayersHead
from mmfeat.fusion._learning._members import embed_view
from mmfeat.fusion._learning._pairs import check_matrix, encode_labels
from mmfeat.fusion._learning._ranking import canonical_maps_of
from mmfeat.fusion._learning._towers import TowerHead
from mmfeat.fusion._learning._training import (
    Data,
    Settings,
    Training,
    parameters_of,
    run_epoch,
    train,
)
from mmfeat.utils._compat import _num_samples
from mmfeat.utils._device import resolve_device, uses_bfloat16
from mmfeat.utils._validation import check_bags

_LARGEST_SEED = np.iinfo(np.int32).max
# Parameters that a training may differ in and still be the same one.
_NOT_OF_THE_RUN = ("callback", "checkpoint", "device", "verbose", "warm_start")


class LearnedFusion(TwoViewTransformer):
    """Base of the fusions that torch trains: subclasses say how heads start and how the loop is set."""

    # Parameters that some subclasses leave as they are here.
    warm_start, callback, checkpoint, reconstruction = False, None, None, 0.0
    _auto_batch = 512
    _x_is_bags: bool
    _y_is_bags: bool
    label_kind_: str
    classes_: Any
    n_features_in_: int

    def transform(self, X, y=None):
        """Embed the first view (images).

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_samples, n_features), or sequence of ndarray of shape (n_i, n_features)
            A matrix or bags, as in ``fit``.
        y : None
            Ignored; accepted because scikit-learn passes it to any class of the name CCA. Use :meth:`transform_y`.

        Returns
        -------
        embeddings : ndarray of shape (n_samples, n_components_)
            float32 for bags and for float32 input, else float64.

        Raises
        ------
        ValueError
            If `X` holds NaN or has another number of columns than in ``fit``.
        """
        check_is_fitted(self)
        if self._x_is_bags:
            return self._embed_x(check_bags(X, n_features=self.n_features_in_))
        return super().transform(X)

    def transform_y(self, y):
        """Embed the second view (texts) alone, with any number of rows.

        Parameters
        ----------
        y : array-like or sparse matrix of shape (n_samples, n_targets), or sequence of ndarray of shape (n_i, n_targets)
            A matrix, of which 1-D is one column, or bags, as in ``fit``.

        Returns
        -------
        embeddings : ndarray of shape (n_samples, n_components_)
            float32 for bags and for float32 input, else float64.

        Raises
        ------
        ValueError
            If `y` holds NaN or has another number of columns than in ``fit``.
        """
        check_is_fitted(self)
        if self._y_is_bags:
            return self._embed_y(check_bags(y, n_features=self.n_targets_in_))
        return super().transform_y(y)

    def _fit(self, X, y, groups, labels):
        X, y, groups, labels = self._check_pairs(X, y, groups, labels)
        rng = check_random_state(self.random_state)
        previous = getattr(self, "members_", None) if self.warm_start else None
        members: list = []
        outcomes: list = []
        kept: list = []
        checkpoint, resumed = self._open_checkpoint(X, y, groups, labels)
        for number in range(self.ensemble):
            held_out = hold_out(groups, rng, self.validation_fraction if self.early_stopping else 0)
            self._check_batch(held_out)
            seed = rng.randint(_LARGEST_SEED)
            training = self._new_training(
                X, y, groups, labels, held_out, seed, None if previous is None else previous[number % len(previous)]
            )
            state = training.state
            if resumed is not None and number < resumed[1]["member"]:
                arrays, record = resumed
                state.best = [arrays[f"finished {number} {i}"] for i in range(len(parameters_of(training.heads)))]
                state.loss_curve, state.validation_curve, state.best_epoch = record["outcomes"][number]
            else:
                if resumed is not None and number == resumed[1]["member"]:
                    restore(training, *resumed)
                after = None
                if checkpoint is not None:
                    after = functools.partial(checkpoint.save, number=number, finished=kept, outcomes=outcomes)
                train(training, callback=self.callback, after_epoch=after)
            load_parameters(training.heads, state.best)
            kept.append(state.best)
            outcomes.append([state.loss_curve, state.validation_curve, state.best_epoch])
            members.append(self._member(training))
        self._set_members(members)
        self.loss_curve_, self.validation_curve_, self.best_epoch_ = outcomes[0]
        self._snapshots = None
        if checkpoint is not None:
            checkpoint.remove()
        return self

    def _partial_fit(self, X, y, groups, labels):
        first = not hasattr(self, "members_")
        if not first and len(self.members_) != self.ensemble:
            raise ValueError(
                f"`ensemble` is {self.ensemble}, but {len(self.members_)} members were fitted before. Call fit to begin anew."
            )
        X, y, groups, labels = self._check_pairs(X, y, groups, labels, reset=first)
        rng = check_random_state(self.random_state)
        nothing = np.zeros(len(groups), dtype=bool)
        self._check_batch(nothing)
        members, snapshots = [], []
        for number in range(self.ensemble):
            previous = None if first else self.members_[number]
            seed = rng.randint(_LARGEST_SEED)
            training = self._new_training(X, y, groups, labels, nothing, seed, previous, constant_rate=True)
            if not first and self._snapshots is not None:
                restore(training, *self._snapshots[number])
            training.state.loss_curve.append(run_epoch(training))
            training.state.epoch += 1
            training.state.best_epoch = training.state.epoch - 1
            snapshots.append(snapshot(training))
            members.append(self._member(training))
        self._set_members(members)
        self._snapshots = snapshots
        curves, record = snapshots[0][1]["curves"], snapshots[0][1]
        self.loss_curve_, self.validation_curve_, self.best_epoch_ = curves[0], curves[1], record["best"][0]
        return self

    def _check_pairs(self, X, y, groups, labels, reset=True):
        X, y = self._check_views_or_bags(X, y, reset)
        groups = check_groups(groups, len(y) if isinstance(y, list) else y.shape[0])
        if groups.max() == 0:
            raise ValueError(
                "All rows belong to one image, so there are no wrong pairs to learn from. Pass two images or more."
            )
        if all_equal(y):
            raise ValueError("All texts are the same, so none can be told from another. Pass texts that differ.")
        return X, y, groups, self._check_labels(labels, len(groups), reset)

    def _check_views_or_bags(self, X, y, reset):
        if y is None:
            raise ValueError(f"{type(self).__name__} requires y to be passed, but the target y is None.")
        bags = [is_bags(X), is_bags(y)]
        if not reset and bags != [self._x_is_bags, self._y_is_bags]:
            raise ValueError(
                "A view is a matrix where it was a column of bags before, or the reverse. Pass the same kind."
            )
        if any(bags):
            X, y = self._check_with_bags(X, y, bags, reset)
        else:
            X, y = self._check_views(X, y, reset=reset)
        self._x_is_bags, self._y_is_bags = bags
        return X, y

    def _check_with_bags(self, X, y, bags, reset):
        """Check each view as what it is, before anything is remembered."""
        check_consistent_length(X, y)
        if _num_samples(X) < 2:
            raise ValueError("Found 1 pair, but at least 2 are required. Pass more pairs.")
        known = (None, None) if reset else (self.n_features_in_, self.n_targets_in_)
        views = [
            check_bags(view, n_features=width) if is_bags else check_matrix(view, name, width)
            for view, name, is_bags, width in zip((X, y), "Xy", bags, known, strict=True)
        ]
        self.n_features_in_, self.n_targets_in_ = (
            view[0].shape[1] if is_bags else view.shape[1] for view, is_bags in zip(views, bags, strict=True)
        )
        return views

    def _check_labels(self, labels, n_rows, reset):
        """Classes as numbers, or indicators; of the same kind and classes as in the first call of a stream."""
        kind, labels, classes = encode_labels(labels, n_rows, None if reset else self.classes_)
        if not reset and kind != self.label_kind_:
            raise ValueError(f"`labels` are {kind}, but were {self.label_kind_} in the first call. Pass the same kind.")
        self.label_kind_, self.classes_ = kind, classes
        return labels

    def _check_batch(self, held_out):
        n_pairs = int((~held_out).sum())
        if self.batch_size != "auto" and self.batch_size > n_pairs:
            raise ValueError(
                f"`batch_size` is {self.batch_size}, but there are {n_pairs} pairs to train on. Reduce it, or pass 'auto'."
            )

    def _new_training(self, X, y, groups, labels, held_out, seed, previous, *, constant_rate=False):
        import torch

        rows = np.flatnonzero(~held_out)
        x, y = (
            new_view(view, rows, self.max_length, None if previous is None else previous[side])
            for side, view in (("x", X), ("y", y))
        )
        settings = self._settings(seed, constant_rate)
        generator = torch.Generator().manual_seed(seed)
        heads = [self._new_head(view, generator, settings.device) for view in (x, y)]
        if previous is not None:
            self._refuse_other_heads(heads, previous)
            load_parameters(heads, [part for side in ("x", "y") for part in previous[side]["head"]["parameters"]])
        else:
            self._start(heads, (x, y), rows)
        decoders = []
        if self.reconstruction:
            widths = tuple(reversed(self.hidden))
            decoders = [
                LayersHead(self.n_components, (*widths, view.width), self.activation, generator, settings.device)
                for view in (x, y)
            ]
        data = Data(x, y, groups, labels, held_out)
        return Training(data, heads, settings, decoders)

    def _refuse_other_heads(self, heads, previous):
        for head, side in zip(heads, ("x", "y"), strict=True):
            ours = [tuple(part.shape) for part in head.parameters()]
            theirs = [part.shape for part in previous[side]["head"]["parameters"]]
            if ours != theirs:
                raise ValueError(
                    "The heads fitted before have other shapes than the parameters or columns ask for now. Fit anew, with "
                    "warm_start=False."
                )

    def _new_head(self, view, generator, device):
        widths = (*self.hidden, self.n_components)
        if isinstance(view, BagView):
            return TowerHead(view.width, self.tower, self.tower_width, widths, self.activation, generator, device)
        return LayersHead(view.width, widths, self.activation, generator, device)

    def _start(self, heads, views, rows):
        """Give new heads something better than random weights; `rows` are those that may be learned from."""

    def _settings(self, seed, constant_rate):
        device = resolve_device(self.device)
        half = uses_bfloat16(self.precision, device.partition(":")[0])
        return Settings(
            loss=self.loss,
            similarity=self.similarity,
            margin=self.margin,
            temperature=self.temperature,
            label_weight=self.label_weight,
            reconstruction=self.reconstruction,
            dropout=self.dropout,
            batch_size=self._auto_batch if self.batch_size == "auto" else self.batch_size,
            texts_per_epoch=self.texts_per_epoch,
            learning_rate=self.learning_rate,
            weight_decay=self.weight_decay,
            max_epochs=self.max_epochs,
            patience=self.patience,
            constant_rate=constant_rate,
            half=half,
            device=device,
            seed=seed,
            verbose=self.verbose,
        )

    def _open_checkpoint(self, X, y, groups, labels):
        if self.checkpoint is None:
            return None, None
        if not isinstance(self.random_state, (int, np.integer)):
            raise ValueError(f"A checkpoint needs an int as `random_state`. Got {self.random_state!r} instead.")
        parameters = {key: value for key, value in self.get_params(deep=False).items() if key not in _NOT_OF_THE_RUN}
        checkpoint = Checkpoint(self.checkpoint, identity_of(type(self).__name__, parameters, X, y, groups, labels))
        return checkpoint, checkpoint.load()

    def _member(self, training):
        """The heads of a training as plain values."""
        data = training.data
        member = {
            side: {"mean": view.mean, "scale": view.scale, "longest": view.longest, "head": head.export()}
            for side, view, head in zip(("x", "y"), (data.x, data.y), training.heads, strict=True)
        }
        if self.loss == "cca":
            maps, self.canonical_correlations_ = canonical_maps_of(training, np.flatnonzero(~data.held_out))
            for side, (weight, bias) in zip(("x", "y"), maps, strict=True):
                fold(member[side]["head"], weight, bias)
        return member

    def _set_members(self, members):
        self.members_ = members
        for side in ("x", "y"):
            setattr(self, f"{side}_mean_", members[0][side]["mean"])
            setattr(self, f"{side}_scale_", members[0][side]["scale"])
        self.n_components_ = self.n_components * len(members)

    def _embed_x(self, X):
        return embed_view(self.members_, "x", X, unit=self.similarity == "cosine")

    def _embed_y(self, y):
        return embed_view(self.members_, "y", y, unit=self.similarity == "cosine")
