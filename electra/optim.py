"""Parameter groups, layer-wise decay, Adam, and the learning rate as a function of the step."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-6   # `model/optimization.py` of google-research/electra
CLIP = 1.0


class Group(NamedTuple):
    """Parameters that share a weight decay and a factor on the learning rate."""

    parameters: list[nn.Parameter]
    weight_decay: float
    lr_factor: float


def _depth(name: str, num_layers: int) -> int:
    """Distance from the head: head 0, top layer 1, …, embeddings (and their projection) num_layers + 1."""
    parts = name.split(".")
    if "layers" in parts:
        return num_layers - int(parts[parts.index("layers") + 1])
    if parts[0] == "embeddings" or "projection" in parts:
        return num_layers + 1
    return 0


def parameter_groups(model: nn.Module, weight_decay: float, layer_decay: float = 1.0, num_layers: int = 0
                     ) -> list[Group]:
    """All parameters, each once: no weight decay on vectors (biases, LayerNorm), `layer_decay` ** depth on the rate.

    The official `_get_layer_lrs` gives the top layer decay²; here it has decay¹, as its author meant.
    """
    groups: dict[tuple[float, int], list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        decay = weight_decay if parameter.ndim > 1 else 0.0
        depth = _depth(name, num_layers) if layer_decay != 1.0 else 0
        groups.setdefault((decay, depth), []).append(parameter)
    return [Group(parameters, decay, layer_decay ** depth) for (decay, depth), parameters in groups.items()]


def warmth(step: int, warmup_steps: int, progress: float = 0.0, latest: float = math.inf) -> float:
    """How far the warm-up has come at `step` (0 is the first): 0 to 1, linear over `warmup_steps` but over at the
    `latest` share of the run, of which `progress` lies behind."""
    return min(1.0, max((step + 1) / max(1, warmup_steps), progress / latest))


def lr_at(warm: float, progress: float) -> float:
    """The factor on the peak learning rate: warm-up *times* linear decay to 0 from step 0, as in the official code.
    `progress` is the share of the run that lies behind, in steps or in time."""
    return warm * max(0.0, 1.0 - progress)


class Adam:
    """Adam with bias correction, epsilon outside the root, decoupled weight decay, global clipping.

    The official code leaves the correction out. Over its 10,000 steps of warm-up that hardly matters; in a short run it
    makes the first hundreds of steps up to six times as long as the learning rate says, and they do not recover
    (Zhang et al. 2021, "Revisiting few-sample BERT fine-tuning", saw the same; docs/small-budgets.md has the figures).

    A step whose gradient is not finite changes nothing: neither weights nor moments. That is decided on the device,
    without a look at it from the host, by the kernel that does all of the update in one pass.
    """

    def __init__(self, groups: list[Group]) -> None:
        self.groups = groups
        self.parameters = [parameter for group in groups for parameter in group.parameters]
        self.exp_avg = [torch.zeros_like(parameter) for parameter in self.parameters]
        self.exp_avg_sq = [torch.zeros_like(parameter) for parameter in self.parameters]
        self.moments = dict(zip(self.parameters, zip(self.exp_avg, self.exp_avg_sq)))
        self.updates = torch.zeros((), device=self.parameters[0].device)   # skipped steps aside

    def zero_grad(self) -> None:
        for parameter in self.parameters:
            parameter.grad = None

    @torch.no_grad()
    def step(self, lr: float, scale: Tensor) -> tuple[Tensor, Tensor]:
        """Update from the gradients, which are `scale` (0-d) times too large. A parameter without gradient (a frozen
        one, or the generator in a pure discriminator step) stays as it is. The gradients are scaled and clipped in place.

        Returns the gradient's norm before clipping and whether it was finite, both 0-d tensors.
        """
        grads = [p.grad for p in self.parameters if p.grad is not None]
        norm = torch.nn.utils.get_total_norm(grads) / scale
        finite = torch.isfinite(norm)
        clipping = torch.clamp((norm + 1e-6) / CLIP, min=1.0) * scale
        self.updates += finite
        for group in self.groups:
            there = [p for p in group.parameters if p.grad is not None]
            if there:
                first, second = map(list, zip(*(self.moments[p] for p in there)))
                torch._fused_adamw_(there, [p.grad for p in there], first, second, [], [self.updates] * len(there),
                                    lr=lr * group.lr_factor, beta1=BETA1, beta2=BETA2,
                                    weight_decay=group.weight_decay, eps=EPSILON, amsgrad=False, maximize=False,
                                    grad_scale=clipping, found_inf=(~finite).float())
        return norm, finite

    def state_dict(self) -> dict[str, list[Tensor] | Tensor]:
        return {"exp_avg": self.exp_avg, "exp_avg_sq": self.exp_avg_sq, "updates": self.updates}

    def load_state_dict(self, state: dict[str, list[Tensor] | Tensor]) -> None:
        """Raises ValueError where the state is of another model."""
        self.updates.copy_(state["updates"])
        for mine, theirs in ((self.exp_avg, state["exp_avg"]), (self.exp_avg_sq, state["exp_avg_sq"])):
            if [t.shape for t in mine] != [t.shape for t in theirs]:
                raise ValueError("the optimizer state does not fit the model")
            for a, b in zip(mine, theirs):
                a.copy_(b)
