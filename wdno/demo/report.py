"""Results as one HTML page that needs nothing but a browser.

Styles and pictures are inside the page; there are no scripts and no links to fetch, so
that it can be mailed, archived and opened years later. Light or dark follows the
reader's setting, and every picture has a description for those who cannot see it.
"""

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape
from importlib.resources import files
from numbers import Integral, Real
from pathlib import Path
from string import Template

import xarray as xr
from matplotlib.figure import Figure

from wdno._files import replacing
from wdno.metrics.labelled import typeset

MEDIA_TYPES = {
    ".gif": "image/gif",
    ".jpeg": "image/jpeg",
    ".jpg": "image/jpeg",
    ".png": "image/png",
    ".svg": "image/svg+xml",
}
"""Picture formats that every browser shows, by suffix."""

Cell = str | Real
"""What a table holds, text or a number, shown to four significant digits."""


@dataclass(frozen=True)
class Table:
    """Rows of equal length under a header."""

    header: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    caption: str = ""

    def __post_init__(self) -> None:
        """Raises `ValueError` if a row is shorter or longer than the header."""
        for number, row in enumerate(self.rows):
            if len(row) != len(self.header):
                raise ValueError(
                    f"A row must have one cell for each of the {len(self.header)} "
                    f"columns {tuple(self.header)}; row {number} has {len(row)}. Fill "
                    "empty cells with ''."
                )


@dataclass(frozen=True)
class Picture:
    """A figure, or a picture file, with the text that stands in for it."""

    source: Figure | str | Path
    description: str
    caption: str = ""

    def __post_init__(self) -> None:
        """Raises `ValueError` if the description is blank."""
        if not self.description.strip():
            raise ValueError(
                "A picture needs a description for readers who cannot see it; got a "
                "blank one. Say in a sentence what the picture shows."
            )


@dataclass(frozen=True)
class Section:
    """A heading over paragraphs (strings), tables and pictures."""

    heading: str
    content: Sequence[str | Table | Picture] = field(default_factory=tuple)


def metrics_table(scores: xr.Dataset) -> Table:
    """The table of `wdno.metrics.summary`, with what was scored as its caption."""
    rows = [
        (
            row["metric"],
            row["value"],
            f"{_number(row['low'])} … {_number(row['high'])}".replace(
                " ", "\N{NO-BREAK SPACE}"
            ),
            typeset(row["units"]),
            row["convention"],
        )
        for row in scores.to_dataframe().reset_index().to_dict("records")
    ]
    caption = "; ".join(f"{key}: {value}" for key, value in scores.attrs.items())
    return Table(("metric", "value", "interval", "units", "convention"), rows, caption)


def write_report(
    path: str | Path, title: str, sections: Sequence[Section], *, lead: str = ""
) -> Path:
    """Write a self-contained HTML page, whole or not at all.

    Args:
        path: file to write, ending in ``.html``.
        title: heading of the page and name of its tab.
        sections: what follows, in order. All text is shown as it is, never as HTML.
        lead: a paragraph under the title.

    Raises:
        ValueError: for another suffix or a picture in a format browsers do not show.
        FileNotFoundError: for a missing picture, or if the folder does not exist.

    Example:
        >>> write_report(
        ...     "report.html",
        ...     "Forecast of Burgers' equation",
        ...     [Section("Scores", [metrics_table(scores)])],
        ... )
    """
    path = Path(path)
    if path.suffix.lower() not in (".html", ".htm"):
        raise ValueError(f"A report must end in .html; got '{path.name}'. Rename it.")
    name = escape(title)
    body = [f"<h1>{name}</h1>"]
    body += [f'<p class="lead">{escape(lead)}</p>'] if lead else []
    body += [_section(section) for section in sections]
    template = Template(files(__package__).joinpath("report.html").read_text("utf-8"))
    page = template.substitute(title=name, body="\n".join(body))
    with replacing(path) as temporary:
        temporary.write_text(page, encoding="utf-8")
    return path


def _section(section: Section) -> str:
    parts = [f"<h2>{escape(section.heading)}</h2>"]
    for block in section.content:
        if isinstance(block, Table):
            parts.append(_table(block))
        elif isinstance(block, Picture):
            parts.append(_picture(block))
        else:
            parts.append(f"<p>{escape(block)}</p>")
    return "<section>\n" + "\n".join(parts) + "\n</section>"


def _table(table: Table) -> str:
    # A column of numbers is aligned right, its heading with it.
    numeric = [
        bool(table.rows) and all(isinstance(row[column], Real) for row in table.rows)
        for column in range(len(table.header))
    ]
    marks = [' class="number"' if right else "" for right in numeric]
    head = "".join(
        f'<th scope="col"{mark}>{escape(name)}</th>'
        for name, mark in zip(table.header, marks, strict=True)
    )
    rows = "\n".join(
        "<tr>"
        + "".join(
            f"<td{mark}>{escape(cell if isinstance(cell, str) else _number(cell))}</td>"
            for cell, mark in zip(row, marks, strict=True)
        )
        + "</tr>"
        for row in table.rows
    )
    caption = f"<caption>{escape(table.caption)}</caption>" if table.caption else ""
    return (
        f'<div class="wide"><table>{caption}<thead><tr>{head}</tr></thead>\n'
        f"<tbody>\n{rows}\n</tbody></table></div>"
    )


def _picture(picture: Picture) -> str:
    media_type, data = _encoded(picture.source)
    caption = escape(picture.caption)
    below = f"<figcaption>{caption}</figcaption>" if caption else ""
    description = escape(picture.description)
    image = f'<img src="data:{media_type};base64,{data}" alt="{description}"/>'
    return f"<figure>{image}{below}</figure>"


def _encoded(source: Figure | str | Path) -> tuple[str, str]:
    """Media type and base64 text of a picture."""
    if isinstance(source, Figure):
        buffer = io.BytesIO()
        source.savefig(buffer, format="png", dpi=150)
        return "image/png", base64.b64encode(buffer.getvalue()).decode("ascii")
    file = Path(source)
    media_type = MEDIA_TYPES.get(file.suffix.lower())
    if media_type is None:
        raise ValueError(
            f"A picture must be one of {sorted(MEDIA_TYPES)}; got '{file.name}'. "
            "Convert it, or pass the figure itself."
        )
    if not file.is_file():
        raise FileNotFoundError(
            f"A picture must exist before the report is written; there is no {file}. "
            "Save it first."
        )
    return media_type, base64.b64encode(file.read_bytes()).decode("ascii")


def _number(value: Real) -> str:
    """Four significant digits; whole numbers in full."""
    if isinstance(value, Integral):
        return str(int(value))
    return f"{value:.4g}".replace("inf", "∞").replace("nan", "–")
