"""Plans that succeed, for every square of smoke there is, to train a planner on.

Descent through the simulation model, twice: from the mean way-point control to the one
plan that suits smoke anywhere best, and from there to the plans of squares that begin
at one place. Plans from a common start are a smooth function of the square. They are
kept one by one (an interrupted run goes on where it was); the solver then makes
labelled trajectories of them.

python experiments/smoke_plans.py --plans plans --out trajectories
wdno train smoke-control --data trajectories/*.nc --out run --validation-samples 25
"""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import tyro
import xarray as xr
from _results import portable
from _smoke import ALLOWED, SYSTEM, Scenes, coarse, dwelling
from jaxtyping import Float
from tqdm import tqdm

import wdno
from wdno._typing import Fields
from wdno.planning.adjoint import descend
from wdno.systems.smoke.routes import draw_route, squares

Controls = Float[np.ndarray, "component frame y x"]
Density = Float[np.ndarray, "y x"]


@dataclass(frozen=True)
class Config:
    """Where plans are kept, and how long each descends."""

    plans: Path
    out: Path
    simulation: str = "smoke-simulation"
    common_steps: int = 40
    steps: int = 10
    waypoints: int = 128
    seed: int = 50_000


class Squares(NamedTuple):
    """Squares of smoke that begin in one column of stored points: one plan suits all.

    In cells of the solver they are one apart along x, and three heights.
    """

    column: int
    density: Float[np.ndarray, "square y x"]

    @property
    def cover(self) -> Density:
        """Smoke wherever one of them has some: a plan that brings this brings each."""
        return self.density.max(axis=0)


def all_squares() -> list[Squares]:
    """All that the distribution draws, by column."""
    route = draw_route(jax.random.key(0), 16_384, SYSTEM.frames * SYSTEM.substeps)
    corners = np.unique(route.start, axis=0)
    densities = np.asarray(squares(jnp.asarray(corners), SYSTEM.points))
    column = densities.any(axis=1).argmax(axis=1)
    return [Squares(int(k), densities[column == k]) for k in np.unique(column)]


def wished(fields: Fields) -> jax.Array:
    """What leaks by both counts, and a little for the way from the start.

    Smoke that has passed the target must not linger in another exit either: so the
    second count. It is to be there early, which forgives a model's error. The last part
    makes the best plan unique.
    """
    leaks = 1 - fields["smoke"][:, -LAST:].mean(axis=1)
    apart = [fields[name] - fields[f"{name}_start"] for name in SYSTEM.control]
    way = sum(jnp.square(a).mean(axis=(1, 2, 3)) for a in apart)
    return leaks + dwelling(fields) + TETHER * way


LAST = 4
"""Instants of the end that count."""
TETHER = 1e-3
"""What mean square distance from where a plan started costs."""


def mean_waypoints(config: Config) -> Controls:
    """Mean of the controls that the data have."""
    inputs = SYSTEM.sample_inputs(jax.random.key(config.seed), config.waypoints)
    return np.stack([inputs[name].mean(axis=0) for name in SYSTEM.control])


def planned(config: Config) -> list[tuple[Squares, Controls]]:
    """Plans of all squares, from files as far as there are."""
    config.plans.mkdir(parents=True, exist_ok=True)
    solve = coarse(wdno.load(config.simulation)).solve
    squares = all_squares()

    def kept(name: str, cover: Density, start: Controls, steps: int) -> Controls:
        file = config.plans / f"{name}.npy"
        if not file.exists():
            np.save(file, descended(solve, cover, start, steps))
        return np.load(file)

    everywhere = np.max([few.cover for few in squares], axis=0)
    common = kept("common", everywhere, mean_waypoints(config), config.common_steps)
    return [
        (few, kept(f"{few.column}", few.cover, common, config.steps))
        for few in tqdm(squares, disable=None)
    ]


def descended(
    solve: Callable[[Fields], Fields],
    density: Density,
    start: Controls,
    steps: int,
) -> Controls:
    """A plan; the one that it starts from, where that is good enough."""
    known = {"density0": density, "obstacle": SYSTEM.static["obstacle"]}
    known |= {f"{n}_start": c for n, c in zip(SYSTEM.control, start, strict=True)}
    rows = {name: jnp.asarray(field)[None] for name, field in known.items()}
    controls = {
        n: jnp.asarray(c)[None] for n, c in zip(SYSTEM.control, start, strict=True)
    }
    before = float(wished(rows | controls | solve(rows | controls))[0])
    if before > GOOD_ENOUGH:
        found = descend(solve, rows, controls, wished, steps=steps, constraint=ALLOWED)
        controls = found.controls
        print(before, found.values.ravel(), found.gradients[-1], flush=True)
    else:
        print(before, flush=True)
    return np.stack([controls[name][0] for name in SYSTEM.control])


GOOD_ENOUGH = 2e-4
"""Value of `wished` at which a plan is kept as it is."""


def labelled(
    controls: Controls, density: Float[np.ndarray, "square y x"]
) -> xr.Dataset:
    """What the solver makes of squares, each under its control."""
    coords = {"time": SYSTEM.coords["time"][:-1]}
    initial = Scenes.of({"density0": jnp.asarray(density)}).initial
    dims = ("sample", "time", "y", "x")
    parts = dict(zip(SYSTEM.control, controls.swapaxes(0, 1), strict=True))
    acting = xr.Dataset({name: (dims, part) for name, part in parts.items()}, coords)
    space = {dim: initial[dim] for dim in ("y", "x")}
    return SYSTEM.run(initial, acting.assign_coords(space))


def main(config: Config) -> None:
    """Plan, then solve; a file holds a few squares, in random order."""
    plans = planned(config)
    density = np.concatenate([squares.density for squares, _ in plans])
    which = np.repeat(np.arange(len(plans)), [len(s.density) for s, _ in plans])
    order = np.random.default_rng(config.seed).permutation(len(density))
    config.out.mkdir(parents=True, exist_ok=True)
    for number, rows in enumerate(np.split(order, range(CHUNK, len(order), CHUNK))):
        file = config.out / f"{number:02d}.nc"
        if not file.exists():
            controls = np.stack([plans[n][1] for n in which[rows]])
            data = labelled(controls, density[rows])
            leaked = 1 - data.smoke.isel(time=-1)
            print(file.name, float(leaked.mean()), float(leaked.max()), flush=True)
            notes = json.dumps(
                {"script": "smoke_plans"} | asdict(config), default=portable
            )
            wdno.trajectory.save(data.assign_attrs(recipe=notes), file)


CHUNK = 25
"""Squares that are solved at once."""


if __name__ == "__main__":
    main(tyro.cli(Config))
