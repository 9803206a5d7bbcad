"""Systems that are solved by adding up, and the denoisers that know their answers."""

import dataclasses
from dataclasses import dataclass, field
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from wdno import WDNO, Domain, Field, WaveletLayout
from wdno.diffusion.denoiser import Denoiser
from wdno.diffusion.noise import per_row
from wdno.diffusion.schedules import KarrasSchedule
from wdno.operator import Interpolation, tasks
from wdno.operator.residual import Estimate, residuals
from wdno.trajectory import to_dataset

NAMES = ("u",), ("f",)
DIMS = ("time", "x")
BESIDE = tasks.Task((Field("share", ("time",)),), tasks.static(("gate",), ("x",)))
"""What is generated beside the states of `pass_gate`, and what never changes in it."""


def add_up(initial, control):
    """States u_(k+1) = u_k + f_k of shape (batch, frames, x)."""
    return initial[:, None] + control.cumsum(axis=1)


def pass_gate(initial, control, gate):
    """States u_(k+1) = u_k + gate f_k, and the share of each that is mean_x u."""
    u = add_up(initial, gate[:, None] * control)
    return {"u": u, "share": u.mean(axis=2)}


def with_beside(task):
    """The same task for systems with a gate and a share."""

    def extended(*names):
        return tasks.joined(task(*names), BESIDE)

    return extended


@dataclass(frozen=True)
class Plain:
    """The preconditioning of a backbone that is a denoiser itself."""

    def __call__(self, sigma):
        one = jnp.ones_like(sigma)
        return jnp.zeros_like(sigma), one, one, sigma


def oracle(kind):
    """Make a class a frozen dataclass that every transform of JAX takes."""
    return jax.tree_util.register_dataclass(dataclass(frozen=True)(kind))


@oracle
class Oracle:
    """Posterior mean of coefficients distributed as N(those of `add_up`, spread²).

    It reads the answer off the condition, so a sample is right only if layouts, scales,
    windows and the order of everything are.
    """

    targets: WaveletLayout = field(metadata={"static": True})
    known: WaveletLayout = field(metadata={"static": True})
    spread: float = 0.0

    @staticmethod
    def answer(fields):
        return {"u": add_up(fields["u0"], fields["f"])}

    def __call__(self, x, sigma, cond):
        fields = self.known.synthesis(cond[..., : len(self.known.channels)])
        z = self.targets.analysis(self.answer(fields))
        mean = residuals(z, Interpolation()(fields, cond, self.targets, self.known))
        trust = self.spread**2 / (self.spread**2 + jnp.square(sigma))
        return mean + per_row(trust, x) * (x - mean)


@oracle
class Gated(Oracle):
    """The same for `pass_gate`."""

    @staticmethod
    def answer(fields):
        return pass_gate(fields["u0"], fields["f"], fields["gate"])


@oracle
class Decaying(Oracle):
    """The same for states that shrink by a rate of each row's own, undriven."""

    @staticmethod
    def states(initial, rate, frames):
        return (
            initial[:, None]
            * rate[:, None, None] ** jnp.arange(1.0, frames + 1)[None, :, None]
        )

    @staticmethod
    def answer(fields):
        return {"u": Decaying.states(fields["u0"], fields["rate"], 4)}


Uncertain = partial(Oracle, spread=0.1)


@oracle
class Estimated:
    """The answer of `add_up` as an estimate, which may be off by a scale."""

    scale: float = 1.0

    def __call__(self, known, condition, targets, given):
        mean = targets.analysis({"u": add_up(known["u0"], known["f"])})
        scale = jnp.full((1,) * mean.ndim, self.scale, mean.dtype)
        return Estimate(mean, scale, mean[..., :0])

    def channels(self, targets, given):
        return 0

    def built(self, targets, given, rngs):
        return self

    def described(self):
        return self


def make_layouts(grid=(4, 8), wavelet="haar", task=tasks.simulation):
    """Targets and given fields, with another scale on every channel."""
    mode = ("periodization",) * 2
    plain = [WaveletLayout(f, DIMS, grid, wavelet, mode) for f in task(*NAMES, DIMS)]
    return [
        dataclasses.replace(
            layout, scale=tuple(np.linspace(0.5, 2.0, len(layout.channels)).tolist())
        )
        for layout in plain
    ]


def make_operator(backbone=Oracle, start=(0.0, 0.0), **layout):
    """An operator on the unit interval, with instants a quarter apart."""
    targets, given = make_layouts(**layout)
    return WDNO(
        targets,
        given,
        Denoiser(backbone(targets, given), Plain()),
        Domain(start, (0.25, 1 / targets.grid[1])),
        KarrasSchedule(0.01, 10.0),
        Interpolation(),  # of nothing, unless coarse states are given
    )


def make_uncontrolled(past=()):
    """An operator for `Decaying`, which may be given more states from before."""

    def task(state, control, dims):
        beside = tasks.static(("rate",), ()) + tasks.past(past, dims[1:])
        return tasks.joined(tasks.simulation(state, (), dims), tasks.Task((), beside))

    return make_operator(Decaying, task=task)


def make_fields(batch=3, frames=4, points=8, seed=0):
    """Random initial states and controls with the states that belong to them."""
    draw = np.random.default_rng(seed)
    initial = draw.normal(size=(batch, points))
    control = draw.normal(size=(batch, frames, points))
    # On the device, but nothing is compiled for it.
    return jax.device_put({"u0": initial, "f": control, "u": add_up(initial, control)})


def make_gated_fields(seed=1, **sizes):
    """The same behind a gate of each row's own, with the share of each state."""
    fields = make_fields(**sizes)
    draw = np.random.default_rng(seed)
    gate = draw.uniform(0.5, 2.0, size=fields["u0"].shape)
    rest = pass_gate(np.asarray(fields["u0"]), np.asarray(fields["f"]), gate)
    return {**fields, **jax.device_put({"gate": gate, **rest})}


def halved(u):
    """Every second sample of states, as a refiner is given them."""
    dims = ("time", "y", "x")[: u.ndim - 1]
    coarse = tasks.with_conditions({"u": u}, tasks.coarse(("u",), dims))["u_coarse"]
    return jax.device_put(coarse)


def wave(points, frames, modes=1):
    """sin(2 pi (x - t)) on a ring, states at t_0 … t_frames."""
    time, x = np.arange(frames + 1) / frames, np.arange(points) / points
    return np.sin(2 * np.pi * modes * (x - time[:, None]))[None]


def labelled(fields):
    """Fields of a system that adds up as trajectories, instants a quarter apart."""
    frames, points = fields["u"].shape[1:]
    coords = {"time": 0.25 * np.arange(frames + 1), "x": np.arange(points) / points}
    return to_dataset(fields, coords, ("u",), ("f",))


def make_uncertain(model, spread, batch, seed=2):
    """Trajectories of one window whose coefficients are off by a spread.

    Their distribution is the one of which an `Oracle` of this spread is the posterior
    mean.
    """
    fields = make_fields(batch=batch, seed=seed)
    z = model.targets.analysis(fields)
    noise = np.random.default_rng(seed).normal(size=z.shape)
    return labelled({**fields, **model.targets.synthesis(z + spread * noise)})
