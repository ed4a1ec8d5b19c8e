from __future__ import annotations

import http.client
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from atlas.errors import PortTaken
from atlas.publish.headers import Headers, config_path
from atlas.publish.serving import SiteServer, open_server, serving


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A small folder that a bake might have written, beside a secret."""
    site = tmp_path / "site"
    (site / "data").mkdir(parents=True)
    (site / "index.html").write_text("<!doctype html>é", encoding="utf-8")
    (site / "data" / "atlas.0123456789ab.js").write_text("one();", encoding="utf-8")
    (site / ".git").mkdir()
    (site / ".git" / "config").write_text("hidden")
    (site / "CNAME").write_text("atlas.example.org")
    (tmp_path / "secret.txt").write_text("secret")
    (site / "out.txt").symlink_to(tmp_path / "secret.txt")
    return site


@pytest.fixture
def server(folder: Path) -> Iterator[SiteServer]:
    with serving(folder, Headers.read(config_path())) as server:
        yield server


def ask(server: SiteServer, path: str, method: str = "GET", **headers: str) -> tuple[http.client.HTTPResponse, bytes]:
    """The answer to a request that is sent as it is written, dots and all."""
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=10)
    connection.putrequest(method, path, skip_host="Host" in headers)
    for name, value in headers.items():
        connection.putheader(name.replace("_", "-"), value)
    connection.endheaders()
    answer = connection.getresponse()
    content = answer.read()
    connection.close()
    return answer, content


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/", "text/html; charset=utf-8"),
        ("/index.html?x=1", "text/html; charset=utf-8"),
        ("/data/atlas.0123456789ab.js", "text/javascript; charset=utf-8"),
        ("/data/%61tlas.0123456789ab.js", "text/javascript; charset=utf-8"),
        ("/CNAME", "application/octet-stream"),
    ],
)
def test_files_come_with_their_type_and_the_hosts_headers(server: SiteServer, path: str, kind: str) -> None:
    answer, content = ask(server, path)

    assert answer.status == 200 and content
    assert answer.getheader("Content-Type") == kind
    plain = path.partition("?")[0].replace("%61", "a")
    for name, value in Headers.read(config_path()).sent_with(plain).items():
        assert answer.getheader(name) == value


def test_only_hashed_files_are_kept(server: SiteServer) -> None:
    page, _ = ask(server, "/")
    payload, _ = ask(server, "/data/atlas.0123456789ab.js")

    assert "must-revalidate" in (page.getheader("Cache-Control") or "")
    assert "immutable" in (payload.getheader("Cache-Control") or "")


def test_head_says_the_same_without_the_content(server: SiteServer) -> None:
    whole, content = ask(server, "/")
    head, nothing = ask(server, "/", method="HEAD")

    assert nothing == b""
    assert head.getheader("Content-Length") == str(len(content))
    assert head.getheader("Content-Security-Policy") == whole.getheader("Content-Security-Policy")


def test_a_page_is_sent_again_only_when_it_has_changed(server: SiteServer, folder: Path) -> None:
    first, _ = ask(server, "/")
    tag = first.getheader("ETag") or ""

    same, nothing = ask(server, "/", If_None_Match=tag)
    assert (same.status, nothing) == (304, b"")
    assert same.getheader("Cache-Control") == first.getheader("Cache-Control")
    (folder / "index.html").write_text("new")
    changed, content = ask(server, "/", If_None_Match=tag)
    assert (changed.status, content) == (200, b"new")


@pytest.mark.parametrize(
    "path",
    [
        "/../secret.txt",
        "/%2e%2e/secret.txt",
        "/data/../../secret.txt",
        "/..%2fsecret.txt",
        "/..%5csecret.txt",
        "/%252e%252e/secret.txt",
        "/out.txt",
        "//secret.txt",
        "/.git/config",
        "/data",
        "/data/",
        "/nothing.js",
        "/index.html%00.js",
        "secret.txt",
    ],
)
def test_nothing_else_can_be_had(server: SiteServer, path: str) -> None:
    answer, content = ask(server, path)

    assert answer.status == 404
    assert content == b"No such file in this site.\n"


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "localhost.evil.example:80", ""])
def test_another_name_for_this_machine_is_refused(server: SiteServer, host: str) -> None:
    answer, content = ask(server, "/", Host=host)

    assert answer.status == 403
    assert b"doctype" not in content


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:8000", "127.0.0.1:1"])
def test_this_machines_own_names_are_answered(server: SiteServer, host: str) -> None:
    assert ask(server, "/", Host=host)[0].status == 200


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
def test_nothing_can_be_written(server: SiteServer, method: str) -> None:
    assert ask(server, "/", method=method)[0].status == 501


def test_it_listens_on_loopback_only(server: SiteServer) -> None:
    assert server.server_address[0] == "127.0.0.1"
    assert server.url == f"http://127.0.0.1:{server.server_port}/"


def test_a_port_in_use_is_named(server: SiteServer, folder: Path) -> None:
    taken = server.server_port

    with pytest.raises(PortTaken, match=f"^Port {taken} is in use. Name another one: --port {taken + 1}.$"):
        open_server(folder, Headers.read(config_path()), taken)


def test_the_port_is_free_again_afterwards(folder: Path) -> None:
    headers = Headers.read(config_path())
    with serving(folder, headers) as server:
        port = server.server_port
    with serving(folder, headers, port) as again:
        assert ask(again, "/")[0].status == 200


def test_a_preview_loads_neither_browser_nor_bake() -> None:
    names = "{'playwright', 'torch', 'duckdb', 'polars', 'plotly', 'jinja2', 'click'}"
    ask = f"import sys; import atlas.publish.serving, atlas.publish.site; print(sorted({names} & set(sys.modules)))"

    result = subprocess.run([sys.executable, "-c", ask], capture_output=True, text=True, check=True)

    assert result.stdout == "[]\n"
