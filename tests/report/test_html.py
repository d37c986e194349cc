"""The pages are whole and safe whatever the data hold."""

import ast
import copy
import sys
from pathlib import Path

import pytest

import electra.report
from electra.report.comparison import html_report, markdown_table
from electra.report.finetuning import finetune_page
from electra.report.html import Markup, fold, join, tag

from .pages import NASTY, Page, check_whole, plain, svgs


@pytest.mark.fast
def test_the_page_and_its_drawings_are_well_formed(any_page):
    page = any_page(lambda text: text)
    check_whole(page)
    tags = Page(page).tags
    assert [tag for tag, _ in tags].count("h1") == 1 and dict(tags)["html"] == {"lang": "en"}
    assert any(attrs.get("name") == "viewport" for _, attrs in tags)


@pytest.mark.fast
def test_the_structure_does_not_depend_on_what_the_texts_say(any_page):
    """Hostile and harmless texts of one length give the same tags and names of attributes."""

    def shape(page):
        return [(tag, list(attrs)) for tag, attrs in Page(page).tags]

    hostile, harmless = (
        any_page(lambda text: text + NASTY),
        any_page(lambda text: text + "x" * len(NASTY)),
    )
    assert shape(hostile) == shape(harmless)
    assert "<script" not in hostile and "\x00" not in hostile and "\u202e" not in hostile
    svgs(hostile)
    hostile.encode()


@pytest.mark.fast
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


@pytest.mark.fast
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
    shown = "<script>alert(1)</script>\"'&amp;|`*_\ufffd\ufffd[31m\ufffd\ufffd\ufffd ]]> -->"
    assert f"{shown}\nשלום {{0}} %s" in text


@pytest.mark.fast
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


@pytest.mark.fast
def test_only_the_standard_library_is_needed():
    for path in Path(electra.report.__file__).parent.glob("*.py"):
        names = {
            alias.name if isinstance(node, ast.Import) else node.module
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
            if isinstance(node, (ast.Import, ast.ImportFrom))
            for alias in node.names
        }
        others = {name for name in names if not name.startswith("electra.report")}
        assert {name.split(".")[0] for name in others} <= sys.stdlib_module_names


@pytest.mark.fast
def test_an_element_escapes_text_and_attributes_but_not_markup_inside_it():
    bold = tag("b", "1 < 2 & 3")
    assert bold == "<b>1 &lt; 2 &amp; 3</b>"
    assert tag("i", bold, "<", ["a", ["&"]]) == f"<i>{bold}&lt;a&amp;</i>"
    assert (
        tag("i", class_="", data_head='"><script>')
        == '<i data-head="&quot;&gt;&lt;script&gt;"></i>'
    )
    assert '"' not in tag("i", title=Markup('">'))[len('<i title="') : -len('"></i>')]
    # An f-string of markup is text again.
    assert join(f"{bold}") == "&lt;b&gt;1 &amp;lt; 2 &amp;amp; 3&lt;/b&gt;"


@pytest.mark.fast
def test_a_long_text_is_folded_and_whole():
    text = "word & " * 200
    found = fold(text)
    assert "<details>" in found and plain(found).replace("……", "") == text
    assert fold("short & sweet") == "short &amp; sweet"


@pytest.mark.fast
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


def test_a_page_is_drawn_of_seeds_that_diverged(tuning):
    result, rows = tuning
    result["seeds"][2]["loss"] = result["seeds"][1]["ece"] = float("nan")
    assert "nan" in finetune_page(result, rows)


def test_an_error_of_the_code_is_no_error_of_the_data(results, tuning, monkeypatch):
    def fail(*arguments):
        raise TypeError("ours")

    monkeypatch.setattr("electra.report.comparison.summary", fail)
    monkeypatch.setattr("electra.report.finetuning.summary", fail)
    for draw in (lambda: html_report(results), lambda: finetune_page(*tuning)):
        with pytest.raises(TypeError, match="ours"):
            draw()


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda result: result.update(best_seed=9), "best_seed 9 is none of the seeds"),
        (lambda result: result["seeds"][0].update(collapsed="no"), "collapsed is not true"),
        (lambda result: result["seeds"][0].update(dev=10**400), "dev is not a finite number"),
        (lambda result: result["seeds"][0].pop("seed"), "seed is missing"),
        (lambda result: result["calibration"][1].update(accuracy=None), "accuracy of a bin"),
        (lambda result: result["calibration"][1].update({"from": 2}), "from is not a number from"),
        (lambda result: result.update(confusion=[[1.5]]), "confusion is not a whole number"),
    ],
)
def test_a_value_of_the_wrong_kind_is_named(change, message, tuning):
    result, rows = tuning
    change(result)
    with pytest.raises(ValueError, match=message):
        finetune_page(result, rows)


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
