"""Official refiners: what they are given, whole paths, and the ordinary verb.

No output of the official super-resolution is on record. Recorded are its packed arrays,
its conditions on finer grids and the arguments of its refiner of smoke; what happens
between is written down here from its description, in NumPy.
"""

import dataclasses
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import pywt
import xarray as xr
from flax import nnx

import wdno
from wdno import official
from wdno.diffusion import samplers
from wdno.diffusion.denoiser import Denoiser, freeze
from wdno.diffusion.preconditioning import DiscreteVariancePreserving
from wdno.diffusion.samplers import ddim
from wdno.diffusion.schedules import CosineSchedule
from wdno.networks import Shape
from wdno.official import KINDS, kinds
from wdno.official.array_layout import TiledConditions, TiledTargets
from wdno.official.inpainting import Inpainting, InpaintingConfig
from wdno.official.unet_blocks import UNetConfig
from wdno.official.video_unet import VideoUNetConfig
from wdno.operator import tasks
from wdno.operator.generation import generate, prepare
from wdno.trajectory import to_dataset

KEY = jax.random.key(0)
STATES = ("density", "vx", "vy")


def load(shared, name):
    with np.load(shared / "golden" / f"{name}.npz") as golden:
        return dict(golden)


@pytest.fixture(scope="module")
def burgers(shared):
    return load(shared, "packing1d_bior24")


@pytest.fixture(scope="module")
def smoke(shared):
    return load(shared, "packing2d")


def empty(name):
    """A model of an official kind whose parameters are not there."""
    kind = KINDS[name]
    targets = TiledTargets(kind.tiling, kind.generated)
    given = TiledConditions(kind.tiling, kind.given)
    axes, channels = len(targets.dims), len(targets.channels)
    shape = InpaintingConfig(kind.network), Shape(axes, channels, 2 * channels)
    network = freeze(nnx.eval_shape(lambda: Inpainting(*shape, rngs=nnx.Rngs(0))))
    denoiser = Denoiser(network, DiscreteVariancePreserving(kind.schedule))
    return wdno.WDNO(targets, given, denoiser, kind.domain, kind.schedule)


def last(channels):
    return np.moveaxis(channels, 1, -1)


def assert_golden(came, wanted):
    np.testing.assert_allclose(came, wanted, 0, 1e-6 * abs(wanted).max())


# --- what refiners are given ----------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("burgers-refinement", 35_755_921),
        pytest.param("smoke-refinement", 24_718_162, marks=pytest.mark.slow),
    ],
)
def test_networks_of_refiners_have_the_official_sizes(name, parameters):
    network = empty(name).denoiser.backbone
    assert sum(p.size for p in network.parameters.values()) == parameters


@pytest.mark.shared
@pytest.mark.parametrize(
    "level", [0, *(pytest.param(n, marks=pytest.mark.slow) for n in (1, 2))]
)
def test_a_refiner_of_burgers_is_given_the_arrays_of_its_training(burgers, level):
    """From fields: coarse forces follow from the fine ones."""
    step = slice(None, None, 2**level)
    u, f = (jnp.asarray(burgers[name][:2, step, step]) for name in "uf")
    refiner = empty("burgers-refinement").on((80 >> level, 120 >> level))
    fields = {"u0": u[:, 0], "u": u[:, 1:], "f": f[:, : 80 >> level]}
    known = tasks.with_conditions(fields, refiner.given.fields)
    del known["u"]
    values, mask = np.split(jax.jit(refiner.given.analysis)(known), 2, axis=-1)
    wanted = last(burgers[f"super/level{level}"])
    assert_golden(values[..., 4:], wanted[..., 4:])
    assert not values[..., :4].any()
    rows, columns = burgers["coef/shapes"][level]
    free = np.zeros(wanted.shape[1:-1], bool)
    free[: rows + 1, :columns] = True
    np.testing.assert_array_equal(mask[0, ..., 0] == 0, free)
    assert mask[..., 4:16].all()


@pytest.mark.shared
@pytest.mark.slow
def test_a_refiner_of_burgers_is_given_the_conditions_of_the_official_inference(
    burgers,
):
    base = empty("burgers-simulation")
    refiner = empty("burgers-refinement").on((160, 240))
    u, f = (jnp.asarray(burgers[f"target/{name}"]) for name in "uf")
    coarse = jnp.asarray(last(burgers["inverse_random/x"]))

    @jax.jit
    def condition(known, coarse):
        context = official.handed_on(refiner, known, base, coarse)
        return official.closed_by_zeros(refiner, context).condition

    came = condition({"u0": u[:, 0], "f": f}, coarse)
    values, mask = np.split(np.asarray(came), 2, axis=-1)
    z = values * refiner.targets.tiling.divisor.astype(np.float32)
    assert_golden(z[..., 4:8], last(burgers["target/f_coef_k1"]))
    assert_golden(z[:, :64, :, 16], burgers["target/condition_k1"][:, :64])
    twice = np.asarray(coarse)[:, :41, :60, :8].repeat(2, axis=1).repeat(2, axis=2)
    low = np.pad(twice, [(0, 0), (0, 128 - 82), (0, 128 - 120), (0, 0)])
    assert_golden(values[..., 8:16], low)
    assert mask[..., 8:16].all()


@pytest.mark.slow
@pytest.mark.shared
def test_a_refiner_of_smoke_is_given_the_arrays_of_the_official_inference(smoke):
    """The coefficients of its base model, which were not made of any fields."""
    base = empty("smoke-simulation")
    refiner = empty("smoke-refinement").on((31, 128, 128))
    assert refiner.domain.spacing == (8.0, 1.0, 1.0)  # instants stay
    control = np.zeros((1, 31, 128, 128), np.float32)
    control[0, 5:9, :30] = smoke["sr_call/c1_128_t5_8_rows0_30"]
    density = jnp.asarray(smoke["sr_call/density0_128"])[None]
    known = {"density0": density, "cx": jnp.asarray(control)}
    known["cy"] = jnp.zeros_like(known["cx"])
    coarse = jnp.asarray(last(smoke["packed/x"])[None])
    hand_on = jax.jit(lambda known, z: official.handed_on(refiner, known, base, z))
    context = hand_on(known, coarse)
    came = np.asarray(context.condition[0])
    assert_golden(came[9, ..., 40:80], np.moveaxis(smoke["sr_call/low_t9"], 0, -1))
    wanted = last(smoke["sr_call/control_t0_8_ch0_8_rows0_24"])
    assert_golden(came[:8, :24, :, 24:32], wanted)
    np.testing.assert_array_equal(came[:6, ..., 80], came[:1, ..., 80].repeat(6, 0))
    mixed = official.density_interleaved(refiner, context).condition
    assert_golden(mixed[0, :8, ..., 80], smoke["sr_call/init_t0_8"])
    np.testing.assert_array_equal(np.delete(mixed[0], 80, -1), np.delete(came, 80, -1))


def test_arrays_are_handed_on_between_official_models_only():
    base, dims = empty("burgers-simulation"), ("time", "x")
    fields = (wdno.Field("f", dims),)
    given = wdno.WaveletLayout(fields, dims, (128, 128), "haar", ("periodization",) * 2)
    ours = dataclasses.replace(base, given=given)
    with pytest.raises(ValueError, match="given WaveletLayout. Use `wdno.super_re"):
        official.handed_on(ours, {}, base, jnp.zeros((1, 2, 3)))


# --- whole paths ----------------------------------------------------------------------

TIMESTEPS, STEPS = 8, 4
"""A table of eight steps has no level that would multiply rounding much."""


def make_pair(network, tensors=None, wide=None):
    """A base model and a refiner of Burgers for 41 instants and 60 points."""
    grid = 41, 60, (32, 32)
    tilings = {
        "simulation": kinds.burgers_tiling(*grid),
        "refinement": kinds.burgers_refinement_tiling(*grid),
    }
    return [
        official.import_model(
            dataclasses.replace(
                KINDS[f"burgers-{task}"],
                tiling=tiling,
                network=network,
                schedule=CosineSchedule(TIMESTEPS),
            ),
            weights,
        )
        for (task, tiling), weights in zip(
            tilings.items(), (tensors, wide), strict=True
        )
    ]


@pytest.fixture(scope="module")
def recorded_pair(shared):
    """With the recorded tensors, of which the refiner has those of u and f twice."""
    golden = load(shared, "unet2d")
    tensors = {n[6:]: a for n, a in golden.items() if n.startswith("param/")}
    twice = [*range(8), *range(9)]
    wide = {n: tensors[n][twice] for n in ("final_conv.weight", "final_conv.bias")}
    wide["init_conv.weight"] = tensors["init_conv.weight"][:, twice]
    return make_pair(UNetConfig(8), tensors, tensors | wide)


@pytest.fixture(scope="module")
def flow():
    """Smooth initial state and force on the finer grid, one row."""
    x, t = np.arange(1, 121) / 121, np.arange(80)[:, None] / 80
    u0 = np.sin(np.pi * x) - 0.4 * np.sin(3 * np.pi * x)
    f = np.cos(3 * t) * np.sin(2 * np.pi * x) + t * np.sin(np.pi * x)
    return {"u0": u0[None].astype("f4"), "f": f[None].astype("f4")}


# Compiled without optimisation, which takes a sixth of the time.
evaluated = jax.jit(
    lambda network, *inputs: network(*inputs),
    compiler_options={"xla_backend_optimization_level": "0"},
)


def sampled(model, context, noise):
    """DDIM by the sampler of this package, from the noise that the official one has."""
    backbone = partial(evaluated, model.denoiser.backbone)
    denoise = dataclasses.replace(model.denoiser, backbone=backbone)
    denoise = denoise.given(context.condition)
    sigmas = np.asarray(model.schedule(STEPS), np.float32)
    x, row = noise * np.sqrt(1 + sigmas[0] ** 2), jnp.ones(1, jnp.float32)
    for sigma, after in zip(sigmas, sigmas[1:], strict=False):
        x, _ = ddim().step(denoise, x, sigma * row, after * row, (), None)
    return official.written_over(context, x)


SCALE = np.array([10, 3, 3, 1, 21, 5, 5, 1])
"""Of the subbands of u and f; 10 is that of the ends."""


def dwt2(record):
    """Subbands [aa, da, ad, dd], channels last; an odd record ends twice."""
    even = np.pad(record, [(0, len(record) % 2), (0, 0)], mode="edge")
    low, details = pywt.dwt2(even, "bior2.4", "periodization")
    return np.stack([low, *details], axis=-1)


def idwt2(subbands):
    low, *details = np.moveaxis(subbands, -1, 0)
    return pywt.idwt2((low, tuple(details)), "bior2.4", "periodization")


def closed(force):
    """A force with zeros at the last instant."""
    return np.pad(force, [(0, 1), (0, 0)])


def array(u0, force, padded, low=None):
    """What is written over the noise, and where: u, f, both on the coarser grid, ends.

    `force` are subbands, `low` those of u and f on the coarser grid in units of scale.
    """
    rows, columns, band = len(force), force.shape[1], padded[0] // 4
    values = np.zeros((*padded, 9 if low is None else 17))
    known = np.zeros(values.shape, bool)
    values[:rows, :columns, 4:8] = force / SCALE[4:]
    known[..., 4:8] = True
    if low is not None:
        rows = 2 * len(low)  # one more than the finer grid has, which is free
        values[:rows, :columns, 8:16] = low.repeat(2, axis=0).repeat(2, axis=1)
        known[..., 8:16] = True
    for n, subband in enumerate(pywt.dwt(u0, "bior2.4", "periodization")):
        values[n * band : (n + 1) * band, :columns, -1] = subband / 10
    known[: 2 * band, :, -1] = True
    known[:, columns:] = True
    known[rows:, :, :-1] = True
    return values, known


def transcribed(model, noise, values, known):
    """DDIM with eta = 0 in the alphas of the official code, of one array."""
    nothing = jnp.zeros((1, *noise.shape[1:-1], 2 * noise.shape[-1]), jnp.float32)
    t = np.arange(TIMESTEPS + 1) / TIMESTEPS
    cosine = np.cos((t + 0.008) / 1.008 * np.pi / 2) ** 2
    alphas = np.cumprod(1 - np.clip(1 - cosine[1:] / cosine[:-1], 0, 0.999))
    times = np.linspace(-1, TIMESTEPS - 1, STEPS + 1).astype(int)[::-1]
    z = np.asarray(noise[0], float)
    for step, after in zip(times, times[1:], strict=False):
        z, a = np.where(known, values, z), alphas[step]
        seen = jnp.asarray(z[None], jnp.float32), jnp.full(1, step, jnp.float32)
        estimate = evaluated(model.denoiser.backbone, *seen, nothing)
        estimate = np.asarray(estimate, float)[0]
        x0 = np.clip((z - np.sqrt(1 - a) * estimate) / np.sqrt(a), -1, 1)
        error = (z - np.sqrt(a) * x0) / np.sqrt(1 - a)
        a = alphas[after] if after >= 0 else 1.0
        z = np.sqrt(a) * x0 + np.sqrt(1 - a) * error
    return np.where(known, values, z)


def states(z):
    """u of an array on the finer grid, in its units."""
    return idwt2(z[:41, :60, :4] * SCALE[:4])[:81]


def noise(points, channels, seed=5):
    draw = np.random.default_rng(seed)
    return jnp.asarray(draw.normal(size=(1, points, points, channels)), jnp.float32)


def assert_close(came, wanted, tolerance=1e-3):
    """By the root of the mean square: rounding is multiplied by the first level."""
    error = np.asarray(came) - wanted
    assert np.sqrt(np.mean(error**2)) < tolerance * np.std(wanted)


@pytest.mark.slow
@pytest.mark.shared
def test_the_official_path_from_base_to_refined_arrays(recorded_pair, flow):
    base, refiner = recorded_pair[0], recorded_pair[1].on((80, 120))
    draws = noise(32, 9), noise(64, 17)
    (u0,), (f,) = flow["u0"], flow["f"]
    force = dwt2(closed(f[::2, ::2]))
    low = transcribed(base, draws[0], *array(u0[::2], force, (32, 32)))
    arrays = array(u0, dwt2(closed(f)), (64, 64), low[:21, :30, :8])
    wanted = transcribed(refiner, draws[1], *arrays)

    known = {"u0": flow["u0"][:, ::2], "f": flow["f"][:, ::2, ::2]}
    context = prepare(base, jax.tree.map(jnp.asarray, known))
    z = sampled(base, context, draws[0])
    assert_close(z[0], low)
    known = jax.tree.map(jnp.asarray, flow)
    context = official.handed_on(refiner, known, base, z)
    context = official.closed_by_zeros(refiner, context)
    z = sampled(refiner, context, draws[1])
    assert_close(z[0], wanted)
    u = refiner.targets.synthesis(z)
    assert_close(u["u"][0], states(wanted)[1:])
    assert_close(u["u_first"][0], states(wanted)[0])


@pytest.mark.slow
def test_the_ordinary_verbs_simulate_and_refine_whole_records(
    flow, monkeypatch, tmp_path
):
    """As the official code would from fields, with forces as in its training."""
    draws = {a.shape: a for a in (noise(32, 9), noise(64, 17))}
    monkeypatch.setattr(samplers, "row_normal", lambda shape, *_: draws[shape])
    base, refiner = make_pair(UNetConfig(8, (1, 2)))
    wdno.save(refiner, tmp_path / "refiner")
    refiner = wdno.load(tmp_path / "refiner")
    fine = refiner.on((80, 120)).domain.coords(("time", "x"), (80, 120))
    known = to_dataset(
        {"u": np.zeros((1, 80, 120), "f4"), **flow}, fine, ("u",), ("f",)
    )
    how = {"sampler": ddim(), "steps": STEPS, "key": KEY}
    start, every = known.u.isel(time=0, drop=True), slice(None, None, 2)
    forecast = wdno.simulate(
        base, start.isel(x=every), known.f.isel(time=every, x=every), **how
    )
    refined = wdno.super_resolve(refiner, forecast, start, known.f, **how)
    assert dict(refined.u.sizes) == {"sample": 1, "time": 81, "x": 120}
    np.testing.assert_array_equal(refined.u.isel(time=0), start)

    (u0,), (f,) = flow["u0"], flow["f"]
    coarse = dwt2(forecast.u.values[0]), dwt2(closed(f[::2, ::2]))
    low = np.concatenate(coarse, axis=-1) / SCALE
    force = np.pad(dwt2(closed(f)), [(0, 1), (0, 0), (0, 0)], mode="edge")
    arrays = array(u0, force, (64, 64), low)
    wanted = states(transcribed(refiner, noise(64, 17), *arrays))
    assert_close(refined.u.values[0, 1:], wanted[1:])
    assert np.std(wanted) > 0.1


@pytest.mark.slow
def test_smoke_is_refined_in_space_with_what_is_generated_beside(monkeypatch):
    """Instants stay; states without an initial one begin with their first frame."""
    rng = np.random.default_rng(2)
    draw = jnp.asarray(rng.normal(size=(1, 8, 16, 16, 82)), jnp.float32)
    monkeypatch.setattr(samplers, "row_normal", lambda *_: draw)
    tiling = kinds.smoke_refinement_tiling(kinds.IN_SPACE, 8, 8, (8, 8, 8))
    network = VideoUNetConfig(8, (1,))
    kind = KINDS["smoke-refinement"]
    refiner = official.import_model(
        dataclasses.replace(kind, tiling=tiling, network=network)
    )
    finer = refiner.on((7, 16, 16))
    dims = ("sample", "time", "y", "x")
    coarse, control = (
        xr.Dataset(
            {n: (dims, rng.normal(size=(1, 8, p, p)).astype("f4")) for n in names},
            model.domain.coords(dims[1:], (7, p, p)),
        )
        for names, model, p in ((STATES, refiner, 8), (("cx", "cy"), finer, 16))
    )
    for name in ("vx", "vy"):  # as `simulate` returns them
        coarse[name][:, 0] = np.nan
    initial = control.cx.isel(time=0, drop=True).rename("density")
    found = wdno.super_resolve(
        refiner, coarse, initial, control, sampler=ddim(), steps=2, key=KEY
    )

    known = {"density0": initial.values}
    known |= {name: control[name].values[:, :7] for name in ("cx", "cy")}
    known |= {f"{name}_coarse": coarse[name].values[:, 1:] for name in STATES}
    run = jax.jit(generate, static_argnums=2)
    sigmas = finer.schedule(2)
    wanted = run(finer, jax.tree.map(jnp.asarray, known), ddim(), sigmas, KEY)
    assert found.vx.dims == dims and found.smoke.dims == ("sample", "time")
    np.testing.assert_array_equal(found.time, coarse.time)
    np.testing.assert_array_equal(found.density.isel(time=0), initial)
    for name in (*STATES, "smoke"):
        np.testing.assert_allclose(found[name][:, 1:], wanted[name], 1e-5, 1e-5)
        assert name == "density" or np.isnan(found[name][:, 0]).all()


@pytest.mark.slow
def test_refiners_of_plans_in_time_are_for_generate_alone():
    """Their instants double, 32 to 64, and frames with them from 31 to 63."""
    model = empty("smoke-refinement-in-time")
    assert model.on((63, 64, 64)).targets.tiling.geometry.padded == (48, 40, 40)
    nothing = xr.Dataset()
    with pytest.raises(ValueError, match="Load a refiner"):
        wdno.super_resolve(model, nothing, nothing, key=KEY)
