"""A web server of a folder on this machine, with the habits of real ones."""

import re
import threading
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


class Served:
    """A folder at `url`; what was asked of it is in `asked` as (path, range).

    Attributes:
        ranges: whether parts of files are given, or whole files only.
        breaks: after how many bytes each of the next answers breaks off.
    """

    def __init__(self, folder: Path, url: str) -> None:
        self.folder, self.url = folder, url
        self.ranges = True
        self.breaks: list[int] = []
        self.asked: list[tuple[str, str | None]] = []

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        wanted = handler.headers.get("Range")
        self.asked.append((handler.path, wanted))
        path = self.folder / handler.path.lstrip("/")
        if not path.is_file():
            handler.send_error(404)
            return
        content = path.read_bytes()
        first, last = 0, len(content) - 1
        part = re.fullmatch(r"bytes=(\d+)-(\d*)", wanted or "") if self.ranges else None
        if part and int(part[1]) >= len(content):
            handler.send_response(416)
            handler.send_header("Content-Range", f"bytes */{len(content)}")
            handler.send_header("Content-Length", "0")
            handler.end_headers()
            return
        if part:
            first, last = int(part[1]), min(int(part[2] or last), last)
            handler.send_response(206)
            extent = f"bytes {first}-{last}/{len(content)}"
            handler.send_header("Content-Range", extent)
        else:
            handler.send_response(200)
        handler.send_header("Content-Length", str(last + 1 - first))
        handler.end_headers()
        body = content[first : last + 1]
        if self.breaks and not (part and part[2]):
            body = body[: self.breaks.pop(0)]
        with suppress(ConnectionError):  # whoever asked for a size only has gone
            handler.wfile.write(body)


@contextmanager
def serving(folder: Path):
    """A `Served` folder for a while."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            served.answer(self)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    served = Served(folder, f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield served
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
