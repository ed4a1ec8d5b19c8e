"""What a classification reaches without any expert, on the same rows and folds: the marks that its scores are read against.

Chance is `atlas.probe.scores.class_chance`.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float, Float64, Int64

from atlas.probe.references import RIDGE_PENALTY, Reference, always_active, component_codes, median, n_draws, projected
from atlas.probe.scores import Rows, class_scores, ranking_scores, sums
from atlas.probe.scores.newton import standard_weights

N_CANDIDATES = 32
"""Random projections that classes are told from, of all that are drawn: those whose codes predict best which class a row has."""


def top_components(
    rows: Rows, x: Float[np.ndarray, "row d_in"], classes: Int64[np.ndarray, "row"], n_classes: int, n_components: int, seed: int
) -> Reference:
    """Return the scores of the widest principal components of the ranking rows."""
    return _report_scores(rows, component_codes(rows, x, n_components), classes, n_classes, seed)


def best_random_projection(
    rows: Rows,
    x: Float[np.ndarray, "row d_in"],
    classes: Int64[np.ndarray, "row"],
    n_classes: int,
    n_projections: int,
    d_code: int,
    seed: int,
) -> Reference:
    """Return the scores of that random projection that ranks best, of as many as there are experts.

    Of all, the `N_CANDIDATES` with the largest ranking R² of the classes' indicators by least squares are told from. The median
    of several draws, as for numbers.
    """
    rng = np.random.default_rng(seed)
    return median(
        [_best_projection(rows, x, classes, n_classes, n_projections, d_code, rng, seed) for _ in range(n_draws(n_projections))]
    )


def _best_projection(
    rows: Rows,
    x: Float[np.ndarray, "row d_in"],
    classes: Int64[np.ndarray, "row"],
    n_classes: int,
    n_projections: int,
    d_code: int,
    rng: np.random.Generator,
    seed: int,
) -> Reference:
    indicators = (classes[:, None] == np.arange(n_classes)).astype(np.float64)
    candidates = np.zeros((len(x), 0, d_code), dtype=x.dtype)
    predicted = np.zeros(0)
    for codes in projected(rows, x, n_projections, d_code, rng):
        r2 = np.concatenate([predicted, ranking_scores(sums(rows, always_active(codes), codes.shape[1]), indicators)])
        chosen = np.argsort(-r2, kind="stable")[:N_CANDIDATES]
        candidates, predicted = np.concatenate([candidates, codes], axis=1)[:, chosen], r2[chosen]
    n = candidates.shape[1]
    fired = always_active(candidates)
    ranking = class_scores(rows, fired, n, classes, n_classes, seed, np.zeros(n, dtype=bool)).ranking
    return _report_scores(rows, candidates[:, int(ranking.argmax())], classes, n_classes, seed)


def _report_scores(
    rows: Rows, code: Float[np.ndarray, "row d_code"], classes: Int64[np.ndarray, "row"], n_classes: int, seed: int
) -> Reference:
    """Return the report scores of one unit that is active on every row."""
    found = class_scores(rows, always_active(code[:, None]), 1, classes, n_classes, seed)
    return {"all_rows": float(found.all_rows[0]), "left_out_label": float(found.left_out_label[0])}


def word_embedding(
    rows: Rows, embedding: Float[np.ndarray, "row d_embedding"], classes: Int64[np.ndarray, "row"], n_classes: int
) -> Reference:
    """Return the scores of ridge regression of the classes' indicators on the label's static word embedding, the largest told.

    All classes weigh the same. Known labels it can only name; left-out labels show whether their classes lie apart in it.
    """
    report = rows.report[rows.template]
    indicators = (classes[:, None] == np.arange(n_classes)).astype(np.float64)

    def right(train: Bool[np.ndarray, "row"], test: Bool[np.ndarray, "row"]) -> Float64[np.ndarray, "class"]:
        """Return how many rows of each class are told right, of those `test`, by a fit to those `train`."""
        mean, deviation = embedding[train].mean(axis=0), embedding[train].std(axis=0)
        standard = (embedding - mean) / np.where(deviation > 1e-6, deviation, 1.0)
        # Ridge weights lie in the span of the rows they are fitted to: few directions, as many rows have one label's embedding.
        axes = np.linalg.svd(np.unique(standard[train], axis=0), full_matrices=False)[2]
        features = np.concatenate([standard @ axes.T, np.ones((len(standard), 1))], axis=1).astype(np.float64)
        # The constant is not penalised.
        penalty = np.diag([RIDGE_PENALTY] * len(axes) + [0.0])
        weight = standard_weights(np.bincount(classes[train], minlength=n_classes))[classes[train], None]
        weighted = features[train] * weight
        fitted = np.linalg.solve(weighted.T @ features[train] + penalty, weighted.T @ indicators[train])
        told = (features[test] @ fitted).argmax(axis=1)
        return np.bincount(classes[test][told == classes[test]], minlength=n_classes).astype(np.float64)

    of = np.bincount(classes[report], minlength=n_classes)
    labels_of = np.array([len(np.unique(rows.label[~report & (classes == k)])) for k in range(n_classes)])
    told_of = (labels_of >= 2) & (of > 0)
    left = np.nan
    if told_of.sum() >= 2:
        labels = [rows.label == label for label in range(rows.n_labels)]
        hits = np.sum([right(~report & ~this, report & this) for this in labels], axis=0)
        left = float((hits[told_of] / of[told_of]).mean())
    return {"all_rows": float((right(~report, report)[of > 0] / of[of > 0]).mean()), "left_out_label": left}
