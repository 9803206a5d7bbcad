"""The local operator: its neighbourhood, the same everywhere."""

import numpy as np
import pytest
from flax import nnx
from tiny_networks import busy, call, filled, inputs, shape

from wdno.networks import LocalConfig, RingConfig, build


def test_local_operator_sees_its_neighbourhood_only():
    """Two blocks of reach 3 × 5: 2 points away in time, 4 in space, no further."""
    network = busy("local", depth=2)
    x, c_noise, cond = inputs(9, 17, batch=1)
    change = call(network, x.at[0, 4, 8].add(1.0), c_noise, cond)
    reached = abs(change - call(network, x, c_noise, cond)).max(axis=(0, 3)) > 1e-6
    assert reached[2:7, 4:13].all() and reached.sum() == 5 * 9


def test_local_operator_is_the_same_everywhere_and_on_every_grid():
    network = busy("local", depth=2)
    x, c_noise, cond = inputs(12, 24)
    whole = call(network, x, c_noise, cond)
    part = call(network, x[:, 3:, 5:21], c_noise, cond[:, 3:, 5:21])
    np.testing.assert_allclose(part[:, 2:-2, 4:-4], whole[:, 5:-2, 9:17], 1e-4, 1e-4)


def test_a_ring_has_no_beginning_but_time_has():
    config = RingConfig((3, 5), width=8, depth=2)
    network = filled(lambda: build(config, shape(), rngs=nnx.Rngs(0)))
    x, c_noise, cond = inputs(6, 12)

    def turned(axis):
        here = [np.roll(part, 5, axis) for part in (x, cond)]
        found = call(network, here[0], c_noise, here[1])
        return np.abs(np.roll(found, -5, axis) - whole).max()

    whole = call(network, x, c_noise, cond)
    size = np.abs(whole).max()
    assert turned(axis=2) < 1e-5 * size < 1e-2 * size < turned(axis=1)


@pytest.mark.parametrize("kind", [LocalConfig, RingConfig])
@pytest.mark.parametrize("reach", [(4, 3), (3, 4)])
def test_local_operator_refuses_a_reach_without_a_centre(reach, kind):
    message = rf"odd number.*got \({reach[0]}, {reach[1]}\). Give odd numbers"
    with pytest.raises(ValueError, match=message):
        build(kind(reach), shape(), rngs=nnx.Rngs(0))
