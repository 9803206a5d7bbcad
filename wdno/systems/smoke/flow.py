"""What happens in a step: a velocity imposed in the ring moves air, and air smoke."""

from dataclasses import dataclass
from functools import cached_property, partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from wdno._typing import Fields
from wdno.systems.smoke.geometry import LENGTH, Rectangle, covered, in_ring
from wdno.systems.smoke.pressure import PressureProjection
from wdno.systems.smoke.staggered import Faces, advect

__all__ = ["Flow", "Scene", "advance", "begin", "solve"]

Density = Float[Array, "batch y x"]
Plane = Float[Array, "batch point point"]
Controls = Float[Array, "batch frame point point"]


class Scene(NamedTuple):
    """All that a step changes."""

    velocity: Faces
    density: Density
    remaining: Density
    """The same, without what has come into an exit."""
    absorbed: Float[Array, "batch exit"]
    dwell: Float[Array, "batch exit"]


@dataclass(frozen=True)
class Flow:
    """The solver's grid and its step, `wdno.systems.Smoke` says of which equations.

    Attributes:
        points: Stored points along each axis.
        refinement: Cells per stored point along each axis.
        substeps: Steps per interval, in which a control is held.
        step: Length of a step in time.
        rise: Initial velocity along y, everywhere.
        obstacles: Closed parts of the box.
        exits: Where smoke that has left is counted.
    """

    points: int
    refinement: int
    substeps: int
    step: float
    rise: float
    obstacles: tuple[Rectangle, ...]
    exits: tuple[Rectangle, ...]

    @property
    def spacing(self) -> float:
        """Edge of a cell."""
        return LENGTH / (self.points * self.refinement)

    @property
    def cells(self) -> int:
        """Cells along each axis: one less than faces, all of which are inputs."""
        return self.points * self.refinement - 1

    @cached_property
    def project(self) -> PressureProjection:
        """Projection onto velocities without divergence around the obstacles."""
        solid = covered(self.obstacles, self.cells, self.spacing).any(axis=0)
        return PressureProjection(~solid)

    @cached_property
    def ring(self) -> Bool[np.ndarray, "face face"]:
        """Faces on which a velocity is imposed, by row and column."""
        return in_ring(self.cells + 1, self.spacing)

    @cached_property
    def exit(self) -> Bool[np.ndarray, "exit y x"]:
        """Cells of each exit."""
        return covered(self.exits, self.cells, self.spacing)

    def at_rest(self, samples: int, dtype: jnp.dtype) -> Faces:
        """The initial velocity: `rise` along y."""
        n = self.cells
        still = jnp.zeros((samples, n, n + 1), dtype)
        return Faces(still, jnp.full((samples, n + 1, n), self.rise, dtype))

    def imposed(self, cx: Plane, cy: Plane) -> Faces:
        """A control on the solver's faces, each value on a square of them."""
        x, y = (
            jnp.repeat(jnp.repeat(c, self.refinement, 1), self.refinement, 2)
            for c in (cx, cy)
        )
        return Faces(x[:, :-1], y[:, :, :-1])

    def stored(self, values: Float[Array, "batch row column"]) -> Plane:
        """Every `refinement`-th cell or face along either axis."""
        return values[:, :: self.refinement, :: self.refinement]

    def moved(self, velocity: Faces, imposed: Faces) -> Faces:
        """The velocity after a step in which another is imposed in the ring.

        On the outermost faces, at the open sides, the imposed one stays.
        """
        ring_x, ring_y = self.ring[None, :-1], self.ring[None, :, :-1]
        before = Faces(
            jnp.where(ring_x, imposed.x, velocity.x),
            jnp.where(ring_y, imposed.y, velocity.y),
        )
        after, ends = self.project(before), np.array([0, -1])
        return Faces(
            after.x.at[:, :, ends].set(before.x[:, :, ends]),
            after.y.at[:, ends].set(before.y[:, ends]),
        )

    def carried(self, scene: Scene, imposed: Faces) -> Scene:
        """The scene after a step: velocity, smoke, and what the exits have counted."""
        velocity = self.moved(scene.velocity, imposed)
        in_cells = Faces(velocity.x / self.spacing, velocity.y / self.spacing)
        density = advect(scene.density, in_cells, self.step)
        remaining = advect(scene.remaining, in_cells, self.step)
        exits = jnp.asarray(self.exit, density.dtype)
        exact = jax.lax.Precision.HIGHEST
        sums = partial(jnp.einsum, "byx,eyx->be", precision=exact)
        outside = jnp.asarray(~self.exit.any(axis=0), density.dtype)
        return Scene(
            velocity,
            density,
            remaining * outside[None],
            scene.absorbed + sums(remaining, exits),
            scene.dwell + sums(density, exits),
        )


@partial(jax.jit, static_argnums=0)
def begin(flow: Flow, density0: Plane) -> Scene:
    """Smoke of this density, before anything moves it; nothing is counted yet."""
    fine = flow.imposed(density0, density0).x[:, :, :-1]
    none = jnp.zeros((len(density0), len(flow.exits)), density0.dtype)
    velocity = flow.at_rest(len(density0), density0.dtype)
    return Scene(velocity, fine, fine, none, none)


@partial(jax.jit, static_argnums=0)
def advance(
    flow: Flow, scene: Scene, cx: Controls, cy: Controls
) -> tuple[Scene, Fields]:
    """Scan over the intervals; the scene then, and what is stored at the end of each.

    A record in several parts is the same as in one: a scene has all cells.
    """

    @jax.checkpoint
    def interval(scene: Scene, control: tuple[Plane, Plane]) -> tuple[Scene, Fields]:
        imposed = flow.imposed(*control)
        scene, _ = jax.lax.scan(
            lambda scene, _: (flow.carried(scene, imposed), None),
            scene,
            length=flow.substeps,
        )
        left = scene.remaining.sum(axis=(1, 2))[:, None]
        return scene, {
            "density": flow.stored(scene.density),
            "vx": flow.stored(scene.velocity.x),
            "vy": flow.stored(scene.velocity.y),
            "absorbed": jnp.concatenate([scene.absorbed, left], axis=1),
            "dwell": jnp.concatenate([scene.dwell, left], axis=1),
        }

    scene, record = jax.lax.scan(
        interval, scene, (cx.swapaxes(0, 1), cy.swapaxes(0, 1))
    )
    return scene, {name: values.swapaxes(0, 1) for name, values in record.items()}


@partial(jax.jit, static_argnums=0)
def solve(flow: Flow, density0: Plane, cx: Controls, cy: Controls) -> Fields:
    """What is stored of a whole record, by name."""
    return advance(flow, begin(flow, density0), cx, cy)[1]
