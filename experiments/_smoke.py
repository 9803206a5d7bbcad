"""The smoke problem that every controller gets, and its judge."""

from dataclasses import replace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from _control import interval
from jaxtyping import Bool, PRNGKeyArray
from scipy.ndimage import binary_dilation

import wdno
from wdno._typing import Fields
from wdno.operator import Transport
from wdno.operator.calibrated import mean_of
from wdno.planning.constraints import Linear, all_of, region
from wdno.planning.objectives import leakage
from wdno.planning.surrogate import FrameByFrame
from wdno.systems import Smoke

SYSTEM = Smoke()
FIELDS = ("density", "vx", "vy", "smoke")


class Scenes(NamedTuple):
    """Smoke that no training has seen, and the way-point controls it came with."""

    initial: xr.DataArray
    inputs: Fields

    @classmethod
    def draw(cls, seed: int, count: int) -> "Scenes":
        """The scenes of a seed."""
        return cls.of(SYSTEM.sample_inputs(jax.random.key(seed), count))

    @classmethod
    def of(cls, inputs: Fields) -> "Scenes":
        """Scenes of initial densities and controls."""
        space = {dim: SYSTEM.coords[dim] for dim in ("y", "x")}
        initial = xr.DataArray(
            np.asarray(inputs["density0"]), space, ("sample", "y", "x"), name="density"
        )
        static = {name: (("y", "x"), v) for name, v in SYSTEM.static.items()}
        return cls(initial.assign_coords(static), inputs)

    @property
    def still(self) -> Fields:
        """No control at all."""
        return {name: jnp.zeros_like(self.inputs[name]) for name in SYSTEM.control}

    @property
    def waypoints(self) -> Fields:
        """The controls of the training distribution."""
        return {name: self.inputs[name] for name in SYSTEM.control}

    def first(self, count: int) -> "Scenes":
        """A few of them."""
        inputs = {name: values[:count] for name, values in self.inputs.items()}
        return Scenes(self.initial.isel(sample=slice(count)), inputs)

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


def dwelling(fields: Fields, margin: int = 0) -> jax.Array:
    """The official count of what leaks, from what is stored: ``J_dwell`` of `judged`.

    Smoke counts again at every step that it stays in an exit, and here at the steps of
    an interval as at its end; what never came into the target counts once.

    Args:
        fields: of a solution, with what it was given.
        margin: stored points by which other exits are larger than they are. A plan that
            stays clear of them forgives a model's error.
    """
    density = fields["density"]
    exits = jnp.asarray(exits_with(margin), density.dtype)
    counts = SYSTEM.substeps * jnp.einsum("btyx,eyx->be", density, exits)
    left = (1 - fields["smoke"][:, -1]) * fields["density0"].sum(axis=(1, 2))
    return 1 - counts[:, SYSTEM.target] / (counts.sum(axis=1) + left)


def exits_with(margin: int) -> Bool[np.ndarray, "exit y x"]:
    """Stored points in exits, all but the target enlarged."""
    masks = SYSTEM.flow.exit[:, :: SYSTEM.refinement, :: SYSTEM.refinement].copy()
    if margin:
        around = np.ones((3, 3), bool)
        for number in {*range(len(masks))} - {SYSTEM.target}:
            masks[number] = binary_dilation(masks[number], around, margin)
    return masks


def wary(fields: Fields) -> jax.Array:
    """What leaks by both counts, other exits being larger than they are."""
    return leakage(fields) + dwelling(fields, margin=3)


ALLOWED = Linear(all_of(*(region(name, SYSTEM.ring) for name in SYSTEM.control)))
"""Controls act in the ring alone; regions of two fields are one linear projection."""


def coarse(model: wdno.WDNO) -> FrameByFrame:
    """The model with its smoke carried on the stored points, in steps twice as long.

    A gradient then costs an eighth, and what is planned hardly differs.
    """
    mean = mean_of(model.residual)
    assert isinstance(mean, Transport)
    residual = replace(mean, refinement=1, steps=4)
    return FrameByFrame(replace(model, residual=residual), SYSTEM.frames)


def sampled(
    model: wdno.WDNO,
    scenes: Scenes,
    key: PRNGKeyArray,
    *,
    goal: float = 1.0,
    members: int | None = None,
    **how: Any,
) -> Fields:
    """Controls of sampled plans, whose wish is all of the smoke."""
    plan = wdno.control(
        wdno.Planner(model, leakage, constraint=ALLOWED, **({"steps": 8} | how)),
        scenes.initial,
        target=xr.Dataset({"smoke": xr.DataArray(np.float32(goal))}),
        members=members,
        batch_size=25,
        key=key,
    )
    return controls_of(plan if members is None else wdno.best_plan(plan))


def simulated(
    model: wdno.WDNO, truth: xr.Dataset, key: PRNGKeyArray, **how: Any
) -> xr.Dataset:
    """Forecasts from the initial densities and the controls of scenes."""
    initial, controls = truth.density.isel(time=0), truth[["cx", "cy"]]
    return wdno.simulate(model, initial, controls, batch_size=16, key=key, **how)


def squared_errors(found: xr.Dataset, truth: xr.Dataset) -> xr.DataArray:
    """Mean squared errors on (field, sample), without t = 0."""
    errors = []
    for name in FIELDS:
        square = np.square((found[name] - truth[name]).isel(time=slice(1, None)))
        errors.append(square.mean([dim for dim in square.dims if dim != "sample"]))
    return xr.concat(errors, "field").assign_coords(field=list(FIELDS))


def controls_of(plan: xr.Dataset) -> Fields:
    """Controls of labelled plans as arrays, without the closing row."""
    dims = ("sample", "time", "y", "x")
    return {
        name: jnp.asarray(plan[name].transpose(*dims).values[:, :-1])
        for name in SYSTEM.control
    }
