"""Pictures show the numbers that they claim to show."""

import io
import threading

import matplotlib
import numpy as np
import pytest
import xarray as xr
from matplotlib.colors import to_rgb
from PIL import Image

from wdno import metrics, plotting
from wdno.plotting.style import CURVES, SIGNED, TRUTH


@pytest.fixture
def pair() -> tuple[xr.DataArray, xr.DataArray]:
    """A truth (3 samples, 21 times, 16 points) and an ensemble of 5."""
    rng = np.random.default_rng(0)
    t, x = np.linspace(0, 2, 21), np.arange(16) / 16
    phase = np.array([0.0, 1.0, 2.0])[:, None, None]
    values = np.sin(2 * np.pi * x - t[:, None] + phase)
    truth = xr.DataArray(
        values,
        {
            "time": ("time", t, {"units": "s"}),
            "x": ("x", x, {"units": "m", "long_name": "position"}),
        },
        ("sample", "time", "x"),
        attrs={"units": "m s-1", "long_name": "velocity"},
    )
    noise = xr.DataArray(
        rng.normal(size=(5, 3, 21, 16)), dims=("member", "sample", "time", "x")
    )
    return truth, (truth + 0.1 * noise * truth.time).transpose("sample", "member", ...)


def panels(figure):
    """Axes that hold a field, without colour bars."""
    return [axis for axis in figure.axes if axis.get_label() != "<colorbar>"]


def shown(axis) -> np.ndarray:
    """Values of a panel, (x, time)."""
    return np.asarray(axis.collections[0].get_array()).reshape(16, 21)


def test_space_time_shows_truth_mean_error_and_spread(pair):
    truth, forecast = pair
    figure = plotting.space_time(truth, forecast, samples=[2, 0])
    axes = np.reshape(panels(figure), (2, 4))
    mean, spread = forecast.mean("member"), forecast.std("member", ddof=1)
    for row, sample in zip(axes, (2, 0), strict=True):
        for axis, field in zip(
            row, (truth, mean, abs(mean - truth), spread), strict=True
        ):
            expected = field.isel(sample=sample).transpose("x", "time")
            np.testing.assert_allclose(shown(axis), expected, atol=1e-12)
        assert f"sample {sample}" in row[0].get_ylabel()


def test_notebooks_show_pictures_as_they_are_saved(pair, tmp_path):
    """Asked as IPython asks, without pyplot; of equal resolution they are equal."""
    figure = plotting.space_time(pair[0], pair[1])
    shown = Image.open(io.BytesIO(figure._repr_png_()))
    saved = Image.open(plotting.save(figure, tmp_path / "saved.png"))
    assert shown.format == "PNG"
    assert shown.size[0] / shown.size[1] == pytest.approx(
        saved.size[0] / saved.size[1], rel=0.01
    )
    assert np.asarray(shown.convert("RGB")).std() > 20  # no empty page


def test_space_time_shares_scales_and_names_its_axes(pair):
    figure = plotting.space_time(*pair)
    axes = np.reshape(panels(figure), (3, 4))
    limits = np.array(
        [[axis.collections[0].get_clim() for axis in row] for row in axes]
    )
    assert (limits[:, :2] == limits[0, 0]).all()
    assert (limits[:, 2:] == limits[0, 2]).all()
    assert limits[0, 0, 0] == -limits[0, 0, 1], "zero is the centre of signed fields"
    assert limits[0, 2, 0] == 0
    titles = [axis.get_title() for axis in axes[0]]
    assert titles[0] == "Truth" and "mean of 5 members" in titles[1]
    assert axes[-1, 0].get_xlabel() == "time [s]"
    assert "position [m]" in axes[0, 0].get_ylabel()
    bars = [axis for axis in figure.axes if axis.get_label() == "<colorbar>"]
    assert [bar.get_xlabel().replace("\N{NO-BREAK SPACE}", " ") for bar in bars] == [
        "velocity [m s⁻¹]",
        "difference of velocity [m s⁻¹]",
    ]


def test_space_time_of_one_forecast_has_no_spread(pair):
    truth, forecast = pair
    for single in (forecast.isel(member=0), forecast.isel(member=[0])):
        figure = plotting.space_time(truth, single, samples=[1])
        titles = [axis.get_title() for axis in panels(figure)]
        assert titles == ["Truth", "Forecast", "Absolute error"]


def test_a_perfect_and_a_zero_forecast_can_be_drawn(pair, tmp_path):
    zero = 0 * pair[0]
    plotting.save(plotting.space_time(zero, zero), tmp_path / "zero.png")


def test_signed_colours_are_even_in_lightness():
    """CIELAB lightness falls linearly from the centre to both ends."""
    rgb = np.array([to_rgb(SIGNED(value)) for value in np.linspace(0, 1, 33)])
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    lightness = 116 * np.cbrt(linear @ [0.2126, 0.7152, 0.0722]) - 16
    np.testing.assert_allclose(lightness, lightness[::-1], atol=1.5)
    np.testing.assert_allclose(np.diff(lightness[16:]), -69 / 16, atol=1.2)


def test_error_over_time_draws_the_score_and_its_interval(pair):
    truth, forecast = pair
    figure = plotting.error_over_time(
        truth, {"ensemble": forecast, "member": forecast.isel(member=0)}
    )
    (axis,) = figure.axes
    lines = {line.get_label(): line for line in axis.lines}
    assert set(lines) == {"ensemble", "ensemble: spread", "member"}
    reference = metrics.exclude_initial(truth)
    point = metrics.exclude_initial(forecast.mean("member"))
    error = metrics.nrmse_over_time(point, reference)
    np.testing.assert_allclose(lines["ensemble"].get_ydata(), error.mean("sample"))
    np.testing.assert_allclose(lines["ensemble"].get_xdata(), truth.time[1:])
    _, low, high = metrics.bootstrap_interval(error, resamples=2000)
    band = axis.collections[0].get_paths()[0].vertices[:, 1]
    assert band.min() == pytest.approx(low.min().item())
    assert band.max() == pytest.approx(high.max().item())
    variance = forecast.isel(time=-1).var("member", ddof=1).mean("x")
    spread = np.sqrt(variance / (truth.isel(time=-1) ** 2).mean("x")).mean()
    last = lines["ensemble: spread"].get_ydata()[-1]
    assert last == pytest.approx(spread.item())


def test_error_over_time_of_one_sample_has_no_band(pair):
    one = [part.isel(sample=[0]) for part in pair]
    figure = plotting.error_over_time(one[0], {"forecast": one[1]})
    assert len(figure.axes[0].collections) == 0
    with pytest.raises(ValueError, match="at least one forecast"):
        plotting.error_over_time(one[0], {})


def test_training_curve_takes_a_mixed_log():
    records = [{"step": i, "seconds": 1.0 * i, "loss": 1.0} for i in range(5)]
    records += [
        {"step": 4, "seconds": 40.0, "error": 0.1},
        {"step": 1, "seconds": 10.0, "error": 0.5},
        {"step": 9, "seconds": 90.0, "error": 0.2},
    ]
    figure = plotting.training_curve(records, "error")
    (axis,) = figure.axes
    np.testing.assert_array_equal(axis.lines[0].get_xdata(), [10, 40, 90])
    np.testing.assert_array_equal(axis.lines[0].get_ydata(), [0.5, 0.1, 0.2])
    assert axis.get_xscale() == axis.get_yscale() == "log"
    assert "0.1 after 40 s" in axis.get_title(loc="left")
    with pytest.raises(ValueError, match="`crps`.*'error', 'loss'"):
        plotting.training_curve(records, "crps")


def test_film_shows_every_time_and_is_small(pair, tmp_path):
    truth, forecast = pair
    path = plotting.animate(truth, forecast, tmp_path / "film.gif", sample=1)
    with Image.open(path) as film:
        assert film.format == "GIF" and film.n_frames == 21
        assert film.info["loop"] == 0 and film.info["duration"] == 80
        film.seek(0)
        first = np.asarray(film.convert("RGB")).astype(int)
        film.seek(20)
        last = np.asarray(film.convert("RGB")).astype(int)
        assert film.info["duration"] == 1000
    assert (first[-1, -1] == 255).all(), "white background"
    assert abs(first - last).max() > 100
    assert path.stat().st_size < 500_000
    assert [file.name for file in tmp_path.iterdir()] == ["film.gif"]


def test_film_thins_long_records_and_takes_one_forecast(pair, tmp_path):
    truth, forecast = pair
    single = forecast.isel(member=0)
    path = plotting.animate(truth, single, tmp_path / "film.gif", frames=6)
    with Image.open(path) as film:
        assert film.n_frames == 6


def test_film_of_several_curves_shows_each_in_its_colour(pair, tmp_path):
    truth = pair[0]
    curves = {f"{name} above": truth + name for name in (1, 2, 3)}
    path = plotting.film(curves, tmp_path / "film.gif", reference=("goal", truth))
    with Image.open(path) as film:
        film.seek(10)
        pixels = np.asarray(film.convert("RGB")).reshape(-1, 3).astype(int)
    for colour in (*CURVES[:3], TRUTH):
        wanted = 255 * np.array(to_rgb(colour))
        assert (abs(pixels - wanted).max(axis=1) < 25).sum() > 50, colour


def test_profiles_draw_every_field_on_its_own_grid(pair):
    truth = pair[0].isel(time=-1)
    coarse = truth.isel(x=slice(None, None, 2)) + 1
    figure = plotting.profiles(
        {"coarse": coarse}, reference=("truth", truth), samples=(0, 2, 9)
    )
    assert [axis.get_title("left") for axis in figure.axes] == ["sample 0", "sample 2"]
    for axis, sample in zip(figure.axes, (0, 2), strict=True):
        for line, field in zip(axis.lines, (coarse, truth), strict=True):
            np.testing.assert_allclose(line.get_xdata(), field.x)
            np.testing.assert_allclose(line.get_ydata(), field.isel(sample=sample))
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["coarse", "truth"]


def test_film_refuses(pair, tmp_path):
    for curves in ({}, {str(n): pair[0] for n in range(7)}):
        with pytest.raises(ValueError, match=f"one to 6 curves, but got {len(curves)}"):
            plotting.film(curves, tmp_path / "film.gif", reference=("truth", pair[0]))
    with pytest.raises(ValueError, match=".gif"):
        plotting.animate(*pair, tmp_path / "film.mp4")
    with pytest.raises(ValueError, match="from 0 to 2; got 3"):
        plotting.animate(*pair, tmp_path / "film.gif", sample=3)
    with pytest.raises(ValueError, match="2 frames"):
        plotting.animate(*pair, tmp_path / "film.gif", frames=1)


def test_pictures_refuse_fields_they_cannot_show(pair, tmp_path):
    plane = pair[0].expand_dims(y=2)
    for draw in (
        lambda: plotting.space_time(plane, plane),
        lambda: plotting.animate(plane, plane, tmp_path / "film.gif"),
    ):
        with pytest.raises(ValueError, match="one axis of space.*isel"):
            draw()
    with pytest.raises(ValueError, match="from 0 to 2; got \\(7,\\)"):
        plotting.space_time(*pair, samples=[7])
    last = pair[0].isel(time=-1)
    with pytest.raises(ValueError, match="from 0 to 2; got \\(7,\\)"):
        plotting.profiles({"u": last}, reference=("truth", last), samples=[7])
    with pytest.raises(ValueError, match="same grid"):
        plotting.space_time(pair[0].isel(time=slice(1, None)), pair[1])


def test_save_leaves_the_old_file_when_writing_fails(pair, tmp_path, monkeypatch):
    figure = plotting.space_time(*pair, samples=[0])
    path = tmp_path / "picture.png"
    path.write_bytes(b"old")

    def interrupted(file, **options):
        file.write_bytes(b"half")
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(figure, "savefig", interrupted)
        with pytest.raises(KeyboardInterrupt):
            plotting.save(figure, path)
    assert path.read_bytes() == b"old"
    assert plotting.save(figure, path) == path
    assert [file.name for file in tmp_path.iterdir()] == ["picture.png"]
    with Image.open(path) as picture:
        assert picture.format == "PNG" and picture.width > 1000


def test_save_refuses(pair, tmp_path):
    figure = plotting.training_curve([{"seconds": 1.0, "error": 1.0}], "error")
    with pytest.raises(ValueError, match="picture.xyz"):
        plotting.save(figure, tmp_path / "picture.xyz")
    with pytest.raises(FileNotFoundError, match="Create the folder"):
        plotting.save(figure, tmp_path / "missing" / "picture.png")


def test_drawing_touches_no_global_state(pair, tmp_path):
    before = dict(matplotlib.rcParams)
    threads = [
        threading.Thread(
            target=lambda n=n: plotting.save(
                plotting.space_time(*pair, samples=[n]), tmp_path / f"{n}.png"
            )
        )
        for n in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(list(tmp_path.glob("*.png"))) == 2
    assert dict(matplotlib.rcParams) == before


@pytest.fixture
def plane():
    """A density on (sample, time, y, x) with an obstacle."""
    rng = np.random.default_rng(1)
    solid = np.zeros((6, 8))
    solid[2, 3] = 1.0
    coords = {
        "time": np.arange(3) * 8.0,
        "y": np.arange(6) * 2.0,
        "x": np.arange(8) * 2.0,
        "obstacle": (("y", "x"), solid),
    }
    values = rng.random((2, 3, 6, 8))
    return xr.DataArray(values, coords, ("sample", "time", "y", "x"), name="density")


def test_maps_show_each_instant_upward_under_the_obstacle(plane):
    figure = plotting.maps({"solver": plane, "model": plane}, times=[0, 2], sample=1)
    assert len(figure.axes) == 4
    density, solid = figure.axes[3].get_images()
    np.testing.assert_array_equal(density.get_array(), plane.isel(sample=1, time=2))
    assert density.origin == "lower"
    assert density.get_extent() == [-1, 15, -1, 11]
    assert solid.get_array().count() == 1


def test_maps_share_one_scale(plane):
    figure = plotting.maps({"weak": plane / 2, "strong": plane}, times=[1])
    limits = {axis.get_images()[0].get_clim() for axis in figure.axes}
    assert limits == {(0.0, float(plane.isel(sample=0).max()))}


def test_maps_outline_landmarks(plane):
    mark = plotting.Landmark(y=2, x=4, height=3, width=5)
    (axis,) = plotting.maps({"": plane}, times=[0], landmarks=[mark]).axes
    (outline,) = axis.patches
    assert (outline.get_x(), outline.get_y()) == (4, 2)
    assert (outline.get_width(), outline.get_height()) == (5, 3)


def test_film_of_maps_has_a_picture_an_instant(plane, tmp_path):
    arrows = {"wind": (plane - 0.5, plane - 0.5)}
    path = plotting.film_maps(
        {"calm": plane, "wind": plane}, tmp_path / "a.gif", arrows=arrows, every=2
    )
    with Image.open(path) as film:
        assert film.n_frames == 3
        pictures = []
        for n in range(3):
            film.seek(n)
            pictures.append(np.asarray(film.convert("RGB")))
    assert any((a != b).any() for a, b in zip(pictures, pictures[1:], strict=False))


def test_arrows_are_drawn(plane, tmp_path):
    strong = (plane, plane)
    films = [
        plotting.film_maps({"a": plane}, tmp_path / f"{n}.gif", arrows=arrows)
        for n, arrows in enumerate(({}, {"a": strong}))
    ]
    bare, pointed = (np.asarray(Image.open(f).convert("RGB"), int) for f in films)
    assert (bare != pointed).any()


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ({"panels": {}}, "one panel or more"),
        ({"path": "film.mp4"}, "must end in .gif"),
        ({"sample": 2}, "position from 0 to 1"),
        ({"frames": 1}, "at least 2 frames"),
    ],
)
def test_films_of_maps_refuse_what_cannot_be_shown(plane, tmp_path, change, rule):
    arguments = {"panels": {"a": plane}, "path": "film.gif"} | change
    path = tmp_path / arguments.pop("path")
    with pytest.raises(ValueError, match=rule):
        plotting.film_maps(arguments.pop("panels"), path, **arguments)


def test_maps_refuse_no_instants(plane):
    with pytest.raises(ValueError, match="`times` is empty"):
        plotting.maps({"a": plane}, times=[])
