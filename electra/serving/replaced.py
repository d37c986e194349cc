"""An ELECTRA's answer: how much each word looks replaced, and what its generator would put there.

Letters: B rows, E embedding size, V vocabulary size.
"""

from __future__ import annotations

from http import HTTPStatus
from itertools import chain
from typing import Any

import torch
from torch import Tensor

from electra.data.batch import Batch
from electra.data.examples import Encoded
from electra.data.sentencepiece import WORD_START
from electra.data.tokenizer import Tokenizer
from electra.inference.predictor import Predictor, batches_of, round_probability
from electra.inference.replaced import detect
from electra.model.electra import Electra
from electra.serving.request import Refusal, Request
from electra.serving.words import Word, tokenized_words

SUGGESTIONS = 5


def passes_of_replaced(predictor: Predictor, request: Request) -> int:
    """How often the model reads the text."""
    return 2 if "mask" in request.options else 1


def answer_replaced(predictor: Predictor, requests: list[Request]) -> list[dict[str, Any]]:
    """For each request {"words": [{"text", "start", "end", "replaced"}]}, and with the option
    "mask", the number of a word,

    "fill": {"word", "suggestions": [{"text", "joined", "probability"}]}

    A word has the probability of its most suspicious token. A suggestion is one token for the whole
    word; where "joined" is true it continues the word before. Raises Refusal for a word that is not
    there.
    """
    texts = [request.texts["text"] for request in requests]
    words = tokenized_words(predictor.tokenizer, texts)
    ids = [list(chain.from_iterable(word.ids for word in found)) for found in words]
    answers: list[dict[str, Any]] = []
    for text, found, probabilities in zip(texts, words, detect(predictor, ids), strict=True):
        values = iter(probabilities.tolist())
        answers.append({"words": [_describe(text, word, values) for word in found]})

    masked = [i for i, request in enumerate(requests) if "mask" in request.options]
    examples = [_mask(predictor, words[i], requests[i].options["mask"]) for i in masked]
    for i, suggestions in zip(masked, _fill(predictor, examples), strict=True):
        number = requests[i].options["mask"]
        answers[i]["fill"] = {"word": number, "suggestions": suggestions}
    return answers


def _describe(text: str, word: Word, probabilities: Any) -> dict[str, Any]:
    """A word as JSON; takes from `probabilities` as many as it has tokens."""
    return {
        "text": text[word.start : word.end],
        "start": word.start,
        "end": word.end,
        "replaced": round_probability(max(next(probabilities) for _ in word.ids)),
    }


def _mask(predictor: Predictor, words: list[Word], number: int) -> tuple[list[int], int]:
    """(ids of an example with [MASK] in place of a word, where it stands among them).

    Of a text that is too long for one example, what is around the word.
    """
    if number >= len(words):
        why = f'"mask" is {number:,}, but the text has the words 0 to {len(words) - 1:,}'
        why = why if words else '"mask" names a word, but the text has none'
        raise Refusal(HTTPStatus.UNPROCESSABLE_ENTITY, why)
    special = predictor.tokenizer.special
    before = list(chain.from_iterable(word.ids for word in words[:number]))
    after = list(chain.from_iterable(word.ids for word in words[number + 1 :]))

    room = predictor.max_len - 3  # beside [CLS], [MASK] and [SEP]
    keep = min(len(before), max(room // 2, room - len(after)))
    before, after = before[len(before) - keep :], after[: room - keep]
    return [special.cls, *before, special.mask, *after, special.sep], len(before) + 1


@torch.no_grad()
def _fill(
    predictor: Predictor, examples: list[tuple[list[int], int]]
) -> list[list[dict[str, Any]]]:
    """The generator's likeliest tokens in place of the [MASK] of each example."""
    if not examples:
        return []
    model, special = predictor.model, predictor.tokenizer.special
    assert isinstance(model, Electra)
    ids = [ids for ids, _ in examples]
    encoded = Encoded(ids, [[0] * len(one) for one in ids], [0] * len(ids), special.pad)

    found: list[list[dict[str, Any]]] = [[] for _ in examples]
    for rows, batch in batches_of(encoded, predictor):
        places = torch.tensor([examples[row][1] for row in rows], device=predictor.device)
        with predictor.precision.autocast():
            logits = _generator_logits(model, batch, places)
        probabilities = torch.softmax(logits, -1)
        probabilities[:, list(special)] = 0  # no text has them
        best = probabilities.topk(SUGGESTIONS + 1)
        for row, values, tokens in zip(
            rows, best.values.tolist(), best.indices.tolist(), strict=True
        ):
            found[row] = _suggestions(predictor.tokenizer, tokens, values)
    return found


def _generator_logits(model: Electra, batch: Batch, places: Tensor) -> Tensor:
    """Logits of the generator at one place of each row: places (B,) int64 -> (B, V) float32."""
    embedded = model.embeddings(batch.input_ids, batch.token_type_ids)  # (B, T, E)
    hidden = model.generator.encoder(embedded, batch.attention_mask)
    rows = torch.arange(len(places), device=places.device)
    hidden = model.generator.head.transform(hidden[rows, places])  # (B, E)
    return (hidden @ model.embeddings.word.weight.T + model.generator.head.bias).float()


def _suggestions(
    tokenizer: Tokenizer, tokens: list[int], probabilities: list[float]
) -> list[dict[str, Any]]:
    """Tokens as JSON, without the piece of SentencePiece that is a space alone."""
    pieces = zip(tokenizer.pieces(tokens), probabilities, strict=True)
    return [
        {
            "text": piece.removeprefix(WORD_START),
            "joined": not piece.startswith(WORD_START),
            "probability": round_probability(p),
        }
        for piece, p in pieces
        if piece != WORD_START
    ][:SUGGESTIONS]
