"""Requests that come at the same time, answered by one run of a program.

Each is answered as if it had come alone: rows depend on their own keys only.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import jax
import numpy as np
import xarray as xr

from wdno._arguments import is_whole
from wdno.deployment.exported import Exported
from wdno.inference.batching import batch_keys, for_members, with_members
from wdno.inference.chain import RecordInputs
from wdno.inference.record_length import check_windows
from wdno.inference.simulate import record_inputs
from wdno.operator.card import abstract_model
from wdno.operator.model import WDNO
from wdno.trajectory import Labelled

__all__ = ["Problem", "Simulator", "joined_up"]

SIZES = (1, 4, 16, 64, 256)
"""Rows that are computed at once: few numbers, since each is a program of its own."""


@dataclass(frozen=True)
class Problem:
    """What one request asks for, read and checked.

    Attributes:
        record: inputs and labels.
        known: what is given, one row for each of the keys.
        batch: extents of the axes of the batch, members included.
        keys: data of one key a row.
    """

    record: RecordInputs
    known: Mapping[str, np.ndarray]
    batch: Mapping[str, int]
    keys: np.ndarray

    @property
    def rows(self) -> int:
        """Trajectories, members counted."""
        return len(self.keys)


@dataclass(frozen=True, eq=False)
class Simulator:
    """`wdno.simulate` of an exported model, several requests at a time.

    Attributes:
        exported: a program that rolls out.
        largest: bytes that a result may have.
        rows: that are computed at once, at most.

    Raises:
        ValueError: the program does something else, or needs coarse states; or less
            than one row is to be computed.
    """

    exported: Exported
    largest: int = 2**28
    rows: int = 64

    def __post_init__(self) -> None:
        """Refuse what does not simulate."""
        verb = self.exported.description["verb"]
        if verb != "rollout" or self.model.coarse:
            raise ValueError(
                "A service simulates, which takes initial states and controls, but "
                f"this model is to {'refine' if self.model.coarse else verb}. Serve "
                "one of the simulation task."
            )

        if not is_whole(self.rows, 1):
            raise ValueError(
                f"At least one row is computed at once, but got {self.rows!r}. Ask for "
                "more."
            )

    @property
    def sizes(self) -> tuple[int, ...]:
        """Numbers of rows that there is a program for."""
        return tuple(size for size in SIZES if size <= self.rows)

    @cached_property
    def model(self) -> WDNO:
        """The model without its parameters: layouts, domain, roles."""
        return abstract_model(self.exported.card)

    def problem(
        self,
        initial: Labelled,
        control: Labelled | None,
        *,
        members: int | None = None,
        frames: int | None = None,
        seed: int = 0,
    ) -> Problem:
        """What a request asks for, with the arguments of `wdno.simulate`.

        Raises:
            ValueError: as there, or the result would have more bytes than allowed.
        """
        if not (is_whole(seed, 0) and seed < 2**63):
            raise ValueError(
                f"A seed is a whole number from 0, but got {seed!r}. Give another."
            )
        self._check_size(1, frames or 1)  # before its instants are made
        record, model = record_inputs(self.model, initial, control, frames), self.model
        check_windows(record.windows, model.window, model.past)
        given = {**record.initial.sizes, **record.control.sizes}
        axes = model.targets.dims
        rows = math.prod(n for dim, n in given.items() if dim not in axes)
        rows *= members if members is not None and is_whole(members, 1) else 1
        self._check_size(rows, record.frames)
        known, batch = record.read(0, record.frames)
        batch = with_members(batch, members)
        keys = jax.random.key_data(batch_keys(jax.random.key(seed), batch))
        return Problem(record, for_members(known, batch), batch, np.asarray(keys))

    def solved(self, problems: Sequence[Problem]) -> list[xr.Dataset]:
        """The records of problems of as many windows each, in their order."""
        states = self._rolled_out(joined_up(problems))
        records, start = [], 0
        for problem in problems:
            own = slice(start, start := start + problem.rows)
            frames = problem.record.frames
            made = {name: values[own, :frames] for name, values in states.items()}
            fields = {**problem.known, **made}
            records.append(problem.record.labelled(fields, problem.batch, 0, frames))
        return records

    def warm(self) -> None:
        """Compile for all numbers of rows, so that no request waits for that."""
        inputs = self.exported.description["inputs"]
        for size in self.sizes:
            known = {n: np.zeros((size, *e["shape"])) for n, e in inputs.items()}
            self.exported.window(known, 0, np.zeros((size, 2), np.uint32))

    def _check_size(self, rows: int, frames: int) -> None:
        """Before anything of that size is made."""
        grid = math.prod(self.model.targets.grid[1:])
        variables = len(self.model.targets.fields) + len(self.model.control)
        size = 8 * rows * (frames + 1) * grid * variables
        if size > self.largest:
            raise ValueError(
                f"A result has {self.largest} bytes at most, but this one would have "
                f"{size}: {rows} trajectories of {frames} frames. Ask for fewer "
                "trajectories, members or frames at a time."
            )

    def _rolled_out(self, whole: Problem) -> dict[str, np.ndarray]:
        """States of all rows, in batches of a few sizes."""
        parts, start = [], 0
        while start < whole.rows:
            left = whole.rows - start
            size = next((n for n in self.sizes if n >= left), self.sizes[-1])
            few = np.arange(start, start + size).clip(max=whole.rows - 1)
            known = {name: values[few] for name, values in whole.known.items()}
            control = {name: known.pop(name) for name in self.model.control}
            windows = whole.record.windows
            keys = jax.random.wrap_key_data(whole.keys[few])
            made = self.exported.rollout(known, control, windows=windows, key=keys)
            parts.append({name: values[:left] for name, values in made.items()})
            start += size
        return {n: np.concatenate([part[n] for part in parts]) for n in parts[0]}


def joined_up(problems: Sequence[Problem]) -> Problem:
    """Problems as one, rows after rows; controls are held to the end of the longest.

    Labels are those of the first.
    """
    longest = max(problem.record.frames for problem in problems)
    over_time = problems[0].record.model.control
    known = {
        name: np.concatenate(
            [
                _held(p.known[name], longest) if name in over_time else p.known[name]
                for p in problems
            ]
        )
        for name in problems[0].known
    }
    keys = np.concatenate([problem.keys for problem in problems])
    record = max((p.record for p in problems), key=lambda record: record.frames)
    return Problem(record, known, {}, keys)


def _held(values: np.ndarray, frames: int) -> np.ndarray:
    """Values over so many frames, of which the last one stays."""
    rows = np.arange(frames).clip(max=values.shape[1] - 1)
    return values[:, rows]
