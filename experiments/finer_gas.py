"""Write shock tubes on 1,024 cells as mass, momentum and energy: the refiner's data.

    python experiments/finer_gas.py --samples 768 --seed 80000 --out runs/gas

Chunk by chunk, each a file of its own; those that are there already are left alone.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import jax
import tyro
from _cells import finest
from tqdm import tqdm

from wdno._files import replacing


@dataclass(frozen=True)
class Config:
    """How many trajectories, and where to."""

    out: Path
    samples: int = 768
    chunk: int = 64
    seed: int = 80_000


def main(config: Config) -> None:
    """Solve and write."""
    config.out.mkdir(parents=True, exist_ok=True)
    recipe = json.dumps(asdict(config) | {"out": config.out.name})
    for number in tqdm(range(-(-config.samples // config.chunk)), desc="chunks"):
        path = config.out / f"{config.seed}-{number:03d}.nc"
        if path.exists():
            continue
        count = min(config.chunk, config.samples - number * config.chunk)
        key = jax.random.fold_in(jax.random.key(config.seed), number)
        data = finest(key, count)
        with replacing(path) as partial:
            data.assign_attrs(recipe=recipe).to_netcdf(partial)


if __name__ == "__main__":
    main(tyro.cli(Config))
