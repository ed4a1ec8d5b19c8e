"""Search, filters, sort and count, against slow and obvious answers from the synthetic tables."""

from __future__ import annotations

import random
import re
import shutil
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import BrowserContext, Locator, Page, expect

from atlas.bake import bake
from atlas.store import write_atlas
from synthetic import MONTHS, VOCABULARY, Size, synthetic_tables

pytestmark = pytest.mark.browser
Open = Callable[[str], Page]
Row = dict[str, Any]
PHONE = {"width": 390, "height": 844}


# --- the obvious answers ---


def rows_of(table: str) -> list[Row]:
    columns = synthetic_tables()[table]
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


STATS = {row["expert"]: row for row in rows_of("expert_stats")}
TITLES = {row["expert"]: row for row in rows_of("titles")}
LABEL_STATS = rows_of("label_stats")
SCORES = rows_of("scores")
TOKENS = rows_of("expert_tokens")
ALL = sorted(STATS, key=lambda expert: (-STATS[expert]["importance"], expert))
"""Every expert, in the list's first order."""
SUPPORTED = {task: {row["expert"] for row in SCORES if row["order_supported"] and row["task"] == task} for task in (1, 2)}


def folded(text: str) -> str:
    return unicodedata.normalize("NFKC", text).casefold().strip().removeprefix("##")


def shares() -> dict[int, dict[str, float]]:
    """Return what part of each expert's firings is on each text."""
    found: dict[int, dict[str, float]] = {expert: defaultdict(float) for expert in ALL}
    for row in TOKENS:
        found[row["expert"]][folded(VOCABULARY[row["token"]])] += row["share"]
    return found


SHARES = shares()


def context_words() -> dict[int, Counter[str]]:
    """Return in how many of an expert's strongest contexts each word is, without those that most experts have."""
    windows = {row["window"]: row["tokens"] for row in rows_of("windows") if row["task"] == 0}
    found: dict[int, Counter[str]] = {expert: Counter() for expert in ALL}
    for row in rows_of("top_firings"):
        if (row["task"], row["stratum"]) != (0, "top"):
            continue
        text, token_of = "", []
        for place, token in enumerate(windows[row["window"]]):
            piece = re.sub(r"^##(?=\w)", "", VOCABULARY[token])
            piece = unicodedata.normalize("NFKC", piece).upper().lower().replace("ς", "σ")
            text, token_of = text + piece, [*token_of, *[place] * len(piece)]
        near = range(row["position"] - 12, row["position"] + 13)
        words = re.finditer(r"[^\W_]+", text)
        found[row["expert"]].update({word[0] for word in words if {token_of[word.start()], token_of[word.end() - 1]} <= {*near}})
    experts = Counter(word for words in found.values() for word in words)
    return {expert: Counter({word: n for word, n in words.items() if experts[word] <= 20}) for expert, words in found.items()}


CONTEXT_WORDS = context_words()


def rank(expert: int, word: str) -> float:
    """Return how well an expert matches one word: its number, a whole token, a token's beginning, a word of its title, of its
    contexts, the beginning of such a one.
    """
    texts = SHARES[expert]
    ranks = [0.0, 4.0 * (word == str(expert))]
    ranks += [
        (0.25 if text == word else 0.125) + n / 65_536
        for text, n in CONTEXT_WORDS[expert].items()
        if text == word or (len(word) > 2 and text.startswith(word))
    ]
    ranks += [
        (2 if text == word else 1) + round(65_535 * share) / 65_536 for text, share in texts.items() if text.startswith(word)
    ]
    title = TITLES[expert]["title"].casefold()
    ranks += [0.5 * (any(part.startswith(word) for part in re.split(r"\W+", title)) if word.isalnum() else word in title)]
    return max(ranks)


def matching(*words: str) -> list[int]:
    """Return the experts that match all words, the best first."""
    found = [expert for expert in ALL if all(rank(expert, word) for word in words)]
    return sorted(found, key=lambda expert: -sum(rank(expert, word) for word in words))


def firing(month: str, least: float = 0.5) -> dict[int, float]:
    """Return the experts that fire on a month, with the lift."""
    chosen = [row for row in LABEL_STATS if row["task"] == 1 and row["label"] == MONTHS.index(month)]
    return {row["expert"]: row["lift"] for row in chosen if row["fires"] >= least - 1e-12}


def by_lift(months: Iterable[str], mode: str, least: float = 0.5) -> list[int]:
    """Return the experts that fire on any or all of the months: by the largest lift, or by the smallest."""
    lifts = [firing(month, least) for month in months]
    test, choose = (any, max) if mode == "any" else (all, min)
    found = [expert for expert in ALL if test(expert in lift for lift in lifts)]
    return sorted(found, key=lambda expert: -choose(lift[expert] for lift in lifts if expert in lift))


def claiming(task: int) -> list[int]:
    return [expert for expert in ALL if TITLES[expert]["task"] == task or expert in SUPPORTED[task]]


# --- the page ---


def search_box(page: Page) -> Locator:
    return page.get_by_role("searchbox", name="Search experts")


def items(page: Page) -> Locator:
    return page.get_by_role("list", name="Experts").get_by_role("listitem")


def expect_experts(page: Page, experts: list[int]) -> None:
    """Wait until the list holds these experts in this order, and the status counts them."""
    names = [re.compile(rf"^{expert}\b") for expert in experts]
    expect(page.get_by_role("list", name="Experts").get_by_role("link")).to_have_text(names)
    said = "40 experts" if len(experts) == 40 else f"{len(experts)} of 40 experts"
    expect(page.get_by_role("status")).to_have_text(said)


def facet(page: Page, name: str | re.Pattern[str]) -> Locator:
    """Return a facet, unfolded."""
    found = page.get_by_role("group", name=name, exact=isinstance(name, str))
    details = found.locator("details").first
    expect(details).to_be_visible()
    if details.get_attribute("open") is None:
        found.locator("summary").first.click()
    return found


def label(page: Page, month: str) -> Locator:
    return facet(page, "Label").get_by_role("checkbox", name=re.compile(rf"^{month}\b"))


def every_label(page: Page) -> Locator:
    return facet(page, "Label").get_by_role("radio", name=re.compile("^all"))


def open_months(page: Page) -> None:
    facet(page, "Label").locator("summary", has_text="Months").click()


def chips(page: Page) -> Locator:
    return page.get_by_role("button", name=re.compile("^Remove filter"))


def chip(page: Page, about: str | re.Pattern[str]) -> Locator:
    return chips(page).filter(has_text=about)


def expect_drawn(page: Page) -> None:
    expect(page.locator("[data-page=expert] [data-scene]")).to_have_attribute("data-ready", "", timeout=20_000)


def shown_lift(page: Page) -> list[float]:
    """Return the lifts that the rows print, as they stand under each other."""
    texts = items(page).all_inner_texts()
    return [float(re.findall(r"lift ([\d.,]+)", text)[-1].replace(",", "")) for text in texts]


# --- search ---


def test_a_search_finds_what_the_obvious_one_finds(open_at: Open) -> None:
    page = open_at("")
    for words in (["the"], ["may"], ["months"], ["order", "num"], ["wh", "the"], ["12"]):
        search_box(page).fill(" ".join(words))
        assert 0 < len(matching(*words)) < 40
        expect_experts(page, matching(*words))
        expect(page.get_by_role("combobox", name="Sort by")).to_have_value("match")


SEARCH = """async (queries) => {
  const manifest = atlas.columns.decoded(await atlas.payloads.load("atlas"));
  const finder = new atlas.query.Finder(manifest, null);
  const found = [];
  for (const q of queries) {
    const state = { ...atlas.route.DEFAULTS, q };
    const { rows } = finder.find(state, await finder.ready(state));
    found.push(Array.from(rows, (row) => manifest.experts.expert[row]));
  }
  return found;
}"""


def drawn_queries(n: int) -> Iterator[tuple[str, list[str]]]:
    """Yield what is typed, and the words meant by it: whole ones, beginnings, several, in any spelling that folds alike."""
    chance = random.Random(0)
    titled = [word for row in TITLES.values() for word in re.findall(r"\w+", row["title"].casefold())]
    within = [word for words in CONTEXT_WORDS.values() for word in words]
    spellings = (str, str, str.upper, str.title, wide, lambda word: f"##{word}" if len(word) > 1 else word)
    for _ in range(n):
        words = []
        for _ in range(chance.choice((1, 1, 2, 3))):
            known = chance.choice((list(SPELLED), titled, within, list(map(str, ALL)), ["zzz", "0x", "ß"]))
            word = folded(chance.choice(known))
            words.append(word if chance.random() < 0.5 else word[: chance.randint(1, len(word))])
        typed = chance.choice((" ", "  ", "\u3000", "\t")).join(chance.choice(spellings)(word) for word in words)
        if all(folded(part) == word for part, word in zip(typed.split(), words, strict=False)) and len(typed.split()) == len(
            words
        ):
            yield typed, words


SPELLED = sorted({folded(text) for text in VOCABULARY if re.fullmatch(r"\w+", folded(text))})


def wide(word: str) -> str:
    """A word in the wide letters of East Asian fonts."""
    return "".join(chr(ord(letter) + 0xFEE0) if "!" <= letter <= "~" else letter for letter in word)


def test_any_search_finds_what_the_obvious_one_finds_in_its_order(open_at: Open) -> None:
    asked = list(drawn_queries(400))
    found = open_at("").evaluate(SEARCH, [typed for typed, _ in asked])

    assert len(asked) > 250 and len({tuple(one) for one in found}) > 60
    for (typed, words), experts in zip(asked, found, strict=True):
        assert experts == matching(*words), typed


def test_a_word_is_found_however_it_is_written(open_at: Open) -> None:
    page = open_at("")
    written = {"Straße": "strasse", "strasse": "strasse", "##ber": "ber", "ber": "ber", "ΟΔΟΣ": "οδοσ", "οδος": "οδοσ"}
    for typed, word in (written | {"  THE ": "the", "ｔｈｅ": "the", "東京": "東京", "東京都": "東京都"}).items():
        search_box(page).fill(typed)
        assert 0 < len(matching(word)) < 40
        expect_experts(page, matching(word))


@pytest.mark.parametrize("typed", ["“हिन्दी”", "(İstanbul)"])
def test_marks_belong_to_the_word_that_they_follow(open_at: Open, typed: str) -> None:
    page = open_at("")
    inside = page.evaluate(
        """async (query) => {
          const { experts } = atlas.columns.decoded(await atlas.payloads.load("atlas"));
          const { words } = await new atlas.search.Search(experts, () => -1).ready(query);
          return words.map(({ inside }) => inside);
        }""",
        typed,
    )
    assert inside == [unicodedata.normalize("NFKC", typed[1:-1]).upper().lower()]


def test_a_whole_token_stands_before_a_beginning_and_equal_texts_add_up(open_at: Open) -> None:
    page = open_at("#/?q=the")
    whole = [expert for expert in ALL if "the" in SHARES[expert]]
    both = [expert for expert in whole if SHARES[expert]["the"] > 1.5 / 60]
    assert 0 < len(both) < len(whole) < len(matching("the"))
    assert matching("the")[: len(whole)] == sorted(whole, key=lambda expert: -SHARES[expert]["the"])
    expect_experts(page, matching("the"))


def test_an_expert_is_found_by_its_number_before_all_others(open_at: Open) -> None:
    page = open_at("")
    search_box(page).fill("7")
    expect(items(page).first.get_by_role("link")).to_have_accessible_name(re.compile("^Expert 7:"))
    search_box(page).fill("07 x")
    expect(items(page)).to_have_count(0)


def test_a_search_without_a_match_can_be_taken_back(open_at: Open) -> None:
    page = open_at("")
    search_box(page).fill("xyzzy")
    expect_experts(page, [])
    page.get_by_role("button", name=re.compile("^Without.*xyzzy.*40$")).click()
    expect_experts(page, ALL)
    expect(search_box(page)).to_have_value("")


def test_what_is_searched_for_stays_text(open_at: Open) -> None:
    page = open_at("")
    page.on("dialog", lambda dialog: pytest.fail(f"a script ran: {dialog.message}"))
    markup = ("<img", "</script>", "<img src=x onerror=alert(1)>", "__proto__", "constructor", "%", "\\", "a?b#c&d=e")
    for typed in markup:
        search_box(page).fill(typed)
        expect(chip(page, typed)).to_be_visible()
        expect(page.get_by_role("status")).to_have_text(f"{len(matching(*typed.casefold().split()))} of 40 experts")
        assert page.locator("main img, main script").count() == 0
    expect(page).to_have_url(re.compile("q=a%3Fb"))
    page.reload()
    expect(search_box(page)).to_have_value(markup[-1])


def test_slash_leads_to_the_search_and_escape_clears_it(open_at: Open) -> None:
    page = open_at("")
    expect(items(page)).to_have_count(40)
    page.keyboard.press("/")
    expect(search_box(page)).to_be_focused()
    expect(search_box(page)).to_have_value("")
    page.keyboard.type("12")
    expect_experts(page, matching("12"))
    page.keyboard.type("/")
    expect(search_box(page)).to_have_value("12/")
    page.keyboard.press("Escape")
    expect(search_box(page)).to_have_value("")
    expect_experts(page, ALL)


def test_a_search_from_an_experts_page_shows_the_list(open_at: Open) -> None:
    page = open_at("#/expert/0?camera=1_1_1_0_0_0_0_1_0_1&colour=synthetic")
    expect(page.get_by_role("heading", name="Expert 0")).to_be_visible()
    search_box(page).press("Escape")
    expect(page.get_by_role("heading", name="Expert 0")).to_be_visible()
    search_box(page).fill("may")
    expect_experts(page, matching("may"))
    expect(page).to_have_url(re.compile(r"#/\?q=may$"))
    expect(search_box(page)).to_be_focused()


def test_a_labels_name_leads_to_its_filter(open_at: Open) -> None:
    page = open_at("")
    search_box(page).fill("sept")
    page.get_by_role("button", name=re.compile(rf"^September.*Months.*\b{len(firing('September'))} experts?\b")).click()
    expect_experts(page, by_lift(["September"], "any"))
    expect(search_box(page)).to_have_value("")
    expect(label(page, "September")).to_be_checked()
    page.go_back()
    expect(search_box(page)).to_have_value("sept")


def test_only_a_labels_beginning_is_taken_for_its_name(open_at: Open) -> None:
    page = open_at("")
    buttons = page.get_by_role("button", name=re.compile(r"Months|Numbers"))
    for typed, offered in {"ma": [], "mar": ["March"], "MAY": ["May"], "ju": [], "7": ["7"], "ju1": []}.items():
        search_box(page).fill(typed)
        expect(chip(page, typed)).to_be_visible()
        expect(buttons).to_have_text([re.compile(rf"^{name}\b") for name in offered])


# --- filters ---


def test_labels_are_sorted_by_lift(open_at: Open) -> None:
    page = open_at("")
    open_months(page)
    label(page, "September").check()
    expect_experts(page, by_lift(["September"], "any"))
    expect(page.get_by_role("combobox", name="Sort by")).to_have_value("lift")
    lifts = firing("September")
    assert shown_lift(page) == pytest.approx([lifts[expert] for expert in by_lift(["September"], "any")], rel=0.005)
    expect(items(page).first).to_contain_text("September")
    page.get_by_role("combobox", name="Sort by").select_option("expert number")
    expect_experts(page, sorted(lifts))


def test_any_and_all_labels(open_at: Open) -> None:
    page = open_at("#/?fires=0.9")
    open_months(page)
    for month in ("September", "January", "May"):
        label(page, month).check()
    chosen = ["September", "January", "May"]
    assert len(by_lift(chosen, "all", 0.9)) < len(by_lift(chosen, "any", 0.9))
    expect_experts(page, by_lift(chosen, "any", 0.9))
    every_label(page).check()
    expect_experts(page, by_lift(chosen, "all", 0.9))
    expect(page).to_have_url(re.compile("mode=all"))
    chip(page, "January").click()
    expect_experts(page, by_lift(["September", "May"], "all", 0.9))
    expect(label(page, "January")).not_to_be_checked()


def test_the_slider_says_how_often_a_label_must_fire(open_at: Open) -> None:
    page = open_at("#/?label=months:May")
    slider = facet(page, "Label").get_by_role("slider")
    for least in (1, 0.95, 0.3, 0.05):
        slider.fill(str(least))
        expect_experts(page, by_lift(["May"], "any", least))
        expect(slider).to_have_attribute("aria-valuetext", re.compile(rf"^{100 * least:.0f}\D"))
        amount = label(page, "May").locator("xpath=ancestor::label")
        expect(amount).to_have_text(re.compile(rf"\b{len(firing('May', least))}$"))
    assert len({len(firing("May", least)) for least in (1, 0.95, 0.3, 0.05)}) > 2
    slider.press("End")
    expect_experts(page, by_lift(["May"], "any", 1))


def test_a_task_leaves_the_experts_that_claim_it(open_at: Open) -> None:
    page = open_at("")
    claim = facet(page, "Claim about")
    claim.get_by_role("radio", name=re.compile("^Months")).check()
    expect_experts(page, claiming(1))
    expect(page).to_have_url(re.compile("task=months"))
    expect(claim.get_by_text(re.compile(r"^Months")).locator("xpath=ancestor::label")).to_have_text(
        re.compile(rf"\b{len(claiming(1))}$")
    )
    claim.get_by_role("checkbox", name=re.compile("order supported")).check()
    expect_experts(page, [expert for expert in claiming(1) if expert in SUPPORTED[1]])
    assert 0 < len(SUPPORTED[1]) < len(claiming(1))
    chip(page, "Months").click()
    expect_experts(page, [expert for expert in ALL if expert in SUPPORTED[1] | SUPPORTED[2]])
    expect(claim.get_by_role("radio", name=re.compile("^Months"))).not_to_be_checked()


def test_an_order_is_a_claim_whatever_the_title_says(quiet_page: Page, tmp_path: Path) -> None:
    tables = synthetic_tables(size=Size(experts=12))
    scores = tables["scores"]
    at = next(at for at, key in enumerate(zip(scores["task"], scores["expert"], strict=True)) if key == (2, 11))
    scores["order_supported"][at] = True
    assert tables["titles"]["task"][11] is None and scores["testable"][at]
    write_atlas(tmp_path / "atlas.duckdb", tables)
    quiet_page.goto(
        (bake(tmp_path / "atlas.duckdb", tmp_path / "site").folder / "index.html").as_uri() + "#/?task=numbers&sort=number"
    )
    links = quiet_page.get_by_role("list", name="Experts").get_by_role("link")
    expect(links).to_have_text([re.compile(rf"^{expert}\b") for expert in (1, 9, 11)])
    quiet_page.get_by_role("checkbox", name=re.compile("order supported")).check()
    expect(links).to_have_count(3)


def test_a_range_slider_filters_at_once(open_at: Open) -> None:
    page = open_at("")
    for name, key, side, sign in (
        ("Importance, at least", "importance", 1, 1),
        ("Firing rate, at least", "rate", 1, 1),
        ("Firing rate, at most", "rate", 2, -1),
    ):
        control = page.get_by_role("slider", name=name)
        control.fill(str(int(control.get_attribute("max") or "") // 2))
        expect(page).to_have_url(re.compile(f"{key}="))
        bound = float(re.search(rf"{key}=([^&]*)\.\.([^&]*)$", page.url)[side])  # type: ignore[index]
        left = [expert for expert in ALL if sign * (STATS[expert][key] - bound) >= 0]
        assert 0 < len(left) < 40
        expect_experts(page, left)
        before = control.get_attribute("aria-valuetext")
        control.press("ArrowRight")
        expect(control).not_to_have_attribute("aria-valuetext", before or "")
        chips(page).click()
        expect_experts(page, ALL)
        expect(control).to_have_attribute("aria-valuetext", "any")
        expect(page).to_have_url(re.compile("#/$"))


def test_the_score_slider_leaves_experts_whose_best_score_is_as_high(open_at: Open) -> None:
    page = open_at("")
    control = page.get_by_role("slider", name="Best score, at least")
    control.fill("14")
    expect(page).to_have_url(re.compile(r"score=0\.7\.\.$"))
    # Where an order is supported in the synthetic atlas, its score is far above all others of the expert.
    left = [
        expert
        for expert in ALL
        if any(row["expert"] == expert and row["order_supported"] and row["all_rows"] >= 0.7 - 1e-9 for row in SCORES)
    ]
    assert 0 < len(left) < 40
    expect_experts(page, left)
    control.press("Home")
    expect_experts(page, ALL)


def test_a_bound_in_the_address_holds_whatever_the_sliders_stops_are(open_at: Open) -> None:
    bound = STATS[ALL[9]]["importance"]
    page = open_at(f"#/?importance={bound:.6g}&rate=..0.01")
    expect_experts(page, [expert for expert in ALL[:10] if STATS[expert]["rate"] <= 0.01])


def test_chips_take_one_filter_back_and_reset_all(open_at: Open) -> None:
    page = open_at(
        "#/?q=the&task=months&order=1&label=months:May&score=0.3..&importance=0.0001..&rate=0.0001..0.9&mean_norm=0..&sort=number"
    )
    expect(chips(page)).to_have_count(8)
    expect(chip(page, "May")).to_have_accessible_name(re.compile("May"))
    chip(page, "“the”").click()
    expect(chips(page)).to_have_count(7)
    expect(search_box(page)).to_have_value("")
    page.get_by_role("button", name="Reset").click()
    expect(chips(page)).to_have_count(0)
    expect_experts(page, sorted(ALL))
    for slider in ("Best score, at least", "Importance, at least", "Firing rate, at least", "Firing rate, at most"):
        expect(page.get_by_role("slider", name=slider)).to_have_attribute("aria-valuetext", "any")


def test_an_empty_result_says_which_filter_to_relax(open_at: Open) -> None:
    page = open_at("#/?label=months:May&task=numbers&rate=0.0001..")
    left = {
        "May": [expert for expert in claiming(2) if STATS[expert]["rate"] >= 0.0001],
        "Numbers": [expert for expert in by_lift(["May"], "any") if STATS[expert]["rate"] >= 0.0001],
    }
    expect_experts(page, [])
    ways = page.get_by_role("button", name=re.compile("^Without"))
    expect(ways).to_have_count(2)
    for text, experts in left.items():
        expect(ways.filter(has_text=text)).to_have_text(re.compile(rf"\b{len(experts)}$"))
    ways.filter(has_text="Numbers").click()
    expect_experts(page, left["Numbers"])
    page.go_back()
    ways.filter(has_text="May").click()
    expect_experts(page, left["May"])


def test_where_no_single_filter_is_the_reason_all_can_be_reset(open_at: Open) -> None:
    page = open_at("#/?q=xyzzy&task=numbers&score=1..")
    expect_experts(page, [])
    expect(page.get_by_role("button", name=re.compile("^Without"))).to_have_count(0)
    page.get_by_role("button", name="Reset").last.click()
    expect_experts(page, ALL)


# --- the address ---


def test_reload_and_a_pasted_address_bring_a_view_back(open_at: Open) -> None:
    page = open_at("")
    open_months(page)
    label(page, "September").check()
    label(page, "October").check()
    every_label(page).check()
    facet(page, "Label").get_by_role("slider").fill("0.6")
    page.get_by_role("combobox", name="Sort by").select_option("expert number")
    search_box(page).fill("in")
    both = by_lift(["September", "October"], "all", 0.6)
    wanted = sorted(expert for expert in both if rank(expert, "in"))
    assert 0 < len(wanted) < len(both)
    expect_experts(page, wanted)
    expect(page).to_have_url(re.compile(r"#/\?q=in&label=months:September&label=months:October&mode=all&fires=0.6&sort=number$"))
    address = page.url.partition("#")[2]
    page.reload()
    for _ in range(2):
        expect_experts(page, wanted)
        expect(label(page, "September")).to_be_checked()
        expect(every_label(page)).to_be_checked()
        expect(page.get_by_role("combobox", name="Sort by")).to_have_value("number")
        page.goto("about:blank")
        open_at(f"#{address}")


def test_an_address_that_comes_while_another_is_to_be_written_stands(open_at: Open, quiet_page: Page) -> None:
    # The news of it come late, as they may on a busy machine.
    quiet_page.add_init_script(
        """addEventListener("hashchange", (event) => {
          if (!event.isTrusted) return;
          event.stopImmediatePropagation();
          setTimeout(() => dispatchEvent(new HashChangeEvent("hashchange")), 600);
        }, { capture: true });"""
    )
    page = open_at("")
    expect_experts(page, ALL)
    page.get_by_role("button", name="Table").click()
    page.evaluate("() => { location.hash = '#/about'; }")
    expect(page.get_by_role("heading", name=re.compile("About"), level=2)).to_be_visible()
    expect(page).to_have_url(re.compile("#/about$"))


def test_back_undoes_typing_at_once_and_choices_one_by_one(open_at: Open) -> None:
    page = open_at("")
    expect_experts(page, ALL)
    search_box(page).press_sequentially("mon", delay=200)
    expect_experts(page, matching("mon"))
    search_box(page).press_sequentially("ths", delay=200)
    expect(page).to_have_url(re.compile("q=months$"))
    months = matching("months")
    order = page.get_by_role("checkbox", name=re.compile("order supported"))
    order.check()
    supported = [expert for expert in months if expert in SUPPORTED[1] | SUPPORTED[2]]
    expect_experts(page, supported)
    page.get_by_role("combobox", name="Sort by").select_option("expert number")
    expect_experts(page, sorted(supported))
    score = page.get_by_role("slider", name="Best score, at least")
    for _ in range(3):
        score.press("ArrowRight")
    expect(page).to_have_url(re.compile("score=0.15"))
    chip(page, "score").click()
    expect(page).not_to_have_url(re.compile("score="))
    page.go_back()
    expect(page).to_have_url(re.compile("score=0.15"))
    page.go_back()
    expect_experts(page, sorted(supported))
    expect(score).to_have_attribute("aria-valuetext", "any")
    page.go_back()
    expect_experts(page, supported)
    expect(page.get_by_role("combobox", name="Sort by")).to_have_value("match")
    page.go_back()
    expect_experts(page, months)
    expect(order).not_to_be_checked()
    page.go_back()
    expect_experts(page, ALL)
    expect(search_box(page)).to_have_value("")
    page.go_forward()
    expect_experts(page, months)
    expect(search_box(page)).to_have_value("months")
    for word in ("the", "wh"):
        search_box(page).fill(word)
        expect_experts(page, matching(word))
        page.go_back()
        expect_experts(page, months)


def test_an_experts_page_knows_the_list_that_it_was_reached_from(open_at: Open) -> None:
    page = open_at("#/?label=months:May&label=months:June&mode=all")
    wanted = by_lift(["May", "June"], "all")
    expect_experts(page, wanted)
    page.get_by_role("link", name=f"Expert {wanted[1]}:").click()
    expect(page.get_by_role("heading", name=f"Expert {wanted[1]} ")).to_be_visible()
    expect(page).to_have_url(re.compile(rf"#/expert/{wanted[1]}\?label=months:May&label=months:June&mode=all$"))
    expect_drawn(page)
    page.reload()
    for way, expert in (("Next", wanted[2]), ("Previous", wanted[1]), ("Previous", wanted[0])):
        page.get_by_role("link", name=re.compile(f"^{way}")).click()
        expect(page.get_by_role("heading", name=f"Expert {expert} ")).to_be_visible()
    expect(page.get_by_role("link", name=re.compile("^Previous"))).to_have_count(0)
    page.get_by_role("link", name=f"{len(wanted)} of 40 experts").click()
    expect_experts(page, wanted)
    expect(page.get_by_role("link", name=f"Expert {wanted[0]}:")).to_be_focused()
    page.go_back()
    expect(page.get_by_role("heading", name=f"Expert {wanted[0]} ")).to_be_visible()


def test_an_expert_that_the_filters_leave_out_still_has_its_page(open_at: Open) -> None:
    out = next(expert for expert in ALL if expert not in claiming(1))
    page = open_at(f"#/expert/{out}?task=months")
    expect(page.get_by_role("heading", name=f"Expert {out} ")).to_be_visible()
    expect(page.get_by_role("link", name=re.compile("^(Next|Previous)"))).to_have_count(0)
    page.get_by_role("link", name=f"{len(claiming(1))} of 40 experts").click()
    expect_experts(page, claiming(1))


def test_choosing_a_colour_leaves_the_camera_out_of_the_address(open_at: Open) -> None:
    page = open_at("#/expert/1")
    expect_drawn(page)
    for colour in ("Numbers 0–99", "Months"):
        page.get_by_label("Colour by").select_option(colour)
        expect(page.get_by_text(re.compile(f"at the labels of {colour}"))).to_be_visible()
        page.wait_for_timeout(300)
    expect(page).to_have_url(re.compile(r"#/expert/1\?colour=months$"))


def test_a_page_that_is_not_there_is_said_above_the_list(open_at: Open) -> None:
    for route in ("#/zzz", "#/expert/-1", "#/expert/1x", "#zzz", "#/expert/", "#/constructor", "#/%E0%A4%A"):
        page = open_at(route)
        expect(page.get_by_role("alert")).to_contain_text(re.sub("^#/?", "", route))
        expect_experts(page, ALL)
    page.get_by_role("checkbox", name=re.compile("order supported")).check()
    expect(page.get_by_role("alert")).to_have_count(0)


def test_a_label_or_task_that_is_not_there_is_said_and_leaves_nothing(open_at: Open) -> None:
    unknown = {f"label={name}": name for name in ("months:Foo", "Foo", "synthetic:x", "months:<img src=x>")}
    for query, name in (unknown | {"task=foo": "foo", "task=constructor": "constructor"}).items():
        page = open_at(f"#/?{query}")
        expect(chip(page, re.compile(f"{name}.*no (label|task)"))).to_be_visible()
        expect_experts(page, [])
        page.get_by_role("button", name=re.compile("^Without.*40$")).click()
        expect_experts(page, ALL)


def test_a_value_that_means_nothing_is_as_if_it_were_not_given(open_at: Open) -> None:
    for query in (
        "sort=zzz",
        "sort=lift",
        "importance=abc",
        "importance=a..b",
        "score=..",
        "rate=NaN..",
        "mode=no",
        "fires=2",
        "&&=",
    ):
        # From another list, so that each is seen to be read.
        page = open_at("#/?sort=number")
        expect_experts(page, sorted(ALL))
        page = open_at(f"#/?order=1&{query}")
        expect(chip(page, "order")).to_be_visible()
        expect_experts(page, [expert for expert in ALL if expert in SUPPORTED[1] | SUPPORTED[2]])
        expect(chips(page)).to_have_count(1)
        expect(page.get_by_role("combobox", name="Sort by")).to_have_value("importance")


# --- what is loaded ---


def test_no_index_is_read_before_it_is_needed(open_at: Open, quiet_page: Page) -> None:
    asked: list[str] = []
    quiet_page.on("request", lambda request: asked.extend(re.findall(r"/data/((?:search|labels)/[\w/]+)\.", request.url)))
    page = open_at("#/expert/0")
    expect_drawn(page)
    page.get_by_role("link", name="All experts").click()
    page.get_by_role("checkbox", name=re.compile("order supported")).check()
    page.get_by_role("slider", name="Best score, at least").fill("10")
    expect(page).to_have_url(re.compile("score=0.5"))
    assert asked == []
    search_box(page).fill("the")
    expect(chip(page, "the")).to_be_visible()
    index = ["search/index", "search/tokens/0", "search/titles/0", "search/contexts/0"]
    assert asked == index
    search_box(page).fill("them")
    expect(chip(page, "them")).to_be_visible()
    page.get_by_role("button", name="Reset", exact=True).click()
    open_months(page)
    expect(label(page, "May").locator("xpath=ancestor::label")).to_have_text(re.compile(rf"\b{len(firing('May'))}$"))
    assert asked == [*index, "labels/1"]


def test_an_index_that_cannot_be_read_is_said_in_place(context: BrowserContext, site: Path, tmp_path: Path) -> None:
    broken = shutil.copytree(site, tmp_path / "broken")
    (index,) = (path for path in (broken / "data" / "search").iterdir() if path.is_file())
    kept = index.rename(tmp_path / index.name)
    page = context.new_page()
    page.goto((broken / "index.html").as_uri() + "#/?q=may")
    expect(page.get_by_role("alert")).to_contain_text("could not be read")
    expect(page.get_by_role("status")).to_have_text("40 experts")
    expect(page.get_by_text(re.compile("No expert passes"))).to_have_count(0)
    kept.rename(index)
    page.goto((broken / "index.html").as_uri() + "#/expert/0?q=may")
    page.get_by_role("link", name=f"{len(matching('may'))} of 40 experts").click()
    expect_experts(page, matching("may"))
    expect(page.get_by_role("alert")).to_have_count(0)


# --- a phone ---


def test_on_a_phone_the_filters_are_a_drawer(open_at: Open, quiet_page: Page) -> None:
    quiet_page.set_viewport_size(PHONE)  # type: ignore[arg-type]
    page = open_at("#/?task=months&rate=..0.9")
    button = page.get_by_role("button", name=re.compile("^Filters"))
    expect(button).to_have_text(re.compile(r"\b2$"))
    drawer = page.get_by_role("group", name="Claim about")
    expect(drawer).to_be_hidden()
    button.click()
    expect(drawer).to_be_visible()
    page.get_by_role("checkbox", name=re.compile("order supported")).check()
    expect(drawer).to_be_visible()
    expect(button).to_have_text(re.compile(r"\b3$"))
    page.keyboard.press("Escape")
    expect(drawer).to_be_hidden()
    expect(button).to_be_focused()
    expect_experts(page, [expert for expert in claiming(1) if expert in SUPPORTED[1]])


def test_a_touch_beside_the_drawer_closes_it_and_does_no_more(open_at: Open, quiet_page: Page) -> None:
    quiet_page.set_viewport_size(PHONE)  # type: ignore[arg-type]
    page = open_at("")
    expect_experts(page, ALL)
    drawer = page.get_by_role("group", name="Claim about")
    page.evaluate("document.querySelector('[data-experts]').scrollIntoView()")
    beside = page.evaluate("document.elementFromPoint(80, 60)?.closest('a')?.getAttribute('href') ?? ''")
    assert beside.startswith("#/expert/")
    page.get_by_role("button", name=re.compile("^Filters")).evaluate("(button) => button.click()")
    expect(drawer).to_be_visible()
    page.mouse.click(80, 60)
    expect(drawer).to_be_hidden()
    expect(page).to_have_url(re.compile(r"index\.html$"))
    page.mouse.click(80, 60)
    expect(page).to_have_url(re.compile("#/expert/"))


def test_a_filtered_phone_is_no_wider_than_its_glass(open_at: Open, quiet_page: Page) -> None:
    quiet_page.set_viewport_size(PHONE)  # type: ignore[arg-type]
    page = open_at("#/?q=september&label=months:May&label=months:Foo&task=numbers&importance=0.0001")
    expect(page.get_by_role("status")).to_have_text("0 of 40 experts")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


# --- the scene ---


OVERLAPS = """() => {
  const shown = [...document.querySelectorAll("[data-page=expert] [data-scene] .name")]
    .filter((name) => name.checkVisibility({ visibilityProperty: true }))
    .map((name) => [name.textContent, name.getBoundingClientRect()]);
  const over = shown.flatMap(([one, a], at) => shown.slice(at + 1)
    .filter(([, b]) => a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom)
    .map(([other]) => `${one} ${other}`));
  return [shown.length, over];
}"""


PLACES = """() => [...document.querySelectorAll("[data-page=expert] [data-scene] .name")]
  .map((name) => { const { left, top } = name.getBoundingClientRect(); return `${left} ${top}`; }).join()"""


@pytest.mark.parametrize("expert", [1, 2])
def test_the_names_of_class_means_do_not_lie_over_each_other(open_at: Open, quiet_page: Page, expert: int) -> None:
    quiet_page.set_viewport_size(PHONE)  # type: ignore[arg-type]
    page = open_at(f"#/expert/{expert}")
    expect_drawn(page)
    scene = page.locator("[data-page=expert] [data-scene]")
    before = ""
    for _ in range(3):
        # They are placed in the frame after a turn.
        anew = f"before => {{ const now = ({PLACES})(); return now !== before && now; }}"
        before = page.wait_for_function(anew, arg=before).json_value()
        shown, over = page.evaluate(OVERLAPS)
        assert shown > 4 and over == []
        scene.press("ArrowRight")
