"""The settings of finetune.py, and how each that the user leaves open is filled in."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path

from electra.config.defaults import Origin, finetune_defaults, preset_finetune_defaults
from electra.config.model import ATTENTION_INITS, POOLINGS, SIZES, ModelConfig, nearest_size
from electra.config.options import Settings, flag_of, option
from electra.config.pretraining import AMP_CHOICES, LONGEST_TIMEOUT

TRUNCATIONS = ("head", "tail", "head+tail", "windows")
# Settings whose defaults follow from how many examples a model learns from.
_OF_STUDENT = ("unlabelled_epochs", "unlabelled_batch_rows")
_BY_EXAMPLES = ("epochs", "batch_rows", *_OF_STUDENT)
_WITH_UNLABELLED = ("unlabelled_examples", "unlabelled_share", "rounds", "text_field")


@dataclass(frozen=True)
class FinetuneConfig(Settings):
    """Settings of finetune.py.

    `None` means: from the task's row, or from what the checkpoint is, by `resolve_finetuning`.
    """

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
            "conll",
            "squad",
            "pairs",
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
    text_columns: tuple[str, ...] = option(
        ("text",),
        "task",
        "csv, pairs: columns of text; pairs alone: sentence1 sentence2 (default: text)",
    )
    label_column: str = option(
        "label",
        "task",
        "csv, pairs: the column of labels, or of scores; pairs may have none (default: label)",
    )
    label_separator: str | None = option(
        None, "task", "csv: a text may have several labels, with this between them, e.g. '|'"
    )
    word_column: int | None = option(
        None,
        "task",
        "conll: the column of words, counted from 1 (default: the first; .conllu: 2)",
        at_least=1,
    )
    tag_column: int | None = option(
        None, "task", "conll: the column of tags (default: the last; .conllu: 4)", at_least=1
    )
    skip_bad: bool = option(False, "task", "leave out lines that cannot be read, and count them")
    train_examples: int | None = option(
        None, "task", "learn from this many examples only, the same for every seed (default: all)"
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

    unlabelled: tuple[str, ...] = option(
        (),
        "unlabelled texts",
        "files, folders or globs of texts without labels: the model labels them, and a new model "
        "learns from its most confident labels too",
    )
    unlabelled_examples: int | None = option(
        None,
        "unlabelled texts",
        "label this many of them only, the same for every seed (default: all)",
        above=0,
    )
    unlabelled_share: float = option(
        0.5,
        "unlabelled texts",
        "share of them that the new model learns from; of each class at most its share of the "
        "labelled examples",
        above=0,
        at_most=1,
    )
    rounds: int = option(
        1,
        "unlabelled texts",
        "how often they are labelled, each time by the best model so far",
        above=0,
    )
    unlabelled_epochs: float | None = option(
        None,
        "unlabelled texts",
        "epochs of the new model (default: --epochs, else by its own number of examples)",
        above=0,
    )
    unlabelled_batch_rows: int | None = option(
        None,
        "unlabelled texts",
        "most examples of its steps (default: --batch-rows, else by its own number of examples)",
        above=0,
    )
    text_field: str | None = option(
        None,
        "unlabelled texts",
        "the field of their JSON objects, or the column of their .csv or .tsv, that is the text "
        "(default: the task's)",
    )

    init: str = option(
        "none",
        "model",
        "pre-trained checkpoint or its run folder, or none: random weights, the control",
    )
    size: str = option("tiny", "model", "shape, with --init none", tuple(SIZES))
    tokenizer: str | None = option(
        None, "model", "tokenizer file, checkpoint or run folder, with --init none"
    )
    vocab_size: int | None = option(
        None,
        "model",
        "with --init none and no --tokenizer: most tokens of the tokenizer that is trained on the "
        "task's texts (default: by size)",
        above=0,
    )
    pooling: str | None = option(
        None,
        "model",
        "what the head reads (default: mean for pairs, and for a tiny model that was trained "
        "here; else cls)",
        POOLINGS,
    )
    attention_init: str | None = option(
        None, "model", "with --init none: initialisation of the attention heads", ATTENTION_INITS
    )
    dropout: float = option(
        0.1, "model", "dropout of the encoder and the head", at_least=0, at_most=1
    )

    epochs: float | None = option(
        None,
        "training",
        "passes over the training set (default: 3; 10 of fewer than 3,000 examples)",
        above=0,
    )
    freeze_epochs: float = option(
        0.0, "training", "passes before those, with the head alone", at_least=0
    )
    batch_tokens: int = option(
        8_192,
        "training",
        "most tokens of one step, padding included; with --truncate windows one text at least",
        above=0,
    )
    batch_rows: int | None = option(
        None,
        "training",
        "most examples of one step (default: 32; tiny, unless imported or fully trained, with "
        "10,000 examples or more: 128)",
        above=0,
    )
    lr: float | None = option(
        None, "training", "peak learning rate (default: by what the model is)", above=0
    )
    layer_decay: float | None = option(
        None,
        "training",
        "factor on the learning rate per layer downwards (default: by what the model is)",
        above=0,
    )
    warmup: float = option(
        0.1, "training", "share of the steps that warm up", at_least=0, at_most=1
    )
    weight_decay: float = option(0.0, "training", "decoupled weight decay", at_least=0)
    max_len: int | None = option(
        None, "training", "longest example in tokens (default: 128; imdb: 512)", at_least=8
    )
    doc_stride: int = option(
        128, "training", "squad: tokens from one window over a long text to the next", above=0
    )
    truncate: str | None = option(
        None,
        "training",
        "what stays of a longer text; windows: all of it, in windows of --max-len, whose logits "
        "are averaged (default: head; imdb: tail)",
        TRUNCATIONS,
    )
    seeds: tuple[int, ...] = option((1,), "training", "one run a seed, e.g. 1,2,3", at_least=0)

    device: str = option("auto", "machine", "auto, cpu, cuda, cuda:1, mps")
    amp: str = option(
        "auto", "machine", "mixed precision; auto: bf16 where the device has it", AMP_CHOICES
    )
    rank_timeout: float = option(
        10.0,
        "machine",
        "under torchrun: minutes after which a process that does not answer is given up",
        above=0,
        at_most=LONGEST_TIMEOUT,
    )
    cache: str = option("data/cache", "machine", "folder of tokenised texts, shared by runs")
    out: str | None = option(
        None,
        "run",
        "run folder (default: runs/<task>-<name>, the name of the run folder or file of --init)",
    )
    config: str | None = option(
        None, "run", "config.json of an earlier run: its settings, where no flag says otherwise"
    )
    report: bool = option(False, "run", "draw report.html: scores, errors, calibration")
    force: bool = option(False, "run", "replace what an earlier run left in --out")

    FOLLOWERS = {
        "task": ("task_file", "data", *_BY_EXAMPLES, "max_len", "truncate"),
        "data": _BY_EXAMPLES,
        "train_examples": _BY_EXAMPLES,
        "task_file": ("task", "data", *_BY_EXAMPLES, "max_len", "truncate"),
        "unlabelled": _OF_STUDENT,
        "unlabelled_examples": _OF_STUDENT,
        "unlabelled_share": _OF_STUDENT,
        "epochs": ("unlabelled_epochs",),
        "batch_rows": ("unlabelled_batch_rows",),
        "init": (
            *("size", "tokenizer", "vocab_size", "batch_rows", "unlabelled_batch_rows"),
            *("lr", "layer_decay", "pooling", "attention_init"),
        ),
        "size": (
            *("vocab_size", "batch_rows", "unlabelled_batch_rows"),
            *("lr", "layer_decay", "pooling", "attention_init"),
        ),
        "tokenizer": ("vocab_size",),
        "vocab_size": ("tokenizer",),
    }
    NOT_FROM_FILE = ("out", "force", "config")

    def __post_init__(self) -> None:
        self.check(skip=("task",) if self.task_file else ())  # a task of one's own has its own name
        if not self.seeds:
            raise ValueError("--seeds needs at least one number")


def check_finetune_flags(config: FinetuneConfig, given: set[str]) -> None:
    """Raise ValueError for flags that do not go together; `given` are those that were typed."""
    clash = sorted(given & {"size", "tokenizer", "vocab_size", "attention_init"})
    if config.init != "none" and clash:
        raise ValueError(f"{flag_of(clash[0])} comes with the checkpoint; it is for --init none")
    if given >= {"tokenizer", "vocab_size"}:
        raise ValueError("--tokenizer has a vocabulary; leave out --vocab-size")
    alone = sorted(given & {"intermediate", "submission", "references"})
    if alone and config.task != "glue":
        raise ValueError(f"{flag_of(alone[0])} is for --task glue")
    alone = sorted(given & {*_WITH_UNLABELLED, *_OF_STUDENT})
    if alone and not config.unlabelled:
        raise ValueError(f"{flag_of(alone[0])} is for --unlabelled, which names the texts")
    if config.task == "glue" and config.unlabelled:
        raise ValueError("--unlabelled is for one task; take one of GLUE with --task")
    if config.task == "glue" and config.truncate == "windows":
        raise ValueError("--truncate windows is for single texts; GLUE has tasks of pairs")
    if config.task_file and given & {"task", "data"}:
        raise ValueError("--task-file names its own data; leave out --task and --data")


def resolve_finetuning(
    config: FinetuneConfig,
    model_config: ModelConfig | None,
    origin: Origin,
    task: str,
    epochs: float,
    max_len: int,
    truncate: str = "head",
) -> FinetuneConfig:
    """Fill in all that the user left open.

    model_config, origin: of the checkpoint to start from; no model_config for random weights.
    task, epochs, max_len, truncate: what the task says, where the user does not.
    """
    if model_config is None:
        size, defaults = config.size, preset_finetune_defaults(config.size)
    else:
        size, defaults = nearest_size(model_config), finetune_defaults(model_config, origin)
    return replace(
        config,
        task=task,
        size=size,
        epochs=epochs if config.epochs is None else config.epochs,
        max_len=max_len if config.max_len is None else config.max_len,
        truncate=truncate if config.truncate is None else config.truncate,
        lr=defaults.lr if config.lr is None else config.lr,
        layer_decay=defaults.layer_decay if config.layer_decay is None else config.layer_decay,
        pooling=config.pooling or defaults.pooling,
        batch_rows=defaults.batch_rows if config.batch_rows is None else config.batch_rows,
        out=config.out or f"runs/{task}-{start_name(config.init)}",
    )


def start_name(init: str) -> str:
    """What run folders call the weights of --init: their run folder's name, or their file's.

    "wiki" for runs/wiki/ckpt.pt, "tiny-en" for data/pretrained/tiny-en.pt.
    """
    if init == "none":
        return "random"
    path = Path(init).resolve()
    return path.parent.name if re.fullmatch(r"ckpt(-\d+)?", path.stem) else path.stem
