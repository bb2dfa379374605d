"""Set before any library starts its threads: two test processes share two cores, and spinning threads make both slow."""

import os
import shutil
import tempfile
from pathlib import Path

import pytest

# Known when tests are collected; the folder is made by the fixture, once a process.
os.environ["MMFEAT_TINY_BERT"] = str(Path(tempfile.gettempdir()) / f"mmfeat-tiny-bert-{os.getpid()}")
os.environ["MMFEAT_TINY_CLIP"] = str(Path(tempfile.gettempdir()) / f"mmfeat-tiny-clip-{os.getpid()}")

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


@pytest.fixture(scope="session")
def tiny_clip(save_random):
    """Folder of a CLIP of random weights, its image processor, and its tokenizer of single bytes."""
    transformers = pytest.importorskip("transformers")
    from tokenizers.pre_tokenizers import ByteLevel

    folder = Path(os.environ["MMFEAT_TINY_CLIP"])
    byte_letters = sorted(ByteLevel.alphabet())
    words = [*byte_letters, *(f"{letter}</w>" for letter in byte_letters), "<|startoftext|>", "<|endoftext|>"]
    layers = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24}
    ends = {"bos_token_id": len(words) - 2, "eos_token_id": len(words) - 1}
    config = transformers.CLIPConfig(
        text_config={**layers, **ends, "vocab_size": len(words), "max_position_embeddings": 40},
        vision_config={**layers, "image_size": 16, "patch_size": 8},
        projection_dim=12,
    )
    tokenizer = transformers.CLIPTokenizer(
        vocab={word: number for number, word in enumerate(words)}, merges=[], model_max_length=40
    )
    processor = transformers.CLIPImageProcessor(size={"shortest_edge": 16}, crop_size={"height": 16, "width": 16})
    save_random(folder, transformers.CLIPModel(config), processor, tokenizer)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def save_random():
    """Function that saves a network with weights that make rows differ well, and what belongs to it, without a word."""
    transformers = pytest.importorskip("transformers")
    import torch

    def save(folder, network, *parts):
        generator = torch.Generator().manual_seed(0)
        with torch.no_grad():
            for name, parameter in network.named_parameters():
                parameter.normal_(0, 0.4, generator=generator)
                if name == "logit_scale":
                    parameter.fill_(3.0)
        logging = transformers.utils.logging
        level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
        logging.set_verbosity_error()
        logging.disable_progress_bar()
        for part in (network, *parts):
            part.save_pretrained(folder)
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()

    return save
