"""One search over early, late and middle fusion, classifiers and encoders in two processes: the networks run once."""

import os
import subprocess
import sys
from collections import Counter

import pytest

pytest.importorskip("transformers")
pytest.importorskip("torchvision")

# A module of its own: other processes must be able to import it.
COUNTING = """
import os
import joblib
from mmfeat.image import CNNFeatures
from mmfeat.text import PretrainedTextFeatures

def note(kind, items):
    with open(os.environ["NOTES"], "a") as stream:
        stream.write("".join(f"{kind} {joblib.hash(item)}\\n" for item in items))

class Pictures(CNNFeatures):
    def transform(self, X):
        note("image", X)
        return super().transform(X)

class Sentences(PretrainedTextFeatures):
    def transform(self, X):
        note("text", X)
        return super().transform(X)
"""

SEARCH = """
import os, sys, warnings
warnings.filterwarnings("ignore", ".*random:UserWarning")
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.svm import SVC
from counting_networks import Pictures, Sentences
from mmfeat.caching import CachedTransformer
from mmfeat.datasets import make_scenes
from mmfeat.multimodal import AttentionFusionClassifier, LateFusionClassifier, PairFeatures
from mmfeat.text import tfidf_lsa

folder, language_model = sys.argv[1:3]
posts = make_scenes(36, image_size=32, captions_per_image=1, task="sentiment", random_state=0)
network = Pictures("squeezenet1_1", weights=None, layer="features.3", device="cpu")
pictures = CachedTransformer(network, folder)
sentences = CachedTransformer(Sentences(language_model, device="cpu"), folder)
words = tfidf_lsa(None)

early = make_pipeline(PairFeatures(pictures, sentences, normalize="standard"), SVC())
late = LateFusionClassifier(make_pipeline(pictures, LogisticRegression()), make_pipeline(sentences, GaussianNB()), cv=2)
middle = AttentionFusionClassifier(pictures, sentences, n_components=8, max_epochs=2, random_state=0, device="cpu")
grid = [
    {"model": [early], "model__svc": [SVC(), LogisticRegression()], "model__pairfeatures__text_encoder": [sentences, words]},
    {"model": [late], "model__combine": ["mean", "weighted", "stack"]},
    {"model": [middle], "model__fusion": ["gated", "bilinear", "cross_attention"], "model__text_encoder": [sentences, words]},
]
# Before the search: two processes that begin at once would both compute the rows that neither has written.
pictures.fit(posts["image"]).transform(posts["image"])
sentences.fit([text for text, in posts["text"]]).transform([text for text, in posts["text"]])
search = GridSearchCV(Pipeline([("model", early)]), grid, cv=3, n_jobs=2, error_score="raise")
search.fit(posts, posts["label"])
print(len(search.cv_results_["params"]), search.predict(posts).shape)
"""


@pytest.mark.slow
def test_networks_run_once_in_one_search_over_all_levels(tmp_path, tiny_bert):
    (tmp_path / "counting_networks.py").write_text(COUNTING)
    notes = tmp_path / "notes"
    environment = {**os.environ, "NOTES": str(notes), "PYTHONPATH": str(tmp_path)}
    command = [sys.executable, "-c", SEARCH, str(tmp_path / "cache"), str(tiny_bert)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=500, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["13", "(36,)"]
    counts = Counter(notes.read_text().splitlines())
    assert sorted(line.split()[0] for line in counts) == ["image"] * 36 + ["text"] * 36
    assert set(counts.values()) == {1}
