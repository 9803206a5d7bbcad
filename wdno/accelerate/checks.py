"""What a stream refuses, before anything of it has changed."""

import numpy as np
from jaxtyping import Array, Float

from wdno._typing import Fields
from wdno.accelerate.flight import Flight
from wdno.operator.model import WDNO


def check_levels(sigmas: Float[Array | np.ndarray, " levels"]) -> np.ndarray:
    """The noise levels of a stream.

    Raises:
        ValueError: they do not decrease, are negative or not finite, or fewer than two.
    """
    levels = np.asarray(sigmas)
    fall = (np.diff(levels) < 0).all() and np.isfinite(levels).all()
    if len(levels) < 2 or not fall or levels[-1] < 0:
        raise ValueError(
            "The noise levels of a stream are two or more that decrease to 0, or to "
            f"what is above it, but got {levels}. Take `model.levels(steps)`."
        )
    return levels


def check_begun(tried: dict[str, str]) -> None:
    """Refuse to finish what has never begun.

    Args:
        tried: signature of the requests that were pushed.

    Raises:
        ValueError: there were none.
    """
    if not tried:
        raise ValueError(
            "A stream is flushed once windows were begun, but none was. Push one."
        )


def check_alike(known: Fields, flight: Flight, places: int) -> None:
    """Refuse fields that are unlike those of the windows in flight.

    Args:
        known: of a request.
        flight: the windows, of which each place has the rows of one request.
        places: how many there are.

    Raises:
        ValueError: other fields, shapes or types came.
    """
    came, there = signature(known), signature(flight.known, places)
    if came != there:
        raise ValueError(
            "While windows are in flight all requests have the same fields, rows and "
            f"types, but those in flight have {there} and now came {came}. Finish them "
            "by `flush`, or make another stream."
        )


def signature(known: Fields, places: int = 1) -> dict[str, str]:
    """Type and shape of fields, of one place of so many."""
    return {
        name: f"{u.dtype}{[len(u) // places, *u.shape[1:]]}"
        for name, u in sorted(known.items())
    }


def frames_of(model: WDNO, happened: Fields, flight: Flight, places: int) -> int:
    """Frames over which fields are told, the same for all.

    Args:
        model: what generates them.
        happened: fields (batch, frames, *space).
        flight: the windows, of which each place has the rows of one request.
        places: how many there are.

    Raises:
        ValueError: a field is not generated over time, has other rows or points, or
            others were told before.
    """
    rows, grid = len(flight.x) // places, model.targets.grid
    over_time = {
        q.name: tuple(grid[model.targets.dims.index(dim)] for dim in q.dims[1:])
        for q in model.targets.fields
        if q.dims[:1] == model.targets.dims[:1]
    }
    frames = {u.shape[1] for u in happened.values() if u.ndim > 1}
    fits = len(frames) == 1 and all(
        (len(u), *u.shape[2:]) == (rows, *over_time.get(name, ("none",)))
        for name, u in happened.items()
    )
    if not fits:
        raise ValueError(
            f"What has happened are fields over time of those generated, {rows} rows "
            f"of as many frames on {over_time}, but got "
            f"{ {name: u.shape for name, u in happened.items()} }. Cut them so."
        )
    if flight.happened and set(flight.happened) != set(happened):
        raise ValueError(
            "The same fields are told every time, but before these were "
            f"{sorted(flight.happened)} and now {sorted(happened)}. Tell all of them."
        )
    return frames.pop()
