"""When a pre-training run saves and stops, and what it then writes."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

from tqdm import tqdm

from electra.checkpoint.checkpoint import TrainingState, make_checkpoint
from electra.training.pretraining_run import PretrainingRun


class Decision(NamedTuple):
    """What all ranks do after a step."""

    fraction_done: float  # of the run, in [0, 1]
    stop: bool
    save: bool


def agree(run: PretrainingRun, stop_asked: bool = False) -> Decision:
    """What to do next, the same on all ranks: by the first one's clock, and by anyone's signal."""
    progress, config = run.progress, run.config
    said = 0.0, False
    if run.machine.ranks.first:
        done = run.schedule.fraction_done(progress.step, progress.seconds)
        said = done, progress.is_save_due(config.save_every, config.save_minutes)
    fraction_done, due, stop = run.machine.ranks.all_reduce_max(*said, stop_asked)
    return Decision(fraction_done, bool(stop), bool(due))


def tell_of_save(run: PretrainingRun, wait: bool = False) -> None:
    """Say why the last save has failed, if so. The run goes on: the next save tries again."""
    if run.folder is not None:
        _tell(run.folder.wait_for_save(wait))


def _tell(problem: str | None) -> None:
    """Print why a save has failed; None where it has not."""
    if problem:
        tqdm.write(f"not saved: {problem}")


def save(run: PretrainingRun) -> None:
    """Hand the state over to the thread that writes it, after the save before it is done.

    All ranks have to call it.
    """
    progress, learner = run.progress, run.learner
    progress.gather_window(run.machine.ranks)
    optimizer = learner.optimizer.state_dict()  # from all ranks, where it is shared over them
    progress.has_tried_to_save()
    if run.folder is None:
        return
    tell_of_save(run, wait=True)
    training = TrainingState(
        step=progress.step,
        seconds=progress.seconds,
        corpus_tokens=run.corpus.num_tokens,
        fingerprints=run.corpus.fingerprints,
        optimizer=optimizer,
        scale=learner.scale.state_dict(),
        stream=run.batches.stream.state(),
        window=progress.window,
        padded_tokens=progress.padded_tokens,
        window_seconds=progress.window_seconds,
    )
    settings = replace(run.config, resume=False)
    checkpoint = make_checkpoint(run.model, run.tokenizer, settings, training)
    checkpoint.origin = run.origin
    run.folder.save(checkpoint, progress.step, run.config.keep)


def save_last(run: PretrainingRun) -> None:
    """Save and wait until it is done. Raises ValueError where this step is not on the disk then."""
    save(run)
    if run.folder is None or run.log is None:
        return
    problem = run.folder.wait_for_save()
    if problem and run.folder.saved_step != run.progress.step:
        raise ValueError(f"step {run.progress.step:,} is not saved: {problem}")
    _tell(problem)
    run.log.flush()  # the save may have made a removed folder again


def close(run: PretrainingRun) -> None:
    """Wait for a save that is under way, say how it went, and let the run folder go."""
    if run.folder is not None:
        tell_of_save(run, wait=True)
        run.folder.close()
