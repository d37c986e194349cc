"""What a run is made of can be chosen, is in its files, and makes the same run again."""

import json
import shutil

import pytest
import torch
from conftest import ROOT, SMALL, as_flags, exit_code
from faults.harness import difference, metrics_of

import finetune
import train
from electra.checkpoint.checkpoint import PRETRAINED
from electra.checkpoint.storage import load_checkpoint, save_checkpoint
from electra.training import pretraining

# One value for each setting of architecture, objective and optimizer, none of them the default.
CHOSEN = {
    "hidden_size": 40,
    "num_layers": 2,
    "num_heads": 2,
    "intermediate_size": 50,
    "embedding_size": 24,
    "max_positions": 48,
    "generator_size": 0.3,
    "generator_num_layers": 1,
    "generator_num_heads": 4,
    "attention_dropout": 0.2,
    "mask_prob": 0.3,
    "rtd_weight": 20.0,
    "temperature": 0.5,
    "pair_share": 0.5,
    "short_share": 0.1,
    "lr_decay_power": 0.5,
    "weight_decay": 0.2,
    "adam_beta1": 0.8,
    "adam_beta2": 0.95,
    "adam_epsilon": 1e-5,
    "grad_clip": 0.5,
}


# A small model that has none of these values.
USUAL = SMALL | {"num_layers": 3, "num_heads": 4}


def small_run(text, cache, out, changes, expected=0):
    """Six steps of train.py into `out`; None leaves a setting out."""
    settings = {
        "corpus": text,
        "size": "tiny",
        "steps": 6,
        "batch_tokens": 256,
        "vocab_size": 800,
        "seq_len": 32,
        "eval_every": 3,
        "log_every": 2,
        "cache": cache,
        "out": out,
        **({} if "init" in changes else USUAL),
        **changes,
    }
    assert exit_code(train.main, as_flags(settings)) == expected
    return out


@pytest.fixture
def run(text, cache, tmp_path, monkeypatch):
    """run(name, **changes) -> the folder of a small run."""
    monkeypatch.chdir(tmp_path)

    def make(name, /, expected=0, **changes):
        return small_run(text, cache, tmp_path / name, changes, expected)

    return make


@pytest.fixture(scope="module")
def usual(text, cache, tmp_path_factory):
    """The folder of a small run in which nothing is chosen. Nobody writes in it."""
    return small_run(text, cache, tmp_path_factory.mktemp("usual") / "run", {})


def again(folder, out, *flags):
    """The run of a folder once more, into another one, from its config.json."""
    return exit_code(train.main, ["--config", folder / "config.json", "--out", out, *flags])


def refused(capsys, match, main, *arguments):
    """Exit code 2 and one line that says why."""
    capsys.readouterr()
    assert exit_code(main, arguments) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and match in error, error


# ---------------------------------------------------------------- every setting


@pytest.fixture
def chosen(run):
    return run("chosen", **CHOSEN)


def test_every_setting_is_in_the_files_of_the_run_and_in_its_model(chosen):
    config, checkpoint = (
        json.loads((chosen / "config.json").read_text()),
        load_checkpoint(chosen / "ckpt.pt", PRETRAINED),
    )
    for name, value in CHOSEN.items():
        assert config[name] == checkpoint.settings[name] == value, name
    model_config = checkpoint.model_config
    for name in ("hidden_size", "num_layers", "num_heads", "intermediate_size", "embedding_size"):
        assert getattr(model_config, name) == CHOSEN[name]
    assert (model_config.max_positions, model_config.attention_dropout) == (48, 0.2)
    assert (model_config.dropout, model_config.generator_hidden_size) == (0.0, 12)
    assert (model_config.generator_num_layers, model_config.generator_num_heads) == (1, 4)
    assert checkpoint.model["embeddings.word.weight"].shape[1] == 24


@pytest.mark.parametrize("name", sorted(CHOSEN))
def test_every_setting_changes_the_run(name, run, usual):
    """A setting that nothing reads would leave it as it is."""
    assert metrics_of(run("other", **{name: CHOSEN[name]})) != metrics_of(usual)


@pytest.mark.parametrize("name", ["rtd_weight", "num_layers", "generator_size", "grad_clip"])
def test_resume_compares_every_setting(name, chosen, capsys):
    flag = "--" + name.replace("_", "-")
    other = {"rtd_weight": 50, "num_layers": 3, "generator_size": 0.5, "grad_clip": 1}[name]
    resume = ("--out", chosen, "--resume")
    refused(capsys, f"{flag} ", train.main, *resume, flag, other)
    assert exit_code(train.main, [*resume, flag, CHOSEN[name]]) == 0


def test_a_run_with_chosen_settings_resumes_exactly(run, monkeypatch, tmp_path):
    whole = run("whole", **CHOSEN, save_every=2, keep=9)
    stopped = tmp_path / "stopped"
    shutil.copytree(whole, stopped)
    for name in ("ckpt.pt", "ckpt-6.pt"):
        (stopped / name).unlink()
    assert exit_code(train.main, ["--out", stopped, "--resume"]) == 0
    assert difference(whole, stopped) is None


def test_a_checkpoint_of_an_earlier_version_resumes_with_the_defaults(run, capsys, tmp_path):
    whole = run("whole", save_every=2, keep=9, **dict.fromkeys(USUAL))
    earlier = tmp_path / "earlier"
    shutil.copytree(whole, earlier)
    (earlier / "ckpt.pt").unlink()
    (earlier / "ckpt-6.pt").unlink()
    checkpoint = load_checkpoint(earlier / "ckpt-4.pt", PRETRAINED)
    for name in CHOSEN:
        del checkpoint.settings[name]
    save_checkpoint(earlier / "ckpt.pt", checkpoint)
    refused(
        capsys,
        "--mask-prob 0.3 differs from the run's 0.15",
        train.main,
        *("--out", earlier, "--resume", "--mask-prob", 0.3),
    )
    flags = ("--mask-prob", 0.15, "--generator-size", 0.25, "--rtd-weight", 50, "--num-layers", 3)
    assert exit_code(train.main, ["--out", earlier, "--resume", *flags]) == 0
    assert difference(whole, earlier) is None


@pytest.mark.parametrize("flag", ["--hidden-size", "--generator-size", "--max-positions"])
def test_the_architecture_comes_with_the_checkpoint(flag, run, capsys, tmp_path):
    start = run("start", steps=1)
    init = ("--init", start / "ckpt.pt", "--out", tmp_path / "other")
    refused(capsys, f"{flag} cannot be chosen with --init", train.main, *init, flag, 64)
    assert not (tmp_path / "other").exists()


def test_what_bert_does_not_read_is_refused(run, capsys):
    run("bert", expected=2, objective="mlm", temperature=0.5)
    assert "--temperature is for ELECTRA" in capsys.readouterr().err


def test_a_checkpoint_goes_on_with_another_objective_and_optimizer(run, monkeypatch):
    start, seen = run("start", steps=1), []
    build = pretraining.build
    monkeypatch.setattr(pretraining, "build", lambda *args: seen.append(args[1:]) or build(*args))
    onward = run(
        "onward",
        init=start / "ckpt.pt",
        size=None,
        vocab_size=None,
        mask_prob=0.2,
        rtd_weight=10,
        attention_dropout=0.1,
    )
    assert set(seen) == {(0.2, 10.0, 1.0)}
    shape = load_checkpoint(onward / "ckpt.pt", PRETRAINED).model_config
    assert (shape.dropout, shape.attention_dropout) == (0.0, 0.1)


# ---------------------------------------------------------------- the same run again


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"objective": "mlm", "phases": "16:0.5,32:0.5", "seq_len": None, "interleave": True},
        {"steps": None, "epochs": 0.05, "vocab_size": 30_000},  # more than the text has
        CHOSEN,
    ],
    ids=("plain", "mlm", "epochs", "chosen"),
)
def test_the_settings_of_a_run_make_it_again_bit_for_bit(changes, run, tmp_path):
    first = run("first", **changes)
    assert again(first, tmp_path / "second") == 0
    assert difference(first, tmp_path / "second") is None
    one, other = (
        json.loads((folder / "config.json").read_text()) for folder in (first, tmp_path / "second")
    )
    assert {name for name in one if one[name] != other[name]} == {"out", "config"}


def test_the_sample_s_run_is_made_again(text, cache, tmp_path, monkeypatch):
    """Its settings come neither from flags nor from the fields."""
    (tmp_path / "data" / "sample").mkdir(parents=True)
    (tmp_path / "data" / "sample" / "wiki.raw").write_bytes(text.read_bytes())
    monkeypatch.chdir(tmp_path)
    flags = ["--steps", 2, "--cache", cache, "--batch-tokens", 512]
    assert exit_code(train.main, flags) == 0
    first = tmp_path / "runs" / "sample"
    assert again(first, tmp_path / "again") == 0
    assert difference(first, tmp_path / "again") is None


def test_a_flag_beside_the_file_wins(run, tmp_path):
    first = run("first", steps=4)
    assert again(first, tmp_path / "second", "--seed", 5, "--steps", 2) == 0
    config = json.loads((tmp_path / "second" / "config.json").read_text())
    assert (config["seed"], config["steps"], config["size"]) == (5, 2, "tiny")
    first_weights, second_weights = (
        load_checkpoint(folder / "ckpt.pt", PRETRAINED).model
        for folder in (first, tmp_path / "second")
    )
    assert not all(torch.equal(first_weights[name], second_weights[name]) for name in first_weights)


def test_a_file_is_for_a_run_that_begins(run, capsys, tmp_path):
    first = run("first", steps=2)
    refused(
        capsys,
        "--config begins a run",
        train.main,
        *("--config", first / "config.json", "--out", first, "--resume"),
    )
    refused(capsys, "already there", train.main, "--config", first / "config.json", "--out", first)
    bad = tmp_path / "bad.json"
    bad.write_text('{"learning_rate": 1}')
    refused(capsys, f"{bad}: PretrainConfig: unknown keys", train.main, "--config", bad)
    refused(capsys, f"{bad}: FinetuneConfig: unknown keys", finetune.main, "--config", bad)


def test_fine_tuning_is_made_again_bit_for_bit(pretrained, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    flags = [
        *("--task", "sst2", "--data", ROOT / "data" / "sample" / "sst2", "--epochs", 0.2),
        *("--max-len", 16, "--init", pretrained() / "ckpt.pt", "--out", "first"),
    ]
    assert exit_code(finetune.main, flags) == 0
    file = tmp_path / "first" / "config.json"
    assert exit_code(finetune.main, ["--config", file, "--out", "second"]) == 0
    assert exit_code(finetune.main, ["--config", file, "--out", "third", "--seeds", "2"]) == 0
    first, second, third = (
        load_checkpoint(tmp_path / name / "ckpt.pt", ("classifier",)).model
        for name in ("first", "second", "third")
    )
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not all(torch.equal(first[name], third[name]) for name in first)
    first, second = (
        json.loads((tmp_path / name / "result.json").read_text()) for name in ("first", "second")
    )
    assert first["dev_mean"] == second["dev_mean"]
