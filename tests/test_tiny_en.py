"""The tiny ELECTRA that comes with the code: its file, its card, and each program that takes it."""

import hashlib
import json
import math
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import exit_code
from faults.inputs import program

import finetune
import train
from electra.checkpoint.storage import load_checkpoint
from electra.inference import tiny_en
from electra.inference.tiny_en import SENTENCE, TINY_EN, compare_with_tiny_en
from electra.serving.run import open_server

ROOT = Path(__file__).resolve().parent.parent
CARD = (ROOT / TINY_EN).with_name("README.md").read_text(encoding="utf-8")


@pytest.fixture(autouse=True)
def in_a_copy_of_the_data(tmp_path, monkeypatch):
    """The commands name data/… as the README does, and write into a folder of the test's own."""
    (tmp_path / "data").mkdir()
    for name in ("pretrained", "sample"):
        (tmp_path / "data" / name).symlink_to(ROOT / "data" / name)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def ask(capsys):
    def run(name, *arguments):
        capsys.readouterr()
        assert exit_code(program(name).main, arguments) == 0
        return capsys.readouterr().out

    return run


@pytest.mark.fast
def test_the_file_is_small_and_holds_nothing_but_a_model():
    assert TINY_EN.stat().st_size <= 8_000_000
    checkpoint = load_checkpoint(TINY_EN, ("electra",))
    assert checkpoint.training is None
    stored = torch.load(TINY_EN, weights_only=True)["model"]
    assert {value.dtype for value in stored.values()} == {torch.bfloat16}


@pytest.mark.fast
def test_the_card_is_this_file_s():
    digest = hashlib.sha256(TINY_EN.read_bytes()).hexdigest()
    assert digest in CARD
    size, count = re.search(r"([\d.]+) MB, ([\d.]+) M parameters", CARD).groups()
    assert float(size) == round(TINY_EN.stat().st_size / 1e6, 1)
    weights = load_checkpoint(TINY_EN, ("electra",)).model.values()
    assert float(count) == round(sum(value.numel() for value in weights) / 1e6, 1)


@pytest.mark.fast
def test_the_card_s_settings_are_the_checkpoint_s():
    checkpoint = load_checkpoint(TINY_EN, ("electra",))
    size = re.search(r"(\d+) wide × (\d+) layers,\s+vocabulary ([\d,]+)", CARD).groups()
    config = checkpoint.model_config
    assert [int(number.replace(",", "")) for number in size] == [
        config.hidden_size,
        config.num_layers,
        config.vocab_size,
    ]


def test_it_finds_the_word_that_does_not_belong(pretrained, ask):
    (line,) = (line for line in compare_with_tiny_en(pretrained() / "ckpt.pt") if "en:" in line)
    assert re.search(r"is was⟨0\.\d\d⟩ terrible", line) and "(most suspicious: was" in line
    assert line.count("⟨") == 1
    assert "⟨" not in ask("predict", "--ckpt", TINY_EN, "--view", SENTENCE.replace("is was", "is"))


@pytest.mark.parametrize("content", [None, b"", b"version https://git-lfs.github.com/spec/v1"])
def test_where_it_is_missing_or_broken_the_sample_s_run_ends_well(content, pretrained, monkeypatch):
    file = Path("tiny-en.pt")
    if content is not None:
        file.write_bytes(content)
    monkeypatch.setattr(tiny_en, "TINY_EN", file)
    lines = compare_with_tiny_en(pretrained() / "ckpt.pt")
    assert lines[0] == "The sample is far too small to learn a language from."
    assert len(lines) == 1 if content is None else lines[1].startswith("no comparison")


def test_it_goes_on_with_a_lower_loss_than_it_began_with(text, tmp_path):
    flags = ["--steps", 8, "--batch-tokens", 1024, "--eval-every", 8, "--amp", "off"]
    command = ["--init", TINY_EN, "--corpus", text, *flags, "--out", tmp_path / "run"]
    assert exit_code(train.main, command) == 0
    lines = (tmp_path / "run" / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    before, after = (line for line in map(json.loads, lines) if line["split"] == "valid")
    assert (before["step"], after["step"]) == (0, 8)
    assert after["mlm_loss"] < before["mlm_loss"] < 5 < math.log(4_000)  # of a model without words
    assert before["rtd_auc"] > 0.7 and before["rtd_auc_unigram"] > 0.8


def test_a_classifier_starts_from_it(ask):
    command = ["--task", "sst2", "--data", "data/sample/sst2", "--init", TINY_EN]
    assert exit_code(finetune.main, [*command, "--train-examples", 64, "--epochs", 1]) == 0
    answer = ask("predict", "--ckpt", "runs/sst2-tiny-en", "a warm and funny film")
    assert set(json.loads(answer)) == {"text", "label", "probability", "probabilities"}


def test_vectors_of_like_sentences_are_like(ask):
    texts = ["a funny and touching film", "a moving, amusing movie", "the river flows north"]
    lines = ask("embed", "--ckpt", TINY_EN, "--normalise", *texts).splitlines()
    vectors = np.array([json.loads(line)["vector"] for line in lines])
    likeness = vectors @ vectors.T
    assert likeness[0, 1] > max(likeness[0, 2], likeness[1, 2])


def test_the_page_shows_it_where_no_checkpoint_is_named():
    settings = program("serve").parse_args(["--port", "0"])
    server = open_server(settings)
    try:
        assert list(server.site.models) == ["tiny-en"]
    finally:
        server.server_close()
