"""The page of a comparison of models, from the results.json of scripts/compare_models.py."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from statistics import fmean
from typing import NamedTuple

from electra.report import charts, pretraining
from electra.report.html import Markup, definitions, document, isolate, join, table, table_row, tag
from electra.report.schema import COMPARISON, check_kind
from electra.report.values import (
    MISSING,
    TASK_NAMES,
    Json,
    markdown_cell,
    mean_sd,
    plural,
)

FORMAT = 1
PARTS = {"head_dev": "head only, dev", "dev": "dev", "test": "test"}
SCORES_CAPTION = """Scores in percent: mean ± sample standard deviation over fine-tuning seeds, and
the number of seeds. Bold: the highest mean of the models in a column. Head only: the classifier was
trained on a frozen encoder. Reference lines, in italics below the rule, are not part of the
comparison. The deviation covers the seeds only; other test examples would also move a score."""
SEEDS_NOTE = """Each dot is one seed. The bar marks the mean, printed at the right. The dev and test
scores of a task share one axis."""


class Task(NamedTuple):
    """A task with its scores in percent: part -> row -> seed. Parts without scores are left out."""

    key: str
    metric: str
    scores: dict[str, list[list[float]]]

    @property
    def name(self) -> str:
        return TASK_NAMES.get(self.key, self.key)

    @property
    def columns(self) -> list[str]:
        return [*(PARTS[part] for part in self.scores), "seeds"]


def html_report(results: Json) -> str:
    """The page of a comparison.

    results: the parsed results.json. Raises ValueError for another format, for missing values and
    for values of the wrong kind.
    """
    rows, tasks = read_scores(results)
    about = [
        ("Compute", isolate(results["equal"]["text"])),
        ("Machine", isolate(results["machine"])),
        ("Date", isolate(results["date"])),
        ("Command", tag("code", results["command"])),
    ]
    runs = results["pretraining"]
    parts = [tag("p", summary(rows, tasks), class_="lead"), definitions(about)]
    parts.append(tag("h2", "Scores"))
    if not tasks:
        parts.append(tag("p", "No scores yet."))
    else:
        parts.append(score_table(rows, tasks))
        parts += [strips(rows, task, runs) for task in tasks]
        parts.append(tag("p", SEEDS_NOTE, class_="note"))

    if runs:
        unit = "minutes" if results["equal"]["by"] == "time" else "tokens"
        parts += [tag("h2", "Pre-training"), *pretraining.curves(runs, unit)]
        parts += [tag("h2", "Cost"), pretraining.cost_table(runs)]
    if results["replaced_view"]:
        parts.append(tag("h2", "Replaced tokens"))
        parts += pretraining.replaced_view(results["replaced_view"])
    parts += [tag("h2", "Commands"), commands(rows, runs)]
    return document(results["title"], parts)


def markdown_table(results: Json) -> str:
    """The score table of the page for GitHub, ending in a newline. Raises as `html_report` does."""
    rows, tasks = read_scores(results)
    heads = [f"{markdown_cell(task.name)} {name}" for task in tasks for name in task.columns]
    lines = [["model", "pre-training, min", *heads], ["---", "---:", *["---:"] * len(heads)]]
    for row, cells in zip(rows, score_cells(rows, tasks, "**{}**".format), strict=True):
        name = markdown_cell(row["name"])
        lines.append([name if is_model(row) else f"*{name}*", *cells])
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


def is_model(row: Json) -> bool:
    """Whether a row of the results is a model and not a reference line."""
    return row["kind"] == "model"


def read_scores(results: Json) -> tuple[list[Json], list[Task]]:
    """The rows, models first, and the tasks that some row has a score for."""
    check_kind(results, {})
    if results.get("format") != FORMAT:
        found = f"{results.get('format')!r:.60}"
        raise ValueError(f"format is {found}, but this program reads {FORMAT}")
    check_kind(results, COMPARISON)

    rows = sorted(results["rows"], key=lambda row: not is_model(row))
    tasks = []
    for key in dict.fromkeys(task for row in rows for task in row["scores"]):
        by_row = [row["scores"].get(key, {}) for row in rows]
        parts = {}
        for part in PARTS:
            scores = [[100 * score for score in own.get(part) or ()] for own in by_row]
            if any(scores):
                parts[part] = scores
        if parts:
            tasks.append(Task(key, next(own["metric"] for own in by_row if own), parts))
    return rows, tasks


def means(
    rows: Sequence[Json], scores: Sequence[list[float]], models: bool
) -> list[tuple[float, str]]:
    """Mean and name of every model, or of every reference line, that has scores."""
    pairs = zip(rows, scores, strict=True)
    return [(fmean(own), row["name"]) for row, own in pairs if own and is_model(row) == models]


def summary(rows: Sequence[Json], tasks: Sequence[Task]) -> Markup:
    """The best model in the last column of each task, and the best reference line."""
    models = sum(map(is_model, rows))
    references = plural(len(rows) - models, "reference line")
    text = [f"{plural(models, 'model')}, {references}."]
    for task in tasks:
        part, scores = list(task.scores.items())[-1]
        own, others = means(rows, scores, models=True), means(rows, scores, models=False)
        if own:
            score, name = max(own)
            best = f" {PARTS[part]}: {score:.2f}%, "
            text += [" Highest mean on ", isolate(task.name), best, isolate(name)]
            text.append(f" (best reference line: {max(others)[0]:.2f}%)." if others else ".")
    return join(text)


def score_cells(
    rows: Sequence[Json], tasks: Sequence[Task], bold: Callable[[str], str]
) -> list[tuple[str, ...]]:
    """The score table by rows: minutes, then for each task its scores and the number of seeds.

    Bold: the highest mean of two or more models. Means are compared as printed, so that what looks
    equal is bold together.
    """
    minutes = [row.get("pretraining_minutes") for row in rows]
    columns = [[MISSING if value is None else f"{value:,.1f}" for value in minutes]]
    for task in tasks:
        for scores in task.scores.values():
            rivals = [f"{mean:.2f}" for mean, _ in means(rows, scores, models=True)]
            best = max(rivals, key=float) if len(rivals) > 1 else None
            cells = []
            for row, own in zip(rows, scores, strict=True):
                wins = own and is_model(row) and f"{fmean(own):.2f}" == best
                cells.append(bold(mean_sd(own)) if wins else mean_sd(own))
            columns.append(cells)
        seeds = [max(map(len, found)) for found in zip(*task.scores.values(), strict=True)]
        columns.append([str(n or MISSING) for n in seeds])
    return list(zip(*columns, strict=True))


def score_table(rows: Sequence[Json], tasks: Sequence[Task]) -> Markup:
    groups: list[tuple[str, Sequence[str]]] = [("", ["model"]), ("pre-training", ["minutes"])]
    for task in tasks:
        groups.append((join(isolate(task.name), ", ", isolate(task.metric)), task.columns))
    cells = score_cells(rows, tasks, lambda text: tag("b", text))
    lines = [table_row(isolate(row["name"]), found) for row, found in zip(rows, cells, strict=True)]
    models = sum(map(is_model, rows))
    return table("Scores", groups, lines[:models], SCORES_CAPTION, references=lines[models:])


def strips(rows: Sequence[Json], task: Task, runs: Sequence[Json]) -> Markup:
    """Every seed of a task: a strip for each column, with the same rows at the same height."""
    families = pretraining.lineage(runs, "minutes")
    colours = {run["name"]: colour for run, (colour, _) in zip(runs, families, strict=True)}
    drawings = []
    for part, scores in task.scores.items():
        lines = []
        for row, own in zip(rows, scores, strict=True):
            if task.key not in row["scores"]:
                continue
            kind, colour = "open", charts.GREY
            if is_model(row):
                kind, colour = "seed", colours.get(row["name"], charts.GREY)
            # A reference line may have a score but no seed.
            seeds = row["scores"][task.key]["seeds"]
            names = [f"seed {seed}: " for seed in seeds]
            if len(seeds) != len(own):
                names = [""] * len(own)
            dots = [
                (score, f"{name}{score:.2f}", kind) for name, score in zip(names, own, strict=True)
            ]
            lines.append(charts.Dots(row["name"], colour, dots))
        # dev and test share an axis, to be compared by eye; head-only scores would stretch it.
        shared = [other for other in task.scores if (other == "head_dev") == (part == "head_dev")]
        values = [score for other in shared for own in task.scores[other] for score in own]
        drawings.append(charts.strip(PARTS[part], f"{task.metric}, %", lines, values))
    title = tag("h3", isolate(task.name), ": every seed")
    return join(title, tag("div", drawings, class_="strips"))


def commands(rows: Sequence[Json], runs: Sequence[Json]) -> Markup:
    """Every pre-training, then every fine-tuning."""
    items = []
    for run in runs:
        name = join(isolate(run["name"]), f", {run['stage']}, {run['minutes']:,.1f} minutes")
        items.append((name, tag("pre", run["command"])))
    for row in rows:
        for task, scores in row["scores"].items():
            where = isolate(TASK_NAMES.get(task, task))
            name = join(isolate(row["name"]), ", ", where, f", {scores['seconds']:,.0f} s")
            items.append((name, tag("pre", scores["command"])))
    summary = tag("summary", "Show the command of every run")
    return tag("details", summary, definitions(items, "commands"))
