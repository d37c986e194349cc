"""Texts in records: fields of JSON, columns of tables."""

import csv
import json

import pytest

from data.corpora import PACKERS, documents, refused, write
from electra.data import records, text_files

pytestmark = pytest.mark.fast

TABLE = 'id,text,label\n1,"one, ""two""\n\nthree",x\n\n2,four,"y\nz"\n'
TEXTS = [['one, "two"', "three"], ["four"]]


# ---------------------------------------------------------------- JSON


@pytest.mark.parametrize("as_array", [False, True])
def test_another_field_can_be_the_text(tmp_path, as_array):
    objects = [{"text": "no", "body": "one\ntwo"}, {"body": "three"}]
    content = json.dumps(objects) if as_array else "\n".join(map(json.dumps, objects))
    path = write(tmp_path / "a.json", content)
    assert documents(path, text_field="body") == [["one", "two"], ["three"]]
    where = "item 2 of the array" if as_array else "line 2"
    refused(f'{path}: {where} has no "text" that is a string; .* --text-field: body', path)


@pytest.mark.parametrize("block", [1, 7, 64, 1 << 20])
def test_an_array_is_read_the_same_in_blocks_of_any_size(tmp_path, monkeypatch, block):
    monkeypatch.setattr(text_files, "BLOCK", block)
    texts = ["", "}", "]", '"', "\\", "a\nb", "日本😀", "x" * 200]
    objects = [{"id": i, "more": [{"text": "inner"}], "text": text} for i, text in enumerate(texts)]
    expected = [["}"], ["]"], ['"'], ["\\"], ["a", "b"], ["日本😀"], ["x" * 200]]
    for spelt in (json.dumps(objects), json.dumps(objects, indent=1, ensure_ascii=False)):
        assert documents(write(tmp_path / "a.json", f"\ufeff \n{spelt}\n ")) == expected


@pytest.mark.parametrize(
    "content, match",
    [
        ('[{"text": "a"}, 3]', "item 2 of the array is not an object"),
        ('[{"text": "a"}, {"text": 3}]', 'item 2 of the array has no "text"'),
        (
            '[{"text": "a"}',
            "item 1 of the array is followed by neither a comma nor the array's end",
        ),
        ('[{"text": "a"},', "item 2 of the array is not an object"),
        ('[{"text": "a"},]', "item 2 of the array is not an object"),
        ('[{"text": "a"} {"text": "b"}]', "item 1 of the array is followed by neither"),
        ('[{"text": "a"}, {"text": "b', "item 2 of the array is not JSON"),
        ('[{"text": "a"}, {"text": b}]', "item 2 of the array is not JSON"),
        ('[{"text": "a"}] and more', "there is more behind the array of 1 items"),
        ('["a", "b"]', "item 1 of the array is not an object"),
        ('{\n "data": [\n]}', "line 1 is not JSON; expected an object a line"),
        ('{"data": [{"text": "a"}]}', 'line 1 has no "text"'),
        ('"text"', 'line 1 has no "text"'),
    ],
)
def test_bad_json_is_refused_by_its_place(tmp_path, content, match):
    path = write(tmp_path / "a.json", content)
    refused(f"{path}: {match}", path)


def test_an_empty_array_has_no_text(tmp_path):
    assert documents(write(tmp_path / "a.json", " [ ] ")) == []


@pytest.mark.parametrize("opened", ['{"text": "', "{", '{"a": {"b": [', '{"text": 1, '])
def test_an_object_of_an_array_is_bounded(tmp_path, monkeypatch, opened):
    monkeypatch.setattr(records, "LONGEST_LINE", 1_000)
    monkeypatch.setattr(text_files, "BLOCK", 100)
    path = write(tmp_path / "a.json", f'[{{"text": "a"}}, {opened}' + '"b": 1, ' * 10_000)
    refused(f"{path}: item 2 of the array is not JSON, or is longer than 1,000", path)


# ---------------------------------------------------------------- tables


@pytest.mark.parametrize("ending", ["", ".gz"])
def test_a_column_of_a_csv_is_read_with_its_quotes_and_line_ends(tmp_path, ending):
    data = PACKERS[ending](TABLE.encode()) if ending else TABLE.encode()
    path = write(tmp_path / f"a.csv{ending}", data)
    assert documents(path, text_field="text") == TEXTS
    assert documents(path, text_field="label") == [["x"], ["y", "z"]]
    marked = write(tmp_path / "b.csv", "\ufeff" + TABLE.replace("\n", "\r\n"))
    assert documents(marked, text_field="id") == [["1"], ["2"]]


def test_a_table_without_a_column_named_is_refused_with_its_columns(tmp_path):
    for name, content in (("a.csv", TABLE), ("a.tsv", TABLE.replace(",", "\t"))):
        path = write(tmp_path / name, content)
        refused(f"{path} has columns; .* --text-field: id, text, label", path)
        refused(f'{path} has no column "body"; .* --text-field: id, text', path, text_field="body")


@pytest.mark.parametrize(
    "row, match",
    [
        ("3,five", "line 9 has 2 cells, the header 3"),
        ("3,five,x,y", "line 9 has 4 cells, the header 3"),
        ('3,"five,x\n4,six', "line 9 is not valid CSV"),
        ('3,"fi"ve,x', "line 9 is not valid CSV"),
    ],
)
def test_a_bad_row_is_refused_by_its_line(tmp_path, row, match):
    path = write(tmp_path / "a.csv", TABLE + "\n" + row + "\n")
    refused(f"{path}: {match}", path, text_field="text")


def test_a_quote_that_is_never_closed_does_not_fill_the_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(records, "LONGEST_LINE", 1_000)
    before = csv.field_size_limit(1_000)  # of the whole process
    path = write(tmp_path / "a.csv", 'text\n"' + "never closed\n" * 20_000)
    try:
        refused(f"{path}: line 2 is not valid CSV .field larger than", path, text_field="text")
    finally:
        csv.field_size_limit(before)


@pytest.mark.parametrize(
    "content, texts",
    [
        ('id\ttext\n1\tsay "yes"\n2\t"no" he said\n', [['say "yes"'], ['"no" he said']]),
        ('id\ttext\n1\t"half\n2\twhole\n', [['"half'], ["whole"]]),
        ('id\ttext\n1\t"a ""b""\tc\nd"\n2\te\n', [['a "b"\tc', "d"], ["e"]]),
        ("id\ttext\n1\ta\n2\tb\n", [["a"], ["b"]]),
    ],
)
def test_quotes_of_a_tsv_are_those_of_a_csv_or_characters(tmp_path, content, texts):
    path = write(tmp_path / "a.tsv", content)
    assert documents(path, text_field="text") == texts


def test_an_empty_table_has_no_text(tmp_path):
    assert documents(write(tmp_path / "a.csv", ""), text_field="text") == []
    assert documents(write(tmp_path / "b.csv", "id,text\n"), text_field="text") == []
