"""Write scenes of smoke on 128 x 128 points and 64 intervals: what the refiner learns.

    python experiments/finer_smoke.py --samples 48 --seed 70000 --out runs/finer

Chunk by chunk, each a file of its own; those that are there already are left alone.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import tyro
from _finer_smoke import CHUNK, chunk_path, scene_key, scenes
from tqdm import tqdm

from wdno._files import replacing


@dataclass(frozen=True)
class Config:
    """How many scenes, and where to."""

    out: Path
    samples: int = 48
    chunk: int = CHUNK
    ratio: int = 2
    seed: int = 70_000


def main(config: Config) -> None:
    """Solve and write."""
    config.out.mkdir(parents=True, exist_ok=True)
    recipe = json.dumps(asdict(config) | {"out": config.out.name})
    for number in tqdm(range(-(-config.samples // config.chunk)), desc="chunks"):
        path = chunk_path(config.out, config.seed, number)
        if path.exists():
            continue
        count = min(config.chunk, config.samples - number * config.chunk)
        data = scenes(scene_key(config.seed, number), count, config.ratio)
        with replacing(path) as partial:
            data.assign_attrs(recipe=recipe).to_netcdf(partial)


if __name__ == "__main__":
    main(tyro.cli(Config))
