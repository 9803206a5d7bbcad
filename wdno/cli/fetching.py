"""Commands that fetch public data."""

import importlib
from pathlib import Path

from tyro.conf import Positional

from wdno import io
from wdno._files import check_output_folder
from wdno.trajectory import check_output, save
from wdno.weather import Region, open_era5


def download(
    names: Positional[tuple[str, ...]] = (),
    out: Path = Path("data"),
    dry_run: bool = False,
) -> None:
    """Fetch public files and check them; an interrupted download goes on.

    Args:
        names: files to fetch; without any, those that are known are listed.
        out: folder for the files.
        dry_run: say what is there and how much is missing, and fetch nothing.
    """
    if not names:
        for file in io.download.public_files().values():
            print(f"{file.name:<52} {file.description}")
        return
    if dry_run:
        plan = io.download.plan(names, out)
        print(*map(_sentence, plan), sep="\n")
        missing = sum((planned.bytes or 0) - planned.present for planned in plan)
        print(f"{amount(max(missing, 0))} to fetch in all")
        return
    check_output_folder(out)
    for path in io.download.download(names, out):
        print(f"{path} is there, and its checksum is right; wdno info {path} shows it")


def excerpt(
    source: Positional[str],
    output: Positional[Path],
    variables: tuple[str, ...] = (),
    levels: tuple[int, ...] = (),
    region: tuple[float, float, float, float] | None = None,
    times: tuple[str, str] | None = None,
    every: int = 1,
    dry_run: bool = False,
) -> None:
    """Copy a part of ERA5, such as a store of WeatherBench 2, into a file.

    Args:
        source: address or path of a Zarr store, or of a NetCDF or GRIB file.
        output: NetCDF file to write, or Zarr store, if it ends in .zarr; a few
            instants at a time.
        variables: names, all by default.
        levels: pressures in hPa, all by default.
        region: south, north, west and east in degrees, the globe by default.
        times: first and last date, both included.
        every: take every first, second, … of these instants.
        dry_run: say how much it is, and copy nothing.
    """
    if not dry_run:
        check_output(output)
    bounds = None if region is None else Region(*region)
    record = open_era5(source, variables, levels, bounds, times)
    record = record.isel(time=slice(None, None, every))
    print(f"{dict(record.sizes)}: {amount(record.nbytes)}")
    if not dry_run:
        with importlib.import_module("dask.diagnostics").ProgressBar():
            save(record, output)
        print(f"Wrote {output}")


def amount(size: int) -> str:
    """A number of bytes with a decimal prefix, such as 8.23 GB."""
    value, units = float(size), ["B", "kB", "MB", "GB", "TB"]
    while value >= 999.5 and len(units) > 1:
        value, units = value / 1000, units[1:]
    return f"{value:.3g} {units[0]}"


def _sentence(planned: io.download.Planned) -> str:
    size = "an unknown size" if planned.bytes is None else amount(planned.bytes)
    present = amount(planned.present)
    what = {
        "whole": f"is there, {size}",
        "begun": f"{present} of {size} are there",
        "absent": f"{size} to fetch",
        "other": f"another file has the name; move or remove it ({size} to fetch)",
    }
    terms = f"terms of use {planned.file.licence}"
    return f"{planned.path}: {what[planned.state]}; {terms}"
