"""Training and sampling with the batch spread over devices; run as a script.

A process has the devices it was started with, so `test_devices` starts this one with
eight, as parts of the CPU.
"""

import shutil
import sys
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr
from flax import nnx
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from oracles import NAMES, Oracle, Uncertain, make_fields, make_operator
from test_loop import Network, draw, exact, noisy, parameters, stop

import wdno
from wdno.diffusion.samplers import ddim
from wdno.training.config import TrainingConfig
from wdno.training.devices import LARGEST_COPY, Devices
from wdno.training.loop import fit
from wdno.training.update import Run, updating
from wdno.trajectory import to_dataset

KEY = jax.random.key(0)
MESH = Mesh(np.array(jax.devices()[:2]), ("batch",))
SPREAD = NamedSharding(MESH, PartitionSpec("batch"))
COPIED = NamedSharding(MESH, PartitionSpec())


def close(found, expected):
    jax.tree.map(
        lambda f, e: np.testing.assert_allclose(f, e, rtol=1e-4, atol=1e-5),
        found,
        expected,
    )


def check_training(folder):
    """Begun on some devices and resumed on others, parameters copied or divided."""
    config, errors = TrainingConfig(steps=12, learning_rate=0.05), []

    def validate(model):
        errors.append(float(exact(model, draw(99), KEY)))
        return {"error": errors[-1]}

    how = {"config": config, "validate": validate, "resume": True}
    expected = fit(Network(), noisy, draw, directory=folder / "one", **how)
    many = [(2, LARGEST_COPY), (4, 0), (8, 0)]
    for count, largest in many:
        devices = Devices.of(count, largest_copy=largest)
        where = folder / f"{count}"
        found = fit(Network(), noisy, draw, directory=where, devices=devices, **how)
        close(parameters(found), parameters(expected))
    stop(folder / "stopped", config, devices=Devices.of(4, largest_copy=0))
    for count, largest in ((1, 0), *many):
        where = folder / f"stopped, then {count}"
        shutil.copytree(folder / "stopped", where)
        devices = Devices.of(count, largest_copy=largest)
        found = fit(Network(), noisy, draw, directory=where, devices=devices, **how)
        close(parameters(found), parameters(expected))
    assert len(errors) == 8
    np.testing.assert_allclose(errors, errors[0], rtol=1e-4)


def check_division():
    """Large arrays are divided, with what is kept of them, and stay so."""
    devices = Devices.of(4, largest_copy=3 * 16 * 4 - 1)
    run = Run(Network(), TrainingConfig(steps=1))
    nnx.update(run, devices.placed(nnx.state(run)))
    update = updating(noisy, None, devices)
    for _ in range(2):
        update(run, devices.spread(draw(0)), jnp.float32(0.1), KEY)
        divided = [
            array.shape
            for array in jax.tree.leaves(nnx.state(run))
            if array.addressable_shards[0].data.shape != array.shape
        ]
        assert divided == [(3, 16)] * 4  # parameters, their average, both moments


def check_refusals():
    for count in (0, 9, 2.0):
        with pytest.raises(ValueError, match=f"but got {count!r} for processes: 1"):
            Devices.of(count)
    three = Devices.of(3)
    with pytest.raises(ValueError, match="a batch of 8 is not divided by devices: 3"):
        three.own_rows(8)
    with pytest.raises(ValueError, match="a batch of 8 is not divided by devices: 3"):
        three.spread(draw(0))


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
    assert jax.device_count() == 8
    check_refusals()
    check_division()
    check_training(Path(sys.argv[1]))
    check_sampling()
    check_simulation()
