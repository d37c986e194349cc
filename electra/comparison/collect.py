"""What finished stages have left, as entries of results.json."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import Any

from electra.checkpoint.checkpoint import PRETRAINED
from electra.checkpoint.storage import load_checkpoint
from electra.comparison.compute import flops_per_token
from electra.comparison.settings import MODEL_NAMES
from electra.comparison.stages import Stage
from electra.config import ModelConfig, parse_phases
from electra.evaluation.bag_of_ngrams import bag_of_ngrams_baseline
from electra.report.run_folders import held_out
from electra.tasks.task import TaskData

BAG_OF_NGRAMS = "bag of words and bigrams, logistic regression"
BAG_OF_NGRAMS_COMMAND = (
    "electra.tasks.load.load_task, then electra.evaluation.bag_of_ngrams.bag_of_ngrams_baseline"
)


def pretraining_result(stage: Stage) -> dict[str, Any]:
    """The cost of a pre-training, and its curve on held-out text."""
    log = [json.loads(line) for line in (stage.folder / "metrics.jsonl").read_text().splitlines()]
    found = held_out(log)

    checkpoint = load_checkpoint(stage.folder / "ckpt.pt", PRETRAINED)
    model_config, settings = checkpoint.model_config, checkpoint.settings
    continued = bool(settings["init"])

    return {
        "name": MODEL_NAMES[stage.name],
        "objective": model_config.objective,
        "stage": "post-pre-training" if continued else "pre-training",
        "init": MODEL_NAMES[stage.name.removesuffix("-post")] if continued else None,
        "command": stage.text,
        "flops": _mean_flops_per_token(model_config, settings) * found["tokens"],
        **found,
    }


def _mean_flops_per_token(model_config: ModelConfig, settings: Mapping[str, Any]) -> float:
    """FLOPs per token over the sequence lengths of a run, weighted by their shares."""
    phases = parse_phases(settings["seq_len"], settings["phases"], model_config.max_positions)
    begin, mean = 0.0, 0.0
    for phase in phases:
        mean += (phase.end - begin) * flops_per_token(model_config, phase.seq_len)
        begin = phase.end
    return mean


def model_row(
    model: str, pretraining: Mapping[str, dict[str, Any]], finetuning: Mapping[str, Stage]
) -> dict[str, Any]:
    """A row of the table: a fine-tuned model with its scores by task.

    `model` is a name in `MODEL_NAMES`; `pretraining` has the results of pre-training by stage,
    `finetuning` the stage of this model on each task.
    """
    stages = {model, model.removesuffix("-post")}
    minutes = [result["minutes"] for name, result in pretraining.items() if name in stages]
    return {
        "name": MODEL_NAMES[model],
        "kind": "reference" if model == "random" else "model",
        "pretraining_minutes": sum(minutes) if minutes else None,
        "scores": {task: _finetuning_scores(stage) for task, stage in finetuning.items()},
    }


def _finetuning_scores(stage: Stage) -> dict[str, Any]:
    result = json.loads((stage.folder / "result.json").read_text())
    by_seed = {
        key: [seed[key] for seed in result["seeds"]]
        for key in ("seed", "dev", "dev_head_only", "test")
    }
    head_dev, test = by_seed["dev_head_only"], by_seed["test"]
    return {
        "metric": result["metric"],
        "seeds": by_seed["seed"],
        "dev": by_seed["dev"],
        "head_dev": None if None in head_dev else head_dev,
        "test": None if None in test else test,
        "seconds": result["seconds"],
        "command": stage.text,
    }


def bag_of_ngrams_row(data: Mapping[str, TaskData]) -> dict[str, Any]:
    """The row of the bag-of-n-grams baseline, which is fitted here."""
    scores = {}
    for task, examples in data.items():
        start = time.monotonic()
        dev, test = bag_of_ngrams_baseline(examples.train, examples.dev, examples.test)
        scores[task] = {
            "metric": "accuracy",
            "seeds": [0],
            "dev": [dev],
            "head_dev": None,
            "test": None if test is None else [test],
            "seconds": time.monotonic() - start,
            "command": BAG_OF_NGRAMS_COMMAND,
        }
    return {
        "name": BAG_OF_NGRAMS,
        "kind": "reference",
        "pretraining_minutes": None,
        "scores": scores,
    }
