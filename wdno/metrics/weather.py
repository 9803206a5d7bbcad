"""The scores of WeatherBench 2, on the sphere and by lead time.

Source: Rasp et al. 2024, "WeatherBench 2", arXiv 2308.15560, section 3, and the
docstrings of ``weatherbench2``; written from the formulas. A sample is a forecast, time
its lead time, and space has the dimensions ``latitude`` and ``longitude`` in degrees;
other dimensions, such as ``level``, are kept, and so is time. Points weigh as the area
that they stand for.
"""

import numpy as np
import xarray as xr

from wdno._arrays import beyond_poles
from wdno.metrics.ensemble import crps_at_points, spread_over_skill
from wdno.metrics.labelled import finite, matched, members, named, same_grid, units
from wdno.metrics.spectra import side_lengths

EARTH_RADIUS = 6_367_500.0
"""In metres: the mean of the polar and the equatorial one, as in WeatherBench 2."""


def latitude_weights(latitude: xr.DataArray) -> xr.DataArray:
    """Share of the area that each latitude stands for, with the mean 1.

    w_j ∝ sin φ_(j+½) - sin φ_(j-½), where φ_(j±½) lie midway between latitudes. Beyond
    the first and the last they lie at the poles on the globe, and half a step further
    in a region, where even steps make the weights those of cos φ_j. On a grid with
    poles these get the weight of their caps, where the cosine would give none.

    Args:
        latitude: degrees in rising or falling order, two or more.

    Raises:
        ValueError: there are fewer, they are out of order, or beyond the poles.
    """
    degrees = latitude.values.astype(float)
    steps = np.diff(degrees)
    ordered = degrees.size > 1 and ((steps > 0).all() or (steps < 0).all())
    if not ordered or beyond_poles(degrees):
        raise ValueError(
            "Latitudes are two or more between -90 and 90 degrees, in order; got "
            f"{np.array2string(degrees, threshold=6, precision=4)}. Sort them by "
            "`.sortby`, or take a score without area."
        )
    # A grid of cells ends half a step from the poles, one of points at the poles.
    outer, outward = degrees[[0, -1]], steps[[0, -1]] * [-1, 1]
    globe = (90 - abs(outer) <= 1.01 * abs(outward)).all()
    beyond = 90 * np.sign(outward) if globe else outer + outward / 2
    first, last = beyond.clip(-90, 90)
    middle = (degrees[1:] + degrees[:-1]) / 2
    bounds = np.concatenate([[first], middle, [last]])
    areas = abs(np.diff(np.sin(np.deg2rad(bounds))))
    weights = latitude.copy(data=areas / areas.mean())
    return named(weights, "latitude_weights", "1", "area of cells, mean 1")


def area_mean(field: xr.DataArray) -> xr.DataArray:
    """Mean over globe or region, by `latitude_weights`; keeps other dimensions."""
    _check_globe(field)
    weights = latitude_weights(field["latitude"])
    return (field * weights).mean(["latitude", "longitude"])


def latitude_weighted_mse(forecast: xr.DataArray, truth: xr.DataArray) -> xr.DataArray:
    """Squared error, mean by area; keeps sample and time."""
    forecast, truth = matched(forecast, truth)
    result = area_mean((forecast - truth) ** 2)
    convention = "WeatherBench 2: weighted by area, by lead time"
    return named(result, "latitude_weighted_mse", units(truth, 2), convention)


def latitude_weighted_rmse(forecast: xr.DataArray, truth: xr.DataArray) -> xr.DataArray:
    """WeatherBench 2's RMSE by lead time: the root comes last; reduces samples.

    sqrt(mean over samples of `latitude_weighted_mse`). A mean over samples of roots, as
    WeatherBench 1 has it, is smaller.
    """
    result = np.sqrt(latitude_weighted_mse(forecast, truth).mean("sample"))
    convention = "WeatherBench 2: weighted by area, root of the mean over samples"
    return named(result, "latitude_weighted_rmse", units(truth), convention)


def climatology_at(climatology: xr.DataArray, dates: xr.DataArray) -> xr.DataArray:
    """The climatology of each date, on the dimensions of the dates.

    Args:
        climatology: means by ``dayofyear`` (1 to 366), by ``hour``, or by both.
        dates: dates such as the coordinate "valid_time" of `wdno.io.open_weatherbench`.

    Raises:
        ValueError: a day or an hour is missing, or it has neither.
    """
    by = {"dayofyear": dates.dt.dayofyear, "hour": dates.dt.hour}
    wanted = {name: values for name, values in by.items() if name in climatology.dims}
    if not wanted:
        raise ValueError(
            f"A climatology is by dayofyear, hour or both, but has {climatology.dims}. "
            "Take the means of each, or use it as it is."
        )
    for name, values in wanted.items():
        known = climatology[name].values if name in climatology.coords else []
        if lost := sorted(set(values.values.ravel().tolist()) - set(np.asarray(known))):
            raise ValueError(
                f"A climatology has every {name} of the dates, but lacks {lost[:5]}. "
                "Take one of the whole year, at these hours."
            )
    bare = {name: values.reset_coords(drop=True) for name, values in wanted.items()}
    return climatology.sel(bare).drop_vars(list(wanted))


def anomaly_correlation(
    forecast: xr.DataArray, truth: xr.DataArray, climatology: xr.DataArray
) -> xr.DataArray:
    """WeatherBench 2's ACC of each sample and lead time, between -1 and 1.

    With anomalies p' = p - c and u' = u - c and means weighted by area:
    mean(p' u') / sqrt(mean(p'²) mean(u'²)). Anomalies are not centred: a bias over the
    globe counts. WeatherBench 2 takes c from 1990 to 2019, see `climatology_at`, and
    averages over samples.

    Args:
        forecast: forecast on (sample, time, latitude, longitude).
        truth: the same without ``member``.
        climatology: the expected state, on the dimensions of the truth or fewer.

    Raises:
        ValueError: grids differ, a value is not finite, or truth or forecast equal the
            climatology.
    """
    if extra := set(climatology.dims) - set(truth.dims):
        raise ValueError(
            f"A climatology has the dims of the truth, {truth.dims}, or fewer; got "
            f"{sorted(map(str, extra))} besides. Select dates by `climatology_at`."
        )
    forecast, truth = matched(forecast, truth)
    finite("climatology", climatology)
    for dim in climatology.dims:
        same_grid(climatology, truth, str(dim), "Climatology")
    expected = climatology.astype(float).drop_vars(list(climatology.coords))
    ours, theirs = forecast - expected, truth - expected
    norm = (area_mean(ours**2) * area_mean(theirs**2)) ** 0.5
    zero = np.argwhere(norm.values == 0).tolist()
    if zero:
        raise ValueError(
            "A correlation needs anomalies, but truth or forecast equal the "
            f"climatology at index {dict(zip(norm.dims, zero[0], strict=True))}. Leave "
            "that out."
        )
    convention = "WeatherBench 2: not centred, weighted by area"
    result = area_mean(ours * theirs) / norm
    return named(result, "anomaly_correlation", "1", convention)


def latitude_weighted_crps(ensemble: xr.DataArray, truth: xr.DataArray) -> xr.DataArray:
    """`fair_crps`, mean by area; keeps sample and time."""
    size = members(ensemble, at_least=2)
    result = area_mean(crps_at_points(ensemble, truth))
    convention = f"fair, 1/(M(M-1)) with M = {size}; weighted by area, by lead time"
    return named(result, "latitude_weighted_crps", units(truth), convention)


def latitude_weighted_spread_skill(
    ensemble: xr.DataArray, truth: xr.DataArray
) -> xr.DataArray:
    """`spread_skill` by lead time, weighted by area; reduces samples.

    sqrt(mean of the unbiased variance over members / mean of the unbiased squared error
    of their mean, which is less by variance / M), means over samples and the globe.
    Without that correction a reliable ensemble would score sqrt(M / (M + 1)).
    """
    size = members(ensemble, at_least=2)
    ensemble, truth = matched(ensemble, truth)
    variance = area_mean(ensemble.var("member", ddof=1)).mean("sample")
    raw = area_mean((ensemble.mean("member") - truth) ** 2).mean("sample")
    skill = (raw - variance / size).transpose(*variance.dims)
    result = variance.copy(data=spread_over_skill(variance.values, skill.values))
    convention = f"unbiased with M = {size}; weighted by area, ratio of means"
    return named(result, "latitude_weighted_spread_skill", "1", convention)


def zonal_energy_spectrum(field: xr.DataArray) -> xr.DataArray:
    """WeatherBench 2's energy by zonal wavenumber at each latitude.

    S_0 = C abs(F_0)² and S_k = 2 C abs(F_k)² to half the points, with F the discrete
    Fourier transform over longitude divided by the number of points, and C the length
    of the circle of latitude in metres. On an even number of points the last one is
    doubled too, as there.

    Returns:
        Array with ``zonal_wavenumber`` in place of longitude.
    """
    finite("field", field)
    _check_globe(field)
    length = side_lengths(field, ["longitude"])[0]
    if "longitude" in field.coords and abs(length - 360) > 0.1:
        raise ValueError(
            f"Zonal waves are counted on whole circles, but longitudes span {length:g} "
            "degrees. Take the whole globe."
        )
    values = field.transpose(..., "longitude").astype(float)
    power = abs(np.fft.rfft(values.values, norm="forward")) ** 2
    power[..., 1:] *= 2
    rest = values.isel(longitude=0, drop=True)
    rest = rest.expand_dims(zonal_wavenumber=np.arange(power.shape[-1]), axis=-1)
    circles = 2 * np.pi * EARTH_RADIUS * np.cos(np.deg2rad(field["latitude"]))
    result = rest.copy(data=power) * circles
    unit = f"m {units(field, 2)}".removesuffix(" 1")
    convention = "WeatherBench 2: one-sided, times the length of the circle"
    return named(result, "zonal_energy_spectrum", unit, convention)


def _check_globe(field: xr.DataArray) -> None:
    if missing := sorted({"latitude", "longitude"} - set(field.dims)):
        raise ValueError(
            f"Scores on the sphere need latitude and longitude, but {missing} are not "
            f"among {field.dims}. Rename dimensions, or use a score without area."
        )
    if "latitude" not in field.coords:
        raise ValueError(
            "Areas follow from latitudes, but the dimension has no coordinate. Add it "
            "by `.assign_coords(latitude=...)`."
        )
