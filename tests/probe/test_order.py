"""The label-order null equals refitting with every order, and keeps its promise where an uncorrected one does not."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib import import_module
from itertools import permutations
from math import factorial
from typing import Any

import numpy as np
import pytest

from atlas.geometry.shape import _adjusted
from atlas.probe.scores import (
    ALPHA,
    MIN_COVERED,
    Order,
    Rows,
    Scores,
    Sums,
    benjamini_hochberg,
    coverage,
    fires,
    label_order,
    left_out_direction,
    ranking_forms,
    ranking_scores,
    scores,
    sums,
    supported,
    untestable,
    within_halves,
)
from labelled import (
    Expert,
    always,
    clustered,
    grid,
    independent,
    line,
    ring,
    slow_ranking,
    some_experts,
    stacked,
    thinned,
)

Codes = Callable[[np.ndarray, np.random.Generator], np.ndarray]


@pytest.mark.parametrize("penalty", [0.0, 1.0], ids=["linear", "ridge"])
@pytest.mark.parametrize("targets", [ring(6), line(6)], ids=["ring", "line"])
def test_quadratic_form_of_permuted_labels_equals_a_new_fit(targets: np.ndarray, penalty: float) -> None:
    rows = thinned(grid(6, 18))
    given = sums(rows, some_experts(rows), 5)
    error, variance = ranking_forms(given, penalty)
    rng = np.random.default_rng(0)

    for _ in range(5):
        other = targets[rng.permutation(6)] - targets.mean(axis=0)
        spread = np.trace(other.T @ variance @ other)
        found = [1 - np.trace(other.T @ form @ other) / spread for form in error]
        np.testing.assert_allclose(found, ranking_scores(given, other[rows.label], penalty), atol=1e-4)


def slow_null(rows: Rows, given: Sums, expert: int, targets: np.ndarray, present: list[int]) -> tuple[float, np.ndarray]:
    """The score, and the scores of every other order of all labels, in which only those present move."""
    scored = []
    for order in list(permutations(range(rows.n_labels))):
        moved = targets.copy()
        rank = np.argsort([order[label] for label in present])
        moved[present] = targets[[present[i] for i in rank]]
        scored.append(slow_ranking(rows, given.fired, expert, moved[rows.label]))
    return scored[0], np.array(scored[1:])


@pytest.mark.parametrize("share", [1.0, 0.9], ids=["equal rows", "unequal rows"])
def test_p_and_adjusted_p_equal_those_of_refitting_with_every_order(share: float) -> None:
    rows = thinned(grid(4, 27, group_size=3), share)
    rng = np.random.default_rng(3)
    n = len(rows.label)
    place = np.column_stack([line(4)[:, 0], rng.standard_normal((4, 2))])
    experts = [
        always(place[rows.label] + 0.8 * rng.standard_normal((n, 3))),
        always(rng.standard_normal((4, 3))[rows.label] + 0.5 * rng.standard_normal((n, 3))),
        (rows.label != 1, rng.standard_normal((n, 3)) + place[rows.label]),
    ]
    given = sums(rows, stacked(*experts), 3)

    found = label_order(given, line(4), seed=0)

    labels = [[0, 1, 2, 3], [0, 1, 2, 3], [0, 2, 3]]
    slow = [slow_null(rows, given, expert, line(4), labels[expert]) for expert in range(3)]
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


@pytest.mark.parametrize("penalty", [0.0, 1.0])
def test_an_order_found_in_no_draw_has_the_least_p(penalty: float) -> None:
    rows = grid(12, 18)
    fired = stacked(always(np.column_stack([ring(12)[rows.label], np.zeros(len(rows.label))])))

    found = label_order(sums(rows, fired, 1), ring(12), seed=0, n_permutations=99, penalty=penalty)

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


def test_constant_targets_have_no_order() -> None:
    rows = grid(6, 18)
    given = sums(rows, some_experts(rows), 5)

    np.testing.assert_equal(label_order(given, np.full((6, 1), 1 / 3), seed=0), untestable(5))


def test_targets_that_are_alike_among_the_labels_present_are_no_order() -> None:
    """Indicators of a class that all of an expert's labels belong to."""
    rows = grid(8, 18)
    code = np.random.default_rng(0).standard_normal((len(rows.label), 3))
    fired = stacked((rows.label < 4, code), always(code))

    found = label_order(sums(rows, fired, 2), (np.arange(8) < 4)[:, None].astype(float), seed=0, n_permutations=200)

    assert found.p[0] == 1
    assert found.p_adjusted[0] > ALPHA


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


def test_the_null_does_not_depend_on_how_much_is_computed_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Experts with from 3 to 10 labels present, in blocks of one, and a few orders at a time."""
    rows = thinned(grid(10, 27, group_size=3), 0.9)
    rng = np.random.default_rng(0)
    experts = [(rows.label <= 2 + i % 8, clustered(rows.label, rng)) for i in range(24)]
    given = sums(rows, stacked(*experts), 24)
    whole = label_order(given, ring(10), seed=0, n_permutations=300)

    order = import_module("atlas.probe.scores.order")
    monkeypatch.setattr(order, "BLOCK_NUMBERS", 1)
    monkeypatch.setattr(order, "CACHED_NUMBERS", 700)
    in_blocks = label_order(given, ring(10), seed=0, n_permutations=300)

    assert whole.testable.all() and len(np.unique(whole.p)) > 10 and len(np.unique(whole.p_adjusted)) > 3
    np.testing.assert_array_equal(in_blocks.p, whole.p)
    np.testing.assert_array_equal(in_blocks.p_adjusted, whole.p_adjusted)


# What the null promises


def order_of(rows: Rows, codes: Sequence[np.ndarray], rng: np.random.Generator, targets: np.ndarray, **draws: Any) -> Order:
    """The null of experts that fire on most rows."""
    fired = stacked(*((rng.random(len(rows.label)) < 0.9, code) for code in codes))
    return label_order(sums(rows, fired, len(codes)), targets, seed=int(rng.integers(2**31)), **draws)


def place(n_labels: int) -> np.ndarray:
    return np.random.default_rng(8).standard_normal((n_labels, 3))


@pytest.mark.parametrize("codes", [independent, clustered], ids=["noise", "random clusters"])
@pytest.mark.parametrize(
    ("targets", "ties", "n_orders"),
    [(ring(6), 12, 720), (line(6), 1, 720), (ring(12), 1, 1000), (place(9), 1, 1000), (np.eye(3)[np.arange(9) // 3], 1, 1000)],
    ids=["ring of 6", "line of 6", "ring of 12", "map of 9", "classes of 9"],
)
def test_p_is_uniform_where_labels_are_shuffled(targets: np.ndarray, ties: int, n_orders: int, codes: Codes) -> None:
    """Kolmogorov's distance from the p that can be attained, of 300 experts; 1.63 / √n is passed in one of a hundred cases."""
    rng = np.random.default_rng(0)
    rows = grid(len(targets), 12, group_size=1)

    p = order_of(rows, [codes(rows.label, rng) for _ in range(300)], rng, targets, n_permutations=999).p

    attainable = np.arange(ties, n_orders + 1, ties) / n_orders
    below = (p[:, None] <= attainable + 1e-9).mean(axis=0)
    assert np.abs(below - attainable).max() < 1.63 / np.sqrt(len(p)) + ties / n_orders


def test_families_without_an_order_are_rarely_called_and_often_without_correction() -> None:
    """200 families of 20 experts: nominally 10 have one at adjusted p ≤ 0.05, and 128 one at plain p ≤ 0.05."""
    corrected = uncorrected = 0
    rows = grid(6, 12, group_size=1)
    for run in range(200):
        rng = np.random.default_rng(run)
        codes = (independent, clustered)[run % 2]
        found = order_of(rows, [codes(rows.label, rng) for _ in range(20)], rng, (ring(6), line(6))[run % 4 // 2])
        assert found.testable.all()
        corrected += bool((found.p_adjusted <= ALPHA).any())
        uncorrected += bool((found.p <= ALPHA).any())

    assert corrected <= 0.08 * 200
    assert uncorrected > 0.08 * 200


def test_sampled_permutations_keep_the_promise_too() -> None:
    """Eight labels have more orders than are tried."""
    corrected = 0
    rows = grid(8, 9, group_size=1)
    for run in range(100):
        rng = np.random.default_rng(run)
        found = order_of(rows, [clustered(rows.label, rng) for _ in range(10)], rng, line(8), n_permutations=199)
        corrected += bool((found.p_adjusted <= ALPHA).any())

    assert corrected <= 0.08 * 100


def called(rows: Rows, experts: Sequence[Expert], targets: np.ndarray, shape: str, seed: int) -> tuple[Order, Scores, np.ndarray]:
    """The null, the scores, and which orders are supported if no other hypothesis was tested."""
    fired = stacked(*experts)
    given = sums(rows, fired, len(experts))
    order = label_order(given, targets, seed=seed, n_permutations=400)
    found = scores(given, targets[rows.label], seed=seed)
    covered, _ = coverage(fires(rows, fired, len(experts)))
    q = benjamini_hochberg(np.array([np.nanmin(order.p_adjusted)])) if order.testable.any() else np.ones(1)
    direction = left_out_direction(given, targets[rows.label])
    halves = within_halves(given, targets, np.arange(len(experts)), seed)
    return order, found, supported(order, found, direction, halves, covered, float(q[0]), shape)


def test_planted_noisy_ring_is_found_among_500_random_experts() -> None:
    rows = grid(12, 15)
    hits = 0
    for run in range(20):
        rng = np.random.default_rng(run)
        n = len(rows.label)
        noisy = np.column_stack([ring(12)[rows.label], np.zeros(n)]) + 0.4 * rng.standard_normal((n, 3))
        codes = [(independent, clustered)[i % 2](rows.label, rng) for i in range(500)]
        experts = [(rng.random(n) < 0.9, code) for code in [*codes[:250], noisy, *codes[250:]]]
        order, _, support = called(rows, experts, ring(12), "ring", run)
        hits += bool(support[250])
        assert order.testable.all()

    assert hits >= 0.95 * 20


def test_seven_random_clusters_are_never_called_a_ring_though_they_score_well() -> None:
    """Clusters in no order give a ring R² of about 0.5; the best of them would pass any fixed mark.

    25 tasks of 10 such experts are one atlas, whose tasks are adjusted for each other.
    """
    rows = grid(7, 9)
    given_all, r2 = [], []
    for run in range(25):
        rng = np.random.default_rng(run)
        fired = stacked(*(always(clustered(rows.label, rng)) for _ in range(10)))
        given = sums(rows, fired, 10)
        found = scores(given, ring(7)[rows.label], seed=run)
        direction = left_out_direction(given, ring(7)[rows.label])
        given_all.append((label_order(given, ring(7), seed=run), found, direction, np.full(10, np.nan)))
        r2.extend(found.all_rows.tolist())
    q = benjamini_hochberg(np.array([order.p_adjusted.min() for order, *_ in given_all]))

    support = [supported(*one, np.full(10, 7), float(rate), "ring") for one, rate in zip(given_all, q, strict=True)]

    assert not np.any(support)
    assert np.mean(r2) == pytest.approx(3 / 6, abs=0.03)
    assert np.max(r2) > 0.8


def test_a_weekend_detector_tells_the_weekend_and_no_ring_of_seven_days() -> None:
    rows = grid(7, 18)
    rng = np.random.default_rng(0)
    n = len(rows.label)
    weekend = rows.label >= 5
    # One fires on the weekend alone; the other always, at one of two places.
    experts = [(weekend, rng.standard_normal((n, 3))), always(weekend[:, None] * 3.0 + 0.1 * rng.standard_normal((n, 3)))]

    order, on_ring, support = called(rows, experts, ring(7), "ring", 0)

    on_weekend = scores(sums(rows, stacked(*experts), 2), weekend[:, None].astype(float), seed=0)
    assert on_weekend.all_rows == pytest.approx(1, abs=0.02)
    assert (on_ring.all_rows > 0.2).all()
    assert not order.testable[0] and order.p_adjusted[1] > ALPHA
    assert not support.any()


def test_an_expert_of_two_halves_of_a_ring_is_no_ring() -> None:
    """Telling AM from PM reaches an R² of 0.4 that no shuffled order of 24 hours does, and left-out labels do as well."""
    rows = grid(24, 18)
    rng = np.random.default_rng(0)
    n = len(rows.label)
    halves = 3 * np.sign(rows.label - 11.5)[:, None] * [1.0, 0, 0] + 0.1 * rng.standard_normal((n, 3))
    around = np.column_stack([2 * ring(24)[rows.label], np.zeros(n)]) + 0.7 * rng.standard_normal((n, 3))
    given = sums(rows, stacked(always(halves), always(around)), 2)
    targets = ring(24)[rows.label]

    found, order = scores(given, targets, seed=0), label_order(given, ring(24), seed=0, n_permutations=500)
    direction = left_out_direction(given, targets)

    assert found.all_rows[0] > 0.35 and found.left_out_label[0] > 0.3 and order.p_adjusted[0] <= 0.01
    assert direction[0] <= 0 < direction[1]
    halves = within_halves(given, ring(24), np.arange(2), seed=0)
    assert halves[0] > ALPHA >= halves[1]
    untested = np.full(2, np.nan)
    assert supported(order, found, direction, untested, np.array([24, 24]), 0.01, "ring").tolist() == [False, True]


def test_an_expert_of_two_halves_of_a_line_reads_no_order() -> None:
    """Nothing but the shuffle within the halves tells it from one that reads every step."""
    rows = grid(24, 18)
    rng = np.random.default_rng(0)
    n = len(rows.label)
    halves = 3 * np.sign(rows.label - 11.5)[:, None] * [1.0, 0, 0] + 0.1 * rng.standard_normal((n, 3))
    steps = rows.label[:, None] / 4 * [0, 1.0, 0] + 0.7 * rng.standard_normal((n, 3))
    only_late = (rows.label >= 10, steps)
    given = sums(rows, stacked(always(halves), always(steps), only_late), 3)
    targets = line(24)[rows.label]

    found, order = scores(given, targets, seed=0), label_order(given, line(24), seed=0, n_permutations=500)
    p = within_halves(given, line(24), np.arange(3), seed=0)

    direction, covered = left_out_direction(given, targets), np.array([24, 24, 14])
    assert found.all_rows[0] > 0.7 and found.left_out_label[0] > 0.7 and order.p_adjusted[0] <= 0.01
    assert supported(order, found, direction, np.full(3, np.nan), covered, 0.01, "ordinal").all()
    assert supported(order, found, direction, p, covered, 0.01, "ordinal").tolist() == [False, True, True]


def test_permutations_stay_within_the_halves_and_absent_labels_stay_put() -> None:
    half = np.array([[False, True, True, False, False, True]])
    present = np.array([[True, True, True, True, False, True]])
    draws = np.random.default_rng(0).random((200, 6))

    found = import_module("atlas.probe.scores.halves")._within(half, present, draws)[0]

    assert (np.sort(found, axis=1) == np.arange(6)).all() and (found[:, 4] == 4).all()
    assert set(map(tuple, found[:, [0, 3]].tolist())) == {(0, 3), (3, 0)}
    assert len(set(map(tuple, found[:, [1, 2, 5]].tolist()))) == 6


@pytest.mark.parametrize("penalty", [0.0, 1.0])
def test_shuffle_within_halves_equals_refitting(penalty: float) -> None:
    rows = thinned(grid(8, 36))
    given, seed = sums(rows, some_experts(rows), 5), 3

    found = within_halves(given, ring(8), np.array([4, 0]), seed, penalty, n_permutations=60)

    halves = import_module("atlas.probe.scores.halves")
    draws = np.random.default_rng(seed).random((60, 8))
    for expert in (0, 4):
        alone = given.of(np.array([expert]))
        present = halves.label_counts(alone) >= 5
        orders = halves._within(halves._halves(alone, present), present, draws)[0]
        null = np.array([ranking_scores(alone, ring(8)[order][rows.label], penalty)[0] for order in orders])
        observed = ranking_scores(alone, ring(8)[rows.label], penalty)[0]
        assert found[expert] == pytest.approx((1 + (null >= observed - 1e-9).sum()) / 61)
    assert np.isnan(found[1:4]).all()


def test_halves_of_a_ring_are_two_arcs_and_of_two_clusters_these() -> None:
    rows = grid(12, 12)
    rng = np.random.default_rng(0)
    around = np.column_stack([ring(12)[rows.label], np.zeros(len(rows.label))]) + 0.02 * rng.standard_normal((len(rows.label), 3))
    apart = np.where(np.isin(rows.label, [1, 4, 7])[:, None], 5.0, 0.0) + 0.1 * rng.standard_normal((len(rows.label), 3))
    given = sums(rows, stacked(always(around), always(apart)), 2)

    arcs, clusters = import_module("atlas.probe.scores.halves")._halves(given, np.ones((2, 12), dtype=bool))

    assert (np.roll(arcs, 1) != arcs).sum() == 2 and 5 <= arcs.sum() <= 7
    assert set(map(frozenset, (np.flatnonzero(clusters), np.flatnonzero(~clusters)))) == {
        frozenset({1, 4, 7}),
        frozenset(set(range(12)) - {1, 4, 7}),
    }


# When an order is supported


GOOD = {
    "p_adjusted": ALPHA,
    "left_out_label": 0.01,
    "left_out_direction": 0.01,
    "p_within_halves": ALPHA,
    "all_rows_low": 0.01,
    "covered": MIN_COVERED,
    "q": ALPHA,
    "shape": "ring",
}


def is_supported(**changed: Any) -> bool:
    """Of one expert that has just what it takes, but for what is changed."""
    now = {"testable": True, **GOOD, **changed}

    def one(value: float) -> np.ndarray:
        return np.array([value], dtype=np.float64)

    order = Order(np.array([now["testable"]]), one(0.001), one(now["p_adjusted"]))
    found = Scores(one(0.9), one(0.9), one(now["all_rows_low"]), one(1), one(0.9), np.array([60]), one(now["left_out_label"]))
    direction, halves = one(now["left_out_direction"]), one(now["p_within_halves"])
    return bool(supported(order, found, direction, halves, np.array([now["covered"]]), now["q"], now["shape"])[0])


@pytest.mark.parametrize("shape", ["ring", "ordinal", "map"])
def test_an_order_is_supported_where_all_marks_are_met(shape: str) -> None:
    assert is_supported(shape=shape)


@pytest.mark.parametrize(
    "changed",
    [
        {"testable": False},
        {"p_adjusted": 0.051},
        {"p_adjusted": float("nan")},
        {"left_out_label": 0.0},
        {"left_out_label": float("nan")},
        {"left_out_direction": 0.0},
        {"p_within_halves": 0.051},
        {"left_out_direction": float("nan")},
        {"all_rows_low": 0.0},
        {"covered": MIN_COVERED - 1},
        {"q": 0.051},
        {"q": float("nan")},
        {"shape": "classes"},
    ],
    ids=str,
)
def test_an_order_is_not_supported_where_one_mark_is_missed(changed: dict[str, Any]) -> None:
    assert not is_supported(**changed)


@pytest.mark.parametrize("adjusted", [benjamini_hochberg, _adjusted])
def test_an_adjusted_p_is_never_below_p_and_rises_with_it(adjusted: Callable[[np.ndarray], np.ndarray]) -> None:
    rng = np.random.default_rng(0)
    for _ in range(300):
        p = np.sort(rng.random(rng.integers(1, 60)))
        q = adjusted(p)
        assert (q >= p).all() and (q <= 1).all() and (np.diff(q) >= 0).all()


def test_benjamini_hochberg_of_a_case_worked_by_hand() -> None:
    """Times 4 over the rank: 0.04, 0.06, 0.0533, 0.5; then no larger than any later one."""
    p = np.array([0.5, 0.01, np.nan, 0.04, 0.03])

    np.testing.assert_allclose(benjamini_hochberg(p), [0.5, 0.04, np.nan, 0.16 / 3, 0.16 / 3])


@pytest.mark.parametrize("p", [[], [np.nan], [1.0, 1.0], [0.7]], ids=["none", "unknown", "ones", "one"])
def test_benjamini_hochberg_of_odd_cases_is_p_itself(p: list[float]) -> None:
    np.testing.assert_equal(benjamini_hochberg(np.array(p)), np.array(p))
