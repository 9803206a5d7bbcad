"""Exported models: compiled and run without networks, layouts or solvers."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax import export
from jaxtyping import Array, PRNGKeyArray, Shaped
from safetensors.numpy import load as load_weights

from wdno._arguments import is_whole
from wdno._arrays import not_finite
from wdno.deployment import artefact
from wdno.diffusion.keys import RowKeys, row_keys
from wdno.inference.record_length import check_windows, frames_of_record

__all__ = ["Exported", "load_exported"]

Values = Mapping[str, Shaped[np.ndarray | Array, "..."]]
Rows = dict[str, np.ndarray]

EFFORTS: tuple[dict[str, Any], ...] = (
    {"xla_backend_optimization_level": 0, "xla_cpu_use_fusion_emitters": False},
    {"xla_backend_optimization_level": 1},
)
"""Options of the compiler of processors, by effort. Where a window is small more than
half of the time goes into the optimisation of random number generators."""


@dataclass(frozen=True, eq=False)
class Exported:
    """A model that `wdno.export` has written.

    Attributes:
        card: of the model, notes included.
        description: of the program: ``verb``, ``inputs`` and ``outputs`` with their
            axes and extents, ``window``, ``platforms``, noise levels …
        weights: arguments of the program, in their order.
        program: as `jax.export` knows it.
        effort: of the compiler; see `load_exported`.
    """

    card: Mapping[str, Any]
    description: Mapping[str, Any]
    weights: list[Array]
    program: export.Exported
    effort: int

    def rollout(
        self,
        initial: Values,
        control: Values | None = None,
        *,
        windows: int | None = None,
        begun: int = 0,
        key: PRNGKeyArray | RowKeys,
    ) -> Rows:
        """Chain windows over a record of any length: `wdno.rollout` of the model.

        One window is one program, compiled once for each number of rows.

        Args:
            initial: initial states, e.g. ``{"u0": (batch, x)}``, and what else is given
                that does not change.
            control: what is given over the record, ``{"f": (batch, frames, x)}``.
            windows: how many are chained; by default as many as `control` covers.
            begun: windows of the record that come before these.
            key: one key, or one a row; row n uses ``fold_in(key, n)``.

        Returns:
            States after each frame, and what the model generates beside them.

        Raises:
            ValueError: the program is a planner's, something is missing or of another
                shape, or there is less than one window.

        Example:
            >>> model = wdno.load_exported("burgers.stablehlo")
            >>> model.rollout({"u0": u0}, {"f": f}, key=jax.random.key(0))["u"]
        """
        self._check_verb("rollout")
        about, control = self.description, control or {}
        strides, window = about["over_time"], about["window"]
        needed = about["initial"].values()
        frames = frames_of_record(
            initial, control, needed, strides, window=window, windows=windows
        )
        count = -(-frames // window)
        check_windows(begun + count, window, about["past"])
        states, record = dict(initial), []
        keys: Any = None
        for number in range(count):
            known = states | {
                name: _rows(control[name], number * window // r, window // r)
                for name, r in strides.items()
            }
            if keys is None:
                keys = self._keys(key, known)
            made = self.window(known, begun + number, keys)
            states |= {k: made[name][:, -1] for name, k in about["initial"].items()}
            record.append(made)
        return {
            name: np.concatenate([made[name] for made in record], axis=1)[:, :frames]
            for name in about["outputs"]
        }

    def plan(self, known: Values, *, key: PRNGKeyArray | RowKeys) -> Rows:
        """Plans and their "objective": `wdno.Planner` called on rows.

        Args:
            known: initial states and what else the planner was exported with.
            key: one key, or one a row; row n uses ``fold_in(key, n)``.

        Raises:
            ValueError: the program is no planner's, something is missing or of another
                shape, or a plan is not finite.
        """
        self._check_verb("plan")
        plan = self.window(known, 0, self._keys(key, known))
        for name, values in plan.items():
            if (bad := not_finite(values)).any():
                raise ValueError(
                    f"Plans must be finite, but {name} has NaN or Inf in {bad.sum()} "
                    f"of {len(bad)} rows. Export the planner with a smaller strength."
                )
        return plan

    def window(self, known: Values, number: int, keys: np.ndarray) -> Rows:
        """The program itself: one window of every row.

        Args:
            known: every input that the description has, batch first.
            number: of the window in its record, from 0.
            keys: key data of every row, uint32 on (batch, 2).

        Raises:
            ValueError: an input is missing, or of another shape.
        """
        given = self._checked(known)
        made = self._call(self.weights, given, np.int32(number), keys)
        return {name: np.asarray(values) for name, values in made.items()}

    @cached_property
    def _call(self) -> Any:
        return _compiled(self.program.call, self.effort)

    @cached_property
    def _fold(self) -> Any:
        return _compiled(row_keys, self.effort, static_argnames="batch")

    def _check_verb(self, verb: str) -> None:
        if self.description["verb"] != verb:
            raise ValueError(
                f"An exported program does one job, and this one is to "
                f"{self.description['verb']}, but was asked to {verb}. Export the "
                "model for that."
            )

    def _checked(self, known: Values) -> Rows:
        """Inputs in the precision and shapes of the program."""
        given, rows = {}, None
        for name, entry in self.description["inputs"].items():
            if name not in known:
                raise ValueError(
                    f"The program is given {list(self.description['inputs'])}, but "
                    f"{name!r} is missing from {sorted(known)}. Add it."
                )
            values = np.asarray(known[name], entry["dtype"])
            rows = len(values) if rows is None and values.ndim else rows
            expected = (rows, *entry["shape"])
            if values.shape != expected:
                raise ValueError(
                    f"{name!r} has the shape {expected} in this program, rows on "
                    f"{entry['dims']}, but {values.shape} was given. Reshape it, or "
                    "export the model on that grid."
                )
            given[name] = values
        return given

    def _keys(self, key: PRNGKeyArray | RowKeys, known: Values) -> np.ndarray:
        """Key data of every row."""
        rows = len(next(iter(known.values())))
        return np.asarray(jax.random.key_data(self._fold(key, batch=rows)))


def load_exported(path: str | Path, effort: int = 0) -> Exported:
    """Read an exported model.

    Args:
        path: of the file.
        effort: of the compiler of processors: with 0 the first call comes soonest, with
            1 it takes about three times as long, and every other one about half as
            long. Results differ in the last digits. Elsewhere it changes nothing.

    Raises:
        FileNotFoundError: there is none.
        ModuleNotFoundError: flatbuffers is not installed.
        ValueError: it is no exported model, damaged, or for other platforms.

    Example:
        >>> model = wdno.load_exported("burgers.stablehlo")
        >>> model.description["inputs"]["u0"]["shape"]
        [120]
    """
    if not is_whole(effort, 0) or effort >= len(EFFORTS):
        raise ValueError(
            f"The effort of the compiler is 0 or 1, but got {effort!r}. Choose one."
        )
    artefact.need_flatbuffers()
    card, description, weights, data = artefact.read(path)
    program = export.deserialize(bytearray(data))
    if jax.default_backend() not in program.platforms:
        raise ValueError(
            f"{path} was exported for {list(program.platforms)}, but computations are "
            f"on {jax.default_backend()}. Export it for that, or set JAX_PLATFORMS."
        )
    found = load_weights(weights)
    arguments = [
        jax.device_put(found[name].astype(like.dtype))
        for name, like in zip(description["weights"], program.in_avals, strict=False)
    ]
    return Exported(card, description, arguments, program, effort)


def _rows(values: np.ndarray | Array, begin: int, count: int) -> np.ndarray:
    """Some rows over time; beyond the end the last is repeated."""
    last = values.shape[1] - 1
    return np.asarray(values)[:, np.arange(begin, begin + count).clip(max=last)]


def _compiled(function: Callable, effort: int, **static: Any) -> Any:
    options = EFFORTS[effort] if jax.default_backend() == "cpu" else None
    return jax.jit(function, compiler_options=options, **static)
