"""Stages: the GPU computes what the CPU computes."""

from __future__ import annotations

import math
import subprocess
import sys
from importlib import metadata

import torch
from torch import Tensor

from electra.benchmark.limits import matmul_limit
from electra.config import SPECIAL_IDS
from electra.data.processes import available_cores
from electra.gpu_proof.findings import Findings
from electra.gpu_proof.stages import StageContext
from electra.gpu_proof.workloads import (
    KINDS,
    PRECISIONS,
    HostDraws,
    config_for,
    losses_of,
    make_trainer,
    random_batch,
)
from electra.model import masking
from electra.model.masked_lm_loss import masked_lm_loss
from electra.training.device import choose_device, processor_name

STEPS = 20
# Largest relative difference of a loss from that of the CPU in float32: of the first step, and of
# the mean over STEPS, in which differences of rounding have grown. float32 is TF32 on a GPU.
TOLERANCES = {"float32": (2e-3, 1e-2), "bf16": (2e-2, 3e-2), "fp16": (5e-3, 2e-2)}
SAFE_SCALE = 256.0  # of an fp16 loss: no step is skipped, as it may be with the usual first one
DEVIATE = 5.0  # one in some millions by chance


def machine(context: StageContext, findings: Findings) -> None:
    """What the figures belong to, and the most that its matrix products reach."""
    device = choose_device(context.device)
    if device.type == "cuda":
        properties = torch.cuda.get_device_properties(device)
        findings.value("GPU", properties.name)
        findings.value("GPU memory", properties.total_memory / 2**30, "GiB")
        findings.value("driver", _driver())
        findings.value("CUDA", str(torch.version.cuda))
    findings.value("CPU", processor_name())
    findings.value("cores", available_cores())
    findings.value("Python", sys.version.split()[0])
    for package in ("torch", "numpy", "sentencepiece", "tqdm", "transformers"):
        findings.value(package, _version(package))
    for name in ("bf16", "float32"):
        limit = matmul_limit(PRECISIONS[name] or torch.float32, device)
        findings.value(f"limit of matrix products in {name}", limit / 1e12, "TFLOP/s")


def _driver() -> str:
    command = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return "unknown"
    return (done.stdout.strip().splitlines() or ["unknown"])[0]


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"


def agreement(context: StageContext, findings: Findings) -> None:
    """The losses of STEPS steps on the device, against those of the CPU in float32."""
    device = choose_device(context.device)
    for kind in KINDS:
        reference = _losses(context, kind, "float32", torch.device("cpu"))
        for precision, (first, mean) in TOLERANCES.items():
            found = _losses(context, kind, precision, device)
            for term in reference[0]:
                ours, theirs = ([step[term] for step in run] for run in (found, reference))
                what = f"{kind} in {precision}, {term}"
                findings.at_most(
                    f"{what}: relative difference of the first step",
                    abs(ours[0] / theirs[0] - 1),
                    first,
                )
                findings.at_most(
                    f"{what}: of the mean over {STEPS} steps",
                    abs(sum(ours) / sum(theirs) - 1),
                    mean,
                )


def _losses(
    context: StageContext, kind: str, precision: str, device: torch.device
) -> list[dict[str, float]]:
    config = config_for(context, "tiny", dropout=0.0)
    rows, width = (4, 32) if context.rehearse else (8, 64)  # what a CPU computes in seconds
    trainer = make_trainer(config, kind, precision, device)
    if precision == "fp16":
        trainer.scale.scale.fill_(SAFE_SCALE)
    found = []
    with HostDraws():
        for number in range(STEPS):
            batch = random_batch(config, rows, width, seed=number % 4, padded=number % 2 == 0)
            found.append(losses_of(trainer.step(batch.to(device))))
    return found


def draws(context: StageContext, findings: Findings) -> None:
    """Masks and samples are valid, and their counts are those of their distributions."""
    device = choose_device(context.device)
    repeats = 50 if context.rehearse else 400
    generator = torch.Generator(device).manual_seed(0)
    vocab_size, rows, width = 105, 64, 102
    ids = torch.randint(5, vocab_size, (rows, width), device=device, generator=generator)
    ids[:, 0], ids[:, -1] = SPECIAL_IDS.cls, SPECIAL_IDS.sep

    for objective, kinds in (("electra", (0.85, 0.15)), ("mlm", (0.8, 0.1, 0.1))):
        at, changes, others = _count_masks(ids, objective, vocab_size, generator, repeats, findings)
        # Positions are drawn without replacement: their counts vary less than independent ones.
        share = 15 / (width - 2)
        spread = (1 - share) * (width - 2) / (width - 3)
        findings.at_most(f"{objective}: positions, deviate", _deviate(at, scale=spread), DEVIATE)
        findings.at_most(
            f"{objective}: kinds of change, deviate", _deviate(changes, kinds), DEVIATE
        )
        if others is not None:
            findings.at_most(f"{objective}: random tokens, deviate", _deviate(others), DEVIATE)
    _check_samples(device, repeats, findings)


def _count_masks(
    ids: Tensor,
    objective: str,
    vocab_size: int,
    generator: torch.Generator,
    repeats: int,
    findings: Findings,
) -> tuple[Tensor, Tensor, Tensor | None]:
    """Counts by position, by kind of change, and of the random tokens by id; checks the rest."""
    rows, width = ids.shape
    at, changes = torch.zeros(width), torch.zeros(2 if objective == "electra" else 3)
    others = torch.zeros(vocab_size)
    valid = True
    for _ in range(repeats):
        masked = masking.mask(ids, 0.15, objective, vocab_size, generator)
        chosen = masked.weights.bool()
        positions = masked.positions[chosen]
        new = masked.input_ids.gather(1, masked.positions)[chosen]
        old = masked.targets[chosen]
        valid &= bool((masked.weights.sum(1) == 15).all() and (old >= 5).all())
        valid &= int((masked.input_ids != ids).sum()) <= rows * 15
        at += torch.bincount(positions, minlength=width).cpu()
        is_mask, same = new == SPECIAL_IDS.mask, new == old
        other = new[~is_mask & ~same]
        others += torch.bincount(other, minlength=vocab_size).cpu()
        counts = [is_mask.sum(), same.sum(), (~is_mask & ~same).sum()]
        if objective == "electra":
            valid &= int(counts.pop()) == 0
        changes += torch.stack(counts).cpu()
    findings.holds(f"{objective}: masks are valid", valid)
    if objective == "electra":
        return at[1:-1], changes, None
    # A random token equals the old one by chance: that one counts as kept.
    replaced = changes[2] * (vocab_size - 5) / (vocab_size - 6)
    changes[1] -= replaced - changes[2]
    changes[2] = replaced
    return at[1:-1], changes, others[5:]


def _check_samples(device: torch.device, repeats: int, findings: Findings) -> None:
    """The draws of the vocabulary head against its own softmax."""
    vocab_size, rows, hidden_size = 50, 500, 8
    generator = torch.Generator().manual_seed(1)
    table = torch.randn(vocab_size, hidden_size, generator=generator)
    hidden = torch.randn(1, hidden_size, generator=generator).expand(rows, -1)
    expected = torch.softmax((hidden[0].double() @ table.double().T), -1)
    counts = torch.zeros(vocab_size)
    own = torch.Generator(device).manual_seed(2)
    hidden_there, table_there = hidden.to(device), table.to(device)
    bias, weights = torch.zeros(vocab_size, device=device), torch.ones(rows, device=device)
    targets = torch.zeros(rows, dtype=torch.int64, device=device)
    for _ in range(repeats):
        uniform = torch.rand(rows, 1, generator=own, device=device)
        _, _, sampled = masked_lm_loss(hidden_there, table_there, bias, targets, weights, uniform)
        assert sampled is not None
        counts += torch.bincount(sampled, minlength=vocab_size).cpu()
    enough = expected * counts.sum() >= 5  # below, a chi-square statistic is none
    rest = torch.stack([counts[~enough].sum(), expected[~enough].sum()])
    counts, expected = (
        torch.cat([kept[enough], rest[i][None]]) for i, kept in enumerate((counts, expected))
    )
    findings.at_most("samples, deviate", _deviate(counts, expected.tolist()), DEVIATE)


def _deviate(counts: Tensor, shares: object = None, scale: float = 1.0) -> float:
    """A chi-square statistic of counts (n,) against `shares` (n numbers; None: all the same) as a
    standard normal deviate, after Wilson and Hilferty (1931); large: another distribution.

    `scale` is the variance of a count as a share of an independent one's.
    """
    counts = counts.double()
    weights = torch.ones_like(counts) if shares is None else torch.tensor(shares).double()
    expected = counts.sum() * weights / weights.sum()
    there = expected > 0
    if (counts[~there] > 0).any():
        return math.inf
    counts, expected = counts[there], expected[there]
    freedom = max(1, len(counts) - 1)
    statistic = float(((counts - expected) ** 2 / expected).sum()) / scale
    spread = 2 / (9 * freedom)
    return ((statistic / freedom) ** (1 / 3) - (1 - spread)) / math.sqrt(spread)


def overflow(context: StageContext, findings: Findings) -> None:
    """An fp16 step with a loss scale that is too large, and the one after it."""
    device = choose_device(context.device)
    config = config_for(context, "tiny")
    for kind in KINDS:
        trainer = make_trainer(config, kind, "fp16", device)
        batch = random_batch(config, 8, 32, padded=True).to(device)
        trainer.scale.scale.fill_(SAFE_SCALE)
        trainer.step(batch)
        before = trainer.weights()

        trainer.scale.scale = trainer.scale.scale * 2.0**100
        large = float(trainer.scale.scale)
        trainer.step(batch)
        same = all(map(torch.equal, before, trainer.weights()))
        findings.holds(f"{kind}: the step is skipped", int(trainer.scale.skipped) == 1)
        findings.holds(f"{kind}: the scale is halved", float(trainer.scale.scale) == large / 2)
        findings.holds(f"{kind}: weights and moments stay", same)

        trainer.scale.scale = trainer.scale.scale / 2.0**99
        trainer.step(batch)
        moved = not all(map(torch.equal, before, trainer.weights()))
        findings.holds(f"{kind}: the next step trains", moved and int(trainer.scale.skipped) == 1)
