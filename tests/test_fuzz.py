"""Every reader reads or refuses hostile input.

The fuzz gives each reader a small number of inputs and must notice planted mistakes. Each mistake
that it once found has a test.
"""

import functools
import importlib.util
import io
import json
import os
import random
import signal
import struct
import tarfile
import time
import zipfile
from pathlib import Path

import pytest
import torch
from conftest import exit_code
from faults import fuzz, inputs, inputs_of_tasks

import finetune
import train
from electra.checkpoint.checkpoint import KINDS
from electra.checkpoint.storage import load_checkpoint, write_sealed
from electra.config import SPECIAL_TOKENS
from electra.data.raw_text import read_lines
from electra.data.sources import find_sources
from electra.data.tokenizer import tokenizer_from_bytes
from electra.download import archives
from electra.files import LONGEST_MESSAGE, one_line
from electra.huggingface.config import read_config
from electra.huggingface.tokenizer_files import write_tokenizer
from electra.huggingface.weight_files import read_weights
from electra.inference.replaced import mark_words
from electra.model.build import build, check_weights
from electra.tasks.imdb import read_reviews
from electra.tasks.load import load_task
from electra.tasks.task_file import load_task_file

ROOT = Path(__file__).resolve().parent.parent
HOSTILE = "two\nlines \x1b[31mred \u202e \udcff"
DIGITS = "9" * 5_000  # Python refuses to read so long a number


@functools.cache
def program(name):
    """A program of scripts/ as a module."""
    spec = importlib.util.spec_from_file_location(
        f"{name}_for_fuzz", ROOT / "scripts" / f"{name}.py"
    )
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def refused(read, path, match=r"\S"):
    """Assert a ValueError that names the file and is one printable line."""
    with pytest.raises(ValueError, match=match) as caught:
        read()
    assert str(path) in str(caught.value) and str(caught.value).isprintable()


@pytest.fixture
def stopped(capsys):
    """stopped(main, arguments, parts of the message …) asserts exit code 2 and one line."""

    def check(main, arguments, *parts):
        capsys.readouterr()
        code = exit_code(main, arguments)
        said = capsys.readouterr().err
        assert code == 2 and said.count("\n") == 1 and said[:-1].isprintable(), said
        assert all(part in said for part in parts), said

    return check


# ---------------------------------------------------------------- the fuzz


@pytest.mark.parametrize("reader", fuzz.READERS)
def test_every_input_is_read_or_refused(reader, tmp_path):
    count = 50 if reader in inputs_of_tasks.READERS else 150
    row = fuzz.fuzz(reader, count, seed=1, keep=tmp_path)
    assert row.findings == []
    # Both sound and unsound inputs are tried.
    assert row.read + row.refused == count and min(row.read, row.refused) >= count // 15


def hang(folder):
    time.sleep(60)


def crash(folder):
    os.kill(os.getpid(), signal.SIGKILL)


def raise_another(folder):
    raise KeyError(f"{folder}")


def name_nothing(folder):
    raise ValueError("something is wrong")


def write_outside(folder):
    (folder / "executed").touch()


def leave_behind(folder):
    (folder / "to" / "half").touch()
    raise ValueError(f"{folder}: refused")


def take_memory(folder):
    bytearray(2 * fuzz.ROOM)


@pytest.mark.parametrize(
    "bad, match",
    [
        (hang, "SIGALRM"),
        (crash, "SIGKILL"),
        (raise_another, "KeyError"),
        (name_nothing, "does not name the file"),
        (write_outside, "outside the target folder"),
        (leave_behind, "left behind"),
        (take_memory, "MemoryError"),
    ],
)
def test_the_fuzz_notices(bad, match, tmp_path, monkeypatch):
    monkeypatch.setattr(fuzz, "SECONDS", 1)

    def reader(rng, folder):
        (folder / "input").write_text(str(rng.random()))
        return lambda: bad(folder) if float((folder / "input").read_text()) < 0.3 else None

    monkeypatch.setitem(fuzz.READERS, "bad", reader)
    row = fuzz.fuzz("bad", 4, seed=5, keep=tmp_path)
    assert 0 < len(row.findings) < 4 and row.read == 4 - len(row.findings)
    for finding in row.findings:
        assert match in finding.what
        assert float((finding.kept / "input").read_text()) < 0.3
        again = fuzz.fuzz("bad", 1, seed=5, keep=tmp_path, first=finding.number)
        assert [one.number for one in again.findings] == [finding.number]


# ---------------------------------------------------------------- what is said


def test_a_message_is_one_printable_line_of_bounded_length():
    assert one_line(ValueError(HOSTILE)) == r"two\nlines \x1b[31mred \u202e \udcff"
    assert one_line("Ünïcode 漢字 😀") == "Ünïcode 漢字 😀"
    assert len(one_line("x" * 100_000)) <= LONGEST_MESSAGE + 3


def test_no_program_prints_a_file_name_as_it_is(stopped, tmp_path):
    shown = one_line(HOSTILE)
    path = tmp_path / HOSTILE
    stopped(train.main, ["--corpus", path, "--out", tmp_path / "run"], shown)
    stopped(finetune.main, ["--task", "csv", "--data", path], shown)
    stopped(program("predict").main, ["--ckpt", path], shown)
    stopped(program("convert").main, ["import", path, "--out", tmp_path / "out.pt"], shown)
    stopped(program("convert").main, ["export", path, tmp_path / "out"], shown)
    stopped(program("significance").main, [path, path], shown)
    stopped(program("report").main, [path / "x.json"], shown)
    stopped(program("prepare_imdb").main, [path, "--out", tmp_path / "out"], shown)
    stopped(program("download").main, ["sst2", "--from", path, "--to", tmp_path / "to"], shown)
    stopped(
        program("compare_models").main,
        ["--imdb", path, "--sst2", path],
        "compare_models.py: error: ",
    )


# ---------------------------------------------------------------- text, tables, tasks


def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "a.txt")
    refused(lambda: find_sources((str(tmp_path),)), tmp_path / "a.txt", "not a file")
    reviews = tmp_path / "neg"
    reviews.mkdir()
    os.mkfifo(reviews / "1_7.txt")
    refused(lambda: read_reviews(reviews), reviews / "1_7.txt", "not a review")
    released = tmp_path / "released"
    released.mkdir()
    os.mkfifo(released / "config.json")
    refused(lambda: read_config(released), released, "no config.json")


def test_a_number_with_thousands_of_digits_is_refused(tmp_path, stopped):
    corpus, table, task = tmp_path / "a.jsonl", tmp_path / "b.jsonl", tmp_path / "c.json"
    corpus.write_text(f'{{"text": {DIGITS}}}\n')
    refused(lambda: list(read_lines(*find_sources((str(corpus),)))), corpus, "line 1 is not JSON")
    table.write_text(f'{{"text": "a", "label": {DIGITS}}}\n')
    refused(lambda: load_task("csv", table), f"{table}:1")
    (tmp_path / "d.csv").write_text(
        "text,label\n" + "".join(f"film,{i % 2}{DIGITS}\n" for i in range(20))
    )
    assert len(load_task("csv", tmp_path / "d.csv").labels) == 2  # the numbers count as words
    task.write_text(f'{{"epochs": {DIGITS}}}')
    refused(lambda: load_task_file(task), task, "not valid JSON")
    (tmp_path / "ckpt.pt").write_bytes(inputs.checkpoints()[0])
    stopped(
        program("predict").main,
        ["--ckpt", tmp_path / "ckpt.pt", "--file", corpus],
        f"{corpus}:1: not a JSON object",
    )


@pytest.mark.parametrize(
    "ending, text",
    [(".json", "[" * 100_000), (".json", '{"a":' * 100_000), (".toml", "a = " + "[" * 100_000)],
)
def test_deep_nesting_is_refused(tmp_path, ending, text):
    task = tmp_path / f"task{ending}"
    task.write_text(text)
    refused(lambda: load_task_file(task), task, "nested too deep")
    table = tmp_path / "a.jsonl"
    table.write_text(text)
    refused(lambda: load_task("csv", table), f"{table}:1", "not a JSON object")


def test_half_a_surrogate_pair_is_refused_before_it_has_to_be_written(tmp_path):
    table, task = tmp_path / "a.jsonl", tmp_path / "b.json"
    table.write_text('{"text": "a", "label": "\\ud800"}\n')
    refused(lambda: load_task("csv", table), f"{table}:1", "half a surrogate pair")
    task.write_text(
        json.dumps(
            {
                "name": "mine",
                "train": "a.jsonl",
                "text": ["text"],
                "label": "label",
                "labels": ["a", "\ud800"],
            }
        )
    )
    refused(lambda: load_task_file(task), task, "half a surrogate pair")
    vocabulary = json.dumps(
        {
            "type": "wordpiece",
            "lower_case": True,
            "strip_accents": True,
            "split_chinese": True,
            "tokens": [*SPECIAL_TOKENS, "\ud800"],
        }
    ).encode()
    refused(lambda: tokenizer_from_bytes(vocabulary, "it"), "it", "half a surrogate pair")


def test_an_xz_that_asks_for_too_much_memory_is_refused(tmp_path, monkeypatch):
    def reader(rng, folder):
        path = folder / "a.txt.xz"
        path.write_bytes(inputs.huge_dictionary(inputs.PACKERS[".xz"](b"a text\n")))
        return lambda: list(read_lines(*find_sources((str(path),))))

    monkeypatch.setitem(fuzz.READERS, "xz", reader)
    row = fuzz.fuzz("xz", 1, seed=0, keep=tmp_path)
    assert (row.read, row.refused, row.findings) == (0, 1, [])


def test_a_wordpiece_tokenizer_with_settings_that_are_no_switches_is_refused():
    values = {
        "type": "wordpiece",
        "lower_case": "\ud800",
        "strip_accents": None,
        "split_chinese": True,
        "tokens": SPECIAL_TOKENS,
    }
    refused(
        lambda: tokenizer_from_bytes(json.dumps(values).encode(), "it"),
        "it",
        "neither true nor false",
    )


def test_a_sentencepiece_model_that_is_damaged_within_is_refused(tmp_path):
    model = inputs.tokenizer().to_bytes()
    piece = "▁the".encode()
    assert piece in model
    refused(
        lambda: tokenizer_from_bytes(model.replace(piece, b"\xff" * len(piece)), "it"),
        "it",
        "not all of its pieces are UTF-8",
    )
    # This adds a piece whose text is a number.
    strange = tokenizer_from_bytes(model + b"\x0a\x06\x0a\x02q~\x08\x01")
    refused(lambda: write_tokenizer(tmp_path, strange, 512), tmp_path, "is damaged")


# ---------------------------------------------------------------- weights


def test_a_tensor_that_is_larger_than_its_data_is_refused(tmp_path):
    torch.save({"word": torch.zeros(1).expand(1 << 40)}, tmp_path / "pytorch_model.bin")
    refused(lambda: read_weights(tmp_path), tmp_path, "not a dictionary of tensors")


def test_weights_that_unpack_to_more_than_the_file_are_refused(tmp_path):
    stored = io.BytesIO()
    torch.save({"word": torch.zeros(1_000)}, stored)
    with (
        zipfile.ZipFile(stored) as old,
        zipfile.ZipFile(tmp_path / "pytorch_model.bin", "w", zipfile.ZIP_DEFLATED) as new,
    ):
        for name in old.namelist():
            new.writestr(name, old.read(name))
    refused(lambda: read_weights(tmp_path), tmp_path, "more than the file has")


def changed(**parts):
    """A checkpoint with some parts replaced and a right checksum."""
    content = torch.load(io.BytesIO(inputs.checkpoints()[1]), weights_only=True)
    return {**content, **parts}


CONFIG = changed()["model_config"]
SETTINGS = changed()["settings"]


@pytest.mark.parametrize(
    "parts, match",
    [
        ({"format": torch.ones(2)}, "has format"),
        ({"kind": ["classifier"]}, "of kind"),
        ({"model": None}, "model missing"),
        ({"labels": [None, []]}, "labels missing"),
        ({"labels": []}, "labels missing"),
        ({"labels": ["a", "\ud800"]}, "labels missing"),
        ({"scale": "5"}, "scale missing"),
        ({"tokenizer": b"x"}, "tokenizer missing"),
        ({"tokenizer": torch.ones(9, dtype=torch.uint8)}, "not a SentencePiece model"),
        ({"settings": None}, "settings missing"),
        ({"settings": {**SETTINGS, "max_len": "8"}}, "max_len of a wrong kind"),
        ({"settings": {1: 2}}, "settings missing"),
        ({"settings": {**SETTINGS, "max_len": None}}, "max_len None"),
        ({"settings": {**SETTINGS, "truncate": "x"}}, "--truncate must be one of head, tail"),
        ({"model_config": {**CONFIG, "num_heads": 0}}, "num_heads 0 is not from 1"),
        ({"model_config": {**CONFIG, "num_layers": 10**400}}, "num_layers"),
        ({"model_config": {**CONFIG, "hidden_size": "12"}}, "hidden_size of a wrong kind"),
        ({"model_config": {**CONFIG, "dropout": float("nan")}}, "dropout nan"),
        ({"model_config": {**CONFIG, "special": [-1, 1, 2, 3, 4]}}, "special tokens"),
        ({"model_config": {**CONFIG, "initializer_range": 0}}, "initializer_range is 0"),
        ({"model_config": {**CONFIG, "vocab_size": 10}}, "do not go together"),
        (
            {"model_config": {**CONFIG, "intermediate_size": 1 << 24, "hidden_size": 1 << 24}},
            "the weights are not those",
        ),
        ({"model": {}}, "the weights are not those"),
    ],
)
def test_a_checkpoint_with_wrong_content_under_a_right_checksum_is_refused(
    parts, match, stopped, tmp_path
):
    write_sealed(tmp_path / "ckpt.pt", changed(**parts))
    stopped(
        program("predict").main,
        ["--ckpt", tmp_path / "ckpt.pt", "a film"],
        match,
        str(tmp_path / "ckpt.pt"),
    )


def test_fine_tuning_and_export_refuse_weights_that_are_not_those_of_their_settings(
    stopped, tmp_path
):
    content = torch.load(io.BytesIO(inputs.checkpoints()[0]), weights_only=True)
    content["model_config"]["num_layers"] = 2
    write_sealed(tmp_path / "ckpt.pt", content)
    said = f"{tmp_path / 'ckpt.pt'}: the weights are not those of its settings"
    sample = ROOT / "data" / "sample"
    stopped(
        finetune.main,
        ["--init", tmp_path / "ckpt.pt", "--data", sample / "sst2", "--out", tmp_path / "run"],
        said,
    )
    stopped(program("convert").main, ["export", tmp_path / "ckpt.pt", tmp_path / "out"], said)
    stopped(
        train.main,
        [
            "--init",
            tmp_path / "ckpt.pt",
            "--corpus",
            sample / "wiki.raw",
            "--seq-len",
            16,
            "--batch-tokens",
            64,
            "--cache",
            tmp_path / "cache",
            "--out",
            tmp_path / "run",
        ],
        said,
    )
    assert not (tmp_path / "run").exists() and not (tmp_path / "out").exists()


def test_heads_that_look_at_neighbours_are_checked_too(shape):
    config = shape(attention_init="neighbours")
    weights = build(config, 0.15).state_dict()
    check_weights(lambda shape: build(shape, 0.15), config, weights, "ckpt.pt")
    del weights["embeddings.norm.bias"]
    refused(
        lambda: check_weights(lambda shape: build(shape, 0.15), config, weights, "ckpt.pt"),
        "ckpt.pt",
        "norm.bias",
    )


def test_a_checkpoint_whose_pickle_breaks_the_reader_is_refused(tmp_path):
    data = bytearray(inputs.checkpoints()[0])
    at = data.index(b"\x80\x02")  # the start of the pickle
    data[at + 2 : at + 4] = b"ee"  # an opcode that pops from an empty stack
    (tmp_path / "ckpt.pt").write_bytes(inputs.sealed(bytes(data[:-73])))
    refused(lambda: load_checkpoint(tmp_path / "ckpt.pt", KINDS), tmp_path / "ckpt.pt")


# ---------------------------------------------------------------- archives


def tar_of(*members):
    """Bytes of a tar file with members (name, declared size, type, PAX headers, content)."""
    stored = b""
    for name, size, kind, headers, content in members:
        info = tarfile.TarInfo(name)
        info.size, info.type, info.pax_headers = size, kind, headers
        stored += (
            info.tobuf(tarfile.PAX_FORMAT if headers else tarfile.GNU_FORMAT)
            + content
            + bytes(-len(content) % 512)
        )
    return stored + bytes(1024)


@pytest.mark.parametrize(
    "member, match",
    [
        # tarfile would loop forever.
        (("SST-2", -512, tarfile.DIRTYPE, {}, b""), "damaged or incomplete"),
        # tarfile would read all of it at once.
        (
            ("x", 1 << 40, tarfile.GNUTYPE_LONGNAME, {}, b"x" * 512),
            "a header of 1,099,511,627,776",
        ),
        (("x", -512, tarfile.GNUTYPE_LONGNAME, {}, b"x"), "damaged or incomplete"),
        (("x", 1, tarfile.REGTYPE, {"GNU.sparse.size": "../x"}, b"x"), "damaged or incomplete"),
        (("d/" * 1_500 + "x", 0, tarfile.REGTYPE, {}, b""), "folders deep"),
    ],
)
def test_a_tar_with_absurd_headers_is_refused(member, match, stopped, tmp_path):
    (tmp_path / "a.tar").write_bytes(tar_of(member))
    stopped(
        program("download").main,
        ["sst2", "--from", tmp_path / "a.tar", "--to", tmp_path / "to"],
        match,
    )
    assert os.listdir(tmp_path / "to") == []


@pytest.mark.parametrize("name", ["a.zip", "a.tar.gz"])
def test_an_archive_that_is_made_to_fill_a_disk_is_refused(name, stopped, tmp_path, monkeypatch):
    monkeypatch.setattr(archives, "ALWAYS_ALLOWED", 1 << 20)
    if name == "a.zip":
        with zipfile.ZipFile(tmp_path / name, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("SST-2/train.tsv", bytes(1 << 23))
    else:
        member = ("SST-2/train.tsv", 1 << 23, tarfile.REGTYPE, {}, bytes(1 << 23))
        (tmp_path / name).write_bytes(inputs.PACKERS[".gz"](tar_of(member)))
    stopped(
        program("download").main,
        ["sst2", "--from", tmp_path / name, "--to", tmp_path / "to"],
        "200 times its size",
    )
    assert os.listdir(tmp_path / "to") == []


def test_a_zip_with_a_broken_directory_is_refused(stopped, tmp_path):
    stored = io.BytesIO()
    with zipfile.ZipFile(stored, "w") as archive:
        archive.writestr("ä", "x")
    whole = stored.getvalue()
    directory = whole.rindex(b"PK\1\2")
    for data in (
        whole.replace("ä".encode(), b"\xff\xfe"),
        whole[: directory + 28] + struct.pack("<H", 0) + whole[directory + 30 :],
        whole[: directory + 42] + b"\xff\xff\xff\x7f" + whole[directory + 46 :],
    ):
        (tmp_path / "a.zip").write_bytes(data)
        stopped(
            program("download").main,
            ["sst2", "--from", tmp_path / "a.zip", "--to", tmp_path / "to"],
            "damaged or incomplete",
        )


def test_an_archive_of_any_name_is_unpacked(tmp_path, capsys):
    archive = tmp_path / f"{HOSTILE}.zip"
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("SST-2/train.tsv", "x")
    assert (
        program("download").main(["sst2", "--from", str(archive), "--to", str(tmp_path / "to")])
        == 0
    )
    assert one_line(archive) in capsys.readouterr().out


@pytest.mark.parametrize(
    "changes, match",
    [
        ({"num_attention_heads": 7}, "hidden_size 12 does not divide by 7 heads"),
        ({"initializer_range": 0}, "initializer_range is 0"),
        ({"vocab_size": 3}, "more than the embedding's 3 rows"),
    ],
)
def test_a_released_shape_that_is_none_is_refused_with_its_folder(
    changes, match, stopped, tmp_path
):
    for name, data in inputs.exported().items():
        (tmp_path / name).write_bytes(data)
    config = json.loads(inputs.exported()["config.json"])
    (tmp_path / "config.json").write_text(json.dumps({**config, **changes}))
    stopped(
        program("convert").main,
        ["import", tmp_path, "--out", tmp_path / "out.pt"],
        match,
        str(tmp_path),
    )


def test_a_checkpoint_of_any_name_goes_out_and_in(tmp_path, capsys):
    folder = tmp_path / HOSTILE
    folder.mkdir()
    (folder / "ckpt.pt").write_bytes(inputs.checkpoints()[0])
    for arguments in (
        ["export", folder / "ckpt.pt", folder / "out"],
        ["import", folder / "out", "--out", folder / "in.pt"],
    ):
        assert exit_code(program("convert").main, arguments) == 0
        said = capsys.readouterr().out
        assert one_line(folder) in said and all(line.isprintable() for line in said.split("\n"))


# ---------------------------------------------------------------- texts, results


def test_the_view_of_a_text_does_not_act_on_the_terminal():
    said = mark_words([("a\x00\x1b[2J\x9b2J", 0.1), ("é漢", 0.9)], colour=False)
    assert said == r"a\x00\x1b[2J\x9b2J é漢⟨0.90⟩"


def test_results_of_any_name_are_compared(tmp_path, capsys):
    folder = tmp_path / HOSTILE
    folder.mkdir()
    result = {
        "task": "\x1b[31mred",
        "metric": "accuracy",
        "seeds": [{"seed": 1, "dev": 0.5}, {"seed": 2, "dev": 0.6}],
    }
    (folder / "result.json").write_text(json.dumps(result))
    for flags in ([], ["--json"]):
        assert (
            exit_code(
                program("significance").main,
                [folder / "result.json", folder / "result.json", "--samples", 100, *flags],
            )
            == 0
        )
        assert all(line.isprintable() for line in capsys.readouterr().out.split("\n"))


def test_a_report_takes_no_number_for_how_often_to_say_something(stopped, tmp_path):
    result = {
        "task": "x",
        "metric": "accuracy",
        "also": [],
        "labels": [],
        "regression": False,
        "best_seed": 1,
        "seconds": 1.0,
        "train_examples": 1,
        "settings": {"init": "none"},
        "seeds": [{"seed": 1, "dev": 0.5, "collapsed": 10**13, "retried": 10**13}],
    }
    (tmp_path / "result.json").write_text(json.dumps(result))
    assert exit_code(program("report").main, [tmp_path / "result.json"]) == 0
    assert (tmp_path / "report.html").read_text().count("tried twice") == 1


def test_a_report_draws_runs_that_go_far_back(tmp_path):
    results = inputs.comparison_of_models(random.Random(0))
    run = results["pretraining"][0]
    results["pretraining"] = [
        {**run, "name": f"run {i}", "init": f"run {i - 1}"} for i in range(1_200)
    ]
    (tmp_path / "results.json").write_text(json.dumps(results))
    assert exit_code(program("report").main, [tmp_path / "results.json"]) == 0
