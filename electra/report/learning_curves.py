"""The held-out curves of run folders, as a page and as a picture."""

from __future__ import annotations

from collections.abc import Sequence

from electra.report import pretraining
from electra.report.html import document, tag
from electra.report.picture import picture
from electra.report.values import Json, plural

TITLE = "Learning curves"
CONTINUED = """Dashed: post-pre-training, drawn from the checkpoint of the run that it started
from. Its held-out text may be a different one."""
NOT_DRAWN = "A dashed curve that starts at 0 continues a run that is not drawn."


def curves_page(runs: Sequence[Json], unit: str) -> str:
    """The page. runs: of `read_runs`. unit: minutes or tokens."""
    return document(
        TITLE,
        tag("p", f"{plural(len(runs), 'run')} of pre-training.", class_="lead"),
        pretraining.curves(runs, unit, CONTINUED),
        [tag("p", NOT_DRAWN, class_="note")] if starts_unseen(runs) else "",
        [tag("h2", "Cost"), pretraining.cost_table(runs)],
    )


def curves_picture(runs: Sequence[Json], unit: str) -> str:
    """The stand-alone SVG. runs: of `read_runs`. unit: minutes or tokens."""
    notes = []
    if any(run["init"] for run in runs):
        notes.append(CONTINUED)
    if starts_unseen(runs):
        notes.append(NOT_DRAWN)
    names = ", ".join(run["name"] for run in runs)
    return picture(f"{TITLE}: {names}", pretraining.plots(runs, unit), notes)


def starts_unseen(runs: Sequence[Json]) -> bool:
    """Whether a run started from one that is not drawn."""
    names = [run["name"] for run in runs]
    return any(run["init"] and run["init"] not in names for run in runs)
