"""What makes the windows of a stream: a planner, or a model as it is."""

from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

import jax

from wdno._arguments import check_sampler
from wdno._typing import Fields, Guidance
from wdno.diffusion.samplers import Sampler
from wdno.operator.model import WDNO, check_model


@runtime_checkable
class Generator(Protocol):
    """Generation of a window taken apart; a pytree, as `wdno.Planner` is one."""

    @property
    def model(self) -> WDNO:
        """What is generated given what."""
        ...

    @property
    def sampler(self) -> Sampler:
        """The rule for one step."""
        ...

    def try_out(self, few: Fields) -> None:
        """Raise ValueError where windows of such known fields could not be made."""
        ...

    def guided(self, known: Fields) -> Guidance | None:
        """What estimates heed, given what is known of the rows; for tracing."""
        ...

    def completed(self, known: Fields, fields: Fields) -> Fields:
        """Generated fields, and what there is to say of them; for tracing."""
        ...

    def settled(self, known: Fields, window: Fields) -> Fields:
        """A finished window, checked; not traced."""
        ...


@jax.tree_util.register_dataclass
@dataclass(frozen=True, eq=False)
class Unguided:
    """A model as it is: of simulations, or of plans that heed nothing but the ends.

    Attributes:
        model: the operator.
        sampler: the rule for one step.

    Raises:
        ValueError: one of them is none.
    """

    model: WDNO
    sampler: Sampler = field(metadata={"static": True})

    def __post_init__(self) -> None:
        """Refuse what would fail late."""
        check_model(self.model)
        check_sampler(self.sampler)

    def try_out(self, few: Fields) -> None:
        """Nothing beside the model could go wrong."""

    def guided(self, known: Fields) -> Guidance | None:
        """Nothing."""
        return None

    def completed(self, known: Fields, fields: Fields) -> Fields:
        """The fields as they are."""
        return fields

    def settled(self, known: Fields, window: Fields) -> Fields:
        """The window as it is."""
        return window
