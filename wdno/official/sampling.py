"""Guidance of the official code, of the same `guide`, `clip` and samplers.

Each step of it is ``x0 <- clip(x0 - w grad J(clip(x0)))``: the objective is evaluated
at the clipped estimate but moves the one before. `Clipped` and `Unscaled` give `guide`
these gradients; `burgers_guidance` and `smoke_guidance` are whole presets, for a
denoiser without bound (`unbounded`).
"""

import math
from dataclasses import dataclass, replace

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from wdno._typing import Fields, Guidance
from wdno.diffusion.guidance import Rows, Synthesis, clip, compose, guide
from wdno.diffusion.schedules import CosineSchedule, DiscreteSchedule
from wdno.official.array_layout import TiledTargets
from wdno.operator.model import WDNO
from wdno.planning.objectives import energy, terminal

BOUND = 1.0
"""Largest magnitude of coefficients in units of their scale."""


@dataclass(frozen=True)
class Clipped:
    """Fields of clipped coefficients, with the gradient of unclipped ones."""

    layout: Synthesis
    bound: float = BOUND

    def synthesis(self, z: Array) -> Fields:
        """Fields of ``clip(z)``; as a function of z its derivative is that at clip."""
        beyond = lax.stop_gradient(jnp.clip(z, -self.bound, self.bound) - z)
        return self.layout.synthesis(z + beyond)


@dataclass(frozen=True)
class Unscaled:
    """The same fields, with the gradient by coefficients in physical units."""

    layout: Synthesis
    scale: tuple[float, ...]

    def synthesis(self, z: Array) -> Fields:
        """Fields of z; derivatives are divided by the scale of each channel."""
        part = z / jnp.broadcast_to(jnp.asarray(self.scale, z.dtype), z.shape)
        return self.layout.synthesis(part + lax.stop_gradient(z - part))


def unbounded(model: WDNO) -> WDNO:
    """The model with estimates as they are, for guidances that clip themselves."""
    return replace(model, denoiser=replace(model.denoiser, bound=math.inf))


def burgers_guidance(
    layout: Synthesis,
    known: Fields,
    state_weight: float = 120_000.0,
    energy_weight: float = 2e-5,
    schedule: DiscreteSchedule | None = None,
) -> Guidance:
    """Guidance of the control of Burgers flow.

    ``J = mean_x (u(0) - u0)^2 + mean_x (u(T) - u*)^2 + energy_weight sum f^2`` moves
    the estimate of the noise by ``state_weight beta_t grad J``, so that it acts at high
    noise above all.

    Args:
        layout: of the targets.
        known: "u0", "uT" of each row.
        state_weight: lambda of the paper's table 18.
        energy_weight: price of the energy.
        schedule: whose beta it is; the cosine schedule by default.
    """
    beta = (schedule or CosineSchedule()).beta

    def objective(fields: Fields) -> Rows:
        start = jnp.square(fields["u_first"] - known["u0"]).mean(axis=-1)
        miss = start + terminal(fields["u"], known["uT"])
        return miss + energy_weight * energy(fields["f"])

    def weight(sigma: Rows) -> Rows:
        return state_weight * beta(sigma) * sigma

    return compose(guide(objective, Clipped(layout), weight), clip(BOUND))


def smoke_guidance(
    layout: TiledTargets,
    known: Fields,
    ratio: float = 100.0,
    energy_weight: float = 0.0,
    initial_weight: float = 0.1,
) -> Guidance:
    """Guidance of the control of smoke: of the same strength at every noise level.

    ``J = -s(T) + energy_weight mean c^2 + initial_weight mean (density(0) - given)^2``,
    its gradient by coefficients in physical units.

    Args:
        layout: of the targets.
        known: "density0" of each row.
        ratio: lambda of the paper's table 20.
        energy_weight: price of the controls.
        initial_weight: price of a wrong initial density.
    """

    def objective(fields: Fields) -> Rows:
        off = jnp.square(fields["density_first"] - known["density0"])
        total = initial_weight * off.mean(axis=(1, 2))
        if "smoke" in fields:
            total -= fields["smoke"][:, -1]
        if "cx" in fields:
            total += energy_weight * _mean_square(fields)
        return total

    seen = Unscaled(Clipped(layout), tuple(layout.tiling.divisor.tolist()))
    return compose(guide(objective, seen, ratio), clip(BOUND))


def _mean_square(fields: Fields) -> Float[Array, " batch"]:
    """Over both components, time and space; the closing instant counts."""
    whole = [
        jnp.concatenate([fields[name], fields[f"{name}_last"][:, None]], axis=1)
        for name in ("cx", "cy")
    ]
    return jnp.square(jnp.stack(whole, axis=1)).mean(axis=(1, 2, 3, 4))
