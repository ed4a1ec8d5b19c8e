from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from atlas.bake.overview import Counts, amount_values, columns, table
from atlas.bake.scores import best_scores, comparable
from atlas.publish.manifest import column
from atlas.store import Hypothesis, Store, Task
from scored import EXPERTS, scores
from synthetic import write_synthetic


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


def test_every_column_says_what_the_tables_say(tmp_path: Path) -> None:
    with Store(write_synthetic(tmp_path / "atlas.duckdb")) as store:
        experts, tasks, shapes = store.experts(), store.tasks(), store.table("shapes")
        best = best_scores(experts, comparable(store.table("scores"), tasks))
        found = table(experts, best, shapes, store.norms())
        stats = {row["expert"]: row for row in store.table("expert_stats").iter_rows(named=True) if row["task"] == 0}
    shown: list[int | None] = [None if row == 3 else row % 2 for row in range(len(experts))]
    orders = [[1, 2] if row == 5 else [] for row in range(len(experts))]
    said = {name: column(stored) for name, stored in json.loads(json.dumps(columns(found, shown, orders))).items()}
    dimensions = {row["expert"]: row["effective_dimension"] for row in shapes.iter_rows(named=True) if row["task"] == 0}
    scored = {row["expert"]: row for row in best.iter_rows(named=True)}

    def near(value: float | None) -> float | None:
        return None if value is None else float(np.float32(value))

    for row, expert in enumerate(experts.iter_rows(named=True)):
        number, one = expert["expert"], scored.get(expert["expert"], {})
        for name in ("expert", "title", "basis", "title_task", "measure", "firings", "silent", "dense"):
            assert said[name][row] == expert[name]
        for name in ("value", "rate", "importance", "mean_norm"):
            assert said[name][row] == near(expert[name])
        for name in ("task", "hypothesis"):
            assert said[f"best_{name}"][row] == one.get(name)
        for name in ("all_rows", "all_rows_low", "all_rows_high", "covered"):
            assert said[f"best_{name}"][row] == near(one.get(name))
        assert said["effective_dimension"][row] == near(dimensions.get(number))
        assert said["dimensions_needed"][row] == stats[number]["dimensions_needed"]
    assert said["cloud_task"] == shown and said["orders"] == orders
    # Something of every kind is there and something is not.
    assert {None in said[name] for name in ("title_task", "best_covered", "effective_dimension", "dimensions_needed")} == {True}
    values = amount_values(found, tasks)
    labels = {task.task: len(task.labels) for task in tasks}
    for row, expert in enumerate(experts["expert"]):
        one = scored.get(expert)
        assert (
            np.isnan(values["coverage"][row]) if one is None else values["coverage"][row] == one["covered"] / labels[one["task"]]
        )
