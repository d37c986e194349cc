"""Pre-training runs of a comparison: their curves, their cost and the tokens they replaced."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from electra.report import charts
from electra.report.charts import COLOURS, Curve, ticks
from electra.report.html import SHADES, Markup, isolate, join, shade, table, table_row, tag
from electra.report.values import MISSING, Json, plural, quantity

SUSPICIOUS = 0.5  # the probability above which a token is bold
OBJECTIVES = {"mlm": "masked LM", "electra": "ELECTRA"}
COST_COLUMNS = ["run", "objective", "stage", "started from"]
COST_COLUMNS += ["minutes", "steps", "tokens", "tokens/s", "FLOPs"]

LOSS_TITLE = "Held-out MLM loss"
LOSS_CAPTION = """Masked-LM loss on held-out text, without that of untrained weights. For ELECTRA it
is the loss of the generator, a smaller network: compare it with other ELECTRA runs, not with BERT."""
AUC_TITLE = "Held-out replaced-token AUC"
AUC_CAPTION = """How well the discriminator ranks replaced tokens above original ones. Own: replaced
by the run’s own generator, which gets harder as the generator improves. Unigram: drawn by frequency,
the same task for every run."""
CURVES_NOTE = """Dashed: post-pre-training, drawn from where the run that it started from ended. Its
held-out text may be a different one."""
COST_CAPTION = """The cost of each run alone, without the run that it started from. FLOPs:
floating-point operations."""
SHADE_SCALE = "".join(f'<span class="h{i}">&emsp;</span>' for i in range(SHADES))
TOKEN_LEGEND = Markup(f"""<p class="token-legend">Shade: the discriminator’s probability that a token
was replaced, <span class="ramp">0 {SHADE_SCALE} 1</span>, <b>bold</b> above {SUSPICIOUS:g}.
<ruby><u>Underlined</u><rp> (</rp><rt>original</rt><rp>)</rp></ruby>: replaced, with the original
below. <span class="guessed">Dotted</span>: masked, but the generator predicted the original.</p>""")


def lineage(runs: Sequence[Json], unit: str) -> list[tuple[str, float]]:
    """Colour and start, in minutes or tokens, of each run.

    A run whose `init` is the name of a run above it has its colour and starts where that one ended.
    """
    found = []
    ends: dict[Any, tuple[str, float]] = {}
    roots = 0
    for run in runs:
        parent = ends.get(run.get("init"))
        colour, start = parent or (COLOURS[roots % len(COLOURS)], 0)
        roots += parent is None
        found.append((colour, start))
        ends[run["name"]] = colour, start + run[unit]
    return found


def curves(runs: Sequence[Json], equal_by: str) -> list[Markup]:
    """The loss of all runs and the AUC of ELECTRAs, over minutes if these were made equal."""
    unit = "minutes" if equal_by == "time" else "tokens"
    loss = curves_of(runs, "mlm_loss", unit)
    auc = curves_of(runs, "rtd_auc", unit, "{}: own")
    auc += curves_of(runs, "rtd_auc_unigram", unit, "{}: unigram", "open")

    found = []
    if loss:
        drawn = curve_chart(LOSS_TITLE, loss, unit, "MLM loss, nats")
        found.append(charts.figure(LOSS_TITLE, drawn, LOSS_CAPTION, loss))
    if auc:
        drawn = curve_chart(AUC_TITLE, auc, unit, "ROC AUC", chance=0.5)
        found.append(charts.figure(AUC_TITLE, drawn, AUC_CAPTION, auc))
    if not found:
        return [tag("p", "No held-out results were logged during pre-training.")]
    return [tag("div", found, class_="charts"), tag("p", CURVES_NOTE, class_="note")]


def curves_of(
    runs: Sequence[Json], key: str, unit: str, label: str = "{}", marker: str = "dot"
) -> list[Curve]:
    """One value of the runs as curves; runs without it are left out."""
    found = []
    for run, (colour, start) in zip(runs, lineage(runs, unit)):
        name = label.format(run["name"])
        points = [point for point in run["curve"] if point.get(key) is not None]
        # Untrained weights have the loss ln(vocabulary), which would flatten the rest of the curve.
        untrained = not run.get("init") and len(points) > 1 and points[0]["step"] == 0
        if key == "mlm_loss" and untrained:
            points = points[1:]

        drawn = [
            (start + point[unit], point[key], curve_note(name, key, point)) for point in points
        ]
        dashed = " dashed" if run["stage"] == "post-pre-training" else ""
        style = f"line{dashed}{' thin' if marker == 'open' else ''}"
        if drawn:
            found.append(Curve(name, colour, style, marker, drawn))
    return found


def curve_note(name: str, key: str, point: Json) -> str:
    where = (
        f"step {point['step']:,}, {point['minutes']:,.1f} min, {quantity(point['tokens'])} tokens"
    )
    return f"{name}: {point[key]:.3f} at {where}; MLM accuracy {point['mlm_acc']:.3f}"


def curve_chart(
    title: str, curves: list[Curve], unit: str, y_label: str, chance: float | None = None
) -> Markup:
    """Curves over minutes or tokens, and a line at the value that chance reaches."""
    xs = [x for curve in curves for x, _, _ in curve.points]
    ys = [y for curve in curves for _, y, _ in curve.points] + ([] if chance is None else [chance])
    marks = ticks(0, max(xs))
    # Up to just after the last point: the next round number could be a sixth of the width away.
    high = max(max(xs) * 1.02, marks[1])
    shown = [mark for mark in marks if mark <= high]
    x = charts.x_axis(f"{unit} of pre-training", shown, high)
    y = charts.y_axis(y_label, ticks(min(ys), max(ys)))

    parts = [charts.draw_curve(curve, x, y) for curve in curves]
    if chance is not None:
        rule = charts.line("rule", x.start, y.at(chance), x.end, y.at(chance))
        parts = [rule, charts.words("tick", x.end, y.at(chance) - 5, "chance", "end"), *parts]
    return charts.chart(title, x, y, parts)


def cost_table(runs: Sequence[Json]) -> Markup:
    rows = []
    for run in runs:
        flops = run.get("flops")
        cells = [
            OBJECTIVES.get(run["objective"], run["objective"]),
            run["stage"],
            isolate(run.get("init") or "random weights"),
            f"{run['minutes']:,.1f}",
            f"{run['steps']:,}",
            quantity(run["tokens"]),
            f"{run['tokens_per_s']:,.0f}",
            MISSING if flops is None else f"{flops:.2e}",
        ]
        rows.append(table_row(isolate(run["name"]), cells))
    return table("Cost", [("", COST_COLUMNS)], [tag("tbody", rows)], COST_CAPTION, "cost")


def replaced_view(sentences: Sequence[Json]) -> list[Markup]:
    """What the marks mean, then the texts of each model."""
    parts = [TOKEN_LEGEND]
    for model in dict.fromkeys(sentence["model"] for sentence in sentences):
        texts = [sentence["tokens"] for sentence in sentences if sentence["model"] == model]
        parts += [tag("h3", isolate(model)), tag("p", token_counts(texts))]
        # dir=auto: the first strong letter decides, so that Hebrew runs from the right.
        parts += [tag("p", map(token_span, text), class_="tokens", dir="auto") for text in texts]
    return parts


def token_counts(texts: Sequence[Sequence[Json]]) -> str:
    tokens = [token for text in texts for token in text]
    replaced = [token["p"] > SUSPICIOUS for token in tokens if token["replaced"]]
    original = [token["p"] > SUSPICIOUS for token in tokens if not token["replaced"]]
    return (
        f"{len(replaced):,} of {plural(len(tokens), 'token')} were replaced. The discriminator gives"
        f" more than {SUSPICIOUS:g} to {sum(replaced):,} of them and to {sum(original):,} of the"
        f" {len(original):,} others."
    )


def token_span(token: Json) -> Markup:
    """A token on its shade: bold if suspicious, underlined if replaced, dotted if restored."""
    shown, original = (token[key] if token[key].strip() else "␣" for key in ("shown", "original"))
    note = f"probability of being replaced: {token['p']:.2f}"
    content = tag("b", shown) if token["p"] > SUSPICIOUS else join(shown)
    if token["replaced"]:
        # A browser without ruby shows the original in parentheses.
        below = tag("rp", " ("), tag("rt", original), tag("rp", ")")
        content = tag("ruby", tag("u", content), below)
        note += f"; replaced, the original is “{original}”"
    elif token["masked"]:
        content = tag("span", content, class_="guessed")
        note += "; masked, and the generator predicted the original"
    span = tag("span", content, class_=shade(token["p"]), title=note)
    return join(" " if token["space"] else "", span)
