"""A scalar that is carried by a flow and held to coarse values."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import wdno
from wdno.operator import tasks
from wdno.operator.assimilation import Assimilation
from wdno.operator.held_flow import HeldFlow
from wdno.operator.interpolated_mean import Interpolation
from wdno.operator.outflow import Outflow
from wdno.operator.transport import Transport
from wdno.operator.warp import carried
from wdno.wavelets.field import Field

DIMS = ("time", "y", "x")
GRID = (4, 16, 16)
FLOW = (Field("vx", DIMS), Field("vy", DIMS))
BASE = HeldFlow(("vy", "vx"), ("cy", "cx"), "wall", Interpolation())
TRANSPORT = Transport(BASE, "density", ("vy", "vx"), speed=(1.0, 1.0), steps=1)


def layouts():
    coarse = tasks.coarse(("vx", "vy"), DIMS)
    task = tasks.joined(
        tasks.refinement(("density",), ("cx", "cy"), DIMS),
        tasks.Task(FLOW, (*coarse, *tasks.static(("wall",), DIMS[1:]))),
    )
    return [wdno.WaveletLayout(f, DIMS, GRID, "haar", ("boundary",) * 3) for f in task]


def followed(vy=1.0, vx=1.0, rows=2):
    """A square of smoke carried by a uniform flow, as the fields of a fine record."""
    density = np.zeros((rows, 16, 16))
    density[:, 3:8, 4:9] = np.random.default_rng(0).uniform(1, 2, (rows, 5, 5))
    state, record = jnp.asarray(density), []
    flow = jnp.broadcast_to(jnp.asarray([vy, vx]), (rows, 16, 16, 2))
    for _ in range(GRID[0]):
        state = carried(state[..., None], flow)[..., 0]
        record.append(state)
    full = jnp.ones((rows, *GRID))
    fields = {"density0": jnp.asarray(density), "density": jnp.stack(record, 1)}
    fields |= {"vy": vy * full, "vx": vx * full, "cy": 0 * full, "cx": 0 * full}
    fields["wall"] = jnp.zeros((rows, 16, 16))
    return tasks.with_conditions(fields, layouts()[1].fields)


def estimated(mean, fields):
    targets, given = layouts()
    mean = mean.built(targets, given, nnx.Rngs(0))
    return jax.jit(lambda f: mean(f, given.analysis(f), targets, given))(fields)


def density(mean, fields):
    return layouts()[0].synthesis(estimated(mean, fields).mean)["density"]


@pytest.mark.slow
def test_what_the_known_flow_carries_is_exact_where_interpolation_is_not():
    fields = followed()
    right = fields["density"]
    np.testing.assert_allclose(
        density(Assimilation(TRANSPORT), fields), right, atol=1e-12
    )
    assert abs(density(Interpolation(), fields) - right).max() > 0.5


@pytest.mark.slow
def test_coarse_values_are_met_and_errors_of_the_flow_do_not_grow():
    """With half the speed fronts are late; coarse values bring them back."""
    fields = followed()
    late = replace(TRANSPORT, speed=(0.5, 0.5))
    found = density(Assimilation(late), fields)
    coarse = (
        slice(None),
        slice(1, None, 2),
        slice(None, None, 2),
        slice(None, None, 2),
    )
    np.testing.assert_allclose(found[coarse], fields["density"][coarse], atol=1e-12)
    lost = density(late, fields)
    wrong, alone = (
        jnp.square(u - fields["density"]).mean((0, 2, 3)) for u in (found, lost)
    )
    assert (wrong < alone).all()
    assert wrong[3] < 1.1 * wrong[1] and alone[3] > 1.8 * alone[1]


def test_half_of_an_innovation_is_owed_to_the_frame_before_upstream():
    """Smoke of which the model knows nothing, met where the flow has carried it."""
    fields = followed()
    plane = jnp.zeros((2, 16, 16)).at[:, 5, 7].set(0.25).at[:, 5, 8].set(0.5)
    mean = Assimilation(TRANSPORT)
    flow = tuple(fields[name][:, :2] for name in ("vy", "vx"))
    measured = jnp.zeros((2, 1, 8, 8)).at[:, 0, 3, 4].set(1.0)
    found = mean.followed(jnp.zeros((2, 16, 16)), measured, flow)
    np.testing.assert_allclose(found.innovation, measured)
    np.testing.assert_allclose(found.scalar[:, 1, 6, 7:10], [[0.5, 1.0, 0.5]] * 2)
    np.testing.assert_allclose(found.scalar[:, 0, 5, 6:9], [[0.25, 0.5, 0.25]] * 2)
    np.testing.assert_allclose(found.scalar[:, 0, 5, 7:9], plane[:, 5, [8, 7]])


def test_features_and_scale_are_in_units_of_the_error():
    """Twice the smoke is twice the scale, and looks the same to a network."""
    fields = followed(vx=0.5)
    twice = {n: u if n[0] in "vcw" else 2 * u for n, u in fields.items()}
    mean = Assimilation(replace(TRANSPORT, speed=(0.5, 0.5)), error=0.1)
    one, two = (estimated(mean, known) for known in (fields, twice))
    np.testing.assert_allclose(two.features, one.features, atol=1e-5)
    targets, given = layouts()
    own = np.asarray([name.startswith("density:") for name in targets.channels])
    np.testing.assert_allclose(two.scale[..., own], 2 * one.scale[..., own], rtol=1e-5)
    assert (one.scale[..., ~own] == 1).all()
    built = mean.built(targets, given, nnx.Rngs(0))
    assert one.features.shape[-1] == built.channels(targets, given)


@pytest.mark.slow
def test_gradients_reach_coarse_values_and_the_initial_state():
    fields = followed(vx=0.5)
    mean = Assimilation(TRANSPORT)
    slope = jax.grad(lambda f: jnp.square(density(mean, fields | f)).sum())(
        {name: fields[name] for name in ("density0", "density_coarse", "vx_coarse")}
    )
    assert all(jnp.isfinite(u).all() and u.any() for u in slope.values())


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match="positive"):
        Assimilation(TRANSPORT, error=0.0)
    exits = Outflow("share", (((0.0, 8.0), (6.0, 8.0)),))
    with pytest.raises(ValueError, match="Leave them out"):
        Assimilation(replace(TRANSPORT, outflow=exits))
    dims = tasks.simulation(("density",), ("cx", "cy"), DIMS)
    targets, given = (
        wdno.WaveletLayout(f, DIMS, GRID, "haar", ("boundary",) * 3)
        for f in tasks.joined(dims, tasks.Task(FLOW, ()))
    )
    with pytest.raises(ValueError, match="Use the refinement task"):
        Assimilation(TRANSPORT).built(targets, given, nnx.Rngs(0))
