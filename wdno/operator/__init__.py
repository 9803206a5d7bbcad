"""The operator: fields to generate given fields, as coefficients, by a denoiser.

`model` has `WDNO`, `generation` one window of it; `tasks` says what is found given
what. Where much is known a model begins with an estimate (`residual`): interpolated
coarse states (`interpolated_mean`, `held_flow`), a linear map of each instant
(`linear_mean`) or of the beginning (`record_mean`), a smooth function of both ends
(`kernel_mean`), what a flow carries (`transport`, `assimilation`), what a solver gives
(`solved_mean`), what a network has learned (`learned_mean`), with a scale at each place
(`local_scale`, `share_scale`, `instant_scale`), and with what makes its ensembles fit
(`calibrated`). Some of what is given may be missing (`wavelets.optional`). `checkpoint`
reads and writes models.
"""

from wdno.operator.assimilation import Assimilation
from wdno.operator.calibrated import Calibrated
from wdno.operator.held_flow import HeldFlow
from wdno.operator.instant_scale import InstantScale, InstantShareScale
from wdno.operator.interpolated_mean import Interpolation
from wdno.operator.kernel_mean import KernelMean
from wdno.operator.learned_mean import LearnedMean
from wdno.operator.linear_mean import LinearMean
from wdno.operator.local_scale import LocalScale
from wdno.operator.outflow import Outflow
from wdno.operator.record_mean import RecordMean
from wdno.operator.share_scale import ShareScale
from wdno.operator.solved_mean import SolvedMean
from wdno.operator.tiles import Tiles
from wdno.operator.transport import Transport
from wdno.wavelets.optional import OptionalConditions

__all__ = [
    "Assimilation",
    "Calibrated",
    "HeldFlow",
    "InstantScale",
    "InstantShareScale",
    "Interpolation",
    "KernelMean",
    "LearnedMean",
    "LinearMean",
    "LocalScale",
    "OptionalConditions",
    "Outflow",
    "RecordMean",
    "ShareScale",
    "SolvedMean",
    "Tiles",
    "Transport",
]
"""What cards may name beside networks: who reads a model has these."""
