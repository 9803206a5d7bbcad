"""Refinement of means over cells, whatever the network says."""

import dataclasses

import jax
import numpy as np
import pytest
import xarray as xr
from flax import nnx
from oracles import NAMES, add_up, make_layouts
from tiny import Perceptron

from wdno import WDNO, Domain, super_resolve
from wdno.diffusion.denoiser import Denoiser, freeze
from wdno.diffusion.preconditioning import EDMPreconditioning
from wdno.diffusion.schedules import KarrasSchedule
from wdno.operator import Interpolation, LocalScale, tasks
from wdno.training.validation import refinement_error
from wdno.trajectory import coarsen, to_dataset

KEY = jax.random.key(0)
CELLS = {"cell_methods": "x: mean"}


def make_model(wavelet="haar", residual=Interpolation()):  # noqa: B008
    """On windows of four frames with eight cells of the unit interval."""
    targets, given = make_layouts(wavelet=wavelet, task=tasks.cell_refinement)
    features = residual.channels(targets, given)
    network = Perceptron(len(targets.channels), len(given.channels) + features)
    return WDNO(
        targets,
        given,
        Denoiser(freeze(network), EDMPreconditioning()),
        Domain((0.0, 1 / 16), (0.25, 1 / 8)),
        KarrasSchedule(0.02, 10.0),
        residual,
    )


@pytest.fixture(scope="module")
def truth():
    """Records of six frames on 32 cells, driven as `add_up` is."""
    draw = np.random.default_rng(0)
    initial, control = draw.normal(size=(2, 32)), draw.normal(size=(2, 6, 32))
    fields = {"u0": initial, "f": control, "u": add_up(initial, control)}
    coords = {"time": 0.25 * np.arange(7), "x": (np.arange(32) + 0.5) / 32}
    return to_dataset(fields, coords, *NAMES, {"u": CELLS, "f": CELLS})


def merged(data, factor):
    return coarsen(data, {"time": 1, "x": factor})


def refined(model, truth, factor, **how):
    coarse = merged(truth, factor).u
    initial = truth.u.isel(time=0, drop=True)
    control = truth.f
    return super_resolve(model, coarse, initial, control, factor=factor, key=KEY, **how)


@pytest.mark.parametrize(
    ("factor", "steps"), [(2, 0), (2, 3), pytest.param(8, 1, marks=pytest.mark.slow)]
)
def test_means_over_cells_stay_whatever_is_generated(truth, factor, steps):
    fine = refined(make_model(), truth, factor, steps=steps, members=2)
    assert dict(fine.sizes) == {"sample": 2, "member": 2, "time": 7, "x": 32}
    xr.testing.assert_equal(fine.time, truth.time)
    np.testing.assert_allclose(fine.x, truth.x)
    assert fine.u.attrs["cell_methods"] == "time: point x: mean"
    coarse = merged(truth, factor).u.expand_dims(member=2)
    again = merged(fine, factor).u.transpose(*coarse.dims)
    np.testing.assert_allclose(again, coarse, atol=1e-12)
    details = fine.u.std() if not steps else fine.u.isel(time=1).std("member").max()
    assert float(details) > 1e-3


@pytest.mark.slow
def test_a_local_scale_leaves_certain_what_the_means_decide(truth):
    model = make_model()
    local = LocalScale(Interpolation()).built(model.targets, model.given, nnx.Rngs(0))
    fine = refined(make_model(residual=local), truth, 4)
    np.testing.assert_allclose(merged(fine, 4).u, merged(truth, 4).u, atol=1e-12)


def test_other_wavelets_refine_without_keeping_them(truth):
    fine = refined(make_model("bior2.4"), truth, 2)
    assert float(abs(merged(fine, 2).u - merged(truth, 2).u).max()) > 1e-3


def test_what_is_known_on_grids_between_are_means_too(truth):
    """A doubling of a doubling is the same as both at once."""
    model = make_model()
    once = refined(model, merged(truth, 2), 2)
    initial = truth.u.isel(time=0, drop=True)
    twice = super_resolve(model, once.u, initial, truth.f, key=KEY)
    xr.testing.assert_allclose(twice, refined(model, truth, 4))


def test_errors_of_doubling_are_measured_on_merged_cells(truth):
    found = refinement_error(make_model(), truth)
    fine = refined(make_model(), truth, 2)
    square = np.square(fine.u - truth.u).isel(time=slice(1, None))
    np.testing.assert_allclose(found, square.mean(["time", "x"]))


def test_the_scale_is_zero_where_means_decide_and_positive_elsewhere(truth):
    model = make_model()
    known = {
        "u0": truth.u.values[:, 0, :8],
        "f": truth.f.values[:, :4, :8],
        "u_coarse": truth.u.values[:, 1:5, :4],
    }
    known = jax.tree.map(jax.numpy.asarray, known)
    condition = model.given.analysis(known)
    estimate = model.residual(known, condition, model.targets, model.given)
    smallest = np.asarray(estimate.scale).min(axis=(0, 1, 2))
    assert dict(zip(model.targets.channels, smallest > 0, strict=True)) == {
        "u:aa": False,
        "u:ad": True,
        "u:da": False,
        "u:dd": True,
    }
    fields = model.targets.synthesis(estimate.mean)
    pairs = fields["u"].reshape(2, 4, 4, 2).mean(axis=3)
    np.testing.assert_allclose(pairs, known["u_coarse"], atol=1e-12)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda u: u.isel(x=slice(15)), "times the extent of coarse states"),
        (lambda u: u.assign_coords(x=np.arange(16) / 16), "must be given at x"),
        (lambda u: u.isel(time=slice(None, None, 2)), "has 6|has 7"),
    ],
)
def test_coarse_states_elsewhere_are_refused(truth, change, message):
    coarse = change(merged(truth, 2).u)
    initial = truth.u.isel(time=0, drop=True)
    with pytest.raises(ValueError, match=message):
        super_resolve(make_model(), coarse, initial, truth.f, key=KEY)


def test_an_odd_number_of_cells_is_refused(truth):
    (u,) = make_model().targets.fields
    with pytest.raises(ValueError, match="7 samples along 'x'"):
        dataclasses.replace(make_model().targets, grid=(4, 7), fields=(u,))
