"""What ``cell_methods`` says: values at points and instants, or means over cells.

The attribute is that of the CF conventions, section 7.3: "time: point x: mean" are
means over cells along x at instants.
"""

import re

import xarray as xr

__all__ = ["acts_over_intervals", "averaged_over", "in_space"]


def acts_over_intervals(variable: xr.DataArray) -> bool:
    """Whether the values are means over the interval that begins at their instant."""
    method = variable.attrs.get("cell_methods", "")
    if "time: mean" not in method and "time: point" not in method:
        raise ValueError(
            "Variables say in cell_methods whether they are values at an instant or "
            f"held over an interval, but {variable.name} has {method!r}. Set its "
            "attrs['cell_methods'] to 'time: point' or 'time: mean'."
        )
    return "time: mean" in method


def averaged_over(variable: xr.DataArray) -> frozenset[str]:
    """Axes of space along which the values are means over cells."""
    method = in_space(variable.attrs.get("cell_methods", ""))
    return frozenset(re.findall(r"(\w+): mean", method)) & {*variable.dims}


def in_space(method: str) -> str:
    """What ``cell_methods`` says of other axes than time, with a space before it."""
    beyond = re.sub(r"\btime: \w+", "", method).strip()
    return f" {beyond}" if beyond else ""
