"""Small models with random weights, and a server of them on a free port."""

import json
import socket
import threading

import pytest
import torch

from electra.config import FinetuneConfig
from electra.inference.predictor import Predictor, TaskSettings
from electra.model.classifier import Classifier
from electra.model.electra import Electra
from electra.model.reader import Reader
from electra.model.tagger import Tagger
from electra.serving.batching import ModelThreads
from electra.serving.kinds import make_model
from electra.serving.limits import Limits
from electra.serving.server import Server
from electra.serving.site import LOCAL_NAMES, Site
from electra.tasks.task import Task, TaskData
from electra.training.device import Precision


@pytest.fixture
def models(tokenizer, shape):
    """An ELECTRA "words", classifiers of texts "film" and of pairs "pair", a regression "score", a
    tagger "tags", a reader "reads" and a classifier "topics" of several labels at once."""
    config = shape(vocab_size=tokenizer.vocab_size)

    def predictor(model, settings):
        for parameter in model.parameters():  # so that the texts' answers differ
            parameter.data.mul_(4)
        cpu = torch.device("cpu")
        return Predictor(model.eval(), tokenizer, settings, 64, 512, cpu, Precision(None, "cpu"))

    def task(words, pairs=False, scale=None, kind="classes", thresholds=()):
        row = Task("t", words, words, kind=kind, scale=scale)
        data = TaskData(row, words, [], [], None)
        return TaskSettings(
            data, thresholds, pairs, False, FinetuneConfig(max_len=64, truncate="head")
        )

    torch.manual_seed(0)
    found = {
        "words": predictor(Electra(config), None),
        "film": predictor(Classifier(config, 2), task(("bad", "good"))),
        "pair": predictor(Classifier(config, 3), task(("no", "maybe", "yes"), pairs=True)),
        "score": predictor(Classifier(config, 1), task((), False, 5.0, "regression")),
        "tags": predictor(Tagger(config, 3), task(("O", "B-X", "I-X"), kind="tags")),
        "reads": predictor(Reader(config), task((), kind="spans", thresholds=(0.0,))),
        "topics": predictor(
            Classifier(config, 3, multi_label=True),
            task(("red", "green", "blue"), kind="labels", thresholds=(0.2, 0.9, 0.5)),
        ),
    }
    return {name: make_model(name, one) for name, one in found.items()}


@pytest.fixture
def serve(models):
    """serve(models=…, **limits) -> a Server that answers until the test ends; two threads run the
    models where nothing else is said."""
    servers = []

    def start(models=models, host="127.0.0.1", names=(), model_threads=2, **limits):
        limits = Limits(**limits)
        threads = ModelThreads(limits)
        threads.cores = model_threads
        site = Site(limits, frozenset({*LOCAL_NAMES, host, *names}), threads)
        site.models.update(models)
        server = Server(host, 0, site)
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        servers.append(server)
        return server

    yield start
    for server in servers:
        if not server.site.stopping.is_set():
            server.stop()


class Connection:
    """A socket of a client that says what it likes."""

    def __init__(self, server):
        self.socket = socket.create_connection(server.server_address, timeout=10)
        self.file = self.socket.makefile("rb")

    def send(self, data):
        self.socket.sendall(data)

    def receive(self):
        """(status, headers, value of the JSON or the bytes) of an answer; None at the end."""
        line = self.file.readline()
        if not line:
            return None
        headers = {}
        while (line_of_head := self.file.readline().strip()) != b"":
            name, _, value = line_of_head.decode().partition(": ")
            headers[name] = value
        body = self.file.read(int(headers.get("Content-Length", 0)))
        is_json = headers.get("Content-Type", "").startswith("application/json")
        return int(line.split()[1]), headers, json.loads(body) if is_json and body else body

    def close(self):
        self.file.close()
        self.socket.close()


@pytest.fixture
def connect():
    """connect(server) -> a Connection that the end of the test closes."""
    connections = []

    def start(server):
        connections.append(Connection(server))
        return connections[-1]

    yield start
    for connection in connections:
        connection.close()


def head(method="GET", path="/health", host="localhost", **headers):
    """The bytes of a request's first line and headers; Content_Type is Content-Type."""
    lines = [f"{method} {path} HTTP/1.1"] + ([f"Host: {host}"] if host else [])
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def question(values, **headers):
    """The bytes of a POST to /v1/predict; `values` are its JSON, or bytes."""
    body = values if isinstance(values, bytes) else json.dumps(values).encode()
    headers = {"Content_Type": "application/json", "Content_Length": len(body), **headers}
    return head("POST", "/v1/predict", **headers) + body


@pytest.fixture
def ask(connect):
    """ask(server, bytes) -> what comes back on a connection of its own."""

    def run(server, data):
        connection = connect(server)
        connection.send(data)
        return connection.receive()

    return run
