"""Readers on small originals: what they keep, and that they stop at the file and line of what they cannot read."""

import json
import math
import re
from collections import Counter
from pathlib import Path

import pytest

from electra.evaluation.classification import f1
from electra.tasks.load import load_task
from electra.tasks.own import load_task_file
from electra.tasks.task import (
    CLASS_METRICS,
    GLUE,
    SCORE_METRICS,
    TASKS,
    Example,
    default_folder,
    with_both_orders,
)

DATA = Path(__file__).resolve().parent.parent / "data"


def sst2(folder, train="good \t1\nbad \t0\n", dev="fine \t1\n", test=None):
    folder.mkdir(exist_ok=True)
    (folder / "train.tsv").write_text("sentence\tlabel\n" + train, encoding="utf-8", newline="")
    (folder / "dev.tsv").write_text("sentence\tlabel\n" + dev, encoding="utf-8", newline="")
    if test is not None:
        (folder / "test.tsv").write_text("index\tsentence\n" + test, encoding="utf-8", newline="")
    return folder


def imdb(folder, per_class=20):
    for split in ("train", "test"):
        for word, rating in (("pos", 9), ("neg", 2)):
            place = folder / "aclImdb" / split / word
            place.mkdir(parents=True)
            for i in range(per_class):
                (place / f"{i}_{rating}.txt").write_text(f"{split} {word} {i}", encoding="utf-8")
    return folder / "aclImdb"


def table(path, text):
    path.write_text(text, encoding="utf-8", newline="")
    return path


def refused(match, *args, **settings):
    with pytest.raises(ValueError, match=match) as caught:
        load_task(*args, **settings)
    assert "\n" not in str(caught.value)


# ---------------------------------------------------------------- the table


def test_glue_is_scored_and_trained_as_in_the_electra_paper():
    assert {name: (TASKS[name].metric, *TASKS[name].also) for name in GLUE} == {
        "cola": ("matthews",),
        "sst2": ("accuracy",),
        "mrpc": ("accuracy", "f1"),
        "stsb": ("spearman", "pearson"),
        "qqp": ("accuracy", "f1"),
        "mnli": ("accuracy",),
        "qnli": ("accuracy",),
        "rte": ("accuracy",),
        "wnli": ("accuracy",),
    }
    assert {name for name in GLUE if TASKS[name].epochs == 10} == {"rte", "stsb"}
    assert {TASKS[name].epochs for name in GLUE} == {3, 10} and {
        TASKS[name].max_len for name in GLUE
    } == {128}
    assert [name for name in TASKS if TASKS[name].both_orders] == ["mrpc", "stsb"]
    assert [(name, TASKS[name].scale) for name in TASKS if TASKS[name].regression] == [
        ("stsb", 5.0)
    ]


def test_every_row_is_whole():
    for name, task in TASKS.items():
        assert (
            task.name == name
            and len(task.labels) == len(task.words)
            and len(set(task.words)) == len(task.words)
        )
        assert {task.metric, *task.also} <= set(SCORE_METRICS if task.regression else CLASS_METRICS)
        assert bool(task.labels) != (task.regression or name == "csv")


def test_f1_counts_the_class_of_paraphrases(tmp_path):
    lines = MRPC + "1\t1\t2\tsame\tsame\n0\t3\t4\tone\tother\n"
    data = load_task("mrpc", glue(tmp_path, "MRPC", train=lines, dev=lines))
    assert [e.label for e in data.train] == [1, 0] and data.labels[1] == "equivalent"
    assert f1([1, 0], [1, 1]) == 2 / 3


def test_both_orders_double_the_pairs_and_know_no_side():
    pairs = [Example("a", "b", 1), Example("c", "d", 2.5), Example("e", "e", 0)]
    both = with_both_orders(pairs)
    assert both[:3] == pairs and len(both) == 6
    assert Counter(both) == Counter(e._replace(text_a=e.text_b, text_b=e.text_a) for e in both)


def test_the_default_folder_is_the_first_that_exists(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    places = {name: default_folder(name) for name in TASKS if name != "csv"}
    assert places == {
        "cola": "data/glue/CoLA",
        "sst2": "data/SST-2",
        "mrpc": "data/glue/MRPC",
        "stsb": "data/glue/STS-B",
        "qqp": "data/glue/QQP",
        "mnli": "data/glue/MNLI",
        "qnli": "data/glue/QNLI",
        "rte": "data/glue/RTE",
        "wnli": "data/glue/WNLI",
        "imdb": "data/aclImdb",
    }
    Path("data/glue/SST-2").mkdir(parents=True)
    assert default_folder("sst2") == "data/glue/SST-2"
    Path("data/SST-2").mkdir()
    assert default_folder("sst2") == "data/SST-2"
    for name, match in (
        ("csv", "task csv has no folder of its own"),
        ("mnist", "unknown task 'mnist'"),
    ):
        with pytest.raises(ValueError, match=match):
            default_folder(name)


# ---------------------------------------------------------------- GLUE

MRPC, MRPC_TEST = (
    "\ufeffQuality\t#1 ID\t#2 ID\t#1 String\t#2 String\n",
    "index\t#1 ID\t#2 ID\t#1 String\t#2 String\n",
)
STSB = "index\tgenre\tfilename\tyear\told_index\tsource1\tsource2\tsentence1\tsentence2"
MNLI = (
    "index\tpromptID\tpairID\tgenre\tsentence1_binary_parse\tsentence2_binary_parse\tsentence1_parse\t"
    "sentence2_parse\tsentence1\tsentence2"
)
QQP = "id\tqid1\tqid2\tquestion1\tquestion2\tis_duplicate\n"
PAIR = "index\tsentence1\tsentence2"


def glue(folder, name, **files):
    """The folder `name` with one TSV for each named text."""
    (folder / name).mkdir(parents=True)
    for part, text in files.items():
        table(folder / name / f"{part}.tsv", text)
    return folder / name


def test_cola_has_a_header_in_its_test_set_alone_and_marks_that_say_nothing(tmp_path):
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


def test_pairs_keep_quotes_that_nothing_closes_and_no_break_spaces(tmp_path):
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
    lines = "\tscore\n0\tg\tf\t2012\t0\tn\tn\tA cat.\tA dog.\t3.800\n1\tg\tf\t2012\t1\tn\tn\tA.\tA.\t5.000\n"
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
    """MNLI's train set has one annotator's label before the gold one, its dev sets five, its test sets none."""
    line = "0\t1\t1n\tfiction\t( a )\t( b )\t(ROOT a)\t(ROOT b)\t"
    annotated = "".join(f"\tlabel{i}" for i in range(1, 6)) + "\tgold_label\n"
    voices = "\tneutral\tneutral\tneutral\tentailment\tentailment\tcontradiction\n"
    dev = lambda words: MNLI + annotated + line + words + voices
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


# Quality, both ids, both sentences; the second and the last are in the dev set.
PARAPHRASES = [
    (1, 11, 12, 'He said " no', "No , he said"),
    (0, 21, 22, "It rose 2 %", '" It fell 3 % .'),
    (1, 31, 32, "He said", '"He" said'),
    (0, 12, 11, "other pair", "same ids , turned round"),
    (1, 41, 42, "caf\xe9", "bar"),
]


def mrpc_both_ways(folder):
    lines = lambda rows: "".join("\t".join(map(str, row)) + "\n" for row in rows)
    test = [(0, 51, 52, '"What', 'ever"'), (1, 61, 62, "a", "b")]
    done = glue(
        folder / "glue",
        "MRPC",
        train=MRPC + lines(PARAPHRASES[i] for i in (0, 2, 3)),
        dev=MRPC + lines(PARAPHRASES[i] for i in (1, 4)),
        test=MRPC_TEST + lines((i, *row[1:]) for i, row in enumerate(test)),
    )
    raw = glue(folder / "raw", "MRPC", mrpc_dev_ids="21\t22\n41\t42\n")
    table(raw / "msr_paraphrase_train.txt", (MRPC + lines(PARAPHRASES)).replace("\n", "\r\n"))
    table(raw / "msr_paraphrase_test.txt", (MRPC + lines(test)).replace("\n", "\r\n"))
    return done, raw


def test_mrpc_is_the_same_from_glue_and_from_its_authors(tmp_path):
    done, raw = mrpc_both_ways(tmp_path)
    data = load_task("mrpc", done)
    assert data == load_task("mrpc", raw)
    assert data.train == [Example(*(PARAPHRASES[i][3:]), PARAPHRASES[i][0]) for i in (0, 2, 3)]
    assert data.dev == [Example("It rose 2 %", '" It fell 3 % .', 0), Example("caf\xe9", "bar", 1)]
    assert data.test == [Example('"What', 'ever"', -1), Example("a", "b", -1)]
    (raw / "mrpc_dev_ids.tsv").rename(raw / "dev_ids.tsv")
    assert data == load_task("mrpc", raw)


def test_mrpc_of_its_authors_says_what_is_missing_and_counts_what_is_bad(tmp_path):
    done, raw = mrpc_both_ways(tmp_path)
    (raw / "mrpc_dev_ids.tsv").rename(raw / "elsewhere.tsv")
    refused(r"dev_ids\.tsv: no such file", "mrpc", raw)
    table(raw / "dev_ids.tsv", "21\t22\n41\t43\n")
    refused(r"msr_paraphrase_train\.txt: no sentences 41 and 43", "mrpc", raw)
    table(raw / "dev_ids.tsv", "21\t22\n41\t42\n\n")
    refused(r"dev_ids\.tsv:3: blank line", "mrpc", raw)
    with open(raw / "msr_paraphrase_train.txt", "a") as file:
        file.write("1\t71\t72\tno second\n")
    assert load_task("mrpc", raw, skip_bad=True) == load_task("mrpc", done)._replace(skipped=2)
    whole = (raw / "msr_paraphrase_train.txt").read_text(encoding="utf-8")
    table(raw / "msr_paraphrase_train.txt", whole.replace("\tbar", ""))  # of a pair in the dev set
    data = load_task("mrpc", raw, skip_bad=True)
    assert ([e.text_a for e in data.dev], data.skipped) == (["It rose 2 %"], 3)
    (raw / "msr_paraphrase_train.txt").unlink()
    refused(r"train\.tsv: no such file, and no msr_paraphrase_train\.txt", "mrpc", raw)


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


# ---------------------------------------------------------------- SST-2


def test_sst2_keeps_quotes_and_unicode_line_separators_as_text(tmp_path):
    data = load_task(
        "sst2",
        sst2(tmp_path / "d", train='"unbalanced \t1\na" b "c\t0\none\u2028two\x85three \t1\n'),
    )
    assert data.train == [
        Example('"unbalanced', None, 1),
        Example('a" b "c', None, 0),
        Example("one\u2028two\x85three", None, 1),
    ]
    assert data.labels == ("negative", "positive") and data.task is TASKS["sst2"]


def test_sst2_reads_bom_and_crlf_and_keeps_an_empty_sentence(tmp_path):
    folder = sst2(tmp_path / "d")
    table(folder / "train.tsv", "\ufeffsentence\tlabel\r\ngood \t1\r\n\t0\r\n")
    assert load_task("sst2", folder).train == [Example("good", None, 1), Example("", None, 0)]


def test_sst2_test_has_no_labels_and_is_optional(tmp_path):
    assert load_task("sst2", sst2(tmp_path / "a")).test is None
    data = load_task("sst2", sst2(tmp_path / "b", test="0\tx y \n1\tz\n"))
    assert data.test == [Example("x y", None, -1), Example("z", None, -1)]


@pytest.mark.parametrize(
    "train, match",
    [
        ("good\t1\nno tab here\n", r"train\.tsv:3: 1 columns where there should be 2"),
        ("good\t1\ta third\n", r"train\.tsv:2: 3 columns"),
        ("good\t1\n\nbad\t0\n", r"train\.tsv:3: blank line"),
        ("good\t2\n", r"train\.tsv:2: label '2' is not one of '0', '1'"),
        ("good\t\n", r"train\.tsv:2: the label is empty"),
        ("", r"train\.tsv: no examples"),
    ],
)
def test_sst2_stops_at_the_line_it_cannot_read(tmp_path, train, match):
    refused(match, "sst2", sst2(tmp_path / "d", train=train))


def test_sst2_names_missing_files_columns_and_bad_bytes(tmp_path):
    folder = sst2(tmp_path / "d")
    (folder / "dev.tsv").unlink()
    refused(r"dev\.tsv: no such file", "sst2", folder)
    table(folder / "dev.tsv", "text\tlabel\na\t1\n")
    refused(r"dev\.tsv:1: no column 'sentence'; the columns are 'text', 'label'", "sst2", folder)
    (folder / "dev.tsv").write_bytes(b"sentence\tlabel\nok\t1\ncaf\xe9\t1\n")
    refused(r"dev\.tsv:3: byte 0xe9 is not UTF-8", "sst2", folder)


# ---------------------------------------------------------------- IMDb


def test_imdb_holds_out_a_stratified_tenth_and_loses_nothing(tmp_path):
    data = load_task("imdb", imdb(tmp_path))
    assert Counter(e.label for e in data.train) == {0: 18, 1: 18}
    assert Counter(e.label for e in data.dev) == {0: 2, 1: 2}
    assert len({e.text_a for e in data.train + data.dev}) == 40
    assert len(data.test) == 40 and all(("pos" in e.text_a) == (e.label == 1) for e in data.test)


def test_held_out_tenth_depends_on_its_seed_alone(tmp_path):
    folder = imdb(tmp_path)
    first, again, other = (load_task("imdb", folder, seed=s) for s in (0, 0, 1))
    assert first == again
    assert first.dev != other.dev and first.test == other.test


def test_imdb_is_found_in_the_folder_above(tmp_path):
    inner = imdb(tmp_path)
    assert load_task("imdb", tmp_path) == load_task("imdb", inner)


def test_imdb_breaks_never_fuse_words(tmp_path):
    folder = imdb(tmp_path)
    spellings = (
        "a<br />b",
        "a<br/>b",
        "a<BR>b",
        "a <br /><br /> b",
        "a</br>b",
        "a\r\nb",
        "a<br clear='all'>b",
    )
    for i, text in enumerate(spellings):
        (folder / "test" / "neg" / f"{i}_2.txt").write_bytes(text.encode())
    assert [e.text_a for e in load_task("imdb", folder).test[: len(spellings)]] == ["a\nb"] * len(
        spellings
    )


def test_imdb_reviews_are_in_the_order_of_their_ids(tmp_path):
    texts = [e.text_a for e in load_task("imdb", imdb(tmp_path)).test[:20]]
    assert texts == [f"test neg {i}" for i in range(20)]


def test_incomplete_imdb_says_what_is_missing(tmp_path):
    folder = imdb(tmp_path)
    for path in (folder / "test" / "pos").iterdir():
        path.unlink()
    refused(r"test/pos: holds no review", "imdb", folder)
    (folder / "test" / "pos").rmdir()
    refused(r"missing test/pos;", "imdb", folder)
    table(folder / "train" / "neg" / "notes.txt", "mine")
    (folder / "test" / "pos").mkdir()
    refused(r"notes\.txt: not a review", "imdb", folder)


def test_imdb_reads_tables_and_wants_both(tmp_path):
    rows = "text,label\n" + "".join(f'"a ""b"" <br />{i}",{i % 2}\n' for i in range(20))
    table(tmp_path / "train.csv", rows)
    refused(r"test\.csv: no such file", "imdb", tmp_path)
    table(tmp_path / "test.csv", rows)
    data = load_task("imdb", tmp_path)
    assert (len(data.train), len(data.dev), len(data.test)) == (18, 2, 20)
    assert data.test[3] == Example('a "b"\n3', None, 1)


# ---------------------------------------------------------------- csv

ROWS = [
    {"text": 'said "no", twice', "label": "spam"},
    {"text": "line one\nline two", "label": "ham"},
    {"text": "", "label": "ham"},
    {"text": "x\u2028y", "label": "eggs"},
]


def test_labels_come_from_the_training_file_in_sorted_order(tmp_path):
    for part in ("train", "dev", "test"):
        table(tmp_path / f"{part}.jsonl", "".join(json.dumps(row) + "\n" for row in ROWS))
    data = load_task("csv", tmp_path)
    assert data.labels == data.task.words == ("eggs", "ham", "spam")
    assert (
        data.train
        == data.dev
        == data.test
        == [Example(r["text"], None, data.labels.index(r["label"])) for r in ROWS]
    )


def test_labels_that_are_numbers_sort_as_numbers(tmp_path):
    rows = "".join(f"t{i}\t{label}\n" for i, label in enumerate([10, 9, -1, 2] * 3))
    path = table(tmp_path / "a.tsv", "text\tlabel\n" + rows)
    assert load_task("csv", path).labels == ("-1", "2", "9", "10")


def test_json_labels_may_be_numbers_or_booleans(tmp_path):
    for labels, expected in (((0, 1), ("0", "1")), ((False, True), ("false", "true"))):
        path = table(
            tmp_path / "a.jsonl",
            "".join(
                json.dumps({"text": "t", "label": labels[i % 2], "id": None}) + "\n"
                for i in range(10)
            ),
        )
        assert load_task("csv", path).labels == expected


def test_two_text_columns_make_pairs(tmp_path):
    path = table(
        tmp_path / "a.tsv",
        "id\tq\ta\tgold\n" + "".join(f'{i}\tq"{i}\ta{i}\t{i % 2}\n' for i in range(10)),
    )
    data = load_task("csv", path, text_columns=["q", "a"], label_column="gold")
    assert data.test is None and len(data.dev) == 1
    assert sorted(data.train + data.dev) == [Example(f'q"{i}', f"a{i}", i % 2) for i in range(10)]


def test_explicit_files_come_before_the_folder(tmp_path):
    train = table(tmp_path / "train.csv", "text,label\na,0\nb,1\n")
    table(tmp_path / "valid.csv", "text,label\nfrom folder,0\n")
    other = table(tmp_path / "other.jsonl", '{"text": "given", "label": 1}\n')
    assert load_task("csv", tmp_path).dev == [Example("from folder", None, 0)]
    assert load_task("csv", tmp_path, dev_file=other).dev == [Example("given", None, 1)]
    data = load_task("csv", train, dev_file=other, test_file=other)
    assert len(data.train) == 2 and data.dev == data.test == [Example("given", None, 1)]


def test_a_test_file_may_lack_labels_but_not_some_of_them(tmp_path):
    train = table(tmp_path / "train.csv", "text,label\na,0\nb,1\n")
    test = table(tmp_path / "test.jsonl", '{"text": "x"}\n{"text": "y"}\n')
    assert load_task("csv", train, dev_file=train, test_file=test).test == [
        Example("x", None, -1),
        Example("y", None, -1),
    ]
    table(test, '{"text": "x"}\n{"text": "y", "label": 1}\n')
    refused(r"test\.jsonl:2: has a 'label'", "csv", train, dev_file=train, test_file=test)
    table(test, '{"text": "x", "label": 1}\n{"text": "y"}\n')
    refused(r"test\.jsonl:2: no column 'label'", "csv", train, dev_file=train, test_file=test)


def test_an_unknown_dev_label_is_refused_with_its_line(tmp_path):
    table(tmp_path / "train.csv", 'text,label\n"a\nb",0\nc,1\n')
    table(tmp_path / "dev.csv", 'text,label\n"a\nb\nc",0\nd,maybe\n')
    refused(r"dev\.csv:5: label 'maybe' is not one of '0', '1'", "csv", tmp_path)


@pytest.mark.parametrize(
    "text, match",
    [
        ("text,label\na,b,0\n", r"a\.csv:2: 3 columns"),
        ("text,label\na,0\nb, \n", r"a\.csv:3: the label is empty"),
        ("text,label\na,same\nb,same\n", r"a\.csv: every label is 'same'"),
        ("text,label\na,0\nb,1\n", "give a dev file"),
    ],
)
def test_csv_stops_with_one_line_that_names_the_place(tmp_path, text, match):
    refused(match, "csv", table(tmp_path / "a.csv", text))


def test_csv_leaves_bad_lines_out_of_every_file_and_of_the_labels(tmp_path):
    table(tmp_path / "train.csv", "text,label\na,0\nb,1\nodd,2,3\n,\n\n")
    table(tmp_path / "dev.tsv", "text\tlabel\nc\t0\nd\t2\n")
    table(tmp_path / "test.jsonl", '{"text": "e"}\n{"text": 1.5}\n{}\n')
    data = load_task("csv", tmp_path, skip_bad=True)
    assert data[1:5] == (
        ("0", "1"),
        [Example("a", None, 0), Example("b", None, 1)],
        [Example("c", None, 0)],
        [Example("e", None, -1), Example("1.5", None, -1)],
    )
    assert data.skipped == 3 + 1 + 1


def test_folders_of_tables_say_what_is_missing_or_ambiguous(tmp_path):
    refused(r"no train file", "csv", tmp_path)
    table(tmp_path / "train.csv", "text,label\na,0\nb,1\n")
    refused(r"no dev \(or valid\) file", "csv", tmp_path)
    table(tmp_path / "dev.csv", "text,label\na,0\n")
    table(tmp_path / "valid.tsv", "text\tlabel\na\t0\n")
    refused(r"holds dev\.csv and valid\.tsv", "csv", tmp_path)


def test_settings_that_a_task_does_not_read_are_refused(tmp_path):
    folder = sst2(tmp_path / "d")
    refused("unknown task 'mnist'", "mnist", folder)
    refused("no such file or folder", "sst2", tmp_path / "nowhere")
    refused("leave out the settings of task csv", "sst2", folder, label_column="gold")
    refused("needs a folder", "sst2", folder / "dev.tsv")
    refused("name one column, or two", "csv", folder, text_columns=("a", "b", "c"))
    refused("cannot be both", "csv", folder, text_columns=("label",))


# ---------------------------------------------------------------- a task in a file

CLAIM = {"name": "claims", "train": "train.tsv", "text": ["text"], "label": "label"}


def claims(folder, lines=("a\t0", "b\t1") * 5, **settings):
    """A task file beside its training set; a setting of None is left out."""
    table(folder / "train.tsv", "text\tlabel\n" + "".join(f"{line}\n" for line in lines))
    given = {key: value for key, value in {**CLAIM, **settings}.items() if value is not None}
    return table(folder / "claims.json", json.dumps(given))


def file_refused(match, path, **settings):
    with pytest.raises(ValueError, match=match) as caught:
        load_task_file(path, **settings)
    assert "\n" not in str(caught.value)


def example_in_the_readme():
    text = (DATA / "README.md").read_text(encoding="utf-8")
    block = re.search(r'^    name = "claims".*?\n\n', text, re.MULTILINE | re.DOTALL)[0]
    return block.replace("\n    ", "\n").strip() + "\n"


def test_the_example_in_the_readme_is_a_task(tmp_path, monkeypatch):
    (tmp_path / "deep").mkdir()
    table(tmp_path / "deep" / "claims.toml", example_in_the_readme())
    table(
        tmp_path / "deep" / "train.tsv",
        "id\ttitle\tbody\tstance\n1\tA title\tA body\tfor\n2\tB\t\tagainst\n",
    )
    table(tmp_path / "deep" / "dev.tsv", 'stance\tbody\ttitle\nfor\t"x\ty\n')
    table(tmp_path / "deep" / "test.tsv", "title\tbody\nu\tv\n")
    monkeypatch.chdir(tmp_path)
    data = load_task_file("deep/claims.toml")
    assert data.labels == data.task.words == ("against", "for")
    assert data.train == [Example("A title", "A body", 1), Example("B", "", 0)]
    assert data.dev == [Example("y", '"x', 1)] and data.test == [Example("u", "v", -1)]
    task = data.task
    assert (task.name, task.metric, task.also, task.max_len, task.epochs) == (
        "claims",
        "macro_f1",
        (),
        128,
        4,
    )


def test_the_least_task_file_takes_labels_from_the_data_and_holds_out_a_tenth(tmp_path):
    data = load_task_file(
        claims(tmp_path, lines=[f"t{i}\t{'yes' if i % 2 else 'no'}" for i in range(20)])
    )
    assert data.labels == ("no", "yes") and data.test is None
    assert (len(data.train), Counter(e.label for e in data.dev)) == (18, {0: 1, 1: 1})
    assert (data.task.metric, data.task.max_len, data.task.epochs) == ("accuracy", 128, 3)
    again, other = (load_task_file(tmp_path / "claims.json", seed=seed) for seed in (0, 1))
    assert data == again and data.dev != other.dev


def test_toml_and_json_of_the_same_keys_are_the_same_task(tmp_path):
    path = claims(tmp_path, labels=["1", "0"], metric="f1", epochs=2)
    toml = table(
        tmp_path / "claims.toml",
        "\ufeff"
        + "".join(
            f"{key} = {json.dumps(value)}\n" for key, value in json.loads(path.read_text()).items()
        ),
    )
    data = load_task_file(toml)
    assert (
        data == load_task_file(path)
        and data.labels == ("1", "0")
        and {e.label for e in data.train} == {0, 1}
    )


def test_a_regression_keeps_any_number(tmp_path):
    lines = [f"t\t{i / 2 - 3}" for i in range(10)]
    path = claims(tmp_path, lines, regression=True, dev="train.tsv", test="test.csv")
    table(tmp_path / "test.csv", "text\nt\n")
    data = load_task_file(path)
    assert [e.label for e in data.train] == [i / 2 - 3 for i in range(10)] and math.isnan(
        data.test[0].label
    )
    assert (data.labels, data.task.metric, data.task.regression) == ((), "spearman", True)
    assert (
        load_task_file(claims(tmp_path, regression=True, metric="pearson")).task.metric == "pearson"
    )


def test_the_scale_of_a_regression_is_the_largest_score_to_learn_from(tmp_path):
    for scores, scale in (((-7, 2, 3.5), 7.0), ((0, 0), 1.0), ((0.25, 0.125), 0.25)):
        path = claims(tmp_path, [f"t\t{score}" for score in scores], regression=True, dev="dev.tsv")
        table(tmp_path / "dev.tsv", "text\tlabel\nt\t100\n")
        data = load_task_file(path)
        assert data.task.scale == scale and data.dev[0].label == 100


def test_a_tenth_held_out_of_a_regression_is_any_tenth(tmp_path):
    path = claims(tmp_path, [f"t\t{i}" for i in range(10)], regression=True)
    runs = [load_task_file(path, seed=seed) for seed in range(60)]
    assert {data.dev[0].label for data in runs} == set(range(10)) and {
        len(data.dev) for data in runs
    } == {1}
    assert {data.task.scale for data in runs} == {9.0}  # of all that could be learned from


def test_without_a_header_columns_are_numbers(tmp_path):
    table(tmp_path / "mine.csv", "1,no,first\n2,yes,second\n")
    data = load_task_file(
        claims(tmp_path, train="mine.csv", dev="mine.csv", text=["3", "1"], label="2", header=False)
    )
    assert data.train == [Example("first", "1", 0), Example("second", "2", 1)]


def test_a_task_file_may_leave_bad_lines_out(tmp_path):
    path = claims(
        tmp_path, lines=["a\tno", "b\tyes", "c\tmaybe", "d"], labels=["no", "yes"], dev="train.tsv"
    )
    file_refused(r"train\.tsv:4: label 'maybe' is not one of 'no', 'yes' \(--skip-bad", path)
    data = load_task_file(path, skip_bad=True)
    assert (
        data.train == data.dev == [Example("a", None, 0), Example("b", None, 1)]
        and data.skipped == 4
    )


@pytest.mark.parametrize(
    "settings, match",
    [
        (dict(colour="red"), "colour: unknown key; the keys are name, train"),
        (dict(name=None), "name: missing"),
        (dict(train=None), "train: missing"),
        (dict(text=None), "text: missing"),
        (dict(label=None), "label: missing"),
        (dict(name="My claims"), "name: 'My claims' may hold a to z"),
        (dict(name=""), "name: '' may hold"),
        (dict(name="rte"), "name: there is a task rte already"),
        (dict(name="glue"), "name: there is a task glue"),
        (dict(text="text"), "text: expected a list of strings, got 'text'"),
        (dict(text=["text", 2]), "text: expected a list of strings"),
        (dict(text=[]), "text: .*name one column, or two"),
        (dict(text=["a", "b", "c"]), "text: .*name one column, or two"),
        (dict(label="text"), "text: .*cannot be both"),
        (dict(label=2), "label: expected a string, got 2"),
        (dict(train=["a"]), "train: expected a string"),
        (dict(max_len="long"), "max_len: expected a whole number"),
        (dict(max_len=True), "max_len: expected a whole number"),
        (dict(max_len=7), "max_len: must be 8 or more"),
        (dict(epochs=1.5), "epochs: expected a whole number"),
        (dict(epochs=0), "epochs: must be 1 or more"),
        (dict(header="no"), "header: expected true or false"),
        (dict(regression=1), "regression: expected true or false"),
        (
            dict(metric="bleu"),
            "metric: 'bleu' is no metric for labels; choose one of accuracy, f1, macro_f1, matthews",
        ),
        (dict(metric="spearman"), "metric: 'spearman' is not for labels"),
        (
            dict(metric="f1", regression=True),
            "metric: 'f1' is not for a regression; choose one of spearman, pearson",
        ),
        (dict(labels=["0", "1"], regression=True), "labels: a regression has scores"),
        (dict(labels=["0"]), "labels: .*two or more different"),
        (dict(labels=["0", "0"]), "labels: .*two or more different"),
        (dict(labels=["0", "1 "]), "labels: '1 ' is empty or has white space"),
        (
            dict(labels=["0", "1", "2"], metric="f1"),
            "metric: f1 is for two labels, and there are 3; take macro_f1",
        ),
    ],
)
def test_a_task_file_is_refused_in_one_line_that_names_file_and_key(tmp_path, settings, match):
    file_refused(rf"claims\.json: {match}", claims(tmp_path, **settings))


def test_a_task_file_that_cannot_be_read_is_named(tmp_path):
    file_refused(
        r"claims\.yaml: the name of a task file must end in \.toml or \.json",
        tmp_path / "claims.yaml",
    )
    file_refused(r"claims\.toml: no such file", tmp_path / "claims.toml")
    file_refused(
        r"claims\.toml: not valid TOML .*line 1", table(tmp_path / "claims.toml", "name = claims\n")
    )
    file_refused(
        r"claims\.json: not valid JSON", table(tmp_path / "claims.json", '{"name": "claims"')
    )
    file_refused(
        r"claims\.json: expected an object .* got list", table(tmp_path / "claims.json", "[]")
    )
    file_refused(r"absent\.tsv: no such file", claims(tmp_path, train="absent.tsv"))
