"""A site over HTTP, on loopback only, with the headers that a host would send."""

from __future__ import annotations

import errno
import os
import re
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import unquote

from atlas.errors import PortTaken
from atlas.publish.headers import Headers
from atlas.publish.site import PAGE

LOOPBACK = "127.0.0.1"
TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".json": "application/json; charset=utf-8",
    ".txt": "text/plain; charset=utf-8",
    ".md": "text/plain; charset=utf-8",
    ".svg": "image/svg+xml; charset=utf-8",
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".ico": "image/x-icon",
    ".woff2": "font/woff2",
}
_OTHER = "application/octet-stream"
MOST_CONNECTIONS = 256
"""Connections that are held at once, each by a thread; others wait to be taken in."""
IDLE_SECONDS = 30.0
"""How long a connection may take over one request's head, however slowly it comes, or over a piece of the answer."""
CROWDED_SECONDS = 1.0
"""The same while others wait to be taken in."""
PIECE_BYTES = 1 << 18
"""Of an answer, what is sent at once."""
_OWN_HOST = re.compile(r"(localhost|127\.0\.0\.1)(:\d+)?", re.IGNORECASE)


class SiteServer(ThreadingHTTPServer):
    """Serves one folder to this machine."""

    # Closing it cuts all connections and waits for their threads.
    daemon_threads = False
    request_queue_size = 1024
    allow_reuse_address = sys.platform != "win32"  # there it would let two servers share a port

    def __init__(self, folder: Path, headers: Headers, port: int) -> None:
        self.folder = folder.resolve()
        self.headers = headers
        self._places = threading.Semaphore(MOST_CONNECTIONS)
        self._waiting: dict[socket.socket, float | None] = {}
        """Since when each connection has been waiting for a request, or to be taken a piece of the answer; else None."""
        self._lock = threading.Lock()
        super().__init__((LOOPBACK, port), _Handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Answer a connection in a thread of its own, as soon as there is a place for it."""
        while not self._places.acquire(timeout=CROWDED_SECONDS / 10):
            self._drop_waiting(CROWDED_SECONDS)
        self.waits(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        """Close a connection, and give its place to another."""
        with self._lock:
            held = request in self._waiting
            self._waiting.pop(request, None)
        super().shutdown_request(request)
        if held:
            self._places.release()

    def service_actions(self) -> None:
        """Close connections that send nothing, or too slowly; called again and again while it serves."""
        self._drop_waiting(IDLE_SECONDS)

    def server_close(self) -> None:
        """Listen no more, and let no connection or thread remain."""
        self._drop_waiting(None)
        super().server_close()

    def waits(self, connection: socket.socket) -> None:
        """Note that a connection is asked for its next request."""
        with self._lock:
            self._waiting[connection] = time.monotonic()

    def answers(self, connection: socket.socket) -> None:
        """Note that a connection's request has come."""
        with self._lock:
            self._waiting[connection] = None

    def _drop_waiting(self, seconds: float | None) -> None:
        """Cut connections that have been waiting for so long; None cuts all, whatever they do."""
        now = time.monotonic()
        with self._lock:
            cut = [
                connection
                for connection, since in self._waiting.items()
                if seconds is None or (since is not None and now - since > seconds)
            ]
            for connection in cut:
                with suppress(OSError):  # it has gone already
                    connection.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Let a reader go who leaves before the answer is whole; anything else is a bug, and is shown."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)

    @property
    def url(self) -> str:
        """Address of the page."""
        return f"http://{LOOPBACK}:{self.server_port}/"


def open_server(folder: Path, headers: Headers, port: int = 0) -> SiteServer:
    """Return a server that listens on 127.0.0.1 and answers once `serve_forever` runs; port 0 takes any free one.

    Raises:
        PortTaken: another program has the port, or it takes more rights than ours.
    """
    try:
        return SiteServer(folder, headers, port)
    except OSError as error:
        if error.errno not in (errno.EADDRINUSE, errno.EACCES):
            raise
        why = "is in use" if error.errno == errno.EADDRINUSE else "may not be used without more rights"
        raise PortTaken(f"Port {port} {why}. Name another one: --port {8000 if port < 1024 else port + 1}.") from error


@contextmanager
def serving(folder: Path, headers: Headers, port: int = 0) -> Iterator[SiteServer]:
    """Serve a folder in the background for as long as the context lasts."""
    with open_server(folder, headers, port) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


class _Handler(BaseHTTPRequestHandler):
    server: SiteServer
    protocol_version = "HTTP/1.1"
    timeout = IDLE_SECONDS  # that a connection may be silent, or not take what it is sent
    server_version = "atlas"
    sys_version = ""

    def handle_one_request(self) -> None:
        self.server.waits(self.connection)
        super().handle_one_request()

    def parse_request(self) -> bool:
        is_whole = super().parse_request()
        self.server.answers(self.connection)
        if is_whole and self.request_version == self.default_request_version:  # none was named
            self.send_error(HTTPStatus.BAD_REQUEST)
            return False
        return is_whole

    def do_GET(self) -> None:
        self._answer(with_body=True)

    def do_HEAD(self) -> None:
        self._answer(with_body=False)

    def _answer(self, *, with_body: bool) -> None:
        # What follows a request that announces a body would be read as another request.
        if "Transfer-Encoding" in self.headers or self.headers.get("Content-Length", "0") != "0":
            self.close_connection = True
        # A page elsewhere that has its name point to 127.0.0.1 shall not read what is served here.
        if not _OWN_HOST.fullmatch(", ".join(self.headers.get_all("Host", []))):
            return self._say(HTTPStatus.FORBIDDEN, "This server answers to localhost and 127.0.0.1 only.", with_body)
        address = unquote(re.split("[?#]", self.path, maxsplit=1)[0])
        file = _opened(self.server.folder, address)
        if file is None:
            return self._say(HTTPStatus.NOT_FOUND, "No such file in this site.", with_body)
        with file:
            self._send(file, address, with_body)

    def _send(self, file: BinaryIO, address: str, with_body: bool) -> None:
        stat = os.fstat(file.fileno())
        tag = f'"{stat.st_ino:x}-{stat.st_size:x}-{stat.st_mtime_ns:x}"'
        known = tag in self.headers.get("If-None-Match", "")
        self.send_response(HTTPStatus.NOT_MODIFIED if known else HTTPStatus.OK)
        self.send_header("ETag", tag)
        for name, value in self.server.headers.sent_with(address).items():
            self.send_header(name, value)
        if not known:
            self.send_header("Content-Type", TYPES.get(Path(file.name).suffix.lower(), _OTHER))
            self.send_header("Content-Length", str(stat.st_size))
        self._end_headers()
        if with_body and not known and stat.st_size:
            # By the piece: a site may hold its database, and be asked for it by many, who may be slow to take it.
            for start in range(0, stat.st_size, PIECE_BYTES):
                self.server.waits(self.connection)
                wanted = min(PIECE_BYTES, stat.st_size - start)
                if self.connection.sendfile(file, start, wanted) < wanted:
                    self.close_connection = True  # it has been cut short since
                    break

    def _say(self, status: HTTPStatus, text: str, with_body: bool = True) -> None:
        content = f"{text}\n".encode()
        self.send_response(status)
        self.send_header("Content-Type", TYPES[".txt"])
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Cache-Control", "no-store")
        self.send_header("X-Content-Type-Options", "nosniff")
        self._end_headers()
        if with_body:
            self.wfile.write(content)

    def _end_headers(self) -> None:
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Say what is wrong with a request in words of ours, none of the request's, and end the connection."""
        self.close_connection = True
        self.request_version = self.protocol_version  # or, of a line that names none, no status would be sent
        self._say(HTTPStatus(code), f"{HTTPStatus(code).phrase}: this server answers GET and HEAD only, in HTTP/1.1.")

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing: the library prints nothing."""


def _opened(folder: Path, address: str) -> BinaryIO | None:
    """Open the file in the folder that an address names; None for a folder, a hidden file, or anything outside."""
    parts = [part for part in address.split("/") if part]
    if not address.startswith("/") or any(part.startswith(".") or set(part) & set("\\:\0") for part in parts):
        return None
    try:
        path = folder.joinpath(*(parts or [PAGE])).resolve(strict=True)
        if not (path.is_relative_to(folder) and path.is_file()):
            return None
        if any(part.startswith(".") for part in path.relative_to(folder).parts):  # a link's target
            return None
        with ExitStack() as closing:
            file = closing.enter_context(path.open("rb"))
            # A link may have been put in its way since the look.
            if path.resolve(strict=True) == path and os.path.samestat(os.fstat(file.fileno()), path.stat()):
                closing.pop_all()
                return file
    except (OSError, RuntimeError, ValueError):  # not there, not ours to read, links in a circle, no name that a disk has
        pass
    return None
