"""A title names a task only where the expert is about it far more than about anything else, and shows its ground."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from atlas.probe.scores import smoothed_lift
from atlas.probe.titles import TaskEvidence, Title, title

TOKENS = [(" June", 40.0), ("may", 9.0), (" ", 3.0), ("fourth", 2.0)]


def evidence(task: int = 1, lift: float = 10.0, **other: Any) -> TaskEvidence:
    given: dict[str, Any] = {"title": "Months", "family": "calendar", "n_labels": 12, "order": None} | other
    given.setdefault("covered_labels", [f"label {n}" for n in range(given["n_labels"])])
    return TaskEvidence(task=task, lift=lift, **given)


def numbers(lift: float, **other: Any) -> TaskEvidence:
    return evidence(3, lift, title="Numbers", family="number", n_labels=100, **other)


@pytest.mark.parametrize(("lift", "named"), [(4.99, False), (5.0, True)])
def test_task_is_named_from_a_lift_of_five(lift: float, named: bool) -> None:
    found = title([evidence(lift=lift)], TOKENS, 100)

    assert found.basis == ("task" if named else "tokens")


@pytest.mark.parametrize(("rival", "named"), [(5.0, True), (5.01, False), (15.0, False)])
def test_task_must_lead_the_next_family_by_two(rival: float, named: bool) -> None:
    found = title([evidence(lift=10.0), numbers(rival)], TOKENS, 100)

    assert found == (
        Title("Months", "task", 1, "lift", 10.0) if named else Title("“June” “may” “ ”", "tokens", None, "lift", 40.0)
    )


def test_family_that_leads_is_the_one_that_is_named() -> None:
    assert title([evidence(lift=10.0), numbers(30.0)], TOKENS, 100).title == "Numbers"


def test_tasks_of_one_family_are_no_rivals() -> None:
    found = title([evidence(1, 10.0), evidence(2, 9.0, title="Weekdays")], TOKENS, 100)

    assert found == Title("Months", "task", 1, "lift", 10.0)


def test_supported_order_is_named_with_its_score() -> None:
    found = title([evidence(order=("ring", 0.63))], TOKENS, 100)

    assert found == Title("Months, ring order", "order", 1, "R² all rows", 0.63)


def test_order_that_is_no_ring_is_called_ordered() -> None:
    assert title([numbers(10.0, order=("ordinal", 0.4))], TOKENS, 100).title == "Numbers, ordered"


def test_order_alone_names_no_task() -> None:
    """An expert that fires on everything may show the order of months; it is not about months."""
    found = title([evidence(lift=1.2, order=("ring", 0.9))], TOKENS, 100)

    assert found.basis == "tokens"


def test_of_one_family_the_task_with_a_supported_order_is_named() -> None:
    found = title([evidence(1, 12.0), evidence(2, 10.0, title="Weekdays", order=("ring", 0.5))], TOKENS, 100)

    assert (found.title, found.task) == ("Weekdays, ring order", 2)


def test_an_order_of_a_task_below_the_marks_is_not_named() -> None:
    """Weekdays lead the numbers by less than two; months by more."""
    found = title([evidence(1, 12.0), evidence(2, 8.0, title="Weekdays", order=("ring", 0.5)), numbers(5.0)], TOKENS, 100)

    assert found == Title("Months", "task", 1, "lift", 12.0)


@pytest.mark.parametrize(
    ("covered", "words"),
    [
        (["June"], "Months: June"),
        (["June", "July", "May"], "Months: June, July, May"),
        (["June", "July", "May", "April", "March"], "Months: June, July, May and 2 more"),
        ([str(n) for n in range(12)], "Months"),
    ],
    ids=["one", "three", "five", "all"],
)
def test_task_title_names_the_labels_that_set_the_expert_apart(covered: list[str], words: str) -> None:
    assert title([evidence(covered_labels=covered)], TOKENS, 100) == Title(words, "task", 1, "lift", 10.0)


def test_tokens_stand_in_their_order_without_leading_space() -> None:
    assert title([], TOKENS, 100) == Title("“June” “may” “ ”", "tokens", None, "lift", 40.0)


@pytest.mark.parametrize(("firings", "words", "basis"), [(0, "Silent", "silent"), (7, "No token stands out", "tokens")])
def test_without_tokens_the_number_of_firings_is_the_ground(firings: int, words: str, basis: str) -> None:
    assert title([evidence(lift=0.5)], [], firings) == Title(words, basis, None, "firings", float(firings))


def test_expert_that_the_corpus_never_met_may_still_be_about_a_task() -> None:
    assert title([evidence(lift=900.0)], [], 0).title == "Months"


def test_lift_is_held_back_by_its_prior() -> None:
    """30 of 60 rows at a base rate of 0.01: (30 + 20 · 0.01) / 80 / 0.01; no rows at all give a lift of 1."""
    found = smoothed_lift(np.array([30.0, 0.0]), np.array([60.0, 0.0]), np.array([0.01, 0.2]), 20.0)

    np.testing.assert_allclose(found, [30.2 / 80 / 0.01, 1.0])


def test_task_without_a_covered_label_is_not_named() -> None:
    months = TaskEvidence(1, "Months", "calendar", 12.0, [], 12, None)

    assert title([months], [(" do", 40.0)], firings=100).basis == "tokens"
