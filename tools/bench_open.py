"""Times a baked site in headless Chromium from disk: seconds to the list, and to an expert's drawn scene, medians of seven."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from statistics import median

from playwright.sync_api import Browser

from atlas.publish.chromium import started


def seconds(browser: Browser, address: str, selector: str) -> float:
    """Return how long a page takes until an element that `selector` names is there."""
    page = browser.new_page(viewport={"width": 1440, "height": 900})
    began = time.perf_counter()
    page.goto(address)
    page.wait_for_selector(selector, state="attached")
    return time.perf_counter() - began


def main(site: Path, expert: int = 12) -> None:
    """Print both medians; every page is opened in a browser of its own, so that nothing is cached."""
    page = (site / "index.html").absolute().as_uri()
    ways = {"list": (page, "[aria-label=Experts] li"), "scene": (f"{page}#/expert/{expert}", "[data-ready]")}
    for name, (address, selector) in ways.items():
        times = []
        for _ in range(7):
            with started() as browser:
                times.append(seconds(browser, address, selector))
        print(f"{name}: {median(times):.2f} s")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "site"))
