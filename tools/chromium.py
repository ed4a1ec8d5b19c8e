"""Finds a Chromium for the browser tests, fetching one only where there is none; prints its path."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

from playwright.sync_api import sync_playwright

from atlas.errors import BrowserMissing
from atlas.publish.chromium import installed


def found() -> str | None:
    """Return the path of a Chromium on this machine."""
    with sync_playwright() as playwright:
        return installed(playwright.chromium)


def fetch() -> None:
    """Install a Chromium with Playwright, or where its downloads cannot be reached, with apt-get."""
    playwright = subprocess.run([sys.executable, "-m", "playwright", "install", "chromium"], check=False)
    if playwright.returncode == 0:
        return
    if shutil.which("apt-get"):
        sudo = [] if os.geteuid() == 0 else ["sudo"]
        subprocess.run([*sudo, "apt-get", "update", "-qq"], check=False)
        subprocess.run([*sudo, "apt-get", "install", "-y", "-qq", "--no-install-recommends", "chromium"], check=False)


if __name__ == "__main__":
    try:
        path = found()
        if path is None:
            fetch()
            path = found()
    except BrowserMissing as error:
        sys.exit(str(error))
    if path is None:
        sys.exit("No Chromium found and none could be fetched. Install one and name it in ATLAS_CHROMIUM.")
    print(path)
