"""The card of a model: all that makes it besides the values of its parameters.

Cards are written by `card_of` and read by `abstract_model`, which takes nothing on
trust: every entry is decoded by its type, checked for its range and fitted to the
others. How a card lies in a file, with notes and a checksum, says `card_file`.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jax.core import Tracer

from wdno import networks
from wdno._json import from_entries, registered
from wdno.diffusion.denoiser import Denoiser, Network, freeze
from wdno.diffusion.preconditioning import Preconditioning
from wdno.diffusion.schedules import Schedule
from wdno.operator.domain import Domain
from wdno.operator.model import WDNO
from wdno.operator.residual import Residual
from wdno.wavelets.protocols import Conditions, Layout

FORMAT = 2
"""Version of the card's structure."""


@dataclass(frozen=True)
class Card:
    """The entries that make a model.

    Attributes:
        format: version of the structure.
        targets: layout of the fields to generate.
        given: layout of the fields to condition on.
        network: configuration of the backbone, of a class that is registered.
        preconditioning: of the backbone.
        bound: largest magnitude of coefficients; None where there is none.
        domain: physical position of the grid.
        schedule: noise levels of sampling.
        residual: what is estimated beforehand, if anything.
        parameters: how many numbers the weights are.
        weights_sha256: checksum of the file of weights.

    Raises:
        ValueError: the bound is not positive and finite, or the last is no checksum.
    """

    format: int
    targets: Layout
    given: Conditions
    network: object
    preconditioning: Preconditioning
    bound: float | None
    domain: Domain
    schedule: Schedule
    residual: Residual | None
    parameters: int
    weights_sha256: str

    def __post_init__(self) -> None:
        """Refuse what no class of an entry refuses."""
        if self.bound is not None and not 0 < self.bound < math.inf:
            raise ValueError(
                "A bound of coefficients is positive and finite, or null, but is "
                f"{self.bound}. Correct it."
            )
        if not re.fullmatch("[0-9a-f]{64}", self.weights_sha256):
            raise ValueError(
                "The checksum of weights has 64 hexadecimal digits, but is "
                f"{self.weights_sha256!r}. Write that of the file."
            )


ENTRIES = tuple(field.name for field in fields(Card))
"""Names of what makes a model; all else on a card are notes."""


def parameters_of(model: WDNO) -> dict[str, Any]:
    """Every parameter of a model by its place, such as "denoiser.backbone.lift.bias".

    In the order of the leaves of the model.
    """
    leaves, _ = jax.tree_util.tree_flatten_with_path(model)
    return {_place(path): leaf for path, leaf in leaves}


def check_saveable(model: WDNO) -> None:
    """Refuse a model that a card and a file cannot hold.

    Raises:
        ValueError: a network is in training, its configuration is not registered, or
            its parameters are tracers.
    """
    parts = jax.tree.leaves(model, is_leaf=lambda part: isinstance(part, Network))
    wrong = [part for part in parts if not isinstance(part, Network | jax.Array)]
    if wrong or not isinstance(model.denoiser.backbone, Network):
        raise ValueError(
            "A model that is saved has frozen networks, but this one has "
            f"{type((*wrong, model.denoiser.backbone)[0]).__name__}. Take "
            "`with_backbone(model, freeze(module))`."
        )
    if any(isinstance(leaf, Tracer) for leaf in jax.tree.leaves(model)):
        raise ValueError(
            "A model that is saved has numbers for parameters, but within a transform "
            "such as `jax.jit` or `jax.grad` they are tracers. Return the model from "
            "the function, and save it outside."
        )
    for network in (part for part in parts if isinstance(part, Network)):
        if not _registered(network.config):
            raise ValueError(
                "A card names its networks by the `config` they keep, of a class that "
                f"is registered, but {network} has {network.config!r}. Decorate the "
                "network with `wdno.networks.register`."
            )


def card_of(model: WDNO, weights_sha256: str) -> Card:
    """The card of a model whose weights have this checksum.

    Raises:
        ValueError: as `check_saveable` does.
    """
    check_saveable(model)
    denoiser, residual = model.denoiser, model.residual
    return Card(
        FORMAT,
        model.targets,
        model.given,
        denoiser.backbone.config,
        denoiser.preconditioning,
        None if denoiser.bound == math.inf else denoiser.bound,
        model.domain,
        model.schedule,
        None if residual is None else residual.described(),
        _count(model),
        weights_sha256,
    )


def abstract_model(entries: Mapping[str, Any]) -> WDNO:
    """The model of a card, with shapes in place of the values of its parameters.

    Args:
        entries: of the card, notes included.

    Raises:
        ValueError: an entry is missing, of another type, out of its range, or does not
            fit the others.
    """
    try:
        made_of = {name: entries[name] for name in ENTRIES if name in entries}
        return _model_of(from_entries(made_of, Card))
    except (ArithmeticError, TypeError, ValueError) as error:
        raise ValueError(
            "A model card describes a model part by part, each in its type and range, "
            f"but one is wrong ({error}). Copy the card again, or save the model anew."
        ) from error


def _model_of(card: Card) -> WDNO:
    """The model of a card; its network is abstract: nothing is drawn or compiled."""
    targets, given = card.targets, card.given
    residual = card.residual
    if residual is not None:
        described = residual
        residual = jax.eval_shape(lambda: described.built(targets, given, nnx.Rngs(0)))
    features = 0 if residual is None else residual.channels(targets, given)
    shape = networks.Shape(
        len(targets.dims), len(targets.channels), len(given.channels) + features
    )
    network = freeze(
        nnx.eval_shape(lambda: networks.build(card.network, shape, rngs=nnx.Rngs(0)))
    )
    # Other classes can be called too; on noise levels a preconditioning alone can.
    jax.eval_shape(card.preconditioning, jax.ShapeDtypeStruct((1,), jnp.float32))
    bound = math.inf if card.bound is None else card.bound
    denoiser = Denoiser(network, card.preconditioning, bound)
    model = WDNO(targets, given, denoiser, card.domain, card.schedule, residual)
    count = _count(model)
    if count != card.parameters:
        raise ValueError(
            f"The networks of a card have as many numbers as the card says, but have "
            f"{count} and the card says {card.parameters}. Was one of them changed?"
        )
    return model


def _count(model: WDNO) -> int:
    return sum(value.size for value in jax.tree.leaves(model))


def _registered(config: object) -> bool:
    try:
        return registered(type(config).__name__) is type(config)
    except ValueError:
        return False


def _place(path: tuple[Any, ...]) -> str:
    keys = [getattr(entry, "name", getattr(entry, "key", None)) for entry in path]
    return ".".join(str(key) for key in keys if key != "parameters")
