"""Tables of networks of tokens, from the files in ``experiments/results``."""

import json
from typing import Any

from _results import RESULTS, interval

ROWS = {"shocks": 16, "smoke": 8}
"""Of a batch."""


def _read(name: str) -> dict[str, Any]:
    return json.loads((RESULTS / f"{name}.json").read_text())


def _mean(entry: dict[str, float]) -> str:
    return interval([entry["mean"], entry["low"], entry["high"]])


def tokens() -> str:
    """Backbones at equal processor time, system by system."""
    lines = [
        "| system | backbone | parameters | updates | MFLOP a row and call "
        "| seconds of a gradient | MSE, 1 call a window | 8 calls |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for system, found in _read("tokens")["systems"].items():
        for name, arm in found["arms"].items():
            cost = arm["price"]
            rows = ROWS[system]
            lines.append(
                f"| {system}, {float(arm['config']['budget']):g} s | {name} "
                f"| {cost['parameters'] / 1e6:.1f} M | {arm['updates']:,} "
                f"| {cost['operations'] / rows / 1e6:.0f} "
                f"| {cost['seconds_of_gradient']:.2f} "
                f"| {_mean(arm['mse']['1'])} | {_mean(arm['mse']['8'])} |"
            )
        still = found["standing_still"]
        lines.append(f"| {system} | nothing moves | | | | | {still:.2g} | |")
    return "\n".join(lines)


def grain_shares() -> str:
    """Errors that are left if some cells alone have fine details."""
    curves = _read("grain")["curves"]
    shares = list(next(iter(next(iter(curves.values())).values())))
    lines = [
        "| system, wavelet, levels | score | "
        + " | ".join(f"{float(share):.3g}" for share in shares)
        + " |",
        "|---|---|" + "---|" * len(shares),
    ]
    for name, rows in curves.items():
        for score, row in rows.items():
            if "widened" in score and score != "energy, widened":
                continue
            cells = " | ".join(f"{row[share]['mean']:.2g}" for share in shares)
            lines.append(f"| {name} | {score} | {cells} |")
    return "\n".join(lines)


def grain_training() -> str:
    """Uniform and adaptive grain at equal operations."""
    lines = [
        "| fine tokens in | width | MFLOP a row | updates | cells | MSE, 1 call "
        "| 8 calls | true cells found |",
        "|---|---|---|---|---|---|---|---|",
    ]
    names = {
        "coarse": "no cell",
        "eighth": "1/8",
        "quarter": "1/4",
        "half": "1/2",
        "fine": "all cells",
    }
    for arm, row in _read("grain_training")["arms"].items():
        found = row["mse"].get("agreement")
        for choice, errors in row["mse"].items():
            if choice == "agreement":
                continue
            share = f"{found:.2f}" if found and choice == "predicted" else ""
            label = choice if found else ""
            several = _mean(errors["8"]) if "8" in errors else ""
            lines.append(
                f"| {names[arm]} | {row['network']['width']} "
                f"| {row['price']['operations'] / 16e6:.0f} | {row['updates']:,} "
                f"| {label} | {_mean(errors['1'])} | {several} | {share} |"
            )
    return "\n".join(lines)


def region_adaptive() -> str:
    """Region-adaptive steps beside dense ones, and what calls cost."""
    result = _read("region_adaptive")
    lines = [
        "| sampler | error, of the variance | distance from all dense steps "
        "| seconds |",
        "|---|---|---|---|",
    ]
    for name, row in result["errors"].items():
        seconds = f"{row['seconds']:.2f}" if "seconds" in row else ""
        lines.append(
            f"| {name} | {_mean(row['truth'])} | {_mean(row['dense'])} | {seconds} |"
        )
    lines += [
        "",
        "Rank correlation of scores with what would change, mean over samples and "
        "steps:",
        "",
        "| remembered | "
        + " | ".join(next(iter(result["rank_correlation"].values())))
        + " |",
        "|---|" + "---|" * len(next(iter(result["rank_correlation"].values()))),
    ]
    for kept, row in result["rank_correlation"].items():
        cells = " | ".join(f"{value:.2f}" for value in row.values())
        lines.append(f"| {kept} | {cells} |")
    lines += [
        "",
        "A call, by the share of tokens that pass, on the grid of the model and on "
        "longer ones:",
        "",
        "| tokens of the grid | share | operations | seconds "
        "| MiB of temporary memory |",
        "|---|---|---|---|---|",
    ]
    for calls in result["calls"].values():
        whole = calls["1.0"]
        for share, call in calls.items():
            lines.append(
                f"| {whole['tokens']} | {float(share):g} "
                f"| {call['operations'] / whole['operations']:.2f} of "
                f"{whole['operations'] / 1e9:.1f} G "
                f"| {call['seconds'] / whole['seconds']:.2f} of "
                f"{whole['seconds']:.3f} | {call['temporary_bytes'] / 2**20:.0f} |"
            )
    return "\n".join(lines)


def navier_stokes_fine() -> str:
    """Forecasts on 1,024 cells by what they cost."""
    rows = _read("navier_stokes_fine")["forecasts"]
    first = next(iter(rows.values()))
    lines = [
        f"{first['samples']} unseen shock tubes: MSE over density, velocity and "
        "pressure on 1,024 cells without t = 0, 1e-4, with 95 % bootstrap intervals "
        "over trajectories. What the solver has on fewer cells is parted by straight "
        "lines. Seconds are those of a processor, of a busy machine, for a record "
        f"({first['machine']}).",
        "",
        "| forecast | MSE | median | density | velocity | pressure | seconds |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, row in rows.items():
        parts = [
            interval([1e4 * value for value in row[part]])
            for part in ("mse", "density", "velocity", "pressure")
        ]
        parts.insert(1, f"{1e4 * row['median']:.2g}")
        seconds = f"{row['processor_seconds']:.2g}"
        lines.append(f"| {name} | {' | '.join(parts)} | {seconds} |")
    return "\n".join(lines)
