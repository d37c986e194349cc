"""Several ranks compute what one process computes.

This covers single steps, whole programs, and runs that resume with another number of ranks.
"""

import json
import math
import os
import socket
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import forked
import pytest
import torch
from conftest import SHAPE, SMALL, as_flags, exit_code

import train
from electra.checkpoint.storage import load_checkpoint
from electra.config import CLS, SEP, FinetuneConfig, PretrainConfig
from electra.data.batch import Batch
from electra.model.bert import BertMLM
from electra.model.classifier import Classifier
from electra.model.electra import Electra
from electra.training import distributed
from electra.training.device import Precision
from electra.training.distributed import Ranks
from electra.training.evaluate import evaluate
from electra.training.loss_scale import LossScale
from electra.training.metric_sums import sum_over
from electra.training.optimizer import Adam, ShardedAdam, parameter_groups
from electra.training.seeds import derive_seed
from electra.training.step import Learner, train_step

ROOT = Path(__file__).resolve().parent.parent
CPU, OFF = torch.device("cpu"), Precision(None, "cpu")
STEPS = 15


# --- one process ---


@pytest.mark.parametrize("world", [1, 2, 3, 8])
@pytest.mark.parametrize("count", [1, 2, 3, 7, 8, 33])
def test_every_row_is_some_rank_s_once(count, world):
    shares = [Ranks(rank, world).rows(count) for rank in range(world)]
    assert [row for rows, weight in shares if weight for row in range(count)[rows]] == list(
        range(count)
    )
    assert all(len(range(count)[rows]) >= 1 and weight in (0.0, 1.0) for rows, weight in shares)
    assert max(len(range(count)[rows]) for rows, _ in shares) == -(-count // world)
    items = list(range(count))
    assert (
        sorted(item for rank in range(world) for item in Ranks(rank, world).share(items)) == items
    )


def test_one_process_alone_agrees_with_itself():
    alone = Ranks()
    assert (
        alone.first and alone.gather("x") == ["x"] and alone.all_reduce_max(0.3, True) == [0.3, 1.0]
    )
    model = torch.nn.Linear(1, 1)
    assert distributed.wrap(model, alone) is model and distributed.start(CPU, 10) == alone
    with alone.rank0_first():
        pass
    distributed.stop()


@pytest.mark.parametrize("config_class", [PretrainConfig, FinetuneConfig])
@pytest.mark.parametrize("minutes", [0, -1, math.nan, math.inf])
def test_a_time_to_wait_that_is_none_is_refused(minutes, config_class):
    with pytest.raises(ValueError, match="--rank-timeout must be above 0 and at most 10,000"):
        config_class(rank_timeout=minutes)


@pytest.mark.parametrize(
    "problem, said",
    [
        (
            RuntimeError("Application timeout caused pair closure"),
            "a rank has not answered within 2.5 minutes",
        ),
        (
            RuntimeError("[unbound_buffer.cc:81] Timed out waiting 15000ms for recv operation"),
            "a rank has not answered",
        ),
        (
            RuntimeError("[pair.cc:534] Connection closed by peer [127.0.0.1]:2034\nmore"),
            "a rank has ended",
        ),
        (
            RuntimeError(
                "Gloo connectFullMesh failed with timed out connecting: Connection refused"
            ),
            "a rank has ended",
        ),
        (torch.distributed.DistBackendError("NCCL error"), "a rank has ended"),
        (RuntimeError("shapes do not fit"), None),
    ],
)
def test_an_error_is_another_rank_s_only_where_it_is(problem, said, monkeypatch):
    assert distributed.describe_rank_failure(problem, 2.5) is None  # with one process
    monkeypatch.setattr(distributed, "started_by_torchrun", lambda: True)
    line = distributed.describe_rank_failure(problem, 2.5)
    assert line is None if said is None else line.startswith(said) and "\n" not in line


# --- steps of several ranks ---


def batches_of(step):
    """Two micro-batches of a step.

    No number of ranks divides the rows, and one micro-batch has fewer rows than there are ranks.
    """
    generator = torch.Generator().manual_seed(step)
    made = []
    for lengths, width in (((16, 9, 12, 5, 16), 16), ((20, 7)[: 1 + step % 2], 24)):
        ids = torch.zeros(len(lengths), width, dtype=torch.int64)
        for row, length in enumerate(lengths):
            ids[row, 0], ids[row, length - 1] = CLS, SEP
            ids[row, 1 : length - 1] = torch.randint(5, 200, (length - 2,), generator=generator)
        mask = torch.arange(width) < torch.tensor(lengths)[:, None]
        made.append(
            Batch(
                ids,
                torch.zeros_like(ids),
                mask,
                torch.randint(3, (len(lengths),), generator=generator),
            )
        )
    return made


MODELS = {
    "electra": lambda: Electra(SHAPE),
    "mlm": lambda: BertMLM(replace(SHAPE, objective="mlm")),
    "classifier": lambda: Classifier(SHAPE, 3, torch.tensor([1.0, 2.0, 0.5])),
}


def some_steps(name, ranks):
    """(weights, sums over all steps and ranks, metrics on held-out batches) of a model."""
    torch.manual_seed(0)
    model = MODELS[name]()
    wrapped = distributed.wrap(model, ranks)
    optimizer, scale = Adam(parameter_groups(model, 0.01)), LossScale(OFF, CPU)
    learner, sums = Learner(wrapped, optimizer, scale, OFF, ranks), {}
    for step in range(STEPS):
        result = train_step(learner, batches_of(step), 1e-3, derive_seed(7, step))
        for key, value in sum_over(ranks, result.sums).items():
            sums[key] = sums.get(key, 0.0) + value.item()
    unigram = torch.ones(200)
    held_out = (
        {} if name == "classifier" else evaluate(model, batches_of(1_000), OFF, CPU, unigram, ranks)
    )
    return (
        {key: value.detach().clone() for key, value in model.state_dict().items()},
        sums,
        held_out,
    )


def changing_optimizers(ranks, kinds):
    """Weights and optimizer state after five steps with each of these optimizers.

    Each continues from the state of the one before it. A gradient of step 2 is not finite.
    """
    torch.manual_seed(0)
    model = Electra(SHAPE)
    wrapped, scale, state = distributed.wrap(model, ranks), LossScale(OFF, CPU), None
    for number, kind in enumerate(kinds):
        optimizer = kind(parameter_groups(model, 0.01))
        if state is not None:
            optimizer.load_state_dict(state)
        learner = Learner(wrapped, optimizer, scale, OFF, ranks)
        for step in range(5 * number, 5 * number + 5):
            scale.scale.fill_(float("inf") if step == 2 else 1.0)
            train_step(learner, batches_of(step), 1e-3, derive_seed(7, step))
        if kind is ShardedAdam:
            held = [state["exp_avg"].numel() for state in optimizer.shards.optim.state.values()]
            assert sum(sum(one) for one in ranks.gather(held)) == sum(
                p.numel() for p in model.parameters()
            )
            assert all(ranks.gather(held))
        state = ranks.gather(optimizer.state_dict())[0]
    return {
        **{name: value.detach().clone() for name, value in model.state_dict().items()},
        **{
            f"{name} {i}": value
            for name in ("exp_avg", "exp_avg_sq")
            for i, value in enumerate(state[name])
        },
        "updates": state["updates"],
        "skipped": scale.skipped,
    }


def worker(folder):
    """What one rank does: train all models, one after another."""
    torch.set_num_threads(1)
    ranks = distributed.start(CPU, 10)
    found = {name: some_steps(name, ranks) for name in MODELS}
    whole, sharded, mixed = (
        changing_optimizers(ranks, kinds)
        for kinds in ([Adam] * 3, [ShardedAdam] * 3, [ShardedAdam, Adam, ShardedAdam])
    )
    assert whole["updates"] == 14 and whole["skipped"] == 1
    for other in (sharded, mixed):
        assert whole.keys() == other.keys() and all(
            torch.equal(value, other[name]) for name, value in whole.items()
        )
    assert ranks.all_reduce_max(
        0.25 if ranks.first else 0.0, ranks.rank == ranks.world_size - 1
    ) == [0.25, 1.0]
    assert ranks.gather(ranks.rank) == list(range(ranks.world_size))
    with ranks.rank0_first():
        if ranks.first:
            (Path(folder) / "made").write_text("by the first")
        assert (Path(folder) / "made").read_text() == "by the first"
    torch.save(found, Path(folder) / f"{ranks.rank}.pt")
    distributed.stop()


def environment(rank, world, port):
    return {
        **os.environ,
        "RANK": str(rank),
        "LOCAL_RANK": str(rank),
        "WORLD_SIZE": str(world),
        "OMP_NUM_THREADS": "1",
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "TORCHELASTIC_RUN_ID": "test",
        "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests")]),
    }


def on_ranks(world, *arguments, port=None):
    """Start a program for each rank, as torchrun does; (exit code, stdout, stderr) of each."""
    if port is None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
    running = [
        forked.Popen(
            [sys.executable, *map(str, arguments)], env=environment(rank, world, port), cwd=ROOT
        )
        for rank in range(world)
    ]
    return [
        (process.returncode, *said)
        for process, said in ((p, p.communicate(timeout=300)) for p in running)
    ]


def restarted():
    """What one rank does: start twice, as under torchrun with a restart.

    The second start of rank 1 is late.
    """
    for attempt in (0, 1):
        os.environ["TORCHELASTIC_RESTART_COUNT"] = str(attempt)
        if attempt and os.environ["RANK"] == "1":
            time.sleep(2)
        ranks = distributed.start(CPU, 0.5)
        assert ranks.gather(ranks.rank) == [0, 1]
        distributed.stop()


def test_after_a_restart_nobody_looks_for_the_ranks_before_it(monkeypatch):
    """All starts of a torchrun share one store, which keeps the addresses of the first start."""
    store = torch.distributed.TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    monkeypatch.setenv("TORCHELASTIC_USE_AGENT_STORE", "True")
    done = on_ranks(
        2, "-c", "import test_distributed; test_distributed.restarted()", port=store.port
    )
    assert [code for code, _, _ in done] == [0, 0], done


@pytest.fixture(scope="module")
def alone():
    return {name: some_steps(name, Ranks()) for name in MODELS}


def assert_near(weights, expected):
    """Assert equality to 1e-6 of the norm of all weights.

    A different order of float32 sums explains such a difference.
    """
    assert set(weights) == set(expected)
    difference = sum(
        (weights[name] - value).double().square().sum() for name, value in expected.items()
    )
    assert (
        difference.sqrt()
        <= 1e-6 * sum(value.double().square().sum() for value in expected.values()).sqrt()
    )


def test_steps_of_three_ranks_are_those_of_one(alone, tmp_path):
    """The whole programs below run with two ranks."""
    world = 3
    done = on_ranks(
        world, "-c", f"import test_distributed; test_distributed.worker({str(tmp_path)!r})"
    )
    assert [code for code, _, _ in done] == [0] * world, done
    ranks = [torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in range(world)]
    for name, (weights, sums, held_out) in alone.items():
        for mine in ranks:
            assert_near(mine[name][0], weights)
            assert mine[name][1] == pytest.approx(sums, rel=1e-5)
            for key, value in held_out.items():
                # Logits that differ in the last digit may change order, and there are few pairs.
                assert mine[name][2][key] == pytest.approx(
                    value, **({"abs": 0.01} if "auc" in key else {"rel": 1e-5})
                )
        for key, value in ranks[0][name][0].items():  # all ranks are equal bit for bit
            assert all(torch.equal(value, other[name][0][key]) for other in ranks[1:])


# --- whole programs ---


def command(text, cache, out):
    """The command line of a short run, without the program."""
    return (
        "--corpus",
        text,
        "--size",
        "tiny",
        "--seq-len",
        64,
        "--steps",
        8,
        "--warmup-steps",
        4,
        "--vocab-size",
        500,
        "--batch-tokens",
        1024,
        "--dropout",
        0,
        "--amp",
        "off",
        "--log-every",
        3,
        "--eval-every",
        4,
        "--save-every",
        4,
        "--cache",
        cache,
        "--out",
        out,
        *as_flags(SMALL),
    )


def lines_of(folder):
    """The metrics, without the fields that depend on the clock."""
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [
        {key: value for key, value in line.items() if key not in ("seconds", "tokens_per_s")}
        for line in lines
    ]


def assert_same_log(first, second):
    """Assert equal logs, up to the order of float32 sums."""
    for mine, theirs in zip(lines_of(first), lines_of(second), strict=True):
        assert mine.pop("split") == theirs.pop("split")
        assert mine == pytest.approx(theirs, rel=1e-3, abs=1e-3)


@pytest.fixture(scope="module")
def runs(text, cache, tmp_path_factory):
    """A folder with two runs: `one` of one process, `two` of two ranks under torchrun."""
    folder = tmp_path_factory.mktemp("ranks")
    assert exit_code(train.main, command(text, cache, folder / "one")) == 0
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "torch.distributed.run",
            "--nproc-per-node",
            "2",
            "train.py",
            *map(str, command(text, folder / "cache", folder / "two")),
        ],
        cwd=ROOT,
        text=True,
        capture_output=True,
        timeout=300,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("done: 8 steps") == 1 and "2 ranks" in done.stdout
    return folder


def test_two_ranks_under_torchrun_train_as_one_process(runs):
    one, two = (load_checkpoint(runs / name / "ckpt.pt", ("electra",)) for name in ("one", "two"))
    assert_near(two.model, one.model)
    assert_same_log(runs / "two", runs / "one")


@pytest.mark.parametrize("world", [1, 3])
def test_a_checkpoint_of_two_ranks_goes_on_with_other_ranks(runs, cache, tmp_path, world):
    out = tmp_path / "out"
    out.mkdir()
    for name in ("config.json", "tokenizer.model", "metrics.jsonl"):
        (out / name).write_bytes((runs / "two" / name).read_bytes())
    (out / "ckpt.pt").write_bytes((runs / "two" / "ckpt-4.pt").read_bytes())
    resume = ("train.py", "--out", out, "--resume", "--cache", cache)
    if world == 1:
        assert exit_code(train.main, resume[1:]) == 0
    else:
        assert [code for code, _, _ in on_ranks(world, *resume)] == [0] * world
    assert_near(
        load_checkpoint(out / "ckpt.pt", ("electra",)).model,
        load_checkpoint(runs / "two" / "ckpt.pt", ("electra",)).model,
    )
    assert_same_log(out, runs / "two")  # step 4 lies between two lines of the log


def test_a_shared_out_optimizer_trains_saves_and_goes_on_as_a_whole_one(
    runs, text, cache, tmp_path
):
    out = tmp_path / "out"
    done = on_ranks(2, "train.py", *command(text, cache, out), "--zero")
    assert [code for code, _, _ in done] == [0, 0], done
    two, sharded = (
        load_checkpoint(folder / "ckpt.pt", ("electra",)) for folder in (runs / "two", out)
    )
    assert_equal(sharded, two)
    (out / "ckpt.pt").write_bytes((out / "ckpt-4.pt").read_bytes())
    assert exit_code(train.main, ["--out", out, "--resume", "--cache", cache]) == 0
    assert_near(load_checkpoint(out / "ckpt.pt", ("electra",)).model, two.model)


def assert_equal(one, other):
    """Assert that weights and optimizer states are equal bit for bit."""
    for mine, theirs in (
        (one.model, other.model),
        *(
            (
                {str(i): value for i, value in enumerate(checkpoint.training.optimizer[name])}
                for checkpoint in (one, other)
            )
            for name in ("exp_avg", "exp_avg_sq")
        ),
    ):
        assert mine.keys() == theirs.keys() and all(
            torch.equal(value, theirs[name]) for name, value in mine.items()
        )
    assert one.training.optimizer["updates"] == other.training.optimizer["updates"]


def test_two_ranks_fine_tune_as_one_process(runs, tmp_path):
    """With unlabelled texts too: both ranks learn from the same ones."""
    import finetune

    words = ("good", "bad")
    rows = [f"{word} {word} film {i},{word}\n" for i in range(24) for word in words]
    for name, part in (("train", rows[:40]), ("dev", rows[40:])):
        (tmp_path / f"{name}.csv").write_text("text,label\n" + "".join(part))
    texts = tmp_path / "texts.txt"
    texts.write_text("".join(f"{word} number {i}\n" for i in range(10) for word in words))
    common = (
        *("--task", "csv", "--data", tmp_path, "--init", runs / "one" / "ckpt.pt"),
        *("--dropout", 0, "--amp", "off", "--lr", 2e-3, "--max-len", 16),
        *("--epochs", 3, "--freeze-epochs", 1, "--batch-tokens", 256),
        *("--unlabelled", texts, "--cache", tmp_path / "cache"),
    )
    assert exit_code(finetune.main, [*common, "--out", tmp_path / "one"]) == 0
    done = on_ranks(2, "finetune.py", *common, "--out", tmp_path / "two")
    assert [code for code, _, _ in done] == [0, 0], done
    assert done[1][1] == "" and "2 ranks" in done[0][1]
    one, two = (
        load_checkpoint(tmp_path / name / "ckpt.pt", ("classifier",)) for name in ("one", "two")
    )
    assert_near(two.model, one.model)
    mine, theirs = (
        json.loads((tmp_path / name / "result.json").read_text()) for name in ("two", "one")
    )
    assert mine["dev_mean"] == theirs["dev_mean"]
    epochs = [
        [json.loads(line) for line in (tmp_path / name / "metrics.jsonl").read_text().splitlines()]
        for name in ("one", "two")
    ]
    assert [line["round"] for line in epochs[1]] == [0] * 4 + [1] * 4
    losses = [[line["train_loss"] for line in lines] for lines in epochs]
    assert losses[1] == pytest.approx(losses[0], rel=2e-3)


def test_a_mistake_ends_all_ranks_and_is_said_by_the_first(tmp_path):
    first, second = on_ranks(
        2, "train.py", "--corpus", tmp_path / "nothing.txt", "--out", tmp_path / "out", "--seed", -1
    )
    assert first[0] == 2 and first[2].startswith("train.py: error: ") and first[2].count("\n") == 1
    assert second[0] != 0 and not (tmp_path / "out").exists()


def test_a_restart_by_torchrun_goes_on_from_the_checkpoint(
    runs, text, cache, tmp_path, monkeypatch
):
    """torchrun repeats the first command line, which has no --resume."""
    out = tmp_path / "out"
    out.mkdir()
    for name in ("config.json", "tokenizer.model", "metrics.jsonl"):
        (out / name).write_bytes((runs / "one" / name).read_bytes())
    again = command(text, cache, out)
    assert exit_code(train.main, again) == 2  # the folder is taken
    monkeypatch.setenv("TORCHELASTIC_RESTART_COUNT", "1")
    assert exit_code(train.main, again) == 0  # starts over: there is no checkpoint yet
    (out / "ckpt.pt").write_bytes((runs / "one" / "ckpt-4.pt").read_bytes())
    assert exit_code(train.main, again) == 0
    expected = load_checkpoint(runs / "one" / "ckpt.pt", ("electra",)).model
    for name, value in load_checkpoint(out / "ckpt.pt", ("electra",)).model.items():
        assert torch.equal(value, expected[name])


@pytest.mark.parametrize("flags, name", [((), "mlm"), (("--objective", "electra"), "electra")])
def test_a_restart_with_init_finds_the_folder_of_the_first_start(
    pretrained, text, cache, tmp_path, monkeypatch, capsys, flags, name
):
    """Without --out the folder is named after the checkpoint's size and the objective."""
    monkeypatch.chdir(tmp_path)
    again = ("--init", pretrained("mlm") / "ckpt.pt", "--corpus", text, "--cache", cache)
    again += ("--steps", 2, "--batch-tokens", 512, "--seq-len", 32, *flags)
    assert exit_code(train.main, again) == 0
    assert [path.name for path in Path("runs").iterdir()] == [f"wiki-tiny-{name}"]
    monkeypatch.setenv("TORCHELASTIC_RESTART_COUNT", "1")
    capsys.readouterr()
    assert exit_code(train.main, again) == 0
    assert "this run is already finished" in capsys.readouterr().out
    assert [path.name for path in Path("runs").iterdir()] == [f"wiki-tiny-{name}"]
