"""Latest wins: a planner in a thread of its own that never works off a queue.

`Planning.step` takes the newest request and hands in what came of it. Requests and
plans lie in mailboxes with room for one: a request that a newer one has replaced is
never computed, so a slow planner delays plans but does not let them pile up (the queues
of StreamDiffusion, arXiv 2312.12491, section 3.4). `in_background` runs these steps in
a thread; `wdno.accelerate.steering` is the other side.
"""

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Generic, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PRNGKeyArray

from wdno._arrays import not_finite
from wdno.planning.closed_loop import shrinking_planners
from wdno.planning.feedback import Names
from wdno.planning.planner import Planner

T = TypeVar("T")

HostFields = Mapping[str, np.ndarray | Array]
"""Named fields, batch first, on the side of the system: of NumPy or JAX."""


class Latest(Generic[T]):
    """A mailbox with room for one; what comes replaces what nobody has taken."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._value: T | None = None
        self._closed = False

    def put(self, value: T) -> bool:
        """Leave a value; whether it has replaced another."""
        with self._changed:
            replaced, self._value = self._value is not None, value
            self._changed.notify()
        return replaced

    def poll(self) -> T | None:
        """Take the value, if there is one."""
        with self._changed:
            value, self._value = self._value, None
        return value

    def take(self) -> T | None:
        """Wait for a value and take it; None once the mailbox is closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._value is not None)
            value, self._value = self._value, None
            return None if self._closed else value

    def close(self) -> None:
        """Wake who waits, with nothing."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()


class Request(NamedTuple):
    """What a plan is to be made for."""

    tick: int
    """When it begins to act."""
    state: HostFields
    """Expected then, by the names of initial values, batch first."""
    goal: HostFields
    """What else the planner is to know, such as the state to reach."""


class Plan(NamedTuple):
    """What came of a request: states and controls from its tick on, or a failure."""

    request: Request
    fields: HostFields
    failure: str = ""

    def expected(self, tick: int, frames: int, names: Names) -> HostFields | None:
        """States at the begin of a tick of so many frames; None if it says nothing."""
        row = (tick - self.request.tick) * frames - 1
        if tick == self.request.tick:
            return self.request.state
        states = {key: self.fields[name] for name, key in names.initial.items()}
        if row < 0 or any(row >= u.shape[1] for u in states.values()):
            return None
        return {key: u[:, row] for key, u in states.items()}

    def during(self, tick: int, frames: int, names: Names) -> HostFields | None:
        """Controls and states during such a tick; None if it says nothing of it."""
        begin = (tick - self.request.tick) * frames
        now = slice(begin, end := begin + frames)
        fields = {n: self.fields[n] for n in (*names.planned, *names.initial)}
        if begin < 0 or any(f.shape[1] < end for f in fields.values()):
            return None
        return {name: f[:, now] for name, f in fields.items()}


class Planning:
    """The planner's side: one step answers the newest request.

    Attributes:
        make: states and controls of a request; raises ValueError where it fails.
        requests: mailbox of what is asked.
        plans: mailbox of answers.
        broken: what ended the thread, if anything did.
        seconds: that the last answer took.
    """

    def __init__(self, make: Callable[[Request], HostFields]) -> None:
        """Begin with nothing asked."""
        self.make = make
        self.requests: Latest[Request] = Latest()
        self.plans: Latest[Plan] = Latest()
        self.broken: BaseException | None = None
        self.seconds = 0.0

    def answer(self, request: Request) -> Plan:
        """The plan, or in words why there is none; `seconds` says how long it took."""
        begin = time.perf_counter()
        try:
            fields = jax.tree.map(np.asarray, self.make(request))
        except ValueError as error:
            return Plan(request, {}, f"planning failed: {error}")
        finally:
            self.seconds = time.perf_counter() - begin
        if bad := [name for name, f in fields.items() if not_finite(f).any()]:
            return Plan(request, {}, f"planning failed: {bad} are not finite")
        return Plan(request, fields)

    def step(self) -> bool:
        """Wait for a request and answer it; False once there will be no more."""
        request = self.requests.take()
        if request is not None:
            self.plans.put(self.answer(request))
        return request is not None


@contextmanager
def in_background(planning: Planning) -> Iterator[None]:
    """A thread that answers requests until the block ends.

    What is no ValueError is a defect: it ends the thread and is raised by the next
    `Steering.tick`, and otherwise at the end of the block.
    """

    def work() -> None:
        try:
            while planning.step():
                pass
        except BaseException as error:  # raised again where it is seen
            planning.broken = error

    thread = threading.Thread(target=work, name="planning", daemon=True)
    thread.start()
    try:
        yield
    finally:
        planning.requests.close()
        thread.join()
    if planning.broken is not None:
        raise planning.broken


class Appointments:
    """Plans for the frames that remain until the next appointment.

    Everything that serves more than one plan is made once: a planner a horizon, its
    compiled program, and the noise levels that are constants of that. Coefficients of a
    goal are not kept, since they are less than a hundredth of a plan's time.

    Args:
        planner: its horizon lies between appointments.
        every: frames of a tick.
        key: of the plans.

    Raises:
        ValueError: the ticks do not divide the horizon, or the wavelet cannot halve
            what remains of it.
    """

    def __init__(self, planner: Planner, every: int, key: PRNGKeyArray) -> None:
        self.every, self.horizon = every, planner.model.window
        self._key = key
        shorter = shrinking_planners(planner, every)
        self._planners = {each.model.window: each for each in shorter}

    def __call__(self, request: Request) -> HostFields:
        """States and controls until the appointment after the tick of a request."""
        remaining = self.horizon - request.tick * self.every % self.horizon
        known = {**request.state, **request.goal}
        known = {name: jnp.asarray(f, jnp.float32) for name, f in known.items()}
        keys = jax.random.fold_in(self._key, request.tick)[None]
        return self._planners[remaining](known, keys)

    def compile(self, state: HostFields, goal: HostFields) -> None:
        """Make a plan of every horizon, before the clock runs."""
        for tick in range(len(self._planners)):
            self(Request(tick, state, goal))
