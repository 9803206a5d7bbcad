"""A mean that a solver gives."""

import json
import math
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import wdno
from wdno._json import from_json, to_json
from wdno.diffusion.denoiser import Denoiser, freeze
from wdno.diffusion.preconditioning import EDMPreconditioning
from wdno.diffusion.schedules import KarrasSchedule
from wdno.networks import LocalConfig
from wdno.operator import tasks
from wdno.operator.residual import Residual
from wdno.operator.solved_mean import SolvedMean
from wdno.systems import Advection, Burgers, CompressibleNavierStokes, Smoke
from wdno.wavelets.field import Field

GAS = CompressibleNavierStokes(points=16, frames=8, duration=0.2)
DIMS, GRID = ("time", "x"), (4, 16)
BOUNDS = (("density0", 0.1), ("pressure0", 0.1))


def model_of(mean):
    """States of a gas, with a dye beside them that no solver knows."""
    dye = tasks.Task((Field("dye", DIMS),), ())
    task = tasks.joined(tasks.simulation(GAS.state, (), DIMS), dye)
    mode = ("periodization",) * 2
    targets, given = (wdno.WaveletLayout(f, DIMS, GRID, "haar", mode) for f in task)
    rngs = nnx.Rngs(0)
    mean = mean.built(targets, given, rngs)
    channels = len(given.channels) + mean.channels(targets, given)
    shape = wdno.networks.Shape(2, len(targets.channels), channels)
    network = freeze(wdno.networks.build(LocalConfig((1, 1), 4, 1), shape, rngs=rngs))
    return wdno.WDNO(
        targets,
        given,
        Denoiser(network, EDMPreconditioning()),
        wdno.Domain((0.0, -1.0), (0.025, 0.125)),
        KarrasSchedule(0.01, 10.0),
        mean,
    )


def estimated(model, known):
    condition = model.given.analysis(known)
    return model.residual(known, condition, model.targets, model.given)


def pressure(model, known):
    return model.targets.synthesis(estimated(model, known).mean)["pressure"]


def test_chained_windows_of_the_mean_are_a_run_of_the_solver():
    """A window begins where the one before has ended, on the grid of the model."""
    start, key = GAS.sample_inputs(jax.random.key(0), 3), jax.random.key(0)
    model = model_of(SolvedMean(GAS))
    found = wdno.rollout(model, start, windows=2, steps=0, key=key)
    for name, values in GAS.solve(start).items():
        np.testing.assert_allclose(found[name], values, atol=2e-5)
    assert not found["dye"].any()


def test_a_state_that_makes_no_sense_is_lifted_to_its_bounds():
    """Without them a negative pressure has a sound speed that is none."""
    start = GAS.sample_inputs(jax.random.key(0), 3)
    below = start | {"pressure0": start["pressure0"].at[0, 3].set(-0.2)}
    lifted = start | {"pressure0": start["pressure0"].at[0, 3].set(0.1)}
    unbounded, bounded = (model_of(SolvedMean(GAS, least=b)) for b in ((), BOUNDS))
    found = pressure(bounded, below)
    np.testing.assert_allclose(found, pressure(unbounded, lifted), rtol=1e-5)
    lost = pressure(unbounded, below)
    assert not jnp.isfinite(lost[0]).all()
    np.testing.assert_allclose(lost[1:], found[1:], rtol=1e-5)


def test_the_solution_is_what_the_network_sees():
    model = model_of(SolvedMean(GAS, scale=(0.5,) * 16))
    estimate = estimated(model, GAS.sample_inputs(jax.random.key(0), 3))
    np.testing.assert_array_equal(estimate.features, estimate.mean)
    np.testing.assert_array_equal(estimate.scale.reshape(-1), 0.5)


def test_a_card_names_the_system(tmp_path):
    model = model_of(SolvedMean(GAS, least=BOUNDS))
    wdno.save(model, tmp_path / "model")
    loaded = wdno.load(tmp_path / "model")
    assert loaded.residual.system == GAS
    assert loaded.residual.least == BOUNDS
    known = GAS.sample_inputs(jax.random.key(0), 3)
    np.testing.assert_array_equal(pressure(loaded, known), pressure(model, known))


@pytest.mark.parametrize(
    "system", [Advection(), Burgers(), GAS, Smoke()], ids=lambda s: type(s).__name__
)
def test_every_system_may_stand_on_a_card(system):
    entry = json.loads(json.dumps(to_json(SolvedMean(system))))
    assert from_json(entry, Residual).system == system


@pytest.mark.parametrize(
    ("mean", "message"),
    [
        (lambda: SolvedMean(replace(GAS, points=32)), "on the grid of the model"),
        (lambda: SolvedMean(GAS, least=(("dye0", 0.0),)), "are not among them"),
        (lambda: SolvedMean(GAS, least=(("density0", math.nan),)), "finite numbers"),
        (lambda: SolvedMean(GAS, scale=(1.0, 0.0)), "positive"),
    ],
)
def test_what_cannot_be_a_mean_is_refused(mean, message):
    with pytest.raises(ValueError, match=message):
        model_of(mean())
