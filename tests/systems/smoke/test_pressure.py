"""The pressure projection against a direct solve, identities and another library."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import sparse
from scipy.ndimage import label

from wdno.systems import Smoke
from wdno.systems.smoke.pressure import PressureProjection, open_faces
from wdno.systems.smoke.staggered import Faces, divergence, gradient

ROWS, COLUMNS = 12, 9


def blocks(seed, rows=ROWS, columns=COLUMNS):
    """Random single-cell obstacles, some of them at the border; holes are filled."""
    fluid = np.random.default_rng(seed).random((rows, columns)) > 0.3
    parts, _ = label(fluid)
    rim = np.concatenate([parts[0], parts[-1], parts[:, 0], parts[:, -1]])
    return fluid & np.isin(parts, rim)


def rough(rows=ROWS, columns=COLUMNS, batch=2, seed=0):
    generator = np.random.default_rng(seed)
    return Faces(
        jnp.asarray(generator.normal(size=(batch, rows, columns + 1))),
        jnp.asarray(generator.normal(size=(batch, rows + 1, columns))),
    )


def project(fluid, velocity):
    """By the compiled function."""
    return jax.jit(PressureProjection(fluid).__call__)(velocity)


def inner(one, other):
    return sum(float(np.vdot(a, b)) for a, b in zip(one, other, strict=True))


def close(one, other, **tolerance):
    for a, b in zip(one, other, strict=True):
        np.testing.assert_allclose(a, b, **tolerance)


def directly(fluid, x, y):
    """Projection by loops over cells and a sparse direct solve."""
    rows, columns = fluid.shape
    x, y = np.array(x), np.array(y)
    number = {tuple(cell): n for n, cell in enumerate(np.argwhere(fluid))}

    def solid(j, i):
        return 0 <= j < rows and 0 <= i < columns and not fluid[j, i]

    def faces():
        for j in range(rows):
            for i in range(columns + 1):
                yield x, (j, i), (j, i - 1), (j, i)
        for j in range(rows + 1):
            for i in range(columns):
                yield y, (j, i), (j - 1, i), (j, i)

    matrix = sparse.lil_matrix((len(number), len(number)))
    right = np.zeros(len(number))
    for values, face, before, behind in faces():
        if solid(*before) or solid(*behind):
            values[face] = 0
            continue
        for here, there, sign in ((before, behind, 1), (behind, before, -1)):
            if here in number:
                right[number[here]] += sign * values[face]
                matrix[number[here], number[here]] -= 1
                if there in number:
                    matrix[number[here], number[there]] += 1
    pressure = sparse.linalg.spsolve(matrix.tocsc(), right)
    at = dict(zip(number, pressure, strict=True))
    for values, face, before, behind in faces():
        if not (solid(*before) or solid(*behind)):
            values[face] -= at.get(behind, 0) - at.get(before, 0)
    return x, y


@pytest.mark.parametrize("seed", range(3))
def test_projection_equals_a_direct_solve(seed):
    fluid, velocity = blocks(seed), rough(batch=1, seed=seed)
    expected = directly(fluid, *(v[0] for v in velocity))
    close([v[0] for v in project(fluid, velocity)], expected, atol=1e-10)


def test_projection_without_obstacles_equals_a_direct_solve():
    fluid, velocity = np.ones((ROWS, COLUMNS), bool), rough(batch=1)
    expected = directly(fluid, *(v[0] for v in velocity))
    close([v[0] for v in project(fluid, velocity)], expected, atol=1e-10)


def test_no_divergence_is_left_and_obstacles_are_closed():
    fluid = np.ones((ROWS, COLUMNS), bool)
    fluid[4:6] = False  # from side to side
    fluid[9, 3] = fluid[-2:, -3:] = False
    after = project(fluid, rough())
    assert np.abs(divergence(after)).max() < 1e-12
    closed = jax.tree.map(np.logical_not, open_faces(fluid))
    assert not np.any(after.x[:, closed.x]) and not np.any(after.y[:, closed.y])
    assert np.abs(after.x[:, ~closed.x]).max() > 0.1


def test_faces_are_open_between_fluid_and_at_the_open_sides():
    fluid = np.array([[True, True, False], [True, False, True]])
    x, y = open_faces(fluid)
    np.testing.assert_array_equal(x, [[1, 1, 0, 0], [1, 0, 0, 1]])
    np.testing.assert_array_equal(y, [[1, 1, 0], [1, 0, 0], [1, 0, 1]])


@pytest.mark.slow
def test_no_divergence_is_left_in_the_official_box():
    """Up to rounding, which its narrow gaps amplify; a second pass is exact."""
    official = Smoke().flow.project
    velocity = jax.tree.map(lambda v: v.astype(jnp.float32), rough(127, 127, batch=1))
    once = jax.jit(official.__call__)
    after = once(velocity)
    assert after.x.dtype == after.y.dtype == np.float32
    before = np.abs(divergence(velocity)).max()
    assert np.abs(divergence(after)[:, official.fluid]).max() < 1e-5 * before
    assert np.abs(divergence(once(after))[:, official.fluid]).max() < 1e-6
    close(once(after), after, atol=1e-4)


def test_projecting_twice_changes_nothing():
    once = project(blocks(1), rough())
    close(project(blocks(1), once), once, atol=1e-12)


def test_what_is_taken_away_is_orthogonal_to_what_is_left():
    velocity = rough()
    after = project(blocks(1), velocity)
    taken = jax.tree.map(jnp.subtract, velocity, after)
    assert inner(after, after) > 1 and inner(taken, taken) > 1
    assert abs(inner(after, taken)) < 1e-10


def test_the_projection_is_its_own_adjoint():
    one, other = rough(), rough(seed=1)
    after, pull = jax.vjp(jax.jit(PressureProjection(blocks(1)).__call__), one)
    close(pull(other)[0], project(blocks(1), other), atol=1e-12)
    np.testing.assert_allclose(
        inner(after, other), inner(one, project(blocks(1), other)), rtol=1e-10
    )


def test_the_pressure_operator_is_symmetric_and_negative():
    pressure = PressureProjection(blocks(1))
    cells = np.eye(ROWS * COLUMNS)[pressure.fluid.ravel()]
    cells = jnp.asarray(cells.reshape(-1, ROWS, COLUMNS))
    inverse = jax.jit(pressure.pressure)(cells)[:, pressure.fluid]
    np.testing.assert_allclose(inverse, inverse.T, atol=1e-12)
    assert np.linalg.eigvalsh(inverse).max() < -0.1


def around_a_block():
    fluid = np.ones((ROWS, COLUMNS), bool)
    fluid[3:7, 2:6] = False
    return fluid


def test_a_source_inside_an_obstacle_changes_nothing():
    velocity = rough()
    inside = velocity.x.at[:, 3:7, 3:5].add(100.0)
    one, other = (
        project(around_a_block(), Faces(x, velocity.y)) for x in (velocity.x, inside)
    )
    close(one, other, atol=1e-12)


def whirl(stream):
    """The velocity of a stream function on the corners of cells."""
    return Faces(stream[:, 1:] - stream[:, :-1], stream[:, :, :-1] - stream[:, :, 1:])


def test_a_whirl_round_an_obstacle_stays():
    stream = rough(ROWS, COLUMNS + 1).y
    velocity = whirl(stream.at[:, 3:8, 2:7].set(0.3))
    close(project(around_a_block(), velocity), velocity, atol=1e-12)


def test_a_potential_flow_without_divergence_stays():
    row, column = np.arange(ROWS + 2.0)[:, None], np.arange(COLUMNS + 2.0)
    harmonic = jnp.asarray(row**2 - column**2 + 0.5 * row * column - column)[None]
    along_x, along_y = jnp.diff(harmonic, axis=2), jnp.diff(harmonic, axis=1)
    velocity = Faces(along_x[:, 1:-1], along_y[:, :, 1:-1])
    fluid = np.ones((ROWS, COLUMNS), bool)
    close(project(fluid, velocity), velocity, atol=1e-11)


def test_a_gradient_round_obstacles_is_taken_away():
    fluid = around_a_block()
    slope = gradient(rough().x[:, :, 1:] * fluid[None].astype(float))
    close(project(fluid, slope), jax.tree.map(jnp.zeros_like, slope), atol=1e-12)


@pytest.mark.parametrize("axis", [0, 1])
def test_a_mirrored_box_has_the_mirrored_flow(axis):
    fluid, velocity = blocks(2), rough()
    signs = (-1, 1) if axis == 1 else (1, -1)

    def mirrored(velocity):
        flipped = (jnp.flip(v, axis + 1) for v in velocity)
        return Faces(*(s * v for s, v in zip(signs, flipped, strict=True)))

    ours = project(np.flip(fluid, axis), mirrored(velocity))
    close(ours, mirrored(project(fluid, velocity)), atol=1e-12)


def test_a_transposed_box_has_the_transposed_flow():
    fluid, velocity = blocks(2), rough()

    def transposed(velocity):
        return Faces(velocity.y.swapaxes(1, 2), velocity.x.swapaxes(1, 2))

    ours = project(fluid.T, transposed(velocity))
    close(ours, transposed(project(fluid, velocity)), atol=1e-12)


def test_rows_are_independent():
    velocity = rough()
    alone = project(blocks(1), Faces(*(v[1:] for v in velocity)))
    close([v[1:] for v in project(blocks(1), velocity)], alone, atol=1e-12)


def test_products_are_not_rounded_on_accelerators():
    """Their default for single precision is a mantissa of 10 bits."""
    velocity = jax.tree.map(lambda v: v.astype(jnp.float32), rough())
    lowered = jax.jit(PressureProjection(blocks(1)).__call__).lower(velocity).as_text()
    products = [line for line in lowered.splitlines() if "dot_general" in line]
    assert products
    assert all("precision = [HIGHEST, HIGHEST]" in line for line in products)


def test_enclosed_fluid_is_refused():
    fluid = np.ones((ROWS, COLUMNS), bool)
    fluid[3:8, 2:7] = False
    fluid[4, 5] = True
    with pytest.raises(ValueError, match=r"enclose the cell \(y, x\) = \(4, 5\)"):
        PressureProjection(fluid)
    fluid[4, 6] = True
    PressureProjection(fluid)
    fluid[4, 6], fluid[3, 6] = False, True  # a corner is no gap
    with pytest.raises(ValueError, match="Leave a gap"):
        PressureProjection(fluid)


def test_convergence_order_is_two_for_a_smooth_potential():
    """v = ∇p + a whirl with p = x (1 - x) eˣ y² (1 - y), zero in the ghost cells."""
    errors = []
    for count in (15, 31, 63):
        spacing = 1 / (count + 1)
        at = np.arange(1, count + 1) * spacing
        edge = (np.arange(count + 1) + 0.5) * spacing
        slope_x = (1 - edge - edge**2) * np.exp(edge) * (at**2 * (1 - at))[:, None]
        slope_y = at * (1 - at) * np.exp(at) * (2 * edge - 3 * edge**2)[:, None]
        turn = np.sin(3 * edge)[:, None] * np.cos(2 * edge) / spacing
        around = whirl(jnp.asarray(turn)[None])
        velocity = Faces(around.x + slope_x[None], around.y + slope_y[None])
        after = project(np.ones((count, count), bool), velocity)
        left = jax.tree.map(jnp.subtract, after, around)
        errors.append(np.sqrt(inner(left, left)) * spacing)
    orders = np.log2(np.divide(errors[:-1], errors[1:]))
    assert np.all(orders > 1.8), orders


def test_projection_equals_that_of_phiflow():
    """PhiFlow 3 puts zero pressure where ours is: one cell beyond the open border.

    It also slows the flow along obstacles before it projects (`soft` masks); both
    libraries are given the slowed velocity.
    """
    flow = pytest.importorskip("phi.flow")
    rows, columns, places = 24, 32, [(5, 6, 4, 7), (14, 20, 6, 3), (0, 15, 3, 4)]
    fluid = np.ones((rows, columns), bool)
    for y, x, height, width in places:
        fluid[y : y + height, x : x + width] = False
    obstacles = [
        flow.Obstacle(flow.Box(x=(x, x + width), y=(y, y + height)))
        for y, x, height, width in places
    ]
    parts = [np.asarray(v[0]) for v in rough(rows, columns)]

    def arrays(grid):
        return [grid.vector[n].values.numpy("y,x") for n in "xy"]

    with flow.math.precision(64):
        values = [flow.tensor(part, flow.spatial("y,x")) for part in parts]
        grid = flow.StaggeredGrid(
            flow.math.stack(
                dict(zip("xy", values, strict=True)), flow.dual(vector="x,y")
            ),
            flow.extrapolation.BOUNDARY,
            x=columns,
            y=rows,
        )
        slowed = arrays(flow.fluid.apply_boundary_conditions(grid, obstacles))
        solver = flow.Solve("CG", 1e-10, 1e-10, max_iterations=5000)
        theirs, _ = flow.fluid.make_incompressible(grid, obstacles, solver)
    ours = project(fluid, Faces(*(jnp.asarray(s)[None] for s in slowed)))
    for our, their, before in zip(ours, arrays(theirs), slowed, strict=True):
        assert np.linalg.norm(before - their) > 0.3 * np.linalg.norm(their)
        np.testing.assert_allclose(our[0], their, atol=1e-8)
