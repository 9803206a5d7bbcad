"""What is right and wrong with every shipped model, put on its card.

python experiments/burgers_plans.py --plans 32 --chunk 32 --seed 30000 --out flow-plans
python experiments/diagnoses.py --era5 era5_uk_t2m_32x48_744h.nc --plans smoke-plans \\
    --flow-plans flow-plans
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np
import tyro
import xarray as xr
from _cases import CASES, DIAGNOSED, Source
from _results import amend

import wdno
from wdno.training.diagnosis import as_notes

SHIPPED = Path(wdno.__file__).parent / "pretrained"


@dataclass(frozen=True)
class Config:
    """Which models, on how much."""

    models: tuple[str, ...] = tuple(wdno.shipped())
    era5: Path | None = None
    plans: Path | None = None
    flow_plans: Path | None = None
    finer: Path = Path("runs/finer")
    samples: int = 512
    """Trajectories, at most: their ensembles are held at once."""
    members: int = 8
    levels: int = 8
    batch_size: int = 32
    seed: int = DIAGNOSED


def summary(found: xr.Dataset) -> dict[str, Any]:
    """The numbers that say most: errors by level, and those of the ensemble."""
    errors = found["denoising_error"].values
    ends = np.min, np.max
    names = found["field"].values.tolist()

    def by_field(score: str) -> dict[str, float]:
        values = found[score].values.round(3).tolist()
        return dict(zip(names, values, strict=True))

    return {
        "calls": found.attrs["calls"],
        "members": found.attrs["members"],
        "errors_rise_with_sigma": bool((np.diff(errors, axis=0) > 0).all()),
        "windows": found.attrs["windows"],
        "spread_skill": by_field("spread_skill"),
        "spread_skill_low": by_field("spread_skill_low"),
        "spread_skill_high": by_field("spread_skill_high"),
        "crps_over_mae": by_field("crps_over_mae"),
        "energy_ratio": [
            float(f"{end(found['energy_ratio'].values):.3g}") for end in ends
        ],
    }


def main(config: Config) -> None:
    """Diagnose, write cards, print and store; models that are left out stay."""
    folders = config.plans, config.flow_plans, config.finer
    source = Source(config.seed, config.era5, *folders)
    for name in config.models:
        case = CASES[name]
        found = wdno.diagnose(
            wdno.load(name),
            case.truth(source).isel(sample=slice(config.samples)),
            calls=case.calls,
            members=config.members,
            levels=config.levels,
            sampler=case.sampler,
            batch_size=config.batch_size,
            key=jax.random.key(0),
        )
        wdno.annotate(SHIPPED / name, diagnosis=as_notes(found))
        row = {"seed": config.seed, **summary(found)}
        print(name, row, flush=True)
        amend("diagnoses", "models", name, row)


if __name__ == "__main__":
    main(tyro.cli(Config))
