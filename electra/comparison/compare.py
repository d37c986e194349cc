"""The whole comparison: run the stages, collect what they leave, write results and report."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from electra.checkpoint.storage import load_checkpoint
from electra.comparison.collect import bag_of_ngrams_row, model_row, pretraining_result
from electra.comparison.compute import describe_equal_compute, describe_machine, steps_by_model
from electra.comparison.replaced_view import replaced_view
from electra.comparison.run_stages import run_all
from electra.comparison.settings import (
    MODEL_NAMES,
    OBJECTIVE_OF,
    ComparisonConfig,
    check_settings,
    load_data,
)
from electra.comparison.stages import Stage, finetuning_stage, pretraining_stage
from electra.files import write_atomically
from electra.report.comparison import html_report, markdown_table

FORMAT = 1  # of results.json


def compare_models(config: ComparisonConfig, command: str, programs: Path) -> None:
    """Run every stage that has not finished, then write results.json, table.md and report.html.

    `command` is the command line of the comparison, for the report; `programs` is the folder of
    train.py and finetune.py. ValueError for a mistake, and where a stage fails.
    """
    check_settings(config)
    Path(config.out).mkdir(parents=True, exist_ok=True)

    pretraining, checkpoints = run_pretraining(config, programs)
    finetuning = run_finetuning(config, checkpoints, programs)

    results = {
        "format": FORMAT,
        "title": "BERT and ELECTRA, as they are and post-pre-trained on film reviews",
        "date": time.strftime("%Y-%m-%d"),
        "machine": describe_machine(config.device, config.amp),
        "command": command,
        "equal": describe_equal_compute(config),
        **collect_results(config, pretraining, finetuning, checkpoints),
    }
    write_results(Path(config.out), results)


def run_pretraining(config: ComparisonConfig, programs: Path) -> tuple[list[Stage], dict[str, str]]:
    """Pre-train both models, unless they are given, and post-pre-train both.

    Returns the stages, and {name in `MODEL_NAMES`: path of its checkpoint}.
    """
    stages: list[Stage] = []
    if config.corpus:
        steps = steps_by_model(config, config.steps)
        stages = [pretraining_stage(config, model, steps[model]) for model in OBJECTIVE_OF]
        run_all(stages, config.jobs, programs)
        checkpoints = {stage.name: str(stage.folder / "ckpt.pt") for stage in stages}
    else:
        assert config.bert is not None and config.electra is not None
        checkpoints = {"bert": config.bert, "electra": config.electra}

    model_configs = {
        model: load_checkpoint(path, (OBJECTIVE_OF[model],)).model_config
        for model, path in checkpoints.items()
    }
    steps = steps_by_model(config, config.post_pretraining_steps, model_configs)
    post_stages = [
        pretraining_stage(config, model, steps[model], init=path)
        for model, path in checkpoints.items()
    ]
    run_all(post_stages, config.jobs, programs)

    checkpoints |= {stage.name: str(stage.folder / "ckpt.pt") for stage in post_stages}
    return stages + post_stages, checkpoints


def run_finetuning(
    config: ComparisonConfig, checkpoints: Mapping[str, str], programs: Path
) -> dict[str, dict[str, Stage]]:
    """Fine-tune every model, and random weights, on every task: {model: {task: stage}}."""
    finetuning = {
        model: {task: finetuning_stage(config, model, task, checkpoints) for task in config.tasks}
        for model in MODEL_NAMES
    }
    stages = [stage for by_task in finetuning.values() for stage in by_task.values()]
    run_all(stages, config.jobs, programs)
    return finetuning


def collect_results(
    config: ComparisonConfig,
    pretraining: Sequence[Stage],
    finetuning: Mapping[str, Mapping[str, Stage]],
    checkpoints: Mapping[str, str],
) -> dict[str, Any]:
    """What the stages have left: the entries "pretraining", "rows" and "replaced_view"."""
    costs = {stage.name: pretraining_result(stage) for stage in pretraining}
    data = load_data(config)
    rows = [model_row(model, costs, by_task) for model, by_task in finetuning.items()]
    rows.append(bag_of_ngrams_row(data))

    views = [
        view
        for model in ("electra", "electra-post")
        for view in replaced_view(MODEL_NAMES[model], checkpoints[model], data["imdb"].dev)
    ]
    return {"pretraining": list(costs.values()), "rows": rows, "replaced_view": views}


def write_results(out: Path, results: dict[str, Any]) -> None:
    """results.json, table.md and report.html, and the table on the screen."""
    table = markdown_table(results)
    files = {
        "results.json": json.dumps(results, indent=1, ensure_ascii=False),
        "table.md": table,
        "report.html": html_report(results),
    }
    for name, text in files.items():
        write_atomically(out / name, (text.rstrip("\n") + "\n").encode())
    print(f"\n{table}\n{out / 'report.html'}, results.json and table.md are written")
