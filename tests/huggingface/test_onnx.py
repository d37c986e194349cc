"""`convert.py export --onnx`."""

import logging
import sys
import warnings

import numpy as np
import pytest
import torch

from electra.data.wordpiece import WordPieceTokenizer
from electra.huggingface import exporting, onnx
from huggingface.checks import computed, loaded
from huggingface.released import random_batch


@pytest.mark.parametrize("missing", ["onnx", "onnxruntime", "onnxscript"])
def test_onnx_without_its_packages_is_refused(saved, tmp_path, refused, monkeypatch, missing):
    for name in ("onnx", "onnxruntime", "onnxscript"):
        monkeypatch.setitem(sys.modules, name, None if name == missing else sys)
    refused(
        [f"needs the package {missing}", "pip install '.[onnx]'"],
        "export",
        saved(),
        tmp_path / "exported",
        "--onnx",
    )


def test_an_onnx_file_that_differs_is_not_kept(saved, tmp_path, refused, monkeypatch):
    def differs(path, model):
        path.write_bytes(b"half")
        raise ValueError("the ONNX file differs from the model by 0.1")

    monkeypatch.setattr(exporting, "check_onnx_packages", lambda: None)
    monkeypatch.setattr(exporting, "write_onnx", differs)
    refused("differs from the model", "export", saved(), tmp_path / "exported", "--onnx")


def test_an_onnx_file_of_few_positions_is_written(saved, tmp_path, vocabulary, done):
    pytest.importorskip("onnxruntime"), pytest.importorskip("onnxscript")
    ours = saved("classifier", WordPieceTokenizer(vocabulary[:200]), num_layers=1, max_positions=12)
    assert "model.onnx" in done("export", ours, tmp_path / "exported", "--onnx")


@torch.no_grad()
@pytest.mark.parametrize("kind", ["tagger", "reader"])
def test_an_onnx_file_of_a_model_of_tokens_has_finite_logits(saved, kind):
    batch, (_, model) = random_batch(200), loaded(saved(kind))
    inputs = (batch.input_ids, batch.attention_mask.long(), batch.token_type_ids)
    logits = onnx.Logits(model)(*inputs)
    real = batch.attention_mask
    assert torch.equal(logits[real], model.logits(batch)[real])
    assert logits.isfinite().all() and not real.all()


@pytest.mark.parametrize(
    "kind, changes",
    [
        ("electra", {}),
        ("mlm", {"embedding_size": 24}),
        ("classifier", {"pooling": "mean"}),
        ("classifier", {"pooling": "cls"}),
    ],
)
def test_an_onnx_file_answers_as_the_model(saved, tmp_path, done, vocabulary, kind, changes):
    onnxruntime, _ = pytest.importorskip("onnxruntime"), pytest.importorskip("onnxscript")
    tokens = WordPieceTokenizer(vocabulary[:200])
    ours, folder = (
        saved(kind, tokens, num_layers=1, generator_num_layers=1, **changes),
        tmp_path / "exported",
    )
    filters, level = list(warnings.filters), logging.getLogger("torch.onnx").level
    assert "model.onnx: input_ids, attention_mask, token_type_ids -> logits" in done(
        "export", ours, folder, "--onnx"
    )
    assert {path.name for path in folder.glob("*.onnx*")} == {"model.onnx"}
    session = onnxruntime.InferenceSession(
        str(folder / "model.onnx"), providers=["CPUExecutionProvider"]
    )
    assert [value.name for value in session.get_inputs()] == [
        "input_ids",
        "attention_mask",
        "token_type_ids",
    ]
    assert (
        warnings.filters == filters and logging.getLogger("torch.onnx").level == level
    )  # as they were
    _, model = loaded(ours)
    for lengths, width in (((37, 11, 2, 50, 50), 50), ((64,), 64), ((2,), 2)):
        batch = random_batch(200, lengths, width)
        said = session.run(
            None,
            {
                "input_ids": batch.input_ids.numpy(),
                "token_type_ids": batch.token_type_ids.numpy(),
                "attention_mask": batch.attention_mask.numpy().astype(np.int64),
            },
        )[0]
        network = {"electra": "discriminator", "mlm": "bert"}.get(kind, kind)
        np.testing.assert_allclose(
            said, computed(model, network, batch)[1].numpy(), rtol=0, atol=1e-4
        )
