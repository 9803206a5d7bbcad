"""Velocities on a finer grid: what a control imposes, walls, and time."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import wdno
from wdno.operator import tasks
from wdno.operator.held_flow import HeldFlow
from wdno.operator.interpolated_mean import Interpolation
from wdno.wavelets.field import Field

DIMS = ("time", "y", "x")
GRID = (4, 8, 8)
FLOW = (Field("vx", DIMS), Field("vy", DIMS))
MEAN = HeldFlow(("vy", "vx"), ("cy", "cx"), "wall", Interpolation())


def layouts():
    coarse = tasks.coarse(("vx", "vy"), DIMS)
    task = tasks.joined(
        tasks.refinement(("density",), ("cx", "cy"), DIMS),
        tasks.Task(FLOW, (*coarse, *tasks.static(("wall",), DIMS[1:]))),
    )
    return [wdno.WaveletLayout(f, DIMS, GRID, "haar", ("boundary",) * 3) for f in task]


def known(vy, vx, cy=0.0, cx=0.0, wall=None):
    """What is given of flows on the fine grid."""
    full = np.zeros((1, *GRID))
    fields = {name: full + u for name, u in (("vy", vy), ("vx", vx))}
    fields |= {"density": full, "cy": full + cy, "cx": full + cx}
    fields |= {"density0": full[:, 0], "wall": full[:, 0] if wall is None else wall}
    fields = {name: jnp.asarray(u) for name, u in fields.items()}
    return tasks.with_conditions(fields, layouts()[1].fields)


def estimated(fields, mean=MEAN):
    targets, given = layouts()
    mean = mean.built(targets, given, nnx.Rngs(0))

    @jax.jit
    def estimate(fields):
        found = mean(fields, given.analysis(fields), targets, given)
        return targets.synthesis(found.mean)

    return estimate(fields)


def test_what_is_linear_in_space_and_held_for_two_frames_is_exact():
    y, x = np.arange(8.0)[:, None], np.arange(8.0)
    times = np.asarray([1.0, 1.0, 3.0, 3.0])[:, None, None]
    fields = known(times * (1 + y - 2 * x), times * (x - y))
    found = estimated(fields)
    inside = (slice(None), slice(None), slice(-1), slice(-1))  # beyond is nothing known
    for name in ("vy", "vx"):
        np.testing.assert_allclose(
            found[name][inside], fields[name][inside], atol=1e-12
        )


def test_a_control_is_known_at_every_point_and_frame():
    """However rough it is, and what it causes elsewhere is interpolated beside it."""
    draw = np.random.default_rng(0)
    cx, cy = draw.normal(size=(2, *GRID))
    fields = known(cy + 0.5, cx - 0.25, cy, cx)
    found = estimated(fields)
    for name in ("vy", "vx"):
        np.testing.assert_allclose(found[name], fields[name], atol=1e-12)


def test_flow_slips_along_walls_and_ends_at_them():
    """Beside a wall along x the velocity along x is that of the free side."""
    wall = np.zeros((1, 8, 8))
    wall[:, 4] = 1
    free = 1 - wall
    fields = known(0.0, 2.0 * free, wall=wall)
    np.testing.assert_allclose(
        estimated(fields)["vx"], 2 * free[:, None] + 0 * fields["vx"]
    )
    towards = np.asarray([4.0, 3, 2, 1, 0, 1, 2, 3])[:, None] + np.zeros(8)
    fields = known(towards, 0.0, wall=wall)
    found = estimated(fields)["vy"]
    np.testing.assert_allclose(found[..., :7, :], fields["vy"][..., :7, :], atol=1e-12)


def test_deep_in_walls_nothing_flows():
    found = estimated(known(1.0, 1.0, wall=np.ones((1, 8, 8))))
    assert not found["vx"].any() and not found["vy"].any()


@pytest.mark.parametrize(
    "mean",
    [
        HeldFlow(("vy", "vz"), ("cy", "cx"), "wall"),
        HeldFlow(("vy", "vx"), ("cy", "wind"), "wall"),
        HeldFlow(("vy", "vx"), ("cy", "cx"), "density0_"),
    ],
)
def test_fields_of_no_model_are_refused(mean):
    with pytest.raises(ValueError, match="Name others, or add them"):
        mean.built(*layouts(), nnx.Rngs(0))


def test_each_velocity_has_a_control():
    with pytest.raises(ValueError, match="Name one each"):
        HeldFlow(("vy", "vx"), ("cy",), "wall")
