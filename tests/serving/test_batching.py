"""The threads of the models: batches of what waits, bounds, and requests that break them."""

import threading
import time

import pytest
import torch

from electra.serving import batching
from electra.serving.batching import ModelThreads
from electra.serving.kinds import Input, Kind, Model
from electra.serving.limits import Limits
from electra.serving.question import Question
from electra.serving.request import Refusal, Request

pytestmark = pytest.mark.fast


class Fake:
    """A model that notes its batches, and does nothing before `go`."""

    def __init__(self):
        self.batches, self.go, self.begun = [], threading.Event(), threading.Event()
        kind = Kind(self.answer, {}, lambda predictor, request: 1)
        self.model = Model("fake", "labels", kind, (Input("text", "Text"),), None)

    def answer(self, predictor, requests):
        self.begun.set()
        assert self.go.wait(10)
        texts = [request.texts["text"] for request in requests]
        self.batches.append(texts)
        if "break" in texts:
            raise RuntimeError("broken")
        return [{"text": text} for text in texts]

    def question(self, text):
        return Question(self.model, Request({"text": text}, {}))


def ask_all(thread, questions):
    """What comes of each question, asked one shortly after the other by clients of their own."""
    found = [None] * len(questions)

    def client(i):
        try:
            found[i] = thread.ask(questions[i])
        except Refusal as refusal:
            found[i] = refusal

    clients = []
    for i in range(len(questions)):
        clients.append(threading.Thread(target=client, args=(i,)))
        clients[-1].start()
        while i and thread.waiting < i and clients[-1].is_alive():
            time.sleep(0.001)
    return found, clients


@pytest.fixture
def fake():
    """A Fake that is busy with a first question."""
    return Fake()


def start(fake, questions, **limits):
    """(what comes of the questions, the clients), once the first keeps the model busy."""
    thread = ModelThreads(Limits(**limits))
    first = threading.Thread(target=thread.ask, args=(fake.question("first"),))
    first.start()
    assert fake.begun.wait(10)
    found, clients = ask_all(thread, questions)
    return thread, found, [first, *clients]


def finish(fake, clients):
    fake.go.set()
    for client in clients:
        client.join(10)


def test_what_waits_is_one_batch_and_each_gets_its_own_answer(fake):
    texts = [str(i) for i in range(5)]
    _, found, clients = start(fake, [fake.question(text) for text in texts])
    finish(fake, clients)
    assert fake.batches == [["first"], texts]
    assert found == [{"text": text} for text in texts]


def test_batches_keep_to_their_bounds_and_to_the_order(fake):
    questions = [fake.question(text) for text in ("aa", "bb", "cccc", "d", "e" * 9)]
    _, found, clients = start(fake, questions, batch_characters=6, batch_requests=2)
    finish(fake, clients)
    assert fake.batches == [["first"], ["aa", "bb"], ["cccc", "d"], ["e" * 9]]
    assert [one["text"][0] for one in found] == list("abcde")


def test_a_batch_is_of_one_model(fake):
    other = Fake()
    other.go.set()
    questions = [fake.question("a"), other.question("b"), fake.question("c")]
    _, found, clients = start(fake, questions)
    finish(fake, clients)
    assert (fake.batches, other.batches) == ([["first"], ["a", "c"]], [["b"]])
    assert [one["text"] for one in found] == ["a", "b", "c"]


def test_a_request_that_breaks_the_model_harms_no_other(fake, capsys):
    _, found, clients = start(fake, [fake.question(text) for text in ("a", "break", "c")])
    finish(fake, clients)
    assert found[0] == {"text": "a"} and found[2] == {"text": "c"}
    assert found[1].status == 500 and "RuntimeError: broken" in capsys.readouterr().err


def test_a_full_queue_refuses_at_once(fake):
    questions = [fake.question(text) for text in "abc"]
    _, found, clients = start(fake, questions, waiting=2)
    assert found[2].status == 503 and found[2].headers == {"Retry-After": "1"}
    finish(fake, clients)
    assert found[:2] == [{"text": "a"}, {"text": "b"}]


def test_a_late_answer_is_given_up_and_not_computed(fake):
    thread = ModelThreads(Limits(answer_seconds=0.05))
    with pytest.raises(Refusal, match="0.05 seconds"):
        thread.ask(fake.question("running"))
    with pytest.raises(Refusal, match="0.05 seconds"):
        thread.ask(fake.question("waiting"))
    fake.go.set()
    assert thread.ask(fake.question("next")) == {"text": "next"}
    assert fake.batches == [["running"], ["next"]]


def test_a_stop_answers_what_waits_and_takes_no_more(fake):
    thread, found, clients = start(fake, [fake.question("a")])
    stopping = threading.Thread(target=thread.stop, args=(10,))
    stopping.start()
    while not thread._stopping:
        time.sleep(0.001)
    with pytest.raises(Refusal, match="stopping"):
        thread.ask(fake.question("late"))
    finish(fake, clients)
    stopping.join(10)
    assert found == [{"text": "a"}] and not thread._threads[0].is_alive()


def hold_all(fake, cores):
    """(the threads, their clients), once each thread is busy with a question of its own."""
    threads = ModelThreads(Limits())
    threads.cores = cores
    clients = []
    for i in range(cores):
        clients.append(threading.Thread(target=threads.ask, args=(fake.question(f"first {i}"),)))
        clients[-1].start()
        while threads._running <= i:
            time.sleep(0.001)
    return threads, clients


def test_threads_answer_side_by_side_and_share_what_waits(fake):
    threads, busy = hold_all(fake, 2)  # neither waits for the other
    texts = [str(i) for i in range(6)]
    found, clients = ask_all(threads, [fake.question(text) for text in texts])
    finish(fake, [*busy, *clients])
    threads.stop(10)
    assert found == [{"text": text} for text in texts]
    # Of 8 questions each thread has 4 at most, in their order.
    shares = [batch for batch in fake.batches if not batch[0].startswith("first")]
    assert sorted(shares, key=len) == [texts[4:], texts[:4]]
    assert threads.answered == 8 and not threads.waiting and not threads._running


def test_a_stop_waits_for_all_threads(fake):
    threads, clients = hold_all(fake, 3)
    threads.stop(0.01)
    assert all(thread.is_alive() for thread in threads._threads)
    finish(fake, clients)
    threads.stop(10)
    assert not any(thread.is_alive() for thread in threads._threads)


def test_many_clients_of_several_threads_get_their_own_answers(fake):
    fake.go.set()
    threads = ModelThreads(Limits(batch_requests=3, batch_characters=40))
    threads.cores = 3
    numbers = [f"{i}" * (i % 30 + 1) for i in range(200)]
    found = dict.fromkeys(numbers)

    def client(mine):
        for text in mine:
            found[text] = threads.ask(fake.question(text))["text"]

    clients = [threading.Thread(target=client, args=(numbers[i::16],)) for i in range(16)]
    for one in clients:
        one.start()
    for one in clients:
        one.join(10)
    threads.stop(10)
    assert all(text == answer for text, answer in found.items()) and threads.answered == 200
    assert max(map(len, fake.batches)) <= 3


def test_a_long_question_alone_has_all_cores(fake, monkeypatch):
    monkeypatch.setattr(batching, "MOST_THREADS", 2)
    cores = {}

    def answer(predictor, requests):
        for request in requests:
            cores[request.texts["text"][0]] = torch.get_num_threads()
        return [request.texts for request in requests]

    fake.go.set()
    kind = Kind(answer, {}, lambda predictor, request: 1)
    fake.model = fake.model._replace(kind=kind)
    threads = ModelThreads(Limits())
    threads.cores = 4
    for text in ("a", "b" * batching.CHARACTERS_FOR_ALL_CORES, "c"):
        threads.ask(fake.question(text))
        while threads._running:  # until the thread has put down what it answered
            time.sleep(0.001)
    threads.stop(10)
    assert cores == {"a": 2, "b": 4, "c": 2}


def test_a_system_without_threads_is_said_and_tried_again(fake, monkeypatch):
    def fail(thread):
        raise RuntimeError("can't start new thread")

    fake.go.set()
    threads = ModelThreads(Limits())
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", fail)
        with pytest.raises(Refusal, match="no more threads"):
            threads.ask(fake.question("a"))
    assert not threads.waiting and threads.ask(fake.question("b")) == {"text": "b"}
    threads.stop(10)


def test_clients_that_are_about_to_ask_again_are_waited_for(fake, monkeypatch):
    monkeypatch.setattr(batching, "GATHER_SHARE", 1e6)
    monkeypatch.setattr(batching, "MOST_GATHER_SECONDS", 5)
    thread, _, clients = start(fake, [fake.question("a"), fake.question("b")])
    finish(fake, clients)
    while thread.answered < 3:
        time.sleep(0.001)
    monkeypatch.setattr(batching, "MOST_GATHER_SECONDS", 0.01)
    later = threading.Thread(target=thread.ask, args=(fake.question("c"),))
    later.start()
    time.sleep(0.05)
    thread.ask(fake.question("d"))
    later.join()
    assert fake.batches == [["first"], ["a", "b"], ["c", "d"]]

    # Nobody asks beside the next one, which is not held up for long.
    assert thread.ask(fake.question("e")) == {"text": "e"}
