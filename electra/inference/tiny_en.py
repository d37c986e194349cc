"""The tiny ELECTRA that comes with the code, and one sentence as it and a new model see it."""

from __future__ import annotations

from pathlib import Path

from electra.inference.predictor import load_predictor
from electra.inference.replaced import mark_words, replaced_words
from electra.inference.texts import records_of

TINY_EN = Path("data/pretrained/tiny-en.pt")
SENTENCE = "The acting is was terrible, and I want my money back."


def view_of(checkpoint: Path) -> str:
    """`SENTENCE` with its suspicious words marked, and which word is the most suspicious.

    Raises ValueError for a checkpoint that is not an ELECTRA's.
    """
    predictor = load_predictor(checkpoint, device="cpu", amp="off")
    [words] = replaced_words(predictor, list(records_of([SENTENCE])))
    most = max(words, key=lambda word: word.replaced)
    return (
        f"{mark_words(words, colour=False)}   (most suspicious: {most.text}, {most.replaced:.2f})"
    )


def compare_with_tiny_en(checkpoint: Path) -> list[str]:
    """What to say of an ELECTRA of the sample's text, with one sentence as it and tiny-en see it.

    Where tiny-en is missing or cannot be read, the sentence is left out: the run has been saved.
    """
    lines = ["The sample is far too small to learn a language from."]
    if not TINY_EN.exists():
        return lines
    try:
        views = [view_of(checkpoint), view_of(TINY_EN)]
    except ValueError as problem:
        return [*lines, f"no comparison with tiny-en: {problem}"]
    card = TINY_EN.with_name("README.md")
    return [
        f"{lines[0]} tiny-en comes with the code ({card}).",
        "One sentence, with the words that look replaced to each:",
        f"  this run: {views[0]}",
        f"  tiny-en:  {views[1]}",
    ]
