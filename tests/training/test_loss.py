"""The training loss of denoisers that are exact, or wrong by a known amount."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from oracles import (
    Gated,
    Oracle,
    make_fields,
    make_gated_fields,
    make_operator,
    oracle,
    with_beside,
)

import wdno
from wdno import training_loss
from wdno.diffusion.noise import point
from wdno.diffusion.samplers import ddim
from wdno.operator import tasks
from wdno.operator.model import with_backbone

KEY = jax.random.key(0)


@oracle
class Biased(Oracle):
    """The exact denoiser, wrong by a constant per channel."""

    bias = np.array([0.3, -0.2, 0.1, 0.4])

    def __call__(self, x, sigma, cond):
        bias = jnp.asarray(self.bias)[*(None,) * (x.ndim - 1)]
        return super().__call__(x, sigma, cond) + bias


@oracle
class Shifted(Gated):
    """The exact denoiser of `pass_gate`, wrong by one amount for each channel."""

    bias: np.ndarray | float = 0.0

    def __call__(self, x, sigma, cond):
        bias = jnp.asarray(self.bias)[*(None,) * (x.ndim - 1)]
        return super().__call__(x, sigma, cond) + bias


def loss_of(model, fields, sigma):
    """The training loss at one noise level."""
    return training_loss(model, point(sigma))(model.denoiser.backbone, fields, KEY)


def test_the_loss_of_the_exact_denoiser_is_zero():
    assert loss_of(make_operator(), make_fields(), 2.0) < 1e-20


@pytest.mark.parametrize(("sigma", "balance"), [(2.0, 1.25), (0.1, 5.0)])
def test_the_loss_weighs_channels_by_energy_and_bounds_low_noise(sigma, balance):
    model = make_operator(Biased)
    share = np.square(model.targets.scale) / np.mean(np.square(model.targets.scale))
    expected = balance * np.mean(share * Biased.bias**2)
    loss = loss_of(model, make_fields(), sigma)
    np.testing.assert_allclose(loss, expected, rtol=1e-10)


def test_the_loss_is_proportional_to_the_error_in_physical_space():
    """Parseval: Haar is orthogonal, and channels count by their squared scale."""
    model, fields = make_operator(Biased), make_fields()
    found = wdno.generate(model, fields, ddim(), model.schedule(1), KEY)["u"]
    balance = 1 + 1 / model.schedule.sigma_range[1] ** 2
    loss = loss_of(model, fields, model.schedule.sigma_range[1])
    np.testing.assert_allclose(
        jnp.mean(jnp.square(found - fields["u"])),
        loss / balance * np.mean(np.square(model.targets.scale)),
        rtol=1e-10,
    )


def test_in_the_loss_every_field_counts_alike():
    """Of two fields with the same relative error, each makes half of the loss."""
    model = make_operator(Gated, task=with_beside(tasks.simulation))
    fields = make_gated_fields()
    assert loss_of(model, fields, 2.0) < 1e-20
    square = np.square(model.targets.scale)
    assert square[:4].sum() != square[4:].sum()
    of_each = []
    for name in ("u", "share"):
        mine = [channel.startswith(f"{name}:") for channel in model.targets.channels]
        off = Shifted(model.targets, model.given, bias=np.array(mine) * 0.3)
        of_each.append(loss_of(with_backbone(model, off), fields, 2.0))
    np.testing.assert_allclose(of_each, 1.25 * 0.3**2 / 2, rtol=1e-10)
