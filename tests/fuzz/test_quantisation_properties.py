"""What the page draws and prints lies within the step that it was rounded to, whatever the numbers are."""

from __future__ import annotations

import base64
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from atlas.bake.amounts import UNKNOWN, binned, log_edges
from atlas.bake.arrays import STEPS, Frame, narrow, packed, short, typed, unpacked
from atlas.bake.clouds import Cloud
from atlas.bake.points import GRAIN, IMPORTANCE_STEPS, NORM_STEPS, NOT_MEASURED, UNLABELLED, Points, drawn_payload

FINITE = st.floats(width=32, allow_nan=False, allow_infinity=False)
"""Of single precision, as the atlas has them: nothing, the smallest and the largest among them."""
FIVE_FIGURES = 1e-4
"""Largest relative change that five significant figures make, doubled."""


def clouds(most: int = 12) -> st.SearchStrategy[np.ndarray]:
    return st.integers(1, most).flatmap(lambda n: arrays(np.float64, (n, 3), elements=FINITE))


def points(xyz: np.ndarray, norm: np.ndarray, importance: np.ndarray) -> Points:
    n = len(xyz)
    return Points(np.arange(n), np.zeros(n, np.int64), np.full(n, UNLABELLED), xyz, norm, importance)


def read(stored: dict[str, str]) -> np.ndarray:
    return unpacked(stored) if "gzip" in stored else np.frombuffer(base64.b64decode(stored["bdata"]), f"<{stored['dtype']}")


@settings(max_examples=60)
@given(clouds())
def test_a_coordinate_is_at_most_half_a_step_off_and_every_step_is_in_the_frame(xyz: np.ndarray) -> None:
    frame = Frame.around(xyz)
    steps = frame.stepped(xyz).astype(np.float64)

    assert np.abs(steps).max() <= STEPS
    # Beside the half step only what a double's own rounding makes of numbers of this size.
    slack = 4 * np.finfo(np.float64).eps * max(np.abs(xyz).max(), frame.half)
    assert np.abs(steps * frame.unit + frame.centre - xyz).max() <= frame.unit / 2 + slack


@settings(max_examples=60)
@given(clouds(), st.data())
def test_what_is_drawn_of_a_firing_is_within_its_steps(xyz: np.ndarray, data: st.DataObject) -> None:
    n = len(xyz)
    norm = data.draw(arrays(np.float32, n, elements=st.floats(2.0**-126, 2.0**127, width=32)))
    unknown = st.just(np.float32(np.nan))
    importance = data.draw(arrays(np.float32, n, elements=st.one_of(FINITE, unknown)))

    payload = drawn_payload(points(xyz, norm, importance), None)

    unit = payload["unit"]
    drawn = np.stack([read(payload[axis]) for axis in "xyz"], axis=1) - np.array(payload["origin"])
    reach = np.abs(xyz).max()
    # Half a grain of the point, half a step of the origin, and the five figures that the step is written with.
    assert np.abs(drawn * unit - xyz).max() <= (GRAIN + 1) / 2 * unit * (1 + FIVE_FIGURES) + FIVE_FIGURES * reach
    most = payload["norm"]["most"]
    decoded = read(payload["norm"]["steps"]) / NORM_STEPS * most
    assert (np.abs(decoded - norm) <= most / NORM_STEPS * 0.51 + FIVE_FIGURES * norm).all()
    measured = ~np.isnan(importance)
    if not measured.any():
        assert "importance" not in payload
        return
    steps, most = read(payload["importance"]["steps"]).astype(np.float64), payload["importance"]["most"]
    assert ((steps == NOT_MEASURED) == ~measured).all()
    known = importance[measured].astype(np.float64)
    assert (
        np.abs(steps[measured] / IMPORTANCE_STEPS * most - known) <= most / IMPORTANCE_STEPS * 0.51 + FIVE_FIGURES * np.abs(known)
    ).all()


@settings(max_examples=60)
@given(clouds(most=80))
def test_a_small_cloud_fits_its_bytes_and_keeps_its_proportions(xyz: np.ndarray) -> None:
    n = len(xyz)
    cloud = Cloud.of(points(xyz, np.ones(n, np.float32), np.ones(n, np.float32)))

    assert 1 <= len(cloud.xyz) == len(cloud.label) <= n
    lengths = np.linalg.norm(cloud.xyz.astype(np.float64), axis=1)
    # Half a step on each of three axes beyond the farthest point's 127.
    assert lengths.max() <= 127 + np.sqrt(3) / 2


@given(arrays(st.sampled_from([np.uint8, np.int8, np.uint16, np.int16, np.uint32, np.int32]), st.integers(0, 50)), st.booleans())
def test_whole_numbers_come_back_as_they_are(values: np.ndarray, repeats: bool) -> None:
    assert unpacked(packed(values, repeats=repeats)).tolist() == read(typed(values)).tolist() == values.tolist()


@given(st.lists(st.integers(0, 2**32 - 1), max_size=20))
def test_counts_are_exact_in_however_few_bytes(counts: list[int]) -> None:
    assert narrow(np.array(counts, np.int64)).tolist() == counts


@given(st.floats(-1e308, 1e308))
def test_five_figures_are_within_half_of_the_fifth(number: float) -> None:
    # Below the smallest normal number a float has fewer than five figures by itself.
    assert abs(short(number) - number) <= max(abs(number) * 5.001e-5, 5e-324)
    assert short(short(number)) == short(number)


@given(st.lists(FINITE | st.just(float("nan")), min_size=1, max_size=40))
def test_an_amount_of_any_size_has_a_bin_and_an_unknown_one_has_none(values: list[float]) -> None:
    known: Any = np.array([value for value in values if not np.isnan(value)], np.float64)
    edges = log_edges(known) if len(known) else ()
    if not edges:
        return
    bins = binned(np.array(values, np.float32), edges)

    assert list(edges) == sorted(set(edges)) and all(map(np.isfinite, edges))
    assert ((bins == UNKNOWN) == np.isnan(values)).all() and (bins[bins != UNKNOWN] < len(edges) - 1).all()
