"""Commands as processes that are killed again and again, and what is left each time.

    python killed.py data|train FOLDER KILLS

The modules are imported once and every process is forked from here, before JAX has any
device: a start takes a moment, and kills meet what the commands do.
"""

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
    os.environ["XLA_FLAGS"] = f"--xla_force_host_platform_device_count={devices}"
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


def watched(kind, out):
    """Names of what the command writes again and again."""
    written = out.glob("**/checkpoints/*") if kind == "train" else out.parent.rglob("*")
    return {path.name for path in written}


def half_written(folder):
    """Whether there are temporary files of this package or of Orbax."""
    names = [path.name for path in folder.rglob("*")]
    return any(name.startswith(".") or "orbax-checkpoint-tmp" in name for name in names)


def kept(kind, out):
    """How much is said to be written."""
    if kind == "data":
        notes = [*Path(f"{out}.partial").glob("[0-9]*.json")]
        return len(notes) + (SAMPLES if out.exists() else 0)
    steps = [p.name for p in out.glob("**/checkpoints/*") if p.name.isdigit()]
    finished = STEPS * (out / "model/card.json").exists()
    return max(map(int, steps), default=0) + finished


def content(kind, out):
    if kind == "data":
        return out.read_bytes()
    return (out / "model/model.safetensors").read_bytes()


def main(kind, folder, kills):
    folder, draw = Path(folder), np.random.default_rng(0)
    os.setpgrp()  # what is forked ends with this process
    if kind == "train":
        save_recipe(RECIPE, folder / "recipe.json")
        assert ended(begun(arguments("data", folder, folder / "data.nc")), LONGEST) == 0
    suffix = ".nc" if kind == "data" else ""
    out = folder / f"undisturbed{suffix}" / "it" if suffix == "" else folder / "0.nc"
    assert ended(begun(arguments(kind, folder, out)), LONGEST) == 0
    expected, done, rounds, same = content(kind, out), 0, 0, 0
    within, lost = 0, 0
    while done < int(kills):
        rounds += 1
        out = folder / f"{rounds}.nc" if suffix else folder / str(rounds) / "it"
        code = None
        while code is None:
            before, known = kept(kind, out), watched(kind, out)
            process = begun(arguments(kind, folder, out), int(draw.integers(1, 3)))
            if draw.integers(5):  # most kills come when something is written
                until = time.monotonic() + LONGEST
                while watched(kind, out) == known and time.monotonic() < until:
                    code = ended(process, 0)
                    if code is not None:
                        break
            if code is None:
                code = ended(process, draw.exponential(0.2))
            if code is None and done < int(kills):
                os.kill(process, signal.SIGKILL)
                assert ended(process, LONGEST) == -signal.SIGKILL
                done += 1
                within += half_written(out.parent)
            elif code is None:
                code = ended(process, LONGEST)
            lost += kept(kind, out) < before
        assert code == 0, code
        same += content(kind, out) == expected
        assert not half_written(out.parent)
    result = {"kills": done, "rounds": rounds, "same": same}
    print(json.dumps(result | {"within_writes": within, "lost": lost}))


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except BaseException:
        traceback.print_exc()
        os.killpg(0, signal.SIGKILL)
