"""Fixtures of imports and exports: folders, checkpoints, and convert.py as a user runs it."""

import importlib.util
import json
import re
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from electra.checkpoint.checkpoint import FINE_TUNED, make_checkpoint
from electra.checkpoint.storage import save_checkpoint
from electra.config import FinetuneConfig, PretrainConfig
from electra.data.wordpiece import WordPieceTokenizer
from electra.huggingface.safetensors import write_safetensors
from huggingface.checks import make_model
from huggingface.released import released

ROOT = Path(__file__).resolve().parent.parent.parent
SAMPLE = ROOT / "data" / "sample"


def load_script(name):
    spec = importlib.util.spec_from_file_location(name, ROOT / "scripts" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


program = load_script("convert")


def convert(*arguments):
    """The exit code."""
    try:
        return program.main([str(argument) for argument in arguments])
    except SystemExit as stop:
        return stop.code


@pytest.fixture(autouse=True)
def own_folder(tmp_path_factory, monkeypatch):
    monkeypatch.chdir(tmp_path_factory.mktemp("cwd"))


@pytest.fixture
def done(capsys):
    """done(arguments …) -> what it prints. The exit code must be 0 and standard error empty."""

    def run(*arguments):
        capsys.readouterr()
        code = convert(*arguments)
        said = capsys.readouterr()
        assert (code, said.err) == (0, "")
        return said.out

    return run


@pytest.fixture
def refused(capsys, tmp_path):
    """refused(parts of the message, arguments …): exit code 2, one line, no file changed."""

    def listing():
        return {
            path: path.stat().st_mtime_ns if path.is_file() else None
            for path in tmp_path.rglob("*")
        }

    def check(parts, *arguments):
        capsys.readouterr()
        before = listing()
        code = convert(*arguments)
        said = capsys.readouterr()
        assert code == 2 and re.match(r"convert\.py( import| export)?: error: ", said.err), said.err
        assert said.err.count("\n") == 1, said.err
        assert said.out == "" and listing() == before
        for part in [parts] if isinstance(parts, (str, Path)) else parts:
            assert str(part) in said.err, said.err

    return check


@pytest.fixture(scope="session")
def vocabulary():
    """BERT's special tokens at BERT's ids, then characters, words and ends of the sample."""
    text = (SAMPLE / "wiki.raw").read_text(encoding="utf-8").lower()
    first = [f"[unused{i}]" for i in range(104)]
    first[0], first[100:] = "[PAD]", ["[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    words = Counter(re.findall(r"\w+", text))
    ends = Counter("##" + word[-size:] for word in words for size in (2, 3) if len(word) > size)
    characters = sorted(set(text) - set(" \n"))
    return [
        *first,
        *characters,
        *(f"##{c}" for c in characters),
        *(word for word, n in words.items() if n >= 10 and len(word) > 1),
        *(end for end, n in ends.items() if n >= 15),
    ]


@pytest.fixture
def folder_of(tmp_path, vocabulary):
    """folder_of(network, name, tensors, tokens, pickled, **changes of config.json) -> a folder."""

    def make(network, name=None, tensors=None, tokens=None, pickled=False, **changes):
        kind = "bert" if network == "bert" else "electra"
        values = {
            "model_type": kind,
            "vocab_size": len(vocabulary),
            "hidden_size": 24,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "intermediate_size": 40,
            "max_position_embeddings": 64,
            "hidden_act": "gelu",
            "hidden_dropout_prob": 0.1,
            "attention_probs_dropout_prob": 0.0,
        }
        values |= {"embedding_size": 16} if kind == "electra" else {}
        if network == "generator":
            values |= {"hidden_size": 12, "intermediate_size": 20, "num_attention_heads": 1}
        values |= changes
        folder = tmp_path / (name or network)
        folder.mkdir()
        (folder / "config.json").write_text(json.dumps(values))
        (folder / "vocab.txt").write_text(
            "".join(f"{token}\n" for token in tokens or vocabulary), encoding="utf-8"
        )
        tensors = released(network, values) if tensors is None else tensors
        if pickled:
            torch.save(tensors, folder / "pytorch_model.bin")
        else:
            write_safetensors(folder / "model.safetensors", tensors)
        return folder

    return make


@pytest.fixture
def tokenizers(tokenizer, vocabulary):
    return {
        "sentencepiece": tokenizer,
        "wordpiece": WordPieceTokenizer(vocabulary, strip_accents=False),
    }


@pytest.fixture
def saved(tmp_path, shape, tokenizers):
    """saved(kind, tokens, labels, parts, **changes of the sizes) -> a checkpoint of random weights.

    No two tensors are equal. `parts` are further ones of a fine-tuned checkpoint.
    """

    def make(
        kind="electra",
        tokens="wordpiece",
        labels=("bad", "so so", "good"),
        name="x.pt",
        parts=None,
        **changes,
    ):
        tokenizer = tokenizers[tokens] if isinstance(tokens, str) else tokens
        config = shape(
            **{
                "objective": "electra" if kind == "electra" else "mlm",
                "vocab_size": tokenizer.vocab_size,
                "special": tokenizer.special,
                "pooling": "mean",
                "dropout": 0.1,
                **changes,
            }
        )
        torch.manual_seed(1)
        model = make_model(kind, config, labels)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(0.1 * torch.randn_like(parameter))
        settings, more = PretrainConfig(), {}
        if kind in FINE_TUNED:
            more = {"labels": () if kind == "reader" else labels, **(parts or {})}
            settings = more.pop("settings", FinetuneConfig())
        checkpoint = replace(make_checkpoint(model, tokenizer, settings), **more)
        save_checkpoint(tmp_path / name, checkpoint)
        return tmp_path / name

    return make


@pytest.fixture(scope="session")
def transformers():
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HF_HUB_OFFLINE", "1")
        module = pytest.importorskip("transformers")
        module.logging.set_verbosity_error()
        module.logging.disable_progress_bar()
        yield module


@pytest.fixture
def theirs_in(tmp_path, vocabulary):
    """theirs_in(model, name, pickled) -> the folder that transformers wrote, with a vocabulary."""

    def make(model, name, pickled=False):
        folder = tmp_path / name
        model.save_pretrained(folder)
        if pickled:
            (folder / "model.safetensors").unlink()
            torch.save(model.state_dict(), folder / "pytorch_model.bin")
        (folder / "vocab.txt").write_text(
            "".join(f"{token}\n" for token in vocabulary), encoding="utf-8"
        )
        return folder

    return make
