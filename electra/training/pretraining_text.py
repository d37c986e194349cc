"""The text of a pre-training run in batches and steps."""

from __future__ import annotations

import torch

from electra.config import Phase, PretrainConfig, SpecialIds
from electra.data.batch import Batch
from electra.data.spans import OPTIONS, SpanBatches, SpanOptions
from electra.data.token_store import Text
from electra.training.pretraining_run import Batches, Corpus, PretrainingRun

EVALUATION_TOKENS = 50_000


def width_multiple(device: torch.device) -> int:
    """Batch widths are multiples of this: few shapes on a GPU, little padding on a CPU."""
    return 64 if device.type == "cuda" else 8


def make_batches(
    config: PretrainConfig,
    corpus: Corpus,
    phases: tuple[Phase, ...],
    device: torch.device,
    special: SpecialIds,
) -> Batches:
    """The batches of a run.

    Raises ValueError where a micro-batch does not hold one example, or the text not one batch.
    """
    assert config.batch_tokens is not None
    tokens, length = micro_batch_tokens(config), longest(phases)
    if tokens < length:
        raise ValueError(
            f"--batch-tokens {config.batch_tokens} in {config.accumulate} micro-batches does not "
            f"hold one example of {length} tokens"
        )
    if corpus.train.num_tokens < config.batch_tokens:
        raise ValueError(
            f"the corpus has {corpus.train.num_tokens:,} tokens to train on, less than one batch "
            f"of {config.batch_tokens:,}; give more text or a smaller --batch-tokens"
        )
    options = SpanOptions(config.short_share, config.pair_share)
    stream = make_stream(corpus.train, tokens, device, config.seed, special, options)
    held_out = {
        length: held_out_batches(corpus.valid, tokens, length, device, special)
        for length in dict.fromkeys(phase.seq_len for phase in phases)  # each once, in their order
    }
    return Batches(stream, held_out)


def make_stream(
    text: Text,
    batch_tokens: int,
    device: torch.device,
    seed: int,
    special: SpecialIds,
    options: SpanOptions = OPTIONS,
) -> SpanBatches:
    """The batches to train on."""
    options = options._replace(fill=device.type == "cuda")
    return SpanBatches(text, batch_tokens, width_multiple(device), seed, special, options)


def held_out_batches(
    text: Text, batch_tokens: int, seq_len: int, device: torch.device, special: SpecialIds
) -> list[Batch]:
    """Up to EVALUATION_TOKENS of held-out text at a length, the same in every run on the corpus."""
    stream = SpanBatches(text, batch_tokens, width_multiple(device), seed=0, special=special)
    batches: list[Batch] = []
    total = len(stream.lay_out(seq_len, 0)[1])
    while len(batches) < total and sum(b.input_ids.numel() for b in batches) < EVALUATION_TOKENS:
        batches.append(stream.next(seq_len))
    return batches


def micro_batch_tokens(config: PretrainConfig) -> int:
    """Tokens of a micro-batch, padding included."""
    assert config.batch_tokens is not None
    return config.batch_tokens // config.accumulate


def longest(phases: tuple[Phase, ...]) -> int:
    """The length of the longest examples, in tokens."""
    return max(phase.seq_len for phase in phases)


def smaller_batches(run: PretrainingRun) -> str:
    """What to try where a step does not fit into memory."""
    config, tokens = run.config, micro_batch_tokens(run.config)
    graphs = run.learner.graphs
    plain = "" if graphs is None or graphs.full else "--no-cuda-graphs, or "
    if tokens // 2 < longest(run.schedule.phases):
        return f"{plain}a smaller --size, or shorter examples (--seq-len, --phases)"
    return (
        f"{plain}--accumulate {2 * config.accumulate}: micro-batches of {tokens // 2:,} tokens "
        f"instead of {tokens:,} (a run that has begun keeps its own; begin another one with --init)"
    )


def steps_per_epoch(
    config: PretrainConfig, stream: SpanBatches, phases: tuple[Phase, ...]
) -> float:
    """Steps of one pass. A phase has its share of them; longer examples make other batches."""
    begin, per_epoch = 0.0, 0.0
    for phase in phases:
        batches = len(stream.lay_out(phase.seq_len, 0)[1])
        per_epoch += (phase.end - begin) * batches / config.accumulate
        begin = phase.end
    return per_epoch
