"""Self-training: a model labels texts itself, and a new one learns from the surest as well.

The labels are the model's answers (pseudo-labels, Lee 2013). A new model begins from the same
start and learns under dropout, as in noisy student (Xie et al. 2020). Each class is kept in its
share of the labelled examples, so that a model's favourite class does not grow from round to round
(distribution alignment, Berthelot et al. 2020).

N: texts, C: classes, K: texts that are kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from electra.checkpoint.checkpoint import Checkpoint
from electra.config import FinetuneConfig
from electra.data.whole_texts import read_texts
from electra.evaluation import results
from electra.tasks.task import NO_LABEL, Example, TaskData
from electra.training.finetuning import Prepared, fill_in
from electra.training.finetuning_seed import SeedRun, begin_seed, has_collapsed, predict


def read_unlabelled(config: FinetuneConfig, data: TaskData) -> tuple[Example, ...]:
    """The texts of --unlabelled, none without the flag.

    Texts that are among the task's examples, and copies of one another, are left out. Raises
    ValueError for a task without classes of single texts, and where there are too few texts.
    """
    if not config.unlabelled:
        return ()
    task = data.task
    if task.kind != "classes" or data.train[0].text_b is not None:
        what = "pairs of texts" if task.kind == "classes" else task.kind
        raise ValueError(f"--unlabelled is for classes of single texts; {task.name} is of {what}")

    known = {_words_of(example.text_a) for example in data.train}
    for examples in results.sets_of(data).values():
        known |= {_words_of(example.text_a) for example in examples}
    texts: dict[str, str] = {}
    for text in read_texts(config.unlabelled, config.text_field or task.text[0]):
        texts.setdefault(_words_of(text), text)
    found = [text for words, text in texts.items() if words not in known]
    if not found:
        raise ValueError(
            f"--unlabelled {' '.join(config.unlabelled)}: no text that is not among the task's own"
        )
    return tuple(Example(text, None, NO_LABEL) for text in _fewer(found, config))


def _words_of(text: str) -> str:
    """What is compared of a text: white space does not matter."""
    return " ".join(text.split())


def _fewer(texts: list[str], config: FinetuneConfig) -> list[str]:
    """So many as the settings say, the same ones every time."""
    wanted = config.unlabelled_examples
    if wanted is None:
        return texts
    if wanted > len(texts):
        raise ValueError(f"--unlabelled-examples {wanted} is not from 1 to {len(texts)}")
    return [texts[i] for i in np.random.default_rng(0).permutation(len(texts))[:wanted]]


def kept_at_most(config: FinetuneConfig, unlabelled: Sequence[Example]) -> int:
    """How many of the unlabelled texts a model learns from, at most."""
    return round(config.unlabelled_share * len(unlabelled))


def fill_in_student(
    config: FinetuneConfig,
    data: TaskData,
    checkpoint: Checkpoint | None,
    unlabelled: Sequence[Example],
) -> FinetuneConfig | None:
    """The settings of the models that learn from unlabelled texts too; None without such texts.

    What follows from the number of examples, as epochs and steps do, follows from all of them.
    """
    if not unlabelled:
        return None
    return fill_in(config, data, checkpoint, kept_at_most(config, unlabelled))


def choose_surest(
    probabilities: NDArray[np.float32], shares: NDArray[np.float64], most: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(indices of the texts that are kept, in their order; the class of each), (K,) int64 both.

    probabilities: (N, C). shares: of the classes, (C,), adding up to 1. Of each class at most its
    share of `most` texts are kept, those to which the model gives it most probably; fewer where it
    is the best answer for fewer.
    """
    best = probabilities.argmax(1)
    kept = []
    for label, share in enumerate(shares):
        texts = np.flatnonzero(best == label)
        order = np.argsort(-probabilities[texts, label], kind="stable")
        kept.append(texts[order[: round(share * most)]])
    indices = np.sort(np.concatenate(kept))
    return indices, best[indices]


def another_round(run: SeedRun, prepared: Prepared) -> bool:
    """Whether the unlabelled texts are to be labelled once more.

    Not by a model that has learned nothing, and not after a round that was no better than what was
    before: the same model would give the same labels.
    """
    assert run.best is not None
    better = run.best.round == run.round
    return run.round < prepared.rounds and better and not has_collapsed(run)


def begin_round(run: SeedRun, prepared: Prepared) -> SeedRun:
    """Label the unlabelled texts with the seed's best model so far, and begin a new one.

    prepared: what the seed began with. The new run keeps the best epoch, which only a better one on
    the held-out part replaces.
    """
    assert run.best is not None and prepared.student is not None
    run.model.load_state_dict(run.best.state)
    probabilities = np.asarray(predict(run, "unlabelled"))
    counts = prepared.kind.label_counts(prepared.data)
    assert counts is not None
    most = kept_at_most(run.config, prepared.unlabelled)
    indices, labels = choose_surest(probabilities, counts / counts.sum(), most)
    student = begin_seed(
        run.seed,
        replace(prepared.student, lr=run.config.lr, warmup=run.config.warmup),
        with_own_labels(prepared, indices, labels),
        run.machine,
    )
    student.round, student.step, student.best = run.round + 1, run.step, run.best
    student.labelled_score = run.best.score if run.round == 0 else run.labelled_score
    tqdm.write(f"{student.name}: {_kept_line(prepared, probabilities, indices, labels)}")
    return student


def with_own_labels(
    prepared: Prepared, indices: NDArray[np.int64], labels: NDArray[np.int64]
) -> Prepared:
    """The task with further training examples: unlabelled texts, by index, and their labels."""
    more = [
        prepared.unlabelled[i]._replace(label=int(label))
        for i, label in zip(indices, labels, strict=True)
    ]
    encoded, texts = prepared.encoded, prepared.encoded["unlabelled"]
    train = encoded["train"].with_more(texts, indices, [example.label for example in more])
    return replace(
        prepared,
        data=prepared.data._replace(train=prepared.data.train + more),
        encoded={**encoded, "train": train},
    )


def _kept_line(
    prepared: Prepared,
    probabilities: NDArray[np.float32],
    indices: NDArray[np.int64],
    labels: NDArray[np.int64],
) -> str:
    """How many texts of each class are kept, and how sure the model was of the least sure one."""
    parts = []
    for label, name in enumerate(prepared.data.labels):
        sure = probabilities[indices[labels == label], label]
        parts.append(
            f"{len(sure):,} {name}" + (f" (from {sure.min():.1%} on)" if len(sure) else "")
        )
    texts = len(prepared.unlabelled)
    return f"the model labelled {texts:,} texts itself; kept: {', '.join(parts)}"
