"""scripts/download.py as a user runs it: hostile or damaged archives, a server that breaks off, plain checkpoints."""

import hashlib
import http.server
import importlib.util
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
from types import SimpleNamespace

import pytest

ROOT = Path(__file__).resolve().parent.parent
_spec = importlib.util.spec_from_file_location("download", ROOT / "scripts" / "download.py")
program = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(program)
TREE = {
    "SST-2/train.tsv": b"sentence\tlabel\n" + bytes(range(256)) * 500,
    "SST-2/inner/dev.tsv": b"",
    "SST-2/x": b"x",
}


def download(*args):
    environment = {k: v for k, v in os.environ.items() if "proxy" not in k.lower()}
    return subprocess.run(
        [sys.executable, "scripts/download.py", *map(str, args)],
        cwd=ROOT,
        text=True,
        capture_output=True,
        env=environment,
    )


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
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


# ---------------------------------------------------------------- unpacking


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


# ---------------------------------------------------------------- downloading


class Server(http.server.ThreadingHTTPServer):
    """Serves `content` at every path, or a dict of paths; `cut` bytes into a body it hangs up, once.

    `ranges`: what each request asked; `paths`: of which file. As on huggingface.co, /resolve/ leads to another address.
    """

    def __init__(self, content, cut=None, resumes=True):
        super().__init__(("127.0.0.1", 0), Handler)
        self.content, self.cut, self.resumes, self.ranges, self.paths = (
            content,
            cut,
            resumes,
            [],
            [],
        )
        self.url = f"http://127.0.0.1:{self.server_port}/SST-2.zip"


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        server = self.server
        if "/resolve/" in self.path:
            self.send_response(302)
            self.send_header("Location", self.path.replace("/resolve/", "/elsewhere/"))
            self.end_headers()
            return
        path = self.path.replace("/elsewhere/", "/resolve/")
        content = server.content[path] if isinstance(server.content, dict) else server.content
        asked = self.headers.get("Range")
        server.ranges.append(asked)
        server.paths.append(path)
        size = len(content)
        start = (
            int(asked.removeprefix("bytes=").removesuffix("-")) if asked and server.resumes else 0
        )
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
        stop = size
        if server.cut is not None and start + server.cut < size:
            stop, server.cut = start + server.cut, None
        self.wfile.write(content[start:stop])

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
    return download(
        "sst2", "--url", server.url, "--sha256", hashlib.sha256(content).hexdigest(), "--to", to
    )


def test_a_broken_download_goes_on_where_it_stopped(serve, content, tmp_path):
    server, to = serve(content, cut=1_000), tmp_path / "to"
    failed(
        from_server(server, content, to),
        r"ended after 1,000 of .*; 1,000 bytes are in .*SST-2\.zip\.part",
    )
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
    failed(
        download("sst2", "--from", archive, "--sha256", "0" * 64, "--to", to),
        "SHA-256 is .*, expected 0000",
    )
    assert os.listdir(to) == []


def test_the_official_size_and_hash_hold_at_another_address(serve, content, tmp_path):
    failed(
        download("sst2", "--url", serve(content).url, "--to", tmp_path / "to"), "expected 7,439,277"
    )
    assert os.listdir(tmp_path / "to") == []


def test_no_network_is_one_line_with_what_to_do(tmp_path):
    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as closed:
        url = f"http://127.0.0.1:{closed.server_port}/SST-2.zip"
    failed(download("sst2", "--url", url, "--to", tmp_path / "to"), "refused.*same command.*--from")


def test_help_lists_the_data_sets():
    done = download("--help")
    assert done.returncode == 0 and all(name in done.stdout for name in program.DATA_SETS)


# ---------------------------------------------------------------- released checkpoints

HUB = "https://huggingface.co"
SMALL = {
    f"{part}/{name}"
    for part in ("discriminator", "generator")
    for name in ("config.json", "vocab.txt", "tokenizer_config.json", "pytorch_model.bin")
}
BERT = {"config.json", "vocab.txt", "tokenizer_config.json", "model.safetensors"}
CHECKPOINTS = {
    "electra-small": SMALL,
    "electra-base": SMALL,
    "electra-large": SMALL,
    "bert-base": BERT,
}


@pytest.fixture
def mirror(serve, monkeypatch):
    """mirror(name, ...) -> a server with other bytes at each of its addresses; the table's rows point there."""

    def start(name, **settings):
        data_set = program.DATA_SETS[name]
        contents = {
            remote.url.removeprefix(HUB): (
                remote.url * (50 if "model." in remote.name else 1)
            ).encode()
            for remote in data_set.files
        }
        server = serve(contents, **settings)
        address = server.url.removesuffix("/SST-2.zip")
        files = tuple(
            remote._replace(
                url=remote.url.replace(HUB, address),
                size=len(content),
                sha256=hashlib.sha256(content).hexdigest(),
            )
            for remote, content in zip(data_set.files, contents.values())
        )
        monkeypatch.setitem(program.DATA_SETS, name, data_set._replace(files=files))
        return server

    return start


@pytest.fixture
def here(monkeypatch, capsys):
    """`download` in this process, where the table can be changed."""
    monkeypatch.setenv("no_proxy", "*")

    def run(*args):
        code = program.main([str(argument) for argument in args])
        captured = capsys.readouterr()
        return SimpleNamespace(returncode=code, stdout=captured.out, stderr=captured.err)

    return run


def on_hub(name, path):
    """The address of a checkpoint's file, from where it lies."""
    if name == "bert-base":
        return f"/google-bert/bert-base-uncased/resolve/main/{path}"
    part, file = path.split("/")
    return f"/google/{name}-{part}/resolve/main/{file}"


@pytest.mark.parametrize("name", CHECKPOINTS)
def test_each_file_of_a_checkpoint_lands_in_its_folder(mirror, here, tmp_path, name):
    server = mirror(name)
    done = here(name, "--to", tmp_path / "to")
    assert done.returncode == 0, done.stderr
    assert files_under(tmp_path / "to") == {
        f"{name}/{path}": server.content[on_hub(name, path)] for path in CHECKPOINTS[name]
    }


def test_the_next_command_is_printed(mirror, here, tmp_path):
    small, bert, odd = tmp_path / "electra-small", tmp_path / "bert-base", tmp_path / "my data"
    for name in ("electra-small", "bert-base"):
        mirror(name)
    line = f"next: python scripts/convert.py import {small}/discriminator {small}/generator --out {small}.pt\n"
    assert here("electra-small", "--to", tmp_path).stdout.endswith(line)
    line = f"next: python scripts/convert.py import {bert} --out {bert}.pt\n"
    assert here("bert-base", "--to", tmp_path).stdout.endswith(line)
    assert here("bert-base", "--to", odd).stdout.endswith(
        f" '{odd}/bert-base' --out '{odd}/bert-base.pt'\n"
    )


def test_a_broken_checkpoint_goes_on_where_it_stopped(mirror, here, tmp_path):
    server = mirror("electra-small", cut=1_000)
    broken = here("electra-small", "--to", tmp_path)
    failed(
        broken,
        r"1,000 bytes are in .*electra-small\.part/discriminator/pytorch_model\.bin\.part: the same command",
    )
    assert "--from" not in broken.stderr
    assert os.listdir(tmp_path) == ["electra-small.part"]
    before = len(server.paths)
    assert here("electra-small", "--to", tmp_path).returncode == 0
    assert (server.paths[before], server.ranges[before]) == (
        "/google/electra-small-discriminator/resolve/main/pytorch_model.bin",
        "bytes=1000-",
    )
    assert len(server.paths[before:]) == 5 and set(server.ranges[before + 1 :]) == {None}
    assert files_under(tmp_path) == {
        f"electra-small/{path}": server.content[on_hub("electra-small", path)] for path in SMALL
    }


def test_a_wrong_hash_installs_no_checkpoint(mirror, here, tmp_path):
    server = mirror("electra-small")
    address = on_hub("electra-small", "generator/pytorch_model.bin")
    right = server.content[address]
    server.content[address] = right[::-1]
    failed(here("electra-small", "--to", tmp_path), "SHA-256 is .*, expected")
    assert set(files_under(tmp_path)) == {f"electra-small.part/{path}" for path in SMALL} - {
        "electra-small.part/generator/pytorch_model.bin"
    }
    server.content[address] = right
    assert here("electra-small", "--to", tmp_path).returncode == 0
    assert (
        server.paths.count(address) == 2 and len(server.paths) == 9
    )  # what was verified is not fetched again
    assert set(files_under(tmp_path)) == {f"electra-small/{path}" for path in SMALL}


def test_an_unknown_hash_is_printed(mirror, here, tmp_path, monkeypatch):
    mirror("bert-base")
    data_set = program.DATA_SETS["bert-base"]
    unknown = tuple(remote._replace(size=None, sha256=None) for remote in data_set.files)
    monkeypatch.setitem(program.DATA_SETS, "bert-base", data_set._replace(files=unknown))
    done = here("bert-base", "--to", tmp_path)
    assert done.returncode == 0 and all(remote.sha256 in done.stdout for remote in data_set.files)


def test_a_checkpoint_takes_neither_from_nor_url_nor_hash(tmp_path):
    mine = tmp_path / "bert-base"
    mine.mkdir()
    failed(
        download("bert-base", "--from", mine, "--to", tmp_path),
        r"scripts/convert\.py import DIR takes .* as it is",
    )
    for option in (("--url", "http://127.0.0.1/x"), ("--sha256", "0" * 64)):
        failed(
            download("electra-small", *option, "--to", tmp_path), "for a data set of one archive"
        )
    assert os.listdir(tmp_path) == ["bert-base"]


def test_an_existing_checkpoint_is_left_alone(mirror, here, tmp_path):
    (tmp_path / "bert-base").mkdir()
    server = mirror("bert-base")
    failed(here("bert-base", "--to", tmp_path), "bert-base is already there; move")
    assert server.paths == []
