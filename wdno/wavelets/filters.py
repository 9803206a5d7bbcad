"""Names of wavelets and signal extensions, and when they can halve an axis."""

import difflib

import pywt

MODES: tuple[str, ...] = (*pywt.Modes.modes, "boundary")
"""Signal extensions of PyWavelets, and the edge-adapted ``"boundary"``.

That is orthogonal, critically sampled and does not join the ends of the axis, for
orthogonal wavelets and even lengths from the number of filter taps on. Its details lose
*all* vanishing moments at the ends: of ones they reach 0.67 (db2), but are 0 for haar.
"""

LAZY = ([0.0, 1.0], [1.0, 0.0], [1.0, 0.0], [0.0, 1.0])
"""Filters of the lazy wavelet: even samples are the approximation, odd ones the detail.

It only sorts samples, so a model on its coefficients is one of the raw field, as fast
as on those of any other wavelet (Sweldens, SIAM J. Math. Anal. 29 (1998), section 5).
"""


def filter_bank(length: int, wavelet: str, mode: str) -> pywt.Wavelet:
    """The filters of a wavelet, if it and the mode can halve the length.

    Raises:
        ValueError: an unknown name, or a length that cannot be halved.
    """
    names = [*pywt.wavelist(kind="discrete"), "lazy"]
    for kind, name, known in (("wavelet", wavelet, names), ("mode", mode, MODES)):
        if name not in known:
            near = difflib.get_close_matches(name.lower(), known, cutoff=0.5)
            raise ValueError(
                f"{name!r} is not a {kind} of the discrete transform. Near matches: "
                f"{near or 'none'}. Choose one of: {', '.join(known)}."
            )
    filters = pywt.Wavelet(wavelet, None if wavelet != "lazy" else LAZY)
    multiple, least = 1, 2 if "reflect" in mode else 1
    if mode == "boundary":
        multiple, least = 2, filters.dec_len
        if not filters.orthogonal or wavelet == "dmey":
            raise ValueError(
                f"Mode 'boundary' needs an orthogonal wavelet, but got {wavelet!r} "
                "(dmey is so to 2e-3 only). Use haar, dbN, symN, coifN or another mode."
            )
    if length % multiple or length < least:
        raise ValueError(
            f"Mode {mode!r} with {wavelet!r} needs {least} or more samples, a multiple "
            f"of {multiple}, but a level got {length}. Use fewer levels (each halves "
            "the axis), crop or pad the axis, or use another mode."
        )
    return filters
