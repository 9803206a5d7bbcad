"""Windows that begin from the rest of the last plan, as a planner will meet them.

A planner that is asked again a little later has most of its answer already. What it is
handed then is no noisy truth, but a plan of its own, which was made for less than is
known now. So it has to be trained on those (Seq-Flow, Graph-COM 2026): plans are rolled
out by the averaged parameters, without gradients, and the next window learns to lead
from their rest, taken back in noise, to the truth.
"""

from collections.abc import Callable
from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jaxtyping import PRNGKeyArray

from wdno._json import register
from wdno._typing import Fields, Prepare
from wdno.diffusion.denoiser import Backbone
from wdno.diffusion.noise import per_row
from wdno.diffusion.samplers import ddim
from wdno.operator.generation import Start, generate
from wdno.operator.model import WDNO, with_backbone

Observe = Callable[[Fields, PRNGKeyArray], Fields]
"""What a planner is told of fields, such as initial states that few sensors see."""

Begun = tuple[tuple[Fields, Start | None], ...]


@register
@dataclass(frozen=True)
class OwnPlans:
    """How plans follow each other up to an appointment, in training as in use.

    A window of M frames is followed by those of its last M − tick, M − 2 tick, …
    frames, each from the state that is observed when it begins.

    Attributes:
        tick: frames between plans.
        sigma: how far back in noise the rest of a plan is taken.
        updates: plans in a row that begin from the one before (4 at most in Seq-Flow).
        share_of_noise: share of the rows that begin from noise all the same, so that
            a first plan is learned too.
        calls: denoiser calls of each of these plans.
        surprise: how far off the state was that the last plan was made for, as the
            standard deviation of a share of what two other states differ by.

    Raises:
        ValueError: a number is none of these.
    """

    tick: int
    sigma: float = 0.4
    updates: int = 4
    share_of_noise: float = 0.5
    calls: int = 1
    surprise: float = 0.1

    def __post_init__(self) -> None:
        """Refuse what makes no roll-out."""
        counts = self.tick, self.updates, self.calls
        if min(counts) < 1 or self.sigma <= 0 or self.surprise < 0:
            raise ValueError(
                "A roll-out has ticks, updates and calls of 1 or more, a positive "
                f"`sigma` and a `surprise` that is not negative, but got {self}. "
                "Correct it."
            )
        if not 0 <= self.share_of_noise <= 1:
            raise ValueError(
                "A share lies between 0 and 1, but `share_of_noise` is "
                f"{self.share_of_noise}. Correct it."
            )

    def check(self, window: int) -> None:
        """Raise ValueError where the updates do not fit into a window."""
        if self.updates * self.tick >= window:
            raise ValueError(
                "After its last update a plan still has frames, but "
                f"{self.updates} ticks of {self.tick} leave none of {window}. Take "
                "fewer updates, or a longer window."
            )


def as_they_are(fields: Fields, key: PRNGKeyArray) -> Fields:
    """Observations without errors."""
    return fields


def roll_out(
    model: WDNO, how: OwnPlans, observe: Observe = as_they_are
) -> Prepare[Backbone]:
    """What a planner makes of a batch: its windows one after another, and their starts.

    Args:
        model: the planner; parameters of its backbone are not used.
        how: plans follow each other.
        observe: what it is told at the beginning of each window.

    Returns:
        ``prepare(backbone, fields, key)``, for `wdno.training.loop.fit`, which gives
        what `wdno.training.loss.loss_of_begun` is of.

    Raises:
        ValueError: the updates do not fit into the window of the model.
    """
    how.check(model.window)

    def rolled(backbone: Backbone, fields: Fields, key: PRNGKeyArray) -> Begun:
        planner = with_backbone(model, backbone)
        like = fields[model.targets.fields[0].name]
        rows, levels = len(like), model.levels(how.calls)
        first, key = jax.random.split(key)
        seen, start = observe(fields, first), None
        windows: list[tuple[Fields, Start | None]] = [(seen, start)]
        for own in jax.random.split(key, how.updates):
            off, told, drawn, chosen = jax.random.split(own, 4)
            frames = fields[model.targets.fields[0].name].shape[1]
            asked = planner.on((frames, *model.targets.grid[1:]))
            known = _surprised(model, seen, how.surprise, off)
            plan = generate(asked, known, ddim(), levels, drawn, start=start)
            rest = {name: f[:, how.tick :] for name, f in plan.items()}
            start = Start(rest, jnp.full(rows, how.sigma, like.dtype))
            fields = _later(model, fields, how.tick)
            seen = observe(fields, told)
            noise = jax.random.bernoulli(chosen, how.share_of_noise, (rows,))
            sigma = jnp.where(noise, jnp.inf, start.sigma)
            windows.append((seen, start._replace(sigma=sigma)))
        return jax.lax.stop_gradient(tuple(windows))

    return rolled


def _targets(model: WDNO, fields: Fields) -> Fields:
    return {q.name: fields[q.name] for q in model.targets.fields}


def _later(model: WDNO, fields: Fields, tick: int) -> Fields:
    """The rest of windows, which begins where the truth is then."""
    rest = {name: f[:, tick:] for name, f in _targets(model, fields).items()}
    states = {key: fields[name][:, tick - 1] for name, key in model.initial.items()}
    return {**fields, **rest, **states}


def _surprised(
    model: WDNO, fields: Fields, surprise: float, key: PRNGKeyArray
) -> Fields:
    """Initial states that are off, by a share of what two other states differ by."""
    off = {}
    for name in model.initial.values():
        u = fields[name]
        share = surprise * jax.random.normal(key, (len(u),), u.dtype)
        others = jnp.roll(u, 1, axis=0) - jnp.roll(u, 2, axis=0)
        off[name] = u + per_row(share, u) * others
    return {**fields, **off}
