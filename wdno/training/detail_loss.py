"""How far a student is off its teacher, with the details counting as much as the rest.

What one call lacks first are high frequencies (HiPA, arXiv 2311.18158). Its loss is
known by its names only; the terms here are these names in wavelet coordinates, where a
weight for each subband is what promotes them.
"""

from dataclasses import dataclass

import jax.numpy as jnp
from jaxtyping import Array, Float

from wdno._typing import Fields
from wdno.operator.residual import Coefficients, Estimate, energy_share
from wdno.wavelets.protocols import Layout

FLOOR = 1e-12
"""Share of the energy of a field below which a wave of it does not count."""


@dataclass(frozen=True)
class DetailLoss:
    """Weights of five terms, each of order 1 for a student that gives the mean.

    With the student's coefficients ẑ, the teacher's z, the fields û, u that both depart
    by from what is known beforehand, and means over rows and places,

    - squared: ``<w (ẑ - z)²> / <w z²>`` with the shares w of the energy in physical
      space (`energy_share`), the squared error;
    - detail: ``<|ẑ - z|_c / σ_c>``, the mean over subbands c with the standard
      deviation σ_c of each of the teacher's: all subbands count alike;
    - edge: ``<|∂ (û - u)|> / <|∂ u|>`` with differences along each axis of a field,
      edges being what is perceived (Sobel's filters in GarDiff, ECCV 2024);
    - spectrum: ``<(ln P(û) - ln P(u))²>``, the mean over wavenumbers along each axis of
      a field of the power P over a batch, so that what no call can place is there with
      its energy. Regression alone fades what it cannot tell;
    - energy: the same of the energies of subbands in place of the powers of waves, of
      which the faint ones have little say in the waves that they share.

    Attributes:
        squared: weight of the first.
        detail: of the second.
        edge: of the third.
        spectrum: of the fourth.
        energy: of the fifth.
    """

    squared: float = 1.0
    detail: float = 1.0
    edge: float = 0.3
    spectrum: float = 0.3
    energy: float = 1.0

    def __call__(
        self,
        layout: Layout,
        estimate: Estimate,
        found: Coefficients,
        target: Coefficients,
    ) -> Float[Array, ""]:
        """The weighted sum for a batch.

        Args:
            layout: of what is generated; its synthesis is linear.
            estimate: what is known beforehand.
            found: the student's coefficients, as they are generated.
            target: those of the teacher, from the same noise.
        """
        error = found - target
        share = energy_share(layout, estimate)
        squared = jnp.mean(share * jnp.square(error))
        total = self.squared * squared / jnp.mean(share * jnp.square(target))
        over = tuple(range(error.ndim - 1))
        energy = jnp.mean(jnp.square(target), axis=over)
        deviation = jnp.sqrt(jnp.where(energy > 0, energy, jnp.ones_like(energy)))
        scaled = jnp.abs(error) / jnp.expand_dims(deviation, over)
        total += self.detail * jnp.mean(scaled)
        of_found = jnp.mean(jnp.square(found), axis=over)
        total += self.energy * _log_ratio(of_found, energy)
        if self.edge == self.spectrum == 0:
            return total
        departed = layout.synthesis(estimate.scale * found)
        wanted = layout.synthesis(estimate.scale * target)
        total += self.edge * _edges(departed, wanted)
        return total + self.spectrum * _spectra(departed, wanted)


def _edges(found: Fields, wanted: Fields) -> Float[Array, ""]:
    """Mean over fields and their axes of the relative error of differences."""
    terms = []
    for name, u in wanted.items():
        for axis in range(1, u.ndim):
            size = jnp.abs(jnp.diff(u, axis=axis)).mean()
            error = jnp.abs(jnp.diff(found[name] - u, axis=axis)).mean()
            terms.append(error / jnp.where(size > 0, size, jnp.ones_like(size)))
    return jnp.mean(jnp.stack(terms))


def _spectra(found: Fields, wanted: Fields) -> Float[Array, ""]:
    """Mean over fields, axes and wavenumbers of squared logarithms of power ratios."""
    terms = []
    for name, u in wanted.items():
        for axis in range(1, u.ndim):
            terms.append(_log_ratio(_power(found[name], axis), _power(u, axis)))
    return jnp.mean(jnp.stack(terms))


def _log_ratio(
    found: Float[Array, " part"], wanted: Float[Array, " part"]
) -> Float[Array, ""]:
    """Mean square of logarithms of ratios; what has nothing in both has ratio 1."""
    least = FLOOR * wanted.sum() + jnp.finfo(wanted.dtype).tiny
    ratio = jnp.log(found + least) - jnp.log(wanted + least)
    return jnp.mean(jnp.square(ratio))


def _power(u: Float[Array, "batch ..."], axis: int) -> Float[Array, " wave"]:
    """Mean power of each wave along an axis."""
    waves = jnp.fft.rfft(u, axis=axis)
    square = jnp.square(jnp.real(waves)) + jnp.square(jnp.imag(waves))
    return square.mean(axis=tuple(n for n in range(u.ndim) if n != axis))
