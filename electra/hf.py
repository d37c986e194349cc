"""To and from released checkpoints: the folder layout of Hugging Face, for ELECTRA and BERT.

A folder holds `config.json`, `model.safetensors` or `pytorch_model.bin`, and a tokenizer. Here are the one table of
names, the settings both ways, the tokenizer both ways, and a reader and writer of safetensors that trusts nothing.
Building models and writing folders is the business of scripts/convert.py.

A network is one of

    discriminator   ElectraForPreTraining
    generator       ElectraForMaskedLM; also our BERT where its embeddings are narrower than its layers, which a
                    BertForMaskedLM cannot be
    bert            BertForMaskedLM
"""

from __future__ import annotations

import base64
import json
import math
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from electra.config import LARGEST_SIZE, MOST_LAYERS, SPECIAL_TOKENS, ModelConfig
from electra.pickles import is_plain, read_pickle
from electra.tokenizer import (LONGEST_WORD, SentencePieceTokenizer, Tokenizer, WordPieceTokenizer,
                               tokenizer_from_bytes, vocab_lines)

# --- names ---

_EMBEDDINGS = {
    "word.weight": "word_embeddings.weight", "position.weight": "position_embeddings.weight",
    "token_type.weight": "token_type_embeddings.weight", "norm.weight": "LayerNorm.weight",
    "norm.bias": "LayerNorm.bias"}
# Each with .weight and .bias; several of theirs make one of ours, one below the other.
_LAYER = {
    "attention.qkv": ("attention.self.query", "attention.self.key", "attention.self.value"),
    "attention.out": ("attention.output.dense",), "attention_norm": ("attention.output.LayerNorm",),
    "up": ("intermediate.dense",), "down": ("output.dense",), "output_norm": ("output.LayerNorm",)}
_HEADS = {
    "discriminator": {
        "rtd_head.dense.weight": "discriminator_predictions.dense.weight",
        "rtd_head.dense.bias": "discriminator_predictions.dense.bias",
        "rtd_head.out.weight": "discriminator_predictions.dense_prediction.weight",
        "rtd_head.out.bias": "discriminator_predictions.dense_prediction.bias"},
    "generator": {
        "head.dense.weight": "generator_predictions.dense.weight",
        "head.dense.bias": "generator_predictions.dense.bias",
        "head.norm.weight": "generator_predictions.LayerNorm.weight",
        "head.norm.bias": "generator_predictions.LayerNorm.bias",
        "head.bias": "generator_lm_head.bias"},
    "bert": {
        "head.dense.weight": "cls.predictions.transform.dense.weight",
        "head.dense.bias": "cls.predictions.transform.dense.bias",
        "head.norm.weight": "cls.predictions.transform.LayerNorm.weight",
        "head.norm.bias": "cls.predictions.transform.LayerNorm.bias",
        "head.bias": "cls.predictions.bias"}}
# What is in their files and has no place here: a table of 0, 1, 2, …; next-sentence prediction and what feeds it.
_IGNORED = {"embeddings.position_ids", "pooler.dense.weight", "pooler.dense.bias", "cls.seq_relationship.weight",
            "cls.seq_relationship.bias"}
# The same tensor under a second name. Where both are there, they must be equal: no model here has untied tables.
_SECOND_NAMES = {"cls.predictions.decoder.weight": "embeddings.word_embeddings.weight",
                 "generator_lm_head.weight": "embeddings.word_embeddings.weight",
                 "cls.predictions.decoder.bias": "cls.predictions.bias"}
_PREFIX = {"discriminator": "electra.", "generator": "electra.", "bert": "bert."}
_OLD_ENDINGS = {".gamma": ".weight", ".beta": ".bias"}   # of LayerNorms, in files from TensorFlow


def place_of(network: str, objective: str) -> tuple[str, str]:
    """Where a network lives in the weights of a model of ours: (its encoder's prefix, its head's prefix)."""
    if network == "discriminator":
        return "discriminator.", ""
    return ("generator.encoder.", "generator.") if objective == "electra" else ("mlm.encoder.", "mlm.")


def encoder_names(config: ModelConfig, prefix: str) -> dict[str, tuple[str, ...]]:
    """Our name -> theirs, without their prefix: embeddings and encoder; `prefix` is our encoder's."""
    names = {f"embeddings.{ours}": (f"embeddings.{theirs}",) for ours, theirs in _EMBEDDINGS.items()}
    if config.embedding_size != config.hidden_size:
        names |= {f"{prefix}projection.{end}": (f"embeddings_project.{end}",) for end in ("weight", "bias")}
    for number in range(config.num_layers):
        for ours, theirs in _LAYER.items():
            for end in ("weight", "bias"):
                names[f"{prefix}layers.{number}.{ours}.{end}"] = tuple(
                    f"encoder.layer.{number}.{part}.{end}" for part in theirs)
    return names


def head_names(network: str, prefix: str) -> dict[str, tuple[str, ...]]:
    """Our name -> theirs: the head of a network."""
    return {prefix + ours: (theirs,) for ours, theirs in _HEADS[network].items()}


def import_weights(tensors: dict[str, Tensor], network: str, config: ModelConfig, source: str
                   ) -> tuple[dict[str, Tensor], bool]:
    """Their weights under our names, float32, and whether the network's head is among them.

    `config` is that of the network itself (a generator's is `ModelConfig.generator()`); its objective says where the
    network goes. Raises ValueError, naming them, for tensors that are missing, have no place, or are not tied.
    Shapes are checked by whoever loads the result.
    """
    theirs: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        name = name.removeprefix(_PREFIX[network])
        for old, new in _OLD_ENDINGS.items():
            if name.endswith("LayerNorm" + old):
                name = name.removesuffix(old) + new
        theirs[name] = tensor
    for second, first in _SECOND_NAMES.items():
        if second in theirs:
            other = theirs.setdefault(first, theirs[second])
            if not torch.equal(other, theirs.pop(second)):
                raise ValueError(f"{source}: {second} differs from {first}; models with untied tables cannot be read")
    encoder, head = place_of(network, config.objective)
    names = encoder_names(config, encoder)
    heads = head_names(network, head)
    has_head = any(theirs_[0] in theirs for theirs_ in heads.values())
    if has_head:
        names |= heads
    wanted = {name for parts in names.values() for name in parts}
    missing, unexpected = sorted(wanted - set(theirs)), sorted(set(theirs) - wanted - _IGNORED)
    if missing or unexpected:
        raise ValueError(f"{source}: not the weights of {_article(network)} of the shape in its config.json; "
                         + "; ".join(f"{what}: {_listed(names_)}" for what, names_ in
                                     (("missing", missing), ("no place for", unexpected)) if names_))
    try:
        return {ours: torch.cat([theirs[name].float() for name in parts]) for ours, parts in names.items()}, has_head
    except RuntimeError:
        raise ValueError(f"{source}: query, key and value of a layer have shapes that do not go together") from None


def export_weights(state: dict[str, Tensor], network: str, config: ModelConfig, encoder: str, head: str | None
                   ) -> dict[str, Tensor]:
    """The inverse: weights of a model of ours -> their names. `encoder` and `head` are our prefixes; without a head the
    names are those of a bare encoder."""
    prefix = _PREFIX[network] if head is not None else ""
    result: dict[str, Tensor] = {}
    for ours, parts in encoder_names(config, encoder).items():
        for name, tensor in zip(parts, state[ours].chunk(len(parts))):
            result[prefix + name] = tensor.contiguous()
    if head is not None:
        result |= {parts[0]: state[ours] for ours, parts in head_names(network, head).items()}
    return result


def _article(network: str) -> str:
    return {"discriminator": "an ELECTRA discriminator", "generator": "an ELECTRA generator", "bert": "a BERT"}[network]


def _listed(names: list[str], most: int = 12) -> str:
    """For messages: one line, whatever a stranger's file calls its tensors."""
    shown = [(name if name.isprintable() else ascii(name))[:120] for name in names[:most]]
    return ", ".join(shown) + (f" and {len(names) - most} more" if len(names) > most else "")


# --- settings ---

# ours: theirs, in config.json
_SETTINGS = {"vocab_size": "vocab_size", "hidden_size": "hidden_size", "num_layers": "num_hidden_layers",
             "num_heads": "num_attention_heads", "intermediate_size": "intermediate_size",
             "max_positions": "max_position_embeddings", "type_vocab_size": "type_vocab_size",
             "dropout": "hidden_dropout_prob", "attention_dropout": "attention_probs_dropout_prob",
             "layer_norm_eps": "layer_norm_eps", "initializer_range": "initializer_range"}
# What their classes take where config.json leaves a setting out.
_THEIR_DEFAULTS = {"embedding_size": 128, "max_position_embeddings": 512, "type_vocab_size": 2,
                   "hidden_dropout_prob": 0.1, "attention_probs_dropout_prob": 0.1, "layer_norm_eps": 1e-12, "initializer_range": 0.02}
_RANGES = {"num_layers": (1, MOST_LAYERS), "type_vocab_size": (2, LARGEST_SIZE)}   # an example has segments A and B
# Settings that would make another network of the same weights; None: may be absent.
_MUST_BE = {"hidden_act": ("gelu", None), "position_embedding_type": ("absolute", None), "is_decoder": (False, None),
            "add_cross_attention": (False, None)}
_ARCHITECTURES = {"discriminator": "ElectraForPreTraining", "generator": "ElectraForMaskedLM", "bert": "BertForMaskedLM"}
_BARE = {"electra": "ElectraModel", "bert": "BertModel"}


def read_config(folder: Path) -> dict[str, Any]:
    """`config.json` of a folder, if it is of an ELECTRA or a BERT that can be read. Raises ValueError otherwise."""
    path = folder / "config.json"
    if not folder.is_dir():
        raise ValueError(f"{folder} is not a folder; give the one with config.json and the weights")
    if not path.is_file():
        raise ValueError(f"{folder} has no config.json; it is not a checkpoint of the Hugging Face layout")
    values = _read_json(path)
    kind = values.get("model_type")
    if kind not in tuple(_BARE):
        raise ValueError(f"{path}: model_type is {kind!r}; only electra and bert can be read")
    for name, allowed in _MUST_BE.items():
        if values.get(name) not in allowed:
            raise ValueError(f"{path}: {name} is {values.get(name)!r}; only {allowed[0]!r} is known here")
    return values


def shape_of(values: dict[str, Any], source: str) -> dict[str, Any]:
    """The fields of `ModelConfig` that a config.json tells. Raises ValueError naming what is missing or no number."""
    shape: dict[str, Any] = {}
    embedding = {"embedding_size": "embedding_size" if values["model_type"] == "electra" else "hidden_size"}
    for ours, theirs in (_SETTINGS | embedding).items():
        value = values.get(theirs, _THEIR_DEFAULTS.get(theirs))
        whole = isinstance(getattr(ModelConfig, ours, 1), int)
        least, most = _RANGES.get(ours, (1, LARGEST_SIZE))
        good = isinstance(value, int if whole else (int, float)) and not isinstance(value, bool) and (
            least <= value <= most if whole else 0 <= value < 1)   # not: nan is neither
        if not good:
            raise ValueError(f"{source}/config.json: {theirs} is {value!r:.60}, not "
                             + (f"a whole number from {least} to {most:,}" if whole else "from 0 to below 1"))
        shape[ours] = value
    if shape["hidden_size"] % shape["num_heads"]:
        raise ValueError(f"{source}/config.json: hidden_size {shape['hidden_size']} does not divide by "
                         f"{shape['num_heads']} heads")
    if shape["initializer_range"] == 0:
        raise ValueError(f"{source}/config.json: initializer_range is 0, and a model of zeros does not learn")
    return shape


def export_config(config: ModelConfig, network: str, bare: bool) -> dict[str, Any]:
    """config.json of a network; `bare`: of its encoder alone. `config` is the network's own."""
    kind = _PREFIX[network].rstrip(".")
    values = {"architectures": [_BARE[kind] if bare else _ARCHITECTURES[network]], "model_type": kind}
    values |= {theirs: getattr(config, ours) for ours, theirs in _SETTINGS.items()}
    if kind == "electra":
        values["embedding_size"] = config.embedding_size
    return values | {"hidden_act": "gelu", "position_embedding_type": "absolute", "pad_token_id": config.special.pad,
                     "torch_dtype": "float32"}


def read_weights(folder: Path) -> dict[str, Tensor]:
    """`model.safetensors` or `pytorch_model.bin` of a folder. Raises ValueError where there is neither, or it is
    damaged or holds more than tensors."""
    safe, pickled = folder / "model.safetensors", folder / "pytorch_model.bin"
    if safe.is_file():
        return read_safetensors(safe)
    if not pickled.is_file():
        parts = sorted(path.name for path in folder.glob("*.index.json"))
        raise ValueError(f"{folder} has " + (f"weights in several parts ({parts[0]}), which are not read" if parts else
                                             "neither model.safetensors nor pytorch_model.bin"))
    try:
        tensors = read_pickle(pickled)
    except ValueError as problem:
        raise ValueError(f"{pickled} is damaged, or holds something other than tensors, and was not loaded: "
                         f"{problem}") from None
    if not isinstance(tensors, dict) or not all(isinstance(name, str) and is_plain(tensor)
                                                for name, tensor in tensors.items()):
        raise ValueError(f"{pickled} is not a dictionary of tensors")
    return tensors


# --- safetensors ---

_DTYPES = {"F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16,
           "I64": torch.int64, "I32": torch.int32, "I16": torch.int16, "I8": torch.int8, "U8": torch.uint8,
           "BOOL": torch.bool}
_LONGEST_HEADER = 100_000_000   # bytes, as in the reference implementation


def read_safetensors(path: Path) -> dict[str, Tensor]:
    """All tensors of a file.

    Layout: the header's length (8 bytes, little-endian), the header (JSON: name -> dtype, shape, data_offsets), the
    data. Raises ValueError where they do not fit: the tensors must tile the data without a gap, as the format demands.
    """
    def wrong(what: str) -> ValueError:
        return ValueError(f"{path} is not a safetensors file, or damaged: {what}")

    try:
        size = path.stat().st_size
        with open(path, "rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if size < 8 or length > min(size - 8, _LONGEST_HEADER):
                raise wrong(f"a header of {length:,} bytes in a file of {size:,}")
            header = _object(file.read(length), f"the header of {path}")
            header.pop("__metadata__", None)
            places = sorted(((*_place(name, entry, wrong), name) for name, entry in header.items()), key=lambda p: p[:2])
            tensors, reached = {}, 0
            for begin, end, dtype, shape, name in places:
                if begin != reached:
                    raise wrong(f"tensor {name!r} begins at byte {begin:,} of the data, the one before it ends at "
                                f"{reached:,}")
                if end > size - 8 - length:
                    raise wrong(f"tensor {name!r} ends at byte {end:,} of {size - 8 - length:,}")
                data = bytearray(file.read(end - begin))
                tensors[name] = (torch.frombuffer(data, dtype=dtype) if data else torch.empty(0, dtype=dtype)
                                 ).reshape(shape)
                reached = end
            if reached != size - 8 - length:
                raise wrong(f"{size - 8 - length - reached:,} bytes behind the last tensor")
    except OSError as problem:
        raise ValueError(f"cannot read {path}: {problem.strerror}") from None
    return tensors


def _place(name: str, entry: Any, wrong: Any) -> tuple[int, int, torch.dtype, list[int]]:
    """(first byte, byte after the last, dtype, shape) of a header's entry."""
    natural = lambda values: isinstance(values, list) and all(type(v) is int and v >= 0 for v in values)
    if not isinstance(entry, dict) or not natural(entry.get("shape")) or not natural(entry.get("data_offsets")) \
            or len(entry["data_offsets"]) != 2:
        raise wrong(f"tensor {name!r} is not described by dtype, shape and data_offsets")
    if entry.get("dtype") not in tuple(_DTYPES):
        raise wrong(f"tensor {name!r} has the unknown dtype {entry.get('dtype')!r:.60}")
    dtype, (begin, end) = _DTYPES[entry["dtype"]], entry["data_offsets"]
    count = math.prod(entry["shape"])
    if math.prod(max(1, dimension) for dimension in entry["shape"]) >= 1 << 56:   # a 0 hides the others' size
        raise wrong(f"tensor {name!r} has an absurd shape")
    if end - begin != count * dtype.itemsize:
        raise wrong(f"tensor {name!r} of shape {entry['shape']} takes {count * dtype.itemsize:,} bytes, not "
                    f"{end - begin:,}")
    return begin, end, dtype, entry["shape"]


def write_safetensors(path: Path, tensors: dict[str, Tensor], metadata: dict[str, str] | None = None) -> None:
    """Write tensors (any device, any of the dtypes above), in the order of their names."""
    names = {dtype: name for name, dtype in _DTYPES.items()}
    header: dict[str, Any] = {"__metadata__": {"format": "pt", **(metadata or {})}}
    end = 0
    for name in sorted(tensors):
        tensor = tensors[name]
        begin, end = end, end + tensor.numel() * tensor.element_size()
        header[name] = {"dtype": names[tensor.dtype], "shape": list(tensor.shape), "data_offsets": [begin, end]}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)   # the data begin at a multiple of 8
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for name in sorted(tensors):
            file.write(tensors[name].detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())


# --- tokenizers ---

OWN_TOKENIZER = "tokenizer.model"   # what export adds for import: the tokenizer as it is in our checkpoints


def read_tokenizer(folder: Path) -> Tokenizer:
    """The tokenizer of a folder: our own file where export left one, else `vocab.txt`, else a WordPiece
    `tokenizer.json`. Raises ValueError where there is none that can be read."""
    own, vocab, fast = (folder / name for name in (OWN_TOKENIZER, "vocab.txt", "tokenizer.json"))
    if own.is_file():
        return tokenizer_from_bytes(own.read_bytes(), str(own))
    if vocab.is_file():
        settings = _read_json(folder / "tokenizer_config.json")
        return WordPieceTokenizer(vocab_lines(vocab.read_bytes(), str(vocab)), settings.get("do_lower_case", True),
                                  settings.get("strip_accents"), settings.get("tokenize_chinese_chars", True),
                                  name=str(vocab))
    if not fast.is_file():
        raise ValueError(f"{folder} has neither vocab.txt nor tokenizer.json")
    content = _read_json(fast)
    part = lambda of, name: of[name] if isinstance(of.get(name), dict) else {}
    model, normalizer = part(content, "model"), part(content, "normalizer")
    ids = part(model, "vocab")
    if model.get("type", "WordPiece") != "WordPiece" or normalizer.get("type") != "BertNormalizer" or not ids:
        raise ValueError(f"{fast} is not a WordPiece tokenizer (model {model.get('type')!r:.60}, normalizer "
                         f"{normalizer.get('type')!r:.60})")
    if not all(type(id_) is int for id_ in ids.values()) or sorted(ids.values()) != list(range(len(ids))):
        raise ValueError(f"{fast}: the ids of its vocabulary are not 0 to {len(ids) - 1}")
    tokens = sorted(ids, key=ids.get)
    return WordPieceTokenizer(tokens, normalizer.get("lowercase", True), normalizer.get("strip_accents"),
                              normalizer.get("handle_chinese_chars", True), name=str(fast))


def _read_json(path: Path) -> dict[str, Any]:
    """A JSON object; {} where there is no such file."""
    return _object(path.read_bytes(), str(path)) if path.is_file() else {}


def _object(data: bytes, name: str) -> dict[str, Any]:
    """Bytes -> a JSON object. Raises ValueError with `name` for anything else."""
    try:
        content = json.loads(data.decode())
    except (ValueError, RecursionError):   # also of UTF-8, and of numbers with thousands of digits
        raise ValueError(f"{name} is not JSON") from None
    if not isinstance(content, dict):
        raise ValueError(f"{name} is not a JSON object")
    return content


def write_tokenizer(folder: Path, tokenizer: Tokenizer, max_positions: int) -> None:
    """The files by which `AutoTokenizer` makes the same ids: for WordPiece a BertTokenizer, for SentencePiece a
    PreTrainedTokenizerFast over a Unigram model; and our own file, from which `read_tokenizer` makes it again."""
    settings: dict[str, Any] = {"model_max_length": max_positions, "clean_up_tokenization_spaces": False,
                                "model_input_names": ["input_ids", "token_type_ids", "attention_mask"]}
    settings |= {f"{role}_token": token for role, token in zip(("pad", "unk", "cls", "sep", "mask"), SPECIAL_TOKENS)}
    if isinstance(tokenizer, WordPieceTokenizer):
        settings |= {"tokenizer_class": "BertTokenizer", "do_lower_case": tokenizer.lower_case,
                     "strip_accents": tokenizer.strip_accents, "tokenize_chinese_chars": tokenizer.split_chinese}
        (folder / "vocab.txt").write_text("".join(f"{token}\n" for token in tokenizer.tokens), encoding="utf-8",
                                          newline="")
        parts = _wordpiece_parts(tokenizer)
    else:
        settings["tokenizer_class"] = "PreTrainedTokenizerFast"
        try:
            parts = _unigram_parts(tokenizer)
        except (LookupError, TypeError, AttributeError, UnicodeDecodeError, struct.error):
            # The library passes over fields of a wrong type; a model that was trained has none.
            raise ValueError(f"cannot write a tokenizer into {folder}: its SentencePiece model is damaged") from None
    special = dict(zip(SPECIAL_TOKENS, tokenizer.special))
    one = lambda kind, name, type_id: {kind: {"id": name, "type_id": type_id}}
    single = [one("SpecialToken", "[CLS]", 0), one("Sequence", "A", 0), one("SpecialToken", "[SEP]", 0)]
    content = {
        "version": "1.0", "truncation": None, "padding": None,
        "added_tokens": [{"id": id_, "content": token, "single_word": False, "lstrip": False, "rstrip": False,
                          "normalized": False, "special": True} for token, id_ in sorted(special.items(),
                                                                                         key=lambda item: item[1])],
        **parts,
        "post_processor": {
            "type": "TemplateProcessing", "single": single,
            "pair": [*single, one("Sequence", "B", 1), one("SpecialToken", "[SEP]", 1)],
            "special_tokens": {token: {"id": token, "ids": [special[token]], "tokens": [token]}
                               for token in ("[CLS]", "[SEP]")}}}
    for name, value in (("tokenizer.json", content), ("tokenizer_config.json", settings)):
        (folder / name).write_text(json.dumps(value, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    (folder / OWN_TOKENIZER).write_bytes(tokenizer.to_bytes())


def _wordpiece_parts(tokenizer: WordPieceTokenizer) -> dict[str, Any]:
    return {
        "normalizer": {"type": "BertNormalizer", "clean_text": True, "handle_chinese_chars": tokenizer.split_chinese,
                       "strip_accents": tokenizer.strip_accents, "lowercase": tokenizer.lower_case},
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": False},
        "model": {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##",
                  "max_input_chars_per_word": LONGEST_WORD,
                  "vocab": {token: id_ for id_, token in enumerate(tokenizer.tokens)}}}


def _unigram_parts(tokenizer: SentencePieceTokenizer) -> dict[str, Any]:
    """SentencePiece's own steps: its table of normalisations, no spaces at the ends or twice, ▁ for a space and before
    the text, the likeliest pieces, bytes for what no piece covers.

    The ids are SentencePiece's but for rare text: where two cuts are equally likely, as in "000" or "sooooo", rounding
    decides, in float32 there and in float64 here; a capital with two accents loses one; accents in another order than
    Unicode's are put into it; and text that spells a special token or a byte piece is read as one.
    """
    pieces, table = _read_sentencepiece(tokenizer.to_bytes())
    replace = lambda regex, content: {"type": "Replace", "pattern": {"Regex": regex}, "content": content}
    space = {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": False}
    normalizers = [replace(r"\A +| +\z", ""), replace(" {2,}", " ")]   # not Strip: it takes more than spaces
    if table:
        # NFKC first: their step for the table looks at one letter and its accents at a time, six bytes at most.
        normalizers = [{"type": "NFKC"}, {"type": "Precompiled", "precompiled_charsmap": base64.b64encode(table).decode()},
                       *normalizers]
    return {
        "normalizer": {"type": "Sequence", "normalizers": normalizers},
        "pre_tokenizer": space,
        "decoder": {"type": "Sequence", "decoders": [
            {"type": "Replace", "pattern": {"String": "▁"}, "content": " "}, {"type": "ByteFallback"},
            {"type": "Fuse"}, {"type": "Strip", "content": " ", "start": 1, "stop": 0}]},
        "model": {"type": "Unigram", "unk_id": tokenizer.special.unk, "vocab": pieces, "byte_fallback": True}}


def _read_sentencepiece(model: bytes) -> tuple[list[tuple[str, float]], bytes]:
    """(pieces with their scores, table of normalisations) of a SentencePiece model: fields 1 and 3 of its protocol
    buffer (`sentencepiece_model.proto`)."""
    pieces: list[tuple[str, float]] = []
    table = b""
    for field, value in _fields(model):
        if field == 1:
            piece = dict(_fields(value))
            pieces.append((piece[1].decode(), struct.unpack("<f", piece.get(2, bytes(4)))[0]))
        elif field == 3:
            table = dict(_fields(value)).get(2, b"")
    return pieces, table


def _fields(message: bytes) -> Iterator[tuple[int, Any]]:
    """(number, value) of a protocol buffer's fields: int for varints, bytes for all others."""
    at = 0

    def varint() -> int:
        nonlocal at
        value = shift = 0
        while True:
            byte = message[at]
            at, value, shift = at + 1, value | (byte & 127) << shift, shift + 7
            if byte < 128:
                return value

    while at < len(message):
        key = varint()
        kind = key & 7
        if kind == 0:
            yield key >> 3, varint()
            continue
        size = {1: 8, 5: 4}.get(kind) or varint()
        yield key >> 3, message[at:at + size]
        at += size
