"""Labels for texts: those of fine-tuning, in order, from every kind of input."""

import contextlib
import io
import json

import pytest

import finetune
from electra.inference import predictor, stream, texts
from inference.conftest import ROOT

SAMPLE = ROOT / "data" / "sample"
TEXTS = [
    "a fine film",
    "",
    "a dull , endless and pointless waste of two hours that nobody will give back to me",
    "Ünïcode 漢字 😀",
    "no .",
    "the actors seem to enjoy it , and so did everyone around me in the cinema",
]


def test_labels_are_those_of_fine_tuning(classifier, ask):
    header, *rows = (classifier.parent / "predictions.tsv").read_text(encoding="utf-8").splitlines()
    rows = [dict(zip(header.split("\t"), row.split("\t"), strict=True)) for row in rows][:60]
    said = [
        json.loads(line)
        for line in ask("--ckpt", classifier, "--amp", "off", *(row["text"] for row in rows))
    ]
    assert [record["text"] for record in said] == [row["text"] for row in rows]
    assert [record["label"] for record in said] == [row["prediction"] for row in rows]
    assert {record["label"] for record in said} == {"negative", "positive"}
    assert len({record["probability"] for record in said}) > 30  # so they are the texts' own
    for record, row in zip(said, rows, strict=True):
        assert list(record) == ["text", "label", "probability", "probabilities"]
        found = record["probabilities"]
        assert record["probability"] == found[record["label"]] == max(found.values())
        for label, p in found.items():
            assert p == pytest.approx(float(row[f"p({label})"]), abs=2e-4)


def same(first, second):
    """Equal but for the last digits, which depend on what else was in the batch."""
    first, second = ([json.loads(line) for line in lines] for lines in (first, second))
    assert [record["text"] for record in first] == [record["text"] for record in second]
    for a, b in zip(first, second, strict=True):
        assert a["probabilities"] == pytest.approx(b["probabilities"], abs=1e-5)


def test_neither_order_nor_batches_nor_windows_matter(classifier, ask, monkeypatch):
    alone = [line for text in TEXTS for line in ask("--ckpt", classifier, "--amp", "off", text)]
    same(ask("--ckpt", classifier, "--amp", "off", *TEXTS), alone)
    same(ask("--ckpt", classifier, "--amp", "off", "--batch-tokens", 32, *TEXTS), alone)
    same(reversed(ask("--ckpt", classifier, "--amp", "off", *reversed(TEXTS))), alone)
    monkeypatch.setattr(stream, "WINDOW", 2)
    same(ask("--ckpt", classifier, "--amp", "off", *TEXTS), alone)


def test_batches_keep_to_the_budget(classifier, ask, monkeypatch):
    seen = []
    batches_of = predictor.batches_of

    def spy(*arguments):
        for rows, batch in batches_of(*arguments):
            seen.append(batch.input_ids.numel())
            yield rows, batch

    monkeypatch.setattr(predictor, "batches_of", spy)
    ask("--ckpt", classifier, "--batch-tokens", 64, *TEXTS * 5)
    assert max(seen) <= 64 and len(seen) > 5


def test_every_way_in_gives_the_same(classifier, ask, tmp_path):
    expected = ask("--ckpt", classifier, *TEXTS)
    lines = "".join(text + "\n" for text in TEXTS).encode()
    json_lines = "".join(json.dumps({"text": text, "other": 1}) + "\n" for text in TEXTS).encode()
    (tmp_path / "texts.txt").write_bytes(b"\xef\xbb\xbf" + lines.replace(b"\n", b"\r\n"))
    (tmp_path / "texts.jsonl").write_bytes(json_lines)
    assert ask("--ckpt", classifier, "--file", tmp_path / "texts.txt") == expected
    assert ask("--ckpt", classifier, "--file", tmp_path / "texts.jsonl") == expected
    assert ask("--ckpt", classifier, stdin=lines) == expected
    assert (
        ask("--ckpt", classifier, stdin=lines.removesuffix(b"\n")) == expected
    )  # no line end after the last
    assert ask("--ckpt", classifier, "--jsonl", stdin=json_lines) == expected


@pytest.mark.parametrize("encoding", ("ascii", "latin-1"))
def test_the_json_is_exact_whatever_the_output_lacks(encoding, classifier, ask):
    texts = [*TEXTS, "… × → 日"]
    expected = ask("--ckpt", classifier, *texts)
    raw = io.BytesIO()
    with contextlib.redirect_stdout(io.TextIOWrapper(raw, encoding, write_through=True)) as out:
        ask("--ckpt", classifier, *texts)
        said = raw.getvalue().decode(encoding).splitlines()
        out.detach()
    assert [json.loads(line) for line in said] == [json.loads(line) for line in expected]


def test_a_text_of_a_posix_locale_is_read_as_utf_8(classifier, ask, refused, monkeypatch):
    text = "naïve 漢字"
    as_typed = text.encode().decode("ascii", "surrogateescape")
    monkeypatch.setattr(texts.os, "fsencode", lambda text: text.encode("ascii", "surrogateescape"))
    assert ask("--ckpt", classifier, as_typed) == ask("--ckpt", classifier, text)
    refused("text 1: characters that UTF-8 cannot write", "--ckpt", classifier, "a\udcff")


def test_nothing_in_nothing_out_but_a_blank_line_is_a_text(classifier, ask):
    assert ask("--ckpt", classifier, stdin=b"") == []
    assert [json.loads(line)["text"] for line in ask("--ckpt", classifier, stdin=b"\n \n")] == [
        "",
        " ",
    ]


def test_pairs_come_as_json(pairs, ask, refused):
    lines = b'{"text": "sun", "text_b": "moon"}\n{"text": "", "text_b": ""}\n'
    said = [json.loads(line) for line in ask("--ckpt", pairs, "--jsonl", stdin=lines)]
    assert [(record["text"], record["text_b"]) for record in said] == [("sun", "moon"), ("", "")]
    assert set(said[0]["probabilities"]) == {"True", "False"}
    other = b'{"text": "moon", "text_b": "rain"}\n'
    assert (
        json.loads(ask("--ckpt", pairs, "--jsonl", stdin=other)[0])["probabilities"]
        != said[0]["probabilities"]
    )
    refused("learned from pairs of texts", "--ckpt", pairs, "sun")
    refused(
        "standard input:1: the checkpoint learned from pairs",
        "--ckpt",
        pairs,
        "--jsonl",
        stdin=b'{"text": "x"}\n',
    )


def test_settings_come_from_the_checkpoint(classifier, ask):
    long = " ".join(["good"] * 100)
    cut, longer = ask(
        "--ckpt", classifier, long, long + " bad" * 50
    )  # cut at the head's 32 tokens: the same
    assert json.loads(cut)["probabilities"] == json.loads(longer)["probabilities"]
    more = ask("--ckpt", classifier, "--max-len", 512, long)[0]
    assert json.loads(more)["probabilities"] != json.loads(cut)["probabilities"]


def test_reviews_lose_their_line_breaks_as_in_training(electra, folder, ask):
    flags = [
        "--task",
        "imdb",
        "--data",
        SAMPLE / "aclImdb",
        "--init",
        electra,
        "--epochs",
        0.5,
        "--max-len",
        32,
        "--out",
        folder / "imdb",
    ]
    assert finetune.main([str(flag) for flag in flags]) == 0
    texts = "Avoid.<br /><br />Really.", "Avoid.\nReally."
    raw, clean = map(json.loads, ask("--ckpt", folder / "imdb" / "ckpt.pt", *texts))
    assert raw["text"] == texts[0] and raw["probabilities"] == clean["probabilities"]
