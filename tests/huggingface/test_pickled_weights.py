"""pytorch_model.bin: read without running anything in it, or refused by name."""

import os
import pickle
import random

import pytest
import torch

from electra.huggingface.weight_files import read_weights
from huggingface.checks import assert_computes


@pytest.mark.fast
@pytest.mark.parametrize("new_format", [True, False])
def test_pickled_weights_are_read(folder_of, tmp_path, done, new_format):
    folder = folder_of("bert", pickled=True)
    tensors = torch.load(folder / "pytorch_model.bin")
    torch.save(
        {name: torch.nn.Parameter(value) for name, value in tensors.items()},
        folder / "pytorch_model.bin",
        _use_new_zipfile_serialization=new_format,
    )
    done("import", folder, "--out", tmp_path / "x.pt")
    assert_computes(tmp_path / "x.pt", "bert", tensors, 2)


@pytest.mark.fast
def test_safetensors_go_before_pickled_weights(folder_of, tmp_path, done):
    folder = folder_of("bert")
    (folder / "pytorch_model.bin").write_bytes(b"never read")
    done("import", folder, "--out", tmp_path / "x.pt")


class Runs:
    """Pickled, it is a command for whoever unpickles it."""

    def __init__(self, target):
        self.target = target

    def __reduce__(self):
        return os.system, (f"touch {self.target}",)


@pytest.mark.fast
@pytest.mark.parametrize("how", ["zip", "legacy", "bare"])
def test_pickled_code_is_refused_and_not_run(folder_of, tmp_path, refused, how):
    folder = folder_of("bert", pickled=True)
    target, path = tmp_path / "it-ran", folder / "pytorch_model.bin"
    content = {**torch.load(path), "more": Runs(target)}
    if how == "bare":
        path.write_bytes(pickle.dumps(Runs(target), 2))
    else:
        torch.save(content, path, _use_new_zipfile_serialization=how == "zip")
    refused([path, "was not loaded"], "import", folder, "--out", tmp_path / "x.pt")
    assert not target.exists()
    pickle.loads(pickle.dumps(Runs(target)))  # the same object, unpickled by the rules of pickle
    assert target.exists()


@pytest.mark.fast
@pytest.mark.parametrize(
    "content",
    [
        [torch.ones(2)],
        torch.ones(2),
        {"a": 1},
        {"a": torch.ones(1), "b": None},
        {1: torch.ones(1)},
        {"state_dict": {"a": torch.ones(1)}},
    ],
)
def test_pickled_content_that_is_no_dictionary_of_tensors_is_refused(
    folder_of, tmp_path, refused, content
):
    folder = folder_of("bert", pickled=True)
    torch.save(content, folder / "pytorch_model.bin")
    refused(
        [folder / "pytorch_model.bin", "not a dictionary of tensors"],
        "import",
        folder,
        "--out",
        tmp_path / "x.pt",
    )


@pytest.mark.fast
@pytest.mark.parametrize("legacy", [True, False])
@pytest.mark.parametrize(
    "damage",
    [
        lambda data: b"",
        lambda data: data[:1],
        lambda data: data[:2],
        lambda data: b"PK\x03\x04",
        lambda data: b"weights" * 9,
        lambda data: data[: len(data) // 3],
        lambda data: data[:-40],
        lambda data: data[:40] + bytes(200) + data[240:],
    ],
)
def test_damaged_pickled_weights_are_refused(folder_of, tmp_path, refused, damage, legacy):
    folder = folder_of("bert", pickled=True)
    path = folder / "pytorch_model.bin"
    torch.save(torch.load(path), path, _use_new_zipfile_serialization=not legacy)
    path.write_bytes(damage(path.read_bytes()))
    refused(path, "import", folder, "--out", tmp_path / "x.pt")


@pytest.mark.filterwarnings("ignore::UserWarning")  # of torch, about odd protocols
@pytest.mark.parametrize("new_format", [True, False])
def test_damaged_pickled_bytes_give_tensors_or_a_refusal_by_name(tmp_path, new_format):
    path, rng, whole = tmp_path / "pytorch_model.bin", random.Random(0), 0
    torch.save(
        {"a": torch.ones(3, 2), "b.c": torch.zeros(2)},
        path,
        _use_new_zipfile_serialization=new_format,
    )
    good = path.read_bytes()
    assert set(read_weights(tmp_path)) == {"a", "b.c"}
    for _ in range(300):
        data = bytearray(good)
        if rng.random() < 0.3:
            del data[rng.randrange(1, len(data)) :]
        for _ in range(rng.randint(0, 3)):
            data[rng.randrange(len(data))] = rng.randrange(256)
        path.write_bytes(data)
        try:
            assert all(isinstance(value, torch.Tensor) for value in read_weights(tmp_path).values())
            whole += 1
        except ValueError as problem:
            assert str(path) in str(problem) and "\n" not in str(problem)
    assert 10 < whole < 250
