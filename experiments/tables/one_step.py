"""Tables of students of one call, in experiments and as they ship."""

import json
from typing import Any

from _results import RESULTS

from tables.markdown import extent, fixed, interval, read, row, table

PRETRAINED = RESULTS.parents[1] / "wdno" / "pretrained"


def one_step() -> list[str]:
    """Students of one call, and fewer calls of their teacher."""
    result = read("one_step")
    config, arms, cost = result["config"], result["arms"], result["cost"]
    asking = next(
        arm["teacher_seconds"] for arm in arms.values() if "teacher_seconds" in arm
    )
    costs = ", ".join(
        f"{entry['flops_per_window'] / 1e6:.0f} MFLOP and "
        f"{entry['milliseconds_per_window']:.2g} ms in {name}"
        for name, entry in cost.items()
    )
    return [
        f"Windows of 16 frames from the true state before them, {config['judged']} "
        f"unseen trajectories of Burgers flow, {config['members']} members, "
        f"{config['steps']} updates for every student. Fair CRPS and its ratio to that "
        "of the teacher's 8 calls have 95 % bootstrap intervals over windows, the "
        "ratio by pairs; energy is that of the subbands of members over the teacher's, "
        "from the least to the largest; seconds are of one processor, compilation "
        f"included, and {asking} more for the teacher's samples "
        f"({result['machine']}).",
        "",
        *table(
            "| | calls | parameters | seconds | fair CRPS | ÷ teacher | spread–skill "
            "| energy |",
            (
                row(
                    "undistilled" if name in cost else name,
                    name.split()[0] if name in cost else "1",
                    f"{arm.get('trained', '–')}",
                    f"{arm.get('seconds', '–')}",
                    interval(arm["fair_crps"], 3),
                    fixed(arm["crps_over_teacher"], 3),
                    f"{arm['spread_skill']:.2f}",
                    extent(arm["energy_over_teacher"]),
                )
                for name, arm in arms.items()
            ),
        ),
        "",
        "A window costs, 32 at once, medians of calls in turn on a busy machine: "
        f"{costs}, the mean included, which is all there is in 0.",
    ]


def one_step_shipped() -> list[str]:
    """Adapters on trajectories on which nothing was chosen, beside eight calls."""
    return table(
        "| adapter | numbers | share of all | file | processor seconds "
        "| of the teacher's | fair CRPS ÷ teacher's | of one undistilled call "
        "| energy of subbands ÷ teacher's |",
        [
            *(
                _adapter(name, entry, *_forecasts(entry["scores"]["all"]))
                for name, entry in read("one_step_shipped")["adapters"].items()
            ),
            _smoke(),
        ],
    )


def _adapter(name: str, noted: dict[str, Any], *scores: str) -> str:
    """Row of an adapter: what it takes, and its scores."""
    spent = noted["processor_seconds"]
    return row(
        f"`{name}`",
        f"{noted['parameters']:,}",
        f"{100 * noted['share_of_parameters']:.2g} %",
        f"{noted['bytes'] / 1000:.0f} kB",
        f"{spent['pairs']:.0f} + {spent['training']:.0f}",
        f"1/{1 / noted['share_of_teachers_training']:.0f}",
        *scores,
    )


def _forecasts(scores: dict[str, Any]) -> list[str]:
    """Scores of an adapter of a model that forecasts."""
    ours, plain = scores["adapter"], scores["undistilled"]
    return [
        fixed(ours["crps_over_teacher"], 3),
        fixed(plain["crps_over_teacher"], 3),
        extent(ours["energy_over_teacher"]),
    ]


def _smoke() -> str:
    """Row of the adapter of plans, whose score is what leaks, from its card."""
    folder = PRETRAINED / "smoke-control"
    card = json.loads((folder / "card.json").read_text())
    notes = card["adapters"]["one-step"]
    spent = notes["training"]["processor_seconds"]
    trained = read("smoke_control_training")["seconds"]
    noted = notes | {
        "bytes": (folder / "one-step.safetensors").stat().st_size,
        "processor_seconds": spent,
        "share_of_teachers_training": sum(spent.values()) / trained,
    }
    plans = read("one_step_smoke")["plans"]
    one, several = plans["adapter, 1 call"], plans["8 calls"]
    leaks = f"J: {one['J'][0] / several['J'][0]:.2f}"
    energy = f"{extent(one['energy_over_teacher'])}, of departures from the mean"
    return _adapter("smoke-control", noted, leaks, "–", energy)
