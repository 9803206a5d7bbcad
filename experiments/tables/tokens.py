"""Tables of networks of tokens: backbones, grain, and regions of a grid."""

from collections.abc import Iterator
from typing import Any

from tables.markdown import mean, read, row, table

BATCH = {"shocks": 16, "smoke": 8}
"""Rows of a batch, by system."""


def tokens() -> list[str]:
    """Backbones at equal processor time, system by system."""
    return table(
        "| system | backbone | parameters | updates | MFLOP a row and call "
        "| seconds of a gradient | MSE, 1 call a window | 8 calls |",
        (
            line
            for system, found in read("tokens")["systems"].items()
            for line in _backbones(system, found)
        ),
    )


def _backbones(system: str, found: dict[str, Any]) -> Iterator[str]:
    for name, arm in found["arms"].items():
        price, mse = arm["price"], arm["mse"]
        yield row(
            f"{system}, {float(arm['config']['budget']):g} s",
            name,
            f"{price['parameters'] / 1e6:.1f} M",
            f"{arm['updates']:,}",
            f"{price['operations'] / BATCH[system] / 1e6:.0f}",
            f"{price['seconds_of_gradient']:.2f}",
            mean(mse["1"]),
            mean(mse["8"]),
        )
    yield f"| {system} | nothing moves | | | | | {found['standing_still']:.2g} | |"


def grain_shares() -> list[str]:
    """Errors that are left if some cells alone have fine details."""
    curves = read("grain")["curves"]
    shares = list(next(iter(next(iter(curves.values())).values())))
    return table(
        row("system, wavelet, levels", "score", *(f"{float(s):.3g}" for s in shares)),
        (
            row(name, score, *(f"{curve[share]['mean']:.2g}" for share in shares))
            for name, scores in curves.items()
            for score, curve in scores.items()
            if "widened" not in score or score == "energy, widened"
        ),
    )


def grain_training() -> list[str]:
    """Uniform and adaptive grain at equal operations."""
    return table(
        "| fine tokens in | width | MFLOP a row | updates | cells | MSE, 1 call "
        "| 8 calls | true cells found |",
        (
            line
            for name, arm in read("grain_training")["arms"].items()
            for line in _choices(name, arm)
        ),
    )


def _choices(name: str, arm: dict[str, Any]) -> Iterator[str]:
    """Rows of one network, by who chooses the cells with fine tokens."""
    names = {
        "coarse": "no cell",
        "eighth": "1/8",
        "quarter": "1/4",
        "half": "1/2",
        "fine": "all cells",
    }
    errors = dict(arm["mse"])
    agreement = errors.pop("agreement", None)
    for choice, mse in errors.items():
        yield row(
            names[name],
            f"{arm['network']['width']}",
            f"{arm['price']['operations'] / 16e6:.0f}",
            f"{arm['updates']:,}",
            choice if agreement else "",
            mean(mse["1"]),
            mean(mse["8"]) if "8" in mse else "",
            f"{agreement:.2f}" if agreement and choice == "predicted" else "",
        )


def region_adaptive() -> list[str]:
    """Region-adaptive steps beside dense ones, and what calls cost."""
    result = read("region_adaptive")
    correlations = result["rank_correlation"]
    return [
        *table(
            "| sampler | error, of the variance | distance from all dense steps "
            "| seconds |",
            (
                row(
                    name,
                    mean(entry["truth"]),
                    mean(entry["dense"]),
                    f"{entry['seconds']:.2f}" if "seconds" in entry else "",
                )
                for name, entry in result["errors"].items()
            ),
        ),
        "",
        "Rank correlation of scores with what would change, mean over samples and "
        "steps:",
        "",
        *table(
            row("remembered", *next(iter(correlations.values()))),
            (
                row(kept, *(f"{value:.2f}" for value in entry.values()))
                for kept, entry in correlations.items()
            ),
        ),
        "",
        "A call, by the share of tokens that pass, on the grid of the model and on "
        "longer ones:",
        "",
        *table(
            "| tokens of the grid | share | operations | seconds "
            "| MiB of temporary memory |",
            (
                _call(share, call, calls["1.0"])
                for calls in result["calls"].values()
                for share, call in calls.items()
            ),
        ),
    ]


def _call(share: str, call: dict[str, float], whole: dict[str, float]) -> str:
    """Row of a call that some tokens pass, beside one that all do."""
    operations = call["operations"] / whole["operations"]
    return row(
        f"{whole['tokens']}",
        f"{float(share):g}",
        f"{operations:.2f} of {whole['operations'] / 1e9:.1f} G",
        f"{call['seconds'] / whole['seconds']:.2f} of {whole['seconds']:.3f}",
        f"{call['temporary_bytes'] / 2**20:.0f}",
    )
