"""Fields as wavelet coefficients: the transform, its packing, layouts of fields."""

from wdno.wavelets.nested import as_wavedec, as_wavedec2, from_nested, to_nested
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
    "as_wavedec",
    "as_wavedec2",
    "coefficient_length",
    "from_nested",
    "synthesis",
    "synthesis_matrices",
    "to_nested",
]
