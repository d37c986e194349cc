"""Command lines made from the fields of a dataclass, and how every program ends."""

from __future__ import annotations

import argparse
import contextlib
import os
import select
import sys
import typing
from collections.abc import Callable
from dataclasses import fields

from electra.config import flag_type, read_settings
from electra.files import one_line

MISTAKE, FAILURE, STOPPED = 2, 1, 130  # exit codes
CLOSED_PIPE = 141  # what a shell shows for a program that a closed pipe has ended


class Failure(Exception):
    """Ends a program with one line and exit code 1: a mistake of neither the user nor the code."""


def run_cli(
    prog: str,
    body: Callable[[], int | None],
    *,
    stopped: str = "stopped",
    closed_pipe: int = CLOSED_PIPE,
    report: Callable[[str], None] | None = None,
) -> int:
    """Run `body`, the whole work of a program, and return the exit code.

    0, or what `body` returns    where it ends by itself
    2                            after a ValueError or an OSError, which is a mistake of the user
    1                            after a `Failure`
    130                          after Ctrl-C; `stopped` says what it leaves behind
    `closed_pipe`                where nobody reads the output any more, as of `program | head -1`

    All but the first and the last print one line on standard error; `report` prints those of
    mistakes and failures. Any other exception is a bug and passes through, with its traceback.
    """
    report = report or _print_error
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
            return closed_pipe
        report(f"{prog}: error: {one_line(mistake)}")
        return MISTAKE
    finally:
        _give_up_unwritable_output()


def _print_error(line: str) -> None:
    with contextlib.suppress(OSError):  # nobody reads that either
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
    """Parse a command line made from a dataclass; return (config, names of the flags typed)."""
    parser = Parser(
        prog=prog,
        description=description,
        allow_abbrev=False,
        formatter_class=lambda prog: argparse.HelpFormatter(prog, max_help_position=28, width=100),
    )
    groups: dict[str, typing.Any] = {}
    for item in fields(config_class):
        meta = item.metadata
        group = groups.setdefault(meta["group"], parser.add_argument_group(meta["group"]))
        kind, many = flag_type(str(item.type))
        flag = "--" + item.name.replace("_", "-")
        default = (defaults or {}).get(item.name, item.default)
        text = meta["help"]
        if "default" not in text and default not in (None, (), False):
            shown = ",".join(map(str, default)) if isinstance(default, tuple) else default
            text += f" (default: {shown})"
        if kind is bool:
            either = argparse.BooleanOptionalAction if "None" in str(item.type) else "store_true"
            group.add_argument(flag, action=either, default=argparse.SUPPRESS, help=text)
        elif many:
            action = group.add_argument(
                flag,
                nargs="+",
                action=_SplitCommas if kind is int else "store",
                default=argparse.SUPPRESS,
                help=text,
                metavar=item.name.upper(),
            )
            action.metavar_type = kind
        else:
            group.add_argument(
                flag,
                type=kind,
                default=argparse.SUPPRESS,
                help=text,
                choices=meta["choices"],
                metavar=None if meta["choices"] else item.name.upper(),
            )
    given = vars(parser.parse_args(argv))
    given = {
        name: tuple(value) if isinstance(value, list) else value for name, value in given.items()
    }
    from_file: dict[str, object] = {}
    if given.get("config"):
        from_file = read_settings(config_class, given["config"], given)
    return config_class(**{**(defaults or {}), **from_file, **given}), set(given)
