"""Models on disk: what is saved is what is loaded, and nothing else passes for it."""

import dataclasses
import hashlib
import json
import os
import shutil
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest
from flax import nnx
from safetensors.numpy import load_file, save_file
from tiny_networks import filled

import wdno
from wdno.diffusion.denoiser import Denoiser, freeze
from wdno.diffusion.preconditioning import EDMPreconditioning, VariancePreserving
from wdno.diffusion.schedules import KarrasSchedule
from wdno.networks import (
    DynamicGrainConfig,
    FourierConfig,
    MixerConfig,
    Shape,
    TokenTransformerConfig,
    build,
)
from wdno.operator import tasks
from wdno.operator.card_file import sealed
from wdno.operator.model import with_backbone

FOURIER = FourierConfig((2, 2), width=12, depth=1)
MIXER = MixerConfig((1, 2), (2, 2), width=8, depth=1)
TOKENS = TokenTransformerConfig((1, 2), 8, 1, 2, windows=((0, 1), (1, 0)))
GRAIN = DynamicGrainConfig((1, 2), 8, 1, 2, fine=(1, 2), kept=2)


def make_model(network=FOURIER, preconditioning=EDMPreconditioning(), scale=0.4):  # noqa: B008
    """An operator whose every parameter is random, zero initial values included."""
    dims, mode = ("time", "x"), ("periodization",) * 2
    targets, given = (
        wdno.WaveletLayout(fields, dims, (4, 8), "bior2.4", mode)
        for fields in tasks.simulation(("u",), ("f",), dims)
    )
    shape = Shape(2, len(targets.channels), len(given.channels))
    backbone = filled(lambda: build(network, shape, rngs=nnx.Rngs(0)), scale)
    domain = wdno.Domain((1.0, 0.5), (0.25, 0.125))
    denoiser = Denoiser(freeze(backbone), preconditioning)
    return wdno.WDNO(targets, given, denoiser, domain, KarrasSchedule(0.002, 20.0))


def weights(model):
    """Parameters in the order of their names."""
    return [np.asarray(x) for x in jax.tree.leaves(model)]


@pytest.fixture(scope="module")
def original():
    return make_model()


@pytest.fixture(scope="module")
def saved(original, tmp_path_factory):
    folder = tmp_path_factory.mktemp("saved")
    wdno.save(original, folder)
    return folder


@pytest.fixture
def folder(saved, tmp_path):
    """A copy of the saved model that a test may damage."""
    return shutil.copytree(saved, tmp_path / "model")


def edit_card(folder, edit):
    """Change the card and its checksum with it, as another program might."""
    path = folder / "card.json"
    card = json.loads(path.read_text())
    edit(card)
    path.write_text(json.dumps(sealed(card)))


def edit_weights(folder, edit):
    """Change tensors and the checksum with them, as another program might."""
    path = folder / "model.safetensors"
    tensors = load_file(path)
    edit(tensors)
    save_file(tensors, path)
    checksum = hashlib.sha256(path.read_bytes()).hexdigest()
    edit_card(folder, lambda card: card.update(weights_sha256=checksum))


# Round trips


@pytest.mark.parametrize("network", [FOURIER, MIXER, TOKENS, GRAIN])
@pytest.mark.parametrize(
    "preconditioning", [EDMPreconditioning(sigma_data=0.5), VariancePreserving()]
)
def test_a_loaded_model_is_the_saved_one(tmp_path, network, preconditioning):
    model = make_model(network, preconditioning)
    wdno.save(model, tmp_path / "new" / "model")
    found = wdno.load(tmp_path / "new" / "model")
    for name in ("targets", "given", "domain", "schedule"):
        assert getattr(found, name) == getattr(model, name)
    assert found.denoiser.preconditioning == preconditioning
    assert found.denoiser.backbone.config == network
    for ours, theirs in zip(weights(found), weights(model), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert jax.tree.structure(found) == jax.tree.structure(model)


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16])
def test_half_precision_rounds_and_halves_the_file(original, saved, tmp_path, dtype):
    wdno.save(original, tmp_path, dtype=dtype)
    for ours, theirs in zip(
        weights(wdno.load(tmp_path)), weights(original), strict=True
    ):
        assert ours.dtype == np.float32
        np.testing.assert_array_equal(ours, theirs.astype(dtype).astype(np.float32))
    sizes = [f.joinpath("model.safetensors").stat().st_size for f in (tmp_path, saved)]
    assert sizes[0] < 0.7 * sizes[1]


@pytest.mark.parametrize("dtype", [np.float16, np.int8])
def test_a_precision_that_cannot_hold_the_weights_is_refused(original, tmp_path, dtype):
    large = jax.tree.map(lambda x: 1e6 * x, original)
    with pytest.raises(ValueError, match=f"as {np.dtype(dtype)} these are not"):
        wdno.save(large, tmp_path / "model", dtype=dtype)
    assert not (tmp_path / "model").exists()


def test_the_card_says_what_its_maker_noted(original, tmp_path):
    wdno.save(original, tmp_path, notes={"metrics": {"mse": [0.1, 0.2]}})
    card = wdno.read_card(tmp_path)
    assert card["metrics"] == {"mse": [0.1, 0.2]}
    assert card["parameters"] == sum(x.size for x in weights(original))
    assert card["network"]["kind"] == "FourierConfig"


def test_saving_replaces_an_earlier_model(original, folder):
    wdno.save(make_model(TOKENS, scale=0.8), folder)
    assert wdno.load(folder).denoiser.backbone.config == TOKENS
    assert {p.name for p in folder.iterdir()} == {"card.json", "model.safetensors"}


@pytest.mark.parametrize("name", wdno.shipped())
def test_every_shipped_model_loads_and_states_its_error(name):
    model, card = wdno.load(name), wdno.read_card(name)
    assert sum(x.size for x in weights(model)) == card["parameters"]
    assert all(np.isfinite(x).all() for x in weights(model))
    assert 0 < card["validation_error"] < np.inf
    assert card["name"] == name


def test_loading_compiles_nothing(saved, compilations):
    jax.clear_caches()
    assert compilations(lambda: wdno.load(saved)) == 0
    assert compilations(lambda: jax.jit(lambda x: 3 * x)(1.0)) > 0


def test_a_model_that_is_loaded_within_a_transform_has_numbers(original, saved):
    loaded = []

    @jax.jit
    def energy(scale):
        loaded.append(wdno.load(saved))
        return scale * sum(jnp.square(x).sum() for x in jax.tree.leaves(loaded[0]))

    expected = sum(np.square(x).sum() for x in weights(original))
    np.testing.assert_allclose(energy(2.0), 2 * expected, rtol=1e-5)
    for ours, theirs in zip(weights(loaded[0]), weights(original), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_tracers_are_not_saved(original, tmp_path):
    def saving(model):
        wdno.save(model, tmp_path / "model")
        return model

    with pytest.raises(ValueError, match="they are tracers. Return the model"):
        jax.jit(saving)(original)
    assert not (tmp_path / "model").exists()


@dataclass(frozen=True)
class AffineConfig:
    gains: tuple[float, ...]


class Affine(nnx.Module):
    """A user's own network: ``sum of gains * (x W + cond V)``."""

    def __init__(self, config, shape, *, rngs):
        self.config = config
        self.own = nnx.Linear(shape.channels, shape.channels, rngs=rngs)
        self.given = nnx.Linear(shape.condition_channels, shape.channels, rngs=rngs)

    def __call__(self, x, c_noise, cond):
        return sum(self.config.gains) * (self.own(x) + self.given(cond))


@pytest.fixture
def registered(monkeypatch):
    """The registries with a network of the user's in them, for one test."""
    kinds, networks = wdno._json, wdno.networks.registry
    monkeypatch.setattr(kinds, "_REGISTERED", dict(kinds._REGISTERED))
    monkeypatch.setattr(networks, "_KINDS", dict(networks._KINDS))
    wdno.networks.register(AffineConfig)(Affine)


def test_a_network_of_the_users_is_saved_and_loaded(registered, tmp_path):
    model = make_model(AffineConfig((0.5, 2.0)))
    wdno.save(model, tmp_path)
    found = wdno.load(tmp_path)
    assert found.denoiser.backbone.config == AffineConfig((0.5, 2.0))
    draw = np.random.default_rng(0)
    x, cond = (
        jnp.float32(draw.normal(size=(2, *side.coefficient_grid, len(side.channels))))
        for side in (model.targets, model.given)
    )
    sigma = jnp.ones(2, x.dtype)
    np.testing.assert_array_equal(
        found.denoiser(x, sigma, cond), model.denoiser(x, sigma, cond)
    )


def test_a_network_that_nobody_registered_is_refused(original, tmp_path, folder):
    backbone = Affine(AffineConfig((1.0,)), Shape(2, 4, 3), rngs=nnx.Rngs(0))
    with pytest.raises(ValueError, match="AffineConfig.*`wdno.networks.register`"):
        wdno.save(with_backbone(original, freeze(backbone)), tmp_path / "other")
    with pytest.raises(ValueError, match="has frozen networks.*has Affine"):
        wdno.save(with_backbone(original, backbone), tmp_path / "other")
    other = {"kind": "AffineConfig", "gains": [1.0]}
    edit_card(folder, lambda card: card.update(network=other))
    with pytest.raises(ValueError, match="'AffineConfig' is not. Import the module"):
        wdno.load(folder)


# Damage


def test_an_unknown_name_lists_the_models_that_ship(tmp_path, monkeypatch):
    monkeypatch.setattr(
        wdno.operator.checkpoint, "shipped", lambda: ["first", "second"]
    )
    with pytest.raises(FileNotFoundError, match="'third'.*first, second"):
        wdno.load("third")
    with pytest.raises(FileNotFoundError, match="first, second"):
        wdno.load(tmp_path)


def test_missing_weights_are_named(folder):
    (folder / "model.safetensors").unlink()
    with pytest.raises(FileNotFoundError, match=r"model\.safetensors is missing"):
        wdno.load(folder)


@pytest.mark.parametrize("keep", [0, 100, -1])
def test_truncated_weights_are_refused(folder, keep):
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(ValueError, match="truncated, altered"):
        wdno.load(folder)


def test_an_altered_byte_is_noticed(folder):
    path = folder / "model.safetensors"
    data = bytearray(path.read_bytes())
    data[-10] ^= 1
    path.write_bytes(data)
    with pytest.raises(ValueError, match="truncated, altered"):
        wdno.load(folder)


def test_weights_of_another_format_are_refused(folder):
    path = folder / "model.safetensors"
    path.write_bytes(b"something else")
    checksum = hashlib.sha256(path.read_bytes()).hexdigest()
    edit_card(folder, lambda card: card.update(weights_sha256=checksum))
    with pytest.raises(ValueError, match="Weights are a safetensors file"):
        wdno.load(folder)


WRONG_WEIGHTS = {
    "missing": lambda tensors: tensors.pop("denoiser.backbone.head.bias"),
    "renamed": lambda tensors: tensors.update(
        {"head": tensors.pop("denoiser.backbone.head.bias")}
    ),
    "surplus": lambda tensors: tensors.update(
        {"denoiser.backbone.head.bias2": np.zeros(3, np.float32)}
    ),
    "shape": lambda tensors: tensors.update(
        {"denoiser.backbone.head.bias": np.zeros(3, np.float32)}
    ),
}


@pytest.mark.parametrize("edit", WRONG_WEIGHTS.values(), ids=WRONG_WEIGHTS)
def test_weights_fit_the_network_one_to_one(folder, edit):
    edit_weights(folder, edit)
    with pytest.raises(ValueError, match=r"another shape: \[.*head\.bias"):
        wdno.load(folder)


def test_weights_of_another_network_are_refused(folder, tmp_path):
    deeper = dataclasses.replace(FOURIER, depth=2)
    wdno.save(make_model(deeper), tmp_path / "other")
    card = wdno.read_card(tmp_path / "other")
    checksum = wdno.read_card(folder)["weights_sha256"]
    edit_card(folder, lambda old: old.update(card | {"weights_sha256": checksum}))
    with pytest.raises(ValueError, match="Were they saved for another model"):
        wdno.load(folder)


# Interruption


def test_a_write_that_fails_at_once_leaves_the_old_model(original, folder, monkeypatch):
    def full(source, target):
        raise OSError("no space left")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OSError, match="no space left"):
        wdno.save(make_model(scale=0.8), folder)
    for ours, theirs in zip(weights(wdno.load(folder)), weights(original), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert {p.name for p in folder.iterdir()} == {"card.json", "model.safetensors"}


@pytest.mark.parametrize("existing", [True, False])
def test_a_write_that_fails_halfway_leaves_no_folder_that_loads(
    folder, tmp_path, monkeypatch, existing
):
    """New weights beside the old card, or beside none."""
    folder = folder if existing else tmp_path / "new"
    replace = os.replace

    def weights_only(source, target):
        if str(target).endswith("card.json"):
            raise OSError("no space left")
        replace(source, target)

    monkeypatch.setattr(os, "replace", weights_only)
    with pytest.raises(OSError, match="no space left"):
        wdno.save(make_model(scale=0.8), folder)
    with pytest.raises((ValueError, FileNotFoundError), match="card"):
        wdno.load(folder)


def test_scales_survive_to_the_last_bit(folder, original):
    scale = (0.1 + 0.2, 1 / 3, 1e-17, 7.0)
    targets = dataclasses.replace(original.targets, scale=scale)
    wdno.save(dataclasses.replace(original, targets=targets), folder)
    assert wdno.load(folder).targets.scale == scale
