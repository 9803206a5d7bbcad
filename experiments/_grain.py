"""Channels of coefficients by how fine they are."""

from wdno.wavelets.layout import WaveletLayout


def energy_channels(layout: WaveletLayout, from_depth: int = 1) -> tuple[int, ...]:
    """Channels of details, from the coarsest (1) or from finer ones on."""
    return tuple(n for n, depth in enumerate(depths(layout)) if depth >= from_depth)


def depths(layout: WaveletLayout) -> tuple[int, ...]:
    """Of each channel: 0 for approximations, 1 for the coarsest details, and so on."""
    return tuple(
        depth
        for quantity in layout.fields
        for depth in layout.packing(quantity.dims).depths
    )
