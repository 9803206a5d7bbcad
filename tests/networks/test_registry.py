"""Backbones by their configurations, and what holds for every kind of them."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from tiny_networks import (
    CHANNELS,
    CONDITION,
    CONFIGS,
    busy,
    call,
    filled,
    fresh,
    inputs,
    random,
    shape,
)

from wdno.networks import (
    Fourier,
    FourierConfig,
    Local,
    LocalConfig,
    Mixer,
    MixerConfig,
    TokenTransformer,
    TokenTransformerConfig,
    build,
    register,
)

on_any_grid = pytest.mark.parametrize("kind", ["tokens", "fourier", "local"])
on_one_grid = pytest.mark.parametrize("kind", CONFIGS)
"""For tests on 4 × 6 points, the one grid of the tiny mixer."""


@on_any_grid
@pytest.mark.parametrize(
    "grid",
    [(12,), (13,), (1,), (8, 12), (7, 9), (1, 5), (4, 6, 8), (5, 3, 7)],
    ids=str,
)
def test_output_has_the_shape_and_dtype_of_the_input(kind, grid):
    """Traced only, so that nothing needs to be compiled."""
    out = nnx.eval_shape(lambda: fresh(kind, len(grid))(*inputs(*grid)))
    assert out.shape == (3, *grid, CHANNELS) and out.dtype == np.float32


@on_any_grid
def test_same_parameters_run_on_another_grid(kind):
    network = busy(kind)
    for grid in ((4, 6), (5, 9)):
        out = np.asarray(call(network, *inputs(*grid)))
        assert out.shape == (3, *grid, CHANNELS)
        assert np.isfinite(out).all() and out.std() > 1e-3


@on_one_grid
def test_untrained_head_gives_zero_whatever_it_sees(kind):
    network = filled(lambda: fresh(kind))
    network.head = nnx.jit(lambda: fresh(kind).head)()
    np.testing.assert_array_equal(call(network, *inputs(4, 6)), 0.0)


@on_one_grid
def test_every_input_matters(kind):
    network, (x, c_noise, cond) = busy(kind), map(np.asarray, inputs(4, 6))
    out = call(network, x, c_noise, cond)
    changed = [(x, c_noise + np.float32(0.1), cond)]
    one = np.eye(CHANNELS, dtype=np.float32)
    changed += [(x + one[i], c_noise, cond) for i in range(CHANNELS)]
    one = np.eye(CONDITION, dtype=np.float32)
    changed += [(x, c_noise, cond + one[i]) for i in range(CONDITION)]
    for other in changed:
        rows = abs(np.subtract(call(network, *other), out)).max(axis=(1, 2, 3))
        assert rows.min() > 1e-3


@on_one_grid
def test_rows_of_a_batch_are_independent(kind):
    network, arguments = busy(kind), [np.asarray(a) for a in inputs(4, 6)]
    together = np.asarray(call(network, *arguments))
    for i in range(3):
        alone = call(network, *(a[i : i + 1] for a in arguments))
        np.testing.assert_allclose(together[i : i + 1], alone, 1e-4, 1e-5)


@on_one_grid
def test_gradient_is_finite_and_reaches_every_parameter(kind):
    wish = random(3, 4, 6, CHANNELS, seed=9)
    slope = nnx.jit(nnx.grad(lambda n, *inputs: jnp.vdot(wish, n(*inputs))))
    for path, leaf in jax.tree.leaves_with_path(slope(busy(kind), *inputs(4, 6))):
        gradient = np.asarray(leaf)
        assert np.isfinite(gradient).all(), path
        assert abs(gradient).max() > 1e-6, f"{path} has no effect"


@on_one_grid
def test_the_configuration_chooses_the_network(kind):
    classes = {
        "tokens": TokenTransformer,
        "fourier": Fourier,
        "local": Local,
        "mixer": Mixer,
    }
    network = nnx.eval_shape(lambda: fresh(kind))
    assert type(network) is classes[kind]
    assert network.config == CONFIGS[kind](2, 1)


SETTINGS = {
    "modes": FourierConfig,
    "reach": LocalConfig,
    "patch": TokenTransformerConfig,
}


@pytest.mark.parametrize(
    ("name", "config", "axes"),
    [
        (name, kind(**{name: numbers}), axes)
        for name, kind in SETTINGS.items()
        for numbers, axes in (((3,), 2), ((3, 5), 1), ((3, 5), 3))
    ]
    + [
        ("patch", MixerConfig((2,), (2, 2)), 2),
        ("tokens", MixerConfig((2, 2), (2,)), 2),
        ("patch", MixerConfig((2, 2), (2, 2)), 1),
        ("patch", MixerConfig((2, 2), (2, 2)), 3),
    ],
)
def test_settings_of_a_configuration_have_a_number_per_axis(name, config, axes):
    message = rf"`{name}` has one number per grid axis, {axes} here.*Give {axes}\."
    with pytest.raises(ValueError, match=message):
        build(config, shape(axes), rngs=nnx.Rngs(0))


def test_a_registered_backbone_is_built_by_its_configuration():
    @dataclass(frozen=True)
    class OffsetConfig:
        offset: float = 2.0

    with pytest.raises(ValueError, match=r"registered.*'FourierConfig'.*OffsetConfig"):
        build(OffsetConfig(), shape(), rngs=nnx.Rngs(0))

    @register(OffsetConfig)
    class Offset(nnx.Module):
        def __init__(self, config, shape, *, rngs):
            self.config, self.shape = config, shape

        def __call__(self, x, c_noise, cond):
            return x + self.config.offset

    network = build(OffsetConfig(3.0), shape(), rngs=nnx.Rngs(0))
    assert isinstance(network, Offset) and network.shape == shape()
    np.testing.assert_array_equal(network(jnp.zeros(2), None, None), [3, 3])


def test_only_a_dataclass_configures_a_backbone():
    with pytest.raises(ValueError, match="dataclass"):
        register(int)
