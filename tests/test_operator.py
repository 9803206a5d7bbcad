"""The operator: layouts around a denoiser, its schedule and its loss."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from oracles import DIMS, Oracle, Uncertain, make_fields, make_layouts, make_operator

import wdno
from wdno import WDNO, Domain, samplers, tasks, training_loss
from wdno.noise import point
from wdno.schedules import KarrasSchedule

SAMPLERS = [samplers.ddim(), samplers.ddim(1.0), samplers.heun(), samplers.dpmpp_2m()]
KEY = jax.random.key(0)
SCHEDULE = KarrasSchedule(0.1, 1.0)
generate = nnx.jit(wdno.generate, static_argnames=("sampler", "guidance"))


class Biased(Oracle):
    """The exact denoiser, wrong by a constant per channel."""

    bias = np.array([0.3, -0.2, 0.1, 0.4])

    def __call__(self, x, sigma, cond):
        bias = jnp.asarray(self.bias)[*(None,) * (x.ndim - 1)]
        return super().__call__(x, sigma, cond) + bias


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


def test_layouts_of_different_grids_are_refused():
    (targets, _), (_, given) = make_layouts((4, 8)), make_layouts((4, 16))
    message = r"\(2, 4\) and \(2, 8\).*same grid"
    with pytest.raises(ValueError, match=message):
        WDNO(targets, given, Oracle(targets, given), Domain((0,), (1,)), SCHEDULE)


@pytest.mark.parametrize(
    ("task", "state", "control"),
    [
        (tasks.simulation, ("u",), ("f",)),
        (tasks.refinement, ("u",), ("f",)),
        (tasks.control, ("u",), ()),
    ],
)
def test_what_a_model_generates_and_knows_follows_from_its_task(task, state, control):
    model = make_operator(task=task, grid=(8, 16))
    assert model.state == state
    assert model.control == control
    assert model.window == 8


def test_domain_has_one_instant_more_than_frames():
    coords = Domain((2.0, 0.5), (0.25, 0.125)).coords(DIMS, (4, 3))
    np.testing.assert_array_equal(coords["time"], [2.0, 2.25, 2.5, 2.75, 3.0])
    np.testing.assert_array_equal(coords["x"], [0.5, 0.625, 0.75])


def test_schedules_span_the_noise_levels_of_the_model():
    model = make_operator()
    np.testing.assert_array_equal(model.schedule(1), [10.0, 0.0])
    levels = np.asarray(model.schedule(7))
    assert len(levels) == 8
    np.testing.assert_allclose(levels[[0, -2, -1]], [10.0, 0.01, 0.0], rtol=1e-12)
    assert (np.diff(levels) < 0).all()


def test_the_loss_of_the_exact_denoiser_is_zero():
    loss = training_loss(point(2.0))
    assert loss(make_operator(), make_fields(), KEY) < 1e-20


@pytest.mark.parametrize(("sigma", "balance"), [(2.0, 1.25), (0.1, 5.0)])
def test_the_loss_weighs_channels_by_energy_and_bounds_low_noise(sigma, balance):
    model = make_operator(Biased)
    share = np.square(model.targets.scale) / np.mean(np.square(model.targets.scale))
    expected = balance * np.mean(share * Biased.bias**2)
    loss = training_loss(point(sigma))(model, make_fields(), KEY)
    np.testing.assert_allclose(loss, expected, rtol=1e-10)


def test_the_loss_is_proportional_to_the_error_in_physical_space():
    """Parseval: Haar is orthogonal, and channels count by their squared scale."""
    model, fields = make_operator(Biased), make_fields()
    found = generate(model, fields, SAMPLERS[0], model.schedule(1), KEY)["u"]
    balance = 1 + 1 / model.schedule.sigma_range[1] ** 2
    loss = training_loss(point(model.schedule.sigma_range[1]))(model, fields, KEY)
    np.testing.assert_allclose(
        jnp.mean(jnp.square(found - fields["u"])),
        loss / balance * np.mean(np.square(model.targets.scale)),
        rtol=1e-10,
    )


def test_domain_of_axes_gives_them_back():
    axes = {"time": np.arange(5) * 0.1, "x": 0.5 + np.arange(8) / 8}
    domain = Domain.of(axes)
    again = domain.coords(("time", "x"), (4, 8))
    for name, points in axes.items():
        np.testing.assert_allclose(again[name], points, atol=1e-12)


def test_uneven_axes_are_refused():
    gap = np.array([0.0, 0.1, 0.3, 0.4])
    with pytest.raises(ValueError, match="evenly spaced, but 'time' has the 4 points"):
        Domain.of({"time": gap})
    with pytest.raises(ValueError, match="uniform grid"):
        Domain.of({"time": np.zeros(1)})
