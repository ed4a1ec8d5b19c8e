"""A site over HTTP, on loopback only, with the headers that a host would send."""

from __future__ import annotations

import errno
import hashlib
import re
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

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
_OWN_HOST = re.compile(r"(localhost|127\.0\.0\.1)(:\d+)?", re.IGNORECASE)


class SiteServer(ThreadingHTTPServer):
    """Serves one folder to this machine."""

    daemon_threads = True
    allow_reuse_address = sys.platform != "win32"  # there it would let two servers share a port

    def __init__(self, folder: Path, headers: Headers, port: int) -> None:
        self.folder = folder.resolve()
        self.headers = headers
        super().__init__((LOOPBACK, port), _Handler)

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
    timeout = 30  # seconds that a silent connection is kept
    server_version = "atlas"
    sys_version = ""

    def do_GET(self) -> None:
        self._answer(with_body=True)

    def do_HEAD(self) -> None:
        self._answer(with_body=False)

    def _answer(self, *, with_body: bool) -> None:
        # A page elsewhere that has its name point to 127.0.0.1 shall not read what is served here.
        if not _OWN_HOST.fullmatch(self.headers.get("Host", "")):
            return self._say(HTTPStatus.FORBIDDEN, "This server answers to localhost and 127.0.0.1 only.", with_body)
        address = unquote(urlsplit(self.path).path)
        path = _file(self.server.folder, address)
        try:
            content = None if path is None else path.read_bytes()
        except OSError:  # it was removed, or is not ours to read
            content = None
        if path is None or content is None:
            return self._say(HTTPStatus.NOT_FOUND, "No such file in this site.", with_body)
        tag = f'"{hashlib.sha256(content).hexdigest()[:32]}"'
        known = tag in self.headers.get("If-None-Match", "")
        self.send_response(HTTPStatus.NOT_MODIFIED if known else HTTPStatus.OK)
        self.send_header("ETag", tag)
        for name, value in self.server.headers.sent_with(address).items():
            self.send_header(name, value)
        if not known:
            self.send_header("Content-Type", TYPES.get(path.suffix.lower(), _OTHER))
            self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if with_body and not known:
            self.wfile.write(content)

    def _say(self, status: HTTPStatus, text: str, with_body: bool) -> None:
        content = f"{text}\n".encode()
        self.send_response(status)
        self.send_header("Content-Type", TYPES[".txt"])
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Cache-Control", "no-store")
        self.send_header("X-Content-Type-Options", "nosniff")
        self.end_headers()
        if with_body:
            self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing: the library prints nothing."""


def _file(folder: Path, address: str) -> Path | None:
    """Return the file in the folder that an address names; None for a folder, a hidden file, or anything outside."""
    parts = [part for part in address.split("/") if part]
    if not address.startswith("/") or any(part.startswith(".") or set(part) & set("\\:\0") for part in parts):
        return None
    path = folder.joinpath(*parts)
    path = (path if parts else path / PAGE).resolve()
    return path if path.is_relative_to(folder) and path.is_file() else None
