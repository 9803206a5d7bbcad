"""The demonstrations behind ``wdno demo``: a shipped model beside the solver."""

import time
from pathlib import Path

import jax
import xarray as xr

from wdno import metrics, plotting, trajectory
from wdno.persistence import load
from wdno.report import Picture, Section, Table, metrics_table, write_report
from wdno.samplers import ddim
from wdno.systems import Burgers
from wdno.verbs import simulate

SHOWN = (
    "mse",
    "relative_l2",
    "rmse_ensemble_mean",
    "rmse_member",
    "fair_crps",
    "spread_skill",
)
"""Scores in the table on the terminal."""


def burgers(
    out: str | Path,
    *,
    samples: int = 32,
    members: int = 8,
    steps: int = 4,
    seed: int = 0,
) -> Path:
    """Simulate unseen forced Burgers flows and compare them with the solver.

    Draws initial states and forces that training has not seen, simulates an ensemble
    with the shipped model, solves the same problems with the reference solver, prints
    the scores and writes ``truth.nc``, ``forecast.nc``, ``forecast.png``,
    ``error.png``, ``forecast.gif`` and ``index.html``.

    Args:
        out: folder for the results; created if absent.
        samples: number of flows.
        members: size of the ensemble.
        steps: denoiser calls per window.
        seed: chooses the flows; training used the seeds named in the model's card.

    Returns:
        Path of the HTML page.
    """
    begin = time.perf_counter()
    folder = Path(out)
    folder.mkdir(parents=True, exist_ok=True)
    key_inputs, key_model = jax.random.split(jax.random.key(10_000 + seed))
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
            samples=members,
            sampler=ddim(1.0),
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
    page = _write(folder, truth, forecast, scores, speed)
    print(f"Wrote {page} ({time.perf_counter() - begin:.0f} s in all)")
    return page


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


def _write(
    folder: Path,
    truth: xr.Dataset,
    forecast: xr.Dataset,
    scores: xr.Dataset,
    speed: Table,
) -> Path:
    """Write data, pictures and the page that shows them."""
    trajectory.save(truth, folder / "truth.nc")
    trajectory.save(forecast, folder / "forecast.nc")
    panels = plotting.space_time(truth.u, forecast.u)
    plotting.save(panels, folder / "forecast.png")
    errors = plotting.error_over_time(truth.u, {"ensemble mean": forecast.u})
    plotting.save(errors, folder / "error.png")
    plotting.animate(truth.u, forecast.u, folder / "forecast.gif")
    sections = [
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
    page = folder / "index.html"
    lead = (
        "Velocity u(t, x) of the forced viscous Burgers equation, simulated from an "
        "initial state and a force by the wavelet diffusion neural operator that "
        "ships with wdno, beside the reference solver. The model has seen none of "
        "these flows."
    )
    write_report(page, "Forced Burgers flow", sections, lead=lead)
    return page
