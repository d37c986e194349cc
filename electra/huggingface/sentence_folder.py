"""The files beside an exported encoder with which the sentence-embedding library loads it.

It reads modules.json and runs the modules one after another: the encoder itself, the pooling, and
perhaps the division by the length.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from electra.checkpoint.checkpoint import FINE_TUNED, Checkpoint
from electra.config import PretrainConfig, from_dict, longest_phase

MODULES = "sentence_transformers.models"
# Pooling here -> its switch in the library's configuration, which has one for each kind.
POOLING_SWITCHES = {"cls": "pooling_mode_cls_token", "mean": "pooling_mode_mean_tokens"}
OTHER_SWITCHES = ("pooling_mode_max_tokens", "pooling_mode_mean_sqrt_len_tokens")


def write_sentence_files(
    folder: Path, name: Path, checkpoint: Checkpoint, pooling: str
) -> list[str]:
    """Write them into `folder`, which will be called `name`. Returns how to load it.

    pooling: "mean" or "cls". The vectors of an embedder have length 1, as it was trained; those of
    other checkpoints stay as they are.
    """
    config, normalise = checkpoint.model_config, checkpoint.kind == "embedder"
    modules = [("", "Transformer"), ("1_Pooling", "Pooling")]
    if normalise:
        modules.append(("2_Normalize", "Normalize"))
        (folder / "2_Normalize").mkdir()
    listed = [
        {"idx": i, "name": str(i), "path": path, "type": f"{MODULES}.{module}"}
        for i, (path, module) in enumerate(modules)
    ]
    _write(folder / "modules.json", listed)

    (folder / "1_Pooling").mkdir()
    switches = {switch: kind == pooling for kind, switch in POOLING_SWITCHES.items()}
    switches |= dict.fromkeys(OTHER_SWITCHES, False)
    values = {"word_embedding_dimension": config.hidden_size, **switches}
    _write(folder / "1_Pooling" / "config.json", values)

    max_len = min(longest_text(checkpoint), config.max_positions)
    # The tokenizer lowers the case itself, where it does.
    _write(
        folder / "sentence_bert_config.json", {"max_seq_length": max_len, "do_lower_case": False}
    )
    described: dict[str, object] = {
        "prompts": {},
        "default_prompt_name": None,
        "similarity_fn_name": "cosine",
    }
    _write(folder / "config_sentence_transformers.json", described)
    length = "of length 1" if normalise else "of any length"
    return [
        f'  SentenceTransformer("{name}")   of sentence-transformers: {pooling} pooling, vectors '
        f"{length}"
    ]


def longest_text(checkpoint: Checkpoint) -> int:
    """Tokens of the longest texts of a checkpoint's training."""
    max_positions = checkpoint.model_config.max_positions
    if checkpoint.kind in FINE_TUNED:
        return int(checkpoint.settings.get("max_len") or max_positions)
    settings = from_dict(PretrainConfig, checkpoint.settings)
    return longest_phase(settings.seq_len, settings.phases, max_positions)


def _write(path: Path, values: Any) -> None:
    path.write_text(json.dumps(values, indent=1) + "\n", encoding="utf-8")
