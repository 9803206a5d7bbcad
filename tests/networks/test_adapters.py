"""Adapted kernels against what each kind of adapter is by definition."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from jax import lax

from wdno.diffusion.denoiser import freeze
from wdno.networks import FourierConfig, LocalConfig, Shape, build
from wdno.networks.adapters import Adapter, AdapterConfig, Kernel, kernels_of
from wdno.networks.fourier import SpectralConvolution
from wdno.networks.multiplier import RingConvolution

RANK = 3


def adapted(module, config=None):
    """Frozen, its adapter with factors that are not 0, and the module with both."""
    network = freeze(module)
    config = config or AdapterConfig(RANK, (RANK,))
    adapter = Adapter(config, kernels_of(module), 2, rngs=nnx.Rngs(1))
    draw = np.random.default_rng(0)
    factors = nnx.state(adapter, nnx.Param)
    factors = jax.tree.map(lambda v: jnp.asarray(draw.normal(size=v.shape)), factors)
    nnx.update(adapter, factors)
    merged = dict(adapter(network.parameters))
    return adapter, type(network)(network.definition, merged)


def change_of(adapter, name):
    parts = adapter.changes[name]
    return parts.left[0][...], parts.right[0][...], parts.weight


def precise(kind, *shape, **more):
    return kind(*shape, param_dtype=float, rngs=nnx.Rngs(0), **more)


def test_a_dense_adapter_is_a_bottleneck_beside_the_layer():
    module = precise(nnx.Linear, 5, 4)
    adapter, merged = adapted(module)
    a, b, weights = change_of(adapter, "kernel")
    x = jax.random.normal(jax.random.key(0), (7, 5))
    assert not len(weights)
    np.testing.assert_allclose(merged(x), module(x) + x @ a @ b, atol=1e-6)


def test_a_convolution_is_adapted_by_one_to_few_features_and_a_dense_layer():
    module = precise(nnx.Conv, 4, 6, (3, 5))
    adapter, merged = adapted(module)
    a, b, (g,) = change_of(adapter, "kernel")
    few = precise(nnx.Conv, 4, RANK, (3, 5), use_bias=False)
    few.kernel[...] = g[...].reshape(3, 5, 1, RANK) * a[None, None]
    x = jax.random.normal(jax.random.key(0), (2, 8, 9, 4))
    np.testing.assert_allclose(merged(x), module(x) + few(x) @ b, atol=1e-6)


def test_a_wave_passes_directions_that_its_wavenumber_weighs():
    module = RingConvolution(5, 4, rngs=nnx.Rngs(0))
    adapter, merged = adapted(module)
    a, b, (g,) = change_of(adapter, "weight")
    x = jax.random.normal(jax.random.key(0), (2, 16, 4))
    real, imaginary = g[...].reshape(2, 5, RANK)
    waves = jnp.fft.rfft(x @ a, axis=1)[:, :5]
    beside = jnp.fft.irfft(waves * lax.complex(real, imaginary)[None], 16, axis=1) @ b
    np.testing.assert_allclose(merged(x), module(x) + beside, atol=1e-6)


def test_octaves_have_ranks_of_their_own():
    module = SpectralConvolution((4, 8), 6, rngs=nnx.Rngs(0))
    adapter, merged = adapted(module, AdapterConfig(1, (3, 2, 1)))
    change = merged.parameters["weight"] - module.weight[...]
    assert [part.shape for part in adapter.changes["weight"].left] == [
        (6, 3),
        (6, 2),
        (6, 1),
    ]
    highest = np.maximum.outer([0, 1 / 2, 1, 1 / 2], np.arange(8) / 8)
    wanted = np.where(highest > 1 / 2, 1, np.where(highest > 1 / 4, 2, 3))
    ranks = np.linalg.matrix_rank(np.asarray(change), tol=1e-4)
    np.testing.assert_array_equal(ranks, np.broadcast_to(wanted, (2, 4, 8)))


@pytest.mark.parametrize(
    "config",
    [
        FourierConfig((2, 4), 8, 1),
        pytest.param(LocalConfig((3, 3), 8, 1), marks=pytest.mark.slow),
    ],
)
def test_new_adapters_change_nothing_and_know_all_kernels(config):
    network = freeze(build(config, Shape(2, 2, 3), rngs=nnx.Rngs(0)))
    kernels = kernels_of(network.thaw())
    matrices = {name for name, v in network.parameters.items() if v.ndim > 1}
    assert kernels.keys() == matrices
    adapter = Adapter(AdapterConfig(), kernels, 2, rngs=nnx.Rngs(0))
    jax.tree.map(
        np.testing.assert_array_equal, adapter(network.parameters), network.parameters
    )
    np.testing.assert_array_equal(adapter.gain, 1)


def test_kernels_of_another_network_are_refused():
    adapter = Adapter(AdapterConfig(), {"head": Kernel((4, 2))}, 2, rngs=nnx.Rngs(0))
    with pytest.raises(ValueError, match=r"'head' of shape \(4, 2\), but got \(4, 3\)"):
        adapter({"head": jnp.zeros((4, 3))})
    with pytest.raises(ValueError, match="but got None"):
        adapter({})
    with pytest.raises(ValueError, match="'octaves' is"):
        AdapterConfig(octaves=())
