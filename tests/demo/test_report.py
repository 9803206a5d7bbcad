"""The page is well formed, self-contained, readable and safe."""

import base64
import io
import re
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
import xarray as xr
from matplotlib.figure import Figure
from PIL import Image

from wdno import metrics
from wdno.demo.report import Picture, Section, Table, metrics_table, write_report


def page(path) -> ElementTree.Element:
    """The page as a tree; a strict parser proves that all is closed and escaped."""
    text = path.read_text(encoding="utf-8")
    assert text.startswith("<!DOCTYPE html>")
    return ElementTree.fromstring(text.removeprefix("<!DOCTYPE html>"))


def texts(tree: ElementTree.Element, tag: str) -> list[str]:
    return ["".join(element.itertext()) for element in tree.iter(tag)]


@pytest.fixture
def film(tmp_path):
    frames = [Image.new("P", (8, 8), colour) for colour in (0, 1, 2)]
    frames[0].save(tmp_path / "film.gif", save_all=True, append_images=frames[1:])
    return tmp_path / "film.gif"


def test_pictures_are_inside_and_described(tmp_path, film):
    figure = Figure((2, 1))
    figure.subplots().plot([0, 1])
    pictures = [
        Picture(figure, 'A "line" & more', caption="Line"),
        Picture(film, "A film"),
    ]
    path = write_report(tmp_path / "page.html", "T", [Section("Pictures", pictures)])
    images = list(page(path).iter("img"))
    assert [image.get("alt") for image in images] == ['A "line" & more', "A film"]
    kinds = []
    for image in images:
        kind, data = re.fullmatch("data:(.*);base64,(.*)", image.get("src")).groups()
        kinds.append(kind)
        content = base64.b64decode(data)
        Image.open(io.BytesIO(content)).verify()
    assert kinds == ["image/png", "image/gif"]
    assert content == film.read_bytes()
    assert texts(page(path), "figcaption") == ["Line"]


def test_nothing_is_fetched_and_nothing_runs(tmp_path, film):
    content = ["text", Table(("a",), [(1,)]), Picture(film, "A film")]
    path = write_report(tmp_path / "page.html", "T", [Section("S", content)])
    text = path.read_text()
    assert not re.search(r"https?:|<script|<link|@import|url\(|\bon\w+=", text)
    assert "prefers-color-scheme: dark" in text


def test_text_is_never_html(tmp_path):
    evil = '<script>alert("x")</script> & <b>'
    table = Table((evil,), [(evil,)], caption=evil)
    path = write_report(
        tmp_path / "page.html", evil, [Section(evil, [evil, table])], lead=evil
    )
    tree = page(path)
    assert not list(tree.iter("script")) and not list(tree.iter("b"))
    for tag in ("title", "h1", "h2", "th", "td", "caption"):
        assert texts(tree, tag) == [evil]
    assert texts(tree, "p") == [evil, evil]


def test_tables_show_numbers_to_four_digits_on_the_right(tmp_path):
    rows = [
        ("a", 12345678, 0.000123456),
        ("b", np.int32(2), np.float32(2.5)),
        ("c", 0, float("inf")),
    ]
    table = Table(("name", "count", "error"), rows)
    tree = page(write_report(tmp_path / "p.html", "T", [Section("S", [table])]))
    cells = np.reshape(texts(tree, "td"), (3, 3))
    assert cells[:, 1].tolist() == ["12345678", "2", "0"]
    assert cells[:, 2].tolist() == ["0.0001235", "2.5", "∞"]
    assert [cell.get("class") for cell in tree.iter("th")] == [None, "number", "number"]


def test_metrics_table_holds_the_summary():
    rng = np.random.default_rng(0)
    dims = ("sample", "member", "time", "x")
    values, attrs = rng.normal(size=(4, 3, 5, 6)), {"units": "m s-1"}
    forecast = xr.DataArray(values, dims=dims, attrs=attrs)
    truth = (forecast.isel(member=0) + 1).assign_attrs(attrs)
    scores = metrics.summary(forecast, truth, resamples=50)
    table = metrics_table(scores)
    assert [row[0] for row in table.rows] == list(scores["metric"].values)
    crps = next(row for row in table.rows if row[0] == "fair_crps")
    assert crps[1] == scores["value"].sel(metric="fair_crps").item()
    low, high = (
        scores[name].sel(metric="fair_crps").item() for name in ("low", "high")
    )
    assert crps[2].split() == [f"{low:.4g}", "…", f"{high:.4g}"]
    units = {row[0]: row[3].replace("\N{NO-BREAK SPACE}", " ") for row in table.rows}
    assert units["mse"] == "(m s⁻¹)²" and units["mae"] == "m s⁻¹"
    assert "samples: 4" in table.caption and "bootstrap" in table.caption


def test_a_failed_report_leaves_the_old_one(tmp_path):
    path = tmp_path / "page.html"
    write_report(path, "Old", [])
    missing = Section("S", [Picture(tmp_path / "missing.png", "Nothing")])
    with pytest.raises(FileNotFoundError, match="missing.png.*Save it first"):
        write_report(path, "New", [missing])
    assert texts(page(path), "h1") == ["Old"]
    assert [file.name for file in tmp_path.iterdir()] == ["page.html"]


def test_refusals(tmp_path):
    with pytest.raises(ValueError, match="one cell for each of the 2.*row 1 has 1"):
        Table(("a", "b"), [(1, 2), (1,)])
    with pytest.raises(ValueError, match="description"):
        Picture(tmp_path / "a.png", "  ")
    with pytest.raises(ValueError, match=".html; got 'page.pdf'"):
        write_report(tmp_path / "page.pdf", "T", [])
    with pytest.raises(ValueError, match="'film.mp4'"):
        film = Picture(tmp_path / "film.mp4", "A film")
        write_report(tmp_path / "page.html", "T", [Section("S", [film])])
    with pytest.raises(FileNotFoundError, match="Create the folder"):
        write_report(tmp_path / "missing" / "page.html", "T", [])
