"""Excerpts of Zarr stores, against selections by xarray of the same data."""

import numpy as np
import pytest
import xarray as xr
from served import serving

from wdno import io
from wdno.io.excerpt import Excerpt, copy_excerpt, plan_excerpt

zarr = pytest.importorskip("zarr")

HOURS = np.timedelta64(6, "h")
CHUNKS = {"time": 5, "level": 3, "longitude": 4, "latitude": 4}


def weather(dtype=np.float32):
    """Two weeks on four levels, from north to south as some stores have it."""
    coords = {
        "time": np.datetime64("2020-02-26", "ns") + HOURS * np.arange(56),
        "level": [500, 700, 850, 1000],
        "longitude": np.arange(0, 360, 45.0),
        "latitude": np.linspace(67.5, -67.5, 4),
    }
    random = np.random.default_rng(0)
    flat = ("time", "longitude", "latitude")
    fields = {
        "temperature": (
            ("time", "level", "longitude", "latitude"),
            random.normal(size=(56, 4, 8, 4)).astype(dtype),
            {"units": "K", "long_name": "Temperature"},
        ),
        "2m_temperature": (flat, random.normal(size=(56, 8, 4)).astype(dtype)),
        "land_sea_mask": (flat[1:], random.uniform(size=(8, 4)).astype(dtype)),
    }
    dataset = xr.Dataset(fields, coords, {"title": "analyses"})
    dataset["2m_temperature"][3, 2, 1] = np.nan
    return dataset


def stored(dataset, path):
    encoding = {
        name: {"chunks": tuple(CHUNKS[dim] for dim in field.dims)}
        for name, field in dataset.items()
    }
    dataset.to_zarr(path, encoding=encoding, zarr_format=2, consolidated=True)
    return str(path)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return stored(weather(), tmp_path_factory.mktemp("store") / "era5.zarr")


def copied(store, path, **choice):
    copy_excerpt(Excerpt(store, **choice), path)
    return xr.load_dataset(path, decode_timedelta=False)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_whole_store_is_copied_bit_for_bit(tmp_path, dtype):
    store = stored(weather(dtype), tmp_path / "era5.zarr")
    copy = copied(store, tmp_path / "copy.nc")
    assert copy.attrs.pop("origin") == store
    xr.testing.assert_identical(copy, weather(dtype))
    assert {field.dtype for field in copy.values()} == {np.dtype(dtype)}


def test_parts_are_those_that_xarray_selects(store, tmp_path):
    copy = copied(
        store,
        tmp_path / "copy.nc",
        variables=("temperature", "land_sea_mask"),
        levels=(850, 500),
        latitudes=(-30, 70),
        longitudes=(90, 200),
        times=("2020-02-28", "2020-03-02T06"),
        every=3,
    )
    copy.attrs.pop("origin")
    expected = weather()[["temperature", "land_sea_mask"]].sel(
        level=[850, 500],
        latitude=slice(70, -30),
        longitude=slice(90, 200),
        time=slice("2020-02-28", "2020-03-02T06"),
    )
    expected = expected.isel(time=slice(None, None, 3))
    assert dict(expected.sizes) == {
        "time": 5,
        "level": 2,
        "longitude": 3,
        "latitude": 3,
    }
    xr.testing.assert_identical(copy, expected)


def test_a_last_date_reaches_to_the_end_of_what_it_names(store, tmp_path):
    copy = copied(store, tmp_path / "copy.nc", times=("2020-02-27", "2020-02"))
    assert copy.time.values[0] == np.datetime64("2020-02-27T00")
    assert copy.time.values[-1] == np.datetime64("2020-02-29T18")


def test_regions_across_the_seam_are_joined(store, tmp_path):
    copy = copied(store, tmp_path / "copy.nc", longitudes=(-50, 50))
    np.testing.assert_array_equal(copy.longitude, [-45, 0, 45])
    expected = weather().sel(longitude=[315, 0, 45])
    for name in expected:
        np.testing.assert_array_equal(copy[name], expected[name])
    world = copied(store, tmp_path / "world.nc", longitudes=(-180, 180))
    np.testing.assert_array_equal(world.longitude, np.arange(-180, 180, 45))
    assert io.open_weatherbench(tmp_path / "copy.nc").sizes["longitude"] == 3


def test_meridians_of_single_precision_are_not_west_of_themselves(tmp_path):
    """0.1 and 359.9 have no exact binary form, and in single precision another."""
    degrees = np.array([0.1, 120, 240, 359.9], np.float32)
    fine = weather().isel(longitude=slice(4)).assign_coords(longitude=degrees)
    store = stored(fine, tmp_path / "era5.zarr")
    copy = copied(store, tmp_path / "copy.nc", longitudes=(-0.1, 0.1))
    np.testing.assert_allclose(copy.longitude, [-0.1, 0.1], atol=1e-4)
    expected = fine["temperature"].isel(longitude=[3, 0])
    np.testing.assert_array_equal(copy["temperature"], expected)


def test_copies_are_of_the_layout_of_weatherbench(store, tmp_path):
    copied(store, tmp_path / "copy.nc", levels=(500,), times=("2020-03-01",) * 2)
    assert io.layout_of(tmp_path / "copy.nc") == "weatherbench"
    weather_ = io.open_weatherbench(tmp_path / "copy.nc")
    assert (np.diff(weather_.latitude) > 0).all()
    np.testing.assert_array_equal(weather_.time, [0, 6, 12, 18])


def test_forecasts_keep_their_lead_times(tmp_path):
    analyses = weather().drop_vars("land_sea_mask").isel(time=slice(6))
    leads = (HOURS * np.arange(3)).astype("m8[ns]")
    forecasts = analyses.expand_dims(prediction_timedelta=leads)
    forecasts = forecasts.transpose("time", ...).astype(np.float32)
    forecasts.to_zarr(tmp_path / "store.zarr", zarr_format=2, consolidated=True)
    copied(str(tmp_path / "store.zarr"), tmp_path / "copy.nc", levels=(700,))
    opened = io.open_weatherbench(tmp_path / "copy.nc")
    assert dict(opened.temperature.sizes) == {
        "sample": 6,
        "time": 3,
        "level": 1,
        "latitude": 4,
        "longitude": 8,
    }
    np.testing.assert_array_equal(opened.time, [0, 6, 12])
    np.testing.assert_array_equal(opened.init_time, analyses.time)


def test_numbers_in_units_of_time_stay_numbers(tmp_path):
    """A period of waves is a field, not an axis of durations."""
    period = weather()[["2m_temperature"]].rename({"2m_temperature": "period"})
    period["period"].attrs["units"] = "seconds"
    store = stored(period, tmp_path / "waves.zarr")
    copy = copied(store, tmp_path / "copy.nc")
    xr.testing.assert_identical(copy["period"], period["period"])


# Plans --------------------------------------------------------------------------------


def test_a_plan_knows_the_size_of_the_copy(store, tmp_path):
    choice = Excerpt(store, levels=(500, 850), latitudes=(0, 90), every=7)
    plan = plan_excerpt(choice)
    copy_excerpt(choice, tmp_path / "copy.nc")
    copy = xr.load_dataset(tmp_path / "copy.nc")
    assert plan.sizes == dict(copy.sizes)
    assert plan.bytes == sum(field.nbytes for field in copy.values())


def test_a_plan_counts_whole_chunks(store):
    """By hand: chunks of 5 instants, 3 levels, 4 longitudes and all 4 latitudes."""
    plan = plan_excerpt(
        Excerpt(
            store,
            variables=("temperature",),
            levels=(1000,),
            longitudes=(100, 200),
            times=("2020-02-26T18", "2020-02-27T06"),
        )
    )
    # Instants 3 to 5 lie in two chunks, 135 and 180 degrees in two, the level in one.
    assert plan.sizes == {"time": 3, "level": 1, "longitude": 2, "latitude": 4}
    assert plan.bytes == 4 * 3 * 1 * 2 * 4
    assert plan.bytes_read == 4 * (2 * 5) * 3 * (2 * 4) * 4


def test_no_more_chunks_are_read_than_a_plan_says(store, tmp_path):
    """Counted by a server: metadata and axes for the plan, then each chunk once."""
    pytest.importorskip("aiohttp")
    with serving(tmp_path) as served:
        stored(weather(), tmp_path / "era5.zarr")
        choice = Excerpt(
            f"{served.url}/era5.zarr",
            variables=("temperature",),
            levels=(1000,),
            times=("2020-02-26T18", "2020-02-27T06"),
        )
        plan = plan_excerpt(choice)
        assert not [path for path, _ in served.asked if "/temperature/" in path]
        served.asked.clear()
        copy_excerpt(choice, tmp_path / "copy.nc")
    chunks = [
        path.split("/")[-1] for path, _ in served.asked if "/temperature/" in path
    ]
    chunks = [name for name in chunks if name[0].isdigit()]
    assert sorted(chunks) == ["0.1.0.0", "0.1.1.0", "1.1.0.0", "1.1.1.0"]
    assert plan.bytes_read == len(chunks) * 4 * np.prod([*CHUNKS.values()])
    expected = weather()["temperature"].sel(level=[1000]).isel(time=slice(3, 6))
    copy = xr.load_dataset(tmp_path / "copy.nc")["temperature"]
    np.testing.assert_array_equal(copy, expected)


# Refusals -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        ({"variables": ("fog",)}, r"has no \['fog'\]\. It has \['2m_temp"),
        ({"levels": (500, 501)}, r"\[500, 501\] are not all among \[500, 700"),
        ({"latitudes": (80, 90)}, r"'latitude' is within \(80, 90\); .* -67\.5 to 67"),
        ({"longitudes": (50, 40)}, r"'longitude' is within \(50, 40\)"),
        ({"times": ("1999", "2000")}, r"'time' is within .* has 2020-02-26"),
        (
            {"variables": ("2m_temperature",), "levels": (500,)},
            r"'level' is none of \['latitude', 'longitude', 'time'\]",
        ),
    ],
)
def test_what_is_not_there_is_told(store, tmp_path, choice, message):
    with pytest.raises(ValueError, match=message):
        plan_excerpt(Excerpt(store, **choice))
    with pytest.raises(ValueError, match=message):
        copy_excerpt(Excerpt(store, **choice), tmp_path / "copy.nc")
    assert not list(tmp_path.iterdir())


def test_every_none_is_refused(store):
    with pytest.raises(ValueError, match="is taken, but got 0"):
        Excerpt(store, every=0)


def test_other_places_are_no_stores(tmp_path):
    for url in (tmp_path / "absent.zarr", tmp_path):
        with pytest.raises(ValueError, match=f"none can be opened at {url}"):
            plan_excerpt(Excerpt(str(url)))


def test_text_is_no_excerpt(tmp_path):
    names = xr.Dataset({"name": ("time", np.array(["a", "bc"]))}, {"time": [0, 1]})
    names.to_zarr(tmp_path / "names.zarr", zarr_format=2, consolidated=True)
    with pytest.raises(ValueError, match="hold numbers, but 'name' is of type"):
        copy_excerpt(Excerpt(str(tmp_path / "names.zarr")), tmp_path / "copy.nc")


def test_an_interrupted_copy_leaves_nothing(store, tmp_path, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("wdno.io.excerpt.copying._write", interrupt)
    with pytest.raises(KeyboardInterrupt):
        copy_excerpt(Excerpt(store), tmp_path / "copy.nc")
    assert not list(tmp_path.iterdir())


def test_a_missing_library_is_named(store, monkeypatch):
    for missing in ("zarr", "fsspec"):
        with monkeypatch.context() as patch:
            patch.setitem(__import__("sys").modules, missing, None)
            with pytest.raises(ModuleNotFoundError, match=r"'wdno\[era5\]'"):
                plan_excerpt(Excerpt(store))


def test_the_library_of_an_address_is_named(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "gcsfs", None)
    with pytest.raises(ModuleNotFoundError, match=r"gs://weather.*'wdno\[era5\]'"):
        plan_excerpt(Excerpt("gs://weatherbench2/datasets/era5.zarr"))
