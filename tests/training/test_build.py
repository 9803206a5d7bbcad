"""From a recipe to batches of windows and to a model on the grid of the data."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr
from oracles import BESIDE
from waves import waves

from wdno import training_loss
from wdno.diffusion.noise import point
from wdno.diffusion.preconditioning import DiscreteVariancePreserving
from wdno.networks import FourierConfig
from wdno.operator import Interpolation, LearnedMean, OptionalConditions, tasks
from wdno.operator.generation import denoiser, prepare
from wdno.operator.model import with_backbone
from wdno.operator.residual import residuals
from wdno.systems import Advection, Burgers, CompressibleNavierStokes, Smoke
from wdno.systems.compressible import conserved
from wdno.training.batches import ERROR_LENGTH, WindowBatches, perturb_coarse
from wdno.training.build import build_model
from wdno.training.recipe import NO_DROPOUT, ConditionDropout
from wdno.training.recipes import RECIPES, Recipe, TrainingGrid
from wdno.trajectory import (
    coarsen,
    join_trajectories,
    open_trajectories,
    to_arrays,
    windows,
)
from wdno.trajectory.lazy import lazy
from wdno.wavelets.field import Field, Role

TINY = Recipe(
    ("u",),
    ("f",),
    window=4,
    levels=1,
    network=FourierConfig((2, 2), width=4, depth=1),
    batch_size=2,
)
GATED = replace(TINY, beside=BESIDE)
WISHING = replace(
    GATED,
    task=tasks.control,
    beside=BESIDE._replace(
        given=(*BESIDE.given, Field("shareT", (), Role.FINAL, of="share"))
    ),
)
SPATIAL = FourierConfig((2, 2, 2), width=4, depth=1)
KEY = jax.random.key(0)

analysis = jax.jit(lambda layout, fields: layout.analysis(fields), static_argnums=0)


@pytest.fixture(scope="module")
def dataset():
    return waves(3)


def numbered(rows=5, frames=9, points=2):
    """Records whose values tell row and instant: 1000 row + instant."""
    row = 1000 * np.arange(rows, dtype=np.float32)[:, None, None]
    instants = np.arange(frames + 1, dtype=np.float32)[None, :, None]
    values = row + instants + np.zeros((1, 1, points), np.float32)
    dims = ("sample", "time", "x")
    held = {"f": "time: mean", "u": "time: point"}
    return xr.Dataset(
        {n: (dims, values, {"cell_methods": how}) for n, how in held.items()},
        {"time": np.arange(frames + 1) / 8, "x": np.arange(points) / points},
    )


def numbered_beside(**sizes):
    """The same with a share, 1000 row + instant too, and a gate of each row's own."""
    dataset = numbered(**sizes)
    share = dataset.u.isel(x=0).where(dataset.time > 0)
    gate = dataset.u.isel(time=0, drop=True) + np.arange(dataset.sizes["x"])
    own = {"cell_methods": "time: point"}
    return dataset.assign(
        share=share.astype(np.float32).assign_attrs(own)
    ).assign_coords(gate=gate.astype(np.float32))


def drawn(system):
    """Noise in place of solutions, on the grid of a system."""
    draw = np.random.default_rng(0)
    axes = dict.fromkeys((*system.state, *system.control), tuple(system.coords))
    extents = {dim: len(points) for dim, points in system.coords.items()}
    variables = {}
    for name, own in (axes | system.auxiliary).items():
        values = draw.standard_normal([1, *(extents[dim] for dim in own)], np.float32)
        method = "time: mean" if name in system.control else "time: point"
        variables[name] = (("sample", *own), values, {"cell_methods": method})
    space = tuple(system.coords)[1:]
    known = {name: (space, values) for name, values in system.static.items()}
    known |= {name: ("sample", np.float32([0.7])) for name in system.parameters}
    return xr.Dataset(variables, {**system.coords, **known})


def starts(batch):
    return np.asarray(batch["u0"][:, 0]) % 1000


# Windows


def test_a_batch_depends_on_seed_and_step_alone():
    first, second = (WindowBatches(numbered(), TINY, seed=1) for _ in range(2))
    backwards = {step: second(step) for step in reversed(range(4))}
    for step in range(4):
        jax.tree.map(np.testing.assert_array_equal, first(step), backwards[step])
    distinct = [first(step)["u"] for step in range(8)]
    distinct += [
        WindowBatches(numbered(), TINY, seed=2)(step)["u"] for step in range(8)
    ]
    assert len({np.asarray(u).tobytes() for u in distinct}) == 16


def test_windows_are_stretches_that_begin_with_their_initial_state():
    batch = WindowBatches(numbered(), replace(TINY, batch_size=200))(0)
    assert {name: v.shape for name, v in batch.items()} == {
        "u0": (200, 2),
        "u": (200, 4, 2),
        "f": (200, 4, 2),
    }
    instants = batch["u0"][:, None] + np.arange(4, dtype=np.float32)[None, :, None]
    np.testing.assert_array_equal(batch["f"], instants)
    np.testing.assert_array_equal(batch["u"], instants + 1)
    rows = np.asarray(batch["u0"][:, 0]) // 1000
    assert set(rows) == set(range(5))


@pytest.mark.parametrize("share", [0.0, 0.4, 1.0])
def test_a_share_of_windows_begins_with_the_record(share):
    recipe = replace(TINY, batch_size=6000, share_at_start=share)
    counts = np.bincount(starts(WindowBatches(numbered(), recipe)(0)).astype(int))
    shares = counts / counts.sum()
    assert shares[0] == pytest.approx(share + (1 - share) / 6, abs=0.03)
    np.testing.assert_allclose(shares[1:], (1 - share) / 6, atol=0.03)
    assert len(counts) == (6 if share < 1 else 1)  # starts 0 … 9 - 4


def test_windows_of_a_refiner_begin_at_coarse_instants_as_those_of_chains():
    recipe = replace(TINY, task=tasks.refinement, batch_size=600)
    found = starts(WindowBatches(numbered(), recipe)(0)).astype(int)
    assert set(found) == {0, 2, 4}  # of 9 frames; the last window ends with frame 8


def test_a_window_must_fit_into_the_record():
    with pytest.raises(
        ValueError, match="window of 16 frames, but coarsened by 1 these have 9"
    ):
        WindowBatches(numbered(), replace(TINY, window=16))


def test_training_visits_the_grids_of_a_recipe_in_turn():
    grids = (TrainingGrid(2, 4), TrainingGrid(4, 2))
    recipe = replace(TINY, more_grids=grids, batch_size=50)
    batches = WindowBatches(numbered(frames=16, points=8), recipe)
    shapes = [batches(step)["u"].shape for step in range(4)]
    assert shapes == [(50, 4, 8), (50, 4, 4), (50, 2, 2), (50, 4, 8)]
    halved = batches(1)
    between = np.diff(np.concatenate([halved["u0"][:, None], halved["u"]], 1), axis=1)
    np.testing.assert_array_equal(between, 2)
    # A force is held over two intervals: the mean of what acted in them.
    before = np.concatenate([halved["u0"][:, None], halved["u"][:, :-1]], axis=1)
    np.testing.assert_array_equal(halved["f"], before + 0.5)


def test_conditions_that_follow_from_the_states_are_given_too():
    reach = WindowBatches(numbered(), replace(TINY, task=tasks.reaching))(0)
    np.testing.assert_array_equal(reach["uT"], reach["u"][:, -1])
    refine = replace(TINY, task=tasks.refinement, batch_size=20)
    exact = WindowBatches(numbered(), refine)(0)
    np.testing.assert_array_equal(exact["u_coarse"], exact["u"][:, 1::2, ::2])
    noisy = WindowBatches(numbered(), replace(refine, coarse_noise=0.5))(0)
    np.testing.assert_array_equal(noisy["u"], exact["u"])
    assert np.asarray(noisy["u_coarse"] != exact["u_coarse"]).all()


def test_windows_take_along_what_comes_beside_and_the_gate_of_their_row():
    batch = WindowBatches(numbered_beside(), replace(GATED, batch_size=50))(0)
    assert batch.keys() == {"u0", "u", "f", "share", "gate"}
    np.testing.assert_array_equal(batch["share"], batch["u"][..., 0])
    rows = np.asarray(batch["u0"]) // 1000
    assert set(rows[:, 0]) == set(range(5))
    np.testing.assert_array_equal(batch["gate"], 1000 * rows + np.arange(2))


def test_a_gate_of_all_rows_is_in_every_window():
    gate = np.array([3.0, 4.0], np.float32)
    dataset = numbered_beside().drop_vars("gate").assign_coords(gate=("x", gate))
    batch = WindowBatches(dataset, GATED)(0)
    np.testing.assert_array_equal(batch["gate"], [gate] * 2)


def test_the_end_of_what_comes_beside_is_that_of_the_window():
    batch = WindowBatches(numbered_beside(), replace(WISHING, batch_size=20))(0)
    np.testing.assert_array_equal(batch["shareT"], batch["share"][:, -1])


def test_on_a_coarser_grid_the_gate_is_coarser_too():
    recipe = replace(GATED, more_grids=(TrainingGrid(2, 4),), batch_size=20)
    batches = WindowBatches(numbered_beside(frames=16, points=8), recipe)
    halved = batches(1)
    np.testing.assert_array_equal(halved["share"], halved["u"][..., 0])
    rows = np.asarray(halved["u0"]) // 1000
    np.testing.assert_array_equal(halved["gate"], 1000 * rows + np.arange(0, 8, 2))


def test_records_lack_nothing_that_a_recipe_names():
    dataset = numbered_beside()
    with pytest.raises(ValueError, match=r"\['share'\] are missing"):
        WindowBatches(dataset.drop_vars("share"), GATED)
    third = dataset.assign(share=dataset.share.where(dataset.u[:, 0, 0] != 3000))
    with pytest.raises(ValueError, match="share has NaN or Inf in sample 3 "):
        WindowBatches(third, replace(GATED, batch_size=40))(0)
    dataset = dataset.drop_vars("gate")
    with pytest.raises(ValueError, match="'gate' is missing"):
        build_model(GATED, dataset, WindowBatches(dataset, GATED))


# Windows of files


EVERYTHING = replace(
    GATED,
    more_grids=(TrainingGrid(2, 4), TrainingGrid(4, 4)),
    batch_size=20,
    share_at_start=0.3,
)


def irregular():
    """Ten records of numbers without a pattern, with all that a recipe can name."""
    dataset, draw = numbered_beside(rows=10, frames=16, points=8), draw_of(3)
    noise = {n: v.copy(data=draw(v.shape)) for n, v in dataset[["u", "f"]].items()}
    return dataset.assign(noise)


def draw_of(seed):
    generator = np.random.default_rng(seed)
    return lambda shape: generator.standard_normal(shape, np.float32)


def cut_in_memory(dataset, recipe, seed, step):
    """The batch by the other order: coarsened as a whole, as arrays, then cut."""
    draw = np.random.default_rng([seed, step])
    ratio, window = recipe.grids[step % len(recipe.grids)]
    dataset = dataset if ratio == 1 else coarsen(dataset, ratio)
    arrays = to_arrays(dataset, {"u": "u0"}, ["f"], ["share"])
    rows, frames = arrays["u"].shape[:2]
    starts = draw.integers(0, frames - window + 1, recipe.batch_size)
    at_start = draw.random(recipe.batch_size) < recipe.share_at_start
    row = draw.integers(0, rows, recipe.batch_size)
    starts = np.where(at_start, 0, starts)
    cut = windows(arrays, window, starts, row, {"u": "u0"})
    return cut | {"gate": dataset.gate.values[row]}


def as_netcdf(dataset, folder):
    how = {"zlib": True, "chunksizes": (1, 17, 8)}
    dataset.to_netcdf(folder / "data.nc", encoding={"u": how, "f": how})
    return open_trajectories(folder / "data.nc")


def as_turned_netcdf(dataset, folder):
    return as_netcdf(dataset, folder).pipe(lambda d: d.transpose("x", "time", "sample"))


def as_zarr(dataset, folder):
    dataset.to_zarr(folder / "data.zarr")
    return open_trajectories(folder / "data.zarr")


def as_two_files(dataset, folder):
    for name, part in (("one", slice(3)), ("two", slice(3, None))):
        dataset.isel(sample=part).to_netcdf(folder / f"{name}.nc")
    return join_trajectories([folder / "one.nc", folder / "two.nc"])


@pytest.mark.parametrize(
    "kept", [as_netcdf, as_turned_netcdf, as_zarr, as_two_files, lambda data, _: data]
)
def test_windows_are_the_same_bit_for_bit_wherever_they_are_read(kept, tmp_path):
    dataset = irregular()
    batches = WindowBatches(kept(dataset, tmp_path), EVERYTHING, seed=5)
    for step in (4, 0, 2, 1):
        expected = cut_in_memory(dataset, EVERYTHING, 5, step)
        found = batches(step)
        assert found.keys() == expected.keys()
        for name, values in expected.items():
            np.testing.assert_array_equal(found[name], values, strict=True)


def test_no_more_is_read_than_the_windows():
    """Neither when a set is opened, nor the rest of a trajectory, nor it twice over."""
    dataset, asked = irregular(), []

    class Counting:
        shape, dtype = dataset.u.shape[1:], dataset.u.dtype

        def __init__(self, n):
            self.n = n

        def read(self, key):
            values = dataset.u.values[self.n][key]
            asked.append((self.n, values.shape[0]))
            return values

    stored = dataset.assign(u=lazy(Counting, 10, ("time", "x")))
    batches = WindowBatches(stored.isel(sample=slice(7)), TINY)
    assert not asked
    rows = batches(3)
    assert len(asked) == TINY.batch_size == len(rows["u"])
    assert {extent for _, extent in asked} == {TINY.window + 1}
    assert [n for n, _ in asked] == sorted(n for n, _ in asked)
    whole = batches.records.read(np.array([6, 2]))
    np.testing.assert_array_equal(whole["u"], dataset.u.values[[6, 2], 1:])
    np.testing.assert_array_equal(whole["f"], dataset.f.values[[6, 2], :-1])


def test_perturbed_states_are_out_of_place_and_off():
    x = np.linspace(0, 1, 400, dtype=np.float32)
    states = np.broadcast_to(x**2, (1000, 2, 400))
    draw = [np.random.default_rng(n) for n in range(1000)]
    error = perturb_coarse(states, 0.0, 0.5, draw) - states
    # a has mean square 1/3, and some rows are nearly exact.
    assert error.std() == pytest.approx(0.5 / np.sqrt(3), rel=0.03)
    per_row = error.std(axis=(1, 2))
    assert per_row.min() < 0.05 and per_row.max() > 0.45
    error = perturb_coarse(states, 0.2, 0.0, draw)[..., 1:-1] - states[..., 1:-1]
    cells = error / (2 * x * x[1])[1:-1]  # u(x + d) - u(x) = d u_x for small d
    assert cells.std() == pytest.approx(0.2 / np.sqrt(3), rel=0.03)
    # Neighbours move alike, instants do not.
    alike = (cells[..., 1:] * cells[..., :-1]).mean() / (cells**2).mean()
    assert alike == pytest.approx(np.exp(-1 / (4 * ERROR_LENGTH**2)), abs=0.01)
    assert abs((cells[:, 0] * cells[:, 1]).mean()) < 0.02 * (cells**2).mean()


# Models


def test_scales_give_every_channel_unit_variance(dataset):
    batches = WindowBatches(dataset, TINY)
    model = build_model(TINY, dataset, batches)
    fields = jax.tree.map(
        lambda *parts: np.concatenate(parts), *map(batches, range(64))
    )
    for layout in (model.targets, model.given):
        z = analysis(layout, fields)
        rms = np.sqrt(np.mean(np.square(z), axis=(0, 1, 2)))
        np.testing.assert_allclose(rms, 1, rtol=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("recipe", "final", "given"),
    [
        (GATED, {}, ["u0", "f", "gate"]),
        (WISHING, {"share": "shareT"}, ["u0", "gate", "shareT"]),
    ],
)
def test_models_generate_what_comes_beside_given_what_never_changes(
    recipe, final, given
):
    dataset = numbered_beside()
    batches = WindowBatches(dataset, recipe)
    model = build_model(recipe, dataset, batches)
    assert (model.state, model.auxiliary, model.final) == (("u",), ("share",), final)
    assert model.static == {"gate": ("x",)}
    assert [quantity.name for quantity in model.given.fields] == given
    for layout in (model.targets, model.given):
        z = np.stack([layout.analysis(batches(step)) for step in range(64)])
        rms = np.sqrt(np.mean(np.square(z, dtype=float), axis=(0, 1, 2, 3)))
        fitted = np.asarray(layout.scale) != 1
        np.testing.assert_allclose(rms[fitted], 1, rtol=1e-3)
        for name in ("share", "gate"):
            mine = [channel.startswith(f"{name}:") for channel in layout.channels]
            assert fitted[mine].any() or not any(mine)
    loss = training_loss(model, recipe.noise.distribution())
    assert 0 < loss(model.denoiser.backbone, batches(0), KEY) < np.inf


@pytest.mark.slow
def test_a_refiner_is_scaled_to_residuals(dataset):
    """What is left of smooth fields after interpolation is much smaller than they."""
    fitted = {}
    for task in (tasks.simulation, tasks.refinement):
        recipe = replace(TINY, task=task, residual=Interpolation())
        batches = WindowBatches(dataset, recipe)
        model = build_model(recipe, dataset, batches)
        fitted[task] = np.asarray(model.targets.scale)
        if task is tasks.refinement:
            z = []
            for batch in map(batches, range(64)):
                estimate = prepare(model, batch).estimate
                z.append(residuals(model.targets.analysis(batch), estimate))
            rms = np.sqrt(np.mean(np.square(z), axis=(0, 1, 2, 3)))
            np.testing.assert_allclose(rms, 1, rtol=1e-3)
    assert fitted[tasks.refinement][0] < fitted[tasks.simulation][0] / 4


def test_a_model_knows_where_its_data_lie(dataset):
    moved = dataset.assign_coords(time=dataset.time + 2, x=dataset.x + 0.5)
    batches = WindowBatches(moved, TINY)
    model = build_model(TINY, moved, batches)
    assert model.targets.grid == model.given.grid == (4, 16)
    np.testing.assert_allclose(model.domain.start, (2.0, 0.5))
    np.testing.assert_allclose(model.domain.spacing, (0.1, 1 / 16))
    assert model.schedule.sigma_range == (TINY.noise.sigma_min, TINY.noise.sigma_max)
    assert (model.state, model.control) == (("u",), ("f",))


def test_initial_parameters_follow_the_seed(dataset):
    kernels = [
        build_model(TINY, dataset, WindowBatches(dataset, TINY, seed))
        .denoiser.backbone.parameters["lift.kernel"]
        .tobytes()
        for seed in (0, 0, 1)
    ]
    assert kernels[0] == kernels[1] != kernels[2]


def test_a_network_is_told_the_noise_as_the_preconditioning_of_the_recipe_says(dataset):
    """Steps 0 … 999 here, whatever the model is made for."""
    recipe = replace(TINY, preconditioning=DiscreteVariancePreserving())
    batches = WindowBatches(dataset, recipe)
    model, told = build_model(recipe, dataset, batches), []

    def listening(x, c_noise, cond):
        told.extend(np.asarray(c_noise))
        return 0 * x

    context = prepare(model, batches(0))
    x = np.zeros((2, *model.targets.coefficient_grid, len(model.targets.channels)))
    table = recipe.preconditioning.schedule.table
    denoise = denoiser(with_backbone(model, listening), context)
    for steps in ([0, 999], [1, 500]):
        denoise(jnp.float32(x), jnp.float32(table[steps]))
    assert told == [0, 999, 1, 500]


def test_a_plane_needs_no_other_code():
    draw = np.random.default_rng(0)
    dims = ("sample", "time", "y", "x")
    sizes = (2, 5, 4, 8)
    coords = {d: np.arange(n) / n for d, n in zip(dims[1:], sizes[1:], strict=True)}
    dataset = xr.Dataset(
        {name: (dims, np.float32(draw.normal(size=sizes))) for name in "uvf"}, coords
    )
    recipe = replace(
        TINY, state=("u", "v"), mode=("periodization",) * 3, network=SPATIAL
    )
    model = build_model(recipe, dataset, WindowBatches(dataset, recipe))
    assert model.targets.dims == ("time", "y", "x")
    assert model.targets.coefficient_grid == (2, 2, 4)
    assert len(model.targets.channels) == 2 * 8
    assert len(model.given.channels) == 2 * 4 + 8


def test_levels_that_do_not_halve_the_window_are_refused(dataset):
    recipe = replace(TINY, window=6, levels=2)
    batches = WindowBatches(dataset, recipe)
    with pytest.raises(ValueError, match="6 samples along 'time'"):
        build_model(recipe, dataset, batches)


SYSTEMS = {
    "advection": Advection(),
    "burgers": Burgers(),
    "navier": CompressibleNavierStokes(points=128, refinement=8),
    "navier-stokes-fine": CompressibleNavierStokes(frames=20, duration=0.2),
    "smoke": Smoke(),
}
"""By the beginning of a recipe's name, or by all of it."""


# whose data take the solver long, or whose windows have several grids, or like others
LONG = (
    "advection-simulation",
    "burgers-control",
    "burgers-refinement",
    "navier-stokes-correction",
    "navier-stokes-fine",
    "navier-stokes-refinement",
    "navier-stokes-shock",
    "smoke-refinement",
    "smoke-control",
    "smoke-simulation",
)


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[pytest.mark.slow] if name in LONG else [])
        for name in RECIPES
        if name.split("-")[0] in SYSTEMS
    ],
)
def test_released_recipes_fit_the_grid_of_their_system(name):
    recipe = RECIPES[name]
    system = SYSTEMS.get(name, SYSTEMS[name.split("-")[0]])
    dataset = drawn(system)
    if "momentum" in recipe.state:
        dataset = conserved(dataset)
    thin = replace(recipe.network, width=4, depth=1)
    recipe = replace(recipe, network=thin, batch_size=1)
    batches = WindowBatches(dataset, recipe)
    model = build_model(recipe, dataset, batches)
    loss = training_loss(model, recipe.noise.distribution())
    backbone = model.denoiser.backbone
    space = len(system.coords) - 1
    for step, grid in enumerate(recipe.grids):
        points = (system.points // grid.coarsening,) * space
        moved = model.on((grid.frames, *points))
        batch = batches(step)
        for layout in (moved.targets, moved.given):
            assert np.isfinite(analysis(layout, batch)).all()
        traced = jax.eval_shape(loss, backbone, batch, KEY)
        assert traced.shape == ()  # the network takes this grid
    # Windows are chained over a record; plans are made for its end.
    assert recipe.task is tasks.reaching or system.frames % model.window == 0
    assert model.targets.grid == (model.window, *(system.points,) * space)


# ------------------------------------------------------- conditions that are dropped


REACHING = replace(
    TINY, task=tasks.reaching, dropout=ConditionDropout(("uT",), share=0.5)
)


def test_dropped_conditions_are_optional_in_the_model(dataset):
    batches = WindowBatches(dataset, REACHING)
    model = build_model(REACHING, dataset, batches)
    plain = build_model(replace(REACHING, dropout=NO_DROPOUT), dataset, batches)
    assert model.given == OptionalConditions(plain.given, ("uT",))
    known = batches(0)
    without = prepare(model, {"u0": known["u0"]}).condition
    withheld_from_all = ConditionDropout(("uT",), share=1.0)(known, KEY)
    np.testing.assert_array_equal(prepare(model, withheld_from_all).condition, without)


@pytest.mark.slow
def test_a_loss_with_dropout_is_that_of_fields_withheld(dataset):
    """And without it the same as ever, to the last bit."""
    batches = WindowBatches(dataset, replace(REACHING, batch_size=64))
    model = build_model(REACHING, dataset, batches)
    fields, noise = batches(0), point(2.0)
    own, drop = jax.random.split(KEY)
    withheld = REACHING.dropout(fields, drop)
    assert 20 < withheld["uT:given"].sum() < 44

    # a fresh network gives 0 whatever it is given
    backbone = jax.tree.map(lambda leaf: leaf + 0.05, model.denoiser.backbone)

    def loss(fields, key, dropout=NO_DROPOUT):
        return training_loss(model, noise, dropout=dropout)(backbone, fields, key)

    assert loss(fields, KEY, REACHING.dropout) == loss(withheld, own)
    assert loss(withheld, own) != loss(fields, own)
    never = ConditionDropout(("uT",), share=0.0)
    assert loss(fields, KEY, never) == loss(fields, own)


def test_dropout_and_means_do_not_go_together():
    mean = LearnedMean(FourierConfig((2, 2), width=4, depth=1))
    with pytest.raises(ValueError, match="units of what a mean leaves open.*'uT'"):
        replace(REACHING, residual=mean)
    with pytest.raises(ValueError, match="share lies between 0 and 1"):
        ConditionDropout(("uT",), share=1.5)


# --- means over cells -----------------------------------------------------------------

CELLS = replace(
    TINY,
    control=(),
    task=tasks.cell_refinement,
    wavelet="haar",
    more_grids=(TrainingGrid(2, 4), TrainingGrid(4, 4)),
)


def means_over_cells(methods="time: point x: mean"):
    draw = np.random.default_rng(0)
    u = np.float32(draw.normal(size=(3, 9, 16)))
    coords = {"time": np.arange(9.0), "x": (np.arange(16) + 0.5) / 16}
    notes = {"cell_methods": methods}
    return xr.Dataset({"u": (("sample", "time", "x"), u, notes)}, coords)


def test_windows_of_cells_keep_their_instants_on_every_grid():
    """Each is the mean over larger cells of one that the data have."""
    dataset = means_over_cells()
    batches = WindowBatches(dataset, CELLS)
    records = dataset.u.values
    for step, ratio in enumerate((1, 2, 4)):
        batch = batches(step)
        coarser = records.reshape(3, 9, 16 // ratio, ratio).mean(axis=3)
        for u0, u in zip(batch["u0"], batch["u"], strict=True):
            window = np.concatenate([u0[None], u])
            apart = [
                abs(row[start : start + 5] - window).max()
                for row in coarser
                for start in range(5)
            ]
            assert min(apart) < 1e-6
        pairs = np.asarray(batch["u"]).reshape(2, 4, -1, 2).mean(axis=3)
        np.testing.assert_allclose(batch["u_coarse"], pairs, atol=1e-6)


def test_a_model_of_cells_lies_on_their_centres_on_every_grid():
    dataset = means_over_cells()
    model = build_model(CELLS, dataset, WindowBatches(dataset, CELLS))
    assert model.targets.refinement == (1, 2)
    coarser = model.on((4, 4))
    coords = coarser.domain.coords(("time", "x"), (4, 4))
    np.testing.assert_allclose(coords["x"], (np.arange(4) + 0.5) / 4)
    np.testing.assert_allclose(coords["time"], np.arange(5.0))


@pytest.mark.parametrize(
    ("recipe", "methods"),
    [
        (CELLS, "time: point"),
        (replace(CELLS, task=tasks.refinement), "time: point x: mean"),
    ],
)
def test_data_that_are_not_what_fields_of_a_refiner_are_are_refused(recipe, methods):
    with pytest.raises(ValueError, match="data of a refiner|Data of a refiner"):
        WindowBatches(means_over_cells(methods), recipe)
