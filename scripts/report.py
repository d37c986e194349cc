"""Results of a comparison -> one HTML page that needs nothing else, and a Markdown table.

    python scripts/report.py runs/ablation/results.json
    python scripts/report.py runs/ablation/results.json --out report.html

The page has the scores with their spread, the pre-training curves, what each run cost, texts with the tokens that the
discriminator took for replaced, and every command. It has no script and fetches nothing, so it opens from disk and can
be mailed. The table goes to standard output, the path of the page after it.

A curve counts steps, minutes and tokens from the start of its own run. Post-pre-training is drawn from where the run
that it started from ended; an `init` is looked up among the runs above it in the list.
"""

from __future__ import annotations

import argparse
import html
import json
import math
import os
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import fmean, stdev
from typing import Any, NamedTuple, NoReturn

FORMAT = 1
NONE = "–"         # a figure that is not there
SUSPICIOUS = 0.5   # a token above it is bold
BINS = 10          # shades of a token's background
FAMILIES = 6       # colours of runs; a seventh gets the first again
DASHES = ("", "6 4", "2 3", "10 3 2 3")   # pre-training, then the post-pre-trainings that share its colour
TASKS = {"imdb": "IMDb", "sst2": "SST-2", "csv": "CSV"}   # any other name stands as it is
PARTS = {"head_dev": "head only, dev", "dev": "dev", "test": "test"}
OBJECTIVES = {"mlm": "masked LM", "electra": "ELECTRA"}
STAGES = ("pre-training", "post-pre-training")


class Point(NamedTuple):
    """Held-out figures at a step of a run."""

    step: float
    minutes: float
    tokens: float
    mlm_loss: float
    mlm_acc: float
    rtd_loss: float | None
    rtd_auc: float | None
    rtd_auc_unigram: float | None


class Run(NamedTuple):
    """One pre-training. `tokens_per_s` and `flops` as measured, `init` the name of the run it started from."""

    name: str
    objective: str
    stage: str
    init: str | None
    command: str
    minutes: float
    steps: float
    tokens: float
    tokens_per_s: float
    flops: float | None
    curve: tuple[Point, ...]


class Scores(NamedTuple):
    """Fractions, one a seed, by part: a key of PARTS. A part without figures is not in it."""

    metric: str
    seeds: tuple[float, ...]
    values: dict[str, tuple[float, ...]]
    seconds: float
    command: str


class Row(NamedTuple):
    name: str
    reference: bool
    minutes: float | None
    scores: dict[str, Scores]   # by task


class Token(NamedTuple):
    """`shown` is what the discriminator read, `p` its probability that this is not the original."""

    original: str
    shown: str
    replaced: bool
    masked: bool
    p: float
    space: bool


class Sentence(NamedTuple):
    model: str
    tokens: tuple[Token, ...]


class Results(NamedTuple):
    title: str
    date: str
    machine: str
    command: str
    equal_by: str
    equal_text: str
    runs: tuple[Run, ...]
    rows: tuple[Row, ...]
    sentences: tuple[Sentence, ...]


class Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        print(f"{self.prog}: error: {message} (see {self.prog} --help)", file=sys.stderr)
        raise SystemExit(2)


def main(argv: list[str] | None = None) -> int:
    """Run with a command line; returns the exit code: 0, or 2 after one line that names a mistake."""
    args = parse_args(argv)
    out = args.out or args.results.with_name("report.html")
    try:
        if out.resolve() == args.results.resolve():
            raise ValueError(f"{out}: the page would replace the results; choose another --out")
        results = load(args.results)
        try:
            page, table = html_report(results), markdown_table(results)
        except ValueError as problem:
            raise ValueError(f"{args.results}: {problem}") from None
        write_atomically(out, page)
    except (ValueError, OSError) as problem:
        print(f"report.py: error: {problem}", file=sys.stderr)
        return 2
    print(table, out, sep="\n")
    return 0


def parse_args(argv: list[str] | None) -> argparse.Namespace:
    parser = Parser(prog="report.py", description=__doc__.split("\n")[0], allow_abbrev=False)
    parser.add_argument("results", type=Path, metavar="RESULTS.json", help="what the comparison wrote")
    parser.add_argument("--out", type=Path, help="the page (default: report.html beside the results)")
    return parser.parse_args(argv)


def html_report(results: dict[str, Any]) -> str:
    """The page. Raises ValueError naming the place in `results` that is missing or makes no sense."""
    return page_of(parse(results))


def markdown_table(results: dict[str, Any]) -> str:
    """The page's score table for GitHub, ending in a newline. Raises ValueError as `html_report` does."""
    return markdown_of(parse(results))


def load(path: Path) -> Any:
    """Raises ValueError for a file that is not JSON."""
    def constant(name: str) -> NoReturn:
        raise ValueError(f"{name} is no number")
    try:
        return json.loads(path.read_bytes().decode("utf-8-sig"), parse_constant=constant)
    except OSError as problem:
        raise ValueError(f"{path}: {problem.strerror}") from None
    except (ValueError, RecursionError) as problem:   # wrong UTF-8 and wrong JSON are both ValueErrors
        raise ValueError(f"{path} is not JSON: {problem}") from None


def write_atomically(path: Path, text: str) -> None:
    """Write so that the file is there whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        temporary.write_text(text, encoding="utf-8", newline="\n")
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


# ---------------------------------------------------------------- reading the results

def parse(results: Any) -> Results:
    """Raises ValueError naming the place that is missing, of another type or outside its range."""
    if not isinstance(results, dict):
        raise ValueError("expected an object with format, title, rows, …")
    if results.get("format") != FORMAT or results["format"] is True:
        raise ValueError(f"format is {results.get('format')!r:.60}, but this program reads {FORMAT}")
    equal = take(results, "equal", dict, "")
    return Results(
        *(take(results, key, str, "") for key in ("title", "date", "machine", "command")),
        choice(equal, "by", ("time", "flops", "given"), "equal."), take(equal, "text", str, "equal."),
        tuple(parse_run(*item) for item in objects(results, "pretraining", "")),
        one_metric_a_task(tuple(parse_row(*item) for item in objects(results, "rows", ""))),
        tuple(Sentence(take(values, "model", str, place),
                       tuple(parse_token(*item) for item in objects(values, "tokens", place)))
              for values, place in objects(results, "replaced_view", "")))


def parse_run(values: dict[str, Any], place: str) -> Run:
    return Run(take(values, "name", str, place), choice(values, "objective", tuple(OBJECTIVES), place),
               choice(values, "stage", STAGES, place), take(values, "init", str, place, optional=True),
               take(values, "command", str, place),
               *(number(values, key, place) for key in ("minutes", "steps", "tokens", "tokens_per_s")),
               number(values, "flops", place, optional=True),
               tuple(parse_point(*item) for item in objects(values, "curve", place)))


def parse_point(values: dict[str, Any], place: str) -> Point:
    return Point(*(number(values, key, place) for key in ("step", "minutes", "tokens", "mlm_loss")),
                 number(values, "mlm_acc", place, high=1), number(values, "rtd_loss", place, optional=True),
                 *(number(values, key, place, high=1, optional=True) for key in ("rtd_auc", "rtd_auc_unigram")))


def parse_row(values: dict[str, Any], place: str) -> Row:
    scores = {}
    for task, part in take(values, "scores", dict, place).items():
        there = f"{place}scores[{task!r:.40}]."
        if not isinstance(part, dict):
            raise ValueError(f"{there[:-1]} should be an object, not {part!r:.60}")
        found = {key: numbers(part, key, there, low=-1, high=1, optional=key != "dev") for key in PARTS}
        scores[task] = Scores(take(part, "metric", str, there), numbers(part, "seeds", there, low=-math.inf),
                              {key: value for key, value in found.items() if value},
                              number(part, "seconds", there), take(part, "command", str, there))
    return Row(take(values, "name", str, place), choice(values, "kind", ("model", "reference"), place) == "reference",
               number(values, "pretraining_minutes", place, optional=True), scores)


def parse_token(values: dict[str, Any], place: str) -> Token:
    return Token(take(values, "original", str, place), take(values, "shown", str, place),
                 take(values, "replaced", bool, place), take(values, "masked", bool, place),
                 number(values, "p", place, high=1), take(values, "space", bool, place))


def one_metric_a_task(rows: tuple[Row, ...]) -> tuple[Row, ...]:
    """The rows as they are. ValueError where a task has two metrics, for a column holds one."""
    metrics: dict[str, str] = {}
    for i, row in enumerate(rows):
        for task, scores in row.scores.items():
            if metrics.setdefault(task, scores.metric) != scores.metric:
                raise ValueError(f"rows[{i}].scores[{task!r:.40}].metric is {scores.metric!r:.40}, but "
                                 f"{metrics[task]!r:.40} in a row above")
    return rows


def take(values: dict[str, Any], key: str, kind: type, place: str, optional: bool = False) -> Any:
    value = values.get(key)
    if value is None and not optional:
        raise ValueError(f"{place}{key} is missing")
    if value is not None and not isinstance(value, kind):
        names = {str: "a string", bool: "true or false", list: "a list", dict: "an object"}
        raise ValueError(f"{place}{key} should be {names[kind]}, not {value!r:.60}")
    return value


def choice(values: dict[str, Any], key: str, allowed: tuple[str, ...], place: str) -> str:
    value = take(values, key, str, place)
    if value not in allowed:
        raise ValueError(f"{place}{key} is {value!r:.60}, expected {' or '.join(allowed)}")
    return value


def objects(values: dict[str, Any], key: str, place: str) -> list[tuple[dict[str, Any], str]]:
    """The objects of a list, each with its place for messages."""
    found = [(item, f"{place}{key}[{i}].") for i, item in enumerate(take(values, key, list, place))]
    for item, there in found:
        if not isinstance(item, dict):
            raise ValueError(f"{there[:-1]} should be an object, not {item!r:.60}")
    return found


def number(values: dict[str, Any], key: str, place: str, low: float = 0, high: float = math.inf,
           optional: bool = False) -> float | None:
    if values.get(key) is None and optional:
        return None
    if key not in values:
        raise ValueError(f"{place}{key} is missing")
    return in_range(values[key], f"{place}{key}", low, high)


def numbers(values: dict[str, Any], key: str, place: str, low: float = 0, high: float = math.inf,
            optional: bool = False) -> tuple[float, ...]:
    found = take(values, key, list, place, optional) or ()
    return tuple(in_range(value, f"{place}{key}[{i}]", low, high) for i, value in enumerate(found))


def in_range(value: Any, place: str, low: float, high: float) -> float:
    # The bound keeps the arithmetic of the charts finite. A NaN fails every comparison.
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not abs(value) < 1e100:
        raise ValueError(f"{place} should be a number, not {value!r:.60}")
    if not low <= value <= high:
        raise ValueError(f"{place} is {value}, outside {low:g} to {high:g}")
    return float(value)


# ---------------------------------------------------------------- text

def printable(text: str) -> str:
    """Text in which nothing acts on what stands around it: control characters, halves of surrogate pairs and what
    turns the direction of writing become visible signs. Letters of any script stay."""
    return _UNPRINTABLE.sub(lambda found: _SIGNS.get(found[0], "\ufffd"), text)


_UNPRINTABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]")
_SIGNS = {chr(code): chr(0x2400 + code) for code in range(0x20)} | {"\x7f": "\u2421"}


def escaped(text: str) -> str:
    """For HTML and SVG, between tags or in a quoted attribute."""
    return html.escape(printable(text))


def isolated(text: str) -> str:
    """A name among other text: one in Arabic letters does not turn what follows."""
    return f"<bdi>{escaped(text)}</bdi>"


def for_markdown(text: str) -> str:
    """For a cell of a GitHub table: one line, nothing in it is markup."""
    line = " ".join(printable(text).split())
    return re.sub(r"([\\`*_~|\[\]])", r"\\\1", html.escape(line, quote=False))


def quantity(n: float) -> str:
    for unit, sign in ((1e12, "T"), (1e9, "B"), (1e6, "M")):
        if n >= unit:
            return f"{n / unit:,.1f} {sign}"
    return f"{n:,.0f}"


def several(n: int, what: str) -> str:
    return f"{n:,} {what}{'' if n == 1 else 's'}"


# ---------------------------------------------------------------- the score table

class Figure(NamedTuple):
    """Mean and sample standard deviation of n scores, in percent; no deviation for one."""

    mean: float
    sd: float | None
    n: int

    def __str__(self) -> str:
        return f"{self.mean:.2f}" if self.sd is None else f"{self.mean:.2f} ± {self.sd:.2f}"


def figure_of(row: Row, task: str, part: str) -> Figure | None:
    values = row.scores[task].values.get(part) if task in row.scores else None
    if not values:
        return None
    return Figure(100 * fmean(values), 100 * stdev(values) if len(values) > 1 else None, len(values))


def columns_of(results: Results) -> dict[str, list[str]]:
    """Task -> those of its PARTS for which some row has a figure; tasks in the order of their first row."""
    tasks = dict.fromkeys(task for row in results.rows for task in row.scores)
    return {task: [part for part in PARTS if any(figure_of(row, task, part) for row in results.rows)]
            for task in tasks}


def best_of(results: Results, task: str, part: str) -> float | None:
    """The highest mean of the models as it is printed, so that what looks equal is bold together; None if only one
    has a figure."""
    means = [round(figure.mean, 2) for row in results.rows
             if not row.reference and (figure := figure_of(row, task, part))]
    return max(means) if len(means) > 1 else None


def counts_of(row: Row, task: str, parts: list[str]) -> str:
    """Seeds behind a row's figures: 3, or 3/3/1 where its columns differ."""
    counts = [str(figure.n) if (figure := figure_of(row, task, part)) else NONE for part in parts]
    distinct = {count for count in counts if count != NONE}
    return "/".join(counts) if len(distinct) > 1 else "".join(distinct) or NONE


def metric_of(results: Results, task: str) -> str:
    return next(row.scores[task].metric for row in results.rows if task in row.scores)


def in_order(results: Results) -> list[Row]:
    """Models first, reference lines after them."""
    return sorted(results.rows, key=lambda row: row.reference)


class Cell(NamedTuple):
    text: str
    kind: str = ""   # best, or count


def head_of(results: Results) -> list[str]:
    """What stands over the cells of `cells_of`, the task's names left out."""
    return ["pre-training, min"] * timed(results) + [
        name for parts in columns_of(results).values() for name in (*(PARTS[part] for part in parts), "seeds")]


def cells_of(results: Results, row: Row) -> list[Cell]:
    """A row of the score table without its name: minutes if any row has them, and for each task its figures and the
    number of seeds."""
    cells = [Cell(NONE if row.minutes is None else f"{row.minutes:,.1f}")] * timed(results)
    for task, parts in columns_of(results).items():
        for part in parts:
            figure = figure_of(row, task, part)
            best = figure and not row.reference and round(figure.mean, 2) == best_of(results, task, part)
            cells.append(Cell(str(figure or NONE), "best" if best else ""))
        cells.append(Cell(counts_of(row, task, parts), "count"))
    return cells


def timed(results: Results) -> bool:
    return any(row.minutes is not None for row in results.rows)


def markdown_of(results: Results) -> str:
    names = ["", *(f"{for_markdown(TASKS.get(task, task))} " for task, parts in columns_of(results).items()
                   for _ in (*parts, "seeds"))][1 - timed(results):]
    lines = [["model", *(name + head for name, head in zip(names, head_of(results)))]]
    lines.append(["---"] + ["---:"] * len(names))
    for row in in_order(results):
        name = for_markdown(row.name)
        lines.append([f"*{name}*" if row.reference else name,
                      *(f"**{cell.text}**" if cell.kind == "best" else cell.text for cell in cells_of(results, row))])
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


def score_table(results: Results) -> str:
    heads = [f'<th scope="col">{head}</th>' for head in head_of(results)]
    minutes_head = '<th scope="col" rowspan="2">pre-training,<br>min</th>' * timed(results)
    over = "".join(f'<th scope="colgroup" colspan="{len(parts) + 1}">{isolated(TASKS.get(task, task))}, '
                   f"{isolated(metric_of(results, task))}</th>" for task, parts in columns_of(results).items())
    lines = {False: [], True: []}
    for row in in_order(results):
        cells = "".join(f"<td><b>{cell.text}</b></td>" if cell.kind == "best" else
                        f'<td class="count">{cell.text}</td>' if cell.kind else f"<td>{cell.text}</td>"
                        for cell in cells_of(results, row))
        lines[row.reference].append(f'<tr><th scope="row">{isolated(row.name)}</th>{cells}</tr>\n')
    references = f'<tbody class="references">\n{"".join(lines[True])}</tbody>' if lines[True] else ""
    return scrolling("Scores", f"""<table>
<caption><span>Scores in percent: mean ± sample standard deviation over fine-tuning seeds, and the number of seeds.
Bold: the highest mean of the models in a column. “Head only” trains the classifier on a frozen encoder. Reference
lines, in italics below the rule, are no part of the comparison. The deviation is that of the seeds alone: how much a
score would move with other examples to test on is not in it.</span></caption>
<thead><tr><th scope="col" rowspan="2">model</th>{minutes_head}{over}</tr>
<tr>{"".join(heads[timed(results):])}</tr></thead>
<tbody>
{"".join(lines[False])}</tbody>
{references}</table>""")


def scrolling(label: str, table: str) -> str:
    """A table that scrolls by itself where the window is narrow, with the keyboard too."""
    return f'<div class="scroll" role="region" aria-label="{label}" tabindex="0">\n{table}\n</div>'


# ---------------------------------------------------------------- drawing

def ticks(low: float, high: float, about: int = 5) -> list[float]:
    """Multiples of 1, 2 or 5 × 10ᵏ that enclose low and high, roughly `about` of them."""
    raw = max(high - low, 1e-9, abs(high) * 1e-6) / about
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(step * power for step in (1, 2, 5, 10) if step * power >= raw * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    # Division by the inverse gives 0.3 where multiplication gives 0.30000000000000004.
    return [i / round(1 / step) if step < 1 else i * step for i in range(first, max(last, first + 1) + 1)]


def tick_labels(values: list[float]) -> list[str]:
    decimals = max(0, -math.floor(math.log10(values[1] - values[0]) + 1e-9))
    return [f"{value + 0.0:,.{decimals}f}".replace("-", "−") for value in values]


def scale(values: list[float], start: float, end: float) -> Callable[[float], float]:
    """From the first and last tick to a range of pixels."""
    low, high = values[0], values[-1]
    return lambda value: start + (value - low) / (high - low) * (end - start)


def colour(family: int | None) -> str:
    return "cx" if family is None else f"c{family % FAMILIES}"


# ---------------------------------------------------------------- every seed's score as a dot

STRIP_WIDTH, STRIP_MARGIN, STRIP_TOP, STRIP_ROW = 350, 4, 26, 38


def strips(results: Results, task: str, parts: list[str]) -> str:
    """One drawing for each column of a task, with the same rows at the same height."""
    rows = [row for row in in_order(results) if task in row.scores]
    # dev and test share their axis, to be compared by eye; a head alone would squeeze both into a corner.
    groups = [[part] if part == "head_dev" else [other for other in parts if other != "head_dev"] for part in parts]
    drawings = []
    for part, group in zip(parts, groups):
        values = [100 * value for row in rows for key in group for value in row.scores[task].values.get(key, ())]
        drawings.append(strip(results, rows, task, part, ticks(min(values), max(values))))
    return "\n".join(drawings)


def strip(results: Results, rows: list[Row], task: str, part: str, axis: list[float]) -> str:
    """All rows of one column on one axis: a dot for each seed, a tick for the mean, which is printed at the right."""
    families = {run.name: family for run, family in reversed(list(zip(results.runs, families_of(results.runs))))}
    height = STRIP_TOP + STRIP_ROW * len(rows) + 38
    bottom = height - 34
    x = scale(axis, STRIP_MARGIN + 12, STRIP_WIDTH - STRIP_MARGIN - 12)
    name = f"{escaped(TASKS.get(task, task))}, {PARTS[part]}"
    parts = [f'<text class="strong" x="{STRIP_MARGIN}" y="15">{PARTS[part]}</text>']
    for value, label in zip(axis, tick_labels(axis)):
        parts.append(f'<line class="grid" x1="{x(value):.1f}" x2="{x(value):.1f}" y1="{STRIP_TOP}" y2="{bottom}"/>'
                     f'<text class="tick" x="{x(value):.1f}" y="{bottom + 15}" text-anchor="middle">{label}</text>')
    metric = escaped(clipped(metric_of(results, task), 36))
    parts.append(f'<text class="tick" x="{STRIP_WIDTH / 2}" y="{bottom + 31}" text-anchor="middle">{metric}, %</text>')
    for i, row in enumerate(rows):
        y = STRIP_TOP + STRIP_ROW * i
        if row.reference and i and not rows[i - 1].reference:
            parts.append(f'<line class="rule" x1="{STRIP_MARGIN}" x2="{STRIP_WIDTH - STRIP_MARGIN}" y1="{y + 1}" '
                         f'y2="{y + 1}"/>')
        kind = "name reference" if row.reference else "name"
        figure = figure_of(row, task, part)
        parts.append(f'<line class="track" x1="{STRIP_MARGIN}" x2="{STRIP_WIDTH - STRIP_MARGIN}" y1="{y + 25}" '
                     f'y2="{y + 25}"/>')
        parts.append(f'<text class="{kind}" x="{STRIP_MARGIN}" y="{y + 14}">{escaped(clipped(row.name, 46))}</text>'
                     f'<text class="{kind}" x="{STRIP_WIDTH - STRIP_MARGIN}" y="{y + 14}" text-anchor="end">'
                     f'{f"{figure.mean:.2f}" if figure else NONE}</text>')
        if not figure:
            continue
        scores, dots = row.scores[task], []
        for j, value in enumerate(scores.values[part]):
            seed = f"seed {scores.seeds[j]:g}: " if len(scores.seeds) == figure.n else ""
            dots.append(f'<circle class="{"open" if row.reference else "seed"}" cx="{x(100 * value):.1f}" '
                        f'cy="{y + 25}" r="4"><title>{seed}{100 * value:.2f}</title></circle>')
        mean = x(figure.mean)
        parts.append(f'<g class="{colour(None if row.reference else families.get(row.name))}">{"".join(dots)}'
                     f'<line class="mean" x1="{mean:.1f}" x2="{mean:.1f}" y1="{y + 18}" y2="{y + 32}">'
                     f"<title>mean: {figure}</title></line></g>")
    return (f'<svg class="strip" role="img" viewBox="0 0 {STRIP_WIDTH} {height}"><title>{name}: every seed and the mean'
            f"</title>\n{chr(10).join(parts)}\n</svg>")


def clipped(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[:limit - 1] + "…"


# ---------------------------------------------------------------- pre-training curves

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 450, 320, 52, 442, 12, 272


class Series(NamedTuple):
    """A curve ready to draw, each point with a note that is shown when one points at it."""

    label: str
    family: int
    dash: str
    hollow: bool
    points: list[tuple[float, float]]
    notes: list[str]


def parents_of(runs: tuple[Run, ...]) -> list[int | None]:
    """For each run the nearest one above it that has the name of its init: so there is no circle."""
    parents: list[int | None] = []
    for i, run in enumerate(runs):
        parents.append(next((j for j in reversed(range(i)) if runs[j].name == run.init), None))
    return parents


def chain_of(runs: tuple[Run, ...], i: int) -> list[int]:
    """The run and those it came from, the oldest first."""
    parents, chain = parents_of(runs), [i]
    while (parent := parents[chain[0]]) is not None:
        chain.insert(0, parent)
    return chain


def families_of(runs: tuple[Run, ...]) -> list[int]:
    """Runs that go back to the same run have the same number, hence the same colour."""
    oldest = [chain_of(runs, i)[0] for i in range(len(runs))]
    numbers = {i: number for number, i in enumerate(dict.fromkeys(oldest))}
    return [numbers[i] for i in oldest]


def dashes_of(runs: tuple[Run, ...]) -> list[str]:
    families, dashes, seen = families_of(runs), [], dict.fromkeys(families_of(runs), 0)
    for run, family in zip(runs, families):
        later = run.stage == STAGES[1]
        dashes.append(DASHES[1 + seen[family] % (len(DASHES) - 1)] if later else DASHES[0])
        seen[family] += later
    return dashes


def start_of(runs: tuple[Run, ...], i: int, unit: str) -> float:
    """Minutes or tokens that went before a run's first. 0 too for a curve that counts on from its init by itself,
    which shows in steps beyond the run's own."""
    curve = runs[i].curve
    if curve and curve[-1].step > runs[i].steps:
        return 0.0
    return sum(getattr(runs[j], unit) for j in chain_of(runs, i)[:-1])


def series_of(runs: tuple[Run, ...], key: str, unit: str, label: str = "{}", hollow: bool = False) -> list[Series]:
    """The runs' curves of one figure, those without a point left out.

    The loss of random weights is left out of a longer curve: it is ln(vocabulary) whatever the model, and so high that
    everything after it would be drawn at the bottom.
    """
    found = []
    for i, (run, family, dash) in enumerate(zip(runs, families_of(runs), dashes_of(runs))):
        start = start_of(runs, i, unit)
        points = [point for point in run.curve if getattr(point, key) is not None]
        if key == "mlm_loss" and run.init is None and len(points) > 1 and points[0].step == 0:
            points = points[1:]
        if points:
            found.append(Series(label.format(run.name), family, dash, hollow,
                                [(start + getattr(point, unit), getattr(point, key)) for point in points],
                                [note_of(label.format(run.name), point, key) for point in points]))
    return found


def note_of(name: str, point: Point, key: str) -> str:
    more = f", accuracy {point.mlm_acc:.3f}" if key == "mlm_loss" else ""
    return (f"{name}: {getattr(point, key):.3f}{more} at step {point.step:,.0f}, {point.minutes:,.1f} min, "
            f"{quantity(point.tokens)} tokens")


def curves(results: Results) -> str:
    """Both charts with their legends, or a line that says that there is nothing to draw."""
    unit = "minutes" if results.equal_by == "time" else "tokens"
    loss = series_of(results.runs, "mlm_loss", unit)
    auc = sorted([*series_of(results.runs, "rtd_auc", unit, "{}: own"),
                  *series_of(results.runs, "rtd_auc_unigram", unit, "{}: unigram", hollow=True)],
                 key=lambda series: series.family)
    parts = []
    if loss:
        parts.append(captioned("Held-out MLM loss", chart("Held-out MLM loss", loss, unit, "MLM loss, nats"), loss,
                               "Masked-LM loss on held-out text, without that of untrained weights. An ELECTRA’s is "
                               "that of its generator, a smaller network: compare it with other ELECTRAs, not with "
                               "BERT."))
    if auc:
        parts.append(captioned("Held-out replaced-token AUC", chart("Held-out AUC", auc, unit, "ROC AUC", 0.5), auc,
                               "Does the discriminator rank replaced tokens above original ones? “Own”: replaced by "
                               "its own generator, and harder the better that becomes. “Unigram”: drawn by frequency, "
                               "the same task for every run."))
    if not parts:
        return "<p>No held-out figures were written while these runs trained.</p>"
    note = ('<p class="note">Post-pre-training is dashed and begins where the run that it started from ended; the text '
            "held out may be another one there.</p>") if any(run.stage == STAGES[1] for run in results.runs) else ""
    return f'<div class="charts">\n{chr(10).join(parts)}\n</div>\n{note}'


def captioned(title: str, drawing: str, series: list[Series], caption: str) -> str:
    keys = "".join(f"<li>{swatch(one)} {isolated(one.label)}</li>" for one in series)
    return (f'<figure><h3>{title}</h3>\n<div class="scroll">\n{drawing}\n</div>\n<ul class="legend">{keys}</ul>\n'
            f"<figcaption>{caption}</figcaption></figure>")


def swatch(series: Series) -> str:
    return (f'<svg class="swatch {colour(series.family)}" aria-hidden="true" viewBox="0 0 34 10">'
            f'{line_of([(1, 5), (33, 5)], series)}{marker(17, 5, series)}</svg>')


def line_of(points: list[tuple[float, float]], series: Series) -> str:
    dash = f' stroke-dasharray="{series.dash}"' if series.dash else ""
    thin = " thin" if series.hollow else ""
    return f'<polyline class="line{thin}"{dash} points="{" ".join(f"{x:.1f},{y:.1f}" for x, y in points)}"/>'


def marker(x: float, y: float, series: Series, note: str = "") -> str:
    title = f"<title>{escaped(note)}</title>" if note else ""
    return f'<circle class="{"open" if series.hollow else "dot"}" cx="{x:.1f}" cy="{y:.1f}" r="3">{title}</circle>'


def chart(title: str, series: list[Series], unit: str, y_label: str, base: float | None = None) -> str:
    """Curves over minutes or tokens. `base`: a value that means nothing was learned, drawn as a line of its own."""
    xs, ys = ([point[axis] for one in series for point in one.points] for axis in (0, 1))
    if unit == "minutes":
        per, x_label = 1.0, "minutes of pre-training"
    else:
        per, word = next(((size, word) for size, word in ((1e9, "billions of "), (1e6, "millions of "),
                                                          (1e3, "thousands of ")) if max(xs) >= size), (1.0, ""))
        x_label = f"{word}tokens of pre-training"
    x_ticks = ticks(0, max(xs) / per)
    ys += [] if base is None else [base]
    y_ticks = ticks(min(ys), max(ys))
    # The last point is near the edge: an axis up to the next round number would waste a sixth of the width.
    end = max(max(xs) / per * 1.02, x_ticks[1])
    x_ticks = [value for value in x_ticks if value <= end]
    x, y = scale([0, end], LEFT, RIGHT), scale(y_ticks, BOTTOM, TOP)
    parts = axes(x, x_ticks, x_label, y, y_ticks, y_label)
    lines = [[(x(a / per), y(b)) for a, b in one.points] for one in series]
    taken = []
    if base is not None:
        parts.append(f'<line class="rule" x1="{LEFT}" x2="{RIGHT}" y1="{y(base):.1f}" y2="{y(base):.1f}"/>'
                     f'<text class="tick" x="{RIGHT}" y="{y(base) - 5:.1f}" text-anchor="end">chance</text>')
        taken.append((RIGHT - 50.0, y(base) - 18, float(RIGHT), y(base)))
    for one, line in zip(series, lines):
        # With many points the markers would hide the line.
        marked = range(len(line)) if len(line) <= 40 else (len(line) - 1,)
        parts.append(f'<g class="{colour(one.family)}">{line_of(line, one)}'
                     f'{"".join(marker(*line[i], one, one.notes[i]) for i in marked)}</g>')
    parts += direct_labels(series, lines, taken)
    told = "; ".join(f"{one.label} from {one.points[0][1]:.3f} to {one.points[-1][1]:.3f}" for one in series)
    return (f'<svg class="chart" role="img" viewBox="0 0 {WIDTH} {HEIGHT}"><title>{title}: {escaped(told)}</title>\n'
            f'{chr(10).join(parts)}\n</svg>')


def axes(x: Callable[[float], float], x_ticks: list[float], x_label: str,
         y: Callable[[float], float], y_ticks: list[float], y_label: str) -> list[str]:
    """Ticks, lines of the grid and what is measured; x and y turn values into pixels."""
    parts = [f'<line class="grid" x1="{LEFT}" x2="{RIGHT}" y1="{y(value):.1f}" y2="{y(value):.1f}"/>'
             f'<text class="tick" x="{LEFT - 7}" y="{y(value) + 4:.1f}" text-anchor="end">{label}</text>'
             for value, label in zip(y_ticks, tick_labels(y_ticks))]
    parts += [f'<line class="axis" x1="{x(value):.1f}" x2="{x(value):.1f}" y1="{BOTTOM}" y2="{BOTTOM + 4}"/>'
              f'<text class="tick" x="{x(value):.1f}" y="{BOTTOM + 18}" text-anchor="middle">{label}</text>'
              for value, label in zip(x_ticks, tick_labels(x_ticks))]
    middle = (TOP + BOTTOM) / 2
    return [*parts, f'<line class="axis" x1="{LEFT}" x2="{RIGHT}" y1="{BOTTOM}" y2="{BOTTOM}"/>',
            f'<text class="tick" x="{(LEFT + RIGHT) / 2}" y="{BOTTOM + 38}" text-anchor="middle">{x_label}</text>',
            f'<text class="tick" transform="translate(13 {middle}) rotate(-90)" text-anchor="middle">{y_label}</text>']


Box = tuple[float, float, float, float]   # left, top, right, bottom


def direct_labels(series: list[Series], lines: list[list[tuple[float, float]]], taken: list[Box]) -> list[str]:
    """Names beside the curves, each as near to its end as there is room; one without room is in the legend only."""
    found = []
    for one, line in zip(series, lines):
        name = clipped(one.label, 40)
        for gap in (7, 16):
            # Further from the others' lines than from its own: otherwise one would read it as another's.
            ink = [(*point, 4 if other is line else gap + 5) for other in lines for point in dotted(other)]
            places = boxes_beside(line, 7.4 * len(name), gap)   # 7.4: pixels of a letter in the widest usual font
            if box := next((box for box in places if room(box, ink, taken)), None):
                taken.append(box)
                found.append(f'<text class="direct {colour(one.family)}" x="{(box[0] + box[2]) / 2:.1f}" '
                             f'y="{box[3] - 3:.1f}" text-anchor="middle">{escaped(name)}</text>')
                break
    return found


def boxes_beside(line: list[tuple[float, float]], width: float, gap: float) -> Iterator[Box]:
    """Boxes of 15 pixels' height above and below a line, from its end to its start."""
    for x, y in reversed(dotted(line)):
        left = min(max(x - width / 2, LEFT + 4), RIGHT - width)
        for top in (y - gap - 15, y + gap):
            yield left, top, left + width, top + 15


def dotted(line: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """Points at most 6 pixels apart along a line."""
    found = line[:1]
    for (ax, ay), (bx, by) in zip(line, line[1:]):
        n = max(1, math.ceil(math.hypot(bx - ax, by - ay) / 6))
        found += [(ax + (bx - ax) * i / n, ay + (by - ay) * i / n) for i in range(1, n + 1)]
    return found


def room(box: Box, ink: list[tuple[float, float, float]], taken: list[Box]) -> bool:
    """Whether a box lies inside the axes, on no other box, and away from every point (x, y, distance) of the lines."""
    left, top, right, bottom = box
    return (left >= LEFT and top >= TOP and right <= RIGHT and bottom <= BOTTOM
            and not any(left - far < x < right + far and top - far < y < bottom + far for x, y, far in ink)
            and not any(left < b[2] and b[0] < right and top < b[3] and b[1] < bottom for b in taken))


# ---------------------------------------------------------------- cost

def cost_table(results: Results) -> str:
    lines = "\n".join(
        f'<tr><th scope="row">{isolated(run.name)}</th><td class="word">{OBJECTIVES[run.objective]}</td>'
        f'<td class="word">{run.stage}</td><td class="word">{isolated(run.init) if run.init else "random weights"}</td>'
        f"<td>{run.minutes:,.1f}</td><td>{run.steps:,.0f}</td><td>{quantity(run.tokens)}</td>"
        f"<td>{run.tokens_per_s:,.0f}</td><td>{NONE if run.flops is None else power_of_ten(run.flops)}</td></tr>"
        for run in results.runs)
    return scrolling("Cost", f"""<table>
<caption><span>What each run cost by itself, without the run that it started from. FLOPs: floating-point
operations.</span></caption>
<thead><tr><th scope="col">run</th><th scope="col" class="word">objective</th><th scope="col" class="word">stage</th>
<th scope="col" class="word">started from</th><th scope="col">minutes</th><th scope="col">steps</th>
<th scope="col">tokens</th><th scope="col">tokens/s</th><th scope="col">FLOPs</th></tr></thead>
<tbody>
{lines}
</tbody></table>""")


def power_of_ten(n: float) -> str:
    if n < 1e4:
        return f"{n:,.0f}"
    digits, power = f"{n:.2e}".split("e")
    return f"{digits} × 10<sup>{int(power)}</sup>"


# ---------------------------------------------------------------- the replaced-token view

def replaced_view(results: Results) -> str:
    """The texts model by model, before them what the marks mean."""
    models: dict[str, list[Sentence]] = {}
    for sentence in results.sentences:
        models.setdefault(sentence.model, []).append(sentence)
    parts = [token_legend()]
    for model, sentences in models.items():
        tokens = [token for sentence in sentences for token in sentence.tokens]
        wrong = [token.p > SUSPICIOUS for token in tokens if token.replaced]
        right = [token.p > SUSPICIOUS for token in tokens if not token.replaced]
        parts.append(f"<h3>{isolated(model)}</h3>\n"
                     f"<p>{len(wrong):,} of {several(len(tokens), 'token')} were replaced. The discriminator gives "
                     f"{sum(wrong):,} of them, and {sum(right):,} of the {len(right):,} others, more than "
                     f"{SUSPICIOUS:g}.</p>")
        # dir: the first strong letter decides, so that a text in Hebrew runs from the right.
        parts += [f'<p class="tokens" dir="auto">{"".join(map(token_span, sentence.tokens))}</p>'
                  for sentence in sentences]
    return "\n".join(parts)


def token_span(token: Token) -> str:
    """A token on its shade: bold if suspicious, underlined if replaced, with the original below it."""
    shown, original = (escaped(text if text.strip() else "␣") for text in (token.shown, token.original))
    told = f"probability of being replaced: {token.p:.2f}"
    text = f"<b>{shown}</b>" if token.p > SUSPICIOUS else shown
    if token.replaced:
        text = f"<ruby><u>{text}</u><rp> (</rp><rt>{original}</rt><rp>)</rp></ruby>"
        told += f"; replaced, the original is “{original}”"
    elif token.masked:
        text = f'<span class="guessed">{text}</span>'
        told += "; masked, and the generator put the original back"
    shade = min(BINS - 1, int(token.p * BINS))
    return f'{" " if token.space else ""}<span class="h{shade}" title="{told}">{text}</span>'


def token_legend() -> str:
    shades = "".join(f'<span class="h{i}"></span>' for i in range(BINS))
    return ('<p class="token-legend">Probability of being replaced, says the discriminator: <span class="ramp">0 '
            f"<span>{shades}</span> 1</span>, <b>bold</b> above {SUSPICIOUS:g}. "
            '<ruby><u>Underlined</u><rp> (</rp><rt>original</rt><rp>)</rp></ruby>: replaced, with the original below. '
            '<span class="guessed">Dotted</span>: masked, but the generator put the original back.</p>')


# ---------------------------------------------------------------- commands

def commands(results: Results) -> str:
    """For every row the pre-training it came from, the oldest first, and its fine-tuning; then runs without a row."""
    positions = {run.name: i for i, run in reversed(list(enumerate(results.runs)))}
    used: set[int] = set()
    parts = []
    for row in in_order(results):
        items = []
        for i in chain_of(results.runs, positions[row.name]) if row.name in positions else ():
            used.add(i)
            items.append((f"{results.runs[i].stage}, {results.runs[i].minutes:,.1f} minutes", results.runs[i].command))
        items += [(f"{TASKS.get(task, task)}, {scores.seconds:,.0f} s", scores.command)
                  for task, scores in row.scores.items()]
        parts.append(command_list(row.name, items))
    parts += [command_list(run.name, [(f"{run.stage}, {run.minutes:,.1f} minutes", run.command)])
              for i, run in enumerate(results.runs) if i not in used]
    return "\n".join(parts)


def command_list(name: str, items: list[tuple[str, str]]) -> str:
    lines = "".join(f"<dt>{isolated(what)}</dt><dd><pre>{escaped(command) or NONE}</pre></dd>\n"
                    for what, command in items)
    return f"<h3>{isolated(name)}</h3>\n" + (f"<dl>\n{lines}</dl>" if items else "")


# ---------------------------------------------------------------- the page

def page_of(results: Results) -> str:
    parts = [f"<h1>{isolated(results.title)}</h1>", f'<p class="lead">{summary(results)}</p>', about(results),
             "<h2>Scores</h2>"]
    if any(columns_of(results).values()):
        parts.append(score_table(results))
        for task, columns in columns_of(results).items():
            if columns:
                parts.append(f"<h3>{isolated(TASKS.get(task, task))}: every seed</h3>\n"
                             f'<div class="strips">\n{strips(results, task, columns)}\n</div>')
        parts.append('<p class="note">A dot is one seed; the tick, with its number at the right, is the mean. The dev '
                     "and test scores of a task share one axis.</p>")
    else:
        parts.append("<p>No scores yet.</p>")
    if results.runs:
        parts += ["<h2>Pre-training</h2>", curves(results), "<h2>Cost</h2>", cost_table(results)]
    if results.sentences:
        parts += ["<h2>Replaced tokens</h2>", replaced_view(results)]
    if results.rows or results.runs:
        parts.append(f"<h2>Commands</h2>\n<details><summary>The commands that made each row</summary>\n"
                     f"{commands(results)}\n</details>")
    body = "\n\n".join(parts)
    # The policy makes the browser itself refuse whatever would be fetched or run.
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{escaped(results.title)}</title>
<style>{STYLE}</style>
</head>
<body>
<main>
{body}
</main>
</body>
</html>
"""


def summary(results: Results) -> str:
    """Who has the highest mean on each task, in its last column, and how high the reference lines are."""
    models = sum(not row.reference for row in results.rows)
    found = []
    for task, parts in columns_of(results).items():
        figures = [(figure, row) for row in results.rows if parts and (figure := figure_of(row, task, parts[-1]))]
        own = [(figure.mean, row.name) for figure, row in figures if not row.reference]
        reference = [figure.mean for figure, row in figures if row.reference]
        if own:
            mean, name = max(own, key=lambda item: item[0])
            more = f"; reference lines up to {max(reference):.2f}%" if reference else ""
            where = f"{isolated(TASKS.get(task, task))} {PARTS[parts[-1]]}"
            found.append(f"{mean:.2f}% on {where} ({isolated(name)}{more})")
    start = f"{several(models, 'model')}, {several(len(results.rows) - models, 'reference line')}."
    return f"{start} Highest mean of the models: {', '.join(found)}." if found else start


def about(results: Results) -> str:
    items = (("Compute", isolated(results.equal_text)), ("Machine", isolated(results.machine)),
             ("Date", isolated(results.date)), ("Command", f"<code>{escaped(results.command)}</code>"))
    return '<dl class="about">\n' + "\n".join(f"<dt>{name}</dt><dd>{value}</dd>" for name, value in items) + "\n</dl>"


# Colours: after Okabe and Ito, which stay apart for colour-blind readers, a little darker on white so that the names
# beside the curves are legible. Shades of the tokens: one hue that only gets darker (or, on black, lighter), so they
# keep their order in grey too, and the text keeps a contrast of 4.5 on each.
STYLE = """
:root { color-scheme: light dark; --ink: #1b1d20; --muted: #5b626a; --rule: #9aa1a9; --grid: #e3e6e9; --paper: #fff;
  --panel: #f6f7f8; --heat: 240 150 20; --c0: #0072b2; --c1: #c04f00; --c2: #00795a; --c3: #a8488a; --c4: #806600;
  --c5: #5d4bb5; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e8ea; --muted: #a2aab2; --rule: #6b737b; --grid: #2c3136;
  --paper: #15181b; --panel: #1e2226; --heat: 156 81 0; --c0: #62b6ea; --c1: #ff9d5c; --c2: #45cf9f; --c3: #e69ac8;
  --c4: #dcc032; --c5: #b3a6f5; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink); font: 1rem/1.5 system-ui, sans-serif; }
main { max-width: 70rem; margin: 0 auto; padding: 2rem 1rem 4rem; }
h1 { font-size: 1.7rem; line-height: 1.2; margin: 0 0 .5rem; overflow-wrap: anywhere; text-wrap: balance; }
h2 { font-size: 1.25rem; margin: 2.75rem 0 .75rem; padding-top: .5rem; border-top: 1px solid var(--grid); }
h3 { font-size: 1rem; margin: 1.5rem 0 .5rem; overflow-wrap: anywhere; }
p { margin: .5rem 0; max-width: 50rem; overflow-wrap: anywhere; }
.lead { font-size: 1.1rem; }
.note, caption, figcaption, .about { color: var(--muted); font-size: .875rem; line-height: 1.45; }
.about { display: grid; grid-template-columns: max-content minmax(0, 1fr); gap: .15rem 1rem; margin: 1rem 0; }
.about dd { margin: 0; overflow-wrap: anywhere; }
code, pre { font: .8125rem/1.5 ui-monospace, Menlo, Consolas, monospace; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: .875rem; min-width: 100%;
  border-bottom: 1.5px solid var(--ink); }
caption { text-align: left; caption-side: bottom; padding-top: .6rem; }
caption span { display: block; position: sticky; left: 0; max-width: min(50rem, 100vw - 2rem); }
th, td { padding: .3rem .55rem; text-align: right; white-space: nowrap; font-weight: normal; }
thead th { vertical-align: bottom; font-size: .8125rem; color: var(--muted); }
thead tr:first-child th { border-top: 1.5px solid var(--ink); }
thead tr:last-child th, thead th[rowspan] { border-bottom: 1px solid var(--rule); }
th[scope=colgroup] { text-align: center; color: var(--ink); border-bottom: 1px solid var(--rule); }
th[scope=row], thead th:first-child, .word { text-align: left; }
thead tr + tr th:first-child { text-align: right; }
th[scope=row], thead tr:first-child th:first-child { position: sticky; left: 0; background: var(--paper);
  padding-left: 0; }
td:last-child, tr th:last-child { padding-right: 0; }
th[scope=row] { white-space: normal; min-width: 12rem; }
@media (max-width: 40rem) { th[scope=row] { min-width: 7.5rem; }
  th[scope=colgroup] { text-align: left; } }
.count { color: var(--muted); }
.references { border-top: 1px solid var(--rule); }
.references th, .references td { font-style: italic; color: var(--muted); }
sup { line-height: 0; }
svg { display: block; font-family: inherit; }
.strips { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(20rem, 100%), 1fr)); gap: .5rem 1.25rem; }
.strip { width: 100%; max-width: 25rem; }
.charts { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(28rem, 100%), 1fr)); gap: 1rem 2rem; }
figure { margin: 0; min-width: 0; }
.chart { width: 100%; min-width: 21rem; max-width: 31rem; }
text { font-size: 13px; fill: var(--ink); }
.strip text { font-size: 12px; paint-order: stroke; stroke: var(--paper); stroke-width: 3px; }
svg .tick { fill: var(--muted); }
svg .strong { font-weight: 600; font-size: 13px; }
svg .reference { fill: var(--muted); font-style: italic; }
svg .direct { fill: var(--c); }
.grid { stroke: var(--grid); }
.axis, .rule { stroke: var(--rule); }
.track { stroke: var(--rule); stroke-opacity: .5; }
.rule { stroke-dasharray: 3 3; }
.line { fill: none; stroke: var(--c); stroke-width: 2; stroke-linejoin: round; }
.thin { stroke-width: 1.25; }
.dot { fill: var(--c); }
.seed { fill: var(--c); fill-opacity: .55; }
.open { fill: var(--paper); stroke: var(--c); stroke-width: 1.25; }
.mean { stroke: var(--c); stroke-width: 2.5; }
.c0 { --c: var(--c0); } .c1 { --c: var(--c1); } .c2 { --c: var(--c2); } .c3 { --c: var(--c3); } .c4 { --c: var(--c4); }
.c5 { --c: var(--c5); } .cx { --c: var(--muted); }
.legend { display: flex; flex-wrap: wrap; gap: .1rem 1.25rem; list-style: none; margin: .25rem 0; padding: 0;
  font-size: .875rem; }
.swatch { display: inline-block; width: 34px; height: 10px; }
.tokens { line-height: 2.5; max-width: none; margin: .25rem 0; padding: .4rem .9rem .8rem; background: var(--panel);
  overflow-x: auto; }
.tokens > span { padding: .1em .12em; border-radius: 2px; white-space: nowrap; }
ruby { ruby-position: under; white-space: nowrap; }
rt { font-size: .75em; font-style: italic; font-weight: normal; color: var(--muted); }
u { text-decoration: underline 2px; text-underline-offset: 2px; text-decoration-skip-ink: none; }
.guessed { text-decoration: underline dotted; text-underline-offset: 3px; }
.token-legend { line-height: 2; }
.ramp { white-space: nowrap; }
.ramp > span { display: inline-flex; border: 1px solid var(--rule); vertical-align: -.15em; }
.ramp > span > span { width: 1.1em; height: 1em; }
""" + " ".join(f".h{i} {{ background: rgb(var(--heat) / {i / (BINS - 1):.2f}); }}" for i in range(BINS)) + """
details summary { cursor: pointer; }
dl { margin: .25rem 0; }
dt { color: var(--muted); font-size: .875rem; }
dd { margin: 0 0 .5rem; }
pre { margin: .1rem 0; padding: .5rem .75rem; background: var(--panel); white-space: pre-wrap;
  overflow-wrap: anywhere; }
"""


if __name__ == "__main__":
    sys.exit(main())
