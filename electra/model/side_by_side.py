"""Batches of a model that predicts, several at a time on a CPU.

Cores that share a batch wait for each other in every operation. With a batch each they do up to 1.6
times as much (docs/performance-log.md).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager
from itertools import chain, islice
from typing import NamedTuple, TypeVar

import numpy as np
import torch
from torch import Tensor

from electra.data.batch import Batch

MOST_THREADS = 4  # that run a model side by side; more would wait for each other in Python

Item = TypeVar("Item")
Result = TypeVar("Result")


class NumberedBatch(NamedTuple):
    """Some of the examples that were encoded together."""

    numbers: np.ndarray  # (B,) int64, which examples
    batch: Batch  # on the device of the model


def predict_batches(
    predict: Callable[[Batch], Tensor],
    batches: Iterable[NumberedBatch],
    device: torch.device,
    autocast: Callable[[], AbstractContextManager],
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """(numbers of the examples, predict(batch) on the host) of each batch, as `side_by_side`."""

    def run(numbered: NumberedBatch) -> tuple[np.ndarray, np.ndarray]:
        numbers, batch = numbered
        with autocast():
            values = predict(batch)
        return numbers, values.cpu().numpy()

    return side_by_side(run, batches, device)


def side_by_side(
    predict: Callable[[Item], Result], items: Iterable[Item], device: torch.device
) -> Iterator[Result]:
    """predict(item) for each item, in their order, without gradients.

    On a CPU several threads of this process run it, each with its share of the cores that torch may
    use in this thread; a single item has all of them. Autocast has to begin inside `predict`. Few
    items are read ahead. Raises what `predict` raises.
    """

    def run(item: Item) -> Result:
        with torch.no_grad():
            return predict(item)

    cores = torch.get_num_threads()
    items = iter(items)
    first = list(islice(items, min(cores, MOST_THREADS) if device.type == "cpu" else 1))
    if len(first) <= 1:
        yield from map(run, chain(first, items))
        return

    under_way: deque[Future[Result]] = deque()
    shares = iter(shares_of_cores(cores, len(first)))
    pool = ThreadPoolExecutor(len(first), "batch", lambda: use_cores(next(shares)))
    try:
        for item in chain(first, items):
            under_way.append(pool.submit(run, item))
            if len(under_way) >= 2 * len(first):
                yield under_way.popleft().result()
        while under_way:
            yield under_way.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)
        use_cores(cores)  # threads that begin later take the number that was set last


def shares_of_cores(cores: int, threads: int) -> list[int]:
    """How many cores each thread has: at least one, and as equally many as can be."""
    return [max(1, cores // threads + (i < cores % threads)) for i in range(threads)]


def use_cores(count: int) -> None:
    """Let torch compute with so many cores in this thread, whatever others do."""
    torch.get_num_threads()  # a thread's first look would take what another thread set last
    torch.set_num_threads(count)
