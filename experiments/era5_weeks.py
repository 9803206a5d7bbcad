"""Does the forecaster of ERA5 beat simple forecasts on all days of the month?

Blocked cross-validation: each block of days is held back in turn, the recipe of
`era5.py` is trained on the other days, and the errors on all blocks are pooled. The
days next to a block are left out of its training.

    taskset -c 0 python experiments/era5_weeks.py --settings.data era5.nc
"""

import json
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import era5 as one_week
import numpy as np
import tyro
import xarray as xr
from _era5 import Forecaster, Problem, by_model, opened, simple_forecasters
from _era5_scores import differences, scores, statistics
from _results import record

from wdno.training.pipeline import train
from wdno.weather import ATTRIBUTION

DAY = np.timedelta64(1, "D")
REFERENCES = ("damped persistence", "persistence", "hourly climatology")


@dataclass(frozen=True)
class Config:
    """Which days are held back, and how a model is trained on the others.

    Attributes:
        settings: recipe, sampler and scores, as those of the model that ships.
        blocks: first and last day of each block, both included.
        gap: days on either side of a block that are left out of training.
        updates: of each model, as many as of the shipped one.
        runs: folder of the logs.
    """

    settings: one_week.Config = one_week.LAPTOP
    blocks: tuple[tuple[str, str], ...] = (
        ("2019-03-01", "2019-03-08"),
        ("2019-03-09", "2019-03-15"),
        ("2019-03-16", "2019-03-22"),
        ("2019-03-23", "2019-03-31"),
    )
    gap: int = 1
    updates: int = one_week.LAPTOP.updates
    runs: Path = Path("runs/era5-weeks")


def fold(weather: xr.Dataset, first: str, last: str, config: Config) -> Problem:
    """The block as the test, and what is before and after it and its gaps."""
    days = weather.time.values.astype("M8[D]")
    begin, end = np.datetime64(first), np.datetime64(last)
    inside = (days >= begin) & (days <= end)
    before, after = days < begin - config.gap * DAY, days > end + config.gap * DAY
    pieces = [weather.isel(time=kept) for kept in (before, after) if kept.any()]
    periods = {"training": pieces, "test": [weather.isel(time=inside)]}
    return Problem.cut(periods, config.settings.past, config.settings.lead)


def forecasters(
    problem: Problem, folder: Path, config: Config
) -> dict[str, Forecaster]:
    """The model trained on a fold, and forecasts without a network, by name."""
    settings = config.settings
    model = train(
        one_week.recipe_of(settings),
        one_week.both_signs(problem.departures),
        replace(one_week.training_of(settings), steps=config.updates),
        folder,
        clock=time.process_time,
    )
    many = one_week.ensemble(model, settings.members, settings.steps)
    return {
        f"WDNO, {settings.members} members": by_model(problem, many),
        "WDNO, one call": by_model(problem, one_week.one_call(model)),
        **simple_forecasters(problem, settings.members),
    }


def main(config: Config) -> None:
    """Hold back each block in turn, pool the errors, print and store."""
    weather, settings = opened(config.settings.data), config.settings
    parts: dict[str, list[xr.Dataset]] = {}
    for first, last in config.blocks:
        problem = fold(weather, first, last, config)
        for name, forecast in forecasters(problem, config.runs / first, config).items():
            found = statistics(problem, forecast, "test", settings.every)
            parts.setdefault(name, []).append(found)
            print(first, name, by_lead(found, settings.leads), flush=True)
    pooled = {name: xr.concat(found, "sample") for name, found in parts.items()}
    blocks = [first for first, _ in config.blocks]
    results = {
        name: scores(found, pooled["damped persistence"], settings.leads)
        | {
            "rmse_by_block": {
                first: by_lead(part, settings.leads)
                for first, part in zip(blocks, parts[name], strict=True)
            },
            "less": {
                reference: differences(found, pooled[reference], settings.leads)
                for reference in REFERENCES
                if reference != name
            },
        }
        for name, found in pooled.items()
    }
    for name, rows in results.items():
        print(name, json.dumps(rows["rmse"]), json.dumps(rows["less"]))
    days = np.unique(pooled["persistence"]["day"])
    path = record(
        "era5_weeks",
        asdict(config),
        data=ATTRIBUTION,
        starts=pooled["persistence"].sizes["sample"],
        days=len(days),
        results=results,
    )
    print(path)


def by_lead(found: xr.Dataset, leads: tuple[int, ...]) -> dict[str, float]:
    """RMSE of the mean of a block at these hours."""
    rmse = np.sqrt(found["square_of_mean"].mean("sample")).values
    return {str(lead): round(float(rmse[lead - 1]), 4) for lead in leads}


if __name__ == "__main__":
    main(tyro.cli(Config))
