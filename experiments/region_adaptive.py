"""Do steps that refresh some tokens beat fewer steps that refresh all of them?

For a model whose backbone takes tokens: which score ranks tokens as they would change,
whether estimates or noise are to be remembered, with keys and values or without; then
samples by region-adaptive steps beside as many dense ones, fewer at the same number of
operations, and random tokens. Operations are those that XLA counts; seconds of calls on
longer and longer grids say where it would pay.

    python experiments/region_adaptive.py --model runs/tokens/model
"""

import time
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import tyro
import xarray as xr
from _call_cost import medians
from _region_picture import picture
from _regions import Problem, calls_of, problem, regions_of, scores_of
from _results import portable, record
from jaxtyping import Array, Float
from scipy.stats import rankdata

import wdno
from wdno import metrics, plotting
from wdno._typing import Fields
from wdno.accelerate.region_adaptive import evidence, region_adaptive
from wdno.accelerate.region_scores import Evidence
from wdno.accelerate.regions import ESTIMATE, NOISE, Memory, Regions, nothing
from wdno.cli.systems import SystemName
from wdno.diffusion.keys import row_keys, step_keys
from wdno.diffusion.samplers import Sampler, start
from wdno.operator.generation import denoiser, generate, prepare, sample_shape


@dataclass(frozen=True)
class Config:
    """Which model, on what, and how many steps."""

    model: str
    """Name or folder of one whose backbone is a `TokenTransformer`."""
    system: SystemName = "navier-stokes"
    samples: int = 32
    ranked: int = 8
    """Samples that the scores are compared on."""
    steps: int = 24
    ratios: tuple[float, ...] = (0.5, 0.25)
    start: int = 4
    longer: tuple[int, ...] = (1, 2, 4)
    """Grids on which calls are measured, in lengths of the model's own."""
    seed: int = 50_000
    repeats: int = 5
    picture: Path = Path("docs/pictures/region_adaptive.png")


MEMORIES: dict[str, Memory] = {"estimate": ESTIMATE, "noise": NOISE}


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


def of(config: Config) -> Problem:
    """The problem that a configuration names."""
    return problem(config.model, config.system, config.seed, config.samples)


def fewer_steps(config: Config, calls: dict[str, Any], ratio: float) -> int:
    """Dense steps with the operations of the adaptive ones."""
    share = calls[str(ratio)]["operations"] / calls["1.0"]["operations"]
    return max(1, round(config.start + (config.steps - config.start) * share))


def maker(here: Problem, sampler: Sampler, steps: int) -> Any:
    """A compiled sampler of one sample of each window."""
    make = jax.jit(partial(generate, sampler=sampler))
    levels = jnp.asarray(here.model.levels(steps))
    return lambda: make(here.model, here.known, sigmas=levels, key=jax.random.key(1))


def samplers(
    here: Problem, base: Sampler, config: Config, calls: dict[str, Any], best: str
) -> dict[str, tuple[Sampler, int]]:
    """All that is compared, by name: a sampler and its steps."""
    kinds, steps = scores_of(here.model), config.steps
    found = {f"dense, {steps} steps": (base, steps)}
    for ratio in config.ratios:
        fewer = fewer_steps(config, calls, ratio)
        found[f"dense, {fewer} steps, as {ratio}"] = (base, fewer)
        ways = {
            f"{best}, noise": {"score": kinds[best], "memory": NOISE},
            f"{best}, no keys": {"score": kinds[best], "context": nothing},
        } | {name: {"score": kinds[name]} for name in (best, "random", "oracle")}
        for name, how in ways.items():
            some = region_adaptive(base, regions_of(here, ratio, config.start, **how))
            found[f"{ratio}, {name}"] = (some, steps)
    return found


def compared(
    here: Problem, config: Config, ways: dict[str, tuple[Sampler, int]]
) -> dict[str, Any]:
    """Errors against the truth, and against the dense sampler with all steps."""
    makers = {name: maker(here, *way) for name, way in ways.items()}
    dense, rows = makers[f"dense, {config.steps} steps"](), {}
    for name, make in makers.items():
        fields = make()
        to_dense = summary(error(fields, {n: dense[n] for n in here.truth}))
        rows[name] = {"truth": summary(error(fields, here.truth)), "dense": to_dense}
        print(name, rows[name], flush=True)
    quick = {n: make for n, make in makers.items() if "oracle" not in n}
    for name, seconds in medians(quick, config.repeats).items():
        rows[name]["seconds"] = seconds
    return rows


def correlation(ours: Array, right: Array) -> float:
    """Of the ranks of tokens, mean over rows."""
    pairs = zip(np.asarray(ours), np.asarray(right), strict=True)
    ranks = ((rankdata(one), rankdata(other)) for one, other in pairs)
    return float(np.nanmean([np.corrcoef(*both)[0, 1] for both in ranks]))


class Steps(NamedTuple):
    """What was seen of a run, step by step."""

    correlations: dict[str, list[float]]
    ages: Float[np.ndarray, "step batch *grid"]
    """Steps since each point was refreshed, 0 if in this step."""


def watched(here: Problem, base: Sampler, config: Config, regions: Regions) -> Steps:
    """Rank correlation of every score with the oracle at each adaptive step."""
    model, kinds, rows = here.model, scores_of(here.model), config.ranked
    sampler, keys = region_adaptive(base, regions), row_keys(jax.random.key(1), rows)
    few = {name: field[:rows] for name, field in here.known.items()}

    @jax.jit
    def stepped(model, x, state, now, then, draw):  # noqa: ANN001, ANN202
        denoise = denoiser(model, prepare(model, few))
        seen: Evidence = evidence(denoise, x, now, state, draw, regions)
        found = {name: score(seen) for name, score in kinds.items()}
        return sampler.step(denoise, x, now, then, state, draw), found

    levels = np.asarray(model.levels(config.steps), np.float32)
    x = start(sample_shape(model, rows), jnp.full(rows, levels[0]), keys)
    state, found, ages = sampler.init(x), {name: [] for name in kinds}, []
    for n in range(config.steps):
        draw = step_keys(keys, jnp.full(rows, n + 1))
        now, then = (jnp.full(rows, levels[m]) for m in (n, n + 1))
        (x, state), values = stepped(model, x, state, now, then, draw)
        ages.append(np.asarray(state.age) - 1)
        for name in kinds if n >= config.start else ():
            found[name].append(correlation(values[name], values["oracle"]))
    return Steps(found, np.stack(ages))


def main(config: Config) -> None:
    """Measure, print, store and draw."""
    begin, here, base = time.process_time(), of(config), wdno.samplers.dpmpp_2m()
    measured = partial(calls_of, here, config.ratios, config.ranked, config.repeats)
    calls = {str(longer): measured(longer) for longer in config.longer}
    print(calls, flush=True)
    ratio = min(config.ratios)
    plain = partial(regions_of, here, ratio, config.start)
    seen = {
        name: watched(here, base, config, plain(memory=kept))
        for name, kept in MEMORIES.items()
    }
    means = {
        kept: {name: float(np.mean(row)) for name, row in steps.correlations.items()}
        for kept, steps in seen.items()
    }
    guesses = {n: v for n, v in means["estimate"].items() if n != "oracle"}
    best = max(guesses, key=lambda name: guesses[name])
    print(means, best, flush=True)
    results = {
        "calls": calls,
        "rank_correlation": means,
        "score": best,
        "errors": compared(
            here, config, samplers(here, base, config, calls["1"], best)
        ),
        "processor_seconds": round(time.process_time() - begin, 1),
    }
    regions = plain(score=scores_of(here.model)[best])
    ages = watched(here, base, config, regions).ages
    plotting.save(picture(here.truth, ages[:, 0]), config.picture)
    print(
        record(
            "region_adaptive",
            asdict(config) | {"model": portable(config.model)},
            **results,
        )
    )


if __name__ == "__main__":
    main(tyro.cli(Config))
