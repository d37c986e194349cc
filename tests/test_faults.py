"""Disturbed runs end like an undisturbed one.

These are a few cases of the quick faults. tests/faults/harness.py makes many more, and the slow
faults too. A run that is killed has its own process, without a new interpreter where none is
needed; to continue it, the test calls `main`.
"""

import contextlib
import io
import random
import shutil

import forked
import pytest
from conftest import exit_code
from faults import harness, with_nan

import train
from electra.checkpoint.storage import load_checkpoint, save_checkpoint

PROGRAMS = {"train.py": train.main, "tests/faults/with_nan.py": with_nan.main}
MODEL = ("--hidden-size", 64, "--intermediate-size", 128, "--num-layers", 2)
SHORT = {
    "kill": 1,
    "kill while saving": 1,
    "kill while tokenising": 1,
    "terminate": 1,
    "flip in ckpt.pt": 1,
    "jumping clock": 1,
    "nan": 1,
    "two at once": 1,
}


def run_here(program, *arguments):
    """Run a program to its end by a call of its `main`."""
    said, error = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(error):
        code = exit_code(PROGRAMS[program], arguments)
    return harness.Ended(code, said.getvalue(), error.getvalue())


def start(command, **settings):
    """Start a program whose steps are slow enough to be disturbed on a busy machine."""
    return forked.Popen(command, **settings, pause=0.05)


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    return harness.Bench(
        tmp_path_factory.mktemp("bench"), steps=12, run=run_here, start=start, model=MODEL
    )


@pytest.mark.parametrize("fault", SHORT)
def test_a_disturbed_run_ends_as_the_undisturbed_one(fault, bench, tmp_path):
    seed = random.randrange(1_000_000)
    *_, row = harness.repeat(fault, bench, SHORT[fault], seed, tmp_path / "kept")
    assert row.findings == [] and sum(row.outcomes.values()) == SHORT[fault]


@pytest.mark.parametrize("part", ("weight", "moment", "log", "half a file"))
def test_the_harness_notices_what_differs(part, bench, tmp_path):
    out, cache = tmp_path / "run", tmp_path / "cache"
    shutil.copytree(bench.whole, out, ignore=shutil.ignore_patterns("ckpt-*"))
    bench.check(out, cache)
    checkpoint = load_checkpoint(out / "ckpt.pt", ("electra",))
    if part == "weight":
        next(iter(checkpoint.model.values())).view(-1)[0].add_(1e-3)
    elif part == "moment":
        checkpoint.training.optimizer["exp_avg_sq"][-1].view(-1)[0].add_(1e-3)
    elif part == "log":
        log = (out / "metrics.jsonl").read_text()
        (out / "metrics.jsonl").write_text(
            log.replace('"skipped_steps": 0', '"skipped_steps": 1', 1)
        )
    else:
        (out / ".ckpt.pt.1").write_bytes(b"half")
    save_checkpoint(out / "ckpt.pt", checkpoint)
    with pytest.raises(harness.Broken, match="left behind" if part == "half a file" else "differ"):
        bench.check(out, cache)
