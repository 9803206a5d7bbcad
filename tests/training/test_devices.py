"""Training on several devices and by several processes, here parts of one processor."""

import json
import os
import socket
import subprocess
import sys
from functools import partial
from pathlib import Path

import jax
import numpy as np
import pytest

import wdno
from wdno.training import processes

SUPPORT = Path(__file__).parents[1] / "support"

HANGS = 1200  # seconds: a start takes many where other processes run


def begin(devices, script, *words):
    """A process with so many devices."""
    flags = os.environ.get("XLA_FLAGS", "")
    environment = os.environ | {
        "XLA_FLAGS": f"{flags} --xla_force_host_platform_device_count={devices}",
        "JAX_PLATFORMS": "cpu",
        "PYTHONPATH": os.pathsep.join(
            [str(Path(__file__).parents[2]), str(Path(__file__).parent)]
        ),
    }
    return subprocess.Popen(
        [sys.executable, SUPPORT / script, *map(str, words)],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def joined(folder, task):
    """What two processes that train together say, and the codes they end with."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        address = f"localhost:{free.getsockname()[1]}"
    both = [begin(2, "joined.py", n, 2, address, folder, task) for n in range(2)]
    try:
        outputs = [process.communicate(timeout=HANGS) for process in both]
    finally:
        for process in both:
            process.kill()
    return [out for out, _ in outputs], [process.returncode for process in both]


def losses(folder):
    lines = (folder / "log.jsonl").read_text().splitlines()
    return [entry["loss"] for entry in map(json.loads, lines) if "loss" in entry]


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """The folder of a run of one process on one device."""
    folder = tmp_path_factory.mktemp("alone")
    process = begin(1, "joined.py", 0, 1, "", folder, "train")
    _, errors = process.communicate(timeout=HANGS)
    assert process.returncode == 0, errors
    return folder


def test_processes_of_another_version_are_refused(monkeypatch):
    """As the first of two processes hears of it, whose notes differ in length."""
    ours = {"data": "a", "version.jax": "0.10.2"}
    theirs = json.dumps(ours | {"version.jax": "0.9"}).encode()

    def gathered(value):
        if value.ndim == 0:
            return np.asarray([value, len(theirs)])
        rows = [value.tobytes(), theirs.ljust(len(value))]
        return np.stack([np.frombuffer(row, np.uint8) for row in rows])

    monkeypatch.setattr(jax, "process_count", lambda: 2)
    monkeypatch.setattr(processes.multihost_utils, "process_allgather", gathered)
    with pytest.raises(ValueError, match="version.jax.*'0.9' of process 1"):
        processes.check_alike(ours)


@pytest.mark.slow
def test_training_does_not_depend_on_devices_nor_resuming_on_those_before(tmp_path):
    process = begin(8, "sharded_batches.py", tmp_path)
    _, errors = process.communicate(timeout=HANGS)
    assert process.returncode == 0, errors


@pytest.mark.slow
def test_two_processes_train_as_one_does(alone, tmp_path):
    said, codes = joined(tmp_path, "train")
    assert codes == [0, 0]
    assert len({text.split()[-1] for text in said}) == 1
    np.testing.assert_allclose(losses(tmp_path), losses(alone), rtol=1e-6)
    found, expected = (wdno.load(folder / "model") for folder in (tmp_path, alone))
    close = partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-6)
    for one, other in zip(*map(jax.tree.leaves, (found, expected)), strict=True):
        close(one, other)


@pytest.mark.slow
def test_a_run_that_lost_a_process_says_so_and_resumes(alone, tmp_path):
    said, codes = joined(tmp_path, "die")
    assert codes[1] == 9 and codes[0] != 0
    assert "2 began, and one of them has stopped" in said[0]
    assert "can be resumed. Begin all of them again" in said[0]
    assert not (tmp_path / "model").exists()
    said, codes = joined(tmp_path, "train")
    assert codes == [0, 0]
    np.testing.assert_allclose(losses(tmp_path), losses(alone), rtol=1e-6)


@pytest.mark.slow
def test_processes_with_other_data_are_refused(tmp_path):
    said, codes = joined(tmp_path, "other data")
    assert 0 not in codes
    for text in said:
        assert "but ['data'] differ" in text and "of process 1. Give all" in text
    assert not [*tmp_path.rglob("checkpoints/*")]
