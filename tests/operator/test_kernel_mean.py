"""A function of both ends, known at examples, and its fit."""

import dataclasses
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from oracles import add_up, make_layouts
from tiny import make_tiny

import wdno
from wdno._json import from_json, to_json
from wdno.diffusion.denoiser import freeze
from wdno.networks import LocalConfig, Shape, build
from wdno.operator import KernelMean, tasks
from wdno.operator.kernel_mean import LINEAR, similarity, slowest
from wdno.operator.model import with_backbone
from wdno.operator.residual import Residual
from wdno.training.kernel_ridge import fit_kernel_maps
from wdno.training.records import Records

POINTS, FRAMES = 8, 4


def records_of(count, seed=0, frames=FRAMES):
    """Smooth states, and the constant force that leads from one end to the other."""
    draw = np.random.default_rng(seed)
    x = np.arange(POINTS) / POINTS
    modes = np.stack([np.ones(POINTS), np.cos(np.pi * x), np.cos(2 * np.pi * x)])
    ends = draw.normal(size=(2, count, 3)) @ modes
    force = np.repeat((ends[1] - ends[0])[:, None] / frames, frames, axis=1)
    u = np.asarray(add_up(jnp.asarray(ends[0]), jnp.asarray(force)))
    arrays = {"u0": ends[0], "u": u, "f": force}
    return Records(count, lambda rows: {n: a[rows] for n, a in arrays.items()})


def described(centres=60, windows=(4, 2), **changes):
    return KernelMean(
        ("u", "f"),
        ("u", "u0"),
        ("u", "uT"),
        windows=windows,
        centres=centres,
        **{"waves": 6, "rank": 12, "width": 3.0} | changes,
    )


def known_of(few, window=FRAMES):
    before = FRAMES - window
    begins = few["u"][:, before - 1] if before else few["u0"]
    return {"u0": jnp.asarray(begins), "uT": jnp.asarray(few["u"][:, -1])}


def test_cosines_add_up_to_mean_squares():
    u = jnp.asarray(np.random.default_rng(0).normal(size=(3, POINTS, 6)))
    waves = slowest(u[..., 0], POINTS)
    np.testing.assert_allclose((waves**2).sum(1), (u[..., 0] ** 2).mean(1))
    assert slowest(u, 4).shape == (3, 16)
    constant = slowest(jnp.full((1, POINTS), 2.0), 3)
    np.testing.assert_allclose(constant, [[2.0, 0.0, 0.0]], atol=1e-12)


def test_the_kernel_is_gaussian_and_a_little_linear():
    draw = np.random.default_rng(0)
    x, centres = (jnp.asarray(draw.normal(size=(n, 5))) for n in (3, 4))
    apart = np.square(x[:, None] - centres[None]).sum(-1)
    expected = np.exp(-apart / (2 * 1.7**2)) + LINEAR * np.asarray(x) @ centres.T
    np.testing.assert_allclose(similarity(x, centres, 1.7), expected, atol=1e-12)


@pytest.mark.parametrize("window", [4, 2])
def test_a_smooth_map_is_found_for_every_window(window):
    """Here it is linear: the force is the difference of the ends over the frames."""
    fitted = fit_kernel_maps(described(), records_of(60))
    few = records_of(40, seed=1).read(np.arange(40))
    known = known_of(few, window)
    found = fitted.mapped(known["u0"], known["uT"], window)
    for name in ("u", "f"):
        truth = few[name][:, -window:]
        error = np.square(found[name] - truth).mean() / np.square(truth).mean()
        assert error < 0.02


def test_examples_are_met_up_to_the_penalty_in_half_precision_too():
    records = records_of(60)
    fitted = fit_kernel_maps(described(), records)
    few = records.read(np.arange(60))
    known = known_of(few)
    found = fitted.mapped(known["u0"], known["uT"], FRAMES)["f"]
    assert np.square(found - few["f"]).mean() < 1e-3 * np.square(few["f"]).mean()
    half = jax.tree.map(lambda p: p.astype(jnp.float16), fitted)
    rounded = half.mapped(known["u0"], known["uT"], FRAMES)["f"]
    assert abs(rounded - found).max() < 5e-3 * abs(found).max()


def test_it_is_the_mean_of_a_model_and_moves_with_its_windows():
    targets, given = make_layouts(task=tasks.reaching)
    mean = fit_kernel_maps(described(), records_of(60))
    few = records_of(5, seed=1).read(np.arange(5))
    for window in (4, 2):
        known, grid = known_of(few, window), (window, POINTS)
        estimate = mean(
            known, given.on(grid).analysis(known), targets.on(grid), given.on(grid)
        )
        fields = targets.on(grid).synthesis(estimate.mean)
        expected = mean.mapped(known["u0"], known["uT"], window)
        np.testing.assert_allclose(fields["f"], expected["f"], atol=1e-9)
    assert isinstance(mean, Residual) and mean.channels(targets, given) == 0


def test_it_goes_through_cards():
    targets, given = make_layouts(task=tasks.reaching)
    mean = described()
    read = from_json(to_json(mean.described()), Residual)
    assert to_json(read) == to_json(mean)
    shapes = jax.eval_shape(lambda: read.built(targets, given, nnx.Rngs(0)))
    fitted = fit_kernel_maps(mean, records_of(60))
    assert jax.tree.map(jnp.shape, fitted.maps) == jax.tree.map(jnp.shape, shapes.maps)


def test_every_map_has_a_name_of_its_own(tmp_path):
    """Names of weights in a file are paths without numbers of places."""
    model = make_tiny(task=tasks.reaching)
    shape = Shape(2, len(model.targets.channels), len(model.given.channels))
    network = build(LocalConfig((1, 1), width=2, depth=1), shape, rngs=nnx.Rngs(0))
    model = dataclasses.replace(
        with_backbone(model, freeze(network)),
        residual=fit_kernel_maps(described(), records_of(60)),
    )
    wdno.save(model, tmp_path / "model")
    read = wdno.load(tmp_path / "model")
    for ours, theirs in zip(
        *(jax.tree.leaves(m.residual) for m in (model, read)), strict=True
    ):
        np.testing.assert_allclose(ours, theirs, rtol=1e-6)


def test_what_is_refused():
    targets, given = make_layouts(task=tasks.reaching)
    fitted = fit_kernel_maps(described(), records_of(60))
    state = jnp.zeros((1, POINTS))
    refusals = [
        (partial(described, windows=()), "one target or more"),
        (partial(described, waves=0), "one target or more"),
        (partial(described, width=0.0), "positive and finite"),
        (partial(fitted.mapped, state, state, 3), "windows of the lengths"),
        (partial(fitted.mapped, *(jnp.zeros((1, 16)),) * 2, 4), "the grid that it was"),
        (
            partial(described(waves=9).built, targets, given, nnx.Rngs(0)),
            "as many cosines",
        ),
        (
            partial(
                dataclasses.replace(described(), final=("u", "u1")).built,
                targets,
                given,
                nnx.Rngs(0),
            ),
            "'u1'",
        ),
        (partial(fit_kernel_maps, described(), records_of(59)), "as many records"),
        (
            partial(fit_kernel_maps, described(windows=(6,)), records_of(60)),
            "as many records",
        ),
    ]
    for wrong, message in refusals:
        with pytest.raises(ValueError, match=message):
            wrong()
