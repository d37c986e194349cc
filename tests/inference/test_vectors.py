"""Vectors of texts, and embed.py as a user runs it."""

import importlib.util
import io
import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import exit_code

from electra.checkpoint.checkpoint import load_encoder
from electra.checkpoint.storage import load_checkpoint
from electra.data.batch import Padding, collate
from electra.inference import vectors
from electra.inference.texts import records_of
from electra.inference.vectors import load_text_encoder, npy_header
from electra.model.embedder import Embedder

SCRIPT = Path(__file__).resolve().parent.parent.parent / "scripts" / "embed.py"
_spec = importlib.util.spec_from_file_location("embed", SCRIPT)
program = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(program)

TEXTS = ["the moon was number 3", "", "the river", "the moon was number 4 and the river", "rain"]


def answers(capsys):
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def given(monkeypatch, text):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text), encoding="utf-8"))


@torch.no_grad()
def by_hand(path, text, pooling, normalise):
    """The vector of one text, alone and without padding."""
    checkpoint = load_checkpoint(path, ("electra", "mlm", "classifier"))
    model = Embedder(checkpoint.model_config)
    load_encoder(model, checkpoint)
    special, ids = checkpoint.tokenizer.special, checkpoint.tokenizer.encode_batch([text])[0]
    ids = [special.cls, *ids, special.sep]
    batch = collate([ids], [[0] * len(ids)], None, Padding(1, 64))
    hidden = model.eval().hidden(batch)[0].numpy()
    vector = hidden[0] if pooling == "cls" else hidden.mean(0)
    return vector / np.linalg.norm(vector) if normalise else vector


@pytest.mark.parametrize("kind", ["electra", "mlm", "classifier"])
@pytest.mark.parametrize("pooling, normalise", [("mean", False), ("cls", True)])
def test_vectors_are_those_of_each_text_alone(
    kind, pooling, normalise, pretrained, classifier, tmp_path, monkeypatch, capsys
):
    path = classifier if kind == "classifier" else pretrained(kind) / "ckpt.pt"
    (tmp_path / "texts.txt").write_text("\n".join(TEXTS) + "\n", encoding="utf-8")
    monkeypatch.setattr(vectors, "WINDOW", 3)
    flags = ["--ckpt", path, "--file", tmp_path / "texts.txt", "--out", tmp_path / "deep" / "v.npy"]
    flags += ["--pooling", pooling, *(["--normalise"] if normalise else [])]
    assert exit_code(program.main, flags) == 0
    said = capsys.readouterr()
    found = np.load(tmp_path / "deep" / "v.npy")
    assert (found.dtype, found.flags.c_contiguous) == (np.float32, True)
    expected = np.stack([by_hand(path, text, pooling, normalise) for text in TEXTS])
    np.testing.assert_allclose(found, expected, atol=2e-5)
    assert said.out.endswith(f"v.npy: 5 vectors of {found.shape[1]} numbers\n") and said.err == ""
    assert [one.name for one in (tmp_path / "deep").iterdir()] == ["v.npy"]


def test_json_lines_have_the_numbers_of_the_file(electra, tmp_path, monkeypatch, capsys):
    lines = "".join(json.dumps({"text": text}) + "\n" for text in TEXTS).encode()
    given(monkeypatch, lines)
    assert exit_code(program.main, ["--ckpt", electra, "--jsonl"]) == 0
    found = answers(capsys)
    assert [one["text"] for one in found] == TEXTS
    assert exit_code(program.main, ["--ckpt", electra, "--out", tmp_path / "v.npy", *TEXTS]) == 0
    stored = np.load(tmp_path / "v.npy")
    assert (np.array([one["vector"] for one in found], np.float32) == stored).all()


def test_longer_texts_are_cut_and_counted(electra, monkeypatch, capsys):
    given(monkeypatch, b"moon " * 40 + b"\nmoon\n" + b"moon " * 30 + b"\n")
    assert exit_code(program.main, ["--ckpt", electra, "--max-len", 8]) == 0
    said = capsys.readouterr()
    assert said.err == "2 of 3 texts are longer than 8 tokens and were cut (--max-len)\n"
    long, short, longer = (json.loads(line)["vector"] for line in said.out.splitlines())
    assert long == longer != short


@pytest.mark.parametrize("rows", [0, 7, 10**12])
def test_the_header_is_numpys_and_has_one_length(rows, tmp_path):
    data = npy_header(rows, 384)
    assert len(data) == 128
    file = io.BytesIO(data)
    assert np.lib.format.read_magic(file) == (1, 0)
    assert np.lib.format.read_array_header_1_0(file) == ((rows, 384), False, np.dtype("<f4"))
    assert file.read() == b""


def refused(capsys, match, *flags):
    capsys.readouterr()
    assert exit_code(program.main, flags) == 2
    said = capsys.readouterr().err
    assert match in said and said.startswith("embed.py: error: ") and said.count("\n") == 1, said


def test_what_cannot_be_done_is_refused(electra, tmp_path, monkeypatch, capsys):
    there = tmp_path / "v.npy"
    there.write_bytes(b"precious")
    (tmp_path / "file").write_text("x")
    (tmp_path / "pair.jsonl").write_text('{"text": "a", "text_b": "b"}\n')
    (tmp_path / "none.jsonl").write_text('{"text": "a"}\n{"txt": "a"}\n')
    (tmp_path / "empty").write_text("")
    start = ["--ckpt", electra]
    refused(capsys, "--force replaces it", *start, "--out", there, "a")
    refused(capsys, "is a folder", *start, "--out", tmp_path, "a")
    refused(capsys, "file", *start, "--out", tmp_path / "file" / "v.npy", "a")
    refused(capsys, "pair.jsonl:1: a vector is of one", *start, "--file", tmp_path / "pair.jsonl")
    refused(
        capsys,
        f"{tmp_path / 'empty'} is empty",
        *start,
        "--file",
        tmp_path / "empty",
        "--out",
        there,
        "--force",
    )
    new = tmp_path / "folder" / "below" / "new.npy"
    refused(
        capsys, 'none.jsonl:2: no "text"', *start, "--file", tmp_path / "none.jsonl", "--out", new
    )
    refused(capsys, "--max-len 4 is outside", *start, "--max-len", 4, "a")
    refused(capsys, "not both", *start, "--file", there, "a")
    assert there.read_bytes() == b"precious" and not (tmp_path / "folder").exists()
    assert not [one for one in tmp_path.iterdir() if one.name.startswith(".")]


def test_a_stop_leaves_the_earlier_file(electra, tmp_path, monkeypatch, capsys):
    there = tmp_path / "v.npy"
    there.write_bytes(b"precious")

    def texts():
        yield from records[:3]
        raise KeyboardInterrupt

    records = list(records_of(TEXTS))
    monkeypatch.setattr(vectors, "WINDOW", 2)
    monkeypatch.setattr(program, "given_records", lambda *given: texts())
    flags = ["--ckpt", electra, "--out", there, "--force"]
    assert exit_code(program.main, flags) == 130
    assert [one.name for one in tmp_path.iterdir()] == ["v.npy"]
    assert there.read_bytes() == b"precious"


def test_windows_are_few_texts_at_a_time(electra, monkeypatch):
    """No more of the stream is read than the window at hand."""
    read = []
    monkeypatch.setattr(vectors, "WINDOW", 2)
    encoder = load_text_encoder(electra)
    stream = vectors.EmbeddedTexts(
        encoder, (read.append(1) or record for record in records_of(TEXTS))
    )
    for number, window in enumerate(stream, 1):
        assert len(read) == min(2 * number, 5) and len(window.vectors) <= 2
