"""Both U-Nets: shapes, what they heed, what they must not mix."""

from functools import cache

import jax
import numpy as np
import pytest
from flax import nnx
from tiny_networks import CHANNELS, CONDITION, filled, inputs, random, shape
from tiny_unets import CLASSES, CONFIGS, GRIDS, each_unet, fresh_unet

from wdno.networks import Shape, build
from wdno.official.unet_blocks import UNetConfig
from wdno.official.video_unet import VideoUNetConfig


@cache
def busy_unet(kind):
    """Parameters of a U-Net, all active, and its output as a function of them."""
    graph, parameters = nnx.split(filled(lambda: fresh_unet(kind), 0.2))
    run = jax.jit(
        lambda parameters, *inputs: nnx.merge(graph, parameters)(*inputs),
        # a third of the time, most of which is spent on compilation
        compiler_options={"xla_backend_optimization_level": 0},
    )
    return parameters, lambda *arguments: np.asarray(run(*arguments))


@pytest.mark.parametrize(
    ("kind", "grid"),
    [("unet", (4, 2, 6)), ("video", (1, 2, 4))],
)
def test_output_of_a_unet_has_the_shape_and_dtype_of_its_input(kind, grid):
    out = nnx.eval_shape(lambda: fresh_unet(kind, len(grid))(*inputs(*grid)))
    assert out.shape == (3, *grid, CHANNELS) and out.dtype == np.float32


def single_channels(x):
    """Ones in one channel at a time."""
    ones = np.eye(x.shape[-1], dtype=np.float32)
    return [np.broadcast_to(one, x.shape) for one in ones]


@pytest.mark.parametrize(
    "kind", ["unet", pytest.param("video", marks=pytest.mark.slow)]
)
def test_every_input_of_a_unet_matters(kind):
    parameters, run = busy_unet(kind)
    x, c_noise, cond = inputs(*GRIDS[kind])
    out = run(parameters, x, c_noise, cond)
    changed = [(x, c_noise + 0.1, cond)]
    changed += [(x + one, c_noise, cond) for one in single_channels(x)]
    changed += [(x, c_noise, cond + one) for one in single_channels(cond)]
    assert len(changed) == 1 + CHANNELS + CONDITION
    for other in changed:
        gaps = abs(run(parameters, *other) - out)
        assert gaps.reshape(3, -1).max(axis=1).min() > 1e-3


@pytest.mark.slow
@each_unet
def test_every_parameter_of_a_unet_matters(kind):
    parameters, run = busy_unet(kind)
    arguments = inputs(*GRIDS[kind])
    out = run(parameters, *arguments)
    assert np.isfinite(out).all()
    leaves, structure = jax.tree.flatten_with_path(parameters)
    values = [np.asarray(leaf) for _, leaf in leaves]
    for i, (path, leaf) in enumerate(leaves):
        moved = values[i] + np.asarray(random(*leaf.shape, seed=(i, 1), scale=10.0))
        other = jax.tree.unflatten(structure, [*values[:i], moved, *values[i + 1 :]])
        gap = abs(run(other, *arguments) - out).max()
        assert gap > 1e-3, f"{path} has no effect"


@each_unet
def test_rows_of_a_unet_are_independent(kind):
    parameters, run = busy_unet(kind)
    one, other = (inputs(*GRIDS[kind], seed=seed) for seed in (0, 1))
    out = run(parameters, *one)
    for row in range(3):
        mixed = [np.array(array) for array in other]
        for array, wanted in zip(mixed, one, strict=True):
            array[row] = wanted[row]
        came = run(parameters, *mixed)[row]
        np.testing.assert_allclose(came, out[row], 1e-4, 1e-5)


@each_unet
def test_the_configuration_chooses_the_unet(kind):
    network = nnx.eval_shape(lambda: fresh_unet(kind))
    assert type(network) is CLASSES[kind]
    assert network.config == CONFIGS[kind]


@pytest.mark.parametrize(
    ("config", "shape", "count"),
    [
        (UNetConfig(), Shape(2, 9, 0), 140_748_553),
        pytest.param(
            VideoUNetConfig(), Shape(3, 42, 0), 23_837_482, marks=pytest.mark.slow
        ),
    ],
)
def test_default_unets_have_as_many_parameters_as_the_official_ones(
    config, shape, count
):
    make = lambda: build(config, shape, rngs=nnx.Rngs(0))  # noqa: E731
    state = nnx.state(nnx.eval_shape(make), nnx.Param)
    assert sum(leaf.size for leaf in jax.tree.leaves(state)) == count


@pytest.mark.parametrize(
    ("kind", "grid"),
    [("unet", (7,)), ("unet", (8, 9)), ("video", (3, 4, 5))],
)
def test_a_unet_refuses_a_grid_that_it_cannot_halve(kind, grid):
    extents = grid if kind == "unet" else grid[1:]
    message = rf"halves its grid 1 times.*\({extents[0]}, ?.*multiples of 2"
    with pytest.raises(ValueError, match=message):
        nnx.eval_shape(lambda: fresh_unet(kind, len(grid))(*inputs(*grid)))


def test_a_unet_halves_its_grid_once_for_each_level_but_the_last():
    config = UNetConfig(8, (1, 1, 2), groups=2, heads=2, head_width=4)
    make = lambda: build(config, shape(1), rngs=nnx.Rngs(0))  # noqa: E731
    with pytest.raises(ValueError, match=r"2 times.*\(6,\).*multiples of 4"):
        nnx.eval_shape(lambda: make()(*inputs(6)))
