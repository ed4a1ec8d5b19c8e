"""The wheel, in an empty environment without torch: what it must carry, what runs there, and what it says of missing extras."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from email.parser import Parser
from pathlib import Path

import pytest

from atlas.bake import bake
from synthetic import write_synthetic

ROOT = Path(__file__).parents[1]
UV = shutil.which("uv") or shutil.which("uv", path=str(Path(sys.executable).parent))
UNREACHABLE = (
    "error sending request",
    "dns error",
    "Could not connect",
    "client error (Connect)",
    "NewConnectionError",
    "NameResolution",
)
"""What uv and pip say where no package index can be reached."""

Run = Callable[..., subprocess.CompletedProcess[str]]


def done(*command: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(word) for word in command], cwd=ROOT, capture_output=True, text=True, check=False, timeout=300)


def succeeded(*command: object) -> None:
    ran = done(*command)
    assert ran.returncode == 0, ran.stderr


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from the source distribution."""
    folder = tmp_path_factory.mktemp("dist")
    if UV:
        succeeded(UV, "build", "--no-build-isolation", "--python", sys.executable, "--out-dir", folder, ROOT)
    else:
        succeeded(sys.executable, "-m", "hatchling", "build", "--directory", folder, "--target", "sdist")
        (sdist,) = folder.glob("*.tar.gz")
        succeeded(sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", folder, sdist)
    (made,) = folder.glob("*.whl")
    return made


@pytest.fixture(scope="module")
def programs(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of programs of an environment that holds the wheel and what it asks for."""
    folder = tmp_path_factory.mktemp("installed") / "venv"
    locked = ("--constraint", ROOT / "requirements.lock")
    if UV:
        succeeded(UV, "venv", "--quiet", "--python", sys.executable, folder)
        python = folder / "bin" / "python"
        installed = done(UV, "pip", "install", "--quiet", "--python", python, *locked, wheel)
    else:
        succeeded(sys.executable, "-m", "venv", folder)
        installed = done(folder / "bin" / "python", "-m", "pip", "install", "--quiet", *locked, wheel)
    if any(words in installed.stderr for words in UNREACHABLE):
        pytest.skip(f"no package index can be reached: {installed.stderr.strip().splitlines()[-1]}")
    assert installed.returncode == 0, installed.stderr
    return folder / "bin"


@pytest.fixture
def atlas(programs: Path, tmp_path: Path) -> Run:
    """Runs a command of the installed wheel, far from the checkout."""

    def run(*words: object) -> subprocess.CompletedProcess[str]:
        command = [str(programs / "atlas"), *map(str, words)]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=120)

    return run


def test_the_wheel_carries_all_that_the_commands_read(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as packed:
        names = set(packed.namelist())
        (metadata,) = (packed.read(name).decode() for name in names if name.endswith("METADATA"))
    sources = [path for top in ("atlas", "pipelines", "templates") for path in (ROOT / top).rglob("*") if path.is_file()]
    expected = {path.relative_to(ROOT).as_posix() for path in sources if "__pycache__" not in path.parts}
    expected = {f"atlas/{name}" if name.startswith("templates/") else name for name in expected} | {
        "atlas/netlify.toml",
        "atlas/measures.md",
    }
    assert {name for name in names if ".dist-info/" not in name} == expected
    about = Parser().parsestr(metadata)
    assert about["Name"] == "expert-atlas"
    assert set(about.get_all("Provides-Extra") or ()) == {"compute", "geometry", "figure", "check", "wandb"}


def test_the_environment_holds_neither_torch_nor_a_browser(programs: Path) -> None:
    for package in ("torch", "transformers", "playwright"):
        ran = done(programs / "python", "-c", f"import {package}")
        assert "ModuleNotFoundError" in ran.stderr


def test_help_lists_the_commands(atlas: Run) -> None:
    ran = atlas("--help")
    assert (ran.returncode, ran.stderr) == (0, "")
    assert "  bake " in ran.stdout and "  inspect " in ran.stdout


def test_a_bake_writes_what_the_checkout_writes(atlas: Run, tmp_path: Path) -> None:
    path = write_synthetic(tmp_path / "a.duckdb")
    ran = atlas("bake", path, "--out", "site")
    assert (ran.returncode, ran.stdout) == (0, "site/index.html\n"), ran.stderr
    expected = json.loads((bake(path, tmp_path / "again").folder / "baked.json").read_text())
    assert json.loads((tmp_path / "site" / "baked.json").read_text()) == expected
    seen = atlas("inspect", "site", "--json")
    assert seen.returncode == 0, seen.stderr
    assert json.loads(seen.stdout)["site"]["as_baked"] is True
    assert json.loads(atlas("inspect", path, "--json").stdout)["tables"]["experts"] == 40


def test_a_notebook_opens_an_atlas(programs: Path, tmp_path: Path) -> None:
    path = write_synthetic(tmp_path / "a.duckdb")
    program = "import sys, atlas; print(atlas.open(sys.argv[1]).sql('SELECT count(*) AS n FROM labels')['n'][0])"
    ran = done(programs / "python", "-I", "-c", program, path)
    assert (ran.stdout, ran.stderr) == ("112\n", "")


def test_the_headers_of_the_host_are_found(programs: Path) -> None:
    program = "from atlas.publish.headers import config_path; print(config_path())"
    ran = done(programs / "python", "-I", "-c", program)
    assert Path(ran.stdout.strip()).read_bytes() == (ROOT / "netlify.toml").read_bytes()
    assert Path(ran.stdout.strip()).is_relative_to(programs.parent)


@pytest.mark.parametrize(
    ("words", "extra"),
    [
        (("train", "--model", "gpt2", "--hook", "transformer.h.6"), "compute"),
        (("harvest", "--checkpoint", "nowhere"), "compute"),
        (("probe", "--checkpoint", "nowhere"), "compute"),
        (("geometry", "--checkpoint", "nowhere"), "compute"),
        (("evaluate", "--checkpoint", "nowhere"), "compute"),
        (("build", "--checkpoint", "nowhere"), "compute"),
        (("demo",), "compute"),
        (("figure", "0", "--atlas", "a.duckdb", "--out", "f.svg"), "figure"),
        (("check", "site"), "check"),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else value,
)
def test_a_command_whose_extra_is_missing_names_it(atlas: Run, words: tuple[str, ...], extra: str, tmp_path: Path) -> None:
    bake(write_synthetic(tmp_path / "a.duckdb"), tmp_path / "site")
    before = sorted(path.name for path in tmp_path.iterdir())
    ran = atlas(*words)
    assert (ran.returncode, ran.stdout) == (1, "")
    (line,) = ran.stderr.splitlines()
    assert line.startswith("Error: This command needs ") and line.endswith(f": pip install 'expert-atlas[{extra}]'")
    assert sorted(path.name for path in tmp_path.iterdir()) == before
