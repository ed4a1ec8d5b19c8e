from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterator

import numpy as np
import polars as pl
import pytest

from atlas.bake.contexts import Windows, Words
from atlas.bake.corpora import CONTEXT_TOKENS, STRONGEST
from atlas.bake.evidence import REACH, Evidence
from atlas.bake.search import folded
from atlas.store import Store
from synthetic import Size, write_synthetic

TEXTS = {0: " Sep", 1: "##tem", 2: "ber", 3: " may", 4: ".", 5: "don't", 6: "\n", 7: " ", 8: "", 9: "####", 10: " Straße"}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """A synthetic atlas of two corpora."""
    with Store(write_synthetic(tmp_path_factory.mktemp("evidence") / "atlas.duckdb", size=Size(corpora=2))) as store:
        yield store


def evidence(windows: list[list[int]], top: list[tuple[int, int, int]]) -> Evidence:
    """Evidence with these tokens in windows and these firings: expert, window, position."""
    made = pl.DataFrame(
        {"window": range(len(windows)), "tokens": windows}, schema={"window": pl.Int32, "tokens": pl.List(pl.Int32)}
    )
    firings = pl.DataFrame(top, schema=dict.fromkeys(("expert", "window", "position"), pl.Int32), orient="row")
    return Evidence(TEXTS, pl.DataFrame(), Windows(made), firings)


def test_the_strongest_context_is_joined_to_text_round_the_firing() -> None:
    found = evidence([[10, 4], [3, 0, 1, 2, 4, 3]], [(7, 1, 2), (7, 0, 0), (2, 0, 1)]).strongest([2, 5, 7])
    assert found.before == [" Straße", "", " may Sep"]
    assert found.token == [".", "", "tem"]
    assert found.after == ["", "", "ber. may"]


def test_a_context_reaches_so_far_and_a_part_of_them_is_theirs() -> None:
    window = [3] * (2 * REACH + 9)
    found = evidence([window], [(0, 0, REACH + 3), (1, 0, 0)]).strongest([0, 1])
    assert found.before == [" may" * REACH, ""] and found.after == [" may" * REACH] * 2
    assert found.part(1, 64).before == [""] and found.part(0, 1).token == [" may"]


def test_tokens_that_are_no_inside_of_a_word_keep_their_signs() -> None:
    assert evidence([[9, 8, 1]], [(0, 0, 0)]).strongest([0]).token == ["####"]


def words(windows: list[list[int]], top: list[tuple[int, int, int]], experts: list[int]) -> dict[int, dict[str, int]]:
    """Return what `Evidence.words` says: row ► word ► in how many contexts."""
    texts, found = evidence(windows, top).words(experts)
    said: dict[int, dict[str, int]] = defaultdict(dict)
    for text, row, weight in found.select("text", "row", "weight").iter_rows():
        said[row][texts[text]] = weight
    return said


def test_pieces_join_to_words_and_signs_part_them() -> None:
    found = words([[0, 1, 2, 4, 5, 6, 3, 3, 8, 2]], [(0, 0, 4)], [0])
    # "Sep" "tem" "ber" are one word, and so are the last "may", nothing and "ber".
    assert found == {0: {"september": 1, "don": 1, "t": 1, "may": 1, "mayber": 1}}


def test_a_word_counts_once_a_context_and_not_across_windows() -> None:
    found = words([[3, 3, 4], [2], [3]], [(8, 0, 0), (8, 0, 2), (8, 2, 0), (5, 1, 0)], [5, 8])
    assert found == {1: {"may": 3}, 0: {"ber": 1}}


def test_a_word_that_a_context_cuts_is_not_in_it() -> None:
    window = [0, 1, 2, *[4] * (CONTEXT_TOKENS - 1), 10]
    assert words([window], [(0, 0, len(window) - 1)], [0]) == {0: {"strasse": 1}}
    assert words([window], [(0, 0, CONTEXT_TOKENS)], [0]) == {0: {"september": 1, "strasse": 1}}


def test_without_a_firing_or_a_window_there_is_no_word() -> None:
    assert words([[0]], [], [0]) == {}
    assert words([], [], [0]) == {}


def test_the_words_of_a_whole_atlas_are_those_of_its_contexts_read_one_by_one(store: Store) -> None:
    experts = store.experts()["expert"].to_list()
    known = dict(store.table("vocabulary").filter(pl.col("task") == 0).select("token", "text").iter_rows())
    tokens = dict(store.table("windows").filter(pl.col("task") == 0).select("window", "tokens").iter_rows())

    def texts(window: int) -> list[str]:
        shown = [known[token] for token in tokens[window]]
        return [folded(text[2:] if text[:2] == "##" and text[2:3].isalpha() else text) for text in shown]

    obvious: dict[tuple[int, str], int] = Counter()
    firings = store.table("top_firings").filter(
        (pl.col("task") == 0) & (pl.col("stratum") == "top") & (pl.col("rank") < STRONGEST)
    )
    for expert, window, position in firings.select("expert", "window", "position").iter_rows():
        shown = texts(window)
        first, last = max(0, position - CONTEXT_TOKENS), min(len(shown) - 1, position + CONTEXT_TOKENS)
        line, before = "".join(shown), len("".join(shown[:first]))
        end = before + len("".join(shown[first : last + 1]))
        whole = {match[0] for match in re.finditer(r"[^\W_]+", line) if before <= match.start() and match.end() <= end}
        obvious.update((experts.index(expert), word) for word in whole)
    words, found = Evidence.of(store).words(experts)
    assert {(row, words[text]): weight for text, row, weight in found.select("text", "row", "weight").iter_rows()} == obvious
    assert max(obvious.values()) > 1


def test_the_strongest_context_of_an_atlas_is_that_of_rank_0_on_the_first_corpus(store: Store) -> None:
    experts = store.experts()["expert"].to_list()
    found = Evidence.of(store).strongest(experts)
    first = store.table("top_firings").filter((pl.col("task") == 0) & (pl.col("stratum") == "top") & (pl.col("rank") == 0))
    known = dict(store.table("vocabulary").filter(pl.col("task") == 0).select("token", "text").iter_rows())
    tokens = dict(store.table("windows").filter(pl.col("task") == 0).select("window", "tokens").iter_rows())
    token = {
        expert: known[tokens[window][position]]
        for expert, window, position in first.select("expert", "window", "position").iter_rows()
    }
    assert found.token == [token.get(expert, "").replace("##ber", "ber") for expert in experts]
    assert "" in found.token and len(set(found.token)) > 5


def test_windows_and_experts_are_taken_in_blocks(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    experts = store.experts()["expert"].to_list()
    texts, found = Evidence.of(store).words(experts)
    monkeypatch.setattr("atlas.bake.contexts.BLOCK", 7)
    monkeypatch.setattr("atlas.bake.evidence.BLOCK", 7)
    assert (texts, found.rows()) == ((again := Evidence.of(store).words(experts))[0], again[1].rows())


def test_empty_windows_stand_between_others_without_harm() -> None:
    windows = pl.DataFrame(
        {"window": range(6), "tokens": [[0, 1], [], [2, 4, 3], [], [5], [3, 2]]},
        schema={"window": pl.Int32, "tokens": pl.List(pl.Int32)},
    )
    flat = Windows(windows)
    context, word = (words := Words(flat, TEXTS)).within(*flat.span(np.array([0, 2, 4, 5]), np.zeros(4, np.int64), reach=5))
    assert [(int(which), words.texts[place]) for which, place in zip(context, word, strict=True)] == [
        *((0, "septem"), (1, "ber"), (1, "may"), (2, "don"), (2, "t"), (3, "mayber")),
    ]
