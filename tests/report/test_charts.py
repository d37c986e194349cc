"""Axes, curves and their ticks."""

import pytest

from electra.report import charts
from electra.report.comparison import html_report

from .pages import check_whole, svgs
from .samples import point

pytestmark = pytest.mark.fast


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
            if text.get("y") == f"{charts.BOTTOM + 18:.1f}"
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
    ticks = charts.ticks(low, high)
    assert (
        ticks[0] <= low + 1e-9 * abs(low)
        and ticks[-1] >= high - 1e-9 * abs(high)
        and 2 <= len(ticks) <= 12
    )
    steps = [b - a for a, b in zip(ticks, ticks[1:], strict=False)]
    assert min(steps) > 0 and max(steps) == pytest.approx(min(steps), rel=1e-3)
    assert len(set(charts.tick_labels(ticks))) == len(ticks)


def test_large_ticks_have_a_unit():
    assert charts.tick_labels([0, 2e6, 4e6]) == ["0 M", "2 M", "4 M"]
    assert charts.tick_labels([0, 0.5e9, 1e9]) == ["0.0 B", "0.5 B", "1.0 B"]
    assert charts.tick_labels([-1, 0, 1]) == ["−1", "0", "1"]
