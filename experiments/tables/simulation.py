"""Tables of simulations: errors of models and of what one has beside them."""

from tables.markdown import extent, interval, intervals, read, row, table


def burgers_simulation() -> list[str]:
    """The shipped model of Burgers flow: one sample, and ensembles."""
    result = read("burgers_simulation")
    config = result["config"]
    return [
        f"Forced Burgers flow, {config['samples']} unseen trajectories on the 80 × 120 "
        "grid, one sample of the shipped model; without a call the mean alone. MSE "
        "without t = 0, with 95 % bootstrap intervals over trajectories "
        f"({result['machine']}); below, what one has for nothing:",
        "",
        *table(
            "| denoiser calls per window | MSE | relative L2 "
            "| seconds per trajectory |",
            (
                row(
                    name,
                    *intervals(entry, "mse", "relative_l2"),
                    f"{entry['seconds_per_trajectory']:.4f}",
                )
                for name, entry in (result["one_sample"] | result["rivals"]).items()
            ),
        ),
        "",
        f"Ensembles of {config['members']} on {config['ensemble_samples']} of them; a "
        "calibrated Gaussian ensemble has a fair CRPS of 0.707 of the mean absolute "
        "error of its mean, and a spread–skill of 1; energy is that of the members in "
        "each subband over that of the truth, from the least to the largest:",
        "",
        *table(
            "| calls | MSE of the mean | fair CRPS | CRPS / MAE | spread–skill "
            "| energy |",
            (
                row(
                    calls,
                    *intervals(entry, "mse", "fair_crps"),
                    f"{entry['crps_over_mae']:.2f}",
                    interval(entry["spread_skill"]),
                    extent(entry["energy_of_subbands"].values()),
                )
                for calls, entry in result["ensembles"].items()
            ),
        ),
        "",
        "The reference solver takes "
        f"{result['solver_seconds_per_trajectory']:.4f} s per trajectory. The paper "
        "reports an MSE of 1.4e-4 for a model of 140 million parameters.",
    ]


def smoke_simulation() -> list[str]:
    """The shipped model of smoke, by calls."""
    result = read("smoke_simulation")
    names = ("mse", "mse_density", "mse_vx", "mse_vy", "mse_smoke")
    return [
        f"Simulation of smoke, {result['config']['samples']} unseen scenes, MSE "
        "without t = 0 over density, both velocities and the share of smoke (the "
        "paper reports 0.0023):",
        "",
        *table(
            "| calls | MSE | density | vx | vy | smoke | seconds a scene |",
            (
                row(
                    calls,
                    *intervals(entry, *names),
                    f"{entry['seconds_per_scene']:.2f}",
                )
                for calls, entry in result["one_sample"].items()
            ),
        ),
    ]


def advection() -> list[str]:
    """Advection for all speeds."""
    return _chained(
        "advection_simulation",
        "Advection at speeds from 0.1 to 7",
        "The paper reports 2.9e-5, of data that it does not name.",
    )


def navier_stokes() -> list[str]:
    """Shock tubes."""
    return _chained(
        "navier_stokes_shock",
        "Shock tubes of compressible flow",
        "The paper reports 0.2195 on PDEBench's data, whose states are larger.",
    )


def _chained(name: str, what: str, paper: str) -> list[str]:
    """A system whose windows are chained: the model and its rivals."""
    result = read(name)
    config, forecasts = result["config"], result["one_record"]
    scores = [
        score for score in next(iter(forecasts.values())) if score.startswith("mse_")
    ]
    states = [score.removeprefix("mse_") for score in scores]
    several = scores if len(states) > 1 else []
    titles = [f"MSE of {state}" for state in states if several]
    after = f"relative error after {config['records']} records"

    def ends(forecast: str) -> str:
        errors = result["rollouts"][forecast]
        return " / ".join(f"{errors[f'error_{state}'][-1]:.2g}" for state in states)

    return [
        "",
        f"{what}, {config['samples']} unseen trajectories, windows chained, one call "
        "a window; MSE without t = 0 with 95 % bootstrap intervals. All but the model "
        f"as shipped were trained for {config['budget']:.0f} s of processor time of "
        f"one core. {paper}",
        "",
        *table(
            row("forecast", "MSE", *titles, after, "seconds a record"),
            (
                row(
                    forecast,
                    *intervals(entry, "mse", *several),
                    ends(forecast),
                    f"{entry['seconds_per_record']:.4f}",
                )
                for forecast, entry in forecasts.items()
            ),
        ),
    ]


def phiflow() -> list[str]:
    """Forecasts of plumes that PhiFlow simulates."""
    result = read("phiflow_plume")
    config = result["config"]
    scores = ("mse smoke", "mse velocity_x", "mse velocity_y", "relative_l2 smoke")
    return [
        f"Plumes on {config['points']} × {config['points']} cells over "
        f"{config['frames']} intervals, {config['unseen']} unseen scenes; the "
        f"suggested recipe, {config['scenes'] - config['unseen']} scenes and "
        f"{config['budget']:.0f} s of training ({result['machine']}). MSE "
        "without t = 0, with 95 % bootstrap intervals over scenes.",
        "",
        *table(
            "| forecast | smoke | velocity along x | velocity along y "
            "| relative L2 of smoke |",
            (
                row(name, *intervals(entry, *scores))
                for name, entry in result["scores"].items()
            ),
        ),
    ]
