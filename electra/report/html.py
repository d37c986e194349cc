"""HTML elements that escape their text, and the tables and the document made of them.

A page is one file that runs no scripts and fetches nothing: it opens from disk and can be mailed.
"""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence
from importlib.resources import files

from electra.report.values import printable

SHADES = 10  # classes h0 to h9 of style.css
LONG_TEXT = 300  # characters; the rest of a longer text is folded
BLOCKS = frozenset(["dl", "dt", "g", "h2", "h3", "li", "p", "svg", "table", "tbody", "thead", "tr"])


class Markup(str):
    """Text that is HTML already. All other text is escaped on its way into an element."""


Child = str | Iterable["Child"]


def escape(text: str) -> str:
    """Text for HTML and SVG, between tags or in a quoted attribute."""
    return html.escape(printable(text))


def join(*children: Child) -> Markup:
    """Children one after the other, those of lists too. Text that is not Markup is escaped."""
    parts = []
    for child in children:
        if isinstance(child, str):
            parts.append(child if isinstance(child, Markup) else escape(child))
        else:
            parts.append(join(*child))
    return Markup("".join(parts))


def tag(name: str, *children: Child, **attributes: str | float) -> Markup:
    """An element. Text and attributes are escaped; attributes that are "" are left out.

    `class_` and `text_anchor` become class and text-anchor; floats are written with one decimal.
    """
    written = name
    for key, value in attributes.items():
        if not isinstance(value, str):
            value = f"{value:.1f}" if isinstance(value, float) else f"{value:d}"
        if value:
            written += f' {key.rstrip("_").replace("_", "-")}="{escape(value)}"'
    # Blocks start on a line of their own, which keeps the source of a page readable.
    start = "\n" if name in BLOCKS else ""
    return Markup(f"{start}<{written}>{join(children)}</{name}>")


def isolate(text: str) -> Markup:
    """A name inside other text: right-to-left letters in it do not turn what follows."""
    return tag("bdi", text)


def fold(text: str) -> Markup:
    """A text; the rest of a long one opens on a click."""
    if len(text) <= LONG_TEXT:
        return join(text)
    cut = text.rfind(" ", LONG_TEXT // 2, LONG_TEXT) + 1 or LONG_TEXT
    return tag("details", tag("summary", f"{text[:cut]}…"), f"…{text[cut:]}")


def shade(share: float) -> str:
    """The class of the shade for a share or a probability."""
    return f"h{min(SHADES - 1, max(0, int(share * SHADES)))}"


def definitions(items: Iterable[tuple[str, str]], kind: str = "about") -> Markup:
    return tag("dl", [(tag("dt", name), tag("dd", value)) for name, value in items], class_=kind)


def table_row(name: str, cells: Iterable[str]) -> Markup:
    return tag("tr", tag("th", name, scope="row"), [tag("td", cell) for cell in cells])


def table(
    label: str,
    columns: Sequence[tuple[str, Sequence[str]]],
    rows: Sequence[Markup],
    caption: Child,
    kind: str = "",
    references: Sequence[Markup] = (),
) -> Markup:
    """A table that scrolls inside a narrow window, with the keyboard too.

    columns: groups, each with its name and its columns; the first column names the rows.
    references: rows below a rule.
    """
    groups = [tag("th", name, scope="colgroup", colspan=len(names)) for name, names in columns]
    heads = [tag("th", name, scope="col") for _, names in columns for name in names]
    named = any(name for name, _ in columns)
    head = tag("thead", tag("tr", groups) if named else "", tag("tr", heads))
    below = tag("tbody", references, class_="references") if references else ""
    note = tag("caption", tag("span", caption)) if caption else ""
    whole = tag("table", note, head, tag("tbody", rows), below, class_=kind)
    return tag("div", whole, class_="scroll", role="region", aria_label=label, tabindex=0)


def stylesheet(name: str) -> str:
    """The text of a style sheet of this folder."""
    return files(__package__).joinpath(name).read_text(encoding="utf-8")


def document(title: str, *parts: Child) -> str:
    """The page. Its security policy stops a browser from fetching or running anything."""
    style = "\n".join(map(stylesheet, ("palette.css", "drawings.css", "style.css")))
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{escape(title)}</title>
<style>
{style}</style>
</head>
<body>
<main>
<h1>{isolate(title)}</h1>
{join(parts)}
</main>
</body>
</html>
"""
