"""Labelled tasks made from templates, as small as a test needs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from atlas.geometry.config import GeometryConfig
from atlas.geometry.overview import OverviewConfig
from atlas.geometry.shape import ShapeConfig
from atlas.probe.tasks import Hypothesis, Sentence, Task
from labelled import line, ring


def ring_of(n_labels: int, name: str = "ring") -> Hypothesis:
    return Hypothesis(name, "Ring", "ring", "sine and cosine", "linear", ring(n_labels), None)


def order_of(n_labels: int, name: str = "ordinal") -> Hypothesis:
    return Hypothesis(name, "Order", "ordinal", "the value", "linear", line(n_labels), None)


def classes_of(of_label: Sequence[int], names: tuple[str, ...], name: str = "classes") -> Hypothesis:
    probe: Any = "logistic" if len(names) == 2 else "multinomial"
    column = np.array(of_label, dtype=np.float64)[:, None]
    return Hypothesis(name, "Classes", "classes", "the class", probe, column, None, names)


def templated(
    labels: tuple[str, ...],
    templates: tuple[str, ...],
    groups: tuple[str, ...],
    hypotheses: tuple[Hypothesis, ...] = (),
    **stated: Any,
) -> Task:
    """Every label in every template, template by template."""
    sentences = []
    for number, template in enumerate(templates):
        before, after = template.split("{label}")
        for index, label in enumerate(labels):
            sentences.append(Sentence(f"{before}{label}{after}", index, number, len(before), len(before) + len(label)))
    given = {
        "name": "things",
        "title": "Things",
        "family": "thing",
        "description": "Things in sentences.",
        "cyclic": False,
        "values": np.arange(len(labels), dtype=np.float64),
        "colours": (),
        "needs": (),
        "natural_mentions": False,
        **stated,
    }
    return Task(labels=labels, hypotheses=hypotheses, sentences=tuple(sentences), groups=groups, **given)


def only(patch: pytest.MonkeyPatch, *tasks: Task) -> None:
    """Let Atlas come with these tasks and no others, and draw few clouds, so that probe and geometry are quick."""
    for module in ("atlas.probe.tasks", "atlas.probe.tasks.choice"):
        patch.setattr(f"{module}.builtin_tasks", lambda: list(tasks))
    patch.setattr("atlas.probe.available.NEWLINE_TASKS", {})
    patch.setattr(GeometryConfig, "seeded", few_draws)


def few_draws(seed: int) -> GeometryConfig:
    """How geometry is found with a null of a few draws."""
    return GeometryConfig(ShapeConfig(seed=seed, anchors=8, draws=4, least_draws=0), OverviewConfig(seed=seed))
