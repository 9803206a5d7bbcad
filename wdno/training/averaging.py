"""Averages of the parameters over the updates of a run."""

import jax
import numpy as np
from flax import nnx
from jaxtyping import Array, Integer

WIDEST_AVERAGE = 0.28
"""Below the width of the mean of all updates, 1/√12."""


class PowerLawAverage(nnx.EMA):
    """Average over updates t with weights that grow as t^γ (Karras et al. 2024, eq. 3).

    Of the average ``(1 - 1/t)^(γ+1)`` stays, so that nothing is left of the initial
    parameters after the first update, and the profile keeps its shape as a run goes on.
    """

    def __init__(
        self, model: nnx.Module, width: float, wrt: nnx.filterlib.Filter
    ) -> None:
        """Begin with the model as it is; `width` is σ_rel of the profile."""
        super().__init__(model, decay=1.0, only=wrt)  # its fixed decay is not used
        self.power = power_of_average(width)

    def follow(self, model: nnx.Module, step: Integer[Array, ""]) -> None:
        """Take in the parameters after update number `step`, counted from 1."""
        stays = (1 - 1 / step.astype(float)) ** (self.power + 1)

        def blend(average: nnx.Variable, now: nnx.Variable) -> None:
            share = stays.astype(now[...].dtype)
            average[...] = share * average[...] + (1 - share) * now[...]

        now = nnx.state(model, self.filter)
        is_leaf = lambda part: isinstance(part, nnx.Variable)  # noqa: E731
        jax.tree.map(blend, self.params, now, is_leaf=is_leaf)


def power_of_average(width: float) -> float:
    """γ of a profile t^γ with this standard deviation, as a share of its length.

    From ``width² = (γ + 1) / ((γ + 2)² (γ + 3))`` (Karras et al. 2024, eq. 126).
    """
    return float(np.roots([1, 7, 16 - width**-2, 12 - width**-2]).real.max())
