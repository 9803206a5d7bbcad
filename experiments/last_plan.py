"""Is the last plan a better source than noise, and has a planner to learn to use it?

Burgers flow with appointments, pushed by what no planner knows, seen by few noisy
sensors through straight lines between them. A small network is trained in the usual way
and then goes on so, or on the rests of its own plans (`wdno.training.own_plans`), or on
a staircase of noise levels (`_asynchronous`); for as long, on the same plans.
What each makes of so many calls a tick is judged by the solver, beside the shipped
planner and the adjoint method.
"""

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import event_control
import jax
import jax.numpy as jnp
import tyro
from _asynchronous import Asynchronous, staircase_loss
from _control import OBJECTIVE, SYSTEM, interval
from _planners import HORIZON, nearly_best, small_recipe
from _results import record
from _sensors import Interpolated, Sensors
from event_control import Arm, draw, ratio, reoptimised, sampled, steer, timed
from flax import nnx

import wdno
from wdno._typing import Fields
from wdno.diffusion.denoiser import freeze
from wdno.diffusion.samplers import ddim
from wdno.operator.generation import Start
from wdno.operator.model import with_backbone
from wdno.planning.feedback import MakePlan, Replanning
from wdno.training.batches import WindowBatches
from wdno.training.build import build_model
from wdno.training.loop import TrainingConfig, fit
from wdno.training.loss import loss_of_begun
from wdno.training.own_plans import OwnPlans, roll_out


@dataclass(frozen=True)
class Config:
    """The planners, and the problems."""

    out: Path
    records: int = 2048
    width: int = 32
    begin: float = 115.0
    budget: float = 115.0
    compiling: float = 35.0
    """Seconds that roll-outs take to compile, beyond what the others do."""
    learning_rate: float = 2e-3
    problems: int = 50
    every: int = 8
    noise: float = 0.1
    seen: int = 8
    sigma: float = 0.4
    surprise: float = 0.1
    steps: tuple[int, ...] = (1, 2, 8)
    sigmas: tuple[float, ...] = (0.4, 2.0)
    adjoint: tuple[int, ...] = (1, 2)
    data_seed: int = 70_000
    seed: int = 62_000

    @property
    def problem(self) -> event_control.Config:
        """As `event_control` has it."""
        names = ("problems", "every", "noise", "seen", "seed")
        return event_control.Config(**{n: getattr(self, n) for n in names})


TIMED = ("from noise", "shipped planner, filtered", "adjoint")
"""Of as many calls others take as long."""


def observing(config: Config) -> Callable[[Fields, jax.Array], Fields]:
    """Initial states as the sensors show them."""
    sensors = Interpolated(SYSTEM.points, config.seen)

    def observe(fields: Fields, key: jax.Array) -> Fields:
        noise = config.noise * jax.random.normal(key, fields["u0"].shape)
        return {**fields, **sensors({"u0": fields["u0"] + noise}, None)}

    return observe


def trained(config: Config) -> dict[str, wdno.WDNO]:
    """The three planners; those that are there are read."""
    recipe = small_recipe(config.width, config.every)
    dataset = nearly_best(config.records, config.data_seed)
    batches = WindowBatches(dataset, recipe)
    model, observe = build_model(recipe, dataset, batches), observing(config)
    whole = WindowBatches(dataset, small_recipe(config.width))
    updates = HORIZON // config.every - 1
    own = OwnPlans(config.every, config.sigma, updates, surprise=config.surprise)
    usual = loss_of_begun(model, recipe.noise.distribution())

    def told(backbone: nnx.Module, fields: Fields, key: jax.Array) -> Any:
        return ((observe(fields, key), None),)

    def run(name: str, start: wdno.WDNO, budget: float, *how: Any) -> wdno.WDNO:
        folder, (loss, windows, prepare) = config.out / name.replace(" ", "-"), how
        if not (folder / "model").exists():
            network = fit(
                start.denoiser.backbone.thaw(),
                loss,
                windows,
                TrainingConfig(budget=budget, learning_rate=config.learning_rate),
                folder,
                prepare=prepare,
                clock=time.process_time,
            )
            wdno.save(with_backbone(model, freeze(network)), folder / "model")
        return wdno.load(folder / "model")

    plain = usual, batches, told
    stairs = staircase_loss(model, config.every, observe), batches, None
    base = run("begun", model, config.begin, *plain)
    return {
        "plain": run("plain", base, config.budget, *plain),
        "own plans": run(
            "own plans",
            base,
            config.budget + config.compiling,
            usual,
            whole,
            roll_out(model, own, observe),
        ),
        "stairs": run("stairs", base, config.budget, *stairs),
    }


def asynchronous(planner: Asynchronous, frames: int) -> MakePlan:
    """Plans whose state is kept from tick to tick."""

    def make(known: Fields, key: jax.Array, start: Start | None) -> Fields:
        return planner.plan(frames, known, key)

    return make


def back_to(sigma: float) -> Callable[[Fields, Fields], jax.Array]:
    """One depth whatever is observed."""
    return lambda observed, predicted: jnp.full(len(observed["u0"]), sigma)


def arms(config: Config, models: dict[str, wdno.WDNO]) -> dict[str, Arm]:
    """All that are compared."""
    lines = Interpolated(SYSTEM.points, config.seen)
    filtered = Sensors(SYSTEM.points, config.seen, config.noise)

    def arm(
        model: wdno.WDNO, calls: int, sigma: float | None = None, seen: Any = lines
    ) -> Arm:
        planner = wdno.Planner(model, OBJECTIVE, steps=calls, sampler=ddim())
        depth = None if sigma is None else back_to(sigma)
        how = Replanning(None, depth, seen)
        return Arm(partial(sampled, planner), how, calls)

    plain, own = models["plain"], models["own plans"]
    found = {f"from noise, {n} calls": arm(plain, n) for n in config.steps}
    for sigma in config.sigmas:
        for n in config.steps[:2]:
            name = f"last plan, untrained, σ = {sigma:g}, {n} calls"
            found[name] = arm(plain, n, sigma)
    for n in config.steps[:2]:
        found[f"last plan, trained, {n} calls"] = arm(own, n, config.sigma)
    for n in config.steps[:1]:
        found[f"trained on last plans, from noise, {n} calls"] = arm(own, n)
    stairs = Asynchronous(models["stairs"], config.every)
    found["asynchronous levels"] = Arm(
        partial(asynchronous, stairs), Replanning(None, None, lines), 1
    )
    shipped = wdno.load("burgers-control")
    found["shipped planner, 1 calls"] = arm(shipped, 1)
    found["own plans, filtered states, 1 calls"] = arm(own, 1, config.sigma, filtered)
    found["plain, filtered states, 1 calls"] = arm(plain, 1, None, filtered)
    found["shipped planner, filtered states, 1 calls"] = arm(shipped, 1, None, filtered)
    for steps in config.adjoint:
        how = Replanning(None, event_control.unchanged, filtered)
        name = f"adjoint {steps}, filtered states"
        found[name] = Arm(partial(reoptimised, steps), how, 0)
    return found


def main(config: Config) -> None:
    """Train, steer, judge, print and store."""
    models, results = trained(config), {}
    ticks = HORIZON // config.every
    for kind in ("gusts", "steady"):
        problems, found = draw(config.problem, config.seed, kind), {}
        for name, arm in arms(config, models).items():
            scores, _ = steer(config.problem, arm, problems)
            first = found.setdefault("J", scores["J"])
            calls = arm.calls
            if name.startswith("asynchronous"):  # the first tick has all of them
                calls = (2 * ticks - 1) / ticks
            found[name] = {
                **{part: interval(values) for part, values in scores.items()},
                "J over one call from noise": ratio(scores["J"], first),
                "calls_per_tick": calls,
            }
            if kind == "gusts" and name.startswith(TIMED):
                found[name] |= timed(config.problem, arm, problems)
            print(kind, name, found[name], flush=True)
        found.pop("J")
        results[kind] = found
    print(record("last_plan", asdict(config), pushes=results))


if __name__ == "__main__":
    main(tyro.cli(Config))
