"""One optimal control problem a row, and the steps of an optimiser on it."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float

from wdno._functions import ByValue
from wdno._typing import Constraint, Fields, Objective
from wdno.planning.constraints import Linear

Solve = Callable[[Fields], Fields]
Scalar = Float[Array, ""]


class Iterate(NamedTuple):
    """Where the descent of a row is, as a batch of rows or one of them."""

    controls: Fields
    value: Array
    slope: Fields  # the gradient, projected where there is a constraint
    memory: Any  # state of the optimiser
    best: Fields
    best_value: Array
    gradients: Array  # evaluated so far


@dataclass(frozen=True)
class Problem:
    """One row of the problem; hashable, so that equal ones are compiled once."""

    solve: ByValue[Solve]
    objective: ByValue[Objective]
    optimizer: ByValue[optax.GradientTransformation]
    constraint: ByValue[Constraint | None]

    def value(self, known: Fields, controls: Fields) -> Scalar:
        """The objective under these controls."""
        inputs = _as_batch({**known, **controls})
        return self.objective.value({**inputs, **self.solve.value(inputs)})[0]

    def project(self, controls: Fields) -> Fields:
        """The nearest controls that are allowed."""
        constraint = self.constraint.value
        if constraint is None:
            return controls
        return jax.tree.map(lambda f: f[0], constraint(_as_batch(controls)))

    def value_and_slope(self, known: Fields, controls: Fields) -> tuple[Scalar, Fields]:
        """The objective and its gradient, projected where there is a constraint."""
        of_controls = jax.value_and_grad(partial(self.value, known))
        value, gradient = of_controls(controls)
        if self.constraint.value is None:
            return value, gradient
        # Small against the controls, large against the rounding of their difference.
        steepness = _norm(gradient)
        t = 1e-3 * _norm(controls) + 1e-6
        t = t / jnp.where(steepness > 0, steepness, 1)
        moved = self.project(jax.tree.map(lambda f, g: f - t * g, controls, gradient))
        return value, jax.tree.map(lambda f, m: (f - m) / t, controls, moved)

    def begin(self, known: Fields, controls: Fields) -> Iterate:
        """Where the descent starts."""
        controls = self.project(controls)
        value, slope = self.value_and_slope(known, controls)
        memory = self.optimizer.value.init(controls)
        return Iterate(
            controls, value, slope, memory, controls, value, jnp.ones((), int)
        )

    def advance(self, known: Fields, at: Iterate) -> Iterate:
        """One step of the optimiser."""

        def tried(controls: Fields) -> Scalar:
            # A step size of double precision must not make the controls so.
            controls = optax.tree_utils.tree_cast_like(controls, at.controls)
            return self.value(known, self.project(controls))

        with jax.numpy_dtype_promotion("standard"):  # optax mixes precisions
            step, memory = optax.with_extra_args_support(self.optimizer.value).update(
                at.slope,
                at.memory,
                at.controls,
                value=at.value,
                grad=at.slope,
                value_fn=tried,
            )
        controls = self.project(optax.apply_updates(at.controls, step))
        trials = optax.tree_utils.tree_get(memory, "num_linesearch_steps", 0)
        slope = optax.tree_utils.tree_get(memory, "grad")
        # Of the free and the linear the line search has seen the slope of the problem.
        if slope is not None and isinstance(self.constraint.value, Linear | None):
            value = optax.tree_utils.tree_get(memory, "value")  # of the last trial
        else:
            value, slope = self.value_and_slope(known, controls)
            trials += 1
        better = value < at.best_value  # never if NaN
        best, best_value = jax.tree.map(
            partial(jnp.where, better), (controls, value), (at.best, at.best_value)
        )
        spent = at.gradients + trials
        return Iterate(controls, value, slope, memory, best, best_value, spent)


@partial(jax.jit, static_argnums=0, static_argnames="batch_size")
def begin(
    problem: Problem, known: Fields, controls: Fields, *, batch_size: int
) -> Iterate:
    """Start the descent of every row."""
    return _each(problem.begin, (known, controls), batch_size)


@partial(jax.jit, static_argnums=0, static_argnames="batch_size")
def advance(
    problem: Problem, known: Fields, at: Iterate, *, batch_size: int
) -> Iterate:
    """One step of every row."""
    return _each(problem.advance, (known, at), batch_size)


@cache  # made on the first call, since importing makes no arrays
def lbfgs() -> optax.GradientTransformation:
    """L-BFGS whose line search lengthens a step by 16 at a time."""
    # The first step knows no scale of the problem, and each trial costs a gradient of
    # the solver: lengthen in great strides, and let the interpolation shorten again.
    search = optax.scale_by_zoom_linesearch(
        max_linesearch_steps=20, initial_guess_strategy="one", increase_factor=16.0
    )
    return optax.lbfgs(linesearch=search)


def _each(run: Callable, rows: tuple, batch_size: int) -> Any:
    """Apply to rows in turn, `batch_size` of them in step."""
    together = batch_size if batch_size > 1 else None
    after = jax.lax.map(lambda row: run(*row), rows, batch_size=together)
    # Weakly typed numbers of the optimiser would compile the second step anew.
    return jax.tree.map(lambda leaf: leaf.astype(leaf.dtype), after)


def _norm(row: Fields) -> Scalar:
    return jnp.sqrt(sum(jnp.vdot(field, field) for field in row.values()))


def _as_batch(row: Fields) -> Fields:
    return {name: field[None] for name, field in row.items()}
