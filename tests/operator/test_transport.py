"""A mean of what estimated velocities carry, and of what comes into an exit."""

import json
from dataclasses import dataclass, replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import wdno
from wdno.diffusion.denoiser import Denoiser, freeze
from wdno.diffusion.preconditioning import EDMPreconditioning
from wdno.diffusion.samplers import ddim
from wdno.diffusion.schedules import KarrasSchedule
from wdno.networks import LocalConfig
from wdno.operator import tasks
from wdno.operator.generation import prepare
from wdno.operator.linear_mean import LinearMean
from wdno.operator.outflow import Outflow
from wdno.operator.residual import Estimate, residuals
from wdno.operator.tiles import Tiles
from wdno.operator.transport import Transport
from wdno.wavelets.field import Field, Role

DIMS = ("time", "y", "x")
GRID = (4, 8, 8)
BESIDE = (Field("vx", DIMS), Field("vy", DIMS), Field("share", DIMS[:1]))
EXITS = Outflow("share", (((0.0, 8.0), (6.0, 8.0)), ((0.0, 8.0), (0.0, 1.0))))


@jax.tree_util.register_static
@dataclass(frozen=True)
class Blown:
    """The velocities that are given themselves."""

    def __call__(self, known, condition, targets, given):
        fields = {
            q.name: jnp.zeros((len(condition), *shape_of(q))) for q in targets.fields
        }
        fields |= {"vx": known["cx"], "vy": known["cy"]}
        one = jnp.ones((1,) * condition.ndim)
        return Estimate(targets.analysis(fields), one, condition[..., :0])

    def channels(self, targets, given):
        return 0

    def built(self, targets, given, rngs):
        return self

    def described(self):
        return self


def shape_of(quantity):
    return tuple(n for n, dim in zip(GRID, DIMS, strict=True) if dim in quantity.dims)


def layouts():
    task = tasks.joined(
        tasks.simulation(("density",), ("cx", "cy"), DIMS), tasks.Task(BESIDE, ())
    )
    mode = ("periodization",) * 3
    return [wdno.WaveletLayout(f, DIMS, GRID, "haar", mode) for f in task]


def known(vy=0.0, vx=0.0, rows=2):
    draw = np.random.default_rng(0)
    density = np.zeros((rows, 8, 8))
    density[:, 2:5, 2:5] = draw.uniform(1, 2, (rows, 3, 3))
    full = np.ones((rows, *GRID))
    values = {"density0": density, "cx": vx * full, "cy": vy * full}
    return {name: jnp.asarray(v) for name, v in values.items()}


def transport(base=Blown(), **how):
    how = {"speed": (1.0, 1.0), "steps": 2, "outflow": EXITS} | how
    return Transport(base, "density", ("vy", "vx"), **how)


def estimated(mean, fields):
    targets, given = layouts()
    estimate = mean(fields, given.analysis(fields), targets, given)
    return targets.synthesis(estimate.mean)


@pytest.mark.parametrize("refinement", [1, 2])
def test_uniform_flow_by_whole_points_is_an_exact_shift(refinement):
    """With one step a frame nothing is interpolated between points."""
    fields = known(vy=1.0, vx=-1.0)
    mean = transport(steps=1, refinement=refinement, outflow=None)
    found = estimated(mean, fields)["density"]
    if refinement == 2:  # each value stands for itself and what lies before the next
        assert found.shape == (2, *GRID)
    for frame in range(2):
        expected = np.roll(fields["density0"], (frame + 1, -frame - 1), (1, 2))
        np.testing.assert_allclose(found[:, frame], expected, atol=1e-12)


def test_speed_is_in_spacings_a_frame():
    slow, fast = (
        estimated(transport(speed=(s, s), steps=1), known(vx=1.0 / s))["density"]
        for s in (1.0, 4.0)
    )
    np.testing.assert_allclose(slow, fast, atol=1e-12)


def test_what_comes_into_an_exit_is_counted_once():
    """All of three columns passes a bound of the first exit, one column a frame."""
    fields = known(vx=1.0)
    found = estimated(transport(steps=1), fields)
    columns = fields["density0"].sum(axis=1)
    total = columns.sum(axis=1)
    share = jnp.stack(
        [jnp.zeros(2), columns[:, 4], columns[:, 3] + columns[:, 4], total], axis=1
    )
    np.testing.assert_allclose(found["share"], share / total[:, None], atol=1e-12)
    np.testing.assert_allclose(found["density"].sum((2, 3))[:, 2], total, rtol=1e-12)


def test_the_share_is_of_what_came_into_all_exits_and_remains():
    fields = known(vx=-1.0)
    other = replace(EXITS, goal=1)
    first, second = (
        estimated(transport(steps=1, outflow=o), fields)["share"]
        for o in (EXITS, other)
    )
    assert not first.any()
    np.testing.assert_allclose(second[:, -1], 1, rtol=1e-12)


def test_without_smoke_there_is_no_share():
    fields = known(vx=1.0)
    fields["density0"] = jnp.zeros_like(fields["density0"])
    assert not estimated(transport(), fields)["share"].any()


@pytest.mark.slow
def test_gradients_reach_initial_values_and_what_velocities_come_from():
    fields = known(vx=0.4, vy=0.3)

    def share(fields):
        return estimated(transport(refinement=2), fields)["share"][:, -1].sum()

    slope = jax.grad(share)(fields)
    assert all(jnp.isfinite(g).all() for g in slope.values())
    assert slope["cx"].any() and slope["density0"].any()


def test_rows_are_alone_and_compiled_alike():
    mean, fields = transport(refinement=2), known(vx=0.4, vy=0.3, rows=3)
    whole = mean.over(fields["density0"], (fields["cy"], fields["cx"]))

    @jax.jit
    @jax.vmap
    def alone(fields):
        one = {name: f[None] for name, f in fields.items()}
        found = mean.over(one["density0"], (one["cy"], one["cx"]))
        return {name: f[0] for name, f in found.items()}

    for name, values in alone(fields).items():
        np.testing.assert_allclose(values, whole[name], atol=1e-12)


def test_units_are_those_of_the_base_times_its_scales():
    targets, given = layouts()
    scale = tuple(np.linspace(0.1, 1, len(targets.channels)).tolist())
    fields = known(vx=0.4)
    estimate = transport(scale=scale)(fields, given.analysis(fields), targets, given)
    np.testing.assert_allclose(estimate.scale.reshape(-1), scale)
    assert np.isfinite(residuals(estimate.mean, estimate)).all()


def model_of(mean):
    targets, given = layouts()
    rngs = nnx.Rngs(0)
    mean = mean.built(targets, given, rngs)
    config = LocalConfig((1, 1, 1), 4, 1)
    shape = wdno.networks.Shape(3, len(targets.channels), len(given.channels))
    network = freeze(wdno.networks.build(config, shape, rngs=rngs))
    return wdno.WDNO(
        targets,
        given,
        Denoiser(network, EDMPreconditioning()),
        wdno.Domain((0.0, 0.0, 0.0), (1.0, 1.0, 1.0)),
        KarrasSchedule(0.01, 10.0),
        mean,
    )


@pytest.mark.slow
def test_a_chain_of_means_is_saved_with_its_maps(tmp_path):
    linear = LinearMean(("vx", "vy"), ("cx", "cy"), 2, Tiles((4, 4), (0, 3)))
    model = model_of(transport(linear, scale=(0.5,) * 26, refinement=2))
    drawn = iter(jax.random.split(jax.random.key(0), 100))
    model = replace(
        model,
        residual=jax.tree.map(
            lambda leaf: 0.1 * jax.random.normal(next(drawn), leaf.shape),
            model.residual,
        ),
    )
    wdno.save(model, tmp_path)
    loaded = wdno.load(tmp_path)
    card = json.loads((tmp_path / "card.json").read_text())
    assert card["residual"]["base"]["maps"] is None
    assert loaded.residual.described() == model.residual.described() or (
        wdno.read_card(tmp_path)["residual"]["scale"] == [0.5] * 26
    )
    fields = {name: jnp.float32(f) for name, f in known(vx=0.3).items()}
    means = [prepare(m, fields).estimate.mean for m in (model, loaded)]
    np.testing.assert_array_equal(*means)
    assert means[0].any()
    found = wdno.generate(loaded, fields, ddim(), loaded.levels(2), jax.random.key(0))
    assert all(np.isfinite(f).all() for f in found.values())


@pytest.mark.parametrize(
    "change",
    [
        {"scalar": "vx"},
        {"scalar": "smoke"},
        {"velocity": ("vy", "cx")},
        {"velocity": ("vy",), "speed": (1.0,)},
        {"outflow": replace(EXITS, share="density")},
    ],
)
def test_fields_that_the_model_has_not_are_refused(change):
    targets, given = layouts()
    with pytest.raises(ValueError, match="Name others, or add them to the recipe"):
        replace(transport(), **change).built(targets, given, nnx.Rngs(0))


def test_what_moves_nothing_is_refused():
    targets, given = layouts()
    with pytest.raises(ValueError, match="one finite speed for each velocity"):
        transport(speed=(1.0,))
    with pytest.raises(ValueError, match="Counts are whole numbers"):
        transport(steps=0)
    with pytest.raises(ValueError, match="one scale per channel"):
        transport(scale=(1.0,)).built(targets, given, nnx.Rngs(0))
    with pytest.raises(ValueError, match="Exits have bounds along each axis"):
        one_axis = Outflow("share", (((0.0, 1.0),),))
        transport(outflow=one_axis).built(targets, given, nnx.Rngs(0))


def test_exits_that_nothing_comes_into_are_refused():
    with pytest.raises(ValueError, match="from a lower to a higher bound"):
        Outflow("share", (((1.0, 1.0), (0.0, 1.0)),))
    with pytest.raises(ValueError, match="Exits are numbered from 0 to 1"):
        replace(EXITS, goal=2)


def test_roles_say_what_is_carried():
    _, given = layouts()
    assert given.fields[0].role is Role.INITIAL
