"""What an expert is called, and the number that the name rests on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

LEAST_LIFT = 5.0
"""Lift of a task's rows from which a title may name the task."""

LEAST_LEAD = 2.0
"""How far that lift must lead the next family's."""

ORDERS = {"ring": "ring order", "ordinal": "ordered", "map": "laid out"}
"""What a title says of a supported order, by the hypothesis' shape."""

NAMED_LABELS = 3
"""Labels or tokens that a title names at most."""


@dataclass(frozen=True)
class Title:
    """A name with its ground."""

    title: str
    basis: Literal["order", "task", "tokens", "silent"]
    task: int | None
    measure: str
    value: float


@dataclass(frozen=True)
class TaskEvidence:
    """What one expert does on one task."""

    task: int
    title: str
    family: str
    lift: float
    """P(fires | the task's rows) over the corpus rate, smoothed."""
    covered_labels: Sequence[str]
    """Labels that it fires on in at least half their rows, by lift."""
    n_labels: int
    order: tuple[str, float] | None
    """The best supported order: what it is called, and its all-row R² on the report set."""


def title(tasks: Sequence[TaskEvidence], tokens: Sequence[tuple[str, float]], firings: int) -> Title:
    """Return an expert's title: a task where the expert is about it far more than about the corpus and any other family of
    tasks, else its most lifted tokens, given with their lifts.
    """
    task = _task(tasks)
    if task and task.order:
        shape, r2 = task.order
        return Title(f"{task.title}, {ORDERS[shape]}", "order", task.task, "R² all rows", r2)
    if task:
        return Title(task.title + _which(task), "task", task.task, "lift", task.lift)
    if not tokens:
        return Title(
            "Silent" if not firings else "No token stands out",
            "silent" if not firings else "tokens",
            None,
            "firings",
            float(firings),
        )
    # A token is a name to the reader, so it stands without its leading space.
    words = " ".join(f"“{text.strip() or text}”" for text, _ in tokens[:NAMED_LABELS])
    return Title(words, "tokens", None, "lift", tokens[0][1])


def _task(tasks: Sequence[TaskEvidence]) -> TaskEvidence | None:
    """Return the task that a title may name, if any: of one family the best supported order, else the largest lift."""
    leading = max(tasks, key=lambda evidence: evidence.lift, default=None)
    if leading is None:
        return None
    rival = max((evidence.lift for evidence in tasks if evidence.family != leading.family), default=0.0)
    least = max(LEAST_LIFT, LEAST_LEAD * rival)
    # Lift over all rows can rest on a few of them; a name needs a label that the expert fires on in most.
    named = [
        evidence for evidence in tasks if evidence.family == leading.family and evidence.lift >= least and evidence.covered_labels
    ]
    return max(named, key=lambda evidence: (evidence.order[1] if evidence.order else -1.0, evidence.lift), default=None)


def _which(task: TaskEvidence) -> str:
    """Return the labels that set the expert apart, where it is about some of them only."""
    covered = task.covered_labels
    if len(covered) == task.n_labels:
        return ""
    named = ", ".join(covered[:NAMED_LABELS])
    return f": {named}" + (f" and {len(covered) - NAMED_LABELS} more" if len(covered) > NAMED_LABELS else "")
