"""Fixtures for several test files: the sample text, a small tokenizer, a small model, a batch."""

import gc
import shutil
import signal
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import gpu_stages
import pytest
import second_process
import torch

ROOT = Path(__file__).resolve().parent.parent
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

import train
from electra.config import CLS, SEP, ModelConfig
from electra.data.batch import Batch
from electra.data.sentencepiece import train_tokenizer

# The tensors are so small that a second thread would slow the tests down. Also, results are bitwise
# equal only for equal numbers of threads, and child processes run with OMP_NUM_THREADS=1.
torch.set_num_threads(1)
# nohup ignores SIGHUP, also in child processes; the tests of signals take its default for granted.
signal.signal(signal.SIGHUP, signal.SIG_DFL)

SHAPE = ModelConfig(
    objective="electra",
    vocab_size=200,
    embedding_size=16,
    hidden_size=24,
    num_layers=2,
    num_heads=2,
    intermediate_size=48,
    generator_hidden_size=12,
    generator_num_layers=2,
    generator_num_heads=2,
    generator_intermediate_size=24,
    max_positions=64,
    dropout=0.0,
    attention_dropout=0.0,
)

# Settings of train.py for a model that trains in a third of the time of size tiny, whose steps are
# few here. Its checkpoints have a fortieth of the bytes.
SMALL = {
    "hidden_size": 32,
    "embedding_size": 16,
    "num_layers": 2,
    "num_heads": 2,
    "intermediate_size": 64,
}


def as_flags(settings):
    """A command line from a dictionary of settings; None leaves a setting out."""
    return [
        part
        for name, value in settings.items()
        if value is not None
        for part in ("--" + name.replace("_", "-"), *([] if value is True else [str(value)]))
    ]


def exit_code(main, arguments):
    """Call a program's `main`; returns its exit code."""
    try:
        return main([str(argument) for argument in arguments])
    except SystemExit as stop:
        return stop.code
    finally:
        gc.collect()  # releases the locks of run folders


def pytest_collection_modifyitems(session, config, items):
    """Give some files of a whole run to a second process, and start it."""
    if not second_process.is_whole_suite(config):
        return
    files = {ROOT / name for name in second_process.FILES}
    items[:] = [item for item in items if item.path not in files]
    config.second = second_process.SecondProcess(ROOT)


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session, exitstatus):
    """Wait for the second process; a test that failed there fails this run."""
    second = getattr(session.config, "second", None)
    if second is None or exitstatus == pytest.ExitCode.INTERRUPTED:
        return
    code, session.config.second_said = second.wait()
    if code and not exitstatus:
        session.exitstatus = code


def pytest_terminal_summary(terminalreporter, config):
    """Say how the second process ended, at length where a test failed."""
    said = getattr(config, "second_said", None)
    if said is None:
        return
    *_, last = said.rstrip().splitlines()
    failed = config.second.process.returncode
    terminalreporter.section("in a second process")
    terminalreporter.write_line(said if failed else f"{', '.join(second_process.FILES)}:\n{last}")


def pytest_collection_finish(session):
    """Start the proofs of gpu_stages.py whose tests are to run; these wait for their end.

    The longest, a rehearsal, takes a minute of the other core.
    """
    wanted = {name for item in session.items for name in getattr(item, "fixturenames", ())}
    session.config.proofs, session.config.proofs_folder = {}, Path(tempfile.mkdtemp())
    for name, (out, command) in gpu_stages.proofs(session.config.proofs_folder).items():
        if name in wanted:
            process = subprocess.Popen(
                command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
            )
            session.config.proofs[name] = process, out


def pytest_unconfigure(config):
    if hasattr(config, "second"):
        config.second.end()
    for process, _ in getattr(config, "proofs", {}).values():
        process.kill()
        process.communicate()
    if hasattr(config, "proofs_folder"):
        shutil.rmtree(config.proofs_folder, ignore_errors=True)


@pytest.fixture(scope="module", autouse=True)
def modules_are_not_garbage():
    """Hide all objects imported so far from `gc.collect`.

    Searching them again in every call took a fifth of the suite's time.
    """
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def sample_path():
    """A WikiText file of 130 kB."""
    return ROOT / "data" / "sample" / "wiki.raw"


@pytest.fixture(scope="session")
def tokenizer(sample_path):
    """A case-folding SentencePiece tokenizer of 1,000 tokens."""
    return train_tokenizer(sample_path.read_text(encoding="utf-8").splitlines(), 1_000)


@pytest.fixture(scope="session")
def model_file(tokenizer, tmp_path_factory):
    """The same tokenizer as a file."""
    path = tmp_path_factory.mktemp("tokenizer") / "tokenizer.model"
    path.write_bytes(tokenizer.to_bytes())
    return path


@pytest.fixture(scope="session")
def text(sample_path, tmp_path_factory):
    """A WikiText file with the first 40 kB of the sample.

    Evaluating on its held-out part takes no longer than a few steps.
    """
    path = tmp_path_factory.mktemp("text") / "wiki.raw"
    path.write_text(
        sample_path.read_text(encoding="utf-8")[:40_000].rpartition("\n")[0] + "\n",
        encoding="utf-8",
    )
    return path


@pytest.fixture(scope="session")
def cache(tmp_path_factory):
    """One --cache for all runs, so that each tokenizer is trained once."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="session")
def pretrained(text, cache, tmp_path_factory):
    """pretrained(objective) -> folder of a run of ten steps. Tests share it and only read."""
    root, done = tmp_path_factory.mktemp("pretrained"), {}

    def run(objective="electra"):
        if objective not in done:
            done[objective] = root / objective
            assert (
                exit_code(
                    train.main,
                    [
                        "--corpus",
                        text,
                        "--size",
                        "tiny",
                        "--steps",
                        10,
                        "--batch-tokens",
                        512,
                        "--seq-len",
                        32,
                        "--vocab-size",
                        800,
                        "--cache",
                        cache,
                        *as_flags(SMALL),
                        "--objective",
                        objective,
                        "--out",
                        done[objective],
                    ],
                )
                == 0
            )
        return done[objective]

    return run


@pytest.fixture
def shape():
    """shape(**changes) -> a small ModelConfig without dropout.

    Generator and discriminator both have an embedding projection.
    """
    return lambda **changes: replace(SHAPE, **changes)


@pytest.fixture
def make_batch():
    """make_batch(lengths, width) -> a Batch with one row of each length, padded to the width.

    A row is [CLS], random tokens, [SEP].
    """

    def make(lengths, width, seed=0, labels=None, vocab_size=SHAPE.vocab_size):
        generator = torch.Generator().manual_seed(seed)
        ids = torch.zeros(len(lengths), width, dtype=torch.int64)
        for row, length in enumerate(lengths):
            ids[row, 0], ids[row, length - 1] = CLS, SEP
            ids[row, 1 : length - 1] = torch.randint(
                5, vocab_size, (length - 2,), generator=generator
            )
        mask = torch.arange(width) < torch.tensor(lengths)[:, None]
        return Batch(
            ids,
            torch.zeros_like(ids),
            None if mask.all() else mask,
            None if labels is None else torch.tensor(labels),
        )

    return make
