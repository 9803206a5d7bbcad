"""How long a record is that is chained of windows, by what is given for it.

Nothing here knows of networks: exported models are chained by the same rules.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from wdno._arguments import is_whole

__all__ = ["check_windows", "frames_of_record"]


def frames_of_record(
    initial: Mapping[str, Any],
    control: Mapping[str, Any],
    needed: Iterable[str],
    strides: Mapping[str, int],
    *,
    window: int,
    windows: int | None,
    apart: int | None = None,
) -> int:
    """Frames of a record: those of what is given over time, or of so many windows.

    Args:
        initial: arrays that are given at the beginning, batch first.
        control: arrays that are given over time, on (batch, time, *space).
        needed: which of the former there have to be.
        strides: frames for one row of the latter, by name.
        window: frames that are made at once.
        windows: how many of these; None for as many as cover what is given.
        apart: frames by which each begins after the one before, if they overlap.

    Raises:
        ValueError: something is missing, or there is less than one window.
    """
    for wanted, came, when in (
        (needed, initial, "at the beginning"),
        (strides, control, "over time"),
    ):
        if missing := [name for name in wanted if name not in came]:
            raise ValueError(
                f"A rollout needs the fields {list(wanted)} {when}, but {missing} are "
                f"missing from {sorted(came)}. Add them."
            )
    lengths = [stride * control[name].shape[1] for name, stride in strides.items()]
    frames = lengths[0] if lengths else window
    if windows is not None:
        frames = (windows - 1) * (apart or window) + window
    if frames < 1 or not (windows is None or is_whole(windows, 1)):
        raise ValueError(
            f"A rollout has at least one window, but windows is {windows} and what is "
            f"given over time has {frames} frames. Ask for more."
        )
    return frames


def check_windows(count: int, window: int, past: Iterable[str]) -> None:
    """Refuse to chain so many windows of a model that needs more than a last state.

    Raises:
        ValueError: there is more than one, and the model is given the past.
    """
    if count > 1 and (names := list(past)):
        raise ValueError(
            f"Windows are chained by their last state, but this model is given {names} "
            f"as well. Ask for {window} frames, and begin anew from what has been "
            "observed since."
        )
