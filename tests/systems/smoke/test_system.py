"""Smoke in a box against the official solver's records, identities and statistics."""

import dataclasses
from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr

from wdno.systems import PhysicalSystem, Smoke
from wdno.systems.smoke import OBSTACLES, Rectangle
from wdno.systems.smoke.flow import Scene, advance, begin
from wdno.systems.smoke.routes import draw_route, drive
from wdno.systems.smoke.staggered import Faces, advect

KEY = jax.random.key(27)
BLOCK = Rectangle(48, 56, 16, 24)
CHAMBER = (
    *(Rectangle(y, 32, 8, 40) for y in (32, 64)),
    *(Rectangle(32, x, 40, 8) for x in (32, 64)),
)
SMALL = Smoke(points=16, frames=6, duration=192.0, obstacles=(BLOCK,))
TINY = Smoke(8, frames=3, duration=48.0, substeps=3, obstacles=(CHAMBER[1],))
OPEN = Smoke(points=16, frames=4, duration=32.0, substeps=2, obstacles=(), rise=1.0)
"""The free stream passes one cell a step, and one stored point an interval."""

routes = jax.jit(draw_route, static_argnums=(1, 2))
carry = jax.jit(advect, static_argnums=2)


@cache
def official():
    return Smoke()


@pytest.fixture(scope="module")
def golden(shared):
    return np.load(shared / "golden" / "smoke_solver.npz")


@pytest.fixture(scope="module")
def inputs():
    return SMALL.sample_inputs(KEY, 3)


@pytest.fixture(scope="module")
def truth():
    return SMALL.trajectories(KEY, samples=3)


def relative_l2(estimate, truth):
    return np.linalg.norm(np.asarray(estimate) - truth) / np.linalg.norm(truth)


def faces(staggered):
    """From the official (row, column, component), with one row and column too many."""
    parts = staggered[None, :-1, :, 0], staggered[None, :, :-1, 1]
    return Faces(*map(jnp.asarray, parts))


def rough(system):
    """Random smoke outside obstacles, random controls in the ring."""
    generator = np.random.default_rng(1)
    shape = (2, system.points, system.points)
    over_time = (2, system.frames, *shape[1:])
    drawn = {"density0": generator.uniform(size=shape) * ~system.obstacle}
    drawn |= {n: generator.normal(size=over_time) * system.ring for n in ("cx", "cy")}
    return {name: jnp.asarray(values) for name, values in drawn.items()}


def driven(system, density0, **control):
    """The same velocity imposed in all of the ring, or fields of it."""
    shape = (1, system.frames, *system.ring.shape)
    inputs = {"density0": jnp.asarray(density0, jnp.float64)[None]}
    for name in ("cx", "cy"):
        values = np.broadcast_to(control.get(name, 0.0) * system.ring, shape)
        inputs[name] = jnp.asarray(values)
    return inputs


@pytest.mark.shared
def test_geometry_equals_the_official_masks(golden):
    flow, same = official().flow, np.testing.assert_array_equal
    same(flow.project.fluid, golden["mask/fluid"])
    same(flow.exit, golden["mask/buckets"][:, :-1, :-1])
    same(flow.exit.any(axis=0), golden["mask/set_zero"][:-1, :-1] == 0)
    x, y = faces(golden["mask/velocity"])
    same(flow.project.open.x, x[0])
    same(flow.project.open.y, y[0])


@pytest.mark.shared
def test_a_step_equals_the_official_one(golden):
    """But for the outermost faces, which the official projection does not correct."""
    before, after = (faces(golden[f"step/velocity_{n}"]) for n in ("in", "projected"))
    ours = jax.jit(official().flow.project.__call__)(before)
    np.testing.assert_allclose(ours.x[..., 1:-1], after.x[..., 1:-1], atol=3e-4)
    np.testing.assert_allclose(ours.y[:, 1:-1], after.y[:, 1:-1], atol=3e-4)
    density = carry(jnp.asarray(golden["step/density_in"])[None], after, 1.0)
    assert relative_l2(density[0], golden["step/density_advected"]) < 1e-5


@pytest.fixture(scope="module")
def replay(golden):
    """Scenes after each of 32 steps."""
    flow = official().flow
    density = jnp.asarray(golden["replay/init_density"])[None]
    density = flow.imposed(density, density).x[:, :, :-1]
    velocity, none = flow.at_rest(1, density.dtype), jnp.zeros((1, 7), density.dtype)
    c1, c2 = (jnp.asarray(golden[f"replay/{name}"])[:, None] for name in ("c1", "c2"))

    @jax.jit
    def step(scene, number):
        scene = flow.carried(scene, flow.imposed(c1[number // 2], c2[number // 2]))
        return scene, scene

    start = Scene(velocity, density, density, none, none)
    _, scenes = jax.lax.scan(step, start, jnp.arange(32))
    return jax.tree.map(lambda values: np.asarray(values)[:, 0], scenes)


@pytest.mark.shared
def test_fields_equal_those_of_the_official_evaluation(golden, replay):
    same = partial(np.testing.assert_allclose, atol=1e-4)
    for name, ours in (("density", replay.density), ("zero_density", replay.remaining)):
        expected = golden[f"replay/{name}"][:, :-1, :-1]
        same(ours[golden["replay/keep_steps"] - 1], expected)
        same(ours.sum((1, 2)), golden[f"replay/{name}_sum"], rtol=1e-4)
    x, y = (v[golden["replay/velocity_steps"] - 1] for v in replay.velocity)
    same(x, golden["replay/velocity"][:, :-1, :, 0])
    same(y, golden["replay/velocity"][:, :, :-1, 1])


@pytest.mark.shared
def test_counts_equal_those_of_the_official_evaluation(golden, replay):
    counts = golden["replay/bucket_counts_cumulative"]
    assert counts[-1].max() > 1
    np.testing.assert_allclose(replay.dwell, counts, rtol=1e-4, atol=1e-4)
    total = replay.dwell.sum(1) + replay.remaining.sum((1, 2))
    share = golden["replay/smoke_fraction_bucket1"]
    np.testing.assert_allclose(replay.dwell[:, 1] / total, share, atol=1e-4)


@pytest.mark.slow
@pytest.mark.shared
def test_a_whole_record_equals_the_official_one(shared):
    record = np.load(shared / "data" / "smoke" / "replay_sim_000000.npz")
    given = {"density0": "init_density", "cx": "c1", "cy": "c2"}
    inputs = {n: jnp.asarray(record[k], jnp.float32)[None] for n, k in given.items()}
    ours = official().solve(inputs)
    vx, vy = np.moveaxis(record["velocity"], -1, 0)
    for name, fine in (("density", record["density"]), ("vx", vx), ("vy", vy)):
        assert ours[name].dtype == np.float32
        for frame, expected in enumerate(fine[:, ::2, ::2]):
            assert relative_l2(ours[name][0, frame], expected) < 1e-4
    dwell = official().counts(inputs)["dwell"][0]
    share = dwell[:, 1] / dwell.sum(axis=1)
    np.testing.assert_allclose(share, record["smoke_out"][7::8], atol=1e-4)


@pytest.mark.shared
def test_drives_equal_those_of_the_official_generator(golden):
    draws = jnp.pad(jnp.asarray(golden["train/draws"]), ((0, 7), *[(0, 0)] * 3))
    mean = np.stack([golden["train/vys"], golden["train/vxs"]], axis=1)[None]
    turn = np.cumsum(np.append(0, golden["train/intervals"]), dtype=np.int32)[None]

    def noise(number):
        return Faces(draws[number, None, :-1, :, 0], draws[number, None, :, :-1, 1])

    scene = jax.jit(partial(drive, official().flow, 4, noise=noise))
    for ours, theirs in zip(
        scene(jnp.asarray(mean), jnp.asarray(turn)),
        np.moveaxis(golden["train/Control"], (2, 3), (0, 1)),
        strict=True,
    ):
        np.testing.assert_allclose(ours[0], theirs, atol=1e-4)


def test_a_free_stream_is_kept_and_carries_smoke_along():
    density0 = np.zeros((16, 16))
    density0[2:6, 5:9] = np.random.default_rng(0).random((4, 4))
    ours = OPEN.solve(driven(OPEN, density0, cy=OPEN.rise))
    np.testing.assert_allclose(ours["vx"], 0, atol=1e-12)
    np.testing.assert_allclose(ours["vy"], OPEN.rise, atol=1e-12)
    for frame in range(4):
        expected = np.roll(density0, frame + 1, axis=0)
        np.testing.assert_allclose(ours["density"][0, frame], expected, atol=1e-12)


def test_nothing_moves_from_rest():
    system = dataclasses.replace(TINY, rise=0.0)
    inputs = {n: v * float(n == "density0") for n, v in rough(system).items()}
    ours = system.solve(inputs)
    assert not np.any(ours["vx"]) and not np.any(ours["vy"])
    expected = np.broadcast_to(inputs["density0"][:, None], ours["density"].shape)
    np.testing.assert_allclose(ours["density"], expected, atol=1e-12)


def test_nothing_flows_into_an_obstacle():
    ours = TINY.solve(rough(TINY))
    assert not np.any(ours["vy"][..., 4, 2:4]) and np.all(ours["vy"][..., 5, 2:4])
    assert not np.any(ours["vx"][..., 4, 2:5]) and np.all(ours["vx"][..., 4, 5])


def test_transposed_inputs_give_the_transposed_flow():
    """Mirrored ones do not: the ring is thinner at its upper and right side."""
    system = dataclasses.replace(TINY, rise=0.0)
    wall = CHAMBER[1]
    turned = Rectangle(wall.x, wall.y, wall.width, wall.height)
    inputs = rough(system)
    other = {name: values.swapaxes(-1, -2) for name, values in inputs.items()}
    other |= {"cx": other["cy"], "cy": other["cx"]}
    ours = system.solve(inputs)
    theirs = dataclasses.replace(system, obstacles=(turned,)).solve(other)
    assert np.abs(ours["vx"]).max() > 0.1
    for name, same in (("density", "density"), ("vx", "vy"), ("vy", "vx")):
        back = theirs[same].swapaxes(-1, -2)
        np.testing.assert_allclose(ours[name], back, atol=1e-12)


def test_smoke_is_conserved_and_ends_in_the_exit_above():
    system = dataclasses.replace(OPEN, frames=12, duration=96.0, rise=1.1)
    density0 = np.zeros((16, 16))
    density0[8:11, 7:9] = 1, 2
    inputs = driven(system, density0, cy=system.rise)
    counts, total = system.counts(inputs), 4 * density0.sum()
    np.testing.assert_allclose(counts["absorbed"].sum(-1), total, rtol=1e-4)
    share = system.solve(inputs)["smoke"][0]
    np.testing.assert_allclose(share * total, counts["absorbed"][0, :, system.target])
    assert share[0] < 1e-12 and share[-1] == pytest.approx(1)
    assert np.any((share > 0.1) & (share < 0.9))
    # and it is counted as soon as it is there, and again wherever it dwells
    assert np.all(counts["dwell"] >= counts["absorbed"] - 1e-9)
    assert counts["dwell"][0, -1, system.target] > 2 * total


def test_counts_only_grow(inputs):
    counts = {n: np.asarray(c, float) for n, c in SMALL.counts(inputs).items()}
    absorbed, dwell = counts["absorbed"], counts["dwell"]
    assert absorbed[:, -1, :-1].max() > 1 and absorbed.min() >= 0
    for counted in (absorbed, dwell):
        assert np.diff(counted[..., :-1], axis=1).min() >= 0
    assert np.all(dwell >= absorbed - 1e-4)
    np.testing.assert_array_equal(dwell[..., -1], absorbed[..., -1])
    for target in (1, 5):
        share = dataclasses.replace(SMALL, target=target).solve(inputs)["smoke"]
        assert np.all((share >= 0) & (share <= 1))
        known = absorbed.sum(-1)  # zero once all has left
        expected = absorbed[..., target] / np.where(known > 0, known, 1)
        np.testing.assert_allclose(share, expected, rtol=1e-5)


def test_controls_in_the_hole_do_not_act(inputs):
    hole = jnp.asarray(~SMALL.ring, jnp.float32)[None, None]
    filled = inputs | {n: inputs[n] + 7 * hole for n in ("cx", "cy")}
    ours, theirs = SMALL.solve(inputs), SMALL.solve(filled)
    jax.tree.map(np.testing.assert_array_equal, ours, theirs)


def test_controls_act_from_their_own_interval_on(inputs):
    later = inputs | {"cx": inputs["cx"].at[:, 3, 0].add(1.0)}
    ours, theirs = SMALL.solve(inputs)["vx"], SMALL.solve(later)["vx"]
    np.testing.assert_array_equal(ours[:, :3], theirs[:, :3])
    assert np.abs(ours[:, 3] - theirs[:, 3]).max() > 0.5


def test_rows_are_independent_and_single_precision_stays(inputs):
    ours = SMALL.solve(inputs)
    # the share in the exit is relative: only where smoke arrives can it change
    row = int(np.argmax(ours["smoke"][:, -1]))
    rest = np.arange(len(ours["smoke"])) != row
    others = SMALL.solve({n: v.at[row].multiply(0.5) for n, v in inputs.items()})
    for name, values in ours.items():
        assert values.dtype == np.float32
        np.testing.assert_allclose(values[rest], others[name][rest], atol=1e-5)
        assert not np.allclose(values[row], others[name][row])


def test_gradient_equals_finite_differences():
    inputs = rough(TINY)
    generator = np.random.default_rng(0)
    along = {n: jnp.asarray(generator.normal(size=v.shape)) for n, v in inputs.items()}

    @jax.jit
    @jax.value_and_grad
    def value(inputs):
        out = TINY.solve(inputs)
        motion = (out["density"] ** 2).sum() + (out["vx"] * out["vy"]).sum()
        return motion + 100 * out["smoke"][:, -1].sum()

    def moved(h):
        return value({n: inputs[n] + h * along[n] for n in inputs})[0]

    _, gradient = value(inputs)
    slopes = {n: float((gradient[n] * along[n]).sum()) for n in inputs}
    assert all(abs(slope) > 0.1 for slope in slopes.values()), slopes
    numeric = (moved(1e-6) - moved(-1e-6)) / 2e-6
    np.testing.assert_allclose(sum(slopes.values()), numeric, rtol=1e-6)


def test_finer_cells_hardly_change_a_smooth_flow():
    flows = []
    for refinement in (2, 4):
        system = dataclasses.replace(OPEN, obstacles=(BLOCK,), refinement=refinement)
        place = system.coords["x"] / 128
        push = np.sin(3 * place[:, None] + 1) * np.cos(2 * place)
        start = np.exp(-((place[:, None] - 0.3) ** 2 + (place - 0.6) ** 2) / 0.02)
        flows.append(system.solve(driven(system, start, cx=push)))
    assert relative_l2(flows[0]["density"], flows[1]["density"]) < 0.25
    assert relative_l2(flows[0]["vx"], flows[1]["vx"]) < 0.1


def test_the_key_decides_and_rows_differ(inputs):
    again, other = (SMALL.sample_inputs(key, 3) for key in (KEY, jax.random.key(1)))
    jax.tree.map(np.testing.assert_array_equal, again, inputs)
    for name, values in inputs.items():
        assert values.dtype == np.float32
        assert np.any(values != other[name]) and np.any(values[0] != values[1])


def test_samples_start_as_a_square_and_are_driven_in_the_ring_alone(inputs):
    route = draw_route(jax.random.split(KEY)[0], 3, SMALL.frames * SMALL.substeps)
    place, left = 8 * np.arange(16), np.asarray(route.start[:, 1])
    assert np.any(left % 8 == 0) and np.any((left + 11) % 8 == 0)  # points at its edges
    for density0, (y, x) in zip(
        inputs["density0"], np.asarray(route.start), strict=True
    ):
        rows, columns = ((place >= at) & (place < at + 11) for at in (y, x))
        np.testing.assert_array_equal(density0, np.outer(rows, columns))
    assert not np.any(inputs["cx"][..., ~SMALL.ring])
    assert not np.any(inputs["cy"][..., ~SMALL.ring])
    # at first a uniform velocity, rough by a tenth of it
    first, mean = inputs["cy"][:, 0, SMALL.ring], route.velocity[:, 0, 0]
    noise = 10 * (np.asarray(first) / np.asarray(mean)[:, None] - 1)
    np.testing.assert_allclose(noise.mean(1), 0, atol=0.4)
    np.testing.assert_allclose(noise.std(1), 1, atol=0.25)
    np.testing.assert_allclose(np.corrcoef(noise), np.eye(3), atol=0.35)
    sideways = inputs["cx"][:, 0, SMALL.ring].mean(1)
    np.testing.assert_allclose(sideways, route.velocity[:, 0, 1], rtol=0.1)
    # after the last turn it drifts at every step, all of which is kept at the border
    assert route.turn.max() < 4 * SMALL.substeps
    gained = np.diff(inputs["cx"][:, -2:, :, 0], axis=1)
    np.testing.assert_allclose(gained.std(), 0.1 * np.sqrt(SMALL.substeps), rtol=0.3)


def test_routes_lead_round_the_lid_on_the_nearer_side_to_the_exit():
    steps, samples = 10**5, 4000
    route = jax.tree.map(np.asarray, routes(KEY, samples, steps))
    (start_y, start_x), turn = route.start.T, route.turn
    assert start_y.min() == 22 and start_y.max() == 24
    assert start_x.min() == 22 and start_x.max() == 96
    assert not np.any(turn[:, 0]) and turn[:, -1].max() < steps
    duration = np.diff(np.append(turn, np.full((samples, 1), steps), axis=1), axis=1)
    assert duration.min() > 0
    # Jittered velocities times durations are, on average, 5 and 3.5 times the legs.
    legs = (route.velocity * duration[..., None]).mean(0) / [5, 3.5]
    np.testing.assert_allclose(legs[:, 0], np.diff([23, 40, 50, 64, 112]), rtol=0.02)
    spread = route.velocity[:, 3, 0] * duration[:, 3] / 5 / 48
    np.testing.assert_allclose(spread.std(), 0.25, rtol=0.05)
    left = start_x < 54
    ends_left, ends_right = (37.5, 37, 37, 59, 58.5), (75, 80, 80, 59, 58.5)
    for these, ends in ((left, ends_left), (~left, ends_right)):
        legs = (route.velocity[..., 1] * duration)[these].mean(0) / 3.5
        np.testing.assert_allclose(legs, np.diff(ends), atol=1.5)


def test_stored_points_are_centres_of_cells_and_longer_records_have_the_same_steps():
    np.testing.assert_allclose(SMALL.coords["x"], 8 * np.arange(16) + 2)
    np.testing.assert_allclose(SMALL.coords["time"], 32 * np.arange(7))
    longer = SMALL.over(9)
    np.testing.assert_allclose(longer.coords["time"], 32 * np.arange(10))
    assert isinstance(longer, Smoke) and longer.flow == SMALL.flow


def test_trajectories_are_labelled(truth):
    assert isinstance(SMALL, PhysicalSystem)
    fields = {"density", "cx", "cy", "vx", "vy"}
    assert set(truth.data_vars) == fields | {"smoke"}
    assert {truth[name].dims for name in fields} == {("sample", "time", "y", "x")}
    assert truth.smoke.dims == ("sample", "time")
    beside = truth[["vx", "vy", "smoke"]].to_array().isnull()
    assert beside.isel(time=0).all() and not beside.isel(time=slice(1, None)).any()
    assert truth.coords["obstacle"].dims == ("y", "x") and truth.obstacle.sum() == 6
    np.testing.assert_array_equal(truth.obstacle, SMALL.obstacle)
    np.testing.assert_array_equal(truth.coords["ring"], SMALL.ring)
    assert all(truth[name].attrs["long_name"] for name in (*truth.coords, *fields))


def test_run_repeats_the_trajectories(truth):
    again = SMALL.run(truth.density.isel(time=0), truth[["cx", "cy"]])
    xr.testing.assert_allclose(again, truth, atol=1e-4)


def test_run_refuses_smoke_in_obstacles_and_controls_outside_the_ring(truth):
    start, control = truth.density.isel(time=0), truth[["cx", "cy"]]
    blocked = start.copy(deep=True)
    blocked[1, 7, 8] = 1
    with pytest.raises(ValueError, match="density0 is not zero .* first in sample 1"):
        SMALL.run(blocked, control)
    hole = control.copy(deep=True)
    hole.cy[2, 3, 8, 8] = 1e-3
    with pytest.raises(ValueError, match="cy is not zero .* first in sample 2"):
        SMALL.run(start, hole)


def test_a_diverging_flow_is_reported_with_its_sample(truth):
    factors = xr.DataArray([1, 1e37, 1], dims="sample").astype(np.float32)
    with pytest.raises(ValueError, match="diverged in sample 1 .*substeps"):
        SMALL.run(truth.density.isel(time=0), truth[["cx", "cy"]] * factors)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"frames": 0}, "must be positive, but frames is 0"),
        ({"substeps": -1}, "must be positive, but substeps is -1"),
        ({"duration": np.inf}, "must be positive, but duration is inf"),
        ({"target": 7}, "from 0 to 6, but target is 7"),
        ({"target": -1}, "from 0 to 6, but target is -1"),
        ({"obstacles": OBSTACLES}, r"thinnest obstacle, 1, but 16 .* cells of 4"),
        ({"obstacles": CHAMBER}, r"enclose the cell \(y, x\) = \(10, 10\)"),
    ],
)
def test_systems_that_make_no_sense_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(SMALL, **change)


def test_a_record_in_parts_is_the_record(inputs):
    """A scene has all cells, so that going on from one loses nothing."""
    scene, parts = begin(SMALL.flow, inputs["density0"]), []
    for part in (slice(2), slice(2, 6)):
        controls = (inputs[name][:, part] for name in ("cx", "cy"))
        scene, record = advance(SMALL.flow, scene, *controls)
        parts.append(record["density"])
    whole = SMALL.solve(inputs)["density"]
    np.testing.assert_allclose(np.concatenate(parts, axis=1), whole, atol=1e-6)
