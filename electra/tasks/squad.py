"""Questions about texts in the layout of SQuAD 1.1 and 2.0 (Rajpurkar et al. 2016, 2018).

    {"data": [{"title": "…", "paragraphs": [{"context": "…", "qas": [
        {"id": "…", "question": "…", "answers": [{"text": "…", "answer_start": 12}],
         "is_impossible": false}]}]}]}

`is_impossible` is of 2.0 alone. A test file may lack `answers`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from electra.files import is_encodable
from electra.tasks.tables import read_text
from electra.tasks.task import Answer, Question, Task, TaskData

NAMES = {
    "train": ("train.json", "train-v1.1.json", "train-v2.0.json"),
    "dev": ("dev.json", "valid.json", "validation.json", "dev-v1.1.json", "dev-v2.0.json"),
    "test": ("test.json",),
}


def load_squad(task: Task, root: Path, seed: int, skip_bad: bool) -> TaskData:
    """A folder with a training file and perhaps a dev and a test file, or one file.

    Without a dev file a tenth of the articles, at least one, is held out, drawn by `seed`: no
    article is in both. Raises ValueError for a file that is missing or is laid out otherwise.
    """
    paths = _find_files(root) if root.is_dir() else {"train": root}
    return load_questions(task, paths, seed, skip_bad)


def load_questions(task: Task, paths: dict[str, Path], seed: int, skip_bad: bool) -> TaskData:
    """Read the files of a task: "train", and perhaps "dev" and "test"."""
    sets, skipped = {}, 0
    for name, path in paths.items():
        found, bad = read_questions(path, skip_bad)
        sets[name], unanswered = _answered(found, path, name == "test", skip_bad)
        skipped += bad + unanswered
    if "dev" not in sets:
        sets["train"], sets["dev"] = _hold_out_articles(sets["train"], seed, paths["train"])
    return TaskData(task, (), sets["train"], sets["dev"], sets.get("test"), skipped=skipped)


def _answered(
    questions: list[Question], path: Path, is_test: bool, skip_bad: bool
) -> tuple[list[Question], int]:
    """(the questions whose answers are known, or all where a test file knows none; how many were
    left out).

    Raises ValueError, with the question's id, for others without answers, unless `skip_bad`.
    """
    answered = [question for question in questions if question.answers is not None]
    if is_test and not answered:
        return questions, 0
    if not answered or (len(answered) < len(questions) and not skip_bad):
        name = next(question.id for question in questions if question.answers is None)
        raise ValueError(
            f'{path}: question {name!r} has no "answers"; only a test file may lack them, and then '
            f"all of them (--skip-bad leaves such questions out)"
        )
    return answered, len(questions) - len(answered)


def _find_files(folder: Path) -> dict[str, Path]:
    found = {}
    for name, names in NAMES.items():
        paths = [path for file in names if (path := folder / file).is_file()]
        if len(paths) > 1:
            both = " and ".join(path.name for path in paths)
            raise ValueError(f"{folder}: holds {both}; keep one of them")
        if paths:
            found[name] = paths[0]
    if "train" not in found:
        raise ValueError(f"{folder}: no training file; it is named {' or '.join(NAMES['train'])}")
    return found


def _hold_out_articles(
    questions: list[Question], seed: int, source: Path
) -> tuple[list[Question], list[Question]]:
    """(the rest, the questions of a tenth of the articles)."""
    titles = list(dict.fromkeys(question.title for question in questions))
    if len(titles) < 2:
        raise ValueError(
            f"{source}: all questions are about one article, of which none can be held out; give "
            f"a dev file"
        )
    order = np.random.RandomState(seed).permutation(len(titles))
    held = {titles[i] for i in order[: max(1, len(titles) // 10)]}
    rest = [question for question in questions if question.title not in held]
    return rest, [question for question in questions if question.title in held]


# ---------------------------------------------------------------- one file


def read_questions(path: Path, skip_bad: bool = False) -> tuple[list[Question], int]:
    """(the questions of a file, how many were left out).

    Raises ValueError, with the file and the question's id, for a question that lacks a part, and
    for an answer that is not where its offset says; `skip_bad` leaves such a question out.
    """
    if not path.is_file():
        raise ValueError(f"{path}: no such file")
    try:
        content = json.loads(read_text(path))
    except RecursionError:
        raise ValueError(f"{path}: nested too deep") from None
    except ValueError as problem:
        if str(problem).startswith(str(path)):  # not UTF-8
            raise
        raise ValueError(f"{path}: not valid JSON ({problem})") from None

    questions: list[Question] = []
    skipped, seen = 0, set()
    for title, context, values in _entries(path, content):
        try:
            question = _question(title, context, values)
            if question.id in seen:
                raise ValueError(f"the id {question.id!r} occurs twice")
        except ValueError as problem:
            if not skip_bad:
                raise ValueError(
                    f"{path}: {problem} (--skip-bad leaves such questions out)"
                ) from None
            skipped += 1
            continue
        seen.add(question.id)
        questions.append(question)
    if not questions:
        raise ValueError(f"{path}: no questions in it")
    return questions, skipped


def _entries(path: Path, content: Any) -> Iterator[tuple[str, Any, Any]]:
    """(title, context, the values of a question) of each question."""
    articles = content.get("data") if isinstance(content, dict) else None
    if not isinstance(articles, list):
        raise ValueError(f'{path}: no "data" that is a list of articles, as files of SQuAD have it')
    for number, article in enumerate(articles):
        paragraphs = article.get("paragraphs") if isinstance(article, dict) else None
        if not isinstance(paragraphs, list):
            raise ValueError(f'{path}: article {number + 1} has no "paragraphs"')
        title = str(article.get("title", f"article {number + 1}"))
        for paragraph in paragraphs:
            questions = paragraph.get("qas") if isinstance(paragraph, dict) else None
            if not isinstance(questions, list):
                raise ValueError(f'{path}: a paragraph of {title!r} has no "qas"')
            for values in questions:
                yield title, paragraph.get("context"), values


def _question(title: str, context: Any, values: Any) -> Question:
    """Raises ValueError that names the question."""
    if not isinstance(values, dict):
        raise ValueError(f"a question of {title!r} is no object")
    name = str(values.get("id", ""))
    text = values.get("question")
    text = _checked(text, f"question {name!r}", "question")
    context = _checked(context, f"question {name!r}", "context")
    if not name or not is_encodable(name):
        raise ValueError(f"a question of {title!r} has no id: {text!r:.60}")
    return Question(name, title, text, context, _answers(name, context, values))


def _checked(part: Any, where: str, what: str) -> str:
    """A text that is there and can be written."""
    if not isinstance(part, str) or not part.strip():
        raise ValueError(f"{where} has an empty {what}, or none")
    if not is_encodable(part):
        raise ValueError(f"{where}: half a surrogate pair in its {what}")
    return part


def _answers(name: str, context: str, values: dict[str, Any]) -> tuple[Answer, ...] | None:
    """None where the file does not say; none in the tuple where there is no answer."""
    if values.get("is_impossible"):
        return ()
    listed = values.get("answers")
    if listed is None:
        return None
    if not isinstance(listed, list):
        raise ValueError(f"question {name!r}: its answers are no list")
    answers = []
    for one in listed:
        text = one.get("text") if isinstance(one, dict) else None
        start = one.get("answer_start") if isinstance(one, dict) else None
        if not isinstance(text, str) or type(start) is not int or not text:
            raise ValueError(f'question {name!r}: an answer without "text" and "answer_start"')
        if start < 0 or context[start : start + len(text)] != text:
            raise ValueError(
                f"question {name!r}: the answer {text!r:.60} is not at offset {start} of its "
                f"context"
            )
        answers.append(Answer(text, start))
    return tuple(answers)
