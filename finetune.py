#!/usr/bin/env python3
"""Fine-tune a pre-trained checkpoint, or random weights as the control, on a labelled task.

python finetune.py --task sst2 --init data/pretrained/tiny-en.pt --data data/sample/sst2
python finetune.py --task imdb --init ckpt.pt --data data/aclImdb --seeds 1,2,3
python finetune.py --task glue --init ckpt.pt --data data/glue --seeds 1,2,3
python finetune.py --task csv --init ckpt.pt --data reviews.csv --text-columns title,body \\
    --label-column stars
python finetune.py --task-file mine.toml --init ckpt.pt --unlabelled my-texts/
"""

from __future__ import annotations

import sys
import time
from dataclasses import replace
from functools import partial
from typing import Any

from torch import Tensor

from electra.checkpoint.checkpoint import Checkpoint
from electra.cli import parse, run_cli
from electra.config import FinetuneConfig, check_finetune_flags
from electra.evaluation.results import Outcome
from electra.tasks.task import TaskData
from electra.training import distributed
from electra.training.device import explain_out_of_memory, give_memory_back
from electra.training.finetuning import (
    Prepared,
    begin_log,
    check_cache,
    choose_model,
    encode_sets,
    fill_in,
    open_folder,
    read_class_weights,
    read_start,
    read_task,
    smaller_batches,
)
from electra.training.finetuning_glue import run_glue
from electra.training.finetuning_results import save_results
from electra.training.finetuning_seed import (
    SeedRun,
    begin_seed,
    begin_stage,
    end_epoch,
    end_seed,
    epochs_of,
    lr_of,
    progress_bar,
    say_red,
    stages_of,
)
from electra.training.finetuning_start import print_start
from electra.training.log import MetricsLog
from electra.training.machine import Machine, choose_machine
from electra.training.metric_sums import add_up
from electra.training.seeds import derive_seed
from electra.training.self_training import (
    another_round,
    begin_round,
    kept_at_most,
    read_unlabelled,
)
from electra.training.step import train_step

TRIM_EVERY = 50  # steps
GENTLER = 0.25  # factor on the learning rate of a second try


def main(argv: list[str] | None = None) -> int:
    """Run with a command line; returns the exit code of `run_cli`."""
    distributed.quiet_unless_first()
    try:
        return run_cli(
            "finetune.py",
            lambda: run_command(argv),
            stopped="stopped; no result was written",
            closed_pipe=None,
            report=distributed.report,
        )
    finally:
        distributed.stop()


def run_command(argv: list[str] | None) -> None:
    """Parse a command line and run it."""
    assert __doc__ is not None
    config, given = parse(FinetuneConfig, "finetune.py", __doc__.split("\n")[0], argv)
    with distributed.explain_rank_failure(config.rank_timeout):
        fine_tune(config, given)


def fine_tune(config: FinetuneConfig, given: set[str]) -> None:
    """Fine-tune on one task, or on all of GLUE. given: names of the flags that were typed."""
    check_finetune_flags(config, given)
    checkpoint, config = read_start(config)
    machine = choose_machine(config.device, config.amp, config.rank_timeout)
    if config.task == "glue":
        run_glue(config, checkpoint, machine, run_task)
    else:
        run_task(config, read_task(config), checkpoint, machine)


def run_task(
    config: FinetuneConfig, data: TaskData, checkpoint: Checkpoint | None, machine: Machine
) -> dict[str, Any]:
    """Fine-tune on one task, with every seed. Returns what result.json holds."""
    began = time.monotonic()
    unlabelled = read_unlabelled(config, data)
    check_cache(config, data, unlabelled)
    config = fill_in(config, data, checkpoint, kept_at_most(config, unlabelled))
    tokenizer, model_config = choose_model(config, data, checkpoint)
    class_weights = read_class_weights(config.class_weights, data)
    folder = open_folder(config, machine.ranks)
    encoded = encode_sets(config, data, unlabelled, tokenizer, machine.ranks)
    prepared = Prepared(
        data, encoded, tokenizer, model_config, checkpoint, class_weights, unlabelled
    )
    print_start(config, prepared, machine)
    log = begin_log(folder, config, prepared, machine)

    with explain_out_of_memory(machine.device, partial(smaller_batches, config)):
        outcomes = [run_seed(seed, config, prepared, machine, log) for seed in config.seeds]

    result = {}
    if folder is not None:
        result = save_results(folder, config, prepared, outcomes, began)
        folder.close()
    return machine.ranks.gather(result)[0]  # not before the files are there


def run_seed(
    seed: int, config: FinetuneConfig, prepared: Prepared, machine: Machine, log: MetricsLog | None
) -> Outcome:
    """Fine-tune once; once more, gentler, where the first try learned nothing."""
    outcome = train(seed, config, prepared, machine, log)
    if not outcome.collapsed:
        return outcome

    say_red(
        f"seed {seed}: the model has learned nothing: {outcome.collapse}. Trying once more at "
        f"{GENTLER:g} of the learning rate."
    )
    assert config.lr is not None
    gentler = replace(config, lr=config.lr * GENTLER, warmup=max(config.warmup, 0.2))
    outcome = train(seed, gentler, prepared, machine, log)._replace(retried=True)
    if outcome.collapsed:
        say_red(
            f"seed {seed}: the model has learned nothing again: {outcome.collapse}. The score "
            f"below is not a model's: try a lower --lr or more --epochs, and compare with "
            f"--init none."
        )
    return outcome


def train(
    seed: int, config: FinetuneConfig, prepared: Prepared, machine: Machine, log: MetricsLog | None
) -> Outcome:
    """Learn from the labels, then from the model's own labels of --unlabelled as well.

    The best epoch by the held-out part predicts every set, once. The seed draws the head, the order
    and the dropout.
    """
    run = begin_seed(seed, config, prepared, machine)
    learn(run, log)
    while another_round(run, prepared):
        run = begin_round(run, prepared)
        learn(run, log)
    return end_seed(run)


def learn(run: SeedRun, log: MetricsLog | None) -> None:
    """The loop: the head alone for --freeze-epochs, then everything for --epochs."""
    config, seed = run.config, run.seed
    for stage in stages_of(run):
        learner, done = begin_stage(run, stage), 0
        for epoch, batches in enumerate(epochs_of(run, stage)):
            sums: dict[str, Tensor] = {}
            bar = progress_bar(run, f"{stage.name}epoch {epoch + 1}", len(batches))
            for rows in bar.over(batches):
                lr = lr_of(config, stage, done)
                result = train_step(learner, [run.batch(rows)], lr, derive_seed(seed, run.step))
                add_up(sums, result.sums)
                done, run.step = done + 1, run.step + 1
                if run.step % TRIM_EVERY == 0:
                    give_memory_back()
            end_epoch(run, stage, epoch, sums, learner.scale.skipped, log)


if __name__ == "__main__":
    sys.exit(main())
