"""Whole fine-tunings of each kind of task that is not one label a text, as a user runs them."""

import json
import random

import numpy as np
import pytest
from conftest import exit_code

import finetune
from electra.checkpoint.storage import load_checkpoint
from electra.evaluation.compared_results import read_result
from electra.evaluation.significance import compare
from electra.inference.predictor import load_predictor
from electra.inference.stream import answer_lines
from electra.inference.texts import records_of

NAMES = ("moon", "river", "sun", "rain")
COLOURS = ("red", "green", "blue")


def write_tags(folder):
    """Sentences in which colours are entities, of one word or two."""
    draw = random.Random(0)
    for name, count in (("train", 120), ("dev", 30), ("test", 10)):
        lines = []
        for _ in range(count):
            lines += [f"{draw.choice(NAMES)} O"]
            lines += [f"{draw.choice(COLOURS)} B-COL", "deep I-COL"][: draw.randint(1, 2)]
            lines += [f"{draw.choice(NAMES)} O", ""]
        (folder / f"{name}.txt").write_text("\n".join(lines), encoding="utf-8")
    return ["--task", "conll", "--data", folder]


def write_questions(folder):
    """Questions whose answer is the colour in the text; some texts have none."""
    draw = random.Random(0)
    for name, count in (("train", 120), ("dev", 30)):
        articles = []
        for i in range(count):
            colour = draw.choice(COLOURS) if i % 4 else None
            context = f"the {draw.choice(NAMES)} was {colour or 'there'} again . " * 1
            context += f"and a {draw.choice(NAMES)} ."
            answers = [{"text": colour, "answer_start": context.index(colour)}] if colour else []
            entry = {"id": f"{name}{i}", "question": "which colour ?", "answers": answers}
            entry["is_impossible"] = not colour
            paragraph = {"context": context, "qas": [entry]}
            articles.append({"title": f"{name} {i}", "paragraphs": [paragraph]})
        text = json.dumps({"version": "v2.0", "data": articles})
        (folder / f"{name}.json").write_text(text, encoding="utf-8")
    return ["--task", "squad", "--data", folder, "--doc-stride", 8]


def write_labels(folder):
    """Texts with the colours that they name as labels, which may be none."""
    draw = random.Random(0)
    for name, count in (("train", 160), ("dev", 40), ("test", 10)):
        rows = ["text\tlabel"]
        for _ in range(count):
            named = [colour for colour in COLOURS if draw.random() < 0.4]
            words = draw.sample([*named, *draw.sample(NAMES, 2)], len(named) + 2)
            rows.append(f"{' '.join(words)}\t{'|'.join(named)}")
        (folder / f"{name}.tsv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    return ["--task", "csv", "--data", folder, "--label-separator", "|"]


KINDS = {"tags": write_tags, "spans": write_questions, "labels": write_labels}


@pytest.fixture(scope="module")
def tuned(pretrained, tmp_path_factory):
    """tuned(kind) -> the run folder of a fine-tuning with two seeds. Tests share it."""
    done = {}

    def run(kind):
        if kind not in done:
            folder = tmp_path_factory.mktemp(kind)
            flags = [*KINDS[kind](folder), "--init", pretrained() / "ckpt.pt", "--max-len", 24]
            flags += ["--epochs", 12, "--lr", 2e-3, "--seeds", "1,2", "--amp", "off"]
            done[kind] = folder / "out"
            assert exit_code(finetune.main, [*flags, "--out", done[kind]]) == 0
        return done[kind]

    return run


def result_of(folder):
    return json.loads((folder / "result.json").read_text(encoding="utf-8"))


def table_of(path):
    head, *rows = path.read_text(encoding="utf-8").removesuffix("\n").split("\n")
    return [dict(zip(head.split("\t"), row.split("\t"), strict=True)) for row in rows]


@pytest.mark.parametrize("kind", KINDS)
def test_it_learns_and_leaves_everything_behind(tuned, kind):
    folder = tuned(kind)
    result = result_of(folder)
    assert (result["kind"], len(result["seeds"])) == (kind, 2)
    assert result["dev_mean"] > {"tags": 0.9, "spans": 0.6, "labels": 0.85}[kind]
    assert (result["test_mean"] is None) == (kind == "spans")

    best = [row for row in table_of(folder / "predictions.tsv") if row["split"] == "dev"]
    every = table_of(folder / "dev_predictions.tsv")
    column = f"seed {result['best_seed']}"
    by_index = {row["index"]: row["prediction"] for row in best}
    assert by_index == {row["index"]: row[column] for row in every}


@pytest.mark.parametrize("kind", KINDS)
def test_significance_scores_the_tables_as_the_result_does(tuned, kind):
    """It would refuse a table whose predictions score otherwise."""
    result = read_result(tuned(kind) / "result.json")
    found = compare(result, result, "dev", samples=200, seed=0)
    assert found.over_examples is not None and found.difference == 0.0
    assert found.over_examples.low <= 0.0 <= found.over_examples.high and found.ahead is None


def ask(folder, *texts, question=None):
    predictor = load_predictor(folder / "ckpt.pt", amp="off")
    lines = answer_lines(predictor, records_of(texts, question), view=False, colour=False)
    return [json.loads(line) for line in lines]


def test_entities_have_their_place_in_the_text(tuned):
    text = "Moon  green deep\u00a0river, moon red sun"
    (answer,) = ask(tuned("tags"), text)
    assert answer["text"] == text
    found = [(one["type"], text[one["start"] : one["end"]]) for one in answer["entities"]]
    assert ("COL", "green deep") in found and all(
        one["text"] == text[one["start"] : one["end"]] and 0 < one["score"] <= 1
        for one in answer["entities"]
    )


def test_tags_of_a_long_text_are_found_to_its_end(tuned):
    """The model reads 24 tokens at once."""
    text = "moon red river " * 40
    (answer,) = ask(tuned("tags"), text)
    ends = [one["end"] for one in answer["entities"]]
    assert len(ends) > 30 and max(ends) > len(text) - 12


def test_an_answer_has_its_place_in_the_text(tuned):
    text = "The  moon was BLUE again . and a river ."
    (answer,) = ask(tuned("spans"), text, question="which colour ?")
    best = answer["answers"][0]
    assert best["text"] == text[best["start"] : best["end"]]
    assert answer["answer"] in ("", best["text"])
    scores = [one["score"] for one in answer["answers"]]
    assert scores == sorted(scores, reverse=True) and sum(scores) <= 1.000001


def test_there_may_be_no_answer(tuned):
    folder = tuned("spans")
    (threshold,) = load_checkpoint(folder / "ckpt.pt", ("reader",)).thresholds
    assert np.isfinite(threshold)
    rows = table_of(folder / "dev_predictions.tsv")
    assert {'""'} < {row["seed 1"] for row in rows}


def test_labels_are_those_above_their_thresholds(tuned):
    folder = tuned("labels")
    checkpoint = load_checkpoint(folder / "ckpt.pt", ("classifier",))
    assert checkpoint.labels == ("blue", "green", "red") and len(checkpoint.thresholds) == 3
    thresholds = dict(zip(checkpoint.labels, checkpoint.thresholds, strict=True))
    for answer in ask(folder, "red moon", "rain and river", "blue green red"):
        above = [name for name, p in answer["probabilities"].items() if p >= thresholds[name]]
        assert answer["labels"] == above
    by_label = result_of(folder)["by_label"]
    assert {name: one["threshold"] for name, one in by_label.items()} == pytest.approx(thresholds)


@pytest.mark.parametrize(
    "kind, flags, match",
    [
        ("tags", ["--question", "why?"], "is a tagger"),
        ("spans", [], "--question"),
        ("labels", ["--view"], "is a classifier"),
    ],
)
def test_what_a_model_does_not_take_is_refused(tuned, kind, flags, match, capsys):
    from inference.conftest import program

    folder = tuned(kind)
    capsys.readouterr()
    assert exit_code(program.main, ["--ckpt", folder / "ckpt.pt", *flags, "a text"]) == 2
    said = capsys.readouterr().err
    assert match in said and said.count("\n") == 1


def test_class_weights_are_for_words_too(tuned, pretrained, tmp_path):
    flags = [*write_tags(tmp_path), "--init", pretrained() / "ckpt.pt", "--max-len", 24]
    flags += ["--epochs", 0.3, "--amp", "off", "--out", tmp_path / "out"]
    assert exit_code(finetune.main, [*flags, "--class-weights", "balanced"]) == 0


def test_a_run_gives_the_same_scores_again(tuned, pretrained, tmp_path):
    flags = [*write_questions(tmp_path), "--init", pretrained() / "ckpt.pt", "--max-len", 24]
    flags += ["--epochs", 1, "--amp", "off"]
    for name in ("a", "b"):
        assert exit_code(finetune.main, [*flags, "--out", tmp_path / name]) == 0
    a, b = ((tmp_path / name / "dev_predictions.tsv").read_bytes() for name in "ab")
    assert a == b
