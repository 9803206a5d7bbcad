"""The border between labelled data and arrays."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from wdno.trajectory import (
    check_grid,
    coarsen,
    join_trajectories,
    open_trajectories,
    save,
    static_fields,
    static_rows,
    to_arrays,
    to_dataset,
    to_fields,
    to_inputs,
    windows,
)

NAMES = ("u",), ("f",)


def make_fields(batch=3, frames=8, points=12, seed=0):
    generator = np.random.default_rng(seed)
    shapes = {
        "u0": (batch, points),
        "u": (batch, frames, points),
        "f": (batch, frames, points),
    }
    return {
        name: generator.normal(size=shape).astype(np.float32)
        for name, shape in shapes.items()
    }


def make_coords(frames=8, points=12):
    return {"time": np.arange(frames + 1) * 0.25, "x": np.arange(points) / points}


@pytest.fixture
def fields():
    return make_fields()


@pytest.fixture
def dataset(fields):
    return to_dataset(fields, make_coords(), *NAMES, {"u": {"units": "m s-1"}})


@settings(deadline=None)
@given(
    batch=st.integers(1, 4),
    frames=st.integers(1, 6),
    points=st.integers(1, 6),
    seed=st.integers(0, 99),
)
def test_round_trip_is_exact(batch, frames, points, seed):
    fields = make_fields(batch, frames, points, seed)
    data = to_dataset(fields, make_coords(frames, points), *NAMES)
    back = to_fields(data, *NAMES)
    assert set(back) == set(fields)
    for name, values in fields.items():
        assert isinstance(back[name], jax.Array) and back[name].dtype == jnp.float32
        np.testing.assert_array_equal(back[name], values)


def test_round_trip_of_two_states_in_two_dimensions():
    generator = np.random.default_rng(0)
    shapes = {"a0": (2, 4, 5), "b0": (2, 4, 5)}
    shapes |= dict.fromkeys(("a", "b", "c"), (2, 3, 4, 5))
    fields = {name: generator.normal(size=shape) for name, shape in shapes.items()}
    coords = {"time": np.arange(4.0), "y": np.arange(4.0), "x": np.arange(5.0)}
    data = to_dataset(fields, coords, ("a", "b"), ("c",))
    assert data.c.dims == ("sample", "time", "y", "x")
    for name, values in to_arrays(data, ("a", "b"), ("c",)).items():
        np.testing.assert_array_equal(values, fields[name])


def test_dataset_follows_the_conventions(dataset, fields):
    np.testing.assert_array_equal(dataset.u[:, 0], fields["u0"])
    np.testing.assert_array_equal(dataset.u[:, 3], fields["u"][:, 2])
    np.testing.assert_array_equal(dataset.f[:, 3], fields["f"][:, 3])
    assert not dataset.f[:, -1].any()
    assert dataset.u.attrs == {"units": "m s-1", "cell_methods": "time: point"}
    assert dataset.f.attrs == {"cell_methods": "time: mean"}


def test_arrays_are_views_in_any_order_of_dimensions(dataset, fields):
    arrays = to_arrays(dataset, *NAMES)
    assert all(np.shares_memory(arrays[n], dataset[n[0]].values) for n in fields)
    turned = to_arrays(dataset.transpose("x", "time", "sample"), *NAMES)
    assert all((turned[name] == values).all() for name, values in fields.items())


def test_batch_axes_by_name(fields):
    fields = {name: np.concatenate([v, v]) for name, v in fields.items()}
    data = to_dataset(fields, make_coords(), *NAMES, batch={"sample": 2, "member": 3})
    assert data.u.dims == ("sample", "member", "time", "x")
    np.testing.assert_array_equal(data.u[1, 2, 1:], fields["u"][5])


def test_dataset_of_wrong_fields(fields):
    with pytest.raises(ValueError, match=r"\['f'\] are missing from \['u', 'u0'\]"):
        to_dataset({n: fields[n] for n in ("u0", "u")}, make_coords(), *NAMES)
    with pytest.raises(ValueError, match=r"must fill .*'x': 13.*shape \(3, 9, 12\)"):
        to_dataset(fields, make_coords(points=13), *NAMES)


def test_missing_variables_are_listed(dataset):
    with pytest.raises(ValueError, match=r"\['w'\] are missing from \['f', 'u'\]"):
        to_fields(dataset, ("u", "w"), ("f",))


def test_dimensions_are_checked(dataset):
    with pytest.raises(ValueError, match=r"\(sample, time, …\), but u has"):
        to_fields(dataset.rename(sample="run"), *NAMES)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_values_that_are_not_finite_are_located(dataset, value):
    dataset.f[1, 2, 3] = value
    with pytest.raises(ValueError, match=r"f has NaN or Inf in sample 1 \(1 samples"):
        to_fields(dataset, *NAMES)


# What comes beside the states ---------------------------------------------------------

BESIDE = {"share": ("time",), "w": ("time", "x")}


@pytest.fixture
def beside(fields):
    """The fields with two more, one of which has no axis of space."""
    draw = np.random.default_rng(1)
    shapes = {"share": (3, 8), "w": (3, 8, 12)}
    return fields | {
        name: draw.normal(size=shape).astype(np.float32)
        for name, shape in shapes.items()
    }


def join(fields, auxiliary=BESIDE, **how):
    coords = make_coords()
    return to_dataset(fields, coords, *NAMES, auxiliary=auxiliary, **how)


def test_what_comes_beside_is_known_from_the_second_instant_on(beside):
    data = join(beside, attributes={"share": {"units": "1"}})
    assert data.share.dims == ("sample", "time")
    assert data.w.dims == ("sample", "time", "x")
    assert data.share.dtype == data.w.dtype == np.float32
    assert data.share.attrs == {"units": "1", "cell_methods": "time: point"}
    assert data.w.attrs == {"cell_methods": "time: point"}
    for name in BESIDE:
        assert data[name][:, 0].isnull().all()
        np.testing.assert_array_equal(data[name][:, 1:], beside[name])
    xr.testing.assert_identical(data[["u", "f"]], join(beside, auxiliary=None))


def test_round_trip_with_what_comes_beside(beside):
    data = join(beside).transpose("x", "time", "sample")
    back = to_fields(data, *NAMES, tuple(BESIDE))
    assert set(back) == {"u0", *beside}
    for name, values in beside.items():
        assert isinstance(back[name], jax.Array) and back[name].dtype == jnp.float32
        np.testing.assert_array_equal(back[name], values)


def test_only_the_first_instant_of_what_comes_beside_goes_unread(beside):
    data = join(beside)
    assert np.shares_memory(to_arrays(data, *NAMES, ["w"])["w"], data.w.values)
    data.share[2, 5] = np.nan
    with pytest.raises(ValueError, match="share has NaN or Inf in sample 2"):
        to_arrays(data, *NAMES, ["share"])
    with pytest.raises(ValueError, match=r"w0 has NaN or Inf in sample 0 \(3"):
        to_arrays(data, ("u", "w"), ("f",))  # as a state it has an initial value


def test_what_comes_beside_has_the_batch_axes_of_the_states(beside):
    fields = {name: np.concatenate([v, v]) for name, v in beside.items()}
    data = join(fields, batch={"sample": 2, "member": 3})
    assert data.share.dims == ("sample", "member", "time")
    assert data.w.dims == ("sample", "member", "time", "x")
    np.testing.assert_array_equal(data.share[1, 2, 1:], beside["share"][2])


@pytest.mark.parametrize("shape", [(3, 7), (3, 8, 12), (2, 8)])
def test_what_comes_beside_fills_its_own_axes(beside, shape):
    wanted = r"share must fill \{'sample': 3, 'time': 9\}"
    with pytest.raises(ValueError, match=wanted):
        join(beside | {"share": np.zeros(shape)})


def test_what_comes_beside_must_be_there(beside):
    with pytest.raises(ValueError, match=r"\['share'\] are missing from .*'w'"):
        to_arrays(join(beside).drop_vars("share"), *NAMES, ["share"])
    with pytest.raises(ValueError, match=r"\(sample, time, …\), but w has"):
        to_arrays(join(beside).assign(w=("sample", np.ones(3))), *NAMES, ["w"])


def test_dataset_without_what_comes_beside_is_refused(fields):
    with pytest.raises(ValueError, match=r"\['share', 'w'\] are missing from .*'u0'"):
        join(fields)


# What never changes -------------------------------------------------------------------

ROWS = np.array([2, 0, 2, 1])
GATE = np.arange(12.0)


def test_what_never_changes_serves_every_row(dataset):
    given = dataset.assign_coords(gate=("x", GATE), depth=4.0)
    rows = static_rows(given, ["gate", "depth"], ROWS)
    np.testing.assert_array_equal(rows["gate"], [GATE] * 4)
    np.testing.assert_array_equal(rows["depth"], [4.0] * 4)


@pytest.mark.parametrize("dims", [("sample", "x"), ("x", "sample")])
def test_what_never_changes_belongs_to_its_row(dataset, dims):
    own = xr.DataArray(GATE + 100 * np.arange(3)[:, None], dims=("sample", "x"))
    held = own.transpose(*dims)
    for carrying in (dataset.assign_coords(gate=held), dataset.assign(gate=held)):
        rows = static_rows(carrying, ["gate"], ROWS)
        np.testing.assert_array_equal(rows["gate"], own[ROWS])


def test_what_never_changes_must_be_there(dataset):
    message = r"\['gate'\], but 'gate' is missing from \['f', 'time', 'u', 'x'\]"
    with pytest.raises(ValueError, match=message):
        static_rows(dataset, ["gate"], ROWS)
    assert static_rows(dataset, [], ROWS) == {}


# Inputs -------------------------------------------------------------------------------


def test_inputs_of_a_trajectory(dataset, fields):
    inputs, batch = to_inputs(dataset.u.isel(time=0), dataset.f, make_coords(), *NAMES)
    assert batch == {"sample": 3} and set(inputs) == {"u0", "f"}
    for name, values in inputs.items():
        np.testing.assert_array_equal(values, fields[name])


def test_inputs_may_be_datasets(dataset, fields):
    inputs, _ = to_inputs(dataset.isel(time=0), dataset, make_coords(), *NAMES)
    np.testing.assert_array_equal(inputs["u0"], fields["u0"])


def test_a_selected_sample_serves_all(dataset):
    dataset = dataset.assign_coords(sample=[10, 11, 12])
    force = dataset.f.isel(sample=1)  # its number stays as a scalar coordinate
    inputs, batch = to_inputs(dataset.u.isel(time=0), force, make_coords(), *NAMES)
    assert batch == {"sample": 3}
    np.testing.assert_array_equal(inputs["f"][2], dataset.f[1, :-1])


def test_several_states_need_a_dataset(dataset):
    with pytest.raises(ValueError, match="Put them into one xarray.Dataset"):
        to_inputs(dataset.u, dataset.f, make_coords(), ("u", "v"), ("f",))


@pytest.fixture(params=["float64", "float32"])
def widest(request):
    """The widest number that JAX allows."""
    jax.config.update("jax_enable_x64", request.param == "float64")
    yield request.param
    jax.config.update("jax_enable_x64", True)


def test_inputs_have_one_precision_that_jax_allows(dataset, widest, recwarn):
    start = dataset.u.isel(time=0).astype("float64")
    inputs, _ = to_inputs(start, dataset.f, make_coords(), *NAMES)
    assert {field.dtype.name for field in inputs.values()} == {widest}
    assert not recwarn.list


SPACE = {"x": make_coords()["x"]}
STATIC = {"gate": ("x",), "depth": ()}


def gated(given):
    return given.assign_coords(gate=("x", GATE), depth=4.0)


def test_a_static_field_is_a_coordinate_of_an_array(dataset):
    found = static_fields(gated(dataset.u.isel(time=0)), STATIC, SPACE)
    assert list(found) == ["gate", "depth"]
    np.testing.assert_array_equal(found["gate"], GATE)
    assert found["depth"].dims == () and found["depth"] == 4.0


def test_a_static_field_is_a_coordinate_or_a_variable_of_a_dataset(dataset):
    given = gated(dataset.isel(time=0))
    for held in (given, given.reset_coords(["gate", "depth"])):
        found = static_fields(held, STATIC, SPACE)
        np.testing.assert_array_equal(found["gate"], GATE)
        assert found["depth"] == 4.0


def test_a_static_field_has_the_order_of_the_axes_of_space():
    grid = {"y": np.arange(4.0), "x": np.arange(5.0)}
    bed = xr.DataArray(np.arange(20).reshape(5, 4), grid, dims=("x", "y"))
    state = xr.DataArray(np.zeros((3, 4, 5)), grid, ("sample", "y", "x"))
    given = state.assign_coords(bed=bed, ridge=("y", np.arange(4)))
    found = static_fields(given, {"bed": ("y", "x"), "ridge": ("y",)}, grid)
    assert found["bed"].dims == ("y", "x")
    np.testing.assert_array_equal(found["bed"], bed.values.T)
    np.testing.assert_array_equal(found["ridge"], np.arange(4))


def test_a_static_field_may_differ_from_sample_to_sample(dataset):
    own = xr.DataArray(GATE + 100 * np.arange(3)[:, None], dims=("sample", "x"))
    given = dataset.u.isel(time=0).assign_coords(gate=own)
    inputs, batch = to_inputs(given, dataset.f, make_coords(), *NAMES, {"gate": ("x",)})
    assert batch == {"sample": 3} and set(inputs) == {"u0", "f", "gate"}
    np.testing.assert_array_equal(inputs["gate"], own)


def test_one_static_field_serves_all_samples(dataset):
    given = gated(dataset.u.isel(time=0))
    inputs, batch = to_inputs(given, dataset.f, make_coords(), *NAMES, STATIC)
    assert batch == {"sample": 3}
    np.testing.assert_array_equal(inputs["gate"], [GATE] * 3)
    np.testing.assert_array_equal(inputs["depth"], [4.0] * 3)


def test_a_static_field_must_be_there_and_lie_on_the_grid(dataset):
    given = dataset.u.isel(time=0)
    with pytest.raises(ValueError, match=r"'gate' is missing.*assign_coords\(gate="):
        static_fields(given, STATIC, SPACE)
    with pytest.raises(ValueError, match=r"'gate' is missing from .*'u', 'x'"):
        static_fields(dataset.isel(time=0), STATIC, SPACE)
    with pytest.raises(ValueError, match="must be given at x"):
        static_fields(gated(given).assign_coords(x=2 * given.x), STATIC, SPACE)
    with pytest.raises(ValueError, match=r"dimensions \['x'\], but has \[\]"):
        static_fields(given.assign_coords(gate=1.0), STATIC, SPACE)
    unknown = given.assign_coords(gate=("x", np.where(GATE > 3, np.nan, GATE)))
    with pytest.raises(ValueError, match="gate has NaN or Inf"):
        to_inputs(unknown, dataset.f, make_coords(), *NAMES, {"gate": ("x",)})


def test_grid_without_coordinates_needs_the_extent():
    array = xr.DataArray(np.zeros((12, 2)), dims=("x", "sample"))
    assert check_grid(array, {"x": make_coords()["x"]}).dims == ("sample", "x")
    with pytest.raises(ValueError, match=r"12 points.*11 points"):
        check_grid(array[:11], {"x": make_coords()["x"]})
    with pytest.raises(ValueError, match="Rename or add the dimension 'x'"):
        check_grid(array.rename(x="z"), {"x": make_coords()["x"]})


def test_grid_tolerance_is_a_thousandth_of_the_spacing(dataset):
    grid = {"x": make_coords()["x"]}
    near = dataset.u.assign_coords(x=dataset.x + 5e-4 / 12)
    far = dataset.u.assign_coords(x=dataset.x + 5e-3 / 12)
    check_grid(near, grid)
    with pytest.raises(ValueError, match=r"\.interp\(x=\.\.\.\)"):
        check_grid(far, grid)


# Files --------------------------------------------------------------------------------


def test_netcdf_round_trip_is_lazy_and_exact(dataset, tmp_path):
    path = tmp_path / "data.nc"
    save(dataset, path)
    with open_trajectories(path, ("u", "f")) as back:
        assert not back.u.variable._in_memory
        xr.testing.assert_identical(back.load(), dataset)
    assert [p.name for p in tmp_path.iterdir()] == ["data.nc"]


def test_zarr_is_recognised_by_content(dataset, tmp_path):
    pytest.importorskip("zarr")
    path = tmp_path / "no_suffix"
    dataset.to_zarr(path)
    xr.testing.assert_equal(open_trajectories(path, ("u",)).load(), dataset)


def test_save_keeps_the_old_file_when_it_fails(dataset, tmp_path, monkeypatch):
    path = tmp_path / "data.nc"
    save(dataset, path)
    old = path.read_bytes()

    def failing(self, name, **options):
        name.write_bytes(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(xr.Dataset, "to_netcdf", failing)
    with pytest.raises(OSError, match="disk full"):
        save(2 * dataset, path)
    assert path.read_bytes() == old
    assert [p.name for p in tmp_path.iterdir()] == ["data.nc"]


def test_files_that_cannot_be_read(dataset, tmp_path):
    with pytest.raises(FileNotFoundError, match="none at"):
        open_trajectories(tmp_path / "absent.nc")
    with pytest.raises(FileNotFoundError):
        save(dataset, tmp_path / "absent" / "data.nc")
    text = tmp_path / "text.nc"
    text.write_text("time,x\n")
    with pytest.raises(ValueError, match="begins with b'time'"):
        open_trajectories(text)
    with pytest.raises(ValueError, match="NetCDF files or Zarr, in folders or zips"):
        open_trajectories(tmp_path)
    path = tmp_path / "data.nc"
    save(dataset, path)
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(ValueError, match="cannot be read"):
        open_trajectories(path)


def test_files_are_joined_in_their_order(dataset, tmp_path):
    """What differs is listed, what is the same for all trajectories stays so."""
    first = dataset.assign_coords(bed=("x", np.arange(dataset.sizes["x"])))
    first = first.assign_coords(viscosity=("sample", np.ones(dataset.sizes["sample"])))
    first = first.assign_attrs(recipe='{"seed": 0}', checksum="a", title="Flow")
    second = (first.isel(sample=[1, 0]) * 2).assign_attrs(
        first.attrs, recipe='{"seed": 1}'
    )
    paths = [tmp_path / "second.nc", tmp_path / "first.nc"]
    for part, path in zip((second, first), paths, strict=True):
        save(part, path)
    joined = join_trajectories(paths)
    assert joined.sizes["sample"] == dataset.sizes["sample"] + 2
    xr.testing.assert_equal(joined.isel(sample=slice(2)), second)
    xr.testing.assert_equal(joined.isel(sample=slice(2, None)), first)
    assert joined.bed.dims == ("x",)
    assert joined.attrs["title"] == "Flow"
    assert json.loads(joined.attrs["recipe"]) == ['{"seed": 1}', '{"seed": 0}']
    assert joined.attrs["checksum"] == '["a", "a"]'
    xr.testing.assert_identical(join_trajectories(paths[:1]).load(), second)


def test_files_with_different_grids_or_variables_are_not_joined(dataset, tmp_path):
    bed = ("x", np.arange(dataset.sizes["x"]))
    others = {
        "grid": dataset.isel(x=slice(1, None)),
        "variables": dataset.drop_vars("f"),
        "bed": dataset.assign_coords(bed=bed),
    }
    save(dataset, tmp_path / "data.nc")
    for name, other in others.items():
        save(other, path := tmp_path / f"{name}.nc")
        with pytest.raises(ValueError, match=f"all else in common.*{name}"):
            join_trajectories([tmp_path / "data.nc", path])
    with pytest.raises(ValueError, match="all else in common"):
        join_trajectories([])


def test_file_without_the_variable(dataset, tmp_path):
    save(dataset.drop_vars("f"), tmp_path / "data.nc")
    with pytest.raises(ValueError, match=r"\['f'\] are missing from \['u'\]"):
        open_trajectories(tmp_path / "data.nc", ("u", "f"))


# Coarser grids ------------------------------------------------------------------------


@pytest.mark.parametrize("factor", [1, 2, 4])
def test_coarsening(dataset, fields, factor):
    coarse = coarsen(dataset, factor)
    np.testing.assert_array_equal(coarse.time, dataset.time[::factor])
    np.testing.assert_array_equal(coarse.x, dataset.x[::factor])
    np.testing.assert_array_equal(coarse.u, dataset.u[:, ::factor, ::factor])
    held = fields["f"][:, :, ::factor].reshape(3, 8 // factor, factor, -1)
    np.testing.assert_allclose(coarse.f[:, :-1], held.mean(2), atol=1e-6)
    assert not coarse.f[:, -1].any()
    assert coarse.f.dtype == np.float32 and coarse.u.attrs == dataset.u.attrs
    assert coarse.f.attrs == dataset.f.attrs and coarse.f.dims == dataset.f.dims


def test_coarsening_twice_is_coarsening_by_four(dataset):
    xr.testing.assert_allclose(coarsen(coarsen(dataset, 2), 2), coarsen(dataset, 4))


def test_each_axis_has_its_own_factor(dataset):
    thin = dataset.isel(x=slice(None, None, 2))
    xr.testing.assert_allclose(coarsen(dataset, {"time": 1, "x": 2}), thin)
    both = coarsen(thin, {"time": 2, "x": 1})
    xr.testing.assert_allclose(both, coarsen(dataset, 2))


def test_coarsening_keeps_ensemble_axes(dataset):
    ensemble = dataset.expand_dims(member=2, axis=1)
    ensemble.f.attrs = dataset.f.attrs
    coarse = coarsen(ensemble, 2)
    assert coarse.f.dims == ("sample", "member", "time", "x")
    xr.testing.assert_allclose(coarse.isel(member=1), coarsen(dataset, 2))


def test_coarsening_bad_input(dataset):
    with pytest.raises(ValueError, match="power of two, but factor is 3"):
        coarsen(dataset, 3)
    with pytest.raises(ValueError, match=r"8 does not divide \{'x': 12\}"):
        coarsen(dataset, 8)
    with pytest.raises(ValueError, match="in cell_methods .* f has ''"):
        coarsen(dataset.assign(f=dataset.f.drop_attrs()), 2)


# Windows ------------------------------------------------------------------------------


INITIAL = {"u": "u0"}


@pytest.mark.parametrize("convert", [np.asarray, jnp.asarray])
def test_windows_are_stretches_of_the_record(fields, convert):
    starts = np.array([0, 3, 5])
    given = {name: convert(values) for name, values in fields.items()}
    cut = windows(given, 3, convert(starts), initial=INITIAL)
    whole = np.concatenate([fields["u0"][:, None], fields["u"]], axis=1)
    for row, start in enumerate(starts):
        np.testing.assert_array_equal(cut["u0"][row], whole[row, start])
        np.testing.assert_array_equal(cut["u"][row], whole[row, start + 1 : start + 4])
        np.testing.assert_array_equal(
            cut["f"][row], fields["f"][row, start : start + 3]
        )
    assert all(type(cut[name]) is type(given[name]) for name in cut)
    assert cut["u"].dtype == np.float32


def test_a_window_as_long_as_the_record_is_the_record(fields):
    cut = windows(fields, 8, np.zeros(3, int), initial=INITIAL)
    for name, values in fields.items():
        np.testing.assert_array_equal(cut[name], values)


def test_windows_of_chosen_rows(fields):
    rows, starts = np.array([2, 2, 0, 1]), np.array([0, 4, 1, 0])
    chosen = {name: values[rows] for name, values in fields.items()}
    one, other = (
        windows(fields, 4, starts, rows, initial=INITIAL),
        windows(chosen, 4, starts, initial=INITIAL),
    )
    for name in fields:
        np.testing.assert_array_equal(one[name], other[name])


def test_windows_read_only_themselves_from_a_memory_map(fields, tmp_path):
    mapped = {}
    for name, values in fields.items():
        np.save(tmp_path / f"{name}.npy", values)
        mapped[name] = np.load(tmp_path / f"{name}.npy", mmap_mode="r")
    cut = windows(mapped, 2, np.array([1]), np.array([2]), initial=INITIAL)
    np.testing.assert_array_equal(cut["u"][0], fields["u"][2, 1:3])
    np.testing.assert_array_equal(cut["u0"][0], fields["u"][2, 0])


def test_windows_under_jit(fields):
    given = {name: jnp.asarray(values) for name, values in fields.items()}
    cut = jax.jit(lambda starts: windows(given, 3, starts, initial=INITIAL))(
        jnp.array([0, 1, 5])
    )
    eager = windows(given, 3, jnp.array([0, 1, 5]), initial=INITIAL)
    for name in fields:
        np.testing.assert_array_equal(cut[name], eager[name])


@pytest.mark.parametrize(("length", "start"), [(9, 0), (3, 6), (3, -1), (0, 0)])
def test_windows_outside_the_record_are_refused(fields, length, start):
    with pytest.raises(ValueError, match="must lie within the 8 frames"):
        windows(fields, length, np.full(3, start), initial=INITIAL)
