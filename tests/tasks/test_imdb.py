"""IMDb: reviews are cleaned, and a tenth of them is held out."""

from collections import Counter

import pytest

from electra.tasks.load import load_task
from electra.tasks.task import Example
from tasks.files import imdb, refused, table

pytestmark = pytest.mark.fast


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


def test_imdb_line_breaks_keep_words_apart(tmp_path):
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


def test_imdb_reads_tables_and_needs_both(tmp_path):
    rows = "text,label\n" + "".join(f'"a ""b"" <br />{i}",{i % 2}\n' for i in range(20))
    table(tmp_path / "train.csv", rows)
    refused(r"test\.csv: no such file", "imdb", tmp_path)
    table(tmp_path / "test.csv", rows)
    data = load_task("imdb", tmp_path)
    assert (len(data.train), len(data.dev), len(data.test)) == (18, 2, 20)
    assert data.test[3] == Example('a "b"\n3', None, 1)
