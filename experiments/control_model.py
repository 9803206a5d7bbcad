"""What do plans for Burgers flow gain from descent through the simulation model?

The planner samples, then L-BFGS goes on through the model in the place of the solver,
over smooth forces; beside it the same descent from no force. The solver only judges,
from the true initial states, here and on problems on which nothing was chosen.
"""

import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import jax
import jax.numpy as jnp
import tyro
from _control import OBJECTIVE, SYSTEM, Forces, Problems, late_plan
from _results import RESULTS, record

import wdno
from wdno.planning.adjoint import descend
from wdno.planning.surrogate import Surrogate

Waves = tuple[int, int]


@dataclass(frozen=True)
class Config:
    """Which models, on which problems."""

    base: str = "burgers-simulation"
    planner: str = "burgers-control"
    targets: int = 50
    steps: tuple[int, ...] = (1, 3, 5, 8, 15)
    horizon: int = 32
    waves: Waves = (6, 10)
    short: tuple[int, Waves] = (16, (3, 8))
    whole: tuple[int, Waves] = (80, (20, 10))
    samples: int = 8
    calls: int = 6
    strength: float = 100.0
    seed: int = 40_000
    other_seed: int = 50_000
    compiled_first: bool = True
    """Each plan is made twice, and the second time is taken; else compilation too."""


def main(config: Config) -> None:
    """Plan, judge, print and store; an interrupted run goes on where it was."""
    base, model = wdno.load(config.base), wdno.load(config.planner)
    results = stored(config)

    def arm(name: str, problems: Problems, make: Callable[[], Forces]) -> None:
        if name not in results:
            if config.compiled_first:
                make()
            begin = time.perf_counter()
            plan = jax.block_until_ready(make())
            results[name] = problems.judged(plan, time.perf_counter() - begin)
        print(f"{name:40s}", results[name], flush=True)
        record("control_model", asdict(config), plans=results)

    def sampled(
        problems: Problems,
        descent: int,
        horizon: int = config.horizon,
        waves: Waves = config.waves,
        members: int | None = None,
        **how: Any,
    ) -> Forces:
        """Plans of one call, unless more are asked for, and descent from them."""
        if descent:
            how["polish"] = wdno.Polish(Surrogate(base, horizon), descent)
            how["constraint"] = wdno.constraints.smooth("f", *waves)
        planner = wdno.Planner(model, OBJECTIVE, **{"steps": 1} | how)
        key = jax.random.key(config.seed + 2)
        return late_plan(base, planner, problems, horizon, key, members)

    first = Problems.draw(config.seed, config.targets)
    other = Problems.draw(config.other_seed, config.targets)
    names = {0: f"one call, {config.horizon} frames"}
    names |= {n: f"one call, {n} steps through the model" for n in config.steps}
    for n, name in names.items():
        arm(name, first, lambda n=n: sampled(first, n))
    (frames, waves), n = config.short, config.steps[-2]
    arm(f"{names[n]}, {frames} frames", first, lambda: sampled(first, n, frames, waves))
    for steps in (n, config.steps[-1]):
        arm(
            f"no force, {steps} steps through the model",
            first,
            lambda steps=steps: from_rest(
                base, first, config.horizon, config.waves, steps
            ),
        )
    for steps in (0, n, config.steps[-1]):
        name = f"{names[steps]}, other problems"
        arm(name, other, lambda steps=steps: sampled(other, steps))
    many = {"steps": config.calls, "strength": config.strength}
    arm(
        f"best of {config.samples}, {config.steps[2]} steps through the model",
        first,
        lambda: sampled(first, config.steps[2], members=config.samples, **many),
    )
    arm(
        f"no force, {config.steps[-1]} steps through the model, {SYSTEM.frames} frames",
        first,
        lambda: from_rest(base, first, *config.whole, config.steps[-1]),
    )


def stored(config: Config) -> dict[str, Any]:
    """Results of an earlier run with the same configuration."""
    path = RESULTS / "control_model.json"
    entry = json.loads(path.read_text()) if path.exists() else {}
    same = entry.get("config") == json.loads(json.dumps(asdict(config)))
    return entry["plans"] if same else {}


def from_rest(
    base: wdno.WDNO, problems: Problems, horizon: int, waves: Waves, steps: int
) -> Forces:
    """Descent through the model from no force, in the last frames."""
    calm, later = jnp.split(problems.still, [SYSTEM.frames - horizon], axis=1)
    known = dict(problems.known)
    if calm.size:
        initial = {"u0": known["u0"]}
        free = wdno.rollout(base, initial, {"f": calm}, key=jax.random.key(0))
        known["u0"] = free["u"][:, -1]
    found = descend(
        Surrogate(base, horizon).solve,
        known,
        {"f": later},
        OBJECTIVE,
        steps=steps,
        constraint=wdno.constraints.smooth("f", *waves),
    )
    return jnp.concatenate([calm, found.controls["f"]], axis=1)


if __name__ == "__main__":
    main(tyro.cli(Config))
