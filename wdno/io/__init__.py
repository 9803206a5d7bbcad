"""Files in the layouts of others, opened lazily as datasets of this package."""

from wdno.io.official import (
    open_burgers,
    open_burgers_coefficients,
    open_smoke,
    save_burgers,
    save_smoke,
)
from wdno.io.official_checkpoint import read_state_dict

__all__ = [
    "open_burgers",
    "open_burgers_coefficients",
    "open_smoke",
    "read_state_dict",
    "save_burgers",
    "save_smoke",
]
