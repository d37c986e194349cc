"""scripts/report.py: one page that is whole and safe whatever the data hold, and figures that a reader can trust."""

import ast
import copy
import importlib.util
import json
import math
import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import pytest

ROOT = Path(__file__).resolve().parent.parent
SCRIPT = ROOT / "scripts" / "report.py"
VOID = {"meta", "br"}
NASTY = """<script>alert(1)</script>"'&amp;|`*_\x00\x1b[31m\x7f\u202e\ud800 ]]> -->\nשלום {0} %s"""

_spec = importlib.util.spec_from_file_location("report", SCRIPT)
program = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(program)


# ---------------------------------------------------------------- results to report

def point(step, loss, auc=None):
    own = {} if auc is None else {"rtd_loss": 0.3, "rtd_auc": auc, "rtd_auc_unigram": auc + 0.1}
    return {"step": step, "minutes": step / 10, "tokens": step * 4096, "mlm_loss": loss, "mlm_acc": 0.2, **own}


def run(name, objective, init=None, curve=()):
    return {"name": name, "objective": objective, "stage": "post-pre-training" if init else "pre-training",
            "init": init, "command": f"python train.py --out runs/{name}", "minutes": 60.0, "steps": 600,
            "tokens": 600 * 4096, "tokens_per_s": 682.7, "flops": 3.1e14, "curve": list(curve)}


def scores(head_dev, dev, test, seeds=(1, 2, 3)):
    return {"metric": "accuracy", "seeds": list(seeds), "head_dev": head_dev, "dev": dev, "test": test,
            "seconds": 61.5, "command": "python finetune.py --seeds 1,2,3"}


def token(original, shown=None, p=0.1, masked=False, space=True):
    return {"original": original, "shown": shown or original, "replaced": shown is not None,
            "masked": masked or shown is not None, "p": p, "space": space}


@pytest.fixture
def results():
    return {
        "format": 1, "title": "A comparison", "date": "2026-11-23", "machine": "two cores", "command": "ablation.py",
        "equal": {"by": "time", "text": "60 minutes each"},
        "pretraining": [
            run("BERT", "mlm", None, [point(0, 8.3), point(200, 5.0), point(400, 4.2), point(600, 3.6)]),
            run("BERT post", "mlm", "BERT", [point(0, 4.0), point(300, 3.6), point(600, 3.4)]),
            run("ELECTRA", "electra", None, [point(0, 8.3, 0.5), point(300, 4.6, 0.6), point(600, 4.1, 0.75)]),
            run("ELECTRA post", "electra", "ELECTRA", [point(0, 4.4, 0.7), point(600, 3.9, 0.78)])],
        "rows": [
            {"name": "Floor", "kind": "reference", "pretraining_minutes": None,
             "scores": {"imdb": scores(None, [0.99], [0.905], ())}},
            {"name": "BERT", "kind": "model", "pretraining_minutes": 60.0, "scores": {
                "imdb": scores([0.70, 0.71, 0.72], [0.861, 0.858, 0.866], [0.85, 0.86, 0.852]),
                "sst2": scores([0.74, 0.75, 0.75], [0.83, 0.86, 0.84], None)}},
            {"name": "BERT post", "kind": "model", "pretraining_minutes": 120.0, "scores": {
                "imdb": scores([0.73, 0.74, 0.72], [0.871, 0.868, 0.876], [0.86, 0.87, 0.862])}},
            {"name": "ELECTRA", "kind": "model", "pretraining_minutes": 60.0, "scores": {
                "imdb": scores([0.60, 0.61, 0.62], [0.851, 0.848, 0.856], [0.84], (1, 2, 3)),
                "sst2": scores([0.66], [0.82], None, (1,))}},
            {"name": "ELECTRA post", "kind": "model", "pretraining_minutes": 120.0, "scores": {
                "imdb": scores([0.63, 0.61, 0.62], [0.881, 0.878, 0.886], [0.88, 0.87, 0.89])}}],
        "replaced_view": [
            {"model": "ELECTRA", "tokens": [
                token("the", p=0.02), token("woman", "banana", 0.93), token("sle", "wa", 0.4),
                token("pt", p=0.6, space=False), token("well", masked=True)]},
            {"model": "ELECTRA post", "tokens": [token("the"), token("woman", "banana", 0.97)]}]}


# ---------------------------------------------------------------- reading the page

class Page(HTMLParser):
    """Every start tag with its attributes, and the text; complains about a tag that is not closed in its place."""

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


def svgs(page, kind):
    """The drawings of a class, as XML."""
    found = [ElementTree.fromstring(text) for text in re.findall(r"<svg.*?</svg>", page, re.DOTALL)]
    return [svg for svg in found if kind in svg.get("class").split()]


def plain(markup):
    return "".join(Page(f"<i>{markup}</i>").texts)


def table_of(page, caption):
    """Cells of the table with this caption's first word, as text: the rows of its bodies."""
    table = next(text for text in re.findall(r"<table>.*?</table>", page, re.DOTALL) if f"<span>{caption}" in text)
    body = table.split("</thead>")[1]
    return [[plain(cell) for cell in re.findall(r"<t[hd].*?>(.*?)</t[hd]>", line)] for line in body.splitlines()
            if line.startswith("<tr>")]


def markdown_cells(table):
    lines = [line for line in table.split("\n") if line]
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]


def coordinates(svg):
    for shape in svg.iter():
        for x, y in (("cx", "cy"), ("x1", "y1"), ("x2", "y2"), ("x", "y")):
            if x in shape.attrib:
                yield float(shape.get(x)), float(shape.get(y))
        for pair in shape.get("points", "").split():
            yield tuple(map(float, pair.split(",")))


def all_inside(svg):
    left, top, width, height = map(float, svg.get("viewBox").split())
    found = list(coordinates(svg))
    return bool(found) and all(left <= x <= left + width and top <= y <= top + height for x, y in found)


def replaced_strings(value, change, key=""):
    """A copy with every string changed but those that the program chooses by."""
    if isinstance(value, dict):
        return {k: replaced_strings(v, change, k) for k, v in value.items()}
    if isinstance(value, list):
        return [replaced_strings(v, change, key) for v in value]
    choices = {"by", "kind", "objective", "stage"}
    return change(value) if isinstance(value, str) and key not in choices else value


# ---------------------------------------------------------------- the page is whole, and nothing in it acts

def test_the_page_and_its_drawings_are_well_formed(results):
    page = program.html_report(results)
    tags = Page(page).tags
    assert [tag for tag, _ in tags if tag in ("h1", "title", "main")] == ["title", "main", "h1"] + ["title"] * (
        sum(tag == "title" for tag, _ in tags) - 1)
    assert dict(tags)["html"] == {"lang": "en"} and any(attrs.get("name") == "viewport" for _, attrs in tags)
    drawings = [ElementTree.fromstring(text) for text in re.findall(r"<svg.*?</svg>", page, re.DOTALL)]
    assert len(drawings) > 5
    for svg in drawings:
        if svg.get("aria-hidden") != "true":
            assert svg.get("role") == "img" and svg[0].tag == "title" and svg[0].text


def test_the_structure_does_not_depend_on_what_the_texts_say(results):
    """Hostile and harmless texts of the same length give the same tags with the same names of attributes."""
    def shape(page):
        return [(tag, list(attrs)) for tag, attrs in Page(page).tags]
    for changed in (results, {**results, "replaced_view": []}):
        hostile = program.html_report(replaced_strings(changed, lambda text: text + NASTY))
        harmless = program.html_report(replaced_strings(changed, lambda text: text + "x" * len(NASTY)))
        assert shape(hostile) == shape(harmless)
        assert "<script" not in hostile and "\x00" not in hostile and "\u202e" not in hostile
        for text in re.findall(r"<svg.*?</svg>", hostile, re.DOTALL):
            ElementTree.fromstring(text)
        hostile.encode()


def test_names_of_tasks_and_metrics_are_escaped(results):
    results["rows"] = [{**row, "scores": {f"imdb{NASTY}": {**row["scores"]["imdb"], "metric": NASTY}}}
                       for row in results["rows"]]
    page = program.html_report(results)
    assert "script" not in [tag for tag, _ in Page(page).tags] and "<script" not in program.markdown_table(results)


def test_hostile_text_is_shown_as_it_was_written(results):
    results["title"] = NASTY
    text = "".join(Page(program.html_report(results)).texts)
    assert "<script>alert(1)</script>\"'&amp;|`*_␀␛[31m␡\ufffd\ufffd ]]> -->\nשלום {0} %s" in text


def test_nothing_is_fetched_and_nothing_runs(results):
    page = program.html_report(results)
    assert "http://" not in page and "https://" not in page and "url(" not in page and "@import" not in page
    tags = Page(page).tags
    assert {tag for tag, _ in tags} & {"script", "link", "img", "iframe", "object", "a", "base", "form"} == set()
    names = {name for _, attrs in tags for name in attrs}
    assert names & {"src", "href", "xlink:href", "srcset", "action"} == set()
    assert not any(name.startswith("on") for name in names)
    assert any("default-src 'none'" in attrs.get("content", "") for _, attrs in tags)


def test_only_the_standard_library_is_needed():
    imported = {alias.name if isinstance(node, ast.Import) else node.module
                for node in ast.walk(ast.parse(SCRIPT.read_text(encoding="utf-8")))
                if isinstance(node, (ast.Import, ast.ImportFrom)) for alias in node.names}
    assert {name.split(".")[0] for name in imported} <= sys.stdlib_module_names


# ---------------------------------------------------------------- scores

def test_figures_are_mean_and_sample_deviation_in_percent(results):
    rows = table_of(program.html_report(results), "Scores")
    values = [86.1, 85.8, 86.6]
    mean = sum(values) / 3
    deviation = math.sqrt(sum((value - mean) ** 2 for value in values) / 2)
    assert rows[0] == ["BERT", "60.0", "71.00 ± 1.00", f"{mean:.2f} ± {deviation:.2f}", "85.40 ± 0.53", "3",
                       "74.67 ± 0.58", "84.33 ± 1.53", "3"]


def test_one_seed_has_no_deviation_and_missing_figures_are_dashes(results):
    rows = {row[0]: row[1:] for row in table_of(program.html_report(results), "Scores")}
    assert rows["ELECTRA"] == ["60.0", "61.00 ± 1.00", "85.17 ± 0.40", "84.00", "3/3/1", "66.00", "82.00", "1"]
    assert rows["Floor"] == ["–", "–", "99.00", "90.50", "1", "–", "–", "–"]
    assert rows["BERT post"][-3:] == ["–", "–", "–"]


def test_reference_lines_come_last_and_are_never_the_best(results):
    page = program.html_report(results)
    assert [row[0] for row in table_of(page, "Scores")] == ["BERT", "BERT post", "ELECTRA", "ELECTRA post", "Floor"]
    bold = [plain(text) for text in re.findall(r"<td><b>(.*?)</b></td>", page)]
    assert sorted(bold) == sorted(["73.00 ± 1.00", "88.17 ± 0.40", "88.00 ± 1.00", "74.67 ± 0.58", "84.33 ± 1.53"])


def test_equal_printed_means_are_bold_together_and_a_single_model_is_not(results):
    models = [row for row in results["rows"] if row["kind"] == "model"]
    models[1]["scores"]["imdb"]["dev"] = models[3]["scores"]["imdb"]["dev"] = [0.9, 0.900001]
    assert program.markdown_table(results).count("**90.00 ± 0.00**") == 2
    results["rows"] = models[:1]
    assert "**" not in program.markdown_table(results) and "<td><b>" not in program.html_report(results)


def test_a_column_without_any_figure_is_left_out(results):
    page = program.html_report(results)
    assert "SST-2 test" not in program.markdown_table(results)
    assert [plain(head) for head in re.findall(r'<th scope="col">(.*?)</th>', page)][:7] == [
        "head only, dev", "dev", "test", "seeds", "head only, dev", "dev", "seeds"]


def test_every_seed_is_a_dot_at_its_place_on_a_common_axis(results):
    drawings = svgs(program.html_report(results), "strip")
    assert len(drawings) == 5
    test = drawings[2]
    groups = [group for group in test if group.tag == "g"]
    assert [len(group.findall("circle")) for group in groups] == [3, 3, 1, 3, 1]
    values = [85, 86, 85.2, 86, 87, 86.2, 84, 88, 87, 89, 90.5]
    xs = [float(dot.get("cx")) for group in groups for dot in group.findall("circle")]
    slope = (xs[-1] - xs[0]) / (values[-1] - values[0])
    assert slope > 0 and all(x == pytest.approx(xs[0] + slope * (value - 85), abs=0.2) for x, value in zip(xs, values))
    ticks = [(float(text.get("x")), float(text.text)) for text in test.findall("text")
             if text.get("class") == "tick" and text.text[0].isdigit()]
    assert len(ticks) > 3 and all(x == pytest.approx(xs[0] + slope * (value - 85), abs=0.3) for x, value in ticks)
    mean = next(line for line in groups[0] if line.get("class") == "mean")
    assert float(mean.get("x1")) == pytest.approx(xs[0] + slope * 0.4, abs=0.2)


def test_dots_of_references_are_open_and_grey(results):
    groups = [group for group in svgs(program.html_report(results), "strip")[1] if group.tag == "g"]
    assert [dot.get("class") for dot in groups[-1].findall("circle")] == ["open"] and groups[-1].get("class") == "cx"
    assert [group.get("class") for group in groups[:4]] == ["c0", "c0", "c1", "c1"]


# ---------------------------------------------------------------- Markdown

def test_the_markdown_table_has_the_figures_of_the_page(results):
    cells = markdown_cells(program.markdown_table(results))
    assert {len(line) for line in cells} == {1 + 1 + 4 + 3} and len(cells) == 2 + len(results["rows"])
    assert set(cells[1]) == {"---", "---:"}
    without_marks = [[cell.strip("*") for cell in line] for line in cells[2:]]
    assert without_marks == table_of(program.html_report(results), "Scores")
    assert cells[-1][0] == "*Floor*" and cells[5][3] == "**88.17 ± 0.40**"


def test_no_name_breaks_out_of_its_markdown_cell(results):
    expected = [len(line) for line in markdown_cells(program.markdown_table(results))]
    table = program.markdown_table(replaced_strings(results, lambda text: text + NASTY))
    assert [len(line) for line in markdown_cells(table)] == expected
    assert "<" not in table and "\x00" not in table


# ---------------------------------------------------------------- curves

def test_two_charts_with_a_line_for_every_run(results):
    loss, auc = svgs(program.html_report(results), "chart")
    assert [(group.get("class"), group[0].get("stroke-dasharray")) for group in loss.findall("g")] == [
        ("c0", None), ("c0", "6 4"), ("c1", None), ("c1", "6 4")]
    assert [group.get("class") for group in auc.findall("g")] == ["c1"] * 4
    assert [len(group.findall("circle")) for group in loss.findall("g")] == [3, 3, 2, 2]   # step 0 is left out


@pytest.mark.parametrize("by", ["time", "flops"])
@pytest.mark.parametrize("counts_on", [False, True])
def test_post_pretraining_begins_where_its_init_ended(results, by, counts_on):
    results["equal"]["by"] = by
    if counts_on:
        for point in results["pretraining"][1]["curve"]:
            point.update(step=point["step"] + 600, minutes=point["minutes"] + 60, tokens=point["tokens"] + 600 * 4096)
    first, then = svgs(program.html_report(results), "chart")[0].findall("g")[:2]
    ends, begins = first[0].get("points").split()[-1], then[0].get("points").split()[0]
    assert ends.split(",")[0] == begins.split(",")[0]
    xs = [float(pair.split(",")[0]) for pair in then[0].get("points").split()]
    assert xs == sorted(set(xs))


def test_a_circle_of_inits_and_an_unknown_init_end(results):
    results["pretraining"][0]["init"] = "BERT post"
    results["pretraining"][2]["init"] = "nobody"
    assert all(map(all_inside, svgs(program.html_report(results), "chart")))


CURVES = {
    "one point": [point(600, 3.5, 0.7)],
    "step 0 alone": [point(0, 8.3, 0.5)],
    "all equal": [point(step, 4.0, 0.5) for step in range(0, 700, 100)],
    "zero loss": [point(step, 0.0, 0.0) for step in range(0, 700, 100)],
    "worse than chance": [point(1, 9.0, 0.1), point(600, 12.0, 0.05)],
    "tiny differences": [point(step, 4 + step * 1e-12, 0.5) for step in range(0, 700, 100)],
    "a loss that exploded": [point(1, 8.0, 0.5), point(2, 1e60, 0.5)],
    "many points": [point(step, 3 + 5 / (1 + step / 9), 0.5 + step / 5000) for step in range(601)]}


@pytest.mark.parametrize("curve", CURVES.values(), ids=CURVES)
@pytest.mark.parametrize("by", ["time", "given"])
def test_curves_stay_inside_their_drawing(results, curve, by):
    results["equal"]["by"] = by
    for run in results["pretraining"]:
        run["curve"] = [{k: v for k, v in point.items() if "rtd" not in k or run["objective"] == "electra"}
                        for point in curve]
    page = program.html_report(results)
    Page(page)
    drawings = svgs(page, "chart")
    assert len(drawings) == 2 and all(map(all_inside, drawings)) and all(map(all_inside, svgs(page, "strip")))


def test_axes_have_a_few_distinct_labels(results):
    for svg in svgs(program.html_report(results), "chart"):
        labels = [text.text for text in svg.findall("text") if text.get("class") == "tick"]
        numbers = [label for label in labels if label[0].isdigit()]
        assert 6 <= len(numbers) <= 20 and any("minutes" in label for label in labels)
        x_labels = [text.text for text in svg.findall("text") if text.get("y") == str(program.BOTTOM + 18)]
        assert len(x_labels) == len(set(x_labels)) >= 3


@pytest.mark.parametrize("low,high", [(0, 1), (3.41, 8.3), (86.1, 86.1), (0, 1e13), (-0.2, 0.7), (0.5, 0.5000001),
                                      (0, 0), (99.99, 100), (1e60, 2e60)])
def test_ticks_are_round_and_enclose_the_values(low, high):
    ticks = program.ticks(low, high)
    assert ticks[0] <= low + 1e-9 * abs(low) and ticks[-1] >= high - 1e-9 * abs(high) and 2 <= len(ticks) <= 12
    steps = [b - a for a, b in zip(ticks, ticks[1:])]
    assert min(steps) > 0 and max(steps) == pytest.approx(min(steps), rel=1e-3)
    assert len(set(program.tick_labels(ticks))) == len(ticks)


def test_labels_beside_curves_cover_no_line_and_no_other_label():
    series = [program.Series(f"run number {i}", i, "", False, [], []) for i in range(6)]
    lines = [[(60.0 + 6 * j, 40 + 30 * i + 25 * math.sin(j / 8 + i)) for j in range(60)] for i in range(6)]
    taken = []
    found = program.direct_labels(series, lines, taken)
    assert 2 <= len(found) == len(taken) <= 6
    for k, (left, top, right, bottom) in enumerate(taken):
        assert not any(left <= x <= right and top <= y <= bottom for line in lines for x, y in line)
        assert not any(left < b[2] and b[0] < right and top < b[3] and b[1] < bottom for b in taken[:k])


# ---------------------------------------------------------------- cost, tokens, commands

def test_the_cost_of_every_run_is_listed(results):
    results["pretraining"][1]["flops"] = None
    rows = table_of(program.html_report(results), "What each run cost")
    assert rows[0] == ["BERT", "masked LM", "pre-training", "random weights", "60.0", "600", "2.5 M", "683",
                       "3.10 × 1014"]
    assert rows[1][3] == "BERT" and rows[1][-1] == "–" and len(rows) == 4


def test_tokens_are_legible_without_colour(results):
    page = program.html_report(results)
    shown = re.findall(r'<p class="tokens".*?</p>', page)
    assert plain(re.sub(r"<rt>.*?</rt>|<rp>.*?</rp>", "", shown[0])).split() == ["the", "banana", "wapt", "well"]
    assert plain(shown[0]).split() == ["the", "banana", "(woman)", "wa", "(sle)pt", "well"]
    assert "<u><b>banana</b></u>" in shown[0] and "<u>wa</u>" in shown[0] and "<b>pt</b>" in shown[0]
    titles = [attrs["title"] for tag, attrs in Page(shown[0]).tags if tag == "span" and "title" in attrs]
    assert "0.93; replaced, the original is “woman”" in titles[1] and titles[3].endswith("0.60")
    assert titles[4].endswith("masked, and the generator put the original back")


def test_shades_grow_with_the_probability_and_each_has_a_colour(results):
    ps = [i / 40 for i in range(41)]
    results["replaced_view"] = [{"model": "E", "tokens": [token("a", p=p) for p in ps]}]
    page = program.html_report(results)
    shades = [int(shade) for shade in re.findall(r'<span class="h(\d)" title', page)]
    assert shades == sorted(shades) and set(shades) == set(range(10))
    assert all(page.count(f".h{shade} {{") == 1 for shade in range(10))


def test_counts_of_the_replaced_view(results):
    text = "".join(Page(program.html_report(results)).texts)
    assert ("2 of 5 tokens were replaced. The discriminator gives 1 of them, and 1 of the 3 others, more than 0.5."
            in text)


def test_each_row_has_the_commands_of_all_that_it_came_from(results):
    page = program.html_report(results)
    details = page[page.index("<details>"):]
    part = next(part for part in details.split("<h3>") if part.startswith("<bdi>ELECTRA post</bdi>"))
    assert re.findall(r"<pre>(.*?)</pre>", part) == [
        "python train.py --out runs/ELECTRA", "python train.py --out runs/ELECTRA post",
        "python finetune.py --seeds 1,2,3"]
    results["rows"] = []
    assert program.html_report(results).count("<pre>") == 4   # runs without a row are not lost


# ---------------------------------------------------------------- missing pieces

def without(results, *changes):
    changed = copy.deepcopy(results)
    for change in changes:
        change(changed)
    return changed


MISSING = {
    "no rows": lambda r: r.update(rows=[]),
    "no runs": lambda r: r.update(pretraining=[]),
    "no texts": lambda r: r.update(replaced_view=[]),
    "a text without tokens": lambda r: r.update(replaced_view=[{"model": "ELECTRA", "tokens": []}]),
    "no ELECTRA": lambda r: r.update(pretraining=r["pretraining"][:2], rows=r["rows"][:3], replaced_view=[]),
    "no curves": lambda r: [run.update(curve=[]) for run in r["pretraining"]],
    "no references": lambda r: r.update(rows=r["rows"][1:]),
    "references only": lambda r: r.update(rows=r["rows"][:1]),
    "no minutes": lambda r: [row.update(pretraining_minutes=None) for row in r["rows"]],
    "no tests": lambda r: [s.update(test=None) for row in r["rows"] for s in row["scores"].values()],
    "keys left out": lambda r: [s.pop(key) for row in r["rows"] for s in row["scores"].values()
                                for key in ("test", "head_dev")],
    "no scores": lambda r: [row.update(scores={}) for row in r["rows"]],
    "empty scores": lambda r: [s.update(head_dev=[], dev=[], test=[]) for row in r["rows"]
                               for s in row["scores"].values()],
    "everything empty": lambda r: r.update(rows=[], pretraining=[], replaced_view=[], title="", equal={
        "by": "given", "text": ""})}


@pytest.mark.parametrize("change", MISSING.values(), ids=MISSING)
def test_missing_pieces_leave_a_whole_page(results, change):
    changed = without(results, change)
    page = program.html_report(changed)
    Page(page)
    assert not re.search(r"\b(nan|inf|None)\b", page)
    cells = markdown_cells(program.markdown_table(changed))
    assert len({len(line) for line in cells}) == 1 and len(cells) == 2 + len(changed["rows"])
    for svg in svgs(page, "strip") + svgs(page, "chart"):
        assert all_inside(svg)
    assert ("Replaced tokens" in page) == bool(changed["replaced_view"])


OPTIONAL = {"init", "flops", "pretraining_minutes", "head_dev", "test", "rtd_loss", "rtd_auc", "rtd_auc_unigram",
            "imdb", "sst2"}


def places(value, path=()):
    """Paths of every key and index."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield (*path, key)
        yield from places(inner, (*path, key))


def holder(results, path):
    for key in path[:-1]:
        results = results[key]
    return results


def test_every_required_key_is_missed_by_name(results):
    required = [path for path in places(results) if isinstance(path[-1], str) and path[-1] not in OPTIONAL]
    assert len(required) > 100
    for path in required:
        changed = copy.deepcopy(results)
        del holder(changed, path)[path[-1]]
        with pytest.raises(ValueError, match=re.escape(str(path[-1]))):
            program.markdown_table(changed)


@pytest.mark.parametrize("wrong", [None, True, -2, 7, 10 ** 400, float("nan"), float("inf"), "", "words", [], {}, [[]]],
                         ids=lambda value: repr(value)[:9])
def test_a_wrong_value_anywhere_is_a_value_error_or_a_page(results, wrong):
    results["replaced_view"] = results["replaced_view"][1:]
    results["rows"] = results["rows"][:2]
    results["pretraining"] = results["pretraining"][2:]
    refused = 0
    for path in list(places(results)):
        changed = copy.deepcopy(results)
        holder(changed, path)[path[-1]] = wrong
        try:
            page = program.html_report(changed)
        except ValueError as problem:
            refused += 1
            assert "\n" not in str(problem)
        else:
            Page(page)
    assert refused > 20


def test_two_metrics_in_one_column_are_refused(results):
    results["rows"][2]["scores"]["imdb"]["metric"] = "f1"
    with pytest.raises(ValueError, match=r"rows\[2\].*'f1'.*'accuracy'"):
        program.html_report(results)


# ---------------------------------------------------------------- as a program

def test_the_page_is_written_beside_the_results(results, tmp_path):
    (tmp_path / "results.json").write_text(json.dumps(results))
    done = subprocess.run([sys.executable, SCRIPT, tmp_path / "results.json"], cwd=ROOT, capture_output=True,
                          env={**os.environ, "PYTHONIOENCODING": "utf-8"})
    assert (done.returncode, done.stderr) == (0, b"")
    page = tmp_path / "report.html"
    assert done.stdout.decode() == f"{program.markdown_table(results)}\n{page}\n"
    assert page.read_bytes() == program.html_report(results).encode()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["report.html", "results.json"]


def test_out_names_the_page_and_its_folder_is_made(results, tmp_path, capsys):
    (tmp_path / "results.json").write_text(json.dumps(results))
    out = tmp_path / "new" / "page.html"
    assert program.main([str(tmp_path / "results.json"), "--out", str(out)]) == 0
    assert capsys.readouterr().out.endswith(f"\n{out}\n") and out.read_text(encoding="utf-8").endswith("</html>\n")
    assert not (tmp_path / "report.html").exists()


BAD = {
    "missing": (None, "No such file"),
    "not JSON": (b"{", "not JSON"),
    "not UTF-8": (b'{"format": "\xff"}', "not JSON"),
    "NaN": (b'{"format": NaN}', "NaN"),
    "too deep": (b"[" * 100_000, "not JSON"),
    "a list": (b"[]", "expected an object"),
    "another format": (b'{"format": 2}', "format is 2"),
    "no format": (b"{}", "format is None"),
    "a missing key": (b'{"format": 1, "equal": {"by": "time", "text": ""}, "date": ""}', "title is missing"),
    "lines in a value": (b'{"format": "1\\n2"}', r"format is '1\n2'")}


@pytest.mark.parametrize("content,match", BAD.values(), ids=BAD)
def test_bad_results_are_one_line_and_nothing_is_written(tmp_path, capsys, content, match):
    path = tmp_path / "results.json"
    if content is not None:
        path.write_bytes(content)
    (tmp_path / "report.html").write_text("mine")
    assert program.main([str(path)]) == 2
    written = capsys.readouterr()
    assert written.out == "" and written.err.count("\n") == 1 and match in written.err
    assert written.err.startswith(f"report.py: error: {path}")
    assert (tmp_path / "report.html").read_text() == "mine"
    assert {file.name for file in tmp_path.iterdir()} <= {"results.json", "report.html"}


def test_a_page_that_cannot_be_put_in_place_leaves_the_old_one(results, tmp_path, capsys, monkeypatch):
    (tmp_path / "results.json").write_text(json.dumps(results))
    (tmp_path / "report.html").write_text("mine")

    def full(*_):
        raise OSError(28, "No space left on device")
    monkeypatch.setattr(program.os, "replace", full)
    assert program.main([str(tmp_path / "results.json")]) == 2
    assert "No space left" in capsys.readouterr().err
    assert (tmp_path / "report.html").read_text() == "mine"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["report.html", "results.json"]


def test_the_results_are_not_replaced_by_the_page(results, tmp_path, capsys):
    path = tmp_path / "results.json"
    path.write_text(json.dumps(results))
    assert program.main([str(path), "--out", str(tmp_path / "." / "results.json")]) == 2
    assert json.loads(path.read_text()) == results and capsys.readouterr().err.count("\n") == 1


def test_a_wrong_command_line_is_one_line(capsys):
    with pytest.raises(SystemExit) as stop:
        program.main(["results.json", "--colour"])
    assert stop.value.code == 2 and capsys.readouterr().err.count("\n") == 1
