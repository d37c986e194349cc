"""Questions in SQuAD's layout, and what is refused."""

import json

import pytest

from electra.tasks.load import load_task
from electra.tasks.squad import read_questions
from electra.tasks.task import Answer, Question
from electra.tasks.task_file import load_task_file
from tasks.files import table

pytestmark = pytest.mark.fast

CONTEXT = "The Müller café opened in 1920."


def question(name="q1", text="When?", answers=(("1920", 26),), **more):
    listed = [{"text": one, "answer_start": start} for one, start in answers]
    return {"id": name, "question": text, "answers": listed, **more}


def article(*questions, title="Café", context=CONTEXT):
    return {"title": title, "paragraphs": [{"context": context, "qas": list(questions)}]}


def squad(path, *articles):
    path.parent.mkdir(exist_ok=True)
    return table(path, json.dumps({"version": "1.1", "data": list(articles)}))


def test_questions_are_read(tmp_path):
    path = squad(
        tmp_path / "a.json",
        article(
            question(answers=[("1920", 26), ("in 1920", 23)]),
            question("q2", is_impossible=True, answers=[]),
        ),
    )
    answers = (Answer("1920", 26), Answer("in 1920", 23))
    assert read_questions(path) == (
        [
            Question("q1", "Café", "When?", CONTEXT, answers),
            Question("q2", "Café", "When?", CONTEXT, ()),
        ],
        0,
    )


def test_no_article_is_learned_from_and_held_out(tmp_path):
    articles = [article(question(f"q{i}"), question(f"r{i}"), title=f"t{i}") for i in range(30)]
    data = load_task("squad", squad(tmp_path / "a.json", *articles))
    train, dev = ({question.title for question in part} for part in (data.train, data.dev))
    assert (len(train), len(dev), len(data.train), len(data.dev)) == (27, 3, 54, 6)
    assert not train & dev
    assert load_task("squad", tmp_path / "a.json").dev == data.dev


def test_a_folder_and_a_task_file(tmp_path):
    folder = tmp_path / "squad"
    squad(folder / "train-v2.0.json", article(question()))
    squad(folder / "dev.json", article(question("q2")))
    unlabelled = question("q3")
    del unlabelled["answers"]
    squad(folder / "test.json", article(unlabelled))
    data = load_task("squad", tmp_path)
    assert [one.id for part in (data.train, data.dev, data.test) for one in part] == [
        "q1",
        "q2",
        "q3",
    ]
    assert data.test[0].answers is None
    settings = 'name = "faq"\nkind = "spans"\ntrain = "squad/train-v2.0.json"\n'
    task_file = table(tmp_path / "t.toml", settings + 'dev = "squad/dev.json"\n')
    data = load_task_file(task_file)
    assert (data.task.metric, data.task.also) == ("answer_f1", ("exact_match",))
    assert data.task.max_len == 384 and data.dev[0].id == "q2"


@pytest.mark.parametrize(
    "content, match",
    [
        ("{", "not valid JSON"),
        ("[" * 100_000, "nested too deep|not valid JSON"),
        ("[]", 'no "data"'),
        ('{"data": [1]}', 'article 1 has no "paragraphs"'),
        ('{"data": [{"paragraphs": [{}]}]}', 'has no "qas"'),
        ('{"data": []}', "no questions in it"),
        (json.dumps({"data": [article(question(answers=[("1921", 26)]))]}), "not at offset 26"),
        (json.dumps({"data": [article(question(answers=[("1920", -5)]))]}), "not at offset -5"),
        (json.dumps({"data": [article(question(answers=[("", 0)]))]}), "an answer without"),
        (json.dumps({"data": [article(question(text=" "))]}), "empty question"),
        (json.dumps({"data": [article(question(), context="")]}), "empty context"),
        (json.dumps({"data": [article(question(), question())]}), "'q1' occurs twice"),
        (json.dumps({"data": [article(question(name=""))]}), "has no id"),
        (json.dumps({"data": [article(question(text="\ud800"))]}), "surrogate"),
    ],
)
def test_what_is_not_in_the_layout_is_refused(tmp_path, content, match):
    path = table(tmp_path / "a.json", content)
    with pytest.raises(ValueError, match=match) as caught:
        read_questions(path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


def test_bad_questions_are_left_out_and_counted(tmp_path):
    bad = question("q2", answers=[("1921", 26)])
    path = squad(tmp_path / "a.json", article(question(), bad))
    found, skipped = read_questions(path, skip_bad=True)
    assert ([one.id for one in found], skipped) == (["q1"], 1)


@pytest.mark.parametrize("part", ["train", "dev", "test"])
def test_a_file_with_answers_to_some_questions_is_refused(tmp_path, part):
    """The others would count as questions without an answer."""
    unlabelled = question("q9")
    del unlabelled["answers"]
    for name in ("train", "dev", "test"):
        more = [unlabelled] if name == part else []
        squad(tmp_path / f"{name}.json", article(question(f"{name} 1"), *more))
    match = rf"{part}\.json: question 'q9' has no \"answers\""
    with pytest.raises(ValueError, match=match):
        load_task("squad", tmp_path)
    data = load_task("squad", tmp_path, skip_bad=True)
    assert data.skipped == 1 and len(data.train) == len(data.dev) == len(data.test) == 1


def test_a_single_article_cannot_be_held_out(tmp_path):
    with pytest.raises(ValueError, match="about one article"):
        load_task("squad", squad(tmp_path / "a.json", article(question())))
