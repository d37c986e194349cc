"""What the generator of a trained ELECTRA puts into a text, and what its discriminator detects."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch

from electra.checkpoint.storage import load_checkpoint
from electra.data.batch import Batch
from electra.data.examples import example_ids
from electra.data.tokenizer import Tokenizer
from electra.model import masking
from electra.model.build import with_weights
from electra.model.electra import Electra
from electra.tasks.task import Example
from electra.training.seeds import derive_seed

SHOWN_TEXTS = 4
SHOWN_TOKENS = 48  # of each text


def replaced_view(name: str, path: str, reviews: Sequence[Example]) -> list[dict[str, Any]]:
    """The beginnings of the first few reviews, corrupted and judged by the ELECTRA at `path`.

    The reviews should be labelled ones: only the unsupervised ones are in a pre-training corpus.
    """
    checkpoint = load_checkpoint(path, ("electra",))
    tokenizer = checkpoint.tokenizer
    model = with_weights(Electra, checkpoint.model_config, checkpoint.model, path)
    assert isinstance(model, Electra)
    model.eval()

    texts = [example.text_a for example in reviews[:SHOWN_TEXTS]]
    return [
        {"model": name, "tokens": view_tokens(model, tokenizer, ids[:SHOWN_TOKENS], number)}
        for number, ids in enumerate(tokenizer.encode_batch(texts))
    ]


class _Corruption(NamedTuple):
    """Of a text of T tokens, without [CLS] and [SEP]."""

    original: list[int]  # (T,)
    masked: list[bool]  # (T,)
    corrupted: list[int]  # (T,)
    probabilities: list[float]  # (T,), that the token was replaced


def view_tokens(
    model: Electra, tokenizer: Tokenizer, ids: list[int], number: int
) -> list[dict[str, Any]]:
    """Each token with the one that the generator put there, and the discriminator's probability.

    `number`, of the text, is the seed of its masks and samples.
    """
    text = _corrupt(model, ids, number)
    return [
        {
            "original": _text_of(tokenizer, old),
            "shown": _text_of(tokenizer, new),
            "replaced": old != new,
            "masked": was_masked,
            "p": round(p, 4),
            "space": tokenizer.pieces([new])[0].startswith("▁"),
        }
        for old, was_masked, new, p in zip(*text, strict=True)
    ]


def _text_of(tokenizer: Tokenizer, token: int) -> str:
    return tokenizer.decode([token]) or tokenizer.pieces([token])[0].lstrip("▁")


@torch.no_grad()
def _corrupt(model: Electra, ids: list[int], number: int) -> _Corruption:
    config = model.config
    seed = derive_seed(0, number)
    row, types = example_ids(ids, None, config.max_positions, "head", config.special)
    batch = Batch(torch.tensor([row]), torch.tensor([types]), None)

    detection = model(batch, torch.Generator().manual_seed(seed)).detection

    # The model does not return the masked positions. The same seed draws them again.
    again = masking.mask(
        batch.input_ids,
        model.mask_prob,
        "electra",
        config.vocab_size,
        torch.Generator().manual_seed(seed),
        config.special,
    )
    positions = set(again.positions[again.weights.bool()].tolist())

    inside = slice(1, len(row) - 1)  # without [CLS] and [SEP]
    return _Corruption(
        row[inside],
        [position in positions for position in range(len(row))][inside],
        detection.corrupted[0].tolist()[inside],
        torch.sigmoid(detection.logits)[0].tolist()[inside],
    )
