"""Models of the official WDNO code as models of this package."""

from collections.abc import Mapping

import numpy as np
from flax import nnx

from wdno.denoiser import Denoiser, DiscreteVariancePreserving
from wdno.networks import Inpainting, InpaintingConfig
from wdno.official.kinds import KINDS, Kind
from wdno.official.sampling import BOUND, burgers_guidance, smoke_guidance, unbounded
from wdno.official.weights import convert
from wdno.operator import WDNO
from wdno.tiled_layout import TiledConditions, TiledTargets

__all__ = [
    "KINDS",
    "Kind",
    "assemble",
    "burgers_guidance",
    "convert",
    "smoke_guidance",
    "unbounded",
]


def assemble(kind: Kind, tensors: Mapping[str, np.ndarray] | None = None) -> WDNO:
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
        shape = InpaintingConfig(kind.network)
        counts = len(targets.dims), len(targets.channels), len(given.channels)
        return Inpainting(shape, *counts, rngs=nnx.Rngs(0))

    if tensors is None:
        backbone = fresh()
    else:  # no parameters are drawn that are replaced at once
        backbone = nnx.eval_shape(fresh)
        convert(backbone.network, tensors)
    preconditioning = DiscreteVariancePreserving(kind.schedule)
    denoiser = Denoiser(backbone, preconditioning, BOUND)
    return WDNO(targets, given, denoiser, kind.domain, kind.schedule)
