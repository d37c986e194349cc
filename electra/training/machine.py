"""What a program computes on: device, precision and the processes that share the work."""

from __future__ import annotations

from typing import NamedTuple

import torch

from electra.training import distributed
from electra.training.device import Precision, choose_device, choose_precision, use_available_cores
from electra.training.distributed import Ranks


class Machine(NamedTuple):
    """What the computing is done on."""

    device: torch.device
    precision: Precision
    ranks: Ranks


def choose_machine(device: str, amp: str, rank_timeout: float) -> Machine:
    """The machine that --device, --amp and --rank-timeout (minutes) ask for.

    Sets torch's threads, and joins the process group that torchrun describes. Raises ValueError
    for what is not there.
    """
    use_available_cores()
    chosen = choose_device(distributed.device_name(device))
    precision = choose_precision(amp, chosen)
    return Machine(chosen, precision, distributed.start(chosen, rank_timeout))
