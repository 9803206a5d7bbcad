"""Table of the adapters that ship, from results and cards."""

import json
from typing import Any

from _results import RESULTS

PRETRAINED = RESULTS.parents[1] / "wdno" / "pretrained"


def _read(name: str) -> dict[str, Any]:
    return json.loads((RESULTS / f"{name}.json").read_text())


def _ratio(entry: list[float]) -> str:
    return f"{entry[0]:.3f} ({entry[1]:.3f}–{entry[2]:.3f})"


def _row(name: str, noted: dict[str, Any], *scores: str) -> str:
    spent = noted["processor_seconds"]
    cells = [
        f"`{name}`",
        f"{noted['parameters']:,}",
        f"{100 * noted['share_of_parameters']:.2g} %",
        f"{noted['bytes'] / 1000:.0f} kB",
        f"{spent['pairs']:.0f} + {spent['training']:.0f}",
        f"1/{1 / noted['share_of_teachers_training']:.0f}",
        *scores,
    ]
    return "| " + " | ".join(cells) + " |"


def one_step_shipped() -> str:
    """Adapters on trajectories on which nothing was chosen, beside eight calls."""
    lines = [
        "| adapter | numbers | share of all | file | processor seconds "
        "| of the teacher's | fair CRPS ÷ teacher's | of one undistilled call "
        "| energy of subbands ÷ teacher's |",
        "|---" * 9 + "|",
    ]
    for name, row in _read("one_step_shipped")["adapters"].items():
        ours, plain = (row["scores"]["all"][n] for n in ("adapter", "undistilled"))
        energy = ours["energy_over_teacher"]
        ratios = (_ratio(s["crps_over_teacher"]) for s in (ours, plain))
        span = f"{min(energy):.2f} to {max(energy):.2f}"
        lines.append(_row(name, row, *ratios, span))
    return "\n".join([*lines, _smoke()])


def _smoke() -> str:
    """Plans, whose score is what leaks."""
    folder = PRETRAINED / "smoke-control"
    card = json.loads((folder / "card.json").read_text())
    notes = card["adapters"]["one-step"]
    spent = notes["training"]["processor_seconds"]
    trained = _read("smoke_control_training")["seconds"]
    noted = notes | {
        "bytes": (folder / "one-step.safetensors").stat().st_size,
        "processor_seconds": spent,
        "share_of_teachers_training": sum(spent.values()) / trained,
    }
    plans = _read("one_step_smoke")["plans"]
    one, several = plans["adapter, 1 call"], plans["8 calls"]
    low, high = one["energy_over_teacher"]
    leaks = f"J: {one['J'][0] / several['J'][0]:.2f}"
    span = f"{low:.2f} to {high:.2f}, of departures from the mean"
    return _row("smoke-control", noted, leaks, "–", span)
