"""What is compared: a fusion over a picture side and a sentence side, or several of these together."""

from dataclasses import dataclass, field
from numbers import Integral
from typing import Any

from sklearn.base import clone
from sklearn.model_selection import ParameterGrid

from mmfeat.comparison._together import check_weights


@dataclass(frozen=True)
class System:
    """A fusion with the settings to choose from.

    Parameters
    ----------
    name : str
        What the tables call it.
    fusion : fusion estimator
        With ``fit(X, y)``, ``transform`` and ``transform_y``, unfitted.
    grid : dict or list of dict, default={}
        Settings as :class:`~sklearn.model_selection.ParameterGrid` takes them; the best on the validation split is kept, among
        equals the first.
    image, text : str or None, default=None
        Names of the sides it works on; None is the first one given.
    hubness : HubnessCorrection or None, default=None
        Correction of its scores. With ``bank="train"`` its bank are the training queries.
    seeded : bool or None, default=None
        Whether to fit it with every seed; None does so where the fusion, or an estimator in it, has a `random_state` of None.
    supervised : bool, default=False
        Hand the classes of the pairs to the fusion as `labels`, and mark it so in every table.

    Examples
    --------
    >>> from mmfeat.comparison import System
    >>> from mmfeat.fusion import CCA
    >>> system = System("CCA", CCA(16), {"reg": [0.5, 2.0]})
    >>> len(system.candidates()), system.is_seeded
    (2, False)
    """

    name: str
    fusion: Any
    grid: Any = field(default_factory=dict)
    image: str | None = None
    text: str | None = None
    hubness: Any = None
    seeded: bool | None = None
    supervised: bool = False

    @property
    def is_seeded(self):
        """Whether its result depends on the seed."""
        return bool(open_seeds(self.fusion)) if self.seeded is None else self.seeded

    @property
    def needs(self):
        """Names of the systems that it is built on."""
        return ()

    @property
    def transductive(self):
        """Whether it looks at all test queries at once."""
        return self.hubness is not None and self.hubness.bank == "queries"

    def candidates(self):
        """Every setting of the grid.

        Returns
        -------
        settings : list of dict
        """
        return list(ParameterGrid(self.grid))

    def make(self, settings, seed):
        """The fusion with settings and a seed.

        Parameters
        ----------
        settings : dict
        seed : int

        Returns
        -------
        fusion : fusion estimator
            Unfitted.
        """
        fusion = clone(self.fusion).set_params(**settings)
        return fusion.set_params(**dict.fromkeys(open_seeds(fusion), seed))


@dataclass(frozen=True)
class Together:
    """Several systems as one: the weighted sum of their cosines, brought to one scale.

    Parameters
    ----------
    name : str
    members : tuple of str
        Names of systems that stand before it in the list.
    weights : tuple of float or None, default=None
        None chooses them by the score on the validation split, one after the other; weight 0 leaves a member out.
    hubness : HubnessCorrection or None, default=None
        Correction of the sum, as of a :class:`System`.
    seeded : bool, default=True
        Whether to add up the runs of every seed, where its members have several.

    Examples
    --------
    >>> from mmfeat.comparison import Together
    >>> Together("both", ("CCA", "PLS")).needs
    ('CCA', 'PLS')
    """

    name: str
    members: tuple
    weights: tuple | None = None
    hubness: Any = None
    seeded: bool = True

    supervised = False

    @property
    def needs(self):
        """Names of the systems that it is built on."""
        return tuple(self.members)

    @property
    def transductive(self):
        """Whether it looks at all test queries at once."""
        return self.hubness is not None and self.hubness.bank == "queries"


@dataclass(frozen=True)
class Reranked:
    """The best of another system in the order of a slower judge of pairs.

    Parameters
    ----------
    name : str
    first : str
        Name of the system that finds the candidates; it stands before this one in the list.
    scorer : estimator
        With ``fit(X, y, groups=)`` and ``rerank(X, y, candidates, query=)``, for example
        :class:`~mmfeat.fusion.CrossAttentionScorer`.
    image, text : str
        Names of the sides that the judge looks at, for example bags of regions and of words.
    n_candidates : int, default=30
        How many of the best of each query it sees.
    shares : tuple of float, default=(0.0, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.7)
        Weights of the judge to choose from on the validation split.
    seeded : bool, default=True
        Whether to fit it with every seed.

    Examples
    --------
    >>> from mmfeat.comparison import Reranked
    >>> from mmfeat.fusion import CrossAttentionScorer
    >>> Reranked("then attention", "CCA", CrossAttentionScorer(), "regions", "words").needs
    ('CCA',)
    """

    name: str
    first: str
    scorer: Any
    image: str
    text: str
    n_candidates: int = 30
    shares: tuple = (0.0, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.7)
    seeded: bool = True

    supervised = False
    transductive = False
    hubness = None

    @property
    def is_seeded(self):
        """Whether to fit it with every seed."""
        return self.seeded

    @property
    def needs(self):
        """Names of the systems that it is built on."""
        return (self.first,)


def open_seeds(estimator):
    """Names of the seeds of an estimator, and of all in it, that are not set."""
    known = estimator.get_params()
    return [name for name, value in known.items() if name.rpartition("__")[2] == "random_state" and value is None]


def check_systems(systems, images, texts, *, labelled):
    """Refuse lists of systems that cannot be run, before hours of work and not after.

    Parameters
    ----------
    systems : list of System, Together or Reranked
    images, texts : collection of str
        Names of the sides.
    labelled : bool
        Whether there are classes.
    """
    for kind, given in (("images", images), ("texts", texts)):
        if not given:
            raise ValueError(f"`{kind}` is empty. Give at least one side.")
    if not systems:
        raise ValueError("There is nothing to compare: `systems` is empty.")
    known: dict = {}
    for system in systems:
        if not isinstance(system, (System, Together, Reranked)):
            raise TypeError(f"`systems` must hold System, Together or Reranked. Got {type(system).__name__} instead.")
        if system.name in known or system.name == "chance":
            raise ValueError(f"Two systems are called {system.name!r}. Give each a name of its own.")
        for name in system.needs:
            if name not in known:
                raise ValueError(
                    f"{system.name!r} is built on {name!r}, which does not stand before it. Known: {list(known)}."
                )
        {System: _check_system, Together: _check_together, Reranked: _check_reranked}[type(system)](system, known)
        if system.supervised and not labelled:
            raise ValueError(
                f"{system.name!r} is supervised and needs `labels`, the classes of the pictures of each split."
            )
        if not isinstance(system, Together):
            for kind, name, given in (("image", system.image, images), ("text", system.text, texts)):
                if name is not None and name not in given:
                    raise ValueError(f"{system.name!r} wants the {kind} side {name!r}. Known: {list(given)}.")
        known[system.name] = system


def remarks_of(systems):
    """What is to be said of each system: its own, and what it has from the systems that it is built on.

    Returns
    -------
    remarks : dict of str to str
    """
    known: dict = {}
    for system in systems:
        words = {word for word in ("transductive", "supervised") if getattr(system, word)}
        known[system.name] = words.union(*(known[name] for name in system.needs))
    return {name: ", ".join(sorted(words, reverse=True)) for name, words in known.items()}


def _check_system(system, known):
    try:
        for settings in system.candidates():
            system.make(settings, 0)
    except ValueError as error:
        raise ValueError(f"The grid of {system.name!r} does not fit its fusion: {error}") from error


def _check_together(system, known):
    if len(set(system.members)) != len(system.members) or not system.members:
        raise ValueError(f"{system.name!r} must have members, each once. Got {system.members!r} instead.")
    if system.weights is not None:
        check_weights(system.weights, len(system.members))
    for name in system.members:
        member = known[name]
        if isinstance(member, Reranked) or member.hubness is not None:
            raise ValueError(
                f"{system.name!r} adds up embeddings, and {name!r} has scores only (a correction, or a second stage). "
                "Leave it out."
            )
        if system.hubness is not None and not isinstance(member, System):
            raise ValueError(
                f"{system.name!r} corrects for hubs, which needs plain systems as members; {name!r} is none."
            )


def _check_reranked(system, known):
    if isinstance(known[system.first], Reranked):
        raise ValueError(f"{system.name!r} is built on {system.first!r}, which is a second stage itself.")
    if not system.shares or not all(0 <= share <= 1 for share in system.shares):
        raise ValueError(f"`shares` of {system.name!r} must be numbers in [0, 1]. Got {system.shares!r} instead.")
    if not isinstance(system.n_candidates, Integral) or system.n_candidates < 1:
        raise ValueError(f"`n_candidates` of {system.name!r} must be at least 1. Got {system.n_candidates!r} instead.")
