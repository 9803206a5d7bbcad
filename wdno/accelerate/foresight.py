"""What becomes of a state until the plan is there that is being made."""

from collections.abc import Callable
from dataclasses import dataclass, field

import jax.numpy as jnp
import numpy as np

from wdno.accelerate.latest import HostFields
from wdno.planning.adjoint import System
from wdno.planning.feedback import Names

Foresee = Callable[[HostFields, HostFields], HostFields]
"""``foresee(states, controls)``: states after a tick, by the names of initial ones."""


@dataclass(frozen=True)
class Simulated:
    """What a system, or a model in its place, makes of controls in a tick.

    Attributes:
        system: over the frames of a tick, such as ``Surrogate(model, frames=8)``.
        names: states by the names of their initial values, and controls.
        beside: what else the system is given, such as where obstacles are.

    Example:
        >>> model = wdno.load("burgers-simulation")
        >>> foresee = Simulated(wdno.Surrogate(model, 8), Names({"u": "u0"}, ("f",)))
        >>> Steering(planning, trigger, names, rest, foresee=foresee, key=key)
    """

    system: System
    names: Names
    beside: HostFields = field(default_factory=dict)

    def __call__(self, states: HostFields, controls: HostFields) -> HostFields:
        """States at the end of the tick."""
        given = {
            name: jnp.asarray(values, jnp.float32)
            for name, values in {**self.beside, **states, **controls}.items()
        }
        flow = self.system.solve(given)
        initial = self.names.initial
        return {key: np.asarray(flow[name][:, -1]) for name, key in initial.items()}
