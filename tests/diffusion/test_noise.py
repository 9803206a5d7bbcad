import jax
import jax.numpy as jnp
import numpy as np
import pytest

from wdno.diffusion.noise import (
    cosine,
    karras,
    log_normal,
    log_uniform,
    mixture,
    per_row,
    point,
    sigmoid,
)


def test_karras_endpoints_and_trailing_zero():
    sigmas = karras(10, 0.02, 80.0)
    assert sigmas.shape == (11,)
    assert sigmas[0] == 80.0 and sigmas[-1] == 0.0
    np.testing.assert_allclose(sigmas[-2], 0.02, rtol=1e-12)
    assert np.all(np.diff(sigmas) < 0)


@pytest.mark.parametrize("rho", [1.0, 3.0, 7.0])
def test_karras_is_equidistant_in_its_power(rho):
    powers = np.asarray(karras(9, 0.02, 80.0, rho))[:-1] ** (1 / rho)
    np.testing.assert_allclose(np.diff(powers), powers[1] - powers[0], rtol=1e-9)


def test_one_step_is_the_largest_level_then_zero():
    np.testing.assert_array_equal(karras(1, 0.02, 80.0), [80.0, 0.0])
    assert cosine(1).shape == sigmoid(1).shape == (2,)


@pytest.mark.parametrize(
    ("schedule", "table", "rtol"),
    # the official sigmoid rounds its end points to float32, which 1 - abar inherits
    [(cosine, "1d_cosine", 1e-7), (sigmoid, "2d_sigmoid", 2e-5)],
)
@pytest.mark.parametrize("steps", [10, 50, 100])
def test_tables_are_those_of_the_official_code(shared, schedule, table, rtol, steps):
    with np.load(shared / "golden" / "schedule.npz") as golden:
        times = golden[f"ddim_times/S{steps}"]
        sigmas = golden[f"{table}/sqrt_recipm1_alphas_cumprod"]
    assert times[-1] == -1
    expected = np.append(sigmas[times[:-1]], 0.0)
    np.testing.assert_allclose(schedule(steps), expected, rtol=rtol)


@pytest.mark.parametrize(
    ("schedule", "table", "rtol"),
    # the official sigmoid rounds its end points to float32, which 1 - abar inherits
    [(cosine, "1d_cosine", 1e-7), (sigmoid, "2d_sigmoid", 2e-5)],
)
def test_full_table(shared, schedule, table, rtol):
    with np.load(shared / "golden" / "schedule.npz") as golden:
        expected = golden[f"{table}/sqrt_recipm1_alphas_cumprod"][::-1]
    np.testing.assert_allclose(schedule(1000)[:-1], expected, rtol=rtol)


@pytest.mark.parametrize("schedule", [cosine, sigmoid])
@pytest.mark.parametrize("steps", [3, 7, 300])
def test_tables_pick_truncated_equidistant_times(schedule, steps):
    times = np.linspace(-1, 999, steps + 1)[::-1] + 1e-9
    table = np.append(0.0, np.asarray(schedule(1000))[-2::-1])
    expected = table[np.floor(times).astype(int) + 1]
    np.testing.assert_array_equal(schedule(steps), expected)


def test_cosine_without_clipped_betas_is_its_closed_form():
    angle = (np.arange(1, 991) / 1000 + 0.008) / 1.008 * np.pi / 2
    alphas = np.cos(angle) ** 2 / np.cos(0.008 / 1.008 * np.pi / 2) ** 2
    expected = np.sqrt((1 - alphas) / alphas)[::-1]
    np.testing.assert_allclose(cosine(1000)[10:-1], expected, rtol=1e-9)


@pytest.mark.parametrize(
    ("draw", "quantile"),
    [
        (
            log_normal(-1.2, 1.2),
            {0.5: np.exp(-1.2), 0.8413447: 1.0, 0.9772499: np.exp(1.2)},
        ),
        (log_uniform(0.01, 100.0), {0.0: 0.01, 0.25: 0.1, 0.5: 1.0, 1.0: 100.0}),
        (point(80.0), {0.0: 79.9, 1.0: 80.0}),
    ],
)
def test_quantiles(draw, quantile):
    levels = np.asarray(draw(jax.random.key(0), (200_000,)))
    for probability, level in quantile.items():
        share = np.mean(levels <= level * (1 + 1e-12))
        tolerance = 5 * np.sqrt(probability * (1 - probability) / levels.size)
        assert abs(share - probability) <= tolerance + 1e-5


def test_mixture_follows_its_weights_independently_of_shape():
    draw = mixture([point(1.0), point(2.0), point(3.0)], [3.0, 0.0, 1.0])
    levels = np.asarray(draw(jax.random.key(0), (400, 100)))
    assert set(np.unique(levels)) == {1.0, 3.0}
    # five standard deviations of a share of 40,000 draws
    tolerance = 5 * np.sqrt(0.25 * 0.75 / levels.size)
    assert abs(np.mean(levels == 3.0) - 0.25) < tolerance
    by_row = np.mean(levels == 3.0, axis=1)
    np.testing.assert_allclose(by_row.var(), 0.25 * 0.75 / 100, rtol=0.4)


def test_mixture_of_one_has_the_quantiles_of_its_part():
    levels = mixture([log_uniform(0.01, 100.0)], [0.1])(jax.random.key(1), (100_000,))
    assert abs(np.mean(np.asarray(levels) < 1) - 0.5) < 5 * 0.5 / np.sqrt(100_000)


def test_draws_differ_by_key_and_work_under_jit():
    draw = mixture([log_normal(-1.2, 1.2), point(80.0)], [0.9, 0.1])
    jitted = jax.jit(draw, static_argnums=1)
    first, second = jax.random.split(jax.random.key(0))
    # compiled and interpreted exponentials differ in the last bits
    np.testing.assert_allclose(jitted(first, (64,)), draw(first, (64,)), rtol=1e-12)
    assert not np.array_equal(draw(first, (64,)), draw(second, (64,)))


def test_per_row_broadcasts_from_the_left():
    x = jnp.ones((2, 3, 4))
    product = per_row(jnp.array([1.0, 5.0]), x) * x
    np.testing.assert_array_equal(product[:, 0, 0], [1.0, 5.0])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: karras(0, 0.1, 1.0), "at least 1 but is 0"),
        (lambda: karras(5, 1.0, 0.1), "sigma_min=1.0, sigma_max=0.1"),
        (lambda: karras(5, 0.0, 1.0), "0 < sigma_min"),
        (lambda: karras(5, 0.1, 1.0, -1.0), "`rho` must be positive"),
        (lambda: cosine(0), "between 1 and timesteps=1000 but is 0"),
        (lambda: sigmoid(11, timesteps=10), "between 1 and timesteps=10 but is 11"),
        (lambda: log_normal(0.0, 0.0), "`std` must be positive"),
        (lambda: log_normal(float("nan"), 1.0), r"`exp\(mean\)` must be positive"),
        (lambda: log_uniform(0.0, 1.0), "0 < sigma_min"),
        (lambda: point(-1.0), "`sigma` must be positive and finite but is -1.0"),
        (lambda: mixture([point(1.0)], [0.5, 0.5]), "1 distributions and 2 weights"),
        (lambda: mixture([point(1.0)], [-1.0]), "non-negative with a positive sum"),
        (lambda: mixture([], []), "positive sum"),
    ],
)
def test_bad_input_is_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()
