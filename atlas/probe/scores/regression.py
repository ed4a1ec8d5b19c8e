"""How well numbers can be read from every expert, by least squares or ridge regression: definitions in docs/measures.md."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Float64, Int64

from atlas.probe.scores.arrays import N_BOOTSTRAP, Scores
from atlas.probe.scores.sums import Sums, cell_sums, others, totals

RIDGE = 1e-6
"""Share of the features' mean variance added to each one's normal equation, so that a singular one can be solved."""

ROUNDING = 1e-12
"""Share of a sum of squares below which a variance is a rounding error."""


def scores(given: Sums, targets: Float[np.ndarray, "row target"], seed: int, penalty: float = 0.0) -> Scores:
    """Return how well `targets`, given for every row, are read from each expert by least squares.

    ranking is cross-validated over the groups of ranking templates; the others are fitted on all ranking templates and
    measured on the report templates. 1 is perfect, 0 no better than the mean of the training rows; NaN where the targets are
    constant. `penalty` is the alpha of ridge regression on features that are standardised over the active training rows,
    with a free intercept.
    """
    truth = _centred(given, targets)
    drawn = _bootstrap_draws(given, seed)
    parts = []
    for part in given.blocks(_numbers(given, truth)):
        fitted = _fitted(part, truth, penalty)
        error, variance = _report_errors(part, truth, fitted)
        low, high = np.quantile(_r2(error @ drawn.T, drawn @ variance), [0.025, 0.975], axis=1)
        where_it_fires, n_active = _where_it_fires(part, truth, fitted)
        parts.append(
            Scores(
                ranking=_ranking(part, truth, penalty),
                all_rows=_r2(error.sum(axis=1), variance.sum()),
                all_rows_low=low,
                all_rows_high=high,
                where_it_fires=where_it_fires,
                n_where_it_fires=n_active,
                left_out_label=_left_out_label(part, truth, penalty),
            )
        )
    return Scores(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))


def ranking_scores(given: Sums, targets: Float[np.ndarray, "row target"], penalty: float = 0.0) -> Float64[np.ndarray, "expert"]:
    """Return the cross-validated R² on ranking rows alone, by which experts are ranked."""
    truth = _centred(given, targets)
    return np.concatenate([_ranking(part, truth, penalty) for part in given.blocks(_numbers(given, truth))])


def left_out_label(given: Sums, targets: Float[np.ndarray, "row target"], penalty: float = 0.0) -> Float64[np.ndarray, "expert"]:
    """Return R² on report rows, each label predicted by a fit to the ranking rows of all other labels."""
    truth = _centred(given, targets)
    return np.concatenate([_left_out_label(part, truth, penalty) for part in given.blocks(_numbers(given, truth))])


def left_out_direction(
    given: Sums, targets: Float[np.ndarray, "row target"], penalty: float = 0.0
) -> Float64[np.ndarray, "expert"]:
    """Return the left-out-label R² of that direction of the targets which is read worst.

    Of a ring, whose axes are arbitrary, it is above 0 only if both ways across it are read: an expert that tells summer from
    winter, or the morning from the afternoon, reads one way well and nothing of the other. Of one target it is the left-out-label
    R².
    """
    truth = _centred(given, targets)
    # A quadratic form is known from its values on the axes and on their sums (polarisation).
    n_targets = truth.shape[1]
    sides = [truth[:, [i]] + (truth[:, [j]] if i != j else 0.0) for i in range(n_targets) for j in range(i + 1)]
    parts = []
    for part in given.blocks(_numbers(given, truth)):
        values = [_left_out_errors(part, side, penalty) for side in sides]
        error = _form(np.stack([error for error, _ in values], axis=-1), n_targets)
        variance = _form(np.array([[variance for _, variance in values]]), n_targets)[0]
        parts.append(_worst(error, variance))
    return np.concatenate(parts)


def fit(
    gram: Float64[np.ndarray, "*many feature feature"], cross: Float64[np.ndarray, "*many feature target"], penalty: float
) -> Float64[np.ndarray, "*many feature target"]:
    """Return the coefficients that solve the normal equations; the last feature is the constant, which is never shrunk.

    Without a penalty this is least squares but for `RIDGE`, the same in all directions, since an expert's axes are arbitrary, and
    around the mean, since so is where its codes lie. With one it is ridge regression on standardised features: in the features as
    they are, a coefficient's penalty is multiplied by their variance (Hastie, Tibshirani & Friedman 2009, §3.4.1).
    """
    n = np.maximum(gram[..., -1, -1], 1)
    mean = gram[..., -1, :-1] / n[..., None]
    spread = gram[..., :-1, :-1] - n[..., None, None] * mean[..., :, None] * mean[..., None, :]
    toward = cross[..., :-1, :] - mean[..., :, None] * cross[..., -1:, :]
    square = np.einsum("...pp->...p", gram)[..., :-1]
    diagonal = np.einsum("...pp->...p", spread)
    varies = diagonal > ROUNDING * square
    if penalty:
        # A constant feature has a scale of 1, as in scikit-learn; its coefficient is 0.
        damping = penalty * np.where(varies, diagonal / n[..., None], 1.0)
    else:
        total = np.where(varies, diagonal, 0.0).mean(axis=-1, keepdims=True)
        # Codes that do not vary have coefficients of zero.
        damping = np.broadcast_to(np.where(total > 0, RIDGE * total, 1.0), diagonal.shape)
    solved = np.linalg.solve(spread + damping[..., None] * np.eye(spread.shape[-1]), toward)
    constant = cross[..., -1:, :] / n[..., None, None] - mean[..., None, :] @ solved
    return np.concatenate([solved, constant], axis=-2)


class _Moments(NamedTuple):
    """Sums over rows of the targets: their number, total and squared length."""

    n: Float64[np.ndarray, "*cells"]
    total: Float64[np.ndarray, "*cells target"]
    square: Float64[np.ndarray, "*cells"]

    def around(self, mean: Float64[np.ndarray, "*any target"]) -> Float64[np.ndarray, "*more"]:
        """Return the squared distance of the targets from `mean`."""
        return self.square - 2 * (mean * self.total).sum(axis=-1) + self.n * (mean**2).sum(axis=-1)

    @property
    def mean(self) -> Float64[np.ndarray, "*cells target"]:
        """0, the middle of the targets, where there is no row."""
        return self.total / np.maximum(self.n, 1)[..., None]


class _Active(NamedTuple):
    """Sums over active rows of the features with themselves and with the targets."""

    gram: Float64[np.ndarray, "expert cell feature feature"]
    cross: Float64[np.ndarray, "expert cell feature target"]
    square: Float64[np.ndarray, "expert cell"]

    @property
    def targets(self) -> _Moments:
        return _Moments(self.gram[..., -1, -1], self.cross[..., -1, :], self.square)

    def error(self, fitted: Float64[np.ndarray, "expert cell feature target"]) -> Float64[np.ndarray, "expert cell"]:
        """Return the squared error of predictions by `fitted`."""
        return self.square + (fitted * (self.gram @ fitted - 2 * self.cross)).sum(axis=(-2, -1))


class _Fitted(NamedTuple):
    """A fit to all ranking rows: of active rows, and what a silent one is given."""

    coefficients: Float64[np.ndarray, "expert feature target"]
    silent: Float64[np.ndarray, "expert target"]
    active: Float64[np.ndarray, "expert target"]
    """Mean of the active ranking rows."""


def _centred(given: Sums, targets: Float[np.ndarray, "row target"]) -> Float64[np.ndarray, "row target"]:
    """Return the targets around their mean over ranking rows: a slight ridge shrinks towards 0, which should be their middle."""
    truth = targets.astype(np.float64)
    truth = truth - truth[given.fold < given.n_folds - 1].mean(axis=0)
    # What is constant must not be told apart by rounding.
    truth[:, np.ptp(targets, axis=0) == 0] = 0.0
    return truth


def _numbers(given: Sums, truth: Float64[np.ndarray, "row target"]) -> int:
    """Return how many numbers the scores of one expert take at most, with the copies that are made on the way."""
    cell = 6 * given.n_features * (given.n_features + truth.shape[1])
    firings = -(-len(given.fired.row) // max(1, given.n_experts))
    cells = 2 * given.rows.n_labels + given.n_folds
    return cells * cell + 3 * firings * cell // given.n_features + 3 * N_BOOTSTRAP + 3 * int(given.rows.report.sum())


def _moments(cell: Int64[np.ndarray, "row"], n_cells: int, truth: Float64[np.ndarray, "row target"]) -> _Moments:
    """Return the moments of the targets over the rows of each cell; a cell of -1 is none."""
    known = cell >= 0
    cell, truth = cell[known], truth[known]
    n = np.bincount(cell, minlength=n_cells).astype(np.float64)
    total = cell_sums(cell, n_cells, truth, np.ones((len(cell), 1)))[..., 0]
    return _Moments(n, total, totals(cell, (truth**2).sum(axis=1), n_cells))


def _active(given: Sums, cell: Int64[np.ndarray, "row"], n_cells: int, truth: Float64[np.ndarray, "row target"]) -> _Active:
    """Return the sums over each expert's active rows of each cell of rows."""
    at, features, here = given.fired.expert * n_cells + cell[given.fired.row], given.features, truth[given.fired.row]
    size = given.n_experts * n_cells
    gram = cell_sums(at, size, features, features)
    cross = cell_sums(at, size, features, here)
    square = totals(at, (here**2).sum(axis=1), size)
    return _Active(*(total.reshape(given.n_experts, n_cells, *total.shape[1:]) for total in (gram, cross, square)))


def _silent_mean(rows: _Moments, active: _Moments) -> Float64[np.ndarray, "*cells target"]:
    """Return the mean target of the silent ones among the training rows, which is what a silent row is given.

    An expert that is never silent in training gives the mean of all training rows.
    """
    silent = rows.n - active.n
    some = silent > 0
    mean = (rows.total - active.total) / np.where(some, silent, 1)[..., None]
    return np.where(some[..., None], mean, rows.mean)


def _silent(rows: _Moments, active: _Moments) -> _Moments:
    return _Moments(rows.n - active.n, rows.total - active.total, rows.square - active.square)


def _ranking(given: Sums, truth: Float64[np.ndarray, "row target"], penalty: float) -> Float64[np.ndarray, "expert"]:
    test = _Active(*(total[:, :-1] for total in _active(given, given.fold, given.n_folds, truth)))
    rows = _Moments(*(total[:-1] for total in _moments(given.fold, given.n_folds, truth)))
    train = _Active(*(others(total, axis=1) for total in test))
    train_rows = _Moments(*(others(total, axis=0) for total in rows))
    error = test.error(fit(train.gram, train.cross, penalty))
    error += _silent(rows, test.targets).around(_silent_mean(train_rows, train.targets))
    return _r2(error.sum(axis=1), rows.around(train_rows.mean).sum())


def _fitted(given: Sums, truth: Float64[np.ndarray, "row target"], penalty: float) -> _Fitted:
    report = (given.fold == given.n_folds - 1).astype(np.int64)
    ranking = _Active(*(total[:, :1] for total in _active(given, report, 2, truth)))
    rows = _Moments(*(total[:1] for total in _moments(report, 2, truth)))
    return _Fitted(
        coefficients=fit(ranking.gram, ranking.cross, penalty)[:, 0],
        silent=_silent_mean(rows, ranking.targets)[:, 0],
        active=ranking.targets.mean[:, 0],
    )


def _report_errors(
    given: Sums, truth: Float64[np.ndarray, "row target"], fitted: _Fitted
) -> tuple[Float64[np.ndarray, "expert template"], Float64[np.ndarray, "template"]]:
    """Return the squared error of every expert, and the variance around the training mean, per report template."""
    n_templates = int(given.rows.report.sum())
    place = np.where(given.rows.report, np.cumsum(given.rows.report) - 1, -1)[given.rows.template]
    rows = _moments(place, n_templates, truth)
    row, expert, squared = _active_report_errors(given, truth, fitted)
    # As if every row were silent, then active rows put right.
    error = rows.around(fitted.silent[:, None])
    excess = squared - ((truth[row] - fitted.silent[expert]) ** 2).sum(axis=1)
    error += totals(expert * n_templates + place[row], excess, error.size).reshape(error.shape)
    return error, rows.around(truth[place < 0].mean(axis=0))


def _where_it_fires(
    given: Sums, truth: Float64[np.ndarray, "row target"], fitted: _Fitted
) -> tuple[Float64[np.ndarray, "expert"], Int64[np.ndarray, "expert"]]:
    """Return R² on active report rows, around the mean of active ranking rows, and their number."""
    row, expert, squared = _active_report_errors(given, truth, fitted)
    spread = ((truth[row] - fitted.active[expert]) ** 2).sum(axis=1)
    n = np.bincount(expert, minlength=given.n_experts)
    error = totals(expert, squared, given.n_experts)
    variance = totals(expert, spread, given.n_experts)
    known = (n > 1) & (variance > ROUNDING * n * (truth**2).sum(axis=1).mean())
    return _r2(error, np.where(known, variance, 0.0)), n.astype(np.int64)


def _active_report_errors(
    given: Sums, truth: Float64[np.ndarray, "row target"], fitted: _Fitted
) -> tuple[Int64[np.ndarray, "firing"], Int64[np.ndarray, "firing"], Float64[np.ndarray, "firing"]]:
    """Return the row, the expert and the squared error of every firing on a report row."""
    here = given.fold[given.fired.row] == given.n_folds - 1
    row, expert = given.fired.row[here], given.fired.expert[here]
    predicted = np.einsum("fp,fpt->ft", given.features[here], fitted.coefficients[expert])
    return row, expert, ((truth[row] - predicted) ** 2).sum(axis=1)


def _left_out_label(given: Sums, truth: Float64[np.ndarray, "row target"], penalty: float) -> Float64[np.ndarray, "expert"]:
    return _r2(*_left_out_errors(given, truth, penalty))


def _left_out_errors(
    given: Sums, truth: Float64[np.ndarray, "row target"], penalty: float
) -> tuple[Float64[np.ndarray, "expert"], np.floating]:
    """Return the squared error on report rows of labels that were left out of the fit, and their variance."""
    n_labels = given.rows.n_labels
    is_report = given.fold == given.n_folds - 1
    cell = is_report * n_labels + given.rows.label
    both, both_rows = _active(given, cell, 2 * n_labels, truth), _moments(cell, 2 * n_labels, truth)
    train = _Active(*(others(total[:, :n_labels], axis=1) for total in both))
    train_rows = _Moments(*(others(total[:n_labels], axis=0) for total in both_rows))
    test = _Active(*(total[:, n_labels:] for total in both))
    rows = _Moments(*(total[n_labels:] for total in both_rows))
    error = _silent(rows, test.targets).around(_silent_mean(train_rows, train.targets))
    # Only where an expert fires on a label's report rows is its fit needed.
    at = test.targets.n.nonzero()
    fitted = fit(train.gram[at], train.cross[at], penalty)
    error[at] += _Active(*(total[at][None] for total in test)).error(fitted[None])[0]
    return error.sum(axis=1), rows.around(train_rows.mean).sum()


def _form(values: Float64[np.ndarray, "*many side"], n_targets: int) -> Float64[np.ndarray, "*many target target"]:
    """Return the symmetric matrix whose form takes these values on each axis, and on the sum of each two."""
    matrix = np.empty((*values.shape[:-1], n_targets, n_targets))
    sides = [(i, j) for i in range(n_targets) for j in range(i + 1)]
    own = {i: values[..., side] for side, (i, j) in enumerate(sides) if i == j}
    for side, (i, j) in enumerate(sides):
        cross = own[i] if i == j else (values[..., side] - own[i] - own[j]) / 2
        matrix[..., i, j] = matrix[..., j, i] = cross
    return matrix


def _worst(
    error: Float64[np.ndarray, "expert target target"], variance: Float64[np.ndarray, "target target"]
) -> Float64[np.ndarray, "expert"]:
    """Return the least R² over all directions in which the targets vary; NaN where they do in none."""
    spread, axes = np.linalg.eigh(variance)
    varies = spread > ROUNDING * max(spread[-1], 0.0)
    if not varies.any() or spread[-1] <= 0:
        return np.full(len(error), np.nan)
    scaled = axes[:, varies] / np.sqrt(spread[varies])
    return 1 - np.linalg.eigvalsh(scaled.T @ error @ scaled)[:, -1]


def _bootstrap_draws(given: Sums, seed: int) -> Float64[np.ndarray, "draw template"]:
    """Return how often each report template is in each resample."""
    n = int(given.rows.report.sum())
    return np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), size=N_BOOTSTRAP).astype(np.float64)


def _r2(error: Float64[np.ndarray, "*any"], variance: Float64[np.ndarray, "*some"] | np.floating) -> Float64[np.ndarray, "*any"]:
    """Return the share of the variance that is explained; NaN where there is none to explain."""
    variance = np.broadcast_to(variance, error.shape)
    return 1 - np.divide(error, variance, out=np.full(error.shape, np.nan), where=variance > 0)
