"""The kinds of checkpoints that are served: what each takes and how it answers.

To add one: a function that answers a list of requests, a row in `KINDS`, a line in `make_model`,
and in page.js a function that shows the answer, in the table RENDERERS under the same name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

from electra.inference.predictor import Predictor
from electra.serving.labels import answer_labels, passes_of_labels
from electra.serving.marked import answer_answers, answer_entities, once
from electra.serving.replaced import answer_replaced, passes_of_replaced
from electra.serving.request import Request


class Input(NamedTuple):
    """A text that a request has: its key, and what the page calls it."""

    name: str
    title: str


class Kind(NamedTuple):
    """How a kind of checkpoint answers.

    `answer` takes a list of requests and returns a JSON object for each, in their order; it raises
    Refusal for a request that it cannot answer. Several threads call it at a time. `options` are
    keys of a request beside its texts, bool or int. `passes` says how often the model reads the
    texts.
    """

    answer: Callable[[Predictor, list[Request]], list[dict[str, Any]]]
    options: dict[str, type]
    passes: Callable[[Predictor, Request], int]


KINDS = {
    "replaced": Kind(answer_replaced, {"mask": int}, passes_of_replaced),
    "labels": Kind(answer_labels, {"words": bool}, passes_of_labels),
    "value": Kind(answer_labels, {"words": bool}, passes_of_labels),
    "several": Kind(answer_labels, {}, once),
    "entities": Kind(answer_entities, {}, once),
    "answers": Kind(answer_answers, {}, once),
}


# Kinds of tasks (`Task.kind`) -> the kind of their checkpoints here.
NAMES = {
    "classes": "labels",
    "regression": "value",
    "labels": "several",
    "tags": "entities",
    "spans": "answers",
}


class Model(NamedTuple):
    """A checkpoint under the name by which clients ask for it."""

    name: str
    kind_name: str  # one of `KINDS`; the page chooses by it how to show an answer
    kind: Kind
    inputs: tuple[Input, ...]
    predictor: Predictor

    def describe(self) -> dict[str, Any]:
        """What /v1/models says of it."""
        task = self.predictor.task
        return {
            "name": self.name,
            "kind": self.kind_name,
            "inputs": [one._asdict() for one in self.inputs],
            "options": list(self.kind.options),
            "labels": list(task.labels) if task else [],
            "max_tokens": self.predictor.most_tokens,
        }


def make_model(name: str, predictor: Predictor) -> Model:
    """The model of a checkpoint that has been loaded."""
    task = predictor.task
    inputs: tuple[Input, ...] = (Input("text", "Text"),)
    kind_name = "replaced" if task is None else NAMES[task.data.task.kind]
    if task is not None and task.pairs:
        inputs = (Input("text", "First text"), Input("text_b", "Second text"))
    if kind_name == "answers":
        inputs = (Input("question", "Question"), Input("text", "Text"))
    return Model(name, kind_name, KINDS[kind_name], inputs, predictor)


def model_names(paths: Iterable[str]) -> list[str]:
    """A name for each checkpoint, no two alike: its run folder's, or its file's where it has one.

    "runs/sst2/ckpt.pt" is "sst2", "small.pt" is "small"; a second "sst2" is "sst2-2".
    """
    names: list[str] = []
    for path in map(Path, paths):
        folder = path.resolve().parent.name
        stem = folder if path.stem == "ckpt" and folder else path.stem
        name, number = stem, 2
        while name in names:
            name, number = f"{stem}-{number}", number + 1
        names.append(name)
    return names
