"""A classifier's or a regression's answer, and which words matter to it."""

from __future__ import annotations

from typing import Any, NamedTuple

from electra.inference.labels import label_texts
from electra.inference.predictor import Predictor
from electra.inference.texts import Record
from electra.serving.request import Request
from electra.serving.words import find_words

# A text is read once for each part that is left out, so a long text has fewer and longer parts.
MOST_PARTS, FEWEST_PARTS = 48, 8
TOKENS_OF_PARTS = 8_192  # about, which all these readings have together
CHARACTERS_OF_TOKEN = 3  # about; fewer than an English token has


class Part(NamedTuple):
    """Neighbouring words of one of the texts: its characters from start to end."""

    name: str  # of the text
    start: int
    end: int


def passes_of_labels(predictor: Predictor, request: Request) -> int:
    """How often the model reads the text."""
    return 1 + (_part_count(predictor, request) if request.options.get("words") else 0)


def _part_count(predictor: Predictor, request: Request) -> int:
    characters = sum(map(len, request.texts.values()))
    tokens = min(predictor.most_tokens, characters // CHARACTERS_OF_TOKEN + 1)
    return min(MOST_PARTS, max(FEWEST_PARTS, TOKENS_OF_PARTS // tokens))


def answer_labels(predictor: Predictor, requests: list[Request]) -> list[dict[str, Any]]:
    """For each request {"label", "probability", "probabilities": {label: probability}}, or of a
    regression {"value"}. With the option "words" also

    "words": [{"input", "text", "start", "end", "weight"}]

    "weight" is how much lower the probability of the label, or the value, is without these words of
    the input (leave-one-out). A text of many words is cut into parts of several.
    """
    records, parts_of = [], []
    for request in requests:
        parts = _parts(predictor, request) if request.options.get("words") else []
        parts_of.append(parts)
        records += [_record(request.texts), *(_without(request.texts, part) for part in parts)]

    # One call for all: so texts of several clients are in the same batches.
    found = iter(label_texts(predictor, records))
    answers = []
    for request, parts in zip(requests, parts_of, strict=True):
        whole = next(found)
        answer = {key: value for key, value in whole.items() if key not in ("text", "text_b")}
        if request.options.get("words"):
            answer["words"] = [_weigh(request.texts, part, whole, next(found)) for part in parts]
        answers.append(answer)
    return answers


def _parts(predictor: Predictor, request: Request) -> list[Part]:
    """The words of all texts, or as many runs of neighbouring words as may be read."""
    words = {name: find_words(text) for name, text in request.texts.items()}
    most = _part_count(predictor, request)
    size = max(1, -(-sum(map(len, words.values())) // most))
    return [
        Part(name, found[i][0], found[min(i + size, len(found)) - 1][1])
        for name, found in words.items()
        for i in range(0, len(found), size)
    ]


def _record(texts: dict[str, str]) -> Record:
    return Record("the request", texts["text"], texts.get("text_b"))


def _without(texts: dict[str, str], part: Part) -> Record:
    text = texts[part.name]
    return _record({**texts, part.name: text[: part.start] + text[part.end :]})


def _weigh(
    texts: dict[str, str], part: Part, whole: dict[str, Any], without: dict[str, Any]
) -> dict[str, Any]:
    """What a part of a text adds to the answer to the whole."""
    if "value" in whole:
        weight = whole["value"] - without["value"]
    else:
        weight = whole["probability"] - without["probabilities"][whole["label"]]
    return {
        "input": part.name,
        "text": texts[part.name][part.start : part.end],
        "start": part.start,
        "end": part.end,
        "weight": round(weight, 6),
    }
