"""Keys of random draws: one a row, so that no row's noise depends on the others."""

from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array, DTypeLike, Float, Int, Key, PRNGKeyArray

from wdno._arguments import is_key

RowKeys = Key[Array, " batch"]
Sample = Float[Array, "batch *grid channel"]


def row_keys(key: PRNGKeyArray | Key[Array, " keys"], batch: int) -> RowKeys:
    """One key a row: ``fold_in(key, row)`` of one key; a batch of keys is kept.

    Raises:
        ValueError: if `key` is not typed (``jax.random.key``) or of another shape.
    """
    if not is_key(key) or key.shape not in ((), (batch,)):
        array = isinstance(key, jax.Array)
        what = f"{key.dtype} of shape {key.shape}" if array else repr(key)
        raise ValueError(
            f"`key` must be one typed key or one for each of {batch} rows but is "
            f"{what}. Make it by jax.random.key(seed)."
        )
    if key.shape == (batch,):
        return key
    return _numbered(key, batch)


# Uncompiled it would be a dozen programs at the first call of many a verb.
@partial(jax.jit, static_argnums=1)
def _numbered(key: PRNGKeyArray, batch: int) -> RowKeys:
    return jax.vmap(jax.random.fold_in, (None, 0))(key, jnp.arange(batch))


def step_keys(keys: RowKeys, index: Int[Array, " batch"]) -> RowKeys:
    """Keys of the draws of each row: index 0 is its start, ``n`` its n-th step."""
    return jax.vmap(jax.random.fold_in)(keys, index)


def row_normal(shape: tuple[int, ...], dtype: DTypeLike, keys: RowKeys) -> Sample:
    """Standard normal noise of which each row depends on its own key only."""
    return jax.vmap(lambda key: jax.random.normal(key, shape[1:], dtype))(keys)
