"""`Electra`, `BertMLM` and `Classifier`, made of the same blocks and driven by the same `train_step`.

Each has two methods that the engine knows:

    counts(batch)                    (n,) float32: what each loss term is divided by, known before the forward pass
    forward(batch, generator, rows)  `Step` of these rows of the batch, masked as the whole batch is: the loss terms as
                                     *sums*, so that micro-batches and ranks can be added up and divided once; and sums
                                     to log

Letters: B rows, T tokens, K masked positions a row, N = B * K, C hidden size, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from electra import masking, ops
from electra.batching import Batch
from electra.config import ModelConfig, SpecialIds
from electra.encoder import Embeddings, Encoder, init_weights, look_at_neighbours, sinusoidal_positions
from electra.heads import ClassificationHead, MaskedLMHead, ReplacedTokenHead

RTD_WEIGHT = 50.0   # paper, section 2 and appendix A

class Detection(NamedTuple):
    """What the discriminator said of a corrupted batch."""

    logits: Tensor      # (B, T) float32: that the token was replaced
    replaced: Tensor    # (B, T) float32
    real: Tensor        # (B, T) bool: not padding
    corrupted: Tensor   # (B, T) int64


class Step(NamedTuple):
    """What a forward pass returns."""

    losses: Tensor                   # (n,) float32, sums; carries the gradient
    sums: dict[str, Tensor]          # figures to log, sums and counts, detached
    detection: Detection | None = None


def _real(batch: Batch) -> Tensor:
    return torch.ones_like(batch.input_ids, dtype=torch.bool) if batch.attention_mask is None else batch.attention_mask


def _masked_count(batch: Batch, mask_prob: float, special: SpecialIds) -> Tensor:
    """How many positions `masking.choose_positions` will choose in all, without drawing them."""
    count = masking.candidates(batch.input_ids, special).sum(1)
    return (count * mask_prob).round().clamp(min=1).minimum(count).sum().float()


def _compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """One graph without a way back to Python, one a shape: `SpanBatches` makes few, but more than the usual limit."""
    torch._dynamo.config.recompile_limit = 64
    return torch.compile(function, fullgraph=True, dynamic=False)


def _start(model: nn.Module, config: ModelConfig, networks: list[tuple[Encoder, ModelConfig]]) -> None:
    """First values: see the table in encoder.py. None for a skeleton, whose weights are to come."""
    if model.embeddings.word.weight.is_meta:
        return
    model.apply(lambda module: init_weights(module, config.initializer_range))
    if config.attention_init == "neighbours":
        embeddings = model.embeddings
        with torch.no_grad():
            embeddings.position.weight.copy_(sinusoidal_positions(config.max_positions, config.embedding_size,
                                                                  config.initializer_range))
        generator = torch.Generator().manual_seed(0)
        for encoder, shape in networks:
            look_at_neighbours(encoder, embeddings, shape, generator)


class MaskedLM(nn.Module):
    """An encoder with a masked-LM head over embeddings that are passed in: BERT, and ELECTRA's generator."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.encoder = Encoder(config)
        self.head = MaskedLMHead(config)

    def forward(self, embeddings: Embeddings, batch: Batch, masked: masking.Masked, uniform: Tensor | None
                ) -> tuple[Tensor, Tensor, Tensor | None]:
        """The sum of cross-entropies at the chosen positions, the number of right guesses there, and, where `uniform`
        (N, 1) is given, what a draw puts into each position, (N,) int64."""
        hidden = self.encoder(embeddings(masked.input_ids, batch.token_type_ids), batch.attention_mask)  # (B, T, C)
        index = masked.positions[:, :, None].expand(-1, -1, hidden.shape[-1])
        hidden = self.head.transform(hidden.gather(1, index).flatten(0, 1))                              # (N, E)
        return ops.masked_lm(hidden, embeddings.word.weight, self.head.bias, masked.targets.flatten(),
                             masked.weights.flatten(), uniform)


class BertMLM(nn.Module):
    """BERT's masked language model, without next-sentence prediction: the control."""

    kind = "mlm"
    terms = ("mlm",)
    weights = (1.0,)

    def __init__(self, config: ModelConfig, mask_prob: float = 0.15) -> None:
        super().__init__()
        self.config, self.mask_prob = config, mask_prob
        self.embeddings = Embeddings(config)
        self.mlm = MaskedLM(config)
        _start(self, config, [(self.mlm.encoder, config)])

    def counts(self, batch: Batch) -> Tensor:
        return _masked_count(batch, self.mask_prob, self.config.special)[None]

    def forward(self, batch: Batch, generator: torch.Generator, rows: slice = slice(None)) -> Step:
        masked = masking.mask(batch.input_ids, self.mask_prob, "mlm", self.config.vocab_size, generator,
                              self.config.special)
        batch, masked = batch.take(rows), masking.Masked(*(t[rows] for t in masked))
        loss, correct, _ = self.mlm(self.embeddings, batch, masked, None)
        sums = {"mlm_loss": loss.detach(), "mlm_correct": correct, "masked": masked.weights.sum(),
                "tokens": _real(batch).sum()}
        return Step(loss[None], sums)

    def compile_networks(self) -> None:
        """Compile what the time goes into. Drawing masks stays outside: a `torch.Generator` is nothing to compile."""
        self.mlm.forward = _compiled(self.mlm.forward)

    def encoder_state(self) -> tuple[Embeddings, Encoder]:
        """The parts that fine-tuning goes on with."""
        return self.embeddings, self.mlm.encoder


class Electra(nn.Module):
    """Generator and discriminator over one embedding module (paper, section 2)."""

    kind = "electra"
    terms = ("mlm", "rtd")
    weights = (1.0, RTD_WEIGHT)

    def __init__(self, config: ModelConfig, mask_prob: float = 0.15) -> None:
        super().__init__()
        self.config, self.mask_prob = config, mask_prob
        self.embeddings = Embeddings(config)
        self.generator = MaskedLM(config.generator())
        self.discriminator = Encoder(config)
        self.rtd_head = ReplacedTokenHead(config)
        _start(self, config, [(self.generator.encoder, config.generator()), (self.discriminator, config)])

    def counts(self, batch: Batch) -> Tensor:
        return torch.stack([_masked_count(batch, self.mask_prob, self.config.special), _real(batch).sum().float()])

    def detect(self, input_ids: Tensor, batch: Batch) -> Tensor:
        """Logits that each token was replaced: input_ids (B, T) -> (B, T) float32."""
        hidden = self.discriminator(self.embeddings(input_ids, batch.token_type_ids), batch.attention_mask)
        return self.rtd_head(hidden).float()

    def forward(self, batch: Batch, generator: torch.Generator, rows: slice = slice(None)) -> Step:
        masked = masking.mask(batch.input_ids, self.mask_prob, "electra", self.config.vocab_size, generator,
                              self.config.special)
        uniform = torch.rand(masked.positions.shape, generator=generator, device=masked.positions.device)
        batch, masked, uniform = batch.take(rows), masking.Masked(*(t[rows] for t in masked)), uniform[rows]
        mlm_loss, mlm_correct, sampled = self.generator(self.embeddings, batch, masked, uniform.reshape(-1, 1))
        sampled = sampled.view_as(masked.positions)                                                # (B, K)
        corrupted, replaced = masking.corrupt(batch.input_ids, masked, sampled)
        real = _real(batch)
        detected = self.detect(corrupted, batch)                                                   # (B, T)
        rtd = F.binary_cross_entropy_with_logits(detected, replaced, reduction="none")
        rtd_loss = (rtd * real).sum()

        detection = Detection(detected.detach(), replaced, real, corrupted)
        sums = {"mlm_loss": mlm_loss.detach(), "mlm_correct": mlm_correct, "masked": masked.weights.sum(),
                "sampled_correct": ((sampled == masked.targets) * masked.weights).sum(),
                "rtd_loss": rtd_loss.detach(), **detection_sums(detection)}
        return Step(torch.stack([mlm_loss, rtd_loss]), sums, detection)

    def compile_networks(self) -> None:
        """As in `BertMLM`."""
        self.generator.forward, self.detect = _compiled(self.generator.forward), _compiled(self.detect)

    def encoder_state(self) -> tuple[Embeddings, Encoder]:
        """The parts that fine-tuning goes on with: the discriminator; the generator is thrown away."""
        return self.embeddings, self.discriminator


def detection_sums(detection: Detection) -> dict[str, Tensor]:
    """Counts behind accuracy, precision and recall of replaced-token detection."""
    said = (detection.logits > 0) & detection.real
    replaced = detection.replaced.bool()
    return {"tokens": detection.real.sum(), "replaced": replaced.sum(), "said_replaced": said.sum(),
            "said_and_replaced": (said & replaced).sum(),
            "rtd_correct": ((said == replaced) & detection.real).sum()}


class Classifier(nn.Module):
    """An encoder with a classification head, for fine-tuning and prediction. With one output it is a regression: the
    squared error takes the place of the cross-entropy.

    `class_weights` (num_labels,) weigh the examples of a class in the loss; its count is then the sum of the weights.
    """

    kind = "classifier"
    terms = ("classification",)
    weights = (1.0,)

    def __init__(self, config: ModelConfig, num_labels: int, class_weights: Tensor | None = None) -> None:
        super().__init__()
        self.config = config
        self.regression = num_labels == 1
        self.register_buffer("class_weights", class_weights, persistent=False)
        self.embeddings = Embeddings(config)
        self.encoder = Encoder(config)
        self.head = ClassificationHead(config, num_labels)
        _start(self, config, [(self.encoder, config)])

    def counts(self, batch: Batch) -> Tensor:
        if self.class_weights is not None:
            return self.class_weights[batch.labels].sum()[None]
        return torch.full((1,), float(len(batch.input_ids)), device=batch.input_ids.device)

    def logits(self, batch: Batch) -> Tensor:
        """(B, num_labels) float32; of a regression the value itself."""
        hidden = self.encoder(self.embeddings(batch.input_ids, batch.token_type_ids), batch.attention_mask)
        return self.head(hidden, batch.attention_mask).float()

    def forward(self, batch: Batch, generator: torch.Generator, rows: slice = slice(None)) -> Step:
        batch = batch.take(rows)
        assert batch.labels is not None
        logits = self.logits(batch)
        if self.regression:
            loss = (logits.squeeze(-1) - batch.labels).square().sum()
        else:
            loss = F.cross_entropy(logits, batch.labels, self.class_weights, reduction="sum")
        return Step(loss[None], {"loss": loss.detach(), "weight": self.counts(batch)[0]})

    def encoder_state(self) -> tuple[Embeddings, Encoder]:
        return self.embeddings, self.encoder


def build(config: ModelConfig, mask_prob: float) -> Electra | BertMLM:
    """The pre-training model of a configuration."""
    return Electra(config, mask_prob) if config.objective == "electra" else BertMLM(config, mask_prob)


class _NoFirstValues(TorchFunctionMode):
    """Modules made meanwhile get no first values. On the device "meta" they mean nothing, and torch imports its compiler,
    a second's work, before it draws them there."""

    def __torch_function__(self, function, types, args=(), kwargs=None):
        if getattr(function, "__module__", None) == "torch.nn.init":
            return args[0] if args else kwargs["tensor"]
        return function(*args, **(kwargs or {}))


def skeleton(make: Callable[[ModelConfig], nn.Module], config: ModelConfig) -> nn.Module:
    """`make(config)` on the device "meta": a model that has sizes, but no numbers, and takes no memory."""
    with torch.device("meta"), _NoFirstValues():
        return make(config)


def check_weights(make: Callable[[ModelConfig], nn.Module], config: ModelConfig, weights: dict[str, Tensor],
                  source: str | Path) -> nn.Module:
    """Whether `make(config)` takes these weights, found out before anything is allocated: sizes come from a file, perhaps
    a stranger's. Returns the `skeleton`.

    Raises ValueError naming `source` and the tensors that are missing, have no place or do not fit.
    """
    model = skeleton(make, config)
    wanted = model.state_dict()
    fits = lambda one, other: one.shape == other.shape and one.is_floating_point() == other.is_floating_point()
    wrong = [name for name in sorted(wanted.keys() | weights.keys())
             if name not in wanted or name not in weights or not fits(wanted[name], weights[name])]
    if wrong:
        raise ValueError(f"{source}: the weights are not those of its settings: {', '.join(wrong[:8])}"
                         + (f" and {len(wrong) - 8} more" if len(wrong) > 8 else ""))
    return model


def with_weights(make: Callable[[ModelConfig], nn.Module], config: ModelConfig, weights: dict[str, Tensor],
                 source: str | Path) -> nn.Module:
    """`make(config)` on the host with a copy of these weights, without the first values that they would replace. Raises
    ValueError as `check_weights` does."""
    model = check_weights(make, config, weights, source)
    own = {name: torch.empty(wanted.shape, dtype=wanted.dtype).copy_(weights[name])
           for name, wanted in model.state_dict().items()}
    model.load_state_dict(own, assign=True)
    return model
