"""Students of Burgers flow: what they learn from, how they are judged, the rivals."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from flax import nnx
from jaxtyping import Array, Float, PRNGKeyArray

from wdno import metrics
from wdno._typing import Fields
from wdno.diffusion.denoiser import Denoiser, freeze
from wdno.diffusion.noise import per_row
from wdno.diffusion.samplers import Sampler, ddim, dpmpp_2m
from wdno.diffusion.schedules import LadderSchedule
from wdno.inference.batching import batch_keys, in_batches
from wdno.networks.adapters import Adapter
from wdno.operator.adapted import OneCall, fingerprint, new_adapter, with_adapter
from wdno.operator.generation import generate, left_open, prepare
from wdno.operator.model import WDNO, with_backbone
from wdno.operator.residual import Coefficients, energy_share
from wdno.training.distillation import (
    Distillation,
    distillation_loss,
    from_noise,
)
from wdno.training.held_out import held_windows
from wdno.training.loop import TrainingConfig, fit
from wdno.training.teacher_pairs import Pairs, TeacherPairs

Values = Float[np.ndarray, "..."]


@dataclass(frozen=True)
class Lesson:
    """What all students have: the teacher, its pairs, trajectories, time."""

    model: WDNO
    seen: xr.Dataset
    pairs: TeacherPairs
    unseen: TeacherPairs
    how: Distillation
    config: TrainingConfig
    clock: Callable[[], float]

    def fitted(self, module: Any, loss: Any, batches: Any, folder: Path, **how: Any):
        """A module that was trained, by the clock of all."""
        config = how.get("config", self.config)
        return fit(module, loss, batches, config, folder, clock=self.clock)

    def at_once(self, model: WDNO, sigma: float) -> WDNO:
        """A model for one call at a level."""
        return replace(model, schedule=LadderSchedule((sigma,)))


@dataclass(frozen=True)
class Judge:
    """Windows that no model has seen, each from the true state before it."""

    fields: Fields
    members: int
    key: PRNGKeyArray

    @classmethod
    def of(cls, model: WDNO, truth: xr.Dataset, members: int) -> "Judge":
        """All windows of these trajectories."""
        return cls(held_windows(model, truth), members, jax.random.key(9))

    @property
    def truth(self) -> Values:
        """u of (window, time, x)."""
        return np.asarray(self.fields["u"])

    def drawn(self, model: WDNO, sampler: Sampler, steps: int) -> Values:
        """Members u of (window, member, time, x); the same keys for all models."""
        rows = len(self.truth)
        keys = batch_keys(self.key, {"sample": rows, "member": self.members})
        host = jax.tree.map(np.asarray, self.fields)
        run = partial(_drawn, model, sampler=sampler, steps=steps)
        u = in_batches(run, host, 256, keys)["u"]
        return u.reshape(rows, self.members, *u.shape[1:])

    def crps(self, u: Values) -> Values:
        """Fair CRPS of each window."""
        over, m = (1, 2, 3), self.members
        error = np.abs(u - self.truth[:, None]).mean(over)
        apart = sum(
            np.abs(u - np.roll(u, n, axis=1)).sum((1, 2, 3)) for n in range(1, m)
        )
        return error - apart / (2 * m * (m - 1) * u[0, 0].size)

    def spread_skill(self, u: Values) -> float:
        """Spread over error of the mean, 1 for members exchangeable with the truth."""
        variance = u.var(axis=1, ddof=1).mean() * (self.members + 1) / self.members
        return float(np.sqrt(variance / np.square(u.mean(1) - self.truth).mean()))

    def energy(self, model: WDNO, u: Values) -> Values:
        """Energy of each subband."""
        z = model.targets.analysis({"u": jnp.asarray(u.reshape(-1, *u.shape[-2:]))})
        return np.square(np.asarray(z)).mean(axis=(0, 1, 2))


@partial(jax.jit, static_argnames=("sampler", "steps"))
def _drawn(model, fields, keys, *, sampler, steps):
    sigmas = model.levels(steps)
    return {"u": generate(model, fields, sampler, sigmas, keys)["u"]}


def scored(judge: Judge, model: WDNO, u: Values, taught: Values) -> dict[str, Any]:
    """Scores of members beside those of the teacher from the same keys."""
    crps, best = judge.crps(u), judge.crps(taught)
    draw = np.random.default_rng(0).integers(0, len(crps), (2000, len(crps)))
    ratios = crps[draw].mean(1) / best[draw].mean(1)
    apart = (
        np.square(u - taught).mean()
        / np.square(taught - taught.mean(1)[:, None]).mean()
    )
    ratio = judge.energy(model, u) / judge.energy(model, taught)
    of_truth = judge.energy(model, u) / judge.energy(model, judge.truth)
    values = xr.DataArray(crps, dims="sample")
    return {
        "fair_crps": _four(metrics.bootstrap_interval(values)),
        "crps_over_teacher": _four(
            [crps.mean() / best.mean(), *np.quantile(ratios, [0.025, 0.975])]
        ),
        "spread_skill": round(judge.spread_skill(u), 3),
        "paired_error_over_variance": round(float(apart), 3),
        "energy_over_teacher": ratio.round(3).tolist(),
        "energy_over_truth": of_truth.round(3).tolist(),
    }


def _four(values: Any) -> list[float]:
    return [float(f"{float(value):.4g}") for value in values]


def tuned_whole(lesson: Lesson, folder: Path) -> WDNO:
    """The whole backbone by the loss of the adapters."""
    model, sigma = lesson.model, lesson.how.level(lesson.model)

    def student(module: nnx.Module, pairs: Pairs) -> Coefficients:
        return from_noise(replace(model.denoiser, backbone=module), sigma, pairs)

    loss = distillation_loss(model.targets, student, lesson.how.loss)
    config = replace(lesson.config, learning_rate=lesson.config.learning_rate / 10)
    module = model.denoiser.backbone.thaw()
    found = lesson.fitted(module, loss, lesson.pairs, folder, config=config)
    return lesson.at_once(with_backbone(model, freeze(found)), sigma)


def tuned_by_crps(lesson: Lesson, folder: Path, members: int = 4) -> WDNO:
    """The whole backbone by the fair CRPS of one call against the truth, no teacher."""
    model, sigma = lesson.model, lesson.how.level(lesson.model)
    windows = held_windows(model, lesson.seen)
    rows = len(windows["u"])

    @jax.jit
    def known(fields: Fields, keys: Any) -> dict[str, Array]:
        context = prepare(model, fields)
        z, estimate = left_open(model, context, fields), context.estimate
        assert estimate is not None
        scale = jnp.broadcast_to(estimate.scale, (len(z), *estimate.scale.shape[1:]))
        mean, condition = estimate.mean, context.condition
        return {"z": z, "condition": condition, "mean": mean, "scale": scale}

    host = jax.tree.map(np.asarray, windows)
    keys = jax.random.split(jax.random.key(0), rows)
    kept = in_batches(known, host, 128, keys)
    size = lesson.how.batch_size // members

    def batches(step: int) -> Fields:
        few = np.random.default_rng([1, step]).choice(rows, size, replace=False)
        return {
            name: jnp.asarray(v[np.repeat(few, members)]) for name, v in kept.items()
        }

    def loss(module: nnx.Module, batch: Fields, key: PRNGKeyArray) -> Array:
        denoise = replace(model.denoiser, backbone=module)
        noise = jax.random.normal(key, batch["z"].shape, batch["z"].dtype)
        levels = jnp.full(len(noise), sigma, noise.dtype)
        r = denoise(sigma * noise, levels, batch["condition"])
        u = model.targets.synthesis(batch["scale"] * (r - batch["z"]))["u"]
        u = u.reshape(-1, members, *u.shape[1:])  # departures from the truth
        apart = jnp.abs(u[:, :, None] - u[:, None]).mean()
        return jnp.abs(u).mean() - members / (members - 1) * apart / 2

    config = replace(lesson.config, learning_rate=lesson.config.learning_rate / 10)
    module = model.denoiser.backbone.thaw()
    found = lesson.fitted(module, loss, batches, folder, config=config)
    return lesson.at_once(with_backbone(model, freeze(found)), sigma)


def progressive(lesson: Lesson, folder: Path) -> OneCall:
    """Half the calls three times over (Salimans and Ho 2022, arXiv 2202.00512).

    One call learns the two Euler steps that come after a state of the one before.
    """
    model, pairs = lesson.model, lesson.pairs
    adapter = new_adapter(model, lesson.how.adapter, rngs=nnx.Rngs(0))
    levels = np.asarray(model.levels(8))
    for calls in (4, 2, 1):
        frozen = freeze(adapter)
        states = _trajectories(model.denoiser, frozen, pairs, levels)

        def batches(step: int, states: Any = states, levels: Any = levels) -> Fields:
            draw = np.random.default_rng([2, step])
            rows = draw.choice(len(pairs), pairs.batch_size, replace=False)
            place = 2 * draw.integers(0, (len(levels) - 1) // 2, len(rows))
            kept = pairs.rows(rows)
            x, later = states[place, rows], states[place + 2, rows]
            sigma, least = levels[place], levels[place + 2]
            share = np.expand_dims(least / sigma, (1, 2, 3))
            wanted = (later - share * x) / (1 - share)
            found = {"x": x, "wanted": wanted, "sigma": sigma}
            found = {name: jnp.asarray(v, jnp.float32) for name, v in found.items()}
            weight = energy_share(model.targets, kept.estimate)
            return found | {"condition": kept.condition, "weight": weight}

        def loss(adapter: Adapter, batch: Fields, key: PRNGKeyArray) -> Array:
            adapted = with_adapter(model.denoiser, adapter)
            found = adapted(batch["x"], batch["sigma"], batch["condition"])
            error = jnp.square(found - batch["wanted"])
            balance = jnp.minimum(1 + 1 / jnp.square(batch["sigma"]), 5.0)
            return jnp.mean(per_row(balance, error) * batch["weight"] * error)

        part = lesson.config.part(1 / 3)
        adapter = lesson.fitted(
            adapter, loss, batches, folder / f"{calls}", config=part
        )
        levels = levels[::2]
    return OneCall(freeze(adapter), float(levels[0]), fingerprint(model))


def _trajectories(
    denoiser: Denoiser, adapter: Any, pairs: TeacherPairs, levels: Values
) -> Values:
    """States of Euler's steps from the noise of all pairs, (level, pair, ...)."""

    @jax.jit
    def run(batch: Pairs) -> Array:
        adapted = with_adapter(denoiser, adapter.thaw())
        x = levels[0] * batch.noise
        states = [x]
        for sigma, later in zip(levels[:-1].tolist(), levels[1:].tolist(), strict=True):
            x0 = adapted(x, jnp.full(len(x), sigma, x.dtype), batch.condition)
            x = x0 + later / sigma * (x - x0)
            states.append(x)
        return jnp.stack(states)

    size = 128
    parts = [
        np.asarray(run(pairs.rows(slice(n, n + size))))
        for n in range(0, len(pairs), size)
    ]
    return np.concatenate(parts, axis=1)


FEW_CALLS: dict[str, tuple[Sampler, int]] = {
    f"{n} calls": (dpmpp_2m(), n) for n in (1, 2, 4, 8)
}
ONCE = (ddim(), 1)
