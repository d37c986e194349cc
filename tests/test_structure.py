"""The project's structure: what each wing imports, imports without effects, README's tree."""

import ast
import functools
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "electra"
# The wings of the package, and for each the other wings that its files may import. A wing imports
# only wings above it in this table. README.md lists the same wings and their contents.
MAY_IMPORT = {
    "__init__": set(),
    "files": set(),
    "config": set(),
    "cli": {"files", "config"},
    "data": {"files", "config"},
    "tasks": {"files"},
    "download": {"data"},
    "model": {"config", "data"},
    "checkpoint": {"files", "config", "data"},
    "huggingface": {"config", "data", "model", "checkpoint"},
    "evaluation": {"files", "tasks"},
    "report": set(),
    "training": {
        "files",
        "config",
        "cli",
        "data",
        "tasks",
        "model",
        "checkpoint",
        "evaluation",
        "report",
    },
    "inference": {
        "files",
        "config",
        "data",
        "tasks",
        "model",
        "checkpoint",
        "evaluation",
        "training",
    },
    "serving": {"files", "data", "model", "inference"},
    "benchmark": {"files", "config", "data", "tasks", "model", "checkpoint", "training"},
    "gpu_proof": {"files", "config", "data", "model", "checkpoint", "training", "benchmark"},
    "comparison": {
        "files",
        "config",
        "data",
        "tasks",
        "model",
        "checkpoint",
        "evaluation",
        "report",
        "training",
    },
}
ENTRY_POINTS = sorted([*ROOT.glob("*.py"), *(ROOT / "scripts").glob("*.py")])
PACKAGE_FILES = sorted(PACKAGE.rglob("*.py"))
OUTSIDE_TESTS = sorted([*PACKAGE_FILES, *ENTRY_POINTS])
# Optional imports of single files: the project is compared with these packages if installed.
PEERS = {
    PACKAGE / "benchmark" / "baseline.py": {"transformers"},
    PACKAGE / "benchmark" / "tokenizing.py": {"tokenizers"},
}


def is_module(name):
    path = ROOT / name.replace(".", "/")
    return path.with_suffix(".py").is_file() or (path / "__init__.py").is_file()


@functools.cache
def imported(path):
    """Names of all modules that a file imports, at any depth.

    `from a import b` counts as a.b if that is a module.
    """
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            # `from electra.wing import file` and `from electra.wing.file import name`
            below = {f"{node.module}.{alias.name}" for alias in node.names}
            modules = {name for name in below if is_module(name)}
            names |= modules or {node.module}
    return names


def wing_of(path):
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported_wings():
    """{wing: the other wings that its files import}."""
    found = {wing: set() for wing in MAY_IMPORT}
    for path in PACKAGE_FILES:
        names = {name for name in imported(path) if name.startswith("electra.")}
        found[wing_of(path)] |= {name.split(".")[1] for name in names} - {wing_of(path)}
    return found


@pytest.mark.fast
def test_every_wing_is_in_the_table():
    assert {wing_of(path) for path in PACKAGE_FILES} == set(MAY_IMPORT)


@pytest.mark.fast
@pytest.mark.parametrize("wing", MAY_IMPORT)
def test_a_wing_imports_what_it_may_and_no_allowance_is_unused(wing):
    assert imported_wings()[wing] == MAY_IMPORT[wing]


@pytest.mark.fast
def test_the_table_has_no_circle():
    order = list(MAY_IMPORT)
    for wing, allowed in MAY_IMPORT.items():
        assert all(order.index(name) < order.index(wing) for name in allowed), wing


@pytest.mark.fast
@pytest.mark.parametrize("wing", sorted({path.parent for path in PACKAGE_FILES} - {PACKAGE}))
def test_the_files_of_a_wing_import_each_other_without_a_circle(wing):
    package = f"electra.{wing.relative_to(PACKAGE)}".replace("/", ".")
    needs = {
        f"{package}.{path.stem}": {
            name for name in imported(path) if name.startswith(f"{package}.")
        }
        for path in wing.glob("*.py")
    }
    while needs:
        free = {name for name, needed in needs.items() if not needed & set(needs)}
        assert free, f"these import each other: {sorted(needs)}"
        needs = {name: needed for name, needed in needs.items() if name not in free}


@pytest.mark.fast
def test_nothing_imports_an_entry_point():
    programs = {path.stem for path in ENTRY_POINTS} | {"scripts"}
    for path in OUTSIDE_TESTS:
        assert {name.split(".")[0] for name in imported(path)} & programs == set(), path


@pytest.mark.fast
@pytest.mark.parametrize("path", OUTSIDE_TESTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_other_model_library_is_used(path):
    others = {"transformers", "tokenizers", "datasets"} - PEERS.get(path, set())
    assert {name.split(".")[0] for name in imported(path)} & others == set()


def test_importing_prints_nothing_and_starts_nothing(tmp_path):
    modules = [
        ".".join(path.relative_to(ROOT).with_suffix("").parts)
        for path in PACKAGE_FILES
        if path.stem != "__init__"
    ]
    modules += [path.stem for path in ENTRY_POINTS]
    code = f"""
import importlib, multiprocessing, random, signal, sys, threading
import numpy, sentencepiece, torch, torch.nn.functional, tqdm  # their effects do not count
sys.path[:0] = [{str(ROOT)!r}, {str(ROOT / "scripts")!r}]
facts = lambda: (
    threading.enumerate(),
    multiprocessing.active_children(),
    signal.getsignal(signal.SIGINT),
    signal.getsignal(signal.SIGTERM),
    torch.initial_seed(),
    torch.get_num_threads(),
    torch.get_default_dtype(),
    torch.distributed.is_initialized(),
    random.getstate(),
    str(numpy.random.get_state()),
)
before = facts()
for name in {modules!r}:
    importlib.import_module(name)
assert facts() == before
"""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, text=True, capture_output=True
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.fast
def test_the_readme_lists_the_wings_and_programs_there_are():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    rows = re.findall(r"^ *((?:electra/|scripts/)?\w+(?:\.py|/)) {2,}(\S.*)$", text, re.MULTILINE)
    listed = [name for name, _ in rows]
    assert len(listed) == len(set(listed))
    files = {path for path in PACKAGE.glob("*.py") if path.stem != "__init__"}
    wings = {path.parent for path in PACKAGE_FILES} - {PACKAGE}
    there = {f"{path.relative_to(ROOT)}" for path in {*files, *ENTRY_POINTS}}
    assert set(listed) == there | {f"{path.relative_to(ROOT)}/" for path in wings}


@pytest.mark.fast
def test_there_is_one_train_step():
    pattern = re.compile(r"^\s*(?:async )?def train_step\b", re.MULTILINE)
    found = [
        path for path in OUTSIDE_TESTS for _ in pattern.findall(path.read_text(encoding="utf-8"))
    ]
    assert found == [PACKAGE / "training" / "step.py"]


# --- sizes ---

MAX_FILE_LINES, MAX_FUNCTION_LINES, MAX_NESTING, MAX_PARAMETERS = 350, 40, 3, 7
BLOCKS = (ast.If, ast.For, ast.While, ast.With, ast.Try, ast.Match)
# What is larger, and why.
EXCEPTIONS = {
    ("finetune.py", "learn"): "the loop stands in one glance: stages, epochs, batches",
}


def nesting(node, depth=0):
    """How deep blocks stand in each other in a function; an elif is as deep as its if."""
    deepest = depth
    for name, value in ast.iter_fields(node):
        children = value if isinstance(value, list) else [value]
        is_elif = name == "orelse" and isinstance(node, ast.If) and len(children) == 1
        for child in children:
            if not isinstance(child, ast.AST) or isinstance(child, (ast.FunctionDef, ast.ClassDef)):
                continue
            opens = isinstance(child, BLOCKS) and not (is_elif and isinstance(child, ast.If))
            deepest = max(deepest, nesting(child, depth + opens))
    return deepest


def functions(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]


@pytest.mark.parametrize("path", OUTSIDE_TESTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_files_and_functions_fit_on_a_screen(path):
    assert len(path.read_text(encoding="utf-8").splitlines()) <= MAX_FILE_LINES
    name = str(path.relative_to(ROOT))
    for function in functions(path):
        if (name, function.name) in EXCEPTIONS:
            continue
        docstring = ast.get_docstring(function, clean=False)
        lines = function.end_lineno - function.lineno + 1
        lines -= docstring.count("\n") + 1 if docstring else 0
        parameters = function.args.args + function.args.kwonlyargs + function.args.posonlyargs
        parameters = [one for one in parameters if one.arg not in ("self", "cls")]
        assert lines <= MAX_FUNCTION_LINES, function.name
        assert nesting(function) <= MAX_NESTING, function.name
        assert len(parameters) <= MAX_PARAMETERS, function.name


def test_no_exception_is_unused():
    for (name, function_name), why in EXCEPTIONS.items():
        found = [f for f in functions(ROOT / name) if f.name == function_name]
        assert why and any(nesting(function) > MAX_NESTING for function in found)
