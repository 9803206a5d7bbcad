"""Commands as processes that are killed again and again, and what is left each time.

    python killed.py data|train FOLDER KILLS [SEED]

The modules are imported once and every process is forked from here, before JAX has any
device: a start takes a moment, and kills meet what the commands do.
"""

import collections
import json
import os
import signal
import sys
import time
import traceback
from pathlib import Path

import numpy as np

from wdno import cli
from wdno.cli import making, training  # noqa: F401 - which are imported late
from wdno.networks import FourierConfig
from wdno.training.recipe import Recipe
from wdno.training.recipe_file import save_recipe

RECIPE = Recipe(
    ("u",), ("f",), 4, levels=1, network=FourierConfig((2, 2), 4, 1), batch_size=2
)
STEPS, SAMPLES, CHUNK = 40, 64, 2
LONGEST = 300.0
"""Seconds after which a process that is not killed is taken to hang."""


def arguments(kind, folder, out):
    if kind == "data":
        how = ["--samples", str(SAMPLES), "--chunk", str(CHUNK)]
        small = ["--parameters", "points", "24", "frames", "4", "duration", "0.4"]
        return ["data", "burgers", "--out", str(out), *how, *small]
    often = ["--checkpoint-every", "0s", "--log-every", "0s", "--resume"]
    data = [str(folder / "recipe.json"), "--data", str(folder / "data.nc")]
    how = ["--steps", str(STEPS), "--validation-samples", "2", *often]
    return ["train", *data, "--out", str(out), *how]


def begun(argv, devices=1):
    """Fork a process that runs a command; its number."""
    process = os.fork()
    if process:
        return process
    flags = os.environ.get("XLA_FLAGS", "")
    of_devices = f"--xla_force_host_platform_device_count={devices}"
    os.environ["XLA_FLAGS"] = f"{flags} {of_devices}"
    with open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), 1)
    code = 1
    try:
        cli.main(argv)
        code = 0
    finally:
        os._exit(code)


def ended(process, seconds):
    """Wait that long for a process, and say with which code it ended, if it did."""
    until = time.monotonic() + seconds
    while True:
        found, status = os.waitpid(process, os.WNOHANG)
        if found:
            return os.waitstatus_to_exitcode(status)
        if time.monotonic() > until:
            return None
        time.sleep(0.002)


def names(folder, parent=""):
    """Of all files and folders, or of those in folders of a name."""
    return {
        name
        for root, folders, files in os.walk(folder)
        if parent in ("", Path(root).name)
        for name in (*folders, *files)
    }


def half_written(folder):
    """Whether there are temporary files of this package or of Orbax."""
    return any(n.startswith(".") or "orbax-checkpoint-tmp" in n for n in names(folder))


def kept(kind, out):
    """How much is said to be written."""
    if kind == "data":
        notes = [*Path(f"{out}.partial").glob("[0-9]*.json")]
        # Once the whole is there, its parts are removed.
        return SAMPLES if out.exists() else len(notes)
    steps = map(int, filter(str.isdigit, names(out, "checkpoints")))
    return max(steps, default=0) + STEPS * (out / "model/card.json").exists()


def content(kind, out):
    return (out if kind == "data" else out / "model/model.safetensors").read_bytes()


def killed(process, kind, out, draw):
    """Kill a process soon after it has written something, or soon after its start.

    Returns the code with which it ended, if it did so before.
    """
    parent = "checkpoints" if kind == "train" else ""
    known, code = names(out.parent, parent), None
    until = time.monotonic() + LONGEST
    if draw.integers(5):
        while names(out.parent, parent) == known and time.monotonic() < until:
            # Whoever looks without pause takes the processor that is looked at.
            if (code := ended(process, 0.01)) is not None:
                return code
    code = ended(process, draw.exponential(0.2))
    if code is None:
        os.kill(process, signal.SIGKILL)
        code = ended(process, LONGEST)  # its own, if it ended just before
        assert code is not None, "it survives"
    return None if code == -signal.SIGKILL else code


def survive(kind, folder, out, kills, draw):
    """Begin a command again and again until it ends; what happened on the way."""
    found = collections.Counter(kills=0, within_writes=0, lost=0)
    code = None
    while code is None:
        before = kept(kind, out)
        process = begun(arguments(kind, folder, out), int(draw.integers(1, 3)))
        if found["kills"] < kills:
            code = killed(process, kind, out, draw)
            found["kills"] += code is None
        else:
            code = ended(process, LONGEST)
            assert code is not None, "it hangs"
        found["within_writes"] += code is None and half_written(out.parent)
        found["lost"] += kept(kind, out) < before
    assert code == 0 and not half_written(out.parent)
    return found


def main(kind, folder, kills, seed=0):
    folder, draw = Path(folder), np.random.default_rng(int(seed))
    os.setpgrp()  # what is forked ends with this process
    if kind == "train":
        save_recipe(RECIPE, folder / "recipe.json")
        survive("data", folder, folder / "data.nc", 0, draw)
    name = "out.nc" if kind == "data" else "out"
    (folder / "undisturbed").mkdir()
    survive(kind, folder, folder / "undisturbed" / name, 0, draw)
    expected = content(kind, folder / "undisturbed" / name)
    found = collections.Counter(rounds=0)
    while found["kills"] < int(kills):
        out = folder / str(found["rounds"]) / name
        out.parent.mkdir()
        found.update(survive(kind, folder, out, int(kills) - found["kills"], draw))
        found.update(rounds=1, same=int(content(kind, out) == expected))
    print(json.dumps(found))


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except BaseException:
        traceback.print_exc()
        os.killpg(0, signal.SIGKILL)
