"""Checkpoints load bit for bit, report any damaged byte and run no code; run folders lock."""

import errno
import hashlib
import json
import os
import pickle
import shutil
import struct
import subprocess
import sys
import threading
import zipfile
from dataclasses import dataclass, replace

import pytest
import torch

from electra.checkpoint import run_folder, storage
from electra.checkpoint.checkpoint import (
    FORMAT,
    KINDS,
    PRETRAINED,
    TrainingState,
    load_encoder,
    make_checkpoint,
    snapshot,
)
from electra.checkpoint.run_folder import RunFolder, link, load_newest
from electra.checkpoint.shrinking import shrink_checkpoint
from electra.checkpoint.storage import load_checkpoint, save_checkpoint, write_sealed
from electra.config import FinetuneConfig, Origin, PretrainConfig, from_dict
from electra.model.bert import BertMLM
from electra.model.build import with_weights
from electra.model.classifier import Classifier
from electra.model.electra import Electra


@pytest.fixture
def model(shape, tokenizer):
    torch.manual_seed(0)
    return Electra(shape(vocab_size=tokenizer.vocab_size))


@pytest.fixture
def checkpoint(model, tokenizer):
    training = TrainingState(
        step=3,
        optimizer={"exp_avg": [torch.randn(3), torch.tensor(float("inf"))]},
        seconds=1.5,
        stream={32: (1, 2)},
        window={"tokens": torch.tensor(5.0, dtype=torch.float64)},
    )
    return make_checkpoint(model, tokenizer, PretrainConfig(seed=7, lr=1e-3), training)


@pytest.fixture
def path(checkpoint, tmp_path):
    save_checkpoint(tmp_path / "ckpt.pt", checkpoint)
    return tmp_path / "ckpt.pt"


def sealed(data):
    """Bytes of a zip archive with the right checksum in its comment, as in a saved checkpoint."""
    comment = b"sha256:" + hashlib.sha256(data[:-2]).hexdigest().encode()
    return data[:-2] + struct.pack("<H", len(comment)) + comment


def refused(match, path, kinds=KINDS):
    with pytest.raises(ValueError, match=match) as caught:
        load_checkpoint(path, kinds)
    assert "\n" not in str(caught.value) and str(path) in str(caught.value)


def same(a, b):
    """Whether nested values are equal, tensors bitwise."""
    if isinstance(a, torch.Tensor):
        return (
            a.dtype == b.dtype and a.shape == b.shape and a.numpy().tobytes() == b.numpy().tobytes()
        )
    if isinstance(a, dict):
        return list(a) == list(b) and all(same(a[key], b[key]) for key in a)
    if isinstance(a, (list, tuple)):
        return type(a) is type(b) and len(a) == len(b) and all(map(same, a, b))
    return type(a) is type(b) and a == b


def plain(checkpoint):
    """Everything that a file holds of a checkpoint, as dictionaries."""
    content = checkpoint.to_dict()
    return {**content, "model": dict(content["model"])}


@pytest.mark.fast
def test_what_is_saved_comes_back_bitwise(checkpoint, path):
    found = load_checkpoint(path, PRETRAINED)
    assert same(plain(checkpoint), plain(found))
    assert (
        found.model_config == checkpoint.model_config
        and vars(found).keys() == vars(checkpoint).keys()
    )


@pytest.mark.fast
def test_the_origin_comes_back_and_counts_the_run(checkpoint, path):
    assert load_checkpoint(path, PRETRAINED).origin == Origin()
    checkpoint.origin = Origin(imported=True, tokens=100)
    checkpoint.settings["batch_tokens"] = 10
    save_checkpoint(path, checkpoint)
    found = load_checkpoint(path, PRETRAINED)
    assert (found.origin, found.origin_now()) == (Origin(True, 100), Origin(True, 130))
    found.training = None
    assert found.origin_now() == Origin(True, 100)


@pytest.mark.fast
def test_a_file_of_an_earlier_version_was_imported_where_it_read_no_corpus(model, tokenizer, path):
    for corpus, imported in (((), True), (("wiki.raw",), False)):
        save_checkpoint(path, make_checkpoint(model, tokenizer, PretrainConfig(corpus=corpus)))
        assert "origin" not in torch.load(path, weights_only=True)
        assert load_checkpoint(path, PRETRAINED).origin == Origin(imported)


@pytest.mark.fast
@pytest.mark.parametrize(
    "origin",
    [
        3,
        {},
        {"imported": True},
        {"imported": 1, "tokens": 0},
        {"imported": True, "tokens": -1},
        {"imported": True, "tokens": True},
        {"imported": True, "tokens": 0, "more": 0},
    ],
)
def test_an_origin_of_a_wrong_kind_is_refused(checkpoint, path, origin):
    write_sealed(path, {**checkpoint.to_dict(), "origin": origin})
    refused("origin missing or of a wrong kind", path)


@pytest.mark.fast
def test_the_keys_of_the_file_are_those_of_every_version(path):
    found = torch.load(path, weights_only=True)
    assert list(found) == [
        "format",
        "kind",
        "model",
        "model_config",
        "tokenizer",
        "labels",
        "pairs",
        "scale",
        "settings",
        "training",
    ]
    assert list(found["training"]) == [
        "step",
        "seconds",
        "corpus_tokens",
        "optimizer",
        "scale",
        "stream",
        "window",
        "places",
        "window_seconds",
        "fingerprints",
    ]


@dataclass
class LaterState(TrainingState):
    """The training state of a later version, with one more part."""

    tokens_seen: "int" = 5


def test_a_file_without_a_later_part_loads_with_its_default(checkpoint):
    old = checkpoint.training.to_dict()
    found = LaterState.from_dict(old)
    assert found.tokens_seen == 5 and same(found.to_dict(), {**old, "tokens_seen": 5})
    assert LaterState.from_dict({**old, "tokens_seen": 7}).tokens_seen == 7
    with pytest.raises(ValueError, match="tokens_seen missing or of a wrong kind"):
        LaterState.from_dict({**old, "tokens_seen": "many"})


def test_every_part_of_the_first_version_is_required(checkpoint):
    old = checkpoint.training.to_dict()
    del old["fingerprints"]  # a later part
    assert TrainingState.from_dict(old).fingerprints == {}
    for name in old:
        without = {other: value for other, value in old.items() if other != name}
        part = "padded_tokens" if name == "places" else name
        with pytest.raises(ValueError, match=f"training: {part} missing or of a wrong kind"):
            TrainingState.from_dict(without)


@pytest.mark.fast
def test_a_checkpoint_is_enough_to_rebuild_the_model(model, tokenizer, path):
    found = load_checkpoint(path, PRETRAINED)
    assert found.model_config == model.config
    assert found.tokenizer.fingerprint == tokenizer.fingerprint
    assert from_dict(PretrainConfig, found.settings) == PretrainConfig(seed=7, lr=1e-3)
    again = Electra(found.model_config)
    again.load_state_dict(found.model)
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), again.parameters()))


@pytest.mark.fast
def test_a_classifier_keeps_its_labels_and_has_no_training_state(shape, tokenizer, tmp_path):
    save_checkpoint(
        tmp_path / "c.pt",
        replace(
            make_checkpoint(
                Classifier(shape(vocab_size=tokenizer.vocab_size), 2),
                tokenizer,
                FinetuneConfig(seeds=(1, 2)),
            ),
            labels=("no", "yes"),
        ),
    )
    found = load_checkpoint(tmp_path / "c.pt", ("classifier",))
    assert found.labels == ("no", "yes") and found.training is None
    assert "training" not in torch.load(tmp_path / "c.pt", weights_only=True)
    assert from_dict(FinetuneConfig, found.settings).seeds == (1, 2)


@pytest.mark.fast
def test_any_program_that_reads_checkpoints_of_torch_reads_it(path):
    found = torch.load(path, weights_only=True)
    assert found["kind"] == "electra" and found["training"]["step"] == 3
    assert zipfile.ZipFile(path).testzip() is None


@pytest.mark.fast
def test_saving_twice_gives_the_same_bytes(checkpoint, path, tmp_path):
    (tmp_path / "other").mkdir()
    save_checkpoint(tmp_path / "other" / "ckpt.pt", checkpoint)
    assert (tmp_path / "other" / "ckpt.pt").read_bytes() == path.read_bytes()


@pytest.mark.fast
@pytest.mark.parametrize("share", [i / 20 for i in range(21)])
def test_one_changed_byte_is_noticed(path, share):
    data = bytearray(path.read_bytes())
    at = min(int(share * len(data)), len(data) - 1)
    data[at] ^= 0x20
    path.write_bytes(data)
    refused("checksum|not a checkpoint", path)


@pytest.mark.fast
@pytest.mark.parametrize("from_end", range(1, 100))
def test_one_changed_byte_at_the_end_is_noticed(path, from_end):
    data = bytearray(path.read_bytes())
    data[-from_end] ^= 1
    path.write_bytes(data)
    refused("checksum|not a checkpoint", path)


@pytest.mark.fast
@pytest.mark.parametrize("left", [0, 1, 70, 71, 72, 73, 0.5, 0.99, -1, -71, -73])
def test_a_file_that_was_cut_off_is_refused(path, left):
    data = path.read_bytes()
    path.write_bytes(data[: int(left * len(data)) if isinstance(left, float) else left])
    refused("cut off|checksum", path)


@pytest.mark.fast
def test_a_file_with_more_at_its_end_is_refused(path):
    path.write_bytes(path.read_bytes() + b"\0")
    refused("cut off", path)


class Hostile:
    """Unpickling this makes a file."""

    def __init__(self, target):
        self.target = target

    def __reduce__(self):
        return os.mkdir, (str(self.target),)


@pytest.mark.fast
@pytest.mark.parametrize("seal", [False, True])
def test_code_in_a_file_is_refused_and_not_run(tmp_path, checkpoint, seal):
    path, target = tmp_path / "ckpt.pt", tmp_path / "was-run"
    torch.save({**checkpoint.to_dict(), "labels": Hostile(target)}, path)
    if seal:
        path.write_bytes(sealed(path.read_bytes()))
    refused("not loaded" if seal else "not a checkpoint", path)
    assert not target.exists()
    torch.load(path, weights_only=False)  # here the code runs
    assert target.exists()


@pytest.mark.fast
@pytest.mark.parametrize("seal", [False, True])
def test_a_bare_pickle_is_refused_and_not_run(tmp_path, seal):
    path, target = tmp_path / "ckpt.pt", tmp_path / "was-run"
    data = pickle.dumps(Hostile(target), protocol=2) + b"\0\0"
    path.write_bytes(sealed(data) if seal else data)
    refused("not loaded" if seal else "not a checkpoint", path)
    assert not target.exists()


@pytest.mark.fast
def test_what_is_no_checkpoint_is_refused(tmp_path):
    for name, value in (("list.pt", [1, 2]), ("weights.pt", {"weight": torch.zeros(2)})):
        torch.save(value, tmp_path / name)
        refused("not a checkpoint", tmp_path / name)
        (tmp_path / name).write_bytes(sealed((tmp_path / name).read_bytes()))
        refused("not a checkpoint", tmp_path / name)
    (tmp_path / "text.pt").write_text("x" * 500)
    refused("not a checkpoint", tmp_path / "text.pt")
    refused("cannot read", tmp_path / "missing.pt")
    refused("cannot read", tmp_path)


@pytest.mark.fast
def test_another_kind_is_refused_by_name(path):
    refused("'electra'; classifier is needed", path, ("classifier",))


@pytest.mark.fast
@pytest.mark.parametrize("version", [FORMAT + 1, 0])
def test_another_format_is_refused_by_number(checkpoint, tmp_path, version):
    write_sealed(tmp_path / "c.pt", {**checkpoint.to_dict(), "format": version})
    refused(f"has format {version}.* reads format {FORMAT}", tmp_path / "c.pt")


@pytest.mark.fast
@pytest.mark.parametrize(
    "problem",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        RuntimeError("[enforce fail at inline_container.cc] . PytorchStreamWriter\nmore"),
    ],
)
def test_a_save_that_fails_leaves_the_old_file_and_nothing_else(
    checkpoint, path, monkeypatch, problem
):
    before = path.read_bytes()

    def fail(content, file):
        file.write(b"half")
        raise problem

    monkeypatch.setattr(torch, "save", fail)
    with pytest.raises(ValueError, match="cannot write the checkpoint") as caught:
        save_checkpoint(path, checkpoint)
    assert "\n" not in str(caught.value)
    assert path.read_bytes() == before and list(path.parent.iterdir()) == [path]


@pytest.mark.fast
@pytest.mark.parametrize("function", ["fsync", "replace"])
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EIO])
def test_a_disk_that_fails_late_leaves_the_old_file_and_nothing_else(
    checkpoint, path, monkeypatch, function, number
):
    before = path.read_bytes()

    def fail(*args):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, function, fail)
    with pytest.raises(
        ValueError, match=f"{path}: {os.strerror(number)}; the one before it is untouched"
    ):
        save_checkpoint(path, checkpoint)
    assert path.read_bytes() == before and list(path.parent.iterdir()) == [path]


@pytest.mark.fast
def test_the_reason_comes_through_the_writer_of_torch(checkpoint, path, monkeypatch):
    """After a failed write torch closes its archive, and a second error hides the first."""
    before = path.read_bytes()

    class Full:
        def __init__(self, name, mode):
            self.file = open(name, mode)

        def write(self, data):
            if self.file.tell() + len(data) > 20_000:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return self.file.write(data)

        def __getattr__(self, name):
            return getattr(self.file, name)

        def __enter__(self):
            return self

        def __exit__(self, *args):
            self.file.close()

    monkeypatch.setattr(storage, "open", Full, raising=False)
    with pytest.raises(ValueError, match="No space left on device; the one before it is untouched"):
        save_checkpoint(path, checkpoint)
    assert path.read_bytes() == before and list(path.parent.iterdir()) == [path]


@pytest.mark.fast
def test_a_snapshot_shares_nothing_with_what_it_was_taken_of(checkpoint):
    taken = snapshot(checkpoint)
    assert same(plain(checkpoint), plain(taken))
    for value in (*checkpoint.model.values(), *checkpoint.training.optimizer["exp_avg"]):
        value.add_(1)
    checkpoint.training.step = 4
    assert taken.training.step == 3
    assert not any(
        torch.equal(value, checkpoint.model[name]) for name, value in taken.model.items()
    )
    assert not same(checkpoint.training.optimizer, taken.training.optimizer)


@pytest.mark.fast
@pytest.mark.parametrize("make", [Electra, BertMLM])
def test_fine_tuning_starts_from_every_tensor_of_the_encoder(shape, tokenizer, tmp_path, make):
    torch.manual_seed(1)
    pretrained = make(shape(objective=make.kind, vocab_size=tokenizer.vocab_size))
    save_checkpoint(tmp_path / "c.pt", make_checkpoint(pretrained, tokenizer, PretrainConfig()))
    classifier = Classifier(replace(pretrained.config, dropout=0.1), 2)
    head = [p.clone() for p in classifier.head.parameters()]
    load_encoder(classifier, load_checkpoint(tmp_path / "c.pt", PRETRAINED))
    for mine, theirs in zip(classifier.encoder_state(), pretrained.encoder_state()):
        assert same(dict(mine.state_dict()), dict(theirs.state_dict()))
    assert all(torch.equal(a, b) for a, b in zip(head, classifier.head.parameters()))


@pytest.mark.fast
def test_an_encoder_with_a_tensor_missing_is_refused(shape, checkpoint):
    del checkpoint.model["discriminator.layers.1.up.bias"]
    with pytest.raises(RuntimeError, match="layers.1.up.bias"):
        load_encoder(Classifier(shape(vocab_size=1_000), 2), checkpoint)


@pytest.mark.fast
def test_a_link_is_the_same_file_and_replaces_what_is_there(tmp_path):
    source, target = tmp_path / "a", tmp_path / "b"
    source.write_text("new"), target.write_text("old")
    link(source, target)
    assert target.read_text() == "new" and target.stat().st_ino == source.stat().st_ino
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a", "b"]


@pytest.mark.fast
def test_a_file_system_without_links_gets_a_copy(tmp_path, monkeypatch):
    source = tmp_path / "a"
    source.write_text("new")

    def fail(*args):
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", fail)
    link(source, tmp_path / "b")
    assert (tmp_path / "b").read_text() == "new"


# --- the run folder ---


@pytest.mark.fast
def test_settings_may_name_a_file_whose_name_is_not_utf_8(tmp_path):
    folder = RunFolder(tmp_path / "run")
    for settings in ({"corpus": "日é"}, {"corpus": "caf\udce9"}):
        folder.write_json("config.json", settings)
        written = (tmp_path / "run" / "config.json").read_bytes()
        assert json.loads(written) == settings
    folder.close()


def test_a_folder_in_use_is_refused_and_free_when_closed(tmp_path):
    first = RunFolder(tmp_path / "run")
    with pytest.raises(ValueError, match="in use by another process"):
        RunFolder(tmp_path / "run")
    first.close()
    RunFolder(tmp_path / "run").close()


def test_the_lock_dies_with_its_process(tmp_path):
    code = (
        "from electra.checkpoint.run_folder import RunFolder; "
        f"folder = RunFolder({str(tmp_path / 'run')!r}); "
        "print('held', flush=True); input()"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=os.path.dirname(os.path.dirname(os.path.abspath(__file__))),
    )
    try:
        assert child.stdout.readline() == "held\n"
        with pytest.raises(ValueError, match="in use by another process"):
            RunFolder(tmp_path / "run")
    finally:
        child.kill()
        child.communicate()
    RunFolder(tmp_path / "run").close()


@pytest.mark.fast
@pytest.mark.parametrize(
    "config, way", [({"corpus": ["a"]}, "--resume"), ({"task": "sst2"}, "--force")]
)
def test_an_earlier_run_is_refused_with_the_way_on(tmp_path, config, way):
    first = RunFolder(tmp_path / "run")
    first.write_json("config.json", config)
    first.checkpoint.write_bytes(b"")
    first.close()
    with pytest.raises(ValueError, match=f"already there; .*{way}"):
        RunFolder(tmp_path / "run")
    RunFolder(tmp_path / "run", replace=True).close()


@pytest.mark.fast
def test_there_is_nothing_to_resume_without_a_checkpoint(tmp_path, checkpoint):
    with pytest.raises(ValueError, match="nothing to resume"):
        RunFolder(tmp_path / "run", resume=True)
    assert not (tmp_path / "run").exists()
    first = RunFolder(tmp_path / "run")
    first.write_json("config.json", {"corpus": []})
    first.save(checkpoint, 1, 1)
    first.close()  # waits for the save
    RunFolder(tmp_path / "run", resume=True).close()
    (tmp_path / "run" / "ckpt.pt").unlink()
    RunFolder(tmp_path / "run", resume=True).close()


@pytest.mark.fast
def test_a_folder_that_cannot_be_made_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match="cannot write in the run folder"):
        RunFolder(tmp_path / "file" / "run")


@pytest.fixture
def state(checkpoint):
    """state(step) -> a checkpoint of that step."""
    return lambda step: replace(checkpoint, training=replace(checkpoint.training, step=step))


def step_in(path):
    return load_checkpoint(path, PRETRAINED).training.step


@pytest.mark.fast
@pytest.mark.parametrize(
    "keep, expected",
    [
        (0, []),
        (1, [1000]),
        (2, [200, 1000]),
        (3, [30, 200, 1000]),
        (4, [4, 30, 200, 1000]),
        (9, [4, 30, 200, 1000]),
    ],
)
def test_the_newest_checkpoints_are_kept(tmp_path, keep, expected, state):
    folder = RunFolder(tmp_path / "run")
    for step in (4, 30, 200, 1000):
        folder.save(state(step), step, keep)
        assert folder.wait_for_save() is None and folder.saved_step == step
        assert step_in(folder.checkpoint) == step
    assert sorted(int(p.stem.split("-")[1]) for p in folder.path.glob("ckpt-*.pt")) == expected
    for step in expected:
        assert step_in(folder.path / f"ckpt-{step}.pt") == step
    assert {p.name for p in folder.path.iterdir()} == {
        ".lock",
        "ckpt.pt",
        *(f"ckpt-{step}.pt" for step in expected),
    }
    folder.close()


@pytest.mark.fast
def test_json_is_written_whole(tmp_path):
    folder = RunFolder(tmp_path / "run")
    folder.write_json("a.json", {"ä": [1, None]})
    assert json.loads((folder.path / "a.json").read_text(encoding="utf-8")) == {"ä": [1, None]}
    assert sorted(p.name for p in folder.path.iterdir()) == [".lock", "a.json"]
    folder.close()


@pytest.fixture
def folder(tmp_path):
    """A new run folder with its small files in it."""
    folder = RunFolder(tmp_path / "run")
    folder.write_json("config.json", {"seed": 1})
    folder.write("tokenizer.model", b"pieces")
    yield folder
    folder.close()


@pytest.mark.fast
def test_what_is_written_is_the_state_at_the_call(folder, checkpoint, monkeypatch):
    """Training changes the weights before the thread writes them."""
    expected, gone_on, real = snapshot(checkpoint), threading.Event(), save_checkpoint
    monkeypatch.setattr(storage, "save_checkpoint", lambda *args: gone_on.wait(10) and real(*args))
    folder.save(checkpoint, 3, 1)
    for value in checkpoint.model.values():
        value.zero_()
    checkpoint.training.optimizer["exp_avg"].clear()
    assert folder.wait_for_save(wait=False) is None and not folder.checkpoint.exists()
    gone_on.set()
    assert folder.wait_for_save() is None
    assert same(plain(expected), plain(load_checkpoint(folder.checkpoint, PRETRAINED)))


@pytest.mark.fast
def test_a_save_that_failed_is_told_once_and_the_next_one_works(folder, monkeypatch, state):
    folder.save(state(1), 1, 2)
    assert folder.wait_for_save() is None

    def full(*args):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        folder.save(state(2), 2, 2)
        assert "ckpt.pt: No space left on device" in folder.wait_for_save()
    assert folder.wait_for_save() is None and folder.saved_step == 1
    assert step_in(folder.checkpoint) == 1
    folder.save(state(3), 3, 2)
    assert folder.wait_for_save() is None
    assert sorted(run_folder.numbered(folder.path)) == [1, 3]


@pytest.mark.fast
def test_what_is_not_the_disks_fault_is_raised(folder, monkeypatch, state):
    def mistake(*args):
        raise TypeError("ours")

    monkeypatch.setattr(storage, "save_checkpoint", mistake)
    folder.save(state(1), 1, 2)
    with pytest.raises(TypeError, match="ours"):
        folder.wait_for_save()


@pytest.mark.fast
def test_a_file_that_cannot_be_linked_leaves_ckpt_pt_saved(folder, monkeypatch, state):
    (folder.path / "ckpt-5.pt").mkdir()  # a file cannot replace a folder
    folder.save(state(5), 5, 2)
    assert "cannot write in the run folder" in folder.wait_for_save()
    assert folder.saved_step == 5 and step_in(folder.checkpoint) == 5
    assert {p.name for p in folder.path.iterdir()} == {
        ".lock",
        "config.json",
        "tokenizer.model",
        "ckpt.pt",
        "ckpt-5.pt",
    }


@pytest.mark.fast
def test_a_removed_folder_is_made_again_and_is_still_held(folder, state):
    shutil.rmtree(folder.path)
    folder.save(state(1), 1, 1)
    assert folder.wait_for_save() is None
    assert {p.name for p in folder.path.iterdir()} == {
        ".lock",
        "config.json",
        "tokenizer.model",
        "ckpt.pt",
        "ckpt-1.pt",
    }
    assert json.loads((folder.path / "config.json").read_text()) == {"seed": 1}
    with pytest.raises(ValueError, match="in use by another process"):
        RunFolder(folder.path, resume=True)


@pytest.mark.fast
@pytest.mark.parametrize("held", [True, False])
def test_a_folder_that_has_become_another_runs_is_left_alone(folder, held, state):
    shutil.rmtree(folder.path)
    other = RunFolder(folder.path)
    other.write_json("config.json", {"seed": 2})
    if not held:
        other.close()
    for step in (1, 2):
        folder.save(state(step), step, 1)
        assert (
            "in use by another process" if held else "has become another run's"
        ) in folder.wait_for_save()
    assert {p.name for p in folder.path.iterdir()} == {".lock", "config.json"}
    assert json.loads((folder.path / "config.json").read_text()) == {"seed": 2}
    other.close()


@pytest.mark.fast
def test_halves_of_killed_writers_go_away_and_nothing_else(folder):
    path = folder.path
    folder.close()
    for name in (".ckpt.pt.123", ".ckpt-10.pt.4", ".metrics.99999", ".config.json.7"):
        (path / name).write_bytes(b"half")
    others = {".lock", ".notes", "ckpt-best.pt", "a.1", "config.json", "tokenizer.model"}
    for name in (".notes", "ckpt-best.pt", "a.1"):
        (path / name).write_bytes(b"the user's")
    with pytest.raises(ValueError, match="already there"):
        RunFolder(path)
    assert (path / ".ckpt.pt.123").exists()  # a refused start touches nothing
    RunFolder(path, replace=True).close()
    assert {p.name for p in path.iterdir()} == others


@pytest.mark.fast
def test_checkpoints_of_a_part_that_was_given_up_go_away(folder, state):
    for step in (10, 20, 30):
        folder.save(state(step), step, 3)
        assert folder.wait_for_save() is None
    folder.save(state(15), 15, 3)  # the run resumed from 10, as the later ones were damaged
    assert folder.wait_for_save() is None
    assert list(run_folder.numbered(folder.path)) == [15, 10]


@pytest.mark.fast
def test_the_newest_whole_checkpoint_is_found(folder, state):
    path = folder.path
    for step in (9, 10, 200):
        folder.save(state(step), step, 3)
        assert folder.wait_for_save() is None
    found = lambda: load_newest(path, PRETRAINED)
    assert found().checkpoint.training.step == 200 and found()[1:] == (path / "ckpt.pt", None)
    (path / "ckpt.pt").unlink()
    assert found().checkpoint.training.step == 200
    assert (
        found().warning
        == f"cannot read the checkpoint {path / 'ckpt.pt'}: No such file or directory; "
        f"going on from {path / 'ckpt-200.pt'} instead"
    )
    link(path / "ckpt-200.pt", path / "ckpt.pt")
    with open(path / "ckpt.pt", "r+b") as file:  # changes the file under both names
        file.seek(1000)
        file.write(b"\xff")
    earlier, read_from, said = found()
    assert earlier.training.step == 10 and read_from == path / "ckpt-10.pt" and "\n" not in said
    assert (
        said.startswith(f"the checkpoint {path / 'ckpt.pt'} is damaged")
        and "ckpt-10.pt instead" in said
    )
    (path / "ckpt-10.pt").write_bytes(b"")
    assert found().checkpoint.training.step == 9
    (path / "ckpt-9.pt").unlink()
    with pytest.raises(ValueError, match=f"{path / 'ckpt.pt'} is damaged"):
        found()


# ---------------------------------------------------------------- small checkpoints


def test_a_small_checkpoint_has_the_rounded_weights_and_no_training(path, tmp_path):
    before = load_checkpoint(path, PRETRAINED)
    said = shrink_checkpoint(path, tmp_path / "new" / "small.pt")
    small = load_checkpoint(tmp_path / "new" / "small.pt", PRETRAINED)
    assert small.training is None and small.origin == before.origin_now()
    assert small.tokenizer.to_bytes() == before.tokenizer.to_bytes()
    for name, value in before.model.items():
        assert small.model[name].dtype == torch.bfloat16
        torch.testing.assert_close(small.model[name].float(), value, rtol=2**-8, atol=0)
    assert (tmp_path / "new" / "small.pt").stat().st_size < path.stat().st_size
    assert said[1].startswith("  python scripts/predict.py --ckpt ")


def test_a_small_checkpoint_does_not_tell_the_folders_of_its_machine(checkpoint, tmp_path):
    checkpoint.settings |= {
        "corpus": ["/home/me/texts/wiki.raw", "data/reviews", "../mine/a.txt", "C:\\me\\b.txt"],
        "init": "~/start.pt",
        "out": "runs/mine",
        "valid": [],
        "text_field": "/text",  # a name, not a path
    }
    save_checkpoint(tmp_path / "ckpt.pt", checkpoint)
    shrink_checkpoint(tmp_path / "ckpt.pt", tmp_path / "small.pt")
    small = load_checkpoint(tmp_path / "small.pt", PRETRAINED).settings
    assert small["corpus"] == ["wiki.raw", "data/reviews", "a.txt", "b.txt"]
    assert small["init"] == "start.pt"
    changed = {name for name in small if small[name] != checkpoint.settings[name]}
    assert changed == {"corpus", "init"}


def test_a_small_checkpoint_is_one_to_start_from(path, model, tmp_path):
    shrink_checkpoint(path, tmp_path / "small.pt")
    small = load_checkpoint(tmp_path / "small.pt", PRETRAINED)
    start = with_weights(Electra, model.config, small.model, "small.pt")
    assert {value.dtype for value in start.state_dict().values()} == {torch.float32}
    classifier = Classifier(model.config, 2)
    load_encoder(classifier, small)
    expected = model.discriminator.layers[0].up.weight
    for found in (start.discriminator, classifier.encoder):
        torch.testing.assert_close(found.layers[0].up.weight, expected, rtol=2**-8, atol=0)


def test_a_checkpoint_is_not_made_small_over_another_file(path, tmp_path):
    (tmp_path / "small.pt").write_bytes(b"mine")
    with pytest.raises(ValueError, match="already there"):
        shrink_checkpoint(path, tmp_path / "small.pt")
    assert (tmp_path / "small.pt").read_bytes() == b"mine"


def test_weights_that_are_not_finite_are_not_passed_on(checkpoint, tmp_path):
    checkpoint.model["rtd_head.out.bias"] = torch.tensor([float("nan")])
    save_checkpoint(tmp_path / "ckpt.pt", checkpoint)
    with pytest.raises(ValueError, match="not finite"):
        shrink_checkpoint(tmp_path / "ckpt.pt", tmp_path / "small.pt")
    assert not (tmp_path / "small.pt").exists()
