"""Scores of benchmarks against their formulas, written out in plain loops."""

import math

import numpy as np
import pytest
import xarray as xr
from scipy import signal, stats

from wdno import metrics

KEPT = [
    metrics.rmse_per_step,
    metrics.brmse,
    metrics.vrmse,
    metrics.frequency_error,
]
REDUCED = [metrics.crmse, metrics.max_error_per_step, metrics.r2]
BANDED = [metrics.frmse, metrics.frmse_spacetime]
OTHERS = [metrics.spectrum_ratio, metrics.vrmse_over_time]
SHAPES = {1: (3, 10, 30), 2: (3, 10, 14, 26), 3: (2, 4, 10, 12, 14)}
each_dimension = pytest.mark.parametrize("space", SHAPES)


def field(values, *dims: str) -> xr.DataArray:
    values = np.asarray(values, dtype=float)
    dims = dims or ("sample", "time", *"xyz"[: values.ndim - 2])
    return xr.DataArray(values, dims=dims, attrs={"units": "m s-1"})


def pair(space, seed=0):
    draws = np.random.default_rng(seed)
    truth = draws.normal(size=SHAPES[space]) + 2
    return field(truth + 0.3 * draws.normal(size=truth.shape)), field(truth)


def over_samples_and_steps(forecast, truth):
    """Pairs of fields, one a sample and step."""
    for t in range(truth.sizes["time"]):
        yield [(forecast.values[b, t], truth.values[b, t]) for b in range(len(truth))]


def mean(numbers):
    numbers = list(numbers)
    return sum(numbers) / len(numbers)


# PDEBench -----------------------------------------------------------------------------


@each_dimension
def test_rmse_and_nrmse_are_of_each_step(space):
    forecast, truth = pair(space)
    steps = list(over_samples_and_steps(forecast, truth))
    rmse = mean(mean(np.sqrt(((p - u) ** 2).mean()) for p, u in row) for row in steps)
    relative = mean(
        mean(np.linalg.norm(p - u) / np.linalg.norm(u) for p, u in row) for row in steps
    )
    assert metrics.rmse_per_step(forecast, truth).mean() == pytest.approx(rmse)
    assert metrics.nrmse_per_step(forecast, truth).mean() == pytest.approx(relative)
    whole = np.sqrt(metrics.mse(forecast, truth).mean())
    assert whole > metrics.rmse_per_step(forecast, truth).mean()  # another convention


@each_dimension
def test_crmse_takes_the_root_over_samples(space):
    forecast, truth = pair(space)
    points = math.prod(SHAPES[space][2:])
    expected = mean(
        math.sqrt(mean((p.sum() - u.sum()) ** 2 for p, u in row)) / points
        for row in over_samples_and_steps(forecast, truth)
    )
    result = metrics.crmse(forecast, truth)
    assert result.dims == () and result == pytest.approx(expected)
    assert result.attrs["units"] == "m s-1"


def test_crmse_sees_what_is_lost_only():
    truth = field(np.ones((2, 3, 8)))
    wave = field(np.tile([1.0, -1], (2, 3, 4)))
    assert metrics.crmse(truth + wave, truth) == pytest.approx(0, abs=1e-15)
    assert metrics.crmse(truth + 0.5, truth) == pytest.approx(0.5)


def test_brmse_by_hand():
    truth = field(np.zeros((1, 2, 5)))
    forecast = truth.copy()
    forecast[0, 0] = [3, 9, 9, 9, 4]
    expected = (math.sqrt((9 + 16) / 2) + 0) / 2
    assert metrics.brmse(forecast, truth).values == pytest.approx([expected])


def test_brmse_in_the_plane_counts_corners_twice():
    forecast, truth = pair(2)
    errors = (forecast - truth).values ** 2
    nx, ny = SHAPES[2][2:]
    faces = errors[:, :, [0, -1], :].sum((2, 3)) + errors[..., [0, -1]].sum((2, 3))
    expected = np.sqrt(faces / (2 * nx + 2 * ny)).mean(1)
    np.testing.assert_allclose(metrics.brmse(forecast, truth), expected)
    inside = forecast.where(False, truth)
    inside[:, :, 1:-1, 1:-1] += 5
    assert (metrics.brmse(inside, truth) == 0).all()


def test_brmse_in_space_has_six_faces():
    truth = field(np.zeros((1, 1, 3, 4, 5)))
    forecast = truth.copy()
    forecast[0, 0, 0, 1, 2] = 6  # on one face, no edge
    faces = 2 * (3 * 4 + 4 * 5 + 3 * 5)
    assert metrics.brmse(forecast, truth).item() == pytest.approx(6 / math.sqrt(faces))


@each_dimension
def test_the_maximum_is_over_samples_and_space_at_each_step(space):
    forecast, truth = pair(space)
    expected = mean(
        max(abs(p - u).max() for p, u in row)
        for row in over_samples_and_steps(forecast, truth)
    )
    result = metrics.max_error_per_step(forecast, truth)
    assert result.dims == () and result == pytest.approx(expected)
    assert result < metrics.max_error(forecast, truth).max()


def shells(errors, dims):
    """sqrt(mean over samples of the squared modes in a shell), as PDEBench counts."""
    sizes = [errors.shape[dim] for dim in dims]
    if len(dims) == 1:
        modes = abs(np.fft.rfft(errors, axis=dims[0])) ** 2
        return np.sqrt(np.moveaxis(modes, dims[0], -1).mean(0)) / sizes[0]
    modes = abs(np.fft.fftn(errors, axes=dims)) ** 2
    modes = np.moveaxis(modes, dims, range(-len(dims), 0))
    count = min(sizes) // 2
    found = np.zeros((*modes.shape[: -len(dims)], count))
    for place in np.ndindex(*[size // 2 for size in sizes]):
        shell = math.floor(math.sqrt(sum(k * k for k in place)))
        if shell < count:
            found[..., shell] += modes[(..., *place)]
    return np.sqrt(found.mean(0)) / math.prod(sizes)


@each_dimension
@pytest.mark.parametrize("edges", [(4, 12), (1, 3)])
def test_frmse_equals_its_definition(space, edges):
    forecast, truth = pair(space)
    errors = (forecast - truth).values
    found = shells(errors, tuple(range(2, errors.ndim))).mean(0)
    if edges[1] >= len(found):
        with pytest.raises(ValueError, match=rf"\({edges[0]}, {edges[1]}\).*`edges`"):
            metrics.frmse(forecast, truth, edges)
        return
    low, high = edges
    expected = [found[:low].mean(), found[low:high].mean(), found[high:].mean()]
    result = metrics.frmse(forecast, truth, edges)
    assert result.dims == ("band",) and list(result.band) == ["low", "mid", "high"]
    np.testing.assert_allclose(result, expected)


@pytest.mark.parametrize(("waves", "band"), [(3, 0), (4, 1), (11, 1), (12, 2)])
def test_frmse_finds_a_wave_in_its_band(waves, band):
    x = np.arange(64) / 64
    truth = field(np.zeros((2, 3, 64)))
    forecast = truth + field(0.6 * np.cos(2 * np.pi * waves * x), "x")
    result = metrics.frmse(forecast, truth).values
    size = (4, 8, 33 - 12)[band]  # the mean over k, of which one has half the amplitude
    assert result[band] == pytest.approx(0.3 / size)
    assert np.delete(result, band) == pytest.approx(0, abs=1e-15)


def test_ten_frames_are_excluded_for_pdebench():
    truth = field(np.ones((2, 21, 6)))
    later = xr.DataArray(np.arange(21) >= 10, dims="time")
    forecast = truth + 0.5 * later
    kept = [metrics.exclude_initial(part, 10) for part in (forecast, truth)]
    assert kept[0].sizes["time"] == 11
    np.testing.assert_allclose(metrics.nrmse_per_step(*kept), 0.5)
    flattered = metrics.nrmse_per_step(forecast, truth)
    np.testing.assert_allclose(flattered, 0.5 * 11 / 21)
    for frames in (0, 21, -1):
        with pytest.raises(ValueError, match=f"Excluding {frames} initial"):
            metrics.exclude_initial(truth, frames)


# The Well -----------------------------------------------------------------------------


@each_dimension
def test_vrmse_divides_by_the_unbiased_spread(space):
    forecast, truth = pair(space)
    for n, row in enumerate(over_samples_and_steps(forecast, truth)):
        expected = [
            math.sqrt(((p - u) ** 2).mean() / (stats.tvar(u, axis=None) + 1e-7))
            for p, u in row
        ]
        result = metrics.vrmse_over_time(forecast, truth)
        np.testing.assert_allclose(result.isel(time=n), expected)
    mean_over_time = metrics.vrmse_over_time(forecast, truth).mean("time")
    np.testing.assert_allclose(metrics.vrmse(forecast, truth), mean_over_time)


def test_the_mean_scores_one_whatever_the_level():
    truth = pair(2)[1] + 1000
    flat = truth.mean(["x", "y"]).broadcast_like(truth).transpose(*truth.dims)
    points = 14 * 26
    expected = math.sqrt((points - 1) / points)
    np.testing.assert_allclose(metrics.vrmse(flat, truth), expected, rtol=1e-6)
    assert (metrics.nrmse_per_step(flat, truth) < 2e-3).all()


def test_a_flat_truth_has_the_spread_of_the_original():
    truth = field(np.ones((1, 2, 6)))
    expected = 0.5 / math.sqrt(1e-7)
    assert metrics.vrmse(truth + 0.5, truth).item() == pytest.approx(expected)
    with pytest.raises(ValueError, match="two points"):
        metrics.vrmse(truth.isel(x=[0]), truth.isel(x=[0]))


# RealPDEBench -------------------------------------------------------------------------


def test_r2_compares_with_the_mean_over_samples():
    forecast, truth = pair(1)
    p, u = forecast.values, truth.values
    middle = sum(u) / len(u)
    residual = sum(((p[b] - u[b]) ** 2).sum() for b in range(len(u)))
    total = sum(((u[b] - middle) ** 2).sum() for b in range(len(u)))
    assert metrics.r2(forecast, truth) == pytest.approx(1 - residual / total)
    expected = truth.mean("sample").broadcast_like(truth).transpose(*truth.dims)
    assert metrics.r2(expected, truth) == pytest.approx(0, abs=1e-12)
    assert metrics.r2(truth, truth) == 1
    with pytest.raises(ValueError, match="at least 2"):
        metrics.r2(forecast[:1], truth[:1])
    same = truth[[0, 0]]
    with pytest.raises(ValueError, match="zero throughout all samples"):
        metrics.r2(same, same)


def velocities(seed=0):
    draws = np.random.default_rng(seed)
    values = draws.normal(size=(3, 2, 8, 5, 4))
    return field(values, "sample", "component", "time", "y", "x")


def test_kinetic_energy_is_that_of_fluctuations():
    forecast, truth = velocities(1), velocities(2)
    result = metrics.kinetic_energy_error(forecast, truth)

    def energy(flow):  # (component, time, y, x)
        return sum(0.5 * np.mean((c - c.mean(0)) ** 2, axis=0) for c in flow)

    for b in range(3):
        gap = abs(energy(forecast.values[b]) - energy(truth.values[b])).mean()
        assert result[b] == pytest.approx(gap)
    steady = metrics.kinetic_energy_error(truth + 7, truth)
    np.testing.assert_allclose(steady, 0, atol=1e-12)  # a mean flow has no fluctuations
    assert result.attrs["units"] == "(m s-1)^2"
    with pytest.raises(ValueError, match="'part'.*to_dataarray"):
        metrics.kinetic_energy_error(forecast, truth, "part")
    named = forecast.rename(component="part"), truth.rename(component="part")
    xr.testing.assert_equal(metrics.kinetic_energy_error(*named, "part"), result)


def test_frequency_error_equals_its_definition():
    forecast, truth = velocities(1), velocities(2)
    totals = [part.values.sum((1, 3, 4)) for part in (forecast, truth)]
    expected = abs(np.fft.fft(totals[0]) - np.fft.fft(totals[1])).mean(1)
    np.testing.assert_allclose(metrics.frequency_error(forecast, truth), expected)


def test_frequency_error_of_one_oscillation():
    truth = field(np.zeros((1, 16, 5)))
    beat = field(0.2 * np.cos(2 * np.pi * 3 * np.arange(16) / 16), "time")
    result = metrics.frequency_error(truth + beat, truth).item()
    assert result == pytest.approx(2 * (0.2 * 5 * 16 / 2) / 16)  # at 3 and at -3


@pytest.mark.parametrize("space", [1, 2])
def test_frmse_in_time_and_space_equals_its_definition(space):
    forecast, truth = pair(space)
    errors = (forecast - truth).values
    found = shells(errors, tuple(range(1, errors.ndim)))
    low, high = round(len(found) / 3), round(2 * len(found) / 3)
    expected = [found[:low].mean(), found[low:high].mean(), found[high:].mean()]
    result = metrics.frmse_spacetime(forecast, truth)
    np.testing.assert_allclose(result, expected)


# Spectra ------------------------------------------------------------------------------


@pytest.mark.parametrize("points", [31, 32])
def test_the_spectrum_of_a_line_is_the_periodogram(points):
    values = np.random.default_rng(0).normal(size=(2, 3, points))
    result = metrics.energy_spectrum(field(values))
    options = {"window": "boxcar", "detrend": False, "scaling": "spectrum"}
    _, power = signal.periodogram(values, **options)
    np.testing.assert_allclose(result, 0.5 * power)
    assert result.dims == ("sample", "time", "wavenumber")
    assert result.attrs["units"] == "(m s-1)^2"


@each_dimension
def test_energy_is_conserved(space):
    truth = pair(space)[1]
    spectrum = metrics.energy_spectrum(truth)
    half = 0.5 * (truth**2).mean(truth.dims[2:])
    np.testing.assert_allclose(spectrum.sum("wavenumber"), half)


def test_faint_waves_keep_their_precision():
    x = np.arange(64) / 64
    faint = 1e-6 * np.cos(2 * np.pi * 20 * x)
    result = metrics.energy_spectrum(field((np.cos(2 * np.pi * x) + faint)[None, None]))
    assert result[0, 0, 20].item() == pytest.approx(0.25e-12, rel=1e-6)


def test_waves_are_counted_along_the_longest_side():
    y, x = np.meshgrid(np.arange(16) / 16, np.arange(48) / 16, indexing="ij")
    values = np.cos(2 * np.pi * 2 * y)[None, None]  # twice in 1, so six times in 3
    bare = field(values, "sample", "time", "y", "x")
    placed = bare.assign_coords(y=y[:, 0], x=x[0])
    wide = bare.assign_coords(y=y[:, 0], x=x[0] / 3)
    for given, wave in ((bare, 6), (placed, 6), (wide, 2)):
        spectrum = metrics.energy_spectrum(given)[0, 0]
        assert int(spectrum.values.argmax()) == wave
        assert spectrum[wave] == pytest.approx(0.25)


@pytest.mark.parametrize(("waves", "shell"), [((2, 2), 3), ((1, 1), 1), ((3, 1), 3)])
def test_oblique_waves_fall_into_the_nearest_shell(waves, shell):
    y, x = np.meshgrid(np.arange(16) / 16, np.arange(16) / 16, indexing="ij")
    wave = np.cos(2 * np.pi * (waves[0] * y - waves[1] * x))
    spectrum = metrics.energy_spectrum(field(wave[None, None]))[0, 0]
    expected = np.zeros(len(spectrum))
    expected[shell] = 0.25
    np.testing.assert_allclose(spectrum, expected, atol=1e-15)


def test_uneven_points_and_missing_values_have_no_spectrum():
    truth = pair(1)[1]
    x = np.arange(30.0)
    x[7] += 0.1
    with pytest.raises(ValueError, match="`x` moves by 1.1 at index 6.*Interpolate"):
        metrics.energy_spectrum(truth.assign_coords(x=x))
    with pytest.raises(ValueError, match="field must be finite"):
        metrics.energy_spectrum(truth.where(truth < 2))
    with pytest.raises(ValueError, match="dimensions of space"):
        metrics.energy_spectrum(truth.isel(x=0))


def test_the_ratio_of_spectra_is_of_members_and_not_of_their_mean():
    draws = np.random.default_rng(3)
    truth = field(draws.normal(size=(2, 50, 64)))
    dims = ("sample", "member", "time", "x")
    members = field(draws.normal(size=(2, 8, 50, 64)), *dims)
    ratio = metrics.spectrum_ratio(members, truth)
    assert ratio.dims == ("sample", "wavenumber")
    assert ratio.mean() == pytest.approx(1, abs=0.1)
    smooth = metrics.spectrum_ratio(members.mean("member"), truth)
    assert smooth.mean() == pytest.approx(1 / 8, abs=0.02)
    np.testing.assert_allclose(metrics.spectrum_ratio(2 * truth, truth), 4)
    still = truth - truth.mean("x")
    assert np.isfinite(metrics.spectrum_ratio(truth, still)[:, 1:]).all()


# Distributions ------------------------------------------------------------------------


@pytest.mark.parametrize("size", [2, 3, 6])
def test_the_energy_score_equals_scoringrules(size):
    scoringrules = pytest.importorskip("scoringrules")
    draws = np.random.default_rng(4)
    truth, members = draws.normal(size=(3, 5, 4)), draws.normal(size=(3, size, 5, 4))
    result = metrics.energy_score(
        field(members, "sample", "member", "time", "x"), field(truth)
    )
    flat = truth.reshape(3, 20), members.reshape(3, size, 20)
    biased = scoringrules.es_ensemble(*flat, estimator="nrg") / np.sqrt(20)
    pairs = flat[1][:, :, None] - flat[1][:, None]
    pairs = np.sqrt((pairs**2).mean(-1)).sum((1, 2)) / 2
    fair = biased + pairs / size**2 - pairs / (size * (size - 1))
    np.testing.assert_allclose(result, fair)
    assert (biased > result.values).all()


def test_the_energy_score_sees_correlation():
    """Members with the right spread everywhere, but without the structure of truth."""
    draws = np.random.default_rng(5)
    truth = field(np.ones((400, 1, 30)) * draws.normal(size=(400, 1, 1)))
    dims = ("sample", "member", "time", "x")
    right = field(np.ones((400, 8, 1, 30)) * draws.normal(size=(400, 8, 1, 1)), *dims)
    wrong = field(draws.normal(size=(400, 8, 1, 30)), *dims)
    crps = [metrics.fair_crps(each, truth).mean().item() for each in (right, wrong)]
    assert crps[0] == pytest.approx(crps[1], rel=0.1)
    score = [metrics.energy_score(each, truth).mean().item() for each in (right, wrong)]
    assert score[0] < 0.95 * score[1]


# Borders ------------------------------------------------------------------------------


@pytest.mark.parametrize("score", [*KEPT, *REDUCED, *BANDED])
def test_members_are_scored_one_by_one(score):
    forecast, truth = pair(2)
    other = forecast + 0.1
    members = xr.concat([forecast, other], "member").transpose("x", ..., "member")
    options = {"edges": (2, 4)} if score is metrics.frmse else {}
    result = score(members, truth, **options)
    second = score(other, truth, **options)
    dims = {"sample"} if score in KEPT else set()
    dims |= {"band"} if score in BANDED else set()
    assert set(result.dims) == dims | {"member"} and set(second.dims) == dims
    xr.testing.assert_allclose(result.isel(member=1), second)
    assert result.name == score.__name__ and "convention" in result.attrs


@pytest.mark.parametrize("score", [*KEPT, *REDUCED, *BANDED, *OTHERS])
def test_other_grids_and_values_that_are_not_finite_are_refused(score):
    forecast, truth = pair(1)
    with pytest.raises(ValueError, match="along `time` they have 10 and 9"):
        score(forecast, metrics.exclude_initial(truth))
    bad = forecast.copy()
    bad[1, 2, 3] = np.nan
    with pytest.raises(ValueError, match="'sample': 1, 'time': 2, 'x': 3"):
        score(bad, truth)
    with pytest.raises(ValueError, match="dims of the truth"):
        score(forecast.rename(x="y"), truth)
