"""The tasks differ in what is found and what is given, and in nothing else."""

import numpy as np
import pytest

from wdno.operator import tasks
from wdno.wavelets.field import Field, Role
from wdno.wavelets.layout import WaveletLayout

DIMS = ("time", "x")
BURGERS = (("u",), ("f",), DIMS)
SMOKE = (("density", "velocity_x", "velocity_y"), ("push",), ("time", "y", "x"))

each_system = pytest.mark.parametrize("system", [BURGERS, SMOKE], ids=["1d", "2d"])


def layouts(task, levels=1):
    """Of targets and given fields, on one grid."""
    dims = task.targets[0].dims
    grid, mode = (8,) * len(dims), ("periodization",) * len(dims)
    return [
        WaveletLayout(fields, dims, grid, "bior2.4", mode, levels) for fields in task
    ]


def test_burgers_fields():
    u, f = Field("u", DIMS), Field("f", DIMS, Role.PIECEWISE_CONSTANT)
    u0 = Field("u0", ("x",), Role.INITIAL, of="u")
    coarse = Field("u_coarse", DIMS, Role.COARSE, of="u", level=1)
    assert tasks.simulation(*BURGERS) == ((u,), (u0, f))
    assert tasks.refinement(*BURGERS) == ((u,), (u0, f, coarse))
    assert tasks.control(*BURGERS) == ((u, f), (u0,))


@pytest.mark.parametrize(
    ("task", "targets", "given"),
    [
        (tasks.simulation, 4, 2 + 4),
        (tasks.refinement, 4, 2 + 4 + 4),
        (tasks.control, 4 + 4, 2),
    ],
)
def test_burgers_channels(task, targets, given):
    """Four subbands for a field of time and x, two for one of x."""
    found, known = layouts(task(*BURGERS))
    assert (len(found.channels), len(known.channels)) == (targets, given)


def test_burgers_channels_of_two_levels():
    found, known = layouts(tasks.simulation(*BURGERS), levels=2)
    assert (len(found.channels), len(known.channels)) == (16, 4 + 16)


def test_a_derived_field_gives_way_to_one_that_really_has_its_name():
    found = tasks.reaching(("u", "u0", "uT"), (), DIMS)
    assert [q.name for q in found.targets] == ["u", "u0", "uT"]
    names = {(q.of, q.role): q.name for q in found.given}
    assert names["u", Role.INITIAL] == "u_initial"
    assert names["u", Role.FINAL] == "u_final"
    assert names["u0", Role.INITIAL] == "u00"
    assert names["uT", Role.FINAL] == "uTT"


def test_conditions_follow_the_roles_of_fields_whatever_their_names():
    record = np.arange(24.0).reshape(1, 4, 6)
    given = (
        Field("last", ("x",), Role.FINAL, of="u"),
        Field("rough", DIMS, Role.COARSE, of="u", level=1),
        Field("uT", ("x",), Role.STATIC),
    )
    wish = np.zeros((1, 6))
    found = tasks.with_conditions({"u": record, "uT": wish}, given)
    np.testing.assert_array_equal(found["last"], record[:, -1])
    np.testing.assert_array_equal(found["rough"], record[:, 1::2, ::2])
    assert found["uT"] is wish
    kept = tasks.with_conditions({"u": record, "last": wish}, given)
    assert kept["last"] is wish  # what is wished for is not overwritten


@each_system
def test_refinement_is_simulation_given_the_coarse_state_too(system):
    state, _, dims = system
    simulation, refinement = tasks.simulation(*system), tasks.refinement(*system)
    assert refinement.targets == simulation.targets
    assert refinement.given == simulation.given + tasks.coarse(state, dims)


@each_system
def test_control_is_simulation_with_the_control_to_be_found(system):
    _, control, dims = system
    simulation, planning = tasks.simulation(*system), tasks.control(*system)
    moved = tasks.piecewise_constant(control, dims)
    assert planning.targets == simulation.targets + moved
    assert planning.given + moved == simulation.given


@each_system
def test_instants_lack_time_and_only_coarse_fields_are_coarse(system):
    state, _, dims = system
    initial, final = tasks.initial(state, dims), tasks.final(state, dims)
    assert [q.name for q in initial] == [f"{name}0" for name in state]
    assert [q.name for q in final] == [f"{name}T" for name in state]
    assert {q.dims for q in initial + final} == {dims[1:]}
    assert {q.level for q in initial + final + tasks.whole(state, dims)} == {0}
    assert {(q.dims, q.level) for q in tasks.coarse(state, dims)} == {(dims, 1)}


@each_system
@pytest.mark.parametrize("task", [tasks.simulation, tasks.refinement, tasks.control])
def test_names_are_distinct_and_grids_shared(task, system):
    fields = task(*system).targets + task(*system).given
    assert len({q.name for q in fields}) == len(fields)
    found, known = layouts(task(*system))
    assert found.coefficient_grid == known.coefficient_grid
