from __future__ import annotations

import pytest

from atlas.bake.front import _unexplained
from atlas.bake.numbers import by_chance, count, interval, percent, probability, score, significant


@pytest.mark.parametrize(
    ("number", "text"),
    [(0.0, "0"), (1.0, "1"), (0.00123456, "0.00123"), (14.25, "14.2"), (1234.5, "1,230"), (0.5, "0.5"), (-2.0, "−2")],
)
def test_three_significant_figures_at_most(number: float, text: str) -> None:
    assert significant(number) == text


@pytest.mark.parametrize(
    ("p", "text"),
    [(5.6e-250, "below 0.0001"), (0.0, "below 0.0001"), (0.0001, "0.0001"), (0.01234, "0.0123"), (1.0, "1")],
)
def test_a_small_p_is_said_to_be_below_a_limit(p: float, text: str) -> None:
    assert probability(p) == text


@pytest.mark.parametrize(
    ("expected", "text"),
    [
        (0.0, "below 0.1"),
        (0.053, "below 0.1"),
        (0.0999, "below 0.1"),
        (0.1, "0.1"),
        (0.1234, "0.12"),
        (4.0, "4"),
        (1199.6, "1,200"),
    ],
)
def test_what_chance_gives_is_never_nothing(expected: float, text: str) -> None:
    assert by_chance(expected) == text


@pytest.mark.parametrize(
    ("share", "text"),
    [(0.0, "0 %"), (0.23, "23 %"), (0.0851, "8.5 %"), (0.00031, "0.031 %"), (1e-7, "< 0.001 %"), (-0.012, "−1.2 %")],
)
def test_percentages_have_two(share: float, text: str) -> None:
    assert percent(share).replace("\u202f", " ") == text


def test_intervals_stand_in_brackets() -> None:
    assert interval(0.61, 0.54, 0.67) == "0.61 (0.54–0.67)"
    assert interval(-0.01, -0.11, 0.02) == "−0.01 (−0.11 to 0.02)"


def test_nothing_is_minus_zero() -> None:
    assert score(-0.001) == "0.00"


def test_counts_are_grouped() -> None:
    assert count(318402) == "318,402"


def test_a_corpus_without_variance_has_its_fidelity_named_as_absent() -> None:
    assert _unexplained(None, True) == "not measured: the text has no variance"
    assert _unexplained(0.1649, True) == "16\u202f% of variance, held out"
    assert _unexplained(0.1649, False) == "16\u202f% of variance, on text that it was trained on"
