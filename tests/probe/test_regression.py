"""Scores of all experts at once equal slow ones, fitted expert by expert."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module

import numpy as np
import pytest
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from atlas.probe.scores import Fired, Rows, Scores, left_out_direction, left_out_label, ranking_scores, scores, sums
from atlas.probe.scores.sums import others
from labelled import (
    Fit,
    always,
    grid,
    least_squares,
    line,
    ring,
    slow_error,
    slow_ranking,
    slow_variance,
    some_experts,
    split,
    stacked,
    thinned,
)


def standardised_ridge(code: np.ndarray, truth: np.ndarray, of: np.ndarray) -> np.ndarray:
    return make_pipeline(StandardScaler(), Ridge(alpha=1.0)).fit(code, truth).predict(of).reshape(len(of), -1)


def slow_all(rows: Rows, fired: Fired, expert: int, truth: np.ndarray, fit: Fit) -> float:
    ranking, report = split(rows)
    error = slow_error(rows, fired, expert, truth, ranking, report, fit).sum()
    return 1 - error / slow_variance(truth, ranking, report).sum()


def slow_fires(rows: Rows, fired: Fired, expert: int, truth: np.ndarray, fit: Fit) -> float:
    """On active report rows only, around the mean of active ranking rows."""
    ranking, report = split(rows)
    active = np.zeros(len(rows.label), dtype=bool)
    active[fired.row[fired.expert == expert]] = True
    error = slow_error(rows, fired, expert, truth, ranking, report & active, fit).sum()
    return 1 - error / slow_variance(truth, ranking & active, report & active).sum()


def slow_left_out(rows: Rows, fired: Fired, expert: int, truth: np.ndarray, fit: Fit) -> float:
    ranking, report = split(rows)
    error = variance = 0.0
    for label in range(rows.n_labels):
        this = rows.label == label
        error += slow_error(rows, fired, expert, truth, ranking & ~this, report & this, fit).sum()
        variance += slow_variance(truth, ranking & ~this, report & this).sum()
    return 1 - error / variance


SLOW: dict[str, Callable[[Rows, Fired, int, np.ndarray, Fit], float]] = {
    "ranking": slow_ranking,
    "all_rows": slow_all,
    "where_it_fires": slow_fires,
    "left_out_label": slow_left_out,
}


def of_rows(rows: Rows) -> np.ndarray:
    """Two numbers of each row, which its label tells in part; the second has its zero far away."""
    noise = np.random.default_rng(5).standard_normal((len(rows.label), 2))
    return np.column_stack([rows.label, ring(rows.n_labels)[rows.label, 0] + 300]) + noise


TARGETS: dict[str, Callable[[Rows], np.ndarray]] = {
    "ring": lambda rows: ring(6)[rows.label],
    "line": lambda rows: line(6)[rows.label],
    "of the row": of_rows,
}


@pytest.mark.parametrize(("penalty", "fit"), [(0.0, least_squares), (1.0, standardised_ridge)], ids=["linear", "ridge"])
@pytest.mark.parametrize("targets", TARGETS)
def test_scores_equal_fits_of_each_expert_alone(targets: str, penalty: float, fit: Fit) -> None:
    rows = thinned(grid(6, 18))
    fired = some_experts(rows)
    truth = TARGETS[targets](rows)

    found = scores(sums(rows, fired, 5), truth, seed=0, penalty=penalty)

    for name, slow in SLOW.items():
        expected = [slow(rows, fired, expert, truth, fit) for expert in range(5)]
        np.testing.assert_allclose(getattr(found, name), expected, atol=1e-9 if penalty else 2e-4, err_msg=name)
        assert np.ptp(expected) > 0.1


def test_a_penalty_knows_features_that_are_constant_or_far_from_zero() -> None:
    rows = grid(6, 18)
    rng = np.random.default_rng(0)
    n = len(rows.label)
    code = ring(6)[rows.label] + rng.standard_normal((n, 2))
    far = np.column_stack([1000 + code[:, 0], 0.001 * code[:, 1], np.full(n, 7.0)])
    fired = stacked((rng.random(n) < 0.7, far))
    truth = ring(6)[rows.label]

    found = ranking_scores(sums(rows, fired, 1), truth, penalty=1.0)

    assert found[0] == pytest.approx(slow_ranking(rows, fired, 0, truth, standardised_ridge), abs=1e-6)
    assert found[0] > 0.1


def test_parts_of_the_scores_are_those_of_the_whole() -> None:
    rows = thinned(grid(6, 18))
    given, truth = sums(rows, some_experts(rows), 5), of_rows(rows)

    whole = scores(given, truth, seed=0, penalty=1.0)

    np.testing.assert_array_equal(ranking_scores(given, truth, penalty=1.0), whole.ranking)
    np.testing.assert_array_equal(left_out_label(given, truth, penalty=1.0), whole.left_out_label)


def test_scores_do_not_depend_on_how_many_experts_are_scored_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = grid(6, 18)
    given = sums(rows, some_experts(rows), 7)
    whole = scores(given, ring(6)[rows.label], seed=0)

    monkeypatch.setattr(import_module("atlas.probe.scores.sums"), "BLOCK_NUMBERS", 20_000)
    in_blocks = scores(given, ring(6)[rows.label], seed=0)

    for name in Scores._fields:
        np.testing.assert_allclose(getattr(in_blocks, name), getattr(whole, name), rtol=1e-9, err_msg=name)


def test_no_experts_have_no_scores() -> None:
    rows = grid(6, 18)
    nobody = Fired(np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64), np.zeros((0, 3)))

    assert [len(column) for column in scores(sums(rows, nobody, 0), ring(6)[rows.label], seed=0)] == [0] * 7


def test_folds_are_groups_of_templates_whatever_their_numbers() -> None:
    rows = grid(6, 18)
    renamed = Rows(rows.label, rows.template, 7 * (20 - rows.fold), rows.report, rows.n_labels)
    fired = some_experts(rows)
    truth = ring(6)[rows.label]

    found = scores(sums(renamed, fired, 5), truth, seed=0)

    expected = scores(sums(rows, fired, 5), truth, seed=0)
    np.testing.assert_allclose(found.ranking, expected.ranking, rtol=1e-9)
    np.testing.assert_allclose(found.all_rows, expected.all_rows, rtol=1e-9)


def test_score_of_a_perfect_ring_is_one_and_of_noise_about_zero() -> None:
    rows = grid(12, 30)
    rng = np.random.default_rng(0)
    exact = np.column_stack([3 * ring(12)[rows.label], np.zeros(len(rows.label))])
    fired = stacked(always(exact), always(rng.standard_normal((len(rows.label), 3))))

    found = scores(sums(rows, fired, 2), ring(12)[rows.label], seed=0)

    for name in SLOW:
        assert getattr(found, name)[0] == pytest.approx(1, abs=1e-6)
        assert -0.15 < getattr(found, name)[1] < 0.05


@pytest.mark.parametrize("penalty", [0.0, 1.0])
def test_expert_that_never_fires_predicts_the_mean(penalty: float) -> None:
    rows = grid(6, 18)
    fired = stacked(always(np.random.default_rng(0).standard_normal((len(rows.label), 3))))

    found = scores(sums(rows, fired, 2), line(6)[rows.label], seed=0, penalty=penalty)

    assert found.ranking[1] == pytest.approx(0, abs=1e-12)
    assert found.all_rows[1] == pytest.approx(0, abs=1e-12)
    assert np.isnan(found.where_it_fires[1]) and found.n_where_it_fires[1] == 0


def test_rows_where_it_fires_are_the_active_report_rows() -> None:
    rows = grid(6, 18)
    fired = some_experts(rows)

    found = scores(sums(rows, fired, 5), ring(6)[rows.label], seed=0)

    report = rows.report[rows.template]
    assert found.n_where_it_fires.tolist() == [int(report[fired.row[fired.expert == expert]].sum()) for expert in range(5)]


def test_an_expert_of_one_label_has_no_variance_where_it_fires() -> None:
    rows = grid(6, 18)
    fired = stacked((rows.label == 2, np.random.default_rng(0).standard_normal((len(rows.label), 3))))

    found = scores(sums(rows, fired, 1), ring(6)[rows.label] + 1 / 3, seed=0)

    assert np.isnan(found.where_it_fires[0]) and found.n_where_it_fires[0] > 1
    assert found.all_rows[0] > 0.1


def test_constant_targets_have_no_score() -> None:
    rows = grid(6, 18)

    found = scores(sums(rows, some_experts(rows), 5), np.full((len(rows.label), 1), 1 / 3), seed=0)

    for name in SLOW:
        assert np.isnan(getattr(found, name)).all()


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
    given = sums(rows, stacked((active, code)), 1)

    from_1905, from_0 = (scores(given, line(20)[rows.label] + zero, seed=0) for zero in (-9.5, 1905))

    for name in ("ranking", "all_rows", "left_out_label"):
        assert getattr(from_0, name) == pytest.approx(getattr(from_1905, name), abs=0.01), name


def test_interval_is_the_bootstrap_over_report_templates() -> None:
    rows = grid(6, 36)
    fired = some_experts(rows)
    truth = ring(6)[rows.label]

    found = scores(sums(rows, fired, 5), truth, seed=0)

    ranking, report = split(rows)
    rng = np.random.default_rng(99)
    template = rows.template[report]
    variance = slow_variance(truth, ranking, report)
    for expert in range(5):
        error = slow_error(rows, fired, expert, truth, ranking, report)
        of_template = np.array([(error[template == t].sum(), variance[template == t].sum()) for t in np.flatnonzero(rows.report)])
        drawn = of_template[rng.integers(0, len(of_template), (3000, len(of_template)))].sum(axis=1)
        low, high = np.quantile(1 - drawn[:, 0] / drawn[:, 1], [0.025, 0.975])
        assert found.all_rows_low[expert] == pytest.approx(low, abs=0.15 * (high - low))
        assert found.all_rows_high[expert] == pytest.approx(high, abs=0.15 * (high - low))


def test_sums_are_those_of_each_cell() -> None:
    rows = grid(3, 9)
    fired = some_experts(rows)

    given = sums(rows, fired, 5)

    fold_of_group = {0: 0, 2: 1, 3: 2, 1: 3, 4: 3}
    folds = np.array([fold_of_group[group] for group in rows.fold[rows.template]])
    assert given.label_rows().tolist() == [[((folds == f) & (rows.label == k)).sum() for k in range(3)] for f in range(4)]
    for expert, fold, label in [(0, 0, 0), (1, 3, 2), (4, 2, 1)]:
        here = (fired.expert == expert) & (folds[fired.row] == fold)
        features = np.column_stack([fired.code, np.ones(len(here))])
        np.testing.assert_allclose(given.by_fold()[expert, fold], features[here].T @ features[here])
        of_label = features[here & (rows.label[fired.row] == label)]
        np.testing.assert_allclose(given.by_label()[expert, fold, label], of_label.sum(axis=0))


def test_some_experts_keep_their_sums() -> None:
    rows = grid(3, 9)
    given = sums(rows, some_experts(rows), 6)

    some = given.of(np.array([4, 5, 1]))

    np.testing.assert_array_equal(some.by_label(), given.by_label()[[4, 5, 1]])


def test_what_is_left_of_a_whole_less_its_only_part_is_nothing() -> None:
    parts = np.zeros((4, 2))
    parts[2] = [0.1, 1e17]
    parts[1, 0] = 0.2

    np.testing.assert_array_equal(others(parts, axis=0), [[0.1 + 0.2, 1e17], [0.1, 1e17], [0.2, 0], [0.1 + 0.2, 1e17]])


# The direction that is read worst


@pytest.mark.parametrize("n_targets", [1, 2, 3])
def test_worst_direction_is_the_least_left_out_label_score_of_all_directions(n_targets: int) -> None:
    rows = thinned(grid(8, 18))
    fired = some_experts(rows)
    rng = np.random.default_rng(0)
    of_label = rng.standard_normal((8, n_targets)) * [3, 1, 0.2][:n_targets]
    targets = of_label[rows.label]
    given = sums(rows, fired, 5)

    found = left_out_direction(given, targets)

    directions = rng.standard_normal((3_000 if n_targets > 1 else 1, n_targets))
    every = np.array([left_out_label(given, targets @ direction[:, None]) for direction in directions])
    assert (found <= every.min(axis=0) + 1e-9).all()
    # Random directions come near to the worst one.
    np.testing.assert_allclose(found, every.min(axis=0), atol=0.02)


def test_worst_direction_of_targets_that_vary_in_one_is_that_ones() -> None:
    rows = grid(6, 18)
    given = sums(rows, some_experts(rows), 5)
    flat = line(6)[rows.label] * [1.0, -2.0]

    np.testing.assert_allclose(left_out_direction(given, flat), left_out_label(given, line(6)[rows.label]), atol=1e-6)
    assert np.isnan(left_out_direction(given, np.ones((len(rows.label), 2)))).all()
