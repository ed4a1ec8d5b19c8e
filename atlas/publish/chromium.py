"""The Chromium that a site is opened in."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, BrowserType, Error, sync_playwright

from atlas.errors import BrowserMissing

NAMES = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
"""On PATH; the first opens a page in half the time, since it has no windows to make."""
ARGUMENTS = ("--enable-unsafe-swiftshader",)
"""WebGL is drawn in software, so that a check needs no graphics card and sees the same everywhere."""


def installed(chromium: BrowserType) -> str | None:
    """Return the path of a Chromium on this machine: ATLAS_CHROMIUM, else Playwright's own, else one on PATH.

    Raises:
        BrowserMissing: ATLAS_CHROMIUM names a file that is not there.
    """
    named = os.environ.get("ATLAS_CHROMIUM")
    if named:
        if not Path(named).is_file():
            raise BrowserMissing(
                f"ATLAS_CHROMIUM names {named!r}, which is not there. Name the program of a Chromium, or unset it."
            )
        return named
    own = chromium.executable_path
    return own if Path(own).is_file() else next((path for name in NAMES if (path := shutil.which(name))), None)


@contextmanager
def started() -> Iterator[Browser]:
    """Give a headless Chromium for as long as the context lasts.

    Raises:
        BrowserMissing: there is none, or it does not start.
    """
    with sync_playwright() as playwright:
        path = installed(playwright.chromium)
        if path is None:
            raise BrowserMissing(
                "No Chromium was found. Run `python -m playwright install chromium`, or name one in ATLAS_CHROMIUM."
            )
        try:
            browser = playwright.chromium.launch(executable_path=path, args=list(ARGUMENTS), timeout=30_000)
        except Error as error:
            raise BrowserMissing(
                f"The Chromium at {path!r} does not start ({error.message.splitlines()[0]}). Name another one in ATLAS_CHROMIUM."
            ) from error
        try:
            yield browser
        finally:
            browser.close()
