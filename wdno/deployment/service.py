"""A small HTTP service that simulates: NetCDF or zipped Zarr in and out.

``POST /simulate?members=16&frames=40&seed=0`` with a file as `wdno simulate` takes it
answers with the file that this writes. Whatever is refused is so with the sentence of
the verbs, as ``{"error": …}``. ``GET /health``, ``/card`` and ``/program`` say how the
service is and what it serves. This module alone needs the extra ``serve``.
"""

import asyncio
import contextlib
import json
import tempfile
import zipfile
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import xarray as xr
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from wdno.deployment.batching import Problem, Simulator
from wdno.deployment.request_files import (
    TooLarge,
    numbers_of,
    read_problem,
    written,
)

__all__ = ["Limits", "make_service"]

NETCDF, ZIP = "application/x-netcdf", "application/zip"


@dataclass(frozen=True)
class Limits:
    """What a service takes on.

    Attributes:
        bytes_in: of the file of a request, and of its values in memory.
        seconds: that an answer may take, waiting included.
        waiting: requests that wait or are computed; more are sent away.
    """

    bytes_in: int = 2**26
    seconds: float = 60.0
    waiting: int = 64


class _Waiting(NamedTuple):
    problem: Problem
    answer: asyncio.Future[xr.Dataset]


def make_service(simulator: Simulator, limits: Limits = Limits()) -> Starlette:  # noqa: B008
    """The service as an application of any ASGI server.

    Example:
        >>> model = wdno.load_exported("burgers.stablehlo", effort=1)
        >>> uvicorn.run(make_service(Simulator(model)), host="127.0.0.1", port=8000)
    """
    service = _Service(simulator, limits)
    routes = [
        Route("/health", service.health),
        Route("/card", service.card),
        Route("/program", service.program),
        Route("/simulate", service.simulate, methods=["POST"]),
    ]
    handlers: Any = {ValueError: _refused, TooLarge: _too_large}
    handlers[HTTPException] = _answered
    return Starlette(
        routes=routes, lifespan=service.running, exception_handlers=handlers
    )


class _Service:
    """One queue, one thread that computes, one that reads and writes files."""

    def __init__(self, simulator: Simulator, limits: Limits) -> None:
        self._simulator, self._limits = simulator, limits
        self._queue: asyncio.Queue[_Waiting] = asyncio.Queue()
        self._open = 0
        # HDF5 is not made for several threads, and a second program gains nothing.
        self._files, self._device = ThreadPoolExecutor(1), ThreadPoolExecutor(1)

    @contextlib.asynccontextmanager
    async def running(self, _: Starlette) -> AsyncIterator[None]:
        """While the application is up, requests are answered."""
        work = asyncio.create_task(self._work())
        yield
        work.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await work
        self._files.shutdown()
        self._device.shutdown()

    async def health(self, _: Request) -> JSONResponse:
        return JSONResponse({"status": "ok", "requests": self._open})

    async def card(self, _: Request) -> JSONResponse:
        return JSONResponse(self._simulator.exported.card)

    async def program(self, _: Request) -> JSONResponse:
        return JSONResponse(self._simulator.exported.description)

    async def simulate(self, request: Request) -> Response:
        if self._open >= self._limits.waiting:
            raise HTTPException(
                503, f"{self._open} requests are waiting already. Come again later."
            )
        self._open += 1
        try:
            async with asyncio.timeout(self._limits.seconds):
                return await self._answer(request)
        except TimeoutError as error:
            raise HTTPException(
                504,
                f"An answer takes {self._limits.seconds:g} s at most, but this one was "
                "not ready. Ask for less, or again when fewer others do.",
            ) from error
        finally:
            self._open -= 1

    async def _answer(self, request: Request) -> Response:
        numbers = numbers_of(request.query_params)
        loop = asyncio.get_running_loop()
        with tempfile.TemporaryDirectory() as folder:
            came = Path(folder, "request")
            await self._receive(request, came)
            zipped = zipfile.is_zipfile(came)
            most = self._limits.bytes_in
            read = partial(read_problem, self._simulator, came, numbers, most)
            problem = await loop.run_in_executor(self._files, read)
            answer = loop.create_future()
            await self._queue.put(_Waiting(problem, answer))
            write = partial(written, await answer, Path(folder), zipped)
            content = await loop.run_in_executor(self._files, write)
        return Response(content, media_type=ZIP if zipped else NETCDF)

    async def _receive(self, request: Request, path: Path) -> None:
        """Write a body to a file, unless it is too large; no more of it is read."""
        most, size = self._limits.bytes_in, 0
        declared = request.headers.get("content-length", "0")
        with path.open("wb") as file:
            if not declared.isdecimal() or int(declared) <= most:
                async for part in request.stream():
                    if (size := size + len(part)) > most:
                        break
                    file.write(part)
                else:
                    return
        raise TooLarge(
            f"A request has {most} bytes at most, but this one has more. Ask for fewer "
            "trajectories at a time."
        )

    async def _work(self) -> None:
        """Answer what has come while the device was at work, together."""
        loop = asyncio.get_running_loop()
        while True:
            come = [await self._queue.get()]
            rows = come[0].problem.rows
            while not self._queue.empty() and rows < self._simulator.rows:
                come.append(self._queue.get_nowait())
                rows += come[-1].problem.rows
            groups: dict[int, list[_Waiting]] = {}
            for one in come:
                if not one.answer.cancelled():
                    groups.setdefault(one.problem.record.windows, []).append(one)
            for group in groups.values():
                problems = [one.problem for one in group]
                await self._settle(group, loop, problems)

    async def _settle(
        self,
        group: list[_Waiting],
        loop: asyncio.AbstractEventLoop,
        problems: list[Problem],
    ) -> None:
        """Whatever a computation raises is told to those who asked."""
        try:
            solve = partial(self._simulator.solved, problems)
            records = await loop.run_in_executor(self._device, solve)
        except Exception as error:
            for one in group:
                if not one.answer.done():
                    one.answer.set_exception(error)
            return
        for one, record in zip(group, records, strict=True):
            if not one.answer.done():
                one.answer.set_result(record)


async def _refused(_: Request, error: Exception) -> Response:
    return _said(400, str(error))


async def _too_large(_: Request, error: Exception) -> Response:
    return _said(413, str(error))


async def _answered(_: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 500
    return _said(status, getattr(error, "detail", str(error)))


def _said(status: int, sentence: str) -> Response:
    text = json.dumps({"error": sentence})
    return Response(text, status, media_type="application/json")
