"""gpu.json and gpu.md: what the stages have found, for programs and for people."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from electra.files import write_atomically
from electra.gpu_proof.findings import Finding
from electra.gpu_proof.runner import StageResult
from electra.gpu_proof.stages import STAGES, StageContext

GROUPS = {"right": "It runs and is right", "speed": "Speed", "learning": "Learning"}
MARKS = {"passed": "passed", "failed": "**failed**", "left out": "left out"}


def write_documents(
    context: StageContext, command: str, results: Sequence[StageResult], began: float
) -> None:
    """Write gpu.json, gpu.md and prove.log anew. `began`: seconds since the epoch."""
    when = time.strftime("%Y-%m-%d %H:%M", time.localtime(began))
    content = {
        "format": 1,
        "command": command,
        "date": when,
        "seconds": round(time.time() - began, 1),
        "rehearsal": context.rehearse,
        "stages": [as_json(result) for result in results],
    }
    write_atomically(context.out / "gpu.json", (json.dumps(content, indent=1) + "\n").encode())
    text = markdown(command, when, context.rehearse, results)
    write_atomically(context.out / "gpu.md", text.encode())
    write_atomically(context.out / "prove.log", _logs(context.scratch))


def as_json(result: StageResult) -> dict[str, object]:
    stage = result.stage
    return {
        "name": stage.name,
        "group": stage.group,
        "status": result.status,
        "why": result.why,
        "seconds": round(result.seconds, 2),
        "limit": stage.limit,
        "findings": [asdict(finding) for finding in result.findings],
    }


def markdown(command: str, when: str, rehearsal: bool, results: Sequence[StageResult]) -> str:
    """The tables: one of all stages, then one for each stage that has found something."""
    lines = [f"`{command}`, {when}", ""]
    if rehearsal:
        lines += ["A rehearsal on the CPU with tiny sizes: no figure here is one of a GPU.", ""]
    lines += ["| stage | what became of it | seconds |", "|---|---|---:|"]
    for result in results:
        verdict = MARKS.get(result.status, f"**{result.status}**")
        why = f": {_cell(result.why)}" if result.why else ""
        lines.append(f"| {result.stage.name} | {verdict}{why} | {result.seconds:.1f} |")
    for group, title in GROUPS.items():
        of_group = [r for r in results if r.stage.group == group and r.findings]
        lines += ["", f"## {title}"] * bool(of_group)
        for result in of_group:
            lines += ["", *_stage_table(result, rehearsal)]
    return "\n".join(lines) + "\n"


def _stage_table(result: StageResult, rehearsal: bool) -> list[str]:
    stage = result.stage
    promise = stage.promise[0].upper() + stage.promise[1:] + "."
    if rehearsal and stage.needs_cuda:
        promise += f" In this rehearsal: {stage.needs_cuda}."
    return [
        f"**{stage.name}.** {promise}",
        "",
        "| what | value | expected |",
        "|---|---:|---|",
        *(_row(finding) for finding in result.findings),
    ]


def _row(finding: Finding) -> str:
    value = finding.value
    shown = value if isinstance(value, str) else _number(value)
    expected = finding.expected
    if finding.passed is False:
        expected = f"**{expected}: failed**"
    unit = f" {finding.unit}" if finding.unit else ""
    return f"| {_cell(finding.what)} | {_cell(shown)}{unit} | {expected} |"


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 or float(value).is_integer() else f"{value:.4g}"


def _cell(text: str) -> str:
    return " ".join(text.replace("|", "\\|").split())


def _logs(scratch: Path) -> bytes:
    """Everything that the stages and their programs have printed."""
    parts = []
    for path in sorted(scratch.glob("*.log"), key=lambda path: path.stat().st_mtime):
        parts.append(f"=== {path.name}\n".encode() + path.read_bytes())
    return b"\n".join(parts)


def stage_list() -> str:
    """The table of stages in docs/gpu.md."""
    lines = ["| stage | what it promises | at most |", "|---|---|---:|"]
    for stage in STAGES:
        lines.append(f"| {stage.name} | {stage.promise} | {stage.limit:g} s |")
    return "\n".join(lines) + "\n"
