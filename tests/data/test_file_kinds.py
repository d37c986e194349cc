"""What a file is, told by its first bytes; and files that are not text."""

import io
import json
import pickle
import sqlite3
import struct
import zipfile

import numpy as np
import pytest

from data.corpora import PACKERS, documents, refused, write
from electra.data import text_files
from electra.data.raw_text import refuse_unreadable
from electra.data.sources import find_sources

pytestmark = pytest.mark.fast

OBJECTS = [{"text": "one\ntwo", "id": 1}, {"id": 2, "text": 'three {[\\" ä'}, {"text": "]}"}]
TEXTS = [["one", "two"], ['three {[\\" ä'], ["]}"]]
LINES = "\n".join(map(json.dumps, OBJECTS)) + "\n"
WIKI = """<doc id="12" url="https://x.org/wiki?curid=12" title="Anarchism">
Anarchism

Anarchism is a "theory".<br>So it is.
</doc>

<doc id="13" url="https://x.org/wiki?curid=13" title="The "A"">
The A
</doc>
"""
WIKI_DOCUMENTS = [["Anarchism", 'Anarchism is a "theory".', "So it is."], ["The A"]]


# ---------------------------------------------------------------- told by content


@pytest.mark.parametrize("ending", ["", *PACKERS])
@pytest.mark.parametrize("name", ["wiki_00", "dump.json", "dump.jsonl", "part-0.txt"])
def test_json_lines_are_told_by_their_content(tmp_path, name, ending):
    data = PACKERS[ending](LINES.encode()) if ending else LINES.encode()
    assert documents(write(tmp_path / (name + ending), data)) == TEXTS


@pytest.mark.parametrize("name", ["dump.json", "dump", "dump.jsonl", "dump.json.gz"])
@pytest.mark.parametrize("indent", [None, 2])
def test_an_array_of_objects_is_told_by_its_content(tmp_path, name, indent):
    data = json.dumps(OBJECTS, indent=indent).encode()
    data = PACKERS[".gz"](data) if name.endswith(".gz") else data
    assert documents(write(tmp_path / name, data)) == TEXTS


@pytest.mark.parametrize("ending", PACKERS)
def test_packing_is_told_by_content_whatever_the_name(tmp_path, ending):
    assert documents(write(tmp_path / "a.txt", PACKERS[ending](b"one\n\ntwo"))) == [
        ["one"],
        ["two"],
    ]


def test_lines_of_wikiextractor_open_and_close_documents(tmp_path):
    for name in ("wiki_00", "a.txt", "folder/a.txt"):
        path = write(tmp_path / name, WIKI)
        assert documents(path if "folder" not in name else path.parent) == WIKI_DOCUMENTS


@pytest.mark.parametrize(
    "text",
    [
        '{"a": 1} is how an object begins\n{x}\n',
        '{"a": 1}\nand this is prose\n',
        "{x}\n",
        "[1] the first note\n",
        '["a", "b"]\nare two words\n',
        "a <doc id> b\n",
        "(doc)\n",
        "ORC is not a file format here\n",
        "RIFF and GIF89a and PAR1 are words\n",
        "BZh is a name\nPK too\n",
    ],
)
def test_text_that_begins_like_another_format_stays_text(tmp_path, text):
    assert documents(write(tmp_path / "a.txt", text)) == [text.strip().split("\n")]


def test_json_lines_longer_than_what_is_looked_at(tmp_path, monkeypatch):
    monkeypatch.setattr("electra.data.file_kinds.HEAD", 1 << 16)
    words = "word " * 20_000  # 100 kB
    path = write(tmp_path / "wiki_00", json.dumps({"id": 1, "text": words}) + "\n" + LINES)
    assert documents(path) == [[words.strip()], *TEXTS]


# ---------------------------------------------------------------- encodings


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"])
@pytest.mark.parametrize("ending", ["", ".gz"])
def test_utf_16_and_32_with_a_mark_are_read(tmp_path, encoding, ending, monkeypatch):
    monkeypatch.setattr(text_files, "BLOCK", 7)  # cuts characters
    text = "\ufeff = T = \n" + "ä日本😀 z\r\n\n" * 3 + "end"
    data = text.encode(encoding)
    data = PACKERS[ending](data) if ending else data
    assert documents(write(tmp_path / f"a.txt{ending}", data)) == [
        ["= T =", *["ä日本😀 z"] * 3, "end"]
    ]


def test_json_and_tables_are_read_in_utf_16_too(tmp_path):
    write(tmp_path / "lines.json", LINES.encode("utf-16"))
    write(tmp_path / "array.json", json.dumps(OBJECTS).encode("utf-16"))
    write(tmp_path / "table.csv", 'id,text\n1,"a\nb"\n'.encode("utf-16"))
    assert documents(tmp_path / "lines.json") == documents(tmp_path / "array.json") == TEXTS
    assert documents(tmp_path / "table.csv", text_field="text") == [["a", "b"]]


@pytest.mark.parametrize("block", [5, 1 << 20])
def test_a_bad_byte_of_utf_16_is_refused_with_its_offset(tmp_path, block, monkeypatch):
    monkeypatch.setattr(text_files, "BLOCK", block)
    good = "\ufeffline\nmore ".encode("utf-16-le")
    path = write(tmp_path / "a.txt", good + b"\x00\xdc" + "x\n".encode("utf-16-le"))
    refused(f"{path}: the byte at offset {len(good)} is not UTF-16-LE", path)
    assert documents(path, errors="replace") == [["line", "more \ufffdx"]]
    cut = write(tmp_path / "cut.txt", good + b"\x41")
    refused(f"{cut}: the byte at offset {len(good)} is not UTF-16-LE", cut)


def test_a_line_of_utf_16_has_the_same_limit(tmp_path, monkeypatch):
    monkeypatch.setattr(text_files, "LONGEST_LINE", 10)
    for text, line in (("a\n" + "x" * 11, 2), ("a\nb\n" + "x" * 11 + "\nc", 3)):
        path = write(tmp_path / "a.txt", ("\ufeff" + text).encode("utf-16-le"))
        refused(f"{path}: line {line} is longer than 10", path)


@pytest.mark.parametrize("encoding", ["UTF-16LE", "UTF-16BE", "UTF-32LE", "UTF-32BE"])
@pytest.mark.parametrize("errors", ["strict", "replace"])
def test_utf_16_without_a_mark_is_refused_by_name(tmp_path, encoding, errors):
    data = "The cat sat. It was äöü.\n".encode(encoding)
    path = write(tmp_path / "a.txt", data)
    refused(
        f"{path}: the byte at offset {data.index(0)} is NUL; the file looks like "
        f"{encoding[:6]} without a byte-order mark: convert it, as by iconv -f {encoding} ",
        path,
        errors=errors,
    )


@pytest.mark.parametrize("before", [b"", b"one\n", "ä\r\n\n日本\n".encode() * 5_500])
def test_a_nul_byte_is_refused_with_its_offset(tmp_path, before):
    good = before + b"abc "
    path = write(tmp_path / "a.txt", good + b"\0 rest\nmore\n" + b"word " * 100)
    refused(f"{path}: the byte at offset {len(good)} is NUL", path)
    assert documents(path, errors="replace")[-1][-3] == "abc \ufffd rest"
    marked = "\ufeffab\0c\n".encode("utf-16-le")
    refused("offset 6 is NUL", write(tmp_path / "b.txt", marked))
    array = write(tmp_path / "a.json", b'[{"text": "a\0b"}' + b" " * 200 + b"]")
    refused(f"{array}: the byte at offset 12 is NUL", array)


def test_zeros_are_refused_whatever_errors_says(tmp_path):
    path = write(tmp_path / "a.txt", b"text\n" + bytes(10_000))
    refused(f"{path}: the byte at offset 5 is NUL", path, errors="replace")


# ---------------------------------------------------------------- not text


def _bytes_of(make):
    stored = io.BytesIO()
    make(stored)
    return stored.getvalue()


def _database(path):
    connection = sqlite3.connect(path)
    connection.execute("create table texts (text)")
    connection.commit()
    connection.close()
    return path.read_bytes()


@pytest.mark.parametrize(
    "what, data",
    [
        ("a Parquet file; turn it into JSON lines: python -c", b"PAR1\x15\x04\x15\0" + bytes(9)),
        ("an Arrow file; turn it into JSON lines: python -c", b"ARROW1\0\0" + bytes(90)),
        ("an Arrow stream; turn it into JSON lines: python -c", b"\xff" * 4 + b"x\0\0\0"),
        ("a PDF; turn it into plain text, as by pdftotext", b"%PDF-1.7\n1 0 obj\n"),
        ("a program .ELF", b"\x7fELF\2\1\1" + bytes(9)),
        ("an image .PNG", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"),
        ("an image .JPEG", b"\xff\xd8\xff\xe0\0\x10JFIF"),
        ("an image .GIF", b"GIF89a\1\0\1\0\x80\0"),
        ("a Python pickle", pickle.dumps(["text"], 2)),
        ("a Python pickle", pickle.dumps(["text"], 4)),
        ("a NumPy array", _bytes_of(lambda file: np.save(file, np.arange(3)))),
        ("an old Office document; save it as plain text", b"\xd0\xcf\x11\xe0\xa1\xb1" + bytes(9)),
        ("an RTF document; save it as plain text", b"{\\rtf1\\ansi text}"),
        ("packed with zstd; unpack it", b"\x28\xb5\x2f\xfd\x04\x58" + bytes(9)),
        ("packed twice; unpack it", PACKERS[".gz"](PACKERS[".xz"](b"text"))),
        ("packed twice; unpack it", PACKERS[".bz2"](PACKERS[".bz2"](b"text"))),
    ],
    ids=lambda value: value[:18] if isinstance(value, str) else "",
)
@pytest.mark.parametrize("name", ["a.txt", "corpus"])
def test_a_file_that_is_not_text_is_refused_by_what_it_is(tmp_path, what, data, name):
    path = write(tmp_path / name, data)
    refused(f"{path} is not text but {what}", path, errors="replace")
    if name == "a.txt":
        write(tmp_path / "folder" / "a.txt", data)
        refused(f"is not text but {what}", tmp_path / "folder")


def test_a_database_and_an_office_document_are_refused(tmp_path):
    database = write(tmp_path / "a.db", _database(tmp_path / "made.db"))
    refused(f"{database} is not text but an SQLite database", database)
    office = tmp_path / "a.docx"
    with zipfile.ZipFile(office, "w") as packed:
        packed.writestr("[Content_Types].xml", "<xml/>")
        packed.writestr("word/document.xml", "<xml>text</xml>")
    refused(f"{office} is an archive, or a document of an office program, without a .txt", office)


def test_a_dump_of_mediawiki_is_refused_with_what_makes_text_of_it(tmp_path):
    path = write(tmp_path / "dump.xml.bz2", PACKERS[".bz2"](b"<mediawiki xmlns=''>\n<page>\n"))
    refused(f"{path} is a dump of MediaWiki; WikiExtractor", path)


def test_what_is_not_text_is_noticed_before_the_files_in_front_of_it_are_read(tmp_path):
    good = write(tmp_path / "a.txt", "text\n")
    for bad, match in (
        (write(tmp_path / "b", b"%PDF-1.7\n"), "a PDF"),
        (write(tmp_path / "b.csv", "id,text\n"), "has columns"),
        (write(tmp_path / "c", struct.pack("<9H", *b"textlines")), "looks like UTF-16"),
    ):
        with pytest.raises(ValueError, match=match):
            refuse_unreadable(find_sources((str(good), str(bad))), None)
    refuse_unreadable(find_sources((str(good),)), None)
