"""Whatever is sent to it, the server gives nothing but the site's files, says nothing on the terminal, and goes on."""

from __future__ import annotations

import errno
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest

from atlas.publish import serving as module
from atlas.publish.headers import Headers, config_path
from atlas.publish.serving import SiteServer, serving

PAGE = b"<!doctype html>the page"
SECRET = b"a secret"
PLAIN = b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
NUMBERED = 500


def numbered(number: int) -> bytes:
    """A payload that is like no other."""
    return b"%d;" % number * 1000


def write_numbered(folder: Path, n: int) -> None:
    for number in range(n):
        (folder / "data" / f"{number}.js").write_bytes(numbered(number))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A small folder that a bake might have written, beside a secret."""
    site = tmp_path / "site"
    (site / "data").mkdir(parents=True)
    (site / "index.html").write_bytes(PAGE)
    (site / "data" / "1.js").write_bytes(numbered(1))
    (tmp_path / "secret.txt").write_bytes(SECRET)
    return site


@pytest.fixture
def server(folder: Path, capfd: pytest.CaptureFixture[str]) -> Iterator[SiteServer]:
    """The folder, served; afterwards it still answers, no thread is left, and nothing was said."""
    before = threading.active_count()
    with serving(folder, Headers.read(config_path())) as server:
        yield server
        assert PAGE in said(server, PLAIN)
    assert threading.active_count() == before
    assert capfd.readouterr() == ("", "")


def connected(server: SiteServer) -> socket.socket:
    return socket.create_connection(("127.0.0.1", server.server_port), timeout=20)


def said(server: SiteServer, sent: bytes) -> bytes:
    """All that is answered to some bytes, after which no more are sent."""
    with connected(server) as client:
        try:
            client.sendall(sent)
            client.shutdown(socket.SHUT_WR)
        except OSError as error:
            assert error.errno in (errno.EPIPE, errno.ECONNRESET, errno.ENOTCONN), "refused before all was sent, at worst"
        return rest(client)


def rest(client: socket.socket) -> bytes:
    """What comes until the other end closes."""
    parts: list[bytes] = []
    try:
        while part := client.recv(1 << 16):
            parts.append(part)
    except ConnectionError:
        pass  # of a request that was refused in its middle, the rest is thrown away
    return b"".join(parts)


def asked(path: bytes) -> bytes:
    return b"GET " + path + b" HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"


NO_REQUESTS = {
    "nothing": (b"", {b""}),
    "no request line": (b"\r\n\r\n", {b""}),
    "noise": (bytes(range(256)) * 4 + b"\r\n\r\n", {b"400"}),
    "no version at all": (b"GET /\r\n\r\n", {b"400"}),
    "one word": (b"GET\r\n\r\n", {b"400"}),
    "a long request line": (b"GET /" + b"x" * 1_000_000 + b" HTTP/1.1\r\n\r\n", {b"414", b""}),
    "10,000 headers": (
        b"GET / HTTP/1.1\r\nHost: localhost\r\n" + b"".join(b"X-%d: y\r\n" % n for n in range(10_000)) + b"\r\n",
        {b"431", b""},
    ),
    "a long header": (b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"y" * 200_000 + b"\r\n\r\n", {b"431", b""}),
    "no version": (b"GET / HTTP/\r\n\r\n", {b"400"}),
    "a version of letters": (b"GET / HTTP/a.b\r\n\r\n", {b"400"}),
    "a version of digits": (b"GET / HTTP/1." + b"9" * 5000 + b"\r\n\r\n", {b"400"}),
    "another version": (b"GET / HTTP/2.0\r\n\r\n", {b"505"}),
    "the preface of HTTP/2": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", {b"505"}),
    "a hello of TLS": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\r\n", {b"400"}),
    "OPTIONS *": (b"OPTIONS * HTTP/1.1\r\nHost: localhost\r\n\r\n", {b"501"}),
    "CONNECT": (b"CONNECT example.org:443 HTTP/1.1\r\nHost: localhost\r\n\r\n", {b"501"}),
    "TRACE": (b"TRACE / HTTP/1.1\r\nHost: localhost\r\n\r\n", {b"501"}),
    "PUT": (b"PUT /x HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\n\r\nabc", {b"501"}),
    "a method of an attribute": (b"__class__ / HTTP/1.1\r\nHost: localhost\r\n\r\n", {b"501"}),
    "no host": (b"GET / HTTP/1.1\r\n\r\n", {b"403"}),
    "two hosts": (b"GET / HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n\r\n", {b"403"}),
    "a host with more behind": (b"GET / HTTP/1.1\r\nHost: localhost@evil.example\r\n\r\n", {b"403"}),
    "a host of IPv6": (b"GET / HTTP/1.1\r\nHost: [::1]:8000\r\n\r\n", {b"403"}),
    "a host by another number": (b"GET / HTTP/1.1\r\nHost: 2130706433\r\n\r\n", {b"403"}),
    "an address of IPv6 in it": (asked(b"//[/index.html"), {b"404"}),
    "an absolute address": (asked(b"http://localhost/index.html"), {b"404"}),
    "a bad escape": (asked(b"/%zz%"), {b"404"}),
    "bad UTF-8": (asked(b"/%ff%fe\xff"), {b"404"}),
    "a lone surrogate": (asked(b"/%ed%a0%80"), {b"404"}),
    "a name too long for a disk": (asked(b"/" + b"n" * 5000), {b"404"}),
    "many folders": (asked(b"/a" * 5000), {b"404"}),
    "a header that is none": (
        b"GET / HTTP/1.1\r\nHost: localhost\r\nno colon\r\nConnection: close\r\n\r\n",
        {b"200", b"403"},
    ),
    "a range": (PLAIN.replace(b"\r\n\r\n", b"\r\nRange: bytes=9-1,-5,x-,0-99999999999999\r\n\r\n"), {b"200"}),
    "many tags": (PLAIN.replace(b"\r\n\r\n", b"\r\nIf-None-Match: " + b'"x", ' * 10_000 + b"\r\n\r\n"), {b"200"}),
    "a date that is none": (PLAIN.replace(b"\r\n\r\n", b"\r\nIf-Modified-Since: \xff never\r\n\r\n"), {b"200"}),
    "half a request": (b"GET / HTTP/1.1\r\nHost: local", {b"403"}),
}
"""What is sent, and the statuses of which one answers it; none where the connection is just closed."""


@pytest.mark.parametrize(("sent", "statuses"), NO_REQUESTS.values(), ids=NO_REQUESTS)
def test_what_is_no_request_is_refused(sent: bytes, statuses: set[bytes], server: SiteServer) -> None:
    answer = said(server, sent)

    assert answer[9:12] in statuses
    assert answer[9:12] == b"200" or PAGE not in answer
    assert SECRET not in answer and b"Traceback" not in answer


@pytest.mark.parametrize(
    "path",
    [
        b"/../secret.txt",
        b"/..%2fsecret.txt",
        b"/%2e%2e/secret.txt",
        b"/%2e%2e%2fsecret.txt",
        b"/data/..%2f..%2fsecret.txt",
        b"//../secret.txt",
        b"/..\\secret.txt",
        b"/%5c..%5csecret.txt",
        b"/....//secret.txt",
        b"/..;/secret.txt",
        b"/%c0%ae%c0%ae/secret.txt",
        b"/%252e%252e%252fsecret.txt",
        b"/index.html%00/../../secret.txt",
        b"/link.txt",
        b"/linked/secret.txt",
        b"/circle",
        b"/pipe",
        b"/.hidden",
        b"/to-hidden.txt",
        b"/to-folder/index.html",
        b"/data/.hidden",
        b"/.atlas-bake/index.html",
        b"/c:/secret.txt",
        b"/index.html:secret",
        b"file:///etc/passwd",
        b"*",
    ],
)
def test_nothing_outside_the_site_is_given(path: bytes, server: SiteServer, folder: Path) -> None:
    (folder / "link.txt").symlink_to(folder.parent / "secret.txt")
    (folder / "linked").symlink_to(folder.parent)
    (folder / "circle").symlink_to("circle")
    (folder / "to-hidden.txt").symlink_to(".hidden")
    (folder / "to-folder").symlink_to(".atlas-bake")
    os.mkfifo(folder / "pipe")
    (folder / ".atlas-bake").mkdir()
    for hidden in (folder / ".hidden", folder / "data" / ".hidden", folder / ".atlas-bake" / "index.html"):
        hidden.write_bytes(SECRET)

    answer = said(server, asked(path))

    assert answer.startswith(b"HTTP/1.1 404 ") and SECRET not in answer


def test_a_link_that_is_put_in_a_files_way_is_not_followed(
    server: SiteServer, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, secret = folder / "data" / "1.js", folder.parent / "secret.txt"
    opens: Callable[..., object] = Path.open

    def swapped(self: Path, *given: str) -> object:
        path.unlink()
        path.symlink_to(secret)
        return opens(self, *given)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", swapped)
        answer = said(server, asked(b"/data/1.js"))

    assert path.is_symlink() and answer.startswith(b"HTTP/1.1 404 ") and SECRET not in answer


@pytest.mark.parametrize("body", [b"Content-Length: %d\r\n\r\n", b"Transfer-Encoding: chunked\r\n\r\n"])
def test_a_request_hidden_in_a_body_is_not_answered(body: bytes, server: SiteServer) -> None:
    hidden = asked(b"/data/1.js")
    head = b"GET / HTTP/1.1\r\nHost: localhost\r\n" + (body % len(hidden) if b"%" in body else body)

    assert said(server, head + hidden).count(b"HTTP/1.1 ") == 1


def test_requests_behind_each_other_are_answered_in_order(server: SiteServer, folder: Path) -> None:
    write_numbered(folder, 50)
    together = b"".join(b"GET /data/%d.js HTTP/1.1\r\nHost: localhost\r\n\r\n" % number for number in range(50)) + PLAIN

    answers = said(server, together).split(b"HTTP/1.1 200 OK")

    assert len(answers) == 52
    assert all(answer.endswith(b"\r\n\r\n" + numbered(number)) for number, answer in enumerate(answers[1:51]))


def test_500_requests_at_once_are_all_answered_right(server: SiteServer, folder: Path) -> None:
    write_numbered(folder, NUMBERED)
    with ExitStack() as open_ones, ThreadPoolExecutor(16) as pool:
        clients = [open_ones.enter_context(connected(server)) for _ in range(NUMBERED)]
        for number, client in enumerate(clients):
            client.sendall(asked(b"/data/%d.js" % number))
        answers = list(pool.map(rest, clients))

    wrong = [number for number, answer in enumerate(answers) if not answer.endswith(b"\r\n\r\n" + numbered(number))]
    assert wrong == []
    assert all(answer.startswith(b"HTTP/1.1 200 OK") for answer in answers)


def test_connections_that_say_nothing_keep_nobody_out(server: SiteServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CROWDED_SECONDS", 0.05)
    with ExitStack() as open_ones:
        idle = [open_ones.enter_context(connected(server)) for _ in range(module.MOST_CONNECTIONS + 40)]
        for client in idle[::2]:
            client.sendall(b"GET / HTTP/1.1\r\nHost: loc")

        assert PAGE in said(server, PLAIN)
        assert threading.active_count() < module.MOST_CONNECTIONS + 40


def test_connections_that_take_nothing_keep_nobody_out(server: SiteServer, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CROWDED_SECONDS", 0.05)
    (folder / "large.bin").touch()
    os.truncate(folder / "large.bin", 1 << 30)
    with ExitStack() as open_ones:
        for _ in range(module.MOST_CONNECTIONS):
            open_ones.enter_context(connected(server)).sendall(asked(b"/large.bin"))

        assert PAGE in said(server, PLAIN)


def test_a_request_that_comes_by_the_letter_is_cut(server: SiteServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "IDLE_SECONDS", 0.2)
    with connected(server) as client:
        with pytest.raises(ConnectionError):
            while True:
                client.sendall(b"x")
                time.sleep(0.005)  # a fast sender's line would be too long first
        assert rest(client) == b""


def test_a_reader_who_leaves_half_way_is_let_go(server: SiteServer, folder: Path) -> None:
    (folder / "large.bin").touch()
    os.truncate(folder / "large.bin", 1 << 40)
    with connected(server) as client:
        client.sendall(asked(b"/large.bin"))
        assert client.recv(100).startswith(b"HTTP/1.1 200")


def test_an_empty_file_is_given(server: SiteServer, folder: Path) -> None:
    (folder / "empty.txt").touch()

    assert b"Content-Length: 0\r\n" in said(server, asked(b"/empty.txt"))
