"""Models of the official WDNO code as models of this package."""

from collections.abc import Mapping

import numpy as np
from flax import nnx

from wdno.diffusion.denoiser import Denoiser, freeze
from wdno.diffusion.preconditioning import DiscreteVariancePreserving
from wdno.networks import Shape
from wdno.official.array_layout import TiledConditions, TiledTargets
from wdno.official.inpainting import Inpainting, InpaintingConfig
from wdno.official.kinds import KINDS, Kind
from wdno.official.refinement import (
    closed_by_zeros,
    density_interleaved,
    handed_on,
    written_over,
)
from wdno.official.sampling import BOUND, burgers_guidance, smoke_guidance, unbounded
from wdno.official.weights import convert
from wdno.operator.model import WDNO

__all__ = [
    "KINDS",
    "Kind",
    "burgers_guidance",
    "closed_by_zeros",
    "convert",
    "density_interleaved",
    "handed_on",
    "import_model",
    "smoke_guidance",
    "unbounded",
    "written_over",
]


def import_model(kind: Kind, tensors: Mapping[str, np.ndarray] | None = None) -> WDNO:
    """The model of a kind, with the parameters of an official state dict.

    Args:
        kind: of `KINDS`, or one of another shape.
        tensors: arrays by their official names; fresh parameters without them.

    Raises:
        ValueError: tensors are missing, surplus or of another shape.
    """
    targets = TiledTargets(kind.tiling, kind.generated)
    given = TiledConditions(kind.tiling, kind.given)

    def fresh() -> Inpainting:
        shape = Shape(len(targets.dims), len(targets.channels), len(given.channels))
        return Inpainting(InpaintingConfig(kind.network), shape, rngs=nnx.Rngs(0))

    # No parameters are drawn that are replaced at once.
    backbone = freeze(fresh() if tensors is None else nnx.eval_shape(fresh))
    if tensors is not None:
        backbone = convert(backbone, tensors)
    preconditioning = DiscreteVariancePreserving(kind.schedule)
    denoiser = Denoiser(backbone, preconditioning, BOUND)
    return WDNO(targets, given, denoiser, kind.domain, kind.schedule)
