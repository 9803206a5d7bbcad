"""The smoke problem as a physical system."""

from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, PRNGKeyArray

from wdno._typing import Fields
from wdno.systems.base import LabelledSystem, check_inputs, check_positive
from wdno.systems.smoke.flow import Flow, solve
from wdno.systems.smoke.geometry import EXITS, LENGTH, OBSTACLES, RING, Rectangle
from wdno.systems.smoke.routes import draw_route, random_drive, squares

__all__ = ["Smoke"]


MEANING = {
    "time": "time",
    "y": "height",
    "x": "position",
    "density": "density of smoke",
    "vx": "velocity along x",
    "vy": "velocity along y",
    "cx": "imposed velocity along x",
    "cy": "imposed velocity along y",
    "obstacle": "closed to the flow",
    "ring": "where a control acts",
    "smoke": "share of the smoke in the target exit",
}
"""Long names of the coordinates and variables."""


@dataclass(frozen=True)
class Smoke(LabelledSystem):
    """Smoke carried by a velocity that is free of divergence and imposed in a ring.

    The control problem of WDNO (arXiv 2412.04833, appendix H): a velocity is imposed in
    the outer ring of the box, and has to carry smoke from below the lid through the
    middle gap of the ceiling, past obstacles, although it only acts at a distance. In
    each step

    ``v ← P(c in the ring, v elsewhere)``,  ``ρ(x) ← ρ(x - v Δt)``,

    where P projects onto velocities without divergence that do not enter obstacles
    (`PressureProjection`); the box is open and pressure is zero outside. On the
    outermost faces, which are part of the ring, the imposed velocity stays. Momentum
    is neither advected nor diffused: so the problem was stated.

    An array of ``points`` x ``points`` stands for every ``refinement``-th cell of the
    solver's grid (density), or its left face (vx) and lower face (vy); inputs fill
    refinement x refinement cells or faces each. With the defaults this is the solver
    of the official evaluation, whose records it meets to a relative 1e-4 or better.

    Attributes:
        points: Stored points along each axis.
        frames: Number of intervals of time, each with its own control.
        duration: Length of the record in time.
        refinement: Cells of the solver per stored point along each axis.
        substeps: Steps of the solver per interval.
        rise: Initial velocity along y, everywhere.
        target: Which exit is the goal.
        obstacles: Closed parts of the box, which is 128 wide and high.
        exits: Where smoke that has left is counted.

    Raises:
        ValueError: If a number is not positive, cells are thicker than an obstacle,
            there is no such exit, or obstacles enclose a part of the fluid.

    Example:
        >>> system = Smoke()
        >>> inputs = system.sample_inputs(jax.random.key(0), samples=2)
        >>> system.solve(inputs)["density"].shape
        (2, 32, 64, 64)
    """

    points: int = 64
    frames: int = 32
    duration: float = 256.0
    refinement: int = 2
    substeps: int = 8
    rise: float = 0.2
    target: int = 1
    obstacles: tuple[Rectangle, ...] = OBSTACLES
    exits: tuple[Rectangle, ...] = EXITS

    state: ClassVar[tuple[str, ...]] = ("density",)
    control: ClassVar[tuple[str, ...]] = ("cx", "cy")
    auxiliary: ClassVar[dict[str, tuple[str, ...]]] = {
        "vx": ("time", "y", "x"),
        "vy": ("time", "y", "x"),
        "smoke": ("time",),
    }
    attributes: ClassVar[dict[str, dict[str, str]]] = {
        name: {"long_name": meaning, "units": "1"} for name, meaning in MEANING.items()
    }

    def __post_init__(self) -> None:
        """Refuse a geometry that the grid does not resolve, or that encloses fluid."""
        sizes = ("points", "frames", "duration", "refinement", "substeps")
        check_positive(**{name: getattr(self, name) for name in sizes})
        if self.refinement < 2:
            raise ValueError(
                "A stored point stands for 2 cells or more along each axis, but got "
                f"refinement={self.refinement}. Use 2 and fewer points."
            )
        if not 0 <= self.target < len(self.exits):
            raise ValueError(
                f"Exits are numbered from 0 to {len(self.exits) - 1}, but target is "
                f"{self.target}. Choose one of them."
            )
        flow = _flow(self)
        thinnest = min((min(o.height, o.width) for o in self.obstacles), default=LENGTH)
        if flow.spacing > thinnest:
            raise ValueError(
                f"Cells are at most as thick as the thinnest obstacle, {thinnest}, but "
                f"{self.points} points with refinement {self.refinement} make cells of "
                f"{flow.spacing:.3g} (the box is {LENGTH} wide). Use more of either."
            )
        _ = flow.project  # refuses enclosed fluid

    @property
    def flow(self) -> Flow:
        """The solver's grid and step."""
        return _flow(self)

    @property
    def coords(self) -> dict[str, np.ndarray]:
        """Instants t_0 … t_frames, and centres of the cells that are stored."""
        stored = (np.arange(self.points) * self.refinement + 0.5) * self.flow.spacing
        time = np.arange(self.frames + 1) * (self.duration / self.frames)
        return {"time": time, "y": stored, "x": stored}

    @property
    def obstacle(self) -> Bool[np.ndarray, "y x"]:
        """Stored points that lie in an obstacle."""
        return ~self.flow.project.fluid[:: self.refinement, :: self.refinement]

    @property
    def ring(self) -> Bool[np.ndarray, "y x"]:
        """Stored points where a control acts."""
        return self.flow.ring[:: self.refinement, :: self.refinement]

    @property
    def static(self) -> dict[str, np.ndarray]:
        """``obstacle`` and ``ring``: 1 in obstacles, and where a control acts."""
        masks = {"obstacle": self.obstacle, "ring": self.ring}
        return {name: mask.astype(np.float32) for name, mask in masks.items()}

    def sample_inputs(self, key: PRNGKeyArray, samples: int) -> Fields:
        """Draw a square of smoke and a control that drives it past way-points.

        The control is that of WDNO's data (appendix H): at four steps the ring gets
        a uniform velocity (`draw_route`) with noise of a tenth of it; at every other
        one it keeps what the projection has left of it, plus noise of 0.1. It is
        recorded at the first step of every interval, and `solve` holds it there.

        Returns:
            ``density0`` (samples, points, points), ``cx`` and ``cy`` (samples, frames,
            points, points), which are zero within the ring's hole.
        """
        route_key, noise_key = jax.random.split(key)
        steps = self.frames * self.substeps
        route = draw_route(route_key, samples, steps)
        cx, cy = random_drive(
            self.flow, self.frames, route.velocity, route.turn, noise_key
        )
        return {"density0": squares(route.start, self.points), "cx": cx, "cy": cy}

    def solve(self, inputs: Fields) -> Fields:
        """Carry the smoke from its initial density under given controls.

        Compiled once per system and shape; differentiable in all inputs. Controls
        within the hole of the ring do not act (`run` refuses them).

        Args:
            inputs: ``density0`` (batch, points, points), ``cx`` and ``cy`` (batch,
                frames, points, points) of the same floating-point type.

        Returns:
            At t_1 … t_frames ``density``, ``vx`` and ``vy`` (batch, frames, points,
            points); and ``smoke`` (batch, frames): of the smoke that is in the box or
            has come into an exit, where it is counted once and taken out, the share
            that came into the target.

        Raises:
            ValueError: If an input is missing or has another shape.
        """
        record = self._record(inputs)
        known = record["absorbed"].sum(axis=-1)  # zero once all has left elsewhere
        share = record["absorbed"][..., self.target] / jnp.where(known > 0, known, 1)
        fields = {name: record[name] for name in ("density", "vx", "vy")}
        return fields | {"smoke": share}

    def counts(self, inputs: Fields) -> Fields:
        """Smoke in each exit and what remains, by both definitions.

        Args:
            inputs: as for `solve`.

        Returns:
            ``absorbed`` and ``dwell`` (batch, frames, exits + 1) up to t_1 … t_frames,
            the last column being what remains outside the exits. Absorbed smoke is
            counted once, and then taken out; dwelling smoke again at every step that it
            spends in an exit, as in the official evaluation (``evaluate_solver.py``).
        """
        record = self._record(inputs)
        return {name: record[name] for name in ("absorbed", "dwell")}

    def check(self, inputs: Fields) -> None:
        """Raise ValueError for smoke within obstacles or a control outside the ring."""
        ring = ~self.ring
        for name, wrong in (("density0", self.obstacle), ("cx", ring), ("cy", ring)):
            rows = np.argwhere(np.asarray(inputs[name])[..., wrong])
            if len(rows):
                raise ValueError(
                    "Smoke starts outside obstacles, and controls act in the outer "
                    f"ring, {RING} thick, alone, but {name} is not zero elsewhere, "
                    f"first in sample {rows[0, 0]}. Set it to zero there, e.g. by "
                    f".where(mask, 0) with ~system.obstacle or system.ring."
                )

    def _record(self, inputs: Fields) -> Fields:
        plane = (self.points, self.points)
        over_time = (self.frames, *plane)
        check_inputs(inputs, density0=plane, cx=over_time, cy=over_time)
        return solve(self.flow, inputs["density0"], inputs["cx"], inputs["cy"])


@lru_cache
def _flow(system: Smoke) -> Flow:
    """One for all equal systems: its matrices take a second to make."""
    return Flow(
        system.points,
        system.refinement,
        system.substeps,
        system.duration / (system.frames * system.substeps),
        system.rise,
        system.obstacles,
        system.exits,
    )
