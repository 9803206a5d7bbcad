"""Devices that train one model together, of one process or of many."""

from dataclasses import dataclass

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import PyTree

from wdno._arguments import is_whole
from wdno._typing import Batch

ROWS = "rows"
"""Axis of the mesh, along which a batch is divided."""
LARGEST_COPY = 2**26
"""Bytes up to which every device has a copy of a parameter."""


@dataclass(frozen=True)
class Devices:
    """Devices in a row: each has its rows of a batch, and its copy of the parameters.

    The gradient of a mean over rows is the mean of the gradients, so that all devices
    make the same update (data parallelism). A large array is divided too, along its
    longest axis that the devices divide, with what the optimiser keeps of it, and is
    brought together where it is used (fully sharded: ZeRO, Rajbhandari et al. 2020,
    arXiv 1910.02054, stage 3). Which of this is communicated, and when, is XLA's part
    (Xu et al. 2021, arXiv 2105.04663).

    Attributes:
        mesh: of one axis; devices of a process lie side by side.
        largest_copy: bytes of an array up to which every device has a copy.

    Example:
        >>> wdno.train(data, "runs/heat", config, devices=Devices.of(4))
    """

    mesh: Mesh
    largest_copy: int = LARGEST_COPY

    @classmethod
    def of(
        cls, count: int | None = None, *, largest_copy: int = LARGEST_COPY
    ) -> "Devices":
        """So many devices, evenly of all processes.

        Args:
            count: of the devices; by default one, or all that several processes have.
            largest_copy: see the class.

        Raises:
            ValueError: there are not so many, or they are not shared out evenly.
        """
        processes = jax.process_count()
        of_each = [
            [device for device in jax.devices() if device.process_index == process]
            for process in range(processes)
        ]
        there = min(map(len, of_each))
        if count is None:
            count = 1 if processes == 1 else there * processes
        if not is_whole(count, 1) or count % processes or count > there * processes:
            raise ValueError(
                "A run has one device or more, as many of each process, but got "
                f"{count!r} for processes: {processes}, with devices: {there} each. "
                "Ask for others, or begin with more (on processors XLA_FLAGS="
                "--xla_force_host_platform_device_count=N)."
            )
        chosen = [own[: count // processes] for own in of_each]
        return cls(Mesh(np.array(chosen).ravel(), (ROWS,)), largest_copy)

    def own_rows(self, batch_size: int) -> slice:
        """Rows of a batch that belong to the devices of this process.

        Raises:
            ValueError: the devices do not divide the batch.
        """
        if batch_size % self.mesh.size:
            raise ValueError(
                "Devices have as many rows of a batch each, but a batch of "
                f"{batch_size} is not divided by devices: {self.mesh.size}. Change one "
                "of the two."
            )
        own = len(self.mesh.local_devices) * (batch_size // self.mesh.size)
        return slice(jax.process_index() * own, (jax.process_index() + 1) * own)

    def spread(self, rows: Batch) -> Batch:
        """A batch over all devices, of the rows that belong to this process.

        Raises:
            ValueError: the devices do not divide them.
        """
        sharding = NamedSharding(self.mesh, PartitionSpec(ROWS))
        for leaf in jax.tree.leaves(rows):
            self.own_rows(len(leaf) * jax.process_count())
        return jax.tree.map(
            lambda own: jax.make_array_from_process_local_data(sharding, own), rows
        )

    def placed(self, tree: PyTree) -> PyTree:
        """Arrays that all processes have, each copied to all devices or divided."""

        def place(array: jax.Array) -> jax.Array:
            whole = np.array(array)  # copied: the new ones may be written over
            return jax.make_array_from_callback(
                whole.shape, self._sharding(whole), lambda part: whole[part]
            )

        return jax.tree.map(place, tree)

    def kept(self, tree: PyTree) -> PyTree:
        """The same, inside a compiled function, of what it has computed anew."""
        shardings = jax.tree.map(self._sharding, tree)
        return jax.lax.with_sharding_constraint(tree, shardings)

    def _sharding(self, array: np.ndarray | jax.Array) -> NamedSharding:
        even = [axis for axis, n in enumerate(array.shape) if n % self.mesh.size == 0]
        spec = PartitionSpec()
        if array.size * array.dtype.itemsize > self.largest_copy and even:
            longest = max(even, key=lambda axis: array.shape[axis])
            spec = PartitionSpec(*(None,) * longest, ROWS)
        return NamedSharding(self.mesh, spec)
