"""Which tokens a sampler refreshed in each of its steps, and the field that it made."""

import numpy as np
from jaxtyping import Float
from matplotlib.figure import Figure

from wdno._typing import Fields
from wdno.plotting.style import finish, new_figure


def picture(truth: Fields, ages: Float[np.ndarray, "step time x"]) -> Figure:
    """One field over x and time, and over x how old each estimate is after each step.

    Args:
        truth: fields (sample, time, x), of which the first is drawn.
        ages: of each coefficient after each step, 0 where it was refreshed.
    """
    name, field = next(iter(truth.items()))
    drawn = new_figure(7, 6)
    above, below = drawn.subplots(2, 1, sharex=True)
    extent = (0.0, 1.0)
    shown = {"aspect": "auto", "origin": "lower", "interpolation": "nearest"}
    frames = field.shape[1]
    above.imshow(np.asarray(field[0]), extent=(*extent, 0, frames), **shown)
    finish(above, "", "frame", name)
    steps = len(ages)
    image = below.imshow(
        ages.mean(axis=1), extent=(*extent, 0, steps), cmap="magma_r", **shown
    )
    drawn.colorbar(image, ax=below, label="steps since the refresh")
    finish(below, "position", "step of the sampler", "tokens refreshed are bright")
    return drawn
