"""Results as one HTML page: of a comparison (results.json), or of a fine-tuning (result.json, predictions.tsv).

In the curves of a comparison minutes and tokens count from the start of a run; post-pre-training is drawn from where
the run that it started from ended, its `init`, which is looked up among the runs above it in the list. The functions
take the parsed JSON as it is.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import fmean, median
from typing import Any, NamedTuple

from electra.page import (
    NONE,
    SHADES,
    Dot,
    Dots,
    body_of,
    chart,
    circle,
    clipped,
    definitions,
    document,
    escaped,
    figure,
    folded,
    for_markdown,
    grid,
    head_of,
    isolated,
    line,
    polyline,
    quantity,
    row_of,
    several,
    shade_of,
    spread,
    strip,
    table,
    ticks,
    words,
    x_axis,
    y_axis,
)

Json = dict[str, Any]
FORMAT = 1         # of a comparison
SUSPICIOUS = 0.5   # a token above it is bold
COLOURS = 6        # of runs; a seventh gets the first again
TASKS = {"imdb": "IMDb", "sst2": "SST-2", "csv": "CSV"}   # any other name stands as it is
PARTS = {"head_dev": "head only, dev", "dev": "dev", "test": "test"}
OBJECTIVES = {"mlm": "masked LM", "electra": "ELECTRA"}
MISTAKES = 100     # shown
POINTS = 1000      # of a scatter plot
FEW = 8            # labels that have room for upright names and decimals


@contextmanager
def naming_mistakes() -> Iterator[None]:
    """Turn what goes wrong with the data into a ValueError of one line."""
    try:
        yield
    except KeyError as problem:
        raise ValueError(f"{problem.args[0]} is missing") from None
    except (TypeError, AttributeError, IndexError, ArithmeticError) as problem:
        raise ValueError(f"a value is of the wrong kind: {problem}") from None


# ---------------------------------------------------------------- a comparison

@naming_mistakes()
def html_report(results: Json) -> str:
    """The page of a comparison. Raises ValueError for another format, what is missing, and a value of a wrong kind."""
    check_format(results)
    columns = columns_of(results)
    parts = [f'<p class="lead">{summary(results)}</p>', definitions([
        ("Compute", isolated(results["equal"]["text"])), ("Machine", isolated(results["machine"])),
        ("Date", isolated(results["date"])), ("Command", f"<code>{escaped(results['command'])}</code>")]),
        "<h2>Scores</h2>", score_table(results) if columns else "<p>No scores yet.</p>"]
    parts += [strips(results, task, columns[task]) for task in columns]
    if columns:
        parts.append('<p class="note">A dot is one seed; the bar, with its number at the right, is the mean. The dev '
                     "and test scores of a task share one axis.</p>")
    if results["pretraining"]:
        parts += ["<h2>Pre-training</h2>", curves(results), "<h2>Cost</h2>", cost_table(results["pretraining"])]
    if results["replaced_view"]:
        parts += ["<h2>Replaced tokens</h2>", replaced_view(results["replaced_view"])]
    return document(results["title"], [*parts, commands(results)])


def check_format(results: Json) -> None:
    if results.get("format") != FORMAT:
        raise ValueError(f"format is {results.get('format')!r:.60}, but this program reads {FORMAT}")


def is_model(row: Json) -> bool:
    return row["kind"] == "model"


def in_order(results: Json) -> list[Json]:
    """Models first, reference lines after them."""
    return sorted(results["rows"], key=lambda row: not is_model(row))


def task_name(task: str) -> str:
    return isolated(TASKS.get(task, task))


def values_of(row: Json, task: str, part: str) -> list[float]:
    """Percent, one a seed; empty where there are none."""
    return [100 * value for value in row["scores"].get(task, {}).get(part) or ()]


def columns_of(results: Json) -> dict[str, list[str]]:
    """Task -> those of its PARTS for which some row has a figure; tasks in the order of their first row."""
    found = {task: [part for part in PARTS if any(values_of(row, task, part) for row in results["rows"])]
             for task in dict.fromkeys(task for row in results["rows"] for task in row["scores"])}
    return {task: parts for task, parts in found.items() if parts}


def metric_of(results: Json, task: str) -> str:
    return next(row["scores"][task]["metric"] for row in results["rows"] if task in row["scores"])


def summary(results: Json) -> str:
    """Who has the highest mean on each task, in its last column, and how high the reference lines are."""
    models, highest = sum(map(is_model, results["rows"])), []
    for task, parts in columns_of(results).items():
        means = [(fmean(values), is_model(row), row["name"]) for row in results["rows"]
                 if (values := values_of(row, task, parts[-1]))]
        if own := [item for item in means if item[1]]:
            mean, _, name = max(own)
            most = max((mean for mean, model, _ in means if not model), default=None)
            more = "" if most is None else f"; reference lines up to {most:.2f}%"
            highest.append(f"{mean:.2f}% on {task_name(task)} {PARTS[parts[-1]]} ({isolated(name)}{more})")
    start = f"{several(models, 'model')}, {several(len(results['rows']) - models, 'reference line')}."
    return f"{start} Highest mean of the models: {', '.join(highest)}." if highest else start


def cells_of(results: Json, row: Json, bold: str) -> list[str]:
    """A row of the score table without its name: minutes, and for each task its figures and the number of seeds.

    Bold: the highest mean of the models as it is printed, so that what looks equal is bold together; none where only
    one model has a figure.
    """
    minutes = row["pretraining_minutes"]
    cells = [NONE if minutes is None else f"{minutes:,.1f}"]
    for task, parts in columns_of(results).items():
        for part in parts:
            means = [round(fmean(values), 2) for other in results["rows"]
                     if is_model(other) and (values := values_of(other, task, part))]
            own = values_of(row, task, part)
            best = own and is_model(row) and len(means) > 1 and round(fmean(own), 2) == max(means)
            cells.append(bold.format(spread(own)) if best else spread(own))
        cells.append(str(max(len(values_of(row, task, part)) for part in parts) or NONE))
    return cells


@naming_mistakes()
def markdown_table(results: Json) -> str:
    """The page's score table for GitHub, ending in a newline. Raises ValueError as `html_report` does."""
    check_format(results)
    heads = ["pre-training, min"] + [f"{for_markdown(TASKS.get(task, task))} {name}" for task, parts in
                                     columns_of(results).items() for name in (*map(PARTS.get, parts), "seeds")]
    lines = [["model", *heads], ["---"] + ["---:"] * len(heads)]
    for row in in_order(results):
        name = for_markdown(row["name"])
        lines.append([name if is_model(row) else f"*{name}*", *cells_of(results, row, "**{}**")])
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


def score_table(results: Json) -> str:
    groups = [("", ["model"]), ("pre-training", ["minutes"])] + [
        (f"{task_name(task)}, {isolated(metric_of(results, task))}", [*map(PARTS.get, parts), "seeds"])
        for task, parts in columns_of(results).items()]
    models, references = ([row_of(isolated(row["name"]), cells_of(results, row, "<b>{}</b>"))
                           for row in results["rows"] if is_model(row) == kind] for kind in (True, False))
    return table("Scores", groups, [body_of(models), body_of(references, "references")],
                 "Scores in percent: mean ± sample standard deviation over fine-tuning seeds, and the number of seeds. "
                 "Bold: the highest mean of the models in a column. “Head only” trains the classifier on a frozen "
                 "encoder. Reference lines, in italics below the rule, are no part of the comparison. The deviation is "
                 "that of the seeds alone: how much a score would move with other examples to test on is not in it.")


def strips(results: Json, task: str, parts: list[str]) -> str:
    """Every seed of a task: one drawing for each column, with the same rows at the same height."""
    rows, runs = [row for row in in_order(results) if task in row["scores"]], results["pretraining"]
    colours, drawings = dict(zip([run["name"] for run in runs], colours_of(runs))), []
    for part in parts:
        # dev and test share their axis, to be compared by eye; a head alone would squeeze both into a corner.
        shared = [other for other in parts if (other == "head_dev") == (part == "head_dev")]
        values = [value for row in rows for other in shared for value in values_of(row, task, other)]
        lines = []
        for row in rows:
            model, own, seeds = is_model(row), values_of(row, task, part), row["scores"][task]["seeds"]
            dots = [Dot(value, f"{f'seed {seeds[i]}: ' if len(seeds) == len(own) else ''}{value:.2f}",
                        "seed" if model else "open") for i, value in enumerate(own)]
            lines.append(Dots(row["name"], colours.get(row["name"], "cx") if model else "cx", dots))
        drawings.append(strip(PARTS[part], f"{metric_of(results, task)}, %", lines, ticks(min(values), max(values))))
    return f"<h3>{task_name(task)}: every seed</h3>\n{grid('strips', drawings)}"


def cost_table(runs: Sequence[Json]) -> str:
    lines = [row_of(isolated(run["name"]), [
        escaped(OBJECTIVES.get(run["objective"], run["objective"])), escaped(run["stage"]),
        isolated(run.get("init") or "random weights"), f"{run['minutes']:,.1f}", f"{run['steps']:,}",
        quantity(run["tokens"]), f"{run['tokens_per_s']:,.0f}",
        NONE if run.get("flops") is None else f"{run['flops']:.2e}"]) for run in runs]
    heads = ("run", "objective", "stage", "started from", "minutes", "steps", "tokens", "tokens/s", "FLOPs")
    return table("Cost", [("", heads)], [body_of(lines)], "What each run cost by itself, without the run that it "
                 "started from. FLOPs: floating-point operations.", "cost")


def commands(results: Json) -> str:
    """Every pre-training, then every fine-tuning."""
    items = [(f"{isolated(run['name'])}, {escaped(run['stage'])}, {run['minutes']:,.1f} minutes", run["command"])
             for run in results["pretraining"]]
    items += [(f"{isolated(row['name'])}, {task_name(task)}, {scores['seconds']:,.0f} s", scores["command"])
              for row in in_order(results) for task, scores in row["scores"].items()]
    lines = definitions([(name, f"<pre>{escaped(command)}</pre>") for name, command in items], "commands")
    return f"<h2>Commands</h2>\n<details><summary>The command of every run</summary>\n{lines}\n</details>"


# ---------------------------------------------------------------- its curves

class Series(NamedTuple):
    """A curve ready to draw, each point with a note that is shown when one points at it."""

    label: str
    colour: str
    line: str    # classes: line, dashed, thin
    mark: str    # class: dot or open
    points: list[tuple[float, float]]
    notes: list[str]


def parents_of(runs: Sequence[Json]) -> list[int | None]:
    """For each run which one it started from, None for random weights: the last of that name above it in the list, so
    there is no circle."""
    found: dict[str, int] = {}
    parents = []
    for i, run in enumerate(runs):
        parents.append(found.get(run.get("init")))
        found[run["name"]] = i
    return parents


def colours_of(runs: Sequence[Json]) -> list[str]:
    """Runs that go back to the same run have the same colour."""
    colours: list[str] = []
    roots = 0
    for parent in parents_of(runs):
        colours.append(f"c{roots % COLOURS}" if parent is None else colours[parent])
        roots += parent is None
    return colours


def starts_of(runs: Sequence[Json], unit: str) -> list[float]:
    """Where each run begins, in minutes or tokens: where the one that it started from ended."""
    starts: list[float] = []
    for parent in parents_of(runs):
        starts.append(0 if parent is None else starts[parent] + runs[parent][unit])
    return starts


def series_of(runs: Sequence[Json], key: str, unit: str, label: str = "{}", hollow: bool = False) -> list[Series]:
    """The runs' curves of one figure, those without a point left out.

    The loss of random weights is left out of a longer curve: it is ln(vocabulary) whatever the model, and so high that
    everything after it would be drawn at the bottom.
    """
    found = []
    for run, colour, start in zip(runs, colours_of(runs), starts_of(runs, unit)):
        name = label.format(run["name"])
        points = [point for point in run["curve"] if point.get(key) is not None]
        if key == "mlm_loss" and not run.get("init") and len(points) > 1 and points[0]["step"] == 0:
            points = points[1:]
        notes = [f"{name}: {point[key]:.3f} at step {point['step']:,}, {point['minutes']:,.1f} min, "
                 f"{quantity(point['tokens'])} tokens; MLM accuracy {point['mlm_acc']:.3f}" for point in points]
        kind = "line" + " dashed" * (run["stage"] == "post-pre-training") + " thin" * hollow
        found.append(Series(name, colour, kind, "open" if hollow else "dot",
                            [(start + point[unit], point[key]) for point in points], notes))
    return [series for series in found if series.points]


def curves(results: Json) -> str:
    """Both charts, or a line that says that there is nothing to draw."""
    runs, unit = results["pretraining"], "minutes" if results["equal"]["by"] == "time" else "tokens"
    loss = series_of(runs, "mlm_loss", unit)
    auc = series_of(runs, "rtd_auc", unit, "{}: own") + series_of(runs, "rtd_auc_unigram", unit, "{}: unigram", True)
    if not loss + auc:
        return "<p>No held-out figures were written while these runs trained.</p>"
    parts = [curve_chart("Held-out MLM loss", loss, unit, "MLM loss, nats", None, """Masked-LM loss on held-out text,
without that of untrained weights. An ELECTRA’s is that of its generator, a smaller network: compare it with other
ELECTRAs, not with BERT.""")] if loss else []
    parts += [curve_chart("Held-out replaced-token AUC", auc, unit, "ROC AUC", 0.5, """Does the discriminator rank
replaced tokens above original ones? “Own”: replaced by its own generator, and harder the better that becomes.
“Unigram”: drawn by frequency, the same task for every run.""")] if auc else []
    return f"""{grid("charts", parts)}
<p class="note">Post-pre-training is dashed and begins where the run that it started from ended; the text held out may
be another one there.</p>"""


def curve_chart(title: str, series: list[Series], unit: str, y_label: str, base: float | None, caption: str) -> str:
    """Curves over minutes or tokens. `base`: a value that means nothing was learned, drawn as a line of its own."""
    xs, ys = ([point[i] for one in series for point in one.points] for i in (0, 1))
    sizes = () if unit == "minutes" else ((1e9, "billions of "), (1e6, "millions of "), (1e3, "thousands of "))
    per, size = next(((per, size) for per, size in sizes if max(xs) >= per), (1.0, ""))
    marks = ticks(0, max(xs) / per)
    # The last point is near the edge: an axis up to the next round number would waste a sixth of the width.
    end = max(max(xs) / per * 1.02, marks[1])
    x = x_axis(f"{size}{unit} of pre-training", [value for value in marks if value <= end], end)
    levels = ys if base is None else [*ys, base]
    y = y_axis(y_label, ticks(min(levels), max(levels)))
    parts = [] if base is None else [line("rule", x.start, y.at(base), x.end, y.at(base)),
                                     words("tick", x.end, y.at(base) - 5, "chance", "end")]
    for one in series:
        points = [(x.at(a / per), y.at(b)) for a, b in one.points]
        # With many points the markers would hide the line.
        marked = range(len(points)) if len(points) <= 40 else (len(points) - 1,)
        parts.append(f'<g class="{one.colour}">{polyline(one.line, points)}'
                     f'{"".join(circle(one.mark, *points[i], 3, one.notes[i]) for i in marked)}</g>')
    return figure(title, chart(title, x, y, parts), caption, "".join(map(key_of, series)))


def key_of(series: Series) -> str:
    """A curve's line in the legend."""
    return (f'<li><svg class="swatch {series.colour}" aria-hidden="true" viewBox="0 0 34 10">'
            f"{polyline(series.line, [(1, 5), (33, 5)])}{circle(series.mark, 17, 5, 3)}</svg> "
            f"{isolated(series.label)}</li>")


# ---------------------------------------------------------------- its texts

def replaced_view(sentences: Sequence[Json]) -> str:
    """The texts model by model, before them what the marks mean."""
    shades = "".join(f'<span class="h{i}">&emsp;</span>' for i in range(SHADES))
    parts = [f"""<p class="token-legend">Probability of being replaced, says the discriminator: <span class="ramp">0
{shades} 1</span>, <b>bold</b> above {SUSPICIOUS:g}.
<ruby><u>Underlined</u><rp> (</rp><rt>original</rt><rp>)</rp></ruby>: replaced, with the original below.
<span class="guessed">Dotted</span>: masked, but the generator put the original back.</p>"""]
    for model in dict.fromkeys(sentence["model"] for sentence in sentences):
        texts = [sentence["tokens"] for sentence in sentences if sentence["model"] == model]
        wrong, right = ([token["p"] > SUSPICIOUS for tokens in texts for token in tokens if token["replaced"] == kind]
                        for kind in (True, False))
        parts.append(f"<h3>{isolated(model)}</h3>\n<p>{len(wrong):,} of {several(len(wrong + right), 'token')} were "
                     f"replaced. The discriminator gives {sum(wrong):,} of them, and {sum(right):,} of the "
                     f"{len(right):,} others, more than {SUSPICIOUS:g}.</p>")
        # dir: the first strong letter decides, so that a text in Hebrew runs from the right.
        parts += [f'<p class="tokens" dir="auto">{"".join(map(token_span, tokens))}</p>' for tokens in texts]
    return "\n".join(parts)


def token_span(token: Json) -> str:
    """A token on its shade: bold if suspicious, underlined if replaced, with the original below it."""
    shown, original = (escaped(token[key] if token[key].strip() else "␣") for key in ("shown", "original"))
    told = f"probability of being replaced: {token['p']:.2f}"
    text = f"<b>{shown}</b>" if token["p"] > SUSPICIOUS else shown
    if token["replaced"]:
        text = f"<ruby><u>{text}</u><rp> (</rp><rt>{original}</rt><rp>)</rp></ruby>"
        told += f"; replaced, the original is “{original}”"
    elif token["masked"]:
        text = f'<span class="guessed">{text}</span>'
        told += "; masked, and the generator put the original back"
    return f'{" " if token["space"] else ""}<span class="{shade_of(token["p"])}" title="{told}">{text}</span>'


# ---------------------------------------------------------------- a fine-tuning

@naming_mistakes()
def finetune_page(result: Json, rows: Sequence[Json]) -> str:
    """The page of a fine-tuning.

    result: the content of result.json. rows: the held-out rows of predictions.tsv, the most wrong first, as
    `held_out_rows` reads them; may be empty. Raises ValueError for what is missing and a value of a wrong kind.
    """
    seeds, settings, best = result["seeds"], result["settings"], result["best_seed"]
    sets, regression, init = scores_of(result), result["regression"], settings["init"]
    facts = definitions([("Started from", "random weights" if init == "none" else f"<code>{escaped(str(init))}</code>"),
                         ("Learned from", several(result["train_examples"], "example")), ("Seeds", f"{len(seeds)}"),
                         ("Time", f"{result['seconds'] / 60:,.1f} minutes")])
    drawings = []
    if result.get("confusion"):
        drawings.append(confusion(result["labels"], result["confusion"]))
    if result.get("calibration"):
        drawings.append(reliability(result["calibration"], {seed["seed"]: seed.get("ece") for seed in seeds}[best]))
    if regression and rows:
        drawings.append(scatter(rows))
    lines = definitions((escaped(name), f"<code>{escaped(json.dumps(value, ensure_ascii=False))}</code>")
                        for name, value in settings.items())
    return document(f"Fine-tuning on {TASKS.get(result['task'], result['task'])}", [
        f'<p class="lead">{tuning_summary(result, sets)}</p>', collapse_note(seeds), facts, "<h2>Scores</h2>",
        seed_table(result, sets), seed_strips(sets) if len(seeds) > 1 else "",
        f"<h2>Seed {best:d}, held out</h2>\n{grid('charts', drawings)}" if drawings else "",
        mistakes(rows, regression) if rows else "",
        f"<h2>Settings</h2>\n<details><summary>Every setting, resolved</summary>\n{lines}\n</details>"])


@naming_mistakes()
def held_out_rows(path: Path) -> list[Json]:
    """The held-out rows of a predictions.tsv, in the order of the file: text, gold, prediction, and p and p_gold, the
    probabilities of these two (None in a regression). Raises ValueError for a table of another kind."""
    head, *lines = [row.split("\t") for row in path.read_text(encoding="utf-8").removesuffix("\n").split("\n")]
    rows = [row for cells in lines if (row := dict(zip(head, cells)))["split"] == "dev"]
    number = lambda text: None if text is None else float(text)
    return [{**{key: row[key] for key in ("text", "gold", "prediction")},
             "p": number(row.get(f"p({row['prediction']})")), "p_gold": number(row.get(f"p({row['gold']})"))}
            for row in rows]


Scores = dict[str, list[tuple[Json, float]]]   # of a set by metric, the main one first: each seed with its score × 100


def scores_of(result: Json) -> dict[str, Scores]:
    """The scores of the held-out part, of the test set and of further sets, where there are any."""
    seeds, values = result["seeds"], {}   # set -> metric -> fractions, one a seed
    for name, part in (("held out", "dev"), ("test", "test")):
        by_seed = [{**(seed.get(f"{part}_metrics") or {}), result["metric"]: seed.get(part)} for seed in seeds]
        values[name] = {metric: [one.get(metric) for one in by_seed]
                        for metric in dict.fromkeys([result["metric"], *result["also"]])}
    found = {name: {metric: [(seed, 100 * one) for seed, one in zip(seeds, fractions) if one is not None]
                    for metric, fractions in scores.items()}
             for name, scores in {**values, **(result.get("more") or {})}.items()}
    return {name: scores for name, scores in found.items() if any(scores.values())}


def tuning_summary(result: Json, sets: dict[str, Scores]) -> str:
    metric, n, largest = result["metric"], len(result["seeds"]), ""
    means = [f"{spread([value for _, value in scores[metric]])}% {isolated(name)}" for name, scores in sets.items()]
    if result.get("confusion") and metric == "accuracy":
        golds = [sum(row) for row in result["confusion"]]
        largest = f" Always saying the commonest label gives {100 * max(golds) / max(1, sum(golds)):.2f}% held out."
    over = f" (mean ± sample standard deviation over {n} seeds)" if n > 1 else ""
    return f"{isolated(metric[:1].upper() + metric[1:])}: {', '.join(means)}{over}.{largest}"


def collapse_note(seeds: Sequence[Json]) -> str:
    names = [f"{seed['seed']:d}" for seed in seeds if seed["collapsed"]]
    return f"""<p class="bad"><b>Collapsed: seed{"s" * (len(names) > 1)} {", ".join(names)}.</b> Such a model says the
same whatever the text. Its score is no model’s, and it is in the means.</p>""" if names else ""


def seed_table(result: Json, sets: dict[str, Scores]) -> str:
    """Scores of all sets as columns; mean, median and every seed as rows. Of one seed there is its row alone."""
    seeds, groups = result["seeds"], {isolated(name): scores for name, scores in sets.items()}
    groups["held out, further"] = {name: [(seed, by * seed[key]) for seed in seeds if seed.get(key) is not None] for
                                   name, key, by in (("last epoch", "dev_last_epoch", 100),
                                                     ("head only", "dev_head_only", 100), ("loss", "loss", 1),
                                                     ("ECE", "ece", 100))}
    groups = {name: {metric: scores for metric, scores in group.items() if scores} for name, group in groups.items()}
    columns, lines = [scores for group in groups.values() for scores in group.values()], []
    if len(seeds) > 1:
        values = [[value for _, value in scores] for scores in columns]
        lines = [row_of("mean ± sd", map(spread, values)), row_of("median", [spread([median(one)]) for one in values])]
    for seed in seeds:
        best = len(seeds) > 1 and seed["seed"] == result["best_seed"]
        name = f"seed {seed['seed']:d}{', best' * best}{', tried twice' * bool(seed['retried'])}" + \
            ', <b class="bad">collapsed</b>' * bool(seed["collapsed"])
        lines.append(row_of(name, [spread([value for one, value in scores if one is seed]) for scores in columns]))
    return table("Scores", [("", [""])] + [(name, [*map(isolated, group)]) for name, group in groups.items() if group],
                 [body_of(lines)], "Scores and the expected calibration error (ECE) × 100; loss in nats, of a "
                 "regression the squared error. The deviation is the sample’s, over seeds. The best epoch and seed "
                 "were chosen on the held-out part, so scores on it are a little kind. Last epoch, and head only (on a "
                 f"frozen encoder): {isolated(result['metric'])}.", "seeds")


def seed_strips(sets: dict[str, Scores]) -> str:
    """For each metric, every seed as a dot, a collapsed one in red."""
    drawings = []
    for metric in dict.fromkeys(metric for scores in sets.values() for metric in scores):
        lines = [Dots(name, f"c{i % COLOURS}", [
            Dot(value, f"seed {seed['seed']:d}: {value:.2f}{', collapsed' * bool(seed['collapsed'])}",
                "bad" if seed["collapsed"] else "seed") for seed, value in scores.get(metric, ())])
            for i, (name, scores) in enumerate(sets.items())]
        if values := [dot.value for row in lines for dot in row.dots]:
            drawings.append(strip(metric, f"{metric} × 100", lines, ticks(min(values), max(values))))
    return f"""<h3>Every seed</h3>
{grid("strips", drawings)}
<p class="note">A dot is one seed, red where it collapsed; the bar, with its number at the right, is the mean.</p>"""


# ---------------------------------------------------------------- its best seed

def confusion(labels: Sequence[str], counts: Sequence[Sequence[int]]) -> str:
    """Rows are gold labels, columns predictions: counts, and shares of the row, by which they are shaded."""
    many, lines = len(labels) > FEW, []
    for i, (gold, row) in enumerate(zip(labels, counts)):
        n, cells = sum(row), []
        for j, (prediction, count) in enumerate(zip(labels, row)):
            share = count / n if n else 0.0
            told = escaped(f"{gold}, taken for {prediction}: {count:,} of {n:,}")
            text = f"{count:,}<small>{100 * share:.{0 if many else 1}f}%</small>" if count else "·"
            cells.append(f'<td class="{shade_of(share)}{" right" * (i == j)}" title="{told}">{text}</td>')
        lines.append(f'<tr><th scope="row">{isolated(clipped(gold, 40))}</th>{"".join(cells)}<td>{n:,}</td></tr>')
    heads = ["gold \\ predicted", *(f"<span>{isolated(clipped(label, 24))}</span>" for label in labels), "all"]
    html = (f'<table class="confusion{" many" * many}">\n<thead>{head_of(heads)}</thead>\n{body_of(lines)}\n</table>')
    return figure("What is taken for what", html, "Rows: gold labels; columns: predictions. A cell says how many, and "
                  "their share of the row, by which it is shaded. Blue is right.")


def reliability(calibration: Sequence[Json], ece: float | None) -> str:
    """Accuracy against confidence, bin by bin, with the diagonal on which a calibrated model lies."""
    bins = [one for one in calibration if one["count"]]
    x = x_axis("probability of the prediction", ticks(min((one["from"] for one in bins), default=0), 1))
    y, bars, dots = y_axis("share that is right", ticks(0, 1)), [], []
    for one in bins:
        left, right, top = x.at(one["from"]), x.at(one["to"]), y.at(one["accuracy"])
        told = f"{one['count']:,}: mean probability {one['confidence']:.3f}, right {one['accuracy']:.3f}"
        bars.append(f'<rect class="bar" x="{left:.1f}" y="{top:.1f}" width="{right - left:.1f}" '
                    f'height="{y.start - top:.1f}"><title>{told}</title></rect>')
        dots.append(circle("dot", x.at(one["confidence"]), top, 3.5, told))
        count = f"{one['count']:,}" if one["count"] < 10_000 else f"{one['count'] / 1000:,.0f}k"
        if right - left >= 7.5 * len(count):   # pixels of a digit
            dots.append(words("count", (left + right) / 2, y.start - 6, count, "middle"))
    diagonal = line("rule", x.start, y.at(x.low), x.end, y.at(x.high))
    drawn = chart("Accuracy by confidence", x, y, ['<g class="c0">', *bars, diagonal, *dots, "</g>"])
    told = "" if ece is None else f"Expected calibration error: <b>{100 * ece:.2f}%</b>. "
    return figure("Can its probabilities be believed?", drawn, f"""{told}Predictions by their probability, with their
number at the foot of the bar. On the dashed line as many are right as the probability says; below it the model is too
sure.""")


def scatter(rows: Sequence[Json]) -> str:
    """Gold against prediction of a regression; of very many examples, evenly chosen ones."""
    chosen = rows[::-(-len(rows) // POINTS)]
    points = [(float(row["gold"]), float(row["prediction"]), row["text"]) for row in chosen]
    marks = ticks(min(min(a, b) for a, b, _ in points), max(max(a, b) for a, b, _ in points), 8)
    x, y = x_axis("gold", marks), y_axis("prediction", marks)
    dots = [circle("seed", x.at(a), y.at(b), 3.5, f"gold {a:g}, prediction {b:g}: {clipped(text, 80)}")
            for a, b, text in points]
    diagonal = line("rule", x.start, y.start, x.end, y.end)
    some = "" if len(chosen) == len(rows) else f" {len(chosen):,} of {len(rows):,} are drawn."
    return figure("Gold and prediction", chart("Prediction by gold", x, y, [diagonal, '<g class="c0">', *dots, "</g>"]),
                  f"A dot is a held-out example; on the dashed line the prediction is right.{some}")


def mistakes(rows: Sequence[Json], regression: bool) -> str:
    """The first of the wrong examples; of a regression, those that are furthest off."""
    wrong = [row for row in rows if regression or row["prediction"] != row["gold"]]
    title = "Largest errors" if regression else f"Mistakes: {len(wrong):,} of {len(rows):,}"
    heads = ["gold", "prediction", *(["off by"] if regression else ["p", "p of gold"]), "text"]
    lines = []
    for row in wrong[:MISTAKES]:
        figures = [f"{float(row['prediction']) - float(row['gold']):+.2f}".replace("-", "−")] if regression else [
            NONE if row[key] is None else f"{row[key]:.3f}" for key in ("p", "p_gold")]
        cells = [isolated(row["gold"]), isolated(row["prediction"]), *figures]
        lines.append("<tr>" + "".join(f'<td data-head="{head}">{cell}</td>' for head, cell in zip(heads, cells))
                     + f'<td dir="auto">{folded(row["text"])}</td></tr>')
    order = "Off by: prediction − gold." if regression else "The most confident mistakes first; p: probability."
    more = f" {len(wrong) - MISTAKES:,} more are in predictions.tsv." if len(wrong) > MISTAKES else ""
    shown = table(title, [("", heads)], [body_of(lines)], order + more, "examples") if wrong else "<p>None.</p>"
    return f"<h2>{title}</h2>\n{shown}"
