"""Files of results: rows that are measured leave others as they are."""

import json
import sys
from pathlib import Path

import pytest

EXPERIMENTS = Path(__file__).resolve().parents[2] / "experiments"


@pytest.fixture
def results(tmp_path, monkeypatch):
    """The module, which is no part of the package, with a project of its own."""
    monkeypatch.syspath_prepend(EXPERIMENTS)
    import _results

    monkeypatch.setattr(_results, "RESULTS", tmp_path / "experiments" / "results")
    return _results


def command(monkeypatch, results, *arguments):
    """As if a script of the project had been called so."""
    script = results.RESULTS.parent / "scores.py"
    monkeypatch.setattr(sys, "argv", [str(script), *arguments])


def test_rows_keep_the_command_that_measured_them(results, monkeypatch):
    command(monkeypatch, results, "--models", "a")
    results.amend("scores", "models", "a", {"error": 1.0})
    command(monkeypatch, results, "--models", "b")
    path = results.amend("scores", "models", "b", {"error": 2.0})
    rows = json.loads(path.read_text())["models"]
    assert {name: row["error"] for name, row in rows.items()} == {"a": 1.0, "b": 2.0}
    assert rows["a"]["command"] == "python experiments/scores.py --models a"
    assert rows["b"]["command"] == "python experiments/scores.py --models b"


def test_a_row_that_is_measured_again_is_replaced(results, monkeypatch):
    command(monkeypatch, results)
    results.amend("scores", "models", "a", {"error": 1.0, "windows": 3})
    path = results.amend("scores", "models", "a", {"error": 2.0})
    row = json.loads(path.read_text())["models"]["a"]
    assert row["error"] == 2.0 and "windows" not in row
