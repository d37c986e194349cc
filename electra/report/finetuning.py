"""The page of one fine-tuning, from result.json and predictions.tsv."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

from electra.report import charts
from electra.report.charts import ticks
from electra.report.html import (
    Markup,
    definitions,
    document,
    isolate,
    join,
    shade,
    table,
    table_row,
    tag,
)
from electra.report.judgements import kind_of, named_scores, worst_examples
from electra.report.schema import FINETUNING, PREDICTIONS, check_kind
from electra.report.values import MISSING, TASK_NAMES, Json, clip, mean_sd, plural

FEW_LABELS = 8  # have room for upright names and decimals in a confusion matrix
MOST_POINTS = 1000  # of a scatter plot
DIGIT_WIDTH = 7.5  # pixels
# Columns of the score table: the key of a seed, and what its value is multiplied by.
FURTHER = {
    "last epoch": ("dev_last_epoch", 100),
    "head only": ("dev_head_only", 100),
    "labels only": ("dev_labelled_only", 100),
    "loss": ("loss", 1),
    "ECE": ("ece", 100),
}

SCORES_CAPTION = """Scores and the expected calibration error (ECE) × 100; loss in nats, of a
regression the squared error. The deviation is the sample’s, over seeds. The best epoch and seed
were chosen on the held-out part, so scores on it are slightly too high. Last epoch, head only
(on a frozen encoder) and labels only (before the unlabelled texts): """
SEEDS_NOTE = """Each dot is one seed, red if it collapsed. The bar marks the mean, printed at the
right."""
UNREAD = ", or its training loss is no better than without reading the texts"
# Kinds of tasks -> how it shows that a seed has learned nothing.
COLLAPSED = {
    "classes": f"it gives every text the same class{UNREAD}",
    "regression": "it gives every text the same value",
    "labels": f"it gives every text the same probabilities{UNREAD}",
    "tags": f"it gives every word the same tag{UNREAD}",
    "spans": "it finds no answer to any question",
    "vectors": "it gives every pair of texts the same cosine",
}
CONFUSION_CAPTION = """Rows: gold labels; columns: predictions. Each cell shows a count and its
share of the row, which sets the shade. Blue: correct."""
CALIBRATION_CAPTION = """Predictions grouped by their probability; the number at the foot of a bar
counts them. On the dashed line, accuracy equals probability; below it, the model is
overconfident."""
SCATTER_CAPTION = """Each dot is a held-out example. On the dashed line, the prediction equals the
gold value."""

# Set -> metric -> index of a seed -> score × 100. The main metric comes first.
Scores = dict[str, dict[str, dict[int, float]]]


def finetune_page(result: Json, rows: Sequence[Json]) -> str:
    """The page of a fine-tuning.

    result: the parsed result.json. rows: the held-out rows as `held_out_rows` reads them, the most
    wrong first; may be empty. Raises ValueError for missing values and values of the wrong kind.
    """
    check_kind(result, FINETUNING)
    check_kind(rows, PREDICTIONS)
    seeds, settings = result["seeds"], result["settings"]
    if result["best_seed"] not in [seed["seed"] for seed in seeds]:
        raise ValueError(f"best_seed {result['best_seed']} is none of the seeds")
    sets, init = scores_of(result), settings["init"]
    about = [
        ("Started from", "random weights" if init == "none" else tag("code", str(init))),
        ("Training set", plural(result["train_examples"], "example")),
        ("Seeds", f"{len(seeds)}"),
        ("Time", f"{result['seconds'] / 60:,.1f} minutes"),
    ]
    parts = [tag("p", summary(result, sets), class_="lead"), collapse_note(result)]
    parts += [definitions(about), tag("h2", "Scores"), seed_table(result, sets)]
    if len(seeds) > 1:
        parts += [tag("h3", "Every seed"), tag("div", seed_strips(seeds, sets), class_="strips")]
        parts.append(tag("p", SEEDS_NOTE, class_="note"))

    if figures := best_seed_figures(result, rows):
        parts.append(tag("h2", f"Seed {result['best_seed']:d}, held out"))
        parts.append(tag("div", figures, class_="charts"))
    parts += named_scores(result)
    if rows:
        parts += worst_examples(rows, kind_of(result))

    values = {name: json.dumps(value, ensure_ascii=False) for name, value in settings.items()}
    listed = definitions((name, tag("code", value)) for name, value in values.items())
    folded = tag("details", tag("summary", "Show every setting, resolved"), listed)
    title = f"Fine-tuning on {TASK_NAMES.get(result['task'], result['task'])}"
    return document(title, parts, tag("h2", "Settings"), folded)


def held_out_rows(path: Path) -> list[Json]:
    """The held-out rows of a predictions.tsv, in the order of the file.

    Each has text, gold, prediction, and p and p_gold: the probabilities of these two labels, None
    in a regression. Raises ValueError for a table of another kind.
    """
    lines = path.read_text(encoding="utf-8").removesuffix("\n").split("\n")
    head, *rows = [line.split("\t") for line in lines]
    if rows and "split" not in head:
        raise ValueError("split is missing")
    named = [dict(zip(head, cells, strict=False)) for cells in rows]
    return [held_out_row(row) for row in named if row.get("split") == "dev"]


def held_out_row(row: dict[str, str]) -> Json:
    keys = ("text", "gold", "prediction")
    missing = [key for key in keys if key not in row]
    if missing:
        raise ValueError(f"{missing[0]} is missing")
    found: Json = {key: row[key] for key in keys}
    for key, label in (("p", row["prediction"]), ("p_gold", row["gold"])):
        cell = row.get(f"p({label})")
        found[key] = None if cell is None else float(cell)
    return found


def by_seed(values: Sequence[float | None], factor: float = 100) -> dict[int, float]:
    return {i: factor * value for i, value in enumerate(values) if value is not None}


def non_empty(columns: dict[str, Any]) -> dict[str, Any]:
    return {name: column for name, column in columns.items() if column}


def scores_of(result: Json) -> Scores:
    """Scores on the held-out part, on the test set and on further sets."""
    main, sets = result["metric"], {}
    for name, part in (("held out", "dev"), ("test", "test")):
        seeds = [{**(s.get(f"{part}_metrics") or {}), main: s.get(part)} for s in result["seeds"]]
        metrics = dict.fromkeys([main, *result["also"]])
        sets[name] = {metric: [seed.get(metric) for seed in seeds] for metric in metrics}
    sets.update(result.get("more") or {})

    found = {}
    for name, scores in sets.items():
        found[name] = non_empty({metric: by_seed(values) for metric, values in scores.items()})
    return non_empty(found)


def summary(result: Json, sets: Scores) -> Markup:
    metric, n = result["metric"], len(result["seeds"])
    text = [isolate(metric[:1].upper() + metric[1:]), ": "]
    for i, (name, scores) in enumerate(sets.items()):
        mean = mean_sd([*scores.get(metric, {}).values()])
        text += [", " if i else "", f"{mean}% ", isolate(name)]
    text.append(f" (mean ± sample standard deviation over {n} seeds)." if n > 1 else ".")

    if result.get("confusion") and metric == "accuracy":
        golds = [sum(row) for row in result["confusion"]]
        share = 100 * max(golds) / max(1, sum(golds))
        text.append(f" Always predicting the most frequent label gives {share:.2f}% held out.")
    return join(text)


def collapse_note(result: Json) -> Markup:
    names = [f"{seed['seed']:d}" for seed in result["seeds"] if seed["collapsed"]]
    start = f"Collapsed: seed{'s' if len(names) > 1 else ''} {', '.join(names)}."
    kind = result.get("kind") or kind_of(result)
    meaning = " A collapsed seed has learned nothing"
    if kind in COLLAPSED:
        meaning += f": {COLLAPSED[kind]}"
    meaning += ". The means include it."
    return tag("p", tag("b", start), meaning, class_="bad") if names else Markup()


def seed_table(result: Json, sets: Scores) -> Markup:
    """Scores of all sets as columns; mean, median and every seed as rows. One seed has one row."""
    seeds = result["seeds"]
    further = {}
    for name, (key, factor) in FURTHER.items():
        further[name] = by_seed([seed.get(key) for seed in seeds], factor)
    groups = non_empty({**sets, "held out, further": non_empty(further)})
    columns = [column for group in groups.values() for column in group.values()]

    rows = []
    if len(seeds) > 1:
        rows.append(table_row("mean ± sd", [mean_sd([*column.values()]) for column in columns]))
        rows.append(table_row("median", [f"{median(column.values()):.2f}" for column in columns]))
    for i, seed in enumerate(seeds):
        best = len(seeds) > 1 and seed["seed"] == result["best_seed"]
        cells = [f"{column[i]:.2f}" if i in column else MISSING for column in columns]
        rows.append(table_row(seed_name(seed, best), cells))

    heads = [(isolate(name), [*map(isolate, group)]) for name, group in groups.items()]
    caption = [SCORES_CAPTION, isolate(result["metric"]), "."]
    return table("Scores", [("", [""]), *heads], rows, caption, "seeds")


def seed_name(seed: Json, best: bool) -> Markup:
    name = f"seed {seed['seed']:d}{', best' if best else ''}"
    retried = ", tried twice" if seed["retried"] else ""
    collapsed = (", ", tag("b", "collapsed", class_="bad")) if seed["collapsed"] else ""
    return join(name, retried, collapsed)


def seed_strips(seeds: Sequence[Json], sets: Scores) -> list[Markup]:
    """For each metric, every seed as a dot, a collapsed one in red."""
    drawings = []
    for metric in dict.fromkeys(metric for scores in sets.values() for metric in scores):
        rows = []
        for i, (name, scores) in enumerate(sets.items()):
            dots = [seed_dot(seeds[j], score) for j, score in scores.get(metric, {}).items()]
            rows.append(charts.Dots(name, charts.COLOURS[i % len(charts.COLOURS)], dots))
        values = [score for row in rows for score, _, _ in row.seeds]
        drawings.append(charts.strip(metric, f"{metric} × 100", rows, values))
    return drawings


def seed_dot(seed: Json, score: float) -> tuple[float, str, str]:
    note, kind = (", collapsed", "bad") if seed["collapsed"] else ("", "seed")
    return score, f"seed {seed['seed']:d}: {score:.2f}{note}", kind


def best_seed_figures(result: Json, rows: Sequence[Json]) -> list[Markup]:
    eces = {seed["seed"]: seed.get("ece") for seed in result["seeds"]}
    figures = []
    if result.get("confusion"):
        figures.append(confusion_matrix(result["labels"], result["confusion"]))
    if types := result.get("type_confusion"):
        figures.append(confusion_matrix(types["types"], types["words"]))
    if result.get("calibration"):
        figures.append(calibration(result["calibration"], eces[result["best_seed"]]))
    if result["regression"] and rows:
        figures.append(scatter(rows))
    return figures


def confusion_matrix(labels: Sequence[str], counts: Sequence[Sequence[int]]) -> Markup:
    """Counts and their share of the row, with a row for each gold label."""
    few = len(labels) <= FEW_LABELS
    rows = []
    for i, (gold, row) in enumerate(zip(labels, counts, strict=True)):
        n = sum(row)
        cells = []
        for j, (prediction, count) in enumerate(zip(labels, row, strict=True)):
            share = count / n if n else 0.0
            percent = tag("small", f"{100 * share:.{1 if few else 0}f}%")
            text = join(f"{count:,}", percent) if count else "·"
            note = f"{gold}, predicted as {prediction}: {count:,} of {n:,}"
            kind = f"{shade(share)}{' right' if i == j else ''}"
            cells.append(tag("td", text, class_=kind, title=note))
        name = tag("th", isolate(clip(gold, 40)), scope="row")
        rows.append(tag("tr", name, cells, tag("td", f"{n:,}")))

    names = [tag("span", isolate(clip(label, 24))) for label in labels]
    heads = [("", ["gold \\ predicted", *names, "all"])]
    kind = "confusion" if few else "confusion many"
    title = "Confusion matrix"
    return charts.figure(title, table(title, heads, rows, "", kind), CONFUSION_CAPTION)


def calibration(bins: Sequence[Json], ece: float | None) -> Markup:
    """A reliability diagram: accuracy against confidence, bin by bin."""
    bins = [one for one in bins if one["count"]]
    for key in ("confidence", "accuracy"):
        if any(one.get(key) is None for one in bins):
            raise ValueError(f"the {key} of a bin with predictions is missing")
    lowest = min((one["from"] for one in bins), default=0)
    x = charts.x_axis("probability of the prediction", ticks(lowest, 1))
    y = charts.y_axis("accuracy", ticks(0, 1))

    bars, dots = [], []
    for one in bins:
        n, accuracy, confidence = one["count"], one["accuracy"], one["confidence"]
        left, right, top = x.at(one["from"]), x.at(one["to"]), y.at(accuracy)
        note = f"{n:,} predictions: mean probability {confidence:.3f}, accuracy {accuracy:.3f}"
        size = {"x": left, "y": top, "width": right - left, "height": y.start - top}
        bars.append(charts.shape("rect", "bar", note, **size))
        dots.append(charts.circle("dot", x.at(confidence), top, 3.5, note))
        count = f"{n:,}" if n < 10_000 else f"{n / 1000:,.0f}k"
        if right - left >= DIGIT_WIDTH * len(count):
            dots.append(charts.words("count", (left + right) / 2, y.start - 6, count, "middle"))

    diagonal = charts.line("rule", x.start, y.at(x.ticks[0]), x.end, y.at(x.high))
    parts = tag("g", bars, diagonal, dots, class_="c0")
    percent = "" if ece is None else tag("b", f"{100 * ece:.2f}%")
    error = ("Expected calibration error: ", percent, ". ") if percent else ""
    return charts.chart("Calibration", x, y, parts, [error, CALIBRATION_CAPTION])


def scatter(rows: Sequence[Json]) -> Markup:
    """Prediction against gold of a regression; of very many examples, evenly chosen ones."""
    chosen = rows[:: -(-len(rows) // MOST_POINTS)]
    points = [(float(row["gold"]), float(row["prediction"]), row["text"]) for row in chosen]
    values = [value for gold, prediction, _ in points for value in (gold, prediction)]
    marks = ticks(min(values), max(values), 8)
    x, y = charts.x_axis("gold", marks), charts.y_axis("prediction", marks)

    dots = []
    for gold, prediction, text in points:
        note = f"gold {gold:g}, prediction {prediction:g}: {clip(text, 80)}"
        dots.append(charts.circle("seed", x.at(gold), y.at(prediction), 3.5, note))
    diagonal = charts.line("rule", x.start, y.start, x.end, y.end)
    parts = [diagonal, tag("g", dots, class_="c0")]
    some = "" if len(chosen) == len(rows) else f" {len(chosen):,} of {len(rows):,} are drawn."
    return charts.chart("Prediction against gold", x, y, parts, [SCATTER_CAPTION, some])
