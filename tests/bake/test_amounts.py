from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from atlas.bake.amounts import KEYS, MOST_BINS, TAIL, UNKNOWN, amounts, binned, dimension_edges, log_edges
from atlas.publish.manifest import array

UNKNOWN_ALL = np.full(3, np.nan, np.float32)
AMOUNTS = st.lists(st.floats(-1, 0, width=32) | st.floats(2.0**-30, 2.0**20, width=32), min_size=1, max_size=60)


def made(key: str, values: list[float], d_code: int = 3) -> tuple[tuple[float, ...], list[int]]:
    """The edges and bins of one amount."""
    (found,) = amounts(dict.fromkeys(KEYS, UNKNOWN_ALL) | {key: np.array(values, np.float32)}, d_code)
    return found.edges, found.bins.tolist()


def obvious(value: float, edges: tuple[float, ...]) -> int:
    """The bin that an amount lies in, looked for one after another."""
    if math.isnan(value):
        return UNKNOWN
    return next(
        bin_
        for bin_, (low, high) in enumerate(zip(edges, edges[1:], strict=False))
        if low <= value < high or (high == edges[-1] and value == high)
    )


@given(AMOUNTS)
def test_every_amount_lies_in_its_bin_and_none_below_or_above_all(values: list[float]) -> None:
    known = np.array(values, np.float32)
    edges = log_edges(known.astype(np.float64))
    if not (known > 0).any():
        assert edges == ()
        return
    assert list(edges) == sorted(set(edges)) and len(edges) - 1 <= MOST_BINS
    mixed = np.append(known, np.float32(np.nan))
    assert binned(mixed, edges).tolist() == [obvious(float(value), edges) for value in mixed]


@given(AMOUNTS)
def test_the_first_bin_takes_at_most_a_fiftieth_of_what_is_above_0(values: list[float]) -> None:
    known = np.array([*values, 0], np.float32).astype(np.float64)
    if edges := log_edges(known):
        above = known[known > 0]
        assert edges[0] <= known.min() and (above < edges[1]).sum() <= TAIL * len(above)


def test_edges_are_round_and_print_as_they_are() -> None:
    edges = log_edges(np.concatenate([np.geomspace(1.5e-4, 0.04, 500), [-3e-6, 0.0, 2e-9]]))
    # Two in a hundred lie below 0.000168, the next round number down; the least of all is rounded away from 0.
    assert edges[:4] == (-3.15e-6, 0.00016, 0.0002, 0.00025) and edges[-1] == 0.04
    assert all(float(repr(edge)) == edge and len(repr(edge)) <= 9 for edge in edges)


def test_a_narrow_range_has_finer_bins_than_a_wide_one() -> None:
    narrow, wide = log_edges(np.linspace(2.1, 8.4, 200)), log_edges(np.geomspace(1.1e-9, 1, 200))
    assert narrow[:3] == (2.0, 2.12, 2.24) and narrow[-2:] == (8.0, 8.5)
    assert wide[:3] == (1e-9, 3.15e-9, 1e-8) and wide[-2:] == (0.315, 1.0)


def test_a_range_beyond_measure_keeps_its_upper_end() -> None:
    edges = log_edges(np.array([1e-38, 1e-37, 1.0]))
    assert len(edges) - 1 == MOST_BINS and edges[0] == 1e-38 and edges[-2:] == (0.1, 1.0)


def test_dimensions_are_a_tenth_apart_where_there_are_few() -> None:
    assert dimension_edges(3) == tuple(round(1 + step / 10, 1) for step in range(21))
    assert dimension_edges(1) == (1.0, 1.1)
    assert [len(dimension_edges(d)) - 1 for d in (4, 5, 8, 64, 1_000)] == [30, 20, 14, 32, 20]


def test_dimensions_needed_have_a_bin_each() -> None:
    edges, bins = made("dimensions_needed", [0, 3, math.nan, 2])
    assert edges == (0, 1, 2, 3, 4)
    assert bins == [0, 3, UNKNOWN, 2]


@pytest.mark.parametrize(
    ("d_code", "first"), [(31, (0, 1, 2)), (32, (0, 2, 4)), (64, (0, 5, 10)), (254, (0, 10, 20)), (4_096, (0, 200, 400))]
)
def test_many_dimensions_needed_share_bins_that_end_with_the_last_of_them(d_code: int, first: tuple[float, ...]) -> None:
    edges, bins = made("dimensions_needed", [0, first[1] - 1, first[1], d_code, math.nan], d_code)
    assert edges[:3] == first and edges[-1] == d_code + 1 and list(edges) == sorted(set(edges))
    assert len(edges) - 1 <= MOST_BINS
    assert bins == [0, 0, 1, len(edges) - 2, UNKNOWN]


def test_a_share_on_an_edge_belongs_to_the_bin_that_begins_there() -> None:
    edges, bins = made("score", [0.0, 0.05, 0.5, 0.9999, 1.0])
    assert len(edges) == 21 and bins == [0, 1, 10, 19, 19]


def test_what_a_rounding_puts_beyond_the_edges_is_in_the_outermost_bin() -> None:
    assert made("effective_dimension", [0.9999, 3.0001])[1] == [0, 19]


@pytest.mark.parametrize("values", [[math.nan], [0.0, -1.0]], ids=["unknown", "nothing above 0"])
def test_an_amount_that_tells_nobody_apart_is_left_out(values: list[float]) -> None:
    assert amounts(dict.fromkeys(KEYS, UNKNOWN_ALL) | {"rate": np.array(values, np.float32)}, 3) == []


def test_amounts_stand_in_the_order_of_the_page_and_say_how_they_are_read() -> None:
    found = amounts(dict.fromkeys(KEYS, np.array([0.5, 0.7], np.float32)), 3)
    assert tuple(amount.key for amount in found) == KEYS
    said = {amount.key: amount.payload() for amount in found}
    assert [key for key in KEYS if said[key]["percent"]] == ["coverage", "importance", "rate"]
    assert [said[key]["scale"] for key in KEYS] == ["linear", "linear", "log", "log", "log", "linear", "whole"]
    assert array(said["rate"]["bin"]).tolist() == found[3].bins.tolist()
