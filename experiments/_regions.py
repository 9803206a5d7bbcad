"""What experiments with region-adaptive sampling share: problems, scores, costs."""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from _call_cost import medians
from jaxtyping import Array

import wdno
from wdno._typing import Fields
from wdno.accelerate import region_scores as scores
from wdno.accelerate.region_scores import Score
from wdno.accelerate.regions import Regions
from wdno.cli.systems import SYSTEMS, SystemName
from wdno.networks import TokenTransformer
from wdno.networks.token_transformer import forgotten
from wdno.operator.generation import sample_shape
from wdno.wavelets.grain import depths


class Problem(NamedTuple):
    """One window of unseen records, what is known of it and what is right."""

    model: wdno.WDNO
    module: TokenTransformer
    known: Fields
    truth: Fields


def problem(name: str, system: SystemName, seed: int, samples: int) -> Problem:
    """Draw records that no training saw, and cut off their first window."""
    model, solver = wdno.load(name), SYSTEMS[system]()
    inputs = solver.sample_inputs(jax.random.key(seed), samples)
    truth = solver.solve(inputs)
    known = {
        name: field[:, : model.window] if name in solver.control else field
        for name, field in inputs.items()
    }
    module: Any = model.denoiser.backbone.thaw()
    first = {n: truth[n][:, : model.window] for n in model.state}
    return Problem(model, module, known, first)


def scores_of(model: wdno.WDNO) -> dict[str, Score]:
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


def regions_of(here: Problem, ratio: float, dense: int, **how: Any) -> Regions:
    """A share of the tokens, none older than twice its inverse; keys are remembered."""
    plain = {"context": forgotten(here.module.config), "oldest": int(2 / ratio)}
    return Regions(ratio, start=dense, **plain | how)


def calls_of(
    here: Problem, ratios: tuple[float, ...], rows: int, repeats: int, longer: int
) -> dict[str, dict[str, float]]:
    """What one call costs, by the share of tokens that pass, on a longer grid."""
    _, *extents, channels = sample_shape(here.model, rows)
    grid = (*extents[:-1], longer * extents[-1])
    given = len(here.model.given.channels)
    x, cond = (jnp.zeros((rows, *grid, n)) for n in (channels, given))
    level, count = jnp.zeros(len(x)), tokens_in(here.module, grid)
    memory = forgotten(here.module.config)(x)
    compiled, found = {}, {}
    for ratio in (1.0, *ratios):
        kept = Regions(ratio, oldest=int(1 / ratio)).refreshed(count)
        every = jnp.broadcast_to(jnp.arange(kept)[None], (len(x), kept))
        places = every if ratio < 1 else None
        backbone = here.model.denoiser.backbone

        def call(backbone: Any, memory: Array, places: Array | None = places) -> Any:
            return backbone.thaw().remembering(x, level, cond, memory, places)

        built = jax.jit(call).lower(backbone, memory).compile()
        compiled[str(ratio)] = partial(built, backbone, memory)
        counted, memory_of = built.cost_analysis() or {}, built.memory_analysis()
        assert memory_of is not None
        found[str(ratio)] = {
            "tokens": kept,
            "operations": float(counted["flops"]),
            "temporary_bytes": memory_of.temp_size_in_bytes,
        }
    for name, seconds in medians(compiled, repeats).items():
        found[name]["seconds"] = seconds
    return found


def tokens_in(module: TokenTransformer, grid: tuple[int, ...]) -> int:
    """Number of tokens of a grid."""
    return int(np.prod(module.token_grid(grid)))
