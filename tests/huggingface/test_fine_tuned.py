"""Fine-tuned models out and back: classifiers of every kind, taggers and readers."""

import json
from dataclasses import replace

import pytest
import torch

from electra.checkpoint.storage import load_checkpoint, save_checkpoint
from electra.config import FinetuneConfig, to_dict
from electra.huggingface.safetensors import read_safetensors, write_safetensors
from huggingface.checks import loaded
from huggingface.conftest import load_script
from huggingface.released import random_batch

SETTINGS = FinetuneConfig(task="csv", max_len=32, truncate="tail", doc_stride=9)
TAGS = ("O", "B-PER", "I-PER")
COLOURS = ("red", "green", "blue")
# name -> (kind of checkpoint, labels, further parts)
KINDS = {
    "classes": ("classifier", COLOURS, {"pairs": True}),
    "regression": ("classifier", (), {"scale": 5.0}),
    "labels": ("classifier", COLOURS, {"thresholds": (0.5, 0.25, 0.75)}),
    "tags": ("tagger", TAGS, {}),
    "spans": ("reader", (), {"thresholds": (-1.5,)}),
}
ENCODERS = {
    "Electra": {"objective": "electra"},
    "Bert": {"objective": "mlm", "embedding_size": 24},
}
ENDINGS = {"tags": "ForTokenClassification", "spans": "ForQuestionAnswering"}


@pytest.fixture
def tuned(saved):
    """tuned(name of `KINDS`, encoder of `ENCODERS`, **more parts) -> a checkpoint."""

    def make(name, encoder="Electra", tokens="wordpiece", **more):
        kind, labels, parts = KINDS[name]
        parts = {"settings": SETTINGS, **parts, **more}
        return saved(kind, tokens, labels, parts=parts, pooling="cls", **ENCODERS[encoder])

    return make


def config_of(folder):
    return json.loads((folder / "config.json").read_text(encoding="utf-8"))


def change_config(folder, **changes):
    (folder / "config.json").write_text(json.dumps({**config_of(folder), **changes}))


def logits_of(path):
    checkpoint, model = loaded(path)
    with torch.no_grad():
        return (checkpoint.scale or 1) * model.logits(random_batch(200))


@pytest.mark.parametrize("encoder", ENCODERS)
@pytest.mark.parametrize("name", KINDS)
def test_a_fine_tuned_model_comes_back_and_goes_out_the_same(tuned, tmp_path, done, name, encoder):
    ours, folder, again = tuned(name, encoder), tmp_path / "exported", tmp_path / "again"
    done("export", ours, folder)
    assert config_of(folder)["architectures"] == [
        encoder + ENDINGS.get(name, "ForSequenceClassification")
    ]
    done("import", folder, "--out", tmp_path / "back.pt")
    done("export", tmp_path / "back.pt", again)
    for path in folder.iterdir():
        assert path.read_bytes() == (again / path.name).read_bytes(), path.name

    before, after = (
        load_checkpoint(path, (KINDS[name][0],)) for path in (ours, tmp_path / "back.pt")
    )
    kept = ("kind", "labels", "pairs", "thresholds")
    assert [getattr(after, part) for part in kept] == [getattr(before, part) for part in kept]
    assert after.scale == (None if before.scale is None else 1.0) and after.origin.imported
    changed = {part for part, value in after.settings.items() if value != before.settings[part]}
    assert changed == set()
    torch.testing.assert_close(logits_of(ours), logits_of(tmp_path / "back.pt"))


@pytest.mark.parametrize(
    "name, problem, labels",
    [
        ("classes", "single_label_classification", COLOURS),
        ("regression", "regression", ("value",)),
        ("labels", "multi_label_classification", COLOURS),
        ("tags", None, TAGS),
        ("spans", None, None),
    ],
)
def test_config_json_says_what_the_labels_are(tuned, tmp_path, done, name, problem, labels):
    done("export", tuned(name), tmp_path / "exported")
    values = config_of(tmp_path / "exported")
    assert values.get("problem_type") == problem
    if labels is not None:
        assert values["id2label"] == {str(i): label for i, label in enumerate(labels)}
        assert values["label2id"] == {label: i for i, label in enumerate(labels)}
    assert ("id2label" in values) == (labels is not None)
    parts = KINDS[name][2]
    assert values["fine_tuning"] == {
        **{"task": "csv", "max_len": 32, "truncate": "tail", "doc_stride": 9},
        **{"pairs": parts.get("pairs", False), "thresholds": list(parts.get("thresholds", ()))},
    }
    tokenizer = json.loads((tmp_path / "exported" / "tokenizer_config.json").read_text())
    assert (tokenizer["model_max_length"], tokenizer["truncation_side"]) == (32, "left")


@pytest.mark.parametrize(
    "name, more, parts",
    [
        ("classes", {}, ["text-classification", "truncation=True)", "text_pair", "red, green"]),
        ("regression", {}, ["top_k=None", "The score is the value itself"]),
        ("labels", {}, ["top_k=None", "red 0.5, green 0.25, blue 0.75"]),
        ("tags", {}, ["token-classification", 'aggregation_strategy="first"', "32 tokens"]),
        ("spans", {}, ["AutoModelForQuestionAnswering", "max_seq_len=32", "more than -1.5"]),
        ("classes", {"truncate": "head+tail"}, ["predict.py keeps the head and the tail"]),
        (
            "classes",
            {"truncate": "windows"},
            ["32 tokens predict.py averages"],
        ),
        ("classes", {"task": "imdb"}, ["Replace <br /> by a line break"]),
    ],
)
def test_an_export_says_how_the_model_is_used(tuned, tmp_path, done, name, more, parts):
    settings = replace(SETTINGS, **more)
    said = done("export", tuned(name, settings=settings), tmp_path / "exported")
    assert all(part in said for part in parts), said
    assert ("predict.py keeps" in said) == (settings.truncate == "head+tail")
    assert ("<br />" in said) == (settings.task == "imdb")


def test_a_checkpoint_of_an_earlier_version_is_exported_with_the_length_of_its_model(
    tuned, tmp_path, done
):
    path = tuned("classes")
    checkpoint = load_checkpoint(path, ("classifier",))
    settings = {key: checkpoint.settings[key] for key in ("task", "truncate")}
    save_checkpoint(path, replace(checkpoint, settings=settings))
    done("export", path, tmp_path / "exported")
    tokenizer = json.loads((tmp_path / "exported" / "tokenizer_config.json").read_text())
    assert tokenizer["model_max_length"] == 64
    done("import", tmp_path / "exported", "--out", tmp_path / "back.pt")
    assert load_checkpoint(tmp_path / "back.pt", ("classifier",)).settings["max_len"] == 64


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_fine_tuning_that_broke_down_is_not_exported(tuned, tmp_path, refused, value):
    path = tuned("classes")
    checkpoint = load_checkpoint(path, ("classifier",))
    checkpoint.model["head.out.bias"][0] = value
    save_checkpoint(path, checkpoint)
    refused([path, "not finite"], "export", path, tmp_path / "exported")


@pytest.mark.parametrize("name", ["classes", "tags"])
def test_an_encoder_is_imported_without_its_head_on_demand(tuned, tmp_path, done, name):
    ours, folder = tuned(name), tmp_path / "exported"
    done("export", ours, folder)
    said = done("import", folder, "--encoder-only", "--out", tmp_path / "back.pt")
    before, (after, _) = load_checkpoint(ours, (KINDS[name][0],)), loaded(tmp_path / "back.pt")
    assert after.kind == "electra" and "task head of the discriminator" in said
    taken = {key: value for key, value in before.model.items() if key.startswith("encoder.")}
    assert taken and all(
        torch.equal(after.model[key.replace("encoder.", "discriminator.", 1)], value)
        for key, value in taken.items()
    )


def test_predict_takes_an_imported_model(tuned, tmp_path, done, capsys):
    predict = load_script("predict")
    said = []
    done("export", tuned("labels", "Bert"), tmp_path / "exported")
    done("import", tmp_path / "exported", "--out", tmp_path / "back.pt")
    for path in ("x.pt", "back.pt"):
        assert predict.main(["--ckpt", str(tmp_path / path), "--amp", "off", "the stone"]) == 0
        said.append(json.loads(capsys.readouterr().out))
    assert said[0] == said[1] and set(said[0]["probabilities"]) == set(COLOURS)


@pytest.mark.parametrize(
    "name, changes, parts",
    [
        ("classes", {"id2label": {"0": "a", "1": "a", "2": "b"}}, "id2label"),
        ("classes", {"id2label": {"1": "a", "2": "b", "3": "c"}}, "id2label"),
        ("tags", {"id2label": {"0": "O", "1": 5, "2": "B-X"}}, "id2label"),
        ("tags", {"id2label": {"0": "O", "1": "a\nb", "2": "B-X"}}, "id2label"),
        ("tags", {"id2label": "O"}, "id2label"),
        ("tags", {"id2label": {"0": "O", "1": "B-X"}}, ["(3, 24)", "(2, 24)", "--encoder-only"]),
        ("regression", {"fine_tuning": [1]}, "not a JSON object"),
        ("classes", {"fine_tuning": {"thresholds": [0.5]}}, "1 thresholds, not 0"),
        ("labels", {"fine_tuning": {"thresholds": [0.5]}}, "1 thresholds, not 3"),
        ("spans", {"fine_tuning": {"thresholds": [0.5, 0.5]}}, "2 thresholds, not 1"),
        ("spans", {"fine_tuning": {"thresholds": [float("nan")]}}, "'thresholds' [nan]"),
        ("spans", {"fine_tuning": {"max_len": 7}}, "'max_len' 7"),
        ("spans", {"fine_tuning": {"max_len": True}}, "'max_len' True"),
        ("spans", {"fine_tuning": {"doc_stride": 0}}, "'doc_stride' 0"),
        ("classes", {"fine_tuning": {"truncate": ["head"]}}, "'truncate' ['head']"),
        ("classes", {"fine_tuning": {"task": "a\nb"}}, "'task'"),
        ("classes", {"fine_tuning": {"pairs": 1}}, "'pairs' 1"),
        ("classes", {"fine_tuning": {"unknown": 1}}, "'unknown' 1"),
    ],
)
def test_labels_and_settings_that_cannot_be_are_refused(
    tuned, tmp_path, done, refused, name, changes, parts
):
    folder = tmp_path / "exported"
    done("export", tuned(name), folder)
    change_config(folder, **changes)
    parts = [parts] if isinstance(parts, str) else parts
    refused([folder, *parts], "import", folder, "--out", tmp_path / "back.pt")


@pytest.mark.parametrize("name", ["tags", "spans"])
def test_a_folder_without_the_head_that_it_names_gives_its_encoder(tuned, tmp_path, done, name):
    folder = tmp_path / "exported"
    done("export", tuned(name), folder)
    tensors = read_safetensors(folder / "model.safetensors")
    kept = {key: value for key, value in tensors.items() if key.startswith("electra.")}
    write_safetensors(folder / "model.safetensors", kept)
    said = done("import", folder, "--out", tmp_path / "back.pt")
    assert said.startswith(f"only the encoder is read: the weights of a Electra{ENDINGS[name]}")
    assert loaded(tmp_path / "back.pt")[0].kind == "electra"


@pytest.mark.parametrize("value", [5, {}, [], [5], "ElectraForMaskedLM", None])
def test_architectures_that_say_nothing_leave_a_pre_trained_model(tuned, tmp_path, done, value):
    folder = tmp_path / "exported"
    done("export", tuned("tags"), folder)
    change_config(folder, architectures=value)
    said = done("import", folder, "--out", tmp_path / "back.pt")
    assert said.startswith("discriminator: ") and "task head of the discriminator" in said


def test_settings_of_models_that_were_fine_tuned_elsewhere_have_defaults(tuned, tmp_path, done):
    folder = tmp_path / "exported"
    done("export", tuned("tags"), folder)
    change_config(folder, fine_tuning={}, id2label=None)
    done("import", folder, "--out", tmp_path / "back.pt")
    checkpoint, _ = loaded(tmp_path / "back.pt")
    assert checkpoint.labels == ("LABEL_0", "LABEL_1", "LABEL_2")
    assert checkpoint.settings == to_dict(FinetuneConfig(task="conll", max_len=32))
