"""The tokens of a grid, and estimates that are made in some of them only."""

import math
from dataclasses import replace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Int, PyTree

from wdno._typing import Denoise, Guidance
from wdno.accelerate.region_scores import Patches
from wdno.diffusion.denoiser import (
    ConditionalDenoiser,
    GuidedDenoiser,
    Network,
    TokenBackbone,
)
from wdno.diffusion.noise import per_row
from wdno.diffusion.partial import RememberingBackbone
from wdno.diffusion.samplers import Rows, Sample
from wdno.networks.layers import crop, pad_to_multiple
from wdno.networks.patches import Places, place, to_patches


class Tokens(NamedTuple):
    """How a grid is cut into tokens, which are counted with the last axis fastest."""

    patch: tuple[int, ...]
    """Points of a token along each axis."""
    grid: tuple[int, ...]
    """Tokens along each axis."""
    points: tuple[int, ...]
    """Points of the grid, within which the last tokens may end."""

    @property
    def count(self) -> int:
        """Tokens of a row."""
        return math.prod(self.grid)

    def patches(self, x: Sample) -> Patches:
        """The points of each token, zero where it reaches beyond the grid."""
        padded = to_patches(pad_to_multiple(x, self.patch), self.patch)
        return padded.reshape(len(x), self.count, math.prod(self.patch), x.shape[-1])

    def first_points(self, values: Int[Array, "batch *grid"]) -> Int[Array, "batch n"]:
        """The value at the first point of each token."""
        first = (slice(None), *(slice(None, None, p) for p in self.patch))
        return values[first].reshape(len(values), -1)

    def marked(self, places: Places) -> Bool[Array, "batch *grid"]:
        """Which points belong to the tokens at these places."""
        ones = jnp.ones((*places.shape, 1), jnp.float32)
        marks = place(ones, places, self.count).reshape(len(places), *self.grid)
        for axis, extent in enumerate(self.patch, start=1):
            marks = jnp.repeat(marks, extent, axis=axis)
        return crop(marks[..., None], self.points)[..., 0] > 0


def parts(denoise: Denoise) -> tuple[ConditionalDenoiser, Guidance]:
    """A denoiser of a model taken apart: what estimates, and what guides that.

    Raises:
        ValueError: it is another function.
    """
    guidance: Guidance = lambda denoise: denoise  # noqa: E731
    if isinstance(denoise, GuidedDenoiser):
        denoise, guidance = denoise
    if not isinstance(denoise, ConditionalDenoiser):
        raise ValueError(
            "Region-adaptive sampling evaluates parts of a denoiser, so it takes that "
            f"of a model, `operator.generation.denoiser`, but got {denoise!r}. Take "
            "the plain sampler, or `Denoiser.given`."
        )
    return denoise, guidance


def tokens_of(estimate: ConditionalDenoiser, x: Sample) -> Tokens:
    """The tokens into which the backbone of a denoiser cuts its grid.

    Raises:
        ValueError: the backbone has none.
    """
    module = module_of(estimate.denoiser.backbone)
    if not isinstance(module, TokenBackbone):
        raise ValueError(
            "Region-adaptive sampling evaluates some tokens of a grid alone, which a "
            f"backbone of the kind {type(module).__name__} cannot. Take the plain "
            "sampler, or a model whose backbone is a "
            "`wdno.diffusion.denoiser.TokenBackbone`, such as a transformer."
        )
    points = x.shape[1:-1]
    return Tokens(tuple(module.patch), tuple(module.token_grid(points)), points)


def refreshed(
    estimate: ConditionalDenoiser,
    tokens: Tokens,
    x: Sample,
    sigma: Rows,
    old: Sample,
    places: Places,
    dense: Bool[Array, " batch"],
    context: PyTree,
) -> tuple[Sample, PyTree]:
    """Estimates of x0, new in some tokens and old in the others, and their context.

    Args:
        estimate: the denoiser.
        tokens: of its grid.
        x: noisy coefficients.
        sigma: their levels.
        old: estimates of the other tokens.
        places: of the tokens that are new, as many in each row.
        dense: rows that are new everywhere.
        context: what the backbone remembers of all tokens; empty if nothing.
    """

    def whole() -> tuple[Sample, PyTree]:
        return _denoised(estimate, x, sigma, context, None)

    def some() -> tuple[Sample, PyTree]:
        new, remembered = _denoised(estimate, x, sigma, context, places)
        return jnp.where(tokens.marked(places)[..., None], new, old), remembered

    def both() -> tuple[Sample, PyTree]:
        return jax.tree.map(
            lambda new, part: jnp.where(per_row(dense, new), new, part), whole(), some()
        )

    if places.shape[1] == tokens.count:
        return whole()
    kind = jnp.where(dense.all(), 0, jnp.where(dense.any(), 1, 2))
    return jax.lax.switch(kind, (whole, both, some))


def _denoised(
    estimate: ConditionalDenoiser,
    x: Sample,
    sigma: Rows,
    context: PyTree,
    places: Places | None,
) -> tuple[Sample, PyTree]:
    """Estimates of all tokens or of some, and what is remembered then."""
    denoiser, condition = estimate
    if not jax.tree.leaves(context):
        if places is None:
            return estimate(x, sigma), context
        part = replace(denoiser, backbone=lambda *a: denoiser.backbone(*a, places))
        return part(x, sigma, condition), context
    module, remembered = module_of(denoiser.backbone), []
    if not isinstance(module, RememberingBackbone):
        raise ValueError(
            "Keys and values are remembered by backbones that can attend to them, "
            f"which a {type(module).__name__} cannot. Leave out `Regions.context`, or "
            "take a `wdno.networks.TokenTransformer`."
        )

    def backbone(x: Sample, c_noise: Rows, cond: Array) -> Sample:
        output, memory = module.remembering(x, c_noise, cond, context, places)
        remembered.append(memory)
        return output

    x0 = replace(denoiser, backbone=backbone)(x, sigma, condition)
    return x0, remembered[0]


def module_of(backbone: Any) -> Any:
    """The module that a backbone is the value of, or itself."""
    return backbone.thaw() if isinstance(backbone, Network) else backbone
