"""One thread that runs the models, and gives them the requests that wait as one batch."""

from __future__ import annotations

import sys
import threading
import time
import traceback
from collections import deque
from concurrent.futures import Future
from http import HTTPStatus
from typing import Any, NamedTuple

from electra.serving.limits import Limits
from electra.serving.question import Question
from electra.serving.request import Refusal, busy

# How long a batch waits for the clients of the one before: a share of the time that it took.
GATHER_SHARE, MOST_GATHER_SECONDS = 0.25, 0.05


class Job(NamedTuple):
    """A question that waits, and where its answer goes."""

    question: Question
    characters: int  # that the model reads to answer it
    answer: Future[dict[str, Any]]


class ModelThread:
    """Answers questions in their order, together those that wait for the same model.

    A single client gets its answers at once. Where the last batch had several questions, their
    clients are about to ask again, one after the other: so the next batch waits a moment for as
    many as there were, and the first of them is not answered alone.
    """

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.answered = 0  # questions, refusals by the model included
        self._waiting: deque[Job] = deque()
        self._changed = threading.Condition()
        self._stopping = False
        self._expected = 1  # questions in the next batch
        self._gather_seconds = 0.0  # that it waits for them
        self._thread: threading.Thread | None = None  # until the first question

    @property
    def waiting(self) -> int:
        """How many questions wait."""
        return len(self._waiting)

    def ask(self, question: Question) -> dict[str, Any]:
        """The answer, a JSON object.

        Raises Refusal: 503 where too many wait already or it takes too long, 500 where the model
        fails, and what the model's own `answer` raises.
        """
        model, request = question
        passes = model.kind.passes(model.predictor, request)
        job = Job(question, passes * sum(map(len, request.texts.values())), Future())
        with self._changed:
            if self._stopping:
                raise busy("the server is stopping")
            if len(self._waiting) >= self.limits.waiting:
                raise busy(f"{self.limits.waiting:,} requests wait already; try again")
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="models", daemon=True)
                self._thread.start()
            self._waiting.append(job)
            if len(self._waiting) in (1, self._expected):  # what the thread may be waiting for
                self._changed.notify()
        try:
            return job.answer.result(self.limits.answer_seconds)
        except TimeoutError:
            job.answer.cancel()
            raise busy(
                f"there was no answer within {self.limits.answer_seconds:g} seconds; try again"
            ) from None

    def stop(self, seconds: float) -> None:
        """Take no more questions; return when those that wait are answered, or after `seconds`."""
        with self._changed:
            self._stopping = True
            self._changed.notify()
        if self._thread is not None:
            self._thread.join(seconds)

    def _run(self) -> None:
        while jobs := self._take():
            started = [job for job in jobs if job.answer.set_running_or_notify_cancel()]
            if not started:
                continue
            begun = time.monotonic()
            _answer(started)
            self.answered += len(started)
            seconds = min(GATHER_SHARE * (time.monotonic() - begun), MOST_GATHER_SECONDS)
            with self._changed:
                self._expected = min(len(started) + len(self._waiting), self.limits.batch_requests)
                self._gather_seconds = seconds if len(started) > 1 else 0.0

    def _take(self) -> list[Job]:
        """The oldest job and those for the same model that fit beside it; none at the end."""
        with self._changed:
            while not self._waiting:
                if self._stopping:
                    return []
                self._changed.wait()
            self._changed.wait_for(
                lambda: self._stopping or len(self._waiting) >= self._expected,
                self._gather_seconds,
            )

            first = self._waiting.popleft()
            jobs, left, characters = [first], deque[Job](), first.characters
            for job in self._waiting:
                fits = (
                    job.question.model is first.question.model
                    and len(jobs) < self.limits.batch_requests
                    and characters + job.characters <= self.limits.batch_characters
                )
                (jobs if fits else left).append(job)
                characters += job.characters if fits else 0
            self._waiting = left
            return jobs


def _answer(jobs: list[Job]) -> None:
    """Give each job its answer, or what went wrong with it."""
    model = jobs[0].question.model
    try:
        answers = model.kind.answer(model.predictor, [job.question.request for job in jobs])
        for job, answer in list(zip(jobs, answers, strict=True)):
            job.answer.set_result(answer)
    except Exception as problem:  # whatever it is, the next requests have to be answered
        if len(jobs) > 1:  # one request may not spoil the others' answers
            for job in jobs:
                _answer([job])
            return
        if not isinstance(problem, Refusal):
            traceback.print_exception(problem, file=sys.stderr)
            why = "the model failed on this request; the server's output says how"
            problem = Refusal(HTTPStatus.INTERNAL_SERVER_ERROR, why)
        jobs[0].answer.set_exception(problem)
