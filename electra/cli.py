"""Command lines made from the fields of a dataclass, and one line for each mistake."""

from __future__ import annotations

import argparse
import sys
import typing
from dataclasses import fields

from electra.config import flag_type
from electra.files import one_line


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
    """Make a command line from a dataclass, parse it, and return (config, names of the flags that were typed)."""
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
    return config_class(**{**(defaults or {}), **given}), set(given)
