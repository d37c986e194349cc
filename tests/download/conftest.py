"""A server of files that can break off."""

import http.server
import importlib.util
import threading
from types import SimpleNamespace

import pytest

from download.helpers import ROOT, make_zip

_spec = importlib.util.spec_from_file_location("download_program", ROOT / "scripts" / "download.py")
program = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(program)


class Server(http.server.ThreadingHTTPServer):
    """Serves `content` at every path, or a dict of paths.

    `cut` bytes into a body it hangs up, once. `ranges` and `paths` are what each request asked
    for. As on huggingface.co, /resolve/ leads to another address. With `code` it answers that,
    with these headers, in place of a file; `tells_length` is whether it says how long a file is.
    """

    def __init__(
        self, content=b"", cut=None, resumes=True, code=None, tells_length=True, headers=()
    ):
        super().__init__(("127.0.0.1", 0), Handler)
        self.content, self.cut, self.resumes = content, cut, resumes
        self.code, self.headers, self.tells_length = code, headers, tells_length
        self.ranges, self.paths, self.agents = [], [], []
        self.url = f"http://127.0.0.1:{self.server_port}/SST-2.zip"


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        server = self.server
        server.agents.append(self.headers.get("User-Agent"))
        if server.code is not None:
            self.send_response(server.code)
            for name, value in server.headers:
                self.send_header(name, value)
            self.end_headers()
            return
        if "/resolve/" in self.path:
            self.send_response(302)
            self.send_header("Location", self.path.replace("/resolve/", "/elsewhere/"))
            self.end_headers()
            return
        path = self.path.replace("/elsewhere/", "/resolve/")
        content = server.content[path] if isinstance(server.content, dict) else server.content
        asked = self.headers.get("Range")
        server.ranges.append(asked)
        server.paths.append(path)
        size = len(content)
        start = (
            int(asked.removeprefix("bytes=").removesuffix("-")) if asked and server.resumes else 0
        )
        if start >= size:
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{size}")
            self.end_headers()
            return
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{size - 1}/{size}")
        if server.tells_length:
            self.send_header("Content-Length", str(size - start))
        self.end_headers()
        stop = size
        if server.cut is not None and start + server.cut < size:
            stop, server.cut = start + server.cut, None
        self.wfile.write(content[start:stop])

    def log_message(self, *args):
        pass


@pytest.fixture
def serve():
    running = []

    def start(*args, **settings):
        server = Server(*args, **settings)
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        running.append(server)
        return server

    yield start
    for server in running:
        server.shutdown()
        server.server_close()


@pytest.fixture
def content(tmp_path):
    return make_zip(tmp_path / "source.zip").read_bytes()


@pytest.fixture
def here(monkeypatch, capsys):
    """`download` in this process, where the table can be changed."""
    monkeypatch.setenv("no_proxy", "*")

    def run(*args):
        code = program.main([str(argument) for argument in args])
        captured = capsys.readouterr()
        return SimpleNamespace(returncode=code, stdout=captured.out, stderr=captured.err)

    return run
