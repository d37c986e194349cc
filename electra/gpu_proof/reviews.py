"""The data of stages that read real text: unpacked and tokenised beside the stages before."""

from __future__ import annotations

import os
from pathlib import Path

from electra.data.token_cache import corpus_tokenizer
from electra.data.token_store import TokenStore, open_store
from electra.data.tokenizer import Tokenizer
from electra.gpu_proof.findings import Findings
from electra.gpu_proof.stages import ARCHIVES, READY, StageContext
from electra.gpu_proof.workloads import log_text, run_program

FOLDERS = {"imdb": "aclImdb", "sst2": "SST-2"}


def prepare(context: StageContext, findings: Findings) -> None:
    """Unpack what is packed, train the tokenizer, tokenise. Then `data-ready` is there: empty, or
    with what is wrong."""
    os.nice(19)  # it uses all cores, and the stages beside it have time limits
    problem = ""
    try:
        for name in FOLDERS:
            _unpack(context, name)
        open_reviews(context)
    except (ValueError, OSError) as wrong:
        problem = str(wrong)
        raise
    finally:
        (context.scratch / READY).write_text(problem, encoding="utf-8")


def _unpack(context: StageContext, name: str) -> None:
    if folder_of(context, name).is_dir():
        return
    archives = sorted(context.data.glob(ARCHIVES[name]))
    if not archives:
        return
    arguments = [name, "--from", archives[0], "--to", context.scratch / "data"]
    if run_program(context, "scripts/download.py", arguments, "unpack.log"):
        raise ValueError(f"{archives[0]}: {log_text(context, 'unpack.log')[-300:]}")


def folder_of(context: StageContext, name: str) -> Path:
    """Where a data set is: as a folder under --data, else unpacked. `name`: "imdb" or "sst2"."""
    given = context.data / FOLDERS[name]
    if context.rehearse and name == "sst2":
        given = context.data / "sst2"  # of the sample
    return given if given.is_dir() else context.scratch / "data" / FOLDERS[name]


def corpus_of(context: StageContext) -> tuple[str, ...]:
    """The text to pre-train on: no test review is in it. Raises ValueError where there is none."""
    parts = [folder_of(context, "imdb") / "train" / part for part in ("unsup", "pos", "neg")]
    there = tuple(str(part) for part in parts if part.is_dir())
    if not there:
        raise ValueError(f"{context.data} has neither aclImdb nor an archive {ARCHIVES['imdb']}")
    return there


def cache_of(context: StageContext) -> Path:
    return context.scratch / "cache-reviews"


def vocabulary(context: StageContext) -> int:
    return 800 if context.rehearse else 30_522


def open_reviews(context: StageContext) -> tuple[Tokenizer, TokenStore]:
    """Tokenizer and token store of the reviews, as train.py finds them in the same cache."""
    corpus, cache = corpus_of(context), str(cache_of(context))
    tokenizer = corpus_tokenizer(corpus, vocabulary(context), False, "strict", cache)
    return tokenizer, open_store(corpus, tokenizer, "strict", cache)


def check_data(context: StageContext) -> None:
    """Raises ValueError with what `prepare` ended with, where it did not end well."""
    ready = context.scratch / READY
    if not ready.exists():
        raise ValueError("the data were not prepared; prove.log has the reason under prepare.log")
    if problem := ready.read_text(encoding="utf-8"):
        raise ValueError(problem)
