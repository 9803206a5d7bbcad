"""Excerpts of large Zarr stores, copied into one NetCDF file.

WeatherBench 2 (Rasp et al. 2024, arXiv 2308.15560) publishes its data as Zarr stores at
gs://weatherbench2, of which the largest have many terabytes. `plan_excerpt` says from
the metadata how much a part of one is, and `copy_excerpt` copies it, a few instants at
a time. `wdno.io.open_weatherbench` opens the copy. Stores are opened by fsspec at any
address it knows; addresses on the web need the extra "era5".
"""

from wdno.io.excerpt.choosing import Excerpt
from wdno.io.excerpt.copying import ExcerptPlan, copy_excerpt, plan_excerpt

__all__ = ["Excerpt", "ExcerptPlan", "copy_excerpt", "plan_excerpt"]
