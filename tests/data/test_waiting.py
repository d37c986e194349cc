"""Long work shows that it goes on."""

import contextlib
import io

import pytest

from electra.data import waiting
from electra.data.waiting import Waiting

pytestmark = pytest.mark.fast


@pytest.fixture
def clock(monkeypatch):
    """clock(seconds) lets the time pass."""
    now = [1_000.0]
    monkeypatch.setattr(waiting.time, "monotonic", lambda: now[0])

    def go_on(seconds):
        now[0] += seconds

    return go_on


def test_without_a_terminal_there_is_a_line_a_minute_once_it_takes_long(clock, capsys):
    with Waiting("tokenising", total=200) as work:
        for _ in range(20):
            clock(10)
            work.update(10)
    assert capsys.readouterr().out.splitlines() == [
        "tokenising: 15% after 30 s …",
        "tokenising: 45% after 90 s …",
        "tokenising: 75% after 150 s …",
    ]


def test_work_of_unknown_size_shows_its_time(clock, capsys):
    with Waiting("training the tokenizer") as work:
        clock(29)
        work.update()
        assert capsys.readouterr().out == ""
        clock(2)
        work.update()
    assert capsys.readouterr().out == "training the tokenizer: after 31 s …\n"


def test_a_terminal_shows_the_time_without_a_step(capsys):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    terminal = Terminal()
    with contextlib.redirect_stderr(terminal), Waiting("training the tokenizer") as work:
        work._shown -= 1
        work.update()
        shown = terminal.getvalue()
    assert shown.count("training the tokenizer: 00:00") == 2
    assert capsys.readouterr().out == ""
