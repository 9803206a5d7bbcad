"""Multipliers on a ring: affine in fields, equivariant, functions of numbers."""

import dataclasses

import numpy as np
import pytest
from flax import nnx
from tiny_networks import CHANNELS, CONDITION, call, filled, random

from wdno.networks import MultiplierConfig, Shape, build
from wdno.networks.multiplier import RingConvolution

RING = MultiplierConfig(instants=4, numbers=1, frequencies=8, modes=5, width=6, depth=2)


def ring(config=RING):
    shape = Shape(2, CHANNELS, CONDITION + 1)
    return filled(lambda: build(config, shape, rngs=nnx.Rngs(0)))


def on_ring(points=8, seed=0, number=0.7):
    cond = random(2, 4, points, CONDITION + 1, seed=seed + 1)
    x = np.asarray(random(2, 4, points, CHANNELS, seed=seed))
    return x, np.array([0.3, -1.0], np.float32), with_number(cond, number)


def with_number(cond, number):
    """The condition with another number in its last channel."""
    changed = np.array(cond)
    changed[..., -1] = number
    return changed


def test_ring_convolution_is_that_of_the_fourier_transform():
    layer = filled(lambda: RingConvolution(5, 3, rngs=nnx.Rngs(0)))
    x = random(2, 8, 3)
    real, imaginary = np.asarray(layer.weight[...])
    matrix = real + 1j * imaginary
    waves = np.einsum("bki,kij->bkj", np.fft.rfft(np.asarray(x, float), axis=1), matrix)
    expected = np.fft.irfft(waves, 8, axis=1)
    np.testing.assert_allclose(call(layer, x), expected, atol=1e-4)
    few = filled(lambda: RingConvolution(2, 3, rngs=nnx.Rngs(0)))
    spectrum = np.fft.rfft(call(few, x), axis=1)
    assert np.abs(spectrum[:, 2:]).max() < 1e-4 < np.abs(spectrum[:, :2]).max()


def test_multipliers_commute_with_turns_of_the_ring():
    network, (x, c_noise, cond) = ring(), on_ring()
    turned = call(network, np.roll(x, 3, 2), c_noise, np.roll(cond, 3, 2))
    straight = call(network, x, c_noise, cond)
    np.testing.assert_allclose(turned, np.roll(straight, 3, 2), rtol=1e-3, atol=1e-3)


def test_multipliers_are_affine_in_the_fields_but_not_in_numbers():
    network, (x, c_noise, cond) = ring(), on_ring()
    other, _, beside = on_ring(seed=7)
    of = lambda x, cond: np.asarray(call(network, x, c_noise, cond))  # noqa: E731
    both = of(x + other, with_number(cond + beside, 0.7))
    apart = of(x, cond) + of(other, beside) - of(0 * x, with_number(0 * cond, 0.7))
    scale = np.abs(apart).max()
    np.testing.assert_allclose(both, apart, atol=1e-4 * scale)
    numbers = [of(x, with_number(cond, n)) for n in (0.0, 1.0, 2.0)]
    curvature = numbers[0] - 2 * numbers[1] + numbers[2]
    assert np.abs(curvature).max() > 0.01 * scale


def test_multipliers_are_those_of_a_longer_ring_with_the_same_waves():
    """Twice as many points of fields that the shorter ring resolves."""
    network = ring(dataclasses.replace(RING, modes=3))
    x, c_noise, cond = on_ring(points=16)

    def smooth(field):
        waves = np.fft.rfft(field, axis=2)[:, :, :3]
        fields = [2 * n / 16 * np.fft.irfft(waves, n, axis=2) / 2 for n in (8, 16)]
        return [field.astype(np.float32) for field in fields]

    (x8, x16), (cond8, cond16) = smooth(x), smooth(cond)
    cond8, cond16 = (with_number(c, 0.7) for c in (cond8, cond16))
    coarse, fine = (
        np.asarray(call(network, x, c_noise, cond))
        for x, cond in ((x8, cond8), (x16, cond16))
    )
    np.testing.assert_allclose(fine[:, :, ::2], coarse, rtol=1e-3, atol=1e-2)


def test_multipliers_refuse_other_grids_and_conditions():
    x, c_noise, cond = on_ring()
    with pytest.raises(ValueError, match="4 instants"):
        call(ring(), x[:, :2], c_noise, cond[:, :2])
    with pytest.raises(ValueError, match="but got 3 axes"):
        build(RING, Shape(3, CHANNELS, CONDITION), rngs=nnx.Rngs(0))
    with pytest.raises(ValueError, match="1 channels"):
        build(RING, Shape(2, CHANNELS, 1), rngs=nnx.Rngs(0))
