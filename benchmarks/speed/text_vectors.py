"""Word vectors: pooling against loops over gensim's KeyedVectors, and opening a large file of vectors.

    python benchmarks/speed/text_vectors.py --root ../shared/data/flickr8k [--only NAME ...]

Pooling works on the English captions of Flickr8k with vectors that gensim has trained on them. The large file is synthetic,
is written to a temporary folder (see --scratch), and takes twice its size there.
"""

import argparse
import json
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from _harness import in_turn, write_section

from mmfeat.datasets import load_flickr8k
from mmfeat.text import WordVectors
from mmfeat.utils._pairs import split_pairs

_GIGABYTE = 10**9
_ALPHA = 1e-3


def captions(root):
    """All English captions, and each cut into words."""
    texts = split_pairs(load_flickr8k(root, "all", "en")).texts
    return texts, [cut(text) for text in texts]


def cut(text):
    """Words as the default tokenizer finds them."""
    return re.findall(r"(?u)\b\w+\b", text.lower())


def trained(tokens):
    """gensim's own KeyedVectors."""
    from gensim.models import Word2Vec

    return Word2Vec(tokens, vector_size=200, min_count=2, sg=1, epochs=2, seed=0, workers=1).wv


def looped(keyed, encoder):
    """Pooling functions of one text each, as they are written over gensim's KeyedVectors, by the name of the pooling."""
    width = keyed.vector_size
    weights, unseen = getattr(encoder, "word_weights_", {}), getattr(encoder, "unseen_weight_", 1.0)

    def mean(words):
        rows = [keyed[word] for word in words if word in keyed]
        return np.mean(rows, axis=0) if rows else np.zeros(width, dtype=np.float32)

    def largest(words):
        rows = [keyed[word] for word in words if word in keyed]
        return np.max(rows, axis=0) if rows else np.zeros(width, dtype=np.float32)

    def idf(words):
        words = [word for word in words if word in keyed]
        if not words:
            return np.zeros(width, dtype=np.float32)
        return np.average(
            [keyed[word] for word in words], axis=0, weights=[weights.get(word, unseen) for word in words]
        )

    def sif(words):
        words = [word for word in words if word in keyed]
        if not words:
            return np.zeros(width, dtype=np.float32)
        scaled = [weights.get(word, unseen) * keyed[word] for word in words]
        row = np.mean(scaled, axis=0)
        return row - encoder.common_components_.T @ (encoder.common_components_ @ row)

    return {"mean": mean, "max": largest, "idf": idf, "sif": sif}[encoder.pooling]


def pooling(root):
    """Texts to features with both, from words and from strings; the features must agree."""
    texts, tokens = captions(root)
    keyed = trained(tokens)
    words_of = dict(zip(texts, tokens, strict=True))
    rows = {}
    for name in ("mean", "max", "idf", "sif"):
        ours = WordVectors(keyed, pooling=name, sif_alpha=_ALPHA).fit(texts)
        # Words in, features out: the tokenizer has nothing to do but to hand out the words.
        from_words = WordVectors(keyed, tokenizer=words_of.__getitem__, pooling=name, sif_alpha=_ALPHA).fit(texts)
        pool = looped(keyed, ours)
        reference = np.array([pool(words) for words in tokens])
        taken = in_turn(
            {
                "mmfeat_from_words": lambda from_words=from_words: from_words.transform(texts),
                "loop_from_words": lambda pool=pool: np.array([pool(words) for words in tokens]),
                "mmfeat_from_strings": lambda ours=ours: ours.transform(texts),
                "loop_from_strings": lambda pool=pool: np.array([pool(cut(text)) for text in texts]),
            },
            repeats=3,
        )
        rows[name] = {
            "seconds": taken,
            "ratio_from_words": taken["loop_from_words"] / taken["mmfeat_from_words"],
            "ratio_from_strings": taken["loop_from_strings"] / taken["mmfeat_from_strings"],
            "largest_difference": float(np.abs(ours.transform(texts) - reference).max()),
            "largest_difference_from_words": float(np.abs(from_words.transform(texts) - reference).max()),
        }
    means = in_turn({"get_mean_vector": lambda: _gensim_means(keyed, tokens)}, repeats=1)
    rows["mean"]["seconds"]["gensim_get_mean_vector_from_words"] = means["get_mean_vector"]
    return {"texts": len(texts), "dim": keyed.vector_size, "vocabulary": len(keyed), "pooling": rows}


def _gensim_means(keyed, tokens):
    return [keyed.get_mean_vector(words, pre_normalize=False) if words else None for words in tokens]


_OPEN = """
import json, sys, time
def peak():
    with open("/proc/self/status") as status:
        return 1024 * int(next(line for line in status if line.startswith("VmHWM")).split()[1])
from mmfeat.text import WordVectors
base = peak()
start = time.perf_counter()
encoder = WordVectors(sys.argv[1]).fit([" ".join(f"word{10 * n}" for n in range(1000))])
opened = time.perf_counter() - start
texts = [" ".join(f"word{97 * ((11 * n + k) % 4000)}" for k in range(11)) for n in range(4000)]
start = time.perf_counter()
encoder.transform(texts)
print(json.dumps({"open_and_fit_s": opened, "transform_4000_texts_s": time.perf_counter() - start,
                  "peak_resident_bytes": peak(), "of_which_imports_bytes": base}))
"""

_KEYED = """
import json, sys, time
from gensim.models import KeyedVectors
def peak():
    with open("/proc/self/status") as status:
        return 1024 * int(next(line for line in status if line.startswith("VmHWM")).split()[1])
start = time.perf_counter()
KeyedVectors.load_word2vec_format(sys.argv[1])
print(json.dumps({"open_s": time.perf_counter() - start, "peak_resident_bytes": peak()}))
"""


def opening(scratch):
    """A text file of 1 GB in word2vec's format: converted once, then opened in new processes."""
    with tempfile.TemporaryDirectory(dir=scratch) as folder:
        path = Path(folder) / "vectors.txt"
        count = _write_vectors(path, _GIGABYTE)
        time.sleep(3)  # a file just written is, for two seconds, not trusted by its time alone
        first = _run(_OPEN, path)
        rows = {
            "file_bytes": path.stat().st_size,
            "words": count,
            "dim": 300,
            "converted_bytes": path.with_name("vectors.txt.mmfeat").stat().st_size,
            "first_time": first,
            "second_time": [_run(_OPEN, path) for _ in range(3)],
            "gensim_each_time": _run(_KEYED, path),
            "two_processes": _shared(path),
        }
    return rows


def _write_vectors(path, size):
    """Write lines of random numbers, some hundred of them again and again, each with a word of its own."""
    rng = np.random.default_rng(0)
    numbers = [" ".join(f"{value:.5f}" for value in rng.standard_normal(300)) for _ in range(500)]
    count = size // (len(numbers[0]) + 12)
    with path.open("w", encoding="utf-8") as file:
        file.write(f"{count} 300\n")
        file.writelines(f"word{row} {numbers[row % 500]}\n" for row in range(count))
    return count


def _run(code, path):
    result = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True)
    return json.loads(result.stdout)


_TOUCH = """
import json, sys
from mmfeat.text._vector_cache import open_vectors
store = open_vectors(sys.argv[1])
total = float(store.vectors[::4].sum())
print("ready", flush=True)
sys.stdin.readline()
with open("/proc/self/smaps") as maps:
    lines = maps.read().splitlines()
starts = [n for n, line in enumerate(lines) if line.endswith(".mmfeat")]
sizes = {}
for start in starts:
    for line in lines[start + 1 : start + 8]:
        name, value = line.split()[:2]
        sizes[name.strip(":")] = sizes.get(name.strip(":"), 0) + 1024 * int(value)
print(json.dumps(sizes))
"""


def _shared(path):
    """Resident bytes of the mapped file in two processes that have both read all of it, and their shares of them."""
    command = [sys.executable, "-c", _TOUCH, str(path)]
    processes = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    for process in processes:
        process.stdout.readline()
    sizes = []
    for process in processes:
        process.stdin.write("\n")
        process.stdin.flush()
        sizes.append(json.loads(process.stdout.readline()))
    for process in processes:
        process.communicate()
    return [{"resident_bytes": size["Rss"], "share_bytes": size["Pss"]} for size in sizes]


SECTIONS = {
    "pooling": lambda arguments: pooling(arguments.root),
    "opening": lambda arguments: opening(arguments.scratch),
}


def main():
    """Run the sections asked for, all by default."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--root", required=True, help="folder of Flickr8k")
    parser.add_argument(
        "--scratch", default=None, help="folder for the large file; the system's temporary one by default"
    )
    parser.add_argument("--only", nargs="+", choices=SECTIONS, default=list(SECTIONS))
    arguments = parser.parse_args()
    for name in arguments.only:
        write_section("speed_text_vectors", name, SECTIONS[name](arguments))


if __name__ == "__main__":
    main()
