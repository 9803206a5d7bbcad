"""One of several processes that train together; run as a script.

    python joined.py NUMBER COUNT ADDRESS FOLDER TASK

Tasks: "train" by a recipe, with "other data" in process 1, or "die" in process 1.
"""

import os
import sys
from dataclasses import replace
from pathlib import Path

import jax
import numpy as np
from test_begun import RECIPE, trajectories

import wdno
from wdno.training.batches import WindowBatches
from wdno.training.devices import Devices

CONFIG = wdno.TrainingConfig(
    steps=6, learning_rate=0.01, log_every=0.0, checkpoint_every=0.0
)
BATCH = replace(RECIPE, batch_size=4)
DIES = 3
"""Step whose batch the process that dies does not live to see."""


def dying(read):
    def batch(self, step, own=slice(None)):
        if step == DIES and own != slice(None):
            os._exit(9)
        return read(self, step, own)

    return batch


def own_rows_alone(read):
    """Training reads the rows of this process."""

    def batch(self, step, own=slice(None)):
        found = read(self, step, own)
        wanted = 2 if own != slice(None) else 4
        assert {len(values) for values in found.values()} == {wanted}
        return found

    return batch


def train(folder, number=0, task="train"):
    dataset = trajectories()
    if task == "other data" and number == 1:
        dataset = dataset + 1
    # All arrays are divided that can be.
    devices = Devices.of(largest_copy=0)
    how = {"recipe": BATCH, "validation_samples": 2, "resume": True}
    return wdno.train(dataset, folder, CONFIG, devices=devices, **how)


def main(number, count, address, folder, task):
    number, folder = int(number), Path(folder)
    jax.distributed.initialize(
        address, int(count), number, heartbeat_timeout_seconds=10
    )
    wrap = dying if task == "die" and number == 1 else own_rows_alone
    WindowBatches.__call__ = wrap(WindowBatches.__call__)
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
