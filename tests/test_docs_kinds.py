"""The commands of docs/kinds-of-tasks.md, typed as they stand there, on the sample; those of
data/README.md are read by their programs."""

import json
import re
import shlex
from pathlib import Path

import pytest
from conftest import exit_code
from faults import inputs as scripts
from inference.conftest import program as predict

import finetune

ROOT = Path(__file__).resolve().parent.parent
PAGE = (ROOT / "docs" / "kinds-of-tasks.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"(?:^    .*\n)+", PAGE, re.MULTILINE)


def commands(block):
    lines = re.sub(r"\\\n *", "", re.sub("^    ", "", block, flags=re.MULTILINE)).splitlines()
    return [shlex.split(line) for line in lines]


EXAMPLES = [commands(block) for block in BLOCKS if "predict.py" in block]


@pytest.mark.parametrize("example", EXAMPLES, ids=["tags", "spans", "labels"])
def test_the_examples_run(example, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").symlink_to(ROOT / "data")
    train, ask = example
    assert train[:2] == ["python", "finetune.py"] and ask[:2] == ["python", "scripts/predict.py"]
    assert exit_code(finetune.main, [*train[2:], "--epochs", 0.1, "--amp", "off"]) == 0
    capsys.readouterr()
    assert exit_code(predict.main, ask[2:]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["text"] == ask[-1]
    assert {"entities", "answers", "labels"} & set(answer)


def shown_commands():
    """The commands for programs of scripts/ in data/README.md, in blocks and in lines."""
    text = (ROOT / "data" / "README.md").read_text(encoding="utf-8").replace("\\\n", " ")
    found = re.findall(r"(?:`|^    )python (scripts/[^`\n]*)", text, re.MULTILINE)
    return [shlex.split(command) for command in dict.fromkeys(found)]


@pytest.mark.fast
def test_the_programs_take_the_commands_of_the_data_page():
    commands = shown_commands()
    programs = {words[0] for words in commands}
    assert programs == {f"scripts/{name}.py" for name in ("download", "prepare_imdb", "convert")}
    for path, *arguments in commands:
        assert scripts.program(Path(path).stem).parse_args(arguments)
