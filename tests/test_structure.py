"""The shape of the tree: who may import whom, that importing does nothing, and that the README's tree is the tree."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "electra"
# module: modules of the package that it may import. An import goes up this table, never down.
MAY_IMPORT = {
    "__init__": set(),
    "config": set(),
    "distributed": set(),
    "metrics": set(),
    "tokenizer": {"config"},
    "masking": {"config"},
    "ops": {"masking"},
    "encoder": {"ops", "config"},
    "heads": {"ops", "config"},
    "tables": set(),
    "tasks": {"tables"},
    "optim": {"config"},
    "batching": {"config"},
    "pickles": set(),
    "hf": {"pickles", "tokenizer", "config"},                                   # tokenizer for its files in a folder
    "corpus": {"tokenizer", "config"},
    "models": {"encoder", "heads", "ops", "masking", "batching", "config"},   # batching for the tuple Batch
    "checkpoint": {"pickles", "corpus", "tokenizer", "config"},                # corpus for write_atomically
    "results": {"tasks", "metrics"},
    "glue": {"results", "tasks", "metrics", "corpus"},                 # corpus for write_atomically
    "engine": {"models", "optim", "distributed", "masking", "metrics", "batching"},
}
ENTRY_POINTS = sorted([*ROOT.glob("*.py"), *(ROOT / "scripts").glob("*.py")])
OUTSIDE_TESTS = sorted([*PACKAGE.glob("*.py"), *ENTRY_POINTS])
# What a program may import besides, where it is installed: it is measured against it.
PEERS = {ROOT / "scripts" / "bench.py": {"transformers", "tokenizers"}}


def imported(path):
    """Names of all modules that a file imports anywhere in it, `from electra import x` as electra.x."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names |= {f"electra.{alias.name}" for alias in node.names} if node.module == "electra" else {node.module}
    return names


def within(path):
    return {name.split(".")[1] for name in imported(path) if name.startswith("electra.")}


def test_every_module_is_in_the_table():
    assert {path.stem for path in PACKAGE.glob("*.py")} == set(MAY_IMPORT)


@pytest.mark.parametrize("module", MAY_IMPORT)
def test_a_module_imports_what_it_may(module):
    assert within(PACKAGE / f"{module}.py") - MAY_IMPORT[module] == set()


def test_the_table_has_no_circle():
    order = list(MAY_IMPORT)
    for module, allowed in MAY_IMPORT.items():
        assert all(order.index(name) < order.index(module) for name in allowed), module


def test_no_module_imports_an_entry_point():
    programs = {path.stem for path in ENTRY_POINTS} | {"scripts"}
    for path in PACKAGE.glob("*.py"):
        assert {name.split(".")[0] for name in imported(path)} & programs == set(), path


@pytest.mark.parametrize("path", OUTSIDE_TESTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_other_model_library_is_used(path):
    others = {"transformers", "tokenizers", "datasets"} - PEERS.get(path, set())
    assert {name.split(".")[0] for name in imported(path)} & others == set()


def test_importing_prints_nothing_and_starts_nothing(tmp_path):
    modules = [f"electra.{path.stem}" for path in PACKAGE.glob("*.py") if path.stem != "__init__"]
    modules += [path.stem for path in ENTRY_POINTS]
    code = f"""
import importlib, multiprocessing, random, signal, sys, threading
import numpy, sentencepiece, torch, torch.nn.functional, tqdm   # what they do is theirs
sys.path[:0] = [{str(ROOT)!r}, {str(ROOT / 'scripts')!r}]
facts = lambda: (threading.enumerate(), multiprocessing.active_children(), signal.getsignal(signal.SIGINT),
                 signal.getsignal(signal.SIGTERM), torch.initial_seed(), torch.get_num_threads(),
                 torch.get_default_dtype(), torch.distributed.is_initialized(), random.getstate(),
                 str(numpy.random.get_state()))
before = facts()
for name in {modules!r}:
    importlib.import_module(name)
assert facts() == before
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, text=True, capture_output=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert list(tmp_path.iterdir()) == []


def test_the_readme_lists_the_files_there_are():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    rows = re.findall(r"^ *((?:electra/|scripts/)?\w+\.py) {2,}(\S.*)$", text, re.MULTILINE)
    listed = [name for name, _ in rows]
    assert len(listed) == len(set(listed))
    assert set(listed) == {str(path.relative_to(ROOT)) for path in OUTSIDE_TESTS}


def test_there_is_one_train_step():
    pattern = re.compile(r"^\s*(?:async )?def train_step\b", re.MULTILINE)
    found = [path for path in OUTSIDE_TESTS for _ in pattern.findall(path.read_text(encoding="utf-8"))]
    assert found == [PACKAGE / "engine.py"]
