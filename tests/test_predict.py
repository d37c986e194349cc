"""scripts/predict.py as a user runs it: labels and replaced words, in order, from every kind of input."""

import csv
import importlib.util
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import finetune
from electra.checkpoint.storage import load_checkpoint, save_checkpoint
from electra.config import CLS, SEP
from electra.data.batch import Batch
from electra.model.electra import Electra

ROOT = Path(__file__).resolve().parent.parent
SCRIPT = ROOT / "scripts" / "predict.py"
SAMPLE = ROOT / "data" / "sample"
TEXTS = [
    "a fine film",
    "",
    "a dull , endless and pointless waste of two hours that nobody will give back to me",
    "Ünïcode 漢字 😀",
    "no .",
    "the actors seem to enjoy it , and so did everyone around me in the cinema",
]

_spec = importlib.util.spec_from_file_location("predict", SCRIPT)
program = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(program)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="module")
def electra(pretrained):
    return pretrained("electra") / "ckpt.pt"


@pytest.fixture(scope="module")
def classifier(folder, electra):
    """Of single texts: sst2, with sentences that a few steps can tell apart."""
    for name, count in (("train.tsv", 240), ("dev.tsv", 80)):
        lines = [f"the {('moon', 'river')[i % 2]} was number {i}\t{i % 2}" for i in range(count)]
        (folder / "told apart").mkdir(exist_ok=True)
        (folder / "told apart" / name).write_text(
            "\n".join(["sentence\tlabel", *lines]) + "\n", encoding="utf-8"
        )
    flags = [
        "--task",
        "sst2",
        "--data",
        folder / "told apart",
        "--init",
        electra,
        "--epochs",
        3,
        "--lr",
        1e-3,
        "--max-len",
        32,
        "--amp",
        "off",
        "--out",
        folder / "sst2",
    ]
    assert finetune.main([str(flag) for flag in flags]) == 0
    return folder / "sst2" / "ckpt.pt"


@pytest.fixture(scope="module")
def pairs(folder, electra):
    """A classifier of pairs, which says whether the two are the same word."""
    with open(folder / "pairs.csv", "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(("one", "two", "same"))
        writer.writerows(
            (a, b, a == b)
            for a in ("sun", "moon", "rain")
            for b in ("sun", "moon", "rain")
            for _ in "12"
        )
    flags = [
        "--task",
        "csv",
        "--data",
        folder / "pairs.csv",
        "--text-columns",
        "one,two",
        "--label-column",
        "same",
        "--init",
        electra,
        "--epochs",
        1,
        "--out",
        folder / "pairs",
    ]
    assert finetune.main([str(flag) for flag in flags]) == 0
    return folder / "pairs" / "ckpt.pt"


@pytest.fixture
def ask(capsys, monkeypatch):
    """ask(arguments, stdin=bytes) -> the lines that come out. The exit code has to be 0."""

    def run(*arguments, stdin=b""):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin), encoding="utf-8"))
        capsys.readouterr()
        code = program.main([str(argument) for argument in arguments])
        said = capsys.readouterr()
        assert (code, said.err) == (0, "")
        return said.out.splitlines()

    return run


@pytest.fixture
def refused(capsys, monkeypatch):
    """Exit code 2 and one line that says why."""

    def check(match, *arguments, stdin=b""):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin), encoding="utf-8"))
        capsys.readouterr()
        try:
            code = program.main([str(argument) for argument in arguments])
        except SystemExit as stop:
            code = stop.code
        error = capsys.readouterr().err
        assert code == 2 and error.startswith("predict.py: error: ") and error.count("\n") == 1, (
            error
        )
        assert match in error

    return check


# ---------------------------------------------------------------- a classifier


def test_labels_are_those_of_fine_tuning(classifier, ask):
    header, *rows = (classifier.parent / "predictions.tsv").read_text(encoding="utf-8").splitlines()
    rows = [dict(zip(header.split("\t"), row.split("\t"))) for row in rows][:60]
    said = [
        json.loads(line)
        for line in ask("--ckpt", classifier, "--amp", "off", *(row["text"] for row in rows))
    ]
    assert [record["text"] for record in said] == [row["text"] for row in rows]
    assert [record["label"] for record in said] == [row["prediction"] for row in rows]
    assert {record["label"] for record in said} == {"negative", "positive"}
    assert len({record["probability"] for record in said}) > 30  # so they are the texts' own
    for record, row in zip(said, rows):
        assert list(record) == ["text", "label", "probability", "probabilities"]
        found = record["probabilities"]
        assert record["probability"] == found[record["label"]] == max(found.values())
        for label, p in found.items():
            assert p == pytest.approx(float(row[f"p({label})"]), abs=2e-4)


def same(first, second):
    """Equal but for the last digits, which depend on what else was in the batch."""
    first, second = ([json.loads(line) for line in lines] for lines in (first, second))
    assert [record["text"] for record in first] == [record["text"] for record in second]
    for a, b in zip(first, second):
        assert a["probabilities"] == pytest.approx(b["probabilities"], abs=1e-5)


def test_neither_order_nor_batches_nor_windows_matter(classifier, ask, monkeypatch):
    alone = [line for text in TEXTS for line in ask("--ckpt", classifier, "--amp", "off", text)]
    same(ask("--ckpt", classifier, "--amp", "off", *TEXTS), alone)
    same(ask("--ckpt", classifier, "--amp", "off", "--batch-tokens", 32, *TEXTS), alone)
    same(reversed(ask("--ckpt", classifier, "--amp", "off", *reversed(TEXTS))), alone)
    monkeypatch.setattr(program, "WINDOW", 2)
    same(ask("--ckpt", classifier, "--amp", "off", *TEXTS), alone)


def test_batches_keep_to_the_budget(classifier, ask, monkeypatch):
    seen = []
    batches_of = program.batches_of

    def spy(*arguments):
        for rows, batch in batches_of(*arguments):
            seen.append(batch.input_ids.numel())
            yield rows, batch

    monkeypatch.setattr(program, "batches_of", spy)
    ask("--ckpt", classifier, "--batch-tokens", 64, *TEXTS * 5)
    assert max(seen) <= 64 and len(seen) > 5


def test_every_way_in_gives_the_same(classifier, ask, tmp_path):
    expected = ask("--ckpt", classifier, *TEXTS)
    lines = "".join(text + "\n" for text in TEXTS).encode()
    json_lines = "".join(json.dumps({"text": text, "other": 1}) + "\n" for text in TEXTS).encode()
    (tmp_path / "texts.txt").write_bytes(b"\xef\xbb\xbf" + lines.replace(b"\n", b"\r\n"))
    (tmp_path / "texts.jsonl").write_bytes(json_lines)
    assert ask("--ckpt", classifier, "--file", tmp_path / "texts.txt") == expected
    assert ask("--ckpt", classifier, "--file", tmp_path / "texts.jsonl") == expected
    assert ask("--ckpt", classifier, stdin=lines) == expected
    assert (
        ask("--ckpt", classifier, stdin=lines.removesuffix(b"\n")) == expected
    )  # no line end after the last
    assert ask("--ckpt", classifier, "--jsonl", stdin=json_lines) == expected


def test_nothing_in_nothing_out_but_a_blank_line_is_a_text(classifier, ask):
    assert ask("--ckpt", classifier, stdin=b"") == []
    assert [json.loads(line)["text"] for line in ask("--ckpt", classifier, stdin=b"\n \n")] == [
        "",
        " ",
    ]


def test_pairs_come_as_json(pairs, ask, refused):
    lines = b'{"text": "sun", "text_b": "moon"}\n{"text": "", "text_b": ""}\n'
    said = [json.loads(line) for line in ask("--ckpt", pairs, "--jsonl", stdin=lines)]
    assert [(record["text"], record["text_b"]) for record in said] == [("sun", "moon"), ("", "")]
    assert set(said[0]["probabilities"]) == {"True", "False"}
    other = b'{"text": "moon", "text_b": "rain"}\n'
    assert (
        json.loads(ask("--ckpt", pairs, "--jsonl", stdin=other)[0])["probabilities"]
        != said[0]["probabilities"]
    )
    refused("learned from pairs of texts", "--ckpt", pairs, "sun")
    refused(
        "standard input:1: the checkpoint learned from pairs",
        "--ckpt",
        pairs,
        "--jsonl",
        stdin=b'{"text": "x"}\n',
    )


def test_settings_come_from_the_checkpoint(classifier, ask):
    long = " ".join(["good"] * 100)
    cut, longer = ask(
        "--ckpt", classifier, long, long + " bad" * 50
    )  # cut at the head's 32 tokens: the same
    assert json.loads(cut)["probabilities"] == json.loads(longer)["probabilities"]
    more = ask("--ckpt", classifier, "--max-len", 512, long)[0]
    assert json.loads(more)["probabilities"] != json.loads(cut)["probabilities"]


def test_reviews_lose_their_line_breaks_as_in_training(electra, folder, ask):
    flags = [
        "--task",
        "imdb",
        "--data",
        SAMPLE / "aclImdb",
        "--init",
        electra,
        "--epochs",
        0.5,
        "--max-len",
        32,
        "--out",
        folder / "imdb",
    ]
    assert finetune.main([str(flag) for flag in flags]) == 0
    texts = "Avoid.<br /><br />Really.", "Avoid.\nReally."
    raw, clean = map(json.loads, ask("--ckpt", folder / "imdb" / "ckpt.pt", *texts))
    assert raw["text"] == texts[0] and raw["probabilities"] == clean["probabilities"]


# ---------------------------------------------------------------- an ELECTRA


def words_of(line):
    return [(word["word"], word["replaced"]) for word in json.loads(line)["words"]]


def test_every_word_has_the_probability_of_its_most_suspicious_piece(electra, ask):
    checkpoint = load_checkpoint(electra, ("electra",))
    tokenizer = checkpoint.tokenizer
    model = Electra(checkpoint.model_config)
    model.load_state_dict(checkpoint.model)
    text = "Unbelievably good bananas 漢字"
    ids = tokenizer.encode_batch([text])[0]
    row = torch.tensor([[CLS, *ids, SEP]])
    with torch.no_grad():
        p = torch.sigmoid(model.eval().detect(row, Batch(row, torch.zeros_like(row), None)))[
            0, 1:-1
        ].tolist()
    expected = {}
    for piece, value in zip(tokenizer.pieces(ids), p):
        if piece.startswith("▁"):
            expected[len(expected)] = value
        else:
            expected[len(expected) - 1] = max(expected[len(expected) - 1], value)
    assert len(ids) > len(expected) == 4
    said = ask("--ckpt", electra, "--amp", "off", "", text, "x")
    assert json.loads(said[1])["text"] == text
    assert [word for word, _ in words_of(said[1])] == ["unbelievably", "good", "bananas", "漢字"]
    assert [value for _, value in words_of(said[1])] == pytest.approx(
        list(expected.values()), abs=1e-5
    )


def test_words_are_put_together_from_pieces():
    class Tokenizer:
        def pieces(self, ids):
            return [("▁the", "▁ban", "ana", "s", "▁", "<0xF0>")[i] for i in ids]

        def decode(self, ids):
            return "".join(self.pieces(ids)).replace("▁", " ").strip()

    words = program.words_of(Tokenizer(), [0, 1, 2, 3, 4, 5], [0.1, 0.2, 0.9, 0.3, 0.4, 0.5])
    assert words == [("the", 0.1), ("bananas", 0.9), ("<0xF0>", 0.5)]
    assert program.words_of(Tokenizer(), [2, 0], [0.3, 0.1]) == [("ana", 0.3), ("the", 0.1)]
    assert program.words_of(Tokenizer(), [], []) == []


def test_a_text_longer_than_an_example_keeps_all_its_words(electra, ask):
    words = [f"word{i % 7}" for i in range(200)]
    found = words_of(ask("--ckpt", electra, " ".join(words))[0])
    assert [word for word, _ in found] == words and all(0 < p < 1 for _, p in found)


def test_a_view_marks_suspicious_words(electra, ask):
    assert (
        program.marked([("the", 0.1), ("banana", 0.934), ("of", 0.5)], colour=False)
        == "the banana⟨0.93⟩ of"
    )
    pale, full = (program.marked([("x", p)], colour=True) for p in (0.51, 1.0))
    assert pale == "\033[38;5;224mx⟨0.51⟩\033[0m" and full == "\033[38;5;196mx⟨1.00⟩\033[0m"
    # Ten steps do not make any word suspicious.
    assert ask("--ckpt", electra, "--view", "The fine banana", "", "x") == [
        "the fine banana",
        "",
        "x",
    ]


def test_a_terminal_gets_the_view(electra, ask, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
        assert ask("--ckpt", electra, "The fine banana") == ["the fine banana"]
    line = ask("--ckpt", electra, "The fine banana")[0]
    assert line.startswith('{"text": "The fine banana", "words": [{"word": "the"')


# ---------------------------------------------------------------- mistakes


def test_a_bert_is_refused_with_a_way_on(pretrained, refused):
    refused(
        "a replaced-token view needs an ELECTRA checkpoint",
        "--ckpt",
        pretrained("mlm") / "ckpt.pt",
        "a text",
    )


def test_mistakes_are_refused_in_one_line(classifier, electra, tmp_path, refused):
    refused("No such file", "--ckpt", tmp_path / "nowhere.pt", "a text")
    refused("--ckpt", "a text")
    refused("invalid choice", "--ckpt", classifier, "--amp", "half", "a text")
    refused("not both", "--ckpt", classifier, "--file", tmp_path / "x", "a text")
    refused("--view shows replaced words", "--ckpt", classifier, "--view", "a text")
    refused("outside 8 to 512", "--ckpt", classifier, "--max-len", 513, "a text")
    refused("does not hold one example", "--ckpt", classifier, "--batch-tokens", 16, "a text")
    refused("not on this machine", "--ckpt", classifier, "--device", "cuda:99", "a text")
    refused("nowhere.txt", "--ckpt", classifier, "--file", tmp_path / "nowhere.txt")
    (tmp_path / "bad.pt").write_bytes(classifier.read_bytes()[:-10])
    refused("cut off", "--ckpt", tmp_path / "bad.pt", "a text")
    for line, match in ((b"caf\xe9\n", "standard input:2: byte 0xe9 is not UTF-8"),):
        refused(match, "--ckpt", classifier, stdin=b"fine\n" + line)
    fine = b'{"text": "fine"}\n'
    for line, match in (
        (b"{text}\n", "standard input:2: not a JSON object"),
        (b"\n", "not a JSON object"),
        (b"[1]\n", 'no "text"'),
        (b'{"words": ""}\n', 'no "text"'),
        (b'{"text": 1}\n', 'no "text"'),
        (b'{"text": "\\ud800"}\n', "characters that UTF-8 cannot write"),
        (b'{"text": "", "text_b": 1}\n', '"text_b" is not a string'),
        (b'{"text": "", "text_b": "x"}\n', 'single texts; leave out "text_b"'),
    ):
        refused(match, "--ckpt", classifier, "--jsonl", stdin=fine + line)
    refused(
        '"text_b" is for a classifier',
        "--ckpt",
        electra,
        "--jsonl",
        stdin=b'{"text": "", "text_b": "x"}\n',
    )


def test_weights_that_are_not_finite_are_refused(classifier, tmp_path, refused):
    checkpoint = load_checkpoint(classifier, ("classifier",))
    checkpoint.model["head.out.bias"][0] = float("nan")
    save_checkpoint(tmp_path / "broken.pt", checkpoint)
    refused("weights that are not finite", "--ckpt", tmp_path / "broken.pt", "a text")


def test_a_reader_that_has_enough_is_no_error(electra):
    """`predict.py | head -1`, with more to write than a pipe holds."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(
        [sys.executable, SCRIPT, "--ckpt", electra],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    process.stdin.write(b"a line of some words\n" * 2000)
    process.stdin.close()
    assert process.stdout.readline().startswith(b'{"text": "a line of some words"')
    process.stdout.close()
    error = process.stderr.read()
    assert (process.wait(60), error) == (0, b"")
