"""The metrics that a task can be scored by, under the names that tasks and results use."""

from __future__ import annotations

from collections.abc import Callable

from numpy.typing import ArrayLike

from electra.evaluation.classification import accuracy, f1, macro_f1, matthews
from electra.evaluation.correlation import pearson, spearman

# Each takes labels (N,) and predictions (N,), N > 0, and returns a Python float. Where a metric is
# undefined it has the value that its docstring states and gives a RuntimeWarning, never NaN.
METRICS: dict[str, Callable[[ArrayLike, ArrayLike], float]] = {
    "accuracy": accuracy,
    "f1": f1,
    "macro_f1": macro_f1,
    "matthews": matthews,
    "pearson": pearson,
    "spearman": spearman,
}
