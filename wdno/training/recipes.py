"""The recipes of the models that come trained."""

from dataclasses import replace

from wdno.networks import (
    FourierConfig,
    LocalConfig,
    MixerConfig,
    MultiplierConfig,
)
from wdno.operator import tasks
from wdno.operator.assimilation import Assimilation
from wdno.operator.held_flow import HeldFlow
from wdno.operator.interpolated_mean import Interpolation
from wdno.operator.kernel_mean import KernelMean
from wdno.operator.learned_mean import LearnedMean
from wdno.operator.linear_mean import LinearMean
from wdno.operator.local_scale import LocalScale
from wdno.operator.outflow import Outflow
from wdno.operator.record_mean import RecordMean
from wdno.operator.solved_mean import SolvedMean
from wdno.operator.tiles import Tiles
from wdno.operator.transport import Transport
from wdno.systems import CompressibleNavierStokes
from wdno.training.recipe import (
    RESIDUAL_LEVELS,
    NoiseLevels,
    Recipe,
    TrainingGrid,
)
from wdno.wavelets.field import Field, Role

__all__ = ["RECIPES", "NoiseLevels", "Recipe", "TrainingGrid"]

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

RECIPES: dict[str, Recipe] = {
    "advection-simulation": Recipe(
        ("u",),
        (),
        window=16,
        beside=tasks.Task((), tasks.static(("advection_speed",), ())),
        levels=1,
        network=LocalConfig((3, 5), width=32, depth=4),
        residual=LearnedMean(MultiplierConfig(instants=8)),
        mean_share=0.8,
        uniform_weight=0.5,
        noise=RESIDUAL_LEVELS,
        batch_size=64,
    ),
    "burgers-simulation": Recipe(
        ("u",),
        ("f",),
        window=16,
        network=FourierConfig((8, 16), width=64, depth=4),
        residual=LearnedMean(FourierConfig((8, 16), width=64, depth=4)),
        uniform_weight=0.5,
        noise=RESIDUAL_LEVELS,
    ),
    "burgers-refinement": Recipe(
        ("u",),
        ("f",),
        window=16,
        task=tasks.refinement,
        more_grids=(TrainingGrid(2, 16), TrainingGrid(4, 16)),
        residual=LocalScale(
            LearnedMean(LocalConfig((3, 5), width=48, depth=6), base=Interpolation())
        ),
        mean_share=1.0,
        coarse_noise=0.002,
        coarse_shift=0.05,
        wavelet="haar",
        walls=("x",),
        levels=1,
        network=LocalConfig((1, 1), width=8, depth=1),
        noise=RESIDUAL_LEVELS,
    ),
    # Nearly best plans are a smooth function of the ends, which examples of them give.
    "burgers-control": Recipe(
        ("u",),
        ("f",),
        window=32,
        task=tasks.reaching,
        more_grids=tuple(TrainingGrid(1, frames) for frames in range(28, 0, -4)),
        wavelet="haar",
        network=LocalConfig((1, 1), width=8, depth=1),
        residual=LocalScale(
            KernelMean(
                ("u", "f"),
                ("u", "u0"),
                ("u", "uT"),
                windows=tuple(range(32, 0, -4)),
                centres=1984,
            )
        ),
        mean_share=1.0,
        noise=RESIDUAL_LEVELS,
    ),
    "navier-stokes-shock": Recipe(
        ("density", "velocity", "pressure"),
        (),
        window=20,
        network=FourierConfig((8, 16), width=64, depth=4),
        residual=LocalScale(LearnedMean(FourierConfig((8, 16), width=64, depth=4))),
        mean_share=1.0,  # a residual pays later, on records that the mean has not seen
        uniform_weight=0.5,
        noise=RESIDUAL_LEVELS,
        batch_size=16,
    ),
    # What a grid of 128 cells leaves of the means of 1,024: a matter of a few cells.
    "navier-stokes-correction": Recipe(
        ("density", "velocity", "pressure"),
        (),
        window=20,
        network=LocalConfig((3, 5), width=32, depth=4),
        residual=LocalScale(
            LearnedMean(
                LocalConfig((3, 5), width=32, depth=4),
                base=SolvedMean(
                    CompressibleNavierStokes(points=128),
                    least=(("density0", 0.01), ("pressure0", 0.01)),
                ),
            )
        ),
        mean_share=0.75,
        uniform_weight=0.5,
        noise=RESIDUAL_LEVELS,
        batch_size=16,
    ),
    # Cells that are halved keep their mass, momentum and energy; where these lie in
    # them is a matter of a few neighbours at one instant.
    "navier-stokes-refinement": Recipe(
        ("density", "momentum", "energy"),
        (),
        window=4,
        task=tasks.cell_refinement,
        more_grids=(TrainingGrid(2, 4), TrainingGrid(4, 4)),
        residual=LocalScale(
            LearnedMean(LocalConfig((1, 5), width=48, depth=4), base=Interpolation())
        ),
        mean_share=1.0,
        coarse_noise=0.002,
        coarse_shift=0.05,
        wavelet="haar",
        mode=("periodization", "boundary"),
        levels=1,
        network=LocalConfig((1, 1), width=8, depth=1),
        noise=RESIDUAL_LEVELS,
        batch_size=8,
    ),
    # What the solver's equations leave: a projection is linear, the rest transport.
    "smoke-simulation": replace(
        _SMOKE,
        network=LocalConfig((1, 1, 1), width=8, depth=1),
        residual=LocalScale(_SMOKE_CARRIED),
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
    # Of departures from a linear forecast, of order one at all leads. With 20 days to
    # learn from, whatever else is given is known by heart.
    "era5-t2m": Recipe(
        ("t2m",),
        (),
        window=24,
        wavelet="haar",
        mode=("boundary",) * 3,
        levels=3,
        network=LocalConfig((3, 3, 3), width=64, depth=3),
        noise=NoiseLevels(sigma_max=40.0, share_at_max=0.1, mean=0.7, std=1.5),
        batch_size=16,
    ),
}
"""Recipes by name; `wdno.shipped` lists the models that come trained."""
