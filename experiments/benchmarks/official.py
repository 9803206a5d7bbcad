"""What the official networks cost here: a forward pass, a sampling run, an update.

With the configuration of the official code (140.7 million parameters for Burgers, 23.8
for smoke), so that a run of the original on the same machine can stand beside it:

    python experiments/benchmarks/official.py [--reference torch.json]

where the file holds seconds of the original by the names below.
"""

import dataclasses
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import tyro
from flax import nnx

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from _results import best, record  # noqa: E402

from wdno import official  # noqa: E402
from wdno.diffusion.samplers import ddim  # noqa: E402
from wdno.official.training import training_loss  # noqa: E402
from wdno.operator.generation import generate  # noqa: E402

KNOWN = {
    "burgers: forward pass": 0.40,
    "burgers: 50 steps of DDIM": 20.0,
    "burgers: update of 16": 19.4,
    "smoke: forward pass": 1.7,
}
"""Seconds of the original in PyTorch 2.13, float32, on two cores."""


@dataclass(frozen=True)
class Config:
    """How often each call is timed, and what to set beside it."""

    repeats: int = 3
    steps: int = 50
    batch: int = 16
    reference: Path | None = None


def made_up(model, rows: int, seed: int = 0) -> dict[str, jax.Array]:
    """Fields of the right shapes for everything that a model generates or is given."""
    draw = np.random.default_rng(seed)
    on = model.targets.tiling.geometry
    fields = {}
    for quantity in (*model.targets.fields, *model.given.fields):
        extents = [on.extents[on.dims.index(dim)] for dim in quantity.dims]
        extents[0] -= "time" in quantity.dims
        values = draw.normal(size=(rows, *extents)).astype(np.float32)
        fields[quantity.name] = jnp.asarray(values)
    return fields


def main(config: Config) -> None:
    """Time, print and store."""
    seconds: dict[str, float] = {}
    known = KNOWN
    if config.reference is not None:
        known = KNOWN | json.loads(config.reference.read_text())

    def note(name: str, call: Callable[[], object], repeats: int) -> None:
        seconds[name] = best(call, repeats)
        beside = known.get(name, float("nan"))
        print(
            f"{name:30s} {seconds[name]:8.3f} s   PyTorch {beside:7.3f} s   "
            f"ratio {seconds[name] / beside:.2f}",
            flush=True,
        )
        record(
            "official",
            dataclasses.asdict(config),
            seconds=seconds,
            pytorch={name: known.get(name) for name in seconds},
        )

    for system in ("smoke", "burgers"):
        model = official.import_model(official.KINDS[f"{system}-simulation"])
        fields = made_up(model, 1)
        cond = model.given.analysis(fields)
        x = jnp.ones((*cond.shape[:-1], cond.shape[-1] // 2), jnp.float32)
        sigma = jnp.ones(1, jnp.float32)
        forward = jax.jit(lambda denoiser, *a: denoiser(*a))
        name = f"{system}: forward pass"
        note(name, partial(forward, model.denoiser, x, sigma, cond), config.repeats)

    run = jax.jit(generate, static_argnames=("sampler",))
    sigmas, key = model.schedule(config.steps), jax.random.key(0)
    known_fields = {q.name: fields[q.name] for q in model.given.fields}
    note(
        f"burgers: {config.steps} steps of DDIM",
        lambda: run(model, known_fields, sampler=ddim(1.0), sigmas=sigmas, key=key),
        1,
    )

    loss = training_loss(model, model.schedule, model.targets.tiling.divisor.tolist())
    backbone = model.denoiser.backbone.thaw()
    batch = made_up(model, config.batch)
    optimizer = nnx.Optimizer(backbone, optax.adam(1e-4), wrt=nnx.Param)

    @nnx.jit
    def update(backbone, optimizer, batch, key):
        value, gradient = nnx.value_and_grad(loss)(backbone, batch, key)
        optimizer.update(backbone, gradient)
        return value

    name = f"burgers: update of {config.batch}"
    note(name, lambda: update(backbone, optimizer, batch, key), 1)


if __name__ == "__main__":
    main(tyro.cli(Config))
