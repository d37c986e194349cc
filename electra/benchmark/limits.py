"""What the machine can do at most, and the memory of this process."""

from __future__ import annotations

import re
import time
from pathlib import Path

import torch

# (m, k, n) of products m x k times k x n. The fastest one is the limit. Some are square, the
# others have the shapes of wide layers.
PRODUCTS = {
    "cpu": ((1024, 1024, 1024), (4096, 1024, 1024), (4096, 256, 1024)),
    "cuda": ((4096, 4096, 4096), (8192, 8192, 8192), (16384, 1024, 4096)),
}


def matmul_limit(dtype: torch.dtype, device: torch.device) -> float:
    """FLOP/s of the fastest of PRODUCTS, from the best of three tries each."""
    best = 0.0

    for m, k, n in PRODUCTS.get(device.type, PRODUCTS["cpu"]):
        a, b = (torch.randn(size, device=device).to(dtype) for size in ((m, k), (k, n)))
        a @ b
        for _ in range(3):
            synchronize(device)
            began = time.perf_counter()
            a @ b
            synchronize(device)
            best = max(best, 2 * m * k * n / (time.perf_counter() - began))

    return best


def synchronize(device: torch.device) -> None:
    """Wait until the device has done everything that it was told to do."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


def peak_memory(device: torch.device) -> int | None:
    """The most bytes that this process has held: allocated on a GPU, else resident.

    None off Linux.
    """
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)

    status = Path("/proc/self/status")
    if not status.exists():
        return None
    found = re.search(r"VmHWM:\s*(\d+)", status.read_text())
    assert found is not None
    return int(found[1]) * 1024
