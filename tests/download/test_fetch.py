"""Downloads: broken off, resumed, verified."""

import hashlib
import http.server
import os

from download.conftest import Handler
from download.helpers import TREE, download, failed, files_under
from electra.download.addresses import DATA_SETS


def from_server(server, content, to):
    return download(
        "sst2", "--url", server.url, "--sha256", hashlib.sha256(content).hexdigest(), "--to", to
    )


def test_a_broken_download_goes_on_where_it_stopped(serve, content, tmp_path):
    server, to = serve(content, cut=1_000), tmp_path / "to"
    failed(
        from_server(server, content, to),
        r"ended after 1,000 of .*; 1,000 bytes are in .*SST-2\.zip\.part",
    )
    assert files_under(to) == {"SST-2.zip.part": content[:1_000]}
    done = from_server(server, content, to)
    assert done.returncode == 0, done.stderr
    assert server.ranges == [None, "bytes=1000-"]
    assert files_under(to) == {**TREE, "SST-2.zip": content}


def test_a_server_without_ranges_starts_again(serve, content, tmp_path):
    (tmp_path / "to").mkdir()
    (tmp_path / "to" / "SST-2.zip.part").write_bytes(b"?" * 1_000)
    done = from_server(serve(content, resumes=False), content, tmp_path / "to")
    assert done.returncode == 0, done.stderr
    assert files_under(tmp_path / "to") == {**TREE, "SST-2.zip": content}


def test_a_part_that_is_already_whole_is_not_fetched_again(serve, content, tmp_path):
    (tmp_path / "to").mkdir()
    (tmp_path / "to" / "SST-2.zip.part").write_bytes(content)
    done = from_server(serve(content), content, tmp_path / "to")
    assert done.returncode == 0, done.stderr
    assert files_under(tmp_path / "to") == {**TREE, "SST-2.zip": content}


def test_a_verified_archive_is_not_fetched_again(serve, content, tmp_path):
    server = serve(content)
    (tmp_path / "to").mkdir()
    (tmp_path / "to" / "SST-2.zip").write_bytes(content)
    assert from_server(server, content, tmp_path / "to").returncode == 0
    assert server.ranges == []


def test_a_wrong_hash_leaves_nothing(serve, content, tmp_path):
    to = tmp_path / "to"
    failed(from_server(serve(b"another file"), content, to), "SHA-256 is .*, expected")
    assert os.listdir(to) == []
    archive = tmp_path / "source.zip"
    failed(
        download("sst2", "--from", archive, "--sha256", "0" * 64, "--to", to),
        "SHA-256 is .*, expected 0000",
    )
    assert os.listdir(to) == []


def test_the_official_size_and_hash_hold_at_another_address(serve, content, tmp_path):
    failed(
        download("sst2", "--url", serve(content).url, "--to", tmp_path / "to"), "expected 7,439,277"
    )
    assert os.listdir(tmp_path / "to") == []


def test_no_network_is_one_line_with_what_to_do(tmp_path):
    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as closed:
        url = f"http://127.0.0.1:{closed.server_port}/SST-2.zip"
    failed(download("sst2", "--url", url, "--to", tmp_path / "to"), "refused.*same command.*--from")


def test_help_lists_the_data_sets():
    done = download("--help")
    assert done.returncode == 0 and all(name in done.stdout for name in DATA_SETS)
