"""Tables of forecasts of temperature: a table a score, a lead a column."""

from typing import Any

from tables.markdown import fixed, read, row, table

SCORES = {
    "rmse": "RMSE in K, of the mean of an ensemble",
    "rmse_member": "RMSE in K of single members",
    "crps": "Fair CRPS in K; of a single forecast its mean absolute error",
    "acc": "ACC, against the hourly climatology",
    "skill": "1 - RMSE / RMSE of damped persistence, of the same draws",
    "spread_skill": "Spread–skill ratio, 1 is ideal",
    "crps_share": "Fair CRPS over the mean absolute error of the ensemble's mean; 0.71 "
    "for a normal distribution that is right",
}
"""Scores of forecasts of temperature, and what they are."""


def era5() -> list[str]:
    """Forecasts of the last days of the record."""
    result = read("era5")
    return [
        f"{result['starts']} starts, {result['config']['every']} h apart, on "
        f"{result['days']} days of test. In brackets 95 % bootstrap intervals, days of "
        f"starts drawn as wholes: {result['days']} blocks make rough intervals.",
        *_scores(result["results"]),
    ]


def era5_weeks() -> list[str]:
    """Forecasts of all days of the month, and what they are less references."""
    result = read("era5_weeks")
    found, config = result["results"], result["config"]
    lines = [
        f"{result['starts']} starts, {config['settings']['every']} h apart, on "
        f"{result['days']} days in {len(config['blocks'])} blocks, each held back from "
        f"a model of {config['updates']} updates. In brackets 95 % "
        "bootstrap intervals, days of starts drawn as wholes.",
        *_scores(found),
    ]
    for score, title in (("rmse", "RMSE"), ("crps", "CRPS")):
        differences = {
            f"{name}, less {reference}": less[score]
            for name in found
            for reference, less in found[name]["less"].items()
            if name not in ("damped persistence", "persistence", "hourly climatology")
        }
        what = f"{title} in K less that of a reference, of the same draws"
        lines += _leads(f"{what}; below zero is better", differences, 2)
    return lines


def _scores(found: dict[str, Any]) -> list[str]:
    """A table for each score, of those forecasts that have it."""
    lines = []
    for score, title in SCORES.items():
        forecasts = {
            name: entry[score]
            for name, entry in found.items()
            if score in entry
            and not (score == "rmse_member" and "spread_skill" not in entry)
            and not (score == "skill" and name == "damped persistence")
        }
        if forecasts:
            lines += _leads(title, forecasts, 3 if score == "skill" else 2)
    return lines


def _leads(
    title: str, forecasts: dict[str, dict[str, list[float]]], digits: int
) -> list[str]:
    """One score with its intervals: a forecast a row, a lead a column."""
    leads = list(next(iter(forecasts.values())))
    return [
        "",
        f"{title}:",
        "",
        *table(
            row("forecast", *(f"{lead} h" for lead in leads)),
            (
                row(name, *(fixed(entry[lead], digits, " to ") for lead in leads))
                for name, entry in forecasts.items()
            ),
        ),
    ]
