"""Windows in flight together are what each would be alone."""

import dataclasses
import threading
from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from oracles import make_fields, make_operator
from tiny import Perceptron, make_tiny

import wdno
from wdno import WDNO, Domain, WaveletLayout
from wdno.accelerate.generator import Unguided
from wdno.accelerate.stream_batch import Request, StreamBatch
from wdno.diffusion.denoiser import Denoiser, freeze
from wdno.diffusion.keys import row_keys
from wdno.diffusion.preconditioning import EDMPreconditioning
from wdno.diffusion.samplers import ddim, dpmpp_2m, heun
from wdno.diffusion.schedules import KarrasSchedule
from wdno.operator import LearnedMean, tasks
from wdno.planning.constraints import bounds
from wdno.planning.objectives import reach

SAMPLERS = {
    "ddim": ddim(),
    "ddim, noise renewed in part": ddim(0.5),
    "ancestral": ddim(1.0),
    "heun": heun(),
    "dpmpp_2m": dpmpp_2m(),
}
DEPTH, ROWS = 3, 2
KEY = jax.random.key(0)
generate = jax.jit(wdno.generate, static_argnames="sampler")


line = cache(make_tiny)


@cache
def plane():
    """A model in two dimensions of space."""
    dims, mode = ("time", "y", "x"), ("periodization",) * 3
    targets, given = (
        WaveletLayout(fields, dims, (4, 4, 4), "haar", mode)
        for fields in tasks.simulation(("u",), ("f",), dims)
    )
    network = Perceptron(len(targets.channels), len(given.channels))
    return WDNO(
        targets,
        given,
        Denoiser(freeze(network), EDMPreconditioning()),
        Domain((0.0,) * 3, (0.25,) * 3),
        KarrasSchedule(0.02, 10.0),
    )


@cache
def with_mean():
    """A model of residuals, in units of a mean's scales."""
    model = line()
    targets, given = model.targets, model.given
    channels = len(targets.channels)
    mean = Perceptron(channels, len(given.channels), seed=1)
    network = Perceptron(channels, len(given.channels) + channels, seed=2)
    scale = tuple(np.linspace(0.2, 0.9, channels).tolist())
    return dataclasses.replace(
        model,
        denoiser=Denoiser(freeze(network), EDMPreconditioning()),
        residual=LearnedMean(freeze(mean), scale=scale),
    )


@cache
def planning():
    return make_tiny(task=tasks.reaching)


def unguided(model, sampler):
    return Unguided(model, sampler)


def guided(model, sampler):
    """All that a planner's estimates can heed."""
    return wdno.Planner(
        model,
        reach(("u",), ("f",), 0.01),
        strength=0.05,
        guidance=wdno.guidance.clip(2.0),
        constraint=bounds("f", -0.3, 0.3),
        sampler=sampler,
        steps=DEPTH,
    )


KINDS = {
    "a line": (line, unguided),
    "a plane": (plane, unguided),
    "a residual": (with_mean, unguided),
    "a guided planner": (planning, guided),
}


def requests_for(model, count):
    """Requests with known fields and keys of their own."""
    draw = np.random.default_rng(0)
    extents = dict(zip(model.given.dims, model.given.grid, strict=True))
    return [
        Request(
            {
                q.name: jax.device_put(
                    draw.normal(size=(ROWS, *(extents[d] for d in q.dims)))
                )
                for q in model.given.fields
            },
            row_keys(jax.random.key(n), ROWS),
        )
        for n in range(count)
    ]


def alone(generator, request):
    """The same without a stream."""
    if isinstance(generator, wdno.Planner):
        return generator(*request)
    model = generator.model
    levels = model.levels(DEPTH)
    return generate(model, request.known, generator.sampler, levels, request.key)


def stream_of(generator, steps=DEPTH):
    return StreamBatch(generator, generator.model.levels(steps))


def assert_same(found, expected):
    assert sorted(found) == sorted(expected)
    for name, values in expected.items():
        np.testing.assert_allclose(found[name], values, rtol=1e-9, atol=1e-9)


CASES = [("a line", sampler) for sampler in SAMPLERS]
CASES += [(kind, "dpmpp_2m") for kind in KINDS if kind != "a line"]
CASES += [pytest.param("a guided planner", "ancestral", marks=pytest.mark.slow)]


@pytest.mark.parametrize(("kind", "sampler"), CASES)
def test_windows_are_what_they_would_be_alone(kind, sampler):
    """More windows than places; after idle ticks; and a second time."""
    make, generating = KINDS[kind]
    generator = generating(make(), SAMPLERS[sampler])
    requests = requests_for(generator.model, 5)
    stream = stream_of(generator)
    found = [stream.push(requests[0]), stream.push(requests[1])]
    found += [stream.advance(), stream.advance(), stream.advance()]
    found += map(stream.push, requests[2:])
    assert [n for n, window in enumerate(found) if window is not None] == [2, 3, 7]
    windows = [window for window in found if window is not None] + stream.flush()
    expected = [alone(generator, request) for request in requests]
    assert len(windows) == len(expected)
    for window, other in zip(windows, expected, strict=True):
        assert_same(window, other)


def test_single_precision_agrees_to_a_hundred_thousandth():
    model = jax.tree.map(lambda p: p.astype(jnp.float32), with_mean())
    generator = Unguided(model, dpmpp_2m())
    single = [
        request._replace(known=jax.tree.map(jnp.float32, request.known))
        for request in requests_for(model, 4)
    ]
    stream = stream_of(generator)
    windows = [stream.push(request) for request in single][DEPTH - 1 :]
    for window, request in zip(windows + stream.flush(), single, strict=True):
        expected = alone(generator, request)["u"]
        assert window["u"].dtype == jnp.float32
        np.testing.assert_allclose(window["u"], expected, rtol=1e-5, atol=1e-5)


def test_places_say_which_are_filled():
    generator = Unguided(line(), ddim())
    stream, request = stream_of(generator), requests_for(line(), 1)[0]
    with pytest.raises(ValueError, match="flushed once windows were begun"):
        stream.flush()
    assert stream.advance() is None
    assert stream.in_flight == (None, None, None)
    stream.push(request)
    assert stream.in_flight == (1, None, None)
    stream.push(request)
    assert stream.in_flight == (2, 1, None)
    assert stream.push(request) is not None
    assert stream.in_flight == (None, 2, 1)
    assert len(stream.flush()) == 2 and stream.in_flight == (None,) * 3
    assert stream.flush() == []


def test_everything_is_compiled_once(compilations):
    generator = Unguided(planning(), dpmpp_2m())
    requests = requests_for(generator.model, 6)

    def run():
        stream = stream_of(generator)
        for request in requests:
            stream.push(request)
        stream.flush()

    run()
    assert compilations(run) == 0


def test_one_call_a_tick():
    class Counting:
        calls = 0

        def __call__(self, x, c_noise, cond):
            Counting.calls += 1
            return jnp.zeros_like(x)

    def calls_of(sampler):
        model = line()
        denoiser = dataclasses.replace(
            model.denoiser, backbone=jax.tree_util.Partial(Counting())
        )
        generator = Unguided(dataclasses.replace(model, denoiser=denoiser), sampler)
        Counting.calls = 0
        stream_of(generator).push(requests_for(model, 1)[0])
        return Counting.calls

    assert [calls_of(sampler) for sampler in (ddim(1.0), dpmpp_2m(), heun())] == [
        *(1, 1, 2)
    ]


# ------------------------------------------------------------- what is seen meanwhile


def test_frames_that_are_over_are_as_observed():
    """Each window has them where they lie in it, and the objective sees them."""
    generator = guided(planning(), ddim(1.0))
    requests, stream = requests_for(generator.model, 2), stream_of(generator)
    draw = np.random.default_rng(3)
    told = [
        {name: jnp.asarray(draw.normal(size=(ROWS, 1, 8))) / 20 for name in ("u", "f")}
        for _ in range(3)
    ]
    stream.observe(told[0])  # nothing is in flight yet
    stream.push(requests[0])
    stream.observe(told[0])
    stream.push(requests[1])
    stream.observe(told[1])
    first = stream.advance()
    stream.observe(told[2])
    (second,) = stream.flush()
    for name in ("u", "f"):
        np.testing.assert_array_equal(first[name][:, :1], told[0][name])
        np.testing.assert_array_equal(first[name][:, 1:2], told[1][name])
        np.testing.assert_array_equal(second[name][:, :1], told[1][name])
        np.testing.assert_array_equal(second[name][:, 1:2], told[2][name])
    whole = {**requests[1].known, **second}
    np.testing.assert_allclose(second["objective"], generator.objective(whole))


def test_a_place_forgets_what_its_last_window_was_told():
    generator = Unguided(planning(), ddim())
    requests, stream = requests_for(planning(), 2), stream_of(generator)
    stream.push(requests[0])
    stream.observe({"u": jnp.ones((ROWS, 2, 8))})
    stream.push(requests[1])
    stream.flush()
    stream.push(requests[1])
    stream.observe({"u": jnp.ones((ROWS, 1, 8))})
    stream.push(requests[0])
    assert_same(stream.flush()[-1], alone(generator, requests[0]))


def test_windows_that_are_rolled_start_from_what_is_known_there():
    """An oracle reads the answer off the condition, so that its samples are exact."""
    model = make_operator()
    generator, stream = Unguided(model, dpmpp_2m()), None
    fields = [make_fields(seed=n) for n in range(3)]
    known = [{name: f[name] for name in ("u0", "f")} for f in fields]
    stream = stream_of(generator)
    stream.push(Request(known[0], KEY))
    stream.push(Request(known[1], KEY))
    stream.roll(2, known[2])
    for window in stream.flush():
        np.testing.assert_allclose(window["u"], fields[2]["u"], atol=1e-9)


def test_rolled_coefficients_are_shifted_and_end_in_fresh_noise():
    model = make_operator(grid=(16, 64))
    stream = StreamBatch(Unguided(model, ddim()), np.asarray([4.0, 2.0, 1.0]))
    known = {n: make_fields(3, 16, 64)[n] for n in ("u0", "f")}
    stream.push(Request(known, KEY))
    before = stream._places.flight.x[:3]
    stream.roll(4, known)
    after = stream._places.flight.x[:3]
    np.testing.assert_array_equal(after[:, :-2], before[:, 2:])
    fresh = after[:, -2:]
    assert 1.8 < fresh.std() < 2.2  # the level that it is at
    stream.roll(4, known)
    again = stream._places.flight.x[:3]
    np.testing.assert_array_equal(again[:, -4:-2], fresh)
    assert abs(again[:, -2:] - fresh).min() > 0  # another draw


# ------------------------------------------------------------------------ bad input


def refusals():
    like = requests_for(planning(), 1)[0]
    goal = like.known["uT"]

    def known(**changed):
        return like._replace(known={**like.known, **changed})

    frame = jnp.zeros((ROWS, 1, 8))
    return {
        "another grid": (
            lambda s: s.push(known(u0=jnp.zeros((ROWS, 16)))),
            "u0.*now came.*16",
        ),
        "a goal of another shape": (
            lambda s: s.push(known(uT=goal[:, :4])),
            "all requests have the same fields",
        ),
        "fewer rows": (
            lambda s: s.push(Request({n: u[:1] for n, u in like.known.items()}, KEY)),
            "all requests have the same fields, rows",
        ),
        "another type": (
            lambda s: s.push(known(uT=goal.astype(jnp.float32))),
            "float32",
        ),
        "another field": (lambda s: s.push(known(extra=goal)), "extra"),
        "a wrong key": (lambda s: s.push(like._replace(key=KEY[None][:0])), "key"),
        "a tick of no whole row": (lambda s: s.roll(3, like.known), "multiples of 2"),
        "rolled to another grid": (
            lambda s: s.roll(2, known(u0=goal[:, :4]).known),
            "all requests have the same fields",
        ),
        "what is not generated": (lambda s: s.observe({"uT": goal}), "over time"),
        "frames on another grid": (
            lambda s: s.observe({"u": frame[..., :4]}),
            "over time.*Cut them",
        ),
        "a window that is over": (
            lambda s: s.observe({"u": jnp.zeros((ROWS, 5, 8))}),
            "5 of one would be over",
        ),
    }


@pytest.mark.parametrize("what", refusals())
def test_what_is_refused_leaves_the_stream_as_it_was(what):
    generator = Unguided(planning(), ddim())
    requests, stream = requests_for(planning(), 2), stream_of(generator)
    stream.push(requests[0])
    wrong, message = refusals()[what]
    with pytest.raises(ValueError, match=message):
        wrong(stream)
    stream.push(requests[1])
    for window, request in zip(stream.flush(), requests, strict=True):
        assert_same(window, alone(generator, request))


def test_other_fields_may_be_observed_by_no_half():
    generator = Unguided(planning(), ddim())
    stream, frame = stream_of(generator), jnp.zeros((ROWS, 1, 8))
    stream.push(requests_for(planning(), 1)[0])
    stream.observe({"u": frame, "f": frame})
    with pytest.raises(ValueError, match="The same fields are told every time"):
        stream.observe({"u": frame})


def test_a_first_request_is_tried_out():
    known = requests_for(planning(), 1)[0].known
    generator = guided(planning(), ddim(1.0))
    with pytest.raises(ValueError, match="'u0' is missing"):
        stream_of(generator).push(Request({"uT": known["uT"]}, KEY))
    broken = dataclasses.replace(generator, objective=lambda fields: fields["u"])
    with pytest.raises(ValueError, match="one floating-point number a row"):
        stream_of(broken).push(Request(known, KEY))


@pytest.mark.parametrize(
    "levels", [[], [1.0], [1.0, 1.0, 0.0], [0.0, 1.0], [1.0, -1.0], [np.inf, 0.0]]
)
def test_noise_levels_decrease(levels):
    with pytest.raises(ValueError, match="two or more that decrease"):
        StreamBatch(Unguided(line(), ddim()), np.asarray(levels, float))


def test_a_stream_is_used_by_one_thread_at_a_time():
    """The second is refused, and the first goes on."""
    inside, leave = threading.Event(), threading.Event()

    @jax.tree_util.register_dataclass
    @dataclasses.dataclass(frozen=True, eq=False)
    class Slow(Unguided):
        def settled(self, known, window):
            inside.set()
            leave.wait(10)
            return window

    generator = Unguided(line(), ddim())
    (request,) = requests_for(generator.model, 1)
    stream, found = stream_of(generator), []
    stream.generator = Slow(generator.model, generator.sampler)
    stream.push(request)
    stream.push(request)
    first = threading.Thread(target=lambda: found.append(stream.push(request)))
    first.start()
    assert inside.wait(10)
    with pytest.raises(RuntimeError, match="one thread at a time"):
        stream.push(request)
    leave.set()
    first.join()
    assert_same(found[0], alone(generator, request))
    assert len(stream.flush()) == 2
