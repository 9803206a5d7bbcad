"""Patches of a grid: neighbouring points side by side as channels of one."""

from jaxtyping import Array, Float

from wdno.networks.layers import Features


def to_patches(
    x: Features, patch: tuple[int, ...]
) -> Float[Array, "batch *token patched"]:
    """Move the points of every patch to the last axis, their channels beside."""
    axes = len(patch)
    pairs = [
        n
        for points, p in zip(x.shape[1:-1], patch, strict=True)
        for n in (points // p, p)
    ]
    split = x.reshape(len(x), *pairs, x.shape[-1])
    inner = range(2, 2 * axes + 1, 2)
    moved = split.transpose(0, *range(1, 2 * axes, 2), *inner, 2 * axes + 1)
    return moved.reshape(*moved.shape[: 1 + axes], -1)


def from_patches(
    patches: Float[Array, "batch *token patched"], patch: tuple[int, ...]
) -> Features:
    """Undo `to_patches`."""
    axes, tokens = len(patch), patches.shape[1:-1]
    split = patches.reshape(len(patches), *tokens, *patch, -1)
    order = [place for axis in range(axes) for place in (1 + axis, 1 + axes + axis)]
    moved = split.transpose(0, *order, 2 * axes + 1)
    grid = (n * p for n, p in zip(tokens, patch, strict=True))
    return moved.reshape(len(patches), *grid, split.shape[-1])
