"""A calibrated estimate: the identity by ones, its numbers on the card, its mean."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from oracles import Estimated, make_fields, make_layouts
from tiny import make_tiny

import wdno
from wdno import Domain
from wdno.diffusion.denoiser import Denoiser, freeze
from wdno.diffusion.preconditioning import EDMPreconditioning
from wdno.diffusion.schedules import KarrasSchedule
from wdno.networks import LocalConfig, Shape, build
from wdno.operator import Calibrated, LearnedMean, LocalScale
from wdno.operator.calibrated import mean_of, uncalibrated
from wdno.operator.generation import finish, left_open, prepare

ONES = (1.0,) * 4
SLOPE, FACTOR = (0.1, 1.0, 1 / 3, -2.0), (3.0, 1.0, 0.1, 2.0)


def calibrated(model, slope=SLOPE, factor=FACTOR):
    return replace(model, residual=Calibrated(model.residual, slope, factor))


def test_ones_change_nothing():
    tiny, fields = make_tiny(), make_fields()
    r = np.random.default_rng(0).normal(size=tiny.targets.analysis(fields).shape)
    for plain in (tiny, replace(tiny, residual=Estimated(0.3))):
        found, expected = (
            (context.condition, finish(model, context, jnp.asarray(r))["u"])
            for model in (calibrated(plain, ONES, ONES), plain)
            for context in (prepare(model, fields),)
        )
        np.testing.assert_array_equal(found[0], expected[0])
        np.testing.assert_allclose(found[1], expected[1], atol=1e-6)


def test_the_mean_is_multiplied_and_what_is_drawn_besides():
    model = replace(
        make_tiny(), residual=LocalScale(Estimated(), jnp.full((5, 4), 0.5))
    )
    fields, found = make_fields(), calibrated(model)
    plain, changed = (prepare(m, fields) for m in (model, found))
    first, second = plain.estimate, changed.estimate
    np.testing.assert_allclose(
        second.mean, np.array(SLOPE) * np.array(first.mean), rtol=1e-6
    )
    np.testing.assert_allclose(
        second.scale, np.array(FACTOR) * np.array(first.scale), rtol=1e-6
    )
    np.testing.assert_array_equal(changed.condition, plain.condition)
    r = left_open(found, changed, fields)
    z = second.mean + second.scale * r
    np.testing.assert_allclose(z, model.targets.analysis(fields), atol=1e-6)
    assert uncalibrated(found.residual) is model.residual
    assert mean_of(found.residual) is mean_of(model.residual) is model.residual.base


def test_its_numbers_are_on_the_card(tmp_path):
    config, rngs = LocalConfig((1, 3), width=4, depth=1), nnx.Rngs(3)
    targets, given = make_layouts()
    residual = LearnedMean(config).built(targets, given, rngs)
    backbone = build(config, Shape(2, 4, len(given.channels) + 4), rngs=rngs)
    plain = wdno.WDNO(
        targets,
        given,
        Denoiser(freeze(backbone), EDMPreconditioning()),
        Domain((0.0, 0.0), (0.25, 0.125)),
        KarrasSchedule(0.02, 10.0),
        residual,
    )
    wdno.save(calibrated(plain), tmp_path)
    again = wdno.load(tmp_path).residual
    assert (again.slope, again.factor) == (SLOPE, FACTOR)
    weights = [jax.tree.leaves(part) for part in (again.base, residual)]
    for found, expected in zip(*weights, strict=True):
        np.testing.assert_array_equal(found, expected)


def test_without_a_mean_a_call_is_still_needed_and_wrong_counts_are_told():
    with pytest.raises(ValueError, match="generates whole fields"):
        calibrated(make_tiny()).levels(0)
    parts = *make_layouts(), nnx.Rngs(0)
    with pytest.raises(ValueError, match="one scale per channel, 4"):
        Calibrated(None, ONES, (1.0,)).built(*parts)
    for slope, factor in (((1.0,), ONES), (ONES, ()), ((), ())):
        with pytest.raises(ValueError, match="one slope and one factor a channel, 4"):
            Calibrated(None, slope, factor).built(*parts)
