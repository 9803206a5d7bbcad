"""How well maps of both ends of a window give the best control: the rivals in form.

Ridge regression of forces on the slowest cosines of both ends, linear or with all
products of the slowest, beside the kernel of `KernelMean`; judged on plans held back.

python experiments/plan_maps.py --plans plans
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import tyro
from _control import interval
from _results import record
from scipy.linalg import solve

from wdno.operator.kernel_mean import similarity, slowest
from wdno.training.kernel_ridge import PENALTY
from wdno.trajectory import join_trajectories


@dataclass(frozen=True)
class Config:
    """Which plans, how many are held back, and windows of which length."""

    plans: Path
    held_back: int = 256
    windows: tuple[int, ...] = (32, 16)
    waves: int = 24
    products: int = 12
    penalties: tuple[float, ...] = (1e-6, 1e-5, 1e-4, 1e-3)
    width: float = 1.0


Map = Callable[[np.ndarray], np.ndarray]


def ridge(x: np.ndarray, y: np.ndarray, penalty: float) -> Map:
    """Linear in x and in 1, by ridge regression."""
    x, y = np.c_[x, np.ones(len(x))], y - y.mean(axis=0)
    moments = x.T @ x
    moments[np.diag_indices_from(moments)] += penalty * np.trace(moments) / len(moments)
    weights = solve(moments, x.T @ y, assume_a="pos")
    return lambda at: np.c_[at, np.ones(len(at))] @ weights


def kernel(x: np.ndarray, y: np.ndarray, width: float) -> Map:
    """By the kernel of `KernelMean`."""
    near = np.array(similarity(jnp.asarray(x), jnp.asarray(x), width), float)
    near[np.diag_indices_from(near)] += PENALTY
    weights = solve(near, y - y.mean(axis=0), assume_a="pos")
    here = jnp.asarray(x)
    return lambda at: np.asarray(similarity(jnp.asarray(at), here, width)) @ weights


def main(config: Config) -> None:
    """Fit, judge, print and store."""
    data = join_trajectories(sorted(config.plans.glob("*.nc"))).load()
    u, f = data.u.values, np.nan_to_num(data.f.values)
    frames, fitted = u.shape[1] - 1, slice(-config.held_back)
    judged = slice(-config.held_back, None)
    results = {}
    for window in config.windows:
        ends = u[:, frames - window], u[:, -1]
        x = np.concatenate([slowest(jnp.asarray(e), config.waves) for e in ends], 1)
        few = np.r_[: config.products, config.waves : config.waves + config.products]
        first, second = np.triu_indices(len(few))
        products = np.c_[x, x[:, few[first]] * x[:, few[second]]]
        y = f[:, frames - window : frames].reshape(len(f), -1)
        mean = y[fitted].mean(axis=0)
        energy = np.square(y[judged]).sum(axis=1).mean()

        def error(of: Map, x: np.ndarray, y=y, mean=mean, energy=energy) -> np.ndarray:
            left = y[judged] - mean - of(x[judged])
            return np.square(left).sum(axis=1) / energy

        def ridges(x: np.ndarray, y=y, error=error) -> np.ndarray:
            tried = [error(ridge(x[fitted], y[fitted], p), x) for p in config.penalties]
            return min(tried, key=np.mean)

        results[f"{window} frames"] = {
            "linear": interval(ridges(x)),
            "with products": interval(ridges(products)),
            "kernel": interval(error(kernel(x[fitted], y[fitted], config.width), x)),
        }
        print(window, results[f"{window} frames"], flush=True)
    path = record("plan_maps", asdict(config), share_of_energy_missed=results)
    print(path)


if __name__ == "__main__":
    main(tyro.cli(Config))
