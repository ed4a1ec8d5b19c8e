"""A folder that was copied in part: what is missing is said in place, the rest is shown, and what is mended is read again."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
from playwright.sync_api import BrowserContext, Page, expect

pytestmark = pytest.mark.browser
HELD_BACK = """() => {
  const held = [];
  document.head.append = (script) => held.push(script);
  window.release = () => {
    delete document.head.append;
    document.head.append(...held);
  };
}"""
"""As by a slow disk or network, what a page asks for from then on waits for `release()`."""


@pytest.fixture
def copied(site: Path, tmp_path: Path) -> Path:
    return shutil.copytree(site, tmp_path / "copied")


def one(folder: Path, pattern: str) -> Path:
    (found,) = (folder / "data").glob(pattern)
    return found


def opened(context: BrowserContext, folder: Path, route: str) -> Page:
    page = context.new_page()
    page.goto((folder / "index.html").as_uri() + route)
    return page


@pytest.mark.parametrize("harm", ["missing", "cut", "empty"])
def test_an_order_that_cannot_be_read_leaves_the_list_in_its_first_order(
    context: BrowserContext, copied: Path, tmp_path: Path, harm: str
) -> None:
    order = one(copied, "orders/rate.*.js")
    whole = order.read_bytes()
    if harm == "missing":
        order.unlink()
    else:
        order.write_bytes(whole[:-20] if harm == "cut" else b"")

    page = opened(context, copied, "#/?sort=rate")
    said = "could not be read" if harm == "missing" else "is not whole"
    expect(page.get_by_role("alert")).to_contain_text(f"data/orders/{order.name} {said}. Bake the site again")
    expect(page.get_by_role("status")).to_have_text("40 experts")
    links = page.get_by_role("list", name="Experts").get_by_role("link")
    first = links.evaluate_all("links => links.map(link => link.textContent)")

    order.write_bytes(whole)
    page.get_by_role("checkbox", name=re.compile("order supported")).check()
    page.get_by_role("checkbox", name=re.compile("order supported")).uncheck()
    expect(page.get_by_role("alert")).to_have_count(0)
    expect(page.get_by_role("status")).to_have_text("40 experts")
    assert links.evaluate_all("links => links.map(link => link.textContent)") != first


@pytest.mark.parametrize(("pattern", "route"), [("labels/1.*.js", "label=months:May"), ("scores/1.*.js", "hypothesis=months:0")])
def test_a_filter_that_cannot_be_read_is_said_and_not_applied(
    context: BrowserContext, copied: Path, pattern: str, route: str
) -> None:
    one(copied, pattern).unlink()
    page = opened(context, copied, f"#/?{route}&order=1")
    expect(page.get_by_role("alert")).to_contain_text("could not be read")
    expect(page.get_by_role("button", name=re.compile("^Remove filter"))).to_have_count(1)
    expect(page.get_by_role("status")).to_have_text(re.compile(r"^[1-9]\d* of 40 experts$"))


def test_waiting_is_said_once_it_takes_long(context: BrowserContext, site: Path) -> None:
    page = opened(context, site, "")
    expect(page.get_by_role("status")).to_have_text("40 experts")
    page.evaluate(HELD_BACK)
    listing = page.locator("section[data-page=list]")
    page.get_by_role("combobox", name="Sort by").select_option("firing rate")
    expect(listing).to_have_attribute("aria-busy", "true")
    page.evaluate("release()")
    expect(listing).not_to_have_attribute("aria-busy", "true")


def test_what_was_waited_for_and_taken_back_is_no_longer_waited_for(context: BrowserContext, site: Path) -> None:
    page = opened(context, site, "")
    expect(page.get_by_role("status")).to_have_text("40 experts")
    page.evaluate(HELD_BACK)
    listing = page.locator("section[data-page=list]")
    page.get_by_role("combobox", name="Sort by").select_option("firing rate")
    expect(listing).to_have_attribute("aria-busy", "true")
    page.go_back()
    expect(page.get_by_role("combobox", name="Sort by")).to_have_value("importance")
    expect(listing).not_to_have_attribute("aria-busy", "true")
    page.evaluate("release()")


def test_without_one_tasks_scores_the_others_are_counted(context: BrowserContext, copied: Path) -> None:
    one(copied, "scores/2.*.js").unlink()
    page = context.new_page()
    wrong: list[str] = []
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.goto((copied / "index.html").as_uri() + "#/?score=0.1..")
    expect(page.get_by_role("alert")).to_contain_text("scores/2")
    tasks = page.locator("[data-facet=task] .choice")
    expect(tasks.filter(has_text="anything").locator(".amount")).to_have_text(re.compile(r"^\d+$"))
    expect(tasks.filter(has_text="Months").locator(".amount")).to_have_text(re.compile(r"^\d+$"))
    expect(tasks.filter(has_text="Numbers").locator(".amount")).to_have_text("")
    assert not wrong
