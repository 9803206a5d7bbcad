"""What users bring to every verb: types, labels, instants, arguments of other kinds."""

from datetime import timedelta

import cftime
import jax
import numpy as np
import pytest
import xarray as xr
from oracles import NAMES, make_fields, make_operator
from tiny import make_tiny

import wdno
from wdno import control_loop, diagnose, rollout, simulate, stable_schedule
from wdno.operator import tasks
from wdno.systems import Burgers
from wdno.trajectory import to_dataset, to_fields

KEY = jax.random.key(0)
SYSTEM = Burgers(points=8, frames=8, duration=2.0, viscosity=0.1, max_speed=20.0)
MODEL = make_operator()


def make_truth(frames=8):
    coords = {"time": 0.25 * np.arange(frames + 1), "x": np.arange(8) / 8}
    fields = {name: 0.3 * f for name, f in make_fields(3, frames).items()}
    return to_dataset(fields, coords, *NAMES)


TRUTH = make_truth()
U0, F = TRUTH.u.isel(time=0), TRUTH.f


def forecast(initial, control):
    return simulate(MODEL, initial, control, key=KEY)


def solution(initial, control):
    return SYSTEM.run(initial, control)


each_verb = pytest.mark.parametrize("verb", [forecast, solution])


# Types --------------------------------------------------------------------------------

TYPES = {
    "float16": ("float32", 2e-3),
    ">f4": ("float32", 1e-5),
    "<f8": ("float64", 1e-12),
    ">f8": ("float64", 1e-12),
    "longdouble": ("float64", 1e-12),
}


@each_verb
@pytest.mark.parametrize("given", TYPES)
def test_results_have_the_type_that_came_and_single_precision_at_least(verb, given):
    found, (dtype, error) = verb(U0.astype(given), F.astype(given)), TYPES[given]
    assert found.u.dtype == found.f.dtype == dtype and found.u.dtype.isnative
    np.testing.assert_allclose(found.u, verb(U0, F).u, atol=error, rtol=error)


@each_verb
@pytest.mark.parametrize("given", ["int16", ">i4", "uint8", "bool"])
def test_whole_numbers_are_computed_with_as_real_ones(verb, given):
    start, force = (abs(3 * part).round().astype(given) for part in (U0, F))
    expected = verb(start.astype(float), force.astype(float))
    np.testing.assert_allclose(verb(start, force).u, expected.u, atol=1e-5)


@pytest.mark.parametrize("wide", [True, False], ids=["x64", "x32"])
def test_double_precision_comes_back_where_jax_has_single(wide):
    jax.config.update("jax_enable_x64", wide)
    try:
        found = SYSTEM.run(U0.astype(float), F.astype(float))
    finally:
        jax.config.update("jax_enable_x64", True)
    assert found.u.dtype == float


BAD_TYPES = ["complex64", "U8", "object", "datetime64[ns]"]


@pytest.mark.parametrize("given", BAD_TYPES)
@pytest.mark.parametrize(
    "use",
    [
        forecast,
        solution,
        lambda u0, f: diagnose(MODEL, TRUTH.assign(f=f), key=KEY),
        lambda u0, f: stable_schedule(MODEL, TRUTH.assign(f=f), key=KEY),
        lambda u0, f: to_fields(TRUTH.assign(f=f), *NAMES),
        lambda u0, f: wdno.metrics.mse(f, TRUTH.f),
    ],
    ids=["simulate", "run", "diagnose", "ladder", "to_fields", "mse"],
)
def test_what_is_no_number_is_refused(use, given):
    with pytest.raises(ValueError, match="hold real numbers, but .* is of type"):
        use(U0, F.astype(given))


@pytest.mark.parametrize("given", ["float16", ">f4", "int16"])
def test_rollouts_compute_in_single_precision_at_least(given, unchecked):
    fields = to_fields(TRUTH, *NAMES)
    u0, f = (np.asarray(fields[name]).astype(given) for name in ("u0", "f"))
    found = rollout(MODEL, {"u0": u0}, {"f": f}, key=KEY)["u"]
    assert found.dtype == np.float32


# Labels -------------------------------------------------------------------------------

DAYS = np.datetime64("2020-01-01", "ns") + np.arange(3) * np.timedelta64(1, "D")
LABELS = {
    "text": ["a", "b", "c"],
    "numbers": [7, 3, 5],
    "dates": DAYS,
    "mixed": np.array(["a", 2, None], object),
}


@each_verb
@pytest.mark.parametrize("labels", LABELS.values(), ids=LABELS)
def test_rows_go_together_by_their_labels(verb, labels):
    """And what belongs to them, whichever input it comes with."""
    start, force = (part.assign_coords(sample=labels) for part in (U0, F))
    force = force.assign_coords(strength=("sample", [1.0, 2.0, 3.0]))
    expected = verb(start, force)
    turned = verb(start, force.isel(sample=[2, 0, 1]))
    xr.testing.assert_identical(turned, expected)
    assert turned.sample.values.tolist() == start.sample.values.tolist()
    np.testing.assert_array_equal(turned.strength, [1, 2, 3])
    np.testing.assert_array_equal(turned.u, verb(U0, F).u)


@each_verb
@pytest.mark.parametrize(
    ("ours", "theirs"),
    [("abc", "bcd"), ("abc", "abb"), ("aab", "aba"), ("abc", [0, 1, 2])],
)
def test_other_labels_are_refused(verb, ours, theirs):
    start, force = (
        part.assign_coords(sample=list(labels))
        for part, labels in ((U0, ours), (F, theirs))
    )
    with pytest.raises(ValueError, match="agree on the labels of 'sample'.*drop_vars"):
        verb(start, force)


@each_verb
def test_labels_of_one_input_alone_serve_both(verb):
    for start, force in (
        (U0.assign_coords(sample=list("aab")), F),
        (U0, F.assign_coords(sample=list("aab"))),
        (U0.assign_coords(sample=list("aab")), F.assign_coords(sample=list("aab"))),
    ):
        assert verb(start, force).sample.values.tolist() == list("aab")


@each_verb
def test_coordinates_of_what_came_are_those_of_the_result(verb):
    """Positions in single precision too, so that differences find their points."""
    x = (U0.x.values + 1e-6).astype("float32")
    start = U0.assign_coords(x=x, height=("x", np.arange(8.0)), run="first")
    found = verb(start, F.assign_coords(x=x))
    np.testing.assert_array_equal(found.x, x)
    assert found.x.dtype == np.float32 and found.run == "first"
    np.testing.assert_array_equal(found.height, np.arange(8))
    assert (found.u - TRUTH.u.assign_coords(x=x)).sizes == TRUTH.u.sizes


def test_a_trajectory_without_a_sample_is_one():
    truth = TRUTH.isel(sample=1)
    found = forecast(truth.u.isel(time=0), truth.f)
    np.testing.assert_allclose(found.u[0], forecast(U0, F).u[1], atol=1e-12)
    assert diagnose(MODEL, truth, levels=2, members=2, key=KEY).attrs["windows"] == 2
    assert float(wdno.metrics.mse(found.u, truth.u)[0]) < 1e-20


def test_members_that_are_given_are_continued_or_refused():
    start = U0.expand_dims(member=2)
    force = F.expand_dims(member=[1, 2]).isel(member=[1, 0])
    assert forecast(start, F).sizes["member"] == 2
    assert forecast(start.assign_coords(member=[1, 2]), force).sizes["member"] == 2
    for inputs in ((start, F), (U0, force)):
        with pytest.raises(ValueError, match="members=4 .*that are given"):
            simulate(MODEL, *inputs, members=4, key=KEY)
    with pytest.raises(ValueError, match="must agree on the batch axes"):
        forecast(start, F.expand_dims(member=3))


# Instants -----------------------------------------------------------------------------

STEPS = np.arange(9)
INSTANTS = {
    "dates": np.datetime64("2020-02-28T23:59:59", "ns")
    + STEPS * np.timedelta64(250, "ms"),
    "durations": STEPS * np.timedelta64(250_000_000, "ns"),
    "noleap": np.array(
        [cftime.DatetimeNoLeap(2020, 2, 28) + timedelta(seconds=n / 4) for n in STEPS]
    ),
    "single": (0.25 * STEPS).astype("float32"),
    "later": 100 + 0.25 * STEPS,
}


@each_verb
@pytest.mark.parametrize("time", INSTANTS.values(), ids=INSTANTS)
def test_instants_of_any_kind_count_in_seconds(verb, time):
    timed = TRUTH.assign_coords(time=time)
    found = verb(timed.u.isel(time=0), timed.f)
    np.testing.assert_array_equal(found.time, time)
    np.testing.assert_array_equal(found.u, verb(U0, F).u)


@pytest.mark.parametrize("time", INSTANTS.values(), ids=INSTANTS)
def test_a_record_goes_on_in_its_kind_of_time(time):
    timed = TRUTH.assign_coords(time=time)
    found = simulate(MODEL, timed.u.isel(time=0), frames=6, key=KEY)
    expected = time[:7].astype(found.time.dtype)
    np.testing.assert_array_equal(found.time, expected)
    later = wdno.trajectory.append(
        found, simulate(MODEL, found.u.isel(time=-1), frames=2, key=KEY)
    )
    np.testing.assert_array_equal(later.time[[0, -1]], time[[0, 8]])


@each_verb
def test_another_step_is_refused_in_seconds(verb):
    hours = STEPS * np.timedelta64(1, "h").astype("m8[ns]")
    timed = TRUTH.assign_coords(time=hours)
    with pytest.raises(ValueError, match=r"time = 0 … .* came at 0 … .*other units"):
        verb(timed.u.isel(time=0), timed.f)


@each_verb
@pytest.mark.parametrize("axis", ["time", "x"])
def test_text_is_no_axis(verb, axis):
    named = F.assign_coords({axis: F[axis].values.astype(str)})
    with pytest.raises(ValueError, match=f"numbers, dates or durations, but '{axis}'"):
        verb(U0, named)


# Arguments of other kinds -------------------------------------------------------------

CALLS = {
    "array as state": (lambda: forecast(U0.values, F), "labelled.*'initial'.*ndarray"),
    "array as control": (
        lambda: forecast(U0, F.values),
        "labelled.*'control'.*ndarray",
    ),
    "list": (lambda: SYSTEM.run([1.0], F), "labelled.*'initial'.*list"),
    "nothing": (lambda: forecast(None, F), "labelled.*'initial'.*NoneType"),
    "number as key": (lambda: simulate(MODEL, U0, F, key=0), r"is 0. Make it by jax"),
    "untyped key": (
        lambda: simulate(MODEL, U0, F, key=jax.random.PRNGKey(0)),
        "one typed key",
    ),
    "keys": (
        lambda: simulate(MODEL, U0, F, key=jax.random.split(KEY, 3)),
        "one typed key",
    ),
    "half a call": (lambda: simulate(MODEL, U0, F, steps=1.5, key=KEY), "steps=1.5"),
    "no calls": (lambda: simulate(MODEL, U0, F, steps=-1, key=KEY), "steps=-1"),
    "half a member": (
        lambda: simulate(MODEL, U0, F, members=2.5, key=KEY),
        "members=2.5",
    ),
    "text as batch": (
        lambda: simulate(MODEL, U0, F, batch_size="2", key=KEY),
        "batch_size='2'",
    ),
    "half a frame": (lambda: simulate(MODEL, U0, F, frames=2.5, key=KEY), "2.5"),
    "name as model": (lambda: simulate("burgers", U0, F, key=KEY), r"wdno\.load"),
    "name as sampler": (
        lambda: simulate(MODEL, U0, F, sampler="ddim", key=KEY),
        "sampler is a.*'ddim'",
    ),
    "labelled rollout": (
        lambda: rollout(MODEL, {"u0": U0}, {"f": F}, key=KEY),
        "takes arrays, but 'u0' is a DataArray",
    ),
    "bare rollout": (lambda: rollout(MODEL, U0.values, key=KEY), "by their names"),
    "key of a rollout": (
        lambda: rollout(MODEL, {"u0": U0.values}, {"f": F.values}, key=0),
        "one typed key",
    ),
    "array to diagnose": (lambda: diagnose(MODEL, TRUTH.u, key=KEY), "to_dataset"),
    "half a level": (lambda: diagnose(MODEL, TRUTH, levels=2.5, key=KEY), "levels=2.5"),
    "half a candidate": (
        lambda: stable_schedule(MODEL, TRUTH, candidates=2.5, key=KEY),
        "candidates=2.5",
    ),
    "key of trajectories": (lambda: SYSTEM.trajectories(0), "one typed key"),
    "half a trajectory": (lambda: SYSTEM.trajectories(KEY, 2.5), "samples is 2.5"),
    "array to score": (lambda: wdno.metrics.mse(TRUTH.u.values, TRUTH.u), "labelled"),
    "array to sum up": (
        lambda: wdno.metrics.summary(TRUTH.u.values, TRUTH.u),
        "labelled",
    ),
    "no planner": (lambda: wdno.control(MODEL, U0, key=KEY), r"by a wdno\.Planner"),
    "no planner in a loop": (
        lambda: control_loop(MODEL, SYSTEM, U0, every=2, key=KEY),
        r"by a wdno\.Planner",
    ),
    "name of a planner": (lambda: wdno.Planner("burgers", abs), r"wdno\.load"),
    "name of an objective": (
        lambda: wdno.Planner(make_tiny(task=tasks.control), "reach"),
        "objective is a function.*'reach'",
    ),
}


@pytest.mark.parametrize(("call", "message"), CALLS.values(), ids=CALLS)
def test_arguments_of_another_kind_are_refused_in_a_sentence(call, message, unchecked):
    with pytest.raises(ValueError, match=message):
        call()


def test_numbers_of_numpy_are_whole(unchecked):
    found = simulate(MODEL, U0, F, members=np.int64(2), steps=np.int32(1), key=KEY)
    assert found.sizes["member"] == 2
