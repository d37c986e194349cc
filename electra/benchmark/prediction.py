"""`bench.py predict`: scripts/predict.py as a program, from start to end."""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from electra.benchmark.baseline import ROWS_PER_BATCH, baseline_device
from electra.benchmark.contender import Contender, Measurement, Workload, take_turns
from electra.benchmark.memory import tree_peak
from electra.benchmark.programs import ROOT, run_program
from electra.checkpoint.storage import load_checkpoint
from electra.data.examples import encode_examples
from electra.tasks.load import load_task

# All that a user of that library would write.
PIPELINE = """
import json, sys
from transformers import pipeline
folder, source, device, max_len, rows = sys.argv[1:]
texts = [json.loads(line)["text"] for line in open(source, encoding="utf-8")]
classify = pipeline("text-classification", model=folder, device=device)
for answer in classify(texts, batch_size=int(rows), truncation=True, max_length=int(max_len)):
    print(json.dumps(answer))
"""


def measure_prediction(args: argparse.Namespace) -> Measurement:
    """Let the programs judge --examples test reviews of IMDb in turn."""
    texts, max_len, workload = _draw_reviews(args)

    with tempfile.TemporaryDirectory() as folder:
        source = f"{folder}/reviews.jsonl"
        Path(source).write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
        contenders = [_our_contender(args, source, max_len, workload)]
        if args.peer:
            exported = f"{folder}/exported"
            run_program((f"{ROOT}/scripts/convert.py", "export", args.ckpt, exported))
            contenders.append(_pipeline_contender(args, source, exported, max_len, workload))

        memory = {
            contender.name: tree_peak(contender.run, itself=False) for contender in contenders
        }
        trials = take_turns(contenders, args.repeats)

    return Measurement(contenders, trials, "examples", memory, {})


def _draw_reviews(args: argparse.Namespace) -> tuple[list[str], int, Workload]:
    """(texts, the checkpoint's longest input in tokens, what it is to judge these texts)."""
    checkpoint = load_checkpoint(args.ckpt, ("classifier",))
    max_len, tokenizer = checkpoint.settings["max_len"], checkpoint.tokenizer

    reviews = load_task("imdb", args.data).test
    assert reviews is not None
    order = np.random.default_rng(0).permutation(len(reviews))
    texts = [reviews[i].text_a for i in order[: args.examples]]

    second_texts: list[str | None] = [None] * len(texts)
    labels = [0] * len(texts)  # nothing reads them
    encoded = encode_examples(tokenizer, texts, second_texts, labels, max_len, "head")
    return texts, max_len, Workload(len(texts), int(encoded.lengths.sum()))


def _our_contender(
    args: argparse.Namespace, source: str, max_len: int, workload: Workload
) -> Contender:
    program = [f"{ROOT}/scripts/predict.py", "--ckpt", args.ckpt, "--file", source]
    program += ["--device", args.device, "--amp", args.amp]
    note = (
        f"{workload.examples} reviews, cut at {max_len} tokens, amp {args.amp}; the whole program, "
        f"from its start"
    )
    return Contender("ours", note, lambda: _judge(program, args.threads, workload))


def _pipeline_contender(
    args: argparse.Namespace, source: str, exported: str, max_len: int, workload: Workload
) -> Contender:
    device = baseline_device(args.device)
    program = ["-c", PIPELINE, exported, source, device, max_len, ROWS_PER_BATCH]
    note = (
        f"the whole program of a text-classification pipeline, batches of {ROWS_PER_BATCH}, "
        f"float32 as is its default, on the exported encoder; our head has another shape, so its "
        f"own has random weights, which take the same time"
    )
    return Contender("transformers", note, lambda: _judge(program, args.threads, workload))


def _judge(program: list[Any], threads: int | None, workload: Workload) -> Workload:
    """Run a program that has to answer with one line for each text."""
    # Not splitlines(): a text may hold other ends of lines.
    answers = run_program(tuple(program), threads).count("\n")
    assert answers == workload.examples, f"{answers} answers to {workload.examples} texts"
    return workload
