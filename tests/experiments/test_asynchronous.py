"""The staircase of noise levels: where one tick leaves it the next one finds it."""

import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from wdno.diffusion.noise import karras

EXPERIMENTS = Path(__file__).resolve().parents[2] / "experiments"
MODEL = SimpleNamespace(
    levels=lambda steps: karras(steps, 0.02, 20.0), targets=SimpleNamespace(levels=2)
)
RISING = np.asarray(MODEL.levels(4))[::-1]


@pytest.fixture(scope="module")
def stairs():
    """A function that is no part of the package."""
    sys.path.insert(0, str(EXPERIMENTS))
    try:
        from _asynchronous import stairs

        yield stairs
    finally:
        sys.path.remove(str(EXPERIMENTS))


def test_all_rows_begin_in_noise_and_fall_to_the_stairs_one_level_a_call(stairs):
    path = [np.asarray(stairs(MODEL, 8, 32, done)) for done in range(4)]
    np.testing.assert_array_equal(path[0], RISING[[4] * 8])
    np.testing.assert_array_equal(path[1], RISING[[3, 3, 3, 3, 3, 3, 4, 4]])
    np.testing.assert_array_equal(path[3], RISING[[1, 1, 2, 2, 3, 3, 4, 4]])


def test_one_call_takes_the_stairs_to_those_of_the_next_tick(stairs):
    for frames in (32, 24, 16):
        before = np.asarray(stairs(MODEL, 8, frames, 3))
        after = np.concatenate([np.zeros(2), before[:-2]])  # one stair down
        assert (after[:2] == 0).all()  # what acts is done
        np.testing.assert_array_equal(after[2:], stairs(MODEL, 8, frames - 8, 3))
