"""What the results of a comparison and of a fine-tuning have to hold, so that a page can be drawn.

It is checked before anything is drawn: an error after that is one of the code.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

ROUNDING = 1e-6  # by which a mean of probabilities may be above 1
LARGEST = 1e100  # number; a few products of it are still floats


class Maybe(NamedTuple):
    """A value that may be None, or missing in its object."""

    schema: Any


class Values(NamedTuple):
    """An object with any keys, whose values have one schema."""

    schema: Any


# `float` is any number, as the loss of a run that diverged; FINITE is one that can be drawn.
FINITE = "a finite number"
SHARE = "a number from 0 to 1"

_SCORES = {
    "metric": str,
    "seeds": [int],
    "head_dev": Maybe([FINITE]),
    "dev": Maybe([FINITE]),
    "test": Maybe([FINITE]),
    "seconds": FINITE,
    "command": str,
}
_POINT = {
    "step": int,
    "minutes": FINITE,
    "tokens": FINITE,
    "mlm_loss": Maybe(FINITE),
    "mlm_acc": float,
    "rtd_auc": Maybe(FINITE),
    "rtd_auc_unigram": Maybe(FINITE),
}
RUN = {  # a pre-training
    "name": str,
    "objective": str,
    "stage": str,
    "init": Maybe(str),
    "minutes": FINITE,
    "steps": int,
    "tokens": FINITE,
    "tokens_per_s": float,
    "flops": Maybe(float),
    "curve": [_POINT],
}
FOLDER_RUN = {  # a run folder, whose log may have no count of tokens
    **RUN,
    "tokens": Maybe(FINITE),
    "tokens_per_s": Maybe(float),
    "curve": [{**_POINT, "tokens": Maybe(FINITE)}],
}
# Of a run folder: config.json, and the lines of metrics.jsonl by their split.
RUN_SETTINGS = {"objective": str, "init": Maybe(str)}
LOG_LINE = {"step": int, "split": str, "seconds": Maybe(FINITE)}
LOG_LINE_OF = {"train": {"tokens": FINITE}, "valid": {"seconds": FINITE}}
_TOKEN = {
    "original": str,
    "shown": str,
    "replaced": bool,
    "masked": bool,
    "p": FINITE,
    "space": bool,
}
COMPARISON = {
    "rows": [
        {
            "name": str,
            "kind": str,
            "pretraining_minutes": Maybe(float),
            "scores": Values(_SCORES),
        }
    ],
    "equal": {"by": str, "text": str},
    "machine": str,
    "date": str,
    "command": str,
    "title": str,
    "pretraining": [{**RUN, "command": str}],
    "replaced_view": [{"model": str, "tokens": [_TOKEN]}],
}

_SEED = {
    "seed": int,
    "dev": Maybe(FINITE),
    "test": Maybe(FINITE),
    "dev_metrics": Maybe(Values(Maybe(FINITE))),
    "test_metrics": Maybe(Values(Maybe(FINITE))),
    "dev_last_epoch": Maybe(float),
    "dev_head_only": Maybe(float),
    "dev_labelled_only": Maybe(float),
    "loss": Maybe(float),
    "ece": Maybe(float),
    "collapsed": bool,
    "retried": bool,
}
_BIN = {
    "from": SHARE,
    "to": SHARE,
    "count": int,
    "confidence": Maybe(SHARE),  # none in an empty bin
    "accuracy": Maybe(SHARE),
}
_BY_TYPE = {"span_f1": SHARE, "precision": SHARE, "recall": SHARE, "gold": int, "predicted": int}
_BY_LABEL = {"f1": SHARE, "threshold": FINITE, "gold": int, "predicted": int}
FINETUNING = {
    "seeds": [_SEED],
    "best_seed": int,
    "task": str,
    "metric": str,
    "also": [str],
    "labels": [str],
    "regression": bool,
    "seconds": FINITE,
    "train_examples": int,
    "kind": Maybe(str),
    "confusion": Maybe([[int]]),
    "type_confusion": Maybe({"types": [str], "words": [[int]]}),
    "by_type": Maybe(Values(_BY_TYPE)),
    "by_label": Maybe(Values(_BY_LABEL)),
    "calibration": Maybe([_BIN]),
    "more": Maybe(Values(Values([Maybe(FINITE)]))),
    "settings": {"init": object},
}
# Rows of predictions.tsv, as `held_out_rows` reads them.
PREDICTIONS = [
    {"text": str, "gold": str, "prediction": str, "p": Maybe(float), "p_gold": Maybe(float)}
]


def check_kind(value: Any, schema: Any, name: str = "the file") -> None:
    """Raise ValueError naming the first value that is missing or not of its schema.

    schema: a type; FINITE or SHARE; [schema] for a list; {key: schema} for an object, whose further
    keys do not matter; `Maybe`; `Values`.
    """
    if isinstance(schema, Maybe):
        if value is not None:
            check_kind(value, schema.schema, name)
    elif isinstance(schema, list):
        _require(isinstance(value, list), name, "a list")
        for one in value:
            check_kind(one, schema[0], name)
    elif isinstance(schema, (dict, Values)):
        _require(isinstance(value, dict), name, "an object")
        _check_object(value, schema)
    elif schema is bool:
        _require(isinstance(value, int), name, "true or false")  # any number, as in Python
    elif schema is int:
        whole = isinstance(value, int) and not isinstance(value, bool)
        _require(whole and abs(value) <= LARGEST, name, "a whole number")
    elif schema in (float, FINITE, SHARE):
        _require(_is_number(value, schema), name, "a number" if schema is float else schema)
    else:
        _require(isinstance(value, schema), name, schema.__name__)


def _is_number(value: Any, schema: Any) -> bool:
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        return False
    if schema == SHARE:
        return 0 <= value <= 1 + ROUNDING
    endless = schema is float and isinstance(value, float) and not math.isfinite(value)
    return endless or abs(value) <= LARGEST


def _check_object(value: dict[str, Any], schema: dict[str, Any] | Values) -> None:
    if isinstance(schema, Values):
        for key, one in value.items():
            check_kind(one, schema.schema, key)
        return
    for key, wanted in schema.items():
        if key not in value and not isinstance(wanted, Maybe):
            raise ValueError(f"{key} is missing")
        check_kind(value.get(key), wanted, key)


def _require(kept: bool, name: str, what: str) -> None:
    if not kept:
        raise ValueError(f"a value is of the wrong kind: {name} is not {what}")
