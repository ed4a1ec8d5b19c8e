"""Takes a picture of every page type of a baked site: wide and on a phone, light and dark, named so that they sort.

    .venv/bin/python tools/screenshots.py site screenshots
    .venv/bin/python tools/screenshots.py --readme site      # the README's two, of a baked demo, into docs/pictures/

What a page type is stands in VIEWS: an address, and what a reader does there.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlencode

from playwright.sync_api import Browser, Page

from atlas.publish.chromium import started
from atlas.publish.site import Site
from atlas.publish.visiting import Expert, Plan

SIZES = {"wide": (1440, 900), "phone": (390, 844)}
SCHEMES = ("light", "dark")
README_VIEW, README_SIZE = "#/?label=months:September", {"width": 1440, "height": 900}
README_FOLDER = Path(__file__).parents[1] / "docs" / "pictures"
STILL = 500
"""Milliseconds: the clouds are drawn as they come into view."""


@dataclass(frozen=True)
class View:
    """A page type, and how to get there."""

    route: str
    act: Callable[[Page], None] = lambda page: None
    sizes: tuple[str, ...] = ("wide", "phone")


def press(name: str) -> Callable[[Page], None]:
    """Return what presses the button of that name."""
    return lambda page: page.get_by_role("button", name=re.compile(name)).first.click()


def ask_for_help(page: Page) -> None:
    page.keyboard.press("?")


def star_three(page: Page) -> None:
    """Bookmark the first experts of the list, then open the bookmarks."""
    stars = page.get_by_role("list", name="Experts").get_by_role("button", name=re.compile("^Bookmark"))
    for place in range(3):
        stars.nth(place).click()
    press("^Bookmarks")(page)


def scene(page: Page) -> None:
    page.locator("[data-scene][data-ready]").wait_for()


def views(site: Path) -> dict[str, View]:
    """Return the page types by name, of what this atlas has: a label, a word of a title, an expert with a cloud."""
    manifest = Site.open(site).manifest()
    labels = [f"{task['name']}:{name}" for task in manifest["tasks"] for name in task["labels"]["name"]]
    by_label = [("label", label) for label in labels[:9][-1:]]
    filtered = "#/?" + urlencode([*by_label, ("importance", "0.0001.."), ("map", "shape")])
    drawn = next((expert.number for expert in Expert.all_of(manifest) if expert.cloud_task is not None), None)
    found = {
        "list": View("#/"),
        "list-filtered": View(filtered),
        "list-empty": View("#/?q=the&importance=0.99.."),
        "list-search": View("#/?" + urlencode({"q": Plan.of(manifest, 1).word})),
        "table": View("#/?view=table"),
        "map-folded": View("#/?folded=1"),
        "map-tab": View("#/?tab=map", sizes=("phone",)),
        "map-coloured": View("#/?map=importance"),
        "drawer": View(filtered, press("^Filters"), sizes=("phone",)),
        "bookmarks": View("#/", star_three),
        "help": View("#/", ask_for_help),
        "token": View("#/token/the"),
        "expert": View(f"#/expert/{drawn}", scene),
        "fidelity": View("#/fidelity"),
        "about": View("#/about"),
    }
    return {name: view for name, view in found.items() if name != "expert" or drawn is not None}


def take(browser: Browser, site: Path, out: Path) -> list[str]:
    """Write a picture of every view at each size in each scheme; return what went wrong, a line for each."""
    wrong: list[str] = []
    for place, (name, view) in enumerate(views(site).items()):
        for size in view.sizes:
            for scheme in SCHEMES:
                width, height = SIZES[size]
                context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=scheme, offline=True)
                page = context.new_page()
                called = f"{place:02}-{name}-{size}-{scheme}"
                page.on("pageerror", lambda error, called=called: wrong.append(f"{called}: {error.message}"))
                open_view(page, site, view.route)
                view.act(page)
                page.wait_for_timeout(STILL)
                page.screenshot(path=out / f"{called}.png")
                context.close()
    return wrong


def open_view(page: Page, site: Path, route: str) -> None:
    """Open an address after the #, and wait until it is there."""
    page.goto((site / "index.html").absolute().as_uri() + route)
    page.locator("[data-page]:not([hidden])").first.wait_for()
    page.wait_for_function("() => /[0-9]/.test(document.querySelector('[data-count]').textContent)")
    page.wait_for_timeout(STILL)


def take_for_readme(browser: Browser, site: Path) -> None:
    """Write what fires on September, light and dark."""
    for scheme in SCHEMES:
        page = browser.new_page(viewport=README_SIZE, color_scheme=scheme)
        open_view(page, site, README_VIEW)
        page.wait_for_timeout(STILL)
        page.screenshot(path=README_FOLDER / f"months-{scheme}.png")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("site", type=Path, nargs="?", default=Path("site"))
    parser.add_argument("out", type=Path, nargs="?", default=Path("screenshots"))
    parser.add_argument("--readme", action="store_true", help="take the README's pictures instead")
    given = parser.parse_args()
    with started() as browser:
        if given.readme:
            return take_for_readme(browser, given.site)
        given.out.mkdir(parents=True, exist_ok=True)
        wrong = take(browser, given.site, given.out)
    if wrong:
        raise SystemExit("\n".join(wrong))


if __name__ == "__main__":
    main()
