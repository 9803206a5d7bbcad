"""How long and how fast to train."""

import math
from dataclasses import dataclass, replace

from wdno._arguments import is_whole
from wdno.training.averaging import WIDEST_AVERAGE

__all__ = ["TrainingConfig"]


@dataclass(frozen=True)
class TrainingConfig:
    """How long and how fast to train.

    Attributes:
        steps: number of updates; the run is then reproducible bit for bit.
        budget: seconds of training instead of `steps` (validation and checkpoints not
            counted).
        learning_rate: peak rate of AdamW.
        warmup: share of the run in which the rate rises linearly from zero.
        weight_decay: decoupled weight decay.
        gradient_clip: largest global gradient norm.
        average_width: how far back the averaged parameters reach that are validated and
            kept: the standard deviation of their profile over the updates, as a share
            of the run until then (σ_rel of Karras et al. 2024, arXiv 2312.02696,
            section 3.1). However short the run, the initial parameters have no part.
        validate_every: seconds of training between validations.
        checkpoint_every: seconds of training between checkpoints.
        log_every: seconds of training between lines of the log, each with the means
            since the one before; only then does the host wait for the device.
        seed: seed of the loss' randomness.
        pieces: of a batch, whose gradients are computed one after another and added:
            memory is that of one.
        recompute: whether gradients compute features within a block of the network
            anew, instead of keeping them: a third more work, far less memory, on GPUs
            and TPUs. The compiler for processors keeps them nevertheless.
    """

    steps: int | None = None
    budget: float | None = None
    learning_rate: float = 1e-3
    warmup: float = 0.02
    weight_decay: float = 1e-4
    gradient_clip: float = 1.0
    average_width: float = 0.05
    validate_every: float = 120.0
    checkpoint_every: float = 180.0
    log_every: float = 1.0
    seed: int = 0
    pieces: int = 1
    recompute: bool = False

    def __post_init__(self) -> None:
        """Refuse what is no length, no width and no number."""
        lengths = [n for n in (self.steps, self.budget) if n is not None]
        if len(lengths) != 1 or not lengths[0] > 0:
            raise ValueError(
                "A run has a positive length in steps or in seconds, but got "
                f"steps={self.steps} and budget={self.budget}. Give exactly one."
            )
        if not 0 < self.average_width < WIDEST_AVERAGE:
            raise ValueError(
                "The average reaches back a share of the run that is positive and "
                f"below {WIDEST_AVERAGE}, but `average_width` is {self.average_width}. "
                "Correct it."
            )

        if not is_whole(self.pieces, 1):
            raise ValueError(
                "A batch is computed in one piece or more, but `pieces` is "
                f"{self.pieces!r}. Correct it."
            )

    def part(self, share: float) -> "TrainingConfig":
        """The same for a share of the length."""
        if self.steps is not None:
            return replace(self, steps=max(1, round(share * self.steps)))
        return replace(self, budget=share * (self.budget or 0.0))

    def progress(self, step: int, seconds: float) -> float:
        """Share of the run that is done, 0 to 1."""
        if self.steps is not None:
            return step / self.steps
        return seconds / (self.budget or math.inf)

    def rate(self, progress: float) -> float:
        """Learning rate: linear warm-up, then half a cosine to zero."""
        if progress < self.warmup:
            return self.learning_rate * progress / self.warmup
        fall = (progress - self.warmup) / (1 - self.warmup)
        return self.learning_rate * 0.5 * (1 + math.cos(math.pi * min(fall, 1.0)))
