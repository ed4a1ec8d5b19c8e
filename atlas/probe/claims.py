"""All tasks together ► what may be claimed: rates over hypotheses, supported orders, and every expert's title."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Float64, Int64

from atlas.probe.scores import COVERED_RATE, Order, Scores, benjamini_hochberg, supported
from atlas.probe.tables import TaskTables, task_lift
from atlas.probe.titles import TaskEvidence, Title, title
from atlas.stages import Column, stacked

ABOUT_ALL = ("absences",)
"""Tables that have no column for a task's number."""


class Corpus(NamedTuple):
    """What titles need to know of the corpus."""

    rate: Float[np.ndarray, "expert"]
    firings: Int64[np.ndarray, "expert"]
    tokens: list[list[tuple[str, float]]]
    """Each expert's tokens with their lifts."""


def whole_tables(found: Sequence[tuple[int, TaskTables]], corpus: Corpus) -> dict[str, dict[str, Column]]:
    """Return the tables of all tasks, each given with its number, with what only all of them together can say."""
    numbered = [(number, _rated(tables)) for number, tables in found]
    _support(numbered, "scores", is_shown=True)
    _support(numbered, "mention_scores", is_shown=False)
    made: dict[str, list[Mapping[str, Column]]] = {}
    for number, tables in numbered:
        for table, columns in tables.items():
            n = len(next(iter(columns.values())))
            of_task: dict[str, Column] = {} if table in ABOUT_ALL else {"task": np.full(n, number, dtype=np.int32)}
            made.setdefault(table, []).append({**of_task, **columns})
    # A task may lack a table; those that have it agree on its columns.
    return {**{table: stacked(parts) for table, parts in made.items()}, "titles": _titles(numbered, corpus)}


def _rated(tables: TaskTables) -> dict[str, Mapping[str, Column]]:
    """Return a task's tables with places for the least p of each hypothesis and its rate, which a task without scores keeps."""
    hypotheses = tables["hypotheses"]
    unknown = np.full(len(hypotheses["name"]), np.nan)
    return {**tables, "hypotheses": {**hypotheses, "p_smallest": unknown, "q": unknown}}


def _support(found: list[tuple[int, dict[str, Mapping[str, Column]]]], table: str, is_shown: bool) -> None:
    """Add to a table of scores whether each order is supported and, where it is shown, its rate to the hypothesis."""
    here = [tables for _, tables in found if table in tables]
    smallest = [_smallest(tables[table], len(_array(tables["hypotheses"], "testable"))) for tables in here]
    rates = np.split(benjamini_hochberg(np.concatenate([*smallest, np.zeros(0)])), np.cumsum([len(p) for p in smallest]))
    # Nothing follows the last of the splits.
    for tables, p, q in zip(here, smallest, rates[:-1], strict=True):
        scores, stated = tables[table], tables["hypotheses"]
        hypothesis = _array(scores, "hypothesis")
        is_supported = np.zeros(len(hypothesis), dtype=np.bool_)
        for number in np.unique(hypothesis).tolist():
            at = hypothesis == number
            column = {name: _array(scores, name)[at] for name in scores}
            order = Order(column["testable"], column["p_order"], column["p_order_adjusted"])
            scored = Scores(*(column[name] for name in Scores._fields))
            direction, halves = column["left_out_direction"], column["p_within_halves"]
            q_here, shape = float(q[number]), str(stated["shape"][number])
            is_supported[at] = supported(order, scored, direction, halves, column["covered"], q_here, shape)
        tables[table] = {**scores, "order_supported": is_supported}
        if is_shown:
            tables["hypotheses"] = {**stated, "p_smallest": p, "q": q}


def _smallest(scores: Mapping[str, Column], n_hypotheses: int) -> Float64[np.ndarray, "hypothesis"]:
    """Return the smallest adjusted p of each hypothesis; NaN where no expert is testable."""
    p = np.nan_to_num(_array(scores, "p_order_adjusted"), nan=np.inf)
    least = np.full(n_hypotheses, np.inf)
    np.minimum.at(least, _array(scores, "hypothesis"), p)
    return np.where(np.isfinite(least), least, np.nan)


def _titles(found: Sequence[tuple[int, TaskTables]], corpus: Corpus) -> dict[str, Column]:
    """Return every expert's title."""
    n_experts = len(corpus.rate)
    evidence: list[list[TaskEvidence]] = [[] for _ in range(n_experts)]
    for number, tables in found:
        name, family = str(tables["tasks"]["title"][0]), str(tables["tasks"]["family"][0])
        labels = list(tables["labels"]["name"])
        rows = _array(tables["labels"], "rows")
        fired = np.zeros((n_experts, len(labels)), dtype=np.int64)
        stats = tables["label_stats"]
        fired[_array(stats, "expert"), _array(stats, "label")] = _array(stats, "fired")
        lifts = task_lift(fired.sum(axis=1), int(rows.sum()), corpus.rate)
        fires = fired / np.maximum(rows, 1)
        strongest = np.argsort(-fires, axis=1, kind="stable")
        orders = _best_orders(tables)
        for expert in range(n_experts):
            covered = [labels[i] for i in strongest[expert] if fires[expert, i] >= COVERED_RATE]
            evidence[expert].append(
                TaskEvidence(number, name, family, float(lifts[expert]), covered, len(labels), orders.get(expert))
            )
    titles: list[Title] = [title(evidence[e], corpus.tokens[e], int(corpus.firings[e])) for e in range(n_experts)]
    return {
        "expert": list(range(n_experts)),
        "title": [one.title for one in titles],
        "basis": [one.basis for one in titles],
        "task": np.array([float("nan") if one.task is None else one.task for one in titles]),
        "measure": [one.measure for one in titles],
        "value": [one.value for one in titles],
    }


def _best_orders(tables: TaskTables) -> dict[int, tuple[str, float]]:
    """Return of each expert with a supported order what the best one is called, and its all-row score."""
    if "scores" not in tables:
        return {}
    scores, shapes = tables["scores"], tables["hypotheses"]["shape"]
    best: dict[int, tuple[str, float]] = {}
    chosen = np.flatnonzero(_array(scores, "order_supported"))
    columns = (_array(scores, name)[chosen].tolist() for name in ("expert", "hypothesis", "all_rows"))
    for expert, hypothesis, value in zip(*columns, strict=True):
        if expert not in best or value > best[expert][1]:
            best[expert] = (str(shapes[hypothesis]), value)
    return best


def _array(columns: Mapping[str, Column], name: str) -> np.ndarray:
    return np.asarray(columns[name])
