"""How long a run will take by its measured speed, said once, after the first steps."""

from __future__ import annotations

import shlex
from dataclasses import Field, fields
from pathlib import Path

from torch import Tensor
from tqdm import tqdm

from electra.config import PretrainConfig, default_out, flag_of
from electra.training.pretraining_run import PretrainingRun
from electra.training.step import StepResult

ENOUGH_STEPS, ENOUGH_SECONDS = 20, 30.0  # to know the speed: the one or the other
DAY, MANY_PASSES = 86_400.0, 40.0
LONGEST_FLAGS = 300  # characters; a corpus may be named file by file
# After 100 minutes of one core (73 and 88 M tokens), a tiny BERT scored higher than a tiny ELECTRA
# (docs/recipes.md). Of more tokens nothing is known.
BERT_AHEAD = 90e6
ADVICE = (
    "note: after 100 minutes of one core, a tiny BERT (--objective mlm) scored higher in "
    "fine-tuning than a tiny ELECTRA: docs/recipes.md"
)
KEPT_GROUPS = ("text", "tokenizer", "model")  # of flags that a shorter run takes over


class TimeLeft:
    """Measures the first steps of a run, on the first rank."""

    def __init__(self) -> None:
        self._begin: tuple[int, float] | None = None  # step and seconds after the first step
        self._tokens: Tensor | float = 0.0  # of the steps since then
        self._said = False

    def after_step(self, run: PretrainingRun, result: StepResult) -> None:
        """Say once how long the run will take. Waits for the device twice in a run."""
        if self._said or run.folder is None:
            return
        if self._begin is None:  # the first step also compiles, and fills caches
            float(result.grad_norm)
            self._begin = run.progress.step, run.progress.seconds
            return

        self._tokens = self._tokens + result.sums["tokens"]
        steps = run.progress.step - self._begin[0]
        if steps < ENOUGH_STEPS and run.progress.seconds - self._begin[1] < ENOUGH_SECONDS:
            return
        tokens = float(self._tokens) * run.machine.ranks.world_size / steps
        seconds = (run.progress.seconds - self._begin[1]) / steps
        self._said = True
        tqdm.write(describe(run, seconds, tokens))
        if advice := objective_advice(run.config, total_steps(run, seconds) * tokens):
            tqdm.write(advice)


def describe(run: PretrainingRun, seconds: float, tokens: float) -> str:
    """One line about a run whose step takes so many seconds and reads so many tokens."""
    config = run.config
    steps = total_steps(run, seconds)
    left = (steps - run.progress.step) * seconds
    passes = steps * tokens / run.corpus.train.num_tokens
    line = (
        f"at this speed: {_duration(left)} to the end; {_count(steps * tokens)} tokens in all, "
        f"{passes:,.{1 if passes < 10 else 0}f} passes over the corpus"
    )
    if left > DAY:
        command = shorter_command(config, run.machine.device.type == "cpu")
        line += f"; what fits this machine: {shlex.join(command)}"
    elif passes > MANY_PASSES:
        line += f"; with fewer passes: {shlex.join(fewer_passes_command(config))}"
    return line


def total_steps(run: PretrainingRun, seconds: float) -> float:
    """Steps of the whole run, of which each takes so many seconds."""
    config, progress = run.config, run.progress
    if not config.minutes:
        assert config.steps is not None
        return config.steps
    return progress.step + max(0.0, 60 * config.minutes - progress.seconds) / seconds


def objective_advice(config: PretrainConfig, tokens: float) -> str:
    """What is known of the objective for a run of so many tokens; empty where nothing is."""
    is_known = config.objective == "electra" and config.size == "tiny" and not config.init
    return ADVICE if is_known and not config.on_sample and tokens <= BERT_AHEAD else ""


def shorter_command(config: PretrainConfig, on_cpu: bool) -> list[str]:
    """The command of a run that fits the machine: tiny for an hour on a CPU, else a day."""
    assert config.out is not None
    changes = ["--minutes", "60" if on_cpu else f"{DAY / 60:.0f}"]
    size = config.size
    if on_cpu and not config.init:  # a checkpoint has its size
        size, changes = "tiny", ["--size", "tiny", *changes]
    elif not config.init:
        changes = ["--size", size, *changes]
    flags = [part for item in fields(config) for part in _flag(config, item)]
    if len(shlex.join(flags)) > LONGEST_FLAGS:  # the file names the corpus, too
        flags = ["--config", str(Path(config.out) / "config.json")]
    elif default_out(config.corpus, size, config.objective) != config.out:
        return ["python", "train.py", *flags, *changes]
    return ["python", "train.py", *flags, *changes, "--out", f"{config.out}-short"]


def fewer_passes_command(config: PretrainConfig) -> list[str]:
    """The command of the same run with `MANY_PASSES` over its corpus."""
    assert config.out is not None
    config_file, passes = str(Path(config.out) / "config.json"), f"{MANY_PASSES:g}"
    command = ["python", "train.py", "--config", config_file, "--epochs", passes]
    return [*command, "--out", f"{config.out}-{passes}-epochs"]


def _flag(config: PretrainConfig, item: Field) -> list[str]:
    """The flag of a setting that a shorter run keeps, where it is not the default."""
    value, of_size = getattr(config, item.name), ("size", *PretrainConfig.FOLLOWERS["size"])
    if item.metadata["group"] not in KEPT_GROUPS or item.name in of_size or value == item.default:
        return []
    if value is True:
        return [flag_of(item.name)]
    return [flag_of(item.name), *(map(str, value) if isinstance(value, tuple) else [str(value)])]


def _duration(seconds: float) -> str:
    """Seconds in the unit that suits them."""
    for size, name in ((DAY, "days"), (3_600.0, "hours"), (60.0, "minutes")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {name}"
    return f"{seconds:.0f} seconds"


def _count(tokens: float) -> str:
    """So many tokens, in millions or billions."""
    if tokens >= 1e10:
        return f"{tokens / 1e9:,.0f} billion"
    return f"{tokens / 1e6:,.{1 if tokens < 1e7 else 0}f} million"
