"""One of several processes that train together; run as a script.

    python joined.py NUMBER COUNT ADDRESS FOLDER TASK

Tasks: "train" by a recipe, with "other data" in process 1, or "die" in process 1.
"""

import os
import sys
from pathlib import Path

import jax
import numpy as np
from waves import waves

import wdno
from wdno.networks import FourierConfig
from wdno.training.batches import WindowBatches
from wdno.training.devices import Devices
from wdno.training.recipe import Recipe
from wdno.training.run_log import Record

CONFIG = wdno.TrainingConfig(
    steps=6, learning_rate=0.01, log_every=0.0, checkpoint_every=0.0
)
RECIPE = Recipe(
    ("u",), ("f",), 4, levels=1, network=FourierConfig((2, 2), 4, 1), batch_size=4
)
DIES = 3
"""Step that the process that dies does not live to see."""


def dying(add):
    def step(self, *arguments):
        if self.step == DIES:
            os._exit(9)
        add(self, *arguments)

    return step


def own_rows_alone(read):
    """Training reads the rows of this process."""

    def batch(self, step, own=slice(None)):
        found = read(self, step, own)
        wanted = 4 // jax.process_count() if own != slice(None) else 4
        assert {len(values) for values in found.values()} == {wanted}
        return found

    return batch


def train(folder, number, task):
    dataset = waves(6)
    if task == "other data" and number == 1:
        dataset = dataset + 1
    # All arrays are divided that can be.
    devices = Devices.of(largest_copy=0)
    how = {"recipe": RECIPE, "validation_samples": 2, "resume": True}
    return wdno.train(dataset, folder, CONFIG, devices=devices, **how)


def main(number, count, address, folder, task):
    number, folder = int(number), Path(folder)
    if int(count) > 1:
        jax.distributed.initialize(
            address, int(count), number, heartbeat_timeout_seconds=10
        )
    WindowBatches.__call__ = own_rows_alone(WindowBatches.__call__)
    if task == "die" and number == 1:
        Record.add = dying(Record.add)
    try:
        model = train(folder, number, task)
    except (ValueError, ConnectionError) as error:
        print(f"{type(error).__name__}: {error}", flush=True)
        raise
    # Every process has all parameters.
    total = sum(float(np.abs(x).sum()) for x in jax.tree.leaves(model))
    print(f"{total:.6g}", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
