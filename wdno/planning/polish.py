"""Descent that goes on from a sampled plan."""

from typing import NamedTuple

from wdno.planning.adjoint import System


class Polish(NamedTuple):
    """Descent from a sampled plan through a system: its solver, or a model of it.

    Attributes:
        system: what is controlled, on the grid of the model, e.g. `Burgers()`, or a
            `Surrogate` in its place; a record of any length will do.
        steps: of L-BFGS, see `wdno.planning.adjoint.descend`.
    """

    system: System
    steps: int

    def over(self, frames: int) -> "Polish":
        """The same descent over so many frames."""
        return self._replace(system=self.system.over(frames))
