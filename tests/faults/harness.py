"""Disturb whole runs and check that they end like a run that was not disturbed.

    python tests/faults/harness.py --kills 50 --seed 0

First comes one undisturbed run on data/sample/. Then each fault of FAULTS is repeated many times.
Each time a run is started as a user starts it, is disturbed at a moment drawn from the seed, and
is continued as its messages say, until it ends. Its weights, optimizer state, position in the data
and metrics must equal those of the undisturbed run bit for bit, and no temporary file may be left.
Every broken promise is a finding; the folder of that run is kept.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import json
import math
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import termios
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parent.parent.parent
if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))

import torch

from electra.checkpoint import run_folder
from electra.checkpoint.checkpoint import PRETRAINED
from electra.checkpoint.storage import load_checkpoint

SETTINGS = (
    "--corpus",
    ROOT / "data/sample/wiki.raw",
    "--size",
    "tiny",
    "--vocab-size",
    500,
    "--seq-len",
    32,
    "--batch-tokens",
    256,
    "--warmup-steps",
    4,
)
STEPS, SAVE_EVERY, EVALUATE_EVERY = 24, 3, 12
RANKS_STEPS = 200  # enough for ten kills
RANKS_SAVE_EVERY = 10
DEADLINE = 20  # seconds from SIGTERM to SIGKILL
RANK_TIMEOUT = 0.25  # minutes
PATIENCE = 900  # the longest wait for anything, in seconds
CLOCK = {"seconds", "tokens_per_s"}
JUMPING_CLOCK = """
import random, time
draw, real = random.Random({seed}), time.time
time.time = lambda: real() + draw.uniform(-12, 12) * 3600
time.time_ns = lambda: int(time.time() * 1e9)
"""


class Broken(Exception):
    """A promise does not hold."""


def promise(kept: object, what: str) -> None:
    """Raise Broken(what) unless `kept` is true."""
    if not kept:
        raise Broken(what)


# --- programs ---


class Ended(NamedTuple):
    code: int
    said: str
    error: str


class Program:
    """A program in its own process; its output goes to files in its folder, or as settings say."""

    def __init__(
        self,
        folder: Path,
        *command: object,
        start: Callable[..., Any] = subprocess.Popen,
        **settings: Any,
    ) -> None:
        environment = {
            **os.environ,
            "OMP_NUM_THREADS": "1",
            "PYTHONPATH": str(ROOT),
            **settings.pop("environment", {}),
        }
        with (
            tempfile.NamedTemporaryFile(dir=folder, suffix=".out", delete=False) as said,
            tempfile.NamedTemporaryFile(dir=folder, suffix=".err", delete=False) as error,
        ):
            self.said, self.error = Path(said.name), Path(error.name)
            self.process = start(
                [sys.executable, *map(str, command)],
                cwd=folder,
                env=environment,
                **{"stdout": said, "stderr": error, **settings},
            )

    def kill(self) -> None:
        """Kill the process and the ranks that it runs."""
        if self.process.poll() is None:
            ranks = workers_of(self)
            self.process.kill()
            for pid in ranks:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        self.process.wait()

    def end(self, seconds: float = PATIENCE) -> Ended:
        """Wait until the program ends by itself."""
        try:
            code = self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill()
            raise Broken(
                f"it had not ended after {seconds:g} s: {self.error.read_text()[-500:]}"
            ) from None
        return Ended(code, self.said.read_text(), self.error.read_text())

    def until(self, there: Callable[[], object]) -> bool:
        """Wait for a condition; returns whether it came true before the program ended."""
        began = time.monotonic()
        while self.process.poll() is None:
            if there():
                return True
            promise(time.monotonic() < began + PATIENCE, "what was waited for did not come")
            time.sleep(0.002)
        return False

    def until_worked(self, seconds: float, pid: int | None = None) -> bool:
        """Wait until the program, or its process `pid`, has used that much processor time.

        Unlike wall-clock time, this does not depend on other load. Returns what `until` returns.
        """
        return self.until(lambda: processor_seconds(pid or self.process.pid) >= seconds)


def workers_of(launcher: Program) -> list[int]:
    """Process ids of the ranks that torchrun runs at this moment."""
    pid = launcher.process.pid
    try:
        return [
            int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        ]
    except OSError:
        return []


def processor_seconds(pid: int) -> float:
    """Processor time that a process has used, user and system; infinity if it has ended."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return math.inf
    user, system = int(fields[11]), int(fields[12])
    return (user + system) / os.sysconf("SC_CLK_TCK")


def size_of(path: Path) -> int:
    """Size of a file in bytes; -1 if there is no such file."""
    try:
        return path.stat().st_size
    except OSError:
        return -1


def last_step(out: Path) -> int:
    """The last step in the log; 0 if there is no log."""
    try:
        lines = (out / "metrics.jsonl").read_text().splitlines()
        return max((json.loads(line)["step"] for line in lines if line.endswith("}")), default=0)
    except OSError:
        return 0


# --- runs ---


class Bench:
    """The folder of all runs, and how programs are started in it.

    It holds the undisturbed run with all its checkpoints, its cache, and the current case.
    """

    def __init__(
        self,
        folder: Path,
        steps: int = STEPS,
        run: Callable[..., Ended] | None = None,
        start: Callable[..., Any] = subprocess.Popen,
        model: tuple[object, ...] = (),
    ) -> None:
        self.folder, self.steps = folder, steps
        self.settings = (
            *SETTINGS,
            *model,
            "--steps",
            steps,
            "--save-every",
            SAVE_EVERY,
            "--log-every",
            4,
            "--eval-every",
            EVALUATE_EVERY,
        )
        self.run = run or self.run_apart  # runs a program to its end
        self.start_process = start  # starts one that is disturbed
        self.programs: list[Program] = []
        self.whole, self.cache, self.case = (
            folder / "whole",
            folder / "whole-cache",
            folder / "case",
        )
        self.clear()
        began = os.times()
        self.expect_end(
            self.run("train.py", *self.command(self.whole, self.cache), "--keep", 1_000)
        )
        # Processor time of this process and its children.
        self.seconds = sum(os.times()[:4]) - sum(began[:4])

    def command(self, out: Path, cache: Path) -> tuple[object, ...]:
        return (*self.settings, "--out", out, "--cache", cache)

    def start(self, program: str, *arguments: object, **settings: Any) -> Program:
        """Start a program; only a new interpreter takes `settings`."""
        start = subprocess.Popen if settings else self.start_process
        self.programs.append(
            Program(self.case, ROOT / program, *arguments, start=start, **settings)
        )
        return self.programs[-1]

    def torchrun(self, *arguments: object, launcher: tuple[object, ...] = ()) -> Program:
        self.programs.append(
            Program(
                self.case,
                "-m",
                "torch.distributed.run",
                "--nproc-per-node",
                2,
                *launcher,
                ROOT / "train.py",
                *arguments,
            )
        )
        return self.programs[-1]

    def kill_all(self) -> None:
        """Kill every program that is still running."""
        for program in self.programs:
            program.kill()
        self.programs = []

    def run_apart(self, program: str, *arguments: object) -> Ended:
        return self.start(program, *arguments).end()

    def expect_end(self, ended: Ended) -> Ended:
        promise(ended.code == 0, f"exit code {ended.code}: {ended.error[-500:]}")
        return ended

    def new(self) -> tuple[Path, Path]:
        """Paths (run folder, cache) for a new case; neither exists yet."""
        self.clear()
        return self.case / "run", self.case / "cache"

    def clear(self) -> None:
        shutil.rmtree(self.case, ignore_errors=True)
        self.case.mkdir()

    def new_stopped(self, rng: random.Random) -> tuple[Path, Path]:
        """The same paths, as a run leaves them that is killed after its second or a later save."""
        out, cache = self.new()
        saved = sorted(run_folder.numbered(self.whole))
        number = rng.randrange(1, len(saved) - 1)
        out.mkdir()
        shutil.copytree(self.cache, cache)
        for name in ("config.json", "tokenizer.model", "metrics.jsonl"):
            shutil.copy(self.whole / name, out / name)
        for step in saved[number - 1 : number + 1]:
            shutil.copy(self.whole / f"ckpt-{step}.pt", out / f"ckpt-{step}.pt")
        run_folder.link(out / f"ckpt-{saved[number]}.pt", out / "ckpt.pt")
        return out, cache

    def go_on(self, out: Path, cache: Path, program: tuple[str, ...] = ("train.py",)) -> str:
        """Do what a user does after a run was killed, until the run ends; returns what was done."""
        if run_folder.of_run(out):
            self.expect_end(self.run(*program, "--out", out, "--cache", cache, "--resume"))
            return "resumed"
        ended, how = self.run(*program, *self.command(out, cache)), "begun again"
        if ended.code == 2 and "it has no checkpoint: remove it" in ended.error:
            shutil.rmtree(out)
            ended, how = (
                self.run(*program, *self.command(out, cache)),
                "begun again, folder removed as it says",
            )
        self.expect_end(ended)
        return how

    def check(self, out: Path, cache: Path, whole: Path | None = None) -> None:
        """Raise Broken unless the run equals the undisturbed one and left no temporary file."""
        if flaw := difference(out, whole or self.whole):
            raise Broken(flaw)
        left = [
            path
            for path in (*out.iterdir(), *(cache.iterdir() if cache.exists() else ()))
            if path.name.startswith(".") and path.name != ".lock"
        ]
        promise(not left, f"left behind: {left}")


def metrics_of(folder: Path, split: str | None = None) -> list[dict[str, Any]]:
    """The records of the log, without the fields that depend on the clock."""
    records = map(json.loads, (folder / "metrics.jsonl").read_text().splitlines())
    return [
        {name: value for name, value in record.items() if name not in CLOCK}
        for record in records
        if split in (None, record["split"])
    ]


def difference(first: Path, second: Path) -> str | None:
    """Describe the first difference between two runs; None if they are equal bit for bit.

    Compares the weights, the optimizer state, the position in the data and the log.
    """
    a, b = (load_checkpoint(folder / "ckpt.pt", PRETRAINED) for folder in (first, second))
    if a.model.keys() != b.model.keys():
        return "they have other tensors"
    for name, value in a.model.items():
        if not torch.equal(value, b.model[name]):
            return f"{name} differs"
    for name in ("exp_avg", "exp_avg_sq"):
        if not all(map(torch.equal, a.training.optimizer[name], b.training.optimizer[name])):
            return f"the optimizer's {name} differs"
    for name in ("step", "stream", "corpus_tokens"):
        one, other = getattr(a.training, name), getattr(b.training, name)
        if one != other:
            return f"{name} differs: {one} and {other}"
    if metrics_of(first) != metrics_of(second):
        return "the metrics differ"
    return None


def said_in_one_line(error: str, match: str, lines: int = 1) -> None:
    """Raise Broken unless `error` is that many lines of error messages and contains `match`."""
    said = [line for line in error.splitlines() if "error: " in line]
    promise(
        error.count("\n") == lines == len(said) and match in error,
        f"not one line with {match!r}: {error[-800:]}",
    )


# --- faults: each makes one disturbed run and returns its outcome in a few words ---


def kill(bench: Bench, rng: random.Random) -> str:
    """SIGKILL at a random moment of the run."""
    out, cache = bench.new()
    running = bench.start("train.py", *bench.command(out, cache))
    over = not running.until_worked(rng.uniform(0, bench.seconds))
    running.kill()
    how = bench.go_on(out, cache)
    bench.check(out, cache)
    return "over already" if over else how


def kill_while_saving(bench: Bench, rng: random.Random) -> str:
    """SIGKILL while a checkpoint is half-written, or complete but not yet renamed.

    A kill that comes too late is tried again.
    """
    half: list[Path] = []
    size = (bench.whole / "ckpt.pt").stat().st_size
    while not half:
        out, cache = bench.new()
        running = bench.start("train.py", *bench.command(out, cache))
        save, least = rng.randrange(1, bench.steps // SAVE_EVERY), rng.randrange(size)
        running.until(lambda: (out / f"ckpt-{save * SAVE_EVERY}.pt").exists())
        running.until(lambda: any(size_of(path) >= least for path in out.glob(".ckpt.pt.*")))
        running.kill()
        half = list(out.glob(".ckpt.pt.*"))
    promise(bench.go_on(out, cache) == "resumed", "there was nothing to resume")
    bench.check(out, cache)
    return "half a checkpoint there, resumed"


def kill_while_tokenising(bench: Bench, rng: random.Random) -> str:
    """SIGKILL while the token store is half-written. A kill that comes too late is tried again."""
    half: list[Path] = []
    while not half:
        out, cache = bench.new()
        running = bench.start("train.py", *bench.command(out, cache))
        running.until(lambda: any(cache.glob(".tokens-*")))
        running.kill()
        half = list(cache.glob(".tokens-*"))
    how = bench.go_on(out, cache)
    bench.check(out, cache)
    return f"half a token store there, {how}"


def terminate(bench: Bench, rng: random.Random) -> str:
    """SIGTERM, as a scheduler sends it.

    The run saves and ends by itself before the scheduler would send SIGKILL.
    """
    out, cache = bench.new()
    running = bench.start("train.py", *bench.command(out, cache))
    step = rng.randrange(4, bench.steps // 2)
    promise(running.until(lambda: last_step(out) >= step), "it ended before its time")
    running.process.send_signal(signal.SIGTERM)
    ended = bench.expect_end(running.end(DEADLINE))
    promise(
        ended.error == ""
        and ended.said.splitlines()[-1] == f"  python train.py --out {out} --resume",
        f"it does not say how to go on: {ended.said[-200:]}{ended.error[-200:]}",
    )
    promise(
        load_checkpoint(out / "ckpt.pt", PRETRAINED).training.step >= step,
        "steps are lost",
    )
    bench.go_on(out, cache)
    bench.check(out, cache)
    return f"ended by itself within {DEADLINE} s with exit code 0, resumed"


def full_disk(bench: Bench, rng: random.Random) -> str:
    """To the end of the run no file can grow beyond a random size, less than a checkpoint's."""
    out, cache = bench.new_stopped(rng)
    before = (out / "ckpt.pt").read_bytes()
    limit = rng.randrange(1_000_000, len(before) - 1)
    running = bench.start(
        "train.py",
        "--out",
        out,
        "--cache",
        cache,
        "--resume",
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
    )
    ended = running.end()
    promise(ended.code == 2, f"exit code {ended.code}")
    said_in_one_line(ended.error, f"step {bench.steps} is not saved: cannot write the checkpoint")
    promise((out / "ckpt.pt").read_bytes() == before, "the last good checkpoint has changed")
    bench.go_on(out, cache)
    bench.check(out, cache)
    return "trained to the end, exit code 2, last checkpoint untouched, resumed"


def full_disk_freed(bench: Bench, rng: random.Random) -> str:
    """A real file system without room for a second checkpoint.

    Room is made once the run has reported it, or not until the run has ended.
    """
    out, cache = bench.new()
    disk = bench.case / "disk"
    disk.mkdir()
    size = (bench.whole / "ckpt.pt").stat().st_size
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={4 * size}", "none", disk],
        capture_output=True,
        text=True,
    )
    if mounted.returncode:
        return f"left out: {mounted.stderr.strip()}"
    try:
        out, freed = disk / "run", rng.random() < 0.7
        with open(disk / "filler", "wb") as filler:
            os.posix_fallocate(filler.fileno(), 0, int(size * rng.uniform(2.2, 2.9)))
        running = bench.start("train.py", *bench.command(out, cache))
        promise(
            running.until(lambda: "not saved: " in running.said.read_text()),
            "it does not say that the disk is full",
        )
        promise(load_checkpoint(out / "ckpt.pt", PRETRAINED), "no checkpoint")
        if freed:
            (disk / "filler").unlink()
            bench.expect_end(running.end())
            how = "freed: went on and saved"
        else:
            ended = running.end()
            promise(ended.code == 2, f"exit code {ended.code}")
            said_in_one_line(ended.error, "No space left on device; the one before it is untouched")
            (disk / "filler").unlink()
            promise(bench.go_on(out, cache) == "resumed", "there was nothing to resume")
            how = "full to the end: exit code 2, resumed"
        bench.check(out, cache)
    finally:
        subprocess.run(["umount", "-l", disk], check=True)
    return how


def flip(path: Path, rng: random.Random) -> None:
    """Flip one bit of a file in place, so that hard links to it change too."""
    place = rng.randrange(path.stat().st_size)
    with open(path, "r+b") as file:
        file.seek(place)
        byte = file.read(1)[0]
        file.seek(place)
        file.write(bytes([byte ^ 1 << rng.randrange(8)]))


def flip_checkpoint(bench: Bench, rng: random.Random) -> str:
    """One bit of ckpt.pt flips: the run names it and resumes from the checkpoint before it."""
    out, cache = bench.new_stopped(rng)
    earlier = min(run_folder.numbered(out))
    flip(out / "ckpt.pt", rng)
    ended = bench.expect_end(bench.run("train.py", "--out", out, "--cache", cache, "--resume"))
    promise(
        [
            line
            for line in ended.said.splitlines()
            if str(out / "ckpt.pt") in line
            and line.endswith(f"going on from {out / f'ckpt-{earlier}.pt'} instead")
        ],
        f"not named: {ended.said[:500]}",
    )
    bench.check(out, cache)
    return "named, resumed from the one before"


def close_terminal(bench: Bench, rng: random.Random) -> str:
    """The terminal is closed: SIGHUP, and all output from then on fails."""
    out, cache = bench.new()
    terminal, tty = os.openpty()
    os.set_blocking(terminal, False)
    running = bench.start(
        "train.py",
        *bench.command(out, cache),
        stdin=tty,
        stdout=tty,
        stderr=tty,
        start_new_session=True,
        preexec_fn=lambda: fcntl.ioctl(tty, termios.TIOCSCTTY, 0),
    )
    os.close(tty)
    step = rng.randrange(4, bench.steps // 2)

    def there() -> bool:
        with contextlib.suppress(BlockingIOError):
            os.read(terminal, 1 << 16)  # so that the program can go on writing
        return last_step(out) >= step

    promise(running.until(there), "it ended before its time")
    os.close(terminal)
    bench.expect_end(running.end(DEADLINE))
    promise(load_checkpoint(out / "ckpt.pt", PRETRAINED).training.step < bench.steps, "not stopped")
    promise(bench.go_on(out, cache) == "resumed", "there was nothing to resume")
    bench.check(out, cache)
    return "saved within 20 s, exit code 0, resumed"


def dead_output(bench: Bench, rng: random.Random) -> str:
    """What reads the output ends after the first line, as `head -1` or a killed `tee`."""
    out, cache = bench.new()
    reader, writer = os.pipe()
    running = bench.start("train.py", *bench.command(out, cache), stdout=writer, stderr=writer)
    os.close(writer)
    promise(os.read(reader, 1 << 16), "it printed nothing")
    os.close(reader)
    bench.expect_end(running.end())
    bench.check(out, cache)
    return "trained to the end, exit code 0"


def _flip_in_cache(bench: Bench, rng: random.Random, pattern: str, named: str) -> str:
    out, cache = bench.new()
    shutil.copytree(bench.cache, cache)
    [path] = cache.glob(pattern)
    flip(path, rng)
    ended = bench.expect_end(bench.run("train.py", *bench.command(out, cache)))
    promise(
        [
            line
            for line in ended.said.splitlines()
            if line.startswith(named) and line.endswith("making it again")
        ],
        f"not named: {ended.said[:500]}",
    )
    bench.check(out, cache)
    return "named, made again"


def flip_tokens(bench: Bench, rng: random.Random) -> str:
    """One bit of the token store flips: the run names it and makes it again."""
    return _flip_in_cache(bench, rng, "tokens-*/tokens.bin", "the token store ")


def flip_tokenizer(bench: Bench, rng: random.Random) -> str:
    """One bit of the cached tokenizer flips: the run names it and makes it again."""
    return _flip_in_cache(bench, rng, "tokenizer-*.model", "the tokenizer ")


def jumping_clock(bench: Bench, rng: random.Random) -> str:
    """Each reading of the clock is wrong by up to twelve hours."""
    out, cache = bench.new()
    patch = bench.case / "patch"
    patch.mkdir()
    (patch / "sitecustomize.py").write_text(JUMPING_CLOCK.format(seed=rng.randrange(1 << 30)))
    bench.expect_end(
        bench.start(
            "train.py",
            *bench.command(out, cache),
            environment={"PYTHONPATH": os.pathsep.join([str(patch), str(ROOT)])},
        ).end()
    )
    bench.check(out, cache)
    return "nothing differs"


def nan(bench: Bench, rng: random.Random) -> str:
    """NaN in the gradients of three steps: the run skips and counts them.

    A second run with the same NaN is killed and continued; it must equal the first.
    """
    whole, cache = bench.new()
    out = whole.with_name("killed")
    program = (
        "tests/faults/with_nan.py",
        ",".join(map(str, sorted(rng.sample(range(bench.steps - 5), 3)))),
    )
    bench.expect_end(bench.run(*program, *bench.command(whole, cache)))
    skipped = [record["skipped_steps"] for record in metrics_of(whole, "train")]
    promise(skipped[-1] == 3, f"{skipped[-1]} steps were skipped")
    running = bench.start(*program, *bench.command(out, cache))
    step = rng.randrange(4, bench.steps // 2)
    promise(
        running.until(lambda: last_step(out) >= step and (out / "ckpt.pt").exists()),
        "it ended before its time",
    )
    running.kill()
    bench.go_on(out, cache, program)
    bench.check(out, cache, whole)
    return "3 steps skipped and counted, the same after kill and resume"


def two_at_once(bench: Bench, rng: random.Random) -> str:
    """The same command started twice at the same time."""
    out, cache = bench.new()
    running = []
    for pause in (rng.choice((0, rng.uniform(0, 0.5))), 0):
        running.append(bench.start("train.py", *bench.command(out, cache)))
        time.sleep(pause)
    winner, loser = sorted((program.end() for program in running), key=lambda ended: ended.code)
    promise((winner.code, loser.code) == (0, 2), f"exit codes {winner.code} and {loser.code}")
    said_in_one_line(loser.error, f"the run folder {out} is in use by another process")
    bench.check(out, cache)
    return "one goes on, the other is refused"


def removed_folder(bench: Bench, rng: random.Random) -> str:
    """rm -rf on the run folder after a random step."""
    out, cache = bench.new()
    running = bench.start("train.py", *bench.command(out, cache))
    step = rng.randrange(4, bench.steps // 2)
    promise(
        running.until(lambda: last_step(out) >= step and (out / "ckpt.pt").exists()),
        "it ended before its time",
    )
    # It may fail: the run may save a file meanwhile.
    subprocess.run(["rm", "-rf", out], check=False, stderr=subprocess.DEVNULL)
    ended = bench.expect_end(running.end())
    promise(
        f"the run folder {out} was removed; it is made again" in ended.said,
        f"not said: {ended.said[-800:]}",
    )
    bench.check(out, cache)
    return "named, made again"


# --- faults of several ranks ---


def _ranks_settings(bench: Bench) -> tuple[object, ...]:
    """Settings of the runs of two ranks, which are longer."""
    return (
        *SETTINGS,
        "--steps",
        RANKS_STEPS,
        "--save-every",
        RANKS_SAVE_EVERY,
        "--log-every",
        4,
        "--eval-every",
        RANKS_STEPS,
        "--cache",
        bench.cache,
    )


def _undisturbed_ranks(bench: Bench) -> Path:
    """Folder of the undisturbed run of two ranks, which is made once."""
    whole = bench.folder / "whole-ranks"
    if not whole.exists():
        bench.expect_end(bench.torchrun(*_ranks_settings(bench), "--out", whole).end())
    return whole


def restarts(bench: Bench, rng: random.Random) -> str:
    """SIGKILL to one of two ranks, ten times, under torchrun --max-restarts 12."""
    whole = _undisturbed_ranks(bench)
    out, cache = bench.new()
    running = bench.torchrun(*_ranks_settings(bench), "--out", out, launcher=("--max-restarts", 12))
    kills, earlier = 0, set()
    there = lambda: sorted(set(workers_of(running)) - earlier)
    while kills < 10 and running.until(lambda: len(there()) == 2):
        both = there()
        unlucky = rng.choice(both)
        if running.until_worked(rng.uniform(0, 0.65 * bench.seconds), unlucky) and there() == both:
            os.kill(unlucky, signal.SIGKILL)
            kills += 1
        earlier.update(both)
    bench.expect_end(running.end())
    promise(kills >= 5, f"it ended after {kills} kills")
    bench.check(out, cache, whole)
    return f"{kills} kills in a row, exit code 0, nothing differs"


def lost_rank(bench: Bench, rng: random.Random) -> str:
    """SIGKILL to one of two ranks under torchrun without restarts."""
    whole = _undisturbed_ranks(bench)
    out, cache = bench.new()
    running = bench.torchrun(*_ranks_settings(bench), "--out", out)
    step = rng.randrange(4, RANKS_STEPS // 2)
    promise(
        running.until(lambda: last_step(out) >= step and (out / "ckpt.pt").exists()),
        "it ended before its time",
    )
    os.kill(rng.choice(workers_of(running)), signal.SIGKILL)
    ended = running.end()
    promise(ended.code != 0, "the job has ended as if nothing had been")
    promise(
        "[rank" not in ended.error.replace("[rank 1] train.py: error: a rank has ended", ""),
        ended.error[-1500:],
    )
    bench.expect_end(bench.torchrun("--out", out, "--cache", bench.cache, "--resume").end())
    bench.check(out, cache, whole)
    return "the job ended with an error, resumed"


def silent_rank(bench: Bench, rng: random.Random) -> str:
    """SIGSTOP to one of two ranks.

    The other rank stops waiting after --rank-timeout, and torchrun ends the job.
    """
    whole = _undisturbed_ranks(bench)
    out, cache = bench.new()
    running = bench.torchrun(*_ranks_settings(bench), "--out", out, "--rank-timeout", RANK_TIMEOUT)
    step = rng.randrange(4, RANKS_STEPS // 2)
    promise(
        running.until(lambda: last_step(out) >= step and (out / "ckpt.pt").exists()),
        "it ended before its time",
    )
    os.kill(rng.choice(workers_of(running)), signal.SIGSTOP)
    ended = running.end()
    promise(ended.code != 0, "the job has ended as if nothing had been")
    said = [line for line in ended.error.splitlines() if "train.py: error: " in line]
    promise(
        len(said) == 1
        and f"a rank has not answered within {RANK_TIMEOUT:g} minutes" in said[0]
        and "[rank0]:" not in ended.error
        and "[rank1]:" not in ended.error,
        f"said: {ended.error[-1500:]}",
    )
    bench.expect_end(bench.torchrun("--out", out, "--cache", bench.cache, "--resume").end())
    bench.check(out, cache, whole)
    return "given up in one line, the job ended with an error, resumed"


class Fault(NamedTuple):
    """A function that makes one disturbed run, and how often it runs with `--kills 50`."""

    run: Callable[[Bench, random.Random], str]
    times: int


FAULTS = {
    "kill": Fault(kill, 50),
    "kill while saving": Fault(kill_while_saving, 10),
    "kill while tokenising": Fault(kill_while_tokenising, 10),
    "terminate": Fault(terminate, 5),
    "closed terminal": Fault(close_terminal, 5),
    "dead output": Fault(dead_output, 5),
    "full disk": Fault(full_disk, 4),
    "full disk, freed": Fault(full_disk_freed, 5),
    "flip in ckpt.pt": Fault(flip_checkpoint, 6),
    "flip in tokens.bin": Fault(flip_tokens, 4),
    "flip in the tokenizer": Fault(flip_tokenizer, 4),
    "jumping clock": Fault(jumping_clock, 2),
    "nan": Fault(nan, 3),
    "two at once": Fault(two_at_once, 5),
    "removed folder": Fault(removed_folder, 5),
    "restarts": Fault(restarts, 1),
    "lost rank": Fault(lost_rank, 2),
    "silent rank": Fault(silent_rank, 2),
}


class Row(NamedTuple):
    """The outcomes of one fault's runs."""

    fault: str
    times: int
    outcomes: dict[str, int]
    findings: list[str]
    seconds: float


def repeat(
    name: str, bench: Bench, times: int, seed: int, keep: Path, first: int = 0
) -> Iterator[Row]:
    """Repeat one fault; yields the row so far after each run.

    (seed, fault, number) and the machine's speed determine what a run does.
    """
    outcomes: Counter[str] = Counter()
    findings, began = [], time.monotonic()
    for number in range(first, first + times):
        try:
            outcomes[FAULTS[name].run(bench, random.Random(f"{seed} {name} {number}"))] += 1
        except (Broken, ValueError, OSError) as problem:
            # ValueError and OSError mean an unreadable checkpoint or a missing file.
            place = keep / f"{name.replace(' ', '-')}-{seed}-{number}"
            shutil.rmtree(place, ignore_errors=True)
            shutil.copytree(bench.case, place)
            findings.append(
                f"{name}, seed {seed}, number {number}: "
                f"{type(problem).__name__}: {problem}\n    {place}"
            )
        finally:
            bench.kill_all()
        yield Row(name, number + 1 - first, dict(outcomes), findings, time.monotonic() - began)


def main(argv: list[str] | None = None) -> int:
    """Run with a command line; returns the exit code: 1 if there were findings, else 0."""
    parser = argparse.ArgumentParser(prog="harness.py", description=__doc__.split("\n")[0])
    parser.add_argument(
        "--kills",
        type=int,
        default=50,
        help="kills at random moments; other faults in proportion (default: 50)",
    )
    parser.add_argument(
        "--seed", type=int, default=0, help="seed of all random moments and places (default: 0)"
    )
    parser.add_argument(
        "--first",
        type=int,
        default=0,
        help="number of the first run of a fault; repeats one run (default: 0)",
    )
    parser.add_argument(
        "--only",
        choices=tuple(FAULTS),
        nargs="+",
        metavar="FAULT",
        default=list(FAULTS),
        help=f"some of: {', '.join(FAULTS)} (default: all)",
    )
    parser.add_argument("--json", type=Path, help="file for the rows of the table")
    parser.add_argument(
        "--keep",
        type=Path,
        default=Path(tempfile.gettempdir()) / "harness-findings",
        help="folder for the runs of findings (default: harness-findings in the temporary folder)",
    )
    args = parser.parse_args(argv)
    torch.set_num_threads(1)
    rows: dict[str, Row] = {}
    with tempfile.TemporaryDirectory(prefix="harness-") as temporary:
        bench = Bench(Path(temporary))
        print(
            f"seed {args.seed}; the undisturbed run took {bench.seconds:.1f} s of the processor\n"
            f"{'fault':<24}{'times':>6}{'findings':>10}{'seconds':>9}  outcomes",
            flush=True,
        )
        for name in args.only:
            times = max(1, round(FAULTS[name].times * args.kills / 50))
            for row in repeat(name, bench, times, args.seed, args.keep, args.first):
                rows[name] = row
                if args.json:
                    args.json.write_text(
                        json.dumps(
                            {"seed": args.seed, "rows": [row._asdict() for row in rows.values()]},
                            indent=1,
                            ensure_ascii=False,
                        )
                        + "\n"
                    )
            row = rows[name]
            said = "; ".join(f"{count} × {what}" for what, count in sorted(row.outcomes.items()))
            print(
                f"{name:<24}{row.times:>6}{len(row.findings):>10}{row.seconds:>9.0f}  {said}",
                flush=True,
            )
            for finding in row.findings:
                print(finding, flush=True)
    return 1 if any(row.findings for row in rows.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
