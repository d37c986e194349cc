"""Weights in several parts, and files of which only the weights are taken: what is refused."""

import json

import pytest
import torch

from electra.huggingface.safetensors import write_safetensors
from electra.huggingface.tensor_names import without_wrappers
from electra.huggingface.weight_files import read_weights
from huggingface.checks import assert_refused
from huggingface.released import tensors_of

pytestmark = pytest.mark.fast

INDEX = "model.safetensors.index.json"


@pytest.fixture
def in_parts(folder_of):
    """in_parts(**changes of the places) -> a folder with two parts; None leaves a tensor out."""

    def make(**changes):
        folder = folder_of("bert")
        tensors = tensors_of(folder)
        (folder / "model.safetensors").unlink()
        places = {name: f"part-{number % 2}" for number, name in enumerate(sorted(tensors))}
        for part in ("part-0", "part-1"):
            own = {name: tensors[name] for name in tensors if places[name] == part}
            write_safetensors(folder / part, own)
        places |= {name.replace("__", "."): place for name, place in changes.items()}
        (folder / INDEX).write_text(json.dumps({"weight_map": places}))
        return folder

    return make


@pytest.mark.parametrize(
    "place",
    [
        "../part-0",
        "/etc/hostname",
        "sub/part-0",
        "..",
        ".",
        "part-0/",
        "\0",
        "",
        "x" * 5_000,
        "\ud800",
    ],
)
def test_a_part_outside_the_folder_is_refused(in_parts, tmp_path, refused, place):
    folder = in_parts(more=place)
    (folder / "sub").mkdir()
    (folder / "sub" / "part-0").write_bytes((folder / "part-0").read_bytes())
    (tmp_path / "part-0").write_bytes((folder / "part-0").read_bytes())
    refused(folder / INDEX, "import", folder, "--out", tmp_path / "x.pt")


def test_an_absent_part_and_an_absent_tensor_are_named(in_parts, tmp_path, refused):
    out = ("--out", tmp_path / "x.pt")
    folder = in_parts(bert__lost="part-1")
    refused([folder / "part-1", "lacks tensors", INDEX, ": bert.lost"], "import", folder, *out)
    (folder / "part-0").unlink()
    refused([folder / INDEX, f"{folder} lacks: part-0"], "import", folder, *out)


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{}", '{"weight_map": {}}', '{"weight_map": [1]}', '{"weight_map": {"a": 1}}'],
)
def test_an_index_that_is_none_is_refused(in_parts, tmp_path, refused, text):
    folder = in_parts()
    (folder / INDEX).write_text(text)
    refused(folder / INDEX, "import", folder, "--out", tmp_path / "x.pt")


def test_a_part_counts_for_what_the_index_takes_from_it(in_parts):
    folder = in_parts()
    name = "bert.embeddings.LayerNorm.bias"
    places = json.loads((folder / INDEX).read_text())["weight_map"]
    other = {"part-0": "part-1", "part-1": "part-0"}[places[name]]
    sound = read_weights(folder)
    twice = {key: sound[key] for key in places if places[key] == other}
    write_safetensors(folder / other, {**twice, name: torch.zeros(3), "unlisted": torch.ones(2)})
    found = read_weights(folder)
    assert torch.equal(found[name], sound[name])
    assert found.keys() - sound.keys() == {"unlisted"}


def test_a_whole_file_goes_before_parts(in_parts):
    folder = in_parts()
    write_safetensors(folder / "model.safetensors", {"whole": torch.ones(1)})
    assert set(read_weights(folder)) == {"whole"}


def test_training_entries_beside_the_weights_are_empty_tensors(tmp_path):
    path = tmp_path / "pytorch_model.bin"
    torch.save({"a": torch.ones(2), "optimizer": {"lr": 1}, "step": torch.ones(3)}, path)
    found = read_weights(tmp_path)
    assert {name: value.numel() for name, value in found.items()} == {
        "a": 2,
        "optimizer": 0,
        "step": 3,
    }
    torch.save({"a": torch.ones(2), "optimiser": {"lr": 1}}, path)
    assert_refused(lambda: read_weights(tmp_path), path, "not a dictionary of tensors")


def test_two_different_tensors_with_one_name_are_refused():
    one, two = torch.ones(2), torch.zeros(2)
    assert_refused(
        lambda: without_wrappers({"a.b": one, "module.a.b": two}, "folder"),
        *("folder", "two different tensors are called a.b", "module.a.b"),
    )
    assert list(without_wrappers({"a.b": one, "module.a.b": one.clone()}, "folder")) == ["a.b"]
    assert list(without_wrappers({"module": one}, "folder")) == ["module"]


@pytest.mark.parametrize("name", ["bert.crf.transitions", "embeddings_project.weight", "poolers.a"])
def test_a_tensor_that_is_not_known_is_refused_beside_those_that_are_left_out(
    folder_of, tmp_path, refused, name
):
    folder = folder_of("discriminator")
    known = {"classifier.weight": torch.ones(2, 24), "electra.pooler.dense.bias": torch.ones(24)}
    write_safetensors(
        folder / "model.safetensors", {**tensors_of(folder), **known, name: torch.ones(1)}
    )
    parts = [f"no place for: {name}"]
    if name.startswith("embeddings_project"):  # this network has one: the name stands there twice
        parts = ["two different tensors are called embeddings_project.weight"]
    refused(parts, "import", folder, "--out", tmp_path / "x.pt")


def test_another_network_s_class_is_named_where_model_type_is_absent(folder_of, tmp_path, refused):
    for name in ("RobertaModel", "BertGenerationEncoder", "DistilBertModel"):
        folder = folder_of("bert", name, model_type=None, architectures=[name])
        refused([folder, f"model_type is '{name}'"], "import", folder, "--out", tmp_path / "x.pt")
