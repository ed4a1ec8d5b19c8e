"""Facets: their counts beside slow and obvious answers, brushes by mouse, keyboard and touch, what clears them, the drawer."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from synthetic import MONTHS, VOCABULARY, synthetic_tables

pytestmark = pytest.mark.browser
Open = Callable[[str], Page]
Row = dict[str, Any]
Test = Callable[[int], bool]
PHONE = {"width": 390, "height": 844}


# --- the obvious answers ---


def rows_of(table: str) -> list[Row]:
    columns = synthetic_tables()[table]
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


STATS = {row["expert"]: row for row in rows_of("expert_stats") if row["task"] == 0}
ALL = sorted(STATS, key=lambda expert: (-STATS[expert]["importance"], expert))
TITLES = {row["expert"]: row["task"] for row in rows_of("titles")}
SCORES = rows_of("scores")
LABEL_STATS = rows_of("label_stats")
SHAPES = rows_of("shapes")
CLUSTER = {row["expert"]: row["cluster"] for row in rows_of("overview")}
TASKS = {"Months": 1, "Numbers 0–99": 2}


def is_supported(expert: int, task: int) -> bool:
    return any(row["order_supported"] and (row["expert"], row["task"]) == (expert, task) for row in SCORES)


def has_order(*tasks: int) -> Test:
    return lambda expert: any(is_supported(expert, task) for task in tasks)


def is_about(task: int) -> Test:
    return lambda expert: TITLES[expert] == task or is_supported(expert, task)


def in_cluster(place: int) -> Test:
    return lambda expert: CLUSTER.get(expert) == place


def fires_on(label: str, task: int = 1) -> Test:
    place = MONTHS.index(label) if task == 1 else int(label)
    fires = {row["expert"]: row["fires"] for row in LABEL_STATS if (row["task"], row["label"]) == (task, place)}
    return lambda expert: fires.get(expert, 0) >= 0.5


def is_shaped(name: str) -> Test:
    classes: dict[int, set[str]] = {expert: set() for expert in ALL}
    for row in SHAPES:
        classes[row["expert"]] |= {row["class"]} - {None}
    return lambda expert: classes[expert] == {"unclear"} if name == "unclear" else name in classes[expert]


def is_active(name: str) -> Test:
    def activity(expert: int) -> str:
        return "silent" if STATS[expert]["silent"] else "dense" if STATS[expert]["dense"] else "neither"

    return lambda expert: activity(expert) == name


def reads(task: int, hypothesis: int, least: float = 0) -> Test:
    of = {row["expert"]: row for row in SCORES if (row["task"], row["hypothesis"]) == (task, hypothesis)}

    def can(expert: int) -> bool:
        row = of.get(expert)
        return row is not None and row["testable"] and row["all_rows_low"] > 0 and row["all_rows"] >= least

    return can


def count(*tests: Test) -> int:
    return sum(all(test(expert) for test in tests) for expert in ALL)


def is_unmeasured(column: str) -> Test:
    return lambda expert: STATS[expert][column] is None


def in_bar(column: str, low: float, below: float) -> Test:
    return lambda expert: STATS[expert][column] is not None and low <= STATS[expert][column] < below


def lies_between(column: str, low: float, high: float) -> Test:
    return lambda expert: STATS[expert][column] is not None and low <= STATS[expert][column] <= high


# --- the page ---


def facet(page: Page, name: str) -> Locator:
    """Return a facet, unfolded."""
    found = page.get_by_role("group", name=name, exact=True)
    details = found.locator("details").first
    expect(details).to_be_visible()
    if details.get_attribute("open") is None:
        found.locator("summary").first.click()
    return found


def expect_amount(choice: Locator, amount: int) -> None:
    """Wait until a box or radio says how many experts it would leave, and is muted if none."""
    label = choice.locator("xpath=ancestor::label")
    expect(label).to_have_text(re.compile(rf"\D{amount}$"))
    expect(label).to_have_class(re.compile(r"\bnone\b") if amount == 0 else re.compile(r"^(?!.*\bnone\b)"))


def box(group: Locator, name: str) -> Locator:
    return group.get_by_role("checkbox", name=re.compile(rf"^{re.escape(name)}\b"))


def radio(group: Locator, name: str) -> Locator:
    return group.get_by_role("radio", name=re.compile(rf"^{re.escape(name)}"))


def expect_experts(page: Page, passing: Test) -> None:
    experts = [expert for expert in ALL if passing(expert)]
    said = f"{len(experts)} of 40 experts" if len(experts) < 40 else "40 experts"
    expect(page.get_by_role("status")).to_have_text(said)
    names = [re.compile(rf"^{expert}\b") for expert in experts]
    expect(page.get_by_role("list", name="Experts").get_by_role("link")).to_have_text(names)


def chips(page: Page) -> Locator:
    return page.get_by_role("button", name=re.compile("^Remove filter"))


def bars(group: Locator) -> tuple[Locator, float, float, float]:
    """Return the bars of a histogram, where they begin, how wide they are together, and the height to point at."""
    plot = group.locator(".plot")
    plot.scroll_into_view_if_needed()
    place = plot.bounding_box()
    assert place
    return plot, place["x"], place["width"], place["y"] + place["height"] / 2


def bounds(page: Page, key: str) -> tuple[float | None, float | None]:
    """Wait until the address is written, a little after what it says is shown, and return the range in it."""
    low, high = page.wait_for_function(
        """key => {
          const { low, high } = atlas.route.state[key] ?? {};
          const written = new URLSearchParams(location.hash.split("?")[1]).get(key);
          return written === `${low ?? ""}..${high ?? ""}` && [low, high];
        }""",
        arg=key,
    ).json_value()
    return low, high


# --- counts ---


def test_counts_follow_the_other_filters(open_at: Open) -> None:
    least = sorted(STATS[expert]["importance"] for expert in ALL)[9]
    page = open_at(f"#/?importance={least:.9g}..&activity=neither&label=months:May&shape=ring&shape=curve")
    important = lies_between("importance", least * (1 - 1e-6), 1)
    usual, may = is_active("neither"), fires_on("May")
    ring, curve = is_shaped("ring"), is_shaped("curve")

    def shaped(expert: int) -> bool:
        return ring(expert) or curve(expert)

    others: dict[str, tuple[Test, ...]] = {
        "task": (important, usual, may, shaped),
        "label": (important, usual, shaped),
        "shape": (important, usual, may),
        "activity": (important, may, shaped),
    }
    assert all(0 < count(*others["task"]) < count(*others[name]) for name in ("label", "shape"))
    expect(page.get_by_role("status")).to_have_text(f"{count(*others['task'])} of 40 experts")
    claim = facet(page, "Claim about")
    expect_amount(radio(claim, "anything"), count(*others["task"]))
    for title, task in TASKS.items():
        expect_amount(radio(claim, title), count(*others["task"], is_about(task)))
    expect_amount(claim.get_by_role("checkbox"), count(*others["task"], has_order(1, 2)))
    months = facet(page, "Label")
    for month in ("January", "May", "September"):
        expect_amount(box(months, month), count(*others["label"], fires_on(month)))
    shapes = facet(page, "Shape")
    for name in ("ring", "curve", "sheet", "line or ray", "clusters", "unclear"):
        expect_amount(box(shapes, name), count(*others["shape"], is_shaped(name)))
    activities = facet(page, "Activity")
    for name in ("silent", "dense", "neither"):
        expect_amount(box(activities, name), count(*others["activity"], is_active(name)))
    clusters = facet(page, "Cluster")
    for at, name in enumerate(("Months", "</script>")):
        expect_amount(clusters.get_by_role("checkbox").nth(at), count(*others["task"], in_cluster(at)))
        expect(clusters.get_by_role("checkbox").nth(at)).to_have_accessible_name(re.compile(name))
    # All labels: one more narrows what is left.
    months.get_by_role("radio", name="all of them").check()
    expect_amount(box(months, "January"), count(*others["task"], fires_on("January")))
    for name in ("Label", "Shape"):
        page.get_by_role("button", name=f"Clear {name}").click()
    assert count(important, is_active("dense")) > 0
    for name in ("silent", "dense", "neither"):
        expect_amount(box(activities, name), count(important, is_active(name)))


def test_a_supported_order_counts_for_the_task_that_would_be_chosen(open_at: Open) -> None:
    page = open_at("#/?order=1")
    claim = facet(page, "Claim about")
    for title, task in TASKS.items():
        expect_amount(radio(claim, title), count(has_order(task)))
    radio(claim, "Months").check()
    expect_experts(page, has_order(1))
    expect_amount(radio(claim, "Numbers"), count(has_order(2)))
    expect_amount(radio(claim, "anything"), count(has_order(1, 2)))


def test_a_hypothesis_leaves_those_from_which_it_can_be_read(open_at: Open) -> None:
    page = open_at("")
    hypotheses = facet(page, "Hypothesis")
    hypotheses.locator("summary", has_text="Numbers").click()
    of = [row for row in rows_of("hypotheses") if row["task"] == 2]
    for row in of:
        expect_amount(radio(hypotheses, row["title"]), count(reads(2, row["hypothesis"])))
    expect(page.get_by_role("group", name="Best score (R²)")).to_be_visible()
    radio(hypotheses, of[0]["title"]).check()
    expect_experts(page, reads(2, 0))
    expect(page.get_by_role("group", name="Score (R²)", exact=True)).to_be_visible()
    page.get_by_role("slider", name="Best score, at least").fill("8")
    expect_experts(page, reads(2, 0, 0.4))
    expect_amount(radio(hypotheses, of[1]["title"]), count(reads(2, 1, 0.4)))
    assert 0 < count(reads(2, 0, 0.4)) < count(reads(2, 0))
    # A claim about another task takes the hypothesis back.
    radio(facet(page, "Claim about"), "Months").check()
    expect(radio(hypotheses, "any")).to_be_checked()
    expect(hypotheses.locator("summary", has_text="Numbers")).to_be_hidden()


def test_every_bar_says_how_many_it_stands_for(open_at: Open) -> None:
    page = open_at("#/?task=months")
    amounts = {"Importance": "importance", "Mean norm": "mean_norm", "Dimensions needed": "dimensions_needed"}
    for name, column in amounts.items():
        group = facet(page, name)
        _, left, width, y = bars(group)
        n = int(group.get_by_role("slider").first.get_attribute("max") or "")
        readout = group.locator(".readout")
        unmeasured = count(is_about(1), is_unmeasured(column))
        expect(readout).to_have_text(f"{unmeasured} not measured" if unmeasured else "")
        total = 0
        for at in range(n):
            page.mouse.move(left + (at + 0.5) * width / n, y)
            said = readout.inner_text().replace("−", "-").replace(",", "")
            edges, experts = said.rsplit(":", 1)
            ends = [float(figure) / (100 if "%" in edges else 1) for figure in re.findall(r"-?\d+(?:\.\d+)?", edges)]
            low, below = ends if len(ends) == 2 else (ends[0], ends[0] + 1)
            told = int(experts.split()[0])
            # The last bar holds its end too.
            assert told == count(is_about(1), in_bar(column, low, below + 1e-9 * (at == n - 1))), said
            total += told
        assert total + unmeasured == count(is_about(1)) and total > 5


# --- brushes ---


def test_a_range_is_drawn_moved_and_taken_back_by_mouse(open_at: Open) -> None:
    page = open_at("")
    group = facet(page, "Firing rate")
    plot, left, width, y = bars(group)
    n = int(group.get_by_role("slider").first.get_attribute("max") or "")

    def drag(start: float, end: float) -> None:
        page.mouse.move(left + (start + 0.5) * width / n, y)
        page.mouse.down()
        page.mouse.move(left + (end + 0.5) * width / n, y, steps=5)
        page.mouse.up()

    drag(n // 2, 2)
    low, high = bounds(page, "rate")
    assert low is not None and high is not None and low < high
    expect_experts(page, lies_between("rate", low, high))
    expect(group.get_by_role("textbox", name="Least")).to_have_value(f"{100 * low:.12g}")
    drag(3, 5)
    expect(page).not_to_have_url(re.compile(f"rate={low:.9g}"))
    moved = bounds(page, "rate")
    assert moved[0] is not None and moved[1] is not None and moved[0] > low and moved[1] > high
    expect_experts(page, lies_between("rate", *moved))  # type: ignore[arg-type]
    plot.dblclick(position={"x": width * 4.5 / n, "y": 10})
    expect(chips(page)).to_have_count(0)
    expect_experts(page, lambda expert: True)
    # A press on one bar takes that bar.
    dimensions = facet(page, "Dimensions needed")
    plot, _, width, _ = bars(dimensions)
    plot.click(position={"x": width * 2.5 / 4, "y": 10})  # from 0 to 3
    expect(page).to_have_url(re.compile(r"dimensions_needed=2\.\.2$"))
    expect_experts(page, lambda expert: STATS[expert]["dimensions_needed"] == 2)


def test_a_range_is_chosen_by_keyboard(open_at: Open) -> None:
    page = open_at("")
    group = facet(page, "Importance")
    low, high = (group.get_by_role("slider", name=f"Importance, at {side}") for side in ("least", "most"))
    last = int(low.get_attribute("max") or "")
    expect(low).to_have_attribute("aria-valuetext", "any")
    low.press("End")  # cannot pass the other
    expect(low).to_have_value(str(last - 1))
    high.press("Home")
    expect(high).to_have_value(str(last))
    expect(high).to_have_attribute("aria-valuetext", "any")
    for _ in range(last // 2):
        low.press("ArrowLeft")
    high.press("ArrowLeft")
    least, most = bounds(page, "importance")
    assert least is not None and most is not None
    expect_experts(page, lies_between("importance", least, most))
    expect(low).to_have_attribute("aria-valuetext", re.compile(r"%$"))
    # A bound can be typed, in per cent; what was typed last stands, and takes back a bound beyond it; what is no number is said.
    field, other = group.get_by_role("textbox", name="Least"), group.get_by_role("textbox", name="Largest")
    other.fill("")
    other.press("Enter")
    third = f"{100 * STATS[ALL[2]]['importance']:.9g}"
    field.fill(f"{third.replace('.', ',')} %")
    field.press("Enter")
    expect_experts(page, lambda expert: expert in ALL[:3])
    other.fill(f"{100 * STATS[ALL[5]]['importance']:.9g}")
    other.press("Tab")
    expect(field).to_have_value("")
    expect_experts(page, lambda expert: expert in ALL[5:])
    field.fill(f"{100 * STATS[ALL[7]]['importance']:.9g}")
    field.press("Tab")
    expect_experts(page, lambda expert: expert in ALL[5:8])
    field.fill(third)
    field.press("Tab")
    expect(other).to_be_focused()
    expect(other).to_have_value("")
    page.keyboard.type(f"{100 * STATS[ALL[1]]['importance']:.9g}", delay=30)  # while the list is found
    page.keyboard.press("Tab")
    expect_experts(page, lambda expert: expert in ALL[1:3])
    field.fill("lots")
    field.press("Enter")
    expect(group.get_by_text("“lots” is not a number.")).to_be_visible()
    expect(field).to_have_attribute("aria-invalid", "true")
    expect_experts(page, lambda expert: expert in ALL[1:3])
    field.press("Escape")
    expect(field).not_to_have_attribute("aria-invalid", "true")
    # The facet says what it filters by, and clears itself; the keyboard stays with it.
    expect(group.locator("summary")).to_have_text(re.compile(r"Importance .*–.*%"))
    group.get_by_role("button", name="Clear Importance").press("Enter")
    expect_experts(page, lambda expert: True)
    expect(group.locator("summary")).to_be_focused()
    expect(group.get_by_role("button", name="Clear Importance")).to_be_hidden()


def test_what_is_not_measured_passes_no_bound(open_at: Open) -> None:
    page = open_at("#/?dimensions_needed=0..")
    measured = [expert for expert in ALL if STATS[expert]["dimensions_needed"] is not None]
    assert 0 < len(measured) < 40
    expect_experts(page, lambda expert: expert in measured)
    expect(facet(page, "Dimensions needed").get_by_text(f"{40 - len(measured)} not measured")).to_be_visible()


def test_a_finger_draws_a_range_in_the_drawer(browser: Browser, site: Path) -> None:
    context = browser.new_context(viewport=PHONE, has_touch=True)  # type: ignore[arg-type]
    context.set_offline(True)
    page = context.new_page()
    page.goto((site / "index.html").as_uri())
    page.get_by_role("button", name=re.compile("^Filters")).tap()
    group = facet(page, "Firing rate")
    plot, left, width, y = bars(group)
    touch = context.new_cdp_session(page)
    for kind, at in (("touchStart", 0.2), ("touchMove", 0.3), ("touchMove", 0.45), ("touchMove", 0.6), ("touchEnd", None)):
        points = [] if at is None else [{"x": left + at * width, "y": y}]
        touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
    low, high = bounds(page, "rate")
    assert low is not None and high is not None
    passing = count(lies_between("rate", low, high))
    assert 0 < passing < 40
    page.get_by_role("button", name=f"Show {passing} experts").click()  # a tap so soon may count as part of the last touch
    expect(page.get_by_role("dialog", name="Filters")).to_be_hidden()
    expect_experts(page, lies_between("rate", low, high))
    context.close()


# --- choosing and clearing ---


def test_long_lists_have_a_box_that_looks_for_names(open_at: Open) -> None:
    page = open_at("#/?label=numbers:42")
    labels = facet(page, "Label")
    boxes = labels.get_by_role("checkbox")
    expect(boxes).to_have_count(100)  # of Numbers, which a chosen label has unfolded
    look = labels.get_by_role("searchbox", name="Look for labels of Numbers 0–99")
    look.fill("9")
    nines = [str(number) for number in range(100) if "9" in str(number) or number == 42]
    assert [boxes.nth(at).get_attribute("value") for at in range(boxes.count())] == [f"numbers:{name}" for name in nines]
    expect(box(labels, "42")).to_be_checked()
    box(labels, "97").check()
    expect(chips(page)).to_have_count(2)
    expect_amount(box(labels, "97"), count(fires_on("97", task=2)))
    look.press("Escape")
    expect(look).to_have_value("")
    expect(boxes).to_have_count(100)
    expect(labels.locator("summary").first).to_contain_text("2 labels")
    labels.get_by_role("button", name="Clear Label").click()
    expect(chips(page)).to_have_count(0)
    expect(box(labels, "97")).not_to_be_checked()


def test_the_keyboard_keeps_its_place_among_the_chips(open_at: Open) -> None:
    page = open_at("#/?activity=neither&order=1&shape=ring&importance=0..")
    expect(chips(page)).to_have_count(4)
    second = chips(page).nth(1).inner_text()
    chips(page).first.press("Enter")
    expect(chips(page)).to_have_count(3)
    expect(chips(page).first).to_be_focused()
    expect(chips(page).first).to_have_text(second)
    chips(page).last.press("Enter")
    expect(chips(page).last).to_be_focused()
    page.get_by_role("button", name="Reset", exact=True).press("Enter")
    expect(chips(page)).to_have_count(0)
    expect(page.get_by_role("status")).to_be_focused()
    expect_experts(page, lambda expert: True)


def test_the_summarys_counts_lead_to_those_experts(open_at: Open) -> None:
    page = open_at("#/?task=months&sort=number")
    for text, test in (("silent", is_active("silent")), ("dense", is_active("dense"))):
        link = page.get_by_role("link", name=re.compile(rf"^{count(test)} {text}$"))
        link.click()
        expect(page.get_by_role("status")).to_have_text(f"{count(test)} of 40 experts")
        expect(chips(page)).to_have_count(1)
    page.get_by_role("link", name=re.compile("with a supported order")).click()
    expect(page.get_by_role("status")).to_have_text(f"{count(has_order(1, 2))} of 40 experts")
    expect(page).to_have_url(re.compile(r"\?order=1&sort=number$"))


def test_bookmarked_experts_are_a_filter_with_a_count(open_at: Open) -> None:
    page = open_at("")
    kept = page.get_by_role("checkbox", name=re.compile("^Bookmarked"))
    expect_amount(kept, 0)
    for expert in (ALL[3], ALL[5]):
        page.get_by_role("button", name=f"Bookmark expert {expert}", exact=True).first.click()
    expect_amount(kept, 2)
    kept.check()
    expect_experts(page, lambda expert: expert in (ALL[3], ALL[5]))


def test_a_token_that_fires_experts_is_offered_with_its_page(open_at: Open) -> None:
    page = open_at("")
    firing = {row["expert"] for row in rows_of("expert_tokens") if VOCABULARY[row["token"]] == " this"}
    assert len(firing) > 1
    page.get_by_role("searchbox", name="Search experts").fill("this")
    link = page.get_by_role("link", name=f"“this” is a token: {len(firing)} experts fire on it")
    expect(link).to_have_attribute("href", re.compile(r"^#/token/this(\?|$)"))


def test_a_task_or_hypothesis_that_is_named_in_the_search_is_offered(open_at: Open) -> None:
    page = open_at("")
    search = page.get_by_role("searchbox", name="Search experts")
    search.fill("month")
    page.get_by_role("button", name=f"Months is a task: {count(is_about(1))} experts have a claim about it").click()
    expect_experts(page, is_about(1))
    expect(search).to_have_value("")
    hypothesis = next(row for row in rows_of("hypotheses") if row["task"] == 2 and reads_any(2, row["hypothesis"]))
    search.fill(hypothesis["title"].upper())
    page.get_by_role("button", name=f"{hypothesis['title']} is a hypothesis of Numbers 0–99").click()
    expect(chips(page)).to_have_count(1)
    expect_experts(page, reads(2, hypothesis["hypothesis"]))
    # In the middle of a word nothing is meant.
    search.fill("onths")
    expect(page.get_by_role("button", name=re.compile("is a (task|hypothesis)"))).to_have_count(0)


def reads_any(task: int, hypothesis: int) -> bool:
    return count(reads(task, hypothesis)) > 0


def test_nothing_moves_while_a_search_is_typed(open_at: Open) -> None:
    page = open_at("")
    search = page.get_by_role("searchbox", name="Search experts")
    plane = page.get_by_role("application")
    tops = set()
    for query in ("s", "sept", "september", "qqqq", "the", "this"):
        search.fill(query)
        expect(chips(page).first).to_have_accessible_name(f"Remove filter: “{query}”")
        box = plane.bounding_box()
        assert box
        tops.add((box["y"], box["height"]))
    assert len(tops) == 1


def test_a_word_that_is_too_common_for_contexts_is_said_once_where_nothing_is_found(open_at: Open) -> None:
    page = open_at("#/?q=the")
    left_out = page.get_by_text("“the”: in too many contexts to look for there")
    expect(left_out).to_have_text("“the”: in too many contexts to look for there.")
    page.get_by_role("checkbox", name=re.compile("^Bookmarked")).check()
    expect(page.get_by_text("No expert passes both filters.")).to_be_visible()
    expect(left_out).to_have_text(re.compile("; only tokens, titles and numbers were searched.$"))


def test_without_a_label_how_labels_are_asked_for_leaves_no_trace_in_the_history(open_at: Open) -> None:
    page = open_at("")
    labels = facet(page, "Label")
    before = page.evaluate("history.length")
    labels.get_by_role("radio", name="all of them").check()
    labels.get_by_role("slider").press("ArrowRight")
    expect(page).to_have_url(re.compile("mode=all&fires=0.55$"))
    assert page.evaluate("history.length") == before
    labels.locator("summary", has_text="Months").click()
    box(labels, "May").check()
    labels.get_by_role("radio", name="any of them").check()
    expect(page).to_have_url(re.compile("fires=0.55$"))
    assert page.evaluate("history.length") == before + 2


def test_in_forced_colours_the_thumbs_can_be_seen(open_at: Open) -> None:
    page = open_at("")
    page.emulate_media(forced_colors="active")
    group = facet(page, "Importance")
    _, left, width, y = bars(group)
    for side, x in (("least", left - 8), ("most", left + width)):
        clip = {"x": x + 1, "y": y, "width": 6, "height": 24}
        seen = page.screenshot(clip=clip)  # type: ignore[arg-type]
        group.get_by_role("slider", name=f"Importance, at {side}").evaluate("slider => { slider.style.visibility = 'hidden'; }")
        assert page.screenshot(clip=clip) != seen  # type: ignore[arg-type]


def test_what_is_unfolded_stays_so_while_the_tab_is_open(open_at: Open) -> None:
    page = open_at("")
    facet(page, "Coverage")
    page.get_by_role("group", name="Importance", exact=True).locator("summary").click()
    page.wait_for_function("() => JSON.parse(sessionStorage.getItem('atlas-open-facets'))?.importance === false")
    page.reload()
    expect(page.get_by_role("slider", name="Coverage, at least")).to_be_visible()
    expect(page.get_by_role("slider", name="Importance, at least")).to_be_hidden()


def test_the_drawer_keeps_the_keyboard_until_it_is_closed(open_at: Open, quiet_page: Page) -> None:
    quiet_page.set_viewport_size(PHONE)  # type: ignore[arg-type]
    page = open_at("#/?activity=neither")
    button = page.get_by_role("button", name="Filters · 1")
    button.press("Enter")
    drawer = page.get_by_role("dialog", name="Filters")
    expect(drawer.get_by_role("button", name=f"Show {count(is_active('neither'))} experts")).to_be_focused()
    inside = "document.activeElement === document.body || document.querySelector('dialog').contains(document.activeElement)"
    for key in ("Tab", "Shift+Tab"):
        for _ in range(12):
            page.keyboard.press(key)
            assert page.evaluate(inside)
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    page.keyboard.press("Escape")
    expect(drawer).to_be_hidden()
    expect(button).to_be_focused()
    # Where there is room again, the filters stand beside the list.
    page.set_viewport_size({"width": 1280, "height": 800})
    expect(page.get_by_role("group", name="Claim about")).to_be_visible()
