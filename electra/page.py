"""What the report pages are made of: text made harmless, tables, axes, dots and the page around them.

A page is one HTML file without scripts that fetches nothing, so it opens from disk and can be mailed. Functions of this
module that draw (`line`, `circle`, `words`, `strip`, …) take text as it is and escape it; those that arrange (`table`,
`definitions`, `figure`, `document`'s parts) take markup, in which what comes from data went through `escaped`.
"""

from __future__ import annotations

import html as html_module
import math
import re
from collections.abc import Iterable, Sequence
from statistics import fmean, stdev
from typing import NamedTuple

NONE = "–"   # a figure that is not there
SHADES = 10  # of a background, the classes h0 to h9
LONG = 300   # letters of a text that are not folded away


# ---------------------------------------------------------------- text

# What acts on the text around it: control characters, halves of surrogate pairs, what turns the direction of writing.
UNPRINTABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]")


def printable(text: str) -> str:
    return UNPRINTABLE.sub("\ufffd", text)


def escaped(text: str) -> str:
    """For HTML and SVG, between tags or in a quoted attribute."""
    return html_module.escape(printable(text))


def isolated(text: str) -> str:
    """A name among other text: one in Arabic letters does not turn what follows."""
    return f"<bdi>{escaped(text)}</bdi>"


def for_markdown(text: str) -> str:
    """For a cell of a GitHub table: one line, nothing in it is markup."""
    line = " ".join(printable(text).split())
    return re.sub(r"([\\`*_~|\[\]])", r"\\\1", html_module.escape(line, quote=False))


def clipped(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[:limit - 1] + "…"


def quantity(n: float) -> str:
    for unit, sign in ((1e12, "T"), (1e9, "B"), (1e6, "M")):
        if n >= unit:
            return f"{n / unit:,.1f} {sign}"
    return f"{n:,.0f}"


def several(n: int, what: str) -> str:
    return f"{n:,} {what}{'' if n == 1 else 's'}"


def spread(values: Sequence[float]) -> str:
    """Mean ± sample standard deviation; no deviation of one value."""
    deviation = f" ± {stdev(values):.2f}" if len(values) > 1 else ""
    return f"{fmean(values):.2f}{deviation}" if values else NONE


def folded(text: str) -> str:
    """A text as markup; where it is long, its further part opens on a click."""
    if len(text) <= LONG:
        return escaped(text)
    cut = text.rfind(" ", LONG // 2, LONG) + 1 or LONG
    return f"<details><summary>{escaped(text[:cut])}…</summary>…{escaped(text[cut:])}</details>"


# ---------------------------------------------------------------- tables and lists

def table(label: str, groups: Sequence[tuple[str, Sequence[str]]], bodies: Sequence[str], caption: str, kind: str = ""
          ) -> str:
    """A table that scrolls by itself where the window is narrow, with the keyboard too. All arguments are markup.

    groups: a name and the columns under it; the first is that of the rows' names.
    """
    over = "".join(f'<th scope="colgroup" colspan="{len(names)}">{group}</th>' for group, names in groups)
    return f"""<div class="scroll" role="region" aria-label="{label}" tabindex="0">
<table class="{kind}">
<caption><span>{caption}</span></caption>
<thead>{f"<tr>{over}</tr>" * any(group for group, _ in groups)}
{head_of(name for _, names in groups for name in names)}</thead>
{chr(10).join(bodies)}
</table>
</div>"""


def head_of(names: Iterable[str]) -> str:
    return "<tr>" + "".join(f'<th scope="col">{name}</th>' for name in names) + "</tr>"


def row_of(name: str, cells: Iterable[str]) -> str:
    return f'<tr><th scope="row">{name}</th>{"".join(f"<td>{cell}</td>" for cell in cells)}</tr>'


def body_of(rows: Iterable[str], kind: str = "") -> str:
    return f'<tbody class="{kind}">\n' + "\n".join(rows) + "\n</tbody>"


def definitions(items: Iterable[tuple[str, str]], kind: str = "about") -> str:
    lines = "\n".join(f"<dt>{name}</dt><dd>{html}</dd>" for name, html in items)
    return f'<dl class="{kind}">\n{lines}\n</dl>'


def grid(kind: str, parts: Iterable[str]) -> str:
    """Parts beside each other where there is room."""
    return f'<div class="{kind}">\n' + "\n".join(parts) + "\n</div>"


def shade_of(share: float) -> str:
    """Class of the shade for a share or probability."""
    return f"h{min(SHADES - 1, max(0, int(share * SHADES)))}"


# ---------------------------------------------------------------- drawing

def ticks(low: float, high: float, about: int = 5) -> list[float]:
    """Multiples of 1, 2 or 5 × 10ᵏ that enclose low and high, roughly `about` of them."""
    raw = max(high - low, 1e-9, abs(high) * 1e-6) / about
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(step * power for step in (1, 2, 5, 10) if step * power >= raw * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    # Division by the inverse gives 0.3 where multiplication gives 0.30000000000000004.
    return [i / round(1 / step) if step < 1 else i * step for i in range(first, max(last, first + 1) + 1)]


def tick_labels(values: list[float]) -> list[str]:
    decimals = max(0, -math.floor(math.log10(values[1] - values[0]) + 1e-9))
    return [f"{value + 0.0:,.{decimals}f}".replace("-", "−") for value in values]


class Axis(NamedTuple):
    """Values from `low` to `high` on the pixels from `start` to `end`."""

    label: str
    ticks: list[float]
    low: float
    high: float
    start: float
    end: float

    def at(self, value: float) -> float:
        return self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start)


WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 450, 320, 52, 436, 12, 272   # of a chart


def x_axis(label: str, values: list[float], end: float | None = None) -> Axis:
    """A chart's, from the first tick to the last one or to `end`."""
    return Axis(label, values, values[0], values[-1] if end is None else end, LEFT, RIGHT)


def y_axis(label: str, values: list[float]) -> Axis:
    return Axis(label, values, values[0], values[-1], BOTTOM, TOP)


def drawing(kind: str, width: float, height: float, title: str, parts: Iterable[str]) -> str:
    return (f'<svg class="{kind}" role="img" viewBox="0 0 {width} {height}"><title>{escaped(title)}</title>\n'
            + "\n".join(parts) + "\n</svg>")


def line(kind: str, x1: float, y1: float, x2: float, y2: float, note: str = "") -> str:
    return f'<line class="{kind}" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}">{_title(note)}</line>'


def circle(kind: str, x: float, y: float, radius: float, note: str = "") -> str:
    return f'<circle class="{kind}" cx="{x:.1f}" cy="{y:.1f}" r="{radius}">{_title(note)}</circle>'


def polyline(kind: str, points: Iterable[tuple[float, float]]) -> str:
    return f'<polyline class="{kind}" points="{" ".join(f"{x:.1f},{y:.1f}" for x, y in points)}"/>'


def words(kind: str, x: float, y: float, text: str, anchor: str = "start") -> str:
    return f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escaped(text)}</text>'


def _title(note: str) -> str:
    return f"<title>{escaped(note)}</title>" if note else ""


def axes(x: Axis, y: Axis) -> list[str]:
    """Ticks, lines of the grid and what is measured."""
    parts = [line("grid", LEFT, y.at(value), RIGHT, y.at(value))
             + words("tick", LEFT - 7, y.at(value) + 4, label, "end")
             for value, label in zip(y.ticks, tick_labels(y.ticks))]
    parts += [line("axis", x.at(value), BOTTOM, x.at(value), BOTTOM + 4)
              + words("tick", x.at(value), BOTTOM + 18, label, "middle")
              for value, label in zip(x.ticks, tick_labels(x.ticks))]
    middle = (TOP + BOTTOM) / 2
    return [*parts, line("axis", LEFT, BOTTOM, RIGHT, BOTTOM),
            words("tick", (LEFT + RIGHT) / 2, BOTTOM + 38, x.label, "middle"),
            f'<text class="tick" transform="translate(13 {middle}) rotate(-90)" text-anchor="middle">'
            f"{escaped(y.label)}</text>"]


def chart(title: str, x: Axis, y: Axis, parts: Iterable[str]) -> str:
    return drawing("chart", WIDTH, HEIGHT, title, [*axes(x, y), *parts])


def figure(title: str, html: str, caption: str, keys: str = "") -> str:
    """A drawing or table under its title, with the <li> of its legend and what it means below it."""
    legend = f'<ul class="legend">{keys}</ul>\n' if keys else ""
    return (f'<figure><h3>{title}</h3>\n<div class="scroll">\n{html}\n</div>\n{legend}'
            f"<figcaption>{caption}</figcaption></figure>")


# ---------------------------------------------------------------- scores as dots

class Dot(NamedTuple):
    value: float
    note: str
    kind: str = "seed"   # seed, open (of a reference line) or bad (of a collapsed seed)


class Dots(NamedTuple):
    """A line of a strip. `colour` is a class: c0 to c5, or cx for a reference line."""

    name: str
    colour: str
    dots: list[Dot]


STRIP_WIDTH, STRIP_MARGIN, STRIP_TOP, STRIP_ROW = 350, 4, 26, 38


def strip(heading: str, label: str, rows: Sequence[Dots], marks: list[float]) -> str:
    """Lines of dots over one axis with these ticks: a dot is a seed; the mean, a bar, is printed at the right."""
    right, bottom = STRIP_WIDTH - STRIP_MARGIN, STRIP_TOP + STRIP_ROW * len(rows) + 4
    x = Axis(label, marks, marks[0], marks[-1], STRIP_MARGIN + 12, right - 12)
    parts = [words("strong", STRIP_MARGIN, 15, clipped(heading, 40))]
    for value, name in zip(marks, tick_labels(marks)):
        parts += [line("grid", x.at(value), STRIP_TOP, x.at(value), bottom),
                  words("tick", x.at(value), bottom + 15, name, "middle")]
    parts.append(words("tick", STRIP_WIDTH / 2, bottom + 31, clipped(label, 40), "middle"))
    for i, row in enumerate(rows):
        y, values = STRIP_TOP + STRIP_ROW * i, [dot.value for dot in row.dots]
        kind = "name reference" if row.colour == "cx" else "name"
        if row.colour == "cx" and i and rows[i - 1].colour != "cx":
            parts.append(line("rule", STRIP_MARGIN, y + 1, right, y + 1))
        parts += [line("track", STRIP_MARGIN, y + 25, right, y + 25),
                  words(kind, STRIP_MARGIN, y + 14, clipped(row.name, 46)),
                  words(kind, right, y + 14, f"{fmean(values):.2f}" if values else NONE, "end")]
        if values:
            dots = "".join(circle(dot.kind, x.at(dot.value), y + 25, 4, dot.note) for dot in row.dots)
            bar = line("mean", x.at(fmean(values)), y + 18, x.at(fmean(values)), y + 32, f"mean: {spread(values)}")
            parts.append(f'<g class="{row.colour}">{dots}{bar}</g>')
    return drawing("strip", STRIP_WIDTH, bottom + 34, f"{heading}, {label}: every seed and the mean", parts)


# ---------------------------------------------------------------- the page

def document(title: str, parts: Iterable[str]) -> str:
    """The page. Its policy makes the browser itself refuse whatever would be fetched or run."""
    body = "\n\n".join(part for part in parts if part)
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{escaped(title)}</title>
<style>{STYLE}</style>
</head>
<body>
<main>
<h1>{isolated(title)}</h1>

{body}
</main>
</body>
</html>
"""


# Colours: after Okabe and Ito, which stay apart for colour-blind readers, a little darker on white so that thin lines
# are seen. Shades: one hue that only gets darker (or, on black, lighter), so they keep their order in grey too, and the
# text keeps a contrast of 4.5 on each.
STYLE = """
:root { color-scheme: light dark; --ink: #1b1d20; --muted: #5b626a; --rule: #9aa1a9; --grid: #e3e6e9; --paper: #fff;
  --panel: #f6f7f8; --heat: 240 150 20; --cool: 90 165 225; --bad: #c8102e;
  --c0: #0072b2; --c1: #c04f00; --c2: #00795a; --c3: #a8488a; --c4: #806600; --c5: #5d4bb5; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e8ea; --muted: #a2aab2; --rule: #6b737b; --grid: #2c3136;
  --paper: #15181b; --panel: #1e2226; --heat: 156 81 0; --cool: 10 98 155; --bad: #ff7b7b;
  --c0: #62b6ea; --c1: #ff9d5c; --c2: #45cf9f; --c3: #e69ac8; --c4: #dcc032; --c5: #b3a6f5; } }
.c0 { --c: var(--c0); } .c1 { --c: var(--c1); } .c2 { --c: var(--c2); } .c3 { --c: var(--c3); } .c4 { --c: var(--c4); }
.c5 { --c: var(--c5); } .cx { --c: var(--muted); } .bad { --c: var(--bad); color: var(--bad); }
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink); font: 1rem/1.5 system-ui, sans-serif; }
main { max-width: 70rem; margin: 0 auto; padding: 2rem 1rem 4rem; }
h1 { font-size: 1.7rem; line-height: 1.2; margin: 0 0 .5rem; text-wrap: balance; }
h2 { font-size: 1.25rem; margin: 2.75rem 0 .75rem; padding-top: .5rem; border-top: 1px solid var(--grid); }
h3 { font-size: 1rem; margin: 1.5rem 0 .5rem; }
p { margin: .5rem 0; max-width: 50rem; } .lead { font-size: 1.1rem; }
h1, h3, p, dd, pre { overflow-wrap: anywhere; }
.note, caption, figcaption, dl { color: var(--muted); font-size: .875rem; line-height: 1.45; }
.about { display: grid; grid-template-columns: fit-content(40%) minmax(0, 1fr); gap: .15rem 1rem; margin: 1rem 0; }
dd { margin: 0; } summary { cursor: pointer; }
code, pre { font: .8125rem/1.5 ui-monospace, Menlo, Consolas, monospace; }
pre { margin: .1rem 0 .5rem; padding: .5rem; color: var(--ink); background: var(--panel); white-space: pre-wrap; }

.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: .875rem; min-width: 100%;
  border-bottom: 1.5px solid var(--ink); }
caption { text-align: left; caption-side: bottom; padding-top: .6rem; }
caption span { display: block; position: sticky; left: 0; max-width: min(50rem, 100vw - 3.2rem); }
th, td { padding: .3rem .55rem; text-align: right; white-space: nowrap; font-weight: normal; }
thead th { vertical-align: bottom; font-size: .8125rem; color: var(--muted); }
thead tr:first-child th { border-top: 1.5px solid var(--ink); }
thead tr:last-child th { border-bottom: 1px solid var(--rule); }
th[scope=colgroup] { text-align: center; color: var(--ink); }
th[scope=colgroup]:not(:empty) { border-bottom: 1px solid var(--rule); }
tr :is(td, th):last-child { padding-right: 0; }
th[scope=row], thead th:first-child { position: sticky; left: 0; background: var(--paper); padding-left: 0;
  text-align: left; }
th[scope=row] { white-space: normal; min-width: 12rem; } .seeds th[scope=row] { min-width: 7.5rem; }
.seeds { font-size: .8125rem; } .seeds :is(td, th + th) { padding-inline: .35rem; }
@media (max-width: 40rem) { th[scope=row] { min-width: 7.5rem; } th[scope=colgroup] { text-align: left; } }
.references { border-top: 1px solid var(--rule); } .references :is(th, td) { font-style: italic; color: var(--muted); }
.cost :is(th, td):nth-child(-n+4) { text-align: left; }
.confusion { min-width: 0; border: 0; } .confusion thead th + th { white-space: normal;
  text-align: center; max-width: 6rem; }
.confusion td { text-align: center; padding: .3rem .4rem; line-height: 1.25; min-width: 3.2rem; }
.confusion .right { --heat: var(--cool); } .confusion small { display: block; font-size: .75rem; }
.confusion th[scope=row] { min-width: 4rem; max-width: 13.5rem; overflow-wrap: break-word; padding-right: .75rem; }
.many td { min-width: 2.6rem; padding: .2rem; }
.many thead span { writing-mode: vertical-rl; rotate: 180deg; white-space: nowrap; }
.examples caption { caption-side: top; padding: 0 0 .6rem; }
.examples :is(th, td) { text-align: left; vertical-align: top; } .examples td { border-top: 1px solid var(--grid); }
.examples td:is(:last-child, :nth-child(-n+2)) { white-space: normal; overflow-wrap: anywhere; min-width: 6rem; }
.examples td:first-child { padding-left: 0; } .examples td:last-child { width: 100%; }
@media (max-width: 40rem) { .confusion th[scope=row] { max-width: 9rem; } .examples thead { display: none; }
  .examples td:nth-child(n) { display: inline-block; border: 0; padding: 0 1rem 0 0; min-width: 0; }
  .examples tr { display: block; padding: .5rem 0; border-top: 1px solid var(--grid); }
  .examples [data-head]::before { content: attr(data-head) ": "; color: var(--muted); } }

.strips { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(20rem, 100%), 1fr)); gap: .5rem 1.25rem; }
.charts { display: flex; flex-wrap: wrap; gap: 1rem 2rem; } figcaption { max-width: 31rem; padding-top: .4rem; }
figure { margin: 0; min-width: 0; max-width: 100%; flex: 1 1 26rem; } figure:has(table) { flex: 0 1 auto; }
svg { display: block; font-family: inherit; } .strip { width: 100%; max-width: 25rem; }
.chart { width: 100%; min-width: 21rem; max-width: 31rem; }
.swatch { display: inline-block; width: 34px; height: 10px; }
text { font-size: 13px; fill: var(--ink); } .tick, .reference { fill: var(--muted); } .reference { font-style: italic; }
.strip text, .count { font-size: 12px; paint-order: stroke; stroke: var(--paper); stroke-width: 3px; }
.strip .strong { font-weight: 600; font-size: 13px; }
.grid { stroke: var(--grid); } .axis, .rule, .track { stroke: var(--rule); } .track { stroke-opacity: .5; }
.rule { stroke-dasharray: 3 3; } .dashed { stroke-dasharray: 6 4; } .mean { stroke: var(--c); stroke-width: 2.5; }
.line { fill: none; stroke: var(--c); stroke-width: 2; stroke-linejoin: round; } .thin { stroke-width: 1.25; }
.dot, .seed, .bar, .bad { fill: var(--c); } .seed { fill-opacity: .55; }
.bar { fill-opacity: .25; stroke: var(--paper); } .open { fill: var(--paper); stroke: var(--c); stroke-width: 1.25; }
.legend { display: flex; flex-wrap: wrap; gap: .1rem 1.25rem; list-style: none; margin: .25rem 0; padding: 0;
  font-size: .875rem; }

.tokens { line-height: 2.5; max-width: none; margin: .25rem 0; padding: .4rem .9rem .8rem; background: var(--panel);
  overflow-x: auto; }
.tokens > span { padding: .1em .12em; border-radius: 2px; white-space: nowrap; }
.token-legend { line-height: 2; } .ramp > span { border-block: 1px solid var(--rule); }
.ramp, ruby { white-space: nowrap; } ruby { ruby-position: under; }
rt { font-size: .75em; font-style: italic; font-weight: normal; color: var(--muted); }
u { text-decoration: underline 2px; text-underline-offset: 2px; text-decoration-skip-ink: none; }
.guessed { text-decoration: underline dotted; text-underline-offset: 3px; }
""" + " ".join(f".h{i} {{ background: rgb(var(--heat) / {i / (SHADES - 1):.2f}); }}" for i in range(SHADES)) + "\n"
