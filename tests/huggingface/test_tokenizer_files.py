"""Tokenizer files of a released checkpoint, there and back, and what is refused."""

import json

import pytest
import sentencepiece

from electra.config import SPECIAL_TOKENS
from electra.data.wordpiece import WordPieceTokenizer
from electra.huggingface.tokenizer_files import read_tokenizer, write_tokenizer
from electra.huggingface.unigram import read_sentencepiece
from huggingface.checks import assert_refused
from huggingface.tokenizer_folders import BACKEND, ELECTRA, fast, folder_with

pytestmark = pytest.mark.fast

TOKENS = [
    "[PAD]",
    "a",
    "##b",
    "é",
    "漢",
    "[UNK]",
    "[CLS]",
    "[SEP]",
    "[MASK]",
    "A",
    "e",
    "字",
    "漢字",
]
TEXT = "aB é漢字 É"
SWITCHES = [
    (lower, strip, chinese)
    for lower in (True, False)
    for strip in (True, False)
    for chinese in (True, False)
]
VOCAB = "".join(f"{token}\n" for token in TOKENS)
FAST = {
    "model": {"type": "WordPiece", "vocab": {token: i for i, token in enumerate(TOKENS)}},
    "normalizer": {"type": "BertNormalizer", "lowercase": True},
    "pre_tokenizer": {"type": "BertPreTokenizer"},
}


@pytest.fixture
def folder(tmp_path):
    """folder(**files by their name with _ for .) -> a folder with them."""

    def make(**files):
        for name, content in files.items():
            path = tmp_path / ".".join(name.rsplit("_", 1))
            text = content if isinstance(content, (bytes, str)) else json.dumps(content)
            path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return tmp_path

    return make


@pytest.mark.parametrize("lower, strip, chinese", SWITCHES)
def test_a_written_tokenizer_is_read_again_from_any_of_its_files(tmp_path, lower, strip, chinese):
    tokenizer = WordPieceTokenizer(TOKENS, lower, strip, chinese)
    write_tokenizer(tmp_path, tokenizer, 512)
    assert {path.name for path in tmp_path.iterdir()} == {
        "vocab.txt",
        "tokenizer.json",
        "tokenizer_config.json",
        "tokenizer.model",
    }
    for lost in (None, "tokenizer.model", "vocab.txt"):
        if lost:
            (tmp_path / lost).unlink()
        found = read_tokenizer(tmp_path)
        assert found.fingerprint == tokenizer.fingerprint and found.special == (0, 5, 6, 7, 8), lost
        assert found.encode_batch([TEXT]) == tokenizer.encode_batch([TEXT])


def test_a_written_sentencepiece_is_read_again(tmp_path, tokenizer):
    write_tokenizer(tmp_path, tokenizer, 512)
    assert {path.name for path in tmp_path.iterdir()} == {
        "tokenizer.json",
        "tokenizer_config.json",
        "tokenizer.model",
    }
    assert read_tokenizer(tmp_path).fingerprint == tokenizer.fingerprint
    assert json.loads((tmp_path / "tokenizer_config.json").read_text())["model_max_length"] == 512


@pytest.mark.parametrize(
    "settings, switches",
    [
        (None, (True, True, True)),
        ({}, (True, True, True)),
        ({"do_lower_case": True, "model_max_length": 512}, (True, True, True)),
        ({"do_lower_case": False}, (False, False, True)),
        ({"strip_accents": False}, (True, False, True)),
        ({"do_lower_case": False, "strip_accents": None}, (False, False, True)),
        ({"do_lower_case": False, "strip_accents": True}, (False, True, True)),
        ({"tokenize_chinese_chars": False}, (True, True, False)),
    ],
)
def test_switches_come_from_the_tokenizer_s_settings(folder, settings, switches):
    files = {} if settings is None else {"tokenizer_config_json": settings}
    found = read_tokenizer(folder(vocab_txt=VOCAB, **files))
    assert (
        found.lower_case,
        found.strip_accents,
        found.split_chinese,
    ) == switches and found.tokens == tuple(TOKENS)


@pytest.mark.parametrize(
    "settings, switches",
    [
        ({"lowercase": True}, (True, True, True)),
        ({"lowercase": False}, (False, False, True)),
        (
            {"lowercase": False, "strip_accents": True, "handle_chinese_chars": False},
            (False, True, False),
        ),
        ({"lowercase": True, "strip_accents": False}, (True, False, True)),
    ],
)
def test_switches_come_from_a_tokenizer_json(folder, settings, switches):
    found = read_tokenizer(
        folder(tokenizer_json={**FAST, "normalizer": {"type": "BertNormalizer", **settings}})
    )
    assert (
        found.lower_case,
        found.strip_accents,
        found.split_chinese,
    ) == switches and found.tokens == tuple(TOKENS)


@pytest.mark.parametrize(
    "files",
    [
        {},
        {"tokenizer_config_json": {}},
        {"vocab_txt": "a\nb\n"},
        {"vocab_txt": b"[PAD]\n\xff"},
        {"vocab_txt": ""},
        {"tokenizer_model": b"none"},
        {"tokenizer_model": b"{}"},
        {"tokenizer_model": b"", "vocab_txt": VOCAB},
        *(
            {"vocab_txt": VOCAB, "tokenizer_config_json": text}
            for text in ("", "{", "[]", "3", b"\xff", '{"a":' * 100_000)
        ),
        *(
            {"tokenizer_json": content}
            for content in (
                "",
                "{",
                "[]",
                "null",
                "{}",
                '{"a":' * 100_000,
                {**FAST, "model": {}},
                {**FAST, "model": None},
                {**FAST, "model": [1]},
                {**FAST, "model": "WordPiece"},
                {**FAST, "model": {"type": "Unigram", "vocab": [["a", 0.0]]}},
                {**FAST, "model": {"type": "BPE", "vocab": {}}},
                {**FAST, "normalizer": None},
                {**FAST, "normalizer": [1]},
                {**FAST, "normalizer": "BertNormalizer"},
                {**FAST, "normalizer": {"type": "Lowercase"}},
                {**FAST, "model": {"vocab": TOKENS}},
                {**FAST, "model": {"vocab": {"a": 0}}},
                *(
                    {**FAST, "model": {"vocab": {**FAST["model"]["vocab"], "more": id_}}}
                    for id_ in (12, 14, -1, "13", None, [13])
                ),
            )
        ),
    ],
)
def test_files_that_are_no_tokenizer_are_refused_by_name(folder, tmp_path, files):
    made = folder(**files)
    assert_refused(lambda: read_tokenizer(made), tmp_path)


def test_our_own_file_goes_before_a_tokenizer_json_and_that_before_a_vocabulary(folder):
    other = WordPieceTokenizer([*TOKENS, "own"], lower_case=False)
    made = folder(tokenizer_model=other.to_bytes(), vocab_txt=VOCAB + "text\n", tokenizer_json=FAST)
    for name, last in (
        ("tokenizer.model", "own"),
        ("tokenizer.json", "漢字"),
        ("vocab.txt", "text"),
    ):
        assert read_tokenizer(made).tokens[-1] == last
        (made / name).unlink()


def test_the_vocabulary_of_a_tokenizer_json_goes_before_that_of_a_vocab_txt(tmp_path):
    for settings in ({}, {"tokenizer_class": BACKEND}):
        files = {"vocab.txt": VOCAB.replace("漢字", "other"), "tokenizer.json": fast(TOKENS)}
        folder = folder_with(tmp_path, {**files, "tokenizer_config.json": settings})
        assert read_tokenizer(folder).tokens == tuple(TOKENS)


def test_a_vocab_txt_fills_the_ids_that_a_repeated_line_lacks(tmp_path):
    lines = [*TOKENS[:10], "A", *TOKENS[10:]]
    content = fast(lines)
    assert len(content["model"]["vocab"]) == len(lines) - 1
    folder = folder_with(tmp_path, {"tokenizer.json": content, "config.json": ELECTRA})
    assert_refused(lambda: read_tokenizer(folder), "the ids of its vocabulary are not 0 to 12")
    folder_with(tmp_path, {"vocab.txt": "\n".join(lines)})
    assert read_tokenizer(folder).tokens == tuple(lines)
    folder_with(tmp_path, {"vocab.txt": "\n".join(reversed(lines))})
    assert_refused(lambda: read_tokenizer(folder), "the ids of its vocabulary are not 0 to 12")


# (tokenizer_config.json, config.json) -> (lower_case, strip_accents, split_chinese), where
# tokenizer.json says False, True, False and vocab.txt nothing.
@pytest.mark.parametrize(
    "settings, network, switches",
    [
        (None, None, (False, True, False)),
        (None, {"vocab_size": 13}, (False, True, False)),
        (None, ELECTRA, (True, True, True)),
        ({}, ELECTRA, (True, True, True)),
        ({"do_lower_case": False}, ELECTRA, (False, False, True)),
        ({"tokenize_chinese_chars": False}, {"model_type": "bert"}, (True, True, False)),
        ({"tokenizer_class": "BertTokenizerFast"}, None, (True, True, True)),
        (
            {"tokenizer_class": "ElectraTokenizer", "strip_accents": False},
            None,
            (True, False, True),
        ),
        ({"tokenizer_class": BACKEND, "do_lower_case": True}, ELECTRA, (False, True, False)),
        ({"tokenizer_class": "TokenizersBackend"}, ELECTRA, (False, True, False)),
        ({"do_lower_case": True}, {**ELECTRA, "tokenizer_class": BACKEND}, (False, True, False)),
        (
            {"tokenizer_class": "DistilBertTokenizerFast"},
            {**ELECTRA, "tokenizer_class": BACKEND},
            (True, True, True),
        ),
    ],
)
def test_the_class_decides_which_file_has_the_switches(tmp_path, settings, network, switches):
    said = {"lowercase": False, "strip_accents": True, "handle_chinese_chars": False}
    files = {"tokenizer.json": fast(TOKENS, normalizer=said), "vocab.txt": VOCAB}
    if settings is not None:
        files["tokenizer_config.json"] = settings
    if network is not None:
        files["config.json"] = network
    found = read_tokenizer(folder_with(tmp_path, files))
    assert (found.lower_case, found.strip_accents, found.split_chinese) == switches


def test_a_class_that_reads_tokenizer_json_is_refused_without_one(tmp_path):
    files = {"vocab.txt": VOCAB, "tokenizer_config.json": {"tokenizer_class": BACKEND}}
    folder = folder_with(tmp_path, files)
    assert_refused(lambda: read_tokenizer(folder), folder, "no tokenizer.json", BACKEND)


def test_pieces_scores_and_table_are_those_of_the_sentencepiece_model(tokenizer):
    pieces, table = read_sentencepiece(tokenizer.to_bytes())
    processor = sentencepiece.SentencePieceProcessor(model_proto=tokenizer.to_bytes())
    assert pieces == [
        (processor.IdToPiece(i), processor.GetScore(i)) for i in range(processor.GetPieceSize())
    ]
    assert [name for name, _ in pieces[:5]] == list(SPECIAL_TOKENS) and len(
        {score for _, score in pieces}
    ) > 500
    # The table begins with the size of its trie, in bytes, which is followed by the replacements.
    assert 0 < int.from_bytes(table[:4], "little") < len(table) and table in tokenizer.to_bytes()
