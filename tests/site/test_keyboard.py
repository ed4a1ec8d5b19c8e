from __future__ import annotations

import re
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Locator, Page, expect

pytestmark = pytest.mark.browser
Open = Callable[[str], Page]
BY_NUMBER = "#/?sort=number"
"""Experts 0, 1, 2 … in this order."""


def helped(page: Page) -> dict[str, list[tuple[list[str], str]]]:
    """What the help says: of each table its rows, as keys and words."""
    found = (
        page.get_by_role("dialog", name="Keys and help")
        .get_by_role("table")
        .evaluate_all(
            """tables => tables.map(table => [table.caption.textContent,
          [...table.tBodies[0].rows].map(row => [[...row.querySelectorAll("kbd")].map(key => key.textContent), row.querySelector("th").textContent])])"""  # noqa: E501
        )
    )
    return {title: [(keys, words) for keys, words in rows] for title, rows in found}


def link(page: Page, expert: int) -> Locator:
    return page.get_by_role("list", name="Experts").get_by_role("link", name=f"Expert {expert}:")


def chosen(page: Page, expert: int | None) -> None:
    """Wait until the address says that this expert is chosen, or none."""
    page.wait_for_function(
        "at => new URLSearchParams(location.hash.split('?')[1]).get('at') === at", arg=None if expert is None else str(expert)
    )


def press(page: Page, *keys: str) -> None:
    names = {"↓": "ArrowDown", "↑": "ArrowUp", "←": "ArrowLeft", "→": "ArrowRight", "Esc": "Escape"}
    for key in keys:
        page.keyboard.press(names.get(key, key))


# --- one check for each row of the help: it is given the page on the list by number, and the row's keys ---


def search(page: Page, keys: list[str]) -> None:
    press(page, *keys)
    expect(page.get_by_role("searchbox", name="Search experts")).to_be_focused()
    press(page, "q", *keys)  # the key itself can be typed
    expect(page.get_by_role("searchbox", name="Search experts")).to_have_value("q" + "".join(keys))
    press(page, "Esc", "Esc")
    expect(page.get_by_role("searchbox", name="Search experts")).not_to_be_focused()


def to_results(page: Page, keys: list[str]) -> None:
    field = page.get_by_role("searchbox", name="Search experts")
    for key in keys:
        fresh(page)
        page.evaluate("atlas.route.set({ expert: 5 })")
        field.fill("months")
        press(page, key)  # at once: the search is still under way
        first = page.get_by_role("list", name="Experts").get_by_role("link").first
        expect(first).to_be_focused()
        expect(field).to_have_value("months")
        chosen(page, int(re.findall(r"\d+", first.get_attribute("aria-label") or "")[0]))
        assert page.get_by_role("listitem").filter(has=page.get_by_role("link", name=re.compile("^Expert"))).count() < 40
    field.fill("no expert has this")
    field.press("Enter")
    expect(field).to_be_focused()
    press(page, "Esc")
    expect(field).to_have_value("")
    expect(field).to_be_focused()


def help_itself(page: Page, keys: list[str]) -> None:
    press(page, *keys)
    dialog = page.get_by_role("dialog", name="Keys and help")
    expect(dialog).to_be_visible()
    press(page, "j", "Esc")  # what lies behind takes no keys
    expect(dialog).to_be_hidden()
    chosen(page, None)
    page.get_by_role("button", name="Help and keys").click()
    expect(dialog).to_be_visible()
    dialog.get_by_role("button", name="Close").click()
    expect(page.get_by_role("button", name="Help and keys")).to_be_focused()


def defined(page: Page, keys: list[str]) -> None:
    page.get_by_role("group", name="Importance").locator("summary").focus()
    press(page, *keys)
    expect(page.get_by_role("dialog", name="Importance", exact=True)).to_be_visible()
    press(page, "Esc")
    expect(page.get_by_role("dialog", name="Importance", exact=True)).to_be_hidden()


def back(page: Page, keys: list[str]) -> None:
    link(page, 2).click()
    expect(page.get_by_role("heading", name=re.compile("^Expert 2 "))).to_be_visible()
    press(page, *keys)
    expect(link(page, 2)).to_be_focused()


def escape(page: Page, keys: list[str]) -> None:
    press(page, "j")
    chosen(page, 0)
    press(page, *keys)
    chosen(page, None)


def following(page: Page, keys: list[str]) -> None:
    press(page, keys[0])
    chosen(page, 0)
    expect(link(page, 0)).to_be_focused()
    for expert, key in enumerate([*keys, *keys], start=1):
        press(page, key)
        chosen(page, expert)
        expect(link(page, expert)).to_be_focused()


def preceding(page: Page, keys: list[str]) -> None:
    page.evaluate("atlas.route.adjust({ at: 3 })")
    for expert, key in zip((2, 1), keys, strict=True):
        press(page, key)
        chosen(page, expert)


def across(page: Page) -> int:
    """How many experts stand beside each other."""
    tops: list[float] = (
        page.get_by_role("list", name="Experts")
        .get_by_role("listitem")
        .evaluate_all("items => items.map(item => item.getBoundingClientRect().top)")
    )
    return tops.count(tops[0])


def below(page: Page, keys: list[str]) -> None:
    press(page, "j", *keys)
    chosen(page, across(page))


def above(page: Page, keys: list[str]) -> None:
    page.evaluate("at => atlas.route.adjust({ at })", across(page) + 1)
    press(page, *keys)
    chosen(page, 1)


def opened(page: Page, keys: list[str]) -> None:
    page.evaluate("atlas.route.adjust({ at: 4 })")
    page.locator("body").evaluate("() => document.activeElement.blur()")
    press(page, *keys)
    expect(page.get_by_role("heading", name=re.compile("^Expert 4 "))).to_be_visible()


def bookmarked(page: Page, keys: list[str]) -> None:
    press(page, "j", *keys)
    expect(page.get_by_role("button", name="Bookmarks · 1")).to_be_visible()
    assert page.evaluate("atlas.marks.has(0)")
    press(page, *keys)
    expect(page.get_by_role("button", name="Bookmarks", exact=True)).to_be_visible()


def noted(page: Page, keys: list[str]) -> None:
    press(page, "j", *keys)
    field = page.get_by_role("dialog", name="Bookmarks and notes").get_by_role("textbox", name="Note on expert 0", exact=True)
    expect(field).to_be_focused()
    field.press_sequentially("jkgx/?")
    press(page, "Esc")
    assert page.evaluate("atlas.marks.note(0)") == "jkgx/?"


def table(page: Page, keys: list[str]) -> None:
    press(page, *keys)
    expect(page.get_by_role("table", name=re.compile("Experts"))).to_be_visible()
    press(page, *keys)
    expect(link(page, 0)).to_be_visible()


def mapped(page: Page, keys: list[str]) -> None:
    page.evaluate("atlas.route.adjust({ folded: true })")
    canvas = page.get_by_role("application", name=re.compile("^Map"))
    expect(canvas).to_be_hidden()
    press(page, *keys)
    expect(canvas).to_be_focused()
    press(page, "ArrowRight")
    chosen(page, None)  # it went from dot to dot


def unfiltered(page: Page, keys: list[str]) -> None:
    page.evaluate("atlas.route.set({ order: true, q: 'the' })")
    press(page, *keys)
    expect(page).to_have_url(re.compile(r"#/\?sort=number$"))


def stepped(by: int) -> Callable[[Page, list[str]], None]:
    def check(page: Page, keys: list[str]) -> None:
        page.evaluate("atlas.route.set({ expert: 5 })")
        press(page, *keys)
        expect(page.get_by_role("heading", name=re.compile(f"^Expert {5 + by} "))).to_be_visible()

    return check


def own_bookmark(page: Page, keys: list[str]) -> None:
    page.evaluate("atlas.route.set({ expert: 5 })")
    press(page, *keys)
    expect(page.get_by_role("button", name="Bookmark expert 5", exact=True)).to_have_attribute("aria-pressed", "true")


def own_note(page: Page, keys: list[str]) -> None:
    page.evaluate("atlas.route.set({ expert: 5 })")
    press(page, *keys)
    expect(page.get_by_role("textbox", name="Note on expert 5", exact=True)).to_be_focused()
    press(page, "Esc")
    expect(page.get_by_role("textbox", name="Note on expert 5", exact=True)).not_to_be_visible()


def cloud(page: Page) -> Locator:
    """The cloud of expert 0, as it is first seen, with the focus."""
    page.evaluate("atlas.route.set({ expert: 0 })")
    scene = page.get_by_role("group", name=re.compile("^Cloud of expert 0,"))
    expect(scene).to_have_attribute("data-ready", "", timeout=20_000)
    scene.focus()
    return scene


def turned(page: Page, keys: list[str]) -> None:
    cloud(page)
    seen = ""
    for key in keys[::2]:
        press(page, key)
        page.wait_for_function("seen => atlas.route.state.camera && atlas.route.state.camera !== seen", arg=seen)
        seen = page.evaluate("atlas.route.state.camera")


def nearer(page: Page, keys: list[str]) -> None:
    cloud(page)
    press(page, keys[0])
    page.wait_for_function("() => atlas.route.state.camera !== null")
    once = page.evaluate("Number(atlas.route.state.camera.split('_')[9])")
    press(page, keys[0])
    page.wait_for_function("once => Math.abs(Number(atlas.route.state.camera.split('_')[9]) / once - 1.25) < 0.01", arg=once)
    press(page, keys[1], keys[1])
    page.wait_for_function("() => atlas.route.state.camera === null")


def at_first(page: Page, keys: list[str]) -> None:
    cloud(page)
    press(page, "2")
    page.wait_for_function("() => atlas.route.state.camera === '2'")
    press(page, *keys)
    page.wait_for_function("() => atlas.route.state.camera === null")


def along(page: Page, keys: list[str]) -> None:
    cloud(page)
    for key in keys:
        press(page, key)
        page.wait_for_function("key => atlas.route.state.camera === key", arg=key)


def from_point_to_point(page: Page, keys: list[str]) -> None:
    cloud(page)
    tip = page.locator("[data-tip]")
    press(page, keys[0])
    expect(tip).to_be_visible()
    strongest = tip.inner_text()
    press(page, keys[0])
    expect(tip).not_to_have_text(strongest, use_inner_text=True)
    press(page, keys[1])
    expect(tip).to_have_text(strongest, use_inner_text=True)


def pinned(page: Page, keys: list[str]) -> None:
    cloud(page)
    press(page, ".", *keys)
    page.wait_for_function("() => atlas.route.state.pin !== null")


def all_in_sight(page: Page, keys: list[str]) -> None:
    cloud(page)
    press(page, *keys)
    expect(page.locator("[data-page=expert] [data-chosen]")).to_be_visible()


def let_go(page: Page, keys: list[str]) -> None:
    pinned(page, ["Enter"])
    press(page, *keys)
    page.wait_for_function("() => atlas.route.state.pin === null")


CHECKS: dict[str, dict[str, Callable[[Page, list[str]], None]]] = {
    "Everywhere": {
        "Search": search,
        "From the search to the first expert found": to_results,
        "This help": help_itself,
        "What the number is that has the focus or lies under the pointer": defined,
        "Back to the list": back,
        "Close what is open; else clear the search; else leave the field; else choose no expert": escape,
    },
    "In the list": {
        "Choose the next expert": following,
        "Choose the one before": preceding,
        "Choose in the row below": below,
        "Choose in the row above": above,
        "Open the chosen expert": opened,
        "Bookmark the chosen expert, or no longer": bookmarked,
        "Write a note on it": noted,
        "Gallery or table": table,
        "To the map": mapped,
        "Take back all filters": unfiltered,
    },
    "On an expert's page": {
        "The expert before, in the list's order": stepped(-1),
        "The next one": stepped(1),
        "Bookmark the expert, or no longer": own_bookmark,
        "Write a note on it": own_note,
    },
    "On a cloud that has the focus": {
        "Turn the cloud; move one without a third axis": turned,
        "Nearer, farther": nearer,
        "As it was at first": at_first,
        "Look along the first, second, third axis": along,
        "To the next point, the one before; the strongest first": from_point_to_point,
        "Pin the point": pinned,
        "Choose all points in sight": all_in_sight,
        "Give up a rectangle; else stop the spin; else unpin": let_go,
    },
}


def fresh(page: Page) -> None:
    """The list by number, with nothing chosen, found or bookmarked, and the keyboard nowhere."""
    page.evaluate(
        """() => {
          atlas.route.set({ ...atlas.route.DEFAULTS, sort: "number" });
          for (const { expert } of atlas.marks.all()) atlas.marks.put(expert, null);
          document.activeElement.blur();
        }"""
    )
    expect(link(page, 0)).to_be_visible()


def test_every_key_of_the_help_does_what_it_says(open_at: Open) -> None:
    page = open_at(BY_NUMBER)
    expect(link(page, 0)).to_be_visible()
    press(page, "?")
    rows = helped(page)
    press(page, "Esc")
    assert {title: [words for _, words in of] for title, of in rows.items()} == {title: list(of) for title, of in CHECKS.items()}
    for title, of in rows.items():
        for keys, words in of:
            fresh(page)
            assert keys, words
            CHECKS[title][words](page, keys)


@pytest.fixture
def listed(open_at: Open) -> Iterator[Page]:
    page = open_at(BY_NUMBER)
    expect(link(page, 0)).to_be_visible()
    yield page


def test_keys_leave_alone_what_others_use(listed: Page) -> None:
    # Shortcuts of the browser or the system.
    for key in ("Control+j", "Alt+j", "Meta+j"):
        press(listed, key)
        chosen(listed, None)
    # A select and a slider have the arrows themselves.
    sort = listed.get_by_role("combobox", name="Sort by")
    sort.focus()
    press(listed, "j")
    chosen(listed, None)
    # A link in the masthead has Enter itself, though an expert is chosen.
    press(listed, "Esc", "j")
    listed.get_by_role("link", name="About", exact=True).focus()
    press(listed, "Enter")
    expect(listed.get_by_role("heading", name="About this atlas")).to_be_visible()
    press(listed, "j", "g", "x")  # keys of the list do nothing on another page
    expect(listed.get_by_role("heading", name="About this atlas")).to_be_visible()


def test_keys_can_be_switched_off_and_stay_off(listed: Page) -> None:
    press(listed, "?")
    listed.get_by_role("checkbox", name="Keys with a letter or a sign are on").uncheck()
    press(listed, "Esc")
    listed.reload()
    expect(link(listed, 0)).to_be_visible()
    press(listed, "j", "?", "/")
    chosen(listed, None)
    expect(listed.get_by_role("dialog")).to_be_hidden()
    expect(listed.get_by_role("searchbox")).not_to_be_focused()
    press(listed, "ArrowRight")
    chosen(listed, 0)
    listed.get_by_role("button", name="Help and keys").click()
    listed.get_by_role("checkbox", name="Keys with a letter or a sign are on").check()
    press(listed, "Esc", "Esc", "j")
    chosen(listed, 0)


def test_what_a_key_does_is_told_at_its_control(listed: Page) -> None:
    told = {
        "/": listed.get_by_role("searchbox", name="Search experts"),
        "?": listed.get_by_role("button", name="Help and keys"),
        "m": listed.get_by_role("application", name=re.compile("^Map")),
    }
    for key, control in told.items():
        expect(control).to_have_attribute("aria-keyshortcuts", key)
