"""Checkpoints that judge texts, and predict.py as a user runs it."""

import csv
import importlib.util
import io
import sys
from pathlib import Path

import pytest

import finetune

ROOT = Path(__file__).resolve().parent.parent.parent
SCRIPT = ROOT / "scripts" / "predict.py"
_spec = importlib.util.spec_from_file_location("predict", SCRIPT)
program = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(program)


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="session")
def electra(pretrained):
    return pretrained("electra") / "ckpt.pt"


@pytest.fixture(scope="session")
def classifier(folder, electra):
    """Of single texts: sst2, with sentences that a few steps can tell apart."""
    for name, count in (("train.tsv", 240), ("dev.tsv", 80)):
        lines = [f"the {('moon', 'river')[i % 2]} was number {i}\t{i % 2}" for i in range(count)]
        (folder / "told apart").mkdir(exist_ok=True)
        (folder / "told apart" / name).write_text(
            "\n".join(["sentence\tlabel", *lines]) + "\n", encoding="utf-8"
        )
    flags = [
        "--task",
        "sst2",
        "--data",
        folder / "told apart",
        "--init",
        electra,
        "--epochs",
        3,
        "--lr",
        1e-3,
        "--max-len",
        32,
        "--amp",
        "off",
        "--out",
        folder / "sst2",
    ]
    assert finetune.main([str(flag) for flag in flags]) == 0
    return folder / "sst2" / "ckpt.pt"


@pytest.fixture(scope="session")
def pairs(folder, electra):
    """A classifier of pairs, which says whether the two are the same word."""
    with open(folder / "pairs.csv", "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(("one", "two", "same"))
        writer.writerows(
            (a, b, a == b)
            for a in ("sun", "moon", "rain")
            for b in ("sun", "moon", "rain")
            for _ in "12"
        )
    flags = [
        "--task",
        "csv",
        "--data",
        folder / "pairs.csv",
        "--text-columns",
        "one,two",
        "--label-column",
        "same",
        "--init",
        electra,
        "--epochs",
        1,
        "--out",
        folder / "pairs",
    ]
    assert finetune.main([str(flag) for flag in flags]) == 0
    return folder / "pairs" / "ckpt.pt"


@pytest.fixture
def ask(capsys, monkeypatch):
    """ask(arguments, stdin=bytes) -> the lines that come out. The exit code has to be 0."""

    def run(*arguments, stdin=b""):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin), encoding="utf-8"))
        capsys.readouterr()
        code = program.main([str(argument) for argument in arguments])
        said = capsys.readouterr()
        assert (code, said.err) == (0, "")
        return said.out.splitlines()

    return run


@pytest.fixture
def refused(capsys, monkeypatch):
    """Exit code 2 and one line that says why."""

    def check(match, *arguments, stdin=b""):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin), encoding="utf-8"))
        capsys.readouterr()
        try:
            code = program.main([str(argument) for argument in arguments])
        except SystemExit as stop:
            code = stop.code
        error = capsys.readouterr().err
        assert code == 2 and error.startswith("predict.py: error: ") and error.count("\n") == 1, (
            error
        )
        assert match in error

    return check
