"""One run of a system under feedback: observe, choose controls, act, and again."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PRNGKeyArray
from tqdm import tqdm

from wdno._arrays import not_finite
from wdno._typing import Fields
from wdno.diffusion.keys import row_keys, row_normal
from wdno.planning.adjoint import System


class ControlInterval(NamedTuple):
    """Frames between two observations, and how the controls in them are chosen."""

    frames: int
    controls: Callable[[Fields, PRNGKeyArray], Fields]


def run(
    intervals: list[ControlInterval],
    system: System,
    initial: dict[str, str],
    known: Fields,
    unknown: Fields,
    noise: float,
    key: PRNGKeyArray,
) -> Fields:
    """Observe, plan and act once an interval; the whole record."""
    state = {key: known[key] for key in initial.values()}
    pieces, done = [], 0
    for n, interval in enumerate(tqdm(intervals, desc="closed loop", disable=None)):
        plan_key, noise_key = jax.random.split(jax.random.fold_in(key, n))
        observed = {**known, **_observe(state, noise, noise_key)}
        now = slice(done, done := done + interval.frames)
        acting = {
            name: f[:, : interval.frames]
            for name, f in interval.controls(observed, plan_key).items()
        }
        pushes = {name: f[:, now] for name, f in unknown.items()}
        part = system.over(interval.frames)
        piece = {**_achieved(part, state, acting, pushes, tuple(initial)), **acting}
        state = {key: piece[name][:, -1] for name, key in initial.items()}
        pieces.append(piece)
    return jax.tree.map(lambda *fields: jnp.concatenate(fields, axis=1), *pieces)


def _observe(state: Fields, deviation: float, key: PRNGKeyArray) -> Fields:
    """States with white noise, each row's from its own key."""
    observed = {}
    for n, (name, u) in enumerate(state.items()):
        keys = row_keys(jax.random.fold_in(key, n), len(u))
        observed[name] = u + deviation * row_normal(u.shape, u.dtype, keys)
    return observed


def _achieved(
    system: System,
    state: Fields,
    acting: Fields,
    pushes: Fields,
    names: tuple[str, ...],
) -> Fields:
    """What controls and disturbance together do to the system."""
    forces = {name: f + pushes[name] for name, f in acting.items() if name in pushes}
    states = system.solve({**state, **acting, **forces})
    for name in names:
        if (bad := not_finite(np.asarray(states[name]))).any():
            raise ValueError(
                f"The solution must stay finite, but {name} diverged in row "
                f"{int(np.argmax(bad))} ({int(bad.sum())} in all). Bound the "
                "controls by a constraint, or weaken the disturbance."
            )
    return {name: states[name] for name in names}
