"""Layers of the video U-Net: frames and instants. The whole is in `test_unet`."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from tiny_networks import filled, random, shape

from wdno.networks import build
from wdno.official.attention import Attention, ordered
from wdno.official.video_unet import VideoUNetConfig, on_frames, over_time


@pytest.mark.parametrize("axes", [1, 2])
def test_a_video_has_three_axes(axes):
    message = rf"time and two axes of space, .* {axes} axes. Take a UNet"
    with pytest.raises(ValueError, match=message):
        build(VideoUNetConfig(), shape(axes), rngs=nnx.Rngs(0))


def test_layers_on_frames_do_not_mix_them():
    x = random(2, 3, 4, 5, 6)
    came = on_frames(lambda frame: jnp.cumsum(frame, axis=1)[:, ::2], x)
    np.testing.assert_allclose(came, np.cumsum(x, axis=2)[:, :, ::2], 1e-5, 1e-6)


def test_attention_over_time_is_that_of_each_point_alone():
    make = lambda out: Attention(6, 2, 4, out, rngs=nnx.Rngs(0))  # noqa: E731
    attend = filled(lambda: make(nnx.Linear(8, 6, rngs=nnx.Rngs(1))))
    mix = ordered(random(2, 5, 5, seed=1))
    x = random(2, 5, 3, 4, 6)
    came = np.asarray(jax.jit(lambda x: over_time(attend, x, mix))(x))
    at_point = jax.jit(lambda tokens: attend(tokens, mix))
    for i, j in ((0, 0), (2, 1), (1, 3)):
        alone = at_point(x[:, :, i, j])
        np.testing.assert_allclose(came[:, :, i, j], alone, 1e-5, 1e-5)
