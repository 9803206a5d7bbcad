"""How few cells hold the fine details? Reconstruction errors, without any training.

Shocks in a tube of 1,024 cells and smoke on 128 x 128: the finer details of the wavelet
tree are kept in a share of the cells and are zero in the others. Cells are chosen by
the energy of the details (for an orthogonal wavelet and squared errors the best there
is), also with all subbands counted alike, by entropy as D²iT has it, by gradients and
at random, each also widened by a cell.

    python experiments/grain.py
"""

from dataclasses import asdict, dataclass
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
    samples: int = 32
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


class Tree(NamedTuple):
    """Records as a wavelet tree."""

    layout: WaveletLayout
    fields: Fields
    z: Float[Array, "sample *grid channel"]


def trees(name: str, wavelet: str, levels: int, config: Config) -> Tree:
    """Records of a system that are cut to as many frames, and their coefficients."""
    system = SYSTEMS[name]
    inputs = system.sample_inputs(jax.random.key(config.seed), config.samples)
    solved = system.solve(inputs)
    available = min(config.frames, solved[system.state[0]].shape[1])
    frames = available - available % 2**levels
    fields = {n: solved[n][:, :frames] for n in system.state}
    grid = fields[system.state[0]].shape[1:]
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


def without(tree: Tree, score: Scores, share: float, reach: int) -> Array:
    """Relative error of each sample if other cells have no fine details."""
    cells = score[0].size
    kept, fine = round(share * cells), jnp.asarray(fine_channels(tree.layout))
    chosen = jnp.zeros((len(score), cells, 1), score.dtype)
    if kept:
        places = most(score, kept, (reach,) * (score.ndim - 1))
        chosen = place(jnp.ones((*places.shape, 1), score.dtype), places, cells)
    there = chosen.reshape(*score.shape, 1)
    z = tree.z.at[..., fine].multiply(there.astype(tree.z.dtype))
    rebuilt = tree.layout.synthesis(z)
    errors = []
    for name, u in tree.fields.items():
        square = jnp.square(rebuilt[name] - u), jnp.square(u - u.mean())
        over = tuple(range(1, u.ndim))
        errors.append(jnp.sqrt(square[0].mean(axis=over) / square[1].mean(axis=over)))
    return jnp.mean(jnp.stack(errors), axis=0)


def curves(tree: Tree, config: Config) -> dict[str, dict[str, dict[str, float]]]:
    """Errors against the share of cells, with intervals over samples."""
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
    """Error against the share of cells, the first wavelet and the last levels."""
    drawn = new_figure(5 * len(config.systems), 4)
    panels = np.atleast_1d(drawn.subplots(1, len(config.systems)))
    for axis, name in zip(panels, config.systems, strict=True):
        rows = results[f"{name}, {config.wavelets[0]}, {config.levels[-1]} levels"]
        for label, row in rows.items():
            if "widened" not in label:
                means = [cell["mean"] for cell in row.values()]
                axis.plot(config.shares, means, label=label, marker="o")
        finish(axis, "share of cells refined", "relative error", name)
    panels[0].legend()
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
