"""Forms of attention against their formulas."""

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from tiny_networks import filled, random

from wdno.official.attention import (
    Attention,
    RelativePositionBias,
    distance_classes,
    full,
    linear,
    ordered,
    rotated,
)


def softmax(x, axis):
    exponential = np.exp(x - x.max(axis=axis, keepdims=True))
    return exponential / exponential.sum(axis=axis, keepdims=True)


def heads(tokens=9, features=6):
    """Queries, keys and values of two rows and three heads."""
    return [random(2, tokens, 3, features, seed=seed) for seed in range(3)]


def test_linear_attention_is_its_formula():
    q, k, v = map(np.asarray, heads())
    context = np.einsum("bnhd,bnhe->bhde", softmax(k, 1), v)
    wanted = np.einsum("bnhd,bhde->bnhe", softmax(q, 3), context) / np.sqrt(6)
    np.testing.assert_allclose(jax.jit(linear)(*heads()), wanted, 0, 1e-6)


def test_full_attention_is_its_formula():
    q, k, v = map(np.asarray, heads())
    scores = softmax(np.einsum("bnhd,bmhd->bhnm", q, k) / np.sqrt(6), 3)
    wanted = np.einsum("bhnm,bmhe->bnhe", scores, v)
    np.testing.assert_allclose(full(*heads()), wanted, 0, 1e-5)


def turned(x):
    """Pairs of features as complex numbers, times ``exp(i n speed)``."""
    tokens, features = x.shape[1], x.shape[-1]
    speed = 10000.0 ** (-2 * np.arange(features // 2) / features)
    pairs = np.asarray(x, float).reshape(*x.shape[:-1], -1, 2)
    angle = np.arange(tokens)[:, None, None] * speed
    product = (pairs[..., 0] + 1j * pairs[..., 1]) * np.exp(1j * angle)
    return np.stack([product.real, product.imag], axis=-1).reshape(x.shape)


def test_ordered_attention_turns_queries_and_keys_and_adds_a_bias():
    q, k, v = heads()
    bias = random(3, 9, 9, seed=3)
    scores = np.einsum("bnhd,bmhd->bhnm", turned(q), turned(k)) / np.sqrt(6)
    wanted = np.einsum("bhnm,bmhe->bnhe", softmax(scores + np.asarray(bias), 3), v)
    np.testing.assert_allclose(ordered(bias)(q, k, v), wanted, 0, 1e-5)


def test_rotation_turns_each_pair_by_its_angle():
    x, *_ = heads(tokens=50)
    came = rotated(x)
    np.testing.assert_allclose(came, turned(x), 0, 1e-5)
    np.testing.assert_array_equal(came[:, 0], x[:, 0])
    norms = (np.linalg.norm(a, axis=-1) for a in (came, x))
    np.testing.assert_allclose(*norms, 1e-5)


def test_scores_of_rotated_tokens_depend_on_their_distance_only():
    q, k = (jnp.repeat(a[:1, :1, :1], 9, axis=1) for a in heads()[:2])
    q, k = (np.asarray(rotated(a))[0, :, 0] for a in (q, k))
    scores = q @ k.T
    np.testing.assert_allclose(scores[1:, 1:], scores[:-1, :-1], 0, 1e-5)
    assert abs(np.diff(scores[0])).min() > 1e-3
    assert abs(scores - scores.T)[0, 1:].min() > 1e-3


def test_near_distances_have_a_class_each_and_far_ones_share():
    behind = [*range(8), 8, 8, 9, 9, 10, 10, 11, 11]
    behind += [12] * 4 + [13] * 3 + [14] * 4 + [15] * 53
    came = distance_classes(80, 32, 32)
    assert len(behind) == 80
    np.testing.assert_array_equal(came[-1, ::-1], behind)
    np.testing.assert_array_equal(came[0], [0, *(16 + c for c in behind[1:])])
    np.testing.assert_array_equal(came[1:, 1:], came[:-1, :-1])


def test_position_bias_is_a_number_for_each_head_and_class():
    bias = filled(lambda: RelativePositionBias(2, rngs=nnx.Rngs(0)))
    came, table = bias(12), np.asarray(bias.table[...])
    assert came.shape == (2, 12, 12) and table.shape == (32, 2)
    for i, j in ((0, 0), (5, 2), (2, 5), (11, 0), (0, 11)):
        distance = min(abs(j - i), 9 if abs(j - i) > 9 else 11)
        row = distance + (16 if j > i else 0)
        np.testing.assert_array_equal(came[:, i, j], table[row])


def test_attention_adds_what_it_mixes_of_normalised_tokens():
    make = lambda out: Attention(6, 2, 4, out, rngs=nnx.Rngs(0))  # noqa: E731
    module = filled(lambda: make(nnx.Linear(8, 6, rngs=nnx.Rngs(1))))
    x = random(2, 5, 6)
    shapes = []

    def mix(q, k, v):
        shapes.extend((q.shape, k.shape, v.shape))
        return q + 2 * k + 3 * v.at[:, :, 1].multiply(2.0)

    came = module(x, mix)
    assert shapes == [(2, 5, 2, 4)] * 3
    y = np.asarray(x)
    y = (y - y.mean(-1, keepdims=True)) / np.sqrt(y.var(-1, keepdims=True) + 1e-5)
    parts = y * np.asarray(module.norm.scale[...]) @ np.asarray(module.qkv.kernel[...])
    q, k, v = np.split(parts, 3, axis=-1)
    mixed = q + 2 * k + 3 * v * np.repeat([1.0, 2.0], 4)
    kernel, bias = (np.asarray(p[...]) for p in (module.out.kernel, module.out.bias))
    np.testing.assert_allclose(came, np.asarray(x) + mixed @ kernel + bias, 1e-4, 1e-5)
