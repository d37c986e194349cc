"""finetune.py --unlabelled: which texts are kept, what the new model learns, what is refused."""

import csv
import gzip
import json
from dataclasses import replace

import numpy as np
import pytest
from conftest import exit_code

import finetune as program
from electra.config import FinetuneConfig
from electra.data.batch import Padding
from electra.data.examples import encode_examples
from electra.data.whole_texts import read_texts
from electra.inference.labels import label_texts
from electra.inference.predictor import load_predictor
from electra.inference.texts import Record
from electra.training.finetuning import fill_in, read_task
from electra.training.self_training import begin_round, choose_most_confident

COLOURS = ("red", "green", "blue")
OF_TEACHER = ("one", "first")
fast = pytest.mark.fast


@pytest.fixture(autouse=True)
def own_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


# ---------------------------------------------------------------- which are kept

FIVE = np.array([[0.9, 0.1], [0.6, 0.4], [0.2, 0.8], [0.7, 0.3], [0.45, 0.55]], np.float32)


@fast
@pytest.mark.parametrize(
    "shares, most, indices, labels",
    [
        ((0.5, 0.5), 4, [0, 2, 3, 4], [0, 1, 0, 1]),
        ((0.5, 0.5), 1, [2], [1]),  # the quotas add up
        ((0.5, 0.5), 2, [0, 2], [0, 1]),
        ((0.75, 0.25), 4, [0, 1, 2, 3], [0, 0, 1, 0]),
        ((0.0, 1.0), 5, [2, 4], [1, 1]),  # no more than those to which it is the best answer
    ],
)
def test_the_most_confident_of_each_class_are_kept_up_to_its_share(shares, most, indices, labels):
    found, classes = choose_most_confident(FIVE, np.array(shares), most)
    assert (found.tolist(), classes.tolist()) == (indices, labels)


@fast
def test_no_text_that_is_left_out_is_surer_than_one_that_is_kept():
    probabilities = np.random.default_rng(1).dirichlet((1, 1, 1), 200).astype(np.float32)
    indices, labels = choose_most_confident(probabilities, np.array([0.5, 0.3, 0.2]), 90)
    assert (labels == probabilities[indices].argmax(1)).all()
    assert (np.bincount(labels) <= (45, 27, 18)).all()
    out = np.setdiff1d(np.arange(200), indices)
    for label in range(3):
        kept = probabilities[indices[labels == label], label]
        others = out[probabilities[out].argmax(1) == label]
        assert not len(others) or probabilities[others, label].max() <= kept.min()


@fast
@pytest.mark.parametrize("truncation", ["tail", "windows"])
def test_chosen_examples_behind_others_are_as_if_encoded_together(tokenizer, truncation):
    texts = [" ".join(COLOURS[i % 3] for i in range(n)) for n in (3, 40, 9, 25, 1, 60, 12)]

    def encode(texts, labels):
        return encode_examples(tokenizer, texts, [None] * len(texts), labels, 16, truncation)

    chosen = np.array([0, 2, 3])
    more = encode(texts[3:], [-1] * 4)
    none = encode(texts[:3], [0, 1, 1]).with_more(more, chosen[:0], [])
    assert len(none.lengths) == 3
    found = encode(texts[:3], [0, 1, 1]).with_more(more, chosen, [1, 0, 1])
    wanted = encode([*texts[:3], *(texts[3 + i] for i in chosen)], [0, 1, 1, 1, 0, 1])
    padding = Padding(8, 16)
    assert found.lengths.tolist() == wanted.lengths.tolist()
    for example in range(6):
        one, other = (e.batch(np.array([example]), padding) for e in (found, wanted))
        assert (one.input_ids == other.input_ids).all() and (one.labels == other.labels).all()


# ---------------------------------------------------------------- what is one text


@fast
def test_a_plain_file_has_a_text_a_line_or_between_blank_lines(tmp_path):
    (tmp_path / "lines.txt").write_text("one\n  two \nthree\n\n")
    (tmp_path / "parted.txt").write_text("one\ntwo\n\nthree\n\n\nfour\n")
    (tmp_path / "stray.txt").write_text("one\n\n" + "two\n" * 200)
    assert [*read_texts(("lines.txt",))] == ["one", "two", "three"]
    assert len([*read_texts(("stray.txt",))]) == 201
    assert [*read_texts(("parted.txt",))] == ["one\ntwo", "three", "four"]


@fast
def test_other_files_say_themselves_what_a_text_is(tmp_path):
    folder = tmp_path / "reviews"
    folder.mkdir()
    (folder / "1.txt").write_text("good<br />film\n\nvery good\n")
    (folder / "2.txt").write_text("bad\n")
    (tmp_path / "a.jsonl").write_text('{"text": "x\\ny"}\n{"text": " "}\n{"text": "z"}\n')
    (tmp_path / "b.csv").write_text('id,body\n1,"p\nq"\n2,r\n')
    (tmp_path / "c.txt.gz").write_bytes(gzip.compress(b"u\nv\n"))
    assert [*read_texts(("reviews",))] == ["good\nfilm\nvery good", "bad"]
    assert [*read_texts(("a.jsonl",))] == ["x\ny", "z"]
    assert [*read_texts(("b.csv",), "body")] == ["p\nq", "r"]
    assert [*read_texts(("*.gz", "reviews/2.txt"))] == ["u", "v", "bad"]


# ---------------------------------------------------------------- the program


def colours(count, offset=0):
    """Texts of colours and numbers, with the colour that occurs most often as the label."""
    draw = np.random.default_rng(offset)
    found = []
    for i in range(count):
        words = [*draw.choice(COLOURS, 3), f"number {offset + i}"]
        label = max(COLOURS, key=words.count)
        found.append((" ".join([label, *draw.permutation(words)]), label))
    return found


def write_table(path, rows):
    with open(path, "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("text", "label"), *rows])


@pytest.fixture
def task(pretrained, tmp_path):
    """task(out, **changes) -> the exit code of a run on a task of colours."""
    (tmp_path / "task").mkdir()
    write_table(tmp_path / "task" / "train.csv", colours(60))
    write_table(tmp_path / "task" / "dev.csv", colours(40, 1000))
    texts = [text for text, _ in colours(80, 2000)]
    (tmp_path / "texts.txt").write_text("\n".join(texts) + "\n")
    usual = {"task": "csv", "data": "task", "init": pretrained() / "ckpt.pt", "max_len": 32}
    usual |= {"epochs": 5, "lr": 2e-3, "batch_rows": 8}

    def run(out, **changes):
        settings = {**usual, "unlabelled": "texts.txt", "out": out, **changes}
        flags = [
            part
            for name, value in settings.items()
            if value is not None
            for part in (f"--{name.replace('_', '-')}", str(value))
        ]
        return exit_code(program.main, flags)

    return run


def log_of(folder, round_=None):
    """(training loss, accuracy) of each epoch, of one round."""
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [(line["train_loss"], line["accuracy"]) for line in lines if line.get("round") == round_]


def result_of(folder):
    return json.loads((folder / "result.json").read_text())


@pytest.mark.parametrize(
    "changes", [{}, {"truncate": "windows", "max_len": 12, "freeze_epochs": 1}], ids=["", "windows"]
)
def test_the_student_is_a_fine_tuning_on_the_texts_that_the_teacher_labelled(
    task, tmp_path, changes
):
    """Without dropout the epochs of both are the same to the last digit."""
    assert task("one", dropout=0, **changes) == 0
    assert task("first", dropout=0, unlabelled=None, **changes) == 0
    assert log_of(tmp_path / "one", 0) == log_of(tmp_path / "first")

    predictor = load_predictor(tmp_path / "first" / "ckpt.pt")
    texts = (tmp_path / "texts.txt").read_text().splitlines()
    answers = [*label_texts(predictor, [Record("", text) for text in texts])]
    train = colours(60)
    kept = []
    for colour in COLOURS:
        mine = [answer for answer in answers if answer["label"] == colour]
        mine.sort(key=lambda answer: -answer["probability"])
        share = sum(label == colour for _, label in train) / len(train)
        kept += mine[: round(40 * share)]  # half of 80; the three shares are whole numbers then
    kept.sort(key=lambda answer: texts.index(answer["text"]))
    (tmp_path / "more").mkdir()
    rows = [(answer["text"], answer["label"]) for answer in kept]
    write_table(tmp_path / "more" / "train.csv", [*train, *rows])
    write_table(tmp_path / "more" / "dev.csv", colours(40, 1000))
    assert task("two", data="more", dropout=0, unlabelled=None, **changes) == 0
    assert log_of(tmp_path / "one", 1) == log_of(tmp_path / "two") != []

    head_alone = [result_of(tmp_path / name)["seeds"][0]["dev_head_only"] for name in OF_TEACHER]
    assert head_alone[0] == head_alone[1] and (head_alone[0] is None) == (not changes)


def test_the_best_of_all_rounds_is_kept_and_scored(task, tmp_path):
    assert task("out", seeds="1,2", rounds=2) == 0
    result = result_of(tmp_path / "out")
    lines = [json.loads(line) for line in (tmp_path / "out" / "metrics.jsonl").open()]
    for seed in result["seeds"]:
        scores = {0: [], 1: [], 2: []}
        for line in lines:
            if line["seed"] == seed["seed"]:
                scores[line["round"]].append(line["accuracy"])
        assert seed["dev"] == max(sum(scores.values(), []))
        assert seed["dev_labelled_only"] == max(scores[0])
        # Another round only after one that was better.
        assert bool(scores[2]) == (max(scores[1]) > max(scores[0]))
    assert result["train_examples"] == 60

    predictor = load_predictor(tmp_path / "out" / "ckpt.pt")
    held_out = colours(40, 1000)
    answers = label_texts(predictor, [Record("", text) for text, _ in held_out])
    right = [answer["label"] == label for answer, (_, label) in zip(answers, held_out, strict=True)]
    assert sum(right) / 40 == max(seed["dev"] for seed in result["seeds"])


def test_config_json_repeats_the_run(task, tmp_path):
    assert task("one", epochs=3, unlabelled_epochs=2, rounds=2) == 0
    again = ["--config", tmp_path / "one" / "config.json", "--out", tmp_path / "again"]
    assert exit_code(program.main, again) == 0
    logs = [(tmp_path / name / "metrics.jsonl").read_text() for name in ("one", "again")]
    assert logs[0] == logs[1]
    assert [json.loads(line)["round"] for line in logs[0].splitlines()][:5] == [0, 0, 0, 1, 1]


@fast
def test_what_follows_from_the_number_of_examples_follows_from_all_of_them(tmp_path):
    write_table(tmp_path / "small.csv", [("a text", "x"), ("another", "y")] * 600)
    config = FinetuneConfig(task="csv", data=str(tmp_path / "small.csv"))
    data = read_task(config)
    few, many = fill_in(config, data, None, 1), fill_in(config, data, None, 20_000)
    assert (few.epochs, few.unlabelled_epochs, few.unlabelled_batch_rows) == (10, 10, 32)
    assert (many.epochs, many.unlabelled_epochs, many.unlabelled_batch_rows) == (10, 3, 128)
    assert few.batch_rows == many.batch_rows == 32
    without = fill_in(config, data, None)
    assert without.unlabelled_epochs is None is without.unlabelled_batch_rows


def test_a_student_that_learns_nothing_leaves_the_teacher(task, tmp_path, monkeypatch):
    def begin_wildly(run, prepared):
        student = begin_round(run, prepared)
        student.config = replace(student.config, lr=100.0)
        return student

    monkeypatch.setattr(program, "begin_round", begin_wildly)
    assert task("out", rounds=3) == 0
    (seed,) = result_of(tmp_path / "out")["seeds"]
    assert not seed["retried"] and not seed["collapsed"]
    assert seed["dev"] == seed["dev_labelled_only"] > 0.5
    assert len(log_of(tmp_path / "out", 1)) == 5 and not log_of(tmp_path / "out", 2)


def test_texts_of_the_task_and_copies_are_left_out(task, tmp_path, capsys):
    train = [("red<br />blue and red", "red"), *colours(60)]
    write_table(tmp_path / "task" / "train.csv", train)
    own = [text for text, _ in train[:5] + colours(40, 1000)[:5]]
    new = ["a  red  red text", "a red red text", "blue"]
    (tmp_path / "texts.txt").write_text("\n".join([*own, *new]) + "\n")
    assert task("out", unlabelled_share=1) == 0
    printed = capsys.readouterr().out
    assert "1 file, 12 different texts, of which 10 are among the task's own" in printed
    assert "2 unlabelled texts will be labelled once; then a new model" in printed
    (tmp_path / "texts.txt").write_text("\n".join(own) + "\n")
    assert task("none") == 2
    assert "there is no text in it, or only texts of the task" in capsys.readouterr().err


@fast
def test_examples_that_the_run_does_not_use_may_be_unlabelled_texts(task, tmp_path, capsys):
    """So the same table can be both: the rest of --train-examples."""
    assert task("out", train_examples=20, unlabelled="task/train.csv", epochs=1) == 0
    assert "60 different texts, of which 20 are" in capsys.readouterr().out


@pytest.mark.parametrize(
    "changes, match",
    [
        ({"unlabelled": "nothing.txt"}, "--unlabelled: no such corpus: nothing.txt"),
        ({"unlabelled": ""}, "--unlabelled: the name of a file, folder or glob is empty"),
        ({"unlabelled": "latin.txt"}, "offset 3 is not UTF-8; convert the file\n"),
        ({"unlabelled_examples": 81}, "--unlabelled-examples 81: there are 80 texts"),
        ({"unlabelled_share": 0.001}, "--unlabelled-share 0.001 of 80 texts is none"),
        ({"unlabelled": None, "rounds": 2}, "--rounds is for --unlabelled"),
        ({"unlabelled": None, "unlabelled_epochs": 2}, "--unlabelled-epochs is for --unlabelled"),
        ({"unlabelled_share": 0}, "--unlabelled-share must be above 0 and at most 1"),
        ({"task": "glue", "data": None}, "--unlabelled is for one task"),
        ({"unlabelled": "task/train.csv"}, "or only texts of the task itself"),
        ({"unlabelled": "task/train.csv", "text_field": "body"}, "--text-field: text, label"),
        ({"label_separator": "|"}, "single texts of one class each; this has several labels"),
    ],
)
def test_what_does_not_go_together_is_refused_in_one_line(task, changes, match, tmp_path, capsys):
    (tmp_path / "latin.txt").write_bytes("caf\xe9\n".encode("latin-1"))
    assert task("out", **changes) == 2
    assert not (tmp_path / "out").exists()
    error = capsys.readouterr().err
    assert error.startswith("finetune.py: error: ") and error.count("\n") == 1, error
    assert match in error
