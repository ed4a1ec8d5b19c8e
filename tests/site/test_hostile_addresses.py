"""Whatever stands in an address, a file of bookmarks or the browser's storage: used, passed over, or refused in a sentence."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from hostile import everything

pytestmark = pytest.mark.browser
Open = Callable[[str], Page]
KEYS = (
    *(
        "q",
        "task",
        "order",
        "hypothesis",
        "label",
        "mode",
        "fires",
        "shape",
        "cluster",
        "activity",
        "marked",
        "score",
        "coverage",
    ),
    *("importance", "rate", "mean_norm", "effective_dimension", "dimensions_needed", "area", "sort", "view", "columns", "map"),
    *("place", "folded", "tab", "at", "marks", "corpus", "reach", "colour", "seen", "camera", "pin", "only", "without", "flat"),
    "join",
)
PLACES = ("", "expert/", "beside/", "token/", "task/", "cluster/", "prompt/", "about/", "expert/0", "task/months")
VISIT = """async (addresses) => {
  for (const address of JSON.parse(addresses)) {
    location.hash = address;
    await new Promise((resolve) => { setTimeout(resolve); });
  }
}"""


def visit(page: Page, addresses: list[str]) -> None:
    """Go through the addresses as fast as their pages are asked for, then to the list, which must stand."""
    page.evaluate(VISIT, json.dumps(addresses))
    page.evaluate("() => { location.hash = '#/?sort=number'; }")
    expect(page.locator("[data-count]").first).to_have_text("40 experts", timeout=60_000)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_hostile_words_in_every_part_of_an_address_break_nothing(open_at: Open) -> None:
    page = open_at("")
    texts = [text[:20_000] for text in everything()]
    by_turns = [f"#/{PLACES[at % len(PLACES)]}{text}?{KEYS[at % len(KEYS)]}={text}" for at, text in enumerate(texts)]
    in_all = [f"#/?{'&'.join(f'{key}={text}' for key in KEYS)}" for text in texts[::37]]
    visit(page, by_turns + in_all)


@pytest.mark.parametrize(
    "address",
    [
        "#/expert/999999999",
        "#/beside/0/999999999",
        "#/%E0%A4%A",
        "#/token/%",
        "#/token/%ED%A0%80",
        "#/prompt/-1",
        "#/?place=1e308,-1e308,1e308",
        "#/?place=NaN,Infinity,0",
        "#/expert/0?camera=" + "_".join(["1e300"] * 10),
        "#/expert/0?camera=0_0_0_0_0_0_0_0_0_0",
        "#/expert/0?pin=99999999999999999999",
        "#/?at=99999999999999999999999",
        "#/?area=" + "_".join(["1,1"] * 5_000),
        "#/?rate=1e999..-1e999",
        "#/?sort=__proto__&map=constructor&columns=__proto__,toString&view=hasOwnProperty",
        "#/expert/0?colour=__proto__:constructor&corpus=toString",
        "#/" + "x" * 100_000,
        "#/?q=" + "a" * 100_000,
        "#/?" + "&".join(f"label=months:{number}" for number in range(5_000)),
        "#/?" + "&".join("task=months" for _ in range(5_000)),
    ],
    ids=lambda address: address[:30],
)
def test_an_address_of_no_sense_leaves_a_page_that_works(address: str, open_at: Open) -> None:
    page = open_at(address)
    expect(page.locator("[data-page]:not(body):not([hidden])").first).to_be_visible()
    visit(page, [])


def test_permalinks_of_hostile_names_come_back(open_at: Open) -> None:
    page = open_at("")
    texts = [text for text in everything() if text and text.isprintable()] + ["a\nb", "\u202ea", "a&b=c#d?e%41+f", "a\u2028b"]
    wrong = page.evaluate(
        """async (texts) => {
          const wrong = [];
          for (const text of JSON.parse(texts)) {
            const { route } = atlas;
            location.hash = route.link({ ...route.DEFAULTS, label: [`months:${text}`], q: `x${text}`, only: [text] });
            await new Promise((resolve) => addEventListener("hashchange", resolve, { once: true }));
            const { label, q, only } = route.state;
            if (label[0] !== `months:${text}` || q !== `x${text}` || only[0] !== text) wrong.push(text);
            location.hash = route.link({ ...route.DEFAULTS, token: text });
            await new Promise((resolve) => addEventListener("hashchange", resolve, { once: true }));
            if (route.state.token !== text) wrong.push(text);
          }
          return wrong;
        }""",
        json.dumps(texts),
    )
    assert wrong == []


IMPORT = """(texts) => JSON.parse(texts).map((text) => {
  try {
    atlas.marks.merge(atlas.marks.read(text));
    return null;
  } catch (error) { return `${error.name}: ${error.message}`; }
})"""


def imported(page: Page, *texts: str) -> list[str | None]:
    """Import each text as a file; return what is said of each, None of one that was taken."""
    return list(page.evaluate(IMPORT, json.dumps(texts)))


def bookmarks(page: Page, *marks: Any, **more: Any) -> str:
    """Return a file of bookmarks as the page would read it."""
    atlas = page.evaluate("async () => (await atlas.payloads.load('atlas')).id")
    return json.dumps({"atlas": atlas, "title": "t", "marks": list(marks), **more})


def mark(expert: Any = 0, note: Any = "", starred: Any = True, changed: Any = "2026-01-01T00:00:00Z") -> dict[str, Any]:
    return {"expert": expert, "starred": starred, "note": note, "changed": changed}


def test_hostile_notes_are_taken_as_text(open_at: Open) -> None:
    page = open_at("")
    texts = [text for text in everything() if len(text) <= 10_000]
    marks = [mark(number % 40, note) for number, note in enumerate(texts)]
    files = [bookmarks(page, *marks[at : at + 40]) for at in range(0, len(marks), 40)]
    assert not [said for said in imported(page, *files) if said and "together have more than 10,000 characters" not in said]
    page.evaluate("() => localStorage.clear()")
    page.reload()
    assert imported(page, bookmarks(page, mark(0, "<img src=x onerror=alert(1)>\u202e"), mark(1, "\ud800"))) == [None]
    page.get_by_role("button", name="Bookmarks").click()
    expect(page.get_by_label("Note on expert 0")).to_have_value("<img src=x onerror=alert(1)>\u202e")
    assert page.locator("dialog img").count() == 0


def test_files_that_are_no_bookmarks_are_refused_in_a_sentence(open_at: Open) -> None:
    page = open_at("")
    own = lambda *marks, **more: bookmarks(page, *marks, **more)  # noqa: E731
    refused = [
        *(
            "",
            "[]",
            "null",
            "0",
            '"x"',
            "{",
            "{}",
            '{"atlas": {}, "marks": []}',
            '{"atlas": "x", "marks": [], "title": "\\u202e"}',
        ),
        *(text for text in everything() if not text.strip().startswith("\x00")),
        *(own(one) for one in (None, 1, [], "x", {}, {"__proto__": {"expert": 0}})),
        *(own(mark(expert=one)) for one in (-1, 0.5, 1e300, "0", None, [0], {"valueOf": 1}, 10**9, "__proto__")),
        *(own(mark(note=one)) for one in (None, 1, [], {}, "x" * 10_001, {"toString": "x"})),
        *(own(mark(starred=one)) for one in (None, 1, "true", [])),
        *(own(mark(changed=one)) for one in (None, 1, "", "yesterday", {}, "9" * 400)),
        '{"x":"' + "x" * 5_000_001 + '"}',
        "[" * 200_000,
    ]
    for text, said in zip(refused, imported(page, *refused), strict=True):
        assert said and said.startswith("Error: ") and len(said) < 400 and "\n" not in said, (text[:80], said)
    assert page.evaluate("() => ({}).expert === undefined && atlas.marks.all().length === 0")


def test_a_file_of_very_many_marks_is_joined_quickly(open_at: Open) -> None:
    page = open_at("")
    many = [mark(number % 40) for number in range(50_000)]
    assert imported(page, bookmarks(page, *many)) == [None]
    assert page.evaluate("() => atlas.marks.size") == 40


def test_storage_that_others_wrote_into_is_passed_over(open_at: Open) -> None:
    page = open_at("")
    name = page.evaluate("async () => (await atlas.payloads.load('atlas')).id")
    values = [*everything()[::5], "null", "[]", "1", '{"starred": "yes", "note": {}}', '{"__proto__": {"starred": true}}']
    page.evaluate(
        """([name, values]) => {
          JSON.parse(values).forEach((value, at) => {
            localStorage.setItem(`atlas:${name}:${at % 40}`, value);
            localStorage.setItem(`atlas:${name}:${value}`, value);
            localStorage.setItem(value, value);
          });
        }""",
        [name, json.dumps(values)],
    )
    for value in ('"x"', "0", "[[]]", '{"label": {}}', "<b>", "{"):
        page.evaluate(
            """(value) => {
              for (const key of ["atlas-scheme", "atlas-map-share", "atlas-keys"]) localStorage.setItem(key, value);
              sessionStorage.setItem("atlas-open-facets", value);
            }""",
            value,
        )
        page.reload()
        expect(page.locator("[data-count]").first).to_have_text("40 experts")
        assert page.evaluate("() => atlas.marks.size") == 0
    page.evaluate("() => localStorage.clear()")
