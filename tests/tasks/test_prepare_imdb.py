"""scripts/prepare_imdb.py as a user runs it."""

import subprocess
import sys
from pathlib import Path

import pytest

from electra.tasks.load import load_task

pytestmark = pytest.mark.fast

ROOT = Path(__file__).resolve().parents[2]


def prepare(*args):
    return subprocess.run(
        [sys.executable, "scripts/prepare_imdb.py", *map(str, args)],
        cwd=ROOT,
        text=True,
        capture_output=True,
    )


@pytest.fixture
def acl_imdb(tmp_path):
    """An aclImdb folder with eleven reviews of each kind."""
    folder, ratings = tmp_path / "aclImdb", {"pos": 8, "neg": 3, "unsup": 0}
    for split, words in (("train", ("pos", "neg", "unsup")), ("test", ("pos", "neg"))):
        for word in words:
            reviews = folder / split / word
            reviews.mkdir(parents=True)
            for i in range(11):
                text = f'{split} "{word}", {i}<br /><br />second line\n\n third\r\n'
                (reviews / f"{i}_{ratings[word]}.txt").write_bytes(text.encode())
    return folder


def test_tables_and_folders_are_the_same_task(acl_imdb, tmp_path):
    done = prepare(acl_imdb, "--out", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    assert load_task("imdb", tmp_path / "out") == load_task("imdb", acl_imdb)
    assert (
        "train.csv: 22 reviews (11 positive)" in done.stdout
        and "unsup.txt: 11 documents" in done.stdout
    )
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == [
        "test.csv",
        "train.csv",
        "unsup.txt",
    ]


def test_each_unlabelled_review_is_one_document_and_no_test_review_is_in(acl_imdb, tmp_path):
    (acl_imdb / "train" / "unsup" / "3_0.txt").write_text("<br /> \n")
    done = prepare(acl_imdb.parent, "--out", tmp_path / "out")
    documents = (tmp_path / "out" / "unsup.txt").read_text().removesuffix("\n").split("\n\n")
    assert documents == [f'train "unsup", {i}\nsecond line\nthird' for i in range(11) if i != 3]
    assert "10 documents (1 empty reviews left out)" in done.stdout


def test_files_are_replaced_only_with_force(acl_imdb, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "test.csv").write_text("mine")
    done = prepare(acl_imdb, "--out", out)
    assert done.returncode == 2
    assert done.stderr.startswith("prepare_imdb.py: error:") and "test.csv" in done.stderr
    assert [p.name for p in out.iterdir()] == ["test.csv"]
    assert (out / "test.csv").read_text() == "mine"
    assert prepare(acl_imdb, "--out", out, "--force").returncode == 0
    assert (out / "test.csv").read_text() != "mine"


def test_an_incomplete_folder_leaves_nothing(acl_imdb, tmp_path):
    (acl_imdb / "train" / "unsup").rename(tmp_path / "elsewhere")
    done = prepare(acl_imdb, "--out", tmp_path / "out")
    assert done.returncode == 2 and "unsup: missing" in done.stderr and done.stderr.count("\n") == 1
    assert not (tmp_path / "out").exists()
