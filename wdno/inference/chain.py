"""Windows of a labelled record, one after the other, in host memory."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import xarray as xr
from tqdm import tqdm

from wdno._typing import Fields
from wdno.diffusion.keys import RowKeys
from wdno.diffusion.samplers import Sampler
from wdno.inference.batching import attributes, for_members, in_batches
from wdno.inference.rollout import next_initial, rollout
from wdno.operator.model import WDNO
from wdno.trajectory import Labelled, as_came, inputs, to_dataset, to_rows

Rows = dict[str, np.ndarray]
"""Fields in host memory, batch first."""


@dataclass(frozen=True)
class RecordInputs:
    """What a record is simulated from, labelled, and how its results are labelled.

    Attributes:
        model: of the simulation task.
        initial: initial states, with what never changes.
        control: controls over the record, of which parts are read when they are needed.
        coords: instants and positions of the record.
        given: the control as it came, None if none did.
    """

    model: WDNO
    initial: Labelled
    control: Labelled
    coords: Mapping[str, np.ndarray]
    given: Labelled | None

    @property
    def frames(self) -> int:
        """Of the record."""
        return len(self.coords["time"]) - 1

    @property
    def windows(self) -> int:
        """Of the record, of which the last may stick out."""
        return -(-self.frames // self.model.window)

    def read(self, begin: int, end: int) -> tuple[Rows, dict[str, int]]:
        """Initial states and the controls of some frames, and the axes of the batch.

        Raises:
            ValueError: one is missing, not finite or on another grid.
        """
        model, coords = self.model, self._coords(begin, end)
        acting = self.control.isel(time=slice(begin, end), missing_dims="ignore")
        static = model.static
        found = inputs(
            self.initial, acting, coords, model.initial, model.control, static
        )
        return to_rows(found, coords)

    def labelled(
        self, fields: Rows, batch: Mapping[str, int], begin: int, end: int
    ) -> xr.Dataset:
        """Some frames of the record, with the state before them as the first.

        Args:
            fields: what is known and what was made of it, each for some or all rows.
            batch: extents of the axes of the batch, members included.
            begin: first frame.
            end: frame behind the last.
        """
        model, initial, control = self.model, self.initial, self.control
        attrs = attributes(initial, model.state) | attributes(control, model.control)
        beside = {
            q.name: q.dims for q in model.targets.fields if q.name in model.auxiliary
        }
        record = to_dataset(
            for_members(fields, batch),
            self._coords(begin, end),
            model.initial,
            model.control,
            attrs,
            batch,
            beside,
        )
        static = {name: initial[name].variable for name in model.static}
        return as_came(record, initial, self.given).assign_coords(static)

    def _coords(self, begin: int, end: int) -> dict[str, np.ndarray]:
        return {**self.coords, "time": self.coords["time"][begin : end + 1]}


@dataclass(frozen=True)
class Chain:
    """How a record is made window by window.

    Attributes:
        model: of the simulation task.
        sampler: rule of one step in noise level.
        steps: denoiser calls per window.
        batch_size: rows computed at once.
        keys: one a row.
    """

    model: WDNO
    sampler: Sampler | None
    steps: int
    batch_size: int
    keys: RowKeys

    def windows(
        self,
        read: Callable[[int, int], Rows],
        frames: int,
        *,
        begun: int = 0,
        states: Rows | None = None,
    ) -> Iterator[tuple[Rows, Rows]]:
        """What is known of a window and what is made of it, one window after another.

        Each is computed by the same program, whatever the length of the record and
        whoever looks at the windows: a record has the same bits however it is kept.

        Args:
            read: ``read(begin, end)`` gives what is known of these frames.
            frames: of the record.
            begun: windows that there are already.
            states: of all rows, that the first of these windows begins with, if there
                are some before it.
        """
        model, states = self.model, states or {}
        starts = range(begun * model.window, frames, model.window)
        several = None if len(starts) > 1 else True
        for start in tqdm(starts, unit="window", disable=several):
            end = min(start + model.window, frames)

            def run(
                known: Fields, keys: RowKeys, begun: int = start // model.window
            ) -> Fields:
                controls = {name: known.pop(name) for name in model.control}
                how = {"sampler": self.sampler, "steps": self.steps, "key": keys}
                return rollout(model, known, controls, windows=1, begun=begun, **how)

            known = read(start, end) | states
            window = in_batches(run, known, self.batch_size, self.keys)
            states = {k: np.array(u) for k, u in next_initial(model, window).items()}
            yield known, {n: values[:, : end - start] for n, values in window.items()}
