"""scripts/prove_gpu.py: a rehearsal of every stage; stages that raise, hang and are killed."""

import json
import os
import subprocess
import sys
from pathlib import Path

import gpu_stages
import pytest

from electra.gpu_proof.document import markdown, stage_list
from electra.gpu_proof.findings import Finding, Findings, read_findings
from electra.gpu_proof.runner import StageResult
from electra.gpu_proof.stages import STAGES, Stage

ROOT = Path(__file__).resolve().parent.parent
SCRIPT = ROOT / "scripts" / "prove_gpu.py"


def finished(pytestconfig, name):
    """(exit code, lines of stdout, stderr, folder, content of gpu.json) of a proof that conftest.py
    has started beside the other tests."""
    process, out = pytestconfig.proofs[name]
    output, errors = process.communicate(timeout=600)
    content = json.loads((out / "gpu.json").read_text())
    return process.returncode, output.splitlines(), errors, out, content


# Asking for one of these lets conftest.py start it.
@pytest.fixture(scope="module")
def rehearsal(pytestconfig):
    return finished(pytestconfig, "rehearsal")


@pytest.fixture(scope="module")
def wrong_stages(pytestconfig):
    return finished(pytestconfig, "wrong_stages")


@pytest.fixture(scope="module")
def late_stages(pytestconfig):
    return finished(pytestconfig, "late_stages")


# --- what goes wrong ---


def test_a_stage_that_goes_wrong_costs_only_itself(wrong_stages):
    code, said, errors, out, content = wrong_stages
    stages = {stage["name"]: stage for stage in content["stages"]}
    assert code == 1, errors
    assert tuple(stages) == gpu_stages.WRONG
    assert {name: stage["status"] for name, stage in stages.items()} == {
        "raises": "failed",
        "hangs": "timed out",
        "is_killed": "killed",
        "exits": "failed",
        "misses": "failed",
        "passes": "passed",
    }
    assert stages["raises"]["why"] == "RuntimeError: the stage is broken | really"
    assert stages["hangs"]["why"] == "it had not ended after 21 s"
    assert stages["is_killed"]["why"] == "signal SIGKILL"
    assert stages["exits"]["why"] == "exit code 3"
    assert stages["misses"]["why"] == "two is three; not a number"
    assert said[-1] == "failed: raises, hangs, is_killed, exits, misses"

    found = {name: [f["what"] for f in stage["findings"]] for name, stage in stages.items()}
    assert found["raises"] == ["before the error"] and found["is_killed"] == ["before the end"]
    assert found["passes"] == ["device", "a difference"] and found["exits"] == []
    assert "RuntimeError: the stage is broken" in (out / "prove.log").read_text()
    child = stages["hangs"]["findings"][0]["value"]  # which the stage had started
    state = Path(f"/proc/{child}/stat")
    assert not state.exists() or state.read_text().rpartition(")")[2].split()[0] == "Z"

    text = (out / "gpu.md").read_text()
    assert all(f"| {name} |" in text for name in stages)
    assert "the stage is broken \\| really" in text  # a table's cell stays one cell


def test_the_time_is_kept_and_the_last_stages_are_left_out_and_named(late_stages):
    code, said, _, _, content = late_stages
    stages = content["stages"]
    assert [stage["status"] for stage in stages] == ["timed out", "left out", "left out"]
    assert stages[0]["seconds"] <= 60 * gpu_stages.LATE_MINUTES
    assert code == 1
    assert said[-2:] == [
        "left out, since no time was left: passes, misses",
        "failed: sleeps",
    ]


@pytest.mark.parametrize(
    "arguments, said",
    [
        (["--minutes", "0"], "--minutes must be above 0"),
        (["--minutes", "nan"], "--minutes must be above 0"),
        ([], "--data is needed"),
        (["--data", "nowhere"], "--data nowhere holds neither aclImdb nor aclImdb*.tar.*"),
        (["--data", str(ROOT / "data" / "sample")], "torch finds no GPU here; --rehearse runs"),
        (["--only", "nothing"], "invalid choice: 'nothing'"),
    ],
)
def test_a_mistake_is_one_line(arguments, said, tmp_path):
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(
        [sys.executable, SCRIPT, "--out", tmp_path / "out", *arguments],
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    assert done.stderr.startswith("prove_gpu.py: error: ") and done.stderr.count("\n") == 1
    assert said in done.stderr
    assert not (tmp_path / "out").exists()


# --- what is written ---


def test_a_line_that_was_cut_off_is_no_finding(tmp_path):
    findings = Findings(tmp_path / "findings")
    findings.value("one", 1.5, "s")
    findings.at_least("two", 3.0, 2.0)
    with open(tmp_path / "findings", "a") as file:
        file.write('{"what": "thr')
    assert read_findings(tmp_path / "findings") == [
        Finding("one", 1.5, "s"),
        Finding("two", 3.0, "", "at least 2", True),
    ]
    assert read_findings(tmp_path / "nothing") == []


def test_checks_fail_where_they_should(tmp_path):
    findings = Findings(tmp_path / "findings")
    for value in (0.9, 1.0, 1.1, float("inf"), float("nan")):
        findings.at_most("most", value, 1.0)
        findings.at_least("least", value, 1.0)
    findings.goal("goal", 1.0, 2.0)
    passed = [finding.passed for finding in read_findings(tmp_path / "findings")]
    most, least = passed[:-1:2], passed[1:-1:2]
    assert most == [True, True, False, False, False]
    assert least == [False, True, True, False, False]
    assert passed[-1] is None  # a goal that is missed is no failure


def test_the_table_says_what_is_a_rehearsal():
    stage = Stage("graphs", "right", "a:b", 10, "all is well", "plain steps twice")
    result = StageResult(stage, "passed", "", 1.25, [Finding("speed", 1234567.0, "tokens/s")])
    real, rehearsed = (markdown("command", "2026-01-01", mode, [result]) for mode in (False, True))
    assert "| graphs | passed | 1.2 |" in real and "| speed | 1,234,567 tokens/s |  |" in real
    assert "All is well." in real and "rehearsal" not in real
    assert "A rehearsal on the CPU" in rehearsed and "plain steps twice" in rehearsed


def test_the_docs_have_the_stages():
    text = (ROOT / "docs" / "gpu.md").read_text(encoding="utf-8")
    assert stage_list() in text


# --- the rehearsal ---


def test_every_stage_passes_in_a_rehearsal(rehearsal):
    code, said, errors, out, content = rehearsal
    failed = {s["name"]: s["why"] for s in content["stages"] if s["status"] != "passed"}
    assert failed == {} and code == 0, (said, errors)
    assert errors == ""
    assert content["rehearsal"] is True
    assert [stage["name"] for stage in content["stages"]] == [stage.name for stage in STAGES]
    assert all(stage["findings"] for stage in content["stages"])

    found = {
        (stage["name"], finding["what"]): finding
        for stage in content["stages"]
        for finding in stage["findings"]
    }
    checks = [finding for finding in found.values() if finding["passed"] is not None]
    assert len(checks) > 60
    killed = found[("resume", "killed twice")]
    assert killed["value"].startswith("at steps [")
    assert found[("learn-electra", "held out, rtd_auc")]["value"] > 0
    assert 0 < found[("learn-bert", "sst2, dev accuracy")]["value"] < 1
    assert (out / "profile.txt").read_text().startswith("small, 65,536 tokens a step, plain")
    assert sorted(path.name for path in out.iterdir()) == [
        "gpu.json",
        "gpu.md",
        "profile.txt",
        "prove.log",
    ]
