"""Is a new plan worth its calls? Triggers of new plans at equal rates, and rivals.

Burgers flow has appointments: every so many frames it is to be at a goal, the final
state of another flow. In between it is pushed by what no planner knows, and seen by few
noisy sensors. At every tick a trigger decides whether to plan anew. All thresholds are
chosen on other problems, so that triggers plan equally often; the solver judges, from
the true states. An interrupted run goes on where it was. Run it on one thread
(XLA_FLAGS=--xla_cpu_multi_thread_eigen=false): milliseconds are of the processor.
"""

import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import tyro
import xarray as xr
from _control import ENERGY_WEIGHT, OBJECTIVE, SYSTEM, interval
from _results import RESULTS, record
from _sensors import Sensors
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FormatStrFormatter, LogLocator, NullFormatter

import wdno
from wdno import plotting
from wdno._typing import Fields
from wdno.accelerate.event_trigger import (
    InnovationThreshold,
    Periodic,
    SimilarityFilter,
)
from wdno.diffusion.keys import RowKeys, row_keys
from wdno.metrics.bootstrap import resampled_means
from wdno.operator.generation import Start
from wdno.planning.adjoint import descend, steepest_step
from wdno.planning.feedback import (
    ControlInterval,
    MakePlan,
    Names,
    Replanning,
    replan,
    run,
)
from wdno.planning.objectives import energy, terminal
from wdno.plotting.style import CURVES, RULE
from wdno.systems.forces import gaussian

NAMES = Names({"u": "u0"}, ("f",))
NEVER = 99
SLOW = ("one gradient", "adjoint", "4 calls", "polish")
"""What is measured last, and under gusts alone."""
KINDS = {"similarity filter": SimilarityFilter, "threshold": InnovationThreshold}


@dataclass(frozen=True)
class Config:
    """The problems, and what is tried on them."""

    planner: str = "burgers-control"
    problems: int = 50
    appointments: int = 2
    horizon: int = 32
    every: int = 4
    steady: float = 0.3
    gust: float = 1.0
    noise: float = 0.05
    seen: int = 4
    similarities: tuple[float, ...] = (-8.0, -3.0, -1.0, 0.0, 0.5, 0.7, 0.8, 0.9)
    rates: tuple[float, ...] = (0.3, 0.5, 0.7)
    calls: int = 4
    strength: float = 30.0
    polish: int = 2
    sizes: tuple[float, ...] = (0.1, 0.3)
    timed: int = 4
    seed: int = 60_000
    tuning_seed: int = 61_000
    figure: Path = field(default=Path("docs/pictures/event_control.png"))


class Problems(NamedTuple):
    """Where flows begin, where they are to be, and what pushes them."""

    initial: jax.Array
    goals: jax.Array
    """(appointment, problem, x)."""
    push: jax.Array
    """(problem, frame, x)."""


def draw(config: Config, seed: int, kind: str) -> Problems:
    """Problems of a seed under pushes of one kind.

    Steady pushes never end; gusts come in half of the appointments, at any time in
    them, for a quarter of one.
    """
    count, frames = config.problems, config.horizon * config.appointments
    u = SYSTEM.trajectories(jax.random.key(seed), count * config.appointments).u
    goals = jnp.asarray(u.values[:, -1]).reshape(config.appointments, count, -1)
    keys = jax.random.split(jax.random.key(seed + 1), 5)
    shape = (count, 1 if kind == "steady" else config.appointments)
    place = jax.random.uniform(keys[0], shape)
    width = jax.random.uniform(keys[1], shape, minval=0.1, maxval=0.3)
    sign = jax.random.rademacher(keys[2], shape, jnp.float32)
    humps = gaussian(jnp.asarray(SYSTEM.coords["x"], jnp.float32), place, width)
    if kind == "steady":
        push = config.steady * sign[..., None] * humps
        return Problems(jnp.asarray(u.values[:count, 0]), goals, push.repeat(frames, 1))
    onset = jax.random.uniform(keys[3], shape, maxval=0.75)[..., None]
    instant = jnp.arange(config.horizon) / config.horizon
    acts = (instant >= onset) & (instant < onset + 0.25)
    acts &= jax.random.bernoulli(keys[4], shape=shape)[..., None]
    push = config.gust * jnp.einsum("pa,pax,paf->pafx", sign, humps, acts)
    push = push.reshape(count, frames, -1)
    return Problems(jnp.asarray(u.values[:count, 0]), goals, push)


@jax.jit
def decide(rule: Any, *seen: Any) -> jax.Array:
    """A trigger or a depth, compiled once whatever its numbers."""
    return rule(*seen)


keys_of = partial(jax.jit, static_argnums=1)(row_keys)


class AtRandom(NamedTuple):
    """Plans anew by lot, whatever is observed: the rival that knows nothing."""

    probability: float

    def __call__(
        self, observed: Fields, predicted: Fields, skipped: jax.Array, keys: RowKeys
    ) -> jax.Array:
        """Whether to plan anew."""
        drawn = jax.vmap(lambda key: jax.random.uniform(key, ()))(keys)
        return drawn < self.probability


class Arm(NamedTuple):
    """One way to steer."""

    make: Callable[[int], MakePlan]
    """Of plans over so many frames."""
    how: Replanning
    calls: int
    """Denoiser calls of a plan."""


def sampled(planner: wdno.Planner, frames: int) -> MakePlan:
    """Plans by a planner."""
    shorter = planner.over(frames)

    def make(known: Fields, key: jax.Array, start: Start | None) -> Fields:
        plan = shorter(known, keys_of(key, len(known["u0"])), start)
        return {name: plan[name] for name in ("u", "f")}

    return make


def reoptimised(steps: int, frames: int) -> MakePlan:
    """Descent through the solver, from the rest of the running plan."""

    def make(known: Fields, key: jax.Array, start: Start | None) -> Fields:
        shape = (len(known["u0"]), frames, SYSTEM.points)
        f = jnp.zeros(shape) if start is None else start.fields["f"]
        solve = SYSTEM.over(frames).solve
        found = descend(solve, known, {"f": f}, OBJECTIVE, steps=steps)
        return {**found.states, **found.controls}

    return make


def stepped(planner: wdno.Planner, size: float, frames: int) -> MakePlan:
    """A first plan by a planner, then one gradient step through the solver a tick."""
    first = sampled(planner, frames)

    def make(known: Fields, key: jax.Array, start: Start | None) -> Fields:
        if start is None:
            return first(known, key, start)
        rest, solve = {"f": start.fields["f"]}, SYSTEM.over(frames).solve
        return steepest_step(solve, known, rest, OBJECTIVE, size=size)

    return make


def unchanged(observed: Fields, predicted: Fields) -> jax.Array:
    """No noise on the rest of the running plan."""
    return jnp.zeros(len(observed["u0"]))


def steer(config: Config, arm: Arm, problems: Problems) -> tuple[dict, float]:
    """Steer all problems; scores of each and the share of ticks with a new plan."""
    key = jax.random.key(config.seed + 2)
    horizons = range(config.horizon, 0, -config.every)
    intervals = [ControlInterval(config.every, arm.make(left)) for left in horizons]
    u0, misses, efforts, rates = problems.initial, [], [], []
    for n, goal in enumerate(problems.goals):
        now = slice(n * config.horizon, (n + 1) * config.horizon)
        flow, due = run(
            intervals,
            SYSTEM,
            NAMES,
            {"u0": u0, "uT": goal},
            {"f": problems.push[:, now]},
            config.noise,
            jax.random.fold_in(key, n),
            arm.how,
        )
        u0 = flow["u"][:, -1]
        misses.append(terminal(flow["u"], goal))
        efforts.append(ENERGY_WEIGHT * energy(flow["f"]))
        rates.append(due.mean())
    scores = {"miss": np.mean(misses, axis=0), "energy": np.mean(efforts, axis=0)}
    scores["J"] = scores["miss"] + scores["energy"]
    return scores, float(np.mean(rates))


def timed(config: Config, arm: Arm, problems: Problems) -> dict[str, Any]:
    """The controller's milliseconds of a processor, each tick of one flow at a time."""
    took = []
    horizons = list(range(config.horizon, 0, -config.every))
    makes = [arm.make(left) for left in horizons]
    for row in range(-1, config.timed):  # the first compiles
        which = slice(max(row, 0), max(row, 0) + 1)
        state, goal = problems.initial[which], problems.goals[0, which]
        running = None
        for n, make in enumerate(makes):
            keys = jax.random.key(row + 1), jax.random.key(n)
            observed = {
                "u0": state + config.noise * jax.random.normal(keys[1], (1, 120))
            }
            begin = time.process_time()
            known = {"uT": goal}
            how = arm.how if row >= 0 else replace(arm.how, trigger=None)
            running, _ = replan(make, how, running, known, observed, *keys)
            f = jax.block_until_ready(running.plan["f"][:, : config.every])
            if row >= 0:
                took.append(time.process_time() - begin)
            now = slice(n * config.every, (n + 1) * config.every)
            inputs = {"u0": state, "f": f + problems.push[which, now]}
            state = SYSTEM.over(config.every).solve(inputs)["u"][:, -1]
            running = running.after(config.every, NAMES.initial)
    simulated = len(took) * config.every * SYSTEM.duration / SYSTEM.frames
    return {
        "median_ms": round(1e3 * float(np.median(took)), 2),
        "p99_ms": round(1e3 * float(np.quantile(took, 0.99)), 2),
        "ticks_per_second": round(len(took) / sum(took), 1),
        "mean_ms": round(1e3 * float(np.mean(took)), 2),
        "processor_seconds_per_simulated": round(sum(took) / simulated, 4),
    }


def arms(config: Config, chosen: dict[str, dict[str, float]]) -> dict[str, Arm]:
    """Everything that is compared under one kind of push."""
    model = wdno.load(config.planner)
    one = wdno.Planner(model, OBJECTIVE, steps=1)
    few = {"steps": config.calls, "strength": config.strength}
    several = wdno.Planner(model, OBJECTIVE, **few)
    polished = wdno.Planner(
        model, OBJECTIVE, steps=1, polish=wdno.Polish(SYSTEM, config.polish)
    )
    sensors = Sensors(SYSTEM.points, config.seen, config.noise)
    ticks = config.horizon // config.every

    def arm(planner: wdno.Planner, trigger: Any) -> Arm:
        how = Replanning(partial(decide, trigger), None, sensors)
        return Arm(partial(sampled, planner), how, planner.steps)

    found = {
        "every tick": arm(one, Periodic(1)),
        "open loop": arm(one, Periodic(NEVER)),
    }
    for period in range(2, ticks):
        found[f"every {period} ticks"] = arm(one, Periodic(period))
    for name, kind in KINDS.items():
        for rate, eta in chosen[name].items():
            found[f"{name}, {rate}"] = arm(one, kind(eta, most_skips=NEVER))
    for rate in config.rates:  # the first tick of an appointment always has a plan
        found[f"at random, {rate}"] = arm(
            one, AtRandom((ticks * rate - 1) / (ticks - 1))
        )
    for size in config.sizes:
        how = Replanning(None, unchanged, sensors)
        make = partial(stepped, one, size)
        found[f"one gradient, {size:g}, every tick"] = Arm(make, how, 0)
    for steps in (1, config.polish):
        how = Replanning(None, unchanged, sensors)
        found[f"adjoint {steps}, every tick"] = Arm(partial(reoptimised, steps), how, 0)
    found[f"{config.calls} calls, guided, every tick"] = arm(several, Periodic(1))
    found[f"polish {config.polish}, every tick"] = arm(polished, Periodic(1))
    half = InnovationThreshold(chosen["threshold"]["0.5"], most_skips=NEVER)
    found[f"{config.calls} calls, guided, threshold, 0.5"] = arm(several, half)
    return found


def choose(config: Config, kind: str) -> dict[str, dict[str, float]]:
    """Similarities at which triggers have the wished rates, on other problems."""
    problems = draw(config, config.tuning_seed, kind)
    one = wdno.Planner(wdno.load(config.planner), OBJECTIVE, steps=1)
    sensors = Sensors(SYSTEM.points, config.seen, config.noise)
    chosen = {}
    for name, trigger in KINDS.items():
        rates = []
        for eta in config.similarities:
            rule = partial(decide, trigger(eta, most_skips=NEVER))
            arm = Arm(partial(sampled, one), Replanning(rule, None, sensors), 1)
            rates.append(steer(config, arm, problems)[1])
            print(kind, name, eta, rates[-1], flush=True)
        etas = np.interp(config.rates, rates, config.similarities)
        chosen[name] = {
            str(rate): float(f"{eta:.4f}")
            for rate, eta in zip(config.rates, etas, strict=True)
        }
    return chosen


def main(config: Config) -> None:
    """Steer, judge, time, print, store and draw."""
    results = stored(config)
    for kind in ("gusts", "steady"):
        found = results.setdefault(kind, {"arms": {}})
        if "similarities" not in found:
            found["similarities"] = choose(config, kind)
            keep(config, results)
    for slow in (False, True):
        for kind in results if not slow else ("gusts",):
            compare(config, kind, results, slow)
            picture(config, results)


def compare(config: Config, kind: str, results: dict, slow: bool) -> None:
    """Measure what is missing under one kind of push."""
    problems, found = draw(config, config.seed, kind), results[kind]
    for name, arm in arms(config, found["similarities"]).items():
        if name in found["arms"] or name.startswith(SLOW) != slow:
            continue
        scores, rate = steer(config, arm, problems)
        full = found["arms"].get("every tick", {}).get("J of each problem", scores["J"])
        found["arms"][name] = {
            **{part: interval(values) for part, values in scores.items()},
            "J over that of every tick": ratio(scores["J"], full),
            "rate": round(rate, 3),
            "calls_per_tick": round(rate * arm.calls, 3),
            **timed(config, arm, problems),
            "J of each problem": np.round(scores["J"], 6).tolist(),
        }
        shown = {k: v for k, v in found["arms"][name].items() if "each" not in k}
        print(kind, name, shown, flush=True)
        keep(config, results)


def ratio(values: np.ndarray, others: np.ndarray | list[float]) -> list[float]:
    """Ratio of means over the same problems, with its 95 % bootstrap interval."""
    draws = [
        resampled_means(xr.DataArray(np.asarray(v), dims="sample"), 5000, 0)
        for v in (values, others)
    ]
    low, high = np.quantile(draws[0] / draws[1], (0.025, 0.975))
    return [float(f"{v:.3g}") for v in (np.mean(values) / np.mean(others), low, high)]


def keep(config: Config, results: dict) -> None:
    """Store what there is."""
    record("event_control", asdict(config), pushes=results)


def stored(config: Config) -> dict[str, Any]:
    """Results of an earlier run with the same configuration."""
    path = RESULTS / "event_control.json"
    entry = json.loads(path.read_text()) if path.exists() else {}
    same = entry.get("config") == json.loads(json.dumps(asdict(config), default=str))
    return entry["pushes"] if same else {}


FAMILIES = ("similarity filter", "threshold", "at random", "every ")


def picture(config: Config, results: dict) -> None:
    """J against the share of ticks with a new plan, and against milliseconds."""
    results = {kind: found for kind, found in results.items() if found["arms"]}
    figure = Figure(figsize=(9, 4 * len(results)), layout="constrained")
    axes = figure.subplots(len(results), 2, squeeze=False)
    for (kind, found), pair in zip(results.items(), axes, strict=True):
        rows = found["arms"]
        ends = {"every tick", "open loop"}
        for family, colour in zip(FAMILIES, CURVES, strict=False):
            mine = {n for n in rows if n.startswith(family)}
            points = sorted((rows[n]["rate"], *rows[n]["J"]) for n in mine | ends)
            line = "none" if family == "every " else "-"
            errorbars(pair[0], np.array(points), family, colour, linestyle=line)
        for family, colour in zip((*FAMILIES, *SLOW), [*CURVES, "k", "c"], strict=True):
            mine = [row for n, row in rows.items() if family in n]
            if mine:
                points = np.array([(row["mean_ms"], *row["J"]) for row in mine])
                errorbars(pair[1], points, family, colour, linestyle="none")
        pair[0].set(xlabel="share of ticks with a new plan", ylabel=f"J, {kind}")
        pair[1].set(xlabel="processor ms a tick", xscale="log", yscale="log")
        pair[1].xaxis.set(major_locator=LogLocator(subs=(1, 2, 5)))
        for axis in (pair[1].xaxis, pair[1].yaxis):
            axis.set(major_formatter=FormatStrFormatter("%g"))
            axis.set(minor_formatter=NullFormatter())
        pair[1].yaxis.set(major_locator=LogLocator(subs=(1, 2, 3, 4, 6)))
        pair[1].set_ylim(0.75 * pair[1].get_ylim()[0])  # room for names
        for axis, place in zip(pair, ("upper right", "lower left"), strict=True):
            axis.grid(True, color=RULE)
            axis.legend(frameon=False, fontsize="small", loc=place, ncols=2)
    plotting.save(figure, config.figure)


def errorbars(
    axis: Axes, points: np.ndarray, label: str, colour: str, **style: Any
) -> None:
    """Means with intervals over something else."""
    x, mean, low, high = points.T
    label = "every so many ticks" if label == "every " else label
    style = {"marker": "o", "capsize": 2, "color": colour, "label": label} | style
    axis.errorbar(x, mean, (mean - low, high - mean), **style)


if __name__ == "__main__":
    main(tyro.cli(Config))
