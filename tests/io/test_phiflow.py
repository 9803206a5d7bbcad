"""Fields of PhiFlow as datasets, against what the fields were made of."""

import numpy as np
import pytest

from wdno.io import from_phiflow

flow = pytest.importorskip("phi.flow")

BOUNDS = {"x": (1.0, 5.0), "y": (0.0, 2.0)}
X, Y = 1.25 + 0.5 * np.arange(8), 0.25 + 0.5 * np.arange(4)
TIME = [0.0, 0.5, 1.5]


def scalar(values, order="x,y", **batch):
    """A field of these values, whose axes are named in this order."""
    dims = (flow.batch(**batch),) if batch else ()
    return flow.CenteredGrid(
        flow.tensor(values, *dims, flow.spatial(order)), 0, flow.Box(**BOUNDS)
    )


def staggered(boundary, function):
    return flow.StaggeredGrid(function, boundary, flow.Box(**BOUNDS), x=8, y=4)


def draw(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def frames(values, **others):
    return [{"smoke": scalar(v), **others} for v in values]


def test_frames_become_a_trajectory_whose_axes_go_by_name():
    values = draw(3, 8, 4)
    turned = [{"smoke": scalar(v.T, "y,x")} for v in values]
    for given in (frames(values), iter(frames(values)), [frames(values)], turned):
        data = from_phiflow(given, TIME).transpose("sample", "time", "x", "y")
        np.testing.assert_array_equal(data.smoke, values[None])
        assert data.smoke.dtype == np.float32
        for axis, points in {"x": X, "y": Y, "time": TIME}.items():
            np.testing.assert_allclose(data[axis], points)
    assert from_phiflow(frames(values), TIME).smoke.attrs == {
        "cell_methods": "time: point"
    }


def test_fields_with_time_and_batch_dimensions_become_rows():
    values = draw(2, 3, 5, 8, 4)  # place, time, seed, x, y
    dims = flow.batch("place,time,seed"), flow.spatial("x,y")
    whole = flow.CenteredGrid(flow.tensor(values, *dims), 0, flow.Box(**BOUNDS))
    data = from_phiflow({"smoke": whole}, TIME)
    rows = values.swapaxes(1, 2).reshape(10, 3, 8, 4)  # the first varies slowest
    np.testing.assert_array_equal(data.smoke, rows)
    # A state that is the same for all is repeated, as an initial state may be.
    first = {"smoke": scalar(values[0, 0, 0])}
    later = [{"smoke": scalar(values[0, n].copy(), seed=5)} for n in (1, 2)]
    data = from_phiflow([first, *later], TIME)
    np.testing.assert_array_equal(data.smoke[:, 0], values[[0] * 5, 0, 0])
    np.testing.assert_array_equal(data.smoke[:, 1:], values[0, 1:].swapaxes(0, 1))


def test_several_trajectories_have_their_own_obstacles():
    values = draw(2, 3, 8, 4)
    box = flow.Box(x=(2, 3), y=(0.5, 1))
    tall = flow.Obstacle(flow.Box(y=(0, 2), x=(4, 5)))  # axes in another order
    own = [{"obstacle": (box, tall)}, {"obstacle": ()}]
    data = from_phiflow(map(frames, values), TIME, static=own)
    np.testing.assert_array_equal(data.smoke, values)
    expected = np.zeros((2, 8, 4), np.float32)
    expected[0, 2:4, 1] = expected[0, 6:] = 1
    np.testing.assert_array_equal(data.obstacle, expected)
    assert set(data.coords) == {"time", "x", "y", "obstacle"}
    for shared in (
        from_phiflow(frames(values[0]), TIME, static=own[0]),
        from_phiflow(map(frames, values), TIME, static=own[0]),
    ):
        np.testing.assert_array_equal(shared.obstacle, expected[0])
        assert shared.obstacle.dims == ("x", "y")
    places = flow.wrap([2.5, 4.5], flow.batch("place"))
    moved = flow.Cuboid(flow.vec(x=places, y=0.75), x=1, y=0.5)
    rows = scalar(values[:, 0], place=2)
    data = from_phiflow([{"smoke": rows}], [0.0], static={"obstacle": moved})
    assert data.obstacle.dims == ("sample", "x", "y")
    np.testing.assert_array_equal(data.obstacle.sum(("x", "y")), [2, 2])
    np.testing.assert_array_equal(data.obstacle[1, 6:8, 1], [1, 1])


@pytest.mark.parametrize(
    ("boundary", "ends"),
    [
        ("open", (1.0, 5.0)),  # stored faces, at x = 1 and 5
        (0, (0.0, 0.0)),  # closed walls
        ("periodic", (1.0, 1.0)),  # the face at the seam is stored once
        ({"x-": 3.0, "x+": "open", "y": 0}, (3.0, 5.0)),  # inflow
    ],
)
def test_a_staggered_velocity_is_the_mean_of_the_faces_of_each_cell(boundary, ends):
    kinds = {"open": flow.ZERO_GRADIENT, "periodic": flow.PERIODIC}
    if isinstance(boundary, dict):
        boundary = {side: kinds.get(kind, kind) for side, kind in boundary.items()}
        boundary["x-"] = flow.vec(x=boundary["x-"], y=0)
    else:
        boundary = kinds.get(boundary, boundary)
    # v_x = x at the faces x = 1, 1.5 … 5, but for the boundary condition at the ends.
    velocity = staggered(boundary, lambda p: p)
    data = from_phiflow([{"velocity": velocity}], [0.0])
    faces = np.linspace(1, 5, 9)
    faces[[0, -1]] = ends
    centres = (faces[1:] + faces[:-1]) / 2
    found = data.velocity_x.isel(sample=0, time=0).transpose("x", "y")
    np.testing.assert_allclose(found, np.tile(centres[:, None], 4), rtol=1e-6)
    assert data.velocity_y.attrs["field"] == "velocity"
    assert data.velocity_y.attrs["component"] == "y"
    assert data.velocity_y.dims == data.velocity_x.dims == ("sample", "time", "x", "y")


def test_instants_may_be_dates_and_vectors_lie_at_the_centres():
    days = np.array(["2020-01-01", "2020-01-02"], "datetime64[ns]")
    wind = flow.CenteredGrid(lambda p: p, 0, flow.Box(**BOUNDS), x=8, y=4)
    data = from_phiflow([{"wind": wind}] * 2, days)
    np.testing.assert_array_equal(data.time, days)
    np.testing.assert_allclose(data.wind_y[0, 1], np.tile(Y, (8, 1)), rtol=1e-6)


def test_components_of_other_channels_are_numbered():
    values = flow.tensor(draw(8, 4, 2), flow.spatial("x,y"), flow.channel("species"))
    grid = flow.CenteredGrid(values, 0, flow.Box(**BOUNDS))
    data = from_phiflow([{"heat": grid}], [0.0], static={"source": grid})
    assert sorted(data.data_vars) == ["heat_0", "heat_1"]
    np.testing.assert_array_equal(data.heat_1[0, 0], draw(8, 4, 2)[..., 1])
    np.testing.assert_array_equal(data.source_0, draw(8, 4, 2)[..., 0])


def test_what_is_no_trajectory_is_refused_in_a_sentence():
    good = frames(draw(3, 8, 4))
    smoke = good[0]["smoke"]
    wide = flow.CenteredGrid(0, 0, flow.Box(x=(1, 6), y=2), x=8, y=4)
    points = flow.PointCloud(flow.vec(x=1.0, y=2.0))
    nan = draw(8, 4)
    nan[3, 2] = np.nan
    own = flow.wrap([1.0, 2.0], flow.batch("place"))
    uneven = flow.CenteredGrid(
        0, 0, flow.Box(flow.vec(x=0, y=0), flow.vec(x=own, y=1)), x=8, y=4
    )
    moving = flow.Obstacle(flow.Sphere(x=2, y=1, radius=0.5), velocity=(1, 0))
    deep = flow.Sphere(x=2, y=1, z=1, radius=0.5)
    cases = [
        ((good, TIME[:2]), {}, "3 frames came and 2 instants"),
        ((good, [0, 2, 1]), {}, "increase"),
        ((good, [TIME]), {}, "increase"),
        (([], TIME), {}, "0 trajectories came"),
        ((good[0], TIME), {}, "have none. Give what never changes as `static`"),
        (([*good[:2], {"heat": smoke}], TIME), {}, r"frame 2 has \['heat'\]"),
        (([*good[:2], {"smoke": wide}], TIME), {}, "'smoke' has x = 1.3125 … 5.6875"),
        (([good, [{"smoke": wide}] * 3], TIME), {}, "trajectory 1 has 1.3125"),
        (([{"smoke": points}], [0]), {}, "'smoke' is a field on a Point"),
        (([{"smoke": uneven}], [0]), {}, "bounds of 'smoke' differ along"),
        (([{"smoke": None}], [0]), {}, "'smoke' is a NoneType"),
        (([*good[:2], {"smoke": scalar(nan)}], TIME), {}, "smoke of frame 2 has NaN"),
        (([{"x": smoke}], [0]), {}, r"\['x'\] came twice"),
        ((good, TIME), {"static": {"smoke": smoke}}, r"\['smoke'\] came twice"),
        ((good, TIME), {"static": {"obstacle": moving}}, "'obstacle' moves"),
        ((good, TIME), {"static": {"obstacle": deep}}, "'obstacle' has"),
        ((good, TIME), {"static": {"speed": 3.0}}, "'speed' is a float"),
        ((good, TIME), {"static": [{}, {}]}, "1 trajectories came and 2 mappings"),
    ]
    for given, options, message in cases:
        with pytest.raises(ValueError, match=message):
            from_phiflow(*given, **options)
