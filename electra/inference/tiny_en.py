"""The tiny ELECTRA that comes with the code, and one sentence as it and a new model see it."""

from __future__ import annotations

from pathlib import Path

from electra.inference.predictor import load_predictor
from electra.inference.replaced import mark_words, replaced_words
from electra.inference.texts import records_of

TINY_EN = Path("data/pretrained/tiny-en.pt")
SENTENCE = "The acting is was terrible, and I want my money back."


def view_of(checkpoint: Path, sentence: str = SENTENCE) -> str:
    """The sentence with its suspicious words marked, and which word is the most suspicious.

    Raises ValueError for a checkpoint that is not an ELECTRA's.
    """
    predictor = load_predictor(checkpoint, device="cpu", amp="off")
    [words] = replaced_words(predictor, list(records_of([sentence])))
    most = max(words, key=lambda word: word.replaced)
    return (
        f"{mark_words(words, colour=False)}   (most suspicious: {most.text}, {most.replaced:.2f})"
    )


def compare_with_tiny_en(checkpoint: Path) -> list[str]:
    """Lines that show one sentence as a new ELECTRA and as tiny-en see it.

    None where tiny-en is missing, and one that says so where it cannot be read: the run before it
    is done and saved.
    """
    if not TINY_EN.exists():
        return []
    try:
        views = [view_of(checkpoint), view_of(TINY_EN)]
    except ValueError as problem:
        return [f"no comparison with tiny-en: {problem}"]
    return [
        "The sample is far too small to learn a language from. One sentence as this run sees it,",
        f"and as tiny-en does, which comes with the code ({TINY_EN.with_name('README.md')}):",
        f"  this run: {views[0]}",
        f"  tiny-en:  {views[1]}",
    ]
