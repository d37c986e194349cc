"""Settings: frozen dataclasses, the size presets, and the command line made from the fields.

One source of truth: a field's name is its flag, its default is its default, its metadata is its help. Loading a
dictionary is strict: an unknown or missing key raises, so a setting is never dropped in silence.
"""

from __future__ import annotations

import dataclasses
import re
import typing
from dataclasses import dataclass, field, fields, replace

SPECIAL_TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")


class SpecialIds(typing.NamedTuple):
    """Ids of the special tokens. The defaults hold for every tokenizer that this project trains; released WordPiece
    vocabularies have others."""

    pad: int = 0
    unk: int = 1
    cls: int = 2
    sep: int = 3
    mask: int = 4


SPECIAL_IDS = SpecialIds()
PAD, UNK, CLS, SEP, MASK = SPECIAL_IDS
OBJECTIVES = ("electra", "mlm")
ATTENTION_INITS = ("usual", "neighbours")
POOLINGS = ("cls", "mean")
MOST_LAYERS = 1_000
LARGEST_SIZE = 1 << 24  # products of two fit into 64 bits


@dataclass(frozen=True)
class ModelConfig:
    """Shape of an encoder and, for ELECTRA, of its generator (paper, section 3.1 and table 6).

    `generator_*` are read only where `objective` is "electra". Embeddings (words, positions, types and their
    LayerNorm) have `embedding_size` and are shared by both networks.
    """

    objective: str
    vocab_size: int
    embedding_size: int
    hidden_size: int
    num_layers: int
    num_heads: int
    intermediate_size: int
    generator_hidden_size: int
    generator_num_layers: int
    generator_num_heads: int
    generator_intermediate_size: int
    max_positions: int = 512
    type_vocab_size: int = 2
    dropout: float = 0.1
    attention_dropout: float = 0.1
    layer_norm_eps: float = 1e-12
    initializer_range: float = 0.02
    attention_init: str = "usual"
    pooling: str = "cls"
    special: SpecialIds = SPECIAL_IDS  # the tokenizer's

    def __post_init__(self) -> None:
        object.__setattr__(
            self, "special", SpecialIds(*self.special)
        )  # a plain tuple, where it was read from a file
        for name, choices in (
            ("objective", OBJECTIVES),
            ("attention_init", ATTENTION_INITS),
            ("pooling", POOLINGS),
        ):
            if getattr(self, name) not in choices:
                raise ValueError(
                    f"{name.replace('_', ' ')} {getattr(self, name)!r} is not one of {', '.join(choices)}"
                )
        for item in fields(self):
            value, most = (
                getattr(self, item.name),
                MOST_LAYERS if item.name.endswith("layers") else LARGEST_SIZE,
            )
            if item.type == "int" and not 1 <= value <= most:
                raise ValueError(f"{item.name} {value!r:.40} is not from 1 to {most:,}")
            if item.type == "float" and not 0 <= value <= 1:  # not: nan is neither
                raise ValueError(f"{item.name} {value!r:.40} is not from 0 to 1")
        if self.initializer_range == 0:
            raise ValueError("initializer_range is 0, and a model of zeros does not learn")
        for hidden, heads in (
            (self.hidden_size, self.num_heads),
            (self.generator_hidden_size, self.generator_num_heads),
        ):
            if hidden % heads:
                raise ValueError(f"hidden size {hidden} does not divide by {heads} heads")
        if min(self.special) < 0 or max(self.special) >= self.vocab_size:
            raise ValueError(
                f"the special tokens have the ids {', '.join(map(str, self.special))}, the vocabulary "
                f"{self.vocab_size} tokens"
            )

    def generator(self) -> ModelConfig:
        """The generator's shape as a configuration of its own, over the same embeddings."""
        return replace(
            self,
            hidden_size=self.generator_hidden_size,
            num_layers=self.generator_num_layers,
            num_heads=self.generator_num_heads,
            intermediate_size=self.generator_intermediate_size,
        )


@dataclass(frozen=True)
class Size:
    """A preset: the shape, and what training at that shape wants where the user says nothing."""

    model: dict[str, object]
    vocab_size: int
    mask_prob: float
    dropout: float  # in pre-training
    attention_init: str
    batch_tokens: int
    steps: int
    warmup_steps: int
    lr: float  # pre-training, ELECTRA
    mlm_lr: float  # pre-training, BERT
    continue_lr: float  # pre-training that goes on from a checkpoint
    finetune_lr: float
    layer_decay: float


def _shape(
    embedding: int,
    hidden: int,
    layers: int,
    heads: int,
    generator: tuple[int, int, int],
    pooling: str = "cls",
) -> dict[str, object]:
    generator_hidden, generator_layers, generator_heads = generator
    return dict(
        embedding_size=embedding,
        hidden_size=hidden,
        num_layers=layers,
        num_heads=heads,
        intermediate_size=4 * hidden,
        generator_hidden_size=generator_hidden,
        generator_num_layers=generator_layers,
        generator_num_heads=generator_heads,
        generator_intermediate_size=4 * generator_hidden,
        pooling=pooling,
    )


# small, base, large: paper table 6 and google-research/electra `configure_pretraining.py`.
# tiny: this project's own, for CPUs; its training settings come from the curves in docs/small-budgets.md.
SIZES = {
    "tiny": Size(
        _shape(128, 256, 3, 4, (64, 2, 2), "mean"),
        vocab_size=4_000,
        mask_prob=0.15,
        dropout=0.0,
        attention_init="neighbours",
        batch_tokens=4_096,
        steps=20_000,
        warmup_steps=200,
        lr=7e-4,
        mlm_lr=1e-3,
        continue_lr=1e-4,
        finetune_lr=4e-4,
        layer_decay=1.0,
    ),
    "small": Size(
        _shape(128, 256, 12, 4, (64, 12, 1)),
        vocab_size=30_522,
        mask_prob=0.15,
        dropout=0.1,
        attention_init="usual",
        batch_tokens=128 * 128,
        steps=1_000_000,
        warmup_steps=10_000,
        lr=5e-4,
        mlm_lr=5e-4,
        continue_lr=1e-4,
        finetune_lr=3e-4,
        layer_decay=0.8,
    ),
    "base": Size(
        _shape(768, 768, 12, 12, (256, 12, 4)),
        vocab_size=30_522,
        mask_prob=0.15,
        dropout=0.1,
        attention_init="usual",
        batch_tokens=256 * 512,
        steps=766_000,
        warmup_steps=10_000,
        lr=2e-4,
        mlm_lr=2e-4,
        continue_lr=5e-5,
        finetune_lr=1e-4,
        layer_decay=0.8,
    ),
    "large": Size(
        _shape(1024, 1024, 24, 16, (256, 24, 4)),
        vocab_size=30_522,
        mask_prob=0.25,
        dropout=0.1,
        attention_init="usual",
        batch_tokens=2048 * 512,
        steps=400_000,
        warmup_steps=10_000,
        lr=2e-4,
        mlm_lr=2e-4,
        continue_lr=2e-5,
        finetune_lr=5e-5,
        layer_decay=0.9,
    ),
}


def preset_model_config(
    size: str,
    objective: str,
    vocab_size: int,
    dropout: float | None = None,
    attention_init: str | None = None,
    special: SpecialIds = SPECIAL_IDS,
) -> ModelConfig:
    """The configuration of a preset. `dropout` is for hidden states and attention weights alike."""
    preset = SIZES[size]
    rate = preset.dropout if dropout is None else dropout
    return ModelConfig(
        objective=objective,
        vocab_size=vocab_size,
        dropout=rate,
        attention_dropout=rate,
        attention_init=attention_init or preset.attention_init,
        special=special,
        **preset.model,
    )


def nearest_size(config: ModelConfig) -> str:
    """The preset closest to a model in hidden size, for the settings of training."""
    return min(
        SIZES,
        key=lambda name: (
            abs(SIZES[name].model["hidden_size"] - config.hidden_size),
            abs(SIZES[name].model["num_layers"] - config.num_layers),
        ),
    )


def option(
    default: object, group: str, text: str, choices: tuple[str, ...] | None = None
) -> typing.Any:
    """A dataclass field that is also a command-line flag."""
    return field(default=default, metadata={"group": group, "help": text, "choices": choices})


TRUNCATIONS = ("head", "tail", "head+tail")
AMP_CHOICES = ("auto", "bf16", "fp16", "off")


@dataclass(frozen=True)
class PretrainConfig:
    """Settings of train.py. `None` means: from the preset of `--size` (`resolve_pretrain`)."""

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
    cache: str = option("data/cache", "text", "folder of tokenised corpora, shared by runs")

    tokenizer: str | None = option(
        None,
        "tokenizer",
        "an existing tokenizer: a SentencePiece model, or a BERT vocab.txt (default: train one)",
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
        "electra", "model", "electra, or mlm: a BERT of the same blocks", OBJECTIVES
    )
    dropout: float | None = option(None, "model", "dropout in pre-training (default: 0.1; tiny: 0)")
    attention_init: str | None = option(
        None,
        "model",
        "first values of the attention heads (default: usual; tiny: neighbours)",
        ATTENTION_INITS,
    )
    init: str | None = option(
        None, "model", "checkpoint whose weights, sizes and tokenizer to start from"
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
        None, "batches", "tokens of one step, padding included (default: by size)"
    )
    accumulate: int = option(1, "batches", "split each step into this many micro-batches")

    steps: int | None = option(None, "training", "optimizer steps (default: by size)")
    minutes: float | None = option(
        None, "training", "stop after this time; the schedule follows the clock"
    )
    epochs: float | None = option(None, "training", "passes over the corpus; fractions are taken")
    lr: float | None = option(
        None, "training", "peak learning rate (default: by size, lower with --init)"
    )
    warmup_steps: int | None = option(
        None,
        "training",
        "steps of linear warm-up (default: by size, at most a "
        "tenth of the run; with --minutes never more than a tenth)",
    )
    seed: int = option(0, "training", "seed of weights, order, masks and dropout")

    device: str = option("auto", "machine", "auto, cpu, cuda, cuda:1, mps")
    amp: str = option(
        "auto", "machine", "mixed precision; auto: bf16 where the device has it", AMP_CHOICES
    )
    compile: bool | None = option(None, "machine", "torch.compile the networks (default: on GPUs)")
    cuda_graphs: bool | None = option(
        None,
        "machine",
        "on one GPU: record the step as a CUDA graph for each shape of batch (default: no)",
    )
    deterministic: bool = option(
        False,
        "machine",
        "on a GPU: only operations that give the same bits each time, so that --resume is exact there too; "
        "slower",
    )
    zero: bool = option(
        False, "machine", "under torchrun: share out the optimizer's state over the processes"
    )
    rank_timeout: float = option(
        10.0,
        "machine",
        "under torchrun: minutes after which a process that does not answer is given up",
    )

    out: str | None = option(None, "run", "run folder (default: runs/<corpus>-<size>-<objective>)")
    resume: bool = option(
        False, "run", "go on with the run in --out, exactly as if it had never stopped"
    )
    save_every: int = option(1_000, "run", "steps between checkpoints")
    save_minutes: float = option(10.0, "run", "most minutes between checkpoints")
    keep: int = option(
        2,
        "run",
        "numbered checkpoints kept beside ckpt.pt; the newest is the same file, so --resume can "
        "fall back on an earlier one from 2 on",
    )
    eval_every: int = option(1_000, "run", "steps between evaluations on the held-out text")
    log_every: int = option(100, "run", "steps between lines of the log")


@dataclass(frozen=True)
class FinetuneConfig:
    """Settings of finetune.py. `None` means: from the task's row or the preset of the checkpoint's size."""

    task: str = option(
        "sst2",
        "task",
        "what to learn; glue: all of GLUE whose data are there, with one table",
        (
            "cola",
            "sst2",
            "mrpc",
            "stsb",
            "qqp",
            "mnli",
            "qnli",
            "rte",
            "wnli",
            "imdb",
            "csv",
            "glue",
        ),
    )
    data: str | None = option(
        None,
        "task",
        "folder or file of the task (default: data/SST-2, data/aclImdb, "
        "data/glue/CoLA, …; glue: data/glue)",
    )
    task_file: str | None = option(
        None, "task", "a task of your own, described in a .toml or .json file"
    )
    text_columns: tuple[str, ...] = option(("text",), "task", "csv: one or two columns of text")
    label_column: str = option("label", "task", "csv: the column of labels")
    skip_bad: bool = option(False, "task", "leave out lines that cannot be read, and count them")
    train_examples: int | None = option(
        None, "task", "learn from this many examples only, the same for every seed"
    )
    class_weights: str | None = option(
        None,
        "task",
        "balanced, or a number a class, e.g. 1,2.5: what an example counts "
        "for in the loss (default: all the same)",
    )
    intermediate: str | None = option(
        None, "task", "glue: let mrpc, rte and stsb start from the model of this task", ("mnli",)
    )
    submission: bool = option(
        False, "task", "glue: write the files that its server takes, and zip them"
    )
    references: bool = option(False, "task", "glue: put published scores into the table")

    init: str = option(
        "none", "model", "pre-trained checkpoint, or none: random weights, the control"
    )
    size: str = option("tiny", "model", "shape, with --init none", tuple(SIZES))
    tokenizer: str | None = option(None, "model", "tokenizer file or checkpoint, with --init none")
    pooling: str | None = option(
        None, "model", "what the head reads (default: by size: tiny mean, others cls)", POOLINGS
    )
    attention_init: str | None = option(
        None, "model", "with --init none: first values of the attention heads", ATTENTION_INITS
    )
    dropout: float = option(0.1, "model", "dropout of the encoder and the head")

    epochs: float | None = option(
        None,
        "training",
        "passes over the training set (default: 3; 10 of fewer than 3,000 examples)",
    )
    freeze_epochs: float = option(0.0, "training", "passes before those, with the head alone")
    batch_tokens: int = option(
        8_192,
        "training",
        "tokens of one step, padding included; a step also has at most 32 examples",
    )
    lr: float | None = option(None, "training", "peak learning rate (default: by size)")
    layer_decay: float | None = option(
        None, "training", "factor on the learning rate per layer downwards (default: by size)"
    )
    warmup: float = option(0.1, "training", "share of the steps that warm up")
    weight_decay: float = option(0.0, "training", "decoupled weight decay")
    max_len: int | None = option(
        None, "training", "longest example in tokens (default: 128; imdb: 512)"
    )
    truncate: str = option("head", "training", "what stays of a longer text", TRUNCATIONS)
    seeds: tuple[int, ...] = option((1,), "training", "one run a seed, e.g. 1,2,3")

    device: str = option("auto", "machine", "auto, cpu, cuda, cuda:1, mps")
    amp: str = option(
        "auto", "machine", "mixed precision; auto: bf16 where the device has it", AMP_CHOICES
    )
    rank_timeout: float = option(
        10.0,
        "machine",
        "under torchrun: minutes after which a process that does not answer is given up",
    )
    cache: str = option("data/cache", "machine", "folder of tokenised texts, shared by runs")
    out: str | None = option(None, "run", "run folder (default: runs/<task>-<checkpoint>)")
    report: bool = option(False, "run", "draw report.html: scores, errors, calibration")
    force: bool = option(False, "run", "replace what an earlier run left in --out")


def flag_type(annotation: str) -> tuple[type, bool]:
    """("int | None") -> (int, False); ("tuple[str, ...]") -> (str, True)."""
    scalar = {"int": int, "float": float, "str": str, "bool": bool}
    many = annotation.startswith("tuple[")
    name = re.findall(r"int|float|str|bool", annotation)[0]
    return scalar[name], many


def to_dict(config: object) -> dict[str, object]:
    """A dataclass as plain JSON-able values."""
    return {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in dataclasses.asdict(config).items()
    }


def from_dict(config_class: type, values: dict[str, object]) -> typing.Any:
    """The inverse of `to_dict`. Raises ValueError naming unknown and missing keys, and values of a wrong kind."""
    known = {item.name for item in fields(config_class)}
    required = {item.name for item in fields(config_class) if item.default is dataclasses.MISSING}
    unknown, missing = sorted(set(values) - known), sorted(required - set(values))
    if unknown or missing:
        raise ValueError(f"{config_class.__name__}: unknown keys {unknown}, missing keys {missing}")
    wrong = [
        item.name
        for item in fields(config_class)
        if item.name in values and not _is_kind(values[item.name], str(item.type))
    ]
    if wrong:
        raise ValueError(f"{config_class.__name__}: {', '.join(wrong)} of a wrong kind")
    return config_class(
        **{
            name: tuple(value) if isinstance(value, list) else value
            for name, value in values.items()
        }
    )


def _is_kind(value: object, annotation: str) -> bool:
    """Whether a value from a file can be that of a field: a whole number is a float too, a list a tuple."""
    if annotation == "SpecialIds":
        return _is_kind(value, "tuple[int, ...]") and len(value) == len(SpecialIds._fields)
    if annotation.startswith("tuple["):
        return isinstance(value, (list, tuple)) and all(
            _is_kind(one, flag_type(annotation)[0].__name__) for one in value
        )
    kinds = {
        "int": (int,),
        "float": (int, float),
        "str": (str,),
        "bool": (bool,),
        "None": (type(None),),
    }
    return any(type(value) in kinds[kind] for kind in annotation.split(" | "))


class Phase(typing.NamedTuple):
    """A stretch of pre-training at one length. `end` is the share of the run at which it ends, in (0, 1]; interleaved,
    the length of a step is that of the first phase whose `end` is above a number drawn from [0, 1)."""

    seq_len: int
    end: float


def parse_phases(seq_len: int, phases: str | None, max_positions: int) -> tuple[Phase, ...]:
    """`"128:0.9,512:0.1"` -> (Phase(128, 0.9), Phase(512, 1.0)). Raises ValueError for what cannot be trained."""
    if phases is None:
        parsed = [(seq_len, 1.0)]
    else:
        try:
            parsed = [
                (int(length), float(share))
                for length, share in (part.split(":") for part in phases.split(","))
            ]
        except ValueError:
            raise ValueError(f"--phases {phases!r} does not read like 128:0.9,512:0.1") from None
    total = sum(share for _, share in parsed)
    if not (
        all(share > 0 for _, share in parsed) and abs(total - 1) <= 1e-6
    ):  # not: nan is neither
        raise ValueError(
            f"--phases {phases!r}: the shares must be positive and add up to 1, not {total:g}"
        )
    for length, _ in parsed:
        if not 8 <= length <= max_positions:
            raise ValueError(
                f"a sequence length of {length} is outside 8 to {max_positions}, the positions that "
                f"the model has; choose another --seq-len or --phases"
            )
    ends, done = [], 0.0
    for length, share in parsed:
        done += share / total
        ends.append(Phase(length, done))
    ends[-1] = ends[-1]._replace(end=1.0)
    return tuple(ends)
