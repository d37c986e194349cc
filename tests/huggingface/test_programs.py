"""The other programs on an imported checkpoint: pre-training, fine-tuning, prediction, export."""

import json

import pytest

import finetune
import train
from electra.config import Origin
from electra.inference import replaced
from electra.model import masking
from electra.training import kinds_of_texts
from huggingface.checks import assert_encoder_and_head, loaded
from huggingface.conftest import SAMPLE, load_script

predict = load_script("predict")


@pytest.fixture
def cache(tmp_path_factory):
    return tmp_path_factory.getbasetemp() / "convert-cache"


@pytest.fixture
def imported(folder_of, tmp_path, done, vocabulary):
    """imported(objective) -> a checkpoint with BERT's special ids and unused rows of embeddings."""

    def make(objective):
        rows = {"vocab_size": len(vocabulary) + 9}
        folders = (
            [folder_of("bert", **rows)]
            if objective == "mlm"
            else [folder_of(network, **rows) for network in ("discriminator", "generator")]
        )
        done("import", *folders, "--out", tmp_path / "imported.pt")
        return tmp_path / "imported.pt"

    return make


def spy(monkeypatch, module, name, keep):
    """Let `keep` see the arguments and the result of every call of a function."""
    real = getattr(module, name)

    def call(*arguments, **more):
        result = real(*arguments, **more)
        keep(arguments, result)
        return result

    monkeypatch.setattr(module, name, call)


def assert_framed(batch):
    """Each row is [CLS] … [SEP] (101, 102) and then 0, with no other special id of BERT in it."""
    for row, ids in enumerate(batch.input_ids):
        length = len(ids) if batch.attention_mask is None else int(batch.attention_mask[row].sum())
        assert (int(ids[0]), int(ids[length - 1])) == (101, 102) and not ids[length:].any()
        inside = ids[1 : length - 1]
        assert 0 not in inside and 101 not in inside and 103 not in inside and (inside >= 100).all()


def run(main, flags):
    assert main(flags.split()) == 0


@pytest.mark.parametrize("objective", ["electra", "mlm"])
def test_an_imported_checkpoint_trains_fine_tunes_and_predicts(
    imported, tmp_path, cache, monkeypatch, capsys, objective
):
    start = imported(objective)
    assert_pre_trains(start, cache, tmp_path / "run", monkeypatch)
    assert_fine_tunes(tmp_path / "run" / "ckpt.pt", tmp_path / "tuned", monkeypatch)

    run(train.main, f"--out {tmp_path / 'run'} --resume")
    (pretrained, _), (tuned, _) = loaded(tmp_path / "run" / "ckpt.pt"), loaded(tmp_path / "tuned")
    assert (pretrained.origin, tuned.origin) == (Origin(True, 0), Origin(True, 3 * 512))

    asked = []
    spy(monkeypatch, replaced, "example_ids", lambda _, result: asked.append(result[0]))
    spy(
        monkeypatch,
        kinds_of_texts,
        "encode_examples",
        lambda _, result: asked.append(result.ids[0]),
    )
    capsys.readouterr()
    path = tmp_path / ("run" if objective == "electra" else "tuned") / "ckpt.pt"
    assert predict.main(["--ckpt", str(path), "--amp", "off", "The water, and the stone"]) == 0
    said = json.loads(capsys.readouterr().out)
    tokenizer = loaded(start)[0].tokenizer
    assert asked == [[101, *tokenizer.encode_batch(["The water, and the stone"])[0], 102]]
    if objective == "electra":
        words = [word["word"] for word in said["words"]]
        assert words == ["the", "water", ",", "and", "the", "stone"]
    else:
        assert set(said["probabilities"]) == {"negative", "positive"}


def assert_pre_trains(start, cache, out, monkeypatch):
    batches, masked = [], []
    with monkeypatch.context() as patch:
        spy(patch, train, "train_step", lambda arguments, result: batches.extend(arguments[1]))
        spy(patch, masking, "mask", lambda arguments, result: masked.append(result))
        run(
            train.main,
            f"--init {start} --corpus {SAMPLE / 'wiki.raw'} --steps 3 --seq-len 32 --amp off "
            f"--batch-tokens 512 --cache {cache} --out {out} --save-every 2",
        )
    assert len(batches) == 3
    for batch in batches:
        assert_framed(batch)
    for result in masked:
        chosen = result.input_ids.gather(1, result.positions)[result.weights.bool()]
        assert (chosen == 103).float().mean() > 0.6 and not (chosen < 100).logical_and(
            chosen == result.targets[result.weights.bool()]
        ).any()
        assert not set(result.targets[result.weights.bool()].tolist()) & {0, 101, 102, 103}


def assert_fine_tunes(start, out, monkeypatch):
    batches = []
    with monkeypatch.context() as patch:
        spy(patch, finetune, "train_step", lambda arguments, result: batches.extend(arguments[1]))
        run(
            finetune.main,
            f"--task sst2 --data {SAMPLE / 'sst2'} --init {start} --epochs 0.2 --max-len 24 "
            f"--amp off --train-examples 96 --out {out}",
        )
    assert len(batches) >= 1
    for batch in batches:
        assert_framed(batch)


def test_a_word_that_the_vocabulary_lacks_is_a_word_in_the_view(imported, capsys):
    path = str(imported("electra"))
    assert predict.main(["--ckpt", path, "--amp", "off", "the 漢字 stone 漢"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert [word["word"] for word in said["words"]] == ["the", "[UNK]", "[UNK]", "stone", "[UNK]"]


def test_a_resumed_run_keeps_the_dropout_that_was_imported(imported, tmp_path, cache):
    out = tmp_path / "run"
    run(
        train.main,
        f"--init {imported('electra')} --corpus {SAMPLE / 'wiki.raw'} --steps 2 --seq-len 16 "
        f"--batch-tokens 256 --cache {cache} --out {out}",
    )
    before = loaded(out / "ckpt.pt")[0].model_config
    run(train.main, f"--out {out} --resume")
    after = loaded(out / "ckpt.pt")[0].model_config
    assert (before.dropout, before.attention_dropout) == (0.1, 0.0) and after == before


def test_a_fine_tuned_import_can_be_exported(imported, tmp_path, done):
    tuned = tmp_path / "tuned"
    run(
        finetune.main,
        f"--task sst2 --data {SAMPLE / 'sst2'} --init {imported('electra')} --epochs 0.1 "
        f"--max-len 16 --amp off --pooling mean --out {tuned}",
    )
    done("export", tuned / "ckpt.pt", tmp_path / "exported")
    assert_encoder_and_head(tuned / "ckpt.pt", tmp_path / "exported", "mean")
