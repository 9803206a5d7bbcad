"""Closed-loop control: plan, act, observe, and plan again."""

from functools import partial
from math import inf

import jax.numpy as jnp
import numpy as np
import xarray as xr
from jaxtyping import PRNGKeyArray

from wdno._typing import Constraint, Fields, Guidance, Objective
from wdno.diffusion.guidance import Strength
from wdno.diffusion.samplers import Sampler
from wdno.inference.batching import Labelled, attributes, in_batches
from wdno.operator.model import WDNO
from wdno.planning.adjoint import System
from wdno.planning.feedback import ControlInterval, run
from wdno.planning.inputs import (
    check_same_grid,
    grid_from,
    on_horizon,
    read_states,
    with_members,
)
from wdno.planning.planner import Planner, make_planner
from wdno.trajectory import over_intervals, to_batch, to_dataset


def control_loop(
    model: WDNO,
    system: System,
    initial: Labelled,
    objective: Objective,
    *,
    every: int,
    target: Labelled | None = None,
    disturbance: Labelled | None = None,
    observation_noise: float = 0.0,
    strength: float | Strength,
    frames: int | None = None,
    horizon: int | None = None,
    samples: int | None = None,
    sampler: Sampler | None = None,
    steps: int = 50,
    guidance: Guidance | None = None,
    constraint: Constraint | None = None,
    polish: int = 0,
    batch_size: int = 256,
    key: PRNGKeyArray,
) -> xr.Dataset:
    """Control a system with a shrinking horizon, by a new plan every few frames.

    At frame 0, `every`, 2 `every`, … the state of the system is observed, a plan for
    all remaining frames is made as `control` makes it, and its first `every` frames act
    on the system:

    ``u(t_(k+1)) = solve(u(t_k), f_k + d_k)``,  ``f_k = plan(u(t_k) + noise)``.

    A plan sees the objective of the remaining frames only. For a cost at the end plus
    an energy that is the whole objective up to the energy spent already, a constant:
    with an exact model, an exact planner, no disturbance and no noise new plans are the
    tails of the first one (Bellman's principle of optimality), and feedback changes
    nothing. ``every=frames`` is open loop, one plan and then the solver: the
    comparison.

    Each horizon has shapes of its own and is compiled once.

    Args:
        model: a model of the control task, see `control`.
        system: what is controlled in truth, such as `Burgers()`, on the model's grid.
        initial: true initial states on (sample, *space).
        objective: one number a row, small is good, see `control`; it meets records of
            every horizon, and as "u0" the observed state.
        every: frames between observations; divides `frames`.
        target: states wished for at the end of the record.
        disturbance: what acts on the system beside the controls and is unknown to the
            model: named and laid out like them, (sample, time, *space).
        observation_noise: standard deviation of white Gaussian noise on every observed
            state, in units of the states.
        strength: as in `control`.
        frames: length of the record; the window of the model by default.
        horizon: frames before the end at which planning begins; until then nothing
            acts. A system that forgets gains nothing from earlier controls, and short
            plans are the more accurate ones. The whole record by default.
        samples: plans made each time, of which the best by the planner's own judgement
            acts (`best_plan`).
        sampler: as in `control`.
        steps: denoiser calls for each plan.
        guidance: as in `control`.
        constraint: what the controls must satisfy. A disturbance is not bound by it.
        polish: L-BFGS steps on each plan through the solver, without the disturbance.
        batch_size: plans made at once; bounds the memory and changes nothing else.
        key: one key; plans and noise of row n do not depend on the other rows.

    Returns:
        States achieved and controls applied, without the disturbance, over the whole
        record on (sample, time, *space), as `control` returns them.

    Raises:
        ValueError: before any sampling, if `every` does not divide the record, the
            wavelet cannot halve one of the horizons, the system or the disturbance is
            on another grid, the noise is negative, or for what `control` refuses;
            later, if a plan or the solution is not finite.

    Example:
        >>> gust = 0.3 * xr.ones_like(truth.f)
        >>> loop = partial(wdno.control_loop, model, Burgers(), u0, reach, target=goal,
        ...                disturbance=gust, strength=0.1, key=key)
        >>> feedback, blind = loop(every=8), loop(every=80)
    """
    _check_noise(observation_noise)
    frames = model.window if frames is None else frames
    plan_over = partial(
        make_planner,
        model,
        objective,
        strength=strength,
        sampler=sampler,
        steps=steps,
        guidance=guidance,
        constraint=constraint,
        polish=polish,
        system=system,
    )
    horizon = frames if horizon is None else horizon
    horizons = _planned_horizons(model, frames, horizon, every)
    planners = [plan_over(frames=n) for n in horizons]
    names, coords = planners[0].model.planned, grid_from(model, frames, initial)
    check_same_grid(system.over(frames), coords)
    arrays = read_states(planners[0].model, initial, target)
    if disturbance is not None:
        arrays |= over_intervals(disturbance, names, coords)
    known, batch = to_batch(arrays, coords)
    unknown = {name: known.pop(name) for name in names if name in known}
    few = {name: f[: max(batch_size, 1)] for name, f in known.items()}
    for planner in planners:
        planner.try_out(few)
    planners[0].try_out_solver(few)

    best = partial(_best, samples=samples, batch_size=batch_size)
    intervals = [ControlInterval(every, partial(best, planner)) for planner in planners]
    if frames > horizon:
        calm = partial(_nothing, model, names, frames - horizon)
        intervals.insert(0, ControlInterval(frames - horizon, calm))
    record = run(intervals, system, model.state, known, unknown, observation_noise, key)
    attrs = attributes(initial, model.state)
    achieved = to_dataset({**known, **record}, coords, model.state, names, attrs, batch)
    return achieved.assign_coords({n: initial[n].variable for n in model.static})


def _nothing(
    model: WDNO, names: tuple[str, ...], frames: int, known: Fields, key: PRNGKeyArray
) -> Fields:
    """No control."""
    like = known[f"{model.state[0]}0"]
    shape = (len(like), frames, *model.targets.grid[1:])
    return {name: jnp.zeros(shape, like.dtype) for name in names}


def _check_noise(deviation: float) -> None:
    if not 0 <= deviation < inf:
        raise ValueError(
            "The noise of an observation has a standard deviation that is finite and "
            f"not negative, but got observation_noise={deviation}. Pass 0 for exact "
            "observations."
        )


def _planned_horizons(model: WDNO, frames: int, horizon: int, every: int) -> range:
    """Frames that remain at each observation: M, M - every, …, every."""
    if every < 1 or not 1 <= horizon <= frames or horizon % every:
        raise ValueError(
            "The frames between observations divide the horizon, and that is no longer "
            f"than the record, but got every={every}, horizon={horizon} and "
            f"frames={frames}. Choose a divisor."
        )
    horizons = range(horizon, 0, -every)
    for remaining in horizons:
        try:
            on_horizon(model, remaining)
        except ValueError as error:
            raise ValueError(
                f"Plans are made for {list(horizons)} remaining frames, all of which "
                f"the wavelet must be able to halve, but {remaining} it cannot: {error}"
                f" Choose `every` and `horizon` divisible by {2**model.targets.levels}."
            ) from error
    return horizons


def _best(
    planner: Planner,
    known: Fields,
    key: PRNGKeyArray,
    *,
    samples: int | None,
    batch_size: int,
) -> Fields:
    """Controls of each row's plan, the one of smallest objective if there are more."""
    repeated, _ = with_members(known, {}, samples)
    plans = in_batches(planner, repeated, batch_size, key)
    values = plans["objective"].reshape(-1, samples or 1)
    best = np.arange(len(values)) * values.shape[1] + values.argmin(axis=1)
    return {name: jnp.asarray(plans[name][best]) for name in planner.model.planned}
