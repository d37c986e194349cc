#!/usr/bin/env python3
"""Pre-train ELECTRA, or BERT as the control, on raw text.

python train.py                                     the sample, two minutes on two cores
python train.py --corpus wiki.raw                   ELECTRA-small on a corpus
python train.py --corpus reviews/ --size tiny --minutes 60
python train.py --out runs/wiki-small-electra --resume
"""

from __future__ import annotations

import sys
from dataclasses import replace
from functools import partial

from electra.cli import parse, run_cli
from electra.config import Origin, PretrainConfig, parse_phases, resolve_pretraining, resolve_steps
from electra.inference.tiny_en import compare_with_tiny_en
from electra.training import distributed
from electra.training.device import explain_out_of_memory, give_memory_back, make_deterministic
from electra.training.log import MetricsLog
from electra.training.machine import choose_machine
from electra.training.passes import choose_graphs
from electra.training.pretraining import (
    choose_model,
    make_learner,
    make_model,
    make_schedule,
    open_folder,
    read_start,
    restore,
)
from electra.training.pretraining_corpus import check_same_text, open_corpus
from electra.training.pretraining_log import (
    evaluate_held_out,
    evaluations,
    log_step,
    print_start,
    print_stopped,
    print_summary,
    progress_bar,
)
from electra.training.pretraining_run import PretrainingRun
from electra.training.pretraining_save import (
    agree,
    close,
    save,
    save_last,
    tell_of_save,
)
from electra.training.pretraining_text import (
    make_batches,
    smaller_batches,
    steps_per_epoch,
)
from electra.training.seeds import derive_seed
from electra.training.step import train_step
from electra.training.stopping import NON_FINITE_LIMIT, StopSignals, stop_if_not_finite
from electra.training.time_left import TimeLeft

# `python train.py` with nothing else: small enough to watch.
SAMPLE = {
    "size": "tiny",
    "out": "runs/sample",
    "steps": 400,
    "warmup_steps": 50,
    "batch_tokens": 2048,
    "seq_len": 64,
    "eval_every": 100,
    "log_every": 50,
    "save_every": 200,
    "vocab_size": 2000,
}


def main(argv: list[str] | None = None) -> int:
    """Run with a command line; returns the exit code of `run_cli`."""
    distributed.quiet_unless_first()
    try:
        return run_cli(
            "train.py",
            lambda: run_command(argv),
            stopped="stopped at once; what was saved before is whole",  # or a second Ctrl-C
            closed_pipe=None,
            report=distributed.report,
        )
    finally:
        distributed.stop()


def run_command(argv: list[str] | None) -> None:
    """Parse a command line and run it."""
    assert __doc__ is not None
    config, given = parse(PretrainConfig, "train.py", __doc__.split("\n")[0], argv)
    if not given & {"corpus", "init", "resume", "config"}:
        sample = {name: value for name, value in SAMPLE.items() if name not in given}
        if given & {"minutes", "epochs"}:
            sample.pop("steps", None)
        config = replace(config, **sample)
    with distributed.explain_rank_failure(config.rank_timeout):
        pretrain(config, given)


def pretrain(config: PretrainConfig, given: set[str]) -> None:
    """Build everything, train, let the run folder go. given: names of the flags that were typed."""
    run = build(config, given)
    print_start(run)
    try:
        with explain_out_of_memory(run.machine.device, partial(smaller_batches, run)):
            train(run)
    finally:
        close(run)


def build(config: PretrainConfig, given: set[str]) -> PretrainingRun:
    """A run that begins, or one that is read back from its checkpoint."""
    start, config = read_start(config, given)
    if config.deterministic:
        make_deterministic()
    machine = choose_machine(config.device, config.amp, config.rank_timeout)
    graphs = choose_graphs(config.cuda_graphs, machine.device, machine.ranks)

    with machine.ranks.rank0_first():  # the others find tokenizer and tokens in the cache
        tokenizer, model_config = choose_model(config, given, start)
        from_bert = start is not None and start.becomes(model_config)
        config = resolve_pretraining(config, model_config, from_bert)
        phases = parse_phases(config.seq_len, config.phases, model_config.max_positions)
        corpus = open_corpus(config, tokenizer, machine.device)
    training = start.checkpoint.training if start is not None else None  # of a run to resume
    if training is not None:
        check_same_text(training, corpus)
    batches = make_batches(config, corpus, phases, machine.device, model_config.special)
    config = resolve_steps(config, lambda: steps_per_epoch(config, batches.stream, phases))

    model = make_model(config, model_config, start, machine.device)
    learner = make_learner(config, model, machine, graphs)
    progress = restore(training, learner, batches.stream)
    folder = open_folder(config, model_config, tokenizer, machine)

    return PretrainingRun(
        config=config,
        machine=machine,
        tokenizer=tokenizer,
        origin=Origin() if start is None else start.origin,
        from_bert=from_bert,
        corpus=corpus,
        batches=batches,
        model=model,
        learner=learner,
        schedule=make_schedule(config, phases),
        progress=progress,
        folder=folder,
        log=MetricsLog(folder.path, progress.step) if folder is not None else None,
    )


def train(run: PretrainingRun) -> None:
    """The loop: step until the end or a signal, then save."""
    config, progress, schedule = run.config, run.progress, run.schedule
    stream, device = run.batches.stream, run.machine.device
    progress.start_clock()
    time_left = TimeLeft()
    fraction_done, stop, _ = agree(run)
    if progress.step and fraction_done >= 1.0:
        print("this run is already finished")
        return finish(run)

    with StopSignals() as signals, progress_bar(run) as bar:
        if config.init and not progress.step:
            evaluate_held_out(run)  # where the checkpoint stands on this text

        while fraction_done < 1.0 and not stop:
            seq_len = schedule.seq_len(progress.step, fraction_done)
            batches = [stream.next(seq_len).to(device) for _ in range(config.accumulate)]
            lr = schedule.lr(progress.step, fraction_done)
            result = train_step(run.learner, batches, lr, derive_seed(config.seed, progress.step))
            progress.count(result.sums, batches)
            bar.update()
            time_left.after_step(run, result)

            if device.type == "cpu" or progress.step % NON_FINITE_LIMIT == 0:
                stop_if_not_finite(run.learner.scale, progress.step, config.out)
            if progress.step % config.log_every == 0:
                log_step(run, result, lr, bar)
                give_memory_back()
            if progress.step % config.eval_every == 0:
                evaluate_held_out(run)
            tell_of_save(run)
            fraction_done, stop, due = agree(run, signals.asked)
            if due:
                save(run)

        bar.close()
        finish(run, stopped=stop)  # a further signal does not keep it from that


def finish(run: PretrainingRun, stopped: bool = False) -> None:
    """Save, and say how to go on; at the end of a run evaluate before, and say what came out."""
    if stopped:
        save_last(run)
        return print_stopped(run)
    missing = run.progress.step not in (record["step"] for record in evaluations(run))
    if run.machine.ranks.gather(missing)[0]:
        evaluate_held_out(run)
    save_last(run)
    if run.folder is not None:
        config = run.config
        is_new = config.on_sample and config.objective == "electra" and not config.init
        print_summary(run, compare_with_tiny_en(run.folder.checkpoint) if is_new else [])


if __name__ == "__main__":
    sys.exit(main())
