"""Spans as tags: the schemes, told apart and counted as the evaluation of CoNLL counts them."""

import random

import pytest

from electra.tasks.tag_schemes import (
    Span,
    iob2_labels,
    iob2_tags,
    scheme_of,
    spans_of,
    to_iob2,
)

pytestmark = pytest.mark.fast

# The same spans in three schemes: New York City | Paris , Rome
SPANS = [Span("LOC", 1, 4), Span("LOC", 4, 5), Span("LOC", 6, 7)]
WRITTEN = {
    "iob1": "O I-LOC I-LOC I-LOC B-LOC O I-LOC",
    "iob2": "O B-LOC I-LOC I-LOC B-LOC O B-LOC",
    "iobes": "O B-LOC I-LOC E-LOC S-LOC O S-LOC",
}


@pytest.mark.parametrize("scheme", WRITTEN)
def test_a_scheme_is_recognised_and_means_the_same_spans(scheme):
    tags = WRITTEN[scheme].split()
    assert scheme_of([["O"], tags]) == scheme
    assert spans_of(tags) == SPANS
    assert to_iob2(tags) == WRITTEN["iob2"].split()


def test_bilou_is_iobes_with_other_letters():
    tags = WRITTEN["iobes"].replace("E-", "L-").replace("S-", "U-").split()
    assert scheme_of([tags]) == "iobes" and spans_of(tags) == SPANS


@pytest.mark.parametrize("tags", [["NN", "DT"], ["O", "O"], ["B-LOC", "X"], ["I-"]])
def test_other_tags_are_plain(tags):
    assert scheme_of([tags]) == "plain"


@pytest.mark.parametrize(
    "tags, spans",
    [
        ("I-A I-A", [Span("A", 0, 2)]),  # an I- at the start opens a span
        ("B-A I-B I-B", [Span("A", 0, 1), Span("B", 1, 3)]),  # so does one after another type
        ("I-A O I-A", [Span("A", 0, 1), Span("A", 2, 3)]),
        ("E-A I-A", [Span("A", 0, 1), Span("A", 1, 2)]),  # an E- has ended what was before
        ("S-A S-A", [Span("A", 0, 1), Span("A", 1, 2)]),
        ("B-A E-A E-A", [Span("A", 0, 2), Span("A", 2, 3)]),
        ("B-A-B I-A-B", [Span("A-B", 0, 2)]),
        ("", []),
    ],
)
def test_odd_tags_are_counted_as_conlleval_does(tags, spans):
    assert spans_of(tags.split()) == spans


def test_any_spans_survive_the_way_through_iob2():
    draw = random.Random(0)
    for _ in range(300):
        words, spans, at = draw.randrange(12), [], 0
        while at < words:
            length = draw.randint(1, 3)
            if draw.random() < 0.6:
                spans.append(Span(draw.choice("AB"), at, min(words, at + length)))
            at += length
        assert spans_of(iob2_tags(spans, words)) == spans


def test_the_labels_of_spans_are_outside_and_two_for_each_type():
    assert iob2_labels(["PER", "LOC", "PER"]) == ("O", "B-LOC", "I-LOC", "B-PER", "I-PER")
