"""Samplers against an exact denoiser: x0 ~ N(mu, s^2) has everything in closed form."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from wdno.diffusion.keys import row_keys, row_normal, step_keys
from wdno.diffusion.noise import cosine, karras, per_row, sigmoid
from wdno.diffusion.samplers import ddim, dpmpp_2m, heun, sample

draw = jax.jit(sample, static_argnums=(0, 1, 2))
noise_of = jax.jit(row_normal, static_argnums=(0, 1))


@partial(jax.jit, static_argnums=(0, 1))
def step(sampler, denoise, *arguments):
    """One step, compiled as it is within `sample`."""
    return sampler.step(denoise, *arguments)


KEY = jax.random.key(0)
MEAN, STD = 0.7, 0.5
ODE = {"ddim": (ddim(0.0), 1), "heun": (heun(), 2), "dpmpp_2m": (dpmpp_2m(), 2)}
SAMPLERS = {
    "ddim": ddim(0.0),
    "ddim(0.4)": ddim(0.4),
    "ddim(1)": ddim(1.0),
    "heun": heun(),
    "dpmpp_2m": dpmpp_2m(),
}
# Renewing a part of the noise differs from renewing all by numbers alone.
every_sampler = pytest.mark.parametrize(
    "sampler",
    [
        pytest.param(rule, marks=[pytest.mark.slow] if name == "ddim(0.4)" else [])
        for name, rule in SAMPLERS.items()
    ],
    ids=SAMPLERS,
)


def gaussian(x, sigma):
    """E[x0 | x] for x0 ~ N(MEAN, STD^2)."""
    variance = per_row(sigma, x) ** 2
    return (STD**2 * x + variance * MEAN) / (STD**2 + variance)


def bounded(x, sigma):
    """A nonlinear denoiser, undefined at sigma = 0 as any preconditioned one is."""
    return jnp.tanh(x / (1 + per_row(sigma, x))) + per_row(jnp.log(sigma), x) / 50


def nothing(x, sigma):
    """A denoiser to which everything is noise."""
    return jnp.zeros_like(x)


def solution(x, sigma, sigma_next):
    """Probability flow of the Gaussian from sigma to sigma_next."""
    spread = np.sqrt((STD**2 + sigma_next**2) / (STD**2 + sigma**2))
    return MEAN + (x - MEAN) * spread


@partial(jax.jit, static_argnums=0)
def start(shape, sigma, key):
    keys = step_keys(row_keys(key, shape[0]), jnp.zeros(shape[0], int))
    return sigma * row_normal(shape, sigma.dtype, keys)


# ----------------------------------------------------------------------- accuracy


def errors(sampler, schedules):
    """One error a schedule, from the same start; arrived rows wait for the others."""
    steps, shape = max(map(len, schedules)), (len(schedules), 12)
    padded = [np.pad(levels, (0, steps - len(levels)), "edge") for levels in schedules]
    sigmas = np.stack(padded, axis=1)
    keys = jnp.stack([jax.random.key(0)] * len(schedules))
    x = draw(sampler, gaussian, shape, sigmas, keys)
    first, last = sigmas[0][:, None], sigmas[-1][:, None]
    exact = solution(start(shape, first, keys), first, last)
    return np.abs(np.asarray(x - exact)).max(axis=1)


@pytest.mark.parametrize(("sampler", "order"), ODE.values(), ids=ODE)
def test_order_of_convergence_to_the_probability_flow(sampler, order):
    error = errors(sampler, [np.geomspace(10.0, 0.05, n + 1) for n in (40, 80, 160)])
    observed = np.log2(error[:-1] / error[1:])
    np.testing.assert_allclose(observed[-1], order, atol=0.12)
    np.testing.assert_allclose(observed, order, atol=0.25)


@pytest.mark.parametrize(("sampler", "order"), ODE.values(), ids=ODE)
def test_order_on_karras_levels_down_to_zero(sampler, order):
    # the step to 0 is an Euler step: shrink it with the others
    error = errors(sampler, [karras(n, 0.5 / n, 10.0) for n in (40, 80, 160)])
    assert error[2] < 0.3**order * error[0]


def test_euler_steps_follow_their_first_order_recursion():
    sigmas = np.asarray(karras(7, 0.1, 5.0))
    key, shape = jax.random.key(2), (3, 4)
    x = np.asarray(start(shape, sigmas[0], key))
    for sigma, sigma_next in zip(sigmas[:-1], sigmas[1:], strict=True):
        x0 = (STD**2 * x + sigma**2 * MEAN) / (STD**2 + sigma**2)
        x = x + (sigma_next - sigma) * (x - x0) / sigma
    ours = draw(ddim(), gaussian, shape, jnp.asarray(sigmas), key)
    np.testing.assert_allclose(ours, x, rtol=1e-12)


def test_heun_needs_one_step_where_the_slope_is_linear_in_sigma():
    # x0 = c - x' with slope (x - x0)/sigma = a + b sigma: trapezoidal rule is exact
    def linear(x, sigma):
        level = per_row(sigma, x)
        return x - level * (2.0 + 3.0 * level)

    x = np.ones((1, 1))
    keys = row_keys(jax.random.key(0), 1)
    out, _ = step(heun(), linear, x, np.array([2.0]), np.array([0.5]), (), keys)
    exact = 1.0 + 2.0 * (0.5 - 2.0) + 1.5 * (0.5**2 - 2.0**2)
    np.testing.assert_allclose(out, [[exact]], rtol=1e-13)


def test_two_step_rule_is_exact_where_the_estimate_is_linear_in_log_sigma():
    # D linear in log sigma with equal steps: extrapolated to the middle of the step
    estimate = lambda x, sigma: jnp.ones_like(x) * per_row(jnp.log(sigma), x)  # noqa: E731
    sampler, key = dpmpp_2m(), row_keys(jax.random.key(0), 1)
    x, four, two, one = jax.device_put([np.zeros((1, 1)), *np.array([[4.0], [2], [1]])])
    x1, state = step(sampler, estimate, x, four, two, sampler.init(x), key)
    np.testing.assert_allclose(x1, [[0.5 * np.log(4.0)]], rtol=1e-14)
    x2, _ = step(sampler, estimate, x1, two, one, state, key)
    middle = np.log(2.0) + 0.5 * (np.log(2.0) - np.log(4.0))
    np.testing.assert_allclose(x2, 0.5 * x1 + 0.5 * middle, rtol=1e-14)


# ----------------------------------------------------------------- ancestral steps


def moments(eta, sigmas, inflation=1.0):
    """Mean and variance of `ddim(eta)` samples by their exact affine recursion."""
    mean, variance = 0.0, sigmas[0] ** 2
    for sigma, after in zip(sigmas[:-1], sigmas[1:], strict=True):
        up = min(after, eta * np.sqrt(after**2 * (sigma**2 - after**2) / sigma**2))
        keep = np.sqrt(after**2 - up**2) / sigma
        shrink = STD**2 / (STD**2 + sigma**2)
        factor = keep + (1 - keep) * shrink
        mean = factor * mean + (1 - keep) * (1 - shrink) * MEAN
        variance = factor**2 * variance + (inflation * up) ** 2
    return mean, variance


@pytest.mark.parametrize(
    ("eta", "inflation"),
    [
        pytest.param(0.0, 1.0, marks=pytest.mark.slow),
        (0.4, 1.0),
        pytest.param(1.0, 1.0, marks=pytest.mark.slow),
        pytest.param(3.0, 1.0, marks=pytest.mark.slow),
        (1.0, 1.3),
    ],
)
def test_mean_and_variance_of_samples(eta, inflation):
    sigmas, size = karras(10, 0.05, 20.0), 200_000
    sampler, shape = ddim(eta, inflation), (1000, size // 1000)
    x = np.asarray(draw(sampler, gaussian, shape, sigmas, jax.random.key(3)))
    mean, variance = moments(eta, np.asarray(sigmas), inflation)
    assert abs(x.mean() - mean) < 5 * np.sqrt(variance / size)
    assert abs(x.var() / variance - 1) < 5 * np.sqrt(2 / size)


@pytest.mark.parametrize("eta", [0.0, 0.4, 1.0])
def test_moments_tend_to_those_of_the_data(eta):
    error = [
        np.abs(
            np.subtract(moments(eta, np.asarray(karras(n, 0.02, 80.0))), (0.7, 0.25))
        )
        for n in (50, 100, 200, 400)
    ]
    ratios = np.array(error[:-1])[:, 1] / np.array(error[1:])[:, 1]
    assert np.all(ratios > 1.7)
    assert error[-1].max() < 0.01


@pytest.mark.parametrize("calls", [4, pytest.param(8, marks=pytest.mark.slow)])
def test_spread_of_few_calls_from_standard_normal_data(calls):
    # what is left to the diffusion by a mean is normal, in units of its scale
    sigmas, shape = karras(calls, 0.02, 10.0), (2000, 20)

    def normal(x, sigma):
        return x / (1 + per_row(sigma, x) ** 2)

    spread = {
        name: np.std(draw(rule, normal, shape, sigmas, jax.random.key(5)))
        for name, rule in (("ddim", ddim()), ("dpmpp_2m", dpmpp_2m()))
    }
    high, low = np.asarray(sigmas[:-1], float), np.asarray(sigmas[1:], float)
    left = high[0] * np.prod((1 + high * low) / (1 + high**2))
    assert spread["ddim"] == pytest.approx(left, rel=0.02)
    assert spread["ddim"] < 0.82
    assert spread["dpmpp_2m"] == pytest.approx(1, abs=0.07)


def test_ancestral_step_is_the_exact_posterior_of_the_noising_chain():
    # q(x' | x, x0) of x' = x0 + s' n', x = x' + sqrt(s^2 - s'^2) n (Ho et al., eq. 6)
    sigma, after, x, x0 = 3.0, 1.2, 0.4, -0.9
    precision = 1 / after**2 + 1 / (sigma**2 - after**2)
    mean = (x0 / after**2 + x / (sigma**2 - after**2)) / precision
    key = row_keys(jax.random.key(4), 200_000)
    rows = np.ones(200_000)
    out, _ = step(
        ddim(1.0),
        lambda x, sigma: jnp.full_like(x, x0),
        np.full((200_000, 1), x),
        rows * sigma,
        rows * after,
        (),
        key,
    )
    noise = noise_of(out.shape, out.dtype, key)
    np.testing.assert_allclose(out, mean + noise / np.sqrt(precision), rtol=1e-9)


estimate, keys_of = jax.jit(bounded), jax.jit(step_keys)


@pytest.mark.parametrize(
    "eta", [0.0, pytest.param(0.3, marks=pytest.mark.slow), 0.8, 1.0]
)
@pytest.mark.parametrize("schedule", [cosine, sigmoid])
def test_equals_ddim_in_variance_preserving_form(eta, schedule):
    """Song et al. 2021, eqs. 12 and 16, transcribed on abar; x_VP = sqrt(abar) x."""
    sigmas, key, shape = schedule(20), jax.random.key(5), (3, 4)
    keys = row_keys(key, 3)
    abar = 1 / (1 + np.asarray(sigmas) ** 2)
    x = np.sqrt(abar[0]) * np.asarray(start(shape, np.asarray(sigmas)[0], key))
    for n, (a, a_next) in enumerate(zip(abar[:-1], abar[1:], strict=True), start=1):
        level = np.full(3, np.sqrt((1 - a) / a))
        x0 = np.asarray(estimate(x / np.sqrt(a), level))
        epsilon = (x - np.sqrt(a) * x0) / np.sqrt(1 - a)
        scale = eta * np.sqrt((1 - a_next) / (1 - a)) * np.sqrt(1 - a / a_next)
        noise = noise_of(shape, sigmas.dtype, keys_of(keys, np.full(3, n)))
        direction = np.sqrt(np.maximum(1 - a_next - scale**2, 0)) * epsilon
        x = np.sqrt(a_next) * x0 + direction + scale * np.asarray(noise)
    ours = draw(ddim(eta), bounded, shape, sigmas, key)
    np.testing.assert_allclose(ours, x, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize(
    ("schedule", "table"), [(cosine, "1d_cosine"), (sigmoid, "2d_sigmoid")]
)
def test_coefficients_of_the_official_sampler(shared, schedule, table):
    with np.load(shared / "golden" / "schedule.npz") as golden:
        scale, direction = golden[f"ddim_sigma_c_eta1/{table}/S50"].T.astype(float)
    sigmas = np.asarray(schedule(50))[:-1]
    after, keys = sigmas[1:], row_keys(jax.random.key(0), 49)
    x = sigmas[:-1, None]  # unit noise over x0 = 0
    moved, _ = step(ddim(1.0), nothing, x, sigmas[:-1], after, (), keys)
    noise = np.asarray(noise_of(x.shape, x.dtype, keys))[:, 0]
    moved = np.asarray(moved)
    root = 1 / np.sqrt(1 + after**2)
    official = direction + scale * noise
    # float32 cancellation in the official direction (1 - abar' - scale^2)
    np.testing.assert_allclose(root * moved[:, 0], official, atol=2e-5)
    np.testing.assert_allclose((root * moved[:, 0])[5:], official[5:], atol=2e-6)


# ------------------------------------------------------------------- rows (C1, C3)


def draw_rows(sampler, sigmas, keys):
    """Rows with a schedule and a key each; compiled for 5 and for 1 of 7 levels."""
    return draw(sampler, bounded, (len(keys), 4, 2), sigmas, keys)


@every_sampler
def test_rows_at_different_levels_equal_separate_calls(sampler):
    sigmas = np.stack(
        [
            karras(6, 0.1, 5.0),
            karras(6, 0.3, 40.0),
            [3.0, 3.0, 3.0, 1.0, 0.5, 0.5, 0.0],  # waits, then moves
            [2.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0],  # arrives early
            np.zeros(7),  # is there from the start
        ],
        axis=1,
    )
    keys = row_keys(jax.random.key(6), 5)
    together = draw_rows(sampler, sigmas, keys)
    assert np.isfinite(together).all()
    for row in range(5):
        alone = draw_rows(sampler, sigmas[:, row : row + 1], keys[row : row + 1])
        np.testing.assert_allclose(together[row], alone[0], rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("sampler", [ddim(0.0), heun(), dpmpp_2m()])
def test_waiting_does_not_change_the_result_of_deterministic_steps(sampler):
    levels = np.asarray(karras(3, 0.1, 5.0))
    waiting = np.repeat(levels, 2)[:-1]
    sigmas = np.stack([waiting, *[np.pad(levels, (0, 3))] * 4], axis=1)
    keys = jnp.stack([jax.random.key(7)] * 5)
    waited, moved, *_ = draw_rows(sampler, sigmas, keys)
    np.testing.assert_allclose(waited, moved, rtol=1e-12)


@every_sampler
@pytest.mark.parametrize("level", [0.0, 1e-3, 0.3, 70.0])
def test_standing_row_is_returned_bit_for_bit(sampler, level):
    x = jax.device_put(np.random.default_rng(8).normal(size=(3, 5)))
    sigma, before = np.full(3, level), sampler.init(x)
    keys = row_keys(jax.random.key(9), 3)
    moved, state = step(sampler, bounded, x, sigma, sigma, before, keys)
    np.testing.assert_array_equal(moved, x)
    for kept, initial in zip(
        jax.tree.leaves(state), jax.tree.leaves(before), strict=True
    ):
        np.testing.assert_array_equal(kept, initial)


@every_sampler
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float64])
def test_step_to_zero_gives_exactly_the_estimate(sampler, dtype):
    values = 30 * np.random.default_rng(10).normal(size=(2, 4, 5))
    x, estimate = jax.device_put(values.astype(dtype))
    sigma, keys = np.array([1e-3, 0.3, 7.0, 2e4], dtype), row_keys(KEY, 4)
    known = lambda x, sigma: estimate  # noqa: E731
    moved, _ = step(sampler, known, x, sigma, 0 * sigma, sampler.init(x), keys)
    np.testing.assert_array_equal(moved, estimate)


@every_sampler
def test_denoiser_is_never_asked_at_zero(sampler):
    asked = []

    def watched(x, sigma):
        jax.debug.callback(asked.append, sigma)
        return x / 2

    x, keys = jax.device_put(np.ones((4, 5))), row_keys(KEY, 4)
    sigma, after = np.array([2.0, 2.0, 0.0, 0.0]), np.array([1.0, 0.0, 0.0, 0.0])
    step(sampler, watched, x, sigma, after, sampler.init(x), keys)
    jax.effects_barrier()
    assert len(asked) == (2 if sampler is heun() else 1)
    assert np.all(np.stack(asked) > 0)


@every_sampler
def test_gradients_are_finite(sampler):
    sigmas = np.stack(
        [karras(4, 0.1, 5.0), np.zeros(5), [1.0, 1.0, 0.5, 0.0, 0.0]], axis=1
    )

    def loss(sigmas, scale):
        denoise = lambda x, sigma: scale * bounded(x, sigma)  # noqa: E731
        x = sample(sampler, denoise, (3, 2), sigmas, jax.random.key(13))
        return jnp.sum(x**2)

    for gradient in jax.jit(jax.grad(loss, argnums=(0, 1)))(sigmas, 0.9):
        assert np.isfinite(gradient).all()
        assert np.any(np.asarray(gradient) != 0)


@every_sampler
def test_state_leads_with_the_batch(sampler):
    for leaf in jax.tree.leaves(sampler.init(jnp.zeros((3, 4, 2)))):
        assert leaf.shape[0] == 3


# -------------------------------------------------------------------- randomness


def test_a_row_does_not_depend_on_the_size_of_the_batch():
    sigmas, key = np.asarray(karras(6, 0.1, 5.0))[:, None], jax.random.key(14)
    one, many = (
        draw_rows(ddim(1.0), np.repeat(sigmas, batch, axis=1), row_keys(key, batch))
        for batch in (1, 5)
    )
    np.testing.assert_allclose(one, many[:1], rtol=1e-12)
    assert len(np.unique(np.asarray(many))) == many.size


@every_sampler
def test_single_precision_stays_single(sampler):
    sigmas = np.asarray(karras(5, 0.1, 5.0), np.float32)
    run = partial(sample, sampler, bounded, (2, 3, 1))
    assert jax.eval_shape(run, sigmas, KEY).dtype == jnp.float32


@pytest.mark.parametrize(
    "sampler",
    [
        pytest.param(rule, marks=[] if name == "ddim(1)" else [pytest.mark.slow])
        for name, rule in SAMPLERS.items()
    ],
    ids=SAMPLERS,
)
def test_jit_and_dtype(sampler):
    sigmas = jax.device_put(np.asarray(karras(5, 0.1, 5.0), np.float32))
    shape = (2, 3, 1)
    run = partial(sample, sampler, bounded, shape)
    eager = run(sigmas, jax.random.key(16))
    assert eager.dtype == jnp.float32
    jitted = jax.jit(run)(sigmas, jax.random.key(16))
    np.testing.assert_allclose(jitted, eager, rtol=1e-5, atol=1e-6)


def test_float32_is_accurate_where_the_variance_preserving_form_cancels():
    # sqrt(1 - abar' - scale^2) of the official form is NaN in float32 at three steps
    sigmas = np.asarray(cosine(3), np.float32)
    sigma, after = sigmas[:1], sigmas[1:2]
    x, keys = sigma[:, None], row_keys(jax.random.key(17), 1)
    moved, zero = (
        step(ddim(1.0), nothing, start, sigma, after, (), keys)[0]
        for start in (x, 0 * x)
    )
    direction = float(after[0]) ** 2 / float(sigma[0])
    difference = np.asarray(moved) - np.asarray(zero)
    np.testing.assert_allclose(difference, [[direction]], atol=3e-7)


# ------------------------------------------------------------------------ errors


@pytest.mark.parametrize("eta", [-0.1, float("nan"), float("inf")])
def test_bad_eta(eta):
    with pytest.raises(ValueError, match="`eta` must be finite and not negative"):
        ddim(eta)


@pytest.mark.parametrize("inflation", [0.0, -1.0, float("nan"), float("inf")])
def test_noise_is_not_inflated_by_nothing(inflation):
    with pytest.raises(ValueError, match="`inflation` must be positive and finite"):
        ddim(1.0, inflation)


@pytest.mark.parametrize(
    ("sigmas", "message"),
    [
        (jnp.array([1.0]), "two levels or more"),
        (jnp.ones((3, 5)), r"\(levels, 2\)"),
        (jnp.array([0.1, 1.0, 0.0]), "not increase"),
        (jnp.array([1.0, 0.5, -0.1]), "not negative"),
        (jnp.array([jnp.inf, 1.0, 0.0]), "finite"),
        (jnp.array([jnp.nan, 1.0, 0.0]), "finite"),
    ],
)
def test_bad_levels(sigmas, message):
    with pytest.raises(ValueError, match=message):
        sample(ddim(), gaussian, (2, 3), sigmas, jax.random.key(0))


def test_noise_of_the_first_level_is_added_to_the_start():
    """To a denoiser that changes nothing, both are what is left."""
    shape, sigmas, key = (3, 4, 2), jnp.array([0.5, 0.1]), jax.random.key(0)
    still = partial(sample, ddim(), lambda x, sigma: x, shape, sigmas, key)
    from_rest = still()
    x = np.random.default_rng(1).normal(size=shape)
    np.testing.assert_allclose(still(jax.device_put(x)), x + from_rest, atol=1e-6)
    np.testing.assert_array_equal(still(0.0), from_rest)
