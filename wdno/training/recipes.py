"""The recipes of the models that come trained."""

from wdno.networks import (
    FourierConfig,
    LocalConfig,
    MultiplierConfig,
    RingConfig,
    TokenTransformerConfig,
)
from wdno.operator import tasks
from wdno.operator.interpolated_mean import Interpolation
from wdno.operator.kernel_mean import KernelMean
from wdno.operator.learned_mean import LearnedMean
from wdno.operator.local_scale import LocalScale
from wdno.operator.solved_mean import SolvedMean
from wdno.systems import CompressibleNavierStokes
from wdno.systems.compressible import OnFewerCells
from wdno.training.recipe import (
    RESIDUAL_LEVELS,
    NoiseLevels,
    Recipe,
    TrainingGrid,
)
from wdno.training.smoke_recipes import SMOKE_RECIPES

__all__ = ["RECIPES", "NoiseLevels", "Recipe", "TrainingGrid"]

RECIPES: dict[str, Recipe] = {
    "advection-simulation": Recipe(
        ("u",),
        (),
        window=16,
        beside=tasks.Task((), tasks.static(("advection_speed",), ())),
        levels=1,
        network=LocalConfig((3, 5), width=32, depth=4),
        residual=LocalScale(LearnedMean(MultiplierConfig(instants=8))),
        mean_share=0.6,
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
    # Chaos on a ring: what is around a place decides, wherever that is.
    "kuramoto-sivashinsky-simulation": Recipe(
        ("u",),
        (),
        window=16,
        network=RingConfig((3, 5), width=32, depth=4),
        residual=LocalScale(LearnedMean(RingConfig((3, 5), width=64, depth=6))),
        mean_share=0.75,
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
    # The same of all 1,024 cells at once: every token sees 16 of them over the window.
    "navier-stokes-fine": Recipe(
        ("density", "velocity", "pressure"),
        (),
        window=20,
        network=LocalConfig((1, 1), width=8, depth=1),
        residual=LocalScale(
            LearnedMean(
                TokenTransformerConfig((5, 4), width=128, depth=5, heads=4),
                base=SolvedMean(
                    OnFewerCells(CompressibleNavierStokes(points=128), parts=8),
                    least=(("density0", 0.01), ("pressure0", 0.01)),
                ),
            )
        ),
        mean_share=1.0,
        noise=RESIDUAL_LEVELS,
        batch_size=8,
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
} | SMOKE_RECIPES
"""Recipes by name; `wdno.shipped` lists the models that come trained."""
