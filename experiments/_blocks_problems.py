"""What is simulated by blocks: waves, shocks and chaos, and what is right."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from _blocks import States
from jaxtyping import Array, Float

import wdno
from wdno._typing import Fields
from wdno.systems import Advection, Burgers, KuramotoSivashinsky


class Problem(NamedTuple):
    """What is simulated, and what is right."""

    model: wdno.WDNO
    initial: Fields
    control: Fields
    truth: States
    rivals: dict[str, States]
    """Records of what is no model."""


def advection(samples: int, seed: int, frames: int) -> Problem:
    """Waves carried around a ring, at speeds of their own."""
    system = Advection().over(frames)
    inputs = system.sample_inputs(jax.random.key(seed), samples)
    model = wdno.load("advection-simulation")
    return Problem(model, inputs, {}, system.solve(inputs)["u"], {})


def burgers(samples: int, seed: int, frames: int) -> Problem:
    """Shocks under the forces of one record after another."""
    system, key = Burgers(), jax.random.key(seed)
    records = range(-(-frames // system.frames))
    drawn = [system.sample_inputs(jax.random.fold_in(key, n), samples) for n in records]
    f = jnp.concatenate([inputs["f"] for inputs in drawn], axis=1)[:, :frames]
    initial = {"u0": drawn[0]["u0"]}
    truth = system.over(frames).solve({**initial, "f": f})["u"]
    return Problem(wdno.load("burgers-simulation"), initial, {"f": f}, truth, {})


def linear(
    system: KuramotoSivashinsky, u0: Float[Array, "sample x"], windows: int
) -> States:
    """Chained windows of the best linear map that commutes with shifts.

    Wave k at t_n is m_n(k) times what it was at t_0, m fitted to 4,096 unseen records.
    """
    inputs = system.sample_inputs(jax.random.key(1), 4096)
    before = jnp.fft.rfft(inputs["u0"])
    after = jnp.fft.rfft(system.solve(inputs)["u"])
    power = jnp.square(jnp.abs(before)).mean(0) + 1e-9
    multiplier = (after * before.conj()[:, None]).mean(0) / power[None]
    parts = []
    for _ in range(windows):
        waves = multiplier[None] * jnp.fft.rfft(u0)[:, None]
        parts.append(jnp.fft.irfft(waves, system.points))
        u0 = parts[-1][:, -1]
    return jnp.concatenate(parts, axis=1)


def chaos(samples: int, seed: int, frames: int) -> Problem:
    """Kuramoto-Sivashinsky flow, unpredictable after a few windows."""
    system = KuramotoSivashinsky().over(frames)
    inputs = system.sample_inputs(jax.random.key(seed), samples)
    model = wdno.load("kuramoto-sivashinsky-simulation")
    window = KuramotoSivashinsky().over(model.window)
    rivals = {"linear map": linear(window, inputs["u0"], frames // model.window)}
    return Problem(model, inputs, {}, system.solve(inputs)["u"], rivals)


PROBLEMS: dict[str, Callable[[int, int, int], Problem]] = {
    "advection": advection,
    "burgers": burgers,
    "kuramoto-sivashinsky": chaos,
}
"""By name; they take the number of samples, a seed and the frames of a record."""
