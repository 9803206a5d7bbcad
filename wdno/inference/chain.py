"""Windows of a labelled record, one after the other, in host memory."""

from collections.abc import Callable, Iterator, Mapping, Set
from dataclasses import dataclass

import numpy as np
import xarray as xr
from tqdm import tqdm

from wdno._typing import Fields
from wdno.diffusion.keys import RowKeys
from wdno.diffusion.samplers import Sampler, ddim
from wdno.inference.batching import (
    attributes,
    batches_of,
    for_members,
    in_batches,
    on_device,
)
from wdno.inference.queued import WindowQueue, queued, windows_of
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
        """Of the model, one after the other; the last may stick out."""
        return windows_of(self.frames, self.model.window, self.model.window)

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
        blocks: how windows share calls, if they do not wait for each other.
    """

    model: WDNO
    sampler: Sampler | None
    steps: int
    batch_size: int
    keys: RowKeys
    blocks: WindowQueue | None = None

    @property
    def stride(self) -> int:
        """Frames by which each window begins after the one before."""
        model = self.model
        return model.window if self.blocks is None else self.blocks.stride(model)

    def count(self, frames: int) -> int:
        """Windows of a record, of which the last may stick out."""
        return windows_of(frames, self.model.window, self.stride)

    def begins_with(self, stored: int) -> int:
        """The window to begin with where so many are stored, the last perhaps in part.

        A queue has no window that could be begun with alone: all are made again.
        """
        return max(stored - 1, 0) if self.blocks is None else 0

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
        if self.blocks is not None:
            yield from self._queued(self.blocks, read, frames)
            return
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

    def _queued(
        self, blocks: WindowQueue, read: Callable[[int, int], Rows], frames: int
    ) -> Iterator[tuple[Rows, Rows]]:
        """The same by a queue for each batch of rows."""
        model, rows = self.model, len(self.keys)
        sampler = ddim() if self.sampler is None else self.sampler
        sigmas, control = model.levels(self.steps), set(model.control)
        known = read(0, min(self.stride, frames))

        def queue(few: np.ndarray) -> Iterator[Fields]:
            def given(begin: int, end: int) -> Fields:
                return on_device(_only(read(begin, end), control), few, rows)

            begins = on_device(_only(known, known.keys() - control), few, rows)
            how = {"sampler": sampler, "sigmas": sigmas, "keys": self.keys[few]}
            return queued(model, blocks, begins, given, frames, **how)

        queues = [queue(few) for few in batches_of(rows, self.batch_size)]
        start = 0
        parts = zip(*queues, strict=True)
        for each in tqdm(parts, total=self.count(frames), unit="window", disable=None):
            window = {
                name: np.concatenate([np.asarray(part[name]) for part in each])[:rows]
                for name in each[0]
            }
            end = start + next(iter(window.values())).shape[1]
            yield {**known, **_only(read(start, end), control)}, window
            states = {k: np.array(u) for k, u in next_initial(model, window).items()}
            known, start = {**known, **states}, end


def _only(fields: Mapping[str, np.ndarray], names: Set[str]) -> Rows:
    return {name: field for name, field in fields.items() if name in names}
