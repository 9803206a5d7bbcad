"""States of a run that it can be continued from, the last two by their step."""

import hashlib
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp

from wdno.training.processes import gathered

__all__ = ["Checkpoints"]

KEPT = 2
"""Should the last one be damaged, the one before is gone on from."""
CHECKSUM = "sha256"
"""Entry of the metadata; Orbax itself has no checksum of stored values."""


class Checkpoints:
    """Checkpoints in a folder, each whole or absent and with its checksum.

    Processes that train together see the same folder, and write their parts of it.

    Args:
        folder: of the checkpoints; what a killed process left half-written in it is
            removed.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        options = ocp.CheckpointManagerOptions(
            max_to_keep=KEPT, cleanup_tmp_directories=True
        )
        self._manager = ocp.CheckpointManager(folder, options=options)

    @property
    def latest(self) -> int | None:
        """The last step that is kept."""
        return self._manager.latest_step()

    def save(self, step: int, tree: Mapping[str, Any]) -> None:
        """Keep a state, and wait until it is written."""
        self._manager.save(
            step,
            args=ocp.args.StandardSave(tree),
            custom_metadata={CHECKSUM: _digest(tree)},
        )
        self._manager.wait_until_finished()

    def restore(self, like: Mapping[str, Any]) -> tuple[int, Any]:
        """The last state that is as it was written, with its step.

        Those that are damaged are removed with a warning if an earlier one is whole:
        the steps since are done again, with the same result.

        Args:
            like: arrays of the same names, shapes and types, on the devices that what
                is restored is to lie on.

        Raises:
            ValueError: none is whole, or they are of another network.
        """
        refused: dict[int, Exception] = {}
        for step in sorted(self._manager.all_steps(), reverse=True):
            try:
                tree = self._read(step, like)
            except Exception as error:  # what libraries raise on damage has no end
                refused[step] = error
                continue
            for damaged, error in refused.items():
                warnings.warn(
                    f"The checkpoint of step {damaged} in {self._folder} is damaged "
                    f"({_brief(error)}). It is removed, and training goes on from "
                    f"step {step}.",
                    stacklevel=2,
                )
                self._manager.delete(damaged)
            return step, tree
        first = next(iter(refused.values()))
        raise ValueError(
            "A run is continued from a checkpoint that is whole and of its network, "
            f"but in {self._folder} those of steps {[*refused]} are damaged, or of "
            f"another network ({_brief(first)}). Copy the folder again, or begin "
            "anew in another one."
        ) from first

    def close(self) -> None:
        """Let go of the folder."""
        self._manager.close()

    def _read(self, step: int, like: Mapping[str, Any]) -> Any:
        tree = self._manager.restore(step, args=ocp.args.StandardRestore(like))
        if (found := jax.tree.map(np.shape, tree)) != jax.tree.map(np.shape, like):
            raise ValueError(f"its arrays have the shapes {found}")
        noted = (self._manager.metadata(step).custom_metadata or {}).get(CHECKSUM)
        # Without a note it was damaged itself, or written by an earlier version.
        if noted is not None and noted != (found := _digest(tree)):
            raise ValueError(f"its values have the checksum {found} instead of {noted}")
        return tree


def _digest(tree: Mapping[str, Any]) -> str:
    """SHA-256 of names, types, shapes and values of all arrays, wherever they lie."""
    digest = hashlib.sha256()
    leaves, _ = jax.tree.flatten_with_path(tree)
    for path, leaf in sorted(leaves, key=lambda entry: str(entry[0])):
        array = np.asarray(gathered(leaf))
        digest.update(f"{path} {array.dtype} {array.shape} ".encode())
        digest.update(np.ascontiguousarray(array))
    return digest.hexdigest()


def _brief(error: Exception) -> str:
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text[:200]}"
