"""The settings of train.py."""

from __future__ import annotations

import math
from dataclasses import dataclass

from electra.config.model import ATTENTION_INITS, MOST_LAYERS, OBJECTIVES, SIZES
from electra.config.model import LARGEST_SIZE as LARGEST
from electra.config.options import Settings, option

ARCHITECTURE, OBJECTIVE = "architecture, where it differs from --size", "objective"
OPTIMIZER = "optimizer"
AMP_CHOICES = ("auto", "bf16", "fp16", "off")
LONGEST_TIMEOUT = 10_000  # minutes, a week


@dataclass(frozen=True)
class PretrainConfig(Settings):
    """Settings of train.py. `None`: filled in by `resolve_pretraining`, mostly from --size."""

    corpus: tuple[str, ...] = option(
        ("data/sample/wiki.raw",), "text", "files, folders or globs to train on"
    )
    valid: tuple[str, ...] = option(
        (),
        "text",
        "held-out text (default: 0.5%% of the corpus's documents, or 5 of a small corpus)",
    )
    errors: str = option(
        "strict", "text", "bytes that are not UTF-8: stop, or replace them", ("strict", "replace")
    )
    text_field: str | None = option(
        None,
        "text",
        "the field of JSON objects, or the column of a .csv or .tsv, that is the text "
        "(default: text; a table has none)",
    )
    cache: str = option("data/cache", "text", "folder of tokenised corpora, shared by runs")

    tokenizer: str | None = option(
        None,
        "tokenizer",
        "an existing tokenizer: a SentencePiece model, a BERT vocab.txt, a checkpoint or its run "
        "folder (default: train one)",
    )
    vocab_size: int | None = option(
        None,
        "tokenizer",
        "tokens of a new vocabulary, fewer where the corpus is "
        "too small (default: 30,522; tiny: 4,000)",
    )
    cased: bool = option(
        False, "tokenizer", "keep upper case: in a new vocabulary, or with a vocab.txt"
    )

    size: str = option("small", "model", "shape of the model", tuple(SIZES))
    objective: str = option(
        "electra",
        "model",
        "electra, or mlm: a BERT of the same blocks",
        OBJECTIVES,
    )
    dropout: float | None = option(
        None, "model", "dropout in pre-training (default: 0.1; tiny: 0)", at_least=0, below=1
    )
    attention_init: str | None = option(
        None,
        "model",
        "initialisation of the attention heads (default: usual; tiny: neighbours)",
        ATTENTION_INITS,
    )
    init: str | None = option(
        None,
        "model",
        "checkpoint, or its run folder, whose weights, sizes and tokenizer to start from; a BERT "
        "becomes an ELECTRA with --objective electra",
    )

    seq_len: int = option(128, "batches", "tokens of an example, [CLS] and [SEP] included")
    phases: str | None = option(
        None, "batches", "lengths by share of the run, e.g. 128:0.9,512:0.1; replaces --seq-len"
    )
    interleave: bool = option(
        False,
        "batches",
        "draw the length of every step by the shares of --phases, instead of "
        "one stretch after the other",
    )
    batch_tokens: int | None = option(
        None, "batches", "tokens of one step, padding included (default: by size)", above=0
    )
    accumulate: int = option(1, "batches", "split each step into this many micro-batches", above=0)

    steps: int | None = option(None, "training", "optimizer steps (default: by size)", above=0)
    minutes: float | None = option(
        None,
        "training",
        "stop after this time; the schedule follows the clock",
        above=0,
        at_most=math.inf,
    )
    epochs: float | None = option(
        None, "training", "passes over the corpus; fractions are taken", above=0
    )
    lr: float | None = option(
        None, "training", "peak learning rate (default: by size, lower with --init)", above=0
    )
    warmup_steps: int | None = option(
        None,
        "training",
        "steps of linear warm-up (default: by size, at most a "
        "tenth of the run; with --minutes never more than a tenth)",
        at_least=0,
    )
    seed: int = option(0, "training", "seed of weights, order, masks and dropout", at_least=0)

    device: str = option("auto", "machine", "auto, cpu, cuda, cuda:1, mps")
    amp: str = option(
        "auto", "machine", "mixed precision; auto: bf16 where the device has it", AMP_CHOICES
    )
    compile: bool | None = option(
        None,
        "machine",
        "torch.compile the networks, which takes a minute for each shape of batch (default: no)",
    )
    cuda_graphs: bool | None = option(
        None,
        "machine",
        "record the step as a CUDA graph for each shape of batch (default: on one GPU, while "
        "memory allows)",
    )
    deterministic: bool = option(
        False,
        "machine",
        "on a GPU: only operations that give the same bits each time, so that --resume is exact "
        "there too; slower",
    )
    zero: bool = option(
        False, "machine", "under torchrun: share out the optimizer's state over the processes"
    )
    rank_timeout: float = option(
        10.0,
        "machine",
        "under torchrun: minutes after which a process that does not answer is given up",
        above=0,
        at_most=LONGEST_TIMEOUT,
    )

    out: str | None = option(None, "run", "run folder (default: runs/<corpus>-<size>-<objective>)")
    resume: bool = option(
        False, "run", "go on with the run in --out, exactly as if it had never stopped"
    )
    config: str | None = option(
        None,
        "run",
        "config.json of an earlier run: its settings, where no flag says otherwise",
    )
    save_every: int = option(1_000, "run", "steps between checkpoints", above=0)
    save_minutes: float = option(
        10.0, "run", "most minutes between checkpoints", above=0, at_most=math.inf
    )
    keep: int = option(
        2,
        "run",
        "numbered checkpoints kept beside ckpt.pt; the newest is the same file, so --resume can "
        "fall back on an earlier one from 2 on",
        at_least=0,
    )
    eval_every: int = option(
        1_000, "run", "steps between evaluations on the held-out text", above=0
    )
    log_every: int = option(100, "run", "steps between lines of the log", above=0)

    hidden_size: int | None = option(
        None,
        ARCHITECTURE,
        "hidden size of BERT or the discriminator (default: by size)",
        at_least=1,
        at_most=LARGEST,
    )
    num_layers: int | None = option(
        None, ARCHITECTURE, "layers of it (default: by size)", at_least=1, at_most=MOST_LAYERS
    )
    num_heads: int | None = option(
        None, ARCHITECTURE, "attention heads of it (default: by size)", at_least=1, at_most=LARGEST
    )
    intermediate_size: int | None = option(
        None,
        ARCHITECTURE,
        "feed-forward size of it (default: 4 times the hidden size)",
        at_least=1,
        at_most=LARGEST,
    )
    embedding_size: int | None = option(
        None,
        ARCHITECTURE,
        "size of the embeddings (default: tiny, small: 128; base, large: the hidden size)",
        at_least=1,
        at_most=LARGEST,
    )
    max_positions: int | None = option(
        None,
        ARCHITECTURE,
        "longest text that the model can read, in tokens (default: 512)",
        at_least=8,
        at_most=LARGEST,
    )
    generator_size: float | None = option(
        None,
        ARCHITECTURE,
        "hidden size of the generator, or up to 1 its fraction of --hidden-size "
        "(default: 1/4; base: 1/3)",
        above=0,
        at_most=LARGEST,
    )
    generator_num_layers: int | None = option(
        None,
        ARCHITECTURE,
        "layers of the generator (default: as many; tiny: 2 of 3)",
        at_least=1,
        at_most=MOST_LAYERS,
    )
    generator_num_heads: int | None = option(
        None,
        ARCHITECTURE,
        "attention heads of the generator (default: its fraction of --num-heads; tiny: 2)",
        at_least=1,
        at_most=LARGEST,
    )
    attention_dropout: float | None = option(
        None,
        ARCHITECTURE,
        "dropout of attention weights (default: as --dropout)",
        at_least=0,
        below=1,
    )

    mask_prob: float | None = option(
        None, OBJECTIVE, "share of masked tokens (default: 0.15; large: 0.25)", above=0, below=1
    )
    rtd_weight: float = option(
        50.0,
        OBJECTIVE,
        "weight of the discriminator's loss; the generator's has 1",
        at_least=0,
    )
    temperature: float = option(
        1.0, OBJECTIVE, "temperature at which the generator samples", at_least=0.01
    )
    pair_share: float = option(
        0.9, OBJECTIVE, "share of examples that are cut into two segments", at_least=0, at_most=1
    )
    short_share: float = option(
        0.05,
        OBJECTIVE,
        "share of examples that are cut again, at a random length",
        at_least=0,
        at_most=1,
    )

    lr_decay_power: float = option(
        1.0, OPTIMIZER, "the learning rate falls as (1 - share done) to this power", at_least=0
    )
    weight_decay: float = option(0.01, OPTIMIZER, "decoupled weight decay", at_least=0)
    adam_beta1: float = option(0.9, OPTIMIZER, "decay of the first moment", at_least=0, below=1)
    adam_beta2: float = option(0.999, OPTIMIZER, "decay of the second moment", at_least=0, below=1)
    adam_epsilon: float = option(1e-6, OPTIMIZER, "added to the root of the second moment", above=0)
    grad_clip: float = option(
        1.0,
        OPTIMIZER,
        "largest norm of the gradient; inf: no clipping",
        above=0,
        at_most=math.inf,
    )

    FOLLOWERS = {
        "size": (
            *("hidden_size", "num_layers", "num_heads", "intermediate_size", "embedding_size"),
            *("generator_size", "generator_num_layers", "generator_num_heads", "max_positions"),
            *("dropout", "attention_dropout", "attention_init", "vocab_size", "mask_prob"),
            *("batch_tokens", "lr", "warmup_steps"),
        ),
        "hidden_size": ("intermediate_size", "embedding_size", "generator_num_heads"),
        "num_layers": ("generator_num_layers",),
        "num_heads": ("generator_num_heads",),
        "generator_size": ("generator_num_heads",),
        "dropout": ("attention_dropout",),
        "objective": ("lr",),
        "init": ("lr",),
        "vocab_size": ("tokenizer",),
        "cased": ("tokenizer",),
        "seq_len": ("phases", "interleave"),
        "steps": ("minutes", "epochs", "warmup_steps"),
        "minutes": ("steps", "epochs", "warmup_steps"),
        "epochs": ("steps", "minutes", "warmup_steps"),
    }
    NOT_FROM_FILE = ("out", "resume", "config")

    @property
    def on_sample(self) -> bool:
        """Whether the text is the sample that comes with the code."""
        return self.corpus == type(self).corpus
