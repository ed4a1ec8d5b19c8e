"""The address holds the whole state of the page: whatever is asked for is written, and read again as the same."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from playwright.sync_api import Page

pytestmark = pytest.mark.browser

CASES_AT_ONCE = 60
RANGES = ("score", "coverage", "importance", "rate", "mean_norm", "effective_dimension", "dimensions_needed")
READ = """async (states) => {
    const { route } = atlas;
    const hop = (hash) => new Promise((done) => {
        if (location.hash === new URL(hash, location.href).hash) { done(); return; }
        addEventListener("hashchange", () => done(), { once: true });
        location.hash = hash;
    });
    const found = [];
    for (const state of states) {
        await hop("#/about");
        const asked = { ...route.DEFAULTS, ...state };
        const address = route.link(asked);
        await hop(address);
        const read = { ...route.state };
        found.push({ address, read, again: route.link(read) });
    }
    return [route.DEFAULTS, found];
}"""
"""States ► the address of each, what is read of it, and the address of that."""


def texts(least: int = 1) -> st.SearchStrategy[str]:
    """Any text that a state can hold: an address is read as UTF-8, in which half a surrogate pair is none."""
    awkward = st.sampled_from(
        ["&", "#", "%", "+", "=", "?", "/", "%25", "\0", "\n", "\u2028", "\u202e", "é", "e\u0301", "🜁", "..", " a "]
    )
    return st.lists(awkward | st.text(st.characters(exclude_categories=["Cs"]), max_size=6), min_size=least, max_size=4).map(
        "".join
    )


WORDS = texts().filter(bool)
BOUNDS = st.one_of(st.none(), st.floats(-1e6, 1e6).map(lambda number: number + 0.0), st.integers(-9, 9))


def ranges() -> st.SearchStrategy[Any]:
    def ordered(pair: tuple[Any, Any]) -> Any:
        low, high = pair
        if low is None and high is None:
            return None
        if low is not None and high is not None and low > high:
            low, high = high, low
        return {"low": low, "high": high}

    return st.tuples(BOUNDS, BOUNDS).map(ordered)


NUMBERS = st.integers(0, 999_999_999)
PAGES = {
    "expert": NUMBERS,
    "beside": st.tuples(NUMBERS, NUMBERS).map(list),
    "token": WORDS,
    "ofTask": WORDS,
    "ofCluster": NUMBERS,
    "prompt": NUMBERS,
    "about": st.just(True),
    "fidelity": st.just(True),
}
LOOKS: dict[str, st.SearchStrategy[Any]] = {
    "q": WORDS.filter(lambda text: bool(text.strip())),
    **dict.fromkeys(("task", "hypothesis", "area", "sort", "columns", "map", "place"), WORDS),
    **dict.fromkeys(("corpus", "colour", "seen", "camera", "pin", "reach", "marks"), WORDS),
    **dict.fromkeys(("label", "shape", "cluster", "activity", "only", "without"), st.lists(texts(0), unique=True, max_size=3)),
    **dict.fromkeys(("order", "marked", "folded", "flat", "join"), st.just(True)),
    **dict.fromkeys(RANGES, ranges()),
    "mode": st.just("all"),
    "view": st.just("table"),
    "tab": st.just("map"),
    "fires": st.floats(1e-6, 1),
    "at": st.integers(0, 2**53 - 1),
}


@st.composite
def states(draw: st.DrawFn) -> dict[str, Any]:
    page = draw(st.sampled_from([None, *PAGES]))
    keys = draw(st.lists(st.sampled_from(sorted(LOOKS)), unique=True, max_size=8))
    return ({page: draw(PAGES[page])} if page else {}) | {key: draw(LOOKS[key]) for key in keys}


def test_a_state_is_read_from_its_address_as_it_was(open_at: Callable[[str], Page]) -> None:
    page = open_at("")

    @settings(max_examples=4, deadline=None, phases=[Phase.generate, Phase.reuse], suppress_health_check=list(HealthCheck))
    @given(st.lists(states(), min_size=CASES_AT_ONCE, max_size=CASES_AT_ONCE))
    def holds(asked: list[dict[str, Any]]) -> None:
        defaults, found = page.evaluate(READ, asked)
        for state, one in zip(asked, found, strict=True):
            assert one["read"] == defaults | state, one["address"]
            assert one["again"] == one["address"]

    holds()
