"""Class-level retrieval on the Wikipedia collection, with the settings that benchmarks/quality/wikipedia.py chose on train."""

from pathlib import Path

import numpy as np
import pytest
from sklearn.kernel_approximation import Nystroem
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from mmfeat.datasets import load_wikipedia
from mmfeat.fusion import CCA, KernelCCA, SemanticMatching
from mmfeat.metrics import match_groups, mean_average_precision, rank_embeddings

SHARED = Path(__file__).resolve().parents[2] / ".." / "shared" / "data" / "wikipedia"


def logistic(C):
    return make_pipeline(StandardScaler(), LogisticRegression(C=C, max_iter=1000))


def kernel_logistic(C, gamma):
    landmarks = Nystroem(kernel="chi2", gamma=gamma, n_components=1000, random_state=0)
    return make_pipeline(landmarks, LogisticRegression(C=C, max_iter=1000))


SYSTEMS = {
    "CCA": (CCA(7, reg=(0.3, 30.0), power=0.5), 0.244),
    "KernelCCA": (KernelCCA(80, kernel="chi2", reg=(0.3, 10.0), power=0.5), 0.252),
    "KernelCCA, Nystroem": (
        KernelCCA(
            80, kernel="chi2", reg=(0.3, 10.0), power=0.5, approximation="nystroem", n_landmarks=500, random_state=0
        ),
        0.252,
    ),
    "SCM": (
        SemanticMatching(logistic(0.1), logistic(1.0), projection=CCA(9, reg=(0.3, 30.0), power=0.0)),
        0.250,
    ),
    "SM": (SemanticMatching(kernel_logistic(3.0, gamma=2.0), kernel_logistic(10.0, gamma=3.0)), 0.290),
}


@pytest.mark.data
@pytest.mark.skipif(not SHARED.is_dir(), reason="the Wikipedia features are not beside the checkout")
@pytest.mark.parametrize("system", SYSTEMS)
def test_average_of_both_directions_reaches_its_bar(system):
    fusion, bar = SYSTEMS[system]
    train, test = load_wikipedia(SHARED, "train"), load_wikipedia(SHARED, "test")
    more = {"labels": train.labels} if isinstance(fusion, SemanticMatching) else {}
    fusion.fit(train.images, train.texts, **more)
    images, texts = fusion.transform(test.images), fusion.transform_y(test.texts)
    relevance = match_groups(test.labels, test.labels)
    maps = [
        mean_average_precision(rank_embeddings(*pair, relevance=relevance))
        for pair in ((images, texts), (texts, images))
    ]
    assert np.mean(maps) >= bar
