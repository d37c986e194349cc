"""What a pre-training run says: lines of the log, evaluations, and texts on the screen."""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from typing import Any

from tqdm import tqdm

from electra.checkpoint.next_command import next_command
from electra.config import continue_defaults, describe_model
from electra.training.evaluate import (
    auc_of,
    evaluate,
    is_plateau,
    replaced_entropy,
    scored,
)
from electra.training.metric_sums import figures
from electra.training.pretraining_run import PretrainingRun
from electra.training.step import StepResult


def print_start(run: PretrainingRun) -> None:
    """Say what is trained, on what and for how long."""
    config, machine, corpus = run.config, run.machine, run.corpus
    count = sum(p.numel() for p in run.model.parameters())
    length = f"{config.minutes:g} minutes" if config.minutes else f"{config.steps:,} steps"
    ranks = f", {machine.ranks.world_size} ranks" if machine.ranks.world_size > 1 else ""
    begun = f", from step {run.progress.step:,}" if run.progress.step else ""
    print(
        f"{config.objective} {config.size}: {count / 1e6:.1f} M parameters, "
        f"vocabulary {run.model.config.vocab_size:,}\n"
        f"text: {corpus.train.num_tokens:,} tokens of {len(corpus.train.starts):,} documents, "
        f"held out {corpus.valid.num_tokens:,}\n"
        f"run: {length} of {config.batch_tokens:,} tokens, lr {config.lr:g}, on {machine.device} "
        f"(amp {machine.precision.name}{ranks}), into {config.out}{begun}",
        flush=True,
    )
    if config.init and not run.progress.step:
        if run.from_bert:
            print("a BERT becomes the discriminator; generator and detection head are new")
        print_defaults(run)


def print_defaults(run: PretrainingRun) -> None:
    """Say which settings are defaults of the model that goes on, and of what kind of model."""
    config, model_config = run.config, run.model.config
    defaults = continue_defaults(model_config, run.from_bert)
    taken = {
        f"lr {defaults.lr:g}": config.lr == defaults.lr,
        f"{defaults.batch_tokens:,} tokens a step": config.batch_tokens == defaults.batch_tokens,
    }
    if any(taken.values()):
        names = ", ".join(name for name, is_taken in taken.items() if is_taken)
        model = describe_model(model_config, run.origin)
        model = "an ELECTRA with a new generator" if run.from_bert else model
        print(f"defaults: {names}, for {model}", flush=True)


def progress_bar(run: PretrainingRun) -> tqdm:
    """The bar of the loop; none on other ranks, nor where the screen is a file."""
    return tqdm(
        total=run.config.steps,
        initial=run.progress.step,
        unit="step",
        smoothing=0.05,
        disable=None if run.machine.ranks.first else True,
    )


def log_step(run: PretrainingRun, result: StepResult, lr: float, bar: tqdm) -> None:
    """Write a line of the log about all steps since the last one. All ranks have to call it."""
    progress, ranks = run.progress, run.machine.ranks
    progress.gather_window(ranks)
    detections = []
    if result.detection is not None:
        detections = ranks.gather(scored(result.detection))

    if run.log is not None:
        values = _window_figures(run, result, lr, detections)
        run.log.write(progress.step, "train", values)
        losses, rate = _losses(values), f"{values['tokens_per_s']:,.0f}"
        bar.set_postfix_str(f"{losses}, {rate} tok/s")
        if bar.disable:
            fraction_done = run.schedule.fraction_done(progress.step, progress.seconds)
            done = "" if run.config.minutes is None else f" {fraction_done:.0%}"
            print(f"step {progress.step:,}{done}: {losses}, {rate} tokens/s", flush=True)
    progress.new_window()


def _window_figures(
    run: PretrainingRun, result: StepResult, lr: float, detections: list[Any]
) -> dict[str, float]:
    """The figures of a line of the log. Reads from the device."""
    progress = run.progress
    tokens, seconds = float(progress.window["tokens"]), progress.window_seconds
    values = figures(progress.window)
    if detections:
        values["rtd_auc"] = auc_of(detections)
    return values | {
        "tokens": int(tokens),
        "lr": lr,
        "grad_norm": float(result.grad_norm),
        "tokens_per_s": tokens / seconds,
        "padding_frac": 1 - tokens / progress.padded_tokens,
        "skipped_steps": int(run.learner.scale.skipped),
        "seconds": progress.seconds,
    }


def evaluate_held_out(run: PretrainingRun) -> None:
    """Log the figures on the held-out text. All ranks have to call it.

    The split is called "valid" at the first length, "valid_512" and so on at the others.
    """
    first, *others = run.batches.held_out
    with run.progress.outside_of_training():
        for length in others:
            _evaluate_at(run, length, f"valid_{length}", f"held out, length {length}")
        values = _evaluate_at(run, first, "valid", "held out")

        if "rtd_auc" in values and _is_warmed_up(run) and is_plateau(values):
            tqdm.write(
                f"  the discriminator has not left the plateau: its loss {values['rtd_loss']:.4f} "
                f"is the entropy of the replaced share, {replaced_entropy(values):.4f}. It needs "
                f"more steps, --attention-init neighbours, or a lower --lr; do not fine-tune from "
                f"it yet."
            )


def _is_warmed_up(run: PretrainingRun) -> bool:
    """Whether the warm-up was over in the last step."""
    last = run.progress.step - 1
    fraction_done = run.schedule.fraction_done(last, run.progress.seconds)
    return run.schedule.warmup(last, fraction_done) == 1.0


def _evaluate_at(run: PretrainingRun, length: int, split: str, name: str) -> dict[str, float]:
    """Log and return the figures at one length."""
    machine, step = run.machine, run.progress.step
    values = evaluate(
        run.model,
        run.batches.held_out[length],
        machine.precision,
        machine.device,
        run.corpus.unigram,
        machine.ranks,
    )
    values["seconds"] = run.progress.seconds
    if run.log is not None:
        run.log.write(step, split, values)
    unigram = ""
    if "rtd_auc_unigram" in values:
        unigram = f", against unigram draws {values['rtd_auc_unigram']:.3f}"
    tqdm.write(f"step {step:,} {name}: {_losses(values)}{unigram}")
    return values


def _losses(values: dict[str, float]) -> str:
    """The figures that a user looks at first."""
    text = f"mlm loss {values['mlm_loss']:.3f}, acc {values['mlm_acc']:.3f}"
    if "rtd_loss" in values:
        text += (
            f"; rtd loss {values['rtd_loss']:.4f}, auc {values['rtd_auc']:.3f}, "
            f"recall {values['rtd_recall']:.3f}"
        )
    return text


def evaluations(run: PretrainingRun) -> list[dict[str, Any]]:
    """The records of split "valid" in the log; none on ranks that have no log."""
    lines = run.log.lines if run.log is not None else []
    return [record for record in map(json.loads, lines) if record["split"] == "valid"]


def print_stopped(run: PretrainingRun) -> None:
    """Say how to resume a run that a signal has stopped."""
    command = shlex.join(["python", "train.py", "--out", str(run.config.out), "--resume"])
    print(f"stopped at step {run.progress.step:,}, saved. Go on with:\n  {command}", flush=True)


def print_summary(run: PretrainingRun, remarks: Sequence[str] = ()) -> None:
    """What the run learned, lines of remarks, and what to type next."""
    assert run.folder is not None
    valid, checkpoint = evaluations(run), shlex.quote(str(run.folder.checkpoint))
    first, last = valid[0], valid[-1]
    print(
        f"\ndone: {last['step']:,} steps in {last['seconds'] / 60:.1f} minutes. On held-out text:"
    )
    print(
        f"  masked words guessed: {last['mlm_acc']:.1%} (loss {first['mlm_loss']:.2f} at step "
        f"{first['step']:,}, {last['mlm_loss']:.2f} now)"
    )
    if "rtd_auc" in last:
        print(
            f"  replaced words told from originals: AUC {last['rtd_auc']:.3f} against its own "
            f"generator, {last['rtd_auc_unigram']:.3f} against random words (0.5 is chance)"
        )

    for remark in remarks:
        print(remark)
    data = "data/sample/sst2" if run.config.on_sample else "data/SST-2"
    print(f"checkpoint: {run.folder.checkpoint}\nnext:")
    print(f"  python finetune.py --task sst2 --init {checkpoint} --data {data}")
    if run.config.on_sample:
        print("  python train.py --corpus YOUR_TEXT --size tiny --minutes 60")
    print(f"  {next_command(run.folder.checkpoint, run.model.kind)}")
