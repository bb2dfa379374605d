"""CLIP, Chinese-CLIP and SigLIP of transformers, as functions from pictures and from tokens to vectors."""

import threading
from contextlib import nullcontext

import numpy as np

from mmfeat.image._pixels import is_strip
from mmfeat.pretrained._folder import PURPOSE
from mmfeat.text._language_model import refuse_no_vocabulary, silenced
from mmfeat.utils._optional import import_optional
from mmfeat.utils._unknown import wordless_tokens

# Its text tower was trained on sentences filled up to one length, and reads the last place.
_FILLED = "siglip"
_STRIP = 32


class TransformersTowers:
    """A model with its own processor and tokenizer.

    Parameters
    ----------
    folder : pathlib.Path
    kind : {"chinese_clip", "clip", "siglip"}
    device : {"cpu", "cuda", "cuda:N"}
    half : bool
        Arithmetic in bfloat16.

    Attributes
    ----------
    width : int
        Columns of the vectors of both towers.
    scale, bias : float
        What a cosine is multiplied by, and what is added, before the softmax or sigmoid of the training.
    longest : int
        Most tokens of a text, those of start and end included.
    n_special : int
        Tokens of start and end.
    """

    def __init__(self, folder, kind, device, half):
        import torch

        transformers = import_optional("transformers", extra="pretrained", purpose=PURPOSE)
        options = {"trust_remote_code": False, "local_files_only": True}
        self.device, self.dtype = device, torch.bfloat16 if half else torch.float32
        with silenced(transformers):
            self._network = _load_network(transformers, folder, self.dtype, options).to(device).eval()
            self._network.requires_grad_(False)
            self._processor = _load_part(transformers.AutoImageProcessor, folder, "image processor", options)
            self._tokenizer = _load_part(transformers.AutoTokenizer, folder, "tokenizer", options)
        refuse_no_vocabulary(self._tokenizer, folder)
        self.wordless = wordless_tokens(self._tokenizer)
        config = self._network.config
        positions = config.text_config.max_position_embeddings
        self.longest = min(positions, self._tokenizer.model_max_length)
        self.n_special = self._tokenizer.num_special_tokens_to_add()
        self.width = config.text_config.projection_size if kind == _FILLED else config.projection_dim
        self.scale = float(self._network.logit_scale.float().exp())
        self.bias = float(self._network.logit_bias) if hasattr(self._network, "logit_bias") else 0.0
        self._filled = positions if kind == _FILLED else None
        self._masked = "attention_mask" in self._tokenizer.model_input_names
        self._tokenizing = threading.Lock()

    def prepare(self, pixels):
        """Resize, crop and scale a picture as the model's own processor does.

        Parameters
        ----------
        pixels : ndarray of shape (height, width, 3), dtype uint8

        Returns
        -------
        inputs : torch.Tensor of shape (3, side, side), dtype float32
        """
        from PIL import Image

        if getattr(self._processor, "do_center_crop", False):
            pixels = middle_of_strip(pixels)
        return self._processor(images=[Image.fromarray(pixels)], return_tensors="pt")["pixel_values"][0]

    def embed_images(self, prepared):
        """Vectors of prepared pictures, still on the device.

        Parameters
        ----------
        prepared : list of torch.Tensor

        Returns
        -------
        vectors : torch.Tensor of shape (len(prepared), width), dtype float32
        """
        import torch

        with torch.inference_mode(), exact_float32(self.device, self.dtype):
            inputs = torch.stack(prepared).to(device=self.device, dtype=self.dtype)
            return _vectors(self._network.get_image_features(pixel_values=inputs))

    def tokenize(self, texts, limit):
        """Numbers of the tokens of each text, and which texts had too many.

        Parameters
        ----------
        texts : list of str
        limit : int

        Returns
        -------
        ids : list of list of int
        too_long : list of bool
        """
        options = {"padding": False, "verbose": False, "return_attention_mask": False}
        with (
            self._tokenizing
        ):  # the tokenizer keeps the length to cut at, and cannot be called from two threads at once
            coded = self._tokenizer(texts, truncation=True, max_length=limit, **options)
            encodings = getattr(coded, "encodings", None)
            if encodings:
                return coded["input_ids"], [bool(encoding.overflowing) for encoding in encodings]
            whole = self._tokenizer(texts, truncation=False, **options)["input_ids"]
        return coded["input_ids"], [len(ids) > limit for ids in whole]

    def embed_texts(self, ids):
        """Vectors of texts, still on the device.

        Parameters
        ----------
        ids : list of list of int
            Numbers of tokens.

        Returns
        -------
        vectors : torch.Tensor of shape (len(ids), width), dtype float32
        """
        import torch

        length = self._filled or max(map(len, ids))
        padding = self._tokenizer.pad_token_id
        padded = np.full((len(ids), length), 0 if padding is None else padding)
        real = np.zeros((len(ids), length), dtype=np.int64)
        for row, (numbers, mask) in zip(ids, zip(padded, real, strict=True), strict=True):
            place = slice(length - len(row), None) if self._tokenizer.padding_side == "left" else slice(len(row))
            numbers[place], mask[place] = row, 1
        inputs = {"input_ids": padded, "attention_mask": real} if self._masked else {"input_ids": padded}
        with torch.inference_mode(), exact_float32(self.device, self.dtype):
            tensors = {name: torch.from_numpy(value).to(self.device) for name, value in inputs.items()}
            return _vectors(self._network.get_text_features(**tensors))


def middle_of_strip(pixels):
    """The middle of a very long picture: resized whole, it would take far more memory than the crop that is left of it.

    Parameters
    ----------
    pixels : ndarray of shape (height, width, 3)

    Returns
    -------
    pixels : ndarray
        The same where it is not that long.
    """
    if not is_strip(pixels):
        return pixels
    axis = int(np.argmax(pixels.shape[:2]))
    length = pixels.shape[axis]
    start = (length - _STRIP * min(pixels.shape[:2])) // 2
    return np.take(pixels, range(start, length - start), axis=axis)


def exact_float32(device, dtype):
    """Settings of torch under which float32 means float32: not the shorter TF32 that convolutions on CUDA take by default.

    Parameters
    ----------
    device : str
    dtype : torch.dtype

    Returns
    -------
    settings : context manager
    """
    import torch

    if device == "cpu" or dtype != torch.float32:
        return nullcontext()
    return torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False)


def _vectors(output):
    # A tensor in version 4 of transformers and early in 5, an object since.
    return getattr(output, "pooler_output", output).float()


def _load_network(transformers, folder, dtype, options):
    # Shapes that do not fit are told below, in a line.
    options = {**options, "ignore_mismatched_sizes": True, "output_loading_info": True}
    options.update(use_safetensors=True, dtype=dtype)
    network, report = transformers.AutoModel.from_pretrained(folder, **options)
    wrong = sorted(report["missing_keys"]) + sorted(str(key) for key in report["mismatched_keys"])
    if wrong:
        raise ValueError(
            f"The weights in {folder} do not fit its config.json: {wrong[0]} and {len(wrong)} in all are missing or of "
            "another shape, and would be random. Fetch the model anew."
        )
    return network


def _load_part(kind, folder, what, options):
    try:
        return kind.from_pretrained(folder, **options)
    except ImportError as error:
        raise ImportError(
            f"The {what} in {folder} needs a package that is not installed ({' '.join(str(error).split())}). "
            "Install it with: pip install 'mmfeat[pretrained]'"
        ) from error
    except (OSError, ValueError) as error:
        raise ValueError(f"{folder} holds no {what} that can be read ({error}). Fetch the model anew.") from error
