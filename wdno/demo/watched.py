"""Loops that a page in the browser watches: they run, tell what is new, take wishes."""

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Protocol, runtime_checkable

from wdno.accelerate.latest import Planning, in_background

Shown = dict[str, Any]
"""A tick in numbers that JSON can hold, its number under "tick"."""

Wish = Callable[[dict[str, Any]], None]
"""Does what JSON says; raises KeyError, TypeError or ValueError where it cannot."""


class News:
    """The newest tick of a loop, for those who wait for it, until the loop ends."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._last: Shown | None = None
        self._ended = False

    def tell(self, shown: Shown) -> None:
        """Show a tick."""
        with self._changed:
            self._last = shown
            self._changed.notify_all()

    def after(self, tick: int, timeout: float) -> Shown | None:
        """What there is to see of the newest tick after this one, once there is one."""
        with self._changed:
            self._changed.wait_for(lambda: self._ended or self._newer(tick), timeout)
            return self._last if self._newer(tick) else None

    @property
    def ended(self) -> bool:
        """Whether there will be no more ticks."""
        return self._ended

    def wait(self) -> None:
        """Return when there will be no more ticks."""
        with self._changed:
            self._changed.wait_for(lambda: self._ended)

    def end(self) -> None:
        """Say so to those who wait."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def _newer(self, tick: int) -> bool:
        return self._last is not None and self._last["tick"] > tick


@runtime_checkable
class Watched(Protocol):
    """A loop as the page sees it."""

    page: str
    """Name of the page in `wdno.demo`."""
    news: News

    @property
    def wishes(self) -> Mapping[str, Wish]:
        """What may be sent to ``/<name>``."""
        ...


@runtime_checkable
class Running(Protocol):
    """A loop as its thread sees it."""

    news: News
    planning: Planning

    def open(self) -> None:
        """Begin: there is a plan then."""

    def advance(self) -> Shown:
        """One tick."""
        ...

    @property
    def over(self) -> bool:
        """Whether it is to be opened anew before the next tick."""
        ...


@contextmanager
def running(loop: Running, pace: float) -> Iterator[None]:
    """The loop in a thread, a tick every so many seconds, until the block ends.

    What goes wrong in it is raised at the end of the block.
    """
    stop, failures = threading.Event(), []

    def part() -> None:
        loop.open()
        with in_background(loop.planning):
            due = time.monotonic()
            while not (stop.is_set() or loop.over):
                loop.advance()
                due = max(due + pace, time.monotonic())
                stop.wait(due - time.monotonic())

    def work() -> None:
        try:
            while not stop.is_set():
                part()
        except BaseException as error:  # raised again where it is seen
            failures.append(error)
        finally:
            loop.news.end()

    thread = threading.Thread(target=work, name="loop", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
        if failures:
            raise failures[0]
