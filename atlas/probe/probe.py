"""The probe stage: every expert against every hypothesis of every task."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Float64, Int64

from atlas.activations.model import LanguageModel
from atlas.activations.stream import StreamConfig
from atlas.activations.vocabulary import token_texts
from atlas.dictionary import Checkpoint, Smixae
from atlas.geometry.contribution import coordinates
from atlas.harvest.harvest import describe_run
from atlas.harvest.parts import STAGE as HARVEST
from atlas.probe import references
from atlas.probe.rows import TaskRows, label_embeddings, label_occurrences, row_firings, task_rows
from atlas.probe.scores import (
    ALPHA,
    COVERED_RATE,
    MIN_ACTIVE_ROWS,
    MIN_COVERED,
    Fired,
    Order,
    Rows,
    Scores,
    benjamini_hochberg,
    coverage,
    label_order,
    scores,
    sums,
)
from atlas.probe.tasks import Hypothesis, Task
from atlas.probe.titles import TaskEvidence, Title, smoothed_lift, title
from atlas.stages import Column, Finished, Ragged, Stage, fingerprint, finished, require_same_inputs, stacked

STAGE = "probe"

LIFT_PRIOR = 20.0
"""Rows' worth of corpus rate that a lift is smoothed with."""


@dataclass(frozen=True)
class ProbeConfig:
    """How experts are probed."""

    n_permutations: int = 2000
    """Label orders tried where there are too many to try all."""
    seed: int = 0
    """Of permutations, bootstrap and random projections."""
    stream: StreamConfig = field(default_factory=StreamConfig)


@dataclass(frozen=True)
class Tested:
    """One hypothesis on all experts that fire on enough rows."""

    hypothesis: Hypothesis
    targets: Float64[np.ndarray, "label target"]
    scores: Scores
    order: Order
    references: dict[str, references.Reference]


@dataclass(frozen=True)
class TaskResult:
    """Everything found on one task."""

    number: int
    task: Task
    rows: Rows
    run: TaskRows
    fired: Fired
    probed: Int64[np.ndarray, "probed"]
    """Experts that fire on enough rows to be scored."""
    counts: Int64[np.ndarray, "expert label"]
    """Rows of each label that each expert fires on."""
    tested: list[Tested]

    @property
    def fires(self) -> Float64[np.ndarray, "expert label"]:
        """P(fires | label)."""
        return self.counts / np.maximum(self.label_rows, 1)

    @property
    def label_rows(self) -> Float64[np.ndarray, "label"]:
        """Rows of each label."""
        return np.bincount(self.rows.label, minlength=self.rows.n_labels).astype(np.float64)


def probe(
    checkpoint: Checkpoint,
    model: LanguageModel,
    tasks: Sequence[Task],
    work: Path,
    config: ProbeConfig,
    progress: Callable[[str], None] = lambda _: None,
) -> None:
    """Score every expert on every hypothesis and keep the tables in `work/probe`.

    Raises:
        StageMissing: the harvest, whose firing rates lifts are measured against, has not finished.
        WorkOccupied: the folder holds a probe of other inputs.
    """
    stage = Stage(work, STAGE, probe_inputs(checkpoint, model, tasks, work, config))
    if stage.is_done():
        return
    require_harvest(work, {"checkpoint": checkpoint.sha256, "model": stage.inputs["model"], "dtype": model.dtype})
    harvested = finished(work, HARVEST)
    results = []
    for number, task in enumerate(tasks, start=1):
        progress(f"{task.title}: running {len(task.templates) * len(task.labels):,} sentences")
        run = task_rows(task, model, config.stream)
        progress(f"{task.title}: scoring {checkpoint.smixae.n_experts:,} experts on {len(task.hypotheses)} hypotheses")
        results.append(probe_task(number, task, run, checkpoint.smixae, label_embeddings(run, model).cpu().numpy(), config))
    stage.finish(
        tables(results, harvested, model, _vocabulary(checkpoint, model)),
        {"settings": {"probe": stage.inputs["settings"]}, "tasks": stage.inputs["tasks"]},
    )


def require_harvest(work: Path, known: Mapping[str, Any]) -> None:
    """Compare what is known of the dictionary and its model with what the harvest in the work folder was made from.

    Raises:
        StageMissing: there is no finished harvest.
        WorkOccupied: it is of another dictionary or model.
    """
    inputs = fingerprint(work, HARVEST)
    harvested = {**inputs, "dtype": inputs["device"]["dtype"]}
    require_same_inputs(work / HARVEST, {key: harvested.get(key) for key in known}, known)


def is_probed(checkpoint: Checkpoint, model: LanguageModel, tasks: Sequence[Task], work: Path, config: ProbeConfig) -> bool:
    """Return whether the work folder holds the probe of its harvest that these inputs give.

    Raises:
        StageMissing: the harvest has not finished.
        WorkOccupied: it holds a probe of other inputs.
    """
    return Stage(work, STAGE, probe_inputs(checkpoint, model, tasks, work, config)).is_done()


def probe_inputs(
    checkpoint: Checkpoint, model: LanguageModel, tasks: Sequence[Task], work: Path, config: ProbeConfig
) -> dict[str, Any]:
    """Return everything that determines the result of a probe."""
    return {
        "checkpoint": checkpoint.sha256,
        **describe_run(model),
        "harvest": fingerprint(work, HARVEST),
        "tasks": {task.name: sha256(repr(task).encode()).hexdigest() for task in tasks},
        "settings": asdict(config),
    }


def _vocabulary(checkpoint: Checkpoint, model: LanguageModel) -> Int64[np.ndarray, "vocabulary"] | None:
    """Return the counts of the model's tokens in the training text; None where none are known, or those of another model."""
    known = checkpoint.trained_on
    return known.vocabulary if known and len(known.vocabulary) == len(model.embeddings) else None


def probe_task(
    number: int,
    task: Task,
    run: TaskRows,
    smixae: Smixae,
    embedding: Float[np.ndarray, "row d_embedding"],
    config: ProbeConfig,
) -> TaskResult:
    """Return everything found on one task."""
    rows = Rows(
        label=np.array([one.sentence.label for one in run.probed], dtype=np.int64),
        template=np.array([one.sentence.template for one in run.probed], dtype=np.int64),
        fold=task.folds(),
        report=task.report(),
        n_labels=len(task.labels),
    )
    firings = row_firings(run.x, smixae)
    fired = Fired(*(column.cpu().numpy() for column in firings))
    active = np.bincount(fired.expert, minlength=smixae.n_experts)
    probed = np.flatnonzero(active >= MIN_ACTIVE_ROWS)
    # Experts that are scored get numbers of their own, in the same order.
    index = np.full(smixae.n_experts, -1)
    index[probed] = np.arange(len(probed))
    scored = index[fired.expert] >= 0
    among = Fired(fired.row[scored], index[fired.expert[scored]], fired.code[scored])
    given = sums(rows, among, len(probed))
    x = run.x.cpu().numpy()
    tested = []
    for hypothesis in task.hypotheses:
        targets = hypothesis.targets(task.values)
        tested.append(
            Tested(
                hypothesis=hypothesis,
                targets=targets,
                scores=scores(rows, among, given, targets, config.seed),
                order=label_order(given, targets, config.seed, config.n_permutations),
                references={
                    "chance": references.chance(rows.n_labels),
                    "random_projection": references.best_random_projection(
                        rows, x, targets, smixae.n_experts, smixae.d_code, config.seed
                    ),
                    "top_components": references.top_components(rows, x, targets, smixae.d_code, config.seed),
                    "word_embedding": references.word_embedding(rows, embedding.astype(np.float64), targets),
                },
            )
        )
    cell = fired.expert.astype(np.int64) * rows.n_labels + rows.label[fired.row]
    counts = np.bincount(cell, minlength=smixae.n_experts * rows.n_labels).reshape(smixae.n_experts, rows.n_labels)
    return TaskResult(number, task, rows, run, fired, probed, counts, tested)


def tables(
    results: Sequence[TaskResult], harvested: Finished, model: LanguageModel, trained: Int64[np.ndarray, "vocabulary"] | None
) -> dict[str, dict[str, Column]]:
    """Return the tables of all labelled tasks, and every expert's title."""
    q = benjamini_hochberg(np.array([_smallest(tested.order.p_adjusted) for result in results for tested in result.tested]))
    qs = iter(q.tolist())
    supported: dict[tuple[int, int], Bool[np.ndarray, "probed"]] = {}
    made: dict[str, list[dict[str, Column]]] = {}

    def add(table: str, columns: dict[str, Column]) -> None:
        made.setdefault(table, []).append(columns)

    frame = _array(harvested, "frames", "frame")
    rate = _rates(harvested)
    for result in results:
        _add_task(add, result, model, trained)
        _add_points(add, result, frame, rate)
        for number, tested in enumerate(result.tested):
            q_here = next(qs)
            supported[result.number, number] = _add_hypothesis(add, result, number, tested, q_here)
    add("titles", _titles(results, supported, harvested, rate))
    return {table: stacked(parts) for table, parts in made.items()}


Add = Callable[[str, dict[str, Column]], None]


def _add_task(add: Add, result: TaskResult, model: LanguageModel, trained: Int64[np.ndarray, "vocabulary"] | None) -> None:
    task, run, n = result.task, result.run, len(result.run.probed)
    ids = np.array([token for one in run.probed for token in one.token_ids], dtype=np.int32)
    token, count = np.unique(ids, return_counts=True)
    occurrences = None if trained is None else torch.from_numpy(trained)
    add(
        "tasks",
        {
            "task": [result.number],
            "name": [task.name],
            "title": [task.title],
            "kind": ["labelled"],
            "family": [task.family],
            "description": [task.description],
            "cyclic": [task.cyclic],
            "tokens": [n],
            "held_out_tokens": [n],
            "importance_tokens": [0],
            "documents": [n],
            "rows": [n],
            "templates": [len(task.templates)],
            "dropped": [run.dropped],
        },
    )
    add(
        "labels",
        {
            "task": [result.number] * len(task.labels),
            "label": list(range(len(task.labels))),
            "name": list(task.labels),
            "value": task.values,
            "rows": result.label_rows,
            "training_occurrences": np.array(label_occurrences(run, len(task.labels), occurrences)),
        },
    )
    add(
        "windows",
        {
            "task": _same(result.number, n),
            "window": np.arange(n, dtype=np.int32),
            "document": np.arange(n, dtype=np.int64),
            "ordinal": np.zeros(n, dtype=np.int32),
            "tokens": Ragged(ids, np.concatenate([[0], np.cumsum([len(one.token_ids) for one in run.probed])])),
            "position": np.array([one.position for one in run.probed], dtype=np.float64),
            "label": result.rows.label.astype(np.float64),
            "template": result.rows.template.astype(np.float64),
            "report": result.rows.report[result.rows.template].tolist(),
        },
    )
    add(
        "vocabulary",
        {
            "task": [result.number] * len(token),
            "token": token.tolist(),
            "text": token_texts(model.tokenizer, token.tolist()),
            "count": count.tolist(),
        },
    )


def _add_points(
    add: Add, result: TaskResult, frame: Float[np.ndarray, "expert d_code 3"], rate: Float[np.ndarray, "expert"]
) -> None:
    order = np.lexsort((result.fired.row, result.fired.expert))
    row, expert, code = (column[order] for column in result.fired)
    xyz = coordinates(frame, expert, code)
    label = result.rows.label[row]
    add(
        "points",
        {
            "task": _same(result.number, len(row)),
            "expert": expert.astype(np.int32),
            "window": row.astype(np.int32),
            "position": np.array([one.position for one in result.run.probed], dtype=np.int32)[row],
            "label": label.astype(np.float64),
            "x": xyz[:, 0],
            "y": xyz[:, 1],
            "z": xyz[:, 2],
            "norm": np.linalg.norm(code, axis=1).astype(np.float32),
        },
    )
    label_at, expert_at = result.counts.T.nonzero()
    fired = result.counts[expert_at, label_at]
    cell = expert.astype(np.int64) * result.rows.n_labels + label
    means = [
        np.bincount(cell, weights=xyz[:, axis], minlength=result.counts.size).reshape(result.counts.shape) for axis in range(3)
    ]
    rows = result.label_rows[label_at]
    add(
        "label_stats",
        {
            "task": _same(result.number, len(fired)),
            "label": label_at.astype(np.int32),
            "expert": expert_at.astype(np.int32),
            "fired": fired.astype(np.int32),
            "fires": fired / rows,
            "lift": smoothed_lift(fired.astype(np.float64), rows, rate[expert_at], LIFT_PRIOR),
            **{axis: (mean[expert_at, label_at] / fired).astype(np.float32) for axis, mean in zip("xyz", means, strict=True)},
        },
    )


def _add_hypothesis(add: Add, result: TaskResult, number: int, tested: Tested, q: float) -> Bool[np.ndarray, "probed"]:
    """Add a hypothesis with its scores, and return which of the scored experts have its order supported."""
    stated, found, order, probed = tested.hypothesis, tested.scores, tested.order, result.probed
    covered, least = coverage(result.fires[probed])
    supported = (
        order.testable
        & (covered >= MIN_COVERED)
        & (np.nan_to_num(order.p_adjusted, nan=1.0) <= ALPHA)
        & (found.left_out_label > 0)
        & (found.all_rows_low > 0)
        & (q <= ALPHA)
    )
    add(
        "hypotheses",
        {
            "task": [result.number],
            "hypothesis": [number],
            "name": [stated.name],
            "title": [stated.title],
            "shape": [stated.shape],
            "description": [stated.description],
            "targets": [tested.targets.tolist()],
            "chance": [tested.references["chance"]["all_rows"]],
            "p_smallest": np.array([_smallest(order.p_adjusted)]),
            "q": np.array([q]),
            "testable": [int(order.testable.sum())],
        },
    )
    by_rank = np.lexsort((probed, -found.ranking))
    columns: dict[str, np.ndarray] = {
        "expert": probed.astype(np.int32),
        "ranking": found.ranking,
        "all_rows": found.all_rows,
        "all_rows_low": found.all_rows_low,
        "all_rows_high": found.all_rows_high,
        "where_it_fires": found.where_it_fires,
        "n_where_it_fires": found.n_where_it_fires,
        "left_out_label": found.left_out_label,
        "covered": covered.astype(np.int32),
        "covered_least": least,
        "active_rows": result.counts[probed].sum(axis=1),
        "testable": order.testable,
        "p_order": order.p,
        "p_order_adjusted": order.p_adjusted,
        "order_supported": supported,
    }
    n = len(probed)
    add(
        "scores",
        {
            "task": _same(result.number, n),
            "hypothesis": _same(number, n),
            "rank": np.arange(n, dtype=np.int32),
            **{name: column[by_rank] for name, column in columns.items()},
        },
    )
    named = [(reference, metric, value) for reference, metrics in tested.references.items() for metric, value in metrics.items()]
    add(
        "baselines",
        {
            "task": [result.number] * len(named),
            "hypothesis": [number] * len(named),
            "reference": [reference for reference, _, _ in named],
            "metric": [metric for _, metric, _ in named],
            "value": [value for _, _, value in named],
        },
    )
    return supported


def _titles(
    results: Sequence[TaskResult],
    supported: dict[tuple[int, int], Bool[np.ndarray, "probed"]],
    harvested: Finished,
    rate: Float[np.ndarray, "expert"],
) -> dict[str, Column]:
    """Return every expert's title."""
    evidence: list[list[TaskEvidence]] = [[] for _ in rate]
    for result in results:
        task = result.task
        lifts = smoothed_lift(
            result.counts.sum(axis=1).astype(np.float64), np.full(len(rate), result.label_rows.sum()), rate, LIFT_PRIOR
        )
        for expert in range(len(rate)):
            orders = [
                (tested.hypothesis.shape, float(tested.scores.all_rows[at]))
                for number, tested in enumerate(result.tested)
                for at in np.flatnonzero(result.probed == expert)
                if supported[result.number, number][at]
            ]
            strongest = np.argsort(-result.fires[expert], kind="stable")
            covered = [task.labels[i] for i in strongest if result.fires[expert, i] >= COVERED_RATE]
            evidence[expert].append(
                TaskEvidence(
                    result.number,
                    task.title,
                    task.family,
                    float(lifts[expert]),
                    covered,
                    len(task.labels),
                    max(orders, key=lambda order: order[1], default=None),
                )
            )
    tokens = _lifted_tokens(harvested, len(rate))
    firings = _array(harvested, "expert_stats", "firings")
    titles: list[Title] = [title(evidence[e], tokens[e], int(firings[e])) for e in range(len(rate))]
    return {
        "expert": list(range(len(rate))),
        "title": [one.title for one in titles],
        "basis": [one.basis for one in titles],
        "task": np.array([float("nan") if one.task is None else one.task for one in titles]),
        "measure": [one.measure for one in titles],
        "value": [one.value for one in titles],
    }


def _lifted_tokens(harvested: Finished, n_experts: int) -> list[list[tuple[str, float]]]:
    """Return each expert's tokens with their lifts, in the order of the harvest."""
    vocabulary = harvested.tables["vocabulary"]
    text = dict(zip(np.asarray(vocabulary["token"]).tolist(), vocabulary["text"], strict=True))
    found: list[list[tuple[str, float]]] = [[] for _ in range(n_experts)]
    columns = (_array(harvested, "expert_tokens", name).tolist() for name in ("expert", "token", "lift"))
    for expert, token, lift in zip(*columns, strict=True):
        found[expert].append((text[token], lift))
    return found


def _rates(harvested: Finished) -> Float64[np.ndarray, "expert"]:
    """Return each expert's firing rate on the corpus, as if it had fired half a time more often: a silent one divides nothing."""
    firings = _array(harvested, "expert_stats", "firings")
    tokens = harvested.tables["tasks"]["tokens"][0]
    return (firings + 0.5) / (tokens + 1.0)


def _array(harvested: Finished, table: str, column: str) -> np.ndarray:
    """Return a column of the harvest, of its first corpus only."""
    values = harvested.tables[table][column]
    assert isinstance(values, np.ndarray)
    task = harvested.tables[table].get("task")
    return values if task is None else values[np.asarray(task) == 0]


def _smallest(p: Float64[np.ndarray, "probed"]) -> float:
    known = p[~np.isnan(p)]
    return float(known.min()) if len(known) else float("nan")


def _same(value: int, n: int) -> np.ndarray:
    return np.full(n, value, dtype=np.int32)
