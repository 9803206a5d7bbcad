"""A queue over several devices is the queue; its schedule leaves no gap."""

import json
import os
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import pytest
from tiny import make_tiny
from tokenwise import transformer

from wdno import rollout
from wdno.accelerate.block_queue import BlockQueue
from wdno.accelerate.pipeline import PipelinedQueue
from wdno.accelerate.pipeline_schedule import utilisation, works
from wdno.accelerate.pipeline_stages import staged
from wdno.accelerate.queue_schedule import ticks

KEY = jax.random.key(0)
SUPPORT = Path(__file__).parents[1] / "support"


@pytest.mark.slow
def test_a_queue_over_2_4_and_8_devices_is_the_queue_of_one():
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join([str(SUPPORT), *sys.path]),
        "XLA_FLAGS": "--xla_force_host_platform_device_count=8",
        "JAX_ENABLE_X64": "1",
    }
    run = subprocess.run(
        [sys.executable, SUPPORT / "pipelined.py"],
        env=environment,
        capture_output=True,
        text=True,
    )
    assert not run.returncode, run.stderr
    found = json.loads(run.stdout)
    assert list(found) == ["1", "2", "4", "8"]
    for devices, row in found.items():
        assert row["size"] > 0.1
        assert row["error"] < 1e-5 * row["size"]
        assert row["share"] == 1 / int(devices)


@pytest.mark.parametrize("stages", [1, 2, 4, 8])
def test_stages_are_at_work_but_while_the_queue_fills_and_empties(stages):
    """N - 1 ticks at each end, and what blocks wait for each other in a short queue."""
    steps, blocks = 12, 15
    plan = list(works(ticks([{}] * blocks, steps, 1), stages))
    share = steps * blocks / (steps * blocks + stages**2 - 1)
    assert utilisation(plan, stages) == pytest.approx(share, abs=1e-12)


def test_a_pass_enters_when_all_that_it_is_told_has_arrived():
    stages, arrived, order = 4, {}, []
    for work in works(ticks([{}] * 9, 6, 1), stages):
        if (came := work.arrives) is not None:
            assert arrived.get(came.block, 0) == came.done
            arrived[came.block] = came.done + 1
            order.append(came)
        if (new := work.enters) is not None:
            assert arrived.get(new.block, 0) == new.done
            before = arrived.get(new.block - 1, 0)
            assert not new.block or before in (new.done + 1, 6)
    assert [one.block for one in order if one.leaves] == list(range(9))
    assert [one.block for one in order if one.last] == [8]
    assert set(arrived.values()) == {6}


def test_a_pipeline_refuses_windows_that_differ():
    with pytest.raises(ValueError, match="differ from block to block"):
        staged(transformer(windows=((0, 1), (1, 0))), jax.devices())


@pytest.mark.parametrize(
    ("queue", "devices", "steps", "message"),
    [
        (BlockQueue(), 3, 2, "at most 2 in the queue of 3 devices"),
        (BlockQueue(lag=2), 2, 2, "at most 1 in the queue of 2 devices"),
        (BlockQueue(), 1, 2, "0 of a Perceptron"),
        (BlockQueue(later=0.1), 1, 2, "later=0.1"),
        (BlockQueue(), 0, 2, "one device or more"),
    ],
)
def test_a_pipeline_refuses_short_queues_and_other_networks(
    queue, devices, steps, message
):
    known = {"u0": jnp.zeros((1, 8))}, {"f": jnp.zeros((1, 8, 8))}
    with pytest.raises(ValueError, match=message):
        blocks = PipelinedQueue(queue, tuple(jax.devices()) * devices)
        next(rollout(make_tiny(), *known, steps=steps, blocks=blocks, key=KEY))
