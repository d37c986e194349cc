"""Sums and counts of the steps, and the figures of the log that they make."""

from __future__ import annotations

from torch import Tensor

from electra.training.distributed import Ranks

# figure: (sum, count)
RATIOS = {
    "mlm_loss": ("mlm_loss", "masked"),
    "mlm_acc": ("mlm_correct", "masked"),
    "sampled_acc": ("sampled_correct", "masked"),
    "rtd_loss": ("rtd_loss", "tokens"),
    "rtd_acc": ("rtd_correct", "tokens"),
    "rtd_precision": ("said_and_replaced", "said_replaced"),
    "rtd_recall": ("said_and_replaced", "replaced"),
    "replaced_frac": ("replaced", "tokens"),
}


def add_up(total: dict[str, Tensor], more: dict[str, Tensor]) -> None:
    """Add 0-d sums in place, in float64, so that a long window loses no count.

    Apple's GPUs have no float64; there they stay float32.
    """
    for name, value in more.items():
        wide = value.float() if value.device.type == "mps" else value.double()
        total[name] = total[name] + wide if name in total else wide


def sum_over(ranks: Ranks, sums: dict[str, Tensor]) -> dict[str, Tensor]:
    """The sums of all ranks added up, on the host of every rank."""
    total: dict[str, Tensor] = {}
    for theirs in ranks.gather({name: value.cpu() for name, value in sums.items()}):
        add_up(total, theirs)
    return total


def figures(sums: dict[str, Tensor]) -> dict[str, float]:
    """Sums and counts -> the figures of the log. Reads from the device.

    A count of 0 is taken for 1: where nothing is said to be replaced, precision is 0.
    """
    values = {name: float(value) for name, value in sums.items()}
    return {
        name: values[top] / max(values[bottom], 1.0)
        for name, (top, bottom) in RATIOS.items()
        if top in values
    }
