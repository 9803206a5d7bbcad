"""Adapters: maps in the space of weights, a few numbers that change a frozen network.

Every kernel of the backbones acts on features by a matrix at each of its positions: a
dense one at one, a convolution at offsets, a spectral one at wavenumbers. So all have
the shape ``(*positions, in, out)``, and one formula adapts them.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import singledispatch
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float

from wdno._json import register
from wdno._ranges import check_counts
from wdno.networks.fourier import SpectralConvolution
from wdno.networks.multiplier import RingConvolution


@register
@dataclass(frozen=True)
class AdapterConfig:
    """How much an adapter may change.

    One rank for all wavenumbers is the low-rank adapter of HiPA (arXiv 2311.18158; of
    what form and rank is not public, so that of LoRA, arXiv 2106.09685, is taken).
    Several, falling, are a bottleneck for each octave after F-Adapter (arXiv
    2509.23173), here without its nonlinearity, so that it merges with the kernel and
    costs nothing in a call.

    Attributes:
        rank: of the change of dense kernels and convolutions.
        octaves: ranks of the change of spectral kernels, one for each octave of
            wavenumbers, the lowest first: the last is of the upper half of those that
            a kernel has, the one before of half of the rest, and so on.

    Raises:
        ValueError: a rank is not a positive whole number.

    Example:
        >>> AdapterConfig(rank=8, octaves=(16, 8, 4))
    """

    rank: int = 16
    octaves: tuple[int, ...] = (16,)

    def __post_init__(self) -> None:
        """Refuse ranks that cannot be."""
        check_counts(rank=self.rank, octaves=self.octaves)


class Kernel(NamedTuple):
    """What an adapter has to know of a kernel."""

    shape: tuple[int, ...]
    """(*positions, in, out)."""
    wavenumber: Float[np.ndarray, "*positions"] | None = None
    """Largest along any axis at each position, as a share of the highest; None where
    positions are none."""


class Adapter(nnx.Module):
    """A change of kernels of low rank: ``adapter(parameters)`` has the kernels adapted.

    ``W'[p, i, o] = W[p, i, o] + sum_r g[p, r] a[i, r] b[r, o]``

    with factors a, b of each octave of positions p, and g of each position, where there
    is more than one. b is 0 at first: a new adapter changes nothing. For a dense kernel
    that is LoRA; a convolution adapted is one to r features, each with a kernel of its
    own, and a dense one from these; of a spectral kernel each wavenumber weighs the r
    directions of its octave.

    Beside the kernels it has a gain of each channel that is generated: what one call
    makes of noise is too faint by a factor, which no kernel after a skip mends.
    """

    def __init__(
        self,
        config: AdapterConfig,
        kernels: Mapping[str, Kernel],
        channels: int,
        *,
        rngs: nnx.Rngs,
    ) -> None:
        """Create the factors.

        Args:
            config: ranks.
            kernels: by the names of parameters, see `kernels_of`.
            channels: how many are generated.
            rngs: source of the initial factors.
        """
        self.config = config
        self.log_gain = nnx.Param(jnp.zeros(channels, jnp.float32))
        self.changes = nnx.Dict(
            {
                name: Change(config, kernel, rngs=rngs)
                for name, kernel in kernels.items()
            }
        )

    def __call__(self, parameters: Mapping[str, Array]) -> dict[str, Array]:
        """The same parameters, those that are adapted changed.

        Raises:
            ValueError: a kernel that is adapted is missing, or of another shape.
        """
        adapted = dict(parameters)
        for name, change in self.changes.items():
            kernel = parameters.get(name)
            if kernel is None or kernel.shape != change.shape:
                found = None if kernel is None else kernel.shape
                raise ValueError(
                    f"An adapter changes kernels of the network it was made for, with "
                    f"{name!r} of shape {change.shape}, but got {found}. Take the "
                    "adapter of this network."
                )
            adapted[name] = kernel + change().astype(kernel.dtype)
        return adapted

    @property
    def gain(self) -> Float[Array, " channel"]:
        """By what each channel of what a call makes of noise is multiplied."""
        return jnp.exp(self.log_gain[...])


class Change(nnx.Module):
    """The change of one kernel, a sum over octaves of terms of low rank."""

    def __init__(
        self, config: AdapterConfig, kernel: Kernel, *, rngs: nnx.Rngs
    ) -> None:
        """Create the factors of each octave; see `Adapter`."""
        self.shape = kernel.shape
        *positions, inputs, outputs = kernel.shape
        ranks = (config.rank,)
        octave = np.zeros(math.prod(positions), int)
        if kernel.wavenumber is not None:
            ranks = config.octaves
            octave = _octave(kernel.wavenumber, len(ranks)).ravel()
        self.places = tuple(
            tuple(np.flatnonzero(octave == n).tolist()) for n in range(len(ranks))
        )
        # More is no change of its own.
        ranks = [min(rank, inputs, outputs) for rank in ranks]
        deviation = 1 / math.sqrt(inputs)
        self.left = nnx.List(
            nnx.Param(deviation * rngs.normal((inputs, rank), jnp.float32))
            for rank in ranks
        )
        self.right = nnx.List(
            nnx.Param(jnp.zeros((rank, outputs), jnp.float32)) for rank in ranks
        )
        self.weight = nnx.List(
            nnx.Param(jnp.ones((len(places), rank), jnp.float32))
            for places, rank in zip(self.places, ranks, strict=True)
            if len(octave) > 1
        )

    def __call__(self) -> Float[Array, "..."]:
        """What is added to the kernel."""
        if not self.weight:
            (left,), (right,) = self.left, self.right
            return (left[...] @ right[...]).reshape(self.shape)
        terms = [
            jnp.einsum("pr,ir,ro->pio", weight[...], left[...], right[...])
            for weight, left, right in zip(
                self.weight, self.left, self.right, strict=True
            )
        ]
        order = np.argsort(np.concatenate([np.array(p, int) for p in self.places]))
        return jnp.concatenate(terms)[order].reshape(self.shape)


@singledispatch
def kernel_of(module: nnx.Module) -> dict[str, Kernel]:
    """Kernels of a kind of module by the names of its parameters; most have none.

    Modules of one's own with kernels ``(*positions, in, out)`` may be registered.
    """
    return {}


@kernel_of.register(nnx.Linear)
@kernel_of.register(nnx.Conv)
def _(module: nnx.Linear | nnx.Conv) -> dict[str, Kernel]:
    return {"kernel": Kernel(module.kernel.shape)}


@kernel_of.register
def _(module: SpectralConvolution) -> dict[str, Kernel]:
    *both, last = module.modes
    along = [np.abs(np.fft.fftfreq(count, 1 / count)) / (count / 2) for count in both]
    along.append(np.arange(last) / last)
    highest = np.stack(np.meshgrid(*along, indexing="ij")).max(axis=0)
    shape = module.weight.shape  # real and imaginary part lead
    return {"weight": Kernel(shape, np.broadcast_to(highest, shape[:-2]))}


@kernel_of.register
def _(module: RingConvolution) -> dict[str, Kernel]:
    shape = module.weight.shape
    along = np.arange(shape[1]) / shape[1]
    return {"weight": Kernel(shape, np.broadcast_to(along, shape[:-2]))}


def kernels_of(network: nnx.Module) -> dict[str, Kernel]:
    """All kernels of a network by the names of its parameters.

    Those are the names of a frozen network, such as "blocks.0.inner.kernel".
    """
    return {
        ".".join(map(str, (*path, name))): kernel
        for path, module in nnx.iter_graph(network)
        if isinstance(module, nnx.Module)
        for name, kernel in kernel_of(module).items()
    }


def _octave(wavenumber: Float[np.ndarray, "..."], count: int) -> np.ndarray:
    """Number of the octave, the lowest 0: the last is above 1/2, then above 1/4, …"""
    # Wavenumbers at an edge belong to the lower octave, and 0 to the lowest.
    halvings = np.floor(-np.log2(np.maximum(wavenumber, 2.0**-count)))
    return np.clip(count - 1 - halvings, 0, None).astype(int)
