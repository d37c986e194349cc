#!/usr/bin/env python3
"""Fine-tune a pre-trained checkpoint, or random weights as the control, on a labelled task.

python finetune.py --task sst2 --init runs/sample/ckpt.pt --data data/sample/sst2
python finetune.py --task imdb --init ckpt.pt --data data/aclImdb --seeds 1,2,3
python finetune.py --task glue --init ckpt.pt --data data/glue --seeds 1,2,3
python finetune.py --task csv --init ckpt.pt --data reviews.csv --text-columns title,body --label-column stars
python finetune.py --task-file mine.toml --init ckpt.pt
"""

from __future__ import annotations

import json
import math
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from electra.checkpoint.checkpoint import (
    KINDS,
    PRETRAINED,
    Checkpoint,
    load_encoder,
    make_checkpoint,
)
from electra.checkpoint.run_folder import RunFolder
from electra.checkpoint.storage import load_checkpoint, save_checkpoint
from electra.cli import parse, run_cli
from electra.config import (
    SIZES,
    FinetuneConfig,
    ModelConfig,
    check_finetune_flags,
    preset_model_config,
    resolve_finetuning,
    to_dict,
)
from electra.data.batch import bucket_batches
from electra.data.examples import Encoded, encode_examples
from electra.data.sentencepiece import train_tokenizer
from electra.data.token_cache import CachedTokenizer
from electra.data.tokenizer import Tokenizer, load_tokenizer
from electra.evaluation import glue, results
from electra.evaluation.results import Outcome
from electra.files import write_atomically
from electra.model.build import build, check_weights
from electra.model.classifier import Classifier
from electra.report.finetuning import finetune_page, held_out_rows
from electra.tasks.load import load_task
from electra.tasks.own import load_task_file
from electra.tasks.task import Example, TaskData, default_folder, with_both_orders, with_fewer
from electra.training import distributed
from electra.training.device import (
    Precision,
    choose_device,
    choose_precision,
    explain_out_of_memory,
    give_memory_back,
)
from electra.training.distributed import Ranks
from electra.training.evaluate import entropy_of
from electra.training.log import MetricsLog
from electra.training.optimizer import Adam, parameter_groups
from electra.training.schedule import lr_at, warmup_factor
from electra.training.seeds import derive_seed
from electra.training.step import Learner, LossScale, train_step

ROWS = 32  # examples of a step, at most (paper, appendix B)
EVALUATION_TOKENS = 8_192
MULTIPLE = 8
TRIM_EVERY = 50  # steps
SMALL_SET, SMALL_SET_EPOCHS = 3_000, 10  # as the paper gives RTE 10 epochs, where most tasks have 3
GENTLER = 0.25  # factor on the learning rate of a second try
RED, PLAIN = "\033[31m", "\033[0m"


class Machine(NamedTuple):
    """What the computing is done on."""

    device: torch.device
    precision: Precision
    ranks: Ranks


class Prepared(NamedTuple):
    """A task in ids, and what every seed starts from."""

    data: TaskData
    encoded: dict[str, Encoded]  # "train", and every set of `results.sets_of`
    shape: ModelConfig
    checkpoint: Checkpoint | None  # to start from, None for random weights
    class_weights: Tensor | None


def main(argv: list[str] | None = None) -> int:
    """Run with a command line; returns the exit code of `run_cli`."""
    distributed.quiet_unless_first()
    try:
        return run_cli(
            "finetune.py",
            lambda: run_command(argv),
            stopped="stopped; no result was written",
            report=distributed.report,
        )
    finally:
        distributed.stop()


def run_command(argv: list[str] | None) -> None:
    """Parse a command line and run it."""
    assert __doc__ is not None
    config, given = parse(FinetuneConfig, "finetune.py", __doc__.split("\n")[0], argv)
    with distributed.explain_rank_failure(config.rank_timeout):
        run(config, given)


def run(config: FinetuneConfig, given: set[str]) -> None:
    check_finetune_flags(config, given)
    checkpoint = read_start(config.init)
    device = choose_device(distributed.device_name(config.device))
    machine = Machine(
        device, choose_precision(config.amp, device), distributed.start(device, config.rank_timeout)
    )
    if config.task == "glue":
        return run_glue(config, checkpoint, machine)
    run_task(config, read_task(config), checkpoint, machine)


def read_start(init: str) -> Checkpoint | None:
    """The checkpoint to start from, None for random weights."""
    if init == "none":
        return None
    checkpoint = load_checkpoint(init, PRETRAINED)
    check_weights(
        lambda config: build(config, 0.15), checkpoint.model_config, checkpoint.model, init
    )
    return checkpoint


def run_task(
    config: FinetuneConfig, data: TaskData, checkpoint: Checkpoint | None, machine: Machine
) -> dict[str, Any]:
    """Fine-tune on one task, with every seed, and write the run folder. Returns the content of result.json."""
    began = time.monotonic()
    ranks = machine.ranks
    config = fill_in(config, data, checkpoint)
    tokenizer, shape = choose_model(config, data, checkpoint)
    if config.max_len > shape.max_positions:
        raise ValueError(
            f"--max-len {config.max_len} is beyond the model's {shape.max_positions} positions"
        )
    if config.max_len > config.batch_tokens:
        raise ValueError(
            f"--batch-tokens {config.batch_tokens} does not hold one text of --max-len {config.max_len}"
        )
    class_weights = read_class_weights(config.class_weights, data)

    folder = None
    if ranks.first:
        folder = RunFolder(config.out, replace=config.force or distributed.restarted())
        (folder.path / "result.json").unlink(missing_ok=True)  # of the run that is replaced
    train = with_both_orders(data.train) if data.task.both_orders else data.train
    sets = results.sets_of(data)
    encoder = CachedTokenizer(tokenizer, config.cache)
    with ranks.rank0_first():  # the others find the tokens in the cache
        encoded = {
            name: encode_task(encoder, examples, config, unit_of(data))
            for name, examples in {"train": train, **sets}.items()
        }
    print(
        f"{data.task.name}: {len(data.train):,} to learn from, {len(data.dev):,} held out"
        + (f", {len(data.test):,} to test on" if data.test else "")
        + (f", {data.skipped:,} lines left out" if data.skipped else "")
        + f"; from {'random weights' if checkpoint is None else config.init}, on {machine.device} (amp {machine.precision.name}"
        + (f", {ranks.world_size} ranks" if ranks.world_size > 1 else "")
        + f"), into {config.out}",
        flush=True,
    )
    log = None
    if folder is not None:
        folder.write_json(
            "config.json",
            {**to_dict(config), "model": to_dict(shape), "amp_used": machine.precision.name},
        )
        log = MetricsLog(folder.path, step=-1)  # no line of an earlier run stays

    prepared = Prepared(data, encoded, shape, checkpoint, class_weights)
    half = config.batch_tokens // 2
    advice = f"--batch-tokens {half}" if half >= config.max_len else "a smaller --max-len"
    with explain_out_of_memory(machine.device, advice):
        outcomes = [run_seed(seed, config, prepared, machine, log) for seed in config.seeds]
    best = max(outcomes, key=lambda outcome: outcome.dev)
    result = {}
    if folder is not None:
        result = write_run(
            folder, config, prepared, tokenizer, outcomes, best, time.monotonic() - began
        )
        folder.close()
    return ranks.gather(result)[0]  # not before the files are there


def write_run(
    folder: RunFolder,
    config: FinetuneConfig,
    prepared: Prepared,
    tokenizer: Tokenizer,
    outcomes: list[Outcome],
    best: Outcome,
    seconds: float,
) -> dict[str, Any]:
    """The best seed's checkpoint and the results."""
    data, shape = prepared.data, prepared.shape
    model = Classifier(shape, outputs_of(data))
    model.load_state_dict(best.state)
    save_checkpoint(
        folder.checkpoint,
        make_checkpoint(
            model,
            tokenizer,
            config,
            labels=data.labels,
            pairs=data.train[0].text_b is not None,
            scale=data.task.scale,
        ),
    )
    return write_results(folder, config, data, outcomes, best, seconds)


def run_glue(config: FinetuneConfig, checkpoint: Checkpoint | None, machine: Machine) -> None:
    """Every task of GLUE whose data are there, each in its own folder; then one table. What is done is skipped."""
    root = Path(config.data or "data/glue")
    name = "random" if config.init == "none" else Path(config.init).resolve().parent.name
    config = replace(config, out=config.out or f"runs/glue-{name}")
    if not root.is_dir():
        raise ValueError(f"{root}: no such folder; scripts/download.py glue fetches the data")
    there = glue.tasks_there(root)
    if not there:
        raise ValueError(
            f"{root} holds the training data of no task of GLUE; scripts/download.py glue fetches them"
        )
    if config.intermediate and config.intermediate not in there:
        raise ValueError(
            f"--intermediate {config.intermediate}: {root} has no training data of that task"
        )
    if config.submission:  # before hours of training
        for task in there:
            sets = results.sets_of(
                load_task(task, glue.folder_of(root, task), skip_bad=config.skip_bad)
            )
            glue.check_rows(task, {name: len(examples) for name, examples in sets.items()})
    found = {}
    for task in there:  # MNLI first, for those that start from its model
        own = replace(
            config,
            task=task,
            data=str(glue.folder_of(root, task)),
            out=f"{config.out}/{task}",
            force=True,
        )
        start = checkpoint
        if config.intermediate and task in glue.AFTER_MNLI:
            own = replace(own, init=f"{config.out}/{config.intermediate}/ckpt.pt")
            start = load_checkpoint(own.init, ("classifier",))
        data = read_task(own)
        before = machine.ranks.gather(finished(fill_in(own, data, start), config.force))[0]
        found[task] = before or run_task(own, data, start, machine)
    if not machine.ranks.first:
        return
    glue.write_table(Path(config.out), found, config.references)
    if config.submission:
        glue.write_submission(Path(config.out), found)


def finished(config: FinetuneConfig, force: bool) -> dict[str, Any] | None:
    """The result of an earlier run with these settings; None where there is none, or `force`. Raises ValueError where
    it had other settings."""
    path = Path(config.out) / "result.json"
    if force or not path.exists():
        return None
    result = json.loads(path.read_text(encoding="utf-8"))
    wanted = to_dict(config)
    differ = sorted(
        name
        for name in wanted
        if name not in ("force", "out", "device", "cache", "report", "references", "submission")
        and result["settings"].get(name) != wanted[name]
    )
    if differ:
        raise ValueError(
            f"{path} was made with another --{differ[0].replace('_', '-')} "
            f"({result['settings'].get(differ[0])}, not {wanted[differ[0]]}); give --force to make all anew, "
            f"or another --out"
        )
    print(f"{config.task}: done before, {result['metric']} {result['dev_mean']:.2%}", flush=True)
    return result


def read_task(config: FinetuneConfig) -> TaskData:
    """The task's examples. Raises ValueError where there are too few of them."""
    if config.task_file:
        data = load_task_file(config.task_file, skip_bad=config.skip_bad)
    else:
        if config.task == "csv" and not config.data:
            raise ValueError("--task csv needs --data, a file or a folder")
        columns = tuple(part for name in config.text_columns for part in name.split(","))
        data = load_task(
            config.task,
            config.data or default_folder(config.task),
            text_columns=columns,
            label_column=config.label_column,
            skip_bad=config.skip_bad,
        )
    return with_fewer(data, config.train_examples)


def read_class_weights(text: str | None, data: TaskData) -> Tensor | None:
    """--class-weights as a tensor (classes,), of mean 1 over the training examples where it is "balanced"."""
    if text is None:
        return None
    if data.task.regression:
        raise ValueError("--class-weights is for classes; this task is a regression")
    counts = np.bincount([example.label for example in data.train], minlength=len(data.labels))
    if text == "balanced":
        if counts.min() == 0:
            raise ValueError(
                f"--class-weights balanced: no training example has the label "
                f"{data.labels[int(counts.argmin())]!r}"
            )
        return torch.tensor(len(data.train) / (len(counts) * counts), dtype=torch.float32)
    try:
        weights = torch.tensor([float(part) for part in text.split(",")])
    except ValueError:
        raise ValueError(
            f"--class-weights {text!r} is neither balanced nor numbers such as 1,2.5"
        ) from None
    if len(weights) != len(data.labels) or not (weights > 0).all() or not weights.isfinite().all():
        raise ValueError(
            f"--class-weights {text}: {len(data.labels)} numbers above 0 are needed, for "
            f"{', '.join(data.labels)}"
        )
    return weights


def fill_in(
    config: FinetuneConfig, data: TaskData, checkpoint: Checkpoint | None
) -> FinetuneConfig:
    """Replace each `None` by what the task's row and the preset of the size say."""
    epochs = data.task.epochs
    if len(data.train) < SMALL_SET:
        epochs = max(SMALL_SET_EPOCHS, epochs)
    model_config = None if checkpoint is None else checkpoint.model_config
    return resolve_finetuning(
        config, model_config, data.task.name, float(epochs), data.task.max_len
    )


def choose_model(
    config: FinetuneConfig, data: TaskData, checkpoint: Checkpoint | None
) -> tuple[Tokenizer, ModelConfig]:
    """Tokenizer and shape: the checkpoint's, or for random weights those of the settings."""
    if checkpoint is not None:
        tokenizer, shape = checkpoint.tokenizer, checkpoint.model_config
    else:
        if config.tokenizer and config.tokenizer.endswith(".pt"):
            tokenizer = load_checkpoint(config.tokenizer, KINDS).tokenizer
        elif config.tokenizer:
            tokenizer = load_tokenizer(config.tokenizer)
        else:
            lines = (
                text for example in data.train for text in (example.text_a, example.text_b) if text
            )
            tokenizer = train_tokenizer(lines, SIZES[config.size].vocab_size)
        shape = preset_model_config(
            config.size,
            "mlm",
            tokenizer.vocab_size,
            attention_init=config.attention_init,
            special=tokenizer.special,
        )
    return tokenizer, replace(
        shape, dropout=config.dropout, attention_dropout=config.dropout, pooling=config.pooling
    )


def unit_of(data: TaskData) -> float:
    """What the model's outputs are multiplied by: the scale of a regression; probabilities stay as they are."""
    return data.task.scale or 1.0


def encode_task(
    tokenizer: CachedTokenizer, examples: list[Example], config: FinetuneConfig, unit: float
) -> Encoded:
    """Examples in ids; the values of a regression are at most about 1."""
    labels = [
        example.label / unit if isinstance(example.label, float) else example.label
        for example in examples
    ]
    return encode_examples(
        tokenizer,
        [e.text_a for e in examples],
        [e.text_b for e in examples],
        labels,
        config.max_len,
        config.truncate,
    )


def outputs_of(data: TaskData) -> int:
    return 1 if data.task.regression else len(data.labels)


def run_seed(
    seed: int, config: FinetuneConfig, prepared: Prepared, machine: Machine, log: MetricsLog | None
) -> Outcome:
    """Fine-tune once; once more, gentler, where the first try collapsed to one class."""
    outcome = train_once(seed, config, prepared, machine, log)
    if not outcome.collapsed:
        return outcome
    say_red(
        f"seed {seed}: every prediction is one class, so the model has learned nothing. Trying once more at "
        f"{GENTLER:g} of the learning rate."
    )
    gentler = replace(config, lr=config.lr * GENTLER, warmup=max(config.warmup, 0.2))
    outcome = train_once(seed, gentler, prepared, machine, log)._replace(retried=True)
    if outcome.collapsed:
        say_red(
            f"seed {seed}: all predictions are one class again. The score below is the majority's, not a model's: "
            f"try a lower --lr or more --epochs, and compare with --init none."
        )
    return outcome


def say_red(text: str) -> None:
    tqdm.write(f"{RED}{text}{PLAIN}" if sys.stdout.isatty() else f"WARNING: {text}")


def train_once(
    seed: int, config: FinetuneConfig, prepared: Prepared, machine: Machine, log: MetricsLog | None
) -> Outcome:
    """One run: the head alone for --freeze-epochs, then everything; the best epoch by the held-out part makes the
    predictions on every set, once. The seed draws the head, the order and the dropout."""
    data, train, dev = prepared.data, prepared.encoded["train"], prepared.encoded["dev"]
    device, precision, ranks = machine
    torch.manual_seed(derive_seed(seed, 0xF17E))
    model = Classifier(prepared.shape, outputs_of(data), prepared.class_weights).to(device)
    if prepared.checkpoint is not None:
        load_encoder(model, prepared.checkpoint)
    best: tuple[float, dict[str, Tensor], np.ndarray] | None = None
    score, last_loss, step, dev_head = 0.0, 0.0, 0, None
    for frozen, epochs in ((True, config.freeze_epochs), (False, config.epochs)):
        if epochs <= 0:
            continue
        for part in model.encoder_state():
            part.requires_grad_(not frozen)
        optimizer = Adam(
            parameter_groups(
                model, config.weight_decay, config.layer_decay, prepared.shape.num_layers
            )
        )
        wrapped = distributed.wrap(model, ranks)  # anew: it looks once at which parameters learn
        scale = LossScale(precision, device)
        learner = Learner(wrapped, optimizer, scale, precision, ranks)
        total = max(1, round(epochs * len(epoch_plan(train, config, seed, 0))))
        done = 0
        for epoch in range(math.ceil(epochs) + 1):
            batches = epoch_plan(train, config, seed, epoch + 1000 * frozen)[: total - done]
            if not batches:
                break
            loss, count = 0.0, 0.0
            for rows in tqdm(
                batches,
                desc=f"seed {seed}, {'head ' if frozen else ''}epoch {epoch + 1}",
                leave=False,
                disable=None if ranks.first else True,
            ):
                batch = train.batch(rows, MULTIPLE, config.max_len).to(device)
                lr = config.lr * lr_at(
                    warmup_factor(done, round(config.warmup * total)), done / total
                )
                result = train_step(learner, [batch], lr, derive_seed(seed, step))
                loss, count = loss + result.sums["loss"], count + result.sums["weight"]
                done, step = done + 1, step + 1
                if step % TRIM_EVERY == 0:
                    give_memory_back()
            last_loss = sum(ranks.gather(float(loss))) / sum(ranks.gather(float(count)))
            outputs = predict(model, dev, config, machine) * unit_of(data)
            values, remarks = results.scores(data.task, data.dev, outputs)
            score = values[data.task.metric]
            if log is not None:
                log.write(
                    step,
                    "valid",
                    {
                        "seed": seed,
                        "epoch": epoch + 1,
                        "frozen": frozen,
                        "train_loss": last_loss,
                        **values,
                        "skipped_steps": int(scale.skipped),
                    },
                )
            tqdm.write(
                f"seed {seed}, {'head ' if frozen else ''}epoch {epoch + 1}: training loss {last_loss:.4f}, "
                f"held out {score:.2%}" + "".join(f" ({remark})" for remark in remarks)
            )
            if frozen:
                dev_head = score if dev_head is None else max(score, dev_head)
            if best is None or score > best[0]:
                best = (
                    score,
                    {
                        name: value.detach().cpu().clone()
                        for name, value in model.state_dict().items()
                    },
                    outputs,
                )
    assert best is not None
    model.load_state_dict(best[1])
    collapsed = is_collapsed(prepared, best[2], last_loss)
    outputs = {"dev": best[2]}
    for name in results.sets_of(data):
        if name != "dev":
            outputs[name] = predict(model, prepared.encoded[name], config, machine) * unit_of(data)
    return Outcome(seed, outputs, best[0], score, dev_head, best[1], collapsed)


def epoch_plan(train: Encoded, config: FinetuneConfig, seed: int, epoch: int) -> list[np.ndarray]:
    rng = np.random.default_rng([seed, epoch])
    return bucket_batches(
        train.lengths, config.batch_tokens, MULTIPLE, config.max_len, rng, most_rows=ROWS
    )


def is_collapsed(prepared: Prepared, outputs: np.ndarray, loss: float) -> bool:
    """Whether a model predicts one class only (a regression: one value), of at least 20 held-out examples, or has a
    training loss that is no better than that of always answering with the classes' shares."""
    data = prepared.data
    if data.task.regression:
        return len(outputs) >= 20 and float(np.ptp(outputs)) < 1e-3 * unit_of(data)
    shares = np.bincount(
        [example.label for example in data.train], minlength=len(data.labels)
    ).astype(float)
    if prepared.class_weights is not None:
        shares *= prepared.class_weights.numpy()
    return (len(outputs) >= 20 and len(set(outputs.argmax(1))) == 1) or loss >= 0.999 * entropy_of(
        shares / shares.sum()
    )


@torch.no_grad()
def predict(
    model: Classifier, examples: Encoded, config: FinetuneConfig, machine: Machine
) -> np.ndarray:
    """Probabilities, (n, classes) float32, in the order of the examples; of a regression its values, (n, 1). Where a
    model has broken down and its outputs are no numbers, they are taken for knowing nothing: all classes alike, or 0."""
    model.eval()
    outputs = np.zeros((len(examples.ids), model.head.out.out_features), np.float32)
    batches = bucket_batches(
        examples.lengths, max(EVALUATION_TOKENS, config.max_len), MULTIPLE, config.max_len, None
    )
    for rows in machine.ranks.share(batches):
        with machine.precision.autocast():
            logits = model.logits(examples.batch(rows, MULTIPLE, config.max_len).to(machine.device))
        outputs[rows] = (logits if model.regression else torch.softmax(logits, -1)).cpu().numpy()
    outputs = sum(machine.ranks.gather(outputs))  # each rank's are 0 in the others' rows
    return np.where(
        np.isfinite(outputs), outputs, np.float32(0.0 if model.regression else 1 / outputs.shape[1])
    )


def write_results(
    folder: RunFolder,
    config: FinetuneConfig,
    data: TaskData,
    outcomes: list[Outcome],
    best: Outcome,
    seconds: float,
) -> dict[str, Any]:
    """The tables of predictions, the page, result.json last, and the last lines on the screen."""
    result = results.summary(data, outcomes, best, seconds, to_dict(config))
    write_atomically(folder.path / "predictions.tsv", results.predictions_tsv(data, best))
    for name, examples in results.sets_of(data).items():
        write_atomically(
            folder.path / f"{name}_predictions.tsv",
            results.every_seed_tsv(data, examples, name, outcomes),
        )
    if config.report:
        write_atomically(
            folder.path / "report.html",
            finetune_page(result, held_out_rows(folder.path / "predictions.tsv")).encode(),
        )
    folder.write_json("result.json", result)

    spread = f" ± {result['dev_sd']:.2%} over {len(outcomes)} seeds" if len(outcomes) > 1 else ""
    majority = (
        "" if data.task.regression else f" (majority class: {results.majority_score(data):.2%})"
    )
    print(
        f"\n{data.task.name} {data.task.metric}, held out: {result['dev_mean']:.2%}{spread}{majority}"
    )
    if result["test_mean"] is not None:
        print(
            f"test: {result['test_mean']:.2%}"
            + (f" ± {result['test_sd']:.2%}" if len(outcomes) > 1 else "")
        )
    print(
        f"{folder.path / 'result.json'}, predictions.tsv{', report.html' if config.report else ''} and ckpt.pt are "
        f"written ({seconds / 60:.1f} minutes). Next:\n"
        f'  python scripts/predict.py --ckpt {folder.checkpoint} "a text to judge"'
    )
    if any(outcome.collapsed for outcome in outcomes):
        say_red("at least one seed predicts a single class: do not read these scores as a model's.")
    return result


if __name__ == "__main__":
    sys.exit(main())
