"""What do classical controllers reach on forced Burgers, and in what time?

No control, a tuned PID, and the gradient of the solver with Adam and L-BFGS (also over
the last frames alone), on the same targets; each plan is judged by the solver from the
true initial state. Descent through a model instead is in ``control_model.py``.
"""

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import optax
import tyro
from _control import OBJECTIVE, SYSTEM, Problems
from _pid import pid, tune
from _results import record

from wdno._typing import Fields
from wdno.planning.adjoint import descend


@dataclass(frozen=True)
class Config:
    """How many problems, and how long each method may go on."""

    targets: int = 50
    lbfgs_steps: int = 25
    horizon: int = 16
    late_steps: int = 8
    adam_steps: int = 40
    adam_rate: float = 0.1
    seed: int = 40_000


def main(config: Config) -> None:
    """Plan, judge, print and store."""
    problems = Problems.draw(config.seed, config.targets)
    results: dict[str, dict] = {}

    def note(name: str, f: jax.Array, seconds: float, **more) -> None:
        results[name] = problems.judged(f, seconds, **more)
        shown = {k: v for k, v in results[name].items() if k != "curve"}
        print(name, shown, flush=True)
        record("control_baselines", asdict(config), **results)

    def descent(
        name: str,
        solve: Callable[[Fields], Fields],
        steps: int,
        horizon: int = SYSTEM.frames,
        **how: Any,
    ) -> None:
        waiting = SYSTEM.frames - horizon
        calm, later = problems.still[:, :waiting], problems.still[:, waiting:]
        known = dict(problems.known)
        if waiting:
            free = SYSTEM.over(waiting).solve({"u0": known["u0"], "f": calm})
            known["u0"] = free["u"][:, -1]
        run = partial(descend, solve, known, {"f": later}, OBJECTIVE, **how)
        run(steps=1)  # compiles
        found = run(steps=steps)
        curve = {
            "seconds": (found.seconds / config.targets).round(3).tolist(),
            "gradients": found.gradients.mean(axis=1).round(1).tolist(),
            "values": found.values.mean(axis=1).round(6).tolist(),
        }
        force = jnp.concatenate([calm, found.controls["f"]], axis=1)
        note(name, force, found.seconds[-1], curve=curve)

    note("none", problems.still, 0.0)
    tuning = Problems.draw(config.seed + 1, config.targets).known
    gains = tune(SYSTEM, tuning["u0"], tuning["uT"], OBJECTIVE)
    u0, goal = problems.known["u0"], problems.known["uT"]
    begin = time.perf_counter()
    steered = jax.block_until_ready(pid(SYSTEM, u0, goal, gains))
    note("pid", steered, time.perf_counter() - begin, gains=gains._asdict())

    late = SYSTEM.over(config.horizon)
    descent("lbfgs", SYSTEM.solve, config.lbfgs_steps)
    descent("lbfgs, late", late.solve, config.late_steps, config.horizon)
    adam = optax.adam(config.adam_rate)
    descent("adam", SYSTEM.solve, config.adam_steps, optimizer=adam)


if __name__ == "__main__":
    main(tyro.cli(Config))
