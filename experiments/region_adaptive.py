"""Do steps that refresh some tokens beat fewer steps that refresh all of them?

For a model whose backbone takes tokens: samples by region-adaptive steps, by as many
dense ones and by fewer at the same number of operations, with scores of all kinds, the
random one and the oracle among them; how well each score ranks the tokens that would
have changed; and a model of the cost, from which the number of tokens and steps follows
where it would pay. Operations are those that XLA counts.

    python experiments/region_adaptive.py --model runs/tokens/model --system burgers
"""

import time
from dataclasses import asdict, dataclass, replace
from functools import partial
from itertools import product
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import tyro
import xarray as xr
from _call_cost import Cost, cost
from _results import record
from jaxtyping import Array, Float
from scipy.stats import rankdata

import wdno
from wdno import metrics
from wdno._typing import Fields
from wdno.accelerate import region_scores as scores
from wdno.accelerate.region_adaptive import evidence, region_adaptive
from wdno.accelerate.region_scores import Evidence, Score
from wdno.accelerate.region_tokens import parts, tokens_of
from wdno.accelerate.regions import ESTIMATE, NOISE, Regions
from wdno.cli.systems import SYSTEMS
from wdno.diffusion.keys import row_keys, step_keys
from wdno.diffusion.samplers import Sampler, start
from wdno.networks import TokenTransformer
from wdno.networks.token_transformer import forgotten
from wdno.operator.generation import denoiser, generate, prepare, sample_shape
from wdno.wavelets.grain import depths


@dataclass(frozen=True)
class Config:
    """Which model, on what, and how many steps."""

    model: str
    """Name or folder of one whose backbone takes tokens."""
    system: str = "burgers"
    samples: int = 64
    steps: int = 24
    ratios: tuple[float, ...] = (0.5, 0.25)
    start: int = 4
    seed: int = 50_000
    repeats: int = 5


class Problem(NamedTuple):
    """One window of unseen records, what is known of it and what is right."""

    model: wdno.WDNO
    known: Fields
    truth: Fields


def problem(config: Config) -> Problem:
    """Draw records that no training saw, and cut off their first window."""
    model, system = wdno.load(config.model), SYSTEMS[config.system]()
    inputs = system.sample_inputs(jax.random.key(config.seed), config.samples)
    truth = system.solve(inputs)
    known = {
        name: field[:, : model.window] if name in system.control else field
        for name, field in inputs.items()
    }
    return Problem(model, known, {n: truth[n][:, : model.window] for n in model.state})


def by_all_scores(model: wdno.WDNO) -> dict[str, Score]:
    """Every score, by name."""
    details = tuple(n for n, depth in enumerate(depths(model.targets)) if depth > 0)
    return {
        "random": scores.random,
        "change": scores.change,
        "change, dilated": scores.dilated(scores.change),
        "deviation": scores.deviation,
        "deviation, lowest": scores.reciprocal(scores.deviation),
        "details": scores.channel_energy(details),
        "oracle": scores.oracle,
    }


def variants(model: wdno.WDNO) -> dict[str, dict[str, Any]]:
    """What is remembered: estimates, noise as in the paper, and keys and values."""
    found: dict[str, dict[str, Any]] = {
        "estimate": {"memory": ESTIMATE},
        "noise": {"memory": NOISE},
    }
    module = model.denoiser.backbone.thaw()
    if isinstance(module, TokenTransformer):
        context = forgotten(module.config)
        seen = {f"{n}, keys": how | {"context": context} for n, how in found.items()}
        found |= seen
    return found


def error(drawn: Fields, truth: Fields) -> Float[np.ndarray, " sample"]:
    """Mean squared error of each sample over the variance of the truth."""
    rows = [
        np.square(np.asarray(drawn[n] - u)).reshape(len(u), -1).mean(axis=1)
        / np.asarray(u).var()
        for n, u in truth.items()
    ]
    return np.mean(rows, axis=0)


def summary(rows: Float[np.ndarray, " sample"]) -> dict[str, float]:
    """Mean with its bootstrap interval over samples."""
    found = metrics.bootstrap_interval(xr.DataArray(rows, dims="sample"))
    return {name: float(value) for name, value in found._asdict().items()}


def costs(here: Problem, config: Config) -> tuple[int, dict[float, Cost]]:
    """Tokens of a row, and what a call costs by the share of them that pass."""
    model, found = here.model, {}
    context = jax.jit(prepare)(model, here.known)
    x = jnp.zeros(sample_shape(model, config.samples), context.condition.dtype)
    sigma = jnp.ones(len(x), x.dtype)
    estimate, _ = parts(denoiser(model, context))
    tokens = tokens_of(estimate, x)

    def call(whole: Any, places: Array | None) -> Array:
        if places is None:
            return whole(x, sigma, context.condition)
        some = replace(whole, backbone=lambda *a: whole.backbone(*a, places))
        return some(x, sigma, context.condition)

    for ratio in (1.0, *config.ratios):
        kept = Regions(ratio, oldest=int(1 / ratio)).refreshed(tokens.count)
        every = jnp.arange(kept)[None]
        places = jnp.broadcast_to(every, (len(x), kept)) if ratio < 1 else None
        found[ratio] = cost(call, config.repeats, model.denoiser, places)
    return tokens.count, found


def fewer_steps(config: Config, ratio: float, calls: dict[float, Cost]) -> int:
    """Dense steps with the operations of the adaptive ones."""
    sparse = (config.steps - config.start) * calls[ratio].operations
    return max(1, round(config.start + sparse / calls[1.0].operations))


def drawn(here: Problem, sampler: Sampler, steps: int) -> Fields:
    """One sample of each window."""
    make = jax.jit(partial(generate, sampler=sampler))
    levels = jnp.asarray(here.model.levels(steps))
    return make(here.model, here.known, sigmas=levels, key=jax.random.key(1))


def compared(
    here: Problem, base: Sampler, config: Config, calls: dict[float, Cost]
) -> dict[str, Any]:
    """Errors against the truth, and against the dense sampler with all steps."""
    dense, rows = drawn(here, base, config.steps), {}

    def judged(name: str, fields: Fields) -> None:
        to_dense = summary(error(fields, {n: dense[n] for n in here.truth}))
        rows[name] = {"truth": summary(error(fields, here.truth)), "dense": to_dense}
        print(name, rows[name], flush=True)

    judged(f"dense, {config.steps} steps", dense)
    for ratio in config.ratios:
        steps = fewer_steps(config, ratio, calls)
        judged(f"dense, {steps} steps, as {ratio}", drawn(here, base, steps))
        plain = Regions(ratio, start=config.start, oldest=int(2 / ratio))
        kinds = by_all_scores(here.model).items()
        for (name, score), (kept, how) in product(kinds, variants(here.model).items()):
            regions = replace(plain, score=score, **how)
            some = drawn(here, region_adaptive(base, regions), config.steps)
            judged(f"{ratio}, {name}, {kept}", some)
    return rows


def correlation(ours: Array, right: Array) -> float:
    """Of the ranks of tokens, mean over rows."""
    pairs = zip(np.asarray(ours), np.asarray(right), strict=True)
    ranks = ((rankdata(one), rankdata(other)) for one, other in pairs)
    return float(np.mean([np.corrcoef(*both)[0, 1] for both in ranks]))


def ranked(
    here: Problem, base: Sampler, config: Config, ratio: float
) -> dict[str, list[float]]:
    """Rank correlation of every score with the oracle at each adaptive step."""
    model, kinds = here.model, by_all_scores(here.model)
    regions = Regions(ratio, start=config.start, oldest=int(2 / ratio))
    sampler, keys = region_adaptive(base, regions), row_keys(jax.random.key(1), 8)
    few = {name: field[:8] for name, field in here.known.items()}

    @jax.jit
    def stepped(model, x, state, here, there, draw):  # noqa: ANN001, ANN202
        denoise = denoiser(model, prepare(model, few))
        seen: Evidence = evidence(denoise, x, here, state, draw, regions)
        found = {name: score(seen) for name, score in kinds.items()}
        return sampler.step(denoise, x, here, there, state, draw), found

    levels = jnp.asarray(model.levels(config.steps), jnp.float32)
    rows = jnp.broadcast_to(levels[:, None], (len(levels), 8))
    x = start(sample_shape(model, 8), rows[0], keys)
    state, found = sampler.init(x), {name: [] for name in kinds}
    for n in range(config.steps):
        draw = step_keys(keys, jnp.full(8, n + 1))
        (x, state), now = stepped(model, x, state, rows[n], rows[n + 1], draw)
        if n >= config.start:
            for name, values in now.items():
                found[name].append(correlation(values, now["oracle"]))
    return found


def cost_model(config: Config, calls: dict[float, Cost]) -> dict[str, Any]:
    """Speed-up that calls allow for, if choosing tokens were free."""
    share, whole = config.start / config.steps, calls[1.0]
    return {
        str(ratio): {
            "operations": share + (1 - share) * some.operations / whole.operations,
            "seconds": share + (1 - share) * some.seconds / whole.seconds,
        }
        for ratio, some in calls.items()
    }


def main(config: Config) -> None:
    """Measure, print and store."""
    begin, here, base = time.process_time(), problem(config), wdno.samplers.dpmpp_2m()
    count, calls = costs(here, config)
    results = {
        "tokens": count,
        "calls": {str(ratio): one._asdict() for ratio, one in calls.items()},
        "cost_model": cost_model(config, calls),
        "rank_correlation": {
            str(ratio): ranked(here, base, config, ratio) for ratio in config.ratios
        },
        "errors": compared(here, base, config, calls),
        "processor_seconds": round(time.process_time() - begin, 1),
    }
    print(record("region_adaptive", asdict(config), **results))


if __name__ == "__main__":
    main(tyro.cli(Config))
