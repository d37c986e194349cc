"""Evaluation on held-out text."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor

from electra.data.batch import Batch
from electra.evaluation.classification import roc_auc
from electra.model import masking
from electra.model.bert import BertMLM
from electra.model.electra import Electra
from electra.model.outputs import Detection, ModelOutput
from electra.training.device import Precision
from electra.training.distributed import ALONE, Ranks
from electra.training.metric_sums import add_up, figures, sum_over
from electra.training.seeds import derive_seed

EVALUATION_SEED = 1234  # masks of the held-out text: the same in every run
UNIGRAM_SHARE = 0.10


def scored(detection: Detection) -> tuple[np.ndarray, np.ndarray]:
    """(whether it was replaced, logit) of each real token, both (n,) float32."""
    replaced, logits = detection.replaced[detection.real], detection.logits[detection.real]
    return replaced.cpu().numpy(), logits.cpu().numpy()


def auc_of(pairs: Iterable[tuple[np.ndarray, np.ndarray]]) -> float:
    """Area under the ROC curve over what `scored` made of some batches.

    NaN where a logit is not finite.
    """
    replaced, logits = map(np.concatenate, zip(*pairs, strict=True))
    return roc_auc(replaced, logits) if np.isfinite(logits).all() else math.nan


@torch.no_grad()
def evaluate(
    model: Electra | BertMLM,
    batches: list[Batch],
    precision: Precision,
    device: torch.device,
    unigram: Tensor | None = None,
    ranks: Ranks = ALONE,
) -> dict[str, float]:
    """Figures on held-out batches, which ranks share, with masks that are the same every time.

    An ELECTRA also gets `rtd_auc` against its own generator, and `rtd_auc_unigram` against draws
    from the unigram counts `unigram`, (V,) float32, by which runs compare.
    """
    model.eval()
    sums: dict[str, Tensor] = {}
    own: list[Detection] = []
    fixed: list[Detection] = []
    for number, batch in ranks.share(list(enumerate(batches))):
        batch = batch.to(device)
        generator = torch.Generator(device).manual_seed(derive_seed(EVALUATION_SEED, number))
        with precision.autocast():
            step: ModelOutput = model(batch, generator)
            add_up(sums, step.sums)
            if isinstance(model, Electra) and unigram is not None:
                assert step.detection is not None
                own.append(step.detection)
                fixed.append(_detect_unigram(model, batch, unigram, step.detection.real, generator))

    result = figures(sum_over(ranks, sums))
    if isinstance(model, Electra) and unigram is not None:
        for name, detections in (("rtd_auc", own), ("rtd_auc_unigram", fixed)):
            gathered = ranks.gather([scored(detection) for detection in detections])
            result[name] = auc_of(pair for pairs in gathered for pair in pairs)
    return result


def _detect_unigram(
    model: Electra, batch: Batch, unigram: Tensor, real: Tensor, generator: torch.Generator
) -> Detection:
    """What the discriminator says where a share of the tokens were drawn from unigram counts."""
    corrupted, replaced = masking.corrupt_unigram(
        batch.input_ids, unigram, UNIGRAM_SHARE, generator, model.config.special
    )
    return Detection(model.detect(corrupted, batch), replaced, real, corrupted)


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
