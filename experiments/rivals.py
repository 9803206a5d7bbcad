"""Which way to generate forced Burgers flow is best at equal processor time?

The residual of a learned mean against its rivals: whole fields in one stage, the levels
of PDE-Refiner (Lippe et al. 2023, arXiv 2308.05732), a straight path (flow matching:
Lipman et al. 2023, arXiv 2210.02747), an ensemble of one call tuned by the fair CRPS,
and the residual without wavelets, whose lazy transform only sorts samples. All have the
same backbone, data and seconds; each is sampled in the way that it was trained for.

    taskset -c 0 python experiments/rivals.py --data burgers.nc
"""

import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import tyro
import xarray as xr
from _results import RESULTS, record
from burgers_simulation import energies
from jaxtyping import Array, PRNGKeyArray

import wdno
from wdno import metrics
from wdno._typing import Fields, Loss
from wdno.diffusion.denoiser import Backbone, freeze
from wdno.diffusion.noise import mixture, per_row, point
from wdno.diffusion.samplers import Sampler, ddim
from wdno.diffusion.schedules import LadderSchedule
from wdno.operator.generation import left_open, prepare
from wdno.operator.model import WDNO, with_backbone
from wdno.operator.residual import energy_share
from wdno.systems import Burgers
from wdno.training.batches import WindowBatches
from wdno.training.build import build_model
from wdno.training.loop import TrainingConfig, fit
from wdno.training.loss import training_loss
from wdno.training.pipeline import train
from wdno.training.recipes import RECIPES, NoiseLevels, Recipe
from wdno.trajectory import open_trajectories

RESIDUAL = RECIPES["burgers-simulation"]
WHOLE = replace(RESIDUAL, residual=None, uniform_weight=0.0, noise=NoiseLevels())
ONE_CALL = replace(WHOLE, noise=NoiseLevels(share_at_max=1.0))
REFINER_LEVELS = (20.0, 0.086, 7e-3, 6e-4)
"""The first estimate, then three refinements; noise in units of the data."""
PATH_LEVELS = tuple(t / (1 - t) for t in (0.9877, 0.75, 0.5, 0.25))
"""σ = t / (1 - t) at equal steps of t, the first where σ is 80."""


@dataclass(frozen=True)
class Config:
    """How long, on what, and how to judge."""

    data: Path
    budget: float = 200.0
    learning_rate: float = 1e-3
    seeds: tuple[int, ...] = (0, 1)
    validation: int = 64
    samples: int = 96
    members: int = 8
    test_seed: int = 20_000
    out: Path = Path("runs/rivals")


@dataclass(frozen=True)
class StraightPath:
    """A network that is told the time and gives the velocity of a straight path.

    On x_t = (1 - t) x0 + t n, with t = σ / (1 + σ), the velocity is n - x0, so that
    D = x_t - t F; Euler's steps in t are those of DDIM in σ.
    """

    def __call__(self, sigma: Array) -> tuple[Array, Array, Array, Array]:
        """Return c_skip, c_out, c_in and c_noise."""
        t = sigma / (1 + sigma)
        return 1 - t, -t, 1 - t, t


COMPARED = ("budget", "learning_rate", "validation", "samples", "members", "test_seed")
"""Settings that rows of one table have in common."""
Train = Callable[[Recipe, "Data", TrainingConfig, Path], WDNO]


class Data(NamedTuple):
    """Trajectories to train on, and others to validate with."""

    seen: xr.Dataset
    held_back: xr.Dataset


class Arm(NamedTuple):
    """A way to generate: what is trained, how, and how it is sampled."""

    recipe: Recipe
    train: Train
    sampler: Sampler = ddim(1.0)
    levels: tuple[float, ...] = ()
    """Of sampling; empty for four of the recipe's own."""


def staged(recipe: Recipe, data: Data, config: TrainingConfig, folder: Path) -> WDNO:
    """As the package trains, a mean first where the recipe has one."""
    held_back, clock = data.held_back, time.process_time
    return train(recipe, data.seen, config, folder, held_back=held_back, clock=clock)


def refined(recipe: Recipe, data: Data, config: TrainingConfig, folder: Path) -> WDNO:
    """At the levels of PDE-Refiner alone, each as often."""
    levels = list(map(point, REFINER_LEVELS))
    noise = mixture(levels, [1.0] * len(levels))
    return at_once(lambda m: training_loss(m, noise), recipe, data, config, folder)


def along_path(
    recipe: Recipe, data: Data, config: TrainingConfig, folder: Path
) -> WDNO:
    """By the squared error of the velocity at uniform times."""
    return at_once(path_loss, recipe, data, config, folder)


def tuned(recipe: Recipe, data: Data, config: TrainingConfig, folder: Path) -> WDNO:
    """By the squared error of one call, then for half of the time by the fair CRPS."""
    half = config.part(0.5)
    begun = staged(recipe, data, half, folder / "begun")
    slower = replace(half, learning_rate=0.3 * config.learning_rate)
    return at_once(crps_loss, recipe, data, slower, folder / "tuned", begun)


def at_once(
    loss_of: Callable[[WDNO], Loss[Backbone]],
    recipe: Recipe,
    data: Data,
    config: TrainingConfig,
    folder: Path,
    start: WDNO | None = None,
) -> WDNO:
    """The denoiser of whole fields by another loss."""
    batches = WindowBatches(data.seen, recipe, config.seed)
    model = start or build_model(recipe, data.seen, batches)
    module = model.denoiser.backbone.thaw()
    clock = time.process_time
    found = fit(module, loss_of(model), batches, config, folder, clock=clock)
    return with_backbone(model, freeze(found))


def path_loss(model: WDNO) -> Loss[Backbone]:
    """Mean of w (F - (n - x0))² at times t that are uniform from 0 to 1."""

    def loss(backbone: Backbone, batch: Fields, key: PRNGKeyArray) -> Array:
        trained = with_backbone(model, backbone)
        context = prepare(trained, batch)
        x0 = left_open(trained, context, batch)
        times, noise = jax.random.split(key)
        t = jax.random.uniform(times, (len(x0),), x0.dtype, 0.002, 0.988)
        sigma = t / (1 - t)
        x = x0 + per_row(sigma, x0) * jax.random.normal(noise, x0.shape, x0.dtype)
        error = trained.denoiser(x, sigma, context.condition) - x0
        weight = energy_share(model.targets, context.estimate)
        return jnp.mean(weight * jnp.square(error / per_row(t, x0)))

    return loss


def crps_loss(model: WDNO, members: int = 4) -> Loss[Backbone]:
    """Fair CRPS, at every point, of so many estimates by one call from pure noise."""
    largest = model.schedule.sigma_range[1]

    def loss(backbone: Backbone, batch: Fields, key: PRNGKeyArray) -> Array:
        trained = with_backbone(model, backbone)
        known = {n: jnp.repeat(values, members, axis=0) for n, values in batch.items()}
        context = prepare(trained, known)
        x0 = left_open(trained, context, known)
        x = largest * jax.random.normal(key, x0.shape, x0.dtype)
        sigma = jnp.full(len(x), largest, x.dtype)
        z = trained.denoiser(x, sigma, context.condition)
        u = model.targets.synthesis(z)["u"]
        u = u.reshape(-1, members, *u.shape[1:])
        error = jnp.abs(u - batch["u"][:, None]).mean()
        apart = jnp.abs(u[:, :, None] - u[:, None]).mean()
        return error - members / (members - 1) * apart / 2

    return loss


ARMS: dict[str, Arm] = {
    "residual of a mean": Arm(RESIDUAL, staged),
    "the same without wavelets": Arm(replace(RESIDUAL, wavelet="lazy"), staged),
    "single stage": Arm(WHOLE, staged),
    "PDE-Refiner's levels": Arm(WHOLE, refined, levels=REFINER_LEVELS),
    "straight path": Arm(
        replace(WHOLE, preconditioning=StraightPath()),
        along_path,
        ddim(),
        PATH_LEVELS,
    ),
    "one call, tuned by CRPS": Arm(ONE_CALL, tuned, ddim(), levels=(20.0,)),
}


def judged(arm: Arm, model: WDNO, truth: xr.Dataset, members: int) -> dict[str, Any]:
    """Scores of whole records, with intervals over these, and seconds a member."""
    if arm.levels:
        model = replace(model, schedule=LadderSchedule(arm.levels))
    calls = len(arm.levels) or 4
    how = {"members": members, "sampler": arm.sampler, "steps": calls}
    key = jax.random.key(0)

    def run() -> xr.DataArray:
        return wdno.simulate(model, truth.u.isel(time=0), truth.f, key=key, **how).u

    run()
    begin = time.process_time()
    found = run()
    seconds = (time.process_time() - begin) / (truth.sizes["sample"] * members)
    one = metrics.summary(found.isel(member=0), truth.u)
    many = metrics.summary(found, truth.u)

    def entry(table: xr.Dataset, name: str) -> list[float]:
        row = table.sel(metric=name)
        return [float(f"{float(row[part]):.4g}") for part in ("value", "low", "high")]

    return {
        "calls": calls,
        "mse_of_one_sample": entry(one, "mse"),
        "mse_of_mean": entry(many, "mse"),
        "fair_crps": entry(many, "fair_crps"),
        "spread_skill": entry(many, "spread_skill"),
        "crps_over_mae": round(entry(many, "fair_crps")[0] / entry(many, "mae")[0], 4),
        "energy_of_finest_subbands": [
            float(f"{ratio:.3g}")
            for ratio in list(energies(model, found, truth).values())[-4:]
        ],
        "processor_seconds_per_trajectory": round(seconds, 5),
    }


def stored(config: Config) -> dict[str, dict[str, Any]]:
    """What arms made of the same data and time before; only the rest is trained."""
    path = RESULTS / "rivals.json"
    if not path.exists():
        return {}
    found = json.loads(path.read_text())
    same = all(found["config"][name] == getattr(config, name) for name in COMPARED)
    return found["arms"] if same else {}


def main(config: Config) -> None:
    """Train every arm from every seed, judge, print and store as they come."""
    whole = open_trajectories(config.data).load()
    cut = whole.sizes["sample"] - config.validation
    data = Data(whole.isel(sample=slice(cut)), whole.isel(sample=slice(cut, None)))
    truth = Burgers().trajectories(jax.random.key(config.test_seed), config.samples)
    results = stored(config)
    for seed in config.seeds:
        training = TrainingConfig(
            budget=config.budget,
            learning_rate=config.learning_rate,
            validate_every=config.budget,
            seed=seed,
        )
        for name, arm in ARMS.items():
            if f"seed {seed}" in results.get(name, {}):
                continue
            folder = config.out / f"{name}, seed {seed}"
            model = arm.train(arm.recipe, data, training, folder)
            found = judged(arm, model, truth, config.members)
            results.setdefault(name, {})[f"seed {seed}"] = found
            print(name, seed, found, flush=True)
            record("rivals", asdict(config), arms=results)


if __name__ == "__main__":
    main(tyro.cli(Config))
