"""Tasks that a TOML or JSON file describes."""

import json
import math
import re
from collections import Counter
from pathlib import Path

import pytest

from electra.config import FinetuneConfig
from electra.tasks.task import Example
from electra.tasks.task_file import load_task_file
from electra.training.finetuning import fill_in
from tasks.files import table

pytestmark = pytest.mark.fast

DATA = Path(__file__).resolve().parents[2] / "data"

CLAIM = {"name": "claims", "train": "train.tsv", "text": ["text"], "label": "label"}


def claims(folder, lines=("a\t0", "b\t1") * 5, **settings):
    """A task file beside its training set; a setting of None is left out."""
    table(folder / "train.tsv", "text\tlabel\n" + "".join(f"{line}\n" for line in lines))
    given = {key: value for key, value in {**CLAIM, **settings}.items() if value is not None}
    return table(folder / "claims.json", json.dumps(given))


def file_refused(match, path, **settings):
    with pytest.raises(ValueError, match=match) as caught:
        load_task_file(path, **settings)
    assert "\n" not in str(caught.value)


def example_in_the_readme():
    text = (DATA / "README.md").read_text(encoding="utf-8")
    block = re.search(r'^    name = "claims".*?\n\n', text, re.MULTILINE | re.DOTALL)[0]
    return block.replace("\n    ", "\n").strip() + "\n"


def test_the_example_in_the_readme_is_a_task(tmp_path, monkeypatch):
    (tmp_path / "deep").mkdir()
    table(tmp_path / "deep" / "claims.toml", example_in_the_readme())
    table(
        tmp_path / "deep" / "train.tsv",
        "id\ttitle\tbody\tstance\n1\tA title\tA body\tfor\n2\tB\t\tagainst\n",
    )
    table(tmp_path / "deep" / "dev.tsv", 'stance\tbody\ttitle\nfor\t"x\ty\n')
    table(tmp_path / "deep" / "test.tsv", "title\tbody\nu\tv\n")
    monkeypatch.chdir(tmp_path)
    data = load_task_file("deep/claims.toml")
    assert data.labels == data.task.words == ("against", "for")
    assert data.train == [Example("A title", "A body", 1), Example("B", "", 0)]
    assert data.dev == [Example("y", '"x', 1)] and data.test == [Example("u", "v", -1)]
    task = data.task
    assert (task.name, task.metric, task.also, task.max_len, task.epochs) == (
        "claims",
        "macro_f1",
        (),
        128,
        4,
    )


def test_a_minimal_task_file_takes_labels_from_the_data_and_holds_out_a_tenth(tmp_path):
    data = load_task_file(
        claims(tmp_path, lines=[f"t{i}\t{'yes' if i % 2 else 'no'}" for i in range(20)])
    )
    assert data.labels == ("no", "yes") and data.test is None
    assert (len(data.train), Counter(e.label for e in data.dev)) == (18, {0: 1, 1: 1})
    assert (data.task.metric, data.task.max_len, data.task.epochs) == ("accuracy", 128, 3)
    again, other = (load_task_file(tmp_path / "claims.json", seed=seed) for seed in (0, 1))
    assert data == again and data.dev != other.dev


@pytest.mark.parametrize("stated, epochs", [(4, 4), (40, 40), (None, 10)])
def test_the_epochs_that_a_task_file_states_are_those_of_the_run(tmp_path, stated, epochs):
    """Without them few examples are read ten times."""
    data = load_task_file(claims(tmp_path, epochs=stated))
    config = FinetuneConfig(task=None, task_file="claims.json")
    assert fill_in(config, data, None).epochs == epochs


def test_toml_and_json_of_the_same_keys_are_the_same_task(tmp_path):
    path = claims(tmp_path, labels=["1", "0"], metric="f1", epochs=2)
    toml = table(
        tmp_path / "claims.toml",
        "\ufeff"
        + "".join(
            f"{key} = {json.dumps(value)}\n" for key, value in json.loads(path.read_text()).items()
        ),
    )
    data = load_task_file(toml)
    assert (
        data == load_task_file(path)
        and data.labels == ("1", "0")
        and {e.label for e in data.train} == {0, 1}
    )


def test_a_regression_keeps_any_number(tmp_path):
    lines = [f"t\t{i / 2 - 3}" for i in range(10)]
    path = claims(tmp_path, lines, regression=True, dev="train.tsv", test="test.csv")
    table(tmp_path / "test.csv", "text\nt\n")
    data = load_task_file(path)
    assert [e.label for e in data.train] == [i / 2 - 3 for i in range(10)] and math.isnan(
        data.test[0].label
    )
    assert (data.labels, data.task.metric, data.task.regression) == ((), "spearman", True)
    assert (
        load_task_file(claims(tmp_path, regression=True, metric="pearson")).task.metric == "pearson"
    )


def test_the_scale_of_a_regression_is_the_largest_training_score(tmp_path):
    for scores, scale in (((-7, 2, 3.5), 7.0), ((0, 0), 1.0), ((0.25, 0.125), 0.25)):
        path = claims(tmp_path, [f"t\t{score}" for score in scores], regression=True, dev="dev.tsv")
        table(tmp_path / "dev.tsv", "text\tlabel\nt\t100\n")
        data = load_task_file(path)
        assert data.task.scale == scale and data.dev[0].label == 100


def test_a_tenth_held_out_of_a_regression_is_any_tenth(tmp_path):
    path = claims(tmp_path, [f"t\t{i}" for i in range(10)], regression=True)
    runs = [load_task_file(path, seed=seed) for seed in range(60)]
    assert {data.dev[0].label for data in runs} == set(range(10)) and {
        len(data.dev) for data in runs
    } == {1}
    assert {data.task.scale for data in runs} == {
        9.0
    }  # of all of train, the held-out tenth included


def test_without_a_header_columns_are_numbers(tmp_path):
    table(tmp_path / "mine.csv", "1,no,first\n2,yes,second\n")
    data = load_task_file(
        claims(tmp_path, train="mine.csv", dev="mine.csv", text=["3", "1"], label="2", header=False)
    )
    assert data.train == [Example("first", "1", 0), Example("second", "2", 1)]


def test_a_task_file_may_leave_bad_lines_out(tmp_path):
    path = claims(
        tmp_path, lines=["a\tno", "b\tyes", "c\tmaybe", "d"], labels=["no", "yes"], dev="train.tsv"
    )
    file_refused(r"train\.tsv:4: label 'maybe' is not one of 'no', 'yes' \(--skip-bad", path)
    data = load_task_file(path, skip_bad=True)
    assert (
        data.train == data.dev == [Example("a", None, 0), Example("b", None, 1)]
        and data.skipped == 4
    )


@pytest.mark.parametrize(
    "settings, match",
    [
        ({"colour": "red"}, "colour: unknown key; the keys are name, train"),
        ({"name": None}, "name: missing"),
        ({"train": None}, "train: missing"),
        ({"text": None}, "text: missing"),
        ({"label": None}, "label: missing"),
        ({"name": "My claims"}, "name: 'My claims' may hold a to z"),
        ({"name": ""}, "name: '' may hold"),
        ({"name": "rte"}, "name: there is a task rte already"),
        ({"name": "glue"}, "name: there is a task glue"),
        ({"text": "text"}, "text: expected a list of strings, got 'text'"),
        ({"text": ["text", 2]}, "text: expected a list of strings"),
        ({"text": []}, "text: .*name one column, or two"),
        ({"text": ["a", "b", "c"]}, "text: .*name one column, or two"),
        ({"label": "text"}, "text: .*cannot be both"),
        ({"label": 2}, "label: expected a string, got 2"),
        ({"train": ["a"]}, "train: expected a string"),
        ({"max_len": "long"}, "max_len: expected a whole number"),
        ({"max_len": True}, "max_len: expected a whole number"),
        ({"max_len": 7}, "max_len: must be 8 or more"),
        ({"epochs": 1.5}, "epochs: expected a whole number"),
        ({"epochs": 0}, "epochs: must be 1 or more"),
        ({"header": "no"}, "header: expected true or false"),
        ({"regression": 1}, "regression: expected true or false"),
        (
            {"metric": "bleu"},
            "metric: 'bleu' is no metric for labels; "
            "choose one of accuracy, f1, macro_f1, matthews",
        ),
        ({"metric": "spearman"}, "metric: 'spearman' is not for labels"),
        (
            {"metric": "f1", "regression": True},
            "metric: 'f1' is not for a regression; choose one of spearman, pearson",
        ),
        ({"labels": ["0", "1"], "regression": True}, "labels: a regression has scores"),
        ({"labels": ["0"]}, "labels: .*two or more different"),
        ({"labels": ["0", "0"]}, "labels: .*two or more different"),
        ({"labels": ["0", "1 "]}, "labels: '1 ' is empty or has white space"),
        (
            {"labels": ["0", "1", "2"], "metric": "f1"},
            "metric: f1 is for two labels, and there are 3; take macro_f1",
        ),
    ],
)
def test_a_task_file_is_refused_in_one_line_that_names_file_and_key(tmp_path, settings, match):
    file_refused(rf"claims\.json: {match}", claims(tmp_path, **settings))


def test_a_task_file_that_cannot_be_read_is_named(tmp_path):
    file_refused(
        r"claims\.yaml: the name of a task file must end in \.toml or \.json",
        tmp_path / "claims.yaml",
    )
    file_refused(r"claims\.toml: no such file", tmp_path / "claims.toml")
    file_refused(
        r"claims\.toml: not valid TOML .*line 1", table(tmp_path / "claims.toml", "name = claims\n")
    )
    file_refused(
        r"claims\.json: not valid JSON", table(tmp_path / "claims.json", '{"name": "claims"')
    )
    file_refused(
        r"claims\.json: expected an object .* got list", table(tmp_path / "claims.json", "[]")
    )
    file_refused(r"absent\.tsv: no such file", claims(tmp_path, train="absent.tsv"))
