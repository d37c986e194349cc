"""Devices, precision, and the memory that a process keeps."""

from __future__ import annotations

import contextlib
import ctypes
import os
import platform
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import torch

from electra.data.processes import available_cores


def choose_device(name: str) -> torch.device:
    """The device of that name; for "auto" the first GPU, or the CPU without one.

    Raises ValueError for a device that is not there.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError):
        raise ValueError(f"--device {name} is not on this machine") from None
    if device.type == "cuda":
        torch.backends.cuda.matmul.allow_tf32 = True
        if device.index is not None:
            torch.cuda.set_device(device)  # where NCCL, streams and CUDA graphs look
    else:
        _keep_memory_of_steps()
    return device


def use_available_cores() -> None:
    """Let torch compute with no more threads than this process has cores.

    Torch itself counts the machine's, or the affinity's. Where a container's quota is lower, its
    threads wait for each other while they are throttled. OMP_NUM_THREADS, where it is set, wins.
    """
    cores = available_cores()
    if "OMP_NUM_THREADS" not in os.environ and torch.get_num_threads() > cores:
        torch.set_num_threads(cores)


M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # of malloc.h


def _keep_memory_of_steps() -> None:
    """Let the C library, where it is glibc, keep what a step has freed for the next one.

    By itself it returns the end of its heap whenever 64 MB of it are free, and gets the same pages
    again, one fault each, in the next step. Setting one of its limits ends its own adjusting of the
    other. So the size above which a tensor stays outside the heap is set too: to 32 MB, where
    glibc's own stops growing. Without that limit the heap falls into pieces.
    """
    _glibc("mallopt", M_MMAP_THRESHOLD, 2**25)
    _glibc("mallopt", M_TRIM_THRESHOLD, 2**31 - 1)


def give_memory_back() -> None:
    """Return what freed tensors took to the system, where the C library is glibc.

    Batches of many shapes leave its heap in pieces: fine-tuning tiny at 512 tokens held 2.2 GB
    after 90 steps, of which 0.8 GB were in use.
    """
    _glibc("malloc_trim", 0)


def _glibc(name: str, *arguments: int) -> None:
    """Call a function that only glibc has; elsewhere nothing."""
    if sys.platform == "linux" and hasattr(library := ctypes.CDLL(None), name):
        getattr(library, name)(*arguments)


def make_deterministic() -> None:
    """Let every operation give the same bits each time, or raise where it has no such form.

    On a CPU they do already. On a GPU sums of gradients are otherwise added up in an order that
    varies; torch names the operations under `torch.use_deterministic_algorithms`. Call this before
    the device computes anything: cuBLAS reads its workspace when it starts.
    """
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True)
    # Nothing here reads such memory.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]


@contextlib.contextmanager
def explain_out_of_memory(device: torch.device, advice: Callable[[], str]) -> Iterator[None]:
    """Turn an allocation that fails inside into a ValueError that says what to try: `advice()`."""
    try:
        yield
    except RuntimeError as problem:
        on_host = "DefaultCPUAllocator" in str(problem)
        if not (on_host or isinstance(problem, torch.OutOfMemoryError)):
            raise
        where = "the machine" if on_host else f"the device {device}"
        raise ValueError(f"{where} is out of memory; try {advice()}") from None


class Precision(NamedTuple):
    """What matrix products are computed in; None: float32 throughout."""

    dtype: torch.dtype | None
    device_type: str

    @property
    def name(self) -> str:
        """As --amp has it."""
        return {None: "off", torch.bfloat16: "bf16", torch.float16: "fp16"}[self.dtype]

    def autocast(self) -> contextlib.AbstractContextManager:
        """Inside, matrix products are computed in this precision."""
        if self.dtype is None:
            return contextlib.nullcontext()
        return torch.autocast(self.device_type, self.dtype)


def choose_precision(amp: str, device: torch.device) -> Precision:
    """The precision of that name; for "auto" bf16 where the device has it, else float32.

    Raises ValueError for fp16 on a CPU.
    """
    if amp == "auto":
        amp = "bf16" if _has_bf16(device) else "off"
    if amp == "fp16" and device.type == "cpu":
        raise ValueError("--amp fp16 needs a GPU; on a CPU take bf16 or off")
    return Precision({"bf16": torch.bfloat16, "fp16": torch.float16, "off": None}[amp], device.type)


def _has_bf16(device: torch.device) -> bool:
    """Whether a device has instructions for bf16."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported()
    if device.type == "cpu":
        return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())
    return False


def processor_name() -> str:
    """The processor's name where Linux tells it, else its architecture."""
    info = Path("/proc/cpuinfo")
    found = re.search(r"model name\s*: (.*)", info.read_text()) if info.exists() else None
    return found[1].strip() if found else platform.processor() or platform.machine()
