"""How well classes can be read from every expert: balanced accuracy over all rows, by the definitions of docs/measures.md."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float64, Int64
from numpy.typing import NDArray

from atlas.errors import TaskError
from atlas.probe.scores.arrays import N_BOOTSTRAP, Fired, Rows, Scores
from atlas.probe.scores.batches import Block, Grouped, blocks, grouped
from atlas.probe.scores.newton import Fits, Problems, fit, refuse_many, standard_weights, told

N_ARRANGEMENTS = 200
CLUSTER_ROWS = 30
"""What a cluster of `class_chance` weighs, in rows: about what a built-in task has of a label."""


def class_scores(
    rows: Rows,
    fired: Fired,
    n_experts: int,
    classes: Int64[np.ndarray, "row"],
    n_classes: int,
    seed: int,
    leave_out: Bool[np.ndarray, "expert"] | None = None,
) -> Scores:
    """Return the balanced accuracy with which each expert tells the classes, 0 … n_classes - 1; one over their number is chance.

    A row on which the expert fires is told by logistic or multinomial regression on the codes of the active training rows, a
    class weighing as much as another over *all* training rows. A row on which it is silent is told the class of whose training
    rows the largest share is silent. Balanced accuracy is the mean, over the classes that occur, of the share of a class' rows
    that are told right.

    left_out_label is over the classes that at least two labels have, and NaN where fewer than two classes do. It takes a fit per
    label, so `leave_out` may name the experts that it is wanted of; it is NaN for the others.

    Raises:
        TaskError: there are more than 64 classes, or fewer than two of them occur.
    """
    refuse_many(n_classes)
    counts = _counts(rows, classes, n_classes)
    if (counts.fold.sum(axis=0) > 0).sum() < 2:
        raise TaskError(
            "Fewer than two classes occur in the rows that experts are ranked on. Give a class to rows of other labels."
        )
    fired = Fired(fired.row.astype(np.int64), fired.expert.astype(np.int64), fired.code)
    # Ranking rows first, so that an expert's training rows are the first of its firings.
    number = np.argsort(np.argsort(counts.fold_of == counts.n_folds, kind="stable"), kind="stable")
    given = grouped(number[fired.row], fired.expert, fired.code, n_experts)
    row = np.argsort(number)[given.row]
    n_training = np.bincount(given.expert[counts.fold_of[row] < counts.n_folds], minlength=n_experts)
    wanted = np.ones(n_experts, dtype=bool) if leave_out is None else leave_out

    work = _Work(counts, given, row, _bootstrap_weights(counts.template, seed), wanted)
    found = Scores(*(np.full(n_experts, 0 if name == "n_where_it_fires" else np.nan) for name in Scores._fields))
    n_features, n_pairs = fired.code.shape[1] + 1, n_classes * (n_classes - 1) // 2
    n_fits = max(counts.n_folds, rows.n_labels if wanted.any() else 1)
    per_expert = max(n_fits * n_pairs * n_features**2, n_fits * n_classes, counts.template.size, N_BOOTSTRAP)
    for block in blocks(given, n_training, n_fits * max(n_classes, n_pairs), per_expert):
        for whole, part in zip(found, _scores_of(work, block), strict=True):
            whole[block.expert] = part
    return found


def class_chance(label_classes: Int64[np.ndarray, "label"], n_classes: int, d_code: int, seed: int) -> float:
    """Return the mean balanced accuracy that tight clusters at random places, one per label, reach by the same kind of fit.

    Over `N_ARRANGEMENTS` arrangements of places, standard normal in d_code dimensions; told of the places that are fitted to.
    """
    place = np.random.default_rng(seed).standard_normal((N_ARRANGEMENTS, len(label_classes), d_code))
    class_of = np.tile(label_classes, (N_ARRANGEMENTS, 1))
    n = np.bincount(label_classes, minlength=n_classes)
    weight = np.tile(CLUSTER_ROWS * standard_weights(n), (N_ARRANGEMENTS, 1, 1))
    group = np.full(class_of.shape, -1)
    fitted = fit(Problems(place, np.zeros((N_ARRANGEMENTS, d_code)), class_of, group), 1, weight)
    unit = np.repeat(np.arange(N_ARRANGEMENTS), len(label_classes))
    guess = told(fitted, unit, np.zeros_like(unit), place.reshape(-1, d_code)).reshape(class_of.shape)
    hits = np.stack([((guess == k) & (class_of == k)).sum(axis=1) for k in range(n_classes)], axis=1)
    return float(_balanced(hits, np.tile(n, (N_ARRANGEMENTS, 1))).mean())


class _Counts(NamedTuple):
    """Rows of each class, active or not, whichever expert is asked about."""

    class_of: Int64[np.ndarray, "row"]
    label_of: Int64[np.ndarray, "row"]
    fold_of: Int64[np.ndarray, "row"]
    """Ranking group from 0; `n_folds` of report rows."""
    template_of: Int64[np.ndarray, "row"]
    """Report template from 0; -1 of ranking rows."""
    n_folds: int
    fold: Int64[np.ndarray, "fold class"]
    """Ranking rows."""
    label: Int64[np.ndarray, "label class"]
    """Ranking rows."""
    template: Int64[np.ndarray, "template class"]
    """Report rows."""
    report_label: Int64[np.ndarray, "label class"]
    """Report rows."""


class _Work(NamedTuple):
    """What all blocks of experts share."""

    counts: _Counts
    given: Grouped
    row: Int64[np.ndarray, "firing"]
    drawn: Float64[np.ndarray, "cell draw"]
    leave_out: Bool[np.ndarray, "expert"]


@dataclass(frozen=True)
class _Active:
    """The firings of a block's experts."""

    n_units: int
    unit: Int64[np.ndarray, "firing"]
    row: Int64[np.ndarray, "firing"]
    code: Float64[np.ndarray, "firing d_code"]

    def where(self, chosen: Bool[np.ndarray, "firing"]) -> _Active:
        return _Active(self.n_units, self.unit[chosen], self.row[chosen], self.code[chosen])

    def count(self, of: NDArray[np.int64], n_of: int, class_of: NDArray[np.int64], n_classes: int) -> NDArray[np.int64]:
        """Return the firings per (expert, something of their rows, class)."""
        cell = (self.unit * n_of + of[self.row]) * n_classes + class_of[self.row]
        return np.bincount(cell, minlength=self.n_units * n_of * n_classes).reshape(self.n_units, n_of, n_classes)


def _counts(rows: Rows, classes: Int64[np.ndarray, "row"], n_classes: int) -> _Counts:
    report = rows.report[rows.template]
    groups = np.unique(rows.fold[~rows.report])
    n_folds = len(groups)
    fold_of = np.where(report, n_folds, np.searchsorted(groups, rows.fold[rows.template]))
    index = np.where(rows.report, np.cumsum(rows.report) - 1, -1)
    template_of = index[rows.template]

    def table(of: NDArray[np.int64], n_of: int, chosen: NDArray[np.bool_]) -> NDArray[np.int64]:
        cell = of[chosen] * n_classes + classes[chosen]
        return np.bincount(cell, minlength=n_of * n_classes).reshape(n_of, n_classes)

    return _Counts(
        class_of=classes,
        label_of=rows.label,
        fold_of=fold_of,
        template_of=template_of,
        n_folds=n_folds,
        fold=table(fold_of, n_folds, ~report),
        label=table(rows.label, rows.n_labels, ~report),
        template=table(template_of, int(rows.report.sum()), report),
        report_label=table(rows.label, rows.n_labels, report),
    )


def _scores_of(work: _Work, block: Block) -> Scores:
    """Return the scores of a block's experts."""
    counts, n_units = work.counts, len(block.expert)
    class_of, n_classes, n_folds = counts.class_of, counts.fold.shape[1], counts.n_folds
    active = _active(work, block)
    ranking = active.where(counts.fold_of[active.row] < n_folds)
    report = active.where(counts.fold_of[active.row] == n_folds)
    problems = _problems(work, block)
    all_ranking = counts.fold.sum(axis=0)

    nowhere = np.full_like(problems.group, -1)
    weight = np.broadcast_to(standard_weights(all_ranking), (n_units, 1, n_classes)).copy()
    whole = fit(problems._replace(group=nowhere), 1, weight)

    # Ranking: every fold told by a fit to the others.
    fires = ranking.count(counts.fold_of, n_folds, class_of, n_classes)
    outside = all_ranking - counts.fold
    quiet = _silent_class(outside - (fires.sum(axis=1, keepdims=True) - fires), outside)
    folds = _fit_without(problems, counts.fold_of, block, work, outside, whole)
    hits = _hits(ranking, folds, counts.fold_of, quiet, fires, counts.fold, class_of).sum(axis=1)
    ranked = _balanced(hits, np.tile(all_ranking, (n_units, 1)))

    # Report rows, told by the fit to all ranking rows.
    fires_report = report.count(counts.template_of, len(counts.template), class_of, n_classes)
    quiet = _silent_class((all_ranking - fires.sum(axis=1))[:, None], all_ranking[None])
    silent = np.broadcast_to(quiet, fires_report.shape[:2])
    guess = _told(report, whole, np.zeros_like(report.row), quiet[report.unit, 0])
    right = report.where(guess == class_of[report.row]).count(counts.template_of, len(counts.template), class_of, n_classes)
    hits = right + _silent_hits(silent, counts.template - fires_report)
    draws = hits.reshape(n_units, -1) @ work.drawn
    low, high = np.quantile(draws, [0.025, 0.975], axis=1)
    n_active = fires_report.sum(axis=(1, 2))
    where = np.where(n_active >= 2, _balanced(right.sum(axis=1), fires_report.sum(axis=1)), np.nan)

    left = np.full(n_units, np.nan)
    chosen = work.leave_out[block.expert]
    if chosen.any():
        left[chosen] = _left_out(work, block, problems, whole, ranking, report, chosen)
    all_rows = _balanced(hits.sum(axis=1), np.tile(counts.template.sum(axis=0), (n_units, 1)))
    return Scores(ranked, all_rows, low, high, where, n_active, left)


def _left_out(
    work: _Work,
    block: Block,
    problems: Problems,
    whole: Fits,
    ranking: _Active,
    report: _Active,
    chosen: Bool[np.ndarray, "unit"],
) -> Float64[np.ndarray, "chosen"]:
    """Return the balanced accuracy on report rows, those of a label told by a fit to the ranking rows of all others."""
    counts, n_labels = work.counts, len(work.counts.label)
    class_of, n_classes = counts.class_of, counts.fold.shape[1]
    # A class that goes with its label cannot be told.
    told_of = ((counts.label > 0).sum(axis=0) >= 2) & (counts.report_label.sum(axis=0) > 0)
    if told_of.sum() < 2:
        return np.full(int(chosen.sum()), np.nan)
    renumbered = np.cumsum(chosen) - 1

    def only(active: _Active) -> _Active:
        kept = active.where(chosen[active.unit])
        return _Active(int(chosen.sum()), renumbered[kept.unit], kept.row, kept.code)

    block = Block(block.expert[chosen], block.firing[chosen], block.there[chosen])
    problems = Problems(*(part[chosen] for part in problems))
    whole = Fits(*(part[chosen] for part in whole))
    ranking, report = only(ranking), only(report)
    fires = ranking.count(counts.label_of, n_labels, class_of, n_classes)
    outside = counts.label.sum(axis=0) - counts.label
    quiet = _silent_class(outside - (fires.sum(axis=1, keepdims=True) - fires), outside)
    lefts = _fit_without(problems, counts.label_of, block, work, outside, whole)
    fires_report = report.count(counts.label_of, n_labels, class_of, n_classes)
    hits = _hits(report, lefts, counts.label_of, quiet, fires_report, counts.report_label, class_of).sum(axis=1)
    total = np.where(told_of, counts.report_label.sum(axis=0), 0)
    return _balanced(hits, np.tile(total, (len(hits), 1)))


def _active(work: _Work, block: Block) -> _Active:
    """Return all firings of a block's experts."""
    n = work.given.n[block.expert]
    unit = np.repeat(np.arange(len(n)), n)
    index = np.arange(n.sum()) + np.repeat(work.given.first[block.expert] - (np.cumsum(n) - n), n)
    return _Active(len(n), unit, work.row[index], work.given.code[index])


def _problems(work: _Work, block: Block) -> Problems:
    """Return a block's ranking rows, as yet in no group."""
    if not len(work.row):
        nothing = (*block.firing.shape, work.given.code.shape[1])
        return Problems(np.zeros(nothing), work.given.middle[block.expert], np.full_like(block.firing, -1), block.firing)
    class_of = np.where(block.there, work.counts.class_of[work.row[block.firing]], -1)
    return Problems(work.given.code[block.firing], work.given.middle[block.expert], class_of, block.firing)


def _fit_without(
    problems: Problems,
    group_of: Int64[np.ndarray, "row"],
    block: Block,
    work: _Work,
    outside: Int64[np.ndarray, "group class"],
    start: Fits,
) -> Fits:
    """Return a fit without each group of rows, given how many rows of each class are outside it."""
    if not len(work.row):
        return Fits(*(np.repeat(part, len(outside), axis=1) for part in start))
    weight = np.tile(standard_weights(outside), (len(block.expert), 1, 1))
    return fit(problems._replace(group=group_of[work.row[block.firing]]), len(outside), weight, start)


def _silent_class(
    silent: Int64[np.ndarray, "unit group class"], rows: Int64[np.ndarray, "group class"]
) -> Int64[np.ndarray, "unit group"]:
    """Return the class that the largest share of is silent, the first of several; if no row is, of all rows by the same rule."""
    some = silent.sum(axis=2, keepdims=True) > 0
    of = np.where(some, silent, rows)
    share = np.divide(of, rows, out=np.full(of.shape, -1.0), where=rows > 0)
    return share.argmax(axis=2)


def _told(
    active: _Active, fits: Fits, number: Int64[np.ndarray, "firing"], instead: Int64[np.ndarray, "firing"]
) -> Int64[np.ndarray, "firing"]:
    """Return the class told of each firing; `instead` where no class was ever seen to fire."""
    guess = told(fits, active.unit, number, active.code)
    return np.where(guess >= 0, guess, instead)


def _hits(
    active: _Active,
    fits: Fits,
    group_of: Int64[np.ndarray, "row"],
    quiet: Int64[np.ndarray, "unit group"],
    fires: Int64[np.ndarray, "unit group class"],
    rows: Int64[np.ndarray, "group class"],
    class_of: Int64[np.ndarray, "row"],
) -> Int64[np.ndarray, "unit group class"]:
    """Return how many rows are told right, each by its own group's fit, active and silent."""
    number = group_of[active.row]
    guess = _told(active, fits, number, quiet[active.unit, number])
    right = active.where(guess == class_of[active.row]).count(group_of, len(rows), class_of, rows.shape[1])
    return right + _silent_hits(quiet, rows - fires)


def _silent_hits(
    quiet: Int64[np.ndarray, "unit group"], silent: Int64[np.ndarray, "unit group class"]
) -> Int64[np.ndarray, "unit group class"]:
    return np.where(np.arange(silent.shape[2]) == quiet[..., None], silent, 0)


def _balanced(hits: NDArray[Any], rows: NDArray[Any]) -> Float64[np.ndarray, "unit"]:
    """Return the mean over classes, last axis, of the share that is told right; NaN where no class has rows."""
    share = np.divide(hits, rows, out=np.zeros(hits.shape), where=rows > 0)
    n = (rows > 0).sum(axis=1)
    return np.divide(share.sum(axis=1), n, out=np.full(len(hits), np.nan), where=n > 0)


def _bootstrap_weights(template: Int64[np.ndarray, "template class"], seed: int) -> Float64[np.ndarray, "cell draw"]:
    """Return what a hit of each (report template, class) adds to balanced accuracy in each draw of report templates.

    Classes that a draw has no rows of are left out of its mean.
    """
    n = len(template)
    drawn = np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), size=N_BOOTSTRAP).T.astype(np.float64)
    rows = template.T @ drawn
    each = np.divide(1.0, rows, out=np.zeros(rows.shape), where=rows > 0) / (rows > 0).sum(axis=0)
    return (drawn[:, None] * each[None]).reshape(-1, N_BOOTSTRAP)
