"""The whole proof: data beside, stages one after the other, results on disk after each."""

from __future__ import annotations

import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from electra.gpu_proof.document import write_documents
from electra.gpu_proof.runner import StageResult, kill_process, run_stages, start_in_background
from electra.gpu_proof.stages import ARCHIVES, READY, STAGES, Stage, StageContext

PREPARE = "electra.gpu_proof.reviews:prepare"
OVERHEAD = 0.5  # seconds between the program's start and the first of its own clock


def prove(
    root: Path,
    data: Path | None,
    out: Path,
    minutes: float,
    rehearse: bool,
    only: Sequence[str] | None,
    stages: Sequence[Stage] = STAGES,
) -> int:
    """Run the stages, all or those named in `only`; returns 0, or 1 where one failed.

    Raises ValueError where there is no GPU and no rehearsal is asked for, for data that are not
    there, and for a time that is none.
    """
    began = time.time()
    if not 0 < minutes < 10_000:
        raise ValueError(f"--minutes must be above 0 and below 10,000, not {minutes:g}")
    data = _check_data(root, data, rehearse)
    if not rehearse:
        _require_gpu()
    out.mkdir(parents=True, exist_ok=True)
    chosen = [stage for stage in stages if only is None or stage.name in only]

    with tempfile.TemporaryDirectory(prefix="prove-gpu-", ignore_cleanup_errors=True) as scratch:
        device = "cpu" if rehearse else "cuda"
        context = StageContext(root, data.resolve(), out.resolve(), Path(scratch), device, rehearse)
        command = "python scripts/prove_gpu.py " + shlex.join(sys.argv[1:])

        def report(results: list[StageResult]) -> None:
            _say(results[-1], len(results), len(chosen))
            in_order = sorted(results, key=lambda result: chosen.index(result.stage))
            write_documents(context, command, in_order, began)

        preparing = start_in_background(PREPARE, context)
        try:
            seconds = 60 * minutes - (time.time() - began) - OVERHEAD
            results = run_stages(
                chosen, context, seconds, lambda: is_ready(context, preparing), report
            )
        finally:
            kill_process(preparing)
    return _summarise(results, out)


def is_ready(context: StageContext, preparing: Any) -> bool:
    """Whether the preparation of the data has ended, well or not."""
    return (context.scratch / READY).exists() or not preparing.is_alive()


def _check_data(root: Path, data: Path | None, rehearse: bool) -> Path:
    """The folder of the data. Raises ValueError where it lacks aclImdb."""
    if rehearse:
        return data or root / "data" / "sample"
    if data is None:
        raise ValueError("--data is needed: the folder that holds aclImdb, or its archive")
    if not (data / "aclImdb").is_dir() and not list(data.glob(ARCHIVES["imdb"])):
        raise ValueError(f"--data {data} holds neither aclImdb nor {ARCHIVES['imdb']}")
    return data


def _require_gpu() -> None:
    """Ask another process: neither this one nor that of which stages are forked touches a GPU."""
    code = "import sys, torch; sys.exit(0 if torch.cuda.is_available() else 3)"
    if subprocess.run([sys.executable, "-c", code]).returncode:
        raise ValueError("torch finds no GPU here; --rehearse runs every stage on the CPU")


def _say(result: StageResult, number: int, count: int) -> None:
    why = f": {result.why}" if result.why else ""
    print(
        f"[{number}/{count}] {result.stage.name}: {result.status} ({result.seconds:.1f} s){why}",
        flush=True,
    )


def _summarise(results: Sequence[StageResult], out: Path) -> int:
    failed = [result.stage.name for result in results if result.failed]
    left_out = [result.stage.name for result in results if result.status == "left out"]
    passed = len(results) - len(failed) - len(left_out)
    print(f"{passed} of {len(results)} stages passed; {out}/gpu.md has what they found")
    if left_out:
        print(f"left out, since no time was left: {', '.join(left_out)}")
    if failed:
        print(f"failed: {', '.join(failed)}")
    return 1 if failed else 0
