"""The table of the kinds of tasks.

To add a kind: a `TaskKind` beside its like, and a row here; a `Scoring` in `electra/evaluation/`
and a row in `results.SCORINGS`; an answer in `electra/inference/`.
"""

from __future__ import annotations

from electra.training.kinds_of_texts import TextClasses, TextLabels, TextValue
from electra.training.kinds_of_tokens import AnswerSpans, WordTags
from electra.training.kinds_of_vectors import TextVectors
from electra.training.task_kind import TaskKind

# Kinds of tasks (`Task.kind`) -> how they are trained.
KINDS: dict[str, TaskKind] = {
    "classes": TextClasses(),
    "regression": TextValue(),
    "labels": TextLabels(),
    "tags": WordTags(),
    "spans": AnswerSpans(),
    "vectors": TextVectors(),
}
