"""What commands that train are told about a run."""

import dataclasses
import re
from typing import Annotated, Any

import jax
import tyro

from wdno.training.config import TrainingConfig
from wdno.training.devices import Devices

_DURATION = re.compile(r"(\d+(?:\.\d+)?)([smh]?)")
_SECONDS = {"": 1, "s": 1, "m": 60, "h": 3600}


def duration(text: str) -> float:
    """Seconds of a duration such as ``90m``, ``2h``, ``45s`` or ``600``."""
    match = _DURATION.fullmatch(text)
    if match is None:
        raise ValueError(
            f"A duration is a number with s, m or h, but got {text!r}. Write 90m or 2h."
        )
    return float(match[1]) * _SECONDS[match[2]]


@dataclasses.dataclass(frozen=True)
class Length:
    """How long and how a model is trained.

    Attributes:
        budget: length as a duration, e.g. 90m. Give this or steps.
        steps: length in updates; the run is then reproducible bit for bit.
        validation_samples: number of trajectories held back; an eighth by default, and
            never more than 128.
        batch_size: windows per update, in place of those of the recipe.
        learning_rate: peak learning rate.
        weight_decay: decoupled weight decay.
        validate_every: training between validations, as a duration.
        checkpoint_every: training between checkpoints.
        log_every: training between lines of the log.
        seed: seed of initial parameters, batches and noise.
        pieces: of an update's windows, computed one after another to save memory.
        recompute: save memory by computing features twice.
        resume: continue from the last checkpoint in OUT.
    """

    budget: str = ""
    steps: int | None = None
    validation_samples: int | None = None
    batch_size: int | None = None
    learning_rate: float = 1e-3
    weight_decay: float = 1e-4
    validate_every: str = "2m"
    checkpoint_every: str = "3m"
    log_every: str = "1s"
    seed: int = 0
    pieces: int = 1
    recompute: bool = False
    resume: bool = False

    def config(self) -> TrainingConfig:
        """With durations in seconds."""
        return TrainingConfig(
            steps=self.steps,
            budget=duration(self.budget) if self.budget else None,
            learning_rate=self.learning_rate,
            weight_decay=self.weight_decay,
            validate_every=duration(self.validate_every),
            checkpoint_every=duration(self.checkpoint_every),
            log_every=duration(self.log_every),
            seed=self.seed,
            pieces=self.pieces,
            recompute=self.recompute,
        )

    def how(self) -> dict[str, Any]:
        """What else `wdno.train` is told."""
        return {"validation_samples": self.validation_samples, "resume": self.resume}


@dataclasses.dataclass(frozen=True)
class Machines:
    """What a model is trained on.

    Attributes:
        devices: that share the windows of an update, of all processes as many; by
            default one, or all that several processes have.
        coordinator: several processes train together, which found each other: "auto"
            in a job of SLURM or Open MPI, or HOST:PORT of the first of them.
        processes: how many they are, with HOST:PORT.
        process: number of this one, from 0 on, with HOST:PORT.
        heartbeat: after which a process that is not heard of counts as lost.
    """

    devices: int | None = None
    coordinator: str = ""
    processes: int | None = None
    process: int | None = None
    heartbeat: str = "100s"

    def joined(self) -> Devices:
        """The devices, once the processes have found each other."""
        numbers = {"--processes": self.processes, "--process": self.process}
        by_hand = self.coordinator not in ("", "auto")
        if any((number is None) == by_hand for number in numbers.values()):
            raise ValueError(
                "Processes are numbered where a coordinator has an address, but got "
                f"--coordinator {self.coordinator!r} with {numbers}. Give all three, "
                "or --coordinator auto in a job of SLURM or Open MPI."
            )
        if self.coordinator:
            jax.distributed.initialize(
                self.coordinator if by_hand else None,
                self.processes,
                self.process,
                heartbeat_timeout_seconds=round(duration(self.heartbeat)),
            )
        return Devices.of(self.devices)


Flat = Annotated[Length, tyro.conf.OmitArgPrefixes]
On = Annotated[Machines, tyro.conf.OmitArgPrefixes]
