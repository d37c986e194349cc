"""train.py as a user runs it: the files of a run, stopping and resuming, and mistakes.

Most runs are calls of `main`, which take a second. A run gets its own process only if it needs one.
"""

import contextlib
import errno
import json
import math
import os
import pickle
import random
import re
import resource
import shutil
import signal
import sys
import time
import types
from dataclasses import fields, replace
from pathlib import Path

import forked
import pytest
import torch
from conftest import SMALL, as_flags, exit_code
from faults.harness import difference, metrics_of

import train as program
from electra.checkpoint import run_folder, storage
from electra.checkpoint.checkpoint import FORMAT, PRETRAINED, make_checkpoint
from electra.checkpoint.run_folder import RunFolder
from electra.checkpoint.storage import load_checkpoint, save_checkpoint, write_sealed
from electra.config import SIZES, FinetuneConfig, PretrainConfig, preset_model_config
from electra.data import text_files
from electra.data.spans import SpanBatches
from electra.model.classifier import Classifier
from electra.training import pretraining_log, progress

ROOT = Path(__file__).resolve().parent.parent
LONG = 24  # steps of the runs that stop and resume


@pytest.fixture
def flags(text, cache, tmp_path, monkeypatch):
    """flags(**changes) -> the command line of a small run into tmp_path/run.

    The working folder is tmp_path.
    """
    monkeypatch.chdir(tmp_path)
    return lambda **changes: small_run(text, cache, **{"out": tmp_path / "run", **changes})


def small_run(text, cache, /, **changes):
    """The command line of a short run on the text; None leaves a setting out."""
    settings = {
        **({} if "init" in changes else SMALL),
        "corpus": text,
        "size": "tiny",
        "steps": 12,
        "batch_tokens": 256,
        "vocab_size": 800,
        "seq_len": 32,
        "save_every": 4,
        "eval_every": 6,
        "log_every": 2,
        "cache": cache,
        **changes,
    }
    return as_flags(settings)


def train(*arguments):
    return exit_code(program.main, arguments)


def long_run(text, cache, out):
    return small_run(
        text,
        cache,
        objective="mlm",
        out=out,
        steps=LONG,
        phases="32:0.5,64:0.5",
        seq_len=None,
        eval_every=8,
        log_every=1,
    )


@pytest.fixture(scope="module")
def whole(text, cache, tmp_path_factory):
    """Folder of a long BERT run without a stop. test_faults.py has those of ELECTRA."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    assert train(*long_run(text, cache, folder)) == 0
    return folder


def start(arguments, folder):
    """Start train.py in its own process, in `folder`."""
    return forked.Popen([sys.executable, ROOT / "train.py", *arguments], folder, pause=0.05)


def wait_for_step(process, folder, step):
    """Wait until the log has that step."""
    log = folder / "metrics.jsonl"
    until = time.monotonic() + 60
    while not log.exists() or f'{{"step": {step}, ' not in log.read_text():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < until
        time.sleep(0.005)


def wait_for_file(path):
    """Wait until a thread has written the file."""
    until = time.monotonic() + 60
    while not path.exists():
        assert time.monotonic() < until
        time.sleep(0.005)


def load(folder):
    return load_checkpoint(folder / "ckpt.pt", PRETRAINED)


def assert_same_run(first, second):
    """Assert equal weights, optimizer states, positions in the data and logs."""
    assert difference(first, second) is None


def refused(capsys, match, *arguments):
    """Assert exit code 2 and one line that says why."""
    capsys.readouterr()
    assert train(*arguments) == 2
    error = capsys.readouterr().err
    assert error.startswith("train.py: error: ") and error.count("\n") == 1, error
    assert match in error


# ---------------------------------------------------------------- a run


@pytest.mark.parametrize("objective", ("electra", "mlm"))
def test_a_run_leaves_all_its_files(objective, flags, tmp_path, capsys):
    assert train(*flags(objective=objective)) == 0
    run = tmp_path / "run"
    assert {path.name for path in run.iterdir() if not path.name.startswith(".")} - {
        "tensorboard"
    } == {"config.json", "metrics.jsonl", "tokenizer.model", "ckpt.pt", "ckpt-8.pt", "ckpt-12.pt"}
    config = json.loads((run / "config.json").read_text())
    assert config["objective"] == config["model"]["objective"] == objective
    assert all(
        config[name] is not None for name in ("lr", "warmup_steps", "batch_tokens", "dropout")
    )
    assert [record["step"] for record in metrics_of(run, "train")] == [2, 4, 6, 8, 10, 12]
    assert [record["step"] for record in metrics_of(run, "valid")] == [6, 12]
    assert ("rtd_auc_unigram" in metrics_of(run, "valid")[0]) == (objective == "electra")
    checkpoint = load(run)
    assert checkpoint.kind == objective and checkpoint.training.step == 12
    assert checkpoint.tokenizer.to_bytes() == (run / "tokenizer.model").read_bytes()
    said = capsys.readouterr().out
    assert f"finetune.py --task sst2 --init {run / 'ckpt.pt'}" in said


def test_training_learns(flags, tmp_path):
    assert train(*flags(objective="mlm", steps=40, lr=1e-2, eval_every=40)) == 0
    # The loss of an untrained model is log(800).
    assert metrics_of(tmp_path / "run", "valid")[0]["mlm_loss"] < math.log(800) - 0.8


def test_same_command_same_run_and_another_seed_another(flags, tmp_path):
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        assert train(*flags(out=tmp_path / name, seed=seed, steps=4)) == 0
    assert_same_run(tmp_path / "a", tmp_path / "b")
    assert metrics_of(tmp_path / "a") != metrics_of(tmp_path / "c")


def test_minutes_end_the_run_and_the_learning_rate(flags, tmp_path):
    assert (
        train(
            *flags(
                steps=None,
                minutes=0.05,
                batch_tokens=128,
                log_every=1,
                eval_every=1000,
                save_every=1000,
            )
        )
        == 0
    )
    training = load(tmp_path / "run").training
    assert 3 <= training.seconds < 6 and training.step > 5
    rates = [record["lr"] for record in metrics_of(tmp_path / "run", "train")]
    assert rates[-1] < 0.2 * max(rates)
    assert [record["step"] for record in metrics_of(tmp_path / "run", "valid")] == [training.step]


def test_half_an_epoch_is_half_of_the_corpus(flags, tmp_path, capsys):
    assert train(*flags(steps=None, epochs=0.5, batch_tokens=1024, eval_every=1000)) == 0
    line = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("text: "))
    tokens = int(line.split()[1].replace(",", ""))
    steps = load(tmp_path / "run").training.step
    # `tokens` does not include special tokens and padding.
    assert 0.5 * tokens / 1024 <= steps <= 0.7 * tokens / 1024


def test_accumulate_takes_that_many_micro_batches_a_step(flags, tmp_path):
    assert train(*flags(steps=6, accumulate=2)) == 0
    training = load(tmp_path / "run").training
    assert (training.step, training.stream) == (6, {32: (0, 12)})
    assert all(record["skipped_steps"] == 0 for record in metrics_of(tmp_path / "run", "train"))


def test_without_tensorboard_nothing_is_missed(flags, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    assert train(*flags(steps=4)) == 0
    assert (
        not (tmp_path / "run" / "tensorboard").exists() and len(metrics_of(tmp_path / "run")) == 3
    )


def test_with_tensorboard_it_gets_every_figure(flags, tmp_path, monkeypatch):
    written = []
    writer = types.SimpleNamespace(
        add_scalar=lambda *scalar: written.append(scalar), flush=lambda: None
    )
    monkeypatch.setitem(
        sys.modules,
        "torch.utils.tensorboard",
        types.SimpleNamespace(SummaryWriter=lambda *args, **settings: writer),
    )
    assert train(*flags(steps=4)) == 0
    assert {(name, step) for name, _, step in written} == {
        (f"{record['split']}/{name}", record["step"])
        for record in map(json.loads, (tmp_path / "run" / "metrics.jsonl").read_text().splitlines())
        for name in record
        if name not in ("step", "split")
    }


def test_the_sample_is_the_default_and_a_flag_still_counts(
    text, cache, tmp_path, monkeypatch, capsys
):
    (tmp_path / "data" / "sample").mkdir(parents=True)
    (tmp_path / "data" / "sample" / "wiki.raw").write_bytes(text.read_bytes())
    monkeypatch.chdir(tmp_path)
    assert train("--steps", 2, "--cache", cache, "--batch-tokens", 512) == 0
    config = json.loads((tmp_path / "runs" / "sample" / "config.json").read_text())
    assert (config["size"], config["steps"], config["batch_tokens"]) == ("tiny", 2, 512)
    capsys.readouterr()
    assert train("--steps", 1, "--cache", cache, "--batch-tokens", 512, "--out", "foo") == 0
    assert "--init foo/ckpt.pt --data data/sample/sst2" in capsys.readouterr().out


def test_another_corpus_in_the_sample_s_folder_is_not_taken_for_the_sample(flags, capsys):
    assert train(*flags(out="runs/sample", steps=1)) == 0
    said = capsys.readouterr().out
    assert "--init runs/sample/ckpt.pt --data data/SST-2" in said and "YOUR_TEXT" not in said


def test_help_names_every_setting(capsys):
    assert train("--help") == 0
    said, error = capsys.readouterr()
    assert error == ""
    assert [
        item.name
        for item in fields(PretrainConfig)
        if f"--{item.name.replace('_', '-')} " not in said
    ] == []


# ---------------------------------------------------------------- stop and resume


def test_killed_and_resumed_is_bitwise_the_run_that_was_never_stopped(text, cache, whole, tmp_path):
    step = random.randrange(5, 17)
    print(f"killed at step {step}")
    process = start(long_run(text, cache, tmp_path / "run"), tmp_path)
    try:
        wait_for_step(process, tmp_path / "run", step)
        wait_for_file(tmp_path / "run" / "ckpt.pt")
    finally:
        process.kill()
        process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert load(tmp_path / "run").training.step < LONG
    assert train("--out", tmp_path / "run", "--resume") == 0
    assert_same_run(tmp_path / "run", whole)


def test_ctrl_c_saves_and_says_how_to_go_on(text, cache, whole, tmp_path):
    process = start(long_run(text, cache, tmp_path / "run"), tmp_path)
    try:
        wait_for_step(process, tmp_path / "run", random.randrange(2, 17))
        process.send_signal(signal.SIGINT)
        said, error = process.communicate(timeout=60)
    finally:
        process.kill()
    assert (process.returncode, error) == (0, "")
    assert said.splitlines()[-1] == f"  python train.py --out {tmp_path / 'run'} --resume"
    assert load(tmp_path / "run").training.step < LONG
    assert train("--out", tmp_path / "run", "--resume") == 0
    assert_same_run(tmp_path / "run", whole)


def stop_in_step(monkeypatch, step, act):
    """Call `act` in that step of the next run."""
    real, calls = program.train_step, []

    def train_step(*arguments):
        calls.append(1)
        if len(calls) == step:
            act()
        return real(*arguments)

    monkeypatch.setattr(program, "train_step", train_step)


def test_a_stop_between_two_lines_of_the_log_changes_no_line(flags, tmp_path, monkeypatch):
    assert train(*flags(out=tmp_path / "whole", steps=8, log_every=4)) == 0
    with monkeypatch.context() as patch:
        stop_in_step(patch, 3, lambda: os.kill(os.getpid(), signal.SIGTERM))
        assert train(*flags(steps=8, log_every=4)) == 0
    assert load(tmp_path / "run").training.step == 3
    assert train("--out", tmp_path / "run", "--resume") == 0
    assert_same_run(tmp_path / "run", tmp_path / "whole")


def test_interleaved_lengths_have_their_shares_and_resume_exactly(flags, tmp_path, monkeypatch):
    mixed = {
        "phases": "16:0.5,32:0.25,64:0.25",
        "seq_len": None,
        "interleave": True,
        "steps": 24,
        "log_every": 8,
        "save_every": 100,
        "eval_every": 12,
    }
    seen = []
    collate = SpanBatches.next
    monkeypatch.setattr(
        SpanBatches,
        "next",
        lambda self, length: seen.append(length) or collate(self, length),
    )
    assert train(*flags(out=tmp_path / "whole", **mixed)) == 0
    lengths = seen[-24:]  # earlier ones belong to the held-out text
    assert lengths != sorted(lengths) and 7 <= lengths.count(16) <= 17 and {32, 64} < set(lengths)
    with monkeypatch.context() as patch:
        stop_in_step(patch, 11, lambda: os.kill(os.getpid(), signal.SIGTERM))
        assert train(*flags(**mixed)) == 0
    assert train("--out", tmp_path / "run", "--resume") == 0
    assert seen[-13:] == lengths[-13:]
    assert_same_run(tmp_path / "run", tmp_path / "whole")
    for split in ("valid", "valid_32", "valid_64"):
        assert [record["step"] for record in metrics_of(tmp_path / "run", split)] == [12, 24]


def test_a_run_with_cuda_graphs_goes_on_where_there_can_be_none(
    flags, tmp_path, monkeypatch, capsys
):
    with monkeypatch.context() as patch:
        patch.setattr(program, "choose_graphs", lambda *arguments: None)  # in place of a GPU
        stop_in_step(patch, 5, lambda: os.kill(os.getpid(), signal.SIGTERM))
        assert train(*flags(cuda_graphs=True)) == 0
    refused(capsys, "take --no-cuda-graphs", "--out", tmp_path / "run", "--resume")
    assert train("--out", tmp_path / "run", "--resume", "--no-cuda-graphs") == 0
    assert [record["step"] for record in metrics_of(tmp_path / "run", "valid")] == [6, 12]


def test_a_stop_in_the_last_step_still_ends_with_an_evaluation(flags, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        stop_in_step(patch, 4, lambda: os.kill(os.getpid(), signal.SIGTERM))
        assert train(*flags(steps=4, eval_every=1000)) == 0
    assert train("--out", tmp_path / "run", "--resume") == 0
    assert [record["step"] for record in metrics_of(tmp_path / "run", "valid")] == [4]


def test_killed_before_the_last_evaluation_it_is_made_up_for(flags, tmp_path, monkeypatch):
    def interrupt(*arguments):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(pretraining_log, "evaluate", interrupt)
        assert train(*flags(steps=4, eval_every=1000)) == 130
    assert train("--out", tmp_path / "run", "--resume") == 0
    assert [record["step"] for record in metrics_of(tmp_path / "run", "valid")] == [4]


def test_a_signal_after_the_last_step_lets_the_run_end(flags, tmp_path, monkeypatch):
    real = pretraining_log.evaluate

    def evaluate(*arguments):
        os.kill(os.getpid(), signal.SIGTERM)
        return real(*arguments)

    monkeypatch.setattr(pretraining_log, "evaluate", evaluate)
    assert train(*flags(steps=4, eval_every=1000)) == 0
    assert load(tmp_path / "run").training.step == 4
    assert [record["step"] for record in metrics_of(tmp_path / "run", "valid")] == [4]


def test_a_second_signal_stops_at_once(flags, tmp_path, monkeypatch, capsys):
    def twice():
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)

    stop_in_step(monkeypatch, 6, twice)
    assert train(*flags()) == 130
    assert load(tmp_path / "run").training.step == 4
    assert "stopped at once" in capsys.readouterr().err


@contextlib.contextmanager
def dead_terminal():
    """Standard output and error are a pipe without a reader: every write fails."""
    reader, writer = os.pipe()
    os.close(reader)
    with (
        open(writer, "w") as stream,
        contextlib.redirect_stdout(stream),
        contextlib.redirect_stderr(stream),
    ):
        yield


def test_a_closed_terminal_saves_and_a_run_without_output_goes_on(flags, tmp_path, monkeypatch):
    with monkeypatch.context() as patch, dead_terminal():
        stop_in_step(patch, 5, lambda: os.kill(os.getpid(), signal.SIGHUP))
        assert train(*flags()) == 0
    assert load(tmp_path / "run").training.step == 5
    with dead_terminal():
        assert train("--out", tmp_path / "run", "--resume") == 0
    assert [record["step"] for record in metrics_of(tmp_path / "run", "valid")] == [6, 12]


def test_handlers_of_signals_are_put_back(flags):
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = [signal.getsignal(number) for number in numbers]
    assert train(*flags(steps=1)) == 0
    assert [signal.getsignal(number) for number in numbers] == before


@pytest.mark.parametrize("eval_every", (2, 3))
def test_resuming_a_finished_run_changes_nothing(eval_every, flags, tmp_path, capsys):
    assert train(*flags(steps=4, eval_every=eval_every, keep=1)) == 0
    weights, log = load(tmp_path / "run").model, (tmp_path / "run" / "metrics.jsonl").read_text()
    for _ in range(2):
        assert train("--out", tmp_path / "run", "--resume") == 0
    assert all(
        torch.equal(value, weights[name]) for name, value in load(tmp_path / "run").model.items()
    )
    assert (tmp_path / "run" / "metrics.jsonl").read_text() == log


def test_a_line_that_a_kill_cut_off_goes_away(flags, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        stop_in_step(patch, 8, lambda: os.kill(os.getpid(), signal.SIGTERM))
        assert train(*flags()) == 0
    with open(tmp_path / "run" / "metrics.jsonl", "a") as file:
        file.write('{"step": 8, "spl')
    assert train("--out", tmp_path / "run", "--resume") == 0
    assert [record["step"] for record in metrics_of(tmp_path / "run", "train")] == [
        2,
        4,
        6,
        8,
        10,
        12,
    ]


def test_resume_takes_no_flag_that_contradicts_the_run(flags, tmp_path, capsys):
    assert train(*flags(steps=4)) == 0
    for contradiction in (
        ("--lr", "0.5"),
        ("--objective", "mlm"),
        ("--steps", "5"),
        ("--batch-tokens", "1024"),
        ("--seed", "3"),
        ("--minutes", "0.5"),
        ("--seq-len", "64"),
    ):
        refused(
            capsys,
            f"{contradiction[0]} {contradiction[1]} differs",
            "--out",
            tmp_path / "run",
            "--resume",
            *contradiction,
        )
    assert (
        train(
            "--out", tmp_path / "run", "--resume", "--log-every", "1", "--steps", "4", "--keep", "1"
        )
        == 0
    )


def test_resume_needs_something_to_resume(flags, tmp_path, capsys):
    refused(capsys, "--resume needs --out", "--resume")
    refused(capsys, "nowhere", "--out", tmp_path / "nowhere", "--resume")
    assert not (tmp_path / "nowhere").exists()


def test_resume_notices_another_corpus(text, flags, tmp_path, capsys):
    corpus = tmp_path / "text.raw"
    corpus.write_bytes(text.read_bytes())
    assert train(*flags(corpus=corpus, steps=4)) == 0
    corpus.write_bytes(text.read_bytes() + b"\nOne more line at the end.\n")
    refused(capsys, "the corpus has changed", "--out", tmp_path / "run", "--resume")


def test_resume_notices_the_same_number_of_other_tokens(text, model_file, flags, tmp_path, capsys):
    its = {"tokenizer": model_file, "vocab_size": None}  # quicker than training one
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    for name, part in zip("ab", text.read_text(encoding="utf-8").split("\n = ")[1:3], strict=True):
        (corpus / f"{name}.txt").write_text(part * 4, encoding="utf-8")
    held_out = tmp_path / "held out.txt"
    held_out.write_text("Words of their own.\n\n" * 20)
    assert train(*flags(corpus=corpus, valid=held_out, steps=2, batch_tokens=128, **its)) == 0
    resume = ("--out", tmp_path / "run", "--resume")

    held_out.write_text("Their own of words.\n\n" * 20)
    refused(capsys, "the held-out text has changed since the run began", *resume)
    held_out.write_text("Words of their own.\n\n" * 20)

    (corpus / "a.txt").rename(corpus / "c.txt")  # now it is the second
    match = "the corpus has changed since the run began: as many tokens, but other ones or in "
    refused(capsys, match, *resume)
    (corpus / "c.txt").rename(corpus / "a.txt")
    words = (corpus / "a.txt").read_text(encoding="utf-8").split(" ")
    (corpus / "a.txt").write_text(" ".join([words[1], words[0], *words[2:]]), encoding="utf-8")
    refused(capsys, match, *resume)


def test_a_corpus_that_moved_goes_on_bit_for_bit(
    text, model_file, flags, tmp_path, monkeypatch, capsys
):
    its = {"tokenizer": model_file, "vocab_size": None}  # quicker than training one
    corpus = tmp_path / "text.raw"
    corpus.write_bytes(text.read_bytes())
    assert train(*flags(corpus=corpus, out=tmp_path / "whole", steps=6, **its)) == 0
    with monkeypatch.context() as patch:
        stop_in_step(patch, 3, lambda: os.kill(os.getpid(), signal.SIGTERM))
        assert train(*flags(corpus=corpus, steps=6, **its)) == 0
    moved = tmp_path / "elsewhere.json"  # the same text, told in another way
    pages = re.split(r"\n(?= = [^=])", text.read_text(encoding="utf-8"))
    moved.write_text(json.dumps([{"body": page} for page in pages]))
    corpus.unlink()

    resume = ("--out", tmp_path / "run", "--resume")
    refused(capsys, f"no such corpus: {corpus}; if it has moved, name its new place", *resume)
    refused(capsys, "the corpus has changed", *resume, "--corpus", ROOT / "README.md")
    short = tmp_path / "short.txt"  # less than one batch
    short.write_text("Only a few words.\n")
    refused(capsys, "the corpus has changed", *resume, "--corpus", short)
    assert train(*resume, "--corpus", moved, "--text-field", "body") == 0
    assert_same_run(tmp_path / "run", tmp_path / "whole")
    settings = load(tmp_path / "run").settings
    assert (settings["corpus"], settings["text_field"]) == ([str(moved)], "body")


def test_a_checkpoint_without_fingerprints_compares_the_number(text, flags, tmp_path, capsys):
    assert train(*flags(steps=2)) == 0
    checkpoint = load(tmp_path / "run")
    checkpoint.training.fingerprints = {}
    save_checkpoint(tmp_path / "run" / "ckpt.pt", checkpoint)
    resume = ("--out", tmp_path / "run", "--resume")
    refused(capsys, "--corpus", *resume, "--corpus", ROOT / "README.md")
    assert train(*resume) == 0
    assert load(tmp_path / "run").training.fingerprints.keys() == {"corpus"}


def test_a_folder_with_a_run_is_not_written_over(flags, tmp_path, capsys):
    assert train(*flags(steps=4)) == 0
    before = (tmp_path / "run" / "ckpt.pt").read_bytes()
    refused(capsys, "already there; go on with --resume or choose another --out", *flags(steps=2))
    assert (tmp_path / "run" / "ckpt.pt").read_bytes() == before


def test_a_folder_in_use_is_refused(flags, tmp_path, capsys):
    assert train(*flags(steps=4)) == 0
    holder = RunFolder(tmp_path / "run", resume=True)
    refused(capsys, "in use by another process", "--out", tmp_path / "run", "--resume")
    holder.close()
    assert train("--out", tmp_path / "run", "--resume") == 0


def test_a_loss_that_stays_not_finite_stops_the_run(flags, tmp_path, capsys):
    refused(
        capsys,
        "not finite 20 steps in a row",
        *flags(steps=100, lr=1e30, batch_tokens=64, save_every=1000),
    )
    logged = metrics_of(tmp_path / "run", "train")
    assert 20 <= logged[-1]["step"] <= 25 and logged[-1]["skipped_steps"] >= 18


# ---------------------------------------------------------------- checkpoints that are not lost

SHORT = {"steps": 6, "save_every": 2, "eval_every": 6, "keep": 3}


@pytest.fixture(scope="module")
def short(text, cache, tmp_path_factory):
    """An undisturbed run with ckpt-2.pt, ckpt-4.pt and ckpt-6.pt."""
    folder = tmp_path_factory.mktemp("short") / "run"
    assert train(*small_run(text, cache, out=folder, **SHORT)) == 0
    return folder


def names_in(folder):
    return {path.name for path in folder.iterdir()} - {"tensorboard"}


def files_after(*steps):
    return {
        ".lock",
        "config.json",
        "tokenizer.model",
        "metrics.jsonl",
        "ckpt.pt",
        *(f"ckpt-{n}.pt" for n in steps),
    }


def damage(path, how):
    if how == "gone":
        return path.unlink()
    with open(path, "r+b") as file:  # in place, so its hard link changes too
        if how == "cut":
            file.truncate(path.stat().st_size // 2)
        else:
            file.seek(path.stat().st_size // 2)
            byte = file.read(1)[0]
            file.seek(-1, os.SEEK_CUR)
            file.write(bytes([byte ^ 1]))


@pytest.mark.parametrize("save_every", (1, 1000))
def test_how_often_a_run_saves_changes_nothing_in_it(save_every, short, flags, tmp_path):
    assert train(*flags(**SHORT | {"save_every": save_every})) == 0
    assert_same_run(tmp_path / "run", short)


@pytest.mark.parametrize(
    "module, function, number",
    ((os, "fsync", errno.ENOSPC), (os, "replace", errno.EROFS), (storage, "open", errno.EROFS)),
)
def test_a_disk_that_fails_for_a_while_stops_nothing(
    module, function, number, short, flags, tmp_path, monkeypatch, capsys
):
    save, saves = storage.save_checkpoint, []

    def second_fails(path, checkpoint):
        def fail(*arguments, **settings):
            raise OSError(number, os.strerror(number))

        saves.append(1)
        with monkeypatch.context() as patch:
            if len(saves) == 2:  # of step 4
                patch.setattr(module, function, fail, raising=False)
            save(path, checkpoint)

    monkeypatch.setattr(storage, "save_checkpoint", second_fails)
    assert train(*flags(**SHORT)) == 0
    said = [line for line in capsys.readouterr().out.splitlines() if "cannot write" in line]
    assert said == [
        f"not saved: cannot write the checkpoint {tmp_path / 'run' / 'ckpt.pt'}: "
        f"{os.strerror(number)}; the one before it is untouched"
    ]
    assert_same_run(tmp_path / "run", short)
    assert names_in(tmp_path / "run") == files_after(2, 6)


def test_a_disk_that_stays_full_ends_with_one_line_and_the_last_checkpoint_whole(
    short, tmp_path, capsys
):
    """The process sees a full disk: its files cannot grow beyond half a megabyte."""
    run = tmp_path / "run"
    shutil.copytree(short, run)
    for name in ("ckpt.pt", "ckpt-6.pt"):
        damage(run / name, "gone")
    shutil.copy(run / "ckpt-4.pt", run / "ckpt.pt")
    before = (run / "ckpt.pt").read_bytes()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (500_000, hard))
    try:
        assert train("--out", run, "--resume", "--save-every", "1") == 2
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    said, error = capsys.readouterr()
    problem = (
        f"cannot write the checkpoint {run / 'ckpt.pt'}: File too large; "
        "the one before it is untouched"
    )
    assert error == f"train.py: error: step 6 is not saved: {problem}\n"
    assert said.splitlines().count(f"not saved: {problem}") == 2  # steps 5 and 6
    assert (run / "ckpt.pt").read_bytes() == before and names_in(run) == files_after(2, 4)
    assert train("--out", run, "--resume") == 0
    assert_same_run(run, short)


def test_a_removed_folder_is_made_again(short, flags, tmp_path, monkeypatch, capsys):
    def remove():
        wait_for_file(tmp_path / "run" / "ckpt-4.pt")
        shutil.rmtree(tmp_path / "run")

    with monkeypatch.context() as patch:
        stop_in_step(patch, 5, remove)
        assert train(*flags(**SHORT)) == 0
    assert_same_run(tmp_path / "run", short)
    assert names_in(tmp_path / "run") == files_after(6)
    said = capsys.readouterr().out
    assert said.count("cannot write") == 1  # the log, until the folder is back
    assert said.count(f"the run folder {tmp_path / 'run'} was removed; it is made again") == 1
    assert train("--out", tmp_path / "run", "--resume") == 0


@pytest.mark.parametrize("how", ("flipped", "cut", "gone"))
def test_a_damaged_checkpoint_costs_the_steps_since_the_one_before(how, short, tmp_path, capsys):
    run = tmp_path / "run"
    shutil.copytree(short, run)
    run_folder.link(run / "ckpt-6.pt", run / "ckpt.pt")  # as the run left them
    damage(run / "ckpt.pt", how)
    if how == "gone":
        damage(run / "ckpt-6.pt", how)
    assert train("--out", run, "--resume") == 0
    [said] = [line for line in capsys.readouterr().out.splitlines() if "ckpt-4.pt" in line]
    assert str(run / "ckpt.pt") in said and said.endswith(
        f"going on from {run / 'ckpt-4.pt'} instead"
    )
    assert_same_run(run, short)
    assert names_in(run) == files_after(2, 4, 6)


def test_of_several_damaged_checkpoints_the_newest_whole_one_is_taken(
    short, flags, tmp_path, capsys
):
    run = tmp_path / "run"
    shutil.copytree(short, run)
    for name in ("ckpt.pt", "ckpt-6.pt", "ckpt-4.pt"):
        damage(run / name, "flipped")
    refused(
        capsys,
        "is damaged",
        *flags(init=run / "ckpt.pt", size=None, vocab_size=None, out=tmp_path / "other"),
    )
    assert train("--out", run, "--resume") == 0
    assert "going on from" in capsys.readouterr().out
    assert_same_run(run, short)
    for name in ("ckpt.pt", "ckpt-6.pt", "ckpt-4.pt", "ckpt-2.pt"):
        damage(run / name, "cut")
    refused(
        capsys,
        f"{run / 'ckpt.pt'} is not a checkpoint of this program, or it was cut off",
        "--out",
        run,
        "--resume",
    )


def test_it_saves_by_the_clock_too(flags, tmp_path, monkeypatch):
    """The fake clock makes each step take two minutes."""
    clock = types.SimpleNamespace(now=0.0, monotonic=lambda: clock.now)
    monkeypatch.setattr(progress, "time", clock)
    step = program.train_step

    def train_step(*arguments):
        clock.now += 120
        return step(*arguments)

    monkeypatch.setattr(program, "train_step", train_step)
    assert train(*flags(steps=8, save_every=5, save_minutes=5, keep=9, eval_every=1000)) == 0
    # Step 3 comes after 6 minutes, step 5 is a multiple of 5, and step 8 comes 6 minutes later.
    assert list(run_folder.numbered(tmp_path / "run")) == [8, 5, 3]
    assert train("--out", tmp_path / "run", "--resume", "--save-minutes", "7") == 0


def test_half_a_file_of_a_killed_writer_goes_away(flags, tmp_path):
    assert train(*flags(steps=2)) == 0
    (tmp_path / "run" / ".ckpt.pt.99999").write_bytes(b"half")
    assert train("--out", tmp_path / "run", "--resume") == 0
    assert names_in(tmp_path / "run") == files_after(2)


# ---------------------------------------------------------------- from a checkpoint


@pytest.fixture(scope="module")
def trained(text, cache, tmp_path_factory):
    """A finished ELECTRA run of 12 steps."""
    folder = tmp_path_factory.mktemp("trained") / "run"
    assert train(*small_run(text, cache, out=folder)) == 0
    return folder


def test_init_goes_on_from_weights_and_tokenizer(trained, flags, tmp_path):
    arguments = flags(
        init=trained / "ckpt.pt", size=None, vocab_size=None, steps=1, eval_every=1, lr=1e-12
    )
    assert train(*arguments) == 0
    before, now = metrics_of(trained, "valid")[-1], metrics_of(tmp_path / "run", "valid")[-1]
    for name in ("mlm_loss", "rtd_loss", "rtd_auc", "rtd_auc_unigram"):
        assert now[name] == pytest.approx(before[name], rel=1e-3)
    assert (tmp_path / "run" / "tokenizer.model").read_bytes() == (
        trained / "tokenizer.model"
    ).read_bytes()


def test_init_starts_at_the_loss_of_the_checkpoint(trained, flags, tmp_path):
    assert train(*flags(init=trained / "ckpt.pt", size=None, vocab_size=None, steps=2)) == 0
    first, *_ = metrics_of(tmp_path / "run", "valid")
    *_, last = metrics_of(trained, "valid")
    assert first["step"] == 0
    assert {k: v for k, v in first.items() if k not in ("step", "seconds")} == {
        k: v for k, v in last.items() if k not in ("step", "seconds")
    }


def test_the_log_counts_the_tokens(trained):
    settings = json.loads((trained / "config.json").read_text())
    for line in metrics_of(trained, "train"):
        places = line["tokens"] / (1 - line["padding_frac"])
        assert (
            0.7 * settings["batch_tokens"] * settings["log_every"]
            < places
            <= 1.001 * settings["batch_tokens"] * settings["log_every"]
        )


def test_init_takes_a_gentler_learning_rate_by_itself(trained, flags, tmp_path):
    assert train(*flags(init=trained / "ckpt.pt", size=None, vocab_size=None, steps=1)) == 0
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert config["size"] == "tiny" and config["lr"] == SIZES["tiny"].continue_lr < SIZES["tiny"].lr


def test_init_takes_a_run_folder_and_says_which_defaults_follow(trained, flags, tmp_path, capsys):
    capsys.readouterr()
    assert train(*flags(init=trained, size=None, vocab_size=None, steps=1)) == 0
    settings = json.loads((trained / "config.json").read_text())
    assert "\ndefaults: lr 0.0001, for a briefly trained ELECTRA with " in capsys.readouterr().out
    found = load_checkpoint(tmp_path / "run", PRETRAINED)
    assert found.settings["init"] == str(trained / "ckpt.pt")
    before = settings["steps"] * settings["batch_tokens"]
    assert found.origin == (False, before)
    assert found.origin_now() == (False, before + settings["batch_tokens"])


def test_a_bert_becomes_the_discriminator_of_an_electra(pretrained, flags, tmp_path, capsys):
    bert = load_checkpoint(pretrained("mlm") / "ckpt.pt", PRETRAINED)
    plain = {"init": pretrained("mlm"), "size": None, "vocab_size": None, "objective": "electra"}
    assert train(*flags(**plain, steps=1, lr=1e-12)) == 0
    assert "a BERT becomes the discriminator" in capsys.readouterr().out

    found = load_checkpoint(tmp_path / "run", PRETRAINED)
    assert found.kind == "electra" and found.origin.tokens > 0
    for prefix, theirs in (("embeddings.", "embeddings."), ("discriminator.", "mlm.encoder.")):
        for name, value in found.model.items():
            if name.startswith(prefix):
                before = bert.model[theirs + name.removeprefix(prefix)]
                torch.testing.assert_close(value, before, rtol=0, atol=1e-6)
    assert any(name.startswith("generator.encoder.") for name in found.model)

    sized = flags(**plain, steps=1, generator_size=8, out=tmp_path / "sized")
    assert train(*sized) == 0
    settings = json.loads((tmp_path / "sized" / "config.json").read_text())
    assert settings["model"]["generator_hidden_size"] == 8
    assert train(*sized, "--resume") == 0  # the same command once more

    again = tmp_path / "again"
    assert train("--config", tmp_path / "sized" / "config.json", "--out", again) == 0
    assert not difference(tmp_path / "sized", again)
    assert settings["lr"] == SIZES["tiny"].lr  # as from nothing: the generator is new


def test_a_run_that_began_with_a_bert_resumes_exactly(pretrained, flags, tmp_path, monkeypatch):
    plain = {"init": pretrained("mlm"), "size": None, "vocab_size": None, "objective": "electra"}
    assert train(*flags(**plain, steps=8, out=tmp_path / "whole")) == 0
    with monkeypatch.context() as patch:
        stop_in_step(patch, 3, lambda: os.kill(os.getpid(), signal.SIGTERM))
        assert train(*flags(**plain, steps=8)) == 0
    assert train("--out", tmp_path / "run", "--resume") == 0
    assert_same_run(tmp_path / "run", tmp_path / "whole")


def test_init_refuses_what_comes_with_the_checkpoint(trained, flags, tmp_path, capsys):
    plain = {"init": trained / "ckpt.pt", "size": None, "vocab_size": None}
    refused(capsys, "is an ELECTRA; its weights", *flags(**plain, objective="mlm"))
    sized = {"objective": "electra", "generator_num_layers": 1}
    refused(capsys, "--generator-num-layers cannot be chosen", *flags(**plain, **sized))
    refused(capsys, "--size cannot be chosen", *flags(**plain | {"size": "small"}))
    refused(capsys, "--vocab-size cannot be chosen", *flags(**plain | {"vocab_size": 900}))
    refused(
        capsys,
        "--tokenizer cannot be chosen",
        *flags(**plain, tokenizer=trained / "tokenizer.model"),
    )
    assert not (tmp_path / "run").exists()


def test_a_resumed_run_names_its_own_checkpoint(trained, flags, tmp_path, capsys):
    """The error names the run's checkpoint, not the one it was initialised from."""
    plain = {"size": None, "vocab_size": None, "steps": 1, "keep": 0}
    assert train(*flags(init=trained / "ckpt.pt", **plain)) == 0
    checkpoint = load(tmp_path / "run")
    del checkpoint.model["rtd_head.out.bias"]
    save_checkpoint(tmp_path / "run" / "ckpt.pt", checkpoint)
    refused(
        capsys,
        f"{tmp_path / 'run' / 'ckpt.pt'}: the weights are not those of its settings",
        *("--out", tmp_path / "run", "--resume"),
    )
    (tmp_path / "run" / "ckpt.pt").rename(tmp_path / "run" / "ckpt-1.pt")
    refused(
        capsys,
        f"{tmp_path / 'run' / 'ckpt-1.pt'}: the weights are not those of its settings",
        *("--out", tmp_path / "run", "--resume"),
    )


@pytest.mark.parametrize("name", ["tokenizer.model", ""])
def test_tokenizer_of_another_run_is_taken(trained, flags, tmp_path, name):
    assert train(*flags(tokenizer=trained / name, vocab_size=None, steps=1)) == 0
    assert (tmp_path / "run" / "tokenizer.model").read_bytes() == (
        trained / "tokenizer.model"
    ).read_bytes()


class Evil:
    """Unpickling this makes a folder."""

    def __init__(self, folder):
        self.folder = str(folder)

    def __reduce__(self):
        return os.mkdir, (self.folder,)


def test_bad_checkpoints_are_refused_in_one_line(trained, flags, tmp_path, capsys):
    good = (trained / "ckpt.pt").read_bytes()
    bad = tmp_path / "bad.pt"
    continued = lambda: flags(init=bad, size=None, vocab_size=None)
    refused(capsys, "No such file", *continued())
    for content, match in (
        (b"", "not a checkpoint"),
        (good[:-100], "cut off"),
        (good[:1000], "cut off"),
        (b"PK" + bytes(5000), "not a checkpoint"),
    ):
        bad.write_bytes(content)
        refused(capsys, match, *continued())
    for place in (10, len(good) // 2, len(good) - 3):
        bad.write_bytes(good[:place] + bytes([good[place] ^ 1]) + good[place + 1 :])
        refused(capsys, "bad.pt is damaged", *continued())
    refused(capsys, str(tmp_path), *flags(init=tmp_path, size=None, vocab_size=None))  # a folder
    assert not (tmp_path / "run").exists()


def test_a_checkpoint_runs_no_code(flags, tmp_path, capsys):
    bad, marker = tmp_path / "bad.pt", tmp_path / "was here"
    write_sealed(bad, {"format": FORMAT, "kind": "electra", "model": Evil(marker)})
    refused(capsys, "was not loaded", *flags(init=bad, size=None, vocab_size=None))
    bad.write_bytes(pickle.dumps(Evil(marker)))
    refused(capsys, "not a checkpoint", *flags(init=bad, size=None, vocab_size=None))
    assert not marker.exists() and not (tmp_path / "run").exists()


def test_a_classifier_is_no_pre_trained_checkpoint(trained, flags, tmp_path, capsys):
    tokenizer = load(trained).tokenizer
    model = Classifier(preset_model_config("tiny", "electra", tokenizer.vocab_size), 2)
    save_checkpoint(
        tmp_path / "classifier.pt",
        replace(make_checkpoint(model, tokenizer, FinetuneConfig()), labels=("no", "yes")),
    )
    refused(
        capsys,
        "kind 'classifier'",
        *flags(init=tmp_path / "classifier.pt", size=None, vocab_size=None),
    )
    assert not (tmp_path / "run").exists()


# ---------------------------------------------------------------- mistakes


def test_bad_corpora_are_refused_in_one_line(flags, tmp_path, capsys, monkeypatch):
    lines = "".join(f"A line of plain text, number {i}.\n" for i in range(2000)).encode()
    json_lines = b'{"text": "A line of plain text."}\n' * 500
    (tmp_path / "empty folder").mkdir()
    (tmp_path / "cache as a file").write_text("")
    cases = {
        "empty.txt": (b"", "has no text"),
        "blank.txt": (b"\n \n\t\n", "has no text"),
        "latin.txt": (b"caf\xe9\n" + lines, "the byte at offset 3 is not UTF-8"),
        "late.txt": (lines + b"caf\xe9\n", f"the byte at offset {len(lines) + 3} is not UTF-8"),
        "short.txt": (b"Only a few words.\nAnd a few more.\n", "less than one batch of 256"),
        "bad.jsonl": (b"{text: no}\n", "line 1 is not JSON"),
        "late.jsonl": (json_lines + b"{\n", "line 501 is not JSON"),
        "none.jsonl": (b'{"words": "x"}\n', 'line 1 has no "text"'),
        "number.jsonl": (json_lines + b'{"text": 5}\n', 'line 501 has no "text"'),
        "bad.txt.gz": (b"no archive", "cannot read"),
    }
    for name, (content, match) in cases.items():
        (tmp_path / name).write_bytes(content)
        refused(capsys, match, *flags(corpus=tmp_path / name))
    refused(capsys, "no such corpus", *flags(corpus=tmp_path / "nowhere.txt"))
    refused(capsys, "no such corpus", *flags(corpus=tmp_path / "*.nothing"))
    refused(capsys, "has no .txt file", *flags(corpus=tmp_path / "empty folder"))
    refused(capsys, "no such corpus", *flags(valid=tmp_path / "nowhere.txt"))
    refused(capsys, "has no text", *flags(valid=tmp_path / "empty.txt"))
    monkeypatch.setattr(text_files, "LONGEST_LINE", 1000)
    for name, content in (("long.txt", b"x" * 2000 + b"\n"), ("later.txt", lines + b"x" * 2000)):
        (tmp_path / name).write_bytes(content)
        refused(capsys, "is longer than 1,000 bytes", *flags(corpus=tmp_path / name))
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    "changes, match",
    (
        ({"interleave": True}, "--interleave needs"),
        ({"vocab_size": 600_000}, "--vocab-size 600000 is outside"),
        ({"vocab_size": 10}, "--vocab-size 10 is outside"),
        ({"seq_len": 1024}, "sequence length of 1024 is outside 8 to 512"),
        ({"seq_len": 4}, "outside 8 to 512"),
        ({"phases": "32:0.5"}, "add up to 1"),
        ({"phases": "32"}, "does not read like"),
        ({"phases": "32:0.5,1024:0.5"}, "1024"),
        ({"steps": 0}, "--steps must be above 0"),
        ({"steps": None, "minutes": -1}, "--minutes must be above 0"),
        ({"minutes": 1}, "give one"),
        ({"lr": 0}, "--lr must be above 0"),
        ({"accumulate": 0}, "--accumulate"),
        ({"save_every": 0}, "--save-every"),
        ({"save_minutes": 0}, "--save-minutes must be above 0"),
        ({"log_every": 0}, "--log-every"),
        ({"dropout": 1}, "--dropout"),
        ({"cuda_graphs": True, "device": "cpu"}, "take --no-cuda-graphs"),
        ({"amp": "fp16", "device": "cpu"}, "--amp fp16 needs a GPU"),
        ({"device": "cuda:99"}, "not on this machine"),
        ({"device": "toaster"}, "not on this machine"),
        ({"size": "huge"}, "huge"),
        ({"objective": "gpt"}, "gpt"),
        ({"tokenizer": "nowhere.model", "vocab_size": None}, "cannot read the tokenizer"),
        ({"batch_tokens": 60, "seq_len": 64}, "64 tokens"),
        ({"batch_tokens": 64, "seq_len": 64, "accumulate": 2}, "64 tokens"),
        ({"batch_tokens": 64, "phases": "32:0.9,128:0.1"}, "128 tokens"),
        ({"seed": -1}, "--seed"),
        ({"no_such_flag": 1}, "--no-such-flag"),
        ({"cache": ROOT / "LICENSE"}, "LICENSE"),
    ),
    ids=lambda value: str(value)[:40],
)
def test_bad_settings_are_refused_in_one_line(changes, match, flags, tmp_path, capsys):
    refused(capsys, match, *flags(**changes))
    assert not (tmp_path / "run").exists()


def test_a_tokenizer_that_is_none_is_refused(flags, tmp_path, capsys):
    (tmp_path / "bad.model").write_bytes(b"\x00\x01 not a model")
    refused(
        capsys,
        "is not a SentencePiece model",
        *flags(tokenizer=tmp_path / "bad.model", vocab_size=None),
    )


def test_a_run_folder_that_cannot_be_made_is_refused(flags, tmp_path, capsys):
    (tmp_path / "file").write_text("")
    refused(capsys, "cannot write in the run folder", *flags(out=tmp_path / "file" / "run"))
