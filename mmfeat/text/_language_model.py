"""Language models as functions from texts to vectors: transformers, and tables of static vectors of tokens."""

import contextlib
import re

import numpy as np

from mmfeat.text._model_folder import digest, find_folder, modules, own_pooling, read_json, weight_files
from mmfeat.utils._device import uses_bfloat16
from mmfeat.utils._optional import import_optional
from mmfeat.utils._unknown import BLANK, wordless_tokens

_PURPOSE = "PretrainedTextFeatures"
_SURROGATE = re.compile("[\ud800-\udfff]")
# Batches that are sorted by length together.
_WINDOW = 64


def load_model(model, revision, device):
    """Build the model in a folder or on the hub.

    Parameters
    ----------
    model : str or os.PathLike
    revision : str or None
    device : {"cpu", "cuda", "cuda:N"}

    Returns
    -------
    loaded : StaticModel or TransformerModel

    Raises
    ------
    ValueError
        If the folder holds no model, weights are missing or not in safetensors, or the model needs code of its own.
    """
    folder = find_folder(model, revision)
    parts = modules(folder)
    static = parts.get("StaticEmbedding")
    if static is None and read_json(folder / "config.json", {}).get("model_type") == "model2vec":
        static = folder
    if static is not None:
        return StaticModel(folder, static)
    return TransformerModel(folder, parts, device)


class StaticModel:
    """A table of vectors, one a token; a text is their mean. Needs neither torch nor transformers."""

    def __init__(self, folder, place):
        tokenizers = import_optional("tokenizers", extra="pretrained", purpose=_PURPOSE)
        from safetensors.numpy import load_file

        self.folder, self.digest = folder, digest(folder)
        tensors = load_file(weight_files(place)[0])
        table = next((tensors[name] for name in ("embeddings", "embedding.weight") if name in tensors), None)
        if table is None or "mapping" in tensors:
            raise ValueError(f"{place} holds the tensors {sorted(tensors)}. Expected one table, 'embeddings'.")
        self._table = table.astype(np.float32)
        # Later versions of model2vec keep the lengths of the vectors apart.
        self._weights = tensors.get("weights")
        described = read_json(place / "tokenizer.json")
        if described is None:
            raise ValueError(f"{place} holds no tokenizer.json, so that texts cannot be cut. Fetch the model anew.")
        self._tokenizer = tokenizers.Tokenizer.from_file(str(place / "tokenizer.json"))
        self._tokenizer.no_padding()
        unknown = self._unknown(described["model"])
        # model2vec, which names its table so, leaves out unknown tokens; sentence-transformers takes the vector of "unknown".
        self._skipped = unknown if "embeddings" in tensors else None
        self._meaningless = {unknown, self._tokenizer.token_to_id(BLANK)}
        self.width = self._table.shape[1]

    def encode(self, texts, *, pooling, max_length, precision, batch_size):
        """Yield rows of texts and their vectors; there is no bound to the length, and nothing to pool but by mean."""
        if pooling == "cls":
            raise ValueError(f"The model in {self.folder} is a table of vectors of tokens. Use pooling='mean'.")
        if max_length is None:
            self._tokenizer.no_truncation()
        else:
            self._tokenizer.enable_truncation(max_length)
        for start in range(0, len(texts), batch_size):
            batch = [_readable(text) for text in texts[start : start + batch_size]]
            encodings = self._tokenizer.encode_batch(batch, add_special_tokens=False)
            vectors = np.stack([self._mean(encoding.ids) for encoding in encodings])
            yield np.arange(start, start + len(batch)), vectors, sum(bool(e.overflowing) for e in encodings)

    def _unknown(self, model):
        """Number of the unknown token, or None."""
        name = model.get("unk_token")
        return model.get("unk_id") if name is None else self._tokenizer.token_to_id(name)

    def _mean(self, ids):
        """Mean of the vectors of tokens; zeros if none of them means anything."""
        if self._meaningless.issuperset(ids):
            return np.zeros(self.width, np.float32)
        ids = [number for number in ids if number != self._skipped]
        rows = self._table[ids]
        if self._weights is not None:
            rows = rows * self._weights[ids, None].astype(np.float32)
        return rows.mean(0, dtype=np.float64).astype(np.float32)


class TransformerModel:
    """The last layer of a transformer, over the tokens of a text."""

    def __init__(self, folder, parts, device):
        place = parts.get("Transformer", folder)
        weight_files(place)
        if not (place / "config.json").is_file():
            raise ValueError(
                f"{place} holds no config.json, so it is no model of transformers. Save it with save_pretrained."
            )
        self.folder, self.digest, self.device = folder, digest(folder), device
        self._parts = parts
        self._network = _build_network(place).to(device).eval()
        transformers = import_optional("transformers", extra="pretrained", purpose=_PURPOSE)
        self._tokenizer = transformers.AutoTokenizer.from_pretrained(
            place, trust_remote_code=False, local_files_only=True
        )
        refuse_no_vocabulary(self._tokenizer, place)
        self._meaningless = wordless_tokens(self._tokenizer)
        self._own_length = read_json(place / "sentence_bert_config.json", {}).get("max_seq_length")
        self.width = self._network.config.hidden_size

    @property
    def longest(self):
        """Most tokens that the network has positions for, or None."""
        config, embeddings = self._network.config, getattr(self._network, "embeddings", None)
        positions = getattr(config, "max_position_embeddings", None)
        if positions is not None:
            # RoBERTa and its kin count positions from after the index of padding.
            positions -= getattr(embeddings, "padding_idx", -1) + 1
        known = [positions, self._tokenizer.model_max_length]
        return min((length for length in known if length and length < 10**9), default=None)

    def encode(self, texts, *, pooling, max_length, precision, batch_size):
        """Yield rows of texts, their vectors, and how many of them were cut off; batches are of similar length."""
        import torch

        pooling = own_pooling(self._parts) if pooling == "auto" else pooling
        limit = self._limit(max_length)
        kind = self.device.partition(":")[0]
        half = uses_bfloat16(precision, kind)
        for start in range(0, len(texts), _WINDOW * batch_size):
            ids, n_cut = self._tokens(texts[start : start + _WINDOW * batch_size], limit)
            order = np.argsort([len(row) for row in ids], kind="stable")
            for first in range(0, len(order), batch_size):
                rows = order[first : first + batch_size]
                with torch.inference_mode(), torch.autocast(kind, dtype=torch.bfloat16, enabled=half):
                    vectors = self._forward([ids[row] for row in rows], pooling)
                # Marks of start and end have vectors as well, which would answer for a text of which nothing is known.
                vectors[[self._meaningless.issuperset(ids[row]) for row in rows]] = 0
                yield start + rows, vectors, n_cut
                n_cut = 0

    def _limit(self, max_length):
        longest = self.longest
        if max_length is None:
            return min((length for length in (longest, self._own_length) if length), default=None)
        if longest is not None and max_length > longest:
            raise ValueError(f"`max_length` upper bound is {longest}. Got {max_length} instead. Reduce `max_length`.")
        least = self._tokenizer.num_special_tokens_to_add() + 1
        if max_length < least:
            raise ValueError(
                f"`max_length` lower bound is {least}, as the model adds {least - 1} tokens of its own. Got {max_length} "
                "instead. Raise `max_length`."
            )
        return max_length

    def _tokens(self, texts, limit):
        """Numbers of the tokens of each text, and how many texts were too long."""
        texts = [_readable(text) for text in texts]
        coded = self._tokenizer(texts, truncation=limit is not None, max_length=limit, padding=False)
        encodings = getattr(coded, "encodings", None) or []
        return coded["input_ids"], sum(bool(encoding.overflowing) for encoding in encodings)

    def _forward(self, ids, pooling):
        import torch

        longest = max(map(len, ids))
        if longest == 0:
            return np.zeros((len(ids), self.width), np.float32)
        padding = self._tokenizer.pad_token_id
        padded = np.full((len(ids), longest), 0 if padding is None else padding)
        for row, numbers in zip(padded, ids, strict=True):
            row[: len(numbers)] = numbers
        real = np.arange(longest) < np.array([[len(numbers)] for numbers in ids])
        tokens, mask = torch.from_numpy(padded).to(self.device), torch.from_numpy(real).to(self.device)
        hidden = self._network(input_ids=tokens, attention_mask=mask.long()).last_hidden_state.float()
        if pooling == "cls":
            mask[:, 1:] = False
        # What a network makes of padding may be anything, even NaN; a text without tokens gives zeros.
        total = torch.where(mask[..., None], hidden, 0).sum(1)
        return (total / mask.sum(1, keepdim=True).clamp(min=1)).cpu().numpy()


def _readable(text):
    """A text that any tokenizer takes; nothing of one that is white space alone, for which some have tokens."""
    return _SURROGATE.sub("\ufffd", text) if text.strip() else ""


def refuse_no_vocabulary(tokenizer, place):
    """Without a vocabulary transformers makes an empty one, to which all words are unknown."""
    names = sorted(set(tokenizer.vocab_files_names.values()))
    if names and not any((place / name).is_file() for name in names):
        raise ValueError(
            f"{place} holds no vocabulary of its tokenizer ({' or '.join(names)}). Save it there with save_pretrained, or "
            "fetch the model anew."
        )


def _build_network(place):
    import torch

    transformers = import_optional("transformers", extra="pretrained", purpose=_PURPOSE)
    with silenced(transformers):
        network, report = transformers.AutoModel.from_pretrained(
            place,
            use_safetensors=True,
            trust_remote_code=False,
            local_files_only=True,
            dtype=torch.float32,
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # told below, in a line
        )
    # The pooler is a head on top of the last layer, which is not used; files with and without it are about.
    wrong = sorted(name for name in report["missing_keys"] if "pooler" not in name)
    wrong += sorted(str(key) for key in report["mismatched_keys"])
    if wrong:
        raise ValueError(
            f"The weights in {place} do not fit its config.json: {wrong[0]} and {len(wrong)} in all are missing or of "
            "another shape, and would be random. Fetch the model anew."
        )
    return network.get_encoder() if network.config.is_encoder_decoder else network


@contextlib.contextmanager
def silenced(transformers):
    """Hide the bars and the report of loading, and leave the settings of the user as they were."""
    logging = transformers.utils.logging
    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()
