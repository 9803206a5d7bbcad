"""Random periodic states."""

import jax
import numpy as np
import pytest

from wdno.systems.waves import Waves

KEY = jax.random.key(0)


def test_waves_are_sums_of_sines_of_whole_numbers():
    u = np.asarray(Waves(share_folded=0.0, share_cut=0.0).draw(KEY, 500, 64), float)
    power = np.abs(np.fft.rfft(u) / 32) ** 2
    assert power[:, 1:9].sum(1).min() > 1e-6
    assert np.abs(power[:, 0]).max() < 1e-10 and power[:, 9:].max() < 1e-10
    # every wavenumber is as likely, and the mean square is 2 E[A²] / 2 = 1/3
    np.testing.assert_allclose(power.mean(0)[1:9], 2 / 3 / 8, rtol=0.35)
    assert np.mean(u**2) == pytest.approx(1 / 3, rel=0.1)


def test_folded_waves_have_one_sign_and_both_signs_occur():
    plain = np.asarray(Waves(share_folded=0.0, share_cut=0.0).draw(KEY, 200, 64))
    folded = np.asarray(Waves(share_folded=1.0, share_cut=0.0).draw(KEY, 200, 64))
    np.testing.assert_array_equal(np.abs(folded), np.abs(plain))
    signs = np.sign(folded.sum(1))
    np.testing.assert_array_equal(np.sign(folded), signs[:, None] * (folded != 0))
    assert 70 < (signs > 0).sum() < 130


def test_cut_waves_are_zero_outside_an_interval_and_unchanged_inside():
    plain = np.asarray(Waves(share_folded=0.0, share_cut=0.0).draw(KEY, 100, 512))
    cut = np.asarray(
        Waves(share_folded=0.0, share_cut=1.0, edge=1e-4).draw(KEY, 100, 512)
    )
    same, zero = np.isclose(cut, plain, atol=1e-5), np.abs(cut) < 1e-5
    assert (same | zero).mean() > 0.98
    turns = np.abs(np.diff((same & ~zero).astype(int), axis=1)).sum(1)
    assert 0.2 < zero.mean() < 0.8 and turns.max() < 40


def test_shares_are_probabilities():
    draw = Waves().draw(KEY, 4000, 32)
    plain = Waves(share_folded=0.0, share_cut=0.0).draw(KEY, 4000, 32)
    changed = np.mean(np.any(draw != plain, axis=1))
    assert changed == pytest.approx(0.1 + 0.9 * 0.1, abs=0.025)


def test_a_coarser_grid_has_every_second_point_of_the_same_states():
    fine, coarse = Waves().draw(KEY, 50, 64), Waves().draw(KEY, 50, 32)
    np.testing.assert_allclose(fine[:, ::2], coarse, atol=1e-5)


@pytest.mark.parametrize("wrong", [{"share_cut": 1.5}, {"share_folded": -0.1}])
def test_probabilities_beyond_one_are_refused(wrong):
    with pytest.raises(ValueError, match="between 0 and 1"):
        Waves(**wrong)
