"""Closed-loop control: plan, act, observe, and plan again."""

from collections.abc import Mapping
from functools import partial
from math import inf

import jax.numpy as jnp
import numpy as np
import xarray as xr
from jax.core import eval_context
from jaxtyping import Array, Bool, PRNGKeyArray

from wdno._arguments import is_whole
from wdno._typing import Fields
from wdno.diffusion.keys import RowKeys
from wdno.inference.batching import (
    Labelled,
    attributes,
    batch_keys,
    check_call,
    in_batches,
    record_from,
    with_members,
)
from wdno.operator.generation import Start
from wdno.planning.adjoint import System
from wdno.planning.control import check_planner
from wdno.planning.feedback import (
    ControlInterval,
    Depth,
    Estimator,
    Names,
    Replanning,
    Trigger,
    run,
)
from wdno.planning.inputs import check_same_grid, read_states
from wdno.planning.planner import Planner
from wdno.trajectory import as_came, over_intervals, to_batch, to_dataset


# Labelled data are never traced: within a transform they are computed with at once.
@eval_context()
def control_loop(
    planner: Planner,
    system: System,
    initial: Labelled,
    *,
    every: int,
    target: Labelled | None = None,
    disturbance: Labelled | None = None,
    observation_noise: float = 0.0,
    trigger: Trigger | None = None,
    depth: Depth | None = None,
    estimate: Estimator | None = None,
    members: int | None = None,
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
    nothing. With ``every`` as long as the record it is open loop, one plan and then the
    solver: the comparison.

    With a trigger (`wdno.accelerate.event_trigger`) each row decides at each
    observation but the first whether the running plan goes on, by what was observed and
    what that plan had predicted; rows that go on are counted as not planned, but are
    computed along with those of the batch that are.

    The horizon of the planner is the record; each shorter one has shapes of its own and
    is compiled once. To let the system run free before, solve it without controls and
    begin the loop where it ends, see the example.

    Args:
        planner: makes the plans, for the whole record (`Planner.over`). It meets
            records of every horizon, and as "u0" the observed state.
        system: what is controlled in truth, such as `Burgers()`, on the model's grid.
        initial: true initial states on (sample, *space).
        every: frames between observations; divides the horizon.
        target: states wished for at the end of the record.
        disturbance: what acts on the system beside the controls and is unknown to the
            model: named and laid out like them, (sample, time, *space).
        observation_noise: standard deviation of white Gaussian noise on every observed
            state, in units of the states.
        trigger: decides about new plans; without one every observation leads to one.
        depth: how far back in noise the rest of the running plan is taken for the new
            one to begin from, by what was observed and predicted; without one new plans
            begin from noise alone.
        estimate: states from observations and predictions (the latter None at first),
            by the names of initial values, for sensors that do not see everything;
            without one observations are believed as they are.
        members: plans made each time, of which the best by the planner's own judgement
            acts (`best_plan`).
        batch_size: plans made at once; bounds the memory and changes nothing else.
        key: one key; plans and noise of row n do not depend on the other rows.

    Returns:
        States achieved and controls applied, without the disturbance, over the whole
        record on (sample, time, *space), as `control` returns them; with a trigger also
        "replanned" on (sample, time), true at instants at which a new plan was made.

    Raises:
        ValueError: before any sampling, if `every` does not divide the record, the
            wavelet cannot halve one of the horizons, the system or the disturbance is
            on another grid, the noise is negative, or for what `control` refuses;
            later, if a plan or the solution is not finite.

    Example:
        >>> calm = wdno.systems.run(system.over(48), u0, 0 * truth.f[:, :49])
        >>> late = calm.isel(time=-1)
        >>> loop = partial(wdno.control_loop, planner.over(32), system, late,
        ...                target=goal, key=key)
        >>> feedback, blind = loop(every=8), loop(every=32)
        >>> record = wdno.trajectory.append(calm, feedback)
    """
    check_planner(planner)
    optional = {"target": target, "disturbance": disturbance}
    check_call(planner.model, key, optional=optional, initial=initial)
    _check_noise(observation_noise)
    model = planner.model
    planners = shrinking_planners(planner, every)
    coords = record_from(model, model.window, initial)
    check_same_grid(system.over(model.window), coords)
    arrays = read_states(model, initial, target)
    if disturbance is not None:
        arrays |= over_intervals(disturbance, model.planned, coords)
    known, batch = to_batch(arrays, coords)
    unknown = {name: known.pop(name) for name in model.planned if name in known}
    few = {name: f[: max(batch_size, 1)] for name, f in known.items()}
    for shorter in planners:
        shorter.try_out(few)

    best = partial(_best, members=members, batch_size=batch_size)
    intervals = [ControlInterval(every, partial(best, shorter)) for shorter in planners]
    names = Names(model.initial, model.planned)
    how = Replanning(trigger, depth, estimate)
    record, new = run(
        intervals, system, names, known, unknown, observation_noise, key, how
    )
    attrs = attributes(initial, model.state)
    achieved = to_dataset(
        {**known, **record}, coords, model.initial, model.planned, attrs, batch
    )
    static = {n: initial[n].variable for n in model.static}
    achieved = as_came(achieved, initial, target, disturbance).assign_coords(static)
    if trigger is not None:
        achieved["replanned"] = _at_observations(new, every, batch, len(coords["time"]))
    return achieved


def _check_noise(deviation: float) -> None:
    if not isinstance(deviation, int | float) or not 0 <= deviation < inf:
        raise ValueError(
            "The noise of an observation has a standard deviation that is finite and "
            f"not negative, but got observation_noise={deviation}. Pass 0 for exact "
            "observations."
        )


def shrinking_planners(planner: Planner, every: int) -> list[Planner]:
    """One for the frames that remain at each observation: M, M - every, …, every.

    Raises:
        ValueError: the observations do not divide the horizon M, or the wavelet cannot
            halve what remains.
    """
    frames, levels = planner.model.window, planner.model.targets.levels
    if not is_whole(every, 1) or frames % every:
        raise ValueError(
            "The frames between observations divide the record, but got "
            f"every={every} for the {frames} frames of this planner. Choose a divisor, "
            "or another record by `planner.over(frames)`."
        )
    planners = []
    for remaining in range(frames, 0, -every):
        try:
            planners.append(planner.over(remaining))
        except ValueError as error:
            raise ValueError(
                f"Plans are made for {frames}, {frames - every}, … remaining frames, "
                "all of which the wavelet must be able to halve, but "
                f"{remaining} it cannot: {error} Choose `every` and the horizon "
                f"divisible by {2**levels}."
            ) from error
    return planners


def _best(
    planner: Planner,
    known: Fields,
    key: PRNGKeyArray,
    start: Start | None,
    *,
    members: int | None,
    batch_size: int,
) -> Fields:
    """Each row's plan, the one of smallest objective if there are more."""
    rows = {"row": len(next(iter(known.values())))}
    keys = batch_keys(key, with_members(rows, members))

    def make(given: tuple[Fields, Start | None], keys: RowKeys) -> Fields:
        known, start = given
        return planner(known, keys, start)

    plans = in_batches(make, (known, start), batch_size, keys)
    values = plans["objective"].reshape(-1, members or 1)
    best = np.arange(len(values)) * values.shape[1] + values.argmin(axis=1)
    generated = [q.name for q in planner.model.targets.fields if q.name in plans]
    return {name: jnp.asarray(plans[name][best]) for name in generated}


def _at_observations(
    new: Bool[Array, "batch interval"],
    every: int,
    batch: Mapping[str, int],
    instants: int,
) -> tuple[tuple[str, ...], np.ndarray]:
    """Which instants had a new plan, as a variable of the record."""
    made = np.zeros((len(new), instants), bool)
    made[:, : instants - 1 : every] = new
    return (*batch, "time"), made.reshape(*batch.values(), instants)
