#!/usr/bin/env python3
"""The honest comparison: BERT and ELECTRA, each as it is and post-pre-trained on film reviews, in one command.

    python scripts/ablation.py --sample                       the whole road on the sample, a few minutes
    python scripts/ablation.py --imdb data/aclImdb --sst2 data/SST-2 --corpus wiki.raw --size small --minutes 60
    python scripts/ablation.py --imdb data/aclImdb --sst2 data/SST-2 --electra electra.pt --bert bert.pt

Pre-trains both (or takes two checkpoints), goes on with each on IMDb's unsupervised reviews, fine-tunes the four, and
random weights, on IMDb and SST-2 over --seeds, and adds a bag of words and bigrams. With --minutes both objectives get
the same time, with --steps the same FLOPs. Every stage is a command of train.py or finetune.py, printed as it runs;
stages that are done are skipped, one that was broken off goes on. Writes results.json, table.md and report.html.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import re
import shlex
import subprocess
import sys
import time
import warnings
from collections import Counter
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from electra.checkpoint import run_folder, storage
from electra.cli import Parser, one_line
from electra.config import SIZES, ModelConfig, nearest_size, parse_phases
from electra.data.batch import Batch
from electra.data.examples import example_ids
from electra.data.tokenizer import Tokenizer
from electra.evaluation import metrics
from electra.files import write_atomically
from electra.model import masking
from electra.model.build import build, with_weights
from electra.model.electra import Electra
from electra.report.comparison import html_report, markdown_table
from electra.tasks.load import load_task
from electra.tasks.task import Example, TaskData, with_fewer
from electra.training.seeds import derive_seed

ROOT = Path(__file__).resolve().parent.parent
NAMES = {
    "bert": "BERT",
    "bert-post": "BERT, post-pre-trained",
    "electra": "ELECTRA",
    "electra-post": "ELECTRA, post-pre-trained",
    "random": "random weights",
}
OBJECTIVE = {"bert": "mlm", "electra": "electra"}
BAG = "bag of words and bigrams, logistic regression"
VIEWED = 4  # sentences of the replaced-token view
VIEWED_TOKENS = 48
SAMPLE = dict(
    imdb="data/sample/aclImdb",
    sst2="data/sample/sst2",
    corpus=["data/sample/wiki.raw"],
    size="tiny",
    vocab_size=2000,
    steps=150,
    post_steps=50,
    phases="64:1",
    batch_tokens=2048,
    seeds="1",
    epochs=2.0,
    freeze_epochs=1.0,
    max_len=64,
    out="runs/ablation-sample",
)


def main(argv: list[str] | None = None) -> int:
    """Run with a command line; returns the exit code: 0, 2 after one line that names a mistake, 130 when stopped."""
    args = parse_args(argv)
    try:
        compare(
            args, "python scripts/ablation.py " + shlex.join(sys.argv[1:] if argv is None else argv)
        )
    except (ValueError, OSError) as problem:
        print(f"ablation.py: error: {one_line(problem)}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\nablation.py: stopped; the same command goes on", file=sys.stderr)
        return 130
    return 0


def parse_args(argv: list[str] | None) -> argparse.Namespace:
    parser = Parser(
        prog="ablation.py",
        description=__doc__.split("\n")[0],
        epilog="\n".join(__doc__.split("\n")[1:]),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--sample", action="store_true", help="everything from data/sample/, small enough to watch"
    )
    data = parser.add_argument_group("data")
    data.add_argument("--imdb", help="the aclImdb folder")
    data.add_argument("--sst2", help="the SST-2 folder (default: no SST-2)")
    data.add_argument("--corpus", nargs="+", help="text to pre-train both on")
    data.add_argument(
        "--cache", default="data/cache", help="folder of tokenised corpora (default: data/cache)"
    )
    models = parser.add_argument_group("models")
    models.add_argument("--electra", help="an ELECTRA checkpoint, instead of --corpus")
    models.add_argument("--bert", help="a BERT checkpoint, instead of --corpus")
    models.add_argument(
        "--size", choices=tuple(SIZES), default="small", help="with --corpus (default: small)"
    )
    models.add_argument("--vocab-size", type=int, help="with --corpus (default: by size)")
    compute = parser.add_argument_group("compute")
    compute.add_argument("--minutes", type=float, help="of pre-training, for each (default: 60)")
    compute.add_argument(
        "--steps",
        type=int,
        help="of ELECTRA's pre-training; BERT takes as many as cost the same FLOPs",
    )
    compute.add_argument(
        "--post-minutes", type=float, help="of post-pre-training (default: half of --minutes)"
    )
    compute.add_argument(
        "--post-steps", type=int, help="of post-pre-training, as --steps (default: half of them)"
    )
    compute.add_argument(
        "--phases",
        help="lengths by share of each pre-training (default: 128:0.9,512:0.1)",
        default="128:0.9,512:0.1",
    )
    compute.add_argument(
        "--interleave", action="store_true", help="draw the length of every step by those shares"
    )
    compute.add_argument(
        "--batch-tokens", type=int, help="tokens of a pre-training step (default: by size)"
    )
    compute.add_argument(
        "--jobs",
        type=int,
        default=1,
        help="stages that run side by side and share the cores, each "
        "with its output in a .log file (default: 1)",
    )
    compute.add_argument("--device", default="auto")
    compute.add_argument("--amp", default="auto")
    tuning = parser.add_argument_group("fine-tuning")
    tuning.add_argument("--seeds", default="1,2,3", help="(default: 1,2,3)")
    tuning.add_argument(
        "--freeze-epochs",
        type=float,
        default=1.0,
        help="passes with the head alone, scored on their own (default: 1)",
    )
    tuning.add_argument("--epochs", type=float, help="passes with everything (default: by task)")
    tuning.add_argument(
        "--train-examples",
        type=int,
        help="of each task, the same for every row and seed (default: all)",
    )
    tuning.add_argument("--max-len", type=int, help="longest review in tokens (default: 512)")
    parser.add_argument("--out", help="folder of all runs (default: runs/ablation)")
    args = parser.parse_args(argv)
    if args.sample:
        given = {
            name.lstrip("-").split("=")[0].replace("-", "_")
            for name in (sys.argv[1:] if argv is None else argv)
        }
        vars(args).update({name: value for name, value in SAMPLE.items() if name not in given})
    args.out = Path(args.out or "runs/ablation")
    return args


# ---------------------------------------------------------------- stages


class Stage(NamedTuple):
    """A command of train.py or finetune.py, and the folder that it fills."""

    name: str
    folder: Path
    command: list[str]  # without the interpreter

    @property
    def text(self) -> str:
        return "python " + shlex.join(self.command)


def compare(args: argparse.Namespace, command: str) -> None:
    """Run what has not been run, then gather and draw. Raises ValueError for a mistake, or where a stage failed."""
    check(args)
    args.out.mkdir(parents=True, exist_ok=True)
    sources = {"electra": args.electra, "bert": args.bert}
    stages: list[Stage] = []
    if args.corpus:
        counts = steps_of(args, args.steps, pretrained=None)
        for name in ("bert", "electra"):
            sources[name] = str(args.out / name / "ckpt.pt")
            stages.append(pretraining(args, name, counts[name], None))
        run_all(stages, args.jobs)
    contents = {name: storage.load(path, (OBJECTIVE[name],)) for name, path in sources.items()}
    post_steps = args.post_steps or (args.steps and max(1, args.steps // 2))
    counts = steps_of(
        args, post_steps, {name: storage.config_of(content) for name, content in contents.items()}
    )
    for name in ("bert", "electra"):
        stages.append(pretraining(args, name, counts[name], sources[name]))
        sources[f"{name}-post"] = str(args.out / f"{name}-post" / "ckpt.pt")
    run_all(stages[-2:], args.jobs)
    tunings = {
        (name, task): fine_tuning(args, name, task, sources)
        for name in NAMES
        for task in tasks_of(args)
    }
    run_all(list(tunings.values()), args.jobs)
    costs = {stage.name: pretraining_result(stage) for stage in stages}
    data = {
        task: with_fewer(load_task(task, getattr(args, task)), args.train_examples)
        for task in tasks_of(args)
    }
    results = {
        "format": 1,
        "title": "BERT and ELECTRA, as they are and post-pre-trained on film reviews",
        "date": time.strftime("%Y-%m-%d"),
        "machine": machine(args),
        "command": command,
        "equal": equal(args),
        "pretraining": list(costs.values()),
        "rows": [row(name, costs, {task: tunings[name, task] for task in data}) for name in NAMES]
        + [bag_row(data)],
        "replaced_view": [
            sentence
            for name in ("electra", "electra-post")
            for sentence in replaced_view(NAMES[name], sources[name], data["imdb"].dev)
        ],
    }
    table = markdown_table(results)
    for name, text in (
        ("results.json", json.dumps(results, indent=1, ensure_ascii=False)),
        ("table.md", table),
        ("report.html", html_report(results)),
    ):
        write_atomically(args.out / name, (text.rstrip("\n") + "\n").encode())
    print(f"\n{table}\n{args.out / 'report.html'}, results.json and table.md are written")


def check(args: argparse.Namespace) -> None:
    """Raises ValueError for a command line that makes no comparison, and for data that are not whole."""
    if not args.imdb:
        raise ValueError(
            "--imdb is needed: the aclImdb folder, whose unsupervised reviews are the text to go on with"
        )
    if bool(args.corpus) == bool(args.electra or args.bert):
        raise ValueError("give --corpus to pre-train both, or both of --electra and --bert")
    if bool(args.electra) != bool(args.bert):
        raise ValueError("--electra and --bert go together: a comparison needs both")
    if args.minutes is not None and args.steps is not None:
        raise ValueError("of --minutes (equal time) and --steps (equal FLOPs) give one")
    if (
        args.steps is not None
        and args.post_minutes is not None
        or args.minutes is not None
        and args.post_steps is not None
    ):
        raise ValueError("--post-minutes goes with --minutes, --post-steps with --steps")
    for name in ("minutes", "steps", "post_minutes", "post_steps", "jobs"):
        if getattr(args, name) is not None and getattr(args, name) <= 0:
            raise ValueError(
                f"--{name.replace('_', '-')} must be above 0, not {getattr(args, name)}"
            )
    if not re.fullmatch(r"\d+(,\d+)*", args.seeds):
        raise ValueError(f"--seeds {args.seeds!r} does not read like 1,2,3")
    for task in tasks_of(args):
        with_fewer(
            load_task(task, getattr(args, task)), args.train_examples
        )  # before hours of pre-training
    if not (Path(args.imdb) / "train" / "unsup").is_dir():
        raise ValueError(f"{args.imdb} has no train/unsup, the reviews to go on with")
    for path, kind in ((args.electra, "electra"), (args.bert, "mlm")):
        if path:
            storage.load(path, (kind,))


def tasks_of(args: argparse.Namespace) -> list[str]:
    return ["imdb", "sst2"] if args.sst2 else ["imdb"]


def pretraining(args: argparse.Namespace, name: str, steps: int | None, init: str | None) -> Stage:
    """Pre-training from scratch, or with `init` on IMDb's unsupervised reviews."""
    stage = f"{name}-post" if init else name
    command = [
        "train.py",
        "--out",
        str(args.out / stage),
        "--phases",
        args.phases,
        "--cache",
        args.cache,
        "--device",
        args.device,
        "--amp",
        args.amp,
    ]
    if init:
        command += ["--init", init, "--corpus", str(Path(args.imdb) / "train" / "unsup")]
        minutes = args.post_minutes or (args.minutes or 60) / 2
    else:
        command += ["--corpus", *args.corpus, "--size", args.size, "--objective", OBJECTIVE[name]]
        command += ["--vocab-size", str(args.vocab_size)] if args.vocab_size else []
        minutes = args.minutes or 60
    command += ["--interleave"] if args.interleave else []
    command += ["--batch-tokens", str(args.batch_tokens)] if args.batch_tokens else []
    if steps is None:
        command += ["--minutes", f"{minutes:g}", "--eval-every", "500"]
    else:
        every = max(1, steps // 10)
        command += ["--steps", str(steps), "--eval-every", str(every), "--log-every", str(every)]
    return Stage(stage, args.out / stage, command)


def fine_tuning(args: argparse.Namespace, name: str, task: str, sources: dict[str, str]) -> Stage:
    folder = args.out / f"{task}-{name}"
    command = [
        "finetune.py",
        "--task",
        task,
        "--data",
        getattr(args, task),
        "--out",
        str(folder),
        "--seeds",
        args.seeds,
        "--freeze-epochs",
        f"{args.freeze_epochs:g}",
        "--device",
        args.device,
        "--amp",
        args.amp,
    ]
    if name == "random":
        size = nearest_size(storage.config_of(storage.load(sources["electra"], ("electra",))))
        command += ["--init", "none", "--size", size, "--tokenizer", sources["electra"]]
    else:
        command += ["--init", sources[name]]
    command += ["--epochs", f"{args.epochs:g}"] if args.epochs is not None else []
    command += ["--max-len", str(args.max_len)] if args.max_len and task == "imdb" else []
    command += ["--train-examples", str(args.train_examples)] if args.train_examples else []
    return Stage(folder.name, folder, command)


def run_all(stages: list[Stage], jobs: int) -> None:
    """Run stages that do not need each other, `jobs` at a time. What fails or is stopped is raised when those that run
    beside it have ended; the ones behind it do not begin."""
    if jobs == 1:
        for stage in stages:
            run(stage)
        return
    threads = max(
        1,
        (len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count())
        // jobs,
    )
    with ThreadPoolExecutor(jobs) as pool:
        try:
            for future in as_completed([pool.submit(run, stage, threads) for stage in stages]):
                future.result()
        finally:
            pool.shutdown(cancel_futures=True)


def run(stage: Stage, threads: int | None = None) -> None:
    """Run a stage, go on with it, or skip it. With `threads` it gets so many and writes into a .log file beside its
    folder. Raises ValueError where it fails or was made by another command."""
    mark = stage.folder.with_name(f"{stage.folder.name}.done")
    begun = stage.folder.with_name(f"{stage.folder.name}.command")
    if begun.exists() and begun.read_text() != stage.text:
        raise ValueError(
            f"{stage.folder} was made by another command ({begun.read_text()}); remove it or choose "
            f"another --out"
        )
    if mark.exists():
        print(f"[{stage.name}] done before", flush=True)
        return
    write_atomically(begun, stage.text.encode())
    command = stage.command
    if command[0] == "finetune.py":
        command = [*command, "--force"]  # a broken-off fine-tuning begins again
    elif run_folder.of_run(stage.folder):
        command = ["train.py", "--out", str(stage.folder), "--resume"]
    elif (stage.folder / "config.json").exists():  # stopped before its first checkpoint
        (stage.folder / "config.json").unlink()
    print(f"\n[{stage.name}] python {shlex.join(command)}", flush=True)
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")])),
    }
    with contextlib.ExitStack() as files:
        log = stage.folder.with_name(f"{stage.folder.name}.log") if threads else None
        output = files.enter_context(open(log, "ab")) if log else None
        if threads:
            environment["OMP_NUM_THREADS"] = str(threads)
        done = subprocess.run(
            [sys.executable, str(ROOT / command[0]), *command[1:]],
            env=environment,
            stdout=output,
            stderr=output,
        )
    if done.returncode == 130:
        raise KeyboardInterrupt
    if done.returncode:
        raise ValueError(
            f"stage {stage.name} failed (exit code {done.returncode}); what it said is "
            f"{f'in {log}' if log else 'above'}"
        )
    if command[0] == "train.py" and not is_finished(stage.folder):
        raise KeyboardInterrupt  # train.py saves and ends well when it is stopped
    write_atomically(mark, b"")


def is_finished(folder: Path) -> bool:
    """Whether a pre-training has reached the end of its steps or minutes."""
    content = storage.load(folder / "ckpt.pt", storage.PRETRAINED)
    settings, training = content["settings"], content["training"]
    if settings["minutes"] is not None:
        return training["seconds"] >= 60 * settings["minutes"]
    return training["step"] >= settings["steps"]


# ---------------------------------------------------------------- compute


def steps_of(
    args: argparse.Namespace, steps: int | None, pretrained: dict[str, ModelConfig] | None
) -> dict[str, int | None]:
    """Steps of each objective: `steps` for ELECTRA and, for BERT, as many as cost the same; None: by the clock."""
    if steps is None:
        return {"bert": None, "electra": None}
    vocab_size = args.vocab_size or SIZES[args.size].vocab_size
    shapes = pretrained or {
        name: ModelConfig(
            objective=OBJECTIVE[name], vocab_size=vocab_size, **SIZES[args.size].model
        )
        for name in OBJECTIVE
    }
    cost = {
        name: flops_per_token(shape, parse_phases(128, args.phases, shape.max_positions)[0].seq_len)
        for name, shape in shapes.items()
    }
    return {"electra": steps, "bert": max(1, round(steps * cost["electra"] / cost["bert"]))}


def flops_per_token(shape: ModelConfig, seq_len: int) -> float:
    """Floating-point operations that a token costs in pre-training, forward and backward, counted as the products run."""
    model = build(replace(shape, attention_init="usual"), SIZES[nearest_size(shape)].mask_prob)
    ids = torch.randint(
        5, shape.vocab_size, (2, seq_len), generator=torch.Generator().manual_seed(0)
    )
    with FlopCounterMode(display=False) as counter:
        model(
            Batch(ids, torch.zeros_like(ids), None), torch.Generator().manual_seed(0)
        ).losses.sum().backward()
    return counter.get_total_flops() / ids.numel()


def equal(args: argparse.Namespace) -> dict[str, str]:
    """How the two objectives were made equal, for the report."""
    if args.steps is not None or args.post_steps is not None:
        return {
            "by": "flops",
            "text": "both objectives got the same number of floating-point operations, counted from "
            "the matrix products of a step of each",
        }
    return {
        "by": "time",
        "text": "both objectives got the same time on the same machine: "
        + (f"{args.minutes or 60:g} minutes of pre-training, " if args.corpus else "")
        + f"{args.post_minutes or (args.minutes or 60) / 2:g} of post-pre-training"
        + (", side by side" if args.jobs > 1 else ""),
    }


def machine(args: argparse.Namespace) -> str:
    name = platform.processor() or platform.machine()
    if Path("/proc/cpuinfo").exists():
        found = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
        name = found[1].strip() if found else name
    if torch.cuda.is_available() and args.device in ("auto", "cuda"):
        name = f"{torch.cuda.get_device_name()}, {name}"
    return (
        f"{name}, {len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count()} cores, "
        f"torch {torch.__version__}, amp {args.amp}"
    )


# ---------------------------------------------------------------- results


def pretraining_result(stage: Stage) -> dict[str, Any]:
    """What a pre-training cost, and its held-out curve."""
    lines = [json.loads(line) for line in (stage.folder / "metrics.jsonl").read_text().splitlines()]
    train = [line for line in lines if line["split"] == "train"]
    held_out = [line for line in lines if line["split"] == "valid"]
    steps, tokens = (
        [0, *(line["step"] for line in train)],
        np.cumsum([0, *(line["tokens"] for line in train)]),
    )
    # Steps after the last line of the log are taken for as full as those before it.
    until = lambda step: (
        float(np.interp(step, steps, tokens))
        if step <= steps[-1] or not steps[-1]
        else float(tokens[-1] * step / steps[-1])
    )
    content = storage.load(stage.folder / "ckpt.pt", storage.PRETRAINED)
    shape, settings = storage.config_of(content), content["settings"]
    phases = parse_phases(settings["seq_len"], settings["phases"], shape.max_positions)
    begin, cost = 0.0, 0.0
    for phase in phases:
        cost, begin = cost + (phase.end - begin) * flops_per_token(shape, phase.seq_len), phase.end
    total = until(held_out[-1]["step"])
    name = stage.name.removesuffix("-post")
    figures = ("mlm_loss", "mlm_acc", "rtd_loss", "rtd_auc", "rtd_auc_unigram")
    return {
        "name": NAMES[stage.name],
        "objective": shape.objective,
        "stage": "post-pre-training" if settings["init"] else "pre-training",
        "init": NAMES[name] if settings["init"] else None,
        "command": stage.text,
        "minutes": held_out[-1]["seconds"] / 60,
        "steps": held_out[-1]["step"],
        "tokens": round(total),
        "tokens_per_s": total / held_out[-1]["seconds"],
        "flops": cost * total,
        "curve": [
            {
                "step": line["step"],
                "minutes": line["seconds"] / 60,
                "tokens": round(until(line["step"])),
                **{figure: line[figure] for figure in figures if figure in line},
            }
            for line in held_out
        ],
    }


def row(name: str, costs: dict[str, dict[str, Any]], tunings: dict[str, Stage]) -> dict[str, Any]:
    """A row of the table: a model, with its scores by task. `costs` are the pre-trainings by stage."""
    scores = {}
    for task, stage in tunings.items():
        result = json.loads((stage.folder / "result.json").read_text())
        pick = lambda key: [seed[key] for seed in result["seeds"]]
        scores[task] = {
            "metric": result["metric"],
            "seeds": pick("seed"),
            "dev": pick("dev"),
            "head_dev": None if None in pick("dev_head_only") else pick("dev_head_only"),
            "test": None if None in pick("test") else pick("test"),
            "seconds": result["seconds"],
            "command": stage.text,
        }
    own = [
        cost["minutes"]
        for stage, cost in costs.items()
        if stage in (name, name.removesuffix("-post"))
    ]
    return {
        "name": NAMES[name],
        "kind": "reference" if name == "random" else "model",
        "pretraining_minutes": sum(own) if own else None,
        "scores": scores,
    }


# ---------------------------------------------------------------- the bag of words and bigrams


def bag_row(data: dict[str, TaskData]) -> dict[str, Any]:
    scores = {}
    for task, examples in data.items():
        began = time.monotonic()
        dev, test = bag_of_bigrams(examples.train, examples.dev, examples.test)
        scores[task] = {
            "metric": "accuracy",
            "seeds": [0],
            "dev": [dev],
            "head_dev": None,
            "test": None if test is None else [test],
            "seconds": time.monotonic() - began,
            "command": "electra.tasks.load_task, then scripts/ablation.py: bag_of_bigrams",
        }
    return {"name": BAG, "kind": "reference", "pretraining_minutes": None, "scores": scores}


def bag_of_bigrams(
    train: list[Example], dev: list[Example], test: list[Example] | None
) -> tuple[float, float | None]:
    """(dev, test) accuracy of TF-IDF features and logistic regression; the strength of its L2 penalty is chosen on dev.
    Two classes; None where the test set has no labels."""
    warnings.filterwarnings("ignore", "Sparse ")  # that sparse matrices are in beta
    grams = [bag(example.text_a) for example in train]
    seen = Counter(gram for one in grams for gram in one)
    columns = {gram: i for i, gram in enumerate(g for g, count in seen.items() if count > 1)}
    idf = torch.tensor(
        [1 + np.log((1 + len(train)) / (1 + seen[gram])) for gram in columns], dtype=torch.float32
    )

    def features(bags: list[Counter]) -> Tensor:
        """(n, columns) float32, sparse, rows of length 1."""
        known = [
            [(columns[gram], count) for gram, count in one.items() if gram in columns]
            for one in bags
        ]
        rows = torch.tensor(np.cumsum([0, *map(len, known)]))
        index = torch.tensor([i for one in known for i, _ in one])
        value = (
            torch.tensor([count for one in known for _, count in one], dtype=torch.float32)
            * idf[index]
        )
        row = torch.repeat_interleave(torch.arange(len(known)), rows.diff())
        length = torch.zeros(len(known)).index_add(0, row, value**2).sqrt()
        return torch.sparse_csr_tensor(rows, index, value / length[row], (len(known), len(columns)))

    x, labels = features(grams), torch.tensor([float(example.label) for example in train])
    x_dev = features([bag(example.text_a) for example in dev])
    dev_labels = [example.label for example in dev]
    best = max(
        (
            (accuracy_of(x_dev, dev_labels, weights), -number, weights)
            for number, weights in enumerate(
                logistic_regression(x, labels, c) for c in (1.0, 10.0, 100.0)
            )
        ),
        key=lambda found: found[:2],
    )
    if not test or min(example.label for example in test) < 0:
        return best[0], None
    return best[0], accuracy_of(
        features([bag(e.text_a) for e in test]), [e.label for e in test], best[2]
    )


def bag(text: str) -> Counter:
    """Words of two letters or more and pairs of neighbours, counted."""
    words = re.findall(r"\b\w\w+\b", text.lower())
    return Counter(words) + Counter(f"{a} {b}" for a, b in zip(words, words[1:]))


def accuracy_of(x: Tensor, labels: list[int], weights: Tensor) -> float:
    return metrics.accuracy(labels, ((x @ weights[:-1] + weights[-1]) > 0).long().numpy())


def logistic_regression(x: Tensor, labels: Tensor, c: float) -> Tensor:
    """Minimise |w|²/2 + c · (sum of losses): x (n, m) sparse, labels (n,) 0 or 1 -> (m + 1,) float32, the intercept last."""
    weights = torch.zeros(x.shape[1] + 1, requires_grad=True)
    transposed = x.t().to_sparse_csr()
    optimizer = torch.optim.LBFGS(
        [weights], max_iter=100, history_size=10, line_search_fn="strong_wolfe"
    )

    @torch.no_grad()
    def closure() -> Tensor:
        w, b = weights[:-1], weights[-1]
        logits = x @ w + b
        loss = torch.nn.functional.binary_cross_entropy_with_logits(logits, labels, reduction="sum")
        error = torch.sigmoid(logits) - labels
        weights.grad = torch.cat([w / c + transposed @ error, error.sum()[None]]) / len(labels)
        return (loss + (w @ w) / (2 * c)) / len(labels)

    optimizer.step(closure)
    return weights.detach()


# ---------------------------------------------------------------- the replaced-token view


def replaced_view(name: str, path: str, reviews: list[Example]) -> list[dict[str, Any]]:
    """The beginnings of the first few held-out labelled reviews, as the generator corrupts them and the discriminator sees
    them. They are in no pre-training corpus: only the unsupervised reviews are."""
    content = storage.load(path, ("electra",))
    tokenizer, config = storage.tokenizer_of(content), storage.config_of(content)
    model = with_weights(Electra, config, content["model"], path)
    texts = [example.text_a for example in reviews[:VIEWED]]
    return [
        {"model": name, "tokens": view(model.eval(), tokenizer, ids[:VIEWED_TOKENS], number)}
        for number, ids in enumerate(tokenizer.encode_batch(texts))
    ]


@torch.no_grad()
def view(model: Electra, tokenizer: Tokenizer, ids: list[int], number: int) -> list[dict[str, Any]]:
    """Each token: what stood there, what the generator put, and how sure the discriminator is that it was replaced."""
    config = model.config
    row, types = example_ids(ids, None, config.max_positions, "head", config.special)
    batch = Batch(torch.tensor([row]), torch.tensor([types]), None)
    detection = model(batch, torch.Generator().manual_seed(derive_seed(0, number))).detection
    again = masking.mask(
        batch.input_ids,
        model.mask_prob,
        "electra",
        config.vocab_size,
        torch.Generator().manual_seed(derive_seed(0, number)),
        config.special,
    )  # the same draw
    masked = set(again.positions[again.weights.bool()].tolist())
    corrupted, probs = (
        detection.corrupted[0, 1:-1].tolist(),
        torch.sigmoid(detection.logits)[0, 1:-1].tolist(),
    )
    text = lambda id_: tokenizer.decode([id_]) or tokenizer.pieces([id_])[0].lstrip("▁")
    return [
        {
            "original": text(old),
            "shown": text(new),
            "replaced": old != new,
            "masked": place in masked,
            "p": round(p, 4),
            "space": tokenizer.pieces([new])[0].startswith("▁"),
        }
        for place, (old, new, p) in enumerate(zip(ids, corrupted, probs), 1)
    ]


if __name__ == "__main__":
    sys.exit(main())
