"""The corpus of a pre-training run: opened, described, and compared with that of its checkpoint."""

from __future__ import annotations

import re

import numpy as np
import torch

from electra.checkpoint.checkpoint import TrainingState
from electra.config import PretrainConfig
from electra.data.sources import MissingCorpusError, left_out_lines
from electra.data.token_store import TokenStore, hold_out, open_store, whole_text
from electra.data.tokenizer import Tokenizer
from electra.report.values import plural
from electra.training.pretraining_run import Corpus

UNKNOWN_SHARE = 0.02  # of the tokens; text in a language that the tokenizer knows has far less
BYTE_PIECE = re.compile("<0x[0-9A-F]{2}>")


def open_corpus(config: PretrainConfig, tokenizer: Tokenizer, device: torch.device) -> Corpus:
    """The text in tokens, made or found in the cache. Raises ValueError where there is no text."""
    store = _open(config, "corpus", tokenizer)
    fingerprints = {"corpus": store.summary.fingerprint}
    if config.valid:
        held_out = _open(config, "valid", tokenizer)
        fingerprints["valid"] = held_out.summary.fingerprint
        train, valid = whole_text(store), whole_text(held_out)
    else:
        train, valid = hold_out(store)
    unigram = torch.from_numpy(np.array(store.unigram, dtype=np.float32)).to(device)
    return Corpus(train, valid, len(store.tokens), fingerprints, unigram)


def _open(config: PretrainConfig, name: str, tokenizer: Tokenizer) -> TokenStore:
    """The store of --corpus or --valid, and a few printed lines about what was read."""
    try:
        store = open_store(
            getattr(config, name),
            tokenizer,
            config.errors,
            config.cache,
            text_field=config.text_field,
        )
    except MissingCorpusError as problem:
        if not config.resume:
            raise
        raise ValueError(f"{problem}; if it has moved, name its new place with --{name}") from None
    print("\n".join(describe(store, tokenizer, name)), flush=True)
    return store


def describe(store: TokenStore, tokenizer: Tokenizer, name: str) -> list[str]:
    """Lines about what was read to make a store, with warnings of what looks wrong.

    name: "corpus" or "valid", the flag of its files.
    """
    summary, documents = store.summary, len(store.documents) - 1
    share = unknown_share(store, tokenizer)
    what = "single bytes" if _byte_ids(tokenizer) else "[UNK]"
    lines = [
        f"{name}: {plural(summary.files, 'file')}, {plural(documents, 'document')}, "
        f"{_size(summary.text_bytes)} of text; {share:.2%} of the tokens are {what}"
    ]
    lines += left_out_lines(summary.left_out, name)
    if share > UNKNOWN_SHARE:
        lines.append(
            f"warning: {share:.0%} of the tokens are {what}, as of text that the tokenizer was not "
            f"made for, or of files that are no text"
        )
    if summary.undivided:
        lines.append(
            f"warning: {plural(summary.undivided, 'file')} of many lines without a blank line "
            f"between documents: each is read as one document"
        )
    if summary.markup:
        lines.append(
            f"warning: HTML or XML in {plural(summary.markup, 'file')}: tags are read as text"
        )
    return lines


def _size(size: int) -> str:
    """A number of bytes, rounded."""
    return f"{size / 1e6:,.1f} MB" if size >= 1e6 else f"{size / 1e3:,.1f} kB"


def unknown_share(store: TokenStore, tokenizer: Tokenizer) -> float:
    """The share of tokens that are single bytes, or [UNK] of a tokenizer without them."""
    unknown = [*_byte_ids(tokenizer), tokenizer.special.unk]
    return float(store.unigram[unknown].sum() / max(1, len(store.tokens)))


def _byte_ids(tokenizer: Tokenizer) -> list[int]:
    """The ids of SentencePiece's pieces that stand for a byte of a character it does not know."""
    pieces = tokenizer.pieces(range(tokenizer.vocab_size))
    return [id_ for id_, piece in enumerate(pieces) if BYTE_PIECE.fullmatch(piece)]


def check_same_text(training: TrainingState, corpus: Corpus) -> None:
    """Raise ValueError where the text is not that of the checkpoint.

    A checkpoint of a version without fingerprints has only the number of the corpus's tokens.
    """
    before, now = training.fingerprints, corpus.fingerprints
    if training.corpus_tokens != corpus.num_tokens:
        name = "corpus"
        what = f"{corpus.num_tokens:,} tokens, not {training.corpus_tokens:,}"
        if not before:
            what += ", or an earlier version read its files in another way"
    elif before and before.get("corpus") != now["corpus"]:
        name, what = "corpus", "as many tokens, but other ones or in another order"
    elif before and before.get("valid") != now.get("valid"):
        name, what = "valid", "other tokens"
    else:
        return
    text = "corpus" if name == "corpus" else "held-out text"
    raise ValueError(
        f"the {text} has changed since the run began: {what}; name the run's own text with "
        f"--{name}, or begin another run with --init"
    )
