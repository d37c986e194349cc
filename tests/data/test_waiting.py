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
        "tokenising: 15% after 30 s, 170 s to go …",
        "tokenising: 45% after 90 s, 110 s to go …",
        "tokenising: 75% after 150 s, 50 s to go …",
    ]


@pytest.mark.parametrize("silent", [False, True])
def test_items_are_counted_as_they_are_done(clock, capsys, silent):
    seen = []
    for item in Waiting("epoch 1", 4, keep=False, silent=silent).over("abcd"):
        clock(20)
        seen.append(item)
    assert seen == list("abcd")
    lines = [] if silent else ["epoch 1: 50% after 40 s, 40 s to go …"]
    assert capsys.readouterr().out.splitlines() == lines


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
