"""Results -> one HTML page that needs nothing else.

python scripts/report.py runs/ablation/results.json     a comparison; prints its Markdown table too
python scripts/report.py runs/sst2-sample/result.json   a fine-tuning; with its predictions.tsv
python scripts/report.py runs/ablation/results.json --out page.html
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from electra.cli import Parser, run_cli
from electra.files import one_line, write_atomically
from electra.report.comparison import html_report, markdown_table
from electra.report.finetuning import finetune_page, held_out_rows


def main(argv: list[str] | None = None) -> int:
    """Run with a command line; returns the exit code of `run_cli`."""
    return run_cli("report.py", lambda: run(parse_args(argv)))


def parse_args(argv: list[str] | None) -> argparse.Namespace:
    assert __doc__ is not None
    parser = Parser(prog="report.py", description=__doc__.split("\n")[0], allow_abbrev=False)
    parser.add_argument(
        "results",
        type=Path,
        metavar="FILE.json",
        help="results.json of scripts/compare_models.py, or result.json of finetune.py",
    )
    parser.add_argument("--out", type=Path, help="the page (default: report.html beside the file)")
    return parser.parse_args(argv)


def run(args: argparse.Namespace) -> None:
    """Write the page and print the table. Raises ValueError for results that make no page."""
    out = args.out or args.results.with_name("report.html")
    if out.resolve() == args.results.resolve():
        raise ValueError(f"{out}: the page would replace the results; choose another --out")
    page, table = draw(args.results)
    write_atomically(out, page.encode())
    print(f"{table}\n{one_line(out)}" if table else one_line(out))


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
