"""CUDA graphs without a GPU.

`Graph` records what a CUDA graph would, the operations and the tensors that they read and write,
and plays it back without the Python code in between.
"""

import contextlib
import shutil

import pytest
import torch
from conftest import SMALL, as_flags, exit_code
from faults.harness import difference
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

import train
from electra.model.build import build
from electra.training.device import Precision
from electra.training.distributed import Ranks
from electra.training.loss_scale import LossScale
from electra.training.optimizer import Adam, parameter_groups
from electra.training.passes import CudaGraphs, choose_graphs
from electra.training.step import Learner, train_step

CPU = torch.device("cpu")
HALF = Precision(torch.float16, "cpu")  # with a loss scale that moves


aten = torch.ops.aten
# A look at a value, a shape that depends on values, and `torch.tensor` of numbers of the host.
WAITING = (aten._local_scalar_dense.default, aten.nonzero.default, aten.lift_fresh.default)


class Graph(TorchDispatchMode):
    """Stands in for `torch.cuda.CUDAGraph`.

    Recording changes no tensor that was there before and uses up no random number. What a GPU could
    not record is an error. A replay draws from the generators as they are seeded then.
    """

    replays = 0

    def __init__(self):
        super().__init__()
        self.operations, self.before, self.own = [], {}, []
        self.generators = [torch.default_generator]

    def register_generator_state(self, generator):
        self.generators.append(generator)

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        leaves = tree_leaves((args, kwargs))
        waits = (
            function in WAITING
            or function is aten.index.Tensor
            and any(
                isinstance(leaf, torch.Tensor) and leaf.dtype == torch.bool for leaf in leaves[1:]
            )
        )
        assert not waits, f"{function} makes the host wait, or the device for the host"
        for generator in (leaf for leaf in leaves if isinstance(leaf, torch.Generator)):
            if generator._cdata not in [known._cdata for known in self.generators]:
                assert torch.__version__ >= "2.14", "a generator that it does not know"
                self.generators.append(generator)
        for argument, schema in zip(args, function._schema.arguments, strict=False):
            if schema.alias_info is not None and schema.alias_info.is_write:
                self.keep(argument)
        result = function(*args, **kwargs)
        # Kept, so that no address is used twice.
        self.own += [t for t in tree_leaves(result) if isinstance(t, torch.Tensor)]
        self.operations.append((function, args, kwargs, result))
        return result

    def keep(self, argument):
        for tensor in tree_leaves(argument):
            self.before.setdefault(tensor.data_ptr(), (tensor, tensor.clone()))

    @contextlib.contextmanager
    def recording(self):
        states = [generator.get_state() for generator in self.generators]
        with self:
            yield
        for tensor, content in self.before.values():
            tensor.copy_(content)
        for generator, state in zip(self.generators, states, strict=True):
            generator.set_state(state)

    @torch.no_grad()
    def replay(self):
        Graph.replays += 1
        for function, args, kwargs, result in self.operations:
            again = function(*args, **kwargs)
            for old, new in zip(tree_leaves(result), tree_leaves(again), strict=True):
                # A view and an operation in place have the values already.
                if isinstance(old, torch.Tensor) and old.data_ptr() != new.data_ptr():
                    old.copy_(new)


class Stream:
    def __init__(self, device=None):
        pass

    def wait_stream(self, other):
        pass


@pytest.fixture
def cuda(monkeypatch):
    monkeypatch.setattr(torch.cuda, "CUDAGraph", Graph)
    monkeypatch.setattr(torch.cuda, "graph", lambda graph, pool, stream, mode: graph.recording())
    monkeypatch.setattr(torch.cuda, "Stream", Stream)
    monkeypatch.setattr(torch.cuda, "stream", lambda stream: contextlib.nullcontext())
    monkeypatch.setattr(torch.cuda, "current_stream", Stream)
    monkeypatch.setattr(torch.cuda, "graph_pool_handle", lambda: (0, 1))
    # Dropout and attention as on a GPU.
    monkeypatch.setattr("electra.model.dropout.dropout", torch.nn.functional.dropout)
    monkeypatch.setattr("electra.model.attention.CPU_MAX_TOKENS", 0)
    monkeypatch.setattr(Graph, "replays", 0)


def steps(shape, make_batch, objective, graphs, accumulate):
    """12 steps over batches of three shapes.

    Returns the sums of each step, weights and moments after the last, and how many forward passes
    Python ran.
    """
    torch.manual_seed(0)
    model = build(shape(objective=objective, dropout=0.1, attention_dropout=0.1), 0.15)
    passes = []
    model.register_forward_hook(lambda *arguments: passes.append(1))
    optimizer = Adam(parameter_groups(model, 0.01))
    scale = LossScale(HALF, CPU)
    learner = Learner(model, optimizer, scale, HALF, graphs=graphs)
    seen = []
    for step in range(12):
        padded, full, wider = ([16, 9, 3], 16), ([16, 16, 16], 16), ([24, 20], 24)
        lengths, width = (padded, full, wider)[step // 2 % 3]
        batches = [
            make_batch(lengths, width, seed=accumulate * step + i) for i in range(accumulate)
        ]
        # Too much for float16: the step is skipped and the scale halved.
        factor = 2.0**100 if step == 9 else 1.0
        scale.scale = scale.scale * factor
        result = train_step(learner, batches, 1e-3 / (1 + step), step)
        scale.scale = scale.scale / factor
        seen.append(
            {name: value.clone() for name, value in result.sums.items()}
            | {"norm": result.grad_norm.clone()}
            | ({"logits": result.detection.logits.clone()} if result.detection else {})
        )
    return (
        seen,
        [
            *model.parameters(),
            *optimizer.exp_avg,
            *optimizer.exp_avg_sq,
            scale.scale,
            scale.skipped,
        ],
        len(passes),
    )


@pytest.mark.parametrize("objective", ["electra", "mlm"])
@pytest.mark.parametrize("accumulate", [1, 2])
def test_played_back_steps_are_the_plain_ones_bitwise(
    shape, make_batch, cuda, objective, accumulate
):
    plain = steps(shape, make_batch, objective, None, accumulate)
    graphs = CudaGraphs(CPU)
    played = steps(shape, make_batch, objective, graphs, accumulate)
    for number, (one, two) in enumerate(zip(plain[0], played[0], strict=True)):
        for name in one:
            assert (
                torch.equal(one[name], two[name])
                or one[name].isnan().all()
                and two[name].isnan().all()
            ), (number, name)
    assert all(torch.equal(one, two) for one, two in zip(plain[1], played[1], strict=True))
    assert 1 <= plain[1][-1] <= 6  # a step was skipped, and most were not
    # Python runs for the warm-up of each shape, and once more to record it
    assert plain[2] == 12 * accumulate and played[2] == 3 * (graphs.WARM_UP + 1)
    assert Graph.replays == 12 * accumulate - 3 * graphs.WARM_UP
    assert len(graphs.recorded) == 3


def test_by_default_shapes_are_recorded_until_memory_is_short(shape, make_batch, cuda, monkeypatch):
    memory = {"free": 14, "reserved": 10, "peak": 10}  # 2.5 times the peak do not fit
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (memory["free"], 1000))
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda device: memory["reserved"])
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda device: memory["peak"])
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: None)
    plain = steps(shape, make_batch, "electra", None, 1)

    def played():
        """(graphs, forward passes in Python) of steps that have to end as plain ones do."""
        graphs = CudaGraphs(CPU, with_room_only=True)
        found = steps(shape, make_batch, "electra", graphs, 1)
        assert all(torch.equal(one, two) for one, two in zip(plain[1], found[1], strict=True))
        return graphs, found[2]

    graphs, passes = played()
    assert not graphs.recorded and passes == 12 and not graphs.keeps_gradients()

    memory["free"] = 15
    graphs, passes = played()
    assert len(graphs.recorded) == 3 and passes == 9 and graphs.keeps_gradients()

    # What the first graph holds is not there for the second.
    record = CudaGraphs._record

    def record_and_hold(*arguments):
        memory["free"], memory["reserved"] = memory["free"] - 8, memory["reserved"] + 8
        return record(*arguments)

    monkeypatch.setattr(CudaGraphs, "_record", record_and_hold)
    graphs, passes = played()
    assert len(graphs.recorded) == 1 and graphs.held == 8 and graphs.keeps_gradients()


def test_a_step_that_cannot_be_recorded_is_said_in_one_line(shape, make_batch, cuda, monkeypatch):
    @contextlib.contextmanager
    def recording(*arguments):
        yield
        raise problem

    monkeypatch.setattr(torch.cuda, "graph", recording)
    problem = RuntimeError("operation not permitted\nwhen stream is capturing")
    with pytest.raises(ValueError, match=r"take --no-cuda-graphs \(operation not permitted\)$"):
        steps(shape, make_batch, "mlm", CudaGraphs(CPU), 1)
    problem = torch.OutOfMemoryError("CUDA out of memory")  # has a line of its own
    with pytest.raises(torch.OutOfMemoryError):
        steps(shape, make_batch, "mlm", CudaGraphs(CPU), 1)


def test_recording_alone_changes_nothing(shape, make_batch, cuda):
    """The emulation, held to what a GPU does: a pass that is recorded is not run."""
    weight, generator = torch.ones(3), torch.Generator().manual_seed(0)
    state, graph = generator.get_state(), Graph()
    graph.register_generator_state(generator)
    with graph.recording():
        weight.add_(torch.rand(3, generator=generator))
    assert torch.equal(weight, torch.ones(3)) and torch.equal(generator.get_state(), state)
    graph.replay()
    assert torch.equal(weight, 1 + torch.rand(3, generator=torch.Generator().manual_seed(0)))
    for look in (
        torch.Tensor.item,
        torch.Tensor.nonzero,
        lambda one: torch.ones(1)[one > 0],
        lambda one: torch.tensor([1.0]),
    ):
        with pytest.raises(AssertionError, match="makes the host wait"), Graph().recording():
            look(torch.ones(1))
    if torch.__version__ < "2.14":
        with pytest.raises(AssertionError, match="it does not know"), Graph().recording():
            torch.rand(3, generator=torch.Generator())


def test_a_whole_run_with_graphs_is_the_plain_run(text, cache, tmp_path, cuda, monkeypatch):
    """Two lengths, micro-batches, evaluations and saves between the steps, a stop and a resume."""
    made = []

    def choose(*arguments):
        made.append(CudaGraphs(CPU))
        return made[-1]

    def run(out, *more):
        command = ["--corpus", text, "--size", "tiny", "--vocab-size", 800, "--cache", cache]
        command += ["--steps", 16, "--batch-tokens", 512, "--accumulate", 2, *as_flags(SMALL)]
        command += ["--phases", "16:0.5,32:0.5", "--interleave", "--dropout", 0.1]
        command += ["--eval-every", 7, "--save-every", 4, "--keep", 9, "--out", tmp_path / out]
        return exit_code(train.main, [*command, *more])

    assert run("plain") == 0
    monkeypatch.setattr(train, "choose_graphs", choose)
    assert run("graphs") == 0
    assert made[0].recorded and Graph.replays > 10
    assert difference(tmp_path / "plain", tmp_path / "graphs") is None

    shutil.copytree(tmp_path / "graphs", tmp_path / "resumed")
    (tmp_path / "resumed" / "ckpt-8.pt").replace(tmp_path / "resumed" / "ckpt.pt")
    assert exit_code(train.main, ["--out", tmp_path / "resumed", "--resume"]) == 0
    assert made[1].recorded
    assert difference(tmp_path / "plain", tmp_path / "resumed") is None


def test_without_memory_beside_graphs_a_run_names_plain_steps(
    text, cache, tmp_path, cuda, monkeypatch, capsys
):
    def no_memory(self):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(train, "choose_graphs", lambda *arguments: CudaGraphs(CPU))
    monkeypatch.setattr(Graph, "replay", no_memory)
    command = ["--corpus", text, "--size", "tiny", "--vocab-size", 800, "--cache", cache]
    command += ["--steps", 9, "--batch-tokens", 256, "--seq-len", 32, *as_flags(SMALL)]
    assert exit_code(train.main, [*command, "--out", tmp_path / "run"]) == 2
    said = "is out of memory; try --no-cuda-graphs, or --accumulate 2: micro-batches of 128"
    assert said in capsys.readouterr().err


def test_graphs_are_the_default_where_they_can_be(cuda, monkeypatch):
    gpu, generator = torch.device("cuda"), torch.Generator()
    monkeypatch.setattr(torch, "Generator", lambda device: generator)
    chosen = choose_graphs(None, gpu)
    assert isinstance(chosen, CudaGraphs) and chosen.with_room_only
    assert not choose_graphs(True, gpu).with_room_only
    assert choose_graphs(False, gpu) is None
    assert choose_graphs(None, CPU) is None and choose_graphs(None, gpu, Ranks(0, 2)) is None


def test_graphs_are_refused_where_they_cannot_be():
    assert choose_graphs(False, CPU) is None
    with pytest.raises(ValueError, match="not for the device cpu; take --no-cuda-graphs"):
        choose_graphs(True, CPU)
    with pytest.raises(ValueError, match="not for 2 processes; take --no-cuda-graphs"):
        choose_graphs(True, torch.device("cuda"), Ranks(0, 2))
