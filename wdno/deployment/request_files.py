"""Files of requests and of answers, and the numbers that come with them."""

import zipfile
from collections.abc import Mapping
from pathlib import Path

import xarray as xr

from wdno.deployment.batching import Problem, Simulator
from wdno.trajectory import open_trajectories, save

__all__ = ["TooLarge", "numbers_of", "read_problem", "written"]

QUERY = ("members", "frames", "seed")


class TooLarge(ValueError):
    """More was asked for than a service takes on."""


def numbers_of(query: Mapping[str, str]) -> dict[str, int]:
    """The whole numbers of a query."""
    if unknown := sorted(set(query) - set(QUERY)):
        raise ValueError(
            f"A request has the numbers {list(QUERY)}, but got {unknown}. Leave them "
            "out."
        )
    found = {}
    for name, text in query.items():
        if not (text.isascii() and text.isdecimal() and len(text) < 20):
            raise ValueError(
                f"{name} is a whole number, but got {text!r:.40}. Write it in digits."
            )
        found[name] = int(text)
    return found


def read_problem(
    simulator: Simulator, path: Path, numbers: Mapping[str, int], most: int
) -> Problem:
    """What a file asks for.

    Args:
        simulator: that is asked.
        path: of the file, NetCDF or zipped Zarr by its content.
        numbers: of the query.
        most: bytes of its values, which are counted before they are read: a small
            file may hold large ones.

    Raises:
        ValueError: it cannot be read, or is not what the model takes.
        TooLarge: there are more values.
    """
    model = simulator.model
    names = [*model.state, *model.control]
    try:
        given = open_trajectories(path, names)
    except (OSError, ValueError) as error:
        # Of no use to who asked is where the file lay here.
        raise ValueError(str(error).replace(str(path), "the request")) from error
    with given:
        static = [name for name in model.static if name in given.variables]
        size = sum(given[name].nbytes for name in (*names, *static))
        if size > most:
            raise TooLarge(
                f"The values of a request have {most} bytes at most in memory, but "
                f"these have {size}. Ask for fewer trajectories at a time."
            )
        how = dict(numbers)
        frames = how.pop("frames", None) or given.sizes["time"] - 1 or None
        initial = given[list(model.state)].isel(time=0).load()
        control = given[list(model.control)].load()
        return simulator.problem(initial, control, frames=frames, **how)


def written(record: xr.Dataset, folder: Path, zipped: bool) -> bytes:
    """A file of a record, of the kind that came."""
    if not zipped:
        save(record, folder / "answer.nc")
        return (folder / "answer.nc").read_bytes()
    store = folder / "answer.zarr"
    save(record, store)
    with zipfile.ZipFile(folder / "answer.zip", "w") as archive:
        for path in sorted(store.rglob("*")):
            if path.is_file():
                archive.write(path, path.relative_to(store))
    return (folder / "answer.zip").read_bytes()
