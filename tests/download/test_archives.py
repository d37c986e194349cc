"""Archives: whole ones unpacked, damaged and hostile ones refused."""

import hashlib
import os
import stat
import tarfile
import zipfile
from pathlib import Path

import pytest

from download.helpers import TREE, download, failed, files_under, make_tar, make_zip


@pytest.mark.parametrize("name", ("a.zip", "a.tar", "a.tar.gz", "a.tar.xz"))
def test_an_archive_unpacks_to_exactly_its_files(tmp_path, name):
    archive = (make_zip if name.endswith("zip") else make_tar)(tmp_path / name)
    done = download("sst2", "--from", archive, "--to", tmp_path / "to")
    assert done.returncode == 0, done.stderr
    assert files_under(tmp_path / "to") == TREE
    assert os.listdir(tmp_path / "to") == ["SST-2"]
    assert (
        hashlib.sha256(archive.read_bytes()).hexdigest() in done.stdout
        and "not the official" in done.stdout
    )


def test_an_archive_without_the_folder_becomes_the_folder(tmp_path):
    archive = make_zip(
        tmp_path / "a.zip", {"CoLA/train.tsv": b"1", "RTE/dev.tsv": b"2", "__MACOSX/._x": b"3"}
    )
    assert download("glue", "--from", archive, "--to", tmp_path / "to").returncode == 0
    assert files_under(tmp_path / "to") == {"glue/CoLA/train.tsv": b"1", "glue/RTE/dev.tsv": b"2"}


@pytest.mark.parametrize("kind", (".zip", ".tar.gz"))
@pytest.mark.parametrize(
    "name", ("../x", "SST-2/../../x", "/tmp/electra-evil", "..\\x", "C:\\x", "C:x")
)
def test_a_name_that_leaves_the_folder_is_refused(tmp_path, kind, name):
    archive = (make_zip if kind == ".zip" else make_tar)(
        tmp_path / f"a{kind}", {**TREE, name: b"evil"}
    )
    failed(
        download("sst2", "--from", archive, "--to", tmp_path / "to"), "member .* would land outside"
    )
    assert files_under(tmp_path) == {archive.name: archive.read_bytes()}
    assert os.listdir(tmp_path / "to") == [] and not Path("/tmp/electra-evil").exists()


@pytest.mark.parametrize(
    "kind, target",
    [
        (tarfile.SYMTYPE, "../../secret"),
        (tarfile.SYMTYPE, "/etc"),
        (tarfile.LNKTYPE, "../../secret"),
        (tarfile.LNKTYPE, "SST-2/x"),
        (tarfile.CHRTYPE, ""),
        (tarfile.BLKTYPE, ""),
        (tarfile.FIFOTYPE, ""),
    ],
)
def test_links_and_devices_in_a_tar_are_refused(tmp_path, kind, target):
    info = tarfile.TarInfo("SST-2/odd")
    info.type, info.linkname = kind, target
    archive = make_tar(tmp_path / "a.tar.gz", extra=[info])
    failed(
        download("sst2", "--from", archive, "--to", tmp_path / "to"),
        "'SST-2/odd' is a link or a device",
    )
    assert os.listdir(tmp_path / "to") == []


def test_a_symlink_in_a_zip_is_refused(tmp_path):
    info = zipfile.ZipInfo("SST-2/odd")
    info.create_system, info.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
    archive = make_zip(tmp_path / "a.zip")
    with zipfile.ZipFile(archive, "a") as file:
        file.writestr(info, "../../secret")
    failed(
        download("sst2", "--from", archive, "--to", tmp_path / "to"),
        "'SST-2/odd' is a link or a device",
    )
    assert os.listdir(tmp_path / "to") == []


@pytest.mark.parametrize("name", ("a.zip", "a.tar.gz", "a.tar.xz"))
def test_a_damaged_archive_leaves_nothing(tmp_path, name):
    archive = (make_zip if name.endswith("zip") else make_tar)(tmp_path / name)
    whole = archive.read_bytes()
    middle = len(whole) // 2
    for data in (
        whole[:-20],
        whole[:middle] + bytes([whole[middle] ^ 255]) + whole[middle + 1 :],
        b"not an archive",
    ):
        archive.write_bytes(data)
        failed(
            download("sst2", "--from", archive, "--to", tmp_path / "to"), "damaged or incomplete"
        )
        assert os.listdir(tmp_path / "to") == []


def test_a_damaged_header_does_not_end_a_tar_early(tmp_path):
    archive = make_tar(tmp_path / "a.tar")
    data = bytearray(archive.read_bytes())
    at = data.index(b"SST-2/inner")
    data[at] ^= 255
    archive.write_bytes(data)
    failed(download("sst2", "--from", archive, "--to", tmp_path / "to"), "damaged or incomplete")
    assert os.listdir(tmp_path / "to") == []


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_member_that_comes_twice_is_refused(tmp_path):
    archive = make_zip(tmp_path / "a.zip")
    with zipfile.ZipFile(archive, "a") as file:
        file.writestr("SST-2/x", "another")
    failed(download("sst2", "--from", archive, "--to", tmp_path / "to"), "'SST-2/x' twice")


def test_an_existing_folder_is_left_alone(tmp_path):
    (tmp_path / "SST-2").mkdir()
    (tmp_path / "SST-2" / "mine").write_text("keep")
    failed(
        download("sst2", "--from", make_zip(tmp_path / "a.zip"), "--to", tmp_path),
        "SST-2 is already there; move",
    )
    assert os.listdir(tmp_path / "SST-2") == ["mine"]


def test_odd_arguments_are_one_line(tmp_path):
    to = ("--to", tmp_path / "to")
    failed(download("sst2", "--from", tmp_path / "none.zip", *to), "none.zip: no such file")
    failed(
        download("sst2", "--from", make_zip(tmp_path / "a.rar"), *to), r"expected a name in \.zip"
    )
    failed(download("sst2", "--from", make_zip(tmp_path / "e.zip", {}), *to), "holds no file")
    failed(download("sst2", "--url", "ftp://x/y.zip", *to), "expected the http")
    failed(download("glue", "--url", "http://127.0.0.1/y.zip", *to), "one archive")
