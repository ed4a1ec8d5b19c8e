from __future__ import annotations

import json
import sys
import unicodedata
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from atlas.bake.search import (
    COMMON_EXPERTS,
    POSTINGS,
    SHARE_STEPS,
    WORD,
    Index,
    context_index,
    folded,
    searched,
    title_index,
    token_index,
)
from atlas.publish.manifest import numbers
from synthetic import VOCABULARY, synthetic_tables

TEXTS = st.text(st.sampled_from("aAbßSσςΣ#ﬁı \t\u00a0\u200b👩\ue000"), max_size=4)
Postings = dict[str, dict[int, Any]]


def said(payload: dict[str, Any]) -> Postings:
    """Return what a payload says: text ► the expert's place ► its weight, in the order of the payload; 1 where none weighs."""
    starts, rows = numbers(payload["starts"]), numbers(payload["rows"])
    weight = numbers(payload["weight"]) if "weight" in payload else [1] * len(rows)
    assert len(starts) == len(payload["texts"]) + 1 and starts[-1] == len(rows) == len(weight)
    return {
        text: dict(zip(rows[first:end], weight[first:end], strict=True))
        for text, first, end in zip(payload["texts"], starts[:-1], starts[1:], strict=True)
    }


def index(made: Index) -> Postings:
    """Return what all shards of an index say."""
    return {text: of for part in made.shards() for text, of in said(json.loads(json.dumps(part.payload()))).items()}


def frame(rows: Sequence[tuple[int, int, int]], sampled: int = 1_000, base: float = 0.01) -> pl.DataFrame:
    """Rows of expert_tokens from expert, token and count; every token has the same base rate."""
    columns = ("expert", "token", "count")
    found = pl.DataFrame(rows, schema=dict.fromkeys(columns, pl.Int32), orient="row")
    share = pl.col("count") / sampled
    return found.with_columns(sampled=pl.lit(sampled, pl.Int32), share=share, lift=share / base)


@pytest.mark.parametrize(
    ("text", "folded"),
    [
        (" September", "september"),
        ("Straße", "strasse"),
        ("ΟΔΟΣ", "οδοσ"),
        ("οδος", "οδοσ"),
        ("ﬁle", "file"),
        ("ırmak", "irmak"),  # casefold would leave the ı, which a script's capitals do not
        ("１２", "12"),
        ("##ber", "ber"),
        ("##", "##"),
        ("###", "#"),
        (" \n", ""),
    ],
)
def test_a_token_is_looked_up_by_its_folded_text(text: str, folded: str) -> None:
    assert searched(text) == folded


def test_the_counts_and_shares_of_equal_texts_are_added() -> None:
    tokens = frame([(7, 0, 200), (7, 1, 400), (5, 1, 200), (5, 2, 100)])
    made = token_index(tokens, {0: " the", 1: "The", 2: "a"}, [5, 7])
    assert index(made) == {"a": {0: 6554}, "the": {1: 39321, 0: 13107}}
    assert numbers(made.figures()["count"]) == [100, 600, 200]


def test_an_experts_shares_never_exceed_all_its_firings() -> None:
    tokens = frame([(0, 0, 700), (0, 1, 300)]).with_columns(share=pl.Series([0.7, 0.30001]))
    assert index(token_index(tokens, {0: "a", 1: "A"}, [0])) == {"a": {0: SHARE_STEPS}}


def test_texts_stand_in_the_order_in_which_a_script_compares_them() -> None:
    # By code point the private letter comes before the pictograph; by UTF-16 code unit it comes after.
    texts = ["\ue000", "👩", "b", "a", "ab"]
    tokens = frame([(0, token, 1) for token in range(len(texts))])
    assert list(token_index(tokens, dict(enumerate(texts)), [0]).texts) == ["a", "ab", "b", "👩", "\ue000"]


def test_an_atlas_whose_experts_never_fire_has_an_empty_index() -> None:
    assert list(token_index(frame([]), {}, [0, 1]).shards()) == []
    assert list(title_index([]).shards()) == []


@given(
    texts=st.lists(TEXTS, min_size=1, max_size=8),
    rows=st.lists(st.tuples(st.integers(0, 3), st.integers(0, 7), st.integers(1, 400)), max_size=20),
    experts=st.permutations([0, 1, 2, 3]),
)
def test_the_index_of_tokens_is_the_obvious_one(texts: list[str], rows: list[tuple[int, int, int]], experts: list[int]) -> None:
    kept = list({(expert, token % len(texts)): (expert, token % len(texts), count) for expert, token, count in rows}.values())
    obvious: dict[str, dict[int, int]] = defaultdict(lambda: defaultdict(int))
    for expert, token, count in kept:
        if searched(texts[token]):
            obvious[searched(texts[token])][experts.index(expert)] += count
    made = token_index(frame(kept), dict(enumerate(texts)), experts)
    steps = {
        text: {row: round(min(1.0, count / 1_000) * SHARE_STEPS) for row, count in of.items()} for text, of in obvious.items()
    }
    found = index(made)
    assert found == steps
    assert list(found) == sorted(found, key=lambda text: text.encode("utf-16-be"))
    for text, of in steps.items():
        assert list(found[text]) == sorted(of, key=lambda row: (-of[row], row))


def test_a_tokens_page_has_the_interval_and_lift_of_the_table_and_of_the_sum_where_texts_are_equal() -> None:
    tables = synthetic_tables()["expert_tokens"]
    tokens = pl.DataFrame({name: tables[name] for name in tables})
    words = dict(enumerate(VOCABULARY))
    made = token_index(tokens.with_columns(pl.col("expert").cast(pl.Int32)), words, list(range(40)))
    figures = {name: numbers(column) for name, column in made.figures().items()}
    by_text: dict[tuple[str, int], list[dict[str, Any]]] = defaultdict(list)
    for row in tokens.iter_rows(named=True):
        by_text[searched(words[row["token"]]), row["expert"]].append(row)
    merged, at = 0, 0
    for text, of in index(made).items():
        for expert in of:
            rows = by_text[text, expert]
            count, sampled = sum(row["count"] for row in rows), rows[0]["sampled"]
            assert figures["count"][at] == count
            base = sum(row["share"] / row["lift"] for row in rows)
            assert figures["lift"][at] == pytest.approx(count / sampled / base, rel=1e-6)
            if len(rows) == 1:
                assert figures["low"][at] == pytest.approx(rows[0]["share_low"], abs=1e-6)
                assert figures["high"][at] == pytest.approx(rows[0]["share_high"], abs=1e-6)
            else:
                merged += 1
                # Where both ends of Wilson's interval lie, their distance to the share is 1.96 deviations of a share there.
                for end in (figures["low"][at], figures["high"][at]):
                    assert abs(end - count / sampled) == pytest.approx(1.959964 * (end * (1 - end) / sampled) ** 0.5, rel=1e-4)
            at += 1
    assert merged > 0 and at == len(figures["count"])


def test_equal_input_in_any_order_gives_an_equal_index() -> None:
    tables = synthetic_tables()["expert_tokens"]
    read = pl.DataFrame({name: tables[name] for name in tables}).with_columns(pl.col("expert").cast(pl.Int32))
    words, experts = dict(enumerate(VOCABULARY)), list(range(40))
    one, other = token_index(read, words, experts), token_index(read.reverse(), words, experts)
    assert (one.texts, one.figures()) == (other.texts, other.figures())
    assert index(one) == index(other)


@given(st.lists(st.text(st.sampled_from("aA9½ßñ_-'“” \n٣\u0301\u093f\u20dd"), max_size=8), max_size=6))
def test_titles_are_found_by_their_words(titles: list[str]) -> None:
    obvious: dict[str, set[int]] = defaultdict(set)
    for row, title in enumerate(titles):
        word = ""
        for sign in folded(title) + " ":
            if unicodedata.category(sign)[0] in ("LNM" if word else "LN"):
                word += sign
            elif word:
                obvious[word].add(row)
                word = ""
    found = index(title_index(titles))
    assert {text: set(of) for text, of in found.items()} == obvious
    assert all(list(of) == sorted(of) for of in found.values())
    assert all("weight" not in part.payload() for part in title_index(titles).shards())


@pytest.mark.parametrize(
    ("title", "words"),
    [
        ("“हिन्दी”", ["हिन्दी"]),
        ("İstanbul", ["i\u0307stanbul"]),
        ("\u0301 ab\u0301c", ["ab\u0301c"]),
        ("x.\U0001e922\U0001e944", ["x", "\U0001e922\U0001e944"]),  # beyond sixteen bits
    ],
)
def test_marks_belong_to_the_word_that_they_follow(title: str, words: list[str]) -> None:
    assert list(title_index([title]).texts) == sorted(words)


def test_every_mark_is_one_of_a_word() -> None:
    marks = (chr(code) for code in range(sys.maxunicode + 1) if unicodedata.category(chr(code)).startswith("M"))
    assert [mark for mark in marks if not WORD.fullmatch("a" + mark)] == []
    assert not WORD.search("\u0301")


def test_shards_hold_about_so_many_and_never_cut_a_text() -> None:
    sizes = [POSTINGS - 1, 2, 3 * POSTINGS, 5, POSTINGS]
    at = np.repeat(np.arange(len(sizes)), sizes)
    made = Index.of(
        list("abcde"), pl.DataFrame({"text": at, "row": np.arange(len(at))}, schema={"text": pl.UInt32, "row": pl.UInt32})
    )
    parts = list(made.shards())
    assert [list(part.texts) for part in parts] == [["a", "b"], ["c"], ["d", "e"]]
    assert [len(part.postings) for part in parts] == [sizes[0] + 2, sizes[2], 5 + POSTINGS]
    assert {text: len(of) for text, of in index(made).items()} == dict(zip("abcde", sizes, strict=True))


def words_of(n: int, experts: int) -> tuple[Index, list[str]]:
    """The index of contexts in which `n` of so many experts say one word and all say another."""
    rows = [*((0, row, 1 + row % 3) for row in range(n)), *((1, row, 2) for row in range(experts))]
    schema = {"text": pl.UInt32, "row": pl.UInt32, "weight": pl.UInt8}
    return context_index(["one", "all"], pl.DataFrame(rows, schema=schema, orient="row"), experts)


@pytest.mark.parametrize(
    ("n", "experts", "is_common"), [(50, 1_000, False), (51, 1_000, True), (20, 100, False), (21, 100, True)]
)
def test_a_word_that_many_experts_see_is_left_out_and_named(n: int, experts: int, is_common: bool) -> None:
    made, common = words_of(n, experts)
    assert common == (["all", "one"] if is_common else ["all"])
    assert list(index(made)) == ([] if is_common else ["one"])
    assert COMMON_EXPERTS == 20


def test_the_experts_of_a_word_stand_by_how_many_of_their_contexts_have_it() -> None:
    made, _ = words_of(7, 1_000)
    assert list(index(made)["one"].items()) == [(2, 3), (5, 3), (1, 2), (4, 2), (0, 1), (3, 1), (6, 1)]
