"""A file with several addresses: the first that has it is taken, and the others cost nothing."""

import hashlib
import http.server
import os
import re
import threading

import pytest

from download.conftest import Handler
from download.helpers import TREE, failed, files_under
from electra.download import fetch
from electra.download.addresses import DATA_SETS, DataSet, Remote

pytestmark = pytest.mark.fast


@pytest.fixture
def listed(monkeypatch, content):
    """listed(servers) -> sst2 has an address at each of them, with the true size and hash."""

    def set_addresses(*servers, **changes):
        urls = tuple(getattr(server, "url", server) for server in servers)
        remote = Remote(urls, len(content), hashlib.sha256(content).hexdigest())
        data_set = DataSet("SST-2", (remote._replace(**changes),))
        monkeypatch.setitem(DATA_SETS, "sst2", data_set)

    return set_addresses


@pytest.fixture
def refusing():
    """An address at which nobody listens."""
    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as closed:
        return f"http://127.0.0.1:{closed.server_port}/SST-2.zip"


class Silent(Handler):
    """Accepts a connection, and says nothing until the test is over."""

    over = threading.Event()

    def do_GET(self):
        self.over.wait(5)


@pytest.fixture
def silent(serve):
    server = serve()
    server.RequestHandlerClass = Silent
    yield server
    Silent.over.set()


@pytest.mark.parametrize(
    "first, says",
    [
        ({"code": 403}, "403 Forbidden"),
        ({"code": 404}, "404 Not Found"),
        ({"code": 301}, "301 Moved Permanently"),  # to nowhere: Amazon S3 answers so
        ({"code": 301, "headers": [("Location", "http://[::1")]}, "Invalid IPv6 URL"),
        (
            {"code": 302, "headers": [("Location", "/"), ("Content-Length", "9" * 30)]},
            "an answer that is too long",
        ),
        ({"content": b"<html>sign in</html>"}, "its file has 20 bytes, expected"),
        ({"content": b"?", "tells_length": False}, "got 1 bytes, expected"),
        ({"content": bytes(200_000), "tells_length": False}, r"got 200,000 bytes, expected"),
    ],
)
def test_the_next_address_is_tried(serve, listed, here, content, tmp_path, first, says):
    listed(serve(**first), serve(content))
    done = here("sst2", "--to", tmp_path / "to")
    assert done.returncode == 0, done.stderr
    assert re.search(rf"SST-2\.zip: from another address, after 127.*: {says}", done.stdout)
    assert files_under(tmp_path / "to") == {**TREE, "SST-2.zip": content}


def test_another_file_of_the_same_size_is_not_taken(serve, listed, here, content, tmp_path):
    listed(serve(content[::-1]), serve(content))
    done = here("sst2", "--to", tmp_path / "to")
    assert done.returncode == 0 and "SHA-256 is" in done.stdout
    assert files_under(tmp_path / "to") == {**TREE, "SST-2.zip": content}


def test_half_a_file_is_completed_from_the_next_address(serve, listed, here, content, tmp_path):
    second = serve(content)
    listed(serve(content, cut=1_000), second)
    assert here("sst2", "--to", tmp_path / "to").returncode == 0
    assert second.ranges == ["bytes=1000-"]
    assert files_under(tmp_path / "to") == {**TREE, "SST-2.zip": content}


def test_half_of_another_file_is_given_up_for_the_whole(serve, listed, here, content, tmp_path):
    second = serve(content)
    listed(serve(content[::-1], cut=1_000), second)
    assert here("sst2", "--to", tmp_path / "to").returncode == 0
    assert second.ranges == ["bytes=1000-", None]
    assert files_under(tmp_path / "to") == {**TREE, "SST-2.zip": content}


def test_an_error_page_does_not_cost_the_part_that_is_here(serve, listed, here, content, tmp_path):
    part = tmp_path / "SST-2.zip.part"
    part.write_bytes(content[:1_000])
    listed(serve(b"<html>sign in</html>", resumes=False), serve(code=403))
    failed(here("sst2", "--to", tmp_path), r"1,000 bytes are in .*part: the same command")
    assert part.read_bytes() == content[:1_000]


def test_a_part_longer_than_the_file_is_fetched_again(serve, listed, here, content, tmp_path):
    for size in (None, len(content)):
        (tmp_path / f"{size}").mkdir()
        (tmp_path / f"{size}" / "SST-2.zip.part").write_bytes(content + b"?")
        listed(serve(content), size=size)
        assert here("sst2", "--to", tmp_path / f"{size}").returncode == 0
        assert files_under(tmp_path / f"{size}") == {**TREE, "SST-2.zip": content}


def test_a_silent_server_is_left_for_the_next(
    serve, listed, here, content, tmp_path, monkeypatch, silent
):
    monkeypatch.setattr(fetch, "TIMEOUT", 0.05)
    listed(silent, serve(content))
    done = here("sst2", "--to", tmp_path / "to")
    assert done.returncode == 0 and "timed out" in done.stdout


def test_when_all_fail_one_line_says_what_each_answered(
    serve, listed, here, content, tmp_path, refusing
):
    listed(serve(code=403), serve(code=404), refusing, serve(content[::-1]))
    done = here("sst2", "--to", tmp_path / "to")
    failed(
        done,
        r"SST-2\.zip could not be fetched from 127.*: 403 Forbidden or 127.*: 404 Not Found or "
        r"127.*refused or 127.*: SHA-256 is \w+, expected \w+; deleted.*--from takes a file that "
        r"you have, --url another address",
    )
    assert os.listdir(tmp_path / "to") == []


def test_servers_do_not_see_pythons_default_name(serve, listed, here, content, tmp_path):
    server = serve(content)
    listed(server)
    here("sst2", "--to", tmp_path)
    assert [agent for agent in server.agents if "urllib" in agent] == []


def test_a_file_without_a_hash_has_one_address_and_the_names_are_equal():
    for data_set in DATA_SETS.values():
        for remote in data_set.files:
            assert remote.sha256 or len(remote.urls) == 1, remote.name
            assert {url.rsplit("/", 1)[1] for url in remote.urls} == {remote.name}
            assert all(url.startswith("https://") for url in remote.urls)


def test_the_first_real_command_does_not_ask_the_dead_address():
    (remote,) = DATA_SETS["wikitext-103"].files
    assert len(remote.urls) > 1 and not any("metamind" in url for url in remote.urls)
