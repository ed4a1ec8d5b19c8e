"""Labelled rows with experts planted on them, and the slow way to score one expert at a time."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from atlas.probe.scores import Fired, Rows

Expert = tuple[np.ndarray, np.ndarray]
"""The rows that it fires on, and the codes it would have on every row."""

Fit = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]
"""Codes and targets of training rows and codes of test rows ► predictions."""


def ring(n_labels: int) -> np.ndarray:
    angle = 2 * np.pi * np.arange(n_labels) / n_labels
    return np.stack([np.sin(angle), np.cos(angle)], axis=1)


def line(n_labels: int) -> np.ndarray:
    return np.arange(n_labels, dtype=np.float64)[:, None]


def grid(n_labels: int, n_templates: int, group_size: int = 2) -> Rows:
    """Every label in every template; every third group is the report set."""
    fold = np.arange(n_templates) // group_size
    return Rows(
        label=np.tile(np.arange(n_labels), n_templates),
        template=np.repeat(np.arange(n_templates), n_labels),
        fold=fold,
        report=fold % 3 == 1,
        n_labels=n_labels,
    )


def thinned(rows: Rows, share: float = 0.8) -> Rows:
    """Sentences were dropped: labels differ in how many rows they have."""
    kept = np.random.default_rng(1).random(len(rows.label)) < share
    return Rows(rows.label[kept], rows.template[kept], rows.fold, rows.report, rows.n_labels)


def stacked(*experts: Expert) -> Fired:
    """Firings of several experts."""
    return Fired(
        np.concatenate([np.flatnonzero(active) for active, _ in experts]),
        np.concatenate([np.full(active.sum(), number) for number, (active, _) in enumerate(experts)]),
        np.concatenate([code[active] for active, code in experts]),
    )


def always(code: np.ndarray) -> Expert:
    return np.ones(len(code), dtype=bool), code


def some_experts(rows: Rows, seed: int = 0) -> Fired:
    """Experts that read the labels well, badly and in part, and are silent now and then, on a few labels, or never."""
    rng = np.random.default_rng(seed)
    n = len(rows.label)
    place = rng.standard_normal((rows.n_labels, 3))
    tight = place[rows.label] + 0.3 * rng.standard_normal((n, 3))
    loose = 0.3 * place[rows.label] + rng.standard_normal((n, 3)) + 2
    experts = [
        always(tight),
        (rng.random(n) < 0.6, loose),
        (rng.random(n) < 0.2 + 0.6 * rows.label / rows.n_labels, tight + 1),
        (np.isin(rows.label, [0, 2, 3]), tight),
        (rng.random(n) < 0.5, np.column_stack([line(rows.n_labels)[rows.label, 0] + 0.5 * rng.standard_normal(n), loose[:, 1:]])),
    ]
    fired = stacked(*experts)
    order = rng.permutation(len(fired.row))
    return Fired(*(column[order] for column in fired))


def independent(label: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Codes that know nothing of the label."""
    return rng.standard_normal((len(label), 3))


def clustered(label: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Codes in one tight cluster per label, at random places: the label is known, its order is not."""
    return rng.standard_normal((label.max() + 1, 3))[label] + 0.1 * rng.standard_normal((len(label), 3))


def split(rows: Rows) -> tuple[np.ndarray, np.ndarray]:
    """Ranking rows and report rows."""
    report = rows.report[rows.template]
    return ~report, report


def least_squares(code: np.ndarray, truth: np.ndarray, of: np.ndarray) -> np.ndarray:
    """A plain fit with a constant."""
    design = np.column_stack([code, np.ones(len(code))]).astype(np.float64)
    return np.column_stack([of, np.ones(len(of))]) @ np.linalg.lstsq(design, truth, rcond=None)[0]


def slow_error(
    rows: Rows, fired: Fired, expert: int, truth: np.ndarray, train: np.ndarray, test: np.ndarray, fit: Fit = least_squares
) -> np.ndarray:
    """Squared error at every test row, of one expert, from a fit to its active training rows."""
    mine = fired.expert == expert
    code = np.zeros((len(rows.label), fired.code.shape[1]))
    code[fired.row[mine]] = fired.code[mine]
    active = np.zeros(len(rows.label), dtype=bool)
    active[fired.row[mine]] = True
    silent = truth[train & ~active] if (train & ~active).any() else truth[train]
    predicted = np.tile(silent.mean(axis=0), (len(truth), 1))
    predicted[active] = fit(code[train & active], truth[train & active], code[active])
    return ((truth - predicted) ** 2).sum(axis=1)[test]


def slow_variance(truth: np.ndarray, train: np.ndarray, test: np.ndarray) -> np.ndarray:
    return ((truth - truth[train].mean(axis=0)) ** 2).sum(axis=1)[test]


def slow_ranking(rows: Rows, fired: Fired, expert: int, truth: np.ndarray, fit: Fit = least_squares) -> float:
    ranking, _ = split(rows)
    error = variance = 0.0
    for fold in np.unique(rows.fold[~rows.report]):
        here = rows.fold[rows.template] == fold
        error += slow_error(rows, fired, expert, truth, ranking & ~here, ranking & here, fit).sum()
        variance += slow_variance(truth, ranking & ~here, ranking & here).sum()
    return 1 - error / variance
