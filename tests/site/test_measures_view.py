"""What the page says of several measures, groups of experts, rows without text, and what is absent."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from frames import painted, point_out
from playwright.sync_api import Locator, Page, expect

from atlas.bake import bake
from atlas.store import write_atlas
from synthetic import Size, synthetic_tables, write_synthetic

pytestmark = pytest.mark.browser
Open = Callable[[str], Page]


@pytest.fixture(scope="module")
def every_task(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a baked synthetic atlas with tasks of every kind."""
    root = tmp_path_factory.mktemp("every")
    return bake(write_synthetic(root / "atlas.duckdb", size=Size(more_tasks=True)), root / "site").folder


@pytest.fixture
def open_every(quiet_page: Page, every_task: Path) -> Open:
    """Opens that atlas at an address after the #."""

    def at(route: str = "") -> Page:
        quiet_page.goto((every_task / "index.html").as_uri() + route)
        return quiet_page

    return at


def score(page: Page, title: str) -> Locator:
    return page.locator(".score").filter(has=page.get_by_text(re.compile(f" · {title}$")))


def drawn(page: Page) -> None:
    expect(page.locator("[data-page=expert] [data-scene]")).to_have_attribute("data-ready", "", timeout=20_000)


def test_classes_stand_behind_the_orders_with_a_measure_and_references_of_their_own(open_every: Open) -> None:
    page = open_every("#/expert/0")
    shown = page.locator("[data-scores] > .score")
    expect(shown).to_have_count(2)
    expect(shown.nth(0)).to_contain_text(re.compile(r"12-month ring\s*order supported\s*R² 0\.55"))
    season = shown.nth(1)
    expect(season).to_contain_text(re.compile(r"season\s*better than shuffled classes\s*balanced accuracy 0\.94 \(0\.89–0\.98\)"))
    expect(season).to_contain_text("left-out labels 0.55 · adjusted p 0.004 over 14 experts · chance is simulated")
    expect(season).not_to_contain_text("supported")
    expect(shown.nth(0)).to_contain_text("left-out labels R² 0.45 (worst direction 0.40)")
    expect(season.get_by_role("img")).to_have_accessible_name(
        re.compile(r"^Months, season: balanced accuracy 0\.94, .* chance 0\.71; best random projection 0\.84")
    )


def test_classes_that_are_no_better_than_shuffled_ones_are_said_to_be(open_every: Open) -> None:
    page = open_every("#/expert/2")
    expect(score(page, "season")).to_contain_text("no better than shuffled classes")
    assert "season" not in page.locator("[data-sayings]").inner_text()


def test_the_list_compares_by_r2_only(open_every: Open) -> None:
    page = open_every("#/?sort=score")
    strips = page.get_by_role("list", name="Experts").get_by_role("img")
    expect(strips.first).to_be_visible()
    names = [strips.nth(at).get_attribute("aria-label") or "" for at in range(strips.count())]
    assert names and all(re.search(r": R² [−\d]", name) for name in names)
    assert not any("season" in name for name in names)
    # The best accuracy of classes is 0.94, the best R² is below.
    page.get_by_role("slider", name="Best score, at least").fill("19")
    expect(page.get_by_role("status")).to_have_text("0 of 40 experts")


def test_places_of_several_numbers_are_an_arrangement_and_are_not_joined(open_every: Open) -> None:
    page = open_every("#/expert/1?colour=cells")
    expect(score(page, "lineage")).to_contain_text("arrangement supported")
    drawn(page)
    expect(page.get_by_text("Their arrangement is supported; there is no order to join them in.")).to_be_visible()
    joined = "document.querySelector('[data-page=expert] .space').data[3].x.filter((one) => one !== null).length"
    assert page.evaluate(joined) == 0
    page.get_by_label("Colour by").select_option("Numbers 0–99")
    expect(page.get_by_text("joined in label order.")).to_be_visible()
    page.wait_for_function(f"{joined} === 10")
    expect(page.locator("[data-sayings]")).to_contain_text("One more arrangement is supported, of Cell types")


def test_a_target_that_goes_row_by_row_is_tested_for_no_order(open_every: Open) -> None:
    page = open_every("#/expert/1")
    page.get_by_text("1 more whose target goes row by row").click()
    age = score(page, "age of the donor")
    expect(age).to_contain_text(re.compile(r"no order of labels to test\s*R² 0\.14"))
    expect(age).not_to_contain_text("supported")
    expect(age).not_to_contain_text("left-out")


def test_a_task_without_an_order_is_not_said_to_lack_one(open_every: Open) -> None:
    page = open_every("#/expert/4?colour=body_parts")
    drawn(page)
    expect(
        page.get_by_text(re.compile(r"^\d+ firings at the labels of Body parts; large marks are class means\. Drawn is"))
    ).to_be_visible()


def test_experts_that_read_a_hypothesis_together_lead_to_each_other(open_every: Open) -> None:
    page = open_every("#/expert/9?sort=number")
    together = page.locator(".together")
    expect(together).to_have_text(
        "Read together with experts 1 and 17: R² 0.81 (0.75–0.86); best alone 0.58. Side by side with 1, 17."
    )
    expect(together.get_by_role("link", name="Experts 9 and 17 side by side")).to_have_attribute(
        "href", "#/beside/9/17?sort=number"
    )
    together.get_by_role("link", name="17", exact=True).click()
    expect(page.get_by_role("heading", name="Expert 17 ")).to_be_visible()
    expect(page).to_have_url(re.compile(r"#/expert/17\?sort=number$"))
    expect(page.locator(".together")).to_contain_text("experts 1 and 9")


def test_natural_mentions_stand_below_the_score_that_they_are_of(open_every: Open) -> None:
    page = open_every("#/expert/0")
    expect(score(page, "12-month ring")).to_contain_text(
        re.compile(
            r"On running text: R² 0\.41 \(0\.20–0\.60\) on 31 words spelled as a label, in 13 held-out documents "
            r"\(fires on \d+\), by a fit to 60 others\."
        )
    )
    expect(page.get_by_text("On running text:")).to_have_count(1)


def test_a_preference_outside_the_band_has_an_arrow(open_every: Open) -> None:
    page = open_every("#/expert/0")
    rows = page.get_by_role("region", name="Months, label by label").get_by_role("row")
    expect(rows.first).to_contain_text("Preference")
    for at in range(1, 13):
        cell = rows.nth(at).get_by_role("cell").last
        value = float(re.search(r"\d\.\d+", cell.inner_text()).group())  # type: ignore[union-attr]
        arrow = "↑" if value > 0.57 else "↓" if value < 0.43 else ""
        if value not in (0.43, 0.57):
            expect(cell).to_have_text(f"{value:.2f}{arrow}")
    expect(page.locator("[data-labels] details[open] .note")).to_contain_text(
        re.compile(r"a ring has none\); an arrow where outside 0\.43–0\.57.*depend on the label \(p 0\.0005; nearly every")
    )


def test_codes_that_do_not_depend_on_the_label_are_not_said_to(quiet_page: Page, tmp_path: Path) -> None:
    tables = synthetic_tables(size=Size(experts=8, points=20))
    stats = tables["task_stats"]
    for expert, p in ((0, 0.05), (7, 0.051)):
        stats["p_label"][list(zip(stats["task"], stats["expert"], strict=True)).index((1, expert))] = p
    write_atlas(tmp_path / "atlas.duckdb", tables)
    address = (bake(tmp_path / "atlas.duckdb", tmp_path / "site").folder / "index.html").as_uri()
    quiet_page.goto(f"{address}#/expert/0")
    note = quiet_page.locator("[data-labels] details[open] .note")
    expect(note).to_contain_text("Its codes depend on the label (p 0.05; nearly every expert’s do).")
    quiet_page.goto(f"{address}#/expert/7")
    expect(note).to_contain_text("No sign that its codes depend on the label (p 0.051).")
    expect(note).not_to_contain_text("Its codes depend")


def test_an_order_of_no_more_than_two_halves_is_said_to_be(quiet_page: Page, tmp_path: Path) -> None:
    tables = synthetic_tables(size=Size(experts=8, points=20))
    scores = tables["scores"]
    at = list(zip(scores["task"], scores["hypothesis"], scores["expert"], strict=True)).index((1, 0, 0))
    scores["p_within_halves"][at], scores["order_supported"][at] = 0.31, False
    write_atlas(tmp_path / "atlas.duckdb", tables)
    address = (bake(tmp_path / "atlas.duckdb", tmp_path / "site").folder / "index.html").as_uri()
    quiet_page.goto(f"{address}#/expert/0")
    ring = score(quiet_page, "12-month ring")
    expect(ring).to_contain_text(re.compile(r"order not supported: no more than two halves\s*R²"))
    expect(ring).to_contain_text("over 14 experts · labels shuffled within two halves p 0.31")
    # Where they say more than that, or it was not asked, nothing is said of it.
    quiet_page.goto(f"{address}#/expert/7")
    expect(ring).to_contain_text(re.compile(r"order supported\s*R²"))
    expect(ring).to_contain_text("shuffled within two halves p 0.001")
    quiet_page.goto(f"{address}#/expert/2")
    expect(ring).to_contain_text("order not supported")
    expect(ring).not_to_contain_text("halves")


def test_what_is_not_tested_is_told_by_task_with_what_the_test_asks_for(open_every: Open) -> None:
    page = open_every("#/expert/0")
    expect(page.locator("[data-scores] > .note").first).to_have_text(
        "Not tested, because it fires on too few rows, or on fewer than three labels in five rows or more. "
        "Numbers 0–99 (linear, last digit ring): fires on 15 sentences."
    )


def test_tasks_on_which_it_hardly_fires_are_one_line(open_every: Open) -> None:
    page = open_every("#/expert/5")
    rest = page.get_by_text("4 more tasks of which it fires on no label in half of its rows")
    months = page.locator("[data-labels] summary").filter(has_text="Months: fires on")
    expect(months).to_be_hidden()
    rest.click()
    expect(months).to_be_visible()


def test_the_place_in_a_line_is_said_in_one(open_every: Open) -> None:
    page = open_every("#/expert/5")
    expect(page.locator("[data-scores]")).to_contain_text(
        "Place in a line of 80 characters: periodic gain 0.07 in-sample, 0.06 held out; the place is read from its code with "
        "R² 0.31, held out 0.28. It fires on 3.0\u202f% of these tokens."
    )
    page = open_every("#/expert/0")
    expect(page.locator("[data-scores]")).to_contain_text("12-month ring")
    expect(page.get_by_text("periodic gain")).to_have_count(0)


def test_a_row_without_text_is_told_by_its_label_and_number(open_every: Open) -> None:
    page = open_every("#/expert/4?colour=cells")
    drawn(page)
    box = page.locator("[data-page=expert] [data-scene]").bounding_box()
    assert box
    places = [(0.3 + 0.4 * (step % 40) / 40, 0.4 + 0.05 * (step // 40)) for step in range(120)]
    point_out(page, [(box["x"] + across * box["width"], box["y"] + down * box["height"]) for across, down in places])
    expect(page.locator("[data-tip]")).to_have_text(re.compile(r"^(T cell|B cell|monocyte|platelet) · row \d+ · norm [\d.]+"))
    expect(score(page, "lineage")).to_contain_text(re.compile(r"n 40 rows, fires in \d+"))


def test_the_about_page_says_what_is_absent_and_what_is_read_together(open_every: Open) -> None:
    page = open_every("#/about")
    expect(page.get_by_text("1 hypothesis is read better by several experts together")).to_be_visible()
    expect(page.get_by_text("Letter case: This tokenizer lowercases, so that the two cases are one.")).to_be_visible()
    remark = page.get_by_text("7 rows were left out: their label is empty.")
    expect(remark).to_be_hidden()
    page.get_by_text("Rows left out (1)").click()
    expect(remark).to_be_visible()


def test_where_places_are_arranged_the_filter_says_so(open_every: Open) -> None:
    page = open_every("")
    page.get_by_role("checkbox", name="order or arrangement supported").check()
    expect(page.get_by_role("button", name="Remove filter: order or arrangement supported")).to_be_visible()


def test_nothing_of_it_is_wider_than_a_phone(open_every: Open, quiet_page: Page) -> None:
    quiet_page.set_viewport_size({"width": 390, "height": 844})
    for route in ("#/", "#/expert/0", "#/expert/1", "#/expert/4?colour=cells"):
        page = open_every(route)
        if route == "#/":
            expect(page.get_by_role("status")).to_have_text("40 experts")
        else:
            drawn(page)
            page.locator("[data-page=expert] [data-scene]").evaluate(
                "scene => scene.removeAttribute('data-ready')"
            )  # the next one's is waited for
        painted(page)
        shown = "section[data-page]:not([hidden]) details"
        page.evaluate("shown => document.querySelectorAll(shown).forEach((one) => { one.open = true; })", shown)
        assert page.evaluate("document.documentElement.scrollWidth") <= 390, route
