"""Stages: how fast steps are."""

from __future__ import annotations

import importlib.util
import itertools
import os
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import nn

from electra.benchmark.baseline import baseline_step, transformers_pretraining
from electra.benchmark.limits import matmul_limit, peak_memory, synchronize
from electra.benchmark.steps import dense_batches
from electra.config import SIZES, ModelConfig
from electra.data.batch import Batch
from electra.data.spans import SpanBatches, SpanOptions
from electra.data.token_store import whole_text
from electra.gpu_proof.findings import Findings
from electra.gpu_proof.reviews import check_data, open_reviews
from electra.gpu_proof.stages import StageContext
from electra.gpu_proof.workloads import Trainer, compiler_at_hand, config_for, make_trainer
from electra.model.compile import compile_method
from electra.model.encoder import Layer
from electra.model.flops import pretraining_flops
from electra.training.device import Precision, choose_device
from electra.training.passes import CudaGraphs

# Of a step, the most telling first. With more than 65,536 rows torch computes the gradient of
# LayerNorm's weights by another kernel, on more of the GPU.
TOKENS = (65_536, 66_048, 131_072, 16_384)
MASK_PROB = SIZES["small"].mask_prob
KERNELS = 20  # of a profile
GOAL_TOKENS = 3e6  # a second, small at length 128 on an H200
GOAL_SHARE = 0.45  # of the limit, base at length 512


@dataclass(frozen=True)
class Timing:
    """A step's cost."""

    seconds: float  # the median of the repeats
    memory: int | None  # bytes, the peak
    first: float  # seconds of the first step, with compiling


def _time(
    step: Callable[[Batch], object],
    batches: Iterable[Batch],
    device: torch.device,
    context: StageContext,
    warm_up: int = 5,
    steps: int = 10,
) -> Timing:
    """Seconds of a step: the median of 3 repeats of `steps`, after a warm-up."""
    warm_up, steps = (1, 2) if context.rehearse else (warm_up, steps)
    batches = iter(batches)
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    began = time.perf_counter()
    step(next(batches))
    synchronize(device)
    first = time.perf_counter() - began
    for batch in itertools.islice(batches, warm_up - 1):
        step(batch)
    seconds = []
    for _ in range(3):
        synchronize(device)
        began = time.perf_counter()
        for batch in itertools.islice(batches, steps):
            step(batch)
        synchronize(device)
        seconds.append((time.perf_counter() - began) / steps)
    return Timing(statistics.median(seconds), peak_memory(device), first)


def _token_counts(context: StageContext) -> tuple[int, ...]:
    return TOKENS[:1] if context.rehearse else TOKENS


def _dense(
    context: StageContext, config: ModelConfig, tokens: int, length: int, device: torch.device
) -> Iterator[Batch]:
    """Batches of random words on the device, for ever."""
    if context.rehearse:
        tokens, length = tokens // 512, length // 4
    batches = dense_batches(3, max(1, tokens // length), length, config.vocab_size)
    return itertools.cycle([batch.to(device) for batch in batches])


def _report(
    findings: Findings, what: str, timing: Timing, tokens: int, context: StageContext
) -> float:
    """Write a timing down; returns tokens a second."""
    rate = (tokens // 512 if context.rehearse else tokens) / timing.seconds
    findings.value(f"{what}: speed", rate, "tokens/s")
    if timing.memory:
        findings.value(f"{what}: peak memory", timing.memory / 2**30, "GiB")
    return rate


def small(context: StageContext, findings: Findings) -> None:
    """Plain steps, and CUDA graphs where there is a GPU."""
    config = config_for(context, "small")
    trainer = make_trainer(config, "electra", "bf16", choose_device(context.device))
    _small(context, findings, trainer, _token_counts(context))


def small_compiled(context: StageContext, findings: Findings) -> None:
    """The same with compiled layers, and with whole compiled networks."""
    config = config_for(context, "small")
    counts = (TOKENS[0],) if context.rehearse else (TOKENS[0], TOKENS[-1])
    ways = {"layers compiled": _compile_layers, "compiled": lambda model: model.compile_networks()}
    with compiler_at_hand(context):
        for way, compile_parts in ways.items():
            trainer = make_trainer(config, "electra", "bf16", choose_device(context.device))
            compile_parts(trainer.model)
            _small(context, findings, trainer, counts, way)


def _compile_layers(model: nn.Module) -> None:
    """Compile a layer in place of a network: the layers of a network share what that makes."""
    for layer in (module for module in model.modules() if isinstance(module, Layer)):
        compile_method(layer, "forward")


def _small(
    context: StageContext,
    findings: Findings,
    trainer: Trainer,
    counts: Iterable[int],
    way: str = "",
) -> None:
    device, config = choose_device(context.device), trainer.model.config
    for tokens in counts:
        for played in (False, True) if device.type == "cuda" else (False,):
            trainer.graphs = CudaGraphs(device) if played else None
            name = " and ".join([way] * bool(way) + ["graphs"] * played or ["plain"])
            batches = _dense(context, config, tokens, 128, device)
            timing = _time(trainer.step, batches, device, context)
            if way and not played:
                findings.value(f"small, {tokens:,} tokens, {way}: first step", timing.first, "s")
            rate = _report(findings, f"small, {tokens:,} tokens, {name}", timing, tokens, context)
            if tokens == TOKENS[0]:
                findings.goal(f"small, {name}, against the goal", rate, GOAL_TOKENS, "tokens/s")
            trainer.graphs = None


def baseline(context: StageContext, findings: Findings) -> None:
    """The loop on `transformers`: attention fused or not, compiled or not."""
    if importlib.util.find_spec("transformers") is None:
        findings.value("baseline", "left out: transformers is not installed")
        return
    device = choose_device(context.device)
    config = config_for(context, "small")
    precision = Precision(torch.bfloat16, device.type)
    ways = list(itertools.product((False, True), ("sdpa", "eager")))
    for compiled, attention in ways[1:3] if context.rehearse else ways:
        torch.manual_seed(0)
        networks, loss_of = transformers_pretraining(config, MASK_PROB, precision, attention)
        step = baseline_step(networks, loss_of, device, 0.01)
        with compiler_at_hand(context):
            for network in networks.children() if compiled else ():
                network.forward = torch.compile(network.forward)
        for tokens in TOKENS[:1] if compiled else _token_counts(context):
            name = f"baseline, {tokens:,} tokens, {attention}" + ", compiled" * compiled
            try:
                batches = _dense(context, config, tokens, 128, device)
                timing = _time(step, batches, device, context, warm_up=3, steps=5)
            except torch.OutOfMemoryError:
                findings.value(f"{name}: speed", "out of memory")
                continue
            _report(findings, name, timing, tokens, context)
        del networks, step, loss_of


def base(context: StageContext, findings: Findings) -> None:
    """base at 512, plain, as graphs and compiled, and its share of the limit."""
    _large_network(context, findings, "base", 32_768)


def large(context: StageContext, findings: Findings) -> None:
    """large at 512: what it takes."""
    _large_network(context, findings, "large", 16_384)


def _large_network(context: StageContext, findings: Findings, size: str, tokens: int) -> None:
    device = choose_device(context.device)
    config = config_for(context, size)
    limit = matmul_limit(torch.bfloat16, device)
    trainer = make_trainer(config, "electra", "bf16", device)
    flops = pretraining_flops(config, MASK_PROB, np.full(tokens // 512, 512))
    names = ["plain"] + ["graphs", "compiled"] * (device.type == "cuda" and size == "base")
    for name in names:
        trainer.graphs = CudaGraphs(device) if name == "graphs" else None
        if name == "compiled":
            trainer.model.compile_networks()
        batches = _dense(context, config, tokens, 512, device)
        timing = _time(trainer.step, batches, device, context)
        what = f"{size}, {tokens:,} tokens of 512, {name}"
        _report(findings, what, timing, tokens, context)
        if not context.rehearse:
            share = flops / timing.seconds / limit
            findings.goal(f"{what}: share of the limit", share, GOAL_SHARE)


def reviews(context: StageContext, findings: Findings) -> None:
    """Batches of real reviews, made by the host while the device computes."""
    device = choose_device(context.device)
    check_data(context)
    tokenizer, store = open_reviews(context)
    config = config_for(context, "small")
    if context.rehearse:
        config = replace(config, vocab_size=tokenizer.vocab_size)
    tokens = 2048 if context.rehearse else TOKENS[0]
    multiple = 64 if device.type == "cuda" else 8
    options = SpanOptions(fill=True)
    stream = SpanBatches(whole_text(store), tokens, multiple, 0, tokenizer.special, options)
    counts = []

    def batches() -> Iterator[Batch]:
        while True:
            batch = stream.next(512)
            mask = batch.attention_mask
            counts.append(batch.input_ids.numel() if mask is None else int(mask.sum()))
            yield batch.to(device)

    trainer = make_trainer(config, "electra", "bf16", device)
    timing = _time(trainer.step, batches(), device, context, warm_up=20)
    real = statistics.mean(counts)
    findings.value("small on reviews at 512, plain: speed", real / timing.seconds, "real tokens/s")
    findings.value("padding", 1 - real / tokens, "of the budget of a step")


def profile(context: StageContext, findings: Findings) -> None:
    """Where a step's time goes: `profile.txt`."""
    device = choose_device(context.device)
    config = config_for(context, "small")
    text = []
    for name in ("plain", "compiled") if device.type == "cuda" else ("plain",):
        trainer = make_trainer(config, "electra", "bf16", device)
        if name == "compiled":
            trainer.model.compile_networks()
        table, busy, elapsed = _profiled(context, trainer, config, device)
        text.append(f"small, {TOKENS[0]:,} tokens a step, {name}\n{table}\n")
        if device.type == "cuda":
            findings.value(f"small, {name}: the GPU idles", max(0.0, 1 - busy / elapsed), "share")
        (context.out / "profile.txt").write_text("\n".join(text), encoding="utf-8")
    findings.value("profile", "profile.txt")


def _profiled(
    context: StageContext, trainer: Trainer, config: ModelConfig, device: torch.device
) -> tuple[str, float, float]:
    """The table of kernels; seconds in kernels; seconds that the same steps take unprofiled."""
    steps = 2 if context.rehearse else 5
    batches = _dense(context, config, TOKENS[0], 128, device)
    elapsed = _time(trainer.step, batches, device, context).seconds * steps
    activities = [torch.profiler.ProfilerActivity.CPU]
    activities += [torch.profiler.ProfilerActivity.CUDA] * (device.type == "cuda")
    with torch.profiler.profile(activities=activities) as profiler:
        for batch in itertools.islice(batches, steps):
            trainer.step(batch)
        synchronize(device)
    kernels = _kernels(profiler.key_averages(), device)
    busy = sum(seconds for seconds, _, _ in kernels)
    lines = [f"{'share':>6} {'ms a step':>10} {'calls':>7}  kernel"]
    for seconds, calls, name in sorted(kernels, reverse=True)[:KERNELS]:
        milliseconds = 1e3 * seconds / steps
        lines.append(f"{seconds / busy:6.1%} {milliseconds:10.3f} {calls // steps:7}  {name[:120]}")
    return "\n".join(lines), busy, elapsed


def _kernels(averages: Any, device: torch.device) -> list[tuple[float, int, str]]:
    """(seconds, calls, name) of what ran on the device; on a CPU of torch's operations."""
    on_host = torch.autograd.DeviceType.CPU
    if device.type == "cpu":
        return [(event.self_cpu_time_total / 1e6, event.count, event.key) for event in averages]
    return [  # those of the host have the times of the kernels that they started once more
        (event.self_device_time_total / 1e6, event.count, event.key)
        for event in averages
        if event.device_type != on_host
    ]


def first_step(context: StageContext, findings: Findings) -> None:
    """train.py, from its start to the first line of its log."""
    size, tokens = ("tiny", 256) if context.rehearse else ("small", TOKENS[0])
    sample = context.root / "data" / "sample" / "wiki.raw"
    text = context.scratch / "first.raw"
    text.write_bytes(sample.read_bytes() * (1 if context.rehearse else 20))
    out = context.scratch / "first-step"
    command = [
        *(sys.executable, context.root / "train.py", "--corpus", text, "--size", size),
        *("--batch-tokens", tokens, "--seq-len", 64, "--vocab-size", 800, "--log-every", 1),
        *("--cache", context.scratch / "cache-first", "--device", context.device, "--out", out),
        "--no-compile" if context.rehearse else "--compile",
    ]
    began = time.perf_counter()
    with open(context.scratch / "first-step.train.log", "wb") as log:
        process = subprocess.Popen(
            list(map(str, command)), stdout=log, stderr=log, cwd=context.scratch
        )
        try:
            metrics = out / "metrics.jsonl"
            while not (metrics.exists() and metrics.stat().st_size) and process.poll() is None:
                time.sleep(0.01)
            seconds = time.perf_counter() - began
            findings.holds("train.py comes to its first step", process.poll() is None)
        finally:
            os.kill(process.pid, signal.SIGKILL)
            process.wait()
    findings.value("from typing to the end of the first step", seconds, "s")
