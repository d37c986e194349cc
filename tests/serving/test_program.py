"""scripts/serve.py as a user runs it: its command line, its errors and its end."""

import http.client
import importlib.util
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time

import pytest
from conftest import ROOT, exit_code

from electra.serving.run import Settings, open_server

SCRIPT = ROOT / "scripts" / "serve.py"
_spec = importlib.util.spec_from_file_location("serve", SCRIPT)
program = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(program)


@pytest.fixture
def refused(capsys):
    """refused(match, arguments) checks exit code 2 and one line that says why."""

    def check(match, *arguments):
        assert exit_code(program.main, arguments) == 2
        error = capsys.readouterr().err
        assert error.startswith("serve.py: error: ") and error.count("\n") == 1
        assert match in error

    return check


@pytest.mark.fast
def test_a_port_in_use_is_one_line_before_a_checkpoint_is_read(refused):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        refused(f"port {port} is in use, perhaps by another", "--ckpt", "none.pt", "--port", port)


@pytest.mark.fast
@pytest.mark.parametrize(
    ("match", "flags"),
    [
        ("cannot read the checkpoint none.pt", ["--port", 0]),
        ("--port 65536 is outside 0 to 65535", ["--port", 65_536]),
        ("--host 192.0.2.1 is no address of this machine", ["--host", "192.0.2.1"]),
        ("--host no.invalid is no address of this machine", ["--host", "no.invalid"]),
        ("--max-characters 0 is not above 0", ["--max-characters", 0]),
        ("--max-waiting -1 is not above 0", ["--max-waiting", -1]),
        ("--timeout nan is not above 0", ["--timeout", "nan"]),
    ],
)
def test_bad_input_is_one_line(refused, match, flags):
    refused(match, "--ckpt", "none.pt", *flags)


def test_a_second_instance_finds_the_port_in_use(pretrained):
    settings = Settings([str(pretrained("electra") / "ckpt.pt")], port=0)
    first = open_server(settings)
    try:
        port = first.server_port
        assert list(first.site.models) == ["electra"] and str(port) in first.url
        with pytest.raises(ValueError, match=f"port {port} is in use"):
            open_server(settings._replace(port=port))
    finally:
        first.server_close()
    open_server(settings._replace(port=port)).server_close()  # free again at once


def test_sigterm_finishes_what_is_under_way_and_ends_with_0(pretrained):
    process = subprocess.Popen(
        [sys.executable, SCRIPT, "--ckpt", pretrained("electra") / "ckpt.pt", "--port", "0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
    )
    try:
        port = int(re.search(r"http://127.0.0.1:([0-9]+)/", process.stdout.readline())[1])
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        body = b'{"text": "the moon"}'
        connection.putrequest("POST", "/v1/predict")
        connection.putheader("Content-Type", "application/json")
        connection.putheader("Content-Length", str(len(body)))
        connection.endheaders()  # half a request is under way
        time.sleep(0.3)
        process.send_signal(signal.SIGTERM)
        assert "finishing" in process.stdout.readline()
        connection.send(body)
        response = connection.getresponse()
        assert response.status == 200 and b'"words"' in response.read()
        out, error = process.communicate(timeout=30)
        assert (process.returncode, error) == (0, "")
    finally:
        process.kill()
        process.communicate()


def test_ctrl_c_ends_it_with_0(pretrained, capsys):
    timer = threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGINT))
    handler = signal.getsignal(signal.SIGINT)
    settings = Settings([str(pretrained("electra") / "ckpt.pt")], port=0)
    server = open_server(settings)
    timer.start()
    program.serve_until_stopped(server)
    timer.join()
    assert signal.getsignal(signal.SIGINT) is handler
    with pytest.raises(OSError):
        socket.create_connection(server.server_address, timeout=1)
