"""Files in columns: what is a word, a tag, a sentence and a comment, and what is refused."""

import pytest

from electra.tasks.conll import Columns
from electra.tasks.load import load_task
from electra.tasks.task import Sentence
from electra.tasks.task_file import load_task_file
from tasks.files import table

pytestmark = pytest.mark.fast

TRAIN = """-DOCSTART- -X- O

The DT B-NP
cat NN I-NP
sleeps VB B-VP

# # B-NP
1.8 CD I-NP
"""
TAGS = ("O", "B-NP", "I-NP", "B-VP", "I-VP")


def conll(folder, train=TRAIN * 5, columns=None, skip_bad=False, **more):
    folder.mkdir(exist_ok=True)
    table(folder / "train.txt", train)
    for name, text in more.items():
        table(folder / f"{name}.txt", text)
    return load_task("conll", folder, columns=columns, skip_bad=skip_bad)


def test_words_and_tags_by_sentence(tmp_path):
    data = conll(tmp_path, TRAIN, dev=TRAIN, test=TRAIN)
    first, second = Sentence(("The", "cat", "sleeps"), (1, 2, 3)), Sentence(("#", "1.8"), (1, 2))
    assert data.labels == data.task.labels == TAGS
    assert data.train == data.dev == data.test == [first, second]
    assert (data.task.kind, data.task.metric) == ("tags", "span_f1")


@pytest.mark.parametrize(
    "text",
    [
        TRAIN.replace("\n", "\r\n"),
        TRAIN.replace("\n", "\r"),
        TRAIN.replace("\n", "\r").replace(" ", "\t"),
        TRAIN.replace(" ", "\t"),
        TRAIN.replace(" ", "   "),
        "\ufeff" + TRAIN,
        "# sent_id = 1\n# text = The cat sleeps\n" + TRAIN.replace("-DOCSTART- -X- O\n\n", ""),
        "\n\n" + TRAIN.removesuffix("\n"),
    ],
)
def test_the_same_sentences_however_they_are_written(tmp_path, text):
    assert conll(tmp_path, text, dev=TRAIN).train == conll(tmp_path / "b", TRAIN, dev=TRAIN).train


def test_schemes_become_one_and_files_may_differ(tmp_path):
    iobes = "The S-NP\ncat B-VP\nsleeps E-VP\n"
    iob1 = "The I-NP\ncat I-VP\nsleeps I-VP\n"
    data = conll(tmp_path, iobes, dev=iob1)
    assert data.train == data.dev == [Sentence(("The", "cat", "sleeps"), (1, 3, 4))]


def test_a_tenth_is_held_out_where_there_is_no_dev_file(tmp_path):
    data = conll(tmp_path)
    assert (len(data.train), len(data.dev), data.test) == (9, 1, None)
    assert conll(tmp_path).dev == data.dev


def test_columns_are_chosen(tmp_path):
    data = conll(tmp_path, columns=Columns(1, 2))
    assert data.labels == ("#", "CD", "DT", "NN", "VB")
    assert (data.task.metric, data.task.also) == ("accuracy", ("macro_f1",))


def test_conllu_has_its_columns_and_odd_lines(tmp_path):
    lines = ["# text = du bon", "1-2\tdu\t_\t_", "1\tde\tde\tADP", "2\tle\tle\tDET", "2.1\tx\tx\tX"]
    lines += ["3\tbon\tbon\tADJ", "", ""]
    table(tmp_path / "train.conllu", "\n".join(lines))
    table(tmp_path / "dev.conllu", "\n".join(lines))
    data = load_task("conll", tmp_path)
    assert data.labels == ("ADJ", "ADP", "DET")
    assert data.train == [Sentence(("de", "le", "bon"), (1, 2, 0))]


def test_a_task_file_describes_tags(tmp_path):
    table(tmp_path / "train.txt", TRAIN)
    settings = 'name = "chunks"\nkind = "tags"\ntrain = "train.txt"\ndev = "train.txt"\n'
    data = load_task_file(table(tmp_path / "t.toml", settings + "epochs = 7\n"))
    assert (data.task.name, data.task.epochs, data.labels) == ("chunks", 7, TAGS)
    data = load_task_file(table(tmp_path / "t.toml", settings + "tag_column = 2\n"))
    assert data.task.metric == "accuracy"
    for line, match in (
        ('text = ["a"]', "text: a task of tags does not read it"),
        ('separator = ";"', "separator: a task of tags does not read it"),
        ("regression = true", "keep one of them"),
        ('metric = "f1"', "'f1' is not for a task of tags"),
    ):
        with pytest.raises(ValueError, match=match):
            load_task_file(table(tmp_path / "t.toml", settings + line + "\n"))


@pytest.mark.parametrize(
    "change, match",
    [
        (lambda text: text.replace("cat NN I-NP", "cat"), r"train.txt:4: 1 columns"),
        (lambda text: "word\n", r"train.txt:1: 1 columns"),
        (lambda text: "a\tB-X Y\n", r"train.txt:1: the tag 'B-X Y' has white space in it"),
        (lambda text: "", "no sentences in it"),
        (lambda text: "# only = comments\n", "no sentences in it"),
        (lambda text: "a O\nb O\n", "every word has the tag 'O'"),
    ],
)
def test_what_is_not_in_columns_is_refused_with_its_line(tmp_path, change, match):
    with pytest.raises(ValueError, match=match) as caught:
        conll(tmp_path, change(TRAIN), dev=TRAIN)
    assert "\n" not in str(caught.value)


def test_bad_sentences_are_left_out_and_counted(tmp_path):
    dev = "1.8 CD B-NP\n"
    data = conll(tmp_path, TRAIN.replace("cat NN I-NP", "cat"), dev=dev, skip_bad=True)
    assert data.skipped == 1 and data.train == [Sentence(("#", "1.8"), (1, 2))]


def test_a_tag_that_training_has_not_is_refused_with_its_line(tmp_path):
    with pytest.raises(ValueError, match=r"dev.txt:5: the tag 'ADVP' is not in the training file"):
        conll(tmp_path, dev=TRAIN.replace("sleeps VB B-VP", "sleeps VB B-ADVP"))


def test_columns_that_are_the_same_or_not_there_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"train.txt: columns 3 and 3: give two different ones"):
        conll(tmp_path, columns=Columns(3, 3))
    with pytest.raises(ValueError, match=r"train.txt: columns 3 and the last of 3: give two"):
        conll(tmp_path, columns=Columns(3, None))
    with pytest.raises(ValueError, match="3 columns, and column 7 is needed"):
        conll(tmp_path, columns=Columns(1, 7))
    with pytest.raises(ValueError, match="has no columns of words and tags"):
        load_task("csv", table(tmp_path / "a.csv", "text,label\n"), columns=Columns(1, 2))


def test_two_files_of_one_name_and_none_are_refused(tmp_path):
    with pytest.raises(ValueError, match="no training file"):
        load_task("conll", tmp_path)
    table(tmp_path / "train.conll", TRAIN)
    with pytest.raises(ValueError, match=r"holds train.txt and train.conll"):
        conll(tmp_path)
