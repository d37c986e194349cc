"""The settings of a comparison, and the models in it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from electra.checkpoint.storage import load_checkpoint
from electra.config import SIZES, option
from electra.tasks.load import load_task
from electra.tasks.task import TaskData, with_fewer

# Every fine-tuned row of the table: the name of its stage, and its name for people.
MODEL_NAMES = {
    "bert": "BERT",
    "bert-post": "BERT, post-pre-trained",
    "electra": "ELECTRA",
    "electra-post": "ELECTRA, post-pre-trained",
    "random": "random weights",
}
OBJECTIVE_OF = {"bert": "mlm", "electra": "electra"}


@dataclass(frozen=True)
class ComparisonConfig:
    """Settings of scripts/compare_models.py, each a flag of the same name."""

    sample: bool = option(
        False, "data", "everything from data/sample/, small enough to watch; other flags still win"
    )
    imdb: str | None = option(None, "data", "the aclImdb folder")
    sst2: str | None = option(None, "data", "the SST-2 folder (default: no SST-2)")
    corpus: tuple[str, ...] = option((), "data", "text to pre-train both models on")
    cache: str = option("data/cache", "data", "folder of tokenised corpora")

    electra: str | None = option(None, "models", "an ELECTRA checkpoint, instead of --corpus")
    bert: str | None = option(None, "models", "a BERT checkpoint, instead of --corpus")
    size: str = option("small", "models", "with --corpus: size of both models", tuple(SIZES))
    vocab_size: int | None = option(
        None, "models", "with --corpus: tokens of the vocabulary (default: by size)"
    )

    minutes: float | None = option(
        None, "compute", "minutes of pre-training for each model (default: 60)"
    )
    steps: int | None = option(
        None,
        "compute",
        "steps of ELECTRA's pre-training, instead of --minutes; BERT takes as many as cost the "
        "same FLOPs",
    )
    post_minutes: float | None = option(
        None, "compute", "minutes of post-pre-training (default: half of --minutes)"
    )
    post_steps: int | None = option(
        None, "compute", "steps of post-pre-training, as --steps (default: half of them)"
    )
    phases: str = option(
        "128:0.9,512:0.1", "compute", "sequence lengths by their share of each pre-training"
    )
    interleave: bool = option(
        False, "compute", "draw the sequence length of every step by those shares"
    )
    batch_tokens: int | None = option(
        None, "compute", "tokens of a pre-training step (default: by size)"
    )
    jobs: int = option(
        1,
        "compute",
        "stages that run at the same time and share the cores, each with its output in a .log file",
    )
    device: str = option("auto", "compute", "auto, cpu, cuda, cuda:1, mps")
    amp: str = option("auto", "compute", "mixed precision, as in train.py")

    seeds: str = option("1,2,3", "fine-tuning", "one run for each seed")
    freeze_epochs: float = option(
        1.0, "fine-tuning", "epochs that train only the head; they have a score of their own"
    )
    epochs: float | None = option(
        None, "fine-tuning", "epochs that train the whole model (default: by task)"
    )
    train_examples: int | None = option(
        None,
        "fine-tuning",
        "training examples of each task, the same for every row and seed (default: all)",
    )
    max_len: int | None = option(None, "fine-tuning", "longest review in tokens (default: 512)")

    out: str = option("runs/ablation", "output", "folder of all runs")

    @property
    def tasks(self) -> dict[str, str]:
        """{name of a task: its folder}"""
        folders = {"imdb": self.imdb, "sst2": self.sst2}
        return {name: folder for name, folder in folders.items() if folder}

    @property
    def reviews(self) -> Path:
        """The unsupervised reviews, the text of post-pre-training."""
        assert self.imdb is not None
        return Path(self.imdb) / "train" / "unsup"

    @property
    def pretraining_minutes(self) -> float:
        return self.minutes or 60

    @property
    def post_pretraining_minutes(self) -> float:
        return self.post_minutes or self.pretraining_minutes / 2

    @property
    def post_pretraining_steps(self) -> int | None:
        """Of ELECTRA; None where the clock ends post-pre-training."""
        if self.post_steps is None and self.steps is not None:
            return max(1, self.steps // 2)
        return self.post_steps


# What --sample sets; a flag that is typed wins.
SAMPLE: dict[str, object] = {
    "imdb": "data/sample/aclImdb",
    "sst2": "data/sample/sst2",
    "corpus": ("data/sample/wiki.raw",),
    "size": "tiny",
    "vocab_size": 2000,
    "steps": 150,
    "post_steps": 50,
    "phases": "64:1",
    "batch_tokens": 2048,
    "seeds": "1",
    "epochs": 2.0,
    "freeze_epochs": 1.0,
    "max_len": 64,
    "out": "runs/ablation-sample",
}


def check_settings(config: ComparisonConfig) -> None:
    """ValueError for settings that make no comparison, and for data or checkpoints that are unfit.

    Everything is read once here, so that a mistake shows before hours of pre-training.
    """
    _check_flags(config)
    load_data(config)
    if not config.reviews.is_dir():
        raise ValueError(f"{config.imdb} has no train/unsup, the reviews for post-pre-training")
    for path, kind in ((config.electra, "electra"), (config.bert, "mlm")):
        if path:
            load_checkpoint(path, (kind,))


def load_data(config: ComparisonConfig) -> dict[str, TaskData]:
    """The data of each task, with `train_examples` training examples where that is set."""
    return {
        name: with_fewer(load_task(name, folder), config.train_examples)
        for name, folder in config.tasks.items()
    }


def _check_flags(config: ComparisonConfig) -> None:
    c = config
    if not c.imdb:
        raise ValueError(
            "--imdb is needed: the aclImdb folder, whose unsupervised reviews are the text of "
            "post-pre-training"
        )
    if bool(c.corpus) == bool(c.electra or c.bert):
        raise ValueError("give --corpus to pre-train both, or both of --electra and --bert")
    if bool(c.electra) != bool(c.bert):
        raise ValueError("--electra and --bert go together: a comparison needs both")

    if c.minutes is not None and c.steps is not None:
        raise ValueError("of --minutes (equal time) and --steps (equal FLOPs) give one")
    mixed = (c.steps is not None and c.post_minutes is not None) or (
        c.minutes is not None and c.post_steps is not None
    )
    if mixed:
        raise ValueError("--post-minutes goes with --minutes, --post-steps with --steps")

    for name in ("minutes", "steps", "post_minutes", "post_steps", "jobs"):
        value = getattr(c, name)
        if value is not None and not value > 0:
            raise ValueError(f"--{name.replace('_', '-')} must be above 0, not {value}")
    if not re.fullmatch(r"\d+(,\d+)*", c.seeds):
        raise ValueError(f"--seeds {c.seeds!r} does not read like 1,2,3")
