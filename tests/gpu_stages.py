"""Stages that go wrong in every way, for test_prove_gpu.py."""

import os
import signal
import subprocess
import sys
import time


def passes(settings, findings):
    findings.value("device", settings.device)
    findings.at_most("a difference", 0.5, 1.0)


def misses(settings, findings):
    findings.holds("two is three", False)
    findings.at_most("not a number", float("nan"), 1.0)


def raises(settings, findings):
    findings.value("before the error", 1)
    raise RuntimeError("the stage is broken | really")


def exits(settings, findings):
    os._exit(3)


def hangs(settings, findings):
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    findings.value("child", child.pid)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    time.sleep(600)


def is_killed(settings, findings):
    findings.value("before the end", 1)
    os.kill(os.getpid(), signal.SIGKILL)


def sleeps(settings, findings):
    time.sleep(600)
