"""Batches of a model that predicts, several at a time on a CPU.

Two cores that share a batch wait for each other in every operation. With a batch each they do up to
1.4 times as much (docs/performance-log.md).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import torch

MOST_THREADS = 4  # that run a model side by side; more would wait for each other in Python

Item = TypeVar("Item")
Result = TypeVar("Result")


def side_by_side(
    predict: Callable[[Item], Result], items: Iterable[Item], device: torch.device
) -> Iterator[Result]:
    """predict(item) for each item, in their order, without gradients.

    On a CPU several threads of this process run it, each with its share of the cores that torch may
    use in this thread. Autocast has to begin inside `predict`. Few items are read ahead. Raises
    what `predict` raises.
    """

    def run(item: Item) -> Result:
        with torch.no_grad():
            return predict(item)

    cores = torch.get_num_threads()
    count = min(cores, MOST_THREADS) if device.type == "cpu" else 1
    if count == 1:
        yield from map(run, items)
        return

    under_way: deque[Future[Result]] = deque()
    pool = ThreadPoolExecutor(count, "batch", torch.set_num_threads, (cores // count,))
    try:
        for item in items:
            under_way.append(pool.submit(run, item))
            if len(under_way) >= 2 * count:
                yield under_way.popleft().result()
        while under_way:
            yield under_way.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)
        torch.set_num_threads(cores)  # threads that begin later take the number that was set last
