"""Super-resolution with a refiner that knows how errors travel between grids."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr
from oracles import NAMES, Oracle, add_up, make_operator, oracle

from wdno import super_resolve
from wdno.diffusion.noise import per_row
from wdno.diffusion.samplers import ddim
from wdno.operator import Interpolation, tasks
from wdno.operator.generation import generate
from wdno.operator.residual import residuals
from wdno.trajectory import coarsen, to_dataset

KEY = jax.random.key(0)
POINTS, TIME_STEP = 8, 0.25
"""Of the coarse grid, which is also that of the model."""


@oracle
class Refiner(Oracle):
    """Exact solution of u_t = f, shifted to agree with the coarse states.

    The shift is that of the coarse point before and the coarse instant after. The time
    step is taken from the number of points, so only the right grid gives the solution.
    """

    def answer(self, fields):
        time_step = TIME_STEP * POINTS / fields["u0"].shape[1]
        return add_up(fields["u0"], time_step * fields["f"])

    def __call__(self, x, sigma, cond):
        grid = tuple(2 * n for n in cond.shape[1:-1])
        targets, given = self.targets.on(grid), self.known.on(grid)
        fields = given.synthesis(cond[..., : len(given.channels)])
        exact = self.answer(fields)
        shift = blocks(fields["u_coarse"] - exact[:, 1::2, ::2], 2)
        estimate = Interpolation()(fields, cond, targets, given)
        mean = residuals(targets.analysis({"u": exact + shift}), estimate)
        trust = self.spread**2 / (self.spread**2 + jnp.square(sigma))
        return mean + per_row(trust, x) * (x - mean)


@oracle
class Undriven(Refiner):
    """The same of u_t = rate slope(x), which has no controls."""

    def answer(self, fields):
        force = fields["rate"][:, None] * fields["slope"]
        frames = 2 * fields["u_coarse"].shape[1]
        return super().answer({**fields, "f": force[:, None].repeat(frames, axis=1)})


@oracle
class Untouched(Oracle):
    """A denoiser that must not be called."""

    def __call__(self, x, sigma, cond):
        raise AssertionError("it was sampled from")


def blocks(values, factor):
    """Repeat the last two axes."""
    values = values.repeat(factor, axis=values.ndim - 2)
    return values.repeat(factor, axis=values.ndim - 1)


def make_refiner(spread=0.0):
    return make_operator(partial(Refiner, spread=spread), task=tasks.refinement)


def make_truth(factor, batch=2, frames=5, start=0.0):
    """Solutions of u_t = f, `factor` times finer than a coarse record of 5 frames."""
    draw = np.random.default_rng(0)
    frames, points, step = factor * frames, factor * POINTS, TIME_STEP / factor
    initial = draw.normal(size=(batch, points))
    control = draw.normal(size=(batch, frames, points))
    coords = {
        "time": start + step * np.arange(frames + 1),
        "x": np.arange(points) / points,
    }
    fields = {"u0": initial, "f": control, "u": add_up(initial, step * control)}
    return to_dataset(fields, coords, *NAMES, {"u": {"units": "m s-1"}})


def inputs(truth, factor):
    """Coarse states, initial state and control."""
    return coarsen(truth, factor).u, truth.u.isel(time=0), truth.f


def test_the_truth_is_refined_to_the_truth():
    truth = make_truth(2, start=3.0)
    fine = super_resolve(make_refiner(), *inputs(truth, 2), key=KEY)
    xr.testing.assert_allclose(fine, truth, atol=1e-10)
    assert fine.u.dims == ("sample", "time", "x")
    assert fine.u.attrs == truth.u.attrs


@pytest.mark.slow
def test_each_member_keeps_its_own_coarse_states():
    factor, truth = 4, make_truth(4)
    coarse, initial, force = inputs(truth, factor)
    error = np.random.default_rng(1).normal(size=(3, 2, 6, POINTS))
    error = xr.DataArray(error, dims=("member", *coarse.dims))
    fine = super_resolve(
        make_refiner(), coarse + error, initial, force, factor=factor, key=KEY
    )
    assert fine.u.dims == fine.f.dims == ("sample", "member", "time", "x")
    expected = truth.u.expand_dims(member=3).transpose(*fine.u.dims).copy()
    later = error.transpose(*fine.u.dims).values[:, :, 1:]
    expected[:, :, 1:] += blocks(later, factor)
    np.testing.assert_allclose(fine.u, expected, atol=1e-10)


def test_members_are_refinements_of_the_same_coarse_states():
    truth = make_truth(2)
    fine = super_resolve(make_refiner(), *inputs(truth, 2), members=3, key=KEY)
    assert fine.u.dims == ("sample", "member", "time", "x")
    for n in range(3):
        xr.testing.assert_allclose(fine.u.isel(member=n), truth.u, atol=1e-10)


def test_guidance_of_a_refiner_sees_whole_states():
    """Not the residuals that its denoiser works on."""
    grid = (4, 2 * POINTS)
    model, draw = make_refiner(spread=0.1).on(grid), np.random.default_rng(3)
    shapes = {"u0": grid[1:], "f": grid, "u_coarse": (2, POINTS)}
    known = {n: draw.normal(size=(2, *s)) for n, s in shapes.items()}
    wish = draw.normal(size=(2, *grid))

    @jax.jit
    def run(known, shift):
        def wishing(denoise):
            return lambda x, sigma: denoise(x, sigma) + shift

        how = (model, known, ddim(), model.schedule(1), KEY)
        return [generate(*how, wishes)["u"] for wishes in (wishing, None)]

    shift = jax.jit(model.targets.analysis)({"u": wish})
    wished, plain = run(known, shift)
    np.testing.assert_allclose(wished, plain + wish, atol=1e-9)


@pytest.mark.slow
def test_two_doublings_are_two_refinements():
    truth = make_truth(4)
    model, middle = make_refiner(spread=0.1), coarsen(truth, 2)
    coarse, initial, force = inputs(truth, 4)
    how = {"sampler": ddim(1.0), "steps": 2, "key": KEY}
    direct = super_resolve(model, coarse, initial, force, factor=4, **how)
    first = super_resolve(model, coarse, middle.u.isel(time=0), middle.f, **how)
    second = super_resolve(model, first.u, initial, force, **how)
    xr.testing.assert_allclose(second, direct, atol=1e-10)
    assert float(abs(direct.u - truth.u).max()) > 0.01  # there was something to draw


@pytest.mark.slow
def test_a_trajectory_does_not_depend_on_the_others():
    truth, model = make_truth(2, batch=4), make_refiner(spread=0.1)
    how = {"sampler": ddim(1.0), "steps": 2, "key": KEY}
    whole = super_resolve(model, *inputs(truth, 2), **how)
    parts = super_resolve(model, *inputs(truth, 2), batch_size=2, **how)
    xr.testing.assert_allclose(parts, whole, rtol=1e-12)


def test_equal_calls_compile_once(compilations):
    truth, model = make_truth(4), make_refiner()
    other = jax.random.key(1)  # made here, since making a key compiles as well

    def run(key):
        super_resolve(model, *inputs(truth, 4), factor=4, key=key)

    assert compilations(lambda: run(KEY)) > 0
    assert compilations(lambda: run(other)) == 0


def test_inputs_come_as_datasets_or_arrays_with_or_without_the_closing_row():
    truth = make_truth(2).astype(np.float32)
    coarse, initial, force = inputs(truth, 2)
    fine = super_resolve(
        make_refiner(),
        coarse.to_dataset().transpose("x", "time", "sample"),
        initial.to_dataset(),
        force.isel(time=slice(-1)),
        key=KEY,
    )
    assert fine.u.dtype == np.float32
    xr.testing.assert_allclose(fine, truth, atol=1e-5)


def test_a_model_on_another_grid_shares_its_parameters_and_its_domain():
    model = make_refiner()
    fine = model.on((4, 4 * POINTS))
    assert fine.denoiser is model.denoiser
    assert fine.targets.grid == fine.given.grid == (4, 32)
    assert fine.domain.spacing == (TIME_STEP / 4, 1 / 32)
    assert fine.on(model.targets.grid).domain == model.domain
    with pytest.raises(ValueError, match=r"refined by one ratio"):
        model.on((4, 16, 16))


@pytest.mark.slow
def test_without_controls_static_fields_serve_every_grid():
    """u_t = rate slope(x): slopes are thinned as states are, rates are not."""
    factor, frames, draw = 4, 5, np.random.default_rng(0)
    coords = {
        "time": 3.0 + TIME_STEP / factor * np.arange(factor * frames + 1),
        "x": np.arange(factor * POINTS) / (factor * POINTS),
    }
    rate, slope = draw.normal(size=2), draw.normal(size=factor * POINTS)
    initial = draw.normal(size=(2, factor * POINTS))
    elapsed = coords["time"][1:] - 3.0
    u = initial[:, None] + rate[:, None, None] * np.multiply.outer(elapsed, slope)
    truth = to_dataset({"u0": initial, "u": u}, coords, ("u",), ())
    truth = truth.assign_coords(rate=("sample", rate), slope=("x", slope))

    def task(state, _, dims):
        targets, given = tasks.refinement(state, (), dims)
        never = tasks.static(("rate",), ()) + tasks.static(("slope",), ("x",))
        return tasks.Task(targets, given + never)

    model = make_operator(Undriven, task=task)
    coarse = coarsen(truth, factor)
    fine = super_resolve(
        model, coarse, truth.isel(time=0, drop=True), factor=factor, key=KEY
    )
    xr.testing.assert_allclose(fine, truth, atol=1e-10)
    with pytest.raises(ValueError, match=r"'slope' is missing"):
        super_resolve(
            model,
            coarse.u,
            initial=truth.u.isel(time=0).drop_vars("slope"),
            factor=factor,
            key=KEY,
        )


BAD = {
    "no nested grid": (
        {"initial": lambda u0: u0.assign_coords(x=u0.x + 0.02)},
        "must be given at x = 0 … 0.9375",
    ),
    "coarse grid between the points": (
        {"coarse": lambda u: u.assign_coords(x=u.x + 0.0625)},
        "must be given at x = 0 … 0.875",
    ),
    "other time step": (
        {"coarse": lambda u: u.assign_coords(time=u.time / 2)},
        "must be given at time = 0 … 1.25",
    ),
    "other extent": (
        {"initial": lambda u0: u0.isel(x=slice(12))},
        "16 along 'x', but the initial state has 12",
    ),
    "control of the coarse grid": (
        {"control": lambda f: coarsen(f.to_dataset(), 2).f},
        "10 or 11 along 'time', but the control has 6",
    ),
    "factor three": ({"factor": lambda _: 3}, "factor is 3"),
    "factor one": ({"factor": lambda _: 1}, "factor is 1"),
    "factor four": ({"factor": lambda _: 4}, "32 along 'x'"),
    "missing control": (
        {"control": lambda f: f.rename("g").to_dataset()},
        r"must hold \['f'\].*missing from \['g'\]",
    ),
    "not finite": (
        {"coarse": lambda u: u.where(u.sample != 1)},
        "u_coarse has NaN or Inf in sample 1",
    ),
    "no time": ({"coarse": lambda u: u.isel(time=-1)}, r"\['time'\] are missing"),
    "no batch": ({"batch_size": lambda _: 0}, "batch_size=0"),
    "no refiner": ({"model": lambda _: make_operator()}, "Load a refiner"),
}


@pytest.mark.parametrize(("changes", "message"), BAD.values(), ids=BAD)
def test_bad_inputs_are_refused_before_any_sampling(changes, message):
    truth = make_truth(2).assign_coords(sample=[0, 1])
    names = ("coarse", "initial", "control")
    arguments = dict(zip(names, inputs(truth, 2), strict=True))
    model = make_operator(Untouched, task=tasks.refinement)
    arguments |= {"model": model, "factor": 2, "batch_size": 8}
    for name, change in changes.items():
        arguments[name] = change(arguments[name])
    with pytest.raises(ValueError, match=message):
        super_resolve(**arguments, key=KEY)
