"""How labels and experts go together equals what is counted the slow way, and keeps its promise under permutation."""

from __future__ import annotations

from itertools import permutations, product

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from atlas.probe.scores import (
    MIN_COVERED,
    Fired,
    Rows,
    coverage,
    fires,
    label_dependence,
    preference,
    smoothed_lift,
)
from labelled import always, clustered, grid, independent, some_experts, stacked, thinned


def norms(fired: Fired) -> np.ndarray:
    """Rounded, so that many are equal."""
    return np.linalg.norm(fired.code, axis=1).round(1)


def test_fires_is_the_share_of_a_labels_rows() -> None:
    rows = thinned(grid(6, 18))
    fired = some_experts(rows)

    found = fires(rows, fired, 6)

    for expert in range(6):
        active = np.isin(np.arange(len(rows.label)), fired.row[fired.expert == expert])
        assert found[expert] == pytest.approx([active[rows.label == label].mean() for label in range(6)])


def test_a_label_without_rows_fires_nothing() -> None:
    rows = grid(3, 9)

    assert fires(Rows(rows.label, rows.template, rows.fold, rows.report, 4), some_experts(rows), 5)[:, 3].tolist() == [0] * 5


def test_coverage_of_a_case_worked_by_hand() -> None:
    covered, least = coverage(np.array([[1.0, 0.5, 0.49, 0.8], [0.4, 0.1, 0.0, 0.2], [0.5, 0.5, 0.5, 0.5]]))

    assert covered.tolist() == [3, 0, 4]
    np.testing.assert_equal(least, [0.5, np.nan, 0.5])
    assert MIN_COVERED == 6


def test_smoothed_lift_of_a_case_worked_by_hand() -> None:
    """(30 + 20 · 0.01) / (60 + 20) / 0.01, and no rows: no lift."""
    found = smoothed_lift(np.array([30.0, 0.0]), np.array([60.0, 0.0]), np.array([0.01, 0.2]), 20.0)

    np.testing.assert_allclose(found, [37.75, 1])


def test_preference_is_the_area_under_the_curve_of_all_rows() -> None:
    rows = thinned(grid(6, 18))
    fired = some_experts(rows)
    norm = norms(fired)

    found = preference(rows, fired, norm, 6, seed=0).auroc

    for expert in range(6):
        whole = np.zeros(len(rows.label))
        whole[fired.row[fired.expert == expert]] = norm[fired.expert == expert]
        np.testing.assert_allclose(found[expert], [roc_auc_score(rows.label == label, whole) for label in range(6)])
    assert np.ptp(found[:5], axis=1).min() > 0.05 and found[5].tolist() == [0.5] * 6


def test_a_label_with_no_rows_or_all_has_no_preference() -> None:
    rows = grid(1, 9)
    one_of_two = Rows(rows.label, rows.template, rows.fold, rows.report, 2)
    fired = stacked((np.arange(9) < 5, np.ones((9, 3))))

    found = preference(one_of_two, fired, norms(fired), 1, seed=0)

    assert np.isnan(found.auroc).all()
    assert found.band.tolist() == [0]


def test_the_band_is_left_by_chance_in_one_of_twenty_experts_and_by_every_louder_label() -> None:
    rows = grid(7, 24)
    rng = np.random.default_rng(0)
    n = len(rows.label)
    # A template makes all its rows louder, which says nothing of labels.
    loud = 1 + rng.random((24, 300))[rows.template]
    norm = loud + 0.5 * rng.random((n, 300))
    norm[:, :20] += 1.5 * (rows.label == 3)[:, None]
    active = rng.random((n, 300)) < 0.9
    expert, row = np.nonzero(active.T)
    fired = Fired(row, expert, np.zeros((len(row), 1)))

    found = preference(rows, fired, norm[row, expert], 300, seed=0)

    outside = np.abs(found.auroc - 0.5).max(axis=1) > found.band
    assert outside[:20].all()
    # Nominally 14 of 280; more than 24 happen by chance once in a hundred.
    assert 5 <= outside[20:].sum() <= 24


def test_the_band_is_a_quantile_over_permutations_within_templates() -> None:
    """Four templates of three rows can be labelled in 1,296 ways."""
    rows = grid(3, 4, group_size=1)
    norm = np.random.default_rng(2).random(12)
    fired = stacked(always(norm[:, None]))

    found = preference(rows, fired, norm, 1, seed=0, n_permutations=4000).band[0]

    larger = np.sign(norm[:, None] - norm) / 2
    furthest = []
    for orders in product(permutations(range(3)), repeat=4):
        label = np.concatenate(orders)
        furthest.append(max(abs(larger[label == one][:, label != one].mean()) for one in range(3)))
    below, above = np.quantile(furthest, [0.93, 0.97])
    assert below - 1e-9 <= found <= above + 1e-9
    assert np.quantile(furthest, 0.8) < found < np.max(furthest) - 1e-9


def explained(rows: Rows, fired: Fired, expert: int, label: np.ndarray) -> float:
    """Squares of the label indicators that a plain fit on [z, fires] explains on ranking rows."""
    mine = fired.expert == expert
    design = np.zeros((len(label), fired.code.shape[1] + 2))
    design[:, 0] = 1
    design[fired.row[mine], 1:] = np.column_stack([fired.code[mine], np.ones(mine.sum())])
    ranking = ~rows.report[rows.template]
    truth = np.eye(rows.n_labels)[label[ranking]]
    fitted = design[ranking] @ np.linalg.lstsq(design[ranking], truth, rcond=None)[0]
    return float(((fitted - truth.mean(axis=0)) ** 2).sum())


def test_p_of_dependence_is_that_of_all_permutations_within_templates() -> None:
    """Four ranking templates of two or three rows each can be labelled in 2 · 6 · 6 · 2 ways."""
    label = np.array([0, 1, 0, 1, 2, 0, 1, 2, 1, 2, 0, 1, 2])
    template = np.array([0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 4, 4, 4])
    rows = Rows(label, template, np.arange(5), np.arange(5) == 4, 3)
    rng = np.random.default_rng(4)
    place = rng.standard_normal((3, 1))
    experts = [
        always(place[label] + 0.6 * rng.standard_normal((13, 1))),
        (rng.random(13) < 0.6, rng.standard_normal((13, 1))),
        (label > 0, rng.standard_normal((13, 1))),
    ]
    fired = stacked(*experts)

    found = label_dependence(rows, fired, 4, seed=0, n_permutations=3000)

    parts = [sorted(set(permutations(label[template == t].tolist()))) for t in range(4)]
    for expert in range(3):
        true = explained(rows, fired, expert, label)
        others = [explained(rows, fired, expert, np.concatenate([*orders, label[10:]])) for orders in product(*parts)]
        assert found[expert] == pytest.approx(np.mean(np.array(others) >= true - 1e-9), abs=0.03)
    assert found[3] == 1
    assert np.ptp(found[:3]) > 0.1


def test_dependence_is_certain_of_clusters_and_uniform_for_noise() -> None:
    rows = thinned(grid(6, 18))
    rng = np.random.default_rng(0)
    n = len(rows.label)
    codes = [clustered(rows.label, rng) for _ in range(5)] + [1e-4 * independent(rows.label, rng) for _ in range(200)]
    fired = stacked(*((rng.random(n) < 0.6, code) for code in codes))

    p = label_dependence(rows, fired, 205, seed=0, n_permutations=99)

    assert (p[:5] == 0.01).all()
    attainable = np.arange(1, 101) / 100
    # Kolmogorov's distance; 1.63 / √n is passed in one of a hundred cases.
    assert np.abs((p[5:, None] <= attainable).mean(axis=0) - attainable).max() < 1.63 / np.sqrt(200) + 0.01
