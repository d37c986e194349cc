"""Compilation of the networks by `torch.compile`."""

from __future__ import annotations

import torch
from torch import nn


def compile_method(module: nn.Module, name: str) -> None:
    """Replace a method of this module by its compiled form.

    It becomes one graph, which never returns to Python, for each shape of the input. `SpanBatches`
    makes few shapes, but more than torch's limit.
    """
    torch._dynamo.config.recompile_limit = 64
    setattr(module, name, torch.compile(getattr(module, name), fullgraph=True, dynamic=False))
