"""Later in time by whole rows of coefficients, without a transform.

Along an axis on which a transform of so many levels commutes with a shift by 2^levels
samples, a field that is shifted by these has its coefficients shifted by one row, in
every subband. Transforms that wrap around do (Mallat 2009, A Wavelet Tour of Signal
Processing, section 7.5), and others as far as no filter reaches over an edge.
"""

from functools import lru_cache

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from wdno._arguments import is_whole
from wdno.wavelets.layout import WaveletLayout
from wdno.wavelets.packing import Packing

TOLERANCE = 1e-5
"""Of what a transform in single precision rounds."""


def rows_of(layout: WaveletLayout, frames: int) -> int:
    """How many rows of coefficients so many frames are.

    Args:
        layout: with time as its first axis.
        frames: by which fields are to be shifted, from 1 to less than there are.

    Raises:
        ValueError: they are no whole rows, or the transform along time does not commute
            with shifts.

    Example:
        >>> rows_of(layout, 8)  # of two levels
        2
    """
    row, window = 2**layout.levels, layout.grid[0]
    if not is_whole(frames, 1) or frames % row or frames >= window:
        raise ValueError(
            f"Coefficients of {layout.levels} levels are shifted by whole rows, "
            f"multiples of {row} frames below the window of {window}, but got "
            f"frames={frames!r}. Choose such a tick, or fewer levels."
        )
    if not _commutes(window, layout.wavelet, layout.mode[0], layout.levels):
        raise ValueError(
            "Rows of coefficients can be shifted where the transform along time "
            f"commutes with shifts, but {layout.wavelet!r} in the mode "
            f"{layout.mode[0]!r} with {layout.levels} levels on {window} frames does "
            "not: its filters see the edges. Take the mode 'periodization', or 'haar'."
        )
    return frames // row


def shifted(
    layout: WaveletLayout, z: Float[Array, "batch *grid channel"], frames: int
) -> Float[Array, "batch *grid channel"]:
    """Coefficients of the fields that begin so many frames later.

    ``analysis({u: roll(u, -frames)}) = roll(analysis({u: u}), -frames / 2^levels)``:
    the first frames come last. Fields without an axis of time stay as they are.

    Args:
        layout: of the coefficients.
        z: coefficients.
        frames: see `rows_of`, also for the errors.
    """
    return jnp.roll(z, -rows_of(layout, frames), axis=1)


@lru_cache
def _commutes(frames: int, wavelet: str, mode: str, levels: int) -> bool:
    """Whether a shift by one row is one by 2^levels frames, for every signal."""
    packing = Packing((frames,), wavelet, (mode,), levels)
    with jax.ensure_compile_time_eval():
        signals = jnp.eye(frames)
        here = np.asarray(packing.pack(signals))
        later = np.asarray(packing.pack(jnp.roll(signals, -(2**levels), axis=1)))
    return np.allclose(np.roll(here, -1, axis=1), later, rtol=0, atol=TOLERANCE)
