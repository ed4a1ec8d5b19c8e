"""Finds a Chromium for the browser tests, fetching one only where there is none; prints its path."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")


def installed() -> str | None:
    """Return the path of a Chromium on this machine: ATLAS_CHROMIUM, else Playwright's own, else one on PATH."""
    named = os.environ.get("ATLAS_CHROMIUM")
    if named:
        if not Path(named).exists():
            sys.exit(f"ATLAS_CHROMIUM names {named!r}, which does not exist.")
        return named
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        own = playwright.chromium.executable_path
    if Path(own).exists():
        return own
    return next((path for name in NAMES if (path := shutil.which(name))), None)


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
    path = installed()
    if path is None:
        fetch()
        path = installed()
    if path is None:
        sys.exit("No Chromium found and none could be fetched. Install one and name it in ATLAS_CHROMIUM.")
    print(path)
