"""ERA5, the reanalysis of ECMWF, as a source of data: a record, its windows, its means.

A record has named fields on (time, latitude, longitude) with dates as "time", and what
never changes, such as orography, on (latitude, longitude). It is opened lazily.
`forecast_windows` cuts it into trajectories, as recipes and models read them.

Source: Hersbach et al. 2020, "The ERA5 global reanalysis", Quarterly Journal of the
Royal Meteorological Society 146, doi:10.1002/qj.3803.
"""

from wdno.weather.climatology import (
    departures,
    from_departures,
    hourly_climatology,
    pooled_climatology,
)
from wdno.weather.cross_fitting import CrossFitted, anomaly_windows, cross_fitted
from wdno.weather.damped_persistence import DampedPersistence
from wdno.weather.files import ATTRIBUTION, open_era5
from wdno.weather.first_guess import FirstGuess
from wdno.weather.grid import Region, wavelet_modes
from wdno.weather.linear_forecast import LinearForecast
from wdno.weather.time_axis import check_finite, check_times, split
from wdno.weather.windows import forecast_windows

__all__ = [
    "ATTRIBUTION",
    "CrossFitted",
    "DampedPersistence",
    "FirstGuess",
    "LinearForecast",
    "Region",
    "anomaly_windows",
    "check_finite",
    "check_times",
    "cross_fitted",
    "departures",
    "forecast_windows",
    "from_departures",
    "hourly_climatology",
    "open_era5",
    "pooled_climatology",
    "split",
    "wavelet_modes",
]
