"""Programs in processes of their own that do not import torch again.

Such a process is forked from a server that has imported torch and the project and computed nothing.
An import takes two seconds of the processor, which is more than a short run takes. Only a test of
the start itself needs a new interpreter.
"""

import multiprocessing
import os
import runpy
import subprocess
import sys
import tempfile
import time
from multiprocessing import forkserver
from pathlib import Path

import pytest
from conftest import ROOT

# A rank imports the compiler of torch and its shared-out optimizer where it begins.
PRELOADED = ["torch", "torch._dynamo", "torch.distributed.optim", "train", "finetune"]


def server():
    """The context of the processes. All of them share one server, which starts with the first."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(ROOT))  # whatever the folder, and what is installed
        forkserver.ensure_running()
    return context


class Popen:
    """`python PROGRAM ARGUMENTS` or `python -c CODE`: as much of subprocess.Popen as tests need.

    The output goes to the files `stdout` and `stderr`, or to temporary ones that `communicate`
    reads. With `pause` each training step takes that many seconds more, which cost no processor
    time: what has to come before the last step then comes in time.
    """

    def __init__(self, command, cwd=".", env=None, stdout=None, stderr=None, pause=0.0):
        assert command[0] == sys.executable
        self.files = [tempfile.NamedTemporaryFile() for _ in range(2)]
        outputs = [given or own for given, own in zip((stdout, stderr), self.files, strict=True)]
        self.process = server().Process(
            target=be_the_program,
            args=(
                [str(part) for part in command[1:]],
                os.path.abspath(cwd),
                dict(os.environ if env is None else env),
                [file.name for file in outputs],
                pause,
            ),
        )
        self.process.start()
        self.pid = self.process.pid

    @property
    def returncode(self):
        return self.process.exitcode

    def poll(self):
        return self.returncode

    def wait(self, timeout=None):
        self.process.join(timeout)
        if self.returncode is None:
            raise subprocess.TimeoutExpired(self.process.name, timeout)
        return self.returncode

    def communicate(self, timeout=None):
        """Wait for the end; returns (stdout, stderr)."""
        self.wait(timeout)
        return tuple(Path(file.name).read_text() for file in self.files)

    def send_signal(self, number):
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self):
        self.process.kill()


def run(command, capture_output=False, text=True, **settings):
    """subprocess.run, with the settings of Popen above. What is captured is text."""
    process = Popen(command, **settings)
    code = process.wait()
    captured = process.communicate() if capture_output else (None, None)
    return subprocess.CompletedProcess(command, code, *captured)


def be_the_program(command, folder, environment, outputs, pause):
    """Be the program: its folder, environment, output, and arguments."""
    for file, descriptor in zip(outputs, (1, 2), strict=True):
        opened = os.open(file, os.O_WRONLY | os.O_APPEND)
        os.dup2(opened, descriptor)
        os.close(opened)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)

    import torch

    torch.set_num_threads(1)
    if pause:
        slow_down(pause)
    if command[0] == "-c":
        sys.argv = command[:1] + command[2:]
        exec(compile(command[1], "<string>", "exec"), {"__name__": "__main__"})
    else:
        sys.argv = command
        sys.path.insert(0, str(Path(command[0]).resolve().parent))
        runpy.run_path(command[0], run_name="__main__")


def slow_down(pause):
    """Let each step of train.py take that many seconds more."""
    import train
    from electra.training import step

    real = step.train_step

    def train_step(*arguments):
        time.sleep(pause)
        return real(*arguments)

    train.train_step = step.train_step = train_step
