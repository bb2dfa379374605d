"""The command from end to end, in process: files written, formats, errors in one line."""

import csv
import functools
import io
import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from mmfeat.cli import main
from mmfeat.cli._evaluate import Encoded, chance, scores_of
from mmfeat.cli._models import load_model
from mmfeat.cli._search import _finder
from mmfeat.datasets import make_scenes
from mmfeat.utils._progress import progress

SAMPLE = Path(__file__).parents[2] / "data" / "sample"


def run(*arguments):
    with pytest.raises(SystemExit) as end:
        main([str(argument) for argument in arguments])
    return end.value.code


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "sample.mmfeat"
    code = run(
        "fit", "--pairs", SAMPLE / "ImageWordData.csv", "--images", SAMPLE / "ImageData", "--out", path, "--quiet"
    )
    assert code == 0
    return path


def search(model, queries, gallery, out, *more):
    return run(
        "search", "--model", model, "--queries", SAMPLE / queries, "--gallery", SAMPLE / gallery,
        "--images", SAMPLE / "ImageData", "--out", out, *more,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("queries", "gallery", "header", "id_column"),
    [
        ("word_test.csv", "image_data.csv", "text_id,similarity_ranking,result_image_id", "image_id"),
        ("image_test.csv", "word_data.csv", "image_id,similarity_ranking,result_text_id", "text_id"),
    ],
)
def test_both_searches_write_the_five_best_in_the_asked_format(
    model, tmp_path, capsys, queries, gallery, header, id_column
):
    out = tmp_path / "result.csv"
    assert search(model, queries, gallery, out, "--truth", SAMPLE / "truth.csv", "--json") == 0
    record = json.loads(capsys.readouterr().out)
    content = out.read_bytes()
    assert content.startswith(header.encode() + b"\n") and b"\r" not in content
    rows = pd.read_csv(out, dtype=str)
    query_ids = pd.read_csv(SAMPLE / queries, dtype=str, encoding="utf-8-sig").iloc[:, 0]
    gallery_ids = pd.read_csv(SAMPLE / gallery, dtype=str, encoding="utf-8-sig")[id_column]
    assert rows.iloc[:, 0].tolist() == np.repeat(query_ids, 5).tolist()
    assert rows["similarity_ranking"].tolist() == ["1", "2", "3", "4", "5"] * len(query_ids)
    assert set(rows.iloc[:, 2]) <= set(gallery_ids)
    assert not rows.duplicated([rows.columns[0], rows.columns[2]]).any()
    # The recall told is that of the file written, and well above chance (5 %).
    truth = pd.read_csv(SAMPLE / "truth.csv", dtype=str)
    right = set(zip(truth[rows.columns[0]], truth[id_column], strict=True))
    hits = {query for query, answer in zip(rows.iloc[:, 0], rows.iloc[:, 2], strict=True) if (query, answer) in right}
    assert record["recall"]["5"] == pytest.approx(len(hits) / len(query_ids))
    assert record["recall"]["5"] > 0.15


def test_search_speaks_unless_told_to_be_quiet(model, tmp_path, capsys):
    assert search(model, "word_test.csv", "image_data.csv", tmp_path / "a.csv", "-k", 3) == 0
    assert "answered by 3 of 100 pictures each" in capsys.readouterr().out
    assert search(model, "word_test.csv", "image_data.csv", tmp_path / "b.csv", "--quiet") == 0
    captured = capsys.readouterr()
    assert captured.out == captured.err == ""


def test_output_that_exists_is_kept_without_force(model, tmp_path, capsys):
    out = tmp_path / "result.csv"
    out.write_text("precious")
    assert search(model, "word_test.csv", "image_data.csv", out) == 1
    assert "exists. Pass --force" in capsys.readouterr().err
    assert out.read_text() == "precious"
    assert search(model, "word_test.csv", "image_data.csv", out, "--force", "--quiet") == 0
    assert out.read_text().startswith("text_id,")
    assert [path.name for path in tmp_path.iterdir()] == ["result.csv"]


@pytest.mark.parametrize(
    ("queries", "gallery", "more", "message"),
    [
        ("word_test.csv", "word_data.csv", (), "both hold sentences"),
        ("image_test.csv", "image_data.csv", (), "both hold pictures"),
        ("word_test.csv", "image_data.csv", ("-k", "101"), "size of the gallery, 100. Got 101"),
        ("word_test.csv", "image_data.csv", ("--text-column", "words"), r"neither a column 'words'"),
        ("word_test.csv", "no.csv", (), "no.csv"),
        ("word_test.csv", "image_data.csv", ("--truth", SAMPLE / "word_test.csv"), "no column 'image_id'"),
    ],
)
def test_bad_searches_end_with_one_line(model, tmp_path, capsys, queries, gallery, more, message):
    assert search(model, queries, gallery, tmp_path / "r.csv", *more) == 1
    error = capsys.readouterr().err
    assert message in error
    assert "Traceback" not in error


def truth_of(tmp_path, rows):
    (tmp_path / "truth.csv").write_text("".join(f"{','.join(row)}\n" for row in [("text_id", "image_id"), *rows]))
    return tmp_path / "truth.csv"


def sample_truth():
    """A query sentence of the sample, and the picture that answers it."""
    truth = pd.read_csv(SAMPLE / "truth.csv", dtype=str)
    queries = set(pd.read_csv(SAMPLE / "word_test.csv", dtype=str, encoding="utf-8-sig")["text_id"])
    gallery = set(pd.read_csv(SAMPLE / "image_data.csv", dtype=str, encoding="utf-8-sig")["image_id"])
    rows = truth[truth["text_id"].isin(queries) & truth["image_id"].isin(gallery)]
    return list(rows[["text_id", "image_id"]].itertuples(index=False, name=None))


@pytest.mark.parametrize("text", ["id,picture\n1,2\n", "text_id,image_id\nno,body\n"])
def test_a_bad_truth_is_refused_before_the_model_is_read_and_leaves_no_output(tmp_path, capsys, text):
    (tmp_path / "truth.csv").write_text(text)
    out = tmp_path / "r.csv"
    assert search("/nope", "word_test.csv", "image_data.csv", out, "--truth", tmp_path / "truth.csv") == 1
    error = capsys.readouterr().err
    assert "truth.csv" in error and "/nope" not in error
    assert not out.exists()


def test_the_recall_tells_over_how_many_queries(model, tmp_path, capsys):
    out, rows = tmp_path / "r.csv", sample_truth()[:3]
    assert search(model, "word_test.csv", "image_data.csv", out, "--truth", truth_of(tmp_path, rows)) == 0
    assert "over 3 of 50 queries (gallery of 100)" in capsys.readouterr().out
    plain = tmp_path / "truth.csv"
    assert search(model, "word_test.csv", "image_data.csv", out, "--truth", plain, "--force", "--json") == 0
    record = json.loads(capsys.readouterr().out)
    assert record["n_queries_with_truth"] == 3
    # Blanks around ids and missing extensions change nothing.
    loose = truth_of(tmp_path, [(f" {text} ", f" {image.removesuffix('.jpg')}") for text, image in rows])
    assert search(model, "word_test.csv", "image_data.csv", out, "--truth", loose, "--force", "--json") == 0
    assert json.loads(capsys.readouterr().out) == record


def test_names_of_pictures_meet_with_and_without_extension():
    find = _finder(["a.jpg", "b", "c.jpg", "c.png"], "picture")
    asked = ["a.jpg", "a", "a.png", "b", "b.jpg", "c", "c.png", "v1.2"]
    assert [find(name) for name in asked] == [0, 0, None, 1, 1, None, 3, None]


def test_recall_is_told_up_to_the_size_of_the_gallery(model, tmp_path, capsys):
    rows = sample_truth()[:4]
    (tmp_path / "gallery.csv").write_text("image_id\n" + "".join(f"{image}\n" for _, image in rows))
    arguments = ("-k", 2, "--truth", truth_of(tmp_path, rows), "--json")
    assert search(model, "word_test.csv", tmp_path / "gallery.csv", tmp_path / "r.csv", *arguments) == 0
    assert list(json.loads(capsys.readouterr().out)["recall"]) == ["1"]


def test_a_table_of_pairs_serves_as_the_kind_that_is_missing(model, tmp_path):
    rows = sample_truth()[:6]
    for header in ("image_id,caption", "image_id,caption,text_id"):
        width = header.count(",") - 1
        (tmp_path / "both.csv").write_text(
            f"{header}\n" + "".join(f"{image},a cat{width * f',{text}'}\n" for text, image in rows)
        )
        out = tmp_path / f"{width}.csv"
        assert search(model, "word_test.csv", tmp_path / "both.csv", out, "--quiet") == 0
        assert out.read_text().startswith("text_id,similarity_ranking,result_image_id\n")
    out = tmp_path / "sentences.csv"
    assert search(model, "image_test.csv", tmp_path / "both.csv", out, "--quiet") == 0
    assert out.read_text().startswith("image_id,similarity_ranking,result_text_id\n")


def test_two_tables_of_pairs_are_ambiguous(model, tmp_path, capsys):
    (tmp_path / "both.csv").write_text("image_id,caption,text_id\np.jpg,a cat,1\n")
    assert search(model, tmp_path / "both.csv", tmp_path / "both.csv", tmp_path / "r.csv") == 1
    assert "both hold pictures and sentences" in capsys.readouterr().err


def test_the_encoding_of_the_tables_can_be_named(model, tmp_path, capsys):
    (tmp_path / "q.csv").write_bytes("text_id,caption\n1,天空中有一朵花\n".encode("utf-16"))
    (tmp_path / "g.csv").write_bytes(f"image_id\n{sample_truth()[0][1]}\n".encode("utf-16"))
    arguments = (model, tmp_path / "q.csv", tmp_path / "g.csv", tmp_path / "r.csv", "-k", 1)
    assert search(*arguments) == 1
    assert "UTF-16" in capsys.readouterr().err
    assert search(*arguments, "--encoding", "utf-16") == 0


@pytest.mark.parametrize(("name", "message"), [("gone", "There is no model file"), (".", "is a folder")])
def test_a_model_that_is_no_file_is_told(tmp_path, capsys, name, message):
    assert search(tmp_path / name, "word_test.csv", "image_data.csv", tmp_path / "r.csv") == 1
    assert message in capsys.readouterr().err


def write_scenes(folder, n_samples):
    pairs = make_scenes(n_samples, image_size=48, captions_per_image=2, random_state=0)
    for name, image in zip(pairs.index, pairs["image"], strict=True):
        Image.fromarray(image).save(folder / f"{name}.png")
    rows = [(f"{name}.png", text) for name, texts in pairs["text"].items() for text in texts]
    with (folder / "pairs.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("image_id", "caption"), *rows])
    (folder / "pictures.csv").write_text("image_id\n" + "".join(f"{name}.png\n" for name in pairs.index))
    (folder / "sentences.csv").write_text("text_id,caption\n1,a red car\n2,two trees\n")


@pytest.fixture
def network_model(tmp_path, monkeypatch):
    """A folder with scenes, random weights of a small network, and a model fitted with them."""
    import torch
    from torchvision.models import squeezenet1_1

    monkeypatch.chdir(tmp_path)
    write_scenes(tmp_path, 16)
    for seed, name in enumerate(("w.pth", "other.pth")):
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            torch.save(squeezenet1_1(weights=None).state_dict(), tmp_path / name)
    arguments = ("--pairs", "pairs.csv", "--images", ".", "--group", "--out", "m", "--network", "squeezenet1_1")
    assert run("fit", *arguments, "--weights", "w.pth") == 0
    return tmp_path


def search_scenes(folder, out, *more):
    tables = ("--queries", folder / "sentences.csv", "--gallery", folder / "pictures.csv", "--images", folder)
    return run("search", "--model", folder / "m", *tables, "--out", folder / out, *more)


def test_a_network_goes_through_the_command_from_any_folder(network_model, tmp_path_factory, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))
    assert search_scenes(network_model, "r.csv") == 0
    # Weights that moved are asked for, then found; others are refused.
    (network_model / "w.pth").rename(network_model / "moved.pth")
    capsys.readouterr()
    assert search_scenes(network_model, "gone.csv") == 1
    assert "w.pth, which are not there. Name their new place with --weights" in capsys.readouterr().err
    assert search_scenes(network_model, "moved.csv", "--weights", network_model / "moved.pth") == 0
    assert (network_model / "moved.csv").read_bytes() == (network_model / "r.csv").read_bytes()
    assert search_scenes(network_model, "other.csv", "--weights", network_model / "other.pth") == 1
    assert "are not the weights of fit" in capsys.readouterr().err
    assert not (network_model / "gone.csv").exists() and not (network_model / "other.csv").exists()


def test_progress_follows_the_command_and_not_the_model(network_model, monkeypatch):
    from mmfeat.image import _cnn

    shown = []

    def recording(*arguments, verbose, **options):
        shown.append(verbose)
        return progress(*arguments, verbose=False, **options)

    monkeypatch.setattr(_cnn, "progress", recording)
    retriever = load_model(network_model / "m")
    assert not any(value for name, value in retriever.get_params().items() if name.endswith("verbose"))
    assert not any(shown)
    for option in ("--quiet", "--json"):
        assert search_scenes(network_model, f"r{option}.csv", option) == 0
        assert not any(shown)
    assert search_scenes(network_model, "r.csv") == 0
    assert shown[-1]


def test_weights_for_a_model_without_a_network_are_refused(model, tmp_path, capsys):
    assert search(model, "word_test.csv", "image_data.csv", tmp_path / "r.csv", "--weights", SAMPLE / "truth.csv") == 1
    assert "Leave out --weights" in capsys.readouterr().err


def test_a_network_without_weights_is_refused(tmp_path, capsys):
    arguments = ("--pairs", SAMPLE / "ImageWordData.csv", "--images", SAMPLE / "ImageData", "--out", tmp_path / "m")
    assert run("fit", *arguments, "--network", "resnet18") == 1
    assert "--network resnet18 needs --weights" in capsys.readouterr().err


def test_json_loses_nothing_on_a_stream_of_another_encoding(model, tmp_path, monkeypatch):
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", stream)
    assert search(model, "word_test.csv", "image_data.csv", tmp_path / "结果.csv", "--json") == 0
    stream.flush()
    assert json.loads(stream.buffer.getvalue())["out"] == str(tmp_path / "结果.csv")


def write_pairs(folder, rows):
    for name in {name for name, _ in rows if name.startswith("p")}:
        Image.fromarray(np.full((40, 40, 3), 80, np.uint8)).save(folder / name)
    with (folder / "pairs.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("image_id", "caption"), *rows])


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([], "has no rows"),
        ([("p1.png", "a car"), ("gone.png", "a cat")], "gone.png"),
        ([("p1.png", "a car"), ("../p1.png", "a cat")], "../p1.png"),
        ([("p1.png", "a car"), ("p1.png", "a cat")], "Pass --group"),
        ([("p1.png", "a car"), ("p2.png", "")], "caption"),
    ],
)
def test_bad_pairs_end_with_one_line_and_no_model(tmp_path, capsys, rows, message):
    write_pairs(tmp_path, rows)
    out = tmp_path / "m.mmfeat"
    assert run("fit", "--pairs", tmp_path / "pairs.csv", "--images", tmp_path, "--out", out) == 1
    error = capsys.readouterr().err
    assert message in error and "Traceback" not in error
    assert not out.exists()


def test_an_undecodable_picture_is_named(tmp_path, capsys):
    write_pairs(tmp_path, [(f"p{i}.png", f"a thing number {i}") for i in range(4)])
    (tmp_path / "p2.png").write_bytes(b"no picture")
    assert (
        run("fit", "--pairs", tmp_path / "pairs.csv", "--images", tmp_path, "--out", tmp_path / "m.mmfeat", "--quiet")
        == 1
    )
    assert "could not decode image 2" in capsys.readouterr().err


@pytest.mark.parametrize("fusion", ["pls", "learned"])
def test_other_fusions_make_models_too(tmp_path, fusion):
    write_scenes(tmp_path, 60)
    out = tmp_path / "m.mmfeat"
    arguments = ("--pairs", tmp_path / "pairs.csv", "--images", tmp_path, "--out", out, "--group", "--fusion", fusion)
    assert run("fit", *arguments, "--quiet") == 0
    assert out.stat().st_size > 0


def test_demo_writes_a_table_and_two_pictures(tmp_path, capsys):
    out = tmp_path / "demo"
    assert run("demo", "--n-samples", 150, "--out", out, "--language", "zh", "--json") == 0
    record = json.loads(capsys.readouterr().out)
    assert [row["system"] for row in record["results"]] == ["CCA", "PLS", "LearnedProjection", "chance"]
    rsums = {row["system"]: row["rsum"] for row in record["results"]}
    assert min(rsums["CCA"], rsums["PLS"], rsums["LearnedProjection"]) > 1.5 * rsums["chance"]
    assert "30 pictures, 150 sentences" in record["gallery"]
    table = pd.read_csv(out / "results.csv")
    assert table["rsum"].tolist() == pytest.approx([row["rsum"] for row in record["results"]], abs=1e-3)
    for name in ("recall.png", "pictures.png"):
        assert np.asarray(Image.open(out / name)).std() > 10
    assert run("demo", "--n-samples", 150, "--out", out) == 1
    assert "exists. Pass --force" in capsys.readouterr().err


def test_bench_on_scenes_writes_a_record_with_provenance(tmp_path, monkeypatch, capsys):
    from mmfeat.cli import _bench

    small = make_scenes(260, image_size=48, captions_per_image=2, random_state=0)
    parts = {"train": small[:160], "val": small[160:210], "test": small[210:]}
    monkeypatch.setattr(_bench, "_load", lambda data, root, split, language, seed: parts[split])
    monkeypatch.setattr(_bench, "_TEXT_COMPONENTS", 40)
    monkeypatch.setattr(_bench, "bench_systems", lambda n_columns: small_systems())
    # Processes of their own have a test of their own.
    monkeypatch.setattr(_bench, "compare", functools.partial(_bench.compare, isolate=False))
    assert run("bench", "--data", "scenes", "--out", tmp_path, "--n-seeds", 2) == 0
    assert "LearnedProjection" in capsys.readouterr().out
    record = json.loads((tmp_path / "scenes_en_colour_and_gradients.json").read_text(encoding="utf-8"))
    assert record["gallery"] == {"images": 50, "texts": 100}
    assert record["chosen_on"] == "val"
    assert {"numpy", "torch", "scikit-learn"} <= set(record["provenance"]["packages"])
    assert "date" not in json.dumps(record).lower()
    assert (tmp_path / "scenes_en_colour_and_gradients.md").read_text(encoding="utf-8").count("\n|") >= 5
    assert [row["seeds"] for row in record["results"]] == [1, 2, None]
    assert "data:image/jpeg" in (tmp_path / "scenes_en_colour_and_gradients.html").read_text(encoding="utf-8")


def small_systems():
    from mmfeat.comparison import System
    from mmfeat.fusion import CCA, LearnedProjection

    return [
        System("CCA", CCA(16), {"reg": [0.1, 1.0]}),
        System("LearnedProjection", LearnedProjection(32, max_epochs=2)),
    ]


def test_bench_on_a_table_of_ones_own(tmp_path, monkeypatch, capsys):
    from mmfeat.cli import _bench

    monkeypatch.setattr(_bench, "bench_systems", lambda n_columns: small_systems())
    # Processes of their own have a test of their own.
    monkeypatch.setattr(_bench, "compare", functools.partial(_bench.compare, isolate=False))
    pairs = make_scenes(80, image_size=32, captions_per_image=2, language="zh", random_state=0)
    table = []
    for number, row in enumerate(pairs.itertuples()):
        Image.fromarray(row.image).save(tmp_path / f"{number}.png")
        table += [(f"{number}.png", caption) for caption in row.text]
    pd.DataFrame(table, columns=["image_id", "caption"]).to_csv(tmp_path / "pairs.csv", index=False)
    options = ("--data", "csv", "--pairs", tmp_path / "pairs.csv", "--images", tmp_path, "--n-seeds", 1)
    assert run("bench", *options, "--system", "CCA", "--json") == 0
    record = json.loads(capsys.readouterr().out)
    assert record["split_sizes"] == {"train": 56, "val": 12, "test": 12}
    assert record["language"] == "zh"
    assert [row["system"] for row in record["results"]] == ["CCA", "chance"]
    assert run("bench", *options, "--system", "CAC") == 1
    assert "--system 'CAC' is not known. Choose from ['CCA', 'LearnedProjection']" in capsys.readouterr().err
    assert run("bench", "--data", "csv") == 1
    assert "needs --pairs, the table, and --images" in capsys.readouterr().err


def test_bench_refuses_a_network_without_its_weights(tmp_path, capsys):
    assert run("bench", "--data", "scenes", "--network", "resnet18", "--out", tmp_path / "new") == 1
    assert "--network resnet18 needs --weights" in capsys.readouterr().err
    assert not (tmp_path / "new").exists()


def test_bench_needs_the_folder_of_a_published_set(capsys):
    assert run("bench", "--data", "flickr8k") == 1
    assert "--root" in capsys.readouterr().err


def test_a_refused_bench_or_demo_leaves_no_folder(tmp_path, capsys):
    assert run("bench", "--data", "flickr8k", "--out", tmp_path / "new") == 1
    assert not (tmp_path / "new").exists()
    (tmp_path / "file").write_text("")
    for command in (("demo",), ("bench", "--data", "scenes")):
        capsys.readouterr()
        assert run(*command, "--out", tmp_path / "file") == 1
        assert "is a file. Name a folder." in capsys.readouterr().err


def test_wrong_options_end_with_code_two(capsys):
    assert run("fit", "--pairs", "x.csv") == 2
    assert run("demo", "--language", "fr") == 2
    assert "Traceback" not in capsys.readouterr().err


def test_version_and_help(capsys):
    assert run("--version") == 0
    assert capsys.readouterr().out.startswith("mmfeat 0.")
    assert run("--help") == 0


def test_chance_is_what_random_embeddings_score():
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(60), 3)
    rows = [scores_of(Encoded(rng.normal(size=(60, 8)), rng.normal(size=(180, 8)), groups)) for _ in range(100)]
    expected = chance(Encoded(np.zeros((60, 8)), np.zeros((180, 8)), groups))
    for name, value in expected.items():
        drawn = [row[name] for row in rows]
        assert abs(np.mean(drawn) - value) < 4 * np.std(drawn) / 10 + 0.02 * value, name
