"""One window and one update of a model as programs of any number of rows."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from wdno._typing import Fields, Guidance
from wdno.diffusion.noise import log_uniform
from wdno.diffusion.samplers import Sampler
from wdno.operator.generation import generate
from wdno.operator.model import WDNO
from wdno.training.config import TrainingConfig
from wdno.training.loss import training_loss
from wdno.training.update import Run, train_step

__all__ = ["Clock", "Measured", "Program", "Update", "Window"]

Clock = Callable[[], float]
REPEATS = 3


class Measured(NamedTuple):
    """What one run of a program took."""

    rows: int
    seconds: float
    memory: int
    """Bytes of arguments, results and what is between."""


class Program(ABC):
    """A function and its arguments, for any number of rows."""

    @abstractmethod
    def of(self, rows: int) -> tuple[Callable, tuple[Any, ...]]:
        """Function and arguments."""

    def operations(self, rows: int) -> float:
        """Of floating-point numbers, as XLA counts them; each loop counts once."""
        function, arguments = self.of(rows)
        found: Any = jax.jit(function).lower(*arguments).cost_analysis()
        return float(found["flops"])

    def measured(self, rows: int, clock: Clock) -> Measured:
        """The shortest of some runs."""
        function, arguments = self.of(rows)
        compiled = jax.jit(function).lower(*arguments).compile()
        jax.block_until_ready(compiled(*arguments))
        times = []
        for _ in range(REPEATS):
            begin = clock()
            jax.block_until_ready(compiled(*arguments))
            times.append(clock() - begin)
        found: Any = compiled.memory_analysis()
        ends = found.argument_size_in_bytes + found.output_size_in_bytes
        return Measured(rows, min(times), ends + found.temp_size_in_bytes)


@dataclass(frozen=True)
class Window(Program):
    """One window that a model draws.

    Attributes:
        model: what draws.
        sampler: rule of one step.
        guidance: of the rows given what is known of them, such as `Planner.guided`.
        calls: of the denoiser.
    """

    model: WDNO
    sampler: Sampler
    guidance: Callable[[Fields], Guidance | None] = lambda known: None
    calls: int = 1

    def over(self, calls: int) -> "Window":
        """The same with so many denoiser calls."""
        return replace(self, calls=calls)

    def of(self, rows: int) -> tuple[Callable, tuple[Any, ...]]:
        """As an ensemble or many initial states need it."""

        def window(
            model: WDNO, known: Fields, sigmas: Float[Array, " level"], key: Array
        ) -> Fields:
            how = (self.sampler, sigmas, key, self.guidance(known))
            return generate(model, known, *how)

        sigmas = self.model.levels(self.calls) if self.calls else jnp.zeros(1)
        known = _noise(self.model, self.model.given.fields, rows)
        return window, (self.model, known, sigmas, jax.random.key(0))


@dataclass(frozen=True)
class Update(Program):
    """One update of the network of a denoiser."""

    model: WDNO

    def of(self, rows: int) -> tuple[Callable, tuple[Any, ...]]:
        """As `wdno.training.loop.fit` makes them."""
        loss = training_loss(self.model, log_uniform(*self.model.schedule.sigma_range))
        run = Run(self.model.denoiser.backbone.thaw(), TrainingConfig(steps=1))
        definition, state = nnx.split(run)

        def update(state: Any, batch: Fields, key: Array) -> Any:
            run = nnx.merge(definition, state)
            train_step(run, loss, batch, jnp.float32(0.0), key)
            return nnx.state(run)

        fields = (*self.model.given.fields, *self.model.targets.fields)
        return update, (state, _noise(self.model, fields, rows), jax.random.key(0))


def _noise(model: WDNO, fields: tuple[Any, ...], rows: int) -> Fields:
    """Fields of the right shapes."""
    points = dict(zip(model.targets.dims, model.targets.grid, strict=True))
    draw = jax.random.key(0)
    shapes = {
        q.name: tuple(points[d] // r for d, r in zip(q.dims, q.strides, strict=True))
        for q in fields
    }
    return {
        name: jax.random.normal(draw, (rows, *shape), jnp.float32)
        for name, shape in shapes.items()
    }
