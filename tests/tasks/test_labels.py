"""Labels as people write them: numbers, missing ones, and sets that have none."""

import math

import pytest

from electra.tasks.known_tasks import TASKS
from electra.tasks.labels import class_lines
from electra.tasks.load import load_task
from electra.tasks.task import NO_LABEL, Example, TaskData
from electra.tasks.task_file import load_task_file
from tasks.files import refused, sst2, table

pytestmark = pytest.mark.fast


def folder(path, train="a,0\nb,1\n", dev="c,0\n", test=None, dev_name="dev"):
    """Tables with the columns text and label below this path."""
    for name, text in (("train", train), (dev_name, dev), ("test", test)):
        if text is not None:
            table(path / f"{name}.csv", "text,label\n" + text)
    return path


def labels_of(examples):
    return [example.label for example in examples]


# ---------------------------------------------------------------- one class, two spellings


@pytest.mark.parametrize("spelled", ("1.0", "01", "+1", "1.", "1.00"))
def test_numbers_that_are_equal_are_one_class_in_every_file(tmp_path, spelled):
    data = load_task(
        "csv",
        folder(
            tmp_path, f"a,{spelled}\nb,0\nc,1\nd,0.0\n", f"e,{spelled}\n", f"f,{spelled}\ng,0\n"
        ),
    )
    assert data.labels == ("0", "1")
    assert [labels_of(part) for part in data[2:5]] == [[1, 0, 1, 0], [1], [1, 0]]


def test_one_spelling_is_kept_as_it_is(tmp_path):
    data = load_task("csv", folder(tmp_path, "a,1.0\nb,10.0\nc,2.5\n", "d,10\n"))
    assert data.labels == ("1.0", "2.5", "10.0") and labels_of(data.dev) == [2]


def test_numbers_too_large_for_a_float_stay_apart(tmp_path):
    large = "9" * 30
    data = load_task("csv", folder(tmp_path, f"a,{large}8\nb,{large}9\n", f"c,{large}9.0\n"))
    assert data.labels == (large + "8", large + "9") and labels_of(data.dev) == [1]


@pytest.mark.parametrize("word", ("1_0", "١", "1 0", "0x1", "v1.0", "1.0.0", "9" * 5_000))
def test_what_is_no_plain_number_is_compared_as_it_is_spelled(tmp_path, word):
    data = load_task("csv", folder(tmp_path, f"a,{word}\nb,1\nc,10\n", f"d,{word}\n"))
    assert len(data.labels) == 3 and data.labels[data.dev[0].label] == word


def test_the_labels_of_a_task_match_numbers_too(tmp_path):
    data = load_task("sst2", sst2(tmp_path, "good\t1.0\nbad\t0.0\n", "fine\t1\n"))
    assert labels_of(data.train) == [1, 0]
    task = tmp_path / "mine.toml"
    head = 'name = "m"\ntrain = "train.csv"\ndev = "train.csv"\ntext = ["text"]\nlabel = "label"\n'
    folder(tmp_path, "a,1.0\nb,2\n")
    table(task, head + 'labels = ["2", "1"]\n')
    assert labels_of(load_task_file(task).train) == [1, 0]
    table(task, head + 'labels = ["1", "1.0"]\n')
    with pytest.raises(ValueError, match=r"labels: \['1', '1.0'\] are not two or more different"):
        load_task_file(task)


# ---------------------------------------------------------------- no class


@pytest.mark.parametrize("word", ("nan", "NaN", " NAN ", ""))
def test_a_missing_label_is_no_class(tmp_path, word):
    path = folder(tmp_path, f"a,0\nb,{word}\nc,1\n")
    refused(r"train\.csv:3: the label is (empty|'nan'|'NaN'|'NAN', which)", "csv", path)
    data = load_task("csv", path, skip_bad=True)
    assert data.labels == ("0", "1") and len(data.train) == 2 and data.skipped == 1


def test_json_that_pandas_writes_for_a_missing_label(tmp_path):
    for value in ("null", "NaN"):
        rows = f'{{"text": "a", "label": 0}}\n{{"text": "b", "label": {value}}}\n'
        table(tmp_path / "train.jsonl", rows + '{"text": "c", "label": 1.0}\n')
        table(tmp_path / "dev.jsonl", '{"text": "d", "label": 1}\n')
        refused(r"train\.jsonl:2: ", "csv", tmp_path)
        data = load_task("csv", tmp_path, skip_bad=True)
        assert data.labels == ("0", "1.0") and data.skipped == 1
        assert labels_of(data.dev) == [1]


def test_none_is_a_class(tmp_path):
    data = load_task("csv", folder(tmp_path, "a,none\nb,None\nc,null\n", "d,None\n"))
    assert data.labels == ("None", "none", "null") and labels_of(data.dev) == [0]


# ---------------------------------------------------------------- a set without labels


@pytest.mark.parametrize("word", ("-1", "-1.0", "", " ", "nan"))
def test_a_test_set_whose_labels_are_all_missing_is_one_without(tmp_path, word):
    data = load_task("csv", folder(tmp_path, test=f"x,{word}\ny,{word}\n"))
    assert data.test == [Example("x", None, NO_LABEL), Example("y", None, NO_LABEL)]
    assert data.skipped == 0
    again = load_task("csv", tmp_path, skip_bad=True)
    assert again.test == data.test and again.skipped == 0


def test_a_test_set_of_json_nulls_is_one_without(tmp_path):
    table(tmp_path / "test.jsonl", '{"text": "x", "label": null}\n{"text": "y", "label": null}\n')
    assert labels_of(load_task("csv", folder(tmp_path)).test) == [NO_LABEL, NO_LABEL]


def test_labels_that_are_missing_in_some_lines_are_refused(tmp_path):
    for word, match in (("-1", "label '-1' is not one of"), ("", "the label is empty")):
        path = folder(tmp_path, test=f"x,{word}\ny,1\n")
        refused(rf"test\.csv:2: {match}", "csv", path)
        data = load_task("csv", path, skip_bad=True)
        assert data.test == [Example("y", None, 1)] and data.skipped == 1


def test_minus_one_is_a_label_where_the_training_set_has_it(tmp_path):
    data = load_task("csv", folder(tmp_path, "a,-1\nb,1\n", "c,-1\n", "x,-1\ny,-1.0\n"))
    assert labels_of(data.test) == [0, 0]


def test_a_bad_line_of_a_set_without_labels_is_named(tmp_path):
    refused(r"test\.csv:3: 3 columns", "csv", folder(tmp_path, test="x,-1\ny,z,-1\n"))


def test_the_test_sets_of_glue_and_imdb_may_be_all_minus_one(tmp_path):
    table(sst2(tmp_path / "SST-2") / "test.tsv", "sentence\tlabel\nx\t-1\ny\t-1\n")
    assert labels_of(load_task("sst2", tmp_path).test) == [NO_LABEL, NO_LABEL]

    tables = tmp_path / "imdb"
    tables.mkdir()
    table(tables / "train.csv", "text,label\n" + "a,0\nb,1\n" * 10)
    table(tables / "test.csv", "text,label\nx,-1\n")
    assert labels_of(load_task("imdb", tables).test) == [NO_LABEL]


@pytest.mark.parametrize(
    "word, labelled", [("-1", False), ("-1.0", False), ("", False), ("-2", True)]
)
def test_a_regression_may_have_a_test_set_without_scores(tmp_path, word, labelled):
    folder(tmp_path, "a,0.5\nb,2\n", "c,1\n", f"x,{word}\ny,{word}\n")
    data = load_task_file(regression(tmp_path))
    assert [math.isnan(label) for label in labels_of(data.test)] == [not labelled] * 2


def test_minus_one_is_a_score_where_the_training_scores_go_so_low(tmp_path):
    folder(tmp_path, "a,-2\nb,2\n", "c,1\n", "x,-1\ny,-1\n")
    assert labels_of(load_task_file(regression(tmp_path)).test) == [-1.0, -1.0]


def regression(path):
    return table(
        path / "mine.toml",
        'name = "m"\ntrain = "train.csv"\ndev = "dev.csv"\ntest = "test.csv"\ntext = ["text"]\n'
        'label = "label"\nregression = true\n',
    )


# ---------------------------------------------------------------- names of files


@pytest.mark.parametrize("name", ("dev", "valid", "validation", "val"))
def test_every_name_of_the_dev_set_is_read(tmp_path, name):
    data = load_task("csv", folder(tmp_path, dev="from the file,1\n", dev_name=name))
    assert data.dev == [Example("from the file", None, 1)]


def test_two_dev_sets_in_one_folder_are_refused(tmp_path):
    folder(tmp_path, dev_name="validation")
    table(tmp_path / "val.tsv", "text\tlabel\na\t0\n")
    refused(r"holds validation\.csv and val\.tsv; keep one of them", "csv", tmp_path)


# ---------------------------------------------------------------- what is printed


def described(labels, counts, regression=False):
    examples = [
        Example("t", None, label) for label, count in enumerate(counts) for _ in range(count)
    ]
    task = TASKS["stsb"] if regression else TASKS["csv"]
    return class_lines(TaskData(task, tuple(labels), examples, [], None))


def test_the_classes_are_shown_with_their_counts():
    assert described(["negative", "positive"], [1_200, 3]) == [
        "2 classes, with their training examples: negative (1,200), positive (3)"
    ]


def test_many_classes_are_cut_to_one_line():
    (line,) = described([f"class {i}" for i in range(19)], [1] * 19)
    assert len(line) <= 100 and line.startswith("19 classes, with")
    shown = line.count("(1)")
    assert line.endswith(f"class {shown - 1} (1), … and {19 - shown} more")


def test_a_long_or_odd_name_stays_one_line():
    (line,) = described(["x" * 500, "\x1b[2J\n"], [2, 1])
    assert line.isprintable() and len(line) <= 100 and line.endswith(r"x… (2), \x1b[2J\n (1)")


def test_many_numbers_may_be_scores():
    numbers = [f"{i / 4:g}" for i in range(21)]
    lines = described(numbers, [1] * 21)
    assert len(lines) == 2 and "`regression = true`" in lines[1] and "--task-file" in lines[1]
    assert len(described(numbers[:20], [1] * 20)) == 1
    assert len(described([*numbers[:20], "x"], [1] * 21)) == 1


def test_the_scores_of_a_regression_are_shown_by_their_range():
    examples = [Example("a", "b", score) for score in (0.5, 4.0, 1.5)]
    data = TaskData(TASKS["stsb"], (), examples, [], None)
    assert class_lines(data) == ["scores from 0.5 to 4, mean 2"]
