"""Forced viscous Burgers flow between two walls: the paper's 1-D control problem."""

from dataclasses import dataclass
from functools import lru_cache, partial
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray
from scipy.interpolate import CubicSpline

from wdno._typing import Fields
from wdno.systems.base import LabelledSystem, check_inputs, check_positive
from wdno.systems.forces import gaussian, random_forces

__all__ = ["Burgers"]

# Values at all internal nodes, between the walls, and with a mirror point beyond each.
Nodes = Float[Array, "node batch"]
Interior = Float[Array, "interior batch"]
Extended = Float[Array, "extended batch"]


@dataclass(frozen=True)
class Burgers(LabelledSystem):
    """Velocity u(t, x) of a viscous fluid on 0 < x < length, driven by a force f.

    The equation is u_t + (u²/2)_x = ν u_xx + f with u = 0 at both walls. The force is
    held constant on each of the ``frames`` intervals of time. Inputs and outputs are
    point values at x_i = i length / points, i = 0 … points - 1 (the right wall, where
    u = 0, is not stored), so a grid of half the points is every second sample.

    Method: fourth-order central differences on ``refinement`` intervals per stored
    one, with a mirror point beyond each wall; a third-order strong-stability-preserving
    Runge-Kutta scheme [2] whose substeps follow from von Neumann's condition. The error
    falls with the fourth power of the spacing (measured: 3.9 or more); on the default
    problem, that of WDNO [1, appendix F], it is about 1e-4 in relative L2.

    Attributes:
        viscosity: ν, length² / time.
        duration: Length of the record in time.
        frames: Number of intervals of time, each with its own force.
        points: Number of stored grid points.
        length: Distance between the walls.
        refinement: Internal grid intervals per stored interval. Steep fronts of
            height Δu have a thickness of about 4 ν / Δu, which needs two intervals.
        max_speed: Largest |u| for which the substeps are stable.
        force_spans: Range of the standard deviations in time of the random forces that
            `sample_inputs` draws, in units of ``duration``.
            Planners learn from short ones: what they plan has to act late.

    Raises:
        ValueError: If a parameter is not positive.

    Example:
        >>> system = Burgers(points=60, frames=10)
        >>> inputs = system.sample_inputs(jax.random.key(0), samples=4)
        >>> system.solve(inputs)["u"].shape
        (4, 10, 60)

    References:
        [1] Hu et al., Wavelet Diffusion Neural Operator, ICLR 2025.
        [2] Shu and Osher, J. Comput. Phys. 77 (1988), eq. 2.18.
    """

    viscosity: float = 0.01
    duration: float = 8.0
    frames: int = 80
    points: int = 120
    length: float = 1.0
    refinement: int = 2
    max_speed: float = 6.0
    force_spans: tuple[float, float] = (0.1, 0.4)

    state: ClassVar[tuple[str, ...]] = ("u",)
    control: ClassVar[tuple[str, ...]] = ("f",)
    attributes: ClassVar[dict[str, dict[str, str]]] = {
        "time": {"long_name": "time", "units": "1"},
        "x": {"long_name": "position", "units": "1"},
        "u": {"long_name": "velocity", "units": "1"},
        "f": {"long_name": "force per unit mass", "units": "1"},
    }

    def __post_init__(self) -> None:
        """Refuse parameters for which the equation or the grid makes no sense."""
        parameters = dict(vars(self))
        shortest, longest = parameters.pop("force_spans")
        check_positive(**parameters, shortest_span=shortest, longest_span=longest)

    @property
    def coords(self) -> dict[str, np.ndarray]:
        """Instants t_0 … t_frames and positions x_0 … x_(points - 1)."""
        return {
            "time": np.arange(self.frames + 1) * (self.duration / self.frames),
            "x": np.arange(self.points) * (self.length / self.points),
        }

    @property
    def spacing(self) -> float:
        """Distance h between neighbouring internal nodes."""
        return self.length / (self.points * self.refinement)

    @property
    def substeps(self) -> int:
        """Runge-Kutta steps in each interval of time."""
        interval = self.duration / self.frames
        return _stable_substeps(interval, self.spacing, self.viscosity, self.max_speed)

    def sample_inputs(self, key: PRNGKeyArray, samples: int) -> Fields:
        """Draw initial states and forces from the paper's distribution.

        u0 is the sum of a positive and a negative Gaussian (WDNO, appendix F.1); f is
        that of `random_forces` at the start of each interval.

        Returns:
            ``u0`` (samples, points) and ``f`` (samples, frames, points), float32 on
            every configuration, so that a key always names the same data.
        """
        draw = partial(jax.random.uniform, dtype=jnp.float32)
        low, high = jnp.float32([[[0, -2, 0.2, 0.6]], [[2, 0, 0.4, 0.8]]])
        keys = jax.random.split(key, 8)
        drawn = low + (high - low) * draw(keys[0], (samples, 4))
        height, place = drawn[:, :2], drawn[:, 2:]
        width = draw(keys[1], (samples, 2), minval=0.05, maxval=0.15)
        time = jnp.arange(self.frames, dtype=jnp.float32) / self.frames
        x = jnp.arange(self.points, dtype=jnp.float32) / self.points
        return {
            "u0": jnp.einsum("bk,bkx->bx", height, gaussian(x, place, width)),
            "f": random_forces(keys[2:], samples, time, x, self.force_spans),
        }

    def solve(self, inputs: Fields) -> Fields:
        """Integrate the equation from given initial states under given forces.

        Compiled once per system and shape, and differentiable in both inputs. A row
        that diverges comes back as NaN or Inf, which `run` turns into an error.

        Args:
            inputs: ``u0`` (batch, points) and ``f`` (batch, frames, points) of the
                same floating-point type.

        Returns:
            ``u`` (batch, frames, points): the states at t_1 … t_frames.

        Raises:
            ValueError: If an input is missing or does not have that shape.
        """
        check_inputs(inputs, u0=(self.points,), f=(self.frames, self.points))
        return {"u": _solve(self, inputs["u0"], inputs["f"])}


@partial(jax.jit, static_argnums=0)
def _solve(
    system: Burgers, u0: Float[Array, "batch x"], f: Float[Array, "batch time x"]
) -> Float[Array, "batch time x"]:
    """Scan over the intervals with the batch as the last axis.

    Neighbours in x are then whole rows apart, which vectorises without shuffles.
    """
    nodes = jnp.asarray(_to_nodes(system.points, system.refinement), u0.dtype)
    refine = partial(jnp.matmul, nodes, precision=jax.lax.Precision.HIGHEST)

    @jax.checkpoint
    def interval(interior: Array, force: Array) -> tuple[Array, Array]:
        force = refine(force)
        step = partial(_step, system, force=force)
        u = _extend(system, interior, force)
        u = jax.lax.fori_loop(0, system.substeps, lambda _, u: step(u), u)
        return u[2:-2], u[1 : -2 : system.refinement]

    _, u = jax.lax.scan(interval, refine(u0.T)[1:-1], f.transpose(1, 2, 0))
    return u.transpose(2, 0, 1)


def _step(system: Burgers, u: Extended, force: Nodes) -> Extended:
    """One third-order strong-stability-preserving step (Shu and Osher, eq. 2.18)."""
    step_size = system.duration / system.frames / system.substeps
    extend = partial(_extend, system, force=force)

    def euler(u: Extended) -> Interior:
        return u[2:-2] + step_size * _tendency(system, u, force)

    first = extend(euler(u))
    second = extend(0.75 * u[2:-2] + 0.25 * euler(first))
    return extend(u[2:-2] / 3 + 2 / 3 * euler(second))


def _tendency(system: Burgers, u: Extended, force: Nodes) -> Interior:
    """Return f - (u²/2)_x + ν u_xx at the interior nodes, fourth-order accurate."""
    h = system.spacing
    left2, left, here, right, right2 = u[:-4], u[1:-3], u[2:-2], u[3:-1], u[4:]
    convection = (8 * (right**2 - left**2) - (right2**2 - left2**2)) / (24 * h)
    diffusion = (16 * (right + left) - (right2 + left2) - 30 * here) * (
        system.viscosity / (12 * h**2)
    )
    return force[1:-1] - convection + diffusion


def _extend(system: Burgers, interior: Interior, force: Nodes) -> Extended:
    """Add the walls and one mirror point beyond each.

    At a wall u = 0 for all time, so the equation leaves ν u_xx = -f there, and Taylor's
    formula gives u(-h) = -u(h) + h² u_xx + O(h⁴). The barrier keeps the compiler from
    fusing all stages into one kernel that computes each of them many times.
    """
    wall = jnp.zeros_like(interior[:1])
    curvature = system.spacing**2 / system.viscosity
    below = -interior[:1] - curvature * force[:1]
    beyond = -interior[-1:] - curvature * force[-1:]
    return jax.lax.optimization_barrier(
        jnp.concatenate([below, wall, interior, wall, beyond])
    )


@lru_cache
def _to_nodes(points: int, refinement: int) -> Float[np.ndarray, "node x"]:
    """Cubic spline from the stored points to all nodes, continued to the right wall."""
    nodes = np.arange(points * refinement + 1) / refinement
    return CubicSpline(np.arange(points), np.eye(points))(nodes)


@lru_cache
def _stable_substeps(
    interval: float, spacing: float, viscosity: float, max_speed: float
) -> int:
    """Fewest equal steps that damp every wave at every speed up to ``max_speed``.

    The scheme multiplies a wave by 1 + z + z²/2 + z³/6, where z is the step size times
    the symbol of ν ∂_xx - speed ∂_x. Steps are 10 % shorter than this linear bound.
    """
    angle = np.linspace(0, np.pi, 361)
    diffusion = viscosity * (32 * np.cos(angle) - 2 * np.cos(2 * angle) - 30) / 12
    speed = max_speed * np.linspace(0, 1, 9)[:, None]
    advection = speed * (8 * np.sin(angle) - np.sin(2 * angle)) / 6
    symbol = 1.1 * interval * (diffusion / spacing**2 - 1j * advection / spacing)
    count = 1 + int(np.abs(symbol).max() / 2.6)  # no |z| beyond 2.6 is stable
    while np.abs(np.polyval([1 / 6, 1 / 2, 1, 1], symbol / count)).max() > 1 + 1e-12:
        count += 1
    return count
