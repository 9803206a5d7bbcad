"""Backbones by the configuration that makes them, those of users included."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from flax import nnx

from wdno import _json

Kind = TypeVar("Kind", bound=Callable[..., nnx.Module])

_KINDS: dict[type, Callable[..., nnx.Module]] = {}


@dataclass(frozen=True)
class Shape:
    """What a backbone is given and returns, whatever its kind.

    Attributes:
        axes: number of grid axes (2 for time and x).
        channels: channels of input and output.
        condition_channels: channels of the condition.
    """

    axes: int
    channels: int
    condition_channels: int

    def check_numbers_per_axis(self, **settings: tuple[int, ...]) -> None:
        """Settings of a configuration, by name, have one number per grid axis.

        Raises:
            ValueError: one has more or fewer.
        """
        for name, numbers in settings.items():
            if len(numbers) != self.axes:
                raise ValueError(
                    f"`{name}` has one number per grid axis, {self.axes} here, but got "
                    f"{numbers}. Give {self.axes}."
                )


def register(config: type) -> Callable[[Kind], Kind]:
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
        ...     def __init__(self, config, shape, *, rngs):
        ...         ...
    """
    _json.register(config)

    def enter(kind: Kind) -> Kind:
        _KINDS[config] = kind
        return kind

    return enter


def build(config: Any, shape: Shape, *, rngs: nnx.Rngs) -> nnx.Module:
    """Make the backbone of a configuration, with fresh parameters.

    Args:
        config: of a registered class, which chooses the kind.
        shape: of what the backbone is given and returns.
        rngs: source of the initial parameters.

    Raises:
        ValueError: no backbone is registered for this configuration.
    """
    if type(config) not in _KINDS:
        known = sorted(known.__name__ for known in _KINDS)
        raise ValueError(
            f"A backbone is made by a configuration that is registered, {known}, but "
            f"got {config!r}. Decorate its class with `wdno.networks.register`."
        )
    return _KINDS[type(config)](config, shape, rngs=rngs)
