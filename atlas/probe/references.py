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
    return {"all_rows": 3 / (n_labels - 1)}


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
    ranking = embedding[~report]
    standard = (embedding - ranking.mean(axis=0)) / np.maximum(ranking.std(axis=0), 1e-12)
    features = np.concatenate([standard, np.ones((len(standard), 1))], axis=1)
    # The constant is not penalised.
    penalty = np.diag([RIDGE_PENALTY] * standard.shape[1] + [0.0])
    truth = targets[rows.label]
    train = features[~report]
    gram, cross, label = train.T @ train, train.T @ truth[~report], rows.label[~report]

    def errors(without: np.ndarray, test: np.ndarray) -> np.ndarray:
        """Return squared error on the rows `test` of a fit to the ranking rows less those `without`, and their spread."""
        less = train[without]
        fitted = np.linalg.solve(gram - less.T @ less + penalty, cross - less.T @ truth[~report][without])
        mean = truth[~report][~without].mean(axis=0)
        return np.array([((truth[test] - features[test] @ fitted) ** 2).sum(), ((truth[test] - mean) ** 2).sum()])

    known = errors(np.zeros(len(train), dtype=bool), report)
    left = np.sum([errors(label == one, report & (rows.label == one)) for one in range(rows.n_labels)], axis=0)
    return {"all_rows": float(1 - known[0] / known[1]), "left_out_label": float(1 - left[0] / left[1])}


def _best(
    rows: Rows, codes: Float[np.ndarray, "row unit d_code"], targets: Float[np.ndarray, "label target"], seed: int
) -> Reference:
    """Return the report scores of the always-active unit that ranks best."""
    targets = targets - targets.mean(axis=0)
    n_rows, n_units, d_code = codes.shape
    unit = np.tile(np.arange(n_units), n_rows)
    fired = Fired(np.repeat(np.arange(n_rows), n_units), unit, codes.reshape(-1, d_code))
    error, _ = ranking_forms(sums(rows, fired, n_units))
    squared = np.einsum("lt,elm,mt->e", targets, error, targets)
    best = unit == int(squared.argmin())
    alone = Fired(fired.row[best], np.zeros(n_rows, dtype=np.int64), fired.code[best])
    given = sums(rows, alone, 1)
    return {
        "all_rows": float(scores(rows, alone, given, targets, seed).all_rows[0]),
        "left_out_label": float(left_out_label(given, targets)[0]),
    }
