"""Parameter groups, layer-wise decay, and Adam."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

CLIP = 1.0


class AdamSettings(NamedTuple):
    """The numbers of Adam: those of `model/optimization.py` of google-research/electra."""

    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-6
    clip: float = CLIP  # largest norm of the gradient


ADAM_SETTINGS = AdamSettings()


class Group(NamedTuple):
    """Parameters that share a weight decay and a factor on the learning rate."""

    parameters: list[nn.Parameter]
    weight_decay: float
    lr_factor: float


def _depth(name: str, num_layers: int) -> int:
    """Distance from the head: 0 for the head, num_layers + 1 for embeddings and projection."""
    parts = name.split(".")
    if "layers" in parts:
        return num_layers - int(parts[parts.index("layers") + 1])
    if parts[0] == "embeddings" or "projection" in parts:
        return num_layers + 1
    return 0


def parameter_groups(
    model: nn.Module, weight_decay: float, layer_decay: float = 1.0, num_layers: int = 0
) -> list[Group]:
    """All parameters, each once.

    Vectors (biases, LayerNorm) have no weight decay; the learning rate has the factor `layer_decay`
    ** depth. The official `_get_layer_lrs` gives the top layer decay²; here it has decay¹, as its
    author meant.
    """
    groups: dict[tuple[float, int], list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        decay = weight_decay if parameter.ndim > 1 else 0.0
        depth = _depth(name, num_layers) if layer_decay != 1.0 else 0
        groups.setdefault((decay, depth), []).append(parameter)
    return [
        Group(parameters, decay, layer_decay**depth)
        for (decay, depth), parameters in groups.items()
    ]


class Adam:
    """Adam with bias correction, epsilon outside the root, decoupled weight decay, global clipping.

    The official code leaves the correction out. Over its 10,000 steps of warm-up that hardly
    matters. In a short run it makes the first hundreds of steps up to six times as long as the
    learning rate says, and the run does not recover (Zhang et al. 2021, "Revisiting few-sample BERT
    fine-tuning", saw the same; docs/small-budgets.md has the figures).

    A step whose gradient is not finite changes neither weights nor moments. The kernel that makes
    the whole update in one pass decides that on the device; the host does not wait for it.
    """

    def __init__(self, groups: list[Group], settings: AdamSettings = ADAM_SETTINGS) -> None:
        self.groups, self.settings = groups, settings
        self.parameters = [parameter for group in groups for parameter in group.parameters]
        self.exp_avg = [torch.zeros_like(parameter) for parameter in self.parameters]
        self.exp_avg_sq = [torch.zeros_like(parameter) for parameter in self.parameters]
        pairs = zip(self.exp_avg, self.exp_avg_sq, strict=True)
        self.moments: dict[Tensor, tuple[Tensor, Tensor]] = dict(
            zip(self.parameters, pairs, strict=True)
        )
        self.updates = torch.zeros((), device=self.parameters[0].device)  # skipped steps aside

    def zero_grad(self, keep: bool = False) -> None:
        """Forget the gradients. `keep`: fill their tensors with zeros, for CUDA graphs."""
        if keep:
            if grads := [p.grad for p in self.parameters if p.grad is not None]:
                torch._foreach_zero_(grads)
        else:
            for parameter in self.parameters:
                parameter.grad = None

    @torch.no_grad()
    def step(self, lr: float, scale: Tensor) -> tuple[Tensor, Tensor]:
        """Update from the gradients, which are `scale` (0-d) times too large.

        A parameter without gradient (a frozen one, or the generator in a pure discriminator step)
        stays as it is. The gradients are scaled and clipped in place. Returns the norm of the
        gradient before clipping and whether it was finite, both 0-d tensors.
        """
        grads = [p.grad for p in self.parameters if p.grad is not None]
        norm = torch.nn.utils.get_total_norm(grads) / scale
        finite = torch.isfinite(norm)
        clipping = torch.clamp((norm + 1e-6) / self.settings.clip, min=1.0) * scale
        self.updates += finite
        self._update(lr, clipping, (~finite).float())
        return norm, finite

    def _update(self, lr: float, clipping: Tensor, found_inf: Tensor) -> None:
        """Weights and moments, from gradients that are to be divided by `clipping`, 0-d.

        Nothing changes where `found_inf`, 0-d, is 1.
        """
        for group in self.groups:
            there: list[Tensor] = [p for p in group.parameters if p.grad is not None]
            if there:
                torch._fused_adamw_(
                    there,
                    [p.grad for p in there if p.grad is not None],
                    [self.moments[p][0] for p in there],
                    [self.moments[p][1] for p in there],
                    [],
                    [self.updates] * len(there),
                    lr=lr * group.lr_factor,
                    beta1=self.settings.beta1,
                    beta2=self.settings.beta2,
                    weight_decay=group.weight_decay,
                    eps=self.settings.epsilon,
                    amsgrad=False,
                    maximize=False,
                    grad_scale=clipping,
                    found_inf=found_inf,
                )

    def state_dict(self) -> dict[str, Any]:
        """Moments in the order of the parameters (lists), and the number of updates (0-d)."""
        return {"exp_avg": self.exp_avg, "exp_avg_sq": self.exp_avg_sq, "updates": self.updates}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """The inverse of `state_dict`. Raises ValueError where the state is of another model."""
        self.updates.copy_(state["updates"])
        for mine, theirs in (
            (self.exp_avg, state["exp_avg"]),
            (self.exp_avg_sq, state["exp_avg_sq"]),
        ):
            self._check(theirs)
            for a, b in zip(mine, theirs, strict=True):
                a.copy_(b)

    def _check(self, moments: list[Tensor]) -> None:
        """Raises ValueError where moments have not the shapes of the parameters."""
        if [t.shape for t in moments] != [p.shape for p in self.parameters]:
            raise ValueError("the optimizer state does not fit the model")


class ShardedAdam(Adam):
    """`Adam` over the ranks of a process group (ZeRO, Rajbhandari et al. 2020, stage 1).

    Each rank keeps the moments of some of the parameters, updates these and sends them to the
    others. The weights are those of `Adam` to the bit, and so is the state: one can go on where the
    other stopped.
    """

    def __init__(self, groups: list[Group], settings: AdamSettings = ADAM_SETTINGS) -> None:
        from torch.distributed.optim import ZeroRedundancyOptimizer  # takes two seconds to import

        self.groups, self.settings = groups, settings
        self.parameters = [parameter for group in groups for parameter in group.parameters]
        self.updates = torch.zeros((), device=self.parameters[0].device)
        self.shards = ZeroRedundancyOptimizer(
            [{"params": group.parameters, "weight_decay": group.weight_decay} for group in groups],
            torch.optim.AdamW,
            lr=0.0,
            betas=(settings.beta1, settings.beta2),
            eps=settings.epsilon,
            fused=True,
        )

    def _update(self, lr: float, clipping: Tensor, found_inf: Tensor) -> None:
        """As of `Adam`."""
        for shared, group in zip(self.shards.param_groups, self.groups, strict=True):
            shared["lr"] = lr * group.lr_factor
        # As torch's GradScaler does.
        self.shards.optim.grad_scale, self.shards.optim.found_inf = clipping, found_inf
        self.shards.step()

    def state_dict(self) -> dict[str, Any]:
        """As of `Adam`, on the host, on the first rank. The others have to call it, for nothing."""
        self.shards.consolidate_state_dict(to=0)
        if torch.distributed.get_rank():
            return {}
        state = self.shards.state_dict()["state"]  # by the number of the parameter
        moments = {
            name: [
                state[i][name] if i in state else torch.zeros_like(parameter, device="cpu")
                for i, parameter in enumerate(self.parameters)
            ]
            for name in ("exp_avg", "exp_avg_sq")
        }
        return {**moments, "updates": self.updates}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """As of `Adam`, on every rank.

        It does not call `ZeroRedundancyOptimizer.load_state_dict`, which puts the number of updates
        where the fused kernel cannot read it (pytorch issue 124133).
        """
        self.updates.copy_(state["updates"])
        self._check(state["exp_avg"])
        self._check(state["exp_avg_sq"])
        mine = {
            parameter for group in self.shards.optim.param_groups for parameter in group["params"]
        }
        moments = zip(self.parameters, state["exp_avg"], state["exp_avg_sq"], strict=True)
        for parameter, first, second in moments:
            if parameter in mine:
                self.shards.optim.state[parameter] = {
                    "step": self.updates.clone(),
                    "exp_avg": first.to(parameter.device, copy=True),
                    "exp_avg_sq": second.to(parameter.device, copy=True),
                }
