"""Commands by which a model leaves this machine."""

from pathlib import Path

from tyro.conf import Positional

import wdno
from wdno._files import check_output
from wdno.cli.samplers import SAMPLERS, SamplerName
from wdno.cli.using import objective_of
from wdno.operator import checkpoint
from wdno.operator.card_file import notes_of


def export(
    model: Positional[str],
    out: Path,
    steps: int = 1,
    sampler: SamplerName = "ddim",
    objective: str = "reach",
    energy_weight: float = 2e-5,
    strength: float | None = 0.1,
    platforms: tuple[str, ...] = ("cpu", "cuda", "tpu"),
) -> None:
    """Write a model as a program that needs neither networks nor layouts.

    Args:
        model: shipped name or folder; of a planner the plans are exported.
        out: file to write, such as model.stablehlo: a zip with the program, what it
            takes and gives, the weights and the card.
        steps: denoiser calls per window, or per plan.
        sampler: rule of one step in noise level.
        objective: of a planner: reach, leakage, or a Python file that defines
            objective(fields); see wdno control.
        energy_weight: weight of the control in reach.
        strength: of the guidance by the objective; None for no guidance.
        platforms: that it is to run on.
    """
    check_output(out)
    operator = checkpoint.load(model)
    how = {"platforms": platforms, "notes": notes_of(checkpoint.read_card(model))}
    if operator.planned:
        wish = objective_of(objective, operator, energy_weight)
        planner = wdno.Planner(
            operator, wish, strength, sampler=SAMPLERS[sampler], steps=steps
        )
        wdno.export(planner, out, **how)
    else:
        wdno.export(operator, out, sampler=SAMPLERS[sampler], steps=steps, **how)
    print(f"Wrote {out}: {out.stat().st_size / 1e6:.3g} MB for {', '.join(platforms)}")
