"""What a pre-training run consists of while it trains."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from torch import Tensor

from electra.checkpoint.run_folder import RunFolder
from electra.config import Origin, PretrainConfig
from electra.data.batch import Batch
from electra.data.spans import SpanBatches
from electra.data.token_store import Text
from electra.data.tokenizer import Tokenizer
from electra.model.bert import BertMLM
from electra.model.electra import Electra
from electra.training.log import MetricsLog
from electra.training.machine import Machine
from electra.training.progress import Progress
from electra.training.schedule import Schedule
from electra.training.step import Learner


class Corpus(NamedTuple):
    """The text in tokens."""

    train: Text
    valid: Text  # held out
    num_tokens: int  # of the token store
    fingerprints: dict[str, str]  # of --corpus and --valid, by these names; a resume compares them
    unigram: Tensor  # (V,) float32, counts of the tokens


class Batches(NamedTuple):
    """What the run trains on and is evaluated on."""

    stream: SpanBatches
    held_out: dict[int, list[Batch]]  # by the length of the examples, the first one's first


@dataclass
class PretrainingRun:
    """All parts of a run. The loop changes the learner, the progress, the log and the stream."""

    config: PretrainConfig  # every None that has a default is filled in
    machine: Machine
    tokenizer: Tokenizer
    origin: Origin  # what the model had behind it before this run
    from_bert: bool  # whether a BERT became the discriminator of this ELECTRA
    corpus: Corpus
    batches: Batches
    model: Electra | BertMLM
    learner: Learner  # the model, wrapped for several ranks, and what trains it
    schedule: Schedule
    progress: Progress
    folder: RunFolder | None  # on the first rank alone, as the log
    log: MetricsLog | None
