"""WordPiece beside the published algorithm and beside the tokenizer of transformers."""

import pytest

from data.wordpieces import HAND_PICKED, SWITCHES, hand_picked_texts, published


@pytest.mark.parametrize("split_chinese", [True, False])
@pytest.mark.parametrize("lower_case, strip_accents", SWITCHES)
def test_wordpiece_equals_the_published_algorithm_on_odd_characters(
    wordpiece, vocabulary, lower_case, strip_accents, split_chinese
):
    switches = {
        "lower_case": lower_case,
        "strip_accents": strip_accents,
        "split_chinese": split_chinese,
    }
    texts = [*HAND_PICKED, *hand_picked_texts()]
    for text, ids in zip(texts, wordpiece(**switches).encode_batch(texts), strict=True):
        assert ids == published(text, vocabulary, **switches), ascii(text)


@pytest.mark.parametrize("lower_case", [True, False])
def test_wordpiece_equals_the_published_algorithm_on_the_sample(
    wordpiece, vocabulary, sample_path, lower_case
):
    lines = sample_path.read_text(encoding="utf-8").splitlines()
    found = wordpiece(lower_case=lower_case).encode_batch(lines)
    assert found == [published(line, vocabulary, lower_case, lower_case, True) for line in lines]
    assert len({id_ for ids in found for id_ in ids}) > 1_000  # of words, ends and characters


@pytest.fixture(scope="module")
def theirs(tmp_path_factory, vocabulary):
    """theirs(lower_case, strip_accents) -> a function: texts -> ids, by transformers' tokenizer."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HF_HUB_OFFLINE", "1")
        transformers = pytest.importorskip("transformers")
    path = tmp_path_factory.mktemp("theirs") / "vocab.txt"
    path.write_text("".join(f"{token}\n" for token in vocabulary), encoding="utf-8", newline="")

    def make(lower_case, strip_accents):
        tokenizer = transformers.BertTokenizer(
            str(path), do_lower_case=lower_case, strip_accents=strip_accents
        )
        return lambda texts: tokenizer(texts, add_special_tokens=False)["input_ids"]

    return make


@pytest.mark.parametrize("lower_case, strip_accents", SWITCHES)
def test_wordpiece_equals_transformers_token_for_token(
    theirs, wordpiece, sample_path, lower_case, strip_accents
):
    lines = sample_path.read_text(encoding="utf-8").splitlines()
    # Their tokenizer takes text that spells a special token for the token.
    texts = [
        text
        for text in (*lines, *HAND_PICKED, *hand_picked_texts(1_000, seed=1))
        if "[MASK]" not in text
    ]
    ours = wordpiece(lower_case=lower_case, strip_accents=strip_accents).encode_batch(texts)
    for text, mine, other in zip(
        texts, ours, theirs(lower_case, strip_accents)(texts), strict=True
    ):
        assert mine == other, ascii(text)
    assert len(texts) > 1_500
