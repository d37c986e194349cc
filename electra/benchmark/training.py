"""`bench.py pretrain` and `bench.py finetune`: steps and epochs, in processes that take turns."""

from __future__ import annotations

import argparse
import contextlib

import torch

from electra.benchmark.contender import Measurement, take_turns
from electra.benchmark.limits import matmul_limit
from electra.benchmark.processes import start_contenders
from electra.training.device import choose_device

UNITS = {"pretrain": "tokens", "finetune": "examples"}


def measure_training(args: argparse.Namespace) -> Measurement:
    """Start a process for each contender, warm up, and let them take turns."""
    names = list(dict.fromkeys(("ours", *args.peer)))

    with contextlib.ExitStack() as stack:
        contenders = start_contenders(stack, args.argv, names)
        for contender in contenders:
            for _ in range(args.warm_up):
                contender.run()

        # The limit is measured before and after, since the machine may be slower at one time.
        device = choose_device(args.device)
        dtypes = list(dict.fromkeys(one.dtype for one in contenders if one.dtype))
        before = _limits(dtypes, device)
        trials = take_turns(contenders, args.repeats)
        after = _limits(dtypes, device)

    limits = {dtype: max(before[dtype], after[dtype]) for dtype in before}
    memory = {name: trials[name][-1].workload.memory for name in names}
    return Measurement(contenders, trials, UNITS[args.command], memory, limits)


def _limits(dtypes: list[str], device: torch.device) -> dict[str, float]:
    return {dtype: matmul_limit(getattr(torch, dtype), device) for dtype in dtypes}
