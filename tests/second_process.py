"""A second pytest for some files of a whole run, beside the first.

The tests start many programs, and one process waits for them a third of its time. So a run of the
whole suite, on two cores or more, gives these files to a process of their own. Its tests are in no
count of the first; conftest.py prints its last line, and all that it said where a test failed.
"""

import os
import signal
import subprocess
import sys
import tempfile

import pytest

from electra.data.processes import available_cores

# Those that start most programs, and together take almost half of the time.
FILES = (
    "tests/test_bench.py",
    "tests/test_compare_models.py",
    "tests/test_cuda_graphs.py",
    "tests/test_distributed.py",
    "tests/test_faults.py",
    "tests/test_fuzz.py",
    "tests/test_run_settings.py",
)
# Options of pytest that choose tests or stop early.
CHOOSING = ("markexpr", "keyword", "deselect", "maxfail", "collectonly", "usepdb")


def is_whole_suite(config):
    """Whether `pytest` was typed without files and without a choice of tests, on several cores."""
    typed = config.args_source is not pytest.Config.ArgsSource.TESTPATHS
    chosen = any(getattr(config.option, name, None) for name in CHOOSING)
    return not typed and not chosen and available_cores() > 1


class SecondProcess:
    """pytest on `FILES`. Its output goes to a temporary file."""

    def __init__(self, root):
        self.output = tempfile.TemporaryFile("w+")
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *FILES]
        self.process = subprocess.Popen(
            command,
            cwd=root,
            stdout=self.output,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # so that `end` reaches its children too
        )

    def wait(self):
        """(its exit code, all that it printed), once it has ended."""
        code = self.process.wait()
        self.output.seek(0)
        return code, self.output.read()

    def end(self):
        """Kill what is left of it."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
        self.output.close()
