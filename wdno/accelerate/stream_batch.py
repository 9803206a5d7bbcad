"""Several windows in flight, each at a noise level of its own: one call a tick.

A sampler of n steps needs n denoiser calls in a row for each window. Where windows are
asked for tick after tick, the n that are begun last can share each call: the newest at
the highest level, the oldest at the lowest (Stream Batch of StreamDiffusion, Kodaira et
al. 2023, arXiv 2312.12491, section 3.1). The work is the same and each window is what
it would be alone, but a tick waits for one call; the window that it gives was begun
n - 1 ticks before. What is seen meanwhile can be written into all that are in flight.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from wdno._typing import Fields
from wdno.accelerate import checks
from wdno.accelerate import flight as flights
from wdno.accelerate.generator import Generator
from wdno.accelerate.places import Places
from wdno.diffusion.keys import RowKeys, row_keys
from wdno.wavelets.shift import rows_of


class Request(NamedTuple):
    """A window to generate, or one of each of several problems.

    Attributes:
        known: every field that the model is given, and what else an objective reads,
            batch first.
        key: one key, or one a row.
    """

    known: Fields
    key: PRNGKeyArray | RowKeys


class StreamBatch:
    """A stream of windows, of which as many are in flight as there are steps.

    Each tick begins a window and takes all that are in flight one step on, by one call
    of the denoiser for all (two with `heun`, whose steps have two): all rows have their
    own level, conditions, key and history, and each window is, up to rounding,
    what `generate` or the planner alone would make of the request. All shapes
    are fixed by the first request, so that everything is compiled once; places that
    hold no window are computed and not used.

    A stream is meant for one thread at a time; what is refused leaves it as it was.

    Attributes:
        generator: what windows are made by.
        sigmas: the noise levels of a window.

    Example:
        >>> planner = wdno.Planner(wdno.load("burgers-control"), reach, steps=4)
        >>> stream = StreamBatch(planner, planner.model.levels(4))
        >>> for n, observed in enumerate(states):
        ...     request = Request({"u0": observed, "uT": goal}, jax.random.key(n))
        ...     plan = stream.push(request)  # None until the first one is there
        >>> last = stream.flush()
    """

    def __init__(
        self, generator: Generator, sigmas: Float[Array | np.ndarray, " levels"]
    ) -> None:
        """Begin with nothing in flight.

        Args:
            generator: a `Planner`, or a model as it is, `Unguided(model, sampler)`.
            sigmas: decreasing noise levels, e.g. ``model.levels(4)``: a window is in
                flight for one tick less than there are.

        Raises:
            ValueError: the levels do not decrease, are negative or not finite, or there
                are fewer than two.
        """
        self.generator, self.sigmas = generator, checks.check_levels(sigmas)
        self._places = Places(None, (None,) * self.depth, (0,) * self.depth, 0)
        self._tried: dict[str, str] = {}
        self._turn = threading.Lock()

    @property
    def depth(self) -> int:
        """Largest number of windows in flight: the steps of one."""
        return len(self.sigmas) - 1

    @property
    def in_flight(self) -> tuple[int | None, ...]:
        """Steps that the window in each place has done; None where there is none."""
        return self._places.done

    def push(self, request: Request) -> Fields | None:
        """Begin a window and do one step of all.

        Returns:
            The window that this finishes, begun ``depth - 1`` ticks before, if there is
            one: generated fields, and of a planner the "objective".

        Raises:
            ValueError: a field is missing or of another shape or type than the model or
                the windows in flight have, or the finished window is not finite.
            RuntimeError: another thread is at work on the stream.
        """
        with self._alone():
            keys = row_keys(request.key, len(next(iter(request.known.values()))))
            flight = self._places.flight
            if flight is not None:
                checks.check_alike(request.known, flight, self.depth)
            window = flights.begun(
                self.generator, request.known, keys, jnp.asarray(self.sigmas[0])
            )
            if self._tried != (kind := checks.signature(request.known)):
                self.generator.try_out(request.known)
                self._tried = kind
            place = self._places.done.index(None)  # each tick frees one
            if flight is None:
                flight = flights.filled_with(window, self.depth)
            else:
                flight = flights.placed(flight, window, place)
            return self._tick(self._places.with_window(flight, place))

    def advance(self) -> Fields | None:
        """Do one step of all in flight, where no window is to begin.

        Returns:
            The window that this finishes, if there is one; raises as `push` does.
        """
        with self._alone():
            return None if self._places.flight is None else self._tick(self._places)

    def flush(self) -> list[Fields]:
        """Finish all in flight, the oldest first; nothing if all are finished.

        Raises:
            ValueError: no window was ever begun, or a finished one is not finite.
        """
        checks.check_begun(self._tried)
        found = []
        while self._places.flight is not None:
            found.append(self.advance())
        return [window for window in found if window is not None]

    def observe(self, happened: Fields) -> None:
        """Write what has happened since into every window in flight.

        Of the frames of each, those after the last that was observed are no longer
        open: from now on all estimates have these values there.

        Args:
            happened: generated fields, such as states and controls, over the frames
                of one tick: (batch, frames, *space); the same fields every time.

        Raises:
            ValueError: a field is not generated over time or of another shape, others
                came before, or a window would be over before it is made.
        """
        with self._alone():
            places = self._places
            if places.flight is None:
                return
            model = self.generator.model
            frames = checks.frames_of(model, happened, places.flight, self.depth)
            if (end := places.latest + frames) > model.window:
                raise ValueError(
                    f"A window has {model.window} frames, but {end} of one would be "
                    "over before it is made. Use fewer steps, shorter ticks, or `roll`."
                )
            told = flights.observed(
                model, places.flight, happened, places.by_row(places.elapsed)
            )
            elapsed = tuple(at + frames for at in places.elapsed)
            self._places = places._replace(flight=told, elapsed=elapsed)

    def roll(self, frames: int, known: Fields) -> None:
        """Let every window in flight begin later, by a shift of its coefficients.

        What they had of the frames that go is lost, and the last frames begin as noise
        of the level of each window.

        Args:
            frames: by how many, a multiple of ``2^levels`` of the wavelet.
            known: what is known at the new beginning, as in a request.

        Raises:
            ValueError: the frames are no whole rows of coefficients, the wavelet does
                not allow for it (`wavelets.shift.rows_of`), or the fields are not those
                of the windows in flight.
        """
        with self._alone():
            places = self._places
            rows = rows_of(self.generator.model.targets, frames)
            if places.flight is None:
                return
            checks.check_alike(known, places.flight, self.depth)
            done = [n or 0 for n in places.done]
            later = flights.rolled(
                self.generator,
                places.flight,
                known,
                places.by_row(self.sigmas[done]),
                places.by_row(done),
                jnp.asarray(places.rolls + 1),
                rows=rows,
                frames=frames,
            )
            elapsed = tuple(max(at - frames, 0) for at in places.elapsed)
            self._places = Places(later, places.done, elapsed, places.rolls + 1)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Refuse a second thread while one is at work."""
        if not self._turn.acquire(blocking=False):
            raise RuntimeError(
                "A stream is used by one thread at a time, but a second one came while "
                "the first was at work. Give each a stream of its own, or a lock."
            )
        try:
            yield
        finally:
            self._turn.release()

    def _tick(self, places: Places) -> Fields | None:
        """One step of all; the window that this finishes."""
        moves = [done is not None for done in places.done]
        here = [done or 0 for done in places.done]
        there = [at + move for at, move in zip(here, moves, strict=True)]
        sigma, sigma_next = (
            places.by_row(np.where(moves, self.sigmas[n], 0.0)) for n in (here, there)
        )
        elapsed, index = (places.by_row(n) for n in (places.elapsed, there))
        flight = flights.advanced(
            self.generator, places.flight, sigma, sigma_next, elapsed, index
        )
        done = [n if move else None for n, move in zip(there, moves, strict=True)]
        if self.depth not in done:
            self._places = places._replace(flight=flight, done=tuple(done))
            return None
        place = done.index(self.depth)
        done[place] = None
        rows = len(index) // self.depth
        known, window = flights.finished(
            self.generator, flight, elapsed, place * rows, rows=rows
        )
        left = flight if any(n is not None for n in done) else None
        self._places = places._replace(flight=left, done=tuple(done))
        return self.generator.settled(known, window)
