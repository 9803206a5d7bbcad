"""A linear system and the quadratic control problem on it, solved by linear algebra."""

from dataclasses import dataclass, replace

import jax
import jax.numpy as jnp
import numpy as np

from wdno.planning.objectives import energy, terminal

STEP = 0.25
"""Length of an interval of time."""


@dataclass(frozen=True)
class Heat:
    """Explicit steps of u_t = D u_xx + f on a ring; without diffusion, u_t = f."""

    frames: int = 4
    points: int = 8
    diffusion: float = 0.2

    @property
    def coords(self):
        return {
            "time": STEP * np.arange(self.frames + 1),
            "x": np.arange(self.points) / self.points,
        }

    @property
    def transition(self):
        """A of u_(k+1) = A u_k + STEP f_k."""
        one = np.eye(self.points)
        neighbours = np.roll(one, 1, axis=0) + np.roll(one, -1, axis=0)
        return one + self.diffusion * (neighbours - 2 * one)

    def solve(self, inputs):
        a = jnp.asarray(self.transition)

        def advance(u, f):
            u = u @ a + STEP * f  # A is symmetric
            return u, u

        _, u = jax.lax.scan(advance, inputs["u0"], inputs["f"].swapaxes(0, 1))
        return {"u": u.swapaxes(0, 1)}

    def over(self, frames):
        return replace(self, frames=frames)

    def influence(self):
        """G and H of u(T) = H u0 + G f, with f of all frames in a row."""
        powers = [np.linalg.matrix_power(self.transition, k) for k in range(99)]
        g = [STEP * powers[self.frames - 1 - k] for k in range(self.frames)]
        return np.concatenate(g, axis=1), powers[self.frames]

    def least_squares(self, u0, goal, weight):
        """M and y with terminal + weight * energy = |M f - y|^2, for one row."""
        g, h = self.influence()
        root = np.sqrt(weight) * np.eye(g.shape[1])
        mismatch = (goal - h @ u0) / np.sqrt(self.points)
        matrix = np.concatenate([g / np.sqrt(self.points), root])
        return matrix, np.concatenate([mismatch, np.zeros(len(root))])

    def optimum(self, u0, goal, weight):
        """The exact control of each row; of weight 0, the weakest that arrives."""
        rows = []
        for start, end in zip(np.asarray(u0), np.asarray(goal), strict=True):
            f = np.linalg.lstsq(*self.least_squares(start, end, weight))[0]
            rows.append(f.reshape(self.frames, self.points))
        return np.stack(rows)


def cost(weight):
    """Mean square distance from "uT" at the end plus a weighted energy."""
    return lambda s: terminal(s["u"], s["uT"]) + weight * energy(s["f"])
