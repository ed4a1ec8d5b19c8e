from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect

pytestmark = pytest.mark.browser
Open = Callable[[str], Page]
HOSTILE = "<img src=x onerror=alert(1)> &amp; שלום"
KEPT = """() => Object.fromEntries(Object.keys(localStorage).filter(key => key.startsWith("atlas:"))
  .map(key => [key, JSON.parse(localStorage[key])]))"""


def kept(page: Page) -> dict[int, tuple[bool, str]]:
    """What the browser keeps: whether an expert is bookmarked, and its note."""
    return {int(key.split(":")[2]): (mark["starred"], mark["note"]) for key, mark in page.evaluate(KEPT).items()}


def panel(page: Page) -> Locator:
    """Open the panel, if it is not, and return it."""
    dialog = page.get_by_role("dialog", name="Bookmarks and notes")
    if not dialog.is_visible():
        page.get_by_role("button", name=re.compile("^Bookmarks")).click()
    return dialog


def cards(page: Page) -> Locator:
    return page.get_by_role("list", name="Experts").get_by_role("listitem")


def card_star(page: Page, expert: int) -> Locator:
    return page.get_by_role("list", name="Experts").get_by_role("button", name=f"Bookmark expert {expert}", exact=True)


def star(page: Page, *experts: int) -> None:
    """In the list: it is there at once, which a scene is not."""
    for expert in experts:
        card_star(page, expert).click()


def write(page: Page, expert: int, note: str) -> None:
    dialog = panel(page)
    page.evaluate("expert => atlas.bookmarks.write(expert)", expert)
    dialog.get_by_role("textbox", name=f"Note on expert {expert}", exact=True).fill(note)
    dialog.get_by_role("button", name="Close").click()


def exported(page: Page) -> dict[str, Any]:
    with page.expect_download() as download:
        panel(page).get_by_role("button", name="Export").click()
    found: dict[str, Any] = json.loads(Path(download.value.path()).read_text(encoding="utf-8"))
    return found


def choose(page: Page, text: str) -> None:
    with page.expect_file_chooser() as chooser:
        panel(page).get_by_role("button", name="Import").click()
    chooser.value.set_files({"name": "bookmarks.json", "mimeType": "application/json", "buffer": text.encode()})


def forget(page: Page) -> None:
    """As another reader's browser is."""
    page.evaluate("localStorage.clear()")
    page.reload()
    expect(page.get_by_role("button", name="Bookmarks", exact=True)).to_be_visible()


def mark(expert: Any, starred: Any = True, note: Any = "", changed: Any = "2026-01-02T03:04:05.000Z") -> dict[str, Any]:
    return {"expert": expert, "starred": starred, "note": note, "changed": changed}


def file(page: Page, *marks: Any) -> str:
    identity = page.evaluate("atlas.marks.json().atlas")
    return json.dumps({"atlas": identity, "title": "An atlas", "marks": list(marks)})


def test_a_star_and_a_note_are_kept(open_at: Open) -> None:
    page = open_at("#/expert/5")
    button = page.get_by_role("button", name="Bookmark expert 5", exact=True)
    expect(button).to_have_attribute("aria-pressed", "false")
    button.click()
    expect(button).to_have_attribute("aria-pressed", "true")
    expect(page.get_by_role("button", name="Bookmarks · 1")).to_be_visible()
    page.get_by_role("button", name="Write a note").click()
    field = page.get_by_role("textbox", name="Note on expert 5", exact=True)
    expect(field).to_be_focused()
    field.press_sequentially(HOSTILE)
    page.reload()  # sooner than the pause after the last letter
    expect(button).to_have_attribute("aria-pressed", "true")
    expect(field).to_have_value(HOSTILE)
    assert kept(page) == {5: (True, HOSTILE)}
    # Another expert's page has its own.
    page.evaluate("atlas.route.set({ expert: 6 })")
    expect(page.get_by_role("button", name="Bookmark expert 6", exact=True)).to_have_attribute("aria-pressed", "false")
    expect(page.get_by_role("textbox")).to_have_count(0)
    page.evaluate("atlas.route.set({ expert: 999 })")
    expect(page.get_by_role("button", name=re.compile("^Bookmark expert"))).to_have_count(0)


def test_two_tabs_lose_nothing(open_at: Open) -> None:
    one = open_at("#/")
    other = one.context.new_page()
    other.goto(one.url)
    star(one, 1)
    star(other, 2, 3)
    star(one, 4)
    expect(one.get_by_role("button", name="Bookmarks · 4")).to_be_visible()
    expect(other.get_by_role("button", name="Bookmarks · 4")).to_be_visible()
    star(other, 4)  # it is seen as bookmarked there too, so this takes it back
    expect(card_star(one, 4)).to_have_attribute("aria-pressed", "false")
    expect(one.get_by_role("button", name="Bookmarks · 3")).to_be_visible()
    for page in (one, other):
        panel(page)
        page.evaluate("atlas.bookmarks.write(7)")
    one.get_by_role("textbox", name="Note on expert 7").fill("from one")
    expect(other.get_by_role("textbox", name="Note on expert 7")).to_have_value("from one")
    other.get_by_role("textbox", name="Note on expert 7").press_sequentially(" and the other")
    expect(one.get_by_role("textbox", name="Note on expert 7")).to_have_value("from one and the other")
    assert kept(one) == {1: (True, ""), 2: (True, ""), 3: (True, ""), 7: (False, "from one and the other")}


def test_a_note_that_another_tab_wrote_meanwhile_is_kept_beside_ours(open_at: Open) -> None:
    page = open_at("#/")
    panel(page)
    page.evaluate("atlas.bookmarks.write(7)")
    field = page.get_by_role("textbox", name="Note on expert 7", exact=True)
    # Nobody tells this page, as where pages from disk have a storage event for none.
    page.evaluate(
        """const theirs = { starred: true, note: "theirs", changed: 1 };
        localStorage.setItem(`atlas:${atlas.marks.json().atlas}:7`, JSON.stringify(theirs));"""
    )
    field.fill("ours")
    field.blur()
    expect(field).to_have_value("theirs\n\nours")
    assert kept(page) == {7: (True, "theirs\n\nours")}


def test_the_panel_lists_removes_and_takes_back(open_at: Open) -> None:
    page = open_at("#/")
    dialog = panel(page)
    expect(dialog).to_contain_text("Nothing yet.")
    for name in ("Export", "Copy a link with these", "Show the bookmarked in the list"):
        expect(dialog.get_by_role("button", name=name)).to_be_disabled()
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    expect(page.get_by_role("button", name="Bookmarks", exact=True)).to_be_focused()
    star(page, 12, 4)
    write(page, 9, HOSTILE)
    dialog = panel(page)
    items = dialog.get_by_role("list", name="Bookmarked experts and notes").get_by_role("listitem")
    assert [re.search(r"\d+", text).group() for text in items.all_text_contents()] == ["4", "9", "12"]  # type: ignore[union-attr]
    expect(items.nth(1).get_by_role("textbox")).to_have_value(HOSTILE)
    expect(items.nth(1).get_by_role("button", name="Bookmark expert 9")).to_have_attribute("aria-pressed", "false")
    items.nth(1).get_by_role("button", name="Remove expert 9").click()
    expect(dialog.get_by_role("button", name="Undo")).to_be_focused()
    assert kept(page).keys() == {4, 12}
    page.keyboard.press("Enter")
    expect(items.nth(1).get_by_role("button", name="Remove expert 9")).to_be_focused()
    assert kept(page)[9] == (False, HOSTILE)
    dialog.get_by_role("button", name="Show the bookmarked in the list").click()
    expect(page).to_have_url(re.compile(r"#/\?marked=1$"))
    expect(cards(page)).to_have_count(2)
    panel(page).get_by_role("link", name=re.compile("^12 ")).click()
    expect(dialog).to_be_hidden()
    expect(page).to_have_url(re.compile(r"#/expert/12"))


def test_what_is_exported_is_imported_elsewhere(open_at: Open) -> None:
    page = open_at("#/")
    star(page, 2, 3)
    write(page, 3, "a ring\nof months")
    found = exported(page)
    assert [(one["expert"], one["starred"], one["note"]) for one in found["marks"]] == [
        (2, True, ""),
        (3, True, "a ring\nof months"),
    ]
    assert found["title"].startswith("Atlas of ") and found["atlas"] and all(one["title"] for one in found["marks"])
    forget(page)
    star(page, 3, 4)
    write(page, 3, "unlike the others")
    choose(page, json.dumps(found))
    expect(panel(page).get_by_role("status")).to_have_text("1 expert added, 1 expert joined with what was here.")
    wanted = {2: (True, ""), 3: (True, "a ring\nof months\n\nunlike the others"), 4: (True, "")}
    assert kept(page) == wanted
    choose(page, json.dumps(found))
    expect(panel(page).get_by_role("status")).to_have_text("Nothing new: all of them were here already.")
    assert kept(page) == wanted


def test_merging_does_not_depend_on_which_comes_first(open_at: Open) -> None:
    page = open_at("#/")
    old = [mark(1, False, "x", "2026-01-01T00:00:00Z"), mark(2, True), mark(3, False, "same")]
    new = [mark(1, True, "y", "2026-02-01T00:00:00Z"), mark(3, True, "same"), mark(4, False, "z")]
    ends = []
    for first, second in ((old, new), (new, old)):
        page.evaluate(
            "([one, other]) => { for (const text of [one, other]) atlas.marks.merge(atlas.marks.read(text)); }",
            [file(page, *first), file(page, *second)],
        )  # noqa: E501
        ends.append(kept(page))
        changed = page.evaluate("atlas.marks.get(1).changed")
        assert changed == page.evaluate("Date.parse('2026-02-01')")
        forget(page)
    assert ends[0] == ends[1] == {1: (True, "x\n\ny"), 2: (True, ""), 3: (True, "same"), 4: (False, "z")}


REFUSED_FILES: list[tuple[str | list[Any], str]] = [
    ("{", "The file is not JSON"),
    ("[1, 2]", "The file holds no bookmarks"),
    ('{"atlas": "0123", "title": "Atlas of another", "marks": []}', "bookmarks of another atlas, “Atlas of another”"),
    ([mark(1), mark(40)], "Bookmark 2 in the file is of expert 40, which this atlas does not have"),
    ([mark(1), mark("2")], "Bookmark 2 in the file names no expert"),
    ([mark(1), mark(2, starred="yes")], "Bookmark 2 in the file does not say whether it has a star and a note"),
    ([mark(1), mark(2), mark(2, note=None)], "Bookmark 3 in the file does not say whether it has a star and a note"),
    ([mark(1), mark(2, note="n" * 10_001)], "has a note of more than 10,000 characters"),
    ([mark(1), mark(2, changed="yesterday")], "does not say when it was changed"),
    ([None], "Bookmark 1 in the file names no expert"),
    (" " * 5_000_001, "larger than 5 MB"),
    ([mark(1), mark(2, note="a" * 6000), mark(2, note="b" * 6000)], "The two notes on expert 2 together have more than"),
]


def test_a_file_that_is_not_ours_changes_nothing_and_is_said_to_be_none(open_at: Open) -> None:
    page = open_at("#/")
    star(page, 8)
    for marks, said in REFUSED_FILES:  # one page for all: it must take the next file after each
        choose(page, marks if isinstance(marks, str) else file(page, *marks))
        expect(panel(page).get_by_role("status")).to_contain_text(said)
        assert kept(page) == {8: (True, "")}, said
    choose(page, file(page, mark(1)))
    expect(panel(page).get_by_role("status")).to_have_text("1 expert added.")


def link(page: Page) -> str:
    """The address that the panel offers where the clipboard is refused."""
    page.evaluate("Object.defineProperty(navigator, 'clipboard', { value: undefined, configurable: true })")
    dialog = panel(page)
    dialog.get_by_role("button", name="Copy a link with these").click()
    field = dialog.get_by_role("textbox", name="Copy the link from here")
    expect(field).to_be_focused()
    assert field.evaluate("field => field.value.slice(field.selectionStart, field.selectionEnd) === field.value")
    return field.input_value()


def brought(page: Page) -> Locator:
    return page.get_by_role("region", name="Bookmarks in this link")


def test_a_link_brings_bookmarks_that_are_kept_when_the_reader_says_so(open_at: Open) -> None:
    page = open_at("#/")
    star(page, 2, 30)
    write(page, 7, HOSTILE)
    address = link(page)
    assert re.search(r"#/\?marks=\w+\.2\.7\*\*[\w-]+\.30$", address)
    forget(page)
    star(page, 4)
    page.goto(address)
    expect(brought(page)).to_contain_text("This link brings 2 bookmarks and 1 note.")
    assert kept(page) == {4: (True, "")}
    page.get_by_role("button", name="Show them only").click()
    expect(cards(page)).to_have_count(3)
    assert kept(page) == {4: (True, "")}
    page.reload()  # the address has it all
    expect(brought(page)).to_contain_text("the list shows only these")
    expect(cards(page)).to_have_count(3)
    page.get_by_role("button", name="Keep them").click()
    expect(brought(page)).to_contain_text("3 experts added.")
    expect(page.get_by_role("button", name="Dismiss")).to_be_focused()
    expect(cards(page)).to_have_count(3)  # bookmarked: 2, 4, 30
    assert kept(page) == {2: (True, ""), 4: (True, ""), 7: (False, HOSTILE), 30: (True, "")}
    page.get_by_role("button", name="Dismiss").click()
    expect(brought(page)).to_be_hidden()
    expect(page).to_have_url(re.compile(r"#/\?marked=1$"))


def test_a_link_that_is_dismissed_leaves_nothing(open_at: Open) -> None:
    page = open_at("#/")
    star(page, 2)
    address = link(page)
    forget(page)
    page.goto(address)
    page.get_by_role("button", name="Show them only").click()
    expect(cards(page)).to_have_count(1)
    page.get_by_role("button", name="Dismiss").click()
    expect(brought(page)).to_be_hidden()
    expect(cards(page)).to_have_count(40)
    assert kept(page) == {}


def test_the_link_is_copied_where_the_browser_lets_it(open_at: Open) -> None:
    page = open_at("#/")
    star(page, 2)
    page.evaluate(
        "Object.defineProperty(navigator, 'clipboard', { value: { writeText: async (text) => { globalThis.copied = text; } } })"
    )
    panel(page).get_by_role("button", name="Copy a link with these").click()
    expect(panel(page).get_by_role("status")).to_have_text("The link is copied.")
    assert page.evaluate("copied").endswith(".2")


REFUSED_LINKS = {
    "ID.2*": "cannot be read",
    "ID.2x": "cannot be read",
    "ID.2*%2B%2B": "cannot be read",
    "ID.2*_w": "cannot be read",  # no UTF-8
    "ID": "cannot be read",
    "ID.2.40": "expert 40, which this atlas does not have",
    "0123.2": "are of another atlas",
}


def test_a_link_that_cannot_be_read_says_so(open_at: Open) -> None:
    page = open_at("#/")
    identity = page.evaluate("atlas.marks.json().atlas")
    for text, said in REFUSED_LINKS.items():
        page.evaluate("text => { location.hash = `#/?marks=${text}`; }", text.replace("ID", identity))
        expect(brought(page)).to_contain_text(said)
        expect(page.get_by_role("button", name="Keep them")).to_be_hidden()
        page.get_by_role("button", name="Dismiss").click()
        expect(brought(page)).to_be_hidden()
    assert kept(page) == {}


REFUSED = "Object.defineProperty(globalThis, 'localStorage', { get() { throw new DOMException('refused', 'SecurityError'); } })"
FULL = "Storage.prototype.setItem = () => { throw new DOMException('full', 'QuotaExceededError'); }"


@pytest.mark.parametrize(
    ("script", "said"), [(REFUSED, "keeps nothing for this page"), (FULL, "has no room left")], ids=["refused", "full"]
)
def test_without_storage_marks_last_until_the_page_closes_and_that_is_said(
    quiet_page: Page, site: Path, script: str, said: str
) -> None:
    quiet_page.add_init_script(script)
    quiet_page.goto((site / "index.html").as_uri())
    star(quiet_page, 3)
    write(quiet_page, 3, "mine")
    expect(quiet_page.get_by_role("button", name="Bookmarks · 1")).to_be_visible()
    expect(panel(quiet_page).get_by_role("alert")).to_contain_text(said)
    assert [one["note"] for one in exported(quiet_page)["marks"]] == ["mine"]


def test_what_storage_holds_of_others_is_left_alone(quiet_page: Page, site: Path) -> None:
    quiet_page.goto((site / "index.html").as_uri())
    identity = quiet_page.evaluate("atlas.marks.json().atlas")
    held = {"atlas:other:3": '{"starred": true}', f"atlas:{identity}:2": "{broken", f"atlas:{identity}:99": '{"starred": true}'}
    quiet_page.evaluate("held => Object.entries(held).forEach(([key, text]) => localStorage.setItem(key, text))", held)
    quiet_page.reload()
    expect(quiet_page.get_by_role("button", name="Bookmarks", exact=True)).to_be_visible()
    expect(panel(quiet_page)).to_contain_text("Nothing yet.")
    assert quiet_page.evaluate("keys => keys.every(key => localStorage.getItem(key) !== null)", list(held))
