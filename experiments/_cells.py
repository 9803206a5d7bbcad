"""Ways to halve cells that learn nothing, or a linear map: rivals of a refiner.

Means over cells are (..., cell) for the rules and (sample, time, cell, field) for the
map.
"""

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import xarray as xr
from jaxtyping import Float, PRNGKeyArray

from wdno.systems import CompressibleNavierStokes
from wdno.systems.compressible import conserved

Means = Float[np.ndarray, "*batch cell"]
Rule = Callable[[Means], Means]
FINEST = 1024
"""Cells of the truth."""
FIELDS = ("density", "momentum", "energy")
SIDE = 2
"""Cells on either side that the linear map sees."""
RIDGE = 1e-6
"""Of the linear map, as a share of the mean square of what it sees."""


def _beyond(means: Means, by: int) -> Means:
    """With the last means repeated beyond either end."""
    return np.pad(means, [(0, 0)] * (means.ndim - 1) + [(by, by)], mode="edge")


def _halves(means: Means, change: Means) -> Means:
    pair = np.stack([means - change, means + change], axis=-1)
    return pair.reshape(*means.shape[:-1], -1)


def constant(means: Means) -> Means:
    """Both halves as the whole."""
    return _halves(means, np.zeros_like(means))


def limited(means: Means) -> Means:
    """Straight lines with the monotonised central slope (van Leer 1977)."""
    ends = _beyond(means, 1)
    left, right = (2 * np.diff(ends)[..., part] for part in (slice(-1), slice(1, None)))
    central = (left + right) / 4
    least = np.minimum(np.minimum(abs(left), abs(right)), abs(central))
    slope = np.where(left * right > 0, np.sign(central) * least, 0)
    return _halves(means, slope / 4)


def parabolas(means: Means) -> Means:
    """Parabolas through the means over three cells."""
    ends = _beyond(means, 1)
    return _halves(means, (ends[..., 2:] - ends[..., :-2]) / 8)


def quartics(means: Means) -> Means:
    """Quartics through the means over five cells."""
    ends = _beyond(means, 2)
    near = ends[..., 3:-1] - ends[..., 1:-3]
    far = ends[..., 4:] - ends[..., :-4]
    return _halves(means, (22 * near - 3 * far) / 128)


def linear(means: Means) -> Means:
    """Linear between centres of cells; it does not keep means."""
    ends = _beyond(means, 1)
    near, left, right = 3 * means, ends[..., :-2], ends[..., 2:]
    pair = np.stack([near + left, near + right], axis=-1) / 4
    return pair.reshape(*means.shape[:-1], -1)


def finest(key: PRNGKeyArray, samples: int) -> xr.Dataset:
    """Shock tubes on the finest grid, as mass, momentum and energy."""
    system = CompressibleNavierStokes(points=FINEST)
    return conserved(system.trajectories(key, samples), system.heat_ratio)


RULES: dict[str, Rule] = {
    "constant": constant,
    "linear": linear,
    "limited lines": limited,
    "parabolas": parabolas,
    "quartics": quartics,
}
"""Rules by name; all but one keep means."""


def halved(record: xr.Dataset, rule: Rule) -> xr.Dataset:
    """A record on twice the cells by a rule."""
    found = {n: (record[n].dims, rule(record[n].values)) for n in FIELDS}
    return _labelled(record, found)


def on_cells(record: xr.Dataset, cells: int, rule: Rule = parabolas) -> xr.Dataset:
    """A record on so many cells, halved by a rule as often as it takes."""
    while record.sizes["x"] < cells:
        record = halved(record, rule)
    return record


class LinearMap:
    """What halves differ by as a linear map of neighbouring means, fitted by ridge.

    It sees all fields of `SIDE` cells to either side, at an instant, the one before and
    the one after, and keeps means. One map a grid, by the cells of the coarse one.
    """

    def __init__(self, records: Iterable[xr.Dataset], every: int = 4) -> None:
        """Fit to records on the finest grid: some of the instants."""
        normal: dict[int, Any] = {}
        for record in records:
            fine = _stacked(record)
            for _ in range(3):
                left, right = fine[:, :, ::2], fine[:, :, 1::2]
                coarse = (left + right) / 2
                seen = _seen(coarse)[:, 1::every].astype(float)
                wanted = ((right - left) / 2)[:, 1::every].astype(float)
                a, b = (part.reshape(-1, part.shape[-1]) for part in (seen, wanted))
                sums = normal.setdefault(coarse.shape[2], [0.0, 0.0])
                sums[0] += a.T @ a
                sums[1] += a.T @ b
                fine = coarse
        self.maps = {
            cells: np.linalg.solve(a + RIDGE * np.trace(a) / len(a) * np.eye(len(a)), b)
            for cells, (a, b) in normal.items()
        }

    def __call__(self, record: xr.Dataset) -> xr.Dataset:
        """A record on twice the cells."""
        coarse = _stacked(record)
        change = (_seen(coarse) @ self.maps[coarse.shape[2]]).astype(coarse.dtype)
        fine = np.stack([coarse - change, coarse + change], axis=3)
        fine = fine.reshape(*coarse.shape[:2], -1, len(FIELDS))
        dims = ("sample", "time", "x")
        return _labelled(
            record, {n: (dims, fine[..., i]) for i, n in enumerate(FIELDS)}
        )


def _stacked(record: xr.Dataset) -> Float[np.ndarray, "sample time cell field"]:
    dims = ("sample", "time", "x")
    return np.stack([record[n].transpose(*dims).values for n in FIELDS], axis=-1)


def _seen(
    coarse: Float[np.ndarray, "sample time cell field"],
) -> Float[np.ndarray, "sample time cell feature"]:
    """Neighbours in time and space of each cell."""
    frames, cells = coarse.shape[1:3]
    ends = np.pad(coarse, [(0, 0), (1, 1), (SIDE, SIDE), (0, 0)], mode="edge")
    parts = [
        ends[:, instant : instant + frames, place : place + cells]
        for instant in range(3)
        for place in range(2 * SIDE + 1)
    ]
    return np.concatenate(parts, axis=-1)


def _labelled(coarse: xr.Dataset, variables: dict[str, Any]) -> xr.Dataset:
    """Fields on twice the cells of a record."""
    x = coarse["x"].values
    quarter = (x[1] - x[0]) / 4
    centres = np.stack([x - quarter, x + quarter], axis=-1).ravel()
    fine = xr.Dataset(variables, {"time": coarse["time"], "x": centres})
    for name in FIELDS:
        fine[name].attrs = coarse[name].attrs
    return fine
