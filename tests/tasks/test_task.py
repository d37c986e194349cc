"""The table of tasks, and where their data are looked for."""

from collections import Counter
from pathlib import Path

import pytest

from electra.evaluation.classification import f1
from electra.tasks.csv_task import CsvSettings
from electra.tasks.known_tasks import GLUE, TASKS, default_folder
from electra.tasks.load import load_task
from electra.tasks.task import KIND_METRICS, Example, Task, with_both_orders
from tasks.files import MRPC, glue, refused, sst2

pytestmark = pytest.mark.fast


def test_glue_is_scored_and_trained_as_in_the_electra_paper():
    assert {name: (TASKS[name].metric, *TASKS[name].also) for name in GLUE} == {
        "cola": ("matthews",),
        "sst2": ("accuracy",),
        "mrpc": ("accuracy", "f1"),
        "stsb": ("spearman", "pearson"),
        "qqp": ("accuracy", "f1"),
        "mnli": ("accuracy",),
        "qnli": ("accuracy",),
        "rte": ("accuracy",),
        "wnli": ("accuracy",),
    }
    assert {name for name in GLUE if TASKS[name].epochs == 10} == {"rte", "stsb"}
    assert {TASKS[name].epochs for name in GLUE} == {3, 10} and {
        TASKS[name].max_len for name in GLUE
    } == {128}
    assert [name for name in TASKS if TASKS[name].both_orders] == ["mrpc", "stsb"]
    assert [(name, TASKS[name].scale) for name in TASKS if TASKS[name].regression] == [
        ("stsb", 5.0)
    ]


def test_every_row_is_consistent():
    for name, task in TASKS.items():
        assert (
            task.name == name
            and len(task.labels) == len(task.words)
            and len(set(task.words)) == len(task.words)
        )
        assert task.metric in KIND_METRICS[task.kind]
        assert set(task.also) <= {*KIND_METRICS[task.kind], "precision", "recall"}
        assert bool(task.labels) == (task.kind == "classes" and name != "csv")


def test_a_new_row_is_all_that_a_task_in_glue_s_layout_needs(tmp_path, monkeypatch):
    row = Task(
        "scitail", ("no", "yes"), ("0", "1"), layout="glue", folder="SciTail", text=("sentence",)
    )
    monkeypatch.setitem(TASKS, "scitail", row)
    data = load_task("scitail", sst2(tmp_path / "SciTail"))
    assert data.train == [Example("good", None, 1), Example("bad", None, 0)]
    assert data.dev == [Example("fine", None, 1)] and data.labels == ("no", "yes")
    with pytest.raises(ValueError, match="no such file or folder$"):  # nothing fetches it
        load_task("scitail", tmp_path / "nowhere")


def test_f1_counts_the_class_of_paraphrases(tmp_path):
    lines = MRPC + "1\t1\t2\tsame\tsame\n0\t3\t4\tone\tother\n"
    data = load_task("mrpc", glue(tmp_path, "MRPC", train=lines, dev=lines))
    assert [e.label for e in data.train] == [1, 0] and data.labels[1] == "equivalent"
    assert f1([1, 0], [1, 1]) == 2 / 3


def test_both_orders_has_each_pair_and_its_mirror_image():
    pairs = [Example("a", "b", 1), Example("c", "d", 2.5), Example("e", "e", 0)]
    both = with_both_orders(pairs)
    assert both[:3] == pairs and len(both) == 6
    assert Counter(both) == Counter(e._replace(text_a=e.text_b, text_b=e.text_a) for e in both)


def test_the_default_folder_is_the_first_that_exists(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folders = {name: default_folder(name) for name in TASKS if name != "csv"}
    assert folders == {
        "cola": "data/glue/CoLA",
        "sst2": "data/SST-2",
        "mrpc": "data/glue/MRPC",
        "stsb": "data/glue/STS-B",
        "qqp": "data/glue/QQP",
        "mnli": "data/glue/MNLI",
        "qnli": "data/glue/QNLI",
        "rte": "data/glue/RTE",
        "wnli": "data/glue/WNLI",
        "imdb": "data/aclImdb",
        "conll": "data/conll2000",
        "squad": "data/squad",
        "pairs": "data/glue/STS-B",
    }
    Path("data/glue/SST-2").mkdir(parents=True)
    assert default_folder("sst2") == "data/glue/SST-2"
    Path("data/SST-2").mkdir()
    assert default_folder("sst2") == "data/SST-2"
    for name, match in (
        ("csv", "task csv has no folder of its own"),
        ("mnist", "unknown task 'mnist'"),
    ):
        with pytest.raises(ValueError, match=match):
            default_folder(name)


def test_settings_that_a_task_does_not_read_are_refused(tmp_path):
    folder = sst2(tmp_path / "d")
    refused("unknown task 'mnist'", "mnist", folder)
    refused("no such file or folder", "sst2", tmp_path / "nowhere")
    refused(
        "leave out the settings of task csv", "sst2", folder, csv=CsvSettings(label_column="gold")
    )
    refused("needs a folder", "sst2", folder / "dev.tsv")
    refused("name one column, or two", "csv", folder, csv=CsvSettings(("a", "b", "c")))
    refused("cannot be both", "csv", folder, csv=CsvSettings(("label",)))
