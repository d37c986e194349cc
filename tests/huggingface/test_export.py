"""`convert.py export`: what goes out comes back, and computes the same function."""

import json
from dataclasses import replace

import pytest
import torch

from electra.checkpoint.storage import load_checkpoint, save_checkpoint
from electra.config import to_dict
from electra.huggingface import exported_files
from electra.huggingface.safetensors import read_safetensors
from huggingface.checks import assert_computes, assert_encoder_and_head, loaded
from huggingface.released import tensors_of


@pytest.mark.parametrize("tokens", ["sentencepiece", "wordpiece"])
@pytest.mark.parametrize(
    "kind, changes",
    [
        ("electra", {}),
        ("electra", {"embedding_size": 24, "generator_hidden_size": 24}),
        ("mlm", {"embedding_size": 24}),
        ("mlm", {}),
    ],
)
def test_what_was_exported_comes_back_bitwise(saved, tmp_path, done, kind, changes, tokens):
    ours, folder = saved(kind, tokens, **changes), tmp_path / "new" / "exported"
    done("export", ours, folder)
    files = {
        "config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
        "tokenizer.model",
    }
    files |= {"vocab.txt"} if tokens == "wordpiece" else set()
    assert {path.name for path in folder.iterdir()} == files | (
        {"generator"} if kind == "electra" else set()
    )
    folders = [folder] + ([folder / "generator"] if kind == "electra" else [])
    if kind == "electra":
        assert {path.name for path in (folder / "generator").iterdir()} == files
    as_bert = (
        ["--objective", "mlm"] if (kind, changes) == ("mlm", {}) else []
    )  # which is in the form of a generator
    done("import", *folders, "--out", tmp_path / "back.pt", *as_bert)
    (before, _), (after, _) = loaded(ours), loaded(tmp_path / "back.pt")
    assert list(after.model) == list(before.model)
    assert all(torch.equal(after.model[name], value) for name, value in before.model.items())
    assert after.tokenizer.to_bytes() == before.tokenizer.to_bytes()
    assert after.kind == before.kind
    old, new = to_dict(before.model_config), to_dict(after.model_config)
    read = [name for name in old if kind == "electra" or "generator" not in name]
    assert [new[name] for name in read] == [old[name] for name in read]


@pytest.mark.parametrize(
    "kind, changes, network",
    [
        ("mlm", {"embedding_size": 24}, "bert"),
        ("mlm", {}, "generator"),
        ("electra", {}, "discriminator"),
        ("electra", {}, "generator"),
    ],
)
def test_exported_tensors_compute_what_the_model_computes(
    saved, tmp_path, done, kind, changes, network
):
    ours, folder = saved(kind, **changes), tmp_path / "exported"
    said = done("export", ours, folder)
    folder = folder / "generator" if (kind, network) == ("electra", "generator") else folder
    name = {
        "bert": "BertForMaskedLM",
        "generator": "ElectraForMaskedLM",
        "discriminator": "ElectraForPreTraining",
    }[network]
    assert json.loads((folder / "config.json").read_text())["architectures"] == [name]
    assert_computes(ours, network, tensors_of(folder), 2)
    assert ("add_pooling_layer=False" in said) == (network == "bert")
    assert ("as ELECTRA's masked LM" in said) == ((kind, network) == ("mlm", "generator"))


@pytest.mark.parametrize(
    "changes, why",
    [
        ({"objective": "electra"}, "reads the mean of the tokens"),
        ({"objective": "mlm"}, "reads the mean of the tokens"),
        ({"objective": "mlm", "embedding_size": 24}, "reads the mean of the tokens"),
        (
            {"pooling": "cls", "hidden_size": 4, "num_heads": 2},
            "has 3 labels, more than half of the hidden size of 4",
        ),
    ],
)
def test_a_head_that_transformers_lacks_has_a_file_of_its_own(saved, tmp_path, done, changes, why):
    pooling = changes.get("pooling", "mean")
    ours = saved("classifier", labels=("bad", "so, so", "güt"), **changes)
    folder = tmp_path / "exported"
    said = done("export", ours, folder)
    (line,) = (line for line in said.splitlines() if why in line)
    assert "head.safetensors" in line and "--onnx" in line
    bare = "BertModel" if changes.get("embedding_size") == 24 else "ElectraModel"
    assert json.loads((folder / "config.json").read_text())["architectures"] == [bare]
    assert ("add_pooling_layer=False" in said) == (
        bare == "BertModel"
    ) and "labels: bad, so, so, güt" in said
    assert_encoder_and_head(ours, folder, pooling)


def test_an_exported_regression_answers_in_the_unit_of_its_labels(saved, tmp_path, done):
    path = saved("classifier", labels=("one",), name="r.pt")
    checkpoint = load_checkpoint(path, ("classifier",))
    save_checkpoint(path, replace(checkpoint, labels=(), scale=5.0))
    assert "a regression" in done("export", path, tmp_path / "exported")
    head = read_safetensors(tmp_path / "exported" / "head.safetensors")
    for name in ("weight", "bias"):
        assert torch.equal(head[name], 5 * checkpoint.model[f"head.out.{name}"])


def test_checkpoints_that_cannot_be_read_are_refused(saved, tmp_path, refused):
    good, target = saved(), tmp_path / "exported"
    refused("No such file", "export", tmp_path / "nowhere.pt", target)
    data = bytearray(good.read_bytes())
    changed = data[:5_000] + b"\xff\x00" + data[5_002:]
    for name, content in (("cut.pt", data[:-100]), ("empty.pt", b""), ("changed.pt", changed)):
        (tmp_path / name).write_bytes(content)
        refused(tmp_path / name, "export", tmp_path / name, target)
    refused(tmp_path, "export", tmp_path, target)
    refused("DIR", "export", good)


@pytest.mark.parametrize("where", ["write_safetensors", "write_tokenizer", "export_config"])
def test_an_export_that_fails_leaves_nothing(saved, tmp_path, refused, monkeypatch, where):
    path, real, calls = saved(), getattr(exported_files, where), []

    def fail_the_second_time(*arguments, **more):
        calls.append(arguments)
        if len(calls) == 2:
            raise OSError("no space left")
        return real(*arguments, **more)

    monkeypatch.setattr(exported_files, where, fail_the_second_time)
    refused("no space left", "export", path, tmp_path / "exported")
    assert len(calls) == 2
