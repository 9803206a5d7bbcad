"""How one plan a row is made: sampled under guidance, constrained, polished."""

import operator
from dataclasses import dataclass
from functools import partial

import jax
import numpy as np
from flax import nnx
from jax.tree_util import Partial
from jaxtyping import Array, DTypeLike, Float

from wdno._typing import Constraint, Fields, Guidance, Objective
from wdno.diffusion.guidance import Strength, check_objective, compose, guide, project
from wdno.diffusion.keys import RowKeys
from wdno.diffusion.samplers import Sampler, ddim
from wdno.operator.model import WDNO, generate
from wdno.planning.adjoint import System, check_solver, descend
from wdno.planning.constraints import check_constraint
from wdno.planning.inputs import check_same_grid, grid, on_horizon
from wdno.planning.optimizer import Solve


@dataclass(frozen=True)
class Planner:
    """Maps known fields and a key per row to plans; see `wdno.control`.

    Attributes:
        model: of the control task, on the horizon of the plans.
        polish: steps of descent through the solver.
        solve: the solver over that horizon, if there are any.
    """

    model: WDNO
    objective: Objective
    strength: Partial
    sampler: Sampler
    sigmas: Float[Array, " levels"]
    guidance: Guidance | None
    constraint: Constraint | None
    polish: int
    solve: Solve | None

    def try_out(self, few: Fields) -> None:
        """Raise ValueError where objective or constraint could not work."""
        like, layout = next(iter(few.values())), self.model.targets
        wish = _informed(self.objective, few)
        check_objective(wish, layout, self._draw(len(like), like.dtype))
        if self.constraint is not None:
            fields = layout.synthesis(self._draw(2, like.dtype))
            check_constraint(self.constraint, fields, self.model.planned)

    def try_out_solver(self, few: Fields) -> None:
        """Raise ValueError where polishing, if there is any, could not work."""
        if self.solve is None:
            return
        dtype = next(iter(few.values())).dtype
        fields = self.model.targets.synthesis(self._draw(2, dtype))
        controls = {name: fields[name] for name in self.model.planned}
        if self.constraint is not None:
            check_constraint(self.constraint, controls, self.model.planned)
        check_solver(self.solve, few, controls)

    def __call__(self, known: Fields, keys: RowKeys) -> Fields:
        """Generated fields and, of each row, the "objective"; all finite."""
        plan = _plan(
            self.model,
            known,
            keys,
            objective=self.objective,
            strength=self.strength,
            sampler=self.sampler,
            sigmas=self.sigmas,
            guidance=self.guidance,
            constraint=self.constraint,
        )
        _require_finite(plan)
        return plan if self.solve is None else self._polished(self.solve, known, plan)

    def _polished(self, solve: Solve, known: Fields, plan: Fields) -> Fields:
        found = descend(
            solve,
            known,
            {name: plan[name] for name in self.model.planned},
            self.objective,
            steps=self.polish,
            constraint=self.constraint,
        )
        solved = (*self.model.state, *self.model.auxiliary)
        states = {name: found.states[name] for name in solved if name in found.states}
        plan = {**states, **found.controls}
        return {**plan, "objective": self.objective({**known, **plan})}

    def _draw(self, rows: int, dtype: DTypeLike) -> Float[Array, "batch *grid channel"]:
        """Coefficients of the size of data."""
        layout = self.model.targets
        shape = (rows, *layout.coefficient_grid, len(layout.channels))
        return jax.random.normal(jax.random.key(0), shape, dtype)


def make_planner(
    model: WDNO,
    objective: Objective,
    *,
    frames: int | None,
    strength: float | Strength,
    sampler: Sampler | None,
    steps: int,
    guidance: Guidance | None,
    constraint: Constraint | None,
    polish: int,
    system: System | None,
) -> Planner:
    """Check what needs no data, and put the parts together; see `wdno.control`."""
    _require_planner(model)
    if frames is not None:
        model = on_horizon(model, frames)
    if polish < 0 or (polish and system is None):
        raise ValueError(
            "Plans are polished by steps through the solver of a system, but got "
            f"polish={polish} and system={system}. Pass the system and the number of "
            "steps, or leave both out."
        )
    solve = None
    if polish and system is not None:
        system = system.over(model.window)
        check_same_grid(system, grid(model))
        solve = system.solve
    return Planner(
        model,
        objective,
        # A pytree, so that another number compiles nothing anew.
        Partial(strength)
        if callable(strength)
        else Partial(operator.mul, float(strength)),
        ddim(1.0) if sampler is None else sampler,
        model.schedule(steps),
        guidance,
        constraint,
        polish,
        solve,
    )


@partial(nnx.jit, static_argnames=("objective", "sampler", "guidance", "constraint"))
def _plan(
    model: WDNO,
    known: Fields,
    keys: RowKeys,
    *,
    objective: Objective,
    strength: Partial,
    sampler: Sampler,
    sigmas: Float[Array, " levels"],
    guidance: Guidance | None,
    constraint: Constraint | None,
) -> Fields:
    """`generate` under guidance that is built here, where `known` is no constant."""
    wishes = [guide(_informed(objective, known), model.targets, strength)]
    if guidance is not None:
        wishes.append(guidance)
    if constraint is not None:
        wishes.append(project(constraint, model.targets))
    plan = generate(model, known, sampler, sigmas, keys, compose(*wishes))
    if constraint is not None:
        plan = constraint(plan)  # synthesis rounds
    return {**plan, "objective": objective({**known, **plan})}


def _require_finite(plan: Fields) -> None:
    for name, values in plan.items():
        good = np.isfinite(np.asarray(values)).reshape(len(values), -1).all(axis=1)
        if not good.all():
            raise ValueError(
                f"Plans must be finite, but {name} has NaN or Inf in {(~good).sum()} "
                f"of {len(good)} rows. Lower the strength: no step may overshoot the "
                "minimum of the objective further than it was away."
            )


def _informed(objective: Objective, known: Fields) -> Objective:
    """The objective of generated fields that sees what is known as well."""
    return lambda fields: objective({**known, **fields})


def _require_planner(model: WDNO) -> None:
    given = {quantity.name for quantity in model.given.fields}
    wished = {f"{name}0" for name in model.state} | {f"{n}T" for n in model.final}
    if not model.state or not model.planned or not given <= wished | {*model.static}:
        raise ValueError(
            "Planning takes a model of the control task, which generates states and "
            "controls given initial (and final) states, but this one generates "
            f"{[q.name for q in model.targets.fields]} given {sorted(given)}. Load a "
            "planner."
        )
