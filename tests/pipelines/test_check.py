"""`atlas check` as a user runs it, in a process of its own: Playwright starts only once in each."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from atlas.bake import bake
from synthetic import Size, write_synthetic

ROOT = Path(__file__).parents[2]
WITHOUT_PLAYWRIGHT = """
import sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "playwright":
            raise ModuleNotFoundError("No module named 'playwright'", name="playwright")
sys.meta_path.insert(0, Absent())
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a baked atlas of twelve experts."""
    root = tmp_path_factory.mktemp("check")
    return bake(write_synthetic(root / "atlas.duckdb", size=Size(experts=12)), root / "site").folder


def atlas_check(*arguments: object, before: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the command; `before` is Python that runs first."""
    command = [sys.executable, "-c", f"{before}\nfrom pipelines.cli import main\nmain()", "check", *map(str, arguments)]
    env = {**os.environ, "PYTHONPATH": str(ROOT), **environment}
    return subprocess.run(command, capture_output=True, text=True, env=env, timeout=120)


@pytest.mark.browser
def test_a_baked_site_passes(site: Path) -> None:
    result = atlas_check(site, "--experts", 2)

    assert result.returncode == 0, result.stdout + result.stderr
    files = sum(path.is_file() for path in site.rglob("*")) - 1  # baked.json does not list itself
    assert result.stdout == f"Checked {files} files and 2 of 12 experts: nothing wrong.\n"
    for view in ("disk: first page", "HTTP: search for", "HTTP: filter by 'months:January'", "phone: expert"):
        assert view in result.stderr


@pytest.mark.browser
def test_a_damaged_site_fails_with_a_line_for_each_fault(site: Path, tmp_path: Path) -> None:
    damaged = shutil.copytree(site, tmp_path / "damaged")
    gone, cut = next(damaged.glob("data/clouds/0.*.js")), next(damaged.glob("data/experts/0.*.js"))
    gone.unlink()
    cut.write_bytes(cut.read_bytes()[:100])

    result = atlas_check(damaged)

    assert result.returncode == 1
    assert result.stdout.splitlines() == [
        f"data/clouds/{gone.name}: is not there; the bake wrote it",
        f"data/experts/{cut.name}: cannot be read: cut short, or not a payload",
    ]
    (last,) = [line for line in result.stderr.splitlines() if line.startswith("Error: ")]
    assert last.startswith(f"Error: 2 faults in {str(damaged)!r}; the first: data/clouds/{gone.name}: is not there")


def test_a_browser_that_is_not_there_is_said_in_one_line(site: Path) -> None:
    result = atlas_check(site, ATLAS_CHROMIUM="/nowhere/chromium")

    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr == (
        "Error: ATLAS_CHROMIUM names '/nowhere/chromium', which is not there. Name the program of a Chromium, or unset it.\n"
    )


def test_a_program_that_is_no_browser_is_said_in_one_line(site: Path) -> None:
    result = atlas_check(site, ATLAS_CHROMIUM=sys.executable)

    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr.startswith(f"Error: The Chromium at {sys.executable!r} does not start (")
    assert result.stderr.count("\n") == 1


def test_a_missing_playwright_names_its_extra(site: Path) -> None:
    result = atlas_check(site, before=WITHOUT_PLAYWRIGHT)

    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr == (
        "Error: This command needs playwright. Install the extra that has it: pip install 'expert-atlas[check]'\n"
    )
