"""Waiting for what a page paints, which comes in the frames after what it says."""

from __future__ import annotations

from collections.abc import Iterable

from playwright.sync_api import Page

PAINT = """frames => new Promise((done) => {
  const next = (left) => requestAnimationFrame(() => (left > 1 ? next(left - 1) : done()));
  next(frames);
})"""


def painted(page: Page, frames: int = 2) -> None:
    """Wait until this many frames were painted: what was asked for before has been measured, laid out and drawn then."""
    page.evaluate(PAINT, frames)


def point_out(page: Page, places: Iterable[tuple[float, float]]) -> None:
    """Move the pointer from place to place until the scene tells of a point there, and goes on telling of it."""
    tip = page.locator("[data-tip]")
    for x, y in places:
        page.mouse.move(x, y)
        painted(page)
        if tip.is_visible():
            # It may still have been of the place before.
            painted(page)
            if tip.is_visible():
                return
