"""The page of a fine-tuning shows figures that a reader can trust."""

import math
import re

import pytest

from electra.report import finetuning
from electra.report.finetuning import finetune_page
from electra.training.kinds import KINDS

from .pages import check_whole, plain, svgs, table_of
from .samples import seed

pytestmark = pytest.mark.fast


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


def test_a_collapsed_regression_predicts_one_value(regression):
    result, rows = regression
    result["seeds"][0]["collapsed"] = True
    page = finetune_page(result, rows)
    assert "it gives every text the same value." in page and "class" not in said_of(page)


@pytest.mark.parametrize("kind", KINDS)
def test_what_a_collapsed_seed_does_is_said_as_finetune_says_it(tuning, kind):
    result, rows = tuning
    result |= {"kind": kind, "regression": kind == "regression"}
    assert KINDS[kind].constant in said_of(finetune_page(result, []))


def said_of(page):
    """The sentence about a collapsed seed."""
    return page.partition("A collapsed seed has")[2].partition("The means")[0]


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
    for label, row, cells in zip(labels, counts, table_of(page, "gold \\ predicted"), strict=True):
        found = [
            re.fullmatch(r"(\d+?)(\d{1,2}(?:\.\d)?)%", cell.replace(",", ""))
            for cell in cells[1:-1]
        ]
        assert cells[0] == label and cells[-1] == f"{sum(row):,}" and len(found) == n
        for cell, count in zip(cells[1:-1], row, strict=True):
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
    bars, dots = list(svg.iter("rect")), list(svg.iter("circle"))
    assert len(bars) == len(dots) == 3  # the empty bin is left out
    assert [text.text for text in svg.iter("text") if text.get("class") == "count"] == [
        "4",
        "6",
        "10",
    ]
    (diagonal,) = (line for line in svg.iter("line") if line.get("class") == "rule")
    x1, y1, x2, y2 = (float(diagonal.get(key)) for key in ("x1", "y1", "x2", "y2"))

    def x(value):
        return x1 + (value - 0.5) / 0.5 * (x2 - x1)

    def y(value):
        return y1 + (value - 0.5) / 0.5 * (y2 - y1)

    bins = [one for one in result["calibration"] if one["count"]]
    for one, bar, dot in zip(bins, bars, dots, strict=True):
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
    for (x, y), row in zip(dots, rows, strict=True):
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
    assert 500 <= len(list(svgs(page, "chart")[0].iter("circle"))) <= finetuning.MOST_POINTS
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


def test_settings_are_listed(tuning):
    page = finetune_page(*tuning)
    assert (
        "<dt>seeds</dt><dd><code>[1, 2, 3]</code></dd>" in page
        and "<dt>data</dt><dd><code>null</code></dd>" in page
    )


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
