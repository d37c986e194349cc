"""Figures by hand, steps that repeat bitwise, evaluation that repeats, the log after a kill."""

import contextlib
import errno
import json
import math
import os
import platform
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor

from electra.model.bert import BertMLM
from electra.model.build import build, build_on_meta
from electra.model.classifier import Classifier
from electra.model.electra import Electra
from electra.model.outputs import Detection
from electra.training import log as training_log
from electra.training.device import Precision, choose_device, choose_precision, give_memory_back
from electra.training.evaluate import (
    auc_of,
    entropy_of,
    evaluate,
    is_plateau,
    replaced_entropy,
    scored,
)
from electra.training.log import MetricsLog
from electra.training.loss_scale import LossScale
from electra.training.metric_sums import add_up, figures
from electra.training.optimizer import Adam, parameter_groups
from electra.training.seeds import derive_seed
from electra.training.step import Learner, train_step

ROOT = Path(__file__).resolve().parent.parent
CPU = torch.device("cpu")
OFF = Precision(None, "cpu")
TRUE, FALSE = torch.tensor(True), torch.tensor(False)


def electra(shape, **changes):
    torch.manual_seed(0)
    return Electra(shape(**changes))


def state_of(model, optimizer):
    return [
        *(p.detach().clone() for p in model.parameters()),
        *optimizer.exp_avg,
        *optimizer.exp_avg_sq,
    ]


# --- figures ---


@pytest.mark.fast
def test_figures_by_hand():
    sums = {
        "mlm_loss": 30.0,
        "mlm_correct": 4,
        "masked": 16,
        "sampled_correct": 2,
        "rtd_loss": 20.0,
        "tokens": 100,
        "replaced": 10,
        "said_replaced": 8,
        "said_and_replaced": 6,
        "rtd_correct": 94,
    }
    assert figures(
        {name: torch.tensor(float(value)) for name, value in sums.items()}
    ) == pytest.approx(
        {
            "mlm_loss": 1.875,
            "mlm_acc": 0.25,
            "sampled_acc": 0.125,
            "rtd_loss": 0.2,
            "rtd_acc": 0.94,
            "rtd_precision": 0.75,
            "rtd_recall": 0.6,
            "replaced_frac": 0.1,
        }
    )


@pytest.mark.fast
def test_figures_of_what_never_happened_are_0():
    sums = {
        name: torch.tensor(0.0)
        for name in (
            "rtd_loss",
            "tokens",
            "rtd_correct",
            "said_and_replaced",
            "said_replaced",
            "replaced",
        )
    }
    assert set(figures(sums).values()) == {0.0}


@pytest.mark.fast
def test_sums_add_up_over_a_long_log():
    total = {}
    add_up(total, {"n": torch.tensor(2.0**24)})
    for _ in range(3):
        add_up(total, {"n": torch.tensor(1.0)})
    assert total["n"].item() == 2**24 + 3  # float32 would still have 2 ** 24


@pytest.mark.fast
def test_auc_is_over_the_real_tokens_of_all_batches():
    one = Detection(
        torch.tensor([[0.1, 0.9, 5.0]]),
        torch.tensor([[0.0, 1.0, 0.0]]),
        torch.tensor([[True, True, False]]),
        torch.zeros(1, 3),
    )
    two = Detection(
        torch.tensor([[0.5, 0.4]]),
        torch.tensor([[0.0, 1.0]]),
        torch.tensor([[True, True]]),
        torch.zeros(1, 2),
    )
    assert (
        auc_of(map(scored, [one, two])) == 0.75
    )  # replaced 0.9, 0.4; original 0.1, 0.5: three of four pairs in order


@pytest.mark.fast
def test_seeds_are_mixed_without_collisions():
    made = {derive_seed(a, b) for a in range(60) for b in range(60)}
    assert len(made) == 3_600 and all(0 <= seed < 2**63 for seed in made)
    assert derive_seed(1, 2) == derive_seed(1, 2) and derive_seed(1) != derive_seed(1, 0, 1)


# --- the plateau ---


@pytest.mark.fast
def test_entropy_by_hand():
    assert entropy_of((0.5, 0.5)) == pytest.approx(math.log(2))
    assert entropy_of((0.25, 0.75)) == pytest.approx(0.562335, abs=1e-6)
    assert entropy_of((1.0, 0.0)) == 0


@pytest.mark.fast
def test_a_discriminator_that_knows_only_the_share_is_on_the_plateau(shape, make_batch):
    """Built: the head's last layer answers log-odds of the replaced share, whatever it reads."""
    model = electra(shape)
    batches = [make_batch([40] * 20, 40, seed=seed) for seed in range(3)]
    unigram = torch.ones(200)
    share = evaluate(model, batches, OFF, CPU, unigram)["replaced_frac"]
    with torch.no_grad():
        model.rtd_head.out.weight.zero_()
        model.rtd_head.out.bias.fill_(math.log(share / (1 - share)))
    result = evaluate(model, batches, OFF, CPU, unigram)
    assert result["rtd_auc"] == result["rtd_auc_unigram"] == 0.5
    assert result["rtd_loss"] == pytest.approx(replaced_entropy(result), rel=1e-4)
    assert is_plateau(result)


@pytest.mark.fast
@pytest.mark.parametrize(
    "result, expected",
    [
        (
            {"replaced_frac": 0.1, "rtd_loss": 0.3251, "rtd_auc": 0.50},
            True,
        ),  # its entropy is 0.32508
        ({"replaced_frac": 0.1, "rtd_loss": 0.3281, "rtd_auc": 0.54}, True),
        ({"replaced_frac": 0.1, "rtd_loss": 0.3251, "rtd_auc": 0.60}, False),  # it ranks
        ({"replaced_frac": 0.1, "rtd_loss": 0.2500, "rtd_auc": 0.80}, False),  # it has learned
        ({"replaced_frac": 0.1, "rtd_loss": 0.6900, "rtd_auc": 0.50}, False),
    ],
)  # it does not even know the share
def test_plateau_and_learned_by_hand(result, expected):
    assert is_plateau(result) == expected


# --- evaluation ---


@pytest.mark.fast
@pytest.mark.parametrize("make", [Electra, BertMLM])
def test_evaluation_is_the_same_every_time_and_changes_nothing(shape, make_batch, make):
    torch.manual_seed(0)
    model = make(shape(objective=make.kind, dropout=0.3, attention_dropout=0.3))
    before = [p.clone() for p in model.parameters()]
    batches = [make_batch([40, 33], 40), make_batch([16] * 3, 16, seed=1)]
    torch.manual_seed(1)
    first = evaluate(model, batches, OFF, CPU, torch.ones(200))
    torch.manual_seed(2)
    place = torch.get_rng_state()
    model.train()
    assert evaluate(model, batches, OFF, CPU, torch.ones(200)) == first
    assert torch.equal(torch.get_rng_state(), place)
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters()))
    assert all(p.grad is None for p in model.parameters())
    assert ("rtd_auc_unigram" in first) == (make is Electra) and "mlm_loss" in first


@pytest.mark.fast
def test_evaluation_weighs_batches_by_their_counts(shape, make_batch):
    model = electra(shape).eval()
    batches = [make_batch([40, 33], 40), make_batch([16] * 3, 16, seed=1)]
    result = evaluate(model, batches, OFF, CPU)
    with torch.no_grad():
        steps = [
            model(batch, torch.Generator().manual_seed(derive_seed(1234, i)))
            for i, batch in enumerate(batches)
        ]
    masked, tokens = sum(s.sums["masked"].item() for s in steps), 40 + 33 + 3 * 16
    assert result["mlm_loss"] == pytest.approx(
        sum(s.losses[0].item() for s in steps) / masked, rel=1e-6
    )
    assert result["rtd_loss"] == pytest.approx(
        sum(s.losses[1].item() for s in steps) / tokens, rel=1e-6
    )


# --- one step ---


def steps(shape, make_batch, seeds, count=1, global_seed=0, **changes):
    model = electra(shape, **changes)
    torch.manual_seed(global_seed)
    optimizer = Adam(parameter_groups(model, 0.01))
    scale = LossScale(OFF, CPU)
    batches = [make_batch([40, 33], 40, seed=i) for i in range(count)]
    learner = Learner(model, optimizer, scale, OFF)
    results = [train_step(learner, batches, 1e-3, seed) for seed in seeds]
    return model, optimizer, scale, results


@pytest.mark.fast
def test_a_step_with_the_same_seed_is_bitwise_the_same(shape, make_batch):
    rates = {"dropout": 0.1, "attention_dropout": 0.1}
    first = state_of(*steps(shape, make_batch, [1, 2, 3], 2, global_seed=5, **rates)[:2])
    again = state_of(*steps(shape, make_batch, [1, 2, 3], 2, global_seed=6, **rates)[:2])
    other = state_of(*steps(shape, make_batch, [1, 2, 4], 2, global_seed=5, **rates)[:2])
    assert all(torch.equal(a, b) for a, b in zip(first, again))
    assert not all(torch.equal(a, b) for a, b in zip(first, other))


@pytest.mark.fast
def test_micro_batches_of_a_step_have_masks_of_their_own(shape, make_batch):
    model = electra(shape)
    batch = make_batch([60, 60], 60)
    seen = []
    model.generator.encoder.register_forward_hook(
        lambda module, inputs, output: seen.append(output.detach())
    )
    learner = Learner(model, Adam(parameter_groups(model, 0.0)), LossScale(OFF, CPU), OFF)
    train_step(learner, [batch, batch], 0.0, 1)
    assert len(seen) == 2 and not torch.equal(*seen)


@pytest.mark.fast
def test_a_step_tells_sums_over_its_micro_batches_and_the_norm(shape, make_batch):
    _, _, scale, [result] = steps(shape, make_batch, [1], 3)
    assert result.sums["tokens"].item() == 3 * 73
    assert result.grad_norm > 0 and scale.skipped == 0


@pytest.mark.fast
def test_steps_learn_one_batch_by_heart(shape, make_batch):
    torch.manual_seed(0)
    model = Classifier(shape(), 2)
    batch = make_batch([9, 7, 9, 8], 9, labels=[0, 1, 1, 0])
    learner = Learner(model, Adam(parameter_groups(model, 0.0)), LossScale(OFF, CPU), OFF)
    losses = [train_step(learner, [batch], 5e-3, seed).sums["loss"].item() for seed in range(60)]
    assert losses[0] / 4 == pytest.approx(math.log(2), rel=0.1) and losses[-1] / 4 < 0.05


@pytest.mark.fast
def test_a_loss_that_is_not_finite_skips_the_step(shape, make_batch):
    torch.manual_seed(0)
    model = Classifier(shape(), 2)
    optimizer, scale = Adam(parameter_groups(model, 0.01)), LossScale(OFF, CPU)
    with torch.no_grad():
        model.head.out.bias[0] = math.nan
    before, learner = state_of(model, optimizer), Learner(model, optimizer, scale, OFF)
    for _ in range(2):
        train_step(learner, [make_batch([9, 7], 9, labels=[0, 1])], 1e-3, 1)
    assert all(
        torch.equal(a, b) or a.isnan().any() for a, b in zip(before, state_of(model, optimizer))
    )
    assert (scale.skipped, scale.bad_in_row) == (2, 2)


@pytest.mark.fast
@pytest.mark.parametrize("make", [Electra, BertMLM])
def test_a_step_in_bf16_is_close_to_one_in_float32(shape, make_batch, make):
    norms = []
    for precision in (OFF, Precision(torch.bfloat16, "cpu")):
        torch.manual_seed(0)
        model = make(shape(objective=make.kind))
        optimizer = Adam(parameter_groups(model, 0.0))
        learner = Learner(model, optimizer, LossScale(precision, CPU), precision)
        result = train_step(learner, [make_batch([40, 33], 40)], 0.0, 1)
        assert all(p.grad.dtype == torch.float32 for p in model.parameters() if p.grad is not None)
        norms.append(figures(result.sums)["mlm_loss"])
    assert norms[0] == pytest.approx(norms[1], rel=0.01)


# --- precision and devices ---


@pytest.mark.fast
def test_loss_scale_halves_on_a_bad_step_and_doubles_after_2000_good_ones():
    scale = LossScale(Precision(torch.float16, "cuda"), CPU)
    assert scale.scale == 65_536
    scale.update(FALSE)
    assert (scale.scale, scale.bad_in_row, scale.skipped, scale.good) == (32_768, 1, 1, 0)
    for _ in range(1_999):
        scale.update(TRUE)
    assert (scale.scale, scale.bad_in_row, scale.good) == (32_768, 0, 1_999)
    scale.update(TRUE)
    assert (scale.scale, scale.good) == (65_536, 0)
    scale.update(TRUE), scale.update(FALSE), scale.update(FALSE)
    assert (scale.scale, scale.bad_in_row, scale.skipped, scale.good) == (16_384, 2, 3, 0)


@pytest.mark.fast
def test_loss_scale_never_falls_below_1_and_stays_at_1_without_fp16():
    scale, still = LossScale(Precision(torch.float16, "cuda"), CPU), LossScale(OFF, CPU)
    for _ in range(40):
        scale.update(FALSE), still.update(FALSE)
    assert scale.scale == still.scale == 1 and still.skipped == still.bad_in_row == 40
    for _ in range(2_001):
        still.update(TRUE)
    assert still.scale == 1 and still.bad_in_row == 0


@pytest.mark.fast
def test_loss_scale_comes_back_from_its_state():
    one, two = (LossScale(Precision(torch.float16, "cuda"), CPU) for _ in range(2))
    for finite in (FALSE, TRUE, TRUE, FALSE, TRUE):
        one.update(finite)
    two.load_state_dict(one.state_dict())
    assert two.state_dict() == one.state_dict() and (two.scale, two.good, two.skipped) == (
        16_384,
        1,
        2,
    )


@pytest.mark.fast
def test_devices_and_precisions_that_are_not_there_raise():
    for name in ("gpu", "cuda:99", "tpu"):
        with pytest.raises(ValueError, match=name):
            choose_device(name)
    assert choose_device("cpu") == CPU
    with pytest.raises(ValueError, match="fp16"):
        choose_precision("fp16", CPU)
    assert [choose_precision(amp, CPU).name for amp in ("off", "bf16")] == ["off", "bf16"]
    assert choose_precision("auto", CPU).name in ("off", "bf16")
    assert choose_precision("off", CPU) == OFF


# --- the log ---


def records(folder):
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


@pytest.mark.fast
def test_a_line_of_the_log_is_one_object(tmp_path):
    log = MetricsLog(tmp_path)
    log.write(10, "train", {"mlm_loss": 1 / 3, "skipped_steps": 2})
    log.write(20, "valid", {"mlm_loss": 2.0})
    assert records(tmp_path) == [
        {"step": 10, "split": "train", "mlm_loss": 0.333333, "skipped_steps": 2},
        {"step": 20, "split": "valid", "mlm_loss": 2.0},
    ]


@pytest.mark.fast
def test_going_on_drops_later_lines_and_one_that_was_cut_off(tmp_path):
    log = MetricsLog(tmp_path)
    for step in (10, 20, 30, 40):
        log.write(step, "train", {"loss": float(step)})
    with open(tmp_path / "metrics.jsonl", "a") as file:
        file.write('{"step": 15, "split": "tr')
    log = MetricsLog(tmp_path, step=20)
    assert [record["step"] for record in records(tmp_path)] == [10, 20]
    log.write(30, "train", {"loss": -1.0})
    assert [(record["step"], record["loss"]) for record in records(tmp_path)] == [
        (10, 10.0),
        (20, 20.0),
        (30, -1.0),
    ]
    assert [p.name for p in tmp_path.iterdir() if p.is_file()] == ["metrics.jsonl"]


@pytest.mark.fast
@pytest.mark.parametrize("cut", range(0, 45, 3))
def test_a_log_may_be_cut_off_anywhere(tmp_path, cut):
    whole = '{"step": 10, "split": "train", "loss": 1.5}'
    (tmp_path / "metrics.jsonl").write_text(whole + "\n" + whole[:cut])
    MetricsLog(tmp_path, step=10)
    assert records(tmp_path) in ([json.loads(whole)], [json.loads(whole)] * 2)


class Full:
    """A file on a disk with room for eight more bytes."""

    def __init__(self, *arguments, **settings):
        self.file = open(*arguments, **settings)

    def write(self, data):
        if len(data) <= 8:
            raise OSError(errno.ENOSPC, "No space left on device")
        return self.file.write(data[:8])

    def __getattr__(self, name):
        return getattr(self.file, name)

    def __enter__(self):
        return self

    def __exit__(self, *arguments):
        self.file.close()


@pytest.mark.fast
def test_lines_that_cannot_be_written_wait_and_are_said_once(tmp_path, monkeypatch, capsys):
    log = MetricsLog(tmp_path)
    log.write(10, "train", {"loss": 1.0})
    for step in (20, 30):
        with monkeypatch.context() as patch:
            patch.setattr(training_log, "open", Full, raising=False)
            log.write(step, "train", {"loss": 1.0})
        assert [record["step"] for record in records(tmp_path)] == [10]  # no part of a line
    assert capsys.readouterr().out.splitlines() == [
        f"cannot write {tmp_path / 'metrics.jsonl'}: No space left on device; "
        "its lines wait for the next time"
    ]
    log.write(40, "train", {"loss": 1.0})
    assert [record["step"] for record in records(tmp_path)] == [10, 20, 30, 40]


@pytest.mark.fast
def test_a_removed_log_is_written_again(tmp_path):
    log = MetricsLog(tmp_path / "run")
    log.write(10, "train", {"loss": 1.0})  # the folder is not there yet
    (tmp_path / "run").mkdir()
    log.write(20, "train", {"loss": 1.0})
    (tmp_path / "run" / "metrics.jsonl").unlink()
    log.flush()
    assert [record["step"] for record in records(tmp_path / "run")] == [10, 20]


@pytest.mark.fast
def test_a_new_run_keeps_no_line_of_an_earlier_one(tmp_path):
    MetricsLog(tmp_path).write(0, "valid", {"loss": 1.0})
    MetricsLog(tmp_path, step=-1)
    assert records(tmp_path) == []


# --- what a GPU needs ---


class OnTheHost:
    def __new__(cls, device="cpu", kind=torch.Generator):
        return kind()


class NoAutocast(contextlib.nullcontext):
    def __init__(self, *arguments, **options):
        super().__init__()


@pytest.mark.fast
@pytest.mark.parametrize("objective", ["electra", "mlm", "classifier"])
def test_no_step_looks_at_a_value_or_makes_a_shape_of_one(
    shape, make_batch, monkeypatch, objective
):
    """The device "meta" stands for one that is no CPU. All tensors have to be there. What would
    wait for it (`.item()`, `.cpu()`, an index by a mask) raises, because there are no values."""
    # It keeps what it finds in torch when it is imported, which must not be what is put there now.
    import torch._dynamo

    meta = torch.device("meta")
    monkeypatch.setattr(torch, "Generator", OnTheHost)  # there is none for it, nor autocast
    monkeypatch.setattr(torch, "is_autocast_enabled", lambda device: False)
    monkeypatch.setattr(torch, "autocast", NoAutocast)
    dropout = {"dropout": 0.1, "attention_dropout": 0.1}
    if objective == "classifier":
        model = build_on_meta(lambda config: Classifier(config, 2), shape(**dropout))
    else:
        config = shape(objective=objective, **dropout)
        model = build_on_meta(lambda config: build(config, 0.15), config)
    optimizer = Adam(parameter_groups(model, 0.01, 0.8, 2))
    half = Precision(
        torch.float16, "meta"
    )  # for the loss scale; the casts themselves are left out above
    scale = LossScale(half, meta)
    batches = [
        make_batch(lengths, 16, labels=[0, 1, 1]).to(meta) for lengths in ([16, 9, 3], [16, 16, 16])
    ]
    result = train_step(Learner(model, optimizer, scale, half), batches, 1e-3, seed=1)
    window = {}
    add_up(window, result.sums)
    assert {
        t.device for t in [*window.values(), result.grad_norm, scale.scale, scale.bad_in_row]
    } == {meta}
    assert all(p.grad.device == meta for p in model.parameters())
    for look in (Tensor.item, Tensor.cpu, lambda value: torch.ones(2, device=meta)[value > 0]):
        with pytest.raises((RuntimeError, NotImplementedError)):
            look(window[next(iter(window))])


@pytest.mark.parametrize("objective", ["electra", "mlm"])
def test_networks_compile_into_whole_graphs_that_compute_the_same(
    shape, make_batch, monkeypatch, objective
):
    compiler = torch.compile
    monkeypatch.setattr(
        torch, "compile", lambda function, **options: compiler(function, backend="eager", **options)
    )

    def steps(compiled):
        torch.manual_seed(0)
        model = (Electra if objective == "electra" else BertMLM)(shape(objective=objective))
        if compiled:
            model.compile_networks()
        optimizer = Adam(parameter_groups(model, 0.01))
        results = [
            train_step(
                Learner(model, optimizer, LossScale(OFF, CPU), OFF),
                [make_batch(lengths, 16)],
                1e-3,
                seed,
            )
            for seed, lengths in enumerate([[16, 9], [16, 16], [16, 9, 3]])
        ]
        held_out = evaluate(model, [make_batch([16, 5], 16, seed=3)], OFF, CPU)
        return (
            [{name: value.item() for name, value in r.sums.items()} for r in results],
            held_out,
            model.state_dict(),
        )

    plain, compiled = steps(False), steps(True)
    for one, two in zip([*plain[0], plain[1]], [*compiled[0], compiled[1]]):
        assert two == pytest.approx(one, rel=1e-4)
    for name, value in plain[2].items():
        torch.testing.assert_close(compiled[2][name], value, rtol=1e-4, atol=1e-5, msg=name)


@pytest.mark.fast
def test_memory_that_freed_tensors_took_goes_back():
    def held():
        return int(re.search(r"VmRSS:\s+(\d+)", Path("/proc/self/status").read_text())[1]) * 1024

    if not Path("/proc/self/status").exists():
        pytest.skip("no /proc")
    pieces = [
        torch.ones(40_000) for _ in range(1_000)
    ]  # 160 MB in pieces that malloc keeps in its heap
    full, pieces = held(), pieces[-1:]  # the last one holds the end of the heap
    give_memory_back()
    assert held() < full - 100e6 and pieces[0].sum() == 40_000


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library")
def test_memory_of_a_step_stays_for_the_next():
    program = """
import resource, torch
from electra.training.device import choose_device
def faults_of_a_step():
    def step():
        kept = [torch.ones(500_000) for _ in range(30)]  # 60 MB in tensors of 2 MB
    step(), step()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    step()
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
nobody = faults_of_a_step()
choose_device("cpu")
print(nobody, faults_of_a_step())
"""
    # Left to itself, glibc gives the memory back or not as the end of its heap happens to be. Told
    # so, it always does.
    environment = {**os.environ, "MALLOC_MMAP_THRESHOLD_": "1000000"}
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
        env=environment,
    )
    nobody, ours = map(int, done.stdout.split())
    assert ours < 1_000 < 10_000 < nobody
