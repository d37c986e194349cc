"""The stages of a comparison, each a command of train.py or finetune.py."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from electra.checkpoint.storage import load_checkpoint
from electra.comparison.settings import OBJECTIVE_OF, ComparisonConfig
from electra.config import nearest_size


class Stage(NamedTuple):
    """A command, and the folder that it fills."""

    name: str
    folder: Path
    command: list[str]  # without the interpreter

    @property
    def text(self) -> str:
        """The command as a user would type it."""
        return "python " + shlex.join(self.command)


def pretraining_stage(
    config: ComparisonConfig, model: str, steps: int | None, init: str | None = None
) -> Stage:
    """Pre-training from scratch or, with the checkpoint `init`, on IMDb's unsupervised reviews.

    `model` is "bert" or "electra". Where `steps` is None, the clock ends it.
    """
    name = f"{model}-post" if init else model
    folder = Path(config.out) / name
    command = ["train.py", "--out", str(folder), "--phases", config.phases]
    command += ["--cache", config.cache, "--device", config.device, "--amp", config.amp]

    if init:
        command += ["--init", init, "--corpus", str(config.reviews)]
        minutes = config.post_pretraining_minutes
    else:
        command += ["--corpus", *config.corpus]
        command += ["--size", config.size, "--objective", OBJECTIVE_OF[model]]
        command += _optional("--vocab-size", config.vocab_size)
        minutes = config.pretraining_minutes

    command += ["--interleave"] if config.interleave else []
    command += _optional("--batch-tokens", config.batch_tokens)
    if steps is None:
        command += ["--minutes", f"{minutes:g}", "--eval-every", "500"]
    else:
        every = str(max(1, steps // 10))
        command += ["--steps", str(steps), "--eval-every", every, "--log-every", every]
    return Stage(name, folder, command)


def finetuning_stage(
    config: ComparisonConfig, model: str, task: str, checkpoints: Mapping[str, str]
) -> Stage:
    """Fine-tuning of a row of the table, a name in `MODEL_NAMES`, on a task.

    `checkpoints` has the checkpoint of each pre-trained model. The row "random" has the size and
    the tokenizer of the ELECTRA.
    """
    folder = Path(config.out) / f"{task}-{model}"
    command = ["finetune.py", "--task", task, "--data", config.tasks[task], "--out", str(folder)]
    command += ["--seeds", config.seeds, "--freeze-epochs", f"{config.freeze_epochs:g}"]
    command += ["--device", config.device, "--amp", config.amp]

    if model == "random":
        electra = checkpoints["electra"]
        size = nearest_size(load_checkpoint(electra, ("electra",)).model_config)
        command += ["--init", "none", "--size", size, "--tokenizer", electra]
    else:
        command += ["--init", checkpoints[model]]

    command += ["--epochs", f"{config.epochs:g}"] if config.epochs is not None else []
    command += _optional("--max-len", config.max_len if task == "imdb" else None)
    command += _optional("--train-examples", config.train_examples)
    return Stage(folder.name, folder, command)


def _optional(flag: str, value: int | None) -> list[str]:
    return [flag, str(value)] if value else []
