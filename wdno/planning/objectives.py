"""Objectives: one number a row from physical fields, small is good."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from wdno._typing import Fields, Objective

Rows = Float[Array, " batch"]


def terminal(
    state: Float[Array, "batch time *space"], target: Float[Array, "..."]
) -> Rows:
    """Mean square distance of the last state to a target, ``mean_x (u(T) - u*)^2``.

    Args:
        state: trajectory.
        target: one state for all rows, ``(*space)``, or one a row, ``(batch, *space)``.

    Raises:
        ValueError: if `target` has another shape.
    """
    last = state[:, -1]
    if target.shape not in (last.shape, last.shape[1:]):
        raise ValueError(
            f"`target` must have the shape of one state, {last.shape[1:]}, or of one "
            f"a row, {last.shape}, but has {target.shape}. Bring it to the grid."
        )
    distance = last - jnp.broadcast_to(target, last.shape)
    return (distance**2).reshape(len(last), -1).mean(axis=1)


def energy(control: Float[Array, "batch ..."]) -> Rows:
    """Sum of squares of a control over time and space (a sum: it grows with both)."""
    return (control**2).reshape(len(control), -1).sum(axis=1)


def leakage(fields: Fields) -> Rows:
    """Share of the smoke that has not come into the exit in the end: an objective.

    ``J = 1 - s(T)`` with s the field "smoke" (WDNO, appendix H).
    """
    return 1 - fields["smoke"][:, -1]


def reach(
    state: tuple[str, ...], control: tuple[str, ...], energy_weight: float
) -> Objective:
    """Come near a final state with little force: the objective of WDNO's control tasks.

    ``J = sum_u mean_x (u(T) - u*)^2 + energy_weight sum_f sum f^2`` (arXiv 2412.04833,
    appendix F, with 2e-5 for Burgers).

    Args:
        state: names of the states, each wished to end as "<name>T".
        control: names of the controls.
        energy_weight: price of the controls' energy.

    Example:
        >>> objective = reach(("u",), ("f",), energy_weight=2e-5)
    """

    def objective(fields: Fields) -> Rows:
        misses = [terminal(fields[name], fields[f"{name}T"]) for name in state]
        efforts = [energy(fields[name]) for name in control]
        return jnp.stack(misses).sum(axis=0) + energy_weight * jnp.stack(efforts).sum(0)

    return objective
