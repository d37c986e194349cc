"""The command that a program shows at its end works as it is shown, with every kind of model."""

import io
import json
import shlex
from dataclasses import replace

import pytest
from conftest import SHAPE, exit_code
from inference.conftest import program as predict
from inference.test_vectors import program as embed

from electra.checkpoint.checkpoint import PRETRAINED, make_checkpoint
from electra.checkpoint.next_command import next_command
from electra.checkpoint.storage import save_checkpoint
from electra.config import FinetuneConfig, PretrainConfig
from electra.model.build import build
from electra.tasks.task import Task, TaskData
from electra.training.kinds import KINDS

LABELS = ("O", "B-X", "I-X")


def run_shown(command, monkeypatch, capsys):
    """Run a command of this project as a shell would; returns the object that it prints."""
    words = shlex.split(command)
    if words[0] == "echo":
        assert words[2] == "|"
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(words[1].encode() + b"\n")))
        words = words[3:]
    assert words[0] == "python"
    main = {"scripts/predict.py": predict.main, "scripts/embed.py": embed.main}[words[1]]
    capsys.readouterr()
    assert exit_code(main, words[2:]) == 0
    return json.loads(capsys.readouterr().out.splitlines()[0])


@pytest.mark.parametrize(
    "kind, pairs",
    [
        *((kind, False) for kind in KINDS if kind != "vectors"),
        *((kind, True) for kind in ("classes", "regression", "labels", "vectors")),
    ],
)
def test_after_finetune(kind, pairs, tokenizer, tmp_path, monkeypatch, capsys):
    data = TaskData(Task("mine", kind=kind), LABELS, [], [], None)
    model = KINDS[kind].make_model(replace(SHAPE, vocab_size=tokenizer.vocab_size), data)
    checkpoint = make_checkpoint(model, tokenizer, FinetuneConfig(max_len=32, truncate="head"))
    facts = {"labels": () if kind in ("regression", "spans", "vectors") else LABELS}
    facts |= {"pairs": pairs, "scale": 5.0 if kind == "regression" else None}
    path = tmp_path / "my run" / "ckpt.pt"
    path.parent.mkdir()
    save_checkpoint(path, replace(checkpoint, **facts))

    answer = run_shown(next_command(path, checkpoint.kind, pairs), monkeypatch, capsys)
    assert {
        "classes": "probabilities",
        "regression": "value",
        "labels": "probabilities",
        "tags": "entities",
        "spans": "answers",
        "vectors": "vector",
    }[kind] in answer
    assert ("text_b" in answer) == (pairs and kind != "vectors")


@pytest.mark.parametrize("kind", PRETRAINED)
def test_after_train(kind, tokenizer, tmp_path, monkeypatch, capsys):
    config = replace(SHAPE, objective=kind, vocab_size=tokenizer.vocab_size)
    model = build(config, mask_prob=0.15)
    path = tmp_path / "ckpt.pt"
    save_checkpoint(path, make_checkpoint(model, tokenizer, PretrainConfig(seq_len=32)))
    assert "text" in run_shown(next_command(path, kind), monkeypatch, capsys)
