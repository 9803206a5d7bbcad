"""Results as Markdown: numbers with intervals, rows, and marked blocks of pages."""

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

from _results import RESULTS


def read(name: str) -> dict[str, Any]:
    """What ``experiments/results/<name>.json`` holds."""
    return json.loads((RESULTS / f"{name}.json").read_text())


def interval(entry: Iterable[float], digits: int = 2, to: str = "–") -> str:
    """A value to some significant digits with its confidence interval to two."""
    value, low, high = entry
    return f"{value:.{digits}g} ({low:.2g}{to}{high:.2g})"


def fixed(entry: Iterable[float], digits: int = 2, to: str = "–") -> str:
    """A value with its confidence interval, to some digits after the point."""
    value, low, high = (f"{part:.{digits}f}" for part in entry)
    return f"{value} ({low}{to}{high})"


def mean(entry: Mapping[str, float]) -> str:
    """A mean with its confidence interval, of parts by name."""
    return interval([entry["mean"], entry["low"], entry["high"]])


def intervals(entry: Mapping[str, list[float]], *names: str) -> list[str]:
    """Some values of an entry, each with its confidence interval."""
    return [interval(entry[name]) for name in names]


def scaled(entry: Iterable[float], factor: float) -> list[float]:
    """A value and its confidence interval in a smaller unit."""
    return [factor * part for part in entry]


def extent(values: Iterable[float], form: str = ".2f") -> str:
    """The least of some values and the largest."""
    ordered = sorted(values)
    return f"{ordered[0]:{form}} to {ordered[-1]:{form}}"


def row(*cells: str) -> str:
    """The line of a row."""
    return f"| {' | '.join(cells)} |"


def table(head: str, rows: Iterable[str]) -> list[str]:
    """Lines of a table: its head, the rule below that, and rows."""
    return [head, f"{'|---' * (head.count('|') - 1)}|", *rows]


def filled(page: str, marker: str, lines: Iterable[str]) -> str:
    """A page with lines between two markers, in place of what stood there.

    Raises:
        ValueError: The page lacks the markers.
    """
    start, end = f"<!-- {marker}:start -->", f"<!-- {marker}:end -->"
    block = "\n".join([start, *lines, end])
    # By a function, as a text would have its backslashes read as references.
    new, found = re.subn(f"{start}.*{end}", lambda _: block, page, flags=re.S)
    if not found:
        raise ValueError(
            f"A page shows a table between '{start}' and '{end}', which this one "
            "lacks. Add both, or name another page."
        )
    return new
