"""What released and re-saved folders carry or lack, in folders that transformers wrote."""

import json

import pytest
import torch

from electra.huggingface.safetensors import write_safetensors
from huggingface.checks import computed, loaded
from huggingface.released import random_batch, tensors_of
from huggingface.theirs import SMALL, assert_equal_to, shaken


@pytest.fixture
def their_model(transformers, vocabulary):
    """their_model(the name of a class, **changes of its settings) -> a model of theirs."""

    def make(name, **changes):
        kind = "Electra" if name.startswith("Electra") else "Bert"
        size = {"vocab_size": len(vocabulary), **SMALL, **changes}
        return shaken(
            getattr(transformers, name)(getattr(transformers, f"{kind}Config")(**size)).eval()
        )

    return make


@pytest.fixture
def imported(tmp_path, done):
    """imported(folder, flags …) -> (the model, the lines that were printed)."""

    def read(folder, *flags):
        said = done("import", folder, "--out", tmp_path / "x.pt", *flags)
        return loaded(tmp_path / "x.pt")[1], said.splitlines()

    return read


def left_out(lines):
    """The line about what was left out; there must be one."""
    (line,) = [line for line in lines if "left out" in line]
    return line


def change_config(folder, changes, drop=()):
    path = folder / "config.json"
    values = {**json.loads(path.read_text()), **changes}
    path.write_text(json.dumps({name: values[name] for name in values if name not in drop}))


@pytest.mark.parametrize("pickled", [False, True])
def test_a_folder_like_the_released_electra_base_is_read(
    transformers, their_model, theirs_in, imported, vocabulary, pickled
):
    theirs = their_model("ElectraForPreTraining", embedding_size=24)
    folder = theirs_in(theirs, "base", pickled)
    noise = {
        "electra.embeddings_project.weight": torch.randn(24, 24),
        "electra.embeddings_project.bias": torch.randn(24),
        "electra.embeddings.position_ids": torch.arange(64)[None],
    }
    if pickled:
        torch.save(theirs.state_dict() | noise, folder / "pytorch_model.bin")
    else:
        write_safetensors(
            folder / "model.safetensors",
            {**tensors_of(folder), **noise},
        )
    change_config(folder, {}, drop=("dtype", "transformers_version"))

    model, lines = imported(folder)
    reference = transformers.AutoModelForPreTraining.from_pretrained(folder).eval()
    assert assert_equal_to(reference, model, "discriminator", len(vocabulary))
    assert isinstance(model.discriminator.projection, torch.nn.Identity)
    said = left_out(lines)
    assert "unused projection of the discriminator (embeddings_project.bias" in said
    assert "position numbers of the discriminator (embeddings.position_ids)" in said


@pytest.mark.parametrize("pickled", [False, True])
def test_weights_in_parts_are_read(their_model, theirs_in, imported, vocabulary, pickled):
    theirs = their_model("ElectraForPreTraining", embedding_size=16)
    folder = theirs_in(theirs, "parts")
    (folder / "model.safetensors").unlink()
    if pickled:
        write_pickled_parts(folder, theirs.state_dict())
    else:
        theirs.save_pretrained(folder, max_shard_size="20KB")
    assert (
        len(list(folder.glob("*-0000?-of-*"))) > 2 and not (folder / "model.safetensors").exists()
    )
    model, _ = imported(folder)
    assert assert_equal_to(theirs, model, "discriminator", len(vocabulary))


def write_pickled_parts(folder, tensors):
    """As transformers wrote large models before safetensors."""
    names, places = sorted(tensors), {}
    for number in range(3):
        part = f"pytorch_model-{number + 1:05}-of-00003.bin"
        own = names[number::3]
        torch.save({name: tensors[name] for name in own}, folder / part)
        places |= dict.fromkeys(own, part)
    index = {"metadata": {"total_size": 0}, "weight_map": places}
    (folder / "pytorch_model.bin.index.json").write_text(json.dumps(index))


@pytest.mark.parametrize("wrapper", ["module.", "module._orig_mod."])
def test_names_of_a_wrapped_model_are_read(their_model, theirs_in, imported, vocabulary, wrapper):
    theirs = their_model("BertForMaskedLM")
    folder = theirs_in(theirs, "wrapped")
    write_safetensors(
        folder / "model.safetensors",
        {wrapper + name: tensor for name, tensor in tensors_of(folder).items()},
    )
    model, _ = imported(folder)
    assert assert_equal_to(theirs, model, "bert", len(vocabulary))


@pytest.mark.parametrize("architectures", [True, False])
@pytest.mark.parametrize(
    "name, network",
    [
        ("BertForMaskedLM", "bert"),
        ("BertModel", "bert"),
        ("ElectraForPreTraining", "discriminator"),
        ("ElectraForMaskedLM", "generator"),
    ],
)
def test_a_configuration_without_model_type_is_read(
    their_model, theirs_in, imported, vocabulary, name, network, architectures
):
    theirs = their_model(name, **({} if network == "bert" else {"embedding_size": 16}))
    folder = theirs_in(theirs, "old")
    change_config(folder, {}, ("model_type", *(() if architectures else ("architectures",))))
    model, lines = imported(folder)
    assert lines[0].startswith(f"{network}: ")
    has_head = assert_equal_to(theirs, model, network, len(vocabulary))
    assert has_head == (name != "BertModel")


def test_a_configuration_with_a_byte_order_mark_is_read(
    their_model, theirs_in, imported, vocabulary
):
    theirs = their_model("BertForMaskedLM")
    folder = theirs_in(theirs, "windows")
    path = folder / "config.json"
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    model, _ = imported(folder)
    assert assert_equal_to(theirs, model, "bert", len(vocabulary))


@pytest.mark.parametrize(
    "name, network", [("BertForMaskedLM", "bert"), ("ElectraModel", "discriminator")]
)
def test_one_segment_type_stands_for_both(
    their_model, theirs_in, imported, vocabulary, name, network
):
    theirs = their_model(name, type_vocab_size=1)
    model, lines = imported(theirs_in(theirs, "one"))
    assert sum("segments: the network knows one" in line for line in lines) == 1

    # Theirs has segment A alone; ours gives a pair's second text the same embedding.
    batch = random_batch(len(vocabulary))
    with torch.no_grad():
        expected = theirs(batch.input_ids, batch.attention_mask.long(), output_hidden_states=True)
    states, _ = computed(model, network, batch)
    assert batch.token_type_ids.any()
    for mine, other in zip(states, expected.hidden_states, strict=True):
        torch.testing.assert_close(mine, other, rtol=0, atol=1e-5)


FINE_TUNED = {
    f"{kind}For{task}": encoder_only
    for kind in ("Bert", "Electra")
    for task, encoder_only in (
        ("SequenceClassification", ()),
        ("TokenClassification", ("--encoder-only",)),
        ("QuestionAnswering", ("--encoder-only",)),
        ("MultipleChoice", ()),
    )
}


@pytest.mark.parametrize("name, flags", FINE_TUNED.items())
def test_a_head_that_no_model_here_has_is_left_out(
    their_model, theirs_in, imported, vocabulary, name, flags
):
    theirs = their_model(name)
    network = "bert" if name.startswith("Bert") else "discriminator"
    model, lines = imported(theirs_in(theirs, "tuned"), *flags)
    assert not assert_equal_to(theirs.base_model, model, network, len(vocabulary))
    assert f"task head of the {network} (" in left_out(lines)
    if name.endswith("ForSequenceClassification"):
        assert lines.pop(0).startswith(f"only the encoder is read: a {name} reads [CLS] through")
    assert "it came without its head" in lines[0]


def test_what_an_old_bert_carries_is_left_out_in_one_line(
    their_model, theirs_in, imported, vocabulary
):
    theirs = their_model("BertForPreTraining")
    folder = theirs_in(theirs, "old", pickled=True)
    tensors = torch.load(folder / "pytorch_model.bin")
    word = "bert.embeddings.word_embeddings.weight"
    optimizer = {f"{word}.{part}": torch.ones_like(tensors[word]) for part in ("adam_m", "adam_v")}
    torch.save(
        {
            **tensors,
            **optimizer,
            "bert.embeddings.position_ids": torch.arange(64)[None],
            "optimizer": {"state": {0: torch.ones(2)}, "param_groups": [{"lr": 1e-4}]},
            "global_step": 7,
        },
        folder / "pytorch_model.bin",
    )
    model, lines = imported(folder)
    assert assert_equal_to(theirs, model, "bert", len(vocabulary))
    said = left_out(lines)
    for part in (
        "repetition of a tied tensor of the bert (cls.predictions.decoder.weight, "
        "cls.predictions.decoder.bias)",
        "position numbers of the bert (embeddings.position_ids)",
        "pooler of the bert (pooler.dense.bias, pooler.dense.weight)",
        "next-sentence head of the bert (cls.seq_relationship.bias, cls.seq_relationship.weight)",
        "optimizer state of the bert (",
    ):
        assert part in said, said
