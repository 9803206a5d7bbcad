"""Tables of the docs: lines of Markdown, and the places in pages where they stand."""

from pathlib import Path

import pytest

EXPERIMENTS = Path(__file__).resolve().parents[2] / "experiments"


@pytest.fixture
def markdown(monkeypatch):
    """The module, which is no part of the package."""
    monkeypatch.syspath_prepend(EXPERIMENTS)
    from tables import markdown

    return markdown


def test_intervals_follow_their_value(markdown):
    entry = [0.012345, 0.01, 0.0199]
    assert markdown.interval(entry, 3) == "0.0123 (0.01–0.02)"
    assert markdown.fixed(entry, 3, " to ") == "0.012 (0.010 to 0.020)"


@pytest.mark.parametrize("values", [[0.5, 2, 1], [2, 0.5]])
def test_extents_begin_with_the_least(markdown, values):
    assert markdown.extent(values) == "0.50 to 2.00"


def test_the_rule_of_a_table_has_the_columns_of_its_head(markdown):
    lines = markdown.table("| a | b |", [markdown.row("1", "2")])
    assert lines == ["| a | b |", "|---|---|", "| 1 | 2 |"]


def test_what_stands_between_other_markers_stays(markdown):
    page = "<!-- a:start -->\nold\n<!-- a:end -->\n<!-- b:start -->\n<!-- b:end -->\n"
    found = markdown.filled(page, "a", [r"\1", "new"])
    assert found == page.replace("old", "\\1\nnew")


def test_a_page_without_markers_is_refused(markdown):
    with pytest.raises(ValueError, match="Add both"):
        markdown.filled("<!-- a:start -->", "a", [])
