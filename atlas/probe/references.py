"""What a hypothesis reaches without any expert, on the same rows and folds: the marks that a score is read against."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from jaxtyping import Bool, Float, Float64

from atlas.probe.scores import Fired, Rows, ranking_scores, scores, sums
from atlas.probe.scores.regression import fit

RIDGE_PENALTY = 1.0
"""Of the word-embedding reference, on features of unit variance, as in the reference implementation's ridge probes."""

DRAWN = 4096
"""Random projections that are drawn for all draws together; a single draw may be of more."""

BLOCK_CODES = 2**19
"""Codes of random projections held at once."""

Reference = dict[str, float]
"""Metric ► value."""


def chance(n_labels: int, d_code: int) -> Reference:
    """Return the R² that tight clusters at random places of codes reach on average; up to d_code + 1 of them are told exactly."""
    return {"all_rows": min(1.0, d_code / (n_labels - 1))}


def top_components(
    rows: Rows,
    x: Float[np.ndarray, "row d_in"],
    targets: Float[np.ndarray, "row target"],
    n_components: int,
    seed: int,
    penalty: float = 0.0,
) -> Reference:
    """Return the scores of the widest principal components of the ranking rows."""
    return _report_scores(rows, component_codes(rows, x, n_components), targets, seed, penalty)


def component_codes(rows: Rows, x: Float[np.ndarray, "row d_in"], n_components: int) -> Float64[np.ndarray, "row d_code"]:
    """Return each row's place along the widest principal components of the ranking rows."""
    training = x[~rows.report[rows.template]].astype(np.float64)
    axes = np.linalg.eigh(np.cov(training.T))[1][:, ::-1][:, :n_components]
    return (x - training.mean(axis=0)) @ axes


def best_random_projection(
    rows: Rows,
    x: Float[np.ndarray, "row d_in"],
    targets: Float[np.ndarray, "row target"],
    n_projections: int,
    d_code: int,
    seed: int,
    penalty: float = 0.0,
) -> Reference:
    """Return the scores of that random projection that ranks best, of as many as there are experts.

    This is what choosing the best of many experts gives by itself. Where labels are few it depends much on the draw, so that the
    median of several is taken (`n_draws`).
    """
    rng = np.random.default_rng(seed)
    draws = [_best_projection(rows, x, targets, n_projections, d_code, rng, seed, penalty) for _ in range(n_draws(n_projections))]
    return median(draws)


def projected(
    rows: Rows, x: Float[np.ndarray, "row d_in"], n_projections: int, d_code: int, rng: np.random.Generator
) -> Iterator[Float[np.ndarray, "row some d_code"]]:
    """Yield the rows, around the mean of the ranking rows, in random projections: in blocks of at most `BLOCK_CODES` codes.

    A direction is a row of what is drawn, so the projections do not depend on how many are drawn at once.
    """
    centred = x - x[~rows.report[rows.template]].mean(axis=0)
    width = max(1, BLOCK_CODES // len(x))
    for first in range(0, n_projections, width):
        directions = rng.standard_normal((min(width, n_projections - first) * d_code, x.shape[1]), dtype=np.float32)
        yield (centred @ directions.T).reshape(len(x), -1, d_code)


def n_draws(n_projections: int) -> int:
    """Return how many times the projections are drawn: nine times, but no more than `DRAWN` in all, and once in any case."""
    return max(1, min(9, DRAWN // n_projections))


def median(draws: Sequence[Reference]) -> Reference:
    """Return the median of each metric."""
    return {metric: float(np.median([draw[metric] for draw in draws])) for metric in draws[0]}


def _best_projection(
    rows: Rows,
    x: Float[np.ndarray, "row d_in"],
    targets: Float[np.ndarray, "row target"],
    n_projections: int,
    d_code: int,
    rng: np.random.Generator,
    seed: int,
    penalty: float,
) -> Reference:
    best, best_code = -np.inf, x[:, :0]
    for codes in projected(rows, x, n_projections, d_code, rng):
        ranking = ranking_scores(sums(rows, always_active(codes), codes.shape[1]), targets, penalty)
        if not best_code.size or ranking.max() > best:
            best, best_code = ranking.max(), codes[:, int(ranking.argmax())].copy()
    return _report_scores(rows, best_code, targets, seed, penalty)


def word_embedding(
    rows: Rows, embedding: Float[np.ndarray, "row d_embedding"], targets: Float[np.ndarray, "row target"]
) -> Reference:
    """Return the scores of ridge regression on the label's static word embedding.

    It is a function of the label: over known labels it can only be near 1; left-out labels show what order it holds.
    """
    report = rows.report[rows.template]
    features = np.concatenate([embedding, np.ones((len(embedding), 1))], axis=1).astype(np.float64)
    truth = targets.astype(np.float64)
    train, aim, label = features[~report], truth[~report], rows.label[~report]
    gram, cross = train.T @ train, train.T @ aim

    def errors(without: Bool[np.ndarray, "train"], test: Bool[np.ndarray, "row"]) -> Float64[np.ndarray, "2"]:
        """Return the errors on the rows `test` of a fit to the ranking rows but those `without`, standardised over these."""
        less = train[without]
        fitted = fit(gram - less.T @ less, cross - less.T @ aim[without], RIDGE_PENALTY)
        return _errors(truth[test], features[test] @ fitted, aim[~without])

    known = errors(np.zeros(len(train), dtype=np.bool_), report)
    left = np.sum([errors(label == one, report & (rows.label == one)) for one in range(rows.n_labels)], axis=0)
    return {"all_rows": float(1 - known[0] / known[1]), "left_out_label": float(1 - left[0] / left[1])}


def _errors(
    truth: Float[np.ndarray, "row target"], predicted: Float64[np.ndarray, "row target"], aim: Float64[np.ndarray, "train target"]
) -> Float64[np.ndarray, "2"]:
    """Return squared error, and squared distance from the mean of the training targets `aim`."""
    return np.array([((truth - predicted) ** 2).sum(), ((truth - aim.mean(axis=0)) ** 2).sum()])


def always_active(codes: Float[np.ndarray, "row unit d_code"]) -> Fired:
    """Return firings of units that are active on every row."""
    n_rows, n_units, d_code = codes.shape
    unit, row = np.divmod(np.arange(n_units * n_rows), n_rows)
    return Fired(row, unit, codes.swapaxes(0, 1).reshape(-1, d_code))


def _report_scores(
    rows: Rows, code: Float[np.ndarray, "row d_code"], targets: Float[np.ndarray, "row target"], seed: int, penalty: float
) -> Reference:
    """Return the report scores of one unit that is active on every row."""
    found = scores(sums(rows, always_active(code[:, None]), 1), targets, seed, penalty)
    return {"all_rows": float(found.all_rows[0]), "left_out_label": float(found.left_out_label[0])}
