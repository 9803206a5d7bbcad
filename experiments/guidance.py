"""Is residual guidance as good as the second denoiser that it replaces?

A planner learns to do without the goal in a tenth of its rows. Then plans that are led
to the goal by two denoisers, by one and a reference, and by one alone are compared: how
far from those of two denoisers, and what the solver makes of them, at equal calls too.
"""

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
from _control import ENERGY_WEIGHT, SYSTEM, interval
from _planners import HORIZON, nearly_best, small_recipe
from _results import record
from matplotlib.figure import Figure
from matplotlib.ticker import FormatStrFormatter, MaxNLocator

import wdno
from wdno import plotting
from wdno._typing import Fields, Guidance
from wdno.diffusion.guidance import classifier_free
from wdno.diffusion.residual_guidance import (
    first_estimate,
    gaussian_share,
    residual_guidance,
)
from wdno.diffusion.samplers import ddim
from wdno.operator.generation import denoiser, generate, prepare, sample_shape
from wdno.planning.objectives import energy, terminal
from wdno.plotting.style import CURVES, RULE
from wdno.training.config import TrainingConfig
from wdno.training.pipeline import train_recipe
from wdno.training.recipe import ConditionDropout


@dataclass(frozen=True)
class Config:
    """How long a planner is trained, and what is tried with it."""

    out: Path
    records: int = 2048
    budget: float = 300.0
    learning_rate: float = 2e-3
    problems: int = 50
    steps: tuple[int, ...] = (1, 2, 4)
    weights: tuple[float, ...] = (1.2, 2.0)
    data_seed: int = 70_000
    seed: int = 60_000
    figure: Path = field(default=Path("docs/pictures/guidance.png"))


class Way(NamedTuple):
    """A guidance, and the calls beyond one a step."""

    lead: Callable[..., Guidance | None]
    """Of weight, model, known fields, levels and key; traced."""
    calls: Callable[[int], int]


def conditional(*arguments: Any) -> None:
    """No guidance."""


def without_goal(model: wdno.WDNO, known: Fields) -> Any:
    """The denoiser of plans that lead anywhere."""
    return denoiser(model, prepare(model, {"u0": known["u0"]}))


def full(weight: Any, model: wdno.WDNO, known: Fields, *_: Any) -> Guidance:
    """Two denoisers at each level."""
    return classifier_free(without_goal(model, known), weight)


def once(
    share: Any,
    weight: Any,
    model: wdno.WDNO,
    known: Fields,
    sigmas: jax.Array,
    key: jax.Array,
) -> Guidance:
    """One denoiser, and one call of the other (one-time-negative)."""
    shape = sample_shape(model, len(known["u0"]))
    blind = without_goal(model, known)
    reference = first_estimate(blind, shape, sigmas[0], key)
    return residual_guidance(reference, weight, share)


def still(
    share: Any, weight: Any, model: wdno.WDNO, known: Fields, *_: Any
) -> Guidance:
    """One denoiser, and what is known to happen without force (self-negative)."""
    rows = len(known["u0"])
    calm = jnp.zeros((rows, HORIZON, SYSTEM.points))
    flow = SYSTEM.over(HORIZON).solve({"u0": known["u0"], "f": calm})["u"]
    reference = model.targets.analysis({"u": flow, "f": calm})
    return residual_guidance(reference, weight, share)


def ways() -> dict[str, Way]:
    """All that lead away from plans without a goal, by name."""
    shares = {"δ = 1": 1.0, "δ falls": gaussian_share(1.0)}
    found = {"two denoisers": Way(full, lambda n: 2 * n)}
    for name, share in shares.items():
        found[f"one-time-negative, {name}"] = Way(partial(once, share), lambda n: n + 1)
        found[f"self-negative, {name}"] = Way(partial(still, share), lambda n: n)
    return found


def planned(
    model: wdno.WDNO, known: Fields, way: Way, weight: float, steps: int
) -> tuple[jax.Array, Fields]:
    """Coefficients and fields of plans; the same noise whatever the way."""
    key, sigmas = jax.random.key(1), model.levels(steps)

    @jax.jit
    def make(model: wdno.WDNO, known: Fields, weight: jax.Array) -> Fields:
        lead = way.lead(weight, model, known, sigmas, key)
        return generate(model, known, ddim(), sigmas, key, lead)

    plan = make(model, known, jnp.float32(weight))
    return model.targets.analysis(plan), plan


def main(config: Config) -> None:
    """Train if there is no planner yet, plan, judge, print, store and draw."""
    folder = config.out / "model"
    if not folder.exists():
        dropout = ConditionDropout(("uT",))
        train_recipe(
            "burgers-control",
            nearly_best(config.records, config.data_seed),
            TrainingConfig(budget=config.budget, learning_rate=config.learning_rate),
            config.out,
            recipe=replace(small_recipe(), dropout=dropout),
            clock=time.process_time,
        )
    model = wdno.load(folder)
    truth = nearly_best(config.problems, config.seed).isel(sample=slice(None, None, 2))
    known = {
        "u0": jnp.asarray(truth.u.isel(time=0).values),
        "uT": jnp.asarray(truth.u.isel(time=-1).values),
    }
    results: dict[str, Any] = {}

    def judged(
        name: str, way: Way, steps: int, weight: float = 1.0, others: Any = None
    ) -> Any:
        z, plan = planned(model, known, way, weight, steps)
        u = SYSTEM.over(HORIZON).solve({"u0": known["u0"], "f": plan["f"]})["u"]
        miss = terminal(u, known["uT"])
        effort = ENERGY_WEIGHT * energy(plan["f"])
        row = {"calls": way.calls(steps), "steps": steps}
        row |= {"miss": interval(miss), "energy": interval(effort)}
        row["J"] = interval(miss + effort)
        if others is not None:
            off = jnp.square(z - others).sum((1, 2, 3))
            row["distance"] = interval(
                jnp.sqrt(off / jnp.square(others).sum((1, 2, 3)))
            )
        results.setdefault(name, []).append(row)
        print(name, row, flush=True)
        return z

    plain = Way(conditional, lambda n: n)
    for steps in config.steps:
        judged("conditional", plain, steps)
    for weight in config.weights:
        for steps in config.steps:
            both = None
            for name, way in ways().items():
                z = judged(f"γ = {weight:g}, {name}", way, steps, weight, both)
                both = z if both is None else both
            judged(f"γ = {weight:g}, conditional", plain, steps, weight, both)
    print(record("guidance", asdict(config), ways=results))
    picture(config, results)


def picture(config: Config, results: dict[str, Any]) -> None:
    """J and distance from two denoisers against calls."""
    figure = Figure(figsize=(9, 4), layout="constrained")
    axes = figure.subplots(1, 2)
    weight = f"γ = {config.weights[0]:g}, "
    chosen = {n: rows for n, rows in results.items() if n.startswith(weight)}
    for (name, rows), colour in zip(chosen.items(), [*CURVES, "0.5"], strict=False):
        label = name.removeprefix(weight)
        for axis, part in zip(axes, ("J", "distance"), strict=True):
            if part not in rows[0]:
                continue
            mean, low, high = np.array([row[part] for row in rows]).T
            calls = [row["calls"] for row in rows]
            bars = (mean - low, high - mean)
            style = {"color": colour, "marker": "o", "capsize": 2, "label": label}
            axis.errorbar(calls, mean, bars, **style)
    for axis in axes:
        axis.set(yscale="log", xlabel="denoiser calls")
        axis.xaxis.set(major_locator=MaxNLocator(integer=True))
        axis.grid(True, color=RULE)
    plain = FormatStrFormatter("%g")
    axes[0].yaxis.set(major_formatter=plain, minor_formatter=plain)
    axes[0].set_ylabel("J = miss + energy, by the solver")
    axes[1].set_ylabel("distance from two denoisers, relative")
    axes[0].legend(frameon=False, fontsize="small")
    plotting.save(figure, config.figure)


if __name__ == "__main__":
    main(tyro.cli(Config))
