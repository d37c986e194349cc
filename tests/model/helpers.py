"""What several test files share: generators, seeded models, token ids, padding, statistics."""

import math

import torch

from electra.config import CLS, MASK, PAD, SEP

VOCAB = 100


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def seeded(make, *args, seed=0):
    torch.manual_seed(seed)
    return make(*args)


def grads_of(model, loss):
    model.zero_grad()
    loss.backward()
    return {name: p.grad for name, p in model.named_parameters()}


def own(model, prefix):
    return [name for name, _ in model.named_parameters() if name.startswith(prefix)]


def padding(lengths, T):
    return (torch.arange(T) < torch.tensor(lengths)[:, None])[:, None, None, :]


def within(count, n, p):
    """Whether a binomial count is within four standard deviations of its mean."""
    return abs(count - n * p) <= 4 * math.sqrt(n * p * (1 - p))


def chi_square(counts, expected):
    return sum((c - e) ** 2 / e for c, e in zip(counts, expected, strict=True))


def words(rows, width, seed=0):
    """(rows, width) ids of ordinary tokens."""
    return torch.randint(5, VOCAB, (rows, width), generator=generator(seed))


def framed(rows, width, seed=0):
    """[CLS] words [SEP] words [SEP] [PAD] …, a real [MASK] among them."""
    ids = words(rows, width, seed)
    ids[:, 0], ids[:, width // 2], ids[:, 3] = CLS, SEP, MASK
    ids[:, width - 5], ids[:, width - 4 :] = SEP, PAD
    return ids
