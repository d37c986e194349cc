"""One `train_step` and one `evaluate` for ELECTRA, BERT and fine-tuning; devices, precision, and the log."""

from __future__ import annotations

import contextlib
import ctypes
import json
import math
import os
import sys
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

from electra import masking, metrics
from electra.batching import Batch
from electra.distributed import Ranks
from electra.models import Detection, Electra, Step, detection_sums
from electra.optim import Adam

NON_FINITE_LIMIT = 20   # steps in a row
EVALUATION_SEED = 1234  # masks of the held-out text: the same in every run
UNIGRAM_SHARE = 0.10


def choose_device(name: str) -> torch.device:
    """"auto" -> the first GPU, or the CPU. Raises ValueError for a device that is not there."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError):
        raise ValueError(f"--device {name} is not on this machine") from None
    if device.type == "cuda":
        torch.backends.cuda.matmul.allow_tf32 = True
        if device.index is not None:
            torch.cuda.set_device(device)   # where NCCL, streams and CUDA graphs look
    else:
        _keep_memory_of_steps()
    return device


M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3   # of malloc.h


def _keep_memory_of_steps() -> None:
    """Let the C library, where it is glibc, keep what a step has freed for the next one.

    By itself it returns the end of its heap whenever 64 MB of it are free, and gets the same pages again, one fault each,
    in the next step. Setting one of its limits ends its own adjusting of the other, so that the size above which a tensor
    stays outside the heap is set too: to 32 MB, where glibc's own stops growing. With none the heap falls into pieces.
    """
    _glibc("mallopt", M_MMAP_THRESHOLD, 2 ** 25)
    _glibc("mallopt", M_TRIM_THRESHOLD, 2 ** 31 - 1)


def give_memory_back() -> None:
    """Return what freed tensors took to the system, where the C library is glibc.

    Batches of many shapes leave its heap in pieces: fine-tuning tiny at 512 tokens held 2.2 GB after 90 steps, of which
    0.8 GB were in use.
    """
    _glibc("malloc_trim", 0)


def _glibc(name: str, *arguments: int) -> None:
    """Call a function that only glibc has; elsewhere nothing."""
    if sys.platform == "linux" and hasattr(library := ctypes.CDLL(None), name):
        getattr(library, name)(*arguments)


class Precision(NamedTuple):
    """What matrix products are computed in; None: float32 throughout."""

    dtype: torch.dtype | None
    device_type: str

    @property
    def name(self) -> str:
        return {None: "off", torch.bfloat16: "bf16", torch.float16: "fp16"}[self.dtype]

    def autocast(self) -> contextlib.AbstractContextManager:
        if self.dtype is None:
            return contextlib.nullcontext()
        return torch.autocast(self.device_type, self.dtype)


def choose_precision(amp: str, device: torch.device) -> Precision:
    """"auto": bf16 on GPUs and on CPUs with instructions for it, else float32. Raises ValueError for fp16 on a CPU."""
    if amp == "auto":
        there = {"cuda": lambda: torch.cuda.is_bf16_supported(), "cpu": _cpu_has_bf16}.get(device.type, lambda: False)()
        amp = "bf16" if there else "off"
    if amp == "fp16" and device.type == "cpu":
        raise ValueError("--amp fp16 needs a GPU; on a CPU take bf16 or off")
    return Precision({"bf16": torch.bfloat16, "fp16": torch.float16, "off": None}[amp], device.type)


def _cpu_has_bf16() -> bool:
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())


def mix(*numbers: int) -> int:
    """One seed of 63 bits from several numbers, such that neighbours have nothing in common."""
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0] >> np.uint64(1))


class LossScale:
    """Dynamic loss scaling for fp16, kept on the device: halved by a step that is not finite, doubled after 2,000 that
    are. Elsewhere it stays at 1."""

    def __init__(self, precision: Precision, device: torch.device) -> None:
        self.dynamic = precision.dtype == torch.float16
        self.scale = torch.tensor(65_536.0 if self.dynamic else 1.0, device=device)
        self.good = torch.zeros((), device=device)
        self.bad_in_row = torch.zeros((), device=device)
        self.skipped = torch.zeros((), device=device)

    def update(self, finite: Tensor) -> None:
        """Count a step; `finite` is 0-d bool."""
        self.bad_in_row = torch.where(finite, 0.0, self.bad_in_row + 1)
        self.skipped = self.skipped + ~finite
        if self.dynamic:
            good = torch.where(finite, self.good + 1, 0.0)
            grown = torch.where(good >= 2000, self.scale * 2, self.scale)
            self.scale = torch.where(finite, grown, (self.scale / 2).clamp(min=1.0))
            self.good = torch.where(good >= 2000, 0.0, good)

    def state_dict(self) -> dict[str, Tensor]:
        return {name: getattr(self, name) for name in ("scale", "good", "bad_in_row", "skipped")}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        for name, value in state.items():
            setattr(self, name, value.to(self.scale.device))


class StepResult(NamedTuple):
    """Of one optimizer step; tensors stay on the device until the log is written."""

    sums: dict[str, Tensor]
    detection: Detection | None   # of the last micro-batch
    grad_norm: Tensor


def forward_backward(model: nn.Module, batch: Batch, generator: torch.Generator, rows: slice, factors: Tensor,
                     precision: Precision) -> Step:
    """Add the gradient of the sum of losses times `factors`, (n,) float32, to that of the parameters."""
    with precision.autocast():
        step: Step = model(batch, generator, rows)
    (step.losses * factors).sum().backward()
    return step._replace(losses=step.losses.detach())


class CudaGraphs:
    """`forward_backward` as one CUDA graph for each shape of batch: played back, the host starts it instead of every
    kernel. Stands in for it in `train_step`, on one GPU, for a model and a precision that stay the same.

    A graph is a list of kernels and addresses, so that all that differs from step to step has to lie where it lay when
    the graph was recorded: the batch and the factors are copied there, gradients are added up in place
    (`Adam.zero_grad(keep=True)`), and seeds go into generators that the graph knows. The `Step` that it returns is
    overwritten by the next one.
    """

    WARM_UP = 2   # plain passes before a shape is recorded: they compile, choose kernels and make the gradients

    def __init__(self, device: torch.device) -> None:
        self.generator = torch.Generator(device)   # for masks and samples
        # The nodes that add up gradients belong to the stream in which they were made, and must not be of another.
        self.stream = torch.cuda.Stream(device)
        self.pool = torch.cuda.graph_pool_handle()
        self.passes: Counter[tuple] = Counter()
        self.recorded: dict[tuple, tuple[torch.cuda.CUDAGraph, Batch, Tensor, Step]] = {}

    def __call__(self, model: nn.Module, batch: Batch, generator: torch.Generator, rows: slice, factors: Tensor,
                 precision: Precision) -> Step:
        """As `forward_backward`; `generator` must be the object's own and `rows` all of them."""
        assert generator is self.generator and rows == slice(0, len(batch.input_ids))
        shape = tuple(None if t is None else t.shape for t in batch)
        if shape not in self.recorded:
            self.passes[shape] += 1
            if self.passes[shape] <= self.WARM_UP:
                self.stream.wait_stream(torch.cuda.current_stream())
                with torch.cuda.stream(self.stream):
                    step = forward_backward(model, batch, generator, rows, factors, precision)
                torch.cuda.current_stream().wait_stream(self.stream)
                return step
            batch, factors = batch.map(torch.clone), factors.clone()
            graph = torch.cuda.CUDAGraph()
            if torch.__version__ < "2.14":   # from then on torch does it by itself, and warns
                graph.register_generator_state(generator)
            # Other threads may go on meanwhile: one that saves a checkpoint gives pinned memory back.
            with torch.cuda.graph(graph, self.pool, self.stream, "thread_local"):
                step = forward_backward(model, batch, generator, rows, factors, precision)
            self.recorded[shape] = graph, batch, factors, step
        graph, own_batch, own_factors, step = self.recorded[shape]
        for own, given in zip([*own_batch, own_factors], [*batch, factors]):
            if own is not None:
                own.copy_(given)
        graph.replay()
        return step


def choose_graphs(wanted: bool | None, device: torch.device, ranks: Ranks = Ranks()) -> CudaGraphs | None:
    """Raises ValueError where they are wanted but not possible."""
    if wanted and (device.type != "cuda" or ranks.world > 1):
        where = f"{ranks.world} processes" if ranks.world > 1 else f"the device {device}"
        raise ValueError(f"CUDA graphs are for one process on one GPU, not for {where}; take --no-cuda-graphs")
    return CudaGraphs(device) if wanted else None


def train_step(model: nn.Module, batches: list[Batch], optimizer: Adam, lr: float, scale: LossScale,
               precision: Precision, seed: int, ranks: Ranks = Ranks(), graphs: CudaGraphs | None = None) -> StepResult:
    """One optimizer step over micro-batches, which are the same on every rank; `model` is what `distributed.wrap` made.

    Each term of the loss is a sum over all micro-batches and ranks divided once by its count over all of them: a mean
    of means would weigh tokens by how full their micro-batch happened to be. All randomness comes from `seed`: masks
    are those of the whole batch, dropout is the rank's own. The result is of this rank's rows.
    """
    model.train()
    bare = getattr(model, "module", model)
    device = batches[0].input_ids.device
    counts = torch.stack([bare.counts(batch) for batch in batches]).sum(0)                        # (n,)
    factors = torch.stack([weight / count for weight, count in zip(bare.weights, counts.clamp(min=1))])
    factors = factors * ranks.world                                   # gradients become the mean over ranks
    optimizer.zero_grad(keep=graphs is not None)
    run, generator = (graphs, graphs.generator) if graphs else (forward_backward, torch.Generator(device))
    sums: dict[str, Tensor] = {}
    for number, batch in enumerate(batches):
        torch.manual_seed(mix(seed, number, 2 * ranks.rank))                                      # dropout
        generator.manual_seed(mix(seed, number, 1))                                               # masks and samples
        rows, weight = ranks.rows(len(batch.input_ids))
        last = number == len(batches) - 1
        with contextlib.nullcontext() if last or ranks.world == 1 else model.no_sync():
            step = run(model, batch, generator, rows, factors * (scale.scale * weight), precision)
        add_up(sums, {name: value * weight for name, value in step.sums.items()} if weight != 1 else step.sums)
    norm, finite = optimizer.step(lr, scale.scale)
    scale.update(finite)
    return StepResult(sums, step.detection, norm)


def add_up(total: dict[str, Tensor], more: dict[str, Tensor]) -> None:
    """Add sums in place, in float64 (which Apple's GPUs lack), so that a long window loses no count."""
    for name, value in more.items():
        wide = value.float() if value.device.type == "mps" else value.double()
        total[name] = total[name] + wide if name in total else wide


# figure: (sum, count)
RATIOS = {
    "mlm_loss": ("mlm_loss", "masked"), "mlm_acc": ("mlm_correct", "masked"),
    "sampled_acc": ("sampled_correct", "masked"),
    "rtd_loss": ("rtd_loss", "tokens"), "rtd_acc": ("rtd_correct", "tokens"),
    "rtd_precision": ("said_and_replaced", "said_replaced"), "rtd_recall": ("said_and_replaced", "replaced"),
    "replaced_frac": ("replaced", "tokens"),
}


def figures(sums: dict[str, Tensor]) -> dict[str, float]:
    """Sums and counts -> the figures of the log. Reads from the device. Nothing said to be replaced: precision 0."""
    values = {name: float(value) for name, value in sums.items()}
    return {name: values[top] / max(values[bottom], 1.0) for name, (top, bottom) in RATIOS.items() if top in values}


def sum_over(ranks: Ranks, sums: dict[str, Tensor]) -> dict[str, Tensor]:
    """The sums of all ranks added up, on every rank."""
    total: dict[str, Tensor] = {}
    for theirs in ranks.gather({name: value.cpu() for name, value in sums.items()}):
        add_up(total, theirs)
    return total


def scored(detection: Detection) -> tuple[np.ndarray, np.ndarray]:
    """(replaced or not, logit) of the real tokens."""
    return detection.replaced[detection.real].cpu().numpy(), detection.logits[detection.real].cpu().numpy()


def auc_of(pairs: Iterable[tuple[np.ndarray, np.ndarray]]) -> float:
    """Area under the ROC curve over what `scored` made of some batches; NaN where a logit is not finite."""
    replaced, logits = map(np.concatenate, zip(*pairs))
    return metrics.roc_auc(replaced, logits) if np.isfinite(logits).all() else math.nan


@torch.no_grad()
def evaluate(model: nn.Module, batches: list[Batch], precision: Precision, device: torch.device,
             unigram: Tensor | None = None, ranks: Ranks = Ranks()) -> dict[str, float]:
    """Figures on held-out batches, which ranks share, with masks that are the same every time. ELECTRA also gets `rtd_auc`
    against its own generator, and `rtd_auc_unigram` against draws from the unigram counts `unigram` (V,), by which runs
    compare."""
    model.eval()
    detects = isinstance(model, Electra) and unigram is not None
    sums: dict[str, Tensor] = {}
    own, fixed = [], []
    for number, batch in ranks.share(list(enumerate(batches))):
        batch = batch.to(device)
        generator = torch.Generator(device).manual_seed(mix(EVALUATION_SEED, number))
        with precision.autocast():
            step: Step = model(batch, generator)
            add_up(sums, step.sums)
            if detects:
                own.append(step.detection)
                corrupted, replaced = masking.corrupt_unigram(batch.input_ids, unigram, UNIGRAM_SHARE, generator,
                                                              model.config.special)
                fixed.append(Detection(model.detect(corrupted, batch), replaced, step.detection.real, corrupted))
    result = figures(sum_over(ranks, sums))
    if detects:
        for name, detections in (("rtd_auc", own), ("rtd_auc_unigram", fixed)):
            result[name] = auc_of(pair for pairs in ranks.gather([scored(d) for d in detections]) for pair in pairs)
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


class MetricsLog:
    """`metrics.jsonl`: one object a line, with `step`, `split` and figures; TensorBoard events too, where the package
    is installed. A disk on which it cannot be written stops nobody: the lines wait in memory."""

    def __init__(self, folder: Path, step: int = 0) -> None:
        """Go on after `step`: lines of later steps, which a killed run wrote after its last checkpoint, go away."""
        self.path = folder / "metrics.jsonl"
        self.lines: list[str] = []   # all of them, some hundred bytes each
        if self.path.exists():
            self.lines = [line for line in self.path.read_text().splitlines() if _step_of(line) <= step]
            temporary = self.path.with_name(f".metrics.{os.getpid()}")
            temporary.write_text("".join(line + "\n" for line in self.lines))
            os.replace(temporary, self.path)
        self.on_disk = len(self.lines)
        self.failing = False
        try:
            from torch.utils.tensorboard import SummaryWriter
            self.board = SummaryWriter(str(folder / "tensorboard"), purge_step=step + 1)
        except ImportError:
            self.board = None

    def write(self, step: int, split: str, values: dict[str, Any]) -> None:
        record = {"step": step, "split": split, **{name: _rounded(value) for name, value in values.items()}}
        self.lines.append(json.dumps(record))
        self.flush()
        if self.board is not None:
            try:
                for name, value in values.items():
                    self.board.add_scalar(f"{split}/{name}", value, step)
                self.board.flush()
            except OSError as problem:
                tqdm.write(f"cannot write for TensorBoard: {problem.strerror or problem}; it gets no more figures")
                self.board = None

    def flush(self) -> None:
        """Write the lines that the file lacks: all of them, where it was removed. What cannot be written is said once,
        and waits for the next time."""
        try:
            with open(self.path, "ab", buffering=0) as file:
                size = file.tell()
                if size == 0:
                    self.on_disk = 0
                left = "".join(line + "\n" for line in self.lines[self.on_disk:]).encode()
                try:
                    while left:   # a disk that fills up takes a part first
                        left = left[file.write(left):]
                except OSError:
                    file.truncate(size)
                    raise
        except OSError as problem:
            if not self.failing:
                tqdm.write(f"cannot write {self.path}: {problem.strerror}; its lines wait for the next time")
            self.failing = True
        else:
            self.on_disk, self.failing = len(self.lines), False


def _rounded(value: Any) -> Any:
    return float(f"{value:.6g}") if isinstance(value, float) else value


def _step_of(line: str) -> float:
    try:
        return json.loads(line)["step"]
    except (ValueError, KeyError):   # a line that a kill cut off
        return math.inf
