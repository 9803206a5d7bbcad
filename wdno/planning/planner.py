"""What is planned with: a model, a wish, and how the two are brought together."""

import dataclasses
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import jax
import numpy as np
from jaxtyping import Array, DTypeLike, Float

from wdno._arguments import check_sampler, is_whole
from wdno._arrays import not_finite
from wdno._functions import by_value
from wdno._typing import Constraint, Fields, Guidance, Objective
from wdno.diffusion.guidance import Strength, check_objective, compose, guide, project
from wdno.diffusion.keys import RowKeys
from wdno.diffusion.samplers import Sampler, ddim
from wdno.operator.generation import Start, generate, sample_shape
from wdno.operator.model import WDNO
from wdno.planning.adjoint import check_solver, descend
from wdno.planning.constraints import check_constraint
from wdno.planning.inputs import check_same_grid, grid, on_horizon, require_planner
from wdno.planning.polish import Polish


@jax.tree_util.register_pytree_node_class
@dataclass(frozen=True, eq=False)
class Planner:
    """Plans by sampling states and controls together, under the guidance of a wish.

    From ``p(u, f | u0) exp(-J(u, f))``, more or less: at every noise level the estimate
    of the clean coefficients descends the objective,

    ``x0 <- x0 - sigma lambda grad_x0 J(synthesis(x0))``,

    which is the guidance of WDNO (arXiv 2412.04833, section 3.1) on the estimate
    instead of the noise; see `wdno.guidance.guide` for strengths that make it exact.
    Coefficients have unit variance, so a gradient of order one moves a field by about
    ``sigma lambda`` of its standard deviations.

    A planner is an immutable value, like its model, and a pytree of the parameters and
    of a strength that is a number. What it has compiled is found again by any planner
    with equal parts, functions of the same code included.

    Attributes:
        model: a model of the control task: generates states and controls given initial
            states, and final states if it has them. Its window is the horizon.
        objective: one number a row, small is good, from physical fields, batch first:
            states "u" at t_1 … t_M, controls "f" from t_0 … t_(M-1), the initial states
            "u0", and "uT" if there is a target. Rows of these belong together whatever
            the batch; arrays of other origin must serve every row.
        strength: ``lambda``, or ``w(sigma)`` in place of ``sigma lambda``; None if the
            objective guides nothing and its gradient is not computed.
        guidance: applied after the objective, such as ``clip(3.0)``.
        constraint: what the plan must satisfy, such as ``bounds("f", -1.0, 1.0)`` of
            `wdno.constraints`; every estimate is projected, and the plan at the end.
            The closing row of zero control, which does not act, is exempt.
        sampler: ancestral sampling, ``ddim(1.0)``, by default.
        steps: denoiser calls.
        polish: descent through a solver from the sampled plan, if there is any. The
            states are then the solver's, and a constraint can be one of the controls
            only.

    Raises:
        ValueError: the model does not plan, there are no steps, or the system of the
            polish lies on another grid.

    Example:
        >>> reach = wdno.objectives.reach(("u",), ("f",), energy_weight=2e-5)
        >>> planner = wdno.Planner(wdno.load("burgers-control"), reach, strength=0.1)
        >>> plan = wdno.control(planner, u0, target=goal, key=jax.random.key(0))
    """

    model: WDNO
    objective: Objective
    strength: float | Strength | None = None
    guidance: Guidance | None = None
    constraint: Constraint | None = None
    sampler: Sampler = dataclasses.field(default_factory=lambda: ddim(1.0))
    steps: int = 50
    polish: Polish | None = None

    def __post_init__(self) -> None:
        """Refuse at once what needs no data to be seen."""
        require_planner(self.model)
        self.model.levels(self.steps)  # raises for a wrong number of steps
        check_sampler(self.sampler)
        if not callable(self.objective):
            raise ValueError(
                "An objective is a function of fields, one number a row, but got "
                f"{self.objective!r}. See wdno.objectives."
            )
        if self.polish is not None:
            if not is_whole(self.polish.steps, 1):
                raise ValueError(
                    "Plans are polished by one step or more, but got "
                    f"{self.polish.steps}. Ask for more, or leave the polish out."
                )
            polish = self.polish.over(self.model.window)
            check_same_grid(polish.system, grid(self.model))

    def over(self, frames: int) -> "Planner":
        """The same planner for plans of so many frames.

        Raises:
            ValueError: `frames` is not positive, or the wavelet cannot halve it.
        """
        return dataclasses.replace(self, model=on_horizon(self.model, frames))

    def __call__(
        self, known: Fields, keys: RowKeys, start: Start | None = None
    ) -> Fields:
        """Generated fields and, of each row, the "objective"; all finite.

        Args:
            known: every field of ``model.given``, and what else the objective reads.
            keys: one a row.
            start: the rest of an earlier plan, taken back in noise, to begin from.

        Raises:
            ValueError: a plan is not finite.
        """
        return self.settled(known, _plan(self, known, keys, start))

    def guided(self, known: Fields) -> Guidance | None:
        """What its estimates heed, given what is known of the rows; for tracing."""
        layout, wishes = self.model.targets, []
        if self.strength is not None:
            wishes.append(guide(self._informed(known), layout, self.strength))
        if self.guidance is not None:
            wishes.append(self.guidance)
        if self.constraint is not None:
            wishes.append(project(self.constraint, layout))
        return compose(*wishes) if wishes else None

    def drawn(self, known: Fields, keys: RowKeys, start: Start | None = None) -> Fields:
        """A plan before anything is done on the host; not compiled, for tracing.

        The guidance is built here, where `known` is no constant.
        """
        levels, wishes = self.model.levels(self.steps), self.guided(known)
        how = (self.sampler, levels, keys, wishes, start)
        return self.completed(known, generate(self.model, known, *how))

    def completed(self, known: Fields, plan: Fields) -> Fields:
        """Generated fields as allowed, with their "objective"; for tracing."""
        if self.constraint is not None:
            plan = self.constraint(plan)  # synthesis rounds
        return {**plan, "objective": self._informed(known)(plan)}

    def settled(self, known: Fields, plan: Fields) -> Fields:
        """A plan that is finite, and polished.

        Raises:
            ValueError: it is not finite.
        """
        _require_finite(plan)
        if self.polish is None:
            return plan
        return self._polished(self.polish.over(self.model.window), known, plan)

    def try_out(self, few: Fields) -> None:
        """Raise ValueError where the planner could not work on rows like these."""
        like, layout = next(iter(few.values())), self.model.targets
        check_objective(self.objective, layout, self._draw(len(like), like.dtype), few)
        if self.constraint is None and self.polish is None:
            return
        fields = _synthesised(layout, self._draw(2, like.dtype))
        if self.constraint is not None:
            check_constraint(self.constraint, fields, self.model.planned)
        if self.polish is not None:
            controls = {name: fields[name] for name in self.model.planned}
            if self.constraint is not None:
                check_constraint(self.constraint, controls, self.model.planned)
            system = self.polish.over(self.model.window).system
            check_solver(system.solve, few, controls)

    def _polished(self, polish: Polish, known: Fields, plan: Fields) -> Fields:
        found = descend(
            polish.system.solve,
            known,
            {name: plan[name] for name in self.model.planned},
            self.objective,
            steps=polish.steps,
            constraint=self.constraint,
        )
        solved = (*self.model.state, *self.model.auxiliary)
        states = {name: found.states[name] for name in solved if name in found.states}
        plan = {**states, **found.controls}
        return {**plan, "objective": _value(self, known, plan)}

    def _informed(self, known: Fields) -> Objective:
        """The objective of generated fields that sees what is known as well."""
        return lambda fields: self.objective({**known, **fields})

    def _draw(self, rows: int, dtype: DTypeLike) -> Float[Array, "batch *grid channel"]:
        """Coefficients of the size of data."""
        shape = sample_shape(self.model, rows)
        return jax.random.normal(jax.random.key(0), shape, dtype)

    @cached_property
    def _parts(self) -> tuple[Any, ...]:
        """What is static, comparable: equal parts make equal programs."""
        strength = self.strength if callable(self.strength) else None
        functions = self.objective, strength, self.guidance, self.constraint
        return (*map(by_value, (*functions, self.sampler)), self.steps, self.polish)

    def tree_flatten(self) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
        """Model and number, and the parts that are static."""
        number = None if callable(self.strength) else self.strength
        return (self.model, number), self._parts

    @classmethod
    def tree_unflatten(cls, parts: tuple[Any, ...], leaves: tuple[Any, ...]) -> Any:
        """Undo `tree_flatten`; what was checked once is not checked again."""
        *functions, steps, polish = parts
        objective, strength, guidance, constraint, sampler = (
            f.value for f in functions
        )
        model, number = leaves
        planner = object.__new__(cls)
        vars(planner).update(
            model=model,
            objective=objective,
            strength=number if strength is None else strength,
            guidance=guidance,
            constraint=constraint,
            sampler=sampler,
            steps=steps,
            polish=polish,
            _parts=parts,
        )
        return planner


_plan = jax.jit(Planner.drawn)
_synthesised = jax.jit(lambda layout, z: layout.synthesis(z), static_argnums=0)
_value = jax.jit(lambda planner, known, plan: planner.objective({**known, **plan}))


def _require_finite(plan: Fields) -> None:
    for name, values in plan.items():
        if (bad := not_finite(np.asarray(values))).any():
            raise ValueError(
                f"Plans must be finite, but {name} has NaN or Inf in {bad.sum()} "
                f"of {len(bad)} rows. Lower the strength: no step may overshoot the "
                "minimum of the objective further than it was away."
            )
