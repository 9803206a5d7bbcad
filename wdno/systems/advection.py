"""Advection on a ring: the exact solution is the initial state, moved."""

from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from wdno._typing import Fields
from wdno.systems.base import LabelledSystem, check_inputs, check_positive
from wdno.systems.waves import Waves

__all__ = ["Advection"]


@dataclass(frozen=True)
class Advection(LabelledSystem):
    """A quantity u(t, x) carried round a ring at a constant speed β.

    The equation is u_t + β u_x = 0 on 0 <= x < length, periodic, with the solution
    u(t, x) = u(0, x - β t). It is evaluated by Fourier's series: exact to rounding for
    states with no more than ``points`` / 2 - 1 waves, and for others that of their
    trigonometric interpolant. The speed is a number of each trajectory.

    Attributes:
        duration: length of the record in time.
        frames: number of intervals of time.
        points: number of grid points.
        length: circumference of the ring.
        speeds: least and largest speed that `sample_inputs` draws; log-uniform, since
            PDEBench's eight speeds are (0.1, 0.2, 0.4, 0.7, 1, 2, 4, 7).
        waves: distribution of initial states.

    Raises:
        ValueError: If a parameter is not positive, or the speeds are out of order.

    Example:
        >>> truth = Advection().trajectories(jax.random.key(0), samples=4)
        >>> truth.u.dims, truth.advection_speed.dims
        (('sample', 'time', 'x'), ('sample',))

    References:
        Takamoto et al., PDEBench, arXiv 2210.07182, appendix D (equation, speeds and
        distribution).
    """

    duration: float = 0.8
    frames: int = 80
    points: int = 128
    length: float = 1.0
    speeds: tuple[float, float] = (0.1, 7.0)
    waves: Waves = Waves()

    state: ClassVar[tuple[str, ...]] = ("u",)
    control: ClassVar[tuple[str, ...]] = ()
    parameters: ClassVar[tuple[str, ...]] = ("advection_speed",)
    attributes: ClassVar[dict[str, dict[str, str]]] = {
        "time": {"long_name": "time", "units": "1"},
        "x": {"long_name": "position on the ring", "units": "1"},
        "u": {"long_name": "advected quantity", "units": "1"},
        "advection_speed": {"long_name": "advection speed", "units": "1"},
    }

    def __post_init__(self) -> None:
        """Refuse parameters for which the equation or the grid makes no sense."""
        slowest, fastest = self.speeds
        check_positive(
            duration=self.duration,
            frames=self.frames,
            points=self.points,
            length=self.length,
            slowest=slowest,
            fastest=fastest,
        )
        if slowest > fastest:
            raise ValueError(
                f"Speeds are drawn between a least and a largest one, but got "
                f"{self.speeds}. Exchange them."
            )

    @property
    def coords(self) -> dict[str, np.ndarray]:
        """Instants t_0 … t_frames and positions x_0 … x_(points - 1)."""
        return {
            "time": np.arange(self.frames + 1) * (self.duration / self.frames),
            "x": np.arange(self.points) * (self.length / self.points),
        }

    def sample_inputs(self, key: PRNGKeyArray, samples: int) -> Fields:
        """Draw initial states from ``waves``, and speeds log-uniformly.

        Returns:
            ``u0`` (samples, points) and ``advection_speed`` (samples,), float32 on
            every configuration, so that a key always names the same data.
        """
        key_states, key_speeds = jax.random.split(key)
        low, high = np.log(np.float32(self.speeds))
        logarithm = jax.random.uniform(
            key_speeds, (samples,), jnp.float32, minval=low, maxval=high
        )
        return {
            "u0": self.waves.draw(key_states, samples, self.points),
            "advection_speed": jnp.exp(logarithm),
        }

    def solve(self, inputs: Fields) -> Fields:
        """Move the initial states: û_k(t) = û_k(0) exp(-2πi k β t / length).

        Args:
            inputs: ``u0`` (batch, points) and ``advection_speed`` (batch,), of any
                sign, of the same floating-point type.

        Returns:
            ``u`` (batch, frames, points): the states at t_1 … t_frames.

        Raises:
            ValueError: If an input is missing or does not have that shape.
        """
        check_inputs(inputs, u0=(self.points,), advection_speed=())
        return {"u": _solve(self, inputs["u0"], inputs["advection_speed"])}


@partial(jax.jit, static_argnums=0)
def _solve(
    system: Advection, u0: Float[Array, "batch x"], speed: Float[Array, " batch"]
) -> Float[Array, "batch time x"]:
    """Turn the phase of every wave; the shortest of an even grid keeps its cosine.

    Phases are reduced to one turn before they are multiplied by 2π, so that single
    precision does not lose many turns' worth of digits.
    """
    interval = system.duration / system.frames / system.length
    times = jnp.asarray(interval * np.arange(1, system.frames + 1), u0.dtype)
    turns = speed[:, None] * times[None]
    waves = jnp.arange(system.points // 2 + 1, dtype=u0.dtype)[None, None]
    turns = waves * (turns - jnp.round(turns))[..., None]
    phase = -2 * np.pi * (turns - jnp.round(turns))
    moved = jnp.fft.rfft(u0)[:, None] * jax.lax.complex(jnp.cos(phase), jnp.sin(phase))
    return jnp.fft.irfft(moved, system.points)
