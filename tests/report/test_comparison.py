"""The page of a comparison shows figures that a reader can trust."""

import copy
import math
import re

import pytest

from electra.report.comparison import html_report, markdown_table

from .pages import NASTY, Page, changed_strings, check_whole, markdown_cells, plain, svgs, table_of
from .samples import token

pytestmark = pytest.mark.fast


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
        x == pytest.approx(xs[0] + slope * (value - 85), abs=0.2)
        for x, value in zip(xs, values, strict=True)
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


def test_the_cost_of_every_run_is_listed(results):
    results["pretraining"][1]["flops"] = None
    rows = table_of(html_report(results), "The cost of each run")
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
    assert titles[4].endswith("masked, and the generator predicted the original")


def test_shades_grow_with_the_probability_and_each_has_a_colour(results):
    results["replaced_view"] = [{"model": "E", "tokens": [token("a", p=i / 40) for i in range(41)]}]
    page = html_report(results)
    shades = [int(shade) for shade in re.findall(r'<span class="h(\d)" title', page)]
    assert shades == sorted(shades) and set(shades) == set(range(10))
    assert all(page.count(f".h{shade} {{") == 1 for shade in range(10))


def test_counts_of_the_replaced_view(results):
    text = "".join(Page(html_report(results)).texts)
    counts = "gives more than 0.5 to 1 of them and to 1 of the 3 others."
    assert f"2 of 5 tokens were replaced. The discriminator {counts}" in text


def test_the_command_of_every_run_is_listed(results):
    page = html_report(results)
    commands = re.findall(r"<pre>(.*?)</pre>", page[page.index("<details>") :])
    assert (
        commands
        == [one["command"] for one in results["pretraining"]]
        + ["python finetune.py --seeds 1,2,3"] * 7
    )


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
