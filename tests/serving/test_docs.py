"""The commands of docs/serve.md are sent to a server, and its answers have the shape shown."""

import http.client
import json
import re
import shlex
from urllib.parse import urlsplit

import pytest
from conftest import ROOT

from electra.serving.handler import LONGEST_LINE
from electra.serving.limits import Limits

pytestmark = pytest.mark.fast
TEXT = (ROOT / "docs" / "serve.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"^    (curl .*)\n\n```json\n(.*)\n```$", TEXT, re.MULTILINE)


def shape(value):
    """The keys of a JSON value, and the types of what they hold; of a list its first element's."""
    if isinstance(value, dict):
        return {key: shape(one) for key, one in value.items()}
    if isinstance(value, list):
        return [shape(one) for one in value[:1]]
    return type(value).__name__


@pytest.mark.parametrize(("command", "answer"), EXAMPLES)
def test_every_example_gets_an_answer_of_the_shape_shown(serve, models, command, answer):
    film = models["film"]
    task = film.predictor.task
    task = task._replace(data=task.data._replace(labels=("negative", "positive")))
    film = film._replace(name="sst2-tiny-en", predictor=film.predictor._replace(task=task))
    server = serve({"tiny-en": models["words"]._replace(name="tiny-en"), "sst2-tiny-en": film})

    _, silent, url, *rest = shlex.split(command)
    assert silent == "-s"
    method, headers, body = "GET", {}, None
    if rest:
        flag, header, data, body = rest
        assert (flag, data) == ("-H", "-d")
        method, headers = "POST", [header.split(": ")]
    connection = http.client.HTTPConnection(*server.server_address, timeout=10)
    connection.request(method, urlsplit(url).path, body, dict(headers))
    response = connection.getresponse()
    found = json.load(response)
    assert response.status == 200
    assert shape(found) == shape(json.loads(answer))


def test_the_limits_are_those_of_the_program():
    limits = Limits()
    assert len(EXAMPLES) == 4
    for value in (limits.body_bytes, limits.head_bytes, LONGEST_LINE, limits.characters):
        assert f"{value:,}" in TEXT
    assert f"within {limits.request_seconds:g} seconds" in TEXT
    assert f"up to {limits.batch_requests} requests" in TEXT
    assert f"| {limits.waiting} |" in TEXT and f"| {limits.answer_seconds:g} |" in TEXT
