"""scripts/report.py writes the page beside the results, or says in one line why it cannot."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from electra.report.comparison import html_report, markdown_table
from electra.report.finetuning import finetune_page, held_out_rows

pytestmark = pytest.mark.fast

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "scripts" / "report.py"

_spec = importlib.util.spec_from_file_location("report_program", SCRIPT)
program = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(program)


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
            p = dict.fromkeys(labels, 0.01) | {
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
    assert held_out_rows(tmp_path / "predictions.tsv") == regression[1]


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
