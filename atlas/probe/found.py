"""One labelled task: every expert against every hypothesis, and what is said beside the scores."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Float64, Int64
from numpy.typing import NDArray

from atlas.dictionary import Smixae
from atlas.errors import TaskError
from atlas.probe import class_references, references
from atlas.probe.config import ProbeConfig
from atlas.probe.importance import firing_importance
from atlas.probe.mentions import Mentioned
from atlas.probe.protocol import ByReference, by_reference
from atlas.probe.rows import TaskRows, row_firings
from atlas.probe.scores import (
    MIN_ACTIVE_ROWS,
    Fired,
    Joint,
    NewlineMeasures,
    Order,
    Preference,
    Rows,
    Scores,
    Sums,
    class_chance,
    class_scores,
    coverage,
    fires,
    jointly,
    label_dependence,
    label_order,
    left_out_direction,
    preference,
    scores,
    sums,
    supported,
    untestable,
    within_halves,
)
from atlas.probe.tasks import Hypothesis, Task

RIDGE_PENALTY = 1.0
"""Of ridge probes, on features of unit variance."""


@dataclass(frozen=True)
class Tested:
    """One hypothesis on all experts that fire on enough rows."""

    number: int
    """Among the task's hypotheses."""
    hypothesis: Hypothesis
    scores: Scores
    order: Order
    left_out_direction: Float64[np.ndarray, "probed"]
    """NaN of classes."""
    p_within_halves: Float64[np.ndarray, "probed"]
    """NaN of experts whose order is not supported for other reasons, and of classes."""


@dataclass(frozen=True)
class Probed:
    """Labelled rows, the firings on them, and how well every hypothesis is read from those."""

    rows: Rows
    fired: Fired
    experts: Int64[np.ndarray, "probed"]
    """Those that fire on enough rows to be scored."""
    counts: Int64[np.ndarray, "expert label"]
    """Rows of each label that each expert fires on."""
    tested: list[Tested]

    @property
    def label_rows(self) -> Int64[np.ndarray, "label"]:
        """Rows of each label."""
        return np.bincount(self.rows.label, minlength=self.rows.n_labels)

    @property
    def fires(self) -> Float64[np.ndarray, "expert label"]:
        """P(fires | label)."""
        return self.counts / np.maximum(self.label_rows, 1)


@dataclass(frozen=True)
class Found:
    """Everything found on one task."""

    task: Task
    run: TaskRows
    sentences: Probed
    importance: Float64[np.ndarray, "firing"]
    """Of each firing of `sentences`, as `firing_importance` gives it."""
    references: list[dict[str, references.Reference]]
    """Of each hypothesis."""
    joint: list[Joint | None]
    """Of each hypothesis: the experts that read it best together; None of classes, and where the target is not of the label."""
    preference: Preference
    """Of all experts."""
    p_label: Float64[np.ndarray, "probed"]
    mentions: Probed | str | None
    """The same on natural mentions, or why not; None where a word of running text would not tell that the label is meant."""
    newline: NewlineMeasures | None
    reference: ByReference | None
    """By the reference's protocol, where that was asked for."""


def find(
    task: Task,
    run: TaskRows,
    smixae: Smixae,
    embedding: Float[np.ndarray, "row d_embedding"] | None,
    mentions: Mentioned | str | None,
    newline: NewlineMeasures | None,
    config: ProbeConfig,
) -> Found:
    """Return everything found on one task; `embedding` is the static one of each row's label, where rows have text.

    Raises:
        TaskError: too few rows are left.
    """
    rows = _labelled(task, run)
    firings = row_firings(run.x, smixae)
    fired = Fired(*(column.cpu().numpy() for column in firings))
    targets = [_of_rows(hypothesis, rows, run.kept) for hypothesis in task.hypotheses]
    sentences = _probed(rows, fired, smixae.n_experts, task, dict(enumerate(targets)), config)
    x = run.x.cpu().numpy()
    norm = np.linalg.norm(fired.code, axis=1).astype(np.float64)
    among = _among(fired, sentences.experts, smixae.n_experts)
    return Found(
        task=task,
        run=run,
        sentences=sentences,
        importance=firing_importance(run.x, firings, smixae),
        references=[
            _references(rows, x, embedding, hypothesis, of_rows, smixae, config.seed)
            for hypothesis, of_rows in zip(task.hypotheses, targets, strict=True)
        ],
        joint=[
            _jointly(rows, among, sentences.experts, tested, of_rows, config)
            for tested, of_rows in zip(sentences.tested, targets, strict=True)
        ],
        preference=preference(rows, fired, norm, smixae.n_experts, config.seed),
        p_label=label_dependence(rows, among, len(sentences.experts), config.seed),
        mentions=_on_mentions(task, mentions, smixae.n_experts, config) if isinstance(mentions, Mentioned) else mentions,
        newline=newline,
        reference=by_reference(rows, fired, x, task.hypotheses, targets, smixae.n_experts, config.seed)
        if config.protocol == "reference"
        else None,
    )


def _labelled(task: Task, run: TaskRows) -> Rows:
    """Return the rows with their labels, without templates of which no sentence is left: a bootstrap would draw nothing.

    Raises:
        TaskError: no row is left of the report set, or none of any two other groups.
    """
    used, template = np.unique([one.sentence.template for one in run.probed], return_inverse=True)
    report, fold = task.report()[used], task.folds()[used]
    groups = [len(np.unique(fold[side])) for side in (~report, report)]
    if groups[0] < 2 or groups[1] < 1:
        raise TaskError(
            f"{len(run.probed):,} of {len(task.sentences):,} rows are left, in {groups[0]} groups that scores are fitted to and "
            f"{groups[1]} that they are measured on; 2 and 1 are needed: give shorter texts, or more groups."
        )
    return Rows(
        label=np.array([one.sentence.label for one in run.probed], dtype=np.int64),
        template=template.astype(np.int64),
        fold=fold,
        report=report,
        n_labels=len(task.labels),
    )


def _references(
    rows: Rows,
    x: Float[np.ndarray, "row d_in"],
    embedding: Float[np.ndarray, "row d_embedding"] | None,
    hypothesis: Hypothesis,
    targets: Float64[np.ndarray, "row target"],
    smixae: Smixae,
    seed: int,
) -> dict[str, references.Reference]:
    """Return what a hypothesis reaches without any expert; chance only where labels say what it is."""
    n_experts, d_code = smixae.n_experts, smixae.d_code
    if hypothesis.shape == "classes":
        classes, n_classes = targets[:, 0].astype(np.int64), len(hypothesis.class_names)
        found = {
            "random_projection": class_references.best_random_projection(rows, x, classes, n_classes, n_experts, d_code, seed),
            "top_components": class_references.top_components(rows, x, classes, n_classes, d_code, seed),
        }
        if embedding is not None:
            found["word_embedding"] = class_references.word_embedding(rows, embedding, classes, n_classes)
        if hypothesis.of_label is None:
            return {"chance": {"all_rows": 1 / n_classes}, **found}
        return {
            "chance": {"all_rows": class_chance(hypothesis.of_label[:, 0].astype(np.int64), n_classes, d_code, seed)},
            **found,
        }
    penalty = _penalty(hypothesis)
    found = {
        "random_projection": references.best_random_projection(rows, x, targets, n_experts, d_code, seed, penalty),
        "top_components": references.top_components(rows, x, targets, d_code, seed, penalty),
    }
    if embedding is not None:
        found["word_embedding"] = references.word_embedding(rows, embedding, targets)
    # Where rows of one label differ in the target, clusters tell no more of it than the mean.
    by_chance = {"all_rows": 0.0} if hypothesis.of_label is None else references.chance(rows.n_labels, d_code)
    return {"chance": by_chance, **found}


def _penalty(hypothesis: Hypothesis) -> float:
    return RIDGE_PENALTY if hypothesis.probe == "ridge" else 0.0


def _on_mentions(task: Task, mentions: Mentioned, n_experts: int, config: ProbeConfig) -> Probed:
    """Return the scores on natural mentions of those hypotheses whose target is a function of the label."""
    targets = {
        number: _of_rows(hypothesis, mentions.rows, None)
        for number, hypothesis in enumerate(task.hypotheses)
        if hypothesis.of_label is not None
    }
    # A class is read only beside another.
    ranking = ~mentions.rows.report[mentions.rows.template]
    targets = {
        number: of_rows
        for number, of_rows in targets.items()
        if task.hypotheses[number].shape != "classes" or np.ptp(of_rows[ranking]) > 0
    }
    return _probed(mentions.rows, mentions.fired, n_experts, task, targets, config)


def _of_rows(hypothesis: Hypothesis, rows: Rows, kept: Int64[np.ndarray, "row"] | None) -> Float64[np.ndarray, "row target"]:
    """Return the target of each row."""
    if hypothesis.of_label is not None:
        return hypothesis.of_label[rows.label].astype(np.float64)
    assert hypothesis.of_row is not None and kept is not None
    return hypothesis.of_row[kept].astype(np.float64)


def _among(fired: Fired, experts: Int64[np.ndarray, "probed"], n_experts: int) -> Fired:
    """Return the firings of some experts, which get numbers of their own, in the same order."""
    index = np.full(n_experts, -1)
    index[experts] = np.arange(len(experts))
    own = index[fired.expert] >= 0
    return Fired(fired.row[own], index[fired.expert[own]], fired.code[own])


def _probed(
    rows: Rows,
    fired: Fired,
    n_experts: int,
    task: Task,
    targets: Mapping[int, NDArray[Any]],
    config: ProbeConfig,
) -> Probed:
    """Return how well the task's hypotheses are read, of which `targets` gives the number and the target of each row."""
    active = np.bincount(fired.expert, minlength=n_experts)
    experts = np.flatnonzero(active >= MIN_ACTIVE_ROWS)
    among = _among(fired, experts, n_experts)
    given = sums(rows, among, len(experts))
    cell = fired.expert.astype(np.int64) * rows.n_labels + rows.label[fired.row]
    counts = np.bincount(cell, minlength=n_experts * rows.n_labels).reshape(n_experts, rows.n_labels)
    covered, _ = coverage(fires(rows, among, len(experts)))
    tested = [
        _tested_classes(number, task.hypotheses[number], given, of_rows, config)
        if task.hypotheses[number].shape == "classes"
        else _tested_numbers(number, task.hypotheses[number], given, of_rows, covered, config)
        for number, of_rows in targets.items()
    ]
    return Probed(rows, fired, experts, counts, tested)


def _tested_classes(
    number: int, hypothesis: Hypothesis, given: Sums, targets: Float64[np.ndarray, "row target"], config: ProbeConfig
) -> Tested:
    n_experts, n_classes = given.n_experts, len(hypothesis.class_names)
    found = class_scores(given.rows, given.fired, n_experts, targets[:, 0].astype(np.int64), n_classes, config.seed)
    order = untestable(n_experts)
    if hypothesis.of_label is not None:
        indicators = np.eye(n_classes)[hypothesis.of_label[:, 0].astype(np.int64)]
        order = label_order(given, indicators, config.seed, config.n_permutations)
    nothing = np.full(n_experts, np.nan)
    return Tested(number, hypothesis, found, order, nothing, nothing)


def _tested_numbers(
    number: int,
    hypothesis: Hypothesis,
    given: Sums,
    targets: Float64[np.ndarray, "row target"],
    covered: Int64[np.ndarray, "expert"],
    config: ProbeConfig,
) -> Tested:
    penalty, of_label = _penalty(hypothesis), hypothesis.of_label
    found = scores(given, targets, config.seed, penalty)
    direction = left_out_direction(given, targets, penalty)
    order, halves = untestable(given.n_experts), np.full(given.n_experts, np.nan)
    if of_label is not None:
        order = label_order(given, of_label, config.seed, config.n_permutations, penalty)
        # Only of those that all else speaks for: what the other hypotheses say of this one's p is known at the end.
        chosen = np.flatnonzero(supported(order, found, direction, halves, covered, 0.0, hypothesis.shape))
        halves = within_halves(given, of_label, chosen, config.seed, penalty)
    return Tested(number, hypothesis, found, order, direction, halves)


def _jointly(
    rows: Rows,
    among: Fired,
    experts: Int64[np.ndarray, "probed"],
    tested: Tested,
    targets: Float64[np.ndarray, "row target"],
    config: ProbeConfig,
) -> Joint | None:
    if tested.hypothesis.shape == "classes" or tested.hypothesis.of_label is None:
        return None
    return jointly(rows, among, len(experts), targets, tested.order.p_adjusted, config.seed)
