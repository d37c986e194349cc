"""Fine-tuning on pairs of texts: whole runs as a user types them, and their parts by hand."""

import importlib.util
import io
import json
import random
import re
import shlex
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from conftest import exit_code
from inference.conftest import program as predict
from inference.test_vectors import program as embed

import finetune
from electra.checkpoint.storage import load_checkpoint
from electra.config import preset_model_config
from electra.data.batch import Padding
from electra.data.examples import Encoded
from electra.evaluation.compared_results import read_result
from electra.evaluation.significance import compare
from electra.evaluation.vector_scoring import partner_ranks, shared_words
from electra.model.embedder import Embedder
from electra.tasks.csv_task import CsvSettings
from electra.tasks.load import load_task
from electra.tasks.task_file import load_task_file

ROOT = Path(__file__).resolve().parent.parent
_spec = importlib.util.spec_from_file_location("convert", ROOT / "scripts" / "convert.py")
convert = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(convert)

COLOURS = ("red", "green", "blue", "moon", "river", "sun", "rain", "letter")


def write_pairs(folder, scored):
    """Texts that belong together where they have the same first word."""
    draw = random.Random(0)
    for name, count in (("train", 128), ("dev", 32), ("test", 8)):
        rows = ["one\ttwo" + "\tscore" * scored]
        for i in range(count):
            first = COLOURS[i % 8]
            second = draw.choice(COLOURS) if scored and i % 2 else first
            score = f"\t{4 if first == second else 0}" * scored
            rows.append(f"{first} and a {i % 7}\tthe {second} {i}{score}")
        (folder / f"{name}.tsv").write_text("\n".join(rows) + "\n", encoding="utf-8")


@pytest.fixture(scope="module")
def tuned(pretrained, tmp_path_factory):
    """tuned(scored) -> the run folder of a fine-tuning. Tests share it."""
    done = {}

    def run(scored):
        if scored not in done:
            folder = tmp_path_factory.mktemp("pairs")
            write_pairs(folder, scored)
            flags = ["--task", "pairs", "--data", folder, "--text-columns", "one,two"]
            flags += ["--init", pretrained() / "ckpt.pt", "--max-len", 16, "--amp", "off"]
            flags += ["--epochs", 4, "--lr", 2e-3, "--report"]
            done[scored] = folder / "out"
            assert exit_code(finetune.main, [*flags, "--out", done[scored]]) == 0
        return done[scored]

    return run


@pytest.mark.parametrize("scored", [True, False])
def test_it_learns_and_leaves_everything_behind(tuned, scored):
    folder = tuned(scored)
    result = json.loads((folder / "result.json").read_text(encoding="utf-8"))
    metrics = ["spearman", "pearson"] if scored else ["mrr", "recall_at_1"]
    assert (result["kind"], result["regression"]) == ("vectors", scored)
    assert [result["metric"], *result["also"]] == metrics
    # A rule that knows nothing has a Spearman of 0, or a mean reciprocal rank of 0.13.
    assert result["dev_mean"] > (0.6 if scored else 0.2), result["dev_mean"]
    assert result["test_mean"] is not None

    page = (folder / "report.html").read_text(encoding="utf-8")
    assert ("Prediction against gold" in page) == scored
    assert ("Partners not nearest" in page) == (not scored)

    side = read_result(folder / "result.json")
    found = compare(side, side, "dev", samples=100, seed=0)
    assert found.over_examples is not None and found.difference == 0.0 and found.ahead is None


def test_cosine_and_vectors_agree_and_say_what_was_learned(tuned, tmp_path, monkeypatch, capsys):
    ckpt = tuned(True) / "ckpt.pt"
    checkpoint = load_checkpoint(ckpt, ("embedder",))
    assert (checkpoint.model_config.pooling, checkpoint.pairs, checkpoint.scale) == (
        "mean",
        True,
        4,
    )
    assert {name.split(".")[0] for name in checkpoint.model} == {"embeddings", "encoder"}

    line = json.dumps({"text": "red and a 3", "text_b": "the red 5"}).encode()
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(line), encoding="utf-8"))
    capsys.readouterr()
    flags = ["--ckpt", ckpt, "--amp", "off"]
    assert exit_code(predict.main, [*flags, "--jsonl"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert list(answer) == ["text", "text_b", "cosine"] and answer["cosine"] > 0.5
    out = tmp_path / "v.npy"
    assert exit_code(embed.main, [*flags, "--out", out, "red and a 3", "the red 5"]) == 0
    first, second = np.load(out)
    assert np.linalg.norm(first) == pytest.approx(1, abs=1e-6)
    assert answer["cosine"] == pytest.approx(float(first @ second), abs=1e-5)

    capsys.readouterr()
    assert exit_code(predict.main, [*flags, "a single text"]) == 2
    said = capsys.readouterr().err
    assert "text 1: the checkpoint compares two texts" in said and said.count("\n") == 1


def test_the_exported_folder_describes_the_vectors(tuned, pretrained, tmp_path):
    made = [(tuned(False), []), (pretrained() / "ckpt.pt", ["--vectors", "cls"])]
    for i, (source, flags) in enumerate(made):
        source = source / "ckpt.pt" if source.is_dir() else source
        folder = tmp_path / str(i)
        assert exit_code(convert.main, ["export", source, folder, *flags]) == 0
        modules = json.loads((folder / "modules.json").read_text())
        names = ["Transformer", "Pooling", "Normalize"][: 2 if flags else 3]
        assert [one["type"].rsplit(".", 1)[1] for one in modules] == names
        assert all((folder / one["path"]).is_dir() for one in modules)
        pooling = json.loads((folder / "1_Pooling" / "config.json").read_text())
        on = [key for key, value in pooling.items() if value is True]
        assert on == [f"pooling_mode_{'cls_token' if flags else 'mean_tokens'}"]
        longest = json.loads((folder / "sentence_bert_config.json").read_text())["max_seq_length"]
        assert longest == (32 if flags else 16)
        assert (folder / "tokenizer.json").is_file() and (folder / "model.safetensors").is_file()


# --- parts ---


def pairs_of(ids, labels):
    return Encoded(ids, [[0] * len(one) for one in ids], labels, parts=np.full(len(labels), 2))


IDS = [[2, 7, 3], [2, 8, 9, 9, 3], [2, 5, 5, 3], [2, 8, 3], [2, 6, 3], [2, 8, 3]]


def test_a_row_has_both_texts_at_one_width():
    encoded = pairs_of(IDS, [1.0, 0.5, 0.0])
    assert encoded.lengths.tolist() == [5, 4, 3]
    batch = encoded.batch(np.array([2, 0]), Padding(2, 8))
    assert batch.input_ids.tolist() == [
        [[2, 6, 3, 0, 0, 0], [2, 8, 3, 0, 0, 0]],
        [[2, 7, 3, 0, 0, 0], [2, 8, 9, 9, 3, 0]],
    ]
    assert batch.labels.tolist() == [0.0, 1.0]
    texts = batch.take(slice(1, 2)).rows()
    assert texts.input_ids.tolist() == [[2, 7, 3, 0, 0, 0], [2, 8, 9, 9, 3, 0]]
    assert texts.attention_mask.sum(1).tolist() == [3, 5] and texts.labels is None


@pytest.mark.parametrize("tokens, sizes", [(64, [3]), (24, [2, 1]), (12, [1, 1, 1]), (4, [1] * 3)])
def test_the_tokens_of_a_step_count_both_texts(tokens, sizes):
    encoded = pairs_of(IDS, [1.0, 0.5, 0.0])
    assert [len(batch) for batch in encoded.batches(tokens, Padding(6, 6), None)] == sizes


@pytest.fixture(scope="module")
def model_config():
    return preset_model_config("tiny", "mlm", 40)


@pytest.mark.parametrize("scored", [True, False])
def test_the_loss_is_that_of_the_vectors_by_hand(model_config, scored):
    torch.manual_seed(0)
    model = Embedder(model_config, scored).eval()
    batch = pairs_of(IDS, [1.0, 0.5, 0.0]).batch(np.arange(3), Padding(8, 16))
    with torch.no_grad():
        found = model(batch, torch.Generator()).losses.item()
        vectors = F.normalize(model.vectors(batch.rows()), dim=-1)
        cosines = vectors[::2] @ vectors[1::2].T  # (3, 3)
    if scored:
        expected = (cosines.diagonal() - batch.labels).square().sum()
    else:
        # The second texts of the last two rows are the same: neither is wrong for the other.
        rows = (cosines[0], cosines[1, :2], cosines[2, ::2])
        own = (0, 1, 1)
        expected = sum(
            F.cross_entropy(20 * row, torch.tensor(i)) for row, i in zip(rows, own, strict=True)
        )
    assert found == pytest.approx(expected.item(), rel=1e-5)


def test_the_loss_of_scores_is_the_sum_of_the_ranks_shares(model_config):
    model = Embedder(model_config, scored=True).eval()
    batch = pairs_of(IDS, [1.0, 0.5, 0.0]).batch(np.arange(3), Padding(8, 16))
    with torch.no_grad():
        whole = model(batch, torch.Generator()).losses
        parts = [model(batch, torch.Generator(), rows).losses for rows in (slice(1), slice(1, 3))]
    torch.testing.assert_close(sum(parts), whole)


def test_ranks_are_among_different_partners_and_ties_share_them():
    first = np.array([[1, 0], [0, 1], [1, 0], [0, 1]], np.float32)
    second = np.array([[1, 0], [1, 0], [1, 0], [0.6, 0.8]], np.float32)
    # "a" twice, and "b" is as near as "a" to the first text.
    assert partner_ranks(first, second, ["a", "b", "a", "c"]).tolist() == [1.5, 2.5, 1.5, 1.0]
    assert partner_ranks(first * np.nan, second, ["a", "b", "a", "c"]).tolist() == [2.0] * 4


def test_words_in_common():
    assert shared_words("A red red moon", "a moon") == pytest.approx(2 / (6**0.5 * 2**0.5))
    assert shared_words("", "moon") == 0.0


# --- tables ---


def write_table(folder, name, text):
    (folder / name).write_text(text, encoding="utf-8")
    return folder / name


HEADS = [
    ("a\tb\tlabel", "label", 2.0),
    ("a\tb\tscore", "score", 2.0),
    ("a\tb\tother", "", None),
]


@pytest.mark.parametrize("head, label, scale", HEADS)
def test_the_table_says_what_is_learned(head, label, scale, tmp_path):
    rows = "".join(f'one "{i}\ttwo {i}\t{i % 3}\n' for i in range(20))
    path = write_table(tmp_path, "pairs.tsv", f"{head}\n{rows}")
    data = load_task("pairs", path, csv=CsvSettings(("a", "b")))
    assert (data.task.label, data.task.scale, data.task.scored) == (label, scale, bool(label))
    assert data.train[1].text_a == 'one "1'
    metric = "spearman" if label else "mrr"
    assert data.task.metric == metric

    words = 'name = "mine"\nkind = "vectors"\ntrain = "pairs.tsv"\ntext = ["a", "b"]\n'
    words += f'label = "{label}"\n' * bool(label)
    own = load_task_file(write_table(tmp_path, "mine.toml", words))
    assert own._replace(task=None, skipped=0) == data._replace(task=None, skipped=0)
    assert (own.task.metric, own.task.also) == (data.task.metric, data.task.also)


def test_the_files_of_sts_b_are_read_as_they_are(tmp_path):
    folder = tmp_path / "STS-B"
    folder.mkdir()
    head = "index\tgenre\tsentence1\tsentence2"
    for name in ("train", "dev"):
        rows = "".join(f'{i}\tnews\ta "quote {i}\tb\t{i % 6}.000\n' for i in range(6))
        write_table(folder, f"{name}.tsv", f"{head}\tscore\n{rows}")
    write_table(folder, "test.tsv", f"{head}\n0\tnews\ta\tb\n")
    data = load_task("pairs", folder)
    assert (data.task.scale, len(data.train), len(data.test)) == (5.0, 6, 1)
    assert data.train[0].text_a == 'a "quote 0' and np.isnan(data.test[0].label)


@pytest.mark.parametrize(
    "flags, match",
    [
        (["--text-columns", "a"], "needs the two of a pair"),
        (["--label-column", "cost"], "no column 'cost'"),
        (["--text-columns", "a,c"], "no column 'c'"),
        (["--freeze-epochs", 1], "--freeze-epochs is for a head"),
        (["--class-weights", "balanced"], "--class-weights is for classes"),
        (["--batch-tokens", 128], "does not hold one pair"),
        (["--label-separator", "|"], "no labels to part"),
    ],
)
def test_what_does_not_go_with_pairs_is_refused(flags, match, pretrained, tmp_path, capsys):
    rows = "".join(f"one {i}\ttwo\t{i}\n" for i in range(12))
    path = write_table(tmp_path, "pairs.tsv", f"a\tb\tscore\n{rows}")
    start = ["--task", "pairs", "--data", path, "--text-columns", "a,b"]
    start += ["--init", pretrained() / "ckpt.pt", "--max-len", 64 + 8 * ("128" in map(str, flags))]
    assert exit_code(finetune.main, [*start, *flags, "--out", tmp_path / "out"]) == 2
    said = capsys.readouterr().err
    assert match in said and said.count("\n") == 1, said
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "lines, match",
    [
        ('label = "score"\nmetric = "mrr"', "with a column of scores"),
        ('metric = "spearman"', "without a column of scores"),
        ('labels = ["x", "y"]', "has pairs, not labels"),
    ],
)
def test_a_task_file_of_vectors_is_checked(lines, match, tmp_path):
    path = write_table(
        tmp_path,
        "mine.toml",
        f'name = "mine"\nkind = "vectors"\ntrain = "t.tsv"\ntext = ["a", "b"]\n{lines}\n',
    )
    with pytest.raises(ValueError, match=match):
        load_task_file(path)


# --- the page ---

PAGE = (ROOT / "docs" / "vectors.md").read_text(encoding="utf-8")
PAGE = PAGE.partition("## Compared with others")[0]  # what follows needs real weights
COMMANDS = [
    shlex.split(re.sub(r"\\\n *", "", line))
    for block in re.findall(r"(?:^    .*\n)+", PAGE, re.MULTILINE)
    for line in re.findall(r"^    (python (?:.*\\\n)*.*)", block, re.MULTILINE)
]


def test_the_commands_of_the_page_run(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").symlink_to(ROOT / "data")
    mains = {"finetune.py": finetune.main, "scripts/embed.py": embed.main}
    mains["scripts/convert.py"] = convert.main
    for python, script, *flags in COMMANDS:
        assert python == "python"
        more = ["--epochs", 1, "--amp", "off"] if script == "finetune.py" else []
        assert exit_code(mains[script], [*flags, *more]) == 0, (script, flags)
    assert len(np.load("runs/vectors.npy")) > 10
    assert (tmp_path / "runs" / "pairs" / "exported" / "modules.json").is_file()
