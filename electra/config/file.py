"""Settings from the config.json of an earlier run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from electra.config.options import Settings, from_dict

# What a run writes into its config.json beside the settings: it follows from them.
BESIDE_SETTINGS = ("model", "amp_used")


def read_settings(config_class: type[Settings], path: str, given: dict[str, Any]) -> dict[str, Any]:
    """{name: value} of the settings of a file, for those that no flag gives.

    given: the flags that were typed, by name. A flag with another value than the file's also opens
    the settings that follow from it, so that they are filled in anew. Raises ValueError naming the
    file where it cannot be read, has a key that is no setting, or a value that is not allowed.
    """
    try:
        values = json.loads(Path(path).read_text(encoding="utf-8-sig"))
    except OSError as problem:
        raise ValueError(f"cannot read --config {path}: {problem.strerror}") from None
    except (ValueError, RecursionError):
        raise ValueError(f"{path} is not JSON") from None
    if not isinstance(values, dict):
        raise ValueError(f"{path} is not a JSON object")

    left_out = {*BESIDE_SETTINGS, *config_class.NOT_FROM_FILE}
    values = {name: value for name, value in values.items() if name not in left_out}
    try:
        config = from_dict(config_class, values)
    except ValueError as problem:
        raise ValueError(f"{path}: {problem}") from None
    opened = {
        follower
        for flag, followers in config_class.FOLLOWERS.items()
        if flag in given and given[flag] != getattr(config, flag)
        for follower in followers
    }
    return {name: getattr(config, name) for name in values if name not in opened | set(given)}
