from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from atlas.bake.scores import best_scores, comparable, scores_payload, supported_orders
from atlas.publish.manifest import numbers
from atlas.store import Hypothesis, Store, Task
from scored import EXPERTS, scores
from synthetic import Size, write_synthetic


def task(number: int, *luck: float) -> Task:
    """A task whose best random projections reach this much, hypothesis by hypothesis."""
    hypotheses = tuple(
        Hypothesis(i, "", "", "ring", "R²", "", True, (), (), 0.2, 5, {"random_projection": one}) for i, one in enumerate(luck)
    )
    return Task(number, "", "", "labelled", "", "", False, 1, 1, 0, 1, 1, 1, True, 1, (), hypotheses)


def test_the_best_hypothesis_is_chosen_without_the_printed_score() -> None:
    rows = scores(
        (2, 0, 0, 0.9, True, True),
        (1, 0, 0, 0.5, True, False),
        (1, 1, 0, 0.4, True, True),
        (2, 0, 1, 0.2, True, False),
        (1, 0, 1, 0.3, True, False),
        (1, 0, 3, 0.9, False, False),
    )
    best = best_scores(EXPERTS, rows)
    # Expert 0 stays with its title's task and takes the supported hypothesis; expert 3 has nothing testable.
    assert best.select("expert", "task", "hypothesis").rows() == [(0, 1, 1), (1, 1, 0)]


def test_a_balanced_accuracy_is_never_compared_with_an_r2() -> None:
    classes = Hypothesis(1, "", "", "classes", "balanced accuracy", "", True, ("a", "b"), (0, 1), 0.7, 5, {})
    both = replace(task(1, 0.5), hypotheses=(*task(1, 0.5).hypotheses, classes))
    rows = scores(
        (1, 1, 0, 0.99, True, False), (1, 0, 0, 0.4, True, False), (2, 0, 0, 0.8, True, False), (1, 1, 1, 0.99, True, False)
    )
    left = comparable(rows, [both, task(2, 0.6)])
    assert left.select("task", "hypothesis", "expert").rows() == [(1, 0, 0), (2, 0, 0)]
    # The title's task before others: its R², however high the accuracy of its classes. Expert 1 has no R² at all.
    assert best_scores(EXPERTS, left).select("expert", "task", "hypothesis").rows() == [(0, 1, 0)]
    assert len(comparable(rows, [replace(both, hypotheses=(classes,))])) == 0


def test_supported_orders_stand_by_expert_in_the_order_of_the_overview() -> None:
    rows = scores(
        (2, 0, 3, 0.9, True, True),
        (1, 1, 3, 0.8, True, True),
        (1, 0, 3, 0.7, True, True),
        (1, 0, 0, 0.6, True, False),
        (2, 1, 4, 0.5, True, True),
    )
    assert supported_orders(EXPERTS, rows) == [[], [], [], [1, 2], [2]]
    assert supported_orders(EXPERTS.reverse(), rows) == [[2], [1, 2], [], [], []]
    assert supported_orders(EXPERTS, rows.clear()) == [[], [], [], [], []]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """A synthetic atlas with tasks of every kind."""
    with Store(write_synthetic(tmp_path_factory.mktemp("scores") / "atlas.duckdb", size=Size(more_tasks=True))) as store:
        yield store


def test_every_hypothesis_has_the_experts_that_something_can_be_read_from(store: Store) -> None:
    experts, table = store.experts(), store.table("scores")
    place = {expert: row for row, expert in enumerate(experts["expert"])}
    read = 0
    for task in store.tasks():
        payload = scores_payload(experts, table, task)
        assert len(payload["of"]) == len(task.hypotheses)
        for hypothesis, found in zip(task.hypotheses, payload["of"], strict=True):
            above = 0 if hypothesis.measure == "R²" else hypothesis.references["chance"]
            obvious = {
                place[row["expert"]]: (
                    *(np.float32(row[name]) for name in ("all_rows", "all_rows_low", "all_rows_high")),
                    int(row["order_supported"]),
                    row["covered"],
                )
                for row in table.iter_rows(named=True)
                if (row["task"], row["hypothesis"]) == (task.task, hypothesis.hypothesis)
                and row["testable"]
                and row["all_rows_low"] > above
            }
            assert (found is None) == (not obvious)
            if found is not None:
                names = ("value", "low", "high", "supported", "covered")
                by_row = zip(numbers(found["rows"]), *(numbers(found[name]) for name in names), strict=True)
                assert {row: tuple(of) for row, *of in by_row} == obvious
                assert numbers(found["rows"]) == sorted(obvious)
            read += len(obvious)
    assert read > 20


def test_a_tasks_best_is_chosen_among_its_own_r2_and_named_by_its_place(store: Store) -> None:
    experts, tasks = store.experts(), store.tasks()
    table = comparable(store.table("scores"), tasks)
    for task in (task for task in tasks if task.hypotheses):
        found = scores_payload(experts, store.table("scores"), task)["best"]
        chosen = best_scores(experts, table.filter(pl.col("task") == task.task))
        by_expert = {row["expert"]: row for row in chosen.iter_rows(named=True)}
        rows = numbers(found["rows"])
        assert [experts["expert"][row] for row in rows] == [expert for expert in experts["expert"] if expert in by_expert]
        for at, row in enumerate(rows):
            expected = by_expert[experts["expert"][row]]
            assert task.hypotheses[numbers(found["hypothesis"])[at]].hypothesis == expected["hypothesis"]
            assert numbers(found["value"])[at] == np.float32(expected["all_rows"])
            assert numbers(found["covered"])[at] == expected["covered"]


def test_a_hypothesis_is_named_by_its_place_and_not_by_its_number() -> None:
    gap = task(2, 0.5)
    of = replace(gap, hypotheses=(replace(gap.hypotheses[0], hypothesis=7), replace(gap.hypotheses[0], hypothesis=9)))
    rows = scores((2, 9, 4, 0.9, True, True), (2, 7, 0, 0.3, True, False), (2, 7, 3, 0.9, False, False))
    found = scores_payload(EXPERTS.reverse(), rows, of)
    # Expert 4 comes first here; nothing can be read from 3, which is not testable.
    assert (numbers(found["best"]["rows"]), numbers(found["best"]["hypothesis"])) == ([0, 4], [1, 0])
    assert [numbers(one["rows"]) for one in found["of"]] == [[4], [0]]


def test_more_than_256_hypotheses_are_told_apart() -> None:
    many = task(2, *[0.5] * 300)
    found = scores_payload(EXPERTS, scores((2, 299, 4, 0.9, True, True), (2, 43, 0, 0.9, True, True)), many)
    assert numbers(found["best"]["hypothesis"]) == [43, 299]


def test_a_task_of_which_nothing_can_be_read_has_empty_columns() -> None:
    found = scores_payload(EXPERTS, scores((1, 0, 0, 0.15, True, False)), task(1, 0.5))
    assert found["of"] == [None]
    assert all(numbers(column) == [] for column in found["best"].values())
