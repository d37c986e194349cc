"""The list of stages, most important first, and what every stage is told."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class StageContext:
    """What every stage is told. Paths are absolute."""

    root: Path  # of the checkout, with train.py and finetune.py
    data: Path  # folder with aclImdb and SST-2, as folders or archives
    out: Path  # what stays: gpu.json, gpu.md, prove.log, profile.txt
    scratch: Path  # what goes: runs, token stores, unpacked data
    device: str  # "cuda", or "cpu" in a rehearsal
    rehearse: bool  # tiny sizes on the CPU
    seconds: float = 0.0  # that this stage has


@dataclass(frozen=True)
class Stage:
    """One row of the table."""

    name: str
    group: str  # "right", "speed" or "learning"
    function: str  # "module:function", called with (StageContext, Findings) in a process of its own
    limit: float  # seconds, after which it is killed
    promise: str  # what it shows
    needs_cuda: str = ""  # what a rehearsal does in place of what only a GPU can do
    needs_data: bool = False  # waits for the reviews to be unpacked and tokenised


# Names under --data, where a data set is not unpacked.
ARCHIVES = {"imdb": "aclImdb*.tar.*", "sst2": "SST-2*.zip"}

# The file in the scratch folder that says that the data are there, or what is wrong with them.
READY = "data-ready"

NUMERICS = "electra.gpu_proof.numerics"
MODES = "electra.gpu_proof.modes"
PROGRAMS = "electra.gpu_proof.programs"
RANKS = "electra.gpu_proof.ranks"
SPEED = "electra.gpu_proof.speed"
LEARNING = "electra.gpu_proof.learning"

STAGES = (
    Stage(
        "machine",
        "right",
        f"{NUMERICS}:machine",
        30,
        "names the machine and measures the limit of its matrix products",
    ),
    Stage(
        "agreement",
        "right",
        f"{NUMERICS}:agreement",
        45,
        "20 steps of ELECTRA, BERT and a classifier in float32, bf16 and fp16 have the losses of "
        "the CPU in float32, from the same masks and samples, without dropout",
    ),
    Stage(
        "draws",
        "right",
        f"{NUMERICS}:draws",
        15,
        "masks are valid and masks and samples are distributed as they should be: a chi-square "
        "statistic, as a standard normal deviate, stays below 5",
    ),
    Stage(
        "overflow",
        "right",
        f"{NUMERICS}:overflow",
        30,
        "an fp16 step that overflows is skipped, halves the loss scale, changes no weight, and the "
        "next one trains on",
    ),
    Stage(
        "host-waits",
        "right",
        f"{MODES}:host_waits",
        20,
        "no step waits for the GPU: torch's sync debug mode raises an error otherwise",
        "plain steps, since torch has no such mode for a CPU",
    ),
    Stage(
        "graphs",
        "right",
        f"{MODES}:graphs",
        20,
        "steps played back as CUDA graphs are the plain steps, bit for bit, with dropout, over "
        "three shapes of batch",
        "plain steps twice",
    ),
    Stage(
        "memory",
        "right",
        f"{MODES}:memory",
        20,
        "200 steps of mixed lengths hold no more memory at the end than at half time",
        "fewer steps, whose memory is not looked at",
    ),
    Stage(
        "resume",
        "right",
        f"{PROGRAMS}:resume",
        40,
        "train.py --deterministic, killed and resumed, ends in the same bits as a run that nobody "
        "killed",
    ),
    Stage(
        "out-of-memory",
        "right",
        f"{PROGRAMS}:out_of_memory",
        30,
        "a GPU without memory gets one line that names --accumulate, exit code 2; the checkpoint "
        "stays whole and the run goes on when there is memory",
        "an error of the allocator is injected",
    ),
    Stage(
        "ranks",
        "right",
        f"{RANKS}:ranks",
        40,
        "one rank under NCCL, with and without --zero, ends in the bits of no rank at all",
        "gloo in place of NCCL",
    ),
    Stage(
        "compile",
        "right",
        f"{MODES}:compile_networks",
        100,
        "compiled networks have the losses of the plain ones",
        "dynamo alone, without a compiler behind it",
    ),
    Stage(
        "compiled-graphs",
        "right",
        f"{MODES}:compiled_graphs",
        80,
        "compiled steps played back as CUDA graphs are compiled steps, bit for bit, with dropout",
        "dynamo alone, plain steps twice",
    ),
    Stage(
        "small",
        "speed",
        f"{SPEED}:small",
        40,
        "tokens a second of small at length 128, plain and as CUDA graphs, by tokens a step",
    ),
    Stage(
        "small-compiled",
        "speed",
        f"{SPEED}:small_compiled",
        200,
        "the same with compiled layers and with whole compiled networks, and both as CUDA graphs",
        "dynamo alone",
    ),
    Stage(
        "baseline",
        "speed",
        f"{SPEED}:baseline",
        110,
        "the baseline loop on transformers, with SDPA and eager attention, compiled and not",
    ),
    Stage(
        "profile",
        "speed",
        f"{SPEED}:profile",
        90,
        "the 20 kernels that take most of a step, and the share of the time in which the GPU idles",
    ),
    Stage(
        "base",
        "speed",
        f"{SPEED}:base",
        100,
        "base at length 512: tokens a second and the share of the matrix products' limit",
    ),
    Stage(
        "reviews",
        "speed",
        f"{SPEED}:reviews",
        30,
        "small on reviews at 512: real tokens a second, padding not counted",
        needs_data=True,
    ),
    Stage(
        "learn-electra",
        "learning",
        f"{LEARNING}:electra",
        120,
        "ELECTRA-small on reviews, then SST-2 and IMDb with one seed",
        needs_data=True,
    ),
    Stage(
        "learn-bert",
        "learning",
        f"{LEARNING}:bert",
        120,
        "BERT of the same shape, for the same time",
        needs_data=True,
    ),
    Stage(
        "large",
        "speed",
        f"{SPEED}:large",
        25,
        "large at length 512: peak memory and tokens a second",
    ),
    Stage(
        "first-step",
        "speed",
        f"{SPEED}:first_step",
        60,
        "seconds from typing the command to the end of the first compiled step",
        "without compiling",
    ),
)
