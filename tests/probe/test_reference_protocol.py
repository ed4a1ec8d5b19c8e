"""The reference's protocol equals plain loops and scikit-learn's pipelines, expert by expert, on well-behaved and nasty codes."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.metrics import make_scorer, r2_score
from sklearn.model_selection import KFold, StratifiedKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from atlas.errors import TaskError
from atlas.probe.scores import Fired
from atlas.probe.scores.reference import (
    adjusted_fisher,
    continuities,
    continuity,
    fisher,
    fisher_ratios,
    reference_firings,
    reference_scores,
)

N_ROWS = 240
D_CODE = 3


def angles(label: np.ndarray, n_labels: int) -> np.ndarray:
    angle = 2 * np.pi * label / n_labels
    return np.column_stack([np.sin(angle), np.cos(angle)])


LABEL = np.random.default_rng(5).permutation(np.arange(N_ROWS) % 12)
# In 1024ths, so that the mean of equal targets is exact and scikit-learn sees that they are equal; else its R² is rounding's.
RING = np.round(1024 * angles(LABEL, 12)) / 1024
SEASON = ((LABEL + 1) // 3) % 4


def nasty(rng: np.random.Generator, number: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows that one expert fires on, in order, and its codes there."""
    place = rng.standard_normal((12, D_CODE))
    code = place[LABEL] + 0.5 * rng.standard_normal((N_ROWS, D_CODE))
    active = rng.random(N_ROWS) < 0.4
    match number % 13:
        case 1:  # separable
            code = 40 * place[SEASON] + 0.01 * code
        case 2:  # collinear
            code[:, 2] = code[:, 0] - 2 * code[:, 1]
        case 3:  # one coordinate stands still, one all but does
            code[:, 0], code[:, 1] = 7.3, 5 + 1e-7 * code[:, 1]
        case 4:  # one row of a class
            active &= (SEASON != 2) | (np.arange(N_ROWS) == np.flatnonzero(SEASON == 2)[3])
        case 5:  # two classes, one of them small
            active &= (SEASON == 0) | ((SEASON == 1) & (rng.random(N_ROWS) < 0.2))
        case 6:  # few rows
            active &= np.cumsum(active) <= rng.integers(8, 16)
        case 7:  # a coordinate that moves in the last rows alone
            code[:200, 1] = 0.25
        case 8:  # far off and tiny
            code = 1e4 + 1e-3 * code
        case 9:  # huge, on every row
            code, active = 1e6 * code, np.ones(N_ROWS, dtype=bool)
        case 10:  # nothing to tell by
            code[:] = 1.5
        case 11:  # a class whose rows all come first
            active &= (SEASON != 3) | (np.arange(N_ROWS) < 60)
        case 12:  # one label
            active = LABEL == 3
        case _:
            pass
    return np.flatnonzero(active), code[active]


EXPERTS = [nasty(np.random.default_rng(number), number) for number in range(26)]
FIRED = Fired(
    np.concatenate([row for row, _ in EXPERTS]),
    np.concatenate([np.full(len(row), number) for number, (row, _) in enumerate(EXPERTS)]),
    np.concatenate([code for _, code in EXPERTS]),
)


def uniform_r2(truth: np.ndarray, predicted: np.ndarray) -> float:
    return float(r2_score(truth, predicted, multioutput="uniform_average"))


def with_scikit_learn(code: np.ndarray, target: np.ndarray, kind: str) -> tuple[float, float]:
    """Mean and deviation of the same pipeline, run to convergence, or NaN for whatever it refuses."""
    exactly = {"tol": 1e-10, "max_iter": 100_000}
    if kind in ("linear", "ridge"):
        model: Any = LinearRegression() if kind == "linear" else Ridge(alpha=1.0)
        folds: Any = KFold(5)
        score: Any = make_scorer(uniform_r2)
    else:
        least = int(np.unique(target, return_counts=True)[1].min())
        folds = StratifiedKFold(min(max(least, 2), 5))
        model = LogisticRegression(class_weight="balanced" if kind == "logistic" else None, **exactly)
        score = "balanced_accuracy" if kind == "logistic" else "f1_macro"
    pipeline = make_pipeline(StandardScaler(), model)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = cross_val_score(pipeline, code, target, cv=folds, scoring=score, error_score="raise")
    except ValueError:
        return np.nan, np.nan
    return float(found.mean()), float(found.std())


@pytest.mark.parametrize("kind", ["linear", "ridge"])
@pytest.mark.parametrize("targets", [RING, LABEL[:, None].astype(np.float64)], ids=["ring", "ordinal"])
def test_regression_equals_scikit_learn(kind: Any, targets: np.ndarray) -> None:
    found = reference_scores(FIRED, len(EXPERTS), targets, kind)

    expected = np.array([with_scikit_learn(code, targets[row], kind) for row, code in EXPERTS])
    np.testing.assert_allclose(found.mean, expected[:, 0], atol=1e-4)
    np.testing.assert_allclose(found.std, expected[:, 1], atol=1e-4)
    assert 0.3 < np.nanmax(expected[np.arange(len(EXPERTS)) % 13 != 12, 0]) < 1
    assert np.isnan(expected[:, 0]).any() and (found.mean[12::13] == 1).all()


@pytest.mark.parametrize("kind", ["linear", "ridge"])
def test_equal_targets_are_no_variance_however_their_mean_is_rounded(kind: Any) -> None:
    """The middle fold's rows are all of one label, whose sine has no exact mean: its R² is 0, as of a target that is constant."""
    label = np.array([0, 1, 2, 4] * 10 + [5] * 20 + [0, 1, 2, 4] * 10)
    code = np.random.default_rng(0).standard_normal((100, D_CODE))
    fired = Fired(np.arange(100), np.zeros(100, dtype=np.int64), code)

    found = reference_scores(fired, 1, angles(label, 7), kind)

    exact = np.where(label == 5, 0.5, 0.0)[:, None]
    folds = [with_scikit_learn(code, exact, kind)]
    assert reference_scores(fired, 1, exact, kind).mean == pytest.approx(folds[0][0], abs=1e-9)
    assert -1 < found.mean[0] < 0.5


def test_missing_target_is_zero() -> None:
    code = np.random.default_rng(0).standard_normal((100, D_CODE))
    fired = Fired(np.arange(100), np.zeros(100, dtype=np.int64), code)
    target = code[:, :1].copy()
    target[::7] = np.nan

    found = reference_scores(fired, 1, target, "linear")

    assert found.mean[0] == pytest.approx(with_scikit_learn(code, np.nan_to_num(target), "linear")[0])


def test_codes_of_single_precision_score_as_the_same_numbers_in_double() -> None:
    single = FIRED._replace(code=FIRED.code.astype(np.float32))
    double = single._replace(code=single.code.astype(np.float64))

    found, expected = (reference_scores(fired, len(EXPERTS), RING, "linear").mean for fired in (single, double))

    np.testing.assert_array_equal(found, expected)


def test_order_of_firings_does_not_matter() -> None:
    order = np.random.default_rng(0).permutation(len(FIRED.row))
    mixed = Fired(*(column[order] for column in FIRED))

    for kind in ("ridge", "multinomial"):
        found, expected = (reference_scores(fired, len(EXPERTS), SEASON[:, None] / 1.0, kind).mean for fired in (mixed, FIRED))
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("kind", ["logistic", "multinomial"])
@pytest.mark.parametrize("classes", [SEASON, (LABEL >= 9).astype(np.int64)], ids=["four", "two"])
def test_classification_equals_scikit_learn_run_to_convergence(kind: Any, classes: np.ndarray) -> None:
    found = reference_scores(FIRED, len(EXPERTS), classes[:, None].astype(np.float64), kind)

    expected = np.array([with_scikit_learn(code, classes[row], kind) for row, code in EXPERTS])
    np.testing.assert_allclose(found.mean, expected[:, 0], atol=1e-9)
    np.testing.assert_allclose(found.std, expected[:, 1], atol=1e-9)
    assert np.nanmax(expected[:, 0]) > 0.9


@pytest.mark.parametrize("classes", [np.zeros(N_ROWS), np.arange(N_ROWS) / 1.0], ids=["one class", "each row its own"])
def test_classes_that_cannot_be_told_apart_have_no_score(classes: np.ndarray) -> None:
    fired = Fired(*(column[:40] for column in FIRED))

    found = reference_scores(fired, 2, classes[:, None], "multinomial")

    assert np.isnan(found.mean).all() and np.isnan(found.std).all()


def test_classes_too_many_to_tell_apart_are_refused() -> None:
    with pytest.raises(TaskError, match="65 classes are more than the 64"):
        reference_scores(
            Fired(np.arange(130), np.zeros(130, dtype=np.int64), np.ones((130, 1))),
            1,
            np.arange(130)[:, None] % 65 / 1.0,
            "logistic",
        )


# Which firings


def test_kept_are_experts_that_fire_on_a_tenth_of_the_rows() -> None:
    counts = [0, 9, 10, 60]
    fired = Fired(np.concatenate([np.arange(n)[::-1] for n in counts]), np.repeat(np.arange(4), counts), np.arange(79.0)[:, None])

    found, kept = reference_firings(fired, 109, 4, seed=0)

    assert kept.tolist() == [False, False, True, True]
    assert found.expert.tolist() == [2] * 10 + [3] * 60
    assert found.row.tolist() == [*range(10), *range(60)]
    assert found.code[:10, 0].tolist() == list(range(18, 8, -1))


def test_of_many_rows_a_thousand_are_chosen_by_the_seed_and_kept_in_order() -> None:
    rng = np.random.default_rng(0)
    row, expert = np.nonzero(rng.random((5000, 3)) < [0.9, 0.9, 0.15])
    fired = Fired(row, expert, rng.standard_normal((len(row), 2)))

    found, _ = reference_firings(fired, 5000, 3, seed=1)
    mixed = rng.permutation(len(row))
    again, _ = reference_firings(Fired(row[mixed], expert[mixed], fired.code[mixed]), 5000, 3, seed=1)
    other, _ = reference_firings(fired, 5000, 3, seed=2)

    for a, b in zip(found, again, strict=True):
        np.testing.assert_array_equal(a, b)
    assert np.bincount(found.expert).tolist() == [1000, 1000, (expert == 2).sum()]
    chosen = found.row[found.expert == 0]
    assert (np.diff(chosen) > 0).all()
    # Uniform over the rows, and not the same for the next expert or seed.
    assert abs(np.searchsorted(chosen, 2500) - 500) < 70
    for rows in (found.row[found.expert == 1], other.row[other.expert == 0]):
        assert 150 < len(np.intersect1d(chosen, rows)) < 300


# Fisher and continuity


def slow_fisher(code: np.ndarray, label: np.ndarray) -> float:
    middle = code.mean(axis=0)
    within, between = 1e-6 * np.eye(code.shape[1]), np.zeros((code.shape[1],) * 2)
    for one in np.unique(label):
        points = code[label == one]
        if len(points) < 2:
            continue
        apart = points.mean(axis=0) - middle
        between += len(points) * np.outer(apart, apart)
        for point in points:
            within += np.outer(point - points.mean(axis=0), point - points.mean(axis=0))
    return float(np.trace(np.linalg.inv(within) @ between))


def test_fisher_ratio_of_two_pairs_by_hand() -> None:
    """Within: 4 · ½² each way, that is 1; between: 4 · 5² along the first axis."""
    code = np.array([[5.5, 0.5], [4.5, -0.5], [-4.5, 0.5], [-5.5, -0.5]])

    # S_W = [[1, 1], [1, 1]] + 1e-6 I, whose inverse has 1 / 1e-6 · (1 + 1e-6) / (2 + 1e-6) on the diagonal.
    expected = 100 * (1 + 1e-6) / (1e-6 * (2 + 1e-6))

    assert fisher(code, np.array([0, 0, 1, 1])) == pytest.approx(expected, rel=1e-6)


def test_fisher_of_every_expert_equals_a_loop_over_classes() -> None:
    # What is constant or collinear divides by the 1e-6: its last digits are rounding's.
    chosen = [number for number in range(len(EXPERTS)) if number % 13 not in (2, 3, 10)]

    found = fisher_ratios(FIRED, len(EXPERTS) + 1, LABEL)

    expected = [slow_fisher(EXPERTS[number][1], LABEL[EXPERTS[number][0]]) for number in chosen]
    np.testing.assert_allclose(found[chosen], expected, rtol=1e-5, atol=1e-9)
    assert np.isnan(found[-1]) and not np.isnan(found[:-1]).any()
    assert [fisher(EXPERTS[n][1], LABEL[EXPERTS[n][0]]) for n in chosen] == pytest.approx(found[chosen].tolist())


def test_class_of_one_point_counts_in_the_mean_alone() -> None:
    code = np.array([[0.0], [2.0], [10.0], [12.0], [96.0]])

    # The mean is 24; within 2 + 2, between 2 · 23² + 2 · 13².
    assert fisher(code, np.array([0, 0, 1, 1, 2])) == pytest.approx((2 * 23**2 + 2 * 13**2) / (4 + 1e-6))


def test_fisher_where_the_scatter_is_singular_is_the_ratio_of_the_traces() -> None:
    """Scatter so large that 1e-6 is lost in it."""
    code = 1e12 * np.array([[1.0, 1.0], [3.0, 3.0], [7.0, 7.0], [9.0, 9.0]])

    assert fisher(code, np.array([0, 0, 1, 1])) == pytest.approx(36 / 4)


def test_adjusted_fisher_is_its_share_of_the_labels() -> None:
    rng = np.random.default_rng(0)
    code, label = rng.standard_normal((50, 3)), rng.integers(0, 4, 50)
    label[0] = 6

    assert adjusted_fisher(code, label, 10) == pytest.approx(fisher(code, label) * 5 / 10)


def slow_continuity(code: np.ndarray, activation: np.ndarray) -> float:
    found = []
    for i in range(len(code)):
        others = [j for j in range(len(code)) if j != i]
        near = sorted(others, key=lambda j: (float(((code[i] - code[j]) ** 2).sum()), j))[:10]
        for j in near:
            found.append(activation[i] @ activation[j] / np.linalg.norm(activation[i]) / np.linalg.norm(activation[j]))
    return float(np.mean(found))


def test_continuity_of_every_expert_equals_a_loop_over_points() -> None:
    chosen = [1, 4, 6, 7, 8, 10]
    activation = np.random.default_rng(0).standard_normal((N_ROWS, 20)) + 3 * RING @ np.random.default_rng(1).standard_normal(
        (2, 20)
    )
    part = np.isin(FIRED.expert, chosen)

    found = continuities(Fired(*(column[part] for column in FIRED)), len(EXPERTS), activation)

    expected = [slow_continuity(EXPERTS[n][1], activation[EXPERTS[n][0]]) for n in chosen if len(EXPERTS[n][0]) >= 11]
    known = [n for n in chosen if len(EXPERTS[n][0]) >= 11]
    np.testing.assert_allclose(found[known], expected, rtol=1e-9)
    assert np.isnan(np.delete(found, known)).all()
    assert continuity(EXPERTS[1][1], activation[EXPERTS[1][0]]) == pytest.approx(found[1])


def test_point_is_not_its_own_neighbour_even_among_points_of_its_code() -> None:
    """Ten points in one place and one far away: whoever counted itself would leave the last one out."""
    code = np.array([[0.0]] * 10 + [[5.0]])
    activation = np.concatenate([np.eye(10), np.ones((1, 10))])

    # The ten: nine others at right angles and the last one, at 1/√10; the last one: ten of them.
    assert continuity(code, activation) == pytest.approx((10 * 1 / np.sqrt(10) / 10 + 1 / np.sqrt(10)) / 11)


def test_continuity_takes_eleven_points() -> None:
    rng = np.random.default_rng(0)

    assert np.isnan(continuity(rng.standard_normal((10, 3)), rng.standard_normal((10, 5))))
    assert not np.isnan(continuity(rng.standard_normal((11, 3)), rng.standard_normal((11, 5))))
