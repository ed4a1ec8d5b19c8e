"""What was found on one task ► its rows of the atlas, as yet without the task's number."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import chain

import numpy as np
import torch
from jaxtyping import Float, Float64, Int64

from atlas.activations.model import LanguageModel
from atlas.activations.vocabulary import token_texts
from atlas.geometry.contribution import coordinates
from atlas.probe.found import Found, Probed
from atlas.probe.rows import TaskRows, label_occurrences
from atlas.probe.scores import coverage, smoothed_lift
from atlas.probe.tasks import needed
from atlas.stages import Column, Ragged, stacked

LIFT_PRIOR = 20.0
"""Rows' worth of corpus rate that a lift is smoothed with."""

TaskTables = Mapping[str, Mapping[str, Column]]


def task_tables(
    found: Found,
    frame: Float[np.ndarray, "expert d_code 3"],
    rate: Float[np.ndarray, "expert"],
    model: LanguageModel,
    trained: Int64[np.ndarray, "vocabulary"] | None,
) -> TaskTables:
    """Return the tables of one task; `rate` is each expert's firing rate on the corpus, `trained` the training text's counts."""
    made: dict[str, Mapping[str, Column]] = {
        **_about(found, model, trained),
        **_points(found, frame),
        "label_stats": _label_stats(found, frame, rate),
        "task_stats": _task_stats(found, rate),
        "task_importance": _task_importance(found),
        "hypotheses": _hypotheses(found),
        "scores": _scores(found.sentences),
        "baselines": _baselines(found),
        "shattered": _shattered(found),
        "absences": _absences(found),
    }
    if isinstance(found.mentions, Probed):
        made["mention_scores"] = _scores(found.mentions)
        made["mention_sets"] = _mention_set(found.mentions)
    if found.newline is not None:
        made["newline_scores"] = _newline(found)
    if found.reference is not None:
        made["reference_experts"], made["reference_scores"] = found.reference.tables()
    return {table: columns for table, columns in made.items() if columns}


def _about(found: Found, model: LanguageModel, trained: Int64[np.ndarray, "vocabulary"] | None) -> dict[str, dict[str, Column]]:
    """Return the task, its labels, its sentences as tokens, and what these spell."""
    task, run, rows, n = found.task, found.run, found.sentences.rows, len(found.run.probed)
    ids = np.array(list(chain.from_iterable(one.token_ids for one in run.probed)), dtype=np.int32)
    token, count = np.unique(ids, return_counts=True)
    occurrences = None if trained is None else torch.from_numpy(trained)
    return {
        "tasks": {
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
            "templates": [len(task.groups)],
            "dropped": [run.dropped],
            "needs": [needed(task.needs)],
        },
        "labels": {
            "label": list(range(len(task.labels))),
            "name": list(task.labels),
            "value": task.values,
            "colour": list(task.colours) or [None] * len(task.labels),
            "rows": found.sentences.label_rows,
            "training_occurrences": np.array(label_occurrences(run, task.labels, occurrences)),
        },
        "windows": {
            "window": np.arange(n, dtype=np.int32),
            "document": np.arange(n, dtype=np.int64),
            "ordinal": np.zeros(n, dtype=np.int32),
            "tokens": Ragged(ids, np.concatenate([[0], np.cumsum([len(one.token_ids) for one in run.probed])]).astype(np.int64)),
            "position": _positions(run).astype(np.float64),
            "label": rows.label.astype(np.float64),
            "template": rows.template.astype(np.float64),
            "report": rows.report[rows.template].tolist(),
        },
        "vocabulary": {
            "token": token.tolist(),
            "text": token_texts(model.tokenizer, token.tolist()),
            "count": count.tolist(),
        },
    }


def _positions(run: TaskRows) -> Int64[np.ndarray, "row"]:
    return np.array([one.position for one in run.probed], dtype=np.int64)


def _points(found: Found, frame: Float[np.ndarray, "expert d_code 3"]) -> dict[str, dict[str, Column]]:
    """Return every firing as a point, and in the same order the codes that they are drawn from."""
    fired, rows = found.sentences.fired, found.sentences.rows
    order = np.lexsort((fired.row, fired.expert))
    row, expert, code = (column[order] for column in fired)
    xyz = coordinates(frame, expert, code)
    points: dict[str, Column] = {
        "expert": expert.astype(np.int32),
        "window": row.astype(np.int32),
        "position": _positions(found.run).astype(np.int32)[row],
        "label": rows.label[row].astype(np.float64),
        "x": xyz[:, 0],
        "y": xyz[:, 1],
        "z": xyz[:, 2],
        "norm": np.linalg.norm(code, axis=1).astype(np.float32),
        "importance": found.importance[order].astype(np.float32),
    }
    return {"points": points, "codes": {"code": code}}


def _label_stats(
    found: Found, frame: Float[np.ndarray, "expert d_code 3"], rate: Float[np.ndarray, "expert"]
) -> dict[str, Column]:
    sentences = found.sentences
    fired, counts, n_labels = sentences.fired, sentences.counts, sentences.rows.n_labels
    label_at, expert_at = counts.T.nonzero()
    times = counts[expert_at, label_at]
    rows = sentences.label_rows[label_at].astype(np.float64)
    xyz = coordinates(frame, fired.expert, fired.code)
    cell = fired.expert.astype(np.int64) * n_labels + sentences.rows.label[fired.row]
    totals = [np.bincount(cell, weights=xyz[:, axis], minlength=counts.size).reshape(counts.shape) for axis in range(3)]
    return {
        "label": label_at.astype(np.int32),
        "expert": expert_at.astype(np.int32),
        "fired": times.astype(np.int32),
        "fires": times / rows,
        "lift": smoothed_lift(times.astype(np.float64), rows, rate[expert_at], LIFT_PRIOR),
        "preference": found.preference.auroc[expert_at, label_at],
        **{axis: (total[expert_at, label_at] / times).astype(np.float32) for axis, total in zip("xyz", totals, strict=True)},
    }


def task_lift(
    active: Int64[np.ndarray, "expert"], n_rows: int, rate: Float[np.ndarray, "expert"]
) -> Float64[np.ndarray, "expert"]:
    """Return the smoothed lift of a task's rows as a whole."""
    return smoothed_lift(active.astype(np.float64), np.full(len(active), float(n_rows)), rate, LIFT_PRIOR)


def _task_stats(found: Found, rate: Float[np.ndarray, "expert"]) -> dict[str, Column]:
    sentences = found.sentences
    experts = sentences.experts
    covered, least = coverage(sentences.fires[experts])
    active = sentences.counts[experts].sum(axis=1)
    return {
        "expert": experts.astype(np.int32),
        "active_rows": active,
        "lift": task_lift(active, len(sentences.rows.label), rate[experts]),
        "covered": covered.astype(np.int32),
        "covered_least": least,
        "p_label": found.p_label,
        "preference_band": found.preference.band[experts],
    }


def _task_importance(found: Found) -> dict[str, Column]:
    expert, own = np.unique(found.sentences.fired.expert, return_inverse=True)
    n = len(found.sentences.rows.label)
    # Where the rows have no variance, none is important.
    total = np.bincount(own, weights=np.nan_to_num(found.importance), minlength=len(expert))
    return {"expert": expert.astype(np.int32), "rows": np.full(len(expert), n), "importance": total / n}


def _hypotheses(found: Found) -> dict[str, Column]:
    tested = found.sentences.tested
    chance = [references["chance"]["all_rows"] for references in found.references]
    return {
        "hypothesis": list(range(len(tested))),
        "name": [one.hypothesis.name for one in tested],
        "title": [one.hypothesis.title for one in tested],
        "shape": [one.hypothesis.shape for one in tested],
        "probe": [one.hypothesis.probe for one in tested],
        "measure": ["balanced accuracy" if one.hypothesis.shape == "classes" else "R²" for one in tested],
        "description": [one.hypothesis.description for one in tested],
        "targets": [[] if one.hypothesis.of_label is None else one.hypothesis.of_label.tolist() for one in tested],
        "classes": [list(one.hypothesis.class_names) for one in tested],
        "chance": chance,
        "testable": [int(one.order.testable.sum()) for one in tested],
    }


def _scores(probed: Probed) -> dict[str, Column]:
    """Return the scores of every hypothesis, of each in the order of the ranking score."""
    covered, least = coverage(probed.fires[probed.experts])
    active = probed.counts[probed.experts].sum(axis=1)
    n = len(probed.experts)
    parts = []
    for tested in probed.tested:
        order = tested.order
        by_rank = np.lexsort((probed.experts, -tested.scores.ranking))
        columns: dict[str, np.ndarray] = {
            "expert": probed.experts.astype(np.int32),
            **tested.scores._asdict(),
            "left_out_direction": tested.left_out_direction,
            "p_within_halves": tested.p_within_halves,
            "covered": covered.astype(np.int32),
            "covered_least": least,
            "active_rows": active,
            "testable": order.testable,
            "p_order": order.p,
            "p_order_adjusted": order.p_adjusted,
        }
        parts.append(
            {
                "hypothesis": np.full(n, tested.number, dtype=np.int32),
                "rank": np.arange(n, dtype=np.int32),
                **{name: column[by_rank] for name, column in columns.items()},
            }
        )
    return stacked(parts) if parts else {}


def _mention_set(mentions: Probed) -> dict[str, Column]:
    template, report = mentions.rows.template, mentions.rows.report
    return {
        "words": [len(template)],
        "documents": [len(report)],
        "report_words": [int(report[template].sum())],
        "report_documents": [int(report.sum())],
    }


def _baselines(found: Found) -> dict[str, Column]:
    named = [
        (number, reference, metric, value)
        for number, references in enumerate(found.references)
        for reference, metrics in references.items()
        for metric, value in metrics.items()
    ]
    return {
        "hypothesis": [number for number, *_ in named],
        "reference": [reference for _, reference, _, _ in named],
        "metric": [metric for *_, metric, _ in named],
        "value": np.array([value for *_, value in named], dtype=np.float64),
    }


def _shattered(found: Found) -> dict[str, Column]:
    experts = found.sentences.experts
    parts: list[Mapping[str, Column]] = []
    for number, joint in enumerate(found.joint):
        if joint is not None and len(joint.expert):
            n = len(joint.expert)
            parts.append(
                {
                    "hypothesis": np.full(n, number, dtype=np.int32),
                    "step": np.arange(n, dtype=np.int32),
                    "expert": experts[joint.expert].astype(np.int32),
                    "ranking": joint.ranking,
                    "all_rows": joint.all_rows,
                    "all_rows_low": joint.all_rows_low,
                    "all_rows_high": joint.all_rows_high,
                    "added": joint.added,
                    "listed": joint.listed,
                }
            )
    return stacked(parts) if parts else {}


def _absences(found: Found) -> dict[str, Column]:
    task = found.task
    said: list[tuple[str, str]] = [("assumed", assumption) for assumption in task.assumptions]
    said += [("rows", remark) for remark in task.remarks]
    if found.run.dropped:
        said.append(("rows", beyond_window(found.run)))
    if isinstance(found.mentions, str):
        said.append(("mentions", found.mentions))
    return absences([(task.name, task.title, what, reason) for what, reason in said])


def beyond_window(run: TaskRows) -> str:
    """Return how many rows were left out, since the window ends before their label does."""
    n = run.dropped + len(run.probed)
    return f"{run.dropped:,} of {n:,} rows are left out: what is probed lies beyond the window."


def absences(rows: list[tuple[str, str, str, str]]) -> dict[str, Column]:
    """Return the table of what is not in the atlas: name and title of the task, what of it, and why."""
    return {name: [row[place] for row in rows] for place, name in enumerate(("name", "title", "what", "reason"))}


def _newline(found: Found) -> dict[str, Column]:
    assert found.newline is not None
    measures = found.newline._asdict()
    # Nothing is measured of an expert that is silent there.
    there = np.flatnonzero(measures["rate"] > 0)
    by_rank = there[np.argsort(-measures["held_out_gain"][there], kind="stable")]
    n = len(by_rank)
    return {
        "expert": by_rank.astype(np.int32),
        "rank": np.arange(n, dtype=np.int32),
        **{name: column[by_rank] for name, column in measures.items()},
    }
