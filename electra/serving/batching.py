"""The threads that run the models, and give them the requests that wait in batches."""

from __future__ import annotations

import sys
import threading
import time
import traceback
from collections import deque
from concurrent.futures import Future
from http import HTTPStatus
from typing import Any, NamedTuple

from electra.model.side_by_side import MOST_THREADS, shares_of_cores, use_cores
from electra.serving.limits import Limits
from electra.serving.question import Question
from electra.serving.request import Refusal, busy

# How long a batch waits for the clients of the one before: a share of the time that it took.
GATHER_SHARE, MOST_GATHER_SECONDS = 0.25, 0.05
# Several cores make a batch of this many characters faster, and a smaller one slower.
CHARACTERS_FOR_ALL_CORES = 4_096


class Job(NamedTuple):
    """A question that waits, and where its answer goes."""

    question: Question
    characters: int  # that the model reads to answer it
    answer: Future[dict[str, Any]]


class Taken(NamedTuple):
    """What a thread answers next."""

    jobs: list[Job]  # for one model; none at the end
    alone: bool  # whether nobody else asks anything

    @property
    def is_long(self) -> bool:
        return sum(job.characters for job in self.jobs) >= CHARACTERS_FOR_ALL_CORES


class ModelThreads:
    """Answers questions in their order, those that wait for the same model in batches.

    Each thread has a batch of its own and its share of the cores: two batches on one core each take
    less time than one after the other on both. A long question that comes alone has all cores.

    A single client gets its answers at once. Where the last batch had several questions, their
    clients are about to ask again, one after the other: the thread then waits a moment, until its
    share of them has, instead of answering the first alone.
    """

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.answered = 0  # questions, refusals by the model included
        self.cores = 1  # of all threads, of which each has one or more; set before any question
        self._waiting: deque[Job] = deque()
        self._running = 0  # questions that are being answered
        self._clients = 1  # that wait for an answer, or had theirs just now
        self._changed = threading.Condition()
        self._stopping = False
        self._threads: list[threading.Thread] = []  # none until the first question

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
            if not self._threads:
                self._start()
            self._waiting.append(job)
            if len(self._waiting) == 1 or len(self._waiting) >= self._share():
                self._changed.notify_all()  # a thread may be waiting for this
        try:
            return job.answer.result(self.limits.answer_seconds)
        except TimeoutError:
            job.answer.cancel()
            raise busy(
                f"there was no answer within {self.limits.answer_seconds:g} seconds; try again"
            ) from None

    def stop(self, seconds: float) -> None:
        """Take no more questions; return when those that wait are answered, or after `seconds`."""
        end = time.monotonic() + seconds
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join(max(0.0, end - time.monotonic()))

    @property
    def _count(self) -> int:
        """How many threads there are."""
        return min(self.cores, MOST_THREADS)

    def _start(self) -> None:
        """Raises Refusal where the system has no thread for the models."""
        for cores in shares_of_cores(self.cores, self._count):
            thread = threading.Thread(target=self._run, args=(cores,), name="models", daemon=True)
            try:
                thread.start()
            except RuntimeError:
                if not self._threads:
                    raise busy("the system has no more threads; try again") from None
                return
            self._threads.append(thread)

    def _share(self) -> int:
        """How many questions a batch has where all threads have equally many."""
        clients = max(self._clients, len(self._waiting) + self._running)
        return min(-(-clients // self._count), self.limits.batch_requests)

    def _run(self, cores: int) -> None:
        """A thread with so many cores."""
        gather_seconds = 0.0
        while (taken := self._take(gather_seconds)).jobs:
            started = [job for job in taken.jobs if job.answer.set_running_or_notify_cancel()]
            begun = time.monotonic()
            if started:
                use_cores(self.cores if taken.alone and taken.is_long else cores)
                _answer(started)
            seconds = min(GATHER_SHARE * (time.monotonic() - begun), MOST_GATHER_SECONDS)
            gather_seconds = seconds if len(started) > 1 else 0.0
            with self._changed:
                self.answered += len(started)
                self._clients = len(self._waiting) + self._running
                self._running -= len(taken.jobs)

    def _take(self, gather_seconds: float) -> Taken:
        """The oldest job and those for the same model that fit beside it."""
        with self._changed:
            self._changed.wait_for(
                lambda: self._stopping or len(self._waiting) >= self._share(), gather_seconds
            )
            self._changed.wait_for(lambda: self._stopping or self._waiting)
            jobs = self._take_batch() if self._waiting else []
            self._running += len(jobs)
            return Taken(jobs, alone=self._running == len(jobs) and not self._waiting)

    def _take_batch(self) -> list[Job]:
        most = self._share()
        first = self._waiting.popleft()
        jobs, left, characters = [first], deque[Job](), first.characters
        for job in self._waiting:
            fits = (
                job.question.model is first.question.model
                and len(jobs) < most
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
