"""Stages: what a model has learned after a short time."""

from __future__ import annotations

import json
from pathlib import Path

from electra.gpu_proof.findings import Findings
from electra.gpu_proof.reviews import (
    cache_of,
    check_data,
    corpus_of,
    folder_of,
    vocabulary,
)
from electra.gpu_proof.stages import StageContext
from electra.gpu_proof.workloads import run_program

PRETRAINING_SHARE = 0.4  # of the stage's time; fine-tuning takes the rest
FIGURES = ("mlm_loss", "mlm_acc", "rtd_loss", "rtd_auc", "rtd_auc_unigram", "rtd_recall")
LABELLED = {"sst2": 20_000, "imdb": 5_000}  # examples to learn from


def electra(context: StageContext, findings: Findings) -> None:
    _learn(context, findings, "electra")


def bert(context: StageContext, findings: Findings) -> None:
    _learn(context, findings, "mlm")


def _learn(context: StageContext, findings: Findings, objective: str) -> None:
    """Pre-train for a share of the stage's time, then fine-tune on both tasks with one seed."""
    check_data(context)
    out = context.scratch / f"learn-{objective}"
    code = run_program(
        context, "train.py", _pretraining(context, objective, out), f"learn-{objective}.train.log"
    )
    findings.holds("pre-training ends well", code == 0)
    _report_run(findings, out)
    for task, examples in LABELLED.items():
        if not folder_of(context, task).is_dir():
            findings.value(task, "left out: no data")
            continue
        tuned = context.scratch / f"{task}-{objective}"
        arguments = [
            *("--task", task, "--data", folder_of(context, task), "--init", out / "ckpt.pt"),
            *("--epochs", 1, "--train-examples", 20 if context.rehearse else examples),
            *("--max-len", 64 if context.rehearse else {"sst2": 128, "imdb": 512}[task]),
            *("--device", context.device, "--cache", cache_of(context), "--out", tuned),
        ]
        code = run_program(context, "finetune.py", arguments, f"{task}-{objective}.log")
        findings.holds(f"{task} ends well", code == 0)
        _report_scores(findings, tuned, task)


def _pretraining(context: StageContext, objective: str, out: Path) -> list[object]:
    """The command line of train.py."""
    arguments: list[object] = ["--corpus", *corpus_of(context), "--objective", objective]
    arguments += ["--cache", cache_of(context), "--vocab-size", vocabulary(context)]
    arguments += ["--device", context.device, "--out", out, "--attention-init", "neighbours"]
    if context.rehearse:
        return [
            *arguments,
            *("--size", "tiny", "--steps", 4, "--batch-tokens", 512, "--seq-len", 32),
        ]
    minutes = round(context.seconds * PRETRAINING_SHARE / 60, 2)
    arguments += ["--no-cuda-graphs"] if _graphs_are_wrong(context) else []
    return [
        *arguments,
        # Many small steps: half a minute in steps of 65,536 tokens taught small next to nothing.
        *("--size", "small", "--minutes", minutes, "--batch-tokens", 8_192, "--no-compile"),
        *("--phases", "128:0.9,512:0.1", "--interleave", "--lr", 5e-4),
    ]


def _graphs_are_wrong(context: StageContext) -> bool:
    """Whether the stage of CUDA graphs was run and has not passed."""
    path = context.out / "gpu.json"
    stages = json.loads(path.read_text())["stages"] if path.exists() else []
    return any(
        stage["name"] == "graphs" and stage["status"] not in ("passed", "left out")
        for stage in stages
    )


def _report_run(findings: Findings, out: Path) -> None:
    """Tokens and held-out figures of a pre-training."""
    records = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    findings.value("steps", records[-1]["step"])
    # The log has no line of the last steps where they are fewer than --log-every.
    logged = [record for record in records if "tokens" in record]
    if logged:
        tokens = sum(record["tokens"] for record in logged) / logged[-1]["step"]
        findings.value("tokens", round(tokens * records[-1]["step"]))
    valid = [record for record in records if record["split"] == "valid"][-1]
    findings.value("seconds of pre-training", valid["seconds"], "s")
    for name in FIGURES:
        if name in valid:
            findings.value(f"held out, {name}", valid[name])


def _report_scores(findings: Findings, out: Path, task: str) -> None:
    path = out / "result.json"
    if not path.exists():
        return
    result = json.loads(path.read_text())
    for name in ("dev_mean", "test_mean"):
        if result.get(name) is not None:
            findings.value(f"{task}, {name.removesuffix('_mean')} {result['metric']}", result[name])
