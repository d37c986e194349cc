"""What a stage finds: measured values and checks, one JSON object a line of a file.

Each line is on disk at once, so that what a stage had found is there when it is killed.
"""

from __future__ import annotations

import json
import math
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path


@dataclass(frozen=True)
class Finding:
    """One line of a stage. `passed` is None for a value that nothing is asked of."""

    what: str
    value: float | str
    unit: str = ""
    expected: str = ""
    passed: bool | None = None
    after: float = 0.0  # seconds since the stage began


class Findings:
    """Writes the findings of one stage."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.began = time.monotonic()

    def value(self, what: str, value: float | str, unit: str = "") -> None:
        """Something measured."""
        self._add(Finding(what, value, unit))

    def at_most(self, what: str, value: float, bound: float, unit: str = "") -> None:
        """A check: a finite `value` that is `bound` or less."""
        passed = math.isfinite(value) and value <= bound
        self._add(Finding(what, value, unit, f"at most {bound:g}", passed))

    def at_least(self, what: str, value: float, bound: float, unit: str = "") -> None:
        """A check: a finite `value` that is `bound` or more."""
        passed = math.isfinite(value) and value >= bound
        self._add(Finding(what, value, unit, f"at least {bound:g}", passed))

    def holds(self, what: str, passed: bool, value: str = "") -> None:
        """A check that is either so or not; `value` says more."""
        self._add(Finding(what, value or ("yes" if passed else "no"), "", "yes", bool(passed)))

    def goal(self, what: str, value: float, bound: float, unit: str = "") -> None:
        """A measured value with a goal. Missing it is no failure: it is said."""
        reached = "reached" if value >= bound else "missed"
        self._add(Finding(what, value, unit, f"goal {bound:g}, {reached}"))

    def _add(self, finding: Finding) -> None:
        if not isinstance(finding.value, str) and not math.isfinite(finding.value):
            finding = replace(finding, value=str(finding.value))  # JSON has no word for it
        finding = replace(finding, after=round(time.monotonic() - self.began, 1))
        line = json.dumps(asdict(finding), allow_nan=False)
        with open(self.path, "a", encoding="utf-8") as file:
            file.write(line + "\n")
        print(line, flush=True)


def read_findings(path: Path) -> list[Finding]:
    """All whole lines of a stage's file; none where it wrote nothing."""
    if not path.exists():
        return []
    lines = path.read_text(encoding="utf-8").split("\n")[:-1]  # after the last line end: cut off
    return [Finding(**json.loads(line)) for line in lines]
