"""The head and the labels of a fine-tuned model of `transformers`, where they can be ours."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

from torch import Tensor

from electra.checkpoint.checkpoint import ENCODER_PREFIX
from electra.config import ModelConfig
from electra.huggingface.network import Network
from electra.huggingface.task_config import OWN_KEY, TaskConfig, read_class, read_task
from electra.huggingface.task_heads import (
    TOKEN_HEADS,
    LinearHead,
    read_text_head,
    read_token_head,
    text_head_names,
)
from electra.huggingface.tensor_names import PREFIX
from electra.model.classifier import Classifier
from electra.model.fine_tuned import FineTunedModel
from electra.model.reader import Reader
from electra.model.tagger import Tagger

READER_OUTPUTS = 2
EVEN = 0.5  # the threshold of a label where none was chosen


class FineTuned(NamedTuple):
    """A fine-tuned model whose head is one of ours."""

    task: TaskConfig
    head: LinearHead
    encoder: Network  # its network without the head

    @property
    def outputs(self) -> int:
        return len(self.head.bias)

    @property
    def is_regression(self) -> bool:
        return self.task.kind == "classifier" and (
            self.task.problem == "regression" or self.outputs == 1
        )

    @property
    def is_multi_label(self) -> bool:
        return self.task.problem == "multi_label_classification" and not self.is_regression

    @property
    def labels(self) -> tuple[str, ...]:
        """As in `Checkpoint`."""
        if self.is_regression or self.task.kind == "reader":
            return ()
        return self.task.label_names or tuple(f"LABEL_{i}" for i in range(self.outputs))

    @property
    def thresholds(self) -> tuple[float, ...]:
        """As in `Checkpoint`."""
        if self.is_multi_label:
            return self.task.thresholds or (EVEN,) * self.outputs
        return self.task.thresholds


class OtherHead(NamedTuple):
    """A fine-tuned model whose head no model here has."""

    why: str


def read_fine_tuned(network: Network) -> FineTuned | OtherHead | None:
    """What a folder holds beside its encoder; None where it is not a fine-tuned model.

    Raises ValueError, with the folder, for labels, thresholds and weights that do not go together.
    """
    found = read_class(network.folder)
    if found is None:
        return None
    model_type = PREFIX[network.kind].rstrip(".")
    if found.kind == "classifier":
        head = read_text_head(network.tensors, model_type)
        names = text_head_names(model_type)
        why = f"a {found.name} reads [CLS] through a layer that no classifier here has"
    else:
        head = read_token_head(network.tensors, found.kind)
        names = tuple(f"{TOKEN_HEADS[found.kind]}.{end}" for end in ("weight", "bias"))
        why = f"the weights of a {found.name} head are not among its tensors"
    if head is None:
        return OtherHead(why)

    task = read_task(network.folder, found.kind, network.config.max_positions)
    encoder = {name: one for name, one in network.tensors.items() if name not in names}
    fine_tuned = FineTuned(task, head, network._replace(tensors=encoder))
    _check(fine_tuned)
    return fine_tuned


def _check(found: FineTuned) -> None:
    task, folder, outputs = found.task, found.encoder.folder, found.outputs
    wanted = len(task.label_names) or outputs
    if task.kind == "reader":
        wanted = READER_OUTPUTS
    elif found.is_regression:
        wanted = 1
    shape, right = tuple(found.head.weight.shape), (wanted, found.encoder.config.hidden_size)
    if shape != right:
        raise ValueError(
            f"{folder}: the head has the shape {shape}, but config.json says {right}; "
            f"--encoder-only leaves it out"
        )
    allowed = outputs if found.is_multi_label else int(task.kind == "reader")
    if len(task.thresholds) not in (0, allowed):
        raise ValueError(
            f"{folder}/config.json: {OWN_KEY} has {len(task.thresholds)} thresholds, not {allowed}"
        )


def fine_tuned_config(config: ModelConfig) -> ModelConfig:
    """The settings of the model: its head, where it reads one vector, reads [CLS]."""
    return replace(config, pooling="cls")


def make_fine_tuned(found: FineTuned, config: ModelConfig) -> FineTunedModel:
    """A model of its kind, initialised."""
    if found.task.kind == "reader":
        return Reader(config)
    if found.task.kind == "tagger":
        return Tagger(config, found.outputs)
    return Classifier(config, found.outputs, multi_label=found.is_multi_label)


def fine_tuned_weights(
    found: FineTuned, encoder: dict[str, Tensor], objective: str
) -> dict[str, Tensor]:
    """All weights by their names here. `encoder`: those of a pre-trained model of `objective`."""
    old, new = ENCODER_PREFIX[objective], ENCODER_PREFIX[found.task.kind]
    renamed = {
        new + name.removeprefix(old) if name.startswith(old) else name: tensor
        for name, tensor in encoder.items()
    }
    return renamed | {"head.out.weight": found.head.weight, "head.out.bias": found.head.bias}


def describe_fine_tuned(found: FineTuned) -> str:
    """What the head is, for a message."""
    if found.is_regression:
        return "with its head: a regression"
    if found.task.kind == "reader":
        return "with its head: answers to questions"
    return f"with its head: a {found.task.kind} with the labels {', '.join(found.labels)}"
