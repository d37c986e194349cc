"""What config.json says of a fine-tuned model: its kind, its labels, and how it was trained.

The names of labels and the kind of problem are those of `transformers`. What it has no name for
stands under the key `fine_tuning`:

    task          as in `FinetuneConfig`
    pairs         whether a classifier reads two texts
    max_len       longest example, in tokens
    truncate      what stays of a longer text
    doc_stride    tokens from one window of a reader to the next
    thresholds    as in `Checkpoint`; of several labels at once in the order of the labels
"""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any, NamedTuple

from electra.checkpoint.checkpoint import Checkpoint
from electra.config import TRUNCATIONS, FinetuneConfig
from electra.huggingface.json_files import read_json

OWN_KEY = "fine_tuning"
SETTINGS_FILE = "tokenizer_config.json"
VALUE = "value"  # the name of a regression's only output
_KIND_OF = {
    "ForSequenceClassification": "classifier",
    "ForTokenClassification": "tagger",
    "ForQuestionAnswering": "reader",
}
_CLASSES = {"electra": "Electra", "bert": "Bert"}
# Of models that were fine-tuned elsewhere, by the kind of checkpoint: the task of the same layout.
_TASKS = {"classifier": "csv", "tagger": "conll", "reader": "squad"}
SHORTEST = 8  # tokens of an example


class TaskConfig(NamedTuple):
    """What a fine-tuned folder says of its task; the names are those of `Checkpoint`."""

    kind: str
    problem: str  # of a classifier, as transformers calls it
    label_names: tuple[str, ...]  # in config.json; empty: none are given
    pairs: bool
    thresholds: tuple[float, ...]
    settings: FinetuneConfig


def problem_of(checkpoint: Checkpoint) -> str:
    """What transformers calls a classifier's kind of problem."""
    if checkpoint.scale is not None or not checkpoint.labels:
        return "regression"
    return "multi_label_classification" if checkpoint.thresholds else "single_label_classification"


def export_task(checkpoint: Checkpoint, model_type: str) -> dict[str, Any]:
    """The values of config.json that say what a fine-tuned model is."""
    ending = next(one for one, kind in _KIND_OF.items() if kind == checkpoint.kind)
    values: dict[str, Any] = {"architectures": [_CLASSES[model_type] + ending]}
    names = checkpoint.labels or (VALUE,)
    if checkpoint.kind != "reader":
        values["id2label"] = {str(number): name for number, name in enumerate(names)}
        values["label2id"] = {name: number for number, name in enumerate(names)}
    if checkpoint.kind == "classifier":
        values["problem_type"] = problem_of(checkpoint)

    names_of_settings = ("task", "max_len", "truncate", "doc_stride")
    own = {
        name: checkpoint.settings[name]
        for name in names_of_settings
        if checkpoint.settings.get(name) is not None
    }
    own |= {"pairs": checkpoint.pairs, "thresholds": list(checkpoint.thresholds)}
    return values | {OWN_KEY: own}


class FineTunedClass(NamedTuple):
    """A class of transformers for a fine-tuned model."""

    name: str
    kind: str  # of the checkpoint that it becomes


def read_class(folder: Path) -> FineTunedClass | None:
    """The class that config.json names; None where the model is not a fine-tuned one."""
    architectures = read_json(folder / "config.json").get("architectures")
    name = str(architectures[0]) if isinstance(architectures, list) and architectures else ""
    match = re.fullmatch(r"(?:Electra|Bert)(For\w+)", name)
    kind = _KIND_OF.get(match[1]) if match else None
    return None if kind is None else FineTunedClass(name, kind)


def read_task(folder: Path, kind: str, max_positions: int) -> TaskConfig:
    """What config.json says of a task whose checkpoint is of this kind.

    Raises ValueError, with the file, for labels or settings that cannot be used.
    """
    path = folder / "config.json"
    values = read_json(path)
    own = _read_own(values.get(OWN_KEY, {}), path)
    max_len = own.pop("max_len", None) or _max_len(folder, max_positions)
    return TaskConfig(
        kind=kind,
        problem=str(values.get("problem_type")),
        label_names=_read_labels(values.get("id2label") or {}, path),
        pairs=own.pop("pairs", False),
        thresholds=tuple(own.pop("thresholds", ())),
        settings=FinetuneConfig(
            **{"task": _TASKS[kind], **own}, max_len=min(max_len, max_positions)
        ),
    )


def _read_own(values: Any, path: Path) -> dict[str, Any]:
    """The values of our own key. Raises ValueError where one is not what `export_task` writes."""
    sound = {
        "task": lambda value: isinstance(value, str) and value.isprintable(),
        "pairs": lambda value: isinstance(value, bool),
        "max_len": lambda value: type(value) is int and value >= SHORTEST,
        "truncate": lambda value: value in TRUNCATIONS,
        "doc_stride": lambda value: type(value) is int and value > 0,
        "thresholds": lambda value: (
            isinstance(value, list)
            and all(type(one) is float and math.isfinite(one) for one in value)
        ),
    }
    if not isinstance(values, dict):
        raise ValueError(f"{path}: {OWN_KEY} is {values!r:.60}, not a JSON object")
    for name, value in values.items():
        if name not in sound or not sound[name](value):
            raise ValueError(
                f"{path}: {OWN_KEY} has {name!r:.60} {value!r:.60}, which is no setting here"
            )
    return dict(values)


def _read_labels(id2label: Any, path: Path) -> tuple[str, ...]:
    """The names by their numbers. Raises ValueError where they are not 0, 1, 2 … and distinct."""
    count = len(id2label) if isinstance(id2label, dict) else 0
    names = [id2label.get(str(number)) for number in range(count)] if count else []
    is_sound = isinstance(id2label, dict) and all(
        isinstance(name, str) and name.strip() and name.isprintable() for name in names
    )
    if not is_sound or len(set(names)) != count:
        raise ValueError(
            f"{path}: id2label is {id2label!r:.60}, not a different name for each of 0, 1, 2 …"
        )
    return tuple(names)


def _max_len(folder: Path, max_positions: int) -> int:
    """The longest example that the tokenizer's settings name."""
    value = read_json(folder / SETTINGS_FILE).get("model_max_length")
    if isinstance(value, int) and SHORTEST <= value <= max_positions:
        return value
    return max_positions
