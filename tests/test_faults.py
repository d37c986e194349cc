"""Whole runs that are disturbed end as the undisturbed one: a few of each fault that is quick to make. The others, and many
more of these: tests/faults/harness.py. What is killed is a process of its own; what goes on after it is a call of `main`."""

import contextlib
import io
import random

import pytest

import train
from conftest import exit_code
from faults import harness, with_nan

PROGRAMS = {"train.py": train.main, "tests/faults/with_nan.py": with_nan.main}
SHORT = {"kill": 3, "kill while saving": 1, "kill while tokenising": 1, "terminate": 1, "flip in ckpt.pt": 1,
         "flip in tokens.bin": 1, "flip in the tokenizer": 1, "jumping clock": 1, "nan": 1, "two at once": 1,
         "removed folder": 1}


def run_here(program, *arguments):
    """A program to its end, as a call of its `main`."""
    said, error = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(error):
        code = exit_code(PROGRAMS[program], arguments)
    return harness.Ended(code, said.getvalue(), error.getvalue())


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    return harness.Bench(tmp_path_factory.mktemp("bench"), run=run_here)


@pytest.mark.parametrize("fault", SHORT)
def test_a_disturbed_run_ends_as_the_undisturbed_one(fault, bench, tmp_path):
    seed = random.randrange(1_000_000)
    *_, row = harness.repeat(fault, bench, SHORT[fault], seed, tmp_path / "kept")
    assert row.findings == [] and sum(row.outcomes.values()) == SHORT[fault]


def test_the_harness_notices_a_run_that_differs(bench, tmp_path, monkeypatch):
    """Every byte of a checkpoint can be whole, and the run another."""
    monkeypatch.setattr(harness, "SETTINGS", (*harness.SETTINGS, "--seed", 1))
    other = harness.Bench(tmp_path, run=run_here)
    with pytest.raises(harness.Broken, match="differs"):
        bench.check(other.whole, other.cache)
    (bench.whole / ".ckpt.pt.1").write_bytes(b"half")
    with pytest.raises(harness.Broken, match="left behind"):
        bench.check(bench.whole, bench.cache)
    (bench.whole / ".ckpt.pt.1").unlink()
    bench.check(bench.whole, bench.cache)
