"""Layers, updates and steps of networks, beside neuraloperator and diffusers."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from _peers import Calls, Config, draw, library, ready
from flax import nnx

from wdno.diffusion.samplers import ddim
from wdno.networks import FourierConfig, Shape, build
from wdno.networks.fourier import SpectralConvolution


def spectral(config: Config, gradient: bool) -> Calls:
    """The kernel of a Fourier operator on a grid that is doubled with zeros."""
    x = draw(config.batch, *config.grid, config.width)
    layer = SpectralConvolution(config.modes, config.width, rngs=nnx.Rngs(0))
    graph, weights = nnx.split(layer)

    def ours(weights: nnx.State, x: jax.Array) -> jax.Array:
        return nnx.merge(graph, weights)(x)

    def total(weights: nnx.State, x: jax.Array) -> jax.Array:
        return (ours(weights, x) ** 2).sum()

    call = jax.grad(total, argnums=(0, 1)) if gradient else ours
    calls = {"wdno": ready(call, weights, jnp.asarray(x))}
    torch, layers = library("torch"), library("neuralop.layers.spectral_convolution")
    modes = (config.modes[0], 2 * config.modes[1] - 1)  # of the last axis half is kept
    peer = layers.SpectralConv(config.width, config.width, modes)
    values = torch.from_numpy(x).movedim(-1, 1).contiguous()
    room = (0, config.grid[1], 0, config.grid[0])

    def theirs() -> Any:
        leaf = values.clone().requires_grad_(gradient)
        padded = torch.nn.functional.pad(leaf, room)
        with torch.set_grad_enabled(gradient):
            out = peer(padded)[..., : config.grid[0], : config.grid[1]]
            return (out**2).sum().backward() if gradient else out

    return calls | {"neuraloperator": theirs}


def training(config: Config) -> Calls:
    """An update by Adam of a Fourier operator of equal width, depth and modes."""
    x = draw(config.batch, *config.grid, config.channels)
    y = draw(config.batch, *config.grid, config.channels, seed=1)
    network = FourierConfig(config.modes, config.width, config.depth)
    shape = Shape(2, config.channels, config.channels)
    graph, weights = nnx.split(build(network, shape, rngs=nnx.Rngs(0)))
    optimiser, level = optax.adam(1e-3), jnp.zeros(config.batch)

    def loss(weights: nnx.State) -> jax.Array:
        made = nnx.merge(graph, weights)(jnp.asarray(x), level, jnp.asarray(x))
        return ((made - jnp.asarray(y)) ** 2).mean()

    def update(weights: nnx.State, state: optax.OptState) -> Any:
        changes, state = optimiser.update(jax.grad(loss)(weights), state, weights)
        return optax.apply_updates(weights, changes), state

    calls = {"wdno": ready(update, weights, optimiser.init(weights))}
    torch, models = library("torch"), library("neuralop.models")
    modes = (config.modes[0], 2 * config.modes[1] - 1)
    channels = 2 * config.channels
    how = {"hidden_channels": config.width, "n_layers": config.depth}
    peer = models.FNO(modes, channels, config.channels, domain_padding=1.0, **how)
    adam = torch.optim.Adam(peer.parameters(), lr=1e-3)
    given = torch.from_numpy(np.concatenate([x, x], -1)).movedim(-1, 1).contiguous()
    wanted = torch.from_numpy(y).movedim(-1, 1).contiguous()

    def theirs() -> None:
        adam.zero_grad()
        ((peer(given) - wanted) ** 2).mean().backward()
        adam.step()

    return calls | {"neuraloperator": theirs}


def sampling(config: Config) -> Calls:
    """One step of DDIM with the estimate at hand; the same numbers up to a scale."""
    shape = (config.batch, config.channels, *config.grid)
    x, estimate = draw(*shape), draw(*shape, seed=1)
    torch, schedulers = library("torch"), library("diffusers")
    kind = {"prediction_type": "sample", "clip_sample": False}
    scheduler = schedulers.DDIMScheduler(**kind, set_alpha_to_one=False)
    scheduler.set_timesteps(10)
    step, left = int(scheduler.timesteps[3]), scheduler.alphas_cumprod.numpy()
    before, after = left[step], left[int(scheduler.timesteps[4])]
    sigma = np.sqrt(1 / np.asarray([before, after]) - 1)
    rows = [jnp.full(len(x), s, jnp.float32) for s in sigma]
    sampler, keys = ddim(), jax.random.split(jax.random.key(0), len(x))

    def ours(x: jax.Array, estimate: jax.Array) -> jax.Array:
        rule = lambda x, sigma: estimate  # noqa: E731 - what a network would say
        return sampler.step(rule, x, *rows, sampler.init(x), keys)[0]

    noisy = torch.from_numpy(x * np.sqrt(before))  # of unit variance, as theirs are
    guess = torch.from_numpy(estimate)
    calls = {
        "wdno": ready(ours, jnp.asarray(x), jnp.asarray(estimate)),
        "diffusers": lambda: scheduler.step(guess, step, noisy).prev_sample,
    }
    expected = calls["diffusers"]().numpy() / np.sqrt(after)
    np.testing.assert_allclose(calls["wdno"](), expected, rtol=1e-3, atol=1e-4)
    return calls
