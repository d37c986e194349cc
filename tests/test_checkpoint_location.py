"""Where a checkpoint is named: a file, a run folder, or a download that has to be converted."""

import shlex

import pytest

from electra.checkpoint.checkpoint import KINDS, make_checkpoint
from electra.checkpoint.location import locate_checkpoint
from electra.checkpoint.storage import load_checkpoint, load_tokenizer_at, save_checkpoint
from electra.config import PretrainConfig
from electra.model.electra import Electra

pytestmark = pytest.mark.fast


@pytest.fixture
def run_folder(tmp_path, shape, tokenizer):
    folder = tmp_path / "a run"
    folder.mkdir()
    model = Electra(shape(vocab_size=tokenizer.vocab_size))
    save_checkpoint(folder / "ckpt.pt", make_checkpoint(model, tokenizer, PretrainConfig()))
    return folder


def download(folder, weights="model.safetensors"):
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    (folder / weights).write_bytes(b"")
    return folder


def refusal(read):
    with pytest.raises(ValueError) as caught:
        read()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_run_folder_stands_for_its_checkpoint(run_folder):
    assert locate_checkpoint(run_folder) == locate_checkpoint(run_folder / "ckpt.pt")
    assert load_checkpoint(run_folder, KINDS).kind == "electra"
    assert locate_checkpoint("nowhere/x.pt").name == "x.pt"  # the file itself is not looked at
    (run_folder / "ckpt.pt").rename(run_folder / "renamed.bin")
    assert load_checkpoint(run_folder / "renamed.bin", KINDS).kind == "electra"


def test_a_tokenizer_comes_from_a_run_folder_a_checkpoint_or_its_own_file(
    run_folder, tmp_path, tokenizer
):
    (tmp_path / "own.model").write_bytes(tokenizer.to_bytes())
    (tmp_path / "renamed").write_bytes((run_folder / "ckpt.pt").read_bytes())
    for path in (run_folder, run_folder / "ckpt.pt", tmp_path / "own.model", tmp_path / "renamed"):
        assert load_tokenizer_at(path).fingerprint == tokenizer.fingerprint


@pytest.mark.parametrize(
    "weights",
    [
        "model.safetensors",
        "pytorch_model.bin",
        "model.safetensors.index.json",
        "pytorch_model-00001-of-00002.bin",
    ],
)
def test_a_download_is_refused_with_the_command_that_converts_it(tmp_path, weights):
    folder = download(tmp_path / "it's $HOME", weights)
    for named in (folder, folder / weights):
        said = refusal(lambda named=named: load_checkpoint(named, KINDS))
        assert str(named) in said
        typed = shlex.split(said.partition("convert it first: ")[2])
        command = ["python", "scripts/convert.py", "import", str(folder), "--out"]
        assert typed == [*command, "it's $HOME.pt"]
    assert "convert it first" in refusal(lambda: load_tokenizer_at(folder))


def test_both_networks_of_a_download_are_in_the_command(tmp_path):
    root = tmp_path / "electra-small"
    generator, discriminator = (download(root / name) for name in ("generator", "discriminator"))
    said = refusal(lambda: locate_checkpoint(root))
    assert said.endswith(f"convert.py import {discriminator} {generator} --out electra-small.pt")
    alone = refusal(lambda: locate_checkpoint(discriminator))
    assert alone.endswith(f"convert.py import {discriminator} --out electra-small.pt")


def test_a_folder_without_a_checkpoint_is_refused(tmp_path):
    (tmp_path / "config.json").write_text("{}")  # a run that has not saved yet
    for read in (locate_checkpoint, load_tokenizer_at):
        assert f"{tmp_path}: it is a folder without ckpt.pt" in refusal(
            lambda read=read: read(tmp_path)
        )
