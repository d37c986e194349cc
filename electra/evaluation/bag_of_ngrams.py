"""The bag-of-n-grams baseline: TF-IDF of words and bigrams, and logistic regression.

A baseline without pre-training, for tasks of two classes.

N: texts, M: n-grams of the vocabulary.
"""

from __future__ import annotations

import re
import warnings
from collections import Counter
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from electra.evaluation.classification import accuracy
from electra.tasks.task import Example

INVERSE_PENALTIES = (1.0, 10.0, 100.0)  # `c` of `fit_logistic_regression`; the best on dev is used


def bag_of_ngrams_baseline(
    train: Sequence[Example], dev: Sequence[Example], test: Sequence[Example] | None
) -> tuple[float, float | None]:
    """Accuracy on dev and on test. The penalty that is best on dev is used.

    None for test where there is no test set, or where it has no labels.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Sparse ")  # torch says that sparse matrices are in beta

        tf_idf = TfIdf([count_ngrams(example.text_a) for example in train])
        x, y = _encode(tf_idf, train)
        x_dev, y_dev = _encode(tf_idf, dev)

        fitted = [fit_logistic_regression(x, y.float(), c) for c in INVERSE_PENALTIES]
        dev_scores = [_accuracy_of(weights, x_dev, y_dev) for weights in fitted]
        best = int(np.argmax(dev_scores))  # of equal scores the first: the strongest penalty

        if not test or min(example.label for example in test) < 0:
            return dev_scores[best], None
        return dev_scores[best], _accuracy_of(fitted[best], *_encode(tf_idf, test))


def count_ngrams(text: str) -> Counter[str]:
    """Counts of the words with two letters or more, and of the pairs of neighbouring words."""
    words = re.findall(r"\b\w\w+\b", text.lower())
    bigrams = [f"{a} {b}" for a, b in zip(words, words[1:], strict=False)]
    return Counter(words) + Counter(bigrams)


class TfIdf:
    """The vocabulary of the training texts, and the weight of each n-gram in it."""

    def __init__(self, bags: Sequence[Counter[str]]) -> None:
        """Keep the n-grams that occur more than once in `bags`, the training texts."""
        seen_in = Counter(gram for bag in bags for gram in bag)
        kept = [gram for gram, count in seen_in.items() if count > 1]
        self.column_of = {gram: i for i, gram in enumerate(kept)}
        idf = [1 + np.log((1 + len(bags)) / (1 + seen_in[gram])) for gram in kept]
        self.idf = torch.tensor(idf, dtype=torch.float32)  # (M,)

    def encode(self, bags: Sequence[Counter[str]]) -> Tensor:
        """Features (N, M), float32, sparse (CSR); each row has length 1."""
        known = [
            [(self.column_of[gram], count) for gram, count in bag.items() if gram in self.column_of]
            for bag in bags
        ]
        row_starts = torch.tensor(np.cumsum([0, *map(len, known)]))  # (N + 1,)
        columns = torch.tensor([column for row in known for column, _ in row], dtype=torch.int64)
        counts = torch.tensor([count for row in known for _, count in row], dtype=torch.float32)

        values = counts * self.idf[columns]
        row_of = torch.repeat_interleave(torch.arange(len(known)), row_starts.diff())
        length = torch.zeros(len(known)).index_add(0, row_of, values**2).sqrt()
        size = (len(known), len(self.column_of))

        return torch.sparse_csr_tensor(row_starts, columns, values / length[row_of], size)


def fit_logistic_regression(x: Tensor, labels: Tensor, c: float) -> Tensor:
    """Minimise |w|² / 2 + c · (sum of losses) by L-BFGS.

    x (N, M) sparse (CSR), labels (N,) float32 of 0 and 1 -> weights (M + 1,) float32, the intercept
    last.
    """
    weights = torch.zeros(x.shape[1] + 1, requires_grad=True)
    transposed = x.t().to_sparse_csr()
    optimizer = torch.optim.LBFGS(
        [weights], max_iter=100, history_size=10, line_search_fn="strong_wolfe"
    )

    @torch.no_grad()
    def closure() -> float:
        w, intercept = weights[:-1], weights[-1]
        logits = x @ w + intercept
        loss = binary_cross_entropy_with_logits(logits, labels, reduction="sum")
        error = torch.sigmoid(logits) - labels
        # The gradient by hand, of the sparse matrix and its transpose.
        gradient = torch.cat([w / c + transposed @ error, error.sum()[None]])
        weights.grad = gradient / len(labels)
        return float((loss + (w @ w) / (2 * c)) / len(labels))

    optimizer.step(closure)
    return weights.detach()


def _encode(tf_idf: TfIdf, examples: Sequence[Example]) -> tuple[Tensor, Tensor]:
    """Features (N, M) and labels (N,) int64."""
    features = tf_idf.encode([count_ngrams(example.text_a) for example in examples])
    return features, torch.tensor([int(example.label) for example in examples])


def _accuracy_of(weights: Tensor, x: Tensor, labels: Tensor) -> float:
    logits = x @ weights[:-1] + weights[-1]
    return accuracy(labels.numpy(), (logits > 0).long().numpy())
