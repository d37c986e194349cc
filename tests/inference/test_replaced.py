"""Replaced words: the probabilities of an ELECTRA's discriminator, and the view that marks them."""

import json
import sys

import pytest
import torch

from electra.checkpoint.storage import load_checkpoint
from electra.config import CLS, SEP
from electra.data.batch import Batch
from electra.inference.replaced import mark_words, words_of
from electra.model.electra import Electra


def words_in(line):
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
    for piece, value in zip(tokenizer.pieces(ids), p, strict=True):
        if piece.startswith("▁"):
            expected[len(expected)] = value
        else:
            expected[len(expected) - 1] = max(expected[len(expected) - 1], value)
    assert len(ids) > len(expected) == 4
    said = ask("--ckpt", electra, "--amp", "off", "", text, "x")
    assert json.loads(said[1])["text"] == text
    assert [word for word, _ in words_in(said[1])] == ["unbelievably", "good", "bananas", "漢字"]
    assert [value for _, value in words_in(said[1])] == pytest.approx(
        list(expected.values()), abs=1e-5
    )


def test_words_are_put_together_from_pieces():
    class Tokenizer:
        def pieces(self, ids):
            return [("▁the", "▁ban", "ana", "s", "▁", "<0xF0>")[i] for i in ids]

        def decode(self, ids):
            return "".join(self.pieces(ids)).replace("▁", " ").strip()

    words = words_of(Tokenizer(), [0, 1, 2, 3, 4, 5], [0.1, 0.2, 0.9, 0.3, 0.4, 0.5])
    assert words == [("the", 0.1), ("bananas", 0.9), ("<0xF0>", 0.5)]
    assert words_of(Tokenizer(), [2, 0], [0.3, 0.1]) == [("ana", 0.3), ("the", 0.1)]
    assert words_of(Tokenizer(), [], []) == []


def test_a_text_longer_than_an_example_keeps_all_its_words(electra, ask):
    words = [f"word{i % 7}" for i in range(200)]
    found = words_in(ask("--ckpt", electra, " ".join(words))[0])
    assert [word for word, _ in found] == words and all(0 < p < 1 for _, p in found)


def test_a_view_marks_suspicious_words(electra, ask):
    assert (
        mark_words([("the", 0.1), ("banana", 0.934), ("of", 0.5)], colour=False)
        == "the banana⟨0.93⟩ of"
    )
    pale, full = (mark_words([("x", p)], colour=True) for p in (0.51, 1.0))
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
