"""Energy by wavenumber, and errors in bands of it."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import xarray as xr

from wdno._arrays import evenly_spaced
from wdno.metrics.labelled import finite, matched, named, space_dims, units


def energy_spectrum(field: xr.DataArray) -> xr.DataArray:
    """Energy in shells of wavenumbers; keeps sample, member and time.

    E_k = ½ sum of abs(û)² over wavenumbers whose length is in [k - ½, k + ½), where û
    is the discrete Fourier transform over space divided by the number of points, so
    that the E_k add up to half the mean square (Parseval). Wavenumbers count waves
    along the longest side of the domain; sides have the lengths of their coordinates,
    or where one has none, of their numbers of points. The domain is taken to be
    periodic: a jump from end to end shows as energy at all wavenumbers. Shells
    beyond half the points of a side have gaps.

    Returns:
        Array with ``wavenumber`` in place of space.

    Raises:
        ValueError: values are not finite, or points are not evenly spaced.
    """
    finite("field", field)
    space = space_dims(field)
    lengths = side_lengths(field, space)
    axes = [
        np.fft.fftfreq(field.sizes[dim], 1 / field.sizes[dim]) * lengths.max() / length
        for dim, length in zip(space, lengths, strict=True)
    ]
    values = field.transpose(..., *space).astype(float)
    last = tuple(range(-len(space), 0))
    modes = np.fft.fftn(values.values, axes=last, norm="forward")
    shell = np.floor(_magnitude(axes) + 0.5).astype(int)
    energy = _sums(0.5 * abs(modes) ** 2, shell, int(shell.max()) + 1)
    result = _on_wavenumbers(values, energy, space)
    convention = "half the square; shells around whole numbers of waves"
    return named(result, "energy_spectrum", units(field, 2), convention)


def spectrum_ratio(forecast: xr.DataArray, truth: xr.DataArray) -> xr.DataArray:
    """Energy spectrum of the forecast over that of the truth; ideally 1 everywhere.

    Spectra are averaged over time, and over members where there are any, before they
    are divided: the spectrum of an ensemble's mean would lack what its members do not
    agree on. NaN or infinite where the truth has no energy.

    Returns:
        Array on (sample, wavenumber).
    """
    forecast, truth = matched(forecast, truth)
    ours, theirs = (energy_spectrum(part).mean("time") for part in (forecast, truth))
    ours = ours.mean("member") if "member" in ours.dims else ours
    with np.errstate(divide="ignore", invalid="ignore"):
        result = (ours / theirs).transpose("sample", "wavenumber")
    convention = "ratio of the means over time and members"
    return named(result, "spectrum_ratio", "1", convention)


def shell_powers(error: xr.DataArray, dims: Sequence[str]) -> xr.DataArray:
    """Sum of abs(F)² over lengths in [k, k + 1), by ``wavenumber``, as in PDEBench.

    F is the plain sum over the points of `dims`. On one axis of n points k is 0 … n/2;
    on several axes only the wavenumbers 0 … n/2 - 1 of each are counted, so that half
    of the directions and all shells beyond the shortest axis are left out.
    """
    values = error.transpose(..., *dims)
    sizes = [error.sizes[dim] for dim in dims]
    if len(dims) == 1:
        powers = abs(np.fft.rfft(values.values)) ** 2
        return _on_wavenumbers(values, powers, dims)
    axes = [np.arange(size // 2) for size in sizes]
    modes = np.fft.fftn(values.values, axes=tuple(range(-len(dims), 0)))
    quarter = modes[(..., *(slice(len(axis)) for axis in axes))]
    shell = np.floor(_magnitude(axes)).astype(int)
    powers = _sums(abs(quarter) ** 2, shell, min(sizes) // 2)
    return _on_wavenumbers(values, powers, dims)


def band_means(
    shells: xr.DataArray, edges: tuple[int, int], bands: Sequence[str]
) -> xr.DataArray:
    """Means over the wavenumbers below, between and above two edges.

    Raises:
        ValueError: a band has no wavenumber.
    """
    count = shells.sizes["wavenumber"]
    if not 0 < edges[0] < edges[1] < count:
        raise ValueError(
            f"Each band needs a wavenumber, but edges {edges} do not lie within the "
            f"{count} wavenumbers of this grid. Choose `edges` below {count}."
        )
    parts = (slice(edges[0]), slice(*edges), slice(edges[1], None))
    means = [shells.isel(wavenumber=part).mean("wavenumber") for part in parts]
    return xr.concat(means, xr.Variable("band", list(bands)))


def side_lengths(field: xr.DataArray, space: Sequence[str]) -> np.ndarray:
    """Lengths of the sides, or numbers of points if one side has no coordinate.

    Raises:
        ValueError: points are not evenly spaced.
    """
    lengths = []
    for dim in space:
        if dim not in field.coords or field[dim].dtype.kind not in "fiu":
            return np.array([field.sizes[dim] for dim in space], float)
        steps = np.diff(field[dim].values.astype(float))
        step = steps.mean() if steps.size else 1.0
        if not evenly_spaced(field[dim].values):
            at = int(abs(steps - step).argmax())
            raise ValueError(
                f"A spectrum needs evenly spaced points, but `{dim}` moves by "
                f"{steps[at]:g} at index {at} where the mean is {step:g}. Interpolate."
            )
        lengths.append(abs(step) * field.sizes[dim])
    return np.array(lengths)


def _magnitude(axes: Sequence[np.ndarray]) -> np.ndarray:
    grids = np.meshgrid(*axes, indexing="ij")
    return np.sqrt(np.sum([grid.astype(float) ** 2 for grid in grids], axis=0))


def _sums(powers: np.ndarray, shell: np.ndarray, count: int) -> np.ndarray:
    """Sums over the last axes by shell 0 … count - 1; shells beyond are left out."""
    flat = powers.reshape(*powers.shape[: powers.ndim - shell.ndim], -1)
    order = np.argsort(shell.ravel(), kind="stable")
    starts = np.searchsorted(shell.ravel()[order], np.arange(count + 1))
    ordered = flat[..., order]
    return np.stack([ordered[..., a:b].sum(-1) for a, b in pairwise(starts)], axis=-1)


def _on_wavenumbers(
    values: xr.DataArray, powers: np.ndarray, dims: Sequence[str]
) -> xr.DataArray:
    """Label powers by the dimensions of `values` that are left, and the wavenumber."""
    rest = values.isel({dim: 0 for dim in dims}, drop=True)
    rest = rest.expand_dims(wavenumber=np.arange(powers.shape[-1]), axis=-1)
    return rest.copy(data=powers)
