"""An operator with a network so small that its programs compile at once."""

import jax.numpy as jnp
from flax import nnx
from oracles import make_layouts

from wdno import WDNO, Domain
from wdno.diffusion.denoiser import Denoiser, freeze
from wdno.diffusion.noise import per_row
from wdno.diffusion.preconditioning import EDMPreconditioning
from wdno.diffusion.schedules import KarrasSchedule
from wdno.operator import tasks


class Perceptron(nnx.Module):
    """Two layers at every position, of double precision.

    Derivatives can so be compared with differences.
    """

    def __init__(self, channels, condition_channels, width=6, seed=0):
        precise = {"param_dtype": float, "rngs": nnx.Rngs(seed)}
        self.body = nnx.Linear(channels + condition_channels, width, **precise)
        self.head = nnx.Linear(width, channels, **precise)

    def __call__(self, x, c_noise, cond):
        h = self.body(jnp.concatenate([x, cond], axis=-1))
        return self.head(jnp.tanh(h + per_row(c_noise, h)))


def make_tiny(seed=0, preconditioning=EDMPreconditioning(), task=tasks.simulation):  # noqa: B008
    """On windows of four frames with eight points."""
    targets, given = make_layouts(task=task)
    network = Perceptron(len(targets.channels), len(given.channels), seed=seed)
    return WDNO(
        targets,
        given,
        Denoiser(freeze(network), preconditioning),
        Domain((0.0, 0.0), (0.25, 0.125)),
        KarrasSchedule(0.02, 10.0),
    )
