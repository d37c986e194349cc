"""The held-out curves of run folders, as a page and as a picture."""

from __future__ import annotations

from collections.abc import Sequence

from electra.report import pretraining
from electra.report.html import document, tag
from electra.report.picture import picture
from electra.report.values import Json, plural

TITLE = "Learning curves"
NOT_DRAWN = "A dashed curve that starts at 0 continues a run that is not drawn."


def curves_page(runs: Sequence[Json], unit: str) -> str:
    """The page. runs: of `read_runs`. unit: minutes or tokens."""
    return document(
        TITLE,
        tag("p", f"{plural(len(runs), 'run')} of pre-training.", class_="lead"),
        pretraining.curves(runs, unit),
        [tag("p", NOT_DRAWN, class_="note")] if starts_unseen(runs, unit) else "",
        [tag("h2", "Cost"), pretraining.cost_table(runs)],
    )


def curves_picture(runs: Sequence[Json], unit: str) -> str:
    """The stand-alone SVG. runs: of `read_runs`. unit: minutes or tokens."""
    notes = []
    if any(run["init"] for run in runs):
        notes.append(pretraining.CURVES_NOTE)
    if starts_unseen(runs, unit):
        notes.append(NOT_DRAWN)
    names = ", ".join(run["name"] for run in runs)
    return picture(f"{TITLE}: {names}", pretraining.plots(runs, unit), notes)


def starts_unseen(runs: Sequence[Json], unit: str) -> bool:
    """Whether a run that started from another one is drawn from 0, since that one is not drawn."""
    starts = [start for _, start in pretraining.lineage(runs, unit)]
    return any(run["init"] and not start for run, start in zip(runs, starts, strict=True))
