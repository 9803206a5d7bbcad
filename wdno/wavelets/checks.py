"""What the parts of a layout must agree on."""

from wdno.wavelets.field import MOST_LEVELS, Field

_CRITICALLY_SAMPLED = ("periodization", "boundary")
"""Modes that keep as many coefficients as samples, which needs even extents."""


def check_parts(
    fields: tuple[Field, ...],
    dims: tuple[str, ...],
    grid: tuple[int, ...],
    modes: tuple[str, ...],
    levels: int,
) -> None:
    """Raise ValueError where the parts of a `WaveletLayout` contradict each other.

    Args:
        fields: the quantities.
        dims: names of the axes.
        grid: samples along each axis.
        modes: boundary treatment of each axis.
        levels: of the transform.
    """
    _check_counts(dims, grid, modes, levels)
    _check_halvings(fields, dims, grid, modes, levels)
    names = [quantity.name for quantity in fields]
    if len(set(names)) < len(names):
        raise ValueError(
            f"The fields of a layout have different names, but got {names}. Rename one."
        )
    for quantity in fields:
        if quantity.dims != tuple(d for d in dims if d in quantity.dims):
            raise ValueError(
                f"A field has axes of the layout, {dims}, in that order, but "
                f"{quantity.name!r} has {quantity.dims}. Rename them."
            )
    _check_cells(fields, dims)


def _check_cells(fields: tuple[Field, ...], dims: tuple[str, ...]) -> None:
    """Points and centres of cells do not lie on one axis."""
    for dim in dims:
        there = [quantity for quantity in fields if dim in quantity.dims]
        of_cells = [quantity.name for quantity in there if dim in quantity.cells]
        if 0 < len(of_cells) < len(there):
            raise ValueError(
                "Along an axis all fields are means over its cells or all are values "
                f"at its points, but of {[q.name for q in there]} on {dim!r} only "
                f"{of_cells} are such means. Make the others `CellMeans` too."
            )


def _check_counts(
    dims: tuple[str, ...], grid: tuple[int, ...], modes: tuple[str, ...], levels: int
) -> None:
    if not len(dims) == len(grid) == len(modes):
        raise ValueError(
            "A layout needs one extent and one mode per axis, but got "
            f"dims {dims}, grid {grid}, modes {modes}. Give one each."
        )
    most = MOST_LEVELS // max(1, len(dims))  # 2^(levels axes) channels a field
    if not 1 <= levels <= most or min(grid, default=1) < 1:
        raise ValueError(
            f"A layout has 1 to {most} levels and samples along each axis, but got "
            f"{levels} levels and the grid {grid}. Correct them."
        )


def _check_halvings(
    fields: tuple[Field, ...],
    dims: tuple[str, ...],
    grid: tuple[int, ...],
    modes: tuple[str, ...],
    levels: int,
) -> None:
    for dim, extent, mode in zip(dims, grid, modes, strict=True):
        halvings = [q.level for q in fields if dim in q.refined]
        halvings += [levels] if mode in _CRITICALLY_SAMPLED else [0]
        if extent % 2 ** max(halvings):
            raise ValueError(
                f"Mode {mode!r} and coarse fields halve an axis, but the grid has "
                f"{extent} samples along {dim!r}. Use an extent divisible by "
                f"{2 ** max(halvings)} (keep an initial state as its own field), "
                "fewer levels or another mode."
            )
