"""`finetune.py --task glue`: runs the tasks found, writes a table and a submission, and resumes."""

import json
import zipfile
from pathlib import Path

import pytest
from conftest import exit_code

import finetune as program
from electra.evaluation import glue
from electra.tasks.known_tasks import GLUE

ROOT = Path(__file__).resolve().parent.parent
TEST_ROWS = {"cola": 7, "stsb": 5, "mnli": 6, "rte": 3}


def lines(path, *rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join("\t".join(map(str, row)) + "\n" for row in rows), encoding="utf-8")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A GLUE folder with CoLA, STS-B, MNLI with the diagnostic set, and RTE, a few lines each."""
    root = tmp_path_factory.mktemp("glue")
    word = lambda i: ("river", "mountain", "village", "harbour", "garden")[i % 5]
    cola = lambda n: [
        ("src", i % 3 and 1, "", f"The {word(i)} is {word(i + 1)} near {i}.") for i in range(n)
    ]
    lines(root / "CoLA/train.tsv", *cola(24))
    lines(root / "CoLA/dev.tsv", *cola(12))
    lines(
        root / "CoLA/test.tsv",
        ("index", "sentence"),
        *((i, f"A {word(i)}.") for i in range(TEST_ROWS["cola"])),
    )

    header = (
        "index",
        "genre",
        "filename",
        "year",
        "old_index",
        "source1",
        "source2",
        "sentence1",
        "sentence2",
    )
    sts = lambda n: [
        (i, "g", "f", 2012, i, "", "", f"A {word(i)}.", f"One {word(i + i % 2)}.") for i in range(n)
    ]
    for name, count in (("train", 20), ("dev", 10)):
        lines(
            root / f"STS-B/{name}.tsv",
            (*header, "score"),
            *((*row, f"{5.0 - 2.5 * (row[0] % 3):.3f}") for row in sts(count)),
        )
    lines(root / "STS-B/test.tsv", header, *sts(TEST_ROWS["stsb"]))

    words = ("contradiction", "entailment", "neutral")
    mnli = lambda n: [
        (i, "", "", "", "", "", "", "", f"The {word(i)} stands.", f"It is a {word(i + 1)}.")
        for i in range(n)
    ]
    header = (
        "index",
        "promptID",
        "pairID",
        "genre",
        "sentence1_binary_parse",
        "sentence2_binary_parse",
        "sentence1_parse",
        "sentence2_parse",
        "sentence1",
        "sentence2",
    )
    lines(
        root / "MNLI/train.tsv",
        (*header, "label1", "gold_label"),
        *((*r, words[r[0] % 3], words[r[0] % 3]) for r in mnli(24)),
    )
    for name in ("dev_matched", "dev_mismatched"):
        lines(
            root / f"MNLI/{name}.tsv",
            (*header, "label1", "label2", "label3", "label4", "label5", "gold_label"),
            *((*r, *["x"] * 5, words[r[0] % 3]) for r in mnli(9)),
        )
    for name in ("test_matched", "test_mismatched"):
        lines(root / f"MNLI/{name}.tsv", header, *mnli(TEST_ROWS["mnli"]))
    lines(
        root / "AX/diagnostic.tsv",
        ("index", "sentence1", "sentence2"),
        *((i, "A b.", f"C {i}.") for i in range(4)),
    )

    rte = lambda n: [(i, f"The {word(i)} is old.", f"A {word(i)}.") for i in range(n)]
    for name, count in (("train", 20), ("dev", 10)):
        lines(
            root / f"RTE/{name}.tsv",
            ("index", "sentence1", "sentence2", "label"),
            *((*r, "entailment" if r[0] % 2 else "not_entailment") for r in rte(count)),
        )
    lines(root / "RTE/test.tsv", ("index", "sentence1", "sentence2"), *rte(TEST_ROWS["rte"]))
    return root


@pytest.fixture(scope="module")
def start(pretrained):
    return pretrained() / "ckpt.pt"


def finetune(*arguments):
    return exit_code(program.main, arguments)


def flags(data, start, out, *more):
    return (
        "--task",
        "glue",
        "--data",
        data,
        "--init",
        start,
        "--out",
        out,
        "--epochs",
        1,
        "--max-len",
        32,
        "--cache",
        out.parent / "cache",
        *more,
    )


@pytest.fixture(scope="module")
def done(data, start, tmp_path_factory):
    """A complete run with two seeds and every option."""
    out = tmp_path_factory.mktemp("glue-run") / "out"
    with pytest.MonkeyPatch.context() as patch:
        # The files that the server expects, with as many rows as the test sets here have.
        rows = {
            ("cola", "test"): 7,
            ("stsb", "test"): 5,
            ("mnli", "test"): 6,
            ("mnli", "test_mismatched"): 6,
            ("mnli", "ax"): 4,
            ("rte", "test"): 3,
        }
        patch.setattr(
            glue, "FILES", tuple(f._replace(rows=rows.get((f.task, f.set), 9)) for f in glue.FILES)
        )
        assert (
            finetune(
                *flags(
                    data,
                    start,
                    out,
                    "--seeds",
                    "1,2",
                    "--intermediate",
                    "mnli",
                    "--submission",
                    "--references",
                    "--report",
                )
            )
            == 0
        )
    return out


def result(out, task):
    return json.loads((out / task / "result.json").read_text())


def test_every_task_with_data_is_run_and_in_the_table(done):
    rows = json.loads((done / "glue.json").read_text())["rows"]
    assert [row["task"] for row in rows] == ["cola", "stsb", "mnli", "rte"]
    for row in rows:
        scores = [100 * seed["dev"] for seed in result(done, row["task"])["seeds"]]
        assert len(scores) == row["seeds"] == 2
        assert row["mean"] == pytest.approx(sum(scores) / 2) and row["best"] == max(scores)
        assert row["sd"] == pytest.approx(abs(scores[0] - scores[1]) / 2**0.5)
    assert {row["task"]: row["metric"] for row in rows} == {
        "cola": "matthews",
        "stsb": "spearman",
        "mnli": "accuracy",
        "rte": "accuracy",
    }
    assert set(rows[2]["further"]) == {"dev_mismatched accuracy"} and set(rows[1]["further"]) == {
        "pearson"
    }
    table = (done / "glue.md").read_text()
    assert "no GLUE average: 4 of 9 tasks have data" in table
    assert table.splitlines()[0].split(" | ")[-2:] == [
        "ELECTRA-Small, released",
        "ELECTRA-Small-OWT |",
    ]
    assert len({line.count("|") for line in table.splitlines()}) == 1


def test_the_average_is_over_the_eight_tasks_of_the_paper():
    for scores in glue.REFERENCES.values():
        assert glue.average(scores) == pytest.approx(sum(scores.values()) / 8)
    assert glue.average(glue.REFERENCES["ELECTRA-Small-OWT"]) == pytest.approx(80.4, abs=0.05)
    assert glue.average({"cola": 50.0}) is None


def test_some_start_from_the_model_of_mnli(done, start):
    init = {
        task: result(done, task)["settings"]["init"] for task in ("cola", "stsb", "mnli", "rte")
    }
    assert init["cola"] == init["mnli"] == str(start)
    assert init["rte"] == init["stsb"] == str(done / "mnli" / "ckpt.pt")


def test_both_orders_of_a_pair_are_learned_from(done):
    assert result(done, "stsb")["train_examples"] == 20  # rows of the file; an epoch has each twice


def test_regression_keeps_its_own_unit(done):
    found = result(done, "stsb")
    assert found["regression"] and found["labels"] == [] and found["confusion"] is None
    table = [
        line.split("\t")
        for line in (done / "stsb" / "dev_predictions.tsv").read_text().splitlines()
    ]
    assert table[0] == ["index", "gold", "seed 1", "seed 2"]
    gold, predicted = ([float(row[column]) for row in table[1:]] for column in (1, 2))
    assert gold == [5.0, 2.5, 0.0] * 3 + [5.0]
    assert found["seeds"][0]["loss"] == pytest.approx(
        sum((g - p) ** 2 for g, p in zip(gold, predicted)) / 10, rel=1e-3
    )


def test_the_submission_has_the_server_s_files(done):
    folder = done / "submission"
    assert {path.name for path in folder.iterdir()} == {
        f"{name}.tsv"
        for name in (
            "CoLA",
            "SST-2",
            "MRPC",
            "STS-B",
            "QQP",
            "MNLI-m",
            "MNLI-mm",
            "QNLI",
            "RTE",
            "WNLI",
            "AX",
        )
    }
    read = lambda name: [
        line.split("\t") for line in (folder / f"{name}.tsv").read_text().splitlines()
    ]
    for name, rows in (
        ("CoLA", 7),
        ("STS-B", 5),
        ("MNLI-m", 6),
        ("MNLI-mm", 6),
        ("AX", 4),
        ("RTE", 3),
        ("QQP", 9),
    ):
        table = read(name)
        assert table[0] == ["index", "prediction"] and [row[0] for row in table[1:]] == [
            str(i) for i in range(rows)
        ]
    answers = lambda name: {row[1] for row in read(name)[1:]}
    assert answers("CoLA") <= {"0", "1"} and answers("RTE") <= {"entailment", "not_entailment"}
    assert answers("MNLI-m") | answers("AX") <= {"contradiction", "entailment", "neutral"}
    assert answers("QQP") == {"0"} and answers("SST-2") == {"1"}  # no data: the majority class
    assert all(0 <= float(answer) <= 5 and len(answer) == 5 for answer in answers("STS-B"))
    best = result(done, "cola")["best_seed"]
    column = [
        line.split("\t")[1 + best]
        for line in (done / "cola" / "test_predictions.tsv").read_text().splitlines()[1:]
    ]
    words = dict(zip(result(done, "cola")["labels"], ("0", "1")))
    assert [row[1] for row in read("CoLA")[1:]] == [words[label] for label in column]
    with zipfile.ZipFile(done / "submission.zip") as archive:
        assert {name: archive.read(name) for name in archive.namelist()} == {
            path.name: path.read_bytes() for path in folder.iterdir()
        }


def test_the_real_row_counts_are_the_server_s():
    assert {file.name: file.rows for file in glue.FILES} == {
        "CoLA": 1063,
        "SST-2": 1821,
        "MRPC": 1725,
        "STS-B": 1379,
        "QQP": 390965,
        "MNLI-m": 9796,
        "MNLI-mm": 9847,
        "QNLI": 5463,
        "RTE": 3000,
        "WNLI": 146,
        "AX": 1104,
    }


def test_a_page_of_each_task_is_drawn(done):
    for task in ("cola", "stsb", "mnli", "rte"):
        assert task in (done / task / "report.html").read_text(encoding="utf-8").lower()


def test_what_is_done_is_skipped_and_the_rest_is_done_again(done, data, start, capsys):
    before = {task: (done / task / "predictions.tsv").read_bytes() for task in ("cola", "rte")}
    (done / "rte" / "result.json").unlink()  # as after an interruption
    earlier = json.loads((done / "cola" / "result.json").read_text())
    for name in ("unlabelled", "unlabelled_share", "rounds", "batch_rows"):
        del earlier["settings"][name]  # as an earlier version left it
    (done / "cola" / "result.json").write_text(json.dumps(earlier))
    assert finetune(*flags(data, start, done, "--seeds", "1,2", "--intermediate", "mnli")) == 0
    said = capsys.readouterr().out
    assert said.count("done before") == 3 and "rte: 20 to learn from" in said
    assert {task: (done / task / "predictions.tsv").read_bytes() for task in before} == before


def test_other_settings_are_not_taken_for_the_same_run(done, data, start, capsys):
    assert finetune(*flags(data, start, done, "--seeds", "3", "--intermediate", "mnli")) == 2
    error = capsys.readouterr().err
    assert "made with another --seeds" in error and error.count("\n") == 1


@pytest.mark.parametrize(
    "more, match",
    (
        (("--submission",), "has 9,796 rows to predict"),
        (("--intermediate", "mnli", "--data", "EMPTY"), "training data of no task"),
        (("--data", "nowhere"), "nowhere: no such folder"),
        (("--task", "rte", "--submission"), "--submission is for --task glue"),
        (("--task", "rte", "--references"), "--references is for --task glue"),
    ),
)
def test_a_mistake_gets_one_line_and_leaves_nothing(
    more, match, data, start, tmp_path, capsys, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "EMPTY").mkdir()
    assert finetune(*flags(data, start, tmp_path / "out", *more)) == 2
    error = capsys.readouterr().err
    assert match in error and error.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_every_task_of_glue_has_a_file_to_submit():
    assert {file.task for file in glue.FILES} == set(GLUE)
