"""Raw text to token store: which lines make a document, what is cached, and what is refused."""

import bz2
import gzip
import json
import lzma
import os

import numpy as np
import pytest

from electra.data import encode_corpus, raw_text, token_cache, token_store
from electra.data.raw_text import find_sources, read_lines
from electra.data.token_cache import corpus_tokenizer, token_dtype
from electra.data.token_store import TokenStore, hold_out, open_store, whole

PACKERS = {".gz": gzip.compress, ".xz": lzma.compress, ".bz2": bz2.compress}


def write(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8"))
    return path


def documents(*patterns, errors="strict"):
    """Lines of the documents of a corpus, as lists of texts."""
    found = []
    for source in find_sources(tuple(map(str, patterns))):
        for line in read_lines(source, errors):
            if line.opens:
                found.append([])
            found[-1].append(line.text)
    return found


def store_of(tokenizer, cache, *patterns, workers=1, errors="strict"):
    return open_store(tuple(map(str, patterns)), tokenizer, errors, str(cache), workers)


def decoded(store, tokenizer):
    """Documents of a store as lists of lines of text."""
    lines = [
        tokenizer.decode(store.tokens[a:b].tolist()) for a, b in zip(store.lines, store.lines[1:])
    ]
    return [lines[a:b] for a, b in zip(store.documents, store.documents[1:])]


def same(a, b):
    return all(np.array_equal(x, y) and x.dtype == y.dtype for x, y in zip(a, b))


def refused(match, *patterns, errors="strict"):
    with pytest.raises(ValueError, match=match) as caught:
        documents(*patterns, errors=errors)
    assert "\n" not in str(caught.value)


# --- layouts ---

WIKITEXT = """ = Valkyria = \n \n First line . \n \n Second line . \n = = History = = \n \n Third . \n = = = Deep = = = \n

 Fourth = x . \n = A = \n Fifth . \n = Two words = \n Sixth . \n"""


def test_wikitext_titles_open_documents_and_section_headings_do_not(tmp_path):
    assert documents(write(tmp_path / "wiki.raw", WIKITEXT)) == [
        [
            "= Valkyria =",
            "First line .",
            "Second line .",
            "= = History = =",
            "Third .",
            "= = = Deep = = =",
            "Fourth = x .",
        ],
        ["= A =", "Fifth ."],
        ["= Two words =", "Sixth ."],
    ]


def test_text_before_the_first_title_is_a_document(tmp_path):
    assert documents(write(tmp_path / "wiki.raw", "preface\n\nmore\n = T = \nbody\n")) == [
        ["preface", "more"],
        ["= T =", "body"],
    ]


def test_blank_lines_part_documents_where_there_are_no_titles(tmp_path):
    text = "\n\none\ntwo\n\n\n \t\nthree\r\nfour\r\n\r\nfive"
    assert documents(write(tmp_path / "a.txt", text)) == [
        ["one", "two"],
        ["three", "four"],
        ["five"],
    ]


def test_each_file_begins_a_document(tmp_path):
    a, b = write(tmp_path / "a", "one\n"), write(tmp_path / "b", "two\n")
    assert documents(a, b) == [["one"], ["two"]]


def test_each_text_file_of_a_folder_is_one_document(tmp_path):
    write(tmp_path / "d" / "2.txt", "three\n\n = T = \n\nfour")
    write(tmp_path / "d" / "1.txt", "one\n\ntwo")
    write(tmp_path / "d" / "deep" / "3.txt", "five")
    write(tmp_path / "d" / "0.csv", "not,text")
    assert documents(tmp_path / "d") == [["one", "two"], ["three", "= T =", "four"], ["five"]]


def test_each_object_of_json_lines_is_one_document(tmp_path):
    objects = [
        {"text": "one\n\ntwo", "id": 3},
        {"text": "three"},
        {"text": "  \n "},
        {"text": " = T = "},
    ]
    path = write(tmp_path / "a.jsonl", "\n".join(map(json.dumps, objects)) + "\n\n")
    assert documents(path) == [["one", "two"], ["three"], ["= T ="]]


@pytest.mark.parametrize(
    "name, text",
    [
        ("wiki.raw", WIKITEXT),
        ("a.txt", "one\ntwo\n\nthree ä\n"),
        ("a.jsonl", '{"text": "one"}\n{"text": "two\\nthree"}\n'),
    ],
)
@pytest.mark.parametrize("ending", PACKERS)
def test_a_packed_file_reads_as_the_plain_one(tmp_path, name, text, ending):
    plain, packed = (
        write(tmp_path / name, text),
        write(tmp_path / (name + ending), PACKERS[ending](text.encode())),
    )
    assert documents(packed) == documents(plain) != []


def test_globs_are_sorted_and_patterns_keep_their_order(tmp_path):
    for name in ("b1", "b0", "a0"):
        write(tmp_path / name, name)
    assert documents(tmp_path / "b*", tmp_path / "a*") == [["b0"], ["b1"], ["a0"]]


def test_line_break_tags_never_fuse_words(tmp_path):
    tagged = "good<br /><br />film<BR>and<br/>more < b > x<br\t/>end"
    lines = ["good", "film", "and", "more < b > x", "end"]
    assert documents(write(tmp_path / "a.txt", tagged)) == [lines]
    assert documents(write(tmp_path / "a.jsonl", json.dumps({"text": tagged}))) == [lines]


def test_a_byte_order_mark_is_no_text(tmp_path):
    assert documents(write(tmp_path / "a.txt", b"\xef\xbb\xbfone\n\xef\xbb\xbftwo")) == [
        ["one", "\ufefftwo"]
    ]


# --- refusals ---


def test_what_is_not_there_or_has_no_text_files_is_refused(tmp_path):
    (tmp_path / "empty").mkdir()
    write(tmp_path / "other" / "a.csv", "x")
    refused(f"no such corpus: {tmp_path}/missing", tmp_path / "missing")
    refused("no such corpus", tmp_path / "*.nothing")
    for folder in ("empty", "other"):
        refused(f"{tmp_path / folder} has no .txt", tmp_path / folder)


@pytest.mark.parametrize("content", ["", "\n \n\t\n", "<br />\n", "\u200b\n"])
def test_a_corpus_without_text_is_refused_and_leaves_nothing(tmp_path, tokenizer, content):
    path = write(tmp_path / "a.txt", content)
    with pytest.raises(ValueError, match=f"{path}.* has no text"):
        store_of(tokenizer, tmp_path / "cache", path)
    assert list((tmp_path / "cache").iterdir()) == []


@pytest.mark.parametrize("before", ["", "one\n", "ä\r\n\n日本\n" * 500])
def test_bytes_that_are_not_utf8_are_refused_with_their_offset(tmp_path, before):
    good = before.encode() + "abcä ".encode()
    path = write(tmp_path / "a.txt", good + b"\xff rest\nmore\n")
    refused(f"{path}: the byte at offset {len(good)} is not UTF-8", path)
    assert documents(path, errors="replace")[-1][-2:] == ["abcä \ufffd rest", "more"]


@pytest.mark.parametrize("content, length", [(b"x" * 10, 10), (b"x" * 9 + b"\n", 9)])
def test_a_line_may_be_as_long_as_the_limit(tmp_path, monkeypatch, content, length):
    monkeypatch.setattr(raw_text, "LONGEST_LINE", 10)
    assert documents(write(tmp_path / "a.txt", b"one\n" + content)) == [["one", "x" * length]]


@pytest.mark.parametrize("ending", ["", ".gz"])
def test_a_line_beyond_the_limit_is_refused_by_number(tmp_path, monkeypatch, ending):
    monkeypatch.setattr(raw_text, "LONGEST_LINE", 10)
    content = b"one\ntwo\n" + b"x" * 11
    path = write(tmp_path / f"a.txt{ending}", PACKERS[ending](content) if ending else content)
    refused(f"{path}: line 3 is longer than 10 bytes", path)


@pytest.mark.parametrize(
    "line, match",
    [
        ("{text: 1}", "is not JSON"),
        ("plain words", "is not JSON"),
        ('{"text": "cut', "is not JSON"),
        ("[" * 100_000, "is not JSON"),
        ('{"txt": "a"}', 'has no "text"'),
        ('{"text": 3}', 'has no "text"'),
        ('{"text": null}', 'has no "text"'),
        ('["text"]', 'has no "text"'),
        ('"text"', 'has no "text"'),
        ("3", 'has no "text"'),
    ],
)
def test_bad_json_lines_are_refused_by_number(tmp_path, line, match):
    path = write(tmp_path / "a.jsonl", '{"text": "fine"}\n\n' + line + "\n")
    refused(f"{path}: line 3 {match}", path)


def test_half_of_a_surrogate_pair_in_json_does_not_stop_the_tokenizer(tmp_path, tokenizer):
    """A text cut inside an emoji, which JSON can spell and UTF-8 cannot."""
    path = write(tmp_path / "a.jsonl", '{"text": "one \\ud83d two"}\n')
    [[line]] = decoded(store_of(tokenizer, tmp_path / "cache", path), tokenizer)
    assert line.startswith("one ") and line.endswith(" two")


@pytest.mark.parametrize("ending", PACKERS)
def test_a_damaged_archive_is_refused_by_name(tmp_path, ending):
    rng = np.random.default_rng(0)
    packed = PACKERS[ending]("\n".join(map(str, rng.integers(0, 1 << 60, 5_000))).encode())
    cut = write(tmp_path / f"cut.txt{ending}", packed[: len(packed) // 2])
    middle = len(packed) // 2
    changed = write(
        tmp_path / f"changed.txt{ending}", packed[:middle] + bytes(64) + packed[middle + 64 :]
    )
    other = write(tmp_path / f"other.txt{ending}", b"plain text")
    for path in (cut, changed, other):
        refused(f"cannot read {path}", path)


# --- the store ---

PAGES = [
    ["= One =", "The cat sat. It slept! Was it well?", "A new line"],
    ["= Two =", 'He said "no." Then left.'],
    ["= Three =", "version 2.0 e.g. this… and that", "日本語。 😀 ok."],
]


@pytest.fixture
def pages(tmp_path):
    return write(
        tmp_path / "pages.raw",
        "\n\n".join("\n".join(f" {line} " for line in page) for page in PAGES),
    )


def test_store_has_the_ids_of_whole_lines_in_order(tmp_path, tokenizer, pages):
    store = store_of(tokenizer, tmp_path / "cache", pages)
    lines = [line for page in PAGES for line in page]
    expected = [token for ids in tokenizer.encode_batch(lines) for token in ids]
    assert store.tokens.tolist() == expected
    assert store.tokens.dtype == np.uint16
    assert store.unigram.tolist() == [expected.count(i) for i in range(tokenizer.vocab_size)]


def test_store_of_the_sample_has_the_ids_of_whole_lines(tmp_path, tokenizer, sample_path):
    store = store_of(tokenizer, tmp_path / "cache", sample_path)
    lines = [line for page in documents(sample_path) for line in page]
    assert store.tokens.tolist() == [
        token for ids in tokenizer.encode_batch(lines) for token in ids
    ]
    assert len(store.documents) - 1 == sum(
        line.startswith("= ") and not line.startswith("= =") for line in lines
    )


def test_lines_of_a_store_are_sentences(tmp_path, tokenizer, pages):
    store = store_of(tokenizer, tmp_path / "cache", pages)
    assert decoded(store, tokenizer) == [
        ["= one =", "the cat sat.", "it slept!", "was it well?", "a new line"],
        ["= two =", 'he said "no."', "then left."],
        ["= three =", "version 2.0 e.g.", "this...", "and that", "日本語。 😀 ok."],
    ]
    assert store.lines[0] == store.documents[0] == 0
    assert store.lines[-1] == len(store.tokens) and store.documents[-1] == len(store.lines) - 1


def test_a_document_whose_first_lines_come_out_empty_stays_apart(tmp_path, tokenizer, monkeypatch):
    path = write(
        tmp_path / "a.txt", "one\n\n\u200b\n\u200b\ntwo\n\n\u200b\n\nthree\n\u200b\nfour\n\n\u200b"
    )
    expected = [["one"], ["two"], ["three", "four"]]
    assert decoded(store_of(tokenizer, tmp_path / "whole", path), tokenizer) == expected
    monkeypatch.setattr(encode_corpus, "CHUNK_CHARACTERS", 1)  # every line a chunk of its own
    assert decoded(store_of(tokenizer, tmp_path / "chunks", path), tokenizer) == expected


@pytest.mark.parametrize("characters", [1, 40, 1_000])
def test_chunks_do_not_show_in_the_store(tmp_path, tokenizer, pages, monkeypatch, characters):
    one = store_of(tokenizer, tmp_path / "one", pages)
    monkeypatch.setattr(encode_corpus, "CHUNK_CHARACTERS", characters)
    assert same(one, store_of(tokenizer, tmp_path / "many", pages))


def test_two_processes_make_the_store_of_one(tmp_path, tokenizer, sample_path, monkeypatch):
    monkeypatch.setattr(encode_corpus, "CHUNK_CHARACTERS", 5_000)
    assert same(
        store_of(tokenizer, tmp_path / "one", sample_path, workers=1),
        store_of(tokenizer, tmp_path / "two", sample_path, workers=2),
    )


def test_ids_have_16_bits_where_the_vocabulary_fits():
    assert (token_dtype(65_536), token_dtype(65_537)) == (np.uint16, np.uint32)


def facts_of(folder):
    return {
        path: (path.stat().st_mtime_ns, path.stat().st_ino)
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_a_store_is_made_once(tmp_path, tokenizer, pages):
    first = store_of(tokenizer, tmp_path / "cache", pages)
    before = facts_of(tmp_path / "cache")
    assert len(before) == 5  # tokens, lines, documents, unigram, meta
    assert same(first, store_of(tokenizer, tmp_path / "cache", pages))
    assert facts_of(tmp_path / "cache") == before


def test_a_changed_source_or_tokenizer_makes_another_store(tmp_path, tokenizer, pages):
    cache = tmp_path / "cache"
    store_of(tokenizer, cache, pages)
    content = pages.read_bytes()
    facts = pages.stat()
    write(pages, content.replace(b"cat", b"dog"))  # of the same size
    os.utime(pages, ns=(facts.st_atime_ns, facts.st_mtime_ns + 1))
    assert "the dog sat." in decoded(store_of(tokenizer, cache, pages), tokenizer)[0]
    other = corpus_tokenizer((str(pages),), 300, False, "strict", str(cache))
    assert decoded(store_of(other, cache, pages), other)[0][1] == "the dog sat."
    assert len(list(cache.glob("tokens-*"))) == 3


def test_a_store_that_another_run_made_meanwhile_is_used(
    tmp_path, tokenizer, pages, monkeypatch, capsys
):
    """It was not there at the first look; the other run is done before this one begins to write."""
    look, made = token_store.find_corruption, []

    def overtaken(folder, identity):
        flaw = look(folder, identity)
        if not made:
            made.append(0)
            store_of(tokenizer, tmp_path / "cache", pages)
            made[0] = folder.stat().st_ino
        return flaw

    monkeypatch.setattr(token_store, "find_corruption", overtaken)
    store = store_of(tokenizer, tmp_path / "cache", pages)
    [folder] = (tmp_path / "cache").iterdir()  # and nothing else
    assert folder.stat().st_ino == made[0] and capsys.readouterr().out == ""
    assert same(store, store_of(tokenizer, tmp_path / "alone", pages))


@pytest.mark.parametrize(
    "name", ["tokens.bin", "lines.bin", "documents.bin", "unigram.bin", "meta.json"]
)
@pytest.mark.parametrize("damage", ["cut", "gone"])
def test_a_store_that_is_not_whole_is_made_again(tmp_path, tokenizer, pages, name, damage):
    cache = tmp_path / "cache"
    expected = TokenStore(*(np.array(array) for array in store_of(tokenizer, cache, pages)))
    [path] = cache.glob(f"tokens-*/{name}")
    path.write_bytes(path.read_bytes()[:-8]) if damage == "cut" else path.unlink()
    assert same(expected, store_of(tokenizer, cache, pages))


@pytest.mark.parametrize("name", ["tokens.bin", "lines.bin", "documents.bin", "unigram.bin"])
def test_one_changed_byte_of_a_store_is_noticed(tmp_path, tokenizer, pages, name, capsys):
    cache = tmp_path / "cache"
    expected = TokenStore(*(np.array(array) for array in store_of(tokenizer, cache, pages)))
    [path] = cache.glob(f"tokens-*/{name}")
    size = path.stat().st_size
    for at in (0, size // 2, size - 1):
        flip(path, at)
        assert same(expected, store_of(tokenizer, cache, pages))
        assert (
            capsys.readouterr().out
            == f"the token store {path.parent} is damaged (the checksum of {name} is wrong); making it again\n"
        )
    store_of(tokenizer, cache, pages)
    assert capsys.readouterr().out == ""


def test_one_changed_byte_of_a_stores_description_does_no_harm(tmp_path, tokenizer, pages):
    cache = tmp_path / "cache"
    expected = TokenStore(*(np.array(array) for array in store_of(tokenizer, cache, pages)))
    [path] = cache.glob("tokens-*/meta.json")
    for at in range(0, path.stat().st_size, 7):
        flip(path, at)
        assert same(expected, store_of(tokenizer, cache, pages))


def test_a_store_without_checksums_is_made_again(tmp_path, tokenizer, pages, capsys):
    store_of(tokenizer, tmp_path, pages)
    [path] = tmp_path.glob("tokens-*/meta.json")
    meta = json.loads(path.read_text())
    del meta["crc32"]
    path.write_text(json.dumps(meta))
    store_of(tokenizer, tmp_path, pages)
    assert "without checksums" in capsys.readouterr().out and "crc32" in json.loads(
        path.read_text()
    )


def flip(path, at):
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)


def test_one_changed_byte_of_a_tokenizer_is_noticed(tmp_path, pages, capsys):
    make = lambda: corpus_tokenizer((str(pages),), 400, False, "strict", str(tmp_path / "cache"))
    fingerprint = make().fingerprint
    [path] = (tmp_path / "cache").iterdir()
    for at in (0, path.stat().st_size // 2):
        flip(path, at)
        capsys.readouterr()
        assert make().fingerprint == fingerprint
        assert f"the tokenizer {path} is damaged; making it again\n" in capsys.readouterr().out
        assert list((tmp_path / "cache").iterdir()) == [path]


def test_a_half_written_store_is_never_used(tmp_path, tokenizer, pages, monkeypatch):
    """A run that is killed leaves a folder of the temporary name; one that fails leaves nothing."""
    cache = tmp_path / "cache"
    expected = store_of(tokenizer, cache, pages)
    [folder] = cache.iterdir()
    leftover = cache / f".{folder.name}.{os.getpid()}"
    folder.rename(leftover)
    (leftover / "tokens.bin").write_bytes(bytes(2 * len(expected.tokens)))
    expected = store_of(tokenizer, tmp_path / "elsewhere", pages)
    assert same(expected, store_of(tokenizer, cache, pages))
    assert [path.name for path in cache.iterdir()] == [folder.name]

    bad = write(tmp_path / "bad.txt", b"good words\n" * 50 + b"\xff")
    monkeypatch.setattr(encode_corpus, "CHUNK_CHARACTERS", 100)
    with pytest.raises(ValueError, match="offset 550"):
        store_of(tokenizer, cache, bad)
    assert [path.name for path in cache.iterdir()] == [folder.name]


def test_halves_of_killed_runs_go_away_unless_a_run_is_writing(tmp_path, tokenizer, pages):
    cache = tmp_path / "cache"
    halves = [
        cache / ".tokens-0123456789abcdef.4711",
        cache / ".tokenizer-0123-4567.model.99",
        cache / ".texts-0123.npz.7",
    ]
    others = [cache / ".tokens-mine", cache / ".profile.1", cache / "tokens-0123456789abcdef"]
    with token_cache.writing_in(cache):  # as another run does
        halves[0].mkdir()
        for path in (halves[0] / "tokens.bin", *halves[1:], *others):
            path.write_bytes(b"half")
        open_store((str(pages),), tokenizer, "strict", str(cache))
        assert all(path.exists() for path in (*halves, *others))
    corpus_tokenizer((str(pages),), 400, False, "strict", str(cache))
    assert not any(path.exists() for path in halves) and all(path.exists() for path in others)


def test_a_tokenizer_is_trained_once_a_corpus(tmp_path, pages):
    cache = tmp_path / "cache"
    first = corpus_tokenizer((str(pages),), 400, False, "strict", str(cache))
    before = facts_of(cache)
    assert (
        corpus_tokenizer((str(pages),), 400, False, "strict", str(cache)).fingerprint
        == first.fingerprint
    )
    assert facts_of(cache) == before and len(before) == 1
    assert (
        corpus_tokenizer((str(pages),), 400, True, "strict", str(cache)).fingerprint
        != first.fingerprint
    )


def test_a_tokenizer_sees_a_sample_from_all_of_a_large_corpus(tmp_path, tokenizer, monkeypatch):
    seen = []
    monkeypatch.setattr(token_cache, "SAMPLE_BYTES", 2_000)
    monkeypatch.setattr(
        token_cache, "train_tokenizer", lambda lines, *settings: seen.extend(lines) or tokenizer
    )
    path = write(
        tmp_path / "a.txt", "".join(f"line {i:04}\n" for i in range(2_000))
    )  # 20,000 bytes
    corpus_tokenizer((str(path),), 400, False, "strict", str(tmp_path / "cache"))
    numbers = [int(line.removeprefix("line ")) for line in seen]
    assert 150 < len(numbers) < 250 and numbers == sorted(
        set(numbers)
    )  # a tenth: 200, four deviations are 54
    assert 60 < sum(number < 1_000 for number in numbers) < 140


# --- held-out text ---


def toy_store(lengths):
    """Documents of lines of the given token counts."""
    flat = [n for document in lengths for n in document]
    lines = np.cumsum([0, *flat])
    return TokenStore(
        np.arange(lines[-1]) % 1_000,
        lines,
        np.cumsum([0, *map(len, lengths)]),
        np.ones(1_000, np.int64),
    )


def spans(text):
    return list(zip(text.starts.tolist(), text.ends.tolist()))


def test_held_out_documents_are_disjoint_from_the_others_and_whole():
    store = toy_store([[3, 4], [5], [1, 1, 1]] * 200)
    train, valid = hold_out(store, 0.05)
    assert len(valid.starts) == 30 and len(train.starts) == 570
    assert sorted(spans(train) + spans(valid)) == spans(whole(store))
    assert train.num_tokens + valid.num_tokens == len(store.tokens) == 200 * 15
    assert spans(train) == sorted(spans(train))


def test_the_same_documents_are_held_out_every_time_and_not_the_last_ones():
    store = toy_store([[10]] * 1_000)
    first, second = hold_out(store)[1], hold_out(store)[1]
    assert spans(first) == spans(second) and len(first.starts) == 5
    assert max(first.ends) < 9_950 or min(first.starts) < 5_000


@pytest.mark.parametrize("count", [2, 3, 10])
def test_at_least_one_document_is_held_out_and_one_stays(count):
    train, valid = hold_out(toy_store([[10]] * count))
    assert len(valid.starts) == 1 and len(train.starts) == count - 1


@pytest.mark.parametrize(
    "lines, cut", [([10] * 1_000, 9_950), ([10] * 4, 30), ([10] * 3, 20), ([7, 3], 7), ([200], 190)]
)
def test_of_a_single_document_the_last_lines_are_held_out(lines, cut):
    train, valid = hold_out(toy_store([lines]))
    assert spans(train) == [(0, cut)] and spans(valid) == [(cut, sum(lines))]
