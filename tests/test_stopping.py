"""Signals ask a run to stop, and disturb nothing else."""

import contextlib
import io
import os
import signal

import pytest

from electra.training.stopping import StopSignals

pytestmark = pytest.mark.fast


@contextlib.contextmanager
def handler_of(number, handler):
    before = signal.signal(number, handler)
    try:
        yield
    finally:
        signal.signal(number, before)


def send(*numbers):
    for number in numbers:
        os.kill(os.getpid(), number)


@pytest.mark.parametrize("number", (signal.SIGINT, signal.SIGTERM, signal.SIGHUP))
def test_the_first_signal_only_asks(number, capfd):
    with StopSignals() as signals:
        assert not signals.asked
        send(number)
        assert signals.asked


@pytest.mark.parametrize("second", (signal.SIGINT, signal.SIGTERM))
def test_a_second_one_stops_at_once(second):
    with pytest.raises(KeyboardInterrupt), StopSignals():
        send(signal.SIGINT, second)


@pytest.mark.parametrize(
    "numbers",
    [
        (signal.SIGHUP, signal.SIGHUP, signal.SIGTERM),  # of a session that is closed
        (signal.SIGTERM, signal.SIGHUP),  # of systemd
        (signal.SIGINT, signal.SIGHUP),
    ],
)
def test_what_a_closed_terminal_sends_together_is_one_signal(numbers):
    with StopSignals() as signals:
        send(*numbers)
        assert signals.asked


def test_after_a_while_a_signal_is_a_second_one_after_a_closed_terminal_too():
    with pytest.raises(KeyboardInterrupt), StopSignals() as signals:
        send(signal.SIGHUP)
        signals.asked_at -= 2
        send(signal.SIGTERM)


def test_under_torchrun_a_signal_may_come_twice(monkeypatch):
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "1")
    with pytest.raises(KeyboardInterrupt), StopSignals() as signals:
        send(signal.SIGTERM, signal.SIGTERM)
        assert signals.asked
        signals.asked_at -= 2
        send(signal.SIGTERM)


def test_under_nohup_a_closed_terminal_does_not_even_ask():
    with handler_of(signal.SIGHUP, signal.SIG_IGN), StopSignals() as signals:
        send(signal.SIGHUP)
        assert not signals.asked


def test_under_torchrun_nohup_does_not_help_so_the_run_saves(monkeypatch):
    """torchrun ends at SIGHUP even under nohup, and kills what is left after 30 seconds."""
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "1")
    with handler_of(signal.SIGHUP, signal.SIG_IGN), StopSignals() as signals:
        send(signal.SIGHUP)
        assert signals.asked


class Interrupted(io.FileIO):
    """Sends SIGINT to this process while it writes to the file."""

    def write(self, data):
        send(signal.SIGINT)
        return super().write(data)


def test_a_signal_while_a_line_is_printed_is_only_a_signal(tmp_path):
    """Python refuses to print from a handler while it prints."""
    raw = Interrupted(tmp_path / "said.txt", "w")
    stream = io.TextIOWrapper(io.BufferedWriter(raw), "latin-1")
    with StopSignals() as signals, contextlib.redirect_stdout(stream):
        print("a line", flush=True)
        assert signals.asked
    said = (tmp_path / "said.txt").read_text().splitlines()
    assert sorted(said) == ["a line", "finishing the step and saving ..."]


@pytest.mark.parametrize("output", ("closed", "in memory", "without a reader"))
def test_an_output_that_takes_nothing_does_not_disturb_a_signal(output):
    stream = io.StringIO()
    if output == "closed":
        stream.close()
    elif output == "without a reader":
        reader, writer = os.pipe()
        os.close(reader)
        stream = open(writer, "w")
    with StopSignals() as signals, contextlib.redirect_stdout(stream):
        send(signal.SIGINT)
        assert signals.asked
    stream.close()
