"""A mean by a network: what it adds to what is known, and what is left to generate."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from oracles import Oracle, Plain, make_fields, make_layouts, make_operator, oracle

import wdno
from wdno.diffusion.denoiser import Denoiser, freeze
from wdno.diffusion.preconditioning import EDMPreconditioning
from wdno.diffusion.samplers import ddim, heun
from wdno.networks import FourierConfig
from wdno.operator import Interpolation, tasks
from wdno.operator.generation import prepare
from wdno.operator.learned_mean import LearnedMean
from wdno.operator.residual import residuals, restored

KEY = jax.random.key(0)
TINY = FourierConfig((2, 2), width=4, depth=1)
generate = jax.jit(wdno.generate, static_argnames=("sampler", "guidance"))


@oracle
class Answer(Oracle):
    """The states of `add_up`, or what is left of them, whatever the noise."""

    def __call__(self, x, sigma, cond):
        return super().__call__(x, jnp.ones_like(sigma), cond)


def silent(x, c_noise, cond):
    """A backbone without a voice: what is generated is as wide as its units."""
    return jnp.zeros_like(x)


def make_model(task=tasks.simulation, scale=(), base=None, wavelet="haar"):
    """The states of `add_up` as the mean, and a denoiser of N(0, 1)."""
    targets, given = make_layouts(task=task, wavelet=wavelet)
    model = make_operator(task=task, wavelet=wavelet)
    mean = LearnedMean(Answer(targets, given), base, scale)
    denoiser = Denoiser(jax.tree_util.Partial(silent), EDMPreconditioning())
    return replace(model, residual=mean, denoiser=denoiser)


def test_without_a_call_there_is_the_mean():
    model, fields = make_model(), make_fields()
    found = generate(model, fields, ddim(), model.levels(0), KEY)
    np.testing.assert_allclose(found["u"], fields["u"], atol=1e-10)


def test_whole_fields_need_a_call():
    with pytest.raises(ValueError, match="whole fields and got steps=0. Ask for one"):
        replace(make_model(), residual=None).levels(0)


def test_what_is_generated_is_as_wide_as_its_scale_around_the_mean():
    """A denoiser of unit normal residuals: statistics over 4,000 rows."""
    scale = (0.1, 0.5, 2.0, 0.01)
    model = make_model(scale=scale)
    one = make_fields(batch=1)
    known = {name: jnp.repeat(f, 4000, axis=0) for name, f in one.items()}
    found = generate(model, known, heun(), model.levels(20), KEY)
    z, mean = (model.targets.analysis(fields) for fields in (found, known))
    across = (0, 1, 2)
    np.testing.assert_allclose(jnp.std(z - mean, across), scale, rtol=0.03)
    off = np.abs((z - mean).mean(0)) / np.asarray(scale)
    assert float(off.max()) < 5 / np.sqrt(4000)


@pytest.mark.parametrize(
    "wavelet", [pytest.param("haar", marks=pytest.mark.slow), "bior2.4"]
)
def test_on_a_base_it_adds_in_units_of_the_base(wavelet):
    """The oracle says what is left of the answer beside interpolation."""
    model = make_model(tasks.refinement, (2.0,) * 4, Interpolation(), wavelet)
    fields = make_fields()
    fields["u_coarse"] = fields["u"][:, 1::2, ::2]
    found = jax.jit(generate, static_argnums=2)(
        model, fields, ddim(), model.levels(0), KEY
    )
    np.testing.assert_allclose(found["u"], fields["u"], atol=1e-9)
    whole, base = (
        jax.jit(lambda model: prepare(model, fields).estimate)(
            replace(model, residual=part)
        )
        for part in (model.residual, Interpolation())
    )
    np.testing.assert_allclose(whole.scale, 2 * base.scale)
    assert whole.features.shape[-1] == base.features.shape[-1] + 4
    z = jax.random.normal(KEY, whole.mean.shape)
    np.testing.assert_allclose(restored(residuals(z, whole), whole), z, atol=1e-9)


def test_the_denoiser_is_given_the_mean():
    heard = []

    def listening(x, c_noise, cond):
        heard.append(cond)
        return jnp.zeros_like(x)

    model, fields = make_model(), make_fields()
    model = replace(model, denoiser=Denoiser(listening, Plain()))
    wdno.generate(model, fields, ddim(), model.levels(1), KEY)
    mean = model.targets.analysis(fields)
    np.testing.assert_allclose(heard[0][..., -4:], mean, atol=1e-9)


def test_guidance_sees_whole_fields():
    def seen(denoise):
        return lambda x, sigma: denoise(x, sigma) + 1.0

    model, fields = make_model(scale=(0.1, 0.2, 0.3, 0.4)), make_fields()
    plain = prepare(model, fields)
    found = generate(model, fields, ddim(), model.levels(1), KEY, seen)
    free = generate(model, fields, ddim(), model.levels(1), KEY)
    change = model.targets.analysis(found) - model.targets.analysis(free)
    np.testing.assert_allclose(change, jnp.ones_like(plain.estimate.mean), rtol=1e-6)


@pytest.mark.parametrize(
    "base", [pytest.param(None, marks=pytest.mark.slow), Interpolation()]
)
def test_a_mean_is_saved_with_its_network_and_its_base(base, tmp_path):
    task = tasks.simulation if base is None else tasks.refinement
    model = make_operator(task=task)
    targets, given = model.targets, model.given
    rngs = nnx.Rngs(0)
    mean = LearnedMean(TINY, base, (0.5, 0.6, 0.7, 0.8)).built(targets, given, rngs)
    channels = len(given.channels) + mean.channels(targets, given)
    shape = wdno.networks.Shape(2, len(targets.channels), channels)
    network = freeze(wdno.networks.build(TINY, shape, rngs=rngs))
    denoiser = Denoiser(network, EDMPreconditioning())
    model = replace(model, residual=mean, denoiser=denoiser)
    wdno.save(model, tmp_path)
    loaded = wdno.load(tmp_path)
    assert loaded.residual.scale == mean.scale
    assert loaded.residual.base == base
    fields = {n: jnp.float32(f) for n, f in make_fields().items()}
    fields["u_coarse"] = fields["u"][:, 1::2, ::2]
    expected, found = (
        generate(m, fields, heun(), m.levels(3), KEY)["u"] for m in (model, loaded)
    )
    np.testing.assert_array_equal(found, expected)
    (tmp_path / "card.json").write_text(
        (tmp_path / "card.json").read_text().replace("0.8", "0.0")
    )
    with pytest.raises(ValueError):
        wdno.load(tmp_path)


@pytest.mark.parametrize("wrong", [0.0, -1.0, np.inf, np.nan])
def test_scales_that_nothing_can_be_divided_by_are_refused(wrong):
    with pytest.raises(ValueError, match="positive and finite"):
        LearnedMean(TINY, scale=(1.0, wrong))


def test_a_mean_of_another_layout_is_refused():
    targets, given = make_layouts()
    with pytest.raises(ValueError, match="one scale per channel, 4 here, but got 3"):
        LearnedMean(TINY, scale=(1.0, 1.0, 1.0)).built(targets, given, nnx.Rngs(0))


def test_a_mean_knows_no_noise():
    """It is a value: the same for every key and every member."""
    model, fields = make_model(), make_fields()
    first, second = (
        generate(model, fields, ddim(), model.levels(0), jax.random.key(n))["u"]
        for n in range(2)
    )
    np.testing.assert_array_equal(first, second)
