"""The page and its charts: whole, self-contained, readable in a real browser on a desk and on a telephone."""

import csv
import io
import json
import re
import shutil
import subprocess
from html.parser import HTMLParser
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from mmfeat.comparison import System, Together, compare
from mmfeat.comparison._charts import _log_ticks, _ticks
from mmfeat.datasets import make_scenes
from mmfeat.fusion import CCA, PLS
from mmfeat.image import ColorHistogram
from mmfeat.retrieval import HubnessCorrection
from mmfeat.text import tfidf_lsa

BROWSER = next(
    (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None
)
VOID = {"meta", "img", "link", "br"}


@pytest.fixture(scope="module", params=["en", "zh"])
def found(request, tmp_path_factory):
    pairs = make_scenes(130, language=request.param, image_size=48, random_state=0)
    splits = {"train": pairs[:80], "val": pairs[80:105], "test": pairs[105:]}
    systems = [
        System("PLS <1>", PLS(8)),
        System("CCA", CCA(8), {"reg": [0.5, 2.0]}),
        System("CCA + CSLS", CCA(8), hubness=HubnessCorrection("csls", bank="queries")),
        Together("all together", ("PLS <1>", "CCA")),
        Together("all together + CSLS", ("PLS <1>", "CCA"), hubness=HubnessCorrection("csls")),
    ]
    work = tmp_path_factory.mktemp("work")
    texts = {"tfidf": tfidf_lsa(20, language=request.param)}
    return compare(systems, splits, {"colour": ColorHistogram(grid=2)}, texts, work=work, isolate=False)


class Checker(HTMLParser):
    """Tags that are open, and where anything is loaded from."""

    def __init__(self):
        super().__init__()
        self.open, self.sources, self.words = [], [], []

    def handle_starttag(self, tag, attrs):
        if tag not in VOID:
            self.open.append(tag)
        self.sources += [value for name, value in attrs if name in ("src", "href")]

    def handle_startendtag(self, tag, attrs):
        pass

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)


def test_the_page_is_whole_and_loads_nothing(found):
    html = found.html("Title & more")
    checker = Checker()
    checker.feed(html)
    assert checker.open == []
    assert checker.sources
    assert all(source.startswith("data:image/jpeg;base64,") for source in checker.sources)
    assert "http" not in html.replace("http://www.w3.org/2000/svg", "")
    text = " ".join(checker.words)
    for expected in (
        "Title & more",
        "PLS <1>",
        "transductive",
        "Sentences it answers best",
        "Pictures it answers worst",
    ):
        assert expected in text
    assert "prefers-color-scheme:dark" in html
    assert 'name="viewport"' in html


def test_the_ranks_on_the_page_are_those_of_the_rankings(found):
    from mmfeat.comparison._examples import examples_of

    examples = examples_of(found, 4)
    assert [len(shown) for shown in examples.values()] == [4, 4, 4, 4]
    for heading, shown in examples.items():
        for example in shown:
            rank = example.ranks[found.best]
            places = [place for place, (_, right) in enumerate(example.found, start=1) if right]
            assert (places[0] if places else None) == (rank if rank <= 5 else None)
        ranks = [example.ranks[found.best] for example in shown]
        assert ranks == sorted(ranks, reverse="worst" in heading)


@pytest.mark.parametrize("best", ["CCA", "all together", "all together + CSLS"])
def test_words_speak_by_what_their_absence_changes(found, monkeypatch, best):
    from mmfeat.comparison._examples import examples_of

    monkeypatch.setattr(found, "best", best)
    for example in examples_of(found, 3)["Sentences it answers best"]:
        assert all(word in example.sentence for word, _ in example.words)
        assert sum(len(word) for word, _ in example.words) > 0.7 * len(example.sentence.replace(" ", ""))
        assert np.isfinite([effect for _, effect in example.words]).all()
        assert any(effect != 0 for _, effect in example.words)


def test_the_whole_sentence_stands_on_the_page(found):
    checker = Checker()
    checker.feed(found.html(n_examples=2))
    words = "".join(checker.words)
    from mmfeat.comparison._examples import examples_of

    for example in examples_of(found, 2)["Sentences it answers best"]:
        assert example.sentence in words


def test_without_pictures_there_are_no_queries(found):
    html = found.html(pictures=False)
    assert "data:image" not in html
    assert "answers best" not in html


def test_charts_are_xml_and_name_every_system(found):
    charts = found.charts()
    assert set(charts) == {"cost", "recall_i2t", "recall_t2i", "hubs"}
    for drawn in charts.values():
        tree = ElementTree.fromstring(drawn)
        words = " ".join(tree.itertext())
        for row in found.rows[:-1]:
            assert row["system"] in words


def test_files_hold_the_same_figures(found, tmp_path):
    files = found.save(tmp_path / "new", "name", provenance={"cpu": "one"})
    assert all(file.exists() for file in files)
    record = json.loads((tmp_path / "new" / "name.json").read_text("utf-8"))
    assert record["provenance"] == {"cpu": "one"}
    table = list(csv.DictReader(io.StringIO((tmp_path / "new" / "name.csv").read_text("utf-8"))))
    for row, written, cells in zip(found.rows, record["results"], table, strict=True):
        assert written["rsum"] == row["rsum"]
        assert float(cells["rsum"]) == pytest.approx(row["rsum"], abs=1e-3)
        assert f"{row['rsum']:.1f}" in found.markdown()
    assert not list((tmp_path / "new").glob("*.part"))


@pytest.mark.parametrize(("low", "high"), [(0, 100), (97.3, 301.2), (0.2, 0.21), (0, 1e6)])
def test_ticks_are_few_and_inside(low, high):
    ticks = _ticks(low, high)
    assert 2 <= len(ticks) <= 9
    assert low <= ticks[0] < ticks[-1] <= high


@pytest.mark.parametrize(("low", "high"), [(1, 100), (0.0006, 900), (0.004, 0.02)])
def test_ticks_of_a_logarithm_are_inside(low, high):
    ticks = _log_ticks(low, high)
    assert 2 <= len(ticks) <= 12
    assert low <= ticks[0] < ticks[-1] <= high


@pytest.mark.slow
@pytest.mark.skipif(BROWSER is None, reason="needs Chromium")
@pytest.mark.parametrize("width", [1150, 390])
def test_a_browser_shows_the_page_without_scrolling_sideways(found, tmp_path, width):
    page = tmp_path / "page.html"
    # The browser writes what it measures into the page; its least window is wider than a telephone, so a frame is one.
    measured = (
        "<script>onload=()=>{const d=document.getElementById('frame').contentDocument.documentElement;"
        "document.title=JSON.stringify({width:d.scrollWidth,height:d.scrollHeight,"
        "images:[...d.querySelectorAll('img')].every(i=>i.naturalWidth>0),"
        "charts:[...d.querySelectorAll('svg')].map(s=>s.getBoundingClientRect().width)})}</script>"
    )
    frame = found.html("Rendered scenes").replace("&", "&amp;").replace('"', "&quot;")
    page.write_text(
        f'<!doctype html><title></title><body style="margin:0"><iframe id="frame" style="width:{width}px;height:2500px;border:0" '
        f'srcdoc="{frame}"></iframe>{measured}',
        encoding="utf-8",
    )
    options = [
        BROWSER,
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--hide-scrollbars",
        f"--user-data-dir={tmp_path / 'user'}",
    ]
    dumped = subprocess.run(
        [*options, "--dump-dom", page.as_uri()], capture_output=True, text=True, encoding="utf-8", timeout=120
    )
    title = re.search("<title>(.*?)</title>", dumped.stdout).group(1)
    size = json.loads(title)
    assert size["width"] <= width
    assert size["height"] > 1000
    assert size["images"]
    assert all(0.3 * width < chart <= width for chart in size["charts"])
    shot = tmp_path / "shot.png"
    command = [*options, f"--window-size={max(width, 500)},2500", f"--screenshot={shot}", page.as_uri()]
    subprocess.run(command, capture_output=True, timeout=120, check=True)
    pixels = np.asarray(Image.open(shot).convert("L"), dtype=float)[:, :width]
    # Something is drawn in every part of the page.
    assert all(part.std() > 5 for part in np.array_split(pixels, 5))
