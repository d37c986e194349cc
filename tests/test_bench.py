"""scripts/bench.py: each command as a whole program, and its mistakes. No time is asserted."""

import contextlib
import importlib.util
import io
import json
import re
import statistics
import sys
from dataclasses import replace
from pathlib import Path

import forked
import pytest
import torch
from conftest import ROOT, exit_code

sys.path.insert(0, str(ROOT / "scripts"))

import bench

from electra.benchmark import limits, prediction, programs
from electra.checkpoint.checkpoint import make_checkpoint
from electra.checkpoint.storage import save_checkpoint
from electra.config import SPECIAL_TOKENS, FinetuneConfig, preset_model_config
from electra.data import token_store
from electra.model.classifier import Classifier

SAMPLE = ROOT / "data" / "sample"
SHORT = ("--size", "tiny", "--amp", "off", "--threads", "1")
PRETRAIN = ("pretrain", *SHORT, "--batch-tokens", "64", "--seq-len", "32", "--steps", "1")
EXAMPLES = ("--data", str(SAMPLE / "sst2"), "--examples", "40", "--max-len", "32")
FINETUNE = ("finetune", *SHORT, *EXAMPLES)


TOKENIZE = ("tokenize", "--corpus", SAMPLE / "wiki.raw")
PREDICT = ("predict", "--data", SAMPLE / "aclImdb", "--examples", 8, "--threads", 1)
STARTUP = ("startup", "--corpus", SAMPLE / "wiki.raw", *SHORT, "--batch-tokens", 256)


@pytest.fixture(autouse=True)
def small_products(monkeypatch):
    monkeypatch.setattr(limits, "PRODUCTS", {"cpu": ((64, 64, 64),)})


@pytest.fixture(scope="session")
def classifier(tokenizer, tmp_path_factory):
    """A checkpoint as finetune.py writes it, with random weights."""
    path = tmp_path_factory.mktemp("classifier") / "ckpt.pt"
    config = FinetuneConfig(task="imdb", max_len=64)
    own = preset_model_config("tiny", "electra", tokenizer.vocab_size, special=tokenizer.special)
    labels = ("negative", "positive")
    save_checkpoint(
        path, replace(make_checkpoint(Classifier(own, 2), tokenizer, config), labels=labels)
    )
    return path


def measured(tmp_path, *arguments, repeats=2):
    """The JSON of a run that has to succeed."""
    file = tmp_path / "bench.json"
    assert exit_code(bench.main, [*arguments, "--repeats", repeats, "--json", file]) == 0
    return json.loads(file.read_text())


# ---------------------------------------------------------------- whole programs


@pytest.fixture(scope="module")
def pretraining(tmp_path_factory):
    """(what was measured, stdout, stderr) of pre-training beside a save and a lone rank."""
    out, err = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(limits, "PRODUCTS", {"cpu": ((64, 64, 64),)})
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            folder = tmp_path_factory.mktemp("pretraining")
            found = measured(folder, *PRETRAIN, "--peer", "saving", "ddp")
    return found, out.getvalue(), err.getvalue()


def test_pretraining_on_dense_batches(pretraining):
    found, out, err = pretraining
    ours, *_ = found["sides"]
    assert ours["who"] == "ours" and len(ours["seconds"]) == 2 and min(ours["seconds"]) > 0
    work = [(one["examples"], one["tokens"], one["places"]) for one in ours["work"]]
    assert work == [(2, 64, 64)] * 2
    assert ours["padding"] == 0 and ours["limit_share"] > 0

    assert set(found["limits"]) == {"float32"} and found["machine"]["torch"] == torch.__version__
    assert found["settings"]["seq_len"] == 32
    assert found["command"].startswith("python scripts/bench.py pretrain --size")
    if Path("/proc/self/status").exists():
        assert ours["peak_memory_mb"] > 50
    assert re.search(r"tokens/s +padding", out) and "limit: " in out and err == ""


def test_fine_tuning_trains_on_the_same_examples_in_both_loops(tmp_path, model_file):
    found = measured(
        tmp_path, *FINETUNE, "--tokenizer", model_file, "--cache", tmp_path, "--peer", "usual"
    )
    ours, usual = found["sides"]
    assert (ours["who"], usual["who"]) == ("ours", "usual")
    trained = {
        (work["examples"], work["tokens"], work["flops"])
        for one in (ours, usual)
        for work in one["work"]
    }
    assert trained == {(40, ours["work"][0]["tokens"], ours["work"][0]["flops"])}

    mine, theirs = ([40 / seconds for seconds in one["seconds"]] for one in (ours, usual))
    paired = [a / b for a, b in zip(mine, theirs, strict=True)]
    assert usual["ratios"] == pytest.approx(paired) and "ratio" not in ours
    assert usual["ratio_of"] == "examples_per_s"
    assert usual["ratio_min"] <= usual["ratio"] <= usual["ratio_max"]


def test_tokenising_more_of_the_same(tmp_path, model_file):
    found = measured(tmp_path, *TOKENIZE, "--tokenizer", model_file, "--repeat-text", 3)
    once, thrice = found["sides"]
    size = (SAMPLE / "wiki.raw").stat().st_size
    assert once["work"][0]["megabytes"] == size / 1e6 and once["work"][0]["tokens"] > 10_000
    assert thrice["who"] == "ours, text x 3"
    assert thrice["work"][0]["tokens"] == 3 * once["work"][0]["tokens"]
    assert thrice["ratio_of"] == "megabytes_per_s"


def test_a_turn_of_batches_is_an_epoch(tmp_path, model_file, tokenizer):
    batching = ("--pipeline", "--seq-len", 64, "--batch-tokens", 512)
    found = measured(tmp_path, *TOKENIZE, "--tokenizer", model_file, *batching)
    (batches,) = found["sides"]

    store = token_store.open_store(
        (str(SAMPLE / "wiki.raw"),), tokenizer, "strict", tmp_path / "cache"
    )
    work = batches["work"][0]
    special = work["tokens"] - len(store.tokens)  # two or three for each example
    assert 2 * work["examples"] < special <= 3 * work["examples"] and batches["padding"] > 0


def test_prediction(tmp_path, classifier):
    found = measured(tmp_path, *PREDICT, "--ckpt", classifier, "--amp", "off", repeats=1)
    (ours,) = found["sides"]
    if Path("/proc/self/status").exists():
        assert ours["peak_memory_mb"] > 50
    assert ours["work"][0]["examples"] == 8 and 8 * 3 <= ours["work"][0]["tokens"] <= 8 * 64


def test_start_up_ends_with_the_first_step_and_leaves_no_run(tmp_path, model_file):
    cache = tmp_path / "cache"
    text = ("--tokenizer", model_file, "--cache", cache)
    found = measured(tmp_path, *STARTUP, *text, repeats=1)
    (ours,) = found["sides"]
    assert ours["median_seconds"] == ours["seconds"][0] > 0
    assert len(list(cache.glob("tokens-*"))) == 1
    assert not any(name.endswith("_per_s") for name in ours)


def test_what_a_save_and_a_lone_rank_cost(pretraining):
    found, *_ = pretraining
    assert [one["who"] for one in found["sides"]] == ["ours", "saving", "ddp"]
    assert [one["work"][0]["tokens"] for one in found["sides"]] == [64] * 3
    ours, saving, _ = found["sides"]
    pairs = zip(saving["seconds"], ours["seconds"], strict=True)
    cost = statistics.median(with_save - without for with_save, without in pairs)
    assert any(
        f"a save costs {cost:.2f} s" in note and f"{cost / 300:.2%} of the time" in note
        for note in found["notes"]
    )


# ---------------------------------------------------------------- peers


def test_transformers_predicts_from_the_exported_folder(tmp_path, classifier, monkeypatch):
    """test_prediction measures memory, too, and starts its programs anew."""
    pytest.importorskip("transformers")
    monkeypatch.setattr(programs, "subprocess", forked)
    monkeypatch.setattr(prediction, "tree_peak", lambda run, itself: None)
    peer = ("--peer", "transformers")
    found = measured(tmp_path, *PREDICT, "--ckpt", classifier, *peer, repeats=1)
    assert [one["who"] for one in found["sides"]] == ["ours", "transformers"]
    assert found["sides"][1]["ratio"] > 0


def test_tokenizers_makes_as_many_tokens(tmp_path):
    pytest.importorskip("tokenizers")
    letters = sorted(set((SAMPLE / "wiki.raw").read_text(encoding="utf-8").lower()) - set(" \n"))
    vocabulary = tmp_path / "vocab.txt"
    tokens = [*SPECIAL_TOKENS, "the", "##er", *letters, *(f"##{letter}" for letter in letters)]
    vocabulary.write_text("\n".join(tokens) + "\n", encoding="utf-8")
    found = measured(tmp_path, *TOKENIZE, "--tokenizer", vocabulary, "--peer", "tokenizers")
    assert len({one["work"][0]["tokens"] for one in found["sides"]}) == 1


def test_a_peer_that_is_not_installed_is_named(monkeypatch, capsys):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert exit_code(bench.main, [*PRETRAIN, "--peer", "transformers"]) == 2
    said = (
        "bench.py: error: --peer transformers needs a package that is not installed: "
        "pip install transformers\n"
    )
    assert capsys.readouterr().err == said


# ---------------------------------------------------------------- mistakes


@pytest.mark.parametrize(
    "arguments, match",
    [
        (["pretrain", "--size", "huge"], "invalid choice: 'huge'"),
        (["pretrain", "--steps", "0"], "0 is not a whole number above 0"),
        (["finetune", "--task", "cola"], "invalid choice: 'cola'"),
        (
            ["tokenize", "--corpus", "nosuch", "--tokenizer", str(SAMPLE / "wiki.raw")],
            "not a SentencePiece model",
        ),
        (["tokenize", "--corpus", "nosuch"], "--tokenizer"),
        (["predict", "--ckpt", "nosuch.pt"], "nosuch.pt"),
        ([], "pretrain"),
    ],
)
def test_a_mistake_gets_one_line(capsys, arguments, match):
    assert exit_code(bench.main, arguments) == 2
    error = capsys.readouterr().err
    assert match in error and error.startswith("bench.py") and error.count("\n") == 1


def test_a_mistake_that_a_contender_finds_gets_one_line(capfd, tmp_path):
    assert exit_code(bench.main, [*PRETRAIN, "--corpus", "nosuch", "--cache", tmp_path]) == 2
    assert capfd.readouterr() == ("", "bench.py: error: no such corpus: nosuch\n")


@pytest.mark.parametrize("command", bench.COMMANDS)
def test_help_is_in_groups_and_states_defaults(capsys, command):
    assert exit_code(bench.main, [command, "--help"]) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert all(
        f"{title}:" in text for title in ("what to measure", "against what", "how to measure")
    )
    assert "timed turns of each side (default: 5)" in text
