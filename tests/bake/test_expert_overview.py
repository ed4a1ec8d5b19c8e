from __future__ import annotations

import base64
from dataclasses import replace

import numpy as np
import polars as pl

from atlas.bake.overview import CLOUD_POINTS, Cloud, Counts, best_scores, comparable, supported_orders, task_scores
from atlas.store import Hypothesis, Task

EXPERTS = pl.DataFrame(
    {
        "expert": [0, 1, 2, 3, 4],
        "title_task": [1, None, None, 1, None],
        "basis": ["order", "tokens", "silent", "task", "tokens"],
        "silent": [False, False, True, False, False],
        "dense": [False, True, False, False, False],
    },
    schema_overrides={"title_task": pl.Int32},
)


def scores(*rows: tuple[int, int, int, float, bool, bool]) -> pl.DataFrame:
    names = ("task", "hypothesis", "expert", "ranking", "testable", "order_supported")
    frame = pl.DataFrame(rows, schema=names, orient="row").with_columns(pl.col("task").cast(pl.Int32))
    all_rows = pl.col("ranking") - 0.1
    return frame.with_columns(all_rows=all_rows, all_rows_low=all_rows - 0.1, all_rows_high=all_rows + 0.1)


def task(number: int, *luck: float) -> Task:
    """A task whose best random projections reach this much, hypothesis by hypothesis."""
    hypotheses = tuple(
        Hypothesis(i, "", "", "ring", "R²", "", True, (), (), 0.2, 5, {"random_projection": one}) for i, one in enumerate(luck)
    )
    return Task(number, "", "", "labelled", "", "", False, 1, 1, 0, 1, 1, 1, True, 1, (), hypotheses)


def test_the_summary_counts_what_is_not_claimed() -> None:
    rows = scores((1, 0, 0, 0.8, True, True), (1, 1, 0, 0.7, True, True), (2, 0, 4, 0.6, True, True), (2, 0, 3, 0.9, True, False))
    counts = Counts.of(EXPERTS, rows, [task(1, 0.72, 0.5), task(2, 0.6)])
    assert (counts.experts, counts.silent, counts.dense, counts.supported) == (5, 1, 1, 2)
    # 0 and 4 have an order, 3 a task, 2 is silent: only the dense one is without any claim.
    assert counts.without_claim == 1
    assert counts.by_task == {1: 1, 2: 1}
    # Expert 0 has 0.7 against 0.72 and 0.6 against 0.5, expert 4 has 0.5 against 0.6; expert 3 supports nothing.
    assert counts.supported_above_luck == 1


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


def test_a_tasks_scores_are_the_best_of_its_own_hypotheses() -> None:
    rows = scores(
        (1, 0, 4, 0.9, True, True),
        (2, 0, 4, 0.3, True, False),
        (2, 1, 4, 0.25, True, True),
        (2, 0, 0, 0.5, True, False),
        (2, 0, 1, 0.05, True, False),
        (2, 0, 3, 0.8, False, False),
    )
    found = task_scores(EXPERTS.reverse(), rows, 2)
    # Expert 4 comes first here, with its supported order and not with its better scores; 1 and 3 have nothing to be read.
    assert np.frombuffer(base64.b64decode(found["rows"]["bdata"]), np.uint8).tolist() == [0, 4]
    assert found["hypothesis"] == [1, 0]
    assert (found["all_rows"], found["all_rows_low"], found["all_rows_high"]) == ([0.15, 0.4], [0.05, 0.3], [0.25, 0.5])


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


def test_a_cloud_takes_points_from_every_label() -> None:
    label = np.repeat(np.arange(12), 30)
    points = pl.DataFrame({"label": label, "x": label * 1.0, "y": 0.0, "z": 0.0})
    cloud = Cloud.of(1, points)
    assert cloud.xyz.shape == (CLOUD_POINTS, 3) and cloud.xyz.dtype == np.int8
    assert set(cloud.label) == set(range(1, 13))
    assert (cloud.xyz[:, 0].min(), cloud.xyz[:, 0].max()) == (-127, 127)


def test_an_expert_without_points_has_an_empty_cloud() -> None:
    assert Cloud.of(None, None).xyz.shape == (0, 3)
