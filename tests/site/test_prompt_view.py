from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Locator, Page, expect

from synthetic import PROMPT_TOKENS, PROMPT_WINDOW, SPECIAL, THRESHOLD, prompt_norm

pytestmark = pytest.mark.browser
Open = Callable[[str], Page]
EXPERTS = range(40)


def norms(expert: int, prompt: int = 0) -> list[float]:
    return [0.0 if text == SPECIAL else prompt_norm(expert, place) for place, text in enumerate(PROMPT_TOKENS[prompt])]


def firing(position: int, prompt: int = 0) -> list[int]:
    """The experts that fire on a token."""
    return [expert for expert in EXPERTS if norms(expert, prompt)[position] > THRESHOLD]


def grid(page: Page) -> Locator:
    return page.get_by_role("grid", name=re.compile("Norm of each expert"))


def experts_of(table: Locator) -> list[int]:
    return [int(text.split()[0]) for text in table.locator("tbody th").all_inner_texts()]


def test_about_leads_to_a_prompt_whose_table_says_what_fires(open_at: Open) -> None:
    page = open_at("#/about")
    page.get_by_role("link", name="the year of May and their first world").click()
    expect(page.get_by_role("heading", level=2, name="the year of May")).to_be_focused()
    fired = [expert for expert in EXPERTS if max(norms(expert)) > THRESHOLD]
    near = [expert for expert in EXPERTS if THRESHOLD / 2 <= max(norms(expert)) <= THRESHOLD]
    expect(page.get_by_text(f"{len(fired)} of 40 experts fire on at least one of its 8 tokens")).to_be_visible()
    expect(page.get_by_text(f"{len(near)} others come to half of that or more")).to_be_visible()

    shown = experts_of(grid(page))
    assert sorted(shown) == fired
    counts = [sum(norm > THRESHOLD for norm in norms(expert)) for expert in shown]
    assert counts == sorted(counts, reverse=True)
    for expert, cells in zip(shown[:8], grid(page).locator("tbody tr").all()[:8], strict=True):
        expected = [f"{norm / THRESHOLD:.1f}" if norm > THRESHOLD else "" for norm in norms(expert)]
        assert [cell.inner_text() for cell in cells.locator("td").all()] == pytest.approx(expected)

    page.get_by_label("also silent ones").check()
    page.locator(".prompt-page").get_by_role("combobox", name="Sort by").select_option("number")
    expect(grid(page).locator("tbody th")).to_have_count(len(fired) + len(near))
    assert experts_of(grid(page)) == [*fired, *near]
    page.get_by_role("link", name="Next prompt").click()
    expect(page).to_have_url(re.compile("#/prompt/1$"))


def test_a_token_has_its_experts_and_the_nearest_silent_ones_and_a_link_shows_both(open_at: Open) -> None:
    page = open_at("#/prompt/0")
    # The strongest firing is what is shown unasked.
    strongest = max(range(8), key=lambda place: max(norms(expert)[place] for expert in EXPERTS))
    expect(page.get_by_role("heading", level=3, name=f"token {strongest}")).to_be_visible()
    head = grid(page).get_by_role("columnheader", name="May").get_by_role("button")
    head.click()
    expect(head).to_be_focused()
    expect(head).to_have_attribute("aria-pressed", "true")

    def shown() -> None:
        fired = sorted(firing(3), key=lambda expert: (-norms(expert)[3], expert))
        table = page.get_by_role("table", name=f"{len(fired)} experts fire")
        assert sorted(experts_of(table)) == sorted(fired)
        assert table.locator("tbody tr").first.locator("td").all_inner_texts() == [f"{norms(fired[0])[3]:.2f}"] * 2
        near = [float(text) for text in page.get_by_role("table", name="The nearest").locator("td:last-child").all_inner_texts()]
        silent = sorted((norm for expert in EXPERTS if 0.5 <= (norm := norms(expert)[3]) <= THRESHOLD), reverse=True)
        assert near == pytest.approx(silent[:5], abs=1e-3)

    shown()
    page.wait_for_url(re.compile(r"#/prompt/0\?pin=3$"))
    page.reload()
    expect(page.get_by_role("heading", level=3, name="On “ May” token 3")).to_be_visible()
    shown()
    page.get_by_role("table", name="experts fire").get_by_role("link").first.click()
    expect(page.get_by_role("heading", level=2, name="Expert ")).to_be_visible()


def test_an_expert_that_is_asked_for_says_why_it_is_silent(open_at: Open) -> None:
    page = open_at("#/prompt/0")
    answer = page.locator("[data-prompt-answer]")
    field = page.get_by_role("searchbox", name="Expert", exact=True)
    for asked, said in {
        "8": "8, .*: silent: its largest is norm 0.8 on “.*”, 0.8 of the threshold. Its line is the first.",
        "4": "4, .*: below half of the threshold on every token, and so silent.",
        "3": "3, silent: silent: its largest is norm 0.8",
        "999": "This atlas has no expert “999”; a number from 0 to 39 is one.",
        "twelve": "This atlas has no expert “twelve”",
        "1": f"1, .*: fires on {sum(norm > THRESHOLD for norm in norms(1))} of 8 tokens; the largest is norm {max(norms(1)):.3g}",
    }.items():
        field.fill(asked)
        field.press("Enter")
        expect(answer).to_have_text(re.compile(said))
    assert experts_of(grid(page))[0] == 1
    field.fill("8")
    page.get_by_role("button", name="Look").click()
    page.wait_for_url(re.compile("only=8"))
    page.reload()
    expect(answer).to_contain_text("silent: its largest is norm 0.8")
    assert experts_of(grid(page))[0] == 8


def test_the_table_is_one_stop_in_which_arrows_go_from_cell_to_cell(open_at: Open) -> None:
    page = open_at("#/prompt/0?only=5")
    page.get_by_label("also silent ones").focus()
    page.keyboard.press("Tab")
    expect(grid(page).get_by_role("columnheader").nth(1).get_by_role("button")).to_be_focused()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowRight")
    cell = grid(page).locator("tbody tr").first.locator("td").nth(1)
    norm = norms(5)[1]
    assert norm > THRESHOLD
    said = f"norm {norm:.3g}, {norm:.3g} times the threshold: fires"
    expect(cell).to_be_focused()
    expect(cell).to_have_attribute("aria-label", re.compile(f"^Expert 5, .*: {said}$"))
    expect(page.locator("[data-prompt-read]")).to_have_text(re.compile(f"^Expert 5, .*: {said} · on “ year” · threshold 1$"))
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=3, name="token 1")).to_be_visible()
    expect(cell).to_be_focused()
    for silent in ("below half of the threshold: silent", "norm 0.881, 0.881 of the threshold: silent"):
        page.keyboard.press("ArrowRight")
        if silent.startswith("below"):
            page.keyboard.press("ArrowRight")
        expect(page.locator("[data-prompt-read]")).to_contain_text(f": {silent} · on")
    page.keyboard.press("Home")
    expect(grid(page).get_by_role("link").first).to_be_focused()
    page.keyboard.press("Tab")
    expect(grid(page).locator(":focus")).to_have_count(0)


def test_hostile_tokens_windows_and_special_tokens_stand_in_a_narrow_page(open_at: Open, quiet_page: Page) -> None:
    quiet_page.set_viewport_size({"width": 320, "height": 640})
    page = open_at(f"#/prompt/1?pin={PROMPT_WINDOW}&only=0")
    heads = grid(page).get_by_role("columnheader")
    expect(heads).to_have_count(len(PROMPT_TOKENS[1]) + 1)
    expect(heads.nth(1)).to_have_text("</script><script>alert(1)</script>")
    expect(heads.nth(PROMPT_WINDOW + 1)).to_have_class("window")
    grid(page).get_by_role("button", pressed=True).scroll_into_view_if_needed()
    expect(heads.nth(PROMPT_WINDOW + 1)).to_be_in_viewport()
    expect(page.get_by_text("A line stands where a new window begins")).to_be_visible()
    place = PROMPT_TOKENS[1].index(SPECIAL)
    special = grid(page).locator("tbody tr").first.locator("td").nth(place)
    special.hover()
    expect(page.locator("[data-prompt-read]")).to_contain_text("nothing; no expert reads a special token")
    special.click()
    expect(page.get_by_text("A special token, which no expert reads.")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= 320


@pytest.mark.parametrize("number", [2, 123456789])
def test_a_prompt_that_is_not_there_is_said(number: int, open_at: Open) -> None:
    page = open_at(f"#/prompt/{number}")
    expect(page.get_by_role("alert").filter(has_text=f"This atlas has no prompt {number}: they go from 0 to 1")).to_be_visible()
