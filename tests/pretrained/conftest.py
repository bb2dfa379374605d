"""Two-tower models of each kind, tiny and of random weights."""

import json

import pytest

transformers = pytest.importorskip("transformers")
LAYERS = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24}
LETTERS = [*map(chr, range(ord("a"), ord("z") + 1)), *"红色的球和恤一只狗在跑两个方块张照片"]


@pytest.fixture(scope="session")
def tiny_chinese_clip(tmp_path_factory, save_random):
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *LETTERS, *(f"##{letter}" for letter in LETTERS)]
    config = transformers.ChineseCLIPConfig(
        text_config={**LAYERS, "vocab_size": len(words), "max_position_embeddings": 40},
        vision_config={**LAYERS, "image_size": 16, "patch_size": 8},
        projection_dim=12,
    )
    tokenizer = transformers.BertTokenizerFast(vocab={word: number for number, word in enumerate(words)})
    processor = transformers.ChineseCLIPImageProcessor(size={"height": 16, "width": 16}, do_center_crop=False)
    folder = tmp_path_factory.mktemp("chinese-clip")
    save_random(folder, transformers.ChineseCLIPModel(config), processor, tokenizer)
    return folder


@pytest.fixture(scope="session")
def tiny_siglip(tmp_path_factory, save_random):
    sentencepiece = pytest.importorskip("sentencepiece")
    pytest.importorskip("google.protobuf")
    folder = tmp_path_factory.mktemp("siglip")
    corpus = ["a red ball", "two dogs run", "a photo of a cat", "blue cube"] * 20
    with (folder / "spiece.model").open("wb") as file:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(corpus), model_writer=file, vocab_size=40, hard_vocab_limit=False,
            pad_id=0, eos_id=1, unk_id=2, bos_id=-1, minloglevel=9,
        )  # fmt: skip
    # As those that are published: no mask over what fills up a sentence.
    tokenizer = transformers.SiglipTokenizer(
        str(folder / "spiece.model"), model_max_length=32, model_input_names=["input_ids"]
    )
    ends = {"bos_token_id": None, "eos_token_id": 1, "pad_token_id": 1}
    config = transformers.SiglipConfig(
        text_config={**LAYERS, **ends, "vocab_size": 40, "max_position_embeddings": 32, "projection_size": 16},
        vision_config={**LAYERS, "image_size": 16, "patch_size": 8},
    )
    processor = transformers.SiglipImageProcessor(size={"height": 16, "width": 16})
    save_random(folder, transformers.SiglipModel(config), processor, tokenizer)
    return folder


@pytest.fixture(scope="session")
def tiny_open_clip(tmp_path_factory):
    open_clip = pytest.importorskip("open_clip")
    import torch
    from safetensors.torch import save_file

    config = {
        "embed_dim": 12,
        "vision_cfg": {"image_size": 16, "layers": 2, "width": 16, "head_width": 8, "patch_size": 8},
        "text_cfg": {"context_length": 24, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 2},
    }
    folder = tmp_path_factory.mktemp("open-clip")
    normal = {"mean": [0.5, 0.4, 0.3], "std": [0.2, 0.3, 0.4]}
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": config, "preprocess_cfg": normal}))
    network = open_clip.model.CLIP(**config)
    generator = torch.Generator().manual_seed(0)
    state = {}
    for name, tensor in network.state_dict().items():
        state[name] = torch.randn(tensor.shape, generator=generator) * 0.4 if tensor.is_floating_point() else tensor
    state["logit_scale"] = torch.tensor(3.0)
    save_file(state, folder / "open_clip_model.safetensors")
    return folder


@pytest.fixture(params=["clip", "chinese_clip", "siglip"])
def folder(request):
    """Folder of a model of each kind of transformers."""
    return request.getfixturevalue(f"tiny_{request.param}")
