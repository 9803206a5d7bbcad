"""Control: sample a trajectory with its controls, guided by an objective."""

from collections.abc import Mapping

import numpy as np
import xarray as xr
from jaxtyping import PRNGKeyArray

from wdno._typing import Constraint, Guidance, Objective
from wdno.diffusion.guidance import Strength
from wdno.diffusion.samplers import Sampler
from wdno.inference.batching import Labelled, attributes, in_batches
from wdno.inference.simulate import simulate
from wdno.operator.model import WDNO
from wdno.planning.adjoint import System
from wdno.planning.inputs import grid_from, read_states, with_members
from wdno.planning.planner import Planner, make_planner
from wdno.trajectory import static_fields, to_batch, to_dataset


def control(
    model: WDNO,
    initial: Labelled,
    objective: Objective,
    *,
    target: Labelled | None = None,
    strength: float | Strength,
    frames: int | None = None,
    samples: int | None = None,
    sampler: Sampler | None = None,
    steps: int = 50,
    guidance: Guidance | None = None,
    constraint: Constraint | None = None,
    polish: int = 0,
    system: System | None = None,
    wait: int = 0,
    simulator: WDNO | None = None,
    batch_size: int = 256,
    key: PRNGKeyArray,
) -> xr.Dataset:
    """Plan controls that make an objective small, with the states they should cause.

    States and controls are sampled together from ``p(u, f | u0) exp(-J(u, f))``, more
    or less: at every noise level the estimate of the clean coefficients descends the
    objective,

    ``x0 <- x0 - sigma lambda grad_x0 J(synthesis(x0))``,

    which is the guidance of WDNO (arXiv 2412.04833, section 3.1) on the estimate
    instead of the noise; see `wdno.diffusion.guidance.guide` for strengths that make it exact.
    Coefficients have unit variance, so a gradient of order one moves a field by about
    ``sigma lambda`` of its standard deviations. A plan is as good as the model: judge
    it by the solver, or polish it through the solver (`wdno.planning.adjoint.descend`).

    Args:
        model: a model of the control task: generates states and controls given initial
            states, and final states if it has them.
        initial: initial states on (sample, *space); an array if there is one state.
        objective: one number a row, small is good, from physical fields, batch first:
            states "u" at t_1 … t_M, controls "f" from t_0 … t_(M-1), the initial states
            "u0", and "uT" if there is a `target`. Rows of these belong together
            whatever the batch; arrays of other origin must serve every row.
        target: final states wished for, named like the states (or what else the model
            is given the end of, such as a share of smoke). They reach the objective as
            "uT", and the model if it is given them.
        strength: ``lambda``, or ``w(sigma)`` in place of ``sigma lambda``.
        frames: horizon of the plan; the window of the model by default.
        samples: plans for each initial state; adds the dimension "member". See
            `best_plan`.
        sampler: ancestral sampling, ``ddim(1.0)``, by default.
        steps: denoiser calls.
        guidance: applied after the objective, such as ``clip(3.0)``.
        constraint: what the plan must satisfy, such as ``bounds("f", -1.0, 1.0)`` of
            `wdno.planning.constraints`; every estimate is projected, and the plan at the end.
            The closing row of zero control, which does not act, is exempt.
        polish: L-BFGS steps on each plan through the solver of `system`. The states
            are then the solver's, and a constraint can be one of the controls only.
        system: what is controlled, on the grid of the model, e.g. `Burgers()`; needed
            to polish.
        wait: frames before the plan in which nothing acts. A system that forgets gains
            nothing from earlier controls, and short plans are the more accurate ones.
            The objective sees the planned frames alone.
        simulator: a model of the simulation task, which foresees the state at the end
            of the wait.
        batch_size: plans sampled at once; bounds the memory and changes nothing else.
        key: one key; plan n uses ``fold_in(key, n)``.

    Returns:
        States and controls on (sample[, member], time, *space), with the initial state
        at the first instant and a closing row of zero control, and the "objective" of
        these on (sample[, member]): for states of the model, what it predicts.

    Raises:
        ValueError: before any sampling, if the model does not plan, the wavelet cannot
            halve the horizon, an input is missing, not finite or on another grid, the
            objective is not one finite, differentiable number a row, the constraint is
            no projection or allows one control only, the solver is missing or not
            differentiable, or there is a wait without a simulator of the same states,
            controls and time step; after it, if a plan is not finite.

    Example:
        >>> reach = lambda s: terminal(s["u"], s["uT"]) + 2e-5 * energy(s["f"])
        >>> plans = wdno.control(model, u0, reach, target=goal, strength=0.1,
        ...                      wait=48, simulator=base, samples=16,
        ...                      key=jax.random.key(0))
        >>> achieved = wdno.systems.run(system, u0, wdno.best_plan(plans).f)
    """
    planner = make_planner(
        model,
        objective,
        frames=frames,
        strength=strength,
        sampler=sampler,
        steps=steps,
        guidance=guidance,
        constraint=constraint,
        polish=polish,
        system=system,
    )
    free = None
    if wait:
        _check_simulator(simulator, planner, wait)
        static = _static(model, initial)
        free = _foreseen(simulator, initial, wait, batch_size, key)
        initial = free[list(model.state)].isel(time=-1).assign_coords(static)
    coords = grid_from(planner.model, planner.model.window, initial)
    known, batch = to_batch(read_states(planner.model, initial, target), coords)
    known, batch = with_members(known, batch, samples)
    few = {name: f[: max(batch_size, 1)] for name, f in known.items()}
    planner.try_out(few)
    planner.try_out_solver(few)
    plan = in_batches(planner, known, batch_size, key)
    attrs = attributes(initial, model.state)
    beside = {q.name: q.dims for q in model.targets.fields if q.name in plan}
    beside = {name: beside[name] for name in model.auxiliary if name in beside}
    labelled = to_dataset(
        {**known, **plan}, coords, model.state, model.planned, attrs, batch, beside
    )
    if free is not None:
        labelled = _after(free, labelled, model.planned)
    labelled = labelled.assign_coords(_static(model, initial))
    return labelled.assign(objective=_labelled(plan["objective"], batch, polish))


def best_plan(plans: xr.Dataset) -> xr.Dataset:
    """The plan of each sample whose "objective" is smallest: best of M.

    Unless the plans were polished it is the model that ranks, by the states that it
    predicts itself.

    Args:
        plans: what `control` returns with `samples`.

    Returns:
        `plans` without the dimension "member".

    Raises:
        ValueError: there is no dimension "member" or no variable "objective".
    """
    if "member" not in plans.dims or "objective" not in plans:
        raise ValueError(
            "The best plan is the 'member' of smallest 'objective', but there are the "
            f"dimensions {sorted(map(str, plans.dims))} and variables "
            f"{sorted(map(str, plans.data_vars))}. Plan with samples=…"
        )
    return plans.isel(member=plans["objective"].argmin("member"))


def _check_simulator(simulator: WDNO | None, planner: Planner, wait: int) -> None:
    wanted = _kind(planner.model, planner.model.planned)
    came = None if simulator is None else _kind(simulator, simulator.control)
    if wait < 0 or came != wanted:
        raise ValueError(
            f"A wait of so many frames takes a simulation model of {wanted}, but got "
            f"wait={wait} and as simulator {came}. Pass one, or do not wait."
        )


def _kind(model: WDNO, controls: tuple[str, ...]) -> str:
    """Fields and spacings of a model, as one compares and prints them."""
    spacings = ", ".join(f"{step:.6g}" for step in model.domain.spacing)
    return f"{[*model.state, *controls]} with spacings {spacings}"


def _foreseen(
    simulator: WDNO,
    initial: Labelled,
    frames: int,
    batch_size: int,
    key: PRNGKeyArray,
) -> xr.Dataset:
    """What a model says of the next frames if nothing acts."""
    coords = grid_from(simulator, frames, initial)
    nothing = np.zeros([len(points) for points in coords.values()], np.float32)
    calm = {name: (tuple(coords), nothing) for name in simulator.control}
    return simulate(
        simulator, initial, xr.Dataset(calm, coords), batch_size=batch_size, key=key
    )


def _static(model: WDNO, initial: Labelled) -> dict[str, xr.Variable]:
    """What the model is given that never changes, checked."""
    space = {d: x for d, x in grid_from(model, 1, initial).items() if d != "time"}
    found = static_fields(initial, model.static, space)
    return {name: array.variable for name, array in found.items()}


def _after(free: xr.Dataset, plan: xr.Dataset, controls: tuple[str, ...]) -> xr.Dataset:
    """The free record and then the plan; what only the plan has is NaN before.

    At the instant that both have a control is the plan's, and all else the record's.
    """
    bare = free.reset_coords(drop=True)
    nothing = xr.full_like(bare["time"], np.nan, dtype=float)
    joined = {}
    for name, planned in plan.data_vars.items():
        earlier = bare.get(name, nothing).broadcast_like(planned, exclude=["time"])
        earlier, later = earlier.transpose(*planned.dims), planned
        if name in controls:
            earlier = earlier.isel(time=slice(-1))
        else:
            later = later.isel(time=slice(1, None))
        joined[name] = xr.concat([earlier, later], "time").assign_attrs(planned.attrs)
    return xr.Dataset(joined)


def _labelled(
    values: np.ndarray, batch: Mapping[str, int], polish: int
) -> tuple[tuple[str, ...], np.ndarray, dict[str, str]]:
    whose = "the solver" if polish else "the model"
    attrs = {"long_name": f"objective, with the states of {whose}"}
    return tuple(batch), values.reshape(*batch.values()), attrs
