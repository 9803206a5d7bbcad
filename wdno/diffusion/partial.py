"""Backbones that estimate part of what is denoised, and that remember the rest."""

from typing import Protocol, runtime_checkable

from jaxtyping import Array, Bool, Float, Int, PyTree

Coefficients = Float[Array, "batch *grid channel"]
Condition = Float[Array, "batch *grid given"]
Sigma = Float[Array, " batch"]


@runtime_checkable
class PartialBackbone(Protocol):
    """A backbone that has an estimate of some coefficients only: the others are zero.

    Zero are they in x0, not in what the network returns. Of a `Network`, the module is
    asked.
    """

    def estimated(
        self, x: Coefficients, c_noise: Sigma, cond: Condition
    ) -> tuple[Coefficients, Bool[Array, "batch *grid channel"]]:
        """What `Backbone` returns, and where that is an estimate."""
        ...


@runtime_checkable
class RememberingBackbone(Protocol):
    """A `TokenBackbone` whose tokens attend to what is remembered of the others."""

    def remembering(
        self,
        x: Coefficients,
        c_noise: Sigma,
        cond: Condition,
        memory: PyTree,
        tokens: Int[Array, "batch kept"] | None = None,
    ) -> tuple[Coefficients, PyTree]:
        """What `TokenBackbone` returns, and the memory with these tokens renewed.

        A memory is a batch-leading pytree; a call of all tokens renews all of it.
        """
        ...
