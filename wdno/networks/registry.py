"""Backbones by the configuration that makes them, those of users included."""

from collections.abc import Callable
from typing import Any, TypeVar

from flax import nnx

from wdno import _json

Network = TypeVar("Network", bound=Callable[..., nnx.Module])

_NETWORKS: dict[type, Callable[..., nnx.Module]] = {}


def register(config: type) -> Callable[[Network], Network]:
    """Class decorator: the backbone that a frozen dataclass configures.

    From then on a model with that backbone can be saved, and loaded wherever the module
    that registers it has been imported (or announces the configuration, see
    `wdno._json`).

    Args:
        config: frozen dataclass of numbers, text and tuples of these.

    Raises:
        ValueError: it is no dataclass, or its name is taken.

    Example:
        >>> @wdno.networks.register(MyConfig)
        ... class MyNetwork(nnx.Module):
        ...     def __init__(self, config, axes, channels, condition_channels, *, rngs):
        ...         ...
    """
    _json.register(config)

    def enter(network: Network) -> Network:
        _NETWORKS[config] = network
        return network

    return enter


def build(
    config: Any,
    axes: int,
    channels: int,
    condition_channels: int,
    *,
    rngs: nnx.Rngs,
) -> nnx.Module:
    """Make the backbone of a configuration, with fresh parameters.

    Args:
        config: shape of the backbone; its class chooses the kind.
        axes: number of grid axes (2 for time and x).
        channels: channels of input and output.
        condition_channels: channels of the condition.
        rngs: source of the initial parameters.

    Raises:
        ValueError: no backbone is registered for this configuration.
    """
    if type(config) not in _NETWORKS:
        known = sorted(kind.__name__ for kind in _NETWORKS)
        raise ValueError(
            f"A backbone is made by a configuration that is registered, {known}, but "
            f"got {config!r}. Decorate its class with `wdno.networks.register`."
        )
    return _NETWORKS[type(config)](
        config, axes, channels, condition_channels, rngs=rngs
    )
