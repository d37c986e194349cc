"""The report pages: whole and safe whatever the data hold, with figures that a reader can trust."""

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

from electra import page as drawing
from electra import report
from electra.report import finetune_page, html_report, markdown_table

ROOT = Path(__file__).resolve().parent.parent
SCRIPT = ROOT / "scripts" / "report.py"
VOID = {"meta", "br"}
NASTY = """<script>alert(1)</script>"'&amp;|`*_\x00\x1b[31m\x7f\u202e\ud800 ]]> -->\nשלום {0} %s"""

_spec = importlib.util.spec_from_file_location("report_program", SCRIPT)
program = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(program)


# ---------------------------------------------------------------- a comparison to report


def point(step, loss, auc=None):
    own = {} if auc is None else {"rtd_loss": 0.3, "rtd_auc": auc, "rtd_auc_unigram": auc + 0.1}
    return {
        "step": step,
        "minutes": step / 10,
        "tokens": step * 4096,
        "mlm_loss": loss,
        "mlm_acc": 0.2,
        **own,
    }


def run(name, objective, init=None, curve=()):
    return {
        "name": name,
        "objective": objective,
        "stage": "post-pre-training" if init else "pre-training",
        "init": init,
        "command": f"python train.py --out runs/{name}",
        "minutes": 60.0,
        "steps": 600,
        "tokens": 600 * 4096,
        "tokens_per_s": 682.7,
        "flops": 3.1e14,
        "curve": list(curve),
    }


def scores(head_dev, dev, test, seeds=(1, 2, 3)):
    return {
        "metric": "accuracy",
        "seeds": list(seeds),
        "head_dev": head_dev,
        "dev": dev,
        "test": test,
        "seconds": 61.5,
        "command": "python finetune.py --seeds 1,2,3",
    }


def token(original, shown=None, p=0.1, masked=False, space=True):
    return {
        "original": original,
        "shown": shown or original,
        "replaced": shown is not None,
        "masked": masked or shown is not None,
        "p": p,
        "space": space,
    }


@pytest.fixture
def results():
    return {
        "format": 1,
        "title": "A comparison",
        "date": "2026-11-23",
        "machine": "two cores",
        "command": "ablation.py",
        "equal": {"by": "time", "text": "60 minutes each"},
        "pretraining": [
            run(
                "BERT",
                "mlm",
                None,
                [point(0, 8.3), point(200, 5.0), point(400, 4.2), point(600, 3.6)],
            ),
            run("BERT post", "mlm", "BERT", [point(0, 4.0), point(300, 3.6), point(600, 3.4)]),
            run(
                "ELECTRA",
                "electra",
                None,
                [point(0, 8.3, 0.5), point(300, 4.6, 0.6), point(600, 4.1, 0.75)],
            ),
            run("ELECTRA post", "electra", "ELECTRA", [point(0, 4.4, 0.7), point(600, 3.9, 0.78)]),
        ],
        "rows": [
            {
                "name": "Floor",
                "kind": "reference",
                "pretraining_minutes": None,
                "scores": {"imdb": scores(None, [0.99], [0.905], ())},
            },
            {
                "name": "BERT",
                "kind": "model",
                "pretraining_minutes": 60.0,
                "scores": {
                    "imdb": scores([0.70, 0.71, 0.72], [0.861, 0.858, 0.866], [0.85, 0.86, 0.852]),
                    "sst2": scores([0.74, 0.75, 0.75], [0.83, 0.86, 0.84], None),
                },
            },
            {
                "name": "BERT post",
                "kind": "model",
                "pretraining_minutes": 120.0,
                "scores": {
                    "imdb": scores([0.73, 0.74, 0.72], [0.871, 0.868, 0.876], [0.86, 0.87, 0.862])
                },
            },
            {
                "name": "ELECTRA",
                "kind": "model",
                "pretraining_minutes": 60.0,
                "scores": {
                    "imdb": scores([0.60, 0.61, 0.62], [0.851, 0.848, 0.856], [0.84, 0.85, 0.836]),
                    "sst2": scores([0.66], [0.82], None, (1,)),
                },
            },
            {
                "name": "ELECTRA post",
                "kind": "model",
                "pretraining_minutes": 120.0,
                "scores": {
                    "imdb": scores([0.63, 0.61, 0.62], [0.881, 0.878, 0.886], [0.88, 0.87, 0.89])
                },
            },
        ],
        "replaced_view": [
            {
                "model": "ELECTRA",
                "tokens": [
                    token("the", p=0.02),
                    token("woman", "banana", 0.93),
                    token("sle", "wa", 0.4),
                    token("pt", p=0.6, space=False),
                    token("well", masked=True),
                ],
            },
            {"model": "ELECTRA post", "tokens": [token("the"), token("woman", "banana", 0.97)]},
        ],
    }


# ---------------------------------------------------------------- a fine-tuning to report


def seed(number, dev, test, collapsed=False):
    return {
        "seed": number,
        "dev": dev,
        "test": test,
        "dev_metrics": {"accuracy": dev, "f1": dev - 0.05},
        "test_metrics": {"accuracy": test, "f1": test - 0.04},
        "dev_last_epoch": dev - 0.01,
        "dev_head_only": None,
        "loss": 0.4,
        "ece": 0.062,
        "collapsed": collapsed,
        "retried": collapsed,
    }


def bin_(low, count, confidence, accuracy):
    return {
        "from": low,
        "to": round(low + 0.1, 1),
        "count": count,
        "confidence": confidence,
        "accuracy": accuracy,
    }


@pytest.fixture
def tuning():
    """(result, rows): three seeds, three labels, 20 held-out examples of which five are wrong."""
    counts = [[8, 1, 0], [2, 4, 0], [0, 2, 3]]
    labels = ["negative", "mixed", "positive"]
    rows = [
        {
            "text": f"text {i}{j}{k}",
            "gold": labels[i],
            "prediction": labels[j],
            "p": 0.9 - 0.01 * k,
            "p_gold": 0.9 - 0.01 * k if i == j else 0.05 + 0.01 * k,
        }
        for i, line in enumerate(counts)
        for j, count in enumerate(line)
        for k in range(count)
    ]
    result = {
        "task": "sst2",
        "metric": "accuracy",
        "also": ["f1"],
        "labels": labels,
        "regression": False,
        "seeds": [seed(1, 0.70, 0.69), seed(2, 0.75, 0.71), seed(3, 0.45, 0.44, collapsed=True)],
        "best_seed": 2,
        "dev_mean": 0.633,
        "dev_sd": 0.16,
        "dev_median": 0.7,
        "dev_best": 0.75,
        "test_mean": 0.61,
        "test_sd": 0.15,
        "seconds": 1234.5,
        "train_examples": 67349,
        "confusion": counts,
        "calibration": [
            bin_(0.4, 0, 0.0, 0.0),
            bin_(0.5, 4, 0.55, 0.5),
            bin_(0.8, 6, 0.86, 1.0),
            bin_(0.9, 10, 0.94, 0.8),
        ],
        "settings": {
            "init": "runs/a/ckpt.pt",
            "lr": 4e-4,
            "seeds": [1, 2, 3],
            "text_columns": ["text"],
            "data": None,
        },
    }
    return result, sorted(rows, key=lambda row: row["p_gold"])


@pytest.fixture
def regression(tuning):
    result, _ = tuning
    rows = [
        {
            "text": f"pair {gold}",
            "gold": f"{gold:.4f}",
            "prediction": f"{gold + off:.4f}",
            "p": None,
            "p_gold": None,
        }
        for gold, off in ((0.0, 1.25), (1.5, -1.0), (5.0, -0.75), (2.5, 0.0))
    ]
    for one in result["seeds"]:
        one.update(ece=None, collapsed=False, retried=False)
    return {
        **result,
        "regression": True,
        "labels": [],
        "confusion": None,
        "calibration": None,
    }, rows


# ---------------------------------------------------------------- reading a page


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
    """Well-formed, drawings included, no figure that is none, and every point inside its drawing."""
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
    """A copy with every string changed but those that the program chooses by, and the numbers of a regression."""
    if isinstance(value, dict):
        return {k: changed_strings(v, change, k) for k, v in value.items()}
    if isinstance(value, list):
        return [changed_strings(v, change, key) for v in value]
    kept = {"by", "kind", "stage", "gold", "prediction"}
    return change(value) if isinstance(value, str) and key not in kept else value


@pytest.fixture(params=["comparison", "fine-tuning", "regression"])
def any_page(request, results, tuning):
    """any_page(change) -> the page of data in which every string went through `change`."""
    if request.param == "comparison":
        return lambda change: html_report(changed_strings(results, change))
    result, rows = (
        tuning if request.param == "fine-tuning" else request.getfixturevalue("regression")
    )
    if request.param == "fine-tuning":
        rows = [{**row, "gold": f"{row['gold']}{NASTY}"} for row in rows]
    return lambda change: finetune_page(
        changed_strings(result, change), changed_strings(rows, change)
    )


# ---------------------------------------------------------------- the pages are whole, and nothing in them acts


def test_the_page_and_its_drawings_are_well_formed(any_page):
    page = any_page(lambda text: text)
    check_whole(page)
    tags = Page(page).tags
    assert [tag for tag, _ in tags].count("h1") == 1 and dict(tags)["html"] == {"lang": "en"}
    assert any(attrs.get("name") == "viewport" for _, attrs in tags)


def test_the_structure_does_not_depend_on_what_the_texts_say(any_page):
    """Hostile and harmless texts of the same length give the same tags with the same names of attributes."""
    shape = lambda page: [(tag, list(attrs)) for tag, attrs in Page(page).tags]
    hostile, harmless = (
        any_page(lambda text: text + NASTY),
        any_page(lambda text: text + "x" * len(NASTY)),
    )
    assert shape(hostile) == shape(harmless)
    assert "<script" not in hostile and "\x00" not in hostile and "\u202e" not in hostile
    svgs(hostile)
    hostile.encode()


def test_names_of_tasks_and_metrics_are_escaped(results, tuning):
    results["rows"] = [
        {**row, "scores": {f"imdb{NASTY}": {**row["scores"]["imdb"], "metric": NASTY}}}
        for row in results["rows"]
    ]
    result, rows = tuning
    for one in result["seeds"]:
        one["dev_metrics"][NASTY] = 0.5
    result.update(
        also=[NASTY],
        more={NASTY: {NASTY: [0.5, 0.5, 0.5]}},
        settings={"init": NASTY, NASTY: {NASTY: NASTY}},
    )
    result["more"][NASTY][result["metric"]] = [0.6, 0.6, 0.6]
    for page in (html_report(results), finetune_page(result, rows)):
        check_whole(page)
        assert "<script" not in page
    assert "<script" not in markdown_table(results)


def test_hostile_text_is_shown_as_it_was_written(any_page):
    text = "".join(
        Page(
            any_page(
                lambda text: (
                    NASTY if text == "A comparison" or text.startswith(("text", "pair")) else text
                )
            )
        ).texts
    )
    assert (
        "<script>alert(1)</script>\"'&amp;|`*_\ufffd\ufffd[31m\ufffd\ufffd\ufffd ]]> -->\nשלום {0} %s"
        in text
    )


def test_nothing_is_fetched_and_nothing_runs(any_page):
    page = any_page(lambda text: text)
    assert (
        "http://" not in page
        and "https://" not in page
        and "url(" not in page
        and "@import" not in page
    )
    tags = Page(page).tags
    assert {tag for tag, _ in tags} & {
        "script",
        "link",
        "img",
        "iframe",
        "object",
        "a",
        "base",
        "form",
    } == set()
    names = {name for _, attrs in tags for name in attrs}
    assert names & {"src", "href", "xlink:href", "srcset", "action"} == set()
    assert not any(name.startswith("on") for name in names)
    assert any("default-src 'none'" in attrs.get("content", "") for _, attrs in tags)


def test_only_the_standard_library_is_needed():
    for module in (drawing, report):
        names = {
            alias.name if isinstance(node, ast.Import) else node.module
            for node in ast.walk(ast.parse(Path(module.__file__).read_text(encoding="utf-8")))
            if isinstance(node, (ast.Import, ast.ImportFrom))
            for alias in node.names
        }
        assert {name.split(".")[0] for name in names - {"electra.page"}} <= sys.stdlib_module_names


# ---------------------------------------------------------------- a comparison's scores


def test_figures_are_mean_and_sample_deviation_in_percent(results):
    rows = table_of(html_report(results), "Scores")
    values = [86.1, 85.8, 86.6]
    mean = sum(values) / 3
    deviation = math.sqrt(sum((value - mean) ** 2 for value in values) / 2)
    assert rows[0] == [
        "BERT",
        "60.0",
        "71.00 ± 1.00",
        f"{mean:.2f} ± {deviation:.2f}",
        "85.40 ± 0.53",
        "3",
        "74.67 ± 0.58",
        "84.33 ± 1.53",
        "3",
    ]


def test_one_seed_has_no_deviation_and_missing_figures_are_dashes(results):
    rows = {row[0]: row[1:] for row in table_of(html_report(results), "Scores")}
    assert rows["ELECTRA"] == [
        "60.0",
        "61.00 ± 1.00",
        "85.17 ± 0.40",
        "84.20 ± 0.72",
        "3",
        "66.00",
        "82.00",
        "1",
    ]
    assert rows["Floor"] == ["–", "–", "99.00", "90.50", "1", "–", "–", "–"]
    assert rows["BERT post"][-3:] == ["–", "–", "–"]


def test_reference_lines_come_last_and_are_never_the_best(results):
    page = html_report(results)
    assert [row[0] for row in table_of(page, "Scores")] == [
        "BERT",
        "BERT post",
        "ELECTRA",
        "ELECTRA post",
        "Floor",
    ]
    bold = [plain(text) for text in re.findall(r"<td><b>(.*?)</b></td>", page)]
    assert sorted(bold) == sorted(
        ["73.00 ± 1.00", "88.17 ± 0.40", "88.00 ± 1.00", "74.67 ± 0.58", "84.33 ± 1.53"]
    )


def test_equal_printed_means_are_bold_together_and_a_single_model_is_not(results):
    models = [row for row in results["rows"] if row["kind"] == "model"]
    models[1]["scores"]["imdb"]["dev"] = models[3]["scores"]["imdb"]["dev"] = [0.9, 0.900001]
    assert markdown_table(results).count("**90.00 ± 0.00**") == 2
    results["rows"] = models[:1]
    assert "**" not in markdown_table(results) and "<td><b>" not in html_report(results)


def test_a_column_without_any_figure_is_left_out(results):
    page = html_report(results)
    assert "SST-2 test" not in markdown_table(results)
    assert [plain(head) for head in re.findall(r'<th scope="col">(.*?)</th>', page)][:9] == [
        "model",
        "minutes",
        "head only, dev",
        "dev",
        "test",
        "seeds",
        "head only, dev",
        "dev",
        "seeds",
    ]


def test_every_seed_is_a_dot_at_its_place_on_a_common_axis(results):
    drawings = svgs(html_report(results), "strip")
    assert len(drawings) == 5
    test = drawings[2]
    groups = [group for group in test if group.tag == "g"]
    assert [len(group.findall("circle")) for group in groups] == [3, 3, 3, 3, 1]
    values = [85, 86, 85.2, 86, 87, 86.2, 84, 85, 83.6, 88, 87, 89, 90.5]
    xs = [float(dot.get("cx")) for group in groups for dot in group.findall("circle")]
    slope = (xs[-1] - xs[0]) / (values[-1] - values[0])
    assert slope > 0 and all(
        x == pytest.approx(xs[0] + slope * (value - 85), abs=0.2) for x, value in zip(xs, values)
    )
    ticks = [
        (float(text.get("x")), float(text.text))
        for text in test.findall("text")
        if text.get("class") == "tick" and text.text[0].isdigit()
    ]
    assert len(ticks) > 3 and all(
        x == pytest.approx(xs[0] + slope * (value - 85), abs=0.3) for x, value in ticks
    )
    mean = next(line for line in groups[0] if line.get("class") == "mean")
    assert float(mean.get("x1")) == pytest.approx(xs[0] + slope * 0.4, abs=0.2)


def test_dots_of_references_are_open_and_grey(results):
    groups = [group for group in svgs(html_report(results), "strip")[1] if group.tag == "g"]
    assert [dot.get("class") for dot in groups[-1].findall("circle")] == ["open"] and groups[
        -1
    ].get("class") == "cx"
    assert [group.get("class") for group in groups[:4]] == ["c0", "c0", "c1", "c1"]


def test_the_markdown_table_has_the_figures_of_the_page(results):
    cells = markdown_cells(markdown_table(results))
    assert {len(line) for line in cells} == {1 + 1 + 4 + 3} and len(cells) == 2 + len(
        results["rows"]
    )
    assert set(cells[1]) == {"---", "---:"}
    assert [[cell.strip("*") for cell in line] for line in cells[2:]] == table_of(
        html_report(results), "Scores"
    )
    assert cells[-1][0] == "*Floor*" and cells[5][3] == "**88.17 ± 0.40**"


def test_no_name_breaks_out_of_its_markdown_cell(results):
    expected = [len(line) for line in markdown_cells(markdown_table(results))]
    table = markdown_table(changed_strings(results, lambda text: text + NASTY))
    assert [len(line) for line in markdown_cells(table)] == expected
    assert "<" not in table and "\x00" not in table


# ---------------------------------------------------------------- its curves


def test_two_charts_with_a_line_for_every_run(results):
    loss, auc = svgs(html_report(results), "chart")
    assert [(group.get("class"), group[0].get("class")) for group in loss.findall("g")] == [
        ("c0", "line"),
        ("c0", "line dashed"),
        ("c1", "line"),
        ("c1", "line dashed"),
    ]
    assert [group.get("class") for group in auc.findall("g")] == ["c1"] * 4
    assert [len(group.findall("circle")) for group in loss.findall("g")] == [
        3,
        3,
        2,
        2,
    ]  # step 0 is left out


@pytest.mark.parametrize("by", ["time", "flops"])
def test_post_pretraining_begins_where_its_init_ended(results, by):
    results["equal"]["by"] = by
    first, then = svgs(html_report(results), "chart")[0].findall("g")[:2]
    ends, begins = first[0].get("points").split()[-1], then[0].get("points").split()[0]
    assert ends.split(",")[0] == begins.split(",")[0]
    xs = [float(pair.split(",")[0]) for pair in then[0].get("points").split()]
    assert xs == sorted(set(xs))


def test_a_circle_of_inits_and_an_unknown_init_end(results):
    results["pretraining"][0]["init"] = "BERT post"
    results["pretraining"][2]["init"] = "nobody"
    check_whole(html_report(results))


CURVES = {
    "one point": [point(600, 3.5, 0.7)],
    "step 0 alone": [point(0, 8.3, 0.5)],
    "all equal": [point(step, 4.0, 0.5) for step in range(0, 700, 100)],
    "zero loss": [point(step, 0.0, 0.0) for step in range(0, 700, 100)],
    "worse than chance": [point(1, 9.0, 0.1), point(600, 12.0, 0.05)],
    "tiny differences": [point(step, 4 + step * 1e-12, 0.5) for step in range(0, 700, 100)],
    "a loss that exploded": [point(1, 8.0, 0.5), point(2, 1e60, 0.5)],
    "many points": [point(step, 3 + 5 / (1 + step / 9), 0.5 + step / 5000) for step in range(601)],
}


@pytest.mark.parametrize("curve", CURVES.values(), ids=CURVES)
@pytest.mark.parametrize("by", ["time", "given"])
def test_curves_stay_inside_their_drawing(results, curve, by):
    results["equal"]["by"] = by
    for one in results["pretraining"]:
        one["curve"] = [
            {k: v for k, v in point.items() if "rtd" not in k or one["objective"] == "electra"}
            for point in curve
        ]
    page = html_report(results)
    check_whole(page)
    assert len(svgs(page, "chart")) == 2


def test_axes_have_a_few_distinct_labels(results):
    for svg in svgs(html_report(results), "chart"):
        labels = [text.text for text in svg.findall("text") if text.get("class") == "tick"]
        assert 6 <= sum(label[0].isdigit() for label in labels) <= 20 and any(
            "minutes" in label for label in labels
        )
        below = [
            text.text
            for text in svg.findall("text")
            if text.get("y") == f"{drawing.BOTTOM + 18:.1f}"
        ]
        assert len(below) == len(set(below)) >= 3


@pytest.mark.parametrize(
    "low,high",
    [
        (0, 1),
        (3.41, 8.3),
        (86.1, 86.1),
        (0, 1e13),
        (-0.2, 0.7),
        (0.5, 0.5000001),
        (0, 0),
        (99.99, 100),
        (1e60, 2e60),
    ],
)
def test_ticks_are_round_and_enclose_the_values(low, high):
    ticks = drawing.ticks(low, high)
    assert (
        ticks[0] <= low + 1e-9 * abs(low)
        and ticks[-1] >= high - 1e-9 * abs(high)
        and 2 <= len(ticks) <= 12
    )
    steps = [b - a for a, b in zip(ticks, ticks[1:])]
    assert min(steps) > 0 and max(steps) == pytest.approx(min(steps), rel=1e-3)
    assert len(set(drawing.tick_labels(ticks))) == len(ticks)


# ---------------------------------------------------------------- its cost, tokens, commands


def test_the_cost_of_every_run_is_listed(results):
    results["pretraining"][1]["flops"] = None
    rows = table_of(html_report(results), "What each run cost")
    assert rows[0] == [
        "BERT",
        "masked LM",
        "pre-training",
        "random weights",
        "60.0",
        "600",
        "2.5 M",
        "683",
        "3.10e+14",
    ]
    assert rows[1][3] == "BERT" and rows[1][-1] == "–" and len(rows) == 4


def test_tokens_are_legible_without_colour(results):
    shown = re.findall(r'<p class="tokens".*?</p>', html_report(results))
    assert plain(re.sub(r"<rt>.*?</rt>|<rp>.*?</rp>", "", shown[0])).split() == [
        "the",
        "banana",
        "wapt",
        "well",
    ]
    assert plain(shown[0]).split() == ["the", "banana", "(woman)", "wa", "(sle)pt", "well"]
    assert (
        "<u><b>banana</b></u>" in shown[0] and "<u>wa</u>" in shown[0] and "<b>pt</b>" in shown[0]
    )
    titles = [
        attrs["title"] for tag, attrs in Page(shown[0]).tags if tag == "span" and "title" in attrs
    ]
    assert "0.93; replaced, the original is “woman”" in titles[1] and titles[3].endswith("0.60")
    assert titles[4].endswith("masked, and the generator put the original back")


def test_shades_grow_with_the_probability_and_each_has_a_colour(results):
    results["replaced_view"] = [{"model": "E", "tokens": [token("a", p=i / 40) for i in range(41)]}]
    page = html_report(results)
    shades = [int(shade) for shade in re.findall(r'<span class="h(\d)" title', page)]
    assert shades == sorted(shades) and set(shades) == set(range(10))
    assert all(page.count(f".h{shade} {{") == 1 for shade in range(10))


def test_counts_of_the_replaced_view(results):
    assert (
        "2 of 5 tokens were replaced. The discriminator gives 1 of them, and 1 of the 3 others, more than 0.5."
        in "".join(Page(html_report(results)).texts)
    )


def test_the_command_of_every_run_is_listed(results):
    page = html_report(results)
    commands = re.findall(r"<pre>(.*?)</pre>", page[page.index("<details>") :])
    assert (
        commands
        == [one["command"] for one in results["pretraining"]]
        + ["python finetune.py --seeds 1,2,3"] * 7
    )


# ---------------------------------------------------------------- a fine-tuning's scores


def test_scores_over_seeds_are_mean_deviation_and_median(tuning):
    rows = {row[0]: row[1:] for row in table_of(finetune_page(*tuning), "Scores")}
    dev = [70.0, 75.0, 45.0]
    mean = sum(dev) / 3
    deviation = math.sqrt(sum((value - mean) ** 2 for value in dev) / 2)
    # held out: accuracy, f1; test: accuracy, f1; last epoch, loss, ECE
    assert rows["mean ± sd"][:2] == [
        f"{mean:.2f} ± {deviation:.2f}",
        f"{mean - 5:.2f} ± {deviation:.2f}",
    ]
    assert rows["median"] == ["70.00", "65.00", "69.00", "65.00", "69.00", "0.40", "6.20"]
    assert rows["seed 2, best"] == ["75.00", "70.00", "71.00", "67.00", "74.00", "0.40", "6.20"]
    assert len(rows) == 5


def test_a_collapsed_seed_is_red_and_named(tuning):
    page = finetune_page(*tuning)
    assert (
        'seed 3, tried twice, <b class="bad">collapsed</b>' in page
        and "<b>Collapsed: seed 3.</b>" in page
    )
    bad = [
        dot
        for svg in svgs(page, "strip")
        for dot in svg.iter("circle")
        if dot.get("class") == "bad"
    ]
    assert len(bad) == 2 * 2 and all(
        "seed 3" in dot[0].text and "collapsed" in dot[0].text for dot in bad
    )
    result, rows = tuning
    for one in result["seeds"]:
        one.update(collapsed=False, retried=False)
    assert "collapsed</b>" not in finetune_page(result, rows) and "Collapsed" not in finetune_page(
        result, rows
    )


def test_every_seed_is_a_dot_of_every_set_and_metric(tuning):
    drawings = svgs(finetune_page(*tuning), "strip")
    assert [svg.find("text").text for svg in drawings] == ["accuracy", "f1"]
    for svg in drawings:
        assert [len(group.findall("circle")) for group in svg.findall("g")] == [
            3,
            3,
        ]  # held out, test
    xs = [float(dot.get("cx")) for dot in drawings[0].find("g").findall("circle")]
    assert (xs[1] - xs[0]) / (xs[0] - xs[2]) == pytest.approx(5 / 25, abs=0.01)


def test_one_seed_has_neither_deviation_nor_dots(tuning):
    result, rows = tuning
    result["seeds"] = result["seeds"][1:2]
    page = finetune_page(result, rows)
    check_whole(page)
    assert "±" not in page and not svgs(page, "strip")
    assert [row[:2] for row in table_of(page, "Scores")] == [["seed 2", "75.00"]]


def test_further_sets_have_their_own_columns(tuning):
    result, rows = tuning
    result["more"] = {"mismatched": {"accuracy": [0.5, 0.6, 0.7], "f1": [0.4, 0.4, 0.4]}}
    assert table_of(finetune_page(result, rows), "Scores")[1][5:7] == ["60.00", "40.00"]


# ---------------------------------------------------------------- its best seed


@pytest.mark.parametrize("n", [2, 7, 20])
def test_the_confusion_matrix_has_counts_and_row_shares(tuning, n):
    result, rows = tuning
    labels = [f"label {i}" for i in range(n)]
    counts = [[(7 * i + 3 * j) % 11 * 13 + 1 for j in range(n)] for i in range(n)]
    page = finetune_page({**result, "labels": labels, "confusion": counts}, rows)
    table = re.search(r'<table class="confusion.*?</table>', page, re.DOTALL)[0]
    assert [plain(head) for head in re.findall(r'<th scope="col">(.*?)</th>', table)][
        1:-1
    ] == labels
    for label, row, cells in zip(labels, counts, table_of(page, "gold \\ predicted")):
        found = [
            re.fullmatch(r"(\d+?)(\d{1,2}(?:\.\d)?)%", cell.replace(",", ""))
            for cell in cells[1:-1]
        ]
        assert cells[0] == label and cells[-1] == f"{sum(row):,}" and len(found) == n
        for cell, count in zip(cells[1:-1], row):
            share = 100 * count / sum(row)
            assert cell == f"{count}{share:.1f}%" if n < 9 else f"{count}{share:.0f}%"
    by_row = re.findall(r'class="(h\d)( right)?" title', table)
    assert [i for i, (_, right) in enumerate(by_row) if right] == [i * n + i for i in range(n)]
    shades = [shade for shade, _ in by_row]
    assert shades == [f"h{min(9, int(10 * count / sum(row)))}" for row in counts for count in row]


def test_row_shares_sum_to_one_and_an_empty_row_has_none(tuning):
    result, rows = tuning
    result["confusion"] = [[8, 1, 0], [2, 4, 3], [0, 0, 0]]
    page = finetune_page(result, rows)
    table = re.search(r'<table class="confusion.*?</table>', page, re.DOTALL)[0].split("</thead>")[
        1
    ]
    shares = [
        [float(share) for share in re.findall(r"<small>(.*?)%</small>", line)]
        for line in table.splitlines()
        if line.startswith("<tr>")
    ]
    assert [sum(row) for row in shares] == [
        pytest.approx(100, abs=0.2),
        pytest.approx(100, abs=0.2),
        0,
    ]


def test_the_reliability_diagram_shows_each_bin(tuning):
    result, rows = tuning
    page = finetune_page(result, rows)
    (svg,) = svgs(page, "chart")
    bars, dots = list(svg.iter("rect")), [dot for dot in svg.iter("circle")]
    assert len(bars) == len(dots) == 3  # the empty bin is left out
    assert [text.text for text in svg.iter("text") if text.get("class") == "count"] == [
        "4",
        "6",
        "10",
    ]
    (diagonal,) = (line for line in svg.iter("line") if line.get("class") == "rule")
    x1, y1, x2, y2 = (float(diagonal.get(key)) for key in ("x1", "y1", "x2", "y2"))
    x = lambda value: x1 + (value - 0.5) / 0.5 * (x2 - x1)
    y = lambda value: y1 + (value - 0.5) / 0.5 * (y2 - y1)
    bins = [one for one in result["calibration"] if one["count"]]
    for one, bar, dot in zip(bins, bars, dots):
        assert float(dot.get("cx")) == pytest.approx(x(one["confidence"]), abs=0.2)
        assert float(dot.get("cy")) == pytest.approx(y(one["accuracy"]), abs=0.2)
        assert float(bar.get("x")) == pytest.approx(x(one["from"]), abs=0.2)
        assert float(bar.get("width")) == pytest.approx(x(one["to"]) - x(one["from"]), abs=0.2)
    ece = sum(one["count"] * abs(one["confidence"] - one["accuracy"]) for one in bins) / 20
    result["seeds"][1]["ece"] = ece
    assert f"Expected calibration error: <b>{100 * ece:.2f}%</b>" in finetune_page(result, rows)


def test_a_regression_is_drawn_as_gold_against_prediction(regression):
    result, rows = regression
    page = finetune_page(result, rows)
    assert "confusion" not in plain(re.sub("<style>.*?</style>", "", page, flags=re.DOTALL))
    (svg,) = svgs(page, "chart")
    (diagonal,) = (line for line in svg.iter("line") if line.get("class") == "rule")
    dots = [(float(dot.get("cx")), float(dot.get("cy"))) for dot in svg.iter("circle")]
    x1, y1, x2, y2 = (float(diagonal.get(key)) for key in ("x1", "y1", "x2", "y2"))
    for (x, y), row in zip(dots, rows):
        off = float(row["prediction"]) - float(row["gold"])
        on_the_line = y1 + (x - x1) / (x2 - x1) * (y2 - y1)
        assert (on_the_line - y) * off > 0 or off == 0 and y == pytest.approx(on_the_line, abs=0.2)
    assert len(dots) == 4 and [row[2] for row in table_of(page, "off by")] == [
        "+1.25",
        "−1.00",
        "−0.75",
        "+0.00",
    ]


def test_of_very_many_examples_some_are_drawn(regression):
    result, rows = regression
    page = finetune_page(result, rows * 1000)
    assert 500 <= len(list(svgs(page, "chart")[0].iter("circle"))) <= report.POINTS
    assert "1,000 of 4,000 are drawn" in page


def test_mistakes_are_listed_in_order_and_right_answers_are_not(tuning):
    result, rows = tuning
    wrong = [row for row in rows if row["gold"] != row["prediction"]]
    cells = table_of(finetune_page(result, rows), "p of gold")
    assert (
        cells
        == [
            [row["gold"], row["prediction"], f"{row['p']:.3f}", f"{row['p_gold']:.3f}", row["text"]]
            for row in wrong
        ]
        and len(cells) == 5
    )
    assert "Mistakes: 5 of 20" in finetune_page(result, rows)
    assert "Mistakes: 0 of 15" in finetune_page(result, [row for row in rows if row not in wrong])


def test_after_a_hundred_mistakes_the_others_are_counted(tuning):
    result, rows = tuning
    page = finetune_page(result, rows * 30)
    assert len(table_of(page, "p of gold")) == 100 and "50 more are in predictions.tsv" in page
    assert "more are in predictions.tsv" not in finetune_page(result, rows * 20)


def test_a_long_text_is_folded_and_whole():
    text = "word & " * 200
    found = drawing.folded(text)
    assert "<details>" in found and plain(found).replace("……", "") == text
    assert drawing.folded("short & sweet") == "short &amp; sweet"


def test_settings_are_listed(tuning):
    page = finetune_page(*tuning)
    assert (
        "<dt>seeds</dt><dd><code>[1, 2, 3]</code></dd>" in page
        and "<dt>data</dt><dd><code>null</code></dd>" in page
    )


# ---------------------------------------------------------------- missing pieces

MISSING = {
    "no rows": lambda r: r.update(rows=[]),
    "no runs": lambda r: r.update(pretraining=[]),
    "no texts": lambda r: r.update(replaced_view=[]),
    "a text without tokens": lambda r: r.update(replaced_view=[{"model": "ELECTRA", "tokens": []}]),
    "no ELECTRA": lambda r: r.update(
        pretraining=r["pretraining"][:2], rows=r["rows"][:3], replaced_view=[]
    ),
    "no curves": lambda r: [run.update(curve=[]) for run in r["pretraining"]],
    "no references": lambda r: r.update(rows=r["rows"][1:]),
    "references only": lambda r: r.update(rows=r["rows"][:1]),
    "no minutes": lambda r: [row.update(pretraining_minutes=None) for row in r["rows"]],
    "keys left out": lambda r: [
        s.pop(key)
        for row in r["rows"]
        for s in row["scores"].values()
        for key in ("test", "head_dev")
    ],
    "no scores": lambda r: [row.update(scores={}) for row in r["rows"]],
    "empty scores": lambda r: [
        s.update(head_dev=[], dev=[], test=[]) for row in r["rows"] for s in row["scores"].values()
    ],
    "everything empty": lambda r: r.update(
        rows=[], pretraining=[], replaced_view=[], title="", equal={"by": "given", "text": ""}
    ),
}


@pytest.mark.parametrize("change", MISSING.values(), ids=MISSING)
def test_missing_pieces_leave_a_whole_page(results, change):
    changed = copy.deepcopy(results)
    change(changed)
    page = html_report(changed)
    check_whole(page)
    cells = markdown_cells(markdown_table(changed))
    assert len({len(line) for line in cells}) == 1 and len(cells) == 2 + len(changed["rows"])
    assert ("Replaced tokens" in page) == bool(changed["replaced_view"])


MISSING_OF_A_TUNING = {
    "no test set": lambda r: [one.update(test=None, test_metrics=None) for one in r["seeds"]],
    "a test set in one seed": lambda r: r["seeds"][0].update(test=None, test_metrics=None),
    "no further metrics": lambda r: r.update(also=[]),
    "no metrics": lambda r: [one.update(dev_metrics={}, test_metrics={}) for one in r["seeds"]],
    "no calibration": lambda r: (
        r.update(calibration=None) or [one.update(ece=None) for one in r["seeds"]]
    ),
    "only empty bins": lambda r: [one.update(count=0) for one in r["calibration"]],
    "no confusion": lambda r: r.update(confusion=None),
    "no examples": lambda r: r.update(confusion=[[0] * 3] * 3),
    "equal scores": lambda r: [one.update(seed(one["seed"], 0.7, 0.7)) for one in r["seeds"]],
}


@pytest.mark.parametrize("change", MISSING_OF_A_TUNING.values(), ids=MISSING_OF_A_TUNING)
@pytest.mark.parametrize("with_rows", [True, False])
def test_missing_pieces_of_a_fine_tuning_leave_a_whole_page(tuning, change, with_rows):
    result, rows = tuning
    change(result)
    page = finetune_page(result, rows if with_rows else [])
    check_whole(page)
    assert ("Mistakes" in page) == with_rows


def test_a_missing_key_is_named(results, tuning):
    result, rows = tuning
    for changed, keys, draw in (
        (results, ("title", "equal", "rows", "pretraining", "replaced_view"), html_report),
        (
            result,
            ("task", "metric", "labels", "seeds", "best_seed", "settings"),
            lambda data: finetune_page(data, rows),
        ),
    ):
        for key in keys:
            with pytest.raises(ValueError, match=f"^{key} is missing$"):
                draw({k: v for k, v in changed.items() if k != key})


@pytest.mark.parametrize(
    "wrong", [-2, 10**400, float("nan"), "words", [], {}], ids=lambda value: repr(value)[:9]
)
def test_a_wrong_value_anywhere_is_a_value_error_or_a_page(results, tuning, wrong):
    def places(value, path=()):
        items = (
            value.items()
            if isinstance(value, dict)
            else enumerate(value)
            if isinstance(value, list)
            else ()
        )
        for key, inner in items:
            yield (*path, key)
            yield from places(inner, (*path, key))

    results.update(
        replaced_view=results["replaced_view"][1:],
        rows=results["rows"][:2],
        pretraining=results["pretraining"][2:],
    )
    refused = 0
    for data, draw in (([results], html_report), ([tuning[0], tuning[1][:2]], finetune_page)):
        for path in list(places(data)):
            changed = copy.deepcopy(data)
            holder = changed
            for key in path[:-1]:
                holder = holder[key]
            holder[path[-1]] = wrong
            try:
                Page(draw(*changed))
            except ValueError as problem:
                refused += 1
                assert "\n" not in str(problem)
    assert refused > 10


# ---------------------------------------------------------------- as a program


def run_folder(folder, tuning):
    """result.json and predictions.tsv as finetune.py writes them."""
    result, rows = tuning
    labels = result["labels"]
    lines = [
        "\t".join(
            ["split", "index", "gold", "prediction", *(f"p({label})" for label in labels), "text"]
        )
    ]
    for split in ("dev", "test"):
        for i, row in enumerate(rows):
            p = {label: 0.01 for label in labels} | {
                row["gold"]: row["p_gold"],
                row["prediction"]: row["p"],
            }
            lines.append(
                "\t".join(
                    [
                        split,
                        str(i),
                        row["gold"],
                        row["prediction"],
                        *(f"{p[label]:.4f}" for label in labels),
                        row["text"],
                    ]
                )
            )
    (folder / "predictions.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    (folder / "result.json").write_text(json.dumps(result))
    return folder / "result.json"


def test_the_page_is_written_beside_the_results(results, tmp_path):
    (tmp_path / "results.json").write_text(json.dumps(results))
    done = subprocess.run(
        [sys.executable, SCRIPT, tmp_path / "results.json"],
        cwd=ROOT,
        capture_output=True,
        env={
            **os.environ,
            "OMP_NUM_THREADS": "1",
            "PYTHONPATH": str(ROOT),
            "PYTHONIOENCODING": "utf-8",
        },
    )
    assert (done.returncode, done.stderr) == (0, b"")
    page = tmp_path / "report.html"
    assert done.stdout.decode() == f"{markdown_table(results)}\n{page}\n"
    assert page.read_bytes() == html_report(results).encode()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["report.html", "results.json"]


def test_a_fine_tuning_is_told_apart_and_its_predictions_are_read(tuning, tmp_path, capsys):
    tuning[1][0]["text"] = 'a "quoted" text, with a comma \u2028 and odd spaces'
    path = run_folder(tmp_path, tuning)
    assert program.main([str(path)]) == 0
    assert capsys.readouterr().out == f"{tmp_path / 'report.html'}\n"
    assert (tmp_path / "report.html").read_text(encoding="utf-8") == finetune_page(*tuning)
    (tmp_path / "predictions.tsv").unlink()
    assert program.main([str(path)]) == 0
    assert (tmp_path / "report.html").read_text(encoding="utf-8") == finetune_page(tuning[0], [])


def test_the_predictions_of_a_regression_are_read(regression, tmp_path):
    run_folder(tmp_path, regression)
    assert report.held_out_rows(tmp_path / "predictions.tsv") == regression[1]


def test_out_names_the_page_and_its_folder_is_made(results, tmp_path, capsys):
    (tmp_path / "results.json").write_text(json.dumps(results))
    out = tmp_path / "new" / "page.html"
    assert program.main([str(tmp_path / "results.json"), "--out", str(out)]) == 0
    assert capsys.readouterr().out.endswith(f"\n{out}\n") and out.read_text(
        encoding="utf-8"
    ).endswith("</html>\n")
    assert not (tmp_path / "report.html").exists()


BAD = {
    "missing": (None, "No such file"),
    "not JSON": (b"{", "not JSON"),
    "not UTF-8": (b'{"format": "\xff"}', "not JSON"),
    "NaN": (b'{"format": NaN}', "format is nan"),
    "too deep": (b"[" * 100_000, "not JSON"),
    "a list": (b"[]", "neither a comparison nor a fine-tuning"),
    "another file": (b'{"seed": 1}', "neither a comparison nor a fine-tuning"),
    "another format": (b'{"format": 2}', "format is 2"),
    "a missing key": (
        b'{"format": 1, "equal": {"by": "time", "text": ""}, "rows": []}',
        "machine is missing",
    ),
    "a fine-tuning with a missing key": (b'{"best_seed": 1}', "seeds is missing"),
    "a wrong kind": (b'{"format": 1, "rows": 5}', "a value is of the wrong kind"),
    "lines in a value": (b'{"format": "1\\n2"}', r"format is '1\n2'"),
}


@pytest.mark.parametrize("content,match", BAD.values(), ids=BAD)
def test_bad_results_are_one_line_and_nothing_is_written(tmp_path, capsys, content, match):
    path = tmp_path / "results.json"
    if content is not None:
        path.write_bytes(content)
    (tmp_path / "report.html").write_text("mine")
    assert program.main([str(path)]) == 2
    written = capsys.readouterr()
    assert written.out == "" and written.err.count("\n") == 1 and match in written.err
    assert written.err.startswith("report.py: error: ") and str(path) in written.err
    assert (tmp_path / "report.html").read_text() == "mine"
    assert {file.name for file in tmp_path.iterdir()} <= {"results.json", "report.html"}


@pytest.mark.parametrize(
    "lines", ["split\tindex\n", "split\tgold\ntest\tdev\ndev\tx\n", "", "\xff"]
)
def test_a_broken_table_of_predictions_is_one_line(tuning, tmp_path, capsys, lines):
    path = run_folder(tmp_path, tuning)
    (tmp_path / "predictions.tsv").write_bytes(lines.encode("latin-1"))
    code = program.main([str(path)])
    assert code == (
        0 if lines in ("split\tindex\n", "") else 2
    )  # a table without rows is a page without examples
    assert capsys.readouterr().err.count("\n") == (code == 2)


def test_the_results_are_not_replaced_by_the_page(results, tmp_path, capsys):
    path = tmp_path / "results.json"
    path.write_text(json.dumps(results))
    assert program.main([str(path), "--out", str(tmp_path / "." / "results.json")]) == 2
    assert json.loads(path.read_text()) == results and capsys.readouterr().err.count("\n") == 1


def test_a_wrong_command_line_is_one_line(capsys):
    with pytest.raises(SystemExit) as stop:
        program.main(["results.json", "--colour"])
    assert stop.value.code == 2 and capsys.readouterr().err.count("\n") == 1
