"""Results -> one HTML page that needs nothing else; run folders -> their curves, also as an SVG.

python scripts/report.py runs/ablation/results.json     a comparison; prints its Markdown table too
python scripts/report.py runs/sst2-tiny-en/result.json  a fine-tuning; with its predictions.tsv
python scripts/report.py runs/ablation/results.json --out page.html
python scripts/report.py runs/a runs/b                  pre-trainings: their held-out curves
python scripts/report.py runs/a runs/b --out curves.svg --by tokens     a picture of them
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from electra.cli import Parser, run_cli
from electra.files import one_line, write_atomically
from electra.report.comparison import html_report, markdown_table
from electra.report.finetuning import finetune_page, held_out_rows
from electra.report.learning_curves import curves_page, curves_picture
from electra.report.run_folders import LOG, folder_of, is_run, read_runs

PAGES, PICTURE = (".html", ".htm"), ".svg"


def main(argv: list[str] | None = None) -> int:
    """Run with a command line; returns the exit code of `run_cli`."""
    return run_cli("report.py", lambda: run(parse_args(argv)))


def parse_args(argv: list[str] | None) -> argparse.Namespace:
    assert __doc__ is not None
    parser = Parser(prog="report.py", description=__doc__.split("\n")[0], allow_abbrev=False)
    parser.add_argument(
        "results",
        type=Path,
        nargs="+",
        metavar="PATH",
        help="results.json of scripts/compare_models.py, or result.json of finetune.py, or run "
        "folders of train.py (or their metrics.jsonl), as many as one likes",
    )
    parser.add_argument(
        "--out",
        type=Path,
        metavar="FILE",
        help="the page, .html; of run folders also a picture, .svg (default: report.html beside "
        "the file, or in the first run folder)",
    )
    parser.add_argument(
        "--by",
        choices=("minutes", "tokens"),
        help="what the curves of run folders are drawn over (default: minutes)",
    )
    return parser.parse_args(argv)


def run(args: argparse.Namespace) -> None:
    """Write the page or the picture, and print the table of a comparison.

    Raises ValueError for what makes no page.
    """
    for path in args.results:
        check_path(path)  # a path that does not exist is no mixture of kinds
    runs = [path for path in args.results if is_run(path)]
    if runs and len(runs) < len(args.results):
        raise ValueError("run folders and files of results do not go together; give one kind")
    if runs:
        return run_curves(args, [folder_of(path) for path in runs])
    if len(args.results) > 1:
        raise ValueError(f"{len(args.results)} files of results: give one of them")
    if args.by:
        raise ValueError("--by is for run folders; a file of results says it itself")

    results = args.results[0]
    out = out_of(args, results.with_name("report.html"), [results], PAGES)
    page, table = draw(results)
    write_atomically(out, page.encode())
    print(f"{table}\n{one_line(out)}" if table else one_line(out))


def check_path(path: Path) -> None:
    """Raise ValueError for a path that does not exist, and for one file of a run folder."""
    try:
        path.stat()
    except OSError as problem:
        raise ValueError(f"{path}: {problem.strerror}") from None
    if path.is_file() and (path.name == "config.json" or path.suffix == ".pt"):
        is_inside = path.with_name(LOG).exists()
        folder = path.parent if is_inside else "of train.py that it belongs to"
        raise ValueError(f"{path} has no curve: give the run folder {folder}")


def run_curves(args: argparse.Namespace, folders: Sequence[Path]) -> None:
    """Write the curves of run folders, as a page or as a picture."""
    inputs = [folder / name for folder in folders for name in (LOG, "config.json")]
    out = out_of(args, folders[0] / "report.html", inputs, (*PAGES, PICTURE))
    curves = curves_picture if out.suffix.lower() == PICTURE else curves_page
    unit = args.by or "minutes"
    drawn = curves(read_runs(folders, unit), unit)
    write_atomically(out, drawn.encode())
    print(one_line(out))


def out_of(
    args: argparse.Namespace, default: Path, inputs: Sequence[Path], suffixes: Sequence[str]
) -> Path:
    """The file to write. Raises ValueError for another suffix, and for one of the inputs."""
    out = args.out or default
    if out.resolve() in [path.resolve() for path in inputs]:
        raise ValueError(f"{out}: the page would replace the results; choose another --out")
    if out.suffix.lower() not in suffixes:
        raise ValueError(f"--out {out}: the name has to end in {' or '.join(suffixes)}")
    return out


def draw(path: Path) -> tuple[str, str]:
    """(page, Markdown table); the table is empty for a fine-tuning.

    Raises ValueError naming the file.
    """
    try:
        results = json.loads(path.read_text(encoding="utf-8-sig"))
    except (
        ValueError,
        RecursionError,
    ) as problem:  # wrong UTF-8 and wrong JSON are both ValueErrors
        raise ValueError(f"{path} is not JSON: {problem}") from None
    try:
        if isinstance(results, dict) and "format" in results:
            return html_report(results), markdown_table(results)
        if isinstance(results, dict) and "best_seed" in results:
            predictions = path.with_name("predictions.tsv")
            return finetune_page(
                results, held_out_rows(predictions) if predictions.exists() else []
            ), ""
    except ValueError as problem:
        raise ValueError(f"{path}: {problem}") from None
    raise ValueError(
        f"{path} holds neither a comparison nor a fine-tuning (no format, no best_seed)"
    )


if __name__ == "__main__":
    sys.exit(main())
