"""What predict.py refuses, and a reader that has had enough."""

import os
import subprocess
import sys

from electra.checkpoint.storage import load_checkpoint, save_checkpoint
from inference.conftest import ROOT, SCRIPT


def test_a_bert_is_refused_with_a_way_on(pretrained, refused):
    refused(
        "a replaced-token view needs an ELECTRA checkpoint",
        "--ckpt",
        pretrained("mlm") / "ckpt.pt",
        "a text",
    )


def test_mistakes_are_refused_in_one_line(classifier, electra, tmp_path, refused):
    refused("No such file", "--ckpt", tmp_path / "nowhere.pt", "a text")
    refused("--ckpt", "a text")
    refused("invalid choice", "--ckpt", classifier, "--amp", "half", "a text")
    refused("not both", "--ckpt", classifier, "--file", tmp_path / "x", "a text")
    refused("--view shows replaced words", "--ckpt", classifier, "--view", "a text")
    refused("outside 8 to 512", "--ckpt", classifier, "--max-len", 513, "a text")
    refused("does not hold one example", "--ckpt", classifier, "--batch-tokens", 16, "a text")
    refused("not on this machine", "--ckpt", classifier, "--device", "cuda:99", "a text")
    refused("nowhere.txt", "--ckpt", classifier, "--file", tmp_path / "nowhere.txt")
    (tmp_path / "bad.pt").write_bytes(classifier.read_bytes()[:-10])
    refused("cut off", "--ckpt", tmp_path / "bad.pt", "a text")
    for line, match in ((b"caf\xe9\n", "standard input:2: byte 0xe9 is not UTF-8"),):
        refused(match, "--ckpt", classifier, stdin=b"fine\n" + line)
    fine = b'{"text": "fine"}\n'
    for line, match in (
        (b"{text}\n", "standard input:2: not a JSON object"),
        (b"\n", "not a JSON object"),
        (b"[1]\n", 'no "text"'),
        (b'{"words": ""}\n', 'no "text"'),
        (b'{"text": 1}\n', 'no "text"'),
        (b'{"text": "\\ud800"}\n', "characters that UTF-8 cannot write"),
        (b'{"text": "", "text_b": 1}\n', '"text_b" is not a string'),
        (b'{"text": "", "text_b": "x"}\n', 'single texts; leave out "text_b"'),
    ):
        refused(match, "--ckpt", classifier, "--jsonl", stdin=fine + line)
    refused(
        '"text_b" is for a classifier',
        "--ckpt",
        electra,
        "--jsonl",
        stdin=b'{"text": "", "text_b": "x"}\n',
    )


def test_weights_that_are_not_finite_are_refused(classifier, tmp_path, refused):
    checkpoint = load_checkpoint(classifier, ("classifier",))
    checkpoint.model["head.out.bias"][0] = float("nan")
    save_checkpoint(tmp_path / "broken.pt", checkpoint)
    refused("weights that are not finite", "--ckpt", tmp_path / "broken.pt", "a text")


def test_a_reader_that_has_enough_is_no_error(electra):
    """`predict.py | head -1`, with more to write than a pipe holds."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(
        [sys.executable, SCRIPT, "--ckpt", electra],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    process.stdin.write(b"a line of some words\n" * 2000)
    process.stdin.close()
    assert process.stdout.readline().startswith(b'{"text": "a line of some words"')
    process.stdout.close()
    error = process.stderr.read()
    assert (process.wait(60), error) == (0, b"")
