"""What to type next with a checkpoint: a command for each kind, which works as it is printed."""

from __future__ import annotations

import shlex
from pathlib import Path

# Kinds of checkpoints -> (program, its arguments).
PROGRAMS = {
    "electra": ("predict.py", '"The acting is was terrible."'),
    "mlm": ("embed.py", '"a text"'),
    "classifier": ("predict.py", '"a text to judge"'),
    "tagger": ("predict.py", '"a text to search"'),
    "reader": ("predict.py", '--question "a question" "a text with the answer"'),
    "embedder": ("embed.py", '"a text"'),
}
PAIR = '{"text": "a text", "text_b": "another text"}'  # predict.py takes pairs as JSON alone


def next_command(path: Path, kind: str, pairs: bool = False) -> str:
    """The command that tries a checkpoint.

    path: of the checkpoint. kind: one of `KINDS`. pairs: whether its classifier is one of pairs.
    """
    program, arguments = PROGRAMS[kind]
    start = f"python scripts/{program} --ckpt {shlex.quote(str(path))}"
    if kind == "classifier" and pairs:
        return f"echo {shlex.quote(PAIR)} | {start} --jsonl"
    return f"{start} {arguments}"
