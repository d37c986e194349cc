#!/usr/bin/env python3
"""Pre-train ELECTRA, or BERT as the control, on raw text.

python train.py                                     the sample, two minutes on two cores
python train.py --corpus wiki.raw                   ELECTRA-small on a corpus
python train.py --corpus reviews/ --size tiny --minutes 60
python train.py --out runs/wiki-small-electra --resume
"""

from __future__ import annotations

import json
import math
import signal
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from electra.checkpoint import run_folder
from electra.checkpoint.checkpoint import PRETRAINED, Checkpoint, TrainingState, make_checkpoint
from electra.checkpoint.run_folder import RunFolder
from electra.checkpoint.storage import load_checkpoint
from electra.cli import parse, run_cli
from electra.config import (
    SIZES,
    ModelConfig,
    Phase,
    PretrainConfig,
    SpecialIds,
    check_pretrain_flags,
    default_out,
    from_dict,
    parse_phases,
    preset_model_config,
    resolve_pretraining,
    resolve_steps,
    to_dict,
)
from electra.data import token_cache, token_store
from electra.data.batch import Batch
from electra.data.spans import SpanBatches
from electra.data.tokenizer import Tokenizer, load_tokenizer
from electra.model.build import build, with_weights
from electra.training import distributed
from electra.training.device import (
    Precision,
    choose_device,
    choose_precision,
    explain_out_of_memory,
    give_memory_back,
    make_deterministic,
)
from electra.training.distributed import Ranks
from electra.training.evaluate import (
    NON_FINITE_LIMIT,
    add_up,
    auc_of,
    evaluate,
    figures,
    is_plateau,
    replaced_entropy,
    scored,
    sum_over,
)
from electra.training.log import MetricsLog
from electra.training.optimizer import Adam, ShardedAdam, parameter_groups
from electra.training.passes import CudaGraphs, choose_graphs
from electra.training.schedule import lr_at, warmup_factor
from electra.training.seeds import derive_seed
from electra.training.step import Learner, LossScale, train_step

# `python train.py` with nothing else: small enough to watch.
SAMPLE = dict(
    size="tiny",
    out="runs/sample",
    steps=400,
    warmup_steps=50,
    batch_tokens=2048,
    seq_len=64,
    eval_every=100,
    log_every=50,
    save_every=200,
    vocab_size=2000,
)
# What --resume may change: none of it touches weights, metrics or the order of the data.
FREE_ON_RESUME = {
    "out",
    "resume",
    "compile",
    "cuda_graphs",
    "zero",
    "rank_timeout",
    "save_every",
    "save_minutes",
    "keep",
    "eval_every",
    "log_every",
    "cache",
    "config",
}
EVALUATION_TOKENS = 50_000
WEIGHT_DECAY = 0.01
SAME_SIGNAL = 1.0  # seconds
LATEST_WARMUP = 0.1  # share of --minutes: nobody knows how many steps they hold


def main(argv: list[str] | None = None) -> int:
    """Run with a command line; returns the exit code of `run_cli`."""
    distributed.quiet_unless_first()
    try:
        return run_cli(
            "train.py",
            lambda: run_command(argv),
            stopped="stopped at once; what was saved before is whole",  # or a second Ctrl-C
            report=distributed.report,
        )
    finally:
        distributed.stop()


def run_command(argv: list[str] | None) -> None:
    """Parse a command line and run it."""
    assert __doc__ is not None
    config, given = parse(PretrainConfig, "train.py", __doc__.split("\n")[0], argv)
    if not given & {"corpus", "init", "resume", "config"}:
        sample = {name: value for name, value in SAMPLE.items() if name not in given}
        config = replace(config, **sample)
    with distributed.explain_rank_failure(config.rank_timeout):
        run(config, given)


def run(config: PretrainConfig, given: set[str]) -> None:
    """Build everything, or read it back, then train."""
    checkpoint = None
    if distributed.restarted():  # by torchrun, with the command line of the beginning
        out = config.out or default_out(config.corpus, config.size, config.objective)
        config = replace(config, out=out)
        config = replace(config, resume=config.resume or bool(run_folder.of_run(Path(config.out))))
    if config.resume:
        checkpoint, config = read_run(config, given)
    else:
        check_pretrain_flags(config, given)
        if config.init:
            checkpoint = load_checkpoint(config.init, PRETRAINED)
    if config.deterministic:
        make_deterministic()
    device = choose_device(distributed.device_name(config.device))
    precision = choose_precision(config.amp, device)
    ranks = distributed.start(device, config.rank_timeout)
    graphs = choose_graphs(config.cuda_graphs, device, ranks)

    with ranks.rank0_first():  # the others find tokenizer and tokens in the cache
        tokenizer, shape = choose_model(config, given, checkpoint)
        config = resolve_pretraining(config, shape)
        phases = parse_phases(config.seq_len, config.phases, shape.max_positions)
        store = token_store.open_store(config.corpus, tokenizer, config.errors, config.cache)
        train_text, valid_text = split(store, config, tokenizer)
    stream = make_stream(
        train_text, config.batch_tokens // config.accumulate, device, config.seed, shape.special
    )
    longest = max(phase.seq_len for phase in phases)
    if config.batch_tokens // config.accumulate < longest:
        raise ValueError(
            f"--batch-tokens {config.batch_tokens} in {config.accumulate} micro-batches does not hold one "
            f"example of {longest} tokens"
        )
    if train_text.num_tokens < config.batch_tokens:
        raise ValueError(
            f"the corpus has {train_text.num_tokens:,} tokens to train on, less than one batch of "
            f"{config.batch_tokens:,}; give more text or a smaller --batch-tokens"
        )
    config = resolve_steps(config, lambda: steps_per_epoch(config, stream, phases))

    if checkpoint is not None:
        model = with_weights(
            lambda shape: build(shape, SIZES[config.size].mask_prob),
            shape,
            checkpoint.model,
            Path(config.out) / "ckpt.pt" if config.resume else config.init,
        )
    folder = (
        RunFolder(config.out, config.resume, replace=distributed.restarted())
        if ranks.first
        else None
    )
    if checkpoint is None:
        torch.manual_seed(derive_seed(config.seed, 0xE1EC))
        model = build(shape, SIZES[config.size].mask_prob)
    model.to(device)
    optimizer = (ShardedAdam if config.zero and ranks.world_size > 1 else Adam)(
        parameter_groups(model, WEIGHT_DECAY)
    )
    scale = LossScale(precision, device)
    start = Progress()
    if config.resume:
        start = restore(checkpoint.training, optimizer, scale, stream, store, ranks)
    elif folder is not None:
        folder.write_json(
            "config.json", {**to_dict(config), "model": to_dict(shape), "amp_used": precision.name}
        )
        folder.write("tokenizer.model", tokenizer.to_bytes())
    if is_compiled(config.compile, device):
        model.compile_networks()

    say_start(config, model, shape, train_text, valid_text, precision, device, start, ranks)
    held_out = {
        length: held_out_batches(valid_text, config, length, device, shape.special)
        for length in dict.fromkeys(phase.seq_len for phase in phases)
    }
    loop = Loop(
        config,
        phases,
        model,
        optimizer,
        scale,
        precision,
        device,
        stream,
        tokenizer,
        folder,
        store,
        held_out,
        start,
        ranks,
        graphs,
    )
    try:
        with explain_out_of_memory(device, smaller_batches(config, longest)):
            loop.train()
    finally:
        if folder is not None:
            loop.tell(folder.wait_for_save())
            folder.close()


class Progress:
    """How far a run has come. All of it is in the checkpoint."""

    def __init__(
        self,
        step: int = 0,
        seconds: float = 0.0,
        window: dict[str, torch.Tensor] | None = None,
        places: int = 0,
        window_seconds: float = 0.0,
    ) -> None:
        self.step = step  # optimizer steps done
        self.seconds = seconds  # spent in the loop, over all parts of a resumed run
        # since the last line of the log
        self.window, self.places, self.window_seconds = window or {}, places, window_seconds


def read_run(config: PretrainConfig, given: set[str]) -> tuple[Checkpoint, PretrainConfig]:
    """The checkpoint and the settings of the run in --out. Raises ValueError where a flag contradicts them."""
    if config.out is None:
        raise ValueError("--resume needs --out, the folder of the run to go on with")
    checkpoint, instead = run_folder.load_newest(Path(config.out), PRETRAINED)
    if instead:
        print(instead, flush=True)
    if checkpoint.training is None:
        raise ValueError(
            f"{config.out} holds an imported checkpoint, not a run to go on with; begin one with --init"
        )
    try:
        old = from_dict(PretrainConfig, checkpoint.settings)
    except ValueError as problem:
        raise ValueError(f"{Path(config.out) / 'ckpt.pt'}: {problem}") from None
    changed = sorted(
        name for name in given - FREE_ON_RESUME if getattr(config, name) != getattr(old, name)
    )
    if changed:
        name = changed[0]
        raise ValueError(
            f"--{name.replace('_', '-')} {getattr(config, name)} differs from the run's "
            f"{getattr(old, name)}; leave it out, or begin another run with --init"
        )
    free = {name: getattr(config, name) for name in (FREE_ON_RESUME & given) | {"out", "resume"}}
    return checkpoint, replace(old, **free)


def choose_model(
    config: PretrainConfig, given: set[str], checkpoint: Checkpoint | None
) -> tuple[Tokenizer, ModelConfig]:
    """Tokenizer and shape: of the checkpoint where there is one, else of the settings and the corpus."""
    if checkpoint is not None:
        shape = checkpoint.model_config
        if "objective" in given and config.objective != shape.objective:
            raise ValueError(
                f"{config.init} is a checkpoint of objective {shape.objective}; its weights do not make "
                f"a model of objective {config.objective}"
            )
        if config.dropout is not None and not config.resume:
            shape = replace(shape, dropout=config.dropout, attention_dropout=config.dropout)
        return checkpoint.tokenizer, shape
    if config.tokenizer:
        tokenizer = load_tokenizer(config.tokenizer, config.cased)
    else:
        vocab_size = config.vocab_size or SIZES[config.size].vocab_size
        tokenizer = token_cache.corpus_tokenizer(
            config.corpus, vocab_size, config.cased, config.errors, config.cache
        )
    return tokenizer, preset_model_config(
        config.size,
        config.objective,
        tokenizer.vocab_size,
        config.dropout,
        config.attention_init,
        tokenizer.special,
    )


def split(
    store: token_store.TokenStore, config: PretrainConfig, tokenizer: Tokenizer
) -> tuple[token_store.Text, token_store.Text]:
    """(text to train on, held-out text)."""
    if not config.valid:
        return token_store.hold_out(store)
    valid = token_store.open_store(config.valid, tokenizer, config.errors, config.cache)
    return token_store.whole(store), token_store.whole(valid)


def width_multiple(device: torch.device) -> int:
    """Batch widths are multiples of this: few shapes on a GPU, little padding on a CPU."""
    return 64 if device.type == "cuda" else 8


def make_stream(
    text: token_store.Text, batch_tokens: int, device: torch.device, seed: int, special: SpecialIds
) -> SpanBatches:
    """The batches to train on."""
    return SpanBatches(
        *text, batch_tokens, width_multiple(device), seed, special, fill=device.type == "cuda"
    )


def smaller_batches(config: PretrainConfig, longest: int) -> str:
    """What to try where a step of this run does not fit into memory."""
    micro_batch = config.batch_tokens // config.accumulate
    if micro_batch // 2 < longest:
        return "a smaller --size, or shorter examples (--seq-len, --phases)"
    return (
        f"--accumulate {2 * config.accumulate}: micro-batches of {micro_batch // 2:,} tokens "
        f"instead of {micro_batch:,} (a run that has begun keeps its own; begin another one with --init)"
    )


def is_compiled(compile: bool | None, device: torch.device) -> bool:
    """What --compile comes to."""
    return device.type == "cuda" if compile is None else compile


def steps_per_epoch(
    config: PretrainConfig, stream: SpanBatches, phases: tuple[Phase, ...]
) -> float:
    """Steps of one pass. A phase has its share of them, and longer examples make other batches."""
    begin, per_epoch = 0.0, 0.0
    for phase in phases:
        batches = len(stream.lay_out(phase.seq_len, 0)[1])
        per_epoch += (phase.end - begin) * batches / config.accumulate
        begin = phase.end
    return per_epoch


def held_out_batches(
    text: token_store.Text,
    config: PretrainConfig,
    seq_len: int,
    device: torch.device,
    special: SpecialIds,
) -> list[Batch]:
    """Up to EVALUATION_TOKENS of held-out text at a length, the same in every run on this corpus."""
    stream = SpanBatches(
        *text,
        config.batch_tokens // config.accumulate,
        width_multiple(device),
        seed=0,
        special=special,
    )
    batches: list[Batch] = []
    total = len(stream.lay_out(seq_len, 0)[1])
    while len(batches) < total and sum(b.input_ids.numel() for b in batches) < EVALUATION_TOKENS:
        batches.append(stream.next(seq_len))
    return batches


def restore(
    training: TrainingState,
    optimizer: Adam,
    scale: LossScale,
    stream: SpanBatches,
    store: token_store.TokenStore,
    ranks: Ranks,
) -> Progress:
    """Put everything back to where the checkpoint was; what all ranks had counted since the last line of the log is the
    first one's. Raises ValueError where the corpus is no longer the same."""
    if training.corpus_tokens != len(store.tokens):
        raise ValueError(
            f"the corpus has changed since the run began: {len(store.tokens):,} tokens, not "
            f"{training.corpus_tokens:,}; begin another run with --init"
        )
    optimizer.load_state_dict(training.optimizer)
    scale.load_state_dict(training.scale)
    stream.load(training.stream)
    window = (
        {name: value.to(scale.scale.device) for name, value in training.window.items()}
        if ranks.first
        else {}
    )
    return Progress(
        training.step,
        training.seconds,
        window,
        training.padded_tokens,
        training.window_seconds,
    )


def say_start(
    config: PretrainConfig,
    model: torch.nn.Module,
    shape: ModelConfig,
    train_text: token_store.Text,
    valid_text: token_store.Text,
    precision: Precision,
    device: torch.device,
    start: Progress,
    ranks: Ranks,
) -> None:
    count = sum(p.numel() for p in model.parameters())
    length = f"{config.minutes:g} minutes" if config.minutes else f"{config.steps:,} steps"
    print(
        f"{config.objective} {config.size}: {count / 1e6:.1f} M parameters, vocabulary {shape.vocab_size:,}\n"
        f"text: {train_text.num_tokens:,} tokens of {len(train_text.starts):,} documents, held out "
        f"{valid_text.num_tokens:,}\n"
        f"run: {length} of {config.batch_tokens:,} tokens, lr {config.lr:g}, on {device} (amp {precision.name}"
        + (f", {ranks.world_size} ranks" if ranks.world_size > 1 else "")
        + f"), into {config.out}"
        + (f", from step {start.step:,}" if start.step else ""),
        flush=True,
    )


class Loop:
    """The training loop and what it needs between steps."""

    def __init__(
        self,
        config: PretrainConfig,
        phases: tuple[Phase, ...],
        model: torch.nn.Module,
        optimizer: Adam,
        scale: LossScale,
        precision: Precision,
        device: torch.device,
        stream: SpanBatches,
        tokenizer: Tokenizer,
        folder: RunFolder | None,
        store: token_store.TokenStore,
        held_out: dict[int, list[Batch]],
        progress: Progress,
        ranks: Ranks,
        graphs: CudaGraphs | None,
    ) -> None:
        self.config, self.phases, self.model, self.optimizer, self.scale = (
            config,
            phases,
            model,
            optimizer,
            scale,
        )
        self.precision, self.device, self.stream, self.tokenizer = (
            precision,
            device,
            stream,
            tokenizer,
        )
        self.folder, self.store, self.held_out, self.progress = folder, store, held_out, progress
        self.ranks, self.wrapped, self.graphs = ranks, distributed.wrap(model, ranks), graphs
        self.log = MetricsLog(folder.path, progress.step) if folder is not None else None
        self.unigram = torch.from_numpy(np.array(store.unigram, dtype=np.float32)).to(device)
        self.stop_asked: float | None = None  # when
        self.warm = 0.0
        self.began = time.monotonic() - progress.seconds
        self.saved_at = time.monotonic()

    def done(self) -> float:
        """The share of the run that lies behind, in [0, 1]."""
        if self.config.minutes:
            return min(1.0, (time.monotonic() - self.began) / (60 * self.config.minutes))
        return self.progress.step / self.config.steps

    def seq_len(self, share: float) -> int:
        """The length of the next step, at this share of the run. Interleaved, a function of (seed, step)."""
        at = (
            derive_seed(self.config.seed, self.progress.step, 0x1E9) % 2**32 / 2**32
            if self.config.interleave
            else share
        )
        return next(phase.seq_len for phase in self.phases if at < phase.end)

    def train(self) -> None:
        """Step until the end or a signal; then save."""
        config, progress = self.config, self.progress
        self.window, self.places = progress.window, progress.places
        self.window_began = time.monotonic() - progress.window_seconds
        learner = Learner(
            self.wrapped, self.optimizer, self.scale, self.precision, self.ranks, self.graphs
        )
        share, stop, _ = self._agree()
        if progress.step and share >= 1.0:
            print("this run is already finished")
            return self._finish()
        old_handlers = {
            s: signal.signal(s, self._on_signal) for s in (signal.SIGINT, signal.SIGTERM)
        }
        bar = tqdm(
            total=config.steps,
            initial=progress.step,
            unit="step",
            smoothing=0.05,
            disable=None if self.ranks.first else True,
        )
        try:
            if config.init and not progress.step:
                self._evaluate()  # where the checkpoint stands on this text
            while share < 1.0 and not stop:
                seq_len = self.seq_len(share)
                batches = [
                    self.stream.next(seq_len).to(self.device) for _ in range(config.accumulate)
                ]
                self.warm = warmup_factor(
                    progress.step,
                    config.warmup_steps,
                    share,
                    LATEST_WARMUP if config.minutes else math.inf,
                )
                lr = config.lr * lr_at(self.warm, share)
                result = train_step(learner, batches, lr, derive_seed(config.seed, progress.step))
                progress.step += 1
                bar.update()
                add_up(self.window, result.sums)
                self.places += sum(batch.input_ids.numel() for batch in batches)
                if self.device.type == "cpu" or progress.step % NON_FINITE_LIMIT == 0:
                    self._stop_if_broken()
                if progress.step % config.log_every == 0:
                    self._write_log(result, lr, bar)
                    give_memory_back()
                if progress.step % config.eval_every == 0:
                    self._evaluate()
                if self.folder is not None:
                    self.tell(self.folder.wait_for_save(wait=False))
                share, stop, due = self._agree()
                if due:
                    self._save()
            bar.close()
            if stop:
                self._save_last()
                print(
                    f"stopped at step {progress.step:,}, saved. Go on with:\n"
                    f"  python train.py --out {config.out} --resume",
                    flush=True,
                )
            else:
                self._finish()  # a signal does not keep it from its end
        finally:
            bar.close()
            for number, handler in old_handlers.items():
                signal.signal(number, handler)

    def _on_signal(self, number: int, frame: object) -> None:
        now = time.monotonic()
        if self.stop_asked is not None:
            if distributed.started_by_torchrun() and now < self.stop_asked + SAME_SIGNAL:
                return  # torchrun passes on what the terminal has sent already
            raise KeyboardInterrupt  # a second one: at once
        self.stop_asked = now
        tqdm.write("finishing the step and saving …")

    def _new_window(self) -> None:
        self.window: dict[str, torch.Tensor] = {}
        self.places, self.window_began = 0, time.monotonic()

    def _stop_if_broken(self) -> None:
        if self.scale.bad_in_row >= NON_FINITE_LIMIT:
            raise ValueError(
                f"the loss or its gradient was not finite {NON_FINITE_LIMIT} steps in a row, until step "
                f"{self.progress.step:,}; lower --lr, or try --amp off. {self.config.out}/ckpt.pt is of "
                f"before, if the run had saved one"
            )

    def _gather_window(self) -> None:
        """Put what all ranks have counted since the last line into the first one's window."""
        if self.ranks.world_size > 1:
            total = sum_over(self.ranks, self.window)
            self.window = {
                name: value if self.ranks.first else torch.zeros_like(value)
                for name, value in total.items()
            }

    def _write_log(self, result: Any, lr: float, bar: tqdm) -> None:
        self._gather_window()
        detections = (
            self.ranks.gather(scored(result.detection)) if result.detection is not None else []
        )
        if self.log is None:
            return self._new_window()
        real = float(self.window["tokens"])
        seconds = time.monotonic() - self.window_began
        values = figures(self.window)
        if detections:
            values["rtd_auc"] = auc_of(detections)
        values |= {
            "tokens": int(real),
            "lr": lr,
            "grad_norm": float(result.grad_norm),
            "tokens_per_s": real / seconds,
            "padding_frac": 1 - real / self.places,
            "skipped_steps": int(self.scale.skipped),
            "seconds": time.monotonic() - self.began,
        }
        self.log.write(self.progress.step, "train", values)
        bar.set_postfix_str(f"{_losses(values)}, {values['tokens_per_s']:,.0f} tok/s")
        if bar.disable:
            left = "" if self.config.minutes is None else f" {self.done():.0%}"
            print(
                f"step {self.progress.step:,}{left}: {_losses(values)}, {values['tokens_per_s']:,.0f} tokens/s",
                flush=True,
            )
        self._new_window()

    def _evaluate(self) -> None:
        """Figures on the held-out text: split "valid" at the first length, "valid_512" and so on at the others."""
        began = time.monotonic()
        first, *others = self.held_out
        for length in others:
            self._evaluate_at(length, f"valid_{length}", f"held out, length {length}")
        values = self._evaluate_at(first, "valid", "held out")
        if "rtd_auc" in values and self.warm == 1.0 and is_plateau(values):
            tqdm.write(
                f"  the discriminator has not left the plateau: its loss {values['rtd_loss']:.4f} is the entropy "
                f"of the replaced share, {replaced_entropy(values):.4f}. It needs more steps, "
                f"--attention-init neighbours, or a lower --lr; do not fine-tune from it yet."
            )
        self.window_began += time.monotonic() - began  # not the training's time

    def _evaluate_at(self, length: int, split: str, name: str) -> dict[str, float]:
        values = evaluate(
            self.model, self.held_out[length], self.precision, self.device, self.unigram, self.ranks
        )
        values["seconds"] = time.monotonic() - self.began
        if self.log is not None:
            self.log.write(self.progress.step, split, values)
        fixed = (
            f", against unigram draws {values['rtd_auc_unigram']:.3f}"
            if "rtd_auc_unigram" in values
            else ""
        )
        tqdm.write(f"step {self.progress.step:,} {name}: {_losses(values)}{fixed}")
        return values

    def _agree(self) -> tuple[float, bool, bool]:
        """How far the run has come, whether to stop, and whether to save now; the same on all ranks, by the first one's
        clock."""
        said = (self.done(), self._is_due()) if self.ranks.first else (0.0, False)
        share, due, stop = self.ranks.all_reduce_max(*said, self.stop_asked is not None)
        return share, bool(stop), bool(due)

    def _is_due(self) -> bool:
        """Whether to save after this step: by the steps, or by the time since the last try."""
        return (
            self.progress.step % self.config.save_every == 0
            or time.monotonic() - self.saved_at >= 60 * self.config.save_minutes
        )

    def tell(self, problem: str | None) -> None:
        """Say why a save has failed. The run goes on: the next save tries again."""
        if problem:
            tqdm.write(f"not saved: {problem}")

    def _save(self) -> None:
        """Hand the state over to be written, after the one before it."""
        self._gather_window()
        optimizer = self.optimizer.state_dict()  # from all ranks, where it is shared out over them
        self.saved_at = time.monotonic()
        if self.folder is None:
            return
        self.tell(self.folder.wait_for_save())
        self.progress.seconds = time.monotonic() - self.began
        training = TrainingState(
            step=self.progress.step,
            seconds=self.progress.seconds,
            corpus_tokens=len(self.store.tokens),
            optimizer=optimizer,
            scale=self.scale.state_dict(),
            stream=self.stream.state(),
            window=self.window,
            padded_tokens=self.places,
            window_seconds=time.monotonic() - self.window_began,
        )
        checkpoint = make_checkpoint(
            self.model, self.tokenizer, replace(self.config, resume=False), training
        )
        self.folder.save(checkpoint, self.progress.step, self.config.keep)

    def _save_last(self) -> None:
        """Save, and wait until it is done. Raises ValueError where this step is not on the disk in the end."""
        self._save()
        if self.folder is None:
            return
        problem = self.folder.wait_for_save()
        if problem and self.folder.saved_step != self.progress.step:
            raise ValueError(f"step {self.progress.step:,} is not saved: {problem}")
        self.tell(problem)
        self.log.flush()  # the save may have made a removed folder again

    def _finish(self) -> None:
        """Evaluate and save once more, where that was not done, and say what came out."""
        missing = self.progress.step not in (record["step"] for record in self._evaluations())
        if self.ranks.gather(missing)[0]:
            self._evaluate()
        self._save_last()
        if self.folder is not None:
            print_summary(self._evaluations(), self.folder, self.config)

    def _evaluations(self) -> list[dict[str, Any]]:
        lines = self.log.lines if self.log is not None else []
        return [record for record in map(json.loads, lines) if record["split"] == "valid"]


def _losses(values: dict[str, float]) -> str:
    text = f"mlm loss {values['mlm_loss']:.3f}, acc {values['mlm_acc']:.3f}"
    if "rtd_loss" in values:
        text += f"; rtd loss {values['rtd_loss']:.4f}, auc {values['rtd_auc']:.3f}, recall {values['rtd_recall']:.3f}"
    return text


def print_summary(valid: list[dict[str, Any]], folder: RunFolder, config: PretrainConfig) -> None:
    """What the run learned, and what to type next."""
    first, last = valid[0], valid[-1]
    print(
        f"\ndone: {last['step']:,} steps in {last['seconds'] / 60:.1f} minutes. On held-out text:"
    )
    print(
        f"  masked words guessed: {last['mlm_acc']:.1%} (loss {first['mlm_loss']:.2f} at step {first['step']:,}, "
        f"{last['mlm_loss']:.2f} now)"
    )
    if "rtd_auc" in last:
        print(
            f"  replaced words told from originals: AUC {last['rtd_auc']:.3f} against its own generator, "
            f"{last['rtd_auc_unigram']:.3f} against random words (0.5 is chance)"
        )
    print(f"checkpoint: {folder.checkpoint}\nnext:")
    sample = str(folder.path) == SAMPLE["out"]
    data = "data/sample/sst2" if sample else "data/SST-2"
    print(f"  python finetune.py --task sst2 --init {folder.checkpoint} --data {data}")
    if sample:
        print("  python train.py --corpus YOUR_TEXT --size tiny --minutes 60")
    print(
        f'  python scripts/predict.py --ckpt {folder.checkpoint} "a sentence in which one word is banana wrong"'
    )


if __name__ == "__main__":
    sys.exit(main())
