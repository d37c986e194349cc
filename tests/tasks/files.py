"""Small task files on disk, for the tests of the readers."""

import pytest

from electra.tasks.load import load_task

# Headers of GLUE's files.
MRPC = "\ufeffQuality\t#1 ID\t#2 ID\t#1 String\t#2 String\n"
MRPC_TEST = "index\t#1 ID\t#2 ID\t#1 String\t#2 String\n"
STSB = "index\tgenre\tfilename\tyear\told_index\tsource1\tsource2\tsentence1\tsentence2"
MNLI = (
    "index\tpromptID\tpairID\tgenre\tsentence1_binary_parse\tsentence2_binary_parse\t"
    "sentence1_parse\tsentence2_parse\tsentence1\tsentence2"
)
QQP = "id\tqid1\tqid2\tquestion1\tquestion2\tis_duplicate\n"
PAIR = "index\tsentence1\tsentence2"


def table(path, text):
    """The path, with this text in the file."""
    path.write_text(text, encoding="utf-8", newline="")
    return path


def refused(match, *args, **settings):
    """`load_task` raises a ValueError of one line that matches."""
    with pytest.raises(ValueError, match=match) as caught:
        load_task(*args, **settings)
    assert "\n" not in str(caught.value)


def sst2(folder, train="good \t1\nbad \t0\n", dev="fine \t1\n", test=None):
    """SST-2's folder with these lines below the headers."""
    folder.mkdir(exist_ok=True)
    (folder / "train.tsv").write_text("sentence\tlabel\n" + train, encoding="utf-8", newline="")
    (folder / "dev.tsv").write_text("sentence\tlabel\n" + dev, encoding="utf-8", newline="")
    if test is not None:
        (folder / "test.tsv").write_text("index\tsentence\n" + test, encoding="utf-8", newline="")
    return folder


def imdb(folder, per_class=20):
    """aclImdb with so many reviews of each class in train and in test."""
    for split in ("train", "test"):
        for word, rating in (("pos", 9), ("neg", 2)):
            reviews = folder / "aclImdb" / split / word
            reviews.mkdir(parents=True)
            for i in range(per_class):
                (reviews / f"{i}_{rating}.txt").write_text(f"{split} {word} {i}", encoding="utf-8")
    return folder / "aclImdb"


def glue(folder, name, **files):
    """The folder `name` with one TSV for each named text."""
    (folder / name).mkdir(parents=True)
    for part, text in files.items():
        table(folder / name / f"{part}.tsv", text)
    return folder / name
