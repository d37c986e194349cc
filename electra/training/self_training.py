"""Self-training: a model labels texts itself, and a new one learns from these pseudo-labels too.

A pseudo-label is the class that the teacher thinks most probable (Lee 2013). The student begins
from the same start as the teacher and learns under dropout, as in noisy student (Xie et al. 2020).
Of each class it gets at most that class's share of the labelled examples, so that a favourite class
of the teacher does not crowd out the others.

N: texts, C: classes, K: texts that are kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from electra.config import FinetuneConfig
from electra.data.sources import ReadingReport, left_out_lines
from electra.data.whole_texts import read_texts
from electra.evaluation import results
from electra.report.values import plural
from electra.tasks.rows import clean_review
from electra.tasks.task import NO_LABEL, Example, TaskData
from electra.training.finetuning import Prepared
from electra.training.finetuning_seed import SeedRun, begin_seed, find_collapse, predict

# Kinds of tasks -> what a text of them has in place of one class.
OTHER_KINDS = {
    "regression": "a score for each text",
    "labels": "several labels for a text",
    "tags": "a tag for each word",
    "spans": "answers to questions",
    "vectors": "pairs of texts",
}


# ---------------------------------------------------------------- the texts


def read_unlabelled(config: FinetuneConfig, data: TaskData) -> tuple[Example, ...]:
    """The texts of --unlabelled, none without the flag; says how many there are.

    Copies of one another are left out, and texts that the run learns from, holds out or tests on.
    Raises ValueError for a task of another kind, and where there are too few texts.
    """
    if not config.unlabelled:
        return ()
    task = data.task
    pairs = task.kind == "classes" and data.train[0].text_b is not None
    if pairs or task.kind in OTHER_KINDS:
        what = "pairs of texts" if pairs else OTHER_KINDS[task.kind]
        raise ValueError(f"--unlabelled is for single texts of one class each; this has {what}")

    report = ReadingReport()
    texts: dict[str, str] = {}
    for text in _read(config, config.text_field or task.text[0], report):
        texts.setdefault(normalise(text), text)
    sets = (data.train, *results.sets_of(data).values())
    known = {normalise(example.text_a) for examples in sets for example in examples}
    found = [text for words, text in texts.items() if words not in known]
    print("\n".join(_describe(report, len(texts), len(found))), flush=True)
    chosen = _choose(found, config)
    if not kept_at_most(config, chosen):
        raise ValueError(
            f"--unlabelled-share {config.unlabelled_share:g} of {len(chosen):,} texts is none"
        )
    return tuple(Example(text, None, NO_LABEL) for text in chosen)


def _read(config: FinetuneConfig, text_field: str, report: ReadingReport) -> list[str]:
    """The texts of the files. Raises ValueError that begins with the flag."""
    try:
        return list(read_texts(config.unlabelled, text_field, report))
    except ValueError as problem:
        advice = ", or go on with --errors replace"  # a flag of train.py
        raise ValueError(f"--unlabelled: {str(problem).replace(advice, '')}") from None


def normalise(text: str) -> str:
    """A text without what may differ between two files that have it: breaks and white space."""
    if "<" in text:
        text = clean_review(text)
    return " ".join(text.split())


def _describe(report: ReadingReport, distinct: int, found: int) -> list[str]:
    """Lines about what was read: files, texts, and what was left out."""
    line = f"unlabelled: {plural(report.files, 'file')}, {distinct:,} different texts"
    if distinct > found:
        line += f", of which {distinct - found:,} are among the task's own"
    return [line, *left_out_lines(report.left_out, "unlabelled")]


def _choose(texts: list[str], config: FinetuneConfig) -> list[str]:
    """As many as --unlabelled-examples says, the same ones in every run."""
    if not texts:
        raise ValueError(
            f"--unlabelled {' '.join(config.unlabelled)}: there is no text in it, or only texts of "
            f"the task itself"
        )
    wanted = config.unlabelled_examples
    if wanted is None:
        return texts
    if wanted > len(texts):
        raise ValueError(f"--unlabelled-examples {wanted}: there are {len(texts):,} texts")
    return [texts[i] for i in np.random.default_rng(0).permutation(len(texts))[:wanted]]


# ---------------------------------------------------------------- pseudo-labels


def kept_at_most(config: FinetuneConfig, unlabelled: Sequence[object]) -> int:
    """How many of the unlabelled texts a student learns from, at most."""
    return round(config.unlabelled_share * len(unlabelled))


def choose_most_confident(
    probabilities: NDArray[np.float32], shares: NDArray[np.float64], most: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(indices of the texts that are kept, in their order; the class of each), (K,) int64 both.

    probabilities: (N, C). shares: of the classes, (C,), adding up to 1. Of each class at most its
    share of `most` texts are kept, those to which the teacher gives it most probably, and only
    texts that it gives no other class more probably.
    """
    best = probabilities.argmax(1)
    ends = np.rint(np.cumsum(shares) * most).astype(np.int64)  # so that all quotas add up to `most`
    kept = []
    for label, quota in enumerate(np.diff(ends, prepend=0)):
        texts = np.flatnonzero(best == label)
        order = np.argsort(-probabilities[texts, label], kind="stable")
        kept.append(texts[order[:quota]])
    indices = np.sort(np.concatenate(kept))
    return indices, best[indices]


# ---------------------------------------------------------------- rounds


def another_round(run: SeedRun, prepared: Prepared) -> bool:
    """Whether the unlabelled texts are to be labelled once more.

    Not by a model that has learned nothing, and not after a round that was no better than what was
    before: the same teacher would give the same labels.
    """
    assert run.best is not None
    if not prepared.unlabelled or run.round == run.config.rounds:
        return False
    return run.best.round == run.round and not find_collapse(run)


def begin_round(run: SeedRun, prepared: Prepared) -> SeedRun:
    """Label the unlabelled texts with the seed's best model so far, and begin a student.

    prepared: what the seed began with. The student's run keeps the best epoch, which only a better
    one on the held-out part replaces.
    """
    assert run.best is not None
    run.model.load_state_dict(run.best.state)
    probabilities = np.asarray(predict(run, "unlabelled"))
    counts = prepared.kind.label_counts(prepared.data)
    assert counts is not None
    most = kept_at_most(run.config, prepared.unlabelled)
    indices, labels = choose_most_confident(probabilities, counts / counts.sum(), most)

    config = replace(
        run.config,
        epochs=run.config.unlabelled_epochs,
        batch_rows=run.config.unlabelled_batch_rows,
    )
    student = begin_seed(
        run.seed, config, with_pseudo_labels(prepared, indices, labels), run.machine
    )
    student.round, student.step, student.best = run.round + 1, run.step, run.best
    student.head_score = run.head_score
    student.labelled_score = run.best.score if run.round == 0 else run.labelled_score
    tqdm.write(f"{student.name}: {_kept_line(prepared, probabilities, indices, labels)}")
    return student


def with_pseudo_labels(
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
    """How many texts of each class are kept, and how sure the teacher was of the least sure one."""
    parts = []
    for label, name in enumerate(prepared.data.labels):
        sure = probabilities[indices[labels == label], label]
        least = f" (from {sure.min():.1%} on)" if len(sure) else ""
        parts.append(f"{len(sure):,} {name}{least}")
    texts = len(prepared.unlabelled)
    return f"the model labelled {texts:,} texts itself; kept: {', '.join(parts)}"
