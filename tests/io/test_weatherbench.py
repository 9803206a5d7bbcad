"""Weather in the layout of WeatherBench 2, written here by xarray."""

import numpy as np
import pytest
import xarray as xr

from wdno import io

TIMES, LEVELS, LONGITUDES, LATITUDES = 9, 3, 8, 4
HOURS = np.timedelta64(6, "h")


def draw(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def analysis(rising=True):
    """Six-hourly analyses with the axes in the order of the published files."""
    latitude = np.linspace(-67.5, 67.5, LATITUDES)
    coords = {
        "time": np.datetime64("2020-02-28T00", "ns") + HOURS * np.arange(TIMES),
        "level": [500, 700, 850],
        "longitude": np.linspace(0, 360, LONGITUDES, endpoint=False),
        "latitude": latitude if rising else latitude[::-1],
    }
    upper = ("time", "level", "longitude", "latitude")
    flat = ("time", "longitude", "latitude")
    fields = {
        "temperature": (
            upper,
            draw(TIMES, LEVELS, LONGITUDES, LATITUDES),
            {"units": "K"},
        ),
        "2m_temperature": (flat, draw(TIMES, LONGITUDES, LATITUDES, seed=1)),
        "land_sea_mask": (flat[1:], draw(LONGITUDES, LATITUDES, seed=2)),
    }
    return xr.Dataset(fields, coords, {"title": "analyses"})


def forecasts():
    """Ensembles from every other instant, three lead times each."""
    first = analysis().isel(time=slice(None, None, 2)).drop_vars("land_sea_mask")
    lead = (HOURS * np.arange(3)).astype("m8[ns]")
    whole = first.expand_dims(number=[0, 1], prediction_timedelta=lead)
    noise = xr.DataArray(draw(2, 3, seed=4), dims=("number", "prediction_timedelta"))
    return (whole + noise).transpose("time", "number", ...)


def stored(dataset, path):
    if path.suffix == ".zarr":
        pytest.importorskip("zarr")
        dataset.to_zarr(path)
    else:
        dataset.to_netcdf(path)
    return path


each_kind = pytest.mark.parametrize("kind", ["nc", "zarr"])


@each_kind
@pytest.mark.parametrize("rising", [True, False])
def test_an_analysis_is_one_sample_with_rising_latitudes(tmp_path, kind, rising):
    given = analysis(rising)
    data = io.open_weatherbench(stored(given, tmp_path / f"era5.{kind}"))
    temperature = data.temperature
    assert temperature.dims == ("sample", "time", "level", "latitude", "longitude")
    assert not any(v.variable._in_memory for v in data.data_vars.values())
    assert (np.diff(data.latitude) > 0).all()
    expected = given.temperature.sortby("latitude").transpose(*temperature.dims[1:])
    np.testing.assert_array_equal(temperature[0], expected)
    np.testing.assert_array_equal(data.time, 6.0 * np.arange(TIMES))
    np.testing.assert_array_equal(data.valid_time[0], given.time)
    assert data.valid_time.dt.dayofyear[0, 4] == 60  # the leap day
    assert temperature.attrs == {"units": "K", "cell_methods": "time: point"}
    assert data["2m_temperature"].dims == ("sample", "time", "latitude", "longitude")
    mask = given.land_sea_mask.sortby("latitude")
    np.testing.assert_array_equal(data.land_sea_mask, mask)
    assert data.land_sea_mask.dims == ("longitude", "latitude")
    assert data.attrs["title"] == "analyses"


@each_kind
def test_forecasts_are_samples_of_members_by_lead_time(tmp_path, kind):
    given = forecasts()
    data = io.open_weatherbench(stored(given, tmp_path / f"ens.{kind}"))
    dims = ("sample", "member", "time", "level", "latitude", "longitude")
    assert data.temperature.dims == dims
    assert not data.temperature.variable._in_memory
    np.testing.assert_array_equal(data.time, [0.0, 6, 12])
    np.testing.assert_array_equal(data.init_time, given.time)
    np.testing.assert_array_equal(data.member, [0, 1])
    valid = given.time.values[1] + 2 * HOURS
    assert data.valid_time.values[1, 2] == valid
    expected = given.temperature.transpose(
        "time", "number", "prediction_timedelta", "level", "latitude", "longitude"
    )
    np.testing.assert_array_equal(data.temperature, expected)


@each_kind
def test_selections_are_those_of_the_values(tmp_path, kind):
    path = stored(analysis(rising=False), tmp_path / f"era5.{kind}")
    whole = io.open_weatherbench(path).load()
    keys = {"time": slice(8, None, -3), "longitude": [5, 1], "latitude": [0, 3, 3]}
    for key in (keys, {"sample": 0, "time": [2, 4]}, {"latitude": slice(1, None, 2)}):
        part = io.open_weatherbench(path).temperature.isel(key)
        np.testing.assert_array_equal(part, whole.temperature.isel(key))


# Bad files ----------------------------------------------------------------------------


def test_absent_and_damaged_files_are_told(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"absent\.nc"):
        io.open_weatherbench(tmp_path / "absent.nc")
    path = stored(analysis(), tmp_path / "a.nc")
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(ValueError, match=r"a\.nc cannot be read.*copy it again"):
        io.open_weatherbench(path)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda d: d.rename(latitude="lat"), r"'lat': 4.*`\.rename`"),
        (lambda d: d.expand_dims(sample=1), "'sample': 1"),
        (lambda d: d.isel(time=0), "time, latitude and longitude"),
        (lambda d: d.drop_vars("longitude"), r"no coordinates \['longitude'\]"),
        (
            lambda d: d.isel(latitude=[0, 2, 1, 3]),
            r"'latitude' has -22\.5 after 22\.5 at index 2",
        ),
        (
            lambda d: d.isel(latitude=[3, 1, 2, 0]),
            r"'latitude' has 22\.5 after -22\.5 at index 2",
        ),
        (lambda d: d.isel(longitude=[0, 1, 1]), "'longitude' has 45.* at index 2"),
        (
            lambda d: d.isel(time=[0, 2, 1]),
            "'time' has 2020-02-28T06.* after 2020-02-28T12.* at index 2",
        ),
        (
            lambda d: d.assign_coords(time=np.arange(TIMES)),
            "'time' is of type int64",
        ),
        (lambda d: d.assign_coords(latitude=[-120, -60, 60, 120]), "they reach -120"),
    ],
)
def test_other_layouts_and_disorder_are_told(tmp_path, change, told):
    path = stored(change(analysis()), tmp_path / "a.nc")
    with pytest.raises(ValueError, match=told):
        io.open_weatherbench(path)


def test_lead_times_are_durations(tmp_path):
    given = forecasts().assign_coords(prediction_timedelta=[0, 6, 12])
    path = stored(given, tmp_path / "a.nc")
    with pytest.raises(ValueError, match="'prediction_timedelta' is of type int64"):
        io.open_weatherbench(path)
