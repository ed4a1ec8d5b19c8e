"""Who goes on while something loads, or meets a file that cannot be read, sees nothing of one thing under another's name."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from frames import painted
from playwright.sync_api import Locator, Page, expect

pytestmark = pytest.mark.browser
Open = Callable[[str], Page]
HOLD = """(part) => {
  const held = [];
  const append = (script) => Element.prototype.append.call(document.head, script);
  document.head.append = (script) => (script.src.includes(part) ? held.push(script) : append(script));
  window.release = () => { delete document.head.append; document.head.append(...held); };
}"""
"""A file whose name holds this waits for `release()`, as on a slow disk or network."""
SPOIL = """(part) => {
  const append = (script) => Element.prototype.append.call(document.head, script);
  document.head.append = (script) => (script.src.includes(part) ? script.onerror() : append(script));
  window.mend = () => { delete document.head.append; };
}"""
"""A file whose name holds this cannot be read until `mend()`."""

SHARD = """async (expert) => {
  const { experts, shards } = atlas.columns.decoded(await atlas.payloads.load("atlas"));
  return Math.floor(experts.expert.indexOf(expert) / shards.experts);
}"""


def of(page: Page, family: str, expert: int) -> str:
    """Return the name of the payload of a family that holds an expert."""
    return f"{family}/{page.evaluate(SHARD, expert)}"


def go(page: Page, address: str) -> Locator:
    """Go to an address by its own link; return the section of its page."""
    page.evaluate("address => { location.hash = address; }", address)
    section = page.locator(f"section[data-page={address.split('/')[1]}]")
    expect(section).to_be_visible()
    return section


def ready(section: Locator) -> None:
    """Wait until every cloud of a page is drawn."""
    for scene in section.locator("[data-scene]").all():
        expect(scene).to_have_attribute("data-ready", "", timeout=60_000)
        expect(scene).to_be_visible()


def released(page: Page, payload: str) -> None:
    """Let what was held come, and wait until it is here and what it leads to is painted."""
    page.evaluate("release()")
    page.wait_for_function("name => atlas.payloads.isHere(name)", arg=payload)
    painted(page, 4)


def test_what_comes_after_the_reader_has_gone_on_is_let_go(open_at: Open) -> None:
    page = open_at("#/expert/0")
    expert, beside = (page.locator(f"section[data-page={name}]") for name in ("expert", "beside"))
    ready(expert)
    # Nothing of expert 0 stands under the name of expert 8, which then comes while two others stand side by side.
    held = of(page, "experts", 8)
    page.evaluate(HOLD, f"{held}.")
    go(page, "#/expert/8")
    expect(expert.locator("[data-heading]")).to_contain_text("Expert 8")
    for part in ("[data-sayings]", "[data-scene]", "[data-save=csv]", "[data-neighbours]"):
        expect(expert.locator(part)).to_be_hidden()
    go(page, "#/beside/0/16")
    expect(beside.locator("[data-stage]")).to_have_count(2)
    released(page, held)
    expect(beside.locator("[data-stage]")).to_have_count(2)
    ready(beside)
    left, right = (scene.bounding_box() for scene in beside.locator("[data-scene]").all())
    assert left and right and left["y"] == right["y"]
    expect(beside.locator("[data-scene]").first).to_have_attribute("aria-label", re.compile("^Cloud of expert 0,"))

    # The other way round: what two experts wait for does not take the stage from the page of one.
    held = of(page, "experts", 24)
    page.evaluate(HOLD, f"{held}.")
    go(page, "#/beside/0/24")
    expect(beside.locator(".pair").first).to_be_hidden()
    go(page, "#/expert/0")
    released(page, held)
    expect(expert.locator("[data-stage]")).to_have_count(1)
    ready(expert)

    # Wider contexts come though the cloud is turned meanwhile.
    contexts = expert.locator("[data-contexts]")
    narrow = contexts.inner_text()
    held = of(page, "windows", 0)
    page.evaluate(HOLD, f"{held}.")
    page.get_by_role("button", name="24", exact=True).click()
    page.evaluate("atlas.route.adjust({ camera: '1' })")
    assert contexts.inner_text() == narrow
    released(page, held)
    expect(contexts).not_to_have_text(narrow, use_inner_text=True)
    # Links that stay lead on with the list as it is now.
    go(page, "#/expert/0?q=month")
    for link in (expert.locator(".near a").first, expert.locator("[data-places] a").first):
        expect(link).to_have_attribute("href", re.compile("q=month"))


def test_a_task_is_the_one_of_its_name(open_at: Open) -> None:
    page = open_at("#/task/months")
    task = page.locator("section[data-page=task]")
    about = task.locator("[data-task-about]")
    expect(about).to_be_visible()
    months = about.inner_text()
    page.evaluate(HOLD, "scores/2.")
    go(page, "#/task/numbers")
    expect(about).to_be_hidden()
    go(page, "#/task/months")
    released(page, "scores/2")
    expect(about).to_be_visible()
    expect(about).to_have_text(months)
    expect(page.get_by_role("heading", level=2, name="Months")).to_be_visible()

    go(page, "#/task/nonsense")
    expect(page.get_by_role("alert")).to_contain_text("no labelled task of that name")
    expect(about).to_be_hidden()
    page.go_back()
    expect(about).to_be_visible()
    expect(page.get_by_role("alert")).to_have_count(0)
    go(page, "#/task/months?q=month")
    for link in (task.locator(".heat-names a").first, task.locator("[data-task-leaders] th a").first):
        expect(link).to_have_attribute("href", re.compile("q=month"))


def test_what_cannot_be_read_leaves_nothing_of_another_and_is_read_again(open_at: Open) -> None:
    page = open_at("#/about")
    expert = page.locator("section[data-page=expert]")
    # The sentences of its own task: its findings are there, its cloud comes once they can be read.
    page.evaluate(SPOIL, "tasks/1.")
    go(page, "#/expert/0")
    expect(page.get_by_role("alert")).to_contain_text("could not be read")
    expect(expert.locator("[data-sayings]")).to_be_visible()
    expect(expert.locator("[data-save=csv]")).to_be_hidden()
    page.evaluate("mend()")
    page.evaluate("atlas.route.adjust({ camera: '1' })")
    ready(expert)
    expect(page.get_by_role("alert")).to_have_count(0)

    for unread, address in ((8, "#/expert/8"), (16, "#/beside/0/16")):
        page.evaluate(SPOIL, f"{of(page, 'experts', unread)}.")
        section = go(page, address)
        expect(page.get_by_role("alert")).to_contain_text("could not be read")
        expect(section.locator("[data-body]")).to_be_hidden()
        page.evaluate("mend()")
        page.evaluate("atlas.route.adjust({ camera: '2' })")
        expect(page.get_by_role("alert")).to_have_count(0)
        expect(section.locator("[data-body]")).to_be_visible()
