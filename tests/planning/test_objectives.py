"""What is wished for: one number a row, small is good."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from wdno.planning.objectives import energy, leakage, reach, terminal


@pytest.mark.parametrize("space", [(5,), (4, 3)])
def test_terminal_is_the_mean_square_at_the_last_time(space):
    state = jax.random.normal(jax.random.key(5), (2, 7, *space))
    target = jax.random.normal(jax.random.key(6), (2, *space))
    expected = np.mean((state[:, 6] - target).reshape(2, -1) ** 2, axis=1)
    np.testing.assert_allclose(terminal(state, target), expected, rtol=1e-14)
    common = terminal(state, target[0])
    np.testing.assert_allclose(common[0], expected[0], rtol=1e-14)
    np.testing.assert_allclose(terminal(state, state[:, -1]), 0.0)


def test_energy_is_the_sum_of_squares():
    control = jnp.arange(24.0).reshape(2, 3, 4)
    np.testing.assert_allclose(energy(control), [506.0, 3818.0])


def test_leakage_is_what_is_not_in_the_exit_in_the_end():
    share = jnp.array([[0.0, 0.9, 0.25], [0.1, 0.2, 1.0], [0.5, 0.5, 0.0]])
    np.testing.assert_array_equal(leakage({"smoke": share}), [0.75, 0.0, 1.0])
    slope = jax.grad(lambda s: leakage({"smoke": s}).sum())(share)
    np.testing.assert_array_equal(slope, [[0, 0, -1]] * 3)


@pytest.mark.parametrize("shape", [(4,), (3, 5), (1, 5), ()])
def test_bad_target(shape):
    with pytest.raises(
        ValueError, match=r"shape of one state, \(5,\), or of one a row"
    ):
        terminal(jnp.zeros((2, 7, 5)), jnp.zeros(shape))


def test_reaching_is_the_distance_of_all_states_and_the_price_of_all_controls():
    draw = np.random.default_rng(0)
    shapes = {"u": (3, 4, 5), "v": (3, 4, 5), "uT": (3, 5), "vT": (3, 5)}
    shapes |= {"f": (3, 4, 5), "g": (3, 4)}
    fields = {name: jnp.asarray(draw.normal(size=s)) for name, s in shapes.items()}
    come = reach(("u", "v"), ("f", "g"), 0.1)(fields)
    wanted = sum(((fields[n][:, -1] - fields[f"{n}T"]) ** 2).mean(1) for n in "uv")
    wanted += 0.1 * ((fields["f"] ** 2).sum((1, 2)) + (fields["g"] ** 2).sum(1))
    np.testing.assert_allclose(come, wanted, rtol=1e-12)
