"""Training and sampling with the batch spread over two devices; run as a script.

A process has the devices it was started with, so `test_loop` starts this one with
two, as parts of the CPU.
"""

import shutil
import sys
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from flax import nnx
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from oracles import NAMES, Oracle, Uncertain, make_fields, make_operator
from test_loop import Network, draw, exact, noisy, parameters, stop

import wdno
from wdno.diffusion.samplers import ddim
from wdno.training.loop import TrainingConfig, fit
from wdno.trajectory import to_dataset

KEY = jax.random.key(0)
MESH = Mesh(np.array(jax.devices()), ("batch",))
SPREAD = NamedSharding(MESH, PartitionSpec("batch"))
COPIED = NamedSharding(MESH, PartitionSpec())


def close(found, expected):
    jax.tree.map(
        lambda f, e: np.testing.assert_allclose(f, e, rtol=1e-4, atol=1e-5),
        found,
        expected,
    )


def spread(step):
    return jax.device_put(draw(step), SPREAD)


def copied(model):
    nnx.update(model, jax.device_put(nnx.state(model), COPIED))
    return model


def check_training(folder):
    """Begun and resumed, with the model on one device or on both."""
    config, errors = TrainingConfig(steps=12, learning_rate=0.05), []

    def validate(model):
        errors.append(float(exact(model, draw(99), KEY)))
        return {"error": errors[-1]}

    how = {"config": config, "validate": validate, "resume": True}
    expected = fit(Network(), noisy, draw, directory=folder / "one", **how)
    stop(folder / "stopped", config)
    shutil.copytree(folder / "stopped", folder / "stopped too")
    for directory, model in [
        ("two", Network()),
        ("stopped", Network()),
        ("stopped too", copied(Network())),
    ]:
        found = fit(model, noisy, spread, directory=folder / directory, **how)
        close(parameters(found), parameters(expected))
    assert len(errors) == 4
    np.testing.assert_allclose(errors, errors[0], rtol=1e-4)


def check_sampling():
    model, fields = make_operator(Uncertain), make_fields(batch=4, frames=8)
    record = {"u0": fields["u0"]}, {"f": fields["f"]}
    window = record[0] | {"f": fields["f"][:, :4]}
    how = {"sampler": ddim(1.0), "key": KEY}
    generate = jax.jit(wdno.generate, static_argnames="sampler")
    sigmas = model.schedule(3)
    found = generate(model, jax.device_put(window, SPREAD), sigmas=sigmas, **how)
    assert not found["u"].sharding.is_fully_replicated
    close(found, generate(model, window, sigmas=sigmas, **how))
    found = wdno.rollout(model, *jax.device_put(record, SPREAD), steps=3, **how)
    close(found, wdno.rollout(model, *record, steps=3, **how))


def check_simulation():
    """A model whose parameters are on both devices, as training may leave it."""
    coords = {"time": 0.25 * np.arange(9), "x": np.arange(8) / 8}
    truth = to_dataset(make_fields(batch=4, frames=8), coords, *NAMES)
    model = make_operator(partial(Oracle, spread=jnp.full((), 0.1)))
    inputs = truth.u.isel(time=0), truth.f
    expected = wdno.simulate(model, *inputs, steps=3, key=KEY)
    found = wdno.simulate(jax.device_put(model, COPIED), *inputs, steps=3, key=KEY)
    xr.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


if __name__ == "__main__":
    assert jax.device_count() == 2
    check_training(Path(sys.argv[1]))
    check_sampling()
    check_simulation()
