"""A trained model in the place of a solver: descent through it costs no simulation."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass

import jax
import numpy as np

from wdno._typing import Fields
from wdno.inference.rollout import rollout
from wdno.operator.calibrated import mean_of
from wdno.operator.model import WDNO
from wdno.planning.inputs import on_horizon


@dataclass(frozen=True)
class Surrogate:
    """A model of the simulation task as a system that plans descend through.

    ``solve`` is its mean, or a sample from noise that is always the same: a function of
    initial states, of what never changes and of controls, differentiable in all. What
    is planned is then as good as the model; a solver judges it, or polishes it further.
    Compiled programs hold the parameters, and belong to one model. A descent finds what
    a model has never seen, so keep controls like those of its training: `smooth`.

    Attributes:
        model: of the simulation task.
        frames: of the record; windows of the model are chained.
        steps: denoiser calls a window; 0 for the mean alone, uncalibrated.

    Raises:
        ValueError: there is no frame, or no call is asked of a model of whole fields.

    Example:
        >>> surrogate = Surrogate(wdno.load("smoke-simulation"), frames=32)
        >>> planner = replace(planner, polish=Polish(surrogate, steps=20))

        >>> surrogate = Surrogate(wdno.load("burgers-simulation"), frames=32)
        >>> planner = wdno.Planner(
        ...     wdno.load("burgers-control"), reach, steps=1,
        ...     polish=Polish(surrogate, steps=5), constraint=smooth("f", 6, 10),
        ... )
    """

    model: WDNO
    frames: int
    steps: int = 0

    def __post_init__(self) -> None:
        """Refuse at once what no record can be made of."""
        if self.frames < 1:
            raise ValueError(
                f"A record has at least one frame, but got {self.frames}. Ask for more."
            )
        self.model.levels(self.steps)  # raises for a wrong number of calls

    @property
    def coords(self) -> Mapping[str, np.ndarray]:
        """Instants t_0 … t_M under "time", then positions by axis."""
        targets = self.model.targets
        grid = (self.frames, *targets.grid[1:])
        return self.model.domain.coords(targets.dims, grid)

    def solve(self, inputs: Fields) -> Fields:
        """What the model generates, at t_1 … t_M.

        Args:
            inputs: everything that the model is given, batch first.

        Raises:
            ValueError: something is missing.
        """
        over_time = {name: inputs[name] for name in self.model.control}
        known = {n: values for n, values in inputs.items() if n not in over_time}
        key, model = jax.random.key(0), self.model
        if not self.steps:
            # Slopes of subbands fit ensembles, and see the ends of windows.
            model = dataclasses.replace(model, residual=mean_of(model.residual))
        return rollout(model, known, over_time, steps=self.steps, key=key)

    def over(self, frames: int) -> "Surrogate":
        """The same for a record of that many intervals."""
        return dataclasses.replace(self, frames=frames)


@dataclass(frozen=True)
class FrameByFrame(Surrogate):
    """A model whose mean finds each frame from what comes before it, and nothing else.

    Such as one that carries smoke by velocities that the controls of the same instant
    cause: a record that is shorter than a window is the beginning of a longer one. Over
    such a record it works on a window of that length, which costs as much less, where a
    `Surrogate` computes the whole window and cuts it.

    Raises:
        ValueError: as `Surrogate`; or denoiser calls are asked for: a network sees the
            whole window.

    Example:
        >>> model = wdno.load("smoke-simulation")
        >>> tick = FrameByFrame(model, frames=32).over(4)
    """

    def __post_init__(self) -> None:
        """Refuse what is not found frame by frame."""
        super().__post_init__()
        if self.steps:
            raise ValueError(
                "What a denoiser draws belongs to the whole window, but got "
                f"steps={self.steps}. Take the mean, steps=0, or a `Surrogate`."
            )

    def over(self, frames: int) -> "FrameByFrame":
        """The same for a record of that many intervals, on windows no longer than it.

        Raises:
            ValueError: there is no frame.
        """
        longer = dataclasses.replace(self, frames=frames)
        halved = 2**self.model.targets.levels
        window = min(-(-frames // halved) * halved, self.model.window)
        return dataclasses.replace(longer, model=on_horizon(self.model, window))
