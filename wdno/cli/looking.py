"""Commands that look at forecasts, models and files."""

import json
from pathlib import Path

from tyro.conf import Positional

from wdno import io, metrics
from wdno.operator import checkpoint
from wdno.trajectory import open_trajectories, save


def evaluate(
    forecast: Positional[Path],
    truth: Positional[Path],
    variable: str = "u",
    out: Path | None = None,
) -> None:
    """Score a forecast against the truth, with confidence intervals over samples.

    Args:
        forecast: NetCDF file, with or without ensemble members.
        truth: NetCDF file on the same grid.
        variable: which variable to score.
        out: also write the scores to this NetCDF file.
    """
    fields = [open_trajectories(path) for path in (forecast, truth)]
    for path, dataset in zip((forecast, truth), fields, strict=True):
        if variable not in dataset:
            raise ValueError(
                f"Both files need the variable {variable!r}, but {path} has "
                f"{sorted(dataset.data_vars)}. Choose another by --variable."
            )
    scores = metrics.summary(*(dataset[variable] for dataset in fields))
    for name in scores["metric"].values:
        row = scores.sel(metric=name)
        print(
            f"{name:20s} {float(row.value):11.4g}  "
            f"[{float(row.low):.4g}, {float(row.high):.4g}]  {row.convention.item()}"
        )
    if out is not None:
        save(scores, out)


def info(what: Positional[str]) -> None:
    """Say what a model or a file of data is.

    Args:
        what: shipped name or folder of a model, or a file or folder of data in any
            layout that `wdno.io` knows, which is told by its content.
    """
    path = Path(what)
    model = (path / "card.json").is_file() or what in checkpoint.shipped()
    if path.exists() and not model:
        print(io.describe(path))
        return
    card = checkpoint.read_card(what)
    for layout in ("targets", "given"):
        card[layout].get("tiling", card[layout]).pop("scale")
    print(json.dumps(card, indent=1))
