"""What result.json and the last lines of a fine-tuning say. Whole runs are in test_finetune.py."""

import pytest

from electra.evaluation.results import SCORINGS
from electra.tasks.known_tasks import TASKS
from electra.tasks.task import Example, TaskData

pytestmark = pytest.mark.fast


@pytest.mark.parametrize(
    "task, expected", [("sst2", 0.75), ("cola", 0.0), ("mrpc", 0.75), ("qnli", 0.75)]
)
def test_the_majority_is_scored_by_the_metric_of_the_task(task, expected):
    """A share of the sentences beside a Matthews correlation would look like a better score."""
    dev = [Example("a", None, label) for label in (1, 0, 1, 1)]
    data = TaskData(TASKS[task], ("no", "yes"), dev, dev, None)
    assert SCORINGS["classes"].majority_score(data) == expected
