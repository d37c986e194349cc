"""What a checkpoint holds, as a type, and the dictionary that stands for it in a file.

    format            1
    kind              "electra", "mlm" (both pre-trained), "classifier", "tagger",
                      "reader" or "embedder"
    model             weights by name
    model_config      of `config.ModelConfig`
    tokenizer         the bytes of the tokenizer's file, uint8
    labels            label words of a classifier, tags of a tagger; none for a regression
    pairs             whether a classifier reads two texts, or an embedder learned from pairs
    scale             the unit of a regression's values, or of the scores that an embedder learned
                      from; None for classes and for an embedder without scores
    thresholds        of a classifier of several labels at once: the probability of each label from
                      which on it is given; of a reader that may find no answer: by how much "no
                      answer" must score above the best answer; else none
    settings          of the run, of `config.PretrainConfig` or `config.FinetuneConfig`
    origin            of `config.Origin`, what the model had behind it before this run; absent
                      where that is nothing
    training          what an exact resume needs; absent from a classifier and from an import

No random state is stored: masks, samples and dropout of step n are functions of (seed, n).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from electra.checkpoint.safe_load import is_plain
from electra.config import ModelConfig, Origin, from_dict, to_dict
from electra.data.tokenizer import Tokenizer, tokenizer_from_bytes
from electra.files import is_encodable

FORMAT = 1
PRETRAINED = ("electra", "mlm")
FINE_TUNED = ("classifier", "tagger", "reader", "embedder")
KINDS = (*PRETRAINED, *FINE_TUNED)
# Where the encoder's weights are, by the kind of checkpoint. Embeddings have the same name in all.
ENCODER_PREFIX = {
    "electra": "discriminator.",
    "mlm": "mlm.encoder.",
    **dict.fromkeys(FINE_TUNED, "encoder."),
}
NEED_LABELS = ("classifier", "tagger")
# Fields of `TrainingState` that have another name in the file.
NAMES_IN_FILE = {"padded_tokens": "places"}
# Fields of `TrainingState` that every file of format 1 has.
FIRST_PARTS = (
    "step",
    "seconds",
    "corpus_tokens",
    "optimizer",
    "scale",
    "stream",
    "window",
    "padded_tokens",
    "window_seconds",
)


class SavedModel(Protocol):
    """What a checkpoint takes from a model: an `Electra`, a `BertMLM` or a `Classifier`."""

    kind: str
    config: ModelConfig

    def state_dict(self) -> dict[str, Any]: ...


class HasEncoder(Protocol):
    """A model with embeddings and an encoder that can be loaded from a checkpoint."""

    def encoder_state(self) -> tuple[nn.Module, nn.Module]: ...


@dataclass
class TrainingState:
    """What a run needs besides weights and settings to resume bit for bit.

    The defaults are those of a run that has not begun. A new field needs a default too: a file that
    was written before the field existed loads with this default. Such a field is no reason to raise
    `FORMAT`, which rises only where an older program must refuse the file.
    """

    step: int = 0  # optimizer steps done
    seconds: float = 0.0  # in the training loop, over all parts of a resumed run
    corpus_tokens: int = 0  # of the token store
    optimizer: dict[str, Any] = field(default_factory=dict)  # of `Adam.state_dict`
    scale: dict[str, Tensor] = field(default_factory=dict)  # of `LossScale.state_dict`
    stream: dict[int, tuple[int, int]] = field(default_factory=dict)  # of `SpanBatches.state`
    # Since the last line of the log:
    window: dict[str, Tensor] = field(default_factory=dict)  # sums and counts
    padded_tokens: int = 0  # tokens of the batches, padding included
    window_seconds: float = 0.0
    # Parts of later versions:
    # Of the corpus's tokens in their order, and of the held-out text's where it has files of its
    # own. Tell whether they are still the same; before there were any, `corpus_tokens` did.
    fingerprints: dict[str, str] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """The dictionary that stands for it in a file."""
        return {NAMES_IN_FILE.get(name, name): value for name, value in vars(self).items()}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> TrainingState:
        """The inverse of `to_dict`. A part that came after `FIRST_PARTS` may be missing.

        Raises ValueError for a missing part of `FIRST_PARTS`, and for a part of a wrong kind.
        """
        kinds: dict[str, Any] = {"int": int, "float": (int, float)}  # all others are dictionaries
        names = {part.name: NAMES_IN_FILE.get(part.name, part.name) for part in fields(cls)}
        found: dict[str, Any] = {
            name: values.get(in_file)
            for name, in_file in names.items()
            if in_file in values or name in FIRST_PARTS
        }
        wrong = [
            part.name
            for part in fields(cls)
            if part.name in found
            and not isinstance(found[part.name], kinds.get(str(part.type), dict))
        ]
        if wrong:
            raise ValueError(f"training: {', '.join(wrong)} missing or of a wrong kind")
        return cls(**found)


@dataclass
class Checkpoint:
    """A model with all that is needed to use it, and after pre-training to resume the run."""

    kind: str  # one of `KINDS`
    model: dict[str, Tensor]  # weights by name
    model_config: ModelConfig
    tokenizer: Tokenizer
    settings: dict[str, Any]  # of the run, as `config.to_dict` writes them
    labels: tuple[str, ...] = ()  # of a classifier; none for a regression
    pairs: bool = False  # whether a classifier reads two texts
    scale: float | None = None  # unit of a regression's values; None for classes
    thresholds: tuple[float, ...] = ()  # of several labels at once, or of "no answer"
    origin: Origin = Origin()  # what the model had behind it before this run
    training: TrainingState | None = None  # None for a classifier and for an import

    def to_dict(self) -> dict[str, Any]:
        """The dictionary that stands for it in a file."""
        tokenizer = np.frombuffer(self.tokenizer.to_bytes(), np.uint8).copy()
        content = {
            "format": FORMAT,
            "kind": self.kind,
            "model": self.model,
            "model_config": to_dict(self.model_config),
            "tokenizer": torch.from_numpy(tokenizer),
            "labels": list(self.labels),
            "pairs": self.pairs,
            "scale": self.scale,
            "settings": self.settings,
        }
        if self.thresholds:
            content["thresholds"] = list(self.thresholds)
        if self.origin != Origin():
            content["origin"] = self.origin._asdict()
        if self.training is not None:
            content["training"] = self.training.to_dict()
        return content

    @classmethod
    def from_dict(cls, content: dict[str, Any]) -> Checkpoint:
        """The inverse of `to_dict`, for a dictionary that has a known kind.

        Raises ValueError for a part that is missing or of a wrong kind, and where the tokenizer is
        not the model's.
        """
        _check_parts(content)
        model_config = from_dict(ModelConfig, content["model_config"])
        tokenizer = tokenizer_from_bytes(content["tokenizer"].numpy().tobytes())
        if (
            tokenizer.vocab_size > model_config.vocab_size
            or tokenizer.special != model_config.special
        ):
            raise ValueError("its tokenizer and its model do not go together")
        training = content.get("training")
        return cls(
            kind=content["kind"],
            model=content["model"],
            model_config=model_config,
            tokenizer=tokenizer,
            settings=content["settings"],
            labels=tuple(content["labels"]),
            pairs=content.get("pairs", False),
            scale=content.get("scale"),
            thresholds=tuple(content.get("thresholds", ())),
            origin=_read_origin(content),
            training=None if training is None else TrainingState.from_dict(training),
        )

    def origin_now(self) -> Origin:
        """What the model has behind it, this run's pre-training included."""
        tokens = self.settings.get("batch_tokens")
        if self.training is None or not isinstance(tokens, int):
            return self.origin
        return self.origin._replace(tokens=self.origin.tokens + self.training.step * tokens)


def make_checkpoint(
    model: SavedModel,
    tokenizer: Tokenizer,
    settings: object,
    training: TrainingState | None = None,
) -> Checkpoint:
    """The checkpoint of a model as it is now. Its tensors are shared with the model, not copied.

    settings: the run's `PretrainConfig` or `FinetuneConfig`. What a fine-tuned model's outputs mean
    (labels, pairs, scale, thresholds) and its origin are set by `dataclasses.replace`.
    """
    return Checkpoint(
        kind=model.kind,
        model=model.state_dict(),
        model_config=model.config,
        tokenizer=tokenizer,
        settings=to_dict(settings),
        training=training,
    )


def _check_parts(content: dict[str, Any]) -> None:
    """Raises ValueError for a part that is missing or of a wrong kind."""
    labels: Any = content.get("labels")
    scale: Any = content.get("scale")
    tokenizer: Any = content.get("tokenizer")
    model: Any = content.get("model")
    sound = {
        "model": _is_named(model) and all(map(is_plain, model.values())),
        "model_config": _is_named(content.get("model_config")),
        "settings": _is_named(content.get("settings")),
        "tokenizer": is_plain(tokenizer) and tokenizer.dtype == torch.uint8 and tokenizer.ndim == 1,
        "labels": isinstance(labels, list)
        and all(isinstance(label, str) and is_encodable(label) for label in labels)
        and (bool(labels) or scale is not None or content["kind"] not in NEED_LABELS),
        "pairs": isinstance(content.get("pairs", False), bool),
        "scale": scale is None or (isinstance(scale, (int, float)) and 0 < scale < math.inf),
        "thresholds": _are_thresholds(content),
        "origin": _is_origin(content.get("origin")),
        "training": _is_named(content.get("training", {})),
    }
    wrong = [name for name, is_sound in sound.items() if not is_sound]
    if wrong:
        raise ValueError(f"{', '.join(wrong)} missing or of a wrong kind")


def _are_thresholds(content: dict[str, Any]) -> bool:
    """Whether there are none, one for each label of a classifier, or one of a reader."""
    thresholds = content.get("thresholds", [])
    count = {"classifier": len(content.get("labels") or ()), "reader": 1}.get(content["kind"], 0)
    return (
        isinstance(thresholds, list)
        and len(thresholds) in (0, count)
        and all(isinstance(one, float) and math.isfinite(one) for one in thresholds)
    )


def _is_origin(values: Any) -> bool:
    """Whether it is the origin in a file; files of earlier versions have none."""
    return values is None or (
        _is_named(values)
        and values.keys() == set(Origin._fields)
        and isinstance(values["imported"], bool)
        and type(values["tokens"]) is int
        and values["tokens"] >= 0
    )


def _read_origin(content: dict[str, Any]) -> Origin:
    """The origin in a file.

    A file of an earlier version has none. Its model was imported if it was pre-trained on no text.
    """
    if content.get("origin") is not None:
        return Origin(**content["origin"])
    no_corpus = "corpus" in content["settings"] and not content["settings"]["corpus"]
    return Origin(imported=content["kind"] in PRETRAINED and no_corpus)


def _is_named(values: object) -> bool:
    """Whether it is a dictionary whose keys are words."""
    return isinstance(values, dict) and all(isinstance(name, str) for name in values)


def snapshot(checkpoint: Checkpoint) -> Checkpoint:
    """A copy on the host that later steps do not change.

    From a GPU all tensors are copied at once, into pinned memory, and waited for once.
    """
    gpus: set[torch.device] = set()
    copied = replace(checkpoint, model=_copy(checkpoint.model, gpus))
    if checkpoint.training is not None:
        copied.training = TrainingState(**_copy(vars(checkpoint.training), gpus))

    for device in gpus:
        torch.cuda.synchronize(device)
    return copied


def _copy(value: Any, gpus: set[torch.device]) -> Any:
    """A copy of nested dictionaries, lists and tensors. Adds the GPUs it comes from to `gpus`."""
    if isinstance(value, dict):
        return {name: _copy(part, gpus) for name, part in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_copy(part, gpus) for part in value)
    if not isinstance(value, Tensor):
        return value

    value = value.detach()
    if value.device.type != "cuda":
        return value.to("cpu", copy=True)
    gpus.add(value.device)
    pinned = torch.empty_like(value, device="cpu", pin_memory=True)
    return pinned.copy_(value, non_blocking=True)


def load_encoder(model: HasEncoder, checkpoint: Checkpoint) -> None:
    """Copy all tensors of a checkpoint's embeddings and encoder into `model`."""
    parts = zip(
        model.encoder_state(), ("embeddings.", ENCODER_PREFIX[checkpoint.kind]), strict=True
    )
    for part, prefix in parts:
        part.load_state_dict(
            {
                name.removeprefix(prefix): value
                for name, value in checkpoint.model.items()
                if name.startswith(prefix)
            }
        )


def check_finite(weights: dict[str, Tensor], source: str | Path) -> None:
    """Raise ValueError, naming `source`, where a weight is infinite or not a number."""
    if not all(value.isfinite().all() for value in weights.values()):
        raise ValueError(f"{source} has weights that are not finite: its training broke down")
