"""The server through real sockets: answers, bounds, and clients that misbehave."""

import http.client
import json
import random
import socket
import threading
import time

import pytest

from electra.serving.handler import HEADERS, ROUTES
from electra.serving.kinds import Input, Kind, Model
from serving.conftest import head, question
from serving.test_answers import close

pytestmark = pytest.mark.fast


def post(server, values):
    """(status, JSON) by the standard library's client."""
    connection = http.client.HTTPConnection(*server.server_address, timeout=10)
    headers = {"Content-Type": "application/json; charset=utf-8"}
    connection.request("POST", "/v1/predict", json.dumps(values), headers)
    response = connection.getresponse()
    found = response.status, json.load(response)
    connection.close()
    return found


def held(seconds=10):
    """(a model that answers nothing before `go` is set, go, begun)."""
    go, begun = threading.Event(), threading.Event()

    def answer(predictor, requests):
        begun.set()
        assert go.wait(seconds)
        return [{"text": request.texts["text"]} for request in requests]

    kind = Kind(answer, {}, lambda predictor, request: 1)
    return Model("held", "labels", kind, (Input("text", "Text"),), None), go, begun


def test_a_question_gets_the_models_answer(serve, models):
    server = serve()
    status, answer = post(server, {"text": "The moon 😀", "mask": 0})
    assert status == 200 and (answer["model"], answer["kind"]) == ("words", "replaced")
    assert [word["text"] for word in answer["words"]] == ["The", "moon", "😀"]
    status, answer = post(server, {"model": "pair", "text": "a", "text_b": "b"})
    assert status == 200 and answer["label"] in ("no", "maybe", "yes")


def test_health_and_models(serve, ask):
    server = serve(characters=77)
    assert ask(server, head())[2] == {"status": "ok", "waiting": 0, "answered": 0}
    found = ask(server, head(path="/v1/models"))[2]
    assert found["limits"] == {"characters": 77}
    assert [(model["name"], model["kind"], model["options"]) for model in found["models"]] == [
        ("words", "replaced", ["mask"]),
        ("film", "labels", ["words"]),
        ("pair", "labels", ["words"]),
        ("score", "value", ["words"]),
        ("tags", "entities", []),
        ("reads", "answers", []),
        ("topics", "several", []),
    ]
    assert [one["name"] for one in found["models"][2]["inputs"]] == ["text", "text_b"]


def test_many_clients_get_their_own_answers(serve):
    server = serve()
    texts = [f"the {word} of number {i}" for i, word in enumerate(["sun", "moon", "rain"] * 8)]
    alone = [post(server, {"text": text}) for text in texts]
    found = [None] * len(texts)

    def client(i):
        found[i] = post(server, {"text": texts[i]})

    clients = [threading.Thread(target=client, args=(i,)) for i in range(len(texts))]
    for one in clients:
        one.start()
    for one in clients:
        one.join()
    assert all(close(list(one), list(other)) for one, other in zip(found, alone, strict=True))
    assert len({str(one) for one in found}) == len(texts)


def test_a_connection_is_kept_also_after_a_refusal(serve, connect):
    connection = connect(serve())
    for data, status in (
        (question({"text": "a"}), 200),
        (question({"text": 1}), 422),
        (question(b"no json"), 400),
        (head(path="/nothing"), 404),
        (head("HEAD", "/health"), 200),
        (question({"text": "b"}) + head(), 200),  # two at once
    ):
        connection.send(data)
        if b"HEAD" in data:
            line = connection.file.readline()
            while connection.file.readline() != b"\r\n":
                pass
            assert b" 200 " in line
        else:
            found = connection.receive()
            assert found[0] == status and "Connection" not in found[1]
    assert connection.receive()[2]["status"] == "ok"
    connection.send(head(Connection="close"))
    assert connection.receive()[1]["Connection"] == "close"
    assert connection.receive() is None


@pytest.mark.parametrize(
    ("data", "status", "why"),
    [
        (head(path="/v2"), 404, "there is /, /health, /v1/models, /v1/predict"),
        (head(path="/../../etc/passwd"), 404, "nothing here"),
        (head(path="http://[::"), 404, "nothing here"),
        (head("POST", "/health", Content_Length=0), 405, "takes GET, HEAD only"),
        (head("OPTIONS", "/v1/predict"), 405, "takes POST only"),
        (head("POST", "/v1/predict", Content_Type="application/json"), 411, "no body"),
        (question(b"{}", Content_Type="text/plain"), 415, "Content-Type: application/json"),
        (question(b"{}", Content_Length="2, 2"), 400, "Content-Length"),
        (question(b"{}", Content_Length="-2"), 400, "Content-Length"),
        (question(b"{}", Content_Length="٢".encode().decode("latin-1")), 400, "Content-Length"),
        (question(b"{}", Content_Length=10**30), 413, "more than 262,144 bytes"),
        (question(b" " * 262_145), 413, "more than 262,144 bytes"),
        (question(b"{}", Transfer_Encoding="chunked"), 411, "Content-Length"),
        (question({"text": "a" * 10_001}), 422, "at most 10,000"),
        (head(host=None), 400, "Host"),
        (head(Host="localhost"), 400, "Host"),
        (head(host="evil.example:8000"), 421, "--allow-host"),
        (head(host="127.0.0.1.evil.example"), 421, "--allow-host"),
        (head(host="10.0.0.1"), 421, "--allow-host"),
        (question({"text": "a"}, Origin="http://evil.example"), 403, "another site"),
        (question({"text": "a"}, Origin="null"), 403, "another site"),
        (question({"text": "a"}, Origin="http://[::"), 403, "another site"),
        (b"\r\n\r\n", 400, "empty"),
        (b"GET /\r\n\r\n", 400, "HTTP"),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\r\n", 400, "Bad"),
        (b"GET / HTTP/9.9\r\n\r\n", 505, "HTTP"),
        (b"GET /" + b"a" * 9_000 + b" HTTP/1.1\r\n\r\n", 414, "8,192"),
        (head(X="a" * 70_000), 431, ""),
        (head(**{f"X{i}": i for i in range(200)}), 431, ""),
    ],
)
def test_each_bad_request_gets_its_status_and_the_reason(serve, ask, data, status, why):
    server = serve()
    found, headers, body = ask(server, data)
    assert found == status and list(body) == ["error"] and why in body["error"]
    assert headers.items() >= HEADERS.items()
    if status == 405:
        assert headers["Allow"] in body["error"]
    assert ask(server, head())[0] == 200


def test_own_names_are_allowed_with_any_port(serve, ask):
    server = serve(names=("box.example",))
    for host in ("localhost:9", "LOCALHOST", "127.0.0.1:80", "[::1]:8000", "box.example"):
        assert ask(server, head(host=host))[0] == 200
    same = {"host": "localhost:5", "Origin": "http://localhost:5"}
    assert ask(server, question({"text": "a"}, **same))[0] == 200
    other_port = {"host": "localhost:5", "Origin": "http://localhost:6"}
    assert ask(server, question({"text": "a"}, **other_port))[0] == 403
    everywhere = serve(host="0.0.0.0")
    assert ask(everywhere, head(host="10.0.0.1:8000"))[0] == 200
    assert ask(everywhere, head(host="evil.example"))[0] == 421


def test_a_slow_client_is_told_so_and_others_are_answered_meanwhile(serve, connect, ask):
    server = serve(request_seconds=0.3, idle_seconds=0.2)
    slow, idle = connect(server), connect(server)
    data = question({"text": "a" * 100})
    start = time.monotonic()
    with pytest.raises(OSError):  # each byte is in time, but not all of them together
        for byte in data * 10:
            slow.send(bytes([byte]))
            time.sleep(0.02)
            assert ask(server, head())[0] == 200 and time.monotonic() - start < 5
            if slow.socket.recv_into(bytearray(1), 1, socket.MSG_PEEK | socket.MSG_DONTWAIT) == 1:
                raise OSError
    assert slow.receive()[0] == 408
    assert idle.receive() is None  # a quiet connection is closed without a word


def test_garbage_and_hang_ups_harm_nobody(serve, connect, ask, capsys):
    server = serve(request_seconds=1)
    numbers = random.Random(0)
    good = question({"text": "a fine film"})
    expected = ask(server, good)[2]
    for _ in range(60):
        connection = connect(server)
        data = bytearray(good if numbers.random() < 0.5 else numbers.randbytes(200))
        for _ in range(numbers.randrange(20)):
            data[numbers.randrange(len(data))] = numbers.randrange(256)
        connection.send(data[: numbers.randrange(len(data) + 1)])
        connection.close()
    assert close(ask(server, good)[2], expected)
    assert capsys.readouterr().err == ""  # no traceback


def test_too_many_requests_that_wait_are_told_to_come_again(serve, connect):
    model, go, begun = held()
    server = serve({"held": model}, model_threads=1, waiting=1)
    first, second, third = (connect(server) for _ in range(3))
    first.send(question({"text": "1"}))
    assert begun.wait(10)
    second.send(question({"text": "2"}))
    while not server.site.model_threads.waiting:
        time.sleep(0.001)
    third.send(question({"text": "3"}))
    status, headers, body = third.receive()
    assert (status, headers["Retry-After"]) == (503, "1") and "1 requests wait" in body["error"]
    go.set()
    assert [one.receive()[2]["text"] for one in (first, second)] == ["1", "2"]


def test_an_answer_that_takes_too_long_is_given_up(serve, ask):
    model, go, _ = held()
    server = serve({"held": model}, answer_seconds=0.05)
    status, headers, body = ask(server, question({"text": "1"}))
    assert status == 503 and headers["Retry-After"] == "1" and "0.05 seconds" in body["error"]
    go.set()
    assert ask(server, question({"text": "2"}))[2]["text"] == "2"


def test_connections_over_the_limit_are_turned_away(serve, connect):
    server = serve(connections=1)
    first = connect(server)
    first.send(head())
    assert first.receive()[0] == 200
    second = connect(server)
    second.send(head())
    status, headers, body = second.receive()
    assert status == 503 and headers["Retry-After"] == "1" and "connections" in body["error"]
    assert second.receive() is None
    first.send(head())
    assert first.receive()[0] == 200


def test_a_client_that_asks_first_whether_to_send_gets_leave(serve, connect):
    connection = connect(serve())
    data = question({"text": "a"}, Expect="100-continue")
    top, _, body = data.partition(b"\r\n\r\n")
    connection.send(top + b"\r\n\r\n")
    assert connection.file.readline() == b"HTTP/1.1 100 Continue\r\n"
    connection.file.readline()
    connection.send(body)
    assert connection.receive()[0] == 200
    connection.send(question(b"", Expect="100-continue", Content_Length=10**9))
    assert connection.receive()[0] == 413  # and no leave before


def test_the_page_is_safe_and_whole(serve, ask):
    server = serve()
    for path, kind in (("/", "html"), ("/page.css", "css"), ("/page.js", "javascript")):
        status, headers, body = ask(server, head(path=f"{path}?x=1"))
        assert status == 200 and kind in headers["Content-Type"] and len(body) > 500
        policy = headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy and "unsafe" not in policy
        assert headers["X-Content-Type-Options"] == "nosniff"
        text = body.decode()
        assert "http:" not in text and "https:" not in text and "//" not in text.replace("// ", "")
        assert " style=" not in text and "innerHTML" not in text and "eval(" not in text
    assert set(ROUTES) >= {"/", "/page.css", "/page.js"}


def test_a_stop_finishes_what_is_under_way(serve, connect):
    model, go, begun = held()
    server = serve({"held": model}, answer_seconds=10)
    working, idle = connect(server), connect(server)
    idle.send(head())
    assert idle.receive()[0] == 200
    working.send(question({"text": "1"}))
    assert begun.wait(10)
    stopping = threading.Thread(target=server.stop)
    stopping.start()
    assert idle.receive() is None  # closed, since nothing is under way
    with pytest.raises(OSError):
        while True:  # the port is closed soon
            socket.create_connection(server.server_address, timeout=1).close()
            time.sleep(0.01)
    assert stopping.is_alive()
    go.set()
    status, headers, body = working.receive()
    assert (status, headers["Connection"], body["text"]) == (200, "close", "1")
    stopping.join(10)
    assert not stopping.is_alive()
