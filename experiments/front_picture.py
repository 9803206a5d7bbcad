"""The first picture: forecasts of Burgers flow, their errors and their spread.

python experiments/front_picture.py
"""

from pathlib import Path

import jax

import wdno
from wdno import plotting, samplers
from wdno.systems import Burgers


def main() -> None:
    """Draw three unseen trajectories, their ensembles, errors and spread."""
    truth = Burgers().trajectories(jax.random.key(20_261_129), 3)
    forecast = wdno.simulate(
        wdno.load("burgers-simulation"),
        truth.u.isel(time=0),
        truth.f,
        members=16,
        steps=8,
        sampler=samplers.ddim(1.0, inflation=1.5),
        key=jax.random.key(0),
    )
    figure = plotting.space_time(truth.u, forecast.u)
    plotting.save(figure, Path("docs/pictures/burgers_forecast.png"))


if __name__ == "__main__":
    main()
