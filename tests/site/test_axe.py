"""What Axe finds on every page type and state: nothing serious, light and dark, wide and on a phone."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pytest
from frames import painted
from playwright.sync_api import Page, expect

pytestmark = pytest.mark.browser
Open = Callable[[str], Page]
AXE = (Path(__file__).parents[1] / "vendor" / "axe-core" / "axe.min.js").read_text(encoding="utf-8")
SIZES = {"wide": {"width": 1440, "height": 900}, "phone": {"width": 390, "height": 844}}
REFUSED = ("serious", "critical")
# Axe would ask for the styles again, which the page's policy forbids. Only one rule needs them: whether they turn the page round.
RUN = """async (rules) => {
  const runOnly = rules.length ? { runOnly: { type: "rule", values: rules } } : {};
  const { violations } = await axe.run(document, { preload: false, resultTypes: ["violations"], ...runOnly });
  const placed = (nodes) => nodes.map(({ target, failureSummary }) => [String(target), failureSummary]);
  return violations.map(({ id, impact, help, nodes }) => ({ id, impact, help, nodes: placed(nodes) }));
}"""


def violations(page: Page, *rules: str) -> list[dict[str, Any]]:
    """Return what Axe finds by these rules, or by all."""
    if not page.evaluate("() => 'axe' in window"):
        page.evaluate(AXE)
    found: list[dict[str, Any]] = page.evaluate(RUN, rules)
    return found


def refused(found: Sequence[dict[str, Any]]) -> list[str]:
    """Return a line for every serious thing, with where it is."""
    return [
        f"{one['impact']} {one['id']} ({one['help']}): {target}: {' '.join(why.split())}"
        for one in found
        if one["impact"] in REFUSED
        for target, why in one["nodes"]
    ]


def press(name: str) -> Callable[[Page], None]:
    return lambda page: page.get_by_role("button", name=re.compile(name)).first.click()


def list_of_experts(page: Page) -> None:
    expect(page.get_by_role("list", name="Experts").get_by_role("listitem").first).to_be_visible()


def choose(page: Page) -> None:
    list_of_experts(page)
    page.keyboard.press("j")


def table(page: Page) -> None:
    expect(page.get_by_role("table", name="Experts").get_by_role("row").nth(1)).to_be_visible()


def columns(page: Page) -> None:
    table(page)
    press("^Columns")(page)


def help_and_keys(page: Page) -> None:
    press("^Help")(page)
    expect(page.get_by_role("dialog", name="Keys and help")).to_be_visible()


def bookmarks(page: Page) -> None:
    page.get_by_role("list", name="Experts").get_by_role("button", name=re.compile("^Bookmark")).first.click()
    press("^Bookmarks")(page)
    expect(page.get_by_role("dialog", name="Bookmarks and notes")).to_be_visible()


def drawer(page: Page) -> None:
    press("^Filters")(page)
    expect(page.get_by_role("form", name="Filters")).to_be_visible()


def nothing(page: Page) -> None:
    expect(page.locator("[data-empty]")).to_be_visible()


def heading(text: str) -> Callable[[Page], None]:
    return lambda page: expect(page.get_by_role("heading", name=re.compile(text), level=2)).to_be_visible()


def expert(page: Page) -> None:
    page.locator("[data-scene][data-ready]").wait_for()


def selected(page: Page) -> None:
    page.locator("[data-projections][data-ready]").wait_for()
    press("^Select all")(page)


def task(page: Page) -> None:
    page.get_by_text("The same as a table").click()
    expect(page.locator("[data-task-table] tbody tr").first).to_be_visible()
    page.locator(".passage").first.wait_for()


def beside(page: Page) -> None:
    expect(page.locator("[data-projections] svg:visible").last).to_be_visible()
    expect(page.locator("[data-beside-facts] tr").first).to_be_visible()


def prompt(page: Page) -> None:
    expect(page.get_by_role("grid")).to_be_visible()


def whole_map(page: Page) -> None:
    expect(page.get_by_role("application")).to_be_visible()


def definition(page: Page) -> None:
    expert(page)
    page.get_by_role("button", name="adjusted p").last.click()
    expect(page.get_by_role("dialog", name="p of a shape")).to_be_visible()


@dataclass(frozen=True)
class State:
    """A page type, and what a reader does there before it is looked at."""

    route: str
    reach: Callable[[Page], None]
    sizes: tuple[str, ...] = tuple(SIZES)


STATES = {
    "list": State("#/", choose),
    "list, narrowed": State("#/?label=months:May&importance=0.0001..&shape=ring&map=rate", list_of_experts),
    "list, with a search": State("#/?q=may", list_of_experts),
    "list, empty": State("#/?q=zzqqxx&shape=ring", nothing),
    "table": State("#/?view=table", table),
    "table, its columns": State("#/?view=table", columns, ("wide",)),
    "filters in a drawer": State("#/?label=months:May", drawer, ("phone",)),
    "map": State("#/?tab=map", whole_map, ("phone",)),
    "help": State("#/", help_and_keys),
    "bookmarks": State("#/", bookmarks),
    "token": State("#/token/the", heading("the")),
    "expert": State("#/expert/0", expert),
    "expert, flat": State("#/expert/0?colour=months&flat=1&only=May&pin=3", selected),
    "a definition": State("#/expert/0", definition, ("phone",)),
    "task": State("#/task/months", task),
    "cluster": State("#/cluster/0", heading("Cluster")),
    "two experts": State("#/beside/0/8?flat=1", beside),
    "fidelity": State("#/fidelity", heading("Fidelity")),
    "about": State("#/about", heading("About")),
    "provenance": State("#/provenance", heading("Provenance")),
    "prompt": State("#/prompt/1?only=8", prompt),
}


def turn_to(scheme: Literal["light", "dark"], page: Page) -> None:
    """Change the scheme, and wait until a frame was drawn in it."""
    page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
    page.wait_for_function("scheme => matchMedia(`(prefers-color-scheme: ${scheme})`).matches", arg=scheme)
    painted(page)


@pytest.mark.parametrize("size", SIZES)
def test_axe_finds_nothing_serious(size: str, open_at: Open, quiet_page: Page) -> None:
    quiet_page.set_viewport_size(SIZES[size])
    wrong: list[str] = []
    for name, state in STATES.items():
        if size not in state.sizes:
            continue
        quiet_page.goto("about:blank")  # no state begins where the one before was left
        turn_to("light", quiet_page)
        page = open_at(state.route)
        state.reach(page)
        wrong += [f"{name}: {line}" for line in refused(violations(page))]
        turn_to("dark", page)
        wrong += [f"{name}, dark: {line}" for line in refused(violations(page, "color-contrast"))]

    assert not wrong, "\n".join(wrong)


def test_what_axe_would_find_is_found(open_at: Open) -> None:
    page = open_at("#/about")
    page.evaluate("""() => {
      const nameless = document.createElement("button");
      nameless.style.width = "20px";
      document.querySelector("main").append(nameless);
    }""")

    assert [line for line in refused(violations(page)) if line.startswith("critical button-name")]
