"""ERA5 as a source of data: files written here, and two real ones where they are."""

import sys
from functools import partial

import jax
import netCDF4
import numpy as np
import pytest
import xarray as xr

import wdno
from wdno import io, metrics, weather
from wdno.operator import tasks
from wdno.training.batches import WindowBatches
from wdno.training.recipes import RECIPES, Recipe
from wdno.trajectory import coarsen, static_rows, to_arrays
from wdno.wavelets.field import Field

HOUR = np.timedelta64(1, "h")
START = np.datetime64("2019-12-30T00", "ns")
AXES = ("time", "latitude", "longitude")
GLOBE = np.arange(0.0, 360, 30)
UK = "era5/era5_uk_t2m_32x48_744h.nc"
GLOBAL = "era5/era5_global_5p625_24frames.nc"


def record(instants=60, step=1, latitude=(40.0, 45, 50, 55), longitude=GLOBE):
    """Random weather on (time, latitude, longitude), with an orography."""
    draw = np.random.default_rng(0)
    coords = {
        "time": START + step * HOUR * np.arange(instants),
        "latitude": np.array(latitude),
        "longitude": np.array(longitude),
    }
    shape = tuple(len(values) for values in coords.values())
    fields = {
        "t2m": (AXES, draw.normal(280, 5, shape).astype(np.float32), {"units": "K"}),
        "msl": (AXES, draw.normal(1e5, 900, shape).astype(np.float32)),
        "z": (AXES[1:], draw.normal(size=shape[1:]).astype(np.float32)),
    }
    return xr.Dataset(fields, coords, {"title": "weather"})


def upper(instants=3):
    """Geopotential on three levels beside a field of the surface."""
    data = record(instants)
    level = xr.DataArray([850, 500, 250], dims="level", name="level")
    height = (data.msl * (1 + level / 1000)).assign_attrs(long_name="Geopotential")
    return data.assign(geopotential=height).assign_coords(level=level)


def opened(source, *args, **options):
    pytest.importorskip("dask")
    return weather.open_era5(source, *args, **options)


def stored(dataset, path):
    if path.suffix == ".zarr":
        pytest.importorskip("zarr")
        dataset.to_zarr(path)
    else:
        dataset.to_netcdf(path, engine="netcdf4")
    return path


def as_from_the_data_store(dataset):
    """Names, order and additions of NetCDF files of the Climate Data Store."""
    names = {"time": "valid_time", "level": "pressure_level"}
    names = {ours: theirs for ours, theirs in names.items() if ours in dataset.dims}
    expver = ("valid_time", np.full(dataset.sizes["time"], "0001"))
    theirs = dataset.rename(names).isel(latitude=slice(None, None, -1))
    return theirs.assign_coords(number=0, expver=expver)


def as_by_others(dataset):
    """Longitude before latitude, as in WeatherBench 2, and short names."""
    theirs = dataset.transpose("time", "level", "longitude", ..., missing_dims="ignore")
    return theirs.rename(latitude="lat", longitude="lon")


@pytest.mark.parametrize("kind", ["nc", "zarr"])
@pytest.mark.parametrize("write", [as_from_the_data_store, as_by_others])
def test_records_are_opened_lazily_in_one_order(tmp_path, kind, write):
    given = record()
    data = opened(stored(write(given), tmp_path / f"a.{kind}"))
    assert data.t2m.dims == AXES and data.z.dims == AXES[1:]
    assert all(field.chunks for field in data.data_vars.values())
    assert set(data.coords) == set(AXES)
    xr.testing.assert_equal(data.compute(), given)
    assert data.t2m.attrs["units"] == "K" and data.t2m.dtype == np.float32
    assert data.attrs == {"title": "weather", "licence": weather.ATTRIBUTION}


def test_stores_are_reached_by_url():
    for package in ("dask", "zarr", "fsspec"):
        pytest.importorskip(package)
    url = "memory://wdno-test-era5/weather.zarr"
    record().to_zarr(url, mode="w")
    data = weather.open_era5(url, ["t2m"], times=("2019-12-30", "2019-12-30"))
    xr.testing.assert_equal(data.t2m.compute(), record().t2m[:24])
    with pytest.raises(FileNotFoundError, match="nothing at memory://nothing.zarr"):
        weather.open_era5("memory://nothing.zarr")


def as_grib(field, path, step=0):
    """Messages of GRIB, falling latitudes first, in forecasts by so many hours."""
    eccodes = pytest.importorskip("eccodes")
    field = field[:, ::-1]
    latitude, longitude = field.latitude.values, field.longitude.values
    keys = {
        "Ni": longitude.size,
        "Nj": latitude.size,
        "latitudeOfFirstGridPointInDegrees": latitude[0],
        "latitudeOfLastGridPointInDegrees": latitude[-1],
        "longitudeOfFirstGridPointInDegrees": longitude[0],
        "longitudeOfLastGridPointInDegrees": longitude[-1],
        "iDirectionIncrementInDegrees": longitude[1] - longitude[0],
        "jDirectionIncrementInDegrees": latitude[0] - latitude[1],
        "shortName": "2t",
        "stepRange": str(step),
    }
    with path.open("wb") as file:
        for plane in field:
            handle = eccodes.codes_grib_new_from_samples("regular_ll_sfc_grib2")
            started = str((plane.time.values - step * HOUR).astype("M8[m]"))
            digits = "".join(filter(str.isdigit, started))
            dates = {"dataDate": int(digits[:8]), "dataTime": int(digits[8:])}
            for key, value in (keys | dates).items():
                eccodes.codes_set(handle, key, value)
            eccodes.codes_set_values(handle, plane.values.ravel().astype(float))
            eccodes.codes_write(handle, file)
            eccodes.codes_release(handle)


@pytest.mark.parametrize(("instants", "step"), [(5, 0), (5, 3), (1, 0), (1, 3)])
def test_grib_files_are_opened(tmp_path, instants, step):
    pytest.importorskip("cfgrib")
    given = record(instants).t2m
    as_grib(given, tmp_path / "a.grib", step)
    data = opened(tmp_path / "a.grib")
    assert [path.name for path in tmp_path.iterdir()] == ["a.grib"]  # no index beside
    assert data.t2m.dims == AXES and set(data.coords) == set(AXES)
    np.testing.assert_array_equal(data.time, given.time)  # when it is valid
    np.testing.assert_array_equal(data.longitude, given.longitude)
    np.testing.assert_allclose(data.t2m, given, atol=1e-3)


@pytest.mark.parametrize("write", [as_from_the_data_store, as_by_others])
def test_every_level_is_a_field_of_its_own(tmp_path, write):
    path = stored(write(upper()), tmp_path / "a.nc")
    data = opened(path, levels=[500, 850])
    assert set(data) == {"t2m", "msl", "z", "geopotential_500", "geopotential_850"}
    expected = upper().geopotential.sel(level=500, drop=True)
    np.testing.assert_array_equal(
        data.geopotential_500, expected.transpose(*AXES).values
    )
    title = data.geopotential_850.attrs["long_name"]
    assert title == "Geopotential at 850 hPa"
    assert len(opened(path, ["geopotential"])) == 3
    with pytest.raises(ValueError, match=r"\[700\] are not in .* \[850.*, 250.*hPa"):
        opened(path, levels=[500, 700])
    with pytest.raises(ValueError, match=r"\[500\] are not in the fields"):
        opened(path, ["t2m"], levels=[500])


def test_files_are_joined_along_time(tmp_path):
    data = record()
    parts = [data.isel(time=slice(0, 20)), data.isel(time=slice(20, None))]
    paths = [stored(part, tmp_path / f"{n}.nc") for n, part in enumerate(parts)]
    joined = opened(paths)
    xr.testing.assert_equal(joined.compute(), data)
    assert joined.t2m.chunks and joined.z.dims == AXES[1:]
    with pytest.raises(ValueError, match="2019-12-30.* comes after 2020-01-01.*index"):
        opened(paths[::-1])
    with pytest.raises(ValueError, match="without repetition.*index 20"):
        opened([paths[0], paths[0]])
    other = record(latitude=[40, 45, 50, 56]).isel(time=slice(20, None))
    stored(other, tmp_path / "c.nc")
    with pytest.raises(ValueError, match=r"one grid and the same fields, but .*c\.nc"):
        opened([paths[0], tmp_path / "c.nc"])
    with pytest.raises(ValueError, match=r"\['msl', 't2m', 'z'\]"):
        opened([paths[0], stored(parts[1][["t2m"]], tmp_path / "d.nc")])
    with pytest.raises(ValueError, match="one file or more"):
        opened([])


EAST, BOTH = np.arange(0.0, 360, 30), np.arange(-180.0, 180, 30)


@pytest.mark.parametrize("longitude", [EAST, BOTH], ids=["east", "both"])
@pytest.mark.parametrize(
    ("west", "east", "expected"),
    [
        (-60, 30, [-60, -30, 0, 30]),
        (150, -120, [150, 180, 210, 240]),
        (300, 370, [300, 330, 360]),
        (-75, -20, [-60, -30]),
        (60, 60, [60]),
        (-90, 270, np.arange(-90, 270, 30)),
    ],
)
def test_regions_cross_every_seam(tmp_path, longitude, west, east, expected):
    data = record(2, longitude=longitude)
    path = stored(data, tmp_path / "a.nc")
    cut = opened(path, region=weather.Region(42, 50, west, east))
    np.testing.assert_array_equal(cut.longitude, expected)
    np.testing.assert_array_equal(cut.latitude, [45, 50])
    for place in cut.longitude.values:
        there = np.flatnonzero((data.longitude.values - place) % 360 == 0).item()
        for name in ("t2m", "z"):
            ours = cut[name].sel(longitude=place)
            theirs = data[name].isel(longitude=there, latitude=[1, 2])
            np.testing.assert_array_equal(ours, theirs)


def test_part_of_a_circle_has_ends(tmp_path):
    """A region that asks for points beyond the file is refused, not cut short."""
    data = record(2, longitude=np.arange(-30.0, 61, 30))
    path = stored(data, tmp_path / "a.nc")
    whole = opened(path, region=weather.Region(38, 59.9, -59, 89))
    xr.testing.assert_equal(whole.compute(), data)
    shifted = opened(path, region=weather.Region(40, 55, 330, 360))
    np.testing.assert_array_equal(shifted.longitude, [330, 360])
    np.testing.assert_array_equal(shifted.t2m, data.t2m[..., :2])
    for bounds in [
        (35, 50, 0, 30),
        (40, 60, 0, 30),
        (40, 50, -60, 30),
        (40, 50, 0, 90),
        (40, 50, 170, 190),
        (40, 50, 30, -30),
        (50, 40, 0, 30),
        (41, 44, 0, 30),
        (40, 50, 5, 25),
        (-90, 90, 0, 360),
    ]:
        with pytest.raises(ValueError, match=r"does not fit latitudes 40 … 55 and"):
            opened(path, region=weather.Region(*bounds))


def test_longitudes_may_start_anywhere_once_round(tmp_path):
    data = record(2, longitude=np.roll(GLOBE, 5))
    rolled = opened(stored(data, tmp_path / "a.nc"))
    np.testing.assert_array_equal(rolled.longitude, np.arange(210, 570, 30))
    np.testing.assert_array_equal(rolled.t2m, data.t2m)
    np.testing.assert_array_equal(rolled.z, data.z)


@pytest.mark.parametrize(
    ("name", "values", "message"),
    [
        ("latitude", [40, 50, 45, 55], "Latitudes rise or fall.* 45 .*50 at index 2"),
        ("latitude", [55, 50, 50, 45], "Latitudes rise or fall.* 50 .*50 at index 2"),
        ("latitude", [60, 70, 80, 95], "Latitudes lie between.*reach 95"),
        ("longitude", [*GLOBE[:5], 120, *GLOBE[6:]], "even steps.*120 at index 5"),
        ("longitude", GLOBE * 12 / 11, "one circle, .* 360 .*index 11"),
        ("longitude", GLOBE[::-1], "even steps.*index 1"),
        ("longitude", [*GLOBE[:7], *(GLOBE[7:] + 7)], "even steps.*217 .*index 7"),
    ],
    ids=str,
)
def test_places_are_in_order(tmp_path, name, values, message):
    path = stored(record(2).assign_coords({name: values}), tmp_path / "a.nc")
    with pytest.raises(ValueError, match=message):
        opened(path)


def test_dates_are_whole_and_included(tmp_path):
    path = stored(record(), tmp_path / "a.nc")
    day = opened(path, times=("2019-12-31", "2019-12-31"))
    assert day.sizes["time"] == 24 and day.time[0] == np.datetime64("2019-12-31")
    exact = (np.datetime64("2019-12-31T03"), "2020-01-01T05:00")
    part = opened(path, times=exact).time.values
    assert part[0] == exact[0] and part[-1] == np.datetime64(exact[1])
    assert opened(path, times=("2019-12", "2020")).sizes["time"] == 60
    for wrong in [
        ("2019-12-29", "2019-12-31"),
        ("2019-12-31", "2020-01-02"),
        ("2019-12-31", "2019-12-30"),
        ("2019-12-31T00", "2020-01-01T12"),
    ]:
        with pytest.raises(ValueError, match=r"2019-12-30T00:00 … 2020-01-01T11:00"):
            opened(path, times=wrong)


def test_what_is_no_record_is_refused(tmp_path):
    good = stored(record(), tmp_path / "a.nc")
    with pytest.raises(FileNotFoundError, match="none at .*b.nc"):
        opened(tmp_path / "b.nc")
    with pytest.raises(ValueError, match=r"\['t', 'sst'\] are not in .*'msl', 't2m'"):
        opened(good, ["t", "t2m", "sst"])
    other = xr.Dataset({"u": (("sample", "time", "x"), np.zeros((2, 3, 4)))})
    with pytest.raises(ValueError, match=r"axes time, latitude .*'latitude', 'long"):
        opened(stored(other, tmp_path / "u.nc"))
    bare = record().drop_vars("latitude")
    with pytest.raises(ValueError, match=r"without \['latitude'\]"):
        opened(stored(bare, tmp_path / "bare.nc"))
    count = record().assign_coords(time=np.arange(60))
    with pytest.raises(ValueError, match="'time' is of type int64"):
        opened(stored(count, tmp_path / "count.nc"))
    kinds = record(3).expand_dims(experiment=2)
    with pytest.raises(ValueError, match="is on .*'experiment'.*select one entry"):
        opened(stored(kinds, tmp_path / "kinds.nc"))
    (tmp_path / "t.nc").write_text("no weather")
    with pytest.raises(ValueError, match=r"t\.nc begins with"):
        opened(tmp_path / "t.nc")


ENSEMBLE_AXES = ("number", "realization", "ensemble", "member")


def an_ensemble(axis):
    """Three members of one record, a degree apart."""
    apart = xr.DataArray(np.arange(3, dtype="f4"), {axis: [0, 1, 5]})
    fields = record(40)[["t2m"]]
    return (fields + apart).transpose("time", axis, ...).assign_coords(fields.coords)


@pytest.mark.parametrize("axis", ENSEMBLE_AXES)
def test_members_of_an_ensemble_are_kept_or_chosen(axis, tmp_path):
    path = stored(an_ensemble(axis), tmp_path / "a.nc")
    data = opened(path)
    assert data.t2m.dims == ("member", *AXES)
    assert data.member.values.tolist() == [0, 1, 5]
    np.testing.assert_array_equal(data.t2m[2], record(40).t2m + 2)
    few = opened(path, members=[5, 0])
    np.testing.assert_array_equal(few.t2m, data.t2m[[2, 0]])
    with pytest.raises(ValueError, match=r"\[7\] are not among .*\[0, 1, 5\]"):
        opened(path, members=[1, 7])
    with pytest.raises(ValueError, match=r"\[1\] are not among .*\[\]"):
        opened(stored(record(3), tmp_path / "one.nc"), members=[1])


def test_an_ensemble_is_verified_and_every_member_is_a_start(tmp_path):
    data = opened(stored(an_ensemble("number"), tmp_path / "a.nc")).compute()
    truth = record(40).t2m + 1
    crps = metrics.latitude_weighted_crps(data.t2m, truth)
    # E|X - y| - E|X - X'|/2 of {-1, 0, 1} about 0, with 1/(M (M - 1)): 2/3 - 2/3
    np.testing.assert_allclose(crps, 0, atol=1e-5)
    cut = weather.forecast_windows(data, ["t2m"], 1, 4, 5)
    alone = weather.forecast_windows(data.isel(member=1), ["t2m"], 1, 4, 5)
    for name in ("t2m", "t2m_1h_before"):
        xr.testing.assert_equal(cut[name].isel(member=1).variable, alone[name].variable)
    xr.testing.assert_equal(cut.season_sin.variable, alone.season_sin.variable)
    assert cut.t2m.dims == ("sample", "time", "member", *AXES[1:])


def test_folders_that_are_no_store_are_refused(tmp_path):
    pytest.importorskip("zarr")
    (tmp_path / "e.zarr").mkdir()
    with pytest.raises(ValueError, match=r"e\.zarr begins with"):
        opened(tmp_path / "e.zarr")


@pytest.mark.parametrize("form", ["NETCDF4", "NETCDF3_64BIT"])
def test_truncated_files_are_refused(tmp_path, form):
    path = tmp_path / "a.nc"
    record(400).to_netcdf(path, engine="netcdf4", format=form)
    assert opened(path).sizes["time"] == 400
    path.write_bytes(path.read_bytes()[:40000])
    with pytest.raises(ValueError, match=r"a\.nc (cannot|has).*opy it again"):
        opened(path)


@pytest.mark.parametrize(
    ("package", "source", "message"),
    [
        ("dask", "a.nc", r"dask.*wdno\[era5\]"),
        ("zarr", "folder", "zarr, which is not installed.*pip install zarr"),
        ("gcsfs", "gs://weatherbench2/x.zarr", "x.zarr needs a package.*gcsfs"),
    ],
)
def test_missing_packages_are_named(tmp_path, monkeypatch, package, source, message):
    for needed in {"dask", "zarr", "fsspec"} - {package}:
        pytest.importorskip(needed)
    monkeypatch.setitem(sys.modules, package, None)
    stored(record(2), tmp_path / "a.nc")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / ".zgroup").write_text("{}")
    place = source if "://" in source else tmp_path / source
    with pytest.raises(ModuleNotFoundError, match=message):
        weather.open_era5(place)


def test_one_step_in_time():
    data = record(30, step=6)
    assert weather.check_times(data) == 6 * HOUR
    lacking = data.isel(time=[*range(5), *range(7, 20), *range(21, 30)])
    message = "usually 6 h here, but 2 of its 26 .*: 18 h after 2019-12-31T00:00, 12 h"
    with pytest.raises(ValueError, match=message):
        weather.check_times(lacking)
    with pytest.raises(ValueError, match="1 of its 30 .*: 0 h after 2019-12-30T12"):
        weather.check_times(data.isel(time=[0, 1, 2, 2, *range(3, 30)]))
    with pytest.raises(
        ValueError, match="T06:00, 12 h .*T00:00, 12 h .*T18:00 and 2 more"
    ):
        weather.check_times(
            data.isel(time=[0, 1, 3, 4, 6, 7, 9, 10, 12, 13, 15, *range(16, 30)])
        )
    with pytest.raises(ValueError, match="one after another, but got 4"):
        weather.check_times(data.isel(time=[1, 1, 1, 1]))
    with pytest.raises(ValueError, match="two instants or more.*got 1"):
        weather.check_times(data.isel(time=[1]))


@pytest.mark.parametrize("chunks", [None, {"time": 30}], ids=["memory", "dask"])
@pytest.mark.parametrize("stride", [1, 5])
def test_windows_are_forecasts_with_their_past(chunks, stride):
    data = record()
    if chunks:
        pytest.importorskip("dask")
    given = data.chunk(chunks) if chunks else data
    cut = weather.forecast_windows(given, ["t2m", "msl"], 12, 20, stride)
    assert cut.t2m.dims == ("sample", *AXES)
    assert (cut.t2m.chunks is not None) is bool(chunks)
    cut = cut.compute()
    assert cut.sizes["sample"] == (60 - 12 - 20 - 1) // stride + 1
    np.testing.assert_array_equal(cut.time, np.arange(21.0))
    assert cut.time.attrs["units"] == "h"
    for n, start in enumerate(range(12, 40, stride)):
        assert cut.init_time.values[n] == data.time.values[start]
        dates = data.time.values[start : start + 21]
        np.testing.assert_array_equal(cut.valid_time[n], dates)
        for name in ("t2m", "msl"):
            states = data[name][start : start + 21]
            np.testing.assert_array_equal(cut[name][n], states)
            for k in range(1, 13):
                before = cut.coords[f"{name}_{k}h_before"]
                np.testing.assert_array_equal(before[n], data[name][start - k])
    assert "t2m_13h_before" not in cut.coords
    assert cut.t2m.attrs == {"units": "K", "cell_methods": "time: point"}
    assert cut.z.dims == AXES[1:] and "z" in cut.coords
    rows = static_rows(cut, ["z", "t2m_3h_before"], np.array([2, 0]))
    np.testing.assert_array_equal(rows["z"][1], data.z)
    np.testing.assert_array_equal(rows["t2m_3h_before"][0], data.t2m[9 + 2 * stride])


def test_coarser_steps_count_hours():
    data = record(12, step=6)
    cut = weather.forecast_windows(data, ["t2m"], 12, 24)
    np.testing.assert_array_equal(cut.time, [0, 6, 12, 18, 24])
    past = [name for name in cut.coords if str(name).endswith("before")]
    assert past == ["t2m_6h_before", "t2m_12h_before"]
    np.testing.assert_array_equal(cut.t2m_12h_before, data.t2m[:6])
    plain = weather.forecast_windows(data, ["t2m"], 0, 66)
    assert plain.sizes["sample"] == 1
    np.testing.assert_array_equal(plain.t2m[0], data.t2m)


@pytest.mark.parametrize("chunks", [None, {"time": 30}], ids=["memory", "dask"])
def test_forcings_are_those_of_the_calendar(chunks):
    data = record(step=3)
    if chunks:
        pytest.importorskip("dask")
        data = data.chunk(chunks)
    cut = weather.forecast_windows(data, ["t2m"], 3, 12)
    names = ["local_time_cos", "local_time_sin", "season_cos", "season_sin"]
    waves = cut[names].compute()
    for name in names:
        assert waves[name].dims == ("sample", *AXES)
        assert waves[name].dtype == np.float32
        assert waves[name].attrs["cell_methods"] == "time: mean"
        assert (waves[name][:, -1] == 0).all()  # no interval begins there
    for n, k, lon in [(0, 0, 0), (5, 3, 4), (20, 1, 11), (40, 2, 7)]:
        date = cut.valid_time[n, k].dt
        at = {"sample": n, "time": k, "longitude": lon, "latitude": n % 4}
        turn = 2 * np.pi * (date.hour.item() / 24 + GLOBE[lon] / 360)
        day = date.dayofyear.item() - 1 + date.hour.item() / 24
        length = 366 if date.year == 2020 else 365
        expected = {
            "local_time_cos": np.cos(turn),
            "local_time_sin": np.sin(turn),
            "season_cos": np.cos(2 * np.pi * day / length),
            "season_sin": np.sin(2 * np.pi * day / length),
        }
        for name, value in expected.items():
            assert waves[name].isel(at).item() == pytest.approx(value, abs=1e-6)
    years = np.unique(cut.valid_time.dt.year)
    assert years.tolist() == [2019, 2020]  # the season goes on across New Year
    assert (waves.season_cos[:, :-1] > 0.99).all()


def test_noon_is_where_the_sun_stands():
    """At 12 UTC it is noon in Greenwich and midnight at the date line."""
    cut = weather.forecast_windows(record(30), ["t2m"], 0, 1)
    noon = cut.local_time_cos.isel(sample=12, time=0, latitude=0)
    np.testing.assert_allclose(noon.sel(longitude=[0, 180]), [-1, 1], atol=1e-6)
    # Six hours earlier by the sun, in America, it is morning: the sine is 1 at 6 h.
    sine = cut.local_time_sin.isel(sample=12, time=0, latitude=0)
    np.testing.assert_allclose(sine.sel(longitude=[270, 90]), [1, -1], atol=1e-6)


def test_windows_are_trajectories():
    cut = weather.forecast_windows(record(), ["t2m"], 3, 8)
    arrays = to_arrays(cut, ["t2m"], ["local_time_cos", "season_sin"])
    np.testing.assert_array_equal(arrays["t2m0"], cut.t2m[:, 0])
    assert arrays["local_time_cos"].shape == arrays["t2m"].shape == (49, 8, 4, 12)
    half = coarsen(cut, 2)
    assert half.t2m.shape == (49, 5, 2, 6)
    np.testing.assert_array_equal(half.t2m_3h_before, cut.t2m_3h_before[:, ::2, ::2])
    place = AXES[1:]
    recipe = Recipe(
        ("t2m",),
        ("local_time_cos", "local_time_sin"),
        window=8,
        beside=tasks.Task((), (Field("t2m_3h_before", place), Field("z", place))),
        batch_size=6,
    )
    batch = WindowBatches(cut, recipe)(3)
    batch = {name: np.asarray(values) for name, values in batch.items()}
    assert batch["t2m"].shape == (6, 8, 4, 12) and batch["z"].shape == (6, 4, 12)
    for n in range(6):  # history belongs to the window that it precedes
        (start,) = np.flatnonzero((cut.t2m[:, 0] == batch["t2m0"][n]).all(place))
        before = record().t2m[start]
        np.testing.assert_array_equal(batch["t2m_3h_before"][n], before)


def test_windows_that_do_not_fit_are_refused():
    data = record(step=3)
    cut = weather.forecast_windows
    with pytest.raises(ValueError, match=r"must hold \['sst'\]"):
        cut(data, ["sst"], 3, 6)
    with pytest.raises(ValueError, match="States of a record are on .*but z has"):
        cut(data, ["z"], 3, 6)
    with pytest.raises(ValueError, match="whole steps of the record, 3 h, but got 4 h"):
        cut(data, ["t2m"], 4, 6)
    with pytest.raises(ValueError, match="got -3 h"):
        cut(data, ["t2m"], -3, 6)
    for history, lead, stride in [(3, 0, 1), (90, 90, 1), (3, 6, 0)]:
        with pytest.raises(ValueError, match="one step or more and lie within"):
            cut(data, ["t2m"], history, lead, stride)
    with pytest.raises(ValueError, match="1 of its 58 steps"):
        cut(data.drop_isel(time=30), ["t2m"], 3, 6)
    half = data.assign_coords(time=START + np.timedelta64(30, "m") * np.arange(60))
    with pytest.raises(ValueError, match="whole hours, but .* 0.5 h"):
        cut(half, ["t2m"], 3, 6)


def test_windows_of_other_periods_share_nothing():
    periods = weather.split(record(240), "2020-01-03", "2020-01-06T12")
    seen = []
    for period in periods:
        cut = weather.forecast_windows(period, ["t2m"], 12, 20)
        first = cut.init_time.values - 12 * HOUR
        times = first[:, None] + np.arange(33) * HOUR
        assert times.max() == cut.valid_time.values.max()
        seen.append(np.unique(times))
        # The windows use all of the period that there is.
        np.testing.assert_array_equal(seen[-1], period.time)
    assert np.unique(np.concatenate(seen)).size == sum(map(len, seen)) == 240
    assert [str(times[0])[:13] for times in seen[1:]] == [
        "2020-01-03T00",
        "2020-01-06T12",
    ]
    for dates in [("2019-12-30",), ("2020-01-09",), ("2020-01-05", "2020-01-03")]:
        with pytest.raises(ValueError, match="Every period between the dates"):
            weather.split(record(240), *dates)


def daily(step=1, days=4):
    """A record with three waves a day, another in each place, and its mean."""
    data = record(24 // step * days + 1, step)
    hour = data.time.dt.hour
    angle = 2 * np.pi * hour / 24
    place = 1 + data.z.astype(float)
    smooth = place * (280 + 5 * np.cos(angle - 1) + 2 * np.sin(2 * angle))
    rough = smooth + place * np.cos(3 * angle)
    return [data.assign(t2m=part.transpose(*AXES)) for part in (smooth, rough)]


@pytest.mark.parametrize("step", [1, 3, 6])
def test_a_climatology_keeps_the_first_harmonics(step):
    smooth, rough = daily(step)
    found = weather.hourly_climatology(smooth, ["t2m"])
    hours = np.arange(0, 24, step)
    np.testing.assert_array_equal(found.hour, hours)
    expected = smooth.t2m[: 24 // step]
    np.testing.assert_allclose(found.t2m, expected, rtol=1e-12)
    if step < 6:  # of four instants a day two harmonics are all
        filtered = weather.hourly_climatology(rough, ["t2m"])
        np.testing.assert_allclose(filtered.t2m, expected, rtol=1e-12)
    means = weather.hourly_climatology(rough, ["t2m"], harmonics=12)
    np.testing.assert_allclose(means.t2m, rough.t2m[: 24 // step], rtol=1e-12)
    constant = weather.hourly_climatology(rough, ["t2m"], harmonics=0)
    np.testing.assert_allclose(constant.t2m[0], rough.t2m[:-1].mean("time"))
    np.testing.assert_array_equal(constant.t2m[0], constant.t2m[-1])


def test_hours_have_the_means_of_their_days():
    """Whatever hour a record begins at, and of the dtype of its fields."""
    data = record(24 * 5 + 7).isel(time=slice(7, None))
    found = weather.hourly_climatology(data, ["t2m", "msl"], harmonics=12)
    assert found.t2m.dtype == np.float32 and found.t2m.attrs == {"units": "K"}
    expected = data.astype(float).groupby("time.hour").mean()
    np.testing.assert_allclose(found.t2m, expected.t2m, rtol=1e-6)
    chosen = metrics.climatology_at(found.msl, data.time)
    departures = weather.departures(data, found)
    np.testing.assert_allclose(departures.msl, data.msl - chosen, atol=1e-2)


@pytest.mark.parametrize("chunks", [None, {"time": 30}], ids=["memory", "dask"])
def test_departures_go_there_and_back(chunks):
    data = daily()[1]
    climatology = weather.hourly_climatology(data, ["t2m"])
    if chunks:
        pytest.importorskip("dask")
        data = data.chunk(chunks)
    departures = weather.departures(data, climatology)
    assert departures.t2m.chunks == data.t2m.chunks  # none in memory
    hours = data.time.dt.hour.values
    expected = data.t2m.values - climatology.t2m.values[hours]
    np.testing.assert_allclose(departures.t2m, expected, atol=1e-12)
    xr.testing.assert_equal(departures.msl, data.msl)
    back = weather.from_departures(departures, climatology)
    np.testing.assert_allclose(back.t2m, data.t2m, rtol=1e-14)
    windows = weather.forecast_windows(departures, ["t2m"], 3, 6)
    plain = weather.forecast_windows(data, ["t2m"], 3, 6)
    back = weather.from_departures(windows, climatology)
    assert back.t2m.dims == ("sample", *AXES)
    np.testing.assert_allclose(back.t2m, plain.t2m, rtol=1e-14)
    ensemble = windows.t2m.expand_dims(member=2, axis=1).to_dataset(name="t2m")
    both = weather.from_departures(ensemble, climatology).t2m
    assert both.dims == ("sample", "member", *AXES)
    np.testing.assert_allclose(both[:, 1], plain.t2m, rtol=1e-14)


def test_climatologies_that_do_not_fit_are_refused():
    data = record()
    climatology = weather.hourly_climatology(data, ["t2m"])
    windows = weather.forecast_windows(data, ["t2m"], 3, 6)
    with pytest.raises(ValueError, match="Take them before cutting windows"):
        weather.departures(windows, climatology)
    undated = windows.drop_vars("valid_time")
    with pytest.raises(ValueError, match="have dates as 'valid_time'"):
        weather.from_departures(undated, climatology)
    with pytest.raises(ValueError, match=r"every hour of the dates, but lacks \[3\]"):
        weather.departures(data, climatology.drop_sel(hour=3))
    with pytest.raises(ValueError, match="lies on the grid of the fields"):
        weather.departures(data.isel(latitude=[0, 1]), climatology)
    with pytest.raises(ValueError, match=r"\['t2m'\] are missing"):
        weather.departures(data[["msl"]], climatology)
    for short in (data.isel(time=slice(20)), record(step=5)):
        with pytest.raises(ValueError, match="a step that divides a day"):
            weather.hourly_climatology(short, ["t2m"])
    with pytest.raises(ValueError, match="-1 harmonics"):
        weather.hourly_climatology(data, ["t2m"], harmonics=-1)
    hole = data.t2m.where(data.time != data.time[30])
    with pytest.raises(ValueError, match="t2m has 48 that are NaN.*'hour': '6'"):
        weather.hourly_climatology(data.assign(t2m=hole), ["t2m"])


def test_missing_tiles_are_named_when_they_are_read(tmp_path):
    data = record()
    data.t2m[7, 1:3, 4:6] = np.nan
    path = stored(data, tmp_path / "a.nc")
    message = (
        r"t2m has 4 that are NaN .*'time': '2019-12-30T07:00.*'latitude': '45.0', "
        "'longitude': '120.0'"
    )
    with pytest.raises(ValueError, match=message):
        weather.check_finite(opened(path))
    windows = weather.forecast_windows(opened(path), ["t2m"], 2, 4, stride=50)
    with pytest.raises(ValueError, match=r"t2m has 4.*'sample': 0, .*'time': '5"):
        # The first window starts at 2 h and reaches to 6 h: its past is whole.
        weather.check_finite(
            weather.forecast_windows(opened(path), ["t2m"], 2, 5, stride=50)
        )
    whole = weather.check_finite(windows)
    assert whole.t2m.chunks is None and whole.t2m_1h_before.chunks is None
    past = weather.forecast_windows(data.isel(time=slice(6, None)), ["t2m"], 3, 4)
    with pytest.raises(ValueError, match="t2m_2h_before has 4.*'init_time': '2019-12"):
        weather.check_finite(past)


def test_modes_follow_from_the_longitudes():
    ends = ("boundary", "boundary", "boundary")
    assert weather.wavelet_modes(record()) == (*ends[:2], "periodization")
    region = record(longitude=GLOBE[:-1])
    assert weather.wavelet_modes(region) == ends
    assert weather.wavelet_modes(record(longitude=[10.0])) == ends
    windows = weather.forecast_windows(record(), ["t2m"], 0, 2)
    assert weather.wavelet_modes(windows) == (*ends[:2], "periodization")
    single = np.linspace(0, 360, 1440, endpoint=False).astype(np.float32)
    assert weather.wavelet_modes(record(2, longitude=single)) == (
        *ends[:2],
        "periodization",
    )


PERSISTENCE = {1: 0.4736, 3: 1.2078, 6: 1.9886, 12: 2.6414, 24: 1.8887}
"""Root mean squares in K of the 32 x 48 points.

The desk's .467, 1.189, 1.957, 2.599 and 1.869 are those of the 33 x 49 points that its
file was cut from, in GRIB.
"""


@pytest.mark.shared
@pytest.mark.parametrize("lead", PERSISTENCE)
def test_persistence_over_the_uk(shared, lead):
    path = shared / "data" / UK
    with netCDF4.Dataset(path) as file:
        plain = np.asarray(file["t2m"][:], float)
    expected = np.sqrt(np.mean((plain[lead:] - plain[:-lead]) ** 2))
    cut = weather.forecast_windows(opened(path), ["t2m"], 0, lead).t2m
    assert cut.sizes["sample"] == 744 - lead
    error = float(np.sqrt(((cut[:, -1] - cut[:, 0]) ** 2).mean()))
    assert error == pytest.approx(expected, rel=1e-9)
    assert error == pytest.approx(PERSISTENCE[lead], abs=1e-4)


@pytest.mark.shared
def test_the_uk_is_a_region_with_ends(shared):
    data = opened(shared / "data" / UK)
    assert weather.wavelet_modes(data) == ("boundary", "boundary", "boundary")
    assert data.latitude[0] == 50.25 and data.longitude[0] == -10
    cut = weather.forecast_windows(data, ["t2m"], 12, 20)
    assert cut.t2m.shape == (712, 21, 32, 48)
    training, test = weather.split(data, "2019-03-25")
    climatology = weather.hourly_climatology(training, ["t2m"])
    shifted = weather.departures(test, climatology)
    warmest = np.argmax(climatology.t2m.mean(["latitude", "longitude"]).values)
    assert 12 <= warmest <= 16  # the afternoon
    # The hour of the day explains part of the weather of days that it was not made of.
    spread = [
        float(((x - x.mean("time")) ** 2).mean()) for x in (test.t2m, shifted.t2m)
    ]
    assert spread[1] < 0.8 * spread[0]


@pytest.mark.shared
def test_the_globe_in_irregular_steps(shared):
    data = opened(shared / "data" / GLOBAL)
    assert weather.wavelet_modes(data)[2] == "periodization"
    assert set(data) == {"t2m", "u10", "v10", "msl"}
    with pytest.raises(ValueError, match="usually 7 h here, but 6 of its 23 .*: 8 h"):
        weather.check_times(data)
    with pytest.raises(ValueError, match="6 of its 23 steps"):
        weather.forecast_windows(data, ["t2m"], 7, 14)
    even = data.compute().resample(time="6h").interpolate()
    cut = weather.forecast_windows(weather.check_finite(even), ["t2m"], 6, 12)
    assert cut.sizes["sample"] == even.sizes["time"] - 3
    atlantic = opened(shared / "data" / GLOBAL, region=weather.Region(0, 60, -90, 0))
    theirs = data.t2m.sel(latitude=slice(0, 60)).sel(longitude=[270, 354.375, 0])
    ours = atlantic.t2m.sel(longitude=[-90, -5.625, 0])
    np.testing.assert_array_equal(ours, theirs)


# Damped persistence


def fading(share=0.8, samples=400, noise=0.0):
    """Windows of anomalies of which each hour leaves a share, and noise besides."""
    draw = np.random.default_rng(1)
    dims = ("sample", "time", "latitude", "longitude")
    start = draw.normal(0, 2, (samples, 1, 2, 3))
    lead = np.arange(4.0)
    values = start * share ** lead[:, None, None]
    values += noise * lead[:, None, None] * draw.normal(size=values.shape)
    coords = {"time": lead, "latitude": [50.0, 51], "longitude": [0.0, 1, 2]}
    return xr.Dataset({"t2m": (dims, values, {"units": "K"})}, coords)


def test_damped_persistence_is_the_least_squares_share_of_the_start():
    exact = weather.DampedPersistence.fit(fading(), ["t2m"])
    np.testing.assert_allclose(exact.share.t2m, 0.8 ** np.arange(4), rtol=1e-12)
    np.testing.assert_allclose(exact.error.t2m, 1.0)  # nothing is off: no division by 0
    windows = fading(noise=0.5)
    found = weather.DampedPersistence.fit(windows, ["t2m"])
    off = (windows.t2m - found.forecast(windows).t2m).values
    start = windows.t2m.values[:, :1]
    # Residuals of least squares are orthogonal to what they are fitted to.
    np.testing.assert_allclose((off * start).mean(axis=(0, 2, 3)), 0, atol=1e-12)
    rms = np.sqrt((off**2).mean(axis=0))
    np.testing.assert_allclose(found.error.t2m[1:], rms[1:], rtol=1e-12)
    expected = 0.5 * np.arange(1, 4)[:, None, None]
    np.testing.assert_allclose(rms[1:], np.broadcast_to(expected, (3, 2, 3)), rtol=0.15)


def test_departures_from_damped_persistence_are_of_order_one_and_return():
    windows = fading(noise=0.5)
    damped = weather.DampedPersistence.fit(windows, ["t2m"])
    moved = damped.departures(windows)
    assert moved.t2m.dims == windows.t2m.dims
    np.testing.assert_array_equal(moved.t2m[:, 0], 0)
    np.testing.assert_allclose((moved.t2m**2).mean("sample")[1:], 1)
    start = windows.t2m.isel(time=0, drop=True)
    xr.testing.assert_allclose(moved.t2m_0h_before.reset_coords(drop=True), start)
    back = damped.from_departures(moved).t2m
    np.testing.assert_allclose(back, windows.t2m, atol=1e-12)
    # No departure is the forecast; members keep their place.
    none = moved.assign(t2m=0 * moved.t2m)
    back = damped.from_departures(none).t2m
    np.testing.assert_allclose(back, damped.forecast(windows).t2m, atol=1e-12)
    several = moved.assign(t2m=xr.concat([none.t2m, moved.t2m], "member"))
    back = damped.from_departures(several).t2m
    assert back.dims == ("member", *windows.t2m.dims)
    np.testing.assert_allclose(back[1], windows.t2m, atol=1e-12)


def test_damped_persistence_needs_anomalies_and_their_start():
    windows = fading()
    for wrong in (0 * windows, windows.where(windows.time < 3)):
        with pytest.raises(ValueError, match="finite and not all zero.*`departures`"):
            weather.DampedPersistence.fit(wrong, ["t2m"])
    damped = weather.DampedPersistence.fit(windows, ["t2m"])
    with pytest.raises(ValueError, match="coordinate t2m_0h_before is missing"):
        damped.from_departures(windows)


def test_the_recipe_of_forecasts_reads_departures():
    recipe = RECIPES["era5-t2m"]
    days = record(60, latitude=range(40, 48), longitude=range(12))
    climatology = weather.hourly_climatology(days, ["t2m"])
    anomalies = weather.departures(days, climatology)
    windows = weather.forecast_windows(anomalies, ["t2m"], 0, recipe.window)
    damped = weather.DampedPersistence.fit(windows, ["t2m"])
    departures = damped.departures(windows)
    batches = WindowBatches(departures, recipe)
    batch = batches(0)
    for quantity in (q for side in recipe.fields(batches.dims) for q in side):
        extents = {"time": recipe.window, "latitude": 8, "longitude": 12}
        shape = tuple(extents[dim] for dim in quantity.dims)
        assert batch[quantity.name].shape == (recipe.batch_size, *shape)
    assert recipe.mode == weather.wavelet_modes(days)
    assert not batch["t2m0"].any()  # no departure yet
    # A window of the batch, put together again, is one of the anomalies.
    error = damped.error.t2m.values[1:]
    whole = damped.forecast(windows).t2m[:, 1:] + error * np.asarray(batch["t2m"][0])
    off = abs(windows.t2m[:, 1:] - whole).max(["time", *AXES[1:]])
    assert off.min() < 1e-4 < off.max()


@pytest.mark.slow
@pytest.mark.shared
def test_the_shipped_model_beats_persistence_and_climatology(shared):
    """On days that it has not seen, by the CRPS, of which an error is the simplest."""
    record = opened(shared / "data" / UK).astype(np.float32).load()
    training, _, test = weather.split(record, "2019-03-21", "2019-03-25")
    fit = partial(weather.LinearForecast.fit, variables=["t2m"])
    climatology, linear, _ = weather.cross_fitted([training], ["t2m"], fit, 1, 24)
    windows = weather.anomaly_windows([test], climatology, ["t2m"], 1, 24)
    unseen = windows.isel(sample=slice(None, None, 6))
    given, model = linear.departures(unseen), wdno.load("era5-t2m")
    how = {"members": 8, "sampler": wdno.diffusion.samplers.dpmpp_2m(), "steps": 8}
    start = given[["t2m"]].isel(time=0)
    forecast = wdno.simulate(model, start, **how, key=jax.random.key(0))
    past = {f"t2m_{hours}h_before": given[f"t2m_{hours}h_before"] for hours in (0, 1)}
    forecast = linear.from_departures(forecast.assign_coords(time=unseen.time, **past))
    found, truth = (
        weather.from_departures(
            part.assign_coords(valid_time=unseen.valid_time), climatology
        ).t2m
        for part in (forecast, unseen)
    )
    normal = metrics.climatology_at(climatology.t2m, unseen.valid_time)
    persistence = truth.isel(time=0, drop=True).broadcast_like(truth)
    leads = {"time": [1, 6, 24]}
    found, truth, normal = (field.sel(leads) for field in (found, truth, normal))
    crps = metrics.latitude_weighted_crps(found, truth).mean("sample").values
    mse = metrics.latitude_weighted_mse(found.mean("member"), truth).mean("sample")
    for rival in (persistence.sel(leads), normal.transpose(*truth.dims)):
        error = metrics.area_mean(abs(rival - truth)).mean("sample").values
        assert (crps < 0.9 * error).all()
        # By the mean alone today is the better forecast of tomorrow in that week.
        square = metrics.latitude_weighted_mse(rival, truth).mean("sample")
        assert (mse < square).values[:2].all()


# What files of others have ------------------------------------------------------------

SINGLE = {
    "number": 0,
    "expver": "0001",
    "surface": 0.0,
    "realization": 1,
    "sample": 2,
    "member": 3,
    "prediction_timedelta": np.timedelta64(0, "ns"),
    "forecast_reference_time": np.datetime64("2020-01-01", "ns"),
    "product": "reanalysis",
}
READERS = [weather.open_era5, io.open_weatherbench]


def small_globe(latitude):
    time = np.datetime64("2020-01-01", "ns") + 6 * HOUR * np.arange(2)
    place = {"latitude": latitude, "longitude": [0.0, 90.0, 180.0, 270.0]}
    values = np.full((2, len(latitude), 4), 280.0)
    coords = {"time": time, **place}
    return xr.Dataset({"t2m": (tuple(coords), values)}, coords)


@pytest.mark.parametrize("opener", READERS)
@pytest.mark.parametrize("name", SINGLE)
def test_what_a_file_has_one_of_is_no_axis(opener, name, tmp_path):
    globe = small_globe(np.linspace(-90, 90, 3)).assign_coords({name: SINGLE[name]})
    globe.to_netcdf(tmp_path / "a.nc")
    found = opener(tmp_path / "a.nc").load()
    assert found.t2m.size == globe.t2m.size and name not in found.coords


@pytest.mark.parametrize("kind", ["float64", "float32"])
@pytest.mark.parametrize("step", [0.1, 0.4, 0.7, 1.2])
def test_poles_are_met_up_to_rounding_by_every_reader(kind, step, tmp_path):
    sums = np.cumsum(np.full(int(round(180 / step)), -step, kind), dtype=kind)
    latitude = np.concatenate([[90.0], 90 + sums]).astype(kind)
    path = tmp_path / "a.nc"
    small_globe(latitude).to_netcdf(path)
    if abs(latitude[-1]) < 90 + 1e-4:
        for opener in READERS:
            weights = metrics.latitude_weights(opener(path).latitude)
            assert weights.sizes["latitude"] == len(latitude)
    beyond = np.linspace(-90.0002, 90, 19)
    small_globe(beyond).to_netcdf(path)
    for opener in READERS:
        with pytest.raises(ValueError, match=r"they reach -90\.0002\. Convert"):
            opener(path)
