"""Files that an earlier version wrote load, resume, start new runs and predict as they did then.

data/earlier_version/ was made by commit 57ba230, on a CPU with one thread and `--amp off`: a tiny
ELECTRA with a vocabulary of 123 words, pre-trained for 24 steps on the first 12,000 characters of
the sample. run/ is its folder as it stood after step 12, in the middle of a window of the log.
classifier.pt was fine-tuned from run/ckpt.pt on the first lines of the sample's SST-2.
expected.json holds what the same version wrote when it went on from these files.
"""

import json
import shutil
import sys
from pathlib import Path

import pytest
import torch
from conftest import ROOT, exit_code

import finetune
import train
from electra.checkpoint.checkpoint import PRETRAINED
from electra.checkpoint.storage import load_checkpoint
from electra.config import PretrainConfig, from_dict

sys.path.insert(0, str(ROOT / "scripts"))

import predict

pytestmark = pytest.mark.fast

EARLIER = Path(__file__).resolve().parent / "data" / "earlier_version"
EXPECTED = json.loads((EARLIER / "expected.json").read_text())
ON_CPU = ("--device", "cpu", "--amp", "off")
# Counts and settings are equal. Losses are sums in floating point, which another CPU adds up in
# another order; a sampled token may then differ, and with it the figures that are left out here.
EQUAL = (
    "step",
    "split",
    "tokens",
    "padding_frac",
    "lr",
    "skipped_steps",
    "seed",
    "epoch",
    "frozen",
)
NEAR = {"mlm_loss": 1e-3, "rtd_loss": 2e-3, "grad_norm": 1e-2, "train_loss": 1e-3}


@pytest.fixture
def folder(tmp_path, monkeypatch, sample_path):
    """A working folder with the run, its corpus and the task, as the earlier version had them."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(EARLIER / "run", tmp_path / "run")
    text = sample_path.read_text(encoding="utf-8")[:12_000].rpartition("\n")[0]
    (tmp_path / "wiki.raw").write_text(text + "\n", encoding="utf-8")
    (tmp_path / "sst2").mkdir()
    for name, lines in (("train.tsv", 65), ("dev.tsv", 33)):
        rows = (sample_path.parent / "sst2" / name).read_text(encoding="utf-8").splitlines()[:lines]
        (tmp_path / "sst2" / name).write_text("\n".join(rows) + "\n", encoding="utf-8")
    return tmp_path


def assert_as_then(name, folder, after=-1):
    """The log of a run, from after a step on, has the figures that were recorded."""
    records = map(json.loads, (folder / "metrics.jsonl").read_text().splitlines())
    found = [record for record in records if record["step"] > after]
    assert len(found) == len(EXPECTED[name]) > 0
    for now, then in zip(found, EXPECTED[name], strict=True):
        assert now.keys() - {"seconds", "tokens_per_s"} == then.keys()
        assert [now.get(key) for key in EQUAL] == [then.get(key) for key in EQUAL]
        for key in NEAR.keys() & then.keys():
            assert now[key] == pytest.approx(then[key], rel=NEAR[key]), (key, then["step"])


def test_every_part_of_the_checkpoint_is_read():
    content = torch.load(EARLIER / "run" / "ckpt.pt", weights_only=True)
    checkpoint = load_checkpoint(EARLIER / "run" / "ckpt.pt", PRETRAINED)
    assert checkpoint.to_dict().keys() == content.keys()
    later = {"fingerprints"}  # without which the number of tokens is compared
    assert checkpoint.training.to_dict().keys() - content["training"].keys() == later
    assert checkpoint.training.fingerprints == {}
    assert checkpoint.training.padded_tokens == content["training"]["places"] == 1024
    assert (checkpoint.training.step, checkpoint.training.stream) == (12, {32: (0, 12)})
    assert checkpoint.tokenizer.to_bytes() == (EARLIER / "run" / "tokenizer.model").read_bytes()
    assert (checkpoint.model_config.hidden_size, checkpoint.model_config.vocab_size) == (8, 123)
    assert from_dict(PretrainConfig, checkpoint.settings).steps == 24


def test_a_run_resumes_to_the_figures_that_it_had(folder):
    assert exit_code(train.main, ["--out", "run", "--resume"]) == 0
    assert_as_then("resumed", folder / "run", after=12)


def test_another_run_starts_from_it(folder):
    flags = ("--seq-len", 32, "--batch-tokens", 256, "--steps", 2, "--log-every", 2)
    start = ("--init", "run/ckpt.pt", "--corpus", "wiki.raw", "--out", "init", "--cache", "cache")
    assert exit_code(train.main, [*start, *flags, *ON_CPU]) == 0
    assert_as_then("init", folder / "init")


def test_fine_tuning_starts_from_it(folder):
    flags = ("--max-len", 32, "--freeze-epochs", 1, "--epochs", 2, "--lr", "2e-2")
    start = ("--init", "run/ckpt.pt", "--data", "sst2", "--out", "tuned", "--cache", "cache")
    assert exit_code(finetune.main, [*start, *flags, *ON_CPU]) == 0
    assert_as_then("finetuned", folder / "tuned")


@pytest.mark.parametrize(
    "name, file, texts",
    [
        ("replaced", "run/ckpt.pt", ["the game was by the of the first"]),
        ("classified", "classifier.pt", ["a funny and moving film", "a dull waste of time"]),
    ],
)
def test_it_predicts_what_it_predicted(capsys, name, file, texts):
    assert exit_code(predict.main, ["--ckpt", EARLIER / file, *ON_CPU, *texts]) == 0
    found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert len(found) == len(texts)
    for now, then in zip(found, EXPECTED[name], strict=True):
        assert now.keys() == then.keys() and now["text"] == then["text"]
        if name == "classified":
            assert now["label"] == then["label"]
            assert now["probabilities"] == pytest.approx(then["probabilities"], abs=2e-5)
        else:
            assert [word["word"] for word in now["words"]] == [w["word"] for w in then["words"]]
            chances = [word["replaced"] for word in then["words"]]
            assert [word["replaced"] for word in now["words"]] == pytest.approx(chances, abs=2e-5)
