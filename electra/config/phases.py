"""The sequence lengths of a pre-training, by their shares of the run."""

from __future__ import annotations

import typing


class Phase(typing.NamedTuple):
    """A stretch of pre-training at one length, in tokens.

    `end` is the share of the run at which it ends, in (0, 1]. Interleaved, the length of a step is
    that of the first phase whose `end` is above a number drawn from [0, 1).
    """

    seq_len: int
    end: float


def longest_phase(seq_len: int, phases: str | None, max_positions: int) -> int:
    """The tokens of the longest phase. Raises ValueError as `parse_phases`."""
    return max(phase.seq_len for phase in parse_phases(seq_len, phases, max_positions))


def parse_phases(seq_len: int, phases: str | None, max_positions: int) -> tuple[Phase, ...]:
    """ "128:0.9,512:0.1" -> (Phase(128, 0.9), Phase(512, 1.0)); without `phases` all `seq_len`.

    Raises ValueError for what cannot be trained.
    """
    if phases is None:
        parsed = [(seq_len, 1.0)]
    else:
        try:
            parsed = [
                (int(length), float(share))
                for length, share in (part.split(":") for part in phases.split(","))
            ]
        except ValueError:
            raise ValueError(f"--phases {phases!r} does not read like 128:0.9,512:0.1") from None
    total = sum(share for _, share in parsed)
    if not (
        all(share > 0 for _, share in parsed) and abs(total - 1) <= 1e-6
    ):  # not: nan is neither
        raise ValueError(
            f"--phases {phases!r}: the shares must be positive and add up to 1, not {total:g}"
        )
    for length, _ in parsed:
        if not 8 <= length <= max_positions:
            raise ValueError(
                f"a sequence length of {length} is outside 8 to {max_positions}, the positions "
                f"that the model has; choose another --seq-len or --phases"
            )
    ends, done = [], 0.0
    for length, share in parsed:
        done += share / total
        ends.append(Phase(length, done))
    ends[-1] = ends[-1]._replace(end=1.0)
    return tuple(ends)
