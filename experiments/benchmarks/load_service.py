"""Load on a running service: requests a second, quantiles of waiting, memory.

Start one by ``wdno serve burgers-simulation``, and give its address and the number of
its process: ``python experiments/benchmarks/load_service.py --process 123``.
"""

import asyncio
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

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


async def load(config: Config, content: bytes) -> tuple[list[float], list[int], int]:
    """Seconds of good answers, statuses, and peak memory of the service in bytes."""
    draws = np.random.default_rng(config.seed)
    bad = draws.random(config.requests) < config.malformed
    left, seconds, statuses, memory = iter(enumerate(bad)), [], [], [0]
    async with httpx.AsyncClient(base_url=config.url, timeout=120.0) as http:

        async def client() -> None:
            for n, malformed in left:
                body = content[: len(content) // 2] if malformed else content
                begin = time.perf_counter()
                answer = await http.post(f"/simulate?seed={n}", content=body)
                if not malformed:
                    seconds.append(time.perf_counter() - begin)
                statuses.append(answer.status_code)
                memory.append(resident(config.process))

        await asyncio.gather(*(client() for _ in range(config.clients)))
    return seconds, statuses, max(memory)


def resident(process: int | None) -> int:
    """Bytes that a process has in memory; 0 where that cannot be asked."""
    status = Path(f"/proc/{process}/status")
    if process is None or not status.exists():
        return 0
    line = next(r for r in status.read_text().splitlines() if r.startswith("VmRSS"))
    return 1024 * int(line.split()[1])


def main(config: Config) -> None:
    """Warm up, measure, and write what was found."""
    system = Burgers().over(config.frames)
    truth = system.trajectories(jax.random.key(config.seed), config.samples)
    with tempfile.TemporaryDirectory() as folder:
        save(truth, path := Path(folder, "request.nc"))
        content = path.read_bytes()
    asyncio.run(load(Config(url=config.url, requests=config.clients), content))
    before, begin = resident(config.process), time.perf_counter()
    seconds, statuses, peak = asyncio.run(load(config, content))
    wall = time.perf_counter() - begin
    quantiles = {q: np.quantile(seconds, q / 100) for q in (50, 90, 99)}
    found = {
        "requests_per_second": config.requests / wall,
        "trajectories_per_second": config.samples * len(seconds) / wall,
        "seconds_by_percentile": {q: round(float(s), 4) for q, s in quantiles.items()},
        "statuses": {str(s): statuses.count(s) for s in sorted(set(statuses))},
        "memory_before": before,
        "memory_peak": peak,
    }
    print(found, f"written to {record('load_service', asdict(config), **found)}")


if __name__ == "__main__":
    main(tyro.cli(Config))
