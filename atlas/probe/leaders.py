"""The best experts of each hypothesis, as a finished probe has them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

import numpy as np

from atlas.errors import TaskError
from atlas.stages import Column

Kind = Literal["sentences", "mentions", "reference"]
"""Our own protocol on sentences, the same on natural mentions, or the reference's protocol."""

TABLES: dict[Kind, str] = {"sentences": "scores", "mentions": "mention_scores", "reference": "reference_scores"}

SHOWN = (
    "all_rows",
    "all_rows_low",
    "all_rows_high",
    "where_it_fires",
    "n_where_it_fires",
    "covered",
    "p_order",
    "p_order_adjusted",
    "left_out_label",
    "order_supported",
)
"""What is shown of an expert's score by our own protocol."""


class Ranked(NamedTuple):
    """A measure of the reference's that is of a task as a whole."""

    by: str
    title: str
    beside: tuple[str, ...]


RANKED = {
    "reference_experts": Ranked("fisher", "Fisher ratio", ("adjusted_fisher", "continuity", "rows")),
    "newline_scores": Ranked(
        "periodic_gain",
        "Characters since the newline, periodic gain",
        ("encode_linear_r2", "encode_periodic_r2", "decode_r2", "held_out_gain", "held_out_decode_r2", "rate"),
    ),
}


class Leaders(NamedTuple):
    """The best experts of one hypothesis, the best first."""

    task: str
    hypothesis: str
    title: str
    measure: str
    """R², balanced accuracy, ...: what the scores are."""
    labels: int
    testable: int
    """Experts in the family that p is adjusted over."""
    references: dict[str, dict[str, float | None]]
    """Reference ► metric ► value."""
    experts: list[dict[str, Any]]
    """Of each rank, expert, title and scores; None where there is none."""


def leaders(
    tables: Mapping[str, Mapping[str, Column]], task: str | None, hypothesis: str | None, top: int, kind: Kind
) -> list[Leaders]:
    """Return the `top` best experts of a hypothesis; of all hypotheses of a task, or of all tasks, where None is given.

    By our own protocol they are ranked by the cross-validated score on ranking rows, as everywhere; by the reference's by
    the mean over its folds.

    Raises:
        TaskError: there is no such task or hypothesis, or nothing of this kind was computed.
    """
    numbers = dict(zip(_list(tables["tasks"], "name"), _list(tables["tasks"], "task"), strict=True))
    if task is not None and task not in numbers:
        raise TaskError(_unknown("task", task, numbers) + _why_absent(tables, task))
    found = [one for name, number in numbers.items() if task in (None, name) for one in _of_task(tables, name, number, top, kind)]
    if hypothesis is not None and found:
        names = dict.fromkeys(one.hypothesis for one in found)
        if hypothesis not in names:
            raise TaskError(_unknown("hypothesis", hypothesis, names))
        found = [one for one in found if one.hypothesis == hypothesis]
    if not found:
        raise TaskError(_none(tables, task, kind))
    return found


def _of_task(tables: Mapping[str, Mapping[str, Column]], name: str, number: int, top: int, kind: Kind) -> list[Leaders]:
    titles = dict(zip(_list(tables["titles"], "expert"), _list(tables["titles"], "title"), strict=True))
    labels = _list(tables["labels"], "task").count(number)
    found = []
    for row in _rows(tables["hypotheses"]):
        table = tables.get(TABLES[kind])
        here = None if table is None else _here(table, row)
        if row["task"] == number and table is not None and here is not None and len(here):
            columns = ("mean", "deviation") if kind == "reference" else SHOWN
            if kind == "reference":
                # NaN sorts last, as it never wins.
                here = here[np.argsort(-np.asarray(table["mean"])[here], kind="stable")]
            experts = _experts(table, here[:top], titles, columns)
            references = _references(tables, row) if kind == "sentences" else {}
            testable = len(here) if kind == "reference" else int(np.asarray(table["testable"])[here].sum())
            found.append(Leaders(name, row["name"], row["title"], _measure(row, kind), labels, testable, references, experts))
    for table_name, ranked in RANKED.items() if kind == "reference" else ():
        table = tables.get(table_name, {})
        here = np.flatnonzero(np.asarray(table["task"]) == number) if table else np.array([], dtype=int)
        if len(here):
            here = here[np.argsort(-np.asarray(table[ranked.by])[here], kind="stable")]
            experts = _experts(table, here[:top], titles, (ranked.by, *ranked.beside))
            found.append(Leaders(name, ranked.by, ranked.title, ranked.by, labels, len(here), {}, experts))
    return found


def _here(table: Mapping[str, Column], stated: Mapping[str, Any]) -> np.ndarray:
    same = (np.asarray(table["task"]) == stated["task"]) & (np.asarray(table["hypothesis"]) == stated["hypothesis"])
    return np.flatnonzero(same)


def _experts(
    table: Mapping[str, Column], at: np.ndarray, titles: Mapping[int, str], columns: tuple[str, ...]
) -> list[dict[str, Any]]:
    found = []
    for rank, row in enumerate(at.tolist(), start=1):
        expert = int(np.asarray(table["expert"])[row])
        values = {name: _plain(np.asarray(table[name])[row].item()) for name in columns}
        found.append({"rank": rank, "expert": expert, "title": titles[expert], **values})
    return found


def _references(tables: Mapping[str, Mapping[str, Column]], stated: Mapping[str, Any]) -> dict[str, dict[str, float | None]]:
    found: dict[str, dict[str, float | None]] = {}
    for row in _rows(tables["baselines"]):
        if (row["task"], row["hypothesis"]) == (stated["task"], stated["hypothesis"]):
            found.setdefault(row["reference"], {})[row["metric"]] = _plain(row["value"])
    return found


def _measure(stated: Mapping[str, Any], kind: Kind) -> str:
    return "macro F1" if kind == "reference" and stated["probe"] == "multinomial" else str(stated["measure"])


def _none(tables: Mapping[str, Mapping[str, Column]], task: str | None, kind: Kind) -> str:
    """Return why there is nothing of a kind."""
    of = "any task" if task is None else repr(task)
    if kind == "reference":
        return f"There are no scores of {of} by the reference's protocol; run `atlas probe --protocol reference`."
    if kind == "mentions":
        names: dict[str, list[str]] = {}
        for row in _rows(tables.get("absences", {})):
            if row["what"] == "mentions" and task in (None, row["name"]):
                names.setdefault(row["reason"], []).append(row["name"])
        reasons = [f"{', '.join(of_tasks)}: {reason}" for reason, of_tasks in names.items()]
        if not reasons:
            reasons = ["None were looked for: a word of running text does not tell that a label is meant."]
        return " ".join([f"There are no scores of {of} on natural mentions.", *reasons])
    return f"There are no scores of {of}: it has no hypothesis, or no expert fires on 50 of its rows."


def _unknown(what: str, name: str, known: Mapping[str, Any]) -> str:
    return f"There is no {what} {name!r} here; there is {', '.join(known) or 'none'}."


def _why_absent(tables: Mapping[str, Mapping[str, Column]], task: str) -> str:
    reasons = [row["reason"] for row in _rows(tables.get("absences", {})) if (row["name"], row["what"]) == (task, "task")]
    return f" It is absent: {reasons[0]}" if reasons else ""


def _rows(columns: Mapping[str, Column]) -> list[dict[str, Any]]:
    lists = {name: _list(columns, name) for name in columns}
    return [dict(zip(lists, values, strict=True)) for values in zip(*lists.values(), strict=True)]


def _list(columns: Mapping[str, Column], name: str) -> list[Any]:
    values = columns[name]
    return values if isinstance(values, list) else np.asarray(values).tolist()


def _plain(value: Any) -> Any:
    """Return a number as JSON has it."""
    return None if value != value else value
