"""What a flow carries: exact where interpolation is, and differentiable."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from wdno.operator import warp
from wdno.operator.warp import repeated, upsampled
from wdno.systems.smoke.staggered import Faces, advect

carried = jax.jit(warp.carried)  # a program, not one for every operation


def draw(*shape):
    return jnp.asarray(np.random.default_rng(0).normal(size=shape))


@pytest.mark.parametrize("space", [(7,), (6, 7), (4, 5, 6)])
def test_whole_spacings_are_an_exact_shift(space):
    scalars = draw(2, *space, 3)
    for axis in range(len(space)):
        displacement = jnp.zeros((2, *space, len(space))).at[..., axis].set(2.0)
        found = carried(scalars, displacement)
        expected = np.zeros(scalars.shape)
        ahead, before = ([slice(None)] * scalars.ndim for _ in range(2))
        ahead[1 + axis], before[1 + axis] = slice(2, None), slice(None, -2)
        expected[tuple(ahead)] = scalars[tuple(before)]
        np.testing.assert_allclose(found, expected, atol=1e-12)


def test_linear_functions_are_carried_exactly():
    y, x = np.meshgrid(np.arange(6.0), np.arange(8.0), indexing="ij")
    plane = jnp.asarray(2 * y - 3 * x)[None, ..., None]
    displacement = jnp.broadcast_to(jnp.asarray([0.3, -0.7]), (1, 6, 8, 2))
    found = carried(plane, displacement)[0, 1:-1, 1:-1, 0]
    expected = plane[0, 1:-1, 1:-1, 0] - 2 * 0.3 - 3 * 0.7
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_a_closed_flow_carries_as_the_solver_does():
    """Within the grid; beyond its ends the two differ on purpose."""
    along_x, along_y = draw(2, 6, 8), draw(2, 7, 7)
    velocity = Faces(jnp.pad(along_x, ((0, 0),) * 3), along_y)
    scalar = jnp.pad(draw(2, 2, 3), ((0, 0), (2, 2), (2, 2)))
    centre_x = (velocity.x[:, :, 1:] + velocity.x[:, :, :-1]) / 2
    centre_y = (velocity.y[:, 1:] + velocity.y[:, :-1]) / 2
    displacement = 0.5 * jnp.stack([centre_y, centre_x], -1)
    found = carried(scalar[..., None], displacement)[..., 0]
    np.testing.assert_allclose(found, advect(scalar, velocity, 0.5), atol=1e-6)


def test_nothing_flows_in():
    everywhere = jnp.ones((1, 5, 5, 1))
    far = jnp.full((1, 5, 5, 2), 100.0)
    assert not carried(everywhere, far).any()


def test_rows_are_carried_alone_and_compiled_alike():
    scalars, displacement = draw(3, 5, 6, 2), draw(3, 5, 6, 2)
    whole = carried(scalars, displacement)
    alone = jax.jit(jax.vmap(lambda s, d: warp.carried(s[None], d[None])[0]))
    np.testing.assert_allclose(alone(scalars, displacement), whole, atol=1e-12)


def test_gradients_are_those_of_differences():
    scalars, displacement = draw(1, 5, 6, 1), 0.3 * draw(1, 5, 6, 2)
    weight, direction = draw(1, 5, 6, 1), draw(1, 5, 6, 2)[..., ::-1]

    def value(step):
        return jnp.sum(weight * carried(scalars, displacement + step * direction))

    slope = (value(1e-6) - value(-1e-6)) / 2e-6
    np.testing.assert_allclose(jax.grad(value)(0.0), slope, rtol=1e-5)


def test_finer_grids_hold_straight_lines_and_steps():
    line = jnp.arange(5.0)[None]
    fine = np.arange(9) / 2
    np.testing.assert_allclose(upsampled(line, 2, 1, 0.0)[0], fine, atol=1e-6)
    ahead = np.clip(fine + 0.25, 0, 4)
    np.testing.assert_allclose(upsampled(line, 2, 1, 0.25)[0], ahead, atol=1e-6)
    np.testing.assert_array_equal(upsampled(line, 1, 1, 0.0), line)
    np.testing.assert_array_equal(repeated(line, 2)[0], np.repeat(np.arange(5), 2)[:9])
