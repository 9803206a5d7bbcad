"""Smoke in a wind that no planner knows: what are new plans worth, at what price?

The shipped planner makes the first plan of a scene. From then on few noisy sensors see
the smoke, and a trigger decides whether to plan anew: by a few steps of descent through
the simulation model, from the rest of the running plan. Thresholds are chosen on other
scenes, so that triggers plan as often as periods do. Rivals are plans by lot and the
adjoint method, L-BFGS with its line search through the model. One scene at a time,
since each has its own ticks with a new plan; the solver judges. An interrupted run goes
on where it was. Run it on one thread: milliseconds are of the processor.
"""

import json
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import tyro
from _control import interval
from _results import RESULTS, record
from _smoke import ALLOWED, SYSTEM, Scenes, coarse, sampled
from event_control import AtRandom, decide, errorbars, ratio
from matplotlib.figure import Figure

import wdno
from wdno import plotting
from wdno._typing import Fields
from wdno.accelerate.event_trigger import (
    InnovationThreshold,
    Periodic,
    SimilarityFilter,
    anomaly,
)
from wdno.operator.generation import Start
from wdno.planning.adjoint import descend, steepest_step
from wdno.planning.feedback import MakePlan, Names, Replanning, replan
from wdno.planning.objectives import leakage
from wdno.planning.surrogate import FrameByFrame
from wdno.plotting.style import CURVES, INK, RULE
from wdno.systems.smoke.flow import advance, begin

NAMES = Names({"density": "density0"}, ("cx", "cy"))
NEVER = 99


@dataclass(frozen=True)
class Config:
    """The scenes, and how they are watched."""

    planner: str = "smoke-control"
    simulation: str = "smoke-simulation"
    scenes: int = 25
    tuning: int = 4
    every: int = 4
    wind: float = 0.4
    noise: float = 0.05
    seen: int = 4
    more_steps: int = 3
    sizes: tuple[float, ...] = (0.05, 0.2)
    similarities: tuple[float, ...] = (-6.0, -2.0, -0.7, -0.4, -0.2, 0.1)
    first_similarities: tuple[float, ...] = (-0.5, 0.0, 0.3, 0.6)
    """Of a trigger that measures by the smoke that there was at first."""
    periods: tuple[int, ...] = (2, 3)
    """Between plans; triggers plan as often."""
    seed: int = 44_000
    figure: Path = field(default=Path("docs/pictures/smoke_loop.png"))


class Watched(NamedTuple):
    """Sensors on a part of the points, and the smoke that they and a plan suggest."""

    gain: jax.Array
    seen: jax.Array
    noise: float

    def __call__(self, observed: Fields, predicted: Fields | None) -> Fields:
        """Optimal interpolation, as `_sensors.Sensors`; first the truth is known."""
        if predicted is None:
            return observed
        v = predicted["density0"].reshape(1, -1)
        y = observed["density0"].reshape(1, -1)[:, self.seen]
        found = v + (y - v[:, self.seen]) @ self.gain
        return {"density0": jnp.maximum(found, 0).reshape(observed["density0"].shape)}


def watched(config: Config, spread: float = 0.2, reach: float = 4.0) -> Watched:
    """Sensors at every so many points along both axes; errors reach some points."""
    n = SYSTEM.points
    rows, columns = (part.ravel() for part in np.mgrid[:n, :n])
    seen = np.flatnonzero((rows % config.seen == 0) & (columns % config.seen == 0))
    square = np.square(rows[seen, None] - rows) + np.square(
        columns[seen, None] - columns
    )
    near = spread**2 * np.exp(-0.5 * square / reach**2)
    covariance = near[:, seen] + config.noise**2 * np.eye(len(seen))
    gain = np.linalg.solve(covariance, near)
    return Watched(jnp.asarray(gain, jnp.float32), jnp.asarray(seen), config.noise)


class Problems(NamedTuple):
    """Scenes, their winds, and the first plans."""

    scenes: Scenes
    wind: jax.Array
    """(scene, component)."""
    plans: Fields

    @classmethod
    def draw(cls, config: Config, seed: int, count: int) -> "Problems":
        """Winds of one strength from all sides, in the ring, all the time."""
        scenes, key = Scenes.draw(seed, count), jax.random.key(seed + 1)
        planner = wdno.load(config.planner)
        plans = sampled(planner, scenes, key, steps=0)
        turn = jax.random.uniform(key, (count,), maxval=2 * jnp.pi)
        wind = config.wind * jnp.stack([jnp.cos(turn), jnp.sin(turn)], axis=-1)
        return cls(scenes, wind, plans)


@lru_cache
def model(name: str, frames: int) -> FrameByFrame:
    """What is descended through, on a window that is no longer than the record."""
    return coarse(wdno.load(name)).over(frames)


CLOSED = jnp.asarray(SYSTEM.static["obstacle"])[None]

Descend = Callable[[Any, Fields, Fields], Fields]
"""States and controls from a solver, what is known and the rest of the running plan."""


class Steps(NamedTuple):
    """A few steps of one size."""

    count: int
    size: float

    def __call__(self, solve: Any, known: Fields, rest: Fields) -> Fields:
        """The plan after these."""
        how = {"size": self.size, "constraint": ALLOWED}
        found = rest
        for _ in range(self.count):
            rest = {name: found[name] for name in NAMES.planned}
            found = steepest_step(solve, known, rest, leakage, **how)
        return found


class Adjoint(NamedTuple):
    """L-BFGS, each step as long as its line search finds best."""

    count: int

    def __call__(self, solve: Any, known: Fields, rest: Fields) -> Fields:
        """The plan after these."""
        how = {"steps": self.count, "constraint": ALLOWED}
        found = descend(solve, known, rest, leakage, **how)
        return {**found.states, **found.controls}


class Arm(NamedTuple):
    """When a new plan is made, and what one is."""

    trigger: Any
    plan: Descend


def maker(config: Config, plan: Descend, left: int, first: Fields) -> MakePlan:
    """The first plan, or a descent from the rest of the running one."""
    solve = model(config.simulation, left).solve

    def make(known: Fields, key: jax.Array, start: Start | None) -> Fields:
        known = {**known, "obstacle": CLOSED}
        if start is None:
            return {**solve({**known, **first}), **first}
        return plan(solve, known, {name: start.fields[name] for name in NAMES.planned})

    return make


def as_it_is(observed: Fields, predicted: Fields) -> jax.Array:
    """No noise on the rest of the running plan."""
    return jnp.zeros(1)


def steer(config: Config, arm: Arm, problems: Problems) -> dict[str, Any]:
    """Every scene by itself: leakage, energy, new plans, and milliseconds of ticks."""
    sensors, ring = watched(config), jnp.asarray(SYSTEM.ring, jnp.float32)
    how = Replanning(partial(decide, arm.trigger), as_it_is, sensors)
    leaks, efforts, rates, took = [], [], [], []
    for row in range(-1, len(problems.wind)):  # the first compiles
        which = slice(max(row, 0), max(row, 0) + 1)
        scene = begin(SYSTEM.flow, problems.scenes.inputs["density0"][which])
        wind, running, due = problems.wind[which], None, []
        first = {n: c[which] for n, c in problems.plans.items()}
        effort = 0.0
        for n, done in enumerate(range(0, SYSTEM.frames, config.every)):
            keys = jax.random.split(jax.random.fold_in(jax.random.key(row + 1), n), 3)
            density = SYSTEM.flow.stored(scene.density)
            noise = config.noise * (n > 0) * jax.random.normal(keys[0], density.shape)
            make = maker(config, arm.plan, SYSTEM.frames - done, first)
            started = time.process_time()
            running, new = replan(
                make, how, running, {}, {"density0": density + noise}, *keys[1:]
            )
            acting = [running.plan[c][:, : config.every] for c in NAMES.planned]
            jax.block_until_ready(acting)
            if row >= 0 and n > 0:
                took.append(time.process_time() - started)
            due.append(bool(new[0]))
            pushed = [
                c + wind[:, axis, None, None, None] * ring
                for axis, c in enumerate(acting)
            ]
            scene, _ = advance(SYSTEM.flow, scene, *pushed)
            effort += float(sum(jnp.square(c).mean() for c in acting)) / 2
            running = running.after(config.every, NAMES.initial)
        if row < 0:
            continue
        target = scene.absorbed[0, SYSTEM.target]
        everything = scene.absorbed.sum() + scene.remaining.sum()
        leaks.append(1 - float(target / everything))
        efforts.append(effort * config.every / SYSTEM.frames)
        rates.append(np.mean(due[1:]))
    simulated = SYSTEM.duration * len(leaks) * (1 - config.every / SYSTEM.frames)
    return {
        "J": interval(np.array(leaks)),
        "energy": interval(np.array(efforts)),
        "rate": round(float(np.mean(rates)), 3),
        "median_ms": round(1e3 * float(np.median(took)), 2),
        "p99_ms": round(1e3 * float(np.quantile(took, 0.99)), 2),
        "mean_ms": round(1e3 * float(np.mean(took)), 2),
        "ticks_per_second": round(len(took) / sum(took), 1),
        "processor_seconds_per_simulated": round(sum(took) / simulated, 4),
        "J of each scene": np.round(leaks, 6).tolist(),
    }


class Kind(NamedTuple):
    """Triggers of a kind, and where their rates are looked at."""

    at: Callable[..., Any]
    similarities: tuple[float, ...]


def kinds(config: Config) -> dict[str, Kind]:
    """Two that measure by the smoke that a plan expects to be left, one by the first.

    All scenes begin with equally much smoke, nearly: that of other ones is the unit.
    """
    start = Scenes.draw(config.seed + 500, config.tuning).inputs["density0"]
    unit = {"density0": float(anomaly({"density0": start})["density0"].mean())}
    by_first = partial(InnovationThreshold, unit=unit)
    return {
        "similarity filter": Kind(SimilarityFilter, config.similarities),
        "threshold": Kind(InnovationThreshold, config.similarities),
        "threshold by the first smoke": Kind(by_first, config.first_similarities),
    }


def at_rates(
    similarities: tuple[float, ...], rates: list[float], wished: Iterable[float]
) -> list[float]:
    """Similarities at which a trigger has the wished rates, from those it had.

    In between 1 / (1 - η) is linear: where a filter never has to plan anew, its rate is
    the mean of r / (1 - η), and nothing is planned for η = -∞.
    """
    shares = [0.0, *(1 / (1 - np.array(similarities)))]
    found = 1 - 1 / np.interp(list(wished), [0.0, *rates], shares)
    return found.round(4).tolist()


def choose(config: Config) -> dict[str, Any]:
    """By other scenes: the size of a step, and the rates that are wished for."""
    problems = Problems.draw(config, config.seed + 500, config.tuning)
    leaks = {}
    for size in config.sizes:
        row = steer(config, Arm(Periodic(1), Steps(1, size)), problems)
        leaks[size] = row["J"][0]
        print("size", size, row, flush=True)
    ticks = SYSTEM.frames // config.every
    wished = {p: len(range(p, ticks, p)) / (ticks - 1) for p in config.periods}
    return {
        "size": min(leaks, key=lambda size: leaks[size]),
        "leaks by size": leaks,
        "rates": {str(p): round(rate, 3) for p, rate in wished.items()},
        "similarities": {},
    }


def similarities(
    config: Config, kind: Kind, size: float, wished: dict[str, float]
) -> dict[str, float]:
    """Those at which a trigger has the wished rates, by other scenes."""
    problems = Problems.draw(config, config.seed + 500, config.tuning)
    rates = []
    for eta in kind.similarities:
        arm = Arm(kind.at(eta, most_skips=NEVER), Steps(1, size))
        rates.append(steer(config, arm, problems)["rate"])
        print(kind, eta, rates[-1], flush=True)
    found = at_rates(kind.similarities, rates, wished.values())
    return dict(zip(wished, found, strict=True))


def arms(config: Config, chosen: dict[str, Any]) -> dict[str, Arm]:
    """Triggers, and what a new plan is."""
    step = Steps(1, chosen["size"])
    found = {
        "open loop": Arm(Periodic(NEVER), step),
        "every tick": Arm(Periodic(1), step),
    }
    for period in config.periods:
        rate = chosen["rates"][str(period)]
        found[f"every {period} ticks"] = Arm(Periodic(period), step)
        for name, kind in kinds(config).items():
            eta = chosen["similarities"][name][str(period)]
            found[f"{name}, {rate:.2f}"] = Arm(kind.at(eta, most_skips=NEVER), step)
        found[f"at random, {rate:.2f}"] = Arm(AtRandom(rate), step)
    many = Steps(config.more_steps, chosen["size"])
    found[f"{many.count} steps, every {many.count} ticks"] = Arm(
        Periodic(many.count), many
    )
    found["adjoint 1, every tick"] = Arm(Periodic(1), Adjoint(1))
    found["adjoint 1, every 2 ticks"] = Arm(Periodic(2), Adjoint(1))
    return found


def main(config: Config) -> None:
    """Steer, judge, print, store and draw."""
    results = stored(config)
    if "chosen" not in results:
        results = {"chosen": choose(config), "arms": {}}
    chosen = results["chosen"]
    for name, kind in kinds(config).items():
        if name not in chosen["similarities"]:
            how = kind, chosen["size"], chosen["rates"]
            chosen["similarities"][name] = similarities(config, *how)
            record("smoke_loop", asdict(config), **results)
    problems = Problems.draw(config, config.seed, config.scenes)
    for name, arm in arms(config, results["chosen"]).items():
        if name not in results["arms"]:
            row = results["arms"][name] = steer(config, arm, problems)
            blind = results["arms"]["open loop"]["J of each scene"]
            each = row["J of each scene"]
            row["J over that of the open loop"] = ratio(np.array(each), blind)
            record("smoke_loop", asdict(config), **results)
        shown = {k: v for k, v in results["arms"][name].items() if "each" not in k}
        print(name, shown, flush=True)
    picture(config, results["arms"])


def stored(config: Config) -> dict[str, Any]:
    """Results of an earlier run with the same configuration."""
    path = RESULTS / "smoke_loop.json"
    entry = json.loads(path.read_text()) if path.exists() else {}
    same = entry.get("config") == json.loads(json.dumps(asdict(config), default=str))
    return {n: entry[n] for n in ("chosen", "arms")} if same else {}


def picture(config: Config, rows: dict[str, Any]) -> None:
    """What leaks against the share of ticks with a new plan, and their time."""
    figure = Figure(figsize=(9, 4), layout="constrained")
    axes = figure.subplots(1, 2, sharey=True)
    families = {
        "open": CURVES[0],
        "similarity": CURVES[1],
        "threshold,": CURVES[2],
        "threshold by": INK,
        "at random": CURVES[3],
        "every ": CURVES[4],
        "adjoint": CURVES[5],
    }
    for family, colour in families.items():
        mine = [row for name, row in rows.items() if name.startswith(family)]
        for axis, by in zip(axes, ("rate", "mean_ms"), strict=True):
            points = np.array([(row[by], *row["J"]) for row in mine])
            errorbars(axis, points, family.strip(" ,"), colour, linestyle="none")
    axes[0].set(xlabel="share of ticks with a new plan", ylabel="share that leaks")
    axes[1].set(xlabel="processor ms a tick", xscale="log")
    axes[0].legend(frameon=False, fontsize="small")
    for axis in axes:
        axis.grid(True, color=RULE)
    plotting.save(figure, config.figure)


if __name__ == "__main__":
    main(tyro.cli(Config))
