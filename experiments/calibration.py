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

Ensembles are held as they are scored: 16 finer scenes of smoke take 11 GiB, four
(`--at-once 4`) a quarter of that.
"""

import json
from dataclasses import dataclass, replace
from pathlib import Path

import jax.numpy as jnp
import ship
import tyro
from _cases import CASES, HELD_OUT, JUDGED, Source
from _ensembles import Size, scores
from _results import amend
from promises import renewed

import wdno
from wdno.operator.calibrated import Calibrated, mean_of, uncalibrated
from wdno.operator.card_file import notes_of


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
    at_once: int = 64
    """Trajectories whose ensembles are held at once."""
    batch_size: int = 16


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
    size = Size(config.members, config.at_once, config.batch_size)
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
            "before": scores(before, truth, case, size),
            "after": scores(after, truth, case, size),
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
