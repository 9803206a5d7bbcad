"""Ranges of numbers that many classes ask for."""

LARGEST_COUNT = 65_536
"""Bound on counts: what is larger is an error of the file or of the user."""

MOST_BLOCKS = 1024
"""Bound on the depth of a network, which is built block by block."""


def check_counts(most: int = LARGEST_COUNT, **counts: int | tuple[int, ...]) -> None:
    """Refuse counts that are not whole numbers from 1.

    Args:
        most: the largest that makes sense.
        counts: numbers, or tuples of them, by their names.

    Raises:
        ValueError: one of them is below 1, above `most` or no whole number.
    """
    for name, count in counts.items():
        numbers = count if isinstance(count, tuple) else (count,)
        if not all(isinstance(n, int) and 1 <= n <= most for n in numbers):
            raise ValueError(
                f"Counts are whole numbers from 1 to {most}, but {name!r} is {count}. "
                "Correct it."
            )
