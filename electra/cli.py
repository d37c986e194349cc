"""Command lines made from the fields of a dataclass, and how every program ends."""

from __future__ import annotations

import argparse
import contextlib
import os
import select
import sys
import typing
from collections.abc import Callable, Iterator
from dataclasses import Field, fields
from functools import partial

from electra.config import (
    FinetuneConfig,
    PretrainConfig,
    flag_of,
    flag_type,
    read_settings,
)
from electra.files import lasting, one_line, write_any_text

MISTAKE, FAILURE, STOPPED = 2, 1, 130  # exit codes
CLOSED_PIPE = 141  # what a shell shows for a program that a closed pipe has ended


class Failure(Exception):
    """Ends a program with one line and exit code 1: a mistake of neither the user nor the code."""


def run_cli(
    prog: str,
    body: Callable[[], int | None],
    *,
    stopped: str = "stopped",
    closed_pipe: int | None = CLOSED_PIPE,
    report: Callable[[str], None] | None = None,
) -> int:
    """Run `body`, the whole work of a program, and return the exit code.

    0, or what `body` returns    where it ends by itself
    2                            after a ValueError or an OSError, which is a mistake of the user
    1                            after a `Failure`
    130                          after Ctrl-C; `stopped` says what it leaves behind
    `closed_pipe`                where nobody reads the output any more, as of `program | head -1`

    With `closed_pipe` None the work goes on without its output, whatever happens to that: its
    product is a file. Every text can be written, whatever the encoding of the output lacks.

    All but the first and the last print one line on standard error; `report` prints those of
    mistakes and failures. Any other exception is a bug and passes through, with its traceback.
    """
    report = report or _print_error
    with _safe_output(lasts=closed_pipe is None):
        try:
            code = body() or 0
            sys.stdout.flush()
            return code
        except KeyboardInterrupt:
            _print_error(f"\n{prog}: {stopped}")
            return STOPPED
        except Failure as failure:
            report(f"{prog}: error: {one_line(failure)}")
            return FAILURE
        except (ValueError, OSError) as mistake:
            if isinstance(mistake, BrokenPipeError) and _is_unread(sys.stdout):
                return closed_pipe or 0
            report(f"{prog}: error: {one_line(mistake)}")
            return MISTAKE
        finally:
            _give_up_unwritable_output()


@contextlib.contextmanager
def _safe_output(lasts: bool) -> Iterator[None]:
    """Set up standard output and error, and put them back.

    lasts: whether standard output drops what it cannot write; standard error always does.
    """
    before = sys.stdout, sys.stderr
    sys.stdout = lasting(sys.stdout) if lasts or sys.stdout is None else sys.stdout
    sys.stderr = lasting(sys.stderr)
    try:
        for stream in (sys.stdout, sys.stderr):
            write_any_text(stream)
        yield
    finally:
        for stream in {sys.stdout, sys.stderr} - {*before}:
            stream.flush()
        sys.stdout, sys.stderr = before


def _print_error(line: str) -> None:
    print(line, file=sys.stderr)


def _is_unread(stream: typing.TextIO) -> bool:
    """Whether a stream is a pipe whose reader has closed it."""
    poll = select.poll()
    try:
        poll.register(stream.fileno(), 0)
    except OSError:  # it is no file at all, as in a test
        return False
    return any(event & select.POLLERR for _, event in poll.poll(0))


def _give_up_unwritable_output() -> None:
    """Point output that takes no more at nothing: Python flushes it again at exit and complains."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, stream.fileno())
            os.close(nowhere)


class Parser(argparse.ArgumentParser):
    """A mistake gets one line and exit code 2, without the usage before it."""

    def error(self, message: str) -> typing.NoReturn:
        print(f"{self.prog}: error: {one_line(message)} (see {self.prog} --help)", file=sys.stderr)
        raise SystemExit(2)


class _SplitCommas(argparse.Action):
    """`--seeds 1,2,3` and `--seeds 1 2 3` are the same."""

    def __call__(self, parser, namespace, values, option_string=None):
        assert callable(self.metavar_type)
        try:
            setattr(
                namespace,
                self.dest,
                tuple(self.metavar_type(v) for v in ",".join(values).split(",") if v),
            )
        except ValueError:
            parser.error(
                f"argument {option_string}: {' '.join(values)!r} is not a list of "
                f"{self.metavar_type.__name__}"
            )


def parse(
    config_class: type,
    prog: str,
    description: str,
    argv: list[str] | None = None,
    defaults: dict[str, object] | None = None,
) -> tuple[typing.Any, set[str]]:
    """Parse a command line made from a dataclass; return (config, names of the flags typed).

    `--config FILE`, where it is a field, sets what no flag gives. Raises ValueError for a value
    that is out of bounds, and for a file that cannot be used.
    """
    defaults = defaults or {}
    parser = Parser(
        prog=prog,
        description=description,
        allow_abbrev=False,
        formatter_class=lambda prog: argparse.HelpFormatter(prog, max_help_position=28, width=100),
    )
    groups: dict[str, typing.Any] = {}
    for item in fields(config_class):
        title = item.metadata["group"]
        if title not in groups:
            groups[title] = parser.add_argument_group(title)
        _add_flag(groups[title], item, defaults.get(item.name, item.default))

    given: dict[str, typing.Any] = {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in vars(parser.parse_args(argv)).items()
    }
    from_file: dict[str, object] = {}
    if given.get("config"):
        from_file = read_settings(config_class, given["config"], given)
    return config_class(**{**defaults, **from_file, **given}), set(given)


def _add_flag(group: typing.Any, item: Field, default: object) -> None:
    """Add the flag of a field; it is in the namespace only where it is typed."""
    kind, many = flag_type(str(item.type))
    choices, text = item.metadata["choices"], item.metadata["help"]
    if "default" not in text and default not in (None, (), False):
        text += f" (default: {_shown(default)})"

    add = partial(group.add_argument, flag_of(item.name), default=argparse.SUPPRESS, help=text)
    if kind is bool:
        add(action=argparse.BooleanOptionalAction if "None" in str(item.type) else "store_true")
    elif many:
        action = _SplitCommas if kind is int else "store"
        add(nargs="+", action=action, metavar=item.name.upper()).metavar_type = kind
    else:
        add(type=kind, choices=choices, metavar=None if choices else item.name.upper())


def _shown(default: object) -> str:
    return ",".join(map(str, default)) if isinstance(default, tuple) else str(default)


# ---------------------------------------------------------------- docs/cli.md


def reference() -> str:
    """Markdown with every flag of train.py and finetune.py: docs/cli.md."""
    lines = [
        "# Every flag of train.py and finetune.py",
        "",
        "`python -m electra.cli > docs/cli.md` makes this page from the settings in",
        "`electra/config/`. A value out of bounds is refused, whether it comes from the command",
        "line or from a `--config` file. `python train.py --help` shows the flags in a terminal.",
        "",
        "`--config runs/x/config.json --out runs/y` is the run of `runs/x` once more: the same",
        "text and the same settings give the same weights. A flag beside it wins, and what follows",
        "from that flag (from `--size` the shape and the learning rate) is filled in anew.",
    ]
    for prog, config_class in (("train.py", PretrainConfig), ("finetune.py", FinetuneConfig)):
        lines += ["", f"## {prog}"]
        group = None
        for item in fields(config_class):
            if item.metadata["group"] != group:
                group = item.metadata["group"]
                lines += ["", f"### {group[0].upper()}{group[1:]}", ""]
                lines += ["| flag | default | takes | what it is |", "|---|---|---|---|"]
            lines.append(f"| {' | '.join(_reference_row(item))} |")
    return "\n".join(lines) + "\n"


def _reference_row(item: Field) -> tuple[str, str, str, str]:
    """(flag, default, what it takes, what it is) of a field."""
    text = item.metadata["help"].replace("%%", "%")
    words, _, said = text.partition(" (default: ")
    if said:
        default = said.removesuffix(")")
    else:
        default = "none" if item.default in (None, ()) else _shown(item.default)
    kind, many = flag_type(str(item.type))
    bounds, choices = str(item.metadata["bounds"]), item.metadata["choices"]
    if kind is bool:
        default, takes = ("off" if item.default is False else default), "nothing: a switch"
    elif choices:
        takes = ", ".join(f"`{choice}`" for choice in choices)
    else:
        takes = {int: "whole number", float: "number", str: "text"}[kind] + "s" * many
        takes += f", {bounds}" if bounds else ""
    flag = flag_of(item.name)
    flags = f"`{flag}`"
    if kind is bool and item.default is None:
        flags += f", `--no-{flag.removeprefix('--')}`"
    return flags, default.replace("<", "&lt;"), takes, words


if __name__ == "__main__":
    print(reference(), end="")
