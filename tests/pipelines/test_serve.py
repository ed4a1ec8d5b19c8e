from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from atlas.bake import bake
from pipelines.cli import main
from synthetic import Size, write_synthetic


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a baked atlas of three experts."""
    root = tmp_path_factory.mktemp("serve")
    return bake(write_synthetic(root / "atlas.duckdb", size=Size(experts=3)), root / "site").folder


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def test_serves_with_the_hosts_headers_until_ctrl_c(site: Path) -> None:
    command = [sys.executable, "-c", "from pipelines.cli import main; main()", "serve", str(site), "--port", "0"]
    root = Path(__file__).parents[2]
    environment = {**os.environ, "PYTHONPATH": str(root)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        try:
            with urllib.request.urlopen(url, timeout=10) as answer:
                page, headers = answer.read().decode(), answer.headers
        finally:
            process.send_signal(signal.SIGINT)
            rest, talk = process.communicate(timeout=20)

    assert "<title>" in page
    assert headers["Content-Security-Policy"].startswith("default-src 'none'; script-src 'self';")
    assert url.startswith("http://127.0.0.1:") and rest == ""
    assert talk.splitlines() == [f"Serving {site} to this machine only. Stop with Ctrl-C.", "Stopped."]
    assert process.returncode == 0


def test_a_port_in_use_is_said_in_one_line(site: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        result = run("serve", site, "--port", port)

    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == f"Error: Port {port} is in use. Name another one: --port {port + 1}.\n"


@pytest.mark.parametrize("command", ["serve", "check"])
def test_a_folder_that_is_not_there_is_said_in_one_line(command: str, tmp_path: Path) -> None:
    result = run(command, tmp_path / "nothing")

    assert (result.exit_code, result.stdout) == (1, "")
    nothing = str(tmp_path / "nothing")
    assert result.stderr == f"Error: There is no folder {nothing!r}. Name the folder that `atlas bake --out` wrote.\n"


@pytest.mark.parametrize("command", ["serve", "check"])
def test_a_folder_that_no_bake_wrote_is_said_in_one_line(command: str, tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text("<!doctype html><title>Mine</title>")

    result = run(command, tmp_path)

    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == f"Error: {str(tmp_path)!r} has no baked.json that can be read. Bake it again with `atlas bake`.\n"


@pytest.mark.parametrize("command", ["serve", "check"])
def test_help_shows_an_example_and_every_default(command: str) -> None:
    result = run(command, "--help")

    assert result.exit_code == 0
    assert f"atlas {command} site" in result.stdout
    assert result.stdout.count("[default:") == {"serve": 2, "check": 1}[command]


def test_help_loads_neither_server_nor_browser() -> None:
    loaded = "import sys; heavy = {'playwright', 'http.server', 'torch', 'duckdb'} & set(sys.modules); print(heavy or 'none')"
    ask = f"import pipelines.serve, pipelines.check; {loaded}"

    result = subprocess.run([sys.executable, "-c", ask], capture_output=True, text=True, check=True)

    assert result.stdout.strip() == "none"
