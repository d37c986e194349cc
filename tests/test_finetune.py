"""finetune.py as a user runs it: results, predictions, seeds, collapse, and what it refuses."""

import csv
import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from conftest import exit_code

import finetune as program
from electra.checkpoint.checkpoint import PRETRAINED
from electra.checkpoint.next_command import next_command
from electra.checkpoint.storage import load_checkpoint
from electra.config import FinetuneConfig, Origin, resolve_finetuning
from electra.data import token_cache
from electra.data.examples import MOST_WINDOWS
from electra.inference.labels import label_texts
from electra.inference.predictor import load_predictor
from electra.inference.texts import Record
from electra.training import finetuning
from electra.training.finetuning import fill_in, read_task
from electra.training.kinds import KINDS

ROOT = Path(__file__).resolve().parent.parent
SAMPLE = ROOT / "data" / "sample"
COLOURS = ("red", "green", "blue")


@pytest.fixture(autouse=True)
def own_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def short_run(init, out, /, **changes):
    """The command line of a short run on the sample's sst2; None leaves a setting out."""
    settings = {
        "task": "sst2",
        "data": SAMPLE / "sst2",
        "init": init,
        "epochs": 0.2,
        "max_len": 16,
        "out": out,
        **changes,
    }
    return [
        part
        for name, value in settings.items()
        if value is not None
        for part in ("--" + name.replace("_", "-"), *([] if value is True else [str(value)]))
    ]


@pytest.fixture
def flags(pretrained, tmp_path):
    """flags(**changes) -> the command line of a short run into tmp_path/out."""
    return lambda **changes: short_run(pretrained() / "ckpt.pt", tmp_path / "out", **changes)


@pytest.fixture(scope="module")
def tuned(pretrained, tmp_path_factory):
    """tuned(objective, **changes) -> folder of a short run.

    Equal calls share one folder; tests do not write to it.
    """
    root, done = tmp_path_factory.mktemp("tuned"), {}

    def run(objective="electra", **changes):
        key = (objective, *changes.items())
        if key not in done:
            done[key] = root / str(len(done))
            assert (
                finetune(*short_run(pretrained(objective) / "ckpt.pt", done[key], **changes)) == 0
            )
        return done[key]

    return run


REVIEWS = {"task": "imdb", "data": SAMPLE / "aclImdb", "epochs": 1, "max_len": 32}


def finetune(*arguments):
    return exit_code(program.main, arguments)


def refused(capsys, match, *arguments):
    """Assert exit code 2 and one line that says why."""
    capsys.readouterr()
    assert finetune(*arguments) == 2
    error = capsys.readouterr().err
    assert error.startswith("finetune.py: error: ") and error.count("\n") == 1, error
    assert match in error


def result_of(folder):
    return json.loads((folder / "result.json").read_text())


def predictions_of(folder):
    """The rows of predictions.tsv as dictionaries."""
    header, *lines = (folder / "predictions.tsv").read_text(encoding="utf-8").splitlines()
    return [dict(zip(header.split("\t"), line.split("\t"), strict=True)) for line in lines]


def accuracy(rows, split):
    mine = [row for row in rows if row["split"] == split]
    return sum(row["gold"] == row["prediction"] for row in mine) / len(mine)


def colour_table(path, count=120, label=lambda i: COLOURS[i % 3]):
    """Rows of two texts that reveal the label, and the label."""
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(("title", "body", "colour"))
        for i in range(count):
            writer.writerow(
                (f"{COLOURS[i % 3]} {COLOURS[i % 3]}", f"number {i}, {COLOURS[i % 3]}", label(i))
            )
    return path


def word_table(path, labels):
    """Rows of a word and the label."""
    rows = "".join(f"word {i},{label}\n" for i, label in enumerate(labels))
    path.write_text("text,label\n" + rows, encoding="utf-8")
    return path


def printed(capsys, *arguments):
    """What a run prints on standard output."""
    capsys.readouterr()
    assert finetune(*arguments) == 0
    return capsys.readouterr().out


# ---------------------------------------------------------------- what it says at the start


def test_the_classes_and_what_is_cut_are_said_at_the_start(flags, capsys):
    said = printed(capsys, *flags(max_len=8, train_examples=64))
    assert re.search(
        r"\n2 classes, with their training examples: negative \(\d\d\), positive \(\d\d\)\n", said
    )
    longer, share = re.search(
        r"\n(\d+) of 64 training texts are longer than --max-len 8: ([\d.]+)% of the tokens are "
        r"cut \(--truncate head\)\n",
        said,
    ).groups()
    assert 0 < int(longer) <= 64 and 0 < float(share) < 100


def test_a_test_set_of_minus_ones_is_predicted_and_not_scored(flags, tmp_path, capsys):
    folder = tmp_path / "tables"
    folder.mkdir()
    word_table(folder / "train.csv", ["1.0", "0"] * 10)
    word_table(folder / "validation.csv", ["1", "0.0"])
    word_table(folder / "test.csv", [-1] * 3)
    said = printed(capsys, *flags(task="csv", data=folder))
    assert "20 to learn from, 2 held out, 3 without labels to predict" in said
    assert "2 classes, with their training examples: 0 (10), 1.0 (10)" in said
    assert not re.search("^test: ", said, re.MULTILINE) and "longer than" not in said
    result, rows = result_of(tmp_path / "out"), predictions_of(tmp_path / "out")
    assert result["test_mean"] is None and result["labels"] == ["0", "1.0"]
    assert [row["gold"] for row in rows if row["split"] == "test"] == ["", "", ""]


def test_imdb_keeps_the_tail_unless_told_otherwise(tuned):
    assert result_of(tuned(**REVIEWS))["settings"]["truncate"] == "tail"
    assert result_of(tuned())["settings"]["truncate"] == "head"
    config = FinetuneConfig(task="imdb", truncate="head")
    assert resolve_finetuning(config, None, Origin(), "imdb", 3.0, 512, "tail").truncate == "head"


def test_windows_read_a_review_to_its_end(tuned):
    review = "a fine film " * 60
    records = [Record("here", review), Record("here", review + "which nobody will enjoy")]
    answers = {}
    for truncate, windows in (("head", 1), ("windows", MOST_WINDOWS)):
        predictor = load_predictor(tuned(**REVIEWS, truncate=truncate) / "ckpt.pt", amp="off")
        assert predictor.most_tokens == windows * REVIEWS["max_len"]
        answers[truncate] = list(label_texts(predictor, records))
    first, second = (answer["probabilities"] for answer in answers["head"])
    assert first == second
    first, second = (answer["probabilities"] for answer in answers["windows"])
    assert first != second


def test_windows_are_refused_where_nothing_reads_them(flags, tmp_path, capsys):
    pairs = flags(task="pairs", data=SAMPLE / "pairs", truncate="windows")
    refused(capsys, "--truncate windows is for labels of texts, not for vectors", *pairs)
    table = colour_table(tmp_path / "table.csv")
    two = {"task": "csv", "data": table, "text_columns": "title,body", "label_column": "colour"}
    refused(capsys, "--truncate windows is for single texts", *flags(**two, truncate="windows"))
    refused(capsys, "GLUE has tasks of pairs", *flags(task="glue", data=None, truncate="windows"))
    assert not (tmp_path / "out").exists()


def test_the_share_of_a_text_beyond_its_windows_is_said(flags, tmp_path, capsys):
    rows = "".join(f"{'word ' * 300},{i % 2}\n" for i in range(60))
    (tmp_path / "long.csv").write_text("text,label\n" + rows, encoding="utf-8")
    long = {"task": "csv", "data": tmp_path / "long.csv", "max_len": 8, "epochs": 0.01}
    said = printed(capsys, *flags(**long, truncate="windows"))
    [line] = [line for line in said.splitlines() if "of the tokens are cut" in line]
    assert f"longer than {MOST_WINDOWS} windows of --max-len 8" in line
    share = float(re.search(r"([\d.]+)% of the tokens", line)[1]) / 100
    tokenizer = load_checkpoint(tmp_path / "out", ("classifier",)).tokenizer
    tokens = len(tokenizer.encode_batch(["word " * 300])[0])
    kept = MOST_WINDOWS * 8  # [CLS] and [SEP] of each window included
    assert share == pytest.approx(1 - kept / (tokens + 2 * MOST_WINDOWS), abs=0.001)


def test_a_small_set_has_small_steps(flags, tmp_path):
    config = FinetuneConfig()
    data = read_task(FinetuneConfig(task="sst2", data=str(SAMPLE / "sst2")))
    assert fill_in(config, data, None).batch_rows == 32
    assert fill_in(FinetuneConfig(batch_rows=64), data, None).batch_rows == 64
    many = data._replace(train=data.train[:1] * 10_000)
    assert fill_in(config, many, None).batch_rows == 128
    assert fill_in(FinetuneConfig(size="small"), many, None).batch_rows == 32


def test_the_next_command_is_quoted_for_the_shell(flags, tmp_path, capsys):
    out = tmp_path / "my run; $HOME"
    said = printed(capsys, *flags(out=out))
    assert f"python scripts/predict.py --ckpt '{out}/ckpt.pt' \"a text to judge\"\n" in said


def test_the_next_command_after_a_task_of_pairs_has_a_pair(flags, tmp_path, capsys):
    rows = [f"one {i}\tother {i}\t{i % 2}\n" for i in range(20)]
    (tmp_path / "a.tsv").write_text("text\tmore\tlabel\n" + "".join(rows))
    pairs = {"task": "csv", "data": tmp_path / "a.tsv", "text_columns": "text,more"}
    said = printed(capsys, *flags(**pairs))
    assert f"  {next_command(tmp_path / 'out' / 'ckpt.pt', 'classifier', pairs=True)}\n" in said


def test_a_cache_that_cannot_be_written_is_noticed_before_the_work(
    flags, tmp_path, capsys, monkeypatch
):
    (tmp_path / "a file").write_text("")
    monkeypatch.setattr(token_cache, "SMALL_BYTES", 1)
    monkeypatch.setattr(finetuning, "train_tokenizer", None)  # it would be the work
    refused(capsys, "a file cannot be written", *flags(init="none", cache=tmp_path / "a file"))
    settings = {"task": "glue", "data": SAMPLE, "cache": tmp_path / "a file" / "cache"}
    refused(capsys, "cannot be written (Not a directory); name another", *flags(**settings))


def test_a_full_cache_is_read_where_it_cannot_be_written(tmp_path, tokenizer, monkeypatch):
    monkeypatch.setattr(token_cache, "SMALL_BYTES", 1)
    cached = token_cache.CachedTokenizer(tokenizer, tmp_path)
    ids = cached.encode_batch(["some text"])

    def refuse(cache):
        raise OSError(f"{cache} cannot be written")

    monkeypatch.setattr(token_cache, "check_writable", refuse)
    token_cache.check_usable(tmp_path)
    assert cached.encode_batch(["some text"]) == ids
    with pytest.raises(OSError, match="cannot be written"):
        cached.encode_batch(["other text"])


# ---------------------------------------------------------------- results


@pytest.mark.parametrize("objective", PRETRAINED)
def test_sst2_leaves_all_its_files(objective, tuned):
    out = tuned(objective)
    result, rows = result_of(out), predictions_of(out)
    assert {
        "task",
        "metric",
        "seeds",
        "dev_mean",
        "dev_sd",
        "test_mean",
        "test_sd",
        "seconds",
    } <= set(result)
    assert (result["task"], result["metric"], result["labels"]) == (
        "sst2",
        "accuracy",
        ["negative", "positive"],
    )
    assert (result["test_mean"], result["test_sd"]) == (None, None)  # GLUE's test set has no labels
    assert [seed["seed"] for seed in result["seeds"]] == [1] and result["seconds"] > 0
    assert result["dev_mean"] == result["seeds"][0]["dev"] == pytest.approx(accuracy(rows, "dev"))
    assert [row["split"] for row in rows] == ["dev"] * 140 + ["test"] * 94
    assert {row["gold"] for row in rows if row["split"] == "test"} == {""}
    for row in rows:
        p = {label: float(row[f"p({label})"]) for label in result["labels"]}
        assert sum(p.values()) == pytest.approx(1, abs=2e-4) and p[row["prediction"]] >= 0.5 - 1e-4
    assert all(
        value is not None
        for name, value in json.loads((out / "config.json").read_text()).items()
        if name in ("lr", "epochs", "max_len", "pooling", "layer_decay")
    )


def test_the_checkpoint_is_a_classifier_that_stands_alone(pretrained, tuned):
    checkpoint = load_checkpoint(tuned() / "ckpt.pt", ("classifier",))
    assert checkpoint.labels == ("negative", "positive") and checkpoint.training is None
    assert checkpoint.tokenizer.to_bytes() == (pretrained() / "tokenizer.model").read_bytes()


def test_same_seed_same_scores_and_another_seed_others(tuned, flags, tmp_path):
    runs = {"a": tuned(), "b": tmp_path / "b", "c": tmp_path / "c", "both": tuned(seeds="1,2")}
    for name, seeds in (("b", "1"), ("c", "2")):
        assert finetune(*flags(seeds=seeds, out=runs[name])) == 0
    table = lambda name: (runs[name] / "predictions.tsv").read_bytes()
    assert table("a") == table("b") != table("c")
    both, singles = (
        result_of(runs["both"]),
        [result_of(runs[name])["seeds"][0] for name in ("a", "c")],
    )
    assert both["seeds"] == singles
    first, second = singles[0]["dev"], singles[1]["dev"]
    assert both["dev_mean"] == pytest.approx((first + second) / 2)
    assert both["dev_sd"] == pytest.approx(abs(first - second) / 2**0.5)
    assert table("both") == table("a" if first >= second else "c")  # of the best seed


def test_fine_tuning_starts_from_the_checkpoint_and_changes_it(pretrained, tuned):
    before, after = encoders(pretrained() / "ckpt.pt", tuned() / "ckpt.pt")
    weights = [name for name in before if name.endswith("weight") and "norm" not in name]
    for name in weights:
        assert not torch.equal(before[name], after[name])
        assert torch.dist(before[name], after[name]) < 0.5 * torch.linalg.vector_norm(before[name])


def test_frozen_epochs_leave_the_encoder_alone(pretrained, flags, tmp_path, monkeypatch):
    fill_in = program.fill_in
    monkeypatch.setattr(program, "fill_in", lambda *args: replace(fill_in(*args), epochs=0.0))
    monkeypatch.setattr(program.FinetuneConfig, "__post_init__", lambda self: None)  # allows 0
    assert finetune(*flags(freeze_epochs=0.2)) == 0
    before, after = encoders(pretrained() / "ckpt.pt", tmp_path / "out" / "ckpt.pt")
    assert [name for name in before if not torch.equal(before[name], after[name])] == []


def test_frozen_epochs_come_before_the_others(flags, tmp_path):
    assert (
        finetune(
            *flags(
                freeze_epochs=0.1,
                epochs=0.1,
                data=learnable(tmp_path),
                task="csv",
                label_column="colour",
                text_columns="title,body",
            )
        )
        == 0
    )
    lines = [
        json.loads(line) for line in (tmp_path / "out" / "metrics.jsonl").read_text().splitlines()
    ]
    assert [line["frozen"] for line in lines[:2]] == [True, False]


def learnable(folder):
    return colour_table(folder / "colours.csv")


def encoders(pretrained, classifier):
    """Embeddings and encoder of both models, by the classifier's names."""
    old = load_checkpoint(pretrained, PRETRAINED).model
    new = load_checkpoint(classifier, ("classifier",)).model
    old = {name.replace("discriminator.", "encoder."): value for name, value in old.items()}
    names = [name for name in new if not name.startswith("head.")]
    assert set(names) <= set(old)
    return {name: old[name] for name in names}, {name: new[name] for name in names}


def test_pairs_with_three_labels_are_learned(flags, tmp_path):
    assert (
        finetune(
            *flags(
                task="csv",
                data=learnable(tmp_path),
                text_columns="title,body",
                label_column="colour",
                epochs=8,
                lr=2e-3,
                max_len=32,
            )
        )
        == 0
    )
    result, rows = result_of(tmp_path / "out"), predictions_of(tmp_path / "out")
    assert result["labels"] == ["blue", "green", "red"] and result["dev_mean"] > 0.9
    assert not result["seeds"][0]["collapsed"] and not result["seeds"][0]["retried"]
    assert all(" / number" in row["text"] for row in rows)


def test_text_columns_may_stand_apart(flags, tmp_path):
    assert (
        finetune(
            *flags(task="csv", data=learnable(tmp_path), label_column="colour"),
            "--text-columns",
            "title",
            "body",
        )
        == 0
    )


def test_the_most_wrong_come_first(tuned):
    for split in ("dev", "test"):
        right = [
            float(row[f"p({row['gold']})"])
            for row in predictions_of(tuned(**REVIEWS))
            if row["split"] == split
        ]
        assert right == sorted(right)


def test_predictions_of_every_seed_are_kept_in_the_order_of_the_file(tuned):
    out = tuned(seeds="1,2")
    result = result_of(out)
    table = [
        line.split("\t")
        for line in (out / "dev_predictions.tsv").read_text(encoding="utf-8").splitlines()
    ]
    assert table[0] == ["index", "gold", "seed 1", "seed 2"] and [row[0] for row in table[1:]] == [
        *map(str, range(140))
    ]
    words = {"0": "negative", "1": "positive"}
    rows = (SAMPLE / "sst2" / "dev.tsv").read_text(encoding="utf-8").splitlines()[1:]
    assert [row[1] for row in table[1:]] == [words[row.split("\t")[1]] for row in rows]
    for seed in result["seeds"]:
        column = table[0].index(f"seed {seed['seed']}")
        assert seed["dev"] == pytest.approx(sum(row[1] == row[column] for row in table[1:]) / 140)
    assert {
        row[1]
        for row in (
            line.split("\t") for line in (out / "test_predictions.tsv").read_text().splitlines()[1:]
        )
    } == {""}


def test_confusion_and_calibration_are_those_of_the_best_seed(tuned):
    result = result_of(tuned(seeds="1,2"))
    rows = [row for row in predictions_of(tuned(seeds="1,2")) if row["split"] == "dev"]
    for i, gold in enumerate(result["labels"]):
        assert result["confusion"][i] == [
            sum(row["gold"] == gold and row["prediction"] == label for row in rows)
            for label in result["labels"]
        ]
    assert sum(one["count"] for one in result["calibration"]) == len(rows)
    best = next(seed for seed in result["seeds"] if seed["seed"] == result["best_seed"])
    assert (
        best["dev"]
        == result["dev_best"]
        == sum(result["confusion"][i][i] for i in range(2)) / len(rows)
    )
    error = sum(
        one["count"] * abs(one["confidence"] - one["accuracy"])
        for one in result["calibration"]
        if one["count"]
    )
    assert best["ece"] == pytest.approx(error / len(rows))


def test_values_are_learned_by_regression(flags, tmp_path):
    colour_table(tmp_path / "train.csv", label=lambda i: (10.0, 30.0, 20.0)[i % 3])
    (tmp_path / "mine.toml").write_text(
        'name = "weights"\ntrain = "train.csv"\ntext = ["title", "body"]\n'
        'label = "colour"\nregression = true\nmetric = "pearson"\n'
    )
    assert (
        finetune(
            *flags(task=None, data=None, task_file="mine.toml", epochs=10, lr=4e-3, max_len=32)
        )
        == 0
    )
    result = result_of(tmp_path / "out")
    assert result["regression"] and result["metric"] == "pearson" and result["dev_mean"] > 0.9
    values = [float(row["prediction"]) for row in predictions_of(tmp_path / "out")]
    # They are in the table's unit; the model's own outputs are between 0 and 1.
    assert 2 < min(values) < 17 and 23 < max(values) < 40
    checkpoint = load_checkpoint(tmp_path / "out" / "ckpt.pt", ("classifier",))
    assert checkpoint.scale == 30.0 and checkpoint.pairs and checkpoint.labels == ()


def test_class_weights_move_the_predictions(flags, tmp_path):
    table = colour_table(tmp_path / "rare.csv", label=lambda i: "rare" if i % 12 == 0 else "common")
    share = {}
    for name, weights in (("none", None), ("balanced", "balanced"), ("most", "1,40")):
        assert (
            finetune(
                *flags(
                    task="csv",
                    data=table,
                    text_columns="body",
                    label_column="colour",
                    epochs=2,
                    max_len=32,
                    class_weights=weights,
                    out=tmp_path / name,
                )
            )
            == 0
        )
        rows = predictions_of(tmp_path / name)
        share[name] = sum(float(row["p(rare)"]) for row in rows) / len(rows)
    assert share["none"] < share["balanced"] < share["most"]


def test_imdb_is_scored_on_its_test_set(tuned):
    result, rows = result_of(tuned(**REVIEWS)), predictions_of(tuned(**REVIEWS))
    assert sum(row["split"] == "test" for row in rows) == 20
    assert (
        result["test_mean"] == result["seeds"][0]["test"] == pytest.approx(accuracy(rows, "test"))
    )
    assert result["test_sd"] == 0 and not any("<br" in row["text"] for row in rows)


def test_init_takes_a_run_folder_and_says_which_defaults_follow(
    pretrained, flags, tmp_path, capsys
):
    capsys.readouterr()
    assert finetune(*flags(init=pretrained(), out=None, layer_decay=0.9)) == 0
    said = "defaults: lr 0.0004, pooling mean, for a briefly trained ELECTRA with 0.0 M parameters"
    assert said in capsys.readouterr().out
    folder = tmp_path / "runs" / "sst2-electra"
    assert result_of(folder)["settings"]["init"] == str(pretrained() / "ckpt.pt")
    assert load_checkpoint(folder, ("classifier",)).origin == (False, 10 * 512)


def test_random_weights_are_the_control(pretrained, flags, tmp_path):
    for name, tokenizer in (
        ("a", pretrained() / "ckpt.pt"),
        ("b", pretrained() / "tokenizer.model"),
    ):
        assert (
            finetune(
                *flags(
                    init="none",
                    size="tiny",
                    tokenizer=tokenizer,
                    train_examples=40,
                    out=tmp_path / name,
                )
            )
            == 0
        )
    assert (tmp_path / "a" / "predictions.tsv").read_bytes() == (
        tmp_path / "b" / "predictions.tsv"
    ).read_bytes()
    # Trains a tokenizer.
    assert finetune(*flags(init="none", vocab_size=333, train_examples=40, out=None)) == 0
    classifier = load_checkpoint(tmp_path / "runs" / "sst2-random" / "ckpt.pt", ("classifier",))
    assert classifier.model_config.vocab_size == classifier.tokenizer.vocab_size == 333
    assert result_of(tmp_path / "runs" / "sst2-random")["train_examples"] == 40


def test_train_examples_are_a_part_of_the_training_set(flags, tmp_path, monkeypatch):
    seen = []
    load_task = finetuning.load_task
    monkeypatch.setattr(
        finetuning, "load_task", lambda *a, **k: seen.append(load_task(*a, **k)) or seen[-1]
    )
    classes = KINDS["classes"]
    encode, encoded = classes.encode, []
    monkeypatch.setattr(
        classes, "encode", lambda *args: encoded.append(args[1]) or encode(*args), raising=False
    )
    assert finetune(*flags(train_examples=16)) == 0
    assert (
        result_of(tmp_path / "out")["train_examples"]
        == len(encoded[0])
        == len(set(encoded[0]))
        == 16
    )
    assert set(encoded[0]) <= set(seen[0].train) and encoded[1] == seen[0].dev


def test_a_collapsed_run_is_named_tried_again_and_flagged(flags, tmp_path, capsys):
    assert finetune(*flags(lr=1e30, epochs=0.3)) == 0
    said = capsys.readouterr().out
    seed = result_of(tmp_path / "out")["seeds"][0]
    assert seed["collapsed"] and seed["retried"]
    assert said.count("Trying once more at 0.25 of the learning rate") == 1
    again = "seed 1: the model has learned nothing again: it gives every text the same class."
    assert again in said
    assert "do not read these scores as a model's" in said.splitlines()[-1]
    assert len({row["prediction"] for row in predictions_of(tmp_path / "out")}) == 1


def test_the_log_holds_one_run(tuned, flags, tmp_path):
    log = tmp_path / "out" / "metrics.jsonl"
    shutil.copytree(tuned(), tmp_path / "out")
    first = log.read_text()
    assert finetune(*flags(force=True)) == 0
    assert log.read_text() == first


def test_interrupted_it_leaves_no_result(flags, tmp_path, monkeypatch, capsys):
    def interrupt(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(program, "train_step", interrupt)
    assert finetune(*flags()) == 130
    assert "no result was written" in capsys.readouterr().err
    assert (
        not (tmp_path / "out" / "result.json").exists()
        and not (tmp_path / "out" / "ckpt.pt").exists()
    )


# ---------------------------------------------------------------- mistakes


def test_an_existing_folder_is_replaced_with_force_alone(tuned, flags, tmp_path, capsys):
    shutil.copytree(tuned(), tmp_path / "out")
    before = (tmp_path / "out" / "result.json").read_bytes()
    refused(capsys, "already there; replace it with --force", *flags(seeds="5"))
    assert (tmp_path / "out" / "result.json").read_bytes() == before
    assert finetune(*flags(seeds="5", force=True)) == 0
    assert [seed["seed"] for seed in result_of(tmp_path / "out")["seeds"]] == [5]


def test_a_run_of_train_is_not_replaced(pretrained, flags, capsys):
    refused(capsys, "already there", *flags(out=pretrained()))


def test_bad_checkpoints_are_refused_in_one_line(pretrained, tuned, flags, tmp_path, capsys):
    refused(capsys, "kind 'classifier'; electra or mlm is needed", *flags(init=tuned() / "ckpt.pt"))
    refused(capsys, "No such file", *flags(init=tmp_path / "nowhere.pt"))
    good, bad = (pretrained() / "ckpt.pt").read_bytes(), tmp_path / "bad.pt"
    for content, match in (
        (good[:-1], "cut off"),
        (good[:5000] + b"?" + good[5001:], "is damaged"),
    ):
        bad.write_bytes(content)
        refused(capsys, match, *flags(init=bad))
        refused(capsys, match, *flags(init="none", tokenizer=bad))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "changes, match",
    (
        ({"max_len": 1024}, "beyond the model's 512 positions"),
        ({"max_len": 4}, "--max-len must be 8 or more"),
        ({"max_len": 128, "batch_tokens": 64}, "does not hold one text"),
        ({"epochs": 0}, "--epochs must be above 0"),
        ({"lr": -1}, "--lr must be above 0"),
        ({"data": SAMPLE / "aclImdb"}, "train.tsv"),
        ({"task": "imdb"}, "missing train/neg"),
        ({"data": None}, "data/SST-2"),
        ({"data": "nowhere"}, "nowhere"),
        ({"data": SAMPLE / "wiki.raw"}, "needs a folder"),
        ({"task": "csv", "data": None}, "--task csv needs --data"),
        ({"task": "mnli"}, "train.tsv"),
        ({"text_columns": "title"}, "columns of its own"),
        ({"class_weights": "1,2,3"}, "2 numbers above 0"),
        ({"class_weights": "1,-2"}, "2 numbers above 0"),
        ({"class_weights": "heavy"}, "neither balanced nor numbers"),
        ({"task_file": "x.toml"}, "leave out --task"),
        ({"task": None, "data": None, "task_file": "x.toml"}, "x.toml"),
        ({"submission": True}, "is for --task glue"),
        ({"train_examples": 100_000}, "--train-examples 100000 is not from 1 to 696"),
        ({"train_examples": 0}, "--train-examples 0"),
        ({"size": "small"}, "--size comes with the checkpoint"),
        ({"tokenizer": "x.model"}, "--tokenizer comes with the checkpoint"),
        ({"vocab_size": 500}, "--vocab-size comes with the checkpoint"),
        (
            {"init": "none", "tokenizer": "x.model", "vocab_size": 500},
            "--tokenizer has a vocabulary; leave out --vocab-size",
        ),
        ({"init": "none", "vocab_size": 262}, "is too small for this text: its characters"),
        ({"seeds": "one"}, "'one'"),
        ({"seeds": "-1"}, "--seeds"),
        ({"truncate": "middle"}, "middle"),
        ({"device": "cuda:99"}, "not on this machine"),
        ({"amp": "fp16", "device": "cpu"}, "--amp fp16 needs a GPU"),
        ({"warmup": -1}, "--warmup"),
        ({"dropout": 1.5}, "--dropout"),
        ({"freeze_epochs": -1}, "--freeze-epochs"),
    ),
    ids=lambda value: str(value)[:40],
)
def test_bad_settings_are_refused_in_one_line(changes, match, flags, tmp_path, capsys):
    refused(capsys, match, *flags(**changes))
    assert not (tmp_path / "out").exists()


def test_bad_tables_are_refused_in_one_line(flags, tmp_path, capsys):
    table = lambda data, **more: flags(
        **{
            "task": "csv",
            "data": data,
            "text_columns": "title,body",
            "label_column": "colour",
            **more,
        }
    )
    whole = learnable(tmp_path)
    refused(capsys, "no column 'stars'", *table(whole, label_column="stars"))
    refused(capsys, "no column 'text'", *table(whole, text_columns="text"))
    refused(capsys, "name one column, or two", *table(whole, text_columns="title,body,colour"))
    refused(capsys, "cannot be both", *table(whole, text_columns="title,colour"))
    refused(
        capsys, "at least two", *table(colour_table(tmp_path / "one.csv", label=lambda i: "red"))
    )
    refused(capsys, "cannot be held out", *table(colour_table(tmp_path / "few.csv", count=9)))
    (tmp_path / "parts").mkdir()
    colour_table(tmp_path / "parts" / "train.csv")
    refused(capsys, "no dev (or valid, validation, val) file", *table(tmp_path / "parts"))
    colour_table(tmp_path / "parts" / "dev.csv", label=lambda i: "mauve")
    refused(capsys, "label 'mauve' is not one of", *table(tmp_path / "parts"))
    assert not (tmp_path / "out").exists()
