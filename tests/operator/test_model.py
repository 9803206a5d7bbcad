"""The operator: layouts around a denoiser, in all an immutable value."""

import dataclasses
import pickle
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from oracles import (
    make_fields,
    make_layouts,
    make_operator,
    with_beside,
)
from tiny import make_tiny

import wdno
from wdno import WDNO, Domain, Field
from wdno.diffusion import samplers
from wdno.diffusion.schedules import KarrasSchedule
from wdno.operator import tasks
from wdno.wavelets.field import Role

KEY = jax.random.key(0)
SCHEDULE = KarrasSchedule(0.1, 1.0)
DENOISER = make_operator().denoiser


def test_layouts_of_different_grids_are_refused():
    (targets, _), (_, given) = make_layouts((4, 8)), make_layouts((4, 16))
    message = r"\(2, 4\) and \(2, 8\).*same grid"
    with pytest.raises(ValueError, match=message):
        WDNO(targets, given, DENOISER, Domain((0.0,), (1.0,)), SCHEDULE)


@pytest.mark.parametrize(
    ("task", "state", "control"),
    [
        (tasks.simulation, ("u",), ("f",)),
        (tasks.refinement, ("u",), ("f",)),
        (tasks.control, ("u",), ()),
    ],
)
def test_what_a_model_generates_and_knows_follows_from_its_task(task, state, control):
    model = make_operator(task=task, grid=(8, 16))
    assert model.state == state
    assert model.control == control
    assert model.window == 8


GIVEN_AT_THE_END = Field("shareT", (), Role.FINAL, of="share")


def wishing(state, control, dims):
    """Control with a gate and a share, of which the last value is given."""
    task = with_beside(tasks.control)(state, control, dims)
    return task._replace(given=(*task.given, GIVEN_AT_THE_END))


@pytest.mark.parametrize(
    ("task", "auxiliary", "final", "static"),
    [
        (tasks.simulation, (), {}, {}),
        (tasks.refinement, (), {}, {}),
        (tasks.control, (), {}, {}),
        (tasks.reaching, (), {"u": "uT"}, {}),
        (with_beside(tasks.simulation), ("share",), {}, {"gate": ("x",)}),
        (with_beside(tasks.refinement), ("share",), {}, {"gate": ("x",)}),
        (with_beside(tasks.reaching), ("share",), {"u": "uT"}, {"gate": ("x",)}),
        (wishing, ("share",), {"share": "shareT"}, {"gate": ("x",)}),
    ],
)
def test_what_comes_beside_states_and_controls_follows_from_the_task(
    task, auxiliary, final, static
):
    model = make_operator(task=task, grid=(8, 16))
    assert model.auxiliary == auxiliary
    assert model.final == final
    assert model.static == static


def test_what_is_static_has_any_axes_but_time():
    axes = {"viscosity": (), "bed": ("y", "x"), "f0": ("x",)}
    constants = tuple(Field(name, own, Role.STATIC) for name, own in axes.items())
    dims, mode = ("time", "y", "x"), ("periodization",) * 3
    task = tasks.simulation(("u",), ("f",), dims)
    targets, given = (
        wdno.WaveletLayout(fields, dims, (4, 4, 4), "haar", mode)
        for fields in (task.targets, task.given + constants)
    )
    domain = Domain((0.0,) * 3, (1.0,) * 3)
    assert WDNO(targets, given, DENOISER, domain, SCHEDULE).static == axes


def test_schedules_span_the_noise_levels_of_the_model():
    model = make_operator()
    np.testing.assert_array_equal(model.schedule(1), [10.0, 0.0])
    levels = np.asarray(model.schedule(7))
    assert len(levels) == 8
    np.testing.assert_allclose(levels[[0, -2, -1]], [10.0, 0.01, 0.0], rtol=1e-12)
    assert (np.diff(levels) < 0).all()


# A model is a value


def window(model, known):
    """What `wdno.generate` draws, with the same noise in every row."""
    keys = jnp.stack([KEY] * len(known["u0"]))
    first = {**known, "f": known["f"][:, :4]}
    return wdno.generate(model, first, samplers.ddim(), model.schedule(2), keys)["u"]


def record(model, known):
    """The same of two windows in a row, by `wdno.rollout`."""
    keys = jnp.stack([KEY] * len(known["u0"]))
    given = {"u0": known["u0"]}, {"f": known["f"]}
    return wdno.rollout(model, *given, steps=2, key=keys)["u"]


def problem():
    fields = make_fields(frames=8)
    return make_tiny(), {"u0": fields["u0"], "f": fields["f"]}


def row_by_row(run):
    def mapped(*inputs):
        *model, known = inputs
        alone = jax.tree.map(lambda f: f[:, None], known)
        return jax.vmap(run, (*(None for _ in model), 0))(*model, alone)[:, 0]

    return mapped


def primal(run):
    def pushed(*inputs):
        return jax.jvp(run, inputs, jax.tree.map(jnp.zeros_like, inputs))[0]

    return pushed


@pytest.mark.parametrize(
    ("transform", "run"),
    [
        pytest.param(jax.jit, window, marks=pytest.mark.slow),
        (jax.jit, record),
        (jax.checkpoint, record),
        (row_by_row, record),
        (primal, record),
    ],
)
def test_every_transform_takes_a_model(transform, run):
    """As an argument and from a closure, and leaves it as it was."""
    model, known = problem()
    expected = np.asarray(run(model, known))
    passed = transform(run)(model, known)
    closed = transform(partial(run, model))(known)
    for found in (passed, closed, run(model, known)):
        np.testing.assert_allclose(found, expected, rtol=1e-9)
    shape = jax.eval_shape(transform(run), model, known)
    assert (shape.shape, shape.dtype) == (expected.shape, expected.dtype)


def test_gradients_of_a_rollout_are_differences():
    """With respect to each parameter, to initial states and controls; two windows."""
    inputs = problem()

    @jax.jit
    def cost(inputs):
        return jnp.sum(jnp.square(record(*inputs)))

    gradient = jax.grad(cost)(inputs)
    assert jax.tree.structure(gradient) == jax.tree.structure(inputs)
    leaves, structure = jax.tree.flatten(inputs)
    draw = np.random.default_rng(0)
    for place, slope in enumerate(jax.tree.leaves(gradient)):
        step = 1e-5 * jnp.asarray(draw.normal(size=slope.shape))
        ahead, behind = (
            cost(structure.unflatten([*leaves[:place], moved, *leaves[place + 1 :]]))
            for moved in (leaves[place] + step, leaves[place] - step)
        )
        np.testing.assert_allclose(jnp.vdot(slope, step), (ahead - behind) / 2, 1e-6)


def test_nothing_is_assigned_to_a_model():
    model = make_tiny()
    for part, name in (
        (model, "schedule"),
        (model.denoiser, "backbone"),
        (model.denoiser.backbone, "parameters"),
        (model.targets, "scale"),
    ):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(part, name, None)


def test_a_model_can_be_pickled_and_is_equal_to_itself_alone():
    """Parameters are not compared, so a key of a dictionary is the object."""
    model, known = problem()
    copy = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(record(copy, known), record(model, known))
    assert {model: 1, copy: 2}[model] == 1
    assert model == model and model != copy and model != make_tiny()
