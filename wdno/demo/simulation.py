"""Simulation: the shipped operator beside the reference solver."""

import time
from pathlib import Path

import jax
import xarray as xr

from wdno import metrics, plotting, trajectory
from wdno.demo.report import Picture, Section, Table, metrics_table
from wdno.diffusion.samplers import ddim
from wdno.inference.simulate import simulate
from wdno.operator.checkpoint import load
from wdno.systems import Burgers

SHOWN = (
    "mse",
    "relative_l2",
    "rmse_ensemble_mean",
    "rmse_member",
    "fair_crps",
    "spread_skill",
)
"""Scores in the table on the terminal."""


INFLATION = 1.5
"""Of the noise, with which 8 calls spread members as far as they are off."""


def simulation(
    folder: Path, key: jax.Array, samples: int, members: int, steps: int
) -> list[Section]:
    """Simulate ensembles of unseen flows and score them against the solver's.

    Args:
        folder: receives ``truth.nc``, ``forecast.nc``, ``forecast.png``, ``error.png``
            and ``forecast.gif``.
        key: chooses the flows and the noise.
        samples: number of flows.
        members: size of the ensembles.
        steps: denoiser calls per window.

    Returns:
        What the page says of it.
    """
    key_inputs, key_model = jax.random.split(key)
    system, model = Burgers(), load("burgers-simulation")

    print(
        f"Drawing {samples} unseen problems and solving them with the reference solver"
    )
    truth, solving, solved_first = _timed(
        lambda: system.trajectories(key_inputs, samples)
    )
    print(f"Simulating {members} members of each with the shipped model")
    forecast, simulating, simulated_first = _timed(
        lambda: simulate(
            model,
            truth.u.isel(time=0),
            truth.f,
            members=members,
            sampler=ddim(1.0, INFLATION),
            steps=steps,
            key=key_model,
        )
    )
    scores = metrics.summary(forecast.u, truth.u)
    speed = Table(
        ("", "seconds per trajectory", "compilation in seconds"),
        [
            ("reference solver", solving / samples, solved_first),
            ("model, one member", simulating / (samples * members), simulated_first),
        ],
        caption=f"Both in batches on this machine; {steps} denoiser calls per window "
        f"of {model.window} frames.",
    )
    print(_text(scores))
    for name, seconds, compilation in speed.rows:
        rate = f"{seconds:12.5f} s per trajectory"
        print(f"{name:22s}{rate}, compiled in {compilation:.1f} s")
    return _sections(folder, truth, forecast, scores, speed)


def _timed(compute) -> tuple[xr.Dataset, float, float]:
    """Result, seconds of a second call, and how much longer the first one took."""
    times = []
    for _ in range(2):
        begin = time.perf_counter()
        result = compute()
        times.append(time.perf_counter() - begin)
    return result, times[1], max(times[0] - times[1], 0.0)


def _text(scores: xr.Dataset) -> str:
    """The main scores as lines of a table with their confidence intervals."""
    lines = [f"{'score':22s}{'value':>12s}   95 % interval over samples"]
    for name in SHOWN:
        row = scores.sel(metric=name)
        value, low, high = (float(row[part]) for part in ("value", "low", "high"))
        lines.append(f"{name:22s}{value:12.3g}   {low:.3g} … {high:.3g}")
    return "\n".join(lines)


def _sections(
    folder: Path,
    truth: xr.Dataset,
    forecast: xr.Dataset,
    scores: xr.Dataset,
    speed: Table,
) -> list[Section]:
    """Write data and pictures, and say what they show."""
    trajectory.save(truth, folder / "truth.nc")
    trajectory.save(forecast, folder / "forecast.nc")
    panels = plotting.space_time(truth.u, forecast.u)
    plotting.save(panels, folder / "forecast.png")
    errors = plotting.error_over_time(truth.u, {"ensemble mean": forecast.u})
    plotting.save(errors, folder / "error.png")
    plotting.animate(truth.u, forecast.u, folder / "forecast.gif")
    return [
        Section(
            "Forecast and truth",
            [
                Picture(
                    folder / "forecast.png",
                    "Space–time panels of truth, forecast, error and spread.",
                ),
                Picture(
                    folder / "forecast.gif",
                    "Animation of one flow: truth, ensemble mean and band.",
                ),
            ],
        ),
        Section(
            "Scores",
            [
                metrics_table(scores),
                Picture(folder / "error.png", "Relative error against time."),
                speed,
            ],
        ),
    ]
