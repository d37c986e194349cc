"""Pre-training runs: their curves, their cost and the tokens they replaced."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from electra.report.charts import (
    AGAIN,
    COLOURS,
    Curve,
    Plot,
    line,
    ticks,
    words,
    x_axis,
    y_axis,
)
from electra.report.html import SHADES, Markup, isolate, join, shade, table, table_row, tag
from electra.report.values import MISSING, Json, plural, quantity

SUSPICIOUS = 0.5  # the probability above which a token is bold
OBJECTIVES = {"mlm": "masked LM", "electra": "ELECTRA"}
COST_COLUMNS = ["run", "objective", "stage", "started from"]
COST_COLUMNS += ["minutes", "steps", "tokens", "tokens/s", "FLOPs"]

LOSS_TITLE, AUC_TITLE = "Held-out MLM loss", "Held-out replaced-token AUC"
LOSS_CAPTION = """Masked-LM loss on held-out text, without that of untrained weights. For ELECTRA it
is the loss of the generator, a smaller network; compare it among ELECTRA runs, not with BERT."""
AUC_CAPTION = """How well the discriminator ranks replaced tokens above original ones. Own: replaced
by the run’s own generator, which gets harder as the generator improves. Unigram: drawn by
frequency, the same task for every run."""
LOSS_NOTE = """For ELECTRA it is the loss of the generator, a smaller network; compare it among
ELECTRA runs, not with BERT."""
AUC_NOTE = """Own: tokens replaced by the run’s own generator. Unigram: tokens drawn by frequency,
the same task for every run."""
CURVES_NOTE = """Dashed: post-pre-training, drawn from where the run that it started from ended. Its
held-out text may be a different one."""
COST_CAPTION = """The cost of each run alone, without the run that it started from. FLOPs:
floating-point operations."""
SHADE_SCALE = "".join(f'<span class="h{i}">&emsp;</span>' for i in range(SHADES))
TOKEN_LEGEND = Markup(f"""<p class="token-legend">Shade: the discriminator’s probability that a
token was replaced, <span class="ramp">0 {SHADE_SCALE} 1</span>, <b>bold</b> above {SUSPICIOUS:g}.
<ruby><u>Underlined</u><rp> (</rp><rt>original</rt><rp>)</rp></ruby>: replaced, with the original
below. <span class="guessed">Dotted</span>: masked, but the generator predicted the original.
</p>""")


def lineage(runs: Sequence[Json], unit: str) -> list[tuple[str, float]]:
    """Colour and start, in minutes or tokens, of each run.

    A run whose `init` is the name of a run above it starts where that one ended, or at its own
    `start` in it. The first of those that start at the end has the colour of that run, too: it does
    not overlap it.
    """
    found = []
    placed: dict[Any, tuple[str, float, Json]] = {}
    continued = set()
    used = 0
    for run in runs:
        init = run.get("init")
        colour, start, from_end = "", 0.0, True
        if init in placed:
            colour, start, parent = placed[init]
            passed = run.get("start", parent)[unit]
            start += passed
            from_end = passed >= parent[unit]
        if not colour or init in continued or not from_end:
            again, i = divmod(used, len(COLOURS))
            colour = f"{COLOURS[i]} {AGAIN}" if again else COLOURS[i]
            used += 1
        if from_end:
            continued.add(init)
        found.append((colour, start))
        placed[run["name"]] = colour, start, run
    return found


def curves(runs: Sequence[Json], unit: str, note: str = CURVES_NOTE) -> list[Markup]:
    """The plots of the runs, over minutes or tokens, with a note: for a page."""
    drawn = [plot.chart() for plot in plots(runs, unit)]
    if not drawn:
        return [tag("p", "No held-out results were logged during pre-training.")]
    return [tag("div", drawn, class_="charts"), tag("p", note, class_="note")]


def plots(runs: Sequence[Json], unit: str) -> list[Plot]:
    """The loss of all runs and the AUC of ELECTRAs; a plot without curves is left out."""
    loss = curves_of(runs, "mlm_loss", unit)
    auc = curves_of(runs, "rtd_auc", unit, "{}: own")
    auc += curves_of(runs, "rtd_auc_unigram", unit, "{}: unigram", "open")
    captions = LOSS_CAPTION, LOSS_NOTE if auc else ""
    return [
        *plot(LOSS_TITLE, loss, unit, "MLM loss, nats", captions),
        *plot(AUC_TITLE, auc, unit, "ROC AUC", (AUC_CAPTION, AUC_NOTE), chance=0.5),
    ]


def curves_of(
    runs: Sequence[Json], key: str, unit: str, label: str = "{}", marker: str = "dot"
) -> list[Curve]:
    """One value of the runs as curves; runs without it are left out."""
    found = []
    for run, (colour, start) in zip(runs, lineage(runs, unit), strict=True):
        name = label.format(run["name"])
        points = [point for point in run["curve"] if point.get(key) is not None]
        # Untrained weights have the loss ln(vocabulary), which would flatten the rest of the curve.
        untrained = not run.get("init") and len(points) > 1 and points[0]["step"] == 0
        if key == "mlm_loss" and untrained:
            points = points[1:]

        style = "line dashed" if run["stage"] == "post-pre-training" else "line"
        if marker == "open":
            style += " thin"
        drawn = [(start + p[unit], p[key], curve_note(name, p[key], p)) for p in points]
        if drawn:
            found.append(Curve(name, colour, style, marker, drawn))
    return found


def curve_note(name: str, value: float, point: Json) -> str:
    when = f"step {point['step']:,}, {point['minutes']:,.1f} min"
    tokens = _quantity_or_missing(point["tokens"])
    return f"{name}: {value:.3f} at {when}, {tokens} tokens; MLM accuracy {point['mlm_acc']:.3f}"


def _quantity_or_missing(n: float | None) -> str:
    return MISSING if n is None else quantity(n)


def plot(
    title: str,
    curves: list[Curve],
    unit: str,
    y_label: str,
    captions: tuple[str, str],
    chance: float | None = None,
) -> list[Plot]:
    """Curves over minutes or tokens, and a line at what chance reaches; nothing without curves.

    captions: of the plot on a page, and in a picture.
    """
    if not curves:
        return []
    xs = [x for curve in curves for x, _, _ in curve.points]
    ys = [y for curve in curves for _, y, _ in curve.points] + ([] if chance is None else [chance])
    marks = ticks(0, max(xs))
    # Up to just after the last point: the next round number could be a sixth of the width away.
    high = max(max(xs) * 1.02, marks[1])
    x = x_axis(f"{unit} of pre-training", [mark for mark in marks if mark <= high], high)
    y = y_axis(y_label, ticks(min(ys), max(ys)))

    behind = []
    if chance is not None:
        level = line("rule", x.start, y.at(chance), x.end, y.at(chance))
        behind = [level, words("tick", x.end, y.at(chance) - 5, "chance", "end")]
    return [Plot(title, x, y, behind, curves, *captions)]


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
            _quantity_or_missing(run["tokens"]),
            MISSING if run["tokens_per_s"] is None else f"{run['tokens_per_s']:,.0f}",
            MISSING if flops is None else f"{flops:.2e}",
        ]
        rows.append(table_row(isolate(run["name"]), cells))
    return table("Cost", [("", COST_COLUMNS)], rows, COST_CAPTION, "cost")


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
        f"{len(replaced):,} of {plural(len(tokens), 'token')} were replaced. The discriminator "
        f"gives more than {SUSPICIOUS:g} to {sum(replaced):,} of them and to {sum(original):,} of "
        f"the {len(original):,} others."
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
