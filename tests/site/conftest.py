"""A baked synthetic atlas, opened from disk in headless Chromium with the network cut."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import BrowserContext, BrowserType, Dialog, Page

from atlas.bake import bake
from atlas.publish.chromium import ARGUMENTS, installed
from synthetic import Size, write_synthetic

LOCAL = ("file:", "data:", "blob:")
Open = Callable[[str], Page]
REPORT = """addEventListener("securitypolicyviolation", ({ effectiveDirective, blockedURI, sourceFile, lineNumber }) =>
  console.error(`against the policy: ${effectiveDirective} ${blockedURI} ${sourceFile}:${lineNumber}`));"""
"""Said by the page itself, since a browser may pass over what it has said before."""
WITHOUT_WEBGL = """const real = HTMLCanvasElement.prototype.getContext;
HTMLCanvasElement.prototype.getContext = function (kind, ...rest) {
  return kind.startsWith("webgl") ? null : real.call(this, kind, ...rest);
};"""


@pytest.fixture(scope="session")
def browser_type_launch_args(browser_type_launch_args: dict[str, Any], browser_type: BrowserType) -> dict[str, Any]:
    """The Chromium that `atlas check` finds, drawing WebGL in software."""
    path = installed(browser_type)
    if path is None:
        pytest.fail("No Chromium found. Run tools/chromium.py to get one.")
    return browser_type_launch_args | {"executable_path": path, "args": list(ARGUMENTS)}


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a baked synthetic atlas."""
    root = tmp_path_factory.mktemp("site")
    return bake(write_synthetic(root / "atlas.duckdb"), root / "site").folder


@pytest.fixture(scope="session")
def two_corpora(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a baked synthetic atlas of two corpora."""
    root = tmp_path_factory.mktemp("two")
    return bake(write_synthetic(root / "atlas.duckdb", size=Size(corpora=2)), root / "site").folder


@pytest.fixture
def quiet_page(context: BrowserContext) -> Iterator[Page]:
    """A page without network that fails its test on a script error, a breach of its policy, a dialogue, or a request that leaves
    the disk.
    """
    context.set_offline(True)
    context.add_init_script(REPORT)
    page = context.new_page()
    complaints: list[str] = []

    def dismiss(dialog: Dialog) -> None:
        complaints.append(f"dialogue: {dialog.message}")
        dialog.dismiss()

    page.on("dialog", dismiss)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    page.on("request", lambda request: None if request.url.startswith(LOCAL) else complaints.append(request.url))
    page.on("requestfailed", lambda request: complaints.append(f"failed: {request.url}"))
    yield page
    assert not complaints


@pytest.fixture
def without_webgl(quiet_page: Page) -> Page:
    """That page in a browser without WebGL."""
    quiet_page.add_init_script(WITHOUT_WEBGL)
    return quiet_page


@pytest.fixture
def open_at(quiet_page: Page, site: Path) -> Open:
    """Opens the atlas at an address after the #, as a pasted link would."""

    def at(route: str = "") -> Page:
        quiet_page.goto((site / "index.html").as_uri() + route)
        return quiet_page

    return at
