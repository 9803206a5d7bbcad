"""The forced Burgers solver against exact solutions, identities and reference data."""

import dataclasses
import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.interpolate import CubicSpline
from scipy.io import loadmat

from wdno.systems import Burgers
from wdno.systems.forces import gaussian

KEY = jax.random.key(0)
SMALL = Burgers(points=32, frames=6, duration=0.6)

draw = jax.jit(Burgers.sample_inputs, static_argnums=(0, 2))


@pytest.fixture(scope="module")
def inputs():
    return draw(SMALL, KEY, 3)


def relative_l2(estimate, truth):
    difference = np.asarray(estimate) - np.asarray(truth)
    return np.linalg.norm(difference) / np.linalg.norm(truth)


def still(system, dtype=jnp.float64, batch=1):
    """No flow and no force."""
    return {
        "u0": jnp.zeros((batch, system.points), dtype),
        "f": jnp.zeros((batch, system.frames, system.points), dtype),
    }


def cole_hopf(x, time, viscosity, nodes=200):
    """Exact u for u0 = sin 2πx and f = 0, by Gauss-Hermite quadrature.

    u = ∫ u0(y) w dy / ∫ w dy with w = exp(-(x - y)² / 4νt - F(y) / 2ν), F' = u0
    (Hopf, Comm. Pure Appl. Math. 3 (1950), eq. 8).
    """
    z, weight = np.polynomial.hermite.hermgauss(nodes)
    y = x[:, None] - np.sqrt(4 * viscosity * time) * z
    potential = (1 - np.cos(2 * np.pi * y)) / (2 * np.pi)
    w = weight * np.exp(-potential / (2 * viscosity))
    return (np.sin(2 * np.pi * y) * w).sum(1) / w.sum(1)


def steady(system):
    """A steady flow u = sin πx eˣ and the force that keeps it, non-zero at a wall."""
    x = system.coords["x"]
    wave, other, growth = np.sin(np.pi * x), np.pi * np.cos(np.pi * x), np.exp(x)
    u = wave * growth
    u_x = (wave + other) * growth
    u_xx = (wave + 2 * other - np.pi**2 * wave) * growth
    f = u * u_x - system.viscosity * u_xx
    inputs = {
        "u0": jnp.asarray(u)[None],
        "f": jnp.broadcast_to(jnp.asarray(f), (1, system.frames, system.points)),
    }
    return inputs, u


def test_cole_hopf_solution_with_a_steep_front():
    system = Burgers(viscosity=0.01, duration=0.5, frames=5)
    x = system.coords["x"]
    inputs = still(system) | {"u0": jnp.asarray(np.sin(2 * np.pi * x))[None]}
    u = system.solve(inputs)["u"][0]
    exact = np.stack([cole_hopf(x, t, 0.01) for t in system.coords["time"][1:]])
    assert relative_l2(u, exact) < 5e-5


def test_convergence_order_is_four_for_free_flow():
    errors = []
    for points in (40, 80, 160):
        system = Burgers(viscosity=0.02, duration=0.4, frames=2, points=points)
        x = system.coords["x"]
        inputs = still(system) | {"u0": jnp.asarray(np.sin(2 * np.pi * x))[None]}
        exact = cole_hopf(x, 0.4, 0.02)
        errors.append(relative_l2(system.solve(inputs)["u"][0, -1], exact))
    orders = np.log2(np.divide(errors[:-1], errors[1:]))
    assert np.all(orders > 3.7), orders


def test_convergence_order_is_four_with_a_force_at_the_wall():
    errors = []
    for points in (20, 40, 80):
        system = Burgers(viscosity=0.1, duration=1.0, frames=2, points=points)
        inputs, u = steady(system)
        errors.append(relative_l2(system.solve(inputs)["u"][0, -1], u))
    orders = np.log2(np.divide(errors[:-1], errors[1:]))
    assert np.all(orders > 3.6), orders


def test_a_steady_flow_stays():
    system = Burgers(viscosity=0.1, duration=2.0, frames=4)
    inputs, u = steady(system)
    np.testing.assert_allclose(
        system.solve(inputs)["u"][0], np.tile(u, (4, 1)), atol=1e-6
    )


def test_heat_equation_limit_with_force_is_exact():
    system = Burgers(duration=4.0, frames=20)
    x, instants = system.coords["x"], system.coords["time"]
    mode, rate = np.sin(np.pi * x), system.viscosity * np.pi**2
    strength = np.linspace(-1, 1, 20)
    small = 1e-9
    u = system.solve(
        {
            "u0": small * jnp.asarray(mode)[None],
            "f": small * jnp.asarray(strength[:, None] * mode)[None],
        }
    )["u"][0]
    amplitude, decay = [1.0], np.exp(-rate * (instants[1] - instants[0]))
    for force in strength:
        amplitude.append(amplitude[-1] * decay + force * (1 - decay) / rate)
    exact = small * np.array(amplitude[1:])[:, None] * mode
    assert relative_l2(u, exact) < 1e-6


def test_nothing_comes_from_nothing():
    assert not np.any(SMALL.solve(still(SMALL))["u"])


def test_walls_hold_the_fluid(inputs):
    assert not np.any(SMALL.solve(inputs)["u"][:, :, 0])


def test_mirror_symmetry():
    """Reversing x, u and f gives the reversed flow."""
    system = Burgers(points=120, frames=4, duration=0.4)
    x = system.coords["x"]

    def solve(sign):
        y = x if sign > 0 else 1 - x
        u0 = sign * np.sin(np.pi * y) * np.exp(y)
        f = sign * np.cos(3 * y) * np.ones((4, 1))
        return system.solve({"u0": jnp.asarray(u0)[None], "f": jnp.asarray(f)[None]})[
            "u"
        ][0]

    np.testing.assert_allclose(solve(1)[:, 1:], -solve(-1)[:, :0:-1], atol=2e-6)


def test_energy_budget():
    """d/dt ∫u²/2 = ∫fu - ν∫u_x²: convection moves energy but makes none."""
    system = Burgers(points=120, frames=200, duration=1.0, viscosity=0.03)
    x, instants = system.coords["x"], system.coords["time"]
    u0 = np.sin(2 * np.pi * x) + 0.5 * np.sin(np.pi * x)
    f = np.ones((200, 1)) * np.sin(3 * np.pi * x)
    u = system.solve({"u0": jnp.asarray(u0)[None], "f": jnp.asarray(f)[None]})["u"][0]
    u = np.pad(np.concatenate([u0[None], u]), ((0, 0), (0, 1)))
    nodes = np.append(x, 1.0)
    slope = CubicSpline(nodes, u, axis=1)(nodes, 1)
    integral = lambda values: np.trapezoid(values, nodes, axis=-1)  # noqa: E731
    power = integral(u * np.sin(3 * np.pi * nodes)) - 0.03 * integral(slope**2)
    gained = integral(u[-1] ** 2 / 2) - integral(u[0] ** 2 / 2)
    work = np.trapezoid(power, instants)
    assert abs(gained) > 0.05
    np.testing.assert_allclose(gained, work, atol=2e-4)


def test_a_force_acts_only_from_its_own_interval_on(inputs):
    later = inputs | {"f": inputs["f"].at[:, 3].add(1.0)}
    u, v = SMALL.solve(inputs)["u"], SMALL.solve(later)["u"]
    np.testing.assert_array_equal(u[:, :3], v[:, :3])
    assert np.abs(u[:, 3] - v[:, 3]).max() > 0.01


def test_gradient_equals_finite_differences(inputs):
    inputs = {n: v.astype(jnp.float64) for n, v in inputs.items()}
    generator = np.random.default_rng(0)
    along = {n: jnp.asarray(generator.normal(size=v.shape)) for n, v in inputs.items()}

    @jax.jit
    def energy(inputs):
        return (SMALL.solve(inputs)["u"][:, -1] ** 2).sum()

    def moved(h):
        return energy({n: inputs[n] + h * along[n] for n in inputs})

    gradient = jax.grad(energy)(inputs)
    slopes = {n: (gradient[n] * along[n]).sum() for n in inputs}
    assert all(abs(slope) > 0.01 for slope in slopes.values())
    numeric = (moved(1e-5) - moved(-1e-5)) / 2e-5
    np.testing.assert_allclose(sum(slopes.values()), numeric, rtol=1e-6)


def test_single_precision_stays_single_and_agrees(inputs):
    single = SMALL.solve(inputs)["u"]
    double = SMALL.solve({n: v.astype(jnp.float64) for n, v in inputs.items()})["u"]
    assert single.dtype == jnp.float32 and double.dtype == jnp.float64
    assert relative_l2(single, double) < 2e-5


def test_rows_are_independent(inputs):
    alone = SMALL.solve({n: v[1:2] for n, v in inputs.items()})["u"]
    np.testing.assert_allclose(SMALL.solve(inputs)["u"][1:2], alone, atol=1e-5)


def test_more_substeps_change_nothing():
    """The default substeps resolve time: the answer is that of far shorter steps."""
    system = Burgers(frames=10, duration=1.0)
    finer = dataclasses.replace(system, max_speed=25.0)
    assert finer.substeps > 2 * system.substeps
    inputs = {n: v.astype(jnp.float64) for n, v in draw(system, KEY, 4).items()}
    assert relative_l2(system.solve(inputs)["u"], finer.solve(inputs)["u"]) < 2e-5


def test_stable_up_to_the_promised_speed_and_not_beyond():
    """At a small viscosity the convective bound rules."""
    fast = Burgers(viscosity=2e-3, max_speed=3.0, frames=4, duration=0.4)
    slow = dataclasses.replace(fast, max_speed=0.01)
    bump = np.exp(-(((fast.coords["x"] - 0.4) / 0.15) ** 2))
    inputs = still(fast) | {"u0": 2.9 * jnp.asarray(bump)[None]}
    u = fast.solve(inputs)["u"]
    assert np.isfinite(u).all() and np.abs(u).max() < 3
    assert slow.substeps < fast.substeps
    assert not np.isfinite(slow.solve(inputs)["u"]).all()


def test_samples_follow_the_papers_distribution():
    system = Burgers(points=60, frames=40)
    inputs = draw(system, KEY, 2000)
    u0, f = np.asarray(inputs["u0"]), np.asarray(inputs["f"])
    x = system.coords["x"]
    assert u0.dtype == f.dtype == np.float32
    # E a = ±1, and E exp(-(x - c)² / 2w²) over the two boxes, by quadrature
    c, w = np.meshgrid(np.linspace(0.2, 0.4, 41), np.linspace(0.05, 0.15, 41))
    left = np.exp(-((x[:, None, None] - c) ** 2) / 2 / w**2).mean((1, 2))
    right = np.exp(-((x[:, None, None] - c - 0.4) ** 2) / 2 / w**2).mean((1, 2))
    np.testing.assert_allclose(u0.mean(0), left - right, atol=0.06)
    # zero mean; variance 4 (1 + 7/2) E a² E g_x² E g_t², with E a² = 3/4
    np.testing.assert_allclose(f.mean(), 0, atol=0.1)
    c, w = np.meshgrid(np.linspace(0, 1, 41), np.linspace(0.1, 0.4, 41))
    bump = lambda at: np.exp(-((at - c) ** 2) / w**2).mean()  # noqa: E731
    for k, j in ((0, 0), (20, 30), (39, 10)):
        variance = 4 * 4.5 * 0.75 * bump(x[j]) * bump(k / 40)
        np.testing.assert_allclose(f[:, k, j].var(), variance, rtol=0.12)


def test_forces_may_be_short():
    def roughness(system):
        f = draw(system, KEY, 500)["f"]
        return float(jnp.square(jnp.diff(f, axis=1)).mean() / jnp.square(f).mean())

    # Of Gaussians in time the mean square slope is that of the values over 2 s².
    assert roughness(Burgers(force_spans=(0.05, 0.05))) == pytest.approx(
        1 / (2 * (0.05 * 80) ** 2), rel=0.1
    )
    assert roughness(Burgers(force_spans=(0.02, 0.1))) > 10 * roughness(Burgers())


def test_the_same_key_draws_the_same_problem_on_every_grid():
    coarse, fine = Burgers(points=30, frames=20), Burgers(points=60, frames=40)
    few, many = draw(coarse, KEY, 3), draw(fine, KEY, 3)
    np.testing.assert_allclose(few["u0"], many["u0"][:, ::2], atol=1e-6)
    np.testing.assert_allclose(few["f"], many["f"][:, ::2, ::2], atol=1e-6)


@pytest.mark.slow
def test_default_distribution_never_diverges():
    system = Burgers()
    u = system.solve(draw(system, KEY, 32))["u"]
    assert np.isfinite(u).all() and np.abs(u).max() < system.max_speed


@pytest.mark.parametrize(
    "parameter",
    [{"viscosity": 0.0}, {"points": 0}, {"duration": -1.0}],
)
def test_parameters_must_be_positive(parameter):
    name = next(iter(parameter))
    with pytest.raises(ValueError, match=f"must be positive, but {name} is"):
        Burgers(**parameter)


@pytest.mark.parametrize(
    "change",
    [
        {"u0": jnp.zeros(16)},
        {"f": jnp.zeros((2, 3, 16))},
        {"f": jnp.zeros((1, 4, 16))},
        {"u0": jnp.zeros((1, 17))},
    ],
)
def test_inputs_of_another_shape_are_refused(change):
    system = Burgers(points=16, frames=3)
    with pytest.raises(ValueError, match=r"`solve` needs inputs of the shapes .*got"):
        system.solve(still(system) | change)


def test_a_missing_input_is_named():
    with pytest.raises(ValueError, match="'f'"):
        Burgers(points=16).solve({"u0": jnp.zeros((1, 16))})


@jax.jit
def official_inputs(draws, time, x):
    """Initial states and forces from uniform draws in the official order."""
    draws = jnp.asarray(draws.T, jnp.float32)
    start, force = draws[:, :6], jnp.insert(draws[:, 6:], 0, 1, axis=1)
    height = jnp.stack([2 * start[:, 1], 2 * start[:, 4] - 2], 1)
    place = jnp.stack([0.2 + 0.2 * start[:, 0], 0.6 + 0.2 * start[:, 3]], 1)
    width = 0.05 + 0.1 * start[:, jnp.array([2, 5])]
    present, amplitude, centre, breadth, instant, span = jnp.moveaxis(
        force.reshape(-1, 8, 6), 2, 0
    )
    amplitude = 2 * present * (3 * amplitude - 1.5)
    along_x = gaussian(x, centre, 0.1 + 0.3 * breadth)
    along_time = gaussian(time, instant, 0.1 + 0.3 * span)
    return {
        "u0": jnp.einsum("bk,bkx->bx", height, gaussian(x, place, width)),
        "f": jnp.einsum("bk,bkt,bkx->btx", amplitude, along_time, along_x),
    }


def interior(count):
    return jnp.linspace(1 / (count + 1), 1 - 1 / (count + 1), count, dtype=jnp.float32)


def test_inputs_equal_the_official_ones(shared):
    data = np.load(shared / "golden" / "burgers_solver.npz")
    draws = data["initial_conditions/draws"]
    inputs = official_inputs(draws, interior(32), interior(48))
    for name, tolerance in (("u0", 2e-6), ("f", 5e-6)):
        golden = data[f"initial_conditions/{name}"]
        np.testing.assert_allclose(inputs[name], golden, atol=tolerance)


@pytest.mark.parametrize(("points", "bound"), [(120, 7e-4), (240, 1e-4)])
def test_solution_equals_the_official_one(shared, points, bound):
    """Official: 1,920 points, second order, explicit Euler with dt = 1 / 76,800.

    On 120 points the error is that of interpolating to the official grid; the solution
    on 240 points, of which every second one is the same number, shows it.
    """
    data = np.load(shared / "data" / "burgers" / "official_solver_n2.npz")
    system = Burgers(points=points, frames=1280, refinement=240 // points)
    x = jnp.asarray(system.coords["x"], jnp.float32)
    u = system.solve(official_inputs(data["draws"], interior(1280), x))["u"]
    u = np.pad(u[:, 3::4], ((0, 0), (0, 0), (0, 1)))
    official_x = (16 * np.arange(120) + 1) / 1921
    u = CubicSpline(np.append(x, 1.0), u, axis=2)(official_x)
    for estimate, truth in zip(u, data["u"][:, 1:, ::4], strict=True):
        assert relative_l2(estimate, truth) < bound


def test_solution_equals_the_published_shock(shared):
    """u0 = -sin πx on [-1, 1], ν = 0.01/π: a front of thickness 0.006."""
    data = loadmat(shared / "data" / "burgers" / "burgers_shock.mat")
    system = Burgers(
        viscosity=0.01 / np.pi,
        duration=0.99,
        frames=99,
        points=512,
        length=2.0,
        refinement=2,
        max_speed=1.5,
    )
    x = system.coords["x"] - 1
    inputs = still(system) | {"u0": jnp.asarray(-np.sin(np.pi * x))[None]}
    u = np.pad(system.solve(inputs)["u"][0], ((0, 0), (0, 1)))
    nodes = np.append(x, 1.0)
    ours = CubicSpline(nodes, u, axis=1)(data["x"][:, 0])
    assert relative_l2(ours, data["usol"].T[1:]) < 1e-3


@pytest.mark.slow
def test_fifty_trajectories_a_processor_second():
    """The time of the process, as others may run; quiet cores solve 135 in it."""
    system = Burgers()
    inputs = draw(system, KEY, 256)
    jax.block_until_ready(system.solve(inputs))
    begin = time.process_time()
    jax.block_until_ready(system.solve(inputs))
    assert 256 / (time.process_time() - begin) > 50
