"""Scores equal slow ones, fitted expert by expert; the label-order null keeps its promise where an uncorrected one does not."""

from __future__ import annotations

from collections.abc import Callable
from itertools import permutations
from math import factorial
from typing import Any

import numpy as np
import pytest

from atlas.probe.scores import (
    ALPHA,
    MIN_COVERED,
    Fired,
    Order,
    Rows,
    benjamini_hochberg,
    coverage,
    label_order,
    left_out_label,
    ranking_forms,
    scores,
    sums,
)

Codes = Callable[[np.ndarray, np.random.Generator], np.ndarray]


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


def stacked(*experts: tuple[np.ndarray, np.ndarray]) -> Fired:
    """Firings of experts, each given by the rows it fires on and its codes there."""
    return Fired(
        np.concatenate([np.flatnonzero(active) for active, _ in experts]),
        np.concatenate([np.full(active.sum(), number) for number, (active, _) in enumerate(experts)]),
        np.concatenate([code[active] for active, code in experts]),
    )


def always(code: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
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


# The slow way


def slow_error(rows: Rows, fired: Fired, expert: int, targets: np.ndarray, train: np.ndarray, test: np.ndarray) -> np.ndarray:
    """Squared error at every test row, of one expert, from a plain least-squares fit to its active training rows."""
    mine = fired.expert == expert
    design = np.zeros((len(rows.label), fired.code.shape[1] + 1))
    design[fired.row[mine]] = np.column_stack([fired.code[mine], np.ones(mine.sum())])
    active = design[:, -1] == 1
    truth = targets[rows.label]
    weights = np.linalg.lstsq(design[train & active], truth[train & active], rcond=None)[0]
    silent = truth[train & ~active] if (train & ~active).any() else truth[train]
    predicted = np.where(active[:, None], design @ weights, silent.mean(axis=0))
    return ((truth - predicted) ** 2).sum(axis=1)[test]


def slow_variance(rows: Rows, targets: np.ndarray, train: np.ndarray, test: np.ndarray) -> np.ndarray:
    truth = targets[rows.label]
    return ((truth - truth[train].mean(axis=0)) ** 2).sum(axis=1)[test]


def split(rows: Rows) -> tuple[np.ndarray, np.ndarray]:
    """Ranking rows and report rows."""
    report = rows.report[rows.template]
    return ~report, report


def slow_ranking(rows: Rows, fired: Fired, expert: int, targets: np.ndarray) -> float:
    ranking, _ = split(rows)
    error = variance = 0.0
    for fold in np.unique(rows.fold[~rows.report]):
        here = rows.fold[rows.template] == fold
        error += slow_error(rows, fired, expert, targets, ranking & ~here, ranking & here).sum()
        variance += slow_variance(rows, targets, ranking & ~here, ranking & here).sum()
    return 1 - error / variance


def slow_all(rows: Rows, fired: Fired, expert: int, targets: np.ndarray) -> float:
    ranking, report = split(rows)
    error = slow_error(rows, fired, expert, targets, ranking, report).sum()
    return 1 - error / slow_variance(rows, targets, ranking, report).sum()


def slow_fires(rows: Rows, fired: Fired, expert: int, targets: np.ndarray) -> float:
    """On active report rows only, around the mean of active ranking rows."""
    ranking, report = split(rows)
    active = np.zeros(len(rows.label), dtype=bool)
    active[fired.row[fired.expert == expert]] = True
    error = slow_error(rows, fired, expert, targets, ranking, report & active).sum()
    return 1 - error / slow_variance(rows, targets, ranking & active, report & active).sum()


def slow_left_out(rows: Rows, fired: Fired, expert: int, targets: np.ndarray) -> float:
    ranking, report = split(rows)
    error = variance = 0.0
    for label in range(rows.n_labels):
        this = rows.label == label
        error += slow_error(rows, fired, expert, targets, ranking & ~this, report & this).sum()
        variance += slow_variance(rows, targets, ranking & ~this, report & this).sum()
    return 1 - error / variance


# Scores


SLOW = {
    "ranking": slow_ranking,
    "all_rows": slow_all,
    "where_it_fires": slow_fires,
    "left_out_label": slow_left_out,
}


@pytest.mark.parametrize("targets", [ring(6), line(6)], ids=["ring", "line"])
@pytest.mark.parametrize("name", SLOW)
def test_score_equals_a_fit_of_each_expert_alone(name: str, targets: np.ndarray) -> None:
    rows = grid(6, 18)
    # Sentences that were dropped: labels differ in how many rows they have.
    kept = np.random.default_rng(1).random(len(rows.label)) < 0.8
    rows = Rows(rows.label[kept], rows.template[kept], rows.fold, rows.report, rows.n_labels)
    fired = some_experts(rows)

    found = getattr(scores(rows, fired, sums(rows, fired, 5), targets, seed=0), name)

    expected = [SLOW[name](rows, fired, expert, targets) for expert in range(5)]
    np.testing.assert_allclose(found, expected, atol=2e-4)
    assert np.ptp(expected) > 0.2


def test_folds_are_groups_of_templates_whatever_their_numbers() -> None:
    rows = grid(6, 18)
    renamed = Rows(rows.label, rows.template, 7 * (20 - rows.fold), rows.report, rows.n_labels)
    fired = some_experts(rows)

    found = scores(renamed, fired, sums(renamed, fired, 5), ring(6), seed=0)

    expected = scores(rows, fired, sums(rows, fired, 5), ring(6), seed=0)
    np.testing.assert_allclose(found.ranking, expected.ranking, rtol=1e-9)
    np.testing.assert_allclose(found.all_rows, expected.all_rows, rtol=1e-9)


def test_score_of_a_perfect_ring_is_one_and_of_noise_about_zero() -> None:
    rows = grid(12, 30)
    rng = np.random.default_rng(0)
    exact = np.column_stack([3 * ring(12)[rows.label], np.zeros(len(rows.label))])
    fired = stacked(always(exact), always(rng.standard_normal((len(rows.label), 3))))

    found = scores(rows, fired, sums(rows, fired, 2), ring(12), seed=0)

    for name in SLOW:
        assert getattr(found, name)[0] == pytest.approx(1, abs=1e-6)
        assert -0.15 < getattr(found, name)[1] < 0.05


def test_expert_that_never_fires_predicts_the_mean() -> None:
    rows = grid(6, 18)
    fired = stacked(always(np.random.default_rng(0).standard_normal((len(rows.label), 3))))

    found = scores(rows, fired, sums(rows, fired, 2), line(6), seed=0)

    assert found.ranking[1] == pytest.approx(0, abs=1e-12)
    assert found.all_rows[1] == pytest.approx(0, abs=1e-12)
    assert np.isnan(found.where_it_fires[1]) and found.n_where_it_fires[1] == 0


def test_rows_where_it_fires_are_the_active_report_rows() -> None:
    rows = grid(6, 18)
    fired = some_experts(rows)

    found = scores(rows, fired, sums(rows, fired, 5), ring(6), seed=0)

    report = rows.report[rows.template]
    assert found.n_where_it_fires.tolist() == [int(report[fired.row[fired.expert == expert]].sum()) for expert in range(5)]


@pytest.mark.parametrize("only", ["report", "one group", "a twentieth"])
def test_score_does_not_depend_on_where_the_target_has_its_zero(only: str) -> None:
    """Years may be counted from 1905 or from the year 0; an expert with few or no rows to learn from must not be punished."""
    rows = grid(20, 18)
    rng = np.random.default_rng(0)
    active = {
        "report": rows.report[rows.template],
        "one group": rows.fold[rows.template] == 2,
        "a twentieth": rng.random(len(rows.label)) < 0.05,
    }[only]
    code = 2 + rows.label[:, None] / 20 * rng.standard_normal(3) + 0.1 * rng.standard_normal((len(rows.label), 3))
    fired = stacked((active, code))
    given = sums(rows, fired, 1)

    from_1905 = scores(rows, fired, given, line(20) - 9.5, seed=0)
    from_0 = scores(rows, fired, given, line(20) + 1905, seed=0)

    for name in ("ranking", "all_rows", "left_out_label"):
        assert getattr(from_0, name) == pytest.approx(getattr(from_1905, name), abs=0.01), name


def test_interval_is_the_bootstrap_over_report_templates() -> None:
    rows = grid(6, 36)
    fired = some_experts(rows)

    found = scores(rows, fired, sums(rows, fired, 5), ring(6), seed=0)

    ranking, report = split(rows)
    rng = np.random.default_rng(99)
    for expert in range(5):
        error = slow_error(rows, fired, expert, ring(6), ranking, report)
        variance = slow_variance(rows, ring(6), ranking, report)
        template = rows.template[report]
        of_template = [(error[template == t].sum(), variance[template == t].sum()) for t in np.flatnonzero(rows.report)]
        drawn = [
            np.sum([of_template[i] for i in rng.integers(0, len(of_template), len(of_template))], axis=0) for _ in range(3000)
        ]
        low, high = np.quantile([1 - e / v for e, v in drawn], [0.025, 0.975])
        width = high - low
        assert found.all_rows_low[expert] == pytest.approx(low, abs=0.15 * width)
        assert found.all_rows_high[expert] == pytest.approx(high, abs=0.15 * width)


# The label-order null


def permuted(targets: np.ndarray, order: tuple[int, ...]) -> np.ndarray:
    return targets[list(order)]


@pytest.mark.parametrize("targets", [ring(6), line(6)], ids=["ring", "line"])
def test_quadratic_form_of_permuted_labels_equals_a_new_fit(targets: np.ndarray) -> None:
    rows = grid(6, 18)
    fired = some_experts(rows)
    error, variance = ranking_forms(sums(rows, fired, 5))
    rng = np.random.default_rng(0)

    for _ in range(5):
        other = targets[rng.permutation(6)]
        spread = np.trace(other.T @ variance @ other)
        found = [1 - np.trace(other.T @ form @ other) / spread for form in error]
        np.testing.assert_allclose(found, [slow_ranking(rows, fired, e, other) for e in range(5)], atol=2e-4)


def slow_null(rows: Rows, fired: Fired, expert: int, targets: np.ndarray, present: list[int]) -> tuple[float, np.ndarray]:
    """The score, and the scores of every other order of all labels, in which only those present move."""
    scored = []
    for order in list(permutations(range(rows.n_labels))):
        moved = targets.copy()
        rank = np.argsort([order[label] for label in present])
        moved[present] = targets[[present[i] for i in rank]]
        scored.append(slow_ranking(rows, fired, expert, moved))
    return scored[0], np.array(scored[1:])


def test_p_and_adjusted_p_equal_those_of_refitting_with_every_order() -> None:
    rows = grid(4, 27, group_size=3)
    rng = np.random.default_rng(3)
    n = len(rows.label)
    place = np.column_stack([line(4)[:, 0], rng.standard_normal((4, 2))])
    experts = [
        always(place[rows.label] + 0.8 * rng.standard_normal((n, 3))),
        always(rng.standard_normal((4, 3))[rows.label] + 0.5 * rng.standard_normal((n, 3))),
        (rows.label != 1, rng.standard_normal((n, 3)) + place[rows.label]),
    ]
    fired = stacked(*experts)

    found = label_order(sums(rows, fired, 3), line(4), seed=0)

    labels = [[0, 1, 2, 3], [0, 1, 2, 3], [0, 2, 3]]
    slow = [slow_null(rows, fired, expert, line(4), labels[expert]) for expert in range(3)]
    p = [(1 + (null >= observed - 1e-7).sum()) / 24 for observed, null in slow]
    t = np.array([(null - null.mean()) / null.std() for _, null in slow])
    statistic = [(observed - null.mean()) / null.std() for observed, null in slow]
    adjusted = [(1 + (t.max(axis=0) >= s - 1e-7).sum()) / 24 for s in statistic]
    assert found.testable.all()
    np.testing.assert_allclose(found.p, p)
    np.testing.assert_allclose(found.p_adjusted, adjusted)
    assert len(set(p)) > 1 and p != adjusted


@pytest.mark.parametrize(("targets", "ties"), [(ring(7), 14), (line(7), 2)], ids=["ring", "line"])
def test_orders_that_are_the_same_to_the_target_count_as_ties(targets: np.ndarray, ties: int) -> None:
    """A ring may be turned seven ways and run both ways round; a line may be read from either end."""
    rows = grid(7, 18)
    fired = stacked(always(np.column_stack([targets[rows.label], np.zeros((len(rows.label), 3 - targets.shape[1]))])))

    found = label_order(sums(rows, fired, 1), targets, seed=0)

    assert found.p.tolist() == found.p_adjusted.tolist() == [ties / factorial(7)]


def test_an_order_found_in_no_draw_has_the_least_p() -> None:
    rows = grid(12, 18)
    fired = stacked(always(np.column_stack([ring(12)[rows.label], np.zeros(len(rows.label))])))

    found = label_order(sums(rows, fired, 1), ring(12), seed=0, n_permutations=99)

    assert found.p.tolist() == [0.01]


def test_only_experts_with_enough_rows_and_labels_are_tested() -> None:
    rows = grid(6, 18)
    rng = np.random.default_rng(0)
    code = rng.standard_normal((len(rows.label), 3))
    ranking = ~rows.report[rows.template]

    def at_most(label_rows: int) -> np.ndarray:
        """Few active ranking rows of four labels, all rows of the two others."""
        active = np.ones(len(rows.label), dtype=bool)
        for label in range(2, 6):
            active[np.flatnonzero((rows.label == label) & ranking)[label_rows:]] = False
        return active

    first_49 = np.arange(len(rows.label)) < 49
    first_50 = np.arange(len(rows.label)) < 50
    fired = stacked((first_49, code), (first_50, code), (at_most(4), code), (at_most(5), code))

    found = label_order(sums(rows, fired, 5), ring(6), seed=0)

    assert found.testable.tolist() == [False, True, False, True, False]
    assert np.isnan(found.p[~found.testable]).all() and np.isnan(found.p_adjusted[~found.testable]).all()
    assert (found.p[found.testable] > 0).all()


def test_p_does_not_depend_on_where_the_target_has_its_zero() -> None:
    """Codes far from zero, of an expert that fires on three labels, all but fix the constant of the fit."""
    rows = grid(20, 36)
    rng = np.random.default_rng(0)
    code = rng.standard_normal(3) * 20 + rows.label[:, None] / 20 * rng.standard_normal(3)
    fired = stacked((np.isin(rows.label, [3, 4, 5]), code + 0.1 * rng.standard_normal((len(rows.label), 3))))
    given = sums(rows, fired, 1)

    from_1905, from_0 = (label_order(given, line(20) + zero, seed=0, n_permutations=200) for zero in (-9.5, 1905))

    assert from_0.p == pytest.approx(from_1905.p)
    assert from_0.p_adjusted == pytest.approx(from_1905.p_adjusted)


def test_untestable_experts_do_not_weigh_on_the_others() -> None:
    rows = grid(8, 18)
    rng = np.random.default_rng(0)
    code = ring(8)[rows.label] + 0.5 * rng.standard_normal((len(rows.label), 2))
    few = np.arange(len(rows.label)) < 30

    alone = label_order(sums(rows, stacked(always(code)), 1), ring(8), seed=0, n_permutations=200)
    beside = label_order(sums(rows, stacked(always(code), (few, code)), 2), ring(8), seed=0, n_permutations=200)

    assert beside.p_adjusted[0] == alone.p_adjusted[0] == alone.p[0]


# What the null promises


def independent(label: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Codes that know nothing of the label."""
    return rng.standard_normal((len(label), 3))


def clustered(label: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Codes in one tight cluster per label, at random places: the label is known, its order is not."""
    return rng.standard_normal((label.max() + 1, 3))[label] + 0.1 * rng.standard_normal((len(label), 3))


def order_of(n_labels: int, codes: list[np.ndarray], rng: np.random.Generator, targets: np.ndarray, **draws: Any) -> Order:
    """The null of experts that fire on most rows."""
    rows = grid(n_labels, 15)
    fired = stacked(*((rng.random(len(rows.label)) < 0.9, code) for code in codes))
    return label_order(sums(rows, fired, len(codes)), targets, seed=int(rng.integers(2**31)), **draws)


@pytest.mark.parametrize("codes", [independent, clustered], ids=["shuffled labels", "random clusters"])
def test_families_without_an_order_are_rarely_called_and_often_without_correction(codes: Codes) -> None:
    """100 families of 20 experts: nominally 5 have one at adjusted p ≤ 0.05, and 64 one at plain p ≤ 0.05."""
    corrected = uncorrected = 0
    for run in range(100):
        rng = np.random.default_rng(run)
        label = grid(6, 15).label
        found = order_of(6, [codes(label, rng) for _ in range(20)], rng, ring(6))
        assert found.testable.all()
        corrected += bool((found.p_adjusted <= ALPHA).any())
        uncorrected += bool((found.p <= ALPHA).any())

    assert corrected <= 10
    assert uncorrected > 30


def test_sampled_permutations_keep_the_promise_too() -> None:
    """Eight labels have more orders than are tried."""
    corrected = 0
    for run in range(60):
        rng = np.random.default_rng(run)
        label = grid(8, 15).label
        found = order_of(8, [clustered(label, rng) for _ in range(10)], rng, line(8), n_permutations=199)
        corrected += bool((found.p_adjusted <= ALPHA).any())

    assert corrected <= 6


def test_planted_noisy_ring_is_found_among_100_random_experts() -> None:
    hits = 0
    for run in range(20):
        rng = np.random.default_rng(run)
        label = grid(12, 15).label
        noisy = np.column_stack([ring(12)[label], np.zeros(len(label))]) + 0.4 * rng.standard_normal((len(label), 3))
        others = [(independent, clustered)[i % 2](label, rng) for i in range(100)]
        found = order_of(12, [*others[:50], noisy, *others[50:]], rng, ring(12), n_permutations=300)
        hits += bool(found.p_adjusted[50] <= ALPHA)

    assert hits >= 19


def test_seven_random_clusters_are_seldom_called_a_ring_though_they_score_well() -> None:
    """Clusters in no order give a ring R² of about 0.5; the best of them would pass any fixed mark."""
    rows = grid(7, 9)
    called, r2 = 0, []
    for run in range(150):
        rng = np.random.default_rng(run)
        fired = stacked(always(clustered(rows.label, rng)))
        given = sums(rows, fired, 1)
        order = label_order(given, ring(7), seed=run)
        called += bool(order.p_adjusted[0] <= ALPHA and left_out_label(given, ring(7))[0] > 0)
        r2.append(float(scores(rows, fired, given, ring(7), seed=run).all_rows[0]))

    assert np.mean(r2) == pytest.approx(3 / 6, abs=0.05)
    assert np.max(r2) > 0.8
    # Nominally 7.5 of 150; more than 13 happen by chance once in fifty.
    assert called <= 13


# Small things


def test_coverage_of_a_case_worked_by_hand() -> None:
    fires = np.array([[1.0, 0.5, 0.49, 0.8], [0.4, 0.1, 0.0, 0.2], [0.5, 0.5, 0.5, 0.5]])

    covered, least = coverage(fires)

    assert covered.tolist() == [3, 0, 4]
    np.testing.assert_equal(least, [0.5, np.nan, 0.5])
    assert MIN_COVERED == 6


def test_benjamini_hochberg_of_a_case_worked_by_hand() -> None:
    """Times 4 over the rank: 0.04, 0.06, 0.0533, 0.5; then no larger than any later one."""
    p = np.array([0.5, 0.01, np.nan, 0.04, 0.03])

    np.testing.assert_allclose(benjamini_hochberg(p), [0.5, 0.04, np.nan, 0.16 / 3, 0.16 / 3])


@pytest.mark.parametrize("p", [[], [np.nan], [1.0, 1.0], [0.7]], ids=["none", "unknown", "ones", "one"])
def test_benjamini_hochberg_of_odd_cases_is_p_itself(p: list[float]) -> None:
    np.testing.assert_equal(benjamini_hochberg(np.array(p)), np.array(p))


def test_sums_are_those_of_each_cell() -> None:
    rows = grid(3, 9)
    fired = some_experts(rows)

    given = sums(rows, fired, 5)

    fold_of_group = {0: 0, 2: 1, 3: 2, 1: 3, 4: 3}
    folds = np.array([fold_of_group[group] for group in rows.fold[rows.template]])
    assert given.rows.tolist() == [[((folds == f) & (rows.label == label)).sum() for label in range(3)] for f in range(4)]
    for expert, fold, label in [(0, 0, 0), (1, 3, 2), (4, 2, 1)]:
        here = (fired.expert == expert) & (folds[fired.row] == fold) & (rows.label[fired.row] == label)
        features = np.column_stack([fired.code[here], np.ones(here.sum())])
        assert given.n[expert, fold, label] == here.sum()
        np.testing.assert_allclose(given.feature[expert, fold, label], features.sum(axis=0))
        np.testing.assert_allclose(given.gram[expert, fold, label], features.T @ features)
