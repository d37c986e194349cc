"""Reading a page: its tags, tables and drawings, and what every page has to fulfil."""

import re
from html.parser import HTMLParser
from xml.etree import ElementTree

VOID = {"meta", "br"}
NASTY = """<script>alert(1)</script>"'&amp;|`*_\x00\x1b[31m\x7f\u202e\ud800 ]]> -->\nשלום {0} %s"""


class Page(HTMLParser):
    """Every start tag with its attributes, and the text. A tag closed out of turn is an error."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.stack, self.tags, self.texts = [], [], []
        self.feed(text)
        self.close()
        assert self.stack == []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.stack.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.stack.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)


def svgs(page, kind=""):
    """The drawings, of a class, as XML."""
    found = [ElementTree.fromstring(text) for text in re.findall(r"<svg.*?</svg>", page, re.DOTALL)]
    return [svg for svg in found if not kind or kind in svg.get("class").split()]


def plain(markup):
    return "".join(Page(f"<i>{markup}</i>").texts)


def table_of(page, mark):
    """The cells of the first table in which this occurs, as text: the rows of its bodies."""
    table = next(text for text in re.findall(r"<table.*?</table>", page, re.DOTALL) if mark in text)
    return [
        [plain(cell) for cell in re.findall(r"<t[hd].*?>(.*?)</t[hd]>", line)]
        for line in table.split("</thead>")[1].splitlines()
        if line.startswith("<tr>")
    ]


def markdown_cells(table):
    lines = [line for line in table.split("\n") if line]
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]


def all_inside(svg):
    left, top, width, height = map(float, svg.get("viewBox").split())
    found = [
        (float(shape.get(x)), float(shape.get(y)))
        for shape in svg.iter()
        for x, y in (("cx", "cy"), ("x1", "y1"), ("x2", "y2"), ("x", "y"))
        if x in shape.attrib
    ]
    found += [
        tuple(map(float, pair.split(",")))
        for shape in svg.iter()
        for pair in shape.get("points", "").split()
    ]
    return bool(found) and all(
        left <= x <= left + width and top <= y <= top + height for x, y in found
    )


def check_whole(page):
    """Well-formed, drawings too; no number is missing; every point lies inside its drawing."""
    Page(page)
    assert not re.search(r"\b(nan|inf|None)\b", page)
    for svg in svgs(page):
        assert all_inside(svg)
        assert (
            svg.get("aria-hidden") == "true"
            or svg.get("role") == "img"
            and svg[0].tag == "title"
            and svg[0].text
        )


def changed_strings(value, change, key=""):
    """A copy with every string changed, but for keywords and the numbers of a regression."""
    if isinstance(value, dict):
        return {k: changed_strings(v, change, k) for k, v in value.items()}
    if isinstance(value, list):
        return [changed_strings(v, change, key) for v in value]
    kept = {"by", "kind", "stage", "gold", "prediction"}
    return change(value) if isinstance(value, str) and key not in kept else value
