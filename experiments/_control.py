"""The control problem that every controller of Burgers flow gets, and its judge."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from jaxtyping import Array, Float, PRNGKeyArray

import wdno
from wdno import metrics
from wdno._typing import Fields
from wdno.planning.objectives import energy, reach, terminal
from wdno.systems import Burgers

SYSTEM = Burgers()
ENERGY_WEIGHT = 2e-5
OBJECTIVE = reach(("u",), ("f",), ENERGY_WEIGHT)

Forces = Float[Array, "sample time x"]


class Problems(NamedTuple):
    """From where to where: true futures of trajectories that no training used."""

    initial: xr.DataArray
    goal: xr.DataArray

    @classmethod
    def draw(cls, seed: int, targets: int) -> "Problems":
        """The problems of a seed."""
        u = SYSTEM.trajectories(jax.random.key(seed), targets).u
        return cls(u.isel(time=0, drop=True), u.isel(time=-1, drop=True))

    @property
    def known(self) -> Fields:
        """As arrays."""
        u0, goal = (jnp.asarray(part.values) for part in self)
        return {"u0": u0, "uT": goal}

    @property
    def still(self) -> Forces:
        """No force at all."""
        return jnp.zeros((len(self.goal), SYSTEM.frames, SYSTEM.points))

    def judged(self, f: Forces, seconds: float, **more: Any) -> dict[str, Any]:
        """What the solver makes of forces from the true initial states.

        ``state`` is mean_x (u(T) - goal)², ``energy`` the weighted sum of f²; each has
        its mean over the problems with a 95 % bootstrap interval.
        """
        u = SYSTEM.solve({"u0": self.known["u0"], "f": f})["u"]
        return self.scored(u, f, seconds) | more

    def scored(self, u: Forces, f: Forces, seconds: float) -> dict[str, Any]:
        """Scores of states that forces have led to."""
        parts = {"state": terminal(u, self.known["uT"])}
        parts["energy"] = ENERGY_WEIGHT * energy(f)
        parts["sum"] = parts["state"] + parts["energy"]
        scores = {name: interval(values) for name, values in parts.items()}
        return scores | {"seconds_per_plan": round(seconds / len(u), 4)}


def interval(values: Array | np.ndarray) -> list[float]:
    """Mean over problems and ends of its 95 % bootstrap interval, to four digits."""
    per_sample = xr.DataArray(np.asarray(values), dims="sample")
    return [float(f"{part:.4g}") for part in metrics.bootstrap_interval(per_sample)]


def late_plan(
    base: wdno.WDNO,
    planner: wdno.Planner,
    problems: Problems,
    horizon: int,
    key: PRNGKeyArray,
    members: int | None = None,
) -> Forces:
    """Let the flow run free, as the base model foresees it, then plan for the rest.

    Viscosity and walls make the flow forget: what acts before the horizon costs energy
    and hardly changes the end.
    """
    lead_in = SYSTEM.frames - horizon
    calm = wdno.simulate(base, problems.initial, frames=lead_in, key=key)
    plan = wdno.control(
        planner.over(horizon),
        calm.isel(time=-1),
        target=problems.goal,
        members=members,
        key=key,
    )
    plan = plan if members is None else wdno.best_plan(plan)
    plan = wdno.trajectory.append(calm, plan)
    return jnp.asarray(plan.f.transpose("sample", "time", "x").values[:, :-1])
