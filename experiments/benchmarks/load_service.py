"""Load on a running service: requests a second, quantiles of waiting, memory.

Clients ask again as soon as they are answered, some of them with half a file.

Start one by ``wdno serve burgers-simulation``, and give its address and the number of
its process: ``python experiments/benchmarks/load_service.py --process 123``.
"""

import asyncio
import os
import tempfile
import time
from collections import Counter
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import jax
import numpy as np
import tyro

from experiments._results import record
from wdno.systems import Burgers
from wdno.trajectory import save


@dataclass(frozen=True)
class Config:
    """What is asked for, how often, and by how many at a time."""

    url: str = "http://127.0.0.1:8000"
    process: int | None = None
    """Number of the process of the service, whose memory is read from /proc."""
    clients: int = 16
    requests: int = 400
    samples: int = 4
    """Trajectories in a request."""
    frames: int = 16
    malformed: float = 0.05
    """Share of requests that hold half a file."""
    seed: int = 0


class Answered(NamedTuple):
    """One request: whether it was good, how it was answered, and the memory then."""

    good: bool
    status: int
    seconds: float
    memory: int


async def load(config: Config, content: bytes) -> list[Answered]:
    """What came of so many requests, in the order of their answers."""
    draws = np.random.default_rng(config.seed)
    bad = draws.random(config.requests) < config.malformed
    left, answered = iter(enumerate(bad)), []
    async with httpx.AsyncClient(base_url=config.url, timeout=600.0) as http:

        async def client() -> None:
            for n, malformed in left:
                body = content[: len(content) // 2] if malformed else content
                begin = time.perf_counter()
                answer = await http.post(f"/simulate?seed={n}", content=body)
                seconds, memory = time.perf_counter() - begin, resident(config.process)
                found = Answered(not malformed, answer.status_code, seconds, memory)
                answered.append(found)

        await asyncio.gather(*(client() for _ in range(config.clients)))
    return answered


def resident(process: int | None) -> int:
    """Bytes that a process has in memory; 0 where that cannot be asked."""
    status = Path(f"/proc/{process}/status")
    if process is None or not status.exists():
        return 0
    line = next(r for r in status.read_text().splitlines() if r.startswith("VmRSS"))
    return 1024 * int(line.split()[1])


def processor_seconds(process: int | None) -> float:
    """That a process has used so far; 0 where that cannot be asked."""
    stat = Path(f"/proc/{process}/stat")
    if process is None or not stat.exists():
        return 0.0
    times = stat.read_text().rpartition(")")[2].split()[11:13]
    return sum(map(int, times)) / os.sysconf("SC_CLK_TCK")


def summary(answered: list[Answered]) -> dict[str, Any]:
    """Waiting, answers to good and to malformed requests, memory by tenths of them."""
    waited = [one.seconds for one in answered if one.good and one.status == 200]
    quantiles = {q: np.quantile(waited, q / 100) for q in (50, 90, 99)}
    statuses = {
        kind: dict(Counter(str(one.status) for one in answered if one.good == good))
        for kind, good in {"good": True, "malformed": False}.items()
    }
    memory = np.array_split([one.memory for one in answered], 10)
    return {
        "seconds_by_percentile": {q: round(float(s), 4) for q, s in quantiles.items()},
        "statuses": statuses,
        "mebibytes_by_tenths": [round(float(part.max()) / 2**20, 1) for part in memory],
    }


def main(config: Config) -> None:
    """Warm up, measure, and write what was found."""
    system = Burgers().over(config.frames)
    truth = system.trajectories(jax.random.key(config.seed), config.samples)
    with tempfile.TemporaryDirectory() as folder:
        save(truth, path := Path(folder, "request.nc"))
        content = path.read_bytes()
    asyncio.run(load(replace(config, requests=config.clients), content))
    used, begin = processor_seconds(config.process), time.perf_counter()
    answered = asyncio.run(load(config, content))
    wall = time.perf_counter() - begin
    used = processor_seconds(config.process) - used
    found = {
        "requests_per_second": round(config.requests / wall, 2),
        "processor_seconds_per_request": round(used / config.requests, 4),
        **summary(answered),
    }
    shown = asdict(config) | {"process": None}  # its number says nothing
    print(found, f"written to {record('load_service', shown, **found)}")


if __name__ == "__main__":
    main(tyro.cli(Config))
