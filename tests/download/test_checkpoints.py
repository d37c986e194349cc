"""Released checkpoints: plain files, each in its folder."""

import hashlib
import os

import pytest

from download.helpers import download, failed, files_under
from electra.download.addresses import DATA_SETS

pytestmark = pytest.mark.fast


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
    """mirror(name, …) -> a server with bytes for each file of `name`; the table points there."""

    def start(name, **settings):
        data_set = DATA_SETS[name]
        contents = {
            remote.urls[0].removeprefix(HUB): (
                remote.urls[0] * (50 if "model." in remote.name else 1)
            ).encode()
            for remote in data_set.files
        }
        server = serve(contents, **settings)
        address = server.url.removesuffix("/SST-2.zip")
        files = tuple(
            remote._replace(
                urls=(remote.urls[0].replace(HUB, address),),
                size=len(content),
                sha256=hashlib.sha256(content).hexdigest(),
            )
            for remote, content in zip(data_set.files, contents.values(), strict=True)
        )
        monkeypatch.setitem(DATA_SETS, name, data_set._replace(files=files))
        return server

    return start


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
    folders = f"{small}/discriminator {small}/generator"
    line = f"next: python scripts/convert.py import {folders} --out {small}.pt\n"
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
        r"1,000 bytes are in .*electra-small\.part/discriminator/pytorch_model\.bin\.part: "
        r"the same command",
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
    data_set = DATA_SETS["bert-base"]
    unknown = tuple(remote._replace(size=None, sha256=None) for remote in data_set.files)
    monkeypatch.setitem(DATA_SETS, "bert-base", data_set._replace(files=unknown))
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
