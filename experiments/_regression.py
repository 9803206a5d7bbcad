"""Deterministic rivals: one network from what is given to the states of a window.

The networks are those of the field's benchmarks, small: a Fourier neural operator (Li
et al. 2021, arXiv 2010.08895, eqs. 2 to 5) and a U-Net (Ronneberger et al. 2015, arXiv
1505.04597). They see the same windows as a model of wavelet diffusion, for the same
processor time and by the same optimiser, and minimise the mean squared error.
"""

from collections.abc import Callable
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from flax import nnx
from jaxtyping import Array, Float, PRNGKeyArray

from wdno._typing import Fields
from wdno.diffusion.keys import RowKeys
from wdno.inference.batching import batch_keys, in_batches
from wdno.networks.fourier import SpectralConvolution
from wdno.training.batches import WindowBatches
from wdno.training.loop import TrainingConfig, Validate, fit
from wdno.training.recipes import Recipe
from wdno.trajectory import to_dataset, to_inputs

Features = Float[Array, "batch *grid channel"]
Make = Callable[[int, int, int, nnx.Rngs], nnx.Module]
"""(axes, channels in, channels out, source of parameters) -> network."""


class FourierNeuralOperator(nnx.Module):
    """Lifting, layers σ(W v + K v), projection; K of the package's own backbone."""

    def __init__(
        self,
        modes: tuple[int, ...],
        width: int,
        channels: tuple[int, int],
        depth: int = 4,
        *,
        rngs: nnx.Rngs,
    ) -> None:
        self.lift = nnx.Linear(channels[0], width, rngs=rngs)
        self.kernels = nnx.List(
            SpectralConvolution(modes, width, rngs=rngs) for _ in range(depth)
        )
        self.local = nnx.List(nnx.Linear(width, width, rngs=rngs) for _ in range(depth))
        self.inner = nnx.Linear(width, 2 * width, rngs=rngs)
        self.outer = nnx.Linear(
            2 * width, channels[1], kernel_init=nnx.initializers.zeros, rngs=rngs
        )

    def __call__(self, x: Features) -> Features:
        v = self.lift(x)
        for kernel, local in zip(self.kernels, self.local, strict=True):
            v = nnx.gelu(local(v) + kernel(v))
        return self.outer(nnx.gelu(self.inner(v)))


class ConvolutionPair(nnx.Module):
    """Two convolutions of three points along every axis, each normalised."""

    def __init__(self, axes: int, inner: int, outer: int, *, rngs: nnx.Rngs) -> None:
        kernel = (3,) * axes
        self.convolutions = nnx.List(
            nnx.Conv(width, outer, kernel, rngs=rngs) for width in (inner, outer)
        )
        self.norms = nnx.List(
            nnx.GroupNorm(outer, num_groups=8, rngs=rngs) for _ in range(2)
        )

    def __call__(self, x: Features) -> Features:
        for convolution, norm in zip(self.convolutions, self.norms, strict=True):
            x = nnx.gelu(norm(convolution(x)))
        return x


def halved(x: Features) -> Features:
    """Means of two neighbours along every axis of the grid."""
    for axis in range(1, x.ndim - 1):
        whole = (slice(None),) * axis
        x = (x[(*whole, slice(0, None, 2))] + x[(*whole, slice(1, None, 2))]) / 2
    return x


class PlainUNet(nnx.Module):
    """Halve the grid and widen, then go back up with the features of the way down."""

    def __init__(
        self,
        axes: int,
        widths: tuple[int, ...],
        channels: tuple[int, int],
        *,
        rngs: nnx.Rngs,
    ) -> None:
        entering = (channels[0], *widths[:-1])
        self.down = nnx.List(
            ConvolutionPair(axes, inner, outer, rngs=rngs)
            for inner, outer in zip(entering, widths, strict=True)
        )
        self.up = nnx.List(
            ConvolutionPair(axes, coarse + fine, fine, rngs=rngs)
            for coarse, fine in zip(widths[:0:-1], widths[-2::-1], strict=True)
        )
        self.head = nnx.Linear(
            widths[0], channels[1], kernel_init=nnx.initializers.zeros, rngs=rngs
        )

    def __call__(self, x: Features) -> Features:
        skipped = []
        for pair in self.down[:-1]:
            skipped.append(pair(x))
            x = halved(skipped[-1])
        x = self.down[-1](x)
        for pair in self.up:
            for axis in range(1, x.ndim - 1):
                x = jnp.repeat(x, 2, axis=axis)
            x = pair(jnp.concatenate([x, skipped.pop()], axis=-1))
        return self.head(x)


def fourier(modes: tuple[int, ...], width: int) -> Make:
    """Maker of a Fourier neural operator."""

    def make(axes: int, inner: int, outer: int, rngs: nnx.Rngs) -> nnx.Module:
        return FourierNeuralOperator(modes[:axes], width, (inner, outer), rngs=rngs)

    return make


def unet(widths: tuple[int, ...]) -> Make:
    """Maker of a U-Net."""

    def make(axes: int, inner: int, outer: int, rngs: nnx.Rngs) -> nnx.Module:
        return PlainUNet(axes, widths, (inner, outer), rngs=rngs)

    return make


class Regression(nnx.Module):
    """States of a window: the initial state plus what a network makes of all given.

    Fields are divided by their root mean square, and every point knows its position.
    """

    def __init__(self, make: Make, recipe: Recipe, batches: WindowBatches) -> None:
        first = batches(0)
        self.state, self.window = recipe.state, recipe.window
        shape = first[recipe.state[0]].shape[1:]
        self.given = tuple(
            (quantity.name, tuple(dim in quantity.dims for dim in batches.dims))
            for quantity in recipe.fields(batches.dims).given
        )
        names = {name for name, _ in self.given} | set(recipe.state)
        seen = [batches(step) for step in range(16)]
        self.scale = tuple(
            (name, _root_mean_square([batch[name] for batch in seen]))
            for name in sorted(names)
        )
        inner = len(self.given) + len(shape)
        rngs = nnx.Rngs(batches.seed)
        self.network = make(len(shape), inner, len(self.state), rngs)

    def __call__(self, known: Fields) -> Fields:
        scale = dict(self.scale)
        start = known[f"{self.state[0]}0"]
        grid = (self.window, *start.shape[1:])
        ramps = np.meshgrid(*(np.linspace(-1, 1, n) for n in grid), indexing="ij")
        columns = [jnp.asarray(r, start.dtype)[None] for r in ramps]
        for name, has in self.given:
            missing = tuple(1 + i for i, there in enumerate(has) if not there)
            columns.append(jnp.expand_dims(known[name] / scale[name], missing))
        shape = (len(start), *grid)
        x = jnp.stack([jnp.broadcast_to(c, shape) for c in columns], axis=-1)
        change = self.network(x)
        return {
            name: known[f"{name}0"][:, None] + scale[name] * change[..., n]
            for n, name in enumerate(self.state)
        }


def _root_mean_square(fields: list[Array]) -> float:
    """Of all values; 1 if they are zero, as departures are at the start."""
    return float(np.sqrt(np.mean([np.square(f).mean() for f in fields]))) or 1.0


def loss(model: Regression, batch: Fields, key: PRNGKeyArray) -> Float[Array, ""]:
    """Mean squared error, every state in units of its root mean square."""
    del key
    scale, found = dict(model.scale), model(batch)
    errors = [jnp.square((found[n] - batch[n]) / scale[n]).mean() for n in model.state]
    return jnp.stack(errors).mean()


def train(
    make: Make,
    recipe: Recipe,
    dataset: xr.Dataset,
    config: TrainingConfig,
    directory: Path,
    clock: Callable[[], float],
    validate: Validate | None = None,
) -> Regression:
    """Train on the windows of a recipe; a run that was interrupted goes on."""
    batches = WindowBatches(dataset, recipe, config.seed)
    model = Regression(make, recipe, batches)
    resume = (directory / "checkpoints").exists()
    how = {"validate": validate, "resume": resume, "clock": clock}
    return fit(model, loss, batches, config, directory, **how)


_apply = nnx.jit(lambda model, known: model(known))


def forecast(
    model: Regression, truth: xr.Dataset, control: tuple[str, ...] = ()
) -> xr.Dataset:
    """Chain windows from the initial states of trajectories, as long as these are."""
    space = tuple(str(d) for d in truth[model.state[0]].dims[2:])
    coords = {dim: truth[dim].values for dim in ("time", *space)}
    dims = ("time", *space)
    static = {
        name: tuple(d for d, there in zip(dims, has, strict=True) if there)
        for name, has in model.given
        if name not in control and name[:-1] not in model.state
    }
    start = truth[list(model.state)].isel(time=0, drop=True)
    fields, batch = to_inputs(
        start, truth[list(control)], coords, model.state, control, static
    )
    count = truth.sizes["time"] - 1

    def run(known: Fields, keys: RowKeys) -> Fields:
        pieces = []
        over_time = {name: known.pop(name) for name in control}
        for begin in range(0, count, model.window):
            part = slice(begin, begin + model.window)
            window = _apply(
                model, known | {n: f[:, part] for n, f in over_time.items()}
            )
            pieces.append(window)
            known |= {f"{n}0": window[n][:, -1] for n in model.state}
        return {
            n: jnp.concatenate([p[n] for p in pieces], axis=1)[:, :count]
            for n in model.state
        }

    states = in_batches(run, fields, 256, batch_keys(jax.random.key(0), batch))
    return to_dataset({**fields, **states}, coords, model.state, control, None, batch)
