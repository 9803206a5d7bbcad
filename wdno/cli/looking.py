"""Commands that look at forecasts, models and files."""

import json
from pathlib import Path

import jax
import xarray as xr
from tyro.conf import Positional

import wdno
from wdno import io, metrics, plotting
from wdno._files import check_output_folder, located, replacing
from wdno.cli.pricing import COSTS, About, TaskName, said
from wdno.cli.samplers import SAMPLERS, SamplerName
from wdno.operator import checkpoint
from wdno.operator.hub import is_hub_address
from wdno.training.diagnosis import as_notes
from wdno.trajectory import check_output, open_trajectories, save
from wdno.trajectory.places import is_address, reached


def evaluate(
    forecast: Positional[str],
    truth: Positional[str],
    variable: str = "u",
    out: Path | None = None,
) -> None:
    """Score a forecast against the truth, with confidence intervals.

    Args:
        forecast: file, or its address, with or without ensemble members.
        truth: file, or its address, on the same grid.
        variable: which variable to score.
        out: also write the scores to this NetCDF file.
    """
    if out is not None:
        check_output(out)
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


def diagnose(
    model: Positional[str],
    data: Positional[str],
    calls: int = 4,
    members: int = 8,
    samples: int = 16,
    levels: int = 12,
    candidates: int | None = None,
    sampler: SamplerName = "dpmpp-2m",
    out: Path | None = None,
    seed: int = 0,
) -> None:
    """Say at which noise levels a model errs, and what ensembles are worth.

    Args:
        model: shipped name or folder.
        data: file, or its address, of trajectories that the model was not trained on.
        calls: denoiser calls of the ensemble, per window.
        members: size of the ensemble.
        samples: the last so many trajectories of the file are used, all their windows.
        levels: noise levels at which the denoiser is tried.
        candidates: also choose noise levels with stable transitions from so many, at
            the cost of the square of it.
        sampler: rule of one step in noise level.
        out: folder, also made, for the numbers as diagnosis.nc and diagnosis.json and
            the picture diagnosis.png.
        seed: seed of all noise.
    """
    if samples < 1:
        raise ValueError(
            f"A diagnosis takes one trajectory or more, but got --samples {samples}. "
            "Ask for more."
        )
    if out is not None:
        check_output_folder(out)
    operator = checkpoint.load(model)
    held_out = open_trajectories(data).isel(sample=slice(-samples, None)).load()
    found = wdno.diagnose(
        operator,
        held_out,
        calls=calls,
        members=members,
        levels=levels,
        sampler=SAMPLERS[sampler],
        key=jax.random.key(seed),
    )
    print(_table(found))
    if candidates is not None:
        ladder = wdno.stable_schedule(
            operator, held_out, candidates=candidates, key=jax.random.key(seed)
        )
        found.attrs["stable_levels"] = list(ladder.levels)
        rungs = ", ".join(f"{sigma:.4g}" for sigma in ladder.levels)
        print(f"\nNoise levels with stable transitions: {rungs}")
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        save(found, out / "diagnosis.nc")
        notes = json.dumps(as_notes(found), indent=1, allow_nan=False)
        with replacing(out / "diagnosis.json") as temporary:
            temporary.write_text(notes + "\n")
        plotting.save(plotting.diagnosis(found), out / "diagnosis.png")
        print(f"Wrote {out}: diagnosis.nc, diagnosis.json, diagnosis.png")


def _table(found: xr.Dataset) -> str:
    """The numbers of a diagnosis as text, a block for each thing that they go by."""
    levels = ", ".join(f"{s:.4g}" for s in found.attrs["levels_of_ensemble"][:-1])
    about = "{windows} windows, {members} members, calls: {calls}".format(**found.attrs)
    by_level = found["denoising_error"].to_pandas()
    by_level = by_level.assign(ratio=found["transition_ratio"].to_series())
    scores = ["member_error", "mean_error", "fair_crps", "spread_skill"]
    by_channel = found[["energy_ratio", "spread_skill_by_channel"]].to_dataframe()
    blocks = {
        "Error of one denoising by noise level, and ratio of two in a row": by_level,
        f"Ensemble: {about}{levels and f' at {levels}'}": found[scores].to_dataframe(),
        "By subband": by_channel,
    }
    tables = (
        f"{title}\n{table.rename_axis(index=None, columns=None).to_string(**_FORMAT)}"
        for title, table in blocks.items()
    )
    return "\n\n".join(tables)


_FORMAT = {"float_format": "{:.4g}".format, "na_rep": ""}


def info(
    what: Positional[str], cost: TaskName | None = None, *, problem: About
) -> None:
    """Say what a model or a file of data is, or what work with it will take.

    Args:
        what: shipped name or folder of a model, or a file or folder of data in any
            layout that `wdno.io` knows, which is told by its content; or the address of
            a file, or of trajectories in a Zarr store.
        cost: instead time and memory of the problem below, from programs of few rows.
        problem: what is to be done with the model.
    """
    if cost is not None:
        print(said(COSTS[cost](checkpoint.load(what), problem)))
        return
    if is_address(what) and not is_hub_address(what):
        copy = reached(what)
        print(open_trajectories(what) if copy is None else io.describe(copy))
        return
    path = located(what)
    model = (path / "card.json").is_file() or what in checkpoint.shipped()
    if path.exists() and not model:
        print(io.describe(path))
        return
    card = checkpoint.read_card(what)
    for layout in ("targets", "given"):
        card[layout].get("tiling", card[layout]).pop("scale")
    print(json.dumps(card, indent=1))
