"""A model of a few numbers whose network a card can name."""

import jax
from flax import nnx
from linear_control import STEP
from oracles import make_layouts

import wdno
from wdno.diffusion.denoiser import Denoiser, freeze
from wdno.diffusion.preconditioning import EDMPreconditioning
from wdno.diffusion.schedules import KarrasSchedule
from wdno.networks import LocalConfig, Shape, build
from wdno.operator import tasks


def make_model(task=tasks.simulation):
    """Four frames with eight points."""
    targets, given = make_layouts(task=task)
    shape = Shape(2, len(targets.channels), len(given.channels))
    network = build(LocalConfig((3, 3), width=4, depth=1), shape, rngs=nnx.Rngs(0))
    network = jax.tree.map(lambda p: p + 0.1, network)  # its head begins at zero
    denoiser = Denoiser(freeze(network), EDMPreconditioning())
    domain = wdno.Domain((0.0, 0.0), (STEP, 0.125))
    return wdno.WDNO(targets, given, denoiser, domain, KarrasSchedule(0.02, 10.0))
