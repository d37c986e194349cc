#!/usr/bin/env python3
"""Fine-tune a pre-trained checkpoint, or random weights as the control, on a labelled task.

    python finetune.py --task sst2 --init runs/sample/ckpt.pt --data data/sample/sst2
    python finetune.py --task imdb --init ckpt.pt --data data/aclImdb --seeds 1,2,3
    python finetune.py --task csv --init ckpt.pt --data reviews.csv --text-columns title,body --label-column stars
"""

from __future__ import annotations

import math
import sys
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from electra import checkpoint, metrics
from electra.batching import Encoded, encode_examples, plan
from electra.checkpoint import RunFolder
from electra.config import SIZES, FinetuneConfig, ModelConfig, model_config, nearest_size, parse, to_dict
from electra.engine import (LossScale, MetricsLog, Precision, choose_device, choose_precision, entropy_of, mix,
                            train_step)
from electra.models import Classifier
from electra.optim import Adam, lr_at, parameter_groups, warmth
from electra.tasks import Example, TaskData, load_task
from electra.tokenizer import Tokenizer, load_tokenizer, train_tokenizer

FOLDERS = {"sst2": "data/SST-2", "imdb": "data/aclImdb"}
ROWS = 32                 # examples of a step, at most (paper, appendix B)
EVALUATION_TOKENS = 8_192
MULTIPLE = 8
SMALL_SET, SMALL_SET_EPOCHS = 3_000, 10   # as the paper gives RTE 10 epochs, where most tasks have 3
GENTLER = 0.25            # factor on the learning rate of a second try
RED, PLAIN = "\033[31m", "\033[0m"


class Prepared(NamedTuple):
    """A task in ids, and what every seed starts from."""

    train: Encoded
    dev: Encoded
    test: Encoded | None
    shape: ModelConfig
    labels: tuple[str, ...]
    content: dict | None      # the pre-trained checkpoint, None for random weights


class Outcome(NamedTuple):
    """One seed's run."""

    seed: int
    dev: float
    dev_last: float           # of the last epoch, chosen or not
    dev_head: float | None    # the best of the epochs with the head alone
    test: float | None
    dev_probs: np.ndarray     # (n, labels)
    test_probs: np.ndarray | None
    state: dict[str, Tensor]  # weights of the best epoch
    collapsed: bool
    retried: bool


def main(argv: list[str] | None = None) -> int:
    """Run with a command line; returns the exit code: 0, or 2 after one line that names a mistake."""
    try:
        config, given = parse(FinetuneConfig, "finetune.py", __doc__.split("\n")[0], argv)
        run(config, given)
    except (ValueError, OSError) as problem:
        print(f"finetune.py: error: {problem}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\nfinetune.py: stopped; no result was written", file=sys.stderr)
        return 130
    return 0


def run(config: FinetuneConfig, given: set[str]) -> None:
    began = time.monotonic()
    content = None if config.init == "none" else checkpoint.load(config.init, checkpoint.PRETRAINED)
    clash = given & {"size", "tokenizer", "attention_init"}
    if content is not None and clash:
        raise ValueError(f"--{sorted(clash)[0].replace('_', '-')} comes with the checkpoint; it is for --init none")
    device = choose_device(config.device)
    precision = choose_precision(config.amp, device)
    data = read_task(config)
    config = fill_in(config, data, content)
    tokenizer, shape = choose_model(config, data, content)
    if config.max_len > shape.max_positions:
        raise ValueError(f"--max-len {config.max_len} is beyond the model's {shape.max_positions} positions")
    if config.max_len > config.batch_tokens:
        raise ValueError(f"--batch-tokens {config.batch_tokens} does not hold one text of --max-len {config.max_len}")

    folder = RunFolder(config.out, replace=config.force)
    encode = lambda examples: encode_task(tokenizer, examples, config)
    prepared = Prepared(encode(data.train), encode(data.dev), encode(data.test) if data.test else None, shape,
                        data.labels, content)
    print(f"{config.task}: {len(data.train):,} to learn from, {len(data.dev):,} held out"
          + (f", {len(data.test):,} to test on" if data.test else "")
          + f"; from {'random weights' if content is None else config.init}, on {device} (amp {precision.name}), into "
            f"{config.out}", flush=True)
    folder.write_json("config.json", {**to_dict(config), "model": to_dict(shape), "amp_used": precision.name})
    log = MetricsLog(folder.path, step=-1)   # no line of an earlier run stays

    outcomes = [run_seed(seed, config, prepared, device, precision, log) for seed in config.seeds]
    best = max(outcomes, key=lambda outcome: outcome.dev)
    model = Classifier(shape, len(data.labels))
    model.load_state_dict(best.state)
    checkpoint.save(folder.checkpoint, checkpoint.pack(model, tokenizer, config, labels=data.labels))
    write_predictions(folder.path / "predictions.tsv", best, data)
    write_result(folder, config, data, outcomes, time.monotonic() - began)
    folder.close()


def read_task(config: FinetuneConfig) -> TaskData:
    """The task's examples. Raises ValueError where there are too few of them or of their labels."""
    folder = config.data or FOLDERS.get(config.task)
    if folder is None:
        raise ValueError("--task csv needs --data, a file or a folder")
    columns = tuple(part for name in config.text_columns for part in name.split(","))
    data = load_task(config.task, folder, text_columns=columns, label_column=config.label_column)
    if len(data.labels) < 2:
        raise ValueError(f"{folder}: all examples have one label, {data.labels[0]!r}; there is nothing to learn")
    if config.train_examples is not None:
        if not 0 < config.train_examples <= len(data.train):
            raise ValueError(f"--train-examples {config.train_examples} is not from 1 to {len(data.train)}")
        order = np.random.default_rng(config.seeds[0]).permutation(len(data.train))[:config.train_examples]
        data = data._replace(train=[data.train[i] for i in order])
    return data


def fill_in(config: FinetuneConfig, data: TaskData, content: dict | None) -> FinetuneConfig:
    """Replace each `None` by what the task's row and the preset of the size say."""
    size = config.size if content is None else nearest_size(checkpoint.config_of(content))
    preset = SIZES[size]
    name = "random" if content is None else Path(config.init).resolve().parent.name
    pick = lambda mine, default: default if mine is None else mine
    epochs = SMALL_SET_EPOCHS if len(data.train) < SMALL_SET else data.task.epochs
    config = replace(
        config, size=size, epochs=pick(config.epochs, float(epochs)),
        max_len=pick(config.max_len, data.task.max_len), lr=pick(config.lr, preset.finetune_lr),
        layer_decay=pick(config.layer_decay, preset.layer_decay),
        pooling=pick(config.pooling, preset.model["pooling"]), out=config.out or f"runs/{config.task}-{name}")
    for setting in ("epochs", "lr", "layer_decay", "batch_tokens"):
        if getattr(config, setting) <= 0:
            raise ValueError(f"--{setting.replace('_', '-')} must be above 0, not {getattr(config, setting)}")
    if config.max_len < 8:
        raise ValueError(f"--max-len must be 8 or more, not {config.max_len}")
    for setting, most in (("freeze_epochs", math.inf), ("weight_decay", math.inf), ("warmup", 1), ("dropout", 1)):
        if not 0 <= getattr(config, setting) <= most:
            raise ValueError(f"--{setting.replace('_', '-')} must be from 0 to {most}, not {getattr(config, setting)}")
    if not config.seeds or min(config.seeds) < 0:
        raise ValueError("--seeds needs at least one number, and none below 0")
    return config


def choose_model(config: FinetuneConfig, data: TaskData, content: dict | None
                 ) -> tuple[Tokenizer, ModelConfig]:
    """Tokenizer and shape: the checkpoint's, or for random weights those of the settings."""
    if content is not None:
        tokenizer, shape = checkpoint.tokenizer_of(content), checkpoint.config_of(content)
    else:
        if config.tokenizer and config.tokenizer.endswith(".pt"):
            tokenizer = checkpoint.tokenizer_of(checkpoint.load(config.tokenizer,
                                                                (*checkpoint.PRETRAINED, "classifier")))
        elif config.tokenizer:
            tokenizer = load_tokenizer(config.tokenizer)
        else:
            lines = (text for example in data.train for text in (example.text_a, example.text_b) if text)
            tokenizer = train_tokenizer(lines, SIZES[config.size].vocab_size)
        shape = model_config(config.size, "mlm", tokenizer.vocab_size, attention_init=config.attention_init,
                             special=tokenizer.special)
    return tokenizer, replace(shape, dropout=config.dropout, attention_dropout=config.dropout, pooling=config.pooling)


def encode_task(tokenizer: Tokenizer, examples: list[Example], config: FinetuneConfig) -> Encoded:
    return encode_examples(tokenizer, [e.text_a for e in examples], [e.text_b for e in examples],
                           [e.label for e in examples], config.max_len, config.truncate)


def run_seed(seed: int, config: FinetuneConfig, prepared: Prepared, device: torch.device, precision: Precision,
             log: MetricsLog) -> Outcome:
    """Fine-tune once; once more, gentler, where the first try collapsed to one class."""
    outcome = train_once(seed, config, prepared, device, precision, log)
    if not outcome.collapsed:
        return outcome
    say_red(f"seed {seed}: every prediction is one class, so the model has learned nothing. Trying once more at "
            f"{GENTLER:g} of the learning rate.")
    gentler = replace(config, lr=config.lr * GENTLER, warmup=max(config.warmup, 0.2))
    outcome = train_once(seed, gentler, prepared, device, precision, log)._replace(retried=True)
    if outcome.collapsed:
        say_red(f"seed {seed}: all predictions are one class again. The score below is the majority's, not a model's: "
                f"try a lower --lr or more --epochs, and compare with --init none.")
    return outcome


def say_red(text: str) -> None:
    tqdm.write(f"{RED}{text}{PLAIN}" if sys.stdout.isatty() else f"WARNING: {text}")


def train_once(seed: int, config: FinetuneConfig, prepared: Prepared, device: torch.device, precision: Precision,
               log: MetricsLog) -> Outcome:
    """One run: the head alone for --freeze-epochs, then everything; the best epoch by the held-out part is scored on
    the test set, once. The seed draws the head, the order and the dropout."""
    torch.manual_seed(mix(seed, 0xF17E))
    model = Classifier(prepared.shape, len(prepared.labels)).to(device)
    if prepared.content is not None:
        checkpoint.load_encoder(model, prepared.content)
    best: tuple[float, dict[str, Tensor], np.ndarray] | None = None
    score, last_loss, step, dev_head = 0.0, 0.0, 0, None
    for frozen, epochs in ((True, config.freeze_epochs), (False, config.epochs)):
        if epochs <= 0:
            continue
        for part in model.encoder_state():
            part.requires_grad_(not frozen)
        optimizer = Adam(parameter_groups(model, config.weight_decay, config.layer_decay,
                                          prepared.shape.num_layers))
        scale = LossScale(precision, device)
        total = max(1, round(epochs * len(epoch_plan(prepared.train, config, seed, 0))))
        done = 0
        for epoch in range(math.ceil(epochs) + 1):
            batches = epoch_plan(prepared.train, config, seed, epoch + 1000 * frozen)[:total - done]
            if not batches:
                break
            loss, count = 0.0, 0.0
            for rows in tqdm(batches, desc=f"seed {seed}, {'head ' if frozen else ''}epoch {epoch + 1}", leave=False,
                             disable=None):
                batch = prepared.train.batch(rows, MULTIPLE, config.max_len).to(device)
                lr = config.lr * lr_at(warmth(done, round(config.warmup * total)), done / total)
                result = train_step(model, [batch], optimizer, lr, scale, precision, mix(seed, step))
                loss, count = loss + result.sums["loss"], count + result.sums["examples"]
                done, step = done + 1, step + 1
            last_loss = float(loss / count)
            probs = predict(model, prepared.dev, config, device, precision)
            score = metrics.accuracy(prepared.dev.labels, probs.argmax(1))
            log.write(step, "valid", {"seed": seed, "epoch": epoch + 1, "frozen": frozen, "train_loss": last_loss,
                                      "accuracy": score, "skipped_steps": int(scale.skipped)})
            tqdm.write(f"seed {seed}, {'head ' if frozen else ''}epoch {epoch + 1}: training loss {last_loss:.4f}, "
                       f"held out {score:.2%}")
            if frozen:
                dev_head = max(score, dev_head or 0.0)
            if best is None or score > best[0]:
                best = score, {name: value.detach().cpu().clone() for name, value in model.state_dict().items()}, probs
    assert best is not None
    model.load_state_dict(best[1])
    collapsed = is_collapsed(best[2], last_loss, prepared.train.labels)
    test_probs = None if prepared.test is None else predict(model, prepared.test, config, device, precision)
    test = None
    if test_probs is not None and min(prepared.test.labels) >= 0:
        test = metrics.accuracy(prepared.test.labels, test_probs.argmax(1))
    return Outcome(seed, best[0], score, dev_head, test, best[2], test_probs, best[1], collapsed, False)


def epoch_plan(train: Encoded, config: FinetuneConfig, seed: int, epoch: int) -> list[np.ndarray]:
    rng = np.random.default_rng([seed, epoch])
    return plan(train.lengths, config.batch_tokens, MULTIPLE, config.max_len, rng, most_rows=ROWS)


def is_collapsed(probs: np.ndarray, loss: float, labels: list[int]) -> bool:
    """Whether a model predicts one class only, of at least 20 held-out examples, or has a training loss that is no
    better than the classes' entropy."""
    shares = np.bincount(labels) / len(labels)
    return (len(probs) >= 20 and len(set(probs.argmax(1))) == 1) or loss >= 0.999 * entropy_of(shares)


@torch.no_grad()
def predict(model: Classifier, examples: Encoded, config: FinetuneConfig, device: torch.device, precision: Precision
            ) -> np.ndarray:
    """Probabilities, (n, labels) float32, in the order of the examples."""
    model.eval()
    probs = np.zeros((len(examples.ids), model.head.out.out_features), np.float32)
    for rows in plan(examples.lengths, max(EVALUATION_TOKENS, config.max_len), MULTIPLE, config.max_len, None):
        with precision.autocast():
            logits = model.logits(examples.batch(rows, MULTIPLE, config.max_len).to(device))
        probs[rows] = torch.softmax(logits, -1).cpu().numpy()
    return probs


def write_predictions(path: Path, best: Outcome, data: TaskData) -> None:
    """predictions.tsv of the best seed: held-out part and test set, gold label where known, probabilities."""
    parts = [("dev", data.dev, best.dev_probs)]
    if data.test:
        parts.append(("test", data.test, best.test_probs))
    lines = ["\t".join(["split", "index", "gold", "prediction", *(f"p({label})" for label in data.labels), "text"])]
    for split, examples, probs in parts:
        for i, (example, row) in enumerate(zip(examples, probs)):
            gold = data.labels[example.label] if example.label >= 0 else ""
            text = " ".join(" / ".join(t for t in (example.text_a, example.text_b) if t).split())
            lines.append("\t".join([split, str(i), gold, data.labels[int(row.argmax())],
                                    *(f"{p:.4f}" for p in row), text]))
    checkpoint.write_atomically(path, ("\n".join(lines) + "\n").encode())


def write_result(folder: RunFolder, config: FinetuneConfig, data: TaskData, outcomes: list[Outcome], seconds: float
                 ) -> None:
    """result.json and the last lines on the screen."""
    dev_mean, dev_sd = metrics.mean_sd([outcome.dev for outcome in outcomes])
    tests = [outcome.test for outcome in outcomes if outcome.test is not None]
    test_mean, test_sd = metrics.mean_sd(tests) if tests else (None, None)
    folder.write_json("result.json", {
        "task": config.task, "metric": data.task.metric,
        "seeds": [{"seed": o.seed, "dev": o.dev, "test": o.test, "dev_last_epoch": o.dev_last,
                   "dev_head_only": o.dev_head, "collapsed": o.collapsed, "retried": o.retried} for o in outcomes],
        "dev_mean": dev_mean, "dev_sd": dev_sd, "test_mean": test_mean, "test_sd": test_sd,
        "seconds": round(seconds, 1), "train_examples": len(data.train), "labels": list(data.labels),
        "settings": to_dict(config)})
    majority = Counter(example.label for example in data.dev).most_common(1)[0][1] / len(data.dev)
    spread = f" ± {dev_sd:.2%} over {len(outcomes)} seeds" if len(outcomes) > 1 else ""
    print(f"\n{config.task} {data.task.metric}, held out: {dev_mean:.2%}{spread} (majority class: {majority:.2%})")
    if tests:
        print(f"test: {test_mean:.2%}" + (f" ± {test_sd:.2%}" if len(tests) > 1 else ""))
    print(f"{folder.path / 'result.json'}, predictions.tsv and ckpt.pt are written ({seconds / 60:.1f} minutes). Next:\n"
          f"  python scripts/predict.py --ckpt {folder.checkpoint} \"a text to judge\"")
    if any(outcome.collapsed for outcome in outcomes):
        say_red("at least one seed predicts a single class: do not read these scores as a model's.")


if __name__ == "__main__":
    sys.exit(main())
