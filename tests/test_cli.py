"""How every program ends: one line for the user's mistakes, a traceback for those of the code."""

import contextlib
import importlib.util
import io
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from conftest import exit_code
from tqdm import tqdm

from electra.cli import CLOSED_PIPE, Failure, run_cli
from electra.files import write_any_text

pytestmark = pytest.mark.fast

ROOT = Path(__file__).resolve().parent.parent
# Every program, with a command line that its parser takes. Then it calls the function that does the
# work: `run`, but for those in WORK.
PROGRAMS = {
    "train.py": [],
    "finetune.py": [],
    "scripts/bench.py": ["startup", "--corpus", "x.txt", "--tokenizer", "x.model"],
    "scripts/compare_models.py": [],
    "scripts/convert.py": ["export", "x.pt", "folder"],
    "scripts/download.py": ["sst2"],
    "scripts/embed.py": ["--ckpt", "x.pt"],
    "scripts/predict.py": ["--ckpt", "x.pt"],
    "scripts/prepare_imdb.py": ["aclImdb", "--out", "folder"],
    "scripts/prove_gpu.py": ["--out", "folder"],
    "scripts/report.py": ["result.json"],
    "scripts/serve.py": ["--ckpt", "x.pt"],
    "scripts/significance.py": ["a.json", "b.json"],
}
WORK = {"train.py": "pretrain", "finetune.py": "fine_tune"}
# What a program that has something to lose says of it after Ctrl-C.
STOPPED = {
    "train.py": "stopped at once; what was saved before is whole",
    "finetune.py": "stopped; no result was written",
    "scripts/compare_models.py": "stopped; the same command resumes it",
    "scripts/download.py": "stopped; the same command resumes the download",
    "scripts/prove_gpu.py": "stopped; what was found is in --out",
}
# Programs whose product is a file go on without their output; any other stops with CLOSED_PIPE.
GO_ON = {
    "train.py",
    "finetune.py",
    "scripts/compare_models.py",
    "scripts/convert.py",
    "scripts/download.py",
    "scripts/prepare_imdb.py",
    "scripts/prove_gpu.py",
}
# Exit codes of programs whose readers may have had enough.
CLOSED = {"scripts/embed.py": 0, "scripts/predict.py": 0}


def load(path):
    """A program as a module."""
    name = f"program_{path.stem}"
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, path)
        sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])
    return sys.modules[name]


@pytest.fixture(params=sorted(PROGRAMS))
def program(request, monkeypatch, tmp_path):
    """program(work) -> the exit code of a program that does `work()` in place of its own."""
    monkeypatch.chdir(tmp_path)
    module = load(ROOT / request.param)

    def run(work):
        name = WORK.get(request.param, "run")
        monkeypatch.setattr(module, name, lambda *arguments: work())
        return exit_code(module.main, PROGRAMS[request.param])

    run.prog = Path(request.param).name
    run.path = request.param
    return run


def raising(problem):
    def work():
        raise problem

    return work


@contextlib.contextmanager
def closed_pipe(redirect=contextlib.redirect_stdout):
    """The output is a pipe that nobody reads; flushed at the end, as Python does at exit."""
    reader, writer = os.pipe()
    os.close(reader)
    with open(writer, "w") as stream, redirect(stream):
        yield
        stream.flush()


def test_every_program_is_tested():
    found = {*ROOT.glob("*.py"), *(ROOT / "scripts").glob("*.py")}
    assert {str(path.relative_to(ROOT)) for path in found} == set(PROGRAMS)


@pytest.mark.parametrize("kind", (ValueError, OSError, FileNotFoundError))
def test_a_mistake_is_one_line_without_control_characters(kind, program, capsys):
    assert program(raising(kind("no file a\x1b[2J\nb\r\u2028"))) == 2
    out, error = capsys.readouterr()
    assert out == ""
    assert error == f"{program.prog}: error: no file a\\x1b[2J\\nb\\r\\u2028\n"


def test_ctrl_c_ends_with_a_line_and_130(program, capsys):
    assert program(raising(KeyboardInterrupt())) == 130
    error = capsys.readouterr().err
    assert error == f"\n{program.prog}: {STOPPED.get(program.path, 'stopped')}\n"


@pytest.mark.parametrize("lines", (1, 100_000))  # seen at the last flush, or before
def test_without_a_reader_the_work_goes_on_or_ends_quietly(lines, program, capfd):
    done = []

    def work():
        for _ in range(lines):
            print("a line")
        sys.stdout.flush()
        done.append(True)

    with closed_pipe():
        code = program(work)
    if program.path in GO_ON:
        assert (code, done) == (0, [True])
    else:
        assert (code, done) == (CLOSED.get(program.path, CLOSED_PIPE), [])
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("encoding", ("latin-1", "ascii"))
def test_an_output_of_any_encoding_takes_every_text(encoding, program):

    def work():
        print("30 × 2 … → ± “日😀”")
        tqdm.write("…")
        raise ValueError("日 …")

    out, error = (io.TextIOWrapper(io.BytesIO(), encoding, write_through=True) for _ in range(2))
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(error):
        assert program(work) == 2
    line, dots = out.buffer.getvalue().decode(encoding).splitlines()
    assert dots == "..."
    expected = "30 x 2 ... -> +- \\u201c\\u65e5\\ud83d\\ude00\\u201d"
    if encoding == "latin-1":
        expected = expected.replace("x", "×").replace("+-", "±")
    assert line == expected
    assert error.buffer.getvalue() == f"{program.prog}: error: \\u65e5 ...\n".encode()


@pytest.mark.parametrize("kind", (TypeError, AttributeError, KeyError, AssertionError))
def test_a_mistake_of_the_code_keeps_its_traceback(kind, program, capsys):
    with pytest.raises(kind):
        program(raising(kind("ours")))
    assert "error:" not in capsys.readouterr().err


# ---------------------------------------------------------------- run_cli alone


def test_the_exit_code_is_that_of_the_body():
    assert run_cli("x.py", lambda: None) == 0
    assert run_cli("x.py", lambda: 3) == 3


def test_a_failure_that_is_nobodys_mistake_exits_with_1(capsys):
    assert run_cli("x.py", raising(Failure("a rank\nis gone"))) == 1
    assert capsys.readouterr().err == "x.py: error: a rank\\nis gone\n"


def test_a_program_can_report_mistakes_in_its_own_way(capsys):
    said = []
    assert run_cli("x.py", raising(ValueError("no")), report=said.append) == 2
    assert run_cli("x.py", raising(Failure("lost")), report=said.append) == 1
    assert said == ["x.py: error: no", "x.py: error: lost"]
    assert capsys.readouterr().err == ""


def test_a_pipe_that_is_not_the_output_is_a_mistake(capsys):
    assert run_cli("x.py", raising(BrokenPipeError(32, "Broken pipe"))) == 2
    assert capsys.readouterr().err == "x.py: error: [Errno 32] Broken pipe\n"


@pytest.mark.parametrize("problem", (ValueError("no"), KeyboardInterrupt(), TypeError("ours")))
def test_output_that_is_left_over_disturbs_no_other_end(problem, capfd):
    def work():
        print("a line", end="")
        raise problem

    with closed_pipe(), contextlib.suppress(TypeError):
        run_cli("x.py", work)
    assert "Broken pipe" not in capfd.readouterr().err


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a device of Linux")
def test_a_full_disk_behind_the_output_is_one_line():
    with open("/dev/full", "w") as full:
        done = run_program("print('a line')", stdout=full, stderr=subprocess.PIPE)
    assert done.returncode == 2
    assert done.stderr == b"x.py: error: [Errno 28] No space left on device\n"


def test_dead_output_and_dead_errors_do_not_end_the_work():
    def work():
        print("a line", flush=True)
        print("a line", file=sys.stderr, flush=True)
        tqdm.write("a line")
        for _ in tqdm(range(3), mininterval=0):
            pass
        return 7

    with closed_pipe(), closed_pipe(contextlib.redirect_stderr):
        before = sys.stdout, sys.stderr
        assert run_cli("x.py", work, closed_pipe=None) == 7
        assert run_cli("x.py", raising(ValueError("no")), closed_pipe=None) == 2
        assert (sys.stdout, sys.stderr) == before


def test_output_that_was_closed_from_the_start_is_none(monkeypatch):
    """As of `program >&- 2>&-`, where Python has no stream at all."""
    monkeypatch.setattr(sys, "stdout", None)
    monkeypatch.setattr(sys, "stderr", None)
    assert run_cli("x.py", lambda: tqdm.write("a line")) == 0
    assert run_cli("x.py", raising(ValueError("no"))) == 2


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a device of Linux")
def test_a_full_disk_behind_the_output_does_not_end_work_on_a_file():
    with open("/dev/full", "w") as full, contextlib.redirect_stdout(full):
        assert run_cli("x.py", lambda: print("a line", flush=True), closed_pipe=None) == 0


def test_output_that_must_not_block_is_waited_for():
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    size = 1_000_000  # more than a pipe holds
    received = []

    def read():
        while block := os.read(reader, 100_000):
            received.append(len(block))

    thread = threading.Thread(target=read)
    with open(writer, "w") as stream, contextlib.redirect_stdout(stream):
        thread.start()
        assert run_cli("x.py", lambda: print("x" * size, end=""), closed_pipe=None) == 0
    thread.join()
    os.close(reader)
    assert sum(received) == size


@pytest.mark.parametrize(
    ("encoding", "char", "written"),
    [
        ("ascii", "\udce9", b"\xe9"),  # a byte of a file name, in a POSIX locale
        ("utf-8", "\udce9", b"\\udce9"),
        ("latin-1", "…", b"..."),
    ],
)
def test_what_a_character_becomes_that_an_output_lacks(encoding, char, written):
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding)
    write_any_text(stream)
    stream.write(char)
    stream.flush()
    assert raw.getvalue() == written


@pytest.mark.parametrize("both", (False, True))
def test_python_says_nothing_of_a_closed_pipe_at_exit(both):
    """As of `program | true`, and with `both` as of `program 2>&1 | true`."""
    reader, writer = os.pipe()
    os.close(reader)
    with open(writer, "wb") as pipe:
        done = run_program(
            "print('a line'); print('another', file=sys.stderr)" if both else "print('a line')",
            stdout=pipe,
            stderr=pipe if both else subprocess.PIPE,
        )
    assert done.returncode == CLOSED_PIPE
    assert not done.stderr


def run_program(body, **streams):
    """A process whose program does `body`."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": ""}
    code = f"import sys\nfrom electra.cli import run_cli\ndef body(): {body}\n"
    return subprocess.run(
        [sys.executable, "-c", code + "sys.exit(run_cli('x.py', body))"],
        env=environment,
        **streams,
    )
