"""What a model said of single examples, and its scores by name: of a type, or of a label."""

from __future__ import annotations

import json
from collections.abc import Sequence

from electra.report.charts import COLOURS
from electra.report.html import Markup, fold, isolate, join, table, table_row, tag
from electra.report.values import MISSING, Json

MOST_SHOWN = 100
OUTSIDE = "O"

TAGS_CAPTION = """The sentences with the least probable right tag first. A coloured word has the tag
below it, and it is right. A word in red is wrong: below it the gold tag, an arrow, the
prediction."""
ANSWERS_CAPTION = """The worst answers first. Gold: one of the right answers; “no answer”: the text
has none."""
RANKS_CAPTION = """The lowest ranks first. Prediction: the rank of a text’s partner among all
second texts, by cosine."""
LABELS_CAPTION = "The most confident mistakes first; – : no label."
SCORES_BY_NAME = {
    "by_type": ("Scores by type", ("span_f1", "precision", "recall"), ("gold", "predicted")),
    "by_label": ("Scores by label", ("f1", "threshold"), ("gold", "predicted")),
}


def kind_of(result: Json) -> str:
    """What the page draws: the kind of the task; of vectors learned from scores, a regression.

    Results of before there were kinds are of classes or a regression.
    """
    return "regression" if result["regression"] else result.get("kind") or "classes"


def named_scores(result: Json) -> list[Markup]:
    """A table with a row for each type of span, or each label."""
    parts: list[Markup] = []
    for key, (title, scores, counts) in SCORES_BY_NAME.items():
        if not result.get(key):
            continue
        rows = [
            table_row(
                isolate(name),
                [f"{one[score]:.3f}" for score in scores] + [f"{one[count]:,}" for count in counts],
            )
            for name, one in result[key].items()
        ]
        heads = [*(score.replace("span_f1", "F1").replace("f1", "F1") for score in scores), *counts]
        caption = "On the held-out part; gold and predicted are counts."
        parts += [tag("h2", title), table(title, [("", ["", *heads])], rows, caption)]
    return parts


def worst_examples(rows: Sequence[Json], kind: str) -> list[Markup]:
    """The examples that the model got most wrong. rows: the most wrong first."""
    if kind == "tags":
        return _tagged_sentences(rows)
    if kind == "spans":
        return _answers(rows)
    return mistakes(rows, kind)


def mistakes(rows: Sequence[Json], kind: str) -> list[Markup]:
    """The first wrong examples; of a regression, the first examples."""
    regression = kind == "regression"
    wrong = [row for row in rows if regression or row["prediction"] != row["gold"]]
    title, heads = _title(wrong, rows), ["p", "p of gold"]
    caption = "The most confident mistakes first; p: probability."
    if kind == "labels":
        heads, caption = [], LABELS_CAPTION
    if kind == "vectors":
        title, heads, caption = title.replace("Mistakes", "Partners not nearest"), [], RANKS_CAPTION
    if regression:
        title, heads, caption = "Largest errors", ["off by"], "Off by: prediction − gold."
    if not wrong:
        return [tag("h2", title), tag("p", "None.")]

    heads = ["gold", "prediction", *heads]
    lines = []
    for row in wrong[:MOST_SHOWN]:
        further = mistake_cells(row, regression)[: len(heads) - 2]
        cells = [isolate(row["gold"]), isolate(row["prediction"]), *further]
        found = [tag("td", cell, data_head=head) for head, cell in zip(heads, cells, strict=True)]
        lines.append(tag("tr", found, tag("td", fold(row["text"]), dir="auto")))
    caption += _more(wrong)
    listed = table(title, [("", [*heads, "text"])], lines, caption, "examples")
    return [tag("h2", title), listed]


def mistake_cells(row: Json, regression: bool) -> list[str]:
    if regression:
        return [f"{float(row['prediction']) - float(row['gold']):+.2f}".replace("-", "−")]
    values = (row.get("p"), row.get("p_gold"))
    return [MISSING if value is None else f"{value:.3f}" for value in values]


def _title(wrong: Sequence[Json], rows: Sequence[Json]) -> str:
    return f"Mistakes: {len(wrong):,} of {len(rows):,}"


def _more(wrong: Sequence[Json]) -> str:
    """How many are not shown."""
    hidden = len(wrong) - MOST_SHOWN
    return f" {hidden:,} more are in predictions.tsv." if hidden > 0 else ""


def _tagged_sentences(rows: Sequence[Json]) -> list[Markup]:
    """Sentences with a wrong tag, each word with its tag."""
    wrong = [row for row in rows if row["gold"] != row["prediction"]]
    title = _title(wrong, rows)
    if not wrong:
        return [tag("h2", title), tag("p", "None.")]
    types = sorted({_type_of(name) for row in rows for name in row["gold"].split(" ")} - {OUTSIDE})
    colour = {name: COLOURS[i % len(COLOURS)] for i, name in enumerate(types)}
    sentences = [
        tag("p", _words(row, colour), class_="tagged", dir="auto") for row in wrong[:MOST_SHOWN]
    ]
    note = tag("p", TAGS_CAPTION + _more(wrong), class_="note")
    return [tag("h2", title), note, *sentences]


def _words(row: Json, colour: dict[str, str]) -> list[Markup]:
    words = []
    columns = (row["text"].split(" "), row["gold"].split(" "), row["prediction"].split(" "))
    for word, gold, prediction in zip(*columns, strict=False):
        if gold != prediction:
            words.append(tag("ruby", word, tag("rt", f"{gold} → {prediction}"), class_="bad"))
        elif gold != OUTSIDE:
            words.append(tag("ruby", word, tag("rt", gold), class_=colour[_type_of(gold)]))
        else:
            words.append(tag("ruby", word))
        words.append(join(" "))
    return words


def _type_of(name: str) -> str:
    return name[2:] if name[1:2] == "-" else name


def _answers(rows: Sequence[Json]) -> list[Markup]:
    """Questions whose answer is none of the right ones, letter by letter."""
    found = [(row, _parsed(row["gold"], []), _parsed(row["prediction"], "")) for row in rows]
    wrong = [(row, gold, answer) for row, gold, answer in found if answer not in (gold or [""])]
    title = f"Other answers: {len(wrong):,} of {len(rows):,}"
    if not wrong:
        return [tag("h2", title), tag("p", "None.")]
    lines = []
    for row, gold, answer in wrong[:MOST_SHOWN]:
        cells = (str(gold[0]) if gold else "no answer", str(answer) or "no answer")
        shown = [
            tag("td", isolate(cell), data_head=head)
            for cell, head in zip(cells, ("gold", "answer"), strict=True)
        ]
        lines.append(tag("tr", shown, tag("td", fold(row["text"]), dir="auto")))
    caption = ANSWERS_CAPTION + _more([row for row, _, _ in wrong])
    heads = [("", ["gold", "answer", "question / text"])]
    return [tag("h2", title), table(title, heads, lines, caption, "examples answers")]


def _parsed(cell: str, otherwise: list | str) -> list | str:
    """A cell's JSON, where it is of the kind of `otherwise`."""
    try:
        value = json.loads(cell)
    except (ValueError, RecursionError):
        return otherwise
    return value if isinstance(value, type(otherwise)) else otherwise
