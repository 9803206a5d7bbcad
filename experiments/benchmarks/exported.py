"""Seconds until an exported model answers, in a process of its own without flax.

``python experiments/benchmarks/exported.py`` exports a model, and has it answer by the
compiler's options of each effort and by its default ones. Seconds are of the processor,
since others may be at work, and of the clock.
"""

import json
import os
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

import tyro

import wdno
from experiments._results import record

CHILD = """
import json, sys, time
sys.modules["flax"] = None
begin = time.process_time(), time.perf_counter()
laps = {}
def lap(name):
    global begin
    now = time.process_time(), time.perf_counter()
    laps[name] = [round(b - a, 3) for a, b in zip(begin, now)]
    begin = time.process_time(), time.perf_counter()
import jax, numpy as np, wdno
from wdno.deployment import exported
path, effort, records, frames = sys.argv[1], sys.argv[2], *map(int, sys.argv[3:])
lap("imports")
if effort == "default":
    exported.EFFORTS, effort = ({},), 0
model = wdno.load_exported(path, int(effort))
lap("read")
inputs, key = model.description["inputs"], jax.random.key(0)
draw = np.random.default_rng(0).normal
initial = {n: draw(size=(records, *inputs[n]["shape"])) for n in inputs
           if n not in model.description["over_time"]}
control = {n: draw(size=(records, frames // r, *inputs[n]["shape"][1:]))
           for n, r in model.description["over_time"].items()}
for name in ("first call", "second call", "another call"):
    model.rollout(initial, control, key=key)
    lap(name)
print(json.dumps(laps))
"""


@dataclass(frozen=True)
class Config:
    """What is exported and asked for."""

    model: str = "burgers-simulation"
    records: int = 3
    frames: int = 40
    repeats: int = 3
    """Processes for each way to compile; the least of each number is kept."""


def answered(path: Path, effort: str, config: Config) -> dict[str, list[float]]:
    """Seconds of the processor and of the clock of one process, step by step."""
    numbers = str(config.records), str(config.frames)
    command = [sys.executable, "-c", CHILD, str(path), effort, *numbers]
    # Without the programs that earlier processes compiled.
    environment = {n: v for n, v in os.environ.items() if "COMPILATION_CACHE" not in n}
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, check=True
    )
    return json.loads(done.stdout)


def main(config: Config) -> None:
    """Export, measure, and write what was found."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "model.stablehlo")
        wdno.export(wdno.load(config.model), path)
        size, found = path.stat().st_size, {}
        for effort in ("0", "1", "default"):
            runs = [answered(path, effort, config) for _ in range(config.repeats)]
            found[effort] = {
                name: [min(run[name][n] for run in runs) for n in range(2)]
                for name in runs[0]
            }
    load = os.getloadavg()[0]
    results = {"bytes": size, "load": load, "seconds": found}
    print(results, f"written to {record('exported', asdict(config), **results)}")


if __name__ == "__main__":
    main(tyro.cli(Config))
