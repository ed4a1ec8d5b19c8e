from __future__ import annotations

import base64
from collections import defaultdict
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from atlas.bake.arrays import Typed
from atlas.bake.search import SHARE_STEPS, search_payload, searched
from synthetic import VOCABULARY, synthetic_tables

TYPES = {"u1": np.uint8, "u2": np.uint16, "u4": np.uint32}
TEXTS = st.text(st.sampled_from("aAbßSσςΣ#ﬁı \t\u00a0\u200b👩\ue000"), max_size=4)


def decoded(array: Typed) -> list[int]:
    found: list[int] = np.frombuffer(base64.b64decode(array["bdata"]), TYPES[array["dtype"]]).tolist()
    return found


def index(payload: dict[str, Any]) -> dict[str, dict[int, int]]:
    """Return what a payload says: text ► the expert's place ► its share in steps, in the order of the payload."""
    starts, rows, share = (decoded(payload[name]) for name in ("starts", "rows", "share"))
    assert len(starts) == len(payload["texts"]) + 1 and starts[-1] == len(rows) == len(share)
    return {
        text: dict(zip(rows[first:end], share[first:end], strict=True))
        for text, first, end in zip(payload["texts"], starts[:-1], starts[1:], strict=True)
    }


def frame(rows: list[tuple[int, int, float]]) -> pl.DataFrame:
    schema = {"expert": pl.Int32, "token": pl.Int32, "share": pl.Float64}
    return pl.DataFrame(rows, schema=schema, orient="row")


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


def test_the_shares_of_equal_texts_are_added() -> None:
    tokens = frame([(7, 0, 0.2), (7, 1, 0.4), (5, 1, 0.2), (5, 2, 0.1)])
    payload = search_payload(tokens, {0: " the", 1: "The", 2: "a"}, [5, 7])
    assert index(payload) == {"a": {0: 6554}, "the": {1: 39321, 0: 13107}}


def test_an_experts_shares_never_exceed_all_its_firings() -> None:
    payload = search_payload(frame([(0, 0, 0.7), (0, 1, 0.30001)]), {0: "a", 1: "A"}, [0])
    assert index(payload) == {"a": {0: SHARE_STEPS}}


def test_texts_stand_in_the_order_in_which_a_script_compares_them() -> None:
    # By code point the private letter comes before the pictograph; by UTF-16 code unit it comes after.
    texts = ["\ue000", "👩", "b", "a", "ab"]
    tokens = frame([(0, token, 0.1) for token in range(len(texts))])
    assert search_payload(tokens, dict(enumerate(texts)), [0])["texts"] == ["a", "ab", "b", "👩", "\ue000"]


def test_an_atlas_whose_experts_never_fire_has_an_empty_index() -> None:
    assert index(search_payload(frame([]), {}, [0, 1])) == {}


@given(
    texts=st.lists(TEXTS, min_size=1, max_size=8),
    rows=st.lists(st.tuples(st.integers(0, 3), st.integers(0, 7), st.integers(0, SHARE_STEPS)), max_size=20),
    experts=st.permutations([0, 1, 2, 3]),
)
def test_the_index_is_the_obvious_one(texts: list[str], rows: list[tuple[int, int, int]], experts: list[int]) -> None:
    kept = list({(expert, token % len(texts)): (expert, token % len(texts), steps) for expert, token, steps in rows}.values())
    obvious: dict[str, dict[int, int]] = defaultdict(lambda: defaultdict(int))
    for expert, token, steps in kept:
        if searched(texts[token]):
            obvious[searched(texts[token])][experts.index(expert)] += steps
    payload = search_payload(
        frame([(expert, token, steps / SHARE_STEPS) for expert, token, steps in kept]), dict(enumerate(texts)), experts
    )
    found = index(payload)
    assert found == {text: {row: min(SHARE_STEPS, steps) for row, steps in of.items()} for text, of in obvious.items()}
    assert list(found) == sorted(found, key=lambda text: text.encode("utf-16-be"))
    for text, of in obvious.items():
        assert list(found[text]) == sorted(of, key=lambda row: (-min(SHARE_STEPS, of[row]), row))


def test_equal_input_in_any_order_gives_an_equal_index() -> None:
    tokens = synthetic_tables()["expert_tokens"]
    read = frame(list(zip(tokens["expert"], tokens["token"], tokens["share"], strict=True)))
    words = dict(enumerate(VOCABULARY))
    experts = list(range(40))
    assert search_payload(read, words, experts) == search_payload(read.reverse(), words, experts)
