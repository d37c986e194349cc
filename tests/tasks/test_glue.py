"""GLUE's own files: what is kept of them, and the line at which reading stops."""

import math

import pytest

from electra.tasks.known_tasks import TASKS
from electra.tasks.load import load_task
from electra.tasks.task import Example
from tasks.files import MNLI, PAIR, QQP, STSB, glue, refused, table

pytestmark = pytest.mark.fast


def test_cola_has_a_header_in_its_test_set_alone_and_its_marks_are_ignored(tmp_path):
    folder = glue(
        tmp_path,
        "CoLA",
        train="src\t1\t\tThe cat slept.\nsrc\t0\t*\tThe cat sleep slept.\n",
        dev="src\t1\t \tWho sleeps?\nsrc\t0\t??\tsentence",
        test="index\tsentence\n0\tCats sleep.\n",
    )
    data = load_task("cola", folder)
    assert data.train == [
        Example("The cat slept.", None, 1),
        Example("The cat sleep slept.", None, 0),
    ]
    assert data.dev == [Example("Who sleeps?", None, 1), Example("sentence", None, 0)]
    assert data.test == [Example("Cats sleep.", None, -1)] and data.skipped == 0 and not data.more


def test_pairs_keep_unclosed_quotes_and_no_break_spaces(tmp_path):
    for name, folder, columns in (
        ("rte", "RTE", PAIR),
        ("wnli", "WNLI", PAIR),
        ("qnli", "QNLI", "index\tquestion\tsentence"),
    ):
        first, second = TASKS[name].words
        lines = f'\tlabel\n0\t"He left.\t"She" left.\t{first}\n1\t\xa0a\xa0b\t"\t{second}\n'
        data = load_task(
            name,
            glue(
                tmp_path,
                folder,
                train=columns + lines,
                dev=columns + lines,
                test=f'{columns}\n0\tx"\ty\n',
            ),
        )
        assert (
            data.train
            == data.dev
            == [Example('"He left.', '"She" left.', 0), Example("\xa0a\xa0b", '"', 1)]
        )
        assert data.test == [Example('x"', "y", -1)]


def test_an_empty_sentence_is_kept(tmp_path):
    train = QQP + "1\t2\t3\tWhy?\t\t0\n4\t5\t6\t\t\t1\n"
    data = load_task(
        "qqp",
        glue(tmp_path, "QQP", train=train, dev=train, test="id\tquestion1\tquestion2\n0\t\tWho?\n"),
    )
    assert data.train == [Example("Why?", "", 0), Example("", "", 1)] and data.test == [
        Example("", "Who?", -1)
    ]


def test_qqp_stops_at_a_broken_line_or_leaves_it_out(tmp_path):
    good = "1\t2\t3\tWhy?\tHow?\t0\n"
    folder = glue(
        tmp_path,
        "QQP",
        train=QQP + good + "4\t5\t6\tA question\n" + "that goes on\tHow?\t1\n" + good,
        dev=QQP + good + "7\t8\t9\ta\tb\tperhaps\n",
    )
    refused(r"train\.tsv:3: 4 columns where there should be 6 .*--skip-bad", "qqp", folder)
    data = load_task("qqp", folder, skip_bad=True)
    assert (data.train, data.dev, data.skipped) == (
        [Example("Why?", "How?", 0)] * 2,
        [Example("Why?", "How?", 0)],
        3,
    )


def test_sts_b_keeps_scores_in_their_own_unit(tmp_path):
    lines = (
        "\tscore\n0\tg\tf\t2012\t0\tn\tn\tA cat.\tA dog.\t3.800\n"
        "1\tg\tf\t2012\t1\tn\tn\tA.\tA.\t5.000\n"
    )
    data = load_task(
        "stsb",
        glue(
            tmp_path,
            "STS-B",
            train=STSB + lines,
            dev=STSB + lines,
            test=STSB + "\n0\tg\tf\t2012\t0\tn\tn\tA.\tB.\n",
        ),
    )
    assert data.train == data.dev == [Example("A cat.", "A dog.", 3.8), Example("A.", "A.", 5.0)]
    assert data.labels == () and data.test[0].text_b == "B." and math.isnan(data.test[0].label)


@pytest.mark.parametrize(
    "score, match",
    [
        ("", "the label is empty"),
        ("high", "score 'high' is not a number"),
        ("nan", "score 'nan' is not a number"),
        ("inf", "is not a number"),
        ("3,8", "score '3,8'"),
        ("5.1", "score 5.1 is not from 0 to 5"),
        ("-1", "not from 0 to 5"),
    ],
)
def test_a_score_is_a_number_from_0_to_5(tmp_path, score, match):
    line = "0\tg\tf\t2012\t0\tn\tn\tA.\tB.\t"
    header = STSB + "\tscore\n"
    folder = glue(
        tmp_path, "STS-B", train=f"{header}{line}0.000\n{line}{score}\n", dev=f"{header}{line}1\n"
    )
    refused(rf"train\.tsv:3: .*{match}", "stsb", folder)
    data = load_task("stsb", folder, skip_bad=True)
    assert ([e.label for e in data.train], [e.label for e in data.dev], data.skipped) == (
        [0.0],
        [1.0],
        1,
    )


def mnli(folder, **more):
    """MNLI's folder. Before the gold label the train set has one annotator's, a dev set five."""
    line = "0\t1\t1n\tfiction\t( a )\t( b )\t(ROOT a)\t(ROOT b)\t"
    annotated = "".join(f"\tlabel{i}" for i in range(1, 6)) + "\tgold_label\n"
    votes = "\tneutral\tneutral\tneutral\tentailment\tentailment\tcontradiction\n"

    def dev(words):
        return MNLI + annotated + line + words + votes

    return glue(
        folder,
        "MNLI",
        train=f"{MNLI}\tlabel1\tgold_label\n{line} He ran. \tHe moved. \tneutral\tentailment\n",
        dev_matched=dev("a\tb"),
        **{part: dev(words) for part, words in more.items()},
    )


def test_mnli_reads_the_gold_label_and_names_its_further_sets(tmp_path):
    folder = mnli(tmp_path / "a")
    data = load_task("mnli", folder)
    assert data.train == [Example("He ran.", "He moved.", 0)] and data.dev == [Example("a", "b", 2)]
    assert (
        data.test is None
        and data.more == {}
        and data.labels == ("entailment", "neutral", "contradiction")
    )

    folder = mnli(tmp_path / "b", dev_mismatched="c\td")
    for part in ("matched", "mismatched"):
        table(folder / f"test_{part}.tsv", f"{MNLI}\n0\t1\t1n\tfiction\t.\t.\t.\t.\t{part}\tx\n")
    ax = glue(tmp_path / "b", "AX", diagnostic=f"{PAIR}\n0\tThe cat sat.\tThe cat did not sit.")
    data = load_task("mnli", folder)
    assert data.test == [Example("matched", "x", -1)]
    assert data.more == {
        "dev_mismatched": [Example("c", "d", 2)],
        "test_mismatched": [Example("mismatched", "x", -1)],
        "ax": [Example("The cat sat.", "The cat did not sit.", -1)],
    }
    (ax / "diagnostic.tsv").rename(ax / "AX.tsv")
    assert load_task("mnli", tmp_path / "b").more == data.more


def test_the_diagnostic_set_is_found_beside_the_working_folder(tmp_path, monkeypatch):
    folder = mnli(tmp_path)
    glue(tmp_path, "AX", AX=f"{PAIR}\n0\ta\tb\n")
    monkeypatch.chdir(folder)
    assert load_task("mnli", ".").more == {"ax": [Example("a", "b", -1)]}


def test_a_missing_set_is_named(tmp_path):
    lines = f"{PAIR}\tlabel\n0\ta\tb\tentailment\n"
    refused(r"RTE/train\.tsv: no such file", "rte", glue(tmp_path / "a", "RTE", dev=lines))
    refused(r"RTE/dev\.tsv: no such file", "rte", glue(tmp_path / "b", "RTE", train=lines))
    folder = mnli(tmp_path / "c")
    (folder / "dev_matched.tsv").rename(folder / "dev.tsv")
    refused(r"MNLI/dev_matched\.tsv: no such file", "mnli", folder)


def test_a_task_is_found_in_the_folder_that_holds_all_of_glue(tmp_path):
    lines = f"{PAIR}\tlabel\n0\ta\tb\tentailment\n"
    folder = glue(tmp_path, "RTE", train=lines, dev=lines)
    assert load_task("rte", tmp_path) == load_task("rte", folder)


def test_a_label_of_another_task_is_refused(tmp_path):
    lines = f"{PAIR}\tlabel\n0\ta\tb\tneutral\n"
    refused(
        r"train\.tsv:2: label 'neutral' is not one of 'entailment', 'not_entailment'",
        "rte",
        glue(tmp_path, "RTE", train=lines, dev=lines),
    )
