"""What each kind of model answers, alone and together with others."""

import itertools

import pytest
import torch

from electra.data.batch import Batch
from electra.inference.labels import label_texts
from electra.inference.replaced import replaced_words
from electra.inference.texts import Record
from electra.serving import labels
from electra.serving.kinds import model_names
from electra.serving.request import Refusal, Request

pytestmark = pytest.mark.fast

TEXTS = ["The moon rose over the river.", "x", "", "a warm, funny film 😀", "water " * 100]


def answers(model, *requests):
    return model.kind.answer(model.predictor, list(requests))


def test_words_have_the_probabilities_of_the_replaced_token_view(models):
    model = models["words"]
    found = answers(model, *(Request({"text": text}, {}) for text in TEXTS))
    records = [Record("", text) for text in TEXTS]
    for text, answer, words in zip(TEXTS, found, replaced_words(model.predictor, records)):
        assert max((w["replaced"] for w in answer["words"]), default=0) == pytest.approx(
            max((word.replaced for word in words), default=0), abs=1e-5
        )
        assert [w["text"] for w in answer["words"]] == [
            text[w["start"] : w["end"]] for w in answer["words"]
        ]
    assert len(found[-1]["words"]) == 100  # of 6 examples, none left out


def test_suggestions_are_the_generators_likeliest_tokens(models):
    model, tokenizer = models["words"], models["words"].predictor.tokenizer
    (answer,) = answers(model, Request({"text": "The moon rose"}, {"mask": 1}))
    special = tokenizer.special
    the, rose = tokenizer.encode_batch(["The", "rose"])
    ids = torch.tensor([[special.cls, *the, special.mask, *rose, special.sep]])
    electra = model.predictor.model
    batch = Batch(ids, torch.zeros_like(ids), None)
    with torch.no_grad():
        embedded = electra.embeddings(batch.input_ids, batch.token_type_ids)
        hidden = electra.generator.head.transform(electra.generator.encoder(embedded, None))
        logits = hidden[0, 1 + len(the)] @ electra.embeddings.word.weight.T
        expected = torch.softmax(logits + electra.generator.head.bias, -1)
    likeliest = [i for i in expected.argsort(descending=True).tolist() if i not in special]
    pieces = [piece for piece in tokenizer.pieces(likeliest) if piece != "▁"][:5]
    found = answer["fill"]["suggestions"]
    assert answer["fill"]["word"] == 1
    assert [("" if s["joined"] else "▁") + s["text"] for s in found] == pieces
    assert found[0]["probability"] == pytest.approx(expected[likeliest[0]].item(), abs=1e-5)


def test_a_word_far_into_a_long_text_is_masked_with_what_is_around_it(models):
    text = "water " * 300
    for number in (0, 150, 299):
        (answer,) = answers(models["words"], Request({"text": text}, {"mask": number}))
        assert len(answer["fill"]["suggestions"]) == 5
    for text, number in (("", 0), ("x", 1)):
        with pytest.raises(Refusal, match='"mask"'):
            answers(models["words"], Request({"text": text}, {"mask": number}))


@pytest.mark.parametrize("name", ["film", "score", "pair"])
def test_labels_are_those_of_predict(models, name):
    model = models[name]
    texts = [{one.name: f"{text} {one.name}" for one in model.inputs} for text in TEXTS]
    found = answers(model, *(Request(one, {}) for one in texts))
    records = [Record("", one["text"], one.get("text_b")) for one in texts]
    for answer, expected in zip(found, label_texts(model.predictor, records), strict=True):
        assert answer == {key: expected[key] for key in answer}
        assert "words" not in answer and "text" not in answer


def test_a_weight_is_what_is_lost_without_the_word(models):
    model, texts = models["pair"], {"text": "sun and moon", "text_b": "rain."}
    (answer,) = answers(model, Request(texts, {"words": True}))
    shown = [(word["input"], word["text"]) for word in answer["words"]]
    assert shown == [
        *(("text", word) for word in ("sun", "and", "moon")),
        *(("text_b", word) for word in ("rain", ".")),
    ]
    without = answers(model, Request({**texts, "text": "sun  moon"}, {}))[0]
    expected = answer["probability"] - without["probabilities"][answer["label"]]
    assert answer["words"][1]["weight"] == pytest.approx(expected, abs=1e-5)
    assert answer["words"][1]["weight"] != 0

    (answer,) = answers(models["score"], Request({"text": "sun moon"}, {"words": True}))
    without = answers(models["score"], Request({"text": "sun "}, {}))[0]
    expected = answer["value"] - without["value"]
    assert answer["words"][1]["weight"] == pytest.approx(expected, abs=1e-4)


def test_the_words_of_a_long_text_are_left_out_several_at_a_time(models):
    text = " ".join(f"w{i}" for i in range(1_000))
    request = Request({"text": text}, {"words": True})
    (answer,) = answers(models["film"], request)
    words = answer["words"]
    assert len(words) <= labels.MOST_PARTS and " ".join(w["text"] for w in words) == text
    assert models["film"].kind.passes(models["film"].predictor, request) <= 1 + labels.MOST_PARTS
    (answer,) = answers(models["film"], Request({"text": " "}, {"words": True}))
    assert answer["words"] == []


def close(one, other):
    """Equal but for the last digits of the numbers."""
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(close(one[key], other[key]) for key in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(close, one, other))
    return one == pytest.approx(other, abs=2e-5) if isinstance(one, float) else one == other


@pytest.mark.parametrize("name", ["words", "film", "score", "pair"])
def test_a_batch_gives_the_answers_of_its_requests_alone(models, name):
    model = models[name]
    option = {"words": {"mask": 0}, "film": {"words": True}, "pair": {"words": False}, "score": {}}
    requests = [
        Request({one.name: text for one in model.inputs}, options)
        for text, options in itertools.product(TEXTS, ({}, option[name]))
        if text or name != "words"
    ]
    alone = [answers(model, request)[0] for request in requests]
    assert close(answers(model, *requests), alone)
    assert close(answers(model, *reversed(requests)), alone[::-1])
    assert not close(alone[0], alone[-1])


def test_every_checkpoint_gets_a_name_of_its_own(tmp_path):
    paths = ["runs/sst2/ckpt.pt", "small.pt", "other/sst2/ckpt.pt", "runs/sst2/ckpt-200.pt"]
    assert model_names(paths) == ["sst2", "small", "sst2-2", "ckpt-200"]


def test_entities_are_those_of_the_tagger_and_have_their_place(models):
    model = models["tags"]
    found = answers(model, *(Request({"text": text}, {}) for text in TEXTS))
    assert any(answer["entities"] for answer in found)
    for text, answer in zip(TEXTS, found):
        for one in answer["entities"]:
            assert one["text"] == text[one["start"] : one["end"]] and one["type"] == "X"
    alone = [answers(model, Request({"text": text}, {}))[0] for text in TEXTS]
    assert [a["entities"] for a in alone] == [
        [{**one, "score": pytest.approx(one["score"], abs=1e-5)} for one in a["entities"]]
        for a in found
    ]


def test_a_reader_answers_or_says_that_it_does_not(models):
    model = models["reads"]
    assert [one.name for one in model.inputs] == ["question", "text"]
    for text in (TEXTS[0], TEXTS[4]):
        (answer,) = answers(model, Request({"text": text, "question": "what rose?"}, {}))
        for one in answer["answers"]:
            assert one["text"] == text[one["start"] : one["end"]]
        assert 0 < sum(one["score"] for one in answer["answers"]) <= 1.0001
    for texts in ({"text": " ", "question": "why?"}, {"text": "a", "question": ""}):
        with pytest.raises(Refusal, match="is empty"):
            answers(model, Request(texts, {}))


def test_several_labels_are_those_above_their_thresholds(models):
    (answer,) = answers(models["topics"], Request({"text": TEXTS[0]}, {}))
    thresholds = {"red": 0.2, "green": 0.9, "blue": 0.5}
    assert answer["labels"] == [
        name for name, p in answer["probabilities"].items() if p >= thresholds[name]
    ]
    assert sum(answer["probabilities"].values()) != pytest.approx(1.0)
