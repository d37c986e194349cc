"""Task csv: labels, pairs, files of a folder, and what is refused."""

import json

import pytest

from electra.tasks.csv_task import CsvSettings
from electra.tasks.load import load_task
from electra.tasks.task import Example
from electra.tasks.task_file import load_task_file
from tasks.files import refused, table

pytestmark = pytest.mark.fast

ROWS = [
    {"text": 'said "no", twice', "label": "spam"},
    {"text": "line one\nline two", "label": "ham"},
    {"text": "", "label": "ham"},
    {"text": "x\u2028y", "label": "eggs"},
]


def test_labels_come_from_the_training_file_in_sorted_order(tmp_path):
    for part in ("train", "dev", "test"):
        table(tmp_path / f"{part}.jsonl", "".join(json.dumps(row) + "\n" for row in ROWS))
    data = load_task("csv", tmp_path)
    assert data.labels == data.task.words == ("eggs", "ham", "spam")
    assert (
        data.train
        == data.dev
        == data.test
        == [Example(r["text"], None, data.labels.index(r["label"])) for r in ROWS]
    )


def test_labels_that_are_numbers_sort_as_numbers(tmp_path):
    rows = "".join(f"t{i}\t{label}\n" for i, label in enumerate([10, 9, -1, 2] * 3))
    path = table(tmp_path / "a.tsv", "text\tlabel\n" + rows)
    assert load_task("csv", path).labels == ("-1", "2", "9", "10")


def test_json_labels_may_be_numbers_or_booleans(tmp_path):
    for labels, expected in (((0, 1), ("0", "1")), ((False, True), ("false", "true"))):
        path = table(
            tmp_path / "a.jsonl",
            "".join(
                json.dumps({"text": "t", "label": labels[i % 2], "id": None}) + "\n"
                for i in range(10)
            ),
        )
        assert load_task("csv", path).labels == expected


def test_two_text_columns_make_pairs(tmp_path):
    path = table(
        tmp_path / "a.tsv",
        "id\tq\ta\tgold\n" + "".join(f'{i}\tq"{i}\ta{i}\t{i % 2}\n' for i in range(10)),
    )
    data = load_task("csv", path, csv=CsvSettings(("q", "a"), "gold"))
    assert data.test is None and len(data.dev) == 1
    assert sorted(data.train + data.dev) == [Example(f'q"{i}', f"a{i}", i % 2) for i in range(10)]


def test_explicit_files_come_before_the_folder(tmp_path):
    train = table(tmp_path / "train.csv", "text,label\na,0\nb,1\n")
    table(tmp_path / "valid.csv", "text,label\nfrom folder,0\n")
    other = table(tmp_path / "other.jsonl", '{"text": "given", "label": 1}\n')
    assert load_task("csv", tmp_path).dev == [Example("from folder", None, 0)]
    assert load_task("csv", tmp_path, csv=CsvSettings(dev_file=other)).dev == [
        Example("given", None, 1)
    ]
    data = load_task("csv", train, csv=CsvSettings(dev_file=other, test_file=other))
    assert len(data.train) == 2 and data.dev == data.test == [Example("given", None, 1)]


def test_a_test_file_may_lack_labels_but_not_some_of_them(tmp_path):
    train = table(tmp_path / "train.csv", "text,label\na,0\nb,1\n")
    test = table(tmp_path / "test.jsonl", '{"text": "x"}\n{"text": "y"}\n')
    assert load_task("csv", train, csv=CsvSettings(dev_file=train, test_file=test)).test == [
        Example("x", None, -1),
        Example("y", None, -1),
    ]
    table(test, '{"text": "x"}\n{"text": "y", "label": 1}\n')
    refused(
        r"test\.jsonl:2: has a 'label'",
        "csv",
        train,
        csv=CsvSettings(dev_file=train, test_file=test),
    )
    table(test, '{"text": "x", "label": 1}\n{"text": "y"}\n')
    refused(
        r"test\.jsonl:2: no column 'label'",
        "csv",
        train,
        csv=CsvSettings(dev_file=train, test_file=test),
    )


def test_an_unknown_dev_label_is_refused_with_its_line(tmp_path):
    table(tmp_path / "train.csv", 'text,label\n"a\nb",0\nc,1\n')
    table(tmp_path / "dev.csv", 'text,label\n"a\nb\nc",0\nd,maybe\n')
    refused(r"dev\.csv:5: label 'maybe' is not one of '0', '1'", "csv", tmp_path)


@pytest.mark.parametrize(
    "text, match",
    [
        ("text,label\na,b,0\n", r"a\.csv:2: 3 columns"),
        ("text,label\na,0\nb, \n", r"a\.csv:3: the label is empty"),
        ("text,label\na,same\nb,same\n", r"a\.csv: every label is 'same'"),
        ("text,label\na,0\nb,1\n", "give a dev file"),
    ],
)
def test_csv_stops_with_one_line_that_names_the_place(tmp_path, text, match):
    refused(match, "csv", table(tmp_path / "a.csv", text))


@pytest.mark.parametrize("separator", [None, "|"])
def test_a_label_with_a_line_end_is_refused_with_its_line(tmp_path, separator):
    """Tables of predictions have a line for each example."""
    lines = [{"text": "a", "label": "yes"}, {"text": "b", "label": "no\nnever"}]
    path = table(tmp_path / "a.jsonl", "".join(json.dumps(line) + "\n" for line in lines))
    settings = CsvSettings(label_separator=separator)
    refused(
        r"a\.jsonl:2: the label 'no\\nnever' has a tab or a line end", "csv", path, csv=settings
    )


@pytest.mark.parametrize("word", ["-", "yes|no"])
def test_labels_whose_cells_cannot_be_read_back_are_refused(tmp_path, word):
    """A cell of a table of predictions is - where there is no label, else labels and separators."""
    labels = ["yes", word]
    settings = {"name": "mine", "train": "a.tsv", "text": ["text"], "label": "label"}
    settings |= {"multi_label": True, "labels": labels}
    table(tmp_path / "a.tsv", "text\tlabel\n" + f"a\t{word}\nb\tyes\n" * 9)
    with pytest.raises(ValueError, match=r"task\.json: labels: ") as caught:
        load_task_file(table(tmp_path / "task.json", json.dumps(settings)))
    assert repr(word) in str(caught.value)
    if word == "-":  # of a table alone
        csv = CsvSettings(label_separator="|")
        refused(r"a\.tsv: '-' cannot be a label", "csv", tmp_path / "a.tsv", csv=csv)


def test_csv_leaves_bad_lines_out_of_every_file_and_of_the_labels(tmp_path):
    table(tmp_path / "train.csv", "text,label\na,0\nb,1\nodd,2,3\n,\n\n")
    table(tmp_path / "dev.tsv", "text\tlabel\nc\t0\nd\t2\n")
    table(tmp_path / "test.jsonl", '{"text": "e"}\n{"text": 1.5}\n{}\n')
    data = load_task("csv", tmp_path, skip_bad=True)
    assert data[1:5] == (
        ("0", "1"),
        [Example("a", None, 0), Example("b", None, 1)],
        [Example("c", None, 0)],
        [Example("e", None, -1), Example("1.5", None, -1)],
    )
    assert data.skipped == 3 + 1 + 1


def test_folders_of_tables_say_what_is_missing_or_ambiguous(tmp_path):
    refused(r"no train file", "csv", tmp_path)
    table(tmp_path / "train.csv", "text,label\na,0\nb,1\n")
    refused(r"no dev \(or valid, validation, val\) file", "csv", tmp_path)
    table(tmp_path / "dev.csv", "text,label\na,0\n")
    table(tmp_path / "valid.tsv", "text\tlabel\na\t0\n")
    refused(r"holds dev\.csv and valid\.tsv", "csv", tmp_path)
