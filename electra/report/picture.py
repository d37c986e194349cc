"""Plots as one stand-alone SVG file, for a README, a documentation page or a paper."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

from electra.report.charts import HEIGHT, LEFT, RIGHT, WIDTH, Curve, Plot, axes, words
from electra.report.html import Child, Markup, stylesheet, tag

MARGIN, GAP = 14, 16
SWATCH, ROW = 42, 20  # of a legend
TEXT_SIZE, NOTE_SIZE, NOTE_ROW = 13, 12, 16
NAMESPACE = "http://www.w3.org/2000/svg"
# A picture that is an image of a page does not see the page's colours: it brings its own ground.
OWN_STYLE = """text { font-family: system-ui, sans-serif; }
.paper { fill: var(--paper); }
.title { font-size: 15px; font-weight: 600; }
.note { font-size: 12px; fill: var(--muted); }
"""


def picture(title: str, plots: Sequence[Plot], notes: Sequence[str] = ()) -> str:
    """The plots one below the other, each with its title, its legend and its note.

    Plots in a row would leave too little room for text on a narrow screen.
    """
    parts: list[Child] = []
    y = float(MARGIN)
    for plot in plots:
        drawn, y = _panel(plot, y)
        parts.append(drawn)
    for note in notes:
        lines, y = _note(note, y)
        parts.append(lines)

    width, height = WIDTH + 2 * MARGIN, round(y)
    style = tag("style", Markup(f"\n{style_sheet()}"))
    whole = tag(
        "svg",
        [tag("title", title), style, tag("rect", class_="paper", width=width, height=height)],
        parts,
        xmlns=NAMESPACE,
        role="img",
        width=width,
        height=height,
        viewBox=f"0 0 {width} {height}",
    )
    return f'<?xml version="1.0" encoding="UTF-8"?>{whole}\n'


def style_sheet() -> str:
    """The rules of drawings in light and in dark colours.

    They have no variables, which only browsers know: programs that make a PDF of an SVG do not.
    """
    light, dark = (
        dict(re.findall(r"(--\w+): (.+);", block))
        for block in stylesheet("palette.css").split("@media")
    )
    rules = stylesheet("drawings.css") + OWN_STYLE
    # The colour of a class goes to its marks as the colour of the text, which is no variable.
    rules = rules.replace("--c:", "color:").replace("var(--c)", "currentColor")
    rules = re.sub(r"/\*.*?\*/\s*", "", rules, flags=re.DOTALL)

    def filled(colours: dict[str, str]) -> str:
        return re.sub(r"var\((--\w+)\)", lambda found: colours[found[1]], rules)

    return f"{filled(light)}@media (prefers-color-scheme: dark) {{\n{filled(dark)}}}\n"


def _panel(plot: Plot, top: float) -> tuple[Markup, float]:
    """A plot with what belongs to it, and the y below it."""
    heading = words("title", MARGIN + LEFT, top + 14, plot.title)
    drawn = tag("g", axes(plot.x, plot.y), plot.parts(), transform=_shift(MARGIN, top + 22))
    listed, y = _legend(plot.curves, top + 22 + HEIGHT)
    note, y = _note(plot.note, y)
    return tag("g", heading, drawn, listed, note), y + GAP


def _legend(curves: Sequence[Curve], top: float) -> tuple[list[Markup], float]:
    """The names of the curves in as many columns as fit, and the y below them."""
    room = RIGHT - LEFT
    labels = [wrap(curve.label, room - SWATCH, TEXT_SIZE) for curve in curves]
    widest = SWATCH + max(text_width(line, TEXT_SIZE) for lines in labels for line in lines)
    columns = min(max(1, int((room + GAP) // (widest + GAP))), len(curves))

    parts = []
    y = top
    for i, (curve, lines) in enumerate(zip(curves, labels, strict=True)):
        x = MARGIN + LEFT + i % columns * (widest + GAP)
        parts.append(tag("g", curve.sample(), class_=curve.colour, transform=_shift(x, y + 5)))
        for j, line in enumerate(lines):
            parts.append(words("", x + SWATCH, y + 14 + j * ROW, line))
        # A name of several lines is too wide for a second column.
        y += ROW * len(lines) if (i + 1) % columns == 0 or i + 1 == len(curves) else 0
    return parts, y


def _note(text: str, top: float) -> tuple[list[Markup], float]:
    """A note in small letters, and the y below it."""
    lines = wrap(text, RIGHT - LEFT, NOTE_SIZE)
    drawn = [
        words("note", MARGIN + LEFT, top + 14 + i * NOTE_ROW, line) for i, line in enumerate(lines)
    ]
    return drawn, top + NOTE_ROW * len(lines) + (6 if lines else 0)


def _shift(x: float, y: float) -> str:
    return f"translate({x:g} {y:g})"


# ---------------------------------------------------------------- text without a measure


def text_width(text: str, size: float) -> float:
    """About how many pixels a text takes: rather too many, since the font is not known."""
    return size * sum(map(_em, text))


def _em(char: str) -> float:
    if unicodedata.east_asian_width(char) in "WF" or char in "mwMW@%—…":
        return 1.0
    return 0.4 if char in " .,:;|!'ijl/" else 0.78 if char.isupper() else 0.64


def wrap(text: str, width: float, size: float) -> list[str]:
    """A text in lines of at most `width` pixels, cut after a space or a sign where there is one.

    White space counts as one space. No line for an empty text.
    """
    lines = []
    rest = " ".join(text.split())
    while rest:
        end = 1
        while end < len(rest) and text_width(rest[: end + 1], size) <= width:
            end += 1
        if end < len(rest) and rest[end] != " ":
            signs = [found.end() for found in re.finditer(r"[ \-_/.]", rest[:end])]
            end = max((at for at in signs if at > end // 2), default=end)
        lines.append(rest[:end].strip())
        rest = rest[end:].lstrip()
    return lines
