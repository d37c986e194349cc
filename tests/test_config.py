"""Settings: nothing is dropped in silence, and the command line says what the dataclass says."""

from __future__ import annotations

import dataclasses
import json
import math
import re
from dataclasses import dataclass

import pytest
from conftest import ROOT

from electra.cli import parse, reference
from electra.config import (
    SIZES,
    SPECIAL_IDS,
    Bounds,
    FinetuneConfig,
    ModelConfig,
    Origin,
    Phase,
    PretrainConfig,
    Settings,
    check_objective_flags,
    check_pretrain_flags,
    chosen_model_config,
    from_dict,
    nearest_size,
    option,
    parse_phases,
    preset_model_config,
    resolve_finetuning,
    resolve_pretraining,
    resolve_steps,
    start_name,
    to_dict,
)

pytestmark = pytest.mark.fast

COMMANDS = [(PretrainConfig, "train.py"), (FinetuneConfig, "finetune.py")]


def read(config_class, *argv, **settings):
    return parse(config_class, "program", "What it does.", list(argv), **settings)


def help_of(config_class, capsys):
    """Flag -> what --help says of it, in one line."""
    with pytest.raises(SystemExit) as stopped:
        read(config_class, "--help")
    assert stopped.value.code == 0
    text = capsys.readouterr().out
    pieces = re.split(r"^  (?:-h, )?(--[a-z0-9-]+)", text, flags=re.MULTILINE)
    return {flag: " ".join(rest.split()) for flag, rest in zip(pieces[1::2], pieces[2::2])}


@pytest.mark.parametrize(
    "config",
    [
        PretrainConfig(corpus=("a", "b"), seed=3, lr=1e-3),
        FinetuneConfig(seeds=(1, 2)),
        preset_model_config("small", "electra", 1_000),
        preset_model_config("tiny", "mlm", 1_000, dropout=0.3),
    ],
)
def test_a_config_survives_the_trip_through_a_dictionary(config):
    values = to_dict(config)
    assert from_dict(type(config), values) == config
    assert not any(
        isinstance(value, tuple) for value in values.values()
    )  # JSON and weights_only have lists


def test_unknown_and_missing_keys_raise_by_name():
    values = to_dict(preset_model_config("small", "electra", 1_000))
    with pytest.raises(ValueError, match="hiden_size"):
        from_dict(ModelConfig, {**values, "hiden_size": 3})
    del values["num_layers"]
    with pytest.raises(ValueError, match="num_layers"):
        from_dict(ModelConfig, values)


@pytest.mark.parametrize(
    "change",
    [{"objective": "gan"}, {"num_heads": 5}, {"generator_num_heads": 5}, {"pooling": "max"}],
)
def test_a_shape_that_makes_no_model_raises(shape, change):
    with pytest.raises(ValueError, match=str(list(change.values())[0])):
        shape(**change)


def test_the_generator_of_a_shape_shares_everything_but_its_four_sizes(shape):
    full, generator = shape(), shape().generator()
    sizes = ("hidden_size", "num_layers", "num_heads", "intermediate_size")
    assert [getattr(generator, name) for name in sizes] == [
        getattr(full, "generator_" + name) for name in sizes
    ]
    assert dataclasses.replace(generator, **{name: getattr(full, name) for name in sizes}) == full


@pytest.mark.parametrize("size", SIZES)
def test_a_preset_is_nearest_to_itself_and_bert_has_the_same_encoder(size):
    electra, bert = (
        preset_model_config(size, objective, 1_000) for objective in ("electra", "mlm")
    )
    assert nearest_size(electra) == size
    assert dataclasses.replace(bert, objective="electra") == electra


def test_paper_shapes_are_those_of_table_6():
    def row(name):
        m = SIZES[name].model
        return (
            m["num_layers"],
            m["hidden_size"],
            m["intermediate_size"],
            m["num_heads"],
            m["embedding_size"],
            m["generator_hidden_size"] / m["hidden_size"],
            SIZES[name].mask_prob,
            SIZES[name].lr,
        )

    assert row("small") == (12, 256, 1024, 4, 128, 1 / 4, 0.15, 5e-4)
    assert row("base") == (12, 768, 3072, 12, 768, 1 / 3, 0.15, 2e-4)
    assert row("large") == (24, 1024, 4096, 16, 1024, 1 / 4, 0.25, 2e-4)


def test_phases_end_where_their_shares_add_up():
    assert parse_phases(128, None, 512) == (Phase(128, 1.0),)
    assert parse_phases(64, "128:1", 512) == (Phase(128, 1.0),)
    first, second, third = parse_phases(64, "32:0.5,128:0.4,512:0.1", 512)
    assert (first.seq_len, second.seq_len, third.seq_len) == (32, 128, 512)
    assert (first.end, second.end, third.end) == pytest.approx((0.5, 0.9, 1.0))
    assert third.end == 1.0


@pytest.mark.parametrize(
    "phases",
    [
        "128",
        "128:0.9;512:0.1",
        "128:a",
        "a:1",
        "1.5:1",
        "128:0.9,512",
        "",
        "128:0.5",
        "128:0.9,512:0.2",
        "128:1.5,512:-0.5",
        "128:0,512:1",
        "513:1",
        "7:1",
        "128:0.9,1024:0.1",
        "128:nan",
        "128:0.9,512:nan",
        "128:inf",
    ],
)
def test_phases_that_cannot_be_trained_raise(phases):
    with pytest.raises(ValueError) as caught:
        parse_phases(128, phases, 512)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("seq_len", [513, 7, 0, -128])
def test_a_length_beyond_the_positions_raises(seq_len):
    with pytest.raises(ValueError, match=str(seq_len)):
        parse_phases(seq_len, None, 512)


@pytest.mark.parametrize("config_class, program", COMMANDS)
def test_no_arguments_give_the_defaults(config_class, program):
    config, given = read(config_class)
    assert config == config_class() and given == set()


@pytest.mark.parametrize("config_class, program", COMMANDS)
def test_help_tells_every_field_and_every_default(config_class, program, capsys):
    found = help_of(config_class, capsys)
    assert set(found) - {"--help"} == {
        "--" + item.name.replace("_", "-") for item in dataclasses.fields(config_class)
    }
    for item in dataclasses.fields(config_class):
        said = found["--" + item.name.replace("_", "-")]
        if item.default not in (None, False, ()):
            shown = (
                ",".join(map(str, item.default))
                if isinstance(item.default, tuple)
                else str(item.default)
            )
            assert f"(default: {shown})" in said, item.name
        elif "default" in item.metadata["help"]:  # what None stands for
            assert re.search(r"\(default: .", said), item.name
        for choice in item.metadata["choices"] or ():
            assert choice in said, (item.name, choice)
        assert "%%" not in said and len(said.split()) > 2, item.name


def test_a_field_becomes_a_flag_of_its_type():
    config, given = read(
        PretrainConfig,
        "--corpus",
        "a",
        "b",
        "--steps",
        "7",
        "--minutes",
        "1.5",
        "--cased",
        "--seq-len",
        "64",
    )
    assert config == PretrainConfig(corpus=("a", "b"), steps=7, minutes=1.5, cased=True, seq_len=64)
    assert given == {"corpus", "steps", "minutes", "cased", "seq_len"}


def test_a_flag_counts_as_given_even_with_its_default():
    config, given = read(PretrainConfig, "--seed", "0")
    assert config == PretrainConfig() and given == {"seed"}


@pytest.mark.parametrize(
    "argv, seeds",
    [(["1"], (1,)), (["1,2,3"], (1, 2, 3)), (["1", "2", "3"], (1, 2, 3)), (["1,", "2"], (1, 2))],
)
def test_seeds_come_with_commas_or_spaces(argv, seeds):
    assert read(FinetuneConfig, "--seeds", *argv)[0].seeds == seeds


def test_names_with_commas_stay_whole_in_lists_of_text():
    assert read(PretrainConfig, "--corpus", "a,b.txt")[0].corpus == ("a,b.txt",)


def test_given_defaults_take_the_place_of_the_fields():
    config, given = read(PretrainConfig, "--seed", "4", defaults={"steps": 11, "seed": 3})
    assert (config.steps, config.seed, given) == (11, 4, {"seed"})


@pytest.mark.parametrize(
    "argv",
    [
        ["--seq", "64"],
        ["--seq_len", "64"],
        ["--steps", "many"],
        ["--steps"],
        ["--size", "huge"],
        ["stray"],
    ],
)
def test_what_is_not_a_flag_exits_with_2_and_one_line(argv, capsys):
    with pytest.raises(SystemExit) as stopped:
        read(PretrainConfig, *argv)
    out, err = capsys.readouterr()
    assert stopped.value.code == 2 and not out
    assert err.count("\n") == 1 and err.startswith("program: error: ")


def test_a_seed_that_is_no_number_exits_with_2(capsys):
    with pytest.raises(SystemExit) as stopped:
        read(FinetuneConfig, "--seeds", "1,x")
    assert stopped.value.code == 2 and "1,x" in capsys.readouterr().err


@dataclass(frozen=True)
class _Toy:
    name: str = option("x", "toys", "what it is called")
    sizes: tuple[int, ...] = option((1, 2), "toys", "how large")


def test_a_new_field_is_a_flag_without_more_ado(capsys):
    assert read(_Toy, "--sizes", "3,4", "--name", "y")[0] == _Toy("y", (3, 4))
    found = help_of(_Toy, capsys)
    assert "(default: 1,2)" in found["--sizes"] and "(default: x)" in found["--name"]


# ---------------------------------------------------------------- bounds


@pytest.mark.parametrize(
    "bounds, inside, outside, said",
    [
        ({"above": 0}, (1e-9, 1, 10**400), (0, -1, math.nan, math.inf), "above 0"),
        ({"above": 0, "at_most": math.inf}, (1, math.inf), (0, -math.inf, math.nan), "above 0"),
        ({"at_least": 8}, (8, 9.5), (7, math.nan), "8 or more"),
        ({"at_least": 0, "below": 1}, (0, 0.999), (1, -0.1, math.inf), "from 0 to below 1"),
        ({"at_least": 0, "at_most": 1}, (0, 1), (1.1, -1), "from 0 to 1"),
        ({"above": 0, "at_most": 10_000}, (10_000,), (0, 10_001), "above 0 and at most 10,000"),
        ({"above": 0, "below": 1}, (0.5,), (0, 1), "above 0 and below 1"),
        ({}, (-5, 0.5), (math.nan, math.inf, -math.inf), ""),
    ],
)
def test_bounds_allow_what_they_say(bounds, inside, outside, said):
    bounds = Bounds(**bounds)
    assert all(map(bounds.allow, inside)) and not any(map(bounds.allow, outside))
    assert str(bounds) == said


@dataclass(frozen=True)
class _Bounded(Settings):
    rate: float | None = option(None, "g", "x", above=0)
    counts: tuple[int, ...] = option((), "g", "x", at_least=1)
    how: str = option("a", "g", "x", ("a", "b"))
    on: bool = option(False, "g", "x")


@pytest.mark.parametrize(
    "values, message",
    [
        ({"rate": -1.0}, "--rate must be above 0, not -1.0"),
        ({"rate": math.inf}, "--rate must be finite, not inf"),
        ({"rate": math.nan}, "--rate must be above 0, not nan"),
        ({"counts": (2, 0)}, "--counts must be 1 or more, not 0"),
        ({"how": "c"}, "--how must be one of a, b, not c"),
    ],
)
def test_a_value_out_of_bounds_is_refused_wherever_it_comes_from(values, message):
    found = []
    for make in (
        lambda: _Bounded(**values),
        lambda: from_dict(_Bounded, values),
        lambda: dataclasses.replace(_Bounded(), **values),
    ):
        with pytest.raises(ValueError) as caught:
            make()
        found.append(str(caught.value))
    assert found == [message] * 3


def test_a_value_out_of_bounds_is_refused_on_the_command_line():
    with pytest.raises(ValueError, match="--rate must be above 0, not 0.0"):
        read(_Bounded, "--rate", "0")
    assert read(_Bounded, "--rate", "2", "--on")[0] == _Bounded(rate=2.0, on=True)


@pytest.mark.parametrize("config_class, program", COMMANDS)
def test_every_number_that_is_a_setting_is_bounded_by_zero(config_class, program):
    """But those whose bounds only the data or the model knows."""
    free = {"vocab_size", "seq_len", "train_examples"}
    for item in dataclasses.fields(config_class):
        if re.search("int|float", str(item.type)) and item.name not in free:
            assert not item.metadata["bounds"].allow(-1), item.name


# ---------------------------------------------------------------- what the user leaves open


def test_pretraining_takes_what_is_open_from_the_size_and_the_model():
    shape = preset_model_config("base", "mlm", 1_000)
    found = resolve_pretraining(PretrainConfig(corpus=("a/b.txt",), size="base"), shape)
    base = SIZES["base"]
    assert (found.lr, found.steps, found.batch_tokens) == (
        base.mlm_lr,
        base.steps,
        base.batch_tokens,
    )
    assert (found.dropout, found.attention_init, found.out) == (0.1, "usual", "runs/b-base-mlm")
    assert resolve_pretraining(found, shape) == found


def test_pretraining_keeps_what_is_given():
    mine = PretrainConfig(size="tiny", lr=3.0, minutes=2.0, batch_tokens=5, out="x")
    found = resolve_pretraining(mine, preset_model_config("tiny", "electra", 1_000))
    assert (found.lr, found.steps, found.minutes, found.batch_tokens, found.out) == (
        3.0,
        None,
        2.0,
        5,
        "x",
    )


def test_from_a_checkpoint_the_size_is_the_models_and_the_rate_gentler():
    shape = preset_model_config("large", "electra", 1_000)
    found = resolve_pretraining(PretrainConfig(init="x.pt"), shape)
    assert (found.size, found.lr) == ("large", SIZES["large"].continue_lr)


@pytest.mark.parametrize(
    "config, steps, warmup",
    [
        (PretrainConfig(size="small", steps=1_000_000), 1_000_000, 10_000),
        (PretrainConfig(size="small", steps=50), 50, 5),
        (PretrainConfig(size="small", epochs=0.5), 35, 3),
        (PretrainConfig(size="small", epochs=1e-9), 1, 0),
        (PretrainConfig(size="small", minutes=1.0), None, 10_000),
        (PretrainConfig(size="small", steps=50, warmup_steps=0), 50, 0),
    ],
)
def test_steps_come_from_epochs_and_the_warm_up_is_a_tenth_at_most(config, steps, warmup):
    found = resolve_steps(config, lambda: 70.0)
    assert (found.steps, found.warmup_steps) == (steps, warmup)
    assert resolve_steps(found, lambda: 1 / 0) == found  # nothing is open any more


@pytest.mark.parametrize(
    ("init", "name"),
    [
        ("runs/wiki/ckpt.pt", "wiki"),
        ("runs/wiki/ckpt-3000.pt", "wiki"),
        ("data/pretrained/tiny-en.pt", "tiny-en"),
        ("minilm.pt", "minilm"),
        ("none", "random"),
    ],
)
def test_runs_are_named_after_the_weights_that_they_start_from(init, name):
    assert start_name(init) == name


def test_finetuning_takes_what_is_open_from_the_task_and_the_size():
    shape = preset_model_config("base", "mlm", 1_000)
    found = resolve_finetuning(
        FinetuneConfig(init="a/run/ckpt.pt"), shape, Origin(), "rte", 10.0, 128
    )
    base = SIZES["base"]
    assert (found.task, found.size, found.epochs, found.max_len) == ("rte", "base", 10.0, 128)
    assert (found.lr, found.layer_decay, found.pooling) == (base.finetune_lr, 0.8, "cls")
    assert found.out == "runs/rte-run"
    mine = FinetuneConfig(size="small", lr=1.0, epochs=2.0, max_len=9, pooling="mean", out="x")
    assert resolve_finetuning(mine, None, Origin(), "sst2", 10.0, 128) == dataclasses.replace(
        mine, layer_decay=0.8, truncate="head", batch_rows=32
    )


def test_a_task_of_ones_own_keeps_its_name():
    assert FinetuneConfig(task="mine", task_file="mine.toml").task == "mine"
    with pytest.raises(ValueError, match="--task must be one of"):
        FinetuneConfig(task="mine")


# ---------------------------------------------------------------- the shape of the model


def chosen(**settings):
    return chosen_model_config(PretrainConfig(**settings), 1_000, SPECIAL_IDS)


def generator_of(config):
    return (
        config.generator_hidden_size,
        config.generator_num_layers,
        config.generator_num_heads,
        config.generator_intermediate_size,
    )


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("objective", ["electra", "mlm"])
def test_without_flags_the_model_is_the_preset(size, objective):
    assert chosen(size=size, objective=objective) == preset_model_config(size, objective, 1_000)


def test_every_size_of_the_model_can_be_chosen():
    mine = chosen(
        size="base",
        hidden_size=48,
        num_layers=5,
        num_heads=3,
        intermediate_size=100,
        embedding_size=20,
        max_positions=40,
        generator_size=16.0,
        generator_num_layers=2,
        generator_num_heads=8,
        dropout=0.3,
        attention_dropout=0.2,
    )
    assert (mine.hidden_size, mine.num_layers, mine.num_heads) == (48, 5, 3)
    assert (mine.intermediate_size, mine.embedding_size, mine.max_positions) == (100, 20, 40)
    assert generator_of(mine) == (16, 2, 8, 64)
    assert (mine.dropout, mine.attention_dropout) == (0.3, 0.2)


def test_what_is_left_open_follows_in_the_proportions_of_the_preset():
    wide = chosen(size="small", hidden_size=512, num_heads=8)
    assert (wide.intermediate_size, wide.embedding_size) == (2_048, 128)
    assert generator_of(wide) == (128, 12, 2, 512)
    narrow = chosen(size="base", hidden_size=384, num_layers=6)
    assert (narrow.intermediate_size, narrow.embedding_size, narrow.num_heads) == (1_536, 384, 12)
    assert generator_of(narrow) == (128, 6, 4, 512)
    assert generator_of(chosen(size="small", generator_size=0.5)) == (128, 12, 2, 512)
    assert generator_of(chosen(size="small", generator_size=1.0)) == (256, 12, 4, 1_024)


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"generator_size": 64.5}, "--generator-size 64.5 is neither"),
        ({"hidden_size": 50}, "hidden size 50 does not divide by 4 heads"),
        ({"generator_size": 30.0, "generator_num_heads": 4}, "hidden size 30 does not divide"),
        ({"num_layers": 0}, "--num-layers must be from 1 to 1,000, not 0"),
        ({"generator_size": 0.0001}, "generator_hidden_size 0"),
    ],
)
def test_sizes_that_make_no_model_are_refused(settings, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        chosen(**settings)


@pytest.mark.parametrize("size", SIZES)
def test_the_resolved_settings_describe_the_same_model(size):
    config = PretrainConfig(size=size, generator_size=0.5, num_layers=4)
    model_config = chosen_model_config(config, 1_000, SPECIAL_IDS)
    found = resolve_pretraining(config, model_config)
    assert chosen_model_config(found, 1_000, SPECIAL_IDS) == model_config
    assert found.mask_prob == SIZES[size].mask_prob
    open_ = {item.name for item in dataclasses.fields(found) if getattr(found, item.name) is None}
    assert open_ == {
        *("tokenizer", "init", "phases", "minutes", "epochs", "warmup_steps", "config"),
        *("compile", "cuda_graphs", "text_field"),
    }


@pytest.mark.parametrize("flag", ["num_layers", "generator_size", "embedding_size", "size"])
def test_the_shape_cannot_be_chosen_with_a_checkpoint(flag):
    config = PretrainConfig(init="x.pt")
    with pytest.raises(ValueError, match=f"--{flag.replace('_', '-')} cannot be chosen"):
        check_pretrain_flags(config, {flag, "init"})
    check_pretrain_flags(config, {"init", "mask_prob", "dropout", "attention_dropout"})


def test_flags_that_bert_does_not_read_are_refused():
    with pytest.raises(ValueError, match="--rtd-weight is for ELECTRA"):
        check_objective_flags("mlm", {"rtd_weight", "lr"})
    check_objective_flags("mlm", {"mask_prob", "lr"})
    check_objective_flags("electra", {"rtd_weight"})


# ---------------------------------------------------------------- settings of files

# What a version wrote that had no flags for architecture, objective and optimizer.
EARLIER = json.loads(
    """{"corpus": ["wiki.raw"], "valid": [], "errors": "strict", "cache": "data/cache",
    "tokenizer": null, "vocab_size": 800, "cased": false, "size": "large", "objective": "electra",
    "dropout": 0.1, "attention_init": "usual", "init": null, "seq_len": 32, "phases": null,
    "interleave": false, "batch_tokens": 256, "accumulate": 1, "steps": 12, "minutes": null,
    "epochs": null, "lr": 0.0002, "warmup_steps": 1, "seed": 0, "device": "auto", "amp": "auto",
    "compile": null, "cuda_graphs": null, "zero": false, "rank_timeout": 10.0, "out": "runs/a",
    "resume": false, "save_every": 4, "save_minutes": 10.0, "keep": 2, "eval_every": 6,
    "log_every": 2}"""
)


def test_settings_of_an_earlier_version_get_the_defaults():
    old = from_dict(PretrainConfig, EARLIER)
    assert {item.name: getattr(old, item.name) for item in dataclasses.fields(old)} == {
        **{item.name: item.default for item in dataclasses.fields(old)},
        **EARLIER,
        "corpus": ("wiki.raw",),
        "valid": (),
    }
    found = resolve_pretraining(old, preset_model_config("large", "electra", 796))
    assert (found.mask_prob, found.rtd_weight, found.weight_decay) == (0.25, 50.0, 0.01)
    assert (found.lr, found.vocab_size, found.steps) == (0.0002, 800, 12)


@pytest.fixture
def settings_file(tmp_path):
    """settings_file(content) -> the path of a file with it."""

    def write(content):
        path = tmp_path / "config.json"
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        return str(path)

    return write


@pytest.mark.parametrize(
    "config",
    [
        PretrainConfig(corpus=("a", "b"), size="tiny", minutes=math.inf, generator_size=0.5),
        FinetuneConfig(seeds=(1, 2), task="rte", lr=1e-3),
    ],
)
def test_a_file_sets_what_no_flag_gives(config, settings_file):
    beside = {"model": {"hidden_size": 1}, "amp_used": "off", "out": "runs/x", "config": "y.json"}
    beside["resume" if hasattr(config, "resume") else "force"] = True
    path = settings_file({**to_dict(config), **beside})
    found, given = read(type(config), "--config", path, "--cache", "mine")
    assert found == dataclasses.replace(config, config=path, cache="mine")
    assert given == {"config", "cache"}


def test_a_flag_opens_what_follows_from_it(settings_file):
    config = PretrainConfig(size="tiny", steps=10)
    model_config = chosen_model_config(config, 1_000, SPECIAL_IDS)
    path = settings_file(to_dict(resolve_pretraining(config, model_config)))

    again, _ = read(PretrainConfig, "--config", path, "--size", "tiny")
    assert (again.lr, again.hidden_size, again.steps) == (7e-4, 256, 10)
    wider, _ = read(PretrainConfig, "--config", path, "--hidden-size", "512")
    assert chosen_model_config(wider, 1_000, SPECIAL_IDS).intermediate_size == 2_048
    base, _ = read(PretrainConfig, "--config", path, "--size", "base")
    assert chosen_model_config(base, 1_000, SPECIAL_IDS) == preset_model_config(
        "base", "electra", 1_000
    )
    assert (base.lr, base.mask_prob, base.steps) == (None, None, 10)
    timed, _ = read(PretrainConfig, "--config", path, "--minutes", "2")
    assert (timed.steps, timed.minutes) == (None, 2.0)


def test_what_follows_from_a_flag_are_settings():
    for config_class, _ in COMMANDS:
        known = {item.name for item in dataclasses.fields(config_class)}
        assert known >= set(config_class.NOT_FROM_FILE)
        for flag, followers in config_class.FOLLOWERS.items():
            assert known >= {flag, *followers} and flag not in followers


@pytest.mark.parametrize(
    "content, message",
    [
        ("{", "is not JSON"),
        ("[" * 100_000, "is not JSON"),
        ("[1]", "is not a JSON object"),
        ({"lr": 0.1, "learning_rate": 1}, "unknown keys ['learning_rate']"),
        ({"lr": "fast"}, "lr of a wrong kind"),
        ({"steps": 1.5}, "steps of a wrong kind"),
        ({"lr": -1}, "--lr must be above 0, not -1"),
        ('{"dropout": NaN}', "--dropout must be from 0 to below 1, not nan"),
        ({"size": "huge"}, "--size must be one of tiny, small, base, large, not huge"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_a_file_that_cannot_be_used_is_refused_by_name(content, message, settings_file):
    path = settings_file(content)
    with pytest.raises(ValueError) as caught:
        read(PretrainConfig, "--config", path)
    assert str(caught.value).startswith(path) and message in str(caught.value)


def test_a_file_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(ValueError, match="cannot read --config .*x.json: No such file"):
        read(FinetuneConfig, "--config", str(tmp_path / "x.json"))


def test_the_page_of_flags_is_what_the_settings_say():
    page = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
    assert page == reference()
    for config_class, program in COMMANDS:
        own = page.partition(f"## {program}")[2].partition("\n## ")[0]
        for item in dataclasses.fields(config_class):
            text = item.metadata["help"]
            assert "(default: " not in text or text.endswith(")")  # the page parts it there
            assert f"| `--{item.name.replace('_', '-')}`" in own
