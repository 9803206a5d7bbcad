"""How few cells hold the fine details? Reconstruction errors, without any training.

Shocks in a tube of 1,024 cells and smoke on 128 x 128: the finer details of the wavelet
tree are kept in a share of the cells and are zero in the others. Cells are chosen by
the energy of the details (for an orthogonal wavelet and squared errors the best there
is), also with all subbands counted alike, by entropy as D²iT has it, by gradients and
at random, each also widened by a cell.

    python experiments/grain.py
"""

from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import tyro
import xarray as xr
from _results import record
from jaxtyping import Array, Float
from matplotlib.figure import Figure

from wdno import Field, WaveletLayout, metrics, plotting
from wdno._typing import Fields
from wdno.networks.cells import most
from wdno.networks.patches import place
from wdno.plotting.style import finish, new_figure
from wdno.systems import CompressibleNavierStokes, PhysicalSystem, Smoke
from wdno.wavelets.grain import detail_energy, entropy, fine_channels, gradient_energy


@dataclass(frozen=True)
class Config:
    """How much of each system, and which shares of cells."""

    systems: tuple[str, ...] = ("shocks", "smoke")
    samples: int = 12
    frames: int = 32
    wavelets: tuple[str, ...] = ("haar", "bior2.4")
    levels: tuple[int, ...] = (2, 3)
    shares: tuple[float, ...] = (0.0, 0.0625, 0.125, 0.25, 0.5, 1.0)
    seed: int = 50_000
    picture: Path = Path("docs/pictures/grain.png")


SYSTEMS: dict[str, PhysicalSystem] = {
    "shocks": CompressibleNavierStokes(points=1024),
    "smoke": Smoke(points=128, frames=64),
}
Scores = Float[Array, "sample *cell"]


@cache
def records(name: str, config: Config) -> Fields:
    """Records of a system, cut to as many frames."""
    system = SYSTEMS[name]
    inputs = system.sample_inputs(jax.random.key(config.seed), config.samples)
    solved = system.solve(inputs)
    return {n: solved[n][:, : config.frames] for n in system.state}


class Tree(NamedTuple):
    """Records as a wavelet tree."""

    layout: WaveletLayout
    fields: Fields
    z: Float[Array, "sample *grid channel"]


def trees(name: str, wavelet: str, levels: int, config: Config) -> Tree:
    """Records of a system, and their coefficients."""
    fields = records(name, config)
    grid = next(iter(fields.values())).shape[1:]
    dims = ("time", "y", "x") if len(grid) == 3 else ("time", "x")
    layout = WaveletLayout(
        tuple(Field(n, dims) for n in fields),
        dims,
        grid,
        wavelet,
        ("periodization",) * len(grid),
        levels=levels,
    ).fit([fields])
    return Tree(layout, fields, layout.analysis(fields))


def scores(tree: Tree, key: Array) -> dict[str, Scores]:
    """Of every cell, by name."""
    block = (2**tree.layout.levels,) * len(tree.layout.grid)
    unit = [u / u.std() for u in tree.fields.values()]
    fine, share = fine_channels(tree.layout), tree.layout.energy_share
    cells = detail_energy(tree.z, fine, share)
    return {
        "energy": cells,
        "energy, subbands alike": detail_energy(tree.z, fine),
        "entropy": summed([entropy(u, block) for u in unit]),
        "gradient": summed([gradient_energy(u, block) for u in unit]),
        "random": jax.random.uniform(key, cells.shape, cells.dtype),
    }


def summed(of_fields: list[Scores]) -> Scores:
    """Of all fields."""
    return jnp.stack(of_fields).sum(axis=0)


def chosen(score: Scores, share: float, reach: int) -> Scores:
    """1 in the cells of the largest scores, as many as the share says, 0 in others."""
    cells = score[0].size
    kept = round(share * cells)
    there = jnp.zeros((len(score), cells, 1), score.dtype)
    if kept:
        places = most(score, kept, (reach,) * (score.ndim - 1))
        there = place(jnp.ones((*places.shape, 1), score.dtype), places, cells)
    return there.reshape(score.shape)


def without(tree: Tree, score: Scores, share: float, reach: int) -> Array:
    """Error of each sample if other cells have no fine details.

    Relative to the deviation of a field over all samples: a box that the smoke has
    left is a sample without any.
    """
    fine = jnp.asarray(fine_channels(tree.layout))
    there = chosen(score, share, reach)[..., None]
    z = tree.z.at[..., fine].multiply(there.astype(tree.z.dtype))
    rebuilt = tree.layout.synthesis(z)
    errors = [
        jnp.square(rebuilt[n] - u).mean(axis=range(1, u.ndim)) / u.var()
        for n, u in tree.fields.items()
    ]
    return jnp.sqrt(jnp.mean(jnp.stack(errors), axis=0))


def curves(tree: Tree, config: Config) -> dict[str, dict[str, dict[str, float]]]:
    """Errors by the share of cells, with intervals over samples."""
    found: dict[str, dict[str, dict[str, float]]] = {}
    for name, score in scores(tree, jax.random.key(0)).items():
        for reach in (0, 1):
            row = {}
            for share in config.shares:
                errors = np.asarray(without(tree, score, share, reach))
                interval = metrics.bootstrap_interval(
                    xr.DataArray(errors, dims="sample")
                )
                row[str(share)] = {n: float(v) for n, v in interval._asdict().items()}
            found[f"{name}, widened" if reach else name] = row
            print(name, reach, [round(cell["mean"], 5) for cell in row.values()])
    return found


def figure(results: dict[str, Any], config: Config) -> Figure:
    """Errors by the share of cells, and the cells of one field that hold most energy.

    Of the first wavelet and the last number of levels; below, cells that are not among
    an eighth are veiled.
    """
    drawn = new_figure(5 * len(config.systems), 8)
    panels = drawn.subplots(2, len(config.systems), squeeze=False)
    for (above, below), name in zip(panels.T, config.systems, strict=True):
        wavelet, levels = config.wavelets[0], config.levels[-1]
        rows = results[f"{name}, {wavelet}, {levels} levels"]
        for label, row in rows.items():
            if "widened" not in label:
                means = [cell["mean"] for cell in row.values()]
                above.plot(config.shares, means, label=label, marker="o")
        finish(above, "share of cells refined", "relative error", name)
        tree = trees(name, wavelet, levels, config)
        cells = chosen(scores(tree, jax.random.key(0))["energy"], 0.125, 0)[0]
        grown = np.asarray(cells)
        for axis in range(grown.ndim):
            grown = grown.repeat(2**levels, axis=axis)
        label, field = next(iter(tree.fields.items()))
        shown, veil = np.asarray(field[0]), 0.6 * (1 - grown)
        if shown.ndim == 3:
            shown, veil = shown[-1], veil[-1]
        how = {"aspect": "auto", "origin": "lower", "interpolation": "nearest"}
        below.imshow(shown, cmap="viridis", **how)
        below.imshow(
            np.ones_like(shown), cmap="gray", vmin=0, vmax=1, alpha=veil, **how
        )
        vertical = "y" if field.ndim == 4 else "frame"
        finish(below, "x", vertical, f"{label}, the eighth of the cells with most")
    panels[0, 0].legend()
    return drawn


def main(config: Config) -> None:
    """Measure, print, store and draw."""
    results = {
        f"{name}, {wavelet}, {levels} levels": curves(
            trees(name, wavelet, levels, config), config
        )
        for name in config.systems
        for wavelet in config.wavelets
        for levels in config.levels
    }
    plotting.save(figure(results, config), config.picture)
    print(record("grain", asdict(config), curves=results))


if __name__ == "__main__":
    main(tyro.cli(Config))
