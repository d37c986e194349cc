"""Running out of memory, and runs with deterministic algorithms only."""

import os
import shutil

import pytest
import torch
from conftest import SMALL, as_flags, exit_code

import finetune
import train
from electra.checkpoint.storage import load_checkpoint

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
PROBLEMS = (
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB."),
    RuntimeError(
        "[enforce fail at alloc_cpu.cpp:117] err == 0. DefaultCPUAllocator: can't allocate"
    ),
)


@pytest.fixture(autouse=True)
def global_state(tmp_path, monkeypatch):
    """Undo after each test what the programs set for their process."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    yield
    torch.use_deterministic_algorithms(False)
    torch.utils.deterministic.fill_uninitialized_memory = True


def run(text, cache, out, *more):
    return exit_code(train.main, [
        "--corpus", text, "--size", "tiny", "--steps", 8, "--batch-tokens", 256,
        "--vocab-size", 800, "--seq-len", 32, "--save-every", 2, "--cache", cache,
        "--out", out, *as_flags(SMALL), *more,
    ])  # fmt: skip


def fail_at(monkeypatch, number, problem):
    """Make the backward pass of step `number` raise `problem`; the first step is 1."""
    backward, calls = torch.Tensor.backward, []

    def failing(*arguments, **settings):
        calls.append(1)
        if len(calls) == number:
            raise problem
        return backward(*arguments, **settings)

    monkeypatch.setattr(torch.Tensor, "backward", failing)


@pytest.mark.parametrize("problem", PROBLEMS, ids=["device", "host"])
def test_out_of_memory_is_one_line_that_names_a_smaller_batch(
    text, cache, tmp_path, monkeypatch, capsys, problem
):
    fail_at(monkeypatch, 6, problem)
    assert run(text, cache, tmp_path / "run") == 2
    error = capsys.readouterr().err.splitlines()
    assert [line for line in error if "error" in line] == error[-1:]
    assert "is out of memory; try --accumulate 2: micro-batches of 128 tokens" in error[-1]
    assert load_checkpoint(tmp_path / "run" / "ckpt.pt", ("electra",)).training.step == 4
    monkeypatch.undo()
    monkeypatch.chdir(tmp_path)
    assert exit_code(train.main, ["--out", tmp_path / "run", "--resume"]) == 0
    assert run(text, cache, tmp_path / "halved", "--accumulate", 2) == 0


def test_out_of_memory_with_one_example_left_says_so(text, cache, tmp_path, monkeypatch, capsys):
    fail_at(monkeypatch, 1, PROBLEMS[0])
    assert run(text, cache, tmp_path / "run", "--accumulate", 8) == 2
    assert "try a smaller --size, or shorter examples" in capsys.readouterr().err


def test_another_error_of_ours_is_no_lack_of_memory(text, cache, tmp_path, monkeypatch):
    fail_at(monkeypatch, 1, RuntimeError("a mistake"))
    with pytest.raises(RuntimeError, match="a mistake"):
        run(text, cache, tmp_path / "run")


def test_fine_tuning_out_of_memory_names_a_smaller_batch(pretrained, tmp_path, monkeypatch, capsys):
    start = pretrained() / "ckpt.pt"
    fail_at(monkeypatch, 2, PROBLEMS[0])
    assert exit_code(finetune.main, [
        "--task", "sst2", "--init", start, "--data", f"{ROOT}/data/sample/sst2",
        "--cache", tmp_path / "cache", "--out", tmp_path / "tuned",
    ]) == 2  # fmt: skip
    assert "is out of memory; try --batch-tokens 4096" in capsys.readouterr().err


def test_a_deterministic_run_resumes_bitwise_and_keeps_its_mode(text, cache, tmp_path, capsys):
    assert run(text, cache, tmp_path / "whole", "--deterministic") == 0
    assert torch.are_deterministic_algorithms_enabled()
    shutil.copytree(tmp_path / "whole", tmp_path / "parts")
    for name in ("ckpt-8.pt", "ckpt.pt"):
        (tmp_path / "parts" / name).unlink()
    (tmp_path / "parts" / "ckpt-6.pt").rename(tmp_path / "parts" / "ckpt.pt")
    torch.use_deterministic_algorithms(False)
    assert exit_code(train.main, ["--out", tmp_path / "parts", "--resume"]) == 0
    # The setting comes from the run's config, not from the command line.
    assert torch.are_deterministic_algorithms_enabled()
    whole, parts = (
        load_checkpoint(tmp_path / name / "ckpt.pt", ("electra",)) for name in ("whole", "parts")
    )
    assert whole.training.step == parts.training.step == 8
    assert all(torch.equal(whole.model[name], parts.model[name]) for name in whole.model)
