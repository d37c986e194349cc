"""How many cores a process may use, and child processes that end with their parent."""

import json
import math
import os
import subprocess
import sys

import pytest

from electra.data import processes
from electra.data.processes import available_cores, cpu_quota
from electra.training import device

pytestmark = pytest.mark.fast


@pytest.fixture
def groups(tmp_path):
    """groups(own, files) -> the quota where /proc/self/cgroup and the files say so."""

    def quota(own, files):
        for name, content in files.items():
            path = tmp_path / "cgroup" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content)
        (tmp_path / "own").write_text(own)
        return cpu_quota(tmp_path / "cgroup", tmp_path / "own")

    return quota


FIRST = {"cpu.cfs_quota_us": "300000\n", "cpu.cfs_period_us": "100000\n"}


@pytest.mark.parametrize(
    ("own", "files", "quota"),
    [
        ("0::/\n", {"cpu.max": "150000 100000\n"}, 1.5),
        ("0::/\n", {"cpu.max": "max 100000\n"}, math.inf),
        ("0::/a/b\n", {"a/b/cpu.max": "max 100000", "a/cpu.max": "200000 100000"}, 2),
        ("0::/a/b\n", {"a/b/cpu.max": "100000 100000", "a/cpu.max": "200000 100000"}, 1),
        # The name that a container's group has outside of it is nowhere inside.
        ("0::/docker/1234\n", {"cpu.max": "250000 100000"}, 2.5),
        ("0::/../../x\n", {"cpu.max": "250000 100000"}, 2.5),
        ("3:cpu,cpuacct:/\n0::/\n", {f"cpu/{name}": text for name, text in FIRST.items()}, 3),
        ("3:cpu:/a\n2:cpuset:/b\n", {f"cpu/a/{name}": text for name, text in FIRST.items()}, 3),
        ("3:cpu:/\n", {"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "1000"}, math.inf),
        ("3:cpu:/\n", {"cpu/cpu.cfs_quota_us": "1000"}, math.inf),
        ("", {}, math.inf),
        ("nonsense\n::\n", {"cpu.max": "nonsense"}, math.inf),
    ],
)
def test_the_quota_is_the_lowest_of_all_groups(own, files, quota, groups):
    assert groups(own, files) == quota


@pytest.mark.parametrize(
    ("quota", "cores"), [(math.inf, 8), (20.0, 8), (3.0, 3), (1.5, 2), (0.1, 1)]
)
def test_the_cores_are_those_of_affinity_and_quota(quota, cores, monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(8)), raising=False)
    monkeypatch.setattr(processes, "cpu_quota", lambda: quota)
    assert available_cores() == cores


@pytest.mark.parametrize(
    ("threads", "environment", "chosen"),
    [(8, None, [3]), (2, None, []), (8, "8", [])],  # OMP_NUM_THREADS wins
)
def test_torch_computes_with_no_more_threads_than_cores(threads, environment, chosen, monkeypatch):
    said = []
    monkeypatch.setattr(device, "available_cores", lambda: 3)
    monkeypatch.setattr(device.torch, "get_num_threads", lambda: threads)
    monkeypatch.setattr(device.torch, "set_num_threads", said.append)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    if environment:
        monkeypatch.setenv("OMP_NUM_THREADS", environment)
    device.use_available_cores()
    assert said == chosen


def test_a_child_whose_parent_is_gone_ends():
    command = [sys.executable, "-P", "-m", "electra.data.sentencepiece_child"]
    with subprocess.Popen(command, stdin=subprocess.PIPE) as child:
        asked = {"parent": os.getpid() + 1, "settings": {}}  # it has another one
        child.stdin.write(json.dumps(asked).encode() + b"\n")
        child.stdin.flush()  # its input stays open, as one that another process holds
        assert child.wait(30) == 1
