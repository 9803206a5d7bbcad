"""The smoke problem that every controller gets, and its judge."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from _control import interval

from wdno._typing import Fields
from wdno.guidance import leakage
from wdno.systems import Smoke

SYSTEM = Smoke()


def objective(fields: Fields) -> jax.Array:
    """Share of the smoke that has not come into the target exit at the end."""
    return leakage(fields["smoke"])


class Scenes(NamedTuple):
    """Smoke that no training has seen, and the way-point controls it came with."""

    initial: xr.DataArray
    inputs: Fields

    @classmethod
    def draw(cls, seed: int, count: int) -> "Scenes":
        """The scenes of a seed."""
        inputs = SYSTEM.sample_inputs(jax.random.key(seed), count)
        space = {dim: SYSTEM.coords[dim] for dim in ("y", "x")}
        initial = xr.DataArray(
            np.asarray(inputs["density0"]), space, ("sample", "y", "x"), name="density"
        )
        landscape = {name: (("y", "x"), v) for name, v in SYSTEM.static.items()}
        return cls(initial.assign_coords(landscape), inputs)

    @property
    def still(self) -> Fields:
        """No control at all."""
        return {name: jnp.zeros_like(self.inputs[name]) for name in SYSTEM.control}

    @property
    def waypoints(self) -> Fields:
        """The controls of the training distribution."""
        return {name: self.inputs[name] for name in SYSTEM.control}

    def judged(self, controls: Fields, seconds: float, **more: Any) -> dict[str, Any]:
        """What the solver at 128 x 128 makes of controls from the true initial smoke.

        ``J`` is the leakage with smoke counted once; ``J_dwell`` counts it again at
        every step in an exit, as the official evaluation does; ``energy`` is the mean
        of c² over both components, time and space; ``outside`` is the largest control
        outside the ring. Means with 95 % bootstrap intervals.
        """
        counts = SYSTEM.counts({"density0": self.inputs["density0"], **controls})
        parts = {}
        for name, kind in (("J", "absorbed"), ("J_dwell", "dwell")):
            last = counts[kind][:, -1]
            parts[name] = 1 - last[:, SYSTEM.target] / last.sum(axis=-1)
        both = jnp.stack([controls[name] for name in SYSTEM.control], axis=1)
        parts["energy"] = jnp.square(both).mean(axis=(1, 2, 3, 4))
        outside = float(jnp.abs(both[..., ~SYSTEM.ring]).max())
        scores = {name: interval(values) for name, values in parts.items()}
        each = {"seconds_per_plan": round(seconds / len(both), 4), "outside": outside}
        return scores | each | more


def controls_of(plan: xr.Dataset) -> Fields:
    """Controls of labelled plans as arrays, without the closing row."""
    dims = ("sample", "time", "y", "x")
    return {
        name: jnp.asarray(plan[name].transpose(*dims).values[:, :-1])
        for name in SYSTEM.control
    }
