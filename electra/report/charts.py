"""SVG drawings: charts with two axes, curves with a legend, and strips of dots over one axis."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from statistics import fmean
from typing import NamedTuple

from electra.report.html import Child, Markup, isolate, tag
from electra.report.values import MISSING, clip, mean_sd, unit_of

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 450, 320, 52, 436, 12, 272  # of a chart
STRIP_WIDTH, STRIP_LEFT, STRIP_RIGHT, STRIP_TOP, STRIP_ROW = 350, 4, 346, 26, 38
MOST_MARKERS = 40  # on a curve; more would hide the line
COLOURS = [f"c{i}" for i in range(6)]  # classes of drawings.css
AGAIN = "again"  # the class of a colour that has been used before: its lines are dotted
MOST_COLOURS = 2 * len(COLOURS)
GREY = "cx"


def ticks(low: float, high: float, about: int = 5) -> list[float]:
    """Multiples of 1, 2 or 5 × 10ᵏ that enclose low and high, roughly `about` of them."""
    raw = max(high - low, 1e-9, abs(high) * 1e-6) / about
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(step * power for step in (1, 2, 5, 10) if step * power >= raw * 0.999)

    first = math.floor(low / step + 1e-9)
    last = max(math.ceil(high / step - 1e-9), first + 1)
    # Division by the inverse gives 0.3 where multiplication gives 0.30000000000000004.
    return [i / round(1 / step) if step < 1 else i * step for i in range(first, last + 1)]


def tick_labels(values: Sequence[float]) -> list[str]:
    unit, sign = unit_of(values[-1])
    decimals = max(0, -math.floor(math.log10((values[1] - values[0]) / unit) + 1e-9))
    return [f"{value / unit + 0.0:,.{decimals}f}{sign}".replace("-", "−") for value in values]


class Axis(NamedTuple):
    """Values from the first tick to `high` on the pixels from `start` to `end`."""

    label: str
    ticks: Sequence[float]
    high: float
    start: float
    end: float

    def at(self, value: float) -> float:
        share = (value - self.ticks[0]) / (self.high - self.ticks[0])
        return self.start + share * (self.end - self.start)


def x_axis(label: str, marks: Sequence[float], high: float | None = None) -> Axis:
    return Axis(label, marks, marks[-1] if high is None else high, LEFT, RIGHT)


def y_axis(label: str, marks: Sequence[float]) -> Axis:
    return Axis(label, marks, marks[-1], BOTTOM, TOP)


def shape(name: str, kind: str, note: str = "", **geometry: str | float) -> Markup:
    """An SVG shape. Its note is shown when one points at it."""
    return tag(name, tag("title", note) if note else "", class_=kind, **geometry)


def line(kind: str, x1: float, y1: float, x2: float, y2: float, note: str = "") -> Markup:
    return shape("line", kind, note, x1=x1, y1=y1, x2=x2, y2=y2)


def circle(kind: str, x: float, y: float, radius: float, note: str = "") -> Markup:
    return shape("circle", kind, note, cx=x, cy=y, r=radius)


def polyline(kind: str, points: Iterable[tuple[float, float]]) -> Markup:
    return shape("polyline", kind, points=" ".join(f"{x:.1f},{y:.1f}" for x, y in points))


def words(kind: str, x: float, y: float, text: str, anchor: str = "start") -> Markup:
    return tag("text", text, class_=kind, x=float(x), y=float(y), text_anchor=anchor)


def drawing(kind: str, width: int, height: int, title: str, *parts: Child) -> Markup:
    size = f"0 0 {width} {height}"
    return tag("svg", tag("title", title), parts, class_=kind, role="img", viewBox=size)


def x_ticks(x: Axis, kind: str, top: float, bottom: float) -> list[Markup]:
    """Vertical lines at the ticks of an axis, their values, and the label of the axis."""
    parts = [words("tick", (x.start + x.end) / 2, bottom + 34, x.label, "middle")]
    for value, label in zip(x.ticks, tick_labels(x.ticks), strict=True):
        parts.append(line(kind, x.at(value), top, x.at(value), bottom))
        parts.append(words("tick", x.at(value), bottom + 14, label, "middle"))
    return parts


def y_ticks(y: Axis) -> list[Markup]:
    turned = f"translate(13 {(TOP + BOTTOM) / 2}) rotate(-90)"
    parts = [tag("text", y.label, class_="tick", transform=turned, text_anchor="middle")]
    for value, label in zip(y.ticks, tick_labels(y.ticks), strict=True):
        parts.append(line("grid", LEFT, y.at(value), RIGHT, y.at(value)))
        parts.append(words("tick", LEFT - 7, y.at(value) + 4, label, "end"))
    return parts


def figure(title: str, content: Child, caption: Child) -> Markup:
    return tag("figure", tag("h3", title), content, tag("figcaption", caption))


def axes(x: Axis, y: Axis) -> list[Child]:
    """Ticks, labels and the base line of two axes."""
    base = line("axis", LEFT, BOTTOM, RIGHT, BOTTOM)
    return [y_ticks(y), x_ticks(x, "axis", BOTTOM, BOTTOM + 4), base]


def chart(title: str, x: Axis, y: Axis, parts: Child, caption: Child, legend: Child = "") -> Markup:
    """A figure of parts over two axes, with the entries of its legend."""
    drawn = drawing("chart", WIDTH, HEIGHT, title, axes(x, y), parts)
    listed = tag("ul", legend, class_="legend") if legend else ""
    return figure(title, [tag("div", drawn, class_="scroll"), listed], caption)


class Curve(NamedTuple):
    """Points (x, y, note). style: the classes of its line. marker: dot or open."""

    label: str
    colour: str
    style: str
    marker: str
    points: list[tuple[float, float, str]]

    def draw(self, x: Axis, y: Axis) -> Markup:
        line = polyline(self.style, [(x.at(a), y.at(b)) for a, b, _ in self.points])
        marked = self.points if len(self.points) <= MOST_MARKERS else self.points[-1:]
        dots = [circle(self.marker, x.at(a), y.at(b), 3, note) for a, b, note in marked]
        return tag("g", line, dots, class_=self.colour)

    def sample(self) -> tuple[Markup, Markup]:
        """A short piece of the line with its marker, on 34 × 10 pixels."""
        return polyline(self.style, [(1, 5), (33, 5)]), circle(self.marker, 17, 5, 3)

    def legend_entry(self) -> Markup:
        kind = f"swatch {self.colour}"
        swatch = tag("svg", self.sample(), class_=kind, aria_hidden="true", viewBox="0 0 34 10")
        return tag("li", swatch, " ", isolate(self.label))


class Plot(NamedTuple):
    """Curves over two axes. behind: what is drawn before them.

    caption: what a page says below. note: the same for a picture, in as few words as it takes.
    """

    title: str
    x: Axis
    y: Axis
    behind: Child
    curves: list[Curve]
    caption: str
    note: str

    def parts(self) -> list[Child]:
        return [self.behind, [curve.draw(self.x, self.y) for curve in self.curves]]

    def chart(self) -> Markup:
        """The plot as a figure of a page."""
        legend = [curve.legend_entry() for curve in self.curves]
        return chart(self.title, self.x, self.y, self.parts(), self.caption, legend)


class Dots(NamedTuple):
    """A row of a strip: seeds (score, note, kind). GREY is for reference lines.

    kind: seed, open (of a reference line) or bad (of a collapsed seed).
    """

    name: str
    colour: str
    seeds: list[tuple[float, str, str]]


def strip(heading: str, label: str, rows: Sequence[Dots], values: Sequence[float]) -> Markup:
    """Rows of dots over one axis that encloses `values`: the seeds, and their mean as a bar."""
    marks = ticks(min(values), max(values))
    x = Axis(clip(label, 40), marks, marks[-1], STRIP_LEFT + 12, STRIP_RIGHT - 12)
    bottom = STRIP_TOP + STRIP_ROW * len(rows) + 4
    parts: list[Child] = [words("strong", STRIP_LEFT, 15, clip(heading, 40))]
    parts.append(x_ticks(x, "grid", STRIP_TOP, bottom))

    for i, row in enumerate(rows):
        y = STRIP_TOP + STRIP_ROW * i
        if row.colour == GREY and i and rows[i - 1].colour != GREY:
            parts.append(line("rule", STRIP_LEFT, y + 1, STRIP_RIGHT, y + 1))
        style = "name reference" if row.colour == GREY else "name"
        parts.append(line("track", STRIP_LEFT, y + 25, STRIP_RIGHT, y + 25))
        parts.append(words(style, STRIP_LEFT, y + 14, clip(row.name, 46)))

        scores = [score for score, _, _ in row.seeds]
        mean = fmean(scores) if scores else None
        printed = MISSING if mean is None else f"{mean:.2f}"
        parts.append(words(style, STRIP_RIGHT, y + 14, printed, "end"))
        if mean is not None:
            dots = [circle(kind, x.at(score), y + 25, 4, note) for score, note, kind in row.seeds]
            note = f"mean: {mean_sd(scores)}"
            bar = line("mean", x.at(mean), y + 18, x.at(mean), y + 32, note)
            parts.append(tag("g", dots, bar, class_=row.colour))
    title = f"{heading}, {label}: every seed and the mean"
    return drawing("strip", STRIP_WIDTH, bottom + 38, title, parts)
