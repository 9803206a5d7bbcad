"""Guidance: functions that turn a denoiser into one that heeds a wish as well.

A guidance maps ``denoise`` to ``denoise``; it shifts the estimate of x0 and thereby
whatever any sampler does next. Objectives map physical fields to one number a row,
small is good.
"""

from collections.abc import Callable
from functools import partial
from math import inf
from typing import Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, ArrayLike, Float

from wdno._functions import ByValue, by_value
from wdno._typing import Constraint, Denoise, Fields, Guidance, Objective
from wdno.diffusion.noise import per_row

Rows = Float[Array, " batch"]
Sample = Float[Array, "batch *grid channel"]
Strength = Callable[[Rows], Rows]


@runtime_checkable
class Synthesis(Protocol):
    """Whatever turns coefficients into physical fields, such as a `WaveletLayout`."""

    def synthesis(self, z: Array) -> Fields:
        """Physical fields of packed, batch-leading coefficients `z`."""
        ...


def guide(
    objective: Objective,
    layout: Synthesis,
    strength: float | Float[Array, ""] | Strength,
) -> Guidance:
    """Descend an objective of the physical fields at every estimate of x0.

    ``x0 <- x0 - w(sigma) grad_z J(layout.synthesis(z))`` at ``z = x0``. The gradient
    does not pass through the network.

    A number ``lam`` as `strength` means ``w = lam sigma``. This is exactly the step
    ``eps <- eps + lam grad J`` of WDNO (Hu et al. 2025, arXiv 2412.04833, eq. 4) with
    the gradient taken at the clean estimate: ``x0 = (x_k - sqrt(1 - abar) eps)
    / sqrt(abar)`` moves by ``-lam sqrt((1 - abar)/abar) grad J = -lam sigma grad J``.
    (A gradient with respect to ``x_k``, network frozen, has one more factor
    ``1/sqrt(abar) = sqrt(1 + sigma^2)``.) For a prior of variance ``s^2`` and
    ``J = |x0 - y|^2/(2 tau^2)`` the exact posterior has ``w = v tau^2/(v + tau^2)``
    with ``v = s^2 sigma^2/(s^2 + sigma^2)``.

    Args:
        objective: one number a row from physical fields, each from its own row only.
        layout: gives the physical fields by ``layout.synthesis(z)``.
        strength: ``lam``, or the function ``w`` of sigma of shape ``(batch,)``.

    Raises:
        ValueError: on evaluation, if the objective does not return one floating-point
            number a row, or (outside jit, where values are known) it or its gradient
            is not finite.

    Example:
        >>> reach = lambda fields: terminal(fields["u"], goal)
        >>> denoise = guide(reach, layout, 0.1)(model.given(cond))
    """
    weight = strength if callable(strength) else partial(_linear, strength)

    def guidance(denoise: Denoise) -> Denoise:
        def guided(x: Sample, sigma: Rows) -> Sample:
            x0 = denoise(x, sigma)
            values, gradient = _value_and_gradient(objective, layout, x0)
            _require_finite("value", values)
            _require_finite("gradient", gradient)
            return x0 - per_row(weight(sigma), x0) * gradient

        return guided

    return guidance


def check_objective(
    objective: Objective, layout: Synthesis, z: Sample, known: Fields | None = None
) -> None:
    """Try an objective once, so that mistakes show before a long run.

    It must be finite with a finite gradient near the zero fields (near, not at them:
    there a norm has no gradient), and it must depend on the fields, near or far.

    Args:
        objective: one number a row from physical fields.
        layout: gives the physical fields by ``layout.synthesis(z)``.
        z: coefficients of the size of data, such as standard normal ones.
        known: what else the objective reads, of as many rows.

    Raises:
        ValueError: if the objective does not return one floating-point number a row, is
            not finite, or has gradient zero.
    """
    evaluate = partial(_tried, by_value(objective), layout, known or {})
    values, near = evaluate(_scaled(z, 0.01))
    _require_finite("value", values)
    _require_finite("gradient", near)
    if not np.any(near) and not np.any(evaluate(_scaled(z, 3.0))[1]):
        names = sorted(jax.eval_shape(layout.synthesis, z))
        raise ValueError(
            f"An objective must depend on the generated fields {names}, but its "
            "gradient is zero. Does it round, compare or stop gradients?"
        )


@partial(jax.jit, static_argnums=(0, 1))
def _tried(
    objective: ByValue[Objective], layout: Synthesis, known: Fields, z: Sample
) -> tuple[Rows, Sample]:
    return _value_and_gradient(
        lambda fields: objective.value({**known, **fields}), layout, z
    )


def _scaled(z: Sample, factor: float) -> Sample:
    return jax.device_put(np.asarray(z) * np.asarray(factor, z.dtype))  # none compiled


def clip(bound: float) -> Guidance:
    """Clamp the estimate of x0 to ``[-bound, bound]``, as DDPM does with ``bound = 1``.

    Raises:
        ValueError: if `bound` is not positive and finite.
    """
    if not 0 < bound < inf:
        raise ValueError(
            f"`bound` must be positive and finite but is {bound}. "
            "Pass the largest magnitude that coefficients may have."
        )
    return lambda denoise: lambda x, sigma: jnp.clip(denoise(x, sigma), -bound, bound)


def classifier_free(unconditional: Denoise, weight: float) -> Guidance:
    """``D <- weight D + (1 - weight) D_unconditional``.

    Weight 1 is the conditional denoiser and 0 the unconditional one; it is ``1 + w`` of
    Ho & Salimans 2022 (arXiv 2207.12598), eq. 6.
    """

    def guidance(denoise: Denoise) -> Denoise:
        def guided(x: Sample, sigma: Rows) -> Sample:
            conditional = weight * denoise(x, sigma)
            return conditional + (1 - weight) * unconditional(x, sigma)

        return guided

    return guidance


def compose(*guidances: Guidance) -> Guidance:
    """Apply guidances in order: ``compose(first, then)(d) == then(first(d))``.

    Example:
        >>> wish = compose(guide(objective, layout, 0.1), clip(1.0))  # clips last
    """

    def guidance(denoise: Denoise) -> Denoise:
        for wish in guidances:
            denoise = wish(denoise)
        return denoise

    return guidance


def _value_and_gradient(
    objective: Objective, layout: Synthesis, z: Sample
) -> tuple[Rows, Sample]:
    """The objective of each row and its gradient with respect to the coefficients."""

    def total(z: Sample) -> tuple[Float[Array, ""], Rows]:
        values = _require_rows(objective(layout.synthesis(z)), z.shape[0])
        return values.sum(), values

    gradient, values = jax.grad(total, has_aux=True)(z)
    return values, gradient


def _linear(slope: float | Float[Array, ""], sigma: Rows) -> Rows:
    return jnp.asarray(slope, sigma.dtype) * sigma


def _require_rows(returned: ArrayLike, batch: int) -> Rows:
    values = jnp.asarray(returned)
    if values.shape != (batch,) or not jnp.issubdtype(values.dtype, jnp.floating):
        raise ValueError(
            "An objective must return one floating-point number a row, shape "
            f"({batch},), but returned {values.dtype} of shape {values.shape}. "
            "Reduce over all axes but the first."
        )
    return values


def _require_finite(what: str, values: Array) -> None:
    # Under jit values are unknown: there a non-finite number stays visible as NaN.
    if not isinstance(values, Tracer) and not np.isfinite(values).all():
        raise ValueError(
            f"An objective must be finite but its {what} is not. "
            "Check it for division by zero, and for roots and logarithms at 0."
        )


@runtime_checkable
class Transform(Synthesis, Protocol):
    """Physical fields <-> coefficients, such as a `WaveletLayout`."""

    def analysis(self, fields: Fields) -> Array:
        """Packed coefficients of physical `fields`; linear."""
        ...


def project(constraint: Constraint, layout: Transform) -> Guidance:
    """Project every estimate of x0 onto the fields that a constraint allows.

    ``x0 <- x0 + layout.analysis(P(u) - u)`` with ``u = layout.synthesis(x0)``. As
    analysis is linear and synthesis its inverse, this is ``analysis(P(u))``, but
    coefficients of fields that P leaves alone keep their bits, and those of a redundant
    transform the part that synthesis does not see.

    Args:
        constraint: a projection of the fields of the layout.
        layout: gives the physical fields by ``layout.synthesis(z)`` and coefficients by
            ``layout.analysis(fields)``.

    Example:
        >>> weak = project(bounds("f", -1.0, 1.0), model.targets)
        >>> denoise = compose(guide(reach, model.targets, 0.1), weak)(denoise)
    """

    def guidance(denoise: Denoise) -> Denoise:
        def projected(x: Sample, sigma: Float[Array, " batch"]) -> Sample:
            x0 = denoise(x, sigma)
            fields = layout.synthesis(x0)
            allowed = constraint(fields)
            change = {name: allowed[name] - field for name, field in fields.items()}
            return x0 + layout.analysis(change)

        return projected

    return guidance
