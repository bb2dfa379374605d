"""Set before any library starts its threads: two test processes share two cores, and spinning threads make both slow."""

import os
import shutil
import tempfile
from pathlib import Path

import pytest

# Known when tests are collected; the folder is made by the fixture, once a process.
os.environ["MMFEAT_TINY_BERT"] = str(Path(tempfile.gettempdir()) / f"mmfeat-tiny-bert-{os.getpid()}")

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")


def pytest_configure(config):
    """A busy machine is slow at times, which is no failure of the code: examples have no deadline."""
    from hypothesis import settings

    settings.register_profile("no deadline", deadline=None)
    settings.load_profile("no deadline")


@pytest.fixture(scope="session")
def tiny_bert():
    """Folder of a BERT of random weights and its tokenizer of single characters."""
    transformers = pytest.importorskip("transformers")
    import torch

    folder = Path(os.environ["MMFEAT_TINY_BERT"])
    letters = [*map(chr, range(ord("a"), ord("z") + 1)), *"红色的球和恤一只狗在跑两个方块"]
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *letters, *(f"##{letter}" for letter in letters)]
    config = transformers.BertConfig(
        vocab_size=len(words),
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=24,
        max_position_embeddings=40,
        initializer_range=0.5,
    )
    state = torch.random.get_rng_state()
    torch.manual_seed(0)
    network = transformers.BertModel(config)
    torch.random.set_rng_state(state)
    bars = transformers.utils.logging.is_progress_bar_enabled()
    transformers.utils.logging.disable_progress_bar()
    network.save_pretrained(folder)
    transformers.BertTokenizerFast(vocab={word: number for number, word in enumerate(words)}).save_pretrained(folder)
    if bars:
        transformers.utils.logging.enable_progress_bar()
    yield folder
    shutil.rmtree(folder)
