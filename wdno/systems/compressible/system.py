"""Compressible viscous flow in one dimension: gas with shocks."""

from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from wdno._typing import Fields
from wdno.systems.base import LabelledSystem, check_inputs, check_positive
from wdno.systems.compressible.finite_volume import (
    OUTGOING,
    Boundary,
    Conserved,
    Primitive,
    to_conserved,
    to_primitive,
)
from wdno.systems.compressible.flow import GasFlow, fastest_wave
from wdno.systems.compressible.states import InitialStates, Jumps

__all__ = ["CompressibleNavierStokes"]

GROUP = 8
"""Rows that are solved at once: as few as keep a processor's core at work."""

Stored = Float[Array, "batch x"]
Record = Float[Array, "batch time x"]


@dataclass(frozen=True)
class CompressibleNavierStokes(LabelledSystem):
    """Density ρ, velocity v and pressure p of an ideal gas on a line.

    With the energy E = p / (γ - 1) + ρ v² / 2 and the stress σ = (ζ + 4 η / 3) v_x,

    ``ρ_t + (ρ v)_x = 0``,
    ``(ρ v)_t + (ρ v² + p - σ)_x = 0``,
    ``E_t + ((E + p - σ) v)_x = 0``

    (the equations of PDEBench, arXiv 2210.07182, without conduction of heat) for |x| <
    length / 2. The default problem is its shock case: hardly any viscosity, and waves
    leave at both ends. Nothing acts from outside: there is no control.

    Method: finite volumes on ``refinement`` cells per stored point: HLLC fluxes between
    limited parabolas in ρ, v and p (`finite_volume`), second order in smooth flow;
    strong-stability-preserving Runge-Kutta steps, whose length every trajectory chooses
    for itself and which end on the stored instants.

    A stored value is a mean over a cell of width length / points, and one over the
    ``refinement`` cells of the solver within: ρ is their mean density, v their momentum
    per mass, and p follows from their energy less ρ v² / 2, so that mass, momentum and
    energy of what is stored are exact. Inputs are such means too, and fill the cells of
    the solver uniformly.

    Attributes:
        shear_viscosity: η, pressure x time; with 0 of both, the Euler equations.
        bulk_viscosity: ζ, pressure x time.
        heat_ratio: γ, ratio of the specific heats.
        duration: Length of the record in time.
        frames: Number of intervals of time.
        points: Number of stored points.
        length: Of the domain, with its centre at x = 0.
        refinement: Cells of the solver per stored point.
        courant: Share of a cell that the fastest wave may cross in a step.
        boundary: What is beyond both ends: `OUTGOING`, `PERIODIC` or `WALL`.
        initial: Distribution of the initial states, `Jumps` or `Waves`.

    Raises:
        ValueError: If another number is not positive, γ not above 1, ``courant`` above
            1, or the boundary no `Boundary`.

    Example:
        >>> system = CompressibleNavierStokes(points=128, refinement=8)
        >>> inputs = system.sample_inputs(jax.random.key(0), samples=4)
        >>> system.solve(inputs)["density"].shape
        (4, 100, 128)
    """

    shear_viscosity: float = 1e-8
    bulk_viscosity: float = 1e-8
    heat_ratio: float = 5 / 3
    duration: float = 1.0
    frames: int = 100
    points: int = 1024
    length: float = 2.0
    refinement: int = 1
    courant: float = 0.45
    boundary: Boundary = OUTGOING
    initial: InitialStates = Jumps()

    state: ClassVar[tuple[str, ...]] = ("density", "velocity", "pressure")
    control: ClassVar[tuple[str, ...]] = ()
    attributes: ClassVar[dict[str, dict[str, str]]] = {
        "time": {"long_name": "time", "units": "1"},
        "x": {"long_name": "position", "units": "1"},
        "density": {"long_name": "density", "units": "1"},
        "velocity": {"long_name": "velocity", "units": "1"},
        "pressure": {"long_name": "pressure", "units": "1"},
    }

    def __post_init__(self) -> None:
        """Refuse parameters for which the equation or the grid makes no sense."""
        parameters = dict(vars(self))
        del parameters["boundary"], parameters["initial"]
        for name in ("shear_viscosity", "bulk_viscosity"):
            if parameters[name] == 0:  # of the Euler equations
                del parameters[name]
        check_positive(**parameters)
        if not isinstance(self.boundary, Boundary):
            raise ValueError(
                "What is beyond the ends of a gas is OUTGOING, PERIODIC or WALL of "
                f"wdno.systems.compressible, but boundary is {self.boundary!r}. Choose "
                "one of them."
            )
        if self.courant > 1:
            raise ValueError(
                "No wave may cross more than a cell in a step, but courant is "
                f"{self.courant}. Choose at most 1, better 0.45."
            )
        if self.heat_ratio <= 1:
            raise ValueError(
                "The ratio of the specific heats of a gas is above 1, but heat_ratio "
                f"is {self.heat_ratio}. Use 5/3 for one atom a molecule, 1.4 for air."
            )

    @property
    def coords(self) -> dict[str, np.ndarray]:
        """Instants t_0 … t_frames and centres of the stored cells."""
        width = self.length / self.points
        return {
            "time": np.arange(self.frames + 1) * (self.duration / self.frames),
            "x": (np.arange(self.points) + 0.5) * width - self.length / 2,
        }

    @property
    def spacing(self) -> float:
        """Width of a cell of the solver."""
        return self.length / (self.points * self.refinement)

    @property
    def flow(self) -> GasFlow:
        """The solver on its own cells."""
        return GasFlow(
            self.heat_ratio,
            self.bulk_viscosity + 4 * self.shear_viscosity / 3,
            self.spacing,
            self.courant,
            self.boundary,
        )

    def sample_inputs(self, key: PRNGKeyArray, samples: int) -> Fields:
        """Draw initial states from ``initial``.

        Returns:
            ``density0``, ``velocity0`` and ``pressure0``, (samples, points), float32.
        """
        return self.initial.draw(key, samples, self.points)

    def check(self, inputs: Fields) -> None:
        """Raise ValueError for a density or a pressure that is not positive."""
        for name in ("density0", "pressure0"):
            wrong = np.argwhere(~(np.asarray(inputs[name]) > 0))
            if len(wrong):
                sample, place = wrong[0]
                x = self.coords["x"][place]
                raise ValueError(
                    f"Density and pressure of a gas are positive, but {name} is "
                    f"{np.asarray(inputs[name])[sample, place]:.3g} in sample {sample} "
                    f"at x = {x:.4g}. Raise it there, e.g. by .clip(min=1e-6)."
                )

    def solve(self, inputs: Fields) -> Fields:
        """Integrate the equations from given initial states.

        Compiled once per system and shape. Differentiable in forward mode alone
        (`jax.jvp`): the number of steps depends on the flow, so there is no reverse
        mode. A row that diverges comes back as NaN, which `run` turns into an error.

        Args:
            inputs: ``density0``, ``velocity0`` and ``pressure0``, (batch, points), of
                the same floating-point type.

        Returns:
            ``density``, ``velocity`` and ``pressure`` (batch, frames, points): the
            states at t_1 … t_frames.

        Raises:
            ValueError: If an input is missing or does not have that shape.
        """
        names = [f"{name}0" for name in self.state]
        check_inputs(inputs, **dict.fromkeys(names, (self.points,)))
        record = _solve(self, *(inputs[name] for name in names))
        return dict(zip(self.state, record, strict=True))


@partial(jax.jit, static_argnums=0)
def _solve(
    system: CompressibleNavierStokes,
    density: Stored,
    velocity: Stored,
    pressure: Stored,
) -> tuple[Record, Record, Record]:
    """One group after the other; in each, all rows wait for the one of most steps.

    So rows of like speed are together.
    """
    gas = Primitive(density, velocity, pressure)
    batch = len(density)
    groups = max(1, -(-batch // GROUP))
    order = jnp.argsort(fastest_wave(gas, system.heat_ratio))
    members = jnp.arange(groups * -(-batch // groups))
    members = order[jnp.minimum(members, batch - 1)].reshape(groups, -1)
    gas = jax.tree.map(lambda values: values[members], gas)
    record = jax.lax.map(partial(_record, system), gas)
    back = jnp.argsort(order)
    density, velocity, pressure = (
        values.swapaxes(1, 2).reshape(-1, system.frames, system.points)[back]
        for values in record
    )
    return density, velocity, pressure


def _record(system: CompressibleNavierStokes, gas: Primitive) -> Primitive:
    """Scan over the intervals."""
    ratio, refinement, flow = system.heat_ratio, system.refinement, system.flow
    length = system.duration / system.frames

    def stored(values: Array) -> Array:
        return values.reshape(-1, system.points, refinement).mean(axis=2)

    def interval(cells: Conserved, _: None) -> tuple[Conserved, Primitive]:
        cells = flow.advance(cells, length)
        return cells, to_primitive(Conserved(*map(stored, cells)), ratio)

    means = to_conserved(gas, ratio)
    cells = Conserved(*(jnp.repeat(values, refinement, axis=1) for values in means))
    return jax.lax.scan(interval, cells, length=system.frames)[1]
