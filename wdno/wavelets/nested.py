"""Coefficients of a layout <-> the nested lists of PyWavelets and ptwt.

Both libraries keep coefficients as the approximation, then the details of each level,
coarsest first. Those of a level are a mapping from keys such as "ad" to arrays
(``pywt.wavedecn``, ``ptwt.wavedec3``), on two axes also the triple (horizontal,
vertical, diagonal) (``wavedec2``), on one axis also the array alone (``wavedec``).
"""

from collections.abc import Mapping, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from wdno._arrays import real
from wdno.wavelets.layout import WaveletLayout
from wdno.wavelets.packing import Packing, subband_keys
from wdno.wavelets.transform import Coefficients

__all__ = ["as_wavedec", "as_wavedec2", "from_nested", "to_nested"]

TRIPLE = ("da", "ad", "dd")
"""Keys of horizontal, vertical and diagonal details: fine across, along, and both."""


def to_nested(
    layout: WaveletLayout, z: Float[Array, "batch *grid channel"]
) -> dict[str, Coefficients]:
    """Coefficients of every field as ``pywt.wavedecn`` has them, batch first.

    They are those of the values, no longer divided by the scales of the layout. A field
    that lacks axes of the layout has them on its own axes, the mean of what repeats
    along the others; one without axes has a list of its values alone.

    Args:
        layout: of `z`.
        z: coefficients as `WaveletLayout.analysis` gives them.

    Raises:
        ValueError: `z` is not of this layout.

    Example:
        >>> z = layout.analysis({"u": u, "u0": u0})
        >>> nested = to_nested(layout, z)["u"]
        >>> theirs = pywt.wavedecn(
        ...     u, layout.wavelet, layout.mode, layout.levels, axes=(1, 2))
        >>> bool(np.allclose(nested[1]["ad"], theirs[1]["ad"], atol=1e-5))
        True
    """
    expected = (*layout.coefficient_grid, len(layout.channels))
    if z.shape[1:] != expected:
        raise ValueError(
            f"`to_nested` expected coefficients of shape (batch, {expected}), but got "
            f"{z.shape}. Were they made by another layout?"
        )
    z = z * jnp.broadcast_to(_scale(layout, z.dtype), z.shape)
    return {
        quantity.name: layout.packing(quantity.dims).unstack(
            layout.select(z, quantity.name).mean(axis=layout.missing(quantity))
        )
        for quantity in layout.fields
    }


def from_nested(
    layout: WaveletLayout, coefficients: Mapping[str, Sequence[Any]]
) -> Float[Array, "batch *grid channel"]:
    """Coefficients in a layout of nested ones by field; the inverse of `to_nested`.

    Args:
        layout: whose wavelet, modes and levels the coefficients are of.
        coefficients: for each field of the layout a nested list, in any of the forms
            that the two libraries return, batch first. Arrays may be of any library
            that NumPy can read, such as tensors of PyTorch without gradients.

    Raises:
        ValueError: a field, a level or a subband is missing or more than the layout
            has, or an array is not real or has another shape.

    Example:
        >>> theirs = pywt.wavedec2(u, "haar", "periodization", level=2, axes=(1, 2))
        >>> z = from_nested(layout, {"u": theirs})
        >>> u = layout.synthesis(z)["u"]
    """
    names = [quantity.name for quantity in layout.fields]
    if set(coefficients) != set(names):
        raise ValueError(
            f"There are coefficients for each field of the layout, {names}, but they "
            f"came for {sorted(coefficients)}. Give one nested list each."
        )
    parts = []
    for quantity in layout.fields:
        packing = layout.packing(quantity.dims)
        name = quantity.name
        z = packing.stack(_in_order(name, packing, list(coefficients[name])))
        z = jnp.expand_dims(z, layout.missing(quantity))
        parts.append(
            jnp.broadcast_to(z, (len(z), *layout.coefficient_grid, z.shape[-1]))
        )
    if len({len(part) for part in parts}) != 1:
        batches = dict(zip(names, map(len, parts), strict=True))
        raise ValueError(
            f"All fields have the same number of rows, but they have {batches}. Give "
            "the same samples of each."
        )
    z = jnp.concatenate(parts, axis=-1)
    return z / jnp.broadcast_to(_scale(layout, z.dtype), z.shape)


def as_wavedec2(coefficients: Coefficients) -> list[Any]:
    """Details on two axes as triples (horizontal, vertical, diagonal), in NumPy.

    Args:
        coefficients: one of `to_nested`.

    Raises:
        ValueError: they are not of two axes.

    Example:
        >>> u = pywt.waverec2(as_wavedec2(nested["u"]), "haar", axes=(1, 2))
    """
    _check_axes(coefficients, 2)
    details = [tuple(np.asarray(d[key]) for key in TRIPLE) for d in coefficients[1:]]
    return [np.asarray(coefficients[0]), *details]


def as_wavedec(coefficients: Coefficients) -> list[Any]:
    """Details on one axis as arrays of NumPy; otherwise as `as_wavedec2`."""
    _check_axes(coefficients, 1)
    details = [np.asarray(level["d"]) for level in coefficients[1:]]
    return [np.asarray(coefficients[0]), *details]


def _scale(layout: WaveletLayout, dtype: Any) -> Array:
    return jnp.asarray(layout.scale or (1.0,) * len(layout.channels), dtype)


def _check_axes(coefficients: Coefficients, axes: int) -> None:
    for level in coefficients[1:]:
        if set(level) != set(subband_keys(axes)[1:]):
            raise ValueError(
                f"This form is for details on {axes} of the axes, with the keys "
                f"{list(subband_keys(axes)[1:])}, but got {sorted(level)}. Keep them "
                "as they are: `pywt.waverecn` takes any number of axes."
            )


def _in_order(name: str, packing: Packing, nested: list[Any]) -> Coefficients:
    """Checked arrays of one field, details by key."""
    axes = len(packing.extents)
    levels = packing.levels if axes else 0
    if len(nested) != 1 + levels:
        raise ValueError(
            f"Coefficients of {name!r} are an approximation and the details of {levels}"
            f" levels, but {len(nested)} entries came. Transform with `level={levels}`."
        )
    keys, grids = subband_keys(axes)[1:], packing.grids[::-1]
    rows = np.shape(np.asarray(nested[0]))[:1]
    found: Coefficients = [
        _checked(f"the approximation of {name!r}", nested[0], (*rows, *grids[0]))
    ]
    for depth, given in enumerate(nested[1:]):
        level = f"level {levels - depth} of {name!r}"
        bands = _by_key(level, given, keys)
        shape = (*rows, *grids[depth])
        found.append({k: _checked(f"{k!r} on {level}", bands[k], shape) for k in keys})
    return found


def _by_key(level: str, given: Any, keys: tuple[str, ...]) -> Mapping[str, Any]:
    """The details of one level, whichever form they came in."""
    if not isinstance(given, Mapping):
        several = isinstance(given, list | tuple)
        order, values = (TRIPLE, given) if several else (("d",), [given])
        if set(order) == set(keys) and len(values) == len(order):
            return dict(zip(order, values, strict=True))
        came = f"{len(values)} arrays" if several else f"a {type(given).__name__}"
    elif set(given) == set(keys):
        return given
    else:
        came = f"the keys {sorted(given)}"
    raise ValueError(
        f"The details on {level} are a mapping with the keys {list(keys)}, also a "
        f"triple on two axes and an array on one, but {came} came. Give every subband, "
        "zeros where there is nothing."
    )


def _checked(name: str, given: Any, shape: tuple[int, ...]) -> Array:
    array = real(name, np.asarray(given))
    if array.shape != shape:
        raise ValueError(
            f"In this layout {name} has the shape {shape} (batch, *grid), but came "
            f"with {array.shape}. Were these coefficients made with another wavelet, "
            "mode or grid?"
        )
    return jnp.asarray(array)
