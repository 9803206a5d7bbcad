"""Keys of arrays that belong to a labelled variable."""

from collections.abc import Collection, Mapping, Sequence

States = Mapping[str, str] | Sequence[str]
"""Names of states: with the keys of their initial values, or with the usual ones."""


def initial_keys(states: States, others: Collection[str] = ()) -> dict[str, str]:
    """Key of the initial values of each state: of "u" it is "u0".

    Where another variable has that name it is "u_initial" instead.

    Args:
        states: names of the states; a mapping that has the keys is returned as it is.
        others: names of all other variables.

    Example:
        >>> initial_keys(["u"]), initial_keys(["c"], ["c0"])
        ({'u': 'u0'}, {'c': 'c_initial'})
    """
    if isinstance(states, Mapping):
        return dict(states)
    taken = {*states, *others}
    keys = {name: f"{name}0" for name in states}
    return {n: f"{n}_initial" if key in taken else key for n, key in keys.items()}
