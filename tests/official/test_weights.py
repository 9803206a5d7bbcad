"""Official state dicts in the networks of this package, against recorded outputs."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from wdno.diffusion.denoiser import Network, freeze
from wdno.networks import Shape
from wdno.official import convert
from wdno.official.inpainting import Inpainting, InpaintingConfig
from wdno.official.unet_blocks import UNetConfig
from wdno.official.video_unet import VideoUNetConfig

pytestmark = pytest.mark.shared


@dataclass
class Golden:
    """A recorded network and its arrays, channels last."""

    empty: Network
    tensors: dict[str, np.ndarray]
    arrays: dict[str, np.ndarray]

    def network(self):
        """The network filled with the recorded tensors."""
        return convert(self.empty, self.tensors).thaw().network


@pytest.fixture(scope="module", params=["unet2d", "unet3d"])
def golden(request, shared):
    with np.load(shared / "golden" / f"{request.param}.npz") as file:
        arrays = dict(file)
    tensors = {n[6:]: arrays.pop(n) for n in list(arrays) if n.startswith("param/")}
    if request.param == "unet2d":
        config, axes = UNetConfig(8), 2
        arrays["act/downs.0"] = arrays["act/init_conv"]  # what comes before
    else:
        config, axes = VideoUNetConfig(8), 3
        arrays["act/downs.0"] = arrays["act/init_temporal_attn"]
        arrays |= {n: arrays[n].swapaxes(1, 2) for n in ("x", "out")}  # after frames
    arrays |= {n: np.moveaxis(a, 1, -1) for n, a in arrays.items() if a.ndim > 3}
    channels = arrays["x"].shape[-1]
    shape = InpaintingConfig(config), Shape(axes, channels, 2 * channels)
    empty = freeze(nnx.eval_shape(lambda: Inpainting(*shape, rngs=nnx.Rngs(0))))
    return Golden(empty, tensors, arrays)


def evaluated(function, network, *inputs):
    """The result, compiled without optimisation, which takes a sixth of the time."""
    graph, state = nnx.split(network)

    def run(state, *inputs):
        return function(nnx.merge(graph, state), *inputs)

    options = {"xla_backend_optimization_level": "0"}
    inputs = [jnp.asarray(a, jnp.float32) for a in inputs]
    return jax.jit(run, compiler_options=options)(state, *inputs)


def assert_close(found, expected):
    """Equal to a hundred-thousandth of the largest number."""
    assert found.dtype == jnp.float32 and found.shape == expected.shape
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5 * abs(expected).max())


@pytest.mark.parametrize(
    "golden",
    ["unet2d", pytest.param("unet3d", marks=pytest.mark.slow)],
    indirect=True,
)
def test_networks_reproduce_the_official_outputs(golden):
    x, t = golden.arrays["x"], golden.arrays["t"]
    nothing = np.empty((*x.shape[:-1], 0))
    found = evaluated(lambda n, *inputs: n(*inputs), golden.network(), x, t, nothing)
    assert_close(found, golden.arrays["out"])


def test_first_layers_reproduce_the_official_activations(golden):
    def activations(network, x, t, before):
        embedding = network.embedding(t)
        return {
            "act/time_mlp": embedding,
            "act/init_conv": network.lift(x),
            "act/downs.0.0": network.down[0].first(before, embedding),
        }

    x, t, before = (golden.arrays[n] for n in ("x", "t", "act/downs.0"))
    found = evaluated(activations, golden.network(), x[:1], t[:1], before)
    raw = golden.arrays["act/time_mlp"]  # blocks apply silu to it, here done once
    expected = golden.arrays | {"act/time_mlp": raw / (1 + np.exp(-raw))}
    for name, values in found.items():
        assert_close(values, expected[name])


def test_every_parameter_is_one_of_the_checkpoint(golden):
    sizes = [p.size for p in jax.tree.leaves(nnx.state(golden.network(), nnx.Param))]
    known = [a.size for n, a in golden.tensors.items() if "rotary_emb" not in n]
    assert sorted(sizes) == sorted(known)


def refused(golden, tensors):
    """The message that `convert` has for these tensors."""
    with pytest.raises(ValueError) as stopped:
        convert(golden.empty, tensors)
    return str(stopped.value)


@pytest.mark.parametrize(
    ("official", "ours"),
    [
        ("mid_block1.block2.proj.weight", "mid.first.outer.convolution.kernel"),
        ("downs.0.0.block1.norm.bias", "down.0.first.inner.norm.bias"),
        ("time_mlp.3.weight", "embedding.outer.kernel"),
    ],
)
def test_missing_tensors_are_named(golden, official, ours):
    tensors = {n: a for n, a in golden.tensors.items() if n != official}
    message = refused(golden, tensors)
    assert f"1 are missing ['{ours}'], 0 surplus [], 0 of another shape" in message


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("downs.4.0.block1.norm.weight", (8,)),
        ("extra.bias", (3,)),
        ("extra.weight", (3, 2)),
        ("extra.weight", (3,)),
    ],
)
def test_surplus_tensors_are_named(golden, name, shape):
    message = refused(golden, golden.tensors | {name: np.ones(shape, np.float32)})
    assert f"0 are missing [], 1 surplus ['{name}'], 0 of another" in message


@pytest.mark.parametrize(
    ("name", "shape", "ours", "expected"),
    [
        ("time_mlp.1.weight", (32, 4), (4, 32), (8, 32)),
        ("downs.0.0.block1.norm.weight", (4,), (4,), (8,)),
        ("time_mlp.1.weight", (32,), (32,), (8, 32)),
    ],
)
def test_tensors_of_another_shape_are_named(golden, name, shape, ours, expected):
    message = refused(golden, golden.tensors | {name: np.ones(shape, np.float32)})
    named = (
        f"1 of another shape (in Flax's order) ['{name} {ours} instead of {expected}"
    )
    assert f"0 are missing [], 0 surplus [], {named}" in message


def test_checkpoints_of_another_width_are_told_its_parameters(golden):
    halves = {n: a[: -(-len(a) // 2)] for n, a in golden.tensors.items()}
    message = refused(golden, halves)
    assert "0 are missing [], 0 surplus []" in message and "width=8" in message
