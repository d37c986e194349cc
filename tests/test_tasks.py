"""Readers on small originals: what they keep, and that they stop at the file and line of what they cannot read."""

import csv
import json
from collections import Counter

import pytest

from electra.tasks import TASKS, Example, load_task


def sst2(folder, train="good \t1\nbad \t0\n", dev="fine \t1\n", test=None):
    folder.mkdir(exist_ok=True)
    (folder / "train.tsv").write_text("sentence\tlabel\n" + train, encoding="utf-8", newline="")
    (folder / "dev.tsv").write_text("sentence\tlabel\n" + dev, encoding="utf-8", newline="")
    if test is not None:
        (folder / "test.tsv").write_text("index\tsentence\n" + test, encoding="utf-8", newline="")
    return folder


def imdb(folder, per_class=20):
    for split in ("train", "test"):
        for word, rating in (("pos", 9), ("neg", 2)):
            place = folder / "aclImdb" / split / word
            place.mkdir(parents=True)
            for i in range(per_class):
                (place / f"{i}_{rating}.txt").write_text(f"{split} {word} {i}", encoding="utf-8")
    return folder / "aclImdb"


def table(path, text):
    path.write_text(text, encoding="utf-8", newline="")
    return path


def refused(match, *args, **settings):
    with pytest.raises(ValueError, match=match) as caught:
        load_task(*args, **settings)
    assert "\n" not in str(caught.value)


# ---------------------------------------------------------------- SST-2

def test_sst2_keeps_quotes_and_unicode_line_separators_as_text(tmp_path):
    data = load_task("sst2", sst2(tmp_path / "d", train='"unbalanced \t1\na" b "c\t0\none\u2028two\x85three \t1\n'))
    assert data.train == [Example('"unbalanced', None, 1), Example('a" b "c', None, 0),
                          Example("one\u2028two\x85three", None, 1)]
    assert data.labels == ("negative", "positive") and data.task is TASKS["sst2"]


def test_sst2_reads_bom_and_crlf_and_keeps_an_empty_sentence(tmp_path):
    folder = sst2(tmp_path / "d")
    table(folder / "train.tsv", "\ufeffsentence\tlabel\r\ngood \t1\r\n\t0\r\n")
    assert load_task("sst2", folder).train == [Example("good", None, 1), Example("", None, 0)]


def test_sst2_test_has_no_labels_and_is_optional(tmp_path):
    assert load_task("sst2", sst2(tmp_path / "a")).test is None
    data = load_task("sst2", sst2(tmp_path / "b", test="0\tx y \n1\tz\n"))
    assert data.test == [Example("x y", None, -1), Example("z", None, -1)]


@pytest.mark.parametrize("train, match", [
    ("good\t1\nno tab here\n", r"train\.tsv:3: 1 columns where the header has 2"),
    ("good\t1\ta third\n", r"train\.tsv:2: 3 columns"),
    ("good\t1\n\nbad\t0\n", r"train\.tsv:3: blank line"),
    ("good\t2\n", r"train\.tsv:2: label '2' is not one of '0', '1'"),
    ("good\t\n", r"train\.tsv:2: the label is empty"),
    ("", r"train\.tsv: no examples"),
])
def test_sst2_stops_at_the_line_it_cannot_read(tmp_path, train, match):
    refused(match, "sst2", sst2(tmp_path / "d", train=train))


def test_sst2_names_missing_files_columns_and_bad_bytes(tmp_path):
    folder = sst2(tmp_path / "d")
    (folder / "dev.tsv").unlink()
    refused(r"dev\.tsv: no such file", "sst2", folder)
    table(folder / "dev.tsv", "text\tlabel\na\t1\n")
    refused(r"dev\.tsv:2: no column 'sentence'; the columns are 'text', 'label'", "sst2", folder)
    (folder / "dev.tsv").write_bytes(b"sentence\tlabel\nok\t1\ncaf\xe9\t1\n")
    refused(r"dev\.tsv:3: byte 0xe9 is not UTF-8", "sst2", folder)


# ---------------------------------------------------------------- IMDb

def test_imdb_holds_out_a_stratified_tenth_and_loses_nothing(tmp_path):
    data = load_task("imdb", imdb(tmp_path))
    assert Counter(e.label for e in data.train) == {0: 18, 1: 18}
    assert Counter(e.label for e in data.dev) == {0: 2, 1: 2}
    assert len({e.text_a for e in data.train + data.dev}) == 40
    assert len(data.test) == 40 and all(("pos" in e.text_a) == (e.label == 1) for e in data.test)


def test_held_out_tenth_depends_on_its_seed_alone(tmp_path):
    folder = imdb(tmp_path)
    first, again, other = (load_task("imdb", folder, seed=s) for s in (0, 0, 1))
    assert first == again
    assert first.dev != other.dev and first.test == other.test


def test_imdb_is_found_in_the_folder_above(tmp_path):
    inner = imdb(tmp_path)
    assert load_task("imdb", tmp_path) == load_task("imdb", inner)


def test_imdb_breaks_never_fuse_words(tmp_path):
    folder = imdb(tmp_path)
    spellings = ("a<br />b", "a<br/>b", "a<BR>b", "a <br /><br /> b", "a</br>b", "a\r\nb", "a<br clear='all'>b")
    for i, text in enumerate(spellings):
        (folder / "test" / "neg" / f"{i}_2.txt").write_bytes(text.encode())
    assert [e.text_a for e in load_task("imdb", folder).test[:len(spellings)]] == ["a\nb"] * len(spellings)


def test_imdb_reviews_are_in_the_order_of_their_ids(tmp_path):
    texts = [e.text_a for e in load_task("imdb", imdb(tmp_path)).test[:20]]
    assert texts == [f"test neg {i}" for i in range(20)]


def test_incomplete_imdb_says_what_is_missing(tmp_path):
    folder = imdb(tmp_path)
    for path in (folder / "test" / "pos").iterdir():
        path.unlink()
    refused(r"test/pos: holds no review", "imdb", folder)
    (folder / "test" / "pos").rmdir()
    refused(r"missing test/pos;", "imdb", folder)
    table(folder / "train" / "neg" / "notes.txt", "mine")
    (folder / "test" / "pos").mkdir()
    refused(r"notes\.txt: not a review", "imdb", folder)


def test_imdb_reads_tables_and_wants_both(tmp_path):
    rows = "text,label\n" + "".join(f'"a ""b"" <br />{i}",{i % 2}\n' for i in range(20))
    table(tmp_path / "train.csv", rows)
    refused(r"test\.csv: no such file", "imdb", tmp_path)
    table(tmp_path / "test.csv", rows)
    data = load_task("imdb", tmp_path)
    assert (len(data.train), len(data.dev), len(data.test)) == (18, 2, 20)
    assert data.test[3] == Example('a "b"\n3', None, 1)


# ---------------------------------------------------------------- csv

ROWS = [{"text": 'said "no", twice', "label": "spam"}, {"text": "line one\nline two", "label": "ham"},
        {"text": "", "label": "ham"}, {"text": "x\u2028y", "label": "eggs"}]


def test_csv_and_jsonl_of_the_same_rows_are_the_same_examples(tmp_path):
    for kind in ("csv", "jsonl"):
        folder = tmp_path / kind
        folder.mkdir()
        for split in ("train", "dev", "test"):
            with open(folder / f"{split}.{kind}", "w", encoding="utf-8", newline="") as file:
                if kind == "csv":
                    writer = csv.DictWriter(file, ["text", "label"])
                    writer.writeheader()
                    writer.writerows(ROWS)
                else:
                    file.writelines(json.dumps(row) + "\n" for row in ROWS)
    data = load_task("csv", tmp_path / "csv")
    assert data == load_task("csv", tmp_path / "jsonl")
    assert data.labels == ("eggs", "ham", "spam")
    assert data.train == data.dev == data.test == [Example(r["text"], None, data.labels.index(r["label"]))
                                                   for r in ROWS]


def test_labels_that_are_numbers_sort_as_numbers(tmp_path):
    rows = "".join(f"t{i}\t{label}\n" for i, label in enumerate([10, 9, -1, 2] * 3))
    path = table(tmp_path / "a.tsv", "text\tlabel\n" + rows)
    assert load_task("csv", path).labels == ("-1", "2", "9", "10")


def test_json_labels_may_be_numbers_or_booleans(tmp_path):
    for labels, expected in (((0, 1), ("0", "1")), ((False, True), ("false", "true"))):
        path = table(tmp_path / "a.jsonl",
                     "".join(json.dumps({"text": "t", "label": labels[i % 2], "id": None}) + "\n" for i in range(10)))
        assert load_task("csv", path).labels == expected


def test_two_text_columns_make_pairs(tmp_path):
    path = table(tmp_path / "a.tsv", "id\tq\ta\tgold\n" + "".join(f'{i}\tq"{i}\ta{i}\t{i % 2}\n' for i in range(10)))
    data = load_task("csv", path, text_columns=["q", "a"], label_column="gold")
    assert data.test is None and len(data.dev) == 1
    assert sorted(data.train + data.dev) == [Example(f'q"{i}', f"a{i}", i % 2) for i in range(10)]


def test_explicit_files_come_before_the_folder(tmp_path):
    train = table(tmp_path / "train.csv", "text,label\na,0\nb,1\n")
    table(tmp_path / "valid.csv", "text,label\nfrom folder,0\n")
    other = table(tmp_path / "other.jsonl", '{"text": "given", "label": 1}\n')
    assert load_task("csv", tmp_path).dev == [Example("from folder", None, 0)]
    assert load_task("csv", tmp_path, dev_file=other).dev == [Example("given", None, 1)]
    data = load_task("csv", train, dev_file=other, test_file=other)
    assert len(data.train) == 2 and data.dev == data.test == [Example("given", None, 1)]


def test_a_test_file_may_lack_labels_but_not_some_of_them(tmp_path):
    train = table(tmp_path / "train.csv", "text,label\na,0\nb,1\n")
    test = table(tmp_path / "test.jsonl", '{"text": "x"}\n{"text": "y"}\n')
    assert load_task("csv", train, dev_file=train, test_file=test).test == [Example("x", None, -1),
                                                                            Example("y", None, -1)]
    table(test, '{"text": "x"}\n{"text": "y", "label": 1}\n')
    refused(r"test\.jsonl:2: has a 'label'", "csv", train, dev_file=train, test_file=test)
    table(test, '{"text": "x", "label": 1}\n{"text": "y"}\n')
    refused(r"test\.jsonl:2: no column 'label'", "csv", train, dev_file=train, test_file=test)


def test_an_unknown_dev_label_is_refused_with_its_line(tmp_path):
    table(tmp_path / "train.csv", 'text,label\n"a\nb",0\nc,1\n')
    table(tmp_path / "dev.csv", 'text,label\n"a\nb\nc",0\nd,maybe\n')
    refused(r"dev\.csv:5: label 'maybe' is not one of '0', '1'", "csv", tmp_path)


@pytest.mark.parametrize("name, text, match", [
    ("a.csv", 'text,label\nfine,0\n"never closed,1\nb,1\n', r"a\.csv:3: not valid CSV"),
    ("a.csv", "body,label\nx,0\n", r"a\.csv:2: no column 'text'; the columns are 'body', 'label'"),
    ("a.csv", "text,label\na,b,0\n", r"a\.csv:2: 3 columns"),
    ("a.csv", "text,label\na,0\n\nb,1\n", r"a\.csv:3: blank line"),
    ("a.csv", "text,text,label\na,b,0\n", r"'text' is there twice"),
    ("a.csv", "text,label\na,same\nb,same\n", r"every label is 'same'"),
    ("a.csv", "text,label\na,0\nb,1\n", r"give a dev file"),
    ("a.csv", "", r"a\.csv: no examples|a\.csv:1: empty"),
    ("a.jsonl", '{"text": "a", "label": 0}\n[1]\n', r"a\.jsonl:2: expected a JSON object, got list"),
    ("a.jsonl", '{"text": "a", "label": 0}\n{"text"\n', r"a\.jsonl:2: not a JSON object"),
    ("a.jsonl", '{"text": null, "label": 0}\n', r"a\.jsonl:1: 'text' is None; expected a string"),
    ("a.jsonl", '{"text": "a", "label": 0.5}\n', r"a\.jsonl:1: 'label' is 0\.5"),
    ("a.txt", "text,label\na,0\n", r"must end in one of \.csv, \.tsv, \.jsonl"),
])
def test_csv_stops_with_one_line_that_names_the_place(tmp_path, name, text, match):
    refused(match, "csv", table(tmp_path / name, text))


def test_a_field_longer_than_the_csv_modules_own_limit_is_read(tmp_path):
    long = "word " * 60_000
    path = table(tmp_path / "a.csv", "text,label\n" + f"{long},0\nshort,1\n")
    assert load_task("csv", path, dev_file=path).train[0].text_a == long


def test_folders_of_tables_say_what_is_missing_or_ambiguous(tmp_path):
    refused(r"no train file", "csv", tmp_path)
    table(tmp_path / "train.csv", "text,label\na,0\nb,1\n")
    refused(r"no dev \(or valid\) file", "csv", tmp_path)
    table(tmp_path / "dev.csv", "text,label\na,0\n")
    table(tmp_path / "valid.tsv", "text\tlabel\na\t0\n")
    refused(r"holds dev\.csv and valid\.tsv", "csv", tmp_path)


def test_settings_that_a_task_does_not_read_are_refused(tmp_path):
    folder = sst2(tmp_path / "d")
    refused("unknown task 'mnist'", "mnist", folder)
    refused("no such file or folder", "sst2", tmp_path / "nowhere")
    refused("leave out the settings of task csv", "sst2", folder, label_column="gold")
    refused("needs a folder", "sst2", folder / "dev.tsv")
    refused("name one column, or two", "csv", folder, text_columns=("a", "b", "c"))
    refused("cannot be both", "csv", folder, text_columns=("label",))
