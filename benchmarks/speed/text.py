"""Text features against the usual way to make them, on the captions of Flickr8k.

    python benchmarks/speed/text.py --root FLICKR8K [--only NAME ...]

Each section is written as soon as it is done, beside the others that stand in the record.
"""

import argparse
import time

import numpy as np
from _harness import in_process, in_turn, write_section
from sklearn.feature_extraction.text import TfidfVectorizer

from mmfeat.datasets import load_flickr8k
from mmfeat.text import JiebaTokenizer, tfidf_lsa


def captions(root, language):
    """All captions of a language."""
    return [text for texts in load_flickr8k(root, "all", language)["text"] for text in texts]


def _peer():
    import jieba

    # Eight captions hold spaces, which jieba gives as tokens: dropped here by name, as everywhere else.
    return TfidfVectorizer(tokenizer=jieba.lcut, token_pattern=None, stop_words=[" "])


def _ours(**parameters):
    # As the plain vectorizer does it: punctuation is kept, lower case comes before the cut, and all is float64.
    tokenizer = JiebaTokenizer(keep_punctuation=True, lowercase=False, **parameters)
    pipeline = tfidf_lsa(None, tokenizer=tokenizer, ngram_range=(1, 1), min_df=1, sublinear_tf=False)
    return pipeline.set_params(tfidf__lowercase=True, tfidf__dtype=np.float64)


_WAYS = {
    "jieba.lcut": _peer,
    "rjieba": lambda: _ours(backend="rjieba"),
    "jieba": _ours,
    "jieba, n_jobs=2": lambda: _ours(n_jobs=2),
}


def tokenizing(root):
    """Chinese captions to TF-IDF of words, the processes and dictionaries of all ways being warm."""
    texts = captions(root, "zh")
    matrices = {name: make().fit_transform(texts) for name, make in _WAYS.items()}
    reference = matrices["jieba.lcut"]
    taken = in_turn({name: lambda make=make: make().fit_transform(texts) for name, make in _WAYS.items()}, repeats=7)
    return {
        "captions": len(texts),
        "distinct": len(set(texts)),
        "shape": reference.shape,
        "seconds": taken,
        "ratios": {name: taken["jieba.lcut"] / taken[name] for name in _WAYS},
        "values_that_differ": {
            name: int(abs(matrix - reference).nnz) if matrix.shape == reference.shape else None
            for name, matrix in matrices.items()
        },
    }


def cold(root):
    """The same in a new process each, with loading the dictionary and starting the workers, but not the imports."""
    texts = captions(root, "zh")
    return {name: in_process(_first_time, name, texts)[0] for name in _WAYS}


def _first_time(name, texts):
    import jieba
    from joblib import Parallel  # noqa: F401, what joblib imports is not what is measured

    jieba.setLogLevel(60)
    start = time.perf_counter()
    _WAYS[name]().fit_transform(texts)
    return time.perf_counter() - start


def agreement(root):
    """Share of captions that rjieba cuts as jieba does, natively Chinese ones and machine-translated ones."""
    result = {}
    for language in ("zh", "zh_machine"):
        texts = captions(root, language)
        for hmm in (True, False):
            cuts = [
                JiebaTokenizer(backend, hmm=hmm, keep_punctuation=True, lowercase=False).transform(texts)
                for backend in ("jieba", "rjieba")
            ]
            differ = [text for text, one, other in zip(texts, *cuts, strict=True) if one != other]
            result[f"{language}, hmm={hmm}"] = {
                "captions": len(texts),
                "differ": len(differ),
                "examples": differ[:5],
            }
    return result


SECTIONS = {
    "tokenizing": tokenizing,
    "tokenizing_cold": cold,
    "agreement": agreement,
}


def main():
    """Run the sections asked for, all by default."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--root", required=True, help="folder of Flickr8k")
    parser.add_argument("--only", nargs="+", choices=SECTIONS, default=list(SECTIONS))
    arguments = parser.parse_args()
    for name in arguments.only:
        write_section("speed_text", name, SECTIONS[name](arguments.root))


if __name__ == "__main__":
    main()
