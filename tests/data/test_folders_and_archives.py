"""Folders and archives: which of their files are read, and what is said about the others."""

import io
import tarfile
import tracemalloc
import warnings
import zipfile

import pytest

from data.corpora import PACKERS, refused, write
from electra.data import text_files
from electra.data.archives import Allowance, tar_members
from electra.data.raw_text import read_lines
from electra.data.sources import ReadingReport, find_sources

pytestmark = pytest.mark.fast

FILES = {
    "d/1.txt": b"one\n\ntwo\n",
    "d/deep/2.TXT": b"three",
    "d/3.txt.gz": PACKERS[".gz"](b"four"),
    "d/._1.txt": b"\0\5\x16\7",
    "d/.ipynb_checkpoints/1-checkpoint.txt": b"one again",
    "__MACOSX/d/._1.txt": b"\0\5\x16\7",
    "d/urls_pos.txt": b"http://www.imdb.com/title/tt0453418/usercomments\n" * 3,
    "d/urls_words.txt": b"addresses in words",
    "d/table.csv": b"id,text\n",
    "d/more.jsonl": b'{"title": "no text"}\n',
    "d/inner.zip": b"PK\3\4",
}
DOCUMENTS = [["one", "two"], ["four"], ["three"], ["addresses in words"]]
LEFT_OUT = {
    "hidden": 3,
    "of addresses only (urls_*.txt)": 1,
    "of another kind": 2,
    "archives": 1,
}


def tar_of(files, links=()):
    stored = io.BytesIO()
    with tarfile.open(fileobj=stored, mode="w") as packed:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            packed.addfile(info, io.BytesIO(data))
        for name, kind, target in links:
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, str(target)
            packed.addfile(info)
    return stored.getvalue()


def zip_of(files):
    stored = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(stored, "w", zipfile.ZIP_DEFLATED) as packed:
        warnings.simplefilter("ignore")
        for name, data in files.items():
            packed.writestr(name, data)
    return stored.getvalue()


ARCHIVES = {
    "a.tar": tar_of(FILES),
    "a.tar.gz": PACKERS[".gz"](tar_of(FILES)),
    "a.tgz": PACKERS[".gz"](tar_of(FILES)),
    "a.tar.xz": PACKERS[".xz"](tar_of(FILES)),
    "a.tar.bz2": PACKERS[".bz2"](tar_of(FILES)),
    "a.zip": zip_of(FILES),
    "tar called.txt": tar_of(FILES),
    "zip called": zip_of(FILES),
    "tgz called.raw": PACKERS[".gz"](tar_of(FILES)),
}


def read(*patterns):
    """(documents sorted, the report)."""
    report = ReadingReport()
    found = []
    for source in find_sources(tuple(map(str, patterns)), report):
        for line in read_lines(source, report=report):
            if line.opens:
                found.append([])
            found[-1].append(line.text)
    return sorted(found), report


def left_out(report):
    return {reason: count for reason, count in report.left_out.items() if count}


def test_of_a_folder_the_visible_texts_are_read_packed_or_not(tmp_path):
    for name, data in FILES.items():
        write(tmp_path / name, data)
    found, report = read(tmp_path)
    assert found == sorted(DOCUMENTS)
    # The hidden folder counts once, as does that of the macOS archiver.
    assert left_out(report) == LEFT_OUT
    assert report.files == 4 and report.text_bytes == 9 + 5 + 4 + 18


@pytest.mark.parametrize("name", ARCHIVES)
def test_of_an_archive_of_any_name_the_same_texts_are_read(tmp_path, name):
    found, report = read(write(tmp_path / name, ARCHIVES[name]))
    assert found == sorted(DOCUMENTS)
    assert left_out(report) == LEFT_OUT
    assert report.files == 4 and report.text_bytes == 9 + 5 + 4 + 18
    assert [path.name for path in tmp_path.iterdir()] == [name]  # nothing is unpacked


def test_a_folder_or_archive_without_txt_stands_for_its_other_texts(tmp_path):
    files = {
        "a/wiki_00": b'<doc id="1" title="t">\none\n</doc>\n<doc id="2" title="s">\ntwo\n</doc>\n',
        "a/wiki_01.bz2": PACKERS[".bz2"](b'{"text": "three"}\n'),
        "a/b.jsonl": b'{"text": "four"}\n{"text": "five"}\n',
        "a/wiki.train.raw": b" = T = \n\nsix\n = U = \nseven\n",
        "a/readme.md": b"no text",
    }
    expected = sorted(
        [["one"], ["two"], ["three"], ["four"], ["five"], ["= T =", "six"], ["= U =", "seven"]]
    )
    for name, data in files.items():
        write(tmp_path / name, data)
    packed = write(tmp_path / "b.tar.gz", PACKERS[".gz"](tar_of(files)))
    for corpus in (tmp_path / "a", packed, write(tmp_path / "b.zip", zip_of(files))):
        found, report = read(corpus)
        assert found == expected and left_out(report) == {"of another kind": 1}
    for name, data in (("c.tar", tar_of({"a.md": b"x"})), ("d.zip", zip_of({"a.md": b"x"}))):
        refused(f"{tmp_path / name} is an archive, .* without a .txt", write(tmp_path / name, data))


def test_names_that_lead_elsewhere_and_links_are_harmless(tmp_path):
    secret = write(tmp_path / "secret.txt", "secret")
    links = [
        ("link.txt", tarfile.SYMTYPE, secret),
        ("hard.txt", tarfile.LNKTYPE, "/etc/passwd"),
        ("pipe.txt", tarfile.FIFOTYPE, ""),
        ("zero.txt", tarfile.CHRTYPE, ""),
    ]
    files = {"../up.txt": b"up", "/root.txt": b"root", "a/../../b.txt": b"b"}
    (tmp_path / "in").mkdir()
    path = write(tmp_path / "in" / "a.tar", tar_of(files, links))
    found, report = read(path)
    assert found == [["root"]]  # a name, and no path
    assert left_out(report) == {"hidden": 2, "links or devices": 4}
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["a.tar", "in", "secret.txt"]


@pytest.mark.parametrize("name", ["a.tar.gz", "a.zip", "b.tar.gz", "c.zip"])
def test_an_archive_that_unpacks_to_far_too_much_is_refused(tmp_path, monkeypatch, name):
    monkeypatch.setattr(text_files, "ALWAYS_ALLOWED", 1 << 16)
    bomb = b"a line of text " * 20_000  # 300 kB
    other = {"a.txt": b"x", "b.bin": bomb}  # in a tar it has to be unpacked to go past it
    nested = {"a.txt.gz": PACKERS[".gz"](bomb)}
    data = {
        "a.tar.gz": PACKERS[".gz"](tar_of({"a.txt": bomb})),
        "a.zip": zip_of({"a.txt": bomb}),
        "b.tar.gz": PACKERS[".gz"](tar_of(other)),
        "c.zip": zip_of(nested),
    }[name]
    monkeypatch.setattr(text_files, "MAX_RATIO", 10)
    path = write(tmp_path / name, data)
    refused(f"cannot read {path}.*: it unpacks to more than 10 times its size", path)


def test_a_tar_of_many_members_takes_little_memory(tmp_path):
    data = tar_of({f"{i}.txt": b"text" for i in range(400)})
    members = tar_members(io.BytesIO(data), Allowance(1 << 30))
    next(members)
    tracemalloc.start()
    assert sum(1 for _ in members) == 399
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 100_000  # tarfile's list of them would be 400 kB


@pytest.mark.parametrize("name", ["a.tar", "a.tar.gz", "a.tar.xz", "a.zip"])
def test_a_damaged_archive_is_refused_by_its_name(tmp_path, name):
    files = {f"{i}.txt": bytes([65 + i]) * 3_000 for i in range(9)}
    data = zip_of(files) if name == "a.zip" else tar_of(files)
    data = PACKERS.get(name[5:], bytes)(data)
    path = write(tmp_path / name, data[: len(data) // 2])
    refused(f"cannot read {path}", path)
    refused(f"cannot read {path}", write(path, data[:-700] + b"\x55" * 600 + data[-100:]))


def test_an_encrypted_member_and_a_packed_zip_are_refused(tmp_path):
    data = bytearray(zip_of({"a.txt": b"text"}))
    data[6] |= 1
    data[data.index(b"PK\1\2") + 8] |= 1
    path = write(tmp_path / "a.zip", bytes(data))
    refused(f"cannot read {path}: its member a.txt is encrypted", path)
    packed = write(tmp_path / "b.zip.gz", PACKERS[".gz"](zip_of({"a.txt": b"text"})))
    refused(f"cannot read {packed}: a .zip that is packed again", packed)


def test_a_member_that_is_no_text_is_refused_with_its_name(tmp_path):
    files = {"good.txt": b"good", "bad.txt": b"caf\xe9", "nul.txt": b"a\0b" + b" " * 300}
    for bad, match in (("bad.txt", "offset 3 is not UTF-8"), ("nul.txt", "offset 1 is NUL")):
        data = tar_of({"good.txt": files["good.txt"], bad: files[bad]})
        path = write(tmp_path / "a.tar", data)
        refused(f"{path}: member {bad}: the byte at {match}", path)
    inner = write(tmp_path / "b.tar", tar_of({"a.txt": b"text", "b.txt": tar_of(files)}))
    found, report = read(inner)
    assert found == [["text"]] and left_out(report) == {"archives": 1}


def test_a_folder_that_cannot_be_listed_is_refused(tmp_path, monkeypatch):
    write(tmp_path / "a.txt", "text")

    def walk(folder, onerror):
        onerror(PermissionError(13, "Permission denied", str(tmp_path / "closed")))

    monkeypatch.setattr("electra.data.sources.os.walk", walk)
    refused(f"cannot read the folder {tmp_path}/closed: Permission denied", tmp_path)
