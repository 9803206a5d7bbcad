"""Ensembles of shipped models, calibrated on trajectories that nothing was fitted to.

Slopes and factors, or where no network knows of it the scale at each place, are fitted
to one seed; scores before and after are of another. Before is without all that is
fitted here, also where the model that ships has it from an earlier run: a model whose
scale at each place is fitted has that of its mean alone, one number a channel.

Where a case says that they ship, weights, card and what the card promises are written,
and what was found of models that are left out stays. The calibrations that ship:

plans="python experiments/burgers_plans.py --chunk 64"
$plans --plans 256 --seed 61000 --out held-out/61000
$plans --plans 256 --seed 31000 --out held-out/31000
$plans --plans 384 --seed 32000 --out judged
python experiments/calibration.py --models navier-stokes-correction \\
    navier-stokes-shock smoke-refinement smoke-simulation burgers-control \\
    --flow-plans judged --held-out-plans held-out

Ensembles are held as they are scored: 16 finer scenes of smoke take 11 GiB, half of
them (`--scored 8`) half of that.
"""

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import ship
import tyro
import xarray as xr
from _cases import CASES, HELD_OUT, JUDGED, Case, Source
from _results import amend
from promises import renewed

import wdno
from wdno import metrics
from wdno.metrics.bootstrap import central_quantiles, resampled_means
from wdno.operator.calibrated import Calibrated, mean_of, uncalibrated
from wdno.operator.card_file import notes_of
from wdno.training.diagnosis import of_records
from wdno.training.ensembles import COEFFICIENTS, ensemble
from wdno.training.held_out import held_windows, on_points_of


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
    scored_on: int = JUDGED
    scored: int = 512
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


def energies(
    drawn: xr.DataArray, true: xr.DataArray, records: int
) -> dict[str, list[float]]:
    """Energy of the members over that of the truth, with its interval over records.

    Of the subbands in which it is least and most; both energies are resampled as pairs.
    """

    def of_each(windows: xr.DataArray) -> xr.DataArray:
        squares = of_records(windows, records) ** 2
        rest = [dim for dim in squares.dims if dim not in ("sample", "channel")]
        return squares.mean(rest, dtype=float)

    above, below = of_each(drawn), of_each(true)
    ratio = (above.mean("sample") / below.mean("sample")).values
    pairs = (resampled_means(part, 2000, 0) for part in (above, below))
    ends = np.quantile(np.divide(*pairs), central_quantiles(0.95), axis=0)
    return {
        str(drawn["channel"].values[n]): [
            float(f"{value:.4g}") for value in (ratio[n], *ends[:, n])
        ]
        for n in (ratio.argmin(), ratio.argmax())
    }


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
    records = truth.sizes["sample"]
    found: dict[str, Any] = {
        "energy_ratio": energies(drawn[COEFFICIENTS], true[COEFFICIENTS], records)
    }
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


def ranges(residual: object) -> dict[str, list[float]]:
    """The least and largest of the two numbers a channel, where those were fitted."""
    if not isinstance(residual, Calibrated):
        return {}
    return {
        part: [round(float(end(values)), 4) for end in (min, max)]
        for part, values in (("slope", residual.slope), ("factor", residual.factor))
    }


def unfitted(shipped: wdno.WDNO, fitted: wdno.WDNO) -> wdno.WDNO:
    """A model that ships without what a fit replaces.

    Numbers a channel go, and a scale at each place if the fit makes that anew; a scale
    that it keeps is what the network was trained with.
    """
    trained = uncalibrated(shipped.residual)
    kept = uncalibrated(fitted.residual) is trained
    return replace(shipped, residual=trained if kept else mean_of(trained))


def main(config: Config) -> None:
    """Calibrate, score before and after, ship what is better, store."""
    finer, weather = config.finer, config.era5
    truths = Source(config.scored_on, weather, None, config.flow_plans, finer)
    source = Source(config.seed, weather, None, config.held_out_plans, finer)
    for name in config.models:
        case = CASES[name]
        shipped = wdno.load(name)
        truth = case.truth(truths).isel(sample=slice(config.scored))
        held_out = case.held_out(source)
        after = case.fit(shipped, held_out, case, config.members, config.batch_size)
        before = unfitted(shipped, after)
        found = {
            "held_out": held_out.sizes["sample"],
            "held_out_seed": config.seed,
            "scored": truth.sizes["sample"],
            "scored_seed": config.scored_on,
            "calls": case.calls,
            "members": config.members,
            **ranges(after.residual),
            "before": scores(before, truth, case, config),
            "after": scores(after, truth, case, config),
            "ships": case.ships,
        }
        print(name, json.dumps(found), flush=True)
        amend("calibration", "models", name, found)
        if case.ships:
            notes = notes_of(wdno.read_card(name))
            notes["calibration"] = {
                "calls": case.calls,
                "members": config.members,
                "trajectories": held_out.sizes["sample"],
                "seed": config.seed,
            }
            wdno.save(after, ship.SHIPPED / name, notes=notes, dtype=jnp.float16)
            renewed(name, finer)


if __name__ == "__main__":
    main(tyro.cli(Config))
