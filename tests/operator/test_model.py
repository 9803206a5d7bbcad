"""The operator: layouts around a denoiser, its schedule and its loss."""

import dataclasses
import pickle
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from oracles import (
    Gated,
    Oracle,
    Uncertain,
    make_fields,
    make_gated_fields,
    make_layouts,
    make_operator,
    oracle,
    with_beside,
)
from tiny import make_tiny

import wdno
from wdno import WDNO, Domain, Field, training_loss
from wdno.diffusion import samplers
from wdno.diffusion.noise import point
from wdno.diffusion.schedules import KarrasSchedule
from wdno.operator import tasks
from wdno.operator.generation import denoiser, finish, prepare, sample_shape
from wdno.operator.interpolation import repeated
from wdno.operator.model import with_backbone
from wdno.wavelets.field import Role

SAMPLERS = [samplers.ddim(), samplers.ddim(1.0), samplers.heun(), samplers.dpmpp_2m()]
KEY = jax.random.key(0)
SCHEDULE = KarrasSchedule(0.1, 1.0)
DENOISER = make_operator().denoiser
generate = jax.jit(wdno.generate, static_argnames=("sampler", "guidance"))


@oracle
class Biased(Oracle):
    """The exact denoiser, wrong by a constant per channel."""

    bias = np.array([0.3, -0.2, 0.1, 0.4])

    def __call__(self, x, sigma, cond):
        bias = jnp.asarray(self.bias)[*(None,) * (x.ndim - 1)]
        return super().__call__(x, sigma, cond) + bias


@oracle
class Shifted(Gated):
    """The exact denoiser of `pass_gate`, wrong by one amount for each channel."""

    bias: np.ndarray | float = 0.0

    def __call__(self, x, sigma, cond):
        bias = jnp.asarray(self.bias)[*(None,) * (x.ndim - 1)]
        return super().__call__(x, sigma, cond) + bias


@oracle
class Sharper(Oracle):
    """Residuals by curvatures alone: an eighth of the second difference, halfway."""

    def __call__(self, x, sigma, cond):
        in_space = repeated(cond[..., -1])
        residual = (-in_space / 8).at[..., ::2].set(0)
        return self.targets.analysis({"u": residual})


@pytest.mark.parametrize(
    ("sampler", "wavelet"),
    [*zip(SAMPLERS, ["haar"] * 4, strict=True), (SAMPLERS[0], "bior2.4")],
    ids=["ddim", "ancestral", "heun", "multistep", "biorthogonal"],
)
def test_exact_denoiser_generates_the_exact_states(sampler, wavelet):
    model, fields = make_operator(wavelet=wavelet), make_fields()
    known = {"u0": fields["u0"], "f": fields["f"]}
    found = generate(model, known, sampler, model.schedule(3), KEY)
    assert found.keys() == {"u"}
    np.testing.assert_allclose(found["u"], fields["u"], atol=1e-10)


def test_samples_follow_the_key_alone():
    model, known = make_operator(Uncertain), make_fields()
    sigmas = model.schedule(3)

    def draw(key):
        return np.asarray(generate(model, known, SAMPLERS[1], sigmas, key)["u"])

    np.testing.assert_array_equal(draw(KEY), draw(KEY))
    assert np.abs(draw(KEY) - draw(jax.random.key(1))).min() > 0


def test_with_a_key_per_row_rows_are_separate_requests():
    model, known = make_operator(Uncertain), make_fields()
    keys = jax.random.split(KEY, 3)
    together = generate(model, known, SAMPLERS[1], model.schedule(3), keys)["u"]
    for row in range(3):
        one = {name: values[row : row + 1] for name, values in known.items()}
        key = keys[row : row + 1]
        alone = generate(model, one, SAMPLERS[1], model.schedule(3), key)["u"]
        np.testing.assert_allclose(alone[0], together[row], rtol=1e-12)


def test_guidance_replaces_the_denoiser():
    def silence(denoise):
        return lambda x, sigma: 0 * denoise(x, sigma)

    model = make_operator()
    found = generate(
        model, make_fields(), SAMPLERS[0], model.schedule(2), KEY, guidance=silence
    )
    np.testing.assert_array_equal(found["u"], 0)


def test_single_precision_stays_single_precision():
    model = make_operator()
    known = {name: jnp.float32(values) for name, values in make_fields().items()}
    found = generate(model, known, SAMPLERS[0], model.schedule(2), KEY)["u"]
    assert found.dtype == jnp.float32
    np.testing.assert_allclose(found, known["u"], atol=1e-5)


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


def test_states_and_shares_are_generated_given_a_gate():
    model = make_operator(Gated, task=with_beside(tasks.simulation))
    fields = make_gated_fields()
    known = {name: fields[name] for name in ("u0", "f", "gate")}
    found = generate(model, known, SAMPLERS[0], model.schedule(3), KEY)
    assert found.keys() == {"u", "share"}
    for name, values in found.items():
        np.testing.assert_allclose(values, fields[name], atol=1e-10)


def test_schedules_span_the_noise_levels_of_the_model():
    model = make_operator()
    np.testing.assert_array_equal(model.schedule(1), [10.0, 0.0])
    levels = np.asarray(model.schedule(7))
    assert len(levels) == 8
    np.testing.assert_allclose(levels[[0, -2, -1]], [10.0, 0.01, 0.0], rtol=1e-12)
    assert (np.diff(levels) < 0).all()


def loss_of(model, fields, sigma):
    """The training loss at one noise level."""
    return training_loss(model, point(sigma))(model.denoiser.backbone, fields, KEY)


def test_the_loss_of_the_exact_denoiser_is_zero():
    assert loss_of(make_operator(), make_fields(), 2.0) < 1e-20


@pytest.mark.parametrize(("sigma", "balance"), [(2.0, 1.25), (0.1, 5.0)])
def test_the_loss_weighs_channels_by_energy_and_bounds_low_noise(sigma, balance):
    model = make_operator(Biased)
    share = np.square(model.targets.scale) / np.mean(np.square(model.targets.scale))
    expected = balance * np.mean(share * Biased.bias**2)
    loss = loss_of(model, make_fields(), sigma)
    np.testing.assert_allclose(loss, expected, rtol=1e-10)


def test_the_loss_is_proportional_to_the_error_in_physical_space():
    """Parseval: Haar is orthogonal, and channels count by their squared scale."""
    model, fields = make_operator(Biased), make_fields()
    found = generate(model, fields, SAMPLERS[0], model.schedule(1), KEY)["u"]
    balance = 1 + 1 / model.schedule.sigma_range[1] ** 2
    loss = loss_of(model, fields, model.schedule.sigma_range[1])
    np.testing.assert_allclose(
        jnp.mean(jnp.square(found - fields["u"])),
        loss / balance * np.mean(np.square(model.targets.scale)),
        rtol=1e-10,
    )


def test_in_the_loss_every_field_counts_alike():
    """Of two fields with the same relative error, each makes half of the loss."""
    model = make_operator(Gated, task=with_beside(tasks.simulation))
    fields = make_gated_fields()
    assert loss_of(model, fields, 2.0) < 1e-20
    square = np.square(model.targets.scale)
    assert square[:4].sum() != square[4:].sum()
    of_each = []
    for name in ("u", "share"):
        mine = [channel.startswith(f"{name}:") for channel in model.targets.channels]
        off = Shifted(model.targets, model.given, bias=np.array(mine) * 0.3)
        of_each.append(loss_of(with_backbone(model, off), fields, 2.0))
    np.testing.assert_allclose(of_each, 1.25 * 0.3**2 / 2, rtol=1e-10)


def test_denoisers_are_given_the_curvatures_of_coarse_states():
    """In units of the scale: with them a refiner is exact for parabolas, off the ends.

    The last channel is the curvature along the last axis.
    """
    model = make_operator(Sharper, grid=(4, 32), task=tasks.refinement)
    u = jnp.broadcast_to(jnp.square(jnp.arange(32.0) - 9), (1, 4, 32))
    known = {"u0": u[:, 0], "f": jnp.zeros(u.shape), "u_coarse": u[:, 1::2, ::2]}
    refined = generate(model, known, SAMPLERS[0], model.schedule(1), KEY)["u"]
    inside = (slice(None), slice(1, None), slice(4, -4))
    np.testing.assert_allclose(refined[inside], u[inside], rtol=1e-6, atol=1e-9)


# Pieces


def test_the_three_steps_of_a_window_are_generate():
    """Guided and with residuals, where there is most to do."""
    model, known = make_operator(Uncertain, task=tasks.refinement), make_fields()
    known["u_coarse"] = known["u"][:, 1::2, ::2]

    @jax.jit
    def by_hand(known):
        context = prepare(model, known)
        denoise = denoiser(model, context, doubled)
        shape = sample_shape(model, 3)
        z = samplers.sample(SAMPLERS[1], denoise, shape, model.schedule(3), KEY)
        return finish(model, context, z)

    def doubled(denoise):
        return lambda x, sigma: 2 * denoise(x, sigma)

    expected = generate(model, known, SAMPLERS[1], model.schedule(3), KEY, doubled)
    found = by_hand(known)
    assert found.keys() == expected.keys() == {"u"}
    np.testing.assert_allclose(found["u"], expected["u"], rtol=1e-12)


# A model is a value


def window(model, known):
    """What `wdno.generate` draws, with the same noise in every row."""
    keys = jnp.stack([KEY] * len(known["u0"]))
    first = {**known, "f": known["f"][:, :4]}
    return wdno.generate(model, first, SAMPLERS[0], model.schedule(2), keys)["u"]


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
        (jax.jit, window),
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
