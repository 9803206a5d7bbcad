"""Random gases have the bounds and the distribution that they promise."""

import jax
import numpy as np
import pytest

from wdno.systems.compressible.riemann import Gas, contact
from wdno.systems.compressible.states import Jumps, Waves

KEY = jax.random.key(0)
NAMES = ["density0", "velocity0", "pressure0"]


@pytest.mark.parametrize("states", [Jumps(), Jumps(jumps=5), Waves()])
def test_the_key_decides(states):
    one, again = states.draw(KEY, 3, 40), states.draw(KEY, 3, 40)
    other = states.draw(jax.random.key(1), 3, 40)
    assert list(one) == NAMES
    for name, values in one.items():
        assert values.shape == (3, 40) and values.dtype == np.float32
        np.testing.assert_array_equal(values, again[name])
        assert (values != other[name]).any()


@pytest.mark.parametrize("jumps", [1, 2, 6])
def test_gas_is_constant_between_jumps(jumps):
    fields = Jumps(jumps=jumps).draw(KEY, 200, 2000)
    changes = [np.diff(np.asarray(values)) != 0 for values in fields.values()]
    np.testing.assert_array_equal(changes[0], changes[1])
    np.testing.assert_array_equal(changes[0], changes[2])
    counts = changes[0].sum(axis=1)
    assert counts.max() == jumps
    assert np.mean(counts == jumps) > 0.9  # else two share a cell
    places = np.argwhere(changes[0])[:, 1] / 2000
    assert 0.249 < places.min() < 0.27 and 0.73 < places.max() < 0.751


def test_jumps_are_uniform_in_their_ranges():
    states = Jumps(density=(1.0, 3.0), velocity=(-5.0, -1.0), pressure=(0.5, 0.6))
    fields = states.draw(KEY, 20_000, 4)
    for name in ("density", "velocity", "pressure"):
        low, high = getattr(states, name)
        values = np.asarray(fields[f"{name}0"])[:, [0, -1]]
        share = (values - low) / (high - low)
        np.testing.assert_allclose(share.mean(0), 0.5, atol=0.01)
        np.testing.assert_allclose(share.var(0), 1 / 12, atol=0.002)
        assert share.min() > -1e-5 and share.max() < 1 + 1e-5
        assert abs(np.corrcoef(share.T)[0, 1]) < 0.03
    rows = np.stack([np.asarray(fields[name])[:, 0] for name in NAMES])
    assert np.abs(np.corrcoef(rows) - np.eye(3)).max() < 0.03


def test_a_jump_is_at_the_same_place_on_every_grid():
    coarse, fine = Jumps().draw(KEY, 50, 100), Jumps().draw(KEY, 50, 300)
    for name in NAMES:
        np.testing.assert_array_equal(coarse[name], fine[name][:, 1::3])


def test_no_default_jump_opens_a_vacuum():
    """The worst case of the ranges: cold gases that part."""
    states = Jumps()
    sides = [
        Gas(states.density[1], v, states.pressure[0]) for v in sorted(states.velocity)
    ]
    pressure, _ = contact(sides[0], sides[1], 5 / 3)
    assert pressure > 1e-6


def test_waves_are_bounded_and_centred():
    states = Waves(density=2.0, speed=3.0, pressure=0.5, contrast=0.9, windowed=0.0)
    fields = {n: np.asarray(v) for n, v in states.draw(KEY, 4000, 64).items()}
    for name, centre, bound in (
        ("density0", 2.0, 1.8),
        ("velocity0", 0.0, 3.0),
        ("pressure0", 0.5, 0.45),
    ):
        w = (fields[name] - centre) / bound
        assert 0.8 < np.abs(w).max() <= 1 + 1e-6
        # E w² = E a² / 2 waves = 1 / 24, and no mean over the domain
        np.testing.assert_allclose((w**2).mean(), 1 / 24, rtol=0.05)
        np.testing.assert_allclose(w.mean(axis=1), 0, atol=2e-6)


@pytest.mark.parametrize("highest", [1, 3])
def test_waves_are_periodic_and_of_few_wavenumbers(highest):
    states = Waves(wavenumber=highest, windowed=0.0)
    for values in states.draw(KEY, 500, 64).values():
        power = (np.abs(np.fft.rfft(values)) ** 2).mean(axis=0)
        assert power[highest + 1 :].max() < 1e-9 * power[1]
        share = power[1 : highest + 1] / power[1 : highest + 1].sum()
        np.testing.assert_allclose(share, 1 / highest, atol=0.05)


@pytest.mark.slow
def test_windows_are_as_frequent_as_said_and_end_in_calm():
    states = Waves(windowed=0.3)
    fields = {n: np.asarray(v) for n, v in states.draw(KEY, 5000, 200).items()}
    calm = {
        "density0": np.abs(fields["density0"] - 1),
        "velocity0": np.abs(fields["velocity0"]),
        "pressure0": np.abs(fields["pressure0"] - 1),
    }
    still = {n: (v[:, [0, 1, 2, -3, -2, -1]] < 1e-6).all(1) for n, v in calm.items()}
    np.testing.assert_array_equal(still["density0"], still["velocity0"])
    np.testing.assert_array_equal(still["density0"], still["pressure0"])
    np.testing.assert_allclose(still["density0"].mean(), 0.3, atol=0.02)
    middle = calm["density0"][still["density0"]][:, 90:110]
    assert (middle.max(axis=1) > 1e-3).all()  # but not in the middle
    whole = Waves(windowed=0.0).draw(KEY, 5000, 200)
    for name in NAMES:
        np.testing.assert_array_equal(
            fields[name][:, 90:110][~still[name]], whole[name][:, 90:110][~still[name]]
        )


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Jumps(jumps=0), "jumps is 0"),
        (lambda: Jumps(density=(0.0, 1.0)), "lowest_density is 0"),
        (lambda: Jumps(pressure=(-1.0, 1.0)), "lowest_pressure is -1"),
        (lambda: Jumps(velocity=(1.0, -1.0)), r"velocity is \(1.0, -1.0\). Turn"),
        (lambda: Waves(contrast=1.0), "contrast is 1.0"),
        (lambda: Waves(windowed=1.5), "windowed 1.5"),
        (lambda: Waves(wavenumber=0), "wavenumber is 0"),
    ],
)
def test_nonsense_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
