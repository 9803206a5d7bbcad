"""Plans for Burgers flow that are nearly the best, to train a planner on.

Descent through the simulation model, over smooth forces that act in the last frames
only; then the solver says what each force really does. A plan that misses its goal a
little is a nearly best plan for where it does end, and every part of it one for the end
of that part, so that trajectories under such forces are all that training needs. The
equation stays the same if space is mirrored and all signs change: that gives each plan
a twin. Files are kept one by one; an interrupted run goes on where it was.

python experiments/burgers_plans.py --out plans
python experiments/train.py --recipe burgers-control --data plans/*.nc --out run
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import tyro
import xarray as xr
from _control import OBJECTIVE, SYSTEM
from _results import portable
from jaxtyping import Array, Float, PRNGKeyArray
from tqdm import tqdm

import wdno
from wdno.planning.adjoint import descend

States = Float[Array, "sample x"]
Forces = Float[Array, "sample time x"]


@dataclass(frozen=True)
class Config:
    """How many plans, and how long each descends."""

    out: Path
    simulation: str = "burgers-simulation"
    plans: int = 2048
    chunk: int = 128
    together: int = 8
    horizon: int = 32
    waves: tuple[int, int] = (6, 10)
    steps: int = 20
    share_calm: float = 0.5
    seed: int = 60_000


class Problems(NamedTuple):
    """States in which plans begin, and those wished for at the end."""

    initial: States
    goal: States

    @classmethod
    def draw(cls, config: Config, key: PRNGKeyArray) -> "Problems":
        """Begin where the flow is without force, or under a part of it.

        Goals are what the whole force leads to. A loop that plans again meets states
        under forces, so that a share of the problems begin in such.
        """
        draw_key, calm_key, part_key = jax.random.split(key, 3)
        inputs = SYSTEM.sample_inputs(draw_key, config.chunk)
        calm = jax.random.bernoulli(calm_key, config.share_calm, (config.chunk,))
        part = jnp.where(calm, 0.0, jax.random.uniform(part_key, (config.chunk,)))
        lead_in = SYSTEM.frames - config.horizon
        acting = part[:, None, None] * inputs["f"][:, :lead_in]
        before = SYSTEM.over(lead_in).solve({"u0": inputs["u0"], "f": acting})
        return cls(before["u"][:, -1], SYSTEM.solve(inputs)["u"][:, -1])


def planned(problems: Problems, config: Config) -> Forces:
    """Forces that a descent through the simulation model finds."""
    shape = (len(problems.initial), config.horizon, SYSTEM.points)
    surrogate = wdno.Surrogate(wdno.load(config.simulation), config.horizon)
    found = descend(
        surrogate.solve,
        {"u0": problems.initial, "uT": problems.goal},
        {"f": jnp.zeros(shape)},
        OBJECTIVE,
        steps=config.steps,
        # In step with others a line search would wait for the longest, and from no
        # force whole steps go the right way.
        optimizer=optax.lbfgs(learning_rate=1.0, linesearch=None),
        constraint=wdno.constraints.smooth("f", *config.waves),
        batch_size=config.together,
    )
    best = np.minimum.accumulate(found.values)
    print(*best.mean(axis=1).round(4), flush=True)
    return found.controls["f"]


def with_twins(initial: States, force: Forces) -> tuple[States, Forces]:
    """Each row, and then its mirror image with all signs changed.

    Points are x_0 = 0 to x_119, so the image of the first is the wall at x_120, where
    states vanish and forces go on as a straight line.
    """
    wall = 2 * force[..., -1:] - force[..., -2:-1]
    image = -jnp.concatenate([force, wall], axis=-1)[..., :0:-1]
    mirrored = -jnp.pad(initial, ((0, 0), (0, 1)))[:, :0:-1]
    pairs = (initial, mirrored), (force, image)
    initial, force = (
        jnp.stack(pair, axis=1).reshape(-1, *pair[0].shape[1:]) for pair in pairs
    )
    return initial, force


def labelled(initial: States, force: Forces) -> xr.Dataset:
    """What the solver makes of forces."""
    late = SYSTEM.over(force.shape[1])
    x = ("x", late.coords["x"])
    time = ("time", late.coords["time"][:-1])
    u0 = xr.DataArray(initial, {"x": x}, ("sample", "x"))
    f = xr.DataArray(force, {"time": time, "x": x}, ("sample", "time", "x"))
    return late.run(u0.rename("u"), f.rename("f"))


def main(config: Config) -> None:
    """Draw, plan, solve, one file after another."""
    config.out.mkdir(parents=True, exist_ok=True)
    notes = json.dumps({"script": "burgers_plans"} | asdict(config), default=portable)
    for number in tqdm(range(config.plans // config.chunk), disable=None):
        file = config.out / f"{number:02d}.nc"
        if not file.exists():
            key = jax.random.fold_in(jax.random.key(config.seed), number)
            problems = Problems.draw(config, key)
            data = labelled(*with_twins(problems.initial, planned(problems, config)))
            miss = data.u.isel(time=-1)[::2] - problems.goal
            print(file.name, "misses by", float((miss**2).mean()), flush=True)
            wdno.trajectory.save(data.assign_attrs(recipe=notes), file)


if __name__ == "__main__":
    main(tyro.cli(Config))
