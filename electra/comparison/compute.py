"""Equal compute for both objectives: floating-point operations, steps, and how to describe them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import torch
from torch.utils.flop_counter import FlopCounterMode

from electra.comparison.settings import OBJECTIVE_OF, ComparisonConfig
from electra.config import SIZES, ModelConfig, nearest_size, parse_phases, preset_model_config
from electra.data.batch import Batch
from electra.data.processes import available_cores
from electra.model.build import build
from electra.training.device import processor_name


def steps_by_model(
    config: ComparisonConfig, steps: int | None, pretrained: Mapping[str, ModelConfig] | None = None
) -> dict[str, int | None]:
    """Steps of "electra" and "bert": `steps` for ELECTRA, and as many as cost the same for BERT.

    `pretrained` has the model configs of two checkpoints; without it they are those of --size.
    Where `steps` is None, so are both: the clock ends the training.
    """
    if steps is None:
        return {"bert": None, "electra": None}

    cost = {}
    for name, one in (pretrained or _configs_of_size(config)).items():
        first_phase = parse_phases(128, config.phases, one.max_positions)[0]
        cost[name] = flops_per_token(one, first_phase.seq_len)
    return {"electra": steps, "bert": max(1, round(steps * cost["electra"] / cost["bert"]))}


def _configs_of_size(config: ComparisonConfig) -> dict[str, ModelConfig]:
    vocab_size = config.vocab_size or SIZES[config.size].vocab_size
    return {
        name: preset_model_config(config.size, objective, vocab_size)
        for name, objective in OBJECTIVE_OF.items()
    }


def flops_per_token(config: ModelConfig, seq_len: int) -> float:
    """Floating-point operations per token of pre-training, forward and backward.

    They are counted while a step of two sequences runs: torch counts the matrix products.
    """
    mask_prob = SIZES[nearest_size(config)].mask_prob
    model = build(replace(config, attention_init="usual"), mask_prob)

    generator = torch.Generator().manual_seed(0)
    input_ids = torch.randint(5, config.vocab_size, (2, seq_len), generator=generator)
    batch = Batch(input_ids, torch.zeros_like(input_ids), None)
    with FlopCounterMode(display=False) as counter:
        model(batch, torch.Generator().manual_seed(0)).losses.sum().backward()
    return counter.get_total_flops() / input_ids.numel()


def describe_equal_compute(config: ComparisonConfig) -> dict[str, str]:
    """How the compute of the two objectives was made equal: "flops" or "time", and a sentence."""
    if config.steps is not None or config.post_steps is not None:
        return {
            "by": "flops",
            "text": "both objectives got the same number of floating-point operations, counted "
            "from the matrix products of a step of each",
        }
    pretraining = (
        f"{config.pretraining_minutes:g} minutes of pre-training, " if config.corpus else ""
    )
    return {
        "by": "time",
        "text": "both objectives got the same time on the same machine: "
        f"{pretraining}{config.post_pretraining_minutes:g} of post-pre-training"
        + (", side by side" if config.jobs > 1 else ""),
    }


def describe_machine(device: str, amp: str) -> str:
    """Processor, cores, torch's version and precision; with a GPU its name first."""
    name = processor_name()
    if torch.cuda.is_available() and device in ("auto", "cuda"):
        name = f"{torch.cuda.get_device_name()}, {name}"
    return f"{name}, {available_cores()} cores, torch {torch.__version__}, amp {amp}"
