"""The page in a headless Chromium, where one is installed: typing, keys, links, hostile text."""

import json
import time
from urllib.parse import urlencode

import pytest

from electra.serving.kinds import Input, Kind, Model
from serving.browser import CHROMIUM, Browser

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed")

HOSTILE = "<img src=x onerror=document.title='broken'> </script><b>& 😀 \"'"
FOX = "The quick brown fox"


def fake(kind_name, inputs, answer):
    kind = Kind(lambda predictor, requests: [answer] * len(requests), {}, lambda p, r: 1)
    return Model(kind_name, kind_name, kind, tuple(Input(*one) for one in inputs), _Predictor())


class _Predictor:
    task, most_tokens = None, 64


@pytest.fixture
def fakes():
    """Kinds of others, which mark the text: offsets count an emoji as one character."""
    entities = [
        {"start": 2, "end": 7, "type": "PER", "score": 0.875},
        {"start": 4, "end": 7, "type": "LOC", "score": 0.5},  # inside the one before
        {"start": 17, "end": 22, "type": "LOC", "score": 0.5},
    ]
    answers = [
        {"text": "Paris", "start": 17, "end": 22, "score": 0.75},
        {"text": "", "start": 0, "end": 0, "score": 0.25},
    ]
    return {
        "entities": fake("entities", [("text", "Text")], {"entities": entities}),
        "answers": fake(
            "answers", [("question", "Question"), ("text", "Text")], {"answers": answers}
        ),
    }


@pytest.fixture(scope="module")
def browser():
    with Browser() as one:
        yield one


def shown(browser, selector):
    """The texts of the elements, without what is for screen readers alone."""
    return browser.run(
        f"""Array.from(document.querySelectorAll({json.dumps(selector)}), (element) => {{
            const copy = element.cloneNode(true);
            copy.querySelectorAll(".hidden").forEach((one) => one.remove());
            return copy.textContent;
        }})"""
    )


def count(browser, selector):
    return browser.run(f"document.querySelectorAll({json.dumps(selector)}).length")


def link(server, **state):
    return f"{server.url}#{urlencode(state)}"


def test_the_page_is_used_by_keyboard_as_one_types(serve, models, browser):
    server = serve({"words": models["words"]})
    browser.events.clear()
    browser.look(1280)
    browser.open(server.url)
    assert count(browser, ".text button.word") > 5  # the example

    # One types, and the answer changes without a reload.
    browser.run("document.kept = true; find('text').select()")
    browser.type(FOX)
    browser.wait_for("document.querySelectorAll('.text button.word').length === 4")
    assert shown(browser, ".text button.word") == FOX.split()
    assert "of 4 words" in browser.wait_for("find('status').textContent")

    # Tab reaches the words, an arrow the next one, Enter masks it.
    browser.press("Tab")
    browser.press("ArrowRight")
    assert "quick" in browser.run("document.activeElement.textContent")
    assert "%" in browser.run("document.activeElement.querySelector('.hidden').textContent")
    browser.press("Enter")
    browser.wait_for("document.querySelectorAll('.fill tr').length === 5")
    assert browser.run("document.activeElement.getAttribute('aria-pressed')") == "true"
    assert "mask=1" in browser.run("location.hash")

    # A suggestion goes into the text.
    suggestion = browser.run(
        """(() => { const row = [...document.querySelectorAll('.fill th button')]
            .find((button) => !button.textContent.startsWith('…'));
        row?.click(); return row?.textContent; })()"""
    )
    if suggestion:
        assert browser.run("find('text').value") == FOX.replace("quick", suggestion)
    assert browser.run("document.kept")
    assert browser.problems() == []


def test_links_hostile_texts_and_narrow_windows(serve, models, fakes, browser):
    server = serve({**models, **fakes})
    browser.events.clear()
    texts = {"text": HOSTILE, "text_b": HOSTILE * 3, "question": "x" * 300}
    for width in (320, 1280):
        browser.look(width, dark=width == 320)
        browser.open(link(server, model="*", **texts))  # all of them, one under the other
        assert browser.run("document.title") == "Try a model"
        assert count(browser, "img, b, main script") == 0
        assert count(browser, ".text") == 9  # all but "topics" mark it, and the pair has two
        assert browser.run("document.documentElement.scrollWidth <= innerWidth"), width
    assert browser.problems() == []


def test_marks_are_at_their_characters(serve, fakes, browser):
    server = serve(fakes)
    browser.look(1280)
    text = "😀 Maria lives in Paris."
    browser.open(link(server, model="entities", text=text))
    assert shown(browser, ".text") == ["😀 MariaPER lives in ParisLOC."]
    assert shown(browser, "mark small") == ["PER", "LOC"]
    assert browser.run("document.querySelector('mark .hidden').textContent") == ", 88%"
    assert browser.run("find('status').textContent") == "3 spans found"

    browser.open(link(server, model="answers", text=text, question="Where?"))
    assert shown(browser, "label")[1:] == ["Question", "Text"]
    assert shown(browser, "mark") == ["Paris"]
    assert shown(browser, ".bars th") == ["Paris", "(no answer)"]


def test_an_answer_to_an_older_text_is_dropped(serve, browser):
    def answer(predictor, requests):
        if any(request.texts["text"] == "slow" for request in requests):
            time.sleep(0.5)
        return [{"value": len(request.texts["text"])} for request in requests]

    model = fake("value", [("text", "Text")], None)
    model = model._replace(kind=model.kind._replace(answer=answer))
    server = serve({"value": model})
    browser.open(link(server, text="x"))
    browser.run("find('text').select()")
    browser.type("slow")
    browser.wait_for("document.body.dataset.state === 'asking'")
    browser.type("er")
    browser.wait_for("document.body.dataset.state === 'ready'")
    browser.wait_for("find('status').textContent === 'value 6'")
    time.sleep(0.6)
    assert shown(browser, ".headline") == ["Value: 6"]


def test_labels_words_and_problems_are_shown(serve, models, browser):
    server = serve({"film": models["film"], "score": models["score"]}, characters=50)
    browser.look(360)
    browser.open(link(server, model="film", text=FOX))
    browser.wait_for("document.querySelectorAll('.bars').length === 2")
    assert sorted(shown(browser, ".bars:first-child th")) == ["bad", "good"]
    assert shown(browser, ".text .word") == FOX.split()
    browser.open(link(server, model="*", text=FOX))
    assert shown(browser, "h2") == ["film", "score"] and "film: " in shown(browser, "#status")[0]

    browser.open(link(server, model="film", text="x" * 51))
    assert "at most 50" in shown(browser, ".problem[role=alert]")[0]
    assert browser.run("find('text').getAttribute('aria-invalid')") == "true"
