"""Stacked cross attention: against the formulas in loops, what it learns, what padding and empty bags do to it."""

import pickle
import subprocess
import sys
import textwrap

import numpy as np
import pytest
import torch
from matplotlib import pyplot
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone

from mmfeat.fusion import CrossAttentionScorer, draw_attention, plot_learning_curve
from mmfeat.fusion._learning import _attention
from mmfeat.fusion._learning._attention import Vectors, block_scores
from mmfeat.fusion._learning._attention_arrays import Form, Sentences, _scores_of_picture
from mmfeat.fusion._learning._attention_scores import numbers_of
from mmfeat.fusion._learning._attention_training import AttentionTraining, mean_and_scale_of_bags
from mmfeat.fusion._learning._batches import Bags, mean_and_scale, padded
from mmfeat.fusion._learning._noise import Noise
from mmfeat.fusion._learning._vector_heads import GruVectors, LinearVectors, embed_vectors
from mmfeat.retrieval import EmbeddingIndex, rerank

FORMS = [Form(direction, pooling, 9.0, 6.0) for direction in ("text", "image", "both") for pooling in ("avg", "lse")]
over_forms = pytest.mark.parametrize("form", FORMS, ids=lambda form: f"{form.direction}-{form.pooling}")


# The formulas of the paper, one pair at a time


def score_in_loops(regions, words, form):
    if not len(regions) or not len(words):
        return -1.0
    found = []
    if form.direction != "image":
        found.append(one_direction(words, regions, form))
    if form.direction != "text":
        found.append(one_direction(regions, words, form))
    return sum(found) / len(found)


def one_direction(lookers, seen, form):
    weights = attention_in_loops(lookers, seen, form.sharpness)
    cosines = []
    for looker, row in zip(lookers, weights, strict=True):
        attended = sum(weight * vector for weight, vector in zip(row, seen, strict=True))
        cosines.append(looker @ attended / (np.linalg.norm(looker) * np.linalg.norm(attended)))
    if form.pooling == "avg":
        return np.mean(cosines)
    return np.log(sum(np.exp(form.pooling_sharpness * cosine) for cosine in cosines)) / form.pooling_sharpness


def attention_in_loops(lookers, seen, sharpness):
    """Equations 1, 6 and 7 of Lee et al. (2018): cosines cut at zero, of unit length over those who look, softmax."""
    positive = np.array([[max(0.0, looker @ vector) for vector in seen] for looker in lookers])
    weights = []
    for j in range(len(lookers)):
        scaled = []
        for i in range(len(seen)):
            length = np.sqrt(sum(positive[other, i] ** 2 for other in range(len(lookers))))
            scaled.append(positive[j, i] / length if length > 0 else 0.0)
        exponentials = [np.exp(sharpness * value) for value in scaled]
        weights.append([value / sum(exponentials) for value in exponentials])
    return np.array(weights)


def unit_bags(lengths, width=4, seed=0):
    rng = np.random.default_rng(seed)
    bags = [rng.normal(size=(length, width)) for length in lengths]
    return [bag / np.linalg.norm(bag, axis=1, keepdims=True) for bag in bags]


def as_vectors(bags, extra=0):
    values = torch.zeros(len(bags), max(map(len, bags)) + extra, bags[0].shape[1], dtype=torch.float64)
    for row, bag in enumerate(bags):
        values[row, : len(bag)] = torch.from_numpy(bag)
    return Vectors(values, torch.tensor([len(bag) for bag in bags]))


PICTURES, SENTENCES = unit_bags([3, 4, 0, 1]), unit_bags([2, 1, 5, 0, 2], seed=1)


def all_in_loops(form):
    return np.array([[score_in_loops(picture, sentence, form) for sentence in SENTENCES] for picture in PICTURES])


@over_forms
def test_torch_and_numpy_follow_the_formulas(form):
    expected = all_in_loops(form)
    assert_allclose(block_scores(as_vectors(PICTURES), as_vectors(SENTENCES), form), expected, atol=1e-9)
    sentences = Sentences(SENTENCES)
    for rows in (None, np.array([4, 0, 0, 3, 2])):
        for block in (1, 1 << 18):
            ours = [_scores_of_picture(picture, sentences, rows, form, block) for picture in PICTURES]
            assert_allclose(ours, expected if rows is None else expected[:, rows], atol=1e-6)


@over_forms
def test_padding_changes_nothing(form):
    expected = block_scores(as_vectors(PICTURES), as_vectors(SENTENCES), form)
    assert_allclose(block_scores(as_vectors(PICTURES, 3), as_vectors(SENTENCES, 7), form), expected, atol=1e-12)


@over_forms
def test_small_blocks_change_nothing(form, monkeypatch):
    sides = as_vectors(PICTURES), as_vectors(SENTENCES)
    expected = block_scores(*sides, form)
    monkeypatch.setitem(_attention._BLOCK, "cpu", 1)
    monkeypatch.setattr(_attention, "_PICTURES", 2)
    assert_allclose(block_scores(*sides, form), expected, atol=1e-12)


@over_forms
@pytest.mark.parametrize("few", [0, 2])
def test_gradients_in_float64(form, few, monkeypatch):
    """Of scores alone and all at once, by the pairs that have a gradient and by all; empty bags among them."""
    monkeypatch.setattr(_attention, "_FEW", few)
    monkeypatch.setitem(_attention._BLOCK, "cpu", 40)
    regions, words = as_vectors(PICTURES), as_vectors(SENTENCES)
    weights = torch.from_numpy(np.random.default_rng(0).normal(size=(4, 5)))

    def scores(v, w):
        return block_scores(Vectors(v, regions.lengths), Vectors(w, words.lengths), form)

    # Vectors off the unit length, and a little off zero, where the cut has a corner.
    sides = [(side.values * 1.3).requires_grad_() for side in (regions, words)]
    # What stands in the padding is never read by the caller, and zero there: only what is inside is compared.
    inside = [side.values != 0 for side in (regions, words)]

    def of_inside(v, w):
        return scores(torch.where(inside[0], v, 0.0), torch.where(inside[1], w, 0.0))

    assert torch.autograd.gradcheck(of_inside, sides, atol=1e-5)
    assert torch.autograd.gradcheck(lambda v, w: (of_inside(v, w) * weights).sum(), sides, atol=1e-5)


@over_forms
def test_no_vector_at_all_and_opposite_vectors_give_numbers(form):
    line = np.array([[1.0, 0.0]])
    cases = [
        (np.zeros((0, 2)), line),
        (line, np.zeros((0, 2))),
        (line, -line),
        (np.r_[line, -line], np.array([[0.0, 1.0]])),
    ]
    for picture, sentence in cases:
        regions, words = (as_vectors([bag], extra=1) for bag in (picture, sentence))
        regions.values.requires_grad_()
        words.values.requires_grad_()
        score = block_scores(regions, words, form)
        score.sum().backward()
        assert_allclose(score.item(), _scores_of_picture(picture, Sentences([sentence]), None, form, 9)[0], atol=1e-6)
        assert torch.isfinite(regions.values.grad).all()
        assert torch.isfinite(words.values.grad).all()
        assert np.isfinite(score.item())
        if not len(picture) or not len(sentence):
            assert score.item() == -1


# Heads


@pytest.mark.parametrize("head", [LinearVectors, GruVectors])
def test_numpy_embeds_as_torch_does(head):
    rng = np.random.default_rng(0)
    bags = [rng.normal(size=(length, 5)).astype(np.float32) for length in (3, 0, 7, 1, 4)]
    made = head(5, 4, torch.Generator().manual_seed(0), "cpu")
    mean, scale = rng.normal(size=5).astype(np.float32), 1.7
    block = padded(bags, mean, scale, 6)
    with torch.inference_mode():
        tensors = Bags(torch.from_numpy(block.values), torch.from_numpy(block.lengths))
        theirs = made(tensors, 0, Noise(0, "cpu")).numpy()
    side = {"mean": mean, "scale": scale, "longest": 6, "head": made.export()}
    ours = embed_vectors(side, bags)
    assert [len(bag) for bag in ours] == [3, 0, 6, 1, 4]
    for bag, padded_bag in zip(ours, theirs, strict=True):
        assert bag.dtype == np.float32
        assert_allclose(bag, padded_bag[: len(bag)], atol=1e-5)
        assert_allclose(np.linalg.norm(bag, axis=1), 1, atol=1e-5)
        assert not padded_bag[len(bag) :].any()


def test_a_gru_reads_neighbours_and_a_linear_layer_does_not():
    bag = np.random.default_rng(0).normal(size=(4, 5)).astype(np.float32)
    other = bag.copy()
    other[0] += 1
    moved = []
    for head in (LinearVectors, GruVectors):
        made = head(5, 4, torch.Generator().manual_seed(0), "cpu")
        side = {"mean": np.zeros(5), "scale": 1.0, "longest": None, "head": made.export()}
        first, second = embed_vectors(side, [bag, other])
        moved.append(np.abs(first[3] - second[3]).max())
    assert moved[0] < 1e-6 < 1e-3 < moved[1]


def test_moments_are_those_of_the_joined_bags_and_an_array_counts_once():
    rng = np.random.default_rng(0)
    bags = [(rng.normal(size=(length, 5)) + 3).astype(np.float32) for length in (3, 1, 6, 0)]
    expected = mean_and_scale(bags)
    for found, wanted in zip(mean_and_scale_of_bags([bags[0], *bags, bags[2]]), expected, strict=True):
        assert_allclose(found, wanted, rtol=1e-6)
    assert mean_and_scale_of_bags([np.ones((2, 3)), np.ones((4, 3))])[1] == 1
    assert mean_and_scale_of_bags([np.ones((0, 3))])[1] == 1


# The scorer


_WORLD_RNG = np.random.default_rng(99)
WORLD = _WORLD_RNG.normal(size=(40, 48)).astype(np.float32), _WORLD_RNG.normal(size=(40, 44)).astype(np.float32)


def make_pairs(n=120, seed=0, noise=0.1):
    """Pictures whose regions show things, and sentences that name some of them in vectors of another kind."""
    seen, named = WORLD
    rng = np.random.default_rng(seed)
    pictures, sentences = [], []
    for _ in range(n):
        things = rng.choice(40, size=rng.integers(4, 7), replace=False)
        words = rng.permutation(things)[: rng.integers(3, 5)]
        pictures.append((seen[things] + noise * rng.normal(size=(len(things), 48))).astype(np.float32))
        sentences.append((named[words] + noise * rng.normal(size=(len(words), 44))).astype(np.float32))
    return pictures, sentences


def scorer(**parameters):
    # Few synthetic pairs want bolder steps than real features do.
    loud = {"n_components": 32, "learning_rate": 1e-2, "batch_size": 32, "dropout": 0.0, "random_state": 0}
    return CrossAttentionScorer(**{**loud, "patience": 40, **parameters})


@pytest.fixture(scope="module")
def fitted():
    return scorer(max_epochs=2).fit(*make_pairs())


def recall_at_1(scores):
    """Share of the rows, and of the columns, whose own score is above all others."""
    own = np.diag(scores)
    others = np.where(np.eye(len(scores), dtype=bool), -np.inf, scores)
    return np.mean(own > others.max(axis=1)), np.mean(own > others.max(axis=0))


@pytest.mark.parametrize(
    "parameters",
    [
        {},
        {"loss": "infonce"},
        {"loss": "siglip"},
        {"loss": "ranking"},
        {"loss": "triplet_sum"},
        {"direction": "image"},
        {"direction": "both"},
        {"pooling": "lse"},
        {"tower": "gru", "max_epochs": 20},
    ],
    ids=str,
)
def test_learns_which_regions_words_name(parameters):
    scored = scorer(**{"max_epochs": 12, **parameters}).fit(*make_pairs(400))
    found = recall_at_1(scored.score_matrix(*make_pairs(60, seed=1)))
    # Chance is under 2 %.
    assert min(found) > 0.5
    assert scored.loss_curve_[-1] < scored.loss_curve_[0]


def test_words_look_at_the_regions_that_they_name():
    scored = scorer(max_epochs=12).fit(*make_pairs(400))
    seen, named = WORLD
    things = np.array([4, 20, 33, 7, 11])
    weights = scored.attention(seen[things], named[things[[2, 0]]])
    assert weights.shape == (2, 5)
    assert_array_equal(weights.argmax(axis=1), [2, 0])


@pytest.mark.parametrize("tower", ["linear", "gru"])
def test_a_small_set_is_learned_by_heart(tower):
    rng = np.random.default_rng(2)
    pictures = [rng.normal(size=(rng.integers(2, 6), 80)).astype(np.float32) for _ in range(64)]
    sentences = [rng.normal(size=(rng.integers(1, 6), 80)).astype(np.float32) for _ in range(64)]
    scored = scorer(tower=tower, max_epochs=60, early_stopping=False).fit(pictures, sentences)
    assert recall_at_1(scored.score_matrix(pictures, sentences)) == (1, 1)


def test_shuffled_pairs_teach_nothing():
    pictures, sentences = make_pairs(400)
    shuffled = np.random.default_rng(1).permutation(400)
    scored = scorer(max_epochs=10).fit(pictures, [sentences[row] for row in shuffled])
    assert max(recall_at_1(scored.score_matrix(*make_pairs(60, seed=1)))) < 0.12


@over_forms
@pytest.mark.parametrize("tower", ["linear", "gru"])
def test_numpy_scores_as_torch_does(form, tower):
    pictures, sentences = make_pairs(80)
    pictures[3], sentences[5] = pictures[3][:0], sentences[5][:0]
    scored = scorer(tower=tower, direction=form.direction, pooling=form.pooling, max_epochs=1, max_length=2)
    scored.fit(pictures, sentences)
    sides = []
    for side, bags, kind in (
        (scored.regions_, pictures, LinearVectors),
        (scored.words_, sentences, GruVectors if tower == "gru" else LinearVectors),
    ):
        head = kind(bags[0].shape[1], 32, torch.Generator(), "cpu")
        for part, value in zip(head.parameters(), side["head"]["parameters"], strict=True):
            part.data = torch.from_numpy(value)
        block = padded(bags, side["mean"], side["scale"], side["longest"])
        tensors = Bags(torch.from_numpy(block.values), torch.from_numpy(block.lengths))
        sides.append(Vectors(head(tensors, 0, Noise(0, "cpu")).detach(), tensors.lengths))
    expected = block_scores(*sides, form).numpy()
    ours = scored.score_matrix(pictures, sentences)
    assert ours.dtype == np.float32
    # A word of which nothing but rounding is left above the cut at zero looks anywhere: one score in a thousand at most.
    assert (np.abs(ours - expected) < 1e-5).mean() > 0.999
    assert (ours[3] == -1).all()
    assert (ours[:, 5] == -1).all()
    assert ours.min() == -1


def test_pairs_matrix_and_candidates_agree(fitted):
    pictures, sentences = make_pairs(50, seed=3)
    matrix = fitted.score_matrix(pictures, sentences)
    rows = np.random.default_rng(0).integers(50, size=50)
    pairs = fitted.score_pairs([pictures[row] for row in rows], sentences)
    assert pairs.dtype == np.float32
    assert_allclose(pairs, matrix[rows, np.arange(50)], atol=1e-6)
    candidates = np.random.default_rng(1).integers(50, size=(50, 4))
    assert_allclose(
        fitted.rerank(pictures, sentences, candidates), matrix[candidates, np.arange(50)[:, None]], atol=1e-6
    )
    assert_allclose(
        fitted.rerank(pictures, sentences[:20], candidates % 20, query="image"),
        matrix[np.arange(50)[:, None], candidates % 20],
        atol=1e-6,
    )
    assert_allclose(fitted.score_matrix(pictures, sentences, block=1), matrix, atol=1e-6)
    assert fitted.rerank(pictures, sentences, np.zeros((50, 0), int)).shape == (50, 0)


def test_it_reorders_what_an_index_finds():
    pictures, sentences = make_pairs(400)
    scored = scorer(max_epochs=12).fit(pictures, sentences)
    pictures, sentences = make_pairs(60, seed=1)
    # An index that knows nothing but in which ten the right picture is.
    codes = np.eye(6)[np.arange(60) // 10]
    scores, found = EmbeddingIndex(codes).search(codes, k=10)
    second = scored.rerank(pictures, sentences, found)
    best = rerank(scores, found, second)[1][:, 0]
    assert np.mean(found[:, 0] == np.arange(60)) == pytest.approx(0.1)
    assert np.mean(best == np.arange(60)) > 0.6


def test_a_picture_in_several_rows_is_one_image_and_not_copied():
    pictures, sentences = make_pairs(40)
    several = [picture for picture in pictures for _ in range(2)]
    sentences = [sentence for sentence in sentences for _ in range(2)]
    sentences[1::2] = [sentence[::-1].copy() for sentence in sentences[1::2]]
    expected = scorer(max_epochs=2).fit(several, sentences, groups=np.repeat(np.arange(40), 2))
    same = scorer(max_epochs=2).fit(several, sentences)
    assert_array_equal(same.score_pairs(several, sentences), expected.score_pairs(several, sentences))
    assert_array_equal(numbers_of(several), np.repeat(np.arange(40), 2))
    copies = scorer(max_epochs=2).fit([bag.copy() for bag in several], sentences, groups=np.repeat(np.arange(40), 2))
    assert_allclose(copies.score_pairs(several, sentences), expected.score_pairs(several, sentences), atol=1e-3)
    # As images of their own, captions of one picture are each other's negatives: another training.
    apart = scorer(max_epochs=2).fit([bag.copy() for bag in several], sentences)
    assert np.abs(apart.score_pairs(several, sentences) - same.score_pairs(several, sentences)).max() > 1e-3


def test_the_best_epoch_is_kept_and_ranks_the_held_out_as_the_curve_says():
    pictures, sentences = make_pairs(200, noise=1.0)
    scored = scorer(max_epochs=60, learning_rate=5e-2, validation_fraction=0.2, patience=4).fit(pictures, sentences)
    assert scored.best_epoch_ == int(np.argmax(scored.validation_curve_))
    assert len(scored.loss_curve_) == scored.best_epoch_ + 5 < 60
    held_out = np.random.RandomState(0).choice(200, 40, replace=False)
    scores = scored.score_matrix([pictures[row] for row in held_out], [sentences[row] for row in held_out])
    own = np.diag(scores)
    ranks = [(scores >= own[:, None]).sum(axis=1), (scores >= own).sum(axis=0)]
    assert np.mean([np.mean(1 / side) for side in ranks]) == pytest.approx(max(scored.validation_curve_), abs=1e-5)
    assert plot_learning_curve(scored).get_xlabel() == "epoch"
    pyplot.close("all")


def test_the_same_seed_gives_the_same_weights_and_leaves_the_callers_generators_alone():
    pictures, sentences = make_pairs()
    torch.manual_seed(7)
    np.random.seed(7)
    expected = torch.rand(1), np.random.rand()
    torch.manual_seed(7)
    np.random.seed(7)
    first = scorer(max_epochs=2, dropout=0.3, tower="gru").fit(pictures, sentences)
    assert (torch.rand(1), np.random.rand()) == expected
    again, other = (
        scorer(max_epochs=2, dropout=0.3, tower="gru", random_state=seed).fit(pictures, sentences) for seed in (0, 1)
    )
    scores = [found.score_matrix(pictures, sentences) for found in (first, again, other)]
    assert_array_equal(scores[0], scores[1])
    assert np.abs(scores[0] - scores[2]).max() > 1e-3


def test_an_interrupted_training_ends_where_an_undisturbed_one_does(tmp_path, monkeypatch):
    pictures, sentences = make_pairs()
    parameters = {"max_epochs": 4, "dropout": 0.2, "loss": "infonce"}
    expected = scorer(**parameters).fit(pictures, sentences)
    interrupted = scorer(**parameters, checkpoint=tmp_path / "c.npz")
    with monkeypatch.context() as patch:
        seen, original = [], AttentionTraining.validate

        def validate(self, rows):
            seen.append(rows)
            if len(seen) == 3:
                raise KeyboardInterrupt
            return original(self, rows)

        patch.setattr(AttentionTraining, "validate", validate)
        with pytest.raises(KeyboardInterrupt):
            interrupted.fit(pictures, sentences)
    assert (tmp_path / "c.npz").exists()
    with pytest.raises(ValueError, match="is the checkpoint of a training with other parameters or data"):
        clone(interrupted).set_params(margin=0.3).fit(pictures, sentences)
    interrupted.fit(pictures, sentences)
    assert_array_equal(interrupted.score_pairs(pictures, sentences), expected.score_pairs(pictures, sentences))
    assert interrupted.loss_curve_ == expected.loss_curve_
    assert not (tmp_path / "c.npz").exists()


@pytest.mark.parametrize("tower", ["linear", "gru"])
def test_the_pickle_holds_no_torch_and_scores_without_it(tower, tmp_path):
    pictures, sentences = make_pairs()
    scored = scorer(max_epochs=1, tower=tower, direction="both").fit(pictures, sentences)
    data = pickle.dumps(scored)
    assert b"torch" not in data
    (tmp_path / "scorer.pkl").write_bytes(data)
    (tmp_path / "bags.pkl").write_bytes(pickle.dumps((pictures[:5], sentences[:7])))
    script = f"""
        import pickle, sys
        class NoTorch:
            def find_spec(self, name, path=None, target=None):
                if name.split(".")[0] == "torch":
                    raise ImportError("torch is hidden")
        sys.meta_path.insert(0, NoTorch())
        import numpy as np
        scorer, bags = (pickle.load(open({str(tmp_path)!r} + name, "rb")) for name in ("/scorer.pkl", "/bags.pkl"))
        scorer.attention(bags[0][0], bags[1][0])
        np.save({str(tmp_path / "out.npy")!r}, scorer.score_matrix(*bags))
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(script)], check=True)
    assert_allclose(np.load(tmp_path / "out.npy"), scored.score_matrix(pictures[:5], sentences[:7]), atol=1e-6)


def test_vectors_beyond_the_limits_are_not_used():
    pictures, sentences = make_pairs()
    scored = scorer(max_epochs=1, max_regions=3, max_length=1).fit(pictures, sentences)
    assert_allclose(
        scored.score_matrix(pictures[:9], sentences[:9]),
        scored.score_matrix([bag[:3] for bag in pictures[:9]], [bag[:1] for bag in sentences[:9]]),
        atol=1e-6,
    )
    assert scored.attention(pictures[1], sentences[1]).shape == (1, 3)


def test_attention_is_that_of_the_formulas_and_sums_to_one(fitted):
    pictures, sentences = make_pairs(3, seed=5)
    for picture, sentence in zip(pictures, sentences, strict=True):
        weights = fitted.attention(picture, sentence)
        (regions,), (words,) = embed_vectors(fitted.regions_, [picture]), embed_vectors(fitted.words_, [sentence])
        assert_allclose(weights, attention_in_loops(words.astype(float), regions.astype(float), 9.0), atol=1e-5)
        assert_allclose(weights.sum(axis=1), 1, atol=1e-6)
    assert fitted.attention(pictures[0][:0], sentences[0]).shape == (len(sentences[0]), 0)
    assert fitted.attention(pictures[0], sentences[0][:0]).shape == (0, len(pictures[0]))


def test_stacks_and_arrays_of_objects_are_bags_too(fitted):
    pictures, sentences = make_pairs(4)
    stack = np.stack([bag[:3] for bag in pictures])
    objects = np.empty(4, dtype=object)
    objects[:] = sentences
    assert_array_equal(fitted.score_matrix(stack, objects), fitted.score_matrix(list(stack), sentences))


# Bad input


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"loss": "triplets"}, "`loss` is 'triplets', which is unknown. Did you mean 'triplet'"),
        ({"batch_size": 115}, "`batch_size` is 115, but there are 114 pairs to train on. Reduce it"),
        ({"tower": "lstm"}, "tower"),
        ({"direction": "up"}, "direction"),
        ({"sharpness": 0}, "sharpness"),
        ({"device": "cuda:99"}, "`device` is 'cuda:99', but torch sees"),
        ({"checkpoint": "c.npz", "random_state": None}, "A checkpoint needs an int as `random_state`"),
    ],
)
def test_bad_settings_are_refused(parameters, message):
    with pytest.raises(ValueError, match=message):
        scorer(max_epochs=1, **parameters).fit(*make_pairs())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda X, y: (X, y[:-1], None), "inconsistent numbers of samples"),
        (lambda X, y: (X, None, None), "requires y to be passed"),
        (lambda X, y: ([*X[:-1], X[0][:, :5]], y, None), "Bag 119 has 5 columns. Expected 48"),
        (lambda X, y: (X, [*y[:-1], np.full((2, 44), np.nan)], None), "Bag 119 holds nan in row 0, column 0"),
        (lambda X, y: (np.zeros((120, 4)), y, None), "1-D sequence of bags"),
        (lambda X, y: (X[:1], y[:1], None), "All rows belong to one image"),
        (lambda X, y: ([X[0]] * 120, y, None), "All rows belong to one image"),
        (lambda X, y: (X, y, np.zeros(120)), "All rows belong to one image"),
        (lambda X, y: (X, y, np.zeros(3)), r"`groups` must have one value a row, shape \(120,\)"),
        (lambda X, y: (X, [y[0]] * 120, None), "All sentences are the same"),
    ],
)
def test_bad_pairs_are_refused(change, message):
    X, y, groups = change(*make_pairs())
    with pytest.raises(ValueError, match=message):
        scorer(max_epochs=1).fit(X, y, groups=groups)


def test_a_diverging_loss_is_told():
    with pytest.raises(FloatingPointError, match="Reduce `learning_rate`"):
        scorer(loss="infonce", learning_rate=1e36, max_epochs=4).fit(*make_pairs())


def test_other_widths_and_candidates_are_refused(fitted):
    pictures, sentences = make_pairs(5)
    with pytest.raises(ValueError, match="Bag 0 has 44 columns"):
        fitted.score_pairs(sentences, sentences)
    with pytest.raises(ValueError, match="Bag 0 has 48 columns"):
        fitted.score_matrix(pictures, pictures)
    for candidates, message in (
        (np.zeros((5, 2)), "`candidates` must be integers"),
        (np.zeros((4, 2), int), "with 5 queries"),
        ([["a"] * 2] * 5, "Search an index without `ids`"),
        ([[0, 1]] * 4 + [[0, 5]], "`candidates` holds 5 in row 4, but the gallery has 5 items"),
        ([[0, -1]] * 5, "`candidates` holds -1 in row 0"),
    ):
        with pytest.raises(ValueError, match=message):
            fitted.rerank(pictures, sentences, candidates)
    with pytest.raises(ValueError, match="`query` must be 'text' or 'image'"):
        fitted.rerank(pictures, sentences, [[0]] * 5, query="word")


# The drawing


def test_attention_is_drawn_over_the_picture():
    image = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)
    weights = np.array([[0.4, 0.3, 0.1, 0.1, 0.05, 0.05], [0.0, 0.0, 1.0, 0.0, 0.0, 0.0]])
    axes = draw_attention(image, weights, grid=(2, 3), words=["red", "car"])
    assert [one.get_title() for one in axes] == ["red", "car"]
    for one, row in zip(axes, weights, strict=True):
        picture, overlay = one.get_images()
        assert_array_equal(picture.get_array(), image)
        assert_allclose(overlay.get_array(), row.reshape(2, 3))
        assert picture.get_extent() == overlay.get_extent() == [0, 30, 20, 0]
    (own,) = draw_attention(image[:, :, 0], weights[0, :4], ax=pyplot.figure().add_subplot())
    assert own.get_images()[1].get_array().shape == (2, 2)
    pyplot.close("all")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "6 regions, which is no square"),
        ({"grid": (2, 2)}, r"`grid` is \(2, 2\), but the weights are of 6 regions"),
        ({"grid": (2, 3), "words": ["a"]}, "`words` holds 1 words, but there are weights of 2"),
        ({"grid": (2, 3), "ax": [None]}, "`ax` holds 1 axes, but there are weights of 2 words"),
    ],
)
def test_a_drawing_that_does_not_fit_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        draw_attention(np.zeros((4, 4, 3)), np.ones((2, 6)) / 6, **arguments)
