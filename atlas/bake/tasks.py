"""What the page knows of each task from the start."""

from __future__ import annotations

from typing import Any

import polars as pl

from atlas.bake.colours import SCHEMES, label_colours
from atlas.bake.figures import labels_per_mean
from atlas.store import Hypothesis, Task

ABSENCES = {
    "task": "Tasks that are absent",
    "rows": "Rows left out",
    "assumed": "How labelled data were read",
    "mentions": "No scores on running text",
}
"""What the page calls each kind of the table `absences`, in its order."""
REFERENCES = ("chance", "random_projection", "top_components", "word_embedding")


def task_payload(task: Task, absences: pl.DataFrame) -> dict[str, Any]:
    """Return what the page knows of a task from the start, labels and hypotheses with it; `absences` are the table."""
    occurrences = [label.training_occurrences for label in task.labels]
    return {
        "task": task.task,
        "name": task.name,
        "title": task.title,
        "kind": task.kind,
        "description": task.description,
        "needs": task.needs,
        "documents": task.documents,
        "rows": task.rows,
        "templates": task.templates,
        "dropped": task.dropped,
        "occurrences": None if None in occurrences else sum(number or 0 for number in occurrences),
        "absent": [
            f"{ABSENCES[what]}: {reason}"
            for what, reason in absences.filter((pl.col("name") == task.name) & (pl.col("what") != "task"))
            .select("what", "reason")
            .iter_rows()
        ],
        "cyclic": task.cyclic,
        "report_rows": task.report_rows,
        "has_text": task.has_text,
        "hypotheses": [_hypothesis(one) for one in task.hypotheses],
        "labels": {
            "name": [label.name for label in task.labels],
            "rows": [label.rows for label in task.labels],
            "colours": {scheme: label_colours(task, scheme) for scheme in SCHEMES},
        },
        "labels_per_mean": labels_per_mean(task),
    }


def _hypothesis(hypothesis: Hypothesis) -> dict[str, Any]:
    return {
        "hypothesis": hypothesis.hypothesis,
        "name": hypothesis.name,
        "title": hypothesis.title,
        "shape": hypothesis.shape,
        "measure": hypothesis.measure,
        "of_label": hypothesis.of_label,
        "description": hypothesis.description,
        "classes": list(hypothesis.classes),
        "targets": [[float(f"{value:.5g}") for value in column] for column in zip(*hypothesis.targets, strict=True)],
        "testable": hypothesis.testable,
        "references": {name: hypothesis.references[name] for name in REFERENCES if name in hypothesis.references},
    }
