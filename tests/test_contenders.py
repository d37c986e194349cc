"""Contenders of scripts/bench.py in this process: turns, ratios and memory by hand, and what each
contender in training does in a turn. No time is asserted."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import ROOT

sys.path.insert(0, str(ROOT / "scripts"))

import bench

from electra.benchmark import memory, pretraining
from electra.benchmark.baseline import baseline_documents, transformers_pretraining
from electra.benchmark.contender import Contender, Trial, Workload, take_turns
from electra.benchmark.memory import tree_peak
from electra.benchmark.steps import dense_batches
from electra.benchmark.summary import summarize, table
from electra.checkpoint import run_folder, storage
from electra.config import SpecialIds, preset_model_config
from electra.data import token_store
from electra.model.build import build
from electra.training.device import choose_precision

SAMPLE = ROOT / "data" / "sample"
SHORT = ("--size", "tiny", "--amp", "off", "--threads", "1")
PRETRAIN = ("pretrain", *SHORT, "--batch-tokens", "64", "--seq-len", "32", "--steps", "1")
EXAMPLES = ("--data", str(SAMPLE / "sst2"), "--examples", "40", "--max-len", "32")
FINETUNE = ("finetune", *SHORT, *EXAMPLES)
linux = pytest.mark.skipif(
    not Path("/proc/self/smaps_rollup").exists(), reason="no /proc that tells of memory"
)


def contender(*arguments, name="ours"):
    """A contender in training, in this process."""
    args = bench.parse_args([str(argument) for argument in arguments])
    return bench.CONTENDERS[args.command](args, name)


# ---------------------------------------------------------------- turns, ratios, memory


def test_contenders_take_turns_and_every_second_round_goes_backwards():
    order = []

    def run(name):
        order.append(name)
        return Workload(1)

    contenders = [Contender(name, "", lambda name=name: run(name)) for name in "ab"]
    trials = take_turns(contenders, 3)

    assert "".join(order) == "abbaab"
    assert {name: len(own) for name, own in trials.items()} == {"a": 3, "b": 3}


def test_ratios_compare_trials_of_one_round():
    ours = [Trial(seconds, Workload(tokens=100)) for seconds in (1.0, 2.0, 4.0)]
    theirs = [
        Trial(seconds, Workload(tokens=50, padded_tokens=80, flops=30))
        for seconds in (1.0, 1.0, 1.0)
    ]

    found = summarize("b", ours, theirs, "tokens", 5_000_000, limit=60.0)
    assert found["ratios"] == [2.0, 1.0, 0.5] and found["ratio_of"] == "tokens_per_s"
    assert (found["ratio"], found["ratio_min"], found["ratio_max"]) == (1.0, 0.5, 2.0)
    assert found["tokens_per_s"] == 50 and found["seconds"] == [1.0, 1.0, 1.0]
    assert found["padding"] == pytest.approx(30 / 80) and found["limit_share"] == 0.5
    assert found["peak_memory_mb"] == 5 and "examples_per_s" not in found

    first = summarize("a", ours, ours, "tokens", None, limit=None)
    assert first["tokens_per_s"] == 50
    assert not {"ratio", "peak_memory_mb", "limit_share", "padding"} & set(first)


def test_table_leaves_out_columns_without_figures():
    ours = {"who": "ours", "tokens_per_s": 1234.5}
    ratio = {"ratio": 2.0, "ratio_min": 1.5, "ratio_max": 2.5}
    rows = table([ours, {"who": "usual", "tokens_per_s": 617.0, **ratio}]).split("\n")
    assert [row.split() for row in rows] == [
        ["tokens/s", "ratio"],
        ["ours", "1,234"],
        ["usual", "617", "2.00", "(1.50", "to", "2.50)"],
    ]


@linux
def test_memory_includes_processes_below(monkeypatch):
    # Other tests have started processes that still run.
    tree, this = memory._tree, os.getpid()
    others = [process for process in tree(this) if process != this]

    def own(root):
        return [p for p in tree(root) if not any(p in tree(other) for other in others)]

    monkeypatch.setattr(memory, "_tree", own)
    program = "import time; a = b'x' * 60_000_000; time.sleep(0.3)"

    def run():
        subprocess.run([sys.executable, "-c", program], check=True)

    # The last one counts this process too, which has loaded torch.
    assert 60e6 < tree_peak(run, itself=False) < 120e6 < tree_peak(run)


# ---------------------------------------------------------------- this project


def test_pretraining_on_text_counts_real_tokens(tmp_path, model_file):
    text = ("--corpus", SAMPLE / "wiki.raw", "--tokenizer", model_file, "--cache", tmp_path)
    work = contender(*PRETRAIN, *text, "--steps", 20).run()
    assert 0 < work.tokens < work.padded_tokens <= 20 * 64
    assert work.examples >= 20 and work.flops > 0


def test_a_save_is_on_the_disk_when_its_turn_ends(monkeypatch):
    written = []

    def save(path, checkpoint):
        written.append((path.name, len(checkpoint.model), list(checkpoint.training.optimizer)))

    monkeypatch.setattr(storage, "save_checkpoint", save)
    monkeypatch.setattr(run_folder, "link", lambda source, target: None)
    saving = contender(*PRETRAIN, name="saving")
    weights = len(build(preset_model_config("tiny", "electra", 4_000), 0.15).state_dict())
    for number in (1, 2):
        assert saving.run()[:3] == (2, 64, 64)
        assert written == [("ckpt.pt", weights, ["exp_avg", "exp_avg_sq", "updates"])] * number


@pytest.mark.parametrize(
    "arguments, match",
    [
        ([*PRETRAIN, "--tokenizer", "vocab.txt"], "--tokenizer is for --corpus"),
        ([*PRETRAIN, "--batch-tokens", "16"], "does not hold one example"),
        ([*PRETRAIN, "--batch-tokens", "1024", "--seq-len", "1024"], "outside 8 to 512"),
        ([*PRETRAIN, "--dropout", "1"], "--dropout must be"),
        ([*PRETRAIN, "--device", "nosuch"], "--device nosuch"),
        (["finetune", "--data", "nosuch"], "nosuch"),
    ],
)
def test_contenders_refuse_what_cannot_be_trained(arguments, match):
    with pytest.raises(ValueError, match=match):
        contender(*arguments)


def test_plain_steps_alone_leave_out_the_graphs_of_the_default(monkeypatch):
    asked = []
    monkeypatch.setattr(pretraining, "choose_graphs", lambda wanted, device: asked.append(wanted))
    for name in ("ours", "saving", "plain"):
        contender(*PRETRAIN, name=name)
    assert asked == [None, None, False]


# ---------------------------------------------------------------- the baseline


def test_baseline_batches_are_whole_documents_cut_and_padded():
    text = token_store.Text(
        np.arange(10, 60, dtype=np.uint16), np.array([0, 50]), np.array([0, 3]), np.array([3, 50])
    )
    special = SpecialIds()
    batch = next(baseline_documents(text, special, max_len=6))
    rows = sorted(batch.input_ids.tolist())
    assert rows == [
        [special.cls, 10, 11, 12, special.sep, special.pad],
        [special.cls, 13, 14, 15, 16, special.sep],
    ]
    assert sorted(batch.attention_mask.sum(1).tolist()) == [5, 6]


@pytest.mark.parametrize("objective", ["electra", "mlm"])
def test_transformers_pretrains_the_same_shapes(objective):
    pytest.importorskip("transformers")
    peer = contender(*PRETRAIN, "--objective", objective, "--dropout", 0, name="transformers")
    assert peer.run()[:3] == (2, 64, 64)

    config = preset_model_config("tiny", objective, 4_000)
    precision = choose_precision("off", peer.device)
    networks, loss_of = transformers_pretraining(config, 0.15, precision, "eager")
    mine, theirs = (
        sum(p.numel() for p in model.parameters()) for model in (build(config, 0.15), networks)
    )
    assert mine == theirs

    torch.manual_seed(0)
    loss = loss_of(dense_batches(1, 4, 32, 4_000)[0]).item()
    assert loss == pytest.approx(np.log(4_000) + 50 * np.log(2) * (objective == "electra"), rel=0.1)


def test_transformers_fine_tunes(tmp_path, model_file):
    pytest.importorskip("transformers")
    flags = (*FINETUNE, "--tokenizer", model_file, "--cache", tmp_path)
    assert contender(*flags, name="transformers").run()[:2] == contender(*flags).run()[:2]
