"""What the page knows of each task from the start."""

from __future__ import annotations

from typing import Any

from atlas.bake.colours import SCHEMES, label_colours
from atlas.bake.figures import label_places, labels_per_mean
from atlas.store import Hypothesis, Task

REFERENCES = ("chance", "random_projection", "top_components", "word_embedding")


def task_payload(task: Task) -> dict[str, Any]:
    """Return what the page knows of a task from the start, labels and hypotheses with it."""
    return {
        "task": task.task,
        "name": task.name,
        "title": task.title,
        "kind": task.kind,
        "documents": task.documents,
        "cyclic": task.cyclic,
        "report_rows": task.report_rows,
        "has_text": task.has_text,
        "hypotheses": [_hypothesis(one) for one in task.hypotheses],
        "labels": {
            "name": [label.name for label in task.labels],
            "rows": [label.rows for label in task.labels],
            "place": label_places(task),
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
