"""Several processes under torchrun: their group, who one of them is, what they tell each other.

A step over N ranks is the step of one process. Every rank makes the whole batch and its masks,
which cost nothing beside the networks, and computes its share of the rows. So all know the global
counts without asking, and the same command is the same training on one GPU or eight. For a process
alone, all of it does nothing.
"""

from __future__ import annotations

import os
import re
import sys
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, NamedTuple

import torch
import torch.distributed as dist
from torch import nn

from electra.cli import Failure

TOKENISING = timedelta(days=2)  # patience with the first rank, which prepares what all read


class Ranks(NamedTuple):
    """One process of several; `Ranks()` is one alone."""

    rank: int = 0
    world_size: int = 1
    host: Any = None  # group for messages between hosts, which do not wait for the devices
    long_timeout_group: Any = None  # the same, for long waits

    @property
    def first(self) -> bool:
        """Whether this one prints and writes."""
        return self.rank == 0

    def rows(self, count: int) -> tuple[slice, bool]:
        """This rank's rows of a batch of `count`, and whether this rank counts them.

        Where there are fewer rows than ranks, some ranks get a row that another one counts, so that
        all take part in the step.
        """
        begin = count * self.rank // self.world_size
        end = count * (self.rank + 1) // self.world_size
        return (slice(begin, end), True) if begin < end else (slice(0, 1), False)

    def share(self, items: list[Any]) -> list[Any]:
        """Every `world_size`-th item, from the one with the number of the rank."""
        return items[self.rank :: self.world_size]

    def gather(self, value: Any) -> list[Any]:
        """The values of all ranks, in their order, on every rank.

        Plain values and arrays; no tensors on a GPU.
        """
        if self.world_size == 1:
            return [value]
        values: list[Any] = [None] * self.world_size
        dist.all_gather_object(values, value, group=self.host)
        return values

    def all_reduce_max(self, *said: float) -> list[float]:
        """Of each number the largest that a rank says."""
        if self.world_size == 1:
            return [float(number) for number in said]
        numbers = torch.tensor(said, dtype=torch.float64)
        dist.all_reduce(numbers, dist.ReduceOp.MAX, group=self.host)
        return numbers.tolist()

    @contextmanager
    def rank0_first(self) -> Iterator[None]:
        """The block runs on the first rank, then on the others, which find what it has made."""
        if self.world_size > 1 and not self.first:
            dist.barrier(self.long_timeout_group)
        yield
        if self.world_size > 1 and self.first:
            dist.barrier(self.long_timeout_group)


ALONE = Ranks()


def started_by_torchrun() -> bool:
    """Whether this process is one of torchrun's."""
    return "TORCHELASTIC_RUN_ID" in os.environ


def restarted() -> bool:
    """Whether torchrun has started this process again, after one of them failed."""
    return int(os.environ.get("TORCHELASTIC_RESTART_COUNT", 0)) > 0


def device_name(name: str) -> str:
    """--device on this rank: of several GPUs each rank takes its own."""
    if started_by_torchrun() and name in ("auto", "cuda") and torch.cuda.is_available():
        return f"cuda:{os.environ['LOCAL_RANK']}"
    return name


def start(device: torch.device, minutes: float) -> Ranks:
    """Join the group that torchrun describes; alone where it did not start this process.

    minutes: after which the others give up a rank that does not answer, with an error.
    """
    if not started_by_torchrun():
        return Ranks()
    timeout = timedelta(minutes=minutes)
    store, rank, world = next(dist.rendezvous("env://", timeout=timeout))
    if os.environ.get("GROUP_WORLD_SIZE", "1") == "1":
        # torchrun keeps one store through all restarts (pytorch #135712): a process that is early
        # would find addresses of ended ones in it. Processes on one machine count restarts alike;
        # those on several do not, see docs/scaling.md.
        store = dist.PrefixStore(
            f"start {os.environ.get('TORCHELASTIC_RESTART_COUNT', '0')}", store
        )
    dist.init_process_group(
        "nccl" if device.type == "cuda" else "gloo",
        store=store,
        rank=rank,
        world_size=world,
        timeout=timeout,
    )
    host, long_timeout_group = (
        dist.new_group(backend="gloo", timeout=wait) for wait in (timeout, TOKENISING)
    )
    return Ranks(rank, world, host, long_timeout_group)


def describe_rank_failure(problem: RuntimeError, minutes: float) -> str | None:
    """What to say of an error that is another rank's silence or end; None for any other error.

    gloo has no types of errors, only texts.
    """
    text = str(problem).split("\n")[0]
    if not started_by_torchrun():
        return None
    if isinstance(problem, dist.DistError) or re.search(
        "connection|broken pipe", text, re.IGNORECASE
    ):
        return f"a rank has ended or cannot be reached: {text}"
    if re.search("time ?out|timed out", text, re.IGNORECASE):
        return f"a rank has not answered within {minutes:g} minutes (--rank-timeout): {text}"
    return None


@contextmanager
def explain_rank_failure(minutes: float) -> Iterator[None]:
    """Turn an error that is another rank's silence or end into a `Failure` that says so."""
    try:
        yield
    except RuntimeError as problem:
        if (said := describe_rank_failure(problem, minutes)) is None:
            raise
        raise Failure(said) from None


def stop() -> None:
    """Leave the group, where there is one."""
    if dist.is_initialized():
        dist.destroy_process_group()


def wrap(model: nn.Module, ranks: Ranks) -> nn.Module:
    """The model, with gradients that become their mean over the ranks in the backward pass."""
    return model if ranks.world_size == 1 else data_parallel(model)


def data_parallel(model: nn.Module) -> nn.Module:
    """Torch's wrapper as this project uses it, whatever the number of ranks."""
    with warnings.catch_warnings():  # newer versions have another name for broadcast_buffers
        warnings.simplefilter("ignore", FutureWarning)
        return nn.parallel.DistributedDataParallel(
            model, broadcast_buffers=False, gradient_as_bucket_view=True
        )


def quiet_unless_first() -> None:
    """Let the first rank alone print: the others would print the same."""
    if int(os.environ.get("RANK", 0)) > 0:
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115, for the whole process


def report(line: str) -> None:
    """Print a mistake. Mostly all ranks find the same one; the others let the first print it."""
    rank = int(os.environ.get("RANK", 0))
    if rank > 0:
        time.sleep(3)
        line = f"[rank {rank}] {line}"
    print(line, file=sys.stderr)
