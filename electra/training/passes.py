"""Forward and backward pass of a micro-batch, plain or as a CUDA graph."""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

import torch
from torch import Tensor, nn

from electra.data.batch import Batch
from electra.model.outputs import ModelOutput
from electra.training.device import Precision
from electra.training.distributed import ALONE, Ranks


def forward_backward(
    model: nn.Module,
    batch: Batch,
    generator: torch.Generator,
    rows: slice,
    factors: Tensor,
    precision: Precision,
) -> ModelOutput:
    """Add the gradient of the losses to that of the parameters.

    rows: of the batch, those to compute. factors: (n,) float32, what each loss is multiplied by.
    """
    with precision.autocast():
        step: ModelOutput = model(batch, generator, rows)
    (step.losses * factors).sum().backward()
    return step._replace(losses=step.losses.detach())


class Recording(NamedTuple):
    """A CUDA graph of `forward_backward`, and the tensors at its addresses."""

    graph: torch.cuda.CUDAGraph
    batch: Batch
    factors: Tensor
    step: ModelOutput


class CudaGraphs:
    """`forward_backward` as one CUDA graph for each shape of batch, on one GPU.

    The host then starts a graph instead of every kernel. In `train_step` this takes the place of
    `forward_backward`, for a model and a precision that stay the same.

    A graph is a list of kernels and addresses. So all that differs from step to step has to be
    where it was when the graph was recorded: the batch and the factors are copied there, gradients
    are added up in place (`Adam.zero_grad(keep=True)`), and seeds go into generators that the graph
    knows. The next step overwrites the `ModelOutput` that this one returns.
    """

    # Plain passes before a shape is recorded: they compile, choose kernels, make the gradients.
    WARM_UP = 2
    # A graph takes as much memory as plain passes, which the next shape and evaluations need beside
    # it; the half is for what lies between their pieces.
    ROOM = 2.5

    def __init__(self, device: torch.device, with_room_only: bool = False) -> None:
        """with_room_only: record no other shape once the memory that graphs do not hold is less
        than ROOM times what passes take."""
        self.device, self.with_room_only = device, with_room_only
        self.full = False  # whether that has happened
        self.held = 0  # bytes of the recorded graphs
        self.generator = torch.Generator(device)  # for masks and samples
        # The nodes that add up gradients belong to the stream in which they were made, and a graph
        # must not have nodes of another stream.
        self.stream = torch.cuda.Stream(device)
        self.pool = torch.cuda.graph_pool_handle()
        self.passes: Counter[tuple] = Counter()
        self.recorded: dict[tuple, Recording] = {}

    def __call__(
        self,
        model: nn.Module,
        batch: Batch,
        generator: torch.Generator,
        rows: slice,
        factors: Tensor,
        precision: Precision,
    ) -> ModelOutput:
        """As `forward_backward`; `generator` must be the object's own and `rows` all of them."""
        assert generator is self.generator and rows == slice(0, len(batch.input_ids))
        shape = tuple(None if t is None else t.shape for t in batch)
        if shape not in self.recorded:
            self.passes[shape] += 1
            if self.passes[shape] <= self.WARM_UP or self._is_full():
                return self._pass_plainly(model, batch, rows, factors, precision)
            before = self._reserved()
            self.recorded[shape] = self._record(model, batch, rows, factors, precision)
            self.held += self._reserved() - before

        graph, own_batch, own_factors, step = self.recorded[shape]
        for own, given in zip([*own_batch, own_factors], [*batch, factors], strict=True):
            if own is not None and given is not None:
                own.copy_(given)
        graph.replay()
        return step

    def keeps_gradients(self) -> bool:
        """Whether gradients have to stay where they are, from one step to the next."""
        return not self.full or bool(self.recorded)

    def _is_full(self) -> bool:
        """Whether no other shape is recorded; once it is so, it stays so."""
        if self.with_room_only and not self.full:
            free, _ = torch.cuda.mem_get_info(self.device)
            room = free + torch.cuda.memory_reserved(self.device) - self.held
            self.full = self.ROOM * torch.cuda.max_memory_allocated(self.device) > room
        return self.full

    def _reserved(self) -> int:
        """Bytes that torch holds of the GPU's memory, without what it only keeps at hand."""
        if not self.with_room_only:
            return 0
        torch.cuda.empty_cache()
        return torch.cuda.memory_reserved(self.device)

    def _pass_plainly(
        self, model: nn.Module, batch: Batch, rows: slice, factors: Tensor, precision: Precision
    ) -> ModelOutput:
        """A pass that is not recorded, on the stream of those that will be."""
        self.stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(self.stream):
            step = forward_backward(model, batch, self.generator, rows, factors, precision)
        torch.cuda.current_stream().wait_stream(self.stream)
        return step

    def _record(
        self, model: nn.Module, batch: Batch, rows: slice, factors: Tensor, precision: Precision
    ) -> Recording:
        """A graph of a pass, which is not run, with the tensors that it reads and writes.

        Raises ValueError where the GPU cannot record it, which ends the run: weights are whole, but
        torch does not promise that it goes on well after that.
        """
        batch, factors = batch.map(torch.clone), factors.clone()
        graph = torch.cuda.CUDAGraph()
        if torch.__version__ < "2.14":  # from then on torch does it by itself, and warns
            graph.register_generator_state(self.generator)

        # Other threads may go on meanwhile: one that saves a checkpoint gives pinned memory back.
        try:
            with torch.cuda.graph(graph, self.pool, self.stream, "thread_local"):
                step = forward_backward(model, batch, self.generator, rows, factors, precision)
        except torch.OutOfMemoryError:
            raise
        except RuntimeError as problem:
            reason = str(problem).partition("\n")[0]
            raise ValueError(
                f"the step cannot be recorded as a CUDA graph; take --no-cuda-graphs ({reason})"
            ) from problem
        return Recording(graph, batch, factors, step)


def choose_graphs(
    wanted: bool | None, device: torch.device, ranks: Ranks = ALONE
) -> CudaGraphs | None:
    """CUDA graphs where they are `wanted`; None: where they are possible, while memory allows.

    Raises ValueError where they are wanted and not possible.
    """
    possible = device.type == "cuda" and ranks.world_size == 1
    if wanted is None and possible:
        return CudaGraphs(device, with_room_only=True)
    if wanted and not possible:
        where = f"{ranks.world_size} processes" if ranks.world_size > 1 else f"the device {device}"
        raise ValueError(
            f"CUDA graphs are for one process on one GPU, not for {where}; take --no-cuda-graphs"
        )
    return CudaGraphs(device) if wanted else None
