"""How well are shock tubes learned, and how long does it last?

The paper reports a mean squared error of 0.2195 on the shock data of PDEBench; here the
data are those of `wdno.systems.CompressibleNavierStokes`, whose states are of order 1.
"""

from dataclasses import replace

import tyro
from _simulation import Config, run

from wdno.cli.systems import SYSTEMS

LAPTOP = Config(
    recipe="navier-stokes-shock",
    shipped="navier-stokes-shock",
    training_samples=3072,
    budget=300.0,
)
PAPER = replace(LAPTOP, training_samples=9216, budget=36_000.0)

if __name__ == "__main__":
    presets = {
        "laptop": ("Minutes on two cores.", LAPTOP),
        "paper": ("Hours.", PAPER),
    }
    system = SYSTEMS["navier-stokes-shock"]()
    run(system, system, tyro.extras.overridable_config_cli(presets))
