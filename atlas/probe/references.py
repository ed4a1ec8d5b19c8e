"""What a hypothesis reaches without any expert, on the same rows and folds: the marks that a score is read against."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from atlas.probe.scores import Fired, Rows, left_out_label, ranking_forms, scores, sums

RIDGE_PENALTY = 1.0
"""Of the word-embedding reference, on features of unit variance, as in the reference implementation's ridge probes."""

Reference = dict[str, float]
"""Metric ► value."""


def chance(n_labels: int) -> Reference:
    """Return the R² that tight clusters at random places in three dimensions reach on average."""
    return {"r2_all": 3 / (n_labels - 1)}


def top_components(
    rows: Rows, x: Float[np.ndarray, "row d_in"], targets: Float[np.ndarray, "label target"], n_components: int, seed: int
) -> Reference:
    """Return the scores of the widest principal components of the ranking rows."""
    training = x[~rows.report[rows.template]].astype(np.float64)
    axes = np.linalg.eigh(np.cov(training.T))[1][:, ::-1][:, :n_components]
    return _best(rows, ((x - training.mean(axis=0)) @ axes)[:, None], targets, seed)


def best_random_projection(
    rows: Rows,
    x: Float[np.ndarray, "row d_in"],
    targets: Float[np.ndarray, "label target"],
    n_projections: int,
    d_code: int,
    seed: int,
) -> Reference:
    """Return the scores of that random projection that ranks best, of as many as there are experts.

    This is what choosing the best of many experts gives by itself.
    """
    directions = np.random.default_rng(seed).standard_normal((x.shape[1], n_projections * d_code))
    centred = x - x[~rows.report[rows.template]].mean(axis=0)
    return _best(rows, (centred @ directions).reshape(len(x), n_projections, d_code), targets, seed)


def word_embedding(
    rows: Rows, embedding: Float[np.ndarray, "row d_embedding"], targets: Float[np.ndarray, "label target"]
) -> Reference:
    """Return the scores of ridge regression on the label's static word embedding.

    It is a function of the label: over known labels it can only be near 1; left-out labels show what order it holds.
    """
    report = rows.report[rows.template]
    truth = targets[rows.label]

    def errors(train: np.ndarray, test: np.ndarray) -> tuple[float, float]:
        mean, deviation = embedding[train].mean(axis=0), np.maximum(embedding[train].std(axis=0), 1e-12)
        features, target_mean = (embedding - mean) / deviation, truth[train].mean(axis=0)
        gram = features[train].T @ features[train] + RIDGE_PENALTY * np.eye(features.shape[1])
        fitted = np.linalg.solve(gram, features[train].T @ (truth[train] - target_mean))
        predicted = features[test] @ fitted + target_mean
        return float(((truth[test] - predicted) ** 2).sum()), float(((truth[test] - target_mean) ** 2).sum())

    error, variance = errors(~report, report)
    left = np.array(
        [errors(~report & (rows.label != label), report & (rows.label == label)) for label in range(rows.n_labels)]
    ).sum(axis=0)
    return {"r2_all": 1 - error / variance, "r2_left_out_label": float(1 - left[0] / left[1])}


def _best(
    rows: Rows, codes: Float[np.ndarray, "row unit d_code"], targets: Float[np.ndarray, "label target"], seed: int
) -> Reference:
    """Return the report scores of the always-active unit that ranks best."""
    n_rows, n_units, d_code = codes.shape
    unit = np.tile(np.arange(n_units), n_rows)
    fired = Fired(np.repeat(np.arange(n_rows), n_units), unit, codes.reshape(-1, d_code))
    error, _ = ranking_forms(sums(rows, fired, n_units))
    squared = np.einsum("lt,elm,mt->e", targets, error, targets)
    best = unit == int(squared.argmin())
    alone = Fired(fired.row[best], np.zeros(n_rows, dtype=np.int64), fired.code[best])
    given = sums(rows, alone, 1)
    return {
        "r2_all": float(scores(rows, alone, given, targets, seed).r2_all[0]),
        "r2_left_out_label": float(left_out_label(given, targets)[0]),
    }
