"""Scores before a calibration are of a model without what is fitted."""

from dataclasses import replace
from pathlib import Path

import jax.numpy as jnp
import pytest
from oracles import Estimated
from tiny import make_tiny

from wdno.operator import Calibrated, LocalScale

EXPERIMENTS = Path(__file__).resolve().parents[2] / "experiments"
KEPT = LocalScale(Estimated(), jnp.full((5, 4), 0.5))
ANEW = replace(KEPT, deviations=jnp.full((5, 4), 0.7))


def numbers(residual, factor):
    return Calibrated(residual, (1.0,) * 4, (factor,) * 4)


@pytest.mark.parametrize("shipped", [KEPT, numbers(KEPT, 1.1)])
@pytest.mark.parametrize(
    ("fitted", "before"),
    [
        (numbers(KEPT, 1.2), KEPT),
        (ANEW, KEPT.base),
        (numbers(ANEW, 1.2), KEPT.base),
    ],
)
def test_before_is_what_the_fit_builds_on(shipped, fitted, before, monkeypatch):
    monkeypatch.syspath_prepend(EXPERIMENTS)
    from calibration import unfitted

    model = make_tiny()
    first, second = (replace(model, residual=found) for found in (shipped, fitted))
    assert unfitted(first, second).residual is before
