"""Noise levels: arrays of sigma to sample along, distributions of sigma to train on.

Everything lives in sigma-space (Karras et al. 2022, arXiv 2206.00364): a noisy sample
is ``x = x0 + sigma * n`` with ``n ~ N(0, I)``. A variance-preserving model with
cumulative product ``abar`` (Ho et al. 2020) sees ``sqrt(abar) * x`` where
``sigma = sqrt((1 - abar) / abar)``.
"""

from collections.abc import Callable, Sequence
from math import inf

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray, Shaped

NoiseDistribution = Callable[[PRNGKeyArray, tuple[int, ...]], Float[Array, "..."]]
"""``draw(key, shape)`` gives independent positive noise levels of that shape."""


def per_row(values: Shaped[Array, " batch"], x: Array) -> Shaped[Array, "batch ..."]:
    """Shape one value a row, ``(batch,)``, so that it multiplies batch-leading `x`."""
    return values.reshape(values.shape + (1,) * (x.ndim - 1))


def karras(
    steps: int, sigma_min: float, sigma_max: float, rho: float = 7.0
) -> Float[Array, " {steps}+1"]:
    """Noise levels equidistant in ``sigma**(1/rho)``, then 0.

    ``sigma_i = (sigma_max**(1/rho) + i/(steps-1) (sigma_min**(1/rho)
    - sigma_max**(1/rho)))**rho`` for ``i = 0 .. steps-1`` and ``sigma_steps = 0``
    (Karras et al. 2022, eq. 5). One step gives ``[sigma_max, 0]``.

    Raises:
        ValueError: if there is no step, or not ``0 < sigma_min < sigma_max < inf``,
            or `rho` is not positive.
    """
    _require(steps >= 1, f"`steps` must be at least 1 but is {steps}. Ask for more.")
    _require_range(sigma_min, sigma_max)
    _require_positive("rho", rho)
    ramp = np.linspace(sigma_max ** (1 / rho), sigma_min ** (1 / rho), steps) ** rho
    ramp[0] = sigma_max  # exact in spite of the two powers
    return jnp.asarray(np.append(ramp, 0.0))


def cosine(steps: int, timesteps: int = 1000) -> Float[Array, " {steps}+1"]:
    """Every (timesteps/steps)-th noise level of the cosine table, then 0.

    ``abar(t) = f(t)/f(0)``, ``f(t) = cos^2((t/timesteps + 0.008)/1.008 * pi/2)``, with
    ``beta <= 0.999`` (Nichol & Dhariwal 2021, arXiv 2102.09672, eq. 17).

    Raises:
        ValueError: if not ``1 <= steps <= timesteps``.
    """
    return _subsample(cosine_table(timesteps), steps)


def sigmoid(steps: int, timesteps: int = 1000) -> Float[Array, " {steps}+1"]:
    """Every (timesteps/steps)-th noise level of the sigmoid table, then 0.

    ``abar(t)`` falls from 1 to 0 as ``-1/(1 + exp(-v))`` with ``v`` from -3 to 3, with
    ``beta <= 0.999`` (Jabri et al. 2022, arXiv 2212.11972, algorithm 1 at tau = 1).

    Raises:
        ValueError: if not ``1 <= steps <= timesteps``.
    """
    return _subsample(sigmoid_table(timesteps), steps)


def cosine_table(timesteps: int) -> Float[np.ndarray, " {timesteps}"]:
    """Noise level of each step of `cosine`, increasing, in double precision."""
    time = np.arange(timesteps + 1) / timesteps
    return _table(np.cos((time + 0.008) / 1.008 * np.pi / 2) ** 2)


def sigmoid_table(timesteps: int) -> Float[np.ndarray, " {timesteps}"]:
    """Noise level of each step of `sigmoid`, increasing, in double precision.

    The curve ends at its limit in single precision, as in the tables that published
    models were trained on; it moves the last abar, 3e-7, by 3e-5 of itself.
    """
    curve = 1 / (1 + np.exp(-np.linspace(-3.0, 3.0, timesteps + 1)))
    return _table(float(np.float32(curve[-1])) - curve)


def log_normal(mean: float, std: float) -> NoiseDistribution:
    """``ln sigma ~ N(mean, std^2)`` (Karras et al. 2022, table 1: -1.2 and 1.2).

    Raises:
        ValueError: if `std` is not positive and finite, or `mean` is not finite.
    """
    _require_positive("std", std)
    _require_positive("exp(mean)", float(np.exp(mean)))
    return lambda key, shape: jnp.exp(mean + std * jax.random.normal(key, shape))


def log_uniform(sigma_min: float, sigma_max: float) -> NoiseDistribution:
    """``ln sigma`` uniform on ``[ln sigma_min, ln sigma_max)``.

    Raises:
        ValueError: if not ``0 < sigma_min < sigma_max < inf``.
    """
    _require_range(sigma_min, sigma_max)
    low, high = float(np.log(sigma_min)), float(np.log(sigma_max))
    return lambda key, shape: jnp.exp(
        jax.random.uniform(key, shape, minval=low, maxval=high)
    )


def point(sigma: float) -> NoiseDistribution:
    """Always `sigma`, for models that generate in one step.

    Raises:
        ValueError: if `sigma` is not positive and finite.
    """
    _require_positive("sigma", sigma)
    return lambda key, shape: jnp.full(shape, float(sigma))


def mixture(
    distributions: Sequence[NoiseDistribution], weights: Sequence[float]
) -> NoiseDistribution:
    """Each level from distribution ``i`` with probability ``weights[i]/sum(weights)``.

    Example:
        >>> draw = mixture([log_normal(-1.2, 1.2), point(80.0)], [0.9, 0.1])

    Raises:
        ValueError: if there is not one weight a distribution, or the weights are
            negative, not finite or all zero.
    """
    share = np.asarray(weights, dtype=float)
    _require(
        len(share) == len(distributions),
        f"`mixture` needs one weight a distribution but got {len(distributions)} "
        f"distributions and {len(share)} weights. Pass lists of equal length.",
    )
    _require(
        bool(np.all(share >= 0) and 0 < share.sum() < inf),
        f"`weights` must be non-negative with a positive sum but are {weights}. "
        "Leave out the distributions that must not occur.",
    )
    share = share / share.sum()

    def draw(key: PRNGKeyArray, shape: tuple[int, ...]) -> Float[Array, "..."]:
        which, *keys = jax.random.split(key, len(share) + 1)
        index = jax.random.choice(which, len(share), shape, p=jnp.asarray(share))
        draws = [part(k, shape) for part, k in zip(distributions, keys, strict=True)]
        return jnp.take_along_axis(jnp.stack(draws), index[None], axis=0)[0]

    return draw


def _table(curve: np.ndarray) -> np.ndarray:
    """Noise levels where ``curve`` is proportional to abar before beta is clipped."""
    beta = np.clip(1 - curve[1:] / curve[:-1], 0.0, 0.999)
    abar = np.cumprod(1 - beta)
    return np.sqrt((1 - abar) / abar)


def _subsample(table: np.ndarray, steps: int) -> Float[Array, " {steps}+1"]:
    """Levels at times ``int(linspace(-1, timesteps-1, steps+1))``, largest first.

    Time -1 is sigma = 0.
    """
    timesteps = len(table)
    _require(
        1 <= steps <= timesteps,
        f"`steps` must be between 1 and timesteps={timesteps} but is {steps}. "
        "Take fewer steps or a longer table.",
    )
    # linspace(-1, T-1, S+1)_i = iT/S - 1; in integers no rounding can move a time.
    picked = np.arange(steps, -1, -1) * timesteps // steps
    return jnp.asarray(np.append(0.0, table)[picked])


def _require_range(sigma_min: float, sigma_max: float) -> None:
    _require(
        bool(0 < sigma_min < sigma_max < inf),
        "Noise levels must satisfy 0 < sigma_min < sigma_max < inf but are "
        f"sigma_min={sigma_min}, sigma_max={sigma_max}. Swap or correct them.",
    )


def _require_positive(name: str, value: float) -> None:
    _require(
        bool(0 < value < inf),
        f"`{name}` must be positive and finite but is {value}. Correct it.",
    )


def _require(holds: bool, message: str) -> None:
    if not holds:
        raise ValueError(message)
