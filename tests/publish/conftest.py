"""A baked synthetic atlas, and a browser to check it in."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import BrowserType

from atlas.bake import bake
from atlas.publish.chromium import ARGUMENTS, installed
from synthetic import Size, write_synthetic


@pytest.fixture(scope="session")
def browser_type_launch_args(browser_type_launch_args: dict[str, Any], browser_type: BrowserType) -> dict[str, Any]:
    """The Chromium that `atlas check` starts."""
    path = installed(browser_type)
    if path is None:
        pytest.fail("No Chromium found. Run tools/chromium.py to get one.")
    return browser_type_launch_args | {"executable_path": path, "args": list(ARGUMENTS)}


@pytest.fixture(scope="session")
def small_site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a baked synthetic atlas of a dozen experts; tests copy it before they damage it."""
    root = tmp_path_factory.mktemp("publish")
    return bake(write_synthetic(root / "atlas.duckdb", size=Size(experts=12)), root / "site").folder
