"""MRPC, from GLUE's files or from those of its authors."""

import pytest

from electra.tasks.load import load_task
from electra.tasks.task import Example
from tasks.files import MRPC, MRPC_TEST, glue, refused, table

pytestmark = pytest.mark.fast

# Quality, both ids, both sentences; the second and the last are in the dev set.
PARAPHRASES = [
    (1, 11, 12, 'He said " no', "No , he said"),
    (0, 21, 22, "It rose 2 %", '" It fell 3 % .'),
    (1, 31, 32, "He said", '"He" said'),
    (0, 12, 11, "other pair", "same ids , turned round"),
    (1, 41, 42, "caf\xe9", "bar"),
]


def lines(rows):
    return "".join("\t".join(map(str, row)) + "\n" for row in rows)


def mrpc_both_ways(folder):
    """(GLUE's folder, the authors' folder) of the same examples."""
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
