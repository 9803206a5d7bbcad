"""The Kuramoto-Sivashinsky equation on a ring: chaos in space and time."""

from dataclasses import dataclass
from functools import lru_cache, partial
from typing import ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Complex, Float, PRNGKeyArray

from wdno._typing import Fields
from wdno.systems.base import LabelledSystem, check_inputs, check_positive

__all__ = ["KuramotoSivashinsky"]

CONTOUR = 32
"""Points of the circle on which the coefficients of a step are averaged."""

Waves = Complex[Array, "batch wave"]


@dataclass(frozen=True)
class KuramotoSivashinsky(LabelledSystem):
    """A front's slope u(t, x) that long waves feed and short waves damp.

    The equation is u_t + (u²/2)_x + u_xx + u_xxxx = 0 on 0 <= x < length, periodic.
    Waves of wavenumber below 1 grow, the nonlinearity carries their energy to those
    above, and on rings much longer than 2π√2, the wavelength that grows fastest, the
    flow is chaotic: of two states that differ by little, the difference grows about
    tenfold in 25 units of time on the default ring [3].

    Method: Fourier series with the 2/3 rule against aliasing, and exponential time
    differencing of fourth order [1, 2], which integrates the stiff linear part exactly;
    its coefficients are averages over a circle in the complex plane [2, section 2],
    computed in double precision. The mean of u is conserved.

    Attributes:
        duration: length of the record in time.
        frames: number of intervals of time.
        points: number of grid points.
        length: circumference of the ring.
        substeps: steps in each interval of time.
        spin_up: time for which `sample_inputs` lets random waves run, so that states
            are those of the attractor.

    Raises:
        ValueError: a parameter is not positive.

    Example:
        >>> truth = KuramotoSivashinsky().trajectories(jax.random.key(0), samples=4)
        >>> truth.u.dims
        ('sample', 'time', 'x')

    References:
        [1] Cox and Matthews, J. Comput. Phys. 176 (2002), eq. 26-29.
        [2] Kassam and Trefethen, SIAM J. Sci. Comput. 26 (2005), sections 2 and 4.
        [3] Edson et al., ANZIAM J. 61 (2019), figure 3 (Lyapunov exponents).
    """

    duration: float = 16.0
    frames: int = 32
    points: int = 128
    length: float = 64.0
    substeps: int = 4
    spin_up: float = 100.0

    state: ClassVar[tuple[str, ...]] = ("u",)
    control: ClassVar[tuple[str, ...]] = ()
    attributes: ClassVar[dict[str, dict[str, str]]] = {
        "time": {"long_name": "time", "units": "1"},
        "x": {"long_name": "position on the ring", "units": "1"},
        "u": {"long_name": "slope of the front", "units": "1"},
    }

    def __post_init__(self) -> None:
        """Refuse parameters for which the equation or the grid makes no sense."""
        check_positive(**vars(self))

    @property
    def coords(self) -> dict[str, np.ndarray]:
        """Instants t_0 … t_frames and positions x_0 … x_(points - 1)."""
        return {
            "time": np.arange(self.frames + 1) * (self.duration / self.frames),
            "x": np.arange(self.points) * (self.length / self.points),
        }

    def sample_inputs(self, key: PRNGKeyArray, samples: int) -> Fields:
        """Draw states of the attractor: random waves, after ``spin_up``.

        Waves of the growing part of the spectrum, 0 < 2πn/length < 1, have normal
        amplitudes; their mean is 0, and stays so.

        Returns:
            ``u0`` (samples, points), float32 on every configuration, so that a key
            always names the same data.
        """
        growing = np.arange(1, 1 + max(1, int(self.length / (2 * np.pi))))
        angle = 2 * np.pi * np.outer(growing, np.arange(self.points)) / self.points
        basis = np.concatenate([np.cos(angle), np.sin(angle)]) / np.sqrt(len(growing))
        amplitude = jax.random.normal(key, (samples, len(basis)), jnp.float32)
        intervals = max(1, round(self.spin_up / (self.duration / self.frames)))
        return {"u0": _advance(self, amplitude @ jnp.float32(basis), intervals)}

    def solve(self, inputs: Fields) -> Fields:
        """Integrate the equation from given initial states.

        Compiled once per system and shape, and differentiable.

        Args:
            inputs: ``u0`` (batch, points), floating-point.

        Returns:
            ``u`` (batch, frames, points): the states at t_1 … t_frames.

        Raises:
            ValueError: an input is missing or does not have that shape.
        """
        check_inputs(inputs, u0=(self.points,))
        return {"u": _solve(self, inputs["u0"])}


class _Step(NamedTuple):
    """Coefficients of a step h of u' = L u + N(u), by wave; φ are those of [1]."""

    whole: Float[np.ndarray, " wave"]
    """exp(h L)"""
    half: Float[np.ndarray, " wave"]
    """exp(h L / 2)"""
    stage: Float[np.ndarray, " wave"]
    """(exp(h L / 2) - 1) / L"""
    first: Float[np.ndarray, " wave"]
    """h (-4 - z + eᶻ (4 - 3 z + z²)) / z³ with z = h L"""
    middle: Float[np.ndarray, " wave"]
    """h 2 (2 + z + eᶻ (z - 2)) / z³"""
    last: Float[np.ndarray, " wave"]
    """h (-4 - 3 z - z² + eᶻ (4 - z)) / z³"""
    convection: Complex[np.ndarray, " wave"]
    """-i k / 2 of the waves that the 2/3 rule keeps, 0 of the others."""


@partial(jax.jit, static_argnums=0)
def _solve(
    system: KuramotoSivashinsky, u0: Float[Array, "batch x"]
) -> Float[Array, "batch time x"]:
    def interval(waves: Waves, _: None) -> tuple[Waves, Waves]:
        waves = _interval(system, waves)
        return waves, waves

    _, waves = jax.lax.scan(interval, jnp.fft.rfft(u0), length=system.frames)
    return jnp.fft.irfft(waves, system.points).swapaxes(0, 1)


@partial(jax.jit, static_argnums=(0, 2))
def _advance(
    system: KuramotoSivashinsky, u0: Float[Array, "batch x"], intervals: int
) -> Float[Array, "batch x"]:
    """The state after a number of intervals."""

    def interval(_: Array, waves: Waves) -> Waves:
        return _interval(system, waves)

    waves = jax.lax.fori_loop(0, intervals, interval, jnp.fft.rfft(u0))
    return jnp.fft.irfft(waves, system.points)


def _interval(system: KuramotoSivashinsky, waves: Waves) -> Waves:
    """The substeps of one interval, by [2], section 2."""
    step_size = system.duration / system.frames / system.substeps
    table = _coefficients(step_size, system.points, system.length)
    whole, half, stage, first, middle, last, convection = (
        jnp.asarray(values, waves.dtype)[None] for values in table
    )

    def nonlinear(waves: Waves) -> Waves:
        """-(u²/2)_x."""
        square = jnp.square(jnp.fft.irfft(waves, system.points))
        return convection * jnp.fft.rfft(square)

    def step(_: Array, u: Waves) -> Waves:
        n_u = nonlinear(u)
        a = half * u + stage * n_u
        n_a = nonlinear(a)
        b = half * u + stage * n_a
        n_b = nonlinear(b)
        d = half * a + stage * (2 * n_b - n_u)
        n_d = nonlinear(d)
        return whole * u + first * n_u + middle * (n_a + n_b) + last * n_d

    return jax.lax.fori_loop(0, system.substeps, step, waves)


@lru_cache
def _coefficients(step_size: float, points: int, length: float) -> _Step:
    """Coefficients of a step; quotients are means over a circle around each value."""
    count = np.arange(points // 2 + 1)
    wavenumber = 2 * np.pi * count / length
    linear = wavenumber**2 - wavenumber**4
    angle = np.pi * (np.arange(CONTOUR) + 0.5) / CONTOUR  # half a circle: real values
    z = step_size * linear[:, None] + np.exp(1j * angle)

    def mean(quotient: np.ndarray) -> np.ndarray:
        return step_size * quotient.mean(axis=1).real

    e = np.exp(z)
    return _Step(
        whole=np.exp(step_size * linear),
        half=np.exp(step_size * linear / 2),
        stage=mean((np.exp(z / 2) - 1) / z),
        first=mean((-4 - z + e * (4 - 3 * z + z**2)) / z**3),
        middle=mean(2 * (2 + z + e * (z - 2)) / z**3),
        last=mean((-4 - 3 * z - z**2 + e * (4 - z)) / z**3),
        convection=np.where(3 * count < points, -0.5j * wavenumber, 0),
    )
