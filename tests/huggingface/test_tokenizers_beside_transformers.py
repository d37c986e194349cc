"""Every tokenizer that is imported beside what AutoTokenizer makes of the same folder."""

import random
import unicodedata

import pytest
from data.wordpieces import HAND_PICKED, TEXTS, hand_picked_texts, spelt

from electra.config import SPECIAL_TOKENS
from electra.data.wordpiece import WordPieceTokenizer
from electra.huggingface.tokenizer_files import read_tokenizer, write_tokenizer
from huggingface.tokenizer_folders import BACKEND, ELECTRA, added, fast, folder_with

# (lower, strip, chinese); a tokenizer.json gets the opposite of chinese.
SWITCHES = [
    (True, True, True),
    (True, False, False),
    (True, None, True),
    (False, True, False),
    (False, False, True),
    (False, None, False),
]


def old_characters(count):
    """Characters that are what they were in Unicode 3.2: the tables of a library are of some age.

    Without those of Unicode's blocks of ideographs, of which one is enough.
    """
    rng, found = random.Random(0), []
    old = unicodedata.ucd_3_2_0
    while len(found) < count:
        char = chr(rng.randrange(0x110000))
        category = unicodedata.category(char)
        if category not in ("Cn", "Cs", "Co") and "CJK" not in unicodedata.name(char, ""):
            found += [char] * (old.category(char) == category)
    return found


def odd_texts():
    """Texts with words of all lengths, runs of marks, control characters and special tokens."""
    rng, characters = random.Random(1), old_characters(400)
    return [
        *TEXTS,
        *HAND_PICKED,
        *hand_picked_texts(300),
        *("".join(rng.choices([*characters, " "], k=30)) for _ in range(150)),
        *("a" * length + "-" + "é" * length for length in (99, 100, 101, 250)),
        *("e" + "\u0301\u0327" * count + "b" for count in (1, 10, 60)),
        "".join(map(chr, range(0x300))),
        *(f"a{token}b {token.lower()} x{token}" for token in SPECIAL_TOKENS),
        "[MASK",
        "[ MASK ]",
        "",
        " \u3000\n",
    ]


@pytest.fixture(scope="module")
def texts():
    return odd_texts()


@pytest.fixture(scope="module")
def tokens(texts):
    """A vocabulary in which few words are unknown, special tokens at 0 to 4."""
    pieces = ["naïve", "naive", "plain", "Plain", "##ai", "##aï", "漢字", "##漢"]
    characters = dict.fromkeys([*spelt(*texts), *pieces])
    return (*SPECIAL_TOKENS, *(token for token in characters if token[-1:].strip()))


@pytest.fixture(scope="module")
def auto_tokenizer():
    """auto_tokenizer(folder) -> a function: texts -> ids; special tokens are text, as here."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HF_HUB_OFFLINE", "1")
        transformers = pytest.importorskip("transformers")
        transformers.logging.set_verbosity_error()

    def make(folder):
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
        return lambda texts: tokenizer(texts, add_special_tokens=False, split_special_tokens=True)[
            "input_ids"
        ]

    return make


def assert_same_ids(folder, auto_tokenizer, texts):
    ours, theirs = read_tokenizer(folder).encode_batch(texts), auto_tokenizer(folder)(texts)
    for text, mine, other in zip(texts, ours, theirs, strict=True):
        assert mine == other, ascii(text)
    assert sum(map(len, ours)) > 5_000


@pytest.mark.parametrize("lower, strip, chinese", SWITCHES)
def test_a_vocab_txt_with_settings_is_read_as_autotokenizer_reads_it(
    tmp_path, auto_tokenizer, texts, tokens, lower, strip, chinese
):
    settings = {
        "do_lower_case": lower,
        "strip_accents": strip,
        "tokenize_chinese_chars": chinese,
        "tokenizer_class": "ElectraTokenizer",
    }
    vocab = "".join(f"{token}\n" for token in tokens)
    files = {"vocab.txt": vocab, "tokenizer_config.json": settings, "config.json": ELECTRA}
    assert_same_ids(folder_with(tmp_path, files), auto_tokenizer, texts)


@pytest.mark.parametrize("lower, strip, chinese", SWITCHES)
def test_a_tokenizer_json_is_read_as_autotokenizer_reads_it(
    tmp_path, auto_tokenizer, texts, tokens, lower, strip, chinese
):
    normalizer = {"lowercase": lower, "strip_accents": strip, "handle_chinese_chars": not chinese}
    files = {
        "tokenizer.json": fast(tokens, normalizer=normalizer),
        "tokenizer_config.json": {"tokenizer_class": BACKEND},
        "config.json": ELECTRA,
    }
    assert_same_ids(folder_with(tmp_path, files), auto_tokenizer, texts)


# What tokenizer_config.json and config.json say beside a tokenizer.json that says the opposite of
# the usual, and a vocab.txt with the same tokens in another order.
@pytest.mark.parametrize(
    "settings, network",
    [
        (None, {}),
        ({"do_lower_case": True, "strip_accents": False}, {}),
        ({"tokenizer_class": None, "tokenize_chinese_chars": True}, {"model_type": "bert"}),
        ({"tokenizer_class": "BertTokenizerFast"}, {"tokenizer_class": BACKEND}),
        ({"tokenizer_class": BACKEND, "do_lower_case": True}, {}),
        ({"tokenizer_class": "TokenizersBackend"}, {}),
        ({"do_lower_case": True}, {"tokenizer_class": BACKEND}),
        ({"strip_accents": True}, {"tokenizer_class": "BertTokenizer"}),
        ({"never_split": list(SPECIAL_TOKENS), "do_basic_tokenize": True, "init_inputs": []}, {}),
        ({"added_tokens_decoder": {"4": added("[MASK]", lstrip=True)}, "bos_token": "[CLS]"}, {}),
        (None, {"model_type": None}),
    ],
)
def test_of_files_that_contradict_each_other_the_same_one_counts(
    tmp_path, auto_tokenizer, texts, tokens, settings, network
):
    said = {"lowercase": False, "strip_accents": True, "handle_chinese_chars": False}
    files = {
        "tokenizer.json": fast(
            tokens,
            normalizer=said,
            truncation={
                "direction": "Right",
                "max_length": 3,
                "strategy": "LongestFirst",
                "stride": 0,
            },
        ),
        "vocab.txt": "\n".join((*tokens[:5], *reversed(tokens[5:]), "")),
        "config.json": {k: v for k, v in {**ELECTRA, **network}.items() if v is not None},
    }
    if settings is not None:
        files["tokenizer_config.json"] = settings
    assert_same_ids(folder_with(tmp_path, files), auto_tokenizer, texts)


def test_a_repeated_line_of_a_vocab_txt_has_its_last_id(tmp_path, auto_tokenizer, texts, tokens):
    lines = [*tokens, "", tokens[50], tokens[60]]
    files = {"vocab.txt": "\r\n".join(lines), "config.json": ELECTRA}
    assert_same_ids(folder_with(tmp_path, files), auto_tokenizer, texts)
    folder_with(tmp_path, {"tokenizer.json": fast(lines)})
    assert_same_ids(tmp_path, auto_tokenizer, texts)


@pytest.mark.parametrize(
    "lower, strip, lost",
    [(True, True, "vocab.txt"), (True, False, "tokenizer.json"), (False, True, "tokenizer.model")],
)
def test_an_exported_tokenizer_is_read_again_here_and_there(
    tmp_path, auto_tokenizer, texts, tokens, lower, strip, lost
):
    tokenizer = WordPieceTokenizer(tokens, lower, strip, split_chinese=strip)
    write_tokenizer(tmp_path, tokenizer, 512)
    folder_with(tmp_path, {"config.json": ELECTRA})
    (tmp_path / "tokenizer.model").unlink()
    (tmp_path / lost).unlink(missing_ok=True)
    assert read_tokenizer(tmp_path).fingerprint == tokenizer.fingerprint
    assert_same_ids(tmp_path, auto_tokenizer, texts)
