"""Adapters beside their models: what they change, and whose they are."""

import json
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from safetensors.numpy import load_file, save_file
from tiny import make_tiny

import wdno
from wdno.diffusion.denoiser import freeze
from wdno.networks import FourierConfig, Shape, build
from wdno.networks.adapters import AdapterConfig
from wdno.operator.adapted import OneCall, fingerprint, new_adapter
from wdno.operator.adapter_file import write_adapter
from wdno.operator.calibrated import Calibrated
from wdno.operator.checkpoint import attach
from wdno.operator.model import WDNO, with_backbone

SIGMA = 1.5
GAIN = np.array([1.0, 2.0, 0.5, 3.0])


def make_model(seed=0) -> WDNO:
    """With a network that a card can name."""
    model = make_tiny()
    channels = len(model.targets.channels)
    shape = Shape(2, channels, len(model.given.channels))
    network = build(FourierConfig((2, 4), 4, 1), shape, rngs=nnx.Rngs(seed))
    return with_backbone(model, freeze(network))


def make_one_call(model):
    adapter = new_adapter(model, AdapterConfig(2, (2, 1)), rngs=nnx.Rngs(1))
    state = nnx.state(adapter, nnx.Param)
    draw = np.random.default_rng(0)
    noise = jax.tree.map(
        lambda v: jnp.asarray(draw.normal(size=v.shape), v.dtype), state
    )
    nnx.update(adapter, jax.tree.map(jnp.add, state, noise))
    adapter.log_gain[...] = jnp.log(jnp.asarray(GAIN, jnp.float32))
    return OneCall(freeze(adapter), SIGMA, fingerprint(model))


def assert_equal(one, other):
    """The same arrays, and all else the same."""
    assert jax.tree.structure(one.residual) == jax.tree.structure(other.residual)
    for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A saved model with an adapter, the model and the adapter."""
    place, model = tmp_path_factory.mktemp("models") / "wavy", make_model()
    wdno.save(model, place)
    one_call = make_one_call(model)
    attach(place, "one-step", one_call, notes={"calls": 8})
    return place, model, one_call


def test_an_adapter_is_stored_beside_its_model_and_named_on_the_card(folder):
    place, model, one_call = folder
    adapted, found = one_call.of(model), wdno.load(place, adapter="one-step")
    by_path = wdno.load(place, adapter=place / "one-step.safetensors")
    for other in (found, by_path):
        assert_equal(other, adapted)
    assert wdno.read_card(place)["adapters"]["one-step"]["calls"] == 8
    changed = [
        name
        for name, value in model.denoiser.backbone.parameters.items()
        if (value != found.denoiser.backbone.parameters[name]).any()
    ]
    matrices = [n for n, v in model.denoiser.backbone.parameters.items() if v.ndim > 1]
    assert changed == matrices
    np.testing.assert_array_equal(found.levels(1), np.float32([SIGMA, 0]))
    with pytest.raises(ValueError, match="has one step, but 4 were asked"):
        found.levels(4)
    assert_equal(wdno.load(place), model)


def test_gains_multiply_the_factors_of_a_calibration(folder):
    _, model, _ = folder
    model = replace(model, residual=Calibrated(None, (1.0, 2.0, 1.0, 1.0), (2.0,) * 4))
    residual = make_one_call(model).of(model).residual
    assert residual.slope == (1.0, 2.0, 1.0, 1.0)
    np.testing.assert_allclose(residual.factor, 2 * GAIN, rtol=1e-6)


def test_fingerprints_tell_every_parameter(folder):
    _, model, _ = folder
    leaves, structure = jax.tree.flatten(model)
    found = {fingerprint(model)}
    for n in range(len(leaves)):
        other = [leaf + float(i == n) for i, leaf in enumerate(leaves)]
        found.add(fingerprint(jax.tree.unflatten(structure, other)))
    assert len(found) == len(leaves) + 1


def test_an_adapter_of_another_model_is_refused(folder, tmp_path):
    place, model, one_call = folder
    other = make_model(seed=5)
    with pytest.raises(ValueError, match="changes the model that it was trained for"):
        one_call.of(other)
    with pytest.raises(ValueError, match="without another adapter"):
        one_call.of(one_call.of(model))
    wdno.save(other, tmp_path / "other")
    with pytest.raises(ValueError, match="changes the model that it was trained for"):
        wdno.load(tmp_path / "other", adapter=place / "one-step.safetensors")
    with pytest.raises(ValueError, match="changes the model that it was trained for"):
        attach(tmp_path / "other", "one-step", one_call)


def test_damaged_and_missing_adapters_are_refused(folder, tmp_path):
    place, model, one_call = folder
    with pytest.raises(FileNotFoundError, match="names, one-step, or a file, but got"):
        wdno.load(place, adapter="two-step")
    path = tmp_path / "one.safetensors"
    write_adapter(path, one_call)
    header = {"adapter": json.dumps({"format": 2})}
    for damaged in (b"", path.read_bytes()[:-3]):
        broken = tmp_path / "broken.safetensors"
        broken.write_bytes(damaged)
        with pytest.raises(ValueError, match="whose header says whose it is"):
            wdno.load(place, adapter=broken)
    save_file(load_file(path), tmp_path / "newer.safetensors", header)
    with pytest.raises(ValueError, match="whose header says whose it is"):
        wdno.load(place, adapter=tmp_path / "newer.safetensors")
    wdno.save(model, tmp_path / "model")
    stored = attach(tmp_path / "model", "one-step", one_call)
    stored.write_bytes(stored.read_bytes() + b"\0")
    with pytest.raises(ValueError, match="the checksum that the card of its model"):
        wdno.load(tmp_path / "model", adapter="one-step")
