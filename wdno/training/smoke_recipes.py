"""Recipes of smoke around obstacles, and what they know of it beforehand."""

from dataclasses import replace

from wdno.networks import LocalConfig, MixerConfig
from wdno.operator import tasks
from wdno.operator.assimilation import Assimilation
from wdno.operator.held_flow import HeldFlow
from wdno.operator.instant_scale import InstantShareScale
from wdno.operator.interpolated_mean import Interpolation
from wdno.operator.learned_mean import LearnedMean
from wdno.operator.linear_mean import LinearMean
from wdno.operator.local_scale import LocalScale
from wdno.operator.outflow import Outflow
from wdno.operator.record_mean import RecordMean
from wdno.operator.tiles import Tiles
from wdno.operator.transport import Transport
from wdno.training.recipe import RESIDUAL_LEVELS, Recipe, TrainingGrid
from wdno.wavelets.field import Field, Role

__all__ = ["SMOKE_RECIPES"]

_CUBE = ("time", "y", "x")
_SMOKE = Recipe(
    ("density",),
    ("cx", "cy"),
    window=32,
    beside=tasks.Task(
        (Field("vx", _CUBE), Field("vy", _CUBE), Field("smoke", ("time",))),
        tasks.static(("obstacle",), _CUBE[1:]),
    ),
    wavelet="bior1.3",
    mode=("periodization",) * 3,
    levels=1,
    network=MixerConfig(),
    batch_size=8,
)

# On the solver's grid and with its steps: a unit of velocity is 4 points in a frame,
# and velocities lie on the left and lower faces of cells half a point apart.
_SMOKE_CARRIED = Transport(
    LinearMean(("vx", "vy"), ("cx", "cy"), 96, Tiles((8, 8)), copied=("cx", "cy")),
    "density",
    ("vy", "vx"),
    speed=(4.0, 4.0),
    steps=8,
    refinement=2,
    ahead=0.25,
    outflow=Outflow(
        "smoke",
        (
            *(((56.0, 63.5), (x, x + 10.0)) for x in (11.0, 27.0, 43.0)),
            *(((y, y + 10.0), (0.0, 8.0)) for y in (11.0, 27.0)),
            *(((y, y + 10.0), (56.0, 63.5)) for y in (11.0, 27.0)),
        ),
        goal=1,
    ),
)

# Between coarse instants, on the grid itself, which coarse values hold to the truth.
_SMOKE_FOLLOWED = Assimilation(
    Transport(
        HeldFlow(("vy", "vx"), ("cy", "cx"), "obstacle", Interpolation()),
        "density",
        ("vy", "vx"),
        speed=(4.0, 4.0),
        steps=8,
        ahead=0.25,
    ),
    error=0.04,
)

# Good plans are a smooth function of where the smoke begins; what they bring about is
# carried as above, on the stored points: of the model's own idea no more is asked.
_SMOKE_PLANNED = replace(
    _SMOKE_CARRIED,
    base=LinearMean(
        ("vx", "vy"),
        ("cx", "cy"),
        32,
        Tiles((2, 2)),
        copied=("cx", "cy"),
        base=RecordMean(("cx", "cy"), ("density0",), 12, Tiles((8, 8))),
    ),
    steps=4,
    refinement=1,
)

SMOKE_RECIPES: dict[str, Recipe] = {
    # What the solver's equations leave: a projection is linear, the rest transport.
    "smoke-simulation": replace(
        _SMOKE,
        network=LocalConfig((1, 1, 1), width=8, depth=1),
        residual=InstantShareScale(_SMOKE_CARRIED, shares=("smoke",)),
        mean_share=1.0,
    ),
    "smoke-control": replace(
        _SMOKE,
        task=tasks.control,
        beside=tasks.Task(
            _SMOKE.beside.targets,
            (*_SMOKE.beside.given, Field("smokeT", (), Role.FINAL, of="smoke")),
        ),
        network=LocalConfig((1, 1, 1), width=8, depth=1),
        residual=LocalScale(_SMOKE_PLANNED),
        mean_share=1.0,
    ),
    "smoke-refinement": Recipe(
        ("density",),
        ("cx", "cy"),
        window=8,
        task=tasks.refinement,
        beside=tasks.Task(
            (Field("vx", _CUBE), Field("vy", _CUBE)),
            (
                *tasks.coarse(("vx", "vy"), _CUBE),
                *tasks.static(("obstacle",), _CUBE[1:]),
            ),
        ),
        more_grids=(TrainingGrid(2, 8),),
        wavelet="haar",
        mode=("boundary",) * 3,
        levels=1,
        network=LocalConfig((1, 1, 1), width=8, depth=1),
        residual=LearnedMean(
            LocalConfig((3, 5, 5), width=48, depth=3), base=_SMOKE_FOLLOWED
        ),
        mean_share=1.0,
        noise=RESIDUAL_LEVELS,
        batch_size=1,
    ),
}
"""Recipes by name."""
