"""Control: plans for labelled initial states."""

from collections.abc import Mapping

import numpy as np
import xarray as xr
from jax.core import eval_context
from jaxtyping import PRNGKeyArray

from wdno.inference.batching import (
    Labelled,
    attributes,
    batch_keys,
    check_call,
    for_members,
    in_batches,
    on_device,
    record_from,
    with_members,
)
from wdno.operator.model import WDNO
from wdno.planning.inputs import read_states
from wdno.planning.planner import Planner
from wdno.trajectory import as_came, static_fields, to_dataset, to_rows


# Labelled data are never traced: within a transform they are computed with at once.
@eval_context()
def control(
    planner: Planner,
    initial: Labelled,
    *,
    target: Labelled | None = None,
    members: int | None = None,
    batch_size: int = 256,
    key: PRNGKeyArray,
) -> xr.Dataset:
    """Plan controls that make an objective small, with the states they should cause.

    A plan is as good as the model: judge it by the solver, or polish it through the
    solver (`Planner.polish`). A system that forgets gains nothing from early controls,
    and short plans are the more accurate ones: to wait, simulate without controls and
    plan from there, as the example does.

    Args:
        planner: model, objective and how plans are sampled.
        initial: initial states on (sample, *space); an array if there is one state.
        target: final states wished for, named like the states (or what else the model
            is given the end of, such as a share of smoke). They reach the objective as
            "uT", and the model if it is given them.
        members: plans for each initial state; adds the dimension "member". See
            `best_plan`.
        batch_size: plans sampled at once; bounds the memory and changes nothing else.
        key: one key; plan n uses ``fold_in(key, n)``, and its member m
            ``fold_in(fold_in(key, n), m)``.

    Returns:
        States and controls on (sample[, member], time, *space), with the initial state
        at the first instant and a closing row of zero control, and the "objective" of
        these on (sample[, member]): for states of the model, what it predicts.

    Raises:
        ValueError: before any sampling, if an input is missing, not finite or on
            another grid, the objective is not one finite, differentiable number a row,
            the constraint is no projection or allows one control only, or the solver of
            the polish is not differentiable; after it, if a plan is not finite.

    Example:
        >>> reach = wdno.objectives.reach(("u",), ("f",), energy_weight=2e-5)
        >>> planner = wdno.Planner(wdno.load("burgers-control"), reach, strength=0.1)
        >>> calm = wdno.simulate(base, u0, frames=48, key=key)  # nothing acts
        >>> plans = wdno.control(planner, calm.isel(time=-1), target=goal, members=16,
        ...                      key=key)
        >>> plan = wdno.trajectory.append(calm, wdno.best_plan(plans))
        >>> achieved = wdno.systems.run(system, u0, plan.f)
    """
    check_planner(planner)
    check_call(planner.model, key, optional={"target": target}, initial=initial)
    model = planner.model
    coords = record_from(model, model.window, initial)
    known, batch = to_rows(read_states(model, initial, target), coords)
    batch = with_members(batch, members)
    keys = batch_keys(key, batch)
    few = np.arange(len(keys))[: max(batch_size, 1)]
    planner.try_out(on_device(known, few, len(keys)))
    plan = in_batches(planner, known, batch_size, keys)
    attrs = attributes(initial, model.state)
    beside = {q.name: q.dims for q in model.targets.fields if q.name in plan}
    beside = {name: beside[name] for name in model.auxiliary if name in beside}
    repeated = for_members(known, batch)
    labelled = to_dataset(
        {**repeated, **plan}, coords, model.initial, model.planned, attrs, batch, beside
    )
    labelled = as_came(labelled, initial, target).assign_coords(_static(model, initial))
    return labelled.assign(objective=_labelled(plan["objective"], batch, planner))


def best_plan(plans: xr.Dataset) -> xr.Dataset:
    """The plan of each sample whose "objective" is smallest: best of M.

    Unless the plans were polished through a solver it is a model that ranks, by the
    states that it predicts itself.

    Args:
        plans: what `control` returns with `members`.

    Returns:
        `plans` without the dimension "member".

    Raises:
        ValueError: there is no dimension "member" or no variable "objective".
    """
    if "member" not in plans.dims or "objective" not in plans:
        raise ValueError(
            "The best plan is the 'member' of smallest 'objective', but there are the "
            f"dimensions {sorted(map(str, plans.dims))} and variables "
            f"{sorted(map(str, plans.data_vars))}. Plan with members=…"
        )
    return plans.isel(member=plans["objective"].argmin("member"))


def check_planner(planner: object) -> None:
    """Refuse what is no planner, such as a model alone.

    Raises:
        ValueError: it is none.
    """
    if not isinstance(planner, Planner):
        raise ValueError(
            "Controls are planned by a wdno.Planner, a model with an objective, but "
            f"got {planner!r:.80}. Make one, e.g. by wdno.Planner(model, objective)."
        )


def _static(model: WDNO, initial: Labelled) -> dict[str, xr.Variable]:
    """What the model is given that never changes, checked."""
    space = {d: x for d, x in record_from(model, 1, initial).items() if d != "time"}
    found = static_fields(initial, model.static, space)
    return {name: array.variable for name, array in found.items()}


def _labelled(
    values: np.ndarray, batch: Mapping[str, int], planner: Planner
) -> tuple[tuple[str, ...], np.ndarray, dict[str, str]]:
    polish = planner.polish
    whose = "the model" if polish is None else type(polish.system).__name__
    attrs = {"long_name": f"objective, with the states of {whose}"}
    return tuple(batch), values.reshape(*batch.values()), attrs
