"""Fisher vectors."""

from numbers import Integral, Real

import numpy as np

from mmfeat.encoding._base import BagEncoder
from mmfeat.encoding._cells import signed_power, unit_length
from mmfeat.encoding._em import learn_mixture
from mmfeat.encoding._gradients import Gradients
from mmfeat.encoding._mixture import as_gaussian_mixture, as_mixture
from mmfeat.encoding._sample import Reservoir
from mmfeat.utils._compat import Interval, StrOptions

_GRADIENTS = ("weights", "means", "scales")


class FisherVector(BagEncoder):
    r"""Fisher vector: how the parameters of a mixture would have to change to fit the descriptors of a bag better.

    The gradient of the mean log-likelihood of the bag, divided by the square root of the Fisher information. With
    posteriors :math:`\gamma_{ik}`, of the softmax parameter of weight k, of the centre and of the logarithm of one
    over the scale in column d:

    .. math::

        \frac{1}{\sqrt{w_k}} \frac1n \sum_i (\gamma_{ik} - w_k), \quad
        \frac{1}{\sqrt{w_k}} \frac1n \sum_i \gamma_{ik} z_{ikd}, \quad
        \frac{1}{\sqrt{2 w_k}} \frac1n \sum_i \gamma_{ik} (1 - z_{ikd}^2)

    where :math:`z_{ikd} = (x_{id} - \mu_{kd}) / \sigma_{kd}`. For a Laplacian column, with
    :math:`z = (x - m) / s`, the last two are :math:`\gamma \operatorname{sign}(z) / \sqrt{w}` and
    :math:`\gamma (1 - |z|) / \sqrt{w}`.

    Parameters
    ----------
    n_components : int, default=64
        Components of the mixture.
    mixture : {"gaussian", "laplacian", "hybrid"}, default="gaussian"
        Density of each column in each component. "hybrid" chooses for each the likelier of Gaussian and Laplacian.
    gradients : sequence of {"weights", "means", "scales"}, default=("weights", "means", "scales")
        Which of the three parts the vector has; they stand in this order.
    n_pca : int or None, default=None
        Principal directions of the descriptors that are kept; None keeps all.
    projection : {"pca", "whiten", "ica"}, default="pca"
        What is done with these directions: nothing more, unit variance, or a further rotation to independent
        components (FastICA). With ``n_pca=None`` and "pca" the descriptors are left as they are.
    power : float, default=0.5
        Exponent of the values before the norms.
    intra_norm : bool, default=False
        Bring the block of each component, in each of the three parts, to unit length.
    norm : {None, "l2"}, default="l2"
        Norm of the vector of each cell, and of the whole row.
    coordinates : {None, "layout", "extend"}, default=None
        None says that all columns describe. Otherwise the last three columns of a bag are x, y and scale in [0, 1]:
        "layout" uses them for `levels` only, "extend" also appends them to the projected descriptors, for the
        spatially extended Fisher vector.
    levels : int or list of (int, int), default=1
        Levels of a spatial pyramid, of which level i has 2**i by 2**i cells, or the grids as pairs (rows, columns)
        such as ``[(1, 1), (3, 1)]``. The vectors of all cells stand side by side.
    max_samples : int, default=100_000
        Descriptors at most that the mixture and the projection are learned from.
    max_iter : int, default=100
        Iterations of expectation maximisation at most.
    tol : float, default=1e-3
        Gain of the mean log-likelihood below which it stops.
    var_floor : float, default=1e-3
        Least variance of a component, as a share of the variance of the column over the sample.
    random_state : int, RandomState instance or None, default=None
        For the sample, the projection and the start of the mixture.

    Attributes
    ----------
    mixture_ : GaussianMixture or Mixture
        The mixture of the projected descriptors. For "gaussian" scikit-learn's, of diagonal covariances, which
        ``skimage.feature.fisher_vector`` takes as well; else an object with ``weights_``, ``means_``, ``scales_``
        and ``laplacian_``.
    lower_bounds_ : ndarray of shape (n_iterations,)
        Mean log-likelihood of the sample in each iteration.
    n_features_in_ : int
        Columns of a bag.
    n_features_out_ : int
        Columns of the result, ``n_components * (1 + 2 * n_columns)`` with all gradients and one cell.

    See Also
    --------
    VLAD : The hard and simple relative.

    Notes
    -----
    The part of the scales has the sign of ``skimage.feature.fisher_vector``: it is the gradient by the precision, the
    opposite of that by the standard deviation which the papers write. No inner product or norm is changed by it.

    :meth:`partial_fit` keeps an even sample of `max_samples` descriptors of all that went by, in memory and in the
    pickle, and goes on with expectation maximisation on it; a stream must begin with it, for :meth:`fit` keeps no
    sample. The sample needs 8 bytes a descriptor and component while the mixture is learned.

    The sentence feature of Klein et al. joins, for word vectors, ``FisherVector(30, mixture="gaussian")`` and
    ``mixture="hybrid"``, both with ``gradients=("means", "scales")`` and ``projection="ica"``.

    References
    ----------
    Perronnin, F., Sánchez, J. and Mensink, T. (2010). Improving the Fisher kernel for large-scale image
    classification. ECCV.

    Sánchez, J., Perronnin, F. and de Campos, T. (2012). Modeling the spatial layout of images beyond spatial
    pyramids. Pattern Recognition Letters.

    Sánchez, J., Perronnin, F., Mensink, T. and Verbeek, J. (2013). Image classification with the Fisher vector:
    theory and practice. International Journal of Computer Vision, equations 16 to 18.

    Klein, B., Lev, G., Sadeh, G. and Wolf, L. (2015). Associating neural word embeddings with deep image
    representations using Fisher vectors. CVPR, sections 3 to 5.

    Examples
    --------
    >>> import numpy as np
    >>> from mmfeat.encoding import FisherVector
    >>> rng = np.random.default_rng(0)
    >>> bags = [rng.normal(size=(n, 4)).astype(np.float32) for n in (30, 50, 0)]
    >>> encoder = FisherVector(2, mixture="hybrid", random_state=0).fit(bags)
    >>> vectors = encoder.transform(bags)
    >>> vectors.shape
    (3, 18)
    >>> np.linalg.norm(vectors, axis=1).round(3)
    array([1., 1., 0.], dtype=float32)
    """

    _parameter_constraints = {
        "n_components": [Interval(Integral, 1, None, closed="left")],
        "mixture": [StrOptions({"gaussian", "laplacian", "hybrid"})],
        "gradients": [tuple, list],
        "n_pca": BagEncoder._shared_constraints["n_pca"],
        "projection": BagEncoder._shared_constraints["projection"],
        "power": BagEncoder._shared_constraints["power"],
        "intra_norm": ["boolean"],
        "norm": [None, StrOptions({"l2"})],
        "coordinates": BagEncoder._shared_constraints["coordinates"],
        "levels": BagEncoder._shared_constraints["levels"],
        "max_samples": BagEncoder._shared_constraints["max_samples"],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "tol": [Interval(Real, 0, None, closed="left")],
        "var_floor": [Interval(Real, 0, 1, closed="neither")],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        n_components=64,
        *,
        mixture="gaussian",
        gradients=_GRADIENTS,
        n_pca=None,
        projection="pca",
        power=0.5,
        intra_norm=False,
        norm="l2",
        coordinates=None,
        levels=1,
        max_samples=100_000,
        max_iter=100,
        tol=1e-3,
        var_floor=1e-3,
        random_state=None,
    ):
        self.n_components = n_components
        self.mixture = mixture
        self.gradients = gradients
        self.n_pca = n_pca
        self.projection = projection
        self.power = power
        self.intra_norm = intra_norm
        self.norm = norm
        self.coordinates = coordinates
        self.levels = levels
        self.max_samples = max_samples
        self.max_iter = max_iter
        self.tol = tol
        self.var_floor = var_floor
        self.random_state = random_state

    @property
    def _n_components(self):
        return self.n_components

    @property
    def _row_width(self):
        n_components, n_columns = self.mixture_.means_.shape
        return n_components + 3 * n_columns

    def _check_settings(self, width):
        super()._check_settings(width)
        if not self.gradients or not set(self.gradients) <= set(_GRADIENTS):
            raise ValueError(f"`gradients` must be some of {_GRADIENTS}. Got {self.gradients!r} instead.")

    # Learning

    def _start(self, rows, n_seen, rng):
        self._reservoir = None
        self._learn_mixture(self._keep(rows, n_seen, rng), None, rng)

    def _go_on(self, rows, n_seen, rng):
        if self._reservoir is None:
            raise ValueError(
                "`fit` kept no descriptors that `partial_fit` could go on with. Begin the stream with `partial_fit`, or "
                "pass all bags to `fit`."
            )
        self._learn_mixture(self._keep(rows, n_seen, rng), as_mixture(self.mixture_), rng)

    def _keep(self, rows, n_seen, rng):
        """The even sample of all batches of a stream; without a stream, the rows, and nothing is kept."""
        if n_seen is None:
            return rows
        self._reservoir = self._reservoir or Reservoir(self.max_samples)
        self._reservoir.add(rows, n_seen, rng)
        return self._reservoir.rows

    def _learn_mixture(self, rows, start, rng):
        settings = {"var_floor": self.var_floor, "max_iter": self.max_iter, "tol": self.tol, "rng": rng}
        found = learn_mixture(rows, self.n_components, self.mixture, start=start, **settings)
        self.lower_bounds_ = found.lower_bounds_
        self.mixture_ = as_gaussian_mixture(found) if self.mixture == "gaussian" else found

    # Encoding

    def _prepare(self, dtype):
        return Gradients(as_mixture(self.mixture_), dtype)

    def _assign(self, rows, model):
        return model.assign(rows)

    def _sums(self, parts, cells, counts, model):
        return model.sums(parts, counts)

    def _finish(self, sums, counts, model):
        found = model.finish(sums, counts)
        parts = [found[name] for name in _GRADIENTS if name in self.gradients]
        for part in parts:
            signed_power(part, self.power)
            if self.intra_norm:
                unit_length(part, "l2")
        return unit_length(np.concatenate([part.reshape(len(counts), -1) for part in parts], axis=1), self.norm)

    def _vector_names(self):
        places = [f"{k}_{column}" for k, column in np.ndindex(*self.mixture_.means_.shape)]
        names = {
            "weights": [f"fisher_weight_{k}" for k in range(len(self.mixture_.means_))],
            "means": [f"fisher_mean_{place}" for place in places],
            "scales": [f"fisher_scale_{place}" for place in places],
        }
        return [name for part in _GRADIENTS if part in self.gradients for name in names[part]]
