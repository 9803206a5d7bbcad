"""What is measured of records that are made of blocks."""

from typing import Any

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
from _control import interval
from jaxtyping import Array, Float
from matplotlib.figure import Figure

States = Float[Array, "sample time x"]


def lengths(windows: int) -> list[int]:
    """1, 2, 4, … windows."""
    return [2**n for n in range(windows.bit_length()) if 2**n <= windows]


def over_length(found: States, truth: States, window: int) -> dict[str, Any]:
    """Errors and short waves of the last window of records of growing length.

    Error: root mean square over that of the truth. Short waves: energy in the shortest
    half of the waves, over that of the truth.
    """
    errors, waves = {}, {}
    for count in lengths(truth.shape[1] // window):
        last = slice((count - 1) * window, count * window)
        u, v = found[:, last], truth[:, last]
        square = jnp.square(u - v).mean((1, 2)) / jnp.square(v).mean((1, 2))
        errors[count] = interval(jnp.sqrt(square))
        waves[count] = float(f"{float(short(u) / short(v)):.4g}")
    return {"error": errors, "short_waves": waves}


def short(u: States) -> Float[Array, ""]:
    """Energy of the shortest half of the waves."""
    spectrum = jnp.square(jnp.abs(jnp.fft.rfft(u, axis=2))).mean((0, 1))
    return spectrum[len(spectrum) // 2 :].sum()


def kinks(u: States, stride: int, shared: int, window: int) -> list[float]:
    """Second differences in time where blocks meet, over those elsewhere; 1 is none.

    Blocks meet where frames begin that are a block's own: behind the shared ones.
    """
    bend = jnp.square(u[:, 2:] - 2 * u[:, 1:-1] + u[:, :-2]).mean(2)
    first = np.arange(stride + shared, u.shape[1] - 2, stride)
    near = np.unique(np.concatenate([first - 2, first - 1]))  # the jump in both
    far = np.setdiff1d(np.arange(window // 2, bend.shape[1]), near)
    return interval(jnp.sqrt(bend[:, near].mean(1) / bend[:, far].mean(1)))


def alive() -> int:
    """Bytes of all arrays on the device."""
    return sum(array.nbytes for array in jax.live_arrays())


def figure(results: dict[str, Any], drawn: tuple[str, ...]) -> Figure:
    """Errors against length, a panel a system."""
    panels, axes = plt.subplots(
        1, len(results), figsize=(4 * len(results), 3.4), layout="constrained"
    )
    for axis, (system, ways) in zip(np.atleast_1d(axes), results.items(), strict=True):
        for name in drawn:
            columns = np.array([[int(n), *e] for n, e in ways[name]["error"].items()])
            axis.loglog(columns[:, 0], columns[:, 1], marker=".", label=name)
            axis.fill_between(columns[:, 0], *columns[:, 2:].T, alpha=0.15)
        axis.set_title(system)
        axis.set_xlabel("length in windows")
    np.atleast_1d(axes)[0].set_ylabel("relative error of the last window")
    labels = np.atleast_1d(axes)[0].get_legend_handles_labels()
    panels.legend(*labels, loc="outside lower center", ncols=3, frameon=False)
    return panels
