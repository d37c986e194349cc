"""Figures from sums, and evaluation on held-out text."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor, nn

from electra.data.batch import Batch
from electra.evaluation.classification import roc_auc
from electra.model import masking
from electra.model.electra import Electra
from electra.model.outputs import Detection, Step
from electra.training.device import Precision
from electra.training.distributed import Ranks
from electra.training.seeds import derive_seed

EVALUATION_SEED = 1234  # masks of the held-out text: the same in every run
UNIGRAM_SHARE = 0.10


def add_up(total: dict[str, Tensor], more: dict[str, Tensor]) -> None:
    """Add sums in place, in float64 (which Apple's GPUs lack), so that a long window loses no count."""
    for name, value in more.items():
        wide = value.float() if value.device.type == "mps" else value.double()
        total[name] = total[name] + wide if name in total else wide


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


def figures(sums: dict[str, Tensor]) -> dict[str, float]:
    """Sums and counts -> the figures of the log. Reads from the device. Nothing said to be replaced: precision 0."""
    values = {name: float(value) for name, value in sums.items()}
    return {
        name: values[top] / max(values[bottom], 1.0)
        for name, (top, bottom) in RATIOS.items()
        if top in values
    }


def sum_over(ranks: Ranks, sums: dict[str, Tensor]) -> dict[str, Tensor]:
    """The sums of all ranks added up, on every rank."""
    total: dict[str, Tensor] = {}
    for theirs in ranks.gather({name: value.cpu() for name, value in sums.items()}):
        add_up(total, theirs)
    return total


def scored(detection: Detection) -> tuple[np.ndarray, np.ndarray]:
    """(replaced or not, logit) of the real tokens."""
    return detection.replaced[detection.real].cpu().numpy(), detection.logits[
        detection.real
    ].cpu().numpy()


def auc_of(pairs: Iterable[tuple[np.ndarray, np.ndarray]]) -> float:
    """Area under the ROC curve over what `scored` made of some batches; NaN where a logit is not finite."""
    replaced, logits = map(np.concatenate, zip(*pairs))
    return roc_auc(replaced, logits) if np.isfinite(logits).all() else math.nan


@torch.no_grad()
def evaluate(
    model: nn.Module,
    batches: list[Batch],
    precision: Precision,
    device: torch.device,
    unigram: Tensor | None = None,
    ranks: Ranks = Ranks(),
) -> dict[str, float]:
    """Figures on held-out batches, which ranks share, with masks that are the same every time. ELECTRA also gets `rtd_auc`
    against its own generator, and `rtd_auc_unigram` against draws from the unigram counts `unigram` (V,), by which runs
    compare."""
    model.eval()
    detects = isinstance(model, Electra) and unigram is not None
    sums: dict[str, Tensor] = {}
    own, fixed = [], []
    for number, batch in ranks.share(list(enumerate(batches))):
        batch = batch.to(device)
        generator = torch.Generator(device).manual_seed(derive_seed(EVALUATION_SEED, number))
        with precision.autocast():
            step: Step = model(batch, generator)
            add_up(sums, step.sums)
            if detects:
                own.append(step.detection)
                corrupted, replaced = masking.corrupt_unigram(
                    batch.input_ids, unigram, UNIGRAM_SHARE, generator, model.config.special
                )
                fixed.append(
                    Detection(
                        model.detect(corrupted, batch), replaced, step.detection.real, corrupted
                    )
                )
    result = figures(sum_over(ranks, sums))
    if detects:
        for name, detections in (("rtd_auc", own), ("rtd_auc_unigram", fixed)):
            result[name] = auc_of(
                pair for pairs in ranks.gather([scored(d) for d in detections]) for pair in pairs
            )
    return result


def entropy_of(shares: Iterable[float]) -> float:
    """Of a distribution, in nats: the loss of always answering with the shares themselves."""
    return -sum(float(p) * math.log(p) for p in shares if p > 0)


def replaced_entropy(result: dict[str, float]) -> float:
    """The RTD loss of knowing only how many tokens are replaced."""
    return entropy_of((result["replaced_frac"], 1 - result["replaced_frac"]))


def is_plateau(result: dict[str, float]) -> bool:
    """Whether a discriminator knows no more than how many tokens are replaced."""
    prior = replaced_entropy(result)
    return abs(result["rtd_loss"] - prior) <= 0.01 * prior and result["rtd_auc"] < 0.55
