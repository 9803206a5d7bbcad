"""One window: sampled with a denoiser that knows the answer, taken apart."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from oracles import (
    Gated,
    Oracle,
    Uncertain,
    make_fields,
    make_gated_fields,
    make_operator,
    oracle,
    with_beside,
)

import wdno
from wdno.diffusion import samplers
from wdno.operator import tasks
from wdno.operator.generation import denoiser, finish, prepare, sample_shape
from wdno.operator.interpolation import repeated

SAMPLERS = [samplers.ddim(), samplers.ddim(1.0), samplers.heun(), samplers.dpmpp_2m()]
KEY = jax.random.key(0)
generate = jax.jit(wdno.generate, static_argnames=("sampler", "guidance"))


@pytest.mark.parametrize(
    ("sampler", "wavelet"),
    [*zip(SAMPLERS, ["haar"] * 4, strict=True), (SAMPLERS[0], "bior2.4")],
    ids=["ddim", "ancestral", "heun", "multistep", "biorthogonal"],
)
def test_exact_denoiser_generates_the_exact_states(sampler, wavelet):
    model, fields = make_operator(wavelet=wavelet), make_fields()
    known = {"u0": fields["u0"], "f": fields["f"]}
    found = generate(model, known, sampler, model.schedule(3), KEY)
    assert found.keys() == {"u"}
    np.testing.assert_allclose(found["u"], fields["u"], atol=1e-10)


def test_samples_follow_the_key_alone():
    model, known = make_operator(Uncertain), make_fields()
    sigmas = model.schedule(3)

    def draw(key):
        return np.asarray(generate(model, known, SAMPLERS[1], sigmas, key)["u"])

    np.testing.assert_array_equal(draw(KEY), draw(KEY))
    assert np.abs(draw(KEY) - draw(jax.random.key(1))).min() > 0


def test_with_a_key_per_row_rows_are_separate_requests():
    model, known = make_operator(Uncertain), make_fields()
    keys = jax.random.split(KEY, 3)
    together = generate(model, known, SAMPLERS[1], model.schedule(3), keys)["u"]
    for row in range(3):
        one = {name: values[row : row + 1] for name, values in known.items()}
        key = keys[row : row + 1]
        alone = generate(model, one, SAMPLERS[1], model.schedule(3), key)["u"]
        np.testing.assert_allclose(alone[0], together[row], rtol=1e-12)


def test_guidance_replaces_the_denoiser():
    def silence(denoise):
        return lambda x, sigma: 0 * denoise(x, sigma)

    model = make_operator()
    found = generate(
        model, make_fields(), SAMPLERS[0], model.schedule(2), KEY, guidance=silence
    )
    np.testing.assert_array_equal(found["u"], 0)


def test_single_precision_stays_single_precision():
    model = make_operator()
    known = {name: jnp.float32(values) for name, values in make_fields().items()}
    found = generate(model, known, SAMPLERS[0], model.schedule(2), KEY)["u"]
    assert found.dtype == jnp.float32
    np.testing.assert_allclose(found, known["u"], atol=1e-5)


def test_states_and_shares_are_generated_given_a_gate():
    model = make_operator(Gated, task=with_beside(tasks.simulation))
    fields = make_gated_fields()
    known = {name: fields[name] for name in ("u0", "f", "gate")}
    found = generate(model, known, SAMPLERS[0], model.schedule(3), KEY)
    assert found.keys() == {"u", "share"}
    for name, values in found.items():
        np.testing.assert_allclose(values, fields[name], atol=1e-10)


@oracle
class Sharper(Oracle):
    """Residuals by curvatures alone: an eighth of the second difference, halfway."""

    def __call__(self, x, sigma, cond):
        in_space = repeated(cond[..., -1])
        residual = (-in_space / 8).at[..., ::2].set(0)
        return self.targets.analysis({"u": residual})


def test_denoisers_are_given_the_curvatures_of_coarse_states():
    """In units of the scale: with them a refiner is exact for parabolas, off the ends.

    The last channel is the curvature along the last axis.
    """
    model = make_operator(Sharper, grid=(4, 32), task=tasks.refinement)
    u = jnp.broadcast_to(jnp.square(jnp.arange(32.0) - 9), (1, 4, 32))
    known = {"u0": u[:, 0], "f": jnp.zeros(u.shape), "u_coarse": u[:, 1::2, ::2]}
    refined = generate(model, known, SAMPLERS[0], model.schedule(1), KEY)["u"]
    inside = (slice(None), slice(1, None), slice(4, -4))
    np.testing.assert_allclose(refined[inside], u[inside], rtol=1e-6, atol=1e-9)


def test_the_three_steps_of_a_window_are_generate():
    """Guided and with residuals, where there is most to do."""
    model, known = make_operator(Uncertain, task=tasks.refinement), make_fields()
    known["u_coarse"] = known["u"][:, 1::2, ::2]

    @jax.jit
    def by_hand(known):
        context = prepare(model, known)
        denoise = denoiser(model, context, doubled)
        shape = sample_shape(model, 3)
        z = samplers.sample(SAMPLERS[1], denoise, shape, model.schedule(3), KEY)
        return finish(model, context, z)

    def doubled(denoise):
        return lambda x, sigma: 2 * denoise(x, sigma)

    expected = generate(model, known, SAMPLERS[1], model.schedule(3), KEY, doubled)
    found = by_hand(known)
    assert found.keys() == expected.keys() == {"u"}
    np.testing.assert_allclose(found["u"], expected["u"], rtol=1e-12)


def test_a_start_leaves_out_the_levels_above_its_own():
    """Row 0 stands until level 1, row 1 until level 2: as with fewer levels."""
    model, known = make_operator(Uncertain), make_fields()
    levels = model.schedule(4)
    fields = {"u": 1.5 * known["u"]}
    begun = wdno.operator.generation.Start(fields, levels[jnp.array([1, 2, 0])])
    draw = partial(wdno.generate, model, known, SAMPLERS[0])
    found = draw(levels, KEY, start=begun)["u"]
    for row, first in enumerate((1, 2, 0)):
        every = begun._replace(sigma=jnp.full(3, levels[first]))
        fewer = draw(levels[first:], KEY, start=every)["u"]
        np.testing.assert_allclose(found[row], fewer[row], atol=1e-10)


def test_a_start_is_kept_where_little_noise_is_added():
    """An estimate trusts noisy coefficients as far as their noise is small."""
    model, known = make_operator(Uncertain), make_fields()
    wrong = {"u": known["u"] + 0.1}

    def kept(sigma):
        start = wdno.operator.generation.Start(wrong, jnp.full(3, sigma))
        found = wdno.generate(
            model, known, SAMPLERS[0], jnp.array([9.0, 0.0]), KEY, start=start
        )
        return float((found["u"] - known["u"]).mean() / 0.1)

    assert kept(1e-6) == pytest.approx(1.0, rel=1e-4)
    assert abs(kept(9.0)) < 0.05
