"""A model that generates in one call, made of one that needs several by an adapter."""

import hashlib
from dataclasses import dataclass, field, replace
from typing import cast

import jax
import numpy as np
from flax import nnx

from wdno.diffusion.denoiser import Denoiser, Network, freeze
from wdno.diffusion.schedules import LadderSchedule
from wdno.networks.adapters import Adapter, AdapterConfig, kernels_of
from wdno.operator.calibrated import Calibrated
from wdno.operator.card import parameters_of
from wdno.operator.model import WDNO


@jax.tree_util.register_dataclass
@dataclass(frozen=True, eq=False)
class OneCall:
    """What makes of a model one that generates in a single call from pure noise.

    ``r = k D(sigma* n; sigma*)`` with normal noise n, the denoiser D with adapted
    kernels, and gains k of the channels, in place of several calls that begin with the
    same n at the highest level.

    Attributes:
        adapter: a frozen `wdno.networks.adapters.Adapter`.
        sigma: the level σ* that the call is told.
        teacher: `fingerprint` of the model that it was made for.

    Example:
        >>> model = one_call.of(wdno.load("burgers-simulation"))
    """

    adapter: Network
    sigma: float = field(metadata={"static": True})
    teacher: str = field(metadata={"static": True})

    def of(self, model: WDNO) -> WDNO:
        """The model with merged kernels: a call costs what it did.

        Raises:
            ValueError: the adapter is of another model.
        """
        self.check(model)
        adapter, residual = self.module, model.residual
        gain = np.asarray(adapter.gain, float).tolist()
        if not isinstance(residual, Calibrated):
            residual = Calibrated(residual, (1.0,) * len(gain), (1.0,) * len(gain))
        factor = tuple(k * g for k, g in zip(residual.factor, gain, strict=True))
        return replace(
            model,
            denoiser=with_adapter(model.denoiser, adapter),
            schedule=LadderSchedule((self.sigma,)),
            residual=replace(residual, factor=factor),
        )

    def check(self, model: WDNO) -> None:
        """Refuse a model that the adapter was not made for.

        Raises:
            ValueError: it is another one.
        """
        if (found := fingerprint(model)) != self.teacher:
            raise ValueError(
                "An adapter changes the model that it was trained for, whose "
                f"parameters have the fingerprint {self.teacher}, but got one with "
                f"{found}. Load that model, without another adapter."
            )

    @property
    def module(self) -> Adapter:
        """The adapter as a module."""
        return cast(Adapter, self.adapter.thaw())


def new_adapter(model: WDNO, config: AdapterConfig, *, rngs: nnx.Rngs) -> Adapter:
    """An adapter for the backbone of a model, which changes nothing yet."""
    kernels = kernels_of(model.denoiser.backbone.thaw())
    return Adapter(config, kernels, len(model.targets.channels), rngs=rngs)


def abstract_adapter(model: WDNO, config: AdapterConfig) -> Network:
    """The same with shapes in place of values."""
    return freeze(nnx.eval_shape(lambda: new_adapter(model, config, rngs=nnx.Rngs(0))))


def with_adapter(denoiser: Denoiser, adapter: Adapter) -> Denoiser:
    """The denoiser with adapted kernels; gains are not in it."""
    network = denoiser.backbone
    merged = replace(network, parameters=adapter(network.parameters))
    return replace(denoiser, backbone=merged)


def fingerprint(model: WDNO) -> str:
    """SHA-256 of names, shapes and values of all parameters, in single precision.

    The same for a model that was saved and loaded in the precision of its parameters.
    """
    digest = hashlib.sha256()
    for name, value in sorted(parameters_of(model).items()):
        array = np.asarray(value, np.float32)
        digest.update(f"{name} {array.shape} ".encode())
        digest.update(np.ascontiguousarray(array))
    return digest.hexdigest()
