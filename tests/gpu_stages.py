"""The proofs that test_prove_gpu.py looks at, and stages that go wrong in every way.

conftest.py starts the proofs beside the other tests: they mostly wait, or use the other core.
"""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from electra.gpu_proof.stages import Stage

ROOT = Path(__file__).resolve().parent.parent
WRONG = ("raises", "hangs", "is_killed", "exits", "misses", "passes")
LATE = ("sleeps", "passes", "misses")
LATE_MINUTES = 0.3


def proofs(folder):
    """By the name of a fixture: the folder of a proof's results, and its command line."""
    rehearse = [sys.executable, str(ROOT / "scripts" / "prove_gpu.py"), "--rehearse", "--out"]
    outs = {name: folder / name for name in ("rehearsal", "wrong_stages", "late_stages")}
    commands = (
        [*rehearse, str(outs["rehearsal"]), "--minutes", "30"],
        _proof_of(WRONG, outs["wrong_stages"], 5.0),
        _proof_of(LATE, outs["late_stages"], LATE_MINUTES),
    )
    return {name: (outs[name], command) for name, command in zip(outs, commands, strict=True)}


def _proof_of(names, out, minutes):
    """The command line of a proof with stages of this file."""
    stages = [
        Stage(name, "right", f"gpu_stages:{name}", 7.0 if name == "hangs" else 60.0, f"{name} x")
        for name in names
    ]
    code = (
        f"import sys; sys.path[:0] = [{str(ROOT)!r}, {str(ROOT / 'tests')!r}]\n"
        "from pathlib import Path\n"
        "from electra.gpu_proof import runner\n"
        "from electra.gpu_proof.prove import prove\n"
        "from electra.gpu_proof.stages import Stage\n"
        "runner.PRELOADED.clear()  # these stages need no torch\n"
        f"sys.exit(prove(Path({str(ROOT)!r}), None, Path({str(out)!r}), {minutes}, True, None, "
        f"{stages!r}))"
    )
    return [sys.executable, "-c", code]


# --- the stages ---


def passes(settings, findings):
    findings.value("device", settings.device)
    findings.at_most("a difference", 0.5, 1.0)


def misses(settings, findings):
    findings.holds("two is three", False)
    findings.at_most("not a number", float("nan"), 1.0)


def raises(settings, findings):
    findings.value("before the error", 1)
    raise RuntimeError("the stage is broken | really")


def exits(settings, findings):
    os._exit(3)


def hangs(settings, findings):
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    findings.value("child", child.pid)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    time.sleep(600)


def is_killed(settings, findings):
    findings.value("before the end", 1)
    os.kill(os.getpid(), signal.SIGKILL)


def sleeps(settings, findings):
    time.sleep(600)
