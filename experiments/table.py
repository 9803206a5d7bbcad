"""Rewrite the tables of the docs from the files in ``experiments/results``."""

from collections.abc import Callable
from pathlib import Path

from tables import (
    blocks,
    comparisons,
    control,
    costs,
    deployment,
    era5,
    loops,
    one_step,
    refinement,
    simulation,
    tokens,
)
from tables.markdown import filled

DOCS = Path(__file__).resolve().parents[1] / "docs"

TABLES: dict[str, dict[str, Callable[[], list[str]]]] = {
    "data.md": {"killed-workers": deployment.killed_workers},
    "deployment.md": {
        "load-service": deployment.load_service,
        "onnx-parts": deployment.onnx_parts,
        "peers": costs.peers,
    },
    "scale.md": {"cost": costs.cost, "paper-presets": costs.paper_presets},
    "accelerators.md": {
        "event_control": loops.event_control,
        "guidance": control.guidance,
        "last_plan": loops.last_plan,
        "one_step_plans": control.one_step_plans,
        "tokens": tokens.tokens,
        "grain-shares": tokens.grain_shares,
        "grain-training": tokens.grain_training,
        "region-adaptive": tokens.region_adaptive,
        "smoke_loop": loops.smoke_loop,
        "stream": loops.stream,
        "one_step": one_step.one_step,
        "one_step_smoke": control.one_step_smoke,
        "one_step_shipped": one_step.one_step_shipped,
        "blocks": blocks.blocks,
        "blocks-ensembles": blocks.blocks_ensembles,
    },
    "results.md": {
        "results": simulation.burgers_simulation,
        "refinement": refinement.super_resolution,
        "control": control.control,
        "closed-loop": control.closed_loop,
        "smoke": control.smoke,
    },
    "smoke.md": {
        "refinement": refinement.smoke_refinement,
        "finest": refinement.finest_smoke,
    },
    "waves.md": {
        "advection": simulation.advection,
        "navier-stokes": simulation.navier_stokes,
        "navier-stokes-refinement": refinement.navier_stokes_refinement,
        "navier-stokes-fine": refinement.navier_stokes_fine,
    },
    "phiflow.md": {"phiflow": simulation.phiflow},
    "design.md": {"bakeoff": comparisons.bakeoff},
    "structure.md": {"seconds": costs.seconds},
    "rivals.md": {
        "front": comparisons.front,
        "rivals": comparisons.rivals,
        "diagnoses": comparisons.diagnoses,
        "calibration": comparisons.calibration,
    },
    "era5.md": {"era5": era5.era5, "era5-weeks": era5.era5_weeks},
}
"""What stands between which markers of which page."""


def main() -> None:
    """Put the tables between their markers."""
    for name, marked in TABLES.items():
        path = DOCS / name
        page = path.read_text()
        for marker, lines in marked.items():
            page = filled(page, marker, lines())
        path.write_text(page)


if __name__ == "__main__":
    main()
