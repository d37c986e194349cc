"""Say what a checkpoint makes of texts: a classifier's labels, or the words that an ELECTRA takes for replaced.

    python scripts/predict.py --ckpt runs/sst2-sample/ckpt.pt "a fine film" "a waste of time"
    python scripts/predict.py --ckpt runs/sst2-sample/ckpt.pt --file reviews.txt > predictions.jsonl
    python scripts/predict.py --ckpt runs/sample/ckpt.pt --view < letters.txt

One text a line, or with .jsonl (or --jsonl) one object a line with "text" and, for a classifier of pairs, "text_b".
One JSON object a line comes out for each that goes in, an empty one included, in the same order.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
import torch

from electra.checkpoint.checkpoint import KINDS
from electra.checkpoint.storage import load_checkpoint
from electra.cli import Parser, one_line
from electra.config import (
    AMP_CHOICES,
    TRUNCATIONS,
    FinetuneConfig,
    ModelConfig,
    PretrainConfig,
    from_dict,
    parse_phases,
)
from electra.data.batch import Batch, bucket_batches
from electra.data.examples import Encoded, encode_examples, example_ids
from electra.data.tokenizer import Tokenizer
from electra.model.build import with_weights
from electra.model.classifier import Classifier
from electra.model.electra import Electra
from electra.tasks.rows import clean_review
from electra.training.device import Precision, choose_device, choose_precision

WINDOW = 4_096  # lines in memory at a time
CPU_TOKENS, TOKENS = 2_048, 8_192  # of a batch: on a CPU what its caches hold
MULTIPLE = 8
SUSPICIOUS = 0.5  # a word above it is marked
REDS = (224, 217, 210, 203, 196)  # of the terminal's 256 colours, from pale to full, for 0.5 to 1
PLAIN = "\033[0m"
CONTROL = re.compile("[\x00-\x1f\x7f-\x9f]")


class Record(NamedTuple):
    """One input, with the place it came from for messages."""

    place: str
    text: str
    text_b: str | None = None


class Loaded(NamedTuple):
    """A model that is ready, and how it wants its texts."""

    model: Classifier | Electra
    tokenizer: Tokenizer
    settings: FinetuneConfig | PretrainConfig
    labels: tuple[str, ...]  # of a classifier
    pairs: bool  # whether a classifier reads two texts
    scale: float | None  # the unit of a regression's values, None for classes
    max_len: int
    batch_tokens: int
    device: torch.device
    precision: Precision


def main(argv: list[str] | None = None) -> int:
    """Run with a command line; returns the exit code: 0, or 2 after one line that names a mistake."""
    try:
        run(parse_args(argv))
        sys.stdout.flush()
    except BrokenPipeError:
        # The reader (head, less) has had enough. Otherwise Python flushes once more on its way out, and complains.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except (ValueError, OSError) as problem:
        print(f"predict.py: error: {one_line(problem)}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    return 0


def parse_args(argv: list[str] | None) -> argparse.Namespace:
    parser = Parser(prog="predict.py", description=__doc__.split("\n")[0], allow_abbrev=False)
    parser.add_argument(
        "texts", nargs="*", help="texts to judge (default: --file, or standard input)"
    )
    parser.add_argument(
        "--ckpt", required=True, help="checkpoint of finetune.py, or of train.py with ELECTRA"
    )
    parser.add_argument("--file", type=Path, help="one text a line; .jsonl: one object a line")
    parser.add_argument(
        "--jsonl", action="store_true", help="the lines are JSON objects, whatever the file's name"
    )
    parser.add_argument(
        "--view",
        action="store_true",
        help="ELECTRA: text with its suspicious words marked, not JSON (on a terminal always)",
    )
    parser.add_argument(
        "--batch-tokens",
        type=int,
        help=f"tokens of a batch (default: {TOKENS}; on a CPU {CPU_TOKENS})",
    )
    parser.add_argument(
        "--max-len", type=int, help="longest example in tokens (default: as in training)"
    )
    parser.add_argument(
        "--device", default="auto", help="auto, cpu, cuda, cuda:1, mps (default: auto)"
    )
    parser.add_argument(
        "--amp", choices=AMP_CHOICES, default="auto", help="mixed precision (default: auto)"
    )
    args = parser.parse_args(argv)
    if args.texts and (args.file or args.jsonl):
        parser.error(
            "give texts or --file, not both"
            if args.file
            else "--jsonl is for --file and standard input"
        )
    return args


def run(args: argparse.Namespace) -> None:
    """Load, then go through the input in windows, so that memory does not grow with it."""
    loaded = load(args)
    classify = isinstance(loaded.model, Classifier)
    if classify and args.view:
        raise ValueError(
            f"--view shows replaced words, but {args.ckpt} is a classifier; leave it out"
        )
    terminal = sys.stdout.isatty()
    records = read_records(args)
    while window := list(islice(records, WINDOW)):
        if classify:
            lines = map(to_json, label_texts(loaded, window))
        elif args.view or terminal:
            lines = (marked(words, colour=terminal) for words in replaced_words(loaded, window))
        else:
            lines = (
                to_json(
                    {
                        "text": record.text,
                        "words": [{"word": word, "replaced": p} for word, p in words],
                    }
                )
                for record, words in zip(window, replaced_words(loaded, window))
            )
        sys.stdout.writelines(f"{line}\n" for line in lines)


def load(args: argparse.Namespace) -> Loaded:
    """The checkpoint's model and settings. Raises ValueError for a BERT, and for lengths that do not fit."""
    checkpoint = load_checkpoint(args.ckpt, KINDS)
    if checkpoint.kind == "mlm":
        raise ValueError(
            f"{args.ckpt} is a BERT, which does not tell replaced words: a replaced-token view needs an "
            f"ELECTRA checkpoint (train.py --objective electra); for labels, fine-tune this one with "
            f"finetune.py --init"
        )
    shape, labels = checkpoint.model_config, checkpoint.labels
    classify = checkpoint.kind == "classifier"
    try:
        settings = from_dict(FinetuneConfig if classify else PretrainConfig, checkpoint.settings)
        max_len = args.max_len or trained_length(settings, shape)
    except ValueError as problem:
        raise ValueError(f"{args.ckpt}: {problem}") from None
    outputs = len(labels) if checkpoint.scale is None else 1
    make = lambda shape: Classifier(shape, outputs) if classify else Electra(shape)
    model = with_weights(make, shape, checkpoint.model, args.ckpt)
    if not 8 <= max_len <= shape.max_positions:
        raise ValueError(
            f"--max-len {max_len} is outside 8 to {shape.max_positions}, the model's positions"
        )
    device = choose_device(args.device)
    batch_tokens = args.batch_tokens or max(max_len, CPU_TOKENS if device.type == "cpu" else TOKENS)
    if batch_tokens < max_len:
        raise ValueError(
            f"--batch-tokens {batch_tokens} does not hold one example of --max-len {max_len}"
        )
    if not all(value.isfinite().all() for value in checkpoint.model.values()):
        raise ValueError(f"{args.ckpt} has weights that are not finite: its training broke down")
    return Loaded(
        model.to(device).eval(),
        checkpoint.tokenizer,
        settings,
        labels,
        checkpoint.pairs,
        checkpoint.scale,
        max_len,
        batch_tokens,
        device,
        choose_precision(args.amp, device),
    )


def trained_length(settings: FinetuneConfig | PretrainConfig, shape: ModelConfig) -> int:
    """The longest examples of the training: positions beyond have learned nothing. Raises ValueError for settings that
    name none."""
    if isinstance(settings, PretrainConfig):
        return max(
            phase.seq_len
            for phase in parse_phases(settings.seq_len, settings.phases, shape.max_positions)
        )
    if settings.max_len is None or settings.truncate not in TRUNCATIONS:
        raise ValueError(
            f"its settings have max_len {settings.max_len} and truncate {settings.truncate!r:.60}"
        )
    return settings.max_len


# ---------------------------------------------------------------- input and output


def read_records(args: argparse.Namespace) -> Iterator[Record]:
    """The texts of the command line, of --file or of standard input. Raises ValueError naming a line it cannot read."""
    if args.texts:
        for number, text in enumerate(args.texts, 1):
            yield checked(Record(f"text {number}", text))
    elif args.file:
        with open(args.file, "rb") as file:
            yield from parsed(file, str(args.file), args.jsonl or args.file.suffix == ".jsonl")
    else:
        if sys.stdin.isatty():
            print(
                "reading texts from standard input, one a line, until its end (Ctrl-D)",
                file=sys.stderr,
            )
        yield from parsed(sys.stdin.buffer, "standard input", args.jsonl)


def parsed(file: BinaryIO, name: str, jsonl: bool) -> Iterator[Record]:
    """A record for every line, blank ones of plain text included."""
    for number, raw in enumerate(file, 1):
        place = f"{name}:{number}"
        try:
            line = (
                raw.decode("utf-8-sig" if number == 1 else "utf-8")
                .removesuffix("\n")
                .removesuffix("\r")
            )
        except UnicodeDecodeError as problem:
            raise ValueError(
                f"{place}: byte 0x{problem.object[problem.start]:02x} is not UTF-8; convert the file to "
                f"UTF-8"
            ) from None
        yield checked(from_json(place, line) if jsonl else Record(place, line))


def from_json(place: str, line: str) -> Record:
    try:
        values = json.loads(line)
    except (ValueError, RecursionError):  # also of a number with thousands of digits
        raise ValueError(f"{place}: not a JSON object") from None
    if not isinstance(values, dict) or not isinstance(values.get("text"), str):
        raise ValueError(f'{place}: no "text" that is a string')
    if not isinstance(values.get("text_b"), str | None):
        raise ValueError(f'{place}: "text_b" is not a string')
    return Record(place, values["text"], values.get("text_b"))


def checked(record: Record) -> Record:
    """Raises ValueError for text that is no text: half of a surrogate pair, or bytes of the command line."""
    try:
        (record.text + (record.text_b or "")).encode()
    except UnicodeEncodeError:
        raise ValueError(f"{record.place}: characters that UTF-8 cannot write") from None
    return record


def to_json(values: dict[str, Any]) -> str:
    return json.dumps(values, ensure_ascii=False)


def marked(words: list[tuple[str, float]], colour: bool) -> str:
    """Words in a row, those above SUSPICIOUS with their probability: `the banana⟨0.93⟩ of`."""
    shown = []
    for word, p in words:
        word = CONTROL.sub(
            lambda found: ascii(found[0])[1:-1], word
        )  # the text's own would act on the terminal
        if p > SUSPICIOUS:
            word = f"{word}⟨{p:.2f}⟩"
            if colour:
                red = REDS[min(len(REDS) - 1, int((p - SUSPICIOUS) / (1 - SUSPICIOUS) * len(REDS)))]
                word = f"\033[38;5;{red}m{word}{PLAIN}"
        shown.append(word)
    return " ".join(shown)


# ---------------------------------------------------------------- a classifier


@torch.no_grad()
def label_texts(loaded: Loaded, records: list[Record]) -> Iterator[dict[str, Any]]:
    """What a classifier, or a regression, says of each record. Raises ValueError for a pair where it learned from single
    texts, and the other way round."""
    settings = loaded.settings
    for record in records:
        if (record.text_b is not None) != loaded.pairs:
            raise ValueError(
                f"{record.place}: the checkpoint learned from "
                + (
                    'pairs of texts; give JSON lines with "text" and "text_b"'
                    if loaded.pairs
                    else 'single texts; leave out "text_b"'
                )
            )
    # The reviews that it learned from had lost their <br />, see tasks.py.
    clean = clean_review if settings.task == "imdb" else str
    encoded = encode_examples(
        loaded.tokenizer,
        [clean(r.text) for r in records],
        [r.text_b for r in records],
        [0] * len(records),
        loaded.max_len,
        settings.truncate,
    )
    outputs = np.zeros((len(records), loaded.model.head.out.out_features), np.float32)
    for rows, batch in batches_of(encoded, loaded):
        with loaded.precision.autocast():
            logits = loaded.model.logits(batch)
        outputs[rows] = (
            (torch.softmax(logits, -1) if loaded.scale is None else logits * loaded.scale)
            .cpu()
            .numpy()
        )
    for record, row in zip(records, outputs):
        texts = {"text": record.text, **({"text_b": record.text_b} if loaded.pairs else {})}
        if loaded.scale is not None:
            yield {**texts, "value": round(float(row[0]), 4)}
            continue
        best = int(row.argmax())
        yield {
            **texts,
            "label": loaded.labels[best],
            "probability": rounded(row[best]),
            "probabilities": dict(zip(loaded.labels, map(rounded, row))),
        }


def batches_of(encoded: Encoded, loaded: Loaded) -> Iterator[tuple[np.ndarray, Batch]]:
    """Batches of like length, and the examples in each."""
    for rows in bucket_batches(
        encoded.lengths, loaded.batch_tokens, MULTIPLE, loaded.max_len, None
    ):
        yield rows, encoded.batch(rows, MULTIPLE, loaded.max_len).to(loaded.device)


def rounded(p: float) -> float:
    return round(float(p), 6)


# ---------------------------------------------------------------- an ELECTRA


def replaced_words(loaded: Loaded, records: list[Record]) -> Iterator[list[tuple[str, float]]]:
    """The words of each record as the tokenizer spells them, each with the probability that it was replaced."""
    for record in records:
        if record.text_b is not None:
            raise ValueError(
                f'{record.place}: "text_b" is for a classifier of pairs, not for an ELECTRA'
            )
    texts = loaded.tokenizer.encode_batch([record.text for record in records])
    for ids, probs in zip(texts, detect(loaded, texts)):
        yield words_of(loaded.tokenizer, ids, probs)


def words_of(
    tokenizer: Tokenizer, ids: list[int], probs: Iterable[float]
) -> list[tuple[str, float]]:
    """Pieces -> words: one begins with each ▁, and is as suspicious as its most suspicious piece."""
    probs = list(probs)
    starts = [i for i, piece in enumerate(tokenizer.pieces(ids)) if i == 0 or piece.startswith("▁")]
    return [
        (tokenizer.decode(ids[start:end]), rounded(max(probs[start:end])))
        for start, end in zip(starts, [*starts[1:], len(ids)])
    ]


@torch.no_grad()
def detect(loaded: Loaded, texts: list[list[int]]) -> list[np.ndarray]:
    """Probabilities that the tokens of each text were replaced, (n,) float32 each. A text that is too long for one
    example is read in several: none of it is lost."""
    room = loaded.max_len - 2
    pieces = [
        (number, ids[start : start + room])
        for number, ids in enumerate(texts)
        for start in range(0, len(ids), room)
    ]
    examples = [
        example_ids(piece, None, loaded.max_len, "head", loaded.tokenizer.special)
        for _, piece in pieces
    ]
    encoded = Encoded(
        [ids for ids, _ in examples],
        [types for _, types in examples],
        [0] * len(examples),
        loaded.tokenizer.special.pad,
    )
    found: list[np.ndarray] = [np.zeros(0, np.float32)] * len(pieces)
    for rows, batch in batches_of(encoded, loaded):
        with loaded.precision.autocast():
            logits = loaded.model.detect(batch.input_ids, batch)  # (B, T)
        for row, values in zip(rows, torch.sigmoid(logits).cpu().numpy()):
            found[row] = values[1 : 1 + len(pieces[row][1])]  # without [CLS], [SEP]
    together: list[list[np.ndarray]] = [[] for _ in texts]
    for (number, _), values in zip(pieces, found):
        together[number].append(values)
    return [np.concatenate(parts) if parts else np.zeros(0, np.float32) for parts in together]


if __name__ == "__main__":
    sys.exit(main())
