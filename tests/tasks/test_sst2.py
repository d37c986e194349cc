"""SST-2: quotes and separators are text, and bad lines are named."""

import pytest

from electra.tasks.known_tasks import TASKS
from electra.tasks.load import load_task
from electra.tasks.task import Example
from tasks.files import refused, sst2, table

pytestmark = pytest.mark.fast


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
