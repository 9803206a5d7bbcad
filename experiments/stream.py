"""What a stream of windows is worth in a closed loop: one call a tick, all in flight.

Forced Burgers flow is to be led to a goal and held there, under a steady push that no
planner knows. Every few frames the state is observed, and the frames until the next
time need a plan. Planning anew by n steps waits for n calls; a stream of depth n waits
for one, and its plan was begun n - 1 ticks before: either it was rolled on, to begin at
what is observed now, or it is as old as it is. One step a tick is the same wait without
a stream. The adjoint method goes on from the rest of its last plan, by a few steps of
L-BFGS through the solver itself.
"""

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import tyro
from _control import ENERGY_WEIGHT, OBJECTIVE, SYSTEM, Problems, interval
from _results import record
from jaxtyping import Array, Float

import wdno
from wdno._typing import Fields
from wdno.accelerate.stream_batch import Request, StreamBatch
from wdno.diffusion.keys import row_keys
from wdno.planning.adjoint import descend
from wdno.planning.objectives import energy
from wdno.systems.forces import gaussian

States = Float[Array, "sample x"]
Forces = Float[Array, "sample time x"]
Controller = Callable[[Fields, jax.Array], Forces]
"""Forces until the next observation, from what is known now and a key."""


@dataclass(frozen=True)
class Config:
    """Which planner, how deep streams are, and how long a loop goes on."""

    planner: str = "burgers-control"
    targets: int = 50
    horizon: int = 16
    tick: int = 4
    ticks: int = 12
    descents: tuple[int, ...] = (1, 2)
    depths: tuple[int, ...] = (1, 2, 4, 8)
    push: float = 0.3
    seed: int = 40_000


class Way(NamedTuple):
    """A controller, and what each tick costs it."""

    make: Callable[[], Controller]
    calls: int
    """Denoiser calls that wait for each other."""
    rows: int
    """Rows that are denoised for each problem."""


def anew(planner: wdno.Planner, tick: int) -> Controller:
    """A new plan every time."""

    def control(known: Fields, key: jax.Array) -> Forces:
        return planner(known, row_keys(key, len(known["u0"])))["f"][:, :tick]

    return control


def streamed(planner: wdno.Planner, tick: int, *, rolls: bool) -> Controller:
    """Plans of a stream, and until the first is there those of one step."""
    stream = StreamBatch(planner, planner.model.levels(planner.steps))
    until = anew(wdno.Planner(planner.model, OBJECTIVE, steps=1), tick)
    late = 0 if rolls else tick * (planner.steps - 1)

    def control(known: Fields, key: jax.Array) -> Forces:
        if rolls:
            stream.roll(tick, known)
        plan = stream.push(Request(known, key))
        if plan is None:
            return until(known, key)
        return plan["f"][:, late : late + tick]

    return control


def reoptimised(steps: int, config: Config) -> Controller:
    """A few steps of descent through the solver, from the rest of the last plan."""
    tick, solve = config.tick, SYSTEM.over(config.horizon).solve
    still = jnp.zeros((config.targets, config.horizon, SYSTEM.points))
    plans = [still]

    def control(known: Fields, key: jax.Array) -> Forces:
        rest = jnp.concatenate([plans[-1][:, tick:], still[:, :tick]], axis=1)
        found = descend(solve, known, {"f": rest}, OBJECTIVE, steps=steps)
        plans[:] = [found.controls["f"]]
        return plans[-1][:, :tick]

    return control


def ways(planner: wdno.Planner, config: Config) -> dict[str, Way]:
    """All that are compared, by name."""
    tick, found = config.tick, {}
    for steps in config.depths:
        of = wdno.Planner(planner.model, OBJECTIVE, steps=steps)
        found[f"anew, {steps} steps"] = Way(partial(anew, of, tick), steps, steps)
        if steps == 1:
            continue
        rolled = partial(streamed, of, tick, rolls=True)
        found[f"stream of {steps}, rolled"] = Way(rolled, 1, steps)
        if tick * steps <= config.horizon:
            stale = partial(streamed, of, tick, rolls=False)
            found[f"stream of {steps}, as begun"] = Way(stale, 1, steps)
    for steps in config.descents:
        found[f"adjoint, {steps} steps"] = Way(
            partial(reoptimised, steps, config), 0, 0
        )
    return found


def begin(problems: Problems, config: Config) -> States:
    """Where the flow is when the last frames of a record begin."""
    lead_in = SYSTEM.frames - config.horizon
    calm = problems.still[:, :lead_in]
    known = {"u0": problems.known["u0"], "f": calm}
    return SYSTEM.over(lead_in).solve(known)["u"][:, -1]


def steady_push(config: Config) -> Forces:
    """The same all the time, another one in every problem."""
    keys = jax.random.split(jax.random.key(config.seed + 3), 3)
    draw = partial(jax.random.uniform, shape=(config.targets, 1))
    place, width = draw(keys[0]), draw(keys[1], minval=0.1, maxval=0.3)
    sign = jax.random.rademacher(keys[2], (config.targets, 1), float)
    x = jnp.asarray(SYSTEM.coords["x"], jnp.float32)
    along = sign * gaussian(x, place, width)[:, 0]
    return jnp.repeat(config.push * along[:, None], config.tick, axis=1)


def looped(controller: Controller, problems: Problems, config: Config) -> Any:
    """States and forces of a loop, and the seconds of its ticks without the flow's."""
    state, goal = begin(problems, config), problems.known["uT"]
    push, flow = steady_push(config), SYSTEM.over(config.tick)
    keys = jax.random.split(jax.random.key(config.seed), config.ticks)
    pieces, seconds = [], []
    for key in keys:
        started = time.perf_counter()
        force = jax.block_until_ready(controller({"u0": state, "uT": goal}, key))
        seconds.append(time.perf_counter() - started)
        u = flow.solve({"u0": state, "f": force + push})["u"]
        state = u[:, -1]
        pieces.append((u, force))
    u, force = (jnp.concatenate(part, axis=1) for part in zip(*pieces, strict=True))
    return u, force, np.asarray(seconds)


def scored(way: Way, problems: Problems, config: Config) -> dict[str, Any]:
    """How far from the goal the flow is, at what price, and in what time a tick."""
    looped(way.make(), problems, config)  # compiles
    u, force, seconds = looped(way.make(), problems, config)
    goal = problems.known["uT"][:, None]
    frames = config.tick * config.ticks
    parts = {"state": jnp.square(u - goal).mean(axis=(1, 2))}
    # As a plan over the horizon counts it, on average.
    parts["energy"] = ENERGY_WEIGHT * energy(force) * config.horizon / frames
    parts["sum"] = parts["state"] + parts["energy"]
    settled = seconds[max(config.depths) :]
    return {name: interval(values) for name, values in parts.items()} | {
        "calls_a_tick": way.calls,
        "rows_a_tick": way.rows,
        "milliseconds_a_tick": round(1000 * float(np.median(settled)), 2),
    }


def main(config: Config) -> None:
    """Loop, judge, print and store."""
    problems = Problems.draw(config.seed, config.targets)
    model = wdno.load(config.planner)
    planner = wdno.Planner(model, OBJECTIVE, steps=1).over(config.horizon)
    results = {}
    still = Way(lambda: lambda known, key: problems.still[:, : config.tick], 0, 0)
    for name, way in {"no control": still, **ways(planner, config)}.items():
        results[name] = scored(way, problems, config)
        print(f"{name:24s}", results[name], flush=True)
    print(record("stream", asdict(config), ways=results))


if __name__ == "__main__":
    main(tyro.cli(Config))
