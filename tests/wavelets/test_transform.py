"""Wavelet transforms against PyWavelets, MATLAB, ptwt and their own identities."""

import itertools
import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import pywt
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from wdno.wavelets.transform import (
    MODES,
    analysis,
    analysis_matrices,
    coefficient_length,
    synthesis,
    synthesis_matrices,
)

WAVELETS = pywt.wavelist(kind="discrete")
FAMILIES = ["haar", "db2", "db7", "sym5", "coif2", "bior2.4", "bior3.1", "rbio2.6"]
FAMILIES += ["rbio4.4", "dmey"]
ORTHOGONAL = [w for w in WAVELETS if pywt.Wavelet(w).orthogonal and w != "dmey"]
TOLERANCE = {"float64": 1e-12, "float32": 1e-6}
# A wavelet of PyWavelets inverts itself only as well as its tabulated filters do:
# sym20 is orthogonal to 1.4e-11, and dmey is a truncation.
INVERSION = {"float64": 1e-10, "float32": 5e-6}

pytestmark = pytest.mark.filterwarnings("ignore:Level value of")


def random(*shape, dtype="float64", seed=0):
    drawn = np.random.default_rng(seed).normal(size=shape)
    return jax.device_put(drawn.astype(dtype))


def distance(came, wanted):
    """Largest difference, relative to the largest magnitude of the second."""
    gaps = jax.tree.map(lambda a, b: abs(np.asarray(a) - b).max(), came, wanted)
    scale = max(abs(np.asarray(leaf)).max() for leaf in jax.tree.leaves(wanted))
    return np.max(jax.tree.leaves(gaps)) / scale


def assert_close(came, wanted, tolerance):
    """Compares two structures of the same shapes by `distance`."""
    assert jax.tree.map(np.shape, came) == jax.tree.map(np.shape, wanted)
    assert distance(came, wanted) <= tolerance


def inner(one, other):
    """Sum of the products of two structures of coefficients."""
    return sum(jax.tree.leaves(jax.tree.map(jnp.vdot, one, other)))


# --- PyWavelets, coefficient by coefficient -------------------------------------------


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("mode", pywt.Modes.modes)
@pytest.mark.parametrize("wavelet", FAMILIES)
def test_equals_pywavelets_and_inverts(wavelet, mode, dtype):
    x = random(2, 30, 21, dtype=dtype)  # one batch axis, an even and an odd one
    came = analysis(x, wavelet, mode, axes=(1, 2), levels=2)
    wanted = pywt.wavedecn(np.asarray(x, "float64"), wavelet, mode, 2, axes=(1, 2))
    assert {leaf.dtype for leaf in jax.tree.leaves(came)} == {np.dtype(dtype)}
    # "smooth" extends short signals to 1e4 times their size: there single precision
    # is held to what PyWavelets itself reaches in it.
    own = pywt.wavedecn(np.asarray(x), wavelet, mode, 2, axes=(1, 2))
    assert_close(came, wanted, max(TOLERANCE[dtype], 2 * distance(own, wanted)))
    back = synthesis(came, wavelet, mode, axes=(1, 2), shape=(30, 21))
    assert back.dtype == dtype
    assert_close(back, x, 0.1 if wavelet == "dmey" else INVERSION[dtype])


@settings(max_examples=150)
@given(
    wavelet=st.sampled_from(WAVELETS),
    mode=st.sampled_from(pywt.Modes.modes),
    length=st.integers(1, 40),
)
def test_matrices_equal_pywavelets_for_all_wavelets(wavelet, mode, length):
    assume(length > 1 or "reflect" not in mode)
    signal = np.random.default_rng(length).normal(size=length)
    wanted = pywt.dwt(signal, wavelet, mode)
    came = [matrix @ signal for matrix in analysis_matrices(length, wavelet, mode)]
    assert_close(came, list(wanted), 1e-12)
    assert coefficient_length(length, wavelet, mode) == len(wanted[0])
    pair = zip(synthesis_matrices(length, wavelet, mode), wanted, strict=True)
    back = sum(matrix @ band for matrix, band in pair)
    assert_close(back, pywt.idwt(*wanted, wavelet, mode)[:length], 1e-12)
    if wavelet != "dmey":
        assert_close(back, signal, 1e-9)


@settings(max_examples=10)
@given(
    wavelet=st.sampled_from(WAVELETS),
    modes=st.tuples(*[st.sampled_from(pywt.Modes.modes)] * 3),
    shape=st.tuples(*[st.integers(4, 9)] * 3),
    axes=st.permutations((0, 1, -1)),
    rank=st.integers(1, 3),
    levels=st.integers(0, 2),
)
def test_every_mix_of_axes_equals_pywavelets(wavelet, modes, shape, axes, rank, levels):
    axes, modes = tuple(axes[:rank]), modes[:rank]
    x = random(*shape)
    came = jax.jit(lambda x: analysis(x, wavelet, modes, axes, levels))(x)
    assert_close(
        came, pywt.wavedecn(np.asarray(x), wavelet, modes, levels, axes), 1e-12
    )
    extents = tuple(x.shape[axis] for axis in axes)
    back = jax.jit(lambda c: synthesis(c, wavelet, modes, axes, extents))(came)
    assert_close(back, x, 0.5 if wavelet == "dmey" else 1e-9)


def test_three_axes_equal_dwtn():
    x = random(3, 8, 9, 10)
    approximation, details = analysis(x, "bior2.4", "smooth", axes=(1, 2, 3))
    wanted = pywt.dwtn(np.asarray(x), "bior2.4", "smooth", axes=(1, 2, 3))
    assert_close({"aaa": approximation, **details}, wanted, 1e-12)


def test_trailing_axes_are_batch_axes_and_keys_follow_the_order_of_axes():
    x = random(10, 12, 3)
    rows_first = analysis(x, "db2", "symmetric", axes=(0, 1))
    columns_first = analysis(x, "db2", "symmetric", axes=(1, 0))
    assert_close(rows_first[1]["ad"], columns_first[1]["da"], 1e-14)
    single = analysis(x[..., 1], "db2", "symmetric", axes=(0, 1))
    assert_close(jax.tree.map(lambda c: c[..., 1], rows_first), single, 1e-14)


def test_no_level_is_the_identity():
    x = random(5)
    (approximation,) = analysis(x, "db2", "zero", (0,), levels=0)
    assert approximation is x
    assert synthesis([x], "db2", "zero", (0,), shape=(5,)) is x


def test_modes_are_those_of_pywavelets_and_boundary():
    assert set(MODES) == {*pywt.Modes.modes, "boundary"}


@pytest.mark.parametrize("length", [8, 9])
def test_the_lazy_wavelet_only_sorts_samples(length):
    x = random(length, 8)
    once, bands = analysis(x, "lazy", "periodization", (0, 1))
    np.testing.assert_array_equal(once, x[::2, ::2])
    np.testing.assert_array_equal(bands["ad"], x[::2, 1::2])
    odd = jnp.concatenate([x, x[-1:]])[1::2] if length % 2 else x[1::2]
    np.testing.assert_array_equal(bands["da"], odd[:, ::2])
    back = synthesis([once, bands], "lazy", "periodization", (0, 1), (length, 8))
    np.testing.assert_array_equal(back, x)


# --- MATLAB ---------------------------------------------------------------------------


def test_equals_matlab(shared):
    values = np.load(shared / "data" / "wavelets" / "matlab_dwt_subset.npz")
    cases = {key.rsplit("|", 1)[0] for key in values if key.endswith("|cA")}
    assert len(cases) == 20 * 9 * 2
    for case in cases:
        wavelet, length, mode = case.split("|")
        signal = values[f"{wavelet}|{length}|x"].ravel()
        low, high = analysis_matrices(len(signal), wavelet, mode)
        np.testing.assert_allclose(low @ signal, values[f"{case}|cA"].ravel(), 0, 1e-10)
        np.testing.assert_allclose(
            high @ signal, values[f"{case}|cD"].ravel(), 0, 1e-10
        )


# --- identities -----------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["periodization", "boundary"])
@pytest.mark.parametrize("wavelet", ["haar", "db4", "sym9", "coif1"])
def test_orthogonal_transforms_keep_the_energy(wavelet, mode):
    x = random(3, 48, 80)
    coefficients = analysis(x, wavelet, mode, axes=(1, 2), levels=2)
    np.testing.assert_allclose(inner(coefficients, coefficients), jnp.vdot(x, x), 1e-11)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("wavelet", ["db3", "sym4"])
def test_gradient_is_the_transpose(wavelet, mode):
    length = 14
    x, direction = random(length), random(length, seed=1)
    weights = jax.tree.map(
        lambda c: random(*c.shape, seed=2), analysis(x, wavelet, mode, (0,))
    )
    gradient = jax.grad(lambda x: inner(analysis(x, wavelet, mode, (0,)), weights))(x)
    low, high = analysis_matrices(length, wavelet, mode)
    np.testing.assert_allclose(
        gradient, low.T @ weights[0] + high.T @ weights[1]["d"], 1e-12, 1e-12
    )
    np.testing.assert_allclose(
        jnp.vdot(gradient, direction),
        inner(analysis(direction, wavelet, mode, (0,)), weights),
        1e-12,
    )


@pytest.mark.parametrize("mode", ["periodization", "boundary"])
def test_synthesis_is_the_adjoint_of_an_orthogonal_analysis(mode):
    x, y = random(24, 20), random(24, 20, seed=1)
    _, pullback = jax.vjp(lambda x: analysis(x, "db5", mode, (0, 1)), x)
    coefficients = analysis(y, "db5", mode, (0, 1))
    (adjoint,) = pullback(coefficients)
    assert_close(adjoint, synthesis(coefficients, "db5", mode, (0, 1), (24, 20)), 1e-12)


def test_synthesis_is_differentiable_with_the_transposed_matrices():
    x = random(15)
    coefficients = analysis(x, "bior2.4", "reflect", (0,))
    gradient = jax.grad(
        lambda c: jnp.vdot(x, synthesis(c, "bior2.4", "reflect", (0,), (15,)))
    )(coefficients)
    low, high = synthesis_matrices(15, "bior2.4", "reflect")
    assert_close(gradient, [low.T @ x, {"d": high.T @ x}], 1e-12)


@pytest.mark.parametrize("mode", MODES)
def test_is_linear_and_the_same_under_vmap_and_jit(mode):
    def transform(x):
        return analysis(x, "db2", mode, axes=(-2, -1), levels=2)

    def inverse(c):
        return synthesis(c, "db2", mode, axes=(-2, -1), shape=(16, 20))

    x, y = random(3, 16, 20), random(3, 16, 20, seed=1)
    wanted = transform(x)
    combined = jax.tree.map(lambda a, b: 2.0 * a - b, wanted, transform(y))
    assert_close(transform(2.0 * x - y), combined, 1e-13)
    assert_close(jax.vmap(transform)(x), wanted, 1e-13)
    assert_close(jax.jit(transform)(x), wanted, 1e-13)
    assert_close(jax.jit(jax.vmap(inverse))(wanted), x, 1e-11)


def test_low_precision_is_kept():
    x = random(12).astype(jnp.bfloat16)
    approximation, details = analysis(x, "db2", "symmetric", (0,))
    assert approximation.dtype == details["d"].dtype == jnp.bfloat16


def test_matrices_are_cached_and_read_only():
    pair = analysis_matrices(20, "db3", "symmetric")
    assert pair is analysis_matrices(20, "db3", "symmetric")
    for mode, matrices in itertools.product(
        ("symmetric", "boundary"), (analysis_matrices, synthesis_matrices)
    ):
        for matrix in matrices(20, "db3", mode):
            assert matrix.dtype == np.float64
            with pytest.raises(ValueError, match="read-only"):
                matrix[0, 0] = 1.0


# --- the mode "boundary" --------------------------------------------------------------


@pytest.mark.parametrize("wavelet", ORTHOGONAL)
def test_boundary_is_orthogonal_from_the_number_of_taps_on(wavelet):
    taps = pywt.Wavelet(wavelet).dec_len
    for length in (taps, taps + 2, 2 * taps):
        operator = np.concatenate(analysis_matrices(length, wavelet, "boundary"))
        assert operator.shape == (length, length)
        np.testing.assert_allclose(operator @ operator.T, np.eye(length), 0, 3e-11)
        columns = np.concatenate(synthesis_matrices(length, wavelet, "boundary"), 1)
        np.testing.assert_array_equal(columns, operator.T)


@pytest.mark.parametrize("wavelet", ["haar", "db4", "sym6", "coif2"])
def test_boundary_equals_periodization_away_from_the_ends(wavelet):
    taps = pywt.Wavelet(wavelet).dec_len
    edge = taps // 4
    for own, periodic in zip(
        analysis_matrices(4 * taps, wavelet, "boundary"),
        analysis_matrices(4 * taps, wavelet, "periodization"),
        strict=True,
    ):
        inside = slice(edge, 2 * taps - edge)
        np.testing.assert_allclose(own[inside], periodic[inside], 0, 1e-14)


@pytest.mark.parametrize("wavelet", ["haar", "db4", "sym6", "coif2", "db38"])
def test_boundary_does_not_wrap_around(wavelet):
    length = 4 * pywt.Wavelet(wavelet).dec_len
    impulse = jnp.zeros(length).at[-1].set(1.0)
    for band in analysis_matrices(length, wavelet, "boundary"):
        np.testing.assert_allclose((band @ impulse)[: length // 4], 0, 0, 1e-16)
    wrapped = analysis(impulse, wavelet, "periodization", (0,))
    assert wavelet == "haar" or abs(wrapped[0][0]) > 1e-3


@pytest.mark.parametrize(("wavelet", "largest"), [("haar", 0.0), ("db2", 0.665)])
def test_boundary_details_lose_the_mean_at_the_ends(wavelet, largest):
    _, high = analysis_matrices(32, wavelet, "boundary")
    details = abs(high @ np.ones(32))
    np.testing.assert_allclose(details.max(), largest, 0, 1e-3)
    np.testing.assert_allclose(details[1:-1], 0.0, 0, 1e-14)


PEER_CASES = [("haar", 2), ("db2", 4), ("db5", 10), ("sym6", 12), ("coif3", 18)]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("wavelet", "taps"), PEER_CASES)
def test_boundary_equals_ptwt(wavelet, taps):
    ptwt, torch = pytest.importorskip("ptwt"), pytest.importorskip("torch")
    for levels in (1, 2, 3):
        x = random(2, 8 * taps, seed=levels)
        peer = ptwt.MatrixWavedec(wavelet, levels, orthogonalization="gramschmidt")
        approximation, *details = [c.numpy() for c in peer(torch.asarray(np.array(x)))]
        came = analysis(x, wavelet, "boundary", (1,), levels)
        assert_close(came, [approximation, *({"d": d} for d in details)], 1e-11)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("wavelet", "taps"), PEER_CASES)
def test_boundary_equals_ptwt_in_two_dimensions(wavelet, taps):
    ptwt, torch = pytest.importorskip("ptwt"), pytest.importorskip("torch")
    x = random(2, 4 * taps, 8 * taps)
    peer = ptwt.MatrixWavedec2(
        wavelet, 2, orthogonalization="gramschmidt", separable=True
    )
    approximation, *details = peer(torch.asarray(np.array(x)))
    # Unlike PyWavelets (and ptwt's other transforms) it calls "ad" the horizontal one.
    wanted = [
        {"ad": d.horizontal.numpy(), "da": d.vertical.numpy(), "dd": d.diagonal.numpy()}
        for d in details
    ]
    came = analysis(x, wavelet, "boundary", (1, 2), 2)
    assert_close(came, [approximation.numpy(), *wanted], 1e-11)


# --- bad input ------------------------------------------------------------------------

X = np.zeros((8, 10))


@pytest.mark.parametrize(
    ("wavelet", "mode", "axes", "levels", "message"),
    [
        ("db39", "zero", (0,), 1, "'db39' is not a wavelet.*Near matches.*'db3"),
        ("daubechies4", "zero", (0,), 1, "Choose one of: bior1.1"),
        ("morl", "zero", (0,), 1, "'morl' is not a wavelet of the discrete transform"),
        ("db2", "periodisation", (0,), 1, "is not a mode.*'periodization'"),
        ("db2", "??", (0,), 1, "Near matches: none.*zero, .*boundary"),
        ("db2", ("zero", "zero"), (0,), 1, "as many modes as axes"),
        ("db2", (), (0,), 1, "as many modes as axes"),
        ("db2", "zero", (), 1, "Distinct axes"),
        ("db2", "zero", (2,), 1, r"got axes \(2,\).*Choose from -2 to 1"),
        ("db2", "zero", (1, -1), 1, "Distinct axes"),
        ("db2", "zero", (0,), -1, "`levels` cannot be negative, but is -1"),
        ("bior2.4", "boundary", (0,), 1, "orthogonal wavelet, but got 'bior2.4'"),
        ("dmey", "boundary", (0,), 1, "'dmey' .* 2e-3"),
        ("db5", "boundary", (0,), 1, "10 or more samples.*got 8.*fewer levels"),
        ("haar", "boundary", (1,), 2, "a multiple of 2, but a level got 5"),
        ("db2", "boundary", (0,), 3, "4 or more samples.*got 2"),
    ],
)
def test_analysis_refuses(wavelet, mode, axes, levels, message):
    with pytest.raises(ValueError, match=message):
        analysis(jnp.asarray(X), wavelet, mode, axes, levels)


@pytest.mark.parametrize(
    ("mode", "length"),
    [("reflect", 1), ("antireflect", 1), ("zero", 0), ("boundary", 7)],
)
def test_matrices_refuse_lengths_without_a_transform(mode, length):
    for function in (coefficient_length, analysis_matrices, synthesis_matrices):
        with pytest.raises(ValueError, match=f"{mode}.*a level got {length}"):
            function(length, "db2", mode)


@pytest.mark.parametrize("dtype", [jnp.int32, jnp.complex64])
def test_refuses_data_that_is_not_real_floating_point(dtype):
    x = jnp.zeros(8, dtype)
    # With run-time type checks the annotation itself refuses them.
    with pytest.raises((ValueError, TypeError)):
        analysis(x, "db2", "zero", (0,))
    with pytest.raises((ValueError, TypeError), match="float"):
        synthesis([x], "db2", "zero", (0,), (8,))


def test_synthesis_refuses_coefficients_of_another_signal():
    approximation, details = analysis(jnp.asarray(X), "db2", "zero", (0, 1))
    cases = {
        "got 0 items": ([], (8, 10)),
        "Leave batch axes out": ([approximation, details], (8,)),
        "A signal of shape .8, 12. has": ([approximation, details], (8, 12)),
        "but got .*'da'": ([approximation, {"da": details["da"]}], (8, 10)),
        "another wavelet": ([approximation[1:], details], (8, 10)),
        "mode or shape": ([approximation], (8, 10)),
    }
    for message, (coefficients, shape) in cases.items():
        with pytest.raises(ValueError, match=message):
            synthesis(coefficients, "db2", "zero", (0, 1), shape)


def test_a_transform_takes_about_as_long_as_that_of_pywavelets():
    """In seconds of the processor, calls in turn; where both were measured, 0.9 to 1.3.

    The bound tells a formulation that grows with the square of the axis.
    """
    x = np.random.default_rng(0).normal(size=(4, 256, 512)).astype(np.float32)
    of = jax.jit(lambda x: analysis(x, "bior2.4", "zero", (1, 2)))
    values = jnp.asarray(x)
    calls = (
        lambda: jax.block_until_ready(of(values)),
        lambda: pywt.dwtn(x, "bior2.4", "zero", axes=(1, 2)),
    )
    taken = np.empty((9, 2))
    for row in taken:
        for n, call in enumerate(calls):
            begin = time.process_time()
            call()
            row[n] = time.process_time() - begin
    ours, theirs = np.median(taken[1:], axis=0)  # the first one compiles
    assert ours < 8 * theirs
