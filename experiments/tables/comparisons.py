"""Tables of ways to generate, and of all models that ship."""

from typing import Any

from tables.markdown import extent, fixed, interval, intervals, mean, read, row, table


def bakeoff() -> list[str]:
    """The arms of the bake-off, by error."""
    return table(
        "| arm | parameters | updates | MSE, 1 call a window | MSE, 8 calls a window |",
        (
            row(
                name,
                f"{arm['parameters'] / 1e6:.1f} M",
                f"{arm['steps']:,}",
                *map(mean, arm["mse"].values()),
            )
            for name, arm in read("bakeoff")["arms"].items()
        ),
    )


def front() -> list[str]:
    """Forecasts by system: error, and seconds a record."""
    return table(
        "| system | forecast | MSE | seconds a record |",
        (
            row(system, name, interval(entry["mse"]), f"{entry['seconds']:.2g}")
            for system, found in read("front")["systems"].items()
            for name, entry in found.items()
        ),
    )


def rivals() -> list[str]:
    """Ways to generate, a row for each seed of training."""
    result = read("rivals")
    scores = ("mse_of_one_sample", "mse_of_mean", "fair_crps", "spread_skill")
    return [
        f"{result['config']['budget']:.0f} s of processor time each.",
        "",
        *table(
            "| way | seed | calls | MSE of one sample | MSE of the mean of all "
            "| fair CRPS | spread–skill |",
            (
                row(
                    name,
                    seed.removeprefix("seed "),
                    f"{entry['calls']}",
                    *intervals(entry, *scores),
                )
                for name, seeds in result["arms"].items()
                for seed, entry in seeds.items()
            ),
        ),
    ]


def diagnoses() -> list[str]:
    """All models that ship: whether errors rise with σ, spread, energy."""
    return table(
        "| model | windows | calls | error rises with σ | spread–skill "
        "| CRPS / MAE | energy of subbands |",
        (
            row(
                name,
                f"{entry.get('windows', '–')}",
                f"{entry['calls']}",
                "yes" if entry["errors_rise_with_sigma"] else "no",
                _spreads(entry),
                ", ".join(f"{v:.2f}" for v in entry.get("crps_over_mae", {}).values())
                or "–",
                extent(entry["energy_ratio"], ".2g"),
            )
            for name, entry in sorted(read("diagnoses")["models"].items())
        ),
    )


def _spreads(entry: dict[str, Any]) -> str:
    """Spread–skill of each field, with its interval where there is one."""
    low, high = (entry.get(f"spread_skill_{end}", {}) for end in ("low", "high"))
    return ", ".join(
        f"{name} {fixed([value, low[name], high[name]])}"
        if name in low
        else f"{name} {value:.2f}"
        for name, value in entry["spread_skill"].items()
    )


def calibration() -> list[str]:
    """The calibrations that ship: ensembles before and after, on others."""
    models = {
        name: entry
        for name, entry in sorted(read("calibration")["models"].items())
        if entry.get("ships")
    }
    energies = "; ".join(
        f"{name} {_energy(entry['before'])}, then {_energy(entry['after'])}"
        for name, entry in models.items()
    )
    return [
        *table(
            "| model | fitted to | judged on | field | spread–skill before | after "
            "| fair CRPS before | after | CRPS / MAE before | after |",
            (
                _calibrated(name, entry, field)
                for name, entry in models.items()
                for field in entry["after"]
                if field != "energy_ratio"
            ),
        ),
        "",
        "Energy of members over that of the truth, in the subbands where it is "
        f"least and most: {energies}.",
    ]


def _calibrated(name: str, entry: dict[str, Any], field: str) -> str:
    """Row of one field of a model, before and after."""
    stages = [entry[stage][field] for stage in ("before", "after")]
    return row(
        name,
        f"{entry['held_out']}",
        f"{entry['scored']}",
        field,
        *(fixed(stage["spread_skill"]) for stage in stages),
        *(interval(stage["fair_crps"], 3) for stage in stages),
        *(f"{stage['crps_over_mae']:.2f}" for stage in stages),
    )


def _energy(stage: dict[str, Any]) -> str:
    return " to ".join(map(interval, stage["energy_ratio"].values()))
