"""The systems of the official code: what its arrays hold, its constants, its networks.

Facts: WDNO (arXiv 2412.04833), appendices A, F and H, and the released configurations.
"""

from dataclasses import dataclass

from wdno.diffusion.schedules import CosineSchedule, DiscreteSchedule, SigmoidSchedule
from wdno.official.channel_groups import Bands, Subbands
from wdno.official.records import Geometry, Record
from wdno.official.tiling import Tiling
from wdno.official.unet_blocks import UNetConfig
from wdno.official.video_unet import VideoUNetConfig
from wdno.operator.domain import Domain
from wdno.wavelets.field import Field, Role

TIME_X = ("time", "x")
TIME_Y_X = ("time", "y", "x")

U = Record("u", TIME_X, before=1)
F = Record("f", TIME_X, after=1, mode="constant")
ENDS_1D = Bands("time", (Record("u0", ("x",)), Record("uT", ("x",))))
IN_TIME_AND_SPACE = (2, 2)
SCALE_1D = (10.0, 3.0, 3.0, 1.0, 21.0, 5.0, 5.0, 1.0)
ENDS_SCALE_1D = 10.0

DENSITY, VX, VY = (Record(name, TIME_Y_X, before=1) for name in ("density", "vx", "vy"))
STATES_2D = (DENSITY, VX, VY)
CX, CY = (Record(name, TIME_Y_X, after=1) for name in ("cx", "cy"))
DENSITY0 = Bands("time", (Record("density0", ("y", "x")),))
SMOKE = Bands("y", (Record("smoke", ("time",), before=1),))
IN_SPACE, IN_TIME = (1, 2, 2), (2, 1, 1)
SCALE_2D = (
    *(4.0, 2.0, 2.0, 2.0, 2.0, 2.0, 1.0, 1.0),
    *(37.0, 12.0, 15.0, 11.0, 19.0, 6.0, 11.0, 5.0),
    *(44.0, 24.0, 9.0, 10.0, 16.0, 9.0, 6.0, 6.0),
    *(37.0, 10.0, 15.0, 8.0, 19.0, 5.0, 11.0, 5.0),
    *(43.0, 24.0, 9.0, 10.0, 16.0, 9.0, 5.0, 5.0),
)
DENSITY0_SCALE, SMOKE_SCALE = 3.0, 2.0


def burgers_tiling(
    instants: int = 81, points: int = 120, padded: tuple[int, int] = (64, 64)
) -> Tiling:
    """u and f, then initial and final state in four bands: 9 channels."""
    return Tiling(
        Geometry(TIME_X, (instants, points), padded, "bior2.4", "periodization"),
        (Subbands(U), Subbands(F), ENDS_1D),
        (*SCALE_1D, ENDS_SCALE_1D),
    )


def burgers_refinement_tiling(
    instants: int = 81, points: int = 120, padded: tuple[int, int] = (64, 64)
) -> Tiling:
    """u and f with a repeated last row, both on the coarser grid, ends: 17 channels."""
    last_row = ((0, 1), (0, 0))
    return Tiling(
        Geometry(TIME_X, (instants, points), padded, "bior2.4", "periodization"),
        (
            Subbands(U, last_row),
            Subbands(F, last_row),
            Subbands(U.coarser(IN_TIME_AND_SPACE)),
            Subbands(F.coarser(IN_TIME_AND_SPACE)),
            ENDS_1D,
        ),
        (*SCALE_1D, *SCALE_1D, ENDS_SCALE_1D),
    )


def smoke_tiling(
    instants: int = 32, points: int = 64, padded: tuple[int, int, int] = (24, 40, 40)
) -> Tiling:
    """Density, velocities, controls, initial density, smoke in the exit: 42."""
    fields = tuple(map(Subbands, (DENSITY, VX, VY, CX, CY)))
    extents = (instants, points, points)
    return Tiling(
        Geometry(TIME_Y_X, extents, padded, "bior1.3", "zero"),
        (*fields, DENSITY0, SMOKE),
        (*SCALE_2D, DENSITY0_SCALE, SMOKE_SCALE),
    )


def smoke_refinement_tiling(
    ratio: tuple[int, ...] = IN_SPACE,
    instants: int = 32,
    points: int = 64,
    padded: tuple[int, int, int] = (24, 40, 40),
) -> Tiling:
    """Fields with repeated ends, the same on the coarser grid, conditions: 82 channels.

    Refined are two axes of space or time, and along these the ends are repeated: twice
    the coarser coefficients are two more.
    """
    records = (DENSITY, VX, VY, CX, CY)
    ends = tuple((r - 1, r - 1) for r in ratio)
    extents = (instants, points, points)
    return Tiling(
        Geometry(TIME_Y_X, extents, padded, "bior1.3", "zero"),
        (
            *(Subbands(record, ends) for record in records),
            *(Subbands(record.coarser(ratio)) for record in records),
            DENSITY0,
            SMOKE,
        ),
        (*SCALE_2D, *SCALE_2D, DENSITY0_SCALE, SMOKE_SCALE),
    )


@dataclass(frozen=True)
class Kind:
    """One of the released models.

    Attributes:
        tiling: the array that it denoises.
        generated: fields in it to sample.
        given: fields in it that are known.
        network: shape of its U-Net.
        schedule: its noise levels.
        domain: where its data lie.
    """

    tiling: Tiling
    generated: tuple[Field, ...]
    given: tuple[Field, ...]
    network: UNetConfig
    schedule: DiscreteSchedule
    domain: Domain


_ROLES = {
    "u0": (Role.INITIAL, "u"),
    "uT": (Role.FINAL, "u"),
    "density0": (Role.INITIAL, "density"),
}
"""Role, and the quantity it is of, of each record of one instant."""


def _fields(*records: Record) -> tuple[Field, ...]:
    fields = []
    for record in records:
        over_time = Role.PIECEWISE_CONSTANT if record.after else Role.EVOLVING
        role, of = _ROLES.get(record.name, (over_time, ""))
        if record.fine:
            role, of = Role.COARSE, record.fine
        level = int(role is Role.COARSE)
        fields.append(Field(record.name, record.dims, role, of, level))
    return tuple(fields)


def _burgers(
    generated: tuple[Record, ...],
    given: tuple[Record, ...],
    tiling: Tiling | None = None,
    network: UNetConfig | None = None,
) -> Kind:
    return Kind(
        tiling or burgers_tiling(),
        _fields(*generated),
        _fields(*given),
        network or UNetConfig(),
        CosineSchedule(),
        Domain((0.0, 1 / 1921), (0.1, 16 / 1921)),  # every 16th of 1,920 inner points
    )


def _smoke(
    generated: tuple[Record, ...],
    given: tuple[Record, ...],
    tiling: Tiling | None = None,
) -> Kind:
    return Kind(
        tiling or smoke_tiling(),
        _fields(*generated),
        _fields(*given),
        VideoUNetConfig(),
        SigmoidSchedule(),
        Domain((0.0, 0.5, 0.5), (8.0, 2.0, 2.0)),  # every second of 128 cells
    )


KINDS: dict[str, Kind] = {
    "burgers-simulation": _burgers((U,), (ENDS_1D.records[0], F)),
    "burgers-control": _burgers((U, F), ENDS_1D.records),
    "burgers-refinement": _burgers(
        (U,),
        (ENDS_1D.records[0], F, U.coarser(IN_TIME_AND_SPACE)),
        burgers_refinement_tiling(),
        UNetConfig(64),
    ),
    "smoke-simulation": _smoke(
        (*STATES_2D, *SMOKE.records), (*DENSITY0.records, CX, CY)
    ),
    "smoke-control": _smoke((*STATES_2D, *SMOKE.records, CX, CY), DENSITY0.records),
    "smoke-refinement": _smoke(
        (*STATES_2D, *SMOKE.records),
        (*DENSITY0.records, CX, CY, *(r.coarser(IN_SPACE) for r in STATES_2D)),
        smoke_refinement_tiling(IN_SPACE),
    ),
    "smoke-refinement-in-time": _smoke(
        (*STATES_2D, *SMOKE.records, CX, CY),
        (
            *DENSITY0.records,
            *(r.coarser(IN_TIME) for r in (*STATES_2D, CX, CY)),
        ),
        smoke_refinement_tiling(IN_TIME),
    ),
}
"""The official models by name.

The last refines plans in time: the official code trains it, but its inference refuses
it. Here `wdno.generate` runs it.
"""
