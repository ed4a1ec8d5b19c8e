from __future__ import annotations

import json
from typing import Any

import numpy as np
import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from atlas.bake.columns import counts, few, floats, large_counts, text
from atlas.publish.manifest import column, numbers


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]))))
def test_texts_are_cut_where_a_script_cuts_them(texts: list[str]) -> None:
    assert column(json.loads(json.dumps(text(texts)))) == texts


@given(st.lists(st.one_of(st.none(), st.integers(0, 3), st.lists(st.integers(0, 3), max_size=2))))
def test_few_values_are_there_once_each(values: list[Any]) -> None:
    stored = json.loads(json.dumps(few(values)))
    assert column(stored) == values
    assert len({json.dumps(value) for value in stored["values"]}) == len(stored["values"])


def test_more_than_256_different_values_are_still_told_apart() -> None:
    assert column(few([f"title {number}" for number in range(300)])) == [f"title {number}" for number in range(300)]


def test_counts_take_the_fewest_bytes_and_truth_is_0_or_1() -> None:
    assert counts(pl.Series([0, 255]))["dtype"] == "u1"
    assert (counts(pl.Series([256]))["dtype"], counts(pl.Series([70_000]))["dtype"]) == ("u2", "u4")
    assert numbers(counts(pl.Series([True, False]))) == [1, 0]


def test_counts_of_any_size_are_exact() -> None:
    assert large_counts(pl.Series([0, 2**32 - 1]))["dtype"] == "u4"
    assert column(json.loads(json.dumps(large_counts(pl.Series([2**32 + 1, 7, 2**32 + 1]))))) == [2**32 + 1, 7, 2**32 + 1]


def test_a_number_that_is_not_known_is_none() -> None:
    found = floats(pl.Series([0.1, None, 3.0]))
    assert found.dtype == np.float32
    assert np.isnan(found[1]) and found[0] == np.float32(0.1) and found[2] == 3
    assert floats(pl.Series([2, None], dtype=pl.Int32))[0] == 2
