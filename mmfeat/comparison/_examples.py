"""The queries that the best system answers best and worst, with what it found and why."""

import base64
import io
from dataclasses import dataclass, field

import joblib
import numpy as np

from mmfeat.comparison._results import N_SHOWN, read_record
from mmfeat.comparison._sides import take
from mmfeat.comparison._systems import Reranked, System, Together
from mmfeat.comparison._together import join
from mmfeat.image._io import load_image
from mmfeat.text import JiebaTokenizer
from mmfeat.utils._pairs import split_pairs
from mmfeat.utils._rows import unit_rows

_SIDE = 150


@dataclass(frozen=True)
class Example:
    """One query of the page.

    Parameters
    ----------
    way : {"i2t", "t2i"}
    picture : str
        The picture asked, or the right one; a data URL.
    sentence : str
        The sentence asked, or one that is right.
    found : list of (str, bool)
        Data URLs of pictures, or sentences, best first, and whether each is right.
    ranks : dict of str to int
        Rank of the best right answer in every system.
    words : list of (str, float)
        The words of the sentence asked, and by how much the cosine of the right picture falls without each; empty where
        that cannot be told.
    """

    way: str
    picture: str
    sentence: str
    found: list
    ranks: dict
    words: list = field(default_factory=list)


def examples_of(comparison, n_examples):
    """Best and worst queries both ways.

    Returns
    -------
    examples : dict of str to list of Example
        By heading.
    """
    parts = split_pairs(comparison._splits["test"])
    folder = comparison._folders[comparison.best][0]
    with np.load(folder / "test_top.npz") as kept:
        top = {way: kept[way] for way in kept.files}
    firsts = {way: {scored.system.name: scored.rankings[0][way].first for scored in comparison._scored} for way in top}
    right = {way: relevance for way, relevance, _ in comparison._task.relevances("test")}
    spoken = _Spoken(comparison)
    headings = {
        "t2i": ("Sentences it answers best", "Sentences it answers worst"),
        "i2t": ("Pictures it answers best", "Pictures it answers worst"),
    }
    examples = {}
    for way, (best_heading, worst_heading) in headings.items():
        chosen = _choose(firsts[way], comparison.best, parts.groups if way == "t2i" else None, n_examples)
        for heading, queries in zip((best_heading, worst_heading), chosen, strict=True):
            examples[heading] = [
                _example(way, query, parts, top[way][query], right[way], firsts[way], spoken) for query in queries
            ]
    return examples


def _choose(firsts, best, groups, n_examples):
    """Queries that the best system answers at once and the others do not, and those that it answers last."""
    mine = firsts[best]
    others = np.mean([np.log(ranks) for name, ranks in firsts.items() if name != best] or [np.zeros(len(mine))], axis=0)
    orders = np.lexsort((-others, mine)), np.lexsort((-others, -mine))
    return [_of_other_pictures(order, groups, n_examples) for order in orders]


def _of_other_pictures(order, groups, n_examples):
    chosen: list = []
    seen = set()
    for query in order:
        picture = query if groups is None else groups[query]
        if picture not in seen:
            seen.add(picture)
            chosen.append(int(query))
        if len(chosen) == n_examples:
            break
    return chosen


def _example(way, query, parts, top, right, firsts, spoken):
    relevant = set(right[[query]].indices.tolist())
    ranks = {name: int(values[query]) for name, values in firsts.items()}
    if way == "i2t":
        found = [(parts.texts[row], row in relevant) for row in top[:N_SHOWN]]
        sentence = parts.texts[min(relevant)]
        return Example(way, thumbnail(parts.images[query], query), sentence, found, ranks)
    found = [(thumbnail(parts.images[row], row), row in relevant) for row in top[:N_SHOWN]]
    picture = int(parts.groups[query])
    words = spoken.words(parts.texts[query], picture)
    return Example(way, thumbnail(parts.images[picture], picture), parts.texts[query], found, ranks, words)


def thumbnail(image, row):
    """A small JPEG of a picture as a data URL."""
    from PIL import Image

    picture = Image.fromarray(np.asarray(load_image(image, row)))
    picture.thumbnail((_SIDE, _SIDE), Image.Resampling.LANCZOS)
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=80)
    return f"data:image/jpeg;base64,{base64.b64encode(file.getvalue()).decode('ascii')}"


class _Spoken:
    """What each word of a sentence adds to the cosine with a picture: the sentence is encoded without it."""

    def __init__(self, comparison):
        systems = {scored.system.name: scored.system for scored in comparison._scored}
        system = systems[comparison.best]
        if isinstance(system, Reranked):
            # The judge of the second stage looks at pairs; the words speak for the first.
            system = systems[system.first]
        self._embed = _embedder(comparison, systems, system)
        self._tokenizer = JiebaTokenizer()

    def words(self, sentence, picture):
        """The words in order, each with the fall of the cosine when it is left out."""
        if self._embed is None:
            return []
        is_chinese = any("\u3400" <= letter <= "\u9fff" for letter in sentence)
        words = self._tokenizer(sentence) if is_chinese else sentence.split()
        if len(words) < 2:
            return []
        joint = "" if is_chinese else " "
        without = [joint.join(words[:place] + words[place + 1 :]) for place in range(len(words))]
        image, rows = (
            unit_rows(np.asarray(part, dtype=np.float32))
            for part in self._embed(picture, [joint.join(words), *without])
        )
        cosines = rows @ image[0]
        return [(word, float(cosines[0] - cosine)) for word, cosine in zip(words, cosines[1:], strict=True)]


def _embedder(comparison, systems, system):
    """A function from a row of test and sentences to their embeddings by a system, or None where an encoder is not at hand."""
    folder = comparison._folders[system.name][0]
    if isinstance(system, Together):
        members = [_embedder(comparison, systems, systems[name]) for name in system.members]
        weights = read_record(folder)["scaled_weights"]
        used = [(member, weight) for member, weight in zip(members, weights, strict=True) if weight > 0]
        if any(member is None for member, _ in used):
            return None
        return lambda row, texts: join([member(row, texts) for member, _ in used], [weight for _, weight in used])
    if not isinstance(system, System):
        return None
    sides = {kind: known[getattr(system, kind) or next(iter(known))] for kind, known in comparison._sides.items()}
    encoder = sides["text"].encoder()
    if encoder is None:
        return None
    fusion = joblib.load(folder / "fusion.joblib")
    pictures = sides["image"].load("test")
    return lambda row, texts: (
        fusion.transform(take(pictures, [row])),
        fusion.transform_y(encoder.transform(texts)),
    )
