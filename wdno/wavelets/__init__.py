"""Fields as wavelet coefficients: the transform, its packing, layouts of fields."""

from wdno.wavelets.transform import (
    Coefficients,
    analysis,
    analysis_matrices,
    coefficient_length,
    synthesis,
    synthesis_matrices,
)

__all__ = [
    "Coefficients",
    "analysis",
    "analysis_matrices",
    "coefficient_length",
    "synthesis",
    "synthesis_matrices",
]
