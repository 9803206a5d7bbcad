"""The operator: fields to generate given fields, as coefficients, by a denoiser.

`model` has `WDNO`, its loss and one window of generation; `tasks` says what is found
given what; `residual` and `interpolation`, `linear_mean`, `transport` and
`learned_mean` say what is generated in place of whole fields where much is known;
`checkpoint` reads and writes models.
"""

from wdno.operator.interpolated_mean import Interpolation
from wdno.operator.learned_mean import LearnedMean
from wdno.operator.linear_mean import LinearMean
from wdno.operator.outflow import Outflow
from wdno.operator.tiles import Tiles
from wdno.operator.transport import Transport

__all__ = [
    "Interpolation",
    "LearnedMean",
    "LinearMean",
    "Outflow",
    "Tiles",
    "Transport",
]
"""What cards may name beside networks: who reads a model has these."""
