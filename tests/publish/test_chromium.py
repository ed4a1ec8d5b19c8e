from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from playwright.sync_api import BrowserType

from atlas.errors import BrowserMissing
from atlas.publish.chromium import installed

TOOLS = Path(__file__).parents[2] / "tools"


def program(path: Path) -> str:
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    return str(path)


def test_the_named_chromium_comes_before_all_others(
    browser_type: BrowserType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = program(tmp_path / "mine")
    monkeypatch.setenv("ATLAS_CHROMIUM", mine)

    assert installed(browser_type) == mine


def test_a_named_chromium_that_is_not_there_is_not_replaced_by_another(
    browser_type: BrowserType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ATLAS_CHROMIUM", str(tmp_path / "gone"))

    with pytest.raises(BrowserMissing, match=r"ATLAS_CHROMIUM names '.*gone', which is not there"):
        installed(browser_type)


def test_without_a_name_playwrights_own_comes_before_one_on_the_path(
    browser_type: BrowserType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ATLAS_CHROMIUM", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    own = browser_type.executable_path if Path(browser_type.executable_path).is_file() else None

    assert installed(browser_type) == own
    on_path = program(tmp_path / "google-chrome")
    assert installed(browser_type) == (own or on_path)


def test_the_tool_that_fetches_prints_the_one_that_is_found(tmp_path: Path) -> None:
    mine = program(tmp_path / "mine")

    result = subprocess.run(
        [sys.executable, str(TOOLS / "chromium.py")], env={"ATLAS_CHROMIUM": mine, "PATH": ""}, capture_output=True, text=True
    )

    assert (result.returncode, result.stdout) == (0, f"{mine}\n"), result.stderr
