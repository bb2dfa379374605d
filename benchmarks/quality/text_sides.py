"""Text sides of image-text retrieval on Flickr8k, English and Chinese: counts, word vectors, Fisher vectors, and all joined.

    python benchmarks/quality/text_sides.py --root ../shared/data/flickr8k
        --weights ../shared/weights/mobilenet_v2_imagenet.pth --vectors-en FILE --vectors-zh FILE --cache FOLDER

Everything is fitted on the captions of train. The settings of the CCA, and the weights of the parts that are joined, are
chosen by rsum on val; then test is scored, once. With --cache features are kept between runs, outside of the project.
"""

import argparse
import functools
import hashlib
import json
import re
import time
from itertools import product
from pathlib import Path

import numpy as np
from sklearn.decomposition import TruncatedSVD
from sklearn.pipeline import make_pipeline, make_union
from sklearn.preprocessing import normalize

from mmfeat.cli._evaluate import Encoded, scores_of
from mmfeat.cli._provenance import provenance
from mmfeat.cli._systems import image_encoder
from mmfeat.datasets import load_flickr8k
from mmfeat.encoding import FisherVector
from mmfeat.fusion import CCA
from mmfeat.fusion._moments import Moments
from mmfeat.text import WordVectors, tfidf_lsa
from mmfeat.text._vector_streams import file_digest
from mmfeat.utils._pairs import split_pairs

SEED = 0
SPLITS = ("train", "val", "test")
RIDGES = tuple(product((1.0, 2.0, 4.0), (0.03, 0.1, 0.3, 1.0, 3.0)))
WIDTHS = (64, 100, 150, 200, 300)
POWERS = (0.5, 1.0, 1.5)
MIDDLE = {"reg": (2.0, 0.3), "power": 1.0, "n_components": 150}
PART_WEIGHTS = (0.0, 0.5, 1.0, 2.0)
RSUM = [f"{way} R@{k}" for way in ("I→T", "T→I") for k in (1, 5, 10)]
CHARACTERS = {"en": (2, 5), "zh": (1, 3)}
# Klein, Lev, Sadeh and Wolf (2015): VGG19 and word2vec of Google News in place of what we have here.
KLEIN = {"Mean Vec": (22.6, 48.8, 61.2, 19.1, 45.3, 60.4), "GMM+HGLMM": (31.0, 59.3, 73.7, 21.2, 50.0, 64.8)}


def characters(text):
    """Single characters of a Chinese text, as the vectors given for Chinese have them."""
    return [letter for letter in text if not letter.isspace()]


def fisher(mixture):
    """Klein's encoding of a bag of word vectors, reduced as TF-IDF is, so that a CCA of all of it stays small."""
    encoder = FisherVector(30, mixture=mixture, gradients=("means", "scales"), projection="ica", random_state=SEED)
    return encoder, TruncatedSVD(1000, n_iter=2, random_state=SEED)


def sides(language, trained, given, cache):
    """Encoders of texts by name; `trained` are vectors of the training captions, `given` those of a file."""
    chars = CHARACTERS[language]
    counts = {"language": language, "random_state": SEED}
    own = functools.partial(WordVectors, trained, tokenizer=language)
    theirs = functools.partial(WordVectors, given, tokenizer=characters if language == "zh" else "en", cache_dir=cache)
    return {
        "TF-IDF word": tfidf_lsa(1000, **counts),
        "TF-IDF char": tfidf_lsa(1000, ngram_range=None, char_ngram_range=chars, **counts),
        "TF-IDF both": tfidf_lsa(1000, char_ngram_range=chars, **counts),
        "mean": own(),
        "IDF": own(pooling="idf"),
        "SIF": own(pooling="sif"),
        "mean, given": theirs(),
        "IDF, given": theirs(pooling="idf"),
        "SIF, given": theirs(pooling="sif"),
        "Fisher gaussian": make_pipeline(own(pooling=None), *fisher("gaussian")),
        "Fisher hybrid": make_pipeline(own(pooling=None), *fisher("hybrid")),
        "Fisher gaussian + hybrid": make_pipeline(
            own(pooling=None),
            make_union(fisher("gaussian")[0], fisher("hybrid")[0]),
            TruncatedSVD(1000, n_iter=2, random_state=SEED),
        ),
        "Fisher gaussian, given": make_pipeline(theirs(pooling=None), *fisher("gaussian")),
    }


JOINED = (
    "TF-IDF word",
    "TF-IDF char",
    "mean",
    "mean, given",
    "Fisher gaussian",
    "Fisher hybrid",
    "Fisher gaussian, given",
)


def features(encoder, texts, cache, *more):
    """Features of the three splits from an encoder fitted on train, kept under a name that holds all they depend on."""
    # Without addresses of objects, which are others in each run.
    described = re.sub(r" at 0x[0-9a-f]+", "", encoder.__repr__(N_CHAR_MAX=10**6))
    content = [described, *more, *(text for split in SPLITS for text in texts[split])]
    name = hashlib.sha256("\0".join(map(str, content)).encode()).hexdigest()[:20]
    file = None if cache is None else cache / f"{name}.npz"
    if file is not None and file.exists():
        with np.load(file) as kept:
            return {split: kept[split] for split in SPLITS}, float(kept["seconds"])
    start = time.perf_counter()
    found = {"train": encoder.fit_transform(texts["train"])}
    found |= {split: encoder.transform(texts[split]) for split in SPLITS[1:]}
    seconds = time.perf_counter() - start
    if file is not None:
        part = file.with_suffix(".part.npz")
        np.savez(part, **found, seconds=seconds)
        part.replace(file)
    return found, seconds


class Search:
    """CCA with settings chosen on val.

    Parameters
    ----------
    images : dict of str to ndarray
        Features of the splits.
    groups : dict of str to ndarray
        Image that each caption belongs to.
    last : {"test", "val"}
        Split that the rows of the table are of; val leaves test alone, for trying things out.
    """

    def __init__(self, images, groups, last):
        self._images, self._groups, self.last = images, groups, last

    def moments(self, texts):
        """Statistics of train, which serve all settings."""
        return Moments.of(self._images["train"][self._groups["train"]], texts)

    def rsums(self, moments, texts, reg, power, widths):
        """rsum on val for each width, of a CCA of train with these settings; `texts` are those of val."""
        fusion = CCA(min(max(widths), *moments.xy.shape), reg=reg, power=power)
        fusion.n_features_in_, fusion.n_targets_in_ = moments.xy.shape
        fusion._fit_more(moments)
        val = Encoded(self._images["val"], texts, self._groups["val"]).embed(fusion)
        return {
            width: scores_of(Encoded(val.images[:, :width], val.texts[:, :width], val.groups))["rsum"]
            for width in widths
        }

    def best(self, texts):
        """Highest rsum on val and its settings: the ridges, then power and width, then all once more."""
        moments = self.moments(texts["train"])
        power, width = MIDDLE["power"], MIDDLE["n_components"]
        found = {}
        for _ in range(2):
            for reg in RIDGES:
                found[reg, power, width] = self.rsums(moments, texts["val"], reg, power, [width])[width]
            reg = max(found, key=found.get)[0]
            for power in POWERS:
                rsums = self.rsums(moments, texts["val"], reg, power, WIDTHS)
                found |= {(reg, power, width): rsum for width, rsum in rsums.items()}
            reg, power, width = max(found, key=found.get)
        return found[reg, power, width], {"n_components": min(width, *moments.xy.shape), "reg": reg, "power": power}

    def score(self, texts, settings):
        """Scores of the last split by a CCA fitted on train."""
        fusion = Encoded(self._images["train"], texts["train"], self._groups["train"]).fit(CCA(**settings))
        return scores_of(Encoded(self._images[self.last], texts[self.last], self._groups[self.last]).embed(fusion))


def join(parts, weights):
    """Parts side by side, each row of a part brought to the length that is the weight of the part."""
    used = [name for name in parts if weights.get(name)]
    return {split: np.hstack([weights[name] * normalize(parts[name][split]) for name in used]) for split in SPLITS}


def choose_weights(search, parts):
    """Weights of the parts, one part after the other, twice, by rsum on val with middling settings of the CCA."""
    whole = join(parts, dict.fromkeys(parts, 1.0))
    moments = search.moments(whole["train"])
    part_of = np.repeat(list(parts), [part["val"].shape[1] for part in parts.values()])

    def rsum(weights):
        scale = np.array([weights[name] for name in part_of])
        used = scale > 0
        scale = scale[used]
        scaled = Moments(
            moments.n,
            moments.mean_x,
            scale * moments.mean_y[used],
            moments.xx,
            moments.yy[np.ix_(used, used)] * np.outer(scale, scale),
            moments.xy[:, used] * scale,
        )
        width = MIDDLE["n_components"]
        val = whole["val"][:, used] * scale.astype(np.float32)
        return search.rsums(scaled, val, MIDDLE["reg"], MIDDLE["power"], [width])[width]

    weights = dict.fromkeys(parts, 1.0)
    tried = {tuple(weights.values()): rsum(weights)}
    best = tried[tuple(weights.values())]
    for name, weight in list(product(parts, PART_WEIGHTS)) * 2:
        trial = {**weights, name: weight}
        key = tuple(trial.values())
        if key in tried or not any(key):
            continue
        tried[key] = rsum(trial)
        if tried[key] > best:
            best, weights = tried[key], trial
            print(f"joined: val {best:.1f} with {weights}", flush=True)
    return weights


def trained_vectors(texts, language):
    """Vectors of the words of the training captions, as gensim's KeyedVectors, so that they are trained once for all."""
    from gensim.models import KeyedVectors

    encoder = WordVectors(tokenizer=language, random_state=SEED).fit(texts["train"])
    keyed = KeyedVectors(encoder.n_features_out_)
    keyed.add_vectors(encoder.words_, encoder.vectors_)
    return keyed, encoder


def run(language, arguments):
    """All sides of one language, the record for JSON."""
    pairs = {split: split_pairs(load_flickr8k(arguments.root, split, language)) for split in SPLITS}
    texts = {split: pairs[split].texts for split in SPLITS}
    pictures = {split: pairs[split].images for split in SPLITS}
    pixels = image_encoder(arguments.weights, verbose=True)
    images, _ = features(pixels, pictures, arguments.cache, file_digest(arguments.weights))
    search = Search(images, {split: pairs[split].groups for split in SPLITS}, "val" if arguments.val_only else "test")
    trained, encoder = trained_vectors(texts, language)
    digest = hashlib.sha256(encoder.vectors_.tobytes()).hexdigest()
    given = getattr(arguments, f"vectors_{language}")
    parts, rows = {}, []
    for name, side in sides(language, trained, given, arguments.cache).items():
        parts[name], seconds = features(side, texts, arguments.cache, language, digest, file_digest(given))
        rows.append(scored(search, name, parts[name], seconds=seconds))
    plain = {"TF-IDF word": 1.0, "mean": 1.0}
    rows.append(scored(search, "joined: TF-IDF word, mean", join({name: parts[name] for name in plain}, plain)))
    weights = choose_weights(search, {name: parts[name] for name in JOINED})
    rows.append(scored(search, "joined: all", join(parts, weights), weights=weights))
    return {
        "split_sizes": {split: len(pictures[split]) for split in SPLITS},
        "gallery": {"images": len(pictures["test"]), "texts": len(texts["test"])},
        "chosen_on": "val",
        "scored_on": search.last,
        "seed": SEED,
        "vectors": {"trained_oov_rate": encoder.oov_rate_, "words": len(encoder.words_), "given": Path(given).name},
        "results": rows,
        "steps": steps(rows),
        "provenance": provenance(),
    }


def scored(search, name, texts, **more):
    """Row of a side: settings from val, figures from test."""
    rsum, settings = search.best(texts)
    row = {"side": name, "columns": texts["train"].shape[1], **search.score(texts, settings), "val rsum": rsum}
    print(f"{name}: val {rsum:.1f}, {search.last} {row['rsum']:.1f}", flush=True)
    return {**row, "settings": settings, **more}


def steps(rows):
    """What the steps bring that are spoken of."""
    by_name = {row["side"]: row for row in rows}

    def gain(after, before):
        return {
            name: by_name[after][name] - by_name[before][name] for name in ("I→T R@1", "T→I R@1", "rsum", "val rsum")
        }

    best = max((name for name in by_name if name.startswith("TF-IDF")), key=lambda name: by_name[name]["val rsum"])
    return {
        "joined over TF-IDF word": gain("joined: all", "TF-IDF word"),
        f"joined over {best}, the best TF-IDF on val": gain("joined: all", best),
        "Fisher gaussian + hybrid over mean": gain("Fisher gaussian + hybrid", "mean"),
        "Klein et al., the same step": {
            "I→T R@1": KLEIN["GMM+HGLMM"][0] - KLEIN["Mean Vec"][0],
            "T→I R@1": KLEIN["GMM+HGLMM"][3] - KLEIN["Mean Vec"][3],
            "rsum": sum(KLEIN["GMM+HGLMM"]) - sum(KLEIN["Mean Vec"]),
        },
    }


def table(record):
    """The record as Markdown."""
    lines = [
        "Flickr8k, mobilenet_v2, CCA; sides of the texts. Everything is fitted on the 6,000 images of train and their captions; "
        "settings of the CCA and weights of what is joined are chosen by rsum on val. Gallery of test: 1,000 images, 5,000 "
        "sentences; recall in %.",
    ]
    for language, part in record.items():
        columns = [*RSUM, "rsum", "val rsum"]
        lines += ["", f"Captions in {language}:", "", f"| side | columns | {' | '.join(columns)} | settings |"]
        lines.append("|---|--:|" + "--:|" * len(columns) + "---|")
        for row in part["results"]:
            settings = ", ".join(f"{name}={value}" for name, value in row["settings"].items())
            if "weights" in row:
                settings += "; weights " + ", ".join(f"{name}: {weight:g}" for name, weight in row["weights"].items())
            figures = " | ".join(f"{row[name]:.1f}" for name in columns)
            lines.append(f"| {row['side']} | {row['columns']} | {figures} | {settings} |")
        lines.append("")
        for name, gains in part["steps"].items():
            lines.append(f"* {name}: " + ", ".join(f"{what} {value:+.1f}" for what, value in gains.items()))
    return "\n".join(lines) + "\n"


def main():
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path, required=True, help="folder of Flickr8k")
    parser.add_argument("--weights", type=Path, required=True, help="weights of mobilenet_v2")
    parser.add_argument("--vectors-en", required=True, help="file of English word vectors")
    parser.add_argument("--vectors-zh", required=True, help="file of vectors of Chinese characters")
    parser.add_argument("--language", nargs="+", choices=("en", "zh"), default=["en", "zh"])
    parser.add_argument("--cache", type=Path, help="folder of features, outside of the project")
    parser.add_argument("--val-only", action="store_true", help="score val in place of test, for trying things out")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results"), help="folder of the results")
    arguments = parser.parse_args()
    for folder in (arguments.out, arguments.cache):
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
    file = arguments.out / "text_sides.json"
    for language in arguments.language:
        record = json.loads(file.read_text("utf-8")) if file.exists() else {}
        record[language] = run(language, arguments)
        file.write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        file.with_suffix(".md").write_text(table(record), encoding="utf-8")
        print(table(record))


if __name__ == "__main__":
    main()
