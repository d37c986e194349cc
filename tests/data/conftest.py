"""A small corpus and a WordPiece vocabulary, shared by the tests of the data wing."""

import re
from collections import Counter

import pytest

from data.corpora import PAGES, write
from data.wordpieces import HAND_PICKED, specials_and, spelt
from electra.data.wordpiece import WordPieceTokenizer


@pytest.fixture
def pages(tmp_path):
    """`PAGES` as a WikiText file."""
    return write(
        tmp_path / "pages.raw",
        "\n\n".join("\n".join(f" {line} " for line in page) for page in PAGES),
    )


@pytest.fixture(scope="session")
def vocabulary(sample_path):
    """A vocabulary of the sample: its characters, frequent words, and frequent ends of words."""
    text = sample_path.read_text(encoding="utf-8")
    found = [re.findall(r"\w+|[^\w\s]", form) for form in (text, text.lower())]
    counts = Counter(word for form in found for word in form if len(word) > 1)
    ends = Counter("##" + word[-size:] for word in counts for size in (2, 3, 4) if len(word) > size)
    frequent = [
        *(word for word, n in counts.items() if n >= 6),
        *(end for end, n in ends.items() if n >= 6),
    ]
    return specials_and([*spelt(text, "".join(HAND_PICKED)), *frequent])


@pytest.fixture
def wordpiece(vocabulary):
    """wordpiece(**switches) -> a tokenizer of that vocabulary."""
    return lambda **switches: WordPieceTokenizer(vocabulary, **switches)
