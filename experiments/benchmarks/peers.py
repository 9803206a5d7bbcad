"""What this package and others of the field do alike, timed beside each other in turn.

    pip install torch==2.13.0 --index-url https://download.pytorch.org/whl/cpu
    pip install -e '.[peers]'
    XLA_FLAGS="--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1" \\
        OMP_NUM_THREADS=1 python experiments/benchmarks/peers.py

Peers that are not installed are left out. Calls are made in turn, so that whatever else
the machine does meets all of them; a ratio is ours over theirs in the same round: its
median and quartiles. What is to have the same numbers is compared first.
"""

import importlib
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import tyro
from flax import nnx

sys.path[:0] = map(str, Path(__file__).resolve().parents[:2])
import wavelets  # noqa: E402
from _results import record  # noqa: E402

from wdno.diffusion.samplers import ddim  # noqa: E402
from wdno.networks import FourierConfig, Shape, build  # noqa: E402
from wdno.networks.fourier import SpectralConvolution  # noqa: E402
from wdno.systems import Burgers, Smoke  # noqa: E402
from wdno.systems.smoke.geometry import covered  # noqa: E402
from wdno.systems.smoke.pressure import PressureProjection  # noqa: E402
from wdno.systems.smoke.staggered import Faces  # noqa: E402

Call = Callable[[], Any]
Calls = dict[str, Call]
"""By library, ours first: what is timed."""


@dataclass(frozen=True)
class Config:
    """Sizes of what is timed, and how often."""

    shapes: tuple[tuple[int, int, int], ...] = (
        (64, 80, 120),
        (32, 128, 128),
        (1, 640, 960),
    )
    batch: int = 16
    grid: tuple[int, int] = (16, 120)
    modes: tuple[int, int] = (8, 16)
    width: int = 64
    depth: int = 4
    channels: int = 4
    flows: int = 64
    points: int = 120
    cells: int = 127
    repeats: int = 15
    only: str = ""
    """Part of the name of what is timed."""


def ready(call: Callable[..., Any], *values: Any) -> Call:
    """A compiled call that waits for its result."""
    compiled = jax.jit(call)
    return lambda: jax.block_until_ready(compiled(*values))


def draw(*shape: int, seed: int = 0) -> np.ndarray:
    """Independent normal numbers of single precision."""
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def library(name: str) -> Any:
    """A module of a peer; PyTorch computes in one thread, as XLA is told to."""
    module = importlib.import_module(name)
    importlib.import_module("torch").set_num_threads(1)
    return module


def transforms(shape: tuple[int, int, int]) -> Iterator[tuple[str, Calls]]:
    """A wavelet transform of two axes, and its gradient."""
    x, config, calls = draw(*shape), wavelets.Config(), {}
    libraries = (wavelets.of_pywavelets, wavelets.of_ptwt, wavelets.of_jaxwt)
    for of in (wavelets.ours, *libraries):
        try:
            calls |= of(x, config)
        except ModuleNotFoundError as error:
            print(f"left out: {error}")
    wanted = calls["PyWavelets"][1]()
    for name, (_, approximation) in calls.items():
        np.testing.assert_allclose(approximation(), wanted, atol=2e-5, err_msg=name)
    size = "×".join(map(str, shape))
    ends = {"": f"wavelets, {size}", ", gradient": f"wavelets with gradient, {size}"}
    for end, what in ends.items():
        names = [n for n in calls if n.endswith(", gradient") == bool(end)]
        yield what, {name.removesuffix(end): calls[name][0] for name in names}


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


def burgers(config: Config) -> Calls:
    """Flows of equal duration, points and number of steps, by other schemes.

    Ours has walls, forces and finite differences of fourth order on a grid of twice the
    points; Exponax is spectral and periodic on the points themselves.
    """
    system = Burgers(points=config.points)
    inputs = system.sample_inputs(jax.random.key(0), config.flows)
    calls = {"wdno": lambda: jax.block_until_ready(system.solve(inputs))}
    exponax = importlib.import_module("exponax")
    steps = system.frames * system.substeps
    stepper = exponax.stepper.Burgers(
        1,
        system.length,
        config.points,
        system.duration / steps,
        diffusivity=system.viscosity,
    )
    one = exponax.RepeatedStepper(stepper, system.substeps)
    solve = jax.vmap(exponax.rollout(one, system.frames))
    return calls | {"Exponax": ready(solve, inputs["u0"][:, None])}


def projection(config: Config) -> Calls:
    """A velocity without divergence around the obstacles of the smoke problem.

    Ours solves exactly, by sine transforms and a correction on the obstacles; PhiFlow
    by conjugate gradients to 1e-5.
    """
    flow, system, cells = importlib.import_module("phi.jax").flow, Smoke(), config.cells
    spacing = system.flow.spacing
    fluid = ~covered(system.obstacles, cells, spacing).any(axis=0)
    parts = draw(cells, cells + 1), draw(cells + 1, cells, seed=1)
    project = PressureProjection(fluid)
    ours = ready(project, Faces(*(jnp.asarray(part)[None] for part in parts)))
    solid = [
        flow.Obstacle(flow.Box(x=(x, x + width), y=(y, y + height)))
        for y, x, height, width in system.obstacles
    ]
    values = [flow.tensor(part, flow.spatial("y,x")) for part in parts]
    vector = flow.math.stack(
        dict(zip("xy", values, strict=True)), flow.dual(vector="x,y")
    )
    box = flow.Box(x=cells * spacing, y=cells * spacing)
    edge = flow.extrapolation.BOUNDARY
    grid = flow.StaggeredGrid(vector, edge, box, x=cells, y=cells)
    solver = flow.Solve("CG", 1e-5, 1e-5, max_iterations=2000)
    theirs = flow.math.jit_compile(
        lambda grid: flow.fluid.make_incompressible(grid, solid, solver)[0]
    )
    waited = lambda: theirs(grid).vector["x"].values.numpy("y,x")  # noqa: E731
    return {"wdno": ours, "PhiFlow": waited}


SUBJECTS: dict[str, Callable[[Config], Calls]] = {
    "spectral layer": lambda config: spectral(config, gradient=False),
    "spectral layer with gradient": lambda config: spectral(config, gradient=True),
    "training step": training,
    "sampling step": sampling,
    "Burgers, 64 flows": burgers,
    "projection around obstacles": projection,
}


def subjects(config: Config) -> Iterator[tuple[str, Calls]]:
    """What is timed, by its name; what has no peer here is left out."""
    if config.only in "wavelets":
        for shape in config.shapes:
            yield from transforms(shape)
    for name, make in SUBJECTS.items():
        if config.only in name:
            try:
                yield name, make(config)
            except ModuleNotFoundError as error:
                print(f"left out: {name}: {error}")


def timed(calls: Calls, repeats: int) -> dict[str, Any]:
    """Milliseconds of the processor and of the clock, and ours over each other."""
    clocks = {"processor": time.process_time, "clock": time.perf_counter}
    taken = {kind: {name: [] for name in calls} for kind in clocks}
    for round_ in range(1 + repeats):
        for name, call in calls.items():
            begin = {kind: clock() for kind, clock in clocks.items()}
            call()
            for kind, clock in clocks.items():
                if round_:  # the first one compiles
                    taken[kind][name].append(1e3 * (clock() - begin[kind]))
    ours = np.asarray(taken["processor"]["wdno"])
    return {
        "milliseconds": {
            kind: {name: float(np.median(values)) for name, values in rows.items()}
            for kind, rows in taken.items()
        },
        "ratio": {
            name: np.quantile(ours / np.asarray(values), (0.5, 0.25, 0.75)).tolist()
            for name, values in taken["processor"].items()
            if name != "wdno"
        },
    }


def main(config: Config) -> None:
    """Time in turn, print and store."""
    rows = {}
    for name, calls in subjects(config):
        rows[name] = timed(calls, config.repeats)
        print(name, rows[name]["ratio"], flush=True)
        record("peers", asdict(config), rows=rows)


if __name__ == "__main__":
    main(tyro.cli(Config))
