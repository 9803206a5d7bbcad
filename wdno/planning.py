"""Control: sample a trajectory with its controls, guided by an objective."""

import operator
from functools import partial

import jax
import numpy as np
import xarray as xr
from flax import nnx
from jax.tree_util import Partial
from jaxtyping import Array, Float, PRNGKeyArray

from wdno._typing import Fields, Guidance, Objective
from wdno.guidance import Strength, check_objective, compose, guide
from wdno.layout import WaveletLayout
from wdno.operator import WDNO, generate
from wdno.samplers import RowKeys, Sampler, ddim
from wdno.trajectory import at_instant, to_batch, to_dataset
from wdno.verbs import Labelled, attributes, in_batches


def control(
    model: WDNO,
    initial: Labelled,
    objective: Objective,
    *,
    target: Labelled | None = None,
    strength: float | Strength,
    sampler: Sampler | None = None,
    steps: int = 50,
    guidance: Guidance | None = None,
    batch_size: int = 256,
    key: PRNGKeyArray,
) -> xr.Dataset:
    """Plan controls that make an objective small, with the states they should cause.

    States and controls are sampled together from ``p(u, f | u0) exp(-J(u, f))``, more
    or less: at every noise level the estimate of the clean coefficients descends the
    objective,

    ``x0 <- x0 - sigma lambda grad_x0 J(synthesis(x0))``,

    which is the guidance of WDNO (arXiv 2412.04833, section 3.1) on the estimate
    instead of the noise; see `wdno.guidance.guide` for strengths that make it exact.
    Coefficients have unit variance, so a gradient of order one moves a field by about
    ``sigma lambda`` of its standard deviations. A plan is as good as the model: judge
    it by the solver.

    Args:
        model: a model of the control task: generates states and controls given initial
            states, and final states if it has them.
        initial: initial states on (sample, *space); an array if there is one state.
        objective: one number a row, small is good, from physical fields, batch first:
            states "u" at t_1 … t_M, controls "f" from t_0 … t_(M-1), the initial states
            "u0", and "uT" if there is a `target`. Rows of these belong together
            whatever the batch, which arrays of other origin do for up to `batch_size`
            rows only.
        target: final states wished for, named like the states. They reach the objective
            as "uT", and the model if it is given them.
        strength: ``lambda``, or ``w(sigma)`` in place of ``sigma lambda``.
        sampler: ancestral sampling, ``ddim(1.0)``, by default.
        steps: denoiser calls.
        guidance: applied after the objective, such as ``clip(3.0)``.
        batch_size: plans computed at once; bounds the memory and changes nothing else.
        key: one key; plan n uses ``fold_in(key, n)``.

    Returns:
        States and controls on (sample, time, *space) over one window of the model, with
        the initial state at the first instant and a closing row of zero control.

    Raises:
        ValueError: before any sampling, if the model does not plan, an input is
            missing, not finite or on another grid, or the objective is not one finite,
            differentiable number a row; after it, if a plan is not finite.

    Example:
        >>> reach = lambda s: terminal(s["u"], s["uT"]) + 2e-5 * energy(s["f"])
        >>> plan = wdno.control(model, u0, reach, target=goal, strength=0.1,
        ...                     key=jax.random.key(0))
        >>> achieved = wdno.systems.run(system, u0, plan.f)
    """
    controls = _planned(model)
    coords = _coords(model, initial)
    fields, batch = _inputs(model, initial, target, coords)
    few = {name: f[: max(batch_size, 1)] for name, f in fields.items()}
    _try_out(objective, model.targets, few)
    run = partial(
        _finite_plan,
        model,
        objective=objective,
        strength=_as_function(strength),
        sampler=ddim(1.0) if sampler is None else sampler,
        sigmas=model.schedule(steps),
        guidance=guidance,
    )
    plan = in_batches(run, fields, batch_size, key)
    attrs = attributes(initial, model.state)
    return to_dataset({**fields, **plan}, coords, model.state, controls, attrs, batch)


@partial(nnx.jit, static_argnames=("objective", "sampler", "guidance"))
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
) -> Fields:
    """`generate` under guidance that is built here, where `known` is no constant."""
    wish = guide(_informed(objective, known), model.targets, strength)
    wishes = compose(wish) if guidance is None else compose(wish, guidance)
    return generate(model, known, sampler, sigmas, keys, wishes)


def _finite_plan(model: WDNO, known: Fields, keys: RowKeys, **how) -> Fields:
    plan = _plan(model, known, keys, **how)
    for name, values in plan.items():
        good = np.isfinite(np.asarray(values)).reshape(len(keys), -1).all(axis=1)
        if not good.all():
            raise ValueError(
                f"Plans must be finite, but {name} has NaN or Inf in {(~good).sum()} "
                f"of {len(good)} rows. Lower the strength: no step may overshoot the "
                "minimum of the objective further than it was away."
            )
    return plan


def _as_function(strength: float | Strength) -> Partial:
    """A pytree, so that another number compiles nothing anew."""
    if callable(strength):
        return Partial(strength)
    return Partial(operator.mul, float(strength))


def _informed(objective: Objective, known: Fields) -> Objective:
    """The objective of generated fields that sees what is known as well."""
    return lambda fields: objective({**known, **fields})


def _planned(model: WDNO) -> tuple[str, ...]:
    """Names of the controls that the model generates."""
    given = {quantity.name for quantity in model.given.fields}
    generated = [quantity.name for quantity in model.targets.fields]
    understood = {f"{name}{end}" for name in model.state for end in "0T"}
    controls = tuple(name for name in generated if name not in model.state)
    if not model.state or not controls or not given <= understood:
        raise ValueError(
            "Planning takes a model of the control task, which generates states and "
            "controls given initial (and final) states, but this one generates "
            f"{generated} given {sorted(given)}. Load a planner."
        )
    return controls


def _coords(model: WDNO, initial: Labelled) -> dict[str, np.ndarray]:
    """Coordinates of a window that begins at the time of the initial state."""
    coords = model.domain.coords(model.targets.dims, model.targets.grid)
    if "time" in initial.coords and "time" not in initial.dims:
        elapsed = coords["time"] - coords["time"][0]
        coords["time"] = elapsed + float(initial["time"])
    return coords


def _inputs(
    model: WDNO,
    initial: Labelled,
    target: Labelled | None,
    coords: dict[str, np.ndarray],
) -> tuple[Fields, dict[str, int]]:
    """Initial and final states as one batch."""
    space = {dim: coords[dim] for dim in model.targets.dims[1:]}
    states = at_instant(initial, model.state, space)
    arrays = {f"{name}0": u for name, u in states.items()}
    given = [quantity.name for quantity in model.given.fields]
    required = tuple(name for name in model.state if f"{name}T" in given)
    if target is not None:
        goals = at_instant(target, required or model.state, space)
        arrays |= {f"{name}T": u for name, u in goals.items()}
    elif required:
        raise ValueError(
            f"This model is given the final states of {list(required)}, but `target` "
            "is missing. Give it, on (sample, *space)."
        )
    return to_batch(arrays, coords)


def _try_out(objective: Objective, layout: WaveletLayout, few: Fields) -> None:
    """Raise ValueError where `guide` could not work with the objective."""
    like = next(iter(few.values()))
    shape = (len(like), *layout.coefficient_grid, len(layout.channels))
    z = jax.random.normal(jax.random.key(0), shape, like.dtype)
    check_objective(_informed(objective, few), layout, z)
