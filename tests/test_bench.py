"""bench.py: floating-point operations counted once more, turns and ratios by hand, and each command as a whole program.
No time is asserted."""

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import exit_code
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "scripts"))

import bench  # noqa: E402

from electra.benchmark import baseline, limits, steps
from electra.checkpoint import run_folder
from electra.checkpoint.checkpoint import make_checkpoint
from electra.checkpoint.storage import save_checkpoint
from electra.config import SPECIAL_TOKENS, FinetuneConfig, SpecialIds, preset_model_config  # noqa: E402
from electra.data import token_store
from electra.data.batch import Batch  # noqa: E402
from electra.model.build import build  # noqa: E402
from electra.model.classifier import Classifier  # noqa: E402
from electra.model.flops import encoder_flops, pretraining_flops

SAMPLE = ROOT / "data" / "sample"
SHORT = ("--size", "tiny", "--amp", "off", "--threads", "1")
PRETRAIN = ("pretrain", *SHORT, "--batch-tokens", "64", "--seq-len", "32", "--steps", "1")
FINETUNE = (
    "finetune",
    *SHORT,
    "--data",
    str(SAMPLE / "sst2"),
    "--examples",
    "40",
    "--max-len",
    "32",
)
linux = pytest.mark.skipif(
    not Path("/proc/self/smaps_rollup").exists(), reason="no /proc that tells of memory"
)


@pytest.fixture(autouse=True)
def small_products(monkeypatch):
    monkeypatch.setattr(limits, "PRODUCTS", {"cpu": ((64, 64, 64),)})


@pytest.fixture(scope="session")
def model_file(tokenizer, tmp_path_factory):
    path = tmp_path_factory.mktemp("tokenizer") / "tokenizer.model"
    path.write_bytes(tokenizer.to_bytes())
    return path


@pytest.fixture(scope="session")
def classifier(tokenizer, tmp_path_factory):
    """A checkpoint as finetune.py writes it, with random weights."""
    path = tmp_path_factory.mktemp("classifier") / "ckpt.pt"
    config = FinetuneConfig(task="imdb", max_len=64)
    model = Classifier(
        preset_model_config("tiny", "electra", tokenizer.vocab_size, special=tokenizer.special), 2
    )
    save_checkpoint(
        path, make_checkpoint(model, tokenizer, config, labels=("negative", "positive"))
    )
    return path


def measured(tmp_path, *arguments, repeats=2):
    """The JSON of a run that has to succeed."""
    file = tmp_path / "bench.json"
    assert exit_code(bench.main, [*arguments, "--repeats", repeats, "--json", file]) == 0
    return json.loads(file.read_text())


def side(*arguments, who="ours"):
    """A side of a training, in this process."""
    args = bench.parse_args([str(argument) for argument in arguments])
    return {"pretrain": bench.pretraining_side, "finetune": bench.finetuning_side}[args.command](
        args, who
    )


# ---------------------------------------------------------------- floating-point operations


def counted(run):
    """As the products run: attention in its plain form, of which every product is counted."""
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
        run().backward()
    return counter.get_total_flops()


@pytest.mark.parametrize("objective", ["electra", "mlm"])
def test_flops_are_those_of_a_step_without_padding(shape, objective):
    B, T = 2, 20  # 15% are 3 positions
    config = shape(
        objective=objective, embedding_size=32, hidden_size=64, num_heads=4, intermediate_size=128
    )
    batch = Batch(
        torch.randint(5, config.vocab_size, (B, T)), torch.zeros(B, T, dtype=torch.int64), None
    )
    model = build(config, 0.15)
    found = counted(lambda: model(batch, torch.Generator().manual_seed(0)).losses.sum())
    assert pretraining_flops(config, 0.15, np.full(B, T)) == pytest.approx(found, rel=1e-3)


def test_flops_of_fine_tuning(shape, make_batch):
    config = shape(embedding_size=32, hidden_size=64, num_heads=4, intermediate_size=128)
    batch = make_batch([20, 20], 20, labels=[0, 1])
    model = Classifier(config, 2)
    found = counted(lambda: model(batch, torch.Generator()).losses.sum())
    head = 3 * 2 * 2 * 64 * 2  # the one product that is left out: a row each
    assert 3 * encoder_flops(config, np.array([20, 20])) == found - head


def test_small_takes_seventy_million_operations_a_token():
    discriminator = 2 * 128 * 256 + 12 * (2 * 12 * 256**2 + 4 * 128 * 256) + 2 * (256**2 + 256)
    generator = 2 * 128 * 64 + 12 * (2 * 12 * 64**2 + 4 * 128 * 64) + 0.15 * 2 * 128 * (64 + 30_522)
    config = preset_model_config("small", "electra", 30_522)
    a_token = pretraining_flops(config, 0.15, np.full(32, 128)) / (32 * 128)
    assert (
        a_token == pytest.approx(3 * (discriminator + generator)) == pytest.approx(70.2e6, rel=1e-3)
    )


def test_padding_needs_no_flops_and_attention_grows_with_the_square(shape):
    alone = [encoder_flops(shape(), np.array([length])) for length in (10, 20)]
    assert encoder_flops(shape(), np.array([10, 20])) == sum(alone)
    assert alone[1] - 2 * alone[0] == 2 * 4 * 24 * (20**2 - 2 * 10**2)  # layers, C


# ---------------------------------------------------------------- turns, ratios, memory


def test_sides_take_turns_and_every_second_round_goes_backwards():
    order = []
    sides = [
        bench.Contender(who, "", lambda who=who: order.append(who) or bench.Workload(1))
        for who in "ab"
    ]
    turns = bench.take_turns(sides, 3)
    assert "".join(order) == "abbaab" and {who: len(own) for who, own in turns.items()} == {
        "a": 3,
        "b": 3,
    }


def test_ratios_are_of_the_turns_of_one_round():
    ours = [bench.Trial(seconds, bench.Workload(tokens=100)) for seconds in (1.0, 2.0, 4.0)]
    theirs = [
        bench.Trial(seconds, bench.Workload(tokens=50, padded_tokens=80, flops=30))
        for seconds in (1.0, 1.0, 1.0)
    ]
    found = bench.summary("b", ours, theirs, "tokens", 5_000_000, limit=60.0)
    assert found["ratios"] == [2.0, 1.0, 0.5] and found["ratio_of"] == "tokens_per_s"
    assert (found["ratio"], found["ratio_min"], found["ratio_max"]) == (1.0, 0.5, 2.0)
    assert found["tokens_per_s"] == 50 and found["seconds"] == [1.0, 1.0, 1.0]
    assert found["padding"] == pytest.approx(30 / 80) and found["limit_share"] == 0.5
    assert found["peak_memory_mb"] == 5 and "examples_per_s" not in found
    first = bench.summary("a", ours, ours, "tokens", None, limit=None)
    assert first["tokens_per_s"] == 50 and not {
        "ratio",
        "peak_memory_mb",
        "limit_share",
        "padding",
    } & set(first)


def test_the_table_leaves_out_what_nobody_has():
    rows = bench.table(
        [
            {"who": "ours", "tokens_per_s": 1234.5},
            {
                "who": "usual",
                "tokens_per_s": 617.0,
                "ratio": 2.0,
                "ratio_min": 1.5,
                "ratio_max": 2.5,
            },
        ]
    ).split("\n")
    assert [row.split() for row in rows] == [
        ["tokens/s", "ratio"],
        ["ours", "1,234"],
        ["usual", "617", "2.00", "(1.50", "to", "2.50)"],
    ]


@linux
def test_memory_is_that_of_the_processes_below():
    def turn():
        subprocess.run(
            [sys.executable, "-c", "import time; a = b'x' * 60_000_000; time.sleep(0.3)"],
            check=True,
        )
        return bench.Workload()

    assert (
        60e6 < bench.tree_peak(turn, itself=False) < 120e6 < bench.tree_peak(turn)
    )  # this one has loaded torch


# ---------------------------------------------------------------- whole programs


def test_pretraining_on_dense_batches(tmp_path, capfd):
    found = measured(tmp_path, *PRETRAIN)
    (ours,) = found["sides"]
    assert ours["who"] == "ours" and len(ours["seconds"]) == 2 and min(ours["seconds"]) > 0
    assert [(work["examples"], work["tokens"], work["places"]) for work in ours["work"]] == [
        (2, 64, 64)
    ] * 2
    assert ours["padding"] == 0 and ours["limit_share"] > 0
    assert set(found["limits"]) == {"float32"} and found["machine"]["torch"] == torch.__version__
    assert found["settings"]["seq_len"] == 32 and found["command"].startswith(
        "python scripts/bench.py pretrain --size"
    )
    if Path("/proc/self/status").exists():
        assert ours["peak_memory_mb"] > 50
    out, err = capfd.readouterr()
    assert re.search(r"tokens/s +padding", out) and "limit: " in out and err == ""


def test_pretraining_on_text_counts_real_tokens(tmp_path, model_file):
    text = ("--corpus", SAMPLE / "wiki.raw", "--tokenizer", model_file, "--cache", tmp_path)
    work = side(*PRETRAIN, *text, "--steps", 20).run()
    assert (
        0 < work.tokens < work.padded_tokens <= 20 * 64 and work.examples >= 20 and work.flops > 0
    )


def test_the_usual_batches_are_whole_documents_cut_and_padded():
    text = token_store.Text(
        np.arange(10, 60, dtype=np.uint16), np.array([0, 50]), np.array([0, 3]), np.array([3, 50])
    )
    special = SpecialIds()
    batch = next(baseline.baseline_documents(text, special, max_len=6))
    rows = sorted(batch.input_ids.tolist())
    assert rows == [
        [special.cls, 10, 11, 12, special.sep, special.pad],
        [special.cls, 13, 14, 15, 16, special.sep],
    ]
    assert sorted(batch.attention_mask.sum(1).tolist()) == [5, 6]


def test_fine_tuning_trains_on_the_same_examples_in_both_loops(tmp_path, model_file):
    found = measured(
        tmp_path, *FINETUNE, "--tokenizer", model_file, "--cache", tmp_path, "--peer", "usual"
    )
    ours, usual = found["sides"]
    assert (ours["who"], usual["who"]) == ("ours", "usual")
    assert {
        (work["examples"], work["tokens"], work["flops"])
        for one in (ours, usual)
        for work in one["work"]
    } == {(40, ours["work"][0]["tokens"], ours["work"][0]["flops"])}
    mine, theirs = ([40 / seconds for seconds in one["seconds"]] for one in (ours, usual))
    assert (
        usual["ratios"] == pytest.approx([a / b for a, b in zip(mine, theirs)])
        and "ratio" not in ours
    )
    assert (
        usual["ratio_of"] == "examples_per_s"
        and usual["ratio_min"] <= usual["ratio"] <= usual["ratio_max"]
    )


def test_tokenising_more_of_the_same(tmp_path, model_file):
    found = measured(
        tmp_path,
        "tokenize",
        "--corpus",
        SAMPLE / "wiki.raw",
        "--tokenizer",
        model_file,
        "--repeat-text",
        3,
    )
    once, thrice = found["sides"]
    size = (SAMPLE / "wiki.raw").stat().st_size
    assert once["work"][0]["megabytes"] == size / 1e6 and once["work"][0]["tokens"] > 10_000
    assert (
        thrice["who"] == "ours, text x 3"
        and thrice["work"][0]["tokens"] == 3 * once["work"][0]["tokens"]
    )
    assert thrice["ratio_of"] == "megabytes_per_s"


def test_a_turn_of_batches_is_an_epoch(tmp_path, model_file, tokenizer):
    found = measured(
        tmp_path,
        "tokenize",
        "--corpus",
        SAMPLE / "wiki.raw",
        "--tokenizer",
        model_file,
        "--pipeline",
        "--seq-len",
        64,
        "--batch-tokens",
        512,
    )
    (batches,) = found["sides"]
    store = token_store.open_store(
        (str(SAMPLE / "wiki.raw"),), tokenizer, "strict", tmp_path / "cache"
    )
    work = batches["work"][0]
    special = work["tokens"] - len(store.tokens)  # two or three for each example
    assert 2 * work["examples"] < special <= 3 * work["examples"] and batches["padding"] > 0


def test_prediction(tmp_path, classifier):
    found = measured(
        tmp_path,
        "predict",
        "--data",
        SAMPLE / "aclImdb",
        "--ckpt",
        classifier,
        "--examples",
        8,
        "--threads",
        1,
        "--amp",
        "off",
        repeats=1,
    )
    (ours,) = found["sides"]
    assert ours["work"][0]["examples"] == 8 and 8 * 3 <= ours["work"][0]["tokens"] <= 8 * 64


def test_start_up_ends_with_the_first_step_and_leaves_no_run(tmp_path, model_file):
    cache = tmp_path / "cache"
    found = measured(
        tmp_path,
        "startup",
        "--corpus",
        SAMPLE / "wiki.raw",
        "--tokenizer",
        model_file,
        "--size",
        "tiny",
        "--batch-tokens",
        256,
        "--cache",
        cache,
        "--amp",
        "off",
        "--threads",
        1,
        repeats=1,
    )
    (ours,) = found["sides"]
    assert (
        ours["median_seconds"] == ours["seconds"][0] > 0 and len(list(cache.glob("tokens-*"))) == 1
    )
    assert not any(name.endswith("_per_s") for name in ours)


def test_what_a_save_and_a_lone_rank_cost(tmp_path):
    found = measured(tmp_path, *PRETRAIN, "--peer", "saving", "ddp", repeats=1)
    assert [one["who"] for one in found["sides"]] == ["ours", "saving", "ddp"]
    assert [one["work"][0]["tokens"] for one in found["sides"]] == [64] * 3
    ours, saving, _ = found["sides"]
    cost = saving["seconds"][0] - ours["seconds"][0]
    assert any(
        f"a save costs {cost:.2f} s" in note and f"{cost / 300:.2%} of the time" in note
        for note in found["notes"]
    )


def test_a_save_is_on_the_disk_when_its_turn_ends(monkeypatch):
    written = []
    monkeypatch.setattr(
        run_folder.storage,
        "save_checkpoint",
        lambda path, checkpoint: written.append(
            (path.name, len(checkpoint.model), list(checkpoint.training.optimizer))
        ),
    )
    monkeypatch.setattr(run_folder, "link", lambda source, target: None)
    saving = side(*PRETRAIN, who="saving")
    weights = len(build(preset_model_config("tiny", "electra", 4_000), 0.15).state_dict())
    for number in (1, 2):
        assert saving.run()[:3] == (2, 64, 64)
        assert written == [("ckpt.pt", weights, ["exp_avg", "exp_avg_sq", "updates"])] * number


# ---------------------------------------------------------------- peers


@pytest.mark.parametrize("objective", ["electra", "mlm"])
def test_transformers_pretrains_the_same_shapes(objective):
    pytest.importorskip("transformers")
    peer = side(*PRETRAIN, "--objective", objective, "--dropout", 0, who="transformers")
    assert peer.run()[:3] == (2, 64, 64)
    shape = preset_model_config("tiny", objective, 4_000)
    networks, loss_of = baseline.transformers_pretraining(
        shape, 0.15, bench.choose_precision("off", peer.device), "eager"
    )
    mine, theirs = (
        sum(p.numel() for p in model.parameters()) for model in (build(shape, 0.15), networks)
    )
    assert mine == theirs
    torch.manual_seed(0)
    loss = loss_of(steps.dense_batches(1, 4, 32, 4_000)[0]).item()
    assert loss == pytest.approx(np.log(4_000) + 50 * np.log(2) * (objective == "electra"), rel=0.1)


def test_transformers_fine_tunes(tmp_path, model_file):
    pytest.importorskip("transformers")
    flags = (*FINETUNE, "--tokenizer", model_file, "--cache", tmp_path)
    assert side(*flags, who="transformers").run()[:2] == side(*flags).run()[:2]


def test_transformers_predicts_from_the_exported_folder(tmp_path, classifier):
    pytest.importorskip("transformers")
    found = measured(
        tmp_path,
        "predict",
        "--data",
        SAMPLE / "aclImdb",
        "--ckpt",
        classifier,
        "--examples",
        8,
        "--threads",
        1,
        "--peer",
        "transformers",
        repeats=1,
    )
    assert [one["who"] for one in found["sides"]] == ["ours", "transformers"] and found["sides"][1][
        "ratio"
    ] > 0


def test_tokenizers_makes_as_many_tokens(tmp_path):
    pytest.importorskip("tokenizers")
    letters = sorted(set((SAMPLE / "wiki.raw").read_text(encoding="utf-8").lower()) - set(" \n"))
    vocabulary = tmp_path / "vocab.txt"
    tokens = [*SPECIAL_TOKENS, "the", "##er", *letters, *(f"##{letter}" for letter in letters)]
    vocabulary.write_text("\n".join(tokens) + "\n", encoding="utf-8")
    found = measured(
        tmp_path,
        "tokenize",
        "--corpus",
        SAMPLE / "wiki.raw",
        "--tokenizer",
        vocabulary,
        "--peer",
        "tokenizers",
    )
    assert len({one["work"][0]["tokens"] for one in found["sides"]}) == 1


def test_a_peer_that_is_not_installed_is_named(monkeypatch, capsys):
    monkeypatch.setattr(bench.importlib.util, "find_spec", lambda name: None)
    assert exit_code(bench.main, [*PRETRAIN, "--peer", "transformers"]) == 2
    said = "bench.py: error: --peer transformers needs a package that is not installed: pip install transformers\n"
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


def test_a_mistake_that_a_side_finds_gets_one_line(capfd, tmp_path):
    assert exit_code(bench.main, [*PRETRAIN, "--corpus", "nosuch", "--cache", tmp_path]) == 2
    assert capfd.readouterr() == ("", "bench.py: error: no such corpus: nosuch\n")


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
def test_sides_refuse_what_cannot_be_trained(arguments, match):
    with pytest.raises(ValueError, match=match):
        side(*arguments)


def test_graphs_are_refused_without_a_gpu():
    with pytest.raises(ValueError, match="CUDA graphs are for one process on one GPU"):
        side(*PRETRAIN, "--device", "cpu", who="graphs")


@pytest.mark.parametrize("command", bench.COMMANDS)
def test_help_is_in_groups_and_states_defaults(capsys, command):
    assert exit_code(bench.main, [command, "--help"]) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert all(
        f"{title}:" in text for title in ("what to measure", "against what", "how to measure")
    )
    assert "timed turns of each side (default: 5)" in text
