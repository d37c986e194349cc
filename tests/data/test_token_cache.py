"""The cache: a tokenizer is trained once, and what killed runs leave goes away."""

import pytest

from data.corpora import facts_of, flip, write
from electra.data import token_cache
from electra.data.token_cache import CachedTokenizer, corpus_tokenizer
from electra.data.token_store import open_store

pytestmark = pytest.mark.fast


def test_a_tokenizer_is_trained_once_for_each_corpus(tmp_path, pages):
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
    content = "".join(f"line {i:04}\n" for i in range(2_000))  # 20,000 bytes
    path = write(tmp_path / "a.txt", content)
    corpus_tokenizer((str(path),), 400, False, "strict", str(tmp_path / "cache"))
    numbers = [int(line.removeprefix("line ")) for line in seen]
    assert numbers == sorted(set(numbers))
    assert 150 < len(numbers) < 250  # a tenth is 200, and four standard deviations are 54
    assert 60 < sum(number < 1_000 for number in numbers) < 140


def test_one_changed_byte_of_a_tokenizer_is_noticed(tmp_path, pages, capsys):
    def make():
        return corpus_tokenizer((str(pages),), 400, False, "strict", str(tmp_path / "cache"))

    fingerprint = make().fingerprint
    [path] = (tmp_path / "cache").iterdir()
    for at in (0, path.stat().st_size // 2):
        flip(path, at)
        capsys.readouterr()
        assert make().fingerprint == fingerprint
        assert f"the tokenizer {path} is damaged; making it again\n" in capsys.readouterr().out
        assert list((tmp_path / "cache").iterdir()) == [path]


def test_leftovers_of_killed_runs_are_removed_unless_a_run_is_writing(tmp_path, tokenizer, pages):
    cache = tmp_path / "cache"
    halves = [
        cache / ".tokens-0123456789abcdef.4711",
        cache / ".tokenizer-0123-4567.model.99",
        cache / ".texts-0123.npz.7",
    ]
    others = [cache / ".tokens-mine", cache / ".profile.1", cache / "tokens-0123456789abcdef"]
    with token_cache.writing_in(cache):  # as another run does while it writes
        halves[0].mkdir()
        for path in (halves[0] / "tokens.bin", *halves[1:], *others):
            path.write_bytes(b"half")
        open_store((str(pages),), tokenizer, "strict", str(cache))
        assert all(path.exists() for path in (*halves, *others))
    corpus_tokenizer((str(pages),), 400, False, "strict", str(cache))
    assert not any(path.exists() for path in halves) and all(path.exists() for path in others)


def test_a_cache_that_cannot_be_written_is_noticed_before_a_tokenizer_is_trained(
    pages, tmp_path, monkeypatch
):
    (tmp_path / "a file").write_text("")
    monkeypatch.setattr(token_cache, "train_tokenizer", None)  # it would be the work
    for cache in (tmp_path / "a file", tmp_path / "a file" / "cache"):
        with pytest.raises(OSError, match="cannot be written .* name another with --cache"):
            corpus_tokenizer((str(pages),), 400, False, "strict", str(cache))


def test_long_lists_of_texts_are_encoded_in_batches_once(tmp_path, tokenizer, monkeypatch):
    class Counting:
        special, vocab_size, fingerprint = tokenizer.special, tokenizer.vocab_size, "one"
        sizes = []

        def encode_batch(self, texts):
            self.sizes.append(len(texts))
            return tokenizer.encode_batch(texts)

    monkeypatch.setattr(token_cache, "SMALL_BYTES", 100)
    monkeypatch.setattr(token_cache, "BATCH", 4)
    texts = [f"text number {i}" for i in range(10)]
    cached = CachedTokenizer(Counting(), tmp_path)
    for _ in range(2):
        assert cached.encode_batch(texts) == tokenizer.encode_batch(texts)
    assert Counting.sizes == [4, 4, 2]
