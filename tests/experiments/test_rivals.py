"""The deterministic rivals of `experiments`: networks, windows, labels."""

import sys
import time
from dataclasses import replace
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from wdno.systems import Advection
from wdno.training.config import TrainingConfig
from wdno.training.recipes import RECIPES

EXPERIMENTS = Path(__file__).resolve().parents[2] / "experiments"
RECIPE = replace(RECIPES["advection-simulation"], window=4, batch_size=4)
SYSTEM = Advection(points=16, frames=10, duration=0.1, speeds=(1.0, 2.0))


@pytest.fixture(scope="module")
def rivals():
    """The module, which is no part of the package."""
    sys.path.insert(0, str(EXPERIMENTS))
    try:
        import _regression

        yield _regression
    finally:
        sys.path.remove(str(EXPERIMENTS))


@pytest.fixture(scope="module")
def truth():
    return SYSTEM.trajectories(jax.random.key(0), samples=6)


def make(rivals, kind):
    return {"fno": rivals.fourier((4, 6), 8), "unet": rivals.unet((8, 16, 16))}[kind]


def fresh(rivals, kind, truth):
    batches = rivals.WindowBatches(truth, RECIPE)
    return rivals.Regression(make(rivals, kind), RECIPE, batches), batches


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["fno", "unet"])
def test_an_untrained_rival_persists(rivals, kind, truth):
    """Its head is zero: what it adds to the initial state is nothing."""
    model, _ = fresh(rivals, kind, truth)
    found = rivals.forecast(model, truth)
    assert found.u.dims == truth.u.dims and found.sizes == truth.sizes
    expected = truth.u.isel(time=[0] * 11).values
    np.testing.assert_array_equal(found.u.values, expected)


def test_windows_are_chained_by_their_last_states(rivals, truth):
    """A network that adds one unit an instant, in units of the scale."""

    class Steps(nnx.Module):
        def __call__(self, x):
            return jnp.broadcast_to(
                jnp.arange(1.0, 5, dtype=x.dtype)[None, :, None, None],
                (*x.shape[:-1], 1),
            )

    model, batches = fresh(rivals, "fno", truth)
    model.network = Steps()
    found = rivals.forecast(model, truth)
    scale = np.sqrt(np.mean([np.square(batches(n)["u"]).mean() for n in range(16)]))
    rise = (found.u - found.u.isel(time=0)).transpose("time", ...).values
    expected = scale * np.arange(11)[:, None, None] + 0 * rise
    np.testing.assert_allclose(rise, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["fno", "unet"])
def test_everything_given_reaches_a_rival(rivals, kind, truth):
    model, batches = fresh(rivals, kind, truth)
    head = model.network.outer if kind == "fno" else model.network.head
    head.kernel[...] = jnp.ones_like(head.kernel[...])
    known = batches(0)
    base = model(known)["u"]
    for name in ("u0", "advection_speed"):
        other = known | {name: 1.5 * known[name] + 0.1}
        drift = other["u0"] - known["u0"]
        change = model(other)["u"] - base - drift[:, None]
        assert float(jnp.abs(change).max()) > 1e-4


@pytest.mark.slow
def test_training_lowers_the_loss_and_goes_on(rivals, truth, tmp_path):
    def train(steps):
        config = TrainingConfig(steps=steps, learning_rate=3e-3)
        how = make(rivals, "unet"), RECIPE, truth, config, tmp_path, time.process_time
        return rivals.train(*how)

    model, batches = fresh(rivals, "unet", truth)
    key = jax.random.key(0)
    before = float(rivals.loss(model, batches(1), key))
    after = float(rivals.loss(train(30), batches(1), key))
    assert after < 0.8 * before
    again = float(rivals.loss(train(30), batches(1), key))  # resumed at its end
    assert again == after
