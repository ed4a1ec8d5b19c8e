"""How well a hypothesis can be read from every expert, from sums per (expert, fold, label): definitions in docs/measures.md.

All targets are functions of the label, so every squared error is a quadratic form T' Q T in the label ► target map T, with one
Q per expert. Permuting labels then costs a matrix product and no new fit.
"""

from __future__ import annotations

from itertools import permutations
from math import factorial
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Float64, Int64

from atlas.probe.scores.arrays import (
    COVERED_RATE,
    MIN_ACTIVE_ROWS,
    MIN_LABEL_ROWS,
    MIN_LABELS,
    N_BOOTSTRAP,
    N_PERMUTATIONS,
    Fired,
    Rows,
    Scores,
)

RIDGE = 1e-6
"""Share of each coordinate's own sum of squares added to its normal equation, so that a singular one can be solved."""

class Sums(NamedTuple):
    """Sums over the active rows of each expert, fold and label; features are the code and a constant 1.

    The folds are the groups of ranking templates, and last the whole report set.
    """

    n: Float64[np.ndarray, "expert fold label"]
    feature: Float64[np.ndarray, "expert fold label feature"]
    gram: Float64[np.ndarray, "expert fold label feature feature"]
    rows: Float64[np.ndarray, "fold label"]
    """All rows, active or not."""


class Order(NamedTuple):
    """The label-order null of one hypothesis."""

    testable: Bool[np.ndarray, "expert"]
    p: Float64[np.ndarray, "expert"]
    """NaN where not testable."""
    p_adjusted: Float64[np.ndarray, "expert"]
    """Westfall-Young max-T over the testable experts."""


def sums(rows: Rows, fired: Fired, n_experts: int) -> Sums:
    """Return what every score of every hypothesis is computed from."""
    fold_of = _folds(rows)
    n_folds, n_features = int(fold_of.max()) + 1, fired.code.shape[1] + 1
    cells = (n_experts, n_folds, rows.n_labels)
    row_fold = fold_of[rows.template]
    cell = (fired.expert.astype(np.int64) * n_folds + row_fold[fired.row]) * rows.n_labels + rows.label[fired.row]
    features = np.concatenate([fired.code.astype(np.float64), np.ones((len(cell), 1))], axis=1)
    size = int(np.prod(cells))

    def total(weights: Float64[np.ndarray, "firing"]) -> np.ndarray:
        return np.bincount(cell, weights=weights, minlength=size).reshape(cells)

    gram = np.empty((*cells, n_features, n_features))
    for i in range(n_features):
        for j in range(i + 1):
            gram[..., i, j] = gram[..., j, i] = total(features[:, i] * features[:, j])
    all_rows = np.bincount(row_fold * rows.n_labels + rows.label, minlength=n_folds * rows.n_labels)
    return Sums(
        n=gram[..., -1, -1],
        feature=gram[..., -1, :],
        gram=gram,
        rows=all_rows.reshape(n_folds, rows.n_labels).astype(np.float64),
    )


def scores(rows: Rows, fired: Fired, given: Sums, targets: Float[np.ndarray, "label target"], seed: int) -> Scores:
    """Return how well `targets` are read from each expert.

    ranking is cross-validated over the groups of ranking templates; the others are fitted on all ranking templates and
    measured on the report templates. 1 is perfect, 0 no better than the mean of the training rows.
    """
    # The slight ridge shrinks towards zero, which should be the middle of the targets.
    targets = targets - targets.mean(axis=0)
    error, variance = ranking_forms(given)
    ranking, report = _ranking(given), _report(given)
    fitted = _fit(ranking.gram.sum(axis=1), ranking.feature) @ targets
    silent_mean = _silent_weights(ranking) @ targets
    per_template = _report_errors(rows, fired, targets, fitted, silent_mean)
    interval = _bootstrap(per_template, seed)
    active_error, active_variance, n_active = _active(ranking, report, targets, fitted)
    return Scores(
        ranking=1 - _form(error, targets) / _form(variance, targets),
        all_rows=1 - per_template.error.sum(axis=1) / per_template.variance.sum(),
        all_rows_low=interval[0],
        all_rows_high=interval[1],
        where_it_fires=1 - np.divide(active_error, active_variance, out=np.full(len(n_active), np.nan), where=active_variance > 0),
        n_where_it_fires=n_active.astype(np.int64),
        left_out_label=left_out_label(given, targets),
    )


def ranking_forms(given: Sums) -> tuple[Float64[np.ndarray, "expert label label"], Float64[np.ndarray, "label label"]]:
    """Return the quadratic forms of the squared error and of the variance around the training mean, summed over ranking folds."""
    n_folds = given.rows.shape[0] - 1
    ranking = _ranking(given)
    n_experts, n_labels = given.n.shape[0], given.n.shape[2]
    error = np.zeros((n_experts, n_labels, n_labels))
    variance = np.zeros((n_labels, n_labels))
    for fold in range(n_folds):
        test = _one_fold(given, fold)
        train = _Part(*(whole - part for whole, part in zip(ranking, test, strict=True)))
        error += _error_form(train, test)
        variance += _spread_form(test.rows, train.rows / train.rows.sum())
    return error, variance


def label_order(
    given: Sums, targets: Float[np.ndarray, "label target"], seed: int, n_permutations: int = N_PERMUTATIONS
) -> Order:
    """Return how often labels in another order are read as well as in their own, for each expert alone and for the best of all.

    The label ► target map is permuted among the labels that an expert has `MIN_LABEL_ROWS` active ranking rows of. One ranking
    of the labels by a common random number gives every expert's permutation, so that max-T sees their dependence. All orders of
    up to seven labels are tried, else `n_permutations`; p counts the true order in, so it is never 0.
    """
    targets = targets - targets.mean(axis=0)
    error, variance = ranking_forms(given)
    ranking = _ranking(given)
    present = ranking.n >= MIN_LABEL_ROWS
    testable = (given.n.sum(axis=(1, 2)) >= MIN_ACTIVE_ROWS) & (present.sum(axis=1) >= MIN_LABELS)
    draws = _draws(given.n.shape[2], seed, n_permutations)
    chosen = np.flatnonzero(testable)
    observed = np.empty(len(chosen))
    null = np.empty((len(chosen), len(draws)))
    for i, expert in enumerate(chosen):
        labels = np.flatnonzero(present[expert])
        permuted = np.repeat(targets[None].astype(np.float64), len(draws), axis=0)
        permuted[:, labels] = targets[labels][np.argsort(draws[:, labels], axis=1)]
        observed[i] = 1 - float(_form(error[expert], targets) / _form(variance, targets))
        null[i] = 1 - _forms(error[expert], permuted) / _forms(variance, permuted)
    p = np.full(len(testable), np.nan)
    p_adjusted = np.full(len(testable), np.nan)
    # Rotations of a ring score the same but for rounding; they must count as ties.
    p[testable] = (1 + (null >= observed[:, None] - 1e-9).sum(axis=1)) / (1 + null.shape[1])
    if len(chosen):
        deviation = np.maximum(null.std(axis=1), 1e-12)
        mean = null.mean(axis=1)
        best = ((null - mean[:, None]) / deviation[:, None]).max(axis=0)
        statistic = (observed - mean) / deviation
        p_adjusted[testable] = (1 + (best[None] >= statistic[:, None] - 1e-9).sum(axis=1)) / (1 + null.shape[1])
    return Order(testable, p, p_adjusted)


def left_out_label(given: Sums, targets: Float[np.ndarray, "label target"]) -> Float64[np.ndarray, "expert"]:
    """Return R² on report rows, each label predicted by a fit to the ranking rows of all other labels."""
    targets = targets - targets.mean(axis=0)
    ranking, report = _ranking(given), _report(given)
    n_labels = len(targets)
    error = np.zeros(given.n.shape[0])
    variance = 0.0
    for label in range(n_labels):
        others = np.arange(n_labels) != label
        train = _Part(ranking.n[:, others], ranking.feature[:, others], ranking.gram[:, others], ranking.rows[others])
        fitted = _fit(train.gram.sum(axis=1), train.feature) @ targets[others]
        silent = _silent_weights(train) @ targets[others]
        truth = targets[label]
        predicted = np.einsum("ep,ept->et", report.feature[:, label], fitted)
        squared = np.einsum("ept,epq,eqt->e", fitted, report.gram[:, label], fitted)
        n = report.n[:, label]
        error += n * (truth @ truth) - 2 * predicted @ truth + squared
        error += (report.rows[label] - n) * ((truth - silent) ** 2).sum(axis=1)
        mean = (train.rows @ targets[others]) / train.rows.sum()
        variance += report.rows[label] * ((truth - mean) ** 2).sum()
    return 1 - error / variance


def coverage(fires: Float[np.ndarray, "expert label"]) -> tuple[Int64[np.ndarray, "expert"], Float64[np.ndarray, "expert"]]:
    """Return how many labels each expert covers, and the smallest rate among those (NaN where it covers none)."""
    covered = fires >= COVERED_RATE
    least = np.where(covered, fires, np.inf).min(axis=1)
    return covered.sum(axis=1), np.where(covered.any(axis=1), least, np.nan)


def benjamini_hochberg(p: Float[np.ndarray, "hypothesis"]) -> Float64[np.ndarray, "hypothesis"]:
    """Return the false discovery rate at which each hypothesis would be called; NaN stays NaN and is not counted."""
    q = np.full(len(p), np.nan)
    known = np.flatnonzero(~np.isnan(p))
    order = known[np.argsort(-p[known], kind="stable")]
    rank = np.arange(len(order), 0, -1)
    q[order] = np.minimum.accumulate(np.minimum(p[order] * len(order) / rank, 1.0))
    return q


class _Part(NamedTuple):
    """Sums over some of the folds."""

    n: Float64[np.ndarray, "expert label"]
    feature: Float64[np.ndarray, "expert label feature"]
    gram: Float64[np.ndarray, "expert label feature feature"]
    rows: Float64[np.ndarray, "label"]


class _TemplateErrors(NamedTuple):
    error: Float64[np.ndarray, "expert template"]
    variance: Float64[np.ndarray, "template"]


def _folds(rows: Rows) -> Int64[np.ndarray, "template"]:
    """Return each template's fold: ranking groups from 0, and one more for the report set."""
    ranking = np.unique(rows.fold[~rows.report])
    return np.where(rows.report, len(ranking), np.searchsorted(ranking, rows.fold)).astype(np.int64)


def _ranking(given: Sums) -> _Part:
    return _Part(given.n[:, :-1].sum(1), given.feature[:, :-1].sum(1), given.gram[:, :-1].sum(1), given.rows[:-1].sum(0))


def _report(given: Sums) -> _Part:
    return _one_fold(given, -1)


def _one_fold(given: Sums, fold: int) -> _Part:
    return _Part(given.n[:, fold], given.feature[:, fold], given.gram[:, fold], given.rows[fold])


def _fit(
    gram: Float64[np.ndarray, "expert feature feature"], feature: Float64[np.ndarray, "expert label feature"]
) -> Float64[np.ndarray, "expert feature label"]:
    """Return the least-squares map from targets, given per label, to coefficients."""
    diagonal = np.einsum("epp->ep", gram)
    # A feature that never occurs has a coefficient of zero.
    damping = RIDGE * diagonal + np.where(diagonal > 0, 0.0, 1.0)
    return np.linalg.solve(gram + damping[:, :, None] * np.eye(gram.shape[1]), feature.transpose(0, 2, 1))


def _silent_weights(train: _Part) -> Float64[np.ndarray, "expert label"]:
    """Return each label's share of the silent training rows, whose mean target is what a silent row is given.

    An expert that is never silent in training gives the mean of all training rows.
    """
    silent = train.rows - train.n
    some = silent.sum(axis=1) > 0
    chosen = np.where(some[:, None], silent, train.rows)
    return chosen / chosen.sum(axis=1, keepdims=True)


def _error_form(train: _Part, test: _Part) -> Float64[np.ndarray, "expert label label"]:
    """Return Q so that the squared error of a fit to `train`, measured on `test`, is T' Q T summed over targets."""
    fit = _fit(train.gram.sum(axis=1), train.feature)
    cross = test.feature @ fit
    form = fit.transpose(0, 2, 1) @ test.gram.sum(axis=1) @ fit - cross - cross.transpose(0, 2, 1)
    form += _spread_form(test.rows - test.n, _silent_weights(train))
    _add_diagonal(form, test.n)
    return form


def _spread_form(rows: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return Q so that T' Q T is the squared distance of rows, given per label, from one weighted mean of the targets."""
    outer = rows[..., :, None] * weights[..., None, :]
    total = rows.sum(axis=-1)[..., None, None] * weights[..., :, None] * weights[..., None, :]
    form = total - outer - np.swapaxes(outer, -1, -2)
    _add_diagonal(form, rows)
    return form


def _add_diagonal(form: np.ndarray, values: np.ndarray) -> None:
    index = np.arange(form.shape[-1])
    form[..., index, index] += values


def _form(form: np.ndarray, targets: Float[np.ndarray, "label target"]) -> np.ndarray:
    """Return T' Q T summed over targets, for one Q or one per expert."""
    return np.asarray(np.einsum("lt,...lm,mt->...", targets, form, targets))


def _forms(
    form: Float64[np.ndarray, "label label"], targets: Float64[np.ndarray, "draw label target"]
) -> Float64[np.ndarray, "draw"]:
    """Return T' Q T summed over targets, for many T."""
    flat = targets.transpose(0, 2, 1).reshape(-1, targets.shape[1])
    return ((flat @ form) * flat).sum(axis=1).reshape(len(targets), -1).sum(axis=1)


def _draws(n_labels: int, seed: int, n_permutations: int) -> Float64[np.ndarray, "draw label"]:
    """Return random numbers whose order permutes the labels: all orders but the true one where there are few."""
    if factorial(n_labels) <= factorial(7):
        return np.array(list(permutations(range(n_labels)))[1:], dtype=np.float64)
    return np.random.default_rng(seed).random((n_permutations, n_labels))


def _report_errors(
    rows: Rows,
    fired: Fired,
    targets: Float[np.ndarray, "label target"],
    fitted: Float64[np.ndarray, "expert feature target"],
    silent_mean: Float64[np.ndarray, "expert target"],
) -> _TemplateErrors:
    """Return the squared error of every expert, and the variance around the training mean, per report template."""
    templates = np.flatnonzero(rows.report)
    index = np.full(len(rows.report), -1)
    index[templates] = np.arange(len(templates))
    n_experts, n_templates = len(fitted), len(templates)
    place = index[rows.template]
    all_rows = np.zeros((n_templates, rows.n_labels))
    np.add.at(all_rows, (place[place >= 0], rows.label[place >= 0]), 1.0)

    here = place[fired.row] >= 0
    expert, row = fired.expert[here].astype(np.int64), fired.row[here]
    features = np.concatenate([fired.code[here].astype(np.float64), np.ones((len(row), 1))], axis=1)
    truth = targets[rows.label[row]]
    squared = ((truth - np.einsum("fp,fpt->ft", features, fitted[expert])) ** 2).sum(axis=1)
    cell = expert * n_templates + place[row]
    error = (
        np.bincount(cell, weights=squared, minlength=n_experts * n_templates).astype(np.float64).reshape(n_experts, n_templates)
    )
    active = np.bincount(cell * rows.n_labels + rows.label[row], minlength=n_experts * n_templates * rows.n_labels)
    silent = all_rows - active.reshape(n_experts, n_templates, rows.n_labels)
    distance = ((targets[None] - silent_mean[:, None]) ** 2).sum(axis=2)
    error += np.einsum("ekl,el->ek", silent, distance)

    training = np.bincount(rows.label[place < 0], minlength=rows.n_labels) / (place < 0).sum()
    spread = ((targets - training @ targets) ** 2).sum(axis=1)
    return _TemplateErrors(error, all_rows @ spread)


def _bootstrap(per_template: _TemplateErrors, seed: int) -> Float64[np.ndarray, "2 expert"]:
    """Return the 95 % interval of R² over resampled report templates."""
    n = len(per_template.variance)
    drawn = np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), size=N_BOOTSTRAP).astype(np.float64)
    r2 = 1 - (per_template.error @ drawn.T) / (drawn @ per_template.variance)
    return np.quantile(r2, [0.025, 0.975], axis=1)


def _active(
    ranking: _Part,
    report: _Part,
    targets: Float[np.ndarray, "label target"],
    fitted: Float64[np.ndarray, "expert feature target"],
) -> tuple[Float64[np.ndarray, "expert"], Float64[np.ndarray, "expert"], Float64[np.ndarray, "expert"]]:
    """Return squared error and variance on active report rows, around the mean of active ranking rows, and their number."""
    squares = (targets**2).sum(axis=1)
    cross = np.einsum("elp,ept,lt->e", report.feature, fitted, targets)
    error = report.n @ squares - 2 * cross + np.einsum("ept,epq,eqt->e", fitted, report.gram.sum(axis=1), fitted)
    mean = (ranking.n @ targets) / np.maximum(ranking.n.sum(axis=1), 1)[:, None]
    n = report.n.sum(axis=1)
    variance = report.n @ squares - 2 * ((report.n @ targets) * mean).sum(axis=1) + n * (mean**2).sum(axis=1)
    return error, np.where(n > 1, variance, 0.0), n
