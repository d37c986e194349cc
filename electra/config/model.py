"""The shape of a model: its configuration, and the presets of --size."""

from __future__ import annotations

import math
import typing
from dataclasses import dataclass, fields, replace

SPECIAL_TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")


class SpecialIds(typing.NamedTuple):
    """Ids of the special tokens.

    The defaults hold for every tokenizer that this project trains; released WordPiece vocabularies
    have others.
    """

    pad: int = 0
    unk: int = 1
    cls: int = 2
    sep: int = 3
    mask: int = 4


SPECIAL_IDS = SpecialIds()
PAD, UNK, CLS, SEP, MASK = SPECIAL_IDS
OBJECTIVES = ("electra", "mlm")
ATTENTION_INITS = ("usual", "neighbours")
POOLINGS = ("cls", "mean")
SMALL_STEP = 32  # examples of a step of fine-tuning (paper, appendix B)
MOST_LAYERS = 1_000
LARGEST_SIZE = 1 << 24  # products of two fit into 64 bits


@dataclass(frozen=True)
class ModelConfig:
    """Shape of an encoder and, for ELECTRA, of its generator (paper, section 3.1 and table 6).

    `generator_*` are read only where `objective` is "electra". Embeddings (words, positions, types
    and their LayerNorm) have `embedding_size` and are shared by both networks. Raises ValueError
    for sizes that make no model.
    """

    objective: str
    vocab_size: int
    embedding_size: int
    hidden_size: int
    num_layers: int
    num_heads: int
    intermediate_size: int
    generator_hidden_size: int
    generator_num_layers: int
    generator_num_heads: int
    generator_intermediate_size: int
    max_positions: int = 512
    type_vocab_size: int = 2
    dropout: float = 0.1
    attention_dropout: float = 0.1
    layer_norm_eps: float = 1e-12
    initializer_range: float = 0.02
    attention_init: str = "usual"
    pooling: str = "cls"
    special: SpecialIds = SPECIAL_IDS  # the tokenizer's

    def __post_init__(self) -> None:
        object.__setattr__(
            self, "special", SpecialIds(*self.special)
        )  # a plain tuple, where it was read from a file
        for name, choices in (
            ("objective", OBJECTIVES),
            ("attention_init", ATTENTION_INITS),
            ("pooling", POOLINGS),
        ):
            if getattr(self, name) not in choices:
                raise ValueError(
                    f"{name.replace('_', ' ')} {getattr(self, name)!r} is not one of "
                    f"{', '.join(choices)}"
                )
        for item in fields(self):
            value, most = (
                getattr(self, item.name),
                MOST_LAYERS if item.name.endswith("layers") else LARGEST_SIZE,
            )
            if item.type == "int" and not 1 <= value <= most:
                raise ValueError(f"{item.name} {value!r:.40} is not from 1 to {most:,}")
            if item.type == "float" and not 0 <= value <= 1:  # not: nan is neither
                raise ValueError(f"{item.name} {value!r:.40} is not from 0 to 1")
        if self.initializer_range == 0:
            raise ValueError("initializer_range is 0, and a model of zeros does not learn")
        for hidden, heads in (
            (self.hidden_size, self.num_heads),
            (self.generator_hidden_size, self.generator_num_heads),
        ):
            if hidden % heads:
                raise ValueError(f"hidden size {hidden} does not divide by {heads} heads")
        if min(self.special) < 0 or max(self.special) >= self.vocab_size:
            raise ValueError(
                f"the special tokens have the ids {', '.join(map(str, self.special))}, the "
                f"vocabulary {self.vocab_size} tokens"
            )

    def generator(self) -> ModelConfig:
        """The generator's shape as a configuration of its own, over the same embeddings."""
        return replace(
            self,
            hidden_size=self.generator_hidden_size,
            num_layers=self.generator_num_layers,
            num_heads=self.generator_num_heads,
            intermediate_size=self.generator_intermediate_size,
        )


@dataclass(frozen=True)
class Size:
    """A preset: the shape, and what training at that shape wants where the user says nothing."""

    model: dict[str, typing.Any]
    vocab_size: int
    mask_prob: float
    dropout: float  # in pre-training
    attention_init: str
    batch_tokens: int
    steps: int
    warmup_steps: int
    lr: float  # pre-training, ELECTRA
    mlm_lr: float  # pre-training, BERT
    continue_lr: float  # pre-training that goes on from a checkpoint
    finetune_lr: float
    finetune_rows: int  # most examples of a step of fine-tuning
    layer_decay: float


def _shape(
    embedding: int,
    hidden: int,
    layers: int,
    heads: int,
    generator: tuple[int, int, int],
    pooling: str = "cls",
) -> dict[str, typing.Any]:
    generator_hidden, generator_layers, generator_heads = generator
    return {
        "embedding_size": embedding,
        "hidden_size": hidden,
        "num_layers": layers,
        "num_heads": heads,
        "intermediate_size": 4 * hidden,
        "generator_hidden_size": generator_hidden,
        "generator_num_layers": generator_layers,
        "generator_num_heads": generator_heads,
        "generator_intermediate_size": 4 * generator_hidden,
        "pooling": pooling,
    }


# small, base, large: paper table 6 and google-research/electra `configure_pretraining.py`.
# tiny: this project's own, for CPUs; its settings come from the curves in docs/small-budgets.md.
SIZES = {
    "tiny": Size(
        _shape(128, 256, 3, 4, (64, 2, 2), "mean"),
        vocab_size=4_000,
        mask_prob=0.15,
        dropout=0.0,
        attention_init="neighbours",
        batch_tokens=4_096,
        steps=20_000,
        warmup_steps=200,
        lr=7e-4,
        mlm_lr=1e-3,
        continue_lr=1e-4,
        finetune_lr=4e-4,
        finetune_rows=128,
        layer_decay=1.0,
    ),
    "small": Size(
        _shape(128, 256, 12, 4, (64, 12, 1)),
        vocab_size=30_522,
        mask_prob=0.15,
        dropout=0.1,
        attention_init="usual",
        batch_tokens=128 * 128,
        steps=1_000_000,
        warmup_steps=10_000,
        lr=5e-4,
        mlm_lr=5e-4,
        continue_lr=1e-4,
        finetune_lr=3e-4,
        finetune_rows=SMALL_STEP,
        layer_decay=0.8,
    ),
    "base": Size(
        _shape(768, 768, 12, 12, (256, 12, 4)),
        vocab_size=30_522,
        mask_prob=0.15,
        dropout=0.1,
        attention_init="usual",
        batch_tokens=256 * 512,
        steps=766_000,
        warmup_steps=10_000,
        lr=2e-4,
        mlm_lr=2e-4,
        continue_lr=5e-5,
        finetune_lr=1e-4,
        finetune_rows=SMALL_STEP,
        layer_decay=0.8,
    ),
    "large": Size(
        _shape(1024, 1024, 24, 16, (256, 24, 4)),
        vocab_size=30_522,
        mask_prob=0.25,
        dropout=0.1,
        attention_init="usual",
        batch_tokens=2048 * 512,
        steps=400_000,
        warmup_steps=10_000,
        lr=2e-4,
        mlm_lr=2e-4,
        continue_lr=2e-5,
        finetune_lr=5e-5,
        finetune_rows=SMALL_STEP,
        layer_decay=0.9,
    ),
}


def preset_model_config(
    size: str,
    objective: str,
    vocab_size: int,
    dropout: float | None = None,
    attention_init: str | None = None,
    special: SpecialIds = SPECIAL_IDS,
) -> ModelConfig:
    """The configuration of a preset. `dropout` is for hidden states and attention weights alike."""
    preset = SIZES[size]
    rate = preset.dropout if dropout is None else dropout
    return ModelConfig(
        objective=objective,
        vocab_size=vocab_size,
        dropout=rate,
        attention_dropout=rate,
        attention_init=attention_init or preset.attention_init,
        special=special,
        **preset.model,
    )


def encoder_parameters(config: ModelConfig) -> int:
    """Parameters of the encoder that is fine-tuned, without the embeddings.

    They tell how large a model is: embeddings depend on the vocabulary, and width alone makes a
    model of six layers as small as one of three.
    """
    hidden, inner, embedding = config.hidden_size, config.intermediate_size, config.embedding_size
    attention = 4 * (hidden * hidden + hidden)
    feed_forward = 2 * hidden * inner + inner + hidden
    norms = 2 * 2 * hidden
    projection = 0 if embedding == hidden else embedding * hidden + hidden
    return config.num_layers * (attention + feed_forward + norms) + projection


def nearest_size(config: ModelConfig) -> str:
    """The preset closest to a model in parameters of the encoder, by their ratio."""

    def distance(name: str) -> float:
        preset = encoder_parameters(preset_model_config(name, "mlm", SIZES[name].vocab_size))
        return abs(math.log(encoder_parameters(config) / preset))

    return min(SIZES, key=distance)
