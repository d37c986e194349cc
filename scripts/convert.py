#!/usr/bin/env python3
"""Released checkpoints in and out, in the folder layout of Hugging Face.

python scripts/convert.py import data/electra-small/discriminator data/electra-small/generator --out electra.pt
python scripts/convert.py import data/bert-base --out bert.pt
python scripts/convert.py export runs/imdb-electra/ckpt.pt exported/
python scripts/convert.py export runs/sst2-electra/ckpt.pt exported/ --onnx
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import shutil
import sys
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from electra.checkpoint.checkpoint import KINDS, make_checkpoint
from electra.checkpoint.storage import load_checkpoint, save_checkpoint
from electra.cli import Parser, one_line
from electra.config import SIZES, ModelConfig, PretrainConfig, nearest_size
from electra.data.batch import Batch
from electra.data.tokenizer import Tokenizer
from electra.huggingface.config import export_config, read_config, shape_of
from electra.huggingface.safetensors import read_weights, write_safetensors
from electra.huggingface.tensor_names import export_weights, import_weights, place_of
from electra.huggingface.tokenizer_files import OWN_TOKENIZER, read_tokenizer, write_tokenizer
from electra.model.bert import BertMLM
from electra.model.build import build, skeleton, with_weights
from electra.model.classifier import Classifier
from electra.model.electra import Electra

USUAL_SHARE = 4  # a discriminator is so many times as wide as its generator (paper, section 3.2), but for the presets


def main(argv: list[str] | None = None) -> int:
    """Run with a command line; returns the exit code: 0, or 2 after one line that names a mistake."""
    args = parse_args(argv)
    try:
        if args.command == "import":
            import_checkpoint(args.folders, args.out, args.objective, args.partner)
        else:
            export_checkpoint(args.checkpoint, args.folder, args.onnx)
    except (ValueError, OSError) as problem:
        print(f"convert.py: error: {one_line(problem)}", file=sys.stderr)
        return 2
    return 0


def parse_args(argv: list[str] | None) -> argparse.Namespace:
    parser = Parser(
        prog="convert.py",
        description=__doc__.split("\n")[0],
        epilog="\n".join(__doc__.split("\n")[1:]),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="import|export")
    reader = commands.add_parser(
        "import",
        help="a downloaded folder, or a discriminator's and a generator's, -> one "
        "checkpoint for train.py and finetune.py",
    )
    reader.add_argument(
        "folders",
        nargs="+",
        type=Path,
        metavar="DIR",
        help="a folder with config.json, weights and tokenizer; two for a whole ELECTRA, in any order",
    )
    reader.add_argument("--out", type=Path, required=True, help="the checkpoint to write")
    reader.add_argument(
        "--objective",
        choices=("electra", "mlm"),
        help="mlm: read an ELECTRA generator as a BERT (default: what the folder holds)",
    )
    reader.add_argument(
        "--partner",
        type=parse_partner,
        metavar="HIDDEN:LAYERS:HEADS",
        help="shape of the new network beside an ELECTRA that comes alone (default: the paper's "
        "proportions)",
    )
    writer = commands.add_parser("export", help="a checkpoint -> a folder that transformers loads")
    writer.add_argument(
        "checkpoint", type=Path, metavar="CKPT", help="a checkpoint of train.py or finetune.py"
    )
    writer.add_argument("folder", type=Path, metavar="DIR", help="the folder to make")
    writer.add_argument(
        "--onnx",
        action="store_true",
        help="write model.onnx too, with free batch and length; needs the extra [onnx]",
    )
    return parser.parse_args(argv)


def parse_partner(text: str) -> tuple[int, int, int]:
    """ "64:12:1" -> (64, 12, 1)."""
    try:
        hidden, layers, heads = (int(part) for part in text.split(":"))
    except ValueError:
        hidden = layers = heads = 0
    if min(hidden, layers, heads) < 1 or hidden % heads:
        raise argparse.ArgumentTypeError(
            f"{text} is not HIDDEN:LAYERS:HEADS with a hidden size that the heads divide"
        )
    return hidden, layers, heads


# ---------------------------------------------------------------- import


class Network(NamedTuple):
    """What a folder holds."""

    folder: Path
    network: str  # "discriminator", "generator", "bert"
    shape: dict[str, Any]
    tensors: dict[str, Tensor]


def import_checkpoint(
    folders: list[Path], out: Path, objective: str | None, partner: tuple[int, int, int] | None
) -> None:
    """Read one or two folders, complete the model, save it, and say what came from where."""
    if out.exists():
        raise ValueError(f"{out} is already there; remove it or choose another --out")
    found = [read_network(folder) for folder in folders]
    if len(found) > 1 and sorted(one.network for one in found) != ["discriminator", "generator"]:
        raise ValueError(
            "of two folders one must be an ELECTRA discriminator and one its generator, not "
            + " and ".join(f"{one.network} ({one.folder})" for one in found)
        )
    tokenizer = common_tokenizer(folders)
    for one in found:
        if tokenizer.vocab_size > one.shape["vocab_size"]:
            raise ValueError(
                f"{one.folder}: the vocabulary has {tokenizer.vocab_size:,} tokens, more than the "
                f"embedding's {one.shape['vocab_size']:,} rows"
            )
    config = whole_config(found, tokenizer, objective, partner)
    state, heads = merge(found, config)

    # Sizes from a stranger's file: compared before anything is allocated.
    check_shapes(skeleton(lambda config: build(config, 0.15), config).state_dict(), state, found)
    torch.manual_seed(0)
    model = build(config, SIZES[nearest_size(config)].mask_prob)
    model.load_state_dict({**model.state_dict(), **state})
    settings = PretrainConfig(
        corpus=(),
        seq_len=config.max_positions,
        size=nearest_size(config),
        objective=config.objective,
        vocab_size=config.vocab_size,
        dropout=config.dropout,
    )
    out.parent.mkdir(parents=True, exist_ok=True)
    save_checkpoint(out, make_checkpoint(model, tokenizer, settings))
    say_imported(found, heads, config, tokenizer, out)


def read_network(folder: Path) -> Network:
    """Settings and weights of a folder, and what they are."""
    values = read_config(folder)
    shape = shape_of(values, str(folder))
    tensors = read_weights(folder)
    if values["model_type"] == "bert":
        return Network(folder, "bert", shape, tensors)
    told = {name.split("_")[0] for name in tensors} & {"discriminator", "generator"}
    if len(told) > 1:
        raise ValueError(
            f"{folder} holds the heads of a discriminator and of a generator; only one can be read"
        )
    if not told:  # an encoder without its head: config.json may know
        told = {
            "generator"
            if "ElectraForMaskedLM" in (values.get("architectures") or ())
            else "discriminator"
        }
    return Network(folder, told.pop(), shape, tensors)


def common_tokenizer(folders: list[Path]) -> Tokenizer:
    """The tokenizer of the folders that have one. Raises ValueError where they differ."""
    there = [
        folder
        for folder in folders
        if any((folder / name).exists() for name in (OWN_TOKENIZER, "vocab.txt", "tokenizer.json"))
    ]
    tokenizers = [read_tokenizer(folder) for folder in there or folders[:1]]
    if len({tokenizer.fingerprint for tokenizer in tokenizers}) > 1:
        raise ValueError(
            f"{folders[0]} and {folders[1]} have different tokenizers: they are not of one pre-training"
        )
    return tokenizers[0]


def whole_config(
    found: list[Network],
    tokenizer: Tokenizer,
    objective: str | None,
    partner: tuple[int, int, int] | None,
) -> ModelConfig:
    """The shape of the whole model. Raises ValueError where two networks cannot share their embeddings."""
    by_name = {one.network: one for one in found}
    main = by_name.get("discriminator") or found[0]
    if main.network == "bert" or (main.network == "generator" and objective == "mlm"):
        if objective == "electra":
            raise ValueError(f"{main.folder} is a BERT; its weights do not make an ELECTRA")
        if partner:
            raise ValueError(f"--partner is for an ELECTRA; {main.folder} is read as a BERT")
        return config_of(
            main.shape,
            (main.shape["hidden_size"], main.shape["num_layers"], main.shape["num_heads"]),
            "mlm",
            tokenizer,
        )
    if objective == "mlm":
        raise ValueError(
            f"{main.folder} is an ELECTRA discriminator; it has no masked-LM head to go on with as a BERT"
        )
    if len(found) == 2:
        if partner:
            raise ValueError("--partner is for an ELECTRA that comes alone")
        other = by_name["generator"].shape
        differ = [
            name
            for name in (
                "vocab_size",
                "embedding_size",
                "max_positions",
                "type_vocab_size",
                "layer_norm_eps",
            )
            if main.shape[name] != other[name]
        ]
        if differ:
            raise ValueError(
                f"{found[0].folder} and {found[1].folder} cannot share their embeddings: they differ in "
                + ", ".join(f"{name} ({main.shape[name]}, {other[name]})" for name in differ)
            )
        config = config_of(
            main.shape,
            (other["hidden_size"], other["num_layers"], other["num_heads"]),
            "electra",
            tokenizer,
        )
        return replace(config, generator_intermediate_size=other["intermediate_size"])
    if main.network == "discriminator":
        return config_of(main.shape, partner or usual_generator(main.shape), "electra", tokenizer)
    hidden, layers, heads = partner or usual_discriminator(main.shape)
    shape = {
        **main.shape,
        "hidden_size": hidden,
        "num_layers": layers,
        "num_heads": heads,
        "intermediate_size": 4 * hidden,
    }
    config = config_of(
        shape,
        (main.shape["hidden_size"], main.shape["num_layers"], main.shape["num_heads"]),
        "electra",
        tokenizer,
    )
    return replace(config, generator_intermediate_size=main.shape["intermediate_size"])


def config_of(
    shape: dict[str, Any], generator: tuple[int, int, int], objective: str, tokenizer: Tokenizer
) -> ModelConfig:
    hidden, layers, heads = generator
    config = ModelConfig(
        objective=objective,
        generator_hidden_size=hidden,
        generator_num_layers=layers,
        generator_num_heads=heads,
        generator_intermediate_size=4 * hidden,
        special=tokenizer.special,
        **shape,
    )
    return replace(config, pooling=SIZES[nearest_size(config)].model["pooling"])


def usual_generator(shape: dict[str, Any]) -> tuple[int, int, int]:
    """(hidden size, layers, heads) of the generator that the paper puts beside a discriminator of this shape."""
    for size in SIZES.values():
        if all(
            size.model[name] == shape[name]
            for name in ("embedding_size", "hidden_size", "num_layers")
        ):
            return (
                size.model["generator_hidden_size"],
                size.model["generator_num_layers"],
                size.model["generator_num_heads"],
            )
    heads = max(1, shape["num_heads"] // USUAL_SHARE)
    return max(1, shape["hidden_size"] // USUAL_SHARE // heads) * heads, shape["num_layers"], heads


def usual_discriminator(shape: dict[str, Any]) -> tuple[int, int, int]:
    """The inverse of `usual_generator`."""
    for size in SIZES.values():
        if (
            size.model["embedding_size"],
            size.model["generator_hidden_size"],
            size.model["generator_num_layers"],
        ) == (shape["embedding_size"], shape["hidden_size"], shape["num_layers"]):
            return size.model["hidden_size"], size.model["num_layers"], size.model["num_heads"]
    return shape["hidden_size"] * USUAL_SHARE, shape["num_layers"], shape["num_heads"] * USUAL_SHARE


def merge(found: list[Network], config: ModelConfig) -> tuple[dict[str, Tensor], dict[str, bool]]:
    """All weights under our names, and which networks brought their head. Raises ValueError where two networks have
    embeddings of their own."""
    state: dict[str, Tensor] = {}
    heads: dict[str, bool] = {}
    for one in found:
        own = (
            config.generator()
            if one.network == "generator" and config.objective == "electra"
            else config
        )
        weights, heads[one.network] = import_weights(one.tensors, one.network, own, str(one.folder))
        for name in sorted(set(weights) & set(state)):  # the embeddings
            if weights[name].shape != state[name].shape or not torch.equal(
                weights[name], state[name]
            ):
                raise ValueError(
                    f"{found[0].folder} and {found[1].folder} differ in {name}: an ELECTRA shares its "
                    f"embeddings, so these two are not of one pre-training; import one of them alone"
                )
        state |= weights
    return state, heads


def check_shapes(wanted: dict[str, Tensor], state: dict[str, Tensor], found: list[Network]) -> None:
    wrong = [
        f"{name} {tuple(state[name].shape)}, not {tuple(wanted[name].shape)}"
        for name in sorted(state)
        if state[name].shape != wanted[name].shape
    ]
    if wrong:
        raise ValueError(
            f"{', '.join(str(one.folder) for one in found)}: shapes do not fit config.json: "
            + "; ".join(wrong[:8])
            + (f"; and {len(wrong) - 8} more" if len(wrong) > 8 else "")
        )


def say_imported(
    found: list[Network],
    heads: dict[str, bool],
    config: ModelConfig,
    tokenizer: Tokenizer,
    out: Path,
) -> None:
    for one in found:
        print(
            f"{one.network}: {one_line(one.folder)}, hidden size {one.shape['hidden_size']} × "
            f"{one.shape['num_layers']} layers"
            + ("" if heads[one.network] else "; it came without its head, so the head is new")
        )
    if config.objective == "electra" and len(found) == 1:
        if found[0].network == "discriminator":
            print(
                f"generator: new, hidden size {config.generator_hidden_size} × {config.generator_num_layers} layers, "
                f"sharing the discriminator's embeddings"
            )
        else:
            print(
                f"discriminator: new, hidden size {config.hidden_size} × {config.num_layers} layers, sharing the "
                f"generator's embeddings"
            )
    if tokenizer.vocab_size < config.vocab_size:
        print(
            f"vocabulary: {tokenizer.vocab_size:,} tokens; the embedding's other "
            f"{config.vocab_size - tokenizer.vocab_size:,} rows stay unused"
        )
    name = one_line(out)
    print(
        f"{name} is written. Next:\n  python train.py --init {name} --corpus YOUR_TEXT\n"
        f"  python finetune.py --task imdb --init {name}"
    )


# ---------------------------------------------------------------- export


def export_checkpoint(source: Path, folder: Path, onnx: bool) -> None:
    """Write a folder whole or not at all, and say how to load it."""
    if os.path.lexists(folder):
        raise ValueError(f"{folder} is already there; remove it or choose another name")
    if onnx:
        need_onnx()
    checkpoint = load_checkpoint(source, KINDS)
    config, tokenizer, labels = checkpoint.model_config, checkpoint.tokenizer, checkpoint.labels
    make = lambda config: (
        Classifier(config, max(1, len(labels)))
        if checkpoint.kind == "classifier"
        else build(config, 0.15)
    )
    model = with_weights(make, config, checkpoint.model, source).eval()
    if checkpoint.scale is not None:  # what goes out answers in the unit of the labels
        with torch.no_grad():
            model.head.out.weight *= checkpoint.scale
            model.head.out.bias *= checkpoint.scale
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = folder.with_name(f".{folder.name}.{os.getpid()}")
    try:
        temporary.mkdir()
        notes = write_model(temporary, folder, model, config, tokenizer, labels)
        if onnx:
            write_onnx(temporary / "model.onnx", model)
            notes.append(
                f"{folder / 'model.onnx'}: input_ids, attention_mask, token_type_ids -> logits"
            )
        os.rename(temporary, folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    print(f"{one_line(folder)} is written. With transformers:\n" + "\n".join(map(one_line, notes)))


def write_model(
    folder: Path,
    name: Path,
    model: Electra | BertMLM | Classifier,
    config: ModelConfig,
    tokenizer: Tokenizer,
    labels: tuple[str, ...],
) -> list[str]:
    """Weights, config.json and tokenizer of all networks into `folder`, which will be called `name`. Returns what to
    tell the user."""
    state = model.state_dict()
    if isinstance(model, Electra):
        write_network(
            folder, state, "discriminator", config, tokenizer, *place_of("discriminator", "electra")
        )
        (folder / "generator").mkdir()
        write_network(
            folder / "generator",
            state,
            "generator",
            config.generator(),
            tokenizer,
            *place_of("generator", "electra"),
        )
        return [
            f'  AutoModelForPreTraining.from_pretrained("{name}")             the discriminator',
            f'  AutoModelForMaskedLM.from_pretrained("{name / "generator"}")  the generator',
            f'  AutoTokenizer.from_pretrained("{name}")',
        ]
    # A BertModel has no projection between embeddings and layers; an ElectraModel has.
    network = (
        "bert"
        if config.objective == "mlm" and config.embedding_size == config.hidden_size
        else "generator"
    )
    pooler = ", add_pooling_layer=False" if network == "bert" else ""
    if isinstance(model, BertMLM):
        write_network(folder, state, network, config, tokenizer, *place_of(network, "mlm"))
        notes = [
            f'  AutoModelForMaskedLM.from_pretrained("{name}")',
            f'  AutoModel.from_pretrained("{name}"{pooler})',
        ]
        if network == "generator":
            notes.append(
                f"  (as ELECTRA's masked LM: a BertForMaskedLM cannot have embeddings of "
                f"{config.embedding_size} under layers of {config.hidden_size}; the function is the same)"
            )
    else:
        write_network(folder, state, network, config, tokenizer, "encoder.", None)
        write_safetensors(
            folder / "head.safetensors",
            {"weight": state["head.out.weight"], "bias": state["head.out.bias"]},
            {"labels": json.dumps(labels), "pooling": config.pooling},
        )
        pooled = (
            "the vector of [CLS]" if config.pooling == "cls" else "the mean over the real tokens"
        )
        notes = [
            f'  AutoModel.from_pretrained("{name}"{pooler})   the encoder',
            "  The classification heads of transformers have another shape, so this one is in head.safetensors:",
            f"  logits = weight · pooled + bias, where pooled is {pooled}"
            + (f"; labels: {', '.join(labels)}" if labels else "; a regression"),
        ]
    return [*notes, f'  AutoTokenizer.from_pretrained("{name}")']


def write_network(
    folder: Path,
    state: dict[str, Tensor],
    network: str,
    config: ModelConfig,
    tokenizer: Tokenizer,
    encoder: str,
    head: str | None,
) -> None:
    tensors = export_weights(state, network, config, encoder, head)
    write_safetensors(folder / "model.safetensors", tensors)
    settings = export_config(config, network, bare=head is None)
    (folder / "config.json").write_text(json.dumps(settings, indent=1) + "\n", encoding="utf-8")
    write_tokenizer(folder, tokenizer, config.max_positions)


class Logits(nn.Module):
    """What an ONNX file computes: a discriminator's logits (B, T), a masked LM's (B, T, V) or a classifier's
    (B, labels), float32."""

    def __init__(self, model: Electra | BertMLM | Classifier) -> None:
        super().__init__()
        self.model = model

    def forward(self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor) -> Tensor:
        batch = Batch(input_ids, token_type_ids, attention_mask.bool())
        if isinstance(self.model, Electra):
            return self.model.detect(input_ids, batch)
        if isinstance(self.model, Classifier):
            return self.model.logits(batch)
        embeddings, mlm = self.model.embeddings, self.model.mlm
        hidden = mlm.encoder(embeddings(input_ids, token_type_ids), batch.attention_mask)
        return mlm.head(hidden, embeddings.word.weight)


def need_onnx() -> None:
    try:
        import onnx  # noqa: F401
        import onnxruntime  # noqa: F401
        import onnxscript  # noqa: F401
    except ImportError as problem:
        raise ValueError(
            f"--onnx needs the package {problem.name}; install it with pip install '.[onnx]'"
        ) from None


@torch.no_grad()
def write_onnx(path: Path, model: Electra | BertMLM | Classifier) -> None:
    """Export with free batch and length, and hold the file's answers against the model's on two other shapes. Raises
    ValueError where they differ by more than 1e-4."""
    import onnxruntime

    most = model.config.max_positions

    def inputs(rows: int, width: int) -> dict[str, Tensor]:
        width = min(width, most)
        ids = torch.randint(
            5, model.config.vocab_size, (rows, width), generator=torch.Generator().manual_seed(rows)
        )
        lengths = torch.linspace(width // 2, width, rows).long()
        mask = (torch.arange(width) < lengths[:, None]).long()
        return {"input_ids": ids, "attention_mask": mask, "token_type_ids": torch.zeros_like(ids)}

    wrapped = Logits(model).eval()
    example = inputs(2, 16)
    axes = {
        0: torch.export.Dim("batch", min=1, max=4096),
        1: torch.export.Dim("length", min=2, max=most),
    }
    log = logging.getLogger("torch.onnx")
    level = log.level
    log.setLevel(logging.ERROR)  # the exporter talks of itself
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            program = torch.onnx.export(
                wrapped,
                tuple(example.values()),
                input_names=list(example),
                output_names=["logits"],
                dynamic_shapes=(axes, axes, axes),
                dynamo=True,
                verbose=False,
            )
    finally:
        log.setLevel(level)
    program.save(str(path), external_data=False)
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    for rows, width in ((1, 7), (3, 24)):
        batch = inputs(rows, width)
        ours = wrapped(*batch.values())
        theirs = torch.from_numpy(
            session.run(None, {name: value.numpy() for name, value in batch.items()})[0]
        )
        difference = (ours - theirs).abs().max().item()
        if not difference <= 1e-4:
            raise ValueError(
                f"the ONNX file differs from the model by {difference:.2g} on {rows} × {width} tokens"
            )


if __name__ == "__main__":
    sys.exit(main())
