"""compare_models.py: equal compute, the bag-of-n-grams baseline, the replaced-token view, and a
whole comparison on the sample."""

import contextlib
import io
import json
import re
import subprocess
import sys
import types
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "scripts"))

import compare_models
import forked
from conftest import exit_code

import finetune
import train
from electra.checkpoint.storage import load_checkpoint, save_checkpoint
from electra.comparison import compare, run_stages
from electra.comparison.collect import BAG_OF_NGRAMS
from electra.comparison.compute import flops_per_token, steps_by_model
from electra.comparison.replaced_view import view_tokens
from electra.comparison.settings import (
    MODEL_NAMES,
    OBJECTIVE_OF,
    ComparisonConfig,
)
from electra.config import SIZES, preset_model_config
from electra.evaluation.bag_of_ngrams import (
    bag_of_ngrams_baseline,
    count_ngrams,
    fit_logistic_regression,
)
from electra.model.electra import Electra
from electra.tasks.task import Example

SHORT = (
    "--sample",
    "--steps",
    "6",
    "--post-steps",
    "3",
    "--phases",
    "32:1",
    "--batch-tokens",
    "512",
    "--max-len",
    "16",
    "--epochs",
    "0.05",
    "--freeze-epochs",
    "0.05",
)


def refused(capsys, match, *arguments):
    assert exit_code(compare_models.main, arguments) == 2
    error = capsys.readouterr().err
    assert re.search(match, error) and error.count("\n") == 1 and "Traceback" not in error


# ---------------------------------------------------------------- equal compute


def product_flops(embedding, hidden, layers, seq_len):
    """Of an encoder, forward and backward, per token: 2 for each weight of a matrix, and 4 T C in
    each layer for the attention. The backward pass costs twice the forward pass."""
    weights = layers * 12 * hidden**2 + (embedding * hidden if embedding != hidden else 0)
    return 3 * (2 * weights + layers * 4 * seq_len * hidden)


def test_flops_are_those_of_the_matrix_products(shape):
    T = 64
    bert = shape(
        objective="mlm", embedding_size=32, hidden_size=64, num_heads=4, intermediate_size=256
    )
    chosen = round(T * 0.15) / T  # the counted batch has no special tokens
    head = 3 * 2 * chosen * (64 * 32 + 32 * bert.vocab_size)
    assert flops_per_token(bert, T) == pytest.approx(product_flops(32, 64, 2, T) + head, rel=0.02)

    electra = shape(
        objective="electra",
        embedding_size=32,
        hidden_size=64,
        num_heads=4,
        intermediate_size=256,
        generator_hidden_size=32,
        generator_num_heads=2,
        generator_intermediate_size=128,
    )
    generator = product_flops(32, 32, 2, T) + 3 * 2 * chosen * (32 * 32 + 32 * electra.vocab_size)
    detector = product_flops(32, 64, 2, T) + 3 * 2 * (64 * 64 + 64)
    assert flops_per_token(electra, T) == pytest.approx(generator + detector, rel=0.02)


def test_equal_steps_cost_equal_flops():
    steps = steps_by_model(ComparisonConfig(size="tiny", phases="64:1"), 1000)
    cost = {
        name: steps[name] * flops_per_token(preset_model_config("tiny", objective, 4000), 64)
        for name, objective in OBJECTIVE_OF.items()
    }
    assert (
        steps["electra"] == 1000 and steps["bert"] > 1000
    )  # an ELECTRA of a shape is a BERT and more
    assert cost["bert"] == pytest.approx(cost["electra"], rel=1e-3)


# ---------------------------------------------------------------- the bag-of-n-grams baseline


def test_a_bag_holds_words_of_two_letters_and_their_pairs():
    assert count_ngrams("It is it, a Café is!") == {
        "it": 2,
        "is": 2,
        "café": 1,
        "it is": 1,
        "is it": 1,
        "it café": 1,
        "café is": 1,
    }


def test_logistic_regression_ends_where_its_gradient_is_zero():
    rng = np.random.default_rng(0)
    dense = torch.tensor(rng.normal(size=(60, 7)), dtype=torch.float32) * torch.tensor(
        rng.random((60, 7)) < 0.5
    )
    labels = torch.tensor(rng.integers(0, 2, 60), dtype=torch.float32)
    for c in (0.1, 1.0, 10.0):
        weights = (
            fit_logistic_regression(dense.to_sparse_csr(), labels, c).double().requires_grad_()
        )
        logits = dense.double() @ weights[:-1] + weights[-1]
        loss = torch.nn.functional.binary_cross_entropy_with_logits(
            logits, labels.double(), reduction="sum"
        )
        (weights[:-1].square().sum() / 2 + c * loss).backward()
        assert weights.grad.abs().max() < 2e-3 * c * len(labels)


def test_a_bag_learns_what_words_tell_and_order_tells():
    def examples(texts):
        return [Example(text, None, label) for text, label in texts]

    words = [(f"the film number {i} is {'good' if i % 2 else 'bad'}", i % 2) for i in range(40)]
    assert bag_of_ngrams_baseline(
        examples(words[:20]), examples(words[20:30]), examples(words[30:])
    ) == (1.0, 1.0)
    order = [
        (f"film {i} " + ("not good but long" if i % 2 else "good but not long"), i % 2)
        for i in range(40)
    ]
    assert bag_of_ngrams_baseline(examples(order[:20]), examples(order[20:30]), None) == (
        1.0,
        None,
    )


# ---------------------------------------------------------------- the replaced-token view


def test_the_view_shows_what_the_generator_put_and_where(tokenizer, shape, sample_path):
    torch.manual_seed(0)
    model = Electra(shape(vocab_size=tokenizer.vocab_size)).eval()
    text = (
        "The river runs from the northern hills to the sea, and most of the villages along it are "
        "very old."
    )
    ids = tokenizer.encode_batch([text])[0]
    tokens = view_tokens(model, tokenizer, ids, 3)
    assert tokens == view_tokens(model, tokenizer, ids, 3) != view_tokens(model, tokenizer, ids, 4)
    assert len(tokens) == len(ids)
    assert "".join(
        " " * (t["original"] == t["shown"] and t["space"]) + t["original"] for t in tokens
    ).replace(" ", "") == text.lower().replace(" ", "")
    assert sum(t["masked"] for t in tokens) == round(0.15 * len(ids))
    assert all(t["masked"] for t in tokens if t["replaced"])
    assert any(t["replaced"] for t in tokens) and all(0 <= t["p"] <= 1 for t in tokens)


# ---------------------------------------------------------------- the whole comparison


def in_this_process(command, **_):
    """Replaces subprocess.run: 14 interpreters that import torch take longer than their work."""
    program = {"train.py": train, "finetune.py": finetune}[Path(command[1]).name]
    return subprocess.CompletedProcess(command, exit_code(program.main, command[2:]))


@pytest.fixture(scope="module")
def narrow_tiny():
    """Size tiny has a quarter of its width, so that a step costs the same share of a BERT's."""
    narrow = {
        "embedding_size": 16,
        "hidden_size": 64,
        "intermediate_size": 256,
        "generator_hidden_size": 16,
        "generator_intermediate_size": 64,
    }
    with pytest.MonkeyPatch.context() as patch:
        tiny = replace(SIZES["tiny"], model=SIZES["tiny"].model | narrow)
        patch.setitem(SIZES, "tiny", tiny)
        yield


@pytest.fixture(scope="module")
def compared(narrow_tiny, tmp_path_factory):
    """(folder, output) of a whole, short comparison on the sample, in this process.

    The test of resuming, below, runs stages as processes.
    """
    out, said = tmp_path_factory.mktemp("comparison") / "runs", io.StringIO()
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(said):
        patch.chdir(ROOT)
        patch.setattr(run_stages, "subprocess", types.SimpleNamespace(run=in_this_process))
        assert (
            compare_models.main([*SHORT, "--out", str(out), "--cache", str(out.parent / "cache")])
            == 0
        )
    return out, said.getvalue()


def test_all_rows_are_there_with_their_scores(compared):
    out, printed = compared
    results = json.loads((out / "results.json").read_text(encoding="utf-8"))
    assert [row["name"] for row in results["rows"]] == [*MODEL_NAMES.values(), BAG_OF_NGRAMS]
    assert [row["kind"] for row in results["rows"]] == ["model"] * 4 + ["reference"] * 2
    for row in results["rows"]:
        assert set(row["scores"]) == {"imdb", "sst2"}
        assert all(0 <= score <= 1 for scores in row["scores"].values() for score in scores["dev"])
        assert (
            row["scores"]["imdb"]["test"]
            and row["scores"]["sst2"]["test"] is None
            or row["name"] == BAG_OF_NGRAMS
        )
    for name in MODEL_NAMES:
        result = json.loads((out / f"imdb-{name}" / "result.json").read_text())
        row = next(row for row in results["rows"] if row["name"] == MODEL_NAMES[name])
        assert row["scores"]["imdb"]["test"] == [seed["test"] for seed in result["seeds"]]
        assert (
            row["scores"]["imdb"]["head_dev"]
            == [seed["dev_head_only"] for seed in result["seeds"]]
            != [None]
        )
    table = (out / "table.md").read_text(encoding="utf-8")
    assert table.strip() in printed and table.count("\n") == 2 + len(results["rows"])


def test_post_pre_training_begins_at_the_checkpoint_and_its_cost_is_equal(compared):
    runs = {
        run["name"]: run
        for run in json.loads((compared[0] / "results.json").read_text())["pretraining"]
    }
    for name in ("BERT", "ELECTRA"):
        post = runs[f"{name}, post-pre-trained"]
        assert post["init"] == name and post["curve"][0]["step"] == post["curve"][0]["tokens"] == 0
        assert runs[name]["init"] is None
    for stage in ("", ", post-pre-trained"):
        # whole steps, and batches that are not all equally full
        assert runs[f"BERT{stage}"]["flops"] == pytest.approx(
            runs[f"ELECTRA{stage}"]["flops"], rel=0.12
        )


def test_the_page_has_every_row_and_a_view_of_both_electras(compared):
    page = (compared[0] / "report.html").read_text(encoding="utf-8")
    for name in (*MODEL_NAMES.values(), BAG_OF_NGRAMS):
        assert name in page
    views = json.loads((compared[0] / "results.json").read_text())["replaced_view"]
    assert [view["model"] for view in views] == ["ELECTRA"] * 4 + ["ELECTRA, post-pre-trained"] * 4


def test_what_is_done_is_skipped_and_what_was_broken_off_goes_on(compared, capfd, monkeypatch):
    monkeypatch.setattr(run_stages, "subprocess", forked)
    out, _ = compared
    checkpoint = load_checkpoint(out / "electra-post" / "ckpt.pt", ("electra",))
    checkpoint.settings["steps"] += 2
    assert run_stages.is_finished(out / "electra-post")
    save_checkpoint(out / "electra-post" / "ckpt.pt", checkpoint)
    assert not run_stages.is_finished(out / "electra-post")  # as if it had been stopped
    (out / "electra-post.done").unlink()
    (out / "imdb-electra-post.done").unlink()
    assert (
        compare_models.main(
            [*SHORT, "--out", str(out), "--cache", str(out.parent / "cache"), "--jobs", "2"]
        )
        == 0
    )
    printed = capfd.readouterr().out
    assert printed.count("done before") == 4 + 10 - 2
    assert re.search(r"\[electra-post\] python train.py --out \S+ --resume\n", printed)
    finished = load_checkpoint(out / "electra-post" / "ckpt.pt", ("electra",))
    assert finished.training.step == checkpoint.settings["steps"]


def test_a_folder_of_another_command_is_refused(compared, capsys):
    refused(
        capsys,
        "was made by another command",
        *SHORT,
        "--batch-tokens",
        "1024",
        "--out",
        compared[0],
        "--cache",
        compared[0].parent / "cache",
    )


def test_two_checkpoints_are_compared_without_pre_training(compared, monkeypatch, tmp_path):
    commands = []
    monkeypatch.setattr(run_stages, "run_stage", lambda stage, _: commands.append(stage.text))
    monkeypatch.setattr(compare, "pretraining_result", lambda stage: 1 / 0)
    electra, bert = compared[0] / "electra" / "ckpt.pt", compared[0] / "bert" / "ckpt.pt"
    with pytest.raises(ZeroDivisionError):  # after the stages
        compare_models.main(
            [
                "--imdb",
                str(ROOT / "data/sample/aclImdb"),
                "--electra",
                str(electra),
                "--bert",
                str(bert),
                "--post-minutes",
                "3",
                "--out",
                str(tmp_path / "out"),
            ]
        )
    assert len(commands) == 2 + 5 and all("--init" in command for command in commands)
    assert re.search(f"--init {bert} .*--minutes 3 ", commands[0])
    assert sum("train/unsup" in command for command in commands) == 2


# ---------------------------------------------------------------- mistakes


@pytest.mark.parametrize(
    "arguments, match",
    (
        ((), "--imdb is needed"),
        (("--imdb", "nowhere", "--corpus", "x"), "nowhere"),
        (("--imdb", "IMDB"), "give --corpus"),
        (("--imdb", "IMDB", "--corpus", "x", "--electra", "y"), "give --corpus"),
        (("--imdb", "IMDB", "--electra", "y"), "go together"),
        (("--imdb", "IMDB", "--electra", "no.pt", "--bert", "no.pt"), r"no\.pt"),
        (("--imdb", "IMDB", "--corpus", "x", "--minutes", "1", "--steps", "2"), "give one"),
        (("--imdb", "IMDB", "--corpus", "x", "--minutes", "1", "--post-steps", "2"), "goes with"),
        (("--imdb", "IMDB", "--corpus", "x", "--minutes", "0"), "above 0"),
        (("--imdb", "IMDB", "--corpus", "x", "--seeds", "1;2"), "1,2,3"),
        (("--imdb", "IMDB", "--sst2", "nowhere", "--corpus", "x"), "nowhere"),
    ),
)
def test_a_mistake_gets_one_line(arguments, match, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    refused(
        capsys, match, *(str(ROOT / "data/sample/aclImdb") if a == "IMDB" else a for a in arguments)
    )
    assert list(tmp_path.iterdir()) == []


def test_imdb_without_its_unsupervised_reviews_is_refused(capsys, tmp_path):
    copy = tmp_path / "aclImdb"
    for part in ("train/pos", "train/neg", "test/pos", "test/neg"):
        (copy / part).mkdir(parents=True)
        for path in (ROOT / "data/sample/aclImdb" / part).iterdir():
            (copy / part / path.name).write_text(path.read_text(encoding="utf-8"), encoding="utf-8")
    refused(capsys, "train/unsup", "--imdb", copy, "--corpus", "x", "--out", tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_a_stage_that_fails_is_named(tmp_path, capsys, monkeypatch, jobs):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(run_stages, "subprocess", forked)
    code = compare_models.main(
        [
            "--imdb",
            str(ROOT / "data/sample/aclImdb"),
            "--corpus",
            str(tmp_path / "nothing.txt"),
            "--minutes",
            "1",
            "--out",
            str(tmp_path / "out"),
            "--jobs",
            jobs,
        ]
    )
    said = capsys.readouterr().err
    assert code == 2 and re.search(r"stage (bert|electra) failed", said) and said.count("\n") == 1
    if jobs == "2":
        name = re.search(r"output is in (\S+)", said)[1]
        assert "nothing.txt" in Path(name).read_text()
    assert not (tmp_path / "out" / "bert.done").exists()
