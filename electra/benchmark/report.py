"""What a run says: the table, notes below it, and all of it as JSON."""

from __future__ import annotations

import argparse
import json
import shlex
import statistics
import time
from typing import Any

import torch

from electra.benchmark.contender import Measurement, Trial
from electra.benchmark.summary import summarize, table
from electra.data.processes import available_cores
from electra.files import write_atomically
from electra.training.device import processor_name

SAVED_EVERY = 300  # seconds between two saves, for their share of the time
NO_SETTINGS = ("argv", "json", "only")  # flags that say nothing about what is measured


def report(args: argparse.Namespace, measurement: Measurement) -> None:
    """Print the table with its notes, and write the file of --json."""
    ours = measurement.trials[measurement.contenders[0].name]
    summaries = [
        summarize(
            contender.name,
            ours,
            measurement.trials[contender.name],
            measurement.unit,
            measurement.memory[contender.name],
            measurement.limits.get(contender.dtype or ""),
        )
        for contender in measurement.contenders
    ]
    notes = _notes(measurement, args.repeats)
    print("\n".join([table(summaries), *notes]))

    if args.json:
        content = _content(args, measurement, summaries, notes)
        write_atomically(args.json, (json.dumps(content, indent=1, default=str) + "\n").encode())


def _notes(measurement: Measurement, repeats: int) -> list[str]:
    contenders, trials, unit, _, limits = measurement
    notes = [f"{contender.name}: {contender.note}" for contender in contenders]
    notes += [
        f"limit: {limit / 1e9:,.0f} GFLOP/s in {dtype}, the fastest of some large matrix products"
        for dtype, limit in limits.items()
    ]
    if "saving" in trials:
        notes.append(_cost_of_a_save(trials["ours"], trials["saving"]))

    explained = f"medians of {repeats} turns"
    if len(contenders) > 1:
        explained += (
            f"; ratio: {unit}/s of {contenders[0].name} to those of the line, with the least and "
            f"the most of a round"
        )
    known = [f"{name} {value}" for name, value in machine().items() if value]
    return [*notes, explained, ", ".join(known)]


def _cost_of_a_save(alone: list[Trial], saving: list[Trial]) -> str:
    costs = [with_it.seconds - bare.seconds for with_it, bare in zip(saving, alone, strict=True)]
    median = statistics.median(costs)
    return (
        f"a save costs {median:.2f} s ({min(costs):.2f} to {max(costs):.2f}), which is "
        f"{median / SAVED_EVERY:.2%} of the time at one in {SAVED_EVERY // 60} minutes"
    )


def _content(
    args: argparse.Namespace,
    measurement: Measurement,
    summaries: list[dict[str, Any]],
    notes: list[str],
) -> dict[str, Any]:
    """The file of --json."""
    settings = {name: value for name, value in vars(args).items() if name not in NO_SETTINGS}
    return {
        "command": "python scripts/bench.py " + shlex.join(args.argv),
        "date": time.strftime("%Y-%m-%d %H:%M"),
        "machine": machine(),
        "settings": settings,
        "notes": notes,
        "limits": measurement.limits,
        "sides": summaries,
    }


def machine() -> dict[str, Any]:
    """The machine that the figures belong to."""
    return {
        "cpu": processor_name(),
        "cores": available_cores(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
    }
