"""Solvers of flows, beside Exponax and PhiFlow."""

import importlib

import jax
import jax.numpy as jnp
from _peers import Calls, Config, draw, ready

from wdno.systems import Burgers, Smoke
from wdno.systems.smoke.geometry import covered
from wdno.systems.smoke.pressure import PressureProjection
from wdno.systems.smoke.staggered import Faces


def burgers(config: Config) -> Calls:
    """Flows of equal duration, points and number of steps, by other schemes.

    Ours has walls, forces and finite differences of fourth order on a grid of twice the
    points; Exponax is spectral and periodic on the points themselves.
    """
    system = Burgers(points=config.points)
    inputs = system.sample_inputs(jax.random.key(0), config.flows)
    calls = {"wdno": lambda: jax.block_until_ready(system.solve(inputs))}
    exponax = importlib.import_module("exponax")
    steps = system.frames * system.substeps
    stepper = exponax.stepper.Burgers(
        1,
        system.length,
        config.points,
        system.duration / steps,
        diffusivity=system.viscosity,
    )
    one = exponax.RepeatedStepper(stepper, system.substeps)
    solve = jax.vmap(exponax.rollout(one, system.frames))
    return calls | {"Exponax": ready(solve, inputs["u0"][:, None])}


def projection(config: Config) -> Calls:
    """A velocity without divergence around the obstacles of the smoke problem.

    Ours solves exactly, by sine transforms and a correction on the obstacles; PhiFlow
    by conjugate gradients to 1e-5.
    """
    flow, system, cells = importlib.import_module("phi.jax.flow"), Smoke(), config.cells
    spacing = system.flow.spacing
    fluid = ~covered(system.obstacles, cells, spacing).any(axis=0)
    parts = draw(cells, cells + 1), draw(cells + 1, cells, seed=1)
    project = PressureProjection(fluid)
    ours = ready(project, Faces(*(jnp.asarray(part)[None] for part in parts)))
    solid = [
        flow.Obstacle(flow.Box(x=(x, x + width), y=(y, y + height)))
        for y, x, height, width in system.obstacles
    ]
    values = [flow.tensor(part, flow.spatial("y,x")) for part in parts]
    vector = flow.math.stack(
        dict(zip("xy", values, strict=True)), flow.dual(vector="x,y")
    )
    box = flow.Box(x=cells * spacing, y=cells * spacing)
    edge = flow.extrapolation.BOUNDARY
    grid = flow.StaggeredGrid(vector, edge, box, x=cells, y=cells)
    solver = flow.Solve("CG", 1e-5, 1e-5, max_iterations=2000)
    theirs = flow.math.jit_compile(
        lambda grid: flow.fluid.make_incompressible(grid, solid, solver)[0]
    )
    waited = lambda: theirs(grid).vector["x"].values.numpy("y,x")  # noqa: E731
    return {"wdno": ours, "PhiFlow": waited}
