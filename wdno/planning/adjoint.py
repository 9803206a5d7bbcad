"""Optimal control by the gradient of the solver itself (the adjoint method).

Reverse-mode differentiation of a discretised solver gives the exact gradient of the
discrete objective with respect to all controls at once, however many there are: the
discrete adjoint (Giles and Pierce, Flow, Turbulence and Combustion 65 (2000), 393).
`descend` is the classical rival of a sampled plan, and can polish one.
"""

import time
from collections.abc import Mapping
from functools import partial
from typing import NamedTuple, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Int
from tqdm import tqdm

from wdno._arrays import not_finite
from wdno._functions import ByValue, by_value
from wdno._typing import Constraint, Fields, Objective
from wdno.planning.optimizer import Iterate, Problem, Solve, advance, begin, lbfgs


@runtime_checkable
class System(Protocol):
    """What planning asks of a physical system; those of `wdno.systems` offer it."""

    @property
    def coords(self) -> Mapping[str, np.ndarray]:
        """Instants t_0 … t_M under "time", then positions by axis."""
        ...

    def solve(self, inputs: Fields) -> Fields:
        """States at t_1 … t_M from initial states and controls, batch first."""
        ...

    def over(self, frames: int) -> "System":
        """The same system for a record of that many intervals."""
        ...


class Descent(NamedTuple):
    """What `descend` found, and what it cost.

    Attributes:
        controls: of each row the best that the start or any step arrived at.
        states: the solver's states under them.
        values: objective at the start and after each step, (steps + 1, batch).
        gradients: solutions with gradient that each row had needed until then,
            (steps + 1, batch); every trial of a line search counts as one.
        seconds: wall-clock time until then, (steps + 1,), for all rows; with
            compilation, unless the same functions have come before.
    """

    controls: Fields
    states: Fields
    values: Float[np.ndarray, "instant batch"]
    gradients: Int[np.ndarray, "instant batch"]
    seconds: Float[np.ndarray, " instant"]


def descend(
    solve: Solve,
    known: Fields,
    controls: Fields,
    objective: Objective,
    *,
    steps: int,
    optimizer: optax.GradientTransformation | None = None,
    constraint: Constraint | None = None,
    batch_size: int | None = None,
) -> Descent:
    """Minimise an objective over the controls, through the solver.

    ``min_f J({**known, **solve({**known, "f": f}), "f": f})`` for each row by itself:
    the optimiser sees one row, so memory and line search are that row's own.

    Under a constraint P a step is projected, ``f <- P(f + step)``, a line search sees
    ``J(P(f))``, and the gradient g is replaced by ``(f - P(f - t g)) / t`` with a small
    t, which is zero exactly where no allowed direction descends. Optimisers with memory
    need that to find a minimum at the border of what is allowed (Bertsekas, SIAM J.
    Control Optim. 20 (1982), 221).

    Args:
        solve: states at t_1 … t_M from everything known and the controls; pure and
            differentiable, such as ``Burgers().solve``.
        known: initial states "u0" (batch, *space), and what else the objective reads.
        controls: where to start, "f" (batch, M, *space).
        objective: one number a row, small is good, from known fields, states, controls.
        steps: steps of the optimiser.
        optimizer: of optax, such as ``optax.adam(0.1)``. By default ``optax.lbfgs()``
            whose line search lengthens a step by 16 at a time.
        constraint: a projection of the controls; it is given nothing else.
        batch_size: rows that advance together; changes speed and memory only. By
            default one on a CPU, where together each would wait for the longest line
            search and evaluate both branches of its own, and all on an accelerator.

    Raises:
        ValueError: if `steps` is negative, the solver is not differentiable with
            respect to the controls, or objective or gradient start as NaN or Inf.

    Example:
        >>> reach = lambda s: terminal(s["u"], s["uT"]) + 2e-5 * energy(s["f"])
        >>> known = {"u0": u0, "uT": goal}
        >>> found = descend(system.solve, known, {"f": zeros}, reach, steps=50)
    """
    if steps < 0:
        raise ValueError(
            f"Steps of a descent are counted from 0, but got steps={steps}. Ask for "
            "more."
        )
    check_solver(solve, known, controls)
    parts = solve, objective, optimizer or lbfgs(), constraint
    problem = Problem(*map(by_value, parts))
    if batch_size is None:
        rows = len(next(iter(controls.values())))
        batch_size = 1 if jax.default_backend() == "cpu" else rows
    began = time.perf_counter()

    values, gradients, seconds = [], [], []

    def note(at: Iterate) -> None:
        values.append(np.asarray(at.value))  # waits for the step
        gradients.append(np.asarray(at.gradients))
        seconds.append(time.perf_counter() - began)

    note(at := begin(problem, known, controls, batch_size=batch_size))
    _require_finite(at)
    for _ in tqdm(range(steps), desc="descent", leave=False, disable=None):
        note(at := advance(problem, known, at, batch_size=batch_size))
    states = solve({**known, **at.best})
    columns = np.stack(values), np.stack(gradients), np.asarray(seconds)
    return Descent(at.best, states, *columns)


def steepest_step(
    solve: Solve,
    known: Fields,
    controls: Fields,
    objective: Objective,
    *,
    size: float,
    constraint: Constraint | None = None,
) -> Fields:
    """States and controls after one step of a given size: a new plan in real time.

    ``f <- P(f - size sign(grad_f J))``: among changes of at most `size` everywhere,
    that along which J falls fastest (steepest descent in the maximum norm: Boyd and
    Vandenberghe 2004, Convex Optimization, section 9.4). It takes one solution with
    gradient and one without, and nothing is searched or compared: a step that is too
    long makes the plan worse.

    Args:
        solve: states from everything known and the controls, see `descend`.
        known: initial states, and what else the objective reads.
        controls: where the step begins, such as the rest of a running plan.
        objective: one number a row, small is good.
        size: of the step, in units of the controls.
        constraint: a projection of the controls.
    """
    parts = tuple(map(by_value, (solve, objective, constraint)))
    like = next(iter(controls.values()))
    return _stepped(parts, known, controls, jnp.asarray(size, like.dtype))


@partial(jax.jit, static_argnums=0)
def _stepped(
    parts: tuple[ByValue, ...],
    known: Fields,
    controls: Fields,
    size: Float[Array, ""],
) -> Fields:
    solve, objective, constraint = (part.value for part in parts)

    def cost(f: Fields) -> Array:
        return objective({**known, **solve({**known, **f}), **f}).sum()

    slope = jax.grad(cost)(controls)
    moved = {name: f - size * jnp.sign(slope[name]) for name, f in controls.items()}
    moved = moved if constraint is None else constraint(moved)
    return {**solve({**known, **moved}), **moved}


def check_solver(solve: Solve, known: Fields, controls: Fields) -> None:
    """Try the gradient of a solver on the first row.

    Whatever the objective, states must react to controls: a random sum of states has a
    finite gradient that is not zero.

    Args:
        solve: states from everything known and the controls.
        known: initial states, and what else there is; batch first.
        controls: a batch of controls.

    Raises:
        ValueError: if JAX cannot differentiate the solver, or the gradient with respect
            to a control is zero or not finite.
    """
    known, controls = jax.device_put(
        jax.tree.map(lambda field: np.asarray(field)[:1], (known, controls))
    )
    try:
        gradient = _sensitivity(by_value(solve), known, controls)
    except Exception as error:
        solve({**known, **controls})  # raises what has nothing to do with gradients
        raise ValueError(
            "Descent needs a solver that JAX can differentiate with respect to the "
            f"controls, but JAX says: {error}. Write it in jax.numpy with loops of "
            "fixed length, or plan without a polish."
        ) from error
    for name, values in gradient.items():
        if not (np.isfinite(values).all() and np.any(values)):
            came = "zero" if np.isfinite(values).all() else "not finite"
            raise ValueError(
                "Descent needs a solver that is differentiable with respect to the "
                f"controls, but its gradient for {name!r} is {came}. Does it round, "
                "compare, stop gradients, leave JAX or diverge?"
            )


@partial(jax.jit, static_argnums=0)
def _sensitivity(solve: ByValue[Solve], known: Fields, controls: Fields) -> Fields:
    """Gradient of a random sum of the states with respect to the controls."""
    states, pull_back = jax.vjp(lambda f: solve.value({**known, **f}), controls)
    draw = partial(jax.random.normal, jax.random.key(0))
    return pull_back(jax.tree.map(lambda u: draw(u.shape, u.dtype), states))[0]


def _require_finite(start: Iterate) -> None:
    leaves = [np.asarray(leaf) for leaf in (start.value, *start.slope.values())]
    if (bad := np.any([not_finite(x) for x in leaves], axis=0)).any():
        raise ValueError(
            "A descent starts where objective and gradient are finite, but they are "
            f"not in {bad.sum()} of {len(bad)} rows. Start from weaker controls, "
            "or check the objective for division by zero and roots at 0."
        )
