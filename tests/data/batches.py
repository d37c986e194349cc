"""Texts without words and their batches, for the tests of spans, batches and examples."""

import numpy as np
import torch

from electra.config import SpecialIds


def text(documents):
    """(lines, starts, ends) of documents that are given as lists of the lengths of their lines."""
    lines = np.cumsum([0, *(n for document in documents for n in document)])
    bounds = np.cumsum([0, *map(sum, documents)])
    return lines, bounds[:-1], bounds[1:]


def random_text(seed, documents=60):
    """The same of random documents."""
    rng = np.random.default_rng(seed)
    return text([rng.integers(1, 40, rng.integers(1, 12)).tolist() for _ in range(documents)])


def rows_of(batch):
    """The sequences of a batch without their padding."""
    mask = (
        torch.ones_like(batch.input_ids).bool()
        if batch.attention_mask is None
        else batch.attention_mask
    )
    return [ids[there].tolist() for ids, there in zip(batch.input_ids, mask, strict=True)]


def same(a, b):
    """Whether two batches have the same tensors."""
    return all((x is None and y is None) or torch.equal(x, y) for x, y in zip(a, b, strict=True))


# The ids of BERT's vocabularies, and ids at the end of a vocabulary.
BERTS = SpecialIds(pad=0, unk=100, cls=101, sep=102, mask=103)

LAST = SpecialIds(pad=50, unk=51, cls=52, sep=53, mask=54)
