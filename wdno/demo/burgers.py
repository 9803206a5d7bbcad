"""All that is shown of forced Burgers flow, on one page."""

import time
from pathlib import Path

import jax

from wdno.demo.control import control
from wdno.demo.refinement import refinement
from wdno.demo.report import write_report
from wdno.demo.simulation import simulation

LEAD = (
    "Velocity u(t, x) of the forced viscous Burgers equation between two walls: "
    "simulated, refined and controlled by the wavelet diffusion neural operators that "
    "ship with wdno, beside the reference solver. The models have seen none of these "
    "flows."
)


def burgers(
    out: str | Path,
    *,
    samples: int = 32,
    members: int = 8,
    steps: int = 8,
    seed: int = 0,
) -> Path:
    """Simulate, refine and control unseen forced Burgers flows beside the solver.

    Prints the scores and writes data (NetCDF), pictures, films and a page,
    ``index.html``, that shows them.

    Args:
        out: folder for the results; created if absent.
        samples: number of flows to simulate.
        members: size of their ensembles.
        steps: denoiser calls per window of a simulation.
        seed: chooses the flows; training used the seeds named in the models' cards.

    Returns:
        Path of the HTML page.
    """
    begin = time.perf_counter()
    folder = Path(out)
    folder.mkdir(parents=True, exist_ok=True)
    keys = jax.random.split(jax.random.key(10_000 + seed), 3)
    sections = [
        *simulation(folder, keys[0], samples, members, steps),
        refinement(folder, keys[1]),
        control(folder, keys[2]),
    ]
    page = folder / "index.html"
    write_report(page, "Forced Burgers flow", sections, lead=LEAD)
    print(f"Wrote {page} ({time.perf_counter() - begin:.0f} s in all)")
    return page
