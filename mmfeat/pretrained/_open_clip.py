"""Models of open_clip, as functions from pictures and from tokens to vectors."""

import logging

import numpy as np

from mmfeat.pretrained._folder import OPEN_CLIP_WEIGHTS, PURPOSE
from mmfeat.pretrained._transformers import exact_float32, middle_of_strip
from mmfeat.text._model_folder import read_json
from mmfeat.utils._optional import import_optional
from mmfeat.utils._unknown import wordless_tokens


class OpenClipTowers:
    """A model of open_clip with its own preprocessing and tokenizer; the attributes are those of `TransformersTowers`.

    Parameters
    ----------
    folder : pathlib.Path
    device : {"cpu", "cuda", "cuda:N"}
    half : bool
        Arithmetic in bfloat16.
    """

    n_special = 2

    def __init__(self, folder, device, half):
        import torch

        open_clip = import_optional("open_clip", extra="open_clip", purpose=PURPOSE)
        config = _checked_config(folder)
        self.device, self.dtype = device, torch.bfloat16 if half else torch.float32
        name = f"local-dir:{folder.absolute()}"
        network = _empty_network(open_clip, name)
        _load_weights(open_clip, network, folder)
        self._network = network.to(device=device, dtype=self.dtype).eval().requires_grad_(False)
        self._preprocess = _preprocessing(network)
        # Only a tokenizer of transformers takes these, and it must not run code from the folder.
        safe = (
            {"trust_remote_code": False, "local_files_only": True}
            if config["text_cfg"].get("hf_tokenizer_name")
            else {}
        )
        self._tokenizer = open_clip.get_tokenizer(name, **safe)
        self.width = config["embed_dim"]
        self.longest = self._tokenizer.context_length
        inner = getattr(self._tokenizer, "tokenizer", None)  # of transformers; those of open_clip know every byte
        self.wordless = wordless_tokens(inner) if hasattr(inner, "all_special_ids") else set()
        self.scale = float(network.logit_scale.float().exp())
        self.bias = 0.0 if network.logit_bias is None else float(network.logit_bias)

    def prepare(self, pixels):
        """Resize, crop and scale a picture as the model's own preprocessing does; see `TransformersTowers`."""
        from PIL import Image

        if self._network.visual.preprocess_cfg["resize_mode"] == "shortest":
            pixels = middle_of_strip(pixels)
        return self._preprocess(Image.fromarray(pixels))

    def embed_images(self, prepared):
        """Vectors of prepared pictures, still on the device."""
        import torch

        with torch.inference_mode(), exact_float32(self.device, self.dtype):
            inputs = torch.stack(prepared).to(device=self.device, dtype=self.dtype)
            return self._network.encode_image(inputs).float()

    def tokenize(self, texts, limit):
        """Tokens of each text, filled up to one length, and which texts had too many."""
        ids = self._tokenizer(texts, context_length=limit).numpy()
        more = self._tokenizer(texts, context_length=limit + 1).numpy()
        padding = int(self._tokenizer([""])[0, -1])
        padded = np.full((len(ids), self.longest), padding)
        padded[:, :limit] = ids
        # The tokenizers of open_clip do not tell; but a text that was cut has more tokens where there is more room.
        too_long = (more != padding).sum(1) > (ids != padding).sum(1)
        return padded.tolist(), too_long.tolist()

    def embed_texts(self, ids):
        """Vectors of texts, still on the device."""
        import torch

        with torch.inference_mode(), exact_float32(self.device, self.dtype):
            return self._network.encode_text(torch.tensor(ids, device=self.device)).float()


def _checked_config(folder):
    content = read_json(folder / "open_clip_config.json", {})
    config = content.get("model_cfg") if isinstance(content, dict) else None
    parts = ("vision_cfg", "text_cfg")
    if not isinstance(config, dict) or not all(isinstance(config.get(part), dict) for part in parts):
        raise ValueError(
            f"{folder / 'open_clip_config.json'} has no `model_cfg` with `vision_cfg` and `text_cfg`. Fetch the model anew."
        )
    if config["text_cfg"].get("tokenizer_mode"):
        raise ValueError(
            f"The model in {folder} cuts texts in the mode {config['text_cfg']['tokenizer_mode']!r}, which TwoTower does not "
            "know. Use another model."
        )
    foreign = config["text_cfg"].get("hf_model_name") or config["vision_cfg"].get("timm_model_name", "")
    if config["text_cfg"].get("hf_model_name") or ":" in foreign:
        raise ValueError(
            f"The model in {folder} is built around {foreign!r}, another model on the hub, which is not fetched. Save the "
            "model in the format of transformers, or use one that open_clip builds by itself."
        )
    return config


def _load_weights(open_clip, network, folder):
    file = folder / OPEN_CLIP_WEIGHTS
    try:
        open_clip.load_checkpoint(network, str(file), strict=True)
    except (KeyError, RuntimeError) as error:
        reason = str(error).partition("\n\t")[2] or str(error)
        raise ValueError(
            f"{file} does not fit open_clip_config.json ({reason.strip()[:200]}). Fetch the model anew."
        ) from error


def _empty_network(open_clip, name):
    """The network without its weights, which open_clip would also read from a pickle."""
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)  # that the network is random is not for the user
    try:
        return open_clip.create_model(name, load_weights=False, pretrained_text=False, precision="fp32")
    finally:
        logging.disable(level)


def _preprocessing(network):
    from open_clip.transform import PreprocessCfg, image_transform_v2

    return image_transform_v2(PreprocessCfg(**network.visual.preprocess_cfg), is_train=False)
