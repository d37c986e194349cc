"""Raw text: which lines make a document, and what is refused."""

import json

import numpy as np
import pytest

from data.corpora import PACKERS, decoded, documents, refused, store_of, write
from electra.data import text_files

pytestmark = pytest.mark.fast

WIKITEXT = (
    " = Valkyria = \n \n First line . \n \n Second line . \n = = History = = \n \n Third . \n"
    " = = = Deep = = = \n\n\n Fourth = x . \n = A = \n Fifth . \n = Two words = \n Sixth . \n"
)


def test_wikitext_titles_open_documents_and_section_headings_do_not(tmp_path):
    assert documents(write(tmp_path / "wiki.raw", WIKITEXT)) == [
        [
            "= Valkyria =",
            "First line .",
            "Second line .",
            "= = History = =",
            "Third .",
            "= = = Deep = = =",
            "Fourth = x .",
        ],
        ["= A =", "Fifth ."],
        ["= Two words =", "Sixth ."],
    ]


def test_text_before_the_first_title_is_a_document(tmp_path):
    assert documents(write(tmp_path / "wiki.raw", "preface\n\nmore\n = T = \nbody\n")) == [
        ["preface", "more"],
        ["= T =", "body"],
    ]


def test_blank_lines_separate_documents_where_there_are_no_titles(tmp_path):
    text = "\n\none\ntwo\n\n\n \t\nthree\r\nfour\r\n\r\nfive"
    assert documents(write(tmp_path / "a.txt", text)) == [
        ["one", "two"],
        ["three", "four"],
        ["five"],
    ]


def test_each_file_begins_a_document(tmp_path):
    a, b = write(tmp_path / "a", "one\n"), write(tmp_path / "b", "two\n")
    assert documents(a, b) == [["one"], ["two"]]


def test_each_text_file_of_a_folder_is_one_document(tmp_path):
    write(tmp_path / "d" / "2.txt", "three\n\n = T = \n\nfour")
    write(tmp_path / "d" / "1.txt", "one\n\ntwo")
    write(tmp_path / "d" / "deep" / "3.txt", "five")
    write(tmp_path / "d" / "0.csv", "not,text")
    assert documents(tmp_path / "d") == [["one", "two"], ["three", "= T =", "four"], ["five"]]


def test_each_object_of_json_lines_is_one_document(tmp_path):
    objects = [
        {"text": "one\n\ntwo", "id": 3},
        {"text": "three"},
        {"text": "  \n "},
        {"text": " = T = "},
    ]
    path = write(tmp_path / "a.jsonl", "\n".join(map(json.dumps, objects)) + "\n\n")
    assert documents(path) == [["one", "two"], ["three"], ["= T ="]]


@pytest.mark.parametrize(
    "name, text",
    [
        ("wiki.raw", WIKITEXT),
        ("a.txt", "one\ntwo\n\nthree ä\n"),
        ("a.jsonl", '{"text": "one"}\n{"text": "two\\nthree"}\n'),
    ],
)
@pytest.mark.parametrize("ending", PACKERS)
def test_a_packed_file_reads_as_the_plain_one(tmp_path, name, text, ending):
    plain, packed = (
        write(tmp_path / name, text),
        write(tmp_path / (name + ending), PACKERS[ending](text.encode())),
    )
    assert documents(packed) == documents(plain) != []


def test_globs_are_sorted_and_patterns_keep_their_order(tmp_path):
    for name in ("b1", "b0", "a0"):
        write(tmp_path / name, name)
    assert documents(tmp_path / "b*", tmp_path / "a*") == [["b0"], ["b1"], ["a0"]]


def test_line_break_tags_keep_words_apart(tmp_path):
    tagged = "good<br /><br />film<BR>and<br/>more < b > x<br\t/>end"
    lines = ["good", "film", "and", "more < b > x", "end"]
    assert documents(write(tmp_path / "a.txt", tagged)) == [lines]
    assert documents(write(tmp_path / "a.jsonl", json.dumps({"text": tagged}))) == [lines]


def test_a_byte_order_mark_is_not_text(tmp_path):
    assert documents(write(tmp_path / "a.txt", b"\xef\xbb\xbfone\n\xef\xbb\xbftwo")) == [
        ["one", "\ufefftwo"]
    ]


def test_missing_files_and_folders_without_text_are_refused(tmp_path):
    (tmp_path / "empty").mkdir()
    write(tmp_path / "other" / "a.csv", "x")
    refused(f"no such corpus: {tmp_path}/missing", tmp_path / "missing")
    refused("no such corpus", tmp_path / "*.nothing")
    for folder in ("empty", "other"):
        refused(f"{tmp_path / folder} has no .txt", tmp_path / folder)


@pytest.mark.parametrize("content", ["", "\n \n\t\n", "<br />\n", "\u200b\n"])
def test_a_corpus_without_text_is_refused_and_leaves_nothing(tmp_path, tokenizer, content):
    path = write(tmp_path / "a.txt", content)
    with pytest.raises(ValueError, match=f"{path}.* has no text"):
        store_of(tokenizer, tmp_path / "cache", path)
    assert list((tmp_path / "cache").iterdir()) == []


@pytest.mark.parametrize("before", ["", "one\n", "ä\r\n\n日本\n" * 500])
def test_bytes_that_are_not_utf8_are_refused_with_their_offset(tmp_path, before):
    good = before.encode() + "abcä ".encode()
    path = write(tmp_path / "a.txt", good + b"\xff rest\nmore\n")
    refused(f"{path}: the byte at offset {len(good)} is not UTF-8", path)
    assert documents(path, errors="replace")[-1][-2:] == ["abcä \ufffd rest", "more"]


@pytest.mark.parametrize("content, length", [(b"x" * 10, 10), (b"x" * 9 + b"\n", 9)])
def test_a_line_may_be_as_long_as_the_limit(tmp_path, monkeypatch, content, length):
    monkeypatch.setattr(text_files, "LONGEST_LINE", 10)
    assert documents(write(tmp_path / "a.txt", b"one\n" + content)) == [["one", "x" * length]]


@pytest.mark.parametrize("ending", ["", ".gz"])
def test_a_line_beyond_the_limit_is_refused_by_number(tmp_path, monkeypatch, ending):
    monkeypatch.setattr(text_files, "LONGEST_LINE", 10)
    content = b"one\ntwo\n" + b"x" * 11
    path = write(tmp_path / f"a.txt{ending}", PACKERS[ending](content) if ending else content)
    refused(f"{path}: line 3 is longer than 10 bytes", path)


@pytest.mark.parametrize(
    "line, match",
    [
        ("{text: 1}", "is not JSON"),
        ("plain words", "is not JSON"),
        ('{"text": "cut', "is not JSON"),
        ("[" * 100_000, "is not JSON"),
        ('{"txt": "a"}', 'has no "text"'),
        ('{"text": 3}', 'has no "text"'),
        ('{"text": null}', 'has no "text"'),
        ('["text"]', 'has no "text"'),
        ('"text"', 'has no "text"'),
        ("3", 'has no "text"'),
    ],
)
def test_bad_json_lines_are_refused_by_number(tmp_path, line, match):
    path = write(tmp_path / "a.jsonl", '{"text": "fine"}\n\n' + line + "\n")
    refused(f"{path}: line 3 {match}", path)


def test_half_a_surrogate_pair_in_json_does_not_stop_the_tokenizer(tmp_path, tokenizer):
    """A text cut inside an emoji, which JSON can spell and UTF-8 cannot."""
    path = write(tmp_path / "a.jsonl", '{"text": "one \\ud83d two"}\n')
    [[line]] = decoded(store_of(tokenizer, tmp_path / "cache", path), tokenizer)
    assert line.startswith("one ") and line.endswith(" two")


@pytest.mark.parametrize("ending", PACKERS)
def test_a_damaged_archive_is_refused_by_name(tmp_path, ending):
    rng = np.random.default_rng(0)
    packed = PACKERS[ending]("\n".join(map(str, rng.integers(0, 1 << 60, 5_000))).encode())
    cut = write(tmp_path / f"cut.txt{ending}", packed[: len(packed) // 2])
    middle = len(packed) // 2
    changed = write(
        tmp_path / f"changed.txt{ending}", packed[:middle] + bytes(64) + packed[middle + 64 :]
    )
    other = write(tmp_path / f"other.txt{ending}", b"plain text")
    for path in (cut, changed, other):
        refused(f"cannot read {path}", path)
