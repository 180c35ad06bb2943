"""A web server of this process, for one directory: byte ranges, ETags, and switches for what can go wrong."""

from __future__ import annotations

import hashlib
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


class Web:
    """What a server serves, and what it was asked.

    Attributes:
        url: of the directory.
        requests: (method, path, Range header or None) of each request.
        ranges: whether it knows byte ranges.
        etags: whether it sends ETags.
        broken: paths that give an error of the server.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.url = ""
        self.requests: list[tuple[str, str, str | None]] = []
        self.ranges = self.etags = True
        self.broken: set[str] = set()

    @property
    def fetched(self) -> int:
        """How many requests for content there were."""
        return sum(method == "GET" for method, _, _ in self.requests)


@contextmanager
def serving(directory: Path) -> Iterator[Web]:
    """Serve a directory."""
    web = Web(directory)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_HEAD(self) -> None:
            self._answer(body=False)

        def do_GET(self) -> None:
            self._answer(body=True)

        def _answer(self, body: bool) -> None:
            asked = self.headers.get("Range") if web.ranges else None
            web.requests.append((self.command, self.path, asked))
            path = web.directory / self.path.lstrip("/")
            if self.path in web.broken or not path.is_file():
                self.send_response(500 if self.path in web.broken else 404)
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            data = path.read_bytes()
            match = re.fullmatch(r"bytes=(\d+)-(\d+)", asked or "")
            piece = data[int(match[1]) : int(match[2]) + 1] if match else data
            self.send_response(206 if match else 200)
            if match:
                self.send_header("Content-Range", f"bytes {match[1]}-{match[2]}/{len(data)}")
            if web.ranges:
                self.send_header("Accept-Ranges", "bytes")
            if web.etags:
                self.send_header("ETag", f'"{hashlib.sha256(data).hexdigest()}"')
            self.send_header("Content-Length", str(len(piece)))
            self.end_headers()
            if body:
                self.wfile.write(piece)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    web.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield web
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
