"""Try checkpoints in a page: an ELECTRA's replaced words, a classifier's labels.

    python scripts/serve.py                            # tiny-en, which comes with the code
    python scripts/serve.py --ckpt data/pretrained/tiny-en.pt --ckpt runs/sst2-tiny-en/ckpt.pt

The page and a JSON interface are at http://127.0.0.1:8000/ until Ctrl-C; docs/serve.md describes
both. Nobody but this machine reaches them unless --host says so.
"""

from __future__ import annotations

import argparse
import sys

from electra.cli import Parser, run_cli
from electra.config import AMP_CHOICES
from electra.inference.predictor import BATCH_TOKENS, CPU_BATCH_TOKENS
from electra.inference.tiny_en import TINY_EN
from electra.serving.limits import Limits
from electra.serving.run import Settings, open_server, serve_until_stopped


def main(argv: list[str] | None = None) -> int:
    """Run with a command line; returns the exit code of `run_cli`."""
    return run_cli("serve.py", lambda: run(parse_args(argv)))


def parse_args(argv: list[str] | None) -> Settings:
    assert __doc__ is not None
    parser = Parser(prog="serve.py", description=__doc__.split("\n")[0], allow_abbrev=False)
    add_flags(parser)
    args, limits = parser.parse_args(argv), Limits()
    if not args.ckpt and not TINY_EN.exists():
        parser.error(f"give --ckpt: {TINY_EN}, the default, is not below this folder")
    return Settings(
        checkpoints=args.ckpt or [str(TINY_EN)],
        host=args.host,
        port=args.port,
        allowed_hosts=args.allow_host,
        max_len=args.max_len,
        batch_tokens=args.batch_tokens,
        device=args.device,
        amp=args.amp,
        limits=limits._replace(
            characters=args.max_characters,
            # Two texts of characters that JSON spells with up to 6 bytes each, rarely 12.
            body_bytes=max(limits.body_bytes, 16 * args.max_characters),
            waiting=args.max_waiting,
            answer_seconds=args.timeout,
        ),
    )


def add_flags(parser: argparse.ArgumentParser) -> None:
    add, limits = parser.add_argument, Limits()
    add(
        "--ckpt",
        action="append",
        help="checkpoint of finetune.py, or of train.py with ELECTRA; may be given several times "
        f"(default: {TINY_EN})",
    )
    add("--port", type=int, default=8000, help="0: any that is free (default: 8000)")
    host = "address to listen at; 0.0.0.0: every one (default: 127.0.0.1)"
    add("--host", default="127.0.0.1", help=host)
    name = "host name by which clients may reach it, besides --host and localhost"
    add("--allow-host", action="append", default=[], metavar="NAME", help=name)
    most = limits.characters
    add("--max-characters", type=int, default=most, help=f"of a text (default: {most:,})")
    most = limits.waiting
    waiting = f"requests that wait for a model (default: {most:,})"
    add("--max-waiting", type=int, default=most, help=waiting)
    seconds = limits.answer_seconds
    add(
        "--timeout",
        type=float,
        default=seconds,
        help=f"seconds to an answer (default: {seconds:g})",
    )
    add("--max-len", type=int, help="longest example in tokens (default: as in training)")
    tokens = f"tokens of a batch (default: {BATCH_TOKENS}; on a CPU {CPU_BATCH_TOKENS})"
    add("--batch-tokens", type=int, help=tokens)
    add("--device", default="auto", help="auto, cpu, cuda, cuda:1, mps (default: auto)")
    precision = "mixed precision; the last digits then depend on the batch (default: auto)"
    add("--amp", choices=AMP_CHOICES, default="auto", help=precision)


def run(settings: Settings) -> None:
    server = open_server(settings)
    print(f"{', '.join(server.site.models)}: {server.url} (Ctrl-C ends it)", flush=True)
    serve_until_stopped(server)


if __name__ == "__main__":
    sys.exit(main())
