"""The denoiser: a preconditioned network that estimates E[x0 | x] at noise level σ.

Everything is in σ-space: x = x0 + σ n with n ~ N(0, I), one σ per batch row.
"""

import math
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Int, PyTree

from wdno._typing import Denoise, Guidance
from wdno.diffusion.noise import per_row
from wdno.diffusion.partial import PartialBackbone
from wdno.diffusion.preconditioning import Preconditioning

Coefficients = Float[Array, "batch *grid channel"]
Condition = Float[Array, "batch *grid given"]
Sigma = Float[Array, " batch"]


@runtime_checkable
class Backbone(Protocol):
    """A network on any even grid; the condition enters as extra channels."""

    def __call__(
        self, x: Coefficients, c_noise: Sigma, cond: Condition
    ) -> Coefficients:
        """Map scaled noisy coefficients to an array of the same shape."""
        ...


@runtime_checkable
class TokenBackbone(Protocol):
    """A backbone that may be evaluated in some patches of the grid, at their cost.

    Patches are equal and lie side by side from the first grid point on; the last along
    an axis may reach beyond the grid. Of a `Network`, ask the module: ``thaw()``.

    Example:
        The denoiser of the kept patches, c_skip x in the others:

        >>> some = lambda *inputs: denoiser.backbone(*inputs, tokens)
        >>> part = dataclasses.replace(denoiser, backbone=some)
    """

    @property
    def patch(self) -> tuple[int, ...]:
        """Grid points of a patch along each axis."""
        ...

    def token_grid(self, grid: tuple[int, ...]) -> tuple[int, ...]:
        """Number of patches along each axis of a grid."""
        ...

    def __call__(
        self,
        x: Coefficients,
        c_noise: Sigma,
        cond: Condition,
        tokens: Int[Array, "batch kept"] | None = None,
    ) -> Coefficients:
        """Map as `Backbone` does, or some patches of each row and nothing else.

        Args:
            x: scaled noisy coefficients.
            c_noise: noise level of each row.
            cond: condition on the grid of x.
            tokens: places in `token_grid`, the last axis fastest, distinct in a row, in
                any order; without it all. Inside a compiled function nobody can check
                whether they are places of the grid.

        Returns:
            An array of the shape of x, zero in the patches that were left out, so that
            it adds to an estimate of these, and a denoiser takes it like any other.
        """
        ...


class _Definition(NamedTuple):
    """What a module is besides the values of its arrays."""

    graph: nnx.GraphDef
    structure: Any  # how arrays lie in the module: a tree without its leaves
    names: tuple[str, ...]


@jax.tree_util.register_dataclass
@dataclass(frozen=True, eq=False)  # arrays are not compared: equal to itself alone
class Network:
    """A module as an immutable value: what it is, and its arrays by name.

    It is a pytree whose leaves are the arrays, so that every transform of JAX takes it,
    and nothing that is done with it changes it. `freeze` makes one of a module, `thaw`
    a module of one; between the two lies training.

    Attributes:
        definition: of the module.
        parameters: arrays by name, such as "blocks.0.inner.kernel"; of a network that
            is only described, their shapes.
    """

    definition: _Definition = field(metadata={"static": True}, repr=False)
    parameters: dict[str, Array | jax.ShapeDtypeStruct] = field(repr=False)

    def thaw(self) -> nnx.Module:
        """A module with these arrays, which can be trained."""
        leaves = [self.parameters[name] for name in self.definition.names]
        state = jax.tree.unflatten(self.definition.structure, leaves)
        return nnx.merge(self.definition.graph, state)

    @property
    def config(self) -> Any:
        """What the network was built from, if the module keeps it."""
        return getattr(self.thaw(), "config", None)

    def __call__(self, *arguments: Any) -> Any:
        """What the module makes of these."""
        # Putting a module together costs while a program is traced, and never again.
        return self.thaw()(*arguments)  # pyright: ignore[reportCallIssue]


def freeze(module: nnx.Module) -> Network:
    """The value of a module; training it further does not change the value."""
    graph, state = nnx.split(module)
    paths, structure = jax.tree_util.tree_flatten_with_path(state)
    named = {_name(path): leaf for path, leaf in paths}
    return Network(_Definition(graph, structure, tuple(named)), named)


def _name(path: PyTree) -> str:
    keys = [getattr(entry, "key", getattr(entry, "name", None)) for entry in path]
    return ".".join(str(key) for key in keys if key not in (None, "value"))


@jax.tree_util.register_dataclass
@dataclass(frozen=True, eq=False)
class Denoiser:
    """A backbone with preconditioning: ``denoiser(x, sigma, cond)`` ≈ E[x0 | x, cond].

    Attributes:
        backbone: network with the signature of `Backbone`, usually a `Network`; while
            it is trained, the module itself.
        preconditioning: c_skip, c_out, c_in, c_noise as functions of σ.
        bound: largest magnitude of coefficients, to which estimates are clipped. An
            estimate of the noise needs one: at high σ its error counts σ-fold.
    """

    backbone: Any
    preconditioning: Preconditioning = field(metadata={"static": True})
    bound: float = field(default=math.inf, metadata={"static": True})

    def __call__(self, x: Coefficients, sigma: Sigma, cond: Condition) -> Coefficients:
        """D(x; σ) = c_skip x + c_out F(c_in x; c_noise) (Karras et al., eq. 7)."""
        c_skip, c_out, c_in, c_noise = self.preconditioning(sigma)
        output, there = _estimated(self.backbone, per_row(c_in, x) * x, c_noise, cond)
        x0 = per_row(c_skip, x) * x + per_row(c_out, x) * output
        if there is not None:
            x0 = jnp.where(there, x0, 0)
        return jnp.clip(x0, -self.bound, self.bound) if self.bound < math.inf else x0

    def given(self, cond: Condition) -> "ConditionalDenoiser":
        """The denoiser under a condition, as a function of x and σ alone.

        Call it inside the jitted function, with the denoiser as that function's
        argument: parameters closed over outside become compiled constants.
        """
        return ConditionalDenoiser(self, cond)


def _estimated(
    backbone: Any, x: Coefficients, c_noise: Sigma, cond: Condition
) -> tuple[Coefficients, Array | None]:
    """What a backbone returns, and where that is an estimate; None for everywhere."""
    module = backbone.thaw() if isinstance(backbone, Network) else backbone
    if isinstance(module, PartialBackbone):
        return module.estimated(x, c_noise, cond)
    return backbone(x, c_noise, cond), None


class ConditionalDenoiser(NamedTuple):
    """A `Denoise` whose parts can be told: what evaluates it otherwise needs them."""

    denoiser: Denoiser
    condition: Condition

    def __call__(self, x: Coefficients, sigma: Sigma) -> Coefficients:
        """E[x0 | x, condition]."""
        return self.denoiser(x, sigma, self.condition)


class GuidedDenoiser(NamedTuple):
    """A `Denoise` under guidance, which can be told from what it guides."""

    denoise: Denoise
    guidance: Guidance

    def __call__(self, x: Coefficients, sigma: Sigma) -> Coefficients:
        """The estimate, shifted by the guidance."""
        return self.guidance(self.denoise)(x, sigma)
