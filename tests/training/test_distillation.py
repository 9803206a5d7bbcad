"""Students of teachers whose map from noise to samples is known."""

from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from oracles import Estimated, labelled, make_fields
from tiny import make_tiny

import wdno
from wdno import TrainingConfig, samplers
from wdno.networks.adapters import AdapterConfig
from wdno.operator.adapter_file import read_adapter
from wdno.operator.residual import Estimate
from wdno.training.detail_loss import DetailLoss
from wdno.training.distillation import FILE, Distillation
from wdno.training.teacher_pairs import Teacher, TeacherPairs

SIGMA = 1.0
CONFIG = TrainingConfig(steps=120, learning_rate=0.05, weight_decay=0.0)
HOW = Distillation(
    Teacher(calls=8, sampler=samplers.heun()),
    SIGMA,
    AdapterConfig(2, (2,)),
    pairs=64,
    batch_size=32,
)
KEY = jax.random.key(3)
WIDER = 1.0799
"""What eight steps of Heun's method make of noise, where 1 is exact."""


@pytest.fixture(scope="module")
def model():
    """Residuals that its denoiser takes for standard normal."""
    plain = make_tiny()
    network = plain.denoiser.backbone
    still = {name: jnp.zeros_like(v) for name, v in network.parameters.items()}
    backbone = replace(
        network,
        parameters=network.parameters
        | {name: still[name] for name in still if name.startswith("head")},
    )
    denoiser = replace(plain.denoiser, backbone=backbone)
    return replace(plain, denoiser=denoiser, residual=Estimated(0.3))


@pytest.fixture(scope="module")
def data():
    return labelled(make_fields(batch=24))


@pytest.fixture(scope="module")
def quick(model, data, tmp_path_factory):
    return wdno.distill(model, data, tmp_path_factory.mktemp("run"), CONFIG, how=HOW)


def test_one_call_gives_the_samples_of_the_teacher(model, data, quick):
    """The same key, the same noise, the same member; the teacher's map is z = n."""
    how = {"members": 4, "key": KEY}
    start, force = data.u.isel(time=0), data.f
    taught = wdno.simulate(model, start, force, steps=8, sampler=samplers.heun(), **how)
    found = wdno.simulate(quick, start, force, **how)
    spread = float(taught.u.std("member").mean())
    error = float(np.sqrt(np.square(found.u - taught.u).mean()))
    assert error < 0.05 * spread
    untaught = replace(model, schedule=quick.schedule)
    faint = wdno.simulate(untaught, start, force, **how)
    assert float(faint.u.std("member").mean()) < 0.6 * spread


def test_pairs_are_those_of_the_sampler_and_the_step_alone_decides_a_batch(model, data):
    ask = dict(count=12, batch_size=4, key=KEY)
    pairs = TeacherPairs(model, data, HOW.teacher, **ask)
    again = TeacherPairs(model, data, HOW.teacher, **ask)
    jax.tree.map(np.testing.assert_array_equal, pairs(5), again(5))
    whole = pairs.rows(slice(None))
    np.testing.assert_allclose(whole.target / whole.noise, WIDER, rtol=1e-3)
    assert (pairs(5).noise != pairs(6).noise).any()


def test_terms_of_the_loss_are_what_they_say(model):
    draw = np.random.default_rng(0)
    shape = (6, *model.targets.coefficient_grid, len(model.targets.channels))
    target = draw.normal(size=shape)
    zeros = np.zeros_like(target)
    unit = jax.device_put(Estimate(zeros, np.ones((1,) * zeros.ndim), zeros[..., :0]))
    none = dict.fromkeys(("squared", "detail", "edge", "spectrum", "energy"), 0.0)

    @partial(jax.jit, static_argnums=0)
    def loss(name, estimate, found, target):
        weighed = DetailLoss(**none | {name: 1.0})
        return weighed(model.targets, estimate, found, target)

    def term(name, found):
        return float(loss(name, unit, found, target))

    assert [term(name, target) for name in none] == [0] * 5
    # Who gives nothing has squared and edge error 1; half of everything a quarter.
    assert term("squared", zeros) == pytest.approx(1)
    assert term("squared", target / 2) == pytest.approx(1 / 4)
    assert term("edge", zeros) == pytest.approx(1)
    assert term("spectrum", 2 * target) == pytest.approx(np.log(4) ** 2, rel=1e-6)
    assert term("energy", 2 * target) == pytest.approx(np.log(4) ** 2, rel=1e-6)
    # Of signs the spectrum knows nothing, and the others do.
    assert term("spectrum", -target) == pytest.approx(0, abs=1e-12)
    assert term("edge", -target) == pytest.approx(2)
    # A faint subband counts as much as the others.
    scaled = np.array([1.0, 1.0, 1.0, 1e-3]) * target
    off = scaled + scaled * np.array([0.0, 0.0, 0.0, 1.0])
    assert float(loss("detail", unit, off, scaled)) == pytest.approx(
        np.sqrt(2 / np.pi) / 4, rel=0.1
    )


@pytest.mark.parametrize(
    ("how", "message"),
    [
        (replace(HOW, sigma=20.0), "from 0.02 to 10, but got 20"),
        (replace(HOW, teacher=Teacher(calls=0)), "one denoiser call or more, but"),
    ],
)
def test_levels_that_no_teacher_has_are_refused(model, data, tmp_path, how, message):
    with pytest.raises(ValueError, match=message):
        wdno.distill(model, data, tmp_path, CONFIG, how=how)


def test_what_is_distilled_already_is_refused_as_a_teacher(quick, data, tmp_path):
    with pytest.raises(ValueError, match="has one step, but 8 were asked for"):
        wdno.distill(quick, data, tmp_path, CONFIG, how=HOW)


def test_the_file_of_a_run_is_the_adapter(model, data, quick, tmp_path):
    config = replace(CONFIG, steps=1)
    found = wdno.distill(model, data, tmp_path, config, how=HOW)
    read = read_adapter(tmp_path / FILE, model).of(model)
    for a, b in zip(jax.tree.leaves(read), jax.tree.leaves(found), strict=True):
        np.testing.assert_array_equal(a, b)
    assert read.residual.factor == found.residual.factor
