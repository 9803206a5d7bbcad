"""Separable wavelet transforms as one matrix an axis.

A level of the discrete wavelet transform is linear: along an axis a = A x, d = D x and
x = A' a + D' d, with approximation a and details d. The four matrices are found by
applying PyWavelets to the identity, so that every wavelet, signal extension and parity
is met exactly, and derivatives, batches and compilation are those of a matrix product.
Those of long axes are banded and repeat, and are applied like that (`banded`).

References:
    Mallat (2009), A Wavelet Tour of Signal Processing, sections 7.3, 7.5 and 7.7.
    Jensen and la Cour-Harbo (2001), Ripples in Mathematics, section 10.3.
"""

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pywt
from jaxtyping import Array, Float

from wdno.wavelets.banded import Product, product_with
from wdno.wavelets.filters import MODES, filter_bank

__all__ = [
    "MODES",
    "analysis",
    "analysis_matrices",
    "coefficient_length",
    "synthesis",
    "synthesis_matrices",
]

Coefficients = list[Any]
"""The approximation, then details by subband, coarsest first, as `pywt.wavedecn`."""

Matrices = tuple[Float[np.ndarray, "row column"], ...]
"""The matrix of the approximation and that of the details."""


def analysis(
    x: Float[Array, "..."],
    wavelet: str,
    mode: str | tuple[str, ...],
    axes: tuple[int, ...],
    levels: int = 1,
) -> Coefficients:
    """Decomposes an array along some axes; the others are batch axes.

    Equal to ``pywt.wavedecn(x, wavelet, mode, levels, axes)``. A subband's key has one
    letter an axis, in the order of `axes`: ``a`` approximation, ``d`` detail.

    Args:
        x: Samples of a real field.
        wavelet: One of ``pywt.wavelist(kind="discrete")``, or ``"lazy"``.
        mode: One of `MODES`, or a tuple with one for each axis.
        axes: Distinct axes of `x`.
        levels: How many times the approximation is decomposed again; 0 is identity.

    Raises:
        ValueError: Data not real floating-point, an unknown wavelet or mode, axes or
            modes that do not fit, negative `levels`, or a length not to be halved.

    Example:
        >>> x = jnp.zeros((8, 80, 120))  # batch, time, space
        >>> approximation, details = analysis(x, "db4", "boundary", axes=(1, 2))
        >>> approximation.shape, sorted(details)
        ((8, 40, 60), ['ad', 'da', 'dd'])
    """
    if levels < 0:
        raise ValueError(f"`levels` cannot be negative, but is {levels}. Use 1, 2, ...")
    axis_modes = _axis_modes(x, mode, axes)
    details = []
    for _ in range(levels):
        bands = {"": x}
        for axis, name in axis_modes:
            low, high = _products(analysis_matrices, x.shape[axis], wavelet, name)
            bands = {
                key + letter: product(band, axis)
                for key, band in bands.items()
                for letter, product in (("a", low), ("d", high))
            }
        x = bands.pop("a" * len(axes))
        details.append(bands)
    return [x, *reversed(details)]


def synthesis(
    coefficients: Coefficients,
    wavelet: str,
    mode: str | tuple[str, ...],
    axes: tuple[int, ...],
    shape: tuple[int, ...],
) -> Float[Array, "..."]:
    """Inverts `analysis` of the same wavelet, mode and axes.

    `shape` is the extents of `axes` in the result. The coefficients cannot tell them,
    as an even and an odd extent may have equally many. The inverse is as exact as the
    tabulated filters: 1e-10 in float64, but about 1e-2 for the truncated ``dmey``.

    Raises:
        ValueError: As in `analysis`, or coefficients no signal of this `shape` has.
    """
    if not coefficients or len(shape) != len(axes):
        raise ValueError(
            f"Coefficients and one extent for each of the axes {axes} are needed, but "
            f"got {len(coefficients)} items and {shape}. Leave batch axes out."
        )
    x, *details = coefficients
    axis_modes = _axis_modes(x, mode, axes)
    extents = {axis: n for (axis, _), n in zip(axis_modes, shape, strict=True)}
    signal = tuple(extents.get(axis, n) for axis, n in enumerate(x.shape))
    expected = jax.eval_shape(
        lambda signal: analysis(signal, wavelet, mode, axes, len(details)),
        jax.ShapeDtypeStruct(signal, x.dtype),
    )
    wanted, came = (jax.tree.map(jnp.shape, c) for c in (expected, coefficients))
    if wanted != came:
        raise ValueError(
            f"A signal of shape {signal} has coefficients of shapes {wanted}, "
            f"but got {came}. Were they made with another wavelet, mode or shape?"
        )
    targets = [*(bands["d" * len(axes)] for bands in wanted[2:]), signal]
    for bands, target in zip(details, targets, strict=False):
        bands = {"a" * len(axes): x, **bands}
        for axis, name in reversed(axis_modes):
            low, high = _products(synthesis_matrices, target[axis], wavelet, name)
            bands = {
                key: low(bands[key + "a"], axis) + high(bands[key + "d"], axis)
                for key in sorted({key[:-1] for key in bands})
            }
        x = bands[""]
    return x


def coefficient_length(length: int, wavelet: str, mode: str) -> int:
    """Number of approximation (and of detail) coefficients of one level on one axis.

    Of n samples ``"periodization"`` and ``"boundary"`` make ceil(n / 2), other modes
    floor((n + taps - 1) / 2). `ValueError`: unknown names, a length not to be halved.
    """
    return len(analysis_matrices(length, wavelet, mode)[0])


@lru_cache(maxsize=256)
def analysis_matrices(length: int, wavelet: str, mode: str) -> Matrices:
    """Matrices A and D of one level: a = A x, d = D x.

    In float64, read-only, of `coefficient_length` rows; errors as there.
    """
    filters = filter_bank(length, wavelet, mode)
    if mode == "boundary":
        return _read_only(*np.split(_boundary_operator(length, filters), 2))
    return _read_only(*pywt.dwt(np.eye(length), filters, mode, axis=0))


@lru_cache(maxsize=256)
def synthesis_matrices(length: int, wavelet: str, mode: str) -> Matrices:
    """Matrices A' and D' of the inverse of one level: x = A' a + D' d.

    In float64 and read-only; transposes of `analysis_matrices` where the transform is
    orthogonal. Errors as in `coefficient_length`.
    """
    low, high = analysis_matrices(length, wavelet, mode)
    if mode == "boundary":
        return _read_only(low.T, high.T)
    unit, filters = np.eye(len(low)), filter_bank(length, wavelet, mode)
    # PyWavelets gives back one sample too many where the length is odd.
    return _read_only(
        pywt.idwt(unit, None, filters, mode, axis=0)[:length],
        pywt.idwt(None, unit, filters, mode, axis=0)[:length],
    )


def _boundary_operator(length: int, filters: pywt.Wavelet) -> np.ndarray:
    """Rows of the approximation, then of the details, of the mode ``"boundary"``.

    Row m of a band is the reversed filter where ``"periodization"`` has it, but what
    protrudes from the interval is cut off, not wrapped. Complete rows are orthonormal
    and orthogonal to the floor(taps / 4) cut rows of each band and end; Gram-Schmidt in
    their order makes these so (Jensen and la Cour-Harbo, 2001, section 10.3).
    """
    taps = filters.dec_len
    tap = taps // 2 + 2 * np.arange(length // 2)[:, None] - np.arange(length)
    inside = (tap >= 0) & (tap < taps)
    bands = np.array([filters.dec_lo, filters.dec_hi])
    rows = np.concatenate(np.where(inside, bands[:, tap % taps], 0.0))
    done = np.tile(inside.sum(axis=1) == taps, 2)
    for cut in np.flatnonzero(~done):
        for _ in range(2):  # the cut rows of db20 have condition number 9e5
            rows[cut] -= (done * (rows @ rows[cut])) @ rows
            rows[cut] /= np.linalg.norm(rows[cut])
        done[cut] = True
    return rows


def _read_only(*matrices: np.ndarray) -> tuple[np.ndarray, ...]:
    """Protects what the caches share."""
    for matrix in matrices:
        matrix.flags.writeable = False
    return matrices


@lru_cache(maxsize=256)
def _products(
    matrices: Callable[[int, str, str], Matrices], length: int, wavelet: str, mode: str
) -> tuple[Product, ...]:
    """Products with the matrices of the approximation and of the details."""
    return tuple(map(product_with, matrices(length, wavelet, mode)))


def _axis_modes(
    x: Array, mode: str | tuple[str, ...], axes: tuple[int, ...]
) -> tuple[tuple[int, str], ...]:
    """Each axis, counted from the front, with its mode."""
    if not jnp.issubdtype(x.dtype, jnp.floating):
        raise ValueError(f"Data must be real floating-point, not {x.dtype}: cast them.")
    front = {axis % x.ndim for axis in axes if -x.ndim <= axis < x.ndim}
    modes = (mode,) * len(axes) if isinstance(mode, str) else mode
    if not axes or len(front) < len(axes) or len(modes) != len(axes):
        raise ValueError(
            f"Distinct axes of an array of shape {x.shape}, and one mode for all or "
            f"each, are needed, but got axes {axes} and modes {modes}. Choose from "
            f"{-x.ndim} to {x.ndim - 1}, and as many modes as axes."
        )
    return tuple((axis % x.ndim, name) for axis, name in zip(axes, modes, strict=True))
