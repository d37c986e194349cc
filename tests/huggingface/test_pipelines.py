"""Fine-tuned models in the pipelines of transformers answer as predict.py; and theirs here."""

import re
from dataclasses import replace

import numpy as np
import pytest
import torch

from electra.inference.entities import tag_texts
from electra.inference.predictor import load_predictor, outputs_of
from electra.inference.texts import records_of
from electra.tasks.task import Example
from huggingface.checks import loaded
from huggingface.conftest import SAMPLE
from huggingface.released import random_batch
from huggingface.test_fine_tuned import ENCODERS, KINDS, SETTINGS
from huggingface.theirs import SMALL, shaken


@pytest.fixture
def exported(saved, tmp_path, done):
    """exported(name of `KINDS`, encoder, tokens, **settings) -> (its checkpoint, its folder)."""

    def make(name, encoder, tokens="wordpiece", **settings):
        kind, labels, parts = KINDS[name]
        parts = {**parts, "settings": replace(SETTINGS, **{"truncate": "head", **settings})}
        ours = saved(kind, tokens, labels, parts=parts, pooling="cls", **ENCODERS[encoder])
        done("export", ours, tmp_path / "exported")
        return ours, tmp_path / "exported"

    return make


def sample_texts(count):
    """Lines of the sample, most of them longer than the models read."""
    lines = (SAMPLE / "wiki.raw").read_text(encoding="utf-8").splitlines()
    return [line.strip() for line in lines if line.strip()][:count]


def scores_of(pipe, examples, labels):
    """(N, labels) of a text-classification pipeline."""
    found = []
    for example in examples:
        text = example.text_a
        if example.text_b is not None:
            text = {"text": text, "text_pair": example.text_b}
        said = pipe(text)
        said = said[0] if isinstance(said[0], list) else said
        by_label = {one["label"]: one["score"] for one in said}
        found.append([by_label[label] for label in labels])
    return np.array(found)


@pytest.mark.parametrize(
    "name, encoder, more",
    [
        ("classes", "Electra", {}),
        ("classes", "Bert", {"tokens": "sentencepiece"}),
        ("regression", "Electra", {"truncate": "tail"}),
        ("labels", "Bert", {}),
    ],
)
def test_a_text_classification_pipeline_scores_as_predict(
    transformers, exported, name, encoder, more
):
    ours, folder = exported(name, encoder, **more)
    pipe = transformers.pipeline(
        "text-classification", model=str(folder), truncation=True, top_k=None
    )
    assert type(pipe.model).__name__ == f"{encoder}ForSequenceClassification"

    texts = sample_texts(10)
    seconds = [text[:40] for text in texts] if KINDS[name][2].get("pairs") else [None] * len(texts)
    examples = [Example(*pair, -1) for pair in zip(texts, reversed(seconds), strict=True)]
    expected = outputs_of(load_predictor(ours, amp="off"), examples)
    if name == "labels":
        expected = expected[..., 0]
    found = scores_of(pipe, examples, KINDS[name][1] or ("value",))
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)
    longest = max(len(ids) for ids in pipe.tokenizer(texts)["input_ids"])
    assert expected.std(0).min() > 1e-3 and longest > SETTINGS.max_len


@pytest.mark.parametrize("encoder, strategy", [("Electra", "first"), ("Bert", "simple")])
def test_a_token_classification_pipeline_finds_the_entities_of_predict(
    transformers, exported, vocabulary, encoder, strategy
):
    ours, folder = exported("tags", encoder)
    pipe = transformers.pipeline(
        "token-classification", model=str(folder), aggregation_strategy=strategy
    )
    assert type(pipe.model).__name__ == f"{encoder}ForTokenClassification"

    # Of one token each, so that both programs see the same words.
    words = [word for word in vocabulary if re.fullmatch("[a-z]{3,}", word)]
    texts = [" ".join(words[i : i + 20]) for i in range(0, 200, 20)]
    predictor, found = load_predictor(ours, amp="off"), 0
    for text, answer in zip(texts, tag_texts(predictor, list(records_of(texts))), strict=True):
        theirs = [one for one in pipe(text) if one["entity_group"] != "O"]
        mine = answer["entities"]
        keys = [(one["type"], one["start"], one["end"]) for one in mine]
        assert [(one["entity_group"], one["start"], one["end"]) for one in theirs] == keys
        for one, other in zip(mine, theirs, strict=True):
            is_word = " " not in one["text"]  # ours is the lowest score of its words, theirs a mean
            assert one["score"] <= other["score"] + 1e-5
            assert not is_word or abs(one["score"] - other["score"]) < 1e-5
        found += len(mine)
    assert found > 20


@pytest.mark.parametrize("encoder", ENCODERS)
def test_question_answering_has_the_logits_of_the_reader(transformers, exported, encoder):
    ours, folder = exported("spans", encoder)
    theirs = transformers.AutoModelForQuestionAnswering.from_pretrained(folder).eval()
    assert type(theirs).__name__ == f"{encoder}ForQuestionAnswering"
    assert_same_logits(theirs, loaded(ours)[1])


@pytest.mark.parametrize("encoder", ENCODERS)
@pytest.mark.parametrize("task", ["TokenClassification", "QuestionAnswering"])
def test_a_model_fine_tuned_with_transformers_is_one_here(
    transformers, theirs_in, done, tmp_path, vocabulary, encoder, task
):
    labels = ["O", "B-LOC", "I-LOC", "B-PER", "I-PER"]
    named = {"id2label": dict(enumerate(labels))} if task == "TokenClassification" else {}
    config = getattr(transformers, f"{encoder}Config")(
        vocab_size=len(vocabulary),
        **named,
        **SMALL,
        **({"embedding_size": 16} if encoder == "Electra" else {}),
    )
    theirs = shaken(getattr(transformers, f"{encoder}For{task}")(config))
    said = done("import", theirs_in(theirs, "tuned"), "--out", tmp_path / "back.pt")
    checkpoint, model = loaded(tmp_path / "back.pt")
    assert "left out" not in said and checkpoint.labels == tuple(labels if named else ())
    assert checkpoint.kind == ("tagger" if named else "reader")
    assert_same_logits(theirs, model)
    assert load_predictor(tmp_path / "back.pt").max_len == 64


@torch.no_grad()
def assert_same_logits(theirs, model):
    batch = random_batch(200)
    said = theirs(batch.input_ids, batch.attention_mask.long(), batch.token_type_ids)
    other = said.logits if "logits" in said else torch.stack([said[0], said[1]], -1)
    mine = model.logits(batch)
    real = batch.attention_mask
    torch.testing.assert_close(mine[real], other[real], rtol=0, atol=1e-5)
    assert mine[real].std() > 0.1 and not real.all()
