"""What a physical system offers, and its labelled border.

A system is a frozen dataclass with pure array functions (`PhysicalSystem`). It inherits
`LabelledSystem`, which gives it the verbs on labelled data, so that a new system is one
file with `sample_inputs` and `solve`.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar, Protocol, TypeVar, runtime_checkable

import numpy as np
import xarray as xr
from jaxtyping import PRNGKeyArray

from wdno._arguments import check_key, is_whole
from wdno._arrays import not_finite
from wdno._typing import Fields
from wdno.systems.checks import check_inputs, check_numbers, check_positive
from wdno.trajectory import (
    as_came,
    begun_with,
    check_labelled,
    to_dataset,
    to_inputs,
)

__all__ = [
    "LabelledSystem",
    "PhysicalSystem",
    "check_inputs",
    "check_positive",
    "run",
    "trajectories",
]

AnySystem = TypeVar("AnySystem")


@runtime_checkable
class PhysicalSystem(Protocol):
    """A differential equation on a grid, driven by controls held over intervals."""

    state: ClassVar[tuple[str, ...]]
    """Names of the states."""
    control: ClassVar[tuple[str, ...]]
    """Names of the controls, of which there may be none."""
    parameters: ClassVar[tuple[str, ...]]
    """Names of the numbers, one a trajectory, that the equation depends on."""
    auxiliary: ClassVar[dict[str, tuple[str, ...]]]
    """Axes, time first, by name of what `solve` gives beside the states."""
    attributes: ClassVar[dict[str, dict[str, str]]]
    """Attributes (units, long_name) by name of variable or coordinate."""

    @property
    def coords(self) -> Mapping[str, np.ndarray]:
        """Instants t_0 … t_M under "time", then the positions on each spatial axis."""
        ...

    @property
    def static(self) -> Mapping[str, np.ndarray]:
        """What is known and never changes, on the spatial axes, by name."""
        ...

    def sample_inputs(self, key: PRNGKeyArray, samples: int) -> Fields:
        """Draw initial states (name + "0"), controls and parameters."""
        ...

    def solve(self, inputs: Fields) -> Fields:
        """Return the states at t_1 … t_M; pure, batched, compiled."""
        ...

    def check(self, inputs: Fields) -> None:
        """Raise ValueError for inputs that make no sense."""
        ...

    def over(self, frames: int) -> "PhysicalSystem":
        """The same system for a record of that many intervals of the same length."""
        ...


class LabelledSystem:
    """The verbs on labelled data that every physical system has."""

    parameters: ClassVar[tuple[str, ...]] = ()
    auxiliary: ClassVar[dict[str, tuple[str, ...]]] = {}

    @property
    def static(self) -> dict[str, np.ndarray]:
        """Nothing, unless a system has static fields of its own."""
        return {}

    def trajectories(
        self: PhysicalSystem, key: PRNGKeyArray, samples: int = 8
    ) -> xr.Dataset:
        """Draw inputs and solve; see `wdno.systems.trajectories`."""
        return trajectories(self, key, samples)

    def run(
        self: PhysicalSystem,
        initial: xr.DataArray | xr.Dataset,
        control: xr.DataArray | xr.Dataset | None = None,
    ) -> xr.Dataset:
        """Solve from labelled inputs; see `wdno.systems.run`."""
        return run(self, initial, control)

    def check(self, inputs: Fields) -> None:
        """Accept all inputs; systems that can be asked nonsense refuse it here."""

    def over(self: AnySystem, frames: int) -> AnySystem:
        """The same system, grid and time step for a record of other length.

        This holds for frozen dataclasses with the fields ``frames`` and ``duration``;
        others say by a method of their own what makes their record longer.

        Args:
            frames: Intervals of the record, each as long as before.

        Raises:
            ValueError: If ``frames`` is not positive.

        Example:
            >>> Burgers(frames=80, duration=8.0).over(20)  # duration 2.0
        """
        check_positive(frames=frames)
        system: Any = self
        duration = frames * (system.duration / system.frames)
        return dataclasses.replace(system, frames=frames, duration=duration)


def trajectories(system: PhysicalSystem, key: PRNGKeyArray, samples: int) -> xr.Dataset:
    """Draw inputs from the system's distribution and solve for its states.

    Args:
        system: The physical system.
        key: Random key.
        samples: Number of trajectories.

    Returns:
        States and controls on (sample, time, *space), with units and cell_methods, and
        what is auxiliary (NaN at t_0); what is static is a coordinate, and so are
        parameters, on (sample,).

    Raises:
        ValueError: If a solution diverges.
    """
    check_key(key)
    if not is_whole(samples, 1):
        raise ValueError(
            f"At least one trajectory is drawn, but samples is {samples}. Ask for more."
        )
    return _solved(system, system.sample_inputs(key, samples), {"sample": samples})


def run(
    system: PhysicalSystem,
    initial: xr.DataArray | xr.Dataset,
    control: xr.DataArray | xr.Dataset | None = None,
) -> xr.Dataset:
    """Solve the system from given initial states under given controls.

    Args:
        system: The physical system.
        initial: Initial states on (*batch, *space); an array if there is one state.
            Parameters of the system are coordinates of theirs, on (*batch,).
        control: Controls on (*batch, time, *space); an array if there is one control,
            left out if there is none.
            Batch axes (sample, member, …) that only one of the two has are broadcast.

    Returns:
        States and controls on (*batch, time, *space), with the labels, instants and
        precision of what came.

    Raises:
        ValueError: If an input is missing, not finite, on another grid or makes no
            sense (`LabelledSystem.check`), or if the solution diverges.

    Example:
        >>> truth = system.trajectories(jax.random.key(0), samples=2)
        >>> calm = run(system, truth.u.isel(time=0), 0 * truth.f)
    """
    check_labelled(initial=initial)
    if control is not None:
        check_labelled(control=control)
    check_numbers(system, initial)
    timed = control if control is not None and "time" in control.coords else initial
    coords = {**system.coords}
    coords["time"] = begun_with(coords["time"], timed)
    fields, batch = to_inputs(
        initial,
        control,
        coords,
        system.state,
        system.control,
        dict.fromkeys(system.parameters, ()),
    )
    system.check(fields)
    solved = _solved(system, fields, batch).assign_coords(
        time=("time", coords["time"], system.attributes.get("time", {}))
    )
    return as_came(solved, initial, control)


def _solved(
    system: PhysicalSystem, inputs: Fields, batch: Mapping[str, int]
) -> xr.Dataset:
    fields = {**inputs, **system.solve(inputs)}
    for name in (*system.state, *system.auxiliary):
        diverged = not_finite(np.asarray(fields[name]))
        if diverged.any():
            raise ValueError(
                f"The solution must stay finite, but {name} diverged in sample "
                f"{int(np.argmax(diverged))} ({int(diverged.sum())} in all). Use "
                "weaker inputs or a system with finer steps (a larger refinement; for "
                "Burgers also max_speed, for smoke substeps, for gas a smaller "
                "courant)."
            )
    dataset = to_dataset(
        fields,
        system.coords,
        system.state,
        system.control,
        system.attributes,
        batch,
        system.auxiliary,
    )
    space = tuple(system.coords)[1:]
    static = {
        name: (space, values, system.attributes.get(name, {}))
        for name, values in system.static.items()
    }
    numbers = {
        name: (
            tuple(batch),
            np.reshape(fields[name], tuple(batch.values())),
            system.attributes.get(name, {}),
        )
        for name in system.parameters
    }
    return dataset.assign_coords(static | numbers)
