"""A page in the browser that watches a loop, and changes what may be changed.

Served on the loopback address alone, by the standard library: ``GET /`` is the page,
``GET /events`` a stream of ticks (server-sent events), and ``POST /<wish>`` takes JSON,
such as ``/goal``. Nothing is fetched from elsewhere.
"""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from typing import Any

from wdno.demo.watched import Watched

ADDRESS = "127.0.0.1"
LARGEST = 10_000
"""Bytes of a request."""
BESIDE = {
    "/live.css": ("live.css", "text/css"),
    "/live.js": ("live.js", "text/javascript"),
}
"""What all pages share, by path: file and type."""
WAIT = 1.0
"""Seconds after which a stream without ticks looks whether it is to end."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, port: int, loop: Watched) -> None:
        self.loop = loop
        self.ending = threading.Event()
        super().__init__((ADDRESS, port), _Handler)


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        if not self._is_local():
            return
        shown = {"/": (self.server.loop.page, "text/html"), **BESIDE}.get(self.path)
        if shown is not None:
            name, kind = shown
            text = files("wdno.demo").joinpath(name).read_bytes()
            self._answer(200, text, f"{kind}; charset=utf-8")
        elif self.path == "/events":
            self._stream()
        else:
            self._say(404, f"There are /, /events{self._wishes}.")

    def do_POST(self) -> None:
        if not self._is_local():
            return
        wish = self.server.loop.wishes.get(self.path.removeprefix("/"))
        if wish is None:
            return self._say(404, f"There are{self._wishes}.".replace(",", "", 1))
        try:
            wish(self._json())
        except (KeyError, TypeError, ValueError) as error:
            return self._say(400, f"{type(error).__name__}: {error}")
        self._say(200, "")

    @property
    def _wishes(self) -> str:
        return "".join(f", /{name}" for name in self.server.loop.wishes)

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing of every request."""

    def _is_local(self) -> bool:
        """Whether the page is asked for by its own name, not by that of another site.

        Otherwise a page elsewhere could reach it by a name that leads to this address.
        """
        host = (self.headers.get("Host") or "").rsplit(":", 1)[0]
        if host not in (ADDRESS, "localhost"):
            self._say(403, f"This page is called http://{ADDRESS}.")
            return False
        return True

    def _json(self) -> dict[str, Any]:
        """What was sent; forms of other pages cannot send this type."""
        if self.headers.get("Content-Type") != "application/json":
            raise ValueError("Send JSON, as application/json.")
        length = int(self.headers.get("Content-Length") or 0)
        if not 0 < length <= LARGEST:
            raise ValueError(f"Send 1 to {LARGEST} bytes.")
        return json.loads(self.rfile.read(length))

    def _stream(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Cache-Control", "no-store")
        self.send_header("Connection", "close")
        self.end_headers()
        tick = -1
        try:
            while not (self.server.ending.is_set() or self.server.loop.news.ended):
                shown = self.server.loop.news.after(tick, WAIT)
                if shown is None:
                    self.wfile.write(b": still here\n\n")
                else:
                    tick = shown["tick"]
                    self.wfile.write(f"data: {json.dumps(shown)}\n\n".encode())
                self.wfile.flush()
        except OSError:  # nobody watches any more
            pass
        self.close_connection = True

    def _say(self, status: int, text: str) -> None:
        self._answer(status, text.encode(), "text/plain; charset=utf-8")

    def _answer(self, status: int, body: bytes, kind: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        if status >= 400:  # what was sent may not have been read
            self.send_header("Connection", "close")
            self.close_connection = True
        self.end_headers()
        self.wfile.write(body)


@contextmanager
def serving(loop: Watched, port: int = 0) -> Iterator[str]:
    """The page of a loop, until the block ends; its address.

    Args:
        loop: is watched; runs by itself, see `wdno.demo.live.running`.
        port: to listen on; 0 takes one that is free.

    Raises:
        OSError: the port is taken.
    """
    server = _Server(port, loop)
    thread = threading.Thread(target=server.serve_forever, name="page", daemon=True)
    thread.start()
    try:
        yield f"http://{ADDRESS}:{server.server_port}/"
    finally:
        server.ending.set()
        server.shutdown()
        server.server_close()
        thread.join()
