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
    without a look at it from the host: the factors of the update become 1 and 0.
    """

    def __init__(self, groups: list[Group]) -> None:
        self.groups = groups
        self.parameters = [parameter for group in groups for parameter in group.parameters]
        self.exp_avg = [torch.zeros_like(parameter) for parameter in self.parameters]
        self.exp_avg_sq = [torch.zeros_like(parameter) for parameter in self.parameters]
        self.updates = torch.zeros((), device=self.parameters[0].device)   # skipped steps aside

    def zero_grad(self) -> None:
        for parameter in self.parameters:
            parameter.grad = None

    @torch.no_grad()
    def step(self, lr: float, scale: Tensor) -> tuple[Tensor, Tensor]:
        """Update from the gradients, which are `scale` (0-d) times too large. A parameter without gradient (a frozen
        one, or the generator in a pure discriminator step) stays as it is.

        Returns the gradient's norm before clipping and whether it was finite, both 0-d tensors.
        """
        grads = [p.grad for p in self.parameters if p.grad is not None]
        norm = torch.nn.utils.get_total_norm(grads) / scale
        finite = torch.isfinite(norm)
        factor = torch.where(finite, torch.clamp(CLIP / (norm + 1e-6), max=1.0) / scale, 0.0)
        beta1, beta2 = torch.where(finite, BETA1, 1.0), torch.where(finite, BETA2, 1.0)

        self.updates += finite
        count = self.updates.clamp(min=1)
        # 1 - beta ** count, without losing digits in float32
        correction1 = -torch.expm1(count * math.log(BETA1))
        correction2 = (-torch.expm1(count * math.log(BETA2))).sqrt()

        position = 0
        for group in self.groups:
            there = [i for i, p in enumerate(group.parameters, position) if p.grad is not None]
            position += len(group.parameters)
            if not there:
                continue
            parameters = [self.parameters[i] for i in there]
            first, second = [self.exp_avg[i] for i in there], [self.exp_avg_sq[i] for i in there]
            # where, not only the factor: 0 x inf is nan
            grad = [torch.where(finite, p.grad, 0.0) for p in parameters]
            torch._foreach_mul_(grad, factor)
            torch._foreach_mul_(first, beta1)
            torch._foreach_add_(first, grad, alpha=1 - BETA1)
            torch._foreach_mul_(second, beta2)
            torch._foreach_addcmul_(second, grad, grad, value=1 - BETA2)
            update = torch._foreach_sqrt(second)
            torch._foreach_div_(update, correction2)
            torch._foreach_add_(update, EPSILON)
            update = torch._foreach_div(first, update)
            rate = finite * (lr * group.lr_factor)                                                 # 0-d
            if group.weight_decay:
                torch._foreach_mul_(parameters, 1 - rate * group.weight_decay)
            torch._foreach_mul_(update, rate / correction1)
            torch._foreach_sub_(parameters, update)
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
