"""How well is advection learned for all speeds at once, and how long does it last?

The paper reports a mean squared error of 2.9e-5 over 80 steps, of speeds and data that
it does not name.
"""

from dataclasses import replace

import tyro
from _simulation import Config, run

from wdno.cli.systems import SYSTEMS
from wdno.systems import Advection

LAPTOP = Config(
    recipe="advection-simulation",
    shipped="advection-simulation",
    training_samples=8192,
    budget=600.0,
    learning_rate=4e-3,
)
PAPER = replace(LAPTOP, training_samples=20_480, budget=36_000.0)

if __name__ == "__main__":
    presets = {
        "laptop": ("Minutes on two cores.", LAPTOP),
        "paper": ("Hours.", PAPER),
    }
    config = tyro.extras.overridable_config_cli(presets)
    run(Advection(), SYSTEMS["advection-steep"](), config)
