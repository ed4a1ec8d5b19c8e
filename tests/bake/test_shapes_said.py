"""What is said of an expert's shape, and how few axes keep its importance."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from atlas.bake.shapes import ONE_EACH, Shapes, measured_on, needed, said
from atlas.geometry.sources import MANY_LABELS
from atlas.store import Store
from synthetic import NOT_TOLD, SHAPE_OF, Size, kind, write_synthetic

RING: dict[str, Any] = {
    **{"class": "ring", "absent": None, "statistic": "loop", "clusters": 1},
    **{"local_radius": 0.25, "spectrum": [0.6, 0.3, 0.1]},
}
LOOP = {"statistic": "loop", "value": 6.3, "null_median": 1.6, "null_limit": 2.4, "p_adjusted": 0.001}
COUNTED = {"experts": 12, "tested": 253, "expected": 0.41}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """A synthetic atlas of two corpora."""
    with Store(write_synthetic(tmp_path_factory.mktemp("shapes") / "atlas.duckdb", size=Size(corpora=2))) as opened:
        yield opened


@pytest.fixture(scope="module")
def shapes(store: Store) -> Shapes:
    """Its shapes."""
    return Shapes(store, {task.task: task for task in store.tasks()})


def test_a_ring_is_said_with_its_test_and_the_number_by_chance() -> None:
    looks, chance = said(RING, [LOOP], COUNTED, "Months")
    assert looks.replace("\u202f", " ") == (
        "On Months its contributions form a ring: one loop stands out. Its hole closes at 6.3 times the distance at which it "
        "opens; 95 % of structureless clouds of this size and spread stay below 2.4 (adjusted p 0.001)."
    )
    assert chance == "12 of 253 experts are called ring here; if all of them were structureless, 0.41 would be."


@pytest.mark.parametrize(
    ("shape", "statistic", "words"),
    [
        ("clusters", "gap", "fall into 3 clusters: the widest gap between them is 0.3 of their rms; 95 % of structureless"),
        (
            "line or ray",
            "thickness",
            "lie along a line or ray: across it they spread 0.3 of what they do along it; 95 % of clouds",
        ),
        ("curve", "local_dimension", "lie along a curve: up close, within ¼ of their rms, they have 0.3 dimensions; 95 %"),
        ("sheet", "flatness", "lie on a sheet: off their first two axes they spread 0.3 of what they do along the second; 95 %"),
    ],
)
def test_each_class_is_said_by_the_statistic_that_it_was_given_for(shape: str, statistic: str, words: str) -> None:
    others = [LOOP | {"statistic": one, "value": 9.9, "p_adjusted": 1e-9} for one in ("loop", "gap", "bend") if one != statistic]
    tests = [*others, LOOP | {"statistic": statistic, "value": 0.3}]
    (sentence,) = said(RING | {"class": shape, "statistic": statistic, "clusters": 3}, tests, None, "the corpus")
    assert words in sentence.replace("\u202f", " ")
    assert ("stay below 2.4" if statistic == "gap" else "stay above 2.4") in sentence and "9.9" not in sentence


@pytest.mark.parametrize(
    ("shape", "statistic", "words"),
    [
        ("curve", "bend", "0.7 of the variance off their first axis follows from the place along it"),
        ("curve", "local_dimension", "they have 0.7 dimensions"),
        ("sheet", "flatness", "off their first two axes they spread 0.7"),
        ("sheet", "local_dimension", "they have 0.7 dimensions"),
    ],
)
def test_of_two_ways_to_a_class_the_one_that_was_taken_is_said(shape: str, statistic: str, words: str) -> None:
    tests = [LOOP | {"statistic": name, "value": 0.7} for name in ("bend", "local_dimension", "flatness")]
    assert words in said(RING | {"class": shape, "statistic": statistic}, tests, None, "Months")[0]


def test_what_is_thin_is_compared_with_the_boundary() -> None:
    thin = LOOP | {"statistic": "thickness", "value": 0.11, "null_median": 0.2, "null_limit": 0.18}
    (sentence,) = said(RING | {"class": "line or ray", "statistic": "thickness"}, [thin], None, "Months")
    assert sentence.endswith("; 95\u202f% of clouds at the boundary, 0.2, stay above 0.18 (adjusted p 0.001).")


def test_of_a_single_axis_nothing_more_is_said_than_that() -> None:
    gap = LOOP | {"statistic": "gap", "p_adjusted": 0.7}
    (sentence,) = said(RING | {"class": "line or ray", "spectrum": [1.0]}, [gap], None, "Months")
    assert sentence == "On Months its contributions lie along a line or ray: they have one axis only, and no gap that stands out."


def test_a_class_without_its_test_is_said_without_evidence() -> None:
    assert said(RING, [], None, "Months") == ["On Months its contributions form a ring: one loop stands out."]


def test_unclear_is_said_calmly_and_tells_two_cases_apart() -> None:
    unclear = RING | {"class": "unclear"}
    (nothing,) = said(unclear, [LOOP | {"p_adjusted": 0.6}], COUNTED, "the corpus")
    assert nothing.startswith("Unclear on the corpus: nothing but its spread.")
    (odd,) = said(unclear, [LOOP | {"statistic": "local_dimension", "p_adjusted": 0.01}, LOOP | {"p_adjusted": 0.04}], None, "x")
    assert "one test or more stands out (local dimension, adjusted p 0.01), but" in odd


def test_where_no_shape_can_be_told_the_reason_is_said() -> None:
    assert said({"class": None, "absent": "It has fewer than 50 points."}, [], None, "Months") == [
        "No shape on Months. It has fewer than 50 points."
    ]


def test_a_vanishing_p_and_a_vanishing_chance_are_said_in_words() -> None:
    looks, chance = said(RING, [LOOP | {"p_adjusted": 5.6e-250}], COUNTED | {"expected": 0.01}, "Months")
    assert looks.endswith("(adjusted p below 0.0001).") and chance.endswith(" structureless, below 0.1 would be.")
    (odd,) = said(RING | {"class": "unclear"}, [LOOP | {"p_adjusted": 0.0}], None, "Months")
    assert "(loop, adjusted p below 0.0001)" in odd


def test_a_shape_says_which_firings_it_rests_on(store: Store) -> None:
    corpus, _, months, *_ = store.tasks()
    assert measured_on(1074, corpus) == "Measured on 1,074 of these firings, one on each token."
    assert measured_on(480, months) == "Measured on 480 firings."
    many = replace(months, labels=months.labels[:1] * MANY_LABELS)
    assert measured_on(49, many) == "Measured on 49 of these firings, one on each label."
    assert ONE_EACH == MANY_LABELS


@pytest.mark.parametrize("word", ["knows", "understands", "represents", "encodes"])
def test_no_shape_is_said_to_mean_anything(word: str, shapes: Shapes) -> None:
    text = " ".join(sentence for expert in range(40) for shape in shapes.payload(expert) for sentence in shape["said"])
    assert "form a ring" in text and word not in text


def test_an_expert_has_a_shape_per_source_and_a_silent_one_none(store: Store, shapes: Shapes) -> None:
    on = {shape["task"]: shape for shape in shapes.payload(0)}
    assert sorted(on) == [0, 1, 2]  # two corpora and months
    assert on[0]["said"][0].startswith("On Words at random its contributions")
    assert on[2]["class"] == SHAPE_OF[kind(0)] and on[2]["tests"]["statistic"][0] == "loop"
    wanted = store.sql("SELECT spectrum FROM shapes WHERE expert = 0 AND task = 2")["spectrum"][0].to_list()
    assert on[2]["spectrum"] == pytest.approx(wanted, rel=1e-3)
    assert shapes.payload(3) == []


def test_an_absent_shape_has_its_reason_and_nothing_else(shapes: Shapes) -> None:
    absent = shapes.payload(NOT_TOLD)[0]
    assert set(absent) == {"task", "class", "said"} and absent["class"] is None


def test_the_axes_that_importance_needs_are_said() -> None:
    assert needed([0.95, 1.0], 0) == "The mean contribution alone keeps 90\u202f% of its importance."
    assert needed([0.5, 0.91, 1.0], 1) == "The mean and 1 axis keep 90\u202f% of its importance."
    assert needed([0.5, 0.6, 1.0], 2) == "The mean and 2 axes keep 90\u202f% of its importance."
    assert needed(None, None) == "Its importance is not above 0, so that there is none to keep."
