"""scripts/download.py as a user runs it: archives that are hostile or damaged, and a server that breaks off."""

import hashlib
import http.server
import io
import os
import re
import stat
import subprocess
import sys
import tarfile
import threading
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
TREE = {"SST-2/train.tsv": b"sentence\tlabel\n" + bytes(range(256)) * 500, "SST-2/inner/dev.tsv": b"", "SST-2/x": b"x"}


def download(*args):
    environment = {k: v for k, v in os.environ.items() if "proxy" not in k.lower()}
    return subprocess.run([sys.executable, "scripts/download.py", *map(str, args)], cwd=ROOT, text=True,
                          capture_output=True, env=environment)


def failed(done, match):
    assert done.returncode == 2, done.stdout + done.stderr
    assert done.stderr.startswith("download.py: error: ") and done.stderr.count("\n") == 1
    assert re.search(match, done.stderr), done.stderr


def make_zip(path, tree=TREE):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in tree.items():
            archive.writestr(name, content)
    return path


def make_tar(path, tree=TREE, extra=()):
    with tarfile.open(path, "w:" + path.suffix[1:].replace("tar", "")) as archive:
        for name, content in tree.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
        for info in extra:
            archive.addfile(info)
    return path


def files_under(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


# ---------------------------------------------------------------- unpacking

@pytest.mark.parametrize("name", ("a.zip", "a.tar", "a.tar.gz", "a.tar.xz"))
def test_an_archive_unpacks_to_exactly_its_files(tmp_path, name):
    archive = (make_zip if name.endswith("zip") else make_tar)(tmp_path / name)
    done = download("sst2", "--from", archive, "--to", tmp_path / "to")
    assert done.returncode == 0, done.stderr
    assert files_under(tmp_path / "to") == TREE
    assert os.listdir(tmp_path / "to") == ["SST-2"]
    assert hashlib.sha256(archive.read_bytes()).hexdigest() in done.stdout and "not the official" in done.stdout


def test_an_archive_without_the_folder_becomes_the_folder(tmp_path):
    archive = make_zip(tmp_path / "a.zip", {"CoLA/train.tsv": b"1", "RTE/dev.tsv": b"2", "__MACOSX/._x": b"3"})
    assert download("glue", "--from", archive, "--to", tmp_path / "to").returncode == 0
    assert files_under(tmp_path / "to") == {"glue/CoLA/train.tsv": b"1", "glue/RTE/dev.tsv": b"2"}


@pytest.mark.parametrize("kind", (".zip", ".tar.gz"))
@pytest.mark.parametrize("name", ("../x", "SST-2/../../x", "/tmp/electra-evil", "..\\x", "C:\\x", "C:x"))
def test_a_name_that_leaves_the_folder_is_refused(tmp_path, kind, name):
    archive = (make_zip if kind == ".zip" else make_tar)(tmp_path / f"a{kind}", {**TREE, name: b"evil"})
    failed(download("sst2", "--from", archive, "--to", tmp_path / "to"), "member .* would land outside")
    assert files_under(tmp_path) == {archive.name: archive.read_bytes()}
    assert os.listdir(tmp_path / "to") == [] and not Path("/tmp/electra-evil").exists()


@pytest.mark.parametrize("kind, target", [
    (tarfile.SYMTYPE, "../../secret"), (tarfile.SYMTYPE, "/etc"), (tarfile.LNKTYPE, "../../secret"),
    (tarfile.LNKTYPE, "SST-2/x"), (tarfile.CHRTYPE, ""), (tarfile.BLKTYPE, ""), (tarfile.FIFOTYPE, "")])
def test_links_and_devices_in_a_tar_are_refused(tmp_path, kind, target):
    info = tarfile.TarInfo("SST-2/odd")
    info.type, info.linkname = kind, target
    archive = make_tar(tmp_path / "a.tar.gz", extra=[info])
    failed(download("sst2", "--from", archive, "--to", tmp_path / "to"), "'SST-2/odd' is a link or a device")
    assert os.listdir(tmp_path / "to") == []


def test_a_symlink_in_a_zip_is_refused(tmp_path):
    info = zipfile.ZipInfo("SST-2/odd")
    info.create_system, info.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
    archive = make_zip(tmp_path / "a.zip")
    with zipfile.ZipFile(archive, "a") as file:
        file.writestr(info, "../../secret")
    failed(download("sst2", "--from", archive, "--to", tmp_path / "to"), "'SST-2/odd' is a link or a device")
    assert os.listdir(tmp_path / "to") == []


@pytest.mark.parametrize("name", ("a.zip", "a.tar.gz", "a.tar.xz"))
def test_a_damaged_archive_leaves_nothing(tmp_path, name):
    archive = (make_zip if name.endswith("zip") else make_tar)(tmp_path / name)
    whole = archive.read_bytes()
    middle = len(whole) // 2
    for data in (whole[:-20], whole[:middle] + bytes([whole[middle] ^ 255]) + whole[middle + 1:], b"not an archive"):
        archive.write_bytes(data)
        failed(download("sst2", "--from", archive, "--to", tmp_path / "to"), "damaged or incomplete")
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
    failed(download("sst2", "--from", make_zip(tmp_path / "a.zip"), "--to", tmp_path), "SST-2 is already there; move")
    assert os.listdir(tmp_path / "SST-2") == ["mine"]


def test_odd_arguments_are_one_line(tmp_path):
    to = ("--to", tmp_path / "to")
    failed(download("sst2", "--from", tmp_path / "none.zip", *to), "none.zip: no such file")
    failed(download("sst2", "--from", make_zip(tmp_path / "a.rar"), *to), r"expected a name in \.zip")
    failed(download("sst2", "--from", make_zip(tmp_path / "e.zip", {}), *to), "holds no file")
    failed(download("sst2", "--url", "ftp://x/y.zip", *to), "expected the http")
    failed(download("glue", "--url", "http://127.0.0.1/y.zip", *to), "one archive")


# ---------------------------------------------------------------- downloading

class Server(http.server.ThreadingHTTPServer):
    """Serves `content` at every path; `cut` bytes into a body it hangs up, once. `ranges`: what each request asked."""

    def __init__(self, content, cut=None, resumes=True):
        super().__init__(("127.0.0.1", 0), Handler)
        self.content, self.cut, self.resumes, self.ranges = content, cut, resumes, []
        self.url = f"http://127.0.0.1:{self.server_port}/SST-2.zip"


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        server = self.server
        asked = self.headers.get("Range")
        server.ranges.append(asked)
        size = len(server.content)
        start = int(asked.removeprefix("bytes=").removesuffix("-")) if asked and server.resumes else 0
        if start >= size:
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{size}")
            self.end_headers()
            return
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{size - 1}/{size}")
        self.send_header("Content-Length", str(size - start))
        self.end_headers()
        stop, server.cut = size if server.cut is None else start + server.cut, None
        self.wfile.write(server.content[start:stop])

    def log_message(self, *args):
        pass


@pytest.fixture
def serve():
    running = []

    def start(*args, **settings):
        server = Server(*args, **settings)
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        running.append(server)
        return server

    yield start
    for server in running:
        server.shutdown()
        server.server_close()


@pytest.fixture
def content(tmp_path):
    return make_zip(tmp_path / "source.zip").read_bytes()


def from_server(server, content, to):
    return download("sst2", "--url", server.url, "--sha256", hashlib.sha256(content).hexdigest(), "--to", to)


def test_a_broken_download_goes_on_where_it_stopped(serve, content, tmp_path):
    server, to = serve(content, cut=1_000), tmp_path / "to"
    failed(from_server(server, content, to), r"ended after 1,000 of .*; 1,000 bytes are in .*SST-2\.zip\.part")
    assert files_under(to) == {"SST-2.zip.part": content[:1_000]}
    done = from_server(server, content, to)
    assert done.returncode == 0, done.stderr
    assert server.ranges == [None, "bytes=1000-"]
    assert files_under(to) == {**TREE, "SST-2.zip": content}


def test_a_server_without_ranges_starts_again(serve, content, tmp_path):
    (tmp_path / "to").mkdir()
    (tmp_path / "to" / "SST-2.zip.part").write_bytes(b"?" * 1_000)
    done = from_server(serve(content, resumes=False), content, tmp_path / "to")
    assert done.returncode == 0, done.stderr
    assert files_under(tmp_path / "to") == {**TREE, "SST-2.zip": content}


def test_a_part_that_is_already_whole_is_not_fetched_again(serve, content, tmp_path):
    (tmp_path / "to").mkdir()
    (tmp_path / "to" / "SST-2.zip.part").write_bytes(content)
    done = from_server(serve(content), content, tmp_path / "to")
    assert done.returncode == 0, done.stderr
    assert files_under(tmp_path / "to") == {**TREE, "SST-2.zip": content}


def test_a_verified_archive_is_not_fetched_again(serve, content, tmp_path):
    server = serve(content)
    (tmp_path / "to").mkdir()
    (tmp_path / "to" / "SST-2.zip").write_bytes(content)
    assert from_server(server, content, tmp_path / "to").returncode == 0
    assert server.ranges == []


def test_a_wrong_hash_leaves_nothing(serve, content, tmp_path):
    to = tmp_path / "to"
    failed(from_server(serve(b"another file"), content, to), "SHA-256 is .*, expected")
    assert os.listdir(to) == []
    archive = tmp_path / "source.zip"
    failed(download("sst2", "--from", archive, "--sha256", "0" * 64, "--to", to), "SHA-256 is .*, expected 0000")
    assert os.listdir(to) == []


def test_the_official_size_and_hash_hold_at_another_address(serve, content, tmp_path):
    failed(download("sst2", "--url", serve(content).url, "--to", tmp_path / "to"), "expected 7,439,277")
    assert os.listdir(tmp_path / "to") == []


def test_no_network_is_one_line_with_what_to_do(tmp_path):
    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as closed:
        url = f"http://127.0.0.1:{closed.server_port}/SST-2.zip"
    failed(download("sst2", "--url", url, "--to", tmp_path / "to"), "refused.*same command.*--from")


def test_help_lists_the_data_sets():
    done = download("--help")
    assert done.returncode == 0 and all(name in done.stdout for name in ("wikitext-103", "sst2", "imdb", "glue"))
