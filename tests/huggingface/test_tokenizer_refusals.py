"""A downloaded tokenizer that would split text otherwise is refused, with the setting's value."""

import json

import pytest

from electra.config import SPECIAL_TOKENS
from electra.huggingface.tokenizer_files import read_tokenizer, write_tokenizer
from huggingface.checks import assert_refused
from huggingface.tokenizer_folders import BACKEND, ELECTRA, VOCABULARY, added, fast, folder_with

pytestmark = pytest.mark.fast

VOCAB = "".join(f"{token}\n" for token in VOCABULARY)
STANDARD = {"vocab.txt": VOCAB, "tokenizer.json": fast(), "config.json": ELECTRA}


def test_the_standard_folder_is_read(tmp_path):
    assert read_tokenizer(folder_with(tmp_path, STANDARD)).tokens == VOCABULARY


@pytest.mark.parametrize(
    "name, value",
    [
        ("tokenizer_class", "BertJapaneseTokenizer"),
        ("tokenizer_class", "BertJapaneseTokenizerFast"),
        ("tokenizer_class", "RobertaTokenizer"),
        ("tokenizer_class", "PreTrainedTokenizer"),
        ("tokenizer_class", ["BertTokenizer"]),
        ("tokenizer_class", ""),
        ("word_tokenizer_type", "mecab"),
        ("subword_tokenizer_type", "character"),
        ("do_word_tokenize", False),
        ("do_subword_tokenize", False),
        ("mecab_kwargs", {"mecab_dic": "ipadic"}),
        ("sudachi_kwargs", {"a": 1}),
        ("jumanpp_kwargs", {"a": 1}),
        ("sp_model_kwargs", {"a": 1}),
        ("do_basic_tokenize", False),
        ("never_split", ["the"]),
        ("never_split", "the"),
        ("clean_text", False),
        ("wordpieces_prefix", "@@"),
        ("backend", "sentencepiece"),
        ("fast_tokenizer_files", ["tokenizer.4.0.json", "tokenizer.json"]),
        ("init_inputs", [1]),
        ("trust_remote_code", True),
        ("vocab", {"a": 0}),
        ("do_lower_case", None),
        ("do_lower_case", "no"),
        ("strip_accents", 1),
        ("tokenize_chinese_chars", None),
        ("unk_token", "the"),
        ("unk_token", "[MASK]"),
        ("mask_token", "<mask>"),
        ("pad_token", 0),
        ("bos_token", "<s>"),
        ("image_token", "the"),
        ("mask_token", {"content": "<mask>"}),
        ("mask_token", {"lstrip": True}),
        ("auto_map", {"AutoTokenizer": ["code.Own", None]}),
        ("auto_map", ["code.Own", None]),
    ],
)
def test_a_setting_that_splits_text_otherwise_is_refused(tmp_path, name, value):
    folder = folder_with(tmp_path, {**STANDARD, "tokenizer_config.json": {name: value}})
    shown = value.get("content") if name == "mask_token" and isinstance(value, dict) else value
    assert_refused(lambda: read_tokenizer(folder), f"{folder / 'tokenizer_config.json'}: ", name)
    assert_refused(lambda: read_tokenizer(folder), f" is {shown!r}, but ")


@pytest.mark.parametrize(
    "settings",
    [
        {"tokenizer_class": None},
        {
            "never_split": None,
            "do_basic_tokenize": True,
            "init_inputs": [],
            "backend": "tokenizers",
        },
        {"never_split": [], "mecab_kwargs": None, "auto_map": {"AutoModel": "code.Own"}},
        {"never_split": list(SPECIAL_TOKENS), "word_tokenizer_type": "basic"},
        {"bos_token": "[CLS]", "eos_token": None, "add_bos_token": True, "max_len": 512},
        {"additional_special_tokens": [], "extra_special_tokens": {}, "added_tokens_decoder": {}},
        {"mask_token": {"content": "[MASK]", "lstrip": True, "normalized": False}},
        {"do_lower_case": False, "mask_token": {"content": "[MASK]", "normalized": True}},
        {"added_tokens_decoder": {"4": added("[MASK]"), "0": added("[PAD]")}},
        {"something_else": ["the"], "name_or_path": "here", "split_special_tokens": True},
    ],
)
def test_a_setting_that_changes_nothing_is_read(tmp_path, settings):
    folder = folder_with(tmp_path, {**STANDARD, "tokenizer_config.json": settings})
    assert read_tokenizer(folder).tokens == VOCABULARY


@pytest.mark.parametrize(
    "key, value",
    [("tokenizer_class", "BertJapaneseTokenizer"), ("auto_map", {"AutoTokenizer": ["a.B", None]})],
)
@pytest.mark.parametrize("with_settings", [True, False])
def test_what_config_json_says_of_the_tokenizer_counts_too(tmp_path, key, value, with_settings):
    files = {**STANDARD, "config.json": {**ELECTRA, key: value}}
    if with_settings:
        files["tokenizer_config.json"] = {"do_lower_case": True}
    folder = folder_with(tmp_path, files)
    assert_refused(lambda: read_tokenizer(folder), folder / "config.json", key, repr(value))


@pytest.mark.parametrize(
    "content, name, value",
    [
        (fast(pre_tokenizer=None), "pre_tokenizer", "None"),
        (fast(pre_tokenizer={}), "pre_tokenizer", "{}"),
        (fast(pre_tokenizer={"type": "WhitespaceSplit"}), "pre_tokenizer.type", "WhitespaceSplit"),
        (fast(pre_tokenizer={"type": "Sequence", "pretokenizers": []}), "type", "Sequence"),
        (fast(model={"type": "BPE"}), "model.type", "BPE"),
        (fast(model={"continuing_subword_prefix": "@@"}), "model.continuing_subword_prefix", "@@"),
        (fast(model={"continuing_subword_prefix": ""}), "model.continuing_subword_prefix", "''"),
        (fast(model={"unk_token": "the"}), "model.unk_token", "the"),
        (fast(model={"max_input_chars_per_word": 200}), "model.max_input_chars_per_word", "200"),
        (fast(model={"dropout": 0.1}), "model.dropout", "0.1"),
        (fast(normalizer=None), "normalizer", "None"),
        (fast(normalizer={"type": "Lowercase"}), "normalizer.type", "Lowercase"),
        (fast(normalizer={"type": "Sequence", "normalizers": []}), "normalizer.type", "Sequence"),
        (fast(normalizer={"clean_text": False}), "normalizer.clean_text", "False"),
        (fast(normalizer={"form": "NFKC"}), "normalizer.form", "NFKC"),
        (fast(post_processor={"type": "ByteLevel"}), "post_processor", "ByteLevel"),
        (
            fast(
                post_processor={"type": "BertProcessing", "sep": ["[SEP]", 4], "cls": ["[CLS]", 2]}
            ),
            "post_processor",
            "BertProcessing",
        ),
        (fast(added_tokens=[added("the")]), "added_tokens", "the"),
        (fast(added_tokens=[added("new")]), "added_tokens", "new"),
        (fast(added_tokens=["the"]), "added_tokens", "the"),
        (fast(added_tokens={"the": 1}), "added_tokens", "None"),
        (fast(added_tokens=[added("[MASK]", normalized=True)]), "normalized of [MASK]", "True"),
        (fast(version="2.0"), "version", "2.0"),
        (fast(more={"type": "Split"}), "more", "Split"),
        (fast(**{"two\nlines": 1}), r"two\nlines", "1"),
    ],
)
def test_a_part_of_a_tokenizer_json_that_splits_text_otherwise_is_refused(
    tmp_path, content, name, value
):
    folder = folder_with(tmp_path, {**STANDARD, "tokenizer.json": content})
    assert_refused(lambda: read_tokenizer(folder), folder / "tokenizer.json", f"{name} is ", value)


@pytest.mark.parametrize("class_", ["BertTokenizer", BACKEND])
@pytest.mark.parametrize(
    "content",
    [
        fast(truncation={"max_length": 3, "strategy": "LongestFirst", "stride": 0}),
        fast(
            padding={"strategy": {"Fixed": 9}}, decoder={"type": "ByteLevel"}, post_processor=None
        ),
        fast(post_processor={"type": "BertProcessing", "sep": ["[SEP]", 3], "cls": ["[CLS]", 2]}),
        fast(added_tokens=[added("[MASK]", lstrip=True, single_word=True, special=False)]),
        fast(added_tokens=None),
    ],
)
def test_a_part_of_a_tokenizer_json_that_changes_no_ids_is_read(tmp_path, class_, content):
    settings = {"tokenizer_class": class_}
    folder = folder_with(
        tmp_path, {**STANDARD, "tokenizer.json": content, "tokenizer_config.json": settings}
    )
    assert read_tokenizer(folder).tokens == VOCABULARY


@pytest.mark.parametrize(
    "file, content, value",
    [
        ("special_tokens_map.json", {"unk_token": "<unk>"}, "<unk>"),
        ("special_tokens_map.json", {"additional_special_tokens": ["the"]}, "the"),
        ("special_tokens_map.json", {"mask_token": added("[MASK]", normalized=True)}, "True"),
        ("tokenizer_config.json", {"extra_special_tokens": {"x": "the"}}, "the"),
        ("tokenizer_config.json", {"model_specific_special_tokens": {"x": "the"}}, "the"),
        ("tokenizer_config.json", {"added_tokens_decoder": {"7": added("the")}}, "the"),
        ("added_tokens.json", {"the": 7}, "the"),
        ("added_tokens.json", {"new": 99}, "new"),
    ],
)
def test_a_token_that_is_cut_out_of_text_is_refused(tmp_path, file, content, value):
    folder = folder_with(tmp_path, {"vocab.txt": VOCAB, "config.json": ELECTRA, file: content})
    assert_refused(lambda: read_tokenizer(folder), folder / file, value)


@pytest.mark.parametrize("line", ["the ", "the\u3000", "t\rhe", "\r\r"])
def test_a_line_of_a_vocabulary_that_is_read_in_two_ways_is_refused(tmp_path, line):
    lines = [*VOCABULARY, line, "and"]
    folder = folder_with(tmp_path, {"vocab.txt": "\n".join(lines).encode(), "config.json": ELECTRA})
    assert_refused(lambda: read_tokenizer(folder), f"vocab.txt, line {len(VOCABULARY) + 1}: ")


@pytest.mark.parametrize("part", ["model", "normalizer", "pre_tokenizer"])
def test_a_sentencepiece_model_beside_another_tokenizer_json_is_refused(tmp_path, tokenizer, part):
    write_tokenizer(tmp_path, tokenizer, 512)
    content = json.loads((tmp_path / "tokenizer.json").read_text(encoding="utf-8"))
    folder_with(tmp_path, {"tokenizer.json": {**content, part: fast()[part]}})
    assert_refused(lambda: read_tokenizer(tmp_path), tmp_path / "tokenizer.json", f"its {part}")


@pytest.mark.parametrize("class_", ["BertTokenizerFast", "LlamaTokenizer", None])
def test_a_sentencepiece_model_that_the_reference_does_not_read_is_refused(
    tmp_path, tokenizer, class_
):
    settings = {"tokenizer_class": class_}
    files = {"tokenizer.model": tokenizer.to_bytes(), "tokenizer_config.json": settings}
    folder = folder_with(tmp_path, {**STANDARD, **files})
    assert_refused(lambda: read_tokenizer(folder), folder, (class_ or "Bert").removesuffix("Fast"))
