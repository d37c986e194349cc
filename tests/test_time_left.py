"""A run says early how long it will take, and what fits the machine."""

import shlex
from types import SimpleNamespace

import pytest
import torch

from electra.cli import parse
from electra.config import PretrainConfig, check_pretrain_flags
from electra.training import time_left
from electra.training.distributed import Ranks
from electra.training.time_left import DAY, TimeLeft, describe, fewer_passes_command

pytestmark = pytest.mark.fast


def config_of(*flags, **resolved):
    """The settings of a command line, resolved so far."""
    config, given = parse(PretrainConfig, "train.py", "", [*flags])
    check_pretrain_flags(config, given)
    filled = {"steps": None if config.minutes else 1_000, "out": "runs/x", **resolved}
    return PretrainConfig(**{**vars(config), **filled})


class Run(SimpleNamespace):
    """What is asked of a run: 1,000 steps, on 100,000 tokens, of one rank."""

    def __init__(self, config, step=1, seconds=0.0, device="cpu", ranks=None):
        super().__init__(
            config=config,
            progress=SimpleNamespace(step=step, seconds=seconds),
            corpus=SimpleNamespace(train=SimpleNamespace(num_tokens=100_000)),
            machine=SimpleNamespace(device=torch.device(device), ranks=ranks or Ranks()),
            folder="there",
        )


def steps_of(run, seconds, times, tokens=50):
    """The same steps, measured."""
    time = TimeLeft()
    for _ in range(times):
        result = SimpleNamespace(grad_norm=torch.tensor(1.0), sums={"tokens": torch.tensor(tokens)})
        time.after_step(run, result)
        run.progress.step += 1
        run.progress.seconds += seconds


def test_it_is_said_once_after_twenty_steps_without_the_first(capsys):
    run = Run(config_of(), step=1)
    run.progress.seconds = 100.0  # the first step compiled
    steps_of(run, 0.5, 20)
    assert capsys.readouterr().out == ""
    run = Run(config_of(), step=1, seconds=100.0)
    steps_of(run, 0.5, 50)
    assert capsys.readouterr().out == (
        "at this speed: 8 minutes to the end; 0.1 million tokens in all, 0.5 passes over the "
        "corpus\n"
    )


@pytest.mark.parametrize(
    ("flags", "tokens", "is_given"),
    [
        (["--size", "tiny"], 50, True),
        (["--size", "tiny"], 100_000, False),  # a step, 100 M in all: nobody knows
        (["--size", "tiny", "--objective", "mlm"], 50, False),
        (["--size", "small"], 50, False),
    ],
)
def test_a_run_of_few_tokens_is_told_which_objective_scored_higher(flags, tokens, is_given, capsys):
    steps_of(Run(config_of("--corpus", "mine.txt", *flags)), 0.5, 30, tokens)
    said = capsys.readouterr().out
    assert said.startswith("at this speed") and (time_left.ADVICE in said) == is_given


@pytest.mark.parametrize("flags", [["--size", "tiny"], ["--corpus", "x", "--init", "x.pt"]])
def test_of_the_sample_and_of_a_run_that_goes_on_no_objective_is_advised(flags, capsys):
    steps_of(Run(config_of(*flags)), 0.5, 30)
    assert "note:" not in capsys.readouterr().out


def test_of_slow_steps_thirty_seconds_are_enough(capsys):
    steps_of(Run(config_of()), 16.0, 3)
    assert "4 hours to the end" in capsys.readouterr().out


def test_all_ranks_read_a_share_and_the_first_speaks(capsys):
    steps_of(Run(config_of(), ranks=Ranks(0, 4)), 0.5, 30)
    assert "0.2 million tokens in all" in capsys.readouterr().out
    other = Run(config_of(), ranks=Ranks(1, 4))
    other.folder = None
    steps_of(other, 0.5, 30)
    assert capsys.readouterr().out == ""


def test_a_resumed_run_counts_what_is_left(capsys):
    steps_of(Run(config_of(), step=901), 1.0, 30)
    assert "79 seconds to the end; 0.1 million" in capsys.readouterr().out


def test_a_run_by_the_clock_says_how_much_it_will_read():
    line = describe(Run(config_of("--minutes", "10"), step=60, seconds=60.0), 1.0, 2_000.0)
    assert line == (
        "at this speed: 9 minutes to the end; 1.2 million tokens in all, 12 passes over the corpus"
    )


def command_in(line):
    """The flags of the command that a line ends with."""
    program, name, *flags = shlex.split(line[line.index("python train.py") :])
    assert (program, name) == ("python", "train.py")
    return flags


def test_more_than_a_day_on_a_cpu_gets_the_command_that_fits_it():
    corpus = ("my text's/*.txt", "b.raw")
    config = config_of("--corpus", *corpus, "--errors", "replace", "--objective", "mlm")
    line = describe(Run(config), 6_000.0, 10.0)
    assert line.startswith("at this speed: 69 days to the end;")
    flags = command_in(line)
    assert flags[-4:] == ["--size", "tiny", "--minutes", "60"]
    again = config_of(*flags)
    assert (again.corpus, again.errors, again.objective) == (corpus, "replace", "mlm")
    assert "what fits" not in describe(Run(config), 0.9 * DAY / 999, 10.0)


@pytest.mark.parametrize(
    ("flags", "device", "expected"),
    [
        (["--size", "base"], "cuda", ["--size", "base", "--minutes", "1440"]),
        (["--init", "a b.pt"], "cpu", ["--init", "a b.pt", "--minutes", "60"]),
        (["--init", "a.pt"], "cuda", ["--init", "a.pt", "--minutes", "1440"]),
    ],
)
def test_a_gpu_keeps_the_size_and_a_checkpoint_has_its_own(flags, device, expected):
    line = describe(Run(config_of("--corpus", "a.txt", *flags), device=device), 6_000.0, 10.0)
    assert command_in(line) == ["--corpus", "a.txt", *expected]
    config_of(*command_in(line))


def test_the_shorter_run_has_another_folder():
    config = config_of("--corpus", "a.txt", "--size", "tiny", out="runs/a-tiny-electra")
    flags = command_in(describe(Run(config), 6_000.0, 10.0))
    assert config_of(*flags).out == "runs/x" and flags[-2:] == [
        "--out",
        "runs/a-tiny-electra-short",
    ]


def test_a_corpus_of_many_files_is_named_by_the_settings_of_the_run():
    config = config_of("--corpus", *(f"texts/part-{i:05}.txt" for i in range(1_000)))
    assert command_in(describe(Run(config), 6_000.0, 10.0)) == [
        *("--config", "runs/x/config.json", "--size", "tiny", "--minutes", "60"),
        *("--out", "runs/x-short"),
    ]


def test_more_than_forty_passes_get_a_command_with_fewer():
    config = config_of("--corpus", "a.txt")
    assert "fewer" not in describe(Run(config), 1.0, 3_999.0)
    line = describe(Run(config), 1.0, 4_001.0)
    assert line.endswith(
        "40 passes over the corpus; with fewer passes: python train.py --config "
        "runs/x/config.json --epochs 40 --out runs/x-40-epochs"
    )
    assert ["python", "train.py", *command_in(line)] == fewer_passes_command(config)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 seconds"),
        (119, "119 seconds"),
        (120, "2 minutes"),
        (7_200, "2 hours"),
        (DAY * 2, "2 days"),
    ],
)
def test_durations(seconds, text):
    assert time_left._duration(seconds) == text


@pytest.mark.parametrize(
    ("tokens", "text"), [(1e5, "0.1 million"), (2.5e7, "25 million"), (1.6e10, "16 billion")]
)
def test_counts_of_tokens(tokens, text):
    assert time_left._count(tokens) == text
