"""Models, batches, steps and whole programs that several stages need."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import runpy
import sys
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from electra.config import CLS, SEP, SIZES, ModelConfig, preset_model_config
from electra.data.batch import Batch
from electra.gpu_proof.stages import StageContext
from electra.model.build import build
from electra.model.classifier import Classifier
from electra.training.device import Precision
from electra.training.loss_scale import LossScale
from electra.training.metric_sums import figures
from electra.training.optimizer import Adam, parameter_groups
from electra.training.passes import CudaGraphs
from electra.training.seeds import derive_seed
from electra.training.step import Learner, StepResult, train_step

KINDS = ("electra", "mlm", "classifier")
PRECISIONS = {"float32": None, "bf16": torch.bfloat16, "fp16": torch.float16}
CLASSES = 3


@dataclass
class Trainer:
    """A model and what a step of it needs. `step` is that of train.py and finetune.py."""

    model: Any  # Electra, BertMLM or Classifier
    optimizer: Adam
    scale: LossScale
    precision: Precision
    lr: float = 1e-3
    graphs: CudaGraphs | None = None
    wrapped: nn.Module | None = None  # the model with gradients that other ranks share
    steps: int = 0

    def step(self, batch: Batch) -> StepResult:
        """One optimizer step; its seed is its number."""
        seed = derive_seed(0, self.steps)
        self.steps += 1
        learner = Learner(
            self.wrapped or self.model,
            self.optimizer,
            self.scale,
            self.precision,
            graphs=self.graphs,
        )
        return train_step(learner, [batch], self.lr, seed)

    def weights(self) -> list[Tensor]:
        """Copies of all parameters and moments, on the host."""
        tensors = [*self.model.parameters(), *self.optimizer.exp_avg, *self.optimizer.exp_avg_sq]
        return [tensor.detach().cpu().clone() for tensor in tensors]


def config_for(
    context: StageContext, size: str, objective: str = "electra", dropout: float | None = None
) -> ModelConfig:
    """The shape of a size; in a rehearsal one so small that a step takes milliseconds."""
    config = preset_model_config(size, objective, SIZES[size].vocab_size, dropout)
    if not context.rehearse:
        return config
    return replace(
        config,
        vocab_size=500,
        embedding_size=16,
        hidden_size=32,
        num_layers=2,
        num_heads=2,
        intermediate_size=64,
        generator_hidden_size=16,
        generator_num_layers=2,
        generator_num_heads=1,
        generator_intermediate_size=32,
    )


def make_trainer(
    config: ModelConfig, kind: str, precision: str, device: torch.device, seed: int = 0
) -> Trainer:
    """A new model of a kind of KINDS in a precision of PRECISIONS, the same for the same seed."""
    torch.manual_seed(seed)
    if kind == "classifier":
        model: Any = Classifier(config, CLASSES)
    else:
        model = build(replace(config, objective=kind), SIZES["small"].mask_prob)
    model.to(device)
    own = Precision(PRECISIONS[precision], device.type)
    optimizer = Adam(parameter_groups(model, 0.01))
    return Trainer(model, optimizer, LossScale(own, device), own)


def count_differing(some: Iterable[Tensor], others: Iterable[Tensor]) -> int:
    """How many tensors are not those of the other model, bit for bit."""
    return sum(not torch.equal(one, other) for one, other in zip(some, others, strict=True))


def random_batch(
    config: ModelConfig, rows: int, width: int, seed: int = 0, padded: bool = False
) -> Batch:
    """Random words between [CLS] and [SEP], with labels. (rows, width); `padded`: every second row
    is half as long."""
    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(5, config.vocab_size, (rows, width), generator=generator)
    labels = torch.randint(CLASSES, (rows,), generator=generator)
    lengths = torch.full((rows,), width)
    if padded:
        lengths[1::2] = width // 2
    mask = torch.arange(width) < lengths[:, None]
    ids[:, 0] = CLS
    ids[torch.arange(rows), lengths - 1] = SEP
    ids = ids * mask
    return Batch(ids, torch.zeros_like(ids), mask if padded else None, labels)


def losses_of(result: StepResult) -> dict[str, float]:
    """The loss terms of a step, each divided by its count. Reads from the device."""
    if "loss" in result.sums:
        return {"loss": float(result.sums["loss"] / result.sums["weight"])}
    values = figures(result.sums)
    return {name: values[name] for name in ("mlm_loss", "rtd_loss") if name in values}


class HostDraws(TorchFunctionMode):
    """Lets a seeded `torch.Generator` of any device draw what one of the host draws, so that two
    devices train on the same masks and samples."""

    def __init__(self) -> None:
        super().__init__()
        self.twins: dict[int, torch.Generator] = {}

    def __torch_function__(
        self,
        function: Callable[..., Any],
        types: Any,
        args: Sequence[Any] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        generator = kwargs.get("generator")
        if generator is None or function not in (torch.rand, torch.randint):
            return function(*args, **kwargs)
        seed = generator.initial_seed()
        twin = self.twins.setdefault(seed, torch.Generator().manual_seed(seed))
        drawn = function(*args, **{**kwargs, "generator": twin, "device": "cpu"})
        return drawn.to(kwargs.get("device", "cpu"))


@contextlib.contextmanager
def compiler_at_hand(context: StageContext) -> Iterator[None]:
    """In a rehearsal `torch.compile` stops before it makes code, which takes a minute on a CPU."""
    real = torch.compile
    if context.rehearse:
        torch.compile = partial(real, backend="eager")  # type: ignore[assignment]
    try:
        yield
    finally:
        torch.compile = real


# --- whole programs, in processes forked from that of the stage ---


def run_program(
    context: StageContext,
    program: str,
    arguments: Sequence[object],
    log: str,
    before: Callable[[], None] = lambda: None,
) -> int:
    """Run train.py or finetune.py to its end, as if typed; returns its exit code."""
    process = start_program(context, program, arguments, log, before)
    process.join()
    return process.exitcode


def start_program(
    context: StageContext,
    program: str,
    arguments: Sequence[object],
    log: str,
    before: Callable[[], None] = lambda: None,
) -> Any:
    """Start a program of the checkout; `before` is called in its process first."""
    words = [str(context.root / program), *map(str, arguments)]

    def body() -> None:
        sys.argv = words
        sys.path.insert(0, str(context.root))
        before()
        runpy.run_path(words[0], run_name="__main__")

    return start_process(context, body, log)


def start_process(context: StageContext, body: Callable[[], None], log: str) -> Any:
    """Call `body` in a process of its own, in the scratch folder; what it prints goes to
    `scratch/log`.

    The process is forked, which saves the import of torch: this one must not have used the GPU.
    """
    process = multiprocessing.get_context("fork").Process(
        target=_run_body, args=(context, body, context.scratch / log)
    )
    process.start()
    return process


def _run_body(context: StageContext, body: Callable[[], None], log: Path) -> None:
    with open(log, "ab", buffering=0) as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    os.chdir(context.scratch)
    code = 0
    try:
        body()
    except SystemExit as stop:
        code = stop.code if isinstance(stop.code, int) else int(stop.code is not None)
    except BaseException:
        traceback.print_exc()
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)  # threads that do not end must not keep the process


def wait_until(condition: Callable[[], bool], process: Any) -> bool:
    """Whether `condition` became true while the process ran."""
    while process.is_alive():
        if condition():
            return True
        time.sleep(0.005)
    return condition()


def log_text(context: StageContext, log: str) -> str:
    """What a program has printed so far."""
    path = context.scratch / log
    return path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""
