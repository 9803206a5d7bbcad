"""Ensembles of shipped models, calibrated on trajectories that nothing was fitted to.

Slopes and factors are fitted to one seed; scores before and after are of another. Where
a case says that they ship, weights and card are written.

python experiments/burgers_plans.py --plans 256 --chunk 64 --seed 61000 --out held-out
python experiments/calibration.py --era5 era5_uk_t2m_32x48_744h.nc \\
    --flow-plans flow-plans --held-out-plans held-out
"""

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import ship
import tyro
import xarray as xr
from _cases import CASES, DIAGNOSED, HELD_OUT, Case, Source, calibrated
from _results import RESULTS, record

import wdno
from wdno import metrics
from wdno.operator.calibrated import uncalibrated
from wdno.operator.card_file import notes_of
from wdno.training.diagnosis import of_records
from wdno.training.ensembles import COEFFICIENTS, ensemble
from wdno.training.held_out import held_windows, on_points_of

SHIPPED = Path(wdno.__file__).parent / "pretrained"


@dataclass(frozen=True)
class Config:
    """Which models, on what."""

    models: tuple[str, ...] = tuple(n for n, case in CASES.items() if case.held_out)
    era5: Path | None = None
    flow_plans: Path | None = None
    held_out_plans: Path | None = None
    finer: Path = Path("runs/finer")
    members: int = 8
    seed: int = HELD_OUT
    scored_on: int = DIAGNOSED
    scored: int = 256
    """Trajectories of the scores, at most."""
    batch_size: int = 16


def interval(values: xr.DataArray) -> list[float]:
    """Mean over records with its 95 % bootstrap interval."""
    return rounded(metrics.bootstrap_interval(values))


def rounded(found: metrics.Interval) -> list[float]:
    """Value and ends, to four digits."""
    return [float(f"{value:.4g}") for value in (found.mean, found.low, found.high)]


def of_shape(cast: xr.DataArray, right: xr.DataArray) -> float:
    """CRPS over mean absolute error of a right ensemble with errors of this shape.

    Errors in units of the members' spread, of all points and windows, as the
    distribution at each point: ``E|r - r'| / 2 E|r|``, 0.707 of a normal one, more of
    heavy tails.
    """
    spread = cast.std("member", ddof=1)
    r = ((right - cast.mean("member")) / spread.where(spread > 0)).values.ravel()
    r = np.sort(r[np.isfinite(r)].astype(float))
    rank = 2 * np.arange(len(r)) - len(r) + 1.0
    return round(float((r * rank).sum() / len(r) / np.abs(r).sum()), 4)


def scores(
    model: wdno.WDNO, truth: xr.Dataset, case: Case, config: Config
) -> dict[str, Any]:
    """Errors of ensembles and of one call, windows taken by themselves."""
    placed = on_points_of(model, truth)
    fields, key = held_windows(placed, truth), jax.random.key(2)
    how = {"batch_size": config.batch_size, "key": key}
    levels = placed.levels(case.calls)
    drawn, true = ensemble(placed, fields, levels, config.members, case.sampler, **how)
    one, _ = ensemble(placed, fields, placed.levels(1), 1, case.sampler, **how)
    squares = [np.square(z[COEFFICIENTS].astype(float)) for z in (drawn, true)]
    energies = [z.mean([d for d in z.dims if d != "channel"]) for z in squares]
    ratio = (energies[0] / energies[1]).values
    found: dict[str, Any] = {
        "energy_ratio": [round(float(r), 4) for r in (ratio.min(), ratio.max())]
    }
    records = truth.sizes["sample"]
    for name in (quantity.name for quantity in placed.targets.fields):
        cast, right, first = (
            of_records(part[name], records) for part in (drawn, true, one)
        )
        mean = cast.mean("member")
        crps, absolute = metrics.fair_crps(cast, right), metrics.mae(mean, right)
        found[name] = {
            "mse_of_mean": interval(metrics.mse(mean, right)),
            "mse_of_member": interval(metrics.mse(cast, right).mean("member")),
            "mse_of_one_call": interval(metrics.mse(first.isel(member=0), right)),
            "fair_crps": interval(crps),
            "crps_over_mae": round(float(crps.mean() / absolute.mean()), 4),
            "crps_over_mae_of_shape": of_shape(cast, right),
            "spread_skill": rounded(metrics.spread_skill_interval(cast, right)),
        }
    return found


def stored() -> dict[str, Any]:
    """What was found before, which stays for models that are left out now."""
    path = RESULTS / "calibration.json"
    return json.loads(path.read_text())["models"] if path.exists() else {}


def main(config: Config) -> None:
    """Calibrate, score before and after, ship what is better, store."""
    finer, weather = config.finer, config.era5
    truths = Source(config.scored_on, weather, None, config.flow_plans, finer)
    source = Source(config.seed, weather, None, config.held_out_plans, finer)
    for name in config.models:
        case = CASES[name]
        before = wdno.load(name)
        before = replace(before, residual=uncalibrated(before.residual))
        truth = case.truth(truths).isel(sample=slice(config.scored))
        held_out = case.held_out(source)
        after = calibrated(name, before, held_out, config.members, config.batch_size)
        residual: Any = after.residual
        ranges = {
            part: [round(float(end(getattr(residual, part))), 4) for end in (min, max)]
            for part in ("slope", "factor")
        }
        found = {
            "held_out": held_out.sizes["sample"],
            "scored": truth.sizes["sample"],
            "calls": case.calls,
            **ranges,
            "before": scores(before, truth, case, config),
            "after": scores(after, truth, case, config),
            "ships": case.ships,
        }
        print(name, json.dumps(found), flush=True)
        record("calibration", asdict(config), models=stored() | {name: found})
        if case.ships:
            notes = notes_of(wdno.read_card(name))
            notes["calibration"] = {
                "calls": case.calls,
                "members": config.members,
                "trajectories": held_out.sizes["sample"],
                "seed": config.seed,
            }
            wdno.save(after, SHIPPED / name, notes=notes, dtype=jnp.float16)
            promised = ship.Config(
                Path(), name, config.data, notes["metrics"]["samples"]
            )
            found = ship.measured(wdno.load(name), promised)
            wdno.annotate(SHIPPED / name, metrics=found)
            print(name, json.dumps(found), flush=True)


if __name__ == "__main__":
    main(tyro.cli(Config))
