"""Settings as dataclasses: a field is a flag, with default, help and bounds beside it."""

from __future__ import annotations

import dataclasses
import math
import re
import typing
from dataclasses import dataclass, field, fields


class Bounds(typing.NamedTuple):
    """Which numbers a setting takes. Infinity only where `at_most` names it, and never nan."""

    at_least: float | None = None
    above: float | None = None
    at_most: float | None = None
    below: float | None = None

    def allow(self, value: float) -> bool:
        """Whether a number is within the bounds."""
        low, above, most, below = self
        if isinstance(value, float) and not math.isfinite(value) and value != most:
            return False
        return (
            (low is None or value >= low)
            and (above is None or value > above)
            and (most is None or value <= most)
            and (below is None or value < below)
        )

    def __str__(self) -> str:
        """ "above 0", "8 or more", "from 0 to below 1"; empty where there is no bound."""
        low, above, most, below = self
        most = None if most == math.inf else most
        if low is not None and most is None and below is None:
            return f"{low:,} or more"
        if low is not None:
            return f"from {low:,} to " + (f"below {below:,}" if most is None else f"{most:,}")
        parts = (("above", above), ("at most", most), ("below", below))
        return " and ".join(f"{word} {bound:,}" for word, bound in parts if bound is not None)


def option(
    default: object,
    group: str,
    text: str,
    choices: tuple[str, ...] | None = None,
    **bounds: float,
) -> typing.Any:
    """A dataclass field that is also a command-line flag. `bounds` are those of `Bounds`."""
    metadata = {"group": group, "help": text, "choices": choices, "bounds": Bounds(**bounds)}
    return field(default=default, metadata=metadata)


def flag_of(name: str) -> str:
    """The flag of a field: "batch_tokens" -> "--batch-tokens"."""
    return "--" + name.replace("_", "-")


@dataclass(frozen=True)
class Settings:
    """Base of the settings of a program.

    Raises ValueError for a value that is out of bounds or not among the choices, wherever it comes
    from: the command line, a file, or code.
    """

    # A flag, and what is filled in anew where it is given beside the settings of a file.
    FOLLOWERS: typing.ClassVar[dict[str, tuple[str, ...]]] = {}
    NOT_FROM_FILE: typing.ClassVar[tuple[str, ...]] = ("out", "config")

    def __post_init__(self) -> None:
        self.check()

    def check(self, skip: tuple[str, ...] = ()) -> None:
        """Raise ValueError for the first field, but those to skip, whose value is not allowed."""
        for item in fields(self):
            value = getattr(self, item.name)
            for one in value if isinstance(value, tuple) else (value,):
                if one is not None and item.name not in skip:
                    _check_value(item, one)


def _check_value(item: dataclasses.Field, value: typing.Any) -> None:
    bounds, choices = item.metadata["bounds"], item.metadata["choices"]
    if choices and value not in choices:
        raise ValueError(f"{flag_of(item.name)} must be one of {', '.join(choices)}, not {value}")
    if not isinstance(value, (int, float)) or bounds.allow(value):
        return
    endless = value == math.inf and bounds.at_most is bounds.below is None
    wanted = "finite" if endless else bounds
    raise ValueError(f"{flag_of(item.name)} must be {wanted}, not {value}")


def flag_type(annotation: str) -> tuple[type, bool]:
    """("int | None") -> (int, False); ("tuple[str, ...]") -> (str, True)."""
    scalar = {"int": int, "float": float, "str": str, "bool": bool}
    many = annotation.startswith("tuple[")
    name = re.findall(r"int|float|str|bool", annotation)[0]
    return scalar[name], many


def to_dict(config: typing.Any) -> dict[str, object]:
    """A dataclass as plain JSON-able values."""
    return {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in dataclasses.asdict(config).items()
    }


def from_dict(config_class: type, values: dict[str, typing.Any]) -> typing.Any:
    """The inverse of `to_dict`. Keys that have a default may be missing.

    Raises ValueError naming unknown and missing keys, and values of a wrong kind.
    """
    known = {item.name for item in fields(config_class)}
    required = {item.name for item in fields(config_class) if item.default is dataclasses.MISSING}
    unknown, missing = sorted(set(values) - known), sorted(required - set(values))
    if unknown or missing:
        raise ValueError(f"{config_class.__name__}: unknown keys {unknown}, missing keys {missing}")
    wrong = [
        item.name
        for item in fields(config_class)
        if item.name in values and not is_kind(values[item.name], str(item.type))
    ]
    if wrong:
        raise ValueError(f"{config_class.__name__}: {', '.join(wrong)} of a wrong kind")
    return config_class(
        **{
            name: tuple(value) if isinstance(value, list) else value
            for name, value in values.items()
        }
    )


def is_kind(value: typing.Any, annotation: str) -> bool:
    """Whether a value from a file can be that of a field of this type.

    A whole number can be a float, and a list a tuple.
    """
    if annotation == "SpecialIds":
        return is_kind(value, "tuple[int, ...]") and len(value) == 5
    if annotation.startswith("tuple["):
        kind = flag_type(annotation)[0].__name__
        return isinstance(value, (list, tuple)) and all(is_kind(one, kind) for one in value)
    kinds: dict[str, tuple[type, ...]] = {
        "int": (int,),
        "float": (int, float),
        "str": (str,),
        "bool": (bool,),
        "None": (type(None),),
    }
    return any(type(value) in kinds[kind] for kind in annotation.split(" | "))
