"""Ranges of numbers that many classes ask for."""

from typing import Annotated

import msgspec

Count = Annotated[int, msgspec.Meta(ge=1)]
"""In an annotation of a registered class: a number from 1, checked in files."""

CountOrNone = Annotated[int, msgspec.Meta(ge=0)]
"""The same from 0."""

LARGEST_COUNT = 65_536
"""Bound on counts: what is larger is an error of the file or of the user."""

MOST_BLOCKS = 1024
"""Bound on the depth of a network, which is built block by block."""


def check_counts(most: int = LARGEST_COUNT, **counts: int | tuple[int, ...]) -> None:
    """Refuse counts that are not whole numbers from 1.

    Args:
        most: the largest that makes sense.
        counts: numbers, or tuples of one or more, by their names.

    Raises:
        ValueError: one of them is below 1, above `most` or no whole number.
    """
    for name, count in counts.items():
        numbers = count if isinstance(count, tuple) else (count,)
        if not numbers or not all(
            isinstance(n, int) and 1 <= n <= most for n in numbers
        ):
            raise ValueError(
                f"Counts are whole numbers from 1 to {most}, but {name!r} is {count}. "
                "Correct it."
            )
