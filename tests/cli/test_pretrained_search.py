"""`mmfeat search --pretrained` from end to end, against a plain loop over the rows of both towers."""

import json

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from mmfeat.cli import main
from mmfeat.datasets import make_scenes
from mmfeat.pretrained import TwoTower

pytest.importorskip("transformers")

TEXTS = {"1": "a red ball", "2": "two dogs", "3": "x", "4": "红色的球"}


def run(*arguments):
    with pytest.raises(SystemExit) as end:
        main([str(argument) for argument in arguments])
    return end.value.code


@pytest.fixture
def tables(tmp_path):
    """Options of a search over eight pictures and four sentences."""
    pairs = make_scenes(8, image_size=48, random_state=0)
    for name, image in zip(pairs.index, pairs["image"], strict=True):
        Image.fromarray(np.asarray(image)).save(tmp_path / f"{name}.png")
    pd.DataFrame({"image_id": [f"{name}.png" for name in pairs.index]}).to_csv(tmp_path / "pictures.csv", index=False)
    pd.DataFrame({"text_id": list(TEXTS), "caption": list(TEXTS.values())}).to_csv(tmp_path / "texts.csv", index=False)
    return tmp_path


def search(folder, queries, gallery, out, *more):
    return run(
        "search", "--queries", folder / queries, "--gallery", folder / gallery, "--images", folder, "--out", out, *more
    )


@pytest.mark.parametrize(("queries", "gallery"), [("texts.csv", "pictures.csv"), ("pictures.csv", "texts.csv")])
def test_answers_are_those_of_a_loop(tiny_clip, tables, capsys, queries, gallery):
    out = tables / "result.csv"
    assert search(tables, queries, gallery, out, "--pretrained", tiny_clip, "-k", 3, "--json") == 0
    assert json.loads(capsys.readouterr().out)["k"] == 3
    names = pd.read_csv(tables / "pictures.csv", dtype=str)["image_id"].tolist()
    texts = pd.read_csv(tables / "texts.csv", dtype=str, keep_default_na=False)
    images = TwoTower(tiny_clip, "image", device="cpu").fit_transform([tables / name for name in names])
    sentences = TwoTower(tiny_clip, "text", device="cpu").fit_transform(texts["caption"].tolist())
    scores = sentences @ images.T
    ids = [texts["text_id"].tolist(), names]
    if queries == "pictures.csv":
        scores, ids = scores.T, ids[::-1]
    rows = pd.read_csv(out, dtype=str)
    for place, query in enumerate(ids[0]):
        answers = rows[rows.iloc[:, 0] == query].iloc[:, 2].tolist()
        assert answers == [ids[1][best] for best in np.argsort(-scores[place], kind="stable")[:3]]


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ((), "Name either --model FILE"),
        (("--model", "m", "--pretrained", "p"), "Got both"),
        (("--pretrained", "./gone"), "which is not there"),
        (("--pretrained", "."), "Expected a two-tower model"),
        (("--pretrained", ".", "--weights", "texts.csv"), "Leave out --weights"),
    ],
)
def test_bad_choices_end_with_one_line(tables, monkeypatch, capsys, more, message):
    monkeypatch.chdir(tables)
    assert search(tables, "texts.csv", "pictures.csv", tables / "r.csv", *more) == 1
    error = capsys.readouterr().err
    assert message in error and "Traceback" not in error
    assert not (tables / "r.csv").exists()
