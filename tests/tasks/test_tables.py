"""Tables of every kind: what is kept of a line, and which lines are refused."""

import csv
import json

import pytest

from electra.tasks.tables import read_table

pytestmark = pytest.mark.fast


def keep(*values):
    return values


def table(path, text):
    path.write_text(text, encoding="utf-8", newline="")
    return path


def refused(match, *args, **settings):
    with pytest.raises(ValueError, match=match) as caught:
        read_table(*args, **settings)
    assert "\n" not in str(caught.value)


# ---------------------------------------------------------------- what is kept

ROWS = [
    ("1", 'said "no", twice', "spam"),
    ("2", "x\u2028y\x85z\x0cw", "ham"),
    ("3", "", " eggs "),
    ("4", '"open', "ham"),
]


def write(path, rows):
    """The rows as a table of the kind that the name says, columns id, text and label."""
    names = ("id", "text", "label")
    with open(path, "w", encoding="utf-8", newline="") as file:
        if path.suffix == ".jsonl":
            file.writelines(
                json.dumps(dict(zip(names, row, strict=True)), ensure_ascii=False) + "\n"
                for row in rows
            )
        elif path.suffix == ".csv":
            csv.writer(file).writerows([names, *rows])
        else:
            file.writelines("\t".join(row) + "\n" for row in [names, *rows])
    return path


@pytest.mark.parametrize("ending", (".csv", ".tsv", ".jsonl"))
def test_every_kind_gives_the_same_strings_in_the_order_asked_for(tmp_path, ending):
    path = write(tmp_path / f"a{ending}", ROWS)
    assert read_table(path, ("label", "text"), keep) == (
        [(label, text) for _, text, label in ROWS],
        0,
    )
    assert read_table(path, ("id",), int) == ([1, 2, 3, 4], 0)


def test_only_csv_has_quotes_and_fields_of_several_lines(tmp_path):
    text = 'text,label\n"a ""b""\nc, d",1\n'
    assert read_table(table(tmp_path / "a.csv", text), ("text", "label"), keep)[0] == [
        ('a "b"\nc, d', "1")
    ]
    text = 'text\tlabel\n"a" "b\t1\n"c\t"0"\n'
    assert read_table(table(tmp_path / "a.tsv", text), ("text", "label"), keep)[0] == [
        ('"a" "b', "1"),
        ('"c', '"0"'),
    ]


@pytest.mark.parametrize(
    "ending, text",
    [
        (".tsv", "text\tlabel\na\t1\nb \t0\n"),
        (".csv", "text,label\na,1\nb ,0\n"),
        (".jsonl", '{"text": "a", "label": "1"}\n{"text": "b ", "label": "0"}\n'),
    ],
)
@pytest.mark.parametrize(
    "change",
    (
        lambda text: "\ufeff" + text,
        lambda text: text.replace("\n", "\r\n"),
        lambda text: text.removesuffix("\n"),
    ),
)
def test_byte_order_mark_and_line_ends_change_nothing(tmp_path, ending, text, change):
    assert read_table(table(tmp_path / f"a{ending}", change(text)), ("text", "label"), keep) == (
        [("a", "1"), ("b ", "0")],
        0,
    )


def test_without_a_header_columns_are_numbers_from_one(tmp_path):
    for name, text in (
        ("a.tsv", "x1\t1\t\tfirst\nx2\t0\t*\tsecond\n"),
        ("a.csv", "x1,1,,first\nx2,0,*,second\n"),
    ):
        path = table(tmp_path / name, text)
        assert read_table(path, ("4", "2"), keep, header=False)[0] == [
            ("first", "1"),
            ("second", "0"),
        ]
        refused(
            r"a\.\wsv:1: no column '5'; the columns are '1', '2', '3', '4'",
            path,
            ("5",),
            keep,
            header=False,
        )
    refused(
        r"a\.jsonl: a \.jsonl names its columns",
        write(tmp_path / "a.jsonl", ROWS),
        ("1",),
        keep,
        header=False,
    )


def test_names_can_be_given_to_a_file_without_a_header(tmp_path):
    path = table(tmp_path / "a.tsv", "\ufeffx1\t1\nx2\t0\nx3\t0\t*\n")
    assert read_table(path, ("mark",), keep, header=("id", "mark"), skip_bad=True) == (
        [("1",), ("0",)],
        1,
    )
    refused(
        r"a\.tsv:3: 3 columns where there should be 2 \('id', 'mark'\)",
        path,
        ("mark",),
        keep,
        header=("id", "mark"),
    )


def test_a_file_may_lack_the_optional_column_as_a_whole(tmp_path):
    for name, text in (
        ("a.tsv", "text\nx\ny\n"),
        ("a.csv", "text\nx\ny\n"),
        ("a.jsonl", '{"text": "x"}\n{"text": "y"}\n'),
    ):
        path = table(tmp_path / name, text)
        assert read_table(path, ("text", "label"), keep, optional="label") == (
            [("x", None), ("y", None)],
            0,
        )
        refused("no column 'label'; the columns are 'text'", path, ("text", "label"), keep)
        refused("no column 'body'", path, ("body", "label"), keep, optional="label")


def test_json_lines_have_the_optional_column_all_or_none(tmp_path):
    path = table(tmp_path / "a.jsonl", '{"text": "x"}\n{"text": "y", "label": 1}\n{"text": "z"}\n')
    refused(
        r"a\.jsonl:2: has a 'label', the lines before have none",
        path,
        ("text", "label"),
        keep,
        optional="label",
    )
    assert read_table(path, ("text", "label"), keep, optional="label", skip_bad=True) == (
        [("x", None), ("z", None)],
        1,
    )
    table(path, '{"text": "x", "label": 1}\n{"text": "y"}\n')
    refused(r"a\.jsonl:2: no column 'label'", path, ("text", "label"), keep, optional="label")


def test_numbers_and_booleans_in_json_become_strings(tmp_path):
    values = (0, True, -2.5, "s")
    path = table(
        tmp_path / "a.jsonl", "".join(json.dumps({"x": x, "other": None}) + "\n" for x in values)
    )
    assert read_table(path, ("x",), keep)[0] == [("0",), ("true",), ("-2.5",), ("s",)]


def test_a_field_longer_than_the_csv_modules_own_limit_is_read(tmp_path):
    long = "word " * 60_000
    assert read_table(table(tmp_path / "a.csv", f"text\n{long}\n"), ("text",), keep)[0] == [(long,)]


def test_a_file_of_another_ending_is_read_as_the_kind_that_is_named(tmp_path):
    path = table(tmp_path / "a.txt", "text\tlabel\na, b\t1\n")
    refused(r"a\.txt: the name must end in one of \.csv, \.tsv, \.jsonl", path, ("text",), keep)
    assert read_table(path, ("text",), keep, kind=".tsv")[0] == [("a, b",)]


# ---------------------------------------------------------------- bad lines


def score(text, value):
    if value not in ("0", "1"):
        raise ValueError(f"label {value!r} is odd")
    return text, value


GOOD = {
    ".tsv": ["a\t1", "b\t0"],
    ".csv": ['"a\nc",1', "b,0"],
    ".jsonl": ['{"text": "a", "y": 1}', '{"text": "b", "y": 0}'],
}
BAD = [
    (".tsv", "no tab", "1 columns where there should be 2"),
    (".tsv", "a\tb\tc", "3 columns"),
    (".tsv", "", "blank line"),
    (".tsv", "a\t2", "label '2' is odd"),
    (".csv", "a,b,c", "3 columns"),
    (".csv", "", "blank line"),
    (".csv", '"a\nb\nc"', "1 columns"),
    (".csv", "a,2", "label '2' is odd"),
    (".jsonl", "", "blank line"),
    (".jsonl", "{", "not a JSON object"),
    (".jsonl", "[1]", "expected a JSON object, got list"),
    (".jsonl", '{"text": "a"}', "no column 'y'; the columns are 'text'"),
    (".jsonl", '{"text": null, "y": 1}', "'text' is None; expected a string"),
    (".jsonl", '{"text": ["a"], "y": 1}', r"'text' is \['a'\]; expected"),
    (".jsonl", '{"text": "a", "y": 2}', "is odd"),
]


@pytest.mark.parametrize("ending, bad, message", BAD)
@pytest.mark.parametrize("position", (0, 1, 2))
def test_a_bad_line_stops_the_reading_or_is_counted_and_nothing_else_is_lost(
    tmp_path, ending, bad, message, position
):
    lines = {".tsv": ["text\ty"], ".csv": ["text,y"], ".jsonl": []}[ending] + GOOD[ending]
    at = position + (ending != ".jsonl")
    number = sum(line.count("\n") + 1 for line in lines[:at]) + 1
    good = read_table(
        table(tmp_path / f"good{ending}", "\n".join(lines) + "\n"), ("text", "y"), score
    )
    assert len(good[0]) == 2 and good[1] == 0
    path = table(tmp_path / f"a{ending}", "\n".join([*lines[:at], bad, *lines[at:]]) + "\n")
    refused(
        rf"a\{ending}:{number}: .*{message}.*\(--skip-bad leaves such lines out\)",
        path,
        ("text", "y"),
        score,
    )
    assert read_table(path, ("text", "y"), score, skip_bad=True) == (good[0], 1)


def test_a_file_of_bad_lines_only_is_refused_with_the_first_of_them(tmp_path):
    path = table(tmp_path / "a.tsv", "text\ty\nx\t3\nx\t4\n")
    refused(
        r"a\.tsv: no examples in it that can be read; the first: .*a\.tsv:2: label '3'",
        path,
        ("text", "y"),
        score,
        skip_bad=True,
    )


@pytest.mark.parametrize(
    "name, data, match",
    [
        ("a.csv", b'text,y\nfine,0\n"never closed,1\nb,1\n', r"a\.csv:3: not valid CSV"),
        ("a.csv", b'text,y\nfine,0\n"closed" early,1\nb,1\n', r"a\.csv:3: not valid CSV"),
        ("a.tsv", b"text\ty\nok\t1\ncaf\xe9\t1\n", r"a\.tsv:3: byte 0xe9 is not UTF-8"),
        ("a.tsv", b"body\ty\nok\t1\n", r"a\.tsv:1: no column 'text'; the columns are 'body', 'y'"),
        ("a.csv", b"text,text,y\na,b,0\n", r"a\.csv:1: column 'text' is there twice"),
        ("a.csv", b"\ntext,y\na,0\n", r"a\.csv:1: blank; the first line must name the columns"),
        ("a.csv", b"text,y\n", r"a\.csv: no examples in it"),
        ("a.tsv", b"", r"a\.tsv: an empty file"),
        ("a.jsonl", b"", r"a\.jsonl: no examples in it"),
    ],
)
def test_errors_of_a_whole_file_are_never_skipped(tmp_path, name, data, match):
    (tmp_path / name).write_bytes(data)
    for skip_bad in (False, True):
        refused(match, tmp_path / name, ("text", "y"), keep, skip_bad=skip_bad)
        refused("no such file", tmp_path / "nowhere.tsv", ("text",), keep, skip_bad=skip_bad)


def test_messages_about_wide_tables_stay_short(tmp_path):
    path = table(tmp_path / "a.tsv", "\t".join(f"c{i}" for i in range(40)) + "\n")
    refused(r"'c11' and 28 more$", path, ("text",), keep)
