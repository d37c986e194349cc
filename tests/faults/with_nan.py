"""Run train.py with NaN in the gradients of the given steps.

    python tests/faults/with_nan.py 5,9,17 [arguments of train.py]

A step is recognised by its seed, so it is the same step after a resume.
"""

from __future__ import annotations

import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent))

import train
from electra.training.seeds import derive_seed


def main(arguments: list[str]) -> int:
    """Arguments: the steps, separated by commas, then the command line of train.py."""
    seeds = {derive_seed(0, int(step)) for step in arguments[0].split(",")}
    real = train.train_step

    def train_step(learner, batches, lr, seed):
        optimizer = learner.optimizer

        def update(*settings):
            optimizer.parameters[0].grad.view(-1)[0] = float("nan")
            return type(optimizer).step(optimizer, *settings)

        if seed in seeds:
            optimizer.step = update
        try:
            return real(learner, batches, lr, seed)
        finally:
            vars(optimizer).pop("step", None)

    train.train_step = train_step
    try:
        return train.main(arguments[1:])
    finally:
        train.train_step = real


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
