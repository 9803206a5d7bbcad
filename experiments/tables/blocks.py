"""Tables of records by queues of blocks."""

from typing import Any

from tables.markdown import interval, read, row, table


def blocks() -> list[str]:
    """Records by queues of blocks, a system each, and what they cost."""
    result = read("blocks")
    config = result["config"]
    few = [n for n in (1, 4, 16, 32) if n <= config["windows"]]
    lines = [
        f"{config['samples']} unseen records of {config['windows']} windows a system, "
        "each with noise of its own, DDIM. Error is that of the last window of a "
        "record of so many, relative to the truth's size, mean over records with 95 % "
        "bootstrap intervals; the spectrum is the factor by which the energy of a wave "
        "with a ten-thousandth of all or more is off in the last of all windows, on "
        "average; kinks are second differences in time where blocks meet, "
        "over those elsewhere and over what the truth has there. Waits are calls that "
        "wait for each other, calls all that a row needs, means those of the network "
        "that gives the mean, each for a frame.",
    ]
    for system, ways in result["systems"].items():
        lines += [
            "",
            f"**{system}**",
            "",
            *table(
                row(
                    "way",
                    "waits",
                    "calls",
                    "means",
                    *(f"{n} windows" for n in few),
                    "spectrum",
                    "kinks",
                ),
                (_way(name, way, few) for name, way in ways.items()),
            ),
        ]
    return [*lines, *_prices(result["prices"], result["machine"])]


def _way(name: str, way: dict[str, Any], few: list[int]) -> str:
    """Row of a way to make records: what it pays, errors after some windows."""
    error = way["error"]
    *_, spectrum = way["spectrum"].values()
    kinks = ""
    if "kinks" in way:
        kinks = f"{way['kinks'][0] / way['kinks_of_truth'][0]:.2f}"
    return row(
        name,
        *(f"{way[n]:.2g}" if n in way else "" for n in ("waits", "calls", "means")),
        *(interval(error[str(n)]) if str(n) in error else "" for n in few),
        f"{spectrum:.2g}",
        kinks,
    )


def _prices(result: dict[str, Any], machine: str) -> list[str]:
    """Seconds, bytes and devices of records by blocks."""
    seconds = ", ".join(
        f"{name} {value:.2g}" for name, value in result["seconds_of_one_record"].items()
    )
    counts = result["bytes"]["queue"]
    return [
        "",
        f"Processor seconds of one record ({machine}): {seconds}.",
        "",
        *table(
            row("kB of all arrays", *(f"{n} windows" for n in counts)),
            (
                row(name, *(f"{held / 1e3:.0f}" for held in sizes.values()))
                for name, sizes in result["bytes"].items()
            ),
        ),
        "",
        *table(
            "| devices | at work | formula of the paper |",
            (
                row(f"{n['stages']}", f"{n['share']:.3f}", f"{n['paper']:.3f}")
                for n in result["pipelines"]
            ),
        ),
    ]


def blocks_ensembles() -> list[str]:
    """Ensembles by queues of blocks."""
    result = read("blocks_ensembles")
    config = result["config"]
    counts = range(1, config["windows"] + 1)
    return [
        f"{config['members']} members of {config['samples']} unseen records of "
        f"`{config['system']}`, DPM-Solver++(2M): fair CRPS in the last window of "
        "records of so many with 95 % bootstrap intervals, and mean spread over error:",
        "",
        *table(
            row("way", *(f"{n} windows" for n in counts), "spread over error"),
            (
                row(
                    name,
                    *(interval(way["fair_crps"][str(n)]) for n in counts),
                    ", ".join(f"{value:.2f}" for value in way["spread_skill"].values()),
                )
                for name, way in result["ways"].items()
            ),
        ),
    ]
